
/*
 * Attaching to a log: who may, and in what state it is found: torn, damaged,
 * copied, or left by a machine that lost power.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "log_lib.h"
#include "ngx_analytics_crc32c.h"

#include <sys/file.h>


#define CONTROL(field)  offsetof(ngx_analytics_control_t, field)


/* Closes as the last process does that ends in peace. */

static void
close_clean(ngx_analytics_log_t *log)
{
    ngx_analytics_fail_t  fail;

    if (ngx_analytics_log_leave(log) != NGX_OK
        || ngx_analytics_log_sync(log, &fail) != NGX_OK)
    {
        diag("the log cannot be closed");
        exit(2);
    }

    ngx_analytics_log_clean(log);
    ngx_analytics_log_close(log);
}


/* As if the machine had been started anew. */

static void
another_boot(void)
{
    log_poke("control", CONTROL(boot), "another boot", 12);
}


static void
cut_file(uint64_t base, off_t size)
{
    char  path[128];

    snprintf(path, sizeof(path), "%s/%020" PRIu64 ".log", log_dir, base);

    if (truncate(path, size) == -1) {
        diag("truncate: %s", strerror(errno));
        exit(2);
    }
}


static ngx_int_t
attach_as(int64_t master, int64_t parent, int64_t *owner)
{
    ngx_int_t             rc;
    ngx_analytics_log_t   log;
    ngx_analytics_fail_t  fail;

    log_config(&log, 0);
    log.master = master;
    log.master_parent = parent;

    rc = ngx_analytics_log_attach(&log, &fail);
    *owner = log.owner;

    ngx_analytics_log_close(&log);

    return rc;
}


static ngx_int_t
probe_as(int64_t master, int64_t parent)
{
    ngx_analytics_log_t  log;

    log_config(&log, 0);
    log.master = master;
    log.master_parent = parent;

    return ngx_analytics_log_probe(&log);
}


/* A process that does nothing; its id is that of a new binary's master. */

static pid_t
idle_process(void)
{
    pid_t  pid;

    fflush(NULL);
    pid = fork();

    if (pid == 0) {
        for ( ;; ) {
            (void) pause();
        }
    }

    if (pid == -1) {
        exit(2);
    }

    return pid;
}


static void
test_owner(void)
{
    pid_t                pid;
    int64_t              owner;
    ngx_analytics_log_t  log;

    log_fresh();

    is_i64(probe_as(100, 99), NGX_OK, "an empty directory is nobody's");
    is_u64(log_mode("lock.attached"), 0, "to look creates nothing");

    (void) log_attach(&log, 0);       /* of 100, a child of 99 */

    is_i64(attach_as(100, 99, &owner), NGX_OK, "the same master may attach");
    is_i64(attach_as(500, 98, &owner), NGX_BUSY, "a stranger may not,");
    is_i64(owner, 100, "and is told whose it is");
    is_i64(attach_as(500, 0, &owner), NGX_BUSY, "whatever his parent");
    is_i64(probe_as(500, 98), NGX_BUSY, "its master sees that before");
    is_i64(probe_as(100, 99), NGX_OK, "not so the owner,");
    is_i64(probe_as(200, 100), NGX_OK, "nor its child");
    is_i64(log.control->owner, 100, "looking changes nothing");

    pid = idle_process();

    is_i64(attach_as(pid, 100, &owner), NGX_OK, "a new binary may attach");
    is_i64(log.control->owner, pid, "and owns it then");
    is_i64(attach_as(100, 99, &owner), NGX_OK, "the old one may go on");
    is_i64(log.control->owner, pid, "beside it");

    (void) kill(pid, SIGKILL);
    (void) log_wait(pid);

    is_i64(attach_as(100, 99, &owner), NGX_OK, "and without it");
    is_i64(log.control->owner, 100, "and has it back");
    is_i64(attach_as(300, 99, &owner), NGX_OK,
           "so may another new binary of the same master");
    is_i64(attach_as(500, 1, &owner), NGX_BUSY, "strangers still may not");

    ngx_analytics_log_close(&log);

    is_i64(attach_as(500, 0, &owner), NGX_OK, "they may once all have left");
    is_i64(probe_as(100, 99), NGX_OK, "and be followed by others");

    log_config(&log, 0);
    log.master_parent = 0;
    (void) ngx_analytics_log_attach(&log, &(ngx_analytics_fail_t) { .err = 0 });
    is_i64(attach_as(500, 0, &owner), NGX_BUSY,
           "masters of no parent are no relatives");
    ngx_analytics_log_close(&log);
}


/* In two containers, all masters are called 1 and have no parent. */

static void
test_containers(void)
{
    ngx_analytics_log_t   log, other;
    ngx_analytics_fail_t  fail;

    log_fresh();

    log_config(&log, 0);
    log.master = 1;
    log.master_parent = 0;
    log.space = 4026531836;
    other = log;
    is_i64(ngx_analytics_log_attach(&log, &fail), NGX_OK, "a container");
    is_i64(ngx_analytics_log_probe(&other), NGX_OK, "its master may look");
    is_i64(ngx_analytics_log_attach(&other, &fail), NGX_OK, "and attach");
    ngx_analytics_log_close(&other);

    other.space++;
    is_i64(ngx_analytics_log_probe(&other), NGX_BUSY,
           "that of another one may not, though it has the same number");
    ok(other.owner == 1 && other.elsewhere, "and is told whose it is");
    is_i64(ngx_analytics_log_attach(&other, &fail), NGX_BUSY,
           "nor may its workers");
    ok(other.owner == 1 && other.elsewhere, "who are told, too");
    ngx_analytics_log_close(&log);

    is_i64(ngx_analytics_log_attach(&other, &fail), NGX_OK,
           "when the first one has gone they may");
    ngx_analytics_log_close(&other);
}


/* Holds a share of the directory for a moment more, as one who is dying. */

static pid_t
dying_process(void)
{
    int    fd, pipes[2];
    char   c, path[128];
    pid_t  pid;

    snprintf(path, sizeof(path), "%s/lock.attached", log_dir);

    if (pipe(pipes) == -1) {
        exit(2);
    }

    fflush(NULL);
    pid = fork();

    if (pid == 0) {
        fd = open(path, O_RDWR);
        (void) flock(fd, LOCK_SH);
        (void) close(pipes[0]);
        (void) close(pipes[1]);
        usleep(60000);
        _exit(0);
    }

    (void) close(pipes[1]);

    if (read(pipes[0], &c, 1) != 0) {
        exit(2);
    }

    (void) close(pipes[0]);

    return pid;
}


/* The kernel lets go of what a dead process held in its own time. */

static void
test_dead_owner(void)
{
    pid_t                 pid;
    ngx_int_t             rc;
    ngx_uint_t            tries;
    ngx_analytics_log_t   log;
    ngx_analytics_fail_t  fail;

    log_fresh();

    pid = idle_process();

    log_config(&log, 0);
    log.master = pid;
    log.master_parent = 0;
    (void) ngx_analytics_log_attach(&log, &fail);

    is_i64(probe_as(500, 98), NGX_BUSY, "an owner who lives keeps others out");

    (void) kill(pid, SIGKILL);
    (void) log_wait(pid);
    pid = dying_process();
    ngx_analytics_log_close(&log);

    /* on a busy machine his end may take longer than a master waits */

    tries = 3;

    do {
        rc = probe_as(500, 98);
    } while (rc == NGX_BUSY && --tries);

    is_i64(rc, NGX_OK,
           "one who is dead does not, once his processes have gone");

    (void) log_wait(pid);
}


static void
test_zones(void)
{
    ngx_analytics_log_t   old, new;
    ngx_analytics_fail_t  fail;

    log_fresh();
    (void) log_attach(&old, 0);
    (void) log_requests(&old, 0, 3);

    log_config(&new, 0);
    new.zone = 2;
    (void) ngx_analytics_log_attach(&new, &fail);

    is_u64(new.control->zone, 2, "the zone attached last");
    is_u64(new.control->foreign, ngx_analytics_log_position(&old),
           "does not know what was before");

    (void) log_requests(&new, 10, 1);
    ok(new.control->foreign < ngx_analytics_log_position(&new),
       "it knows its own");
    (void) log_requests(&old, 20, 30);
    is_u64(new.control->foreign, ngx_analytics_log_position(&new),
           "but not what the old one appends");

    ngx_analytics_log_close(&old);
    ngx_analytics_log_close(&new);
}


static void
test_leave(void)
{
    ngx_analytics_log_t   one, two, three;
    ngx_analytics_fail_t  fail;

    log_fresh();
    (void) log_attach(&one, 0);
    (void) log_attach(&two, 0);

    is_i64(ngx_analytics_log_leave(&one), NGX_BUSY, "another one is there");
    ngx_analytics_log_close(&one);
    is_i64(ngx_analytics_log_leave(&two), NGX_OK, "and is the last one");

    /* nobody can attach now; a descriptor of the lock alone is enough to see */

    log_config(&three, 0);
    three.master = 500;
    three.master_parent = 98;
    is_i64(ngx_analytics_log_probe(&three), NGX_BUSY, "it has all");

    is_u64(log_requests(&two, 0, 1), 1, "it can still append,");
    is_i64(ngx_analytics_log_sync(&two, &fail), NGX_OK, "sync,");
    ngx_analytics_log_clean(&two);
    is_u64(two.control->clean, 1, "and say that it is done");
    ngx_analytics_log_close(&two);

    (void) log_attach(&one, 0);
    is_u64(one.control->clean, 0, "who attaches begins anew");
    (void) log_requests(&one, 1, 1);
    ngx_analytics_log_clean(&one);
    is_u64(one.control->clean, 0, "what is not synced is not done");
    ngx_analytics_log_close(&one);
}


/* Numbers that were given out may not be told from what is left. */

static void
test_power(void)
{
    char                 path[128];
    ngx_analytics_log_t  log;

    log_fresh();
    (void) log_attach(&log, 0);
    (void) log_requests(&log, 0, 5);
    ngx_analytics_log_close(&log);

    (void) log_attach(&log, 0);
    ok(!log.lost && ngx_analytics_log_tail(&log)->seq == 6,
       "killed processes lose no numbers");
    (void) log_requests(&log, 5, 1);
    ngx_analytics_log_close(&log);

    another_boot();
    (void) log_attach(&log, 0);
    ok(log.lost, "another boot may have");
    is_u64(ngx_analytics_log_tail(&log)->seq, 1 + LOG_RESERVE,
           "numbers go on behind those that were reserved");
    is_u64(log.control->reserved, 1 + 2 * LOG_RESERVE, "as many again are");
    (void) log_requests(&log, 6, 3);
    log_ok("all are there");
    is_u64(log_walk.jumps, 1, "behind one gap");
    ok(log_reads_back(log_dir, 9, 9), "the reader agrees");

    close_clean(&log);
    another_boot();
    (void) log_attach(&log, 0);
    ok(!log.lost && ngx_analytics_log_tail(&log)->seq == LOG_RESERVE + 4,
       "but not after it was closed in peace");
    (void) log_requests(&log, 9, 1);
    ngx_analytics_log_close(&log);

    another_boot();
    (void) log_attach(&log, 0);
    ok(log.lost, "which is true only until it is used again");
    ngx_analytics_log_close(&log);

    snprintf(path, sizeof(path), "%s/control", log_dir);
    (void) unlink(path);

    (void) log_attach(&log, 0);
    ok(log.lost, "nor without a control file");
    (void) log_requests(&log, 10, 1);
    ngx_analytics_log_close(&log);

    log_poke("control", CONTROL(id), "of another log..", 16);
    (void) log_attach(&log, 0);
    ok(log.lost, "nor with that of another log");
    (void) log_requests(&log, 11, 1);
    ngx_analytics_log_close(&log);

    log_ok("no number was given out twice");
    is_u64(log_walk.jumps, 4, "each time some were passed over");
    ok(log_reads_back(log_dir, 12, 12), "the reader agrees");
}


static void
another_file(void)
{
    log_poke("control", CONTROL(file[1]), "another", 7);
}


static void
another_birth(void)
{
    log_poke("control", CONTROL(file[2]), "another", 7);
}


/* As those leave a file that keep the times of what they copy. */

static void
other_times(void)
{
    char             path[128];
    struct timespec  times[2] = { { 1, 0 }, { 1, 0 } };

    snprintf(path, sizeof(path), "%s/control", log_dir);
    (void) utimensat(AT_FDCWD, path, times, 0);
}


/* Both tails: no event came in for a long time. */

static void
long_ago(void)
{
    int64_t  received = 1000000;

    log_poke("control", CONTROL(tails[0].received), &received, 8);
    log_poke("control", CONTROL(tails[1].received), &received, 8);
}


/* Appends, closes, changes files, and attaches: whether numbers are lost. */

static ngx_uint_t
lost_after(ngx_uint_t clean, void (*change)(void))
{
    ngx_uint_t           lost;
    ngx_analytics_log_t  log;

    static uint32_t  token;

    (void) log_attach(&log, 0);
    (void) log_requests(&log, token++, 1);

    if (clean) {
        close_clean(&log);

    } else {
        ngx_analytics_log_close(&log);
    }

    if (change) {
        change();
    }

    (void) log_attach(&log, 0);
    lost = log.lost;
    ngx_analytics_log_close(&log);

    return lost;
}


/* The original of a copy may have given out more than it tells of. */

static void
test_copied(void)
{
    const char  *how;
    ngx_uint_t   clean;

    log_fresh();

    for (clean = 0; clean < 2; clean++) {
        how = clean ? "closed" : "killed";

        is_u64(lost_after(clean, NULL), 0, "%s: the log is where it was",
               how);
        is_u64(lost_after(clean, another_file), 1,
               "%s: its files are others", how);
        is_u64(lost_after(clean, another_birth), 1,
               "%s: or later ones that have their numbers", how);
        is_u64(lost_after(clean, other_times), 1,
               "%s: or have other times", how);
        is_u64(lost_after(clean, long_ago), 1,
               "%s: or were written to when no event came in", how);
        is_u64(lost_after(clean, NULL), 0,
               "%s: a copy goes on as any log", how);
    }

    log_ok("no number was given out twice");
}


static ngx_uint_t  told;

static void
tell(ngx_analytics_log_t *log, const char *text)
{
    told += (strstr(text, ".checkpoint\" is not used: it is ahead") != NULL);
}


/*
 * What was made of more than there is would be within the log again when
 * that goes on: a copy begins a segment at once.
 */

static void
test_ahead(void)
{
    char                  name[64], path[128];
    uint64_t              end;
    ngx_uint_t            i;
    ngx_analytics_log_t   log;
    ngx_analytics_fail_t  fail;

    log_fresh();
    (void) log_attach(&log, 0);
    (void) log_requests(&log, 0, 3);
    end = ngx_analytics_log_position(&log);
    ngx_analytics_log_close(&log);

    for (i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%020" PRIu64 ".checkpoint", log_dir,
                 end + i * 64);
        close(open(path, O_WRONLY|O_CREAT, 0600));
    }

    another_boot();
    log_config(&log, 0);
    log.tell = tell;
    is_i64(ngx_analytics_log_attach(&log, &fail), NGX_OK, "a copy is opened");
    ok(log.lost && ngx_analytics_log_position(&log) > end + 64,
       "and is longer at once");

    for (i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "%020" PRIu64 ".checkpoint%s",
                 end + i * 64, i ? ".damaged" : "");
        is_u64(log_mode(name), 0600, "%s",
               i ? "a checkpoint ahead of it was put aside"
                 : "one of all there was is left");
    }

    is_u64(told, 2, "each is told");
    ngx_analytics_log_close(&log);
}


/*
 * A log of six records in two segments is cut at each byte of the last one,
 * or its bits are flipped there.
 */

static void
make_six(uint64_t *last, uint64_t *end, uint64_t *base)
{
    ngx_analytics_log_t  log;

    log_fresh();
    (void) log_attach(&log, 0);
    log.segment_size = 256;
    (void) log_requests(&log, 0, 6);
    ngx_analytics_log_close(&log);

    if (*log_check(log_dir)) {
        diag("%s", log_walk.wrong);
        exit(2);
    }

    *end = log_walk.position;
    *base = log_walk.base;
    *last = log_walk.ends[log_walk.nends - 2];
}


static void
test_torn(void)
{
    uint64_t              last, end, base, at, size;
    ngx_uint_t            wrong;
    ngx_analytics_log_t   log;

    wrong = 0;
    size = 64;

    for (at = 0; at < size; at++) {
        make_six(&last, &end, &base);
        size = end - last;
        cut_file(base, (off_t) (last + at - base));

        log_tokens[5].acked = 0;
        log_tokens[5].tried = 0;

        if (log_attach(&log, 0) != NGX_OK
            || log.cut_to - log.cut_from != at
            || (at && log.cut_from != last)
            || !log.lost
            || ngx_analytics_log_tail(&log)->seq < 1 + LOG_RESERVE
            || log_requests(&log, 6, 2) != 2)
        {
            diag("cut at %" PRIu64 ": %" PRIu64 " to %" PRIu64, at,
                 log.cut_from, log.cut_to);
            wrong++;
        }

        ngx_analytics_log_close(&log);

        if (*log_check(log_dir) || !log_reads_back(log_dir, 7, 7)) {
            diag("cut at %" PRIu64 ": %s", at, log_walk.wrong);
            wrong++;
        }
    }

    is_u64(wrong, 0, "the tail is torn at each of %" PRIu64 " bytes: what is "
           "before survives", size);
}


static void
flip(uint64_t base, off_t at, ngx_uint_t bit)
{
    int     fd;
    char    path[128];
    u_char  byte;

    snprintf(path, sizeof(path), "%s/%020" PRIu64 ".log", log_dir, base);
    fd = open(path, O_RDWR);

    if (fd == -1 || pread(fd, &byte, 1, at) != 1) {
        diag("%s: %s", path, strerror(errno));
        exit(2);
    }

    byte ^= (u_char) (1 << bit);

    (void) !pwrite(fd, &byte, 1, at);
    close(fd);
}


static void
test_flipped(void)
{
    uint64_t             last, end, base, at, size;
    ngx_uint_t           wrong;
    ngx_analytics_log_t  log;

    wrong = 0;
    size = 64;

    for (at = 0; at < size; at++) {
        make_six(&last, &end, &base);
        size = end - last;

        flip(base, (off_t) (last + at - base), at % 8);

        log_tokens[5].acked = 0;

        if (log_attach(&log, 0) != NGX_OK
            || log.cut_from != last || log.cut_to != end
            || log_requests(&log, 6, 2) != 2)
        {
            diag("flipped at %" PRIu64, at);
            wrong++;
        }

        ngx_analytics_log_close(&log);

        if (*log_check(log_dir) || !log_reads_back(log_dir, 7, 7)) {
            diag("flipped at %" PRIu64 ": %s", at, log_walk.wrong);
            wrong++;
        }
    }

    is_u64(wrong, 0, "a bit is flipped in each of %" PRIu64 " bytes: what is "
           "before survives", size);
}


static void
test_damage_inside(void)
{
    uint64_t             from, to;
    ngx_analytics_log_t  log;

    log_fresh();
    (void) log_attach(&log, 0);
    log.segment_size = 65536;
    (void) log_requests(&log, 0, 10);
    ngx_analytics_log_close(&log);

    (void) log_check(log_dir);
    from = log_walk.ends[4];
    to = log_walk.ends[5];
    log_poke("00000000000000000000.log", (off_t) from + 40, "!!", 2);

    (void) log_attach(&log, 0);
    is_u64(log.control->damaged, to - from, "damage is told");
    is_u64(ngx_analytics_log_tail(&log)->seq, 11, "what is behind survives");
    ok(log.cut_from == log.cut_to && !log.lost, "nothing is cut");
    is_u64(log_requests(&log, 10, 1), 1, "and the log goes on");
    is_u64(log_tokens[10].seq, 11, "where it was");
    ngx_analytics_log_close(&log);
}


/* Segments whose making was cut short, in all lengths of a header. */

static void
test_begun(void)
{
    u_char                zeros[200] = { 0 };
    uint64_t              i, wrong;
    char                  name[NGX_ANALYTICS_LOG_NAME], path[128];
    ngx_analytics_log_t   log;

    wrong = 0;

    for (i = 0; i <= 200; i += 8) {
        log_fresh();
        (void) log_attach(&log, 0);
        (void) log_requests(&log, 0, 4);

        ngx_analytics_segment_name(name, ngx_analytics_log_position(&log));
        ngx_analytics_log_close(&log);

        snprintf(path, sizeof(path), "%s/%s", log_dir, name);
        close(open(path, O_WRONLY|O_CREAT, 0600));
        log_poke(name, 0, zeros, i);

        if (log_attach(&log, 0) != NGX_OK || log.lost
            || log_requests(&log, 4, 40) != 40)
        {
            wrong++;
        }

        ngx_analytics_log_close(&log);

        if (*log_check(log_dir) || log_walk.next != 45) {
            diag("%s", log_walk.wrong);
            wrong++;
        }
    }

    is_u64(wrong, 0, "a segment that was begun only is put away");

    log_fresh();
    snprintf(path, sizeof(path), "%s/00000000000000000000.log", log_dir);
    close(open(path, O_WRONLY|O_CREAT, 0600));
    (void) log_attach(&log, 0);
    is_u64(ngx_analytics_log_tail(&log)->seq, 1, "also if it was the first");
    is_u64(log_requests(&log, 0, 1), 1, "the log starts");
    ngx_analytics_log_close(&log);
}


static void
test_headers(void)
{
    char                     name[NGX_ANALYTICS_LOG_NAME];
    u_char                   header[LOG_HEADER];
    uint32_t                 crc;
    uint64_t                 last, end, base, reserved;
    ngx_analytics_log_t      log;
    ngx_analytics_fail_t     fail;
    ngx_analytics_segment_t  segment;

    make_six(&last, &end, &base);
    reserved = log_walk.reserved;
    ngx_analytics_segment_name(name, base);
    log_poke(name, 50, "damage", 6);

    (void) log_attach(&log, 0);
    ok(!log.lost && ngx_analytics_log_position(&log) == end,
       "the last header is damaged: its records are not");
    is_u64(log.control->damaged, LOG_HEADER, "it is told");
    is_u64(log_requests(&log, 6, 2), 2, "the log goes on");
    ngx_analytics_log_close(&log);
    ok(log_reads_back(log_dir, 8, 8), "the reader finds all");

    another_boot();
    (void) log_attach(&log, 0);
    ok(ngx_analytics_log_tail(&log)->seq >= reserved,
       "numbers are skipped that the lost header may have reserved");
    ngx_analytics_log_close(&log);

    /* one segment alone */

    log_fresh();
    (void) log_attach(&log, 0);
    (void) log_requests(&log, 0, 3);
    ngx_analytics_log_close(&log);
    log_poke("00000000000000000000.log", 20, "damage", 6);
    (void) log_attach(&log, 0);
    is_u64(ngx_analytics_log_tail(&log)->seq, 4,
           "the control file can tell what log it is of");
    ngx_analytics_log_close(&log);

    log_poke("00000000000000000000.log", 20, "damage", 6);
    log_poke("control", 0, "damage", 6);
    log_config(&log, 0);
    is_i64(ngx_analytics_log_attach(&log, &fail), NGX_ERROR,
           "without it, nobody can");
    ok(strstr(fail.text, "00000000000000000000.log") != NULL && fail.err == 0,
       "which is said: %s", strrchr(fail.text, '/'));
    ok(!log.created && log.dir == -1, "nothing is left open");

    /* what comes later is left alone */

    memset(&segment, 0, sizeof(segment));
    ngx_analytics_segment_write(header, &segment);
    header[8] = 2;
    crc = ngx_analytics_crc32c(0, header, 124);
    memcpy(header + 124, &crc, 4);
    log_poke("00000000000000000000.log", 0, header, LOG_HEADER);
    is_i64(ngx_analytics_log_attach(&log, &fail), NGX_ERROR,
           "a log of a newer version is refused");
    ok(log_size(0) > LOG_HEADER, "and not touched");
}


static void
test_directory(void)
{
    char                  path[128];
    ngx_analytics_log_t   log;
    ngx_analytics_fail_t  fail;

    log_fresh();
    log_config(&log, 0);
    snprintf(path, sizeof(path), "%s/none", log_dir);
    log.path = path;

    is_i64(ngx_analytics_log_attach(&log, &fail), NGX_ERROR,
           "the directory must exist");
    ok(fail.err == ENOENT && strstr(fail.text, path) != NULL,
       "it is named otherwise");
    ngx_analytics_log_close(&log);

    log.path = log_dir;
    is_i64(ngx_analytics_log_attach(&log, &fail), NGX_OK,
           "to try again is all that it takes");
    ngx_analytics_log_close(&log);
}


int
main(void)
{
    log_begin();

    test_owner();
    test_containers();
    test_dead_owner();
    test_zones();
    test_leave();
    test_power();
    test_copied();
    test_ahead();
    test_torn();
    test_flipped();
    test_damage_inside();
    test_begun();
    test_headers();
    test_directory();

    return done_testing();
}
