
/*
 * Answers that are made in chunks: a thread finds rows until a chunk is full,
 * the event loop sends it, and when the client has taken it, asks for the next.
 *
 * Only a few of a process are on threads at once; the others wait in line, and
 * who has had a chunk goes to its end.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_query.h"
#include "ngx_analytics_fault.h"


#define NGX_HTTP_ANALYTICS_STREAMS  4


static void ngx_http_analytics_stream_gone(void *data);
static void ngx_http_analytics_stream_free(void *data);
static void ngx_http_analytics_stream_want(ngx_http_analytics_stream_t *s);
static void ngx_http_analytics_stream_next(void);
static void ngx_http_analytics_stream_start(ngx_http_analytics_stream_t *s);
static void ngx_http_analytics_stream_run(void *data, ngx_log_t *log);
static ngx_int_t ngx_http_analytics_stream_fill(
    ngx_http_analytics_stream_t *s);
static ngx_int_t ngx_http_analytics_stream_open(
    ngx_http_analytics_stream_t *s);
static ngx_int_t ngx_http_analytics_stream_rows(
    ngx_http_analytics_stream_t *s);
static ngx_int_t ngx_http_analytics_stream_ahead(
    ngx_http_analytics_stream_t *s);
static void ngx_http_analytics_stream_close(ngx_http_analytics_stream_t *s);
static ngx_int_t ngx_http_analytics_stream_room(
    ngx_http_analytics_stream_t *s);
static void *ngx_http_analytics_stream_alloc(void *ctx, size_t size);
static void ngx_http_analytics_stream_done(ngx_event_t *ev);
static void ngx_http_analytics_stream_write(ngx_http_request_t *r);
static ngx_int_t ngx_http_analytics_stream_chunk(
    ngx_http_analytics_stream_t *s);
static ngx_int_t ngx_http_analytics_stream_header(
    ngx_http_analytics_stream_t *s);
static ngx_int_t ngx_http_analytics_stream_failed(
    ngx_http_analytics_stream_t *s);
static ngx_int_t ngx_http_analytics_stream_output(
    ngx_http_analytics_stream_t *s, ngx_chain_t *out);
static void ngx_http_analytics_stream_close_run(void *data, ngx_log_t *log);
static void ngx_http_analytics_stream_close_done(ngx_event_t *ev);
static void ngx_http_analytics_stream_destroy(ngx_http_analytics_stream_t *s);


static ngx_queue_t  ngx_http_analytics_streams;     /* waiting */
static ngx_uint_t   ngx_http_analytics_streaming;   /* on threads */


void
ngx_http_analytics_stream_init(void)
{
    ngx_queue_init(&ngx_http_analytics_streams);
}


ngx_http_analytics_stream_t *
ngx_http_analytics_stream_create(ngx_http_request_t *r)
{
    ngx_pool_t                    *pool;
    ngx_http_analytics_stream_t   *s, **ctx;

    /* it may outlive the request */

    pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    s = ngx_pcalloc(pool, sizeof(ngx_http_analytics_stream_t));

    if (s) {
        s->task = ngx_thread_task_alloc(pool, sizeof(void *));
    }

    if (s == NULL || s->task == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    s->pool = pool;
    s->request = r;
    s->conf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);
    s->conf_find.stop = &s->stop;
    s->next = ngx_http_analytics_stream_found;

    ctx = s->task->ctx;
    *ctx = s;

    s->task->handler = ngx_http_analytics_stream_run;
    s->task->event.handler = ngx_http_analytics_stream_done;
    s->task->event.data = s;
    s->task->event.log = ngx_cycle->log;

    return s;
}


ngx_int_t
ngx_http_analytics_stream(ngx_http_analytics_stream_t *s)
{
    ngx_http_request_t  *r;
    ngx_http_cleanup_t  *gone;
    ngx_pool_cleanup_t  *cln;

    r = s->request;

    ngx_http_analytics_hold();

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        ngx_http_analytics_stream_free(s);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_analytics_stream_free;
    cln->data = s;

    gone = ngx_http_cleanup_add(r, 0);
    if (gone == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    gone->handler = ngx_http_analytics_stream_gone;
    gone->data = s;

    ngx_http_set_ctx(r, s, ngx_http_analytics_module);

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_test_reading;
    }

    r->write_event_handler = ngx_http_analytics_stream_write;
    r->main->count++;

    ngx_http_analytics_stream_want(s);

    return NGX_DONE;
}


/* Also when the client leaves while a thread is at work. */

static void
ngx_http_analytics_stream_gone(void *data)
{
    ngx_http_analytics_stream_t *s = data;

    s->stop = 1;

    if (s->waiting) {
        ngx_queue_remove(&s->queue);
        s->waiting = 0;
    }
}


/*
 * The request's pool goes, and with it all that may still be sent; no thread
 * is at work then.  To close databases takes time.
 */

static void
ngx_http_analytics_stream_free(void *data)
{
    ngx_http_analytics_stream_t *s = data;

    ngx_http_analytics_main_conf_t  *amcf;

    if (s->find || s->close) {
        s->task->handler = ngx_http_analytics_stream_close_run;
        s->task->event.handler = ngx_http_analytics_stream_close_done;

        amcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                                   ngx_http_analytics_module);

        if (ngx_thread_task_post(amcf->thread_pool, s->task) == NGX_OK) {
            return;
        }
    }

    ngx_http_analytics_stream_destroy(s);
}


static void
ngx_http_analytics_stream_close_run(void *data, ngx_log_t *log)
{
    ngx_http_analytics_stream_t **s = data;

    ngx_http_analytics_stream_close(*s);
}


static void
ngx_http_analytics_stream_close_done(ngx_event_t *ev)
{
    ngx_http_analytics_stream_destroy(ev->data);
}


static void
ngx_http_analytics_stream_destroy(ngx_http_analytics_stream_t *s)
{
    ngx_http_analytics_stream_close(s);

    free(s->memory);
    free(s->outgrown);

    ngx_destroy_pool(s->pool);

    ngx_http_analytics_let_go();
}


static void
ngx_http_analytics_stream_want(ngx_http_analytics_stream_t *s)
{
    s->waiting = 1;

    ngx_queue_insert_tail(&ngx_http_analytics_streams, &s->queue);

    ngx_http_analytics_stream_next();
}


static void
ngx_http_analytics_stream_next(void)
{
    ngx_queue_t  *q;

    while (ngx_http_analytics_streaming < NGX_HTTP_ANALYTICS_STREAMS
           && !ngx_queue_empty(&ngx_http_analytics_streams))
    {
        q = ngx_queue_head(&ngx_http_analytics_streams);
        ngx_queue_remove(q);

        ngx_http_analytics_stream_start(
                     ngx_queue_data(q, ngx_http_analytics_stream_t, queue));
    }
}


static void
ngx_http_analytics_stream_start(ngx_http_analytics_stream_t *s)
{
    ngx_http_request_t              *r;
    ngx_http_analytics_main_conf_t  *amcf;

    r = s->request;

    s->waiting = 0;
    s->running = 1;
    ngx_http_analytics_streaming++;

    r->main->blocked++;
    r->aio = 1;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_analytics_module);

    if (ngx_thread_task_post(amcf->thread_pool, s->task) == NGX_OK) {
        return;
    }

    s->rc = NGX_ERROR;
    s->fail.err = 0;
    ngx_memcpy(s->fail.text, "no thread can be had",
               sizeof("no thread can be had"));

    ngx_post_event(&s->task->event, &ngx_posted_events);
}


static void
ngx_http_analytics_stream_run(void *data, ngx_log_t *log)
{
    ngx_http_analytics_stream_t **s = data;

    (*s)->rc = ngx_http_analytics_stream_fill(*s);

    if ((*s)->rc != NGX_AGAIN) {
        ngx_http_analytics_stream_close(*s);
    }
}


/*
 * NGX_AGAIN: there is more; NGX_DONE: that was all; NGX_DECLINED: there is
 * nothing; NGX_ABORT: the client has left; NGX_ERROR.
 */

static ngx_int_t
ngx_http_analytics_stream_fill(ngx_http_analytics_stream_t *s)
{
    ngx_int_t  rc;

    if (ngx_http_analytics_stream_room(s) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!s->begun && s->start) {
        s->start(s);
    }

    rc = s->next(s);

    s->begun = 1;

    if (rc == NGX_DONE) {
        s->finish(s);
    }

    return s->w.failed ? NGX_ERROR : rc;
}


ngx_int_t
ngx_http_analytics_stream_found(ngx_http_analytics_stream_t *s)
{
    ngx_int_t  rc;

    if (s->find == NULL && ngx_http_analytics_stream_open(s) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_analytics_stream_rows(s);

    if (rc == NGX_AGAIN && !s->begun && s->query.limit != UINT64_MAX) {
        return ngx_http_analytics_stream_ahead(s);
    }

    if (rc != NGX_ERROR && ngx_analytics_find_incomplete(s->find)
        && ngx_http_analytics_stream_lacks(s) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return rc;
}


ngx_int_t
ngx_http_analytics_stream_lacks(ngx_http_analytics_stream_t *s)
{
    if (s->sent && !s->incomplete) {
        s->fail.err = 0;
        ngx_memcpy(s->fail.text, "a file was damaged meanwhile",
                   sizeof("a file was damaged meanwhile"));

        return NGX_ERROR;
    }

    s->incomplete = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_stream_open(ngx_http_analytics_stream_t *s)
{
    /* one more tells whether there is more */

    s->conf_find.limit = (s->query.limit == UINT64_MAX)
                         ? UINT64_MAX : s->query.limit + 1 - s->rows;

    s->find = ngx_analytics_find_open(&s->conf_find, &s->fail);

    return s->find ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_analytics_stream_rows(ngx_http_analytics_stream_t *s)
{
    ngx_int_t            rc;
    ngx_analytics_row_t  row;

    for ( ;; ) {
        rc = ngx_analytics_find_next(s->find, &row, &s->fail);

        if (rc != NGX_OK) {
            return rc;
        }

        if (s->rows == s->query.limit) {
            s->more = 1;
            return NGX_DONE;
        }

        s->event(s, &row);

        s->rows++;
        s->last = row;

        if (s->w.failed) {
            return NGX_ERROR;
        }

        if (ngx_http_analytics_stream_full(s)) {
            return NGX_AGAIN;
        }
    }
}


/*
 * A page that is not in one chunk: where the next page begins is part of the
 * header.  So its rows are passed over, to be found again.
 */

static ngx_int_t
ngx_http_analytics_stream_ahead(ngx_http_analytics_stream_t *s)
{
    uint64_t              rows;
    ngx_int_t             rc;
    ngx_analytics_row_t   row, last;

    last = s->last;
    rows = s->rows;

    for ( ;; ) {
        rc = ngx_analytics_find_next(s->find, &row, &s->fail);

        if (rc == NGX_DONE) {
            break;
        }

        if (rc != NGX_OK) {
            return rc;
        }

        if (rows == s->query.limit) {
            s->more = 1;
            break;
        }

        rows++;
        s->last = row;
    }

    s->cursor = s->last;
    s->last = last;

    s->conf_find.skip = 0;
    s->conf_find.filter.after = 1;
    s->conf_find.filter.after_time = last.time;
    s->conf_find.filter.after_id = last.id;

    if (ngx_analytics_find_incomplete(s->find)) {
        s->incomplete = 1;
    }

    ngx_analytics_find_close(s->find);
    s->find = NULL;

    ngx_analytics_fault_stop("stream.ahead");

    return NGX_AGAIN;
}


static void
ngx_http_analytics_stream_close(ngx_http_analytics_stream_t *s)
{
    if (s->find) {
        ngx_analytics_find_close(s->find);
        s->find = NULL;
    }

    if (s->close) {
        s->close(s);
        s->close = NULL;
    }
}


/* An empty chunk. */

static ngx_int_t
ngx_http_analytics_stream_room(ngx_http_analytics_stream_t *s)
{
    free(s->outgrown);
    s->outgrown = NULL;

    if (s->size > 4 * NGX_HTTP_ANALYTICS_CHUNK_SIZE) {
        free(s->memory);
        s->memory = NULL;
    }

    if (s->memory == NULL
        && ngx_http_analytics_stream_alloc(s, NGX_HTTP_ANALYTICS_CHUNK_SIZE)
           == NULL)
    {
        s->fail.err = ngx_errno;
        ngx_memcpy(s->fail.text, "malloc() failed", sizeof("malloc() failed"));
        return NGX_ERROR;
    }

    s->w.start = s->memory;
    s->w.pos = s->memory;
    s->w.end = s->memory + s->size;
    s->w.alloc = ngx_http_analytics_stream_alloc;
    s->w.ctx = s;

    return NGX_OK;
}


static void *
ngx_http_analytics_stream_alloc(void *ctx, size_t size)
{
    ngx_http_analytics_stream_t *s = ctx;

    u_char  *p;

    p = malloc(size);

    if (p == NULL) {
        return NULL;
    }

    /* what is in the old one will be copied */

    free(s->outgrown);

    s->outgrown = s->memory;
    s->memory = p;
    s->size = size;

    return p;
}


static void
ngx_http_analytics_stream_done(ngx_event_t *ev)
{
    ngx_connection_t             *c;
    ngx_http_request_t           *r;
    ngx_http_analytics_stream_t  *s;

    s = ev->data;
    r = s->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    s->running = 0;
    s->made = 1;
    ngx_http_analytics_streaming--;

    r->main->blocked--;
    r->aio = 0;

    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);

    ngx_http_analytics_stream_next();
}


static void
ngx_http_analytics_stream_write(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_event_t                  *wev;
    ngx_http_analytics_stream_t  *s;

    s = ngx_http_get_module_ctx(r, ngx_http_analytics_module);
    wev = r->connection->write;

    if (wev->timedout) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, NGX_ETIMEDOUT,
                      "client timed out");
        r->connection->timedout = 1;

        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    if (wev->delayed || s->running || s->waiting) {

        if (ngx_handle_write_event(wev, 0) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
        }

        return;
    }

    rc = s->made ? ngx_http_analytics_stream_chunk(s)
                 : ngx_http_analytics_stream_output(s, NULL);

    if (rc == NGX_ERROR || s->ended) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    if (s->busy == NULL) {

        if (wev->timer_set && !wev->delayed) {
            ngx_del_timer(wev);
        }

        ngx_http_analytics_stream_want(s);
    }
}


/* Sends what was made.  Returns what to finalize with if that is the end. */

static ngx_int_t
ngx_http_analytics_stream_chunk(ngx_http_analytics_stream_t *s)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    s->made = 0;

    if (s->rc != NGX_AGAIN && s->rc != NGX_DONE) {
        s->ended = 1;
        return ngx_http_analytics_stream_failed(s);
    }

    if (!s->sent) {
        rc = ngx_http_analytics_stream_header(s);

        if (rc == NGX_ERROR || rc > NGX_OK || s->request->header_only) {
            s->ended = 1;
            return rc;
        }
    }

    cl = ngx_chain_get_free_buf(s->request->pool, &s->free);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    b = cl->buf;

    ngx_memzero(b, sizeof(ngx_buf_t));

    b->tag = (ngx_buf_tag_t) &ngx_http_analytics_module;

    if (s->w.pos > s->w.start) {
        b->start = s->w.start;
        b->end = s->w.pos;
        b->pos = s->w.start;
        b->last = s->w.pos;
        b->memory = 1;
    }

    if (s->rc == NGX_DONE) {
        s->ended = 1;

        b->last_buf = 1;
        b->last_in_chain = 1;

        return ngx_http_output_filter(s->request, cl);
    }

    return ngx_http_analytics_stream_output(s, cl);
}


static ngx_int_t
ngx_http_analytics_stream_header(ngx_http_analytics_stream_t *s)
{
    u_char               *parameter;
    ngx_str_t             link;
    ngx_http_request_t   *r;
    ngx_analytics_row_t  *row;

    r = s->request;
    s->sent = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_type = *s->type;
    r->headers_out.content_type_len = s->type->len;

    parameter = ngx_strlchr(s->type->data, s->type->data + s->type->len, ';');

    if (parameter) {
        r->headers_out.content_type_len = parameter - s->type->data;
    }

    r->headers_out.content_type_lowcase = NULL;

    if (s->rc == NGX_DONE) {
        r->headers_out.content_length_n = s->w.pos - s->w.start;

    } else {
        ngx_http_clear_content_length(r);
    }

    if (s->disposition
        && ngx_http_analytics_header(r, "Content-Disposition",
                                     s->disposition)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (s->more) {
        row = (s->rc == NGX_DONE) ? &s->last : &s->cursor;

        if (ngx_http_analytics_query_link(r, row->time, row->id, &link)
            != NGX_OK
            || ngx_http_analytics_header(r, "Link", &link) != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (s->incomplete
        && ngx_http_analytics_inexact(r, "some events cannot be read")
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_send_header(r);
}


static ngx_int_t
ngx_http_analytics_stream_failed(ngx_http_analytics_stream_t *s)
{
    ngx_http_request_t  *r;

    r = s->request;

    if (s->rc == NGX_ABORT) {
        return NGX_HTTP_CLIENT_CLOSED_REQUEST;
    }

    if (s->rc == NGX_DECLINED) {
        return ngx_http_analytics_problem(r, NGX_HTTP_NOT_FOUND,
                                          "nothing is known of this user",
                                          NULL, NULL);
    }

    if (s->w.failed) {
        s->fail.err = NGX_ENOMEM;
        ngx_memcpy(s->fail.text, "malloc() failed", sizeof("malloc() failed"));
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, s->fail.err,
                  "analytics zone \"%V\": events cannot be read: %s",
                  &s->conf->zone->name, s->fail.text);

    if (s->sent) {

        /* the client is to see that this is not all */

        return NGX_ERROR;
    }

    return ngx_http_analytics_problem(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                      "the events cannot be read", NULL, NULL);
}


/*
 * Gives more to the filters, or NULL; waits for the client if it must.
 * Returns NGX_OK or NGX_ERROR.
 */

static ngx_int_t
ngx_http_analytics_stream_output(ngx_http_analytics_stream_t *s,
    ngx_chain_t *out)
{
    ngx_int_t                  rc;
    ngx_event_t               *wev;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = s->request;
    wev = r->connection->write;

    rc = ngx_http_output_filter(r, out);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    ngx_chain_update_chains(r->pool, &s->free, &s->busy, &out,
                            (ngx_buf_tag_t) &ngx_http_analytics_module);

    if (s->busy == NULL) {
        return NGX_OK;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (!wev->delayed) {
        ngx_add_timer(wev, clcf->send_timeout);
    }

    return ngx_handle_write_event(wev, clcf->send_lowat);
}
