
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_event.h"
#include "ngx_analytics_time.h"


enum {
    NGX_ANALYTICS_KEY_USER = 0,
    NGX_ANALYTICS_KEY_TYPE,
    NGX_ANALYTICS_KEY_TIME,
    NGX_ANALYTICS_KEY_PROPS,
    NGX_ANALYTICS_KEY_ID,
    NGX_ANALYTICS_KEYS
};


static void ngx_analytics_write_key(ngx_analytics_writer_t *w,
    ngx_analytics_format_t *format, ngx_uint_t key);
static void ngx_analytics_write_event_time(ngx_analytics_writer_t *w,
    ngx_analytics_format_t *format, int64_t time);
static void ngx_analytics_write_event_properties(ngx_analytics_writer_t *w,
    ngx_analytics_format_t *format, ngx_str_t *properties);
static void ngx_analytics_write_members(ngx_analytics_writer_t *w,
    ngx_str_t *object);


ngx_int_t
ngx_analytics_format_init(ngx_analytics_format_t *format,
    ngx_analytics_alloc_pt alloc, void *ctx)
{
    ngx_uint_t               i;
    ngx_str_t               *names[NGX_ANALYTICS_KEYS];
    ngx_analytics_writer_t   w;

    names[NGX_ANALYTICS_KEY_USER] = &format->user;
    names[NGX_ANALYTICS_KEY_TYPE] = &format->type;
    names[NGX_ANALYTICS_KEY_TIME] = &format->time;
    names[NGX_ANALYTICS_KEY_PROPS] = &format->properties;
    names[NGX_ANALYTICS_KEY_ID] = &format->id;

    for (i = 0; i < NGX_ANALYTICS_KEYS; i++) {
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


void
ngx_analytics_event_write(ngx_analytics_writer_t *w,
    ngx_analytics_format_t *format, ngx_analytics_event_t *event,
    uint64_t id, int64_t received)
{
    ngx_analytics_write_literal(w, "{");

    if (id) {
        ngx_analytics_write_literal(w, "\"id\":");
        ngx_analytics_write_uint(w, id);
    }

    if (format->id.len && event->id.len) {
        ngx_analytics_write_key(w, format, NGX_ANALYTICS_KEY_ID);
        ngx_analytics_write_string(w, &event->id);
    }

    ngx_analytics_write_key(w, format, NGX_ANALYTICS_KEY_USER);

    ngx_analytics_user_write(w, format, &event->user);

    if (!format->constant) {
        ngx_analytics_write_key(w, format, NGX_ANALYTICS_KEY_TYPE);
        ngx_analytics_write_string(w, &event->type);
    }

    if (format->time.len) {
        ngx_analytics_write_event_time(w, format,
                                       event->time == NGX_ANALYTICS_TIME_NONE
                                       ? received : event->time);
    }

    if (format->properties.len) {
        ngx_analytics_write_event_properties(w, format, &event->properties);
    }

    ngx_analytics_write_literal(w, "}");
}


void
ngx_analytics_user_write(ngx_analytics_writer_t *w,
    ngx_analytics_format_t *format, ngx_str_t *user)
{
    if (format->integer && ngx_analytics_canonical_integer(user)) {
        ngx_analytics_write_raw(w, user->data, user->len);

    } else {
        ngx_analytics_write_string(w, user);
    }
}


static void
ngx_analytics_write_key(ngx_analytics_writer_t *w,
    ngx_analytics_format_t *format, ngx_uint_t key)
{
    ngx_str_t  text;

    text = format->keys[key];

    /* it comes with a comma before it */

    if (w->pos > w->start && w->pos[-1] == '{') {
        text.data++;
        text.len--;
    }

    ngx_analytics_write_raw(w, text.data, text.len);
}


static void
ngx_analytics_write_event_time(ngx_analytics_writer_t *w,
    ngx_analytics_format_t *format, int64_t time)
{
    u_char  buf[NGX_INT64_LEN + 8], *p;

    ngx_analytics_write_key(w, format, NGX_ANALYTICS_KEY_TIME);

    if (format->unit) {
        p = ngx_analytics_epoch_format(buf, time, format->unit);
        ngx_analytics_write_raw(w, buf, p - buf);

    } else {
        ngx_analytics_write_time(w, time);
    }
}


static void
ngx_analytics_write_event_properties(ngx_analytics_writer_t *w,
    ngx_analytics_format_t *format, ngx_str_t *properties)
{
    if (format->rest) {
        ngx_analytics_write_members(w, properties);
        return;
    }

    ngx_analytics_write_key(w, format, NGX_ANALYTICS_KEY_PROPS);

    if (properties->len) {
        ngx_analytics_write_raw(w, properties->data, properties->len);

    } else {
        ngx_analytics_write_literal(w, "{}");
    }
}


/* The members of an object "{...}", behind others. */

static void
ngx_analytics_write_members(ngx_analytics_writer_t *w, ngx_str_t *object)
{
    u_char  *p, *last;

    if (object->len == 0) {
        return;
    }

    p = object->data + 1;
    last = object->data + object->len - 1;

    while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r') {
        p++;
    }

    if (p < last) {
        ngx_analytics_write_literal(w, ",");
        ngx_analytics_write_raw(w, p, last - p);
    }
}


ngx_uint_t
ngx_analytics_canonical_integer(ngx_str_t *text)
{
    u_char    *p, *last;
    uint64_t   n;

    p = text->data;
    last = p + text->len;

    if (p < last && *p == '-') {
        p++;
    }

    if (p == last || (*p == '0' && text->len > 1)) {
        return 0;
    }

    for (n = 0; p < last; p++) {

        if (*p < '0' || *p > '9') {
            return 0;
        }

        n = n * 10 + (*p - '0');

        if (n > NGX_ANALYTICS_INT_MAX) {
            return 0;
        }
    }

    return 1;
}


int ngx_libc_cdecl
ngx_analytics_name_cmp(const void *one, const void *two)
{
    int                           rc;
    const ngx_analytics_count_t  *first, *second;

    first = one;
    second = two;

    rc = ngx_memcmp(first->name.data, second->name.data,
                    ngx_min(first->name.len, second->name.len));

    if (rc) {
        return rc;
    }

    return (first->name.len > second->name.len)
           - (first->name.len < second->name.len);
}


int ngx_libc_cdecl
ngx_analytics_count_cmp(const void *one, const void *two)
{
    const ngx_analytics_count_t  *first, *second;

    first = one;
    second = two;

    if (first->count != second->count) {
        return first->count < second->count ? 1 : -1;
    }

    return ngx_analytics_name_cmp(one, two);
}
