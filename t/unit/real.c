
/*
 * Doubles as decimal text: byte for byte what printf() writes, whatever the
 * double and the number of digits.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <math.h>
#include <stdlib.h>
#include "tap.h"
#include "ngx_analytics_real.h"


#define MANY  300000


static uint64_t  seed = 20251004;


/* xorshift64* */
static uint64_t
bits(void)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;

    return seed * 0x2545f4914f6cdd1dull;
}


static double
rnd(void)
{
    return (double) (bits() >> 11) / 9007199254740992.0;
}


static double
of_bits(uint64_t word)
{
    double  real;

    memcpy(&real, &word, sizeof(double));

    return real;
}


/* What stands in nan or inf says nothing of its sign to JSON: not asked for */
static double
any(void)
{
    double  real;

    do {
        real = of_bits(bits());
    } while (!isfinite(real));

    return real;
}


static double
near(double real)
{
    uint64_t  word;

    memcpy(&word, &real, sizeof(double));

    return of_bits(word + bits() % 5 - 2);
}


/* a decimal of so many digits and a 5: half of what is rounded away */
static double
tie(int digits)
{
    double  ten;

    ten = pow(10, (double) (bits() % (unsigned) digits));

    return (floor(rnd() * pow(10, digits)) + 0.5) / ten;
}


static double
draw(int kind)
{
    switch (kind) {
    case 0: return any();
    case 1: return floor(rnd() * 1e9) / (1 + floor(rnd() * 1e6));
    case 2: return floor(rnd() * 1e12) / (1 + floor(rnd() * 1e3));
    case 3: return floor(rnd() * 1e6) / 64;              /* exact ones */
    case 4: return tie(14);
    case 5: return tie(4);
    case 6: return near(ldexp(1, (int) (bits() % 2100) - 1060));
    case 7: return near(pow(10, (double) (bits() % 40) - 20));
    case 8: return near(1 - pow(10, -(double) (bits() % 18)));
    case 9: return of_bits(bits() >> 12);                /* denormal */
    case 10: return pow(10, rnd() * 24 - 7);
    case 11: return floor(rnd() * 1e17);
    case 12: return floor(pow(10, rnd() * 12)) / 1e4;    /* decimals */
    default: return -draw((int) (bits() % 13));
    }
}


static const char  *kinds[] = {
    "of any bits", "ratios of integers", "larger ratios", "dyadic fractions",
    "ties of many digits", "ties of few digits", "beside powers of 2",
    "beside powers of 10", "beside 1", "denormal", "of all sizes",
    "large integers", "decimals", "below 0"
};


static void
check_kind(int kind)
{
    int       n, digits;
    u_char   *last, text[64];
    char      expected[64];
    double    real;
    uint64_t  i, wrong;

    wrong = 0;

    for (i = 0; i < MANY; i++) {
        real = draw(kind);
        digits = (i & 1) ? 15 : 1 + (int) (bits() % 17);

        last = ngx_analytics_real_format(text, real, (ngx_uint_t) digits);
        n = snprintf(expected, sizeof(expected), "%.*g", digits, real);

        if (last - text != n || memcmp(text, expected, (size_t) n) != 0) {
            if (wrong++ == 0) {
                diag("%a with %d digits: \"%.*s\", not \"%s\"", real, digits,
                     (int) (last - text), (char *) text, expected);
            }
        }
    }

    is_u64(wrong, 0, "doubles %s are written as printf() does", kinds[kind]);
}


/* What reads back to it, of 15, 16 or 17 digits: the first that does. */
static void
check_exact(void)
{
    int       digits;
    u_char   *last, text[64];
    char      expected[64];
    double    real;
    uint64_t  i, wrong;

    wrong = 0;

    for (i = 0; i < MANY * 2; i++) {
        real = draw((int) (i % 14));

        for (digits = 15; digits <= 17; digits++) {
            snprintf(expected, sizeof(expected), "%.*g", digits, real);

            if (strtod(expected, NULL) == real) {
                break;
            }
        }

        last = ngx_analytics_real_exact(text, real);
        *last = '\0';

        if (strcmp((char *) text, expected) != 0 && wrong++ == 0) {
            diag("%a: \"%s\", not \"%s\"", real, (char *) text, expected);
        }
    }

    is_u64(wrong, 0, "what is to be read back has digits enough, and no more");
}


#define is_text(real, digits, expected)                                       \
    do {                                                                      \
        u_char  text[64], *end;                                               \
        end = ngx_analytics_real_format(text, real, digits);                  \
        is_str(text, (size_t) (end - text), expected, "%s of %d digits",       \
               expected, digits);                                             \
    } while (0)


int
main(void)
{
    int  kind;

    is_text(0.0, 15, "0");
    is_text(-0.0, 15, "-0");
    is_text(1.0, 15, "1");
    is_text(-1.5, 15, "-1.5");
    is_text(0.1, 15, "0.1");
    is_text(0.1, 17, "0.10000000000000001");
    is_text(100.0 / 3, 15, "33.3333333333333");
    is_text(999999999999999.5, 15, "1e+15");
    is_text(999999999999999.0, 15, "999999999999999");
    is_text(0.0001, 15, "0.0001");
    is_text(0.00009999999999999999, 15, "0.0001");
    is_text(0.00001, 15, "1e-05");
    is_text(2.5, 1, "2");
    is_text(3.5, 1, "4");
    is_text(9.5, 1, "1e+01");
    is_text(120000.0, 15, "120000");

    for (kind = 0; kind < 14; kind++) {
        check_kind(kind);
    }

    check_exact();

    return done_testing();
}
