
/*
 * Forecasts: exponential smoothing with a damped trend and a season.
 *
 * It is the additive method of Holt and Winters, with Gardner's damped trend,
 * in the form of R. Hyndman, A. Koehler, J. K. Ord, R. Snyder, "Forecasting
 * with exponential smoothing", 2008, for the error e of one step:
 *
 *     mean   = level + phi trend + seasonal[t]
 *     level += phi trend + alpha e
 *     trend  = phi trend + beta e
 *     seasonal[t] += gamma e
 *
 * What such a model is uncertain of h steps ahead is theirs, too (chapter 6,
 * class 1).  The error may grow with the mean, as that of counts does.
 *
 * How it is fitted stands in ngx_analytics_forecast.c.  The same values give
 * the same forecast.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_FORECAST_H_INCLUDED_
#define _NGX_ANALYTICS_FORECAST_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    size_t   season;      /* observations in a season that was found; 0: none */
    double   alpha;       /* smoothing: of the level, */
    double   beta;        /* of the trend, */
    double   gamma;       /* and of the season */
    double   phi;         /* how much of the trend is left a step later */
    double   level;       /* behind the last observation */
    double   trend;
    double  *seasonal;    /* of one season, the next one first; owned */
    double   sigma;       /* standard deviation of the error of one step */
    size_t   n;           /* observations */

    ngx_uint_t  product;  /* seasonal is a factor */

    /* the error is sigma where the mean is "usual", and goes by its power */
    double   power;
    double   usual;

    /* the farthest step that was asked for, and sums up to it */
    size_t   steps;
    double   damped;      /* of phi^1, ..., phi^(steps - 1) */
    double   variance;    /* in squares of sigma */
} ngx_analytics_forecast_t;


/*
 * Fits to n observations, the oldest first, all finite.  seasons has
 * candidates in observations (24 and 168 of hours), the smallest first, of
 * which the data choose one or none.  Returns NGX_OK, NGX_DECLINED if there
 * are too few, or NGX_ERROR if there is no memory; *needed is how many
 * observations are needed at least.  After NGX_OK it is to be freed.
 */
ngx_int_t ngx_analytics_forecast_fit(ngx_analytics_forecast_t *f,
    const double *values, size_t n, const size_t *seasons, size_t nseasons,
    size_t *needed);

/*
 * h steps ahead, 1 or more: the mean, and the standard deviation of its error.
 * It is quick to ask for one step after the other.
 */
void ngx_analytics_forecast_step(ngx_analytics_forecast_t *f, size_t h,
    double *mean, double *deviation);

void ngx_analytics_forecast_free(ngx_analytics_forecast_t *f);


#endif /* _NGX_ANALYTICS_FORECAST_H_INCLUDED_ */
