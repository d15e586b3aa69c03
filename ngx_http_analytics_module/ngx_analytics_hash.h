
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


/*
 * Whether n bytes are the same: for names, most of which are too short for a
 * call of memcmp() to pay.
 */
static ngx_inline ngx_uint_t
ngx_analytics_equal(const u_char *one, const u_char *two, size_t n)
{
    uint64_t  first, second;

    if (n < sizeof(uint64_t)) {
        while (n) {
            n--;

            if (one[n] != two[n]) {
                return 0;
            }
        }

        return 1;
    }

    for ( ;; ) {
        ngx_memcpy(&first, one, sizeof(uint64_t));
        ngx_memcpy(&second, two, sizeof(uint64_t));

        if (first != second) {
            return 0;
        }

        if (n == sizeof(uint64_t)) {
            return 1;
        }

        /* the last step may overlap the one before */

        one += ngx_min(n - sizeof(uint64_t), sizeof(uint64_t));
        two += ngx_min(n - sizeof(uint64_t), sizeof(uint64_t));
        n = ngx_max(n - sizeof(uint64_t), sizeof(uint64_t));
    }
}


#endif /* _NGX_ANALYTICS_HASH_H_INCLUDED_ */
