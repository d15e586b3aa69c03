
/*
 * HyperLogLog: how many distinct values there were, in 16 KB.
 *
 * P. Flajolet et al., "HyperLogLog: the analysis of a near-optimal
 * cardinality estimation algorithm", 2007; the estimate is that of O. Ertl,
 * "New cardinality estimation algorithms for HyperLogLog sketches", 2017,
 * which needs no bias tables.  2^14 registers of one byte: the standard
 * error is 1.04 / sqrt(2^14) = 0.81 %.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_HLL_H_INCLUDED_
#define _NGX_ANALYTICS_HLL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_ANALYTICS_HLL_BITS   14
#define NGX_ANALYTICS_HLL_SIZE   (1 << NGX_ANALYTICS_HLL_BITS)
#define NGX_ANALYTICS_HLL_ERROR  "0.0081"


/*
 * Which register a 64-bit hash falls into, and the rank that the register
 * must reach.  The caller stores max(old, rank): its stores may need care.
 */
static ngx_inline ngx_uint_t
ngx_analytics_hll_register(uint64_t hash, ngx_uint_t *rank)
{
    uint64_t  rest;

    rest = hash >> NGX_ANALYTICS_HLL_BITS;

    /* the sentinel bit bounds the rank by 64 - 14 + 1 */
    rest |= (uint64_t) 1 << (64 - NGX_ANALYTICS_HLL_BITS);

    *rank = (ngx_uint_t) __builtin_ctzll(rest) + 1;

    return (ngx_uint_t) (hash & (NGX_ANALYTICS_HLL_SIZE - 1));
}


/* The estimate, rounded to the nearest integer. */
uint64_t ngx_analytics_hll_count(const u_char *registers);

/* That of 2^bits registers, 4 to 14 bits: the error is 1.04 / sqrt(2^bits). */
uint64_t ngx_analytics_hll_estimate(const u_char *registers, ngx_uint_t bits);


#endif /* _NGX_ANALYTICS_HLL_H_INCLUDED_ */
