
/*
 * Figures of metrics that are of all users: how many were active, are new,
 * how often they came and for how long.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_metrics.h"
#include "ngx_analytics_fault.h"
#include "ngx_analytics_layout.h"
#include "ngx_analytics_time.h"


/* days, or users, that are looked at under one lock */
#define NGX_HTTP_ANALYTICS_COLUMN_DAYS   4096
#define NGX_HTTP_ANALYTICS_COLUMN_USERS  2048

/* users that are counted in the event loop, about half a millisecond */
#define NGX_HTTP_ANALYTICS_COLUMN_FEW    4096


static ngx_int_t ngx_http_analytics_column_active(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c);
static ngx_int_t ngx_http_analytics_column_active_in(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c, uint64_t *active);
static ngx_int_t ngx_http_analytics_column_active_now(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c, uint64_t *active);
static ngx_uint_t ngx_http_analytics_column_many(
    ngx_http_analytics_zone_t *zone);
static ngx_int_t ngx_http_analytics_column_all(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c);
static ngx_int_t ngx_http_analytics_column_days(
    ngx_http_analytics_column_t *c, ngx_uint_t *n);
static uint64_t *ngx_http_analytics_column_dailies(ngx_pool_t *pool,
    ngx_http_analytics_zone_t *zone, ngx_uint_t which, int64_t first,
    ngx_uint_t n);
static void ngx_http_analytics_column_time(ngx_http_analytics_value_t *value,
    uint64_t sessions, uint64_t usec);


ngx_int_t
ngx_http_analytics_column_users(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c)
{
    uint64_t    *counts, *times, count, time, counted, timed;
    ngx_uint_t   i, k, n, end, which;

    if (c->metric->what == NGX_HTTP_ANALYTICS_ACTIVE) {
        return ngx_http_analytics_column_active(pool, c);
    }

    if (c->metric->what == NGX_HTTP_ANALYTICS_USERS) {
        return ngx_http_analytics_column_all(pool, c);
    }

    which = (c->metric->what == NGX_HTTP_ANALYTICS_NEW_USERS)
            ? NGX_ANALYTICS_DAILY_NEW : NGX_ANALYTICS_DAILY_SESSIONS;

    counts = ngx_http_analytics_column_dailies(pool, c->zone, which,
                                               c->buckets->first,
                                               c->buckets->cells);
    times = counts;

    if (counts && c->metric->what == NGX_HTTP_ANALYTICS_SESSION_TIME) {
        times = ngx_http_analytics_column_dailies(pool, c->zone,
                                              NGX_ANALYTICS_DAILY_SESSION_TIME,
                                              c->buckets->first,
                                              c->buckets->cells);
    }

    if (times == NULL) {
        return NGX_DECLINED;
    }

    counted = 0;
    timed = 0;

    for (i = 0, k = 0; i < c->buckets->n; i++) {
        n = ngx_http_analytics_buckets_cells(c->buckets,
                                             c->buckets->first + (int64_t) k);
        count = 0;
        time = 0;

        for (end = k + n; k < end; k++) {
            count += counts[k];
            time += times[k];
        }

        counted += count;
        timed += time;

        if (c->values == NULL) {
            continue;
        }

        if (times != counts) {
            ngx_http_analytics_column_time(&c->values[i], count, time);

        } else {
            ngx_http_analytics_number(&c->values[i], count);
        }
    }

    if (times != counts) {
        ngx_http_analytics_column_time(&c->total, counted, timed);

    } else {
        ngx_http_analytics_number(&c->total, counted);
    }

    return NGX_OK;
}


/* The average, in seconds. */

static void
ngx_http_analytics_column_time(ngx_http_analytics_value_t *value,
    uint64_t sessions, uint64_t usec)
{
    value->kind = NGX_HTTP_ANALYTICS_NONE;

    if (sessions) {
        value->kind = NGX_HTTP_ANALYTICS_REAL;
        value->real = (double) usec / 1e6 / (double) sessions;
    }
}


static ngx_int_t
ngx_http_analytics_column_active(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c)
{
    uint64_t    *counts, active;
    ngx_int_t    rc;
    ngx_uint_t   i, k, which;

    which = (c->buckets->interval == NGX_HTTP_ANALYTICS_BY_WEEK)
            ? NGX_ANALYTICS_DAILY_WEEK
            : (c->buckets->interval == NGX_HTTP_ANALYTICS_BY_MONTH)
            ? NGX_ANALYTICS_DAILY_MONTH : NGX_ANALYTICS_DAILY_ACTIVE;

    /* of a week at its first day, and so on */

    counts = ngx_http_analytics_column_dailies(pool, c->zone, which,
                                               c->buckets->first,
                                               c->buckets->cells);
    if (counts == NULL) {
        return NGX_DECLINED;
    }

    for (i = 0, k = 0; c->values && i < c->buckets->n; i++) {
        ngx_http_analytics_number(&c->values[i], counts[k]);

        k += ngx_http_analytics_buckets_cells(c->buckets,
                                              c->buckets->first + (int64_t) k);
    }

    active = counts[0];

    if (c->buckets->n > 1 && !c->parts) {
        rc = ngx_http_analytics_column_active_in(pool, c, &active);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_http_analytics_number(&c->total, active);

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_column_active_in(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c, uint64_t *active)
{
    int64_t    first, last;
    ngx_int_t  rc;

    rc = ngx_http_analytics_column_active_now(pool, c, active);

    if (rc != NGX_DONE) {
        return rc;
    }

    first = c->buckets->first;
    last = first + (int64_t) c->buckets->cells - 1;

    if (c->active && ngx_http_analytics_column_many(c->zone)) {
        return ngx_http_analytics_active_known(c->active, first, last,
                                               active);
    }

    return ngx_http_analytics_column_active_each(c->zone, first, last,
                                                 active);
}


static ngx_uint_t
ngx_http_analytics_column_many(ngx_http_analytics_zone_t *zone)
{
    return __atomic_load_n(&zone->sh->users.bump, __ATOMIC_RELAXED)
           > NGX_HTTP_ANALYTICS_COLUMN_FEW;
}


/*
 * Of a range behind whose end nobody was active it is those who were active
 * last in it.  Returns NGX_DONE if somebody was.
 */

static ngx_int_t
ngx_http_analytics_column_active_now(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c, uint64_t *active)
{
    uint64_t    *counts;
    ngx_uint_t   i, n;

    if (ngx_http_analytics_column_days(c, &n) != NGX_OK) {
        return NGX_DECLINED;
    }

    counts = ngx_http_analytics_column_dailies(pool, c->zone,
                                               NGX_ANALYTICS_DAILY_LAST,
                                               c->buckets->first, n);
    if (counts == NULL) {
        return NGX_DECLINED;
    }

    *active = 0;

    for (i = 0; i < n; i++) {

        if (i < c->buckets->cells) {
            *active += counts[i];

        } else if (counts[i]) {
            return NGX_DONE;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_analytics_column_active_each(ngx_http_analytics_zone_t *zone,
    int64_t first, int64_t last, uint64_t *active)
{
    uint32_t  next;

    first = ngx_min(first, NGX_ANALYTICS_DAYS_MAX - 1);
    last = ngx_min(last, NGX_ANALYTICS_DAYS_MAX - 1);

    *active = 0;
    next = 1;

    for ( ;; ) {
        if (ngx_http_analytics_lock(zone) != NGX_OK) {
            return NGX_DECLINED;
        }

        *active += ngx_analytics_figures_active(zone->sh, (ngx_uint_t) first,
                                           (ngx_uint_t) last, &next,
                                           NGX_HTTP_ANALYTICS_COLUMN_USERS);

        ngx_http_analytics_unlock(zone);

        if (next == 0) {
            return NGX_OK;
        }

        ngx_analytics_fault_wait("active");

        /* others may want the lock */

        ngx_sched_yield();
    }
}


/* How many there are at the end of each bucket: less those who came later. */

static ngx_int_t
ngx_http_analytics_column_all(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c)
{
    uint64_t                *counts, users;
    ngx_uint_t               i, k, n;
    ngx_analytics_totals_t   t;

    if (ngx_http_analytics_column_days(c, &n) != NGX_OK) {
        return NGX_DECLINED;
    }

    n = ngx_max(n, c->buckets->cells);

    counts = ngx_http_analytics_column_dailies(pool, c->zone,
                                               NGX_ANALYTICS_DAILY_NEW,
                                               c->buckets->first, n);
    if (counts == NULL
        || ngx_http_analytics_copy_totals(c->zone, &t) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    users = t.users;

    for (k = n; k > 0; k--) {
        users -= ngx_min(users, counts[k - 1]);
    }

    for (i = 0, k = 0; i < c->buckets->n; i++) {
        n = k + ngx_http_analytics_buckets_cells(c->buckets,
                                             c->buckets->first + (int64_t) k);

        for ( /* void */ ; k < n; k++) {
            users += counts[k];
        }

        if (c->values) {
            ngx_http_analytics_number(&c->values[i], users);
        }
    }

    ngx_http_analytics_number(&c->total, users);

    return NGX_OK;
}


/* How many days there are from the first one on of which something is. */

static ngx_int_t
ngx_http_analytics_column_days(ngx_http_analytics_column_t *c, ngx_uint_t *n)
{
    int64_t  last;

    if (ngx_http_analytics_lock(c->zone) != NGX_OK) {
        return NGX_ERROR;
    }

    last = ngx_analytics_figures_newest(c->zone->sh);

    ngx_http_analytics_unlock(c->zone);

    *n = (last < c->buckets->first)
         ? 0 : (ngx_uint_t) (last - c->buckets->first + 1);

    return NGX_OK;
}


/* Returns NULL: there is no memory, or the zone is damaged. */

static uint64_t *
ngx_http_analytics_column_dailies(ngx_pool_t *pool,
    ngx_http_analytics_zone_t *zone, ngx_uint_t which, int64_t first,
    ngx_uint_t n)
{
    uint64_t    *counts;
    ngx_uint_t   i, part;

    counts = ngx_palloc(pool, n * sizeof(uint64_t));
    if (counts == NULL) {
        return NULL;
    }

    for (i = 0; i < n; i += part) {
        part = ngx_min(n - i, NGX_HTTP_ANALYTICS_COLUMN_DAYS);

        if (ngx_http_analytics_lock(zone) != NGX_OK) {
            return NULL;
        }

        ngx_analytics_figures_dailies(zone->sh, which, first + (int64_t) i,
                                      counts + i, part);

        ngx_http_analytics_unlock(zone);
    }

    return counts;
}
