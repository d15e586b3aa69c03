
/*
 * The figures of one metric, as JSON: of all of it, and of its groups.
 *
 * Quantiles and distinct values are merged of what there is of each hour or
 * day, before anything is written: much of that takes longer than an event
 * loop may, and is a thread's.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_metrics.h"
#include "ngx_analytics_layout.h"


/* ,{"time":...,"value":...} */
#define NGX_HTTP_ANALYTICS_POINT_LEN                                          \
    (sizeof(",{\"time\":,\"value\":}")                                        \
     + sizeof(((ngx_http_analytics_bucket_t *) 0)->text)                      \
     + NGX_HTTP_ANALYTICS_VALUE_LEN)


static ngx_uint_t ngx_http_analytics_series_group(
    ngx_http_analytics_series_t *s, ngx_uint_t i);
static ngx_int_t ngx_http_analytics_series_one(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_series_t *s, ngx_uint_t i);
static ngx_int_t ngx_http_analytics_series_points(ngx_analytics_writer_t *w,
    ngx_http_analytics_column_t *c);
static ngx_int_t ngx_http_analytics_series_groups(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_series_t *s);


ngx_uint_t
ngx_http_analytics_series_merges(ngx_http_analytics_series_t *s)
{
    return ngx_http_analytics_metric_merged(s->c.metric)
           ? s->n * s->buckets.cells : 0;
}


ngx_int_t
ngx_http_analytics_series_ready(ngx_pool_t *pool,
    ngx_http_analytics_series_t *s)
{
    ngx_uint_t  n, merged;

    merged = ngx_http_analytics_metric_merged(s->c.metric);

    /* those that are not merged are written one after the other */

    n = merged ? s->n : 1;

    s->values = ngx_palloc(pool, n * s->buckets.n
                                 * sizeof(ngx_http_analytics_value_t));
    if (s->values == NULL) {
        return NGX_ERROR;
    }

    if (!merged) {
        return NGX_OK;
    }

    s->totals = ngx_palloc(pool, n * sizeof(ngx_http_analytics_value_t));
    if (s->totals == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_analytics_column_ready(pool, &s->c);
}


ngx_int_t
ngx_http_analytics_series_merge(void *data)
{
    ngx_http_analytics_series_t *s = data;

    ngx_uint_t  i;

    for (i = 0; i < s->n; i++) {
        s->c.group = ngx_http_analytics_series_group(s, i);
        s->c.values = s->values + i * s->buckets.n;

        if (ngx_http_analytics_column(NULL, &s->c) != NGX_OK) {
            return NGX_DECLINED;
        }

        s->totals[i] = s->c.total;
    }

    return NGX_OK;
}


/* The first series is of all, the last one may be of the other groups. */

static ngx_uint_t
ngx_http_analytics_series_group(ngx_http_analytics_series_t *s, ngx_uint_t i)
{
    if (i == 0) {
        return NGX_ANALYTICS_GROUP_ALL;
    }

    return (i <= s->known.n) ? s->known.groups[i - 1].index
                             : NGX_ANALYTICS_GROUP_OTHER;
}


ngx_int_t
ngx_http_analytics_series_write(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_series_t *s)
{
    ngx_int_t  rc;

    ngx_analytics_writer_init(w, ngx_http_analytics_palloc, r->pool,
                              256 + 48 * s->buckets.n * s->n);

    ngx_analytics_write_literal(w, "{");
    ngx_http_analytics_metric_about(w, s->c.metric);
    ngx_analytics_write_literal(w, ",\"interval\":");
    ngx_analytics_write_string(w,
                             ngx_http_analytics_interval_name(&s->buckets));

    rc = ngx_http_analytics_series_one(r, w, s, 0);

    if (rc == NGX_OK && s->n > 1) {
        rc = ngx_http_analytics_series_groups(r, w, s);
    }

    ngx_http_analytics_metric_since(w, s->c.zone, s->c.metric, &s->known);
    ngx_analytics_write_literal(w, "}");

    return rc;
}


/* ,"total":...,"series":[...] */

static ngx_int_t
ngx_http_analytics_series_one(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_series_t *s, ngx_uint_t i)
{
    ngx_int_t  rc;

    if (ngx_http_analytics_metric_merged(s->c.metric)) {
        s->c.values = s->values + i * s->buckets.n;
        s->c.total = s->totals[i];

    } else {
        s->c.group = ngx_http_analytics_series_group(s, i);
        s->c.values = s->values;

        rc = ngx_http_analytics_column(r->pool, &s->c);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_analytics_write_literal(w, ",\"total\":");
    ngx_http_analytics_value_write(w, &s->c.total, "null");
    ngx_analytics_write_literal(w, ",\"series\":[");

    rc = ngx_http_analytics_series_points(w, &s->c);

    ngx_analytics_write_literal(w, "]");

    return rc;
}


/* There are many of them: each is written into room that is there. */

static ngx_int_t
ngx_http_analytics_series_points(ngx_analytics_writer_t *w,
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
ngx_http_analytics_series_groups(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_series_t *s)
{
    ngx_int_t                       rc;
    ngx_str_t                       other;
    ngx_uint_t                      i;
    ngx_analytics_figures_group_t  *group;

    ngx_str_set(&other, "other");

    ngx_analytics_write_literal(w, ",\"groups\":[");

    for (i = 1; i < s->n; i++) {

        if (i > 1) {
            ngx_analytics_write_literal(w, ",");
        }

        ngx_analytics_write_literal(w, "{\"group\":");

        if (i <= s->known.n) {
            group = &s->known.groups[i - 1];

            ngx_analytics_write_string(w, &group->name);

            if (group->error) {
                ngx_analytics_write_literal(w, ",\"error\":");
                ngx_analytics_write_uint(w, group->error);
            }

        } else {
            ngx_analytics_write_string(w, &other);
        }

        rc = ngx_http_analytics_series_one(r, w, s, i);

        if (rc != NGX_OK) {
            return rc;
        }

        ngx_analytics_write_literal(w, "}");
    }

    ngx_analytics_write_literal(w, "]");

    return NGX_OK;
}
