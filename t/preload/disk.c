
/*
 * A disk that fails, and one that loses what was not synced: preloaded into
 * nginx by tests, and told what to do by t/lib/Analytics/Disk.pm.
 *
 *     gcc -shared -fPIC -o disk.so disk.c -ldl
 *     ANALYTICS_DISK=CONTROL LD_PRELOAD=.../disk.so nginx ...
 *
 * CONTROL is a file of 12288 bytes, mapped by all processes: below is what
 * stands in it, then, at 4096, the folder that this is about, absolute and
 * without symbolic links, and at 8192 one for what was synced.  Nothing is
 * done elsewhere; the environment is read once, before nginx cleans it.
 *
 * Failures: of all calls of the kinds in "kinds" those from the "from"-th on,
 * "times" of them, fail with "error".  A write that is the first to fail may
 * write half of its bytes and say so, as a disk does when it gets full.
 * Attempts are counted by kind, in any case.
 *
 * Slow: while "hold" is set fsync() and fdatasync() do not come back; "held"
 * says how many are waiting.
 *
 * Power cut: what fsync() or fdatasync() of a file is called for, its content
 * is copied to SYNCED/files/NUMBER-BIRTH at the beginning of the call;
 * fsync() of the folder writes SYNCED/names, lines "NUMBER-BIRTH NAME".  With
 * these the test makes the folder what it would be after a power cut: a file
 * whose name was not synced is not there, or is under its old name, and one
 * that was not synced since is empty or what it was.  Memory that is mapped
 * is never synced.
 *
 * Copyright (C) The nginx analytics authors
 */


#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>


enum {
    DISK_OPEN = 0,
    DISK_CREATE,
    DISK_WRITE,
    DISK_TRUNCATE,
    DISK_SYNC,
    DISK_RENAME,
    DISK_UNLINK,
    DISK_MKDIR,
    DISK_KINDS
};


typedef struct {
    char       magic[8];               /* "DISK" and NULs */
    uint32_t   kinds;                  /* bits; 0: nothing fails */
    uint32_t   error;
    uint64_t   from;                   /* 1: the next one */
    uint64_t   times;
    uint64_t   seen;                   /* of the kinds, since they were set */
    uint64_t   failed;
    uint32_t   half;                   /* the first write in part */
    uint32_t   record;                 /* for a power cut */
    uint64_t   count[DISK_KINDS];
    uint32_t   hold;
    uint32_t   held;
} disk_t;


static disk_t      *disk;
static const char  *disk_dir;
static const char  *disk_synced;
static size_t       disk_len;


#define real(name)                                                            \
    static __typeof__(&name)  call;                                           \
                                                                              \
    if (call == NULL) {                                                       \
        *(void **) &call = dlsym(RTLD_NEXT, #name);                           \
    }


static int
real_open(int dir, const char *path, int flags, mode_t mode)
{
    real(openat);

    return call(dir, path, flags, mode);
}


static ssize_t
real_write(int fd, const void *buf, size_t n)
{
    real(write);

    return call(fd, buf, n);
}


static ssize_t
real_pwrite(int fd, const void *buf, size_t n, off_t offset)
{
    real(pwrite64);

    return call(fd, buf, n, offset);
}


static int
real_rename(int from_dir, const char *from, int to_dir, const char *to)
{
    real(renameat);

    return call(from_dir, from, to_dir, to);
}


__attribute__((constructor))
static void
disk_init(void)
{
    int    fd;
    char  *name, *p;

    name = getenv("ANALYTICS_DISK");
    if (name == NULL) {
        return;
    }

    fd = real_open(AT_FDCWD, name, O_RDWR|O_CLOEXEC, 0);
    if (fd == -1) {
        return;
    }

    p = mmap(NULL, 12288, PROT_READ|PROT_WRITE, MAP_SHARED, fd, 0);

    (void) close(fd);

    if (p == MAP_FAILED || strcmp(p, "DISK") != 0) {
        return;
    }

    disk_dir = p + 4096;
    disk_len = strlen(disk_dir);
    disk_synced = p + 8192;
    disk = (disk_t *) p;
}


/* Whether an absolute path is the folder or in it. */

static int
disk_within(const char *path)
{
    return strncmp(path, disk_dir, disk_len) == 0
           && (path[disk_len] == '/' || path[disk_len] == '\0');
}


static int
disk_fd_path(int fd, char *path)
{
    char     link[64];
    ssize_t  n;

    (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);

    n = readlink(link, path, PATH_MAX - 1);

    path[n > 0 ? n : 0] = '\0';

    return n > 0;
}


/* What the calls are about; they must not change errno. */

static int
disk_is_fd(int fd)
{
    int   err, rc;
    char  path[PATH_MAX];

    if (disk == NULL) {
        return 0;
    }

    err = errno;
    rc = disk_fd_path(fd, path) && disk_within(path);
    errno = err;

    return rc;
}


static int
disk_is_path(int dir, const char *path)
{
    int   err, rc;
    char  base[PATH_MAX];

    if (disk == NULL) {
        return 0;
    }

    if (path[0] == '/') {
        return disk_within(path);
    }

    err = errno;

    rc = dir == AT_FDCWD ? getcwd(base, sizeof(base)) != NULL
                         : disk_fd_path(dir, base);

    rc = rc && disk_within(base);
    errno = err;

    return rc;
}


/* Whether a call fails: 0, or which one of those that do it is. */

static uint64_t
disk_fails(int kind)
{
    uint64_t  n;

    (void) __atomic_add_fetch(&disk->count[kind], 1, __ATOMIC_SEQ_CST);

    if (!(__atomic_load_n(&disk->kinds, __ATOMIC_SEQ_CST) & (1U << kind))) {
        return 0;
    }

    n = __atomic_add_fetch(&disk->seen, 1, __ATOMIC_SEQ_CST);

    if (n < disk->from || n - disk->from >= disk->times) {
        return 0;
    }

    (void) __atomic_add_fetch(&disk->failed, 1, __ATOMIC_SEQ_CST);

    errno = disk->error;

    return n - disk->from + 1;
}


/* How many bytes of a write are written, -1 if it fails. */

static ssize_t
disk_writes(int fd, size_t n)
{
    uint64_t  nth;

    if (!disk_is_fd(fd)) {
        return n;
    }

    nth = disk_fails(DISK_WRITE);

    return nth == 0 ? (ssize_t) n
           : nth == 1 && disk->half && n > 1 ? (ssize_t) n / 2 : -1;
}


/* Recording. */

static void
disk_name(struct statx *st, char *name, size_t size)
{
    (void) snprintf(name, size, "%llu-%llu",
                    (unsigned long long) st->stx_ino,
                    (st->stx_mask & STATX_BTIME)
                    ? (unsigned long long) st->stx_btime.tv_sec * 1000000000
                      + st->stx_btime.tv_nsec : 0ULL);
}


static int
disk_copy(int from, int to)
{
    off_t    at;
    char     buf[65536];
    ssize_t  n;

    for (at = 0; (n = pread(from, buf, sizeof(buf), at)) > 0; at += n) {
        if (real_write(to, buf, n) != n) {
            return -1;
        }
    }

    return n == 0 ? 0 : -1;
}


static int
disk_list(int fd, int to)
{
    int             own, n;
    DIR            *dir;
    char            name[64], line[NAME_MAX + 66];
    struct statx    st;
    struct dirent  *entry;

    own = real_open(fd, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC, 0);
    dir = own == -1 ? NULL : fdopendir(own);

    if (dir == NULL) {
        return -1;
    }

    while ((entry = readdir(dir)) != NULL) {
        if (statx(own, entry->d_name, AT_SYMLINK_NOFOLLOW,
                  STATX_BASIC_STATS|STATX_BTIME, &st) == 0
            && S_ISREG(st.stx_mode))
        {
            disk_name(&st, name, sizeof(name));

            n = snprintf(line, sizeof(line), "%s %s\n", name, entry->d_name);

            if (real_write(to, line, n) != n) {
                (void) closedir(dir);
                return -1;
            }
        }
    }

    (void) closedir(dir);

    return 0;
}


/*
 * Makes what an fd is of durable.  One at a time, in all processes: what was
 * copied first must not come last.  -1: it could not be, which a test must
 * not take for a disk that lost something.
 */

static int
disk_record(int fd)
{
    int           lock, to, source, rc;
    char          name[64], path[PATH_MAX], temp[PATH_MAX + 8], self[64];
    struct statx  st;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS|STATX_BTIME, &st)
        == -1)
    {
        return -1;
    }

    (void) snprintf(path, sizeof(path), "%s/lock", disk_synced);

    lock = real_open(AT_FDCWD, path, O_RDONLY|O_CLOEXEC, 0);
    if (lock == -1 || flock(lock, LOCK_EX) == -1) {
        return -1;
    }

    if (S_ISDIR(st.stx_mode)) {
        (void) snprintf(path, sizeof(path), "%s/names", disk_synced);

    } else {
        disk_name(&st, name, sizeof(name));
        (void) snprintf(path, sizeof(path), "%s/files/%s", disk_synced, name);
    }

    (void) snprintf(temp, sizeof(temp), "%s.new", path);
    (void) unlinkat(AT_FDCWD, temp, 0);

    rc = -1;
    to = real_open(AT_FDCWD, temp, O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0666);

    if (S_ISDIR(st.stx_mode)) {
        rc = to == -1 ? -1 : disk_list(fd, to);

    } else {
        /* it may have been opened for writing alone */

        (void) snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
        source = real_open(AT_FDCWD, self, O_RDONLY|O_CLOEXEC, 0);

        if (to != -1 && source != -1) {
            rc = disk_copy(source, to);
        }

        (void) close(source);
    }

    (void) close(to);

    if (rc == 0) {
        rc = real_rename(AT_FDCWD, temp, AT_FDCWD, path);
    }

    (void) close(lock);

    return rc;
}


static void
disk_wait(void)
{
    if (!__atomic_load_n(&disk->hold, __ATOMIC_SEQ_CST)) {
        return;
    }

    (void) __atomic_add_fetch(&disk->held, 1, __ATOMIC_SEQ_CST);

    while (__atomic_load_n(&disk->hold, __ATOMIC_SEQ_CST)) {
        (void) usleep(1000);
    }

    (void) __atomic_sub_fetch(&disk->held, 1, __ATOMIC_SEQ_CST);
}


static int
disk_sync(int fd, int data)
{
    if (disk_is_fd(fd)) {

        disk_wait();

        if (disk_fails(DISK_SYNC)) {
            return -1;
        }

        if (disk->record) {
            if (disk_record(fd) == 0) {
                return 0;
            }

            (void) __atomic_add_fetch(&disk->failed, 1, __ATOMIC_SEQ_CST);
            errno = EIO;

            return -1;
        }
    }

    if (data) {
        real(fdatasync);

        return call(fd);
    }

    real(fsync);

    return call(fd);
}


static int
disk_openat(int dir, const char *path, int flags, mode_t mode)
{
    if (disk_is_path(dir, path)
        && disk_fails((flags & O_CREAT) ? DISK_CREATE : DISK_OPEN))
    {
        return -1;
    }

    return real_open(dir, path, flags, mode);
}


/* The calls, under all the names that the C library has for them. */

#define MODE(flags, mode)                                                     \
    do {                                                                      \
        va_list  args;                                                        \
                                                                              \
        mode = 0;                                                             \
                                                                              \
        if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) {      \
            va_start(args, flags);                                            \
            mode = va_arg(args, int);                                         \
            va_end(args);                                                     \
        }                                                                     \
    } while (0)


int
open(const char *path, int flags, ...)
{
    mode_t  mode;

    MODE(flags, mode);

    return disk_openat(AT_FDCWD, path, flags, mode);
}


int
open64(const char *path, int flags, ...)
{
    mode_t  mode;

    MODE(flags, mode);

    return disk_openat(AT_FDCWD, path, flags, mode);
}


int
openat(int dir, const char *path, int flags, ...)
{
    mode_t  mode;

    MODE(flags, mode);

    return disk_openat(dir, path, flags, mode);
}


int
openat64(int dir, const char *path, int flags, ...)
{
    mode_t  mode;

    MODE(flags, mode);

    return disk_openat(dir, path, flags, mode);
}


/* of programs compiled with _FORTIFY_SOURCE */

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);


int
__open_2(const char *path, int flags)
{
    return disk_openat(AT_FDCWD, path, flags, 0);
}


int
__open64_2(const char *path, int flags)
{
    return disk_openat(AT_FDCWD, path, flags, 0);
}


int
__openat_2(int dir, const char *path, int flags)
{
    return disk_openat(dir, path, flags, 0);
}


int
__openat64_2(int dir, const char *path, int flags)
{
    return disk_openat(dir, path, flags, 0);
}


int
creat(const char *path, mode_t mode)
{
    return disk_openat(AT_FDCWD, path, O_CREAT|O_WRONLY|O_TRUNC, mode);
}


int
creat64(const char *path, mode_t mode)
{
    return disk_openat(AT_FDCWD, path, O_CREAT|O_WRONLY|O_TRUNC, mode);
}


ssize_t
write(int fd, const void *buf, size_t n)
{
    ssize_t  may;

    may = disk_writes(fd, n);

    return may == -1 ? -1 : real_write(fd, buf, may);
}


ssize_t
pwrite(int fd, const void *buf, size_t n, off_t offset)
{
    ssize_t  may;

    may = disk_writes(fd, n);

    return may == -1 ? -1 : real_pwrite(fd, buf, may, offset);
}


ssize_t
pwrite64(int fd, const void *buf, size_t n, off_t offset)
{
    ssize_t  may;

    may = disk_writes(fd, n);

    return may == -1 ? -1 : real_pwrite(fd, buf, may, offset);
}


static size_t
disk_iov(const struct iovec *iov, int n)
{
    int     i;
    size_t  size;

    for (i = 0, size = 0; i < n; i++) {
        size += iov[i].iov_len;
    }

    return size;
}


ssize_t
writev(int fd, const struct iovec *iov, int n)
{
    ssize_t  may;

    real(writev);

    may = disk_writes(fd, disk_iov(iov, n));

    if (may == -1) {
        return -1;
    }

    /* half of it: of the first piece */

    return may == (ssize_t) disk_iov(iov, n)
           ? call(fd, iov, n)
           : real_write(fd, iov[0].iov_base, iov[0].iov_len / 2);
}


static ssize_t
disk_pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    ssize_t  may;

    real(pwritev64);

    may = disk_writes(fd, disk_iov(iov, n));

    if (may == -1) {
        return -1;
    }

    return may == (ssize_t) disk_iov(iov, n)
           ? call(fd, iov, n, offset)
           : real_pwrite(fd, iov[0].iov_base, iov[0].iov_len / 2, offset);
}


ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    return disk_pwritev(fd, iov, n, offset);
}


ssize_t
pwritev64(int fd, const struct iovec *iov, int n, off_t offset)
{
    return disk_pwritev(fd, iov, n, offset);
}


int
ftruncate(int fd, off_t size)
{
    real(ftruncate);

    return disk_is_fd(fd) && disk_fails(DISK_TRUNCATE) ? -1 : call(fd, size);
}


int
ftruncate64(int fd, off64_t size)
{
    real(ftruncate64);

    return disk_is_fd(fd) && disk_fails(DISK_TRUNCATE) ? -1 : call(fd, size);
}


int
posix_fallocate(int fd, off_t offset, off_t size)
{
    real(posix_fallocate);

    return disk_is_fd(fd) && disk_fails(DISK_TRUNCATE)
           ? (int) disk->error : call(fd, offset, size);
}


int
posix_fallocate64(int fd, off64_t offset, off64_t size)
{
    real(posix_fallocate64);

    return disk_is_fd(fd) && disk_fails(DISK_TRUNCATE)
           ? (int) disk->error : call(fd, offset, size);
}


int
fsync(int fd)
{
    return disk_sync(fd, 0);
}


int
fdatasync(int fd)
{
    return disk_sync(fd, 1);
}


int
rename(const char *from, const char *to)
{
    return disk_is_path(AT_FDCWD, from) && disk_fails(DISK_RENAME)
           ? -1 : real_rename(AT_FDCWD, from, AT_FDCWD, to);
}


int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return disk_is_path(from_dir, from) && disk_fails(DISK_RENAME)
           ? -1 : real_rename(from_dir, from, to_dir, to);
}


int
unlink(const char *path)
{
    real(unlink);

    return disk_is_path(AT_FDCWD, path) && disk_fails(DISK_UNLINK)
           ? -1 : call(path);
}


int
unlinkat(int dir, const char *path, int flags)
{
    real(unlinkat);

    return disk_is_path(dir, path) && disk_fails(DISK_UNLINK)
           ? -1 : call(dir, path, flags);
}


int
mkdir(const char *path, mode_t mode)
{
    real(mkdir);

    return disk_is_path(AT_FDCWD, path) && disk_fails(DISK_MKDIR)
           ? -1 : call(path, mode);
}
