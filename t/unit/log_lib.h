
/*
 * What the log's tests share: a directory, records that can be told apart,
 * and a walker that reads a log knowing nothing but its format.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _LOG_LIB_H_INCLUDED_
#define _LOG_LIB_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <dirent.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "ngx_analytics_fault.h"
#include "ngx_analytics_log.h"
#include "tap.h"


#define LOG_UNUSED    __attribute__((unused))

#define LOG_RESERVE   67108864         /* 2^26 */
#define LOG_HEADER    128
#define LOG_SEGMENT   1024             /* so that a few records fill one */
#define LOG_TOKENS    16384
#define LOG_NOW       4102444800000000 /* usec: 2100-01-01T00:00:00Z */


/* Each event carries a token of its own.  In memory that children share. */
typedef struct {
    uint64_t    seq;                   /* the number it was told */
    uint32_t    tried;
    uint32_t    acked;
    uint32_t    refused;
    uint32_t    durable;               /* set by a test: was synced */
} log_token_t;

/* What the walker found. */
typedef struct {
    uint64_t    records;
    uint64_t    events;
    uint64_t    segments;
    uint64_t    first;                 /* numbers */
    uint64_t    next;
    uint64_t    position;              /* the end */
    uint64_t    base;
    uint64_t    reserved;
    uint64_t    jumps;                 /* numbers passed over, how often */
    int64_t     received;
    char        wrong[256];            /* what is, or empty */

    size_t      nends;
    uint64_t    ends[LOG_TOKENS];      /* of records and headers, */
    uint64_t    end_seq[LOG_TOKENS];   /* and the next number there */
    uint64_t    end_base[LOG_TOKENS];

    uint32_t    seen[LOG_TOKENS];
    uint64_t    seq[LOG_TOKENS];
} log_walk_t;


static char          log_dir[64];
static pid_t         log_pid;
static log_token_t  *log_tokens;
static log_walk_t    log_walk;
static size_t        log_limit = 512;  /* tokens that a test has */


/* Removes a directory's files. */
LOG_UNUSED
static void
log_empty(const char *path)
{
    int             fd;
    DIR            *d;
    struct dirent  *e;

    d = opendir(path);
    if (d == NULL) {
        return;
    }

    fd = dirfd(d);

    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] != '.') {
            (void) unlinkat(fd, e->d_name, 0);
        }
    }

    closedir(d);
}


static void
log_remove(void)
{
    if (getpid() == log_pid) {
        log_empty(log_dir);
        (void) rmdir(log_dir);
    }
}


LOG_UNUSED
static void
must(ngx_int_t done)
{
    if (!done) {

        /* a child leaves the directory alone */

        if (getpid() == log_pid) {
            exit(1);
        }

        _exit(1);
    }
}


LOG_UNUSED
static void
log_begin(void)
{
    const char  *tmp;

    /* in memory, if there is such a place: nothing here needs a disk */

    tmp = getenv("TMPDIR");

    if (tmp == NULL || strlen(tmp) > 32) {
        tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    }

    snprintf(log_dir, sizeof(log_dir), "%s/analytics-log-XXXXXX", tmp);

    log_tokens = mmap(NULL, LOG_TOKENS * sizeof(log_token_t),
                      PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0);

    if (mkdtemp(log_dir) == NULL || log_tokens == MAP_FAILED) {
        diag("no directory or no memory: %s", strerror(errno));
        exit(2);
    }

    log_pid = getpid();
    atexit(log_remove);
}


/* An empty directory, and nothing tried yet. */
LOG_UNUSED
static void
log_fresh(void)
{
    log_empty(log_dir);
    memset(log_tokens, 0, log_limit * sizeof(log_token_t));
}


/* All are children of master 100. */
LOG_UNUSED
static void
log_config(ngx_analytics_log_t *log, ngx_uint_t always)
{
    memset(log, 0, sizeof(ngx_analytics_log_t));

    log->path = log_dir;
    log->segment_size = LOG_SEGMENT;
    log->zone = 1;
    log->master = 100;
    log->master_parent = 99;
    log->always = always;
}


LOG_UNUSED
static ngx_int_t
log_attach(ngx_analytics_log_t *log, ngx_uint_t always)
{
    ngx_int_t             rc;
    ngx_analytics_fail_t  fail;

    log_config(log, always);
    rc = ngx_analytics_log_attach(log, &fail);

    if (rc == NGX_ERROR) {
        diag("attach: %s (%d: %s)", fail.text, fail.err, strerror(fail.err));
    }

    return rc;
}


/* A record of n events with the tokens from token on; returns its length. */
LOG_UNUSED
static size_t
log_record(u_char *buf, uint32_t token, ngx_uint_t n, uint64_t seq,
    int64_t received)
{
    char                   text[64];
    size_t                 len;
    u_char                *p;
    uint32_t               crc;
    ngx_uint_t             i;
    ngx_analytics_event_t  event, previous;

    memset(&event, 0, sizeof(event));
    ngx_str_set(&event.user, "somebody");
    ngx_str_set(&event.type, "something");
    event.time = NGX_ANALYTICS_TIME_NONE;
    event.properties.data = (u_char *) text;

    p = buf + NGX_ANALYTICS_RECORD_HEADER;

    for (i = 0; i < n; i++) {
        event.properties.len = (size_t) sprintf(text, "{\"token\":%05u}",
                                                (unsigned) (token + i));
        p = ngx_analytics_record_event_write(p, &event, i ? &previous : NULL);
        previous = event;
    }

    len = ngx_analytics_record_pad(buf, p, &crc);
    ngx_analytics_record_finish(buf, len, crc, p, seq, received, n);

    return len;
}


/* What log_request() does; the epoch is that of the append. */
static ngx_int_t
log_store(ngx_analytics_log_t *log, uint32_t token, ngx_uint_t n,
    uint64_t *epoch, ngx_analytics_fail_t *fail)
{
    u_char      buf[8192];
    size_t      len;
    int64_t     received;
    uint64_t    seq;
    ngx_int_t   rc;
    ngx_uint_t  i;

    do {
        if (ngx_analytics_log_lock(log) != NGX_OK) {
            ngx_analytics_failed(fail, "locking", log->path, NULL);
            return NGX_ERROR;
        }

        /* clocks go back, too */

        ngx_analytics_log_next(log, LOG_NOW + token * 7919 % 1000, &seq,
                               &received);
        len = log_record(buf, token, n, seq, received);

        for (i = 0; i < n; i++) {
            log_tokens[token + i].seq = seq + i;
        }

        rc = ngx_analytics_log_append(log, buf, len, n, fail);
        *epoch = log->control->epoch;

        ngx_analytics_log_unlock(log);

        if (rc == NGX_AGAIN && ngx_analytics_log_sync(log, fail) != NGX_OK) {
            return NGX_ERROR;
        }

    } while (rc == NGX_AGAIN);

    return rc;
}


/*
 * Appends n events as a request does, and acknowledges or refuses them.  With
 * "sync always" they are synced before.  Returns NGX_OK or NGX_ERROR.
 */
LOG_UNUSED
static ngx_int_t
log_request(ngx_analytics_log_t *log, uint32_t token, ngx_uint_t n,
    ngx_analytics_fail_t *fail)
{
    uint64_t    epoch;
    ngx_int_t   rc;
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        log_tokens[token + i].tried = 1;
    }

    rc = log_store(log, token, n, &epoch, fail);

    if (rc == NGX_OK && log->always) {
        rc = ngx_analytics_log_sync(log, fail);

        if (epoch != log->control->epoch) {
            rc = NGX_ERROR;
        }
    }

    for (i = 0; i < n; i++) {
        log_tokens[token + i].acked = (rc == NGX_OK);
        log_tokens[token + i].refused = (rc != NGX_OK);
    }

    return rc;
}


/* n requests of one event each.  Returns how many were acknowledged. */
LOG_UNUSED
static ngx_uint_t
log_requests(ngx_analytics_log_t *log, uint32_t token, ngx_uint_t n)
{
    ngx_uint_t            done;
    ngx_analytics_fail_t  fail;

    for (done = 0; n; n--, token++) {
        done += (log_request(log, token, 1, &fail) == NGX_OK);
    }

    return done;
}


static uint64_t
log_le(const u_char *p, size_t n)
{
    uint64_t  v;

    v = 0;

    while (n--) {
        v = v << 8 | p[n];
    }

    return v;
}


#define log_wrong(...)                                                        \
    (w->wrong[0] ? 0 : snprintf(w->wrong, sizeof(w->wrong), __VA_ARGS__))


static void
log_walk_record(log_walk_t *w, const u_char *p, size_t len)
{
    unsigned      token;
    uint64_t      seq, n, i;
    const u_char  *last, *t;

    seq = log_le(p + 8, 8);
    n = log_le(p + 24, 4);

    if (seq < w->next) {
        log_wrong("number %" PRIu64 " again at %" PRIu64, seq, w->position);

    } else if (seq > w->next) {
        w->jumps++;
    }

    if ((int64_t) log_le(p + 16, 8) < w->received) {
        log_wrong("received before the one before");
    }

    w->received = (int64_t) log_le(p + 16, 8);
    last = p + len;
    t = p + 32;

    for (i = 0; i < n; i++) {
        t = memmem(t, (size_t) (last - t), "{\"token\":", 9);

        if (t == NULL || sscanf((const char *) t + 9, "%5u", &token) != 1
            || token >= log_limit)
        {
            log_wrong("not our record at %" PRIu64, w->position);
            return;
        }

        t += 9;
        w->seen[token]++;
        w->seq[token] = seq + i;
    }

    w->next = seq + n;
    w->records++;
    w->events += n;
}


static void
log_walk_end(log_walk_t *w)
{
    if (w->nends < LOG_TOKENS) {
        w->ends[w->nends] = w->position;
        w->end_seq[w->nends] = w->next;
        w->end_base[w->nends++] = w->base;
    }
}


/* One segment's bytes. */
static void
log_walk_segment(log_walk_t *w, const u_char *p, size_t size)
{
    size_t    at, len;
    uint64_t  seq;

    if (size < LOG_HEADER || memcmp(p, "NGXALOG", 8) != 0
        || log_le(p + 8, 4) != 1 || log_le(p + 12, 4) != LOG_HEADER
        || log_le(p + 48, 8) != w->position)
    {
        log_wrong("no header at %" PRIu64, w->position);
        return;
    }

    seq = log_le(p + 56, 8);

    if (seq < w->next) {
        log_wrong("a header's number goes back at %" PRIu64, w->position);
    }

    if (seq > w->next && w->segments) {
        w->jumps++;
    }

    w->next = seq;
    w->first = w->segments ? w->first : seq;
    w->reserved = log_le(p + 64, 8);
    w->base = w->position;
    w->segments++;
    w->position += LOG_HEADER;
    log_walk_end(w);

    for (at = LOG_HEADER; at < size; at += len) {

        len = size - at < 32 ? 0 : log_le(p + at, 4);

        if (len < 32 || len % 8 || len > size - at) {
            log_wrong("no record at %" PRIu64 ", %zu bytes are left",
                      w->position, size - at);
            return;
        }

        log_walk_record(w, p + at, len);
        w->position += len;
        log_walk_end(w);
    }
}


/* Reads all into log_walk; the caller looks at wrong. */
LOG_UNUSED
static log_walk_t *
log_read(const char *dir)
{
    int          fd;
    char         name[128];
    ssize_t      n;
    log_walk_t  *w;

    static u_char  buf[1 << 20];

    w = &log_walk;
    memset(w, 0, offsetof(log_walk_t, ends));
    memset(w->seen, 0, log_limit * sizeof(uint32_t));

    for ( ;; ) {
        snprintf(name, sizeof(name), "%s/%020" PRIu64 ".log", dir,
                 w->position);

        fd = open(name, O_RDONLY);
        if (fd == -1) {
            break;
        }

        n = read(fd, buf, sizeof(buf));
        close(fd);

        log_walk_segment(w, buf, n > 0 ? (size_t) n : 0);

        if (w->wrong[0]) {
            break;
        }
    }

    return w;
}


/* How many segments there are in the directory, reached by walking or not. */
LOG_UNUSED
static uint64_t
log_count(const char *dir)
{
    DIR            *d;
    uint64_t        n;
    struct dirent  *e;

    n = 0;
    d = opendir(dir);

    while (d && (e = readdir(d)) != NULL) {
        n += (strlen(e->d_name) == 24 && strcmp(e->d_name + 20, ".log") == 0);
    }

    if (d) {
        closedir(d);
    }

    return n;
}


/*
 * Nothing acknowledged is missing or has another number, nothing is there
 * twice, and nothing that was refused.  Returns "" or what is wrong.
 */
LOG_UNUSED
static const char *
log_check(const char *dir)
{
    size_t        i;
    log_walk_t   *w;
    log_token_t  *t;

    w = log_read(dir);

    if (w->segments != log_count(dir)) {
        log_wrong("%" PRIu64 " segments of %" PRIu64, w->segments,
                  log_count(dir));
    }

    for (i = 0; i < log_limit && !w->wrong[0]; i++) {
        t = &log_tokens[i];

        if (w->seen[i] > 1) {
            log_wrong("event %zu is there %u times", i, w->seen[i]);

        } else if (t->acked && !w->seen[i]) {
            log_wrong("event %zu was acknowledged and is not there", i);

        } else if (t->acked && w->seq[i] != t->seq) {
            log_wrong("event %zu is number %" PRIu64 ", not %" PRIu64, i,
                      w->seq[i], t->seq);

        } else if (w->seen[i] && !t->tried) {
            log_wrong("event %zu was never sent", i);

        } else if (w->seen[i] && t->refused) {
            log_wrong("event %zu was refused and is there", i);
        }
    }

    return w->wrong;
}


/* The same as a check. */
TAP_FORMAT(1, 2)
static void
log_ok(const char *fmt, ...)
{
    char     name[256];
    va_list  args;

    va_start(args, fmt);
    vsnprintf(name, sizeof(name), fmt, args);
    va_end(args);

    if (!ok(*log_check(log_dir) == '\0', "%s", name)) {
        diag("%s", log_walk.wrong);
    }
}


/* Whether a tail is where the walked log has an end of a record. */
static int
log_is_end(ngx_analytics_tail_t *tail)
{
    size_t  i;

    for (i = 0; i < log_walk.nends; i++) {
        if (log_walk.ends[i] == tail->position) {
            return log_walk.end_seq[i] == tail->seq
                   && log_walk.end_base[i] == tail->base;
        }
    }

    return 0;
}


/* What must hold when nobody is at it.  Returns "" or what does not. */
LOG_UNUSED
static const char *
log_sound(ngx_analytics_log_t *log)
{
    ngx_analytics_tail_t     *tail;
    ngx_analytics_control_t  *c;

    c = log->control;
    tail = ngx_analytics_log_tail(log);

    return c->writing || c->redo ? "something is left to be done"
           : tail->position != log_walk.position ? "the tail is not the end"
           : !log_is_end(tail) ? "the tail is wrong"
           : !log_is_end(&c->synced) ? "synced is wrong"
           : !log_is_end(&c->promised) ? "promised is wrong"
           : c->synced.position > tail->position ? "synced behind the tail"
           : c->promised.position > tail->position ? "promised likewise"
           : c->foreign > tail->position ? "foreign likewise"
           : c->reserved > log_walk.reserved ? "reserved is too much"
           : "";
}


/* Reads the whole log as everybody does.  1: events, in order, undamaged. */
LOG_UNUSED
static int
log_reads_back(const char *dir, uint64_t records, uint64_t events)
{
    int                     fd;
    uint64_t                nrecords, nevents;
    ngx_int_t               rc;
    ngx_analytics_fail_t    fail;
    ngx_analytics_record_t  record;
    ngx_analytics_reader_t  r;

    nrecords = 0;
    nevents = 0;
    fd = open(dir, O_RDONLY|O_DIRECTORY);

    rc = ngx_analytics_reader_open(&r, fd, dir, 0, &fail);

    while (rc == NGX_OK) {
        rc = ngx_analytics_reader_next(&r, NGX_ANALYTICS_END, &record, &fail);

        if (rc == NGX_OK) {
            nrecords++;
            nevents += record.n;
        }
    }

    ngx_analytics_reader_close(&r);
    close(fd);

    return rc == NGX_DONE && nrecords == records && nevents == events;
}


/* Waits for a child.  Returns its exit code, or 1000 and the signal. */
LOG_UNUSED
static int
log_wait(pid_t pid)
{
    int  status;

    if (pid == -1 || waitpid(pid, &status, 0) != pid) {
        diag("no child");
        exit(2);
    }

    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status)
                               : WEXITSTATUS(status);
}


/* The permissions of a file of the directory, or 0. */
LOG_UNUSED
static mode_t
log_mode(const char *name)
{
    char         path[128];
    struct stat  st;

    snprintf(path, sizeof(path), "%s/%s", log_dir, name);

    return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}


/* The size of a segment's file, or -1. */
LOG_UNUSED
static off_t
log_size(uint64_t base)
{
    char         path[128];
    struct stat  st;

    snprintf(path, sizeof(path), "%s/%020" PRIu64 ".log", log_dir, base);

    return stat(path, &st) == 0 ? st.st_size : -1;
}


/* Changes bytes of a file in the directory. */
LOG_UNUSED
static void
log_poke(const char *name, off_t at, const void *data, size_t len)
{
    int   fd;
    char  path[128];

    snprintf(path, sizeof(path), "%s/%s", log_dir, name);

    fd = open(path, O_WRONLY);

    if (fd == -1 || pwrite(fd, data, len, at) != (ssize_t) len) {
        diag("%s: %s", path, strerror(errno));
        exit(2);
    }

    close(fd);
}


#endif /* _LOG_LIB_H_INCLUDED_ */
