
/*
 * Forecasts of a metric: a thread fits a model to the history, and the event
 * loop answers.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_forecast.h"
#include "ngx_analytics_forecast.h"


/* standard deviations to each side */
#define NGX_HTTP_ANALYTICS_BAND80     1.2815515655446004
#define NGX_HTTP_ANALYTICS_BAND95     1.959963984540054


static ngx_int_t ngx_http_analytics_forecast_run(void *data);
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


static ngx_http_analytics_line_t  ngx_http_analytics_forecast_line;


void
ngx_http_analytics_forecast_init(void)
{
    ngx_http_analytics_line_init(&ngx_http_analytics_forecast_line);
}


ngx_int_t
ngx_http_analytics_forecast_wait(ngx_http_request_t *r,
    ngx_http_analytics_forecast_t *ctx)
{
    if (ngx_http_analytics_waiter_init(&ctx->waiter, r,
                                       &ngx_http_analytics_forecast_line,
                                       ngx_http_analytics_forecast_run, ctx)
        != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_set_ctx(r, ctx, ngx_http_analytics_module);

    return ngx_http_analytics_waiter_wait(&ctx->waiter,
                                          ngx_http_analytics_forecast_write);
}


static ngx_int_t
ngx_http_analytics_forecast_run(void *data)
{
    ngx_http_analytics_forecast_t *ctx = data;

    int64_t                         last, cell, step;
    ngx_int_t                       rc;
    ngx_uint_t                      i;
    ngx_analytics_forecast_t        f;
    ngx_http_analytics_buckets_t   *b;
    ngx_http_analytics_foreseen_t  *foreseen;

    b = &ctx->buckets;

    rc = ngx_analytics_forecast_fit(&f, ctx->history.values, ctx->history.n,
                                    ctx->horizon->seasons,
                                    ctx->horizon->nseasons, &ctx->needed);
    if (rc != NGX_OK) {
        return rc;
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

    return NGX_OK;
}


static void
ngx_http_analytics_forecast_write(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_http_analytics_forecast_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_analytics_module);

    if (!ngx_http_analytics_waiter_made(&ctx->waiter)) {
        return;
    }

    switch (ctx->waiter.rc) {

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

    if (ctx->waiter.rc == NGX_DECLINED) {
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
    /* neither is it infinite, in JSON */

    value = ngx_max(ngx_min(value, 1e300), -1e300);

    if (!ctx->history.negative) {
        value = ngx_max(value, 0);
    }

    /* a sum with 0 is never "-0" */

    ngx_analytics_write_real(w, value + 0.0, 9);
}
