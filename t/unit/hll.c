
/*
 * HyperLogLog: that the estimate is the one of the paper, and within its
 * error bound of the truth.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <stdlib.h>
#include "tap.h"
#include "ngx_analytics_hll.h"


#define SKETCHES  20


static u_char  registers[NGX_ANALYTICS_HLL_SIZE];


/* splitmix64, a bijection: different n, different hashes */
static uint64_t
hash_of(uint64_t n)
{
    n *= 0x9e3779b97f4a7c15ull;
    n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9ull;
    n = (n ^ (n >> 27)) * 0x94d049bb133111ebull;

    return n ^ (n >> 31);
}


static void
add(u_char *sketch, uint64_t hash)
{
    ngx_uint_t  i, rank;

    i = ngx_analytics_hll_register(hash, &rank);

    if (sketch[i] < rank) {
        sketch[i] = (u_char) rank;
    }
}


/* The position of the first 1 of 50 bits, bit by bit. */
static void
check_register(void)
{
    uint64_t    i, hash;
    ngx_uint_t  k, rank, expected, wrong;

    wrong = 0;

    for (i = 0; i < 100000; i++) {

        /* all ranks, rare ones too */
        hash = (hash_of(i + 1) >> 14 >> (i % 51) << (i % 51)) << 14;
        hash |= hash_of(i + 2) % 16384;

        for (k = 14; k < 64 && ((hash >> k) & 1) == 0; k++) { /* void */ }

        expected = k - 13;

        wrong += (ngx_analytics_hll_register(hash, &rank) != hash % 16384
                  || rank != expected);
    }

    is_u64(wrong, 0, "the register is told by 14 bits, the rank by the others");

    is_u64(ngx_analytics_hll_register(0, &rank), 0, "the hash 0 has one too");
    is_u64(rank, 51, "... and the largest rank");
}


static u_char
all_of_1(ngx_uint_t i)
{
    return 1;
}


static u_char
one_of_1(ngx_uint_t i)
{
    return i == 0;
}


static u_char
every_rank(ngx_uint_t i)
{
    return i % 52;
}


static u_char
half_empty(ngx_uint_t i)
{
    return (i % 2) * (1 + i / 2 % 20);
}


static u_char
one_empty(ngx_uint_t i)
{
    return (i == 16383) ? 0 : 10;
}


static u_char
high(ngx_uint_t i)
{
    return 30 + i % 22;
}


static u_char
some_full(ngx_uint_t i)
{
    return (i % 8) ? 46 : 51;
}


static u_char
few(ngx_uint_t i)
{
    return (i % 1000) ? 0 : 5;
}


static u_char
all_but_full(ngx_uint_t i)
{
    return i ? 51 : 50;
}


/*
 * The expected numbers were calculated with 80 decimal digits by a program
 * in Python (decimal) from the sums that define the estimate in Ertl's paper:
 *
 *     m^2 / (2 ln 2) / (m sigma(C[0] / m) + sum of C[k] 2^-k for k to q
 *                       + m tau(1 - C[q + 1] / m) 2^-q)
 */
static void
check_estimate(void)
{
    double              got, error;
    ngx_uint_t          i, k;
    static const struct {
        const char     *name;
        u_char        (*rank)(ngx_uint_t i);
        double          expected;
    } cases[] = {
        { "all 1",               all_of_1,   23637.115549924776 },
        { "one 1",               one_of_1,   1.0000241666628346 },
        { "every rank",          every_rank, 303515.77240224869 },
        { "half of them 0",      half_empty, 12905.575711938226 },
        { "one 0",               one_empty,  11390922.310930869 },
        { "high ones",           high,       139539823917546.49 },
        { "some at the largest", some_full,  947698715457664154.0 },
        { "a few of them",       few,        17.008809258377884 }
    };

    for (k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {

        for (i = 0; i < NGX_ANALYTICS_HLL_SIZE; i++) {
            registers[i] = cases[k].rank(i);
        }

        got = (double) ngx_analytics_hll_count(registers);
        error = got - cases[k].expected;

        /* rounded to an integer; beyond 2^50, what a double can hold */

        if (!ok(error <= 0.5 + cases[k].expected * 1e-15
                && error >= -0.5 - cases[k].expected * 1e-15,
                "registers: %s", cases[k].name))
        {
            diag("got %.17g, expected %.17g", got, cases[k].expected);
        }
    }

    memset(registers, 0, sizeof(registers));
    is_u64(ngx_analytics_hll_count(registers), 0, "nothing was seen: 0");

    memset(registers, 51, sizeof(registers));
    is_u64(ngx_analytics_hll_count(registers), UINT64_MAX,
           "more than can be told: the largest number");

    for (i = 0; i < NGX_ANALYTICS_HLL_SIZE; i++) {
        registers[i] = all_but_full(i);
    }

    is_u64(ngx_analytics_hll_count(registers), UINT64_MAX,
           "... and where the estimate is beyond 2^64");

    memset(registers, 255, sizeof(registers));
    (void) ngx_analytics_hll_count(registers);
    ok(1, "registers that cannot be true do no harm");
}


/*
 * The standard error is 0.81 %.  Of 20 sketches none is wrong by more than
 * five times that, nor their mean by more than five times its own error,
 * which is smaller by the root of 20.
 */
static void
check_error(ngx_uint_t n)
{
    double         error, sum, worst;
    uint64_t       count;
    ngx_uint_t     i, k;
    static u_char  sketch[NGX_ANALYTICS_HLL_SIZE];

    sum = 0;
    worst = 0;

    for (k = 0; k < SKETCHES; k++) {
        memset(sketch, 0, sizeof(sketch));

        for (i = 0; i < n; i++) {
            add(sketch, hash_of(k * 1000003 * 1000 + i + 1));
        }

        count = ngx_analytics_hll_count(sketch);

        error = ((double) count - (double) n) / (double) n;
        sum += error;

        error = (error < 0) ? -error : error;
        worst = ngx_max(worst, error);
    }

    sum /= SKETCHES;
    sum = (sum < 0) ? -sum : sum;

    if (!ok(worst <= 5 * 0.0081 && sum <= 5 * 0.0081 / 4.47,
            "%u distinct values are told", (unsigned) n))
    {
        diag("worst %.5f, mean %.5f", worst, sum);
    }
}


static void
check_few(void)
{
    uint64_t    wrong;
    ngx_uint_t  n;

    memset(registers, 0, sizeof(registers));
    wrong = 0;

    for (n = 1; n <= 30; n++) {
        add(registers, hash_of(n));
        wrong += (ngx_analytics_hll_count(registers) != n);
    }

    is_u64(wrong, 0, "few values that share no register are told exactly");

    for (n = 1; n <= 30; n++) {
        add(registers, hash_of(n));
    }

    is_u64(ngx_analytics_hll_count(registers), 30, "... however often seen");
}


int
main(void)
{
    check_register();
    check_estimate();
    check_few();

    check_error(100);
    check_error(1000);
    check_error(10000);
    check_error(30000);
    check_error(70000);
    check_error(100000);
    check_error(1000000);

    return done_testing();
}
