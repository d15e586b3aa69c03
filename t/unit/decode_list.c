
/*
 * Lists: that each error says where it is, that the runs hold the events in
 * their order, and that memory may run out at any call.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "tap.h"
#include "events.h"


#define EVENT   "{\"user_id\":\"u\",\"event_type\":\"t\"}"
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


/* n events, named by their number; every bad one is without a type. */
static size_t
build_events(ngx_uint_t form, ngx_uint_t n, ngx_uint_t bad)
{
    u_char      *p;
    ngx_uint_t   i;

    p = text;

    if (form == ARRAY) {
        *p++ = '[';
    }

    for (i = 0; i < n; i++) {
        p += sprintf((char *) p, "%s{\"user_id\":\"u%u\"%s}",
                     i == 0 ? "" : form == ARRAY ? "," : "\n", (unsigned) i,
                     bad && i % bad == 0 ? "" : ",\"event_type\":\"t\"");
    }

    if (form == ARRAY) {
        *p++ = ']';
    }

    return p - text;
}


static void
check_errors_max(void)
{
    decoded_t                r;
    ngx_uint_t               i, j, form, wrong;
    static const ngx_uint_t  sizes[] = { 1, 19, 20, 21, 1000 };

    for (form = 0; form < FORMS; form++) {
        for (i = 0; i < count(sizes); i++) {

            /* every third one is wrong */

            decode(&r, &formats[FORMAT_EVENT], form == LINES, text,
                   build_events(form, sizes[i] * 3, 3));

            is_i64(r.rc, NGX_ABORT, "%s, %u of them wrong", form_names[form],
                   (unsigned) sizes[i]);

            if (!is_u64(r.d.nerrors, ngx_min(sizes[i], 20),
                        "... at most 20 are told"))
            {
                decoded_free(&r);
                continue;
            }

            wrong = 0;

            for (j = 0; j < r.d.nerrors; j++) {
                wrong += (r.d.errors[j].index != j * 3
                          || r.d.errors[j].field.len != 10
                          || memcmp(r.d.errors[j].field.data, "event_type",
                                    10) != 0);
            }

            is_u64(wrong, 0, "... the first ones, with index and field");

            decoded_free(&r);
        }
    }
}


/* One event may hold several errors: they come in the order of the text. */
static void
check_errors(void)
{
    decoded_t               r;
    ngx_uint_t              i;
    static const char       body[] =
        "[" EVENT ",{},{\"metadata\":0,\"timestamp\":\"x\",\"user_id\":\"\","
        "\"event_type\":{},\"user_id\":\"u\"},7]";
    static const struct {
        ngx_uint_t          index;
        const char         *field;
        const char         *detail;
    } errors[] = {
        { 1, "user_id", "missing" },
        { 1, "event_type", "missing" },
        { 2, "metadata", "object" },
        { 2, "timestamp", "time" },
        { 2, "user_id", "empty" },
        { 2, "event_type", "string" },
        { 2, "user_id", "repeated" },
        { 3, "", "object" }
    };

    is_i64(decode_text(&r, &formats[FORMAT_EVENT], body), NGX_ABORT,
           "events with several errors each");

    if (is_u64(r.d.nerrors, count(errors), "... all are told")) {

        for (i = 0; i < r.d.nerrors; i++) {
            is_u64(r.d.errors[i].index, errors[i].index, "... the event");
            is_str(r.d.errors[i].field.data, r.d.errors[i].field.len,
                   errors[i].field, "... the field");
            ok(strstr(r.d.errors[i].detail, errors[i].detail) != NULL,
               "... that it is about \"%s\"", errors[i].detail);
        }
    }

    decoded_free(&r);
}


static ngx_uint_t
runs_wrong(decoded_t *r, ngx_uint_t n)
{
    char                  user[32];
    ngx_uint_t            i, k, wrong;
    ngx_analytics_run_t  *run, *last;

    wrong = 0;
    last = NULL;
    k = 0;

    for (run = r->d.first; run; run = run->next) {
        wrong += (run->n == 0 || run->n > NGX_ANALYTICS_RUN_MAX
                  || run->n > run->size);

        for (i = 0; i < run->n; i++) {
            snprintf(user, sizeof(user), "u%u", (unsigned) k++);
            wrong += (run->events[i].user.len != strlen(user)
                      || memcmp(run->events[i].user.data, user, strlen(user))
                         != 0);
        }

        last = run;
    }

    return wrong + (k != n) + (r->d.n != n) + (last != r->d.last);
}


static void
check_runs(void)
{
    decoded_t                r;
    ngx_uint_t               i, form;
    static const ngx_uint_t  sizes[] = { 1, 2, 63, 64, 65, 66, 128, 129, 130,
                                         1000 };

    for (form = 0; form < FORMS; form++) {
        for (i = 0; i < count(sizes); i++) {
            is_i64(decode(&r, &formats[FORMAT_EVENT], form == LINES, text,
                          build_events(form, sizes[i], 0)),
                   NGX_OK, "%s: %u events", form_names[form],
                   (unsigned) sizes[i]);
            is_u64(runs_wrong(&r, sizes[i]), 0,
                   "... stand in runs of at most 64, in their order");

            decoded_free(&r);
        }
    }

    decode_text(&r, &formats[FORMAT_EVENT], "[]");
    is_u64(runs_wrong(&r, 0), 0, "no events, no runs");
    decoded_free(&r);
}


/* Each call of alloc fails once: alone, and with all behind it. */
static void
check_memory_of(ngx_uint_t kind, const char *body)
{
    size_t      fail, calls;
    decoded_t   r;
    ngx_int_t   rc;
    ngx_uint_t  wrong, ever, n;

    rc = decode_text(&r, &formats[kind], body);
    calls = r.memory.calls;
    n = r.d.n;
    decoded_free(&r);

    wrong = 0;

    for (ever = 0; ever < 2; ever++) {
        for (fail = 1; fail <= calls; fail++) {
            memset(&r, 0, sizeof(r));
            r.memory.fail = fail;
            r.memory.ever = ever;

            decode_again(&r, &formats[kind], 0, body, strlen(body));

            /* a body that is not JSON may be known as such without memory */

            if (r.rc != NGX_ERROR) {
                wrong += (rc != NGX_DECLINED || r.rc != rc || r.d.n > n);
            }

            decoded_free(&r);
        }
    }

    ok(calls > 0 && wrong == 0, "memory may fail at each of %u calls: %.60s",
       (unsigned) calls, body);
}


static void
check_memory(void)
{
    size_t  len;

    check_memory_of(FORMAT_EVENT, EVENT);
    check_memory_of(FORMAT_EVENT, "[" EVENT "," EVENT "]");
    check_memory_of(FORMAT_EVENT,
                    "[{\"user_id\":\"\\u0041\",\"event_type\":\"\\n\\u0042\","
                    "\"timestamp\":\"2025-10-04T12:30:00\\u005a\"},{},1]");
    check_memory_of(FORMAT_EVENT, "[{\"user_id\":\"\\u0041\"},{},1,x]");
    check_memory_of(FORMAT_EPOCH, "[{\"n\":1,\"action\":\"a\\u0042\"},"
                                  "{\"n\":1.5,\"action\":\"a\"}]");
    check_memory_of(FORMAT_MS, "{\"u\":\"\\u0041\",\"t\":\"\\u0042\",\"x\":1}");
    check_memory_of(FORMAT_CONSTANT, "[{\"u\":\"a\",\"y\":1},{\"u\":1}]");

    len = build_events(ARRAY, 1000, 0);
    text[len] = '\0';
    check_memory_of(FORMAT_EVENT, (char *) text);
}


/* What needs no unescaping is not copied. */
static void
check_slices(void)
{
    decoded_t               r;
    ngx_analytics_event_t  *event;
    static const char       body[] =
        "{\"user_id\":\"\xc3\xa9\",\"event_type\":\"t\","
        "\"metadata\":{\"\\u0041\":1}}";

    decode_text(&r, &formats[FORMAT_EVENT], body);

    event = decoded_event(&r, 0);

    if (ok(event != NULL, "an event of slices")) {
        ok(event->user.data == r.body + 12, "... its user");
        ok(event->type.data == r.body + 30, "... its type");
        ok(event->properties.data == r.body + 44, "... its properties");
        is_u64(r.memory.calls, 1, "... takes memory for its run alone");
    }

    decoded_free(&r);
}


/* Behind an error events are only counted: they take no memory. */
static void
check_memory_refused(void)
{
    u_char      *p;
    size_t       calls;
    decoded_t    r;
    ngx_uint_t   i;

    decode_text(&r, &formats[FORMAT_EVENT], "[{},{}]");
    calls = r.memory.calls;
    decoded_free(&r);

    p = ngx_cpymem(text, "[{}", 3);

    for (i = 0; i < 1000; i++) {
        p = ngx_cpymem(p, "," EVENT, sizeof("," EVENT) - 1);
    }

    p = ngx_cpymem(p, ",5]", 3);

    is_i64(decode(&r, &formats[FORMAT_EVENT], 0, text, p - text), NGX_ABORT,
           "a long list, the first and the last of it wrong");
    is_u64(r.memory.calls, calls, "... takes no more memory than a short one");

    if (is_u64(r.d.nerrors, 3, "... both are told")) {
        is_u64(r.d.errors[2].index, 1001, "... the last one by its index");
    }

    decoded_free(&r);
}


/* Properties of size bytes, in a member of their own or as all the rest. */
static void
check_size(ngx_uint_t kind, size_t size, ngx_int_t rc)
{
    u_char     *p, *large;
    size_t      n;
    decoded_t   r;

    large = malloc(size + 256);

    if (large == NULL) {
        abort();
    }

    p = large;
    p += sprintf((char *) p, kind == FORMAT_EVENT
                 ? "{\"user_id\":\"u\",\"event_type\":\"t\",\"metadata\":{"
                 : "{\"u\":\"u\",\"t\":\"t\",");

    n = size - 2 - strlen("\"a\":\"\"");

    p += sprintf((char *) p, "\"a\":\"");
    memset(p, 'x', n);
    p += n;
    p += sprintf((char *) p, kind == FORMAT_EVENT ? "\"}}" : "\"}");

    is_i64(decode(&r, &formats[kind], 0, large, p - large), rc,
           "format %s: properties of %u bytes", formats[kind].name.data,
           (unsigned) size);

    if (r.rc == NGX_OK) {
        is_u64(decoded_event(&r, 0)->properties.len, size, "... are kept");

    } else if (r.rc == NGX_ABORT) {
        is_u64(r.d.nerrors, 1, "... are refused");
    }

    decoded_free(&r);
    free(large);
}


static void
check_sizes(void)
{
    check_size(FORMAT_EVENT, 1048576, NGX_OK);
    check_size(FORMAT_EVENT, 1048577, NGX_ABORT);
    check_size(FORMAT_MS, 1048576, NGX_OK);
    check_size(FORMAT_MS, 1048577, NGX_ABORT);
}


int
main(void)
{
    formats_init();

    check_errors_max();
    check_errors();
    check_runs();
    check_memory();
    check_memory_refused();
    check_sizes();
    check_slices();

    return done_testing();
}
