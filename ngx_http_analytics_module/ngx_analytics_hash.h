
/*
 * SipHash-1-3: a keyed hash for tables whose keys strangers choose.
 * J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF",
 * INDOCRYPT 2012.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_HASH_H_INCLUDED_
#define _NGX_ANALYTICS_HASH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* key is 16 bytes as two little-endian words */
uint64_t ngx_analytics_siphash(const uint64_t key[2], const u_char *data,
    size_t len);


#endif /* _NGX_ANALYTICS_HASH_H_INCLUDED_ */
