
/*
 * How the log forgets: what the store has forgotten is not to be in the log
 * much longer.  Segments are removed as a whole, so one that goes on for too
 * long is ended, and the checkpoints are to be behind it, so where nothing
 * happens any more something is appended that they can be of.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_analytics_checkpoint.h"
#include "ngx_analytics_store.h"


static ngx_int_t ngx_http_analytics_retain_old(
    ngx_http_analytics_zone_t *zone, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_http_analytics_retain_segment(
    ngx_http_analytics_zone_t *zone, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_http_analytics_retain_trim(
    ngx_http_analytics_zone_t *zone, uint64_t to,
    ngx_analytics_fail_t *fail);
static void ngx_http_analytics_retain_move(ngx_http_analytics_zone_t *zone);


void
ngx_http_analytics_retain_begin(ngx_http_analytics_zone_t *zone)
{
    ngx_int_t             rc;
    ngx_analytics_fail_t  fail;

    rc = ngx_http_analytics_retain_old(zone, &fail);

    if (rc == NGX_OK) {
        rc = ngx_http_analytics_retain_segment(zone, &fail);
    }

    if (rc == NGX_ERROR) {
        ngx_http_analytics_store_failed(zone, &fail);
    }
}


/*
 * NGX_OK if the last segment has events and is so old that another one is to
 * begin.
 */

static ngx_int_t
ngx_http_analytics_retain_old(ngx_http_analytics_zone_t *zone,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t                rc;
    ngx_analytics_tail_t     tail;
    ngx_analytics_segment_t  segment;

    ngx_http_analytics_store_tail(zone, &tail);

    if (zone->keep_time == 0
        || tail.position == tail.base + NGX_ANALYTICS_SEGMENT_HEADER)
    {
        return NGX_DECLINED;
    }

    rc = ngx_analytics_segment_look(zone->log.dir, zone->log.path, tail.base,
                                    &segment, fail);

    if (rc != NGX_OK) {
        return rc;
    }

    return (tail.seq > segment.seq
            && ngx_http_analytics_now() - segment.created
               >= zone->keep_time / NGX_ANALYTICS_STORE_SPANS)
           ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_analytics_retain_segment(ngx_http_analytics_zone_t *zone,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t  rc;

    if (ngx_http_analytics_enter(zone, 1) == NGX_ERROR) {
        ngx_analytics_failed(fail, "locking", zone->log.path, "control");
        return NGX_ERROR;
    }

    rc = ngx_analytics_log_new_segment(&zone->log, fail);

    (void) ngx_http_analytics_catch_up(zone);

    ngx_analytics_log_unlock(&zone->log);

    return rc;
}


/*
 * The log is needed as far as the zone could have to be made from the oldest
 * checkpoint.
 */

void
ngx_http_analytics_retain_end(ngx_http_analytics_zone_t *zone, uint64_t from)
{
    uint64_t              oldest;
    ngx_analytics_fail_t  fail;

    if (zone->keep_time == 0 && zone->keep_size == 0) {
        return;
    }

    if (ngx_analytics_checkpoint_oldest(zone->log.dir, &oldest) != NGX_OK) {
        oldest = 0;
    }

    if (oldest
        && ngx_http_analytics_retain_trim(zone, ngx_min(from, oldest), &fail)
           != NGX_OK)
    {
        ngx_http_analytics_store_failed(zone, &fail);
        return;
    }

    if (zone->keep_time && oldest < ngx_http_analytics_segment(zone, from)) {
        ngx_http_analytics_retain_move(zone);
    }
}


/* Who erases users writes segments anew: they would come back. */

static ngx_int_t
ngx_http_analytics_retain_trim(ngx_http_analytics_zone_t *zone, uint64_t to,
    ngx_analytics_fail_t *fail)
{
    int        fd;
    ngx_int_t  rc;

    fd = ngx_http_analytics_lease(zone, "lock.erase");

    if (fd == -1) {
        return NGX_OK;
    }

    rc = ngx_analytics_log_trim(zone->log.dir, zone->log.path, to, fail);

    (void) close(fd);

    return rc;
}


/*
 * A checkpoint is called by where it is, and the newest one is at the end of
 * the log: for another one that has to be elsewhere.
 */

static void
ngx_http_analytics_retain_move(ngx_http_analytics_zone_t *zone)
{
    ngx_int_t  rc;

    if (zone->log.control->checkpoint
        != ngx_analytics_log_position(&zone->log))
    {
        return;
    }

    rc = ngx_http_analytics_enter(zone, 1);

    if (rc == NGX_ERROR) {
        return;
    }

    if (rc == NGX_OK
        && ngx_analytics_zone_program_is(zone->sh, &zone->program))
    {
        ngx_http_analytics_log_program(zone);
    }

    ngx_analytics_log_unlock(&zone->log);
}
