
/*
 * analytics_prometheus: the zone's figures for Prometheus, in its text format
 * 0.0.4, or as OpenMetrics 1.0.0 for those who accept that.
 *
 * https://prometheus.io/docs/instrumenting/exposition_formats/
 * https://prometheus.io/docs/specs/om/open_metrics_spec/
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <sys/statvfs.h>
#include "ngx_http_analytics_alerts.h"
#include "ngx_analytics_layout.h"


typedef enum {
    NGX_HTTP_ANALYTICS_GAUGE = 0,
    NGX_HTTP_ANALYTICS_COUNTER,
    NGX_HTTP_ANALYTICS_HISTOGRAM
} ngx_http_analytics_family_e;


typedef struct {
    ngx_analytics_writer_t         w;
    ngx_http_analytics_zone_t     *zone;
    ngx_uint_t                     open;     /* OpenMetrics */
    const char                    *name;     /* of the family */
    ngx_uint_t                     family;   /* ..._family_e */
} ngx_http_analytics_prometheus_t;


static ngx_uint_t ngx_http_analytics_prometheus_open(ngx_http_request_t *r);
static void ngx_http_analytics_prometheus_requests(
    ngx_http_analytics_prometheus_t *p);
static void ngx_http_analytics_prometheus_zone(
    ngx_http_analytics_prometheus_t *p, ngx_analytics_totals_t *t);
static void ngx_http_analytics_prometheus_log(
    ngx_http_analytics_prometheus_t *p);
static void ngx_http_analytics_prometheus_types(
    ngx_http_analytics_prometheus_t *p, ngx_analytics_count_t *types,
    ngx_uint_t n);
static ngx_int_t ngx_http_analytics_prometheus_counts(ngx_http_request_t *r,
    ngx_http_analytics_prometheus_t *p);
static void ngx_http_analytics_prometheus_count(
    ngx_http_analytics_prometheus_t *p, ngx_http_analytics_metric_t *metric,
    ngx_str_t *group, uint64_t n);
static ngx_int_t ngx_http_analytics_prometheus_today(ngx_http_request_t *r,
    ngx_http_analytics_prometheus_t *p);
static ngx_int_t ngx_http_analytics_prometheus_metric(ngx_http_request_t *r,
    ngx_http_analytics_prometheus_t *p, ngx_http_analytics_metric_t *metric,
    ngx_http_analytics_buckets_t *b);
static void ngx_http_analytics_prometheus_one(
    ngx_http_analytics_prometheus_t *p, const char *name, ngx_uint_t family,
    const char *help, uint64_t value);
static void ngx_http_analytics_prometheus_family(
    ngx_http_analytics_prometheus_t *p, const char *name, ngx_uint_t family,
    const char *help);
static void ngx_http_analytics_prometheus_about(
    ngx_http_analytics_prometheus_t *p, const char *what, const char *text);
static void ngx_http_analytics_prometheus_sample(
    ngx_http_analytics_prometheus_t *p, const char *suffix);
static void ngx_http_analytics_prometheus_labels(
    ngx_http_analytics_prometheus_t *p, const char *suffix,
    ngx_http_analytics_metric_t *metric, ngx_str_t *group);
static void ngx_http_analytics_prometheus_label(
    ngx_http_analytics_prometheus_t *p, const char *label, ngx_str_t *value);
static void ngx_http_analytics_prometheus_escaped(ngx_analytics_writer_t *w,
    ngx_str_t *value);
static void ngx_http_analytics_prometheus_text(ngx_analytics_writer_t *w,
    const char *text);
static void ngx_http_analytics_prometheus_seconds(ngx_analytics_writer_t *w,
    uint64_t msec);


static ngx_str_t  ngx_http_analytics_prometheus_type =
    ngx_string("text/plain; version=0.0.4; charset=utf-8");
static ngx_str_t  ngx_http_analytics_openmetrics_type =
    ngx_string("application/openmetrics-text; version=1.0.0; charset=utf-8");


ngx_int_t
ngx_http_analytics_prometheus_handler(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_uint_t                        n;
    ngx_analytics_count_t            *types;
    ngx_analytics_totals_t            t;
    ngx_http_analytics_loc_conf_t    *alcf;
    ngx_http_analytics_prometheus_t   p;

    rc = ngx_http_analytics_get(r);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);

    rc = ngx_http_analytics_fresh(r, alcf->zone);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ngx_http_analytics_copy_types(r, alcf->zone, &types, &n, &t)
        != NGX_OK)
    {
        return ngx_http_analytics_damaged(r, alcf->zone);
    }

    ngx_memzero(&p, sizeof(ngx_http_analytics_prometheus_t));

    p.zone = alcf->zone;
    p.open = ngx_http_analytics_prometheus_open(r);

    ngx_analytics_writer_init(&p.w, ngx_http_analytics_palloc, r->pool, 16384);

    ngx_http_analytics_prometheus_requests(&p);
    ngx_http_analytics_prometheus_zone(&p, &t);
    ngx_http_analytics_prometheus_types(&p, types, n);

    if (alcf->zone->path) {
        ngx_http_analytics_prometheus_log(&p);
    }

    if (ngx_http_analytics_prometheus_counts(r, &p) != NGX_OK
        || ngx_http_analytics_prometheus_today(r, &p) != NGX_OK)
    {
        return ngx_http_analytics_damaged(r, alcf->zone);
    }

    if (p.open) {
        ngx_analytics_write_literal(&p.w, "# EOF\n");
    }

    return ngx_http_analytics_send_text(r, &p.w,
                               p.open ? &ngx_http_analytics_openmetrics_type
                                      : &ngx_http_analytics_prometheus_type);
}


static ngx_uint_t
ngx_http_analytics_prometheus_open(ngx_http_request_t *r)
{
    ngx_str_t                   name;
    ngx_table_elt_t            *h;
    ngx_http_analytics_walk_t   walk;

    ngx_str_set(&name, "accept");
    ngx_memzero(&walk, sizeof(ngx_http_analytics_walk_t));

    for ( ;; ) {
        h = ngx_http_analytics_header_next(r, &name, &walk);

        if (h == NULL) {
            return 0;
        }

        if (ngx_strcasestrn(h->value.data, "application/openmetrics-text",
                            sizeof("application/openmetrics-text") - 2))
        {
            return 1;
        }
    }
}


static void
ngx_http_analytics_prometheus_requests(ngx_http_analytics_prometheus_t *p)
{
    uint64_t                        n;
    ngx_uint_t                      i;
    ngx_http_analytics_requests_t  *requests;

    requests = &p->zone->shared->requests;

    for (i = 0, n = 0; i <= NGX_HTTP_ANALYTICS_DURATIONS; i++) {
        n += requests->n[i];
    }

    ngx_http_analytics_prometheus_one(p,
                    "user_activity_tracking_api_requests",
                    NGX_HTTP_ANALYTICS_COUNTER,
                    "Requests that posted events.", n);

    ngx_http_analytics_prometheus_one(p,
                    "user_activity_tracking_api_requests_errors",
                    NGX_HTTP_ANALYTICS_COUNTER,
                    "Requests that posted events and were answered with a "
                    "status of 400 or more.", requests->errors);

    ngx_http_analytics_prometheus_family(p,
                    "nginx_analytics_ingest_duration_seconds",
                    NGX_HTTP_ANALYTICS_HISTOGRAM,
                    "How long requests that posted events took, from their "
                    "first byte to the end of the answer.");

    for (i = 0, n = 0; i <= NGX_HTTP_ANALYTICS_DURATIONS; i++) {
        n += requests->n[i];

        ngx_http_analytics_prometheus_sample(p, "_bucket");
        ngx_analytics_write_literal(&p->w, ",le=\"");

        if (i < NGX_HTTP_ANALYTICS_DURATIONS) {
            ngx_http_analytics_prometheus_seconds(&p->w,
                                              ngx_http_analytics_durations[i]);
        } else {
            ngx_analytics_write_literal(&p->w, "+Inf");
        }

        ngx_analytics_write_literal(&p->w, "\"} ");
        ngx_analytics_write_uint(&p->w, n);
        ngx_analytics_write_literal(&p->w, "\n");
    }

    ngx_http_analytics_prometheus_sample(p, "_sum");
    ngx_analytics_write_literal(&p->w, "} ");
    ngx_http_analytics_prometheus_seconds(&p->w, requests->msec);
    ngx_analytics_write_literal(&p->w, "\n");

    ngx_http_analytics_prometheus_sample(p, "_count");
    ngx_analytics_write_literal(&p->w, "} ");
    ngx_analytics_write_uint(&p->w, n);
    ngx_analytics_write_literal(&p->w, "\n");
}


static void
ngx_http_analytics_prometheus_zone(ngx_http_analytics_prometheus_t *p,
    ngx_analytics_totals_t *t)
{
    ngx_http_analytics_prometheus_one(p, "nginx_analytics_events",
                    NGX_HTTP_ANALYTICS_COUNTER,
                    "Events that were collected.", t->events);

    ngx_http_analytics_prometheus_one(p, "nginx_analytics_users",
                    NGX_HTTP_ANALYTICS_GAUGE,
                    "Distinct users.", t->users);

    ngx_http_analytics_prometheus_one(p, "nginx_analytics_evicted_users",
                    NGX_HTTP_ANALYTICS_COUNTER,
                    "Users who had to leave the zone for room.", t->evicted);

    ngx_http_analytics_prometheus_one(p, "nginx_analytics_late_events",
                    NGX_HTTP_ANALYTICS_COUNTER,
                    "Events that came too late to be of a session.", t->late);

    ngx_http_analytics_prometheus_one(p, "nginx_analytics_rollbacks",
                    NGX_HTTP_ANALYTICS_COUNTER,
                    "Changes of killed workers that were undone.",
                    t->rollbacks);

    ngx_http_analytics_prometheus_one(p, "nginx_analytics_zone_used_bytes",
                    NGX_HTTP_ANALYTICS_GAUGE,
                    "How much of the zone's memory is used.", t->memory_used);

    ngx_http_analytics_prometheus_one(p, "nginx_analytics_zone_size_bytes",
                    NGX_HTTP_ANALYTICS_GAUGE,
                    "The zone's memory.", t->memory_size);
}


static void
ngx_http_analytics_prometheus_types(ngx_http_analytics_prometheus_t *p,
    ngx_analytics_count_t *types, ngx_uint_t n)
{
    ngx_uint_t  i;

    ngx_http_analytics_prometheus_family(p, "nginx_analytics_events_by_type",
                    NGX_HTTP_ANALYTICS_COUNTER,
                    "Events that were collected, by type.");

    for (i = 0; i < n; i++) {

        if (types[i].count == 0) {
            continue;
        }

        ngx_http_analytics_prometheus_sample(p, "_total");
        ngx_http_analytics_prometheus_label(p, "type", &types[i].name);
        ngx_analytics_write_literal(&p->w, "} ");
        ngx_analytics_write_uint(&p->w, types[i].count);
        ngx_analytics_write_literal(&p->w, "\n");
    }
}


static void
ngx_http_analytics_prometheus_log(ngx_http_analytics_prometheus_t *p)
{
    struct statvfs  fs;

    ngx_http_analytics_prometheus_one(p, "nginx_analytics_log_bytes",
                    NGX_HTTP_ANALYTICS_GAUGE,
                    "The log, from its beginning on.",
                    ngx_analytics_log_position(&p->zone->log));

    ngx_http_analytics_prometheus_one(p, "nginx_analytics_log_synced_bytes",
                    NGX_HTTP_ANALYTICS_GAUGE,
                    "How much of the log is on the disk.",
                    ngx_analytics_log_synced(&p->zone->log));

    if (fstatvfs(p->zone->log.dir, &fs) == 0) {
        ngx_http_analytics_prometheus_one(p, "nginx_analytics_disk_free_bytes",
                    NGX_HTTP_ANALYTICS_GAUGE,
                    "What is free where the log is.",
                    (uint64_t) fs.f_bavail * fs.f_frsize);
    }

    if (p->zone->alerts->declared.nelts) {
        ngx_http_analytics_prometheus_one(p, "nginx_analytics_alerts_firing",
                    NGX_HTTP_ANALYTICS_GAUGE,
                    "Declared alerts that are firing.",
                    p->zone->shared->firing);
    }

    if (!p->zone->store) {
        return;
    }

    ngx_http_analytics_prometheus_one(p, "nginx_analytics_store_behind_events",
                    NGX_HTTP_ANALYTICS_GAUGE,
                    "Events that are in the log and not in the store yet.",
                    ngx_http_analytics_store_behind(p->zone));

    ngx_http_analytics_prometheus_one(p, "nginx_analytics_store_bytes",
                    NGX_HTTP_ANALYTICS_GAUGE,
                    "The store's files.", p->zone->log.control->store_size);

    ngx_http_analytics_prometheus_one(p, "nginx_analytics_store_parts",
                    NGX_HTTP_ANALYTICS_GAUGE,
                    "How many files the store has.",
                    p->zone->log.control->store_parts);
}


/*
 * Counts since the beginning, as counters: not what is kept of them by day,
 * which gets less as days are too old.
 */

static ngx_int_t
ngx_http_analytics_prometheus_counts(ngx_http_request_t *r,
    ngx_http_analytics_prometheus_t *p)
{
    ngx_str_t                     other;
    ngx_uint_t                    i, k, groups;
    ngx_http_analytics_known_t    known;
    ngx_http_analytics_metric_t  *metric;

    ngx_http_analytics_prometheus_family(p, "nginx_analytics_metric_events",
                    NGX_HTTP_ANALYTICS_COUNTER, "Declared metrics that count.");

    metric = p->zone->metrics->metrics.elts;

    ngx_str_set(&other, "other");

    for (i = 0; i < p->zone->metrics->metrics.nelts; i++) {

        if (metric[i].what != NGX_HTTP_ANALYTICS_COUNT) {
            continue;
        }

        groups = ngx_http_analytics_metric_grouped(p->zone, &metric[i]);

        if (ngx_http_analytics_metric_known(r->pool, p->zone, &metric[i],
                                            groups, NULL, &known)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (groups == 0) {
            ngx_http_analytics_prometheus_count(p, &metric[i], NULL,
                                                known.counted);
        }

        for (k = 0; k < known.n; k++) {
            ngx_http_analytics_prometheus_count(p, &metric[i],
                                                &known.groups[k].name,
                                                known.groups[k].counted);
        }

        if (known.others) {
            ngx_http_analytics_prometheus_count(p, &metric[i], &other,
                                                known.rest);
        }
    }

    return NGX_OK;
}


static void
ngx_http_analytics_prometheus_count(ngx_http_analytics_prometheus_t *p,
    ngx_http_analytics_metric_t *metric, ngx_str_t *group, uint64_t n)
{
    ngx_http_analytics_prometheus_labels(p, "_total", metric, group);
    ngx_analytics_write_uint(&p->w, n);
    ngx_analytics_write_literal(&p->w, "\n");
}


/* Of others what they are today. */

static ngx_int_t
ngx_http_analytics_prometheus_today(ngx_http_request_t *r,
    ngx_http_analytics_prometheus_t *p)
{
    int64_t                        today;
    ngx_uint_t                     i;
    ngx_http_analytics_metric_t   *metric;
    ngx_http_analytics_buckets_t   b;

    ngx_http_analytics_prometheus_family(p, "nginx_analytics_metric_today",
                    NGX_HTTP_ANALYTICS_GAUGE,
                    "Declared metrics, of the day that it is.");

    metric = p->zone->metrics->metrics.elts;
    today = ngx_http_analytics_today(p->zone);

    ngx_http_analytics_buckets_days(p->zone, today, today, &b);

    for (i = 0; i < p->zone->metrics->metrics.nelts; i++) {
        if (ngx_http_analytics_prometheus_metric(r, p, &metric[i], &b)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Of each group, if there are some. */

static ngx_int_t
ngx_http_analytics_prometheus_metric(ngx_http_request_t *r,
    ngx_http_analytics_prometheus_t *p, ngx_http_analytics_metric_t *metric,
    ngx_http_analytics_buckets_t *b)
{
    ngx_str_t                     other, *group;
    ngx_uint_t                    i, groups;
    ngx_http_analytics_known_t    known;
    ngx_http_analytics_column_t   c;

    groups = ngx_http_analytics_metric_grouped(p->zone, metric);

    if (ngx_http_analytics_metric_known(r->pool, p->zone, metric, groups, b,
                                        &known)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_memzero(&c, sizeof(ngx_http_analytics_column_t));

    c.zone = p->zone;
    c.metric = metric;
    c.buckets = b;

    ngx_str_set(&other, "other");

    for (i = 0; i < (groups ? known.n + known.others : 1); i++) {
        group = NULL;

        if (groups) {
            group = (i < known.n) ? &known.groups[i].name : &other;
            c.group = (i < known.n) ? known.groups[i].index
                                    : NGX_ANALYTICS_GROUP_OTHER;
        }

        if (ngx_http_analytics_column(r->pool, &c) != NGX_OK) {
            return NGX_ERROR;
        }

        if (c.total.kind == NGX_HTTP_ANALYTICS_NONE) {
            continue;
        }

        ngx_http_analytics_prometheus_labels(p, "", metric, group);
        ngx_http_analytics_value_write(&p->w, &c.total, "NaN");
        ngx_analytics_write_literal(&p->w, "\n");
    }

    return NGX_OK;
}


/* A family of one sample. */

static void
ngx_http_analytics_prometheus_one(ngx_http_analytics_prometheus_t *p,
    const char *name, ngx_uint_t family, const char *help, uint64_t value)
{
    ngx_http_analytics_prometheus_family(p, name, family, help);
    ngx_http_analytics_prometheus_sample(p,
                    (family == NGX_HTTP_ANALYTICS_COUNTER) ? "_total" : "");

    ngx_analytics_write_literal(&p->w, "} ");
    ngx_analytics_write_uint(&p->w, value);
    ngx_analytics_write_literal(&p->w, "\n");
}


static void
ngx_http_analytics_prometheus_family(ngx_http_analytics_prometheus_t *p,
    const char *name, ngx_uint_t family, const char *help)
{
    p->name = name;
    p->family = family;

    ngx_http_analytics_prometheus_about(p, "# HELP ", help);
    ngx_http_analytics_prometheus_about(p, "# TYPE ",
                    (family == NGX_HTTP_ANALYTICS_GAUGE) ? "gauge"
                    : (family == NGX_HTTP_ANALYTICS_COUNTER) ? "counter"
                    : "histogram");
}


/* In OpenMetrics, the family of a counter lacks the "_total" of its samples. */

static void
ngx_http_analytics_prometheus_about(ngx_http_analytics_prometheus_t *p,
    const char *what, const char *text)
{
    ngx_http_analytics_prometheus_text(&p->w, what);
    ngx_http_analytics_prometheus_text(&p->w, p->name);

    if (!p->open && p->family == NGX_HTTP_ANALYTICS_COUNTER) {
        ngx_analytics_write_literal(&p->w, "_total");
    }

    ngx_analytics_write_literal(&p->w, " ");
    ngx_http_analytics_prometheus_text(&p->w, text);
    ngx_analytics_write_literal(&p->w, "\n");
}


/* NAMESUFFIX{zone="..." */

static void
ngx_http_analytics_prometheus_sample(ngx_http_analytics_prometheus_t *p,
    const char *suffix)
{
    ngx_http_analytics_prometheus_text(&p->w, p->name);
    ngx_http_analytics_prometheus_text(&p->w, suffix);

    ngx_analytics_write_literal(&p->w, "{zone=\"");
    ngx_http_analytics_prometheus_escaped(&p->w, &p->zone->name);
    ngx_analytics_write_literal(&p->w, "\"");
}


/* NAMESUFFIX{zone="...",metric="...",group="..."} */

static void
ngx_http_analytics_prometheus_labels(ngx_http_analytics_prometheus_t *p,
    const char *suffix, ngx_http_analytics_metric_t *metric, ngx_str_t *group)
{
    ngx_http_analytics_prometheus_sample(p, suffix);
    ngx_http_analytics_prometheus_label(p, "metric", &metric->name);

    if (group) {
        ngx_http_analytics_prometheus_label(p, "group", group);
    }

    ngx_analytics_write_literal(&p->w, "} ");
}


/* ,LABEL="..." */

static void
ngx_http_analytics_prometheus_label(ngx_http_analytics_prometheus_t *p,
    const char *label, ngx_str_t *value)
{
    ngx_analytics_write_literal(&p->w, ",");
    ngx_http_analytics_prometheus_text(&p->w, label);
    ngx_analytics_write_literal(&p->w, "=\"");
    ngx_http_analytics_prometheus_escaped(&p->w, value);
    ngx_analytics_write_literal(&p->w, "\"");
}


/* a quote, a backslash and an end of line are */

static void
ngx_http_analytics_prometheus_escaped(ngx_analytics_writer_t *w,
    ngx_str_t *value)
{
    u_char  *from, *s, *last;

    from = value->data;
    last = value->data + value->len;

    for (s = from; s < last; s++) {

        if (*s != '"' && *s != '\\' && *s != '\n') {
            continue;
        }

        ngx_analytics_write_raw(w, from, (size_t) (s - from));

        if (*s == '\n') {
            ngx_analytics_write_literal(w, "\\n");
            from = s + 1;

        } else {
            ngx_analytics_write_literal(w, "\\");
            from = s;
        }
    }

    ngx_analytics_write_raw(w, from, (size_t) (last - from));
}


static void
ngx_http_analytics_prometheus_text(ngx_analytics_writer_t *w,
    const char *text)
{
    ngx_analytics_write_raw(w, text, ngx_strlen(text));
}


static void
ngx_http_analytics_prometheus_seconds(ngx_analytics_writer_t *w,
    uint64_t msec)
{
    u_char  text[NGX_INT64_LEN + sizeof(".000")], *last;

    last = ngx_sprintf(text, "%uL.%03uL", msec / 1000, msec % 1000);

    while (last[-1] == '0') {
        last--;
    }

    if (last[-1] == '.') {
        *last++ = '0';
    }

    ngx_analytics_write_raw(w, text, (size_t) (last - text));
}
