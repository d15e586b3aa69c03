
/*
 * Measures: what a zone keeps of the sources of its program.
 *
 * A measure has a series of all its points, and one of each group.  As many
 * groups as the source says have a place; the points of others count as
 * "other".  Who comes often without a place is watched (A. Metwally et al.,
 * "Efficient computation of frequent and top-k elements in data streams",
 * 2005), and gets the place of the group with the fewest points when it is
 * sure to have more: a group then says how many of its points may lie in
 * "other", and the one that had to go lies there, too.
 *
 * What is given up, a measure, a class of figures or a group, is looked for a
 * little at a time, while events come in.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_MEASURES_H_INCLUDED_
#define _NGX_ANALYTICS_MEASURES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_cells.h"
#include "ngx_analytics_point.h"


/* which class of figures a plane of 64 buckets belongs to */
extern ngx_uint_t  ngx_analytics_plane_classes[NGX_ANALYTICS_PLANES];


/*
 * The program has changed, or could not be assigned wholly before: gives up
 * what it does not name any more, and takes in what it names newly as far as
 * there are places; amid a piece of what lacks nothing.  Part of the caller's
 * transaction.
 */
void ngx_analytics_measures_assign(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules);

/* The place of a source in measures[], or NGX_ERROR. */
ngx_int_t ngx_analytics_measures_find(ngx_analytics_zone_t *z,
    uint64_t signature);

/* Transactions of their own: goes on with looking for what was given up. */
void ngx_analytics_measures_sweep(ngx_analytics_zone_t *z);

/*
 * Looks for a group that has n points more: it has a place, or gets one if
 * there is a free one, or if it is sure to have more points than another.
 * Transactions of their own, which count nothing.  Returns the block, or 0:
 * its points are those of GROUP_OTHER.
 */
uint32_t ngx_analytics_groups_enter(ngx_analytics_zone_t *z, ngx_uint_t m,
    ngx_str_t *name, uint64_t hash, uint64_t n);

/*
 * Counts them, and those of them that are in counts.  Part of the caller's
 * transaction; words saved for undo.
 */
#define NGX_ANALYTICS_GROUPS_WORDS   5

void ngx_analytics_groups_count(ngx_analytics_zone_t *z, ngx_uint_t m,
    uint32_t block, uint64_t hash, uint64_t n, uint64_t counted);

/* The index in series of a block, or 0. */
static ngx_inline ngx_uint_t
ngx_analytics_groups_index(ngx_analytics_zone_t *z, uint32_t block)
{
    return block ? ngx_analytics_group(z, block)->index
                 : NGX_ANALYTICS_GROUP_OTHER;
}

/* Returns the block of a group, also of one that was given up, or 0. */
uint32_t ngx_analytics_groups_find(ngx_analytics_zone_t *z, ngx_uint_t m,
    ngx_str_t *name, uint64_t hash);

/*
 * Takes in a group with an index of its own, 0 for any that is free.  Part of
 * the caller's transaction.  Returns the block, or 0: there is no room.
 */
uint32_t ngx_analytics_groups_add(ngx_analytics_zone_t *z, ngx_uint_t m,
    ngx_str_t *name, uint64_t hash, ngx_uint_t index);

/* Gives a group up.  Part of the caller's transaction. */
void ngx_analytics_groups_give_up(ngx_analytics_zone_t *z, ngx_uint_t m,
    ngx_analytics_group_t *group);

/*
 * Removes groups of a measure that were given up before a pass began which is
 * over now; all of them if all.  Transactions of their own.
 */
void ngx_analytics_groups_clean(ngx_analytics_zone_t *z, ngx_uint_t m,
    uint64_t pass, ngx_uint_t all);


/* Whether a measure is there, and not given up. */
#define ngx_analytics_measure_used(m)  ((m)->signature && (m)->pass == 0)


/* A pass that sees all that is given up by now. */
static ngx_inline uint64_t
ngx_analytics_sweep_want(ngx_analytics_zone_t *z)
{
    /* the one under way may have been there already */

    return z->sweep.pass + 1;
}


#endif /* _NGX_ANALYTICS_MEASURES_H_INCLUDED_ */
