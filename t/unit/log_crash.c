
/*
 * The log survives whoever works on it: processes are killed at each point,
 * the power goes at any moment.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "log_disk.h"


#define WORK  500                      /* requests of a worker, */
#define SHARE  80                      /* and of those between two kills */


typedef void (*act_pt)(ngx_uint_t always);


/* how far the killing is: shared with the workers */
static uint32_t  *kills;


/* Runs act in a child that is killed at that fault point.  1: it was. */

static int
killed_at(act_pt act, ngx_uint_t always, ngx_int_t point)
{
    int    rc;
    pid_t  pid;

    fflush(NULL);
    pid = fork();

    if (pid == 0) {
        ngx_analytics_fault = point;
        act(always);
        _exit(0);
    }

    rc = log_wait(pid);

    if (rc == 1000 + SIGKILL) {
        return 1;
    }

    if (rc != 0) {
        diag("the child ended with %d", rc);
        exit(2);
    }

    return 0;
}


/* What was acknowledged before a sync is durable. */

static void
sync_all(ngx_analytics_log_t *log)
{
    size_t                i;
    ngx_analytics_fail_t  fail;

    must(ngx_analytics_log_sync(log, &fail) == NGX_OK);

    for (i = 0; i < 100; i++) {
        log_tokens[i].durable = log_tokens[i].acked;
    }
}


/* Appends to some segments, syncs; with a zone that another one replaced. */

static void
append_some(ngx_uint_t always)
{
    ngx_analytics_log_t  log, newer;

    must(log_attach(&log, always) == NGX_OK);
    must(log_attach(&newer, always) == NGX_OK);

    log.zone = 2;
    log.segment_size = 400;

    must(log_requests(&log, 0, 4) == 4);
    sync_all(&log);
    must(log_requests(&log, 4, 7) == 7);
    sync_all(&log);
    must(log_requests(&log, 11, 2) == 2);

    ngx_analytics_log_close(&newer);
    ngx_analytics_log_close(&log);
}


/* With the same zone; then no sync succeeds any more. */

static void
append_and_fail(ngx_uint_t always)
{
    ngx_analytics_log_t   log;
    ngx_analytics_fail_t  fail;

    must(log_attach(&log, always) == NGX_OK);

    log.segment_size = 400;

    must(log_requests(&log, 0, 2) == 2);
    sync_all(&log);

    disk_fail.calls = DISK_SYNC;
    disk_fail.at = 1;
    disk_fail.all = 1;
    disk_fail.err = EIO;

    /* the second one needs a new segment */

    (void) log_request(&log, 2, 1, &fail);
    (void) log_request(&log, 3, 8, &fail);
    must(ngx_analytics_log_sync(&log, &fail) == NGX_ERROR);
    must(log_requests(&log, 11, 2) == 0);

    ngx_analytics_log_close(&log);
}


/* Others go on at once with what a killed process left. */

static void
test_killed(act_pt act, ngx_uint_t always, const char *what)
{
    ngx_int_t             point;
    ngx_uint_t            wrong;
    ngx_analytics_log_t   log;
    ngx_analytics_fail_t  fail;

    wrong = 0;

    for (point = 1; point < 10000; point++) {
        log_fresh();
        must(log_attach(&log, always) == NGX_OK);

        if (!killed_at(act, always, point)) {
            ngx_analytics_log_close(&log);
            break;
        }

        (void) ngx_analytics_log_lock(&log);
        ngx_analytics_log_unlock(&log);
        wrong += is_wrong(&log, "cleared after", point);

        if (act == append_some
            && log.control->foreign != ngx_analytics_log_position(&log))
        {
            diag("foreign is not the tail after %jd", (intmax_t) point);
            wrong++;
        }

        /* who finds that others' events must be cut says so, once */

        if ((ngx_analytics_log_sync(&log, &fail) != NGX_OK
             && (log.control->failed
                 || ngx_analytics_log_sync(&log, &fail) != NGX_OK))
            || log_requests(&log, 100, 2) != 2
            || ngx_analytics_log_sync(&log, &fail) != NGX_OK)
        {
            diag("does not go on after %jd", (intmax_t) point);
            wrong++;
        }

        wrong += is_wrong(&log, "gone on after", point);

        if (log_walk.jumps
            || log.control->synced.position != log_walk.position
            || log.control->reserved != log_walk.reserved)
        {
            diag("not whole after %jd", (intmax_t) point);
            wrong++;
        }

        ngx_analytics_log_close(&log);
    }

    ok(wrong == 0 && point > 40, "%s: killed at each of %jd points, another "
       "process goes on, sync %s", what, (intmax_t) point,
       always ? "always" : "now and then");
}


/* All are killed; the next one attaches, and is killed, too. */

static void
recover_and_append(ngx_uint_t always)
{
    ngx_analytics_log_t  log;

    must(log_attach(&log, always) == NGX_OK);
    must(log_requests(&log, 200, 1) == 1);

    ngx_analytics_log_close(&log);
}


static void
test_all_killed(act_pt act, ngx_uint_t always, const char *what)
{
    ngx_int_t            point, again, n;
    ngx_uint_t           wrong, lost;
    ngx_analytics_log_t  log;

    wrong = 0;
    n = 0;

    for (point = 1; point < 10000; point++) {

        /* the second one at some of its points, all of them by and by */

        for (again = point % 17; again < 10000; again += 17) {
            log_fresh();

            if (!killed_at(act, always, point)) {
                goto done;
            }

            if (again && !killed_at(recover_and_append, always, again)) {
                break;
            }

            n++;

            if (log_attach(&log, always) != NGX_OK
                || log_requests(&log, 100, 1) != 1)
            {
                wrong++;
            }

            lost = log.lost;
            ngx_analytics_log_close(&log);
            wrong += is_wrong(NULL, "all killed at", point);

            if ((log_walk.jumps || lost) && !again) {
                diag("numbers are skipped after %jd", (intmax_t) point);
                wrong++;
            }
        }
    }

done:

    ok(wrong == 0 && n > 50, "%s: all are killed, also while they recover, "
       "%jd times, sync %s", what, (intmax_t) n,
       always ? "always" : "now and then");
}


/* The greatest number that was given out. */

static uint64_t
greatest(void)
{
    size_t    i;
    uint64_t  seq;

    for (i = 0, seq = 0; i < log_limit; i++) {
        seq = ngx_max(seq, log_tokens[i].seq);
    }

    return seq;
}


/* Acknowledged, but not synced: may be lost. */

static void
forget_unsynced(void)
{
    size_t  i;

    for (i = 0; i < 100; i++) {
        log_tokens[i].acked = log_tokens[i].durable;
    }
}


static ngx_uint_t
after_power_cut(ngx_uint_t always, ngx_int_t point, uint32_t token)
{
    uint64_t             before;
    ngx_uint_t           wrong;
    ngx_analytics_log_t  log;

    wrong = 0;
    before = greatest();

    if (log_attach(&log, always) != NGX_OK
        || log_requests(&log, token, 2) != 2)
    {
        diag("does not go on after %jd", (intmax_t) point);
        wrong++;
    }

    if (log_tokens[token].seq <= before) {
        diag("number %" PRIu64 " is used again after %jd",
             log_tokens[token].seq, (intmax_t) point);
        wrong++;
    }

    ngx_analytics_log_close(&log);

    return wrong + is_wrong(NULL, "power cut after", point);
}


static void
test_power_cut(act_pt act, ngx_uint_t always, const char *what)
{
    ngx_int_t   point;
    ngx_uint_t  wrong;

    wrong = 0;

    for (point = 1; point < 10000; point++) {
        log_fresh();
        disk_start();

        if (!killed_at(act, always, point)) {
            break;
        }

        if (!always) {
            forget_unsynced();
        }

        disk_power_cut(point % DISK_WAYS);
        wrong += after_power_cut(always, point, 100);

        /* and again, right behind */

        if (!always) {
            log_tokens[100].acked = 0;
            log_tokens[101].acked = 0;
        }

        disk_power_cut(point / DISK_WAYS % DISK_WAYS);
        wrong += after_power_cut(always, point, 102);
    }

    disk->on = 0;

    ok(wrong == 0 && point > 100, "%s: the power goes after each of %jd "
       "points, what was synced survives and no number is used again, sync "
       "%s", what, (intmax_t) point, always ? "always" : "now and then");
}


/*
 * Workers that are killed at any moment at which they append, and started
 * anew.  They do not come to their end while who kills them is late: each is
 * killed in one of the six rounds from the one it starts in.  Who is alone,
 * and dies as it comes, may leave no control file, and then numbers are passed
 * over: that is what test_all_killed() is about.
 */

static void
serve(uint32_t token, uint32_t round, ngx_uint_t always)
{
    ngx_uint_t            i;
    ngx_analytics_log_t   log;
    ngx_analytics_fail_t  fail;

    must(log_attach(&log, always) == NGX_OK);

    for (i = 0; i < WORK; i++) {
        while (i >= SHARE * (1 + (ngx_uint_t)
                                 (__atomic_load_n(kills, __ATOMIC_RELAXED)
                                  - round)))
        {
            (void) sched_yield();
        }

        must(log_request(&log, token++, 1, &fail) == NGX_OK);

        if (i % 10 == 9) {
            must(ngx_analytics_log_sync(&log, &fail) == NGX_OK);
        }
    }

    _exit(0);
}


static uint64_t
acked(void)
{
    size_t    i;
    uint64_t  n;

    for (i = 0, n = 0; i < log_limit; i++) {
        n += __atomic_load_n(&log_tokens[i].acked, __ATOMIC_RELAXED);
    }

    return n;
}


static ngx_uint_t
lives(pid_t pid)
{
    siginfo_t  info;

    info.si_pid = 0;
    must(waitid(P_PID, (id_t) pid, &info, WEXITED|WNOHANG|WNOWAIT) == 0);

    return info.si_pid == 0;
}


static void
test_workers(ngx_uint_t always)
{
    int         rc, bad;
    pid_t       pids[3] = { 0, 0, 0 };
    uint64_t    before;
    uint32_t    first[3] = { 0, 0, 0 };
    ngx_uint_t  i, victim, killed;

    log_fresh();
    killed = 0;
    bad = 0;

    for (i = 0; i < LOG_TOKENS / WORK; i++) {
        victim = (i * 7 + i / 5) % 3;

        /* in this order: what they may do now is what is waited for */

        before = acked();
        __atomic_store_n(kills, (uint32_t) i, __ATOMIC_RELAXED);

        if (pids[victim]) {
            while ((acked() < before + 5
                    || !__atomic_load_n(&log_tokens[first[victim]].acked,
                                        __ATOMIC_RELAXED))
                   && lives(pids[victim]))
            {
                (void) sched_yield();
            }

            (void) kill(pids[victim], SIGKILL);
            rc = log_wait(pids[victim]);
            killed += (rc == 1000 + SIGKILL);
            bad += (rc != 1000 + SIGKILL && rc != 0);
        }

        fflush(NULL);
        first[victim] = (uint32_t) (i * WORK);
        pids[victim] = fork();

        if (pids[victim] == 0) {
            serve(first[victim], (uint32_t) i, always);
        }
    }

    __atomic_store_n(kills, WORK, __ATOMIC_RELAXED);

    for (i = 0; i < 3; i++) {
        if (pids[i]) {
            bad += (log_wait(pids[i]) != 0);
        }
    }

    ok(bad == 0 && killed == LOG_TOKENS / WORK - 3, "%zu workers are killed "
       "while they append, sync %s", (size_t) killed,
       always ? "always" : "now and then");
    log_ok("nothing acknowledged is missing or doubled");
    is_u64(log_walk.jumps, 0, "numbers are without gaps");
    ok(log_reads_back(log_dir, log_walk.records, log_walk.events),
       "the reader agrees");
}


int
main(void)
{
    ngx_uint_t  always;

    log_begin();

    kills = mmap(NULL, sizeof(uint32_t), PROT_READ|PROT_WRITE,
                 MAP_SHARED|MAP_ANONYMOUS, -1, 0);
    must(kills != MAP_FAILED);

    for (always = 0; always < 2; always++) {
        test_killed(append_some, always, "append, roll and sync");
        test_killed(append_and_fail, always, "failed syncs");
        test_all_killed(append_some, always, "append, roll and sync");
        test_all_killed(append_and_fail, always, "failed syncs");
        test_power_cut(append_some, always, "append, roll and sync");

        log_limit = LOG_TOKENS;
        test_workers(always);
        log_limit = 512;
    }

    return done_testing();
}
