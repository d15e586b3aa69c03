
/*
 * Figures: what is asked of measures, copied out of the zone.  Locked, and
 * short: what takes more cells than that is asked for in pieces.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_FIGURES_H_INCLUDED_
#define _NGX_ANALYTICS_FIGURES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_sketch.h"
#include "ngx_analytics_zone.h"


#define NGX_ANALYTICS_UNIQUES_BITS   12
#define NGX_ANALYTICS_UNIQUES_SIZE   (1 << NGX_ANALYTICS_UNIQUES_BITS)
#define NGX_ANALYTICS_UNIQUES_ERROR  "0.0163"    /* standard error */


/* What is known of a measure beside its cells. */
typedef struct {
    uint64_t        from;              /* number of the first event in it; */
                                       /* up to 1: nothing lacks */
    int64_t         since;             /* when that was received */
    uint64_t        skipped;           /* values that were no numbers */
    uint64_t        others;            /* points of groups without a place */
    uint64_t        counted;           /* what a count of all time is, */
    uint64_t        rest;              /* and of it without a group */
    ngx_uint_t      ngroups;
    unsigned        inexact:1;         /* something found no room */
} ngx_analytics_figures_t;


typedef struct {
    ngx_str_t       name;              /* in names; empty: no group */
    uint64_t        points;
    uint64_t        counted;           /* those in its count of all time */
    uint64_t        error;             /* how many of them may lack */
    ngx_uint_t      index;             /* in series */
} ngx_analytics_figures_group_t;


/* The cells of a sketch. */
typedef struct {
    uint64_t        n;                 /* values */
    ngx_analytics_bins_t  above;
    ngx_analytics_bins_t  below;       /* of those below 0 */
} ngx_analytics_figures_sketch_t;


/*
 * Looks a source up by its signature.  Returns its place, which is good until
 * the zone is unlocked, and *figures of these classes, all of them; or
 * NGX_ERROR: it is not kept.
 */
ngx_int_t ngx_analytics_figures(ngx_analytics_zone_t *z, uint64_t signature,
    ngx_uint_t classes, ngx_analytics_figures_t *figures);

/*
 * Copies groups, at most n, with their names, of 255 bytes each.  Those that
 * are given up are left out.  Returns how many.
 */
ngx_uint_t ngx_analytics_figures_groups(ngx_analytics_zone_t *z,
    ngx_uint_t m, ngx_analytics_figures_group_t *groups, ngx_uint_t n,
    u_char *names);

/*
 * Copies n buckets of a plane (ngx_analytics_plane_e) of a group, or of all
 * (0), by minute, hour or day; others (1) include who is given up.
 */
void ngx_analytics_figures_cells(ngx_analytics_zone_t *z, ngx_uint_t m,
    ngx_uint_t group, ngx_uint_t level, ngx_uint_t plane, int64_t first,
    uint64_t *cells, ngx_uint_t n);

/* Adds the sketch of one bucket; by NGX_ANALYTICS_FINE, of an hour. */
void ngx_analytics_figures_sketch(ngx_analytics_zone_t *z, ngx_uint_t m,
    ngx_uint_t group, ngx_uint_t level, int64_t bucket,
    ngx_analytics_figures_sketch_t *sketch);

/* Merges the registers of one day, UNIQUES_SIZE of them. */
void ngx_analytics_figures_uniques(ngx_analytics_zone_t *z, ngx_uint_t m,
    ngx_uint_t group, int64_t day, u_char *registers);

/* Copies n days of what is of all users together (ngx_analytics_daily_e). */
void ngx_analytics_figures_dailies(ngx_analytics_zone_t *z, ngx_uint_t which,
    int64_t first, uint64_t *counts, ngx_uint_t n);

/* The first day, hour and so on of a level that is kept. */
int64_t ngx_analytics_figures_first(ngx_analytics_zone_t *z,
    ngx_uint_t level);

/* The first day of an event that is kept, or -1 if there is none. */
int64_t ngx_analytics_figures_oldest(ngx_analytics_zone_t *z);

/* Behind this day there is nothing; -1: nowhere. */
int64_t ngx_analytics_figures_newest(ngx_analytics_zone_t *z);

/*
 * Counts those of the users in n blocks from block *next on, 1 at first, who
 * were active on one of the days from first to last.  Returns how many, and
 * *next, which is 0 behind the last.
 */
uint64_t ngx_analytics_figures_active(ngx_analytics_zone_t *z,
    ngx_uint_t first, ngx_uint_t last, uint32_t *next, ngx_uint_t n);


#endif /* _NGX_ANALYTICS_FIGURES_H_INCLUDED_ */
