
/*
 * The block "analytics_zone".
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_analytics_time.h"


/* what nginx keeps for itself: the pool's header and a page's entry each */
#define NGX_HTTP_ANALYTICS_SLAB(size)                                         \
    ((size) + (size) / ngx_pagesize * 32 + 8 * ngx_pagesize)


static char *ngx_http_analytics_zone_line(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_analytics_zone_types(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
static char *ngx_http_analytics_zone_retain(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);


char *
ngx_http_analytics_zone_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                       *rv;
    ssize_t                     size;
    ngx_str_t                  *value, name, token;
    ngx_uint_t                  line;
    ngx_http_analytics_zone_t  *zone;

    value = cf->args->elts;
    name = value[1];
    token = value[2];
    line = cf->conf_file->line;

    zone = ngx_http_analytics_zone_named(cf, &name);
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (zone->size) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is already declared in %s:%ui",
                           &name, zone->file, zone->line);
        return NGX_CONF_ERROR;
    }

    size = ngx_parse_size(&token);

    if (size == NGX_ERROR || size == 0) {
        return ngx_http_analytics_invalid(cf, "zone size", &token);
    }

    zone->size = size;
    zone->types = NGX_CONF_UNSET_UINT;
    zone->program.totals = NGX_CONF_UNSET;
    zone->file = cf->conf_file->file.name.data;
    zone->line = line;

    rv = ngx_http_analytics_block(cf, zone, ngx_http_analytics_zone_line);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    ngx_conf_init_uint_value(zone->types, NGX_ANALYTICS_TYPES_DEFAULT);
    ngx_conf_init_value(zone->program.totals, 0);

    if (zone->size
        < NGX_HTTP_ANALYTICS_SLAB(ngx_analytics_zone_min_size(zone->types)))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is too small: %V, at least %uzk "
                           "are needed for %ui types", &name, &token,
                           NGX_HTTP_ANALYTICS_SLAB(
                                  ngx_analytics_zone_min_size(zone->types))
                           / 1024 + 1, zone->types);
        return NGX_CONF_ERROR;
    }

    zone->shm_zone = ngx_shared_memory_add(cf, &name, zone->size,
                                           &ngx_http_analytics_module);
    if (zone->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    zone->shm_zone->init = ngx_http_analytics_shm_init;
    zone->shm_zone->data = zone;

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_zone_line(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_analytics_zone_t *zone = conf;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_strcmp(value[0].data, "include") == 0) {
        return ngx_conf_include(cf, cmd, conf);
    }

    if (ngx_strcmp(value[0].data, "types") == 0) {
        return ngx_http_analytics_zone_types(cf, zone);
    }

    if (ngx_strcmp(value[0].data, "retain") == 0) {
        return ngx_http_analytics_zone_retain(cf, zone);
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown directive \"%V\" in \"analytics_zone\"",
                       &value[0]);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_analytics_zone_types(ngx_conf_t *cf, ngx_http_analytics_zone_t *zone)
{
    ngx_int_t   n;
    ngx_str_t  *value;

    value = cf->args->elts;

    if (cf->args->nelts != 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"types\"");
        return NGX_CONF_ERROR;
    }

    if (zone->types != NGX_CONF_UNSET_UINT) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"types\" is duplicate");
        return NGX_CONF_ERROR;
    }

    n = ngx_atoi(value[1].data, value[1].len);

    if (n < NGX_ANALYTICS_TYPES_MIN || n > NGX_ANALYTICS_TYPES_MAX) {
        return ngx_http_analytics_invalid(cf, "number of types", &value[1]);
    }

    zone->types = n;

    return NGX_CONF_OK;
}


/* retain totals=all | TIME */

static char *
ngx_http_analytics_zone_retain(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    time_t      sec;
    ngx_str_t  *value, time;

    value = cf->args->elts;

    if (zone->program.totals != NGX_CONF_UNSET) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"retain\" is duplicate");
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts != 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"retain\"");
        return NGX_CONF_ERROR;
    }

    if (ngx_strncmp(value[1].data, "totals=", 7) != 0) {
        return ngx_http_analytics_invalid(cf, "parameter", &value[1]);
    }

    time.data = value[1].data + 7;
    time.len = value[1].len - 7;

    if (ngx_strcmp(time.data, "all") == 0) {
        zone->program.totals = 0;
        return NGX_CONF_OK;
    }

    sec = ngx_parse_time(&time, 1);

    /* less than the minutes' 48 hours would be of no use */

    if (sec == (time_t) NGX_ERROR || sec < 2 * 86400
        || (int64_t) sec > (int64_t) 1000 * 365 * 86400)
    {
        return ngx_http_analytics_invalid(cf, "time in", &value[1]);
    }

    zone->program.totals = (int64_t) sec * NGX_ANALYTICS_SECOND;

    return NGX_CONF_OK;
}
