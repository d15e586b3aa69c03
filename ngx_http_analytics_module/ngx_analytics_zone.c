
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_arena.h"
#include "ngx_analytics_cells.h"
#include "ngx_analytics_dailies.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_keys.h"
#include "ngx_analytics_sessions.h"
#include "ngx_analytics_tally.h"
#include "ngx_analytics_time.h"
#include "ngx_analytics_top.h"
#include "ngx_analytics_types.h"
#include "ngx_analytics_users.h"


#define NGX_ANALYTICS_USERS_LEAST  256       /* blocks of the least zone */
#define NGX_ANALYTICS_CELLS_LEAST  64
#define NGX_ANALYTICS_KEYS_LEAST   64

/*
 * How many blocks the hand passes for one event, at most.  When there is no
 * room then, a new user is not taken in, and the next event goes on.
 */
#define NGX_ANALYTICS_EVICT_STEPS  512

#define NGX_ANALYTICS_AHEAD        6         /* users prefetched */


/*
 * The largest transaction is that of an event: the totals, the time of
 * receipt, the hour of the day, the register and the number are one word
 * each.
 */
_Static_assert(5 + NGX_ANALYTICS_TYPES_WORDS + NGX_ANALYTICS_USERS_WORDS
               + NGX_ANALYTICS_DAILIES_WORDS + NGX_ANALYTICS_SESSIONS_WORDS
               + NGX_ANALYTICS_TOP_WORDS + NGX_ANALYTICS_CELLS_WORDS
               + NGX_ANALYTICS_KEYS_WORDS + NGX_ANALYTICS_TALLY_WORDS
               <= NGX_ANALYTICS_UNDO_MAX, "the undo area is too small");

_Static_assert(sizeof(ngx_analytics_user_t) == 192
               && sizeof(ngx_analytics_more_t) == 192, "users' blocks");

/* one word is a user's place in the heap and its flags: see "mark" */
_Static_assert(offsetof(ngx_analytics_user_t, heap)
               == offsetof(ngx_analytics_block_t, mark)
               && offsetof(ngx_analytics_chunk_t, key)
                  == offsetof(ngx_analytics_block_t, mark), "first words");


/* memory for points that are made while the zone is locked */
typedef struct {
    size_t                  used;
    u_char                  memory[4 * NGX_ANALYTICS_POINTS_SIZE];
} ngx_analytics_zone_points_t;


static uint32_t ngx_analytics_zone_pow2(uint64_t n);
static uint64_t ngx_analytics_zone_fixed(ngx_uint_t types);
static uint64_t ngx_analytics_zone_table(uint64_t p, uint64_t n,
    uint64_t *offset, uint32_t *mask);
static ngx_int_t ngx_analytics_zone_layout(ngx_analytics_zone_t *z,
    size_t size, ngx_uint_t types);
static void ngx_analytics_zone_fold_one(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, ngx_analytics_event_t *event, uint64_t seq,
    int64_t received);
static ngx_inline void ngx_analytics_zone_user_fold(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, ngx_analytics_event_t *event,
    ngx_uint_t type, int64_t time);
static void ngx_analytics_zone_tally(ngx_analytics_tally_t *tally,
    ngx_analytics_event_t *event, uint64_t seq);
static void *ngx_analytics_zone_points_alloc(void *ctx, size_t size);
static void ngx_analytics_zone_flush(ngx_analytics_tally_t *tally);
static void ngx_analytics_zone_key(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *event, uint64_t seq, int64_t received);
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
           + 2 * NGX_ANALYTICS_PROGRAM_MAX
           + (types + 1) * sizeof(ngx_analytics_type_t)
           + ngx_analytics_zone_pow2(types + 1) * sizeof(uint32_t)
           + 5 * 128;
}


/*
 * A bucket a block, rounded up to a power of two, is less than 8 bytes each.
 * What is left is shared in 64 parts: users get 49, cells 11 and keys 4.
 */
#define ngx_analytics_zone_share(rest, parts, block)                          \
    ((rest) / 64 * (parts) / (sizeof(block) + 2 * sizeof(uint32_t)))

#define ngx_analytics_zone_users(rest)                                        \
    ngx_analytics_zone_share(rest, 49, ngx_analytics_user_t)

#define ngx_analytics_zone_chunks(rest)                                       \
    ngx_analytics_zone_share(rest, 11, ngx_analytics_chunk_t)

#define ngx_analytics_zone_keys(rest)                                         \
    ngx_analytics_zone_share(rest, 4, ngx_analytics_slot_t)


size_t
ngx_analytics_zone_min_size(ngx_uint_t types)
{
    size_t  size;

    /* cells have most of the least size */

    size = (NGX_ANALYTICS_CELLS_LEAST + 1)
           * (sizeof(ngx_analytics_chunk_t) + 2 * sizeof(uint32_t));

    return ngx_analytics_zone_fixed(types) + (size / 11 + 1) * 64;
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
    z->keys_lost = INT64_MIN;
    z->sweep.number = NGX_ANALYTICS_SWEEP_IDLE;

    ngx_analytics_types_init(z);
    ngx_analytics_cells_init(z);
    ngx_analytics_commit(z);

    z->magic = NGX_ANALYTICS_MAGIC;

    return z;
}


/* Lays buckets for n out at offset p.  Returns their end. */

static uint64_t
ngx_analytics_zone_table(uint64_t p, uint64_t n, uint64_t *offset,
    uint32_t *mask)
{
    uint32_t  buckets;

    buckets = ngx_analytics_zone_pow2(n);

    *offset = p;
    *mask = buckets - 1;

    return p + buckets * sizeof(uint32_t);
}


static ngx_int_t
ngx_analytics_zone_layout(ngx_analytics_zone_t *z, size_t size,
    ngx_uint_t types)
{
    uint64_t  rest, p, nusers, nchunks, nkeys;

    rest = size - ngx_analytics_zone_fixed(types);
    nusers = ngx_min(ngx_analytics_zone_users(rest), 0x40000000);
    nchunks = ngx_min(ngx_analytics_zone_chunks(rest), 0x40000000);
    nkeys = ngx_min(ngx_analytics_zone_keys(rest), 0x40000000);

    if (nusers < NGX_ANALYTICS_USERS_LEAST
        || nchunks < NGX_ANALYTICS_CELLS_LEAST
        || nkeys < NGX_ANALYTICS_KEYS_LEAST)
    {
        return NGX_ERROR;
    }

    z->types_max = (uint32_t) types + 1;
    z->top_max = (uint32_t) ngx_min(NGX_ANALYTICS_TOP_MAX, nusers / 8);

    p = ngx_align(sizeof(ngx_analytics_zone_t), 64);

    z->text = p;
    p += 2 * NGX_ANALYTICS_PROGRAM_MAX;

    z->types = p;
    p += z->types_max * sizeof(ngx_analytics_type_t);

    p = ngx_analytics_zone_table(p, types + 1, &z->types_hash,
                                 &z->types_mask);
    p = ngx_analytics_zone_table(p, nchunks, &z->cells_hash, &z->cells_mask);
    p = ngx_analytics_zone_table(p, nusers, &z->users_hash, &z->users_mask);
    p = ngx_analytics_zone_table(p, nkeys, &z->keys_hash, &z->keys_mask);

    p = ngx_align(p, 64);
    z->keys = p;
    z->keys_max = (uint32_t) nkeys;
    p += nkeys * sizeof(ngx_analytics_slot_t);

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


ngx_uint_t
ngx_analytics_zone_program_is(ngx_analytics_zone_t *z,
    ngx_analytics_program_t *program)
{
    return __atomic_load_n(&z->program.signature, __ATOMIC_RELAXED)
           == program->signature;
}


void
ngx_analytics_zone_program(ngx_analytics_zone_t *z,
    ngx_analytics_program_t *program)
{
    uint32_t                place;
    ngx_analytics_rules_t  *before, *rules;

    if (program->signature == z->program.signature
        || program->len > NGX_ANALYTICS_PROGRAM_MAX)
    {
        return;
    }

    before = ngx_analytics_zone_rules(z);
    place = !z->program.place;

    ngx_memcpy(ngx_analytics_zone_text(z, place), program->text,
               program->len);

    ngx_analytics_put32(z, &z->program.place, place);
    ngx_analytics_put32(z, &z->program.len, (uint32_t) program->len);
    ngx_analytics_put64(z, &z->program.signature, program->signature);

    rules = ngx_analytics_zone_rules(z);

    ngx_analytics_put_time(z, &z->program.totals, rules->totals);

    if (z->events
        && ngx_strcmp(before->timezone.name.data, rules->timezone.name.data)
           != 0)
    {
        /* the days before are those of another time zone */

        ngx_analytics_put_time(z, &z->dailies_from,
                 (int64_t) ngx_analytics_daily_of(rules, z->received) + 1);
    }

    ngx_analytics_measures_assign(z, rules);
    ngx_analytics_commit(z);
}


ngx_int_t
ngx_analytics_zone_settle(ngx_analytics_zone_t *z)
{
    ngx_analytics_rules_t  *rules;

    rules = ngx_analytics_zone_rules(z);

    if (z->program.assigned == rules->signature) {
        return NGX_OK;
    }

    (void) ngx_analytics_zone_fold(z, NULL, 0, 0, z->received);

    if (z->program.assigned == rules->signature) {
        return NGX_OK;
    }

    return (z->sweep.number != NGX_ANALYTICS_SWEEP_IDLE
            || z->sweep.pass < z->sweep.wanted)
           ? NGX_AGAIN : NGX_DECLINED;
}


ngx_analytics_rules_t *
ngx_analytics_zone_rules(ngx_analytics_zone_t *z)
{
    ngx_analytics_rules_t  *rules;

    rules = ngx_analytics_rules_get(z->program.signature,
                    (char *) ngx_analytics_zone_text(z, z->program.place),
                    z->program.len);

    /* without memory for them nothing is folded by them */

    return rules ? rules : &ngx_analytics_rules_default;
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

        if (event->id.len) {
            event->id_hash = ngx_analytics_key_hash(z,
                                                    NGX_ANALYTICS_KEY_EVENT,
                                                    &event->id);

            __builtin_prefetch(ngx_analytics_keys_bucket(z, event->id_hash));

            event->digest = ngx_analytics_event_digest(z, event);
        }

        event->rules = NULL;
    }
}


void
ngx_analytics_zone_points(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *events, ngx_uint_t n,
    ngx_analytics_alloc_pt alloc, void *ctx)
{
    ngx_uint_t              i;
    ngx_analytics_rules_t  *rules;

    rules = ngx_analytics_rules_known(
                  __atomic_load_n(&z->program.signature, __ATOMIC_RELAXED));

    for (i = 0; i < n && rules; i++) {
        (void) ngx_analytics_points_make(rules, &events[i], z->key, alloc,
                                         ctx);
    }
}


uint64_t
ngx_analytics_zone_fold(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *events, ngx_uint_t n, uint64_t seq,
    int64_t received)
{
    uint64_t                number;
    ngx_uint_t              i, ordered;
    ngx_analytics_rules_t  *rules;
    ngx_analytics_tally_t   tally;

    rules = ngx_analytics_zone_rules(z);

    ngx_analytics_cells_advance(z, received);

    if (z->program.assigned != rules->signature) {
        ngx_analytics_measures_assign(z, rules);
        ngx_analytics_commit(z);
    }

    ngx_analytics_measures_sweep(z);
    ngx_analytics_tally_init(&tally, z, rules, received);

    for (i = 0; i < n && i < NGX_ANALYTICS_AHEAD; i++) {
        ngx_analytics_users_prefetch(z, events[i].user_hash);
    }

    for (i = 0; i < n; i++) {

        if (i + NGX_ANALYTICS_AHEAD < n) {
            ngx_analytics_users_prefetch(z,
                                 events[i + NGX_ANALYTICS_AHEAD].user_hash);
        }

        if (events[i].known) {
            continue;
        }

        number = seq ? seq++ : 0;
        ordered = (number && z->accepted == 0);

        if (!ordered || number > z->metrics_seq) {
            ngx_analytics_zone_tally(&tally, &events[i], number);
        }

        if (ordered && number <= z->seq) {
            continue;
        }

        /*
         * Where a log has the events, what of them is in the totals and not
         * in the metrics is known, and made up for.
         */

        if (!ordered) {
            ngx_analytics_tally_prepare(&tally);
        }

        ngx_analytics_zone_room(z, received);
        ngx_analytics_zone_fold_one(z, rules, &events[i], number, received);

        if (!ordered) {
            ngx_analytics_tally_apply(&tally);
        }

        ngx_analytics_commit(z);
    }

    ngx_analytics_zone_flush(&tally);

    return seq;
}


/*
 * Points that were not made yet, or by other rules, are made here: memory of
 * this thread holds those of a few events.
 */
static void
ngx_analytics_zone_tally(ngx_analytics_tally_t *tally,
    ngx_analytics_event_t *event, uint64_t seq)
{
    static __thread ngx_analytics_zone_points_t  made;

    if (event->rules != tally->rules) {

        if (tally->nsums == 0) {
            made.used = 0;

        } else if (sizeof(made.memory) - made.used
                   < NGX_ANALYTICS_POINTS_SIZE)
        {
            ngx_analytics_zone_flush(tally);
            made.used = 0;
        }

        (void) ngx_analytics_points_make(tally->rules, event,
                                         tally->zone->key,
                                         ngx_analytics_zone_points_alloc,
                                         &made);
    }

    if (ngx_analytics_tally_add(tally, event, seq) != NGX_OK) {
        ngx_analytics_zone_flush(tally);
        (void) ngx_analytics_tally_add(tally, event, seq);
    }
}


static void *
ngx_analytics_zone_points_alloc(void *ctx, size_t size)
{
    ngx_analytics_zone_points_t *made = ctx;

    u_char  *p;

    size = ngx_align(size, sizeof(uint64_t));

    if (size > sizeof(made->memory) - made->used) {
        return NULL;
    }

    p = made->memory + made->used;
    made->used += size;

    return p;
}


static void
ngx_analytics_zone_flush(ngx_analytics_tally_t *tally)
{
    uint64_t               seq;
    ngx_analytics_zone_t  *z;

    z = tally->zone;
    seq = tally->seq;

    if (tally->ndays == 0) {
        return;
    }

    ngx_analytics_tally_prepare(tally);
    ngx_analytics_tally_apply(tally);

    if (seq > z->metrics_seq) {
        ngx_analytics_put64(z, &z->metrics_seq, seq);
    }

    ngx_analytics_commit(z);
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

    ngx_analytics_cells_room(z, received, NGX_ANALYTICS_CELLS_NEED
                                          + NGX_ANALYTICS_DAILIES_NEED);
}


static void
ngx_analytics_zone_fold_one(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, ngx_analytics_event_t *event, uint64_t seq,
    int64_t received)
{
    int64_t     time, hour;
    ngx_uint_t  type;

    time = (event->time == NGX_ANALYTICS_TIME_NONE) ? received : event->time;
    hour = ngx_analytics_floor_div(time, NGX_ANALYTICS_HOUR);
    hour -= ngx_analytics_floor_div(hour, 24) * 24;

    ngx_analytics_add(z, &z->events, 1);
    ngx_analytics_add(z, &z->hour_of_day[hour], 1);

    if (received > z->received) {
        ngx_analytics_put_time(z, &z->received, received);
    }

    type = ngx_analytics_types_fold(z, event);

    if (event->user.len) {
        ngx_analytics_zone_user_fold(z, rules, event, type, time);
    }

    ngx_analytics_cells_fold(z, type, time);

    if (event->id.len) {
        ngx_analytics_zone_key(z, event, seq, received);
    }

    if (seq > z->seq) {
        ngx_analytics_put64(z, &z->seq, seq);
    }
}


static ngx_inline void
ngx_analytics_zone_user_fold(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, ngx_analytics_event_t *event,
    ngx_uint_t type, int64_t time)
{
    uint32_t    user;
    ngx_uint_t  reg, rank;

    user = ngx_analytics_users_fold(z, event, type, time);

    if (user) {
        ngx_analytics_top_fold(z, user);
        ngx_analytics_daily_fold(z, rules, user, time);
        ngx_analytics_sessions_fold(z, rules, user, time);
    }

    reg = ngx_analytics_hll_register(event->user_hash, &rank);

    if (z->hll[reg] < rank) {
        ngx_analytics_put8(z, &z->hll[reg], (u_char) rank);
    }
}


static void
ngx_analytics_zone_key(ngx_analytics_zone_t *z, ngx_analytics_event_t *event,
    uint64_t seq, int64_t received)
{
    ngx_analytics_key_t  key;

    key.hash = event->id_hash;
    key.digest = event->digest;
    key.first = seq;
    key.last = seq;
    key.received = received;
    key.done = 1;

    ngx_analytics_keys_put(z, &key);
}


ngx_int_t
ngx_analytics_zone_erase(ngx_analytics_zone_t *z, uint64_t hash)
{
    return ngx_analytics_users_erase(z, hash);
}


uint64_t
ngx_analytics_zone_user_hash(ngx_analytics_zone_t *z, ngx_str_t *user)
{
    return ngx_analytics_siphash(z->key, user->data, user->len);
}


uint64_t
ngx_analytics_zone_position(ngx_analytics_zone_t *z)
{
    return __atomic_load_n(&z->position, __ATOMIC_ACQUIRE);
}


void
ngx_analytics_zone_advance(ngx_analytics_zone_t *z, uint64_t position)
{
    ngx_analytics_save(z, &z->position);
    __atomic_store_n(&z->position, position, __ATOMIC_RELEASE);

    ngx_analytics_fault_point();
    ngx_analytics_commit(z);
}


uint64_t
ngx_analytics_zone_last(ngx_analytics_zone_t *z)
{
    return z->seq;
}


uint64_t
ngx_analytics_zone_commits(ngx_analytics_zone_t *z)
{
    return __atomic_load_n(&z->commits, __ATOMIC_ACQUIRE);
}
