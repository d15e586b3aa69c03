
/*
 * Requests that wait for a thread, which computes something for them.
 *
 * Only a few of a kind are on threads at once in a process; the others wait in
 * the line of their kind.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"


#define NGX_HTTP_ANALYTICS_WAITERS  2          /* at once, of a line */


static void ngx_http_analytics_waiter_gone(void *data);
static void ngx_http_analytics_waiter_next(ngx_http_analytics_line_t *line);
static void ngx_http_analytics_waiter_start(
    ngx_http_analytics_waiter_t *waiter);
static void ngx_http_analytics_waiter_run(void *data, ngx_log_t *log);
static void ngx_http_analytics_waiter_done(ngx_event_t *ev);


void
ngx_http_analytics_line_init(ngx_http_analytics_line_t *line)
{
    ngx_queue_init(&line->waiting);
}


ngx_int_t
ngx_http_analytics_waiter_init(ngx_http_analytics_waiter_t *waiter,
    ngx_http_request_t *r, ngx_http_analytics_line_t *line,
    ngx_int_t (*run)(void *data), void *data)
{
    ngx_thread_task_t           *task;
    ngx_http_cleanup_t          *gone;
    ngx_http_analytics_waiter_t  **ctx;

    task = ngx_thread_task_alloc(r->pool, sizeof(void *));
    gone = ngx_http_cleanup_add(r, 0);

    if (task == NULL || gone == NULL) {
        return NGX_ERROR;
    }

    ctx = task->ctx;
    *ctx = waiter;

    task->handler = ngx_http_analytics_waiter_run;
    task->event.handler = ngx_http_analytics_waiter_done;
    task->event.data = waiter;
    task->event.log = ngx_cycle->log;

    gone->handler = ngx_http_analytics_waiter_gone;
    gone->data = waiter;

    waiter->request = r;
    waiter->line = line;
    waiter->run = run;
    waiter->data = data;
    waiter->task = task;

    return NGX_OK;
}


ngx_int_t
ngx_http_analytics_waiter_wait(ngx_http_analytics_waiter_t *waiter,
    ngx_http_event_handler_pt handler)
{
    ngx_http_request_t  *r;

    r = waiter->request;

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_test_reading;
    }

    r->write_event_handler = handler;
    r->main->count++;

    ngx_http_analytics_hold();

    waiter->waiting = 1;

    ngx_queue_insert_tail(&waiter->line->waiting, &waiter->queue);

    ngx_http_analytics_waiter_next(waiter->line);

    return NGX_DONE;
}


ngx_uint_t
ngx_http_analytics_waiter_made(ngx_http_analytics_waiter_t *waiter)
{
    ngx_http_request_t  *r;

    r = waiter->request;

    if (waiter->made) {
        waiter->made = 0;
        return 1;
    }

    if (ngx_handle_write_event(r->connection->write, 0) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }

    return 0;
}


/* While a thread is at work the request stays. */

static void
ngx_http_analytics_waiter_gone(void *data)
{
    ngx_http_analytics_waiter_t *waiter = data;

    if (waiter->waiting) {
        waiter->waiting = 0;

        ngx_queue_remove(&waiter->queue);
        ngx_http_analytics_let_go();
    }
}


static void
ngx_http_analytics_waiter_next(ngx_http_analytics_line_t *line)
{
    ngx_queue_t  *q;

    while (line->running < NGX_HTTP_ANALYTICS_WAITERS
           && !ngx_queue_empty(&line->waiting))
    {
        q = ngx_queue_head(&line->waiting);

        /* it takes the head of the next turn for this one */

        ngx_queue_remove(q); /* NOLINT(clang-analyzer-core.NullDereference) */

        ngx_http_analytics_waiter_start(
                        ngx_queue_data(q, ngx_http_analytics_waiter_t, queue));
    }
}


static void
ngx_http_analytics_waiter_start(ngx_http_analytics_waiter_t *waiter)
{
    ngx_http_request_t              *r;
    ngx_http_analytics_main_conf_t  *amcf;

    r = waiter->request;

    waiter->waiting = 0;
    waiter->line->running++;

    r->main->blocked++;
    r->aio = 1;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_analytics_module);

    if (ngx_thread_task_post(amcf->thread_pool, waiter->task) == NGX_OK) {
        return;
    }

    waiter->rc = NGX_ABORT;

    ngx_post_event(&waiter->task->event, &ngx_posted_events);
}


static void
ngx_http_analytics_waiter_run(void *data, ngx_log_t *log)
{
    ngx_http_analytics_waiter_t **waiter = data;

    (*waiter)->rc = (*waiter)->run((*waiter)->data);
}


static void
ngx_http_analytics_waiter_done(ngx_event_t *ev)
{
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_analytics_line_t  *line;
    ngx_http_analytics_waiter_t  *waiter;

    waiter = ev->data;
    line = waiter->line;
    r = waiter->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    waiter->made = 1;
    line->running--;

    r->main->blocked--;
    r->aio = 0;

    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);

    ngx_http_analytics_waiter_next(line);

    ngx_http_analytics_let_go();
}
