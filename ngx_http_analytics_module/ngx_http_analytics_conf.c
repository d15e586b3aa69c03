
/*
 * What the blocks of the configuration have in common: their lines, and the
 * names of zones and formats.
 *
 * A location may name a zone or a format before its block is read, as the
 * order of included files is not ours; what was never declared is reported
 * with the place that names it.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"


/*
 * The lines of our blocks are not directives of nginx, whose parser would
 * look them up in all modules: they come to a handler, as those of "map".
 */

char *
ngx_http_analytics_block(ngx_conf_t *cf, void *conf,
    char *(*handler)(ngx_conf_t *, ngx_command_t *, void *))
{
    char        *rv;
    ngx_conf_t   save;

    save = *cf;
    cf->handler = handler;
    cf->handler_conf = conf;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    return rv;
}


ngx_http_analytics_zone_t *
ngx_http_analytics_zone_named(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_uint_t                        i;
    ngx_http_analytics_zone_t        *zone, **zones;
    ngx_http_analytics_main_conf_t   *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_analytics_module);

    zones = amcf->zones.elts;

    for (i = 0; i < amcf->zones.nelts; i++) {
        if (zones[i]->name.len == name->len
            && ngx_strcmp(zones[i]->name.data, name->data) == 0)
        {
            return zones[i];
        }
    }

    if (name->len == 0) {
        (void) ngx_http_analytics_invalid(cf, "zone name", name);
        return NULL;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_analytics_zone_t));
    if (zone == NULL) {
        return NULL;
    }

    zone->name = *name;
    zone->file = cf->conf_file->file.name.data;
    zone->line = cf->conf_file->line;

    zones = ngx_array_push(&amcf->zones);
    if (zones == NULL) {
        return NULL;
    }

    *zones = zone;

    return zone;
}


ngx_http_analytics_format_t *
ngx_http_analytics_format_named(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_uint_t                        i;
    ngx_http_analytics_format_t      *format, **formats;
    ngx_http_analytics_main_conf_t   *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_analytics_module);

    formats = amcf->formats.elts;

    for (i = 0; i < amcf->formats.nelts; i++) {
        if (formats[i]->format.name.len == name->len
            && ngx_strcmp(formats[i]->format.name.data, name->data) == 0)
        {
            return formats[i];
        }
    }

    if (name->len == 0) {
        (void) ngx_http_analytics_invalid(cf, "format name", name);
        return NULL;
    }

    format = ngx_pcalloc(cf->pool, sizeof(ngx_http_analytics_format_t));
    if (format == NULL) {
        return NULL;
    }

    format->format.name = *name;
    format->file = cf->conf_file->file.name.data;
    format->line = cf->conf_file->line;

    formats = ngx_array_push(&amcf->formats);
    if (formats == NULL) {
        return NULL;
    }

    *formats = format;

    return format;
}


ngx_int_t
ngx_http_analytics_check_names(ngx_conf_t *cf)
{
    ngx_uint_t                        i;
    ngx_http_analytics_zone_t       **zones;
    ngx_http_analytics_format_t     **formats;
    ngx_http_analytics_main_conf_t   *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_analytics_module);

    zones = amcf->zones.elts;

    for (i = 0; i < amcf->zones.nelts; i++) {
        if (zones[i]->size == 0) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown analytics zone \"%V\" in %s:%ui",
                          &zones[i]->name, zones[i]->file, zones[i]->line);
            return NGX_ERROR;
        }
    }

    formats = amcf->formats.elts;

    for (i = 0; i < amcf->formats.nelts; i++) {
        if (!formats[i]->declared) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown analytics format \"%V\" in %s:%ui",
                          &formats[i]->format.name, formats[i]->file,
                          formats[i]->line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


char *
ngx_http_analytics_invalid(ngx_conf_t *cf, const char *what, ngx_str_t *value)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid %s \"%V\"", what,
                       value);

    return NGX_CONF_ERROR;
}


ngx_int_t
ngx_http_analytics_item(ngx_str_t *list, ngx_str_t *item)
{
    u_char  *comma;

    if (list->data == NULL) {
        return NGX_DONE;
    }

    *item = *list;
    comma = ngx_strlchr(list->data, list->data + list->len, ',');

    if (comma == NULL) {
        ngx_str_null(list);
        return NGX_OK;
    }

    item->len = comma - list->data;
    list->len -= item->len + 1;
    list->data = comma + 1;

    return NGX_OK;
}
