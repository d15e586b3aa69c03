
/*
 * A streaming JSON writer into one growing buffer.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_writer.h"
#include "ngx_analytics_real.h"
#include "ngx_analytics_time.h"

#if defined __SSE2__
#include <emmintrin.h>
#endif


/* longest texts of an integer: "18446744073709551615", of an escape: \u2028 */
#define NGX_ANALYTICS_UINT_LEN    20
#define NGX_ANALYTICS_ESCAPE_LEN  6


static const char  ngx_analytics_hex[] = "0123456789abcdef";

static const char  ngx_analytics_pairs[] =
    "00010203040506070809" "10111213141516171819"
    "20212223242526272829" "30313233343536373839"
    "40414243444546474849" "50515253545556575859"
    "60616263646566676869" "70717273747576777879"
    "80818283848586878889" "90919293949596979899";


/*
 * How a byte is written in a string.  0: as it is; 'u': as \u00XX; '?': as
 * it is unless it begins U+2028 or U+2029; any other: behind a backslash.
 */
static const u_char  ngx_analytics_escapes[256] = {
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u',
    'b', 't', 'n', 'u', 'f', 'r', 'u', 'u',
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u',
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u',
    ['"'] = '"', ['\\'] = '\\', ['&'] = 'u', ['<'] = 'u', ['>'] = 'u',
    [0x7f] = 'u', [0xe2] = '?'
};


ngx_int_t
ngx_analytics_writer_grow(ngx_analytics_writer_t *w, size_t len)
{
    u_char  *p;
    size_t   size, used;

    if (w->failed) {
        return NGX_ERROR;
    }

    used = w->pos - w->start;
    size = w->end - w->start;

    if (len > NGX_MAX_SIZE_T_VALUE - used
        || size > NGX_MAX_SIZE_T_VALUE - size)
    {
        goto failed;
    }

    size = ngx_max(size + size, used + len);

    p = w->alloc(w->ctx, size);

    if (p == NULL) {
        goto failed;
    }

    memcpy(p, w->start, used);

    w->start = p;
    w->pos = p + used;
    w->end = p + size;

    return NGX_OK;

failed:

    /* no room is left: every later write comes back here and is dropped */

    w->failed = 1;
    w->end = w->pos;

    return NGX_ERROR;
}


void
ngx_analytics_writer_init(ngx_analytics_writer_t *w,
    ngx_analytics_alloc_pt alloc, void *ctx, size_t size)
{
    w->alloc = alloc;
    w->ctx = ctx;

    w->start = alloc(ctx, size);
    w->pos = w->start;
    w->end = w->start;
    w->failed = (w->start == NULL);

    if (!w->failed) {
        w->end += size;
    }
}


void
ngx_analytics_write_raw(ngx_analytics_writer_t *w, const void *data,
    size_t len)
{
    if (len == 0 || ngx_analytics_writer_room(w, len) == NULL) {
        return;
    }

    memcpy(w->pos, data, len);
    w->pos += len;
}


#if defined __SSE2__

/*
 * How many of 16 bytes are written as they are.  Escaped are those below
 * 0x20, '"', '&', '<', '>', '\\', DEL, and maybe 0xe2.  '"' and '&' differ in
 * one bit, and so do '<' and '>': one comparison does for both.
 */
static ngx_inline ngx_uint_t
ngx_analytics_writer_plain(__m128i v)
{
    int      mask;
    __m128i  hit;

    hit = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);

    hit = _mm_or_si128(hit,
              _mm_cmpeq_epi8(_mm_or_si128(v, _mm_set1_epi8('"' ^ '&')),
                             _mm_set1_epi8('&')));
    hit = _mm_or_si128(hit,
              _mm_cmpeq_epi8(_mm_or_si128(v, _mm_set1_epi8('<' ^ '>')),
                             _mm_set1_epi8('>')));

    hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
    hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
    hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, _mm_set1_epi8((char) 0xe2)));

    mask = _mm_movemask_epi8(hit);

    return mask ? (ngx_uint_t) __builtin_ctz(mask) : 16;
}

#endif


/*
 * Copies from p on what is written as it is, and returns the first byte that
 * is not, or last.  There is room for all of it, and so for a whole vector
 * wherever 16 bytes are left: what is copied too far is overwritten.
 */
static u_char *
ngx_analytics_writer_copy(ngx_analytics_writer_t *w, u_char *p, u_char *last)
{
    u_char      *dst;
#if defined __SSE2__
    __m128i      v;
    ngx_uint_t   n;
#endif

    dst = w->pos;

#if defined __SSE2__

    while (last - p >= 16) {
        v = _mm_loadu_si128((const __m128i *) (const void *) p);
        _mm_storeu_si128((__m128i *) (void *) dst, v);

        n = ngx_analytics_writer_plain(v);
        p += n;
        dst += n;

        if (n < 16) {
            w->pos = dst;
            return p;
        }
    }

#endif

    while (p < last && ngx_analytics_escapes[*p] == 0) {
        *dst++ = *p++;
    }

    w->pos = dst;

    return p;
}


/* Writes the character at p, which may need an escape; there is room. */
static u_char *
ngx_analytics_writer_escape(ngx_analytics_writer_t *w, u_char *p,
    u_char *last)
{
    u_char  c, how, *dst;

    c = *p;
    how = ngx_analytics_escapes[c];
    dst = w->pos;

    if (how == '?') {

        if (last - p >= 3 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9)) {
            w->pos = ngx_cpymem(dst, "\\u202", NGX_ANALYTICS_ESCAPE_LEN - 1);
            *w->pos++ = (p[2] == 0xa8) ? '8' : '9';

            return p + 3;
        }

        *dst++ = c;

    } else {
        *dst++ = '\\';
        *dst++ = how;

        if (how == 'u') {
            *dst++ = '0';
            *dst++ = '0';
            *dst++ = ngx_analytics_hex[c >> 4];
            *dst++ = ngx_analytics_hex[c & 0xf];
        }
    }

    w->pos = dst;

    return p + 1;
}


void
ngx_analytics_write_string(ngx_analytics_writer_t *w, ngx_str_t *text)
{
    u_char  *p, *last;

    if (ngx_analytics_writer_room(w, text->len + 2) == NULL) {
        return;
    }

    *w->pos++ = '"';

    if (text->len) {
        p = text->data;
        last = p + text->len;

        for ( ;; ) {
            p = ngx_analytics_writer_copy(w, p, last);

            if (p == last) {
                break;
            }

            /* this escape, the rest as it is, the quote */

            if (ngx_analytics_writer_room(w, NGX_ANALYTICS_ESCAPE_LEN
                                          + (last - p - 1) + 1)
                == NULL)
            {
                return;
            }

            p = ngx_analytics_writer_escape(w, p, last);
        }
    }

    *w->pos++ = '"';
}


u_char *
ngx_analytics_uint_format(u_char *p, uint64_t n)
{
    u_char    *last;
    uint64_t   rest;

    for (last = p + 1, rest = n; rest >= 100; rest /= 100) {
        last += 2;
    }

    last += (rest >= 10);

    for (p = last; n >= 100; n /= 100) {
        p -= 2;
        ngx_memcpy(p, &ngx_analytics_pairs[n % 100 * 2], 2);
    }

    if (n >= 10) {
        ngx_memcpy(p - 2, &ngx_analytics_pairs[n * 2], 2);

    } else {
        *--p = (u_char) ('0' + n);
    }

    return last;
}


void
ngx_analytics_write_uint(ngx_analytics_writer_t *w, uint64_t n)
{
    if (ngx_analytics_writer_room(w, NGX_ANALYTICS_UINT_LEN)) {
        w->pos = ngx_analytics_uint_format(w->pos, n);
    }
}


void
ngx_analytics_write_int(ngx_analytics_writer_t *w, int64_t n)
{
    if (n >= 0) {
        ngx_analytics_write_uint(w, (uint64_t) n);
        return;
    }

    ngx_analytics_write_literal(w, "-");
    ngx_analytics_write_uint(w, 0 - (uint64_t) n);
}


void
ngx_analytics_write_real(ngx_analytics_writer_t *w, double real,
    ngx_uint_t digits)
{
    if (ngx_analytics_writer_room(w, NGX_ANALYTICS_REAL_LEN)) {
        w->pos = ngx_analytics_real_format(w->pos, real, digits);
    }
}


void
ngx_analytics_write_time(ngx_analytics_writer_t *w, int64_t usec)
{
    if (ngx_analytics_writer_room(w, NGX_ANALYTICS_TIME_LEN + 2) == NULL) {
        return;
    }

    *w->pos++ = '"';
    w->pos = ngx_analytics_time_format(w->pos, usec);
    *w->pos++ = '"';
}


void
ngx_analytics_write_date(ngx_analytics_writer_t *w, int64_t day)
{
    if (ngx_analytics_writer_room(w, NGX_ANALYTICS_DATE_LEN + 2) == NULL) {
        return;
    }

    *w->pos++ = '"';
    w->pos = ngx_analytics_date_format(w->pos, day);
    *w->pos++ = '"';
}
