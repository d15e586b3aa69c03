
/*
 * The events of one request, stored in slices: of a large body, so that
 * others can append between them, and of a request with keys, which have to
 * be looked up before.
 *
 * A slice is one record of the log.  A body of up to 1 MB is one slice, and so
 * accepted whole or not at all.  Of a larger one a killed process, or a full
 * disk, may leave some slices stored: the answer says so, and a request with
 * an Idempotency-Key goes on behind them when it comes again.
 *
 * In a zone without a log the zone's lock does for both, and a slice is what
 * is folded under it.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"


/* a body of up to so many bytes is one slice; the slices of a larger one */
#define NGX_HTTP_ANALYTICS_WHOLE  (1024 * 1024)
#define NGX_HTTP_ANALYTICS_SLICE  (128 * 1024)

/* what one slice may hold: a record, less its header, padding and a key */
#define NGX_HTTP_ANALYTICS_ONE    (NGX_ANALYTICS_RECORD_MAX - 1024)


static ngx_int_t ngx_http_analytics_slice_plain(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_post_t *post,
    ngx_http_analytics_group_t *slice);
static ngx_int_t ngx_http_analytics_slice_wait(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_post_t *post,
    ngx_http_analytics_group_t *slice);
static ngx_int_t ngx_http_analytics_slice_append(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_post_t *post,
    ngx_http_analytics_group_t *slice, ngx_http_analytics_range_t *range,
    uint64_t seq, int64_t received);
static void ngx_http_analytics_slice_fold(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_range_t *range, uint64_t seq, int64_t received,
    ngx_analytics_record_key_t *key);
static void ngx_http_analytics_slice_end(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post);
static ngx_int_t ngx_http_analytics_slice_recovering(
    ngx_http_analytics_post_t *post);
static void ngx_http_analytics_slice_partial(ngx_http_analytics_post_t *post);


#define ngx_http_analytics_slice_max(post)                                    \
    ((post)->body.len > NGX_HTTP_ANALYTICS_WHOLE                              \
     ? NGX_HTTP_ANALYTICS_SLICE : NGX_HTTP_ANALYTICS_ONE)


ngx_int_t
ngx_http_analytics_slice_all(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post)
{
    uint64_t                    last;
    ngx_int_t                   rc;
    ngx_uint_t                  stored;
    ngx_analytics_fail_t        fail;
    ngx_http_analytics_group_t  slice;

    ngx_memzero(&slice, sizeof(ngx_http_analytics_group_t));

    rc = NGX_OK;

    if (post->keyed && post->body.len > NGX_HTTP_ANALYTICS_WHOLE) {
        rc = ngx_http_analytics_key_check(zone, post);
    }

    while (rc == NGX_OK && post->rest) {

        stored = post->stored;
        last = post->last;

        rc = post->keyed ? ngx_http_analytics_slice_wait(zone, post, &slice)
                         : ngx_http_analytics_slice_plain(zone, post, &slice);

        if (rc == NGX_AGAIN) {

            /* numbers have to be reserved first */

            rc = ngx_analytics_log_sync(&zone->log, &fail);

            if (rc != NGX_OK) {
                rc = ngx_http_analytics_refuse(zone, &post, 1, &fail);
            }

            continue;
        }

        if (rc == NGX_OK && zone->sync == NGX_HTTP_ANALYTICS_SYNC_ALWAYS
            && ngx_http_analytics_ingest_sync(zone, post) != NGX_OK)
        {
            /* this slice is not there any more */

            post->stored = stored;
            post->last = last;
            rc = NGX_ERROR;
        }
    }

    if (slice.record) {
        ngx_free(slice.record);
    }

    if (rc != NGX_OK && post->stored) {
        ngx_http_analytics_slice_partial(post);
    }

    return rc;
}


/* Without keys nearly all of the work is done before the lock is there. */

static ngx_int_t
ngx_http_analytics_slice_plain(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post, ngx_http_analytics_group_t *slice)
{
    int64_t                     received;
    uint64_t                    seq;
    ngx_int_t                   rc;
    ngx_uint_t                  fold;
    ngx_http_analytics_range_t  range;

    ngx_http_analytics_range_take(post, ngx_http_analytics_slice_max(post),
                                  NGX_MAX_UINT32_VALUE, &range);

    if (ngx_http_analytics_range_encode(slice, &range, NULL) != NGX_OK) {
        post->status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        return NGX_ERROR;
    }

    slice->hashed = 0;

    if (ngx_http_analytics_ready(zone)) {
        slice->hashed = zone->shared->rebuilds;
        ngx_http_analytics_range_hash(zone, &range);
    }

    rc = ngx_http_analytics_enter(zone, 1);

    if (rc == NGX_ERROR) {
        return ngx_http_analytics_unlocked(zone, &post, 1);
    }

    fold = (rc == NGX_OK);

    ngx_analytics_log_next(&zone->log, ngx_http_analytics_now(), &seq,
                           &received);

    rc = ngx_http_analytics_slice_append(zone, post, slice, &range, seq,
                                         received);

    if (rc == NGX_OK) {

        if (fold && slice->hashed != zone->shared->rebuilds) {
            ngx_http_analytics_range_hash(zone, &range);
        }

        if (fold) {
            ngx_http_analytics_slice_fold(zone, &range, seq, received, NULL);
        }

        ngx_http_analytics_post_skip(post, range.n);
    }

    ngx_analytics_log_unlock(&zone->log);

    return rc;
}


static ngx_int_t
ngx_http_analytics_slice_wait(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post, ngx_http_analytics_group_t *slice)
{
    ngx_int_t  rc;

    ngx_http_analytics_key_hash(zone, post);

    rc = ngx_http_analytics_enter(zone, 1);

    if (rc == NGX_ERROR) {
        return ngx_http_analytics_unlocked(zone, &post, 1);
    }

    rc = ngx_http_analytics_slice_keyed(zone, post, slice, rc == NGX_OK);

    ngx_analytics_log_unlock(&zone->log);

    return rc;
}


ngx_int_t
ngx_http_analytics_slice_keyed(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post, ngx_http_analytics_group_t *slice,
    ngx_uint_t fold)
{
    int64_t                     received;
    uint64_t                    seq, first, last;
    ngx_int_t                   rc;
    ngx_uint_t                  fresh;
    ngx_analytics_record_key_t  key;
    ngx_http_analytics_range_t  range;

    ngx_http_analytics_key_hash(zone, post);

    if (!fold || ngx_http_analytics_lock(zone) != NGX_OK) {
        return ngx_http_analytics_slice_recovering(post);
    }

    first = post->first;
    last = post->last;

    ngx_analytics_log_next(&zone->log, ngx_http_analytics_now(), &seq,
                           &received);

    fresh = 0;

    rc = ngx_http_analytics_key_request(zone, post, received);

    ngx_http_analytics_unlock(zone);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_analytics_range_take(post, ngx_http_analytics_slice_max(post),
                                  NGX_MAX_UINT32_VALUE, &range);

    rc = ngx_http_analytics_key_range(zone, post, &range, received, &fresh);

    if (rc == NGX_DECLINED) {
        return ngx_http_analytics_slice_recovering(post);
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    if (fresh) {
        ngx_http_analytics_key_numbers(post, seq, seq + fresh - 1);
        post->received = received;
    }

    if (range.n && (fresh || post->key.len)) {
        ngx_http_analytics_key_record(zone, post, post->stored + range.n,
                                      &key);

        if (ngx_http_analytics_range_encode(slice, &range, &key) != NGX_OK) {
            post->status = NGX_HTTP_INTERNAL_SERVER_ERROR;
            return NGX_ERROR;
        }

        rc = ngx_http_analytics_slice_append(zone, post, slice, &range, seq,
                                             received);
        if (rc != NGX_OK) {

            /* these numbers may go to others */

            post->first = first;
            post->last = last;

            return rc;
        }

        ngx_http_analytics_slice_fold(zone, &range, seq, received, &key);
    }

    ngx_http_analytics_slice_end(zone, post);
    ngx_http_analytics_post_skip(post, range.n);

    return NGX_OK;
}


ngx_int_t
ngx_http_analytics_slice_memory(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post)
{
    int64_t                     received;
    uint64_t                    seq;
    ngx_int_t                   rc;
    ngx_uint_t                  fresh;
    ngx_pool_t                 *pool;
    ngx_analytics_record_key_t  key;
    ngx_http_analytics_range_t  range, piece;

    if (post->decode.n > NGX_ANALYTICS_FOLD_MAX
        && ngx_http_analytics_key_check(zone, post) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_analytics_key_hash(zone, post);

    rc = NGX_OK;
    pool = NULL;

    while (rc == NGX_OK && post->rest) {

        ngx_http_analytics_range_take(post, NGX_MAX_SIZE_T_VALUE,
                                      NGX_ANALYTICS_FOLD_MAX, &range);
        ngx_http_analytics_range_points(zone, &range, &pool);

        if (ngx_http_analytics_lock(zone) != NGX_OK) {
            rc = ngx_http_analytics_broken(post);
            break;
        }

        received = ngx_http_analytics_now();
        fresh = 0;

        rc = ngx_http_analytics_key_request(zone, post, received);

        if (rc == NGX_OK) {

            /* some of it may have been taken care of */

            ngx_http_analytics_range_take(post, NGX_MAX_SIZE_T_VALUE,
                                          NGX_ANALYTICS_FOLD_MAX, &range);

            piece = range;
            rc = ngx_http_analytics_key_events(zone, post, &piece, received,
                                               &fresh);
        }

        if (rc == NGX_OK && range.n) {
            seq = ngx_analytics_zone_accept(zone->sh, fresh, received,
                                            &received);

            if (fresh) {
                ngx_http_analytics_key_numbers(post, seq, seq + fresh - 1);
                post->received = received;
            }

            ngx_http_analytics_range_fold_locked(zone, &range, seq, received);

            ngx_http_analytics_key_record(zone, post, post->stored + range.n,
                                          &key);
            ngx_http_analytics_key_fold(zone, &key, received);

            ngx_http_analytics_post_skip(post, range.n);
        }

        ngx_http_analytics_unlock(zone);
    }

    if (pool) {
        ngx_destroy_pool(pool);
    }

    return (rc == NGX_OK) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_analytics_slice_append(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post, ngx_http_analytics_group_t *slice,
    ngx_http_analytics_range_t *range, uint64_t seq, int64_t received)
{
    ngx_int_t             rc;
    ngx_analytics_fail_t  fail;

    ngx_analytics_record_finish(slice->record, slice->len, slice->crc,
                                slice->last, seq, received, slice->events);

    rc = ngx_analytics_log_append(&zone->log, slice->record, slice->len,
                                  slice->events, &fail);

    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }

    if (rc != NGX_OK) {
        return ngx_http_analytics_refuse(zone, &post, 1, &fail);
    }

    if (!post->keyed) {
        ngx_http_analytics_key_numbers(post, seq, seq + slice->events - 1);
        post->received = received;
    }

    ngx_http_analytics_slice_end(zone, post);
    ngx_http_analytics_stored_again(zone);

    return NGX_OK;
}


/* Up to where the log has to be synced, unless it is cut before that. */

static void
ngx_http_analytics_slice_end(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post)
{
    post->epoch = zone->log.control->epoch;
    post->end = ngx_analytics_log_position(&zone->log);
}


/* The record just appended; its end is what makes it folded. */

static void
ngx_http_analytics_slice_fold(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_range_t *range, uint64_t seq, int64_t received,
    ngx_analytics_record_key_t *key)
{
    if (ngx_http_analytics_range_fold(zone, range, seq, received) != NGX_OK
        || ngx_http_analytics_lock(zone) != NGX_OK)
    {
        /* the log has it: whoever mends the zone folds it */

        return;
    }

    if (key) {
        ngx_http_analytics_key_fold(zone, key, received);
    }

    ngx_analytics_zone_advance(zone->sh,
                               ngx_analytics_log_position(&zone->log));

    ngx_http_analytics_unlock(zone);
}


static ngx_int_t
ngx_http_analytics_slice_recovering(ngx_http_analytics_post_t *post)
{
    post->status = NGX_HTTP_SERVICE_UNAVAILABLE;
    post->detail = "the zone is recovering: keys are not known yet";

    return NGX_ERROR;
}


/* Says what was stored of a body before storing failed. */

static void
ngx_http_analytics_slice_partial(ngx_http_analytics_post_t *post)
{
    u_char  *p;
    size_t   len;

    if (post->detail == NULL) {

        /* a conflict with what came in meanwhile */

        post->detail = "an id was used for another event";
    }

    len = sizeof(" events were stored, the last with id ; ")
          + 2 * NGX_INT64_LEN + ngx_strlen(post->detail);

    p = ngx_pnalloc(post->out, len);
    if (p == NULL) {
        return;
    }

    *ngx_snprintf(p, len - 1, "%ui events were stored, the last with id %uL; "
                  "%s", post->stored, post->last, post->detail) = '\0';

    post->detail = (char *) p;
}
