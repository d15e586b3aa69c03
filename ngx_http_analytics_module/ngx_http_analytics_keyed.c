
/*
 * Requests that may come again: what their keys say was stored before.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_analytics_fault.h"
#include "ngx_analytics_fields.h"

#include <openssl/evp.h>


static ngx_uint_t ngx_http_analytics_key_same(
    ngx_http_analytics_zone_t *zone, ngx_analytics_event_t *event,
    ngx_analytics_key_t *key);
static ngx_int_t ngx_http_analytics_key_conflict(
    ngx_http_analytics_post_t *post, ngx_uint_t index);


/* Looks for the header.  Returns NGX_OK, or NGX_DECLINED if it is no good. */

ngx_int_t
ngx_http_analytics_key_header(ngx_http_analytics_post_t *post)
{
    ngx_table_elt_t            *h;
    ngx_http_analytics_walk_t   walk;

    static ngx_str_t  name = ngx_string("idempotency-key");

    ngx_memzero(&walk, sizeof(ngx_http_analytics_walk_t));

    for ( ;; ) {
        h = ngx_http_analytics_header_next(post->request, &name, &walk);

        if (h == NULL) {
            return NGX_OK;
        }

        if (h->value.len == 0 || h->value.len > NGX_ANALYTICS_NAME_MAX
            || post->key.len)
        {
            return NGX_DECLINED;
        }

        post->key = h->value;
        post->keyed = 1;
    }
}


/* To be called when the body is loaded and decoded; also on a thread. */

ngx_int_t
ngx_http_analytics_key_init(ngx_http_analytics_post_t *post)
{
    u_char                 md[EVP_MAX_MD_SIZE];
    ngx_uint_t              i;
    ngx_analytics_run_t    *run;

    post->rest = post->decode.first;
    post->i = 0;

    if (post->key.len) {

        if (EVP_Digest(post->body.data, post->body.len, md, NULL,
                       EVP_sha256(), NULL)
            != 1)
        {
            return NGX_ERROR;
        }

        ngx_memcpy(post->digest, md, NGX_ANALYTICS_DIGEST);
    }

    if (post->keyed || post->decode.format->id.len == 0) {
        return NGX_OK;
    }

    for (run = post->decode.first; run; run = run->next) {
        for (i = 0; i < run->n; i++) {

            if (run->events[i].id.len) {
                post->keyed = 1;
                return NGX_OK;
            }
        }
    }

    return NGX_OK;
}


/* Hashes what is left of a post, once for each state of the zone. */

void
ngx_http_analytics_key_hash(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post)
{
    ngx_analytics_run_t  *run;

    if (post->hashed == zone->shared->rebuilds
        || !ngx_http_analytics_ready(zone))
    {
        return;
    }

    post->hashed = zone->shared->rebuilds;

    for (run = post->rest; run; run = run->next) {
        ngx_analytics_zone_hash(zone->sh, run->events, run->n);
    }
}


/*
 * Looks for conflicts in all of a body that is stored in several slices, so
 * that they are found before a part of it is stored.  Returns NGX_OK, or
 * NGX_ERROR after setting the status.
 */

ngx_int_t
ngx_http_analytics_key_check(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post)
{
    int64_t                     now;
    ngx_int_t                   rc;
    ngx_uint_t                  fresh;
    ngx_http_analytics_post_t   scratch;
    ngx_http_analytics_range_t  range;

    if (post->decode.format->id.len == 0) {
        return NGX_OK;
    }

    ngx_http_analytics_key_hash(zone, post);

    scratch = *post;
    now = ngx_http_analytics_now();
    fresh = 0;

    ngx_http_analytics_range_take(post, NGX_MAX_SIZE_T_VALUE,
                                  NGX_MAX_UINT32_VALUE, &range);

    rc = ngx_http_analytics_key_range(zone, &scratch, &range, now, &fresh);

    if (rc == NGX_ERROR) {
        post->status = scratch.status;
        post->decode = scratch.decode;
        return NGX_ERROR;
    }

    /* NGX_DECLINED: who stores says why it cannot be done */

    return NGX_OK;
}


/*
 * Passes over what was stored of this body before.  Returns NGX_OK, or
 * NGX_ERROR after setting the status to answer with.
 */

ngx_int_t
ngx_http_analytics_key_request(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post, int64_t now)
{
    uint64_t             hash, digest;
    ngx_analytics_key_t  key;

    if (post->key.len == 0) {
        return NGX_OK;
    }

    hash = ngx_analytics_key_hash(zone->sh, NGX_ANALYTICS_KEY_REQUEST,
                                  &post->key);

    if (ngx_analytics_keys_find(zone->sh, hash, now, &key) != NGX_OK) {
        return NGX_OK;
    }

    ngx_memcpy(&digest, post->digest, sizeof(digest));

    if (key.digest != digest) {
        post->status = NGX_HTTP_UNPROCESSABLE_ENTITY;
        post->detail = "the Idempotency-Key was used with another body";
        return NGX_ERROR;
    }

    if (key.done > post->stored) {
        ngx_http_analytics_post_skip(post, key.done - post->stored);
    }

    if (key.first) {
        ngx_http_analytics_key_numbers(post, key.first, key.last);
    }

    post->received = key.received;

    return NGX_OK;
}


/*
 * key_events() of any number of events, with a lock for some of them each.
 * Nobody adds keys meanwhile: the caller has the append lock, or nothing
 * depends on it.  Returns NGX_DECLINED, too: the zone is recovering.
 */

ngx_int_t
ngx_http_analytics_key_range(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post, ngx_http_analytics_range_t *range,
    int64_t now, ngx_uint_t *fresh)
{
    ngx_int_t                   rc;
    ngx_uint_t                  left;
    ngx_http_analytics_range_t  piece;

    piece = *range;

    for (left = range->n; left; left -= piece.n) {

        piece.n = ngx_min(left, NGX_ANALYTICS_FOLD_MAX);

        if (ngx_http_analytics_lock(zone) != NGX_OK) {
            return NGX_DECLINED;
        }

        rc = ngx_http_analytics_key_events(zone, post, &piece, now, fresh);

        ngx_http_analytics_unlock(zone);

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_analytics_fault_stop("keys");
    }

    return NGX_OK;
}


/*
 * Locked.  Marks the events of a range that are known, and counts the others.
 * The range is then where it ended.  Returns NGX_OK, or NGX_ERROR after
 * setting the status to answer with.
 */

ngx_int_t
ngx_http_analytics_key_events(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post, ngx_http_analytics_range_t *range,
    int64_t now, ngx_uint_t *fresh)
{
    ngx_uint_t              i, n;
    ngx_analytics_key_t     key;
    ngx_analytics_run_t    *run;
    ngx_analytics_event_t  *event;

    run = range->run;
    i = range->i;

    for (n = 0; n < range->n; n++) {

        while (i == run->n) {
            run = run->next;
            i = 0;
        }

        event = &run->events[i++];

        /* what was found before may have been cut off the log since */

        event->known &= ~NGX_ANALYTICS_KNOWN_STORED;

        if (event->known) {
            continue;
        }

        if (event->id.len == 0
            || ngx_analytics_keys_find(zone->sh, event->id_hash, now, &key)
               != NGX_OK)
        {
            (*fresh)++;
            continue;
        }

        if (!ngx_http_analytics_key_same(zone, event, &key)) {
            return ngx_http_analytics_key_conflict(post, range->index + n);
        }

        event->known = NGX_ANALYTICS_KNOWN_STORED;

        ngx_http_analytics_key_numbers(post, key.first, key.last);

        post->received = key.received;
    }

    range->run = run;
    range->i = i;
    range->index += range->n;

    return NGX_OK;
}


/*
 * In answers, an event that was sent without a time has that of its receipt,
 * and one without properties has "{}": it is the same one when it is sent
 * again as it was read.
 */

static ngx_uint_t
ngx_http_analytics_key_same(ngx_http_analytics_zone_t *zone,
    ngx_analytics_event_t *event, ngx_analytics_key_t *key)
{
    ngx_uint_t             i, timed, empty;
    ngx_analytics_event_t  sent;

    if (key->digest == event->digest) {
        return 1;
    }

    timed = (event->time == key->received);
    empty = (event->properties.len == 2);

    for (i = 1; i < 4; i++) {
        sent = *event;

        if (i & 1) {
            sent.time = NGX_ANALYTICS_TIME_NONE;
        }

        if (i & 2) {
            sent.properties.len = 0;
        }

        if ((timed || !(i & 1)) && (empty || !(i & 2))
            && key->digest == ngx_analytics_event_digest(zone->sh, &sent))
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_analytics_key_conflict(ngx_http_analytics_post_t *post,
    ngx_uint_t index)
{
    ngx_analytics_decode_t  *d;

    d = &post->decode;

    post->status = NGX_HTTP_UNPROCESSABLE_ENTITY;

    d->err = "an id was used for another event";

    ngx_analytics_decode_error_of(d, index, &d->format->id,
                                  "was used for another event");

    if (d->failed) {
        post->status = NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_ERROR;
}


/* Widens the range of numbers that the answer shows. */

void
ngx_http_analytics_key_numbers(ngx_http_analytics_post_t *post,
    uint64_t first, uint64_t last)
{
    if (post->first == 0 || first < post->first) {
        post->first = first;
    }

    if (last > post->last) {
        post->last = last;
    }
}


/*
 * What the log and the zone are to keep: never the key itself, since senders
 * may put a name into it.
 */

void
ngx_http_analytics_key_record(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post, ngx_uint_t done,
    ngx_analytics_record_key_t *key)
{
    key->hash = 0;

    if (post->key.len) {
        key->hash = ngx_analytics_key_hash(zone->sh,
                                           NGX_ANALYTICS_KEY_REQUEST,
                                           &post->key);
    }

    key->done = (uint32_t) done;
    key->first = post->first;
    key->last = post->last;

    ngx_memcpy(key->digest, post->digest, NGX_ANALYTICS_DIGEST);
}


void
ngx_http_analytics_key_fold(ngx_http_analytics_zone_t *zone,
    ngx_analytics_record_key_t *key, int64_t received)
{
    if (key->hash) {
        ngx_analytics_replay_key(zone->sh, key, received);
    }
}


void
ngx_http_analytics_post_skip(ngx_http_analytics_post_t *post, ngx_uint_t n)
{
    post->stored += n;
    post->i += n;

    while (post->rest && post->i >= post->rest->n) {
        post->i -= post->rest->n;
        post->rest = post->rest->next;
    }
}
