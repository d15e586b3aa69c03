
/*
 * The line "alert" of "analytics_zone".
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_alerts.h"
#include "ngx_analytics_time.h"

#include <math.h>


#define NGX_HTTP_ANALYTICS_ALERT_REPEAT  (4 * 3600)      /* seconds */
#define NGX_HTTP_ANALYTICS_ALERT_GAP     300
#define NGX_HTTP_ANALYTICS_ALERT_HOLD    (7 * 86400)     /* at most */
#define NGX_HTTP_ANALYTICS_ALERT_EVERY   86400
#define NGX_HTTP_ANALYTICS_ALERT_PAUSE   (366 * 86400)

/* up to so long by minutes, which are kept for two days; and by hours */
#define NGX_HTTP_ANALYTICS_ALERT_MINUTES  86400
#define NGX_HTTP_ANALYTICS_ALERT_OVER     (366 * 86400)

#define NGX_HTTP_ANALYTICS_URL_MAX       2000


/* What was said of an alert. */
typedef struct {
    ngx_http_analytics_alert_t  *alert;
    ngx_str_t                    metric;
    ngx_uint_t                   conditions;
    time_t                       hold;         /* NGX_CONF_UNSET: nothing */
    time_t                       repeat;
    time_t                       gap;
} ngx_http_analytics_alert_line_t;


static char *ngx_http_analytics_alert_parameter(ngx_conf_t *cf,
    ngx_http_analytics_alert_line_t *line, ngx_str_t *value);
static char *ngx_http_analytics_alert_threshold(ngx_conf_t *cf,
    ngx_http_analytics_alert_line_t *line, ngx_str_t *value,
    ngx_str_t *text, ngx_uint_t condition);
static char *ngx_http_analytics_alert_time(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *text, time_t *time, time_t least, time_t most);
static char *ngx_http_analytics_alert_webhook(ngx_conf_t *cf,
    ngx_http_analytics_alert_t *alert, ngx_str_t *value, ngx_str_t *text);
static char *ngx_http_analytics_alert_finish(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_alert_line_t *line);
static const char *ngx_http_analytics_alert_over(
    ngx_http_analytics_alert_t *alert);


static ngx_str_t  ngx_http_analytics_conditions[] = {
    ngx_string("above"),
    ngx_string("below"),
    ngx_string("anomaly")
};


ngx_str_t *
ngx_http_analytics_condition_name(ngx_uint_t condition)
{
    return &ngx_http_analytics_conditions[condition];
}


/*
 * alert NAME metric=METRIC [group=NAME] above=N|below=N|anomaly=N [over=TIME]
 *       [for=TIME] [every=TIME] [repeat=TIME] [gap=TIME] [webhook=URL];
 */

char *
ngx_http_analytics_zone_alert(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    char                             *rv;
    ngx_str_t                        *value;
    ngx_uint_t                        i;
    ngx_array_t                      *declared;
    ngx_http_analytics_alert_t       *alert;
    ngx_http_analytics_alert_line_t   line;

    value = cf->args->elts;
    declared = &zone->alerts->declared;

    if (cf->args->nelts < 3) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"alert\"");
        return NGX_CONF_ERROR;
    }

    if (!ngx_http_analytics_is_name(&value[1])) {
        return ngx_http_analytics_invalid(cf, "name of an alert", &value[1]);
    }

    alert = declared->elts;

    for (i = 0; i < declared->nelts; i++) {
        if (alert[i].name.len == value[1].len
            && ngx_strncmp(alert[i].name.data, value[1].data, value[1].len)
               == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "alert \"%V\" is already declared", &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    if (declared->nelts == NGX_ANALYTICS_ALERTS_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "there are more than %d alerts in a zone",
                           NGX_ANALYTICS_ALERTS_MAX);
        return NGX_CONF_ERROR;
    }

    alert = ngx_array_push(declared);
    if (alert == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(alert, sizeof(ngx_http_analytics_alert_t));
    ngx_memzero(&line, sizeof(ngx_http_analytics_alert_line_t));

    alert->name = value[1];
    alert->over = NGX_CONF_UNSET;
    alert->every = NGX_CONF_UNSET;

    line.alert = alert;
    line.hold = NGX_CONF_UNSET;
    line.repeat = NGX_CONF_UNSET;
    line.gap = NGX_CONF_UNSET;

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_analytics_alert_parameter(cf, &line, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return ngx_http_analytics_alert_finish(cf, zone, &line);
}


static char *
ngx_http_analytics_alert_parameter(ngx_conf_t *cf,
    ngx_http_analytics_alert_line_t *line, ngx_str_t *value)
{
    ngx_str_t                    text;
    ngx_uint_t                   i;
    ngx_http_analytics_alert_t  *alert;

    alert = line->alert;

    text.data = ngx_strlchr(value->data, value->data + value->len, '=');

    if (text.data == NULL || text.data + 1 == value->data + value->len) {
        return ngx_http_analytics_invalid(cf, "parameter", value);
    }

    text.data++;
    text.len = value->data + value->len - text.data;

    for (i = 0; i <= NGX_HTTP_ANALYTICS_ANOMALY; i++) {
        if ((size_t) (text.data - value->data - 1)
            == ngx_http_analytics_conditions[i].len
            && ngx_strncmp(value->data, ngx_http_analytics_conditions[i].data,
                           ngx_http_analytics_conditions[i].len)
               == 0)
        {
            return ngx_http_analytics_alert_threshold(cf, line, value, &text,
                                                      i);
        }
    }

    if (ngx_strncmp(value->data, "metric=", 7) == 0 && line->metric.len == 0) {
        line->metric = text;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "group=", 6) == 0 && alert->group.len == 0
        && ngx_http_analytics_is_text(&text))
    {
        alert->group = text;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "over=", 5) == 0) {
        return ngx_http_analytics_alert_time(cf, value, &text, &alert->over,
                                         60, NGX_HTTP_ANALYTICS_ALERT_OVER);
    }

    if (ngx_strncmp(value->data, "for=", 4) == 0) {
        return ngx_http_analytics_alert_time(cf, value, &text, &line->hold,
                                         0, NGX_HTTP_ANALYTICS_ALERT_HOLD);
    }

    if (ngx_strncmp(value->data, "every=", 6) == 0) {
        return ngx_http_analytics_alert_time(cf, value, &text, &alert->every,
                                         1, NGX_HTTP_ANALYTICS_ALERT_EVERY);
    }

    if (ngx_strncmp(value->data, "repeat=", 7) == 0) {
        return ngx_http_analytics_alert_time(cf, value, &text, &line->repeat,
                                         0, NGX_HTTP_ANALYTICS_ALERT_PAUSE);
    }

    if (ngx_strncmp(value->data, "gap=", 4) == 0) {
        return ngx_http_analytics_alert_time(cf, value, &text, &line->gap,
                                         0, NGX_HTTP_ANALYTICS_ALERT_PAUSE);
    }

    if (ngx_strncmp(value->data, "webhook=", 8) == 0
        && alert->webhook.len == 0)
    {
        return ngx_http_analytics_alert_webhook(cf, alert, value, &text);
    }

    return ngx_http_analytics_invalid(cf, "parameter", value);
}


static char *
ngx_http_analytics_alert_threshold(ngx_conf_t *cf,
    ngx_http_analytics_alert_line_t *line, ngx_str_t *value,
    ngx_str_t *text, ngx_uint_t condition)
{
    char  *end;

    if (line->conditions++) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "alert \"%V\" has another condition: \"%V\"",
                           &line->alert->name, value);
        return NGX_CONF_ERROR;
    }

    /* what strtod() takes beside numbers begins with another character */

    line->alert->condition = condition;
    line->alert->threshold = strtod((char *) text->data, &end);

    if (!((text->data[0] >= '0' && text->data[0] <= '9')
          || text->data[0] == '-' || text->data[0] == '.')
        || ngx_strlchr(text->data, text->data + text->len, 'x')
        || (u_char *) end != text->data + text->len
        || !isfinite(line->alert->threshold)
        || (condition == NGX_HTTP_ANALYTICS_ANOMALY
            && !(line->alert->threshold > 0)))
    {
        return ngx_http_analytics_invalid(cf, "number in", value);
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_alert_time(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *text, time_t *time, time_t least, time_t most)
{
    if (*time != NGX_CONF_UNSET) {
        return ngx_http_analytics_invalid(cf, "parameter", value);
    }

    *time = ngx_parse_time(text, 1);

    if (*time == (time_t) NGX_ERROR || *time < least || *time > most) {
        return ngx_http_analytics_invalid(cf, "time in", value);
    }

    return NGX_CONF_OK;
}


/* What it is like beyond that, curl tells when it is used. */

static char *
ngx_http_analytics_alert_webhook(ngx_conf_t *cf,
    ngx_http_analytics_alert_t *alert, ngx_str_t *value, ngx_str_t *text)
{
    u_char      *host;
    ngx_uint_t   i;

    host = text->data;

    if (ngx_strncasecmp(host, (u_char *) "http://", 7) == 0) {
        host += 7;

    } else if (ngx_strncasecmp(host, (u_char *) "https://", 8) == 0) {
        host += 8;

    } else {
        return ngx_http_analytics_invalid(cf, "URL in", value);
    }

    if (*host == '\0' || *host == '/' || *host == ':'
        || text->len > NGX_HTTP_ANALYTICS_URL_MAX)
    {
        return ngx_http_analytics_invalid(cf, "URL in", value);
    }

    for (i = 0; i < text->len; i++) {
        if (text->data[i] <= ' ' || text->data[i] >= 0x7f) {
            return ngx_http_analytics_invalid(cf, "URL in", value);
        }
    }

    alert->webhook = *text;

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_alert_finish(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_alert_line_t *line)
{
    const char                  *why;
    ngx_http_analytics_alert_t  *alert;

    why = NULL;
    alert = line->alert;

    if (line->metric.len == 0) {
        why = "it needs a \"metric\"";

    } else if (line->conditions == 0) {
        why = "it needs \"above\", \"below\" or \"anomaly\"";
    }

    if (why == NULL) {
        alert->metric = ngx_http_analytics_metric_named(zone, &line->metric);

        if (alert->metric == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "unknown metric \"%V\" in alert \"%V\"",
                               &line->metric, &alert->name);
            return NGX_CONF_ERROR;
        }

        if (alert->group.len
            && ngx_http_analytics_metric_grouped(zone, alert->metric) == 0)
        {
            why = "its metric has no groups";

        } else {
            why = ngx_http_analytics_alert_over(alert);
        }
    }

    if (why) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid alert \"%V\": %s", &alert->name, why);
        return NGX_CONF_ERROR;
    }

    ngx_conf_init_value(line->hold, 0);
    ngx_conf_init_value(line->repeat, NGX_HTTP_ANALYTICS_ALERT_REPEAT);
    ngx_conf_init_value(line->gap, NGX_HTTP_ANALYTICS_ALERT_GAP);
    ngx_conf_init_value(alert->every, 60);

    alert->rule.hold = (int64_t) line->hold * NGX_ANALYTICS_SECOND;
    alert->rule.repeat = (int64_t) line->repeat * NGX_ANALYTICS_SECOND;
    alert->rule.gap = (int64_t) line->gap * NGX_ANALYTICS_SECOND;
    alert->rule.told = (alert->webhook.len > 0);

    /* a worker takes over from another one in that time */

    alert->rule.pause = (int64_t) (2 * alert->every + 10)
                        * NGX_ANALYTICS_SECOND;

    return NGX_CONF_OK;
}


/* By which cells the metric is looked at; NULL, or why that cannot be. */

static const char *
ngx_http_analytics_alert_over(ngx_http_analytics_alert_t *alert)
{
    ngx_http_analytics_buckets_t  b;

    ngx_memzero(&b, sizeof(ngx_http_analytics_buckets_t));

    b.level = NGX_ANALYTICS_MINUTES;

    if (ngx_http_analytics_column_interval(alert->metric, &b)) {
        b.level = NGX_ANALYTICS_HOURS;
    }

    if (ngx_http_analytics_column_interval(alert->metric, &b)) {
        b.level = NGX_ANALYTICS_DAYS;
    }

    if (alert->condition == NGX_HTTP_ANALYTICS_ANOMALY) {

        if (alert->over != NGX_CONF_UNSET) {
            return "\"anomaly\" is of an hour, without \"over\"";
        }

        alert->over = 3600;
        alert->level = NGX_ANALYTICS_HOURS;

        return (b.level == NGX_ANALYTICS_DAYS)
               ? "\"anomaly\" needs a metric that is kept by hour" : NULL;
    }

    if (alert->over == NGX_CONF_UNSET) {
        alert->over = (b.level == NGX_ANALYTICS_MINUTES) ? 300
                      : (b.level == NGX_ANALYTICS_HOURS) ? 3600 : 86400;
    }

    if (b.level == NGX_ANALYTICS_MINUTES
        && alert->over > NGX_HTTP_ANALYTICS_ALERT_MINUTES)
    {
        b.level = NGX_ANALYTICS_HOURS;
    }

    alert->level = b.level;

    switch (b.level) {

    case NGX_ANALYTICS_MINUTES:
        return (alert->over % 60) ? "\"over\" must be whole minutes" : NULL;

    case NGX_ANALYTICS_HOURS:
        return (alert->over % 3600)
               ? "\"over\" must be whole hours, for this metric or so long a "
                 "time"
               : NULL;

    default: /* NGX_ANALYTICS_DAYS */
        return (alert->over % 86400)
               ? "\"over\" must be whole days, for this metric" : NULL;
    }
}


char *
ngx_http_analytics_zone_alerts_init(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    if (zone->alerts->declared.nelts && zone->path == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"alert\" needs a \"path\" in zone \"%V\"",
                           &zone->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
