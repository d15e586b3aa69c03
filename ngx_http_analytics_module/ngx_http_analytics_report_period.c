
/*
 * Periods of reports: days, weeks and months, and their names.
 *
 * Weeks are those of ISO 8601: they begin on Mondays, and belong to the year
 * that their Thursday is in, so that some years have 53 of them.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_report.h"
#include "ngx_analytics_dailies.h"
#include "ngx_analytics_time.h"


static ngx_int_t ngx_http_analytics_period_week(
    ngx_http_analytics_period_t *period, ngx_str_t *text);
static ngx_int_t ngx_http_analytics_period_month(
    ngx_http_analytics_period_t *period, ngx_str_t *text);
static int64_t ngx_http_analytics_period_year(int64_t year);


void
ngx_http_analytics_period_of(ngx_http_analytics_period_t *period,
    ngx_uint_t every, int64_t day)
{
    period->every = every;

    switch (every) {

    case NGX_HTTP_ANALYTICS_BY_WEEK:
        period->first = ngx_analytics_daily_week(day);
        period->last = period->first + 6;
        break;

    case NGX_HTTP_ANALYTICS_BY_MONTH:
        period->first = ngx_analytics_daily_month(day);
        period->last = ngx_analytics_daily_month(period->first + 31) - 1;
        break;

    default: /* NGX_HTTP_ANALYTICS_BY_DAY */
        period->first = day;
        period->last = day;
    }
}


void
ngx_http_analytics_period_move(ngx_http_analytics_period_t *period,
    ngx_http_analytics_period_t *from, int64_t n)
{
    ngx_uint_t  every;

    every = from->every;
    *period = *from;

    for ( /* void */ ; n > 0; n--) {
        ngx_http_analytics_period_of(period, every, period->last + 1);
    }

    for ( /* void */ ; n < 0; n++) {
        ngx_http_analytics_period_of(period, every, period->first - 1);
    }
}


ngx_int_t
ngx_http_analytics_period_parse(ngx_http_analytics_period_t *period,
    ngx_uint_t every, ngx_str_t *text)
{
    int64_t  day;

    switch (every) {

    case NGX_HTTP_ANALYTICS_BY_WEEK:
        return ngx_http_analytics_period_week(period, text);

    case NGX_HTTP_ANALYTICS_BY_MONTH:
        return ngx_http_analytics_period_month(period, text);

    default: /* NGX_HTTP_ANALYTICS_BY_DAY */

        if (ngx_analytics_date_parse(text, &day) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_http_analytics_period_of(period, every, day);

        return NGX_OK;
    }
}


/* YYYY-Www */

static ngx_int_t
ngx_http_analytics_period_week(ngx_http_analytics_period_t *period,
    ngx_str_t *text)
{
    int64_t    first;
    ngx_int_t  year, week;

    if (text->len != sizeof("2024-W11") - 1
        || ngx_strncmp(text->data + 4, "-W", 2) != 0)
    {
        return NGX_ERROR;
    }

    year = ngx_atoi(text->data, 4);
    week = ngx_atoi(text->data + 6, 2);

    if (year == NGX_ERROR || week == NGX_ERROR || week == 0) {
        return NGX_ERROR;
    }

    first = ngx_http_analytics_period_year(year) + 7 * (week - 1);

    if (first >= ngx_http_analytics_period_year(year + 1)) {
        return NGX_ERROR;
    }

    ngx_http_analytics_period_of(period, NGX_HTTP_ANALYTICS_BY_WEEK, first);

    return NGX_OK;
}


/* YYYY-MM */

static ngx_int_t
ngx_http_analytics_period_month(ngx_http_analytics_period_t *period,
    ngx_str_t *text)
{
    ngx_int_t  year, month;

    if (text->len != sizeof("2024-03") - 1 || text->data[4] != '-') {
        return NGX_ERROR;
    }

    year = ngx_atoi(text->data, 4);
    month = ngx_atoi(text->data + 5, 2);

    if (year == NGX_ERROR || month == NGX_ERROR || month == 0 || month > 12) {
        return NGX_ERROR;
    }

    ngx_http_analytics_period_of(period, NGX_HTTP_ANALYTICS_BY_MONTH,
                                 ngx_analytics_days_from_civil(year, month,
                                                               1));
    return NGX_OK;
}


/* The Monday on which a year of weeks begins: the 4th of January is in it. */

static int64_t
ngx_http_analytics_period_year(int64_t year)
{
    return ngx_analytics_daily_week(ngx_analytics_days_from_civil(year, 1, 4));
}


void
ngx_http_analytics_period_name(ngx_http_analytics_period_t *period,
    u_char *buf, ngx_str_t *name)
{
    u_char   *p;
    int64_t   year, month, day;

    switch (period->every) {

    case NGX_HTTP_ANALYTICS_BY_WEEK:
        ngx_analytics_civil_from_days(period->first + 3, &year, &month, &day);

        p = ngx_sprintf(buf, "%04L-W%02L", year,
                        (period->first - ngx_http_analytics_period_year(year))
                        / 7 + 1);
        break;

    case NGX_HTTP_ANALYTICS_BY_MONTH:
        ngx_analytics_civil_from_days(period->first, &year, &month, &day);

        p = ngx_sprintf(buf, "%04L-%02L", year, month);
        break;

    default: /* NGX_HTTP_ANALYTICS_BY_DAY */
        p = ngx_analytics_date_format(buf, period->first);
    }

    name->data = buf;
    name->len = p - buf;
}
