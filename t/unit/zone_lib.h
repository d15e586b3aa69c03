
/*
 * What the zone's tests share: a zone in memory of its own, events, a
 * random source, and an inspector that walks all there is in a zone.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _ZONE_LIB_H_INCLUDED_
#define _ZONE_LIB_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <sys/mman.h>
#include "ngx_analytics_chunks.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_keys.h"
#include "ngx_analytics_layout.h"
#include "ngx_analytics_measures.h"
#include "rules_lib.h"
#include "tap.h"


#define ZONE_SECOND  ((int64_t) 1000000)
#define ZONE_MINUTE  (60 * ZONE_SECOND)
#define ZONE_HOUR    (60 * ZONE_MINUTE)
#define ZONE_DAY     (24 * ZONE_HOUR)

/* 2025-09-23T09:00:00Z */
#define ZONE_NOW     (1758618000 * ZONE_SECOND)

#define ZONE_UNUSED  __attribute__((unused))


static uint64_t  zone_seed = 1;

/* users were erased: their events are nobody's */
ZONE_UNUSED static int  zone_forgets;


/* splitmix64 by S. Vigna */
ZONE_UNUSED
static uint64_t
zone_random(uint64_t n)
{
    uint64_t  x;

    x = (zone_seed += 0x9e3779b97f4a7c15ULL);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;

    return (x ^ (x >> 31)) % n;
}


/* Shared, so that a child's stores are seen; never touched is never there. */
ZONE_UNUSED
static ngx_analytics_zone_t *
zone_new(size_t size, ngx_uint_t types)
{
    void                       *mem;
    ngx_analytics_zone_t       *z;
    ngx_analytics_zone_conf_t   conf;

    mem = mmap(NULL, size, PROT_READ|PROT_WRITE,
               MAP_SHARED|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0);

    if (mem == MAP_FAILED) {
        diag("mmap(%zu) failed", size);
        exit(2);
    }

    conf.types = types;
    conf.key[0] = 0x0706050403020100ULL;
    conf.key[1] = 0x0f0e0d0c0b0a0908ULL;
    conf.now = ZONE_NOW;

    z = ngx_analytics_zone_create(mem, size, &conf);

    if (z == NULL) {
        diag("no zone of %zu bytes", size);
        exit(2);
    }

    return z;
}


ZONE_UNUSED
static void
zone_delete(ngx_analytics_zone_t *z)
{
    munmap(z, z->size);
}


/* One event by C strings, received at that time, with a time of its own. */
ZONE_UNUSED
static void
zone_event(ngx_analytics_zone_t *z, const char *user, const char *type,
    int64_t time, int64_t now)
{
    int64_t                received;
    uint64_t               seq;
    ngx_analytics_event_t  event;

    ngx_memzero(&event, sizeof(event));

    event.user.data = (u_char *) user;
    event.user.len = strlen(user);
    event.type.data = (u_char *) type;
    event.type.len = strlen(type);
    event.time = time;

    ngx_analytics_zone_hash(z, &event, 1);
    seq = ngx_analytics_zone_accept(z, 1, now, &received);
    ngx_analytics_zone_fold(z, &event, 1, seq, received);
}


/*
 * The inspector.  Each function returns NULL or what is wrong.  A block is
 * marked when it is met; to meet one twice is wrong, and so is to end with
 * one that was never met.
 */


#define ZONE_REQUIRE(cond)                                                    \
    do {                                                                      \
        if (!(cond)) {                                                        \
            return #cond;                                                     \
        }                                                                     \
    } while (0)


typedef struct {
    u_char    *marks;                  /* by block number */
    uint32_t   used;
    uint32_t   bump;
} zone_marks_t;


ZONE_UNUSED
static const char *
zone_mark(zone_marks_t *m, uint32_t block)
{
    ZONE_REQUIRE(block > 0 && block < m->bump);
    ZONE_REQUIRE(m->marks[block] == 0);

    m->marks[block] = 1;
    m->used++;

    return NULL;
}


#define ZONE_MARK(m, block)                                                   \
    do {                                                                      \
        const char  *bad = zone_mark(m, block);                               \
                                                                              \
        if (bad) {                                                            \
            return bad;                                                       \
        }                                                                     \
    } while (0)


ZONE_UNUSED
static size_t
zone_user_name(ngx_analytics_zone_t *z, ngx_analytics_user_t *user,
    u_char *name)
{
    size_t     i;
    uint32_t   more;

    more = user->name_more;

    for (i = 0; i < user->len; i++) {

        if (i < NGX_ANALYTICS_USER_INLINE) {
            name[i] = user->name[i];
            continue;
        }

        if (i > NGX_ANALYTICS_USER_INLINE
            && (i - NGX_ANALYTICS_USER_INLINE)
               % NGX_ANALYTICS_MORE_NAME == 0)
        {
            more = ngx_analytics_more(z, more)->next;
        }

        name[i] = ngx_analytics_more(z, more)->u.name[
                    (i - NGX_ANALYTICS_USER_INLINE)
                    % NGX_ANALYTICS_MORE_NAME];
    }

    return i;
}


/* Whether the first of two users comes later in a list of the top. */
ZONE_UNUSED
static int
zone_weaker(ngx_analytics_zone_t *z, uint32_t a, uint32_t b)
{
    int                    rc;
    size_t                 n1, n2;
    u_char                 name1[256], name2[256];
    ngx_analytics_user_t  *one, *two;

    one = ngx_analytics_user(z, a);
    two = ngx_analytics_user(z, b);

    if (one->count != two->count) {
        return one->count < two->count;
    }

    n1 = zone_user_name(z, one, name1);
    n2 = zone_user_name(z, two, name2);

    rc = memcmp(name1, name2, ngx_min(n1, n2));

    return rc ? rc > 0 : n1 > n2;
}


/* Days are there once, and the first and last are; sessions do not meet. */
ZONE_UNUSED
static const char *
zone_check_days(ngx_analytics_zone_t *z, ngx_analytics_user_t *user,
    zone_marks_t *m)
{
    uint32_t                  more;
    ngx_uint_t                i, k, day, first, last, found;
    ngx_analytics_session_t  *s;

    first = NGX_ANALYTICS_DAYS_MAX;
    last = 0;
    found = 0;

    for (more = user->days_more;
         more;
         more = ngx_analytics_more(z, more)->next)
    {
        ZONE_MARK(m, more);
        ZONE_REQUIRE(user->ndays == NGX_ANALYTICS_USER_DAYS_BITS);

        for (i = 0; i < NGX_ANALYTICS_MORE_DAYS; i++) {
            if (ngx_analytics_more(z, more)->u.days[i / 64] >> (i % 64) & 1)
            {
                day = ngx_analytics_more(z, more)->tail
                      * NGX_ANALYTICS_MORE_DAYS + i;
                first = ngx_min(first, day);
                last = ngx_max(last, day);
                found++;
            }
        }
    }

    if (user->ndays != NGX_ANALYTICS_USER_DAYS_BITS) {
        ZONE_REQUIRE(user->ndays <= NGX_ANALYTICS_USER_DAYS);

        for (i = 0; i < user->ndays; i++) {
            first = ngx_min(first, user->days[i]);
            last = ngx_max(last, user->days[i]);
            found++;

            for (k = 0; k < i; k++) {
                ZONE_REQUIRE(user->days[k] != user->days[i]);
            }
        }
    }

    if (found) {
        ZONE_REQUIRE(user->day_first == first && user->day_last == last);
    }

    s = user->sessions;
    i = user->nsessions & 0x7f;

    ZONE_REQUIRE(i <= 2);
    ZONE_REQUIRE(i < 1 || (s[0].start <= s[0].end && s[0].end <= user->last));
    ZONE_REQUIRE(i < 2 || (s[1].start <= s[1].end && s[1].end < s[0].start
                           && s[1].start >= user->first));

    return NULL;
}


ZONE_UNUSED
static const char *
zone_check_user(ngx_analytics_zone_t *z, uint32_t block, uint32_t bucket,
    zone_marks_t *m)
{
    size_t                 len, need;
    u_char                 name[256];
    uint32_t               more, last;
    uint64_t               sum;
    ngx_uint_t             i, n;
    const char            *wrong;
    ngx_analytics_user_t  *user;

    user = ngx_analytics_user(z, block);

    ZONE_REQUIRE(user->flags & NGX_ANALYTICS_USER_HEAD);
    ZONE_REQUIRE((user->hash & z->users_mask) == bucket);
    ZONE_REQUIRE(user->len > 0 && user->count > 0);
    ZONE_REQUIRE(user->first <= user->last);

    need = 0;

    for (more = user->name_more;
         more;
         more = ngx_analytics_more(z, more)->next)
    {
        ZONE_MARK(m, more);
        need += NGX_ANALYTICS_MORE_NAME;
    }

    len = (user->len > NGX_ANALYTICS_USER_INLINE)
          ? user->len - NGX_ANALYTICS_USER_INLINE : 0;
    ZONE_REQUIRE(need >= len && need < len + NGX_ANALYTICS_MORE_NAME);

    len = zone_user_name(z, user, name);
    ZONE_REQUIRE(user->hash == (uint32_t) (ngx_analytics_siphash(z->key, name,
                                                               len) >> 32));

    sum = 0;
    n = ngx_min(user->ntypes, NGX_ANALYTICS_USER_TYPES);

    for (i = 0; i < n; i++) {
        ZONE_REQUIRE((user->types[i] >> 48) < z->ntypes);
        sum += user->types[i] & 0xffffffffffff;
    }

    last = 0;
    n = user->ntypes - n;

    for (more = user->types_more;
         more;
         more = ngx_analytics_more(z, more)->next)
    {
        ZONE_MARK(m, more);
        ZONE_REQUIRE(n > 0);

        for (i = (n - 1) % NGX_ANALYTICS_MORE_TYPES + 1; i; i--, n--) {
            ZONE_REQUIRE((ngx_analytics_more(z, more)->u.types[i - 1] >> 48)
                         < z->ntypes);
            sum += ngx_analytics_more(z, more)->u.types[i - 1]
                   & 0xffffffffffff;
        }

        last = more;
    }

    ZONE_REQUIRE(n == 0);
    ZONE_REQUIRE(last == 0
                 || ngx_analytics_more(z, user->types_more)->tail == last);

    wrong = zone_check_days(z, user, m);
    if (wrong) {
        return wrong;
    }

    /* types beyond the maximum count as "other", those without room nowhere */

    if (user->flags & NGX_ANALYTICS_USER_LOSSY) {
        ZONE_REQUIRE(sum <= user->count);
        ZONE_REQUIRE(user->ntypes <= NGX_ANALYTICS_USER_TYPES_MAX + 1);
    } else {
        ZONE_REQUIRE(sum == user->count);
    }

    if (user->heap) {
        ZONE_REQUIRE(user->heap <= z->top_size);
        ZONE_REQUIRE(z->top[user->heap - 1].user == block);
        ZONE_REQUIRE(z->top[user->heap - 1].count == user->count);

    } else {
        ZONE_REQUIRE(z->top_size == z->top_max);
        ZONE_REQUIRE(zone_weaker(z, block, (uint32_t) z->top[0].user));
    }

    return NULL;
}


ZONE_UNUSED
static const char *
zone_check_users(ngx_analytics_zone_t *z, zone_marks_t *m)
{
    uint32_t     i, n, *buckets;
    uint64_t     live, sum;
    const char  *wrong;

    live = 0;
    sum = 0;
    buckets = ngx_analytics_at(z, z->users_hash);

    for (i = 0; i <= z->users_mask; i++) {

        for (n = buckets[i]; n; n = ngx_analytics_user(z, n)->next) {
            ZONE_MARK(m, n);

            wrong = zone_check_user(z, n, i, m);
            if (wrong) {
                return wrong;
            }

            live++;
            sum += ngx_analytics_user(z, n)->count;
        }
    }

    ZONE_REQUIRE(z->live == live);
    ZONE_REQUIRE(z->users.used == m->used);
    ZONE_REQUIRE(sum <= z->events);
    ZONE_REQUIRE(z->evicted || zone_forgets || sum + z->refused == z->events);
    ZONE_REQUIRE(z->top_size == ngx_min(live, z->top_max));

    for (i = 1; i < z->top_size; i++) {
        ZONE_REQUIRE(zone_weaker(z, (uint32_t) z->top[(i - 1) / 2].user,
                                 (uint32_t) z->top[i].user));
    }

    for (i = 0; i < z->top_size; i++) {
        ZONE_REQUIRE(ngx_analytics_user(z, (uint32_t) z->top[i].user)->heap
                     == i + 1);
    }

    for (n = z->users.free; n; n = ngx_analytics_user(z, n)->next) {
        ZONE_MARK(m, n);
        ZONE_REQUIRE(!(ngx_analytics_user(z, n)->flags
                       & NGX_ANALYTICS_USER_HEAD));
    }

    return NULL;
}


/* How many chunks a level has. */
ZONE_UNUSED
static size_t
zone_chunks(ngx_analytics_zone_t *z, ngx_uint_t level)
{
    size_t    found;
    int64_t   i;
    uint32_t  ring, n;

    found = 0;

    for (i = 0; i < ngx_analytics_ring_size(level); i++) {
        ring = *ngx_analytics_chunk_ring(z, level, i);

        for (n = ring; n; n = (n == ring) ? 0 : n) {
            found++;
            n = ngx_analytics_chunk(z, n)->link;
        }
    }

    return found;
}


/* Of a plane that is of one bucket a chunk, 64 are a period. */
ZONE_UNUSED
static int64_t
zone_period(uint64_t key)
{
    int64_t  number = (int64_t) (key & 0xffffffff);

    return (key >> 56 & 0x1f) >= 8 ? number / 64 : number;
}


ZONE_UNUSED
static const char *
zone_check_series(ngx_analytics_zone_t *z, uint64_t key)
{
    uint64_t  level = key >> 61, series = key >> 32 & 0xffffff;

    if (series >= 0x10000) {
        ZONE_REQUIRE(series >> 16 <= NGX_ANALYTICS_MEASURES);
        ZONE_REQUIRE(z->measures[(series >> 16) - 1].signature);

    } else if (level == NGX_ANALYTICS_DAYS) {
        ZONE_REQUIRE(series < NGX_ANALYTICS_DAILIES);

    } else {
        ZONE_REQUIRE(level < NGX_ANALYTICS_TYPE_LEVELS);
        ZONE_REQUIRE(series <= z->ntypes);
    }

    return NULL;
}


ZONE_UNUSED
static const char *
zone_check_ring(ngx_analytics_zone_t *z, uint32_t ring, int64_t level,
    int64_t slot, zone_marks_t *m)
{
    int64_t                 number, l;
    uint32_t                n, count;
    const char             *wrong;
    ngx_analytics_chunk_t  *chunk;

    n = ring;
    count = 0;

    do {
        ZONE_MARK(m, n);
        chunk = ngx_analytics_chunk(z, n);
        number = zone_period(chunk->key);
        l = (int64_t) (chunk->key >> 61);

        ZONE_REQUIRE(l < NGX_ANALYTICS_LEVELS);
        ZONE_REQUIRE(ngx_analytics_chunk_find(z, chunk->key) == n);

        wrong = zone_check_series(z, chunk->key);
        if (wrong) {
            return wrong;
        }

        if (level >= 0) {
            ZONE_REQUIRE(l == level);
            ZONE_REQUIRE(number >= z->spans[level].lowest
                         || number < z->spans[level].horizon);
            ZONE_REQUIRE(number % ngx_analytics_ring_size((ngx_uint_t) level)
                         == slot);
            ZONE_REQUIRE(number
                         == zone_period(ngx_analytics_chunk(z, ring)->key));

        } else {
            ZONE_REQUIRE(number < z->spans[l].horizon);
        }

        n = chunk->link;

        ZONE_REQUIRE(++count <= z->cells.used);

    } while (n != ring);

    return NULL;
}


/* Groups are in their measure's list once, each with an index of its own. */
ZONE_UNUSED
static const char *
zone_check_groups(ngx_analytics_zone_t *z, ngx_uint_t i, zone_marks_t *m)
{
    uint32_t                  n, count;
    uint64_t                  seen[NGX_ANALYTICS_GONE] = { 0 }, bit;
    ngx_str_t                 name;
    ngx_analytics_group_t    *group;
    ngx_analytics_measure_t  *measure;

    measure = &z->measures[i];
    count = 0;

    for (n = measure->groups; n; n = group->link) {
        ZONE_MARK(m, n);
        ZONE_REQUIRE(measure->signature);

        group = ngx_analytics_group(z, n);
        bit = (uint64_t) 1 << (group->index % 64);

        ZONE_REQUIRE(group->index >= NGX_ANALYTICS_GROUP_FIRST
                     && group->index < NGX_ANALYTICS_GONE * 64);
        ZONE_REQUIRE(!(seen[group->index / 64] & bit));
        ZONE_REQUIRE(!(measure->gone[group->index / 64] & bit)
                     == !group->pass);

        seen[group->index / 64] |= bit;
        count += !group->pass;

        name.data = group->name;
        name.len = group->len;

        ZONE_REQUIRE(group->hash == ngx_analytics_siphash(z->key, name.data,
                                                          name.len));
        ZONE_REQUIRE(ngx_analytics_groups_find(z, i, &name, group->hash)
                     == n);
    }

    ZONE_REQUIRE(count == measure->ngroups);
    ZONE_REQUIRE(count <= measure->groups_max);

    return NULL;
}


ZONE_UNUSED
static const char *
zone_check_cells(ngx_analytics_zone_t *z, zone_marks_t *m)
{
    int64_t      i;
    uint32_t     n, k, chained, ring, *buckets;
    ngx_uint_t   level;
    const char  *wrong;

    wrong = NULL;

    for (level = 0; level < NGX_ANALYTICS_LEVELS; level++) {

        for (i = 0;
             i < ngx_analytics_ring_size(level) && wrong == NULL;
             i++)
        {
            ring = *ngx_analytics_chunk_ring(z, level, i);

            if (ring) {
                wrong = zone_check_ring(z, ring, (int64_t) level, i, m);
            }
        }
    }

    for (i = 0; i < NGX_ANALYTICS_MEASURES && wrong == NULL; i++) {
        wrong = zone_check_groups(z, (ngx_uint_t) i, m);
    }

    if (wrong == NULL && z->expired) {
        wrong = zone_check_ring(z, z->expired, -1, 0, m);
    }

    if (wrong) {
        return wrong;
    }

    ZONE_REQUIRE(z->cells.used == m->used);

    /* each was found by its key, so no chain may hold any other */

    chained = 0;
    buckets = ngx_analytics_at(z, z->cells_hash);

    for (k = 0; k <= z->cells_mask; k++) {
        for (n = buckets[k]; n; n = ngx_analytics_chunk(z, n)->next) {
            ZONE_REQUIRE(++chained <= z->cells.used);
        }
    }

    ZONE_REQUIRE(chained == z->cells.used);

    for (n = z->cells.free; n; n = ngx_analytics_chunk(z, n)->next) {
        ZONE_MARK(m, n);
        ZONE_REQUIRE(ngx_analytics_chunk(z, n)->key == UINT64_MAX);
    }

    return NULL;
}


ZONE_UNUSED
static const char *
zone_check_types(ngx_analytics_zone_t *z)
{
    uint32_t     i, n, reached, *buckets;
    uint64_t     sum;

    sum = 0;
    reached = 0;
    buckets = ngx_analytics_at(z, z->types_hash);

    ZONE_REQUIRE(z->ntypes <= z->types_max);

    for (i = 0; i <= z->types_mask; i++) {
        for (n = buckets[i]; n; n = ngx_analytics_type(z, n - 1)->next) {
            ZONE_REQUIRE(n <= z->ntypes);
            ZONE_REQUIRE((ngx_analytics_type(z, n - 1)->hash & z->types_mask)
                         == i);
            ZONE_REQUIRE(++reached <= z->ntypes);
        }
    }

    ZONE_REQUIRE(reached == z->ntypes);

    for (i = 0; i < z->ntypes; i++) {
        sum += ngx_analytics_type(z, i)->count;
    }

    ZONE_REQUIRE(sum == z->events);

    for (i = 0, sum = 0; i < 24; i++) {
        sum += z->hour_of_day[i];
    }

    ZONE_REQUIRE(sum == z->events);

    return NULL;
}


/*
 * Every key in use is in its bucket once; of those with the same hash the
 * newest comes first, and the others were too old when it came.
 */
ZONE_UNUSED
static const char *
zone_check_keys(ngx_analytics_zone_t *z, u_char *marks)
{
    uint32_t               i, n, k, count, *buckets;
    ngx_analytics_slot_t  *slot, *older;

    count = 0;
    buckets = ngx_analytics_at(z, z->keys_hash);

    ZONE_REQUIRE(z->keys_count <= z->keys_max);
    ZONE_REQUIRE(z->keys_head < z->keys_max);
    ZONE_REQUIRE(z->keys_count == z->keys_max
                 || z->keys_head == z->keys_count);

    for (i = 0; i <= z->keys_mask; i++) {
        for (n = buckets[i]; n; n = slot->next) {
            ZONE_REQUIRE(n <= z->keys_count);
            ZONE_REQUIRE(marks[n - 1] == 0);

            marks[n - 1] = 1;
            count++;

            slot = ngx_analytics_slot(z, n - 1);
            ZONE_REQUIRE((slot->hash >> 32 & z->keys_mask) == i);

            for (k = slot->next; k; k = older->next) {
                ZONE_REQUIRE(k <= z->keys_count);
                older = ngx_analytics_slot(z, k - 1);

                ZONE_REQUIRE(older->hash != slot->hash
                             || slot->received - older->received
                                >= NGX_ANALYTICS_KEYS_WINDOW);
            }
        }
    }

    ZONE_REQUIRE(count == z->keys_count);

    return NULL;
}


/* Returns NULL if all is well. */
ZONE_UNUSED
static const char *
zone_check(ngx_analytics_zone_t *z)
{
    uint32_t      i;
    ngx_uint_t    pool;
    const char   *wrong;
    zone_marks_t  m;

    ZONE_REQUIRE(z->undo_count == 0);

    wrong = zone_check_types(z);

    if (wrong == NULL) {
        m.marks = calloc(z->keys_max, 1);
        wrong = zone_check_keys(z, m.marks);
        free(m.marks);
    }

    for (pool = 0; pool < 2 && wrong == NULL; pool++) {
        m.bump = pool ? z->cells.bump : z->users.bump;
        m.used = 0;
        m.marks = calloc(m.bump, 1);

        wrong = pool ? zone_check_cells(z, &m) : zone_check_users(z, &m);

        for (i = 1; i < m.bump && wrong == NULL; i++) {
            if (m.marks[i] == 0) {
                wrong = "a block that is neither in use nor free";
            }
        }

        free(m.marks);
    }

    return wrong;
}


ZONE_UNUSED
static void
zone_sound(ngx_analytics_zone_t *z, const char *name)
{
    const char  *wrong;

    wrong = zone_check(z);

    if (!ok(wrong == NULL, "%s: every block is in one place and all counts "
            "agree", name))
    {
        diag("violated: %s", wrong);
    }
}


#endif /* _ZONE_LIB_H_INCLUDED_ */
