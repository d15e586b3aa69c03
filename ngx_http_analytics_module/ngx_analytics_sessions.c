
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_dailies.h"
#include "ngx_analytics_sessions.h"


static void ngx_analytics_session_late(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, ngx_analytics_user_t *user, int64_t time);
static void ngx_analytics_session_drop(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user);
static void ngx_analytics_session_begin(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, ngx_analytics_user_t *user, ngx_uint_t i,
    int64_t time);
static void ngx_analytics_session_join(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, ngx_analytics_user_t *user, ngx_uint_t i,
    int64_t time);
static void ngx_analytics_session_bridge(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, ngx_analytics_user_t *user);
static void ngx_analytics_session_count(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, ngx_analytics_session_t *session,
    int64_t n);
static void ngx_analytics_session_put(ngx_analytics_zone_t *z,
    ngx_analytics_session_t *session, int64_t start, int64_t end);


/* Whether an instant is of a session: the silence around it is short enough. */

static ngx_inline ngx_uint_t
ngx_analytics_session_holds(ngx_analytics_rules_t *rules,
    ngx_analytics_session_t *session, int64_t time)
{
    uint64_t  silence;

    silence = (time < session->start)
              ? (uint64_t) session->start - (uint64_t) time
              : (time > session->end)
              ? (uint64_t) time - (uint64_t) session->end : 0;

    return silence < (uint64_t) rules->session;
}


void
ngx_analytics_sessions_fold(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, uint32_t block, int64_t time)
{
    ngx_analytics_user_t     *user;
    ngx_analytics_session_t  *last;

    user = ngx_analytics_user(z, block);
    last = user->sessions;

    if (ngx_analytics_sessions_known(user) == 0) {
        ngx_analytics_session_begin(z, rules, user, 0, time);
        return;
    }

    if (ngx_analytics_session_holds(rules, last, time)) {

        if (time < last->start || time > last->end) {
            ngx_analytics_session_join(z, rules, user, 0, time);
        }

        if (ngx_analytics_sessions_known(user) > 1
            && ngx_analytics_session_holds(rules, &user->sessions[1],
                                           last->start))
        {
            ngx_analytics_session_bridge(z, rules, user);
        }

        return;
    }

    if (time > last->end) {
        ngx_analytics_session_drop(z, user);
        ngx_analytics_session_put(z, &user->sessions[1], last->start,
                                  last->end);
        ngx_analytics_session_begin(z, rules, user, 0, time);
        return;
    }

    ngx_analytics_session_late(z, rules, user, time);
}


/* Before the last session, and not of it. */

static void
ngx_analytics_session_late(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, ngx_analytics_user_t *user, int64_t time)
{
    ngx_analytics_session_t  *session;

    session = &user->sessions[1];

    if (ngx_analytics_sessions_known(user) > 1) {

        if (ngx_analytics_session_holds(rules, session, time)) {

            if (time < session->start || time > session->end) {
                ngx_analytics_session_join(z, rules, user, 1, time);
            }

            return;
        }

        if (time > session->end) {
            ngx_analytics_session_drop(z, user);
            ngx_analytics_session_begin(z, rules, user, 1, time);
            return;
        }

    } else if (!(user->nsessions & NGX_ANALYTICS_SESSIONS_MORE)) {
        ngx_analytics_session_begin(z, rules, user, 1, time);
        return;
    }

    ngx_analytics_add(z, &z->late, 1);
}


/* The last but one is over for good. */

static void
ngx_analytics_session_drop(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user)
{
    if (ngx_analytics_sessions_known(user) > 1) {
        ngx_analytics_put8(z, &user->nsessions,
                           NGX_ANALYTICS_SESSIONS_MORE | 1);
    }
}


static void
ngx_analytics_session_begin(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, ngx_analytics_user_t *user, ngx_uint_t i,
    int64_t time)
{
    ngx_analytics_session_put(z, &user->sessions[i], time, time);
    ngx_analytics_session_count(z, rules, &user->sessions[i], 1);

    if (ngx_analytics_sessions_known(user) < NGX_ANALYTICS_USER_SESSIONS) {
        ngx_analytics_put8(z, &user->nsessions, user->nsessions + 1);
    }
}


static void
ngx_analytics_session_join(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, ngx_analytics_user_t *user, ngx_uint_t i,
    int64_t time)
{
    ngx_analytics_session_t  *session;

    session = &user->sessions[i];

    if (time > session->end) {
        ngx_analytics_daily_add(z, NGX_ANALYTICS_DAILY_SESSION_TIME,
                            ngx_analytics_daily_of(rules, session->start),
                            (int64_t) ((uint64_t) time
                                       - (uint64_t) session->end));

        ngx_analytics_put_time(z, &session->end, time);
        return;
    }

    /* it may have begun on an earlier day now */

    ngx_analytics_session_count(z, rules, session, -1);
    ngx_analytics_put_time(z, &session->start, time);
    ngx_analytics_session_count(z, rules, session, 1);
}


/* The last two have become one. */

static void
ngx_analytics_session_bridge(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, ngx_analytics_user_t *user)
{
    ngx_analytics_session_t  *last, *before;

    last = &user->sessions[0];
    before = &user->sessions[1];

    ngx_analytics_session_count(z, rules, last, -1);
    ngx_analytics_session_count(z, rules, before, -1);

    ngx_analytics_put_time(z, &last->start, before->start);
    ngx_analytics_session_count(z, rules, last, 1);

    ngx_analytics_put8(z, &user->nsessions, user->nsessions - 1);
}


static void
ngx_analytics_session_count(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, ngx_analytics_session_t *session,
    int64_t n)
{
    ngx_uint_t  day;

    day = ngx_analytics_daily_of(rules, session->start);

    ngx_analytics_daily_add(z, NGX_ANALYTICS_DAILY_SESSIONS, day, n);

    if (session->end > session->start) {
        ngx_analytics_daily_add(z, NGX_ANALYTICS_DAILY_SESSION_TIME, day,
                                n * (int64_t) ((uint64_t) session->end
                                           - (uint64_t) session->start));
    }
}


static void
ngx_analytics_session_put(ngx_analytics_zone_t *z,
    ngx_analytics_session_t *session, int64_t start, int64_t end)
{
    ngx_analytics_put_time(z, &session->start, start);
    ngx_analytics_put_time(z, &session->end, end);
}
