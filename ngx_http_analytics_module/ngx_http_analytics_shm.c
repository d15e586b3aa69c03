
/*
 * The zones' shared memory and its lock.
 *
 * The lock is the slab pool's own mutex: the only one in shared memory that
 * nginx's master frees when a worker dies with it.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"

#include <openssl/rand.h>


/* about 10 microseconds */
#define NGX_HTTP_ANALYTICS_SPIN  16


static ngx_int_t ngx_http_analytics_shm_create(
    ngx_http_analytics_zone_t *zone, ngx_log_t *log);
static ngx_uint_t ngx_http_analytics_shm_moved(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_zone_t *old);
static void ngx_http_analytics_shm_resized(ngx_shm_zone_t *shm_zone);
static ngx_int_t ngx_http_analytics_locked(ngx_http_analytics_zone_t *zone);


/*
 * Runs in the master, also for "nginx -t" and for a reload that may still
 * fail, while the workers write to the memory: what is there is only mapped.
 */

ngx_int_t
ngx_http_analytics_shm_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_analytics_zone_t  *old = data;

    ngx_http_analytics_zone_t  *zone;

    zone = shm_zone->data;
    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (ngx_http_analytics_log_probe(zone, shm_zone->shm.log) != NGX_OK) {
        return NGX_ERROR;
    }

    if (old) {

        if (ngx_http_analytics_shm_moved(zone, old)) {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "analytics zone \"%V\" has another \"path\": it "
                          "takes effect with another size, or by a restart",
                          &zone->name);
            return NGX_ERROR;
        }

        zone->shared = old->shared;
        zone->sh = old->sh;

        if (zone->types != old->types) {
            ngx_log_error(NGX_LOG_WARN, shm_zone->shm.log, 0,
                          "analytics zone \"%V\" goes on with %ui types: "
                          "\"types\" takes effect when the zone is made "
                          "anew", &zone->name, old->types);

            zone->types = old->types;
        }

        return NGX_OK;
    }

    if (shm_zone->shm.exists) {
        zone->shared = zone->shpool->data;
        zone->sh = zone->shared->zone;
        return NGX_OK;
    }

    if (ngx_http_analytics_shm_create(zone, shm_zone->shm.log) != NGX_OK) {
        return NGX_ERROR;
    }

    zone->shpool->data = zone->shared;

    if (zone->path == NULL) {
        ngx_http_analytics_shm_resized(shm_zone);
    }

    return NGX_OK;
}


/* What the memory holds belongs to one log, or to none. */

static ngx_uint_t
ngx_http_analytics_shm_moved(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_zone_t *old)
{
    if (zone->path == NULL || old->path == NULL) {
        return zone->path != old->path;
    }

    return zone->path->name.len != old->path->name.len
           || ngx_strncmp(zone->path->name.data, old->path->name.data,
                          old->path->name.len)
              != 0;
}


static ngx_int_t
ngx_http_analytics_shm_create(ngx_http_analytics_zone_t *zone, ngx_log_t *log)
{
    ngx_slab_pool_t              *shpool;
    ngx_analytics_zone_conf_t     conf;
    ngx_http_analytics_shared_t  *shared;

    shpool = zone->shpool;

    /* there is nothing to log: the arena is all that is ever taken */

    shpool->log_nomem = 0;

    shared = ngx_slab_calloc(shpool, sizeof(ngx_http_analytics_shared_t));
    if (shared == NULL) {
        return NGX_ERROR;
    }

    shared->rebuilds = 1;

    /* all other pages at once: the arena manages itself */

    shared->size = shpool->pfree * ngx_pagesize;

    shared->zone = ngx_slab_alloc(shpool, shared->size);
    if (shared->zone == NULL) {
        return NGX_ERROR;
    }

#if (NGX_DEBUG_MALLOC)
    ngx_memzero(shared->zone, shared->size);
#endif

    if (RAND_bytes((u_char *) &shared->id, sizeof(shared->id)) != 1
        || RAND_bytes((u_char *) conf.key, sizeof(conf.key)) != 1)
    {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "RAND_bytes() failed");
        return NGX_ERROR;
    }

    zone->shared = shared;
    zone->sh = shared->zone;

    if (zone->path) {

        /* made from its log by a worker, with the log's key */

        return NGX_OK;
    }

    conf.types = zone->types;
    conf.now = ngx_http_analytics_now();

    if (ngx_analytics_zone_create(zone->sh, shared->size, &conf) == NULL) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "analytics zone \"%V\" is too small", &zone->name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* nginx replaces a zone by one of another size without a word. */

static void
ngx_http_analytics_shm_resized(ngx_shm_zone_t *shm_zone)
{
    ngx_uint_t        i;
    ngx_shm_zone_t   *old;
    ngx_list_part_t  *part;

    if (ngx_cycle == NULL || ngx_is_init_cycle(ngx_cycle)) {
        return;
    }

    /* ngx_cycle is still the old one */

    part = (ngx_list_part_t *) &ngx_cycle->shared_memory.part;
    old = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return;
            }

            part = part->next;
            old = part->elts;
            i = 0;
        }

        if (old[i].tag == shm_zone->tag
            && old[i].shm.size != shm_zone->shm.size
            && old[i].shm.name.len == shm_zone->shm.name.len
            && ngx_strncmp(old[i].shm.name.data, shm_zone->shm.name.data,
                           shm_zone->shm.name.len)
               == 0)
        {
            ngx_log_error(NGX_LOG_WARN, shm_zone->shm.log, 0,
                          "analytics zone \"%V\" was resized from %uz to %uz "
                          "bytes and starts empty", &shm_zone->shm.name,
                          old[i].shm.size, shm_zone->shm.size);
            return;
        }
    }
}


void
ngx_http_analytics_shm_publish(ngx_http_analytics_main_conf_t *amcf)
{
    ngx_uint_t                   i;
    ngx_http_analytics_zone_t  **zones;

    zones = amcf->zones.elts;

    for (i = 0; i < amcf->zones.nelts; i++) {

        /* the program of a zone with a log stands in the log */

        if (zones[i]->path || ngx_http_analytics_lock(zones[i]) != NGX_OK) {
            continue;
        }

        ngx_analytics_zone_program(zones[i]->sh, &zones[i]->program);

        ngx_http_analytics_unlock(zones[i]);
    }
}


ngx_int_t
ngx_http_analytics_lock(ngx_http_analytics_zone_t *zone)
{
    ngx_uint_t  i, n;

    /*
     * A fold takes a few microseconds: looking often is better than nginx's
     * looking half as often each time, which comes after.
     */

    for (i = 0; i < NGX_HTTP_ANALYTICS_SPIN; i++) {

        if (ngx_shmtx_trylock(&zone->shpool->mutex)) {
            return ngx_http_analytics_locked(zone);
        }

        for (n = 0; n < 16; n++) {
            ngx_cpu_pause();
        }
    }

    ngx_shmtx_lock(&zone->shpool->mutex);

    return ngx_http_analytics_locked(zone);
}


ngx_int_t
ngx_http_analytics_trylock(ngx_http_analytics_zone_t *zone)
{
    if (!ngx_shmtx_trylock(&zone->shpool->mutex)) {
        return NGX_BUSY;
    }

    return ngx_http_analytics_locked(zone);
}


void
ngx_http_analytics_unlock(ngx_http_analytics_zone_t *zone)
{
    ngx_uint_t  rolled_back;

    rolled_back = zone->rolled_back;
    zone->rolled_back = 0;

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (rolled_back) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "analytics zone \"%V\": a fold that a killed process "
                      "left unfinished was rolled back", &zone->name);
    }
}


/* Whoever had the lock before may have been killed in the middle. */

static ngx_int_t
ngx_http_analytics_locked(ngx_http_analytics_zone_t *zone)
{
    ngx_uint_t  logged;

    if (!ngx_http_analytics_ready(zone)) {
        ngx_shmtx_unlock(&zone->shpool->mutex);
        return NGX_DECLINED;
    }

    switch (ngx_analytics_zone_recover(zone->sh)) {

    case NGX_OK:
        return NGX_OK;

    case NGX_AGAIN:
        zone->rolled_back = 1;
        return NGX_OK;

    default: /* NGX_ERROR */
        break;
    }

    logged = zone->damaged;
    zone->damaged = 1;

    if (zone->path) {

        /* to be made anew from its log */

        zone->shared->ready = 0;
        zone->damaged = 0;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (!logged) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "analytics zone \"%V\" is damaged", &zone->name);
    }

    return NGX_ERROR;
}
