
/*
 * How the counts by period forget.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_periods.h"


typedef struct {
    int                      dir;
    const char              *path;
    const uint64_t          *key;
    ngx_analytics_erasing_t *erasing;
    ngx_analytics_fail_t    *fail;
} ngx_analytics_periods_erase_t;


static ngx_int_t ngx_analytics_periods_erase_file(
    ngx_analytics_periods_erase_t *e, ngx_analytics_period_t *period);
static ngx_int_t ngx_analytics_period_erase(ngx_analytics_periods_erase_t *e,
    ngx_analytics_period_t *period, ngx_analytics_period_file_t *file);
static ngx_int_t ngx_analytics_period_rest(ngx_analytics_periods_erase_t *e,
    ngx_analytics_period_file_t *file, ngx_analytics_names_t *names,
    ngx_uint_t *erased);
static ngx_int_t ngx_analytics_period_empty(ngx_analytics_periods_erase_t *e,
    ngx_analytics_period_t *period);


ngx_int_t
ngx_analytics_periods_erase(int dir, const char *path, const uint64_t key[2],
    ngx_analytics_erasing_t *erasing, ngx_int_t (*progress)(void *ctx),
    void *ctx, ngx_analytics_fail_t *fail)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i;
    ngx_analytics_periods_t        list;
    ngx_analytics_periods_erase_t  e;

    e.dir = dir;
    e.path = path;
    e.key = key;
    e.erasing = erasing;
    e.fail = fail;

    /* one whose writer was killed */
    (void) unlinkat(dir, NGX_ANALYTICS_PERIOD_TEMP, 0);

    if (ngx_analytics_periods_list(dir, path, 1, &list, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = NGX_OK;

    for (i = 0; i < list.n && rc == NGX_OK; i++) {
        rc = ngx_analytics_periods_erase_file(&e, &list.periods[i]);

        if (rc == NGX_OK && progress && progress(ctx) != NGX_OK) {
            rc = NGX_ABORT;
        }
    }

    ngx_analytics_periods_free(&list);

    if (rc == NGX_OK && fsync(dir) == -1) {
        ngx_analytics_failed(fail, "fsync()", path, NULL);
        return NGX_ERROR;
    }

    return rc;
}


static ngx_int_t
ngx_analytics_periods_erase_file(ngx_analytics_periods_erase_t *e,
    ngx_analytics_period_t *period)
{
    ngx_int_t                    rc;
    ngx_str_t                    all;
    ngx_analytics_period_t       bad;
    ngx_analytics_period_file_t  file;

    bad = *period;
    bad.kind = NGX_ANALYTICS_PERIOD_BAD;

    if (period->kind == NGX_ANALYTICS_PERIOD_BAD) {
        return ngx_analytics_period_empty(e, &bad);
    }

    ngx_str_null(&all);

    rc = ngx_analytics_period_open(&file, e->dir, e->path, period, &all,
                                   e->fail);

    if (rc == NGX_OK) {
        rc = ngx_analytics_period_erase(e, period, &file);
    }

    ngx_analytics_period_close(&file);

    if (rc == NGX_ERROR && e->fail->err == EBADMSG) {

        /* what cannot be read cannot be written anew; it is counted again */

        rc = ngx_analytics_period_bad(e->dir, e->path, period, file.inode,
                                      e->fail);
        if (rc == NGX_OK) {
            rc = NGX_DECLINED;
        }
    }

    /* who reads may have put it aside, too */

    return (rc == NGX_DECLINED) ? ngx_analytics_period_empty(e, &bad) : rc;
}


static ngx_int_t
ngx_analytics_period_erase(ngx_analytics_periods_erase_t *e,
    ngx_analytics_period_t *period, ngx_analytics_period_file_t *file)
{
    ngx_int_t              rc;
    ngx_uint_t             erased;
    ngx_analytics_names_t  names;

    erased = 0;

    if (ngx_analytics_names_init(&names) != NGX_OK) {
        ngx_analytics_failed(e->fail, "malloc() for", e->path, NULL);
        rc = NGX_ERROR;

    } else {
        rc = ngx_analytics_period_rest(e, file, &names, &erased);
    }

    if (rc == NGX_OK && erased) {
        period->last = file->last;

        rc = ngx_analytics_period_write(e->dir, e->path, period, &names,
                                        e->fail);
    }

    ngx_analytics_names_free(&names);

    return rc;
}


/* The counts of all others. */

static ngx_int_t
ngx_analytics_period_rest(ngx_analytics_periods_erase_t *e,
    ngx_analytics_period_file_t *file, ngx_analytics_names_t *names,
    ngx_uint_t *erased)
{
    uint32_t   id;
    uint64_t   count;
    ngx_int_t  rc;
    ngx_str_t  user;

    while ((rc = ngx_analytics_period_next(file, &user, &count, e->fail))
           == NGX_OK)
    {
        if (ngx_analytics_erasing_hides(e->erasing, e->key, &user, file->last))
        {
            *erased = 1;
            continue;
        }

        id = ngx_analytics_names_add(names, &user);

        if (id == 0) {
            ngx_analytics_failed(e->fail, "malloc() for", e->path, NULL);
            return NGX_ERROR;
        }

        names->names[id - 1].count = count;
    }

    return (rc == NGX_DONE) ? NGX_OK : rc;
}


/* What was put aside, if it was. */

static ngx_int_t
ngx_analytics_period_empty(ngx_analytics_periods_erase_t *e,
    ngx_analytics_period_t *period)
{
    char  name[NGX_ANALYTICS_PERIOD_NAME];

    ngx_analytics_period_name(name, period);

    if (faccessat(e->dir, name, F_OK, 0) == -1 && errno == ENOENT) {
        return NGX_OK;
    }

    return ngx_analytics_erase_empty(e->dir, e->path,
                                     NGX_ANALYTICS_PERIOD_TEMP, name, e->fail);
}
