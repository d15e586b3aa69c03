
/*
 * analytics_stats over_time and recent: the cells of time, summed as asked.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_analytics_time.h"


#define NGX_HTTP_ANALYTICS_DAYS       7
#define NGX_HTTP_ANALYTICS_DAYS_MAX   3660
#define NGX_HTTP_ANALYTICS_HOURS_MAX  366      /* days shown by hour */
#define NGX_HTTP_ANALYTICS_MINUTES    60

/* how many cells are copied under one lock */
#define NGX_HTTP_ANALYTICS_CELLS      2048


typedef struct {
    int64_t       first;               /* days since the epoch */
    int64_t       last;                /* included */
    ngx_uint_t    by_hour;             /* unsigned  by_hour:1; */

    ngx_str_t    *field;               /* the parameter that is wrong */
    const char   *detail;
} ngx_http_analytics_span_t;


static ngx_int_t ngx_http_analytics_span(ngx_http_request_t *r,
    ngx_http_analytics_span_t *span);
static ngx_int_t ngx_http_analytics_span_interval(ngx_http_request_t *r,
    ngx_http_analytics_span_t *span);
static ngx_int_t ngx_http_analytics_span_dates(ngx_http_request_t *r,
    ngx_http_analytics_span_t *span);
static ngx_int_t ngx_http_analytics_span_wrong(
    ngx_http_analytics_span_t *span, ngx_str_t *field, const char *detail);
static ngx_int_t ngx_http_analytics_copy_cells(
    ngx_http_analytics_zone_t *zone, ngx_analytics_level_e level,
    ngx_uint_t series, int64_t first, uint64_t *cells, ngx_uint_t n);
static ngx_int_t ngx_http_analytics_copy_recent(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, int64_t first, ngx_uint_t minutes,
    uint64_t *total, ngx_analytics_count_t **types, ngx_uint_t *n,
    ngx_analytics_totals_t *totals);
static ngx_int_t ngx_http_analytics_sum_minutes(
    ngx_http_analytics_zone_t *zone, int64_t first, ngx_uint_t n,
    uint64_t *sums, ngx_uint_t nseries);


static ngx_str_t  ngx_http_analytics_arg_days = ngx_string("days");
static ngx_str_t  ngx_http_analytics_arg_start = ngx_string("start");
static ngx_str_t  ngx_http_analytics_arg_end = ngx_string("end");
static ngx_str_t  ngx_http_analytics_arg_interval = ngx_string("interval");
static ngx_str_t  ngx_http_analytics_arg_minutes = ngx_string("minutes");


ngx_int_t
ngx_http_analytics_stats_over_time(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone)
{
    uint64_t                   *cells;
    ngx_uint_t                  i, j, n;
    ngx_analytics_totals_t      t;
    ngx_analytics_writer_t      w;
    ngx_http_analytics_span_t   span;

    if (ngx_http_analytics_span(r, &span) != NGX_OK) {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                                          span.detail, span.field, NULL);
    }

    n = (ngx_uint_t) (span.last - span.first + 1) * 24;

    cells = ngx_palloc(r->pool, n * sizeof(uint64_t));
    if (cells == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_analytics_copy_cells(zone, NGX_ANALYTICS_HOURS,
                                      NGX_ANALYTICS_SERIES_ALL,
                                      span.first * 24, cells, n)
        != NGX_OK
        || ngx_http_analytics_copy_totals(zone, &t) != NGX_OK)
    {
        return ngx_http_analytics_damaged(r, zone);
    }

    if (span.first * NGX_ANALYTICS_DAY < t.cells_from
        && ngx_http_analytics_inexact(r, "older hours are not kept")
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!span.by_hour) {
        n /= 24;

        for (i = 0; i < n; i++) {
            cells[i] = cells[i * 24];

            for (j = 1; j < 24; j++) {
                cells[i] += cells[i * 24 + j];
            }
        }
    }

    ngx_analytics_writer_init(&w, ngx_http_analytics_palloc, r->pool,
                              64 * (n + 1));

    ngx_analytics_write_literal(&w, "[");

    for (i = 0; i < n; i++) {

        if (i) {
            ngx_analytics_write_literal(&w, ",");
        }

        ngx_analytics_write_literal(&w, "{\"date\":");

        if (span.by_hour) {
            ngx_analytics_write_time(&w, span.first * NGX_ANALYTICS_DAY
                                         + i * NGX_ANALYTICS_HOUR);
        } else {
            ngx_analytics_write_date(&w, span.first + i);
        }

        ngx_analytics_write_literal(&w, ",\"count\":");
        ngx_analytics_write_uint(&w, cells[i]);
        ngx_analytics_write_literal(&w, "}");
    }

    ngx_analytics_write_literal(&w, "]");

    return ngx_http_analytics_send_writer(r, &w);
}


static ngx_int_t
ngx_http_analytics_span(ngx_http_request_t *r,
    ngx_http_analytics_span_t *span)
{
    int64_t  days;

    if (ngx_http_analytics_span_interval(r, span) != NGX_OK
        || ngx_http_analytics_span_dates(r, span) != NGX_OK)
    {
        return NGX_ERROR;
    }

    days = span->last - span->first + 1;

    if (span->first < 0) {
        return ngx_http_analytics_span_wrong(span, span->field,
                                             "there are no events before "
                                             "1970");
    }

    if (days < 1) {
        return ngx_http_analytics_span_wrong(span,
                                             &ngx_http_analytics_arg_start,
                                             "start must not be after end");
    }

    if (span->by_hour && days > NGX_HTTP_ANALYTICS_HOURS_MAX) {
        return ngx_http_analytics_span_wrong(span, span->field,
                              "by hour, at most 366 days can be shown");
    }

    if (days > NGX_HTTP_ANALYTICS_DAYS_MAX) {
        return ngx_http_analytics_span_wrong(span, span->field,
                              "at most 3660 days can be shown");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_span_interval(ngx_http_request_t *r,
    ngx_http_analytics_span_t *span)
{
    ngx_str_t  value;

    span->by_hour = 0;

    if (ngx_http_arg(r, ngx_http_analytics_arg_interval.data,
                     ngx_http_analytics_arg_interval.len, &value)
        != NGX_OK)
    {
        return NGX_OK;
    }

    if (value.len == 3 && ngx_strncmp(value.data, "day", 3) == 0) {
        return NGX_OK;
    }

    if (value.len == 4 && ngx_strncmp(value.data, "hour", 4) == 0) {
        span->by_hour = 1;
        return NGX_OK;
    }

    return ngx_http_analytics_span_wrong(span,
                                         &ngx_http_analytics_arg_interval,
                                         "interval must be day or hour");
}


/* start and end, or days that end today; start alone reaches to today */

static ngx_int_t
ngx_http_analytics_span_dates(ngx_http_request_t *r,
    ngx_http_analytics_span_t *span)
{
    int64_t     start, end, today;
    ngx_uint_t  days;

    today = ngx_analytics_floor_div(ngx_http_analytics_now(),
                                    NGX_ANALYTICS_DAY);
    days = NGX_HTTP_ANALYTICS_DAYS;
    start = INT64_MIN;
    end = today;

    span->field = &ngx_http_analytics_arg_days;

    if (ngx_http_analytics_arg_uint(r, span->field,
                                    NGX_HTTP_ANALYTICS_DAYS_MAX, &days,
                                    &span->detail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    span->field = &ngx_http_analytics_arg_end;

    if (ngx_http_analytics_arg_date(r, span->field, &end, &span->detail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    span->field = &ngx_http_analytics_arg_start;

    if (ngx_http_analytics_arg_date(r, span->field, &start, &span->detail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (start == INT64_MIN) {
        start = end - days + 1;
        span->field = &ngx_http_analytics_arg_days;
    }

    span->first = start;
    span->last = end;

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_span_wrong(ngx_http_analytics_span_t *span,
    ngx_str_t *field, const char *detail)
{
    span->field = field;
    span->detail = detail;

    return NGX_ERROR;
}


ngx_int_t
ngx_http_analytics_stats_recent(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone)
{
    int64_t                  first;
    uint64_t                 total;
    ngx_uint_t               n, minutes;
    const char              *detail;
    ngx_analytics_count_t   *types;
    ngx_analytics_totals_t   t;
    ngx_analytics_writer_t   w;

    minutes = NGX_HTTP_ANALYTICS_MINUTES;

    if (ngx_http_analytics_arg_uint(r, &ngx_http_analytics_arg_minutes,
                                    NGX_ANALYTICS_MINUTES_MAX, &minutes,
                                    &detail)
        != NGX_OK)
    {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                             detail, &ngx_http_analytics_arg_minutes, NULL);
    }

    /* whole minutes, and the current one */

    first = ngx_http_analytics_now() / NGX_ANALYTICS_MINUTE - minutes;

    if (ngx_http_analytics_copy_recent(r, zone, first, minutes + 1, &total,
                                       &types, &n, &t)
        != NGX_OK)
    {
        return ngx_http_analytics_damaged(r, zone);
    }

    if ((!t.cells_exact || !t.types_exact)
        && ngx_http_analytics_inexact(r, t.cells_exact
                       ? NGX_HTTP_ANALYTICS_OTHER
                       : "minutes were dropped for room")
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_qsort(types, n, sizeof(ngx_analytics_count_t),
              ngx_analytics_count_cmp);

    ngx_analytics_writer_init(&w, ngx_http_analytics_palloc, r->pool,
                              64 * (n + 2));

    ngx_analytics_write_literal(&w, "{\"time_window_minutes\":");
    ngx_analytics_write_uint(&w, minutes);
    ngx_analytics_write_literal(&w, ",\"total_events\":");
    ngx_analytics_write_uint(&w, total);
    ngx_analytics_write_literal(&w, ",\"by_type\":");
    ngx_http_analytics_write_counts(&w, "event_type", types, n);
    ngx_analytics_write_literal(&w, "}");

    return ngx_http_analytics_send_writer(r, &w);
}


/*
 * The types that were active in these minutes.  The total is their sum, so
 * that the figures of an answer agree with each other.
 */

static ngx_int_t
ngx_http_analytics_copy_recent(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, int64_t first, ngx_uint_t minutes,
    uint64_t *total, ngx_analytics_count_t **types, ngx_uint_t *n,
    ngx_analytics_totals_t *totals)
{
    uint64_t    *sums;
    ngx_uint_t   i;

    sums = ngx_pcalloc(r->pool, ngx_analytics_series(zone->types + 1)
                                * sizeof(uint64_t));
    if (sums == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_analytics_sum_minutes(zone, first, minutes, sums,
                                       ngx_analytics_series(zone->types + 1))
        != NGX_OK
        || ngx_http_analytics_copy_types(r, zone, types, n, totals)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    *total = 0;

    for (i = 0; i < *n; i++) {
        (*types)[i].count = sums[ngx_analytics_series(i)];
        *total += (*types)[i].count;
    }

    *n = ngx_http_analytics_counted(*types, *n);

    return NGX_OK;
}


/* Adds the minutes up, with a lock for each of the chunks in which they lie. */

static ngx_int_t
ngx_http_analytics_sum_minutes(ngx_http_analytics_zone_t *zone,
    int64_t first, ngx_uint_t n, uint64_t *sums, ngx_uint_t nseries)
{
    ngx_uint_t  part;

    for ( /* void */ ; n; n -= part) {

        part = NGX_ANALYTICS_CHUNK - (first & (NGX_ANALYTICS_CHUNK - 1));
        part = ngx_min(n, part);

        if (ngx_http_analytics_lock(zone) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_analytics_zone_sums(zone->sh, NGX_ANALYTICS_MINUTES, first, part,
                                sums, nseries);

        ngx_http_analytics_unlock(zone);

        first += part;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_copy_cells(ngx_http_analytics_zone_t *zone,
    ngx_analytics_level_e level, ngx_uint_t series, int64_t first,
    uint64_t *cells, ngx_uint_t n)
{
    ngx_uint_t  part;

    for ( /* void */ ; n; n -= part) {

        part = ngx_min(n, NGX_HTTP_ANALYTICS_CELLS);

        if (ngx_http_analytics_lock(zone) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_analytics_zone_cells(zone->sh, level, series, first, cells, part);

        ngx_http_analytics_unlock(zone);

        first += part;
        cells += part;
    }

    return NGX_OK;
}
