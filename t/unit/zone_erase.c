
/*
 * A zone that forgets users, while others come and go on: it knows the rest
 * as a plain list does, and of who was erased, or had to leave, no name is
 * left in its memory.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include "zone_ask.h"


#define USERS  3000
#define TYPES  40
#define STEPS  60000


static uint32_t  counted[USERS];
static uint32_t  of_type[TYPES];
static uint64_t  events;


/* Of one block, of two and of three; a third of them have the same start. */

static void
user_name(int user, char *name)
{
    size_t  len;

    len = (size_t[]) { 12, 60, 254 }[user % 3];

    memset(name, 'n', len);
    memcpy(name + len - 11, "user-", 5);
    sprintf(name + len - 6, "%06d", user);
}


static void
event(ngx_analytics_zone_t *z, int user)
{
    int   type;
    char  name[256], text[32];

    type = (int) zone_random(user % 10 ? 3 : TYPES);

    user_name(user, name);
    sprintf(text, "type %d", type);

    zone_event(z, name, text, ZONE_NOW - (int64_t) zone_random(100) * ZONE_HOUR,
               ZONE_NOW);

    counted[user]++;
    of_type[type]++;
    events++;
}


static int
erase(ngx_analytics_zone_t *z, int user)
{
    char       name[256];
    ngx_str_t  s;

    user_name(user, name);

    s.data = (u_char *) name;
    s.len = strlen(name);

    counted[user] = 0;

    return ngx_analytics_zone_erase(z, ngx_analytics_zone_user_hash(z, &s))
           == NGX_OK;
}


/* In the whole of the memory, not only where a name may lie. */

static int
in_memory(ngx_analytics_zone_t *z, int user)
{
    char  name[256];

    user_name(user, name);

    /* names have their end in common with no other */

    return memmem(z, z->size, name + strlen(name) - 11, 11) != NULL;
}


static ngx_uint_t
wrong_users(ngx_analytics_zone_t *z)
{
    int         i;
    char        name[256];
    uint64_t    live;
    ngx_uint_t  wrong;

    live = 0;
    wrong = 0;

    for (i = 0; i < USERS; i++) {
        user_name(i, name);

        wrong += known(z, name) ? info.count != counted[i] : counted[i] != 0;
        live += (counted[i] != 0);
    }

    ngx_analytics_zone_totals(z, &totals);

    return wrong + (totals.users != live) + (totals.events != events);
}


static int
stronger(const void *one, const void *two)
{
    int  a = *(const int *) one, b = *(const int *) two;
    char  names_of[2][256];

    if (counted[a] != counted[b]) {
        return counted[a] > counted[b] ? -1 : 1;
    }

    user_name(a, names_of[0]);
    user_name(b, names_of[1]);

    return strcmp(names_of[0], names_of[1]);
}


/* The top is the start of a sorted list.  Returns how long it is, or 0. */

static size_t
top(ngx_analytics_zone_t *z)
{
    int     i;
    char    name[256];
    size_t  n, j, k;

    static int  order[USERS];

    for (i = 0; i < USERS; i++) {
        order[i] = i;
    }

    qsort(order, USERS, sizeof(int), stronger);

    n = ngx_analytics_zone_top(z, counts, 1000, names);

    for (j = 0; j < n; j++) {
        user_name(order[j], name);

        if (count_of(counts, n, name) != counted[order[j]]) {
            return 0;
        }

        for (k = 0; k < j; k++) {
            if (order[k] == order[j]) {
                return 0;
            }
        }
    }

    return n;
}


static void
test_random(void)
{
    int                    i, user, erased, seen;
    size_t                 n;
    ngx_uint_t             wrong, left;
    ngx_analytics_zone_t  *z;

    z = zone_new(16 * 1024 * 1024, TYPES + 1);

    wrong = 0;
    left = 0;
    erased = 0;

    for (i = 0; i < STEPS; i++) {

        /* some are asked for more than others */

        user = (int) zone_random(zone_random(2) ? USERS : USERS / 30);

        if (zone_random(100)) {
            event(z, user);
            continue;
        }

        seen = (counted[user] != 0);
        wrong += (erase(z, user) != seen);
        erased += seen;

        if (erased % 20 == 0) {
            left += in_memory(z, user);
            wrong += zone_check(z) != NULL;
        }
    }

    ok(wrong == 0 && erased > 300, "%d users are erased among others", erased);
    is_u64(left, 0, "no name is left in memory");
    zone_sound(z, "after that");
    is_u64(wrong_users(z), 0, "all others are known as they were");

    for (i = 0, wrong = 0; i < TYPES; i++) {
        char  type[32];

        sprintf(type, "type %d", i);
        wrong += type_count(z, type) != of_type[i];
    }

    is_u64(wrong, 0, "and all events are counted by type");

    n = top(z);
    ok(n > 500, "the %zu most active are that", n);

    /* who comes back is counted from 1 on */

    for (i = 0, wrong = 0; i < USERS; i += 7) {
        (void) erase(z, i);
        event(z, i);
        counted[i] = 1;
    }

    is_u64(wrong_users(z), 0, "who comes back is somebody new");
    ok(top(z) > 100, "the most active are that, too");

    for (i = 0, left = 0; i < USERS; i++) {
        (void) erase(z, i);
    }

    for (i = 0; i < USERS; i += 3) {
        left += in_memory(z, i) + in_memory(z, i + 1) + in_memory(z, i + 2);
    }

    is_u64(left, 0, "when all are erased, nobody's name is left");
    is_u64(z->live, 0, "nobody is known");
    is_u64(z->users.used, 0, "all blocks are free");
    zone_sound(z, "without users");
    is_u64(top(z), 0, "and nobody is the most active one");

    ngx_analytics_zone_totals(z, &totals);
    is_u64(totals.events, events, "what was counted stays");

    zone_delete(z);
}


/* Who left before is not found by an erasure: nothing may be left by then. */

static void
test_left(void)
{
    int                    i, gone, left;
    char                   name[256];
    ngx_analytics_zone_t  *z;

    z = zone_new(1024 * 1024, TYPES + 1);

    for (i = 0; i < 4 * USERS; i++) {
        user_name(i, name);
        zone_event(z, name, "t", ZONE_NOW, ZONE_NOW);
    }

    for (i = 0, gone = 0, left = 0; i < 4 * USERS; i += 7) {
        user_name(i, name);

        if (!known(z, name)) {
            gone++;
            left += in_memory(z, i);
        }
    }

    ok(gone > 1000, "%d of the users asked for had to leave", gone);
    is_i64(left, 0, "no name of theirs is left in memory");
    zone_sound(z, "full of users");

    zone_delete(z);
}


int
main(void)
{
    zone_forgets = 1;

    test_random();
    test_left();

    return done_testing();
}
