
/*
 * Doubles as decimal text, as printf() writes them, and several times as fast:
 * answers are full of them.
 *
 * A double is m * 2^e, with m of 53 bits.  For n digits, k is chosen so that
 * the double times 10^k is below 10^n, and not below 10^(n - 1).  Wherever %g
 * writes no exponent, k is from 0 to 20, and m * 5^k fits into 128 bits; what
 * is left is 2^(k + e), a shift.  So the digits are what is shifted to, and
 * what was shifted out says exactly how to round: half of it to the even one.
 *
 * Anything else (very large, very small, infinite) is left to snprintf().
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_REAL_H_INCLUDED_
#define _NGX_ANALYTICS_REAL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* so many bytes may be written, at most */
#define NGX_ANALYTICS_REAL_LEN  32


/*
 * What printf("%.*g", digits, real) writes, with 1 to 17 digits.
 * Returns the position behind it.
 */
u_char *ngx_analytics_real_format(u_char *p, double real, ngx_uint_t digits);

/*
 * With 15 digits, or as many more as it takes to be read as the same double.
 * Returns the position behind it.
 */
u_char *ngx_analytics_real_exact(u_char *p, double real);


#endif /* _NGX_ANALYTICS_REAL_H_INCLUDED_ */
