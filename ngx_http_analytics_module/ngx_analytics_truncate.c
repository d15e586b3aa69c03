
/*
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_truncate.h"
#include "ngx_analytics_fields.h"
#include "ngx_analytics_json.h"

#include <arpa/inet.h>


static ngx_uint_t ngx_analytics_truncate_named(
    ngx_analytics_format_t *format, ngx_str_t *key, ngx_uint_t escaped);
static u_char *ngx_analytics_truncate_value(u_char *p, ngx_str_t *value);


ngx_int_t
ngx_analytics_truncate(ngx_analytics_decode_t *d, ngx_str_t *properties)
{
    u_char                *p, *start;
    ngx_str_t              key, value;
    ngx_uint_t             first, escaped;
    ngx_analytics_json_t   json;

    if (properties->len == 0) {
        return NGX_OK;
    }

    /* "":7 becomes "":null, so there are three bytes more for four at most */

    p = d->alloc(d->ctx, 2 * properties->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_analytics_json_init(&json, properties->data, properties->len);

    properties->data = p;
    start = json.start;

    /* the object is valid: none of these can fail */

    (void) ngx_analytics_json_enter(&json);

    for (first = 1; /* void */ ; first = 0) {

        if (ngx_analytics_json_member(&json, first, &key, &escaped)
            != NGX_OK)
        {
            break;
        }

        (void) ngx_analytics_json_value(&json, &value);

        if (!ngx_analytics_truncate_named(d->format, &key, escaped)) {
            continue;
        }

        p = ngx_cpymem(p, start, value.data - start);
        p = ngx_analytics_truncate_value(p, &value);

        start = value.data + value.len;
    }

    p = ngx_cpymem(p, start, json.last - start);

    properties->len = p - properties->data;

    return NGX_OK;
}


static ngx_uint_t
ngx_analytics_truncate_named(ngx_analytics_format_t *format, ngx_str_t *key,
    ngx_uint_t escaped)
{
    u_char      buf[NGX_ANALYTICS_ESCAPED_MAX];
    ngx_str_t   name;
    ngx_uint_t  i;

    name = *key;

    if (escaped) {
        ngx_analytics_decode_key(&name, buf);
    }

    for (i = 0; i < format->ntruncate; i++) {

        if (format->truncate[i].len == name.len
            && ngx_memcmp(format->truncate[i].data, name.data, name.len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* A string with an address gets no longer, but for "" and the like. */

static u_char *
ngx_analytics_truncate_value(u_char *p, ngx_str_t *value)
{
    u_char     text[NGX_ANALYTICS_ESCAPED_MAX];
    size_t     len;
    u_char     address[NGX_ANALYTICS_ADDRESS_LEN];
    ngx_str_t  raw;

    len = 0;

    if (value->data[0] == '"' && value->len <= NGX_ANALYTICS_ESCAPED_MAX) {
        raw.data = value->data + 1;
        raw.len = value->len - 2;

        raw.len = ngx_analytics_json_unescape(text, &raw);
        raw.data = text;

        len = ngx_analytics_truncate_address(address, &raw);
    }

    if (len == 0) {
        return ngx_cpymem(p, "null", 4);
    }

    *p++ = '"';
    p = ngx_cpymem(p, address, len);
    *p++ = '"';

    return p;
}


size_t
ngx_analytics_truncate_address(u_char *dst, ngx_str_t *text)
{
    char             name[NGX_ANALYTICS_ADDRESS_LEN];
    struct in_addr   in;
    struct in6_addr  in6;

    if (text->len == 0 || text->len >= NGX_ANALYTICS_ADDRESS_LEN
        || memchr(text->data, '\0', text->len))
    {
        return 0;
    }

    ngx_memcpy(name, text->data, text->len);
    name[text->len] = '\0';

    if (inet_pton(AF_INET, name, &in) == 1) {
        in.s_addr &= htonl(0xffffff00);
        (void) inet_ntop(AF_INET, &in, (char *) dst,
                         NGX_ANALYTICS_ADDRESS_LEN);

        return strlen((char *) dst);
    }

    if (inet_pton(AF_INET6, name, &in6) != 1) {
        return 0;
    }

    if (IN6_IS_ADDR_V4MAPPED(&in6)) {
        in6.s6_addr[15] = 0;

    } else {
        ngx_memzero(&in6.s6_addr[6], 10);
    }

    (void) inet_ntop(AF_INET6, &in6, (char *) dst, NGX_ANALYTICS_ADDRESS_LEN);

    return strlen((char *) dst);
}
