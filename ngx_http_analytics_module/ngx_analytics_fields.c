
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_fields.h"
#include "ngx_analytics_time.h"


static ngx_int_t ngx_analytics_decode_text(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *text);
static const char *ngx_analytics_check_name(ngx_str_t *name);


ngx_int_t
ngx_analytics_decode_name(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *field, ngx_str_t *name)
{
    ngx_int_t    rc;
    const char  *detail;

    if (ngx_analytics_json_peek(json) != NGX_ANALYTICS_JSON_STRING) {
        return ngx_analytics_decode_wrong(d, json, field, "must be a string");
    }

    rc = ngx_analytics_decode_text(d, json, name);
    if (rc != NGX_OK) {
        return rc;
    }

    detail = ngx_analytics_check_name(name);

    if (detail) {
        ngx_analytics_decode_error(d, field, detail);
    }

    return NGX_OK;
}


/* The text of a string, with its escapes resolved. */

static ngx_int_t
ngx_analytics_decode_text(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *text)
{
    u_char      *p;
    ngx_uint_t   escaped;

    if (ngx_analytics_json_string(json, text, &escaped) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (!escaped) {
        return NGX_OK;
    }

    p = d->alloc(d->ctx, text->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->len = ngx_analytics_json_unescape(p, text);
    text->data = p;

    return NGX_OK;
}


/* Returns what is wrong with a user, a type or an id, or NULL. */

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


ngx_int_t
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

    /* up to here integers are exact in every JSON library */

    if (n > NGX_ANALYTICS_INT_MAX) {
        ngx_analytics_decode_error(d, &d->format->user,
                                   "must be within -2^53 and 2^53");
    }

    return NGX_OK;
}


ngx_int_t
ngx_analytics_decode_id(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *id)
{
    if (ngx_analytics_json_peek(json) == NGX_ANALYTICS_JSON_NULL) {
        return ngx_analytics_json_value(json, NULL) == NGX_OK ? NGX_OK
                                                              : NGX_DECLINED;
    }

    return ngx_analytics_decode_name(d, json, &d->format->id, id);
}


ngx_int_t
ngx_analytics_decode_time(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, int64_t *time)
{
    int64_t                      unit;
    ngx_int_t                    rc;
    ngx_str_t                    text, *field;
    ngx_uint_t                   integer;
    ngx_analytics_json_type_e    type;

    field = &d->format->time;
    unit = d->format->unit;
    type = ngx_analytics_json_peek(json);

    if (type == NGX_ANALYTICS_JSON_NULL) {
        return ngx_analytics_json_value(json, NULL) == NGX_OK ? NGX_OK
                                                              : NGX_DECLINED;
    }

    if (unit) {
        if (type != NGX_ANALYTICS_JSON_NUMBER) {
            return ngx_analytics_decode_wrong(d, json, field,
                                              "must be a number");
        }

        if (ngx_analytics_json_number(json, &text, &integer) != NGX_OK) {
            return NGX_DECLINED;
        }

        rc = ngx_analytics_epoch_parse(&text, unit, time);

    } else {
        if (type != NGX_ANALYTICS_JSON_STRING) {
            return ngx_analytics_decode_wrong(d, json, field,
                                              "must be a string");
        }

        rc = ngx_analytics_decode_text(d, json, &text);
        if (rc != NGX_OK) {
            return rc;
        }

        rc = ngx_analytics_time_parse(&text, time);
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


ngx_int_t
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
