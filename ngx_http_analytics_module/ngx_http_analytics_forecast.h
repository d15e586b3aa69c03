
/*
 * Forecasts of a metric: a request for one.
 *
 *     parameters -> history -> a thread -> answer
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_HTTP_ANALYTICS_FORECAST_H_INCLUDED_
#define _NGX_HTTP_ANALYTICS_FORECAST_H_INCLUDED_


#include "ngx_http_analytics_metrics.h"


/* What there is by hour, and by day. */
typedef struct {
    ngx_uint_t       interval;
    ngx_uint_t       buckets;        /* of the history, at most */
    ngx_uint_t       max;            /* buckets of the forecast, at most */
    ngx_uint_t       hours;          /* of a bucket */
    const char      *horizon;        /* what it must be */
    const char      *unit;
    size_t           seasons[2];
    size_t           nseasons;
} ngx_http_analytics_horizon_t;


typedef struct {
    double           value;
    double           deviation;
} ngx_http_analytics_foreseen_t;


/* A request for one. */
typedef struct {
    ngx_http_analytics_waiter_t     waiter;
    ngx_http_request_t             *request;
    ngx_http_analytics_zone_t      *zone;
    ngx_http_analytics_metric_t    *metric;
    ngx_http_analytics_horizon_t   *horizon;
    ngx_http_analytics_buckets_t    buckets;      /* of the history */
    ngx_uint_t                      group;

    ngx_http_analytics_history_t    history;

    ngx_uint_t                      steps;
    ngx_http_analytics_foreseen_t  *foreseen;
    size_t                          season;
    size_t                          needed;
} ngx_http_analytics_forecast_t;


/*
 * Waits for a thread, and answers; all but what the thread finds is set.
 * Returns what a content handler returns.
 */
ngx_int_t ngx_http_analytics_forecast_wait(ngx_http_request_t *r,
    ngx_http_analytics_forecast_t *ctx);


#endif /* _NGX_HTTP_ANALYTICS_FORECAST_H_INCLUDED_ */
