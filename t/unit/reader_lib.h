
/*
 * What the reader's tests share: a log in memory whose records are known, its
 * segments as files, and all that a reader says about them.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _READER_LIB_H_INCLUDED_
#define _READER_LIB_H_INCLUDED_


#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ngx_analytics_crc32c.h"
#include "ngx_analytics_reader.h"
#include "tap.h"


#define READER_UNUSED  __attribute__((unused))

#define NOW       1758618000000000
#define END       NGX_ANALYTICS_END
#define SEGMENTS  8
#define RECORDS   64


/* What the log holds, byte for byte, and what is known about it. */
typedef struct {
    uint64_t    position;
    size_t      size;
    u_char     *bytes;
} segment_t;

typedef struct {
    uint64_t    position;
    size_t      len;
    uint64_t    seq;
    ngx_uint_t  n;
} known_t;

typedef struct {
    segment_t   segments[SEGMENTS];
    ngx_uint_t  nsegments;
    known_t     records[RECORDS];
    ngx_uint_t  nrecords;
    uint64_t    end;
    uint64_t    seq;
} log_t;


/* What a reader has said, up to NGX_DONE or NGX_ERROR. */
typedef struct {
    known_t               records[RECORDS];
    ngx_uint_t            nrecords;
    uint64_t              damage[RECORDS][2];
    ngx_uint_t            ndamage;
    ngx_int_t             rc;          /* the last */
    ngx_uint_t            torn;        /* that was NGX_DECLINED, at the end */
    uint64_t              position;
    ngx_analytics_fail_t  fail;
} said_t;


static char  folder[] = "/tmp/analytics_reader_XXXXXX";
static int   dir;


READER_UNUSED
static void
must(int cond, const char *what)
{
    if (!cond) {
        diag("%s failed", what);
        exit(2);
    }
}


READER_UNUSED
static void
put(const char *name, const void *bytes, size_t len, off_t offset)
{
    int  fd;

    fd = openat(dir, name, O_WRONLY|O_CREAT, 0600);
    must(fd != -1, "openat()");
    must(pwrite(fd, bytes, len, offset) == (ssize_t) len, "pwrite()");
    close(fd);
}


READER_UNUSED
static void
cut(const char *name, size_t len)
{
    int  fd;

    fd = openat(dir, name, O_WRONLY);
    must(fd != -1 && ftruncate(fd, (off_t) len) == 0, "ftruncate()");
    close(fd);
}


READER_UNUSED
static char *
name_of(uint64_t position)
{
    static char  name[NGX_ANALYTICS_LOG_NAME];

    ngx_analytics_segment_name(name, position);

    return name;
}


READER_UNUSED
static void
header(u_char *p, uint64_t position, uint64_t seq, u_char id)
{
    ngx_analytics_segment_t  s;

    memset(&s, 0, sizeof(s));
    memset(s.id, id, sizeof(s.id));
    s.position = position;
    s.seq = seq;
    s.reserved = seq + NGX_ANALYTICS_RESERVE;

    ngx_analytics_segment_write(p, &s);
}


READER_UNUSED
static u_char *
room(log_t *log, size_t len)
{
    segment_t  *s;

    s = &log->segments[log->nsegments - 1];
    s->bytes = realloc(s->bytes, s->size + len);
    must(s->bytes != NULL, "realloc()");
    s->size += len;

    return s->bytes + s->size - len;
}


READER_UNUSED
static void
add_segment(log_t *log)
{
    must(log->nsegments < SEGMENTS, "room");
    memset(&log->segments[log->nsegments], 0, sizeof(segment_t));
    log->segments[log->nsegments++].position = log->end;

    header(room(log, NGX_ANALYTICS_SEGMENT_HEADER), log->end, log->seq, 1);
    log->end += NGX_ANALYTICS_SEGMENT_HEADER;
}


/* n events, the first one with properties of so many bytes. */
READER_UNUSED
static void
add_record(log_t *log, ngx_uint_t n, size_t properties)
{
    u_char                  *p, *last, *text;
    size_t                   len;
    known_t                 *r;
    uint32_t                 crc;
    ngx_uint_t               i;
    ngx_analytics_event_t    event;

    text = malloc(properties + 1);
    p = malloc(NGX_ANALYTICS_RECORD_HEADER + properties + 32 * (n + 1));
    must(p != NULL && text != NULL, "malloc()");

    for (i = 0; i < properties; i++) {
        text[i] = (u_char) (' ' + rand() % 90);
    }

    memset(&event, 0, sizeof(event));
    event.time = NGX_ANALYTICS_TIME_NONE;
    event.user = (ngx_str_t) ngx_string("user");
    event.type = (ngx_str_t) ngx_string("type");

    last = p + NGX_ANALYTICS_RECORD_HEADER;

    for (i = 0; i < n; i++) {
        event.properties.data = text;
        event.properties.len = i ? 0 : properties;
        last = ngx_analytics_record_event_write(last, &event, NULL);
    }

    len = ngx_analytics_record_pad(p, last, &crc);
    ngx_analytics_record_finish(p, len, crc, last, log->seq, NOW, n);

    must(log->nrecords < RECORDS, "room");
    r = &log->records[log->nrecords++];
    r->position = log->end;
    r->len = len;
    r->seq = log->seq;
    r->n = n;

    memcpy(room(log, len), p, len);
    log->end += len;
    log->seq += n;

    free(text);
    free(p);
}


/* Segments of records of a few bytes each. */
READER_UNUSED
static void
make(log_t *log, ngx_uint_t segments, ngx_uint_t records)
{
    ngx_uint_t  i, k;

    memset(log, 0, sizeof(*log));
    log->seq = 1;

    for (i = 0; i < segments; i++) {
        add_segment(log);

        for (k = 0; k < records; k++) {
            add_record(log, (i + k) % 3, k * 5);
        }
    }
}


READER_UNUSED
static void
store(log_t *log)
{
    segment_t   *s;
    ngx_uint_t   i;

    for (i = 0; i < log->nsegments; i++) {
        s = &log->segments[i];
        put(name_of(s->position), s->bytes, s->size, 0);
        cut(name_of(s->position), s->size);
    }
}


READER_UNUSED
static void
drop(log_t *log)
{
    ngx_uint_t  i;

    for (i = 0; i < log->nsegments; i++) {
        (void) unlinkat(dir, name_of(log->segments[i].position), 0);
        free(log->segments[i].bytes);
    }

    log->nsegments = 0;
}


READER_UNUSED
static void
read_on(ngx_analytics_reader_t *reader, uint64_t limit, said_t *said)
{
    known_t                 *r;
    ngx_uint_t               calls;
    ngx_analytics_record_t   record;

    memset(said, 0, sizeof(*said));

    for (calls = 0; calls < 2 * RECORDS; calls++) {
        said->rc = ngx_analytics_reader_next(reader, limit, &record,
                                             &said->fail);

        if (said->rc == NGX_OK) {
            must(said->nrecords < RECORDS, "a record more");
            r = &said->records[said->nrecords++];
            r->position = record.position;
            r->len = record.len;
            r->seq = record.seq;
            r->n = record.n;
            continue;
        }

        if (said->rc != NGX_DECLINED) {
            break;
        }

        said->damage[said->ndamage][0] = reader->damage_from;
        said->damage[said->ndamage][1] = reader->damage_to;
        said->ndamage++;

        if (reader->position == reader->damage_from) {
            said->torn = 1;
            break;
        }
    }

    said->position = reader->position;
}


READER_UNUSED
static void
read_log(uint64_t position, uint64_t limit, said_t *said)
{
    ngx_int_t                rc;
    ngx_analytics_reader_t   reader;

    memset(said, 0, sizeof(*said));

    rc = ngx_analytics_reader_open(&reader, dir, folder, position, &said->fail);

    if (rc == NGX_OK) {
        read_on(&reader, limit, said);

    } else {
        said->rc = rc;
    }

    ngx_analytics_reader_close(&reader);
}


/* The log's records from one to another, but for those in [from, to). */
READER_UNUSED
static int
all_but(said_t *said, log_t *log, ngx_uint_t first, ngx_uint_t last,
    uint64_t from, uint64_t to)
{
    ngx_uint_t  i, n;

    for (i = first, n = 0; i < last; i++) {
        if (log->records[i].position >= from && log->records[i].position < to) {
            continue;
        }

        if (n == said->nrecords
            || memcmp(&said->records[n], &log->records[i], sizeof(known_t)))
        {
            return 0;
        }

        n++;
    }

    return n == said->nrecords;
}


READER_UNUSED
static int
no_damage(said_t *said)
{
    return said->ndamage == 0 && said->rc == NGX_DONE;
}


READER_UNUSED
static int
damage(said_t *said, uint64_t from, uint64_t to)
{
    return said->ndamage == 1 && said->damage[0][0] == from
           && said->damage[0][1] == to;
}

/* The directory, made anew and removed. */
READER_UNUSED
static void
reader_setup(void)
{
    srand(1);

    must(mkdtemp(folder) != NULL, "mkdtemp()");
    dir = open(folder, O_RDONLY|O_DIRECTORY);
    must(dir != -1, "open()");
}


READER_UNUSED
static void
reader_cleanup(void)
{
    close(dir);
    is_i64(rmdir(folder), 0, "no file is left behind");
}


#endif /* _READER_LIB_H_INCLUDED_ */
