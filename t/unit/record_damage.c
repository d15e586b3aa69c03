
/*
 * Whatever may stand in a log but what was written there is refused, and
 * nothing behind it is read.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "record_lib.h"


/* Cut at each byte, and with each bit changed. */
static void
damaged(void)
{
    size_t                   i, len, bad, asked;
    u_char                  *p;
    ngx_int_t                rc;
    ngx_analytics_record_t   r;

    len = sizeof(record_bytes) - 1;
    bad = 0;
    asked = 0;

    for (i = 0; i < len; i++) {
        rc = read_all(record_bytes, i, &r);
        bad += rc != NGX_AGAIN;
        asked += r.len != (i < NGX_ANALYTICS_RECORD_HEADER
                           ? NGX_ANALYTICS_RECORD_HEADER : len);
    }

    is_u64(bad, 0, "cut at any byte, it may be a record");
    is_u64(asked, 0, "and asks for what is missing");

    p = block(record_bytes, len);
    bad = 0;

    for (i = 0; i < len * 8; i++) {
        p[i / 8] ^= (u_char) (1 << i % 8);

        rc = read_all(p, len, &r);
        bad += rc != NGX_DECLINED && (rc != NGX_AGAIN || r.len <= len);

        p[i / 8] ^= (u_char) (1 << i % 8);
    }

    is_u64(bad, 0, "with any bit changed, it is none");

    memset(p, 0, len);
    is_i64(read_all(p, len, &r), NGX_DECLINED, "nor are zeroes");
    memset(p, 0xff, len);
    is_i64(read_all(p, len, &r), NGX_DECLINED, "nor ones");

    free(p);
}


static void
header_case(size_t offset, size_t size, uint64_t value, const char *name)
{
    u_char                  *p;
    size_t                   i, len;
    uint32_t                 crc;
    ngx_analytics_record_t   r;

    len = sizeof(record_bytes) - 1;
    p = block(record_bytes, len);

    for (i = 0; i < size; i++) {
        p[offset + i] = (u_char) (value >> 8 * i);
    }

    crc = ngx_analytics_crc32c(0, p + 32, len - 32);
    crc = ngx_analytics_crc32c(crc, p + 8, 24);

    for (i = 0; i < 4; i++) {
        p[4 + i] = (u_char) (crc >> 8 * i);
    }

    is_i64(read_all(p, len, &r), NGX_DECLINED, "%s", name);

    free(p);
}


/* The sum is right, and still it cannot be. */
static void
headers(void)
{
    header_case(0, 4, 0, "a length of 0");
    header_case(0, 4, 24, "shorter than a header");
    header_case(0, 4, 268, "not a multiple of 8");
    header_case(0, 4, NGX_ANALYTICS_RECORD_MAX + 8, "longer than any");
    header_case(0, 4, 0xfffffff8, "much longer");
    header_case(28, 2, 0x474f, "another mark");
    header_case(30, 2, 8, "padding of 8");
    header_case(24, 4, 298, "more events than bytes");
    header_case(24, 4, UINT32_MAX, "many more");
    header_case(8, 8, UINT64_MAX, "numbers that overflow");
    header_case(16, 8, UINT64_MAX, "received before 1970");
    header_case(16, 8, 253402300800000000, "received after 9999");
}


typedef struct {
    const char  *name;
    ngx_uint_t   n;
    size_t       len;
    const char  *payload;
} malformed_t;

#define payload(s)  sizeof(s) - 1, s


static const malformed_t  malformed[] = {
    { "the user of no event", 1, payload("\x08\x01" "t") },
    { "the type of no event", 1, payload("\x10\x01" "u") },
    { "a tag alone", 1, payload("\x00") },
    { "a user of no length", 1, payload("\x00\x00\x01t") },
    { "a type of no length", 1, payload("\x00\x01\x00u") },
    { "an id of no length", 1, payload("\x04\x01\x01\x00ut") },
    { "a user that is cut", 1, payload("\x00\x03\x01ut") },
    { "a type that is cut", 1, payload("\x00\x01\x02ut") },
    { "an id that is cut", 1, payload("\x04\x01\x01\x02uti") },
    { "a time that is cut", 1, payload("\x01\x01\x01\0\0\0\0\0\0\0") },
    { "a time before 1970", 1,
      payload("\x01\x01\x01\xff\xff\xff\xff\xff\xff\xff\xffut") },
    { "a time that means none", 1,
      payload("\x01\x01\x01\0\0\0\0\0\0\0\x80ut") },
    { "a time after 9999", 1,
      payload("\x01\x01\x01\0\0\0\0\0\0\0\x7fut") },
    { "properties that are cut", 1, payload("\x02\x01\x01\x03ut{}") },
    { "properties of no length", 1, payload("\x02\x01\x01\x00ut") },
    { "a length that is cut", 1, payload("\x02\x01\x01\xff") },
    { "a length of five bytes", 1,
      payload("\x02\x01\x01\x82\x80\x80\x80\x00ut{}") },
    { "a tag of unknown bits", 1, payload("\x40\x01\x01ut") },
    { "one more of them", 1, payload("\x40\x01\x01ut") },
    { "an unknown item", 0, payload("\x84") },
    { "another", 0, payload("\xff") },
    { "fewer events than said", 2, payload("\x00\x01\x01ut") },
    { "more events than said", 1, payload("\x00\x01\x01ut\x18") },
    { "no event", 0, payload("\x00\x01\x01ut") },
    { "a key that is cut", 0,
      payload("\x80hashhash................\0\0\0\0"
              "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0") },
    { "a key's hash that is cut", 0, payload("\x80hash") },
    { "a key of no hash", 0,
      payload("\x80\0\0\0\0\0\0\0\0................\0\0\0\0"
              "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0") },
    { "numbers the wrong way round", 0,
      payload("\x80hashhash................\0\0\0\0"
              "\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0") },
    { "a program of a length that is cut", 0, payload("\x81\2\0\0") },
    { "a program that is cut", 0, payload("\x81\2\0\0\0{") },
    { "a program that is longer than there is", 0,
      payload("\x81\xff\xff\xff\xff{}") },
    { "an erasure that is cut", 0, payload("\x82.......") },
    { "a refold that is cut", 0,
      payload("\x83........\1\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0"
              "\0\0\0\0\0\0\0") },
    { "a refold of nothing", 0,
      payload("\x83........\1\0\0\0\2\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0"
              "\0\0\0\0\0\0\0\0\0\0\0\0") },
    { "entries that are cut", 0,
      payload("\x83........\1\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0"
              "\0\0\0\0\0\0\0\0\5\0\0\0....") }
};


static void
malformed_items(void)
{
    u_char                  *p;
    size_t                   i, len;
    ngx_analytics_record_t   r;

    for (i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        p = record_of(malformed[i].payload, malformed[i].len, malformed[i].n,
                      &len);

        is_i64(read_all(p, len, &r), NGX_ERROR, "%s", malformed[i].name);

        free(p);
    }

    p = record_of("\x00\x01\x01ut\x18", 6, 2, &len);
    is_i64(read_all(p, len, &r), NGX_DONE, "the same again is one byte");
    free(p);
}


static int
inside(ngx_analytics_record_t *r, u_char *p, ngx_str_t *s)
{
    return s->len == 0
           || (s->data >= p + NGX_ANALYTICS_RECORD_HEADER
               && s->data + s->len <= r->last);
}


/* Payloads that no one wrote: no text may reach behind the payload. */
static void
random_payloads(void)
{
    u_char                  *p, payload[sizeof(record_bytes)];
    size_t                   i, k, size, len, bad, whole;
    ngx_int_t                rc;
    ngx_analytics_item_t     item;
    ngx_analytics_record_t   r;

    bad = 0;
    whole = 0;

    for (i = 0; i < 20000; i++) {
        size = (size_t) rand() % 240;
        memcpy(payload, record_bytes + 32, size);

        for (k = (size_t) rand() % 4; k && size; k--) {
            payload[(size_t) rand() % size] = (u_char) (rand() >> 4);
        }

        p = record_of(payload, size, (ngx_uint_t) rand() % 5, &len);
        rc = ngx_analytics_record_read(p, len, &r);

        while (rc == NGX_OK) {
            rc = ngx_analytics_record_item(&r, &item);

            if (rc == NGX_OK && item.kind == NGX_ANALYTICS_ITEM_EVENT) {
                bad += !inside(&r, p, &item.event.user)
                       || !inside(&r, p, &item.event.type)
                       || !inside(&r, p, &item.event.id)
                       || !inside(&r, p, &item.event.properties);
            }
        }

        whole += rc == NGX_DONE;
        free(p);
    }

    is_u64(bad, 0, "no text reaches behind its payload");
    ok(whole > 0 && whole < i, "some are records, others are not");
}


int
main(void)
{
    srand(1);

    damaged();
    headers();
    malformed_items();
    random_payloads();

    return done_testing();
}
