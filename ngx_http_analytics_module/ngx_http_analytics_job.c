
/*
 * Jobs: work of a zone that may block, done on a thread, of each kind one at a
 * time in a process.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"

#include <sys/resource.h>
#include <sys/syscall.h>


/* after a failure, msec, longer each time */
#define NGX_HTTP_ANALYTICS_WAIT      1000
#define NGX_HTTP_ANALYTICS_WAIT_MAX  60000

#define NGX_HTTP_ANALYTICS_NICE      10


typedef struct {
    void                      (*run)(void *data);
    void                       *data;
    ngx_uint_t                  nice;
} ngx_http_analytics_aside_t;


static void ngx_http_analytics_job_run(void *data, ngx_log_t *log);
static void ngx_http_analytics_job_done(ngx_event_t *ev);
static void *ngx_http_analytics_job_thread(void *data);


ngx_int_t
ngx_http_analytics_job_init(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_job_t *job,
    void (*run)(ngx_http_analytics_zone_t *zone),
    void (*done)(ngx_http_analytics_zone_t *zone))
{
    ngx_memzero(job, sizeof(ngx_http_analytics_job_t));

    job->task = ngx_thread_task_alloc(ngx_cycle->pool, sizeof(void *));
    if (job->task == NULL) {
        return NGX_ERROR;
    }

    job->zone = zone;
    job->run = run;
    job->done = done;

    *(ngx_http_analytics_job_t **) job->task->ctx = job;

    job->task->handler = ngx_http_analytics_job_run;
    job->task->event.handler = ngx_http_analytics_job_done;
    job->task->event.data = job;

    return NGX_OK;
}


void
ngx_http_analytics_job_start(ngx_http_analytics_job_t *job)
{
    ngx_http_analytics_main_conf_t  *amcf;

    if (job->busy
        || (job->wait && ngx_current_msec - job->failed < job->wait))
    {
        return;
    }

    amcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_analytics_module);

    if (ngx_thread_task_post(amcf->thread_pool, job->task) == NGX_OK) {
        job->busy = 1;
    }
}


static void
ngx_http_analytics_job_run(void *data, ngx_log_t *log)
{
    ngx_http_analytics_job_t **job = data;

    (*job)->run((*job)->zone);
}


static void
ngx_http_analytics_job_done(ngx_event_t *ev)
{
    ngx_http_analytics_job_t *job = ev->data;

    job->busy = 0;

    if (job->done) {
        job->done(job->zone);
        return;
    }

    if (job->rc == NGX_OK) {
        job->wait = 0;
        return;
    }

    job->failed = ngx_current_msec;
    job->wait = ngx_min(ngx_max(2 * job->wait, NGX_HTTP_ANALYTICS_WAIT),
                        NGX_HTTP_ANALYTICS_WAIT_MAX);
}


/*
 * A thread of the pool could not stand back: who has once given priority up
 * does not get it back.
 */

void
ngx_http_analytics_job_aside(void (*run)(void *data), void *data,
    ngx_uint_t nice)
{
    int                         err;
    pthread_t                   tid;
    ngx_http_analytics_aside_t  aside;

    aside.run = run;
    aside.data = data;
    aside.nice = nice;

    err = pthread_create(&tid, NULL, ngx_http_analytics_job_thread, &aside);

    if (err == 0) {
        (void) pthread_join(tid, NULL);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, err,
                  "pthread_create() failed");
}


static void *
ngx_http_analytics_job_thread(void *data)
{
    ngx_http_analytics_aside_t *aside = data;

#if (NGX_LINUX)

    /* on Linux this is about the thread */

    if (aside->nice) {
        (void) setpriority(PRIO_PROCESS, (id_t) syscall(SYS_gettid),
                           NGX_HTTP_ANALYTICS_NICE);
    }
#endif

    aside->run(aside->data);

    return NULL;
}
