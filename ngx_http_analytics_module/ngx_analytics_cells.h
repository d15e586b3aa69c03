
/*
 * Time cells: how many events each minute and each hour had, all together
 * and of each type; and the figures of metrics, by minute, hour and day.
 *
 * Each level keeps what is not older than its horizon, which moves forward
 * only: the minutes to 48 hours before the last receipt, sketches by hour to
 * 90 days, hours and days to as long before it as the program says.  When
 * there is no room, this goes:
 *
 *  1. minutes ahead of time by more than a period, the farthest first, chunk
 *     by chunk: nothing really happened there;
 *  2. of the past, the period that ends first, minutes before hours, and the
 *     horizon moves with it: old hours make room for minutes, and the last
 *     hours outlive the minutes in them;
 *  3. minutes of the period to come.
 *
 * The hours of now and later, and the minutes of now, never go; if they fill
 * the pool then a new series has no cell there.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_CELLS_H_INCLUDED_
#define _NGX_ANALYTICS_CELLS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_chunks.h"


/* sketches are kept by hour for so many days */
#define NGX_ANALYTICS_FINE_MAX     90

/* chunks that one event can need: of all and of its type, minute and hour */
#define NGX_ANALYTICS_CELLS_NEED   4

/*
 * Words saved for undo, at most.  Each chunk: its creation, the count, and
 * what was lost (2).  Then the busiest hour (2) and the older events.
 */
#define NGX_ANALYTICS_CELLS_WORDS                                             \
    (NGX_ANALYTICS_CELLS_NEED * (NGX_ANALYTICS_CHUNK_WORDS + 3) + 3)


/* walks the chunks; zeroed at first */
typedef struct {
    ngx_uint_t              started;
    ngx_uint_t              level;     /* how many were done */
    int64_t                 period;
    uint32_t                block;
    uint32_t                last;      /* of its period */
} ngx_analytics_cells_walk_t;


void ngx_analytics_cells_init(ngx_analytics_zone_t *z);

/* Transactions of their own: moves the horizons to a time of receipt. */
void ngx_analytics_cells_advance(ngx_analytics_zone_t *z, int64_t received);

/*
 * Transactions of their own: frees some of what has expired, and so many
 * chunks as are needed if they can be had.
 */
void ngx_analytics_cells_room(ngx_analytics_zone_t *z, int64_t received,
    ngx_uint_t need);

/* Counts an event of that type and time. */
void ngx_analytics_cells_fold(ngx_analytics_zone_t *z, ngx_uint_t type,
    int64_t time);

/*
 * Returns the next chunk that is not behind its level's horizon, or NULL:
 * the days and hours first, and of each level the oldest period.
 */
ngx_analytics_chunk_t *ngx_analytics_cells_next(ngx_analytics_zone_t *z,
    ngx_analytics_cells_walk_t *walk);

/*
 * Adds cells to those of the chunk with that key, which is made if it is not
 * there: counts are added up, of least and greatest values one is kept.  What
 * is behind the horizon is left out.  Room is made by transactions of their
 * own, as when events are folded; what is added is part of the caller's, which
 * begins here.
 * Returns NGX_OK, or NGX_DECLINED: there is no room.
 */
ngx_int_t ngx_analytics_cells_merge(ngx_analytics_zone_t *z, uint64_t key,
    ngx_analytics_cells_t *cells);

/* Whether a chunk with that key may be there, by its time. */
ngx_uint_t ngx_analytics_cells_kept(ngx_analytics_zone_t *z, uint64_t key);

/* Adds a value to one cell of a chunk, as merge() would. */
void ngx_analytics_cells_change(ngx_analytics_zone_t *z,
    ngx_analytics_chunk_t *chunk, ngx_uint_t place, uint64_t value);

/* Two words of cells as one: a count each, two bins, or eight registers. */
uint64_t ngx_analytics_cells_word(ngx_uint_t level, ngx_uint_t plane,
    uint64_t one, uint64_t two);

/* The same as a transaction, which notes what found no room. */
void ngx_analytics_cells_restore(ngx_analytics_zone_t *z, uint64_t key,
    ngx_analytics_cells_t *cells);

/* Copies n buckets of a plane of 64 buckets a chunk; what is not kept is 0. */
void ngx_analytics_cells_copy(ngx_analytics_zone_t *z, ngx_uint_t level,
    ngx_uint_t plane, ngx_uint_t series, int64_t first, uint64_t *counts,
    ngx_uint_t n);

/* Since when the hours are complete. */
int64_t ngx_analytics_cells_from(ngx_analytics_zone_t *z);


#endif /* _NGX_ANALYTICS_CELLS_H_INCLUDED_ */
