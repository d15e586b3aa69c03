
/*
 * Events that come together without a log are folded together, and a process
 * may be killed amid them: for zone_crash.c.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _ZONE_CRASH_BATCH_H_INCLUDED_
#define _ZONE_CRASH_BATCH_H_INCLUDED_


#define BATCH    24
#define BEFORE   3


/*
 * Each is a point of the metric; new users and groups are among them.  The
 * zone is a small one, and there is room for all.
 */

static void
act_together(ngx_analytics_zone_t *z)
{
    int                    i;
    char                   texts[BATCH][100], users[BATCH][20];
    int64_t                received;
    uint64_t               first;
    ngx_analytics_event_t  events[BATCH];

    memset(events, 0, sizeof(events));

    for (i = 0; i < BATCH; i++) {
        events[i].user.data = (u_char *) users[i];
        events[i].user.len = (size_t) sprintf(users[i], "u%d", i % 9);
        ngx_str_set(&events[i].type, "t1");
        events[i].properties.data = (u_char *) texts[i];
        events[i].properties.len =
                (size_t) sprintf(texts[i], "{\"ms\":%d.5,\"by\":\"%c\"}",
                                 i - 5, "aabc"[i % 4]);
        events[i].time = ZONE_NOW - i * ZONE_MINUTE;
    }

    first = ngx_analytics_zone_accept(z, BATCH, ZONE_NOW, &received);
    ngx_analytics_zone_hash(z, events, BATCH);
    ngx_analytics_zone_fold(z, events, BATCH, first, received);
}


static void
some_in_memory(ngx_analytics_zone_t *z)
{
    int  i;

    rules_publish(z, "{\"sources\":[{\"classes\":1,\"field\":\"ms\","
                     "\"by\":\"by\",\"groups\":2}]}");

    for (i = 0; i < BEFORE; i++) {
        point(z, 0, "a", ZONE_NOW - i * ZONE_MINUTE);
    }
}


static void
crash_batch(void)
{
    size_t     wrong, unsound, undone;
    uint64_t   events, points;
    ngx_int_t  m, point, step;

    zone = zone_new(zone_size, TYPES);
    some_in_memory(zone);
    m = declared_find(zone, "ms");
    copy_zone(base, zone);

    wrong = 0;
    unsound = 0;
    undone = 0;
    step = getenv("ANALYTICS_TORTURE") ? 1 : 11;

    for (point = 1; killed_at(act_together, point); point += step) {

        undone += zone->undo_count > BATCH;
        (void) ngx_analytics_zone_recover(zone);

        events = zone->events;
        points = zone_points(zone, m, NGX_ANALYTICS_PLANE_COUNT);

        if ((points != events
             || (events != BEFORE && events != BEFORE + BATCH))
            && wrong++ == 0)
        {
            diag("killed at point %zd: %zu events, %zu points",
                 (ssize_t) point, (size_t) events, (size_t) points);
        }

        unsound += zone_check(zone) != NULL;

        copy_zone(zone, base);
    }

    is_u64(wrong, 0, "events without a log: all of them, in the totals as in "
           "the metrics, or none, killed at %zd points",
           (ssize_t) ((point - 1) / step));
    ok(undone > 9, "a half of them was undone");
    is_u64(unsound, 0, "the zone is sound");
    is_u64(zone_points(zone, m, NGX_ANALYTICS_PLANE_COUNT), BEFORE + BATCH,
           "and with all of them");

    zone_delete(zone);
}


#endif /* _ZONE_CRASH_BATCH_H_INCLUDED_ */
