
/*
 * Events of a post that follow each other.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"


#define NGX_HTTP_ANALYTICS_POINTS_POOL  (16 * 1024)


static ngx_int_t ngx_http_analytics_points_pool(ngx_pool_t **pool);


void
ngx_http_analytics_range_take(ngx_http_analytics_post_t *post, size_t max,
    ngx_uint_t most, ngx_http_analytics_range_t *range)
{
    size_t                  size;
    ngx_uint_t              i;
    ngx_analytics_run_t    *run;
    ngx_analytics_event_t  *previous;

    previous = NULL;

    range->run = post->rest;
    range->i = post->i;
    range->index = post->stored;
    range->n = 0;
    range->size = 0;

    i = post->i;

    for (run = post->rest; run; run = run->next) {

        for ( /* void */ ; i < run->n; i++) {
            size = ngx_http_analytics_append_size(&run->events[i], previous);

            if (range->n && (range->size + size > max || range->n == most)) {
                return;
            }

            range->size += size;
            range->n++;

            previous = &run->events[i];
        }

        i = 0;
    }
}


/* Makes a record of a range, less what is known, and a key if it is there. */

ngx_int_t
ngx_http_analytics_range_encode(ngx_http_analytics_group_t *slice,
    ngx_http_analytics_range_t *range, ngx_analytics_record_key_t *key)
{
    u_char                 *p;
    ngx_uint_t              i, left;
    ngx_analytics_run_t    *run;
    ngx_analytics_event_t  *event, *previous;

    if (key && key->hash == 0) {
        key = NULL;
    }

    if (ngx_http_analytics_append_room(slice, range->size
                             + (key ? NGX_ANALYTICS_RECORD_KEY : 0))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = slice->record + NGX_ANALYTICS_RECORD_HEADER;

    slice->events = 0;
    previous = NULL;
    run = range->run;
    i = range->i;

    for (left = range->n; left; left--) {

        while (i == run->n) {
            run = run->next;
            i = 0;
        }

        event = &run->events[i++];

        if (event->known) {
            continue;
        }

        p = ngx_analytics_record_event_write(p, event, previous);
        previous = event;

        slice->events++;
    }

    if (key) {
        p = ngx_analytics_record_key_write(p, key);
    }

    slice->last = p;
    slice->len = ngx_analytics_record_pad(slice->record, p, &slice->crc);

    return NGX_OK;
}


void
ngx_http_analytics_range_hash(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_range_t *range)
{
    ngx_uint_t            i, n, left;
    ngx_analytics_run_t  *run;

    i = range->i;

    for (run = range->run, left = range->n; left; run = run->next) {
        n = ngx_min(run->n - i, left);

        ngx_analytics_zone_hash(zone->sh, &run->events[i], n);

        left -= n;
        i = 0;
    }
}


void
ngx_http_analytics_points(ngx_http_analytics_zone_t *zone,
    ngx_analytics_event_t *events, ngx_uint_t n, ngx_pool_t **pool)
{
    if (ngx_http_analytics_points_pool(pool) == NGX_OK) {
        ngx_analytics_zone_points(zone->sh, events, n,
                                  ngx_http_analytics_palloc, *pool);
    }
}


void
ngx_http_analytics_range_points(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_range_t *range, ngx_pool_t **pool)
{
    ngx_uint_t            i, n, left;
    ngx_analytics_run_t  *run;

    if (ngx_http_analytics_points_pool(pool) != NGX_OK) {
        return;
    }

    i = range->i;

    for (run = range->run, left = range->n; left; run = run->next) {
        n = ngx_min(run->n - i, left);

        ngx_analytics_zone_points(zone->sh, &run->events[i], n,
                                  ngx_http_analytics_palloc, *pool);

        left -= n;
        i = 0;
    }
}


/* Without it the fold looks points up itself. */

static ngx_int_t
ngx_http_analytics_points_pool(ngx_pool_t **pool)
{
    if (*pool) {
        ngx_reset_pool(*pool);

    } else {
        *pool = ngx_create_pool(NGX_HTTP_ANALYTICS_POINTS_POOL,
                                ngx_cycle->log);
    }

    return *pool ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_analytics_range_fold(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_range_t *range, uint64_t seq, int64_t received)
{
    ngx_int_t             rc;
    ngx_uint_t            i, n, left;
    ngx_pool_t           *pool;
    ngx_analytics_run_t  *run;

    rc = NGX_OK;
    pool = NULL;
    i = range->i;

    for (run = range->run, left = range->n; left; run = run->next) {
        n = ngx_min(run->n - i, left);

        ngx_http_analytics_points(zone, &run->events[i], n, &pool);

        if (ngx_http_analytics_lock(zone) != NGX_OK) {
            rc = NGX_ERROR;
            break;
        }

        seq = ngx_analytics_zone_fold(zone->sh, &run->events[i], n, seq,
                                      received);

        left -= n;
        i = 0;

        ngx_http_analytics_unlock(zone);
    }

    if (pool) {
        ngx_destroy_pool(pool);
    }

    return rc;
}


void
ngx_http_analytics_range_fold_locked(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_range_t *range, uint64_t seq, int64_t received)
{
    ngx_uint_t            i, n, left;
    ngx_analytics_run_t  *run;

    i = range->i;

    for (run = range->run, left = range->n; left; run = run->next) {
        n = ngx_min(run->n - i, left);

        seq = ngx_analytics_zone_fold(zone->sh, &run->events[i], n, seq,
                                      received);

        left -= n;
        i = 0;
    }
}
