
/*
 * Tallies: the points of events that follow each other, added up before they
 * change the zone.  Events that come together are mostly of the same minute
 * and of few groups, so that the cells concerned are looked up and changed
 * once for all of them.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_TALLY_H_INCLUDED_
#define _NGX_ANALYTICS_TALLY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_measures.h"


#define NGX_ANALYTICS_TALLY_SUMS    256
#define NGX_ANALYTICS_TALLY_BINS    512
#define NGX_ANALYTICS_TALLY_MARKS   256
#define NGX_ANALYTICS_TALLY_DAYS    8
#define NGX_ANALYTICS_TALLY_CELLS   4096   /* whose chunks are remembered */

/* words that its points change: those of one event at least */
#define NGX_ANALYTICS_TALLY_POINTS  4096

/* words that a tally changes: of its points, so many, and of days */
#define ngx_analytics_tally_words(points)                                     \
    ((points)                                                                 \
     + NGX_ANALYTICS_TALLY_DAYS * (NGX_ANALYTICS_CHUNK_WORDS + 2))

#define NGX_ANALYTICS_TALLY_WORDS                                             \
    ngx_analytics_tally_words(NGX_ANALYTICS_TALLY_POINTS)

/* places of the tables: powers of two, twice as many */
#define NGX_ANALYTICS_TALLY_SUM_PLACES  512
#define NGX_ANALYTICS_TALLY_BIN_PLACES  1024


/* Points of one group of a source, of one minute. */
typedef struct {
    const ngx_analytics_point_t  *point;   /* one of them */
    int64_t                  minute;
    int64_t                  hour;
    uint16_t                 day;
    uint16_t                 measure;
    uint16_t                 index;        /* of the group, when it is known, */
    uint16_t                 skipped;
    uint32_t                 block;        /* and this */

    uint32_t                 points;
    uint32_t                 count;        /* of these, with a number */
    int64_t                  whole;
    uint64_t                 nano;
    uint64_t                 min;          /* ngx_analytics_order() */
    uint64_t                 max;
} ngx_analytics_tally_sum_t;


typedef struct {
    uint16_t                 sum;
    uint16_t                 bin;
    uint16_t                 below;        /* GROUP_BELOW, or 0 */
    uint16_t                 count;
} ngx_analytics_tally_bin_t;


typedef struct {
    uint16_t                 sum;
    uint16_t                 reg;
    uint16_t                 rank;
} ngx_analytics_tally_mark_t;


typedef struct {
    ngx_analytics_zone_t    *zone;
    ngx_analytics_rules_t   *rules;
    ngx_uint_t               words;        /* that points change, at most */
    uint64_t                 seq;          /* of the last event */

    int64_t                  received;

    ngx_uint_t               nsums;
    ngx_uint_t               nbins;
    ngx_uint_t               nmarks;
    ngx_uint_t               ndays;

    int64_t                  minute;       /* that was looked at last, */
    int64_t                  hour;         /* and of what it is */
    uint16_t                 day;

    int16_t                  measures[NGX_ANALYTICS_SOURCES_MAX];
    uint16_t                 days[NGX_ANALYTICS_TALLY_DAYS];

    /* 1 + where the last point of each source is */
    uint16_t                 last[NGX_ANALYTICS_SOURCES_MAX];

    ngx_analytics_tally_sum_t   sums[NGX_ANALYTICS_TALLY_SUMS];
    ngx_analytics_tally_bin_t   bins[NGX_ANALYTICS_TALLY_BINS];
    ngx_analytics_tally_mark_t  marks[NGX_ANALYTICS_TALLY_MARKS];

    ngx_uint_t               cell;         /* that is looked at, */
    uint32_t                 chunks[NGX_ANALYTICS_TALLY_CELLS]; /* of each */

    uint16_t                 sum_places[NGX_ANALYTICS_TALLY_SUM_PLACES];
    uint16_t                 bin_places[NGX_ANALYTICS_TALLY_BIN_PLACES];
} ngx_analytics_tally_t;


/* An order-preserving integer of a number, never 0; and back. */

static ngx_inline uint64_t
ngx_analytics_order(double value)
{
    uint64_t  bits;

    value += 0.0;                      /* there is no negative zero */
    ngx_memcpy(&bits, &value, sizeof(bits));

    return (bits >> 63) ? ~bits : bits | (uint64_t) 1 << 63;
}


static ngx_inline double
ngx_analytics_unorder(uint64_t order)
{
    double    value;
    uint64_t  bits;

    bits = (order >> 63) ? order & ~((uint64_t) 1 << 63) : ~order;
    ngx_memcpy(&value, &bits, sizeof(value));

    return value;
}


/* Locked, like all that follows; begins with nothing. */
void ngx_analytics_tally_init(ngx_analytics_tally_t *tally,
    ngx_analytics_zone_t *z, ngx_analytics_rules_t *rules, int64_t received);

/* Takes away what was added. */
void ngx_analytics_tally_empty(ngx_analytics_tally_t *tally);

/*
 * Adds an event, whose points were made by the same rules.  Returns NGX_OK,
 * or NGX_DECLINED, without adding anything, if there is no room: apply first.
 * There is room for one event at least.
 */
ngx_int_t ngx_analytics_tally_add(ngx_analytics_tally_t *tally,
    ngx_analytics_event_t *event, uint64_t seq);

/*
 * Sees to it that what will be changed is there, by transactions of its own;
 * and changes it, as part of the caller's, which nothing may come between.
 * Then the tally is empty.
 */
void ngx_analytics_tally_prepare(ngx_analytics_tally_t *tally);
void ngx_analytics_tally_apply(ngx_analytics_tally_t *tally);

/*
 * When only some of what was prepared was added again: instead of preparing
 * it, as part of the caller's transaction.
 */
void ngx_analytics_tally_find(ngx_analytics_tally_t *tally);


#endif /* _NGX_ANALYTICS_TALLY_H_INCLUDED_ */
