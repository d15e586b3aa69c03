
/*
 * For tests: points at which a process can be killed, so that what it leaves
 * behind can be looked at.  Without NGX_ANALYTICS_FAULTS they are nothing.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_FAULT_H_INCLUDED_
#define _NGX_ANALYTICS_FAULT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define ngx_analytics_barrier()  __asm__ __volatile__ ("" ::: "memory")


#if (NGX_ANALYTICS_FAULTS)

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

#else

#define ngx_analytics_fault_point()

#endif


#endif /* _NGX_ANALYTICS_FAULT_H_INCLUDED_ */
