
/*
 * Several parts written anew as one.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_part.h"
#include "ngx_analytics_select.h"
#include "ngx_analytics_store.h"


static ngx_int_t ngx_analytics_part_copy(ngx_analytics_part_writer_t *w,
    int dir, const char *path, ngx_analytics_part_t *part,
    ngx_int_t (*progress)(void *ctx), void *ctx, ngx_analytics_fail_t *fail);


ngx_int_t
ngx_analytics_part_merge(int dir, const char *path, u_char *log_id,
    ngx_analytics_part_t *parts, ngx_uint_t n,
    ngx_int_t (*progress)(void *ctx), void *ctx, ngx_analytics_part_t *part,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t                     rc;
    ngx_uint_t                    i;
    ngx_analytics_part_writer_t  *w;

    /* that is the last one's, also if it has no rows */

    w = ngx_analytics_part_create(dir, path, log_id, parts[n - 1].last, fail);

    if (w == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        rc = ngx_analytics_part_copy(w, dir, path, &parts[i], progress, ctx,
                                     fail);

        if (rc != NGX_OK) {
            ngx_analytics_part_abandon(w);
            return rc;
        }
    }

    return ngx_analytics_part_finish(w, parts[0].from, parts[n - 1].to,
                                     progress, ctx, part, fail);
}


static ngx_int_t
ngx_analytics_part_copy(ngx_analytics_part_writer_t *w, int dir,
    const char *path, ngx_analytics_part_t *part,
    ngx_int_t (*progress)(void *ctx), void *ctx, ngx_analytics_fail_t *fail)
{
    ino_t                         inode;
    ngx_int_t                     rc;
    ngx_uint_t                    n;
    ngx_analytics_db_t           *db;
    ngx_analytics_row_t           row;
    ngx_analytics_filter_t        filter;
    ngx_analytics_select_part_t   select;

    ngx_memzero(&filter, sizeof(ngx_analytics_filter_t));

    filter.from = INT64_MIN;
    filter.to = INT64_MAX;
    filter.since = INT64_MIN;
    filter.received = 1;

    db = ngx_analytics_db_get(path, part, fail);

    if (db == NULL) {
        return NGX_ERROR;
    }

    inode = db->inode;

    rc = ngx_analytics_select_part_open(&select, db, &filter, NULL, fail);

    for (n = 1; rc == NGX_OK; n++) {
        rc = ngx_analytics_select_part_next(&select, &row, fail);

        if (rc == NGX_OK) {
            rc = ngx_analytics_part_add(w, &row, fail);
        }

        if (rc == NGX_OK && n % 1024 == 0 && progress
            && progress(ctx) != NGX_OK)
        {
            rc = NGX_ABORT;
        }
    }

    ngx_analytics_select_part_close(&select);

    if (rc == NGX_ERROR && fail->err == EBADMSG) {

        /* it is not to be in the way the next time */

        (void) ngx_analytics_parts_bad(dir, path, part, inode, fail);
    }

    return (rc == NGX_DONE) ? NGX_OK : rc;
}
