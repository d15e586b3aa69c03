
/*
 * analytics_collect: takes events.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"


static ngx_uint_t ngx_http_analytics_collect_declined(ngx_http_request_t *r,
    ngx_http_analytics_loc_conf_t *alcf);
static ngx_uint_t ngx_http_analytics_collect_one(ngx_http_request_t *r,
    ngx_str_t *name);
static void ngx_http_analytics_collect_run(ngx_http_analytics_post_t *post);


ngx_int_t
ngx_http_analytics_collect_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_http_analytics_loc_conf_t  *alcf;

    rc = ngx_http_analytics_methods(r, NGX_HTTP_POST);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);

    if (ngx_http_analytics_collect_declined(r, alcf)) {

        rc = ngx_http_discard_request_body(r);

        return (rc == NGX_OK)
               ? ngx_http_analytics_send_status(r, NGX_HTTP_NO_CONTENT) : rc;
    }

    return ngx_http_analytics_post(r, ngx_http_analytics_collect_run);
}


/*
 * Whether who sends it does not want to be counted: by "Sec-GPC: 1" (Global
 * Privacy Control) or "DNT: 1" (Tracking Preference Expression), where that
 * is to be honored.
 */

static ngx_uint_t
ngx_http_analytics_collect_declined(ngx_http_request_t *r,
    ngx_http_analytics_loc_conf_t *alcf)
{
    static ngx_str_t  gpc = ngx_string("sec-gpc");
    static ngx_str_t  dnt = ngx_string("dnt");

    return ((alcf->honor & NGX_HTTP_ANALYTICS_HONOR_GPC)
            && ngx_http_analytics_collect_one(r, &gpc))
           || ((alcf->honor & NGX_HTTP_ANALYTICS_HONOR_DNT)
               && ngx_http_analytics_collect_one(r, &dnt));
}


/* Whether a header is there and is "1". */

static ngx_uint_t
ngx_http_analytics_collect_one(ngx_http_request_t *r, ngx_str_t *name)
{
    ngx_table_elt_t            *h;
    ngx_http_analytics_walk_t   walk;

    ngx_memzero(&walk, sizeof(ngx_http_analytics_walk_t));

    h = ngx_http_analytics_header_next(r, name, &walk);

    return h && h->value.len == 1 && h->value.data[0] == '1';
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

    if (ngx_http_analytics_key_init(post) != NGX_OK) {
        post->status = NGX_HTTP_INTERNAL_SERVER_ERROR;

        if (!post->threaded) {
            ngx_http_analytics_post_done(post);
        }

        return;
    }

    if (post->decode.n == 0) {

        /* an empty list: there is nothing to be stored */

        ngx_http_analytics_collect_answer(post);

        if (!post->threaded) {
            ngx_http_analytics_post_done(post);
        }

        return;
    }

    if (!post->threaded) {
        ngx_http_analytics_ingest(post);
        return;
    }

    if (ngx_http_analytics_ingest_now(post) == NGX_OK) {
        ngx_http_analytics_collect_answer(post);
    }
}


void
ngx_http_analytics_collect_answer(ngx_http_analytics_post_t *post)
{
    ngx_analytics_event_t   *event;
    ngx_analytics_decode_t  *d;
    ngx_analytics_writer_t   w;

    d = &post->decode;

    if (post->conf->silent) {
        post->status = NGX_HTTP_CREATED;
        return;
    }

    if (d->list) {
        ngx_analytics_writer_init(&w, ngx_http_analytics_palloc, post->out,
                                  128);

        ngx_analytics_write_literal(&w, "{\"accepted\":");
        ngx_analytics_write_uint(&w, d->n);

        if (d->n) {
            ngx_analytics_write_literal(&w, ",\"first_id\":");
            ngx_analytics_write_uint(&w, post->first);
            ngx_analytics_write_literal(&w, ",\"last_id\":");
            ngx_analytics_write_uint(&w, post->last);
        }

        ngx_analytics_write_literal(&w, "}");

    } else {
        event = &d->first->events[0];

        ngx_analytics_writer_init(&w, ngx_http_analytics_palloc, post->out,
                                  256 + post->body.len);

        ngx_analytics_event_write(&w, d->format, event, post->first,
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
