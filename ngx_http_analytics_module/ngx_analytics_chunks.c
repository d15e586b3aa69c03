
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_chunks.h"


static uint32_t *ngx_analytics_chunk_bucket(ngx_analytics_zone_t *z,
    uint64_t key);
static void ngx_analytics_chunk_unlink(ngx_analytics_zone_t *z,
    uint32_t block);


/*
 * Times and types are chosen by strangers, so the mix is keyed.  It ends as
 * MurmurHash3 by A. Appleby does.
 */
static uint32_t *
ngx_analytics_chunk_bucket(ngx_analytics_zone_t *z, uint64_t key)
{
    uint64_t  h;

    h = (key ^ z->key[0]) * 0x9e3779b97f4a7c15ULL;
    h ^= (h >> 32) ^ z->key[1];
    h *= 0xff51afd7ed558ccdULL;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53ULL;

    return (uint32_t *) ngx_analytics_at(z, z->cells_hash)
           + ((h >> 32) & z->cells_mask);
}


uint32_t
ngx_analytics_chunk_find(ngx_analytics_zone_t *z, uint64_t key)
{
    uint32_t                n;
    ngx_analytics_chunk_t  *chunk;

    for (n = *ngx_analytics_chunk_bucket(z, key); n; n = chunk->next) {
        chunk = ngx_analytics_chunk(z, n);

        if (chunk->key == key) {
            return n;
        }
    }

    return 0;
}


uint32_t
ngx_analytics_chunk_create(ngx_analytics_zone_t *z,
    ngx_analytics_level_e level, ngx_uint_t series, int64_t number)
{
    uint32_t                n, *bucket, *ring;
    ngx_analytics_chunk_t  *chunk, *last;

    n = ngx_analytics_pool_alloc(z, &z->cells);

    if (n == 0) {
        return 0;
    }

    chunk = ngx_analytics_chunk(z, n);

    chunk->link = n;
    chunk->key = ngx_analytics_chunk_key(level, series, number);
    ngx_memzero(chunk->counts, sizeof(chunk->counts));

    bucket = ngx_analytics_chunk_bucket(z, chunk->key);
    chunk->next = *bucket;
    ngx_analytics_put32(z, bucket, n);

    ring = ngx_analytics_chunk_ring(z, level, number);
    last = *ring ? ngx_analytics_chunk(z, *ring) : NULL;

    if (last && ngx_analytics_chunk_number(last) != number) {
        /* the same place in an earlier round, not yet swept */
        ngx_analytics_ring_expire(z, ring);
        last = NULL;
    }

    if (last) {
        chunk->link = last->link;
        ngx_analytics_put32(z, &last->link, n);

    } else {
        ngx_analytics_put32(z, ring, n);
    }

    if (number < z->spans[level].lowest) {
        ngx_analytics_put_time(z, &z->spans[level].lowest, number);
    }

    return n;
}


void
ngx_analytics_chunk_free(ngx_analytics_zone_t *z, uint32_t *ring)
{
    uint32_t                first;
    ngx_analytics_chunk_t  *last, *chunk;

    last = ngx_analytics_chunk(z, *ring);
    first = last->link;
    chunk = ngx_analytics_chunk(z, first);

    if (chunk == last) {
        ngx_analytics_put32(z, ring, 0);

    } else {
        ngx_analytics_put32(z, &last->link, chunk->link);
    }

    ngx_analytics_chunk_unlink(z, first);

    /* no hint may take it for what it was */

    ngx_analytics_put64(z, &chunk->key, NGX_ANALYTICS_CHUNK_FREE);

    ngx_analytics_pool_free(z, &z->cells, first, first, 1);
}


static void
ngx_analytics_chunk_unlink(ngx_analytics_zone_t *z, uint32_t block)
{
    uint32_t               *link;
    ngx_analytics_chunk_t  *chunk;

    chunk = ngx_analytics_chunk(z, block);
    link = ngx_analytics_chunk_bucket(z, chunk->key);

    while (*link != block) {
        link = &ngx_analytics_chunk(z, *link)->next;
    }

    ngx_analytics_put32(z, link, chunk->next);
}


/*
 * Two rings that are known by their last chunks become one when these two
 * exchange what they link to.
 */
void
ngx_analytics_ring_expire(ngx_analytics_zone_t *z, uint32_t *ring)
{
    uint32_t                link;
    ngx_analytics_chunk_t  *one, *two;

    if (z->expired) {
        one = ngx_analytics_chunk(z, z->expired);
        two = ngx_analytics_chunk(z, *ring);

        link = one->link;
        ngx_analytics_put32(z, &one->link, two->link);
        ngx_analytics_put32(z, &two->link, link);
    }

    ngx_analytics_put32(z, &z->expired, *ring);
    ngx_analytics_put32(z, ring, 0);
}
