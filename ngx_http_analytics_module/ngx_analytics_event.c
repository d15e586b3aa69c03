
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
    NGX_ANALYTICS_KEY_PROPS
};


static void ngx_analytics_write_members(ngx_analytics_writer_t *w,
    ngx_str_t *object);
static ngx_uint_t ngx_analytics_canonical_integer(ngx_str_t *text);


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


void
ngx_analytics_event_write(ngx_analytics_writer_t *w,
    ngx_analytics_format_t *format, ngx_analytics_event_t *event,
    uint64_t id, int64_t received)
{
    u_char      buf[NGX_INT64_LEN + 8], *p;
    int64_t     time;
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
            p = ngx_analytics_epoch_format(buf, time, format->unit);
            ngx_analytics_write_raw(w, buf, p - buf);

        } else {
            ngx_analytics_write_time(w, time);
        }
    }

    if (format->rest) {
        ngx_analytics_write_members(w, &event->properties);

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


/* Tells whether a text is what a format of integers takes. */

static ngx_uint_t
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
