
/*
 * What a checkpoint brings back: all answers are compared with those of the
 * zone that was written, and with a slow model of the events.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "checkpoint_world.h"


static const char *
same_keys(world_t *w, ngx_analytics_zone_t *two)
{
    size_t               i;
    ngx_analytics_key_t  a, b;

    for (i = 0; i < w->nkeys; i++) {
        memset(&a, 0, sizeof(a));
        memset(&b, 0, sizeof(b));

        LIB_SAME(ngx_analytics_keys_find(w->z, w->keys[i], w->received, &a),
                 ngx_analytics_keys_find(two, w->keys[i], w->received, &b));
        LIB_SAME(a.hash, b.hash);
        LIB_SAME(a.digest, b.digest);
        LIB_SAME(a.first, b.first);
        LIB_SAME(a.last, b.last);
        LIB_SAME(a.received, b.received);
        LIB_SAME(a.done, b.done);
    }

    return NULL;
}


static void
same_all(world_t *w, ngx_analytics_zone_t *two, const char *what)
{
    const char  *wrong;

    wrong = lib_same_totals(w->z, two);
    wrong = wrong ? wrong : lib_same_lists(w->z, two);
    wrong = wrong ? wrong : same_users(w, two);
    wrong = wrong ? wrong : lib_same_cells(w->z, two, FIRST_HOUR, LAST_HOUR);
    wrong = wrong ? wrong : same_keys(w, two);

    lib_same(wrong, what);
    zone_sound(two, what);
}


/* Nothing had to be given up. */

static void
test_same(void)
{
    world_t                   w;
    struct stat               st;
    ngx_analytics_zone_t     *two;
    ngx_analytics_totals_t    a, b;

    world_new(&w, SIZE, 1000, USERS, TYPES);

    rules_totals(w.z, 0);

    world_events(&w, 60000);

    is_i64(lib_write(w.z), NGX_OK, "a checkpoint is written");
    is_i64(lib_files(NULL), 1, "nothing else is left behind");

    fstatat(lib_dir, lib_name(ngx_analytics_zone_position(w.z)), &st, 0);
    is_u64(st.st_mode & 07777, 0600, "it is for its owner alone");

    is_u64(ngx_analytics_checkpoint_newest(lib_dir),
           ngx_analytics_zone_position(w.z), "it is the newest");

    two = lib_read(SIZE, 1000);

    is_i64(lib_bad_n, 0, "nothing is wrong with it");
    same_all(&w, two, "all answers are the same");

    ngx_analytics_zone_totals(w.z, &a);
    ngx_analytics_zone_totals(two, &b);
    is_u64(b.memory_used, a.memory_used, "it takes no more memory");
    ok(b.users_exact && b.types_exact && b.cells_exact, "all of it is exact");

    lib_same(model_says(&w, two, 1), "the model says so of the users");
    lib_same(model_says_hours(&w, two), "the model says so of the hours");
    lib_same(model_says_top(&w, two), "the model says so of the top");
    is_i64(ngx_analytics_zone_recover(two), NGX_OK, "the zone can be used");

    zone_delete(two);
    two = lib_read(3 * SIZE, 2000);
    same_all(&w, two, "a larger zone answers the same");
    zone_delete(two);
    world_free(&w);
    lib_empty();
}


/* Events fold in the zone that was read as in the one that was not left. */

static void
test_goes_on(void)
{
    uint64_t               seed;
    world_t                w, v;
    ngx_analytics_zone_t  *two;

    world_new(&w, SIZE, 1000, USERS, TYPES);
    world_events(&w, 20000);

    lib_write(w.z);
    two = lib_read(SIZE, 1000);

    v = w;
    v.z = two;
    model_init(&v.m);

    seed = zone_seed;
    world_events(&w, 20000);
    zone_seed = seed;
    world_events(&v, 20000);

    same_all(&w, two, "after more events all answers are the same");

    zone_delete(two);
    world_free(&w);
    model_free(&v.m);
    lib_empty();
}


/* A zone in which all that is bounded has met its bound. */

static void
test_full(void)
{
    size_t                   size;
    world_t                  w;
    ngx_analytics_zone_t    *two;
    ngx_analytics_totals_t   totals;

    size = ngx_analytics_zone_min_size(50) + 400000;

    world_new(&w, size, 50, USERS, TYPES);
    world_events(&w, 60000);

    ngx_analytics_zone_totals(w.z, &totals);
    ok(totals.evicted && totals.type_overflow && !totals.cells_exact,
       "users, types and cells had to be given up");
    ok(ngx_analytics_keys_window(w.z, w.received)
       < NGX_ANALYTICS_KEYS_WINDOW, "and keys");

    lib_write(w.z);

    two = lib_read(size, 50);
    same_all(&w, two, "what a full zone says is the same");
    is_u64(two->users.used, w.z->users.used, "it takes as many blocks");

    zone_delete(two);
    two = lib_read(SIZE, 1000);
    lib_same(lib_same_totals(w.z, two),
             "what had to be given up stays so in a larger zone");
    lib_same(same_users(&w, two), "and so do the users");
    zone_sound(two, "a full zone made larger");

    zone_delete(two);
    world_free(&w);
    lib_empty();
}


/* A request's key that was changed, and one that is older than the window. */

static void
test_keys(void)
{
    int64_t                now;
    ngx_analytics_key_t    key, got;
    ngx_analytics_zone_t  *z, *two;

    z = zone_new(SIZE, 10);
    now = ZONE_NOW + 2 * NGX_ANALYTICS_KEYS_WINDOW;

    memset(&key, 0, sizeof(key));
    key.hash = 77;
    key.digest = 1;
    key.received = ZONE_NOW;
    ngx_analytics_keys_add(z, &key);

    key.digest = 2;
    key.received = now;
    key.first = 5;
    key.last = 9;
    key.done = 3;
    ngx_analytics_keys_add(z, &key);

    key.hash = 78;
    ngx_analytics_keys_add(z, &key);

    key.hash = 77;
    key.received = now + 1;
    key.last = 0xfedcba9876543210ULL;
    key.done = 4294967295;
    ngx_analytics_keys_add(z, &key);

    lib_write(z);
    two = lib_read(SIZE, 10);

    zone_sound(two, "keys");
    is_u64(two->keys_count, 3, "all keys are read");
    is_i64(ngx_analytics_keys_find(two, 77, now, &got), NGX_OK,
           "a key that was used again is found");
    ok(got.digest == 2 && got.first == 5 && got.last == 0xfedcba9876543210ULL
       && got.received == now && got.done == 4294967295,
       "as it was last");
    is_i64(ngx_analytics_keys_find(two, 79, now, &got), NGX_DECLINED,
           "one that was never added is not");

    zone_delete(two);
    zone_delete(z);
    lib_empty();
}


/* All that stands alone, by a value of its own each. */

static void
test_figures(void)
{
    ngx_analytics_zone_t  *z, *two;

    z = zone_new(SIZE, 10);

    z->created = 1;
    z->received = 2 * ZONE_DAY;
    z->events = 3;
    z->older = 4;
    z->type_overflow = 5;
    z->evicted = 6;
    z->refused = 7;
    z->lost = 8;
    z->lost_hour = 9;
    z->peak_count = 10;
    z->peak_hour = 11;
    z->spans[NGX_ANALYTICS_MINUTES].horizon = 12;
    z->spans[NGX_ANALYTICS_HOURS].horizon = 13;
    z->keys_lost = 14;
    z->hour_of_day[23] = 15;
    rules_publish(z, "{\"totals\":604800}");
    z->spans[NGX_ANALYTICS_FINE].horizon = 19;
    z->spans[NGX_ANALYTICS_UNIQUES].horizon = 20;
    z->spans[NGX_ANALYTICS_DAYS].horizon = 21;
    z->late = 22;
    z->dailies_from = 23;
    z->refolds = 24;
    z->seq = 17;
    z->position = 18;
    z->hll[NGX_ANALYTICS_HLL_SIZE - 1] = 51;

    lib_write(z);
    two = lib_read(SIZE, 10);

    ok(two->created == 1 && two->received == 2 * ZONE_DAY && two->events == 3
       && two->older == 4 && two->type_overflow == 5 && two->evicted == 6
       && two->refused == 7 && two->lost == 8 && two->lost_hour == 9
       && two->peak_count == 10 && two->peak_hour == 11
       && two->spans[NGX_ANALYTICS_MINUTES].horizon == 12
       && two->spans[NGX_ANALYTICS_HOURS].horizon == 13
       && two->keys_lost == 14 && two->hour_of_day[23] == 15
       && two->program.totals == 7 * ZONE_DAY
       && two->program.signature == z->program.signature
       && two->spans[NGX_ANALYTICS_FINE].horizon == 19
       && two->spans[NGX_ANALYTICS_UNIQUES].horizon == 20
       && two->spans[NGX_ANALYTICS_DAYS].horizon == 21
       && two->late == 22 && two->dailies_from == 23
       && two->refolds == 24 && two->seq == 17
       && two->position == 18, "each figure is its own");
    is_mem(two->hll, sizeof(two->hll), z->hll, sizeof(z->hll),
           "and so is each register");

    zone_delete(two);
    zone_delete(z);
    lib_empty();
}


static void
test_empty(void)
{
    ngx_analytics_zone_t     *z, *two;
    ngx_analytics_totals_t    totals;

    is_u64(ngx_analytics_checkpoint_newest(lib_dir), 0,
           "there may be no checkpoint");

    two = lib_read(SIZE, 10);
    ngx_analytics_zone_totals(two, &totals);
    ok(totals.events == 0 && ngx_analytics_zone_position(two) == 0,
       "then the zone is empty");
    is_i64(totals.created, ZONE_NOW + 77 * ZONE_DAY, "and made now");
    zone_delete(two);

    z = zone_new(SIZE, 10);
    rules_totals(z, 17 * ZONE_DAY);
    ngx_analytics_zone_advance(z, 4096);

    lib_write(z);
    two = lib_read(SIZE, 10);

    is_u64(ngx_analytics_zone_position(two), 4096,
           "that of an empty zone keeps its position");
    is_i64(two->program.totals, 17 * ZONE_DAY, "and its program");
    lib_same(lib_same_totals(z, two), "and says that it is empty");
    zone_sound(two, "an empty zone");

    ok(lib_read(4096, 10) == NULL, "too little memory is told");

    zone_delete(two);
    zone_delete(z);
    lib_empty();
}


int
main(void)
{
    lib_open();

    test_empty();
    test_same();
    test_goes_on();
    test_full();
    test_keys();
    test_figures();

    lib_close();

    return done_testing();
}
