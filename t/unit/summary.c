
/*
 * The usage summary, to the letter: of lists small, large and without
 * memory, and of what a zone knows.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "tap.h"
#include "events.h"


#define MAX     (1 << 24)
#define USERS   100000u
#define STEP    7919           /* a prime: it meets each user once */

#define MESSAGE  "{\"message\":\"Usage summary generated successfully\","


static char  body[MAX];

static ngx_analytics_format_t  usage = {
    .name = ngx_string("usage"),
    .user = ngx_string("user_id"),
    .type = ngx_string("action_type"),
    .time = ngx_string("timestamp"),
    .properties = ngx_string("metadata")
};


static void
is_summary(const char *list, const char *expected, const char *promise)
{
    char                     *text;
    decoded_t                 r;
    ngx_analytics_summary_t   s;

    text = summary_text(&r, &usage, list, strlen(list), &s);

    if (ok(text != NULL, "%s", promise)) {
        is_str(text, strlen(text), expected, "... to the letter");
    }

    decoded_free(&r);
}


#define EVENT(user, time, type)                                               \
    "{\"user_id\":\"" user "\",\"timestamp\":\"" time "\","                   \
    "\"action_type\":\"" type "\"}"

static const char  example[] =
    "[" EVENT("alice", "2025-09-23T09:10:01Z", "login") ", "
    EVENT("bob", "2025-09-23T09:15:12Z", "view") ",\n "
    EVENT("alice", "2025-09-23T10:03:23Z", "purchase") ", "
    EVENT("alice", "2025-09-23T09:42:21Z", "login") ",\n "
    EVENT("charlie", "2025-09-23T09:01:05Z", "login") ", "
    EVENT("bob", "2025-09-23T11:13:45Z", "logout") ",\n "
    EVENT("bob", "2025-09-23T09:55:32Z", "login") ", "
    EVENT("charlie", "2025-09-23T09:23:02Z", "view") "]";


static void
check_example(void)
{
    is_summary(example,
        MESSAGE "\"total_events\":8,\"total_unique_users\":3,"
        "\"unique_users\":[\"alice\",\"bob\",\"charlie\"],"
        "\"action_wise_counts\":{\"login\":4,\"logout\":1,\"purchase\":1,"
        "\"view\":2},\"most_active_user\":{\"value\":\"alice\",\"count\":3},"
        "\"peak_activity_time\":{\"value\":\"2025-09-23T09:01:05Z\","
        "\"count\":1},\"peak_activity_hour\":{\"value\":9,\"count\":6},"
        "\"peak_activity_window\":{\"start\":\"2025-09-23T09:00:00Z\","
        "\"end\":\"2025-09-23T10:00:00Z\",\"count\":6}}",
        "eight events");
}


static void
check_empty(void)
{
    is_summary("[]",
        MESSAGE "\"total_events\":0,\"total_unique_users\":0,"
        "\"unique_users\":[],\"action_wise_counts\":{},"
        "\"most_active_user\":null,\"peak_activity_time\":null,"
        "\"peak_activity_hour\":null,\"peak_activity_window\":null}",
        "an empty list");
}


/* An event without a time happens now: 2025-10-04T12:30:00.123456Z. */
static void
check_now(void)
{
    is_summary("{\"user_id\":\"<u>\",\"action_type\":\"\\\"\"}",
        MESSAGE "\"total_events\":1,\"total_unique_users\":1,"
        "\"unique_users\":[\"\\u003cu\\u003e\"],"
        "\"action_wise_counts\":{\"\\\"\":1},"
        "\"most_active_user\":{\"value\":\"\\u003cu\\u003e\",\"count\":1},"
        "\"peak_activity_time\":{\"value\":\"2025-10-04T12:30:00Z\","
        "\"count\":1},\"peak_activity_hour\":{\"value\":12,\"count\":1},"
        "\"peak_activity_window\":{\"start\":\"2025-10-04T12:00:00Z\","
        "\"end\":\"2025-10-04T13:00:00Z\",\"count\":1}}",
        "one event without a time");
}


/* Of equals the smallest; the hour of the day is not that of the window. */
static void
check_ties(void)
{
    is_summary(
        "[" EVENT("b", "2025-09-24T23:00:00Z", "x") ","
        EVENT("b", "2025-09-24T23:59:59.999999Z", "x") ","
        EVENT("a", "2025-09-23T07:00:00Z", "y") ","
        EVENT("aa", "2025-09-24T07:00:00+00:00", "y") ","
        EVENT("a", "2025-09-25T08:00:00.5+01:00", "y") ","
        EVENT("c", "2025-09-23T22:00:00Z", "y") ","
        EVENT("c", "2025-09-23T22:30:00Z", "y") "]",
        MESSAGE "\"total_events\":7,\"total_unique_users\":4,"
        "\"unique_users\":[\"a\",\"aa\",\"b\",\"c\"],"
        "\"action_wise_counts\":{\"x\":2,\"y\":5},"
        "\"most_active_user\":{\"value\":\"a\",\"count\":2},"
        "\"peak_activity_time\":{\"value\":\"2025-09-23T07:00:00Z\","
        "\"count\":1},\"peak_activity_hour\":{\"value\":7,\"count\":3},"
        "\"peak_activity_window\":{\"start\":\"2025-09-23T22:00:00Z\","
        "\"end\":\"2025-09-23T23:00:00Z\",\"count\":2}}",
        "the earliest hour of equals, and the smallest user");

    is_summary(
        "[" EVENT("u", "1970-01-01T23:59:59.999999Z", "x") ","
        EVENT("u", "1970-01-01T23:59:59Z", "x") ","
        EVENT("u", "1970-01-01T00:00:00Z", "x") ","
        EVENT("u", "1970-01-01T00:00:00.999999Z", "x") "]",
        MESSAGE "\"total_events\":4,\"total_unique_users\":1,"
        "\"unique_users\":[\"u\"],\"action_wise_counts\":{\"x\":4},"
        "\"most_active_user\":{\"value\":\"u\",\"count\":4},"
        "\"peak_activity_time\":{\"value\":\"1970-01-01T00:00:00Z\","
        "\"count\":2},\"peak_activity_hour\":{\"value\":0,\"count\":2},"
        "\"peak_activity_window\":{\"start\":\"1970-01-01T00:00:00Z\","
        "\"end\":\"1970-01-01T01:00:00Z\",\"count\":2}}",
        "the earliest second, the smallest hour of the day");
}


/* The summary of a zone: no seconds, and not all of the users by name. */
static void
check_zone(void)
{
    memory_t                  m;
    ngx_analytics_count_t     names[3], types[1];
    ngx_analytics_writer_t    w;
    ngx_analytics_summary_t   s;
    static const char         expected[] =
        MESSAGE "\"total_events\":18446744073709551615,"
        "\"total_unique_users\":1000000,"
        "\"unique_users\":[\"a\",\"b\",\"c\"],"
        "\"action_wise_counts\":{\"t\":9},"
        "\"most_active_user\":{\"value\":\"b\",\"count\":7},"
        "\"peak_activity_hour\":{\"value\":23,\"count\":5},"
        "\"peak_activity_window\":{\"start\":\"2025-12-31T23:00:00Z\","
        "\"end\":\"2026-01-01T00:00:00Z\",\"count\":4}}";

    memset(&m, 0, sizeof(m));
    memset(&s, 0, sizeof(s));

    event_set(&names[0].name, "a");
    event_set(&names[1].name, "b");
    event_set(&names[2].name, "c");
    event_set(&types[0].name, "t");

    names[0].count = 6;
    names[1].count = 7;
    names[2].count = 7;
    types[0].count = 9;

    s.events = UINT64_MAX;
    s.users = 1000000;
    s.names = names;
    s.nnames = 3;
    s.types = types;
    s.ntypes = 1;
    s.hour_of_day[23] = 5;
    s.hour_of_day[3] = 4;
    s.peak_hour = 1767222000000000;      /* date -u -d 2025-12-31T23 +%s */
    s.peak_hour_count = 4;

    ngx_analytics_summary_most_active(&s);

    ngx_analytics_writer_init(&w, memory_alloc, &m, 1);
    ngx_analytics_summary_write(&w, &s);

    is_str(w.start, (size_t) (w.pos - w.start), expected,
           "the summary of a zone");

    /* a window is one that is known */

    s.peak_hour_count = 0;

    ngx_analytics_writer_init(&w, memory_alloc, &m, 1);
    ngx_analytics_summary_write(&w, &s);
    ngx_analytics_write_raw(&w, "", 1);

    ok(strstr((char *) w.start, ",\"peak_activity_hour\":{\"value\":23,"
              "\"count\":5},\"peak_activity_window\":null}") != NULL,
       "... which knows no busiest hour");

    memory_free(&m);
}


/* USERS users in a wild order, the one in the middle twice. */
static size_t
build_users(void)
{
    char        *p;
    ngx_uint_t   i, k;

    p = body;
    *p++ = '[';

    for (i = 0; i <= USERS; i++) {
        k = i == USERS ? USERS / 2 : i * STEP % USERS;
        p += sprintf(p, "%s{\"user_id\":\"u%06u\",\"action_type\":\"t%u\","
                     "\"timestamp\":\"2025-09-23T09:00:00Z\"}",
                     i ? "," : "", (unsigned) k, (unsigned) (k % 1000));
    }

    *p++ = ']';

    return p - body;
}


static void
check_users(void)
{
    char                      name[16];
    decoded_t                 r;
    ngx_uint_t                i, wrong;
    ngx_analytics_summary_t   s;

    if (!ok(summary_text(&r, &usage, body, build_users(), &s) != NULL,
            "many users"))
    {
        decoded_free(&r);
        return;
    }

    is_u64(s.events, USERS + 1, "... all events");
    is_u64(s.users, USERS, "... each user once");
    is_u64(s.nnames, USERS, "... with a name");
    is_u64(s.ntypes, 1000, "... and the types");

    wrong = 0;

    for (i = 0; i < s.nnames; i++) {
        snprintf(name, sizeof(name), "u%06u", (unsigned) i);
        wrong += (s.names[i].name.len != 7
                  || memcmp(s.names[i].name.data, name, 7) != 0
                  || s.names[i].count != 1 + (i == USERS / 2));
    }

    is_u64(wrong, 0, "... in the order of their names, counted");

    wrong = 0;

    for (i = 0; i < s.ntypes; i++) {
        wrong += (s.types[i].count
                  != USERS / 1000
                     + (s.types[i].name.len == 2
                        && s.types[i].name.data[1] == '0'));
    }

    is_u64(wrong, 0, "... and so are the types");

    is_str(s.most_active.name.data, s.most_active.name.len, "u050000",
           "... the most active one");
    is_u64(s.most_active.count, 2, "... its count");
    is_u64(s.peak_second_count, USERS + 1, "... all in one second");

    decoded_free(&r);
}


/* Each call of alloc fails once: alone, and with all behind it. */
static void
check_memory(void)
{
    char                      *p;
    size_t                     calls, first, fail;
    decoded_t                  r;
    ngx_uint_t                 i, ever, wrong;
    ngx_analytics_summary_t    s;
    static const uint64_t      key[2] = { 1, 2 };

    for (i = 0, p = body; i < 300; i++) {
        p += sprintf(p, "{\"user_id\":\"u%u\",\"action_type\":\"t%u\"}",
                     (unsigned) i, (unsigned) i / 4);
    }

    decode(&r, &usage, 0, body, p - body);
    first = r.memory.calls;
    ngx_analytics_summarise(&r.d, key, EVENTS_NOW, &s);
    calls = r.memory.calls;
    decoded_free(&r);

    ok(calls > first + 5, "tables that grow: %u calls of alloc",
       (unsigned) (calls - first));

    wrong = 0;

    for (ever = 0; ever < 2; ever++) {
        for (fail = first + 1; fail <= calls; fail++) {
            memset(&r, 0, sizeof(r));
            r.memory.fail = fail;
            r.memory.ever = ever;

            decode_again(&r, &usage, 0, body, p - body);
            wrong += (ngx_analytics_summarise(&r.d, key, EVENTS_NOW, &s)
                      != NGX_ERROR);

            decoded_free(&r);
        }
    }

    is_u64(wrong, 0, "a lack of memory is told, whenever it is");
}


int
main(void)
{
    check_example();
    check_empty();
    check_now();
    check_ties();
    check_zone();
    check_users();
    check_memory();

    return done_testing();
}
