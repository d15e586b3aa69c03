
/*
 * Forecasts: which model it is, and what it says.
 *
 * Each season that may be, or none, is tried as a summand and as a factor, with
 * no trend, with one that fades within a season, and with one that goes on.
 * What is chosen is what would have foretold the last part of the history
 * best, fitted to what was before.
 *
 * Errors of one step do not tell a level that walks from errors that last a
 * while, and what follows the latter is wrong later on: so a level that hardly
 * moves is tried too, on all of the history, many steps ahead.
 *
 * If the errors that it made there were larger than it should have been
 * uncertain of, it is made as uncertain as they were.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_forecast.h"
#include "ngx_analytics_forecast_fit.h"
#include <float.h>
#include <math.h>


/* observations needed if there is no season */
#define NGX_ANALYTICS_FORECAST_MIN      10

/* held out: a part of the history, at most so many; and from how many places */
#define NGX_ANALYTICS_FORECAST_PART     4
#define NGX_ANALYTICS_FORECAST_HELD     168
#define NGX_ANALYTICS_FORECAST_PLACES   12

/* what is less simple has to be better by this */
#define NGX_ANALYTICS_FORECAST_BETTER   0.97

/* of the largest value: less is an error of computing */
#define NGX_ANALYTICS_FORECAST_NOTHING  1e-10

/* alpha of a level that may move, and of one that hardly does */
#define NGX_ANALYTICS_FORECAST_FREE     0.999
#define NGX_ANALYTICS_FORECAST_SLOW     0.05

#define NGX_ANALYTICS_FORECAST_TRENDS   3


/* What is being tried, or was found to be best. */
typedef struct {
    ngx_analytics_forecast_t      model;
    ngx_analytics_forecast_fit_t  fit;
    size_t                        n;         /* all that there is */
    size_t                        ahead;     /* steps, at most */
    ngx_uint_t                    product;   /* none is below 0 */
    double                        wrong;     /* the mean error */
    double                        ratio;     /* of squares, to what it said */
} ngx_analytics_forecast_trial_t;


static double *ngx_analytics_forecast_alloc(
    ngx_analytics_forecast_trial_t *trial, const double *values, size_t n,
    const size_t *seasons, size_t nseasons, double *scale);
static void ngx_analytics_forecast_choose(
    ngx_analytics_forecast_trial_t *trial, const size_t *seasons,
    size_t nseasons, ngx_analytics_forecast_trial_t *best);
static void ngx_analytics_forecast_choose_trend(
    ngx_analytics_forecast_trial_t *trial,
    ngx_analytics_forecast_trial_t *best);
static void ngx_analytics_forecast_choose_level(
    ngx_analytics_forecast_trial_t *trial,
    ngx_analytics_forecast_trial_t *best);
static void ngx_analytics_forecast_judge(
    ngx_analytics_forecast_trial_t *trial, size_t from,
    ngx_analytics_forecast_trial_t *best);
static void ngx_analytics_forecast_compare(
    ngx_analytics_forecast_trial_t *trial, size_t t);
static void ngx_analytics_forecast_walk(
    ngx_analytics_forecast_trial_t *trial, size_t t);
static double ngx_analytics_forecast_phi(size_t season, ngx_uint_t trend);
static void ngx_analytics_forecast_rewind(ngx_analytics_forecast_t *f);
static void ngx_analytics_forecast_ahead(ngx_analytics_forecast_t *f, size_t h,
    double seasonal, double *mean, double *deviation);
static double ngx_analytics_forecast_finite(double value);


ngx_int_t
ngx_analytics_forecast_fit(ngx_analytics_forecast_t *f, const double *values,
    size_t n, const size_t *seasons, size_t nseasons, size_t *needed)
{
    size_t                           i, m;
    double                          *work, *seasonal, scale;
    ngx_analytics_forecast_trial_t   trial, best;

    ngx_memzero(f, sizeof(ngx_analytics_forecast_t));

    *needed = nseasons ? 2 * seasons[0] : 0;
    *needed = ngx_max(*needed, NGX_ANALYTICS_FORECAST_MIN);

    if (n < *needed) {
        return NGX_DECLINED;
    }

    work = ngx_analytics_forecast_alloc(&trial, values, n, seasons, nseasons,
                                        &scale);
    if (work == NULL) {
        return NGX_ERROR;
    }

    ngx_analytics_forecast_choose(&trial, seasons, nseasons, &best);

    trial.model = best.model;
    trial.fit.n = n;
    trial.fit.most = best.fit.most;

    ngx_analytics_forecast_search(&trial.model, &trial.fit);

    m = trial.model.season;
    seasonal = NULL;

    if (m) {
        seasonal = malloc(m * sizeof(double));
        if (seasonal == NULL) {
            free(work);
            return NGX_ERROR;
        }

        for (i = 0; i < m; i++) {
            seasonal[i] = trial.fit.seasonal[(n + i) % m]
                          * (trial.model.product ? 1 : scale);
        }
    }

    *f = trial.model;
    f->n = n;
    f->seasonal = seasonal;
    f->level *= scale;
    f->trend *= scale;
    f->usual *= scale;
    f->sigma *= scale * sqrt(ngx_max(best.ratio, 1));

    ngx_analytics_forecast_rewind(f);

    free(work);

    return NGX_OK;
}


/*
 * Values are divided by the largest of them, so that squares of any can be had.
 */

static double *
ngx_analytics_forecast_alloc(ngx_analytics_forecast_trial_t *trial,
    const double *values, size_t n, const size_t *seasons, size_t nseasons,
    double *scale)
{
    size_t   i, m;
    double  *work;

    m = 0;

    for (i = 0; i < nseasons; i++) {
        m = ngx_max(m, seasons[i]);
    }

    /* a longer one is not tried */

    m = ngx_min(m, n);

    work = malloc((3 * n + 2 * m) * sizeof(double));
    if (work == NULL) {
        return NULL;
    }

    ngx_memzero(trial, sizeof(ngx_analytics_forecast_trial_t));

    trial->n = n;
    trial->fit.values = work;
    trial->fit.mean = work + n;
    trial->fit.error = work + 2 * n;
    trial->fit.start = work + 3 * n;
    trial->fit.seasonal = work + 3 * n + m;

    *scale = 0;
    trial->product = 1;

    for (i = 0; i < n; i++) {
        trial->product &= (values[i] >= 0);
        *scale = ngx_max(*scale, fabs(values[i]));
    }

    if (*scale == 0) {
        *scale = 1;
    }

    for (i = 0; i < n; i++) {
        work[i] = values[i] / *scale;
    }

    return work;
}


/* The simplest comes first. */

static void
ngx_analytics_forecast_choose(ngx_analytics_forecast_trial_t *trial,
    const size_t *seasons, size_t nseasons,
    ngx_analytics_forecast_trial_t *best)
{
    size_t                     i;
    ngx_analytics_forecast_t  *f;

    f = &trial->model;

    ngx_memzero(best, sizeof(ngx_analytics_forecast_trial_t));
    best->wrong = DBL_MAX;

    trial->ahead = ngx_min(trial->n / NGX_ANALYTICS_FORECAST_PART,
                           NGX_ANALYTICS_FORECAST_HELD);
    trial->fit.n = trial->n - trial->ahead;
    trial->fit.most = NGX_ANALYTICS_FORECAST_FREE;

    f->season = 0;
    f->product = 0;

    ngx_analytics_forecast_choose_trend(trial, best);

    for (i = 0; i < nseasons; i++) {

        if (trial->n / 2 < seasons[i]) {
            continue;
        }

        f->season = seasons[i];
        f->product = 0;

        ngx_analytics_forecast_choose_trend(trial, best);

        if (trial->product) {
            f->product = 1;

            ngx_analytics_forecast_choose_trend(trial, best);
        }
    }

    ngx_analytics_forecast_choose_level(trial, best);
}


static void
ngx_analytics_forecast_choose_trend(ngx_analytics_forecast_trial_t *trial,
    ngx_analytics_forecast_trial_t *best)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_ANALYTICS_FORECAST_TRENDS; i++) {
        trial->model.phi = ngx_analytics_forecast_phi(trial->model.season, i);

        ngx_analytics_forecast_search(&trial->model, &trial->fit);
        ngx_analytics_forecast_judge(trial, trial->fit.n, best);
    }
}


static void
ngx_analytics_forecast_choose_level(ngx_analytics_forecast_trial_t *trial,
    ngx_analytics_forecast_trial_t *best)
{
    size_t      t, from;
    double      ratio;
    ngx_uint_t  i;

    static double  alphas[] = { NGX_ANALYTICS_FORECAST_FREE,
                                NGX_ANALYTICS_FORECAST_SLOW };

    ratio = best->ratio;
    best->wrong = DBL_MAX;

    trial->model = best->model;
    trial->fit.n = trial->n;

    from = ngx_max(trial->n / NGX_ANALYTICS_FORECAST_PART,
                   trial->model.season);

    for (i = 0; i < 2; i++) {
        trial->fit.most = alphas[i];

        ngx_analytics_forecast_search(&trial->model, &trial->fit);
        ngx_analytics_forecast_restart(&trial->model, &trial->fit);

        for (t = 0; t < from; t++) {
            ngx_analytics_forecast_walk(trial, t);
        }

        ngx_analytics_forecast_judge(trial, from, best);
    }

    best->ratio = ngx_max(best->ratio, ratio);
}


/* By what it says from several places, of which the first is where it is. */

static void
ngx_analytics_forecast_judge(ngx_analytics_forecast_trial_t *trial,
    size_t from, ngx_analytics_forecast_trial_t *best)
{
    size_t  t, i, step, many;

    step = trial->ahead / NGX_ANALYTICS_FORECAST_PLACES + 1;

    trial->wrong = 0;
    trial->ratio = 0;
    many = 0;

    for (t = from, i = 0; t < trial->n; t++, i++) {

        if (i % step == 0) {
            ngx_analytics_forecast_compare(trial, t);
            many += ngx_min(trial->n - t, trial->ahead);
        }

        ngx_analytics_forecast_walk(trial, t);
    }

    trial->wrong /= (double) many;
    trial->ratio /= (double) many;

    if (trial->wrong < best->wrong * NGX_ANALYTICS_FORECAST_BETTER
                       - NGX_ANALYTICS_FORECAST_NOTHING)
    {
        *best = *trial;
    }
}


/* Adds up how wrong it is of all that is t and later. */

static void
ngx_analytics_forecast_compare(ngx_analytics_forecast_trial_t *trial,
    size_t t)
{
    size_t                     h, n;
    double                     mean, deviation, error, part;
    ngx_analytics_forecast_t  *f;

    f = &trial->model;
    n = ngx_min(trial->n - t, trial->ahead);

    ngx_analytics_forecast_rewind(f);

    for (h = 1; h <= n; h++, t++) {
        ngx_analytics_forecast_ahead(f, h,
                               f->season ? f->seasonal[t % f->season] : 0,
                               &mean, &deviation);

        error = trial->fit.values[t] - mean;
        part = error / (deviation + NGX_ANALYTICS_FORECAST_NOTHING);

        trial->wrong += fabs(error);
        trial->ratio += part * part;
    }
}


static void
ngx_analytics_forecast_walk(ngx_analytics_forecast_trial_t *trial, size_t t)
{
    size_t                     place;
    double                     mean;
    ngx_analytics_forecast_t  *f;

    f = &trial->model;

    place = f->season ? t % f->season : 0;
    mean = ngx_analytics_forecast_mean(f, place);

    ngx_analytics_forecast_next(f, place, trial->fit.values[t] - mean);
}


static double
ngx_analytics_forecast_phi(size_t season, ngx_uint_t trend)
{
    switch (trend) {

    case 0:
        return 0;

    case 1:
        return 1 - 1 / (double) ngx_max(season, 8);

    default:
        return 1;
    }
}


static void
ngx_analytics_forecast_rewind(ngx_analytics_forecast_t *f)
{
    f->steps = 1;
    f->damped = 0;
    f->variance = 1;
}


void
ngx_analytics_forecast_step(ngx_analytics_forecast_t *f, size_t h,
    double *mean, double *deviation)
{
    ngx_analytics_forecast_ahead(f, h,
                        f->season ? f->seasonal[(h - 1) % f->season]
                                  : 0,
                        mean, deviation);

    *mean = ngx_analytics_forecast_finite(*mean);
    *deviation = ngx_analytics_forecast_finite(*deviation);
}


static void
ngx_analytics_forecast_ahead(ngx_analytics_forecast_t *f, size_t h,
    double seasonal, double *mean, double *deviation)
{
    double  c, power;

    if (h < f->steps) {
        ngx_analytics_forecast_rewind(f);
    }

    /* the error of step j is in the mean h - j steps later by c */

    power = pow(f->phi, (double) f->steps);

    while (f->steps < h) {
        f->damped += power;
        power *= f->phi;

        c = f->alpha + f->beta * f->damped;

        if (f->season && f->steps % f->season == 0) {
            c += f->gamma;
        }

        f->variance += c * c;
        f->steps++;
    }

    *mean = f->level + (f->damped + power) * f->trend;
    *mean = f->product ? *mean * seasonal : *mean + seasonal;

    *deviation = f->sigma * sqrt(f->variance)
                 * ngx_analytics_forecast_scale(f, *mean);
}


/* JSON has no other numbers. */

static double
ngx_analytics_forecast_finite(double value)
{
    return ngx_max(ngx_min(value, DBL_MAX), -DBL_MAX);
}


void
ngx_analytics_forecast_free(ngx_analytics_forecast_t *f)
{
    free(f->seasonal);
    f->seasonal = NULL;
}
