
/*
 * Random events for the tests of checkpoints, and what a slow model says of
 * them.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _CHECKPOINT_WORLD_H_INCLUDED_
#define _CHECKPOINT_WORLD_H_INCLUDED_


#include "checkpoint_lib.h"
#include "zone_model.h"


#define SIZE        (32 * 1024 * 1024)
#define USERS       4000
#define TYPES       300
#define KEYS        20000

#define FIRST_HOUR  (ZONE_NOW / ZONE_HOUR - 40 * 24)
#define LAST_HOUR   (ZONE_NOW / ZONE_HOUR + 10 * 24)


typedef struct {
    ngx_analytics_zone_t  *z;
    model_t                m;
    int64_t                received;
    uint64_t               nusers;
    uint64_t               ntypes;
    uint64_t               keys[KEYS];   /* hashes */
    size_t                 nkeys;
} world_t;


ZONE_UNUSED
static void
world_new(world_t *w, size_t size, ngx_uint_t types, uint64_t nusers,
    uint64_t ntypes)
{
    memset(w, 0, sizeof(world_t));

    w->z = zone_new(size, types);
    w->received = ZONE_NOW;
    w->nusers = nusers;
    w->ntypes = ntypes;

    model_init(&w->m);
}


ZONE_UNUSED
static void
world_free(world_t *w)
{
    zone_delete(w->z);
    model_free(&w->m);
}


ZONE_UNUSED
static int64_t
world_time(int64_t received)
{
    switch (zone_random(16)) {
    case 0:
        return received - (int64_t) zone_random((uint64_t) (30 * ZONE_DAY));
    case 1:
        return received + (int64_t) zone_random((uint64_t) ZONE_DAY);
    case 2:
        return NGX_ANALYTICS_TIME_NONE;
    default:
        return received - (int64_t) zone_random((uint64_t) (3 * ZONE_HOUR));
    }
}


/* User 0 is active in every way there is, and the lower ones more. */

ZONE_UNUSED
static void
world_events(world_t *w, size_t n)
{
    char                   user[300], type[32], id[32];
    size_t                 i;
    uint64_t               u, t;
    ngx_analytics_event_t  event;

    for (i = 0; i < n; i++) {
        w->received += (int64_t) zone_random((uint64_t) ZONE_SECOND);

        u = zone_random(zone_random(w->nusers) + 1);
        t = (u % 16 == 0) ? zone_random(w->ntypes)
                          : (u * 7 + zone_random(3)) % w->ntypes;

        lib_user(user, u);
        lib_type(type, t);
        id[0] = '\0';

        if (i % 4 == 0 && w->nkeys < KEYS) {
            sprintf(id, "id%zu", w->nkeys);
        }

        lib_event(w->z, &event, user, type, id, world_time(w->received),
                  w->received);
        model_fold(&w->m, &event, w->received);

        if (id[0]) {
            w->keys[w->nkeys++] = event.id_hash;
        }
    }

    ngx_analytics_zone_advance(w->z, ngx_analytics_zone_position(w->z)
                                     + 128 + n);
}


ZONE_UNUSED
static const char *
same_users(world_t *w, ngx_analytics_zone_t *two)
{
    char         name[300];
    size_t       i;
    const char  *wrong;

    for (i = 0, wrong = NULL; i < w->nusers && wrong == NULL; i++) {
        lib_user(name, i);
        wrong = lib_same_user(w->z, two, name);
    }

    return wrong;
}


/* The model's users, who were all told apart, against the zone's. */

ZONE_UNUSED
static const char *
model_says(world_t *w, ngx_analytics_zone_t *z, int all)
{
    size_t                      i, k, sum;
    ngx_str_t                   name;
    model_name_t               *u;
    ngx_analytics_count_t       types[200];
    ngx_analytics_user_info_t   info;

    for (i = 0; i < w->m.users.n; i++) {
        u = &w->m.users.names[i];
        name.data = u->name;
        name.len = u->len;

        if (ngx_analytics_zone_user(z, &name, &info, types, 200) != NGX_OK) {
            ZONE_REQUIRE(!all);
            continue;
        }

        ZONE_REQUIRE(info.count == u->count);
        ZONE_REQUIRE(info.first == u->first && info.last == u->last);

        for (k = 0, sum = 0; k < info.ntypes; k++) {
            sum += types[k].count;
        }

        if (!info.exact) {
            continue;
        }

        ZONE_REQUIRE(sum == u->count);
        ZONE_REQUIRE(info.ntypes == u->ntypes);
    }

    return NULL;
}


ZONE_UNUSED
static const char *
model_says_hours(world_t *w, ngx_analytics_zone_t *z)
{
    int64_t                 hour, from;
    uint64_t                count, n;
    size_t                  type;
    ngx_analytics_totals_t  totals;

    ngx_analytics_zone_totals(z, &totals);

    from = ngx_max(FIRST_HOUR, totals.cells_from / ZONE_HOUR);

    for (hour = from; hour <= LAST_HOUR; hour++) {

        /* "other" is the first type of the zone, which the model lacks */

        for (type = 0; type <= w->m.types.n; type++) {
            n = model_cell_count(&w->m, model_key(1, type, hour));

            ngx_analytics_zone_cells(z, NGX_ANALYTICS_HOURS,
                                     type ? type + 1 : 0, hour, &count, 1);
            ZONE_REQUIRE(count == n);
        }
    }

    return NULL;
}


ZONE_UNUSED
static const char *
model_says_top(world_t *w, ngx_analytics_zone_t *z)
{
    size_t                        i, n;
    const char                   *wrong;
    model_name_t                **sorted;
    static u_char                 names[1000 * 255];
    static ngx_analytics_count_t  top[1000];

    n = ngx_analytics_zone_top(z, top, 1000, names);
    qsort(top, n, sizeof(ngx_analytics_count_t), ngx_analytics_count_cmp);

    sorted = model_sorted(&w->m.users);

    for (i = 0, wrong = NULL; i < n; i++) {
        if (top[i].count != sorted[i]->count
            || top[i].name.len != sorted[i]->len
            || memcmp(top[i].name.data, sorted[i]->name, sorted[i]->len) != 0)
        {
            wrong = "a row";
        }
    }

    free(sorted);

    return (n == ngx_min(w->m.users.n, z->top_max)) ? wrong : "the length";
}


#endif /* _CHECKPOINT_WORLD_H_INCLUDED_ */
