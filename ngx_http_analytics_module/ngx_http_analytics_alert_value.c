
/*
 * Whether the condition of an alert holds: the figure of its metric, and what
 * was to be expected of it.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_alerts.h"
#include "ngx_analytics_forecast.h"
#include "ngx_analytics_time.h"

#include <math.h>


/* hours that a forecast is made of: eight weeks */
#define NGX_HTTP_ANALYTICS_ALERT_HISTORY  1344

/* a part of a value that is none: it is added up of doubles */
#define NGX_HTTP_ANALYTICS_ALERT_DIGITS   1e-9


static ngx_int_t ngx_http_analytics_alert_look(ngx_pool_t *pool,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_alert_t *alert,
    ngx_analytics_alert_t *a);
static void ngx_http_analytics_alert_window(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_alert_t *alert, ngx_http_analytics_buckets_t *b);
static ngx_int_t ngx_http_analytics_alert_expect(ngx_pool_t *pool,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_alert_t *alert,
    ngx_analytics_alert_t *a);
static ngx_int_t ngx_http_analytics_alert_history(ngx_pool_t *pool,
    ngx_http_analytics_alert_t *alert, ngx_http_analytics_column_t *c,
    int64_t since, ngx_analytics_alert_t *a);
static ngx_int_t ngx_http_analytics_alert_fit(ngx_pool_t *pool,
    ngx_http_analytics_alert_t *alert, ngx_http_analytics_buckets_t *b,
    ngx_http_analytics_value_t *values, int64_t hour,
    ngx_analytics_alert_t *a);
static double ngx_http_analytics_alert_deviation(
    ngx_http_analytics_alert_t *alert, double deviation);
static ngx_int_t ngx_http_analytics_alert_group(ngx_pool_t *pool,
    ngx_http_analytics_alert_t *alert, ngx_http_analytics_column_t *c,
    int64_t from, int64_t *since, ngx_analytics_alert_t *a);
static void ngx_http_analytics_alert_reason(ngx_analytics_alert_t *a,
    const char *reason);


ngx_uint_t
ngx_http_analytics_alert_holds(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_alert_t *alert, ngx_analytics_alert_t *a)
{
    ngx_int_t    rc;
    ngx_pool_t  *pool;

    a->valued = 0;
    a->reason[0] = '\0';

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);

    if (pool == NULL) {
        rc = NGX_ERROR;

    } else {
        rc = (alert->condition == NGX_HTTP_ANALYTICS_ANOMALY)
             ? ngx_http_analytics_alert_expect(pool, zone, alert, a)
             : ngx_http_analytics_alert_look(pool, zone, alert, a);

        ngx_destroy_pool(pool);
    }

    if (rc != NGX_OK) {

        if (a->reason[0] == '\0') {
            ngx_http_analytics_alert_reason(a,
                                   (rc == NGX_ERROR) ? "there is no memory"
                                   : "the zone cannot be read now");
        }

        return NGX_ANALYTICS_ALERT_UNKNOWN;
    }

    if (!a->valued) {
        return NGX_ANALYTICS_ALERT_NO;
    }

    switch (alert->condition) {

    case NGX_HTTP_ANALYTICS_ABOVE:
        return a->value > alert->threshold;

    case NGX_HTTP_ANALYTICS_BELOW:
        return a->value < alert->threshold;

    default: /* NGX_HTTP_ANALYTICS_ANOMALY */
        return alert->fitted
               && fabs(a->value - alert->mean)
                  > alert->threshold * alert->deviation;
    }
}


/* NGX_DECLINED: it cannot be known now. */

static ngx_int_t
ngx_http_analytics_alert_look(ngx_pool_t *pool,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_alert_t *alert,
    ngx_analytics_alert_t *a)
{
    int64_t                        since;
    ngx_int_t                      rc;
    ngx_http_analytics_column_t    c;
    ngx_http_analytics_buckets_t   b;

    ngx_memzero(&c, sizeof(ngx_http_analytics_column_t));

    c.zone = zone;
    c.metric = alert->metric;
    c.buckets = &b;

    ngx_http_analytics_alert_window(zone, alert, &b);

    rc = ngx_http_analytics_alert_group(pool, alert, &c,
                       ngx_http_analytics_buckets_start(&b, b.first), &since,
                       a);

    if (rc != NGX_OK) {
        return (rc == NGX_DONE) ? NGX_OK : rc;
    }

    rc = ngx_http_analytics_column(pool, &c);

    if (rc != NGX_OK) {
        return rc;
    }

    if (c.total.kind == NGX_HTTP_ANALYTICS_NONE) {
        ngx_http_analytics_alert_reason(a, "there were no such events");
        return NGX_OK;
    }

    a->valued = 1;
    a->value = ngx_http_analytics_value_real(&c.total);

    return NGX_OK;
}


/* The cells that end now, and the present one. */

static void
ngx_http_analytics_alert_window(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_alert_t *alert, ngx_http_analytics_buckets_t *b)
{
    int64_t  now, from, last;

    ngx_memzero(b, sizeof(ngx_http_analytics_buckets_t));

    b->timezone = &zone->metrics->rules->timezone;
    b->level = alert->level;

    now = ngx_http_analytics_now();
    from = now - (int64_t) alert->over * NGX_ANALYTICS_SECOND;

    switch (alert->level) {

    case NGX_ANALYTICS_MINUTES:
        b->interval = NGX_HTTP_ANALYTICS_BY_MINUTE;
        b->first = ngx_analytics_floor_div(from, NGX_ANALYTICS_MINUTE);
        last = ngx_analytics_floor_div(now, NGX_ANALYTICS_MINUTE);
        break;

    case NGX_ANALYTICS_HOURS:
        b->interval = NGX_HTTP_ANALYTICS_BY_HOUR;
        b->first = ngx_analytics_timezone_hour(b->timezone, from);
        last = ngx_analytics_timezone_hour(b->timezone, now);
        break;

    default: /* NGX_ANALYTICS_DAYS */
        b->interval = NGX_HTTP_ANALYTICS_BY_DAY;
        b->first = ngx_analytics_timezone_day(b->timezone, from);
        last = ngx_analytics_timezone_day(b->timezone, now);
        break;
    }

    b->n = (ngx_uint_t) (last - b->first + 1);
    b->cells = b->n;
}


/*
 * Of the last hour that is over: the forecast is made once, of the hours
 * before it.  Events may still come in late.
 */

static ngx_int_t
ngx_http_analytics_alert_expect(ngx_pool_t *pool,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_alert_t *alert,
    ngx_analytics_alert_t *a)
{
    int64_t                        last, since;
    ngx_int_t                      rc;
    ngx_http_analytics_value_t    *value;
    ngx_http_analytics_column_t    c;
    ngx_http_analytics_buckets_t   b;

    ngx_memzero(&c, sizeof(ngx_http_analytics_column_t));
    ngx_memzero(&b, sizeof(ngx_http_analytics_buckets_t));

    c.zone = zone;
    c.metric = alert->metric;
    c.buckets = &b;

    b.timezone = &zone->metrics->rules->timezone;
    b.interval = NGX_HTTP_ANALYTICS_BY_HOUR;
    b.level = NGX_ANALYTICS_HOURS;

    last = ngx_analytics_timezone_hour(b.timezone, ngx_http_analytics_now())
           - 1;

    b.n = (alert->fitted == last) ? 1 : NGX_HTTP_ANALYTICS_ALERT_HISTORY + 1;
    b.cells = b.n;
    b.first = last - (int64_t) b.n + 1;

    rc = ngx_http_analytics_alert_group(pool, alert, &c,
                       ngx_http_analytics_buckets_start(&b, last), &since, a);

    if (rc != NGX_OK) {
        alert->fitted = 0;
        return (rc == NGX_DONE) ? NGX_OK : rc;
    }

    c.values = ngx_palloc(pool, b.n * sizeof(ngx_http_analytics_value_t));
    if (c.values == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_analytics_column(pool, &c);

    if (rc != NGX_OK) {
        return rc;
    }

    if (b.n > 1
        && ngx_http_analytics_alert_history(pool, alert, &c, since, a)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    value = &c.values[b.n - 1];

    if (value->kind == NGX_HTTP_ANALYTICS_NONE) {
        ngx_http_analytics_alert_reason(a, "there were no such events");
        return NGX_OK;
    }

    a->valued = 1;
    a->value = ngx_http_analytics_value_real(value);

    if (alert->fitted) {
        (void) snprintf(a->reason, sizeof(a->reason),
                        "%.6g was expected, with a standard deviation of %.6g",
                        alert->mean, alert->deviation);
    }

    return NGX_OK;
}


/*
 * What is not complete is no history, nor is an hour that the clock shows
 * twice one for its second time.
 */

static ngx_int_t
ngx_http_analytics_alert_history(ngx_pool_t *pool,
    ngx_http_analytics_alert_t *alert, ngx_http_analytics_column_t *c,
    int64_t since, ngx_analytics_alert_t *a)
{
    int64_t                       hour, clock;
    ngx_int_t                     rc;
    ngx_http_analytics_buckets_t  b;

    b = *c->buckets;
    b.n--;
    b.cells--;

    hour = b.first + (int64_t) b.n;
    clock = ngx_http_analytics_history_clock(&b, hour);

    if (since) {
        ngx_http_analytics_buckets_since(&b, since);
    }

    while (b.n && ngx_http_analytics_history_clock(&b,
                                        b.first + (int64_t) b.n - 1) >= clock)
    {
        b.n--;
        b.cells--;
    }

    rc = ngx_http_analytics_alert_fit(pool, alert, &b,
                                 c->values + (b.first - c->buckets->first),
                                 hour, a);

    alert->fitted = (rc == NGX_OK) ? hour : 0;

    return (rc == NGX_ERROR) ? NGX_ERROR : NGX_OK;
}


/*
 * By the same history as a forecast that is asked for, and for what the clock
 * shows in the hour that is looked at.  NGX_DECLINED: there is too little.
 */

static ngx_int_t
ngx_http_analytics_alert_fit(ngx_pool_t *pool,
    ngx_http_analytics_alert_t *alert, ngx_http_analytics_buckets_t *b,
    ngx_http_analytics_value_t *values, int64_t hour,
    ngx_analytics_alert_t *a)
{
    size_t                         needed;
    int64_t                        step;
    ngx_int_t                      rc;
    ngx_analytics_forecast_t       f;
    ngx_http_analytics_history_t   history;

    static const size_t            seasons[] = { 24, 168 };

    history.season = seasons[0];

    if (ngx_http_analytics_history(pool, b, values, &history) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_analytics_forecast_fit(&f, history.values, history.n, seasons, 2,
                                    &needed);

    if (rc == NGX_DECLINED) {
        (void) snprintf(a->reason, sizeof(a->reason),
                        "too little history: %lu hours of %lu",
                        (unsigned long) history.n, (unsigned long) needed);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    step = ngx_http_analytics_history_clock(b, hour)
           - ngx_http_analytics_history_clock(b, b->first + (int64_t) b->n - 1);

    ngx_analytics_forecast_step(&f, (size_t) ngx_max(step, 1), &alert->mean,
                                &alert->deviation);
    ngx_analytics_forecast_free(&f);

    if (ngx_http_analytics_history_sparse(b, &history)) {
        (void) snprintf(a->reason, sizeof(a->reason),
                        "too little history: %lu hours of %lu have no value",
                        (unsigned long) history.empty, (unsigned long) b->n);
        return NGX_DECLINED;
    }

    alert->deviation = ngx_http_analytics_alert_deviation(alert,
                                                          alert->deviation);

    return NGX_OK;
}


/*
 * A number of events that happen independently of each other has a deviation
 * of its square root (Poisson), however even the past was.  Of other values
 * nothing is known but that the last digits are of no account.
 */

static double
ngx_http_analytics_alert_deviation(ngx_http_analytics_alert_t *alert,
    double deviation)
{
    if (alert->metric->what != NGX_HTTP_ANALYTICS_COUNT) {
        return ngx_max(deviation, fabs(alert->mean)
                                  * NGX_HTTP_ANALYTICS_ALERT_DIGITS);
    }

    return ngx_max(deviation, sqrt(ngx_max(alert->mean, 1)));
}


/*
 * Which group it is; and since when the metric knows of all events, which must
 * not be behind from.  NGX_DONE: there is none of it, and that is the value.
 */

static ngx_int_t
ngx_http_analytics_alert_group(ngx_pool_t *pool,
    ngx_http_analytics_alert_t *alert, ngx_http_analytics_column_t *c,
    int64_t from, int64_t *since, ngx_analytics_alert_t *a)
{
    ngx_int_t                    rc;
    ngx_str_t                   *name;
    ngx_uint_t                   i, groups;
    ngx_http_analytics_known_t   known;

    groups = alert->group.len ? ngx_http_analytics_metric_grouped(c->zone,
                                                                alert->metric)
                              : 0;

    rc = ngx_http_analytics_metric_known(pool, c->zone, alert->metric, groups,
                                         c->buckets, &known);
    if (rc != NGX_OK) {
        return rc;
    }

    *since = known.since;

    if (known.since > from) {
        ngx_http_analytics_alert_reason(a, "the metric is not complete yet");
        return NGX_DECLINED;
    }

    if (groups == 0) {
        return NGX_OK;
    }

    for (i = 0; i < known.n; i++) {
        name = &known.groups[i].name;

        if (name->len == alert->group.len
            && ngx_strncmp(name->data, alert->group.data, name->len) == 0)
        {
            c->group = known.groups[i].index;
            return NGX_OK;
        }
    }

    if (known.others && alert->group.len == 5
        && ngx_strncmp(alert->group.data, "other", 5) == 0)
    {
        c->group = NGX_ANALYTICS_GROUP_OTHER;
        return NGX_OK;
    }

    ngx_http_analytics_alert_reason(a, "there is no such group yet");

    if (alert->metric->what == NGX_HTTP_ANALYTICS_COUNT
        || alert->metric->what == NGX_HTTP_ANALYTICS_SUM)
    {
        a->valued = 1;
        a->value = 0;
    }

    return NGX_DONE;
}


static void
ngx_http_analytics_alert_reason(ngx_analytics_alert_t *a, const char *reason)
{
    ngx_cpystrn((u_char *) a->reason, (u_char *) reason, sizeof(a->reason));
}
