
/*
 * Forecasts of a metric: a thread fits a model to the history, and the event
 * loop answers.
 *
 * Only a few of a process are on threads at once; the others wait in line.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_forecast.h"
#include "ngx_analytics_forecast.h"


#define NGX_HTTP_ANALYTICS_FORECASTS  2

/* standard deviations to each side */
#define NGX_HTTP_ANALYTICS_BAND80     1.2815515655446004
#define NGX_HTTP_ANALYTICS_BAND95     1.959963984540054


static void ngx_http_analytics_forecast_gone(void *data);
static void ngx_http_analytics_forecast_next(void);
static void ngx_http_analytics_forecast_start(
    ngx_http_analytics_forecast_t *ctx);
static void ngx_http_analytics_forecast_run(void *data, ngx_log_t *log);
static void ngx_http_analytics_forecast_done(ngx_event_t *ev);
static void ngx_http_analytics_forecast_write(ngx_http_request_t *r);
static ngx_int_t ngx_http_analytics_forecast_few(
    ngx_http_analytics_forecast_t *ctx);
static ngx_int_t ngx_http_analytics_forecast_answer(
    ngx_http_analytics_forecast_t *ctx);
static void ngx_http_analytics_forecast_series(
    ngx_http_analytics_forecast_t *ctx, ngx_analytics_writer_t *w);
static void ngx_http_analytics_forecast_number(
    ngx_http_analytics_forecast_t *ctx, ngx_analytics_writer_t *w,
    double value);


static ngx_queue_t  ngx_http_analytics_forecast_line;    /* waiting */
static ngx_uint_t   ngx_http_analytics_forecasting;      /* on threads */


void
ngx_http_analytics_forecast_init(void)
{
    ngx_queue_init(&ngx_http_analytics_forecast_line);
}


ngx_int_t
ngx_http_analytics_forecast_wait(ngx_http_request_t *r,
    ngx_http_analytics_forecast_t *ctx)
{
    ngx_http_cleanup_t              *gone;
    ngx_http_analytics_forecast_t  **data;

    ctx->task = ngx_thread_task_alloc(r->pool, sizeof(void *));
    if (ctx->task == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    data = ctx->task->ctx;
    *data = ctx;

    ctx->task->handler = ngx_http_analytics_forecast_run;
    ctx->task->event.handler = ngx_http_analytics_forecast_done;
    ctx->task->event.data = ctx;
    ctx->task->event.log = ngx_cycle->log;

    gone = ngx_http_cleanup_add(r, 0);
    if (gone == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    gone->handler = ngx_http_analytics_forecast_gone;
    gone->data = ctx;

    ngx_http_set_ctx(r, ctx, ngx_http_analytics_module);

    if (!r->discard_body) {
        r->read_event_handler = ngx_http_test_reading;
    }

    r->write_event_handler = ngx_http_analytics_forecast_write;
    r->main->count++;

    ngx_http_analytics_hold();

    ctx->waiting = 1;

    ngx_queue_insert_tail(&ngx_http_analytics_forecast_line, &ctx->queue);

    ngx_http_analytics_forecast_next();

    return NGX_DONE;
}


/* While a thread is at work the request stays. */

static void
ngx_http_analytics_forecast_gone(void *data)
{
    ngx_http_analytics_forecast_t *ctx = data;

    if (ctx->waiting) {
        ctx->waiting = 0;

        ngx_queue_remove(&ctx->queue);
        ngx_http_analytics_let_go();
    }
}


static void
ngx_http_analytics_forecast_next(void)
{
    ngx_queue_t  *q;

    while (ngx_http_analytics_forecasting < NGX_HTTP_ANALYTICS_FORECASTS
           && !ngx_queue_empty(&ngx_http_analytics_forecast_line))
    {
        q = ngx_queue_head(&ngx_http_analytics_forecast_line);
        ngx_queue_remove(q);

        ngx_http_analytics_forecast_start(
                ngx_queue_data(q, ngx_http_analytics_forecast_t, queue));
    }
}


static void
ngx_http_analytics_forecast_start(ngx_http_analytics_forecast_t *ctx)
{
    ngx_http_request_t              *r;
    ngx_http_analytics_main_conf_t  *amcf;

    r = ctx->request;

    ctx->waiting = 0;
    ngx_http_analytics_forecasting++;

    r->main->blocked++;
    r->aio = 1;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_analytics_module);

    if (ngx_thread_task_post(amcf->thread_pool, ctx->task) == NGX_OK) {
        return;
    }

    ctx->rc = NGX_ABORT;

    ngx_post_event(&ctx->task->event, &ngx_posted_events);
}


static void
ngx_http_analytics_forecast_run(void *data, ngx_log_t *log)
{
    ngx_http_analytics_forecast_t **ptr = data;

    int64_t                         last, cell, step;
    ngx_uint_t                      i;
    ngx_analytics_forecast_t        f;
    ngx_http_analytics_buckets_t   *b;
    ngx_http_analytics_foreseen_t  *foreseen;
    ngx_http_analytics_forecast_t  *ctx;

    ctx = *ptr;
    b = &ctx->buckets;

    ctx->rc = ngx_analytics_forecast_fit(&f, ctx->history.values,
                                         ctx->history.n,
                                         ctx->horizon->seasons,
                                         ctx->horizon->nseasons,
                                         &ctx->needed);
    if (ctx->rc != NGX_OK) {
        return;
    }

    cell = b->first + (int64_t) b->n;
    last = ngx_http_analytics_history_clock(b, cell - 1);

    for (i = 0; i < ctx->steps; i++, cell++) {
        foreseen = &ctx->foreseen[i];

        step = ngx_http_analytics_history_clock(b, cell) - last;

        ngx_analytics_forecast_step(&f, (size_t) ngx_max(step, 1),
                                    &foreseen->value, &foreseen->deviation);
    }

    ctx->season = f.season;

    ngx_analytics_forecast_free(&f);
}


static void
ngx_http_analytics_forecast_done(ngx_event_t *ev)
{
    ngx_connection_t               *c;
    ngx_http_request_t             *r;
    ngx_http_analytics_forecast_t  *ctx;

    ctx = ev->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ctx->made = 1;
    ngx_http_analytics_forecasting--;

    r->main->blocked--;
    r->aio = 0;

    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);

    ngx_http_analytics_forecast_next();

    ngx_http_analytics_let_go();
}


static void
ngx_http_analytics_forecast_write(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_http_analytics_forecast_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_analytics_module);

    if (!ctx->made) {

        if (ngx_handle_write_event(r->connection->write, 0) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
        }

        return;
    }

    switch (ctx->rc) {

    case NGX_OK:
        rc = ngx_http_analytics_history_sparse(&ctx->buckets, &ctx->history)
             ? ngx_http_analytics_forecast_few(ctx)
             : ngx_http_analytics_forecast_answer(ctx);
        break;

    case NGX_DECLINED:
        rc = ngx_http_analytics_forecast_few(ctx);
        break;

    case NGX_ABORT:
        rc = ngx_http_analytics_problem(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                        "no thread can be had", NULL, NULL);
        break;

    default: /* NGX_ERROR */
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
        break;
    }

    ngx_http_finalize_request(r, rc);
}


static ngx_int_t
ngx_http_analytics_forecast_few(ngx_http_analytics_forecast_t *ctx)
{
    u_char               detail[256];
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->rc == NGX_DECLINED) {
        ngx_snprintf(detail, sizeof(detail),
                     "a forecast needs a history of %uz %s, and there are "
                     "%uz%Z",
                     ctx->needed, ctx->horizon->unit, ctx->history.n);

    } else {
        ngx_snprintf(detail, sizeof(detail),
                     "a forecast needs a value in three quarters of the %s "
                     "of its history, and %uz of %ui have none%Z",
                     ctx->horizon->unit, ctx->history.empty, ctx->buckets.n);
    }

    return ngx_http_analytics_problem(r, NGX_HTTP_CONFLICT, (char *) detail,
                                      NULL, NULL);
}


static ngx_int_t
ngx_http_analytics_forecast_answer(ngx_http_analytics_forecast_t *ctx)
{
    ngx_analytics_writer_t         w;
    ngx_http_analytics_buckets_t  *b;

    b = &ctx->buckets;

    ngx_analytics_writer_init(&w, ngx_http_analytics_palloc,
                              ctx->request->pool, 512 + 160 * ctx->steps);

    ngx_analytics_write_literal(&w, "{");
    ngx_http_analytics_metric_about(&w, ctx->metric);
    ngx_analytics_write_literal(&w, ",\"interval\":");
    ngx_analytics_write_string(&w, ngx_http_analytics_interval_name(b));
    ngx_analytics_write_literal(&w, ",\"season\":");

    if (ctx->season == 0) {
        ngx_analytics_write_literal(&w, "null");

    } else if (ctx->season * ctx->horizon->hours == 24) {
        ngx_analytics_write_literal(&w, "\"24h\"");

    } else {
        ngx_analytics_write_literal(&w, "\"7d\"");
    }

    ngx_analytics_write_literal(&w, ",\"history\":{\"start\":");
    ngx_http_analytics_buckets_write(&w, b, b->first);
    ngx_analytics_write_literal(&w, ",\"end\":");
    ngx_http_analytics_buckets_write(&w, b, b->first + (int64_t) b->n - 1);
    ngx_analytics_write_literal(&w, ",\"buckets\":");
    ngx_analytics_write_uint(&w, b->n);
    ngx_analytics_write_literal(&w, "},\"series\":[");

    ngx_http_analytics_forecast_series(ctx, &w);

    ngx_analytics_write_literal(&w, "]}");

    return ngx_http_analytics_send_writer(ctx->request, &w);
}


static void
ngx_http_analytics_forecast_series(ngx_http_analytics_forecast_t *ctx,
    ngx_analytics_writer_t *w)
{
    double                          band80, band95;
    int64_t                         cell;
    ngx_uint_t                      i;
    ngx_http_analytics_foreseen_t  *f;

    cell = ctx->buckets.first + (int64_t) ctx->buckets.n;

    for (i = 0; i < ctx->steps; i++) {
        f = &ctx->foreseen[i];

        band80 = NGX_HTTP_ANALYTICS_BAND80 * f->deviation;
        band95 = NGX_HTTP_ANALYTICS_BAND95 * f->deviation;

        if (i) {
            ngx_analytics_write_literal(w, ",");
        }

        ngx_analytics_write_literal(w, "{\"time\":");
        ngx_http_analytics_buckets_write(w, &ctx->buckets, cell + (int64_t) i);
        ngx_analytics_write_literal(w, ",\"value\":");
        ngx_http_analytics_forecast_number(ctx, w, f->value);
        ngx_analytics_write_literal(w, ",\"low80\":");
        ngx_http_analytics_forecast_number(ctx, w, f->value - band80);
        ngx_analytics_write_literal(w, ",\"high80\":");
        ngx_http_analytics_forecast_number(ctx, w, f->value + band80);
        ngx_analytics_write_literal(w, ",\"low95\":");
        ngx_http_analytics_forecast_number(ctx, w, f->value - band95);
        ngx_analytics_write_literal(w, ",\"high95\":");
        ngx_http_analytics_forecast_number(ctx, w, f->value + band95);
        ngx_analytics_write_literal(w, "}");
    }
}


/* What has never been below 0 is not going to be. */

static void
ngx_http_analytics_forecast_number(ngx_http_analytics_forecast_t *ctx,
    ngx_analytics_writer_t *w, double value)
{
    int   n;
    char  text[32];

    /* neither is it infinite, in JSON */

    value = ngx_max(ngx_min(value, 1e300), -1e300);

    if (!ctx->history.negative) {
        value = ngx_max(value, 0);
    }

    n = snprintf(text, sizeof(text), "%.9g", value);

    if (n == 2 && text[0] == '-' && text[1] == '0') {
        n = 1;
        text[0] = '0';
    }

    ngx_analytics_write_raw(w, text, (size_t) n);
}
