
/*
 * Addresses of which only the network is kept.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_TRUNCATE_H_INCLUDED_
#define _NGX_ANALYTICS_TRUNCATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_decode.h"


/* bytes of the longest address, with the terminating NUL */
#define NGX_ANALYTICS_ADDRESS_LEN  46


/*
 * Writes the network of an IPv4 address (24 bits; also of one that is mapped
 * to IPv6) or an IPv6 address (48 bits) as an address.  Returns the bytes
 * written, less than NGX_ANALYTICS_ADDRESS_LEN, or 0 if the text is none.
 */
size_t ngx_analytics_truncate_address(u_char *dst, ngx_str_t *text);

/*
 * Truncates the members of properties that the format names: a new object, from
 * d->alloc().  What is no address becomes null.  Properties are a valid JSON
 * object, or empty.  Returns NGX_OK, or NGX_ERROR if there is no memory.
 */
ngx_int_t ngx_analytics_truncate(ngx_analytics_decode_t *d,
    ngx_str_t *properties);


#endif /* _NGX_ANALYTICS_TRUNCATE_H_INCLUDED_ */
