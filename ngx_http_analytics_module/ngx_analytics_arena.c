
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_arena.h"


static ngx_int_t ngx_analytics_undo_valid(ngx_analytics_zone_t *z);


#if (NGX_ANALYTICS_FAULTS)

ngx_int_t    ngx_analytics_fault;
uint64_t     ngx_analytics_undo_high;
void       (*ngx_analytics_committed)(ngx_analytics_zone_t *z);

#endif


/*
 * Going through the saved words backwards gives each its oldest contents
 * last.  The count is cleared only after all: a roll back that is killed
 * itself starts over, and storing the same again does no harm.
 */
ngx_int_t
ngx_analytics_zone_recover(ngx_analytics_zone_t *z)
{
    uint64_t               i;
    ngx_analytics_undo_t  *undo;

    if (z->magic != NGX_ANALYTICS_MAGIC
        || z->layout != NGX_ANALYTICS_LAYOUT)
    {
        return NGX_ERROR;
    }

    if (z->undo_count == 0) {
        return NGX_OK;
    }

    if (ngx_analytics_undo_valid(z) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = z->undo_count; i > 0; i--) {
        undo = &z->undo[i - 1];

        ngx_memcpy(ngx_analytics_at(z, undo->offset), &undo->old,
                   sizeof(undo->old));

        ngx_analytics_fault_point();
    }

    ngx_analytics_barrier();

    z->undo_count = 0;

    ngx_analytics_barrier();
    ngx_analytics_fault_point();

    z->rollbacks++;

    return NGX_AGAIN;
}


/* Whether the undo area can be what a fold left: nothing is changed before. */

static ngx_int_t
ngx_analytics_undo_valid(ngx_analytics_zone_t *z)
{
    size_t    first, last;
    uint64_t  i, offset;

    if (z->undo_count > NGX_ANALYTICS_UNDO_MAX) {
        return NGX_ERROR;
    }

    /* neither the constants at the start nor the undo area itself */

    first = offsetof(ngx_analytics_zone_t, users);
    last = offsetof(ngx_analytics_zone_t, hints);

    for (i = 0; i < z->undo_count; i++) {
        offset = z->undo[i].offset;

        if (offset % sizeof(uint64_t) != 0
            || offset < first
            || (offset >= last && offset < sizeof(ngx_analytics_zone_t))
            || offset > z->size - sizeof(uint64_t))
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_analytics_pool_init(ngx_analytics_pool_t *pool, uint64_t offset,
    uint32_t size, uint32_t nblocks)
{
    pool->origin = offset - size;
    pool->size = size;
    pool->nblocks = nblocks;
    pool->bump = 1;
    pool->free = 0;
    pool->used = 0;
}


uint32_t
ngx_analytics_pool_alloc(ngx_analytics_zone_t *z, ngx_analytics_pool_t *pool)
{
    uint32_t                n;
    ngx_analytics_block_t  *block;

    n = pool->free;

    if (n) {
        block = ngx_analytics_at(z, pool->origin + (uint64_t) n * pool->size);

        ngx_analytics_put32(z, &pool->free, block->next);

        ngx_analytics_save(z, &block->next);
        ngx_analytics_save(z, &block->mark);

    } else if (pool->bump <= pool->nblocks) {
        n = pool->bump;
        block = ngx_analytics_at(z, pool->origin + (uint64_t) n * pool->size);

        ngx_analytics_put32(z, &pool->bump, n + 1);

    } else {
        return 0;
    }

    ngx_analytics_put32(z, &pool->used, pool->used + 1);

    block->next = 0;
    block->tail = 0;
    block->mark = 0;

    return n;
}


void
ngx_analytics_pool_free(ngx_analytics_zone_t *z, ngx_analytics_pool_t *pool,
    uint32_t first, uint32_t last, uint32_t n)
{
    ngx_analytics_block_t  *block;

    block = ngx_analytics_at(z, pool->origin + (uint64_t) last * pool->size);

    ngx_analytics_put32(z, &block->next, pool->free);
    ngx_analytics_put32(z, &pool->free, first);
    ngx_analytics_put32(z, &pool->used, pool->used - n);
}
