
/*
 * Alerts: what the configuration declares, who looks, and who tells.
 *
 *     alert -> (alerting: figures -> state) -> file -> webhook
 *                                               file -> analytics_alerts
 *
 * One worker of all generations looks, on a thread of its own, which sends
 * the notices, too.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_HTTP_ANALYTICS_ALERTS_H_INCLUDED_
#define _NGX_HTTP_ANALYTICS_ALERTS_H_INCLUDED_


#include "ngx_http_analytics_metrics.h"
#include "ngx_analytics_alerts.h"


typedef enum {
    NGX_HTTP_ANALYTICS_ABOVE = 0,
    NGX_HTTP_ANALYTICS_BELOW,
    NGX_HTTP_ANALYTICS_ANOMALY
} ngx_http_analytics_condition_e;


/* An alert of the configuration. */
typedef struct {
    ngx_str_t                     name;
    ngx_http_analytics_metric_t  *metric;
    ngx_str_t                     group;      /* empty: of all */
    ngx_uint_t                    condition;  /* ..._condition_e */
    double                        threshold;
    time_t                        over;       /* seconds, */
    ngx_uint_t                    level;      /* in MINUTES, HOURS, DAYS */
    time_t                        every;      /* seconds */
    ngx_analytics_alert_rule_t    rule;
    ngx_str_t                     webhook;    /* ends with a '\0' */

    /* the thread's: what was to be expected of an hour, 0: of none */
    int64_t                       fitted;
    double                        mean;
    double                        deviation;
} ngx_http_analytics_alert_t;


typedef struct ngx_http_analytics_hooks_s  ngx_http_analytics_hooks_t;


/* what is to be written */
#define NGX_HTTP_ANALYTICS_ALERTS_STATES  0x01
#define NGX_HTTP_ANALYTICS_ALERTS_VALUES  0x02

/* What a zone declares, and the thread of a process that looks after it. */
struct ngx_http_analytics_alerts_s {
    ngx_array_t                   declared;   /* ngx_http_analytics_alert_t */

    ngx_http_analytics_job_t      job;        /* starts the thread */
    ngx_msec_t                    looked;
    ngx_msec_t                    pause;      /* before the next look */
    pthread_t                     tid;
    int                           lease;
    ngx_uint_t                    started;
    ngx_uint_t                    forgotten;  /* none is declared, or known */
    volatile ngx_uint_t           running;
    volatile ngx_uint_t           stop;

    /* the thread's: in the order of the declarations */

    ngx_analytics_alert_t        *alerts;
    ngx_msec_t                   *due;        /* the next look at each */
    ngx_http_analytics_hooks_t   *hooks;
    ngx_uint_t                    changed;    /* bits, since it was written */
    ngx_msec_t                    written;
    ngx_uint_t                    failing;    /* to write it */
};


/* analytics_zone's line: ngx_http_analytics_conf_alert.c */

char *ngx_http_analytics_zone_alert(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);

/* Behind the block's last line: whether what is declared can be done. */
char *ngx_http_analytics_zone_alerts_init(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);

ngx_str_t *ngx_http_analytics_condition_name(ngx_uint_t condition);


/* looking: ngx_http_analytics_alerting.c */

/* In a process that serves; now and then; and before it ends. */
ngx_int_t ngx_http_analytics_alerting_init(ngx_http_analytics_zone_t *zone);
void ngx_http_analytics_alerting_tick(ngx_http_analytics_zone_t *zone);
void ngx_http_analytics_alerting_exit(ngx_http_analytics_zone_t *zone);

/* Whether the thread is to end. */
ngx_uint_t ngx_http_analytics_alerting_stops(
    ngx_http_analytics_alerts_t *alerts);


/* figures: ngx_http_analytics_alert_value.c */

/*
 * Looks whether the condition holds (ngx_analytics_alert_holds_e), and sets
 * value, valued and reason; on a thread.
 */
ngx_uint_t ngx_http_analytics_alert_holds(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_alert_t *alert, ngx_analytics_alert_t *a);


/* webhooks: ngx_http_analytics_webhook.c */

/* Once in a process.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_analytics_webhook_init(void);

/* For n alerts.  Returns NULL if there is no memory. */
ngx_http_analytics_hooks_t *ngx_http_analytics_hooks_create(
    ngx_http_analytics_zone_t *zone, ngx_uint_t n);

/*
 * Sends what is to be sent, and waits up to msec, less if there is something
 * to do.  Returns how many alerts have changed: delivered, failed.
 */
ngx_uint_t ngx_http_analytics_hooks_work(ngx_http_analytics_hooks_t *hooks,
    ngx_msec_t msec);

/* How many are being sent. */
ngx_uint_t ngx_http_analytics_hooks_busy(ngx_http_analytics_hooks_t *hooks);

/* From another thread: what waits, waits no longer. */
void ngx_http_analytics_hooks_wake(ngx_http_analytics_hooks_t *hooks);

void ngx_http_analytics_hooks_free(ngx_http_analytics_hooks_t *hooks);


/* answers: ngx_http_analytics_alerts.c */

/* Add a text, null if it is empty, and a time, null if it is 0. */
ngx_int_t ngx_http_analytics_alerts_text(cJSON *json, const char *name,
    ngx_str_t *text);
ngx_int_t ngx_http_analytics_alerts_time(cJSON *json, const char *name,
    int64_t usec);

ngx_int_t ngx_http_analytics_alerts_handler(ngx_http_request_t *r);


/* A clock that nobody sets, for threads. */
static ngx_inline ngx_msec_t
ngx_http_analytics_alerts_msec(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (ngx_msec_t) ts.tv_sec * 1000
           + (ngx_msec_t) (ts.tv_nsec / 1000000);
}


#endif /* _NGX_HTTP_ANALYTICS_ALERTS_H_INCLUDED_ */
