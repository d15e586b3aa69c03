
/*
 * analytics_metrics: what metrics there are, and the figures of one.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_metrics.h"
#include "ngx_analytics_hash.h"


/* values in one answer; those that are merged of many cells cost more */
#define NGX_HTTP_ANALYTICS_VALUES_MAX   50000
#define NGX_HTTP_ANALYTICS_MERGES_MAX   4000


static ngx_int_t ngx_http_analytics_metrics_list(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone);
static ngx_int_t ngx_http_analytics_metrics_one(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric);
static ngx_int_t ngx_http_analytics_metrics_asked(ngx_http_request_t *r,
    ngx_http_analytics_series_t *s);
static ngx_int_t ngx_http_analytics_metrics_groups(ngx_http_request_t *r,
    ngx_http_analytics_series_t *s);
static ngx_int_t ngx_http_analytics_metrics_merge(ngx_http_request_t *r,
    ngx_http_analytics_series_t *s);
static ngx_int_t ngx_http_analytics_metrics_send(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_series_t *s);
static ngx_int_t ngx_http_analytics_metrics_key(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric,
    ngx_http_analytics_buckets_t *b, uint64_t *key);
static ngx_int_t ngx_http_analytics_metrics_group(ngx_http_request_t *r,
    ngx_http_analytics_known_t *known, ngx_uint_t *given);
static ngx_uint_t ngx_http_analytics_metrics_many(
    ngx_http_analytics_series_t *s, ngx_uint_t given);
static ngx_uint_t ngx_http_analytics_metrics_numbers(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric);


static ngx_str_t  ngx_http_analytics_arg_group = ngx_string("group");


ngx_int_t
ngx_http_analytics_metrics_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_str_t                       name, suffix;
    ngx_http_analytics_metric_t    *metric;
    ngx_http_analytics_loc_conf_t  *alcf;

    rc = ngx_http_analytics_get(r);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);

    rc = ngx_http_analytics_fresh(r, alcf->zone);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    ngx_str_set(&suffix, "/forecast");

    rc = ngx_http_analytics_uri_name(r, &suffix, &name);

    metric = (rc == NGX_OK)
             ? ngx_http_analytics_metric_named(alcf->zone, &name) : NULL;

    if (metric) {
        return ngx_http_analytics_forecast(r, alcf->zone, metric);
    }

    ngx_str_null(&suffix);

    rc = ngx_http_analytics_uri_name(r, &suffix, &name);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_analytics_metrics_list(r, alcf->zone);
    }

    metric = ngx_http_analytics_metric_named(alcf->zone, &name);

    if (metric == NULL) {
        return ngx_http_analytics_problem(r, NGX_HTTP_NOT_FOUND,
                                          "there is no such metric", NULL,
                                          NULL);
    }

    return ngx_http_analytics_metrics_one(r, alcf->zone, metric);
}


static ngx_int_t
ngx_http_analytics_metrics_list(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone)
{
    ngx_uint_t                    i;
    ngx_analytics_writer_t        w;
    ngx_http_analytics_known_t    known;
    ngx_http_analytics_metric_t  *metric;

    metric = zone->metrics->metrics.elts;

    ngx_analytics_writer_init(&w, ngx_http_analytics_palloc, r->pool,
                              64 + 192 * zone->metrics->metrics.nelts);

    ngx_analytics_write_literal(&w, "{\"metrics\":[");

    for (i = 0; i < zone->metrics->metrics.nelts; i++) {

        if (ngx_http_analytics_metric_known(r->pool, zone, &metric[i], 0,
                                            NULL, &known)
            != NGX_OK)
        {
            return ngx_http_analytics_damaged(r, zone);
        }

        if (i) {
            ngx_analytics_write_literal(&w, ",");
        }

        ngx_analytics_write_literal(&w, "{");
        ngx_http_analytics_metric_about(&w, &metric[i]);
        ngx_analytics_write_literal(&w, ",\"grouped\":");

        if (ngx_http_analytics_metric_grouped(zone, &metric[i])) {
            ngx_analytics_write_literal(&w, "true");

        } else {
            ngx_analytics_write_literal(&w, "false");
        }

        ngx_http_analytics_metric_since(&w, zone, &metric[i], &known);
        ngx_analytics_write_literal(&w, "}");
    }

    ngx_analytics_write_literal(&w, "]}");

    return ngx_http_analytics_send_writer(r, &w);
}


static ngx_int_t
ngx_http_analytics_metrics_one(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric)
{
    ngx_int_t                     rc;
    ngx_analytics_writer_t        w;
    ngx_http_analytics_active_t  *active;
    ngx_http_analytics_series_t  *s;

    active = ngx_http_analytics_active(r, zone);
    if (active == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    s = ngx_http_analytics_active_data(active);

    if (s == NULL) {
        s = ngx_pcalloc(r->pool, sizeof(ngx_http_analytics_series_t));
        if (s == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        s->c.zone = zone;
        s->c.metric = metric;
        s->c.buckets = &s->buckets;
        s->c.active = active;

        rc = ngx_http_analytics_metrics_asked(r, s);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    rc = ngx_http_analytics_series_write(r, &w, s);

    switch (rc) {

    case NGX_OK:
        return ngx_http_analytics_metrics_send(r, &w, s);

    case NGX_AGAIN:
        return ngx_http_analytics_active_wait(r);

    case NGX_ERROR:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;

    default: /* NGX_DECLINED */
        return ngx_http_analytics_damaged(r, zone);
    }
}


/*
 * What is asked for; what is merged, too, or a thread does it.  NGX_DECLINED:
 * the answer can be written.
 */

static ngx_int_t
ngx_http_analytics_metrics_asked(ngx_http_request_t *r,
    ngx_http_analytics_series_t *s)
{
    ngx_int_t                      rc;
    ngx_str_t                      text;
    const char                    *why;
    ngx_http_analytics_zone_t     *zone;
    ngx_http_analytics_buckets_t  *b;

    zone = s->c.zone;
    b = &s->buckets;

    if (ngx_http_analytics_buckets_read(r, zone, b) != NGX_OK) {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                                          b->detail, b->field, NULL);
    }

    why = ngx_http_analytics_column_interval(s->c.metric, b);

    if (why) {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                                          why, b->field, NULL);
    }

    if (ngx_http_analytics_metrics_key(r, zone, s->c.metric, b, s->key)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_analytics_kept_find(s->key,
                                      ngx_http_analytics_kept_state(zone),
                                      r->pool, &text);

    if (rc != NGX_DECLINED) {
        return (rc == NGX_OK)
               ? ngx_http_analytics_send_json(r, NGX_HTTP_OK, &text)
               : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_analytics_metrics_groups(r, s);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ngx_http_analytics_series_ready(r->pool, s) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_analytics_metrics_merge(r, s);
}


static ngx_int_t
ngx_http_analytics_metrics_groups(ngx_http_request_t *r,
    ngx_http_analytics_series_t *s)
{
    ngx_int_t   rc;
    ngx_uint_t  given;

    rc = ngx_http_analytics_metric_asked(r, s->c.zone, s->c.metric,
                                         &s->buckets, &s->known, &given);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    s->n = 1 + s->known.n + s->known.others;

    if (ngx_http_analytics_metrics_many(s, given)) {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                           given ? "too many values: ask for a shorter time"
                                 : "too many values: ask for one group, or a "
                                   "shorter time",
                           &ngx_http_analytics_arg_group, NULL);
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_analytics_metrics_merge(ngx_http_request_t *r,
    ngx_http_analytics_series_t *s)
{
    ngx_uint_t  merges;

    merges = ngx_http_analytics_series_merges(s);

    if (merges > NGX_HTTP_ANALYTICS_MERGES_QUICK) {
        ngx_http_analytics_active_job(s->c.active,
                                      ngx_http_analytics_series_merge, s);

        return ngx_http_analytics_active_wait(r);
    }

    if (merges && ngx_http_analytics_series_merge(s) != NGX_OK) {
        return ngx_http_analytics_damaged(r, s->c.zone);
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_analytics_metrics_send(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_series_t *s)
{
    uint64_t   state;
    ngx_str_t  text;

    if (s->known.inexact) {

        /* a header says so, which is not kept */

        if (ngx_http_analytics_inexact(r, "figures were dropped for room")
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_http_analytics_send_writer(r, w);
    }

    state = ngx_http_analytics_active_state(s->c.active);

    if (!w->failed && ngx_http_analytics_kept_state(s->c.zone) == state) {

        /* nothing has changed while it was made, piece by piece */

        text.data = w->start;
        text.len = w->pos - w->start;

        ngx_http_analytics_kept_add(s->key, state, &text);
    }

    return ngx_http_analytics_send_writer(r, w);
}


/* All that makes one answer another than another one of the same zone. */

static ngx_int_t
ngx_http_analytics_metrics_key(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric,
    ngx_http_analytics_buckets_t *b, uint64_t *key)
{
    uint64_t   words[5];
    ngx_int_t  rc;
    ngx_str_t  group;

    rc = ngx_http_analytics_arg(r, &ngx_http_analytics_arg_group, &group);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    words[0] = b->interval;
    words[1] = (uint64_t) b->first;
    words[2] = b->n;
    words[3] = (rc == NGX_OK);
    words[4] = (rc == NGX_OK) ? ngx_analytics_siphash(zone->sh->key,
                                                      group.data, group.len)
                              : 0;

    /* a metric is of one zone, and the hash cannot be guessed */

    key[0] = (uint64_t) (uintptr_t) metric;
    key[1] = ngx_analytics_siphash(zone->sh->key, (u_char *) words,
                                   sizeof(words));
    return NGX_OK;
}


ngx_int_t
ngx_http_analytics_metric_asked(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric,
    ngx_http_analytics_buckets_t *b, ngx_http_analytics_known_t *known,
    ngx_uint_t *given)
{
    ngx_int_t  rc;

    *given = 0;

    if (ngx_http_analytics_metric_known(r->pool, zone, metric,
                           ngx_http_analytics_metric_grouped(zone, metric),
                           b, known)
        != NGX_OK)
    {
        return ngx_http_analytics_damaged(r, zone);
    }

    rc = ngx_http_analytics_metrics_group(r, known, given);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                                          "there is no such group",
                                          &ngx_http_analytics_arg_group, NULL);
    }

    return NGX_DECLINED;
}


/* NGX_OK, NGX_DECLINED if there is no such group, or NGX_ERROR. */

static ngx_int_t
ngx_http_analytics_metrics_group(ngx_http_request_t *r,
    ngx_http_analytics_known_t *known, ngx_uint_t *given)
{
    ngx_int_t                       rc;
    ngx_str_t                       name;
    ngx_uint_t                      i;
    ngx_analytics_figures_group_t  *group;

    rc = ngx_http_analytics_arg(r, &ngx_http_analytics_arg_group, &name);

    *given = (rc == NGX_OK);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? NGX_OK : NGX_ERROR;
    }

    for (i = 0; i < known->n; i++) {
        group = &known->groups[i];

        if (group->name.len == name.len
            && ngx_memcmp(group->name.data, name.data, name.len) == 0)
        {
            known->groups = group;
            known->n = 1;
            known->others = 0;

            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/* All of it may always be asked for, and so is not counted with one group. */

static ngx_uint_t
ngx_http_analytics_metrics_many(ngx_http_analytics_series_t *s,
    ngx_uint_t given)
{
    ngx_uint_t  n;

    n = given ? 1 : s->n;

    if (n == 1 && !given) {
        return 0;
    }

    if (ngx_http_analytics_metric_merged(s->c.metric)) {
        return n * s->buckets.cells > NGX_HTTP_ANALYTICS_MERGES_MAX;
    }

    return n * s->buckets.n > NGX_HTTP_ANALYTICS_VALUES_MAX;
}


void
ngx_http_analytics_metric_about(ngx_analytics_writer_t *w,
    ngx_http_analytics_metric_t *metric)
{
    ngx_analytics_write_literal(w, "\"metric\":");
    ngx_analytics_write_string(w, &metric->name);
    ngx_analytics_write_literal(w, ",\"type\":");
    ngx_analytics_write_string(w, &metric->kind);
    ngx_analytics_write_literal(w, ",\"unit\":");

    if (metric->unit.len) {
        ngx_analytics_write_string(w, &metric->unit);

    } else {
        ngx_analytics_write_literal(w, "null");
    }

    if (metric->what == NGX_HTTP_ANALYTICS_QUANTILE) {
        ngx_analytics_write_literal(w, ",\"relative_error\":0.01");
    }

    if (metric->what == NGX_HTTP_ANALYTICS_UNIQUE) {
        ngx_analytics_write_literal(w, ",\"standard_error\":"
                                       NGX_ANALYTICS_UNIQUES_ERROR);
    }
}


/* What it lacks: values that are none, and what was before. */

void
ngx_http_analytics_metric_since(ngx_analytics_writer_t *w,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric,
    ngx_http_analytics_known_t *known)
{
    if (ngx_http_analytics_metrics_numbers(zone, metric)) {
        ngx_analytics_write_literal(w, ",\"skipped\":");
        ngx_analytics_write_uint(w, known->skipped);
    }

    ngx_analytics_write_literal(w, ",\"complete_since\":");

    if (known->since) {
        ngx_analytics_write_time(w, known->since);

    } else {
        ngx_analytics_write_literal(w, "null");
    }
}


/* Whether it is of the numbers of a field; any value is distinct. */

static ngx_uint_t
ngx_http_analytics_metrics_numbers(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_metric_t *metric)
{
    ngx_analytics_source_t  *source;

    if (metric->classes == 0 || metric->what == NGX_HTTP_ANALYTICS_UNIQUE) {
        return 0;
    }

    source = zone->metrics->sources.elts;

    return source[metric->source].field.len != 0;
}
