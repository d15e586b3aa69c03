
/*
 * The zone at its bounds: full of users, of types, of cells; times and names
 * at their limits.  It never fails, what it says is exact is exact, and what
 * has to leave is what was promised to leave.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <stdlib.h>
#include "zone_ask.h"
#include "zone_lib.h"


#define NOW_HOUR  (ZONE_NOW / ZONE_HOUR)


/* a million users of 3 types each, and a year of the hours of 50 types */

static void
test_capacity(void)
{
    size_t                 i, k, n, empty, wrong;
    int64_t                start;
    uint64_t              *cells, sum;
    ngx_analytics_zone_t  *z;
    char                   users[64][32], types[64][16];
    ngx_analytics_event_t  events[64];

    z = zone_new(254 << 20, 1000);
    ngx_analytics_zone_totals(z, &totals);
    empty = totals.memory_used;
    start = (NOW_HOUR - 8759) * ZONE_HOUR;

    memset(events, 0, sizeof(events));

    for (i = 0; i < 3000000; i += n) {
        n = 60;

        for (k = 0; k < n; k++) {
            events[k].user.data = (u_char *) users[k];
            events[k].user.len = (size_t) sprintf(users[k], "user-%015zu",
                                                  (i + k) / 3);
            events[k].type.data = (u_char *) types[k];
            events[k].type.len = (size_t) sprintf(types[k], "t%zu",
                                        ((i + k) / 3 + (i + k) % 3) % 50);
            events[k].time = start;
        }

        ngx_analytics_zone_hash(z, events, n);
        ngx_analytics_zone_fold(z, events, n, 0, ZONE_NOW);
    }

    ngx_analytics_zone_totals(z, &totals);
    sum = totals.memory_used;

    is_u64(z->users.used, 1000000,
           "a name of 20 bytes and 3 types take one block");

    for (i = 0; i < 8760; i++) {
        for (k = 0; k < 50; k++) {
            events[k].time = start + (int64_t) i * ZONE_HOUR;
            events[k].type.len = (size_t) sprintf(types[k], "t%zu", k);
        }

        ngx_analytics_zone_hash(z, events, 50);
        ngx_analytics_zone_fold(z, events, 50, 0, ZONE_NOW);
    }

    ngx_analytics_zone_totals(z, &totals);

    is_u64(totals.users, 1000000, "a million users fit into 256 MB");
    is_u64(totals.evicted, 0, "nobody had to leave");
    ok(totals.users_exact && totals.types_exact && totals.cells_exact,
       "a million users and a year of 50 types by the hour are exact");
    ok(totals.memory_used < totals.memory_size, "there is still room");

    cells = malloc(8760 * sizeof(uint64_t));
    wrong = 0;

    for (k = 0; k <= 50; k++) {
        ngx_analytics_zone_cells(z, NGX_ANALYTICS_HOURS,
                                 k ? ngx_analytics_series(k)
                                   : NGX_ANALYTICS_SERIES_ALL,
                                 start / ZONE_HOUR, cells, 8760);

        wrong += cells[0] != (k ? 60001 : 3000050);

        for (i = 1; i < 8760; i++) {
            wrong += cells[i] != (k ? 1 : 50);
        }
    }

    is_u64(wrong, 0, "every hour of the year is right");

    diag("%.1f bytes a user (%u of a block, the rest its bucket); room for "
         "%u users", (double) (sum - empty) / 1000000
                     + (double) (z->users_mask + 1) * 4 / z->users.nblocks,
         z->users.size, z->users.nblocks);
    diag("the year of 50 types takes %.1f MB, there is room for %.1f",
         (double) (totals.memory_used - sum) / 1048576,
         (double) z->cells.nblocks * z->cells.size / 1048576);

    zone_sound(z, "a million users");
    zone_delete(z);
    free(cells);
}


/* strangers come and go, regulars and the top stay */

static void
test_users(void)
{
    int                    i, k, n, missing, left;
    char                   name[32];
    double                 error;
    uint64_t               events, regulars[100];
    ngx_analytics_zone_t  *z;

    z = zone_new(1 << 20, 10);
    n = (int) z->users.nblocks * 10;
    events = 0;
    memset(regulars, 0, sizeof(regulars));

    for (i = 0; i < (int) z->top_max; i++) {
        sprintf(name, "top%d", i);

        for (k = 0; k < 100; k++, events++) {
            zone_event(z, name, "t", ZONE_NOW, ZONE_NOW);
        }
    }

    for (i = 0; i < n; i++, events++) {
        sprintf(name, "stranger%d", i);
        zone_event(z, name, "s", ZONE_NOW, ZONE_NOW);

        if (i % 10 == 0) {
            sprintf(name, "regular%d", i / 10 % 100);
            zone_event(z, name, "t", ZONE_NOW, ZONE_NOW);
            regulars[i / 10 % 100]++;
            events++;
        }
    }

    for (i = 0, missing = 0; i < (int) z->top_max; i++) {
        sprintf(name, "top%d", i);
        missing += !known(z, name) || info.count != 100 || !info.exact;
    }

    is_i64(missing, 0, "who is in the top never leaves");
    is_u64(ngx_analytics_zone_top(z, counts, 1000, names), z->top_max,
           "the top is as long as it can be");

    for (i = 0, missing = 0; i < 100; i++) {
        sprintf(name, "regular%d", i);
        missing += !known(z, name) || !info.exact
                   || info.count != regulars[i];
    }

    is_i64(missing, 0, "who is active stays");

    for (i = n - (int) z->users.nblocks / 2, missing = 0; i < n; i++) {
        sprintf(name, "stranger%d", i);
        missing += !known(z, name);
    }

    is_i64(missing, 0, "the last to come are there");

    for (i = 0, left = 0; i < n - 2 * (int) z->users.nblocks; i++) {
        sprintf(name, "stranger%d", i);
        left += known(z, name);
    }

    is_i64(left, 0, "the longest idle have left");

    ngx_analytics_zone_totals(z, &totals);

    is_u64(totals.events, events, "a full zone counts every event");
    is_u64(type_count(z, "s"), (uint64_t) n,
           "a full zone counts every event in its type");
    ok(!totals.users_exact && totals.types_exact && totals.cells_exact,
       "only the users are no longer exact");
    is_u64(totals.evicted + z->live, (uint64_t) n + 100 + z->top_max,
           "who left is counted");

    error = ((double) totals.users / (n + 100 + z->top_max) - 1) * 100;
    ok(error < 3 && error > -3, "the estimate of %" PRIu64 " users is %.2f %% "
       "off", (uint64_t) totals.users, error);
    ok(totals.memory_used > totals.memory_size / 2
       && totals.memory_used <= totals.memory_size,
       "the zone shows that it is full");

    zone_event(z, "stranger0", "s", ZONE_NOW, ZONE_NOW);
    ok(known(z, "stranger0") && info.count == 1 && !info.exact,
       "who comes back starts anew and says that it may not be all");

    zone_sound(z, "full of users");
    zone_delete(z);
}


static void
test_types(void)
{
    int                    i, k;
    char                   name[32];
    uint64_t               cells[1];
    ngx_analytics_zone_t  *z;

    z = zone_new(1 << 20, 20);

    zone_event(z, "u", "other", ZONE_NOW, ZONE_NOW);
    ngx_analytics_zone_totals(z, &totals);
    ok(totals.types_exact && totals.types == 1 && totals.type_overflow == 0,
       "a type may be called other");

    for (k = 0; k < 3; k++) {
        for (i = 0; i < 100; i++) {
            sprintf(name, "type%d", i);
            zone_event(z, "u", name, ZONE_NOW, ZONE_NOW);
        }
    }

    ngx_analytics_zone_totals(z, &totals);

    is_u64(totals.types, 21, "as many types as configured, and other");
    is_u64(ngx_analytics_zone_ntypes(z), 21, "other has an id, too");
    is_u64(totals.type_overflow, 240, "what did not fit is counted");
    ok(!totals.types_exact && totals.users_exact && totals.cells_exact,
       "only the types are no longer exact");
    is_u64(type_count(z, "type19"), 3, "the last type that fits is counted");
    is_u64(type_count(z, "other"), 241, "the rest is other");

    ngx_analytics_zone_cells(z, NGX_ANALYTICS_HOURS, ngx_analytics_series(0),
                             NOW_HOUR, cells, 1);
    is_u64(cells[0], 241, "other has cells");

    ok(known(z, "u") && info.ntypes == 21 && info.exact
       && count_of(counts, info.ntypes, "other") == 241
       && count_of(counts, info.ntypes, "type7") == 3,
       "a user of more types than fit a block");

    ok(ngx_analytics_zone_types(z, 21, counts, 5) == 0
       && ngx_analytics_zone_types(z, 20, counts, 5) == 1,
       "there are no types behind the last");

    zone_sound(z, "full of types");
    zone_delete(z);
}


static void
receive(ngx_analytics_zone_t *z, const char *type, int64_t time,
    int64_t received)
{
    ngx_analytics_event_t  event;

    memset(&event, 0, sizeof(event));

    ngx_str_set(&event.user, "u");
    event.type.data = (u_char *) type;
    event.type.len = strlen(type);
    event.time = time;

    ngx_analytics_zone_hash(z, &event, 1);
    ngx_analytics_zone_fold(z, &event, 1, 0, received);
}


/*
 * A thousand types at any time that an event may have, against others that
 * happen now.
 */
static void
test_times(size_t size)
{
    int                    i, k;
    char                   name[32];
    size_t                 wrong;
    int64_t                now, time, late;
    uint32_t              *all, *type;
    uint64_t               cells[1], sum;
    ngx_analytics_zone_t  *z;

    zone_seed = size;
    z = zone_new(size, 1000);
    all = calloc(HOURS_MAX, sizeof(uint32_t));
    type = calloc(HOURS_MAX, sizeof(uint32_t));
    now = ZONE_NOW;

    for (i = 0; i < 300000; i++) {
        now += (int64_t) zone_random((uint64_t) (2 * ZONE_SECOND));
        time = (int64_t) zone_random((uint64_t) (now + ZONE_DAY));

        if (i % 4 == 1) {
            time = now + (int64_t) zone_random((uint64_t) ZONE_DAY);
        }

        k = (int) zone_random(1000);

        if (i % 4 == 2) {
            time = now;
            k = 500;
        }

        sprintf(name, "type%d", k);
        zone_event(z, "u", name, time, now);

        all[time / ZONE_HOUR]++;

        if (k == 500) {
            type[time / ZONE_HOUR]++;
        }
    }

    ngx_analytics_zone_totals(z, &totals);
    is_u64(totals.events, 300000, "hostile times: every event is counted");
    ok(!totals.cells_exact, "hostile times: the cells say that some are lost");

    if (size >= 8 << 20) {
        ok(totals.cells_from <= now, "hostile times: the hours of now are "
           "kept, since %.1f hours", (double) (now - totals.cells_from)
                                     / ZONE_HOUR);
    }

    if (size >= 24 << 20) {
        ok(totals.cells_from < now - 30 * ZONE_DAY, "hostile times: minutes "
           "ahead do not push out the past");
    }

    is_u64(wrong_hours(z, NGX_ANALYTICS_SERIES_ALL, all), 0,
           "hostile times: the newest hours are right");

    for (k = 0; k < (int) ngx_analytics_zone_ntypes(z); k++) {
        ngx_analytics_zone_types(z, (ngx_uint_t) k, counts, 1);

        if (counts[0].name.len == 7
            && memcmp(counts[0].name.data, "type500", 7) == 0) {
            break;
        }
    }

    is_u64(wrong_hours(z, ngx_analytics_series(k), type), 0,
           "hostile times: the newest hours of a type are right");

    ngx_analytics_zone_cells(z, NGX_ANALYTICS_MINUTES,
                             NGX_ANALYTICS_SERIES_ALL, now / ZONE_MINUTE,
                             cells, 1);
    sum = cells[0];
    zone_event(z, "u", "type500", now, now);
    ngx_analytics_zone_cells(z, NGX_ANALYTICS_MINUTES,
                             NGX_ANALYTICS_SERIES_ALL, now / ZONE_MINUTE,
                             cells, 1);
    ok(size < 8 << 20 || cells[0] == sum + 1,
       "hostile times: the minute of now is counted");

    ok(totals.memory_used <= totals.memory_size, "hostile times: the memory "
       "is bounded");
    zone_sound(z, "hostile times");

    /* the caller refuses these, and still nothing may break */

    for (i = 0, wrong = 0; i < 1000; i++) {
        late = INT64_MAX - (int64_t) zone_random(2);
        late >>= zone_random(64);
        zone_event(z, "u", "t", zone_random(2) ? late : -late, now);
    }

    zone_event(z, "u", "t", INT64_MIN + 1, now);
    zone_event(z, "u", "t", INT64_MAX, now);

    for (i = 0; i < 64; i++) {
        ngx_analytics_zone_cells(z, i % 2, NGX_ANALYTICS_SERIES_ALL,
                                 INT64_MAX - i / 2, cells, 1);
        wrong += cells[0] != 0;
        ngx_analytics_zone_cells(z, i % 2, NGX_ANALYTICS_SERIES_ALL,
                                 INT64_MIN + i / 2, cells, 1);
        wrong += cells[0] != 0;
    }

    is_u64(wrong, 0, "what cannot be kept is 0");
    zone_sound(z, "impossible times");

    /* nor a receipt before 1970 or at the end of time */

    for (i = 0; i < 3000; i++) {
        sprintf(name, "type%d", i % 1000);
        receive(z, name, i % 3 ? now : NGX_ANALYTICS_TIME_NONE,
                -ZONE_DAY * i);
    }

    receive(z, "t", now, INT64_MIN + 1);
    zone_sound(z, "a receipt before 1970");

    receive(z, "t", NGX_ANALYTICS_TIME_NONE, INT64_MAX);
    receive(z, "t", now, now);
    zone_sound(z, "a receipt at the end of time");

    zone_delete(z);
    free(all);
    free(type);
}


/* a receipt far in the future: the minutes before are gone, nothing breaks */

static void
test_gap(void)
{
    int                    i;
    char                   name[32];
    uint64_t              *cells, sum;
    ngx_analytics_zone_t  *z;

    z = zone_new(4 << 20, 1000);
    cells = malloc(10000 * sizeof(uint64_t));

    for (i = 0; i < 1000; i++) {
        sprintf(name, "type%d", i);
        zone_event(z, "u", name, ZONE_NOW - i * ZONE_MINUTE, ZONE_NOW);
    }

    zone_event(z, "u", "type0", ZONE_NOW + 365 * ZONE_DAY,
               ZONE_NOW + 365 * ZONE_DAY);

    ngx_analytics_zone_cells(z, NGX_ANALYTICS_MINUTES,
                             NGX_ANALYTICS_SERIES_ALL,
                             ZONE_NOW / ZONE_MINUTE - 5000, cells, 10000);

    for (i = 0, sum = 0; i < 10000; i++) {
        sum += cells[i];
    }

    is_u64(sum, 0, "minutes of a year ago are not kept");

    ngx_analytics_zone_cells(z, NGX_ANALYTICS_HOURS,
                             NGX_ANALYTICS_SERIES_ALL, NOW_HOUR - 5000, cells,
                             10000);

    for (i = 0, sum = 0; i < 10000; i++) {
        sum += cells[i];
    }

    is_u64(sum, 1000, "hours of a year ago are");
    zone_sound(z, "after a gap");

    for (i = 0; i < 2000; i++) {
        zone_event(z, "u", "type0", ZONE_NOW + 365 * ZONE_DAY,
                   ZONE_NOW + 365 * ZONE_DAY);
    }

    ok(z->expired == 0
       && z->cells.used <= 1001 * 2 + 4, "old minutes are given back");

    zone_sound(z, "after the gap was swept");
    zone_delete(z);
    free(cells);
}


/*
 * Times so far ahead that their place in a ring is that of now: 32768 * 64
 * hours, 128 * 64 minutes, and what does not fit 32 bits.
 */
static void
test_rings(void)
{
    size_t                 i;
    uint64_t               cells[1];
    ngx_analytics_zone_t  *z;

    static int64_t  ahead[] = {
        32768 * 64 * ZONE_HOUR,
        128 * 64 * ZONE_MINUTE,
        ((int64_t) 1 << 31) * 64 * ZONE_MINUTE
    };

    z = zone_new(1 << 20, 10);

    for (i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
        zone_event(z, "u", "t", ZONE_NOW, ZONE_NOW);
        zone_event(z, "u", "t", ZONE_NOW + ahead[i], ZONE_NOW);
        zone_event(z, "u", "t", ZONE_NOW, ZONE_NOW);

        ngx_analytics_zone_cells(z, NGX_ANALYTICS_HOURS,
                                 NGX_ANALYTICS_SERIES_ALL, NOW_HOUR, cells,
                                 1);
        is_u64(cells[0], (i + 1) * 2, "an hour too far ahead, case %zu: the "
               "hour of now is right", i);

        ngx_analytics_zone_cells(z, NGX_ANALYTICS_MINUTES,
                                 NGX_ANALYTICS_SERIES_ALL,
                                 ZONE_NOW / ZONE_MINUTE, cells, 1);
        is_u64(cells[0], (i + 1) * 2, "a minute too far ahead, case %zu: the "
               "minute of now is right", i);

        ngx_analytics_zone_totals(z, &totals);
        ok(!totals.cells_exact, "what is too far ahead for a cell is told");
        zone_sound(z, "too far ahead");
    }

    zone_delete(z);
}


static void
test_names(void)
{
    int                    i;
    char                   user[256], type[256];
    ngx_analytics_zone_t  *z;

    z = zone_new(ngx_analytics_zone_min_size(10), 10);

    ngx_analytics_zone_totals(z, &totals);
    ok(totals.memory_used > 0 && totals.memory_used < totals.memory_size,
       "an empty zone of the least size");

    for (i = 1; i <= 255; i++) {
        memset(user, 'a', (size_t) i);
        user[i - 1] = '!';
        user[i] = '\0';
        memset(type, 'b', (size_t) i);
        type[i] = '\0';

        zone_event(z, user, i < 246 ? "x" : type, ZONE_NOW, ZONE_NOW);

        if (!known(z, user) || info.count != 1
            || count_of(counts, info.ntypes, i < 246 ? "x"
                        : i < 255 ? type : "other") != 1)
        {
            ok(0, "a name of %d bytes is known", i);
        }
    }

    ok(known(z, user), "names of 1 to 255 bytes are known");

    user[254] = '?';
    ok(!known(z, user), "all bytes of a name matter");

    zone_event(z, user, "x", ZONE_NOW, ZONE_NOW);
    zone_event(z, user, "x", ZONE_NOW, ZONE_NOW);
    ok(ngx_analytics_zone_top(z, counts, 1, names) == 1 && counts[0].count == 2
       && counts[0].name.len == 255
       && memcmp(counts[0].name.data, user, 255) == 0,
       "a name of 255 bytes in the top");

    zone_sound(z, "long names");
    zone_delete(z);
}


static void
test_create(void)
{
    u_char                     *mem;
    size_t                      size;
    ngx_analytics_zone_conf_t   conf;

    conf.types = 1000;
    conf.key[0] = 1;
    conf.key[1] = 2;
    conf.now = ZONE_NOW;

    size = ngx_analytics_zone_min_size(1000);
    mem = calloc(1, size);

    ok(ngx_analytics_zone_create(mem, size - 1, &conf) == NULL,
       "a byte too few is refused");
    ok(size <= 1000 * 1024, "a thousand types fit into the least of 1 MB");
    ok(ngx_analytics_zone_create(mem, size, &conf) != NULL,
       "the least size is taken");

    conf.types = NGX_ANALYTICS_TYPES_MAX + 1;
    ok(ngx_analytics_zone_create(mem, size, &conf) == NULL,
       "more types than can be are refused");

    conf.types = 0;
    ok(ngx_analytics_zone_create(mem, size, &conf) == NULL,
       "no types are refused");

    free(mem);

    conf.types = NGX_ANALYTICS_TYPES_MAX;
    size = ngx_analytics_zone_min_size(conf.types);
    mem = calloc(1, size);
    ok(ngx_analytics_zone_create(mem, size, &conf) != NULL,
       "as many types as can be are taken");
    free(mem);
}


int
main(void)
{
    test_create();
    test_names();
    test_types();
    test_users();
    test_gap();
    test_rings();
    test_times(24 << 20);
    test_times(8 << 20);
    test_times(1 << 20);
    test_capacity();

    return done_testing();
}
