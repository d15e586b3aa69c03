
/*
 * The block "analytics_format".
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_analytics_time.h"


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
static char *ngx_http_analytics_format_id(ngx_conf_t *cf,
    ngx_analytics_format_t *format);
static char *ngx_http_analytics_format_truncate(ngx_conf_t *cf,
    ngx_analytics_format_t *format);
static char *ngx_http_analytics_format_truncated(ngx_conf_t *cf,
    ngx_analytics_format_t *format);
static char *ngx_http_analytics_format_name(ngx_conf_t *cf, ngx_str_t *value);
static char *ngx_http_analytics_format_field(ngx_conf_t *cf,
    ngx_str_t *field, ngx_uint_t last, ngx_uint_t constant);
static char *ngx_http_analytics_format_unique(ngx_conf_t *cf,
    ngx_analytics_format_t *format);
static char *ngx_http_analytics_format_done(ngx_conf_t *cf,
    ngx_analytics_format_t *format);


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

    return ngx_http_analytics_format_done(cf, &format->format);
}


static char *
ngx_http_analytics_format_line(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_analytics_format_t *format = conf;

    char       *rv;
    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_strcmp(value[0].data, "include") == 0) {
        return ngx_conf_include(cf, cmd, conf);
    }

    if (ngx_strcmp(value[0].data, "user") == 0) {
        rv = ngx_http_analytics_format_user(cf, format);

    } else if (ngx_strcmp(value[0].data, "type") == 0) {
        rv = ngx_http_analytics_format_type(cf, format);

    } else if (ngx_strcmp(value[0].data, "time") == 0) {
        rv = ngx_http_analytics_format_time(cf, format);

    } else if (ngx_strcmp(value[0].data, "properties") == 0) {
        rv = ngx_http_analytics_format_properties(cf, format);

    } else if (ngx_strcmp(value[0].data, "id") == 0) {
        rv = ngx_http_analytics_format_id(cf, format);

    } else if (ngx_strcmp(value[0].data, "truncate") == 0) {
        rv = ngx_http_analytics_format_truncate(cf, format);

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown directive \"%V\" in "
                           "\"analytics_format\"", &value[0]);
        return NGX_CONF_ERROR;
    }

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_analytics_format_unique(cf, format);
}


/* user FIELD [integer]; */

static char *
ngx_http_analytics_format_user(ngx_conf_t *cf, ngx_analytics_format_t *format)
{
    ngx_str_t  *value;

    if (ngx_http_analytics_format_field(cf, &format->user, 2, 0)
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
    if (ngx_http_analytics_format_field(cf, &format->type, 1, 1)
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

    if (ngx_http_analytics_format_field(cf, &format->time, 2, 0)
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
    if (ngx_http_analytics_format_field(cf, &format->properties, 1, 0)
        != NGX_CONF_OK)
    {
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(format->properties.data, "*") == 0) {
        format->rest = 1;
    }

    return NGX_CONF_OK;
}


/* id FIELD; */

static char *
ngx_http_analytics_format_id(ngx_conf_t *cf, ngx_analytics_format_t *format)
{
    return ngx_http_analytics_format_field(cf, &format->id, 1, 0);
}


/* truncate FIELD ...; */

static char *
ngx_http_analytics_format_truncate(ngx_conf_t *cf,
    ngx_analytics_format_t *format)
{
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    if (cf->args->nelts < 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"truncate\"");
        return NGX_CONF_ERROR;
    }

    if (format->truncate) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"truncate\" is duplicate");
        return NGX_CONF_ERROR;
    }

    format->ntruncate = cf->args->nelts - 1;

    format->truncate = ngx_palloc(cf->pool,
                                  format->ntruncate * sizeof(ngx_str_t));
    if (format->truncate == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < format->ntruncate; i++) {

        if (ngx_http_analytics_format_name(cf, &value[i + 1])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }

        format->truncate[i] = value[i + 1];
    }

    return NGX_CONF_OK;
}


/* Once all is known: the user, or members of the properties. */

static char *
ngx_http_analytics_format_truncated(ngx_conf_t *cf,
    ngx_analytics_format_t *format)
{
    ngx_str_t   *name;
    ngx_uint_t   i, n;

    n = 0;

    for (i = 0; i < format->ntruncate; i++) {
        name = &format->truncate[i];

        if (ngx_strcmp(name->data, format->user.data) == 0
            && !format->integer)
        {
            format->truncate_user = 1;
            continue;
        }

        /* what is mapped already is no property */

        if (format->properties.len == 0
            || (format->rest
                && ((!format->constant
                     && ngx_strcmp(name->data, format->type.data) == 0)
                    || (format->time.len
                        && ngx_strcmp(name->data, format->time.data) == 0)
                    || (format->id.len
                        && ngx_strcmp(name->data, format->id.data) == 0))))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "field \"%V\" of \"truncate\" is no property "
                               "in format \"%V\"", name, &format->name);
            return NGX_CONF_ERROR;
        }

        format->truncate[n++] = *name;
    }

    format->ntruncate = n;

    return NGX_CONF_OK;
}


/* The field's name, and at most last arguments in all. */

static char *
ngx_http_analytics_format_field(ngx_conf_t *cf, ngx_str_t *field,
    ngx_uint_t last, ngx_uint_t constant)
{
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

    if (ngx_http_analytics_format_name(cf, &value[1]) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    /* only a type can be a constant */

    if (value[1].data[0] == '=' && !constant) {
        return ngx_http_analytics_invalid(cf, "field", &value[1]);
    }

    *field = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_format_name(ngx_conf_t *cf, ngx_str_t *value)
{
    u_char    *p, *end;
    uint32_t   c;

    if (value->len == 0 || value->len > NGX_ANALYTICS_NAME_MAX) {
        return ngx_http_analytics_invalid(cf, "field", value);
    }

    p = value->data;
    end = p + value->len;

    while (p < end) {
        c = (*p < 0x80) ? *p++ : ngx_utf8_decode(&p, end - p);

        /* control characters, or not UTF-8 at all */

        if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c > 0x10ffff) {
            return ngx_http_analytics_invalid(cf, "field", value);
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_format_unique(ngx_conf_t *cf,
    ngx_analytics_format_t *format)
{
    ngx_str_t   *fields[5];
    ngx_uint_t   i, j, n;

    n = 0;

    if (format->user.len) {
        fields[n++] = &format->user;
    }

    if (format->type.len && !format->constant) {
        fields[n++] = &format->type;
    }

    if (format->time.len) {
        fields[n++] = &format->time;
    }

    if (format->properties.len) {
        fields[n++] = &format->properties;
    }

    if (format->id.len) {
        fields[n++] = &format->id;
    }

    for (i = 0; i < n; i++) {

        if (ngx_strcmp(fields[i]->data, "id") == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "field \"id\" in format \"%V\" is taken by "
                               "the number that answers give an event",
                               &format->name);
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

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_format_done(ngx_conf_t *cf, ngx_analytics_format_t *format)
{
    if (format->user.len == 0 || format->type.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no \"%s\" in format \"%V\"",
                           format->user.len ? "type" : "user", &format->name);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_analytics_format_truncated(cf, format) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_analytics_format_init(format, ngx_http_analytics_palloc, cf->pool)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
