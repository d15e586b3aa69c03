
/*
 * analytics_stats: what the zone knows, each question in its own form.
 *
 * A handler copies what it needs while it holds the lock, and sorts and
 * prints afterwards.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_analytics_hll.h"


#define NGX_HTTP_ANALYTICS_LIMIT  10

#define NGX_HTTP_ANALYTICS_USERS                                              \
    "unique_users is an estimate; standard error " NGX_ANALYTICS_HLL_ERROR


static ngx_int_t ngx_http_analytics_stats_total(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone);
static ngx_int_t ngx_http_analytics_stats_by_type(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone);
static ngx_int_t ngx_http_analytics_stats_by_user(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone);
static ngx_int_t ngx_http_analytics_stats_user(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone);


static ngx_str_t  ngx_http_analytics_arg_limit = ngx_string("limit");


ngx_int_t
ngx_http_analytics_stats_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_http_analytics_loc_conf_t  *alcf;

    rc = ngx_http_analytics_get(r);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);

    rc = ngx_http_analytics_fresh(r, alcf->zone);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    switch (alcf->stats) {

    case NGX_HTTP_ANALYTICS_TOTAL:
        return ngx_http_analytics_stats_total(r, alcf->zone);

    case NGX_HTTP_ANALYTICS_BY_TYPE:
        return ngx_http_analytics_stats_by_type(r, alcf->zone);

    case NGX_HTTP_ANALYTICS_BY_USER:
        return ngx_http_analytics_stats_by_user(r, alcf->zone);

    case NGX_HTTP_ANALYTICS_OVER_TIME:
        return ngx_http_analytics_stats_over_time(r, alcf->zone);

    case NGX_HTTP_ANALYTICS_RECENT:
        return ngx_http_analytics_stats_recent(r, alcf->zone);

    default: /* NGX_HTTP_ANALYTICS_USER */
        return ngx_http_analytics_stats_user(r, alcf->zone);
    }
}


static ngx_int_t
ngx_http_analytics_stats_total(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone)
{
    ngx_analytics_totals_t  t;
    ngx_analytics_writer_t  w;

    if (ngx_http_analytics_copy_totals(zone, &t) != NGX_OK) {
        return ngx_http_analytics_damaged(r, zone);
    }

    if ((!t.users_exact || !t.types_exact)
        && ngx_http_analytics_inexact(r, t.users_exact
                       ? "unique_event_types is a lower bound"
                       : t.types_exact
                       ? NGX_HTTP_ANALYTICS_USERS
                       : "unique_event_types is a lower bound, "
                         NGX_HTTP_ANALYTICS_USERS)
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_analytics_writer_init(&w, ngx_http_analytics_palloc, r->pool, 128);

    ngx_analytics_write_literal(&w, "{\"total_events\":");
    ngx_analytics_write_uint(&w, t.events);
    ngx_analytics_write_literal(&w, ",\"unique_users\":");
    ngx_analytics_write_uint(&w, t.users);
    ngx_analytics_write_literal(&w, ",\"unique_event_types\":");
    ngx_analytics_write_uint(&w, t.types);
    ngx_analytics_write_literal(&w, "}");

    return ngx_http_analytics_send_writer(r, &w);
}


static ngx_int_t
ngx_http_analytics_stats_by_type(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone)
{
    ngx_uint_t               n;
    ngx_analytics_count_t   *types;
    ngx_analytics_totals_t   t;
    ngx_analytics_writer_t   w;

    if (ngx_http_analytics_copy_types(r, zone, &types, &n, &t) != NGX_OK) {
        return ngx_http_analytics_damaged(r, zone);
    }

    n = ngx_http_analytics_counted(types, n);

    ngx_qsort(types, n, sizeof(ngx_analytics_count_t),
              ngx_analytics_count_cmp);

    if (!t.types_exact
        && ngx_http_analytics_inexact(r, NGX_HTTP_ANALYTICS_OTHER) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_analytics_writer_init(&w, ngx_http_analytics_palloc, r->pool,
                              64 * (n + 1));

    ngx_http_analytics_write_counts(&w, "event_type", types, n);

    return ngx_http_analytics_send_writer(r, &w);
}


static ngx_int_t
ngx_http_analytics_stats_by_user(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone)
{
    u_char                  *names;
    ngx_uint_t               n;
    const char              *detail;
    ngx_analytics_count_t   *users;
    ngx_analytics_totals_t   t;
    ngx_analytics_writer_t   w;

    n = NGX_HTTP_ANALYTICS_LIMIT;

    if (ngx_http_analytics_arg_uint(r, &ngx_http_analytics_arg_limit,
                                    NGX_ANALYTICS_TOP_MAX, &n, &detail)
        != NGX_OK)
    {
        return ngx_http_analytics_problem(r, NGX_HTTP_UNPROCESSABLE_ENTITY,
                               detail, &ngx_http_analytics_arg_limit, NULL);
    }

    users = ngx_palloc(r->pool, n * sizeof(ngx_analytics_count_t));
    names = ngx_pnalloc(r->pool, n * NGX_ANALYTICS_NAME_MAX);

    if (users == NULL || names == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_analytics_lock(zone) != NGX_OK) {
        return ngx_http_analytics_damaged(r, zone);
    }

    n = ngx_analytics_zone_top(zone->sh, users, n, names);
    ngx_analytics_zone_totals(zone->sh, &t);

    ngx_http_analytics_unlock(zone);

    if (!t.users_exact
        && ngx_http_analytics_inexact(r, "idle users had to leave")
           != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_qsort(users, n, sizeof(ngx_analytics_count_t),
              ngx_analytics_count_cmp);

    ngx_analytics_writer_init(&w, ngx_http_analytics_palloc, r->pool,
                              64 * (n + 1));

    ngx_http_analytics_write_counts(&w, "user_id", users, n);

    return ngx_http_analytics_send_writer(r, &w);
}


static ngx_int_t
ngx_http_analytics_stats_user(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone)
{
    ngx_int_t                  rc;
    ngx_str_t                  name, suffix;
    ngx_analytics_writer_t     w;
    ngx_http_analytics_user_t  user;

    ngx_str_null(&suffix);

    rc = ngx_http_analytics_uri_name(r, &suffix, &name);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_analytics_problem(r, NGX_HTTP_NOT_FOUND,
                                          "the path names no user", NULL,
                                          NULL);
    }

    if (ngx_http_analytics_pseudonym(zone, r->pool, &name) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_analytics_copy_user(r, zone, &name, &user) != NGX_OK) {
        return ngx_http_analytics_damaged(r, zone);
    }

    if (user.inexact
        && ngx_http_analytics_inexact(r, user.inexact) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!user.known) {
        return ngx_http_analytics_problem(r, NGX_HTTP_NOT_FOUND,
                                          "no events of this user", NULL,
                                          NULL);
    }

    ngx_analytics_writer_init(&w, ngx_http_analytics_palloc, r->pool,
                              256 + 64 * (user.info.ntypes + 1));

    ngx_analytics_write_literal(&w, "{\"user_id\":");
    ngx_analytics_write_string(&w, &name);
    ngx_analytics_write_literal(&w, ",");
    ngx_http_analytics_write_user(&w, &user);
    ngx_analytics_write_literal(&w, "}");

    return ngx_http_analytics_send_writer(r, &w);
}


ngx_int_t
ngx_http_analytics_copy_user(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_str_t *name,
    ngx_http_analytics_user_t *user)
{
    ngx_uint_t              n, exact;
    ngx_analytics_totals_t  t;

    n = zone->types + 1;

    user->types = ngx_palloc(r->pool, n * sizeof(ngx_analytics_count_t));
    if (user->types == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_analytics_lock(zone) != NGX_OK) {
        return NGX_ERROR;
    }

    user->known = (ngx_analytics_zone_user(zone->sh, name, &user->info,
                                           user->types, n)
                   == NGX_OK);

    ngx_analytics_zone_totals(zone->sh, &t);

    ngx_http_analytics_unlock(zone);

    exact = user->known ? user->info.exact : t.users_exact;

    user->inexact = !exact ? "the user may have been forgotten before"
                    : !t.types_exact ? NGX_HTTP_ANALYTICS_OTHER : NULL;

    if (user->known) {
        ngx_qsort(user->types, user->info.ntypes,
                  sizeof(ngx_analytics_count_t), ngx_analytics_count_cmp);
    }

    return NGX_OK;
}


void
ngx_http_analytics_write_user(ngx_analytics_writer_t *w,
    ngx_http_analytics_user_t *user)
{
    ngx_analytics_write_literal(w, "\"total_events\":");
    ngx_analytics_write_uint(w, user->info.count);
    ngx_analytics_write_literal(w, ",\"events_by_type\":");
    ngx_http_analytics_write_counts(w, "event_type", user->types,
                                    user->info.ntypes);
    ngx_analytics_write_literal(w, ",\"first_event_at\":");
    ngx_analytics_write_time(w, user->info.first);
    ngx_analytics_write_literal(w, ",\"last_event_at\":");
    ngx_analytics_write_time(w, user->info.last);
}


ngx_int_t
ngx_http_analytics_copy_totals(ngx_http_analytics_zone_t *zone,
    ngx_analytics_totals_t *totals)
{
    if (ngx_http_analytics_lock(zone) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_analytics_zone_totals(zone->sh, totals);

    ngx_http_analytics_unlock(zone);

    return NGX_OK;
}


ngx_int_t
ngx_http_analytics_copy_types(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_analytics_count_t **types,
    ngx_uint_t *n, ngx_analytics_totals_t *totals)
{
    ngx_uint_t  size;

    /* and "other" */

    size = zone->types + 1;

    *types = ngx_palloc(r->pool, size * sizeof(ngx_analytics_count_t));
    if (*types == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_analytics_lock(zone) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_analytics_zone_totals(zone->sh, totals);
    *n = ngx_analytics_zone_types(zone->sh, 0, *types, size);

    ngx_http_analytics_unlock(zone);

    return NGX_OK;
}


ngx_uint_t
ngx_http_analytics_counted(ngx_analytics_count_t *counts, ngx_uint_t n)
{
    ngx_uint_t  i, j;

    for (i = 0, j = 0; i < n; i++) {
        if (counts[i].count) {
            counts[j++] = counts[i];
        }
    }

    return j;
}


void
ngx_http_analytics_write_counts(ngx_analytics_writer_t *w, const char *key,
    ngx_analytics_count_t *counts, ngx_uint_t n)
{
    size_t      len;
    u_char      name[sizeof(",{\"event_type\":")];
    ngx_uint_t  i;

    /* what stands before each name, with the comma first */

    len = ngx_sprintf(name, ",{\"%s\":", key) - name;

    ngx_analytics_write_literal(w, "[");

    for (i = 0; i < n; i++) {
        ngx_analytics_write_raw(w, name + (i == 0), len - (i == 0));
        ngx_analytics_write_string(w, &counts[i].name);
        ngx_analytics_write_literal(w, ",\"count\":");
        ngx_analytics_write_uint(w, counts[i].count);
        ngx_analytics_write_literal(w, "}");
    }

    ngx_analytics_write_literal(w, "]");
}


ngx_int_t
ngx_http_analytics_damaged(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone)
{
    return ngx_http_analytics_problem(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                          ngx_http_analytics_ready(zone)
                          ? "the zone is damaged"
                          : zone->attached
                          ? "the zone is recovering: it reads its log"
                          : "the zone's log is not available",
                          NULL, NULL);
}
