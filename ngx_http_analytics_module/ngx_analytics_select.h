
/*
 * Single events: what is asked for, and how one part of the store, or the
 * log's tail, is gone through for it.
 *
 * Both give rows in the same order, so that any number of them can be merged:
 * see ngx_analytics_find.h.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_SELECT_H_INCLUDED_
#define _NGX_ANALYTICS_SELECT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_db.h"
#include "ngx_analytics_erase.h"


/*
 * The order is by time and then by id, or by id alone, which is the order of
 * receipt.  from and to, and after_time, are of what the order is by.
 */
typedef struct {
    ngx_str_t                user;           /* len 0: any */
    ngx_str_t                type;           /* likewise */
    int64_t                  from;           /* microseconds: [from, to), */
    int64_t                  to;             /* INT64_MIN, INT64_MAX: any */
    int64_t                  since;          /* received then or later; of */
                                             /* parts that is for who asks */

    /* who is being erased: of parts that is for who asks; NULL: nobody */
    ngx_analytics_erasing_t *erasing;
    const uint64_t          *key;

    uint64_t                 end;            /* ids before this; 0: all */

    int64_t                  after_time;     /* if after: only what comes */
    uint64_t                 after_id;       /* behind this in the order */

    unsigned                 received:1;     /* order and range: of receipt */
    unsigned                 descending:1;
    unsigned                 after:1;
    unsigned                 known:1;        /* without those of the erased */
} ngx_analytics_filter_t;


/* Whether a row is asked for. */
ngx_uint_t ngx_analytics_filter_match(ngx_analytics_filter_t *filter,
    ngx_analytics_row_t *row);

/* An event of somebody who is being erased is as if that were done. */
static ngx_inline void
ngx_analytics_filter_erase(ngx_analytics_filter_t *filter,
    ngx_analytics_row_t *row)
{
    if (filter->erasing
        && ngx_analytics_erasing_hides(filter->erasing, filter->key,
                                       &row->user, row->id))
    {
        ngx_analytics_row_erase(row);
    }
}

/* < 0 if one comes before two in the order, 0 or > 0. */
ngx_int_t ngx_analytics_filter_cmp(ngx_analytics_filter_t *filter,
    ngx_analytics_row_t *one, ngx_analytics_row_t *two);


/*
 * A part: ngx_analytics_select_part.c.  filter must last.  The database is
 * put back by close().  stop is looked at while SQLite works: other than 0,
 * it gives up.  NGX_OK, or NGX_ERROR and *fail; close in both cases.
 */
typedef struct {
    ngx_analytics_db_t      *db;
    ngx_analytics_filter_t  *filter;
    sqlite3_stmt            *statement;      /* NULL: nothing can match */
    ngx_uint_t               bad;
} ngx_analytics_select_part_t;

ngx_int_t ngx_analytics_select_part_open(ngx_analytics_select_part_t *s,
    ngx_analytics_db_t *db, ngx_analytics_filter_t *filter,
    volatile ngx_uint_t *stop, ngx_analytics_fail_t *fail);

/*
 * The next row, whose texts are valid until the next call.  NGX_OK, NGX_DONE,
 * NGX_ABORT (stopped), or NGX_ERROR and *fail.
 */
ngx_int_t ngx_analytics_select_part_next(ngx_analytics_select_part_t *s,
    ngx_analytics_row_t *row, ngx_analytics_fail_t *fail);

void ngx_analytics_select_part_close(ngx_analytics_select_part_t *s);


/*
 * The log from one position up to another one, both of records; damage is
 * passed over: ngx_analytics_select_log.c.  Those that match, most of them at
 * most, are copied and sorted by open(), so many that they take about twice as
 * many bytes at most: with "more", others follow behind them in the order, for
 * another open() with "after".
 * NGX_OK, NGX_ABORT, or NGX_ERROR and *fail; close in all cases.
 */
typedef struct {
    ngx_analytics_row_t    **rows;           /* texts lie behind them */
    size_t                   n;
    size_t                   size;
    size_t                   bytes;          /* of all rows */
    size_t                   next;
    uint64_t                 begin;          /* of the first segment read */
    ngx_uint_t               more;           /* none behind this is kept: */
    ngx_analytics_row_t      last;           /* time and id */
} ngx_analytics_select_log_t;

ngx_int_t ngx_analytics_select_log_open(ngx_analytics_select_log_t *s,
    int dir, const char *path, uint64_t from, uint64_t to,
    ngx_analytics_filter_t *filter, uint64_t most, size_t bytes,
    volatile ngx_uint_t *stop, ngx_analytics_fail_t *fail);

/* NGX_OK or NGX_DONE. */
ngx_int_t ngx_analytics_select_log_next(ngx_analytics_select_log_t *s,
    ngx_analytics_row_t *row);

void ngx_analytics_select_log_close(ngx_analytics_select_log_t *s);

#endif /* _NGX_ANALYTICS_SELECT_H_INCLUDED_ */
