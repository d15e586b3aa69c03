
/*
 * The range of time that a metric is asked for: buckets of one interval, from
 * "start" to "end", which have to lie where buckets begin.
 *
 * A date is the whole day where it is the end, and its beginning where it is
 * the start.  Without them it is some buckets up to the present one.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_metrics.h"
#include "ngx_analytics_dailies.h"
#include "ngx_analytics_time.h"


typedef struct {
    ngx_str_t     name;
    ngx_uint_t    level;               /* of cells that it is made of */
    ngx_uint_t    buckets;             /* if nothing is said, */
    ngx_uint_t    max;                 /* and at most */
    const char   *most;
    const char   *begins;
} ngx_http_analytics_interval_t;


static ngx_int_t ngx_http_analytics_buckets_interval(ngx_http_request_t *r,
    ngx_http_analytics_buckets_t *b);
static ngx_int_t ngx_http_analytics_buckets_arg(ngx_http_request_t *r,
    ngx_http_analytics_buckets_t *b, ngx_str_t *name, ngx_uint_t end,
    int64_t *cell);
static ngx_int_t ngx_http_analytics_buckets_place(
    ngx_http_analytics_buckets_t *b, int64_t usec, int64_t *cell);
static int64_t ngx_http_analytics_buckets_cell(
    ngx_http_analytics_buckets_t *b, int64_t usec);
static int64_t ngx_http_analytics_buckets_floor(
    ngx_http_analytics_buckets_t *b, int64_t cell);
static int64_t ngx_http_analytics_buckets_move(
    ngx_http_analytics_buckets_t *b, int64_t cell, int64_t n);
static ngx_int_t ngx_http_analytics_buckets_count(
    ngx_http_analytics_buckets_t *b, int64_t end);
static void ngx_http_analytics_bucket_text(ngx_http_analytics_buckets_t *b,
    ngx_http_analytics_bucket_t *bucket);
static ngx_int_t ngx_http_analytics_buckets_wrong(ngx_http_request_t *r,
    ngx_http_analytics_buckets_t *b, ngx_str_t *field, const char *format,
    ngx_str_t *name, const char *what);


_Static_assert(NGX_ANALYTICS_TIME_LEN + 2
               <= sizeof(((ngx_http_analytics_bucket_t *) 0)->text), "text");


/* in the order of ngx_http_analytics_interval_e */

static ngx_http_analytics_interval_t  ngx_http_analytics_intervals[] = {
    { ngx_string("minute"), NGX_ANALYTICS_MINUTES, 60, 4320,
      "at most 4320 minutes can be shown", "a minute" },
    { ngx_string("hour"), NGX_ANALYTICS_HOURS, 24, 8808,
      "at most 8808 hours can be shown", "an hour" },
    { ngx_string("day"), NGX_ANALYTICS_DAYS, 30, 3660,
      "at most 3660 days can be shown", "a day" },
    { ngx_string("week"), NGX_ANALYTICS_DAYS, 12, 523,
      "at most 523 weeks can be shown", "a week (its Monday)" },
    { ngx_string("month"), NGX_ANALYTICS_DAYS, 12, 121,
      "at most 121 months can be shown", "a month" }
};

#define NGX_HTTP_ANALYTICS_INTERVALS  5


static ngx_str_t  ngx_http_analytics_arg_start = ngx_string("start");
static ngx_str_t  ngx_http_analytics_arg_end = ngx_string("end");
static ngx_str_t  ngx_http_analytics_arg_interval = ngx_string("interval");


ngx_int_t
ngx_http_analytics_buckets_read(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_buckets_t *b)
{
    int64_t  now, end;

    b->timezone = &zone->metrics->rules->timezone;

    if (ngx_http_analytics_buckets_interval(r, b) != NGX_OK) {
        return NGX_ERROR;
    }

    now = ngx_http_analytics_buckets_floor(b,
                 ngx_http_analytics_buckets_cell(b, ngx_http_analytics_now()));

    b->first = INT64_MIN;
    end = INT64_MIN;

    if (ngx_http_analytics_buckets_arg(r, b, &ngx_http_analytics_arg_start, 0,
                                       &b->first)
        != NGX_OK
        || ngx_http_analytics_buckets_arg(r, b, &ngx_http_analytics_arg_end, 1,
                                          &end)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (end == INT64_MIN) {
        end = ngx_http_analytics_buckets_move(b, now, 1);
    }

    if (b->first == INT64_MIN) {
        b->first = ngx_http_analytics_buckets_move(b, end,
                  -(int64_t) ngx_http_analytics_intervals[b->interval].buckets);
        b->first = ngx_max(b->first, 0);
        b->first = ngx_http_analytics_buckets_floor(b, b->first);
    }

    return ngx_http_analytics_buckets_count(b, end);
}


void
ngx_http_analytics_buckets_days(ngx_http_analytics_zone_t *zone,
    int64_t first, int64_t last, ngx_http_analytics_buckets_t *b)
{
    b->timezone = &zone->metrics->rules->timezone;
    b->interval = NGX_HTTP_ANALYTICS_BY_DAY;
    b->level = NGX_ANALYTICS_DAYS;
    b->first = first;
    b->n = (ngx_uint_t) (last - first + 1);
    b->cells = b->n;
}


void
ngx_http_analytics_buckets_past(ngx_http_analytics_zone_t *zone,
    ngx_uint_t interval, ngx_uint_t n, ngx_http_analytics_buckets_t *b)
{
    int64_t  now;

    b->timezone = &zone->metrics->rules->timezone;
    b->interval = interval;
    b->level = ngx_http_analytics_intervals[interval].level;
    b->field = &ngx_http_analytics_arg_interval;

    now = ngx_http_analytics_buckets_cell(b, ngx_http_analytics_now());

    b->first = ngx_max(now - (int64_t) n, 0);
    b->n = (ngx_uint_t) (now - b->first);
    b->cells = b->n;
}


void
ngx_http_analytics_buckets_since(ngx_http_analytics_buckets_t *b,
    int64_t usec)
{
    int64_t  first, end;

    first = ngx_http_analytics_buckets_cell(b, usec);

    if (ngx_http_analytics_buckets_start(b, first) < usec) {
        first++;
    }

    end = b->first + (int64_t) b->n;

    b->first = ngx_min(ngx_max(b->first, first), end);
    b->n = (ngx_uint_t) (end - b->first);
    b->cells = b->n;
}


int64_t
ngx_http_analytics_today(ngx_http_analytics_zone_t *zone)
{
    return ngx_analytics_timezone_day(&zone->metrics->rules->timezone,
                                      ngx_http_analytics_now());
}


static ngx_int_t
ngx_http_analytics_buckets_interval(ngx_http_request_t *r,
    ngx_http_analytics_buckets_t *b)
{
    ngx_int_t                       rc;
    ngx_str_t                       value;
    ngx_uint_t                      i;
    ngx_http_analytics_interval_t  *interval;

    b->interval = NGX_HTTP_ANALYTICS_BY_DAY;
    b->level = NGX_ANALYTICS_DAYS;

    rc = ngx_http_analytics_arg(r, &ngx_http_analytics_arg_interval, &value);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    for (i = 0; rc == NGX_OK && i < NGX_HTTP_ANALYTICS_INTERVALS; i++) {
        interval = &ngx_http_analytics_intervals[i];

        if (value.len == interval->name.len
            && ngx_strncmp(value.data, interval->name.data, value.len) == 0)
        {
            b->interval = i;
            b->level = interval->level;

            return NGX_OK;
        }
    }

    b->field = &ngx_http_analytics_arg_interval;
    b->detail = "interval must be minute, hour, day, week or month";

    return NGX_ERROR;
}


/* Leaves *cell if it is not there. */

static ngx_int_t
ngx_http_analytics_buckets_arg(ngx_http_request_t *r,
    ngx_http_analytics_buckets_t *b, ngx_str_t *name, ngx_uint_t end,
    int64_t *cell)
{
    int64_t     day, usec;
    ngx_int_t   rc;
    ngx_str_t   value;

    rc = ngx_http_analytics_arg(r, name, &value);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (rc == NGX_OK && ngx_analytics_date_parse(&value, &day) == NGX_OK) {
        usec = ngx_analytics_timezone_day_start(b->timezone, day + end);

    } else if (rc != NGX_OK
               || ngx_analytics_time_parse(&value, &usec) != NGX_OK)
    {
        return ngx_http_analytics_buckets_wrong(r, b, name,
                       "%V must be a date like 2025-10-04, or a time like "
                       "2025-10-04T09:30:00Z%s%Z", name, "");
    }

    if (ngx_http_analytics_buckets_place(b, usec, cell) != NGX_OK) {
        return ngx_http_analytics_buckets_wrong(r, b, name,
                       end ? "%V must be where %s ends%Z"
                           : "%V must be where %s begins%Z",
                       name, ngx_http_analytics_intervals[b->interval].begins);
    }

    return NGX_OK;
}


/* NGX_DECLINED if no bucket begins then. */

static ngx_int_t
ngx_http_analytics_buckets_place(ngx_http_analytics_buckets_t *b,
    int64_t usec, int64_t *cell)
{
    *cell = ngx_http_analytics_buckets_cell(b, usec);

    return (ngx_http_analytics_buckets_start(b, *cell) == usec
            && ngx_http_analytics_buckets_floor(b, *cell) == *cell)
           ? NGX_OK : NGX_DECLINED;
}


/* The minute, hour or day of an instant. */

static int64_t
ngx_http_analytics_buckets_cell(ngx_http_analytics_buckets_t *b, int64_t usec)
{
    switch (b->level) {

    case NGX_ANALYTICS_MINUTES:
        return ngx_analytics_floor_div(usec, NGX_ANALYTICS_MINUTE);

    case NGX_ANALYTICS_HOURS:
        return ngx_analytics_timezone_hour(b->timezone, usec);

    default: /* NGX_ANALYTICS_DAYS */
        return ngx_analytics_timezone_day(b->timezone, usec);
    }
}


int64_t
ngx_http_analytics_buckets_start(ngx_http_analytics_buckets_t *b,
    int64_t cell)
{
    switch (b->level) {

    case NGX_ANALYTICS_MINUTES:
        return cell * NGX_ANALYTICS_MINUTE;

    case NGX_ANALYTICS_HOURS:
        return ngx_analytics_timezone_hour_start(b->timezone, cell);

    default: /* NGX_ANALYTICS_DAYS */
        return ngx_analytics_timezone_day_start(b->timezone, cell);
    }
}


/* The first cell of the bucket that a cell is in. */

static int64_t
ngx_http_analytics_buckets_floor(ngx_http_analytics_buckets_t *b,
    int64_t cell)
{
    switch (b->interval) {

    case NGX_HTTP_ANALYTICS_BY_WEEK:
        return ngx_analytics_daily_week(cell);

    case NGX_HTTP_ANALYTICS_BY_MONTH:
        return ngx_analytics_daily_month(cell);

    default:
        return cell;
    }
}


/* From the first cell of a bucket to that of the n-th one behind it. */

static int64_t
ngx_http_analytics_buckets_move(ngx_http_analytics_buckets_t *b,
    int64_t cell, int64_t n)
{
    int64_t  year, month, day;

    switch (b->interval) {

    case NGX_HTTP_ANALYTICS_BY_WEEK:
        return cell + 7 * n;

    case NGX_HTTP_ANALYTICS_BY_MONTH:
        ngx_analytics_civil_from_days(cell, &year, &month, &day);

        n += year * 12 + month - 1;
        year = ngx_analytics_floor_div(n, 12);

        return ngx_analytics_days_from_civil(year, n - year * 12 + 1, 1);

    default:
        return cell + n;
    }
}


ngx_uint_t
ngx_http_analytics_buckets_cells(ngx_http_analytics_buckets_t *b,
    int64_t cell)
{
    return (ngx_uint_t) (ngx_http_analytics_buckets_move(b, cell, 1) - cell);
}


static ngx_int_t
ngx_http_analytics_buckets_count(ngx_http_analytics_buckets_t *b,
    int64_t end)
{
    int64_t                         cell;
    ngx_http_analytics_interval_t  *interval;

    if (b->first < 0) {
        b->field = &ngx_http_analytics_arg_start;
        b->detail = "there are no events before 1970";
        return NGX_ERROR;
    }

    if (b->first >= end) {
        b->field = &ngx_http_analytics_arg_start;
        b->detail = "start must be before end";
        return NGX_ERROR;
    }

    interval = &ngx_http_analytics_intervals[b->interval];

    b->cells = (ngx_uint_t) (end - b->first);
    b->n = 0;
    cell = b->first;

    if (b->interval <= NGX_HTTP_ANALYTICS_BY_DAY) {
        b->n = ngx_min(b->cells, interval->max);
        cell += (int64_t) b->n;
    }

    for ( /* void */ ; cell < end; b->n++) {

        if (b->n == interval->max) {
            b->field = &ngx_http_analytics_arg_start;
            b->detail = interval->most;
            return NGX_ERROR;
        }

        cell = ngx_http_analytics_buckets_move(b, cell, 1);
    }

    b->field = &ngx_http_analytics_arg_interval;

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_buckets_wrong(ngx_http_request_t *r,
    ngx_http_analytics_buckets_t *b, ngx_str_t *field, const char *format,
    ngx_str_t *name, const char *what)
{
    u_char  *p;
    size_t   size;

    size = ngx_strlen(format) + name->len + ngx_strlen(what) + 1;

    p = ngx_pnalloc(r->pool, size);

    b->field = field;
    b->detail = "a parameter is not valid";

    if (p) {
        ngx_snprintf(p, size, format, name, what);
        b->detail = (char *) p;
    }

    return NGX_ERROR;
}


void
ngx_http_analytics_buckets_write(ngx_analytics_writer_t *w,
    ngx_http_analytics_buckets_t *b, int64_t cell)
{
    if (b->level == NGX_ANALYTICS_DAYS) {
        ngx_analytics_write_date(w, cell);

    } else {
        ngx_analytics_write_time(w, ngx_http_analytics_buckets_start(b, cell));
    }
}


void
ngx_http_analytics_bucket_first(ngx_http_analytics_buckets_t *b,
    ngx_http_analytics_bucket_t *bucket)
{
    bucket->cell = b->first;
    ngx_http_analytics_bucket_text(b, bucket);
}


void
ngx_http_analytics_bucket_next(ngx_http_analytics_buckets_t *b,
    ngx_http_analytics_bucket_t *bucket)
{
    if (b->interval == NGX_HTTP_ANALYTICS_BY_DAY) {
        bucket->cell++;
        ngx_analytics_date_next(bucket->text + 1);
        return;
    }

    bucket->cell = ngx_http_analytics_buckets_move(b, bucket->cell, 1);
    ngx_http_analytics_bucket_text(b, bucket);
}


static void
ngx_http_analytics_bucket_text(ngx_http_analytics_buckets_t *b,
    ngx_http_analytics_bucket_t *bucket)
{
    u_char  *p;

    p = bucket->text;
    *p++ = '"';

    p = (b->level == NGX_ANALYTICS_DAYS)
        ? ngx_analytics_date_format(p, bucket->cell)
        : ngx_analytics_time_format(p,
                          ngx_http_analytics_buckets_start(b, bucket->cell));
    *p++ = '"';

    bucket->len = p - bucket->text;
}


ngx_str_t *
ngx_http_analytics_interval_name(ngx_http_analytics_buckets_t *b)
{
    return &ngx_http_analytics_intervals[b->interval].name;
}
