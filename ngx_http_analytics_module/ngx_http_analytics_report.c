
/*
 * analytics_reports: what reports there are, and what one says of a period.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_report.h"


#define NGX_HTTP_ANALYTICS_ISSUE_POOL  16384


static ngx_int_t ngx_http_analytics_reports_list(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone);
static ngx_int_t ngx_http_analytics_reports_one(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_report_t *report);
static ngx_int_t ngx_http_analytics_reports_oldest(
    ngx_http_analytics_zone_t *zone, int64_t *day);
static void ngx_http_analytics_reports_range(
    ngx_http_analytics_zone_t *zone, ngx_uint_t every, int64_t oldest,
    ngx_http_analytics_period_t *first, ngx_http_analytics_period_t *last);
static ngx_int_t ngx_http_analytics_reports_format(ngx_http_request_t *r,
    ngx_uint_t *format);
static ngx_uint_t ngx_http_analytics_reports_accept(ngx_http_request_t *r,
    const char *type);
static const char *ngx_http_analytics_reports_period(ngx_http_request_t *r,
    ngx_http_analytics_issue_t *issue, int64_t oldest);
static ngx_int_t ngx_http_analytics_reports_text(ngx_http_request_t *r,
    ngx_http_analytics_issue_t *issue, ngx_analytics_writer_t *w);
static ngx_int_t ngx_http_analytics_reports_make(ngx_http_request_t *r,
    ngx_http_analytics_issue_t *issue, ngx_analytics_writer_t *w);
static ngx_int_t ngx_http_analytics_reports_headers(ngx_http_request_t *r,
    ngx_http_analytics_issue_t *issue);
static ngx_int_t ngx_http_analytics_reports_file(ngx_http_request_t *r,
    ngx_http_analytics_issue_t *issue);
static ngx_int_t ngx_http_analytics_reports_etag(ngx_http_request_t *r,
    ngx_http_analytics_issue_t *issue);


static ngx_str_t  ngx_http_analytics_arg_period = ngx_string("period");
static ngx_str_t  ngx_http_analytics_arg_format = ngx_string("format");

/* in the order of ngx_http_analytics_report_format_e */

static ngx_str_t  ngx_http_analytics_report_types[] = {
    ngx_string("application/json"),
    ngx_string("text/csv; charset=utf-8"),
    ngx_string("text/html; charset=utf-8"),
    ngx_null_string
};

static ngx_str_t  ngx_http_analytics_report_formats[] = {
    ngx_string("json"),
    ngx_string("csv"),
    ngx_string("html"),
    ngx_null_string
};


ngx_int_t
ngx_http_analytics_reports_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_str_t                       name, suffix;
    ngx_uint_t                      i;
    ngx_http_core_loc_conf_t       *clcf;
    ngx_http_analytics_report_t    *report;
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

    ngx_str_null(&suffix);

    /* behind "location = /reports" no name can follow */

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    rc = clcf->exact_match ? NGX_DECLINED
                           : ngx_http_analytics_uri_name(r, &suffix, &name);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_analytics_reports_list(r, alcf->zone);
    }

    report = alcf->zone->metrics->reports.elts;

    for (i = 0; i < alcf->zone->metrics->reports.nelts; i++) {
        if (report[i].name.len == name.len
            && ngx_memcmp(report[i].name.data, name.data, name.len) == 0)
        {
            return ngx_http_analytics_reports_one(r, alcf->zone, &report[i]);
        }
    }

    return ngx_http_analytics_problem(r, NGX_HTTP_NOT_FOUND,
                                      "there is no such report", NULL, NULL);
}


static ngx_int_t
ngx_http_analytics_reports_list(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone)
{
    u_char                         buf[NGX_HTTP_ANALYTICS_PERIOD_LEN];
    int64_t                        oldest;
    ngx_str_t                      name;
    ngx_uint_t                     i, k;
    ngx_analytics_writer_t         w;
    ngx_http_analytics_metric_t  **metrics;
    ngx_http_analytics_period_t    first, last;
    ngx_http_analytics_report_t   *report;

    if (ngx_http_analytics_reports_oldest(zone, &oldest) != NGX_OK) {
        return ngx_http_analytics_damaged(r, zone);
    }

    report = zone->metrics->reports.elts;

    ngx_analytics_writer_init(&w, ngx_http_analytics_palloc, r->pool,
                              64 + 512 * zone->metrics->reports.nelts);

    ngx_analytics_write_literal(&w, "{\"reports\":[");

    for (i = 0; i < zone->metrics->reports.nelts; i++, report++) {

        if (i) {
            ngx_analytics_write_literal(&w, ",");
        }

        ngx_analytics_write_literal(&w, "{\"report\":");
        ngx_analytics_write_string(&w, &report->name);
        ngx_analytics_write_literal(&w, ",\"title\":");
        ngx_analytics_write_string(&w, &report->title);

        ngx_http_analytics_reports_range(zone, report->every, oldest, &first,
                                         &last);

        switch (report->every) {

        case NGX_HTTP_ANALYTICS_BY_WEEK:
            ngx_analytics_write_literal(&w, ",\"every\":\"week\"");
            break;

        case NGX_HTTP_ANALYTICS_BY_MONTH:
            ngx_analytics_write_literal(&w, ",\"every\":\"month\"");
            break;

        default: /* NGX_HTTP_ANALYTICS_BY_DAY */
            ngx_analytics_write_literal(&w, ",\"every\":\"day\"");
        }

        ngx_analytics_write_literal(&w, ",\"metrics\":[");

        metrics = report->metrics.elts;

        for (k = 0; k < report->metrics.nelts; k++) {

            if (k) {
                ngx_analytics_write_literal(&w, ",");
            }

            ngx_analytics_write_string(&w, &metrics[k]->name);
        }

        ngx_analytics_write_literal(&w, "],\"oldest\":");
        ngx_http_analytics_period_name(&first, buf, &name);
        ngx_analytics_write_string(&w, &name);

        ngx_analytics_write_literal(&w, ",\"latest\":");
        ngx_http_analytics_period_name(&last, buf, &name);
        ngx_analytics_write_string(&w, &name);

        ngx_analytics_write_literal(&w, "}");
    }

    ngx_analytics_write_literal(&w, "]}");

    return ngx_http_analytics_send_writer(r, &w);
}


static ngx_int_t
ngx_http_analytics_reports_one(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_report_t *report)
{
    int64_t                     oldest;
    ngx_int_t                   rc;
    const char                 *why;
    ngx_analytics_writer_t      w;
    ngx_http_analytics_issue_t  issue;

    ngx_memzero(&issue, sizeof(ngx_http_analytics_issue_t));

    issue.pool = r->pool;
    issue.zone = zone;
    issue.report = report;

    if (ngx_http_analytics_reports_format(r, &issue.format) != NGX_OK) {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                                          "format must be json, csv or html",
                                          &ngx_http_analytics_arg_format,
                                          NULL);
    }

    if (ngx_http_analytics_reports_oldest(zone, &oldest) != NGX_OK) {
        return ngx_http_analytics_damaged(r, zone);
    }

    why = ngx_http_analytics_reports_period(r, &issue, oldest);

    if (why) {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                                          why, &ngx_http_analytics_arg_period,
                                          NULL);
    }

    rc = ngx_http_analytics_reports_text(r, &issue, &w);

    if (rc == NGX_DECLINED) {
        return ngx_http_analytics_damaged(r, zone);
    }

    if (rc != NGX_OK
        || ngx_http_analytics_reports_headers(r, &issue) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_analytics_send_text(r, &w,
                              &ngx_http_analytics_report_types[issue.format]);
}


/* The day of the first event that is kept, or the present one. */

static ngx_int_t
ngx_http_analytics_reports_oldest(ngx_http_analytics_zone_t *zone,
    int64_t *day)
{
    if (ngx_http_analytics_lock(zone) != NGX_OK) {
        return NGX_ERROR;
    }

    *day = ngx_analytics_figures_oldest(zone->sh);

    ngx_http_analytics_unlock(zone);

    if (*day < 0) {
        *day = ngx_http_analytics_today(zone);
    }

    return NGX_OK;
}


/* There is always the last one that is over. */

static void
ngx_http_analytics_reports_range(ngx_http_analytics_zone_t *zone,
    ngx_uint_t every, int64_t oldest, ngx_http_analytics_period_t *first,
    ngx_http_analytics_period_t *last)
{
    ngx_http_analytics_period_t  now;

    ngx_http_analytics_period_of(&now, every, ngx_http_analytics_today(zone));
    ngx_http_analytics_period_move(last, &now, -1);
    ngx_http_analytics_period_of(first, every, oldest);

    if (first->first > last->first) {
        *first = *last;
    }
}


/* format=, or what the client accepts. */

static ngx_int_t
ngx_http_analytics_reports_format(ngx_http_request_t *r, ngx_uint_t *format)
{
    ngx_int_t   rc;
    ngx_str_t   value;
    ngx_uint_t  i;

    rc = ngx_http_analytics_arg(r, &ngx_http_analytics_arg_format, &value);

    if (rc == NGX_DECLINED) {
        *format = ngx_http_analytics_reports_accept(r, "text/html")
                  ? NGX_HTTP_ANALYTICS_REPORT_HTML
                  : ngx_http_analytics_reports_accept(r, "text/csv")
                  ? NGX_HTTP_ANALYTICS_REPORT_CSV
                  : NGX_HTTP_ANALYTICS_REPORT_JSON;
        return NGX_OK;
    }

    for (i = 0;
         rc == NGX_OK && ngx_http_analytics_report_formats[i].len;
         i++)
    {
        if (value.len == ngx_http_analytics_report_formats[i].len
            && ngx_strncmp(value.data,
                           ngx_http_analytics_report_formats[i].data,
                           value.len)
               == 0)
        {
            *format = i;
            return NGX_OK;
        }
    }

    return NGX_ERROR;
}


static ngx_uint_t
ngx_http_analytics_reports_accept(ngx_http_request_t *r, const char *type)
{
    ngx_str_t                   name;
    ngx_table_elt_t            *h;
    ngx_http_analytics_walk_t   walk;

    ngx_str_set(&name, "accept");
    ngx_memzero(&walk, sizeof(ngx_http_analytics_walk_t));

    while ((h = ngx_http_analytics_header_next(r, &name, &walk)) != NULL) {

        if (ngx_strcasestrn(h->value.data, (char *) type,
                            ngx_strlen(type) - 1))
        {
            return 1;
        }
    }

    return 0;
}


/* Returns why there is no such period, or NULL. */

static const char *
ngx_http_analytics_reports_period(ngx_http_request_t *r,
    ngx_http_analytics_issue_t *issue, int64_t oldest)
{
    int64_t                      today;
    ngx_int_t                    rc;
    ngx_str_t                    value;
    ngx_uint_t                   every;
    ngx_http_analytics_period_t  first, last;

    today = ngx_http_analytics_today(issue->zone);
    every = issue->report->every;

    ngx_http_analytics_reports_range(issue->zone, every, oldest, &first,
                                     &last);

    rc = ngx_http_analytics_arg(r, &ngx_http_analytics_arg_period, &value);

    if (rc == NGX_DECLINED) {
        issue->period = last;

    } else if (rc == NGX_OK && value.len == 7
               && ngx_strncmp(value.data, "current", 7) == 0)
    {
        ngx_http_analytics_period_of(&issue->period, every, today);

    } else if (rc != NGX_OK
               || ngx_http_analytics_period_parse(&issue->period, every,
                                                  &value)
                  != NGX_OK)
    {
        return (every == NGX_HTTP_ANALYTICS_BY_WEEK)
               ? "period must be a week like 2024-W11, or current"
               : (every == NGX_HTTP_ANALYTICS_BY_MONTH)
               ? "period must be a month like 2024-03, or current"
               : "period must be a day like 2024-03-14, or current";
    }

    if (issue->period.first > today) {
        return "period must not be in the future";
    }

    if (issue->period.first < first.first) {
        return "period must not be before the oldest one";
    }

    ngx_http_analytics_period_move(&issue->previous, &issue->period, -1);

    issue->closed = (issue->period.last < today);
    issue->oldest = (issue->period.first == first.first);

    return NULL;
}


/* What was kept, if it is still true, or what is made now. */

static ngx_int_t
ngx_http_analytics_reports_text(ngx_http_request_t *r,
    ngx_http_analytics_issue_t *issue, ngx_analytics_writer_t *w)
{
    ngx_int_t   rc;
    ngx_str_t   text;

    /* what is needed meanwhile may be much more than the answer */

    issue->pool = ngx_create_pool(NGX_HTTP_ANALYTICS_ISSUE_POOL,
                                  r->connection->log);
    if (issue->pool == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_analytics_issue_init(issue);

    if (rc == NGX_OK) {
        rc = issue->closed ? ngx_http_analytics_kept_find(issue->key,
                                                issue->state, r->pool, &text)
                           : NGX_DECLINED;
        if (rc == NGX_OK) {
            ngx_memzero(w, sizeof(ngx_analytics_writer_t));

            w->start = text.data;
            w->pos = text.data + text.len;

        } else if (rc == NGX_DECLINED) {
            rc = ngx_http_analytics_reports_make(r, issue, w);
        }
    }

    ngx_destroy_pool(issue->pool);
    issue->pool = r->pool;

    return rc;
}


static ngx_int_t
ngx_http_analytics_reports_make(ngx_http_request_t *r,
    ngx_http_analytics_issue_t *issue, ngx_analytics_writer_t *w)
{
    ngx_int_t  rc;
    ngx_str_t  text;

    rc = ngx_http_analytics_issue_compute(issue);

    if (rc != NGX_OK) {
        return rc;
    }

    ngx_analytics_writer_init(w, ngx_http_analytics_palloc, r->pool, 16384);

    switch (issue->format) {

    case NGX_HTTP_ANALYTICS_REPORT_CSV:
        ngx_http_analytics_issue_csv(w, issue);
        break;

    case NGX_HTTP_ANALYTICS_REPORT_HTML:
        ngx_http_analytics_issue_html(w, issue);
        break;

    default: /* NGX_HTTP_ANALYTICS_REPORT_JSON */
        ngx_http_analytics_issue_json(w, issue);
    }

    if (w->failed) {
        return NGX_ERROR;
    }

    if (issue->closed) {
        text.data = w->start;
        text.len = w->pos - w->start;

        ngx_http_analytics_kept_add(issue->key, issue->state, &text);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_reports_headers(ngx_http_request_t *r,
    ngx_http_analytics_issue_t *issue)
{
    ngx_str_t  value;

    ngx_str_set(&value, "Accept");

    if (ngx_http_analytics_header(r, "Vary", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (issue->inexact
        && ngx_http_analytics_inexact(r, "figures were dropped for room")
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (issue->closed && ngx_http_analytics_reports_etag(r, issue) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (issue->format == NGX_HTTP_ANALYTICS_REPORT_CSV) {
        return ngx_http_analytics_reports_file(r, issue);
    }

    if (issue->format == NGX_HTTP_ANALYTICS_REPORT_HTML) {
        if (ngx_http_analytics_issue_policy(r->pool, &value) != NGX_OK) {
            return NGX_ERROR;
        }

        return ngx_http_analytics_header(r, "Content-Security-Policy",
                                         &value);
    }

    return NGX_OK;
}


/* Names of reports are harmless in a header. */

static ngx_int_t
ngx_http_analytics_reports_file(ngx_http_request_t *r,
    ngx_http_analytics_issue_t *issue)
{
    u_char     *p, buf[NGX_HTTP_ANALYTICS_PERIOD_LEN];
    ngx_str_t   name, value;

    ngx_http_analytics_period_name(&issue->period, buf, &name);

    p = ngx_pnalloc(r->pool, sizeof("attachment; filename=\"-.csv\"")
                             + issue->report->name.len + name.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "attachment; filename=\"%V-%V.csv\"",
                            &issue->report->name, &name)
                - p;

    return ngx_http_analytics_header(r, "Content-Disposition", &value);
}


/*
 * Weak: it says that the figures are the same, not when they were computed,
 * which each process does for itself.
 */

static ngx_int_t
ngx_http_analytics_reports_etag(ngx_http_request_t *r,
    ngx_http_analytics_issue_t *issue)
{
    u_char           *p;
    ngx_str_t         value;
    ngx_list_part_t  *last;

    p = ngx_pnalloc(r->pool, sizeof("W/\"0123456789abcdef\""));
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "W/\"%016xL\"", issue->state) - p;

    if (ngx_http_analytics_header(r, "ETag", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    /* by it nginx tells whether the client has it */

    last = r->headers_out.headers.last;
    r->headers_out.etag = (ngx_table_elt_t *) last->elts + last->nelts - 1;

    return NGX_OK;
}
