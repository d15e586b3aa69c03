
/*
 * Bodies: that one is taken whole or not at all in each of its forms, and
 * that what is not JSON outweighs what is no event.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "tap.h"
#include "events.h"


#define EVENT   "{\"user_id\":\"u\",\"event_type\":\"t\"}"
#define SLOTS   5
#define MAX     (1 << 18)

#define count(a)  (sizeof(a) / sizeof((a)[0]))


enum {
    OBJECTS = 0,
    ARRAY,
    LINES,
    FORMS
};


static const char *const  form_names[] = { "objects", "array", "lines" };

static u_char  text[MAX];


static void
check_forms(void)
{
    size_t              i;
    decoded_t           r;
    static const struct {
        const char     *body;
        ngx_uint_t      ndjson;
        ngx_int_t       rc;
        ngx_uint_t      n;
        ngx_uint_t      list;
    } bodies[] = {
        { EVENT, 0, NGX_OK, 1, 0 },
        { " \t\r\n" EVENT " \t\r\n", 0, NGX_OK, 1, 0 },
        { "[" EVENT "]", 0, NGX_OK, 1, 1 },
        { " [ " EVENT " , " EVENT " ] ", 0, NGX_OK, 2, 1 },
        { "[]", 0, NGX_OK, 0, 1 },
        { " [ ] ", 0, NGX_OK, 0, 1 },
        { EVENT "\n" EVENT, 0, NGX_OK, 2, 1 },
        { EVENT EVENT EVENT, 0, NGX_OK, 3, 1 },
        { EVENT, 1, NGX_OK, 1, 1 },
        { EVENT "\r\n" EVENT "\n", 1, NGX_OK, 2, 1 },
        { "\n\n" EVENT "\n\n\n" EVENT "\n\n", 1, NGX_OK, 2, 1 },

        { "", 0, NGX_DECLINED, 0, 0 },
        { " \n", 0, NGX_DECLINED, 0, 0 },
        { "", 1, NGX_DECLINED, 0, 0 },
        { "\n\n", 1, NGX_DECLINED, 0, 0 },
        { "[" EVENT, 0, NGX_DECLINED, 0, 0 },
        { "[" EVENT ",", 0, NGX_DECLINED, 0, 0 },
        { "[" EVENT ",]", 0, NGX_DECLINED, 0, 0 },
        { "[," EVENT "]", 0, NGX_DECLINED, 0, 0 },
        { "[" EVENT " " EVENT "]", 0, NGX_DECLINED, 0, 0 },
        { "[" EVENT "]]", 0, NGX_DECLINED, 0, 0 },
        { "[" EVENT "]" EVENT, 0, NGX_DECLINED, 0, 0 },
        { "[" EVENT "][" EVENT "]", 0, NGX_DECLINED, 0, 0 },
        { EVENT "," EVENT, 0, NGX_DECLINED, 0, 0 },
        { EVENT "," EVENT, 1, NGX_DECLINED, 0, 0 },
        { EVENT "]", 0, NGX_DECLINED, 0, 0 },
        { EVENT "}", 0, NGX_DECLINED, 0, 0 },
        { EVENT "}", 1, NGX_DECLINED, 0, 0 },
        { EVENT "garbage", 0, NGX_DECLINED, 0, 0 },
        { EVENT " 1", 0, NGX_DECLINED, 0, 0 },
        { EVENT "[]", 0, NGX_DECLINED, 0, 0 },
        { "\xef\xbb\xbf" EVENT, 0, NGX_DECLINED, 0, 0 },
        { "user_id=u&event_type=t", 0, NGX_DECLINED, 0, 0 },
        { "{'user_id':'u','event_type':'t'}", 0, NGX_DECLINED, 0, 0 },

        { "1", 0, NGX_ABORT, 0, 0 },
        { "null", 0, NGX_ABORT, 0, 0 },
        { "\"text\"", 0, NGX_ABORT, 0, 0 },
        { "true", 1, NGX_ABORT, 0, 0 },
        { "{}", 0, NGX_ABORT, 0, 0 },
        { "[[]]", 0, NGX_ABORT, 0, 0 },
        { "[[" EVENT "]]", 0, NGX_ABORT, 0, 0 },
        { "[" EVENT ",1]", 0, NGX_ABORT, 0, 0 },
        { "[" EVENT ",null]", 0, NGX_ABORT, 0, 0 },
        { "[" EVENT "]", 1, NGX_ABORT, 0, 0 },
        { EVENT "\n\"u\"\n", 1, NGX_ABORT, 0, 0 }
    };

    for (i = 0; i < count(bodies); i++) {
        decode(&r, &formats[FORMAT_EVENT], bodies[i].ndjson, bodies[i].body,
               strlen(bodies[i].body));

        is_i64(r.rc, bodies[i].rc, "a body%s: %s",
               bodies[i].ndjson ? " of lines" : "", bodies[i].body);

        if (r.rc == NGX_OK) {
            is_u64(r.d.n, bodies[i].n, "... its events");
            is_u64(r.d.list, bodies[i].list, "... whether it is a list");

        } else {
            ok(r.d.err != NULL && r.d.err[0], "... and why it is refused");
        }

        if (r.rc == NGX_ABORT) {
            ok(r.d.nerrors >= 1, "... and where");
        }

        decoded_free(&r);
    }
}


/* NUL bytes are no white space, wherever they stand. */
static void
check_nul(void)
{
    size_t                   i;
    decoded_t                r;
    static const char        body[] = "[" EVENT "]";
    static const ngx_uint_t  at[] = { 0, 1, 2, 3, 12, sizeof(body) - 3,
                                      sizeof(body) - 2, sizeof(body) - 1 };

    for (i = 0; i < count(at); i++) {
        memcpy(text, body, at[i]);
        text[at[i]] = '\0';
        memcpy(text + at[i] + 1, body + at[i], sizeof(body) - 1 - at[i]);

        is_i64(decode(&r, &formats[FORMAT_EVENT], 0, text, sizeof(body)),
               NGX_DECLINED, "a NUL byte at %u is not JSON",
               (unsigned) at[i]);
        is_u64(r.d.offset, at[i], "... and was found there");

        decoded_free(&r);
    }
}


static void
check_offset(void)
{
    size_t              i;
    decoded_t           r;
    static const struct {
        const char     *body;
        size_t          offset;
    } bodies[] = {
        { "x", 0 },
        { "  x", 2 },
        { "{\"a\":x}", 5 },
        { "{\"a\":1}x", 7 },
        { "{\"a\":1} []", 8 },
        { "[{}]x", 4 },
        { "[{} x", 4 },
        { "[{},x", 4 },
        { "[\"a\",{\"user_id\":x", 16 },
        { "{\"user_id\":\"\\ud800\"}", 12 },
        { "{\"user_id\":\"\xff\"}", 12 }
    };

    for (i = 0; i < count(bodies); i++) {
        is_i64(decode_text(&r, &formats[FORMAT_EVENT], bodies[i].body),
               NGX_DECLINED, "not JSON: %s", bodies[i].body);
        is_u64(r.d.offset, bodies[i].offset, "... the byte where");

        decoded_free(&r);
    }
}


/* A body that was cut is refused, but for whole objects without a list. */
static void
check_cut(void)
{
    size_t             len, n;
    ngx_int_t          rc;
    decoded_t          r;
    ngx_uint_t         wrong, form;
    static const char  whole[] =
        "{\"user_id\":\"u\\u0041\",\"event_type\":\"t\","
        "\"timestamp\":\"2025-10-04T12:30:00Z\","
        "\"metadata\":{\"a\":[1,-2.5e3,true,null,\"\xc3\xa9\"]}}";

    for (form = 0; form < FORMS; form++) {
        wrong = 0;

        snprintf((char *) text, MAX,
                 form == ARRAY ? "[%s,%s,%s]" : "%s\n%s\n%s\n", whole, whole,
                 whole);

        for (len = 0; len < strlen((char *) text); len++) {
            rc = decode(&r, &formats[FORMAT_EVENT], form == LINES, text, len);

            /* sizeof(whole) bytes are an object and its line feed */

            n = (len + 1) / sizeof(whole);

            if (form != ARRAY && n && (len + 1) % sizeof(whole) <= 1) {
                wrong += (rc != NGX_OK || r.d.n != n);

            } else {
                wrong += (rc != NGX_DECLINED);
            }

            decoded_free(&r);
        }

        is_u64(wrong, 0, "%s cut at any byte are not taken in part",
               form_names[form]);
    }
}


/* Builds SLOTS events: pick tells which of each slot, by base 3. */
static size_t
build_slots(ngx_uint_t form, ngx_uint_t pick, const char *no_event,
    const char *no_json)
{
    u_char      *p;
    ngx_uint_t   i;
    const char  *s;

    p = text;

    if (form == ARRAY) {
        *p++ = '[';
    }

    for (i = 0; i < SLOTS; i++) {
        s = pick % 3 == 0 ? EVENT : pick % 3 == 1 ? no_event : no_json;
        pick /= 3;

        if (i) {
            *p++ = form == ARRAY ? ',' : '\n';
        }

        p = ngx_cpymem(p, s, strlen(s));
    }

    if (form == ARRAY) {
        *p++ = ']';
    }

    return p - text;
}


/* Whether a body of these slots was answered as it has to be. */
static ngx_uint_t
slots_right(decoded_t *r, ngx_uint_t pick)
{
    ngx_uint_t  i, n, slot, bad, broken;

    bad = 0;
    broken = 0;

    for (i = 0, n = pick; i < SLOTS; i++, n /= 3) {
        bad += (n % 3 == 1);
        broken += (n % 3 == 2);
    }

    if (broken) {
        return r->rc == NGX_DECLINED && r->d.err && r->d.offset < r->len;
    }

    if (bad == 0) {
        return r->rc == NGX_OK && r->d.n == SLOTS;
    }

    if (r->rc != NGX_ABORT || r->d.nerrors != bad) {
        return 0;
    }

    for (i = 0, slot = 0; slot < SLOTS; slot++, pick /= 3) {

        if (pick % 3 == 1 && r->d.errors[i++].index != slot) {
            return 0;
        }
    }

    return 1;
}


static void
check_precedence(void)
{
    size_t             i, j, len;
    decoded_t          r;
    ngx_uint_t         form, pick, wrong;
    static const char  *no_events[] = {
        "{\"event_type\":\"t\"}",
        "{\"user_id\":1,\"event_type\":\"t\"}",
        "{\"user_id\":\"u\",\"event_type\":\"t\",\"timestamp\":\"now\"}",
        "{\"user_id\":\"u\",\"event_type\":\"t\",\"metadata\":[]}"
    };
    static const char  *no_jsons[] = {
        "{\"user_id\":\"u\" \"event_type\":\"t\"}",
        "{\"user_id\":\"\\udc00\",\"event_type\":\"t\"}",
        "{\"user_id\":[tru],\"event_type\":\"t\"}",
        "{\"user_id\":\"u\",\"event_type\":\"t\",\"metadata\":{\"a\":01}}",
        "{\"user_id\":\"u\",\"event_type\":\"t\",\"other\":[\"\xc3\"]}",
        "{\"\\x\":1}",
        "{\"user_id\":\"u\",\"user_id\":nul}"
    };

    for (form = 0; form < FORMS; form++) {
        wrong = 0;

        for (i = 0; i < count(no_events) * count(no_jsons); i++) {
            j = i % count(no_jsons);

            for (pick = 0; pick < 3 * 3 * 3 * 3 * 3; pick++) {
                len = build_slots(form, pick, no_events[i / count(no_jsons)],
                                  no_jsons[j]);
                decode(&r, &formats[FORMAT_EVENT], form == LINES, text, len);
                wrong += !slots_right(&r, pick);
                decoded_free(&r);
            }
        }

        is_u64(wrong, 0, "%s: what is not JSON outweighs what is no event",
               form_names[form]);
    }
}


int
main(void)
{
    formats_init();

    check_forms();
    check_nul();
    check_offset();
    check_cut();
    check_precedence();

    return done_testing();
}
