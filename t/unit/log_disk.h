
/*
 * Between the log and the system, for its tests: calls that fail when they
 * are told to, and a disk that forgets, when the power goes, what was not
 * synced.
 *
 * The functions below stand before those of libc.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _LOG_DISK_H_INCLUDED_
#define _LOG_DISK_H_INCLUDED_


#include <sys/syscall.h>
#include "log_lib.h"


#define DISK_NAMES    24
#define DISK_CONTENT  8192

#define DISK_PWRITE   0x01
#define DISK_SYNC     0x02
#define DISK_CUT      0x04
#define DISK_OPEN     0x08
#define DISK_UNLINK   0x10
#define DISK_ALL      0x1f


/* A file as it is on the disk. */
typedef struct {
    char        name[48];
    ngx_uint_t  there;                 /* its name is */
    size_t      size;
    u_char      content[DISK_CONTENT];
    u_char      dirty[DISK_CONTENT];   /* bytes written since */
} disk_file_t;


/* Shared: a child that is killed leaves its disk behind. */
typedef struct {
    disk_file_t  files[DISK_NAMES];
    ngx_uint_t   on;
} disk_t;


/* Which calls fail: from the at-th on, one or all of them. */
static struct {
    ngx_uint_t  calls;
    ngx_int_t   at;
    ngx_uint_t  all;
    ngx_uint_t  hits;
    int         err;
} disk_fail;

static disk_t  *disk;

/* how often the directory was synced that the log's is in */
LOG_UNUSED
static ngx_uint_t  disk_parents;


/*
 * What AddressSanitizer keeps of freed memory, 256M otherwise, would have to
 * be forked, too: thousands of times.
 */
const char *__asan_default_options(void);

LOG_UNUSED
const char *
__asan_default_options(void)
{
    return "quarantine_size_mb=4";
}


static int
disk_fails(ngx_uint_t call)
{
    if (!(disk_fail.calls & call)) {
        return 0;
    }

    disk_fail.at--;

    if (disk_fail.at == 0 || (disk_fail.at < 0 && disk_fail.all)) {
        disk_fail.hits++;
        errno = disk_fail.err;
        return 1;
    }

    return 0;
}


static disk_file_t *
disk_find(const char *name)
{
    size_t  i;

    for (i = 0; i < DISK_NAMES; i++) {
        if (disk->files[i].name[0] == '\0') {
            snprintf(disk->files[i].name, sizeof(disk->files[i].name), "%s",
                     name);
        }

        if (strcmp(disk->files[i].name, name) == 0) {
            return &disk->files[i];
        }
    }

    fprintf(stderr, "too many files\n");
    abort();
}


/* The file of the directory that fd is; NULL if it is none. */

static disk_file_t *
disk_file(int fd)
{
    char     link[64], path[256];
    ssize_t  n;

    if (disk == NULL || !disk->on) {
        return NULL;
    }

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);

    if (n <= 0) {
        abort();
    }

    path[n] = '\0';

    if (strncmp(path, log_dir, strlen(log_dir)) != 0
        || path[strlen(log_dir)] != '/'
        || strstr(path, " (deleted)") != NULL)
    {
        return NULL;
    }

    return disk_find(strrchr(path, '/') + 1);
}


/*
 * A file was synced: what was written since the last time is on the disk.
 * If it could not be, that is forgotten, as it is by Linux: the next sync
 * finds nothing to do.
 */
static void
disk_sync_file(int fd, int done)
{
    u_char        now[DISK_CONTENT];
    size_t        i;
    ssize_t       n;
    disk_file_t  *f;

    f = disk_file(fd);

    if (f == NULL) {
        return;
    }

    if (done) {
        n = syscall(SYS_pread64, fd, now, DISK_CONTENT, 0L);

        if (n < 0 || n == DISK_CONTENT) {
            abort();
        }

        for (i = 0; i < (size_t) n; i++) {
            f->content[i] = f->dirty[i] ? now[i]
                            : i < f->size ? f->content[i] : 0;
        }

        f->size = (size_t) n;
    }

    memset(f->dirty, 0, DISK_CONTENT);
}


/* The directory was: the names are. */

static void
disk_sync_names(void)
{
    DIR            *d;
    size_t          i;
    struct dirent  *e;

    for (i = 0; i < DISK_NAMES; i++) {
        disk->files[i].there = 0;
    }

    d = opendir(log_dir);

    while (d && (e = readdir(d)) != NULL) {
        if (e->d_name[0] != '.') {
            disk_find(e->d_name)->there = 1;
        }
    }

    if (d) {
        closedir(d);
    }
}


static ngx_uint_t
disk_is(int fd, const char *name)
{
    char         path[256];
    struct stat  st, of;

    snprintf(path, sizeof(path), "%s/%s", log_dir, name);

    return fstat(fd, &st) == 0 && stat(path, &of) == 0
           && st.st_ino == of.st_ino && st.st_dev == of.st_dev;
}


static int
disk_sync(int fd, long call)
{
    int          rc, failed;
    struct stat  st;

    failed = disk_fails(DISK_SYNC);
    rc = failed ? -1 : (int) syscall(call, fd);

    if (disk_is(fd, "..")) {
        disk_parents += (rc == 0);

    } else if (disk && disk->on && fstat(fd, &st) == 0) {
        if (!S_ISDIR(st.st_mode)) {
            disk_sync_file(fd, rc == 0);

        } else if (rc == 0) {
            disk_sync_names();
        }
    }

    errno = failed ? disk_fail.err : errno;

    return rc;
}


int
fdatasync(int fd)
{
    return disk_sync(fd, SYS_fdatasync);
}


int
fsync(int fd)
{
    return disk_sync(fd, SYS_fsync);
}


/* Half of it is written before it fails. */
ssize_t
pwrite(int fd, const void *p, size_t len, off_t at)
{
    int           failed;
    ssize_t       n;
    disk_file_t  *f;

    failed = disk_fails(DISK_PWRITE);
    n = syscall(SYS_pwrite64, fd, p, failed ? len / 2 : len, at);
    f = disk_file(fd);

    if (f && n > 0 && at + n < DISK_CONTENT) {
        memset(f->dirty + at, 1, (size_t) n);
    }

    if (failed) {
        errno = disk_fail.err;
        return -1;
    }

    return n;
}


int
ftruncate(int fd, off_t size)
{
    return disk_fails(DISK_CUT) ? -1 : (int) syscall(SYS_ftruncate, fd, size);
}


int
unlinkat(int dir, const char *name, int flags)
{
    return disk_fails(DISK_UNLINK) ? -1
           : (int) syscall(SYS_unlinkat, dir, name, flags);
}


int
openat(int dir, const char *name, int flags, ...)
{
    int      mode;
    va_list  args;

    va_start(args, flags);
    mode = (flags & O_CREAT) ? va_arg(args, int) : 0;
    va_end(args);

    return disk_fails(DISK_OPEN) ? -1
           : (int) syscall(SYS_openat, dir, name, flags, mode);
}


/* An empty disk that remembers from now on. */
LOG_UNUSED
static void
disk_start(void)
{
    if (disk == NULL) {
        disk = mmap(NULL, sizeof(disk_t), PROT_READ|PROT_WRITE,
                    MAP_SHARED|MAP_ANONYMOUS, -1, 0);

        if (disk == MAP_FAILED) {
            exit(2);
        }
    }

    memset(disk, 0, sizeof(disk_t));
    disk->on = 1;
}


/* What of a file that was changed since is on the disk when the power goes. */
typedef enum {
    DISK_NOTHING = 0,                  /* what was synced, and no more */
    DISK_LENGTH,                       /* its length, but not its bytes */
    DISK_HALF,                         /* half of what was added */
    DISK_WAYS
} disk_way_e;


static size_t
disk_survives(disk_file_t *f, u_char *now, size_t size, disk_way_e way)
{
    if (way == DISK_NOTHING || size <= f->size) {
        memcpy(now, f->content, f->size);
        return f->size;
    }

    memcpy(now, f->content, f->size);

    if (way == DISK_LENGTH) {
        memset(now + f->size, 0, size - f->size);
        return size;
    }

    return f->size + (size - f->size) / 2;
}


/*
 * The power goes, and comes back: the directory is what is on the disk.  No
 * process is attached.
 */
LOG_UNUSED
static void
disk_power_cut(disk_way_e way)
{
    int            fd;
    char           path[128];
    u_char         now[DISK_CONTENT];
    size_t         i;
    ssize_t        n;
    disk_file_t   *f;

    disk->on = 0;

    for (i = 0; i < DISK_NAMES && disk->files[i].name[0]; i++) {
        f = &disk->files[i];
        n = 0;

        snprintf(path, sizeof(path), "%s/%s", log_dir, f->name);

        fd = open(path, O_RDONLY);
        if (fd != -1) {
            n = read(fd, now, sizeof(now));
            close(fd);
        }

        f->size = disk_survives(f, now, n > 0 ? (size_t) n : 0, way);
        memcpy(f->content, now, f->size);
        memset(f->dirty, 0, DISK_CONTENT);
    }

    log_empty(log_dir);

    for (i = 0; i < DISK_NAMES && disk->files[i].name[0]; i++) {
        f = &disk->files[i];

        if (!f->there) {
            f->size = 0;
            continue;
        }

        snprintf(path, sizeof(path), "%s/%s", log_dir, f->name);

        fd = open(path, O_WRONLY|O_CREAT, 0600);

        if (fd == -1
            || write(fd, f->content, f->size) != (ssize_t) f->size)
        {
            diag("%s: %s", path, strerror(errno));
            exit(2);
        }

        close(fd);
    }

    disk->on = 1;
}


/* Whether a log is as it must be now that nobody is at it. */

LOG_UNUSED
static ngx_uint_t
is_wrong(ngx_analytics_log_t *log, const char *when, ngx_int_t point)
{
    const char  *wrong;

    wrong = log_check(log_dir);

    if (*wrong == '\0' && log) {
        wrong = log_sound(log);
    }

    if (*wrong == '\0'
        && !log_reads_back(log_dir, log_walk.records, log_walk.events))
    {
        wrong = "the reader does not agree";
    }

    if (*wrong) {
        diag("%s %jd: %s", when, (intmax_t) point, wrong);
    }

    return *wrong != '\0';
}


#endif /* _LOG_DISK_H_INCLUDED_ */
