
/*
 * Prints a log as NDJSON, each event a line, also while nginx writes to it.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_reader.h"

#include <getopt.h>


#define ANALYTICS_LOG_BUFFER  65536
#define ANALYTICS_LOG_LOOKS   10         /* at a torn tail: is it written? */

#define ANALYTICS_LOG_OK      0
#define ANALYTICS_LOG_DAMAGE  1
#define ANALYTICS_LOG_ERROR   2


typedef struct {
    ngx_analytics_reader_t   reader;
    ngx_analytics_writer_t   writer;
    void                    *blocks[2];    /* the writer's last two buffers */
    const char              *path;
    int                      dir;
    uint64_t                 from;
    ngx_uint_t               damaged;
    ngx_analytics_fail_t     fail;
} analytics_log_t;


static const char  analytics_log_usage[] =
    "Usage: analytics-log [--from=ID] DIRECTORY\n"
    "\n"
    "Prints the events of an analytics zone's log, each as one line of JSON,\n"
    "in the order of their ids; also while nginx writes to it.\n"
    "\n"
    "  --from=ID   begin with the event that has this id\n"
    "  -h, --help  print this\n"
    "\n"
    "What is damaged is passed over and told on standard error, with its\n"
    "file, offset and length.\n"
    "\n"
    "Exit status: 0, 1 if anything was damaged, 2 if reading failed.\n";


/* The writer gives nothing back: of two buffers, one is in use or copied. */
static void *
analytics_log_alloc(void *ctx, size_t size)
{
    analytics_log_t  *log = ctx;

    free(log->blocks[0]);
    log->blocks[0] = log->blocks[1];
    log->blocks[1] = malloc(size);

    return log->blocks[1];
}


static int
analytics_log_failed(analytics_log_t *log)
{
    if (log->fail.err) {
        fprintf(stderr, "analytics-log: %s: %s\n", log->fail.text,
                strerror(log->fail.err));

    } else {
        fprintf(stderr, "analytics-log: %s\n", log->fail.text);
    }

    return ANALYTICS_LOG_ERROR;
}


/* Returns NGX_OK, NGX_DONE if nobody reads any more, or NGX_ERROR. */
static ngx_int_t
analytics_log_flush(analytics_log_t *log)
{
    u_char   *p;
    ssize_t   n;

    if (log->writer.failed) {
        errno = ENOMEM;
        ngx_analytics_failed(&log->fail, "printing", log->path, NULL);
        return NGX_ERROR;
    }

    for (p = log->writer.start; p < log->writer.pos; p += n) {
        n = write(STDOUT_FILENO, p, log->writer.pos - p);

        if (n != -1) {
            continue;
        }

        if (errno == EPIPE) {
            return NGX_DONE;
        }

        if (errno != EINTR) {
            ngx_analytics_failed(&log->fail, "write()", "standard output",
                                 NULL);
            return NGX_ERROR;
        }

        n = 0;
    }

    log->writer.pos = log->writer.start;

    return NGX_OK;
}


/* As sent, but in one line: a line's end in JSON is white space only. */
static void
analytics_log_properties(ngx_analytics_writer_t *w, ngx_str_t *properties)
{
    u_char  *p, *start, *last;

    start = properties->data;
    last = start + properties->len;

    for (p = start; p < last; p++) {
        if (*p == '\n' || *p == '\r') {
            ngx_analytics_write_raw(w, start, p - start);
            ngx_analytics_write_literal(w, " ");
            start = p + 1;
        }
    }

    ngx_analytics_write_raw(w, start, last - start);
}


static void
analytics_log_event(ngx_analytics_writer_t *w, ngx_analytics_event_t *event,
    uint64_t seq, int64_t received)
{
    ngx_analytics_write_literal(w, "{\"id\":");
    ngx_analytics_write_uint(w, seq);
    ngx_analytics_write_literal(w, ",\"user\":");

    if (event->user.len) {
        ngx_analytics_write_string(w, &event->user);

    } else {
        /* erased */
        ngx_analytics_write_literal(w, "null");
    }

    ngx_analytics_write_literal(w, ",\"type\":");
    ngx_analytics_write_string(w, &event->type);
    ngx_analytics_write_literal(w, ",\"time\":");
    ngx_analytics_write_time(w, event->time == NGX_ANALYTICS_TIME_NONE
                                ? received : event->time);
    ngx_analytics_write_literal(w, ",\"received\":");
    ngx_analytics_write_time(w, received);

    if (event->id.len) {
        ngx_analytics_write_literal(w, ",\"event_id\":");
        ngx_analytics_write_string(w, &event->id);
    }

    if (event->properties.len) {
        ngx_analytics_write_literal(w, ",\"properties\":");
        analytics_log_properties(w, &event->properties);
    }

    ngx_analytics_write_literal(w, "}\n");
}


/* Bytes from a position on that are no record. */
static void
analytics_log_damaged(analytics_log_t *log, const char *what, uint64_t from,
    uint64_t to)
{
    char      name[NGX_ANALYTICS_LOG_NAME];
    uint64_t  base;

    base = log->reader.segment.position;
    ngx_analytics_segment_name(name, base);

    fprintf(stderr, "analytics-log: %s/%s: %s: offset %llu, length %llu\n",
            log->path, name, what, (unsigned long long) (from - base),
            (unsigned long long) (to - from));

    log->damaged = 1;
}


/* Returns what analytics_log_flush() returns. */
static ngx_int_t
analytics_log_record(analytics_log_t *log, ngx_analytics_record_t *record)
{
    uint64_t               seq;
    ngx_int_t              rc;
    ngx_analytics_item_t   item;

    if (record->seq + record->n <= log->from) {
        return NGX_OK;
    }

    seq = record->seq;

    for ( ;; ) {
        rc = ngx_analytics_record_item(record, &item);

        if (rc != NGX_OK) {
            break;
        }

        if (item.kind != NGX_ANALYTICS_ITEM_EVENT) {
            continue;
        }

        if (seq >= log->from) {
            analytics_log_event(&log->writer, &item.event, seq,
                                record->received);
        }

        seq++;

        if (log->writer.failed
            || log->writer.pos - log->writer.start >= ANALYTICS_LOG_BUFFER)
        {
            rc = analytics_log_flush(log);

            if (rc != NGX_OK) {
                return rc;
            }
        }
    }

    if (rc == NGX_ERROR) {
        analytics_log_damaged(log, "malformed", record->position,
                              record->position + record->len);
    }

    return NGX_OK;
}


/* A file that was made larger, but not yet written, is no damage. */
static ngx_uint_t
analytics_log_zeros(ngx_analytics_reader_t *r)
{
    u_char    buf[4096];
    ssize_t   i, n;
    uint64_t  at;

    for (at = r->damage_from; at < r->damage_to; at += n) {
        n = pread(r->fd, buf, ngx_min(sizeof(buf), r->damage_to - at),
                  (off_t) (at - r->segment.position));

        if (n <= 0) {
            return n == 0;
        }

        for (i = 0; i < n; i++) {
            if (buf[i] != 0) {
                return 0;
            }
        }
    }

    return 1;
}


/*
 * The next record.  A torn tail may be one that is being written: it is
 * looked at again as long as it may.
 */
static ngx_int_t
analytics_log_next(analytics_log_t *log, ngx_analytics_record_t *record)
{
    uint64_t                 from, to;
    ngx_int_t                rc;
    ngx_uint_t               looks;
    struct timespec          ts;
    ngx_analytics_reader_t  *r;

    r = &log->reader;
    from = NGX_ANALYTICS_END;
    to = 0;
    looks = 0;

    for ( ;; ) {
        rc = ngx_analytics_reader_next(r, NGX_ANALYTICS_END, record,
                                       &log->fail);

        if (rc != NGX_DECLINED) {
            return rc;
        }

        if (r->position != r->damage_from) {
            analytics_log_damaged(log, "damaged", r->damage_from,
                                  r->damage_to);
            continue;
        }

        if (analytics_log_zeros(r)) {
            return NGX_DONE;
        }

        if (from != r->damage_from || to != r->damage_to) {
            from = r->damage_from;
            to = r->damage_to;
            looks = 0;
        }

        if (++looks == ANALYTICS_LOG_LOOKS) {
            analytics_log_damaged(log, "torn", from, to);
            return NGX_DONE;
        }

        ts.tv_sec = 0;
        ts.tv_nsec = 20 * 1000 * 1000;
        (void) nanosleep(&ts, NULL);
    }
}


/* The last segment that begins before the event looked for. */
static uint64_t
analytics_log_start(analytics_log_t *log)
{
    int                       fd;
    char                      name[NGX_ANALYTICS_LOG_NAME];
    u_char                    buf[NGX_ANALYTICS_SEGMENT_HEADER];
    ssize_t                   len;
    uint64_t                 *positions, position;
    ngx_uint_t                i, n;
    ngx_analytics_segment_t   segment;

    if (log->from <= 1
        || ngx_analytics_segments(log->dir, log->path, &positions, &n,
                                  &log->fail)
           != NGX_OK)
    {
        return 0;
    }

    position = 0;

    for (i = n; i-- > 0; /* void */ ) {
        ngx_analytics_segment_name(name, positions[i]);

        fd = openat(log->dir, name, O_RDONLY|O_CLOEXEC);
        if (fd == -1) {
            continue;
        }

        len = pread(fd, buf, sizeof(buf), 0);
        close(fd);

        if (len == (ssize_t) sizeof(buf)
            && ngx_analytics_segment_read(buf, sizeof(buf), &segment) == NGX_OK
            && segment.seq <= log->from)
        {
            position = positions[i];
            break;
        }
    }

    free(positions);

    return position;
}


static int
analytics_log_print(analytics_log_t *log)
{
    ngx_int_t               rc;
    ngx_analytics_record_t  record;

    rc = ngx_analytics_reader_open(&log->reader, log->dir, log->path,
                                   analytics_log_start(log), &log->fail);

    if (rc == NGX_DONE) {
        fprintf(stderr, "analytics-log: there is no log in \"%s\"\n",
                log->path);
        return ANALYTICS_LOG_ERROR;
    }

    while (rc == NGX_OK) {
        rc = analytics_log_next(log, &record);

        if (rc == NGX_OK) {
            rc = analytics_log_record(log, &record);
        }
    }

    /* what came before a failure is printed, too */

    if (analytics_log_flush(log) == NGX_ERROR || rc == NGX_ERROR) {
        return analytics_log_failed(log);
    }

    return log->damaged ? ANALYTICS_LOG_DAMAGE : ANALYTICS_LOG_OK;
}


/* Returns NGX_OK, or NGX_ERROR. */
static ngx_int_t
analytics_log_number(const char *text, uint64_t *n)
{
    char  *last;

    errno = 0;
    *n = strtoull(text, &last, 10);

    return (errno || *text < '0' || *text > '9' || *last) ? NGX_ERROR : NGX_OK;
}


int
main(int argc, char *argv[])
{
    int                         c, rc;
    analytics_log_t             log;
    static const struct option  options[] = {
        { "from", required_argument, NULL, 'f' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 }
    };

    memset(&log, 0, sizeof(log));

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (c == 'h') {
            fputs(analytics_log_usage, stdout);
            return fflush(stdout) ? ANALYTICS_LOG_ERROR : ANALYTICS_LOG_OK;
        }

        if (c != 'f') {
            return ANALYTICS_LOG_ERROR;
        }

        if (analytics_log_number(optarg, &log.from) != NGX_OK) {
            fprintf(stderr, "analytics-log: invalid id \"%s\"\n", optarg);
            return ANALYTICS_LOG_ERROR;
        }
    }

    if (optind + 1 != argc) {
        fputs(analytics_log_usage, stderr);
        return ANALYTICS_LOG_ERROR;
    }

    (void) signal(SIGPIPE, SIG_IGN);

    log.path = argv[optind];

    log.dir = open(log.path, O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    if (log.dir == -1) {
        ngx_analytics_failed(&log.fail, "open()", log.path, NULL);
        return analytics_log_failed(&log);
    }

    log.reader.fd = -1;
    ngx_analytics_writer_init(&log.writer, analytics_log_alloc, &log,
                              2 * ANALYTICS_LOG_BUFFER);

    rc = analytics_log_print(&log);

    ngx_analytics_reader_close(&log.reader);
    free(log.blocks[0]);
    free(log.blocks[1]);
    close(log.dir);

    return rc;
}
