
/*
 * Checkpoints: when, and on which thread.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_analytics_checkpoint.h"

#include <sys/mman.h>


#define NGX_HTTP_ANALYTICS_UNMAP  (2 * 1024 * 1024)

/* a thread that stands back works for so long, nsec, and rests thrice that */
#define NGX_HTTP_ANALYTICS_PACE   1000000
#define NGX_HTTP_ANALYTICS_REST   3


static void ngx_http_analytics_checkpoint_make(void *data);
static ngx_analytics_zone_t *ngx_http_analytics_checkpoint_load(
    ngx_http_analytics_zone_t *zone, void *mem, ngx_analytics_fail_t *fail);
static void ngx_http_analytics_unmap(u_char *mem, size_t size);
static void ngx_http_analytics_checkpoint_failed(
    ngx_http_analytics_zone_t *zone, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_http_analytics_shadow_progress(void *ctx,
    uint64_t position);
static ngx_int_t ngx_http_analytics_checkpoint_alone(
    ngx_http_analytics_zone_t *zone, uint64_t position,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_http_analytics_checkpoint_progress(void *ctx);
static void ngx_http_analytics_checkpoint_pace(void *ctx);


ngx_uint_t
ngx_http_analytics_checkpoint_due(ngx_http_analytics_zone_t *zone)
{
    int64_t                   age;
    uint64_t                  tail, behind;
    ngx_analytics_control_t  *control;

    control = zone->log.control;

    tail = ngx_analytics_log_position(&zone->log);
    behind = tail - ngx_min(control->checkpoint, tail);

    age = (ngx_http_analytics_now() - control->checkpoint_time) / 1000;

    return behind >= zone->checkpoint_size
           || (behind && age >= (int64_t) zone->checkpoint_time);
}


/*
 * A zone beside the one that serves is built from the last checkpoint and the
 * log, and written.  There is no hurry: a thread that stands back behind the
 * event loops does it.  It gives up when the log gets too far ahead, as it does
 * when the processors have no time to spare, and another one starts that does
 * not stand back.
 */

void
ngx_http_analytics_checkpoint_run(ngx_http_analytics_zone_t *zone)
{
    int                   fd;
    ngx_analytics_fail_t  fail;

    zone->checkpoint.rc = NGX_OK;

    fd = ngx_http_analytics_lease(zone, "lock.checkpoint");
    if (fd == -1) {
        return;
    }

    /* somebody else may just have done it */

    if (!ngx_http_analytics_checkpoint_due(zone)) {
        (void) close(fd);
        return;
    }

    /*
     * Nothing durable may stand on what is not.  That is done here, as it
     * takes locks that others wait for.
     */

    zone->checkpoint.limit = ngx_analytics_log_position(&zone->log);

    if (ngx_analytics_log_sync(&zone->log, &fail) != NGX_OK) {
        ngx_http_analytics_checkpoint_failed(zone, &fail);
        (void) close(fd);
        return;
    }

    zone->hurry = 0;

    ngx_http_analytics_job_aside(ngx_http_analytics_checkpoint_make, zone, 1);

    if (zone->hurry) {
        ngx_http_analytics_job_aside(ngx_http_analytics_checkpoint_make, zone,
                                     0);
    }

    (void) close(fd);
}


static void
ngx_http_analytics_checkpoint_make(void *data)
{
    ngx_http_analytics_zone_t *zone = data;

    void                     *mem;
    size_t                    size;
    uint64_t                  epoch, limit;
    ngx_int_t                 rc;
    ngx_analytics_fail_t      fail;
    ngx_analytics_target_t    target;
    ngx_analytics_control_t  *control;

    control = zone->log.control;
    size = zone->shared->size;
    epoch = control->epoch;
    limit = zone->checkpoint.limit;

    mem = mmap(NULL, size, PROT_READ|PROT_WRITE,
               MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0);

    if (mem == MAP_FAILED) {
        fail.err = ngx_errno;
        ngx_memcpy(fail.text, "mmap() failed", sizeof("mmap() failed"));
        ngx_http_analytics_checkpoint_failed(zone, &fail);
        return;
    }

#ifdef MADV_HUGEPAGE

    /*
     * Each fault, and each page that is given back, takes a lock that the
     * event loop of this process may be about to need.
     */

    (void) madvise(mem, size, MADV_HUGEPAGE);

#endif

    ngx_memzero(&target, sizeof(ngx_analytics_target_t));

    zone->rested = 0;

    target.zone = ngx_http_analytics_checkpoint_load(zone, mem, &fail);
    target.progress = ngx_http_analytics_shadow_progress;
    target.ctx = zone;

    rc = target.zone ? ngx_analytics_replay(&target, zone->log.dir,
                                            zone->log.path, limit, &fail)
                     : NGX_ERROR;

    if (rc == NGX_OK && control->epoch == epoch) {
        rc = ngx_analytics_checkpoint_write(zone->log.dir, zone->log.path,
                                   control->id, target.zone,
                                   ngx_http_analytics_now(),
                                   ngx_http_analytics_checkpoint_progress,
                                   zone, &fail);
        if (rc == NGX_OK) {
            control->checkpoint = limit;
            control->checkpoint_time = ngx_http_analytics_now();
        }
    }

    ngx_http_analytics_unmap(mem, size);

    if (rc != NGX_OK && fail.text[0]) {
        ngx_http_analytics_checkpoint_failed(zone, &fail);
    }
}


/*
 * The zone that serves may know more than can be read: of what the log has
 * forgotten, nobody else tells if checkpoints were removed.  Then one is
 * written of the zone itself, when nginx ends.
 */

static ngx_analytics_zone_t *
ngx_http_analytics_checkpoint_load(ngx_http_analytics_zone_t *zone, void *mem,
    ngx_analytics_fail_t *fail)
{
    uint64_t               forgotten;
    ngx_analytics_zone_t  *z;

    z = ngx_http_analytics_load(zone, mem, ngx_http_analytics_checkpoint_pace,
                                &forgotten, fail);

    if (z && forgotten && forgotten != zone->shared->forgotten) {
        fail->err = 0;
        (void) ngx_snprintf((u_char *) fail->text, sizeof(fail->text),
                            "there is none to start from, and the first %uL "
                            "bytes of the log were removed%Z", forgotten);
        return NULL;
    }

    return z;
}


/* In pieces: others of this process may want to map something meanwhile. */

static void
ngx_http_analytics_unmap(u_char *mem, size_t size)
{
    size_t  n;

    while (size) {
        n = ngx_min(size, NGX_HTTP_ANALYTICS_UNMAP);

        (void) munmap(mem, n);

        mem += n;
        size -= n;
    }
}


static void
ngx_http_analytics_checkpoint_failed(ngx_http_analytics_zone_t *zone,
    ngx_analytics_fail_t *fail)
{
    zone->checkpoint.rc = NGX_ERROR;

    if (ngx_terminate || ngx_exiting) {
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, fail->err,
                  "analytics zone \"%V\": no checkpoint was written: %s",
                  &zone->name, fail->text);
}


static ngx_int_t
ngx_http_analytics_shadow_progress(void *ctx, uint64_t position)
{
    return ngx_http_analytics_checkpoint_progress(ctx);
}


static ngx_int_t
ngx_http_analytics_checkpoint_progress(void *ctx)
{
    ngx_http_analytics_zone_t *zone = ctx;

    if (ngx_terminate || ngx_exiting) {
        return NGX_ABORT;
    }

    if (!zone->hurry
        && ngx_analytics_log_position(&zone->log)
           > zone->log.control->checkpoint + 2 * zone->checkpoint_size)
    {
        zone->hurry = 1;
        return NGX_ABORT;
    }

    ngx_http_analytics_checkpoint_pace(zone);

    return NGX_OK;
}


/* There is no hurry, and others need the processor's caches. */

static void
ngx_http_analytics_checkpoint_pace(void *ctx)
{
    ngx_http_analytics_zone_t *zone = ctx;

    uint64_t         now;
    struct timespec  ts;

    if (zone->hurry || clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts) == -1) {
        return;
    }

    now = (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;

    if (now - zone->rested < NGX_HTTP_ANALYTICS_PACE) {
        return;
    }

    ts.tv_sec = 0;
    ts.tv_nsec = (long) ngx_min((now - zone->rested)
                                * NGX_HTTP_ANALYTICS_REST, 100000000);

    (void) nanosleep(&ts, NULL);

    zone->rested = now;
}


ngx_int_t
ngx_http_analytics_checkpoint_now(ngx_http_analytics_zone_t *zone,
    ngx_analytics_fail_t *fail)
{
    int        fd;
    uint64_t   limit;
    ngx_int_t  rc;

    fd = ngx_http_analytics_lease_wait(zone, "lock.checkpoint", fail);

    if (fd == -1) {
        return NGX_ERROR;
    }

    limit = ngx_analytics_log_position(&zone->log);
    rc = ngx_analytics_log_sync(&zone->log, fail);

    if (rc == NGX_OK) {
        fail->err = 0;
        ngx_memcpy(fail->text, "no checkpoint could be written",
                   sizeof("no checkpoint could be written"));

        zone->checkpoint.limit = limit;
        zone->hurry = 1;

        ngx_http_analytics_checkpoint_make(zone);

        rc = (zone->log.control->checkpoint == limit) ? NGX_OK : NGX_ERROR;
    }

    if (rc == NGX_OK) {
        rc = ngx_http_analytics_checkpoint_alone(zone, limit, fail);
    }

    (void) close(fd);

    return rc;
}


/* Removes those before a position.  NGX_OK or NGX_ERROR. */

static ngx_int_t
ngx_http_analytics_checkpoint_alone(ngx_http_analytics_zone_t *zone,
    uint64_t position, ngx_analytics_fail_t *fail)
{
    char       name[NGX_ANALYTICS_CHECKPOINT_NAME];
    ngx_int_t  rc;

    for ( ;; ) {
        rc = ngx_analytics_checkpoint_before(zone->log.dir, position,
                                             &position);
        if (rc == NGX_DECLINED) {
            return NGX_OK;
        }

        if (rc == NGX_ERROR) {
            ngx_analytics_failed(fail, "listing of", zone->log.path, NULL);
            return NGX_ERROR;
        }

        ngx_analytics_checkpoint_name(name, position);

        if (unlinkat(zone->log.dir, name, 0) == -1) {
            ngx_analytics_failed(fail, "unlink()", zone->log.path, name);
            return NGX_ERROR;
        }
    }
}


void
ngx_http_analytics_checkpoint_last(ngx_http_analytics_zone_t *zone)
{
    uint64_t                  tail;
    ngx_int_t                 rc;
    ngx_analytics_fail_t      fail;
    ngx_analytics_control_t  *control;

    control = zone->log.control;

    if (ngx_analytics_log_sync(&zone->log, &fail) != NGX_OK) {
        (void) ngx_http_analytics_refuse(zone, NULL, 0, &fail);
        return;
    }

    rc = ngx_http_analytics_enter(zone, 1);

    if (rc == NGX_ERROR) {
        return;
    }

    tail = ngx_analytics_log_position(&zone->log);

    if (rc == NGX_OK && control->checkpoint != tail
        && ngx_analytics_zone_position(zone->sh) == tail)
    {
        if (ngx_analytics_checkpoint_write(zone->log.dir, zone->log.path,
                                           control->id, zone->sh,
                                           ngx_http_analytics_now(), NULL,
                                           NULL, &fail)
            == NGX_OK)
        {
            control->checkpoint = tail;

        } else {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, fail.err,
                          "analytics zone \"%V\": no checkpoint was written: "
                          "%s", &zone->name, fail.text);
        }
    }

    ngx_analytics_log_unlock(&zone->log);

    ngx_analytics_log_clean(&zone->log);
}
