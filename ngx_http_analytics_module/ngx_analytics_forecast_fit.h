
/*
 * Forecasts: a model of a given season and trend, fitted to a history.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_FORECAST_FIT_H_INCLUDED_
#define _NGX_ANALYTICS_FORECAST_FIT_H_INCLUDED_


#include "ngx_analytics_forecast.h"


/* Where it works; all of it is the caller's. */
typedef struct {
    const double  *values;     /* the oldest first */
    size_t         n;
    double        *start;      /* of a season each: where the fit begins, */
    double        *seasonal;   /* and goes on */
    double        *mean;       /* of n each: what was foretold, */
    double        *error;      /* and how wrong it was */

    double         most;       /* that alpha may be */

    /* where it begins */
    double         level;
    double         trend;
} ngx_analytics_forecast_fit_t;


/*
 * Fits a model whose season and phi are set (phi is 0 if there is no trend) to
 * all values of it; n is at least 2, and a season or more.  Afterwards all of
 * f is set, f->seasonal points to fit->seasonal, and this is by time: what the
 * observation t is subject to is in t % season.
 */
void ngx_analytics_forecast_search(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit);

/* Puts it back to where the fit begins. */
void ngx_analytics_forecast_restart(ngx_analytics_forecast_t *f,
    ngx_analytics_forecast_fit_t *fit);

/* How much larger an error is where the mean is that. */
double ngx_analytics_forecast_scale(ngx_analytics_forecast_t *f, double mean);

/*
 * The mean one step ahead, of what has that place in a season, and what its
 * error changes.
 */
double ngx_analytics_forecast_mean(ngx_analytics_forecast_t *f, size_t place);
void ngx_analytics_forecast_next(ngx_analytics_forecast_t *f, size_t place,
    double error);


#endif /* _NGX_ANALYTICS_FORECAST_FIT_H_INCLUDED_ */
