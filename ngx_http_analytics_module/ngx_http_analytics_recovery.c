
/*
 * Recovery: making a zone from its last checkpoint and the log behind it.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_analytics_fault.h"
#include "ngx_analytics_checkpoint.h"

#include <sys/file.h>


/* what is left to be folded while nobody can append */
#define NGX_HTTP_ANALYTICS_LAST_GAP  (1024 * 1024)

/* for a lock that somebody else has, msec */
#define NGX_HTTP_ANALYTICS_LEASE_PAUSE  20
#define NGX_HTTP_ANALYTICS_LEASE_WAIT   10000


static ngx_int_t ngx_http_analytics_rebuild(ngx_http_analytics_zone_t *zone);
static ngx_int_t ngx_http_analytics_rebuild_end(
    ngx_http_analytics_zone_t *zone, ngx_analytics_target_t *target,
    uint64_t epoch, ngx_analytics_fail_t *fail);
static void ngx_http_analytics_rebuild_failed(
    ngx_http_analytics_zone_t *zone, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_http_analytics_first(ngx_http_analytics_zone_t *zone,
    uint64_t *first, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_http_analytics_target_lock(void *ctx);
static void ngx_http_analytics_target_unlock(void *ctx);
static void ngx_http_analytics_target_damaged(void *ctx, uint64_t base,
    uint64_t from, uint64_t to);
static ngx_int_t ngx_http_analytics_recovery_progress(void *ctx,
    uint64_t position);
static void ngx_http_analytics_checkpoint_bad(void *ctx, const char *name,
    const char *why);


void
ngx_http_analytics_target(ngx_http_analytics_zone_t *zone,
    ngx_analytics_target_t *target)
{
    target->zone = zone->sh;
    target->lock = ngx_http_analytics_target_lock;
    target->unlock = ngx_http_analytics_target_unlock;
    target->ctx = zone;
    target->damaged = ngx_http_analytics_target_damaged;
    target->progress = NULL;
    target->live = 1;
    target->live_from = 0;
    target->missed = 0;
}


static ngx_int_t
ngx_http_analytics_target_lock(void *ctx)
{
    return ngx_http_analytics_lock(ctx);
}


static void
ngx_http_analytics_target_unlock(void *ctx)
{
    ngx_http_analytics_unlock(ctx);
}


static void
ngx_http_analytics_target_damaged(void *ctx, uint64_t base, uint64_t from,
    uint64_t to)
{
    ngx_http_analytics_zone_t *zone = ctx;

    /* the last segment was looked through before */

    if (base != ngx_analytics_log_tail(&zone->log)->base) {
        zone->log.control->damaged += to - from;
    }

    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                  "analytics zone \"%V\": %uL bytes of the log in \"%V\", from "
                  "offset %uL of %020uL.log, are damaged and were passed over",
                  &zone->name, to - from, &zone->path->name, from - base,
                  base);
}


uint64_t
ngx_http_analytics_segment(ngx_http_analytics_zone_t *zone, uint64_t position)
{
    uint64_t              *positions, base;
    ngx_uint_t             i, n;
    ngx_analytics_fail_t   fail;

    if (ngx_analytics_segments(zone->log.dir, zone->log.path, &positions, &n,
                               &fail)
        != NGX_OK)
    {
        return 0;
    }

    base = 0;

    for (i = 0; i < n && positions[i] <= position; i++) {
        base = positions[i];
    }

    free(positions);

    return base;
}


/* Returns a descriptor to be closed, or -1: somebody else is at it. */

int
ngx_http_analytics_lease(ngx_http_analytics_zone_t *zone, const char *name)
{
    int  fd;

    fd = openat(zone->log.dir, name, O_RDWR|O_CREAT|O_CLOEXEC, 0600);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, ngx_errno,
                      "openat() \"%V/%s\" failed", &zone->path->name, name);
        return -1;
    }

    if (flock(fd, LOCK_EX|LOCK_NB) == -1) {
        (void) close(fd);
        return -1;
    }

    return fd;
}


int
ngx_http_analytics_lease_wait(ngx_http_analytics_zone_t *zone,
    const char *name, ngx_analytics_fail_t *fail)
{
    int         fd;
    ngx_msec_t  wait;

    for (wait = 0; wait < NGX_HTTP_ANALYTICS_LEASE_WAIT;
         wait += NGX_HTTP_ANALYTICS_LEASE_PAUSE)
    {
        fd = ngx_http_analytics_lease(zone, name);

        if (fd != -1) {
            return fd;
        }

        if (ngx_terminate || ngx_exiting) {
            break;
        }

        ngx_msleep(NGX_HTTP_ANALYTICS_LEASE_PAUSE);
    }

    fail->err = NGX_EAGAIN;
    (void) ngx_snprintf((u_char *) fail->text, sizeof(fail->text),
                        "\"%s/%s\" is locked%Z", zone->log.path, name);

    return -1;
}


void
ngx_http_analytics_recovery_run(ngx_http_analytics_zone_t *zone)
{
    int  fd;

    zone->recovery.rc = NGX_OK;

    fd = ngx_http_analytics_lease(zone, "lock.recovery");
    if (fd == -1) {
        return;
    }

    if (!ngx_http_analytics_ready(zone)) {
        zone->recovery.rc = ngx_http_analytics_rebuild(zone);
    }

    (void) close(fd);
}


static ngx_int_t
ngx_http_analytics_rebuild(ngx_http_analytics_zone_t *zone)
{
    uint64_t                      epoch;
    ngx_analytics_fail_t          fail;
    ngx_analytics_target_t        target;
    ngx_http_analytics_shared_t  *shared;

    shared = zone->shared;
    epoch = zone->log.control->epoch;

    /* readers look at "ready" when they have the lock */

    ngx_shmtx_lock(&zone->shpool->mutex);

    shared->ready = 0;
    shared->rebuilds++;
    ngx_memcpy(shared->log, zone->log.control->file, sizeof(shared->log));

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (shared->used) {
        ngx_memzero(shared->zone, shared->size);
    }

    shared->used = 1;
    shared->recovered = 0;
    shared->recovery_from = 0;
    shared->recovery_to = ngx_analytics_log_position(&zone->log);

    ngx_memzero(&target, sizeof(ngx_analytics_target_t));

    target.zone = ngx_http_analytics_load(zone, shared->zone, NULL,
                                          &shared->forgotten, &fail);

    if (target.zone == NULL) {
        ngx_http_analytics_rebuild_failed(zone, &fail);
        return NGX_ERROR;
    }

    if (shared->forgotten) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "analytics zone \"%V\": there is no checkpoint, and the "
                      "first %uL bytes of the log were removed as \"retain\" "
                      "says: their events are not counted any more",
                      &zone->name, shared->forgotten);
    }

    zone->log.control->checkpoint = ngx_analytics_zone_position(target.zone);
    zone->log.control->checkpoint_time = ngx_http_analytics_now();

    shared->recovery_from = ngx_analytics_zone_position(target.zone);

    target.ctx = zone;
    target.damaged = ngx_http_analytics_target_damaged;
    target.progress = ngx_http_analytics_recovery_progress;

    /* one that was asked for meanwhile, and done */

    target.live = 1;
    target.live_from = shared->recovery_to;

    return ngx_http_analytics_rebuild_end(zone, &target, epoch, &fail);
}


/* Folds while others append, until there is so little left that they wait. */

static ngx_int_t
ngx_http_analytics_rebuild_end(ngx_http_analytics_zone_t *zone,
    ngx_analytics_target_t *target, uint64_t epoch,
    ngx_analytics_fail_t *fail)
{
    uint64_t   limit;
    ngx_int_t  rc;

    do {
        limit = ngx_analytics_log_position(&zone->log);

        zone->shared->recovery_to = limit;

        if (ngx_analytics_replay(target, zone->log.dir, zone->log.path, limit,
                                 fail)
            != NGX_OK)
        {
            ngx_http_analytics_rebuild_failed(zone, fail);
            return NGX_ERROR;
        }

    } while (ngx_analytics_log_position(&zone->log) - limit
             > NGX_HTTP_ANALYTICS_LAST_GAP);

    if (ngx_analytics_log_lock(&zone->log) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (zone->log.control->epoch == epoch) {
        limit = ngx_analytics_log_position(&zone->log);

        rc = ngx_analytics_replay(target, zone->log.dir, zone->log.path,
                                  limit, fail);
        if (rc == NGX_OK) {
            ngx_memory_barrier();
            zone->shared->ready = epoch;

            /* before any other event, so that metrics miss none */

            ngx_http_analytics_publish_locked(zone);
        }
    }

    ngx_analytics_log_unlock(&zone->log);

    if (rc == NGX_OK) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "analytics zone \"%V\" was read from \"%V\": up to id "
                      "%uL, the last %uL bytes from the log", &zone->name,
                      &zone->path->name, ngx_analytics_zone_last(target->zone),
                      limit - zone->shared->recovery_from);
    }

    return rc;
}


static void
ngx_http_analytics_rebuild_failed(ngx_http_analytics_zone_t *zone,
    ngx_analytics_fail_t *fail)
{
    if (fail->text[0] == '\0') {

        /* given up: the process is about to exit */

        return;
    }

    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, fail->err,
                  "analytics zone \"%V\" cannot be read from its log: %s",
                  &zone->name, fail->text);
}


/* A zone from the last checkpoint that is good, in zeroed memory. */

ngx_analytics_zone_t *
ngx_http_analytics_load(ngx_http_analytics_zone_t *zone, void *mem,
    void (*pace)(void *ctx), uint64_t *forgotten, ngx_analytics_fail_t *fail)
{
    uint64_t                    first;
    ngx_analytics_zone_t       *z;
    ngx_analytics_control_t    *control;
    ngx_analytics_zone_conf_t   conf;

    control = zone->log.control;
    *forgotten = 0;

    if (ngx_http_analytics_first(zone, &first, fail) != NGX_OK) {
        return NULL;
    }

    conf.types = zone->types;
    conf.key[0] = control->key[0];
    conf.key[1] = control->key[1];
    conf.now = ngx_http_analytics_now();

    z = ngx_analytics_checkpoint_read(zone->log.dir, zone->log.path,
                                      control->id, first,
                                      ngx_analytics_log_position(&zone->log),
                                      mem, zone->shared->size, &conf,
                                      ngx_http_analytics_checkpoint_bad,
                                      pace, zone, fail);

    if (z && ngx_analytics_zone_position(z) == 0) {
        *forgotten = first;
    }

    return z;
}


/* The first position that the log still has. */

static ngx_int_t
ngx_http_analytics_first(ngx_http_analytics_zone_t *zone, uint64_t *first,
    ngx_analytics_fail_t *fail)
{
    uint64_t    *positions;
    ngx_uint_t   n;

    if (ngx_analytics_segments(zone->log.dir, zone->log.path, &positions, &n,
                               fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    *first = n ? positions[0] : 0;

    free(positions);

    return NGX_OK;
}


static void
ngx_http_analytics_checkpoint_bad(void *ctx, const char *name,
    const char *why)
{
    ngx_http_analytics_zone_t *zone = ctx;

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "analytics zone \"%V\": checkpoint \"%V/%s\" is not used: "
                  "%s", &zone->name, &zone->path->name, name, why);
}


static ngx_int_t
ngx_http_analytics_recovery_progress(void *ctx, uint64_t position)
{
    ngx_http_analytics_zone_t *zone = ctx;

    zone->shared->recovered = position;

    ngx_analytics_fault_stop("recovery");

    return (ngx_terminate || ngx_exiting) ? NGX_ABORT : NGX_OK;
}
