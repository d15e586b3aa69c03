
/*
 * analytics_table: figures of several metrics side by side.
 *
 *     days            [{"date":...,COLUMNS},...]
 *     groups=MEMBER   [{MEMBER:...,COLUMNS},...]
 *     last            {COLUMNS,"days":...,"start":...,"end":...}
 *     now             {COLUMNS}
 *     day             {"date":...,TABLE:{COLUMNS},...}
 *     range           {"start":...,"end":...,TABLE:{COLUMNS},...}
 *
 * Of what is not there, an average is 0: those who read tables expect numbers.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_metrics.h"
#include "ngx_analytics_layout.h"
#include "ngx_analytics_time.h"


#define NGX_HTTP_ANALYTICS_TABLE_DAYS      30
#define NGX_HTTP_ANALYTICS_TABLE_LAST      7
#define NGX_HTTP_ANALYTICS_TABLE_DAYS_MAX  3660


/* Which days are asked for. */
typedef struct {
    int64_t                        first;
    int64_t                        last;
    ngx_uint_t                     days;

    ngx_str_t                     *field;
    const char                    *detail;
} ngx_http_analytics_days_t;


static ngx_int_t ngx_http_analytics_table_range(ngx_http_request_t *r,
    ngx_http_analytics_view_t *view, ngx_http_analytics_days_t *days);
static ngx_int_t ngx_http_analytics_table_args(ngx_http_request_t *r,
    ngx_http_analytics_view_t *view, ngx_http_analytics_days_t *days);
static ngx_int_t ngx_http_analytics_table_write(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_view_t *view,
    ngx_http_analytics_days_t *days);
static ngx_int_t ngx_http_analytics_table_days(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_table_t *table, ngx_http_analytics_buckets_t *b);
static ngx_int_t ngx_http_analytics_table_members(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_view_t *view,
    ngx_http_analytics_buckets_t *b);
static ngx_int_t ngx_http_analytics_table_totals(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_table_t *table, ngx_http_analytics_buckets_t *b);


static ngx_str_t  ngx_http_analytics_arg_days = ngx_string("days");
static ngx_str_t  ngx_http_analytics_arg_day = ngx_string("date");
static ngx_str_t  ngx_http_analytics_arg_start = ngx_string("start");
static ngx_str_t  ngx_http_analytics_arg_end = ngx_string("end");


ngx_int_t
ngx_http_analytics_table_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_analytics_writer_t          w;
    ngx_http_analytics_days_t       days;
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

    if (ngx_http_analytics_table_range(r, alcf->view, &days) != NGX_OK) {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                                          days.detail, days.field, NULL);
    }

    ngx_analytics_writer_init(&w, ngx_http_analytics_palloc, r->pool, 4096);

    rc = ngx_http_analytics_table_write(r, &w, alcf->view, &days);

    switch (rc) {

    case NGX_OK:
        return ngx_http_analytics_send_writer(r, &w);

    case NGX_AGAIN:
        return ngx_http_analytics_active_wait(r);

    case NGX_DONE:
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                           "there are too many groups for so many days: ask "
                           "for a shorter time",
                           &ngx_http_analytics_arg_start, NULL);

    case NGX_ERROR:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;

    default: /* NGX_DECLINED */
        return ngx_http_analytics_damaged(r, alcf->zone);
    }
}


static ngx_int_t
ngx_http_analytics_table_range(ngx_http_request_t *r,
    ngx_http_analytics_view_t *view, ngx_http_analytics_days_t *days)
{
    int64_t  today;

    today = ngx_http_analytics_today(view->zone);

    days->last = today;
    days->first = INT64_MIN;
    days->days = (view->shape == NGX_HTTP_ANALYTICS_LAST)
                 ? NGX_HTTP_ANALYTICS_TABLE_LAST
                 : NGX_HTTP_ANALYTICS_TABLE_DAYS;

    if (view->shape == NGX_HTTP_ANALYTICS_NOW) {
        days->first = today;
        return NGX_OK;
    }

    if (view->shape == NGX_HTTP_ANALYTICS_DAY) {
        days->field = &ngx_http_analytics_arg_day;

        if (ngx_http_analytics_arg_date(r, days->field, &days->last,
                                        &days->detail)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        days->first = days->last;

    } else if (ngx_http_analytics_table_args(r, view, days) != NGX_OK) {
        return NGX_ERROR;
    }

    days->detail = NULL;

    if (days->first > days->last) {
        days->field = &ngx_http_analytics_arg_start;
        days->detail = "start must not be after end";

    } else if (days->first < 0) {
        days->detail = "there are no events before 1970";

    } else if (days->last - days->first
               >= NGX_HTTP_ANALYTICS_TABLE_DAYS_MAX)
    {
        days->detail = "at most 3660 days can be shown";
    }

    return days->detail ? NGX_ERROR : NGX_OK;
}


/* start and end, both included, or days up to the end */

static ngx_int_t
ngx_http_analytics_table_args(ngx_http_request_t *r,
    ngx_http_analytics_view_t *view, ngx_http_analytics_days_t *days)
{
    days->field = &ngx_http_analytics_arg_days;

    if (ngx_http_analytics_arg_uint(r, days->field,
                                    NGX_HTTP_ANALYTICS_TABLE_DAYS_MAX,
                                    &days->days, &days->detail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (view->shape != NGX_HTTP_ANALYTICS_LAST) {
        days->field = &ngx_http_analytics_arg_end;

        if (ngx_http_analytics_arg_date(r, days->field, &days->last,
                                        &days->detail)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        days->field = &ngx_http_analytics_arg_start;

        if (ngx_http_analytics_arg_date(r, days->field, &days->first,
                                        &days->detail)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (days->first == INT64_MIN) {
        days->first = ngx_max(days->last - (int64_t) days->days + 1, 0);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_table_write(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_view_t *view,
    ngx_http_analytics_days_t *days)
{
    ngx_int_t                      rc;
    ngx_http_analytics_member_t   *member;
    ngx_http_analytics_buckets_t   b;

    member = view->tables.elts;

    ngx_http_analytics_buckets_days(view->zone, days->first, days->last, &b);

    switch (view->shape) {

    case NGX_HTTP_ANALYTICS_DAYS:
        return ngx_http_analytics_table_days(r, w, view->zone, member->table,
                                             &b);

    case NGX_HTTP_ANALYTICS_GROUPS:
        return ngx_http_analytics_table_groups(r, w, view, member->table, &b);

    case NGX_HTTP_ANALYTICS_DAY:
        ngx_analytics_write_literal(w, "{\"date\":");
        ngx_analytics_write_date(w, days->first);

        return ngx_http_analytics_table_members(r, w, view, &b);

    case NGX_HTTP_ANALYTICS_RANGE:
        ngx_analytics_write_literal(w, "{\"start\":");
        ngx_analytics_write_date(w, days->first);
        ngx_analytics_write_literal(w, ",\"end\":");
        ngx_analytics_write_date(w, days->last);

        return ngx_http_analytics_table_members(r, w, view, &b);

    default: /* NGX_HTTP_ANALYTICS_LAST, NGX_HTTP_ANALYTICS_NOW */
        ngx_analytics_write_literal(w, "{");

        rc = ngx_http_analytics_table_totals(r, w, view->zone, member->table,
                                             &b);

        if (view->shape == NGX_HTTP_ANALYTICS_LAST) {
            ngx_analytics_write_literal(w, ",\"days\":");
            ngx_analytics_write_uint(w, days->days);
            ngx_analytics_write_literal(w, ",\"start\":");
            ngx_analytics_write_date(w, days->first);
            ngx_analytics_write_literal(w, ",\"end\":");
            ngx_analytics_write_date(w, days->last);
        }

        ngx_analytics_write_literal(w, "}");

        return rc;
    }
}


static ngx_int_t
ngx_http_analytics_table_days(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_table_t *table, ngx_http_analytics_buckets_t *b)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i, k, n;
    ngx_http_analytics_value_t    *values;
    ngx_http_analytics_member_t   *column;
    ngx_http_analytics_column_t    c;

    column = table->columns.elts;
    n = table->columns.nelts;

    values = ngx_palloc(r->pool,
                        n * b->n * sizeof(ngx_http_analytics_value_t));
    if (values == NULL) {
        return NGX_ERROR;
    }

    for (k = 0; k < n; k++) {
        ngx_memzero(&c, sizeof(ngx_http_analytics_column_t));

        c.zone = zone;
        c.metric = column[k].metric;
        c.buckets = b;
        c.parts = 1;
        c.values = values + k * b->n;

        rc = ngx_http_analytics_column(r->pool, &c);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_analytics_write_literal(w, "[");

    for (i = 0; i < b->n; i++) {

        if (i) {
            ngx_analytics_write_literal(w, ",");
        }

        ngx_analytics_write_literal(w, "{\"date\":");
        ngx_analytics_write_date(w, b->first + (int64_t) i);

        for (k = 0; k < n; k++) {
            ngx_http_analytics_table_member(w, &column[k].name, 0);
            ngx_http_analytics_value_write(w, &values[k * b->n + i], "0");
        }

        ngx_analytics_write_literal(w, "}");
    }

    ngx_analytics_write_literal(w, "]");

    return NGX_OK;
}


/* ,TABLE:{...},...} */

static ngx_int_t
ngx_http_analytics_table_members(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_view_t *view,
    ngx_http_analytics_buckets_t *b)
{
    ngx_int_t                     rc;
    ngx_uint_t                    i;
    ngx_http_analytics_member_t  *member;

    member = view->tables.elts;

    for (i = 0; i < view->tables.nelts; i++) {
        ngx_http_analytics_table_member(w, &member[i].name, 0);
        ngx_analytics_write_literal(w, "{");

        rc = ngx_http_analytics_table_totals(r, w, view->zone,
                                             member[i].table, b);
        if (rc != NGX_OK) {
            return rc;
        }

        ngx_analytics_write_literal(w, "}");
    }

    ngx_analytics_write_literal(w, "}");

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_table_totals(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_table_t *table, ngx_http_analytics_buckets_t *b)
{
    ngx_int_t                     rc;
    ngx_uint_t                    k;
    ngx_http_analytics_member_t  *column;
    ngx_http_analytics_active_t  *active;
    ngx_http_analytics_column_t   c;

    column = table->columns.elts;

    active = ngx_http_analytics_active(r, zone);
    if (active == NULL) {
        return NGX_ERROR;
    }

    for (k = 0; k < table->columns.nelts; k++) {
        ngx_memzero(&c, sizeof(ngx_http_analytics_column_t));

        c.zone = zone;
        c.metric = column[k].metric;
        c.buckets = b;
        c.active = active;

        rc = ngx_http_analytics_column(r->pool, &c);

        if (rc != NGX_OK) {
            return rc;
        }

        ngx_http_analytics_table_member(w, &column[k].name, k == 0);
        ngx_http_analytics_value_write(w, &c.total, "0");
    }

    return NGX_OK;
}


void
ngx_http_analytics_table_member(ngx_analytics_writer_t *w, ngx_str_t *name,
    ngx_uint_t first)
{
    if (!first) {
        ngx_analytics_write_literal(w, ",");
    }

    ngx_analytics_write_string(w, name);
    ngx_analytics_write_literal(w, ":");
}
