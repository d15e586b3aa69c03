
/*
 * analytics_person: all that is held about one user, for whom it is about.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_query.h"


typedef struct {
    int64_t                        now;
    ngx_http_analytics_user_t      user;       /* what the zone knows */
    uint64_t                       counts;     /* written, of the periods; */
    ngx_analytics_periods_read_t  *read;       /* NULL: all of them are */
} ngx_http_analytics_person_t;


static ngx_int_t ngx_http_analytics_person_find(ngx_http_request_t *r,
    ngx_str_t *name);
static void ngx_http_analytics_person_start(ngx_http_analytics_stream_t *s);
static ngx_int_t ngx_http_analytics_person_next(
    ngx_http_analytics_stream_t *s);
static ngx_int_t ngx_http_analytics_person_counts(
    ngx_http_analytics_stream_t *s, ngx_http_analytics_person_t *person);
static void ngx_http_analytics_person_close(ngx_http_analytics_stream_t *s);
static void ngx_http_analytics_person_event(ngx_http_analytics_stream_t *s,
    ngx_analytics_row_t *row);
static void ngx_http_analytics_person_finish(ngx_http_analytics_stream_t *s);


static ngx_str_t  ngx_http_analytics_person_suffix = ngx_string("/export");

static ngx_str_t  ngx_http_analytics_person_type =
    ngx_string("application/json");

static ngx_str_t  ngx_http_analytics_person_file =
    ngx_string("attachment; filename=\"user.json\"");


ngx_int_t
ngx_http_analytics_person_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_str_t                       name;
    ngx_http_analytics_loc_conf_t  *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);

    /* the location may erase, too */

    if (alcf->other && r->method == NGX_HTTP_DELETE) {
        return alcf->other(r);
    }

    rc = ngx_http_analytics_methods(r, alcf->other
                                       ? NGX_HTTP_GET|NGX_HTTP_DELETE
                                       : NGX_HTTP_GET);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_analytics_uri_name(r, &ngx_http_analytics_person_suffix,
                                     &name);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED || name.len > NGX_ANALYTICS_NAME_MAX) {
        return ngx_http_analytics_problem(r, NGX_HTTP_NOT_FOUND,
                                          "the path names no user's export",
                                          NULL, NULL);
    }

    return ngx_http_analytics_person_find(r, &name);
}


static ngx_int_t
ngx_http_analytics_person_find(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_int_t                     rc;
    ngx_http_analytics_zone_t    *zone;
    ngx_http_analytics_query_t    query;
    ngx_http_analytics_person_t  *person;
    ngx_http_analytics_stream_t  *s;

    ngx_memzero(&query, sizeof(ngx_http_analytics_query_t));

    query.limit = UINT64_MAX;

    rc = ngx_http_analytics_question(r, &query, 0, &s);
    if (s == NULL) {
        return rc;
    }

    zone = s->conf->zone;

    if (ngx_http_analytics_pseudonym(zone, r->pool, name) != NGX_OK) {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
        goto failed;
    }

    s->query.filter.user = *name;

    /* until a file is dropped, what is too old for others is held, too */

    s->query.filter.since = INT64_MIN;
    s->conf_find.filter = s->query.filter;

    person = ngx_pcalloc(s->pool, sizeof(ngx_http_analytics_person_t));

    if (person) {
        person->read = ngx_http_analytics_counts_of(s);
    }

    if (person == NULL || person->read == NULL) {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
        goto failed;
    }

    person->now = ngx_http_analytics_now();

    if (ngx_http_analytics_copy_user(r, zone, name, &person->user) != NGX_OK) {
        rc = ngx_http_analytics_damaged(r, zone);
        goto failed;
    }

    if (person->user.inexact
        && ngx_http_analytics_inexact(r, person->user.inexact) != NGX_OK)
    {
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
        goto failed;
    }

    s->type = &ngx_http_analytics_person_type;
    s->disposition = &ngx_http_analytics_person_file;
    s->source = person;
    s->start = ngx_http_analytics_person_start;
    s->next = ngx_http_analytics_person_next;
    s->event = ngx_http_analytics_person_event;
    s->finish = ngx_http_analytics_person_finish;

    return ngx_http_analytics_stream(s);

failed:

    ngx_destroy_pool(s->pool);

    return rc;
}


static void
ngx_http_analytics_person_start(ngx_http_analytics_stream_t *s)
{
    ngx_analytics_writer_t       *w;
    ngx_http_analytics_person_t  *person;

    w = &s->w;
    person = s->source;

    ngx_analytics_write_literal(w, "{\"user_id\":");
    ngx_analytics_user_write(w, &s->conf->events->format,
                             &s->query.filter.user);
    ngx_analytics_write_literal(w, ",\"exported_at\":");
    ngx_analytics_write_time(w, person->now);
    ngx_analytics_write_literal(w, ",\"statistics\":");

    if (person->user.known) {
        ngx_analytics_write_literal(w, "{");
        ngx_http_analytics_write_user(w, &person->user);
        ngx_analytics_write_literal(w, "}");

    } else {
        ngx_analytics_write_literal(w, "null");
    }

    ngx_analytics_write_literal(w, ",\"activity_counts\":[");
}


static ngx_int_t
ngx_http_analytics_person_next(ngx_http_analytics_stream_t *s)
{
    ngx_int_t                     rc;
    ngx_http_analytics_person_t  *person;

    person = s->source;

    if (person->read) {
        rc = ngx_http_analytics_person_counts(s, person);

        if (rc != NGX_DONE) {
            return rc;
        }

        ngx_http_analytics_person_close(s);

        ngx_analytics_write_literal(&s->w, "],\"events\":[");
    }

    rc = ngx_http_analytics_stream_found(s);

    if (rc == NGX_DONE && !person->user.known && person->counts == 0
        && s->rows == 0)
    {
        return NGX_DECLINED;
    }

    return rc;
}


static ngx_int_t
ngx_http_analytics_person_counts(ngx_http_analytics_stream_t *s,
    ngx_http_analytics_person_t *person)
{
    if (!s->begun) {
        s->close = ngx_http_analytics_person_close;

        if (ngx_analytics_periods_read_open(person->read, &s->fail)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_analytics_counts_read(s, person->read, &person->counts);
}


static void
ngx_http_analytics_person_close(ngx_http_analytics_stream_t *s)
{
    ngx_http_analytics_person_t  *person;

    person = s->source;

    if (person->read) {
        ngx_analytics_periods_read_close(person->read);
        person->read = NULL;
    }
}


static void
ngx_http_analytics_person_event(ngx_http_analytics_stream_t *s,
    ngx_analytics_row_t *row)
{
    ngx_analytics_event_t  event;

    if (s->rows) {
        ngx_analytics_write_literal(&s->w, ",");
    }

    ngx_analytics_write_literal(&s->w, "{\"received\":");
    ngx_analytics_write_time(&s->w, row->received);
    ngx_analytics_write_literal(&s->w, ",\"event\":");

    ngx_http_analytics_row_event(row, &event);

    ngx_analytics_event_write(&s->w, &s->conf->events->format, &event,
                              row->id, row->received);

    ngx_analytics_write_literal(&s->w, "}");
}


static void
ngx_http_analytics_person_finish(ngx_http_analytics_stream_t *s)
{
    ngx_analytics_write_literal(&s->w, "]}");
}
