
/*
 * Metrics that are declared by a new configuration between a fold that was
 * killed and the one that does it again: what is in them, and what lacks
 * according to them, are all events together.  For zone_crash.c.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _ZONE_CRASH_DECLARED_H_INCLUDED_
#define _ZONE_CRASH_DECLARED_H_INCLUDED_


#include "zone_points.h"


#define BOTH     "{\"sources\":[" SUMS "," PLAIN "]}"
#define ONLY     "{\"sources\":[" PLAIN "]}"
#define AS_SUMS  "{\"sources\":[" SUMS "]}"


typedef struct {
    const char            *name;
    prepare_pt             prepare;
    act_pt                 act;
    const char            *then[2];    /* is declared, one after another */
    uint32_t               classes;    /* of what is looked at, */
    const char            *field;      /* and which one it is */
    uint64_t               events;     /* that there are in the end */
} declared_case_t;


/* numbers 1 to 30, and so few figures that there is room for all */

static void
summed(ngx_analytics_zone_t *z)
{
    uint64_t  i;

    rules_publish(z, AS_SUMS);

    for (i = 1; i <= 30; i++) {
        point(z, i, i % 3 ? "a" : "b", ZONE_NOW - (int64_t) i * ZONE_MINUTE);
    }
}


static declared_case_t  declared_cases[] = {
    { "a metric amid a record", summed, act_points, { BOTH, NULL }, 1, NULL,
      34 },
    { "the same, and not the others", summed, act_points, { ONLY, NULL }, 1,
      NULL, 34 },
    { "a metric amid what lacks of another", behind, act_refold,
      { BOTH, NULL }, 1, NULL, 32 },
    { "a metric in place of what lacks", behind, act_refold, { ONLY, NULL },
      1, NULL, 32 },
    { "a metric given up amid what lacks, and wanted again", behind,
      act_refold, { ONLY, AS_SUMS }, 3, "ms", 32 }
};


/* The measure of a source without types, by what it has as a field. */

static ngx_int_t
declared_find(ngx_analytics_zone_t *z, const char *field)
{
    ngx_uint_t               i;
    ngx_analytics_rules_t   *rules;
    ngx_analytics_source_t  *source;

    rules = ngx_analytics_zone_rules(z);

    for (i = 0; i < rules->n; i++) {
        source = &rules->sources[i];

        if (source->ntypes == 0 && (source->field.len != 0) == (field != NULL))
        {
            return ngx_analytics_measures_find(z, source->signature);
        }
    }

    return NGX_ERROR;
}


/* Whether each event is in the metric, or lacks according to it. */

static int
declared_right(ngx_analytics_zone_t *z, declared_case_t *c)
{
    uint64_t   from;
    ngx_int_t  m;

    while (ngx_analytics_zone_settle(z) == NGX_AGAIN) { /* void */ }

    m = declared_find(z, c->field);

    if (m == NGX_ERROR || z->measures[m].classes != c->classes) {
        return 0;
    }

    from = z->measures[m].since[0].from;

    return z->refolded == 0
           && z->events == z->seq
           && z->seq == c->events
           && zone_points(z, m, NGX_ANALYTICS_PLANE_COUNT)
              + (from ? from - 1 : 0) == c->events;
}


static void
crash_declared(declared_case_t *c)
{
    size_t     wrong, unsound;
    ngx_int_t  point, step;

    zone = zone_new(zone_size, TYPES);
    c->prepare(zone);
    copy_zone(base, zone);

    wrong = 0;
    unsound = 0;
    step = getenv("ANALYTICS_TORTURE") ? 1 : 7;

    for (point = 1; killed_at(c->act, point); point += step) {

        (void) ngx_analytics_zone_recover(zone);

        rules_publish(zone, c->then[0]);

        if (c->then[1]) {
            rules_publish(zone, c->then[1]);
        }

        c->act(zone);

        if (!declared_right(zone, c) && wrong++ == 0) {
            diag("killed at point %zd: refolded %zu, events %zu, seq %zu",
                 (ssize_t) point, (size_t) zone->refolded,
                 (size_t) zone->events, (size_t) zone->seq);
        }

        unsound += zone_check(zone) != NULL;

        copy_zone(zone, base);
    }

    is_u64(wrong, 0, "%s: each event once, killed at %zd points", c->name,
           (ssize_t) ((point - 1) / step));
    is_u64(unsound, 0, "%s: the zone is sound", c->name);

    zone_delete(zone);
}


#endif /* _ZONE_CRASH_DECLARED_H_INCLUDED_ */
