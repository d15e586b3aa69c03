
/*
 * CRC32C: by the processor's instruction where it has one, by eight tables
 * (slicing by 8) elsewhere.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_crc32c.h"


#define NGX_ANALYTICS_CRC32C_POLYNOMIAL  0x82f63b78     /* reflected */


/*
 * tables[k][b] is what the byte b, followed by k bytes of 0, makes of a
 * checksum of 0.  Filled in as the program or the module is loaded, while
 * there is one thread.
 */
static uint32_t  ngx_analytics_crc32c_tables[8][256];


__attribute__((constructor))
static void
ngx_analytics_crc32c_init(void)
{
    uint32_t    crc;
    ngx_uint_t  i, k;

    for (i = 0; i < 256; i++) {
        crc = (uint32_t) i;

        for (k = 0; k < 8; k++) {
            crc = (crc >> 1) ^ ((crc & 1) ? NGX_ANALYTICS_CRC32C_POLYNOMIAL
                                          : 0);
        }

        ngx_analytics_crc32c_tables[0][i] = crc;
    }

    for (i = 0; i < 256; i++) {
        crc = ngx_analytics_crc32c_tables[0][i];

        for (k = 1; k < 8; k++) {
            crc = (crc >> 8) ^ ngx_analytics_crc32c_tables[0][crc & 0xff];
            ngx_analytics_crc32c_tables[k][i] = crc;
        }
    }
}


static uint32_t
ngx_analytics_crc32c_portable(uint32_t crc, const u_char *p, size_t len)
{
    uint32_t  (*t)[256] = ngx_analytics_crc32c_tables;

    crc = ~crc;

    for ( /* void */ ; len >= 8; len -= 8, p += 8) {
        crc ^= (uint32_t) p[0] | (uint32_t) p[1] << 8
               | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;

        crc = t[7][crc & 0xff] ^ t[6][(crc >> 8) & 0xff]
              ^ t[5][(crc >> 16) & 0xff] ^ t[4][crc >> 24]
              ^ t[3][p[4]] ^ t[2][p[5]] ^ t[1][p[6]] ^ t[0][p[7]];
    }

    while (len--) {
        crc = (crc >> 8) ^ t[0][(crc ^ *p++) & 0xff];
    }

    return ~crc;
}


#if (__x86_64__)

__attribute__((target("sse4.2")))
static uint32_t
ngx_analytics_crc32c_sse42(uint32_t crc, const u_char *p, size_t len)
{
    uint64_t  sum, w;

    sum = (uint32_t) ~crc;

    for ( /* void */ ; len >= 8; len -= 8, p += 8) {
        memcpy(&w, p, 8);
        sum = __builtin_ia32_crc32di(sum, w);
    }

    crc = (uint32_t) sum;

    while (len--) {
        crc = __builtin_ia32_crc32qi(crc, *p++);
    }

    return ~crc;
}

#endif


uint32_t
ngx_analytics_crc32c(uint32_t crc, const void *data, size_t len)
{
#if (__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        return ngx_analytics_crc32c_sse42(crc, data, len);
    }
#endif

    return ngx_analytics_crc32c_portable(crc, data, len);
}
