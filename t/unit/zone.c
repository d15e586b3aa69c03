
/*
 * The zone against a model that is slow and plain: every answer is worked
 * out anew from counters in ordinary tables, and must be the same.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <math.h>
#include <stdlib.h>
#include "zone_lib.h"
#include "zone_model.h"


/* Returns whether the list is exactly the first n of the sorted ones. */

static int
same_counts(ngx_analytics_count_t *got, size_t n, model_name_t **expected)
{
    size_t  i;

    qsort(got, n, sizeof(ngx_analytics_count_t), ngx_analytics_count_cmp);

    for (i = 0; i < n; i++) {
        if (got[i].count != expected[i]->count
            || got[i].name.len != expected[i]->len
            || memcmp(got[i].name.data, expected[i]->name,
                      got[i].name.len)
               != 0)
        {
            diag("row %zu: %.*s %" PRIu64 ", expected %.*s %" PRIu64, i,
                 (int) got[i].name.len, got[i].name.data,
                 (uint64_t) got[i].count,
                 (int) expected[i]->len, expected[i]->name,
                 expected[i]->count);
            return 0;
        }
    }

    return 1;
}


static void
check_totals(ngx_analytics_zone_t *z, model_t *m, int64_t received)
{
    size_t                  i;
    int64_t                 peak, hour;
    uint64_t                count;
    ngx_analytics_totals_t  totals;

    ngx_analytics_zone_totals(z, &totals);

    is_u64(totals.events, m->events, "all events are counted");
    is_u64(totals.users, m->users.n, "all users are counted");
    is_u64(totals.types, m->types.n, "all types are counted");
    ok(totals.users_exact && totals.types_exact && totals.cells_exact,
       "nothing had to be given up");
    is_u64(totals.older + totals.evicted + totals.type_overflow
           + totals.rollbacks, 0, "nothing is older, evicted or undone");
    is_i64(totals.created, ZONE_NOW, "the time of creation is kept");
    is_i64(totals.received, received, "the last time of receipt is kept");
    is_i64(totals.cells_from, 0, "the hours are complete");
    is_mem(totals.hour_of_day, sizeof(totals.hour_of_day), m->hour_of_day,
           sizeof(m->hour_of_day), "the hours of the day are right");

    for (i = 0, count = 0, peak = 0; i <= m->mask; i++) {
        if (m->cells[i].key >> 40 != model_key(1, 0, 0) >> 40) {
            continue;
        }

        hour = (int64_t) (m->cells[i].key & 0xffffffffff);

        if (m->cells[i].count > count
            || (m->cells[i].count == count && hour < peak))
        {
            count = m->cells[i].count;
            peak = hour;
        }
    }

    is_u64(totals.peak_hour_count, count, "the busiest hour's count is right");
    is_i64(totals.peak_hour, peak * ZONE_HOUR,
           "the busiest hour is the right one");
}


static void
check_lists(ngx_analytics_zone_t *z, model_t *m)
{
    size_t                  i, n, expected;
    model_name_t          **sorted;
    ngx_analytics_count_t  *list;

    static u_char  names[NGX_ANALYTICS_TOP_MAX * NGX_ANALYTICS_NAME_MAX];
    static size_t  tops[] = { 0, 1, 2, 10, 100, 999, 1000 };

    list = malloc(2001 * sizeof(ngx_analytics_count_t));

    sorted = model_sorted(&m->types);
    n = ngx_analytics_zone_types(z, 0, list, 2001);

    is_u64(n, ngx_analytics_zone_ntypes(z), "every type can be copied");

    if (list[0].count == 0) {
        list[0] = list[--n];
    }

    ok(n == m->types.n && same_counts(list, n, sorted),
       "the types are right");
    free(sorted);

    is_u64(ngx_analytics_zone_types(z, 1, list, 2), ngx_min(n, 2),
           "a part of the types can be copied");

    sorted = model_sorted(&m->users);

    for (i = 0; i < sizeof(tops) / sizeof(tops[0]); i++) {
        expected = ngx_min(tops[i], m->users.n);
        n = ngx_analytics_zone_top(z, list, tops[i], names);

        ok(n == expected && same_counts(list, n, sorted),
           "the top %zu users are right", tops[i]);
    }

    free(sorted);
    free(list);
}


/*
 * A user of more types than are told apart: "other" holds the rest, so that
 * the counts still add up, and the answer is not exact.
 */

static int
same_user_of_many(ngx_analytics_count_t *list,
    ngx_analytics_user_info_t *info, model_name_t *user)
{
    size_t    i;
    uint64_t  sum;

    for (i = 0, sum = 0; i < info->ntypes; i++) {
        sum += list[i].count;
    }

    return !info->exact
           && sum == user->count
           && info->ntypes == NGX_ANALYTICS_USER_TYPES_MAX + 1;
}


static int
same_user(ngx_analytics_zone_t *z, model_t *m, model_name_t *user,
    ngx_analytics_count_t *list)
{
    size_t                     i, j;
    ngx_str_t                  name;
    model_name_t              *type;
    ngx_analytics_user_info_t  info;

    name.data = user->name;
    name.len = user->len;

    if (ngx_analytics_zone_user(z, &name, &info, list, 2001) != NGX_OK
        || info.count != user->count
        || info.first != user->first
        || info.last != user->last)
    {
        return 0;
    }

    if (user->ntypes > NGX_ANALYTICS_USER_TYPES_MAX) {
        return same_user_of_many(list, &info, user);
    }

    if (info.ntypes != user->ntypes || !info.exact) {
        return 0;
    }

    for (i = 0; i < user->ntypes; i++) {
        type = &m->types.names[user->types[i].type];

        for (j = 0; j < info.ntypes; j++) {
            if (list[j].name.len == type->len
                && memcmp(list[j].name.data, type->name, type->len) == 0)
            {
                break;
            }
        }

        if (j == info.ntypes || list[j].count != user->types[i].count) {
            return 0;
        }
    }

    return 1;
}


static void
check_users(ngx_analytics_zone_t *z, model_t *m)
{
    size_t                      i, wrong;
    ngx_str_t                   name;
    ngx_analytics_count_t      *list;
    ngx_analytics_user_info_t   info;

    list = malloc(2001 * sizeof(ngx_analytics_count_t));

    for (i = 0, wrong = 0; i < m->users.n; i++) {
        wrong += !same_user(z, m, &m->users.names[i], list);
    }

    is_u64(wrong, 0, "every user's figures are right");

    ngx_str_set(&name, "a stranger");
    ok(ngx_analytics_zone_user(z, &name, &info, list, 2001) == NGX_DECLINED,
       "a stranger is not known");

    free(list);
}


/* The sums of all series over a part of a chunk, against their cells. */

static void
check_sums(ngx_analytics_zone_t *z, int64_t received)
{
    size_t       wrong;
    int64_t      first;
    uint64_t    *sums, cells[NGX_ANALYTICS_CHUNK];
    ngx_uint_t   series, nseries, i, n, skip;

    nseries = ngx_analytics_series(ngx_analytics_zone_ntypes(z));
    wrong = 0;

    for (skip = 0; skip < NGX_ANALYTICS_CHUNK; skip += 9) {
        n = NGX_ANALYTICS_CHUNK - skip;
        first = received / ZONE_MINUTE / NGX_ANALYTICS_CHUNK
                * NGX_ANALYTICS_CHUNK + (int64_t) skip;

        sums = calloc(nseries, sizeof(uint64_t));
        ngx_analytics_zone_sums(z, NGX_ANALYTICS_MINUTES, first, n, sums,
                                nseries);

        for (series = 0; series < nseries; series++) {
            ngx_analytics_zone_cells(z, NGX_ANALYTICS_MINUTES, series, first,
                                     cells, n);

            for (i = 0; i < n; i++) {
                sums[series] -= cells[i];
            }

            wrong += sums[series] != 0;
        }

        free(sums);
    }

    is_u64(wrong, 0, "the minutes of all series add up");
}


static void
check_cells(ngx_analytics_zone_t *z, model_t *m, int64_t received,
    int64_t oldest)
{
    size_t      series, id, i, j, n, wrong;
    int64_t     first;
    uint64_t   *counts, hours, minutes;
    u_char     *name;

    ngx_analytics_count_t   type;

    wrong = 0;
    counts = malloc(100000 * sizeof(uint64_t));

    for (id = 0; id <= ngx_analytics_zone_ntypes(z); id++) {

        /* the model numbers its types otherwise */

        series = 0;

        if (id) {
            ngx_analytics_zone_types(z, id - 1, &type, 1);
            name = type.name.data;

            for (i = 0; i < m->types.n; i++) {
                if (m->types.names[i].len == type.name.len
                    && memcmp(m->types.names[i].name, name, type.name.len) == 0)
                {
                    series = i + 1;
                }
            }

            if (series == 0) {
                continue;
            }
        }

        /* hours, from before the first to after the last */

        first = oldest / ZONE_HOUR - 100;
        n = (size_t) ((received + 25 * ZONE_HOUR) / ZONE_HOUR - first);
        ngx_analytics_zone_cells(z, NGX_ANALYTICS_HOURS, id, first, counts,
                                 n);

        for (j = 0, hours = 0; j < n; j++) {
            wrong += counts[j] != model_cell_count(m,
                                  model_key(1, series, first + (int64_t) j));
            hours += counts[j];
        }

        wrong += hours != (id ? m->types.names[series - 1].count
                              : m->events);

        /* the last 2880 minutes and a day ahead, in two parts */

        first = received / ZONE_MINUTE - 2879;
        n = 2880 + 1440;
        ngx_analytics_zone_cells(z, NGX_ANALYTICS_MINUTES, id, first, counts,
                                 1111);
        ngx_analytics_zone_cells(z, NGX_ANALYTICS_MINUTES, id, first + 1111,
                                 counts + 1111, n - 1111);

        for (j = 0, minutes = 0; j < n; j++) {
            wrong += counts[j] != model_cell_count(m,
                                  model_key(0, series, first + (int64_t) j));
            minutes += counts[j];
        }

        wrong += minutes > hours;
    }

    is_u64(wrong, 0, "every cell of every type is right");

    free(counts);
}


/* a name of which about one in ten is long, made of its number only */

static size_t
make_name(u_char *dst, const char *prefix, uint64_t n)
{
    size_t  len, full;

    len = (size_t) sprintf((char *) dst, "%s%" PRIu64, prefix, n);

    if (n % 10 == 7) {
        full = len + (n * 7919) % (256 - len);

        while (len < full) {
            dst[len] = (u_char) ('!' + (n + len) % 90);
            len++;
        }
    }

    return len;
}


static int64_t
make_time(int64_t received)
{
    switch (zone_random(10)) {

    case 0:
        return NGX_ANALYTICS_TIME_NONE;

    case 1:                                   /* ahead, by up to a day */
        return received + (int64_t) zone_random((uint64_t) ZONE_DAY);

    case 2:                                   /* late, by up to 40 days */
        return received - (int64_t) zone_random((uint64_t) (40 * ZONE_DAY));

    default:                                  /* unordered, within hours */
        return received - (int64_t) zone_random((uint64_t) (5 * ZONE_HOUR));
    }
}


/* few users have most of the events */

static uint64_t
skewed(uint64_t n)
{
    double  x;

    x = (double) zone_random(1000000) / 1000000;

    return (uint64_t) ((double) n * pow(x, 4));
}


static void
run(uint64_t seed, size_t nevents, uint64_t nusers, uint64_t ntypes)
{
    size_t                  i, k, n, next, disorder;
    int64_t                 now, received, last, oldest;
    uint64_t                id;
    model_t                 m;
    ngx_analytics_zone_t   *z;
    ngx_analytics_event_t   events[NGX_ANALYTICS_FOLD_MAX];

    static u_char  users[NGX_ANALYTICS_FOLD_MAX][256];
    static u_char  types[NGX_ANALYTICS_FOLD_MAX][256];

    diag("seed %" PRIu64 ": %zu events, %" PRIu64 " users, %" PRIu64 " types",
         seed, nevents, nusers, ntypes);

    zone_seed = seed;
    now = ZONE_NOW;
    oldest = ZONE_NOW - 40 * ZONE_DAY;
    next = nevents / 5;
    received = now;
    last = now;
    disorder = 0;

    model_init(&m);
    memset(events, 0, sizeof(events));
    z = zone_new(256 << 20, 1000);

    check_totals(z, &m, now);
    check_lists(z, &m);

    for (i = 0; i < nevents; i += n) {
        n = 1 + zone_random(NGX_ANALYTICS_FOLD_MAX);

        for (k = 0; k < n; k++) {
            events[k].user.data = users[k];
            events[k].user.len = make_name(users[k], "u", skewed(nusers));
            events[k].type.data = types[k];
            events[k].type.len = make_name(types[k], "type ",
                                           skewed(ntypes));
            events[k].time = make_time(now);
        }

        /* a clock that goes back is not believed */

        now += (int64_t) zone_random(120 * (uint64_t) ZONE_SECOND)
               - 10 * ZONE_SECOND;

        id = ngx_analytics_zone_accept(z, n, now, &received);

        disorder += (id != i + 1 || received < now || received < last);
        last = received;

        ngx_analytics_zone_hash(z, events, n);
        disorder += (ngx_analytics_zone_fold(z, events, n, id, received)
                     != id + n);

        for (k = 0; k < n; k++) {
            model_fold(&m, &events[k], received);
        }

        if (i + n >= next) {
            check_totals(z, &m, received);
            check_lists(z, &m);
            check_users(z, &m);
            check_cells(z, &m, received, oldest);
            check_sums(z, received);
            zone_sound(z, "a zone with room");
            next += nevents / 5;
        }
    }

    is_u64(disorder, 0, "events are numbered from 1 and received in order");

    zone_delete(z);
    model_free(&m);
}


/* With a window the last hours are whole and the old ones only counted. */

static void
run_window(void)
{
    size_t                    i, wrong, older_least, older_most;
    int64_t                   t, first;
    uint64_t                 *counts, *expected;
    ngx_analytics_zone_t     *z;
    ngx_analytics_totals_t    totals;

    zone_seed = 77;
    older_least = 0;
    older_most = 0;

    z = zone_new(16 << 20, 10);

    rules_totals(z, 10 * ZONE_DAY);

    first = (ZONE_NOW - 10 * ZONE_DAY) / ZONE_HOUR;
    counts = calloc(1000, sizeof(uint64_t));
    expected = calloc(1000, sizeof(uint64_t));

    for (i = 0; i < 20000; i++) {
        t = ZONE_NOW - (int64_t) zone_random((uint64_t) (30 * ZONE_DAY));

        zone_event(z, "u", "t", t, ZONE_NOW);

        if (t / ZONE_HOUR >= first) {
            expected[t / ZONE_HOUR - first]++;
        }

        older_most += t < ZONE_NOW - 10 * ZONE_DAY;
        older_least += t < ZONE_NOW - 10 * ZONE_DAY - 64 * ZONE_HOUR;
    }

    ngx_analytics_zone_cells(z, NGX_ANALYTICS_HOURS, NGX_ANALYTICS_SERIES_ALL,
                             first, counts, 10 * 24 + 1);

    for (i = 0, wrong = 0; i < 10 * 24 + 1; i++) {
        wrong += counts[i] != expected[i];
    }

    is_u64(wrong, 0, "the hours inside the window are whole");

    ngx_analytics_zone_totals(z, &totals);

    is_u64(totals.events, 20000, "an event older than the window counts");
    ok(totals.older >= older_least && totals.older <= older_most,
       "what is older than the window is counted as older");
    ok(totals.cells_exact, "leaving the window is not a loss for room");
    ok(totals.cells_from <= ZONE_NOW - 10 * ZONE_DAY
       && totals.cells_from > ZONE_NOW - 10 * ZONE_DAY - 64 * ZONE_HOUR,
       "the hours are complete since the window's start");

    /* a month later all of this is behind the window, and is given back */

    for (i = 0; i < 100; i++) {
        zone_event(z, "u", "t", NGX_ANALYTICS_TIME_NONE,
                   ZONE_NOW + 31 * ZONE_DAY);
    }

    is_u64(zone_chunks(z, NGX_ANALYTICS_MINUTES)
           + zone_chunks(z, NGX_ANALYTICS_HOURS), 4,
           "chunks outside the windows are given back");
    ngx_analytics_zone_cells(z, NGX_ANALYTICS_HOURS, NGX_ANALYTICS_SERIES_ALL,
                             first, counts, 1000);

    for (i = 0, wrong = 0; i < 1000; i++) {
        wrong += (size_t) counts[i];
    }

    is_u64(wrong, 100, "the new hour is all that the window shows");

    zone_sound(z, "a zone with a window");
    zone_delete(z);
    free(counts);
    free(expected);
}


/* Of hours that are equally busy the earliest counts. */

static void
run_peak(void)
{
    ngx_analytics_zone_t    *z;
    ngx_analytics_totals_t   totals;

    z = zone_new(16 << 20, 10);

    zone_event(z, "u", "t", ZONE_NOW, ZONE_NOW);
    zone_event(z, "u", "t", ZONE_NOW + ZONE_HOUR, ZONE_NOW);
    ngx_analytics_zone_totals(z, &totals);
    is_i64(totals.peak_hour, ZONE_NOW, "a later hour as busy is no peak");

    zone_event(z, "u", "t", ZONE_NOW - 1, ZONE_NOW);
    ngx_analytics_zone_totals(z, &totals);
    is_i64(totals.peak_hour, ZONE_NOW - ZONE_HOUR,
           "an earlier hour as busy is the peak");

    zone_event(z, "u", "t", ZONE_NOW + ZONE_HOUR, ZONE_NOW);
    ngx_analytics_zone_totals(z, &totals);
    is_i64(totals.peak_hour, ZONE_NOW + ZONE_HOUR,
           "a busier hour is the peak");
    is_u64(totals.peak_hour_count, 2, "the peak has its count");

    zone_delete(z);
}


int
main(int argc, char **argv)
{
    uint64_t  seed;

    if (argc > 1) {
        seed = strtoull(argv[1], NULL, 10);
        run(seed, 200000, 50000, 300);
        return done_testing();
    }

    run(1, 300000, 30000, 40);
    run(2, 100000, 100000, 900);
    run(3, 20000, 30, 3);
    run_window();
    run_peak();

    return done_testing();
}
