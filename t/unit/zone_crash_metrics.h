
/*
 * What a process may be killed in that folds metrics, days and sessions: cases
 * for zone_crash.c.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _ZONE_CRASH_METRICS_H_INCLUDED_
#define _ZONE_CRASH_METRICS_H_INCLUDED_


#include "ngx_analytics_refold.h"


#define BY_TWO   "{\"classes\":31,\"field\":\"ms\",\"by\":\"by\",\"groups\":2}"
#define UNIQUE   "{\"classes\":33,\"types\":[\"t1\"]}"
#define PLAIN    "{\"classes\":1}"

/* so few that there is room for all of it: making room takes its own way */
#define SUMS     "{\"classes\":3,\"field\":\"ms\",\"by\":\"by\",\"groups\":2}"


/* An event with properties, of a log if it has a number. */
static void
point(ngx_analytics_zone_t *z, uint64_t seq, const char *by, int64_t time)
{
    int                    n;
    char                   text[100];
    int64_t                received;
    ngx_analytics_event_t  event;

    n = snprintf(text, sizeof(text), "{\"ms\":%d.5,\"by\":\"%s\"}",
                 (int) seq % 7 - 3, by);

    memset(&event, 0, sizeof(event));
    ngx_str_set(&event.user, "u3");
    ngx_str_set(&event.type, "t1");
    event.properties.data = (u_char *) text;
    event.properties.len = (size_t) n;
    event.time = time;

    ngx_analytics_zone_hash(z, &event, 1);

    if (seq == 0) {
        seq = ngx_analytics_zone_accept(z, 1, ZONE_NOW, &received);
    }

    ngx_analytics_zone_fold(z, &event, 1, seq, ZONE_NOW);
}


/* numbers 1 to 30 of a log, in two groups */

static void
measured(ngx_analytics_zone_t *z)
{
    uint64_t  i;

    rules_publish(z, "{\"sources\":[" BY_TWO "," UNIQUE "]}");

    for (i = 1; i <= 30; i++) {
        point(z, i, i % 3 ? "a" : "b", ZONE_NOW - (int64_t) i * ZONE_MINUTE);
    }
}


static void
measured_memory(ngx_analytics_zone_t *z)
{
    rules_publish(z, "{\"sources\":[" BY_TWO "," UNIQUE "]}");
    few(z);
}


/* who is about to take the place of b */

static void
rivalled(ngx_analytics_zone_t *z)
{
    uint64_t  i;

    measured(z);

    for (i = 31; i < 41; i++) {
        point(z, i, "c", ZONE_NOW);
    }
}


/* b and a whole measure have been given up */

static void
given_up(ngx_analytics_zone_t *z)
{
    rivalled(z);
    point(z, 41, "c", ZONE_NOW);
    rules_publish(z, "{\"sources\":[" BY_TWO "]}");
}


/* a class is wanted again that is still being given up */

static void
stale(ngx_analytics_zone_t *z)
{
    measured(z);
    rules_publish(z, "{\"sources\":[{\"classes\":1,\"field\":\"ms\","
                     "\"by\":\"by\",\"groups\":2}]}");
    rules_publish(z, "{\"sources\":[" BY_TWO "]}");
}


/* declared after 30 events */

static void
behind(ngx_analytics_zone_t *z)
{
    uint64_t  i;

    for (i = 1; i <= 30; i++) {
        point(z, i, i % 3 ? "a" : "b", ZONE_NOW - (int64_t) i * ZONE_MINUTE);
    }

    rules_publish(z, "{\"sources\":[" SUMS "]}");
    point(z, 31, "a", ZONE_NOW);
    point(z, 32, "c", ZONE_NOW);
}


/* a user of as many days as a list holds */

static void
eleven_days(ngx_analytics_zone_t *z)
{
    int  i;

    for (i = 0; i < NGX_ANALYTICS_USER_DAYS; i++) {
        zone_event(z, "u3", "t0", ZONE_NOW - i * 40 * ZONE_DAY, ZONE_NOW);
    }
}


static void
many_days(ngx_analytics_zone_t *z)
{
    eleven_days(z);
    zone_event(z, "u3", "t0", ZONE_NOW - 401 * ZONE_DAY, ZONE_NOW);
}


static void
two_sessions(ngx_analytics_zone_t *z)
{
    zone_event(z, "u3", "t0", ZONE_NOW - 3 * ZONE_DAY, ZONE_NOW);
    zone_event(z, "u3", "t0", ZONE_NOW - 50 * ZONE_MINUTE, ZONE_NOW);
    zone_event(z, "u3", "t0", ZONE_NOW, ZONE_NOW);
}


/* several events of one record, into several minutes and a new group */
static void act_points(ngx_analytics_zone_t *z)
{
    size_t                 i;
    ngx_analytics_event_t  events[4];

    static char  *texts[] = {
        "{\"ms\":1,\"by\":\"a\"}", "{\"ms\":-2.25,\"by\":\"b\"}",
        "{\"ms\":\"x\",\"by\":\"a\"}", "{\"ms\":1e9,\"by\":\"a\"}"
    };

    memset(events, 0, sizeof(events));

    for (i = 0; i < 4; i++) {
        ngx_str_set(&events[i].user, "u9");
        ngx_str_set(&events[i].type, "t1");
        events[i].properties.data = (u_char *) texts[i];
        events[i].properties.len = strlen(texts[i]);
        events[i].time = ZONE_NOW - (int64_t) i * ZONE_HOUR;
    }

    ngx_analytics_zone_hash(z, events, 4);
    ngx_analytics_zone_fold(z, events, 4, 31, ZONE_NOW + 5);
    ngx_analytics_zone_advance(z, 4096);
}

static void act_point(ngx_analytics_zone_t *z)
{ point(z, 0, "a", ZONE_NOW - ZONE_HOUR); }

static void act_rival(ngx_analytics_zone_t *z)
{ point(z, 41, "c", ZONE_NOW); }

static void act_other(ngx_analytics_zone_t *z)
{ point(z, 31, "d", ZONE_NOW); }

static void act_rules(ngx_analytics_zone_t *z)
{ rules_publish(z, "{\"sources\":[" UNIQUE "," PLAIN "]}"); }

static void act_after(ngx_analytics_zone_t *z)
{ point(z, 42, "a", ZONE_NOW); }

/* a piece of what lacks: two groups, chunks, and what was skipped */
static void act_refold(ngx_analytics_zone_t *z)
{
    u_char                          entries[200000], *p;
    ngx_uint_t                      i;
    ngx_analytics_zone_t           *some;
    ngx_analytics_record_refold_t   refold;

    some = zone_new(ngx_analytics_zone_min_size(TYPES), TYPES);

    rules_publish(some, "{\"sources\":[" SUMS "]}");

    for (i = 21; i <= 30; i++) {
        point(some, i, i % 3 ? "a" : "b",
              ZONE_NOW - (int64_t) i * ZONE_MINUTE);
    }

    refold.signature = some->measures[0].signature;
    refold.classes = 3;
    refold.from = 21;
    refold.to = 31;
    refold.since = ZONE_NOW;
    refold.entries.data = entries;

    p = ngx_analytics_refold_entries(some, refold.signature, entries,
                                     sizeof(entries));
    if (p == NULL) {
        diag("too many entries");
        exit(2);
    }

    refold.entries.len = (size_t) (p - entries);
    zone_delete(some);

    ngx_analytics_refold_apply(z, &refold);
    ngx_analytics_zone_advance(z, 4096);
}

static void act_day(ngx_analytics_zone_t *z)
{ zone_event(z, "u3", "t0", ZONE_NOW + 9 * ZONE_HOUR, ZONE_NOW); }

static void act_day_before(ngx_analytics_zone_t *z)
{ zone_event(z, "u3", "t0", ZONE_NOW - 999 * ZONE_DAY, ZONE_NOW); }

static void act_bridge(ngx_analytics_zone_t *z)
{ zone_event(z, "u3", "t0", ZONE_NOW - 25 * ZONE_MINUTE, ZONE_NOW); }

static void act_late(ngx_analytics_zone_t *z)
{ zone_event(z, "u3", "t0", ZONE_NOW - 5 * ZONE_DAY, ZONE_NOW); }

static void act_between(ngx_analytics_zone_t *z)
{ zone_event(z, "u3", "t0", ZONE_NOW - 2 * ZONE_DAY, ZONE_NOW); }

static void act_join(ngx_analytics_zone_t *z)
{ zone_event(z, "u3", "t0", ZONE_NOW - 70 * ZONE_MINUTE, ZONE_NOW); }


#define CRASH_METRICS                                                         \
    { "points of a record", measured, act_points, 1 },                       \
    { "a point in memory", measured_memory, act_point, 0 },                  \
    { "a point without a place", measured, act_other, 1 },                   \
    { "a rival gets a place", rivalled, act_rival, 1 },                      \
    { "other sources", measured, act_rules, 1 },                             \
    { "the sweep", given_up, act_after, 0 },                                 \
    { "a class that is wanted again", stale, act_after, 0 },                 \
    { "a piece of what lacks", behind, act_refold, 1 },                      \
    { "a new day", few, act_day, 0 },                                        \
    { "a day too many for a list", eleven_days, act_day, 0 },                \
    { "a day in another block", many_days, act_day_before, 0 },              \
    { "two sessions become one", two_sessions, act_bridge, 0 },              \
    { "an event of no session", two_sessions, act_late, 0 },                 \
    { "a session between two", two_sessions, act_between, 0 },               \
    { "a session that began before", two_sessions, act_join, 0 }


#endif /* _ZONE_CRASH_METRICS_H_INCLUDED_ */
