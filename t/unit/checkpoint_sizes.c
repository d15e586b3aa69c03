
/*
 * Checkpoints read into smaller zones: what stays, what leaves, and that it is
 * told.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "checkpoint_world.h"


/* Returns how many users are known from number i on, without a gap. */

static uint64_t
known_from(ngx_analytics_zone_t *z, uint64_t i, uint64_t n, const char *form)
{
    char                       name[300];
    uint64_t                   known;
    ngx_str_t                  user;
    ngx_analytics_count_t      types[8];
    ngx_analytics_user_info_t  info;

    for (known = 0; i < n; i++) {
        user.data = (u_char *) name;
        user.len = (size_t) sprintf(name, form, i);

        if (ngx_analytics_zone_user(z, &user, &info, types, 8) != NGX_OK) {
            known = 0;
            continue;
        }

        known += info.exact;
    }

    return known;
}


/*
 * 60 busy users come first and never again, 300 come first and once more,
 * and then 4000 come by once.
 */
static void
test_idle_leave(void)
{
    int                      k;
    char                     name[64];
    size_t                   size;
    uint64_t                 i, left;
    ngx_analytics_zone_t    *z, *two;
    ngx_analytics_totals_t   totals;

    size = ngx_analytics_zone_min_size(10) + 150000;
    z = zone_new(SIZE, 10);

    for (k = 0; k < 10; k++) {
        for (i = 0; i < 60; i++) {
            sprintf(name, "busy%" PRIu64, i);
            zone_event(z, name, "t", ZONE_NOW, ZONE_NOW);
        }
    }

    for (k = 0; k < 2; k++) {
        for (i = 0; i < 300; i++) {
            sprintf(name, "twice%" PRIu64, i);
            zone_event(z, name, "t", ZONE_NOW, ZONE_NOW);
        }
    }

    for (i = 0; i < 4000; i++) {
        sprintf(name, "once%" PRIu64, i);
        zone_event(z, name, "t", ZONE_NOW, ZONE_NOW);
    }

    lib_write(z);
    two = lib_read(size, 10);

    zone_sound(two, "a smaller zone");
    ngx_analytics_zone_totals(two, &totals);

    is_u64(totals.events, 600 + 600 + 4000, "no event is forgotten");
    ok(!totals.users_exact, "that users had to leave is told");
    is_u64(totals.evicted, 4360 - two->live, "so is how many");
    is_u64(known_from(two, 0, 60, "busy%" PRIu64), 60,
           "the most active stay");

    /* besides the top, room is for fewer than came by: the last ones */

    ok(two->live > 500 && two->live < 2000, "it is much too small");

    left = two->live - two->top_size;
    ok(known_from(two, 0, 4000, "once%" PRIu64) >= left * 9 / 10,
       "the longest idle leave");
    is_u64(known_from(two, 4000 - left * 9 / 10, 4000, "once%" PRIu64),
           left * 9 / 10, "and what is known of the others is exact");

    zone_event(two, "once0", "t", ZONE_NOW, ZONE_NOW);
    is_u64(known_from(two, 0, 1, "once%" PRIu64), 0,
           "who comes again is not");

    zone_delete(two);
    zone_delete(z);
    lib_empty();
}


/*
 * All have been here once, and every third one again.  Of two zones that new
 * ones come to, the one that was read forgets the same.
 */
static void
test_hand(void)
{
    char                    name[64];
    size_t                  size;
    uint64_t                i, n;
    const char             *wrong;
    ngx_analytics_zone_t   *z, *two;

    size = ngx_analytics_zone_min_size(10) + 100000;
    z = zone_new(size, 10);
    n = z->users.nblocks + z->users.nblocks / 3;

    for (i = 0; i < n; i++) {
        sprintf(name, "u%" PRIu64, n - i);
        zone_event(z, name, "t", ZONE_NOW, ZONE_NOW);
    }

    for (i = 0; i < n; i += 3) {
        sprintf(name, "u%" PRIu64, n - i);

        if (known_from(z, n - i, n - i + 1, "u%" PRIu64)) {
            zone_event(z, name, "t", ZONE_NOW, ZONE_NOW);
        }
    }

    ok(z->hand > 10 && z->hand < z->users.bump - 10,
       "users have left, and not all are asked");

    lib_write(z);
    two = lib_read(size, 10);

    for (i = 0; i < z->users.nblocks / 2; i++) {
        sprintf(name, "v%" PRIu64, i);
        zone_event(z, name, "t", ZONE_NOW, ZONE_NOW);
        zone_event(two, name, "t", ZONE_NOW, ZONE_NOW);
    }

    for (i = 0, wrong = NULL; i <= n && wrong == NULL; i++) {
        sprintf(name, "u%" PRIu64, i);
        wrong = lib_same_user(z, two, name);
    }

    lib_same(wrong, "the same ones leave next");
    zone_sound(two, "a zone whose users left");

    zone_delete(two);
    zone_delete(z);
    lib_empty();
}


/* Users of so many types that the top alone does not fit. */

static void
test_no_room(void)
{
    char                     name[64], type[32];
    uint64_t                 i, k;
    ngx_analytics_zone_t    *z, *two;
    ngx_analytics_totals_t   totals;

    z = zone_new(SIZE, 200);

    for (i = 0; i < 400; i++) {
        for (k = 0; k < 120; k++) {
            sprintf(name, "u%" PRIu64, i);
            lib_type(type, k);
            zone_event(z, name, type, ZONE_NOW, ZONE_NOW);
        }
    }

    lib_write(z);
    two = lib_read(ngx_analytics_zone_min_size(200), 200);
    ngx_analytics_zone_totals(two, &totals);

    zone_sound(two, "a zone that has no room for its top");
    ok(two->live > 10, "some users stay");
    is_u64(totals.evicted + two->live, 400, "and each other one has left");
    is_u64(totals.events, 400 * 120, "no event is forgotten");

    zone_delete(two);
    zone_delete(z);
    lib_empty();
}


static void
test_smaller(void)
{
    size_t                   i, lost, size;
    uint64_t                 events;
    world_t                  w;
    const char              *wrong;
    ngx_analytics_key_t      key;
    ngx_analytics_zone_t    *two;
    ngx_analytics_totals_t   a, b;

    size = ngx_analytics_zone_min_size(1000) + 300000;

    world_new(&w, SIZE, 1000, USERS, 20);
    world_events(&w, 60000);
    lib_write(w.z);

    two = lib_read(size, 1000);

    zone_sound(two, "a much smaller zone");
    lib_same(model_says(&w, two, 0), "its users are as the model says");
    lib_same(model_says_hours(&w, two), "so are the hours that it has");
    lib_same(model_says_top(&w, two), "and the most active");

    ngx_analytics_zone_totals(w.z, &a);
    ngx_analytics_zone_totals(two, &b);

    is_u64(b.events, a.events, "it knows of all events");
    ok(!b.cells_exact && b.cells_from > a.cells_from,
       "the oldest hours have left, which it tells");
    ok(b.cells_from < w.received - 2 * ZONE_DAY, "and the last days have not");
    ok(!b.users_exact, "users have left, which it tells");
    is_u64(b.users, w.m.users.n * 98 / 100 < b.users
                    && b.users < w.m.users.n * 102 / 100
                    ? b.users : w.m.users.n, "it knows how many there were");
    ok(b.types_exact, "it tells all types apart");

    /* the newest keys are those that were added last */

    for (i = 0, wrong = NULL, lost = 0; i < w.nkeys && !wrong; i++) {
        if (ngx_analytics_keys_find(two, w.keys[i], w.received, &key)
            != NGX_OK)
        {
            wrong = (lost == i) ? NULL : "a key in the middle";
            lost++;
        }
    }

    lib_same(wrong, "the oldest keys have left");
    is_u64(w.nkeys - lost, two->keys_max, "as few as possible");

    ngx_analytics_keys_find(w.z, w.keys[lost - 1], w.received, &key);
    is_i64(ngx_analytics_keys_window(two, w.received),
           w.received - key.received, "it tells how far back they go");

    /* and it goes on */

    events = w.m.events;
    zone_delete(w.z);
    w.z = two;
    world_events(&w, 20000);
    zone_sound(two, "a smaller zone goes on");
    ngx_analytics_zone_totals(two, &b);
    is_u64(b.events, events + 20000, "and counts");

    world_free(&w);
    lib_empty();
}


/* Each user's types, where those that come first by their names' ids stay. */

static const char *
fewer_types(world_t *w, ngx_analytics_zone_t *z)
{
    size_t                      i, k, t;
    uint64_t                    expected[300];
    ngx_str_t                   name;
    model_name_t               *u;
    ngx_analytics_count_t       types[300];
    ngx_analytics_user_info_t   info;

    for (i = 0; i < w->m.users.n; i++) {
        u = &w->m.users.names[i];
        name.data = u->name;
        name.len = u->len;

        memset(expected, 0, sizeof(expected));

        for (k = 0; k < u->ntypes; k++) {
            t = u->types[k].type;
            expected[t < 20 ? t + 1 : 0] += u->types[k].count;
        }

        ZONE_REQUIRE(ngx_analytics_zone_user(z, &name, &info, types, 300)
                     == NGX_OK);
        ZONE_REQUIRE(info.count == u->count);

        if (!info.exact) {
            continue;
        }

        for (k = 0; k < info.ntypes; k++) {
            t = (size_t) (types[k].name.data
                          - ngx_analytics_type(z, 0)->name)
                / sizeof(ngx_analytics_type_t);

            ZONE_REQUIRE(t <= 20 && types[k].count == expected[t]);
            expected[t] = 0;
        }

        for (t = 0; t <= 20; t++) {
            ZONE_REQUIRE(expected[t] == 0);
        }
    }

    return NULL;
}


/* 200 types read into a zone that tells 20 apart. */

static void
test_fewer_types(void)
{
    size_t                   i, n;
    int64_t                  hour;
    uint64_t                 other, count, expected;
    world_t                  w;
    const char              *wrong;
    ngx_analytics_zone_t    *two;
    ngx_analytics_totals_t   a, b;
    ngx_analytics_count_t    types[300];

    world_new(&w, SIZE, 1000, 500, 200);
    world_events(&w, 20000);
    lib_write(w.z);

    two = lib_read(SIZE, 20);
    zone_sound(two, "a zone of fewer types");

    for (i = 20, other = 0; i < w.m.types.n; i++) {
        other += w.m.types.names[i].count;
    }

    n = ngx_analytics_zone_types(two, 0, types, 300);
    is_u64(n, 21, "it has as many types as it may");
    is_u64(types[0].count, other, "the others count as \"other\"");

    for (i = 1, wrong = NULL; i < n; i++) {
        wrong = (types[i].count == w.m.types.names[i - 1].count)
                ? wrong : "a count";
    }

    lib_same(wrong, "and the first ones as before");

    ngx_analytics_zone_totals(w.z, &a);
    ngx_analytics_zone_totals(two, &b);
    is_u64(b.type_overflow, other, "it tells how many events these are");
    ok(!b.types_exact, "and that types are not exact");
    is_u64(b.events, a.events, "it knows of all events");
    lib_same(fewer_types(&w, two), "users have fewer types, too");

    for (hour = FIRST_HOUR, wrong = NULL; hour <= LAST_HOUR; hour++) {
        for (i = 20, expected = 0; i < w.m.types.n; i++) {
            expected += model_cell_count(&w.m, model_key(1, i + 1, hour));
        }

        ngx_analytics_zone_cells(two, NGX_ANALYTICS_HOURS,
                                 ngx_analytics_series(0), hour, &count, 1);
        wrong = (count == expected) ? wrong : "an hour";
    }

    lib_same(wrong, "the hours of \"other\" are those of all that it is");

    zone_delete(two);
    world_free(&w);
    lib_empty();
}


int
main(void)
{
    lib_open();

    test_smaller();
    test_idle_leave();
    test_hand();
    test_no_room();
    test_fewer_types();

    lib_close();

    return done_testing();
}
