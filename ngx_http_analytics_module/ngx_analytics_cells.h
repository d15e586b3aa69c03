
/*
 * Time cells: how many events each minute and each hour had, all together
 * and of each type.
 *
 * Each level keeps what is not older than its horizon, which moves forward
 * only: the minutes to 48 hours before the last receipt, the hours to as
 * long before it as the program says.  When there is no room, this goes:
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


/* chunks that one event can need: on each level of all and of its type */
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
    ngx_analytics_level_e   level;
    int64_t                 number;
    uint32_t                block;
    uint32_t                last;      /* of its period */
} ngx_analytics_cells_walk_t;


void ngx_analytics_cells_init(ngx_analytics_zone_t *z);

/* Transactions of their own: moves the horizons to a time of receipt. */
void ngx_analytics_cells_advance(ngx_analytics_zone_t *z, int64_t received);

/*
 * Transactions of their own: frees some of what has expired, and as much as
 * one event can need if that can be had.
 */
void ngx_analytics_cells_room(ngx_analytics_zone_t *z, int64_t received);

/* Counts an event of that type and time. */
void ngx_analytics_cells_fold(ngx_analytics_zone_t *z, ngx_uint_t type,
    int64_t time);

/*
 * Returns the next chunk that is not behind its level's horizon, or NULL:
 * the hours first, and of each level the oldest period.
 */
ngx_analytics_chunk_t *ngx_analytics_cells_next(ngx_analytics_zone_t *z,
    ngx_analytics_cells_walk_t *walk);

/*
 * Transactions of their own: adds the counts of a chunk, which is a new one
 * unless its type had to become "other".  What is behind the horizon is left
 * out, and if there is no room then the oldest go, as when events are folded.
 */
void ngx_analytics_cells_restore(ngx_analytics_zone_t *z,
    ngx_analytics_level_e level, ngx_uint_t series, int64_t number,
    uint64_t *counts);

/* Since when the hours are complete. */
int64_t ngx_analytics_cells_from(ngx_analytics_zone_t *z);


#endif /* _NGX_ANALYTICS_CELLS_H_INCLUDED_ */
