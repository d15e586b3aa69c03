
/*
 * analytics_erase: DELETE of a user.
 *
 * When it is answered, nobody is shown the user any more, and what is to be
 * done yet is written down: see ngx_analytics_erase.h.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_analytics_erase.h"


#define NGX_HTTP_ANALYTICS_ERASE_HOLD  60000


typedef struct {
    ngx_http_request_t         *request;
    ngx_http_analytics_zone_t  *zone;
    uint64_t                    hash;
    ngx_uint_t                  done;
    ngx_int_t                   rc;
    ngx_analytics_fail_t        fail;
} ngx_http_analytics_erase_ctx_t;


static ngx_int_t ngx_http_analytics_erase_memory(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_str_t *user);
static ngx_int_t ngx_http_analytics_erase_start(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_str_t *user);
static void ngx_http_analytics_erase_run(void *data, ngx_log_t *log);
static void ngx_http_analytics_erase_done(ngx_event_t *ev);
static void ngx_http_analytics_erase_write_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_analytics_erase_answer(ngx_http_request_t *r,
    ngx_http_analytics_erase_ctx_t *ctx);
static ngx_int_t ngx_http_analytics_erase_accepted(ngx_http_request_t *r);


ngx_int_t
ngx_http_analytics_erase_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_str_t                       user, suffix;
    ngx_http_analytics_zone_t      *zone;
    ngx_http_analytics_loc_conf_t  *alcf;

    rc = ngx_http_analytics_methods(r, NGX_HTTP_DELETE);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);
    zone = alcf->zone;

    ngx_str_null(&suffix);

    rc = ngx_http_analytics_uri_name(r, &suffix, &user);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED || user.len > NGX_ANALYTICS_NAME_MAX) {
        return ngx_http_analytics_problem(r, NGX_HTTP_NOT_FOUND,
                                          "the path names no user", NULL,
                                          NULL);
    }

    rc = ngx_http_analytics_fresh(r, zone);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ngx_http_analytics_pseudonym(zone, r->pool, &user) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return zone->path ? ngx_http_analytics_erase_start(r, zone, &user)
                      : ngx_http_analytics_erase_memory(r, zone, &user);
}


static ngx_int_t
ngx_http_analytics_erase_memory(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_str_t *user)
{
    if (ngx_http_analytics_lock(zone) != NGX_OK) {
        return ngx_http_analytics_damaged(r, zone);
    }

    (void) ngx_analytics_zone_erase(zone->sh,
                             ngx_analytics_zone_user_hash(zone->sh, user));

    ngx_http_analytics_unlock(zone);

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "analytics zone \"%V\": a user was erased", &zone->name);

    return ngx_http_analytics_erase_accepted(r);
}


static ngx_int_t
ngx_http_analytics_erase_start(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_str_t *user)
{
    ngx_thread_task_t               *task;
    ngx_http_analytics_main_conf_t  *amcf;
    ngx_http_analytics_erase_ctx_t  *ctx;

    task = ngx_thread_task_alloc(r->pool,
                                 sizeof(ngx_http_analytics_erase_ctx_t));
    if (task == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx = task->ctx;
    ctx->request = r;
    ctx->zone = zone;
    ctx->hash = ngx_analytics_zone_user_hash(zone->sh, user);
    ctx->done = 0;

    task->handler = ngx_http_analytics_erase_run;
    task->event.handler = ngx_http_analytics_erase_done;
    task->event.data = ctx;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_analytics_module);

    if (ngx_thread_task_post(amcf->thread_pool, task) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_set_ctx(r, ctx, ngx_http_analytics_module);

    r->main->blocked++;
    r->main->count++;
    r->aio = 1;
    r->write_event_handler = ngx_http_analytics_erase_write_handler;

    /* a process that is told to quit waits for timers */

    ngx_add_timer(r->connection->write, NGX_HTTP_ANALYTICS_ERASE_HOLD);

    return NGX_DONE;
}


static void
ngx_http_analytics_erase_run(void *data, ngx_log_t *log)
{
    ngx_http_analytics_erase_ctx_t *ctx = data;

    ctx->rc = ngx_http_analytics_erasing_add(ctx->zone, ctx->hash,
                                             &ctx->fail);
}


static void
ngx_http_analytics_erase_done(ngx_event_t *ev)
{
    ngx_http_analytics_erase_ctx_t *ctx = ev->data;

    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }

    ctx->done = 1;

    r->main->blocked--;
    r->aio = 0;

    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_analytics_erase_write_handler(ngx_http_request_t *r)
{
    ngx_http_analytics_erase_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_analytics_module);

    if (!ctx->done) {
        return;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_http_finalize_request(r, ngx_http_analytics_erase_answer(r, ctx));
}


static ngx_int_t
ngx_http_analytics_erase_answer(ngx_http_request_t *r,
    ngx_http_analytics_erase_ctx_t *ctx)
{
    switch (ctx->rc) {

    case NGX_OK:

        /* in the log that tells of no request: that would tell whom */

        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "analytics zone \"%V\": a user is to be erased",
                      &ctx->zone->name);

        ngx_http_analytics_job_start(&ctx->zone->erasing);
        return ngx_http_analytics_erase_accepted(r);

    case NGX_BUSY:
        return ngx_http_analytics_problem(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                    "too many users are being erased", NULL,
                                    NULL);

    default: /* NGX_ERROR */

        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, ctx->fail.err,
                      "analytics zone \"%V\": a user cannot be erased: %s",
                      &ctx->zone->name, ctx->fail.text);

        return ngx_http_analytics_problem(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                    ngx_http_analytics_reason(ctx->zone),
                                    NULL, NULL);
    }
}


static ngx_int_t
ngx_http_analytics_erase_accepted(ngx_http_request_t *r)
{
    static ngx_str_t  json = ngx_string("{\"status\":\"erasing\"}");

    return ngx_http_analytics_send_json(r, NGX_HTTP_ACCEPTED, &json);
}
