
/*
 * Counts requests that post events, by their final status, and how long they
 * took: in the zone's shared memory, for analytics_prometheus.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"


/* milliseconds; longer ones fall into the last bucket */

ngx_uint_t  ngx_http_analytics_durations[NGX_HTTP_ANALYTICS_DURATIONS] = {
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000
};


ngx_int_t
ngx_http_analytics_requests_handler(ngx_http_request_t *r)
{
    ngx_uint_t                       i, status;
    ngx_time_t                      *tp;
    ngx_msec_int_t                   ms;
    ngx_http_analytics_requests_t   *requests;
    ngx_http_analytics_loc_conf_t   *alcf;

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);

    if (alcf->zone == NULL || r->method != NGX_HTTP_POST
        || (alcf->handler != ngx_http_analytics_collect_handler
            && alcf->other != ngx_http_analytics_collect_handler))
    {
        return NGX_OK;
    }

    requests = &alcf->zone->shared->requests;

    status = r->err_status ? r->err_status : r->headers_out.status;

    tp = ngx_timeofday();
    ms = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                           + (tp->msec - r->start_msec));
    ms = ngx_max(ms, 0);

    for (i = 0; i < NGX_HTTP_ANALYTICS_DURATIONS; i++) {
        if ((ngx_uint_t) ms <= ngx_http_analytics_durations[i]) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&requests->n[i], 1);
    (void) ngx_atomic_fetch_add(&requests->msec, ms);

    /* 0: the client left before there was one */

    if (status == 0 || status >= NGX_HTTP_BAD_REQUEST) {
        (void) ngx_atomic_fetch_add(&requests->errors, 1);
    }

    return NGX_OK;
}
