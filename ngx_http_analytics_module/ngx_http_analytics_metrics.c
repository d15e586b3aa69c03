
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

/* ,{"time":...,"value":...} */
#define NGX_HTTP_ANALYTICS_POINT_LEN                                          \
    (sizeof(",{\"time\":,\"value\":}")                                        \
     + sizeof(((ngx_http_analytics_bucket_t *) 0)->text)                      \
     + NGX_HTTP_ANALYTICS_VALUE_LEN)


static ngx_int_t ngx_http_analytics_metrics_list(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone);
static ngx_int_t ngx_http_analytics_metrics_one(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric);
static ngx_int_t ngx_http_analytics_metrics_key(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric,
    ngx_http_analytics_buckets_t *b, uint64_t *key);
static ngx_int_t ngx_http_analytics_metrics_make(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_column_t *c,
    ngx_http_analytics_known_t *known);
static ngx_uint_t ngx_http_analytics_metrics_many(
    ngx_http_analytics_metric_t *metric, ngx_http_analytics_buckets_t *b,
    ngx_http_analytics_known_t *known, ngx_uint_t given);
static ngx_int_t ngx_http_analytics_metrics_series(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_column_t *c);
static ngx_int_t ngx_http_analytics_metrics_points(ngx_analytics_writer_t *w,
    ngx_http_analytics_column_t *c);
static ngx_int_t ngx_http_analytics_metrics_groups(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_column_t *c,
    ngx_http_analytics_known_t *known);
static void ngx_http_analytics_metrics_since(ngx_analytics_writer_t *w,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric,
    ngx_http_analytics_known_t *known);
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

        ngx_http_analytics_metrics_since(&w, zone, &metric[i], &known);
        ngx_analytics_write_literal(&w, "}");
    }

    ngx_analytics_write_literal(&w, "]}");

    return ngx_http_analytics_send_writer(r, &w);
}


static ngx_int_t
ngx_http_analytics_metrics_one(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric)
{
    uint64_t                       key[2], state;
    ngx_int_t                      rc;
    ngx_str_t                      text;
    ngx_uint_t                     given;
    const char                    *why;
    ngx_analytics_writer_t         w;
    ngx_http_analytics_known_t     known;
    ngx_http_analytics_column_t    c;
    ngx_http_analytics_buckets_t   b;

    if (ngx_http_analytics_buckets_read(r, zone, &b) != NGX_OK) {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                                          b.detail, b.field, NULL);
    }

    why = ngx_http_analytics_column_interval(metric, &b);

    if (why) {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                                          why, b.field, NULL);
    }

    if (ngx_http_analytics_metrics_key(r, zone, metric, &b, key) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    state = ngx_http_analytics_kept_state(zone);

    rc = ngx_http_analytics_kept_find(key, state, r->pool, &text);

    if (rc != NGX_DECLINED) {
        return (rc == NGX_OK)
               ? ngx_http_analytics_send_json(r, NGX_HTTP_OK, &text)
               : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_analytics_metric_known(r->pool, zone, metric,
                           ngx_http_analytics_metric_grouped(zone, metric),
                           &b, &known)
        != NGX_OK)
    {
        return ngx_http_analytics_damaged(r, zone);
    }

    rc = ngx_http_analytics_metric_group(r, &known, &given);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                                          "there is no such group",
                                          &ngx_http_analytics_arg_group, NULL);
    }

    if (ngx_http_analytics_metrics_many(metric, &b, &known, given)) {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                           given ? "too many values: ask for a shorter time"
                                 : "too many values: ask for one group, or a "
                                   "shorter time",
                           &ngx_http_analytics_arg_group, NULL);
    }

    ngx_memzero(&c, sizeof(ngx_http_analytics_column_t));

    c.zone = zone;
    c.metric = metric;
    c.buckets = &b;
    c.active = ngx_http_analytics_active(r, zone);

    if (c.active == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_analytics_metrics_make(r, &w, &c, &known);

    switch (rc) {

    case NGX_OK:
        break;

    case NGX_AGAIN:
        return ngx_http_analytics_active_wait(r);

    case NGX_ERROR:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;

    default: /* NGX_DECLINED */
        return ngx_http_analytics_damaged(r, zone);
    }

    if (known.inexact) {

        /* a header says so, which is not kept */

        if (ngx_http_analytics_inexact(r, "figures were dropped for room")
            != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

    } else if (!w.failed && ngx_http_analytics_kept_state(zone) == state
               && ngx_http_analytics_active_state(c.active) == state)
    {
        /* nothing has changed while it was made, piece by piece */

        text.data = w.start;
        text.len = w.pos - w.start;

        ngx_http_analytics_kept_add(key, state, &text);
    }

    return ngx_http_analytics_send_writer(r, &w);
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


static ngx_int_t
ngx_http_analytics_metrics_make(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_column_t *c,
    ngx_http_analytics_known_t *known)
{
    ngx_int_t                      rc;
    ngx_http_analytics_buckets_t  *b;

    b = c->buckets;

    c->values = ngx_palloc(r->pool, b->n * sizeof(ngx_http_analytics_value_t));
    if (c->values == NULL) {
        return NGX_ERROR;
    }

    ngx_analytics_writer_init(w, ngx_http_analytics_palloc, r->pool,
                              256 + 48 * b->n * (known->n + 1));

    ngx_analytics_write_literal(w, "{");
    ngx_http_analytics_metric_about(w, c->metric);
    ngx_analytics_write_literal(w, ",\"interval\":");
    ngx_analytics_write_string(w, ngx_http_analytics_interval_name(b));

    rc = ngx_http_analytics_metrics_series(r, w, c);

    if (rc == NGX_OK && (known->n || known->others)) {
        rc = ngx_http_analytics_metrics_groups(r, w, c, known);
    }

    ngx_http_analytics_metrics_since(w, c->zone, c->metric, known);
    ngx_analytics_write_literal(w, "}");

    return rc;
}


ngx_int_t
ngx_http_analytics_metric_group(ngx_http_request_t *r,
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
ngx_http_analytics_metrics_many(ngx_http_analytics_metric_t *metric,
    ngx_http_analytics_buckets_t *b, ngx_http_analytics_known_t *known,
    ngx_uint_t given)
{
    ngx_uint_t  n;

    n = given ? 1 : known->n + known->others + 1;

    if (n == 1 && !given) {
        return 0;
    }

    if (metric->what == NGX_HTTP_ANALYTICS_QUANTILE
        || metric->what == NGX_HTTP_ANALYTICS_UNIQUE)
    {
        return n * b->cells > NGX_HTTP_ANALYTICS_MERGES_MAX;
    }

    return n * b->n > NGX_HTTP_ANALYTICS_VALUES_MAX;
}


/* ,"total":...,"series":[...] */

static ngx_int_t
ngx_http_analytics_metrics_series(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_column_t *c)
{
    ngx_int_t  rc;

    rc = ngx_http_analytics_column(r->pool, c);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_analytics_write_literal(w, ",\"total\":");
    ngx_http_analytics_value_write(w, &c->total, "null");
    ngx_analytics_write_literal(w, ",\"series\":[");

    rc = ngx_http_analytics_metrics_points(w, c);

    ngx_analytics_write_literal(w, "]");

    return rc;
}


/* There are many of them: each is written into room that is there. */

static ngx_int_t
ngx_http_analytics_metrics_points(ngx_analytics_writer_t *w,
    ngx_http_analytics_column_t *c)
{
    u_char                       *p;
    ngx_uint_t                    i;
    ngx_http_analytics_bucket_t   bucket;

    ngx_http_analytics_bucket_first(c->buckets, &bucket);

    for (i = 0; i < c->buckets->n; i++) {

        p = ngx_analytics_writer_room(w, NGX_HTTP_ANALYTICS_POINT_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (i) {
            *p++ = ',';
            ngx_http_analytics_bucket_next(c->buckets, &bucket);
        }

        p = ngx_cpymem(p, "{\"time\":", sizeof("{\"time\":") - 1);

        /* so many bytes are copied at once */

        ngx_memcpy(p, bucket.text, sizeof(bucket.text));
        p += bucket.len;

        p = ngx_cpymem(p, ",\"value\":", sizeof(",\"value\":") - 1);
        p = ngx_http_analytics_value_format(p, &c->values[i], "null");
        *p++ = '}';

        w->pos = p;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_metrics_groups(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_column_t *c,
    ngx_http_analytics_known_t *known)
{
    ngx_int_t   rc;
    ngx_str_t   other;
    ngx_uint_t  i;

    ngx_str_set(&other, "other");

    ngx_analytics_write_literal(w, ",\"groups\":[");

    for (i = 0; i < known->n + known->others; i++) {

        if (i) {
            ngx_analytics_write_literal(w, ",");
        }

        ngx_analytics_write_literal(w, "{\"group\":");

        if (i < known->n) {
            c->group = known->groups[i].index;
            ngx_analytics_write_string(w, &known->groups[i].name);

            if (known->groups[i].error) {
                ngx_analytics_write_literal(w, ",\"error\":");
                ngx_analytics_write_uint(w, known->groups[i].error);
            }

        } else {
            c->group = NGX_ANALYTICS_GROUP_OTHER;
            ngx_analytics_write_string(w, &other);
        }

        rc = ngx_http_analytics_metrics_series(r, w, c);

        if (rc != NGX_OK) {
            return rc;
        }

        ngx_analytics_write_literal(w, "}");
    }

    ngx_analytics_write_literal(w, "]");

    return NGX_OK;
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

static void
ngx_http_analytics_metrics_since(ngx_analytics_writer_t *w,
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
