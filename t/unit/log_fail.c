
/*
 * System calls fail: what is refused leaves nothing behind, what was
 * acknowledged stays, and the log serves by itself once it is over.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "log_disk.h"


/* The n-th of these calls fails, or all from then on. */

static void
set_fail(ngx_uint_t calls, ngx_int_t at, ngx_uint_t all, int err)
{
    disk_fail.calls = calls;
    disk_fail.at = at;
    disk_fail.all = all;
    disk_fail.err = err;
    disk_fail.hits = 0;
}


/* Once it is over: whether the log serves by itself. */

static ngx_uint_t
heals(ngx_analytics_log_t *log, ngx_int_t at)
{
    ngx_uint_t            wrong;
    ngx_analytics_fail_t  fail;

    set_fail(0, 0, 0, 0);

    wrong = 0;

    /* who finds that others' events must be cut says so, once */

    if (ngx_analytics_log_sync(log, &fail) != NGX_OK
        && (log->control->failed
            || ngx_analytics_log_sync(log, &fail) != NGX_OK))
    {
        diag("failed at %jd and does not sync: %s", (intmax_t) at, fail.text);
        wrong++;
    }

    if (log_requests(log, 100, 12) != 12
        || ngx_analytics_log_sync(log, &fail) != NGX_OK)
    {
        diag("failed at %jd and does not go on: %s", (intmax_t) at, fail.text);
        wrong++;
    }

    wrong += is_wrong(log, "failed at", at);

    if (log_walk.jumps || log->control->failed) {
        wrong++;
    }

    return wrong;
}


static void
test_failing(ngx_uint_t calls, int err, ngx_uint_t all, ngx_uint_t always)
{
    ngx_int_t             at;
    ngx_uint_t            wrong, i, refused;
    ngx_analytics_log_t   log;
    ngx_analytics_fail_t  fail;

    wrong = 0;
    refused = 0;

    for (at = 1; at < 1000; at++) {
        log_fresh();
        must(log_attach(&log, always) == NGX_OK);
        log.segment_size = 400;

        set_fail(calls, at, all, err);

        for (i = 0; i < 12; i++) {
            if (log_request(&log, (uint32_t) i, 1, &fail) != NGX_OK) {
                refused++;

                /* at once, unless the disk is such that it cannot be */

                if (!log.control->writing && *log_check(log_dir)) {
                    diag("refused at %jd: %s", (intmax_t) at, log_walk.wrong);
                    wrong++;
                }
            }

            if (i % 5 == 4) {
                (void) ngx_analytics_log_sync(&log, &fail);
            }
        }

        if (disk_fail.hits == 0) {
            ngx_analytics_log_close(&log);
            break;
        }

        wrong += heals(&log, at);
        ngx_analytics_log_close(&log);
    }

    set_fail(0, 0, 0, 0);

    ok(wrong == 0 && at > 3 && refused > 3, "%s fail, %s %jd-th on, sync %s: "
       "%zu requests are refused, nothing of them is left",
       calls == DISK_SYNC ? "syncs" : calls == DISK_PWRITE ? "writes"
                                    : "all calls",
       all ? "all from the" : "one, up to the", (intmax_t) at,
       always ? "always" : "now and then", (size_t) refused);
}


/* One process finds that the log cannot be synced, another one was there. */

static void
test_failed_by_another(void)
{
    uint64_t              epoch;
    ngx_analytics_log_t   log, other;
    ngx_analytics_fail_t  fail;

    log_fresh();
    (void) log_attach(&log, 1);
    (void) log_attach(&other, 1);
    (void) log_requests(&log, 0, 1);
    (void) log_requests(&other, 1, 1);

    /* both append; one of them syncs, and fails */

    log_tokens[2].tried = 1;
    log_tokens[3].tried = 1;
    (void) log_store(&log, 2, 1, &epoch, &fail);
    (void) log_store(&other, 3, 1, &epoch, &fail);

    set_fail(DISK_SYNC, 1, 0, EIO);
    is_i64(ngx_analytics_log_sync(&log, &fail), NGX_ERROR, "a sync fails");
    is_i64(fail.err, EIO, "which is told");
    ok(strstr(fail.text, "fdatasync") != NULL, "as what it is");
    set_fail(0, 0, 0, 0);

    ok(other.control->epoch != epoch, "the other one sees that it was cut");
    is_i64(log_request(&other, 4, 1, &fail), NGX_ERROR,
           "nothing is appended then");
    is_i64(fail.err, EIO, "for that reason");

    is_i64(ngx_analytics_log_sync(&other, &fail), NGX_OK, "it is mended");
    is_i64(log_request(&other, 5, 1, &fail), NGX_OK, "and goes on,");
    is_i64(log_request(&log, 6, 1, &fail), NGX_OK, "also for the first");

    log_tokens[2].refused = 1;
    log_tokens[3].refused = 1;
    log_ok("only what was acknowledged is there");
    is_u64(log_walk.next, 5, "without gaps");

    ngx_analytics_log_close(&log);
    ngx_analytics_log_close(&other);
}


/* The last segment is cut off while another process has it open. */

static void
test_segment_cut(void)
{
    uint64_t              position, epoch;
    ngx_analytics_log_t   log, other;
    ngx_analytics_fail_t  fail;

    log_fresh();
    (void) log_attach(&log, 1);
    (void) log_attach(&other, 1);
    (void) log_requests(&log, 0, 1);
    (void) log_requests(&other, 1, 1);

    position = ngx_analytics_log_position(&log);
    log.segment_size = position;

    log_tokens[2].tried = 1;
    log_tokens[2].refused = 1;
    log_tokens[3].tried = 1;
    log_tokens[3].refused = 1;

    (void) log_store(&log, 2, 1, &epoch, &fail);
    (void) log_store(&other, 3, 1, &epoch, &fail);
    is_u64(other.base, position, "both append to a new segment");

    set_fail(DISK_SYNC, 1, 1, EIO);
    (void) ngx_analytics_log_sync(&log, &fail);
    is_u64(ngx_analytics_log_position(&log), position,
           "which cannot be synced, and is cut off");
    set_fail(0, 0, 0, 0);

    (void) ngx_analytics_log_sync(&log, &fail);
    is_u64(log_requests(&log, 6, 1), 1, "another one takes its place");
    log.segment_size = LOG_SEGMENT;
    other.segment_size = LOG_SEGMENT;
    is_u64(log_requests(&other, 4, 1), 1, "the other one goes on in it");
    is_u64(log_requests(&log, 5, 1), 1, "as does the first");

    log_ok("all is there");
    is_u64(log_walk.next, 6, "without gaps");
    is_u64(log_walk.segments, 2, "in two segments");

    ngx_analytics_log_close(&log);
    ngx_analytics_log_close(&other);
}


/* One more event that the disk does not take: it is cut off again. */

static void
lose_one(ngx_analytics_log_t *log, uint32_t token, uint64_t *epoch,
    uint64_t *position)
{
    ngx_analytics_fail_t  fail;

    (void) log_store(log, token, 1, epoch, &fail);
    *position = ngx_analytics_log_position(log);

    set_fail(DISK_SYNC, 1, 0, EIO);
    must(ngx_analytics_log_sync(log, &fail) == NGX_ERROR);
    set_fail(0, 0, 0, 0);

    must(ngx_analytics_log_sync(log, &fail) == NGX_OK);
}


/* Who has appended looks late, when others' events were cut off behind his. */

static void
test_cuts(void)
{
    uint64_t              epochs[4], ends[4], epoch, position;
    ngx_uint_t            i;
    ngx_analytics_log_t   log;
    ngx_analytics_fail_t  fail;

    log_fresh();
    (void) log_attach(&log, 1);

    (void) log_store(&log, 0, 1, &epochs[0], &fail);
    ends[0] = ngx_analytics_log_position(&log);
    must(ngx_analytics_log_sync(&log, &fail) == NGX_OK);

    lose_one(&log, 1, &epochs[1], &ends[1]);

    (void) log_store(&log, 2, 1, &epochs[2], &fail);
    ends[2] = ngx_analytics_log_position(&log);
    must(ngx_analytics_log_sync(&log, &fail) == NGX_OK);

    lose_one(&log, 3, &epochs[3], &ends[3]);

    ok(!ngx_analytics_log_was_cut(&log, epochs[0], ends[0]),
       "what was synced before two cuts was not cut off");
    ok(ngx_analytics_log_was_cut(&log, epochs[1], ends[1]),
       "what the first cut took was, though the log is longer again");
    ok(!ngx_analytics_log_was_cut(&log, epochs[2], ends[2]),
       "what came between them was not");
    ok(ngx_analytics_log_was_cut(&log, epochs[3], ends[3]),
       "what the second cut took was");

    for (i = 0; i < NGX_ANALYTICS_CUTS - 3; i++) {
        lose_one(&log, 4, &epoch, &position);
    }

    ok(!ngx_analytics_log_was_cut(&log, epochs[0], ends[0])
       && ngx_analytics_log_was_cut(&log, epochs[1], ends[1])
       && !ngx_analytics_log_was_cut(&log, epochs[2], ends[2]),
       "nor do %d cuts change that", NGX_ANALYTICS_CUTS - 1);

    lose_one(&log, 4, &epoch, &position);

    ok(ngx_analytics_log_was_cut(&log, epochs[0], ends[0]),
       "what is no longer known is not promised");

    ngx_analytics_log_close(&log);
}


/*
 * What could not be synced could not be cut either: somebody else's torn
 * bytes are behind it, and cannot be removed.
 */
static void
test_cut_later(void)
{
    uint64_t              epoch;
    ngx_analytics_log_t   one, two, three;
    ngx_analytics_fail_t  fail;

    log_fresh();
    (void) log_attach(&one, 1);
    (void) log_attach(&two, 1);
    (void) log_attach(&three, 1);
    (void) log_requests(&one, 0, 1);

    log_tokens[1].tried = 1;
    log_tokens[2].tried = 1;
    (void) log_store(&one, 1, 1, &epoch, &fail);
    (void) log_store(&two, 2, 1, &epoch, &fail);

    set_fail(DISK_PWRITE|DISK_SYNC|DISK_CUT, 1, 1, EIO);
    is_u64(log_requests(&three, 3, 1), 0, "a write fails, and its removal");

    log_tokens[1].refused = 1;
    is_i64(ngx_analytics_log_sync(&one, &fail), NGX_ERROR,
           "then nobody can sync");
    set_fail(0, 0, 0, 0);

    log_tokens[2].refused = 1;
    is_i64(ngx_analytics_log_sync(&two, &fail), NGX_ERROR,
           "once it is over, who waits is told that it was cut");
    log_ok("nothing that was refused is there");

    is_i64(ngx_analytics_log_sync(&two, &fail), NGX_OK, "all can sync");
    is_u64(log_requests(&three, 4, 1), 1, "and append");
    log_ok("all is there");

    ngx_analytics_log_close(&one);
    ngx_analytics_log_close(&two);
    ngx_analytics_log_close(&three);
}


/* Likewise, and then all end: the cut is made by who comes next. */

static void
test_cut_by_next(void)
{
    uint64_t              epoch;
    ngx_uint_t            i;
    ngx_analytics_log_t   log;
    ngx_analytics_fail_t  fail;

    log_fresh();
    (void) log_attach(&log, 1);
    log.segment_size = 400;
    (void) log_requests(&log, 0, 2);

    for (i = 2; i < 6; i++) {
        log_tokens[i].tried = 1;
        log_tokens[i].refused = 1;
        (void) log_store(&log, (uint32_t) i, 1, &epoch, &fail);
    }

    is_u64(log_read(log_dir)->segments, 2, "some are appended, unsynced");

    set_fail(DISK_SYNC|DISK_CUT|DISK_UNLINK, 1, 1, EIO);
    is_i64(ngx_analytics_log_sync(&log, &fail), NGX_ERROR,
           "a sync fails, and the cut");
    set_fail(0, 0, 0, 0);
    ngx_analytics_log_close(&log);

    (void) log_attach(&log, 1);
    ok(!log.lost && ngx_analytics_log_tail(&log)->seq == 3,
       "a new process finds what was left");
    log_ok("nothing that was refused is there");
    is_u64(log_requests(&log, 6, 5), 5, "it goes on");
    log_ok("all is there");
    ngx_analytics_log_close(&log);
}


/*
 * Linux forgets what it could not write.  A sync that succeeds later is true
 * only for what was written anew.
 */
static void
test_written_anew(ngx_uint_t first, int err)
{
    ngx_uint_t            i;
    ngx_analytics_log_t   log;
    ngx_analytics_fail_t  fail;

    log_fresh();
    disk_start();

    (void) log_attach(&log, 0);
    log.segment_size = 400;
    (void) log_requests(&log, 0, 2);
    (void) ngx_analytics_log_sync(&log, &fail);
    (void) log_requests(&log, 2, 10);

    set_fail(DISK_SYNC, 1, 1, err);

    for (i = 0; i < 3; i++) {
        (void) ngx_analytics_log_sync(&log, &fail);
    }

    set_fail(0, 0, 0, 0);

    if (first) {
        ngx_analytics_log_close(&log);
        (void) log_attach(&log, 0);

    } else {
        (void) ngx_analytics_log_sync(&log, &fail);
    }

    is_u64(ngx_analytics_log_synced(&log), ngx_analytics_log_position(&log),
           "syncs failed (%s); at last %s", strerror(err),
           first ? "a new process attaches" : "one succeeds");
    ngx_analytics_log_close(&log);

    disk_power_cut(DISK_NOTHING);
    disk->on = 0;

    log_ok("the power goes: what is called synced is there");
    is_u64(log_walk.events, 12, "all of it");
}


/* A directory that was made just now may be gone when the power goes. */

static void
test_parent(void)
{
    ngx_uint_t            n;
    ngx_analytics_log_t   log;
    ngx_analytics_fail_t  fail;

    log_fresh();
    n = disk_parents;

    set_fail(DISK_SYNC, 1, 0, EIO);
    log_config(&log, 0);
    is_i64(ngx_analytics_log_attach(&log, &fail), NGX_ERROR,
           "a log is not begun whose directory's name cannot be synced");
    set_fail(0, 0, 0, 0);

    is_i64(log_attach(&log, 0), NGX_OK, "then it can be");
    ok(disk_parents == n + 1, "and is");
    ngx_analytics_log_close(&log);
}


/* What was acknowledged is not cut, whoever's sync fails. */

static void
test_promised(void)
{
    uint64_t              epoch;
    ngx_analytics_log_t   always, never;
    ngx_analytics_fail_t  fail;

    log_fresh();
    (void) log_attach(&always, 1);
    (void) log_attach(&never, 0);

    log_tokens[0].tried = 1;
    (void) log_store(&always, 0, 1, &epoch, &fail);
    (void) log_requests(&never, 1, 1);
    log_tokens[2].tried = 1;
    log_tokens[2].refused = 1;
    (void) log_store(&always, 2, 1, &epoch, &fail);

    set_fail(DISK_SYNC, 1, 0, EIO);
    is_i64(ngx_analytics_log_sync(&always, &fail), NGX_ERROR, "a sync fails");
    set_fail(0, 0, 0, 0);

    log_ok("what another one has acknowledged unsynced stays");
    is_u64(log_walk.events, 2, "with what was before it");
    is_i64(ngx_analytics_log_sync(&never, &fail), NGX_OK, "it is mended");
    is_u64(log_requests(&never, 3, 1), 1, "it goes on");
    log_ok("and all is there");

    ngx_analytics_log_close(&always);
    ngx_analytics_log_close(&never);
}


/* Attaching fails, too; the log is not the worse for it. */

static void
test_attach_fails(ngx_uint_t torn)
{
    char                  name[NGX_ANALYTICS_LOG_NAME], path[128];
    ngx_int_t             at;
    ngx_uint_t            wrong;
    ngx_analytics_log_t   log;
    ngx_analytics_fail_t  fail;

    wrong = 0;

    for (at = 1; at < 1000; at++) {
        log_fresh();
        must(log_attach(&log, 0) == NGX_OK);
        must(log_requests(&log, 0, 5) == 5);
        ngx_analytics_segment_name(name, ngx_analytics_log_position(&log));
        ngx_analytics_log_close(&log);

        if (torn) {
            log_poke("00000000000000000000.log", (off_t) atoll(name), "torn",
                     4);
            snprintf(path, sizeof(path), "%s/%s", log_dir, name);
            close(open(path, O_WRONLY|O_CREAT, 0600));
            log_poke("control", 0, "damage", 6);
        }

        log_config(&log, 0);
        set_fail(DISK_ALL, at, 0, ENOSPC);

        if (ngx_analytics_log_attach(&log, &fail) == NGX_OK) {
            ngx_analytics_log_close(&log);

            if (disk_fail.hits == 0) {
                break;
            }

        } else if (log.created || log.dir != -1 || fail.err != ENOSPC) {
            diag("failed at %jd: %d, %s", (intmax_t) at, fail.err, fail.text);
            wrong++;
        }

        set_fail(0, 0, 0, 0);

        if (log_attach(&log, 0) != NGX_OK || log_requests(&log, 5, 3) != 3) {
            wrong++;
        }

        ngx_analytics_log_close(&log);
        wrong += is_wrong(NULL, "attach failed at", at);
    }

    set_fail(0, 0, 0, 0);

    ok(wrong == 0 && at > 5, "attach fails at each of %jd calls%s, and "
       "succeeds later", (intmax_t) at, torn ? " with a torn log" : "");
}


int
main(void)
{
    ngx_uint_t  always;

    log_begin();

    for (always = 0; always < 2; always++) {
        test_failing(DISK_PWRITE, ENOSPC, 0, always);
        test_failing(DISK_PWRITE, ENOSPC, 1, always);
        test_failing(DISK_SYNC, EIO, 0, always);
        test_failing(DISK_SYNC, EIO, 1, always);
        test_failing(DISK_ALL, EIO, 0, always);
        test_failing(DISK_ALL, EIO, 1, always);
    }

    test_failed_by_another();
    test_segment_cut();
    test_cuts();
    test_cut_later();
    test_cut_by_next();
    test_written_anew(0, EIO);
    test_written_anew(1, EIO);
    test_written_anew(0, ENOMEM);
    test_written_anew(1, ENOMEM);
    test_parent();
    test_promised();
    test_attach_fails(0);
    test_attach_fails(1);

    return done_testing();
}
