
/*
 * Users that are stored under pseudonyms only: see ngx_analytics_pseudonym.h.
 *
 * Each process goes on to the next period's key by itself.  That the file
 * forgets the last one's is done by all of them.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"


static void ngx_http_analytics_pseudonyms_run(
    ngx_http_analytics_zone_t *zone);
static ngx_int_t ngx_http_analytics_pseudonyms_key(
    ngx_http_analytics_zone_t *zone, u_char *key);
static ngx_int_t ngx_http_analytics_pseudonyms_post(u_char *key,
    ngx_http_analytics_post_t *post);


ngx_int_t
ngx_http_analytics_pseudonyms_init(ngx_http_analytics_zone_t *zone)
{
    if (ngx_http_analytics_job_init(zone, &zone->pseudonyms_job,
                                    ngx_http_analytics_pseudonyms_run, NULL)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_thread_mutex_create(&zone->pseudonyms_mutex, ngx_cycle->log);
}


ngx_int_t
ngx_http_analytics_pseudonyms_load(ngx_http_analytics_zone_t *zone,
    ngx_analytics_fail_t *fail)
{
    zone->loaded.every = zone->pseudonyms.every;

    if (zone->loaded.every == NGX_ANALYTICS_PSEUDONYMS_OFF) {
        return NGX_OK;
    }

    return ngx_analytics_pseudonyms_load(&zone->loaded, zone->log.dir,
                                         zone->log.path,
                                         ngx_http_analytics_now(), fail);
}


void
ngx_http_analytics_pseudonyms_loaded(ngx_http_analytics_zone_t *zone)
{
    zone->pseudonyms = zone->loaded;
}


void
ngx_http_analytics_pseudonyms_tick(ngx_http_analytics_zone_t *zone)
{
    if (zone->pseudonyms.every
        && !zone->pseudonyms_job.busy
        && ngx_http_analytics_now() >= zone->loaded.end)
    {
        ngx_http_analytics_job_start(&zone->pseudonyms_job);
    }
}


static void
ngx_http_analytics_pseudonyms_run(ngx_http_analytics_zone_t *zone)
{
    ngx_analytics_fail_t  fail;

    zone->pseudonyms_job.rc = ngx_http_analytics_pseudonyms_load(zone, &fail);

    if (zone->pseudonyms_job.rc != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, fail.err,
                      "analytics zone \"%V\": the last key of pseudonyms was "
                      "not forgotten: %s", &zone->name, fail.text);
    }
}


/* The key of now; on any thread. */

static ngx_int_t
ngx_http_analytics_pseudonyms_key(ngx_http_analytics_zone_t *zone,
    u_char *key)
{
    ngx_int_t  rc;

    if (ngx_thread_mutex_lock(&zone->pseudonyms_mutex, ngx_cycle->log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_analytics_pseudonyms_turn(&zone->pseudonyms,
                                       ngx_http_analytics_now());

    ngx_memcpy(key, zone->pseudonyms.key, NGX_ANALYTICS_PSEUDONYM_KEY);

    (void) ngx_thread_mutex_unlock(&zone->pseudonyms_mutex, ngx_cycle->log);

    return (rc == NGX_ERROR) ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_http_analytics_pseudonyms_hide(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t **posts, ngx_uint_t n)
{
    u_char      key[NGX_ANALYTICS_PSEUDONYM_KEY];
    ngx_int_t   rc;
    ngx_uint_t  i;

    /* what could not be appended at once is hidden already */

    if (zone->pseudonyms.every == NGX_ANALYTICS_PSEUDONYMS_OFF
        || posts[0]->hidden)
    {
        return NGX_OK;
    }

    if (ngx_http_analytics_pseudonyms_key(zone, key) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = NGX_OK;

    for (i = 0; i < n && rc == NGX_OK; i++) {
        rc = ngx_http_analytics_pseudonyms_post(key, posts[i]);
        posts[i]->hidden = 1;
    }

    return rc;
}


static ngx_int_t
ngx_http_analytics_pseudonyms_post(u_char *key,
    ngx_http_analytics_post_t *post)
{
    u_char                 *p;
    ngx_str_t              *user;
    ngx_uint_t              i;
    ngx_analytics_run_t    *run;

    for (run = post->decode.first; run; run = run->next) {

        p = ngx_pnalloc(post->pool, run->n * NGX_ANALYTICS_PSEUDONYM);
        if (p == NULL) {
            return NGX_ERROR;
        }

        for (i = 0; i < run->n; i++) {
            user = &run->events[i].user;

            if (ngx_analytics_pseudonym(key, user, p) != NGX_OK) {
                return NGX_ERROR;
            }

            user->data = p;
            user->len = NGX_ANALYTICS_PSEUDONYM;

            p += NGX_ANALYTICS_PSEUDONYM;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_analytics_pseudonym(ngx_http_analytics_zone_t *zone,
    ngx_pool_t *pool, ngx_str_t *user)
{
    u_char  *p, key[NGX_ANALYTICS_PSEUDONYM_KEY];

    if (zone->pseudonyms.every == NGX_ANALYTICS_PSEUDONYMS_OFF
        || user->len == 0 || ngx_analytics_pseudonym_is(user))
    {
        return NGX_OK;
    }

    p = ngx_pnalloc(pool, NGX_ANALYTICS_PSEUDONYM);

    if (p == NULL
        || ngx_http_analytics_pseudonyms_key(zone, key) != NGX_OK
        || ngx_analytics_pseudonym(key, user, p) != NGX_OK)
    {
        return NGX_ERROR;
    }

    user->data = p;
    user->len = NGX_ANALYTICS_PSEUDONYM;

    return NGX_OK;
}
