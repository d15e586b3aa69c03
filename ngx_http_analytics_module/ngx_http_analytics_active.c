
/*
 * Active users of a range behind which they were active, too: each user is
 * asked, which takes longer than an event loop may, where there are many.  A
 * thread does it while the request waits; then the location's handler is
 * called again, and finds what was counted.
 *
 * Only a few of a process are on threads at once; the others wait in line.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_metrics.h"


#define NGX_HTTP_ANALYTICS_ACTIVES  2


/* Of a request, which asks for one range only. */
struct ngx_http_analytics_active_s {
    ngx_queue_t                 queue;
    ngx_http_request_t         *request;
    ngx_http_analytics_zone_t  *zone;
    ngx_thread_task_t          *task;

    uint64_t                    state;      /* ..._kept_state() before */
    int64_t                     first;      /* days */
    int64_t                     last;
    uint64_t                    n;
    ngx_int_t                   rc;

    unsigned                    waiting:1;
    unsigned                    made:1;
    unsigned                    known:1;
};


static ngx_int_t ngx_http_analytics_active_prepare(
    ngx_http_analytics_active_t *active);
static void ngx_http_analytics_active_gone(void *data);
static void ngx_http_analytics_active_next(void);
static void ngx_http_analytics_active_start(
    ngx_http_analytics_active_t *active);
static void ngx_http_analytics_active_run(void *data, ngx_log_t *log);
static void ngx_http_analytics_active_done(ngx_event_t *ev);
static void ngx_http_analytics_active_write(ngx_http_request_t *r);
static ngx_int_t ngx_http_analytics_active_again(ngx_http_request_t *r,
    ngx_http_analytics_active_t *active);


static ngx_queue_t  ngx_http_analytics_active_line;    /* waiting */
static ngx_uint_t   ngx_http_analytics_actives;        /* on threads */


void
ngx_http_analytics_active_init(void)
{
    ngx_queue_init(&ngx_http_analytics_active_line);
}


ngx_http_analytics_active_t *
ngx_http_analytics_active(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone)
{
    ngx_http_analytics_active_t  *active;

    active = ngx_http_get_module_ctx(r, ngx_http_analytics_module);

    if (active) {
        return active;
    }

    active = ngx_pcalloc(r->pool, sizeof(ngx_http_analytics_active_t));
    if (active == NULL) {
        return NULL;
    }

    active->request = r;
    active->zone = zone;
    active->state = ngx_http_analytics_kept_state(zone);

    ngx_http_set_ctx(r, active, ngx_http_analytics_module);

    return active;
}


uint64_t
ngx_http_analytics_active_state(ngx_http_analytics_active_t *active)
{
    return active->state;
}


ngx_int_t
ngx_http_analytics_active_known(ngx_http_analytics_active_t *active,
    int64_t first, int64_t last, uint64_t *n)
{
    if (active->known && active->first == first && active->last == last) {
        *n = active->n;
        return NGX_OK;
    }

    active->first = first;
    active->last = last;
    active->known = 0;

    return NGX_AGAIN;
}


ngx_int_t
ngx_http_analytics_active_wait(ngx_http_request_t *r)
{
    ngx_http_analytics_active_t  *active;

    active = ngx_http_get_module_ctx(r, ngx_http_analytics_module);

    if (active->task == NULL
        && ngx_http_analytics_active_prepare(active) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_test_reading;
    }

    r->write_event_handler = ngx_http_analytics_active_write;
    r->main->count++;

    ngx_http_analytics_hold();

    active->waiting = 1;

    ngx_queue_insert_tail(&ngx_http_analytics_active_line, &active->queue);

    ngx_http_analytics_active_next();

    return NGX_DONE;
}


static ngx_int_t
ngx_http_analytics_active_prepare(ngx_http_analytics_active_t *active)
{
    ngx_thread_task_t             *task;
    ngx_http_cleanup_t            *gone;
    ngx_http_analytics_active_t  **data;

    task = ngx_thread_task_alloc(active->request->pool, sizeof(void *));
    gone = ngx_http_cleanup_add(active->request, 0);

    if (task == NULL || gone == NULL) {
        return NGX_ERROR;
    }

    data = task->ctx;
    *data = active;

    task->handler = ngx_http_analytics_active_run;
    task->event.handler = ngx_http_analytics_active_done;
    task->event.data = active;
    task->event.log = ngx_cycle->log;

    gone->handler = ngx_http_analytics_active_gone;
    gone->data = active;

    active->task = task;

    return NGX_OK;
}


/* While a thread is at work the request stays. */

static void
ngx_http_analytics_active_gone(void *data)
{
    ngx_http_analytics_active_t *active = data;

    if (active->waiting) {
        active->waiting = 0;

        ngx_queue_remove(&active->queue);
        ngx_http_analytics_let_go();
    }
}


static void
ngx_http_analytics_active_next(void)
{
    ngx_queue_t  *q;

    while (ngx_http_analytics_actives < NGX_HTTP_ANALYTICS_ACTIVES
           && !ngx_queue_empty(&ngx_http_analytics_active_line))
    {
        q = ngx_queue_head(&ngx_http_analytics_active_line);
        ngx_queue_remove(q);

        ngx_http_analytics_active_start(
                ngx_queue_data(q, ngx_http_analytics_active_t, queue));
    }
}


static void
ngx_http_analytics_active_start(ngx_http_analytics_active_t *active)
{
    ngx_http_request_t              *r;
    ngx_http_analytics_main_conf_t  *amcf;

    r = active->request;

    active->waiting = 0;
    ngx_http_analytics_actives++;

    r->main->blocked++;
    r->aio = 1;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_analytics_module);

    if (ngx_thread_task_post(amcf->thread_pool, active->task) == NGX_OK) {
        return;
    }

    active->rc = NGX_ABORT;

    ngx_post_event(&active->task->event, &ngx_posted_events);
}


static void
ngx_http_analytics_active_run(void *data, ngx_log_t *log)
{
    ngx_http_analytics_active_t **ptr = data;

    ngx_http_analytics_active_t  *active;

    active = *ptr;

    active->rc = ngx_http_analytics_column_active_each(active->zone,
                                                       active->first,
                                                       active->last,
                                                       &active->n);
}


static void
ngx_http_analytics_active_done(ngx_event_t *ev)
{
    ngx_connection_t             *c;
    ngx_http_request_t           *r;
    ngx_http_analytics_active_t  *active;

    active = ev->data;
    r = active->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    active->made = 1;
    ngx_http_analytics_actives--;

    r->main->blocked--;
    r->aio = 0;

    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);

    ngx_http_analytics_active_next();

    ngx_http_analytics_let_go();
}


static void
ngx_http_analytics_active_write(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_http_analytics_active_t  *active;

    active = ngx_http_get_module_ctx(r, ngx_http_analytics_module);

    if (!active->made) {

        if (ngx_handle_write_event(r->connection->write, 0) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
        }

        return;
    }

    active->made = 0;

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_block_reading;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    /* the main request may be over: nobody is to wait once more */

    rc = r->connection->error ? NGX_ERROR
                              : ngx_http_analytics_active_again(r, active);

    ngx_http_finalize_request(r, rc);
}


static ngx_int_t
ngx_http_analytics_active_again(ngx_http_request_t *r,
    ngx_http_analytics_active_t *active)
{
    ngx_http_analytics_loc_conf_t  *alcf;

    if (active->rc == NGX_ABORT) {
        return ngx_http_analytics_problem(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                          "no thread can be had", NULL, NULL);
    }

    if (active->rc != NGX_OK) {
        return ngx_http_analytics_damaged(r, active->zone);
    }

    active->known = 1;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);

    return alcf->handler(r);
}
