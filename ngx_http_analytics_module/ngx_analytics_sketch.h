
/*
 * Quantiles with a bounded relative error, of counts that can be added up.
 *
 * C. Masson, J. E. Rim, H. K. Lee, "DDSketch: a fast and fully-mergeable
 * quantile sketch with relative-error guarantees", 2019.  A value falls into
 * bin ceil(log(value) / log(gamma)), and the bin's answer is within the error
 * of all values in it; counts of bins are all there is to keep, and sketches
 * are merged by adding them.
 *
 * Bin 0 is for what is less than 1e-9, and counts as 0; what is more than
 * 1e17 falls into the last one.  A value below 0 goes by what it is without
 * its sign into counts of its own.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_SKETCH_H_INCLUDED_
#define _NGX_ANALYTICS_SKETCH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_ANALYTICS_SKETCH_BINS    3072
#define NGX_ANALYTICS_SKETCH_ERROR   0.01


/* How many values each bin has; none outside of [first, end). */
typedef struct {
    ngx_uint_t      first;
    ngx_uint_t      end;               /* at first both are 0 */
    uint64_t        counts[NGX_ANALYTICS_SKETCH_BINS];
} ngx_analytics_bins_t;


/* The bin of a value, 0 or more and finite. */
ngx_uint_t ngx_analytics_sketch_bin(double value);

/* What a bin stands for. */
double ngx_analytics_sketch_value(ngx_uint_t bin);

/* There are counts from first to before end, too. */
void ngx_analytics_bins_extend(ngx_analytics_bins_t *bins, ngx_uint_t first,
    ngx_uint_t end);

/* Adds what others count. */
void ngx_analytics_bins_add(ngx_analytics_bins_t *bins,
    ngx_analytics_bins_t *more);

/* As it was at first. */
void ngx_analytics_bins_clear(ngx_analytics_bins_t *bins);

/*
 * The value at a rank, from 1 to how many there are, in order: of those below
 * 0, and of the others.
 */
double ngx_analytics_sketch_rank(const ngx_analytics_bins_t *below,
    const ngx_analytics_bins_t *above, uint64_t rank);

/*
 * The rank of a quantile (in thousandths) of n values, n > 0: the nearest
 * rank, ceil(q * n).
 */
static ngx_inline uint64_t
ngx_analytics_sketch_nearest(uint64_t n, ngx_uint_t thousandths)
{
    uint64_t  rank;

    rank = (n / 1000) * thousandths + (n % 1000 * thousandths + 999) / 1000;

    return ngx_max(rank, 1);
}


#endif /* _NGX_ANALYTICS_SKETCH_H_INCLUDED_ */
