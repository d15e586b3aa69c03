
/*
 * Forecasts of a metric: /NAME/forecast behind the location's name, its
 * parameters and the history.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_forecast.h"


static ngx_int_t ngx_http_analytics_forecast_args(ngx_http_request_t *r,
    ngx_http_analytics_forecast_t *ctx);
static ngx_int_t ngx_http_analytics_forecast_interval(ngx_http_request_t *r,
    ngx_http_analytics_forecast_t *ctx);
static ngx_int_t ngx_http_analytics_forecast_steps(ngx_http_request_t *r,
    ngx_http_analytics_forecast_t *ctx);
static ngx_int_t ngx_http_analytics_forecast_history(ngx_http_request_t *r,
    ngx_http_analytics_forecast_t *ctx);
static ngx_int_t ngx_http_analytics_forecast_known(ngx_http_request_t *r,
    ngx_http_analytics_forecast_t *ctx);


static ngx_http_analytics_horizon_t  ngx_http_analytics_horizons[] = {

    { NGX_HTTP_ANALYTICS_BY_HOUR, 1344, 720, 1,
      "horizon must be from 1h to 30d, like 24h, 7d or 2w", "hours",
      { 24, 168 }, 2 },

    { NGX_HTTP_ANALYTICS_BY_DAY, 730, 365, 24,
      "horizon must be from 1d to 365d, whole days, like 7d or 12w", "days",
      { 7, 0 }, 1 }
};


static ngx_str_t  ngx_http_analytics_arg_horizon = ngx_string("horizon");
static ngx_str_t  ngx_http_analytics_arg_interval = ngx_string("interval");


ngx_int_t
ngx_http_analytics_forecast(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric)
{
    ngx_int_t                       rc;
    ngx_http_analytics_forecast_t  *ctx;

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_analytics_forecast_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->request = r;
    ctx->zone = zone;
    ctx->metric = metric;

    rc = ngx_http_analytics_forecast_args(r, ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_analytics_forecast_history(r, ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_http_analytics_forecast_wait(r, ctx);
}


/* These return NGX_DECLINED, or what a content handler returns. */

static ngx_int_t
ngx_http_analytics_forecast_args(ngx_http_request_t *r,
    ngx_http_analytics_forecast_t *ctx)
{
    ngx_int_t    rc;
    const char  *why;

    rc = ngx_http_analytics_forecast_interval(r, ctx);

    if (rc == NGX_ERROR) {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                                          "interval must be hour or day",
                                          &ngx_http_analytics_arg_interval,
                                          NULL);
    }

    ngx_http_analytics_buckets_past(ctx->zone, ctx->horizon->interval,
                                    ctx->horizon->buckets, &ctx->buckets);

    why = ngx_http_analytics_column_interval(ctx->metric, &ctx->buckets);

    if (why && rc == NGX_DECLINED) {

        /* nothing is said, and it is not kept by hour */

        ctx->horizon = &ngx_http_analytics_horizons[1];

        ngx_http_analytics_buckets_past(ctx->zone, ctx->horizon->interval,
                                        ctx->horizon->buckets, &ctx->buckets);

    } else if (why) {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                                          why, ctx->buckets.field, NULL);
    }

    if (ngx_http_analytics_forecast_steps(r, ctx) != NGX_OK) {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                                          ctx->horizon->horizon,
                                          &ngx_http_analytics_arg_horizon,
                                          NULL);
    }

    return NGX_DECLINED;
}


/* Returns NGX_DECLINED if the parameter is not there: hours. */

static ngx_int_t
ngx_http_analytics_forecast_interval(ngx_http_request_t *r,
    ngx_http_analytics_forecast_t *ctx)
{
    ngx_int_t  rc;
    ngx_str_t  value;

    ctx->horizon = &ngx_http_analytics_horizons[0];

    rc = ngx_http_analytics_arg(r, &ngx_http_analytics_arg_interval, &value);

    if (rc != NGX_OK) {
        return rc;
    }

    if (value.len == 4 && ngx_memcmp(value.data, "hour", 4) == 0) {
        return NGX_OK;
    }

    ctx->horizon = &ngx_http_analytics_horizons[1];

    return (value.len == 3 && ngx_memcmp(value.data, "day", 3) == 0)
           ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_analytics_forecast_steps(ngx_http_request_t *r,
    ngx_http_analytics_forecast_t *ctx)
{
    ngx_int_t   rc, n;
    ngx_str_t   value;
    ngx_uint_t  hours;

    hours = 7 * 24;

    rc = ngx_http_analytics_arg(r, &ngx_http_analytics_arg_horizon, &value);

    if (rc == NGX_OK) {

        if (value.len < 2 || value.len > 5) {
            return NGX_ERROR;
        }

        switch (value.data[value.len - 1]) {
        case 'h': hours = 1; break;
        case 'd': hours = 24; break;
        case 'w': hours = 7 * 24; break;
        default: return NGX_ERROR;
        }

        n = ngx_atoi(value.data, value.len - 1);

        if (n < 1) {
            return NGX_ERROR;
        }

        hours *= (ngx_uint_t) n;

    } else if (rc != NGX_DECLINED) {
        return NGX_ERROR;
    }

    ctx->steps = hours / ctx->horizon->hours;

    return (hours % ctx->horizon->hours || ctx->steps > ctx->horizon->max)
           ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_http_analytics_forecast_history(ngx_http_request_t *r,
    ngx_http_analytics_forecast_t *ctx)
{
    ngx_int_t                     rc;
    ngx_http_analytics_column_t   c;

    rc = ngx_http_analytics_forecast_known(r, ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    ngx_memzero(&c, sizeof(ngx_http_analytics_column_t));

    c.zone = ctx->zone;
    c.metric = ctx->metric;
    c.buckets = &ctx->buckets;
    c.group = ctx->group;
    c.parts = 1;

    c.values = ngx_palloc(r->pool, (ctx->buckets.n + 1)
                                   * sizeof(ngx_http_analytics_value_t));
    ctx->foreseen = ngx_palloc(r->pool, ctx->steps
                                  * sizeof(ngx_http_analytics_foreseen_t));

    if (c.values == NULL || ctx->foreseen == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->buckets.n) {
        rc = ngx_http_analytics_column(r->pool, &c);

        if (rc != NGX_OK) {
            return (rc == NGX_ERROR)
                   ? NGX_HTTP_INTERNAL_SERVER_ERROR
                   : ngx_http_analytics_damaged(r, ctx->zone);
        }
    }

    ctx->history.season = ctx->horizon->seasons[0];

    return (ngx_http_analytics_history(r->pool, &ctx->buckets, c.values,
                                       &ctx->history)
            == NGX_OK)
           ? NGX_DECLINED : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


/* Which group it is of, and since when there is something. */

static ngx_int_t
ngx_http_analytics_forecast_known(ngx_http_request_t *r,
    ngx_http_analytics_forecast_t *ctx)
{
    ngx_int_t                    rc;
    ngx_uint_t                   given;
    ngx_http_analytics_known_t   known;

    rc = ngx_http_analytics_metric_asked(r, ctx->zone, ctx->metric,
                                         &ctx->buckets, &known, &given);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    ctx->group = given ? known.groups[0].index : 0;

    if (known.since) {
        ngx_http_analytics_buckets_since(&ctx->buckets, known.since);
    }

    if (known.inexact
        && ngx_http_analytics_inexact(r, "figures were dropped for room")
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_DECLINED;
}
