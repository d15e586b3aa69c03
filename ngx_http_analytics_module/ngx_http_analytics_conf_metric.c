
/*
 * The lines "metric", "timezone" and "session" of "analytics_zone".
 *
 * Metrics that choose the same events and the same thing in them share a
 * source.  All sources together are the program that the zone folds by.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_alerts.h"
#include "ngx_http_analytics_report.h"
#include "ngx_analytics_time.h"


#define NGX_HTTP_ANALYTICS_SESSION_MAX   86400     /* seconds */
#define NGX_HTTP_ANALYTICS_WHERE_MAX     8         /* conditions */
#define NGX_HTTP_ANALYTICS_TYPES_MAX     64        /* of one metric */
#define NGX_HTTP_ANALYTICS_NAME_MAX      64        /* bytes */


typedef struct {
    ngx_str_t     name;
    ngx_uint_t    what;
    ngx_uint_t    classes;
    ngx_uint_t    field;               /* 0: none, 1: may be, 2: must be */
    const char   *unit;
} ngx_http_analytics_kind_t;


static char *ngx_http_analytics_zone_metric(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
static ngx_http_analytics_kind_t *ngx_http_analytics_metric_kind(
    ngx_conf_t *cf, ngx_http_analytics_metric_t *metric);
static char *ngx_http_analytics_metric_parameter(ngx_conf_t *cf,
    ngx_http_analytics_metric_t *metric, ngx_analytics_source_t *source,
    ngx_str_t *value);
static char *ngx_http_analytics_metric_types(ngx_conf_t *cf,
    ngx_analytics_source_t *source, ngx_str_t *text);
static char *ngx_http_analytics_metric_where(ngx_conf_t *cf,
    ngx_analytics_source_t *source, ngx_str_t *text);
static char *ngx_http_analytics_metric_check(ngx_conf_t *cf,
    ngx_http_analytics_metric_t *metric, ngx_http_analytics_kind_t *kind,
    ngx_analytics_source_t *source);
static char *ngx_http_analytics_metric_source(ngx_conf_t *cf,
    ngx_http_analytics_metrics_t *metrics,
    ngx_http_analytics_metric_t *metric, ngx_analytics_source_t *source);
static ngx_uint_t ngx_http_analytics_metric_same(ngx_analytics_source_t *one,
    ngx_analytics_source_t *two);
static ngx_uint_t ngx_http_analytics_texts_same(ngx_str_t *one, ngx_uint_t n,
    ngx_str_t *two, ngx_uint_t k);
static char *ngx_http_analytics_zone_timezone(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
static char *ngx_http_analytics_zone_session(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);


static ngx_http_analytics_kind_t  ngx_http_analytics_kinds[] = {
    { ngx_string("count"), NGX_HTTP_ANALYTICS_COUNT,
      NGX_ANALYTICS_CLASS_COUNT, 1, "events" },
    { ngx_string("sum"), NGX_HTTP_ANALYTICS_SUM,
      NGX_ANALYTICS_CLASS_SUM, 2, NULL },
    { ngx_string("avg"), NGX_HTTP_ANALYTICS_AVG,
      NGX_ANALYTICS_CLASS_SUM|NGX_ANALYTICS_CLASS_COUNT, 2, NULL },
    { ngx_string("min"), NGX_HTTP_ANALYTICS_MIN,
      NGX_ANALYTICS_CLASS_MIN, 2, NULL },
    { ngx_string("max"), NGX_HTTP_ANALYTICS_MAX,
      NGX_ANALYTICS_CLASS_MAX, 2, NULL },
    { ngx_string("unique"), NGX_HTTP_ANALYTICS_UNIQUE,
      NGX_ANALYTICS_CLASS_UNIQUE, 1, NULL },
    { ngx_string("sessions"), NGX_HTTP_ANALYTICS_SESSIONS, 0, 0, "sessions" },
    { ngx_string("session_time"), NGX_HTTP_ANALYTICS_SESSION_TIME, 0, 0,
      "seconds" },
    { ngx_string("new_users"), NGX_HTTP_ANALYTICS_NEW_USERS, 0, 0, "users" },
    { ngx_string("users"), NGX_HTTP_ANALYTICS_USERS, 0, 0, "users" },
    { ngx_null_string, 0, 0, 0, NULL }
};

static ngx_http_analytics_kind_t  ngx_http_analytics_kind_quantile = {
    ngx_null_string, NGX_HTTP_ANALYTICS_QUANTILE, NGX_ANALYTICS_CLASS_SKETCH,
    2, NULL
};


ngx_int_t
ngx_http_analytics_zone_metrics_unset(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    ngx_http_analytics_metrics_t  *metrics;

    metrics = ngx_pcalloc(cf->pool, sizeof(ngx_http_analytics_metrics_t));

    /* tables know metrics by where they are: that array does not grow */

    if (metrics == NULL
        || ngx_array_init(&metrics->metrics, cf->pool,
                          NGX_HTTP_ANALYTICS_METRICS_MAX,
                          sizeof(ngx_http_analytics_metric_t))
           != NGX_OK
        || ngx_array_init(&metrics->sources, cf->pool, 16,
                          sizeof(ngx_analytics_source_t))
           != NGX_OK
        || ngx_array_init(&metrics->tables, cf->pool, 4,
                          sizeof(ngx_http_analytics_table_t))
           != NGX_OK
        || ngx_array_init(&metrics->reports, cf->pool, 4,
                          sizeof(ngx_http_analytics_report_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    metrics->session = NGX_CONF_UNSET;
    zone->metrics = metrics;

    zone->alerts = ngx_pcalloc(cf->pool, sizeof(ngx_http_analytics_alerts_t));

    if (zone->alerts == NULL
        || ngx_array_init(&zone->alerts->declared, cf->pool, 4,
                          sizeof(ngx_http_analytics_alert_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_analytics_zone_metrics_line(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, char **rv)
{
    ngx_str_t  *value;

    value = cf->args->elts;

    if (ngx_strcmp(value[0].data, "metric") == 0) {
        *rv = ngx_http_analytics_zone_metric(cf, zone);
        return NGX_OK;
    }

    if (ngx_strcmp(value[0].data, "table") == 0) {
        *rv = ngx_http_analytics_zone_table(cf, zone);
        return NGX_OK;
    }

    if (ngx_strcmp(value[0].data, "alert") == 0) {
        *rv = ngx_http_analytics_zone_alert(cf, zone);
        return NGX_OK;
    }

    if (ngx_strcmp(value[0].data, "report") == 0) {
        *rv = ngx_http_analytics_zone_report(cf, zone);
        return NGX_OK;
    }

    if (ngx_strcmp(value[0].data, "timezone") == 0) {
        *rv = ngx_http_analytics_zone_timezone(cf, zone);
        return NGX_OK;
    }

    if (ngx_strcmp(value[0].data, "session") == 0) {
        *rv = ngx_http_analytics_zone_session(cf, zone);
        return NGX_OK;
    }

    return NGX_DECLINED;
}


char *
ngx_http_analytics_zone_metrics_init(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    char                          *text;
    const char                    *why;
    ngx_uint_t                     i;
    ngx_analytics_rules_t          rules;
    ngx_http_analytics_metric_t   *metric;
    ngx_http_analytics_metrics_t  *metrics;

    metrics = zone->metrics;

    ngx_memzero(&rules, sizeof(ngx_analytics_rules_t));

    ngx_conf_init_value(metrics->session,
                        NGX_ANALYTICS_SESSION_DEFAULT * NGX_ANALYTICS_SECOND);

    if (metrics->timezone.n == 0) {
        metrics->timezone = ngx_analytics_utc;
    }

    rules.totals = zone->totals;
    rules.session = metrics->session;
    rules.timezone = metrics->timezone;
    rules.sources = metrics->sources.elts;
    rules.n = metrics->sources.nelts;

    text = ngx_analytics_rules_print(&rules);
    if (text == NULL) {
        return NGX_CONF_ERROR;
    }

    zone->program.len = ngx_strlen(text);
    zone->program.text = ngx_pnalloc(cf->pool, zone->program.len);

    if (zone->program.text == NULL) {
        free(text);
        return NGX_CONF_ERROR;
    }

    ngx_memcpy((char *) zone->program.text, text, zone->program.len);
    free(text);

    why = "there is no memory";

    if (zone->program.len <= NGX_ANALYTICS_PROGRAM_MAX) {
        metrics->rules = ngx_analytics_rules_read(zone->program.text,
                                                  zone->program.len, &why);
    } else {
        why = "they take too many bytes";
    }

    if (metrics->rules == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid metrics in zone \"%V\": %s", &zone->name,
                           why);
        return NGX_CONF_ERROR;
    }

    zone->program.signature = metrics->rules->signature;

    metric = metrics->metrics.elts;

    for (i = 0; i < metrics->metrics.nelts; i++) {
        if (metric[i].classes) {
            metric[i].signature =
                          metrics->rules->sources[metric[i].source].signature;
        }
    }

    return ngx_http_analytics_zone_alerts_init(cf, zone);
}


ngx_http_analytics_metric_t *
ngx_http_analytics_metric_named(ngx_http_analytics_zone_t *zone,
    ngx_str_t *name)
{
    ngx_uint_t                    i;
    ngx_http_analytics_metric_t  *metric;

    if (zone->metrics == NULL) {
        return NULL;
    }

    metric = zone->metrics->metrics.elts;

    for (i = 0; i < zone->metrics->metrics.nelts; i++) {
        if (metric[i].name.len == name->len
            && ngx_strncmp(metric[i].name.data, name->data, name->len) == 0)
        {
            return &metric[i];
        }
    }

    return NULL;
}


/* metric NAME KIND [type=] [field=] [by=] [where=]... [unit=] [groups=]; */

static char *
ngx_http_analytics_zone_metric(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    char                         *rv;
    ngx_str_t                    *value;
    ngx_uint_t                    i;
    ngx_analytics_source_t        source;
    ngx_http_analytics_kind_t    *kind;
    ngx_http_analytics_metric_t  *metric;

    value = cf->args->elts;

    if (cf->args->nelts < 3) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"metric\"");
        return NGX_CONF_ERROR;
    }

    if (!ngx_http_analytics_is_name(&value[1])) {
        return ngx_http_analytics_invalid(cf, "name of a metric", &value[1]);
    }

    if (ngx_http_analytics_metric_named(zone, &value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "metric \"%V\" is already declared", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (zone->metrics->metrics.nelts == NGX_HTTP_ANALYTICS_METRICS_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "there are more than %d metrics in a zone",
                           NGX_HTTP_ANALYTICS_METRICS_MAX);
        return NGX_CONF_ERROR;
    }

    metric = ngx_array_push(&zone->metrics->metrics);
    if (metric == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(metric, sizeof(ngx_http_analytics_metric_t));
    ngx_memzero(&source, sizeof(ngx_analytics_source_t));

    metric->name = value[1];
    metric->kind = value[2];

    kind = ngx_http_analytics_metric_kind(cf, metric);
    if (kind == NULL) {
        return NGX_CONF_ERROR;
    }

    rv = NGX_CONF_OK;

    for (i = 3; rv == NGX_CONF_OK && i < cf->args->nelts; i++) {
        rv = ngx_http_analytics_metric_parameter(cf, metric, &source,
                                                 &value[i]);
    }

    if (rv == NGX_CONF_OK) {
        rv = ngx_http_analytics_metric_check(cf, metric, kind, &source);
    }

    if (rv != NGX_CONF_OK || metric->classes == 0) {
        return rv;
    }

    return ngx_http_analytics_metric_source(cf, zone->metrics, metric,
                                            &source);
}


ngx_uint_t
ngx_http_analytics_is_name(ngx_str_t *name)
{
    u_char      c;
    ngx_uint_t  i;

    if (name->len == 0 || name->len > NGX_HTTP_ANALYTICS_NAME_MAX) {
        return 0;
    }

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
              || (c >= '0' && c <= '9') || c == '_'
              || (i && (c == '-' || c == '.'))))
        {
            return 0;
        }
    }

    return 1;
}


ngx_uint_t
ngx_http_analytics_is_text(ngx_str_t *text)
{
    u_char    *p, *last;
    uint32_t   c;

    p = text->data;
    last = p + text->len;

    while (p < last) {
        c = (*p < 0x80) ? *p++ : ngx_utf8_decode(&p, last - p);

        if (c < 0x20 || c == 0x7f || c > 0x10ffff
            || (c >= 0xd800 && c <= 0xdfff))
        {
            return 0;
        }
    }

    return 1;
}


/* Returns NULL, with a message, if there is no such kind. */

static ngx_http_analytics_kind_t *
ngx_http_analytics_metric_kind(ngx_conf_t *cf,
    ngx_http_analytics_metric_t *metric)
{
    ngx_int_t                   n;
    ngx_http_analytics_kind_t  *k;

    for (k = ngx_http_analytics_kinds; k->name.len; k++) {
        if (ngx_strcmp(k->name.data, metric->kind.data) == 0) {
            break;
        }
    }

    /* p50, p99, p99.9 */

    if (k->name.len == 0) {
        n = (metric->kind.data[0] == 'p')
            ? ngx_atofp(metric->kind.data + 1, metric->kind.len - 1, 1)
            : NGX_ERROR;

        if (n < 1 || n > 999) {
            (void) ngx_http_analytics_invalid(cf, "kind of metric",
                                              &metric->kind);
            return NULL;
        }

        metric->thousandths = n;
        k = &ngx_http_analytics_kind_quantile;
    }

    metric->what = k->what;
    metric->classes = k->classes;

    if (k->unit) {
        metric->unit.data = (u_char *) k->unit;
        metric->unit.len = ngx_strlen(k->unit);
    }

    return k;
}


static char *
ngx_http_analytics_metric_parameter(ngx_conf_t *cf,
    ngx_http_analytics_metric_t *metric, ngx_analytics_source_t *source,
    ngx_str_t *value)
{
    ngx_int_t  n;
    ngx_str_t  text;

    text.data = ngx_strlchr(value->data, value->data + value->len, '=');

    if (text.data == NULL || text.data + 1 == value->data + value->len) {
        return ngx_http_analytics_invalid(cf, "parameter", value);
    }

    text.data++;
    text.len = value->data + value->len - text.data;

    if (ngx_strncmp(value->data, "type=", 5) == 0 && source->ntypes == 0) {
        return ngx_http_analytics_metric_types(cf, source, &text);
    }

    if (ngx_strncmp(value->data, "where=", 6) == 0) {
        return ngx_http_analytics_metric_where(cf, source, &text);
    }

    if (ngx_strncmp(value->data, "field=", 6) == 0 && source->field.len == 0)
    {
        source->field = text;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "by=", 3) == 0 && source->by.len == 0) {
        source->by = text;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "unit=", 5) == 0
        && ngx_http_analytics_is_text(&text))
    {
        metric->unit = text;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "groups=", 7) == 0 && source->groups == 0) {
        n = ngx_atoi(text.data, text.len);

        if (n >= 1 && n <= NGX_ANALYTICS_GROUPS_MAX) {
            source->groups = n;
            return NGX_CONF_OK;
        }
    }

    return ngx_http_analytics_invalid(cf, "parameter", value);
}


/* type=A,B; in one order, so that those of the same are the same source */

static char *
ngx_http_analytics_metric_types(ngx_conf_t *cf,
    ngx_analytics_source_t *source, ngx_str_t *text)
{
    ngx_str_t   list, type;
    ngx_uint_t  i;

    source->types = ngx_palloc(cf->pool, NGX_HTTP_ANALYTICS_TYPES_MAX
                                         * sizeof(ngx_str_t));
    if (source->types == NULL) {
        return NGX_CONF_ERROR;
    }

    list = *text;

    while (ngx_http_analytics_item(&list, &type) == NGX_OK) {

        if (type.len == 0 || type.len > NGX_ANALYTICS_NAME_MAX
            || source->ntypes == NGX_HTTP_ANALYTICS_TYPES_MAX)
        {
            return ngx_http_analytics_invalid(cf, "types", text);
        }

        for (i = source->ntypes; i > 0; i--) {
            if (ngx_memn2cmp(source->types[i - 1].data, type.data,
                             source->types[i - 1].len, type.len)
                <= 0)
            {
                break;
            }

            source->types[i] = source->types[i - 1];
        }

        source->types[i] = type;
        source->ntypes++;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_metric_where(ngx_conf_t *cf,
    ngx_analytics_source_t *source, ngx_str_t *text)
{
    if (source->where == NULL) {
        source->where = ngx_palloc(cf->pool, NGX_HTTP_ANALYTICS_WHERE_MAX
                                             * sizeof(ngx_str_t));
        if (source->where == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if (source->nwhere == NGX_HTTP_ANALYTICS_WHERE_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "there are more than %d conditions",
                           NGX_HTTP_ANALYTICS_WHERE_MAX);
        return NGX_CONF_ERROR;
    }

    source->where[source->nwhere++] = *text;

    return NGX_CONF_OK;
}


/* Whether the parameters are those of the kind, and can be understood. */

static char *
ngx_http_analytics_metric_check(ngx_conf_t *cf,
    ngx_http_analytics_metric_t *metric, ngx_http_analytics_kind_t *kind,
    ngx_analytics_source_t *source)
{
    char                   *text;
    ngx_uint_t              chosen;
    const char             *why;
    ngx_analytics_rules_t   rules, *read;

    chosen = source->ntypes || source->nwhere || source->field.len
             || source->by.len;
    why = NULL;

    if (kind->what == NGX_HTTP_ANALYTICS_UNIQUE && !chosen) {

        /* of all users: that is known exactly */

        metric->what = NGX_HTTP_ANALYTICS_ACTIVE;
        metric->classes = 0;
    }

    if (kind->what == NGX_HTTP_ANALYTICS_UNIQUE && metric->unit.len == 0) {

        if (source->field.len) {
            ngx_str_set(&metric->unit, "values");

        } else {
            ngx_str_set(&metric->unit, "users");
        }
    }

    if (kind->classes == 0 && chosen) {
        why = "it is of all users, whatever they do";

    } else if (kind->field == 2 && source->field.len == 0) {
        why = "it needs a \"field\"";

    } else if (source->groups && source->by.len == 0) {
        why = "\"groups\" needs \"by\"";
    }

    if (why == NULL && metric->classes) {

        if (source->by.len && source->groups == 0) {
            source->groups = NGX_ANALYTICS_GROUPS_DEFAULT;
        }

        source->classes = metric->classes;

        rules = ngx_analytics_rules_default;
        rules.sources = source;
        rules.n = 1;

        why = "there is no memory";

        text = ngx_analytics_rules_print(&rules);
        read = text ? ngx_analytics_rules_read(text, ngx_strlen(text), &why)
                    : NULL;

        free(text);

        if (read) {
            why = NULL;
            ngx_analytics_rules_free(read);
        }
    }

    if (why) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid metric \"%V\": %s", &metric->name, why);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_metric_source(ngx_conf_t *cf,
    ngx_http_analytics_metrics_t *metrics,
    ngx_http_analytics_metric_t *metric, ngx_analytics_source_t *source)
{
    ngx_uint_t               i;
    ngx_analytics_source_t  *sources;

    sources = metrics->sources.elts;

    for (i = 0; i < metrics->sources.nelts; i++) {

        if (ngx_http_analytics_metric_same(&sources[i], source)) {
            sources[i].classes |= source->classes;
            metric->source = i;
            return NGX_CONF_OK;
        }
    }

    if (metrics->sources.nelts == NGX_ANALYTICS_SOURCES_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "metrics choose more than %d different things",
                           NGX_ANALYTICS_SOURCES_MAX);
        return NGX_CONF_ERROR;
    }

    sources = ngx_array_push(&metrics->sources);
    if (sources == NULL) {
        return NGX_CONF_ERROR;
    }

    *sources = *source;
    metric->source = i;

    return NGX_CONF_OK;
}


static ngx_uint_t
ngx_http_analytics_metric_same(ngx_analytics_source_t *one,
    ngx_analytics_source_t *two)
{
    return one->groups == two->groups
           && ngx_http_analytics_texts_same(&one->field, 1, &two->field, 1)
           && ngx_http_analytics_texts_same(&one->by, 1, &two->by, 1)
           && ngx_http_analytics_texts_same(one->types, one->ntypes,
                                            two->types, two->ntypes)
           && ngx_http_analytics_texts_same(one->where, one->nwhere,
                                            two->where, two->nwhere);
}


static ngx_uint_t
ngx_http_analytics_texts_same(ngx_str_t *one, ngx_uint_t n, ngx_str_t *two,
    ngx_uint_t k)
{
    ngx_uint_t  i;

    for (i = 0; i < n && n == k; i++) {
        if (one[i].len != two[i].len
            || (one[i].len
                && ngx_strncmp(one[i].data, two[i].data, one[i].len) != 0))
        {
            return 0;
        }
    }

    return n == k;
}


/* timezone NAME; */

static char *
ngx_http_analytics_zone_timezone(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    ngx_int_t                  rc;
    ngx_str_t                 *value;
    ngx_analytics_timezone_t  *tz;

    value = cf->args->elts;
    tz = &zone->metrics->timezone;

    if (cf->args->nelts != 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"timezone\"");
        return NGX_CONF_ERROR;
    }

    if (tz->n) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"timezone\" is duplicate");
        return NGX_CONF_ERROR;
    }

    tz->name = value[1];

    rc = ngx_analytics_timezone_load(tz, ngx_http_analytics_palloc, cf->pool);

    if (rc == NGX_DECLINED) {
        return ngx_http_analytics_invalid(cf, "time zone", &value[1]);
    }

    return (rc == NGX_OK) ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* session TIME; */

static char *
ngx_http_analytics_zone_session(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    time_t      sec;
    ngx_str_t  *value;

    value = cf->args->elts;

    if (cf->args->nelts != 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"session\"");
        return NGX_CONF_ERROR;
    }

    if (zone->metrics->session != NGX_CONF_UNSET) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"session\" is duplicate");
        return NGX_CONF_ERROR;
    }

    sec = ngx_parse_time(&value[1], 1);

    if (sec < 1 || sec > NGX_HTTP_ANALYTICS_SESSION_MAX) {
        return ngx_http_analytics_invalid(cf, "time of \"session\"",
                                          &value[1]);
    }

    zone->metrics->session = (int64_t) sec * NGX_ANALYTICS_SECOND;

    return NGX_CONF_OK;
}
