
/*
 * From decoded events to acknowledged ones: accept, fold.
 *
 * The requests that arrive in one turn of the event loop are accepted and
 * folded together, so that what it costs to do so at all is paid once.  They
 * wait in the zone's queue for a posted event, which nginx runs when all
 * sockets of the turn have been looked at.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"

#if (NGX_ANALYTICS_FAULTS)
#include "ngx_analytics_arena.h"
#endif


/* how many requests share one lock: more of them would save nothing */
#define NGX_HTTP_ANALYTICS_SHARE  16


_Static_assert(NGX_ANALYTICS_RUN_MAX <= NGX_ANALYTICS_FOLD_MAX,
               "a run is folded under one lock");


static void ngx_http_analytics_ingest_handler(ngx_event_t *ev);
static ngx_uint_t ngx_http_analytics_ingest_take(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_post_t **posts);
static ngx_int_t ngx_http_analytics_ingest_fold(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_post_t **posts,
    ngx_uint_t n);
static ngx_int_t ngx_http_analytics_ingest_rest(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_post_t *post,
    ngx_analytics_run_t *run);
static void ngx_http_analytics_ingest_accept(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post);
#if (NGX_ANALYTICS_FAULTS)
static void ngx_http_analytics_ingest_fault(ngx_http_analytics_post_t *post);
#endif


void
ngx_http_analytics_ingest_init(ngx_http_analytics_zone_t *zone)
{
    ngx_queue_init(&zone->waiting);

    zone->fold.handler = ngx_http_analytics_ingest_handler;
    zone->fold.data = zone;
    zone->fold.log = ngx_cycle->log;
}


void
ngx_http_analytics_ingest(ngx_http_analytics_post_t *post)
{
    ngx_http_analytics_zone_t  *zone;

    zone = post->conf->zone;

    ngx_queue_insert_tail(&zone->waiting, &post->queue);

    if (++zone->nwaiting == NGX_HTTP_ANALYTICS_SHARE) {
        ngx_http_analytics_ingest_handler(&zone->fold);
        return;
    }

    if (!zone->fold.posted) {
        ngx_post_event(&zone->fold, &ngx_posted_events);
    }
}


static void
ngx_http_analytics_ingest_handler(ngx_event_t *ev)
{
    ngx_int_t                   rc;
    ngx_uint_t                  i, n;
    ngx_http_analytics_zone_t  *zone;
    ngx_http_analytics_post_t  *posts[NGX_HTTP_ANALYTICS_SHARE];

    zone = ev->data;

    n = ngx_http_analytics_ingest_take(zone, posts);

    if (n == 0) {
        return;
    }

    rc = ngx_http_analytics_ingest_fold(zone, posts, n);

    /* others may be folded before these are answered: their turn is next */

    if (zone->nwaiting && !ev->posted) {
        ngx_post_event(ev, &ngx_posted_events);
    }

    for (i = 0; i < n; i++) {

        if (rc == NGX_OK) {
            ngx_http_analytics_collect_answer(posts[i]);

        } else {
            posts[i]->status = NGX_HTTP_SERVICE_UNAVAILABLE;
            posts[i]->detail = "the zone is damaged";
        }

        ngx_http_analytics_post_done(posts[i]);
    }
}


/* Takes what fits under one lock off the queue: a large post goes alone. */

static ngx_uint_t
ngx_http_analytics_ingest_take(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t **posts)
{
    ngx_uint_t                  n, events;
    ngx_queue_t                *q;
    ngx_http_analytics_post_t  *post;

    n = 0;
    events = 0;

    while (n < NGX_HTTP_ANALYTICS_SHARE && !ngx_queue_empty(&zone->waiting)) {

        q = ngx_queue_head(&zone->waiting);
        post = ngx_queue_data(q, ngx_http_analytics_post_t, queue);

        /* the queue is a ring, and what was removed is not in it any more */

        if (n && events + post->decode.n > NGX_ANALYTICS_FOLD_MAX) {
            break;
        }

        ngx_queue_remove(q); /* NOLINT(clang-analyzer-core.NullDereference) */

        zone->nwaiting--;
        events += post->decode.n;
        posts[n++] = post;
    }

    return n;
}


static ngx_int_t
ngx_http_analytics_ingest_fold(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t **posts, ngx_uint_t n)
{
    ngx_uint_t            i;
    ngx_analytics_run_t  *run;

    if (n == 1 && posts[0]->decode.n > NGX_ANALYTICS_FOLD_MAX) {
        return ngx_http_analytics_ingest_now(posts[0]);
    }

    for (i = 0; i < n; i++) {
        for (run = posts[i]->decode.first; run; run = run->next) {
            ngx_analytics_zone_hash(zone->sh, run->events, run->n);
        }
    }

    if (ngx_http_analytics_lock(zone) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        ngx_http_analytics_ingest_accept(zone, posts[i]);

        for (run = posts[i]->decode.first; run; run = run->next) {
            ngx_analytics_zone_fold(zone->sh, run->events, run->n,
                                    posts[i]->received);
        }
    }

    ngx_http_analytics_unlock(zone);

    return NGX_OK;
}


ngx_int_t
ngx_http_analytics_ingest_now(ngx_http_analytics_post_t *post)
{
    ngx_http_analytics_zone_t  *zone;

    zone = post->conf->zone;

    if (ngx_http_analytics_lock(zone) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_analytics_ingest_accept(zone, post);

    ngx_http_analytics_unlock(zone);

    return ngx_http_analytics_ingest_rest(zone, post, post->decode.first);
}


/*
 * Folds runs with a lock each.  While another process has it there are names
 * to hash, which is better than to wait.
 */

static ngx_int_t
ngx_http_analytics_ingest_rest(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post, ngx_analytics_run_t *run)
{
    ngx_int_t             rc;
    ngx_analytics_run_t  *next;

    next = run;

    for ( /* void */ ; run; run = run->next) {

        do {
            if (next) {
                ngx_analytics_zone_hash(zone->sh, next->events, next->n);
                next = next->next;
                rc = ngx_http_analytics_trylock(zone);

            } else {
                rc = ngx_http_analytics_lock(zone);
            }

        } while (rc == NGX_BUSY);

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_analytics_zone_fold(zone->sh, run->events, run->n,
                                post->received);

        ngx_http_analytics_unlock(zone);
    }

    return NGX_OK;
}


static void
ngx_http_analytics_ingest_accept(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post)
{
#if (NGX_ANALYTICS_FAULTS)
    ngx_http_analytics_ingest_fault(post);
#endif

    post->id = ngx_analytics_zone_accept(zone->sh, post->decode.n,
                                         ngx_http_analytics_now(),
                                         &post->received);
}


#if (NGX_ANALYTICS_FAULTS)

/*
 * For tests: "X-Analytics-Fault: N" has this process killed at the N-th
 * store from here.
 */

static void
ngx_http_analytics_ingest_fault(ngx_http_analytics_post_t *post)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &post->request->headers_in.headers.part;
    h = part->elts;

    for (i = 0; i < part->nelts; i++) {
        if (h[i].key.len == sizeof("X-Analytics-Fault") - 1
            && ngx_strncmp(h[i].lowcase_key, "x-analytics-fault",
                           sizeof("X-Analytics-Fault") - 1)
               == 0)
        {
            ngx_analytics_fault = ngx_atoi(h[i].value.data, h[i].value.len);
        }
    }
}

#endif
