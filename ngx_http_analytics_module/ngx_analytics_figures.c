
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_cells.h"
#include "ngx_analytics_dailies.h"
#include "ngx_analytics_figures.h"
#include "ngx_analytics_measures.h"


static void ngx_analytics_figures_bins(ngx_analytics_zone_t *z,
    ngx_uint_t series, uint32_t planes, ngx_uint_t level, int64_t bucket,
    ngx_analytics_bins_t *bins, uint64_t *n);
static ngx_uint_t ngx_analytics_figures_gone(ngx_analytics_zone_t *z,
    ngx_uint_t m, uint32_t *block);


ngx_int_t
ngx_analytics_figures(ngx_analytics_zone_t *z, uint64_t signature,
    ngx_uint_t classes, ngx_analytics_figures_t *figures)
{
    ngx_int_t                 m;
    ngx_uint_t                i;
    ngx_analytics_measure_t  *measure;

    m = ngx_analytics_measures_find(z, signature);

    if (m == NGX_ERROR || (classes & ~(ngx_uint_t) z->measures[m].classes)) {
        return NGX_ERROR;
    }

    measure = &z->measures[m];

    figures->from = 0;
    figures->since = 0;
    figures->skipped = measure->skipped;
    figures->others = measure->others;
    figures->rest = measure->rest;
    figures->counted = measure->counted;
    figures->ngroups = measure->ngroups;
    figures->inexact = (measure->inexact != 0);

    for (i = 0; i < NGX_ANALYTICS_CLASSES; i++) {
        if ((classes >> i & 1) && measure->since[i].from > figures->from) {
            figures->from = measure->since[i].from;
            figures->since = measure->since[i].since;
        }
    }

    return m;
}


ngx_uint_t
ngx_analytics_figures_groups(ngx_analytics_zone_t *z, ngx_uint_t m,
    ngx_analytics_figures_group_t *groups, ngx_uint_t n, u_char *names)
{
    uint32_t                block;
    ngx_uint_t              i;
    ngx_analytics_group_t  *group;

    i = 0;

    for (block = z->measures[m].groups; block && i < n; block = group->link) {
        group = ngx_analytics_group(z, block);

        if (group->pass) {
            continue;
        }

        groups[i].name.len = group->len;
        groups[i].name.data = names + i * NGX_ANALYTICS_NAME_MAX;
        ngx_memcpy(groups[i].name.data, group->name, group->len);

        groups[i].points = group->count;
        groups[i].counted = group->counted;
        groups[i].error = group->error;
        groups[i].index = group->index;
        i++;
    }

    return i;
}


void
ngx_analytics_figures_cells(ngx_analytics_zone_t *z, ngx_uint_t m,
    ngx_uint_t group, ngx_uint_t level, ngx_uint_t plane, int64_t first,
    uint64_t *cells, ngx_uint_t n)
{
    uint32_t    block;
    uint64_t    more[NGX_ANALYTICS_CHUNK];
    ngx_uint_t  i, k, index, part;

    ngx_analytics_cells_copy(z, level, plane,
                             ngx_analytics_measure_series(m, group), first,
                             cells, n);

    if (group != NGX_ANALYTICS_GROUP_OTHER) {
        return;
    }

    block = 0;

    while ((index = ngx_analytics_figures_gone(z, m, &block)) != 0) {

        for (i = 0; i < n; i += part) {
            part = ngx_min(n - i, NGX_ANALYTICS_CHUNK);

            ngx_analytics_cells_copy(z, level, plane,
                                     ngx_analytics_measure_series(m, index),
                                     first + (int64_t) i, more, part);

            for (k = 0; k < part; k++) {
                cells[i + k] = ngx_analytics_cells_word(level, plane,
                                                        cells[i + k],
                                                        more[k]);
            }
        }
    }
}


/* The index of the next group that is given up, from *block on, or 0. */

static ngx_uint_t
ngx_analytics_figures_gone(ngx_analytics_zone_t *z, ngx_uint_t m,
    uint32_t *block)
{
    uint32_t                n;
    ngx_analytics_group_t  *group;

    n = *block ? ngx_analytics_group(z, *block)->link : z->measures[m].groups;

    for ( /* void */ ; n; n = group->link) {
        group = ngx_analytics_group(z, n);

        if (group->pass) {
            *block = n;
            return group->index;
        }
    }

    return 0;
}


void
ngx_analytics_figures_sketch(ngx_analytics_zone_t *z, ngx_uint_t m,
    ngx_uint_t group, ngx_uint_t level, int64_t bucket,
    ngx_analytics_figures_sketch_t *sketch)
{
    uint32_t                  block;
    ngx_uint_t                index, series;
    ngx_analytics_measure_t  *measure;

    measure = &z->measures[m];
    index = group;
    block = 0;

    do {
        series = ngx_analytics_measure_series(m, index);

        ngx_analytics_figures_bins(z, series, measure->bins, level, bucket,
                                   &sketch->above, &sketch->n);
        ngx_analytics_figures_bins(z, series | NGX_ANALYTICS_GROUP_BELOW,
                                   measure->below, level, bucket,
                                   &sketch->below, &sketch->n);

        index = (group == NGX_ANALYTICS_GROUP_OTHER)
                ? ngx_analytics_figures_gone(z, m, &block) : 0;

    } while (index);
}


static void
ngx_analytics_figures_bins(ngx_analytics_zone_t *z, ngx_uint_t series,
    uint32_t planes, ngx_uint_t level, int64_t bucket,
    ngx_analytics_bins_t *bins, uint64_t *n)
{
    uint32_t                block;
    uint64_t                key, values, *counts;
    ngx_uint_t              i, plane;
    ngx_analytics_chunk_t  *chunk;

    for ( /* void */ ; planes; planes &= planes - 1) {
        plane = (ngx_uint_t) __builtin_ctz(planes);
        key = ngx_analytics_chunk_key(level, plane, series, bucket);

        block = ngx_analytics_cells_kept(z, key)
                ? ngx_analytics_chunk_find(z, key) : 0;

        if (block == 0) {
            continue;
        }

        chunk = ngx_analytics_chunk(z, block);
        plane = (plane - NGX_ANALYTICS_PLANE_BINS) * NGX_ANALYTICS_CHUNK_BINS;

        ngx_analytics_bins_extend(bins, plane,
                                  plane + NGX_ANALYTICS_CHUNK_BINS);
        counts = &bins->counts[plane];
        values = 0;

        for (i = 0; i < NGX_ANALYTICS_CHUNK_BINS; i++) {
            counts[i] += chunk->u.bins[i];
            values += chunk->u.bins[i];
        }

        *n += values;
    }
}


void
ngx_analytics_figures_uniques(ngx_analytics_zone_t *z, ngx_uint_t m,
    ngx_uint_t group, int64_t day, u_char *registers)
{
    u_char      *from;
    uint32_t     block, n;
    uint64_t     key;
    ngx_uint_t   i, k, index;

    index = group;
    block = 0;

    do {
        for (i = 0;
             i < NGX_ANALYTICS_UNIQUES_SIZE;
             i += NGX_ANALYTICS_CHUNK_REGISTERS)
        {
            key = ngx_analytics_chunk_key(NGX_ANALYTICS_UNIQUES,
                                   NGX_ANALYTICS_PLANE_REGISTERS
                                   + i / NGX_ANALYTICS_CHUNK_REGISTERS,
                                   ngx_analytics_measure_series(m, index),
                                   day);

            n = ngx_analytics_cells_kept(z, key)
                ? ngx_analytics_chunk_find(z, key) : 0;

            if (n == 0) {
                continue;
            }

            from = ngx_analytics_chunk(z, n)->u.registers;

            for (k = 0; k < NGX_ANALYTICS_CHUNK_REGISTERS; k++) {
                registers[i + k] = ngx_max(registers[i + k], from[k]);
            }
        }

        index = (group == NGX_ANALYTICS_GROUP_OTHER)
                ? ngx_analytics_figures_gone(z, m, &block) : 0;

    } while (index);
}


void
ngx_analytics_figures_dailies(ngx_analytics_zone_t *z, ngx_uint_t which,
    int64_t first, uint64_t *counts, ngx_uint_t n)
{
    ngx_analytics_cells_copy(z, NGX_ANALYTICS_DAYS, NGX_ANALYTICS_PLANE_COUNT,
                             which, first, counts, n);
}


int64_t
ngx_analytics_figures_first(ngx_analytics_zone_t *z, ngx_uint_t level)
{
    return z->spans[level].horizon * NGX_ANALYTICS_CHUNK;
}


int64_t
ngx_analytics_figures_oldest(ngx_analytics_zone_t *z)
{
    int64_t                number;
    uint32_t               n;
    uint64_t               key;
    ngx_uint_t             i;
    ngx_analytics_span_t  *span;

    span = &z->spans[NGX_ANALYTICS_DAYS];

    number = ngx_max(span->horizon, span->lowest);

    for (number = ngx_max(number, 0);
         number < NGX_ANALYTICS_RING_DAYS;
         number++)
    {
        key = ngx_analytics_chunk_key(NGX_ANALYTICS_DAYS,
                                      NGX_ANALYTICS_PLANE_COUNT,
                                      NGX_ANALYTICS_DAILY_TOUCHED, number);
        n = ngx_analytics_chunk_find(z, key);

        for (i = 0; n && i < NGX_ANALYTICS_CHUNK; i++) {
            if (ngx_analytics_chunk(z, n)->u.counts[i]) {
                return number * NGX_ANALYTICS_CHUNK + (int64_t) i;
            }
        }
    }

    return -1;
}


int64_t
ngx_analytics_figures_newest(ngx_analytics_zone_t *z)
{
    int64_t  number;

    for (number = NGX_ANALYTICS_RING_DAYS - 1; number >= 0; number--) {
        if (*ngx_analytics_chunk_ring(z, NGX_ANALYTICS_DAYS, number)) {
            break;
        }
    }

    return (number + 1) * NGX_ANALYTICS_CHUNK - 1;
}


uint64_t
ngx_analytics_figures_active(ngx_analytics_zone_t *z, ngx_uint_t first,
    ngx_uint_t last, uint32_t *next, ngx_uint_t n)
{
    uint32_t               block;
    uint64_t               active;
    ngx_analytics_user_t  *user;

    active = 0;

    for (block = *next; block < z->users.bump && n; block++, n--) {
        user = ngx_analytics_user(z, block);

        if ((user->flags & NGX_ANALYTICS_USER_HEAD)
            && ngx_analytics_user_active(z, user, first, last))
        {
            active++;
        }
    }

    *next = (block < z->users.bump) ? block : 0;

    return active;
}
