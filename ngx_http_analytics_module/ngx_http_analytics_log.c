
/*
 * A zone's log in a worker process: attaching to it, syncing it, and what has
 * to be done now and then.
 *
 * Whatever may block is a job for a thread; the event loop starts it and is
 * told when it is done.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_alerts.h"


#define NGX_HTTP_ANALYTICS_TICK      100         /* msec, until all is ready */
#define NGX_HTTP_ANALYTICS_TICK_MAX  1000

/* for users to be erased, msec */
#define NGX_HTTP_ANALYTICS_LOOK      5000

/* the namespace of process ids */
#define NGX_HTTP_ANALYTICS_SPACE     "/proc/self/ns/pid"


static void ngx_http_analytics_tick(ngx_event_t *ev);
static void ngx_http_analytics_tick_ready(ngx_http_analytics_zone_t *zone);
static void ngx_http_analytics_attach_run(ngx_http_analytics_zone_t *zone);
static void ngx_http_analytics_attach_tell(ngx_analytics_log_t *log,
    const char *text);
static void ngx_http_analytics_attach_done(ngx_http_analytics_zone_t *zone);
static void ngx_http_analytics_attach_failed(ngx_http_analytics_zone_t *zone);
static void ngx_http_analytics_catch_up_run(ngx_http_analytics_zone_t *zone);
static void ngx_http_analytics_sync_run(ngx_http_analytics_zone_t *zone);
static void ngx_http_analytics_sync_done(ngx_http_analytics_zone_t *zone);
static void ngx_http_analytics_publish(ngx_http_analytics_zone_t *zone);
static ngx_uint_t ngx_http_analytics_owner(ngx_http_analytics_zone_t *zone);
static void ngx_http_analytics_log_taken(ngx_http_analytics_zone_t *zone,
    ngx_log_t *log);
static void ngx_http_analytics_log_ids(ngx_http_analytics_zone_t *zone);


ngx_pid_t  ngx_http_analytics_master_parent;

static ngx_connection_t  ngx_http_analytics_tick_connection;


void
ngx_http_analytics_log_init(ngx_http_analytics_zone_t *zone)
{
    ngx_analytics_log_t  *log;

    log = &zone->log;

    ngx_memzero(log, sizeof(ngx_analytics_log_t));

    log->segment_size = zone->segment_size;
    log->zone = zone->shared->id;
    log->always = (zone->sync == NGX_HTTP_ANALYTICS_SYNC_ALWAYS);
    log->tell = ngx_http_analytics_attach_tell;

    ngx_http_analytics_log_ids(zone);

    if (ngx_http_analytics_job_init(zone, &zone->attach,
                                    ngx_http_analytics_attach_run,
                                    ngx_http_analytics_attach_done)
        != NGX_OK
        || ngx_http_analytics_job_init(zone, &zone->recovery,
                                       ngx_http_analytics_recovery_run,
                                       NULL)
           != NGX_OK
        || ngx_http_analytics_job_init(zone, &zone->catch_up,
                                       ngx_http_analytics_catch_up_run,
                                       NULL)
           != NGX_OK
        || ngx_http_analytics_job_init(zone, &zone->sync_job,
                                       ngx_http_analytics_sync_run,
                                       ngx_http_analytics_sync_done)
           != NGX_OK
        || ngx_http_analytics_job_init(zone, &zone->checkpoint,
                                       ngx_http_analytics_checkpoint_run,
                                       NULL)
           != NGX_OK
        || ngx_http_analytics_job_init(zone, &zone->store_job,
                                       ngx_http_analytics_store_run,
                                       NULL)
           != NGX_OK
        || ngx_http_analytics_job_init(zone, &zone->erasing,
                                       ngx_http_analytics_erasing_run, NULL)
           != NGX_OK
        || ngx_http_analytics_job_init(zone, &zone->refold,
                                       ngx_http_analytics_refold_run, NULL)
           != NGX_OK
        || ngx_http_analytics_alerting_init(zone) != NGX_OK
        || ngx_http_analytics_pseudonyms_init(zone) != NGX_OK)
    {
        zone->failed = NGX_ENOMEM;
        return;
    }

    ngx_http_analytics_tick_connection.fd = (ngx_socket_t) -1;

    zone->tick.handler = ngx_http_analytics_tick;
    zone->tick.data = &ngx_http_analytics_tick_connection;
    zone->tick.log = ngx_cycle->log;
    zone->tick.cancelable = 1;

    zone->synced = ngx_current_msec;
    zone->looked = ngx_current_msec - NGX_HTTP_ANALYTICS_LOOK;

    ngx_add_timer(&zone->tick, NGX_HTTP_ANALYTICS_TICK);

    ngx_http_analytics_job_start(&zone->attach);
}


/*
 * Whose process this is.  A master's parent is asked for before a worker has
 * one of its own.
 */

static void
ngx_http_analytics_log_ids(ngx_http_analytics_zone_t *zone)
{
    ngx_file_info_t       fi;
    ngx_analytics_log_t  *log;

    log = &zone->log;

    log->path = (char *) zone->path->name.data;
    log->master = (ngx_process == NGX_PROCESS_WORKER) ? ngx_parent : ngx_pid;
    log->master_parent = ngx_http_analytics_master_parent;

    /* in two containers, both masters may have the number 1 */

    log->space = (ngx_file_info((u_char *) NGX_HTTP_ANALYTICS_SPACE, &fi)
                  != NGX_FILE_ERROR)
                 ? fi.st_ino : 0;
}


ngx_int_t
ngx_http_analytics_log_probe(ngx_http_analytics_zone_t *zone, ngx_log_t *log)
{
    if (zone->path == NULL || ngx_test_config) {
        return NGX_OK;
    }

    /* a parent counts if it is an nginx, too */

    ngx_http_analytics_master_parent = ngx_inherited ? ngx_parent : 0;

    ngx_http_analytics_log_ids(zone);

    if (ngx_analytics_log_probe(&zone->log) == NGX_OK) {
        return NGX_OK;
    }

    ngx_http_analytics_log_taken(zone, log);

    return NGX_ERROR;
}


static void
ngx_http_analytics_log_taken(ngx_http_analytics_zone_t *zone, ngx_log_t *log)
{
    ngx_log_error(NGX_LOG_EMERG, log, 0,
                  "the directory \"%V\" of analytics zone \"%V\" is used by "
                  "another nginx, whose master process is %L%s",
                  &zone->path->name, &zone->name, zone->log.owner,
                  zone->log.elsewhere ? " of another container" : "");
}


static void
ngx_http_analytics_tick(ngx_event_t *ev)
{
    ngx_msec_t                  next;
    ngx_http_analytics_zone_t  *zone;

    zone = (ngx_http_analytics_zone_t *)
               ((u_char *) ev - offsetof(ngx_http_analytics_zone_t, tick));

    next = NGX_HTTP_ANALYTICS_TICK;

    if (!zone->attached) {
        ngx_http_analytics_job_start(&zone->attach);

        if (zone->failed) {
            next = NGX_HTTP_ANALYTICS_TICK_MAX;
        }

    } else {

        if (!ngx_http_analytics_ready(zone)) {

            /* who is about to leave has no time for it */

            if (!ngx_exiting) {
                ngx_http_analytics_job_start(&zone->recovery);
            }

        } else {
            ngx_http_analytics_publish(zone);

            next = (zone->sync == NGX_HTTP_ANALYTICS_SYNC_TIME)
                   ? ngx_min(zone->sync_time, NGX_HTTP_ANALYTICS_TICK_MAX)
                   : NGX_HTTP_ANALYTICS_TICK_MAX;

            if (ngx_http_analytics_store_soon(zone)) {
                next = ngx_min(next, NGX_HTTP_ANALYTICS_TICK);
            }
        }

        ngx_http_analytics_tick_ready(zone);
    }

    /* also while exiting: the timer may be cancelled */

    ngx_add_timer(ev, next);
}


static void
ngx_http_analytics_tick_ready(ngx_http_analytics_zone_t *zone)
{
    uint64_t                  tail;
    ngx_msec_t                wait;
    ngx_analytics_control_t  *control;

    control = zone->log.control;
    tail = ngx_analytics_log_position(&zone->log);

    wait = (zone->sync == NGX_HTTP_ANALYTICS_SYNC_TIME)
           ? zone->sync_time : NGX_HTTP_ANALYTICS_TICK_MAX;

    if (control->failed) {

        /* until it succeeds nothing is taken */

        wait = ngx_min(wait, NGX_HTTP_ANALYTICS_TICK_MAX);
    }

    if ((control->failed
         || (zone->sync == NGX_HTTP_ANALYTICS_SYNC_TIME
             && ngx_analytics_log_synced(&zone->log) < tail))
        && ngx_current_msec - zone->synced >= wait)
    {
        zone->synced = ngx_current_msec;
        ngx_http_analytics_job_start(&zone->sync_job);
    }

    if (!ngx_http_analytics_ready(zone)) {
        return;
    }

    /* what was appended by somebody who did not live to fold it */

    if (ngx_analytics_zone_position(zone->sh) < tail) {
        ngx_http_analytics_job_start(&zone->catch_up);
    }

    if (ngx_exiting) {
        return;
    }

    if (ngx_http_analytics_checkpoint_due(zone)) {
        ngx_http_analytics_job_start(&zone->checkpoint);
    }

    ngx_http_analytics_pseudonyms_tick(zone);

    if (!ngx_exiting && ngx_http_analytics_store_due(zone)) {
        zone->stored = ngx_current_msec;
        ngx_http_analytics_job_start(&zone->store_job);
    }

    if (ngx_http_analytics_refold_due(zone)) {
        zone->refolded = ngx_current_msec;
        ngx_http_analytics_job_start(&zone->refold);
    }

    ngx_http_analytics_alerting_tick(zone);

    /* what somebody began who did not live to end it */

    if (ngx_current_msec - zone->looked >= NGX_HTTP_ANALYTICS_LOOK) {
        zone->looked = ngx_current_msec;
        ngx_http_analytics_job_start(&zone->erasing);
    }
}


static void
ngx_http_analytics_attach_run(ngx_http_analytics_zone_t *zone)
{
    zone->attach.rc = ngx_analytics_log_attach(&zone->log,
                                               &zone->attach.fail);

    if (zone->attach.rc != NGX_OK
        || ngx_http_analytics_pseudonyms_load(zone, &zone->attach.fail)
           == NGX_OK)
    {
        return;
    }

    /* it is tried again from the beginning */

    ngx_analytics_log_close(&zone->log);

    zone->attach.rc = NGX_ERROR;
}


static void
ngx_http_analytics_attach_tell(ngx_analytics_log_t *log, const char *text)
{
    ngx_http_analytics_zone_t  *zone;

    zone = (ngx_http_analytics_zone_t *)
               ((u_char *) log - offsetof(ngx_http_analytics_zone_t, log));

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "analytics zone \"%V\": %s", &zone->name, text);
}


static void
ngx_http_analytics_attach_done(ngx_http_analytics_zone_t *zone)
{
    uint64_t              base;
    ngx_analytics_log_t  *log;

    log = &zone->log;

    if (zone->attach.rc != NGX_OK) {
        ngx_http_analytics_attach_failed(zone);
        return;
    }

    if (log->cut_to > log->cut_from) {
        /* a new segment may start where the old one was cut */

        base = ngx_http_analytics_segment(zone, log->cut_from - 1);

        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "analytics zone \"%V\": %uL bytes at the end of the log "
                      "in \"%V\", from offset %uL of %020uL.log, are no whole "
                      "record and were cut off", &zone->name,
                      log->cut_to - log->cut_from, &zone->path->name,
                      log->cut_from - base, base);
    }

    if (log->lost) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "analytics zone \"%V\": the log in \"%V\" is a copy, or "
                      "was not closed before the machine stopped; ids go on at "
                      "%uL",
                      &zone->name, &zone->path->name,
                      ngx_analytics_log_tail(log)->seq);
    }

    ngx_http_analytics_pseudonyms_loaded(zone);

    zone->failed = 0;
    zone->attached = 1;

    ngx_http_analytics_stored_again(zone);

    if (!ngx_http_analytics_ready(zone)) {
        ngx_http_analytics_job_start(&zone->recovery);

    } else {
        ngx_http_analytics_publish(zone);
    }
}


static void
ngx_http_analytics_attach_failed(ngx_http_analytics_zone_t *zone)
{
    ngx_analytics_fail_t  *fail;

    fail = &zone->attach.fail;

    if (zone->attach.rc == NGX_BUSY) {

        if (zone->failed != NGX_EBUSY) {
            ngx_http_analytics_log_taken(zone, ngx_cycle->log);
        }

        zone->failed = NGX_EBUSY;
        return;
    }

    zone->failed = fail->err ? fail->err : -1;

    ngx_http_analytics_trouble(zone, fail);
}


static void
ngx_http_analytics_catch_up_run(ngx_http_analytics_zone_t *zone)
{
    ngx_int_t  rc;

    rc = ngx_http_analytics_enter(zone, 1);

    if (rc == NGX_OK || rc == NGX_DECLINED) {
        ngx_analytics_log_unlock(&zone->log);
    }
}


static void
ngx_http_analytics_sync_run(ngx_http_analytics_zone_t *zone)
{
    zone->sync_job.rc = ngx_analytics_log_sync(&zone->log,
                                               &zone->sync_job.fail);
}


static void
ngx_http_analytics_sync_done(ngx_http_analytics_zone_t *zone)
{
    if (zone->sync_job.rc != NGX_OK) {
        ngx_http_analytics_trouble(zone, &zone->sync_job.fail);
    }

    ngx_http_analytics_ingest_synced(zone, zone->sync_job.rc);
}


/*
 * Has the zone fold as this configuration says: the log tells all who fold
 * it, in which place.
 */

static void
ngx_http_analytics_publish(ngx_http_analytics_zone_t *zone)
{
    ngx_int_t  rc;

    if (ngx_exiting
        || (zone->log.control->owner == zone->log.master
            && ngx_analytics_zone_program_is(zone->sh, &zone->program)))
    {
        return;
    }

    rc = ngx_http_analytics_enter(zone, 0);

    if (rc == NGX_BUSY || rc == NGX_ERROR) {
        return;
    }

    if (rc == NGX_OK) {
        ngx_http_analytics_publish_locked(zone);
    }

    ngx_analytics_log_unlock(&zone->log);
}


void
ngx_http_analytics_publish_locked(ngx_http_analytics_zone_t *zone)
{
    if (!ngx_exiting && ngx_http_analytics_owner(zone)
        && !ngx_analytics_zone_program_is(zone->sh, &zone->program))
    {
        ngx_http_analytics_log_program(zone);
    }
}


void
ngx_http_analytics_log_program(ngx_http_analytics_zone_t *zone)
{
    size_t                  len;
    u_char                 *p, *record;
    int64_t                 received;
    uint64_t                seq;
    uint32_t                crc;
    ngx_analytics_fail_t    fail;

    record = ngx_alloc(NGX_ANALYTICS_RECORD_HEADER + 8
                       + ngx_analytics_record_program_size(&zone->program),
                       ngx_cycle->log);

    if (record == NULL) {
        return;
    }

    p = ngx_analytics_record_program_write(
                    record + NGX_ANALYTICS_RECORD_HEADER, &zone->program);
    len = ngx_analytics_record_pad(record, p, &crc);

    ngx_analytics_log_next(&zone->log, ngx_http_analytics_now(), &seq,
                           &received);
    ngx_analytics_record_finish(record, len, crc, p, seq, received, 0);

    if (ngx_analytics_log_append(&zone->log, record, len, 0, &fail) == NGX_OK)
    {
        (void) ngx_http_analytics_catch_up(zone);
    }

    ngx_free(record);
}


/*
 * Whether the directory is this master's: where a new binary runs beside the
 * old one, it is the new one's, until that has gone.
 */

static ngx_uint_t
ngx_http_analytics_owner(ngx_http_analytics_zone_t *zone)
{
    ngx_analytics_log_t      *log;
    ngx_analytics_control_t  *control;

    log = &zone->log;
    control = log->control;

    if (control->owner != log->master
        && kill((ngx_pid_t) control->owner, 0) == -1 && ngx_errno == NGX_ESRCH)
    {
        control->owner_parent = log->master_parent;
        control->owner = log->master;
    }

    return control->owner == log->master;
}


ngx_uint_t
ngx_http_analytics_ready(ngx_http_analytics_zone_t *zone)
{
    ngx_analytics_control_t  *control;

    if (zone->path == NULL) {
        return 1;
    }

    control = zone->log.control;

    /*
     * A directory that was put in the place of another one may hold a copy of
     * the same log: what tells them apart is the file.
     */

    return zone->attached
           && zone->shared->ready == control->epoch
           && ngx_memcmp(zone->shared->log, control->file,
                         sizeof(control->file))
              == 0;
}


/* The threads are gone already. */

void
ngx_http_analytics_log_exit(ngx_http_analytics_zone_t *zone)
{
    ngx_analytics_fail_t  fail;

    ngx_http_analytics_alerting_exit(zone);

    if (!zone->attached) {

        if (!zone->attach.busy) {
            ngx_analytics_log_close(&zone->log);
        }

        return;
    }

    if (ngx_analytics_log_leave(&zone->log) == NGX_OK) {
        ngx_http_analytics_checkpoint_last(zone);

    } else if (zone->sync != NGX_HTTP_ANALYTICS_SYNC_OFF
               && ngx_analytics_log_sync(&zone->log, &fail) != NGX_OK)
    {
        ngx_http_analytics_trouble(zone, &fail);
    }

    ngx_analytics_log_close(&zone->log);
}
