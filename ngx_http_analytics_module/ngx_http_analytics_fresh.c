
/*
 * Before a zone is asked: whether it knows all that was acknowledged.
 *
 * Whoever appends folds into the zone of his own generation of nginx before
 * he answers.  So there is something to wait for only while the zone is being
 * rebuilt, and while two generations with zones of their own append to one
 * log.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"


#define NGX_HTTP_ANALYTICS_PAUSE  2          /* msec, between two looks */


static ngx_uint_t ngx_http_analytics_fresh_enough(
    ngx_http_analytics_zone_t *zone);
static ngx_int_t ngx_http_analytics_fresh_wait(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone);
static void ngx_http_analytics_again_handler(ngx_http_request_t *r);


ngx_int_t
ngx_http_analytics_fresh(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone)
{
    ngx_int_t  rc;

    if (zone->path == NULL || ngx_http_analytics_joins(r, zone)) {
        return NGX_DECLINED;
    }

    zone->seen = zone->shared->rebuilds;

    if (ngx_http_analytics_opening(zone)) {
        return ngx_http_analytics_fresh_wait(r, zone);
    }

    if (!ngx_http_analytics_ready(zone)) {
        return ngx_http_analytics_damaged(r, zone);
    }

    if (ngx_analytics_zone_position(zone->sh)
        == ngx_analytics_log_position(&zone->log))
    {
        return NGX_DECLINED;
    }

    rc = ngx_http_analytics_enter(zone, 0);

    if (rc == NGX_OK || rc == NGX_DECLINED) {
        ngx_analytics_log_unlock(&zone->log);

        return (rc == NGX_OK) ? NGX_DECLINED
                              : ngx_http_analytics_damaged(r, zone);
    }

    /* what is being folded by others was not acknowledged yet */

    if (ngx_http_analytics_fresh_enough(zone)) {
        return NGX_DECLINED;
    }

    return ngx_http_analytics_fresh_wait(r, zone);
}


static ngx_uint_t
ngx_http_analytics_fresh_enough(ngx_http_analytics_zone_t *zone)
{
    uint64_t                  need;
    ngx_analytics_control_t  *control;

    control = zone->log.control;

    need = (control->zone == zone->shared->id)
           ? control->foreign : ngx_analytics_log_position(&zone->log);

    return ngx_analytics_zone_position(zone->sh) >= need;
}


static ngx_int_t
ngx_http_analytics_fresh_wait(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone)
{
    if (ngx_time() - r->start_sec > NGX_HTTP_ANALYTICS_PATIENCE
        || ngx_http_analytics_again(r, NGX_HTTP_ANALYTICS_PAUSE) != NGX_DONE)
    {
        return ngx_http_analytics_damaged(r, zone);
    }

    return NGX_DONE;
}


ngx_int_t
ngx_http_analytics_again(ngx_http_request_t *r, ngx_msec_t msec)
{
    ngx_event_t  *wev;

    /* the timer is of the connection, which knows the main request only */

    if (r != r->main) {
        return NGX_DECLINED;
    }

    wev = r->connection->write;

    r->main->count++;

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_test_reading;
    }

    r->write_event_handler = ngx_http_analytics_again_handler;

    wev->delayed = 1;
    ngx_add_timer(wev, msec);

    return NGX_DONE;
}


static void
ngx_http_analytics_again_handler(ngx_http_request_t *r)
{
    ngx_event_t                    *wev;
    ngx_http_analytics_loc_conf_t  *alcf;

    wev = r->connection->write;

    if (wev->delayed) {

        if (ngx_handle_write_event(wev, 0) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        }

        return;
    }

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_block_reading;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);

    ngx_http_finalize_request(r, alcf->handler(r));
}
