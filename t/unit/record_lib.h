
/*
 * What the record's tests share: a segment's header and a record, made by
 * hand, and what stands in them.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _RECORD_LIB_H_INCLUDED_
#define _RECORD_LIB_H_INCLUDED_


#include <stdlib.h>
#include "ngx_analytics_crc32c.h"
#include "ngx_analytics_record.h"
#include "ngx_analytics_rules.h"
#include "tap.h"


#define RECORD_UNUSED  __attribute__((unused))

/* 2025-09-23T09:00:00Z */
#define NOW      1758618000000000

#define X60      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define text(s)  { sizeof(s) - 1, (u_char *) (s) }


/*
 * By hand, from the description.  The checksums were printed by a program in
 * Python that computes them bit by bit.
 */

RECORD_UNUSED
static const char  segment_bytes[] =
    "NGXALOG\0"                             /* magic */
    "\x01\0\0\0"                            /* version */
    "\x80\0\0\0"                            /* length */
    "\x00\x01\x02\x03\x04\x05\x06\x07"      /* id */
    "\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"
    "\x10\x11\x12\x13\x14\x15\x16\x17"      /* key */
    "\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"
    "\x00\x10\0\0\0\0\0\0"                  /* position: 4096 */
    "\x39\x30\0\0\0\0\0\0"                  /* seq: 12345 */
    "\x39\x30\x00\x04\0\0\0\0"              /* reserved: 2^26 more */
    "\x00\x84\x2f\x29\x74\x3f\x06\x00"      /* NOW */
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    "\x2c\x4d\x78\x82";

RECORD_UNUSED
static const char  segment_version_2[] = "\xf6\xda\xc4\xb9";


RECORD_UNUSED
static const char  record_bytes[] =
    "\x50\x01\0\0"                          /* length: 32 + 297 + 7 */
    "\x04\x94\x1a\x33"
    "\x07\0\0\0\0\0\0\0"                    /* seq */
    "\x01\x84\x2f\x29\x74\x3f\x06\x00"      /* NOW + 1 */
    "\x03\0\0\0"                            /* events */
    "\x4e\x47"
    "\x07\0"                                /* padding */

    "\x07" "\x03\x05\x03"                   /* time, properties and id */
    "\xfb\x83\x2f\x29\x74\x3f\x06\x00"      /* NOW - 5 */
    "\x07"
    "ann" "login" "m-1" "{\"a\":1}"

    "\x08" "\x06"                           /* the same user */
    "logout"

    "\x13" "\x03"                           /* the same type */
    "\0\0\0\0\0\0\0\0"
    "\x83\x01"                              /* 3 + 128 */
    "bob"
    "{\"text\":\"" X60 X60 "\"}"

    "\x80"                                  /* a key */
    "\xb1\xb2\xb3\xb4\xb5\xb6\xb7\xb8"
    "\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab\xac\xad\xae\xaf"
    "\x03\0\0\0"
    "\x07\0\0\0\0\0\0\0"
    "\x09\0\0\0\0\0\0\0"

    "\x81"                                  /* a program */
    "\x11\0\0\0"
    "{\"totals\":604800}"

    "\x83"                                  /* a refold */
    "\x88\x77\x66\x55\x44\x33\x22\x11"
    "\x03\0\0\0"
    "\x05\0\0\0\0\0\0\0"
    "\x07\0\0\0\0\0\0\0"
    "\xf7\x83\x2f\x29\x74\x3f\x06\x00"      /* NOW - 9 */
    "\x04\0\0\0"
    "abcd"

    "\0\0\0\0\0\0\0";


RECORD_UNUSED
static const char  empty_bytes[] =
    "\x20\0\0\0"
    "\x77\xf9\x62\xec"
    "\x09\0\0\0\0\0\0\0"
    "\x00\x84\x2f\x29\x74\x3f\x06\x00"
    "\0\0\0\0"
    "\x4e\x47"
    "\0\0";


RECORD_UNUSED
static ngx_analytics_event_t  events[] = {
    { .user = text("ann"), .type = text("login"), .id = text("m-1"),
      .time = NOW - 5, .properties = text("{\"a\":1}") },
    { .user = text("ann"), .type = text("logout"),
      .time = NGX_ANALYTICS_TIME_NONE },
    { .user = text("bob"), .type = text("logout"), .time = 0,
      .properties = text("{\"text\":\"" X60 X60 "\"}") }
};

RECORD_UNUSED
static ngx_analytics_record_key_t  key = {
    .hash = 0xb8b7b6b5b4b3b2b1, .done = 3, .first = 7, .last = 9,
    .digest = "\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab\xac\xad\xae\xaf"
};

RECORD_UNUSED
static ngx_analytics_program_t  program = {
    .text = "{\"totals\":604800}", .len = 17
};

RECORD_UNUSED
static ngx_analytics_record_refold_t  refold = {
    .signature = 0x1122334455667788, .classes = 3, .from = 5, .to = 7,
    .since = NOW - 9, .entries = text("abcd")
};


/* A block that ends where its content does, so that more is not read. */
RECORD_UNUSED
static u_char *
block(const void *data, size_t len)
{
    u_char  *p;

    p = malloc(len ? len : 1);

    if (p == NULL) {
        exit(2);
    }

    if (len) {
        memcpy(p, data, len);
    }

    return p;
}


/* A record of a payload, with sums that are right. */
RECORD_UNUSED
static u_char *
record_of(const void *payload, size_t size, ngx_uint_t n, size_t *len)
{
    u_char    *p, *exact, *last;
    uint32_t   crc;

    p = malloc(NGX_ANALYTICS_RECORD_HEADER + size + 7);

    if (p == NULL) {
        exit(2);
    }

    last = p + NGX_ANALYTICS_RECORD_HEADER;

    if (size) {
        memcpy(last, payload, size);
        last += size;
    }

    *len = ngx_analytics_record_pad(p, last, &crc);
    ngx_analytics_record_finish(p, *len, crc, last, 1, NOW, n);

    exact = block(p, *len);
    free(p);

    return exact;
}


/*
 * Reads a block of so many bytes, and all items if it is a record: no more
 * events than it has numbers for.
 */
RECORD_UNUSED
static ngx_int_t
read_all(const void *data, size_t len, ngx_analytics_record_t *r)
{
    u_char                *p;
    ngx_int_t              rc;
    ngx_uint_t             n;
    ngx_analytics_item_t   item;

    p = block(data, len);
    memset(r, 0, sizeof(*r));

    rc = ngx_analytics_record_read(p, len, r);
    n = 0;

    while (rc == NGX_OK) {
        rc = ngx_analytics_record_item(r, &item);

        n += rc == NGX_OK && item.kind == NGX_ANALYTICS_ITEM_EVENT;

        if (n > r->n) {
            rc = NGX_ABORT;
        }
    }

    free(p);

    return rc;
}


RECORD_UNUSED
static void
same(ngx_str_t *got, ngx_str_t *expected, const char *name)
{
    is_mem(got->data, got->len, expected->data, expected->len, "%s", name);
}


#endif /* _RECORD_LIB_H_INCLUDED_ */
