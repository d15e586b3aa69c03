
/*
 * analytics_collect: takes events.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"


static void ngx_http_analytics_collect_run(ngx_http_analytics_post_t *post);


ngx_int_t
ngx_http_analytics_collect_handler(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_analytics_methods(r, NGX_HTTP_POST);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_http_analytics_post(r, ngx_http_analytics_collect_run);
}


static void
ngx_http_analytics_collect_run(ngx_http_analytics_post_t *post)
{
    if (ngx_http_analytics_post_decode(post) != NGX_OK) {

        if (!post->threaded) {
            ngx_http_analytics_post_done(post);
        }

        return;
    }

    if (!post->threaded) {
        ngx_http_analytics_ingest(post);
        return;
    }

    if (ngx_http_analytics_ingest_now(post) != NGX_OK) {
        post->status = NGX_HTTP_SERVICE_UNAVAILABLE;
        post->detail = "the zone is damaged";
        return;
    }

    ngx_http_analytics_collect_answer(post);
}


void
ngx_http_analytics_collect_answer(ngx_http_analytics_post_t *post)
{
    ngx_analytics_event_t   *event;
    ngx_analytics_decode_t  *d;
    ngx_analytics_writer_t   w;

    d = &post->decode;

    if (d->list) {
        ngx_analytics_writer_init(&w, ngx_http_analytics_palloc, post->out,
                                  128);

        ngx_analytics_write_literal(&w, "{\"accepted\":");
        ngx_analytics_write_uint(&w, d->n);

        if (d->n) {
            ngx_analytics_write_literal(&w, ",\"first_id\":");
            ngx_analytics_write_uint(&w, post->id);
            ngx_analytics_write_literal(&w, ",\"last_id\":");
            ngx_analytics_write_uint(&w, post->id + d->n - 1);
        }

        ngx_analytics_write_literal(&w, "}");

    } else {
        event = &d->first->events[0];

        ngx_analytics_writer_init(&w, ngx_http_analytics_palloc, post->out,
                                  256 + post->body.len);

        ngx_analytics_event_write(&w, d->format, event, post->id,
                                  post->received);
    }

    if (w.failed) {
        post->status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        return;
    }

    post->status = NGX_HTTP_CREATED;
    post->answer.data = w.start;
    post->answer.len = w.pos - w.start;
}
