
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
#include <sys/wait.h>
#include <unistd.h>
#include "ngx_analytics_arena.h"
#include "ngx_analytics_types.h"
#include "ngx_analytics_users.h"
#include "ngx_analytics_top.h"
#include "ngx_analytics_cells.h"
#include "zone_lib.h"


#if !(NGX_ANALYTICS_FAULTS)
#error this test needs -DNGX_ANALYTICS_FAULTS=1
#endif


#define STATES_MAX   64
#define TYPES        4


typedef void (*prepare_pt)(ngx_analytics_zone_t *z);
typedef void (*act_pt)(ngx_analytics_zone_t *z);


typedef struct {
    const char            *name;
    prepare_pt             prepare;
    act_pt                 act;
} crash_case_t;


static size_t                  zone_size;
static ngx_analytics_zone_t   *zone;
static u_char                 *base;            /* before the fold */
static u_char                 *scratch;
static u_char                 *states[STATES_MAX];
static size_t                  nstates;


/*
 * Clears what may differ between two zones that are the same: what nothing
 * leads to, hints, and the undo area.
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

    for (i = 0; i < z->ntypes; i++) {
        memset(ngx_analytics_type(z, i)->hints, 0, sizeof(z->hints));
    }

    for ( /* void */ ; i < z->types_max; i++) {
        memset(ngx_analytics_type(z, i), 0, sizeof(ngx_analytics_type_t));
    }

    memset(z->hints, 0, sizeof(z->hints));
    memset(z->undo, 0, sizeof(z->undo));
    z->rollbacks = 0;
}


static void
take_state(ngx_analytics_zone_t *z)
{
    if (nstates == STATES_MAX) {
        diag("too many transactions in one fold");
        exit(2);
    }

    if (states[nstates] == NULL) {
        states[nstates] = malloc(zone_size);
    }

    memcpy(states[nstates], z, zone_size);
    normalise((ngx_analytics_zone_t *) states[nstates]);
    nstates++;
}


/* Returns which of the states the zone is in, or STATES_MAX. */

static size_t
which_state(ngx_analytics_zone_t *z, size_t from)
{
    size_t  i;

    memcpy(scratch, z, zone_size);
    normalise((ngx_analytics_zone_t *) scratch);

    for (i = from; i < nstates; i++) {
        if (memcmp(scratch, states[i], zone_size) == 0) {
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
    memcpy(crashed, zone, zone_size);

    for (point = 1; killed_at(recover, point); point++) {

        if (ngx_analytics_zone_recover(zone) == NGX_ERROR
            || which_state(zone, 0) != expected)
        {
            wrong++;
        }

        memcpy(zone, crashed, zone_size);
    }

    memcpy(zone, crashed, zone_size);
    free(crashed);

    return wrong;
}


static void
crash(crash_case_t *c)
{
    size_t      state, last, unknown, unsound, lost, badly;
    uint64_t    undone;
    ngx_int_t   rc, point;

    zone = zone_new(zone_size, TYPES);
    c->prepare(zone);
    memcpy(base, zone, zone_size);

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

    for (point = 1; ; point++) {
        memcpy(zone, base, zone_size);

        if (!killed_at(c->act, point)) {
            break;
        }

        undone = zone->undo_count;

        if (undone && point % 11 == 0) {
            /* the state is known only after a recovery */
            memcpy(scratch, zone, zone_size);
            ngx_analytics_zone_recover((ngx_analytics_zone_t *) scratch);
            normalise((ngx_analytics_zone_t *) scratch);

            for (state = last; state < nstates; state++) {
                if (memcmp(scratch, states[state], zone_size) == 0) {
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

        /* what was begun can be done again */

        if (state == 0) {
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


/* the kinds of events */

static char *
long_name(const char *start, size_t len)
{
    static char  name[256];

    memset(name, '.', sizeof(name));
    memcpy(name, start, strlen(start));
    name[len] = '\0';

    return name;
}


static void
some(ngx_analytics_zone_t *z, int nusers, int each)
{
    int   i, k;
    char  user[32], type[32];

    for (k = 0; k < each; k++) {
        for (i = 0; i < nusers; i++) {
            sprintf(user, "u%d", i);
            sprintf(type, "t%d", (i + k) % 3);
            zone_event(z, user, type, ZONE_NOW - i * ZONE_MINUTE, ZONE_NOW);
        }
    }
}


static void
none(ngx_analytics_zone_t *z)
{
    (void) z;
}


static void
few(ngx_analytics_zone_t *z)
{
    some(z, 10, 3);
}


static void
full_heap(ngx_analytics_zone_t *z)
{
    some(z, (int) z->top_max + 20, 3);
}


/* the users' pool has no room, and some users take several blocks */

static void
full_users(ngx_analytics_zone_t *z)
{
    int   i, k;
    char  user[32], type[32];

    some(z, (int) z->top_max + 20, 8);

    /* behind the heap's users: who has both kinds of further blocks */

    for (k = 0; k < 5; k++) {
        sprintf(type, "t%d", k);
        zone_event(z, long_name("long", 200), type, ZONE_NOW, ZONE_NOW);
    }

    for (i = 0; ngx_analytics_pool_left(&z->users) >= 4; i++) {
        sprintf(user, "x%d", i);
        zone_event(z, user, "t1", ZONE_NOW, ZONE_NOW);
    }
}


/* the hand comes by two first who stay */

static void
full_users_soon(ngx_analytics_zone_t *z)
{
    uint32_t  n;

    full_users(z);

    for (n = 1;
         ngx_analytics_user(z, n)->heap
         || ngx_analytics_user(z, n)->flags != NGX_ANALYTICS_USER_HEAD;
         n++)
    { /* void */ }

    z->hand = n - 3;
}


/* one who is about to leave with all blocks there can be */

static void
full_users_hand(ngx_analytics_zone_t *z)
{
    uint32_t               n;
    ngx_str_t              name;
    ngx_analytics_user_t  *user;

    full_users(z);

    name.data = (u_char *) long_name("long", 200);
    name.len = 200;

    n = ngx_analytics_users_find(z, &name,
                       ngx_analytics_siphash(z->key, name.data, name.len));
    user = ngx_analytics_user(z, n);

    /* as if the heap had long forgotten and the hand just come here */

    if (user->heap) {
        diag("the long user is in the heap");
        exit(2);
    }

    user->flags &= (u_char) ~NGX_ANALYTICS_USER_TOUCHED;
    z->hand = n - 1;
}


/* all have been active since the hand came by */

static void
full_users_touched(ngx_analytics_zone_t *z)
{
    uint32_t  n;

    full_users(z);

    for (n = 1; n < z->users.bump; n++) {
        if (ngx_analytics_user(z, n)->heap) {
            z->hand = n;
        }
    }

    for (n = z->hand + 1; n <= z->hand + 5; n++) {
        if (ngx_analytics_user(z, n)->flags & NGX_ANALYTICS_USER_HEAD) {
            ngx_analytics_user(z, n)->flags |= NGX_ANALYTICS_USER_TOUCHED;
        }
    }
}


/* blocks have been given back: the next users take them */

static void
free_users(ngx_analytics_zone_t *z)
{
    full_users_hand(z);

    zone_event(z, "one that makes room", "t1", ZONE_NOW, ZONE_NOW);
}


/* the heap's users hold all there is */

static void
stuck_users(ngx_analytics_zone_t *z)
{
    int   i, k;
    char  user[32];

    for (k = 0; k < 8; k++) {
        for (i = 0; i < (int) z->top_max; i++) {
            sprintf(user, "top%d", i);
            zone_event(z, long_name(user, 255), "t", ZONE_NOW, ZONE_NOW);
        }
    }

    /* the next type of this one needs a block */

    for (k = 0; k < 2; k++) {
        sprintf(user, "t%d", k);
        zone_event(z, long_name("top0", 255), user, ZONE_NOW, ZONE_NOW);
    }

    z->users.nblocks = z->users.bump - 1;
}


static void
full_types(ngx_analytics_zone_t *z)
{
    int   i;
    char  type[32];

    for (i = 0; i < TYPES; i++) {
        sprintf(type, "t%d", i);
        zone_event(z, "u", type, ZONE_NOW, ZONE_NOW);
    }
}


/* the cells' pool has no room, all of it old hours */

static void
full_cells(ngx_analytics_zone_t *z)
{
    int64_t  hours;

    zone_event(z, "u0", "t0", ZONE_NOW - 10 * ZONE_HOUR, ZONE_NOW);

    for (hours = 20000; ngx_analytics_pool_left(&z->cells) >= 4; hours--) {
        zone_event(z, "u0", "t0", ZONE_NOW - hours * 16 * ZONE_HOUR,
                   ZONE_NOW);
    }
}


/* minutes that are still to come fill it */

static void
full_ahead(ngx_analytics_zone_t *z)
{
    int   i, k;
    char  type[32];

    for (i = 23 * 60; i > 70; i -= 60) {
        for (k = 0; k < TYPES; k++) {
            sprintf(type, "t%d", k);
            zone_event(z, "u0", type, ZONE_NOW + i * ZONE_MINUTE, ZONE_NOW);
        }
    }

    z->cells.nblocks = z->cells.bump - 1;
}


/* and then not even these */

static void
stuck_cells(ngx_analytics_zone_t *z)
{
    zone_event(z, "u0", "t0", ZONE_NOW, ZONE_NOW);
    z->cells.nblocks = z->cells.bump - 1;
}


static void
two_days(ngx_analytics_zone_t *z)
{
    some(z, 200, 1);
}


static void act_new(ngx_analytics_zone_t *z)
{ zone_event(z, "somebody", "t1", NGX_ANALYTICS_TIME_NONE, ZONE_NOW + 1); }

static void act_known(ngx_analytics_zone_t *z)
{ zone_event(z, "u3", "t0", ZONE_NOW + 1, ZONE_NOW + 1); }

static void act_early(ngx_analytics_zone_t *z)
{ zone_event(z, "u3", "t1", ZONE_NOW - 1000 * ZONE_HOUR, ZONE_NOW); }

static void act_root(ngx_analytics_zone_t *z)
{
    u_char  name[256];
    size_t  len;

    len = zone_user_name(z, ngx_analytics_user(z, (uint32_t) z->top[0].user),
                         name);
    name[len] = '\0';

    zone_event(z, (char *) name, "t1", ZONE_NOW, ZONE_NOW);
}

/* an outsider takes the place of the weakest */
static void act_climb(ngx_analytics_zone_t *z)
{
    uint32_t  n;
    u_char    name[256];

    for (n = 1; ngx_analytics_user(z, n)->heap; n++) { /* void */ }

    name[zone_user_name(z, ngx_analytics_user(z, n), name)] = '\0';

    zone_event(z, (char *) name, "t1", ZONE_NOW, ZONE_NOW);
}

static void act_wide(ngx_analytics_zone_t *z)
{ zone_event(z, long_name("top0", 255), "t9", ZONE_NOW, ZONE_NOW); }

static void act_first_of_all(ngx_analytics_zone_t *z)
{ zone_event(z, "  before all", "t1", ZONE_NOW, ZONE_NOW); }

static void act_long(ngx_analytics_zone_t *z)
{ zone_event(z, long_name("?", 255), "brand new", ZONE_NOW, ZONE_NOW); }

static void act_type(ngx_analytics_zone_t *z)
{ zone_event(z, "u", "one more", ZONE_NOW, ZONE_NOW); }

static void act_soon(ngx_analytics_zone_t *z)
{ zone_event(z, "u0", "t0", ZONE_NOW + ZONE_DAY - 1, ZONE_NOW); }

static void act_oldest(ngx_analytics_zone_t *z)
{ zone_event(z, "u0", "t0", 0, ZONE_NOW); }

static void act_3_days(ngx_analytics_zone_t *z)
{ zone_event(z, "u0", "t0", ZONE_NOW + 3 * ZONE_DAY,
             ZONE_NOW + 3 * ZONE_DAY); }

/* a round of the minutes' ring is 128 * 64 minutes */
static void act_round(ngx_analytics_zone_t *z)
{ zone_event(z, "u0", "t0", ZONE_NOW + 8192 * ZONE_MINUTE,
             ZONE_NOW + 8192 * ZONE_MINUTE); }

static void act_accept(ngx_analytics_zone_t *z)
{
    int64_t  received;

    ngx_analytics_zone_accept(z, 5, ZONE_NOW + 1, &received);
}

static void act_program(ngx_analytics_zone_t *z)
{
    ngx_analytics_program_t  program = { 7, 30 * ZONE_DAY };

    ngx_analytics_zone_program(z, &program);
}

static void act_batch(ngx_analytics_zone_t *z)
{
    size_t                 i;
    ngx_analytics_event_t  events[3];

    memset(events, 0, sizeof(events));

    for (i = 0; i < 3; i++) {
        ngx_str_set(&events[i].user, "several");
        ngx_str_set(&events[i].type, "at once");
        events[i].time = ZONE_NOW - (int64_t) i * ZONE_HOUR;
    }

    ngx_analytics_zone_hash(z, events, 3);
    ngx_analytics_zone_fold(z, events, 3, ZONE_NOW);
}


static void
more_types(ngx_analytics_zone_t *z)
{
    uint32_t               i;
    ngx_analytics_user_t  *user;

    /* as if there had been 17 types: the next needs the second block */

    full_types(z);
    user = ngx_analytics_user(z, 1);

    for (i = user->ntypes - 3; i < 14; i++) {
        ngx_analytics_more(z, user->types_more)->u.types[i] =
                                                   (uint64_t) 2 << 48;
    }

    user->ntypes = 17;
}


/* no entry of u is of type 0, "other" */

static crash_case_t  cases[] = {
    { "the first event", none, act_new },
    { "a new user", few, act_new },
    { "a known user", few, act_known },
    { "an early time", few, act_early },
    { "the weakest of the top", full_heap, act_root },
    { "a new one of the top", full_heap, act_climb },
    { "the top of a small heap", few, act_first_of_all },
    { "a long name and a new type", few, act_long },
    { "blocks given back", free_users, act_long },
    { "the last type", few, act_type },
    { "a type too many", full_types, act_type },
    { "a second block of types", more_types, act_type },
    { "one who leaves", full_users_soon, act_new },
    { "one who leaves with many blocks", full_users_hand, act_long },
    { "a second chance", full_users_touched, act_new },
    { "no user can leave", stuck_users, act_new },
    { "no block for a type", stuck_users, act_wide },
    { "an old period for room", full_cells, act_3_days },
    { "older than all that is kept", full_cells, act_oldest },
    { "minutes ahead for room", full_ahead, act_known },
    { "no cell at all", stuck_cells, act_soon },
    { "expired minutes", two_days, act_3_days },
    { "a round of the minutes later", two_days, act_round },
    { "a batch", few, act_batch },
    { "the acceptance", few, act_accept },
    { "the program", few, act_program }
};


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
    base = malloc(zone_size);
    scratch = malloc(zone_size);

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        crash(&cases[i]);
    }

    check_damage();

    diag("the longest transaction saved %" PRIu64 " words of %d",
         (uint64_t) ngx_analytics_undo_high, NGX_ANALYTICS_UNDO_MAX);

    for (i = 0; i < STATES_MAX; i++) {
        free(states[i]);
    }

    free(base);
    free(scratch);

    return done_testing();
}
