
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
#include "ngx_analytics_measures.h"
#include "ngx_analytics_point.h"
#include "ngx_analytics_types.h"
#include "ngx_analytics_users.h"


#define NGX_ANALYTICS_USERS_LEAST  256       /* blocks of the least zone */
#define NGX_ANALYTICS_CELLS_LEAST  64
#define NGX_ANALYTICS_KEYS_LEAST   64


_Static_assert(sizeof(ngx_analytics_user_t) == 192
               && sizeof(ngx_analytics_more_t) == 192, "users' blocks");

/* one word is a user's place in the heap and its flags: see "mark" */
_Static_assert(offsetof(ngx_analytics_user_t, heap)
               == offsetof(ngx_analytics_block_t, mark)
               && offsetof(ngx_analytics_chunk_t, key)
                  == offsetof(ngx_analytics_block_t, mark), "first words");


static uint32_t ngx_analytics_zone_pow2(uint64_t n);
static uint64_t ngx_analytics_zone_fixed(ngx_uint_t types);
static uint64_t ngx_analytics_zone_table(uint64_t p, uint64_t n,
    uint64_t *offset, uint32_t *mask);
static ngx_int_t ngx_analytics_zone_layout(ngx_analytics_zone_t *z,
    size_t size, ngx_uint_t types);


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
