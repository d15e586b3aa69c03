
/*
 * What a location does: the directives analytics_collect, events, export,
 * counts, stats, summary, metrics, table, prometheus, join, alerts, reports,
 * person, erase, health.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_alerts.h"
#include "ngx_http_analytics_report.h"
#include "ngx_http_analytics_query.h"


#define NGX_HTTP_ANALYTICS_LIMIT_DEFAULT  100


/* Takes a parameter; NGX_OK, or NGX_DECLINED if it is invalid. */
typedef ngx_int_t (*ngx_http_analytics_set_pt)(
    ngx_http_analytics_loc_conf_t *alcf, ngx_str_t *value);


/* Two directives that one location may have: the first calls the other. */
typedef struct {
    ngx_http_handler_pt  shows;
    ngx_http_handler_pt  other;
} ngx_http_analytics_pair_t;


static char *ngx_http_analytics_handler(ngx_conf_t *cf,
    ngx_http_analytics_loc_conf_t *alcf, ngx_http_handler_pt handler);
static ngx_int_t ngx_http_analytics_handler_set(
    ngx_http_analytics_loc_conf_t *alcf, ngx_http_handler_pt handler);
static char *ngx_http_analytics_location_zone(ngx_conf_t *cf,
    ngx_http_analytics_loc_conf_t *alcf);
static char *ngx_http_analytics_parameters_of(ngx_conf_t *cf,
    ngx_http_analytics_loc_conf_t *alcf, ngx_http_analytics_format_t **format,
    ngx_http_analytics_set_pt set);
static ngx_int_t ngx_http_analytics_format_set(ngx_conf_t *cf,
    ngx_http_analytics_format_t **format, ngx_str_t *value);
static ngx_int_t ngx_http_analytics_collect_set(
    ngx_http_analytics_loc_conf_t *alcf, ngx_str_t *value);
static ngx_int_t ngx_http_analytics_any_type_set(
    ngx_http_analytics_loc_conf_t *alcf, ngx_str_t *value);
static ngx_int_t ngx_http_analytics_events_set(
    ngx_http_analytics_loc_conf_t *alcf, ngx_str_t *value);


static ngx_http_analytics_pair_t  ngx_http_analytics_pairs[] = {
    { ngx_http_analytics_events_handler, ngx_http_analytics_collect_handler },
    { ngx_http_analytics_person_handler, ngx_http_analytics_erase_handler }
};


static ngx_conf_enum_t  ngx_http_analytics_stats_kinds[] = {
    { ngx_string("total"), NGX_HTTP_ANALYTICS_TOTAL },
    { ngx_string("by_type"), NGX_HTTP_ANALYTICS_BY_TYPE },
    { ngx_string("by_user"), NGX_HTTP_ANALYTICS_BY_USER },
    { ngx_string("over_time"), NGX_HTTP_ANALYTICS_OVER_TIME },
    { ngx_string("recent"), NGX_HTTP_ANALYTICS_RECENT },
    { ngx_string("user"), NGX_HTTP_ANALYTICS_USER },
    { ngx_null_string, 0 }
};


char *
ngx_http_analytics_collect(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_analytics_loc_conf_t *alcf = conf;

    char  *rv;

    rv = ngx_http_analytics_handler(cf, alcf,
                                    ngx_http_analytics_collect_handler);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_analytics_parameters_of(cf, alcf, &alcf->format,
                                            ngx_http_analytics_collect_set);
}


char *
ngx_http_analytics_events(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_analytics_loc_conf_t *alcf = conf;

    char  *rv;

    rv = ngx_http_analytics_handler(cf, alcf,
                                    ngx_http_analytics_events_handler);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    rv = ngx_http_analytics_parameters_of(cf, alcf, &alcf->events,
                                          ngx_http_analytics_events_set);

    if (alcf->limit == 0) {
        alcf->limit = NGX_HTTP_ANALYTICS_LIMIT_DEFAULT;
    }

    return rv;
}


char *
ngx_http_analytics_export(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_analytics_loc_conf_t *alcf = conf;

    char  *rv;

    rv = ngx_http_analytics_handler(cf, alcf,
                                    ngx_http_analytics_export_handler);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_analytics_parameters_of(cf, alcf, &alcf->events, NULL);
}


char *
ngx_http_analytics_counts(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_analytics_loc_conf_t *alcf = conf;

    char  *rv;

    rv = ngx_http_analytics_handler(cf, alcf,
                                    ngx_http_analytics_counts_handler);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_analytics_parameters_of(cf, alcf, &alcf->events, NULL);
}


char *
ngx_http_analytics_stats(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_analytics_loc_conf_t *alcf = conf;

    char             *rv;
    ngx_str_t        *value;
    ngx_conf_enum_t  *e;

    rv = ngx_http_analytics_handler(cf, alcf,
                                    ngx_http_analytics_stats_handler);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    value = cf->args->elts;

    for (e = ngx_http_analytics_stats_kinds; e->name.len; e++) {

        if (e->name.len == value[2].len
            && ngx_strcmp(e->name.data, value[2].data) == 0)
        {
            alcf->stats = e->value;
            return NGX_CONF_OK;
        }
    }

    return ngx_http_analytics_invalid(cf, "statistics", &value[2]);
}


char *
ngx_http_analytics_summary(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_analytics_loc_conf_t *alcf = conf;

    char  *rv;

    rv = ngx_http_analytics_handler(cf, alcf,
                                    ngx_http_analytics_summary_handler);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_analytics_parameters_of(cf, alcf, &alcf->format,
                                            ngx_http_analytics_any_type_set);
}


char *
ngx_http_analytics_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_analytics_handler(cf, conf,
                                      ngx_http_analytics_metrics_handler);
}


char *
ngx_http_analytics_prometheus(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_analytics_handler(cf, conf,
                                      ngx_http_analytics_prometheus_handler);
}


char *
ngx_http_analytics_table(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_analytics_loc_conf_t *alcf = conf;

    char  *rv;

    rv = ngx_http_analytics_handler(cf, alcf,
                                    ngx_http_analytics_table_handler);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_analytics_conf_view(cf, alcf);
}


char *
ngx_http_analytics_join(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_analytics_loc_conf_t *alcf = conf;

    char  *rv;

    rv = ngx_http_analytics_handler(cf, alcf, ngx_http_analytics_join_handler);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_analytics_conf_join(cf, alcf);
}


char *
ngx_http_analytics_alerts(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_analytics_handler(cf, conf,
                                      ngx_http_analytics_alerts_handler);
}


char *
ngx_http_analytics_reports(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_analytics_handler(cf, conf,
                                      ngx_http_analytics_reports_handler);
}


char *
ngx_http_analytics_health(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_analytics_handler(cf, conf,
                                      ngx_http_analytics_health_handler);
}


char *
ngx_http_analytics_person(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_analytics_loc_conf_t *alcf = conf;

    char  *rv;

    rv = ngx_http_analytics_handler(cf, alcf,
                                    ngx_http_analytics_person_handler);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_analytics_parameters_of(cf, alcf, &alcf->events, NULL);
}


char *
ngx_http_analytics_erase(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_analytics_handler(cf, conf,
                                      ngx_http_analytics_erase_handler);
}


/* Makes the location ours, with the zone that the first argument names. */

static char *
ngx_http_analytics_handler(ngx_conf_t *cf,
    ngx_http_analytics_loc_conf_t *alcf, ngx_http_handler_pt handler)
{
    ngx_http_core_loc_conf_t  *clcf;

    if (alcf->handler == handler || alcf->other == handler) {
        return "is duplicate";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler != alcf->handler
        || ngx_http_analytics_handler_set(alcf, handler) != NGX_OK)
    {
        return "conflicts with another content directive of this location";
    }

    clcf->handler = alcf->handler;

    return (cf->args->nelts == 1) ? NGX_CONF_OK
                                  : ngx_http_analytics_location_zone(cf, alcf);
}


static ngx_int_t
ngx_http_analytics_handler_set(ngx_http_analytics_loc_conf_t *alcf,
    ngx_http_handler_pt handler)
{
    ngx_uint_t                  i;
    ngx_http_analytics_pair_t  *pair;

    if (alcf->handler == NULL) {
        alcf->handler = handler;
        return NGX_OK;
    }

    for (i = 0;
         i < sizeof(ngx_http_analytics_pairs) / sizeof(*pair) && !alcf->other;
         i++)
    {
        pair = &ngx_http_analytics_pairs[i];

        if ((alcf->handler == pair->shows && handler == pair->other)
            || (alcf->handler == pair->other && handler == pair->shows))
        {
            alcf->handler = pair->shows;
            alcf->other = pair->other;

            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static char *
ngx_http_analytics_location_zone(ngx_conf_t *cf,
    ngx_http_analytics_loc_conf_t *alcf)
{
    ngx_str_t                  *value;
    ngx_http_analytics_zone_t  *zone;

    value = cf->args->elts;

    zone = ngx_http_analytics_zone_named(cf, &value[1]);
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (alcf->zone && alcf->zone != zone) {
        return "must have the same zone as the other one of this location";
    }

    alcf->zone = zone;

    return NGX_CONF_OK;
}


/* format=NAME, which must be there, and what set() knows, each once. */

static char *
ngx_http_analytics_parameters_of(ngx_conf_t *cf,
    ngx_http_analytics_loc_conf_t *alcf, ngx_http_analytics_format_t **format,
    ngx_http_analytics_set_pt set)
{
    ngx_int_t    rc;
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {

        rc = ngx_http_analytics_format_set(cf, format, &value[i]);

        if (rc == NGX_DECLINED && set) {
            rc = set(alcf, &value[i]);
        }

        if (rc == NGX_ERROR) {
            return NGX_CONF_ERROR;
        }

        if (rc == NGX_DECLINED) {
            return ngx_http_analytics_invalid(cf, "parameter", &value[i]);
        }
    }

    if (*format == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have a \"format=\" parameter",
                           &value[0]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_analytics_format_set(ngx_conf_t *cf,
    ngx_http_analytics_format_t **format, ngx_str_t *value)
{
    ngx_str_t  name;

    if (ngx_strncmp(value->data, "format=", 7) != 0 || value->len == 7
        || *format)
    {
        return NGX_DECLINED;
    }

    name.data = value->data + 7;
    name.len = value->len - 7;

    *format = ngx_http_analytics_format_named(cf, &name);

    return *format ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_analytics_collect_set(ngx_http_analytics_loc_conf_t *alcf,
    ngx_str_t *value)
{
    if (ngx_strcmp(value->data, "answer=none") == 0 && !alcf->silent) {
        alcf->silent = 1;
        return NGX_OK;
    }

    if (ngx_strcmp(value->data, "honor=gpc") == 0
        && !(alcf->honor & NGX_HTTP_ANALYTICS_HONOR_GPC))
    {
        alcf->honor |= NGX_HTTP_ANALYTICS_HONOR_GPC;
        return NGX_OK;
    }

    if (ngx_strcmp(value->data, "honor=dnt") == 0
        && !(alcf->honor & NGX_HTTP_ANALYTICS_HONOR_DNT))
    {
        alcf->honor |= NGX_HTTP_ANALYTICS_HONOR_DNT;
        return NGX_OK;
    }

    return ngx_http_analytics_any_type_set(alcf, value);
}


static ngx_int_t
ngx_http_analytics_any_type_set(ngx_http_analytics_loc_conf_t *alcf,
    ngx_str_t *value)
{
    if (ngx_strcmp(value->data, "any_type") == 0 && !alcf->any_type) {
        alcf->any_type = 1;
        return NGX_OK;
    }

    return NGX_DECLINED;
}


/* by=received, id=off, limit=N | all */

static ngx_int_t
ngx_http_analytics_events_set(ngx_http_analytics_loc_conf_t *alcf,
    ngx_str_t *value)
{
    ngx_int_t  n;

    if (ngx_strcmp(value->data, "by=received") == 0 && !alcf->received) {
        alcf->received = 1;
        return NGX_OK;
    }

    if (ngx_strcmp(value->data, "id=off") == 0 && !alcf->no_id) {
        alcf->no_id = 1;
        return NGX_OK;
    }

    if (ngx_strncmp(value->data, "limit=", 6) != 0 || alcf->limit) {
        return NGX_DECLINED;
    }

    if (ngx_strcmp(value->data + 6, "all") == 0) {
        alcf->limit = UINT64_MAX;
        return NGX_OK;
    }

    n = ngx_atoi(value->data + 6, value->len - 6);

    if (n < 1 || n > NGX_HTTP_ANALYTICS_LIMIT_MAX) {
        return NGX_DECLINED;
    }

    alcf->limit = (uint64_t) n;

    return NGX_OK;
}
