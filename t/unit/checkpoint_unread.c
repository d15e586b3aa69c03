
/*
 * Calls fail while a checkpoint is looked for: that is never taken for there
 * being none, where that would be missed.
 *
 * The functions below stand before those of libc.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "checkpoint_small.h"

#include <sys/syscall.h>


typedef enum {
    NOTHING = 0,
    OPEN,                              /* of a checkpoint */
    OPEN_ALL,                          /* of any */
    OPEN_DIR,
    READ,
    LIST
} call_e;


/* the at-th call fails, or all of them if OPEN_ALL */
static call_e  fails;
static int     fail_at;
static int     fail_err;


static int
call_fails(call_e call)
{
    if (fails == call && --fail_at == 0) {
        errno = fail_err;
        return 1;
    }

    return 0;
}


int
openat(int dir, const char *name, int flags, ...)
{
    int      mode;
    va_list  args;

    va_start(args, flags);
    mode = (flags & O_CREAT) ? va_arg(args, int) : 0;
    va_end(args);

    if (strstr(name, ".checkpoint") && fails == OPEN_ALL) {
        errno = fail_err;
        return -1;
    }

    if (call_fails(strcmp(name, ".") == 0 ? OPEN_DIR : OPEN)) {
        return -1;
    }

    return (int) syscall(SYS_openat, dir, name, flags, mode);
}


ssize_t
read(int fd, void *p, size_t len)
{
    return call_fails(READ) ? -1 : syscall(SYS_read, fd, p, len);
}


struct dirent *
readdir(DIR *d)
{
    static long  at;
    static union {
        struct dirent  entry;
        u_char         bytes[4096];
    } buf;

    static u_char  list[65536];
    static long    n;

    if (call_fails(LIST)) {
        n = 0;
        return NULL;
    }

    if (at >= n) {
        at = 0;
        n = syscall(SYS_getdents64, dirfd(d), list, sizeof(list));

        if (n <= 0) {
            n = 0;
            return NULL;
        }
    }

    memcpy(&buf, list + at, ((struct dirent *) (list + at))->d_reclen);
    at += buf.entry.d_reclen;

    return &buf.entry;
}


/* Reads where both are sound.  Returns the zone's position, or END. */

static uint64_t
position_of(uint64_t first, call_e call, int at, int err)
{
    void                       *mem;
    uint64_t                    position;
    ngx_analytics_zone_t       *z;
    ngx_analytics_zone_conf_t   conf;

    fails = NOTHING;

    lib_empty();
    lib_write_file(lib_name(OLDER), older, older_len);
    lib_write_file(lib_name(NEWER), newer, newer_len);

    conf.types = TYPES;
    conf.key[0] = expected->key[0];
    conf.key[1] = expected->key[1];
    conf.now = ZONE_NOW;

    lib_bad_n = 0;
    mem = calloc(1, size);

    fail_at = at;
    fail_err = err;
    fails = call;

    z = ngx_analytics_checkpoint_read(lib_dir, lib_path, lib_id, first,
                                      LIB_END, mem, size, &conf, lib_bad,
                                      NULL, NULL, &lib_fail);
    fails = NOTHING;

    position = z ? ngx_analytics_zone_position(z) : NGX_ANALYTICS_END;
    free(mem);

    return position;
}


static void
fails_with(int err, const char *text)
{
    is_i64(lib_fail.err, err, "its error is told");
    ok(strstr(lib_fail.text, text) != NULL, "and what it was: %s", text);
    ok(lib_exists(lib_name(OLDER)) && lib_exists(lib_name(NEWER)),
       "both stay where they are");
}


static void
test_short(void)
{
    is_u64(position_of(0, NOTHING, 0, 0), NEWER, "the newer one is read");

    is_u64(position_of(0, OPEN_DIR, 1, EMFILE), NGX_ANALYTICS_END,
           "no descriptor for the list: not \"there is none\"");
    fails_with(EMFILE, "listing of");

    is_u64(position_of(0, LIST, 1, EIO), NGX_ANALYTICS_END,
           "nor is a list that cannot be read");
    fails_with(EIO, "listing of");

    is_u64(position_of(0, LIST, 3, EIO), NGX_ANALYTICS_END,
           "to its end");
    is_u64(position_of(0, OPEN, 1, EMFILE), NGX_ANALYTICS_END,
           "no descriptor for the newer one: it is read another time");
    fails_with(EMFILE, lib_name(NEWER));
}


static void
test_unread(void)
{
    is_u64(position_of(0, OPEN, 1, EACCES), OLDER,
           "one that may not be opened: the older one serves");
    is_u64(position_of(OLDER, READ, 1, EIO), OLDER,
           "or not be read, where the log begins with the older one, too");
    ok(lib_bad_n == 1 && strcmp(lib_bad_why, "it cannot be read") == 0
       && lib_exists(lib_name(NEWER)), "it is told, and stays");

    is_u64(position_of(OLDER + 1, OPEN, 1, EIO), NGX_ANALYTICS_END,
           "the log behind the older one is gone: without the newer one, "
           "something would be missed");
    fails_with(EIO, lib_name(NEWER));

    is_u64(position_of(0, OPEN_ALL, 0, EIO), 0,
           "neither can be read: the log alone serves, if it is whole");
    is_u64(position_of(OLDER, OPEN_ALL, 0, EIO), NGX_ANALYTICS_END,
           "if not, nothing does");
    is_u64(position_of(NEWER + 1, OPEN_ALL, 0, EIO), 0,
           "unless it begins behind both: they are of no use");
}


/* The names alone, for who removes. */

static void
test_names(void)
{
    uint64_t  position;

    fail_err = ENFILE;

    fails = OPEN_DIR;
    fail_at = 1;
    is_i64(ngx_analytics_checkpoint_before(lib_dir, NEWER, &position),
           NGX_ERROR, "whether there is an older one cannot be told");
    is_i64(errno, ENFILE, "for that reason");

    fail_at = 2;
    is_i64(ngx_analytics_checkpoint_oldest(lib_dir, &position), NGX_ERROR,
           "nor which is the oldest");

    fail_at = 1;
    is_i64(ngx_analytics_checkpoint_ahead(lib_dir, lib_path, 0,
                                          (char [64]) { 0 }, &lib_fail),
           NGX_ERROR, "nor whether one is ahead");

    fails = NOTHING;
}


int
main(void)
{
    small_open();

    test_short();
    test_unread();
    test_names();

    small_close();

    return done_testing();
}
