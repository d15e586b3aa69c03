
/*
 * Which member of an object is what: by its name however that is escaped,
 * once at most, and of the type that it must be; and what becomes of all the
 * others.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "tap.h"
#include "events.h"


#define MAX  16384

#define count(a)  (sizeof(a) / sizeof((a)[0]))


static char  body[MAX], name[MAX];


/* The text of a member's name: byte i escaped if how tells so. */
static const char *
escape_name(ngx_str_t *str, int how)
{
    char    *p;
    size_t   i;

    p = name;

    for (i = 0; i < str->len; i++) {
        if (str->data[i] == '"' || str->data[i] == '\\') {
            *p++ = '\\';
            *p++ = (char) str->data[i];

        } else if (str->data[i] >= 0x80
                   || !(how == 1 || (how == 2 && i == 0)
                        || (how == 3 && i == str->len - 1)))
        {
            *p++ = (char) str->data[i];

        } else {
            p += sprintf(p, (i & 1) ? "\\u%04X" : "\\u%04x", str->data[i]);
        }
    }

    *p = '\0';

    return name;
}


/* An object with all of a format's members, their names escaped by how. */
static void
build_members(ngx_analytics_format_t *f, int how)
{
    char  *p;

    p = body;
    p += sprintf(p, "{\"%s\":%s", escape_name(&f->user, how),
                 f->integer ? "17" : "\"u\"");

    if (!f->constant) {
        p += sprintf(p, ",\"%s\":\"t\"", escape_name(&f->type, how));
    }

    if (f->time.len) {
        p += sprintf(p, ",\"%s\":%s", escape_name(&f->time, how),
                     f->unit ? "1000" : "\"1970-01-01T00:16:40Z\"");
    }

    if (f->properties.len && !f->rest) {
        p += sprintf(p, ",\"%s\":{\"a\":1}",
                     escape_name(&f->properties, how));
    }

    if (f->id.len) {
        p += sprintf(p, ",\"%s\":\"i\"", escape_name(&f->id, how));
    }

    strcpy(p, "}");
}


static void
check_names(void)
{
    int                      how;
    decoded_t                r;
    ngx_uint_t               i;
    ngx_analytics_event_t   *event;
    ngx_analytics_format_t  *f;

    for (i = 0; i < EVENTS_FORMATS; i++) {
        f = &formats[i];

        for (how = 0; how < 4; how++) {
            build_members(f, how);

            if (!is_i64(decode_text(&r, f, body), NGX_OK,
                        "format %s: names escaped in way %d", f->name.data,
                        how))
            {
                decoded_free(&r);
                continue;
            }

            event = decoded_event(&r, 0);

            is_str(event->user.data, event->user.len,
                   f->integer ? "17" : "u", "... the user");
            is_str(event->type.data, event->type.len,
                   f->constant ? (char *) f->type.data : "t",
                   "... the type");
            is_i64(event->time,
                   f->time.len == 0 ? NGX_ANALYTICS_TIME_NONE
                   : f->unit ? 1000 * f->unit : 1000000000, "... the time");
            is_str(event->properties.data, event->properties.len,
                   f->rest ? "{}" : f->properties.len ? "{\"a\":1}" : "",
                   "... the properties");
            is_str(event->id.data, event->id.len, f->id.len ? "i" : "",
                   "... the id");

            decoded_free(&r);
        }
    }
}


/* Names that are nearly the same are others. */
static void
check_other_names(void)
{
    size_t             i;
    decoded_t          r;
    static const char  *names[] = {
        "", "user", "user_idx", "User_id", "USER_ID", " user_id", "user_id ",
        "user_id\\u0000", "\\u0000user_id", "user_id\\n", "user-id",
        "\\u0055ser_id", "user\\\\u005fid", "\\u00f5ser_id"
    };

    for (i = 0; i < count(names); i++) {
        snprintf(body, MAX, "{\"%s\":\"u\",\"event_type\":\"t\"}", names[i]);

        is_i64(decode_text(&r, &formats[FORMAT_EVENT], body), NGX_ABORT,
               "not the user: \"%s\"", names[i]);
        ok(r.d.nerrors == 1 && strstr(r.d.errors[0].detail, "missing"),
           "... it is missing");

        decoded_free(&r);
    }

    /* of the longest names those that go on behind them, in escapes */

    build_members(&formats[FORMAT_LONG], 1);
    memmove(strstr(body, "\":\"u\"") + 6, strstr(body, "\":\"u\""),
            strlen(strstr(body, "\":\"u\"")) + 1);
    memcpy(strstr(body, "\\u0075") + 6, "\\u0075", 6);

    is_i64(decode_text(&r, &formats[FORMAT_LONG], body), NGX_ABORT,
           "a name of 256 escapes is not one of 255");
    ok(r.d.nerrors == 1 && r.d.errors[0].field.len == 255,
       "... which is missing");

    decoded_free(&r);
}


/* Names too long for any member are kept as they are, and read no further. */
static void
check_long_names(void)
{
    size_t                   i, len;
    decoded_t                r;
    static const size_t      lengths[] = { 1525, 1530, 1531, 1532, 3000,
                                           5000 };

    for (i = 0; i < count(lengths); i++) {
        len = lengths[i] - 6;
        memset(name, 'n', len);
        name[len] = '\0';

        len = sprintf(body, "{\"u\":\"u\",\"t\":\"t\",\"%.*s\\u0075\":1}",
                      (int) len, name);

        if (is_i64(decode_text(&r, &formats[FORMAT_MS], body), NGX_OK,
                   "a name of %u bytes, escaped", (unsigned) lengths[i]))
        {
            is_u64(decoded_event(&r, 0)->properties.len, lengths[i] + 6,
                   "... is kept");
            ok(memcmp(decoded_event(&r, 0)->properties.data + 1,
                      r.body + len - lengths[i] - 5, lengths[i] + 5) == 0,
               "... as it was sent");
        }

        decoded_free(&r);

        is_i64(decode_text(&r, &formats[FORMAT_BARE], body), NGX_OK,
               "... or passed over");
        decoded_free(&r);
    }
}


static void
check_duplicates(void)
{
    int                      how;
    char                     again[2 * MAX];
    ngx_str_t               *fields[5];
    decoded_t                r;
    ngx_uint_t               i, k;
    ngx_analytics_format_t  *f;

    for (i = 0; i < EVENTS_FORMATS; i++) {
        f = &formats[i];

        fields[0] = &f->user;
        fields[1] = f->constant ? &f->user : &f->type;
        fields[2] = f->time.len ? &f->time : &f->user;
        fields[3] = (f->properties.len && !f->rest) ? &f->properties
                                                    : &f->user;
        fields[4] = f->id.len ? &f->id : &f->user;

        /* plain and plain, plain and escaped, escaped and plain */

        for (k = 0; k < 5 * 3; k++) {
            how = k / 5;

            build_members(f, how == 2 ? 1 : 0);
            body[strlen(body) - 1] = '\0';
            snprintf(again, sizeof(again), "%s,\"%s\":null}", body,
                     escape_name(fields[k % 5], how == 1 ? 1 : 0));

            decode_text(&r, f, again);

            ok(r.rc == NGX_ABORT && r.d.nerrors == 1
               && strstr(r.d.errors[0].detail, "repeated")
               && r.d.errors[0].field.data == fields[k % 5]->data,
               "format %s: member %u must not be repeated, in way %d",
               f->name.data, (unsigned) (k % 5), how);

            decoded_free(&r);
        }
    }
}


/* A null first is a member too. */
static void
check_duplicates_more(void)
{
    size_t              i;
    decoded_t           r;
    static const struct {
        const char     *body;
        ngx_uint_t      errors;
    } bodies[] = {
        { "{\"user_id\":\"u\",\"event_type\":\"t\",\"timestamp\":null,"
          "\"timestamp\":\"2025-10-04T12:30:00Z\"}", 1 },
        { "{\"user_id\":\"u\",\"event_type\":\"t\",\"metadata\":null,"
          "\"metadata\":{}}", 1 },
        { "{\"user_id\":\"u\",\"event_type\":\"t\",\"user_id\":\"v\","
          "\"user_id\":\"w\"}", 2 },
        { "{\"user_id\":\"u\",\"event_type\":\"t\",\"x\":1,\"x\":2}", 0 },
        { "{\"user_id\":\"u\",\"event_type\":\"t\",\"id\":1,\"id\":2}", 0 },
        { "{\"user_id\":\"u\",\"event_type\":\"t\","
          "\"metadata\":{\"user_id\":1,\"user_id\":2,\"a\":1,\"a\":2}}", 0 }
    };

    for (i = 0; i < count(bodies); i++) {
        decode_text(&r, &formats[FORMAT_EVENT], bodies[i].body);
        is_u64(r.d.nerrors, bodies[i].errors, "repeated or not: %s",
               bodies[i].body);
        is_i64(r.rc, bodies[i].errors ? NGX_ABORT : NGX_OK, "... the answer");
        decoded_free(&r);
    }
}


static void
check_types(void)
{
    size_t             i, k;
    decoded_t          r;
    ngx_int_t          rc;
    static const char  *members[] = { "user_id", "event_type", "timestamp",
                                      "metadata" };
    static const char  *values[] = {
        "null", "true", "false", "0", "-1.5e3", "\"\"", "[]",
        "[{\"user_id\":\"u\"}]", "{}", "{\"user_id\":\"u\"}"
    };

    for (i = 0; i < count(members); i++) {
        for (k = 0; k < count(values); k++) {
            snprintf(body, MAX, "{%s%s\"%s\":%s}",
                     i == 0 ? "" : "\"user_id\":\"u\",",
                     i == 1 ? "" : "\"event_type\":\"t\",", members[i],
                     values[k]);

            rc = (i >= 2 && values[k][0] == 'n')
                 || (i == 3 && values[k][0] == '{') ? NGX_OK : NGX_ABORT;

            is_i64(decode_text(&r, &formats[FORMAT_EVENT], body), rc,
                   "%s: %s", members[i], values[k]);

            if (rc == NGX_ABORT && r.rc == rc) {
                is_u64(r.d.nerrors, 1, "... one error");
                is_str(r.d.errors[0].field.data, r.d.errors[0].field.len,
                       members[i], "... of the member");
            }

            if (rc == NGX_OK && r.rc == rc && i == 3) {
                is_str(decoded_event(&r, 0)->properties.data,
                       decoded_event(&r, 0)->properties.len,
                       values[k][0] == 'n' ? "" : values[k], "... as sent");
            }

            decoded_free(&r);
        }
    }
}


/* A constant is the type, whatever the object says. */
static void
check_constant(void)
{
    size_t             i;
    decoded_t          r;
    static const char  *bodies[] = {
        "{\"u\":\"u\"}", "{\"u\":\"u\",\"ai_call\":\"x\"}",
        "{\"u\":\"u\",\"type\":1}", "{\"u\":\"u\",\"t\":null,\"t\":{}}"
    };

    for (i = 0; i < count(bodies); i++) {
        if (is_i64(decode_text(&r, &formats[FORMAT_CONSTANT], bodies[i]),
                   NGX_OK, "a constant type: %s", bodies[i]))
        {
            is_str(decoded_event(&r, 0)->type.data,
                   decoded_event(&r, 0)->type.len, "ai_call", "... is it");
        }

        decoded_free(&r);
    }

    decode_text(&r, &formats[FORMAT_CONSTANT], "[{}]");
    ok(r.rc == NGX_ABORT && r.d.nerrors == 1 && r.d.errors[0].field.len == 1,
       "a constant is never missing");
    decoded_free(&r);
}


/* Of "{u, t, ms, *}": what is not mapped, byte for byte. */
static void
check_rest(void)
{
    size_t              i;
    decoded_t           r;
    static const struct {
        const char     *body;
        const char     *rest;
    } bodies[] = {
        { "{\"u\":\"u\",\"t\":\"t\"}", "{}" },
        { " { \"u\" : \"u\" , \"t\" : \"t\" } ", "{}" },
        { "{\"u\":\"u\",\"t\":\"t\",\"ms\":1}", "{}" },
        { "{\"u\":\"u\",\"t\":\"t\",\"ms\":null,\"id\":7}", "{}" },
        { "{\"u\":\"u\",\"t\":\"t\",\"\\u0069d\":7,\"id\":{}}", "{}" },
        { "{\"u\":\"u\",\"t\":\"t\",\"a\":1}", "{\"a\":1}" },
        { "{\"a\":1,\"u\":\"u\",\"t\":\"t\"}", "{\"a\":1}" },
        { "{\"u\":\"u\",\"a\":1,\"t\":\"t\"}", "{\"a\":1}" },
        { "{\"a\":1,\"u\":\"u\",\"b\":2,\"t\":\"t\",\"c\":3}",
          "{\"a\":1,\"b\":2,\"c\":3}" },
        { "{ \"a\" :\t1 , \"u\":\"u\",\"t\":\"t\",\r\n\"b\":  [ 1 , 2 ] \n}",
          "{\"a\" :\t1,\"b\":  [ 1 , 2 ]}" },
        { "{\"u\":\"u\",\"t\":\"t\",\"o\":{\"u\":1,\"t\":2,\"id\":3,\"ms\":4}}",
          "{\"o\":{\"u\":1,\"t\":2,\"id\":3,\"ms\":4}}" },
        { "{\"u\":\"u\",\"t\":\"t\",\"l\":[{\"u\":1}]}",
          "{\"l\":[{\"u\":1}]}" },
        { "{\"u\":\"u\",\"t\":\"t\",\"\":0,\"*\":1}", "{\"\":0,\"*\":1}" },
        { "{\"u\":\"u\",\"t\":\"t\",\"n\":-0.0e+00,\"s\":\"\\u00e9\\/\"}",
          "{\"n\":-0.0e+00,\"s\":\"\\u00e9\\/\"}" },
        { "{\"\\u0075\":\"u\",\"\\u0074\":\"t\",\"\\u006ds\":5,\"\\u0061\":1}",
          "{\"\\u0061\":1}" },
        { "{\"u\":\"u\",\"t\":\"t\",\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}" },
        { "{\"u\":\"u\",\"t\":\"t\",\"a,\\\"}\":\"{\\\"b\\\":[\"}",
          "{\"a,\\\"}\":\"{\\\"b\\\":[\"}" },
        { "{\"u\":\"u\",\"t\":\"t\",\"U\":1,\"Id\":2,\"ID\":3,\"ids\":4}",
          "{\"U\":1,\"Id\":2,\"ID\":3,\"ids\":4}" }
    };

    for (i = 0; i < count(bodies); i++) {
        if (is_i64(decode_text(&r, &formats[FORMAT_MS], bodies[i].body),
                   NGX_OK, "the whole object: %s", bodies[i].body))
        {
            is_str(decoded_event(&r, 0)->properties.data,
                   decoded_event(&r, 0)->properties.len, bodies[i].rest,
                   "... but for what is mapped");
        }

        decoded_free(&r);
    }
}


/* With a constant type and no time, members of such names are kept. */
static void
check_rest_constant(void)
{
    decoded_t          r;
    static const char  sent[] = "{\"ai_call\":1,\"\":2,\"type\":3,\"time\":4}";

    snprintf(body, MAX, "{\"u\":\"u\",%s", sent + 1);

    if (is_i64(decode_text(&r, &formats[FORMAT_CONSTANT], body), NGX_OK,
               "the whole object beside a constant"))
    {
        is_str(decoded_event(&r, 0)->properties.data,
               decoded_event(&r, 0)->properties.len, sent,
               "... but for the user");
    }

    decoded_free(&r);
}


/* Each event of a list has the rest of its own. */
static void
check_rest_list(void)
{
    decoded_t  r;

    decode_text(&r, &formats[FORMAT_MS],
                "[{\"u\":\"u\",\"t\":\"t\",\"a\":1},"
                "{\"u\":\"v\",\"t\":\"t\",\"b\":2}]");

    if (is_u64(r.d.n, 2, "two whole objects")) {
        is_str(decoded_event(&r, 0)->properties.data,
               decoded_event(&r, 0)->properties.len, "{\"a\":1}",
               "... the first one's");
        is_str(decoded_event(&r, 1)->properties.data,
               decoded_event(&r, 1)->properties.len, "{\"b\":2}",
               "... the second one's");
    }

    decoded_free(&r);

    decode_text(&r, &formats[FORMAT_MS],
                "[{\"u\":\"u\",\"a\":1},{\"u\":\"v\",\"t\":\"t\",\"b\":tru}]");
    is_i64(r.rc, NGX_DECLINED, "what is kept must be JSON");
    decoded_free(&r);
}


int
main(void)
{
    formats_init();

    check_names();
    check_other_names();
    check_long_names();
    check_duplicates();
    check_duplicates_more();
    check_types();
    check_constant();
    check_rest();
    check_rest_constant();
    check_rest_list();

    return done_testing();
}
