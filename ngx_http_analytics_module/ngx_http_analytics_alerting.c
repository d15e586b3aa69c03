
/*
 * Looking after the alerts of a zone.
 *
 * One process of all has the lease, and a thread that looks at each alert when
 * it is due, writes down what has changed, and then sends what is to be sent:
 * in that order, so that a notice is the same one after a restart.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_alerts.h"
#include "ngx_analytics_store.h"
#include "ngx_analytics_time.h"

#include <openssl/rand.h>


/* msec */
#define NGX_HTTP_ANALYTICS_ALERTING_LOOK   1000     /* for the lease */
#define NGX_HTTP_ANALYTICS_ALERTING_SAVE   1000     /* of values alone */
#define NGX_HTTP_ANALYTICS_ALERTING_WAIT   1000
#define NGX_HTTP_ANALYTICS_ALERTING_PAUSE  60000    /* after a failure */
#define NGX_HTTP_ANALYTICS_ALERTING_GRACE  500      /* for what is sent */


static void ngx_http_analytics_alerting_run(ngx_http_analytics_zone_t *zone);
static void *ngx_http_analytics_alerting_thread(void *data);
static ngx_int_t ngx_http_analytics_alerting_open(
    ngx_http_analytics_zone_t *zone);
static ngx_int_t ngx_http_analytics_alerting_read(
    ngx_http_analytics_zone_t *zone);
static void ngx_http_analytics_alerting_known(
    ngx_http_analytics_zone_t *zone, ngx_analytics_alert_t *known,
    ngx_uint_t n);
static void ngx_http_analytics_alerting_cycle(
    ngx_http_analytics_zone_t *zone);
static ngx_msec_t ngx_http_analytics_alerting_look(
    ngx_http_analytics_zone_t *zone);
static void ngx_http_analytics_alerting_one(ngx_http_analytics_zone_t *zone,
    ngx_uint_t i);
static void ngx_http_analytics_alerting_tell(ngx_http_analytics_zone_t *zone,
    ngx_uint_t i, ngx_uint_t what, ngx_uint_t skipped);
static char *ngx_http_analytics_alerting_body(
    ngx_http_analytics_zone_t *zone, ngx_uint_t i, const char *id,
    ngx_uint_t what, ngx_uint_t skipped);
static void ngx_http_analytics_alerting_save(ngx_http_analytics_zone_t *zone);
static void ngx_http_analytics_alerting_close(
    ngx_http_analytics_zone_t *zone);


ngx_int_t
ngx_http_analytics_alerting_init(ngx_http_analytics_zone_t *zone)
{
    zone->alerts->looked = ngx_current_msec - NGX_HTTP_ANALYTICS_ALERTING_LOOK;

    if (zone->alerts->declared.nelts
        && ngx_http_analytics_webhook_init() != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_analytics_job_init(zone, &zone->alerts->job,
                                       ngx_http_analytics_alerting_run, NULL);
}


void
ngx_http_analytics_alerting_tick(ngx_http_analytics_zone_t *zone)
{
    ngx_http_analytics_alerts_t  *alerts;

    alerts = zone->alerts;

    if (alerts->forgotten || alerts->running
        || ngx_current_msec - alerts->looked < alerts->pause)
    {
        return;
    }

    alerts->looked = ngx_current_msec;
    alerts->pause = NGX_HTTP_ANALYTICS_ALERTING_LOOK;

    ngx_http_analytics_job_start(&alerts->job);
}


/* When the threads of the pool are gone. */

void
ngx_http_analytics_alerting_exit(ngx_http_analytics_zone_t *zone)
{
    ngx_http_analytics_alerts_t  *alerts;

    alerts = zone->alerts;

    if (!alerts->started) {
        return;
    }

    alerts->stop = 1;

    ngx_http_analytics_hooks_wake(alerts->hooks);

    (void) pthread_join(alerts->tid, NULL);

    alerts->started = 0;
    ngx_http_analytics_hooks_free(alerts->hooks);
}


/* A job: becomes the one who looks, if nobody else does. */

static void
ngx_http_analytics_alerting_run(ngx_http_analytics_zone_t *zone)
{
    int                           err;
    ngx_http_analytics_alerts_t  *alerts;

    alerts = zone->alerts;
    alerts->job.rc = NGX_OK;

    if (ngx_exiting || ngx_terminate) {
        return;
    }

    if (alerts->declared.nelts == 0
        && faccessat(zone->log.dir, NGX_ANALYTICS_ALERTS, F_OK, 0) == -1)
    {
        alerts->forgotten = 1;
        return;
    }

    alerts->lease = ngx_http_analytics_lease(zone, "lock.alerts");

    if (alerts->lease == -1) {
        return;
    }

    /* what was declared once would be known, if it is declared again */

    if (alerts->declared.nelts == 0) {
        (void) unlinkat(zone->log.dir, NGX_ANALYTICS_ALERTS, 0);
        (void) close(alerts->lease);
        return;
    }

    /* one that has given up */

    if (alerts->started) {
        (void) pthread_join(alerts->tid, NULL);
        alerts->started = 0;

        ngx_http_analytics_hooks_free(alerts->hooks);
    }

    alerts->hooks = ngx_http_analytics_hooks_create(zone,
                                                    alerts->declared.nelts);

    if (alerts->hooks == NULL) {
        (void) close(alerts->lease);
        alerts->job.rc = NGX_ERROR;
        return;
    }

    alerts->running = 1;

    err = pthread_create(&alerts->tid, NULL,
                         ngx_http_analytics_alerting_thread, zone);

    if (err == 0) {
        alerts->started = 1;
        return;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, err,
                  "pthread_create() failed");

    ngx_http_analytics_hooks_free(alerts->hooks);

    (void) close(alerts->lease);

    alerts->running = 0;
    alerts->job.rc = NGX_ERROR;
}


static void *
ngx_http_analytics_alerting_thread(void *data)
{
    ngx_http_analytics_zone_t *zone = data;

    ngx_http_analytics_alerts_t  *alerts;

    alerts = zone->alerts;

    if (ngx_http_analytics_alerting_open(zone) == NGX_OK) {

        while (!ngx_http_analytics_alerting_stops(alerts)) {
            ngx_http_analytics_alerting_cycle(zone);
        }

        ngx_http_analytics_alerting_close(zone);

    } else {
        alerts->pause = NGX_HTTP_ANALYTICS_ALERTING_PAUSE;
    }

    if (alerts->alerts) {
        ngx_analytics_alerts_clear(alerts->alerts, alerts->declared.nelts);
    }

    free(alerts->alerts);
    free(alerts->due);

    alerts->alerts = NULL;
    alerts->due = NULL;

    (void) close(alerts->lease);

    alerts->running = 0;

    return NULL;
}


ngx_uint_t
ngx_http_analytics_alerting_stops(ngx_http_analytics_alerts_t *alerts)
{
    return alerts->stop || ngx_exiting || ngx_terminate;
}


static ngx_int_t
ngx_http_analytics_alerting_open(ngx_http_analytics_zone_t *zone)
{
    ngx_uint_t                    i, n;
    ngx_http_analytics_alert_t   *declared;
    ngx_http_analytics_alerts_t  *alerts;

    alerts = zone->alerts;
    declared = alerts->declared.elts;
    n = alerts->declared.nelts;

    alerts->alerts = calloc(n, sizeof(ngx_analytics_alert_t));
    alerts->due = calloc(n, sizeof(ngx_msec_t));

    if (alerts->alerts == NULL || alerts->due == NULL) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, ngx_errno,
                      "calloc() for alerts failed");
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        ngx_memcpy(alerts->alerts[i].name, declared[i].name.data,
                   declared[i].name.len);

        alerts->due[i] = ngx_http_analytics_alerts_msec();
    }

    alerts->changed = 0;
    alerts->failing = 0;
    alerts->written = ngx_http_analytics_alerts_msec()
                      - NGX_HTTP_ANALYTICS_ALERTING_SAVE;

    return ngx_http_analytics_alerting_read(zone);
}


static ngx_int_t
ngx_http_analytics_alerting_read(ngx_http_analytics_zone_t *zone)
{
    ngx_int_t               rc;
    ngx_uint_t              n;
    ngx_analytics_fail_t    fail;
    ngx_analytics_alert_t  *known;

    ngx_memzero(&fail, sizeof(ngx_analytics_fail_t));

    rc = ngx_analytics_alerts_read(zone->log.dir, zone->log.path, &known, &n,
                                   &fail);

    switch (rc) {

    case NGX_OK:
        ngx_http_analytics_alerting_known(zone, known, n);

        ngx_analytics_alerts_clear(known, n);
        free(known);

        return NGX_OK;

    case NGX_DECLINED:
        return NGX_OK;

    case NGX_ABORT:
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "analytics zone \"%V\": the file \"%s/"
                      NGX_ANALYTICS_ALERTS "\" is damaged and was renamed to "
                      "\"" NGX_ANALYTICS_ALERTS_BAD "\": alerts begin anew",
                      &zone->name, zone->log.path);

        if (renameat(zone->log.dir, NGX_ANALYTICS_ALERTS, zone->log.dir,
                     NGX_ANALYTICS_ALERTS_BAD)
            == 0)
        {
            return NGX_OK;
        }

        ngx_analytics_failed(&fail, "rename() of", zone->log.path,
                             NGX_ANALYTICS_ALERTS);
        break;

    default: /* NGX_ERROR */
        break;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, fail.err,
                  "analytics zone \"%V\": alerts are not looked at: %s",
                  &zone->name, fail.text);

    return NGX_ERROR;
}


/* What was written of those that are still declared. */

static void
ngx_http_analytics_alerting_known(ngx_http_analytics_zone_t *zone,
    ngx_analytics_alert_t *known, ngx_uint_t n)
{
    ngx_uint_t                   i, k;
    ngx_analytics_alert_t       *alerts;
    ngx_http_analytics_alert_t  *declared;

    alerts = zone->alerts->alerts;
    declared = zone->alerts->declared.elts;

    for (i = 0; i < zone->alerts->declared.nelts; i++) {

        for (k = 0; k < n; k++) {
            if (ngx_strcmp(alerts[i].name, known[k].name) == 0) {
                break;
            }
        }

        if (k == n) {
            continue;
        }

        if (!declared[i].rule.told) {
            ngx_analytics_alerts_clear(&known[k], 1);
            known[k].told = NGX_ANALYTICS_NOTICE_NONE;
        }

        /* the notices go along */

        alerts[i] = known[k];
        known[k].n = 0;
    }
}


static void
ngx_http_analytics_alerting_cycle(ngx_http_analytics_zone_t *zone)
{
    ngx_uint_t                    i, firing;
    ngx_msec_t                    wait;
    ngx_http_analytics_alerts_t  *alerts;

    alerts = zone->alerts;

    wait = ngx_http_analytics_alerting_look(zone);

    for (i = 0, firing = 0; i < alerts->declared.nelts; i++) {
        firing += (alerts->alerts[i].state == NGX_ANALYTICS_ALERT_IS_FIRING);
    }

    zone->shared->firing = firing;

    ngx_http_analytics_alerting_save(zone);

    alerts->changed |= ngx_http_analytics_hooks_work(alerts->hooks, wait)
                       ? NGX_HTTP_ANALYTICS_ALERTS_STATES : 0;

    ngx_http_analytics_alerting_save(zone);
}


/* Returns for how long there is nothing to look at. */

static ngx_msec_t
ngx_http_analytics_alerting_look(ngx_http_analytics_zone_t *zone)
{
    ngx_uint_t                    i;
    ngx_msec_t                    now, wait;
    ngx_msec_int_t                left;
    ngx_http_analytics_alert_t   *declared;
    ngx_http_analytics_alerts_t  *alerts;

    alerts = zone->alerts;
    declared = alerts->declared.elts;
    now = ngx_http_analytics_alerts_msec();
    wait = NGX_HTTP_ANALYTICS_ALERTING_WAIT;

    if (!ngx_http_analytics_ready(zone)) {
        return wait;
    }

    for (i = 0; i < alerts->declared.nelts; i++) {
        left = (ngx_msec_int_t) (alerts->due[i] - now);

        if (left <= 0) {
            ngx_http_analytics_alerting_one(zone, i);

            /* what was missed is not looked at several times */

            left = (ngx_msec_int_t) declared[i].every * 1000;
            alerts->due[i] = now + (ngx_msec_t) left;
        }

        wait = ngx_min(wait, (ngx_msec_t) left);
    }

    return wait;
}


static void
ngx_http_analytics_alerting_one(ngx_http_analytics_zone_t *zone, ngx_uint_t i)
{
    int64_t                      now;
    ngx_uint_t                   holds, state, what, skipped;
    ngx_analytics_alert_t       *a;
    ngx_http_analytics_alert_t  *alert;

    a = &zone->alerts->alerts[i];
    alert = (ngx_http_analytics_alert_t *) zone->alerts->declared.elts + i;

    state = a->state;
    holds = ngx_http_analytics_alert_holds(zone, alert, a);
    now = ngx_http_analytics_now();
    what = ngx_analytics_alert_step(a, &alert->rule, holds, now, &skipped);

    zone->alerts->changed |= NGX_HTTP_ANALYTICS_ALERTS_VALUES;

    if (a->state != state) {
        zone->alerts->changed |= NGX_HTTP_ANALYTICS_ALERTS_STATES;

        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "analytics zone \"%V\": alert \"%V\" is %s",
                      &zone->name, &alert->name,
                      ngx_analytics_alert_state(a->state));
    }

    if (what != NGX_ANALYTICS_NOTICE_NONE) {
        zone->alerts->changed |= NGX_HTTP_ANALYTICS_ALERTS_STATES;

        ngx_http_analytics_alerting_tell(zone, i, what, skipped);
    }
}


static void
ngx_http_analytics_alerting_tell(ngx_http_analytics_zone_t *zone,
    ngx_uint_t i, ngx_uint_t what, ngx_uint_t skipped)
{
    char                    id[NGX_ANALYTICS_NOTICE_ID + 1], *body;
    u_char                  random[NGX_ANALYTICS_NOTICE_ID / 2];
    ngx_analytics_alert_t  *a;

    a = &zone->alerts->alerts[i];
    body = NULL;

    if (RAND_bytes(random, sizeof(random)) == 1) {
        *ngx_hex_dump((u_char *) id, random, sizeof(random)) = '\0';

        body = ngx_http_analytics_alerting_body(zone, i, id, what, skipped);
    }

    if (body == NULL) {

        /* it is tried again with the next look */

        a->told = (what == NGX_ANALYTICS_NOTICE_FIRING)
                  ? NGX_ANALYTICS_NOTICE_NONE : NGX_ANALYTICS_NOTICE_FIRING;
        a->told_at = 0;

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "analytics zone \"%V\": a notice of alert \"%s\" could "
                      "not be made", &zone->name, a->name);
        return;
    }

    if (ngx_analytics_alert_push(a, id, a->told_at, body)) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "analytics zone \"%V\": too many notices of alert "
                      "\"%s\" wait: the oldest was dropped",
                      &zone->name, a->name);
    }
}


/* Returns the text, from malloc(), or NULL. */

static char *
ngx_http_analytics_alerting_body(ngx_http_analytics_zone_t *zone,
    ngx_uint_t i, const char *id, ngx_uint_t what, ngx_uint_t skipped)
{
    char                        *text;
    cJSON                       *json;
    ngx_analytics_alert_t       *a;
    ngx_http_analytics_alert_t  *alert;

    a = &zone->alerts->alerts[i];
    alert = (ngx_http_analytics_alert_t *) zone->alerts->declared.elts + i;
    text = NULL;

    json = cJSON_CreateObject();

    if (cJSON_AddStringToObject(json, "id", id)
        && ngx_http_analytics_alerts_text(json, "zone", &zone->name)
           == NGX_OK
        && cJSON_AddStringToObject(json, "alert", a->name)
        && cJSON_AddStringToObject(json, "status",
                                   (what == NGX_ANALYTICS_NOTICE_FIRING)
                                   ? "firing" : "resolved")
        && ngx_http_analytics_alerts_text(json, "metric",
                                            &alert->metric->name)
           == NGX_OK
        && ngx_http_analytics_alerts_text(json, "group", &alert->group)
           == NGX_OK
        && ngx_http_analytics_alerts_text(json, "condition",
                        ngx_http_analytics_condition_name(alert->condition))
           == NGX_OK
        && cJSON_AddNumberToObject(json, "threshold", alert->threshold)
        && (a->valued ? cJSON_AddNumberToObject(json, "value", a->value)
                      : cJSON_AddNullToObject(json, "value"))
        && ngx_http_analytics_alerts_time(json, "since", a->since) == NGX_OK
        && ngx_http_analytics_alerts_time(json, "at", a->told_at) == NGX_OK
        && cJSON_AddNumberToObject(json, "skipped", (double) skipped))
    {
        text = cJSON_PrintUnformatted(json);
    }

    cJSON_Delete(json);

    return text;
}


/* At once, but for values alone, which nobody is told of. */

static void
ngx_http_analytics_alerting_save(ngx_http_analytics_zone_t *zone)
{
    ngx_msec_t                    now;
    ngx_analytics_fail_t          fail;
    ngx_http_analytics_alerts_t  *alerts;

    alerts = zone->alerts;
    now = ngx_http_analytics_alerts_msec();

    if (alerts->changed == 0
        || ((alerts->failing
             || !(alerts->changed & NGX_HTTP_ANALYTICS_ALERTS_STATES))
            && now - alerts->written < NGX_HTTP_ANALYTICS_ALERTING_SAVE))
    {
        return;
    }

    alerts->written = now;

    if (ngx_analytics_alerts_write(zone->log.dir, zone->log.path,
                                   alerts->alerts, alerts->declared.nelts,
                                   &fail)
        == NGX_OK)
    {
        alerts->changed = 0;
        alerts->failing = 0;
        return;
    }

    if (!alerts->failing) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, fail.err,
                      "analytics zone \"%V\": what is known of alerts is not "
                      "kept: %s", &zone->name, fail.text);
    }

    alerts->failing = 1;
}


/* What is being sent is given a moment: it would be sent again. */

static void
ngx_http_analytics_alerting_close(ngx_http_analytics_zone_t *zone)
{
    ngx_msec_t                    start;
    ngx_http_analytics_alerts_t  *alerts;

    alerts = zone->alerts;
    start = ngx_http_analytics_alerts_msec();

    while (ngx_http_analytics_hooks_busy(alerts->hooks)
           && ngx_http_analytics_alerts_msec() - start
              < NGX_HTTP_ANALYTICS_ALERTING_GRACE)
    {
        alerts->changed |= ngx_http_analytics_hooks_work(alerts->hooks, 50)
                           ? NGX_HTTP_ANALYTICS_ALERTS_STATES : 0;
    }

    alerts->failing = 0;
    alerts->changed |= NGX_HTTP_ANALYTICS_ALERTS_STATES;

    ngx_http_analytics_alerting_save(zone);
}
