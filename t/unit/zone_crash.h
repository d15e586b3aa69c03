
/*
 * The kinds of events that zone_crash.c kills: what the zone holds before,
 * what is done to it then, and whether that may be done again from wherever
 * it came to.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _ZONE_CRASH_H_INCLUDED_
#define _ZONE_CRASH_H_INCLUDED_


#include "ngx_analytics_arena.h"
#include "ngx_analytics_cells.h"
#include "ngx_analytics_dailies.h"
#include "ngx_analytics_keys.h"
#include "ngx_analytics_users.h"
#include "zone_lib.h"


#define TYPES        4


typedef void (*prepare_pt)(ngx_analytics_zone_t *z);
typedef void (*act_pt)(ngx_analytics_zone_t *z);


typedef struct {
    const char            *name;
    prepare_pt             prepare;
    act_pt                 act;
    int                    again;
} crash_case_t;


static char *
long_name(const char *start, size_t len)
{
    static char  name[256];

    memset(name, '.', sizeof(name));
    memcpy(name, start, strlen(start));
    name[len] = '\0';

    return name;
}


static void
some(ngx_analytics_zone_t *z, int nusers, int each)
{
    int   i, k;
    char  user[32], type[32];

    for (k = 0; k < each; k++) {
        for (i = 0; i < nusers; i++) {
            sprintf(user, "u%d", i);
            sprintf(type, "t%d", (i + k) % 3);
            zone_event(z, user, type, ZONE_NOW - i * ZONE_MINUTE, ZONE_NOW);
        }
    }
}


static void
none(ngx_analytics_zone_t *z)
{
    (void) z;
}


static void
one(ngx_analytics_zone_t *z)
{
    zone_event(z, "u", "t0", ZONE_NOW, ZONE_NOW);
    zone_event(z, "u", "t0", ZONE_NOW, ZONE_NOW);
}


static void
few(ngx_analytics_zone_t *z)
{
    some(z, 10, 3);
}


static void
full_heap(ngx_analytics_zone_t *z)
{
    some(z, (int) z->top_max + 20, 3);
}


/* the users' pool has no room, and some users take several blocks */

static void
full_users(ngx_analytics_zone_t *z)
{
    int   i, k;
    char  user[32], type[32];

    some(z, (int) z->top_max + 20, 8);

    /* behind the heap's users: who has both kinds of further blocks */

    for (k = 0; k < 5; k++) {
        sprintf(type, "t%d", k);
        zone_event(z, long_name("long", 200), type, ZONE_NOW, ZONE_NOW);
    }

    for (i = 0; ngx_analytics_pool_left(&z->users)
                >= NGX_ANALYTICS_USERS_NEED; i++) {
        sprintf(user, "x%d", i);
        zone_event(z, user, "t1", ZONE_NOW, ZONE_NOW);
    }
}


/* the hand comes by two first who stay */

static void
full_users_soon(ngx_analytics_zone_t *z)
{
    uint32_t  n;

    full_users(z);

    for (n = 1;
         ngx_analytics_user(z, n)->heap
         || ngx_analytics_user(z, n)->flags != NGX_ANALYTICS_USER_HEAD;
         n++)
    { /* void */ }

    z->hand = n - 3;
}


/* one who is about to leave with all blocks there can be */

static void
full_users_hand(ngx_analytics_zone_t *z)
{
    uint32_t               n;
    ngx_str_t              name;
    ngx_analytics_user_t  *user;

    full_users(z);

    name.data = (u_char *) long_name("long", 200);
    name.len = 200;

    n = ngx_analytics_users_find(z, &name,
                       ngx_analytics_siphash(z->key, name.data, name.len));
    user = ngx_analytics_user(z, n);

    /* as if the heap had long forgotten and the hand just come here */

    if (user->heap) {
        diag("the long user is in the heap");
        exit(2);
    }

    user->flags &= (u_char) ~NGX_ANALYTICS_USER_TOUCHED;
    z->hand = n - 1;
}


/* all have been active since the hand came by */

static void
full_users_touched(ngx_analytics_zone_t *z)
{
    uint32_t  n;

    full_users(z);

    for (n = 1; n < z->users.bump; n++) {
        if (ngx_analytics_user(z, n)->heap) {
            z->hand = n;
        }
    }

    for (n = z->hand + 1; n <= z->hand + 5; n++) {
        if (ngx_analytics_user(z, n)->flags & NGX_ANALYTICS_USER_HEAD) {
            ngx_analytics_user(z, n)->flags |= NGX_ANALYTICS_USER_TOUCHED;
        }
    }
}


/* blocks have been given back: the next users take them */

static void
free_users(ngx_analytics_zone_t *z)
{
    full_users_hand(z);

    zone_event(z, "one that makes room", "t1", ZONE_NOW, ZONE_NOW);
}


/* the heap's users hold all there is */

static void
stuck_users(ngx_analytics_zone_t *z)
{
    int   i, k;
    char  user[32];

    for (k = 0; k < 8; k++) {
        for (i = 0; i < (int) z->top_max; i++) {
            sprintf(user, "top%d", i);
            zone_event(z, long_name(user, 255), "t", ZONE_NOW, ZONE_NOW);
        }
    }

    /* the next type of this one needs a block */

    for (k = 0; k < 2; k++) {
        sprintf(user, "t%d", k);
        zone_event(z, long_name("top0", 255), user, ZONE_NOW, ZONE_NOW);
    }

    z->users.nblocks = z->users.bump - 1;
}


static void
full_types(ngx_analytics_zone_t *z)
{
    int   i;
    char  type[32];

    for (i = 0; i < TYPES; i++) {
        sprintf(type, "t%d", i);
        zone_event(z, "u", type, ZONE_NOW, ZONE_NOW);
    }
}


/* the cells' pool has no room, all of it old hours */

static void
full_cells(ngx_analytics_zone_t *z)
{
    int64_t  hours;

    zone_event(z, "u0", "t0", ZONE_NOW - 10 * ZONE_HOUR, ZONE_NOW);

    for (hours = 20000;
         ngx_analytics_pool_left(&z->cells)
         >= NGX_ANALYTICS_CELLS_NEED + NGX_ANALYTICS_DAILIES_NEED;
         hours--)
    {
        zone_event(z, "u0", "t0", ZONE_NOW - hours * 16 * ZONE_HOUR,
                   ZONE_NOW);
    }
}


/* minutes that are still to come fill it */

static void
full_ahead(ngx_analytics_zone_t *z)
{
    int   i, k;
    char  type[32];

    for (i = 23 * 60; i > 70; i -= 60) {
        for (k = 0; k < TYPES; k++) {
            sprintf(type, "t%d", k);
            zone_event(z, "u0", type, ZONE_NOW + i * ZONE_MINUTE, ZONE_NOW);
        }
    }

    z->cells.nblocks = z->cells.bump - 1;
}


/* and then not even these */

static void
stuck_cells(ngx_analytics_zone_t *z)
{
    zone_event(z, "u0", "t0", ZONE_NOW, ZONE_NOW);
    z->cells.nblocks = z->cells.bump - 1;
}


static void
two_days(ngx_analytics_zone_t *z)
{
    some(z, 200, 1);
}


static void
add_key(ngx_analytics_zone_t *z, uint32_t bucket, uint32_t number,
    int64_t received)
{
    ngx_analytics_key_t  key;

    key.hash = (uint64_t) bucket << 32 | number;
    key.digest = number * 0x0101010101010101ULL;
    key.first = number;
    key.last = number + 1;
    key.received = received;
    key.done = 2;

    ngx_analytics_keys_add(z, &key);
}


static void
some_keys(ngx_analytics_zone_t *z)
{
    uint32_t  i;

    few(z);

    for (i = 0; i < 20; i++) {
        add_key(z, i % 7, i, ZONE_NOW);
    }
}


/* the oldest is alone in its bucket, 7, and the next one comes last in its */

static void
full_keys(ngx_analytics_zone_t *z)
{
    uint32_t  i;

    few(z);
    add_key(z, 7, 0, ZONE_NOW);

    for (i = 1; i < z->keys_max; i++) {
        add_key(z, i % 7, i, ZONE_NOW + (int64_t) i);
    }
}


static void
full_keys_second(ngx_analytics_zone_t *z)
{
    full_keys(z);
    add_key(z, 3, 1000, ZONE_NOW + 1000);
}


/* the zone of a log: its numbers are not its own */

static void
logged(ngx_analytics_zone_t *z)
{
    some_keys(z);
    z->accepted = 0;
}


static void
logged_full(ngx_analytics_zone_t *z)
{
    full_keys(z);
    z->accepted = 0;
}


static void act_new(ngx_analytics_zone_t *z)
{ zone_event(z, "somebody", "t1", NGX_ANALYTICS_TIME_NONE, ZONE_NOW + 1); }

static void act_known(ngx_analytics_zone_t *z)
{ zone_event(z, "u3", "t0", ZONE_NOW + 1, ZONE_NOW + 1); }

static void act_early(ngx_analytics_zone_t *z)
{ zone_event(z, "u3", "t1", ZONE_NOW - 1000 * ZONE_HOUR, ZONE_NOW); }

static void act_root(ngx_analytics_zone_t *z)
{
    u_char  name[256];
    size_t  len;

    len = zone_user_name(z, ngx_analytics_user(z, (uint32_t) z->top[0].user),
                         name);
    name[len] = '\0';

    zone_event(z, (char *) name, "t1", ZONE_NOW, ZONE_NOW);
}

/* an outsider takes the place of the weakest */
static void act_climb(ngx_analytics_zone_t *z)
{
    uint32_t  n;
    u_char    name[256];

    for (n = 1; ngx_analytics_user(z, n)->heap; n++) { /* void */ }

    name[zone_user_name(z, ngx_analytics_user(z, n), name)] = '\0';

    zone_event(z, (char *) name, "t1", ZONE_NOW, ZONE_NOW);
}

static void act_wide(ngx_analytics_zone_t *z)
{ zone_event(z, long_name("top0", 255), "t9", ZONE_NOW, ZONE_NOW); }

static void act_first_of_all(ngx_analytics_zone_t *z)
{ zone_event(z, "  before all", "t1", ZONE_NOW, ZONE_NOW); }

static void act_long(ngx_analytics_zone_t *z)
{ zone_event(z, long_name("?", 255), "brand new", ZONE_NOW, ZONE_NOW); }

static void act_type(ngx_analytics_zone_t *z)
{ zone_event(z, "u", "one more", ZONE_NOW, ZONE_NOW); }

static void act_soon(ngx_analytics_zone_t *z)
{ zone_event(z, "u0", "t0", ZONE_NOW + ZONE_DAY - 1, ZONE_NOW); }

static void act_oldest(ngx_analytics_zone_t *z)
{ zone_event(z, "u0", "t0", 0, ZONE_NOW); }

static void act_3_days(ngx_analytics_zone_t *z)
{ zone_event(z, "u0", "t0", ZONE_NOW + 3 * ZONE_DAY,
             ZONE_NOW + 3 * ZONE_DAY); }

/* a round of the minutes' ring is 128 * 64 minutes */
static void act_round(ngx_analytics_zone_t *z)
{ zone_event(z, "u0", "t0", ZONE_NOW + 8192 * ZONE_MINUTE,
             ZONE_NOW + 8192 * ZONE_MINUTE); }

static void act_accept(ngx_analytics_zone_t *z)
{
    int64_t  received;

    ngx_analytics_zone_accept(z, 5, ZONE_NOW + 1, &received);
}

static void act_program(ngx_analytics_zone_t *z)
{
    rules_totals(z, 30 * ZONE_DAY);
}

static void act_batch(ngx_analytics_zone_t *z)
{
    size_t                 i;
    ngx_analytics_event_t  events[3];

    memset(events, 0, sizeof(events));

    for (i = 0; i < 3; i++) {
        ngx_str_set(&events[i].user, "several");
        ngx_str_set(&events[i].type, "at once");
        events[i].time = ZONE_NOW - (int64_t) i * ZONE_HOUR;
    }

    ngx_analytics_zone_hash(z, events, 3);
    ngx_analytics_zone_fold(z, events, 3, 0, ZONE_NOW + 5);
}


static void act_key(ngx_analytics_zone_t *z)
{ add_key(z, 3, 2000, ZONE_NOW + 2000); }

static void act_key_in_bucket(ngx_analytics_zone_t *z)
{ add_key(z, 7, 2000, ZONE_NOW + 2000); }

static void act_key_known(ngx_analytics_zone_t *z)
{
    ngx_analytics_key_t  key = { (uint64_t) 4 << 32 | 11, 1, 2, 3,
                                 ZONE_NOW + 1, 4 };

    ngx_analytics_keys_add(z, &key);
}

static void act_key_later(ngx_analytics_zone_t *z)
{ add_key(z, 4, 11, ZONE_NOW + ZONE_DAY); }

static void act_advance(ngx_analytics_zone_t *z)
{ ngx_analytics_zone_advance(z, 4096); }

/* the zone holds the numbers 1 to 30 */
static void act_record(ngx_analytics_zone_t *z)
{
    size_t                 i;
    ngx_analytics_event_t  events[4];

    static u_char  ids[] = "abcd";

    memset(events, 0, sizeof(events));

    for (i = 0; i < 4; i++) {
        ngx_str_set(&events[i].user, "of a record");
        ngx_str_set(&events[i].type, "r");
        events[i].id.data = &ids[i];
        events[i].id.len = (i != 1);
        events[i].time = NGX_ANALYTICS_TIME_NONE;
    }

    events[2].known = 1;

    ngx_analytics_zone_hash(z, events, 4);
    ngx_analytics_zone_fold(z, events, 4, 31, ZONE_NOW + 5);
    ngx_analytics_zone_advance(z, 4096);
}


static void
act_erase_name(ngx_analytics_zone_t *z, const char *name)
{
    ngx_str_t  user;

    user.data = (u_char *) name;
    user.len = strlen(name);

    (void) ngx_analytics_zone_erase(z, ngx_analytics_zone_user_hash(z, &user));
}

/* the only one, in a small heap, in a full one, and one with many blocks */
static void act_erase_only(ngx_analytics_zone_t *z)
{ act_erase_name(z, "u"); }

static void act_erase(ngx_analytics_zone_t *z)
{ act_erase_name(z, "u3"); }

static void act_erase_long(ngx_analytics_zone_t *z)
{ act_erase_name(z, long_name("long", 200)); }


static void
more_types(ngx_analytics_zone_t *z)
{
    uint32_t               i;
    ngx_analytics_user_t  *user;

    /* as if there had been 25 types: the next needs the second block */

    full_types(z);
    user = ngx_analytics_user(z, 1);

    for (i = user->ntypes - 3; i < 22; i++) {
        ngx_analytics_more(z, user->types_more)->u.types[i] =
                                                   (uint64_t) 2 << 48;
    }

    user->ntypes = 25;
}


#include "zone_crash_metrics.h"


/* no entry of u is of type 0, "other" */

static crash_case_t  cases[] = {
    { "the first event", none, act_new, 0 },
    { "a new user", few, act_new, 0 },
    { "a known user", few, act_known, 0 },
    { "an early time", few, act_early, 0 },
    { "the weakest of the top", full_heap, act_root, 0 },
    { "a new one of the top", full_heap, act_climb, 0 },
    { "the top of a small heap", few, act_first_of_all, 0 },
    { "a long name and a new type", few, act_long, 0 },
    { "blocks given back", free_users, act_long, 0 },
    { "a second type", one, act_type, 0 },
    { "the last type", few, act_type, 0 },
    { "a type too many", full_types, act_type, 0 },
    { "a second block of types", more_types, act_type, 0 },
    { "one who leaves", full_users_soon, act_new, 0 },
    { "one who leaves with many blocks", full_users_hand, act_long, 0 },
    { "a second chance", full_users_touched, act_new, 0 },
    { "no user can leave", stuck_users, act_new, 0 },
    { "no block for a type", stuck_users, act_wide, 0 },
    { "an old period for room", full_cells, act_3_days, 0 },
    { "older than all that is kept", full_cells, act_oldest, 0 },
    { "minutes ahead for room", full_ahead, act_known, 0 },
    { "no cell at all", stuck_cells, act_soon, 0 },
    { "expired minutes", two_days, act_3_days, 0 },
    { "a round of the minutes later", two_days, act_round, 0 },
    { "an only user erased", one, act_erase_only, 0 },
    { "a user erased", few, act_erase, 0 },
    { "one of the top erased", full_heap, act_erase, 0 },
    { "one with many blocks erased", full_users_hand, act_erase_long, 0 },
    { "a batch", few, act_batch, 0 },
    { "the acceptance", few, act_accept, 0 },
    { "the program", few, act_program, 0 },
    { "a key", some_keys, act_key, 0 },
    { "a key that is known", some_keys, act_key_known, 0 },
    { "a key that has become too old", some_keys, act_key_later, 0 },
    { "a key for the oldest", full_keys, act_key, 0 },
    { "a key for the oldest in its bucket", full_keys, act_key_in_bucket, 0 },
    { "a key for the last in a bucket", full_keys_second, act_key, 0 },
    { "the position", logged, act_advance, 1 },
    { "a record", logged, act_record, 1 },
    { "a record for the oldest keys", logged_full, act_record, 1 },
    CRASH_METRICS
};


#endif /* _ZONE_CRASH_H_INCLUDED_ */
