
/*
 * What the zone has of a metric at the moment: since when it is complete, and
 * which groups there are.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_metrics.h"


static void ngx_http_analytics_known_read(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_metric_t *metric, ngx_uint_t groups, u_char *names,
    ngx_http_analytics_known_t *known);
static int ngx_libc_cdecl ngx_http_analytics_group_cmp(const void *one,
    const void *two);


ngx_uint_t
ngx_http_analytics_metric_grouped(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_metric_t *metric)
{
    ngx_analytics_source_t  *source;

    if (metric->classes == 0) {
        return 0;
    }

    source = zone->metrics->sources.elts;

    return source[metric->source].groups;
}


ngx_int_t
ngx_http_analytics_metric_known(ngx_pool_t *pool,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric,
    ngx_uint_t groups, ngx_http_analytics_buckets_t *b,
    ngx_http_analytics_known_t *known)
{
    u_char                 *names;
    int64_t                 kept;
    ngx_analytics_totals_t  t;

    ngx_memzero(known, sizeof(ngx_http_analytics_known_t));

    names = NULL;

    if (groups) {
        known->groups = ngx_palloc(pool, groups
                                     * sizeof(ngx_analytics_figures_group_t));
        names = ngx_pnalloc(pool, groups * NGX_ANALYTICS_NAME_MAX);

        if (known->groups == NULL || names == NULL) {
            return NGX_ERROR;
        }
    }

    if (ngx_http_analytics_lock(zone) != NGX_OK) {
        return NGX_DECLINED;
    }

    ngx_analytics_zone_totals(zone->sh, &t);

    kept = (b && b->level != NGX_ANALYTICS_DAYS)
           ? ngx_analytics_figures_first(zone->sh,
                            (metric->what == NGX_HTTP_ANALYTICS_QUANTILE)
                            ? NGX_ANALYTICS_FINE : b->level)
           : 0;

    if (metric->classes) {
        ngx_http_analytics_known_read(zone, metric, groups, names, known);

    } else {
        known->inexact = !t.users_exact;
    }

    ngx_http_analytics_unlock(zone);

    /* older ones are not kept, or were dropped */

    known->since = ngx_max(known->since, t.cells_from);

    if (kept > 0) {
        kept = ngx_http_analytics_buckets_start(b, kept);
        known->since = ngx_max(known->since, kept);
    }

    if (groups) {
        ngx_qsort(known->groups, known->n,
                  sizeof(ngx_analytics_figures_group_t),
                  ngx_http_analytics_group_cmp);
    }

    return NGX_OK;
}


/* The zone is locked; names are of room for so many groups. */

static void
ngx_http_analytics_known_read(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_metric_t *metric, ngx_uint_t groups, u_char *names,
    ngx_http_analytics_known_t *known)
{
    ngx_int_t                m;
    ngx_analytics_figures_t  figures;

    m = ngx_analytics_figures(zone->sh, metric->signature, metric->classes,
                              &figures);

    if (m == NGX_ERROR) {

        /* the zone will hear of it in a moment */

        known->since = ngx_http_analytics_now();
        return;
    }

    known->since = (figures.from > 1) ? figures.since : 0;
    known->skipped = figures.skipped;
    known->counted = figures.counted;
    known->rest = figures.rest;
    known->inexact = figures.inexact;

    if (groups) {
        known->n = ngx_analytics_figures_groups(zone->sh, m, known->groups,
                                                groups, names);
        known->others = (figures.others || figures.ngroups > known->n);
    }
}


static int ngx_libc_cdecl
ngx_http_analytics_group_cmp(const void *one, const void *two)
{
    const ngx_analytics_figures_group_t  *a = one;
    const ngx_analytics_figures_group_t  *b = two;

    if (a->points != b->points) {
        return (a->points > b->points) ? -1 : 1;
    }

    return (int) ngx_memn2cmp(a->name.data, b->name.data, a->name.len,
                              b->name.len);
}
