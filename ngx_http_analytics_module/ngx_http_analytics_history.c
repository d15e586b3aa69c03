
/*
 * What a forecast is made of: the values of a metric by the local clock.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_metrics.h"


/* hours that a clock that is changed may leave out, a whole day now and then */
#define NGX_HTTP_ANALYTICS_LEFT_OUT  96


static void ngx_http_analytics_history_begin(ngx_http_analytics_buckets_t *b,
    ngx_http_analytics_value_t **values);
static double ngx_http_analytics_history_filled(
    ngx_http_analytics_history_t *history, int64_t k);


ngx_int_t
ngx_http_analytics_history(ngx_pool_t *pool, ngx_http_analytics_buckets_t *b,
    ngx_http_analytics_value_t *values, ngx_http_analytics_history_t *history)
{
    double      value, *to;
    int64_t     first, k, last;
    ngx_uint_t  i, size, same;

    ngx_http_analytics_history_begin(b, &values);

    size = b->n + NGX_HTTP_ANALYTICS_LEFT_OUT;

    to = ngx_pcalloc(pool, size * sizeof(double));
    if (to == NULL) {
        return NGX_ERROR;
    }

    history->values = to;
    history->empty = 0;
    history->negative = 0;

    first = ngx_http_analytics_history_clock(b, b->first);
    last = -1;
    same = 0;

    for (i = 0; i < b->n; i++) {
        k = ngx_http_analytics_history_clock(b, b->first + (int64_t) i)
            - first;

        if (k < 0) {
            continue;
        }

        if (k >= (int64_t) size) {
            return NGX_ERROR;
        }

        while (last < k - 1) {
            last++;
            to[last] = ngx_http_analytics_history_filled(history, last);
        }

        if (values[i].kind == NGX_HTTP_ANALYTICS_NONE) {
            history->empty++;

            if (last < k) {
                to[k] = ngx_http_analytics_history_filled(history, k);
            }

        } else {
            value = ngx_http_analytics_value_real(&values[i]);
            history->negative |= (value < 0);

            same = (last >= k) ? same + 1 : 0;

            to[k] += same ? (value - to[k]) / 2 : value;
        }

        last = ngx_max(last, k);
    }

    history->n = (size_t) (last + 1);

    return NGX_OK;
}


/* What is before the first event tells nothing of what is to come. */

static void
ngx_http_analytics_history_begin(ngx_http_analytics_buckets_t *b,
    ngx_http_analytics_value_t **values)
{
    ngx_uint_t                   i;
    ngx_http_analytics_value_t  *v;

    v = *values;

    for (i = 0; i < b->n; i++) {
        if (v[i].kind != NGX_HTTP_ANALYTICS_NONE
            && ngx_http_analytics_value_real(&v[i]) != 0)
        {
            break;
        }
    }

    *values += i;

    b->first += (int64_t) i;
    b->n -= i;
    b->cells -= i;
}


/* As a season before, or just before. */

static double
ngx_http_analytics_history_filled(ngx_http_analytics_history_t *history,
    int64_t k)
{
    int64_t  season;

    season = (int64_t) history->season;

    if (k >= season) {
        return history->values[k - season];
    }

    return k ? history->values[k - 1] : 0;
}


int64_t
ngx_http_analytics_history_clock(ngx_http_analytics_buckets_t *b,
    int64_t cell)
{
    if (b->interval == NGX_HTTP_ANALYTICS_BY_DAY) {
        return cell;
    }

    return ngx_analytics_timezone_clock(b->timezone,
                                 ngx_http_analytics_buckets_start(b, cell));
}


ngx_uint_t
ngx_http_analytics_history_sparse(ngx_http_analytics_buckets_t *b,
    ngx_http_analytics_history_t *history)
{
    return history->empty > b->n / 4;
}
