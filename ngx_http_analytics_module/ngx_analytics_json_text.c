
/*
 * The text of JSON strings: plain runs, escapes, UTF-8.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_json_text.h"


#define NGX_ANALYTICS_JSON_ONES   0x0101010101010101ull
#define NGX_ANALYTICS_JSON_HIGHS  0x8080808080808080ull


/* What the letter behind a backslash stands for; 0: none, or "u". */
static const u_char  ngx_analytics_json_escapes[256] = {
    ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b', ['f'] = '\f',
    ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'
};


u_char *
ngx_analytics_json_fail(ngx_analytics_json_t *json, u_char *p,
    const char *err)
{
    json->pos = p;
    json->err = err;

    return NULL;
}


/* A mask of the bytes '"', '\\', below 0x20, from 0x80 up: high bits. */
static ngx_inline uint64_t
ngx_analytics_json_hits(uint64_t w)
{
    uint64_t  quote, slash, control;

    quote = w ^ (NGX_ANALYTICS_JSON_ONES * '"');
    slash = w ^ (NGX_ANALYTICS_JSON_ONES * '\\');

    /* a borrow may mark bytes above a true hit, never below the first one */
    control = w - NGX_ANALYTICS_JSON_ONES * 0x20;
    quote -= NGX_ANALYTICS_JSON_ONES;
    slash -= NGX_ANALYTICS_JSON_ONES;

    return (w | control | quote | slash) & NGX_ANALYTICS_JSON_HIGHS;
}


u_char *
ngx_analytics_json_plain(u_char *p, u_char *last)
{
    uint64_t  w;

    while (last - p >= 8) {
        memcpy(&w, p, 8);

        if (ngx_analytics_json_hits(w)) {
            break;
        }

        p += 8;
    }

    while (p < last && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\') {
        p++;
    }

    return p;
}


/*
 * Passes over the sequences of UTF-8 from p on, where the first one is not
 * ASCII, to the next byte of ASCII.  The ranges of RFC 3629, section 4,
 * leave no room for overlong forms, surrogates, or more than U+10FFFF.
 */
static u_char *
ngx_analytics_json_utf8(ngx_analytics_json_t *json, u_char *p)
{
    u_char   c, low, high, *last;
    ssize_t  n;

    last = json->last;

    do {
        c = *p;
        low = 0x80;
        high = 0xbf;

        if (c >= 0xc2 && c <= 0xdf) {
            n = 2;

        } else if (c >= 0xe0 && c <= 0xef) {
            n = 3;
            low = (c == 0xe0) ? 0xa0 : low;
            high = (c == 0xed) ? 0x9f : high;

        } else if (c >= 0xf0 && c <= 0xf4) {
            n = 4;
            low = (c == 0xf0) ? 0x90 : low;
            high = (c == 0xf4) ? 0x8f : high;

        } else {
            return ngx_analytics_json_fail(json, p, "invalid UTF-8");
        }

        if (last - p < n || p[1] < low || p[1] > high
            || (n > 2 && (p[2] & 0xc0) != 0x80)
            || (n > 3 && (p[3] & 0xc0) != 0x80))
        {
            return ngx_analytics_json_fail(json, p, "invalid UTF-8");
        }

        p += n;

    } while (p < last && *p >= 0x80);

    return p;
}


/* The value of four hexadecimal digits, or -1. */
static ngx_int_t
ngx_analytics_json_hex4(u_char *p)
{
    u_char      c;
    ngx_int_t   n;
    ngx_uint_t  i;

    n = 0;

    for (i = 0; i < 4; i++) {
        c = p[i];

        if (ngx_analytics_json_digit(c)) {
            n = n * 16 + (c - '0');
            continue;
        }

        c |= 0x20;

        if (c < 'a' || c > 'f') {
            return -1;
        }

        n = n * 16 + (c - 'a' + 10);
    }

    return n;
}


/* Passes over an escape, a pair of surrogates being one, from "\" on. */
static u_char *
ngx_analytics_json_escape(ngx_analytics_json_t *json, u_char *p)
{
    u_char     *last;
    ngx_int_t   n;

    last = json->last;

    if (last - p < 2) {
        return ngx_analytics_json_fail(json, last, "an unterminated string");
    }

    if (p[1] != 'u') {
        if (ngx_analytics_json_escapes[p[1]]) {
            return p + 2;
        }

        return ngx_analytics_json_fail(json, p, "an invalid escape");
    }

    n = (last - p < 6) ? -1 : ngx_analytics_json_hex4(p + 2);

    if (n == -1) {
        return ngx_analytics_json_fail(json, p, "an invalid escape");
    }

    if (n < 0xd800 || n > 0xdfff) {
        return p + 6;
    }

    if (n < 0xdc00 && last - p >= 12 && p[6] == '\\' && p[7] == 'u') {
        n = ngx_analytics_json_hex4(p + 8);

        if (n >= 0xdc00 && n <= 0xdfff) {
            return p + 12;
        }
    }

    return ngx_analytics_json_fail(json, p, "a lone surrogate");
}


u_char *
ngx_analytics_json_special(ngx_analytics_json_t *json, u_char *p,
    ngx_uint_t *escaped)
{
    if (p == json->last) {
        return ngx_analytics_json_fail(json, p, "an unterminated string");
    }

    if (*p == '\\') {
        *escaped = 1;
        return ngx_analytics_json_escape(json, p);
    }

    if (*p >= 0x80) {
        return ngx_analytics_json_utf8(json, p);
    }

    return ngx_analytics_json_fail(json, p, "a control character in a string");
}


static u_char *
ngx_analytics_json_encode(u_char *dst, ngx_uint_t c)
{
    if (c < 0x80) {
        *dst++ = (u_char) c;
        return dst;
    }

    if (c < 0x800) {
        *dst++ = (u_char) (0xc0 | (c >> 6));

    } else {
        if (c < 0x10000) {
            *dst++ = (u_char) (0xe0 | (c >> 12));

        } else {
            *dst++ = (u_char) (0xf0 | (c >> 18));
            *dst++ = (u_char) (0x80 | ((c >> 12) & 0x3f));
        }

        *dst++ = (u_char) (0x80 | ((c >> 6) & 0x3f));
    }

    *dst++ = (u_char) (0x80 | (c & 0x3f));

    return dst;
}


/* The text was scanned before: every escape in it is whole and valid. */
size_t
ngx_analytics_json_unescape(u_char *dst, ngx_str_t *raw)
{
    u_char      *p, *last, *start;
    ngx_uint_t   c;

    start = dst;
    p = raw->data;
    last = raw->data + raw->len;

    while (p < last) {

        if (*p != '\\') {
            *dst++ = *p++;
            continue;
        }

        if (p[1] != 'u') {
            *dst++ = ngx_analytics_json_escapes[p[1]];
            p += 2;
            continue;
        }

        c = (ngx_uint_t) ngx_analytics_json_hex4(p + 2);
        p += 6;

        if (c >= 0xd800 && c <= 0xdfff) {
            c = 0x10000 + ((c - 0xd800) << 10)
                + ((ngx_uint_t) ngx_analytics_json_hex4(p + 2) - 0xdc00);
            p += 6;
        }

        dst = ngx_analytics_json_encode(dst, c);
    }

    return dst - start;
}
