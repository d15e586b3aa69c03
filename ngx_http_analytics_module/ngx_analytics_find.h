
/*
 * Finding events in all parts of the store and in the log behind them.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_FIND_H_INCLUDED_
#define _NGX_ANALYTICS_FIND_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_select.h"


/*
 * Rows of the log are sorted in memory.  What has no room there is found by
 * reading that piece of the log again, when those before it were taken.
 */
#define NGX_ANALYTICS_FIND_MEMORY  (32 * 1024 * 1024)


typedef struct ngx_analytics_find_s  ngx_analytics_find_t;


typedef struct {
    int                      dir;            /* of the caller, stays open */
    const char              *path;
    const uint64_t          *key;            /* of the log */
    uint64_t                 tail;           /* of the log: up to here, and */
    uint64_t                 seq;            /* before this event; 0: all */
    uint64_t                 skip;
    uint64_t                 limit;          /* UINT64_MAX: all */
    size_t                   memory;         /* for rows of the log; 0: that */
                                             /* of NGX_ANALYTICS_FIND_MEMORY */
    ngx_analytics_filter_t   filter;         /* texts last as long as it */
    volatile ngx_uint_t     *stop;           /* set to 1 by anybody: give up */
} ngx_analytics_find_conf_t;


/*
 * Blocks, as all of these.  Looks who is being erased, whose events have
 * neither user nor properties from now on (without a key it does not), and
 * which parts there are, and opens those that can have rows.  Parts that go
 * meanwhile, as others have taken their place, are looked for anew.  From
 * malloc(); NULL and *fail.
 */
ngx_analytics_find_t *ngx_analytics_find_open(
    ngx_analytics_find_conf_t *conf, ngx_analytics_fail_t *fail);

/* As ngx_analytics_select_next(). */
ngx_int_t ngx_analytics_find_next(ngx_analytics_find_t *f,
    ngx_analytics_row_t *row, ngx_analytics_fail_t *fail);

/* Whether rows are left out that ought to be there: damaged parts, gaps. */
ngx_uint_t ngx_analytics_find_incomplete(ngx_analytics_find_t *f);

void ngx_analytics_find_close(ngx_analytics_find_t *f);


#endif /* _NGX_ANALYTICS_FIND_H_INCLUDED_ */
