
/*
 * analytics_events: single events, as a list in the form in which they were
 * posted.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_query.h"


/* a store so far behind is waited for, so long (msec), so often */
#define NGX_HTTP_ANALYTICS_BEHIND        200000
#define NGX_HTTP_ANALYTICS_BEHIND_WAIT   1000
#define NGX_HTTP_ANALYTICS_BEHIND_PAUSE  20


static ngx_int_t ngx_http_analytics_question_behind(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone);
static ngx_msec_int_t ngx_http_analytics_elapsed(ngx_http_request_t *r);
static void ngx_http_analytics_events_start(ngx_http_analytics_stream_t *s);
static void ngx_http_analytics_events_event(ngx_http_analytics_stream_t *s,
    ngx_analytics_row_t *row);
static void ngx_http_analytics_events_finish(ngx_http_analytics_stream_t *s);


static ngx_str_t  ngx_http_analytics_events_type =
    ngx_string("application/json");


ngx_int_t
ngx_http_analytics_events_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_http_analytics_query_t      query;
    ngx_http_analytics_stream_t    *s;
    ngx_http_analytics_loc_conf_t  *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);

    /* the location may collect, too */

    if (alcf->other && r->method == NGX_HTTP_POST) {
        return alcf->other(r);
    }

    rc = ngx_http_analytics_methods(r, alcf->other ? NGX_HTTP_GET|NGX_HTTP_POST
                                                   : NGX_HTTP_GET);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    ngx_memzero(&query, sizeof(ngx_http_analytics_query_t));

    query.limit = alcf->limit;
    query.filter.received = alcf->received;

    rc = ngx_http_analytics_question(r, &query, NGX_HTTP_ANALYTICS_RANGED
                                                |NGX_HTTP_ANALYTICS_TYPED
                                                |NGX_HTTP_ANALYTICS_PAGED, &s);
    if (s == NULL) {
        return rc;
    }

    s->type = &ngx_http_analytics_events_type;
    s->start = ngx_http_analytics_events_start;
    s->event = ngx_http_analytics_events_event;
    s->finish = ngx_http_analytics_events_finish;

    return ngx_http_analytics_stream(s);
}


ngx_int_t
ngx_http_analytics_question(ngx_http_request_t *r,
    ngx_http_analytics_query_t *query, ngx_uint_t allowed,
    ngx_http_analytics_stream_t **stream)
{
    ngx_int_t                       rc;
    ngx_str_t                       field;
    const char                     *detail;
    ngx_analytics_tail_t            tail;
    ngx_http_analytics_zone_t      *zone;
    ngx_analytics_find_conf_t      *conf;
    ngx_http_analytics_loc_conf_t  *alcf;

    *stream = NULL;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);
    zone = alcf->zone;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    query->filter.known = 1;
    query->filter.from = INT64_MIN;
    query->filter.to = INT64_MAX;
    query->filter.since = zone->keep_time
                          ? ngx_http_analytics_now() - zone->keep_time
                          : INT64_MIN;

    rc = ngx_http_analytics_query_read(r, &alcf->events->format, allowed,
                                       query, &field, &detail);

    if (rc == NGX_DECLINED) {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                                          detail, &field, NULL);
    }

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_analytics_question_behind(r, zone);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ngx_http_analytics_pseudonym(zone, r->pool, &query->filter.user)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    *stream = ngx_http_analytics_stream_create(r);
    if (*stream == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    (*stream)->query = *query;

    /*
     * What was acknowledged by now is in it, and nothing that comes later,
     * whenever it looks, and wherever that is then.
     */

    ngx_http_analytics_store_tail(zone, &tail);

    conf = &(*stream)->conf_find;

    conf->dir = zone->log.dir;
    conf->path = zone->log.path;
    conf->key = zone->log.control->key;
    conf->tail = tail.position;
    conf->seq = tail.seq;
    conf->skip = query->skip;
    conf->filter = query->filter;

    return NGX_OK;
}


/* NGX_DECLINED if there is nothing to wait for. */

static ngx_int_t
ngx_http_analytics_question_behind(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone)
{
    u_char     *p;
    uint64_t    behind;
    ngx_int_t   rc;

    if (r != r->main) {
        return ngx_http_analytics_problem(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                    "events cannot be had by a subrequest",
                                    NULL, NULL);
    }

    rc = ngx_http_analytics_fresh(r, zone);

    if (rc != NGX_DECLINED || !zone->store) {
        return rc;
    }

    behind = ngx_http_analytics_store_behind(zone);

    if (behind <= NGX_HTTP_ANALYTICS_BEHIND) {
        return NGX_DECLINED;
    }

    if (ngx_http_analytics_elapsed(r) < NGX_HTTP_ANALYTICS_BEHIND_WAIT) {
        return ngx_http_analytics_again(r, NGX_HTTP_ANALYTICS_BEHIND_PAUSE);
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN
                             + sizeof("the store is  events behind"));
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_sprintf(p, "the store is %uL events behind%Z", behind);

    return ngx_http_analytics_problem(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                      (char *) p, NULL, NULL);
}


/* Since the request came, msec. */

static ngx_msec_int_t
ngx_http_analytics_elapsed(ngx_http_request_t *r)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                             + (tp->msec - r->start_msec));
}


void
ngx_http_analytics_row_event(ngx_analytics_row_t *row,
    ngx_analytics_event_t *event)
{
    ngx_memzero(event, sizeof(ngx_analytics_event_t));

    event->user = row->user;
    event->type = row->type;
    event->id = row->own;
    event->properties = row->properties;
    event->time = row->time;
}


static void
ngx_http_analytics_events_start(ngx_http_analytics_stream_t *s)
{
    ngx_analytics_write_literal(&s->w, "[");
}


static void
ngx_http_analytics_events_event(ngx_http_analytics_stream_t *s,
    ngx_analytics_row_t *row)
{
    ngx_analytics_event_t  event;

    if (s->rows) {
        ngx_analytics_write_literal(&s->w, ",");
    }

    ngx_http_analytics_row_event(row, &event);

    ngx_analytics_event_write(&s->w, &s->conf->events->format, &event,
                              s->conf->no_id ? 0 : row->id, row->received);
}


static void
ngx_http_analytics_events_finish(ngx_http_analytics_stream_t *s)
{
    ngx_analytics_write_literal(&s->w, "]");
}
