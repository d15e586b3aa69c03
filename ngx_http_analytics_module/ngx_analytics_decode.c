
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_decode.h"
#include "ngx_analytics_fields.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_json.h"
#include "ngx_analytics_truncate.h"
#include "ngx_analytics_twins.h"


#define NGX_ANALYTICS_SEEN_USER   0x01
#define NGX_ANALYTICS_SEEN_TYPE   0x02
#define NGX_ANALYTICS_SEEN_TIME   0x04
#define NGX_ANALYTICS_SEEN_PROPS  0x08
#define NGX_ANALYTICS_SEEN_ID     0x10


static ngx_int_t ngx_analytics_decode_objects(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json);
static ngx_int_t ngx_analytics_decode_array(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json);
static ngx_int_t ngx_analytics_decode_event(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json);
static ngx_int_t ngx_analytics_decode_member(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_analytics_event_t *event, ngx_str_t *key,
    ngx_uint_t *seen);
static ngx_uint_t ngx_analytics_decode_find(ngx_analytics_format_t *f,
    ngx_str_t *key, ngx_str_t **field);
static ngx_int_t ngx_analytics_decode_rest(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *properties);
static void ngx_analytics_decode_missing(ngx_analytics_decode_t *d,
    ngx_uint_t seen);
static ngx_int_t ngx_analytics_decode_truncate(ngx_analytics_decode_t *d,
    ngx_analytics_event_t *event);
static ngx_analytics_event_t *ngx_analytics_decode_push(
    ngx_analytics_decode_t *d);
static ngx_analytics_event_t *ngx_analytics_decode_clear(
    ngx_analytics_decode_t *d, ngx_analytics_event_t *event);


static ngx_str_t  ngx_analytics_no_field = ngx_null_string;
static ngx_str_t  ngx_analytics_number = ngx_string("id");


static ngx_inline ngx_uint_t
ngx_analytics_same(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && ngx_analytics_equal(one->data, two->data, one->len);
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
    d->errors = NULL;
    d->nerrors = 0;
    d->failed = 0;

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

    if (rc == NGX_OK && d->nerrors == 0 && d->format->id.len) {
        rc = ngx_analytics_twins(d);
    }

    if (d->failed) {
        return NGX_ERROR;
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

    if (ngx_analytics_decode_truncate(d, event) != NGX_OK) {
        return NGX_ERROR;
    }

    if (event->properties.len > NGX_ANALYTICS_PROPERTIES_MAX) {
        ngx_analytics_decode_error(d, &d->format->properties,
                                   "must have at most 1048576 bytes");
    }

    ngx_analytics_decode_missing(d, seen);

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_decode_truncate(ngx_analytics_decode_t *d,
    ngx_analytics_event_t *event)
{
    u_char  *p, address[NGX_ANALYTICS_ADDRESS_LEN];
    size_t   len;

    len = d->format->truncate_user
          ? ngx_analytics_truncate_address(address, &event->user) : 0;

    if (len) {
        p = d->alloc(d->ctx, len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_memcpy(p, address, len);

        event->user.data = p;
        event->user.len = len;
    }

    return d->format->ntruncate
           ? ngx_analytics_truncate(d, &event->properties) : NGX_OK;
}


void
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
    ngx_str_t   *field;
    ngx_uint_t   bit;

    bit = ngx_analytics_decode_find(d->format, key, &field);

    if (bit == 0) {
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

    case NGX_ANALYTICS_SEEN_ID:
        return ngx_analytics_decode_id(d, json, &event->id);

    default: /* NGX_ANALYTICS_SEEN_PROPS */
        return ngx_analytics_decode_properties(d, json, &event->properties);
    }
}


/* Which member it is, or 0 if it is not mapped. */

static ngx_uint_t
ngx_analytics_decode_find(ngx_analytics_format_t *f, ngx_str_t *key,
    ngx_str_t **field)
{
    if (ngx_analytics_same(key, &f->user)) {
        *field = &f->user;
        return NGX_ANALYTICS_SEEN_USER;
    }

    if (!f->constant && ngx_analytics_same(key, &f->type)) {
        *field = &f->type;
        return NGX_ANALYTICS_SEEN_TYPE;
    }

    if (f->time.len && ngx_analytics_same(key, &f->time)) {
        *field = &f->time;
        return NGX_ANALYTICS_SEEN_TIME;
    }

    if (f->properties.len && !f->rest
        && ngx_analytics_same(key, &f->properties))
    {
        *field = &f->properties;
        return NGX_ANALYTICS_SEEN_PROPS;
    }

    if (f->id.len && ngx_analytics_same(key, &f->id)) {
        *field = &f->id;
        return NGX_ANALYTICS_SEEN_ID;
    }

    return 0;
}


/*
 * Builds the object of all members that are not mapped, each as it was
 * sent, and leaves the scanner where it was.  "id" is mapped, too: in answers
 * it is the event's number.
 */

static ngx_int_t
ngx_analytics_decode_rest(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *properties)
{
    u_char                 buf[NGX_ANALYTICS_ESCAPED_MAX], *start, *p;
    ngx_str_t              raw, key, value, *field;
    ngx_uint_t             first, escaped;
    ngx_analytics_json_t   walk;

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

        if (ngx_analytics_same(&key, &ngx_analytics_number)
            || ngx_analytics_decode_find(d->format, &key, &field))
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


ngx_int_t
ngx_analytics_decode_wrong(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *field, const char *detail)
{
    if (ngx_analytics_json_value(json, NULL) != NGX_OK) {
        return NGX_DECLINED;
    }

    ngx_analytics_decode_error(d, field, detail);

    return NGX_OK;
}


void
ngx_analytics_decode_error(ngx_analytics_decode_t *d, ngx_str_t *field,
    const char *detail)
{
    ngx_analytics_decode_error_of(d, d->n - 1, field, detail);
}


void
ngx_analytics_decode_error_of(ngx_analytics_decode_t *d, ngx_uint_t index,
    ngx_str_t *field, const char *detail)
{
    ngx_analytics_error_t  *error;

    if (d->nerrors == NGX_ANALYTICS_ERRORS_MAX) {
        return;
    }

    /* most bodies need none */

    if (d->errors == NULL) {
        d->errors = d->alloc(d->ctx, NGX_ANALYTICS_ERRORS_MAX
                                     * sizeof(ngx_analytics_error_t));
        if (d->errors == NULL) {
            d->failed = 1;
            return;
        }
    }

    error = &d->errors[d->nerrors++];

    error->index = index;
    error->field = *field;
    error->detail = detail;
}


static ngx_analytics_event_t *
ngx_analytics_decode_push(ngx_analytics_decode_t *d)
{
    ngx_uint_t            size;
    ngx_analytics_run_t  *run;

    /* of a body that is refused, events are only counted */

    if (d->nerrors) {
        d->n++;
        return ngx_analytics_decode_clear(d, &d->scratch);
    }

    run = d->last;

    if (run == NULL || run->n == run->size) {

        /* most bodies are one event */

        size = run ? NGX_ANALYTICS_RUN_MAX : 1;

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

    d->n++;

    return ngx_analytics_decode_clear(d, &run->events[run->n++]);
}


static ngx_analytics_event_t *
ngx_analytics_decode_clear(ngx_analytics_decode_t *d,
    ngx_analytics_event_t *event)
{
    ngx_str_null(&event->user);
    event->type = d->format->type;
    ngx_str_null(&event->properties);
    ngx_str_null(&event->id);
    event->time = NGX_ANALYTICS_TIME_NONE;
    event->known = 0;

    return event;
}
