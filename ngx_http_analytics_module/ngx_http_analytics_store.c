
/*
 * The store in a worker process: when something is done with it, and how far
 * it is.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_analytics_store.h"


/* msec, between two looks at what is old, small, missing, or put aside */

#if (NGX_ANALYTICS_FAULTS && NGX_ANALYTICS_STORE_SCALE)
#define NGX_HTTP_ANALYTICS_STORE_PAUSE  1000
#else
#define NGX_HTTP_ANALYTICS_STORE_PAUSE  60000
#endif


static ngx_int_t ngx_http_analytics_store_begin(
    ngx_http_analytics_zone_t *zone);
static void ngx_http_analytics_store_work(void *data);
static ngx_int_t ngx_http_analytics_store_steps(
    ngx_http_analytics_zone_t *zone, ngx_analytics_store_conf_t *conf);
static void ngx_http_analytics_store_tell(ngx_analytics_store_conf_t *conf);
static void ngx_http_analytics_store_told(const char *what,
    ngx_analytics_fail_t *fail);


/* how many files this process has put aside */
static ngx_atomic_t  ngx_http_analytics_store_bad;


void
ngx_http_analytics_store_init(void)
{
    ngx_analytics_parts_told = ngx_http_analytics_store_told;
}


static void
ngx_http_analytics_store_told(const char *what, ngx_analytics_fail_t *fail)
{
    (void) ngx_atomic_fetch_add(&ngx_http_analytics_store_bad, 1);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "%s was put aside, to be made again from the log: %s", what,
                  fail->text);
}


ngx_uint_t
ngx_http_analytics_store_due(ngx_http_analytics_zone_t *zone)
{
    if (!zone->store && zone->period == 0) {
        return 0;
    }

    if (zone->store_bad != ngx_http_analytics_store_bad
        || ngx_current_msec - zone->stored >= NGX_HTTP_ANALYTICS_STORE_PAUSE
        || ngx_http_analytics_counts_due(zone))
    {
        return 1;
    }

    return zone->store
           && (zone->log.control->store_seq == 0
               || ngx_http_analytics_store_behind(zone)
                  >= NGX_ANALYTICS_STORE_MIN);
}


/* What questions read of the log is to be little. */

ngx_uint_t
ngx_http_analytics_store_soon(ngx_http_analytics_zone_t *zone)
{
    return zone->store
           && ngx_http_analytics_store_behind(zone)
              >= NGX_ANALYTICS_STORE_MIN / 2;
}


uint64_t
ngx_http_analytics_store_behind(ngx_http_analytics_zone_t *zone)
{
    uint64_t               seq, stored, bytes;
    ngx_analytics_tail_t  *tail;

    tail = ngx_analytics_log_tail(&zone->log);

    seq = tail->seq;
    stored = zone->log.control->store_seq;

    /* numbers may have been skipped, and an event takes a byte at least */

    bytes = tail->position - ngx_min(zone->log.control->store,
                                     tail->position);

    return ngx_min(seq - ngx_min(ngx_max(stored, 1), seq), bytes);
}


void
ngx_http_analytics_store_run(ngx_http_analytics_zone_t *zone)
{
    int  fd;

    zone->store_job.rc = NGX_OK;

    fd = ngx_http_analytics_lease(zone, "lock.store");
    if (fd == -1) {
        return;
    }

    if (zone->store_bad != ngx_http_analytics_store_bad
        || ngx_current_msec - zone->period_looked
           >= NGX_HTTP_ANALYTICS_STORE_PAUSE)
    {
        zone->store_bad = ngx_http_analytics_store_bad;
        zone->period_looked = ngx_current_msec;
        zone->period_look = 1;
    }

    zone->store_from = 0;

    /* locks that others wait for are not taken by who stands back */

    ngx_http_analytics_retain_begin(zone);

    if (ngx_http_analytics_store_begin(zone) == NGX_OK) {
        ngx_http_analytics_job_aside(ngx_http_analytics_store_work, zone, 1);
    }

    if (zone->store_from) {
        ngx_http_analytics_retain_end(zone, zone->store_from);
    }

    (void) close(fd);
}


/*
 * A part holds what is synced only, and so does what is counted.  The sync is
 * done once for all that there is to do: what comes meanwhile is for the next
 * time.
 */

static ngx_int_t
ngx_http_analytics_store_begin(ngx_http_analytics_zone_t *zone)
{
    ngx_analytics_fail_t  fail;

    zone->period_now = 0;

    if (ngx_http_analytics_counts_due(zone)) {
        ngx_http_analytics_counts_begin(zone);
    }

    if (!zone->store && zone->period_now == 0) {
        return NGX_DECLINED;
    }

    ngx_http_analytics_store_tail(zone, &zone->store_tail);

    if (ngx_analytics_log_sync(&zone->log, &fail) != NGX_OK) {
        ngx_http_analytics_store_failed(zone, &fail);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_analytics_store_work(void *data)
{
    ngx_http_analytics_zone_t *zone = data;

    ngx_analytics_store_conf_t  conf;

    if (zone->period_now) {
        ngx_http_analytics_counts_close(zone);
    }

    if (!zone->store) {
        return;
    }

    ngx_memzero(&conf, sizeof(ngx_analytics_store_conf_t));

    conf.dir = zone->log.dir;
    conf.path = zone->log.path;
    conf.log_id = zone->log.control->id;
    conf.synced = zone->store_tail.position;
    conf.seq = zone->store_tail.seq;
    conf.now = ngx_http_analytics_now();
    conf.keep_time = zone->keep_time;
    conf.keep_size = zone->keep_size;
    conf.progress = ngx_http_analytics_store_progress;
    conf.tell = ngx_http_analytics_store_tell;
    conf.ctx = zone;

    /* what was not counted by period yet is needed for that, if it can be */

    conf.needed = (zone->period && zone->period_wait == 0)
                  ? zone->period_next - zone->period : INT64_MAX;

    if (ngx_http_analytics_store_steps(zone, &conf) == NGX_DONE) {
        zone->store_from = conf.from;
    }
}


static ngx_int_t
ngx_http_analytics_store_steps(ngx_http_analytics_zone_t *zone,
    ngx_analytics_store_conf_t *conf)
{
    uint64_t                  epoch;
    ngx_int_t                 rc;
    ngx_analytics_fail_t      fail;
    ngx_analytics_control_t  *control;

    control = zone->log.control;
    epoch = control->epoch;

    do {
        if (ngx_http_analytics_store_progress(NULL) != NGX_OK
            || control->epoch != epoch)
        {
            return NGX_ABORT;
        }

        rc = ngx_analytics_store_step(conf, &fail);

        if (rc == NGX_ERROR) {
            ngx_http_analytics_store_failed(zone, &fail);
            return NGX_ERROR;
        }

        ngx_http_analytics_store_tell(conf);

    } while (rc == NGX_OK);

    return rc;
}


static void
ngx_http_analytics_store_tell(ngx_analytics_store_conf_t *conf)
{
    ngx_analytics_control_t    *control;
    ngx_http_analytics_zone_t  *zone;

    zone = conf->ctx;
    control = zone->log.control;

    control->store_parts = conf->parts;
    control->store_size = conf->size;
    control->store_missing = conf->missing;
    control->store = conf->to;
    control->store_seq = conf->to_seq;
}


void
ngx_http_analytics_store_tail(ngx_http_analytics_zone_t *zone,
    ngx_analytics_tail_t *tail)
{
    do {
        *tail = *ngx_analytics_log_tail(&zone->log);

    } while (ngx_memcmp(tail, ngx_analytics_log_tail(&zone->log),
                        sizeof(ngx_analytics_tail_t)) != 0);
}


ngx_int_t
ngx_http_analytics_store_progress(void *ctx)
{
    return (ngx_terminate || ngx_exiting) ? NGX_ABORT : NGX_OK;
}


void
ngx_http_analytics_store_failed(ngx_http_analytics_zone_t *zone,
    ngx_analytics_fail_t *fail)
{
    zone->store_job.rc = NGX_ERROR;

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, fail->err,
                  "analytics zone \"%V\": the store was not filled: %s",
                  &zone->name, fail->text);
}
