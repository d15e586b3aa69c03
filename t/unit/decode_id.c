
/*
 * An event's own id: what it may be, and that it is nothing else.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "tap.h"
#include "events.h"


#define MAX  16384

#define count(a)  (sizeof(a) / sizeof((a)[0]))


static char  body[MAX];


/* Of "{u, t, at, p, message_id}": the id, or what is wrong with it. */
static void
check_values(void)
{
    size_t              i;
    decoded_t           r;
    static const struct {
        const char     *member;
        const char     *id;
        const char     *wrong;
    } ids[] = {
        { ",\"message_id\":\"m-1\"", "m-1", NULL },
        { ",\"message_id\":\"1\"", "1", NULL },
        { ",\"message_id\":\" \"", " ", NULL },
        { ",\"message_id\":\"null\"", "null", NULL },
        { ",\"message_id\":\"\xc3\xa9\xf0\x9f\x98\x80\"",
          "\xc3\xa9\xf0\x9f\x98\x80", NULL },
        { ",\"message_id\":\"\\u006d\\/\\\"\\\\\\u00e9\\ud83d\\ude00\"",
          "m/\"\\\xc3\xa9\xf0\x9f\x98\x80", NULL },
        { ",\"message\\u005fid\":\"m\"", "m", NULL },
        { ",\"message_id\" : \"m\"", "m", NULL },

        { ",\"message_id\":null", "", NULL },
        { "", "", NULL },
        { ",\"id\":\"m\"", "", NULL },
        { ",\"id\":7,\"Message_id\":\"m\",\"message_id \":\"m\"", "", NULL },
        { ",\"p\":{\"message_id\":\"m\"}", "", NULL },

        { ",\"message_id\":\"\"", NULL, "empty" },
        { ",\"message_id\":\"\\n\"", NULL, "control" },
        { ",\"message_id\":\"a\\u0000\"", NULL, "control" },
        { ",\"message_id\":\"a\\u007f\"", NULL, "control" },
        { ",\"message_id\":\"a\xc2\x85\"", NULL, "control" },
        { ",\"message_id\":7", NULL, "string" },
        { ",\"message_id\":-1.5e3", NULL, "string" },
        { ",\"message_id\":true", NULL, "string" },
        { ",\"message_id\":false", NULL, "string" },
        { ",\"message_id\":{}", NULL, "string" },
        { ",\"message_id\":[\"m\"]", NULL, "string" },
        { ",\"message_id\":\"m\",\"message_id\":\"m\"", NULL, "repeated" },
        { ",\"message_id\":null,\"message_id\":\"m\"", NULL, "repeated" },
        { ",\"message_id\":\"m\",\"message_id\":null", NULL, "repeated" }
    };

    for (i = 0; i < count(ids); i++) {
        snprintf(body, MAX, "{\"u\":\"u\",\"t\":\"t\"%s}", ids[i].member);
        decode_text(&r, &formats[FORMAT_ID], body);

        is_i64(r.rc, ids[i].wrong ? NGX_ABORT : NGX_OK, "an id: %s", body);

        if (r.rc == NGX_OK && ids[i].id) {
            is_str(decoded_event(&r, 0)->id.data, decoded_event(&r, 0)->id.len,
                   ids[i].id, "... is that");
            is_u64(decoded_event(&r, 0)->known, 0, "... of a new event");
        }

        if (r.rc == NGX_ABORT && ids[i].wrong
            && is_u64(r.d.nerrors, 1, "... one error"))
        {
            is_str(r.d.errors[0].field.data, r.d.errors[0].field.len,
                   "message_id", "... of that member");
            ok(strstr(r.d.errors[0].detail, ids[i].wrong) != NULL,
               "... that it is about \"%s\"", ids[i].wrong);
        }

        decoded_free(&r);
    }
}


/* Bytes are counted, of the text that the escapes stand for. */
static void
check_length(size_t n, ngx_uint_t escaped, ngx_int_t rc)
{
    char       expected[512];
    char      *p;
    size_t     i;
    decoded_t  r;

    p = body;
    p += sprintf(p, "{\"u\":\"u\",\"t\":\"t\",\"message_id\":\"");

    for (i = 0; i < n; i++) {
        p += sprintf(p, escaped ? "\\u0078" : "x");
    }

    strcpy(p, "\"}");

    memset(expected, 'x', n);
    expected[n] = '\0';

    is_i64(decode_text(&r, &formats[FORMAT_ID], body), rc,
           "an id of %u bytes%s", (unsigned) n, escaped ? ", escaped" : "");

    if (r.rc == NGX_OK) {
        is_str(decoded_event(&r, 0)->id.data, decoded_event(&r, 0)->id.len,
               expected, "... is kept");

    } else {
        ok(r.d.nerrors == 1 && strstr(r.d.errors[0].detail, "255"),
           "... is too long");
    }

    decoded_free(&r);
}


/* A format without an id passes over what others take for one. */
static void
check_other_format(void)
{
    decoded_t  r;

    is_i64(decode_text(&r, &formats[FORMAT_BARE],
                       "[{\"u\":\"u\",\"t\":\"t\",\"message_id\":\"m\"},"
                       "{\"u\":\"v\",\"t\":\"t\",\"message_id\":\"m\"},"
                       "{\"u\":\"v\",\"t\":\"t\",\"message_id\":7}]"),
           NGX_OK, "a format without an id");

    if (r.rc == NGX_OK) {
        is_u64(decoded_event(&r, 0)->id.len + decoded_event(&r, 1)->id.len
               + decoded_event(&r, 2)->id.len, 0, "... reads none");
    }

    decoded_free(&r);
}


/* Each event of a list has its own, or none. */
static void
check_list(void)
{
    size_t             i;
    decoded_t          r;
    static const char  *ids[] = { "a", "", "b", "", "c" };

    decode_text(&r, &formats[FORMAT_ID],
                "[{\"message_id\":\"a\",\"u\":\"u\",\"t\":\"t\"},"
                "{\"u\":\"u\",\"t\":\"t\"},"
                "{\"u\":\"u\",\"message_id\":\"b\",\"t\":\"t\"},"
                "{\"u\":\"u\",\"message_id\":null,\"t\":\"t\"},"
                "{\"u\":\"u\",\"t\":\"t\",\"message_id\":\"\\u0063\"}]");

    if (is_u64(r.d.n, count(ids), "ids in a list")) {
        for (i = 0; i < count(ids); i++) {
            is_str(decoded_event(&r, i)->id.data, decoded_event(&r, i)->id.len,
                   ids[i], "... each its own");
        }
    }

    decoded_free(&r);

    decode_text(&r, &formats[FORMAT_ID],
                "[{\"message_id\":\"a\",\"u\":\"u\",\"t\":\"t\"},"
                "{\"message_id\":7,\"u\":\"u\",\"t\":\"t\"},"
                "{\"message_id\":\"a\",\"u\":\"u\"}]");

    is_i64(r.rc, NGX_ABORT, "bad events among them");

    if (is_u64(r.d.nerrors, 2, "... are told")) {
        is_u64(r.d.errors[0].index, 1, "... the id's, by its index");
        is_u64(r.d.errors[1].index, 2, "... and the missing type");
    }

    decoded_free(&r);
}


/* Of "{u, i"<d>, *}" with a constant type: all but what is mapped. */
static void
check_rest(void)
{
    size_t              i;
    decoded_t           r;
    static const struct {
        const char     *body;
        const char     *id;
        const char     *rest;
    } bodies[] = {
        { "{\"u\":\"u\",\"i\\\"<d>\":\"m\",\"a\":1}", "m", "{\"a\":1}" },
        { "{\"i\\\"<d>\":\"m\",\"u\":\"u\"}", "m", "{}" },
        { "{\"a\":1,\"\\u0069\\u0022<d>\":\"m\",\"u\":\"u\",\"b\":2}", "m",
          "{\"a\":1,\"b\":2}" },
        { "{\"u\":\"u\",\"i\\\"<d>\":null,\"a\":1}", "", "{\"a\":1}" },
        { "{\"u\":\"u\",\"id\":\"m\",\"a\":1}", "", "{\"a\":1}" },
        { "{\"u\":\"u\",\"message_id\":\"m\"}", "",
          "{\"message_id\":\"m\"}" },
        { "{\"u\":\"u\",\"o\":{\"i\\\"<d>\":\"m\"}}", "",
          "{\"o\":{\"i\\\"<d>\":\"m\"}}" }
    };

    for (i = 0; i < count(bodies); i++) {
        if (is_i64(decode_text(&r, &formats[FORMAT_ID_REST], bodies[i].body),
                   NGX_OK, "the whole object: %s", bodies[i].body))
        {
            is_str(decoded_event(&r, 0)->id.data, decoded_event(&r, 0)->id.len,
                   bodies[i].id, "... its id");
            is_str(decoded_event(&r, 0)->properties.data,
                   decoded_event(&r, 0)->properties.len, bodies[i].rest,
                   "... is not in its rest");
        }

        decoded_free(&r);
    }
}


/* An id that needs no unescaping is not copied. */
static void
check_slice(void)
{
    decoded_t          r;
    static const char  sent[] =
        "{\"message_id\":\"m-1\",\"u\":\"u\",\"t\":\"t\"}";

    decode_text(&r, &formats[FORMAT_ID], sent);

    if (is_i64(r.rc, NGX_OK, "an id that is a slice")) {
        ok(decoded_event(&r, 0)->id.data == r.body + 15, "... of the body");
        is_u64(r.memory.calls, 1, "... takes no memory");
    }

    decoded_free(&r);
}


int
main(void)
{
    formats_init();

    check_values();
    check_length(255, 0, NGX_OK);
    check_length(255, 1, NGX_OK);
    check_length(256, 0, NGX_ABORT);
    check_length(256, 1, NGX_ABORT);
    check_other_format();
    check_list();
    check_rest();
    check_slice();

    return done_testing();
}
