
/*
 * A damaged log: what stands before the damage and behind it is read, and the
 * bytes between are named exactly.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "reader_lib.h"


/* Where the damage is if byte i of segment k is changed. */
static void
damaged_by(log_t *log, ngx_uint_t k, size_t i, uint64_t *from, uint64_t *to)
{
    known_t     *r;
    uint64_t     at;
    ngx_uint_t   n;

    *from = log->segments[k].position;
    *to = *from + NGX_ANALYTICS_SEGMENT_HEADER;
    at = *from + i;

    for (n = 0; n < log->nrecords; n++) {
        r = &log->records[n];

        if (r->position <= at && at < r->position + r->len) {
            *from = r->position;
            *to = r->position + r->len;
        }
    }
}


/* Each byte of a log is changed in turn. */
static void
every_byte(void)
{
    log_t        log;
    said_t       said;
    u_char       c;
    size_t       i;
    uint64_t     from, to;
    segment_t   *s;
    ngx_uint_t   k, n, bad, lost, tail;

    make(&log, 3, 4);
    store(&log);

    n = 0;
    bad = 0;
    lost = 0;

    for (k = 0; k < log.nsegments; k++) {
        s = &log.segments[k];

        for (i = 0; i < s->size; i++, n++) {
            c = s->bytes[i] ^ (u_char) (1 << rand() % 8);
            put(name_of(s->position), &c, 1, (off_t) i);

            damaged_by(&log, k, i, &from, &to);
            tail = (to == log.end);

            read_log(0, END, &said);

            lost += !all_but(&said, &log, 0, log.nrecords, from, to);
            bad += !damage(&said, from, to);
            bad += said.torn != tail;
            bad += said.position != (tail ? from : log.end);

            /* the tail is known: what is damaged cannot be the end */

            read_log(0, log.end, &said);

            lost += !all_but(&said, &log, 0, log.nrecords, from, to);
            bad += !damage(&said, from, to) || said.torn
                   || said.rc != NGX_DONE || said.position != log.end;

            put(name_of(s->position), &s->bytes[i], 1, (off_t) i);
        }
    }

    is_u64(n, log.end, "each byte was changed in turn");
    is_u64(lost, 0, "all other records are read");
    is_u64(bad, 0, "the damaged bytes are named");

    read_log(0, END, &said);
    ok(no_damage(&said) && all_but(&said, &log, 0, log.nrecords, 0, 0),
       "and whole again");

    drop(&log);
}


/* Each of a log's segments is cut at each byte. */
static void
every_cut(void)
{
    log_t        log;
    said_t       said;
    size_t       i;
    uint64_t     from, to, end;
    known_t     *r;
    segment_t   *s;
    ngx_uint_t   k, n, bad, lost;

    make(&log, 3, 4);
    bad = 0;
    lost = 0;

    for (k = 0; k < log.nsegments; k++) {
        s = &log.segments[k];

        store(&log);

        for (i = s->size; i-- > 0; /* void */ ) {
            cut(name_of(s->position), i);

            /* of a header that is cut, nothing is left */

            from = s->position;
            from += (i >= NGX_ANALYTICS_SEGMENT_HEADER)
                    ? NGX_ANALYTICS_SEGMENT_HEADER : 0;

            for (n = 0; n < log.nrecords; n++) {
                r = &log.records[n];

                if (r->position >= s->position
                    && r->position + r->len <= s->position + i)
                {
                    from = r->position + r->len;
                }
            }

            end = s->position + s->size;
            to = (k == 2) ? s->position + i : end;

            read_log(0, END, &said);

            lost += !all_but(&said, &log, 0, log.nrecords, from, end);
            bad += (from == to) ? said.ndamage : !damage(&said, from, to);
            bad += said.torn != (k == 2 && from != to);
            bad += said.position != (k == 2 ? from : log.end);

            read_log(0, log.end, &said);

            lost += !all_but(&said, &log, 0, log.nrecords, from, end);
            bad += !damage(&said, from, end) || said.torn
                   || said.position != log.end;
        }
    }

    is_u64(lost, 0, "cut at any byte, all other records are read");
    is_u64(bad, 0, "and the missing bytes are named");

    drop(&log);
}


static u_char *
bytes_of(log_t *log, ngx_uint_t record, segment_t **segment)
{
    ngx_uint_t  i;

    for (i = log->nsegments; i-- > 0; /* void */ ) {
        *segment = &log->segments[i];

        if ((*segment)->position <= log->records[record].position) {
            break;
        }
    }

    return (*segment)->bytes + (log->records[record].position
                                - (*segment)->position);
}


/* Records larger than the buffer, and damage that is. */
static void
large(void)
{
    log_t        log;
    said_t       said;
    u_char      *p;
    size_t       i;
    known_t     *r;
    segment_t   *s;

    memset(&log, 0, sizeof(log));
    log.seq = 1;

    add_segment(&log);
    add_record(&log, 3, 1000000);
    add_record(&log, 1, 100000);
    add_record(&log, 3, NGX_ANALYTICS_RECORD_MAX - 128);
    add_record(&log, 1, 10);
    add_record(&log, 1, 3000000);
    add_record(&log, 2, 20);
    add_segment(&log);
    add_record(&log, 2, 2500000);

    store(&log);
    read_log(0, END, &said);
    ok(no_damage(&said) && all_but(&said, &log, 0, 7, 0, 0), "large records");

    r = &log.records[2];
    p = bytes_of(&log, 2, &s);

    for (i = 0; i < r->len; i++) {
        p[i] = (u_char) (rand() >> 4);
    }

    /* marks that make it look like records everywhere */

    for (i = 0; i + 32 < r->len; i += 8 + (size_t) rand() % 4 * 8) {
        p[i + 28] = 0x4e;
        p[i + 29] = 0x47;
    }

    store(&log);
    read_log(0, END, &said);
    ok(damage(&said, r->position, r->position + r->len)
       && all_but(&said, &log, 0, 7, r->position, r->position + 1),
       "4 MB of random bytes");

    p = bytes_of(&log, 4, &s);
    memset(p, 0, log.records[4].len);

    store(&log);
    read_log(0, END, &said);
    is_u64(said.ndamage, 2, "damage in two places");
    is_u64(said.damage[1][0], log.records[4].position, "and zeroes");
    is_u64(said.damage[1][1], log.records[5].position, "up to the next");
    is_u64(said.nrecords, 5, "the others are read");

    drop(&log);
}


/* Bytes too many between records, and a log that is old. */
static void
between(void)
{
    log_t       log;
    said_t      said;
    uint64_t    from;

    make(&log, 1, 2);
    from = log.end;
    memset(room(&log, 8), 0, 8);
    log.end += 8;
    add_record(&log, 1, 0);
    store(&log);

    read_log(0, END, &said);
    ok(damage(&said, from, from + 8) && all_but(&said, &log, 0, 3, 0, 0),
       "as little as 8 bytes between records");

    drop(&log);

    /* numbers that are high from the first segment's header on */

    memset(&log, 0, sizeof(log));
    log.seq = (uint64_t) 1 << 41;
    add_segment(&log);
    add_record(&log, 1, 0);
    add_record(&log, 1, 0);
    store(&log);

    read_log(0, END, &said);
    ok(no_damage(&said) && all_but(&said, &log, 0, 2, 0, 0), "high numbers");

    read_log(log.records[1].position, END, &said);
    ok(no_damage(&said) && all_but(&said, &log, 1, 2, 0, 0),
       "from a record on, too");

    drop(&log);
}


/* The record behind the damage lies where two reads of 1 MB meet. */
static void
across(void)
{
    log_t        log;
    said_t       said;
    u_char      *p;
    known_t     *r;
    segment_t   *s;

    memset(&log, 0, sizeof(log));
    log.seq = 1;

    add_segment(&log);
    add_record(&log, 1, 1048514);
    add_record(&log, 3, 100);
    add_record(&log, 3, 100);

    r = &log.records[0];
    must(r->len == 1048576 - 16, "its length");

    p = bytes_of(&log, 0, &s);
    memset(p, 0xff, r->len);

    store(&log);
    read_log(0, END, &said);
    ok(damage(&said, r->position, r->position + r->len)
       && all_but(&said, &log, 1, 3, 0, 0), "a record between two reads");

    drop(&log);
}


/* Right by itself, but not what comes next. */
static void
impostors(void)
{
    log_t        log, other;
    said_t       said;
    u_char      *p;
    size_t       len;
    known_t     *r;
    uint64_t     seq;
    segment_t   *s;

    make(&other, 1, 2);
    make(&log, 1, 3);
    add_record(&log, 2, 100);
    add_record(&log, 1, 0);

    /* a number that was given out before */

    r = &log.records[3];
    len = r->len;
    must(other.records[1].n == 1 && other.records[1].len <= len, "it fits");

    p = bytes_of(&log, 3, &s);
    memset(p, 0, len);
    memcpy(p, bytes_of(&other, 1, &s), other.records[1].len);

    store(&log);
    read_log(0, END, &said);
    ok(damage(&said, r->position, r->position + len)
       && all_but(&said, &log, 0, 5, r->position, r->position + 1),
       "a record with a number that was there before");

    drop(&log);
    drop(&other);

    /* and one that is far away, in what is damaged */

    make(&log, 1, 2);
    seq = log.seq;
    add_record(&log, 1, 100);
    log.seq += (uint64_t) 1 << 41;
    add_record(&log, 1, 0);
    log.seq = seq + 1;
    add_record(&log, 1, 0);

    bytes_of(&log, 2, &s)[0] ^= 0x10;
    r = &log.records[2];

    store(&log);
    read_log(0, END, &said);
    ok(damage(&said, r->position, log.records[4].position)
       && said.nrecords == 3 && said.records[2].seq == seq + 1,
       "a record with a number that nobody can have come to");

    drop(&log);
}


int
main(void)
{
    reader_setup();

    every_byte();
    every_cut();
    large();
    across();
    between();
    impostors();

    reader_cleanup();

    return done_testing();
}
