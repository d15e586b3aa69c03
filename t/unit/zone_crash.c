
/*
 * A process may be killed at any store of a fold, and the zone must then be
 * as if the transaction had never begun, or had ended.
 *
 * Built with NGX_ANALYTICS_FAULTS: every store into the zone is surrounded
 * by points at which the process can kill itself with SIGKILL.  For each
 * kind of event a child does so at the first point, another at the second,
 * and so on until one lives to the end; after each the zone is recovered
 * and compared, byte by byte, with the states between the transactions of a
 * fold that nobody disturbed.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "zone_crash.h"


#if !(NGX_ANALYTICS_FAULTS)
#error this test needs -DNGX_ANALYTICS_FAULTS=1
#endif


#define STATES_MAX   200


static size_t                  zone_size;
static ngx_analytics_zone_t   *zone;
static u_char                 *base;            /* before the fold */
static u_char                 *scratch;
static u_char                 *states[STATES_MAX];
static size_t                  nstates;


/*
 * Clears what may differ between two zones that are the same: what nothing
 * leads to, and hints.
 */
static void
normalise(ngx_analytics_zone_t *z)
{
    uint32_t  n, next, i;

    for (n = z->users.free; n; n = next) {
        next = ngx_analytics_user(z, n)->next;
        memset(ngx_analytics_user(z, n), 0, z->users.size);
        ngx_analytics_user(z, n)->next = next;
    }

    for (n = z->cells.free; n; n = next) {
        next = ngx_analytics_chunk(z, n)->next;
        memset(ngx_analytics_chunk(z, n), 0, z->cells.size);
        ngx_analytics_chunk(z, n)->next = next;
    }

    for (n = z->users.bump; n <= z->users.nblocks; n++) {
        memset(ngx_analytics_user(z, n), 0, z->users.size);
    }

    for (n = z->cells.bump; n <= z->cells.nblocks; n++) {
        memset(ngx_analytics_chunk(z, n), 0, z->cells.size);
    }

    for (i = z->keys_count; i < z->keys_max; i++) {
        memset(ngx_analytics_slot(z, i), 0, sizeof(ngx_analytics_slot_t));
    }

    for (i = 0; i < z->ntypes; i++) {
        memset(ngx_analytics_type(z, i)->hints, 0, sizeof(z->hints));
    }

    for ( /* void */ ; i < z->types_max; i++) {
        memset(ngx_analytics_type(z, i), 0, sizeof(ngx_analytics_type_t));
    }

    memset(z->hints, 0, sizeof(z->hints));
    memset(z->daily_hints, 0, sizeof(z->daily_hints));
    memset(ngx_analytics_zone_text(z, !z->program.place), 0,
           NGX_ANALYTICS_PROGRAM_MAX);
    z->rollbacks = 0;
    z->commits = 0;
}


/*
 * The undo area is large, and mostly unused: what of it is used is copied, and
 * two zones are the same that differ there.
 */
static void
copy_zone(void *to, const void *from)
{
    size_t                       end;
    const ngx_analytics_zone_t  *z;

    z = from;
    end = offsetof(ngx_analytics_zone_t, undo);

    memcpy(to, from, end + z->undo_count * sizeof(z->undo[0]));

    end += sizeof(z->undo);
    memcpy((u_char *) to + end, (const u_char *) from + end, zone_size - end);
}


static int
same_zone(const void *one, const void *two)
{
    size_t  begin, end;

    begin = offsetof(ngx_analytics_zone_t, undo);
    end = begin + sizeof(zone->undo);

    return memcmp(one, two, begin) == 0
           && memcmp((const u_char *) one + end, (const u_char *) two + end,
                     zone_size - end) == 0;
}


/* What is shared has no pages that a fork copies the tables of. */

static u_char *
shared(void)
{
    void  *p;

    p = mmap(NULL, zone_size, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS,
             -1, 0);

    if (p == MAP_FAILED) {
        diag("mmap(%zu) failed", zone_size);
        exit(2);
    }

    return p;
}


static void
take_state(ngx_analytics_zone_t *z)
{
    if (nstates == STATES_MAX) {
        diag("too many transactions in one fold");
        exit(2);
    }

    if (states[nstates] == NULL) {
        states[nstates] = shared();
    }

    copy_zone(states[nstates], z);
    normalise((ngx_analytics_zone_t *) states[nstates]);
    nstates++;
}


/* Returns which of the states the zone is in, or STATES_MAX. */

static size_t
which_state(ngx_analytics_zone_t *z, size_t from)
{
    size_t  i;

    copy_zone(scratch, z);
    normalise((ngx_analytics_zone_t *) scratch);

    for (i = from; i < nstates; i++) {
        if (same_zone(scratch, states[i])) {
            return i;
        }
    }

    return STATES_MAX;
}


/* Runs act in a child that is killed at that fault point.  1: it was. */

static int
killed_at(act_pt act, ngx_int_t point)
{
    int    status;
    pid_t  pid;

    fflush(NULL);
    pid = fork();

    if (pid == 0) {
        ngx_analytics_fault = point;
        act(zone);
        _exit(0);
    }

    if (pid == -1 || waitpid(pid, &status, 0) != pid) {
        diag("no child");
        exit(2);
    }

    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        return 1;
    }

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return 0;
    }

    diag("the child ended with status %d", status);
    exit(2);
}


static void
recover(ngx_analytics_zone_t *z)
{
    ngx_analytics_zone_recover(z);
}


/*
 * The zone is as the killed child left it.  Kills the roll back at each of
 * its stores; returns how often what came out in the end was wrong.
 */
static size_t
recover_killed(size_t expected)
{
    size_t      wrong;
    u_char     *crashed;
    ngx_int_t   point;

    wrong = 0;
    crashed = malloc(zone_size);
    copy_zone(crashed, zone);

    for (point = 1; killed_at(recover, point); point++) {

        if (ngx_analytics_zone_recover(zone) == NGX_ERROR
            || which_state(zone, 0) != expected)
        {
            wrong++;
        }

        copy_zone(zone, crashed);
    }

    copy_zone(zone, crashed);
    free(crashed);

    return wrong;
}


/* Of a long way, one point in seven; with ANALYTICS_TORTURE each. */

static ngx_int_t
next(ngx_int_t point)
{
    return (point < 60 || getenv("ANALYTICS_TORTURE")) ? 1 : 7;
}


static void
crash(crash_case_t *c)
{
    size_t      state, last, unknown, unsound, lost, badly;
    uint64_t    undone;
    ngx_int_t   rc, point;

    zone_forgets = strstr(c->name, "erased") != NULL;

    zone = zone_new(zone_size, TYPES);
    c->prepare(zone);
    copy_zone(base, zone);

    nstates = 0;
    take_state(zone);

    ngx_analytics_committed = take_state;
    c->act(zone);
    ngx_analytics_committed = NULL;

    zone_sound(zone, c->name);

    last = 0;
    unknown = 0;
    unsound = 0;
    lost = 0;
    badly = 0;

    for (point = 1; ; point += next(point)) {
        copy_zone(zone, base);

        if (!killed_at(c->act, point)) {
            break;
        }

        undone = zone->undo_count;

        if (undone && point % 11 == 0) {
            /* the state is known only after a recovery */
            copy_zone(scratch, zone);
            ngx_analytics_zone_recover((ngx_analytics_zone_t *) scratch);
            normalise((ngx_analytics_zone_t *) scratch);

            for (state = last; state < nstates; state++) {
                if (same_zone(scratch, states[state])) {
                    break;
                }
            }

            badly += recover_killed(state);
        }

        rc = ngx_analytics_zone_recover(zone);

        lost += (rc != (undone ? NGX_AGAIN : NGX_OK)
                 || ngx_analytics_zone_recover(zone) != NGX_OK);

        /* the states are passed through one after another */

        state = which_state(zone, last);

        if (state == STATES_MAX) {
            unknown++;
            continue;
        }

        last = state;
        unsound += zone_check(zone) != NULL;

        /* what was begun can be done again: a record from anywhere in it */

        if ((state == 0 || c->again)
            && (point % 5 == 0 || getenv("ANALYTICS_TORTURE")))
        {
            c->act(zone);
            lost += which_state(zone, nstates - 1) != nstates - 1;
        }
    }

    ok(nstates > 1 && point > 5, "%s: %zu transactions, %zd fault points",
       c->name, nstates - 1, (ssize_t) point - 1);
    is_u64(unknown, 0, "%s: killed anywhere, all or nothing", c->name);
    is_u64(unsound, 0, "%s: killed anywhere, the zone is sound", c->name);
    is_u64(lost, 0, "%s: what was undone can be done again", c->name);
    is_u64(badly, 0, "%s: a roll back can be killed as well", c->name);
    is_u64(which_state(zone, 0), nstates - 1,
           "%s: a child that lives does what its parent would", c->name);

    zone_delete(zone);
}


#include "zone_crash_declared.h"
#include "zone_crash_batch.h"


static void
check_damage(void)
{
    size_t                 i;
    ngx_analytics_zone_t  *z;

    static struct {
        uint64_t     count;
        uint64_t     offset;
        const char  *what;
    } damages[] = {
        { NGX_ANALYTICS_UNDO_MAX + 1, 0, "more words than there is room for" },
        { UINT64_MAX, 0, "a count of all ones" },
        { 1, offsetof(ngx_analytics_zone_t, events) + 4, "a skewed offset" },
        { 1, offsetof(ngx_analytics_zone_t, key), "a constant" },
        { 1, offsetof(ngx_analytics_zone_t, undo), "the undo area itself" },
        { 1, UINT64_MAX - 7, "an offset outside" },
        { 1, 0, "the size as an offset" }
    };

    for (i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        z = zone_new(zone_size, TYPES);
        few(z);

        z->undo_count = damages[i].count;
        z->undo[0].offset = damages[i].offset;

        if (i == sizeof(damages) / sizeof(damages[0]) - 1) {
            z->undo[0].offset = z->size & ~(uint64_t) 7;
        }

        memcpy(scratch, z, zone_size);

        ok(ngx_analytics_zone_recover(z) == NGX_ERROR
           && memcmp(scratch, z, zone_size) == 0,
           "an undo area that cannot be true is refused: %s",
           damages[i].what);

        zone_delete(z);
    }

    z = zone_new(zone_size, TYPES);
    z->layout++;
    ok(ngx_analytics_zone_recover(z) == NGX_ERROR,
       "another layout is refused");
    zone_delete(z);
}


int
main(void)
{
    size_t  i;

    zone_size = ngx_analytics_zone_min_size(TYPES);
    base = shared();
    scratch = shared();

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        crash(&cases[i]);
    }

    for (i = 0; i < sizeof(declared_cases) / sizeof(declared_cases[0]); i++) {
        crash_declared(&declared_cases[i]);
    }

    crash_batch();

    check_damage();

    diag("the longest transaction saved %" PRIu64 " words of %d",
         (uint64_t) ngx_analytics_undo_high, NGX_ANALYTICS_UNDO_MAX);

    return done_testing();
}
