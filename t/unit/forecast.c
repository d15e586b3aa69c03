
/*
 * Forecasts of what can be known exactly: constants, lines, seasons, and all
 * of them together go on as they were, without a doubt.  Whatever the values,
 * what comes out are numbers.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "tap.h"
#include "ngx_analytics_forecast.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>


#define MAX   2000
#define DAY   24
#define WEEK  168


static uint64_t      seed = 20251004;
static double        values[MAX];
static const size_t  seasons[] = { DAY, WEEK };


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


/* no two hours of a day are alike, nor are two days of a week */
static double
daily(size_t t)
{
    return (double) (t * 5 % DAY) + 3;
}


static double
weekly(size_t t)
{
    return daily(t) + 10 * (double) (t / DAY * 3 % 7);
}


static double
constant(size_t t)
{
    return 42;
}


static double
zero(size_t t)
{
    return 0;
}


static double
line(size_t t)
{
    return 1000 - 0.5 * (double) t;
}


static double
daily_line(size_t t)
{
    return 100 + 0.25 * (double) t + daily(t);
}


static double
weekly_line(size_t t)
{
    return 100 + 0.25 * (double) t + weekly(t);
}


static double
growing(size_t t)
{
    return (100 + 0.5 * (double) t) * (0.5 + daily(t) / 20);
}


/* A function that goes on: how far off is it, and how uncertain? */
static void
exact(const char *name, double (*f)(size_t t), size_t n, size_t season)
{
    size_t                    i, needed;
    double                    mean, deviation, off, widest;
    ngx_analytics_forecast_t  forecast;

    for (i = 0; i < n; i++) {
        values[i] = f(i);
    }

    if (ngx_analytics_forecast_fit(&forecast, values, n, seasons, 2, &needed)
        != NGX_OK)
    {
        ok(0, "%s of %zu can be foretold", name, n);
        return;
    }

    off = 0;
    widest = 0;

    for (i = 0; i < 720; i++) {
        ngx_analytics_forecast_step(&forecast, i + 1, &mean, &deviation);

        off = fmax(off, fabs(mean - f(n + i)));
        widest = fmax(widest, deviation);
    }

    is_u64(forecast.season, season, "%s of %zu: the season", name, n);
    ok(off < 1e-6, "%s of %zu: goes on as it was, up to %g", name, n, off);
    ok(widest < 1e-6, "%s of %zu: without a doubt, up to %g", name, n, widest);
    is_u64(forecast.n, n, "%s of %zu: observations", name, n);

    ngx_analytics_forecast_free(&forecast);
}


static void
check_exact(void)
{
    exact("a constant", constant, 48, 0);
    exact("a constant", constant, 1344, 0);
    exact("nothing", zero, 48, 0);
    exact("nothing", zero, 1000, 0);
    exact("a line", line, 48, 0);
    exact("a line", line, 501, 0);
    exact("a day", daily, 72, DAY);
    exact("a day", daily, 101, DAY);
    exact("a day", daily, 1344, DAY);
    exact("a day and a line", daily_line, 120, DAY);
    exact("a day and a line", daily_line, 1001, DAY);
    exact("a week", weekly, 3 * WEEK, WEEK);
    exact("a week", weekly, 3 * WEEK + 55, WEEK);
    exact("a week and a line", weekly_line, 4 * WEEK + 1, WEEK);
    exact("a week and a line", weekly_line, 8 * WEEK, WEEK);
}


/* The season may be a factor: an additive one would be wrong by far. */
static void
check_factor(void)
{
    size_t                    i, needed;
    double                    mean, deviation, off;
    ngx_analytics_forecast_t  f;

    for (i = 0; i < 20 * DAY; i++) {
        values[i] = growing(i);
    }

    if (ngx_analytics_forecast_fit(&f, values, i, seasons, 2, &needed)
        != NGX_OK)
    {
        ok(0, "a growing season can be foretold");
        return;
    }

    off = 0;

    for (i = 0; i < WEEK; i++) {
        ngx_analytics_forecast_step(&f, i + 1, &mean, &deviation);
        off = fmax(off, fabs(mean / growing(20 * DAY + i) - 1));
    }

    ok(off < 0.02, "a season that grows goes on growing, up to %g", off);

    ngx_analytics_forecast_free(&f);
}


static void
few(size_t n, const size_t *seasons, size_t nseasons, size_t expected)
{
    size_t                    needed;
    ngx_int_t                 rc;
    ngx_analytics_forecast_t  f;

    needed = 0;

    rc = ngx_analytics_forecast_fit(&f, values, n, seasons, nseasons, &needed);

    is_i64(rc, (n < expected) ? NGX_DECLINED : NGX_OK,
           "%zu of %zu observations", n, expected);
    is_u64(needed, expected, "needed with %zu seasons", nseasons);

    ngx_analytics_forecast_free(&f);
}


static void
check_few(void)
{
    size_t  i;

    static const size_t  seven[] = { 7 };

    for (i = 0; i < MAX; i++) {
        values[i] = rnd();
    }

    few(0, seasons, 2, 48);
    few(47, seasons, 2, 48);
    few(48, seasons, 2, 48);
    few(13, seven, 1, 14);
    few(14, seven, 1, 14);
    few(0, NULL, 0, 10);
    few(9, NULL, 0, 10);
    few(10, NULL, 0, 10);
}


/* What is not said outright: each of these, at any length, gives numbers. */
static double
odd(int kind, size_t t)
{
    switch (kind) {
    case 0: return DBL_MAX;
    case 1: return (t % 2) ? DBL_MAX : -DBL_MAX;
    case 2: return (t % 7) ? 0 : DBL_MIN;
    case 3: return (t == 40) ? 1e308 : 1;
    case 4: return (t < 40) ? 0 : 1e15;
    case 5: return exp((double) t / 3);
    case 6: return -exp(-(double) t);
    case 7: return (t % DAY == 9) ? 100 : 0;
    case 8: return (double) (t % 2);
    case 9: return normal() * exp(50 * normal());
    case 10: return floor(rnd() * 2);
    default: return pow(-1.01, (double) t);
    }
}


static void
check_odd(void)
{
    int                       kind, bad;
    size_t                    i, k, n, needed;
    double                    mean, deviation;
    ngx_analytics_forecast_t  f;

    static const size_t  lengths[] = { 48, 49, 71, 335, 336, 600 };

    for (kind = 0; kind < 12; kind++) {
        bad = 0;

        for (k = 0; k < 6; k++) {
            n = lengths[k];

            for (i = 0; i < n; i++) {
                values[i] = fmax(fmin(odd(kind, i), DBL_MAX), -DBL_MAX);
            }

            if (ngx_analytics_forecast_fit(&f, values, n, seasons, 2, &needed)
                != NGX_OK)
            {
                bad++;
                continue;
            }

            for (i = 1; i <= 800; i++) {
                ngx_analytics_forecast_step(&f, i, &mean, &deviation);

                bad += !isfinite(mean) || !isfinite(deviation)
                       || deviation < 0;
            }

            ngx_analytics_forecast_free(&f);
        }

        is_i64(bad, 0, "odd values, %d: numbers come out", kind);
    }
}


/* chapter 6 of the book, with sums as they stand there */
static double
variance(const ngx_analytics_forecast_t *f, size_t h)
{
    size_t  i, j;
    double  c, v, damped;

    v = 1;

    for (j = 1; j < h; j++) {
        damped = 0;

        for (i = 1; i <= j; i++) {
            damped += pow(f->phi, (double) i);
        }

        c = f->alpha + f->beta * damped;

        if (f->season && j % f->season == 0) {
            c += f->gamma;
        }

        v += c * c;
    }

    return f->sigma * sqrt(v);
}


static void
check_steps(void)
{
    size_t                    h, season;
    double                    off, seasonal[7], mean, deviation, mean2,
                              deviation2, damped;
    ngx_analytics_forecast_t  f;

    off = 0;

    for (season = 0; season <= 7; season += 7) {
        ngx_memzero(&f, sizeof(f));

        f.season = season;
        f.alpha = 0.3;
        f.beta = 0.05;
        f.gamma = 0.2;
        f.phi = 0.9;
        f.level = 10;
        f.trend = 2;
        f.sigma = 3;
        f.seasonal = seasonal;
        f.steps = 1;
        f.variance = 1;

        for (h = 0; h < 7; h++) {
            seasonal[h] = (double) h * 10;
        }

        damped = 0;

        for (h = 1; h < 60; h++) {
            ngx_analytics_forecast_step(&f, h, &mean, &deviation);

            damped += pow(0.9, (double) h);

            off = fmax(off, fabs(mean - 10 - 2 * damped
                             - (season ? seasonal[(h - 1) % 7] : 0)));
            off = fmax(off, fabs(deviation - variance(&f, h)));
        }

        /* back and forth */

        ngx_analytics_forecast_step(&f, 20, &mean, &deviation);
        ngx_analytics_forecast_step(&f, 50, &mean2, &deviation2);
        off = fmax(off, fabs(deviation - variance(&f, 20)));
        off = fmax(off, fabs(deviation2 - variance(&f, 50)));
    }

    ok(off < 1e-9, "steps are as the book has them, up to %g", off);
}


static void
check_same(void)
{
    size_t                    i, needed;
    double                    one, two, deviation;
    ngx_analytics_forecast_t  f, g;

    for (i = 0; i < 700; i++) {
        values[i] = 50 + weekly(i) + 5 * normal();
    }

    if (ngx_analytics_forecast_fit(&f, values, 700, seasons, 2, &needed)
        != NGX_OK
        || ngx_analytics_forecast_fit(&g, values, 700, seasons, 2, &needed)
           != NGX_OK)
    {
        ok(0, "it can be foretold");
        return;
    }

    ngx_analytics_forecast_step(&f, 168, &one, &deviation);
    ngx_analytics_forecast_step(&g, 168, &two, &deviation);

    ok(one == two, "the same values give the same");
    ok(f.sigma > 4 && f.sigma < 6.5, "sigma is what the noise is: %g", f.sigma);

    ngx_analytics_forecast_free(&f);
    ngx_analytics_forecast_free(&g);
}


int
main(void)
{
    check_few();
    check_exact();
    check_factor();
    check_steps();
    check_same();
    check_odd();

    return done_testing();
}
