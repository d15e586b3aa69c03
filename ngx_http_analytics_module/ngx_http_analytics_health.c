
/*
 * analytics_health: whether the zones can do their work, and how full they
 * are.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_analytics_erase.h"

#include <sys/statvfs.h>


/*
 * About a millisecond, with a holder that works; a machine that is busy, or
 * slow, gets a tenth of a second more.
 */
#define NGX_HTTP_ANALYTICS_SPINS  1000
#define NGX_HTTP_ANALYTICS_TRIES  1100


static cJSON *ngx_http_analytics_health_json(ngx_http_request_t *r,
    ngx_uint_t *status);
static ngx_int_t ngx_http_analytics_health_zone(
    ngx_http_analytics_zone_t *zone, cJSON *json, ngx_uint_t *status,
    ngx_uint_t *recovering);
static ngx_int_t ngx_http_analytics_health_recovery(
    ngx_http_analytics_zone_t *zone, cJSON *json);
static ngx_int_t ngx_http_analytics_health_log(
    ngx_http_analytics_zone_t *zone, cJSON *json);
static ngx_int_t ngx_http_analytics_health_store(
    ngx_http_analytics_zone_t *zone, cJSON *json);
static ngx_int_t ngx_http_analytics_health_reason(cJSON *json,
    const char *reason, ngx_uint_t *status);
static ngx_int_t ngx_http_analytics_health_ready(
    ngx_http_analytics_zone_t *zone, cJSON *json, ngx_uint_t *status);
static ngx_int_t ngx_http_analytics_health_totals(cJSON *json,
    ngx_analytics_totals_t *t, int64_t window);
static ngx_int_t ngx_http_analytics_health_uint(cJSON *json, const char *name,
    uint64_t value);


ngx_int_t
ngx_http_analytics_health_handler(ngx_http_request_t *r)
{
    cJSON       *json;
    ngx_int_t    rc;
    ngx_str_t    text;
    ngx_uint_t   status;

    rc = ngx_http_analytics_get(r);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    json = ngx_http_analytics_health_json(r, &status);
    if (json == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_analytics_print(r, json, &text) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_analytics_send_json(r, status, &text);
}


static cJSON *
ngx_http_analytics_health_json(ngx_http_request_t *r, ngx_uint_t *status)
{
    cJSON                            *json, *zones, *zone;
    ngx_uint_t                        i, recovering;
    ngx_http_analytics_zone_t       **z;
    ngx_http_analytics_main_conf_t   *amcf;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_analytics_module);

    json = cJSON_CreateObject();
    if (json == NULL) {
        return NULL;
    }

    *status = NGX_HTTP_OK;
    recovering = 0;

    if (cJSON_AddStringToObject(json, "status", "ok") == NULL
        || cJSON_AddStringToObject(json, "version", NGX_ANALYTICS_VERSION)
           == NULL
        || ngx_http_analytics_health_uint(json, "uptime_seconds",
                                    ngx_time() - ngx_http_analytics_started)
           != NGX_OK)
    {
        goto failed;
    }

    zones = cJSON_AddObjectToObject(json, "zones");
    if (zones == NULL) {
        goto failed;
    }

    z = amcf->zones.elts;

    for (i = 0; i < amcf->zones.nelts; i++) {

        /* names come from the configuration and end with a NUL there */

        zone = cJSON_AddObjectToObject(zones, (char *) z[i]->name.data);

        if (zone == NULL
            || ngx_http_analytics_health_zone(z[i], zone, status,
                                              &recovering)
               != NGX_OK)
        {
            goto failed;
        }
    }

    if ((*status != NGX_HTTP_OK || recovering)
        && !cJSON_ReplaceItemInObject(json, "status",
                             cJSON_CreateString(*status != NGX_HTTP_OK
                                                ? "error" : "recovering")))
    {
        goto failed;
    }

    return json;

failed:

    cJSON_Delete(json);

    return NULL;
}


static ngx_int_t
ngx_http_analytics_health_zone(ngx_http_analytics_zone_t *zone, cJSON *json,
    ngx_uint_t *status, ngx_uint_t *recovering)
{
    if (zone->path && !ngx_http_analytics_opening(zone)
        && (!zone->attached || zone->log.control->failed))
    {
        return ngx_http_analytics_health_reason(json,
                                          ngx_http_analytics_reason(zone),
                                          status);
    }

    if (!ngx_http_analytics_ready(zone)) {
        *recovering = 1;

        return ngx_http_analytics_health_recovery(zone, json);
    }

    return ngx_http_analytics_health_ready(zone, json, status);
}


/* Why the zone cannot do its work. */

static ngx_int_t
ngx_http_analytics_health_reason(cJSON *json, const char *reason,
    ngx_uint_t *status)
{
    *status = NGX_HTTP_SERVICE_UNAVAILABLE;

    return cJSON_AddStringToObject(json, "state", "unavailable")
           && cJSON_AddStringToObject(json, "reason", reason)
           ? NGX_OK : NGX_ERROR;
}


/* How far the zone is read from its log. */

static ngx_int_t
ngx_http_analytics_health_recovery(ngx_http_analytics_zone_t *zone,
    cJSON *json)
{
    uint64_t                      from, to;
    ngx_http_analytics_shared_t  *shared;

    shared = zone->shared;

    from = shared->recovery_from;
    to = ngx_max(shared->recovery_to, from);

    if (cJSON_AddStringToObject(json, "state", "recovering") == NULL
        || ngx_http_analytics_health_uint(json, "recovered_bytes",
                               ngx_max(shared->recovered, from) - from)
           != NGX_OK
        || ngx_http_analytics_health_uint(json, "recovery_bytes", to - from)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_health_log(ngx_http_analytics_zone_t *zone, cJSON *json)
{
    struct statvfs            fs;
    ngx_analytics_fail_t      fail;
    ngx_analytics_control_t  *control;
    ngx_analytics_erasing_t   erasing;

    control = zone->log.control;

    if (ngx_http_analytics_health_uint(json, "log_bytes",
                                     ngx_analytics_log_position(&zone->log))
           != NGX_OK
        || ngx_http_analytics_health_uint(json, "synced_bytes",
                                       ngx_analytics_log_synced(&zone->log))
           != NGX_OK
        || ngx_http_analytics_health_uint(json, "checkpoint_bytes",
                                          control->checkpoint)
           != NGX_OK
        || ngx_http_analytics_health_uint(json, "damaged_bytes",
                                          control->damaged)
           != NGX_OK
        || (zone->store && ngx_http_analytics_health_store(zone, json)
                           != NGX_OK))
    {
        return NGX_ERROR;
    }

    if (fstatvfs(zone->log.dir, &fs) == 0
        && ngx_http_analytics_health_uint(json, "disk_free_bytes",
                                          (uint64_t) fs.f_bavail
                                          * fs.f_frsize)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_analytics_erasing_read(zone->log.dir, zone->log.path, &erasing,
                                   &fail)
        != NGX_OK)
    {
        return cJSON_AddNullToObject(json, "erasing") ? NGX_OK : NGX_ERROR;
    }

    return ngx_http_analytics_health_uint(json, "erasing", erasing.n);
}


/* What it was when somebody last looked. */

static ngx_int_t
ngx_http_analytics_health_store(ngx_http_analytics_zone_t *zone, cJSON *json)
{
    cJSON                    *store;
    ngx_analytics_control_t  *control;

    control = zone->log.control;

    store = cJSON_AddObjectToObject(json, "store");
    if (store == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_analytics_health_uint(store, "behind_events",
                                     ngx_http_analytics_store_behind(zone))
           != NGX_OK
        || ngx_http_analytics_health_uint(store, "parts",
                                          control->store_parts)
           != NGX_OK
        || ngx_http_analytics_health_uint(store, "bytes", control->store_size)
           != NGX_OK
        || ngx_http_analytics_health_uint(store, "missing_bytes",
                                          control->store_missing)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* users: who is in a list that cannot be read is not erased either */

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_health_ready(ngx_http_analytics_zone_t *zone, cJSON *json,
    ngx_uint_t *status)
{
    int64_t                 window;
    ngx_int_t               rc;
    ngx_uint_t              i;
    ngx_analytics_totals_t  t;

    /* a lock that nobody gives back must not stop those who look for it */

    rc = NGX_BUSY;

    for (i = 0; i < NGX_HTTP_ANALYTICS_TRIES; i++) {
        rc = ngx_http_analytics_trylock(zone);

        if (rc != NGX_BUSY) {
            break;
        }

        if (i < NGX_HTTP_ANALYTICS_SPINS) {
            ngx_sched_yield();

        } else {
            ngx_msleep(1);
        }
    }

    if (rc != NGX_OK) {
        return ngx_http_analytics_health_reason(json,
                                         rc == NGX_BUSY
                                         ? "the zone is locked"
                                         : "the zone is damaged", status);
    }

    ngx_analytics_zone_totals(zone->sh, &t);
    window = ngx_analytics_keys_window(zone->sh, ngx_http_analytics_now());

    ngx_http_analytics_unlock(zone);

    if (cJSON_AddStringToObject(json, "state", "ready") == NULL
        || (zone->path && ngx_http_analytics_health_log(zone, json)
                          != NGX_OK))
    {
        return NGX_ERROR;
    }

    return ngx_http_analytics_health_totals(json, &t, window);
}


static ngx_int_t
ngx_http_analytics_health_totals(cJSON *json, ngx_analytics_totals_t *t,
    int64_t window)
{
    ngx_uint_t  exact;

    exact = t->users_exact && t->types_exact && t->cells_exact;

    if (ngx_http_analytics_health_uint(json, "events", t->events) != NGX_OK
        || ngx_http_analytics_health_uint(json, "users", t->users) != NGX_OK
        || ngx_http_analytics_health_uint(json, "types", t->types) != NGX_OK
        || ngx_http_analytics_health_uint(json, "memory_used", t->memory_used)
           != NGX_OK
        || ngx_http_analytics_health_uint(json, "memory_size", t->memory_size)
           != NGX_OK
        || cJSON_AddBoolToObject(json, "exact", exact) == NULL
        || ngx_http_analytics_health_uint(json, "older", t->older) != NGX_OK
        || ngx_http_analytics_health_uint(json, "late_events", t->late)
           != NGX_OK
        || ngx_http_analytics_health_uint(json, "evicted_users", t->evicted)
           != NGX_OK
        || ngx_http_analytics_health_uint(json, "events_of_other_types",
                                          t->type_overflow)
           != NGX_OK
        || ngx_http_analytics_health_uint(json, "rolled_back", t->rollbacks)
           != NGX_OK
        || ngx_http_analytics_health_uint(json, "idempotency_window_seconds",
                                          window / 1000000)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* cJSON keeps numbers as doubles: an exact integer goes as it is printed. */

static ngx_int_t
ngx_http_analytics_health_uint(cJSON *json, const char *name, uint64_t value)
{
    u_char  buf[NGX_INT64_LEN + 1];

    *ngx_sprintf(buf, "%uL", value) = '\0';

    return cJSON_AddRawToObject(json, name, (char *) buf) ? NGX_OK
                                                          : NGX_ERROR;
}
