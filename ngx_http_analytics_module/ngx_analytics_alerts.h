
/*
 * Alerts: what state they are in, and what is to be told of it.
 *
 * The states are those of Prometheus ("Alerting rules" in its manual, and
 * rules/alerting.go): a condition that holds makes an alert pending, and
 * firing as soon as it has held for a time; one that does not hold any more
 * makes a pending one inactive, and a firing one resolved.
 *
 * All times are microseconds.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_ALERTS_H_INCLUDED_
#define _NGX_ANALYTICS_ALERTS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_log.h"


#define NGX_ANALYTICS_ALERTS           "alerts"
#define NGX_ANALYTICS_ALERTS_TEMP      "alerts.new"
#define NGX_ANALYTICS_ALERTS_BAD       "alerts.bad"

/* of a zone, and how large the file of so many may be */
#define NGX_ANALYTICS_ALERTS_MAX       64
#define NGX_ANALYTICS_ALERTS_SIZE      (16 * 1024 * 1024)

#define NGX_ANALYTICS_ALERT_NAME       64      /* bytes, */
#define NGX_ANALYTICS_ALERT_WHY        128     /* with a '\0' */
#define NGX_ANALYTICS_NOTICE_ID        32

/* for one alert, to be sent: then the oldest but the first are dropped */
#define NGX_ANALYTICS_NOTICES_MAX      32

/* how long one that was resolved is shown as such, as Prometheus does */
#define NGX_ANALYTICS_ALERT_RESOLVED   (15 * 60 * (int64_t) 1000000)


typedef enum {
    NGX_ANALYTICS_ALERT_IS_INACTIVE = 0,
    NGX_ANALYTICS_ALERT_IS_PENDING,
    NGX_ANALYTICS_ALERT_IS_FIRING,
    NGX_ANALYTICS_ALERT_IS_RESOLVED
} ngx_analytics_alert_state_e;


/* Whether the condition holds; not known if it could not be looked at. */
typedef enum {
    NGX_ANALYTICS_ALERT_NO = 0,
    NGX_ANALYTICS_ALERT_YES,
    NGX_ANALYTICS_ALERT_UNKNOWN
} ngx_analytics_alert_holds_e;


typedef enum {
    NGX_ANALYTICS_NOTICE_NONE = 0,
    NGX_ANALYTICS_NOTICE_FIRING,
    NGX_ANALYTICS_NOTICE_RESOLVED
} ngx_analytics_notice_e;


/* What is declared. */
typedef struct {
    int64_t      hold;       /* how long the condition is to hold ("for") */
    int64_t      repeat;     /* between reminders while firing; 0: none */
    int64_t      gap;        /* between two notices, at least */
    ngx_uint_t   told;       /* somebody is to be told: there is a webhook */
    int64_t      pause;      /* between two looks, at most; 0: any */
} ngx_analytics_alert_rule_t;


/* A notice that is to be sent. */
typedef struct {
    char         id[NGX_ANALYTICS_NOTICE_ID + 1];
    int64_t      at;         /* when it was made */
    char        *body;       /* JSON, from malloc() */

    ngx_uint_t   tries;      /* these are not kept in the file */
    ngx_msec_t   next;
} ngx_analytics_notice_t;


/* What is known of one alert. */
typedef struct {
    char         name[NGX_ANALYTICS_ALERT_NAME + 1];
    ngx_uint_t   state;      /* ngx_analytics_alert_state_e */
    int64_t      since;      /* in this state; 0: always */
    int64_t      active;     /* pending or firing: since the condition holds */

    ngx_uint_t   told;       /* ngx_analytics_notice_e, the last one */
    int64_t      told_at;
    ngx_uint_t   skipped;    /* changes since then */

    int64_t      evaluated;  /* 0: never */
    ngx_uint_t   valued;     /* the value is one */
    double       value;
    char         reason[NGX_ANALYTICS_ALERT_WHY];   /* why there is none */

    int64_t      delivered;  /* a notice, last; 0: never */
    char         error[NGX_ANALYTICS_ALERT_WHY];    /* of the last try */

    ngx_uint_t   n;          /* the oldest first */
    ngx_analytics_notice_t  notices[NGX_ANALYTICS_NOTICES_MAX];
} ngx_analytics_alert_t;


/*
 * Goes on from the state it is in, now that the condition holds or not.  What
 * was not looked at for longer than the pause has not held meanwhile.
 * Returns what is to be told (ngx_analytics_notice_e), and counts it as told.
 * A notice that comes too soon after the last one waits for the next call
 * that is late enough; if by then nothing is different from what was told,
 * it is left out.  *skipped is how many times, since the last notice, it began
 * to fire or was resolved without being told.
 */
ngx_uint_t ngx_analytics_alert_step(ngx_analytics_alert_t *a,
    const ngx_analytics_alert_rule_t *rule, ngx_uint_t holds, int64_t now,
    ngx_uint_t *skipped);

/* "inactive", "pending", "firing" or "resolved" */
const char *ngx_analytics_alert_state(ngx_uint_t state);

/*
 * Appends a notice with that id, and takes the body.  If there are too many
 * the oldest but the first, which may be on its way, is dropped: returns
 * whether that was so.
 */
ngx_uint_t ngx_analytics_alert_push(ngx_analytics_alert_t *a, const char *id,
    int64_t at, char *body);

/* Takes the oldest notice away. */
void ngx_analytics_alert_shift(ngx_analytics_alert_t *a);

/* Frees the notices of n alerts. */
void ngx_analytics_alerts_clear(ngx_analytics_alert_t *alerts, ngx_uint_t n);


/*
 * The file of a zone's directory: ngx_analytics_alerts_file.c.
 *
 * Reads it into *alerts, from malloc(), and *n.  Returns NGX_OK, NGX_DECLINED
 * if there is none, NGX_ABORT if it is damaged, or NGX_ERROR and *fail.
 */
ngx_int_t ngx_analytics_alerts_read(int dir, const char *path,
    ngx_analytics_alert_t **alerts, ngx_uint_t *n, ngx_analytics_fail_t *fail);

/* Writes it in the place of the old one.  NGX_OK, or NGX_ERROR and *fail. */
ngx_int_t ngx_analytics_alerts_write(int dir, const char *path,
    ngx_analytics_alert_t *alerts, ngx_uint_t n, ngx_analytics_fail_t *fail);


#endif /* _NGX_ANALYTICS_ALERTS_H_INCLUDED_ */
