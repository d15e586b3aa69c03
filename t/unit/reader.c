
/*
 * Reading a log: all of it in order, from anywhere, while it grows, up to a
 * limit, and what is wrong with whole segments.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "reader_lib.h"


static void
in_order(void)
{
    log_t                    log;
    said_t                   said;
    uint64_t                 position, *list;
    ngx_uint_t               i, n, bad;
    ngx_analytics_reader_t   reader;

    read_log(0, END, &said);
    is_i64(said.rc, NGX_DONE, "an empty directory has no log");

    make(&log, 4, 5);
    store(&log);

    put("control", "x", 1, 0);
    put("00000000000000000008.checkpoint", "x", 1, 0);
    put("0000000000000000008.log", "x", 1, 0);
    put("000000000000000000008.log", "x", 1, 0);
    put("0000000000000000000x.log", "x", 1, 0);
    put("00000000000000000003.log", "x", 1, 0);
    put("18446744073709551616.log", "x", 1, 0);
    put("99999999999999999999.log", "x", 1, 0);
    put("00000000000000000008.log.tmp", "x", 1, 0);

    is_i64(ngx_analytics_segments(dir, folder, &list, &n, &said.fail), NGX_OK,
           "the segments");
    is_u64(n, 4, "are those that have their names");

    for (i = 0, bad = 0; i < n; i++) {
        bad += list[i] != log.segments[i].position;
    }

    is_u64(bad, 0, "and come in order");
    free(list);

    read_log(0, END, &said);
    ok(no_damage(&said) && all_but(&said, &log, 0, 20, 0, 0),
       "all records in order");
    is_u64(said.position, log.end, "and behind them is the end");

    for (i = 0, bad = 0; i < 20; i++) {
        read_log(log.records[i].position, END, &said);
        bad += !no_damage(&said) || !all_but(&said, &log, i, 20, 0, 0);
    }

    is_u64(bad, 0, "from any record on");

    for (i = 0, bad = 0; i < 4; i++) {
        read_log(log.segments[i].position, END, &said);
        bad += !no_damage(&said) || !all_but(&said, &log, i * 5, 20, 0, 0);

        bad += ngx_analytics_reader_open(&reader, dir, folder,
                                         log.segments[i].position, &said.fail)
               != NGX_OK
               || reader.segment.position != log.segments[i].position
               || reader.segment.seq != log.records[i * 5].seq
               || reader.segment.id[15] != 1 || !reader.known;
        ngx_analytics_reader_close(&reader);
    }

    is_u64(bad, 0, "from any segment on");

    read_log(log.end, END, &said);
    ok(no_damage(&said) && said.nrecords == 0, "nothing behind the last");

    for (position = log.end + 8; position < log.end + 32; position += 8) {
        read_log(position, END, &said);
        ok(said.rc == NGX_ERROR && said.fail.err == 0 && said.fail.text[0],
           "a position %u bytes behind the end is not in the log",
           (unsigned) (position - log.end));
    }

    for (i = 0, bad = 0; i < 20; i++) {
        position = log.records[i].position + log.records[i].len;

        read_log(0, position, &said);
        bad += !no_damage(&said) || said.position != position
               || !all_but(&said, &log, 0, i + 1, 0, 0);

        read_log(0, position - 1, &said);
        bad += !no_damage(&said) || !all_but(&said, &log, 0, i, 0, 0);

        read_log(0, log.records[i].position + 8, &said);
        bad += !no_damage(&said) || !all_but(&said, &log, 0, i, 0, 0);
    }

    is_u64(bad, 0, "up to any limit");

    must(unlinkat(dir, name_of(log.segments[0].position), 0) == 0, "unlink");
    read_log(0, END, &said);
    ok(no_damage(&said) && all_but(&said, &log, 5, 20, 0, 0),
       "from the first one that is kept");

    read_log(log.records[0].position, END, &said);
    ok(said.rc == NGX_ERROR && said.fail.err == 0,
       "a position before the first segment is not in the log");

    drop(&log);

    is_i64(unlinkat(dir, "control", 0)
           | unlinkat(dir, "00000000000000000008.checkpoint", 0)
           | unlinkat(dir, "0000000000000000008.log", 0)
           | unlinkat(dir, "000000000000000000008.log", 0)
           | unlinkat(dir, "0000000000000000000x.log", 0)
           | unlinkat(dir, "00000000000000000003.log", 0)
           | unlinkat(dir, "18446744073709551616.log", 0)
           | unlinkat(dir, "99999999999999999999.log", 0)
           | unlinkat(dir, "00000000000000000008.log.tmp", 0), 0,
           "other files are left alone");
}


/* Records appear byte by byte under the eyes of a reader; segments, too. */
static void
growing(void)
{
    log_t                    log;
    said_t                   said;
    size_t                   i;
    segment_t               *s;
    ngx_uint_t               k, seen, bad;
    ngx_analytics_reader_t   reader;

    make(&log, 3, 3);
    bad = 0;
    seen = 0;

    put(name_of(0), "", 0, 0);

    is_i64(ngx_analytics_reader_open(&reader, dir, folder, 0, &said.fail),
           NGX_OK, "a segment without a header yet is a log");
    is_u64(reader.known, 0, "of which nothing is known");

    for (k = 0; k < log.nsegments; k++) {
        s = &log.segments[k];

        for (i = 0; i <= s->size; i++) {
            if (i) {
                put(name_of(s->position), s->bytes + i - 1, 1, (off_t) i - 1);

            } else {
                put(name_of(s->position), "", 0, 0);
            }

            read_on(&reader, END, &said);

            for ( /* void */ ; said.nrecords; seen++) {
                bad += log.records[seen].position + log.records[seen].len
                       != s->position + i;
                bad += said.nrecords != 1
                       || memcmp(&said.records[0], &log.records[seen],
                                 sizeof(known_t));
                said.nrecords = 0;
            }

            /* what is not finished is torn, and stays to be read */

            if (said.torn) {
                bad += said.damage[0][1] != s->position + i;
                bad += said.position != said.damage[0][0];
                bad += said.damage[0][0] == said.damage[0][1];

            } else {
                bad += said.ndamage || said.rc != NGX_DONE
                       || said.position != s->position + i;
            }
        }
    }

    is_u64(bad, 0, "each record is there with its last byte");
    is_u64(seen, 9, "and all of them are");
    is_u64(reader.known, 1, "the log is known by then");
    is_u64(reader.segment.position, log.segments[2].position,
           "and so is the segment");

    ngx_analytics_reader_close(&reader);
    drop(&log);
}


/* One reader, and a limit that moves as the log's tail does. */
static void
following(void)
{
    log_t                    log;
    said_t                   said;
    known_t                 *r;
    ngx_uint_t               i, bad;
    ngx_analytics_record_t   record;
    ngx_analytics_reader_t   reader;

    make(&log, 4, 5);
    store(&log);

    must(ngx_analytics_reader_open(&reader, dir, folder, 0, &said.fail)
         == NGX_OK, "open()");

    is_i64(ngx_analytics_reader_next(&reader, END, &record, &said.fail),
           NGX_OK, "one record");
    read_on(&reader, log.records[1].position + 8, &said);
    ok(no_damage(&said) && said.nrecords == 0,
       "then none, although it was read");

    for (i = 1, bad = 0; i < 20; i++) {
        r = &log.records[i];

        read_on(&reader, r->position + r->len, &said);
        bad += !no_damage(&said) || !all_but(&said, &log, i, i + 1, 0, 0);

        /* what is behind the limit was not read too early */

        read_on(&reader, r->position + r->len, &said);
        bad += !no_damage(&said) || said.nrecords;
    }

    is_u64(bad, 0, "record by record, as the limit moves");

    ngx_analytics_reader_close(&reader);

    read_log(0, log.end + 64, &said);
    ok(damage(&said, log.end, log.end + 64) && said.rc == NGX_DONE
       && all_but(&said, &log, 0, 20, 0, 0),
       "what is missing before the limit is damage");

    drop(&log);
}


static void
fails(log_t *log, ngx_uint_t before, const char *what)
{
    said_t  said;

    read_log(0, END, &said);
    ok(said.rc == NGX_ERROR && all_but(&said, log, 0, before, 0, 0)
       && said.fail.err == 0 && strstr(said.fail.text, what),
       "a segment that %s is not read", what);
}


static void
segments(void)
{
    log_t                    log;
    said_t                   said;
    uint32_t                 crc;
    segment_t               *s;
    ngx_analytics_reader_t   reader;

    make(&log, 3, 4);
    s = &log.segments[1];

    header(s->bytes, s->position, log.records[4].seq, 2);
    store(&log);
    fails(&log, 4, "is of another log");

    read_log(s->position, END, &said);
    is_i64(said.rc, NGX_ERROR, "this way round, too");

    header(s->bytes, s->position + 8, log.records[4].seq, 1);
    store(&log);
    fails(&log, 4, "has the name of another");

    header(s->bytes, s->position, log.records[4].seq, 1);

    s->bytes[8] = 2;
    crc = ngx_analytics_crc32c(0, s->bytes, 124);
    memcpy(s->bytes + 124, &crc, 4);
    store(&log);
    fails(&log, 4, "is of a newer version");

    s->bytes[8] = 3;
    store(&log);

    /* without its header, a segment can be read from a record on */

    read_log(0, END, &said);
    ok(damage(&said, s->position, s->position + 128)
       && all_but(&said, &log, 0, 12, 0, 0), "a header that is damaged");

    must(ngx_analytics_reader_open(&reader, dir, folder,
                                   log.records[5].position, &said.fail)
         == NGX_OK, "open()");
    is_u64(reader.known, 0, "nothing is known from a damaged header");

    read_on(&reader, END, &said);
    ok(no_damage(&said) && all_but(&said, &log, 5, 12, 0, 0),
       "but reading may start behind it");
    ngx_analytics_reader_close(&reader);

    must(unlinkat(dir, name_of(s->position), 0) == 0, "unlink()");
    read_log(0, END, &said);
    ok(damage(&said, s->position, log.segments[2].position)
       && all_but(&said, &log, 0, 12, s->position, log.segments[2].position),
       "a missing segment is named");

    drop(&log);

    /* a power cut: numbers were skipped */

    make(&log, 1, 2);
    log.seq += NGX_ANALYTICS_RESERVE;
    add_segment(&log);
    add_record(&log, 2, 0);
    store(&log);

    read_log(0, END, &said);
    ok(no_damage(&said) && all_but(&said, &log, 0, 3, 0, 0),
       "a segment may begin with a higher number");

    drop(&log);
}


/* More segments than one needs in years. */
static void
many(void)
{
    said_t       said;
    uint64_t    *list;
    ngx_uint_t   i, n, bad;

    for (i = 0; i < 100; i++) {
        put(name_of(i * 7 % 100 * 4096), "", 0, 0);
    }

    is_i64(ngx_analytics_segments(dir, folder, &list, &n, &said.fail), NGX_OK,
           "many segments");
    is_u64(n, 100, "all of them");

    for (i = 0, bad = 0; i < n; i++) {
        bad += list[i] != i * 4096;
        must(unlinkat(dir, name_of(list[i]), 0) == 0, "unlink()");
    }

    is_u64(bad, 0, "in order");
    free(list);
}


/* A header that is cut is torn as long as no other segment follows. */
static void
torn_header(void)
{
    log_t                    log;
    said_t                   said;
    ngx_analytics_reader_t   reader;

    make(&log, 2, 3);
    put(name_of(0), log.segments[0].bytes, 100, 0);

    must(ngx_analytics_reader_open(&reader, dir, folder, 0, &said.fail)
         == NGX_OK, "open()");
    read_on(&reader, END, &said);
    ok(said.torn && damage(&said, 0, 100), "a header that is cut");

    put(name_of(log.segments[1].position), log.segments[1].bytes,
        log.segments[1].size, 0);
    read_on(&reader, END, &said);
    ok(damage(&said, 0, log.segments[1].position)
       && all_but(&said, &log, 3, 6, 0, 0),
       "is damage up to the segment that follows");

    ngx_analytics_reader_close(&reader);
    drop(&log);
}


/* Two logs that are the same at first, and whose last record is another. */
static void
twins(log_t *one, log_t *two, size_t properties)
{
    make(one, 1, 3);
    make(two, 1, 3);
    add_record(one, 1, properties);
    add_record(two, 1, properties);

    must(memcmp(one->segments[0].bytes, two->segments[0].bytes,
                one->segments[0].size) != 0, "another");
}


static int
is_from(ngx_analytics_reader_t *reader, uint64_t limit, log_t *log)
{
    said_t                   said;
    ngx_int_t                rc;
    ngx_analytics_record_t   record;

    rc = ngx_analytics_reader_next(reader, limit, &record, &said.fail);

    return rc == NGX_OK
           && memcmp(record.last - 16,
                     log->segments[0].bytes + (record.position
                                               + (record.last - 16
                                                  - record.pos + 32)),
                     16) == 0;
}


/* What comes behind the limit was not read before its time. */
static void
rewritten(void)
{
    log_t                    one, two;
    said_t                   said;
    u_char                  *zeroes;
    known_t                 *last;
    ngx_uint_t               i;
    ngx_analytics_record_t   record;
    ngx_analytics_reader_t   reader;

    twins(&one, &two, 100);
    last = &one.records[3];

    /* a record that was given up, and another one in its place */

    store(&one);
    must(ngx_analytics_reader_open(&reader, dir, folder, 0, &said.fail)
         == NGX_OK, "open()");
    read_on(&reader, last->position, &said);
    is_u64(said.nrecords, 3, "up to a limit");
    store(&two);
    ok(is_from(&reader, END, &two), "what is behind it is read anew");
    ngx_analytics_reader_close(&reader);

    store(&one);
    must(ngx_analytics_reader_open(&reader, dir, folder, 0, &said.fail)
         == NGX_OK, "open()");
    read_on(&reader, last->position + 8, &said);
    is_u64(said.nrecords, 3, "up to a limit within a record");
    store(&two);
    ok(is_from(&reader, END, &two), "what is behind it is read anew");
    ngx_analytics_reader_close(&reader);

    /* the file has its size first, and its bytes later */

    zeroes = calloc(1, last->len);
    must(zeroes != NULL, "calloc()");
    put(name_of(0), zeroes, last->len - 32, (off_t) last->position + 32);
    free(zeroes);

    must(ngx_analytics_reader_open(&reader, dir, folder, 0, &said.fail)
         == NGX_OK, "open()");

    for (i = 0; i < 3; i++) {
        must(ngx_analytics_reader_next(&reader, END, &record, &said.fail)
             == NGX_OK, "next()");
    }

    store(&two);
    ok(is_from(&reader, END, &two), "a record is read when it has its bytes");
    ngx_analytics_reader_close(&reader);

    drop(&one);
    drop(&two);
}


/* A file that is cut under a reader, as a torn tail is. */
static void
cut_meanwhile(void)
{
    log_t                    log;
    said_t                   said;
    known_t                 *r;
    segment_t               *s;
    ngx_analytics_reader_t   reader;

    make(&log, 1, 2);
    add_record(&log, 1, 2000000);
    add_record(&log, 1, 2000000);
    store(&log);

    s = &log.segments[0];
    r = &log.records[3];

    must(ngx_analytics_reader_open(&reader, dir, folder, 0, &said.fail)
         == NGX_OK, "open()");
    read_on(&reader, log.records[2].position, &said);
    is_u64(said.nrecords, 2, "up to a record");

    cut(name_of(0), r->position - s->position + 100);
    read_on(&reader, END, &said);
    ok(said.torn && damage(&said, r->position, r->position + 100)
       && all_but(&said, &log, 2, 3, 0, 0), "then the file is cut");

    cut(name_of(0), r->position - s->position);
    read_on(&reader, END, &said);
    ok(no_damage(&said) && said.nrecords == 0, "and cut again");

    store(&log);
    read_on(&reader, END, &said);
    ok(no_damage(&said) && all_but(&said, &log, 3, 4, 0, 0),
       "and written again");

    ngx_analytics_reader_close(&reader);
    drop(&log);
}


static void
failures(void)
{
    log_t                    log;
    said_t                   said;
    ngx_analytics_reader_t   reader;

    is_i64(ngx_analytics_reader_open(&reader, -1, "no/where", 0, &said.fail),
           NGX_ERROR, "no directory");
    is_u64(said.fail.err, EBADF, "what went wrong");
    is_str(said.fail.text, strlen(said.fail.text), "open() \"no/where\" failed",
           "and where");
    ngx_analytics_reader_close(&reader);

    make(&log, 2, 2);
    store(&log);

    must(ngx_analytics_reader_open(&reader, dir, "a/b", 0, &said.fail)
         == NGX_OK, "open()");
    read_on(&reader, log.records[1].position, &said);

    /* a directory by a segment's name is there, but cannot be read */

    must(unlinkat(dir, name_of(log.segments[1].position), 0) == 0
         && mkdirat(dir, name_of(log.segments[1].position), 0700) == 0,
         "mkdirat()");

    read_on(&reader, END, &said);
    ok(said.rc == NGX_ERROR && said.fail.err == EISDIR && said.nrecords == 1,
       "a segment that cannot be read");
    is_str(said.fail.text, strlen(said.fail.text),
           "pread() \"a/b/00000000000000000216.log\" failed", "is named");

    ngx_analytics_reader_close(&reader);

    must(unlinkat(dir, name_of(log.segments[1].position), AT_REMOVEDIR) == 0,
         "rmdir()");
    drop(&log);
}


int
main(void)
{
    reader_setup();

    in_order();
    growing();
    following();
    segments();
    many();
    torn_header();
    rewritten();
    cut_meanwhile();
    failures();

    reader_cleanup();

    return done_testing();
}
