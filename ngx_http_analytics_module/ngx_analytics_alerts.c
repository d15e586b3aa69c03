
/*
 * Alerts: their states.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_alerts.h"


static void ngx_analytics_alert_turn(ngx_analytics_alert_t *a,
    ngx_uint_t state, int64_t now);
static void ngx_analytics_alert_drop(ngx_analytics_alert_t *a,
    ngx_uint_t i);
static ngx_uint_t ngx_analytics_alert_tell(ngx_analytics_alert_t *a,
    const ngx_analytics_alert_rule_t *rule, int64_t now, ngx_uint_t *skipped);


static const char  *ngx_analytics_alert_states[] = {
    "inactive", "pending", "firing", "resolved"
};


ngx_uint_t
ngx_analytics_alert_step(ngx_analytics_alert_t *a,
    const ngx_analytics_alert_rule_t *rule, ngx_uint_t holds, int64_t now,
    ngx_uint_t *skipped)
{
    *skipped = 0;

    /* the clock may have been set back */

    a->since = ngx_min(a->since, now);
    a->active = ngx_min(a->active, now);
    a->told_at = ngx_min(a->told_at, now);
    a->evaluated = ngx_min(a->evaluated, now);

    if (rule->pause && now - a->evaluated > rule->pause
        && a->state == NGX_ANALYTICS_ALERT_IS_PENDING)
    {
        a->active = now;
        a->since = now;
    }

    a->evaluated = now;

    if (holds == NGX_ANALYTICS_ALERT_YES) {

        if (a->state != NGX_ANALYTICS_ALERT_IS_PENDING
            && a->state != NGX_ANALYTICS_ALERT_IS_FIRING)
        {
            a->active = now;
            ngx_analytics_alert_turn(a, NGX_ANALYTICS_ALERT_IS_PENDING, now);
        }

        if (a->state == NGX_ANALYTICS_ALERT_IS_PENDING
            && now - a->active >= rule->hold)
        {
            ngx_analytics_alert_turn(a, NGX_ANALYTICS_ALERT_IS_FIRING, now);
        }

    } else if (holds == NGX_ANALYTICS_ALERT_NO) {

        if (a->state == NGX_ANALYTICS_ALERT_IS_FIRING) {
            ngx_analytics_alert_turn(a, NGX_ANALYTICS_ALERT_IS_RESOLVED, now);

        } else if (a->state == NGX_ANALYTICS_ALERT_IS_PENDING
                   || (a->state == NGX_ANALYTICS_ALERT_IS_RESOLVED
                       && now - a->since >= NGX_ANALYTICS_ALERT_RESOLVED))
        {
            ngx_analytics_alert_turn(a, NGX_ANALYTICS_ALERT_IS_INACTIVE, now);
        }
    }

    if (!rule->told) {
        a->skipped = 0;
        return NGX_ANALYTICS_NOTICE_NONE;
    }

    return ngx_analytics_alert_tell(a, rule, now, skipped);
}


static void
ngx_analytics_alert_turn(ngx_analytics_alert_t *a, ngx_uint_t state,
    int64_t now)
{
    /* what others are to hear of */

    if (state == NGX_ANALYTICS_ALERT_IS_FIRING
        || state == NGX_ANALYTICS_ALERT_IS_RESOLVED)
    {
        a->skipped++;
    }

    a->state = state;
    a->since = now;
}


/*
 * It is the state that is told, not each change: whoever was told that an
 * alert is firing, and was not told of a moment in which it was not, knows
 * what is so.
 */

static ngx_uint_t
ngx_analytics_alert_tell(ngx_analytics_alert_t *a,
    const ngx_analytics_alert_rule_t *rule, int64_t now, ngx_uint_t *skipped)
{
    ngx_uint_t  what;

    what = NGX_ANALYTICS_NOTICE_NONE;

    if (a->state == NGX_ANALYTICS_ALERT_IS_FIRING) {

        if (a->told != NGX_ANALYTICS_NOTICE_FIRING
            || (rule->repeat && now - a->told_at >= rule->repeat))
        {
            what = NGX_ANALYTICS_NOTICE_FIRING;
        }

    } else if (a->told == NGX_ANALYTICS_NOTICE_FIRING) {
        what = NGX_ANALYTICS_NOTICE_RESOLVED;
    }

    if (what == NGX_ANALYTICS_NOTICE_NONE
        || (a->told != NGX_ANALYTICS_NOTICE_NONE
            && now - a->told_at < rule->gap))
    {
        return NGX_ANALYTICS_NOTICE_NONE;
    }

    /* the change that is told is none that was left out */

    *skipped = a->skipped - (a->skipped && what != a->told);

    a->skipped = 0;
    a->told = what;
    a->told_at = now;

    return what;
}


const char *
ngx_analytics_alert_state(ngx_uint_t state)
{
    return ngx_analytics_alert_states[state];
}


ngx_uint_t
ngx_analytics_alert_push(ngx_analytics_alert_t *a, const char *id,
    int64_t at, char *body)
{
    ngx_uint_t               full;
    ngx_analytics_notice_t  *notice;

    full = (a->n == NGX_ANALYTICS_NOTICES_MAX);

    if (full) {

        /* the first may be on its way */

        ngx_analytics_alert_drop(a, 1);
    }

    notice = &a->notices[a->n++];

    ngx_memzero(notice, sizeof(ngx_analytics_notice_t));
    (void) snprintf(notice->id, sizeof(notice->id), "%s", id);

    notice->at = at;
    notice->body = body;

    return full;
}


static void
ngx_analytics_alert_drop(ngx_analytics_alert_t *a, ngx_uint_t i)
{
    free(a->notices[i].body);

    a->n--;

    ngx_memmove(&a->notices[i], &a->notices[i + 1],
                (a->n - i) * sizeof(ngx_analytics_notice_t));
}


void
ngx_analytics_alert_shift(ngx_analytics_alert_t *a)
{
    ngx_analytics_alert_drop(a, 0);
}


void
ngx_analytics_alerts_clear(ngx_analytics_alert_t *alerts, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        while (alerts[i].n) {
            ngx_analytics_alert_shift(&alerts[i]);
        }
    }
}
