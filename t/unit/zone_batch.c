
/*
 * Events that come together are folded together, as far as there is room for
 * all that they change: whenever a transaction ends, the metrics have the
 * events that the totals have.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "zone_points.h"
#include "ngx_analytics_arena.h"


#define TYPES   500
#define TOTAL   NGX_ANALYTICS_FOLD_MAX

/* figures of each type, and of all */
#define BY_TYPE                                                               \
    "{\"sources\":[{\"classes\":31,\"field\":\"ms\","                         \
    "\"by\":\":type\",\"groups\":1000}]}"

/* most types are of the rest there */
#define OTHERS                                                                \
    "{\"sources\":[{\"classes\":31,\"field\":\"ms\"},"                        \
    "{\"classes\":1,\"by\":\":type\",\"groups\":10}]}"

#define PLAIN   "{\"sources\":[{\"classes\":3,\"field\":\"ms\"}]}"


typedef struct {
    char  user[256];
    char  type[20];
    char  id[20];
    char  properties[40];
} texts_t;


static size_t                 torn;          /* transactions */
static size_t                 ended;
static ngx_analytics_event_t  events[TOTAL];
static texts_t                texts[TOTAL];


/* Each event has a number; there is one measure. */

static void
compare(ngx_analytics_zone_t *z)
{
    uint64_t  points;

    points = zone_points(z, 0, NGX_ANALYTICS_PLANE_COUNT);

    if (points != z->events && torn++ == 0) {
        diag("%zu events and %zu points", (size_t) z->events,
             (size_t) points);
    }

    ended++;
}


/* Event number i, of a user with a name of so many bytes. */

static void
make(ngx_uint_t k, uint64_t i, ngx_uint_t ntypes, size_t len)
{
    texts_t                *t;
    ngx_analytics_event_t  *event;

    t = &texts[k];
    event = &events[k];

    memset(event, 0, sizeof(ngx_analytics_event_t));
    memset(t->user, 'u', sizeof(t->user));

    event->user.data = (u_char *) t->user;
    event->user.len = len;
    t->user[snprintf(t->user, sizeof(t->user), "%zu", (size_t) i)] = '-';

    event->type.data = (u_char *) t->type;
    event->type.len = (size_t) sprintf(t->type, "t%zu",
                                       (size_t) (i % ntypes));

    event->id.data = (u_char *) t->id;
    event->id.len = (size_t) sprintf(t->id, "%zu", (size_t) i);

    event->properties.data = (u_char *) t->properties;
    event->properties.len = (size_t) sprintf(t->properties, "{\"ms\":%zu}",
                                             (size_t) i);
    event->time = ZONE_NOW - (int64_t) (i % 60) * ZONE_SECOND;
}


/* Folds n events in lists of so many. */

static void
fold(ngx_analytics_zone_t *z, uint64_t n, ngx_uint_t list, ngx_uint_t ntypes,
    size_t len)
{
    int64_t     received;
    uint64_t    i, first;
    ngx_uint_t  k;

    torn = 0;
    ended = 0;
    ngx_analytics_undo_high = 0;
    ngx_analytics_committed = compare;

    for (i = 0; i < n; i += list) {

        for (k = 0; k < list; k++) {
            make(k, i + k, ntypes, len);
        }

        first = ngx_analytics_zone_accept(z, list, ZONE_NOW, &received);
        ngx_analytics_zone_hash(z, events, list);
        ngx_analytics_zone_fold(z, events, list, first, received);
    }

    ngx_analytics_committed = NULL;
}


static void
check(ngx_analytics_zone_t *z, uint64_t n, const char *what)
{
    is_u64(z->events, n, "%s: all events", what);
    is_u64(torn, 0, "%s: no transaction ends with events that metrics lack",
           what);
    is_u64(zone_points(z, 0, NGX_ANALYTICS_PLANE_SUM), n * (n - 1) / 2,
           "%s: the sum is exact", what);
    is_u64(z->measures[0].inexact, 0, "%s: there was room for all points",
           what);
    ok(ngx_analytics_undo_high <= NGX_ANALYTICS_UNDO_MAX,
       "%s: %zu words of %d", what, (size_t) ngx_analytics_undo_high,
       NGX_ANALYTICS_UNDO_MAX);
    zone_sound(z, what);
}


int
main(void)
{
    size_t                 size;
    ngx_analytics_zone_t  *z;

    z = zone_new(64 << 20, TYPES);
    rules_publish(z, PLAIN);
    fold(z, 20 * TOTAL, TOTAL, 3, 20);
    check(z, 20 * TOTAL, "lists that fit");
    ok(ended < 20 * 8, "they take few transactions: %zu", ended);
    zone_delete(z);

    z = zone_new(64 << 20, TYPES);
    rules_publish(z, BY_TYPE);
    fold(z, TOTAL, TOTAL, TOTAL, 255);
    check(z, TOTAL, "many figures");
    zone_delete(z);

    z = zone_new(64 << 20, TYPES);
    rules_publish(z, OTHERS);
    fold(z, TOTAL, TOTAL, TOTAL, 255);
    check(z, TOTAL, "more words than there is room for");
    ok(ngx_analytics_undo_high > NGX_ANALYTICS_UNDO_MAX / 4 * 3,
       "these are many words");
    zone_delete(z);

    size = 2 * ngx_analytics_zone_min_size(TYPES);

    z = zone_new(size, TYPES);
    rules_publish(z, PLAIN);
    fold(z, 6000, 50, 3, 100);
    check(z, 6000, "users without room");
    ok(z->evicted > 0 || z->refused > 0, "some had to leave");
    zone_delete(z);

    return done_testing();
}
