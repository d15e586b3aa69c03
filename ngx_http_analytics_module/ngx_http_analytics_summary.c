
/*
 * analytics_summary: POST summarises the posted list and stores nothing, GET
 * summarises what the zone has collected.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_analytics_hll.h"
#include "ngx_analytics_summary.h"

#include <openssl/rand.h>


#define NGX_HTTP_ANALYTICS_NAMES  100


static void ngx_http_analytics_summary_run(ngx_http_analytics_post_t *post);
static ngx_int_t ngx_http_analytics_summary_list(
    ngx_http_analytics_post_t *post, ngx_analytics_writer_t *w);
static ngx_int_t ngx_http_analytics_summary_get(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone);


ngx_int_t
ngx_http_analytics_summary_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_http_analytics_loc_conf_t  *alcf;

    rc = ngx_http_analytics_methods(r, NGX_HTTP_GET|NGX_HTTP_POST);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (r->method == NGX_HTTP_POST) {
        return ngx_http_analytics_post(r, ngx_http_analytics_summary_run);
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);

    rc = ngx_http_analytics_fresh(r, alcf->zone);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    return ngx_http_analytics_summary_get(r, alcf->zone);
}


static void
ngx_http_analytics_summary_run(ngx_http_analytics_post_t *post)
{
    ngx_analytics_writer_t  w;

    if (ngx_http_analytics_post_decode(post) == NGX_OK) {

        if (ngx_http_analytics_summary_list(post, &w) == NGX_OK) {
            post->status = NGX_HTTP_OK;
            post->answer.data = w.start;
            post->answer.len = w.pos - w.start;

        } else {
            post->status = NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (!post->threaded) {
        ngx_http_analytics_post_done(post);
    }
}


static ngx_int_t
ngx_http_analytics_summary_list(ngx_http_analytics_post_t *post,
    ngx_analytics_writer_t *w)
{
    uint64_t                  key[2];
    ngx_analytics_summary_t   summary;

    if (RAND_bytes((u_char *) key, sizeof(key)) != 1) {
        return NGX_ERROR;
    }

    if (ngx_analytics_summarise(&post->decode, key, post->decode.now,
                                &summary)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_analytics_writer_init(w, ngx_http_analytics_palloc, post->out, 4096);

    ngx_analytics_summary_write(w, &summary);

    return w->failed ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_http_analytics_summary_get(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone)
{
    u_char                   *names;
    ngx_uint_t                n, ntypes;
    ngx_analytics_count_t    *users, *types;
    ngx_analytics_totals_t    t;
    ngx_analytics_writer_t    w;
    ngx_analytics_summary_t   s;

    users = ngx_palloc(r->pool, NGX_HTTP_ANALYTICS_NAMES
                                * sizeof(ngx_analytics_count_t));
    names = ngx_pnalloc(r->pool, NGX_HTTP_ANALYTICS_NAMES
                                 * NGX_ANALYTICS_NAME_MAX);
    types = ngx_palloc(r->pool, (zone->types + 1)
                                * sizeof(ngx_analytics_count_t));

    if (users == NULL || names == NULL || types == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* of one moment, all of it */

    if (ngx_http_analytics_lock(zone) != NGX_OK) {
        return ngx_http_analytics_damaged(r, zone);
    }

    ngx_analytics_zone_totals(zone->sh, &t);
    ntypes = ngx_analytics_zone_types(zone->sh, 0, types, zone->types + 1);
    n = ngx_analytics_zone_top(zone->sh, users, NGX_HTTP_ANALYTICS_NAMES,
                               names);

    ngx_http_analytics_unlock(zone);

    ntypes = ngx_http_analytics_counted(types, ntypes);

    if ((!t.users_exact || !t.types_exact || !t.cells_exact || t.older)
        && ngx_http_analytics_inexact(r, !t.users_exact
                       ? "users are estimated; standard error "
                         NGX_ANALYTICS_HLL_ERROR
                       : !t.types_exact
                       ? NGX_HTTP_ANALYTICS_OTHER
                       : "the busiest hour is that of the hours kept")
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /* in this document, all names are in order */

    ngx_qsort(users, n, sizeof(ngx_analytics_count_t), ngx_analytics_name_cmp);
    ngx_qsort(types, ntypes, sizeof(ngx_analytics_count_t),
              ngx_analytics_name_cmp);

    ngx_memzero(&s, sizeof(ngx_analytics_summary_t));

    s.events = t.events;
    s.users = t.users;
    s.nnames = n;
    s.names = users;
    s.ntypes = ntypes;
    s.types = types;
    s.peak_hour = t.peak_hour;
    s.peak_hour_count = t.peak_hour_count;

    ngx_memcpy(s.hour_of_day, t.hour_of_day, sizeof(t.hour_of_day));

    ngx_analytics_summary_most_active(&s);

    ngx_analytics_writer_init(&w, ngx_http_analytics_palloc, r->pool,
                              1024 + 64 * (n + ntypes));

    ngx_analytics_summary_write(&w, &s);

    return ngx_http_analytics_send_writer(r, &w);
}
