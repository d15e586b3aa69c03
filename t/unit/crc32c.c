
/*
 * CRC32C: that it is the function of RFC 3720, with the processor's
 * instruction and without it, however the bytes lie and are cut.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <stdlib.h>
#include "tap.h"

/*
 * The source itself, for the function that takes no instruction, under
 * another name: the object file may be linked as well.
 */
#define ngx_analytics_crc32c  included_crc32c
#include "../../ngx_http_analytics_module/ngx_analytics_crc32c.c"
#undef ngx_analytics_crc32c

uint32_t ngx_analytics_crc32c(uint32_t crc, const void *data, size_t len);


#define ROOM  4096


typedef uint32_t (*crc_pt)(uint32_t crc, const u_char *p, size_t len);


static uint32_t
public(uint32_t crc, const u_char *p, size_t len)
{
    return ngx_analytics_crc32c(crc, p, len);
}


/* By the definition: one bit after the other. */
static uint32_t
by_bits(uint32_t crc, const u_char *p, size_t len)
{
    int  i;

    crc ^= 0xffffffff;

    while (len--) {
        crc ^= *p++;

        for (i = 0; i < 8; i++) {
            crc = (crc & 1) ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
        }
    }

    return crc ^ 0xffffffff;
}


static void
vectors(crc_pt crc, const char *name)
{
    int                  i;
    u_char               data[32];
    static const u_char  read_pdu[48] = {
        0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
        0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18,
        0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00
    };

    memset(data, 0, sizeof(data));
    is_u64(crc(0, data, 32), 0x8a9136aa, "%s: 32 bytes of zeroes", name);

    memset(data, 0xff, sizeof(data));
    is_u64(crc(0, data, 32), 0x62a8ab43, "%s: 32 bytes of ones", name);

    for (i = 0; i < 32; i++) {
        data[i] = (u_char) i;
    }

    is_u64(crc(0, data, 32), 0x46dd794e, "%s: 32 bytes, incrementing", name);

    for (i = 0; i < 32; i++) {
        data[i] = (u_char) (31 - i);
    }

    is_u64(crc(0, data, 32), 0x113fdb5c, "%s: 32 bytes, decrementing", name);

    is_u64(crc(0, read_pdu, 48), 0xd9963a56, "%s: an iSCSI read command",
           name);

    is_u64(crc(0, (u_char *) "123456789", 9), 0xe3069283, "%s: 1 to 9", name);
    is_u64(crc(0, data, 0), 0, "%s: nothing", name);
    is_u64(crc(0xe3069283, data, 0), 0xe3069283, "%s: nothing more", name);
}


/* Each length at each alignment, at the very end of a block of memory. */
static void
lengths(crc_pt crc, const char *name)
{
    u_char      *block, *p;
    size_t       len, offset;
    ngx_uint_t   wrong;

    wrong = 0;

    for (len = 0; len < 200; len++) {
        for (offset = 0; offset < 8; offset++) {
            block = malloc(offset + len + 1);

            if (block == NULL) {
                exit(2);
            }

            for (p = block; p < block + offset + len; p++) {
                *p = (u_char) rand();
            }

            /* one byte less: what is read behind it is seen */

            block = realloc(block, offset + len ? offset + len : 1);
            p = block + offset;

            if (crc(0, p, len) != by_bits(0, p, len)
                || crc(0x12345678, p, len) != by_bits(0x12345678, p, len))
            {
                wrong++;
            }

            free(block);
        }
    }

    is_u64(wrong, 0, "%s: every length and alignment", name);
}


/* The sum of a text is the sum of its parts, wherever it is cut. */
static void
parts(crc_pt one, crc_pt two, const char *name)
{
    size_t       i, cut;
    u_char       data[ROOM];
    uint32_t     whole;
    ngx_uint_t   wrong;

    for (i = 0; i < ROOM; i++) {
        data[i] = (u_char) rand();
    }

    whole = by_bits(0, data, ROOM);
    wrong = 0;

    for (cut = 0; cut <= ROOM; cut++) {
        if (two(one(0, data, cut), data + cut, ROOM - cut) != whole) {
            wrong++;
        }
    }

    is_u64(wrong, 0, "%s: in two parts", name);
}


int
main(void)
{
    srand(1);

    vectors(public, "crc32c");
    lengths(public, "crc32c");
    parts(public, public, "crc32c");

    vectors(ngx_analytics_crc32c_portable, "by tables");
    lengths(ngx_analytics_crc32c_portable, "by tables");
    parts(ngx_analytics_crc32c_portable, public, "by tables, then any");
    parts(public, ngx_analytics_crc32c_portable, "any, then by tables");

    is_u64(included_crc32c(0, "123456789", 9), 0xe3069283, "the source");

    return done_testing();
}
