
/*
 * Posts worked on by threads.
 *
 * nginx's pool has 32 threads: left alone, as many large bodies would take
 * the processors from the event loops, and memory for all of them at once.
 * So a process has only a few under way, and the others wait in line: the
 * huge ones in a line of their own, as they would keep the others waiting for
 * long.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"


#define NGX_HTTP_ANALYTICS_TASKS  3
#define NGX_HTTP_ANALYTICS_HUGE   2        /* of them */

/* how often the timer that keeps a process alive is set anew */
#define NGX_HTTP_ANALYTICS_HOLD   60000


static ngx_int_t ngx_http_analytics_task_start(
    ngx_http_analytics_post_t *post);
static void ngx_http_analytics_task_run(void *data, ngx_log_t *log);
static void ngx_http_analytics_task_done(ngx_event_t *ev);
static void ngx_http_analytics_task_next(void);
static void ngx_http_analytics_hold_handler(ngx_event_t *ev);


static ngx_uint_t   ngx_http_analytics_tasks;       /* under way */
static ngx_uint_t   ngx_http_analytics_tasks_huge;  /* of them */
static ngx_queue_t  ngx_http_analytics_lines[2];    /* waiting; 1: huge ones */

/*
 * A process that is told to quit does so when no timer is left but those
 * that may be cancelled.  A request that waits for a thread has none: this
 * one is set while there are any.
 */
static ngx_event_t        ngx_http_analytics_hold_event;
static ngx_connection_t   ngx_http_analytics_hold_connection;
static ngx_uint_t         ngx_http_analytics_holds;


void
ngx_http_analytics_task_init(void)
{
    ngx_queue_init(&ngx_http_analytics_lines[0]);
    ngx_queue_init(&ngx_http_analytics_lines[1]);
}


void
ngx_http_analytics_task_post(ngx_http_analytics_post_t *post)
{
    ngx_queue_insert_tail(&ngx_http_analytics_lines[post->huge],
                          &post->queue);

    ngx_http_analytics_task_next();
}


static ngx_int_t
ngx_http_analytics_task_start(ngx_http_analytics_post_t *post)
{
    ngx_thread_task_t               *task;
    ngx_http_analytics_post_t      **ctx;
    ngx_http_analytics_main_conf_t  *amcf;

    task = ngx_thread_task_alloc(post->request->pool,
                                 sizeof(ngx_http_analytics_post_t *));
    if (task == NULL) {
        return NGX_ERROR;
    }

    ctx = task->ctx;
    *ctx = post;

    task->handler = ngx_http_analytics_task_run;
    task->event.handler = ngx_http_analytics_task_done;
    task->event.data = post;

    amcf = ngx_http_get_module_main_conf(post->request,
                                         ngx_http_analytics_module);

    if (ngx_thread_task_post(amcf->thread_pool, task) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_analytics_tasks++;
    ngx_http_analytics_tasks_huge += post->huge;

    ngx_http_analytics_hold();

    return NGX_OK;
}


static void
ngx_http_analytics_task_run(void *data, ngx_log_t *log)
{
    ngx_http_analytics_post_t **post = data;

    (*post)->run(*post);

    /* to free that much takes time, too */

    ngx_http_analytics_post_release(*post);
}


static void
ngx_http_analytics_task_done(ngx_event_t *ev)
{
    ngx_http_analytics_post_t *post = ev->data;

    ngx_http_analytics_tasks--;
    ngx_http_analytics_tasks_huge -= post->huge;

    ngx_http_analytics_post_done(post);

    ngx_http_analytics_task_next();

    ngx_http_analytics_let_go();
}


void
ngx_http_analytics_hold(void)
{
    ngx_event_t  *ev;

    ev = &ngx_http_analytics_hold_event;

    if (ngx_http_analytics_holds++) {
        return;
    }

    /* a timer's event is expected to have a connection, to be logged */

    ngx_http_analytics_hold_connection.fd = (ngx_socket_t) -1;

    ev->data = &ngx_http_analytics_hold_connection;
    ev->handler = ngx_http_analytics_hold_handler;
    ev->log = ngx_cycle->log;

    ngx_add_timer(ev, NGX_HTTP_ANALYTICS_HOLD);
}


void
ngx_http_analytics_let_go(void)
{
    if (--ngx_http_analytics_holds == 0) {
        ngx_del_timer(&ngx_http_analytics_hold_event);
    }
}


static void
ngx_http_analytics_hold_handler(ngx_event_t *ev)
{
    ngx_add_timer(ev, NGX_HTTP_ANALYTICS_HOLD);
}


static void
ngx_http_analytics_task_next(void)
{
    ngx_queue_t                *line, *q;
    ngx_http_analytics_post_t  *post;

    while (ngx_http_analytics_tasks < NGX_HTTP_ANALYTICS_TASKS) {

        line = &ngx_http_analytics_lines[0];

        if (ngx_queue_empty(line)) {
            line = &ngx_http_analytics_lines[1];

            if (ngx_queue_empty(line)
                || ngx_http_analytics_tasks_huge == NGX_HTTP_ANALYTICS_HUGE)
            {
                return;
            }
        }

        q = ngx_queue_head(line);
        ngx_queue_remove(q);

        post = ngx_queue_data(q, ngx_http_analytics_post_t, queue);

        if (ngx_http_analytics_task_start(post) != NGX_OK) {
            post->status = NGX_HTTP_SERVICE_UNAVAILABLE;
            post->detail = "no thread can be had";

            ngx_http_analytics_post_done(post);
        }
    }
}


