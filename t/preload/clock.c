
/*
 * A clock that is ahead: preloaded into nginx by tests.
 *
 *     gcc -shared -fPIC -o clock.so clock.c -ldl
 *     ANALYTICS_CLOCK=FILE LD_PRELOAD=.../clock.so nginx ...
 *
 * FILE holds 8 bytes, how many seconds it is ahead, as the machine writes an
 * integer; it is mapped by all processes, so that a test can change it.  The
 * environment is read once, before nginx cleans it.
 *
 * Copyright (C) The nginx analytics authors
 */


#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>


static int (*real_gettimeofday)(struct timeval *tv, void *tz);
static int (*real_clock_gettime)(clockid_t id, struct timespec *ts);

static volatile int64_t  none;
static volatile int64_t  *ahead = &none;


__attribute__((constructor))
static void
clock_init(void)
{
    int          fd;
    void        *p;
    const char  *name;

    real_gettimeofday = (int (*)(struct timeval *, void *))
                        dlsym(RTLD_NEXT, "gettimeofday");
    real_clock_gettime = (int (*)(clockid_t, struct timespec *))
                         dlsym(RTLD_NEXT, "clock_gettime");

    name = getenv("ANALYTICS_CLOCK");

    if (name == NULL) {
        return;
    }

    fd = open(name, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        return;
    }

    p = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);

    if (p != MAP_FAILED) {
        ahead = p;
    }

    close(fd);
}


int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    int  rc;

    rc = real_gettimeofday(tv, tz);

    if (rc == 0) {
        tv->tv_sec += *ahead;
    }

    return rc;
}


int
clock_gettime(clockid_t id, struct timespec *ts)
{
    int  rc;

    rc = real_clock_gettime(id, ts);

    if (rc == 0 && id == CLOCK_REALTIME) {
        ts->tv_sec += *ahead;
    }

    return rc;
}
