
/*
 * How the counts by period forget.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_periods.h"


static ngx_int_t ngx_analytics_period_erase(ngx_analytics_periods_read_t *r,
    ngx_analytics_period_t *period, ngx_analytics_erasing_t *erasing,
    ngx_analytics_fail_t *fail);


ngx_int_t
ngx_analytics_periods_erase(int dir, const char *path, const uint64_t key[2],
    ngx_analytics_erasing_t *erasing, ngx_int_t (*progress)(void *ctx),
    void *ctx, ngx_analytics_fail_t *fail)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i;
    ngx_analytics_periods_t        list;
    ngx_analytics_periods_read_t   r;

    /* one whose writer was killed */
    (void) unlinkat(dir, NGX_ANALYTICS_PERIOD_TEMP, 0);

    if (ngx_analytics_periods_list(dir, path, &list, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = NGX_OK;

    for (i = 0; i < list.n && rc == NGX_OK; i++) {

        ngx_memzero(&r, sizeof(ngx_analytics_periods_read_t));

        r.dir = dir;
        r.path = path;
        r.from = list.periods[i].start;
        r.to = list.periods[i].start + 1;
        r.key = key;

        rc = ngx_analytics_periods_read_open(&r, fail);

        /* here they are to be seen */
        r.erasing.n = 0;

        if (rc == NGX_OK) {
            rc = ngx_analytics_period_erase(&r, &list.periods[i], erasing,
                                            fail);
        }

        ngx_analytics_periods_read_close(&r);

        if (rc == NGX_OK && progress && progress(ctx) != NGX_OK) {
            rc = NGX_ABORT;
        }
    }

    ngx_analytics_periods_free(&list);

    return rc;
}


static ngx_int_t
ngx_analytics_period_erase(ngx_analytics_periods_read_t *r,
    ngx_analytics_period_t *period, ngx_analytics_erasing_t *erasing,
    ngx_analytics_fail_t *fail)
{
    uint32_t                id;
    uint64_t                count;
    ngx_int_t               rc;
    ngx_str_t               user;
    ngx_uint_t              erased;
    ngx_analytics_names_t   names;
    ngx_analytics_period_t  read;

    if (ngx_analytics_names_init(&names) != NGX_OK) {
        ngx_analytics_failed(fail, "malloc() for", r->path, NULL);
        ngx_analytics_names_free(&names);
        return NGX_ERROR;
    }

    erased = 0;

    while ((rc = ngx_analytics_periods_read_next(r, &read, &user, &count,
                                                 fail))
           == NGX_OK)
    {
        if (ngx_analytics_erasing_hides(erasing, r->key, &user, 0)) {
            erased = 1;
            continue;
        }

        id = ngx_analytics_names_add(&names, &user);

        if (id == 0) {
            ngx_analytics_failed(fail, "malloc() for", r->path, NULL);
            rc = NGX_ERROR;
            break;
        }

        names.names[id - 1].count = count;
    }

    if (rc == NGX_DONE) {
        rc = erased ? ngx_analytics_period_write(r->dir, r->path, period,
                                                 &names, fail)
                    : NGX_OK;
    }

    ngx_analytics_names_free(&names);

    return rc;
}
