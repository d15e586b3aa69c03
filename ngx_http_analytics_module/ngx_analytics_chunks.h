
/*
 * Chunks: 64 time buckets in a row of one series.  Each is found by its key
 * in a hash table.  The chunks of one period form a ring as well, which is
 * known by its last chunk, so that a period can go without a search.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_CHUNKS_H_INCLUDED_
#define _NGX_ANALYTICS_CHUNKS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_arena.h"


/*
 * Words saved for undo, at most: the block, the bucket, the ring of the
 * period that is expelled (4) and the new one's (1), the lowest period.
 */
#define NGX_ANALYTICS_CHUNK_WORDS     (NGX_ANALYTICS_ALLOC_WORDS + 7)


/* level, series and number take 8, 24 and 32 bits */

static ngx_inline uint64_t
ngx_analytics_chunk_key(ngx_analytics_level_e level, ngx_uint_t series,
    int64_t number)
{
    return ((uint64_t) level << 56) | ((uint64_t) series << 32)
           | (uint64_t) number;
}


#define ngx_analytics_chunk_series(chunk)                                     \
    ((ngx_uint_t) ((chunk)->key >> 32 & 0xffffff))

#define ngx_analytics_chunk_number(chunk)                                     \
    ((int64_t) ((chunk)->key & 0xffffffff))


/* Whether a hint, if there is one, leads to the chunk with this key. */

static ngx_inline ngx_uint_t
ngx_analytics_chunk_is(ngx_analytics_zone_t *z, uint32_t hint, uint64_t key)
{
    /*
     * A chunk whose creation was rolled back may still look like it, but
     * lies behind bump then, or has got its old key back.
     */
    return hint
           && hint < z->cells.bump
           && ngx_analytics_chunk(z, hint)->key == key;
}


static ngx_inline uint32_t *
ngx_analytics_chunk_ring(ngx_analytics_zone_t *z,
    ngx_analytics_level_e level, int64_t number)
{
    return (level == NGX_ANALYTICS_HOURS)
           ? &z->hours[number % NGX_ANALYTICS_RING_HOURS]
           : &z->minutes[number % NGX_ANALYTICS_RING_MINUTES];
}


/* Returns the block, or 0. */
uint32_t ngx_analytics_chunk_find(ngx_analytics_zone_t *z, uint64_t key);

/* Returns the block with all counts 0, or 0 if there is no room. */
uint32_t ngx_analytics_chunk_create(ngx_analytics_zone_t *z,
    ngx_analytics_level_e level, ngx_uint_t series, int64_t number);

/* Frees the first chunk of a ring, which is not empty. */
void ngx_analytics_chunk_free(ngx_analytics_zone_t *z, uint32_t *ring);

/* Moves a ring, which is not empty, to the chunks that are to be freed. */
void ngx_analytics_ring_expire(ngx_analytics_zone_t *z, uint32_t *ring);


#endif /* _NGX_ANALYTICS_CHUNKS_H_INCLUDED_ */
