
/*
 * SipHash-1-3.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_hash.h"


#define ngx_analytics_rotl(x, n)  (((x) << (n)) | ((x) >> (64 - (n))))


typedef struct {
    uint64_t  v0;
    uint64_t  v1;
    uint64_t  v2;
    uint64_t  v3;
} ngx_analytics_siphash_t;


static ngx_inline uint64_t
ngx_analytics_siphash_load(const u_char *p)
{
    uint64_t  w;

    memcpy(&w, p, 8);

#if !(NGX_HAVE_LITTLE_ENDIAN)
    w = __builtin_bswap64(w);
#endif

    return w;
}


/* The last n bytes of the text, n < 8, none behind them being touched. */
static ngx_inline uint64_t
ngx_analytics_siphash_tail(const u_char *p, size_t n)
{
    uint64_t  w;

    w = 0;

    switch (n) {
    case 7:
        w |= (uint64_t) p[6] << 48;
        /* fall through */
    case 6:
        w |= (uint64_t) p[5] << 40;
        /* fall through */
    case 5:
        w |= (uint64_t) p[4] << 32;
        /* fall through */
    case 4:
        w |= (uint64_t) p[3] << 24;
        /* fall through */
    case 3:
        w |= (uint64_t) p[2] << 16;
        /* fall through */
    case 2:
        w |= (uint64_t) p[1] << 8;
        /* fall through */
    case 1:
        w |= (uint64_t) p[0];
        /* fall through */
    default:
        return w;
    }
}


static ngx_inline void
ngx_analytics_siphash_rounds(ngx_analytics_siphash_t *s, ngx_uint_t n)
{
    while (n--) {
        s->v0 += s->v1;
        s->v1 = ngx_analytics_rotl(s->v1, 13);
        s->v1 ^= s->v0;
        s->v0 = ngx_analytics_rotl(s->v0, 32);

        s->v2 += s->v3;
        s->v3 = ngx_analytics_rotl(s->v3, 16);
        s->v3 ^= s->v2;

        s->v0 += s->v3;
        s->v3 = ngx_analytics_rotl(s->v3, 21);
        s->v3 ^= s->v0;

        s->v2 += s->v1;
        s->v1 = ngx_analytics_rotl(s->v1, 17);
        s->v1 ^= s->v2;
        s->v2 = ngx_analytics_rotl(s->v2, 32);
    }
}


/* SipHash-c-d, so that a test can run the published vectors of 2-4. */
static ngx_inline uint64_t
ngx_analytics_siphash_cd(const uint64_t key[2], const u_char *data,
    size_t len, ngx_uint_t c, ngx_uint_t d)
{
    size_t                    rest;
    uint64_t                  w;
    ngx_analytics_siphash_t   s;

    s.v0 = key[0] ^ 0x736f6d6570736575ull;
    s.v1 = key[1] ^ 0x646f72616e646f6dull;
    s.v2 = key[0] ^ 0x6c7967656e657261ull;
    s.v3 = key[1] ^ 0x7465646279746573ull;

    for (rest = len; rest >= 8; rest -= 8, data += 8) {
        w = ngx_analytics_siphash_load(data);

        s.v3 ^= w;
        ngx_analytics_siphash_rounds(&s, c);
        s.v0 ^= w;
    }

    w = ngx_analytics_siphash_tail(data, rest) | (uint64_t) len << 56;

    s.v3 ^= w;
    ngx_analytics_siphash_rounds(&s, c);
    s.v0 ^= w;

    s.v2 ^= 0xff;
    ngx_analytics_siphash_rounds(&s, d);

    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}


uint64_t
ngx_analytics_siphash(const uint64_t key[2], const u_char *data, size_t len)
{
    return ngx_analytics_siphash_cd(key, data, len, 1, 3);
}
