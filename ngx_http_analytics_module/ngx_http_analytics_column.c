
/*
 * Figures of one metric: of each bucket of a range, and of all of it.
 *
 * Cells are copied in pieces while the zone is locked, and summed up
 * afterwards.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_metrics.h"
#include "ngx_analytics_hll.h"
#include "ngx_analytics_point.h"
#include "ngx_analytics_real.h"
#include "ngx_analytics_tally.h"
#include "ngx_analytics_time.h"


/* cells that are copied under one lock, and sketches or days of registers */
#define NGX_HTTP_ANALYTICS_COLUMN_CELLS  4096
#define NGX_HTTP_ANALYTICS_COLUMN_PARTS  8

#define NGX_HTTP_ANALYTICS_PLANES        5


/* What a bucket, or the range, comes to. */
typedef struct {
    uint64_t                         count;
    int64_t                          whole;
    uint64_t                         nano;
    uint64_t                         min;
    uint64_t                         max;
} ngx_http_analytics_sum_t;


static ngx_int_t ngx_http_analytics_column_cells(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c);
static ngx_int_t ngx_http_analytics_column_copy(
    ngx_http_analytics_column_t *c, uint64_t **planes);
static void ngx_http_analytics_column_add(ngx_http_analytics_sum_t *sum,
    uint64_t **planes, ngx_uint_t i, ngx_uint_t n);
static int64_t ngx_http_analytics_column_sum(int64_t one, int64_t two);
static void ngx_http_analytics_column_join(ngx_http_analytics_sum_t *sum,
    ngx_http_analytics_sum_t *more);
static void ngx_http_analytics_column_value(ngx_uint_t what,
    ngx_http_analytics_sum_t *sum, ngx_http_analytics_value_t *value);
static ngx_int_t ngx_http_analytics_column_quantiles(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c);
static void ngx_http_analytics_column_clear(
    ngx_analytics_figures_sketch_t *sketch);
static ngx_int_t ngx_http_analytics_column_sketch(
    ngx_http_analytics_column_t *c, int64_t first, ngx_uint_t n,
    ngx_analytics_figures_sketch_t *sketch);
static void ngx_http_analytics_column_quantile(
    ngx_analytics_figures_sketch_t *sketch, ngx_uint_t thousandths,
    ngx_http_analytics_value_t *value);
static ngx_int_t ngx_http_analytics_column_uniques(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c);
static ngx_int_t ngx_http_analytics_column_registers(
    ngx_http_analytics_column_t *c, int64_t first, ngx_uint_t n,
    u_char *registers);
static void ngx_http_analytics_real(ngx_http_analytics_value_t *value,
    double real);


/* the planes that a kind is made of, as bits */
static ngx_uint_t  ngx_http_analytics_column_planes[] = {
    1 << NGX_ANALYTICS_PLANE_COUNT,
    1 << NGX_ANALYTICS_PLANE_SUM | 1 << NGX_ANALYTICS_PLANE_NANO,
    1 << NGX_ANALYTICS_PLANE_COUNT | 1 << NGX_ANALYTICS_PLANE_SUM
    | 1 << NGX_ANALYTICS_PLANE_NANO,
    1 << NGX_ANALYTICS_PLANE_MIN,
    1 << NGX_ANALYTICS_PLANE_MAX
};


ngx_int_t
ngx_http_analytics_column(ngx_pool_t *pool, ngx_http_analytics_column_t *c)
{
    switch (c->metric->what) {

    case NGX_HTTP_ANALYTICS_QUANTILE:
        return ngx_http_analytics_column_quantiles(pool, c);

    case NGX_HTTP_ANALYTICS_UNIQUE:
        return ngx_http_analytics_column_uniques(pool, c);

    case NGX_HTTP_ANALYTICS_COUNT:
    case NGX_HTTP_ANALYTICS_SUM:
    case NGX_HTTP_ANALYTICS_AVG:
    case NGX_HTTP_ANALYTICS_MIN:
    case NGX_HTTP_ANALYTICS_MAX:
        return ngx_http_analytics_column_cells(pool, c);

    default:
        return ngx_http_analytics_column_users(pool, c);
    }
}


ngx_int_t
ngx_http_analytics_column_ready(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c)
{
    size_t  size;

    if (c->scratch) {
        return NGX_OK;
    }

    size = (c->metric->what == NGX_HTTP_ANALYTICS_QUANTILE)
           ? 2 * sizeof(ngx_analytics_figures_sketch_t)
           : 2 * NGX_ANALYTICS_UNIQUES_SIZE;

    c->scratch = ngx_pcalloc(pool, size);

    return c->scratch ? NGX_OK : NGX_ERROR;
}


const char *
ngx_http_analytics_column_interval(ngx_http_analytics_metric_t *metric,
    ngx_http_analytics_buckets_t *b)
{
    if (b->level == NGX_ANALYTICS_DAYS
        || metric->what < NGX_HTTP_ANALYTICS_QUANTILE)
    {
        return NULL;
    }

    if (metric->what == NGX_HTTP_ANALYTICS_QUANTILE) {
        return (b->level == NGX_ANALYTICS_HOURS)
               ? NULL : "interval must be hour or more: quantiles are not "
                        "kept by minute";
    }

    return "interval must be day or more: this metric is not kept by less";
}


static ngx_int_t
ngx_http_analytics_column_cells(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c)
{
    int64_t                    cell;
    uint64_t                  *planes[NGX_HTTP_ANALYTICS_PLANES];
    ngx_uint_t                 i, k, n, bits;
    ngx_http_analytics_sum_t   sum, total;

    bits = ngx_http_analytics_column_planes[c->metric->what];

    for (i = 0; i < NGX_HTTP_ANALYTICS_PLANES; i++) {
        planes[i] = NULL;

        if (!(bits >> i & 1)) {
            continue;
        }

        /* used by the next column, too */

        if (c->planes[i] == NULL) {
            c->planes[i] = ngx_palloc(pool,
                                      c->buckets->cells * sizeof(uint64_t));
            if (c->planes[i] == NULL) {
                return NGX_ERROR;
            }
        }

        planes[i] = c->planes[i];
    }

    if (ngx_http_analytics_column_copy(c, planes) != NGX_OK) {
        return NGX_DECLINED;
    }

    ngx_memzero(&total, sizeof(ngx_http_analytics_sum_t));

    cell = c->buckets->first;

    for (i = 0, k = 0; i < c->buckets->n; i++, k += n) {
        n = (c->buckets->cells == c->buckets->n) ? 1
            : ngx_http_analytics_buckets_cells(c->buckets, cell + (int64_t) k);

        ngx_memzero(&sum, sizeof(ngx_http_analytics_sum_t));
        ngx_http_analytics_column_add(&sum, planes, k, n);
        ngx_http_analytics_column_join(&total, &sum);

        if (c->values) {
            ngx_http_analytics_column_value(c->metric->what, &sum,
                                            &c->values[i]);
        }
    }

    ngx_http_analytics_column_value(c->metric->what, &total, &c->total);

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_column_copy(ngx_http_analytics_column_t *c,
    uint64_t **planes)
{
    ngx_int_t                m;
    ngx_uint_t               i, k, n;
    ngx_analytics_zone_t    *z;
    ngx_analytics_figures_t  figures;

    for (k = 0; k < c->buckets->cells; k += n) {
        n = ngx_min(c->buckets->cells - k, NGX_HTTP_ANALYTICS_COLUMN_CELLS);

        if (ngx_http_analytics_lock(c->zone) != NGX_OK) {
            return NGX_ERROR;
        }

        z = c->zone->sh;

        m = ngx_analytics_figures(z, c->metric->signature, c->metric->classes,
                                  &figures);

        for (i = 0; i < NGX_HTTP_ANALYTICS_PLANES; i++) {

            if (planes[i] == NULL) {
                continue;
            }

            if (m == NGX_ERROR) {
                ngx_memzero(planes[i] + k, n * sizeof(uint64_t));
                continue;
            }

            ngx_analytics_figures_cells(z, m, c->group, c->buckets->level, i,
                                        c->buckets->first + (int64_t) k,
                                        planes[i] + k, n);
        }

        ngx_http_analytics_unlock(c->zone);
    }

    return NGX_OK;
}


static void
ngx_http_analytics_column_add(ngx_http_analytics_sum_t *sum,
    uint64_t **planes, ngx_uint_t i, ngx_uint_t n)
{
    uint64_t                  *count, *whole, *nano, *min, *max;
    ngx_http_analytics_sum_t   cell;

    count = planes[NGX_ANALYTICS_PLANE_COUNT];
    whole = planes[NGX_ANALYTICS_PLANE_SUM];
    nano = planes[NGX_ANALYTICS_PLANE_NANO];
    min = planes[NGX_ANALYTICS_PLANE_MIN];
    max = planes[NGX_ANALYTICS_PLANE_MAX];

    for (n += i; i < n; i++) {
        cell.count = count ? count[i] : 0;
        cell.whole = whole ? (int64_t) whole[i] : 0;
        cell.nano = nano ? nano[i] : 0;
        cell.min = min ? min[i] : 0;
        cell.max = max ? max[i] : 0;

        ngx_http_analytics_column_join(sum, &cell);
    }
}


/* What is too much is the most that there is. */

static int64_t
ngx_http_analytics_column_sum(int64_t one, int64_t two)
{
    int64_t  sum;

    if (__builtin_add_overflow(one, two, &sum)) {
        return (two < 0) ? INT64_MIN : INT64_MAX;
    }

    return sum;
}


static void
ngx_http_analytics_column_join(ngx_http_analytics_sum_t *sum,
    ngx_http_analytics_sum_t *more)
{
    sum->count += more->count;
    sum->whole = ngx_http_analytics_column_sum(sum->whole, more->whole);
    sum->whole = ngx_http_analytics_column_sum(sum->whole,
                              (int64_t) (more->nano / NGX_ANALYTICS_NANO));
    sum->nano += more->nano % NGX_ANALYTICS_NANO;

    if (more->min && (sum->min == 0 || more->min < sum->min)) {
        sum->min = more->min;
    }

    sum->max = ngx_max(sum->max, more->max);
}


static void
ngx_http_analytics_column_value(ngx_uint_t what,
    ngx_http_analytics_sum_t *sum, ngx_http_analytics_value_t *value)
{
    value->kind = NGX_HTTP_ANALYTICS_NUMBER;
    value->whole = ngx_http_analytics_column_sum(sum->whole,
                               (int64_t) (sum->nano / NGX_ANALYTICS_NANO));
    value->nano = (uint32_t) (sum->nano % NGX_ANALYTICS_NANO);

    switch (what) {

    case NGX_HTTP_ANALYTICS_COUNT:
        value->whole = (int64_t) sum->count;
        break;

    case NGX_HTTP_ANALYTICS_AVG:
        value->kind = NGX_HTTP_ANALYTICS_NONE;

        if (sum->count) {
            ngx_http_analytics_real(value,
                  ((double) value->whole + (double) value->nano / 1e9)
                  / (double) sum->count);
        }

        break;

    case NGX_HTTP_ANALYTICS_MIN:
        value->kind = NGX_HTTP_ANALYTICS_NONE;

        if (sum->min) {
            ngx_http_analytics_real(value, ngx_analytics_unorder(sum->min));
            value->kind = NGX_HTTP_ANALYTICS_SENT;
        }

        break;

    case NGX_HTTP_ANALYTICS_MAX:
        value->kind = NGX_HTTP_ANALYTICS_NONE;

        if (sum->max) {
            ngx_http_analytics_real(value, ngx_analytics_unorder(sum->max));
            value->kind = NGX_HTTP_ANALYTICS_SENT;
        }

        break;

    default: /* NGX_HTTP_ANALYTICS_SUM */
        break;
    }
}


/* Of each bucket, and of all of them together: sketches are added up. */

static ngx_int_t
ngx_http_analytics_column_quantiles(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c)
{
    int64_t                          cell;
    ngx_uint_t                       i, n;
    ngx_analytics_figures_sketch_t  *sketch, *total;

    if (ngx_http_analytics_column_ready(pool, c) != NGX_OK) {
        return NGX_ERROR;
    }

    sketch = c->scratch;
    total = sketch + 1;
    cell = c->buckets->first;

    ngx_http_analytics_column_clear(total);

    if (c->values == NULL
        && ngx_http_analytics_column_sketch(c, cell, c->buckets->cells, total)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    for (i = 0; c->values && i < c->buckets->n; i++, cell += (int64_t) n) {
        n = ngx_http_analytics_buckets_cells(c->buckets, cell);

        ngx_http_analytics_column_clear(sketch);

        if (ngx_http_analytics_column_sketch(c, cell, n, sketch) != NGX_OK) {
            return NGX_DECLINED;
        }

        ngx_http_analytics_column_quantile(sketch, c->metric->thousandths,
                                           &c->values[i]);

        total->n += sketch->n;

        ngx_analytics_bins_add(&total->above, &sketch->above);
        ngx_analytics_bins_add(&total->below, &sketch->below);
    }

    ngx_http_analytics_column_quantile(total, c->metric->thousandths,
                                       &c->total);
    return NGX_OK;
}


static void
ngx_http_analytics_column_clear(ngx_analytics_figures_sketch_t *sketch)
{
    sketch->n = 0;

    ngx_analytics_bins_clear(&sketch->above);
    ngx_analytics_bins_clear(&sketch->below);
}


static ngx_int_t
ngx_http_analytics_column_sketch(ngx_http_analytics_column_t *c,
    int64_t first, ngx_uint_t n, ngx_analytics_figures_sketch_t *sketch)
{
    ngx_int_t                m;
    ngx_uint_t               i, k, part, level;
    ngx_analytics_figures_t  figures;

    level = (c->buckets->level == NGX_ANALYTICS_HOURS) ? NGX_ANALYTICS_FINE
                                                       : NGX_ANALYTICS_DAYS;

    for (k = 0; k < n; k += part) {
        part = ngx_min(n - k, NGX_HTTP_ANALYTICS_COLUMN_PARTS);

        if (ngx_http_analytics_lock(c->zone) != NGX_OK) {
            return NGX_ERROR;
        }

        m = ngx_analytics_figures(c->zone->sh, c->metric->signature,
                                  c->metric->classes, &figures);

        for (i = 0; m != NGX_ERROR && i < part; i++) {
            ngx_analytics_figures_sketch(c->zone->sh, m, c->group, level,
                                         first + (int64_t) (k + i), sketch);
        }

        ngx_http_analytics_unlock(c->zone);
    }

    return NGX_OK;
}


static void
ngx_http_analytics_column_quantile(ngx_analytics_figures_sketch_t *sketch,
    ngx_uint_t thousandths, ngx_http_analytics_value_t *value)
{
    value->kind = NGX_HTTP_ANALYTICS_NONE;

    if (sketch->n) {
        value->kind = NGX_HTTP_ANALYTICS_ESTIMATE;
        value->real = ngx_analytics_sketch_rank(&sketch->below, &sketch->above,
                     ngx_analytics_sketch_nearest(sketch->n, thousandths));
    }
}


static ngx_int_t
ngx_http_analytics_column_uniques(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c)
{
    u_char      *registers, *total;
    int64_t      cell;
    ngx_uint_t   i, j, n;

    if (ngx_http_analytics_column_ready(pool, c) != NGX_OK) {
        return NGX_ERROR;
    }

    registers = c->scratch;
    total = registers + NGX_ANALYTICS_UNIQUES_SIZE;
    cell = c->buckets->first;

    ngx_memzero(total, NGX_ANALYTICS_UNIQUES_SIZE);

    if (c->values == NULL
        && ngx_http_analytics_column_registers(c, cell, c->buckets->cells,
                                               total)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    for (i = 0; c->values && i < c->buckets->n; i++, cell += (int64_t) n) {
        n = ngx_http_analytics_buckets_cells(c->buckets, cell);

        ngx_memzero(registers, NGX_ANALYTICS_UNIQUES_SIZE);

        if (ngx_http_analytics_column_registers(c, cell, n, registers)
            != NGX_OK)
        {
            return NGX_DECLINED;
        }

        for (j = 0; j < NGX_ANALYTICS_UNIQUES_SIZE; j++) {
            total[j] = ngx_max(total[j], registers[j]);
        }

        ngx_http_analytics_number(&c->values[i],
                     ngx_analytics_hll_estimate(registers,
                                                NGX_ANALYTICS_UNIQUES_BITS));
    }

    ngx_http_analytics_number(&c->total,
                     ngx_analytics_hll_estimate(total,
                                                NGX_ANALYTICS_UNIQUES_BITS));
    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_column_registers(ngx_http_analytics_column_t *c,
    int64_t first, ngx_uint_t n, u_char *registers)
{
    ngx_int_t                m;
    ngx_uint_t               i, k, part;
    ngx_analytics_figures_t  figures;

    for (k = 0; k < n; k += part) {
        part = ngx_min(n - k, NGX_HTTP_ANALYTICS_COLUMN_PARTS);

        if (ngx_http_analytics_lock(c->zone) != NGX_OK) {
            return NGX_ERROR;
        }

        m = ngx_analytics_figures(c->zone->sh, c->metric->signature,
                                  c->metric->classes, &figures);

        for (i = 0; m != NGX_ERROR && i < part; i++) {
            ngx_analytics_figures_uniques(c->zone->sh, m, c->group,
                                          first + (int64_t) (k + i),
                                          registers);
        }

        ngx_http_analytics_unlock(c->zone);
    }

    return NGX_OK;
}


void
ngx_http_analytics_number(ngx_http_analytics_value_t *value, uint64_t n)
{
    value->kind = NGX_HTTP_ANALYTICS_NUMBER;
    value->whole = (int64_t) n;
    value->nano = 0;
}


static void
ngx_http_analytics_real(ngx_http_analytics_value_t *value, double real)
{
    value->kind = NGX_HTTP_ANALYTICS_REAL;
    value->real = real;
}


double
ngx_http_analytics_value_real(ngx_http_analytics_value_t *value)
{
    switch (value->kind) {

    case NGX_HTTP_ANALYTICS_NONE:
        return 0;

    case NGX_HTTP_ANALYTICS_NUMBER:
        return (double) value->whole + (double) value->nano / 1e9;

    default: /* NGX_HTTP_ANALYTICS_REAL, ..._SENT, ..._ESTIMATE */
        return value->real;
    }
}


u_char *
ngx_http_analytics_value_format(u_char *p, ngx_http_analytics_value_t *value,
    const char *none)
{
    u_char    *last;
    int64_t    whole;
    uint32_t   nano;

    /* digits that are right; what was sent reads back to it */

    switch (value->kind) {

    case NGX_HTTP_ANALYTICS_NONE:
        return ngx_cpymem(p, none, ngx_strlen(none));

    case NGX_HTTP_ANALYTICS_REAL:
        return ngx_analytics_real_format(p, value->real, 15);

    case NGX_HTTP_ANALYTICS_SENT:
        return ngx_analytics_real_exact(p, value->real);

    case NGX_HTTP_ANALYTICS_ESTIMATE:
        return ngx_analytics_real_format(p, value->real, 5);

    default: /* NGX_HTTP_ANALYTICS_NUMBER */
        break;
    }

    whole = value->whole;
    nano = value->nano;

    if (whole < 0) {
        *p++ = '-';

        if (nano == 0) {
            return ngx_analytics_uint_format(p, 0 - (uint64_t) whole);
        }

        /* rounded down, and what is above that */

        whole = -(whole + 1);
        nano = NGX_ANALYTICS_NANO - nano;
    }

    p = ngx_analytics_uint_format(p, (uint64_t) whole);

    if (nano == 0) {
        return p;
    }

    /* the digits behind a 1, which the point takes the place of */

    last = ngx_analytics_uint_format(p, NGX_ANALYTICS_NANO + nano);
    *p = '.';

    while (last[-1] == '0') {
        last--;
    }

    return last;
}


void
ngx_http_analytics_value_write(ngx_analytics_writer_t *w,
    ngx_http_analytics_value_t *value, const char *none)
{
    if (ngx_analytics_writer_room(w, NGX_HTTP_ANALYTICS_VALUE_LEN)) {
        w->pos = ngx_http_analytics_value_format(w->pos, value, none);
    }
}
