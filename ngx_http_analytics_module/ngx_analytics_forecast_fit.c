
/*
 * Forecasts: a model of a given season and trend, fitted to a history.
 *
 * Level, trend and season begin with what a decomposition of the history says
 * of them.  The smoothing parameters are those with the least squared errors
 * of one step, found on a coarse grid and from there by smaller and smaller
 * moves of one of them at a time.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_forecast_fit.h"
#include <float.h>
#include <math.h>


/* of what the mean is on average: errors do not get smaller below that */
#define NGX_ANALYTICS_FORECAST_FLOOR   0.05

#define NGX_ANALYTICS_FORECAST_PARAMS  3

/* each of half the width of the one before */
#define NGX_ANALYTICS_FORECAST_MOVES   3


static double ngx_analytics_forecast_grid(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit, double *params);
static ngx_uint_t ngx_analytics_forecast_move(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit, double *params, double *best,
    double width);
static void ngx_analytics_forecast_start(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit);
static void ngx_analytics_forecast_start_season(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit, double slope);
static double ngx_analytics_forecast_line(const double *values, size_t n,
    double *level);
static double ngx_analytics_forecast_run(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit, const double *params);
static void ngx_analytics_forecast_noise(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit);
static double ngx_analytics_forecast_spread(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit, double *squares);


void
ngx_analytics_forecast_search(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit)
{
    double      best, width, params[NGX_ANALYTICS_FORECAST_PARAMS];
    ngx_uint_t  i;

    f->seasonal = f->season ? fit->seasonal : NULL;

    ngx_analytics_forecast_start(f, fit);

    best = ngx_analytics_forecast_grid(f, fit, params);

    width = 0.1;

    for (i = 0; i < NGX_ANALYTICS_FORECAST_MOVES; i++) {

        while (ngx_analytics_forecast_move(f, fit, params, &best, width)) {
            /* void */
        }

        width /= 2;
    }

    (void) ngx_analytics_forecast_run(f, fit, params);

    ngx_analytics_forecast_noise(f, fit);
}


/*
 * Parameters are alpha, beta in parts of alpha, and gamma in parts of
 * 1 - alpha: each of them makes sense from 0 to 1.  Returns the least sum of
 * squares.
 */

static double
ngx_analytics_forecast_grid(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit, double *params)
{
    double      sse, best, tried[NGX_ANALYTICS_FORECAST_PARAMS];
    ngx_uint_t  i, j, k, nj, nk;

    static double  alphas[] = { 0.01, 0.05, 0.2, 0.5, 0.9 };
    static double  parts[] = { 0, 0.05, 0.2 };

    nj = (f->phi > 0) ? 3 : 1;
    nk = f->season ? 3 : 1;

    best = DBL_MAX;
    ngx_memzero(params, NGX_ANALYTICS_FORECAST_PARAMS * sizeof(double));

    for (i = 0; i < 5 && alphas[i] <= fit->most; i++) {

        for (j = 0; j < nj; j++) {

            for (k = 0; k < nk; k++) {
                tried[0] = alphas[i];
                tried[1] = parts[j];
                tried[2] = parts[k];

                sse = ngx_analytics_forecast_run(f, fit, tried);

                if (sse < best) {
                    best = sse;
                    ngx_memcpy(params, tried, sizeof(tried));
                }
            }
        }
    }

    return best;
}


/* Each parameter a step down and up.  Returns whether that was of use. */

static ngx_uint_t
ngx_analytics_forecast_move(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit, double *params, double *best,
    double width)
{
    double      sse, tried[NGX_ANALYTICS_FORECAST_PARAMS];
    ngx_uint_t  i, k, moved;

    moved = 0;

    for (i = 0; i < 2 * NGX_ANALYTICS_FORECAST_PARAMS; i++) {
        k = i / 2;

        if ((k == 1 && f->phi == 0) || (k == 2 && f->season == 0)) {
            continue;
        }

        /* equal steps of the square root: small ones matter as much */

        ngx_memcpy(tried, params, sizeof(tried));

        tried[k] = sqrt(params[k]) + ((i % 2) ? width : -width);
        tried[k] = ngx_max(tried[k], 0);
        tried[k] = ngx_min(tried[k] * tried[k], k ? 0.999 : fit->most);

        sse = ngx_analytics_forecast_run(f, fit, tried);

        /* not for next to nothing, or it would take long */

        if (sse < *best * 0.9999) {
            *best = sse;
            ngx_memcpy(params, tried, sizeof(tried));
            moved = 1;
        }
    }

    return moved;
}


/*
 * A trend that goes on begins as the line through the history; others begin
 * with none, at the mean of the first season.
 */

static void
ngx_analytics_forecast_start(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit)
{
    size_t  i, k, m, first, n;
    double  slope;

    /* means of whole seasons, up to the end of the history */

    m = f->season ? f->season : ngx_min(fit->n / 2, 8);
    n = fit->n / m;
    first = fit->n % m;

    f->usual = 0;

    for (k = 0; k < n; k++) {
        fit->error[k] = 0;

        for (i = 0; i < m; i++) {
            fit->error[k] += fit->values[first + k * m + i] / (double) m;
        }

        f->usual += fit->error[k] / (double) n;
    }

    slope = (n > 1) ? ngx_analytics_forecast_line(fit->error, n, &fit->level)
                      / (double) m
                    : 0;

    if (f->phi == 1 && n > 1) {
        fit->trend = slope;
        fit->level -= slope * ((double) first + (double) (m - 1) / 2 + 1);

    } else {
        fit->trend = 0;
        fit->level = fit->error[0];
    }

    if (f->season) {
        ngx_analytics_forecast_start_season(f, fit, slope);
    }
}


/*
 * How much each place in a season is above the mean of its season, or how many
 * times that, if the trend is taken away: of all whole seasons.
 */

static void
ngx_analytics_forecast_start_season(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit, double slope)
{
    size_t         i, k, m, n;
    double         sum, trend, means;
    const double  *value;

    m = f->season;
    n = fit->n / m;

    value = fit->values + fit->n % m;

    for (i = 0; i < m; i++) {
        trend = slope * ((double) i - (double) (m - 1) / 2);
        sum = 0;
        means = 0;

        for (k = 0; k < n; k++) {
            sum += value[k * m + i];
            means += fit->error[k] + trend;
        }

        fit->start[(fit->n % m + i) % m] =
                   f->product ? (means > 0 ? ngx_max(sum / means, 0) : 1)
                              : (sum - means) / (double) n;
    }
}


/* Least squares: returns the slope, *level is at the first one. */

static double
ngx_analytics_forecast_line(const double *values, size_t n, double *level)
{
    size_t  i;
    double  t, mean, sum, squares;

    mean = 0;
    sum = 0;
    squares = 0;

    for (i = 0; i < n; i++) {
        mean += values[i] / (double) n;
    }

    for (i = 0; i < n; i++) {
        t = (double) i - (double) (n - 1) / 2;
        sum += t * (values[i] - mean);
        squares += t * t;
    }

    sum /= squares;
    *level = mean - sum * (double) (n - 1) / 2;

    return sum;
}


/* Over all of the history; returns the sum of the squared errors. */

static double
ngx_analytics_forecast_run(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit, const double *params)
{
    size_t  t, place;
    double  error, sse;

    f->alpha = params[0];
    f->beta = params[0] * params[1];
    f->gamma = (1 - params[0]) * params[2];

    ngx_analytics_forecast_restart(f, fit);

    sse = 0;
    place = 0;

    for (t = 0; t < fit->n; t++) {
        fit->mean[t] = ngx_analytics_forecast_mean(f, place);
        error = fit->values[t] - fit->mean[t];
        fit->error[t] = error;
        sse += error * error;

        ngx_analytics_forecast_next(f, place, error);

        if (++place >= f->season) {
            place = 0;
        }
    }

    return sse;
}


double
ngx_analytics_forecast_mean(ngx_analytics_forecast_t *f, size_t place)
{
    double  base;

    base = f->level + f->phi * f->trend;

    if (f->season == 0) {
        return base;
    }

    return f->product ? base * f->seasonal[place]
                      : base + f->seasonal[place];
}


void
ngx_analytics_forecast_next(ngx_analytics_forecast_t *f, size_t place,
    double error)
{
    double  base, *seasonal, part;

    base = f->level + f->phi * f->trend;
    part = error;

    if (f->season) {
        seasonal = &f->seasonal[place];

        if (f->product) {
            part = error / ngx_max(*seasonal, NGX_ANALYTICS_FORECAST_FLOOR);

            *seasonal += f->gamma * error
                    / ngx_max(base, NGX_ANALYTICS_FORECAST_FLOOR * f->usual);
            *seasonal = ngx_max(*seasonal, 0);

        } else {
            *seasonal += f->gamma * error;
        }
    }

    f->level = base + f->alpha * part;
    f->trend = f->phi * f->trend + f->beta * part;
}


void
ngx_analytics_forecast_restart(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit)
{
    f->level = fit->level;
    f->trend = fit->trend;

    if (f->season) {
        ngx_memcpy(f->seasonal, fit->start, f->season * sizeof(double));
    }
}


/*
 * How large errors are, and whether they grow with the mean: as its square
 * root (counts), or as itself.  The most likely is taken.
 */

static void
ngx_analytics_forecast_noise(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit)
{
    size_t  i;
    double  k, n, least, lost, squares, best, powers[3] = { 0, 0.5, 1 };

    n = (double) fit->n;

    least = fit->values[0];

    for (i = 0; i < fit->n; i++) {
        least = ngx_min(least, fit->values[i]);
    }

    best = 0;
    lost = DBL_MAX;

    for (i = 0; i < ((least >= 0 && f->usual > 0) ? 3 : 1); i++) {
        f->power = powers[i];

        k = ngx_analytics_forecast_spread(f, fit, &squares);

        if (i == 0 || k < lost) {
            lost = k;
            best = powers[i];
            f->sigma = sqrt(squares);
        }
    }

    f->power = best;

    /*
     * The season that it begins with was taken from the same values, so errors
     * are smaller here than they will be; the more so the less of it has been
     * replaced since.
     */

    k = NGX_ANALYTICS_FORECAST_PARAMS;

    if (f->season) {
        lost = 1 - pow(1 - f->gamma, 2 * n / (double) f->season);
        lost = (f->gamma > 1e-6) ? lost / (2 * f->gamma)
                                   / (n / (double) f->season) : 1;
        k += (double) f->season * ngx_min(lost, 1);
    }

    k = ngx_min(k, n / 2);
    f->sigma *= sqrt(n / (n - k) * (1 + k / n));
}


/* *squares: the mean of them; returns how unlikely it is, as a logarithm. */

static double
ngx_analytics_forecast_spread(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit, double *squares)
{
    size_t  i;
    double  e, scale, logs;

    logs = 0;
    *squares = 0;

    for (i = 0; i < fit->n; i++) {
        scale = ngx_analytics_forecast_scale(f, fit->mean[i]);
        e = fit->error[i] / scale;
        *squares += e * e / (double) fit->n;
        logs += log(scale);
    }

    return logs + (double) fit->n / 2 * log(*squares + DBL_MIN);
}


double
ngx_analytics_forecast_scale(ngx_analytics_forecast_t *f, double mean)
{
    double  part;

    if (f->power == 0) {
        return 1;
    }

    part = ngx_max(mean / f->usual, NGX_ANALYTICS_FORECAST_FLOOR);

    return (f->power == 1) ? part : sqrt(part);
}
