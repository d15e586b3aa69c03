
/*
 * Random events on tiny zones.  Whatever is said to be exact is compared
 * with plain counters.
 *
 *     zone_fuzz [first seed] [last seed]
 *
 * Copyright (C) The nginx analytics authors
 */


#include <stdlib.h>
#include "zone_ask.h"
#include "zone_lib.h"


#define FUZZ_USERS   3000
#define FUZZ_TYPES   60

typedef struct {
    uint64_t   users[FUZZ_USERS];
    uint64_t   types[FUZZ_TYPES];
    uint32_t  *hours;
    uint64_t   events;
} fuzz_model_t;


static void
fuzz_name(char *name, uint64_t n)
{
    size_t  len;

    len = (size_t) sprintf(name, "%" PRIu64 "/", n);
    memset(name + len, 'x', (n * 37) % 250);
    name[len + (n * 37) % 250] = '\0';
}


static int64_t
fuzz_time(int64_t now)
{
    switch (zone_random(8)) {
    case 0:
        return (int64_t) zone_random((uint64_t) now);
    case 1:
        return now + (int64_t) zone_random((uint64_t) ZONE_DAY);
    case 2:
        return now - (int64_t) zone_random((uint64_t) (100 * ZONE_DAY));
    default:
        return now - (int64_t) zone_random((uint64_t) (3 * ZONE_HOUR));
    }
}


/* Returns NULL or what the zone said that is not so. */

static const char *
fuzz_check(ngx_analytics_zone_t *z, fuzz_model_t *m)
{
    char       name[300];
    size_t     i, n, users;
    uint64_t   sum;

    ngx_analytics_zone_totals(z, &totals);

    for (i = 0, users = 0; i < FUZZ_USERS; i++) {
        users += m->users[i] > 0;
        fuzz_name(name, i);

        if (!known(z, name)) {
            ZONE_REQUIRE(m->users[i] == 0 || !totals.users_exact);
            continue;
        }

        for (n = 0, sum = 0; n < info.ntypes; n++) {
            sum += counts[n].count;
        }

        ZONE_REQUIRE(info.count <= m->users[i]);
        ZONE_REQUIRE(sum <= info.count);
        ZONE_REQUIRE(!info.exact || sum == m->users[i]);
    }

    ZONE_REQUIRE(totals.events == m->events);
    ZONE_REQUIRE(!totals.users_exact || totals.users == users);
    ZONE_REQUIRE(totals.memory_used <= totals.memory_size);

    for (i = 0, sum = 0; i < FUZZ_TYPES; i++) {
        sprintf(name, "type%zu", i);
        n = (size_t) type_count(z, name);
        sum += n;
        ZONE_REQUIRE(n == m->types[i] || (n == 0 && !totals.types_exact));
    }

    ZONE_REQUIRE(sum + type_count(z, "other") == m->events);
    ZONE_REQUIRE(type_count(z, "other") == totals.type_overflow);
    ZONE_REQUIRE(wrong_hours(z, NGX_ANALYTICS_SERIES_ALL, m->hours) == 0);

    return zone_check(z);
}


static void
test_fuzz(uint64_t seed)
{
    int                       i, k;
    char                      name[300], type[32];
    int64_t                   now, time;
    uint64_t                  user, nusers, ntypes;
    const char               *wrong;
    fuzz_model_t             *m;
    ngx_analytics_zone_t     *z;

    zone_seed = seed;
    now = ZONE_NOW;
    wrong = NULL;

    k = 1 + (int) zone_random(50);
    z = zone_new(ngx_analytics_zone_min_size((ngx_uint_t) k)
                 + zone_random(1 << zone_random(20)), (ngx_uint_t) k);

    m = calloc(1, sizeof(fuzz_model_t));
    m->hours = calloc(HOURS_MAX, sizeof(uint32_t));

    nusers = 1 + zone_random(FUZZ_USERS);
    ntypes = 1 + zone_random(FUZZ_TYPES);

    if (zone_random(3) == 0) {
        rules_totals(z, (int64_t) zone_random(40) * ZONE_DAY);
    }

    for (i = 1; i <= 8000 && wrong == NULL; i++) {
        now += (int64_t) zone_random((uint64_t) ZONE_MINUTE);

        if (zone_random(1000) == 0) {
            now += (int64_t) zone_random((uint64_t) (9 * ZONE_DAY));
        }

        if (now / ZONE_HOUR > HOURS_MAX - 48) {
            break;
        }

        user = zone_random(1 + zone_random(nusers));
        fuzz_name(name, user);
        k = (int) zone_random(ntypes);
        sprintf(type, "type%d", k);
        time = fuzz_time(now);

        zone_event(z, name, type, time, now);

        m->users[user]++;
        m->types[k]++;
        m->hours[time / ZONE_HOUR]++;
        m->events++;

        if (i % 2000 == 0) {
            wrong = fuzz_check(z, m);

        } else if (i % 100 == 0) {
            wrong = zone_check(z);
        }
    }

    if (!ok(wrong == NULL, "random events on a tiny zone, seed %" PRIu64
            ": all that is said to be exact is, and the zone is sound",
            seed))
    {
        diag("event %d violates: %s", i - 1, wrong);
    }

    zone_delete(z);
    free(m->hours);
    free(m);
}


int
main(int argc, char **argv)
{
    uint64_t  seed, last;

    seed = (argc > 1) ? strtoull(argv[1], NULL, 10) : 1;
    last = (argc > 2) ? strtoull(argv[2], NULL, 10) : seed + 39;

    for ( /* void */ ; seed <= last; seed++) {
        test_fuzz(seed);
    }

    return done_testing();
}
