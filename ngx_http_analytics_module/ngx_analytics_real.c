
/*
 * Doubles as decimal text.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_real.h"
#include "ngx_analytics_writer.h"

#include <math.h>


#define NGX_ANALYTICS_REAL_DIGITS  15       /* that each double has */
#define NGX_ANALYTICS_REAL_MOST    17       /* that tell doubles apart */

/* %g writes no exponent from 10^-4 on */
#define NGX_ANALYTICS_REAL_ZEROS   4
#define NGX_ANALYTICS_REAL_SCALE                                              \
    (NGX_ANALYTICS_REAL_MOST - 1 + NGX_ANALYTICS_REAL_ZEROS)
#define NGX_ANALYTICS_REAL_TENS                                               \
    (NGX_ANALYTICS_REAL_DIGITS - 1 + NGX_ANALYTICS_REAL_ZEROS)


static ngx_int_t ngx_analytics_real_digits(double real, ngx_int_t digits,
    uint64_t *decimal, ngx_int_t *point);
static u_char *ngx_analytics_real_text(u_char *p, uint64_t decimal,
    ngx_int_t digits, ngx_int_t point);
static ngx_uint_t ngx_analytics_real_same(double real, uint64_t decimal,
    ngx_int_t scale);


#ifdef __SIZEOF_INT128__

__extension__ typedef unsigned __int128  ngx_analytics_wide_t;

static const uint64_t  ngx_analytics_fives[NGX_ANALYTICS_REAL_SCALE + 1] = {
    1, 5, 25, 125, 625, 3125, 15625, 78125, 390625, 1953125, 9765625, 48828125,
    244140625, 1220703125, 6103515625, 30517578125, 152587890625,
    762939453125, 3814697265625, 19073486328125, 95367431640625
};

#endif

static const uint64_t  ngx_analytics_tens[NGX_ANALYTICS_REAL_TENS + 1] = {
    1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000,
    10000000000, 100000000000, 1000000000000, 10000000000000, 100000000000000,
    1000000000000000, 10000000000000000, 100000000000000000,
    1000000000000000000
};


u_char *
ngx_analytics_real_format(u_char *p, double real, ngx_uint_t digits)
{
    uint64_t   decimal;
    ngx_int_t  point;

    if (ngx_analytics_real_digits(real, (ngx_int_t) digits, &decimal, &point)
        != NGX_OK)
    {
        return p + snprintf((char *) p, NGX_ANALYTICS_REAL_LEN, "%.*g",
                            (int) digits, real);
    }

    if (signbit(real)) {
        *p++ = '-';
    }

    return ngx_analytics_real_text(p, decimal, (ngx_int_t) digits, point);
}


u_char *
ngx_analytics_real_exact(u_char *p, double real)
{
    u_char      *last;
    uint64_t     decimal;
    ngx_int_t    point;
    ngx_uint_t   digits;

    digits = NGX_ANALYTICS_REAL_DIGITS;

    if (ngx_analytics_real_digits(real, (ngx_int_t) digits, &decimal, &point)
        == NGX_OK
        && ngx_analytics_real_same(fabs(real), decimal,
                                   (ngx_int_t) digits - 1 - point))
    {
        if (signbit(real)) {
            *p++ = '-';
        }

        return ngx_analytics_real_text(p, decimal, (ngx_int_t) digits, point);
    }

    for ( ;; ) {
        last = ngx_analytics_real_format(p, real, digits);

        if (digits++ == NGX_ANALYTICS_REAL_MOST) {
            return last;
        }

        *last = '\0';

        if (strtod((char *) p, NULL) == real) {
            return last;
        }
    }
}


/*
 * The digits, as a number of so many, and the place of the first one: that of
 * 10^point.  NGX_DECLINED if this is not the way to write it.
 */
static ngx_int_t
ngx_analytics_real_digits(double real, ngx_int_t digits, uint64_t *decimal,
    ngx_int_t *point)
{
#ifdef __SIZEOF_INT128__

    int                   shift;
    uint64_t              bits, n;
    ngx_int_t             e, k;
    ngx_analytics_wide_t  wide, rest, half;

    memcpy(&bits, &real, sizeof(uint64_t));

    e = (ngx_int_t) (bits >> 52 & 0x7ff) - 1023;
    bits = bits & 0xfffffffffffffull;

    if (e == -1023 && bits == 0) {
        *decimal = 0;
        *point = 0;
        return NGX_OK;
    }

    /*
     * 2^e is not above it, and so 10^floor(log10(2^e)) is not either, but the
     * next power of ten may not be, too.  1233 / 4096 is close enough to the
     * logarithm of 2 for as far as it goes; nothing below 0 is shifted.
     */

    k = digits - 1 - (((e + 4096) * 1233 >> 12) - 1233);

    for ( ;; k--) {

        if (k < 0 || k > digits - 1 + NGX_ANALYTICS_REAL_ZEROS) {
            return NGX_DECLINED;
        }

        wide = (ngx_analytics_wide_t) (bits | 1ull << 52)
               * ngx_analytics_fives[k];
        shift = (int) (52 - e - k);

        if (shift <= 0) {
            wide <<= -shift;
            n = (uint64_t) wide;
            rest = 0;
            half = 1;

        } else {
            half = (ngx_analytics_wide_t) 1 << (shift - 1);
            rest = wide & (half + half - 1);
            n = (uint64_t) (wide >> shift);
        }

        if (n < ngx_analytics_tens[digits]) {
            break;
        }
    }

    if (rest > half || (rest == half && (n & 1))) {
        n++;

        if (n == ngx_analytics_tens[digits]) {
            n = ngx_analytics_tens[digits - 1];

            if (k-- == 0) {
                return NGX_DECLINED;
            }
        }
    }

    *decimal = n;
    *point = digits - 1 - k;

    return NGX_OK;

#else

    return NGX_DECLINED;

#endif
}


/* Without the zeros at the end, as %g has it. */
static u_char *
ngx_analytics_real_text(u_char *p, uint64_t decimal, ngx_int_t digits,
    ngx_int_t point)
{
    u_char     *last, text[NGX_ANALYTICS_REAL_LEN];
    ngx_int_t   n;

    if (decimal == 0) {
        *p++ = '0';
        return p;
    }

    last = ngx_analytics_uint_format(text, decimal);

    while (last[-1] == '0') {
        last--;
    }

    n = last - text;

    if (point < 0) {
        p = ngx_cpymem(p, "0.0000", 1 - point);
        return ngx_cpymem(p, text, n);
    }

    if (n <= point + 1) {

        /* zeros in front of the point were taken away, too */

        p = ngx_cpymem(p, text, n);
        ngx_memset(p, '0', point + 1 - n);

        return p + (point + 1 - n);
    }

    p = ngx_cpymem(p, text, point + 1);
    *p++ = '.';

    return ngx_cpymem(p, text + point + 1, n - point - 1);
}


/*
 * Whether decimal / 10^scale is read as that: both are exact as doubles, so
 * that the quotient is rounded once, as it is when it is read.
 */
static ngx_uint_t
ngx_analytics_real_same(double real, uint64_t decimal, ngx_int_t scale)
{
    return (double) decimal / (double) ngx_analytics_tens[scale] == real;
}
