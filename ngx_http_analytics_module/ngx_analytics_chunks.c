
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_chunks.h"


static void ngx_analytics_chunk_bins(ngx_analytics_zone_t *z,
    ngx_analytics_chunk_t *chunk);


_Static_assert(NGX_ANALYTICS_MEASURES < 0xff, "series of measures");

_Static_assert(sizeof(ngx_analytics_group_t) <= sizeof(ngx_analytics_chunk_t)
               && offsetof(ngx_analytics_group_t, key)
                  == offsetof(ngx_analytics_chunk_t, key), "groups");


/*
 * Times and types are chosen by strangers, so the mix is keyed.  It ends as
 * MurmurHash3 by A. Appleby does.
 */
uint32_t *
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
ngx_analytics_chunk_create(ngx_analytics_zone_t *z, uint64_t key)
{
    int64_t                 period;
    uint32_t                n, *bucket, *ring;
    ngx_uint_t              level;
    ngx_analytics_chunk_t  *chunk, *last;

    n = ngx_analytics_pool_alloc(z, &z->cells);

    if (n == 0) {
        return 0;
    }

    chunk = ngx_analytics_chunk(z, n);

    chunk->link = n;
    chunk->key = key;
    ngx_memzero(&chunk->u, sizeof(chunk->u));

    level = ngx_analytics_chunk_level(chunk);
    period = ngx_analytics_chunk_period(chunk);

    bucket = ngx_analytics_chunk_bucket(z, chunk->key);
    chunk->next = *bucket;
    ngx_analytics_put32(z, bucket, n);

    ring = ngx_analytics_chunk_ring(z, level, period);
    last = *ring ? ngx_analytics_chunk(z, *ring) : NULL;

    if (last && ngx_analytics_chunk_period(last) != period) {
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

    if (period < z->spans[level].lowest) {
        ngx_analytics_put_time(z, &z->spans[level].lowest, period);
    }

    if (ngx_analytics_plane_single(ngx_analytics_chunk_plane(chunk))) {
        ngx_analytics_chunk_bins(z, chunk);
    }

    return n;
}


/* Who reads a sketch need not look for planes that nobody has. */

static void
ngx_analytics_chunk_bins(ngx_analytics_zone_t *z,
    ngx_analytics_chunk_t *chunk)
{
    uint32_t                 *planes, bit;
    ngx_uint_t                series;
    ngx_analytics_measure_t  *measure;

    series = ngx_analytics_chunk_series(chunk);

    if (series >> 16 == 0
        || ngx_analytics_chunk_level(chunk) == NGX_ANALYTICS_UNIQUES)
    {
        return;
    }

    measure = &z->measures[(series >> 16) - 1];
    planes = (series & NGX_ANALYTICS_GROUP_BELOW) ? &measure->below
                                                  : &measure->bins;
    bit = (uint32_t) 1 << ngx_analytics_chunk_plane(chunk);

    if (!(*planes & bit)) {
        ngx_analytics_put32(z, planes, *planes | bit);
    }
}


void
ngx_analytics_chunk_free(ngx_analytics_zone_t *z, uint32_t *ring)
{
    ngx_analytics_chunk_free_next(z, ring, *ring);
}


void
ngx_analytics_chunk_free_next(ngx_analytics_zone_t *z, uint32_t *ring,
    uint32_t previous)
{
    uint32_t                n;
    ngx_analytics_chunk_t  *before, *chunk;

    before = ngx_analytics_chunk(z, previous);
    n = before->link;
    chunk = ngx_analytics_chunk(z, n);

    if (chunk == before) {
        ngx_analytics_put32(z, ring, 0);

    } else {
        ngx_analytics_put32(z, &before->link, chunk->link);

        if (*ring == n) {
            ngx_analytics_put32(z, ring, previous);
        }
    }

    ngx_analytics_chunk_unlink(z, n);

    /* no hint may take it for what it was */

    ngx_analytics_put64(z, &chunk->key, NGX_ANALYTICS_CHUNK_FREE);

    ngx_analytics_pool_free(z, &z->cells, n, n, 1);
}


void
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
