
/*
 * The files of checkpoints: which are kept, and what is left when one cannot be
 * written.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include "checkpoint_small.h"


/* the call of fsync() that fails; 0: none */
static int  fail_fsync;
static int  fsyncs;


#define HOUR  3600

/* the clock, which stands still; 0: it goes */
static time_t  now;


/* Instead of the library's. */

int
fsync(int fd)
{
    if (++fsyncs == fail_fsync) {
        errno = EIO;
        return -1;
    }

    return now ? 0 : (int) syscall(SYS_fsync, fd);
}


time_t
time(time_t *t)
{
    return now ? now : (time_t) syscall(SYS_time, t);
}


static void
must_be(int done)
{
    if (!done) {
        diag("%s", strerror(errno));
        exit(2);
    }
}


/* Says that one was written so many seconds ago. */

static void
set_age(uint64_t position, time_t seconds)
{
    char             path[96];
    struct timespec  times[2] = { { 0, 0 }, { 0, 0 } };

    times[0].tv_sec = now - seconds;
    times[1].tv_sec = now - seconds;

    snprintf(path, sizeof(path), "%s/%s", lib_path, lib_name(position));
    must_be(utimensat(AT_FDCWD, path, times, 0) == 0);
}


static void
old_file(uint64_t position)
{
    lib_write_file(lib_name(position), older, older_len);
    set_age(position, HOUR);
}


/* Which files are kept, and which are none of ours. */

static void
test_kept(void)
{
    ngx_analytics_zone_t  *z;

    lib_empty();
    old_file(100);
    old_file(200);
    old_file(300);
    lib_write_file(lib_name(UINT64_MAX - 1), older, older_len);
    lib_write_file("99999999999999999999.checkpoint", older, older_len);
    lib_write_file("00000000000000000150.log", older, older_len);
    lib_write_file("00000000000000000150.checkpoint.damaged", older, 1);
    lib_write_file("0000000000000000150.checkpoint", older, 1);
    lib_write_file("checkpoint.tmp", newer, newer_len);

    z = small_zone(40, OLDER);
    is_i64(lib_write(z), NGX_OK, "a temporary file may be in the way");

    ok(lib_exists(lib_name(OLDER)) && lib_exists(lib_name(300)),
       "the two newest are kept");
    ok(!lib_exists(lib_name(200)) && !lib_exists(lib_name(100)),
       "the older ones are removed");
    ok(lib_exists("00000000000000000150.log")
       && lib_exists("00000000000000000150.checkpoint.damaged")
       && lib_exists("0000000000000000150.checkpoint")
       && lib_exists("99999999999999999999.checkpoint"),
       "all other files stay");
    ok(lib_exists(lib_name(UINT64_MAX - 1)),
       "what claims to be newer pushes nothing out");
    ok(!lib_exists("checkpoint.tmp"), "the temporary file is gone");

    is_i64(lib_write(z), NGX_OK, "the same may be written again");
    ok(lib_exists(lib_name(OLDER)) && lib_exists(lib_name(300)),
       "which removes nothing");

    zone_delete(z);

    z = lib_read(size, TYPES);
    ok(z && memcmp(z, expected, size) == 0,
       "and what is no checkpoint is not read");
    zone_delete(z);
}


/* The checkpoints that are there: bits, of those called 1, 2, 3... */

static uint64_t
there(void)
{
    uint64_t  i, bits;

    bits = 0;

    for (i = 1; i < 64; i++) {
        bits |= (uint64_t) lib_exists(lib_name(i)) << i;
    }

    return bits;
}


/*
 * One is written every so many seconds.  Whoever has read the names finds one
 * of those for an hour.
 */

static void
test_copied(time_t seconds)
{
    uint64_t               i, j, names[64];
    ngx_uint_t             lost, most;
    ngx_analytics_zone_t  *z;

    lib_empty();

    lost = 0;
    most = 0;

    for (i = 1; i < 64; i++) {
        now += seconds;

        z = small_zone(1, i);
        must_be(lib_write(z) == NGX_OK);
        zone_delete(z);
        set_age(i, 0);

        names[i] = there();
        most = ngx_max(most, (ngx_uint_t) __builtin_popcountll(names[i]));

        for (j = 1; j < i; j++) {
            lost += ((time_t) (i - j) * seconds <= HOUR
                     && (names[j] & names[i]) == 0);
        }
    }

    ok(lost == 0 && most <= 4, "one every %d s: a copy that takes an hour "
       "gets one, of %d files at most", (int) seconds, (int) most);
}


/* From where on the log is needed. */

static void
test_oldest(void)
{
    uint64_t  position;

    lib_empty();
    is_i64(ngx_analytics_checkpoint_oldest(lib_dir, &position), NGX_DECLINED,
           "without checkpoints all of the log is needed");

    old_file(300);
    is_i64(ngx_analytics_checkpoint_oldest(lib_dir, &position), NGX_DECLINED,
           "with one alone, too, as it may be damaged");

    old_file(100);
    old_file(200);
    is_i64(ngx_analytics_checkpoint_oldest(lib_dir, &position), NGX_OK,
           "with more of them");
    is_u64(position, 100, "what is behind the oldest");
}


static int           progress_left;


static ngx_int_t
progress(void *ctx)
{
    return progress_left-- ? NGX_OK : NGX_DECLINED;
}


/* Nothing has changed: the older one is there, alone, and serves. */

static void
untouched(const char *what)
{
    int                    serves;
    ngx_analytics_zone_t  *z;

    z = lib_read(size, TYPES);
    serves = z && memcmp(z, expected, size) == 0 && lib_bad_n == 0;

    ok(serves && lib_files(NULL) == 1 && lib_exists(lib_name(OLDER)),
       "%s: the older one stays, alone", what);

    zone_delete(z);
}


static void
test_not_written(void)
{
    int                    n, bad, dir;
    char                   path[96];
    size_t                 limit;
    struct rlimit          old, lim;
    ngx_analytics_zone_t  *z;

    lib_empty();
    lib_write_file(lib_name(OLDER), older, older_len);

    z = small_zone(60, NEWER);

    /* no room for more than so many bytes */

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    lim = old;

    for (limit = 0, bad = 0; limit < newer_len; limit += 7) {
        lim.rlim_cur = limit;
        setrlimit(RLIMIT_FSIZE, &lim);
        bad += (lib_write(z) != NGX_ERROR || lib_fail.err != EFBIG);
        bad += lib_exists("checkpoint.tmp");
        bad += lib_exists(lib_name(NEWER));
        setrlimit(RLIMIT_FSIZE, &old);
    }

    is_i64(bad, 0, "that there is no room is told, at every write");
    ok(strncmp(lib_fail.text, "write() to \"/tmp/checkpoint.", 27) == 0,
       "by what failed: %s", "the text");
    untouched("without room");

    fail_fsync = 1;
    fsyncs = 0;
    is_i64(lib_write(z), NGX_ERROR, "a sync that fails is told");
    is_i64(lib_fail.err, EIO, "by its error");
    untouched("without a sync");

    for (n = 0; ; n++) {
        progress_left = n;

        if (ngx_analytics_checkpoint_write(lib_dir, lib_path, lib_id, z,
                                           ZONE_NOW, progress, NULL,
                                           &lib_fail)
            == NGX_OK)
        {
            break;
        }

        bad += (lib_fail.err != 0 || lib_fail.text[0] != '\0');
        bad += lib_exists("checkpoint.tmp");
        bad += lib_exists(lib_name(NEWER));
    }

    ok(n >= 5 && bad == 0, "progress() can give up at each of %d calls", n);
    ok(lib_exists(lib_name(NEWER)), "or let it be done");

    /* the name is taken by what no file can replace */

    lib_empty();
    lib_write_file(lib_name(OLDER), older, older_len);
    snprintf(path, sizeof(path), "%s/%s", lib_path, lib_name(NEWER));
    mkdir(path, 0700);
    is_i64(lib_write(z), NGX_ERROR, "a rename that fails is told");
    ok(!lib_exists("checkpoint.tmp"), "and leaves no temporary file");
    rmdir(path);
    untouched("without a rename");

    /* its name is not durable: what is older must not go */

    lib_write_file(lib_name(10), older, older_len);
    fail_fsync = 2;
    fsyncs = 0;
    is_i64(lib_write(z), NGX_ERROR, "a sync of the directory that fails, too");
    ok(lib_exists(lib_name(10)) && lib_exists(lib_name(OLDER)),
       "and nothing is removed");
    fail_fsync = 0;

    /* no directory any more */

    snprintf(path, sizeof(path), "%s/gone", lib_path);
    mkdir(path, 0700);
    dir = open(path, O_RDONLY|O_DIRECTORY);
    rmdir(path);
    is_i64(ngx_analytics_checkpoint_write(dir, "/gone", lib_id, z, ZONE_NOW,
                                          NULL, NULL, &lib_fail),
           NGX_ERROR, "a directory that is gone is told");
    ok(lib_fail.err == ENOENT
       && strcmp(lib_fail.text, "open() \"/gone/checkpoint.tmp\" failed") == 0,
       "by its name");
    is_u64(ngx_analytics_checkpoint_newest(dir), 0, "it has none");
    close(dir);

    zone_delete(z);
}


int
main(void)
{
    int  before;

    before = open_files();
    small_open();

    now = 1800000000;

    test_kept();
    test_copied(90);
    test_copied(600);
    test_copied(HOUR);
    test_copied(HOUR + 1);
    test_oldest();

    now = 0;

    test_not_written();

    small_close();
    is_i64(open_files(), before, "no file is left open");

    return done_testing();
}
