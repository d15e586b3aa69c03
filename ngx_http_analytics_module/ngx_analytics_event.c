
/*
 * From a body to events, and from an event to JSON.
 *
 * A body is taken whole or not at all, so everything in it is looked at
 * before the caller sees a result.  What is not JSON outweighs what is JSON
 * but no event: therefore the scan goes on behind a bad event.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_event.h"
#include "ngx_analytics_json.h"
#include "ngx_analytics_time.h"


#define NGX_ANALYTICS_RUN         64

/* the longest text of a name with each byte escaped as \u00XX */
#define NGX_ANALYTICS_ESCAPED_MAX (6 * NGX_ANALYTICS_NAME_MAX)

/* 2^53: integers are exact up to here in every JSON library */
#define NGX_ANALYTICS_INT_MAX     9007199254740992

#define NGX_ANALYTICS_SEEN_USER   0x01
#define NGX_ANALYTICS_SEEN_TYPE   0x02
#define NGX_ANALYTICS_SEEN_TIME   0x04
#define NGX_ANALYTICS_SEEN_PROPS  0x08


enum {
    NGX_ANALYTICS_KEY_USER = 0,
    NGX_ANALYTICS_KEY_TYPE,
    NGX_ANALYTICS_KEY_TIME,
    NGX_ANALYTICS_KEY_PROPS
};


static ngx_int_t ngx_analytics_decode_objects(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json);
static ngx_int_t ngx_analytics_decode_array(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json);
static ngx_int_t ngx_analytics_decode_event(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json);
static ngx_int_t ngx_analytics_decode_member(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_analytics_event_t *event, ngx_str_t *key,
    ngx_uint_t *seen);
static ngx_int_t ngx_analytics_decode_name(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *field, ngx_str_t *name);
static ngx_int_t ngx_analytics_decode_user(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *name);
static ngx_int_t ngx_analytics_decode_time(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, int64_t *time);
static ngx_int_t ngx_analytics_decode_properties(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *properties);
static ngx_int_t ngx_analytics_decode_rest(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *properties);
static void ngx_analytics_decode_missing(ngx_analytics_decode_t *d,
    ngx_uint_t seen);
static ngx_int_t ngx_analytics_decode_wrong(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *field, const char *detail);
static void ngx_analytics_decode_key(ngx_str_t *key, u_char *buf);
static const char *ngx_analytics_check_name(ngx_str_t *name);
static ngx_analytics_event_t *ngx_analytics_decode_push(
    ngx_analytics_decode_t *d);
static void ngx_analytics_decode_error(ngx_analytics_decode_t *d,
    ngx_str_t *field, const char *detail);
static ngx_uint_t ngx_analytics_canonical_integer(ngx_str_t *text);


static ngx_str_t  ngx_analytics_no_field = ngx_null_string;


static ngx_inline ngx_uint_t
ngx_analytics_same(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && ngx_memcmp(one->data, two->data, one->len) == 0;
}


ngx_int_t
ngx_analytics_format_init(ngx_analytics_format_t *format,
    ngx_analytics_alloc_pt alloc, void *ctx)
{
    ngx_uint_t               i;
    ngx_str_t               *names[4];
    ngx_analytics_writer_t   w;

    names[NGX_ANALYTICS_KEY_USER] = &format->user;
    names[NGX_ANALYTICS_KEY_TYPE] = &format->type;
    names[NGX_ANALYTICS_KEY_TIME] = &format->time;
    names[NGX_ANALYTICS_KEY_PROPS] = &format->properties;

    for (i = 0; i < 4; i++) {
        ngx_analytics_writer_init(&w, alloc, ctx, names[i]->len + 16);

        ngx_analytics_write_literal(&w, ",");
        ngx_analytics_write_string(&w, names[i]);
        ngx_analytics_write_literal(&w, ":");

        if (w.failed) {
            return NGX_ERROR;
        }

        format->keys[i].data = w.start;
        format->keys[i].len = w.pos - w.start;
    }

    return NGX_OK;
}


ngx_int_t
ngx_analytics_decode(ngx_analytics_decode_t *d, u_char *data, size_t len)
{
    ngx_int_t             rc;
    ngx_analytics_json_t  json;

    d->first = NULL;
    d->last = NULL;
    d->n = 0;
    d->list = d->ndjson;
    d->err = NULL;
    d->offset = 0;
    d->nerrors = 0;

    ngx_analytics_json_init(&json, data, len);

    switch (ngx_analytics_json_peek(&json)) {

    case NGX_ANALYTICS_JSON_END:
        d->err = "the body is empty";
        return NGX_DECLINED;

    case NGX_ANALYTICS_JSON_ARRAY:
        if (!d->ndjson) {
            rc = ngx_analytics_decode_array(d, &json);
            break;
        }

        /* fall through */

    default:
        rc = ngx_analytics_decode_objects(d, &json);
    }

    if (rc == NGX_DECLINED) {
        if (d->err == NULL) {
            d->err = json.err;
        }

        d->offset = json.pos - json.start;
        return NGX_DECLINED;
    }

    if (rc == NGX_OK && d->nerrors) {
        d->err = "not all of the events are valid";
        return NGX_ABORT;
    }

    return rc;
}


static ngx_int_t
ngx_analytics_decode_array(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json)
{
    ngx_int_t   rc;
    ngx_uint_t  first;

    d->list = 1;

    if (ngx_analytics_json_enter(json) != NGX_OK) {
        return NGX_DECLINED;
    }

    for (first = 1; /* void */ ; first = 0) {
        rc = ngx_analytics_json_element(json, first);

        if (rc == NGX_DONE) {
            break;
        }

        if (rc != NGX_OK) {
            return NGX_DECLINED;
        }

        rc = ngx_analytics_decode_event(d, json);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (ngx_analytics_json_peek(json) != NGX_ANALYTICS_JSON_END) {
        d->err = "more data behind the list";
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_decode_objects(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json)
{
    ngx_int_t                  rc;
    ngx_analytics_json_type_e  type;

    for ( ;; ) {
        type = ngx_analytics_json_peek(json);

        if (type == NGX_ANALYTICS_JSON_END) {
            break;
        }

        if (d->n && !d->ndjson && type != NGX_ANALYTICS_JSON_OBJECT) {
            d->err = "more data behind the object";
            return NGX_DECLINED;
        }

        rc = ngx_analytics_decode_event(d, json);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (d->n > 1) {
        d->list = 1;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_decode_event(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json)
{
    u_char                    buf[NGX_ANALYTICS_ESCAPED_MAX];
    ngx_int_t                 rc;
    ngx_str_t                 key;
    ngx_uint_t                first, escaped, seen;
    ngx_analytics_event_t    *event;

    event = ngx_analytics_decode_push(d);
    if (event == NULL) {
        return NGX_ERROR;
    }

    if (ngx_analytics_json_peek(json) != NGX_ANALYTICS_JSON_OBJECT) {
        return ngx_analytics_decode_wrong(d, json, &ngx_analytics_no_field,
                                          "an event must be an object");
    }

    if (d->format->rest) {
        rc = ngx_analytics_decode_rest(d, json, &event->properties);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (ngx_analytics_json_enter(json) != NGX_OK) {
        return NGX_DECLINED;
    }

    seen = 0;

    for (first = 1; /* void */ ; first = 0) {
        rc = ngx_analytics_json_member(json, first, &key, &escaped);

        if (rc == NGX_DONE) {
            break;
        }

        if (rc != NGX_OK) {
            return NGX_DECLINED;
        }

        if (escaped) {
            ngx_analytics_decode_key(&key, buf);
        }

        rc = ngx_analytics_decode_member(d, json, event, &key, &seen);
        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_analytics_decode_missing(d, seen);

    return NGX_OK;
}


/*
 * Resolves the escapes of a member's name into buf.  What is too long for
 * buf is too long for a name that is mapped, and becomes one that is not.
 */

static void
ngx_analytics_decode_key(ngx_str_t *key, u_char *buf)
{
    if (key->len > NGX_ANALYTICS_ESCAPED_MAX) {
        key->len = 0;
        return;
    }

    key->len = ngx_analytics_json_unescape(buf, key);
    key->data = buf;
}


static ngx_int_t
ngx_analytics_decode_member(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_analytics_event_t *event, ngx_str_t *key,
    ngx_uint_t *seen)
{
    ngx_str_t               *field;
    ngx_uint_t               bit;
    ngx_analytics_format_t  *f;

    f = d->format;

    if (ngx_analytics_same(key, &f->user)) {
        field = &f->user;
        bit = NGX_ANALYTICS_SEEN_USER;

    } else if (!f->constant && ngx_analytics_same(key, &f->type)) {
        field = &f->type;
        bit = NGX_ANALYTICS_SEEN_TYPE;

    } else if (f->time.len && ngx_analytics_same(key, &f->time)) {
        field = &f->time;
        bit = NGX_ANALYTICS_SEEN_TIME;

    } else if (f->properties.len && !f->rest
               && ngx_analytics_same(key, &f->properties))
    {
        field = &f->properties;
        bit = NGX_ANALYTICS_SEEN_PROPS;

    } else {
        return ngx_analytics_json_value(json, NULL) == NGX_OK ? NGX_OK
                                                              : NGX_DECLINED;
    }

    if (*seen & bit) {
        return ngx_analytics_decode_wrong(d, json, field,
                                          "must not be repeated");
    }

    *seen |= bit;

    switch (bit) {

    case NGX_ANALYTICS_SEEN_USER:
        return ngx_analytics_decode_user(d, json, &event->user);

    case NGX_ANALYTICS_SEEN_TYPE:
        return ngx_analytics_decode_name(d, json, field, &event->type);

    case NGX_ANALYTICS_SEEN_TIME:
        return ngx_analytics_decode_time(d, json, &event->time);

    default: /* NGX_ANALYTICS_SEEN_PROPS */
        return ngx_analytics_decode_properties(d, json, &event->properties);
    }
}


static ngx_int_t
ngx_analytics_decode_name(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *field, ngx_str_t *name)
{
    u_char      *p;
    ngx_uint_t   escaped;
    const char  *detail;

    if (ngx_analytics_json_peek(json) != NGX_ANALYTICS_JSON_STRING) {
        return ngx_analytics_decode_wrong(d, json, field, "must be a string");
    }

    if (ngx_analytics_json_string(json, name, &escaped) != NGX_OK) {
        return NGX_DECLINED;
    }

    /* a longer one stays too long when its escapes are resolved */

    if (escaped && name->len <= NGX_ANALYTICS_ESCAPED_MAX) {
        p = d->alloc(d->ctx, name->len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        name->len = ngx_analytics_json_unescape(p, name);
        name->data = p;
    }

    detail = ngx_analytics_check_name(name);

    if (detail) {
        ngx_analytics_decode_error(d, field, detail);
    }

    return NGX_OK;
}


/* Returns what is wrong with a user or a type, or NULL. */

static const char *
ngx_analytics_check_name(ngx_str_t *name)
{
    u_char  *p, *last;

    if (name->len == 0) {
        return "must not be empty";
    }

    if (name->len > NGX_ANALYTICS_NAME_MAX) {
        return "must have at most 255 bytes";
    }

    last = name->data + name->len;

    for (p = name->data; p < last; p++) {

        /* C0, DEL, and C1 (U+0080 to U+009F) */

        if (*p < 0x20 || *p == 0x7f
            || (*p == 0xc2 && p + 1 < last && p[1] < 0xa0))
        {
            return "must not hold control characters";
        }
    }

    return NULL;
}


static ngx_int_t
ngx_analytics_decode_user(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *name)
{
    u_char      *p, *last;
    uint64_t     n;
    ngx_uint_t   integer;

    if (!d->format->integer) {
        return ngx_analytics_decode_name(d, json, &d->format->user, name);
    }

    if (ngx_analytics_json_peek(json) != NGX_ANALYTICS_JSON_NUMBER) {
        return ngx_analytics_decode_wrong(d, json, &d->format->user,
                                          "must be an integer");
    }

    if (ngx_analytics_json_number(json, name, &integer) != NGX_OK) {
        return NGX_DECLINED;
    }

    p = name->data;
    last = p + name->len;

    if (*p == '-') {
        p++;
    }

    if (!integer || (p != name->data && *p == '0')) {
        ngx_analytics_decode_error(d, &d->format->user, "must be an integer");
        return NGX_OK;
    }

    for (n = 0; p < last && n <= NGX_ANALYTICS_INT_MAX; p++) {
        n = n * 10 + (*p - '0');
    }

    if (n > NGX_ANALYTICS_INT_MAX) {
        ngx_analytics_decode_error(d, &d->format->user,
                                   "must be within -2^53 and 2^53");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_decode_time(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, int64_t *time)
{
    u_char      *p;
    int64_t      unit;
    ngx_int_t    rc;
    ngx_str_t    text;
    ngx_str_t   *field;
    ngx_uint_t   escaped, integer;

    field = &d->format->time;
    unit = d->format->unit;

    switch (ngx_analytics_json_peek(json)) {

    case NGX_ANALYTICS_JSON_NULL:
        return ngx_analytics_json_value(json, NULL) == NGX_OK ? NGX_OK
                                                              : NGX_DECLINED;

    case NGX_ANALYTICS_JSON_STRING:
        if (unit) {
            return ngx_analytics_decode_wrong(d, json, field,
                                              "must be a number");
        }

        if (ngx_analytics_json_string(json, &text, &escaped) != NGX_OK) {
            return NGX_DECLINED;
        }

        if (escaped) {
            p = d->alloc(d->ctx, text.len);
            if (p == NULL) {
                return NGX_ERROR;
            }

            text.len = ngx_analytics_json_unescape(p, &text);
            text.data = p;
        }

        rc = ngx_analytics_time_parse(&text, time);
        break;

    case NGX_ANALYTICS_JSON_NUMBER:
        if (unit == 0) {
            return ngx_analytics_decode_wrong(d, json, field,
                                              "must be a string");
        }

        if (ngx_analytics_json_number(json, &text, &integer) != NGX_OK) {
            return NGX_DECLINED;
        }

        rc = ngx_analytics_epoch_parse(&text, unit, time);
        break;

    default:
        return ngx_analytics_decode_wrong(d, json, field,
                                          unit ? "must be a number"
                                               : "must be a string");
    }

    if (rc != NGX_OK) {
        ngx_analytics_decode_error(d, field, unit
                  ? "must be a number of units since 1970 without an exponent"
                  : "must be an existing time like 2025-10-04T12:30:00.5Z");

    } else if (*time < 0) {
        ngx_analytics_decode_error(d, field, "must not be before 1970");

    } else if (*time > d->now + NGX_ANALYTICS_DAY) {
        ngx_analytics_decode_error(d, field,
                                   "must not be over 24 hours ahead");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_decode_properties(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *properties)
{
    switch (ngx_analytics_json_peek(json)) {

    case NGX_ANALYTICS_JSON_NULL:
        properties = NULL;
        break;

    case NGX_ANALYTICS_JSON_OBJECT:
        break;

    default:
        return ngx_analytics_decode_wrong(d, json, &d->format->properties,
                                          "must be an object");
    }

    return ngx_analytics_json_value(json, properties) == NGX_OK
           ? NGX_OK : NGX_DECLINED;
}


/*
 * Builds the object of all members that are not mapped, each as it was
 * sent, and leaves the scanner where it was.
 */

static ngx_int_t
ngx_analytics_decode_rest(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *properties)
{
    u_char                   buf[NGX_ANALYTICS_ESCAPED_MAX], *start, *p;
    ngx_str_t                raw, key, value;
    ngx_uint_t               first, escaped;
    ngx_analytics_json_t     walk;
    ngx_analytics_format_t  *f;

    f = d->format;
    walk = *json;

    if (ngx_analytics_json_value(json, &raw) != NGX_OK) {
        return NGX_DECLINED;
    }

    *json = walk;

    p = d->alloc(d->ctx, raw.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    properties->data = p;
    *p++ = '{';

    /* the object is valid: none of these can fail */

    (void) ngx_analytics_json_enter(&walk);

    for (first = 1; /* void */ ; first = 0) {

        if (ngx_analytics_json_member(&walk, first, &key, &escaped)
            != NGX_OK)
        {
            break;
        }

        start = key.data - 1;
        (void) ngx_analytics_json_value(&walk, &value);

        if (escaped) {
            ngx_analytics_decode_key(&key, buf);
        }

        if (ngx_analytics_same(&key, &f->user)
            || (!f->constant && ngx_analytics_same(&key, &f->type))
            || (f->time.len && ngx_analytics_same(&key, &f->time)))
        {
            continue;
        }

        if (p != properties->data + 1) {
            *p++ = ',';
        }

        p = ngx_cpymem(p, start, value.data + value.len - start);
    }

    *p++ = '}';
    properties->len = p - properties->data;

    return NGX_OK;
}


static void
ngx_analytics_decode_missing(ngx_analytics_decode_t *d, ngx_uint_t seen)
{
    if (!(seen & NGX_ANALYTICS_SEEN_USER)) {
        ngx_analytics_decode_error(d, &d->format->user, "is missing");
    }

    if (!d->format->constant && !(seen & NGX_ANALYTICS_SEEN_TYPE)) {
        ngx_analytics_decode_error(d, &d->format->type, "is missing");
    }
}


/* Passes over a value that is JSON but not what it should be. */

static ngx_int_t
ngx_analytics_decode_wrong(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *field, const char *detail)
{
    if (ngx_analytics_json_value(json, NULL) != NGX_OK) {
        return NGX_DECLINED;
    }

    ngx_analytics_decode_error(d, field, detail);

    return NGX_OK;
}


static void
ngx_analytics_decode_error(ngx_analytics_decode_t *d, ngx_str_t *field,
    const char *detail)
{
    ngx_analytics_error_t  *error;

    if (d->nerrors == NGX_ANALYTICS_ERRORS_MAX) {
        return;
    }

    error = &d->errors[d->nerrors++];

    error->index = d->n - 1;
    error->field = *field;
    error->detail = detail;
}


static ngx_analytics_event_t *
ngx_analytics_decode_push(ngx_analytics_decode_t *d)
{
    ngx_uint_t              size;
    ngx_analytics_run_t    *run;
    ngx_analytics_event_t  *event;

    run = d->last;

    if (run == NULL || run->n == run->size) {

        /* most bodies are one event */

        size = run ? NGX_ANALYTICS_RUN : 1;

        run = d->alloc(d->ctx, sizeof(ngx_analytics_run_t)
                               + size * sizeof(ngx_analytics_event_t));
        if (run == NULL) {
            return NULL;
        }

        run->next = NULL;
        run->events = (ngx_analytics_event_t *) (run + 1);
        run->n = 0;
        run->size = size;

        if (d->last) {
            d->last->next = run;

        } else {
            d->first = run;
        }

        d->last = run;
    }

    event = &run->events[run->n++];
    d->n++;

    ngx_str_null(&event->user);
    event->type = d->format->type;
    ngx_str_null(&event->properties);
    event->time = NGX_ANALYTICS_TIME_NONE;

    return event;
}


void
ngx_analytics_event_write(ngx_analytics_writer_t *w,
    ngx_analytics_format_t *format, ngx_analytics_event_t *event,
    uint64_t id, int64_t received)
{
    u_char     buf[NGX_INT64_LEN + 8];
    int64_t    time;
    ngx_str_t  *key;

    key = format->keys;

    ngx_analytics_write_literal(w, "{\"id\":");
    ngx_analytics_write_uint(w, id);

    ngx_analytics_write_raw(w, key[NGX_ANALYTICS_KEY_USER].data,
                            key[NGX_ANALYTICS_KEY_USER].len);

    if (format->integer && ngx_analytics_canonical_integer(&event->user)) {
        ngx_analytics_write_raw(w, event->user.data, event->user.len);

    } else {
        ngx_analytics_write_string(w, &event->user);
    }

    if (!format->constant) {
        ngx_analytics_write_raw(w, key[NGX_ANALYTICS_KEY_TYPE].data,
                                key[NGX_ANALYTICS_KEY_TYPE].len);
        ngx_analytics_write_string(w, &event->type);
    }

    if (format->time.len) {
        time = event->time == NGX_ANALYTICS_TIME_NONE ? received
                                                      : event->time;

        ngx_analytics_write_raw(w, key[NGX_ANALYTICS_KEY_TIME].data,
                                key[NGX_ANALYTICS_KEY_TIME].len);

        if (format->unit) {
            ngx_analytics_write_raw(w, buf,
                                    ngx_analytics_epoch_format(buf, time,
                                                               format->unit)
                                    - buf);
        } else {
            ngx_analytics_write_time(w, time);
        }
    }

    if (format->rest) {

        /* the members of the object "{...}", behind those written here */

        if (event->properties.len > 2) {
            ngx_analytics_write_literal(w, ",");
            ngx_analytics_write_raw(w, event->properties.data + 1,
                                    event->properties.len - 2);
        }

    } else if (format->properties.len) {
        ngx_analytics_write_raw(w, key[NGX_ANALYTICS_KEY_PROPS].data,
                                key[NGX_ANALYTICS_KEY_PROPS].len);

        if (event->properties.len) {
            ngx_analytics_write_raw(w, event->properties.data,
                                    event->properties.len);
        } else {
            ngx_analytics_write_literal(w, "{}");
        }
    }

    ngx_analytics_write_literal(w, "}");
}


/* Tells whether a text is what a JSON integer of that value looks like. */

static ngx_uint_t
ngx_analytics_canonical_integer(ngx_str_t *text)
{
    u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    if (p < last && *p == '-') {
        p++;
    }

    /* at most 16 digits, within 2^53 as decode_user() ensured */

    if (p == last || last - p > 16
        || (*p == '0' && text->len > 1))
    {
        return 0;
    }

    while (p < last) {
        if (*p < '0' || *p > '9') {
            return 0;
        }

        p++;
    }

    return 1;
}
