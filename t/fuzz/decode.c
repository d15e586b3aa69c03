
/*
 * A libFuzzer target for what stands on the scanner: bodies to events, events
 * to JSON and back, and lists to summaries.  Of the first byte three bits
 * choose the format, one whether it is another with an id, and one whether
 * the rest is lines.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined ...
 *
 * Copyright (C) The nginx analytics authors
 */


#include "events.h"
#include "ngx_analytics_json.h"


#define KIND   0x07
#define LINES  0x08
#define ID     0x40


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


#define must(cond)                                                            \
    do {                                                                      \
        if (!(cond)) {                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);\
            abort();                                                          \
        }                                                                     \
    } while (0)


static int
same(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && (one->len == 0 || memcmp(one->data, two->data, one->len) == 0);
}


/* Is it documents, one behind the other, and nothing else?  How many? */
static ngx_uint_t
documents(u_char *data, size_t len)
{
    ngx_uint_t            n;
    ngx_analytics_json_t  json;

    ngx_analytics_json_init(&json, data, len);

    for (n = 0;
         ngx_analytics_json_peek(&json) != NGX_ANALYTICS_JSON_END;
         n++)
    {
        if (ngx_analytics_json_value(&json, NULL) != NGX_OK) {
            return 0;
        }
    }

    return n;
}


static void
check_name(ngx_str_t *name)
{
    size_t                 i;
    u_char                 quoted[NGX_ANALYTICS_NAME_MAX + 2];
    ngx_str_t              raw;
    ngx_uint_t             escaped;
    ngx_analytics_json_t   json;

    must(name->len >= 1 && name->len <= NGX_ANALYTICS_NAME_MAX);

    for (i = 0; i < name->len; i++) {
        must(name->data[i] >= 0x20 && name->data[i] != 0x7f);
        must(name->data[i] != 0xc2 || name->data[i + 1] >= 0xa0);

        /* what a string has to escape means nothing to UTF-8 */

        quoted[i + 1] = strchr("\"\\", name->data[i]) ? 'x' : name->data[i];
    }

    quoted[0] = '"';
    quoted[i + 1] = '"';

    ngx_analytics_json_init(&json, quoted, i + 2);
    must(ngx_analytics_json_string(&json, &raw, &escaped) == NGX_OK);
    must(raw.len == name->len);
}


static void
check_event(ngx_analytics_format_t *f, ngx_analytics_event_t *event)
{
    size_t  i;

    check_name(&event->user);
    check_name(&event->type);

    if (event->id.len) {
        must(f->id.len);
        check_name(&event->id);
    }

    must(event->known == 0 || (event->known == 1 && event->id.len));

    must(!f->constant || same(&event->type, &f->type));
    must(f->time.len || event->time == NGX_ANALYTICS_TIME_NONE);
    must(event->time == NGX_ANALYTICS_TIME_NONE
         || (event->time >= 0
             && event->time <= EVENTS_NOW + NGX_ANALYTICS_DAY));

    for (i = 0; f->integer && i < event->user.len; i++) {
        must(event->user.data[i] >= '0' || (i == 0 && event->user.len > 1));
        must(event->user.data[i] <= '9');
    }

    if (event->properties.len) {
        must(f->properties.len);
        must(event->properties.data[0] == '{');
        must(documents(event->properties.data, event->properties.len) == 1);
    }

    must(!f->rest || event->properties.len >= 2);
}


/* Written in its format and read by it, the event is the same. */
static void
check_again(ngx_analytics_format_t *f, ngx_analytics_event_t *event,
    size_t max)
{
    char                   *text;
    size_t                  len;
    ngx_str_t               none = ngx_string("{}");
    decoded_t               r;
    ngx_analytics_event_t  *again;

    text = malloc(max);
    must(text != NULL);

    len = event_text(text, max, f, event, 7);

    must(decode(&r, f, 0, text, len) == NGX_OK);
    must(r.d.n == 1 && !r.d.list);

    again = decoded_event(&r, 0);

    must(same(&again->user, &event->user));
    must(same(&again->type, &event->type));
    must(same(&again->id, &event->id));

    if (f->time.len && event->time == NGX_ANALYTICS_TIME_NONE) {
        must(again->time == EVENTS_NOW);

    } else {
        must(again->time == event->time);
    }

    must(same(&again->properties,
              f->properties.len && event->properties.len == 0
              ? &none : &event->properties));

    decoded_free(&r);
    free(text);
}


/* Runs without holes; each event a right one. */
static void
check_events(ngx_analytics_format_t *f, decoded_t *r)
{
    ngx_uint_t            i, n;
    ngx_analytics_run_t  *run;

    n = 0;

    for (run = r->d.first; run; run = run->next) {
        must(run->n >= 1 && run->n <= run->size);
        must(run->n == run->size || run == r->d.last);
        must(run->size <= NGX_ANALYTICS_RUN_MAX);
        must(run->next || run == r->d.last);

        for (i = 0; i < run->n; i++) {
            check_event(f, &run->events[i]);

            /* at most, each byte of a name is \u00XX, and so are keys */
            check_again(f, &run->events[i], r->len + 6 * 6 * 256 + 256);
        }

        n += run->n;
    }

    must(n == r->d.n);
}


/* Known is what stands in the body before, and its id is used for no other. */
static void
check_twins(decoded_t *r)
{
    ngx_uint_t              i, k, known;
    ngx_analytics_event_t  *event, *other;

    for (i = 0; i < r->d.n; i++) {
        event = decoded_event(r, i);
        known = 0;

        for (k = 0; k < i && event->id.len; k++) {
            other = decoded_event(r, k);

            if (same(&other->id, &event->id)) {
                must(same(&other->user, &event->user));
                must(same(&other->type, &event->type));
                must(same(&other->properties, &event->properties));
                must(other->time == event->time);
                known = 1;
            }
        }

        must(event->known == known);
    }
}


static void
check_summary(ngx_analytics_decode_t *d)
{
    uint64_t                  n;
    ngx_uint_t                i, twins;
    ngx_analytics_run_t      *run;
    ngx_analytics_writer_t    w;
    ngx_analytics_summary_t   s;
    static const uint64_t     key[2] = { 1, 2 };

    twins = 0;

    for (run = d->first; run; run = run->next) {
        for (i = 0; i < run->n; i++) {
            twins += run->events[i].known;
        }
    }

    must(ngx_analytics_summarise(d, key, EVENTS_NOW, &s) == NGX_OK);
    must(s.events == d->n - twins && s.users == s.nnames);

    for (i = 0, n = 0; i < s.nnames; i++) {
        must(s.names[i].count >= 1);
        must(s.names[i].count <= s.most_active.count);
        must(i == 0 || !same(&s.names[i].name, &s.names[i - 1].name));
        n += s.names[i].count;
    }

    must(n == d->n - twins);

    for (i = 0, n = 0; i < s.ntypes; i++) {
        n += s.types[i].count;
    }

    must(n == d->n - twins);

    for (i = 0, n = 0; i < 24; i++) {
        n += s.hour_of_day[i];
    }

    must(n == d->n - twins);
    must(s.peak_second_count <= s.peak_hour_count);
    must((s.peak_second_count > 0) == (d->n > 0));
    must(s.peak_hour_count <= d->n);

    ngx_analytics_writer_init(&w, d->alloc, d->ctx, 1);
    ngx_analytics_summary_write(&w, &s);

    must(!w.failed && documents(w.start, w.pos - w.start) == 1);
}


/* A body that was refused says why and where. */
static void
check_refused(ngx_analytics_format_t *f, decoded_t *r)
{
    ngx_uint_t              i;
    ngx_analytics_error_t  *error;

    must(r->d.err != NULL);

    if (r->rc == NGX_DECLINED) {
        must(r->d.offset <= r->len);
        return;
    }

    must(r->rc == NGX_ABORT);
    must(r->d.nerrors >= 1 && r->d.nerrors <= NGX_ANALYTICS_ERRORS_MAX);

    for (i = 0; i < r->d.nerrors; i++) {
        error = &r->d.errors[i];

        must(error->detail != NULL && error->index < r->d.n);
        must(i == 0 || error[-1].index <= error->index);
        must(error->field.len == 0 || same(&error->field, &f->user)
             || (!f->constant && same(&error->field, &f->type))
             || same(&error->field, &f->time)
             || same(&error->field, &f->id)
             || (!f->rest && same(&error->field, &f->properties)));
    }
}


/* One call of alloc fails: which one hangs on the input. */
static void
check_memory(ngx_analytics_format_t *f, decoded_t *whole, ngx_uint_t ndjson)
{
    decoded_t  r;

    if (whole->memory.calls == 0) {
        return;
    }

    memset(&r, 0, sizeof(r));
    r.memory.fail = 1 + whole->len * 31 % whole->memory.calls;

    decode_again(&r, f, ndjson, whole->body, whole->len);

    must(r.rc == NGX_ERROR
         || (r.rc == NGX_DECLINED && whole->rc == NGX_DECLINED));

    decoded_free(&r);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decoded_t                r;
    ngx_uint_t               ndjson, n;
    ngx_analytics_format_t  *f;

    if (size == 0) {
        return 0;
    }

    if (formats[0].keys[0].len == 0) {
        formats_init();
    }

    f = (*data & ID) ? &formats[FORMAT_ID + (*data & 1)]
                     : &formats[*data & KIND];
    ndjson = (*data & LINES) != 0;

    decode(&r, f, ndjson, data + 1, size - 1);

    check_memory(f, &r, ndjson);

    if (r.rc == NGX_OK) {
        n = documents(r.body, r.len);
        must(n >= 1 && (n == 1 || n == r.d.n));
        must(r.d.list || n == 1);

        check_events(f, &r);
        check_twins(&r);
        check_summary(&r.d);

    } else {
        check_refused(f, &r);

        /* what is not JSON at all is never called no event */
        must(r.rc == NGX_DECLINED || documents(r.body, r.len) >= 1);
    }

    decoded_free(&r);

    return 0;
}
