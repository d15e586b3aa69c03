
/*
 * A libFuzzer target for what stands in a log.  The bytes are read as they
 * are, as a record and as a segment's header; then, with sums that are right,
 * as the payload of a record.  What was read is written and read again.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined ...
 *
 * Copyright (C) The nginx analytics authors
 */


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ngx_analytics_crc32c.h"
#include "ngx_analytics_erase.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_record.h"
#include "ngx_analytics_rules.h"


#define NOW    1758618000000000
#define ITEMS  512


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


#define must(cond)                                                            \
    do {                                                                      \
        if (!(cond)) {                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);\
            abort();                                                          \
        }                                                                     \
    } while (0)


/* A block that ends where its content does, so that more is not read. */
static u_char *
block(const void *data, size_t len)
{
    u_char  *p;

    p = malloc(len ? len : 1);
    must(p != NULL);

    if (len) {
        memcpy(p, data, len);
    }

    return p;
}


static int
same(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && (one->len == 0 || memcmp(one->data, two->data, one->len) == 0);
}


static void
check_text(u_char *payload, u_char *last, ngx_str_t *text, size_t least,
    size_t most)
{
    must(text->len >= least && text->len <= most);

    if (text->len) {
        must(text->data >= payload && text->data + text->len <= last);
    }
}


static void
check_item(u_char *payload, u_char *last, ngx_analytics_item_t *item)
{
    switch (item->kind) {

    case NGX_ANALYTICS_ITEM_EVENT:
        check_text(payload, last, &item->event.user, 0, 255);
        check_text(payload, last, &item->event.type, 1, 255);

        /* erased */
        must(item->event.user.len
             || (item->event.id.len == 0 && item->event.properties.len == 0));

        check_text(payload, last, &item->event.id, 0, 255);
        check_text(payload, last, &item->event.properties, 0,
                   NGX_ANALYTICS_RECORD_MAX);
        must(item->event.time == NGX_ANALYTICS_TIME_NONE
             || item->event.time >= 0);
        must(!item->event.known);
        break;

    case NGX_ANALYTICS_ITEM_KEY:
        must(item->key.hash != 0);
        must(item->key.first <= item->key.last);
        break;

    case NGX_ANALYTICS_ITEM_PROGRAM:
        must(item->program.len <= NGX_ANALYTICS_PROGRAM_MAX);
        break;

    case NGX_ANALYTICS_ITEM_REFOLD:
        must(item->refold.from < item->refold.to);
        check_text(payload, last, &item->refold.entries, 0,
                   NGX_ANALYTICS_RECORD_MAX);
        break;

    case NGX_ANALYTICS_ITEM_ERASE:
        break;
    }
}


static int
same_item(ngx_analytics_item_t *one, ngx_analytics_item_t *two)
{
    if (one->kind != two->kind) {
        return 0;
    }

    switch (one->kind) {

    case NGX_ANALYTICS_ITEM_EVENT:
        return same(&one->event.user, &two->event.user)
               && same(&one->event.type, &two->event.type)
               && same(&one->event.id, &two->event.id)
               && same(&one->event.properties, &two->event.properties)
               && one->event.time == two->event.time;

    case NGX_ANALYTICS_ITEM_KEY:
        return one->key.hash == two->key.hash
               && memcmp(one->key.digest, two->key.digest,
                         NGX_ANALYTICS_DIGEST) == 0
               && one->key.done == two->key.done
               && one->key.first == two->key.first
               && one->key.last == two->key.last;

    case NGX_ANALYTICS_ITEM_ERASE:
        return one->erase == two->erase;

    case NGX_ANALYTICS_ITEM_REFOLD:
        return one->refold.signature == two->refold.signature
               && one->refold.classes == two->refold.classes
               && one->refold.from == two->refold.from
               && one->refold.to == two->refold.to
               && one->refold.since == two->refold.since
               && same(&one->refold.entries, &two->refold.entries);

    default:
        return one->program.len == two->program.len
               && memcmp(one->program.text, two->program.text,
                         one->program.len) == 0
               && one->program.signature == two->program.signature;
    }
}


/* Reads all items, as many as there is room for. */
static ngx_int_t
read_items(u_char *record, ngx_analytics_record_t *r,
    ngx_analytics_item_t *items, ngx_uint_t *n)
{
    ngx_int_t  rc;

    for (*n = 0; *n < ITEMS; (*n)++) {
        rc = ngx_analytics_record_item(r, &items[*n]);

        must(rc == NGX_OK || rc == NGX_DONE || rc == NGX_ERROR);
        must(r->pos <= r->last);

        if (rc != NGX_OK) {
            return rc;
        }

        check_item(record + NGX_ANALYTICS_RECORD_HEADER, r->last, &items[*n]);
    }

    return NGX_DONE;
}


/* Each item has a byte or more of its own, and no more than announced. */
static void
write_items(ngx_analytics_item_t *items, ngx_uint_t n)
{
    size_t                   size, len;
    u_char                  *p, *last;
    uint32_t                 crc;
    ngx_uint_t               i, events;
    ngx_analytics_item_t     item;
    ngx_analytics_event_t   *event;
    ngx_analytics_record_t   r;

    size = NGX_ANALYTICS_RECORD_HEADER + 7;
    events = 0;

    for (i = 0; i < n; i++) {
        switch (items[i].kind) {
        case NGX_ANALYTICS_ITEM_EVENT:
            if (items[i].event.user.len == 0) {
                /* nobody writes what is erased already */
                ngx_str_set(&items[i].event.user, "somebody");
            }

            size += ngx_analytics_record_event_size(&items[i].event);
            events++;
            break;
        case NGX_ANALYTICS_ITEM_ERASE:
            size += NGX_ANALYTICS_RECORD_ERASE;
            break;
        case NGX_ANALYTICS_ITEM_KEY:
            size += NGX_ANALYTICS_RECORD_KEY;
            break;
        case NGX_ANALYTICS_ITEM_REFOLD:
            size += NGX_ANALYTICS_RECORD_REFOLD + items[i].refold.entries.len;
            break;
        default:
            size += ngx_analytics_record_program_size(&items[i].program);
        }
    }

    /* what is repeated is short to write, and may be long to write out */

    if (size > NGX_ANALYTICS_RECORD_MAX) {
        return;
    }

    p = malloc(size);
    must(p != NULL);

    last = p + NGX_ANALYTICS_RECORD_HEADER;
    event = NULL;

    for (i = 0; i < n; i++) {
        switch (items[i].kind) {
        case NGX_ANALYTICS_ITEM_EVENT:
            last = ngx_analytics_record_event_write(last, &items[i].event,
                                                    event);
            event = &items[i].event;
            break;
        case NGX_ANALYTICS_ITEM_KEY:
            last = ngx_analytics_record_key_write(last, &items[i].key);
            break;
        case NGX_ANALYTICS_ITEM_ERASE:
            last = ngx_analytics_record_erase_write(last, items[i].erase);
            break;
        case NGX_ANALYTICS_ITEM_REFOLD:
            last = ngx_analytics_record_refold_write(last, &items[i].refold);
            memcpy(last, items[i].refold.entries.data,
                   items[i].refold.entries.len);
            last += items[i].refold.entries.len;
            break;
        default:
            last = ngx_analytics_record_program_write(last, &items[i].program);
        }
    }

    len = ngx_analytics_record_pad(p, last, &crc);
    ngx_analytics_record_finish(p, len, crc, last, 7, NOW, events);

    must(len <= size);
    must(ngx_analytics_record_read(p, len, &r) == NGX_OK);

    for (i = 0; i < n; i++) {
        must(ngx_analytics_record_item(&r, &item) == NGX_OK);
        must(same_item(&item, &items[i]));
    }

    must(ngx_analytics_record_item(&r, &item) == NGX_DONE);

    free(p);
}


static ngx_uint_t
zeros(ngx_str_t *text)
{
    size_t  i;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] != 0) {
            return 0;
        }
    }

    return 1;
}


/*
 * The user of the first event is erased from those before a number.  Texts of
 * the items lie in the record: those that were erased are zeros there.
 */
static void
erase_items(u_char *record, size_t len, ngx_analytics_item_t *items,
    ngx_uint_t n)
{
    char                            user[255];
    size_t                          user_len;
    ngx_uint_t                      i, same_user, erased;
    ngx_analytics_item_t            item;
    ngx_analytics_record_t          r;
    ngx_analytics_erasing_t         erasing;
    static u_char                   is_same[ITEMS];
    static const uint64_t           key[2] = { 1, 2 };

    for (i = 0; i < n; i++) {
        if (items[i].kind == NGX_ANALYTICS_ITEM_EVENT
            && items[i].event.user.len)
        {
            break;
        }
    }

    if (i == n || n == ITEMS) {
        return;
    }

    user_len = items[i].event.user.len;
    memcpy(user, items[i].event.user.data, user_len);

    erasing.n = 1;
    erasing.users[0].hash = ngx_analytics_siphash(key, (u_char *) user,
                                                  user_len);
    erased = 0;

    /* the number is between two records: all of this one, or none */

    erasing.users[0].seq = (n % 4 == 3) ? 7 : UINT64_MAX;

    for (i = 0; i < n; i++) {
        same_user = items[i].kind == NGX_ANALYTICS_ITEM_EVENT
                    && items[i].event.user.len == user_len
                    && memcmp(items[i].event.user.data, user, user_len) == 0;

        is_same[i] = (u_char) (same_user
                               && erasing.users[0].seq == UINT64_MAX);
        erased += is_same[i];
    }

    must(ngx_analytics_record_read(record, len, &r) == NGX_OK);
    must(ngx_analytics_erase_record(record, &r, key, &erasing, 0) == erased);
    must(ngx_analytics_record_read(record, len, &r) == NGX_OK);

    for (i = 0; i < n; i++) {
        must(ngx_analytics_record_item(&r, &item) == NGX_OK);

        if (is_same[i]) {
            must(item.kind == NGX_ANALYTICS_ITEM_EVENT);
            must(item.event.user.len == 0 && item.event.id.len == 0);
            must(item.event.properties.len == 0);
            must(item.event.time == items[i].event.time);
            must(same(&item.event.type, &items[i].event.type));
            must(zeros(&items[i].event.user) && zeros(&items[i].event.id));
            must(zeros(&items[i].event.properties));
            continue;
        }

        must(same_item(&item, &items[i]));
    }

    must(ngx_analytics_record_item(&r, &item) == NGX_DONE);

    /* and once more: there is nothing left to be done */

    must(ngx_analytics_record_read(record, len, &r) == NGX_OK);
    must(ngx_analytics_erase_record(record, &r, key, &erasing, 0) == 0);
}


/* The first byte says how many events there are said to be. */
static void
check_payload(const uint8_t *data, size_t size)
{
    size_t                        len;
    u_char                       *p, *record, *last;
    uint32_t                      crc;
    ngx_int_t                     rc;
    ngx_uint_t                    n;
    ngx_analytics_record_t        r;
    static ngx_analytics_item_t   items[ITEMS];

    p = malloc(NGX_ANALYTICS_RECORD_HEADER + size + 7);
    must(p != NULL);

    last = p + NGX_ANALYTICS_RECORD_HEADER;
    memcpy(last, data + 1, size - 1);
    last += size - 1;

    len = ngx_analytics_record_pad(p, last, &crc);
    ngx_analytics_record_finish(p, len, crc, last, 7, NOW, data[0]);

    record = block(p, len);
    free(p);

    rc = ngx_analytics_record_read(record, len, &r);
    must(rc == ((size_t) data[0] <= size - 1 ? NGX_OK : NGX_DECLINED));

    if (rc == NGX_OK) {
        must(r.len == len && r.seq == 7 && r.received == NOW);
        must(r.n == data[0]);

        rc = read_items(record, &r, items, &n);

        if (rc == NGX_DONE) {
            must(n == ITEMS || r.taken == r.n);
            write_items(items, n);

            /* write_items() gave names to those who had none */

            must(ngx_analytics_record_read(record, len, &r) == NGX_OK);
            must(read_items(record, &r, items, &n) == NGX_DONE);
            erase_items(record, len, items, n);
        }
    }

    free(record);
}


/* As they are: that they are a record, or a header, is a rare thing. */
static void
check_bytes(const uint8_t *data, size_t size)
{
    u_char                        *p, bytes[NGX_ANALYTICS_SEGMENT_HEADER];
    ngx_int_t                      rc;
    ngx_uint_t                     n;
    ngx_analytics_record_t         r;
    ngx_analytics_segment_t        segment;
    static ngx_analytics_item_t    items[ITEMS];

    p = block(data, size);

    rc = ngx_analytics_record_read(p, size, &r);

    if (rc == NGX_OK) {
        must(r.len <= size && r.len % 8 == 0);
        must(r.last <= p + r.len && r.last > p + r.len - 8);
        (void) read_items(p, &r, items, &n);

    } else if (rc == NGX_AGAIN) {
        must(r.len > size && r.len <= NGX_ANALYTICS_RECORD_MAX);

    } else {
        must(rc == NGX_DECLINED);
    }

    rc = ngx_analytics_segment_read(p, size, &segment);

    if (rc == NGX_OK) {
        ngx_analytics_segment_write(bytes, &segment);
        must(memcmp(bytes, p, 80) == 0);

    } else {
        must(rc == NGX_DECLINED || rc == NGX_ABORT);
    }

    free(p);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }

    check_bytes(data, size);
    check_payload(data, size);

    return 0;
}
