
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


/* about a millisecond, with a holder that works */
#define NGX_HTTP_ANALYTICS_TRIES  1000


static cJSON *ngx_http_analytics_health_json(ngx_http_request_t *r,
    ngx_uint_t *status);
static ngx_int_t ngx_http_analytics_health_zone(
    ngx_http_analytics_zone_t *zone, cJSON *json, ngx_uint_t *status);
static ngx_int_t ngx_http_analytics_health_uint(cJSON *json, const char *name,
    uint64_t value);


ngx_int_t
ngx_http_analytics_health_handler(ngx_http_request_t *r)
{
    cJSON       *json;
    ngx_int_t    rc;
    ngx_str_t    text;
    ngx_uint_t   status;

    rc = ngx_http_analytics_methods(r, NGX_HTTP_GET);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
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
    ngx_uint_t                        i;
    ngx_http_analytics_zone_t       **z;
    ngx_http_analytics_main_conf_t   *amcf;

    amcf = ngx_http_get_module_main_conf(r, ngx_http_analytics_module);

    json = cJSON_CreateObject();
    if (json == NULL) {
        return NULL;
    }

    *status = NGX_HTTP_OK;

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
            || ngx_http_analytics_health_zone(z[i], zone, status) != NGX_OK)
        {
            goto failed;
        }
    }

    if (*status != NGX_HTTP_OK
        && !cJSON_ReplaceItemInObject(json, "status",
                                      cJSON_CreateString("error")))
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
    ngx_uint_t *status)
{
    ngx_int_t               rc;
    ngx_uint_t              i, exact;
    ngx_analytics_totals_t  t;

    /* a lock that nobody gives back must not stop those who look for it */

    rc = NGX_BUSY;

    for (i = 0; i < NGX_HTTP_ANALYTICS_TRIES; i++) {
        rc = ngx_http_analytics_trylock(zone);

        if (rc != NGX_BUSY) {
            break;
        }

        ngx_sched_yield();
    }

    if (rc != NGX_OK) {
        *status = NGX_HTTP_SERVICE_UNAVAILABLE;

        return cJSON_AddStringToObject(json, "reason",
                                       rc == NGX_BUSY ? "the zone is locked"
                                                      : "the zone is damaged")
               ? NGX_OK : NGX_ERROR;
    }

    ngx_analytics_zone_totals(zone->sh, &t);

    ngx_http_analytics_unlock(zone);

    exact = t.users_exact && t.types_exact && t.cells_exact;

    if (ngx_http_analytics_health_uint(json, "events", t.events) != NGX_OK
        || ngx_http_analytics_health_uint(json, "users", t.users) != NGX_OK
        || ngx_http_analytics_health_uint(json, "types", t.types) != NGX_OK
        || ngx_http_analytics_health_uint(json, "memory_used", t.memory_used)
           != NGX_OK
        || ngx_http_analytics_health_uint(json, "memory_size", t.memory_size)
           != NGX_OK
        || cJSON_AddBoolToObject(json, "exact", exact) == NULL
        || ngx_http_analytics_health_uint(json, "older", t.older) != NGX_OK
        || ngx_http_analytics_health_uint(json, "evicted_users", t.evicted)
           != NGX_OK
        || ngx_http_analytics_health_uint(json, "events_of_other_types",
                                          t.type_overflow)
           != NGX_OK
        || ngx_http_analytics_health_uint(json, "rolled_back", t.rollbacks)
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
