
/*
 * The log: many append to it, one after the other.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "log_lib.h"

#include <dlfcn.h>


static void
test_new_log(void)
{
    mode_t                umask_before;
    uint64_t              seq;
    int64_t               received;
    ngx_analytics_log_t   log;
    ngx_analytics_tail_t  *tail;

    log_fresh();
    umask_before = umask(0777);

    ok(log_attach(&log, 0) == NGX_OK, "a new log is made");
    (void) umask(umask_before);

    tail = ngx_analytics_log_tail(&log);

    is_u64(tail->position, 128, "it has a header");
    is_u64(tail->seq, 1, "its numbers start at 1");
    is_u64(log.control->reserved, 1 + LOG_RESERVE, "2^26 are reserved");
    is_u64(ngx_analytics_log_synced(&log), 128, "the header is synced");
    ok(!log.lost && log.cut_from == log.cut_to, "nothing was lost");

    is_u64(log_mode("00000000000000000000.log"), 0600, "segments are private");
    is_u64(log_mode("control"), 0600, "so is the control file");
    is_u64(log_mode("lock.attached"), 0600, "so is the lock");

    ngx_analytics_log_next(&log, tail->received - 1, &seq, &received);
    ok(received == tail->received, "the time of receipt never goes back");
    ngx_analytics_log_next(&log, tail->received + 5, &seq, &received);
    ok(received == tail->received + 5, "but goes on");

    ngx_analytics_log_close(&log);
    ngx_analytics_log_close(&log);
    ok(log.control == NULL, "closing twice is safe");
}


static void
test_segments(void)
{
    u_char                big[8192];
    uint64_t              position;
    ngx_analytics_log_t   log;
    ngx_analytics_fail_t  fail;

    log_fresh();
    (void) log_attach(&log, 0);

    is_u64(log_requests(&log, 0, 60), 60, "sixty are appended");
    log_ok("the log has them, and nothing else");

    is_u64(log_walk.next, 61, "numbers are without gaps");
    is_u64(log_walk.jumps, 0, "none is passed over");
    ok(log_walk.segments > 3, "in %" PRIu64 " segments", log_walk.segments);
    ok(log_size(0) <= LOG_SEGMENT && log_size(0) > LOG_SEGMENT - 128,
       "a segment is as large as it may be: %jd", (intmax_t) log_size(0));
    is_u64(ngx_analytics_log_position(&log), log_walk.position,
           "the tail is where the last file ends");
    ok(log_reads_back(log_dir, 60, 60), "the reader agrees");

    position = log_walk.position;
    is_i64(log_request(&log, 60, 100, &fail), NGX_OK,
           "a record larger than a segment");
    is_u64((uint64_t) log_size(position),
           LOG_HEADER + log_record(big, 60, 100, 1, 1), "has one for itself");
    is_u64(log_requests(&log, 160, 3), 3, "and the next ones go on");
    log_ok("all are there");

    ngx_analytics_log_close(&log);
}


/* Numbers are given out only after a header on the disk has reserved them. */

static void
test_reserved(void)
{
    u_char                buf[8192];
    size_t                len;
    uint64_t              seq, position;
    int64_t               received;
    ngx_analytics_log_t   log;
    ngx_analytics_fail_t  fail;

    log_fresh();
    (void) log_attach(&log, 0);
    (void) log_requests(&log, 0, 1);

    /* as if nearly half of the reserved numbers had been given out */

    log.control->tails[log.control->current].seq = 1 + LOG_RESERVE / 2 - 1;
    position = ngx_analytics_log_position(&log);

    (void) log_requests(&log, 1, 1);
    is_i64(log_size(position), -1, "a segment serves half of its numbers");
    is_u64(log_tokens[1].seq, LOG_RESERVE / 2, "the last of them");

    position = ngx_analytics_log_position(&log);
    (void) log_requests(&log, 2, 1);
    ok(log_size(position) > LOG_HEADER, "then another one begins");
    is_u64(log_tokens[2].seq, LOG_RESERVE / 2 + 1, "with the next");

    /* the new header is not synced yet: at the end of the first one's */

    log.control->tails[log.control->current].seq = LOG_RESERVE;

    (void) ngx_analytics_log_lock(&log);
    ngx_analytics_log_next(&log, 0, &seq, &received);
    len = log_record(buf, 3, 2, seq, received);
    position = ngx_analytics_log_position(&log);

    is_i64(ngx_analytics_log_append(&log, buf, len, 2, &fail), NGX_AGAIN,
           "numbers that are not reserved on the disk are not given out");
    ok(ngx_analytics_log_position(&log) - position <= LOG_HEADER,
       "nothing is appended");
    ngx_analytics_log_unlock(&log);

    is_i64(ngx_analytics_log_sync(&log, &fail), NGX_OK, "synced");

    (void) ngx_analytics_log_lock(&log);
    ngx_analytics_log_next(&log, 0, &seq, &received);
    len = log_record(buf, 3, 2, seq, received);
    is_i64(ngx_analytics_log_append(&log, buf, len, 2, &fail), NGX_OK,
           "then they are");
    ngx_analytics_log_unlock(&log);

    ngx_analytics_log_close(&log);
}


typedef struct {
    ngx_analytics_log_t  *log;
    uint32_t              token;
    ngx_uint_t            n;
    ngx_uint_t            done;
} worker_t;


/* Every fifth one only tries the lock, like an event loop. */

static void *
work(void *data)
{
    worker_t              *w = data;
    ngx_int_t              rc;
    ngx_uint_t             i;
    ngx_analytics_fail_t   fail;

    for (i = 0; i < w->n; i++) {

        if (i % 5 == 0) {
            do {
                rc = ngx_analytics_log_trylock(w->log);
            } while (rc == NGX_BUSY && sched_yield() == 0);

            if (rc == NGX_OK) {
                ngx_analytics_log_unlock(w->log);
            }
        }

        w->done += (log_request(w->log, w->token + (uint32_t) i, 1, &fail)
                    == NGX_OK);

        if (i % 20 == 0 && ngx_analytics_log_sync(w->log, &fail) != NGX_OK) {
            w->done = 0;
            break;
        }
    }

    return NULL;
}


static void
test_many(ngx_uint_t always)
{
    int                  failed;
    pid_t                pids[4];
    worker_t             w[3];
    pthread_t            t[3];
    ngx_uint_t           i, p;
    ngx_analytics_log_t  log;

    log_fresh();

    for (p = 0; p < 4; p++) {
        fflush(NULL);
        pids[p] = fork();

        if (pids[p] != 0) {
            continue;
        }

        if (log_attach(&log, always) != NGX_OK) {
            _exit(1);
        }

        for (i = 0; i < 3; i++) {
            w[i].log = &log;
            w[i].token = (uint32_t) (p * 300 + i * 100);
            w[i].n = 100;
            w[i].done = 0;

            if (pthread_create(&t[i], NULL, work, &w[i]) != 0) {
                _exit(1);
            }
        }

        for (i = 0, failed = 0; i < 3; i++) {
            (void) pthread_join(t[i], NULL);
            failed += (w[i].done != 100);
        }

        ngx_analytics_log_close(&log);
        _exit(failed);
    }

    for (p = 0, failed = 0; p < 4; p++) {
        failed += log_wait(pids[p]);
    }

    is_i64(failed, 0, "twelve threads of four processes append, sync %s",
           always ? "always" : "now and then");
    log_ok("each one got the number that its event has in the log");
    is_u64(log_walk.events, 1200, "all are there");
    is_u64(log_walk.next, 1201, "without gaps");
    ok(log_reads_back(log_dir, 1200, 1200), "the reader agrees");
}


/* Tries to get the lock in another thread. */

static void *
try_lock(void *data)
{
    ngx_int_t             rc;
    ngx_analytics_log_t  *log = data;

    rc = ngx_analytics_log_trylock(log);

    if (rc == NGX_OK) {
        ngx_analytics_log_unlock(log);
    }

    return (void *) (intptr_t) rc;
}


static ngx_int_t
other_thread(ngx_analytics_log_t *log)
{
    void       *rc;
    pthread_t   t;

    if (pthread_create(&t, NULL, try_lock, log) != 0
        || pthread_join(t, &rc) != 0)
    {
        exit(2);
    }

    return (ngx_int_t) (intptr_t) rc;
}


static void
test_lock(void)
{
    ngx_analytics_log_t  log, other;

    log_fresh();
    (void) log_attach(&log, 0);
    (void) log_attach(&other, 0);     /* like another process */

    is_i64(ngx_analytics_log_lock(&log), NGX_OK, "locked");
    is_i64(other_thread(&log), NGX_BUSY, "another thread is held off");
    is_i64(ngx_analytics_log_trylock(&other), NGX_BUSY,
           "another process is held off");
    is_u64(log.control->wanted, 1, "it says that it waits");

    ngx_analytics_log_unlock(&log);

    is_i64(ngx_analytics_log_lock(&log), NGX_OK, "locked again");
    is_u64(log.control->wanted, 0, "by somebody who let the other go first");
    ngx_analytics_log_unlock(&log);

    is_i64(other_thread(&log), NGX_OK, "unlocked for other threads");
    is_i64(ngx_analytics_log_trylock(&other), NGX_OK, "and processes");
    ngx_analytics_log_unlock(&other);

    ngx_analytics_log_close(&other);
    ngx_analytics_log_close(&log);
}


/* Counts the listings of a directory. */

static ngx_uint_t  listings;

DIR *
fdopendir(int fd)
{
    DIR *(*real)(int);

    *(void **) &real = dlsym(RTLD_NEXT, "fdopendir");
    listings++;

    return real(fd);
}


/* The work that a reader has grows with the log, and not with its square. */

static void
test_read_many(void)
{
    ngx_int_t               rc;
    ngx_uint_t              records;
    ngx_analytics_log_t     log;
    ngx_analytics_fail_t    fail;
    ngx_analytics_reader_t  r;
    ngx_analytics_record_t  record;

    log_fresh();
    (void) log_attach(&log, 0);
    log.segment_size = 200;           /* a record each */

    is_u64(log_requests(&log, 0, 300), 300, "a log of 300 segments");

    listings = 0;
    records = 0;

    rc = ngx_analytics_reader_open(&r, log.dir, log.path, 0, &fail);

    while (rc == NGX_OK) {
        rc = ngx_analytics_reader_next(&r, ngx_analytics_log_position(&log),
                                       &record, &fail);
        records += (rc == NGX_OK);
    }

    is_u64(records, 300, "is read whole");
    ok(listings && listings < 5, "its folder is listed %zu times",
       (size_t) listings);

    ngx_analytics_reader_close(&r);
    ngx_analytics_log_close(&log);
}


int
main(void)
{
    log_begin();

    test_new_log();
    test_segments();
    test_read_many();
    test_reserved();

    log_limit = 1200;
    test_many(0);
    test_many(1);
    log_limit = 512;

    test_lock();

    return done_testing();
}
