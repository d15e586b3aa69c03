
/*
 * Keys: one that was seen within the window is known, with all that was said
 * of it last; nothing else is; and how far back that holds is told.  Against
 * a model that is slow and plain: an array of all keys in their order.
 *
 * Then the events that have ids, and the numbers of events.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <stdlib.h>
#include "zone_ask.h"
#include "zone_lib.h"


#define WINDOW     (24 * 3600 * (int64_t) 1000000)
#define HASHES     2000


typedef struct {
    ngx_analytics_key_t  *keys;        /* the oldest first */
    size_t                n;
    size_t                max;
    int64_t               lost;        /* the last time of those that left */
} model_t;


/* Hashes of which many share a bucket, and some differ in the rest only. */

static uint64_t
hash_of(uint64_t n)
{
    return ((n % 97) << 32) | (n / 3 + 1);
}


static ngx_analytics_key_t *
model_find(model_t *m, uint64_t hash, int64_t now)
{
    size_t  i;

    for (i = m->n; i; i--) {
        if (m->keys[i - 1].hash == hash) {
            return now - m->keys[i - 1].received < WINDOW ? &m->keys[i - 1]
                                                          : NULL;
        }
    }

    return NULL;
}


static void
model_put(model_t *m, ngx_analytics_key_t *key)
{
    int64_t               received;
    ngx_analytics_key_t  *old;

    old = model_find(m, key->hash, key->received);

    if (old) {
        received = old->received;
        *old = *key;
        old->received = received;
        return;
    }

    if (m->n == m->max) {
        m->lost = ngx_max(m->lost, m->keys[0].received);
        memmove(m->keys, m->keys + 1,
                (m->max - 1) * sizeof(ngx_analytics_key_t));
        m->n--;
    }

    m->keys[m->n++] = *key;
}


static int
same_key(ngx_analytics_key_t *one, ngx_analytics_key_t *two)
{
    return one->hash == two->hash
           && one->digest == two->digest
           && one->first == two->first
           && one->last == two->last
           && one->received == two->received
           && one->done == two->done;
}


/* Whether zone and model know the same by that hash. */

static int
same_find(ngx_analytics_zone_t *z, model_t *m, uint64_t hash, int64_t now)
{
    ngx_int_t             rc;
    ngx_analytics_key_t   got, *expected;

    rc = ngx_analytics_keys_find(z, hash, now, &got);
    expected = model_find(m, hash, now);

    return expected ? rc == NGX_OK && same_key(&got, expected)
                    : rc == NGX_DECLINED;
}


static size_t
wrong_keys(ngx_analytics_zone_t *z, model_t *m, int64_t now)
{
    size_t                 i, wrong;
    int64_t                expected;
    ngx_analytics_slot_t  *slot;

    for (i = 0, wrong = 0; i < HASHES; i++) {
        wrong += !same_find(z, m, hash_of(i), now);
    }

    /* in their order, the oldest first */

    wrong += z->keys_count != m->n;

    for (i = 0; i < m->n && i < z->keys_count; i++) {
        slot = ngx_analytics_slot(z, ngx_analytics_keys_place(z,
                                                          (uint32_t) i));
        wrong += slot->hash != m->keys[i].hash
                 || slot->received != m->keys[i].received;
    }

    expected = WINDOW;

    if (m->lost != INT64_MIN && now - m->lost < WINDOW) {
        expected = ngx_max(now - m->lost, 0);
    }

    return wrong + (ngx_analytics_keys_window(z, now) != expected);
}


/* Keys come every so often, at most, and now and then there is a gap. */

static void
test_model(uint64_t seed, int64_t pause, const char *name)
{
    size_t                 i, wrong, unsound, again, narrow;
    int64_t                now;
    model_t                m;
    ngx_analytics_key_t    key;
    ngx_analytics_zone_t  *z;

    zone_seed = seed;
    now = ZONE_NOW;
    wrong = 0;
    unsound = 0;
    again = 0;
    narrow = 0;

    z = zone_new(ngx_analytics_zone_min_size(4), 4);

    m.max = z->keys_max;
    m.n = 0;
    m.lost = INT64_MIN;
    m.keys = calloc(m.max, sizeof(ngx_analytics_key_t));

    for (i = 0; i < 20000; i++) {
        now += (int64_t) zone_random((uint64_t) pause);

        if (zone_random(3000) == 0) {
            now += (int64_t) zone_random(2 * (uint64_t) WINDOW);
        }

        key.hash = hash_of(zone_random(zone_random(4) ? m.max / 2 : HASHES));
        key.digest = zone_random(UINT64_MAX);
        key.first = zone_random(UINT64_MAX);
        key.last = zone_random(UINT64_MAX);
        key.done = (uint32_t) zone_random(UINT32_MAX);

        /* of two processes one may come a little late */

        key.received = now - (int64_t) zone_random(3 * (uint64_t) pause);

        again += model_find(&m, key.hash, key.received) != NULL;
        wrong += !same_find(z, &m, key.hash, key.received);

        ngx_analytics_keys_add(z, &key);
        model_put(&m, &key);

        wrong += !same_find(z, &m, key.hash, key.received);

        if (i % 50 == 0) {
            wrong += wrong_keys(z, &m, now);
            narrow += ngx_analytics_keys_window(z, now) < WINDOW;
            unsound += zone_check(z) != NULL;
        }
    }

    is_u64(wrong, 0, "%s: known is what the model knows, %zu of 20000 again, "
           "the window narrower at %zu of 400 looks", name, again, narrow);
    is_u64(unsound, 0, "%s: the zone is sound", name);

    free(m.keys);
    zone_delete(z);
}


static void
put(ngx_analytics_zone_t *z, uint64_t hash, int64_t received)
{
    ngx_analytics_key_t  key = { hash, 1, 2, 3, received, 4 };

    ngx_analytics_keys_add(z, &key);
}


static void
test_window(void)
{
    uint32_t               i;
    ngx_analytics_key_t    key;
    ngx_analytics_zone_t  *z;

    z = zone_new(ngx_analytics_zone_min_size(4), 4);

    ok(z->keys_max >= 64, "the least zone has room for %u keys", z->keys_max);
    is_i64(ngx_analytics_keys_window(z, ZONE_NOW), WINDOW,
           "an empty zone misses nothing");
    ok(ngx_analytics_keys_find(z, 1, ZONE_NOW, &key) == NGX_DECLINED,
       "an empty zone knows nothing");

    put(z, 1, ZONE_NOW);

    ok(ngx_analytics_keys_find(z, 1, ZONE_NOW + WINDOW - 1, &key) == NGX_OK
       && ngx_analytics_keys_find(z, 1, ZONE_NOW + WINDOW, &key)
          == NGX_DECLINED,
       "a key is known for 24 hours");
    ok(ngx_analytics_keys_find(z, 1, ZONE_NOW - WINDOW, &key) == NGX_OK,
       "a clock that goes back makes no key unknown");
    ok(ngx_analytics_keys_find(z, 1, INT64_MAX, &key) == NGX_DECLINED
       && ngx_analytics_keys_find(z, 1, INT64_MIN, &key) == NGX_OK,
       "no time is too far away");

    put(z, 1, ZONE_NOW + WINDOW - 1);
    ok(ngx_analytics_keys_find(z, 1, ZONE_NOW + WINDOW, &key) == NGX_DECLINED,
       "a key that is changed does not become younger");

    put(z, 1, ZONE_NOW + WINDOW);
    ok(ngx_analytics_keys_find(z, 1, ZONE_NOW + WINDOW, &key) == NGX_OK
       && key.received == ZONE_NOW + WINDOW,
       "a key that is too old is forgotten, and then seen for the first time");

    for (i = 2; i < z->keys_max; i++) {
        put(z, i, ZONE_NOW + WINDOW + i);
    }

    is_i64(ngx_analytics_keys_window(z, ZONE_NOW + WINDOW + i), WINDOW,
           "a ring that is just full misses nothing");

    put(z, i, ZONE_NOW + WINDOW + i);
    is_i64(ngx_analytics_keys_window(z, ZONE_NOW + WINDOW + i), WINDOW,
           "that a key older than the window left is no loss");
    ok(ngx_analytics_keys_find(z, 1, ZONE_NOW + WINDOW + i, &key) == NGX_OK,
       "the younger one of the same hash stays");

    i++;
    put(z, i, ZONE_NOW + WINDOW + i);
    is_i64(ngx_analytics_keys_window(z, ZONE_NOW + WINDOW + i), i,
           "that a younger one left is told");
    ok(ngx_analytics_keys_find(z, 1, ZONE_NOW + WINDOW + i, &key)
       == NGX_DECLINED, "and it is not known");
    is_i64(ngx_analytics_keys_window(z, ZONE_NOW + 2 * WINDOW), WINDOW,
           "a window later nothing is missed any more");

    zone_sound(z, "a ring of keys that went round");
    zone_delete(z);
}


/* a sixteenth of the zone, and no less room for it in a larger one */

static void
test_room(void)
{
    ngx_analytics_zone_t  *z;

    z = zone_new(254 << 20, 1000);

    ok(z->keys_max > 250000 && z->keys_max < 350000,
       "a zone of 256 MB has room for %u keys", z->keys_max);
    ok(z->keys_mask + 1 >= z->keys_max, "a bucket a key");

    zone_delete(z);
}


/*
 * The values were printed by a program in Python that was written from the
 * definition of SipHash: they stand in checkpoints, so another version must
 * come to the same.
 */
static void
test_hashes(void)
{
    ngx_str_t               key;
    ngx_analytics_zone_t   *z;
    ngx_analytics_event_t   event;

    z = zone_new(1 << 20, 4);

    ngx_str_set(&key, "a key");

    is_u64(ngx_analytics_key_hash(z, NGX_ANALYTICS_KEY_REQUEST, &key),
           0x379020514d4963e3ULL, "the hash of a request's key");
    is_u64(ngx_analytics_key_hash(z, NGX_ANALYTICS_KEY_EVENT, &key),
           0x15a2a4a403a21cb3ULL, "the same text as an event's id is another");

    memset(&event, 0, sizeof(event));
    ngx_str_set(&event.user, "user");
    ngx_str_set(&event.type, "type");
    ngx_str_set(&event.properties, "{\"a\":1}");
    ngx_str_set(&event.id, "a key");
    event.time = 1758618000 * ZONE_SECOND;

    ngx_analytics_zone_hash(z, &event, 1);

    is_u64(event.id_hash, 0x15a2a4a403a21cb3ULL, "the hash of an event's id");
    is_u64(event.digest, 0x4f02418d0bdc3d38ULL, "the digest of an event");

    ngx_str_null(&event.properties);
    event.time = NGX_ANALYTICS_TIME_NONE;

    ngx_analytics_zone_hash(z, &event, 1);
    is_u64(event.digest, 0x08d8f43261d27295ULL,
           "the digest of an event without time and properties");

    zone_delete(z);
}


static uint64_t
digest(ngx_analytics_zone_t *z, const char *user, const char *type,
    int64_t time, const char *properties, const char *id)
{
    ngx_analytics_event_t  event;

    memset(&event, 0, sizeof(event));
    event.user.data = (u_char *) user;
    event.user.len = strlen(user);
    event.type.data = (u_char *) type;
    event.type.len = strlen(type);
    event.time = time;
    event.properties.data = (u_char *) properties;
    event.properties.len = strlen(properties);
    event.id.data = (u_char *) id;
    event.id.len = strlen(id);

    ngx_analytics_zone_hash(z, &event, 1);

    return event.digest;
}


static void
test_digest(void)
{
    char                  *large;
    size_t                 i, k, same;
    uint64_t               digests[12];
    ngx_analytics_zone_t  *z;

    z = zone_new(1 << 20, 4);

    large = malloc(NGX_ANALYTICS_PROPERTIES_MAX + 1);
    memset(large, ' ', NGX_ANALYTICS_PROPERTIES_MAX);
    large[0] = '{';
    large[NGX_ANALYTICS_PROPERTIES_MAX - 1] = '}';
    large[NGX_ANALYTICS_PROPERTIES_MAX] = '\0';

    i = 0;
    digests[i++] = digest(z, "ab", "cd", 1, "{}", "i");
    digests[i++] = digest(z, "abc", "d", 1, "{}", "i");
    digests[i++] = digest(z, "a", "bcd", 1, "{}", "i");
    digests[i++] = digest(z, "cd", "ab", 1, "{}", "i");
    digests[i++] = digest(z, "ab", "cd", 2, "{}", "i");
    digests[i++] = digest(z, "ab", "cd", 0, "{}", "i");
    digests[i++] = digest(z, "ab", "cd", NGX_ANALYTICS_TIME_NONE, "{}", "i");
    digests[i++] = digest(z, "ab", "cd", 1, "", "i");
    digests[i++] = digest(z, "ab", "cd", 1, "{ }", "i");
    digests[i++] = digest(z, "ab", "{}", 1, "cd", "i");
    digests[i++] = digest(z, "ab", "cd", 1, large, "i");
    large[NGX_ANALYTICS_PROPERTIES_MAX - 2] = '\n';
    digests[i++] = digest(z, "ab", "cd", 1, large, "i");

    for (same = 0; i; i--) {
        for (k = 0; k + 1 < i; k++) {
            same += digests[i - 1] == digests[k];
        }
    }

    is_u64(same, 0, "no two events that differ have the same digest");
    is_u64(digest(z, "ab", "cd", 1, "{}", "another"), digests[0],
           "the id does not matter to the digest");

    free(large);
    zone_delete(z);
}


static void
make_events(ngx_analytics_event_t *events, char (*ids)[16], size_t n)
{
    size_t  i;

    memset(events, 0, n * sizeof(ngx_analytics_event_t));

    for (i = 0; i < n; i++) {
        ngx_str_set(&events[i].user, "u");
        ngx_str_set(&events[i].type, "t");
        events[i].time = ZONE_NOW;
        events[i].id.data = (u_char *) ids[i];
        events[i].id.len = (size_t) sprintf(ids[i], "id%zu", i);
    }
}


/* Returns how many of the events' ids do not have the numbers expected. */

static size_t
wrong_numbers(ngx_analytics_zone_t *z, ngx_analytics_event_t *events,
    const uint64_t *numbers, size_t n, int64_t received)
{
    size_t               i, wrong;
    ngx_int_t            rc;
    ngx_analytics_key_t  key;

    for (i = 0, wrong = 0; i < n; i++) {
        rc = ngx_analytics_keys_find(z, events[i].id_hash, ZONE_NOW + 2,
                                     &key);

        if (numbers[i] == 0) {
            wrong += rc != NGX_DECLINED;
            continue;
        }

        wrong += rc != NGX_OK
                 || key.first != numbers[i]
                 || key.last != numbers[i]
                 || key.done != 1
                 || key.received != received
                 || key.digest != events[i].digest;
    }

    return wrong;
}


static void
test_ids(void)
{
    char                   ids[8][16];
    ngx_analytics_event_t  events[8];
    ngx_analytics_zone_t  *z;

    static const uint64_t  numbers[8] = { 100, 101, 0, 103, 0, 104, 105, 0 };

    z = zone_new(1 << 20, 4);
    make_events(events, ids, 8);

    events[2].known = 1;
    events[3].id.len = 0;
    events[4].known = 1;
    events[7].known = 1;

    /* without an id, 102; then one that has both */

    ngx_analytics_zone_hash(z, events, 8);
    is_u64(ngx_analytics_zone_fold(z, events, 3, 100, ZONE_NOW + 1), 102,
           "a known event takes no number");
    is_u64(ngx_analytics_zone_fold(z, events + 3, 1, 102, ZONE_NOW + 1), 103,
           "an event without an id takes one");

    events[3].id.len = 3;
    ngx_analytics_zone_hash(z, events + 3, 1);
    is_u64(ngx_analytics_zone_fold(z, events + 3, 5, 103, ZONE_NOW + 1), 106,
           "known ones in between take none");

    is_u64(wrong_numbers(z, events, numbers, 8, ZONE_NOW + 1), 0,
           "the id of each event that counts is known, with its number");
    is_u64(ngx_analytics_zone_last(z), 105, "the last number is known");

    ngx_analytics_zone_totals(z, &totals);
    is_u64(totals.events, 6, "known events do not count");
    is_u64(z->keys_count, 5, "an event without an id leaves no key");

    zone_sound(z, "ids");
    zone_delete(z);
}


/* as after a kill in the midst of a record: the front of it is in the zone */

static void
test_again(void)
{
    size_t                 k, wrong;
    char                   ids[8][16];
    ngx_analytics_event_t  events[8];
    ngx_analytics_zone_t  *z;

    static const uint64_t  numbers[8] = { 40, 41, 0, 42, 43, 0, 44, 45 };

    make_events(events, ids, 8);
    events[2].known = 1;
    events[5].known = 1;

    for (k = 0, wrong = 0; k <= 8; k++) {
        z = zone_new(1 << 20, 4);

        ngx_analytics_zone_hash(z, events, 8);
        ngx_analytics_zone_fold(z, events, k, 40, ZONE_NOW + 1);

        /* whoever is next reads it from the log */

        wrong += ngx_analytics_zone_fold(z, events, 8, 40, ZONE_NOW + 1)
                 != 46;
        wrong += ngx_analytics_zone_fold(z, events, 8, 40, ZONE_NOW + 1)
                 != 46;

        ngx_analytics_zone_totals(z, &totals);
        wrong += totals.events != 6;
        wrong += !known(z, "u") || info.count != 6;
        wrong += wrong_numbers(z, events, numbers, 8, ZONE_NOW + 1);
        wrong += ngx_analytics_zone_last(z) != 45;
        wrong += zone_check(z) != NULL;

        zone_delete(z);
    }

    is_u64(wrong, 0, "a record that is folded again from anywhere in it "
           "counts once");
}


/* two processes without a log: who got the higher numbers folds first */

static void
test_accepted(void)
{
    char                   ids[6][16];
    int64_t                received;
    uint64_t               one, two;
    ngx_analytics_event_t  events[6];
    ngx_analytics_zone_t  *z;

    static const uint64_t  numbers[6] = { 1, 2, 3, 4, 5, 6 };

    z = zone_new(1 << 20, 4);
    make_events(events, ids, 6);

    one = ngx_analytics_zone_accept(z, 3, ZONE_NOW + 1, &received);
    two = ngx_analytics_zone_accept(z, 3, ZONE_NOW + 1, &received);

    ngx_analytics_zone_hash(z, events, 6);
    ngx_analytics_zone_fold(z, events + 3, 3, two, received);
    is_u64(ngx_analytics_zone_fold(z, events, 3, one, received), 4,
           "numbers that the zone gave out may come in any order");

    ngx_analytics_zone_totals(z, &totals);
    is_u64(totals.events, 6, "and each of their events counts");
    is_u64(ngx_analytics_zone_last(z), 6, "the last number is the greatest");
    is_u64(wrong_numbers(z, events, numbers, 6, received), 0,
           "and their ids are known");

    zone_delete(z);
}


static void
test_position(void)
{
    ngx_analytics_zone_t  *z;

    z = zone_new(1 << 20, 4);

    is_u64(ngx_analytics_zone_position(z), 0, "an empty zone is at 0");
    is_u64(ngx_analytics_zone_last(z), 0, "an empty zone has no last number");

    ngx_analytics_zone_advance(z, 128);
    ngx_analytics_zone_advance(z, (uint64_t) 1 << 40);
    is_u64(ngx_analytics_zone_position(z), (uint64_t) 1 << 40,
           "the position is the one advanced to");

    zone_sound(z, "a position");
    zone_delete(z);
}


int
main(void)
{
    test_model(1, 30 * ZONE_SECOND, "more keys than there is room for");
    test_model(2, ZONE_HOUR, "keys that are soon too old");
    test_model(3, 7 * ZONE_MINUTE, "keys of both kinds");
    test_window();
    test_room();
    test_hashes();
    test_digest();
    test_ids();
    test_again();
    test_accepted();
    test_position();

    return done_testing();
}
