
/*
 * The lines "sync", "segment", "checkpoint", "store", "counts" and
 * "pseudonyms" of "analytics_zone"; for "path" see
 * ngx_http_analytics_conf_path.c.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_http_analytics_conf_log.h"
#include "ngx_analytics_time.h"


#define NGX_HTTP_ANALYTICS_SYNC_DEFAULT        1000          /* msec */
#define NGX_HTTP_ANALYTICS_SYNC_MAX            3600000

#define NGX_HTTP_ANALYTICS_SEGMENT_DEFAULT     (64 * 1024 * 1024)
#define NGX_HTTP_ANALYTICS_SEGMENT_MIN         4096
#define NGX_HTTP_ANALYTICS_SEGMENT_MAX         (1024 * 1024 * 1024)

#define NGX_HTTP_ANALYTICS_CHECKPOINT_TIME     600000        /* msec */
#define NGX_HTTP_ANALYTICS_CHECKPOINT_TIME_MIN 1000
#define NGX_HTTP_ANALYTICS_CHECKPOINT_SIZE     (128 * 1024 * 1024)
#define NGX_HTTP_ANALYTICS_CHECKPOINT_SIZE_MIN 4096


static char *ngx_http_analytics_zone_sync(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
static char *ngx_http_analytics_zone_segment(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
static char *ngx_http_analytics_zone_checkpoint(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
static char *ngx_http_analytics_zone_store(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
static char *ngx_http_analytics_zone_counts(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
static char *ngx_http_analytics_zone_pseudonyms(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
static char *ngx_http_analytics_zone_checkpoint_time(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_str_t *value);
static char *ngx_http_analytics_zone_checkpoint_size(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_str_t *value);


typedef struct {
    const char  *name;
    ngx_uint_t   args;                 /* with the name, at most */
    char      *(*set)(ngx_conf_t *cf, ngx_http_analytics_zone_t *zone);
} ngx_http_analytics_zone_line_t;


static ngx_http_analytics_zone_line_t  ngx_http_analytics_zone_lines[] = {
    { "path", 2, ngx_http_analytics_zone_path },
    { "sync", 2, ngx_http_analytics_zone_sync },
    { "segment", 2, ngx_http_analytics_zone_segment },
    { "checkpoint", 3, ngx_http_analytics_zone_checkpoint },
    { "store", 2, ngx_http_analytics_zone_store },
    { "counts", 2, ngx_http_analytics_zone_counts },
    { "pseudonyms", 2, ngx_http_analytics_zone_pseudonyms },
    { NULL, 0, NULL }
};


static ngx_conf_enum_t  ngx_http_analytics_pseudonyms[] = {
    { ngx_string("never"), NGX_ANALYTICS_PSEUDONYMS_NEVER },
    { ngx_string("day"), NGX_ANALYTICS_PSEUDONYMS_DAY },
    { ngx_string("week"), NGX_ANALYTICS_PSEUDONYMS_WEEK },
    { ngx_string("month"), NGX_ANALYTICS_PSEUDONYMS_MONTH },
    { ngx_null_string, 0 }
};


void
ngx_http_analytics_zone_log_unset(ngx_http_analytics_zone_t *zone)
{
    zone->path = NULL;
    zone->sync = NGX_CONF_UNSET_UINT;
    zone->sync_time = NGX_CONF_UNSET_MSEC;
    zone->segment_size = NGX_CONF_UNSET_SIZE;
    zone->checkpoint_time = NGX_CONF_UNSET_MSEC;
    zone->checkpoint_size = NGX_CONF_UNSET_SIZE;
    zone->store = NGX_CONF_UNSET;
}


ngx_int_t
ngx_http_analytics_zone_log_line(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, char **rv)
{
    ngx_str_t                       *value;
    ngx_http_analytics_zone_line_t  *line;

    value = cf->args->elts;

    for (line = ngx_http_analytics_zone_lines; line->name; line++) {

        if (ngx_strcmp(value[0].data, line->name) != 0) {
            continue;
        }

        if (cf->args->nelts < 2 || cf->args->nelts > line->args) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid number of arguments in \"%V\"",
                               &value[0]);
            *rv = NGX_CONF_ERROR;
            return NGX_OK;
        }

        *rv = line->set(cf, zone);
        return NGX_OK;
    }

    return NGX_DECLINED;
}


char *
ngx_http_analytics_zone_log_init(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    const char  *name;

    if (zone->path == NULL) {

        if (zone->sync != NGX_CONF_UNSET_UINT) {
            name = "sync";

        } else if (zone->segment_size != NGX_CONF_UNSET_SIZE) {
            name = "segment";

        } else if (zone->checkpoint_time != NGX_CONF_UNSET_MSEC
                   || zone->checkpoint_size != NGX_CONF_UNSET_SIZE)
        {
            name = "checkpoint";

        } else if (zone->store == 1) {
            name = "store";

        } else if (zone->period) {
            name = "counts";

        } else if (zone->pseudonyms.every) {
            name = "pseudonyms";

        } else {
            name = NULL;
        }

        if (name) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%s\" needs \"path\" in zone \"%V\"", name,
                               &zone->name);
            return NGX_CONF_ERROR;
        }
    }

    ngx_conf_init_uint_value(zone->sync, NGX_HTTP_ANALYTICS_SYNC_TIME);
    ngx_conf_init_msec_value(zone->sync_time, NGX_HTTP_ANALYTICS_SYNC_DEFAULT);
    ngx_conf_init_size_value(zone->segment_size,
                             NGX_HTTP_ANALYTICS_SEGMENT_DEFAULT);
    ngx_conf_init_msec_value(zone->checkpoint_time,
                             NGX_HTTP_ANALYTICS_CHECKPOINT_TIME);
    ngx_conf_init_size_value(zone->checkpoint_size,
                             NGX_HTTP_ANALYTICS_CHECKPOINT_SIZE);
    ngx_conf_init_value(zone->store, 0);

    return NGX_CONF_OK;
}


/* sync always | off | TIME; */

static char *
ngx_http_analytics_zone_sync(ngx_conf_t *cf, ngx_http_analytics_zone_t *zone)
{
    ngx_int_t   msec;
    ngx_str_t  *value;

    value = cf->args->elts;

    if (zone->sync != NGX_CONF_UNSET_UINT) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"sync\" is duplicate");
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(value[1].data, "always") == 0) {
        zone->sync = NGX_HTTP_ANALYTICS_SYNC_ALWAYS;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value[1].data, "off") == 0) {
        zone->sync = NGX_HTTP_ANALYTICS_SYNC_OFF;
        return NGX_CONF_OK;
    }

    msec = ngx_parse_time(&value[1], 0);

    if (msec < 1 || msec > NGX_HTTP_ANALYTICS_SYNC_MAX) {
        return ngx_http_analytics_invalid(cf, "time of \"sync\"", &value[1]);
    }

    zone->sync = NGX_HTTP_ANALYTICS_SYNC_TIME;
    zone->sync_time = msec;

    return NGX_CONF_OK;
}


/* segment SIZE; */

static char *
ngx_http_analytics_zone_segment(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    off_t       size;
    ngx_str_t  *value;

    value = cf->args->elts;

    if (zone->segment_size != NGX_CONF_UNSET_SIZE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"segment\" is duplicate");
        return NGX_CONF_ERROR;
    }

    size = ngx_parse_offset(&value[1]);

    if (size < NGX_HTTP_ANALYTICS_SEGMENT_MIN
        || size > NGX_HTTP_ANALYTICS_SEGMENT_MAX)
    {
        return ngx_http_analytics_invalid(cf, "size of \"segment\"",
                                          &value[1]);
    }

    zone->segment_size = size;

    return NGX_CONF_OK;
}


/* checkpoint [time=TIME] [size=SIZE]; one of them at least */

static char *
ngx_http_analytics_zone_checkpoint(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    char        *rv;
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    if (zone->checkpoint_time != NGX_CONF_UNSET_MSEC
        || zone->checkpoint_size != NGX_CONF_UNSET_SIZE)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"checkpoint\" is duplicate");
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "time=", 5) == 0) {
            rv = ngx_http_analytics_zone_checkpoint_time(cf, zone, &value[i]);

        } else if (ngx_strncmp(value[i].data, "size=", 5) == 0) {
            rv = ngx_http_analytics_zone_checkpoint_size(cf, zone, &value[i]);

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
ngx_http_analytics_zone_checkpoint_time(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_str_t *value)
{
    ngx_int_t  msec;
    ngx_str_t  time;

    if (zone->checkpoint_time != NGX_CONF_UNSET_MSEC) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"time\" is duplicate in \"checkpoint\"");
        return NGX_CONF_ERROR;
    }

    time.data = value->data + 5;
    time.len = value->len - 5;

    msec = ngx_parse_time(&time, 0);

    /* nginx's timers end where 32 bits with a sign do */

    if (msec < NGX_HTTP_ANALYTICS_CHECKPOINT_TIME_MIN
        || msec > NGX_MAX_INT32_VALUE)
    {
        return ngx_http_analytics_invalid(cf, "time in", value);
    }

    zone->checkpoint_time = msec;

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_zone_checkpoint_size(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_str_t *value)
{
    off_t      size;
    ngx_str_t  token;

    if (zone->checkpoint_size != NGX_CONF_UNSET_SIZE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"size\" is duplicate in \"checkpoint\"");
        return NGX_CONF_ERROR;
    }

    token.data = value->data + 5;
    token.len = value->len - 5;

    size = ngx_parse_offset(&token);

    if (size < NGX_HTTP_ANALYTICS_CHECKPOINT_SIZE_MIN
        || size > (off_t) NGX_MAX_SIZE_T_VALUE)
    {
        return ngx_http_analytics_invalid(cf, "size in", value);
    }

    zone->checkpoint_size = size;

    return NGX_CONF_OK;
}


/* store on | off; */

static char *
ngx_http_analytics_zone_store(ngx_conf_t *cf, ngx_http_analytics_zone_t *zone)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (zone->store != NGX_CONF_UNSET) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"store\" is duplicate");
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(value[1].data, "on") == 0) {
        zone->store = 1;

    } else if (ngx_strcmp(value[1].data, "off") == 0) {
        zone->store = 0;

    } else {
        return ngx_http_analytics_invalid(cf, "value of \"store\"",
                                          &value[1]);
    }

    return NGX_CONF_OK;
}


/* counts TIME; a part of a day */

static char *
ngx_http_analytics_zone_counts(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    time_t      sec;
    ngx_str_t  *value;

    value = cf->args->elts;

    if (zone->period) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"counts\" is duplicate");
        return NGX_CONF_ERROR;
    }

    sec = ngx_parse_time(&value[1], 1);

    if (sec < 1 || sec > 86400 || 86400 % sec) {
        return ngx_http_analytics_invalid(cf, "time of \"counts\"",
                                          &value[1]);
    }

    zone->period = (int64_t) sec * NGX_ANALYTICS_SECOND;

    return NGX_CONF_OK;
}


/* pseudonyms never | day | week | month; */

static char *
ngx_http_analytics_zone_pseudonyms(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    ngx_str_t        *value;
    ngx_conf_enum_t  *e;

    value = cf->args->elts;

    if (zone->pseudonyms.every) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"pseudonyms\" is duplicate");
        return NGX_CONF_ERROR;
    }

    for (e = ngx_http_analytics_pseudonyms; e->name.len; e++) {

        if (ngx_strcmp(e->name.data, value[1].data) == 0) {
            zone->pseudonyms.every = e->value;
            return NGX_CONF_OK;
        }
    }

    return ngx_http_analytics_invalid(cf, "value of \"pseudonyms\"",
                                      &value[1]);
}
