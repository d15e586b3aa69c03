
/*
 * Events written in a format, to the letter.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <cjson/cJSON.h>
#include "tap.h"
#include "events.h"


#define MAX  8192

#define count(a)  (sizeof(a) / sizeof((a)[0]))


static char    text[MAX];                /* what was written last */
static size_t  text_len;


static void
check_examples(void)
{
    size_t                  i;
    ngx_analytics_event_t   event;
    static const char      *written[EVENTS_FORMATS] = {
        "{\"id\":7,\"user_id\":\"17\",\"event_type\":\"page_view\","
        "\"timestamp\":\"2025-10-04T12:30:00.123456Z\","
        "\"metadata\":{\"a\": [1]}}",

        "{\"id\":7,\"n\":17,\"action\":\"page_view\","
        "\"at\":1759581000.123456,\"p\":{\"a\": [1]}}",

        "{\"id\":7,\"u\":\"17\",\"t\":\"page_view\",\"ms\":1759581000123.456,"
        "\"a\": [1]}",

        "{\"id\":7,\"u\":\"17\",\"a\": [1]}",

        "{\"id\":7,\"u\":\"17\",\"t\":\"page_view\"}",

        "{\"id\":7,\"us\\\"er\\u003c\\u0026\\u003e\\\\\":\"17\","
        "\"\xc3\xa9t\xc3\xa9\":\"page_view\","
        "\"\\u2028\":\"2025-10-04T12:30:00.123456Z\","
        "\"/ \xf0\x9f\x98\x80\":{\"a\": [1]}}",

        "{\"id\":7,\"u\":17,\"at\":\"2025-10-04T12:30:00.123456Z\","
        "\"a\": [1]}",

        "{\"id\":7,\"" N254 "u\":\"17\",\"" N254 "t\":\"page_view\",\""
        N254 "m\":\"2025-10-04T12:30:00.123456Z\",\"" N254 "p\":{\"a\": [1]}}",

        "{\"id\":7,\"message_id\":\"m1\",\"u\":\"17\","
        "\"t\":\"page_view\",\"at\":\"2025-10-04T12:30:00.123456Z\","
        "\"p\":{\"a\": [1]}}",

        "{\"id\":7,\"i\\\"\\u003cd\\u003e\":\"m1\",\"u\":\"17\","
        "\"a\": [1]}"
    };

    memset(&event, 0, sizeof(event));
    event_set(&event.user, "17");
    event_set(&event.type, "page_view");
    event_set(&event.properties, "{\"a\": [1]}");
    event_set(&event.id, "m1");
    event.time = NGX_ANALYTICS_TIME_NONE;

    for (i = 0; i < EVENTS_FORMATS; i++) {
        text_len = event_text(text, MAX, &formats[i], &event, 7);
        is_str(text, text_len, written[i], "written in format %s",
               formats[i].name.data);
    }
}


static void
check_ids(void)
{
    char                     expected[64];
    size_t                   i;
    ngx_analytics_event_t    event;
    static const uint64_t    ids[] = { 1, 9007199254740993, INT64_MAX,
                                       UINT64_MAX };

    memset(&event, 0, sizeof(event));
    event_set(&event.user, "u");
    event_set(&event.type, "t");

    for (i = 0; i < count(ids); i++) {
        text_len = event_text(text, MAX, &formats[FORMAT_BARE], &event, ids[i]);
        snprintf(expected, sizeof(expected),
                 "{\"id\":%" PRIu64 ",\"u\":\"u\",\"t\":\"t\"}", ids[i]);
        is_str(text, text_len, expected, "an id is exact");
    }
}


static void
check_no_id(void)
{
    ngx_analytics_event_t  event;

    memset(&event, 0, sizeof(event));
    event_set(&event.user, "u");
    event_set(&event.type, "t");
    event.time = NGX_ANALYTICS_TIME_NONE;

    text_len = event_text(text, MAX, &formats[FORMAT_ID], &event, 7);
    is_str(text, text_len, "{\"id\":7,\"u\":\"u\",\"t\":\"t\",\"at\":"
           "\"2025-10-04T12:30:00.123456Z\",\"p\":{}}",
           "an event without an id of its own is written without");
}


/* Users that other formats let in, written by one of integers. */
static void
check_integers(void)
{
    char                    expected[300];
    size_t                  i;
    ngx_analytics_event_t   event;
    static const struct {
        const char         *user;
        int                 number;
    } users[] = {
        { "0", 1 }, { "-1", 1 }, { "17", 1 }, { "-17", 1 },
        { "9007199254740992", 1 }, { "-9007199254740992", 1 },

        { "-0", 0 }, { "-", 0 }, { "007", 0 }, { "-07", 0 }, { "00", 0 },
        { "+1", 0 }, { "1.0", 0 }, { "1e3", 0 }, { " 1", 0 }, { "1 ", 0 },
        { "--1", 0 }, { "1-", 0 }, { "0x10", 0 }, { "alice", 0 },
        { "12a", 0 }, { "/1", 0 }, { ":1", 0 }, { "1/", 0 },
        { "\xd9\xa1", 0 },

        /* what a reader may not take for the number that it is */
        { "9007199254740993", 0 }, { "-9007199254740993", 0 },
        { "9999999999999999", 0 },
        { "90071992547409920", 0 }, { "18446744073709551616", 0 }
    };

    memset(&event, 0, sizeof(event));
    event.time = NGX_ANALYTICS_TIME_NONE;

    for (i = 0; i < count(users); i++) {
        event_set(&event.user, users[i].user);
        text_len = event_text(text, MAX, &formats[FORMAT_INTEGER], &event, 1);

        snprintf(expected, sizeof(expected),
                 users[i].number ? "{\"id\":1,\"u\":%s,\"at\":%s}"
                                 : "{\"id\":1,\"u\":\"%s\",\"at\":%s}",
                 users[i].user, "\"2025-10-04T12:30:00.123456Z\"");

        is_str(text, text_len, expected,
               "a format of integers writes %s as %s", users[i].user,
               users[i].number ? "a number" : "text");
    }
}


/* What another format let in, written among the members. */
static void
check_spaces(void)
{
    size_t                  i;
    cJSON                  *root;
    ngx_analytics_event_t   event;
    static const char      *sent[] = {
        "{}", "{ }", "{\n}", "{\t \r\n}", "{ \"a\" : 1 }", "{\"a\":1\n}"
    };

    memset(&event, 0, sizeof(event));
    event_set(&event.user, "u");

    for (i = 0; i < count(sent); i++) {
        event_set(&event.properties, sent[i]);
        text_len = event_text(text, MAX, &formats[FORMAT_CONSTANT], &event, 1);

        root = cJSON_ParseWithLengthOpts(text, text_len + 1, NULL, 1);

        is_i64(cJSON_GetArraySize(root), i < 4 ? 2 : 3,
               "properties * writes %s as JSON", sent[i]);

        cJSON_Delete(root);
    }
}


static void
check_memory(void)
{
    size_t                   i, fail, wrong;
    memory_t                 m;
    ngx_analytics_event_t    event;
    ngx_analytics_format_t   format;
    ngx_analytics_writer_t   w;

    memset(&event, 0, sizeof(event));
    event_set(&event.user, "<\xe2\x80\xa8>");
    event_set(&event.type, "t");
    event_set(&event.properties, "{\"a\":{\"b\":[1,2,3,4,5,6,7,8,9,10]}}");
    wrong = 0;

    for (i = 0; i < EVENTS_FORMATS; i++) {
        for (fail = 1; fail <= 4; fail++) {
            memset(&m, 0, sizeof(m));
            m.fail = fail;

            ngx_analytics_writer_init(&w, memory_alloc, &m, 1);
            ngx_analytics_event_write(&w, &formats[i], &event, 1, EVENTS_NOW);

            wrong += (w.failed != (m.calls >= fail));
            memory_free(&m);

            memset(&m, 0, sizeof(m));
            m.fail = fail;
            format = formats[i];
            wrong += (ngx_analytics_format_init(&format, memory_alloc, &m)
                      != NGX_ERROR);
            memory_free(&m);
        }
    }

    is_u64(wrong, 0, "a lack of memory is told");
}


int
main(void)
{
    formats_init();

    check_examples();
    check_ids();
    check_no_id();
    check_integers();
    check_spaces();
    check_memory();

    return done_testing();
}
