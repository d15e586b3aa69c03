
/*
 * The files of what was counted by period.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_periods.h"
#include "ngx_analytics_store.h"
#include "ngx_analytics_time.h"

#include <dirent.h>


static ngx_int_t ngx_analytics_period_parse(const char *name,
    ngx_analytics_period_t *period);
static ngx_int_t ngx_analytics_periods_read(DIR *d,
    ngx_analytics_periods_t *list);
static ngx_int_t ngx_analytics_periods_add(ngx_analytics_periods_t *list,
    ngx_analytics_period_t *period);
static int ngx_analytics_periods_cmp(const void *one, const void *two);
static void ngx_analytics_periods_best(ngx_analytics_periods_t *list);


/* by kind: what a name ends with */

static const char  *const ngx_analytics_period_ends[] = {
    ".db",
    ".inexact.db",
    ".db.bad"
};


void
ngx_analytics_period_name(char *name, ngx_analytics_period_t *period)
{
    snprintf(name, NGX_ANALYTICS_PERIOD_NAME, "period-%015lld-%015lld%s",
             (long long) (period->start / NGX_ANALYTICS_SECOND),
             (long long) (period->end / NGX_ANALYTICS_SECOND),
             ngx_analytics_period_ends[period->kind]);
}


static ngx_int_t
ngx_analytics_period_parse(const char *name, ngx_analytics_period_t *period)
{
    char       again[NGX_ANALYTICS_PERIOD_NAME];
    long long  start, end;

    if (sscanf(name, "period-%15lld-%15lld", &start, &end) != 2
        || start >= end)
    {
        return NGX_DECLINED;
    }

    period->start = start * NGX_ANALYTICS_SECOND;
    period->end = end * NGX_ANALYTICS_SECOND;
    period->last = 0;

    for (period->kind = NGX_ANALYTICS_PERIOD_EXACT;
         period->kind <= NGX_ANALYTICS_PERIOD_BAD;
         period->kind++)
    {
        ngx_analytics_period_name(again, period);

        if (strcmp(name, again) == 0) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_analytics_periods_list(int dir, const char *path, ngx_uint_t all,
    ngx_analytics_periods_t *list, ngx_analytics_fail_t *fail)
{
    int        fd;
    DIR       *d;
    ngx_int_t  rc;

    ngx_memzero(list, sizeof(ngx_analytics_periods_t));

    fd = openat(dir, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    d = (fd == -1) ? NULL : fdopendir(fd);

    if (d == NULL) {
        ngx_analytics_failed(fail, "opendir()", path, NULL);

        if (fd != -1) {
            (void) close(fd);
        }

        return NGX_ERROR;
    }

    rc = ngx_analytics_periods_read(d, list);

    if (rc != NGX_OK) {
        ngx_analytics_failed(fail, "readdir()", path, NULL);
        ngx_analytics_periods_free(list);
    }

    (void) closedir(d);

    if (list->n > 1) {
        qsort(list->periods, list->n, sizeof(ngx_analytics_period_t),
              ngx_analytics_periods_cmp);
    }

    if (!all) {
        ngx_analytics_periods_best(list);
    }

    return rc;
}


static ngx_int_t
ngx_analytics_periods_read(DIR *d, ngx_analytics_periods_t *list)
{
    struct dirent           *entry;
    ngx_analytics_period_t   period;

    for ( ;; ) {
        errno = 0;

        entry = readdir(d);

        if (entry == NULL) {
            return errno ? NGX_ERROR : NGX_OK;
        }

        if (ngx_analytics_period_parse(entry->d_name, &period) == NGX_OK
            && ngx_analytics_periods_add(list, &period) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }
}


static ngx_int_t
ngx_analytics_periods_add(ngx_analytics_periods_t *list,
    ngx_analytics_period_t *period)
{
    void  *p;

    if ((list->n & (list->n - 1)) == 0) {
        p = realloc(list->periods, ngx_max(2 * list->n, 1)
                                   * sizeof(ngx_analytics_period_t));
        if (p == NULL) {
            return NGX_ERROR;
        }

        list->periods = p;
    }

    list->periods[list->n++] = *period;

    return NGX_OK;
}


static int
ngx_analytics_periods_cmp(const void *one, const void *two)
{
    const ngx_analytics_period_t  *a = one, *b = two;

    if (a->start != b->start) {
        return (a->start > b->start) - (a->start < b->start);
    }

    if (a->end != b->end) {
        return (a->end > b->end) - (a->end < b->end);
    }

    return (a->kind > b->kind) - (a->kind < b->kind);
}


static void
ngx_analytics_periods_best(ngx_analytics_periods_t *list)
{
    ngx_uint_t  i, n;

    for (i = 0, n = 0; i < list->n; i++) {

        if (n && ngx_analytics_period_same(&list->periods[n - 1],
                                           &list->periods[i]))
        {
            continue;
        }

        list->periods[n++] = list->periods[i];
    }

    list->n = n;
}


void
ngx_analytics_periods_free(ngx_analytics_periods_t *list)
{
    free(list->periods);

    list->periods = NULL;
    list->n = 0;
}


ngx_int_t
ngx_analytics_period_bad(int dir, const char *path,
    ngx_analytics_period_t *period, ino_t inode, ngx_analytics_fail_t *fail)
{
    char                    name[NGX_ANALYTICS_PERIOD_NAME];
    char                    aside[NGX_ANALYTICS_PERIOD_NAME];
    ngx_analytics_period_t  bad;

    bad = *period;
    bad.kind = NGX_ANALYTICS_PERIOD_BAD;

    ngx_analytics_period_name(name, period);
    ngx_analytics_period_name(aside, &bad);

    return ngx_analytics_parts_aside(dir, path, name, aside, inode,
                                     "what was counted of a period", fail);
}
