
/*
 * The text of JSON strings, for the scanner alone: ngx_analytics_json.h is
 * what everybody else includes.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_JSON_TEXT_H_INCLUDED_
#define _NGX_ANALYTICS_JSON_TEXT_H_INCLUDED_


#include "ngx_analytics_json.h"

#if defined __SSE2__
#include <emmintrin.h>
#endif


#define ngx_analytics_json_digit(c)  ((u_char) ((c) - '0') <= 9)


/* Sets json->pos and json->err.  Returns NULL. */
u_char *ngx_analytics_json_fail(ngx_analytics_json_t *json, u_char *p,
    const char *err);

/* To the first byte that needs a closer look, or to last. */
u_char *ngx_analytics_json_plain(u_char *p, u_char *last);

/*
 * Passes over what plain() stopped at, and is no quote: an escape, UTF-8.
 * Returns the position behind it, or NULL after an error.
 */
u_char *ngx_analytics_json_special(ngx_analytics_json_t *json, u_char *p,
    ngx_uint_t *escaped);


/*
 * From behind the opening quote to the closing one.
 * Returns its position, or NULL after an error.
 */
static ngx_inline u_char *
ngx_analytics_json_text(ngx_analytics_json_t *json, u_char *p,
    ngx_uint_t *escaped)
{
#if defined __SSE2__
    int       mask;
    __m128i   v, hit;
#endif

    *escaped = 0;

    for ( ;; ) {

#if defined __SSE2__
        while (json->last - p >= 16) {
            v = _mm_loadu_si128((const __m128i *) (const void *) p);

            /* signed: below 0x20 are also the bytes from 0x80 up */
            hit = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20));
            hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, _mm_set1_epi8('"')));
            hit = _mm_or_si128(hit, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));

            mask = _mm_movemask_epi8(hit);

            if (mask) {
                p += __builtin_ctz(mask);
                goto found;
            }

            p += 16;
        }
#endif

        p = ngx_analytics_json_plain(p, json->last);

#if defined __SSE2__
    found:
#endif

        if (p < json->last && *p == '"') {
            return p;
        }

        p = ngx_analytics_json_special(json, p, escaped);

        if (p == NULL) {
            return NULL;
        }
    }
}


#endif /* _NGX_ANALYTICS_JSON_TEXT_H_INCLUDED_ */
