
/*
 * Makes metrics complete that were declared when there were events already:
 * what these add is read from the log, segment by segment from its end, and
 * appended to it.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_http_analytics_metrics.h"
#include "ngx_analytics_refold_log.h"


/* msec, between two looks */
#define NGX_HTTP_ANALYTICS_REFOLD_PAUSE  2000


typedef struct {
    ngx_http_analytics_zone_t   *zone;
    ngx_analytics_refold_log_t  *job;
    uint64_t                     position;
    ngx_int_t                    rc;
    ngx_analytics_fail_t        *fail;
} ngx_http_analytics_refold_ctx_t;


static void ngx_http_analytics_refold_work(ngx_http_analytics_zone_t *zone);
static void ngx_http_analytics_refold_settle(ngx_http_analytics_zone_t *zone);
static ngx_int_t ngx_http_analytics_refold_next(
    ngx_http_analytics_zone_t *zone, ngx_analytics_refold_log_t *job,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_http_analytics_refold_wanted(
    ngx_http_analytics_zone_t *zone, ngx_analytics_refold_log_t *job);
static ngx_int_t ngx_http_analytics_refold_where(
    ngx_http_analytics_zone_t *zone, uint64_t before, uint64_t *position,
    ngx_analytics_fail_t *fail);
static void ngx_http_analytics_refold_read(void *data);
static ngx_int_t ngx_http_analytics_refold_append(
    ngx_http_analytics_zone_t *zone, ngx_analytics_refold_log_t *job,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_http_analytics_refold_record(
    ngx_http_analytics_zone_t *zone, ngx_analytics_record_refold_t *refold,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_http_analytics_refold_clear(void *ctx);
static ngx_int_t ngx_http_analytics_refold_progress(void *ctx);


ngx_uint_t
ngx_http_analytics_refold_due(ngx_http_analytics_zone_t *zone)
{
    return zone->metrics->sources.nelts
           && ngx_current_msec - zone->refolded
              >= NGX_HTTP_ANALYTICS_REFOLD_PAUSE;
}


void
ngx_http_analytics_refold_run(ngx_http_analytics_zone_t *zone)
{
    int  fd;

    zone->refold.rc = NGX_OK;

    if (ngx_exiting || ngx_terminate) {
        return;
    }

    fd = ngx_http_analytics_lease(zone, "lock.refold");

    if (fd == -1) {
        return;
    }

    ngx_http_analytics_refold_work(zone);

    (void) close(fd);
}


static void
ngx_http_analytics_refold_work(ngx_http_analytics_zone_t *zone)
{
    ngx_int_t                         rc;
    ngx_analytics_fail_t              fail;
    ngx_analytics_refold_t            wanted;
    ngx_analytics_refold_log_t        job;
    ngx_http_analytics_refold_ctx_t   ctx;

    ngx_memzero(&job, sizeof(ngx_analytics_refold_log_t));

    job.wanted = &wanted;

    ctx.zone = zone;
    ctx.job = &job;

    job.dir = zone->log.dir;
    job.path = zone->log.path;
    job.conf.types = zone->types;
    job.conf.key[0] = zone->log.control->key[0];
    job.conf.key[1] = zone->log.control->key[1];
    job.clear = ngx_http_analytics_refold_clear;
    job.progress = ngx_http_analytics_refold_progress;
    job.ctx = &ctx;

    fail.text[0] = '\0';

    ngx_http_analytics_refold_settle(zone);

    do {
        rc = ngx_http_analytics_refold_next(zone, &job, &fail);
    } while (rc == NGX_OK);

    if (job.memory) {
        (void) munmap(job.memory, job.size);
    }

    if (rc == NGX_ERROR) {
        zone->refold.rc = NGX_ERROR;
    }

    if (rc == NGX_ERROR && fail.text[0]) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, fail.err,
                      "analytics zone \"%V\": metrics could not be completed: "
                      "%s", &zone->name, fail.text);
    }
}


/* What was given up has to be cleared, also where no events come in. */

static void
ngx_http_analytics_refold_settle(ngx_http_analytics_zone_t *zone)
{
    ngx_int_t  rc;

    do {
        if (ngx_exiting || ngx_terminate
            || !ngx_http_analytics_ready(zone)
            || ngx_http_analytics_lock(zone) != NGX_OK)
        {
            return;
        }

        rc = ngx_analytics_zone_settle(zone->sh);

        ngx_http_analytics_unlock(zone);

    } while (rc == NGX_AGAIN);
}


/* One segment.  NGX_DONE: nothing lacks, or the log does not have it. */

static ngx_int_t
ngx_http_analytics_refold_next(ngx_http_analytics_zone_t *zone,
    ngx_analytics_refold_log_t *job, ngx_analytics_fail_t *fail)
{
    char                             *text;
    uint64_t                          position;
    ngx_int_t                         rc;
    ngx_http_analytics_refold_ctx_t  *ctx;

    position = 0;
    rc = ngx_http_analytics_refold_wanted(zone, job);

    if (rc == NGX_OK) {
        rc = ngx_http_analytics_refold_where(zone, job->wanted->from,
                                             &position, fail);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    /* of the configuration, by which the zone folds */

    text = ngx_analytics_refold_rules(zone->metrics->rules, job->wanted);

    if (text == NULL) {
        return NGX_ERROR;
    }

    job->program.text = text;
    job->program.len = ngx_strlen(text);
    job->program.signature = ngx_analytics_rules_signature(text,
                                                        job->program.len);
    job->now = ngx_http_analytics_now();
    job->end = ngx_analytics_log_position(&zone->log);

    /* all but this takes locks that others wait for */

    ctx = job->ctx;

    ctx->position = position;
    ctx->rc = NGX_ERROR;
    ctx->fail = fail;

    ngx_http_analytics_job_aside(ngx_http_analytics_refold_read, ctx, 1);

    free(text);

    if (ctx->rc != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_analytics_refold_append(zone, job, fail);

    ngx_analytics_refold_free(job);

    return rc;
}


static ngx_int_t
ngx_http_analytics_refold_wanted(ngx_http_analytics_zone_t *zone,
    ngx_analytics_refold_log_t *job)
{
    ngx_int_t  rc;

    if (ngx_exiting || ngx_terminate
        || !ngx_http_analytics_ready(zone)
        || ngx_http_analytics_lock(zone) != NGX_OK)
    {
        return NGX_DONE;
    }

    rc = ngx_analytics_zone_program_is(zone->sh, &zone->program)
         ? ngx_analytics_refold_wanted(zone->sh, job->wanted) : NGX_DECLINED;

    ngx_http_analytics_unlock(zone);

    return (rc == NGX_OK) ? NGX_OK : NGX_DONE;
}


/* The last segment that has an event before that number. */

static ngx_int_t
ngx_http_analytics_refold_where(ngx_http_analytics_zone_t *zone,
    uint64_t before, uint64_t *position, ngx_analytics_fail_t *fail)
{
    uint64_t                 *positions;
    ngx_int_t                 rc;
    ngx_uint_t                n;
    ngx_analytics_segment_t   segment;

    if (ngx_analytics_segments(zone->log.dir, zone->log.path, &positions, &n,
                               fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (rc = NGX_DONE; n > 0; n--) {

        rc = ngx_analytics_segment_look(zone->log.dir, zone->log.path,
                                        positions[n - 1], &segment, fail);

        if (rc == NGX_ERROR) {
            break;
        }

        if (rc == NGX_OK && segment.seq < before) {
            *position = positions[n - 1];
            break;
        }

        rc = NGX_DONE;
    }

    free(positions);

    return rc;
}


static void
ngx_http_analytics_refold_read(void *data)
{
    ngx_http_analytics_refold_ctx_t *ctx = data;

    ctx->rc = ngx_analytics_refold_segment(ctx->job, ctx->position,
                                           ctx->job->wanted->from, ctx->fail);
}


static ngx_int_t
ngx_http_analytics_refold_append(ngx_http_analytics_zone_t *zone,
    ngx_analytics_refold_log_t *job, ngx_analytics_fail_t *fail)
{
    ngx_analytics_refold_piece_t  *piece;

    if (job->pieces == NULL) {
        return NGX_DONE;
    }

    for (piece = job->pieces; piece; piece = piece->next) {

        if (ngx_exiting || ngx_terminate) {
            return NGX_DONE;
        }

        if (ngx_http_analytics_refold_record(zone, &piece->refold, fail)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_refold_record(ngx_http_analytics_zone_t *zone,
    ngx_analytics_record_refold_t *refold, ngx_analytics_fail_t *fail)
{
    size_t      len;
    u_char     *p, *record;
    int64_t     received;
    uint64_t    seq;
    uint32_t    crc;
    ngx_int_t   rc;

    record = ngx_alloc(NGX_ANALYTICS_RECORD_HEADER + NGX_ANALYTICS_RECORD_REFOLD
                       + refold->entries.len + 8, ngx_cycle->log);

    if (record == NULL) {
        return NGX_ERROR;
    }

    p = ngx_analytics_record_refold_write(record + NGX_ANALYTICS_RECORD_HEADER,
                                          refold);
    p = ngx_cpymem(p, refold->entries.data, refold->entries.len);
    len = ngx_analytics_record_pad(record, p, &crc);

    rc = ngx_http_analytics_enter(zone, 1);

    if (rc == NGX_ERROR) {
        ngx_analytics_failed(fail, "locking", zone->log.path, "control");
        ngx_free(record);
        return NGX_ERROR;
    }

    ngx_analytics_log_next(&zone->log, ngx_http_analytics_now(), &seq,
                           &received);
    ngx_analytics_record_finish(record, len, crc, p, seq, received, 0);

    rc = ngx_analytics_log_append(&zone->log, record, len, 0, fail);

    if (rc == NGX_OK) {
        rc = ngx_http_analytics_catch_up(zone);
    }

    ngx_analytics_log_unlock(&zone->log);

    ngx_free(record);

    return (rc == NGX_OK) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_analytics_refold_clear(void *ctx)
{
    ngx_http_analytics_refold_ctx_t *c = ctx;

    if (c->job->memory) {
        (void) munmap(c->job->memory, c->job->size);
    }

    c->job->size = c->zone->shared->size;
    c->job->memory = mmap(NULL, c->job->size, PROT_READ|PROT_WRITE,
                          MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0);

    if (c->job->memory == MAP_FAILED) {
        c->job->memory = NULL;
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_refold_progress(void *ctx)
{
    return (ngx_exiting || ngx_terminate) ? NGX_ABORT : NGX_OK;
}
