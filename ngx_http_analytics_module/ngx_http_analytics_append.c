
/*
 * From decoded events to the log and the zone, under the append lock: the
 * requests of an event loop, in groups, one record a group.  Large bodies and
 * those with keys go through ngx_http_analytics_slice.c.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"


/* the least buffer */
#define NGX_HTTP_ANALYTICS_ROOM      (128 * 1024)

/* what an event loop reads from the log before it goes on */
#define NGX_HTTP_ANALYTICS_GAP       (256 * 1024)

/* how often an event loop tries to get the append lock: some 20 usec */
#define NGX_HTTP_ANALYTICS_TRIES     16


static ngx_int_t ngx_http_analytics_append_lock(
    ngx_http_analytics_zone_t *zone, ngx_uint_t wait);
static ngx_int_t ngx_http_analytics_append_plain(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_group_t *group,
    ngx_uint_t fold);
static void ngx_http_analytics_append_fold(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_group_t *group, uint64_t seq, int64_t received);


ngx_int_t
ngx_http_analytics_enter(ngx_http_analytics_zone_t *zone, ngx_uint_t wait)
{
    ngx_int_t  rc;
    uint64_t   gap;

    rc = ngx_http_analytics_append_lock(zone, wait);

    if (rc != NGX_OK) {
        return rc;
    }

    if (!ngx_http_analytics_ready(zone)) {
        return NGX_DECLINED;
    }

    gap = ngx_analytics_log_position(&zone->log)
          - ngx_analytics_zone_position(zone->sh);

    if (gap == 0) {
        return NGX_OK;
    }

    /* a holder was killed, or was of another generation */

    if (!wait && gap > NGX_HTTP_ANALYTICS_GAP) {
        ngx_analytics_log_unlock(&zone->log);
        ngx_http_analytics_job_start(&zone->catch_up);
        return NGX_BUSY;
    }

    rc = ngx_http_analytics_catch_up(zone);

    if (rc == NGX_ERROR) {
        ngx_analytics_log_unlock(&zone->log);
    }

    return rc;
}


static ngx_int_t
ngx_http_analytics_append_lock(ngx_http_analytics_zone_t *zone,
    ngx_uint_t wait)
{
    ngx_int_t   rc;
    ngx_uint_t  i, n;

    if (wait) {
        return ngx_analytics_log_lock(&zone->log);
    }

    rc = NGX_BUSY;

    for (i = 0; i < NGX_HTTP_ANALYTICS_TRIES; i++) {
        rc = ngx_analytics_log_trylock(&zone->log);

        if (rc != NGX_BUSY) {
            break;
        }

        for (n = 0; n < 32; n++) {
            ngx_cpu_pause();
        }
    }

    return rc;
}


ngx_int_t
ngx_http_analytics_catch_up(ngx_http_analytics_zone_t *zone)
{
    ngx_analytics_fail_t    fail;
    ngx_analytics_target_t  target;

    ngx_http_analytics_target(zone, &target);

    if (ngx_analytics_replay(&target, zone->log.dir, zone->log.path,
                             ngx_analytics_log_position(&zone->log), &fail)
        == NGX_OK)
    {
        return NGX_OK;
    }

    if (ngx_analytics_short(&fail)) {
        ngx_set_errno(fail.err);
        return NGX_ERROR;
    }

    if (target.missed) {

        /* by another generation, while nobody asked this one for anything */

        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "analytics zone \"%V\" is rebuilt: a user was erased "
                      "before it could be told of whom", &zone->name);

        zone->shared->ready = 0;

        return NGX_DECLINED;
    }

    if (fail.text[0] == '\0') {

        /* somebody else has begun to rebuild it */

        return NGX_DECLINED;
    }

    ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, fail.err,
                  "analytics zone \"%V\" could not catch up with its log and "
                  "is rebuilt: %s", &zone->name, fail.text);

    zone->shared->ready = 0;

    return NGX_DECLINED;
}


/* Everything that can be done before the lock is there. */

ngx_int_t
ngx_http_analytics_append_prepare(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_group_t *group)
{
    u_char                     *p;
    size_t                      size;
    ngx_uint_t                  i, n;
    ngx_analytics_run_t        *run;
    ngx_analytics_event_t      *previous;
    ngx_http_analytics_post_t  *post;

    size = 0;

    for (n = 0; n < group->n; n++) {
        previous = NULL;

        for (run = group->posts[n]->decode.first; run; run = run->next) {
            for (i = 0; i < run->n; i++) {
                size += ngx_http_analytics_append_size(&run->events[i],
                                                       previous);
                previous = &run->events[i];
            }
        }
    }

    if (ngx_http_analytics_append_room(group, size) != NGX_OK) {
        return NGX_ERROR;
    }

    p = group->record + NGX_ANALYTICS_RECORD_HEADER;

    group->events = 0;
    group->hashed = ngx_http_analytics_ready(zone)
                    ? zone->shared->rebuilds : 0;

    for (n = 0; n < group->n; n++) {
        post = group->posts[n];
        previous = NULL;

        for (run = post->decode.first; run; run = run->next) {

            for (i = 0; i < run->n; i++) {
                p = ngx_analytics_record_event_write(p, &run->events[i],
                                                     previous);
                previous = &run->events[i];
            }

            if (group->hashed) {
                ngx_analytics_zone_hash(zone->sh, run->events, run->n);
                ngx_analytics_zone_points(zone->sh, run->events, run->n,
                                          ngx_http_analytics_palloc,
                                          post->pool);
            }
        }

        group->events += post->decode.n;
    }

    group->last = p;
    group->len = ngx_analytics_record_pad(group->record, p, &group->crc);

    return NGX_OK;
}


size_t
ngx_http_analytics_append_size(ngx_analytics_event_t *event,
    ngx_analytics_event_t *previous)
{
    size_t  size;

    size = ngx_analytics_record_event_size(event);

    if (previous == NULL) {
        return size;
    }

    /* what is the same is written once */

    if (event->user.len == previous->user.len
        && ngx_memcmp(event->user.data, previous->user.data, event->user.len)
           == 0)
    {
        size -= event->user.len;
    }

    if (event->type.len == previous->type.len
        && ngx_memcmp(event->type.data, previous->type.data, event->type.len)
           == 0)
    {
        size -= event->type.len;
    }

    return size;
}


/* Makes room for a payload of that size. */

ngx_int_t
ngx_http_analytics_append_room(ngx_http_analytics_group_t *group, size_t size)
{
    size += NGX_ANALYTICS_RECORD_HEADER + 8;

    if (size > NGX_ANALYTICS_RECORD_MAX) {
        return NGX_ERROR;
    }

    if (size <= group->size) {
        return NGX_OK;
    }

    size = ngx_max(size, NGX_HTTP_ANALYTICS_ROOM);

    if (group->record) {
        ngx_free(group->record);
        group->size = 0;
    }

    group->record = ngx_alloc(size, ngx_cycle->log);
    if (group->record == NULL) {
        return NGX_ERROR;
    }

    group->size = size;

    return NGX_OK;
}


ngx_int_t
ngx_http_analytics_append(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_group_t *group)
{
    ngx_int_t                   rc;
    ngx_uint_t                  fold;
    ngx_http_analytics_post_t  *post;

    post = group->posts[0];

    if (post->keyed) {
        ngx_http_analytics_key_hash(zone, post);
    }

    rc = ngx_http_analytics_enter(zone, 0);

    if (rc == NGX_BUSY) {
        return NGX_BUSY;
    }

    if (rc == NGX_ERROR) {
        return ngx_http_analytics_unlocked(zone, group->posts, group->n);
    }

    fold = (rc == NGX_OK);

    rc = post->keyed ? ngx_http_analytics_slice_keyed(zone, post, group, fold)
                     : ngx_http_analytics_append_plain(zone, group, fold);

    ngx_analytics_log_unlock(&zone->log);

    if (rc == NGX_AGAIN) {

        /* numbers have to be reserved first */

        ngx_http_analytics_job_start(&zone->sync_job);
        return NGX_BUSY;
    }

    if (rc == NGX_OK && post->keyed && post->rest) {

        /* there is another slice */

        return NGX_BUSY;
    }

    return rc;
}


/* NGX_AGAIN: the log is to be synced first. */

static ngx_int_t
ngx_http_analytics_append_plain(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_group_t *group, ngx_uint_t fold)
{
    int64_t                     received;
    uint64_t                    seq, end;
    ngx_int_t                   rc;
    ngx_uint_t                  i;
    ngx_analytics_fail_t        fail;
    ngx_http_analytics_post_t  *post;

    ngx_analytics_log_next(&zone->log, ngx_http_analytics_now(), &seq,
                           &received);

    ngx_analytics_record_finish(group->record, group->len, group->crc,
                                group->last, seq, received, group->events);

    rc = ngx_analytics_log_append(&zone->log, group->record, group->len,
                                  group->events, &fail);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (rc != NGX_OK) {
        return ngx_http_analytics_refuse(zone, group->posts, group->n, &fail);
    }

    if (fold) {
        ngx_http_analytics_append_fold(zone, group, seq, received);
    }

    ngx_http_analytics_stored_again(zone);

    end = ngx_analytics_log_position(&zone->log);

    for (i = 0; i < group->n; i++) {
        post = group->posts[i];

        post->first = seq;
        post->last = seq + post->decode.n - 1;
        post->received = received;
        post->end = end;
        post->epoch = zone->log.control->epoch;
        post->stored = post->decode.n;

        seq += post->decode.n;
    }

    return NGX_OK;
}


static void
ngx_http_analytics_append_fold(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_group_t *group, uint64_t seq, int64_t received)
{
    ngx_uint_t            i, n;
    ngx_analytics_run_t  *run;

    n = 0;

    if (ngx_http_analytics_lock(zone) != NGX_OK) {

        /* the log has it: whoever mends the zone folds it */

        return;
    }

    for (i = 0; i < group->n; i++) {
        for (run = group->posts[i]->decode.first; run; run = run->next) {

            if (group->hashed != zone->shared->rebuilds) {
                ngx_analytics_zone_hash(zone->sh, run->events, run->n);
            }

            if (n + run->n > NGX_ANALYTICS_FOLD_MAX) {

                /* others want to read */

                ngx_http_analytics_unlock(zone);

                if (ngx_http_analytics_lock(zone) != NGX_OK) {
                    return;
                }

                n = 0;
            }

            n += run->n;

            seq = ngx_analytics_zone_fold(zone->sh, run->events, run->n, seq,
                                          received);
        }
    }

    ngx_analytics_zone_advance(zone->sh,
                               ngx_analytics_log_position(&zone->log));

    ngx_http_analytics_unlock(zone);
}
