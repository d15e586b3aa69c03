
/*
 * CRC32C: the Castagnoli polynomial, reflected, as of RFC 3720, appendix B.4.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_CRC32C_H_INCLUDED_
#define _NGX_ANALYTICS_CRC32C_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Returns the checksum of what was summed up to crc, 0 at first, and these
 * bytes.
 */
uint32_t ngx_analytics_crc32c(uint32_t crc, const void *data, size_t len);


#endif /* _NGX_ANALYTICS_CRC32C_H_INCLUDED_ */
