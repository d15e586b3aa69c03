
/*
 * The block "analytics_zone".
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_http_analytics_conf_log.h"
#include "ngx_http_analytics_metrics.h"
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
static char *ngx_http_analytics_zone_retain_totals(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_str_t *value);
static char *ngx_http_analytics_zone_retain_events(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_str_t *value);


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
    zone->totals = NGX_CONF_UNSET;
    zone->keep_time = NGX_CONF_UNSET;
    ngx_http_analytics_zone_log_unset(zone);

    if (ngx_http_analytics_zone_metrics_unset(cf, zone) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    zone->file = cf->conf_file->file.name.data;
    zone->line = line;

    rv = ngx_http_analytics_block(cf, zone, ngx_http_analytics_zone_line);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    ngx_conf_init_uint_value(zone->types, NGX_ANALYTICS_TYPES_DEFAULT);
    ngx_conf_init_value(zone->totals, 0);

    if ((zone->keep_time != NGX_CONF_UNSET
         && (zone->keep_time || zone->keep_size))
        && zone->store != 1)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"retain events=\" needs \"store on\" in zone "
                           "\"%V\"", &name);
        return NGX_CONF_ERROR;
    }

    ngx_conf_init_value(zone->keep_time, 0);

    if (ngx_http_analytics_zone_log_init(cf, zone) != NGX_CONF_OK
        || ngx_http_analytics_zone_metrics_init(cf, zone) != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

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

    char       *rv;
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

    if (ngx_http_analytics_zone_log_line(cf, zone, &rv) == NGX_OK
        || ngx_http_analytics_zone_metrics_line(cf, zone, &rv) == NGX_OK)
    {
        return rv;
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


/* retain [totals=all | TIME] [events=all | TIME | SIZE]; one at least */

static char *
ngx_http_analytics_zone_retain(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    char        *rv;
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    if (zone->totals != NGX_CONF_UNSET
        || zone->keep_time != NGX_CONF_UNSET)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"retain\" is duplicate");
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts < 2 || cf->args->nelts > 3) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"retain\"");
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "totals=", 7) == 0) {
            rv = ngx_http_analytics_zone_retain_totals(cf, zone, &value[i]);

        } else if (ngx_strncmp(value[i].data, "events=", 7) == 0) {
            rv = ngx_http_analytics_zone_retain_events(cf, zone, &value[i]);

        } else {
            rv = ngx_http_analytics_invalid(cf, "parameter", &value[i]);
        }

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_zone_retain_totals(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_str_t *value)
{
    time_t     sec;
    ngx_str_t  time;

    if (zone->totals != NGX_CONF_UNSET) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"totals\" is duplicate in \"retain\"");
        return NGX_CONF_ERROR;
    }

    time.data = value->data + 7;
    time.len = value->len - 7;

    if (ngx_strcmp(time.data, "all") == 0) {
        zone->totals = 0;
        return NGX_CONF_OK;
    }

    sec = ngx_parse_time(&time, 1);

    /* less than the minutes' 48 hours would be of no use */

    if (sec == (time_t) NGX_ERROR || sec < 2 * 86400
        || (int64_t) sec > (int64_t) 1000 * 365 * 86400)
    {
        return ngx_http_analytics_invalid(cf, "time in", value);
    }

    zone->totals = (int64_t) sec * NGX_ANALYTICS_SECOND;

    return NGX_CONF_OK;
}


/*
 * "10g" is a size, as "90d" is a time; what could be both, "10m" and a number
 * alone, is none.
 */

static char *
ngx_http_analytics_zone_retain_events(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_str_t *value)
{
    off_t      size;
    time_t     sec;
    ngx_str_t  text;

    if (zone->keep_time != NGX_CONF_UNSET) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"events\" is duplicate in \"retain\"");
        return NGX_CONF_ERROR;
    }

    text.data = value->data + 7;
    text.len = value->len - 7;

    zone->keep_time = 0;
    zone->keep_size = 0;

    if (ngx_strcmp(text.data, "all") == 0) {
        return NGX_CONF_OK;
    }

    if (text.len && ngx_strlchr((u_char *) "kKgG", (u_char *) "kKgG" + 4,
                                text.data[text.len - 1]))
    {
        size = ngx_parse_offset(&text);

        if (size <= 0) {
            return ngx_http_analytics_invalid(cf, "size in", value);
        }

        zone->keep_size = size;

        return NGX_CONF_OK;
    }

    sec = ngx_parse_time(&text, 1);

    if (text.len == 0
        || ngx_strlchr((u_char *) "hdwMy", (u_char *) "hdwMy" + 5,
                       text.data[text.len - 1]) == NULL
        || sec == (time_t) NGX_ERROR || sec < 1
        || (int64_t) sec > (int64_t) 1000 * 365 * 86400)
    {
        return ngx_http_analytics_invalid(cf, "time or size in", value);
    }

    zone->keep_time = (int64_t) sec * NGX_ANALYTICS_SECOND;

    return NGX_CONF_OK;
}
