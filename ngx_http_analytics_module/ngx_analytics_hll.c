
/*
 * HyperLogLog: the estimate.
 *
 * O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches",
 * 2017, algorithm 6 (the improved raw estimator).
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_hll.h"


/* the largest rank: all bits of a hash but those of the register are 0 */

/* 1 / (2 ln 2) */
#define NGX_ANALYTICS_HLL_ALPHA  0.721347520444481703680


/* Newton's method for 0 < x <= 1, from above: libm is not linked for it. */
static double
ngx_analytics_hll_sqrt(double x)
{
    double  y, next;

    next = 1.0;

    do {
        y = next;
        next = 0.5 * (y + x / y);
    } while (next < y);

    return y;
}


/* x + sum of x^(2^k) * 2^(k-1) for k from 1 up, for 0 <= x < 1 */
static double
ngx_analytics_hll_sigma(double x)
{
    double  y, z, before;

    y = 1.0;
    z = x;

    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (z != before);

    return z;
}


/* (1 - x - sum of (1 - x^(2^-k))^2 * 2^-k for k from 1 up) / 3 */
static double
ngx_analytics_hll_tau(double x)
{
    double  y, z, before;

    if (x <= 0.0 || x >= 1.0) {
        return 0.0;
    }

    y = 1.0;
    z = 1.0 - x;

    do {
        x = ngx_analytics_hll_sqrt(x);
        before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
    } while (z != before);

    return z / 3.0;
}


uint64_t
ngx_analytics_hll_count(const u_char *registers)
{
    return ngx_analytics_hll_estimate(registers, NGX_ANALYTICS_HLL_BITS);
}


uint64_t
ngx_analytics_hll_estimate(const u_char *registers, ngx_uint_t bits)
{
    double      m, z;
    uint32_t    n[4][64];
    ngx_uint_t  i, k, size, top;

    size = (ngx_uint_t) 1 << bits;
    top = 64 - bits + 1;

    /* four histograms: a counter is not waited for by its next increment */

    memset(n, 0, sizeof(n));

    for (i = 0; i < size; i += 4) {
        n[0][registers[i] & 63]++;
        n[1][registers[i + 1] & 63]++;
        n[2][registers[i + 2] & 63]++;
        n[3][registers[i + 3] & 63]++;
    }

    for (k = 0; k <= top; k++) {
        n[0][k] += n[1][k] + n[2][k] + n[3][k];
    }

    m = (double) size;

    if (n[0][0] == size) {
        return 0;
    }

    z = m * ngx_analytics_hll_tau(1.0 - n[0][top] / m);

    for (k = top - 1; k > 0; k--) {
        z = 0.5 * (z + n[0][k]);
    }

    z += m * ngx_analytics_hll_sigma(n[0][0] / m);

    z = NGX_ANALYTICS_HLL_ALPHA * m * m / z + 0.5;

    /* registers that are all at their largest rank tell nothing: infinite */
    return (z < 18446744073709549568.0) ? (uint64_t) z : UINT64_MAX;
}
