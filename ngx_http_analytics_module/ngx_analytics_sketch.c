
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_sketch.h"

#include <math.h>


/*
 * log((1 + e) / (1 - e)) with e a little below the error that is promised, for
 * what logarithms are rounded by.
 */
#define NGX_ANALYTICS_SKETCH_LOG   0.0198006469
#define NGX_ANALYTICS_SKETCH_LEAST 1e-9

/* so many bins lie between the least value and 1 */
#define NGX_ANALYTICS_SKETCH_BIAS  1047


ngx_uint_t
ngx_analytics_sketch_bin(double value)
{
    double  bin;

    if (value < NGX_ANALYTICS_SKETCH_LEAST) {
        return 0;
    }

    bin = ceil(log(value) / NGX_ANALYTICS_SKETCH_LOG)
          + NGX_ANALYTICS_SKETCH_BIAS;

    if (bin < 1) {
        return 1;
    }

    return bin < NGX_ANALYTICS_SKETCH_BINS ? (ngx_uint_t) bin
                                           : NGX_ANALYTICS_SKETCH_BINS - 1;
}


double
ngx_analytics_sketch_value(ngx_uint_t bin)
{
    double  gamma, upper;

    if (bin == 0) {
        return 0;
    }

    gamma = exp(NGX_ANALYTICS_SKETCH_LOG);

    upper = exp(((double) bin - NGX_ANALYTICS_SKETCH_BIAS)
                * NGX_ANALYTICS_SKETCH_LOG);

    return 2 * upper / (gamma + 1);
}


void
ngx_analytics_bins_extend(ngx_analytics_bins_t *bins, ngx_uint_t first,
    ngx_uint_t end)
{
    if (bins->end == 0) {
        bins->first = first;
    }

    bins->first = ngx_min(bins->first, first);
    bins->end = ngx_max(bins->end, end);
}


void
ngx_analytics_bins_add(ngx_analytics_bins_t *bins, ngx_analytics_bins_t *more)
{
    ngx_uint_t  i;

    if (more->end == 0) {
        return;
    }

    ngx_analytics_bins_extend(bins, more->first, more->end);

    for (i = more->first; i < more->end; i++) {
        bins->counts[i] += more->counts[i];
    }
}


void
ngx_analytics_bins_clear(ngx_analytics_bins_t *bins)
{
    ngx_memzero(&bins->counts[bins->first],
                (bins->end - bins->first) * sizeof(uint64_t));

    bins->first = 0;
    bins->end = 0;
}


double
ngx_analytics_sketch_rank(const ngx_analytics_bins_t *below,
    const ngx_analytics_bins_t *above, uint64_t rank)
{
    uint64_t    seen;
    ngx_uint_t  i;

    seen = 0;

    /* the farthest from 0 is the least */

    for (i = below->end; i > below->first; i--) {
        seen += below->counts[i - 1];

        if (seen >= rank) {
            return -ngx_analytics_sketch_value(i - 1);
        }
    }

    for (i = above->first; i + 1 < above->end; i++) {
        seen += above->counts[i];

        if (seen >= rank) {
            break;
        }
    }

    return ngx_analytics_sketch_value(i);
}
