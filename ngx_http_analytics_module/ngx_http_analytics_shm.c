
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

    if (old) {
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
        zone->sh = zone->shpool->data;
        return NGX_OK;
    }

    if (ngx_http_analytics_shm_create(zone, shm_zone->shm.log) != NGX_OK) {
        return NGX_ERROR;
    }

    zone->shpool->data = zone->sh;

    ngx_http_analytics_shm_resized(shm_zone);

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_shm_create(ngx_http_analytics_zone_t *zone, ngx_log_t *log)
{
    void                       *mem;
    size_t                      size;
    ngx_slab_pool_t            *shpool;
    ngx_analytics_zone_conf_t   conf;

    shpool = zone->shpool;

    /* there is nothing to log: the arena is all that is ever taken */

    shpool->log_nomem = 0;

    if (RAND_bytes((u_char *) conf.key, sizeof(conf.key)) != 1) {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "RAND_bytes() failed");
        return NGX_ERROR;
    }

    conf.types = zone->types;
    conf.now = ngx_http_analytics_now();

    /* all pages at once: the arena manages itself */

    size = shpool->pfree * ngx_pagesize;

    mem = ngx_slab_alloc(shpool, size);
    if (mem == NULL) {
        return NGX_ERROR;
    }

#if (NGX_DEBUG_MALLOC)
    ngx_memzero(mem, size);
#endif

    zone->sh = ngx_analytics_zone_create(mem, size, &conf);

    if (zone->sh == NULL) {
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

        if (ngx_http_analytics_lock(zones[i]) != NGX_OK) {
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

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (!logged) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "analytics zone \"%V\" is damaged", &zone->name);
    }

    return NGX_ERROR;
}
