
/*
 * From decoded events to acknowledged ones.
 *
 * The requests that arrive in one turn of the event loop are stored together,
 * so that what it costs to do so at all is paid once.  They wait in the zone's
 * queue for a posted event, which nginx runs when all sockets of the turn
 * have been looked at.  In a zone with a log they may have to wait longer:
 * while somebody else appends and, with "sync always", for the disk.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_analytics_fault.h"


/* until a group is tried again that could not be appended, msec */
#define NGX_HTTP_ANALYTICS_RETRY   1

/* until a look whether others have synced, or the disk is better */
#define NGX_HTTP_ANALYTICS_RESYNC  100


/* bytes of bodies in one record; with what a constant type, say, adds */
#define NGX_HTTP_ANALYTICS_GROUP   (2 * 1024 * 1024)

_Static_assert(NGX_HTTP_ANALYTICS_GROUP + NGX_ANALYTICS_FOLD_MAX
               * (sizeof(ngx_analytics_event_t) + 2 * NGX_ANALYTICS_NAME_MAX)
               < NGX_ANALYTICS_RECORD_MAX,
               "a group is one record");

_Static_assert(NGX_ANALYTICS_RUN_MAX <= NGX_ANALYTICS_FOLD_MAX,
               "a run is folded under one lock");


static void ngx_http_analytics_ingest_handler(ngx_event_t *ev);
static void ngx_http_analytics_ingest_retry(ngx_event_t *ev);
static void ngx_http_analytics_ingest_resync(ngx_event_t *ev);
static ngx_uint_t ngx_http_analytics_ingest_take(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_post_t **posts);
static ngx_int_t ngx_http_analytics_ingest_group(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_group_t *group);
static ngx_int_t ngx_http_analytics_ingest_fold(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_post_t **posts,
    ngx_uint_t n);
static ngx_int_t ngx_http_analytics_ingest_list(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_post_t *post);
static ngx_int_t ngx_http_analytics_ingest_rest(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_post_t *post,
    ngx_analytics_run_t *run);
static void ngx_http_analytics_ingest_accept(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post);
static void ngx_http_analytics_ingest_done(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post, ngx_int_t rc);
static ngx_int_t ngx_http_analytics_ingest_cut(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_post_t *post);
#if (NGX_ANALYTICS_FAULTS)
static void ngx_http_analytics_ingest_fault(ngx_http_analytics_post_t *post);
#endif


/* for timers, whose events are expected to have a connection to be logged */
static ngx_connection_t  ngx_http_analytics_ingest_connection;


void
ngx_http_analytics_ingest_init(ngx_http_analytics_zone_t *zone)
{
    ngx_queue_init(&zone->waiting);
    ngx_queue_init(&zone->syncing);

    zone->fold.handler = ngx_http_analytics_ingest_handler;
    zone->fold.data = zone;
    zone->fold.log = ngx_cycle->log;

    ngx_http_analytics_ingest_connection.fd = (ngx_socket_t) -1;

    zone->retry.handler = ngx_http_analytics_ingest_retry;
    zone->retry.data = &ngx_http_analytics_ingest_connection;
    zone->retry.log = ngx_cycle->log;

    zone->resync.handler = ngx_http_analytics_ingest_resync;
    zone->resync.data = &ngx_http_analytics_ingest_connection;
    zone->resync.log = ngx_cycle->log;
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
    ngx_int_t                    rc;
    ngx_uint_t                   i, n;
    ngx_http_analytics_zone_t   *zone;
    ngx_http_analytics_post_t   *posts[NGX_HTTP_ANALYTICS_SHARE];
    ngx_http_analytics_group_t  *group;

    zone = ev->data;
    group = &zone->group;

    /* a group that could not be appended yet comes first */

    if (group->n == 0) {
        group->n = ngx_http_analytics_ingest_take(zone, group->posts);

        if (group->n == 0) {
            return;
        }

        group->len = 0;
        group->since = ngx_current_msec;
    }

    rc = ngx_http_analytics_ingest_group(zone, group);

    if (rc == NGX_BUSY
        && ngx_current_msec - group->since > NGX_HTTP_ANALYTICS_PATIENCE * 1000)
    {
        rc = ngx_http_analytics_refuse(zone, group->posts, group->n, NULL);
    }

    if (rc == NGX_BUSY) {

        /* not one that may be cancelled: the process stays for these posts */

        if (!zone->retry.timer_set) {
            ngx_add_timer(&zone->retry, NGX_HTTP_ANALYTICS_RETRY);
        }

        return;
    }

    n = group->n;
    ngx_memcpy(posts, group->posts, n * sizeof(ngx_http_analytics_post_t *));
    group->n = 0;

    /* others may be stored before these are answered: their turn is next */

    if (zone->nwaiting && !ev->posted) {
        ngx_post_event(ev, &ngx_posted_events);
    }

    for (i = 0; i < n; i++) {
        ngx_http_analytics_ingest_done(zone, posts[i], rc);
    }
}


static void
ngx_http_analytics_ingest_retry(ngx_event_t *ev)
{
    ngx_http_analytics_zone_t  *zone;

    zone = (ngx_http_analytics_zone_t *)
               ((u_char *) ev - offsetof(ngx_http_analytics_zone_t, retry));

    ngx_http_analytics_ingest_handler(&zone->fold);
}


/*
 * One of its own: who waits for somebody who appends, which takes no time,
 * must not wait for this.
 */

static void
ngx_http_analytics_ingest_resync(ngx_event_t *ev)
{
    ngx_http_analytics_zone_t  *zone;

    zone = (ngx_http_analytics_zone_t *)
               ((u_char *) ev - offsetof(ngx_http_analytics_zone_t, resync));

    ngx_http_analytics_ingest_synced(zone, NGX_OK);
}


/*
 * Takes what fits under one lock, and into one record, off the queue: a large
 * post goes alone.
 */

static ngx_uint_t
ngx_http_analytics_ingest_take(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t **posts)
{
    size_t                      bytes;
    ngx_uint_t                  n, events;
    ngx_queue_t                *q;
    ngx_http_analytics_post_t  *post;

    n = 0;
    events = 0;
    bytes = 0;

    while (n < NGX_HTTP_ANALYTICS_SHARE && !ngx_queue_empty(&zone->waiting)) {

        q = ngx_queue_head(&zone->waiting);
        post = ngx_queue_data(q, ngx_http_analytics_post_t, queue);

        /* the queue is a ring, and what was removed is not in it any more */

        if (n && (post->keyed || posts[0]->keyed
                  || events + post->decode.n > NGX_ANALYTICS_FOLD_MAX
                  || bytes + post->body.len > NGX_HTTP_ANALYTICS_GROUP))
        {
            break;
        }

        ngx_queue_remove(q); /* NOLINT(clang-analyzer-core.NullDereference) */

        zone->nwaiting--;
        events += post->decode.n;
        bytes += post->body.len;
        posts[n++] = post;
    }

    return n;
}


static ngx_int_t
ngx_http_analytics_ingest_group(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_group_t *group)
{
#if (NGX_ANALYTICS_FAULTS)
    ngx_http_analytics_ingest_fault(group->posts[0]);
#endif

    if (zone->path == NULL) {

        if (group->posts[0]->keyed) {
            return ngx_http_analytics_slice_memory(zone, group->posts[0]);
        }

        return ngx_http_analytics_ingest_fold(zone, group->posts, group->n);
    }

    if (ngx_http_analytics_opening(zone)) {
        return NGX_BUSY;
    }

    if (!zone->attached) {
        return ngx_http_analytics_refuse(zone, group->posts, group->n, NULL);
    }

    if (ngx_http_analytics_pseudonyms_hide(zone, group->posts, group->n)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (group->len == 0 && !group->posts[0]->keyed
        && ngx_http_analytics_append_prepare(zone, group) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_analytics_append(zone, group);
}


static ngx_int_t
ngx_http_analytics_ingest_fold(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t **posts, ngx_uint_t n)
{
    uint64_t              seq;
    ngx_uint_t            i;
    ngx_analytics_run_t  *run;

    if (n == 1 && posts[0]->decode.n > NGX_ANALYTICS_FOLD_MAX) {
        return ngx_http_analytics_ingest_list(zone, posts[0]);
    }

    for (i = 0; i < n; i++) {
        for (run = posts[i]->decode.first; run; run = run->next) {
            ngx_analytics_zone_hash(zone->sh, run->events, run->n);
            ngx_analytics_zone_points(zone->sh, run->events, run->n,
                                      ngx_http_analytics_palloc,
                                      posts[i]->pool);
        }
    }

    if (ngx_http_analytics_lock(zone) != NGX_OK) {

        for (i = 0; i < n; i++) {
            (void) ngx_http_analytics_broken(posts[i]);
        }

        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        ngx_http_analytics_ingest_accept(zone, posts[i]);

        seq = posts[i]->first;

        for (run = posts[i]->decode.first; run; run = run->next) {
            seq = ngx_analytics_zone_fold(zone->sh, run->events, run->n, seq,
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

#if (NGX_ANALYTICS_FAULTS)
    ngx_http_analytics_ingest_fault(post);
#endif

    if (zone->path == NULL) {
        return post->keyed ? ngx_http_analytics_slice_memory(zone, post)
                           : ngx_http_analytics_ingest_list(zone, post);
    }

    while (ngx_http_analytics_opening(zone)) {

        if (ngx_terminate || ngx_quit) {

            /* the event loop may be waiting for this thread */

            break;
        }

        ngx_msleep(1);
    }

    if (!zone->attached) {
        return ngx_http_analytics_refuse(zone, &post, 1, NULL);
    }

    if (ngx_http_analytics_pseudonyms_hide(zone, &post, 1) != NGX_OK) {
        post->status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        return NGX_ERROR;
    }

    return ngx_http_analytics_slice_all(zone, post);
}


ngx_int_t
ngx_http_analytics_ingest_sync(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post)
{
    ngx_analytics_fail_t  fail;

    while (ngx_analytics_log_sync(&zone->log, &fail) != NGX_OK) {

        if (post->epoch != zone->log.control->epoch
            || zone->log.control->failed || ngx_terminate || ngx_quit)
        {
            break;
        }

        /* descriptors are short, say: the disk was not even tried */

        ngx_msleep(100);
    }

    if (ngx_analytics_log_was_cut(&zone->log, post->epoch, post->end)
        || post->end > ngx_analytics_log_synced(&zone->log))
    {
        return ngx_http_analytics_ingest_cut(zone, post);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_ingest_list(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post)
{
    if (ngx_http_analytics_lock(zone) != NGX_OK) {
        return ngx_http_analytics_broken(post);
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
    uint64_t              seq;
    ngx_int_t             rc;
    ngx_pool_t           *pool;
    ngx_analytics_run_t  *next;

    rc = NGX_OK;
    pool = NULL;
    next = run;
    seq = post->first;

    for ( /* void */ ; run; run = run->next) {

        if (next == run) {
            ngx_analytics_zone_hash(zone->sh, next->events, next->n);
            next = next->next;
        }

        ngx_http_analytics_points(zone, run->events, run->n, &pool);

        while ((rc = ngx_http_analytics_trylock(zone)) == NGX_BUSY && next) {
            ngx_analytics_zone_hash(zone->sh, next->events, next->n);
            next = next->next;
        }

        if (rc == NGX_BUSY) {
            rc = ngx_http_analytics_lock(zone);
        }

        if (rc != NGX_OK) {
            rc = ngx_http_analytics_broken(post);
            break;
        }

        seq = ngx_analytics_zone_fold(zone->sh, run->events, run->n, seq,
                                      post->received);

        ngx_http_analytics_unlock(zone);
    }

    if (pool) {
        ngx_destroy_pool(pool);
    }

    return rc;
}


static void
ngx_http_analytics_ingest_accept(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post)
{
    post->first = ngx_analytics_zone_accept(zone->sh, post->decode.n,
                                            ngx_http_analytics_now(),
                                            &post->received);
    post->last = post->first + post->decode.n - 1;
}


/* Answers a post, unless the disk is to get it first. */

static void
ngx_http_analytics_ingest_done(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post, ngx_int_t rc)
{
    if (rc != NGX_OK) {

        if (post->status == 0) {
            post->status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ngx_http_analytics_post_done(post);
        return;
    }

    if (zone->sync == NGX_HTTP_ANALYTICS_SYNC_ALWAYS && post->end
        && (post->end > ngx_analytics_log_synced(&zone->log)
            || post->epoch != zone->log.control->epoch))
    {
        ngx_queue_insert_tail(&zone->syncing, &post->queue);
        ngx_http_analytics_job_start(&zone->sync_job);

        if (!zone->resync.timer_set) {
            ngx_add_timer(&zone->resync, NGX_HTTP_ANALYTICS_RESYNC);
        }

        return;
    }

    ngx_http_analytics_collect_answer(post);
    ngx_http_analytics_post_done(post);
}


void
ngx_http_analytics_ingest_synced(ngx_http_analytics_zone_t *zone,
    ngx_int_t rc)
{
    uint64_t                    synced;
    ngx_uint_t                  cut;
    ngx_queue_t                *q;
    ngx_http_analytics_post_t  *post;

    if (ngx_queue_empty(&zone->syncing)) {
        return;
    }

    synced = ngx_analytics_log_synced(&zone->log);

    while (!ngx_queue_empty(&zone->syncing)) {

        q = ngx_queue_head(&zone->syncing);
        post = ngx_queue_data(q, ngx_http_analytics_post_t, queue);

        cut = ngx_analytics_log_was_cut(&zone->log, post->epoch, post->end);

        if (!cut && post->end > synced) {

            /* nothing could be cut that others were promised to keep */

            if (rc == NGX_OK || !zone->log.control->failed) {
                break;
            }

            cut = 1;
        }

        ngx_queue_remove(q);

        if (cut) {
            (void) ngx_http_analytics_ingest_cut(zone, post);

        } else {
            ngx_http_analytics_collect_answer(post);
        }

        ngx_http_analytics_post_done(post);
    }

    if (ngx_queue_empty(&zone->syncing)) {
        return;
    }

    /* what has failed is tried again by the timer */

    if (rc == NGX_OK) {
        ngx_http_analytics_job_start(&zone->sync_job);
    }

    if (!zone->resync.timer_set) {
        ngx_add_timer(&zone->resync, NGX_HTTP_ANALYTICS_RESYNC);
    }
}


/* The disk did not take it, and it is not in the log any more. */

static ngx_int_t
ngx_http_analytics_ingest_cut(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post)
{
    ngx_analytics_fail_t  fail;

    fail.err = EIO;
    *ngx_snprintf((u_char *) fail.text, sizeof(fail.text) - 1,
                  "the log in \"%s\" could not be synced", zone->log.path)
        = '\0';

    return ngx_http_analytics_refuse(zone, &post, 1, &fail);
}


#if (NGX_ANALYTICS_FAULTS)

/*
 * For tests: "X-Analytics-Fault: N" has this process killed at the N-th
 * store from here.
 */

static void
ngx_http_analytics_ingest_fault(ngx_http_analytics_post_t *post)
{
    ngx_table_elt_t            *h;
    ngx_http_analytics_walk_t   walk;

    static ngx_str_t  name = ngx_string("x-analytics-fault");

    ngx_memzero(&walk, sizeof(ngx_http_analytics_walk_t));

    h = ngx_http_analytics_header_next(post->request, &name, &walk);

    if (h) {
        ngx_analytics_fault = ngx_atoi(h->value.data, h->value.len);
    }
}

#endif
