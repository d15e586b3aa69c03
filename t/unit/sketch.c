
/*
 * Quantiles: each is within one percent of the value at its rank, whatever
 * the values, however they were split and added up again.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "tap.h"
#include "ngx_analytics_sketch.h"

#include <math.h>


#define MANY  20000


static uint64_t  seed = 20251004;
static double    values[MANY];

static ngx_analytics_bins_t  above, below, parts[2][2];


/* xorshift64* */
static double
rnd(void)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;

    return (double) (seed * 0x2545f4914f6cdd1dull >> 11) / 9007199254740992.0;
}


static double
normal(void)
{
    return sqrt(-2 * log(rnd() + 1e-300)) * cos(6.283185307179586 * rnd());
}


static int
compare(const void *one, const void *two)
{
    const double *a = one, *b = two;

    return (*a > *b) - (*a < *b);
}


/* one kind of values */
static double
draw(int kind)
{
    switch (kind) {
    case 0: return exp(normal());                       /* latencies */
    case 1: return floor(rnd() * 2000);                 /* small integers */
    case 2: return pow(10, rnd() * 26 - 9);             /* all there are */
    case 3: return normal() * 100;                      /* also below 0 */
    case 4: return 42;                                  /* always the same */
    default: return rnd() < 0.5 ? 0 : -exp(normal());
    }
}


static void
count(ngx_analytics_bins_t *bins, double value)
{
    ngx_uint_t  bin;

    bin = ngx_analytics_sketch_bin(value);

    ngx_analytics_bins_extend(bins, bin, bin + 1);
    bins->counts[bin]++;
}


/* In two parts, and empty before and again. */
static void
fill(int kind)
{
    size_t  i;

    ngx_analytics_bins_clear(&above);
    ngx_analytics_bins_clear(&below);

    for (i = 0; i < MANY; i++) {
        values[i] = draw(kind);
        count(&parts[i % 2][values[i] < 0], fabs(values[i]));
    }

    for (i = 0; i < 2; i++) {
        ngx_analytics_bins_add(&above, &parts[i][0]);
        ngx_analytics_bins_add(&below, &parts[i][1]);

        ngx_analytics_bins_clear(&parts[i][0]);
        ngx_analytics_bins_clear(&parts[i][1]);
    }
}


static void
check_clear(void)
{
    static ngx_analytics_bins_t  none[2][2];

    ok(memcmp(none, parts, sizeof(none)) == 0,
       "nothing is left of what was cleared");
}


static void
check_quantiles(int kind, const char *name)
{
    double      got, exact, worst;
    uint64_t    rank;
    ngx_uint_t  q;

    fill(kind);

    qsort(values, MANY, sizeof(double), compare);

    worst = 0;

    for (q = 0; q <= 1000; q++) {
        rank = ngx_analytics_sketch_nearest(MANY, q);
        exact = values[rank - 1];
        got = ngx_analytics_sketch_rank(&below, &above, rank);

        if (exact == 0 && got == 0) {
            continue;
        }

        worst = fmax(worst, fabs(got - exact) / fabs(exact));
    }

    ok(worst <= NGX_ANALYTICS_SKETCH_ERROR, "%s: within 1 %%, at worst %g",
       name, worst);
}


static void
check_bins(void)
{
    double      value, back, worst;
    ngx_uint_t  i, bin, last;

    worst = 0;
    last = 0;

    for (value = 1e-9; value < 1e17; value *= 1.0007) {
        bin = ngx_analytics_sketch_bin(value);
        back = ngx_analytics_sketch_value(bin);
        worst = fmax(worst, fabs(back - value) / value);

        if (bin < last || bin >= NGX_ANALYTICS_SKETCH_BINS) {
            break;
        }

        last = bin;
    }

    ok(value >= 1e17 && worst <= NGX_ANALYTICS_SKETCH_ERROR,
       "a bin stands for what falls into it, at worst by %g", worst);

    for (i = 1; i < NGX_ANALYTICS_SKETCH_BINS - 1; i++) {
        if (ngx_analytics_sketch_bin(ngx_analytics_sketch_value(i)) != i) {
            break;
        }
    }

    is_u64(i, NGX_ANALYTICS_SKETCH_BINS - 1, "what it stands for is in it");

    is_u64(ngx_analytics_sketch_bin(0), 0, "0 is a bin of its own");
    is_u64(ngx_analytics_sketch_bin(1e300), NGX_ANALYTICS_SKETCH_BINS - 1,
           "more than there is falls into the last");
}


static void
check_ranks(void)
{
    is_u64(ngx_analytics_sketch_nearest(1, 0), 1, "p0 of one");
    is_u64(ngx_analytics_sketch_nearest(1, 1000), 1, "p100 of one");
    is_u64(ngx_analytics_sketch_nearest(100, 500), 50, "p50 of 100");
    is_u64(ngx_analytics_sketch_nearest(101, 500), 51, "p50 of 101");
    is_u64(ngx_analytics_sketch_nearest(1000, 999), 999, "p99.9 of 1000");
    is_u64(ngx_analytics_sketch_nearest(UINT64_MAX, 1000), UINT64_MAX,
           "p100 of as many as can be");
}


int
main(void)
{
    check_bins();
    check_ranks();
    check_quantiles(0, "latencies");
    check_quantiles(1, "small integers");
    check_quantiles(2, "26 orders of magnitude");
    check_quantiles(3, "values below 0");
    check_quantiles(4, "one value");
    check_quantiles(5, "none above 0");
    check_clear();

    return done_testing();
}
