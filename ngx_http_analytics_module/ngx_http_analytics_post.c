
/*
 * Requests that post a body: read it, have run() work on it, answer.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"

#include <openssl/rand.h>


/* where client_max_body_size is 0, inflated bodies still have a limit */
#define NGX_HTTP_ANALYTICS_INFLATED_MAX  (1024 * 1024 * 1024)


/* strangers choose events' ids: random, of each process */
static uint64_t  ngx_http_analytics_twins_key[2];


typedef enum {
    NGX_HTTP_ANALYTICS_TYPE_OTHER = 0,
    NGX_HTTP_ANALYTICS_TYPE_JSON,
    NGX_HTTP_ANALYTICS_TYPE_NDJSON
} ngx_http_analytics_type_e;


static ngx_int_t ngx_http_analytics_post_refuse(ngx_http_request_t *r,
    ngx_uint_t status, const char *detail);
static ngx_http_analytics_type_e ngx_http_analytics_post_type(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_analytics_post_encoding(ngx_http_request_t *r,
    ngx_uint_t *gzip);
static void ngx_http_analytics_post_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_analytics_post_start(
    ngx_http_analytics_post_t *post);
static ngx_uint_t ngx_http_analytics_post_large(
    ngx_http_analytics_post_t *post);
static ngx_int_t ngx_http_analytics_post_pools(
    ngx_http_analytics_post_t *post);
static void ngx_http_analytics_post_cleanup(void *data);
static void ngx_http_analytics_post_write_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_analytics_post_answer(
    ngx_http_analytics_post_t *post);


ngx_int_t
ngx_http_analytics_post_init(void)
{
    return RAND_bytes((u_char *) ngx_http_analytics_twins_key,
                      sizeof(ngx_http_analytics_twins_key))
           == 1 ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_analytics_post(ngx_http_request_t *r,
    void (*run)(ngx_http_analytics_post_t *post))
{
    ngx_int_t                       rc;
    ngx_uint_t                      gzip;
    ngx_http_core_loc_conf_t       *clcf;
    ngx_http_analytics_post_t      *post;
    ngx_http_analytics_type_e       type;
    ngx_http_analytics_loc_conf_t  *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);

    type = ngx_http_analytics_post_type(r);

    if (type == NGX_HTTP_ANALYTICS_TYPE_OTHER && !alcf->any_type) {
        return ngx_http_analytics_post_refuse(r,
                  NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                  "the Content-Type must be application/json or "
                  "application/x-ndjson");
    }

    if (ngx_http_analytics_post_encoding(r, &gzip) != NGX_OK) {
        return ngx_http_analytics_post_refuse(r,
                  NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                  "the Content-Encoding must be gzip");
    }

    post = ngx_pcalloc(r->pool, sizeof(ngx_http_analytics_post_t));
    if (post == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    post->request = r;
    post->conf = alcf;
    post->run = run;
    post->body.gzip = gzip;
    post->body.copy = (clcf->client_body_in_file_only != 0);

    /* others may have asked for the body before us, as "mirror" does */

    post->body.last = (r->request_body == NULL && !r->preserve_body
                       && clcf->post_action.data == NULL
                       && !post->body.copy);
    post->body.max = clcf->client_max_body_size
                     ? (size_t) clcf->client_max_body_size
                     : NGX_HTTP_ANALYTICS_INFLATED_MAX;
    post->decode.ndjson = (type == NGX_HTTP_ANALYTICS_TYPE_NDJSON);

    if (ngx_http_analytics_key_header(post) != NGX_OK) {
        return ngx_http_analytics_post_refuse(r, NGX_HTTP_BAD_REQUEST,
                  "the Idempotency-Key must be one, of 1 to 255 bytes");
    }

    ngx_http_set_ctx(r, post, ngx_http_analytics_module);

    /* a body in a temporary file is nothing to be logged */

    r->request_body_in_single_buf = 1;
    r->request_body_file_log_level = 0;

    rc = ngx_http_read_client_request_body(r,
                                       ngx_http_analytics_post_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


static ngx_int_t
ngx_http_analytics_post_refuse(ngx_http_request_t *r, ngx_uint_t status,
    const char *detail)
{
    ngx_int_t  rc;

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_analytics_problem(r, status, detail, NULL, NULL);
}


static ngx_http_analytics_type_e
ngx_http_analytics_post_type(ngx_http_request_t *r)
{
    u_char      *p, *last;
    ngx_str_t    type;
    ngx_uint_t   i;

    static ngx_str_t  ndjson[] = {
        ngx_string("application/x-ndjson"),
        ngx_string("application/ndjson"),
        ngx_string("application/jsonl"),
        ngx_null_string
    };

    if (r->headers_in.content_type == NULL) {
        return NGX_HTTP_ANALYTICS_TYPE_OTHER;
    }

    type = r->headers_in.content_type->value;

    /* parameters do not matter: JSON is UTF-8 whatever they say */

    last = type.data + type.len;

    for (p = type.data; p < last; p++) {
        if (*p == ';' || *p == ' ' || *p == '\t') {
            break;
        }
    }

    type.len = p - type.data;

    if (type.len == sizeof("application/json") - 1
        && ngx_strncasecmp(type.data, (u_char *) "application/json", type.len)
           == 0)
    {
        return NGX_HTTP_ANALYTICS_TYPE_JSON;
    }

    for (i = 0; ndjson[i].len; i++) {
        if (type.len == ndjson[i].len
            && ngx_strncasecmp(type.data, ndjson[i].data, type.len) == 0)
        {
            return NGX_HTTP_ANALYTICS_TYPE_NDJSON;
        }
    }

    return NGX_HTTP_ANALYTICS_TYPE_OTHER;
}


static ngx_int_t
ngx_http_analytics_post_encoding(ngx_http_request_t *r, ngx_uint_t *gzip)
{
    ngx_table_elt_t            *h;
    ngx_http_analytics_walk_t   walk;

    static ngx_str_t  name = ngx_string("content-encoding");

    *gzip = 0;

    ngx_memzero(&walk, sizeof(ngx_http_analytics_walk_t));

    for ( ;; ) {
        h = ngx_http_analytics_header_next(r, &name, &walk);

        if (h == NULL) {
            return NGX_OK;
        }

        if (h->value.len == 4
            && ngx_strncasecmp(h->value.data, (u_char *) "gzip", 4) == 0
            && !*gzip)
        {
            *gzip = 1;
            continue;
        }

        if (h->value.len == 8
            && ngx_strncasecmp(h->value.data, (u_char *) "identity", 8) == 0)
        {
            continue;
        }

        return NGX_DECLINED;
    }
}


static void
ngx_http_analytics_post_body_handler(ngx_http_request_t *r)
{
    ngx_http_analytics_post_t  *post;

    post = ngx_http_get_module_ctx(r, ngx_http_analytics_module);

    post->body.in = r->request_body ? r->request_body->bufs : NULL;

    /*
     * The request waits for something that is no event of its connection.
     * Should the client leave meanwhile, nginx sets another write handler,
     * and frees nothing as long as the request is blocked.
     */

    r->main->blocked++;
    r->aio = 1;
    r->write_event_handler = ngx_http_analytics_post_write_handler;

    if (ngx_http_analytics_post_start(post) != NGX_OK) {
        post->status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        ngx_http_analytics_post_done(post);
    }
}


static ngx_int_t
ngx_http_analytics_post_start(ngx_http_analytics_post_t *post)
{

    if (ngx_http_analytics_post_large(post)) {

        if (ngx_http_analytics_post_pools(post) != NGX_OK) {
            return NGX_ERROR;
        }

        ngx_http_analytics_task_post(post);

        return NGX_OK;
    }


    post->pool = post->request->pool;
    post->out = post->request->pool;

    post->run(post);

    return NGX_OK;
}


/*
 * What is in a file or takes more than a moment is no work for this loop.
 * What a compressed body will become is not known: at most a thousand times
 * as much.
 */

static ngx_uint_t
ngx_http_analytics_post_large(ngx_http_analytics_post_t *post)
{
    off_t         len;
    ngx_uint_t    file;
    ngx_chain_t  *cl;

    len = 0;
    file = 0;

    for (cl = post->body.in; cl; cl = cl->next) {

        if (!ngx_buf_in_memory(cl->buf) && ngx_buf_size(cl->buf)) {
            file = 1;
        }

        len += ngx_buf_size(cl->buf);
    }

    if (post->body.gzip) {
        post->huge = (len > NGX_HTTP_ANALYTICS_HUGE_MIN / 1024);
        return 1;
    }

    post->huge = (len > NGX_HTTP_ANALYTICS_HUGE_MIN);

    return file || len > NGX_HTTP_ANALYTICS_INLINE_MAX;
}


/*
 * A request's pool must not be used by a thread.  And the answer is what is
 * left until a slow client has read it: so it has a pool of its own.
 */

static ngx_int_t
ngx_http_analytics_post_pools(ngx_http_analytics_post_t *post)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(post->request->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_analytics_post_cleanup;
    cln->data = post;

    post->threaded = 1;

    post->pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);
    if (post->pool == NULL) {
        return NGX_ERROR;
    }

    post->out = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);
    if (post->out == NULL) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_analytics_post_cleanup(void *data)
{
    ngx_http_analytics_post_t *post = data;

    ngx_http_analytics_post_release(post);

    if (post->out) {
        ngx_destroy_pool(post->out);
    }
}


void
ngx_http_analytics_post_release(ngx_http_analytics_post_t *post)
{
    size_t                   size;
    ngx_analytics_error_t   *errors;
    ngx_analytics_decode_t  *d;

    ngx_http_analytics_body_free(&post->body);

    if (!post->threaded || post->pool == NULL) {
        return;
    }

    /* the errors are part of the answer */

    d = &post->decode;

    if (d->nerrors) {
        size = d->nerrors * sizeof(ngx_analytics_error_t);

        errors = ngx_palloc(post->out, size);

        if (errors) {
            ngx_memcpy(errors, d->errors, size);

        } else {
            post->status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        d->errors = errors;
    }

    ngx_destroy_pool(post->pool);
    post->pool = NULL;
}


ngx_int_t
ngx_http_analytics_post_decode(ngx_http_analytics_post_t *post)
{
    ngx_int_t                rc;
    ngx_analytics_decode_t  *d;

    rc = ngx_http_analytics_body_load(&post->body, post->pool, &post->detail);

    if (rc != NGX_OK) {
        post->status = (rc == NGX_ERROR) ? NGX_HTTP_INTERNAL_SERVER_ERROR : rc;
        return NGX_ERROR;
    }

    d = &post->decode;

    d->format = &post->conf->format->format;
    d->now = ngx_http_analytics_now();
    d->alloc = ngx_http_analytics_palloc;
    d->ctx = post->pool;
    d->key[0] = ngx_http_analytics_twins_key[0];
    d->key[1] = ngx_http_analytics_twins_key[1];

    switch (ngx_analytics_decode(d, post->body.data, post->body.len)) {

    case NGX_OK:
        return NGX_OK;

    case NGX_DECLINED:
        post->status = NGX_HTTP_BAD_REQUEST;
        return NGX_ERROR;

    case NGX_ABORT:
        post->status = NGX_HTTP_UNPROCESSABLE_ENTITY;
        return NGX_ERROR;

    default: /* NGX_ERROR */
        post->status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        return NGX_ERROR;
    }
}


void
ngx_http_analytics_post_done(ngx_http_analytics_post_t *post)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = post->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    post->done = 1;

    r->main->blocked--;
    r->aio = 0;

    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_analytics_post_write_handler(ngx_http_request_t *r)
{
    ngx_http_analytics_post_t  *post;

    post = ngx_http_get_module_ctx(r, ngx_http_analytics_module);

    if (!post->done) {
        return;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_http_finalize_request(r, ngx_http_analytics_post_answer(post));
}


static ngx_int_t
ngx_http_analytics_post_answer(ngx_http_analytics_post_t *post)
{
    ngx_http_request_t      *r;
    ngx_analytics_decode_t  *d;

    r = post->request;
    d = &post->decode;

    switch (post->status) {

    case NGX_HTTP_OK:
    case NGX_HTTP_CREATED:

        if (post->answer.len == 0) {
            return ngx_http_analytics_send_status(r, post->status);
        }

        return ngx_http_analytics_send_json(r, post->status, &post->answer);

    case NGX_HTTP_BAD_REQUEST:

        if (post->detail == NULL) {
            ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                          "refused a body that is not JSON: %s at byte %uz",
                          d->err, d->offset);
            return ngx_http_analytics_problem(r, post->status, d->err, NULL,
                                              d);
        }

        break;

    case NGX_HTTP_UNPROCESSABLE_ENTITY:

        if (post->detail) {
            break;
        }

        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "refused a body that holds what is no event");

        return ngx_http_analytics_problem(r, post->status, d->err, NULL, d);

    default:
        break;
    }

    if (post->detail) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "refused a body: %s", post->detail);
        return ngx_http_analytics_problem(r, post->status, post->detail, NULL,
                                          NULL);
    }

    return post->status;
}


void *
ngx_http_analytics_palloc(void *pool, size_t size)
{
    return ngx_palloc(pool, size);
}
