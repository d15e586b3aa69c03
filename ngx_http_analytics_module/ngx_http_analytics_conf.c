
/*
 * The blocks "analytics_zone" and "analytics_format".
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
#include "ngx_analytics_time.h"


/* what nginx keeps for itself: the pool's header and a page's entry each */
#define NGX_HTTP_ANALYTICS_SLAB(size)                                         \
    ((size) + (size) / ngx_pagesize * 32 + 8 * ngx_pagesize)


static char *ngx_http_analytics_block(ngx_conf_t *cf, void *conf,
    char *(*handler)(ngx_conf_t *, ngx_command_t *, void *));
static char *ngx_http_analytics_zone_line(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_analytics_zone_types(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
static char *ngx_http_analytics_zone_retain(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
static char *ngx_http_analytics_format_line(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_analytics_format_user(ngx_conf_t *cf,
    ngx_analytics_format_t *format);
static char *ngx_http_analytics_format_type(ngx_conf_t *cf,
    ngx_analytics_format_t *format);
static char *ngx_http_analytics_format_time(ngx_conf_t *cf,
    ngx_analytics_format_t *format);
static char *ngx_http_analytics_format_properties(ngx_conf_t *cf,
    ngx_analytics_format_t *format);
static char *ngx_http_analytics_format_field(ngx_conf_t *cf,
    ngx_str_t *field, ngx_uint_t last);
static char *ngx_http_analytics_format_check(ngx_conf_t *cf,
    ngx_analytics_format_t *format);
static char *ngx_http_analytics_invalid(ngx_conf_t *cf, const char *what,
    ngx_str_t *value);


/*
 * The lines of our blocks are not directives of nginx, whose parser would
 * look them up in all modules: they come to a handler, as those of "map".
 */

static char *
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
        || sec > 1000 * (time_t) 365 * 86400)
    {
        return ngx_http_analytics_invalid(cf, "time in", &value[1]);
    }

    zone->program.totals = (int64_t) sec * NGX_ANALYTICS_SECOND;

    return NGX_CONF_OK;
}


char *
ngx_http_analytics_format_block(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    char                         *rv;
    ngx_str_t                    *value;
    ngx_http_analytics_format_t  *format;

    value = cf->args->elts;

    format = ngx_http_analytics_format_named(cf, &value[1]);
    if (format == NULL) {
        return NGX_CONF_ERROR;
    }

    if (format->declared) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "format \"%V\" is already declared in %s:%ui",
                           &value[1], format->file, format->line);
        return NGX_CONF_ERROR;
    }

    format->declared = 1;
    format->file = cf->conf_file->file.name.data;
    format->line = cf->conf_file->line;

    rv = ngx_http_analytics_block(cf, &format->format,
                                  ngx_http_analytics_format_line);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_analytics_format_check(cf, &format->format);
}


static char *
ngx_http_analytics_format_line(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_analytics_format_t *format = conf;

    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_strcmp(value[0].data, "user") == 0) {
        return ngx_http_analytics_format_user(cf, format);
    }

    if (ngx_strcmp(value[0].data, "type") == 0) {
        return ngx_http_analytics_format_type(cf, format);
    }

    if (ngx_strcmp(value[0].data, "time") == 0) {
        return ngx_http_analytics_format_time(cf, format);
    }

    if (ngx_strcmp(value[0].data, "properties") == 0) {
        return ngx_http_analytics_format_properties(cf, format);
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown directive \"%V\" in \"analytics_format\"",
                       &value[0]);

    return NGX_CONF_ERROR;
}


/* user FIELD [integer]; */

static char *
ngx_http_analytics_format_user(ngx_conf_t *cf, ngx_analytics_format_t *format)
{
    ngx_str_t  *value;

    if (ngx_http_analytics_format_field(cf, &format->user, 2)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (cf->args->nelts == 3) {

        if (ngx_strcmp(value[2].data, "integer") != 0) {
            return ngx_http_analytics_invalid(cf, "parameter", &value[2]);
        }

        format->integer = 1;
    }

    return NGX_CONF_OK;
}


/* type FIELD | =CONSTANT; */

static char *
ngx_http_analytics_format_type(ngx_conf_t *cf, ngx_analytics_format_t *format)
{
    if (ngx_http_analytics_format_field(cf, &format->type, 1)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (format->type.data[0] == '=') {
        format->constant = 1;
        format->type.data++;
        format->type.len--;

        if (format->type.len == 0) {
            return ngx_http_analytics_invalid(cf, "constant",
                                              (ngx_str_t *) cf->args->elts + 1);
        }
    }

    return NGX_CONF_OK;
}


/* time FIELD [rfc3339 | epoch | epoch_ms]; */

static char *
ngx_http_analytics_format_time(ngx_conf_t *cf, ngx_analytics_format_t *format)
{
    ngx_str_t  *value;

    if (ngx_http_analytics_format_field(cf, &format->time, 2)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 || ngx_strcmp(value[2].data, "rfc3339") == 0) {
        format->unit = 0;

    } else if (ngx_strcmp(value[2].data, "epoch") == 0) {
        format->unit = NGX_ANALYTICS_SECOND;

    } else if (ngx_strcmp(value[2].data, "epoch_ms") == 0) {
        format->unit = NGX_ANALYTICS_SECOND / 1000;

    } else {
        return ngx_http_analytics_invalid(cf, "parameter", &value[2]);
    }

    return NGX_CONF_OK;
}


/* properties FIELD | *; */

static char *
ngx_http_analytics_format_properties(ngx_conf_t *cf,
    ngx_analytics_format_t *format)
{
    if (ngx_http_analytics_format_field(cf, &format->properties, 1)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(format->properties.data, "*") == 0) {
        format->rest = 1;
    }

    return NGX_CONF_OK;
}


/* The field's name, and at most last arguments in all. */

static char *
ngx_http_analytics_format_field(ngx_conf_t *cf, ngx_str_t *field,
    ngx_uint_t last)
{
    u_char     *p;
    ngx_str_t  *value;

    value = cf->args->elts;

    if (cf->args->nelts < 2 || cf->args->nelts - 1 > last) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"%V\"",
                           &value[0]);
        return NGX_CONF_ERROR;
    }

    if (field->len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is duplicate", &value[0]);
        return NGX_CONF_ERROR;
    }

    if (value[1].len == 0 || value[1].len > NGX_ANALYTICS_NAME_MAX) {
        return ngx_http_analytics_invalid(cf, "field", &value[1]);
    }

    for (p = value[1].data; *p; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            return ngx_http_analytics_invalid(cf, "field", &value[1]);
        }
    }

    if (ngx_utf8_length(value[1].data, value[1].len) > value[1].len) {
        return ngx_http_analytics_invalid(cf, "field", &value[1]);
    }

    *field = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_format_check(ngx_conf_t *cf,
    ngx_analytics_format_t *format)
{
    ngx_str_t   *fields[4];
    ngx_uint_t   i, j, n;

    if (format->user.len == 0 || format->type.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no \"%s\" in format \"%V\"",
                           format->user.len ? "type" : "user", &format->name);
        return NGX_CONF_ERROR;
    }

    n = 0;
    fields[n++] = &format->user;

    if (!format->constant) {
        fields[n++] = &format->type;
    }

    if (format->time.len) {
        fields[n++] = &format->time;
    }

    if (format->properties.len) {
        fields[n++] = &format->properties;
    }

    for (i = 0; i < n; i++) {

        if (ngx_strcmp(fields[i]->data, "id") == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "field \"id\" in format \"%V\" is taken by "
                               "the event's own id", &format->name);
            return NGX_CONF_ERROR;
        }

        for (j = 0; j < i; j++) {
            if (ngx_strcmp(fields[i]->data, fields[j]->data) == 0) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "field \"%V\" stands twice in format "
                                   "\"%V\"", fields[i], &format->name);
                return NGX_CONF_ERROR;
            }
        }
    }

    if (ngx_analytics_format_init(format, ngx_http_analytics_palloc, cf->pool)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
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
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone name \"%V\"", name);
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


static char *
ngx_http_analytics_invalid(ngx_conf_t *cf, const char *what, ngx_str_t *value)
{
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid %s \"%V\"", what,
                       value);

    return NGX_CONF_ERROR;
}
