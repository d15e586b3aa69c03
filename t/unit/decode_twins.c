
/*
 * Events of one body with the same id of their own: that the same event is
 * counted once, and another one refused.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "tap.h"
#include "events.h"


#define MAX     (1 << 18)
#define MANY    200000
#define ROUNDS  4000

#define count(a)  (sizeof(a) / sizeof((a)[0]))


enum {
    OBJECTS = 0,
    ARRAY,
    LINES,
    FORMS
};


static const char *const  form_names[] = { "objects", "array", "lines" };

static char      text[MAX];
static uint64_t  seed = 20251004;


/* xorshift64* */
static uint64_t
rnd(uint64_t n)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;

    return (seed * 0x2545f4914f6cdd1dull >> 20) % n;
}


/*
 * Pairs, their ids both "m": whether they are the same event is said of
 * their texts here.
 */
static void
check_pairs(void)
{
    size_t              i;
    decoded_t           r;
    static const struct {
        ngx_uint_t      kind;
        const char     *first;
        const char     *second;
        int             same;
    } pairs[] = {

#define E(more)  "{\"u\":\"u\",\"t\":\"t\",\"message_id\":\"m\"" more "}"
#define AT       ",\"at\":\"2025-10-04T12:30:00Z\""
#define R(more)  "{\"u\":\"u\",\"i\\\"<d>\":\"m\"" more "}"

        { FORMAT_ID, E(""), E(""), 1 },
        { FORMAT_ID, E(AT ",\"p\":{\"a\":1}"), E(AT ",\"p\":{\"a\":1}"), 1 },
        { FORMAT_ID, E(AT ",\"p\":{\"a\":1}"), E(",\"p\":{\"a\":1}" AT), 1 },
        { FORMAT_ID, E(""), E(",\"x\":1"), 1 },
        { FORMAT_ID, E(""), E(",\"id\":7"), 1 },
        { FORMAT_ID, E(""), E(",\"at\":null,\"p\":null"), 1 },
        { FORMAT_ID, E(""), "{\"u\":\"\\u0075\",\"t\":\"\\u0074\","
                            "\"message_id\":\"\\u006d\"}", 1 },
        { FORMAT_ID, E(AT), E(",\"at\":\"2025-10-04T14:30:00.000+02:00\""),
          1 },

        { FORMAT_ID, E(""), "{\"u\":\"U\",\"t\":\"t\",\"message_id\":\"m\"}",
          0 },
        { FORMAT_ID, E(""), "{\"u\":\"uu\",\"t\":\"t\",\"message_id\":\"m\"}",
          0 },
        { FORMAT_ID, E(""), "{\"u\":\"u\",\"t\":\"T\",\"message_id\":\"m\"}",
          0 },
        { FORMAT_ID, "{\"u\":\"ab\",\"t\":\"c\",\"message_id\":\"m\"}",
          "{\"u\":\"a\",\"t\":\"bc\",\"message_id\":\"m\"}", 0 },
        { FORMAT_ID, E(""), E(AT), 0 },
        { FORMAT_ID, E(AT), E(""), 0 },
        { FORMAT_ID, E(AT), E(",\"at\":\"2025-10-04T12:30:00.000001Z\""), 0 },
        { FORMAT_ID, E(""), E(",\"p\":{}"), 0 },
        { FORMAT_ID, E(",\"p\":{\"a\":1}"), E(",\"p\":{\"a\":2}"), 0 },
        { FORMAT_ID, E(",\"p\":{\"a\":1}"), E(",\"p\":{\"a\": 1}"), 0 },

        { FORMAT_ID_REST, R(""), R(""), 1 },
        { FORMAT_ID_REST, R(",\"a\":1"), R(",\"a\":1"), 1 },
        { FORMAT_ID_REST, R(",\"a\":1"), "{\"a\":1,\"i\\\"<d>\":\"m\","
                                         "\"u\":\"u\"}", 1 },
        { FORMAT_ID_REST, R(",\"a\":1"), R(",\"a\":1,\"id\":9"), 1 },
        { FORMAT_ID_REST, R(",\"a\":1"), R(",\"a\":2"), 0 },
        { FORMAT_ID_REST, R(",\"a\":1,\"b\":2"), R(",\"b\":2,\"a\":1"), 0 }
    };

    for (i = 0; i < count(pairs); i++) {
        snprintf(text, MAX, "[%s,%s]", pairs[i].first, pairs[i].second);
        decode_text(&r, &formats[pairs[i].kind], text);

        is_i64(r.rc, pairs[i].same ? NGX_OK : NGX_ABORT, "%s events: %s",
               pairs[i].same ? "the same" : "other", text);

        if (r.rc == NGX_OK && pairs[i].same) {
            is_u64(r.d.n, 2, "... both are there");
            is_u64(decoded_event(&r, 0)->known, 0, "... the first one new");
            is_u64(decoded_event(&r, 1)->known, 1, "... the second one known");
        }

        if (r.rc == NGX_ABORT && !pairs[i].same) {
            ok(r.d.nerrors == 1 && r.d.errors[0].index == 1
               && r.d.errors[0].field.data
                  == formats[pairs[i].kind].id.data
               && strcmp(r.d.errors[0].detail, "was used for another event")
                  == 0
               && r.d.err[0], "... which is told of the second one");
        }

        decoded_free(&r);
    }
}


static void
check_no_ids(void)
{
    size_t             i;
    decoded_t          r;
    static const char  *lists[] = {
        "[{\"u\":\"u\",\"t\":\"t\"},{\"u\":\"u\",\"t\":\"t\"},"
        "{\"u\":\"v\",\"t\":\"t\"}]",
        "[{\"u\":\"u\",\"t\":\"t\",\"message_id\":null},"
        "{\"u\":\"u\",\"t\":\"t\"},"
        "{\"u\":\"v\",\"t\":\"t\",\"message_id\":null}]",
        "[{\"u\":\"u\",\"t\":\"t\",\"message_id\":\"m\"},"
        "{\"u\":\"u\",\"t\":\"t\"},"
        "{\"u\":\"u\",\"t\":\"t\",\"message_id\":\"M\"}]"
    };

    for (i = 0; i < count(lists); i++) {
        is_i64(decode_text(&r, &formats[FORMAT_ID], lists[i]), NGX_OK,
               "no id twice: %s", lists[i]);

        if (r.rc == NGX_OK) {
            is_u64(decoded_event(&r, 0)->known + decoded_event(&r, 1)->known
                   + decoded_event(&r, 2)->known, 0, "... none is known");
        }

        decoded_free(&r);
    }

    is_i64(decode_text(&r, &formats[FORMAT_ID], "[]"), NGX_OK,
           "an empty list has no twins");
    decoded_free(&r);
}


static size_t
build(ngx_uint_t form, ngx_uint_t n, ngx_uint_t ids, ngx_uint_t users)
{
    char        *p;
    ngx_uint_t   i;

    p = text;

    if (form == ARRAY) {
        *p++ = '[';
    }

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s{\"u\":\"u%u\",\"t\":\"t\",\"message_id\":\"m%u\"}",
                     i == 0 ? "" : form == ARRAY ? "," : "\n",
                     (unsigned) (i / users), (unsigned) (i % ids));
    }

    if (form == ARRAY) {
        *p++ = ']';
    }

    return p - text;
}


/* In bodies of all forms, over the runs' ends. */
static void
check_forms(void)
{
    decoded_t    r;
    ngx_uint_t   i, form, wrong;

    for (form = 0; form < FORMS; form++) {

        /* 300 ids twice, of events that are all alike */

        decode(&r, &formats[FORMAT_ID], form == LINES, text,
               build(form, 600, 300, 600));

        if (is_i64(r.rc, NGX_OK, "%s: 300 events twice", form_names[form])) {
            wrong = 0;

            for (i = 0; i < 600; i++) {
                wrong += (decoded_event(&r, i)->known != (i >= 300));
            }

            is_u64(wrong, 0, "... are known from the second time on");
        }

        decoded_free(&r);

        /* ids again from another user, 300 times: 20 are told */

        decode(&r, &formats[FORMAT_ID], form == LINES, text,
               build(form, 600, 300, 300));

        is_i64(r.rc, NGX_ABORT, "%s: 300 ids for other events",
               form_names[form]);

        if (is_u64(r.d.nerrors, NGX_ANALYTICS_ERRORS_MAX,
                   "... as many as may be are told"))
        {
            wrong = 0;

            for (i = 0; i < r.d.nerrors; i++) {
                wrong += (r.d.errors[i].index != 300 + i);
            }

            is_u64(wrong, 0, "... the first ones");
        }

        decoded_free(&r);
    }
}


/* Of three events each is compared with the first. */
static void
check_three(void)
{
    decoded_t  r;

    decode_text(&r, &formats[FORMAT_ID], "[" E("") "," E("") "," E("") "]");

    if (is_i64(r.rc, NGX_OK, "the same event three times")) {
        ok(!decoded_event(&r, 0)->known && decoded_event(&r, 1)->known
           && decoded_event(&r, 2)->known, "... is new once");
    }

    decoded_free(&r);

    decode_text(&r, &formats[FORMAT_ID],
                "[" E("") "," E(AT) "," E("") "," E(AT) "]");

    is_i64(r.rc, NGX_ABORT, "two events with one id, in turns");
    ok(r.d.nerrors == 2 && r.d.errors[0].index == 1
       && r.d.errors[1].index == 3, "... those that are not the first");

    decoded_free(&r);
}


/* Where events are bad for themselves, those errors are told, and no others. */
static void
check_refused(void)
{
    decoded_t  r;

    decode_text(&r, &formats[FORMAT_ID], "[" E("") "," E(AT) ",{}]");
    ok(r.rc == NGX_ABORT && r.d.nerrors == 2 && r.d.errors[0].index == 2,
       "an event that is none comes before twins");
    decoded_free(&r);

    decode_text(&r, &formats[FORMAT_ID], "[" E("") "," E(AT) "]]");
    is_i64(r.rc, NGX_DECLINED, "so does what is not JSON");
    decoded_free(&r);
}


/* Few ids, users and properties, so that all happens. */
static size_t
build_random(int *ids, int *events, ngx_uint_t n, ngx_uint_t nids,
    ngx_uint_t nevents)
{
    char        *p;
    ngx_uint_t   i;

    p = text;
    *p++ = '[';

    for (i = 0; i < n; i++) {
        ids[i] = (int) rnd(nids + 1) - 1;
        events[i] = (int) rnd(nevents);

        p += sprintf(p, "%s{\"u\":\"u%d\",\"p\":{\"a\":%d},\"t\":\"t\"",
                     i ? "," : "", events[i] / 2, events[i] % 2);

        if (ids[i] >= 0) {
            p += sprintf(p, ",\"message_id\":\"%s%d\"",
                         rnd(2) ? "m" : "\\u006d", ids[i]);
        }

        *p++ = '}';
    }

    *p++ = ']';

    return p - text;
}


/* Against looking at all pairs of numbers that the texts were made of. */
static void
check_random(void)
{
    int         ids[300], events[300], known, other;
    size_t      len;
    decoded_t   r;
    ngx_uint_t  i, k, n, round, wrong, ok_seen, refused_seen, errors;

    wrong = 0;
    ok_seen = 0;
    refused_seen = 0;

    for (round = 0; round < ROUNDS; round++) {
        n = 1 + rnd(round % 20 ? 12 : 300);
        len = build_random(ids, events, n, 1 + rnd(2 * n),
                           1 + (rnd(3) ? 0 : rnd(4)));

        decode(&r, &formats[FORMAT_ID], 0, text, len);
        errors = 0;

        for (i = 0; i < n; i++) {
            for (k = 0; k < i && (ids[k] != ids[i] || ids[i] < 0); k++) {
                /* void */
            }

            known = (k < i && events[k] == events[i]);
            other = (k < i && events[k] != events[i]);

            if (r.rc == NGX_OK) {
                wrong += (decoded_event(&r, i)->known != (ngx_uint_t) known);
            }

            if (other && errors < NGX_ANALYTICS_ERRORS_MAX) {
                wrong += (errors >= r.d.nerrors
                          || r.d.errors[errors].index != i);
                errors++;
            }
        }

        wrong += (errors != r.d.nerrors
                  || r.rc != (errors ? NGX_ABORT : NGX_OK));

        ok_seen += (r.rc == NGX_OK);
        refused_seen += (r.rc == NGX_ABORT);

        decoded_free(&r);
    }

    is_u64(wrong, 0, "%u random lists as all pairs say", ROUNDS);
    ok(ok_seen > ROUNDS / 10 && refused_seen > ROUNDS / 10,
       "... some right, some refused");
}


/* The time would grow with the square of it. */
static void
check_many(void)
{
    char        *large, *p;
    decoded_t    r;
    ngx_uint_t   i, n;

    large = malloc((size_t) MANY * 64);

    if (large == NULL) {
        abort();
    }

    for (i = 0, p = large; i < MANY; i++) {
        p += sprintf(p, "{\"u\":\"u\",\"t\":\"t\",\"message_id\":\"%u\"}\n",
                     (unsigned) (i % (MANY - 1)));
    }

    if (is_i64(decode(&r, &formats[FORMAT_ID], 1, large, p - large), NGX_OK,
               "%u ids", MANY))
    {
        n = 0;

        while (r.d.first) {
            for (i = 0; i < r.d.first->n; i++) {
                n += r.d.first->events[i].known;
            }

            if (r.d.first == r.d.last) {
                is_u64(r.d.last->events[r.d.last->n - 1].known, 1,
                       "... the last one known");
            }

            r.d.first = r.d.first->next;
        }

        is_u64(n, 1, "... and no other");
    }

    decoded_free(&r);
    free(large);
}


/* Each call of alloc fails once. */
static void
check_memory(void)
{
    size_t             i, fail, calls;
    decoded_t          r;
    ngx_uint_t         wrong;
    static const char  *bodies[] = {
        "[" E("") "," E("") "]",
        "[" E("") "," E(AT) "]",
        "[" E("") ",{\"u\":\"\\u0075\",\"t\":\"t\",\"message_id\":\"\\n\"}]",
        "[" R(",\"a\":1") "," R(",\"a\":2") "]"
    };

    for (i = 0; i < count(bodies); i++) {
        decode_text(&r, &formats[i == 3 ? FORMAT_ID_REST : FORMAT_ID],
                    bodies[i]);
        calls = r.memory.calls;
        decoded_free(&r);

        wrong = 0;

        for (fail = 1; fail <= calls; fail++) {
            memset(&r, 0, sizeof(r));
            r.memory.fail = fail;

            decode_again(&r, &formats[i == 3 ? FORMAT_ID_REST : FORMAT_ID], 0,
                         bodies[i], strlen(bodies[i]));
            wrong += (r.rc != NGX_ERROR);
            decoded_free(&r);
        }

        ok(calls > 1 && wrong == 0,
           "memory may fail at each of %u calls: %.60s", (unsigned) calls,
           bodies[i]);
    }

    /* one event has nobody to be compared with */

    decode_text(&r, &formats[FORMAT_ID], E(""));
    is_u64(r.memory.calls, 1, "an event alone takes memory for its run only");
    decoded_free(&r);
}


int
main(void)
{
    formats_init();

    check_pairs();
    check_no_ids();
    check_forms();
    check_three();
    check_refused();
    check_random();
    check_many();
    check_memory();

    return done_testing();
}
