
/*
 * The log's format: that what is written is what the description in
 * ngx_analytics_record.h says, and that it can be read again.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "record_lib.h"


static void
segment_header(void)
{
    u_char                  *p, buf[NGX_ANALYTICS_SEGMENT_HEADER];
    size_t                   i, bad;
    ngx_int_t                rc;
    ngx_analytics_segment_t  s, got;

    memset(&s, 0, sizeof(s));
    memcpy(s.id, segment_bytes + 16, 16);
    s.key[0] = 0x1716151413121110;
    s.key[1] = 0x1f1e1d1c1b1a1918;
    s.position = 4096;
    s.seq = 12345;
    s.reserved = 12345 + NGX_ANALYTICS_RESERVE;
    s.created = NOW;

    memset(buf, 0xee, sizeof(buf));
    ngx_analytics_segment_write(buf, &s);

    is_mem(buf, sizeof(buf), segment_bytes, 128, "a segment's header");

    memset(&got, 0, sizeof(got));
    is_i64(ngx_analytics_segment_read(buf, 128, &got), NGX_OK, "is one");
    is_mem(&got, sizeof(got), &s, sizeof(s), "and says the same");

    for (i = 0, bad = 0; i < 128; i++) {
        p = block(segment_bytes, i);
        bad += ngx_analytics_segment_read(p, i, &got) != NGX_DECLINED;
        free(p);
    }

    is_u64(bad, 0, "a header cut at any byte is none");

    for (i = 0, bad = 0; i < 128 * 8; i++) {
        buf[i / 8] ^= (u_char) (1 << i % 8);
        bad += ngx_analytics_segment_read(buf, 128, &got) != NGX_DECLINED;
        buf[i / 8] ^= (u_char) (1 << i % 8);
    }

    is_u64(bad, 0, "nor is one with any bit changed");

    buf[8] = 2;
    memcpy(buf + 124, segment_version_2, 4);

    rc = ngx_analytics_segment_read(buf, 128, &got);
    is_i64(rc, NGX_ABORT, "a newer version is told from damage");
}


static void
layout(void)
{
    u_char                  buf[1024], *p;
    size_t                  len, room;
    uint32_t                crc;
    ngx_uint_t              i;

    memset(buf, 0xee, sizeof(buf));

    p = buf + NGX_ANALYTICS_RECORD_HEADER;
    room = NGX_ANALYTICS_RECORD_HEADER;

    for (i = 0; i < 3; i++) {
        room += ngx_analytics_record_event_size(&events[i]);
        p = ngx_analytics_record_event_write(p, &events[i],
                                             i ? &events[i - 1] : NULL);
    }

    room += NGX_ANALYTICS_RECORD_KEY;
    p = ngx_analytics_record_key_write(p, &key);

    room += ngx_analytics_record_program_size(&program);
    p = ngx_analytics_record_program_write(p, &program);

    room += NGX_ANALYTICS_RECORD_REFOLD + refold.entries.len;
    p = ngx_analytics_record_refold_write(p, &refold);
    memcpy(p, refold.entries.data, refold.entries.len);
    p += refold.entries.len;

    ok((size_t) (p - buf) <= room, "no item is larger than announced");

    len = ngx_analytics_record_pad(buf, p, &crc);
    ngx_analytics_record_finish(buf, len, crc, p, 7, NOW + 1, 3);

    is_mem(buf, len, record_bytes, sizeof(record_bytes) - 1, "a record");

    memset(buf, 0xee, sizeof(buf));

    p = buf + NGX_ANALYTICS_RECORD_HEADER;
    len = ngx_analytics_record_pad(buf, p, &crc);
    ngx_analytics_record_finish(buf, len, crc, p, 9, NOW, 0);

    is_mem(buf, len, empty_bytes, sizeof(empty_bytes) - 1, "an empty record");
}


static void
items(void)
{
    size_t                   len;
    u_char                  *p;
    ngx_uint_t               i;
    ngx_analytics_item_t     item;
    ngx_analytics_record_t   r;

    len = sizeof(record_bytes) - 1;
    p = block(record_bytes, len);

    is_i64(ngx_analytics_record_read(p, len, &r), NGX_OK, "read");
    is_u64(r.len, len, "its length");
    is_u64(r.seq, 7, "its first number");
    is_i64(r.received, NOW + 1, "when it was received");
    is_u64(r.n, 3, "how many events");

    for (i = 0; i < 3; i++) {
        memset(&item, 0xee, sizeof(item));
        is_i64(ngx_analytics_record_item(&r, &item), NGX_OK, "event");
        is_u64(item.kind, NGX_ANALYTICS_ITEM_EVENT, "is an event");
        same(&item.event.user, &events[i].user, "user");
        same(&item.event.type, &events[i].type, "type");
        same(&item.event.id, &events[i].id, "id");
        same(&item.event.properties, &events[i].properties, "properties");
        is_i64(item.event.time, events[i].time, "time");
        is_u64(item.event.known, 0, "nothing is known about it");
    }

    is_i64(ngx_analytics_record_item(&r, &item), NGX_OK, "key");
    is_u64(item.kind, NGX_ANALYTICS_ITEM_KEY, "is a key");
    is_u64(item.key.hash, key.hash, "its hash");
    is_mem(item.key.digest, 16, key.digest, 16, "digest");
    is_u64(item.key.done, 3, "events done");
    is_u64(item.key.first, 7, "first");
    is_u64(item.key.last, 9, "last");

    is_i64(ngx_analytics_record_item(&r, &item), NGX_OK, "program");
    is_u64(item.kind, NGX_ANALYTICS_ITEM_PROGRAM, "is a program");
    is_mem(item.program.text, item.program.len, program.text, program.len,
           "its text");
    is_u64(item.program.signature,
           ngx_analytics_rules_signature(program.text, program.len),
           "by which it is known");

    is_i64(ngx_analytics_record_item(&r, &item), NGX_OK, "refold");
    is_u64(item.kind, NGX_ANALYTICS_ITEM_REFOLD, "is a refold");
    is_u64(item.refold.signature, refold.signature, "of which source");
    is_u64(item.refold.classes, 3, "classes");
    is_u64(item.refold.from, 5, "from");
    is_u64(item.refold.to, 7, "to");
    is_i64(item.refold.since, NOW - 9, "since");
    same(&item.refold.entries, &refold.entries, "entries");

    is_i64(ngx_analytics_record_item(&r, &item), NGX_DONE, "that was all");

    free(p);

    is_i64(read_all(empty_bytes, 32, &r), NGX_DONE, "an empty one is one");
    is_u64(r.seq, 9, "with the number to come");
}


/* Every length that is written in another way, and both of its neighbours. */
static const size_t  lengths[] = {
    1, 2, 127, 128, 129, 16383, 16384, 16385, 1048575, 1048576, 2097151,
    2097152, 2097153
};


static void
set(ngx_str_t *s, u_char *text, size_t len)
{
    s->data = text + (size_t) rand() % 3;
    s->len = len;
}


static size_t
random_name(void)
{
    static const size_t  sizes[] = { 1, 2, 3, 254, 255 };

    return sizes[(size_t) rand() % 5];
}


static void
random_event(ngx_analytics_event_t *e, u_char *text)
{
    memset(e, 0, sizeof(*e));

    set(&e->user, text, random_name());
    set(&e->type, text, random_name());
    set(&e->id, text, rand() % 2 ? random_name() : 0);
    set(&e->properties, text,
        rand() % 3 ? lengths[(size_t) rand() % 8] : 0);

    e->time = rand() % 2 ? NGX_ANALYTICS_TIME_NONE : (int64_t) rand() << 20;
}


static int
equal(ngx_analytics_event_t *a, ngx_analytics_event_t *b)
{
    return a->user.len == b->user.len && a->type.len == b->type.len
           && a->id.len == b->id.len && a->time == b->time
           && a->properties.len == b->properties.len
           && memcmp(a->user.data, b->user.data, a->user.len) == 0
           && memcmp(a->type.data, b->type.data, a->type.len) == 0
           && (a->id.len == 0
               || memcmp(a->id.data, b->id.data, a->id.len) == 0)
           && (a->properties.len == 0
               || memcmp(a->properties.data, b->properties.data,
                         a->properties.len) == 0);
}


/* Writes events in a block of the size that was announced; reads them. */
static ngx_uint_t
round_trip(ngx_analytics_event_t *e, ngx_uint_t n)
{
    u_char                  *p, *last;
    size_t                   len, room;
    uint32_t                 crc;
    ngx_uint_t               i, bad;
    ngx_analytics_item_t     item;
    ngx_analytics_record_t   r;

    for (i = 0, room = 0; i < n; i++) {
        room += ngx_analytics_record_event_size(&e[i]);
    }

    last = p = block(NULL, 0);
    p = realloc(p, NGX_ANALYTICS_RECORD_HEADER + room + 7);

    if (p == NULL) {
        exit(2);
    }

    last = p + NGX_ANALYTICS_RECORD_HEADER;

    for (i = 0; i < n; i++) {
        last = ngx_analytics_record_event_write(last, &e[i],
                                                i ? &e[i - 1] : NULL);
    }

    len = ngx_analytics_record_pad(p, last, &crc);
    ngx_analytics_record_finish(p, len, crc, last, 1, NOW, n);

    bad = ngx_analytics_record_read(p, len, &r) != NGX_OK;

    for (i = 0; i < n && !bad; i++) {
        bad = ngx_analytics_record_item(&r, &item) != NGX_OK
              || !equal(&item.event, &e[i]);
    }

    bad |= !bad && ngx_analytics_record_item(&r, &item) != NGX_DONE;

    free(p);

    return bad;
}


static void
round_trips(void)
{
    size_t                  i, k;
    u_char                 *text;
    ngx_uint_t              bad;
    ngx_analytics_event_t   e[8];

    text = malloc(lengths[12] + 3);

    if (text == NULL) {
        exit(2);
    }

    for (i = 0; i < lengths[12] + 3; i++) {
        text[i] = "ab"[rand() % 2];
    }

    for (i = 0; i < 13; i++) {
        random_event(&e[0], text);
        set(&e[0].properties, text, lengths[i]);
        is_u64(round_trip(e, 1), 0, "properties of %zu bytes", lengths[i]);
    }

    for (i = 0, bad = 0; i < 500; i++) {
        for (k = 0; k < 8; k++) {
            random_event(&e[k], text);
        }

        bad += round_trip(e, (ngx_uint_t) rand() % 9);
    }

    is_u64(bad, 0, "500 records of random events");

    free(text);
}


/* The longest record there is. */
static void
longest(void)
{
    u_char                  *p, *payload;
    size_t                   len, size;
    ngx_analytics_record_t   r;

    size = NGX_ANALYTICS_RECORD_MAX - NGX_ANALYTICS_RECORD_HEADER;
    payload = malloc(size + 1);

    if (payload == NULL) {
        exit(2);
    }

    /* one event, and the same again and again */

    memset(payload, 0x18, size + 1);
    memcpy(payload, "\x00\x01\x01ut", 5);

    p = record_of(payload, size, size - 4, &len);
    is_u64(len, NGX_ANALYTICS_RECORD_MAX, "the longest record");
    is_i64(read_all(p, len, &r), NGX_DONE, "is read");
    free(p);

    p = record_of(payload, size + 1, size - 3, &len);
    is_i64(read_all(p, len, &r), NGX_DECLINED, "a longer one is not");
    free(p);

    free(payload);
}


int
main(void)
{
    srand(1);

    segment_header();
    layout();
    items();
    round_trips();
    longest();

    return done_testing();
}
