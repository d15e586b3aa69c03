
/*
 * The line "report" of "analytics_zone".
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_report.h"


#define NGX_HTTP_ANALYTICS_TITLE_MAX  200      /* bytes */


static char *ngx_http_analytics_report_parameter(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_report_t *report,
    ngx_str_t *value);
static char *ngx_http_analytics_report_every(ngx_conf_t *cf,
    ngx_http_analytics_report_t *report, ngx_str_t *value, ngx_str_t *text);
static char *ngx_http_analytics_report_metrics(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_report_t *report,
    ngx_str_t *value, ngx_str_t *text);
static char *ngx_http_analytics_report_metric(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_report_t *report,
    ngx_str_t *name);
static char *ngx_http_analytics_report_title(ngx_conf_t *cf,
    ngx_http_analytics_report_t *report, ngx_str_t *value, ngx_str_t *text);
static ngx_uint_t ngx_http_analytics_report_same(ngx_str_t *one,
    ngx_str_t *two);


/* report NAME every=PERIOD metrics=METRIC[,METRIC...] [title=TEXT]; */

char *
ngx_http_analytics_zone_report(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    char                         *rv;
    ngx_str_t                    *value;
    ngx_uint_t                    i;
    ngx_http_analytics_report_t  *report;

    value = cf->args->elts;

    if (cf->args->nelts < 4) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"report\"");
        return NGX_CONF_ERROR;
    }

    if (!ngx_http_analytics_is_name(&value[1])) {
        return ngx_http_analytics_invalid(cf, "name of a report", &value[1]);
    }

    report = zone->metrics->reports.elts;

    for (i = 0; i < zone->metrics->reports.nelts; i++) {
        if (ngx_http_analytics_report_same(&report[i].name, &value[1])) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "report \"%V\" is already declared",
                               &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    if (i == NGX_HTTP_ANALYTICS_REPORTS_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "there are more than %d reports in a zone",
                           NGX_HTTP_ANALYTICS_REPORTS_MAX);
        return NGX_CONF_ERROR;
    }

    report = ngx_array_push(&zone->metrics->reports);
    if (report == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(report, sizeof(ngx_http_analytics_report_t));

    report->name = value[1];

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_analytics_report_parameter(cf, zone, report, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (report->every == 0 || report->metrics.nelts == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "report \"%V\" must have \"every=\" and "
                           "\"metrics=\"", &report->name);
        return NGX_CONF_ERROR;
    }

    if (report->title.len == 0) {
        report->title = report->name;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_report_parameter(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_report_t *report,
    ngx_str_t *value)
{
    u_char     *p;
    ngx_str_t   name, text;

    p = ngx_strlchr(value->data, value->data + value->len, '=');

    if (p == NULL) {
        return ngx_http_analytics_invalid(cf, "parameter", value);
    }

    name.data = value->data;
    name.len = p - value->data;
    text.data = p + 1;
    text.len = value->len - name.len - 1;

    if (name.len == 5 && ngx_strncmp(name.data, "every", 5) == 0) {
        return ngx_http_analytics_report_every(cf, report, value, &text);
    }

    if (name.len == 7 && ngx_strncmp(name.data, "metrics", 7) == 0) {
        return ngx_http_analytics_report_metrics(cf, zone, report, value,
                                                 &text);
    }

    if (name.len == 5 && ngx_strncmp(name.data, "title", 5) == 0) {
        return ngx_http_analytics_report_title(cf, report, value, &text);
    }

    return ngx_http_analytics_invalid(cf, "parameter", value);
}


static char *
ngx_http_analytics_report_every(ngx_conf_t *cf,
    ngx_http_analytics_report_t *report, ngx_str_t *value, ngx_str_t *text)
{
    ngx_uint_t  i;

    static ngx_conf_enum_t  every[] = {
        { ngx_string("day"), NGX_HTTP_ANALYTICS_BY_DAY },
        { ngx_string("week"), NGX_HTTP_ANALYTICS_BY_WEEK },
        { ngx_string("month"), NGX_HTTP_ANALYTICS_BY_MONTH },
        { ngx_null_string, 0 }
    };

    for (i = 0; every[i].name.len; i++) {

        if (ngx_http_analytics_report_same(&every[i].name, text)
            && report->every == 0)
        {
            report->every = every[i].value;
            return NGX_CONF_OK;
        }
    }

    return ngx_http_analytics_invalid(cf, "parameter", value);
}


static char *
ngx_http_analytics_report_metrics(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_report_t *report,
    ngx_str_t *value, ngx_str_t *text)
{
    char       *rv;
    ngx_str_t   list, name;

    if (report->metrics.elts || text->len == 0) {
        return ngx_http_analytics_invalid(cf, "parameter", value);
    }

    if (ngx_array_init(&report->metrics, cf->pool, 8,
                       sizeof(ngx_http_analytics_metric_t *))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    list = *text;

    while (ngx_http_analytics_item(&list, &name) == NGX_OK) {
        rv = ngx_http_analytics_report_metric(cf, zone, report, &name);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_report_metric(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_report_t *report,
    ngx_str_t *name)
{
    ngx_uint_t                     i;
    ngx_http_analytics_metric_t   *metric, **metrics;

    metric = ngx_http_analytics_metric_named(zone, name);

    if (metric == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown metric \"%V\" in report \"%V\"", name,
                           &report->name);
        return NGX_CONF_ERROR;
    }

    metrics = report->metrics.elts;

    for (i = 0; i < report->metrics.nelts; i++) {

        if (metrics[i] == metric) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "metric \"%V\" is twice in report \"%V\"",
                               name, &report->name);
            return NGX_CONF_ERROR;
        }
    }

    if (i == NGX_HTTP_ANALYTICS_PARTS_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "there are more than %d metrics in report \"%V\"",
                           NGX_HTTP_ANALYTICS_PARTS_MAX, &report->name);
        return NGX_CONF_ERROR;
    }

    metrics = ngx_array_push(&report->metrics);
    if (metrics == NULL) {
        return NGX_CONF_ERROR;
    }

    *metrics = metric;

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_report_title(ngx_conf_t *cf,
    ngx_http_analytics_report_t *report, ngx_str_t *value, ngx_str_t *text)
{
    if (text->len == 0 || text->len > NGX_HTTP_ANALYTICS_TITLE_MAX
        || report->title.len || !ngx_http_analytics_is_text(text))
    {
        return ngx_http_analytics_invalid(cf, "title", value);
    }

    report->title = *text;

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_analytics_report_same(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && ngx_strncmp(one->data, two->data, one->len) == 0;
}
