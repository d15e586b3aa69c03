
/*
 * Transactions on the arena, and its pools of blocks.
 *
 * Between two calls of ngx_analytics_commit() every store into memory that
 * is reachable goes through ngx_analytics_put*(), which first saves the old
 * contents of the 8-byte word concerned.  The count of saved words makes
 * the transaction: it is 0 when none is open.
 *
 * The threat is a process that is killed, not a machine that loses power:
 * the stores that a dead process executed are in coherent memory, all of
 * them and in program order, and whoever gets the lock next was let in by
 * the kernel and a lock, both full barriers.  So it is only the compiler
 * that must not reorder.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_ARENA_H_INCLUDED_
#define _NGX_ANALYTICS_ARENA_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_fault.h"
#include "ngx_analytics_layout.h"


/*
 * Fetches a cache line that is about to be changed, and takes it from the
 * processor that changed it last.  Compilers would only read it.
 */

#if (defined __x86_64__)

#define ngx_analytics_prefetch(p)                                             \
    __asm__ __volatile__ ("prefetchw %0" :: "m" (*(const u_char *) (p)))

#else

#define ngx_analytics_prefetch(p)  __builtin_prefetch(p, 1)

#endif


#if (NGX_ANALYTICS_FAULTS)

/* the longest transaction so far */
extern uint64_t     ngx_analytics_undo_high;

/* called after each transaction, if not NULL */
extern void       (*ngx_analytics_committed)(ngx_analytics_zone_t *z);

#endif


/*
 * The capacity of the undo area is never checked while folding: zone.c adds
 * up what the largest transaction can take and the compiler compares.
 */
static ngx_inline void
ngx_analytics_save(ngx_analytics_zone_t *z, void *p)
{
    size_t                 offset;
    ngx_analytics_undo_t  *undo;

    offset = ((u_char *) p - (u_char *) z) & ~(size_t) 7;

    undo = &z->undo[z->undo_count];
    undo->offset = offset;
    ngx_memcpy(&undo->old, ngx_analytics_at(z, offset), sizeof(undo->old));

    ngx_analytics_fault_point();
    ngx_analytics_barrier();

    z->undo_count++;

    ngx_analytics_barrier();
    ngx_analytics_fault_point();
}


static ngx_inline void
ngx_analytics_put64(ngx_analytics_zone_t *z, uint64_t *p, uint64_t value)
{
    ngx_analytics_save(z, p);
    *p = value;
    ngx_analytics_fault_point();
}


static ngx_inline void
ngx_analytics_put_time(ngx_analytics_zone_t *z, int64_t *p, int64_t value)
{
    ngx_analytics_save(z, p);
    *p = value;
    ngx_analytics_fault_point();
}


static ngx_inline void
ngx_analytics_put32(ngx_analytics_zone_t *z, uint32_t *p, uint32_t value)
{
    ngx_analytics_save(z, p);
    *p = value;
    ngx_analytics_fault_point();
}


static ngx_inline void
ngx_analytics_put16(ngx_analytics_zone_t *z, uint16_t *p, uint16_t value)
{
    ngx_analytics_save(z, p);
    *p = value;
    ngx_analytics_fault_point();
}


static ngx_inline void
ngx_analytics_put8(ngx_analytics_zone_t *z, u_char *p, u_char value)
{
    ngx_analytics_save(z, p);
    *p = value;
    ngx_analytics_fault_point();
}


#define ngx_analytics_add(z, p, n)   ngx_analytics_put64(z, p, *(p) + (n))


static ngx_inline void
ngx_analytics_commit(ngx_analytics_zone_t *z)
{
#if (NGX_ANALYTICS_FAULTS)
    if (z->undo_count > ngx_analytics_undo_high) {
        ngx_analytics_undo_high = z->undo_count;
    }
#endif

    ngx_analytics_fault_point();
    ngx_analytics_barrier();

    /* first: what is rolled back then may be counted, what is done must be */

    z->commits += (z->undo_count != 0);

    ngx_analytics_barrier();

    z->undo_count = 0;

    ngx_analytics_barrier();

#if (NGX_ANALYTICS_FAULTS)
    if (ngx_analytics_committed) {
        ngx_analytics_committed(z);
    }
#endif

    ngx_analytics_fault_point();
}


static ngx_inline uint32_t
ngx_analytics_pool_left(ngx_analytics_pool_t *pool)
{
    return pool->nblocks - pool->used;
}


/* words saved for undo, at most */
#define NGX_ANALYTICS_ALLOC_WORDS    4
#define NGX_ANALYTICS_FREE_WORDS     3

void ngx_analytics_pool_init(ngx_analytics_pool_t *pool, uint64_t offset,
    uint32_t size, uint32_t nblocks);

/*
 * Takes a block; its first 16 bytes are cleared, the rest is not.
 * Returns 0 if there is none.
 */
uint32_t ngx_analytics_pool_alloc(ngx_analytics_zone_t *z,
    ngx_analytics_pool_t *pool);

/* Gives back a chain of n blocks that are linked by their next. */
void ngx_analytics_pool_free(ngx_analytics_zone_t *z,
    ngx_analytics_pool_t *pool, uint32_t first, uint32_t last, uint32_t n);


#endif /* _NGX_ANALYTICS_ARENA_H_INCLUDED_ */
