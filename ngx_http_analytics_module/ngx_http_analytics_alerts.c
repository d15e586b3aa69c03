
/*
 * analytics_alerts: the alerts of a zone, as who looks after them has written
 * down last.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_alerts.h"
#include "ngx_http_analytics_query.h"
#include "ngx_analytics_time.h"


static ngx_int_t ngx_http_analytics_alerts_next(
    ngx_http_analytics_stream_t *s);
static ngx_int_t ngx_http_analytics_alerts_json(
    ngx_http_analytics_zone_t *zone, ngx_analytics_alert_t *known,
    ngx_uint_t n, cJSON *json);
static ngx_int_t ngx_http_analytics_alerts_one(cJSON *item,
    ngx_http_analytics_alert_t *alert, ngx_analytics_alert_t *a);
static ngx_int_t ngx_http_analytics_alerts_webhook(cJSON *item,
    ngx_http_analytics_alert_t *alert, ngx_analytics_alert_t *a);
static void ngx_http_analytics_alerts_finish(ngx_http_analytics_stream_t *s);


static ngx_str_t  ngx_http_analytics_alerts_type =
    ngx_string("application/json");


ngx_int_t
ngx_http_analytics_alerts_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_http_analytics_stream_t    *s;
    ngx_http_analytics_loc_conf_t  *alcf;

    rc = ngx_http_analytics_get(r);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);

    /* its directory is open then */

    rc = ngx_http_analytics_fresh(r, alcf->zone);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    s = ngx_http_analytics_stream_create(r);
    if (s == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    s->query.limit = UINT64_MAX;
    s->type = &ngx_http_analytics_alerts_type;
    s->next = ngx_http_analytics_alerts_next;
    s->finish = ngx_http_analytics_alerts_finish;

    return ngx_http_analytics_stream(s);
}


/* On a thread. */

static ngx_int_t
ngx_http_analytics_alerts_next(ngx_http_analytics_stream_t *s)
{
    char                       *text;
    cJSON                      *json;
    ngx_int_t                   rc;
    ngx_uint_t                  n;
    ngx_analytics_alert_t      *known;
    ngx_http_analytics_zone_t  *zone;

    zone = s->conf->zone;
    known = NULL;
    text = NULL;
    n = 0;

    if (zone->alerts->declared.nelts) {
        rc = ngx_analytics_alerts_read(zone->log.dir, zone->log.path, &known,
                                       &n, &s->fail);
        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        /* a damaged one is put aside by who looks after the alerts */
    }

    json = cJSON_CreateObject();

    if (ngx_http_analytics_alerts_json(zone, known, n, json) == NGX_OK) {
        text = cJSON_PrintUnformatted(json);
    }

    cJSON_Delete(json);

    ngx_analytics_alerts_clear(known, n);
    free(known);

    if (text == NULL) {
        s->fail.err = ENOMEM;
        ngx_memcpy(s->fail.text, "there is no memory",
                   sizeof("there is no memory"));
        return NGX_ERROR;
    }

    ngx_analytics_write_raw(&s->w, text, ngx_strlen(text));

    free(text);

    return NGX_DONE;
}


static void
ngx_http_analytics_alerts_finish(ngx_http_analytics_stream_t *s)
{
    (void) s;
}


static ngx_int_t
ngx_http_analytics_alerts_json(ngx_http_analytics_zone_t *zone,
    ngx_analytics_alert_t *known, ngx_uint_t n, cJSON *json)
{
    cJSON                       *list, *item;
    ngx_uint_t                   i, k;
    ngx_http_analytics_alert_t  *declared;

    list = cJSON_AddArrayToObject(json, "alerts");
    if (list == NULL) {
        return NGX_ERROR;
    }

    declared = zone->alerts->declared.elts;

    for (i = 0; i < zone->alerts->declared.nelts; i++) {

        for (k = 0; k < n; k++) {
            if (ngx_strlen(known[k].name) == declared[i].name.len
                && ngx_strncmp(known[k].name, declared[i].name.data,
                               declared[i].name.len)
                   == 0)
            {
                break;
            }
        }

        item = cJSON_CreateObject();

        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            return NGX_ERROR;
        }

        if (ngx_http_analytics_alerts_one(item, &declared[i],
                                          (k < n) ? &known[k] : NULL)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* a is NULL if nobody has looked at it yet. */

static ngx_int_t
ngx_http_analytics_alerts_one(cJSON *item, ngx_http_analytics_alert_t *alert,
    ngx_analytics_alert_t *a)
{
    if (ngx_http_analytics_alerts_text(item, "alert", &alert->name) != NGX_OK
        || ngx_http_analytics_alerts_text(item, "metric",
                                          &alert->metric->name)
           != NGX_OK
        || ngx_http_analytics_alerts_text(item, "group", &alert->group)
           != NGX_OK
        || ngx_http_analytics_alerts_text(item, "condition",
                        ngx_http_analytics_condition_name(alert->condition))
           != NGX_OK
        || !cJSON_AddNumberToObject(item, "threshold", alert->threshold)
        || !cJSON_AddNumberToObject(item, "over", (double) alert->over)
        || !cJSON_AddNumberToObject(item, "for",
                        (double) alert->rule.hold / NGX_ANALYTICS_SECOND)
        || !cJSON_AddNumberToObject(item, "every", (double) alert->every)
        || !cJSON_AddStringToObject(item, "state",
                                    ngx_analytics_alert_state(a ? a->state
                                            : NGX_ANALYTICS_ALERT_IS_INACTIVE))
        || !((a && a->valued) ? cJSON_AddNumberToObject(item, "value",
                                                        a->value)
                              : cJSON_AddNullToObject(item, "value"))
        || ngx_http_analytics_alerts_time(item, "since", a ? a->since : 0)
           != NGX_OK
        || ngx_http_analytics_alerts_time(item, "evaluated_at",
                                          a ? a->evaluated : 0)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (a == NULL) {
        if (!cJSON_AddStringToObject(item, "reason",
                                     "it was not looked at yet"))
        {
            return NGX_ERROR;
        }

    } else if (!(a->reason[0] ? cJSON_AddStringToObject(item, "reason",
                                                        a->reason)
                              : cJSON_AddNullToObject(item, "reason")))
    {
        return NGX_ERROR;
    }

    return ngx_http_analytics_alerts_webhook(item, alert, a);
}


/* The URL may hold a secret, and is not shown. */

static ngx_int_t
ngx_http_analytics_alerts_webhook(cJSON *item,
    ngx_http_analytics_alert_t *alert, ngx_analytics_alert_t *a)
{
    cJSON  *webhook;

    if (alert->webhook.len == 0) {
        return cJSON_AddNullToObject(item, "webhook") ? NGX_OK : NGX_ERROR;
    }

    webhook = cJSON_AddObjectToObject(item, "webhook");

    if (webhook == NULL
        || !cJSON_AddNumberToObject(webhook, "pending",
                                    a ? (double) a->n : 0)
        || ngx_http_analytics_alerts_time(webhook, "last_delivered",
                                          a ? a->delivered : 0)
           != NGX_OK
        || !((a && a->error[0]) ? cJSON_AddStringToObject(webhook,
                                                 "last_error", a->error)
                                : cJSON_AddNullToObject(webhook,
                                                 "last_error")))
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_analytics_alerts_text(cJSON *json, const char *name, ngx_str_t *text)
{
    char   *copy;
    cJSON  *item;

    if (text->len == 0) {
        return cJSON_AddNullToObject(json, name) ? NGX_OK : NGX_ERROR;
    }

    copy = strndup((char *) text->data, text->len);
    if (copy == NULL) {
        return NGX_ERROR;
    }

    item = cJSON_AddStringToObject(json, name, copy);

    free(copy);

    return item ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_analytics_alerts_time(cJSON *json, const char *name, int64_t usec)
{
    char  text[NGX_ANALYTICS_TIME_LEN + 1];

    if (usec == 0) {
        return cJSON_AddNullToObject(json, name) ? NGX_OK : NGX_ERROR;
    }

    *ngx_analytics_time_format((u_char *) text, usec) = '\0';

    return cJSON_AddStringToObject(json, name, text) ? NGX_OK : NGX_ERROR;
}
