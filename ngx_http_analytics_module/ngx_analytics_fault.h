
/*
 * For tests: points at which a process can be killed, so that what it leaves
 * behind can be looked at.  Without NGX_ANALYTICS_FAULTS they are nothing.
 *
 * At those with a name it stops when there is a file of that name in the
 * folder that the environment has as ANALYTICS_FAULT, and removes the file; or
 * a thread of it waits until that is removed, and NAME.held is there meanwhile.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_FAULT_H_INCLUDED_
#define _NGX_ANALYTICS_FAULT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define ngx_analytics_barrier()  __asm__ __volatile__ ("" ::: "memory")


#if (NGX_ANALYTICS_FAULTS)

#include <fcntl.h>
#include <signal.h>

/* kills this process at the n-th fault point from now, if not 0 */
extern ngx_int_t    ngx_analytics_fault;

#define ngx_analytics_fault_point()                                           \
    do {                                                                      \
        ngx_analytics_barrier();                                              \
                                                                              \
        if (ngx_analytics_fault && --ngx_analytics_fault == 0) {              \
            raise(SIGKILL);                                                   \
        }                                                                     \
                                                                              \
        ngx_analytics_barrier();                                              \
    } while (0)


static ngx_inline void
ngx_analytics_fault_stop(const char *name)
{
    char         file[4096];
    const char  *dir;

    dir = getenv("ANALYTICS_FAULT");

    if (dir == NULL) {
        return;
    }

    snprintf(file, sizeof(file), "%s/%s", dir, name);

    if (unlink(file) == 0) {
        raise(SIGSTOP);
    }
}


static ngx_inline void
ngx_analytics_fault_wait(const char *name)
{
    int          fd;
    char         file[4096], held[4200];
    const char  *dir;

    dir = getenv("ANALYTICS_FAULT");

    if (dir == NULL) {
        return;
    }

    snprintf(file, sizeof(file), "%s/%s", dir, name);

    if (access(file, F_OK) == -1) {
        return;
    }

    snprintf(held, sizeof(held), "%s.held", file);

    fd = open(held, O_CREAT|O_WRONLY|O_CLOEXEC, 0600);

    while (access(file, F_OK) == 0) {
        ngx_msleep(1);
    }

    if (fd != -1) {
        (void) close(fd);
        (void) unlink(held);
    }
}

#else

#define ngx_analytics_fault_point()
#define ngx_analytics_fault_stop(name)
#define ngx_analytics_fault_wait(name)

#endif


#endif /* _NGX_ANALYTICS_FAULT_H_INCLUDED_ */
