
/*
 * analytics_counts: how many events each user had recorded in each period; and
 * when periods are counted.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_query.h"


/* after a failure, msec, longer each time */
#define NGX_HTTP_ANALYTICS_COUNTS_WAIT      1000
#define NGX_HTTP_ANALYTICS_COUNTS_WAIT_MAX  60000


static void ngx_http_analytics_counts_failed(ngx_http_analytics_zone_t *zone,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_http_analytics_counts_next(
    ngx_http_analytics_stream_t *s);
static void ngx_http_analytics_counts_end(ngx_http_analytics_stream_t *s);
static void ngx_http_analytics_counts_start(ngx_http_analytics_stream_t *s);
static void ngx_http_analytics_counts_finish(ngx_http_analytics_stream_t *s);
static void ngx_http_analytics_counts_write(ngx_http_analytics_stream_t *s,
    ngx_analytics_period_t *period, ngx_str_t *user, uint64_t count);


static ngx_str_t  ngx_http_analytics_counts_type =
    ngx_string("application/json");


ngx_uint_t
ngx_http_analytics_counts_due(ngx_http_analytics_zone_t *zone)
{
    if (zone->period == 0
        || (zone->period_wait
            && ngx_current_msec - zone->period_failed < zone->period_wait))
    {
        return 0;
    }

    return zone->period_look || ngx_http_analytics_now() >= zone->period_next;
}


/*
 * By who has the store's lease.  A period can be counted when nothing more can
 * be recorded in it, whatever the clock does: so the log is told what time it
 * is.
 */

void
ngx_http_analytics_counts_begin(ngx_http_analytics_zone_t *zone)
{
    ngx_int_t             rc;
    ngx_analytics_fail_t  fail;

    rc = ngx_http_analytics_enter(zone, 1);

    if (rc != NGX_OK && rc != NGX_DECLINED) {
        ngx_analytics_failed(&fail, "locking", zone->log.path, "control");
        ngx_http_analytics_counts_failed(zone, &fail);
        return;
    }

    zone->period_now = ngx_analytics_log_touch(&zone->log,
                                               ngx_http_analytics_now());

    ngx_analytics_log_unlock(&zone->log);
}


void
ngx_http_analytics_counts_close(ngx_http_analytics_zone_t *zone)
{
    ngx_int_t                     rc;
    ngx_analytics_fail_t          fail;
    ngx_analytics_periods_conf_t  conf;

    ngx_memzero(&conf, sizeof(ngx_analytics_periods_conf_t));

    conf.now = zone->period_now;
    conf.tail = zone->store_tail.position;
    conf.dir = zone->log.dir;
    conf.path = zone->log.path;
    conf.key = zone->log.control->key;
    conf.period = zone->period;
    conf.keep = zone->totals;
    conf.progress = ngx_http_analytics_store_progress;

    do {
        rc = ngx_analytics_periods_step(&conf, &fail);
    } while (rc == NGX_OK);

    if (conf.inexact) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "analytics zone \"%V\": %ui periods were counted without "
                      "events that cannot be read any more", &zone->name,
                      conf.inexact);
    }

    if (rc == NGX_ERROR) {
        ngx_http_analytics_counts_failed(zone, &fail);
        return;
    }

    if (rc == NGX_DONE) {
        zone->period_next = conf.next;
        zone->period_look = 0;
        zone->period_wait = 0;
    }
}


/* Who fills the store need not wait for that. */

static void
ngx_http_analytics_counts_failed(ngx_http_analytics_zone_t *zone,
    ngx_analytics_fail_t *fail)
{
    zone->period_failed = ngx_current_msec;
    zone->period_wait = ngx_min(ngx_max(2 * zone->period_wait,
                                        NGX_HTTP_ANALYTICS_COUNTS_WAIT),
                                NGX_HTTP_ANALYTICS_COUNTS_WAIT_MAX);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, fail->err,
                  "analytics zone \"%V\": periods were not counted: %s",
                  &zone->name, fail->text);
}


ngx_int_t
ngx_http_analytics_counts_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_http_analytics_query_t      query;
    ngx_http_analytics_stream_t    *s;
    ngx_analytics_periods_read_t   *read;

    rc = ngx_http_analytics_methods(r, NGX_HTTP_GET);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    ngx_memzero(&query, sizeof(ngx_http_analytics_query_t));

    query.limit = UINT64_MAX;

    rc = ngx_http_analytics_question(r, &query, NGX_HTTP_ANALYTICS_RANGED, &s);
    if (s == NULL) {
        return rc;
    }

    s->type = &ngx_http_analytics_counts_type;
    s->start = ngx_http_analytics_counts_start;
    s->next = ngx_http_analytics_counts_next;
    s->finish = ngx_http_analytics_counts_finish;

    read = ngx_http_analytics_counts_of(s);
    if (read == NULL) {
        ngx_destroy_pool(s->pool);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    s->source = read;

    return ngx_http_analytics_stream(s);
}


ngx_analytics_periods_read_t *
ngx_http_analytics_counts_of(ngx_http_analytics_stream_t *s)
{
    ngx_analytics_periods_read_t  *read;

    read = ngx_pcalloc(s->pool, sizeof(ngx_analytics_periods_read_t));
    if (read == NULL) {
        return NULL;
    }

    read->dir = s->conf_find.dir;
    read->path = s->conf_find.path;
    read->from = s->query.filter.from;
    read->to = s->query.filter.to;
    read->user = s->query.filter.user;
    read->key = s->conf_find.key;

    return read;
}


static ngx_int_t
ngx_http_analytics_counts_next(ngx_http_analytics_stream_t *s)
{
    ngx_analytics_periods_read_t  *read;

    read = s->source;

    if (!s->begun) {
        s->close = ngx_http_analytics_counts_end;

        if (ngx_analytics_periods_read_open(read, &s->fail) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return ngx_http_analytics_counts_read(s, read, &s->rows);
}


ngx_int_t
ngx_http_analytics_counts_read(ngx_http_analytics_stream_t *s,
    ngx_analytics_periods_read_t *read, uint64_t *n)
{
    uint64_t                count;
    ngx_int_t               rc;
    ngx_str_t               user;
    ngx_analytics_period_t  period;

    for ( ;; ) {

        if (s->stop) {
            return NGX_ABORT;
        }

        rc = ngx_analytics_periods_read_next(read, &period, &user, &count,
                                             &s->fail);

        if (read->incomplete
            && ngx_http_analytics_stream_lacks(s) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (rc != NGX_OK) {
            return rc;
        }

        if ((*n)++) {
            ngx_analytics_write_literal(&s->w, ",");
        }

        ngx_http_analytics_counts_write(s, &period, &user, count);

        if (ngx_http_analytics_stream_full(s)) {
            return NGX_AGAIN;
        }
    }
}


static void
ngx_http_analytics_counts_end(ngx_http_analytics_stream_t *s)
{
    ngx_analytics_periods_read_close(s->source);
}


static void
ngx_http_analytics_counts_start(ngx_http_analytics_stream_t *s)
{
    ngx_analytics_write_literal(&s->w, "[");
}


static void
ngx_http_analytics_counts_write(ngx_http_analytics_stream_t *s,
    ngx_analytics_period_t *period, ngx_str_t *user, uint64_t count)
{
    ngx_analytics_writer_t  *w;

    w = &s->w;

    ngx_analytics_write_literal(w, "{\"user_id\":");
    ngx_analytics_user_write(w, &s->conf->events->format, user);
    ngx_analytics_write_literal(w, ",\"period_start\":");
    ngx_analytics_write_time(w, period->start);
    ngx_analytics_write_literal(w, ",\"period_end\":");
    ngx_analytics_write_time(w, period->end);
    ngx_analytics_write_literal(w, ",\"count\":");
    ngx_analytics_write_uint(w, count);
    ngx_analytics_write_literal(w, "}");
}


static void
ngx_http_analytics_counts_finish(ngx_http_analytics_stream_t *s)
{
    ngx_analytics_write_literal(&s->w, "]");
}
