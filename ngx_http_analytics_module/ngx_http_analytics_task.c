
/*
 * Posts worked on by threads.
 *
 * nginx's pool has 32 threads: left alone, as many large bodies would take
 * the processors from the event loops, and memory for all of them at once.
 * So a process has only a few under way, and the others wait in line.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"


#if (NGX_THREADS)


#define NGX_HTTP_ANALYTICS_TASKS  2

/* how often the timer that keeps a process alive is set anew */
#define NGX_HTTP_ANALYTICS_HOLD   60000


static ngx_int_t ngx_http_analytics_task_start(
    ngx_http_analytics_post_t *post);
static void ngx_http_analytics_task_run(void *data, ngx_log_t *log);
static void ngx_http_analytics_task_done(ngx_event_t *ev);
static void ngx_http_analytics_task_next(void);
static void ngx_http_analytics_task_hold(void);
static void ngx_http_analytics_task_hold_handler(ngx_event_t *ev);


static ngx_uint_t   ngx_http_analytics_tasks;       /* under way */
static ngx_queue_t  ngx_http_analytics_tasks_waiting;

/*
 * A process that is told to quit does so when no timer is left but those
 * that may be cancelled.  A request that waits for a thread has none: this
 * one is set while there are any.
 */
static ngx_event_t  ngx_http_analytics_tasks_hold;


ngx_int_t
ngx_http_analytics_task_post(ngx_http_analytics_post_t *post)
{
    if (ngx_http_analytics_tasks_waiting.next == NULL) {
        ngx_queue_init(&ngx_http_analytics_tasks_waiting);
    }

    if (ngx_http_analytics_tasks < NGX_HTTP_ANALYTICS_TASKS) {
        return ngx_http_analytics_task_start(post);
    }

    ngx_queue_insert_tail(&ngx_http_analytics_tasks_waiting, &post->queue);

    return NGX_OK;
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
    ngx_http_analytics_task_hold();

    return NGX_OK;
}


static void
ngx_http_analytics_task_run(void *data, ngx_log_t *log)
{
    ngx_http_analytics_post_t **post = data;

    (*post)->run(*post);
}


static void
ngx_http_analytics_task_done(ngx_event_t *ev)
{
    ngx_http_analytics_tasks--;

    ngx_http_analytics_post_done(ev->data);

    ngx_http_analytics_task_next();

    if (ngx_http_analytics_tasks == 0
        && ngx_http_analytics_tasks_hold.timer_set)
    {
        ngx_del_timer(&ngx_http_analytics_tasks_hold);
    }
}


static void
ngx_http_analytics_task_hold(void)
{
    ngx_event_t  *ev;

    ev = &ngx_http_analytics_tasks_hold;

    if (ev->timer_set) {
        return;
    }

    ev->handler = ngx_http_analytics_task_hold_handler;
    ev->log = ngx_cycle->log;

    ngx_add_timer(ev, NGX_HTTP_ANALYTICS_HOLD);
}


static void
ngx_http_analytics_task_hold_handler(ngx_event_t *ev)
{
    if (ngx_http_analytics_tasks) {
        ngx_add_timer(ev, NGX_HTTP_ANALYTICS_HOLD);
    }
}


static void
ngx_http_analytics_task_next(void)
{
    ngx_queue_t                *q;
    ngx_http_analytics_post_t  *post;

    while (!ngx_queue_empty(&ngx_http_analytics_tasks_waiting)
           && ngx_http_analytics_tasks < NGX_HTTP_ANALYTICS_TASKS)
    {
        q = ngx_queue_head(&ngx_http_analytics_tasks_waiting);
        ngx_queue_remove(q);

        post = ngx_queue_data(q, ngx_http_analytics_post_t, queue);

        if (ngx_http_analytics_task_start(post) != NGX_OK) {
            post->status = NGX_HTTP_INTERNAL_SERVER_ERROR;
            ngx_http_analytics_post_done(post);
        }
    }
}


#endif
