
/*
 * Integers as they stand in files.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_BYTES_H_INCLUDED_
#define _NGX_ANALYTICS_BYTES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* Little-endian integers of 1 to 8 bytes. */

static ngx_inline u_char *
ngx_analytics_image_put(u_char *p, uint64_t value, ngx_uint_t bytes)
{
#if (NGX_HAVE_LITTLE_ENDIAN)

    ngx_memcpy(p, &value, bytes);

#else
    ngx_uint_t  i;

    for (i = 0; i < bytes; i++) {
        p[i] = (u_char) (value >> (8 * i));
    }

#endif

    return p + bytes;
}


static ngx_inline uint64_t
ngx_analytics_image_get(const u_char *p, ngx_uint_t bytes)
{
    uint64_t  value;

    value = 0;

#if (NGX_HAVE_LITTLE_ENDIAN)

    ngx_memcpy(&value, p, bytes);

#else
    ngx_uint_t  i;

    for (i = 0; i < bytes; i++) {
        value |= (uint64_t) p[i] << (8 * i);
    }

#endif

    return value;
}


/* Seven bits a byte, the lowest first; 0x80 says that another byte follows. */

static ngx_inline u_char *
ngx_analytics_image_put_varint(u_char *p, uint64_t value)
{
    while (value >= 0x80) {
        *p++ = (u_char) (value | 0x80);
        value >>= 7;
    }

    *p++ = (u_char) value;

    return p;
}


/* Takes at most 10 bytes, whatever they are. */

static ngx_inline uint64_t
ngx_analytics_image_varint(u_char **pos)
{
    u_char      *p;
    uint64_t     value;
    ngx_uint_t   shift;

    p = *pos;
    value = 0;

    for (shift = 0; shift < 64; shift += 7) {
        value |= (uint64_t) (*p & 0x7f) << shift;

        if (*p++ < 0x80) {
            break;
        }
    }

    *pos = p;

    return value;
}


#endif /* _NGX_ANALYTICS_BYTES_H_INCLUDED_ */
