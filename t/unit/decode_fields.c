
/*
 * The values of an event's members: names by their length and characters,
 * users that are integers, times and their limits.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "tap.h"
#include "events.h"


#define MAX  8192

#define count(a)  (sizeof(a) / sizeof((a)[0]))


static char  body[3 * MAX], value[MAX];


/* The one error is of this field. */
static void
is_error(decoded_t *r, const char *what, const char *field,
    const char *detail)
{
    if (!is_i64(r->rc, NGX_ABORT, "refused: %s %s", field, what)
        || !is_u64(r->d.nerrors, 1, "... with one error"))
    {
        return;
    }

    is_str(r->d.errors[0].field.data, r->d.errors[0].field.len, field,
           "... about the member");
    ok(strstr(r->d.errors[0].detail, detail) != NULL,
       "... that tells of \"%s\": %s", detail, r->d.errors[0].detail);
}


/* A name of n times the text and what is behind it: its bytes, unescaped. */
static void
check_length(const char *text, size_t n, const char *tail, size_t len)
{
    char                   *p, what[64];
    size_t                  i, k;
    decoded_t               r;
    ngx_analytics_event_t  *event;

    for (i = 0, p = value; i < n; i++) {
        p = (char *) ngx_cpymem(p, text, strlen(text));
    }

    strcpy(p, tail);

    for (k = 0; k < 2; k++) {
        snprintf(body, sizeof(body),
                 "{\"user_id\":\"%s\",\"event_type\":\"%s\"}",
                 k == 0 ? value : "x", k == 0 ? "x" : value);
        decode_text(&r, &formats[FORMAT_EVENT], body);

        snprintf(what, sizeof(what), "of %u times %s, and \"%s\"",
                 (unsigned) n, text, tail);

        if (len == 0 || len > 255) {
            is_error(&r, what, k ? "event_type" : "user_id",
                     len ? "255 bytes" : "empty");

        } else if (is_i64(r.rc, NGX_OK, "taken: %s %s", k ? "type" : "user",
                          what))
        {
            event = decoded_event(&r, 0);
            is_u64(k ? event->type.len : event->user.len, len,
                   "... with all its bytes");
        }

        decoded_free(&r);
    }
}


static void
check_lengths(void)
{
    check_length("", 0, "", 0);
    check_length("a", 1, "", 1);
    check_length("a", 255, "", 255);
    check_length("a", 256, "", 256);
    check_length("a", 1530, "", 1530);
    check_length("a", 1531, "", 1531);
    check_length("\xc3\xa9", 127, "a", 255);
    check_length("\xc3\xa9", 128, "", 256);
    check_length("\xe2\x82\xac", 85, "", 255);
    check_length("\xe2\x82\xac", 85, "a", 256);
    check_length("\xf0\x9f\x98\x80", 63, "abc", 255);
    check_length("\xf0\x9f\x98\x80", 64, "", 256);

    check_length("\\u0061", 1, "", 1);
    check_length("\\u0061", 255, "", 255);
    check_length("\\u0061", 254, "a", 255);
    check_length("\\u0061", 255, "a", 256);
    check_length("\\u0061", 256, "", 256);
    check_length("\\u0061", 1000, "", 1000);
    check_length("\\u00e9", 127, "\\u0061", 255);
    check_length("\\u00e9", 128, "", 256);
    check_length("\\u20aC", 85, "", 255);
    check_length("\\u20Ac", 85, "\\/", 256);
    check_length("\\ud83d\\ude00", 63, "\\\\\\\"\\/", 255);
    check_length("\\ud83d\\ude00", 64, "", 256);
}


static size_t
put_utf8(char *p, unsigned c)
{
    if (c < 0x80) {
        p[0] = (char) c;
        return 1;
    }

    if (c < 0x800) {
        p[0] = (char) (0xc0 | c >> 6);
        p[1] = (char) (0x80 | (c & 0x3f));
        return 2;
    }

    p[0] = (char) (0xe0 | c >> 12);
    p[1] = (char) (0x80 | (c >> 6 & 0x3f));
    p[2] = (char) (0x80 | (c & 0x3f));

    return 3;
}


/* What a body with this character in a name has to be answered. */
static ngx_int_t
expected_of(unsigned c, int escaped)
{
    if (!escaped && (c < 0x20 || c == '"' || c == '\\')) {
        return NGX_DECLINED;
    }

    return (c < 0x20 || (c >= 0x7f && c < 0xa0)) ? NGX_ABORT : NGX_OK;
}


/* Builds a body with the character in its user or type. */
static size_t
build_character(unsigned c, int escaped, unsigned where, int type)
{
    char                     *p;
    static const char *const  before[] = { "", "ab\xc3\x89", "0123456789abcd" };
    static const char *const  behind[] = { "\xc3\x80", "", "\xe2\x82\xac" };

    p = body;
    p += sprintf(p, "{\"%s\":\"x\",\"%s\":\"%s",
                 type ? "user_id" : "event_type",
                 type ? "event_type" : "user_id", before[where]);

    if (escaped) {
        p += sprintf(p, "\\u%04x", c);

    } else {
        p += put_utf8(p, c);
    }

    p += sprintf(p, "%s\"}", behind[where]);

    return p - body;
}


static void
check_characters(void)
{
    size_t      len;
    unsigned    c, i, wrong;
    decoded_t   r;

    for (i = 0; i < 12; i++) {
        wrong = 0;

        for (c = 0; c < 0xd800; c++) {

            /* raw quotes and backslashes are no characters of the text */

            if (i % 2 == 0 && (c == '"' || c == '\\')) {
                continue;
            }

            len = build_character(c, i % 2, i / 2 % 3, i / 6);
            decode(&r, &formats[FORMAT_EVENT], 0, body, len);

            if (r.rc != expected_of(c, i % 2)
                || (r.rc == NGX_ABORT
                    && strstr(r.d.errors[0].detail, "control") == NULL))
            {
                wrong++;
                diag("U+%04X: %ld", c, (long) r.rc);
            }

            decoded_free(&r);
        }

        is_u64(wrong, 0, "%s%s, place %u: C0, DEL and C1 alone are refused",
               i / 6 ? "type" : "user", i % 2 ? ", escaped" : "", i / 2 % 3);
    }
}


static void
check_integers(void)
{
    size_t              i;
    decoded_t           r;
    static const struct {
        const char     *text;
        const char     *detail;              /* NULL: it is taken */
    } users[] = {
        { "0", NULL },
        { "1", NULL },
        { "-1", NULL },
        { "10", NULL },
        { "9007199254740991", NULL },
        { "9007199254740992", NULL },
        { "-9007199254740992", NULL },
        { "9007199254740993", "2^53" },
        { "-9007199254740993", "2^53" },
        { "9999999999999999", "2^53" },
        { "90071992547409920", "2^53" },
        { "9223372036854775807", "2^53" },
        { "18446744073709551616", "2^53" },
        { "18446744073709551617", "2^53" },
        { "-18446744073709551617", "2^53" },
        { "340282366920938463463374607431768211457", "2^53" },
        { "-0", "integer" },
        { "1.0", "integer" },
        { "1.5", "integer" },
        { "-0.0", "integer" },
        { "0e0", "integer" },
        { "1e3", "integer" },
        { "1E400", "integer" },
        { "\"1\"", "integer" },
        { "\"\"", "integer" },
        { "null", "integer" },
        { "true", "integer" },
        { "[1]", "integer" },
        { "{}", "integer" }
    };

    for (i = 0; i < count(users); i++) {
        snprintf(body, sizeof(body), "{\"action\":\"a\",\"n\":%s}",
                 users[i].text);
        decode_text(&r, &formats[FORMAT_EPOCH], body);

        if (users[i].detail) {
            is_error(&r, users[i].text, "n", users[i].detail);

        } else if (is_i64(r.rc, NGX_OK, "taken: an integer %s",
                          users[i].text))
        {
            is_str(decoded_event(&r, 0)->user.data,
                   decoded_event(&r, 0)->user.len, users[i].text,
                   "... to the digit");
        }

        decoded_free(&r);
    }

    /* elsewhere a user is text */

    decode_text(&r, &formats[FORMAT_EVENT],
                "{\"user_id\":17,\"event_type\":\"t\"}");
    is_error(&r, "17", "user_id", "string");
    decoded_free(&r);
}


typedef struct {
    const char     *text;
    const char     *detail;                  /* NULL: it is taken */
    int64_t         usec;
} instant_t;


static void
check_instants(ngx_uint_t kind, const char *fmt, const char *member,
    const instant_t *t, size_t n)
{
    size_t     i;
    decoded_t  r;

    for (i = 0; i < n; i++) {
        snprintf(body, sizeof(body), fmt, t[i].text);
        decode_text(&r, &formats[kind], body);

        if (t[i].detail) {
            is_error(&r, t[i].text, member, t[i].detail);

        } else if (is_i64(r.rc, NGX_OK, "taken: a time %s", t[i].text)) {
            is_i64(decoded_event(&r, 0)->time, t[i].usec, "... is this one");
        }

        decoded_free(&r);
    }
}


/* Now is 2025-10-04T12:30:00.123456Z: checked with date(1). */
static void
check_times(void)
{
    static const instant_t  times[] = {
        { "null", NULL, NGX_ANALYTICS_TIME_NONE },
        { "\"1970-01-01T00:00:00Z\"", NULL, 0 },
        { "\"1969-12-31T16:00:00-08:00\"", NULL, 0 },
        { "\"2025-10-04T12:30:00.123456Z\"", NULL, 1759581000123456 },
        { "\"2025-10-04T14:30:00.1234569+02:00\"", NULL, 1759581000123456 },
        { "\"\\u0032025-10-04T12:30:00\\u002e5\\u005a\"", NULL,
          1759581000500000 },
        { "\"2025-10-05T12:30:00.123456Z\"", NULL, 1759667400123456 },
        { "\"2025-10-05T12:30:00.123457Z\"", "ahead", 0 },
        { "\"2025-10-05T12:30:01Z\"", "ahead", 0 },
        { "\"9999-12-31T23:59:59Z\"", "ahead", 0 },
        { "\"1969-12-31T23:59:59.999999Z\"", "1970", 0 },
        { "\"1969-12-31T23:59:59.9999999Z\"", "1970", 0 },
        { "\"1970-01-01T00:00:00+00:01\"", "1970", 0 },
        { "\"0000-01-01T00:00:00Z\"", "1970", 0 },
        { "\"2025-02-30T00:00:00Z\"", "existing", 0 },
        { "\"2025-10-04T12:30:00\"", "existing", 0 },
        { "\"2025-10-04T12:30:00Z\\u0000\"", "existing", 0 },
        { "\"\"", "existing", 0 },
        { "1759581000", "string", 0 },
        { "true", "string", 0 },
        { "{}", "string", 0 }
    };

    check_instants(FORMAT_EVENT,
                   "{\"user_id\":\"u\",\"event_type\":\"t\",\"timestamp\":%s}",
                   "timestamp", times, count(times));
}


static void
check_epochs(void)
{
    static const instant_t  seconds[] = {
        { "null", NULL, NGX_ANALYTICS_TIME_NONE },
        { "0", NULL, 0 },
        { "1759581000", NULL, 1759581000000000 },
        { "1759581000.5", NULL, 1759581000500000 },
        { "1759581000.1234569", NULL, 1759581000123456 },
        { "1759667400.123456", NULL, 1759667400123456 },
        { "1759667400.123457", "ahead", 0 },
        { "1759667401", "ahead", 0 },
        { "-0.000001", "1970", 0 },
        { "-1", "1970", 0 },
        { "1759581000123", "ahead", 0 },
        { "9223372036854775807", "number", 0 },
        { "1e9", "exponent", 0 },
        { "1759581000E0", "exponent", 0 },
        { "\"1759581000\"", "number", 0 },
        { "\"2025-10-04T12:30:00Z\"", "number", 0 },
        { "[]", "number", 0 }
    };
    static const instant_t  milliseconds[] = {
        { "null", NULL, NGX_ANALYTICS_TIME_NONE },
        { "0", NULL, 0 },
        { "1759581000", NULL, 1759581000000 },
        { "1759581000123", NULL, 1759581000123000 },
        { "1759581000123.456", NULL, 1759581000123456 },
        { "1759667400123.456", NULL, 1759667400123456 },
        { "1759667400123.457", "ahead", 0 },
        { "-0.001", "1970", 0 },
        { "-1759581000123", "1970", 0 },
        { "1e12", "exponent", 0 },
        { "\"1759581000123\"", "number", 0 }
    };

    check_instants(FORMAT_EPOCH, "{\"n\":1,\"action\":\"a\",\"at\":%s}", "at",
                   seconds, count(seconds));
    check_instants(FORMAT_MS, "{\"u\":\"u\",\"t\":\"t\",\"ms\":%s}", "ms",
                   milliseconds, count(milliseconds));
}


/* Without a time of its own an event says that it has none. */
static void
check_no_time(void)
{
    decoded_t  r;

    decode_text(&r, &formats[FORMAT_EVENT],
                "{\"user_id\":\"u\",\"event_type\":\"t\"}");
    is_i64(decoded_event(&r, 0)->time, NGX_ANALYTICS_TIME_NONE,
           "no time in the event");
    is_u64(decoded_event(&r, 0)->properties.len, 0, "no properties");
    decoded_free(&r);

    decode_text(&r, &formats[FORMAT_BARE],
                "{\"u\":\"u\",\"t\":\"t\",\"\":\"2025-10-04T12:30:00Z\"}");
    is_i64(r.rc, NGX_OK, "an empty member is not that which is not mapped");
    is_i64(decoded_event(&r, 0)->time, NGX_ANALYTICS_TIME_NONE,
           "... nor is it the time");
    is_u64(decoded_event(&r, 0)->properties.len, 0, "... or the properties");
    decoded_free(&r);
}


/* RFC 3339 knows no longest fraction. */
static void
check_long_time(void)
{
    decoded_t  r;

    memset(value, '0', 2000);
    value[2000] = '\0';

    snprintf(body, sizeof(body), "{\"user_id\":\"u\",\"event_type\":\"t\","
             "\"timestamp\":\"2025-10-04T12:30:00.5%sZ\"}", value);

    if (is_i64(decode_text(&r, &formats[FORMAT_EVENT], body), NGX_OK,
               "a time with a long fraction"))
    {
        is_i64(decoded_event(&r, 0)->time, 1759581000500000, "... is this");
    }

    decoded_free(&r);

    snprintf(body, sizeof(body), "{\"user_id\":\"u\",\"event_type\":\"t\","
             "\"timestamp\":\"2025-10-04T12:30:00.5%s\\u005a\"}", value);

    if (is_i64(decode_text(&r, &formats[FORMAT_EVENT], body), NGX_OK,
               "a time with a long fraction and an escape"))
    {
        is_i64(decoded_event(&r, 0)->time, 1759581000500000, "... is this");
    }

    decoded_free(&r);
}


int
main(void)
{
    formats_init();

    check_lengths();
    check_characters();
    check_integers();
    check_times();
    check_epochs();
    check_no_time();
    check_long_time();

    return done_testing();
}
