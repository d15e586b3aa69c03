
/*
 * When events cannot be stored: what is answered, and what is logged.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"


#define NGX_HTTP_ANALYTICS_LOG_AGAIN  10000      /* msec, the same trouble */


static const char *ngx_http_analytics_errno(ngx_err_t err);


ngx_int_t
ngx_http_analytics_refuse(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t **posts, ngx_uint_t n,
    ngx_analytics_fail_t *fail)
{
    ngx_uint_t   i;
    const char  *detail;

    detail = fail ? ngx_http_analytics_errno(fail->err)
                  : ngx_http_analytics_reason(zone);

    for (i = 0; i < n; i++) {
        posts[i]->status = NGX_HTTP_SERVICE_UNAVAILABLE;
        posts[i]->detail = detail;
    }

    if (fail) {
        ngx_http_analytics_trouble(zone, fail);
    }

    return NGX_ERROR;
}


ngx_int_t
ngx_http_analytics_unlocked(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t **posts, ngx_uint_t n)
{
    ngx_analytics_fail_t  fail;

    ngx_analytics_failed(&fail, "locking", zone->log.path, "control");

    return ngx_http_analytics_refuse(zone, posts, n, &fail);
}


ngx_int_t
ngx_http_analytics_broken(ngx_http_analytics_post_t *post)
{
    post->status = NGX_HTTP_SERVICE_UNAVAILABLE;
    post->detail = "the zone is damaged";

    return NGX_ERROR;
}


/* Logs why events cannot be stored, the same not too often. */

void
ngx_http_analytics_trouble(ngx_http_analytics_zone_t *zone,
    ngx_analytics_fail_t *fail)
{
    int  err;

    err = fail->err ? fail->err : -1;

    zone->trouble = 1;

    if (zone->logged == err
        && ngx_current_msec - zone->logged_time < NGX_HTTP_ANALYTICS_LOG_AGAIN)
    {
        return;
    }

    zone->logged = err;
    zone->logged_time = ngx_current_msec;

    ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, fail->err,
                  "analytics zone \"%V\" cannot store events: %s",
                  &zone->name, fail->text);
}


const char *
ngx_http_analytics_reason(ngx_http_analytics_zone_t *zone)
{
    if (zone->attached) {
        return ngx_http_analytics_errno(zone->log.control->failed);
    }

    if (zone->failed == NGX_EBUSY) {
        return "another nginx uses the zone's directory";
    }

    return zone->failed ? ngx_http_analytics_errno(zone->failed)
                        : "the log is being opened";
}


static const char *
ngx_http_analytics_errno(ngx_err_t err)
{
    switch (err) {

    case NGX_ENOSPC:
    case EDQUOT:
    case EFBIG:
        return "the disk is full";

    case EROFS:
        return "the disk is read-only";

    case EIO:
        return "the disk has failed";

    case NGX_EACCES:
    case NGX_EPERM:
        return "the zone's directory must not be written";

    default:
        return "the log cannot be written";
    }
}


void
ngx_http_analytics_stored_again(ngx_http_analytics_zone_t *zone)
{
    if (!zone->trouble) {
        return;
    }

    zone->trouble = 0;

    /* where a disk is nearly full, both take turns quickly */

    if (zone->again_time
        && ngx_current_msec - zone->again_time < NGX_HTTP_ANALYTICS_LOG_AGAIN)
    {
        return;
    }

    zone->again_time = ngx_current_msec;

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "analytics zone \"%V\" stores events again", &zone->name);
}
