
/*
 * Active users of a range behind which they were active, too: each user is
 * asked, which takes longer than an event loop may, where there are many.  A
 * thread does it while the request waits; then the location's handler is
 * called again, and finds what was counted.  So it is with whatever else takes
 * long of an answer.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_metrics.h"


/* Of a request, which asks for one range only. */
struct ngx_http_analytics_active_s {
    ngx_http_analytics_waiter_t  waiter;
    ngx_http_analytics_zone_t   *zone;

    uint64_t                     state;     /* ..._kept_state() before */
    int64_t                      first;     /* days */
    int64_t                      last;
    uint64_t                     n;

    ngx_int_t                  (*run)(void *data);   /* or that, once */
    void                        *data;

    unsigned                     known:1;
};


static ngx_int_t ngx_http_analytics_active_run(void *data);
static void ngx_http_analytics_active_write(ngx_http_request_t *r);
static ngx_int_t ngx_http_analytics_active_again(ngx_http_request_t *r,
    ngx_http_analytics_active_t *active);


static ngx_http_analytics_line_t  ngx_http_analytics_active_line;


void
ngx_http_analytics_active_init(void)
{
    ngx_http_analytics_line_init(&ngx_http_analytics_active_line);
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


void
ngx_http_analytics_active_job(ngx_http_analytics_active_t *active,
    ngx_int_t (*run)(void *data), void *data)
{
    active->run = run;
    active->data = data;
}


void *
ngx_http_analytics_active_data(ngx_http_analytics_active_t *active)
{
    return active->data;
}


ngx_int_t
ngx_http_analytics_active_wait(ngx_http_request_t *r)
{
    ngx_http_analytics_active_t  *active;

    active = ngx_http_get_module_ctx(r, ngx_http_analytics_module);

    if (active->waiter.task == NULL
        && ngx_http_analytics_waiter_init(&active->waiter, r,
                                          &ngx_http_analytics_active_line,
                                          ngx_http_analytics_active_run,
                                          active)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_analytics_waiter_wait(&active->waiter,
                                          ngx_http_analytics_active_write);
}


static ngx_int_t
ngx_http_analytics_active_run(void *data)
{
    ngx_http_analytics_active_t *active = data;

    if (active->run) {
        return active->run(active->data);
    }

    return ngx_http_analytics_column_active_each(active->zone, active->first,
                                                 active->last, &active->n);
}


static void
ngx_http_analytics_active_write(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_http_analytics_active_t  *active;

    active = ngx_http_get_module_ctx(r, ngx_http_analytics_module);

    if (!ngx_http_analytics_waiter_made(&active->waiter)) {
        return;
    }

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

    if (active->waiter.rc == NGX_ABORT) {
        return ngx_http_analytics_problem(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                          "no thread can be had", NULL, NULL);
    }

    if (active->waiter.rc != NGX_OK) {
        return ngx_http_analytics_damaged(r, active->zone);
    }

    if (active->run) {
        active->run = NULL;

    } else {
        active->known = 1;
    }

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);

    return alcf->handler(r);
}
