
/*
 * Chunks: 64 time buckets in a row of one series, or a part of one bucket of
 * a series.  Each is found by its key in a hash table.  The chunks of one
 * period form a ring as well, which is known by its last chunk, so that a
 * period can go without a search.
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
 * period that is expelled (4) and the new one's (1), the lowest period, which
 * planes there are.
 */
#define NGX_ANALYTICS_CHUNK_WORDS     (NGX_ANALYTICS_ALLOC_WORDS + 8)


/* level, plane, series and number take 3, 5, 24 and 32 bits */

static ngx_inline uint64_t
ngx_analytics_chunk_key(ngx_uint_t level, ngx_uint_t plane,
    ngx_uint_t series, int64_t number)
{
    return ((uint64_t) level << 61) | ((uint64_t) plane << 56)
           | ((uint64_t) series << 32) | (uint64_t) number;
}


#define ngx_analytics_key_level(key)   ((ngx_uint_t) ((key) >> 61))
#define ngx_analytics_key_plane(key)   ((ngx_uint_t) ((key) >> 56 & 0x1f))
#define ngx_analytics_key_series(key)  ((ngx_uint_t) ((key) >> 32 & 0xffffff))

/* of the first bucket, divided by 64; or of the only one */
#define ngx_analytics_key_number(key)  ((int64_t) ((key) & 0xffffffff))

/* Whether a chunk of that plane is of one bucket. */
#define ngx_analytics_plane_single(plane)                                     \
    ((plane) >= NGX_ANALYTICS_PLANE_BINS)

static ngx_inline int64_t
ngx_analytics_key_period(uint64_t key)
{
    return ngx_analytics_plane_single(ngx_analytics_key_plane(key))
           ? ngx_analytics_key_number(key) >> NGX_ANALYTICS_CHUNK_BITS
           : ngx_analytics_key_number(key);
}

#define ngx_analytics_chunk_level(chunk)   ngx_analytics_key_level((chunk)->key)
#define ngx_analytics_chunk_plane(chunk)   ngx_analytics_key_plane((chunk)->key)
#define ngx_analytics_chunk_series(chunk)                                     \
    ngx_analytics_key_series((chunk)->key)
#define ngx_analytics_chunk_number(chunk)                                     \
    ngx_analytics_key_number((chunk)->key)
#define ngx_analytics_chunk_period(chunk)                                     \
    ngx_analytics_key_period((chunk)->key)

/* groups lie in the cells, too, but in no period */
#define NGX_ANALYTICS_CHUNK_GROUPS   7         /* instead of a level */


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


/* How many periods a level tells apart. */

static ngx_inline int64_t
ngx_analytics_ring_size(ngx_uint_t level)
{
    switch (level) {

    case NGX_ANALYTICS_MINUTES:
        return NGX_ANALYTICS_RING_MINUTES;

    case NGX_ANALYTICS_HOURS:
        return NGX_ANALYTICS_RING_HOURS;

    case NGX_ANALYTICS_FINE:
        return NGX_ANALYTICS_RING_FINE;

    default: /* NGX_ANALYTICS_UNIQUES, NGX_ANALYTICS_DAYS */
        return NGX_ANALYTICS_RING_DAYS;
    }
}


/* Whether periods of that level take the places of earlier ones. */
#define ngx_analytics_ring_wraps(level)                                       \
    ((level) == NGX_ANALYTICS_MINUTES || (level) == NGX_ANALYTICS_FINE)


static ngx_inline uint32_t *
ngx_analytics_chunk_ring(ngx_analytics_zone_t *z, ngx_uint_t level,
    int64_t period)
{
    switch (level) {

    case NGX_ANALYTICS_MINUTES:
        return &z->minutes[period % NGX_ANALYTICS_RING_MINUTES];

    case NGX_ANALYTICS_HOURS:
        return &z->hours[period % NGX_ANALYTICS_RING_HOURS];

    case NGX_ANALYTICS_FINE:
        return &z->fine[period % NGX_ANALYTICS_RING_FINE];

    case NGX_ANALYTICS_UNIQUES:
        return &z->uniques[period % NGX_ANALYTICS_RING_DAYS];

    default: /* NGX_ANALYTICS_DAYS */
        return &z->days[period % NGX_ANALYTICS_RING_DAYS];
    }
}


/* Returns the block, or 0. */
uint32_t ngx_analytics_chunk_find(ngx_analytics_zone_t *z, uint64_t key);

/*
 * Makes a chunk that is not there.  Returns the block with all counts 0, or 0
 * if there is no room.
 */
uint32_t ngx_analytics_chunk_create(ngx_analytics_zone_t *z, uint64_t key);

/* The bucket of a key; what is in it is linked by next. */
uint32_t *ngx_analytics_chunk_bucket(ngx_analytics_zone_t *z, uint64_t key);

/* Frees the first chunk of a ring, which is not empty. */
void ngx_analytics_chunk_free(ngx_analytics_zone_t *z, uint32_t *ring);

/* Frees the one behind another one in a ring. */
void ngx_analytics_chunk_free_next(ngx_analytics_zone_t *z, uint32_t *ring,
    uint32_t previous);

/* Takes a block of the cells out of its bucket. */
void ngx_analytics_chunk_unlink(ngx_analytics_zone_t *z, uint32_t block);

/* Moves a ring, which is not empty, to the chunks that are to be freed. */
void ngx_analytics_ring_expire(ngx_analytics_zone_t *z, uint32_t *ring);


#endif /* _NGX_ANALYTICS_CHUNKS_H_INCLUDED_ */
