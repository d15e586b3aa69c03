
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_arena.h"
#include "ngx_analytics_cells.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_time.h"
#include "ngx_analytics_top.h"
#include "ngx_analytics_types.h"
#include "ngx_analytics_users.h"


#define NGX_ANALYTICS_USERS_LEAST  256       /* blocks of the least zone */
#define NGX_ANALYTICS_CELLS_LEAST  64

/*
 * How many blocks the hand passes for one event, at most.  When there is no
 * room then, a new user is not taken in, and the next event goes on.
 */
#define NGX_ANALYTICS_EVICT_STEPS  512

#define NGX_ANALYTICS_AHEAD        6         /* users prefetched */


/*
 * The largest transaction is that of an event: the totals, the time of
 * receipt, the hour of the day and the register are one word each.
 */
_Static_assert(4 + NGX_ANALYTICS_TYPES_WORDS + NGX_ANALYTICS_USERS_WORDS
               + NGX_ANALYTICS_TOP_WORDS + NGX_ANALYTICS_CELLS_WORDS
               <= NGX_ANALYTICS_UNDO_MAX, "the undo area is too small");

_Static_assert(sizeof(ngx_analytics_user_t) == 128
               && sizeof(ngx_analytics_more_t) == 128, "users' blocks");

/* one word is a user's place in the heap and its flags: see "mark" */
_Static_assert(offsetof(ngx_analytics_user_t, heap)
               == offsetof(ngx_analytics_block_t, mark)
               && offsetof(ngx_analytics_chunk_t, key)
                  == offsetof(ngx_analytics_block_t, mark), "first words");


static uint32_t ngx_analytics_zone_pow2(uint64_t n);
static uint64_t ngx_analytics_zone_fixed(ngx_uint_t types);
static ngx_int_t ngx_analytics_zone_layout(ngx_analytics_zone_t *z,
    size_t size, ngx_uint_t types);
static void ngx_analytics_zone_fold_one(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *event, int64_t received);
static void ngx_analytics_zone_room(ngx_analytics_zone_t *z,
    int64_t received);


static uint32_t
ngx_analytics_zone_pow2(uint64_t n)
{
    uint32_t  p;

    for (p = 1; p < n && p < 0x80000000; p *= 2) { /* void */ }

    return p;
}


/* All that does not depend on the size, with some for alignment. */

static uint64_t
ngx_analytics_zone_fixed(ngx_uint_t types)
{
    return sizeof(ngx_analytics_zone_t)
           + (types + 1) * sizeof(ngx_analytics_type_t)
           + ngx_analytics_zone_pow2(types + 1) * sizeof(uint32_t)
           + 4 * 128;
}


/*
 * A bucket a block, rounded up to a power of two, is less than 8 bytes each.
 * Users get three quarters of what is left, cells the fourth.
 */
#define ngx_analytics_zone_users(rest)                                        \
    ((rest) / 4 * 3 / (sizeof(ngx_analytics_user_t) + 2 * sizeof(uint32_t)))

#define ngx_analytics_zone_chunks(rest)                                       \
    ((rest) / 4 / (sizeof(ngx_analytics_chunk_t) + 2 * sizeof(uint32_t)))


size_t
ngx_analytics_zone_min_size(ngx_uint_t types)
{
    size_t  size;

    size = (NGX_ANALYTICS_CELLS_LEAST + 1) * 4
           * (sizeof(ngx_analytics_chunk_t) + 2 * sizeof(uint32_t));

    return ngx_analytics_zone_fixed(types) + size;
}


ngx_analytics_zone_t *
ngx_analytics_zone_create(void *mem, size_t size,
    ngx_analytics_zone_conf_t *conf)
{
    ngx_analytics_zone_t  *z;

    z = mem;

    if (conf->types < NGX_ANALYTICS_TYPES_MIN
        || conf->types > NGX_ANALYTICS_TYPES_MAX
        || size < ngx_analytics_zone_min_size(conf->types)
        || ngx_analytics_zone_layout(z, size, conf->types) != NGX_OK)
    {
        return NULL;
    }

    z->layout = NGX_ANALYTICS_LAYOUT;
    z->size = size;
    z->key[0] = conf->key[0];
    z->key[1] = conf->key[1];
    z->created = conf->now;
    z->received = conf->now;

    ngx_analytics_types_init(z);
    ngx_analytics_cells_init(z);
    ngx_analytics_commit(z);

    z->magic = NGX_ANALYTICS_MAGIC;

    return z;
}


static ngx_int_t
ngx_analytics_zone_layout(ngx_analytics_zone_t *z, size_t size,
    ngx_uint_t types)
{
    uint32_t  buckets;
    uint64_t  rest, p, nusers, nchunks;

    rest = size - ngx_analytics_zone_fixed(types);
    nusers = ngx_min(ngx_analytics_zone_users(rest), 0x40000000);
    nchunks = ngx_min(ngx_analytics_zone_chunks(rest), 0x40000000);

    if (nusers < NGX_ANALYTICS_USERS_LEAST
        || nchunks < NGX_ANALYTICS_CELLS_LEAST)
    {
        return NGX_ERROR;
    }

    z->types_max = (uint32_t) types + 1;
    z->top_max = (uint32_t) ngx_min(NGX_ANALYTICS_TOP_MAX, nusers / 8);

    p = ngx_align(sizeof(ngx_analytics_zone_t), 64);

    z->types = p;
    p += z->types_max * sizeof(ngx_analytics_type_t);

    buckets = ngx_analytics_zone_pow2(types + 1);
    z->types_hash = p;
    z->types_mask = buckets - 1;
    p += buckets * sizeof(uint32_t);

    buckets = ngx_analytics_zone_pow2(nchunks);
    z->cells_hash = p;
    z->cells_mask = buckets - 1;
    p += buckets * sizeof(uint32_t);

    buckets = ngx_analytics_zone_pow2(nusers);
    z->users_hash = p;
    z->users_mask = buckets - 1;
    p += buckets * sizeof(uint32_t);

    p = ngx_align(p, 128);
    z->fixed = p;

    ngx_analytics_pool_init(&z->users, p, sizeof(ngx_analytics_user_t),
                            (uint32_t) nusers);
    p += nusers * sizeof(ngx_analytics_user_t);

    ngx_analytics_pool_init(&z->cells, p, sizeof(ngx_analytics_chunk_t),
                            (uint32_t) nchunks);
    p += nchunks * sizeof(ngx_analytics_chunk_t);

    return p <= size ? NGX_OK : NGX_ERROR;
}


void
ngx_analytics_zone_program(ngx_analytics_zone_t *z,
    ngx_analytics_program_t *program)
{
    if (z->program.totals == program->totals) {
        return;
    }

    ngx_analytics_put_time(z, &z->program.totals, program->totals);
    ngx_analytics_commit(z);
}


uint64_t
ngx_analytics_zone_accept(ngx_analytics_zone_t *z, ngx_uint_t n, int64_t now,
    int64_t *received)
{
    uint64_t  first;

    first = z->accepted + 1;

    ngx_analytics_add(z, &z->accepted, n);

    if (now > z->received) {
        ngx_analytics_put_time(z, &z->received, now);
    }

    *received = z->received;

    ngx_analytics_commit(z);

    return first;
}


void
ngx_analytics_zone_hash(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *events, ngx_uint_t n)
{
    ngx_uint_t              i;
    ngx_analytics_event_t  *event;

    for (i = 0; i < n; i++) {
        event = &events[i];

        event->user_hash = ngx_analytics_siphash(z->key, event->user.data,
                                                 event->user.len);

        __builtin_prefetch(ngx_analytics_users_bucket(z,
                                   ngx_analytics_hash32(event->user_hash)));

        event->type_hash = ngx_analytics_siphash(z->key, event->type.data,
                                                 event->type.len);
    }
}


void
ngx_analytics_zone_fold(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *events, ngx_uint_t n, int64_t received)
{
    ngx_uint_t  i;

    ngx_analytics_cells_advance(z, received);

    for (i = 0; i < n && i < NGX_ANALYTICS_AHEAD; i++) {
        ngx_analytics_users_prefetch(z, events[i].user_hash);
    }

    for (i = 0; i < n; i++) {

        if (i + NGX_ANALYTICS_AHEAD < n) {
            ngx_analytics_users_prefetch(z,
                                 events[i + NGX_ANALYTICS_AHEAD].user_hash);
        }

        ngx_analytics_zone_room(z, received);
        ngx_analytics_zone_fold_one(z, &events[i], received);
    }
}


/*
 * Room is made by transactions of their own, so that one event's takes
 * neither many words nor long.
 */
static void
ngx_analytics_zone_room(ngx_analytics_zone_t *z, int64_t received)
{
    ngx_uint_t  steps;

    steps = NGX_ANALYTICS_EVICT_STEPS;

    while (ngx_analytics_pool_left(&z->users) < NGX_ANALYTICS_USERS_NEED
           && steps)
    {
        ngx_analytics_users_evict(z, &steps);
    }

    ngx_analytics_cells_room(z, received);
}


static void
ngx_analytics_zone_fold_one(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *event, int64_t received)
{
    int64_t     time, hour;
    uint32_t    user;
    ngx_uint_t  type, reg, rank;

    time = (event->time == NGX_ANALYTICS_TIME_NONE) ? received : event->time;
    hour = ngx_analytics_floor_div(time, NGX_ANALYTICS_HOUR);
    hour -= ngx_analytics_floor_div(hour, 24) * 24;

    ngx_analytics_add(z, &z->events, 1);
    ngx_analytics_add(z, &z->hour_of_day[hour], 1);

    if (received > z->received) {
        ngx_analytics_put_time(z, &z->received, received);
    }

    type = ngx_analytics_types_fold(z, event);
    user = ngx_analytics_users_fold(z, event, type, time);

    if (user) {
        ngx_analytics_top_fold(z, user);
    }

    reg = ngx_analytics_hll_register(event->user_hash, &rank);

    if (z->hll[reg] < rank) {
        ngx_analytics_put8(z, &z->hll[reg], (u_char) rank);
    }

    ngx_analytics_cells_fold(z, type, time);

    ngx_analytics_commit(z);
}
