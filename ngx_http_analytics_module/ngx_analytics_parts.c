
/*
 * Which parts there are.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_store.h"
#include "ngx_analytics_fault.h"

#include <dirent.h>


#define NGX_ANALYTICS_PART_BAD    ".bad"
#define NGX_ANALYTICS_PART_AHEAD  ".ahead"


static DIR *ngx_analytics_parts_open(int dir, const char *path,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_parts_read(int dir, DIR *d,
    ngx_analytics_store_list_t *list);
static ngx_int_t ngx_analytics_parts_take(int dir, const char *name,
    ngx_analytics_store_list_t *list);
static void ngx_analytics_parts_order(ngx_analytics_store_list_t *list);
static int ngx_analytics_parts_cmp(const void *one, const void *two);


void  (*ngx_analytics_parts_told)(const char *what,
    ngx_analytics_fail_t *fail);


ngx_int_t
ngx_analytics_store_list(int dir, const char *path,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail)
{
    DIR       *d;
    ngx_int_t  rc;

    ngx_memzero(list, sizeof(ngx_analytics_store_list_t));

    list->from = UINT64_MAX;

    d = ngx_analytics_parts_open(dir, path, fail);

    if (d == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_analytics_parts_read(dir, d, list);

    if (rc != NGX_OK) {
        ngx_analytics_failed(fail, "readdir()", path, NULL);
        ngx_analytics_store_free(list);
    }

    (void) closedir(d);

    ngx_analytics_parts_order(list);

    return rc;
}


static DIR *
ngx_analytics_parts_open(int dir, const char *path,
    ngx_analytics_fail_t *fail)
{
    int   fd;
    DIR  *d;

    fd = openat(dir, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    d = (fd == -1) ? NULL : fdopendir(fd);

    if (d == NULL) {
        ngx_analytics_failed(fail, "opendir()", path, NULL);

        if (fd != -1) {
            (void) close(fd);
        }
    }

    return d;
}


static ngx_int_t
ngx_analytics_parts_read(int dir, DIR *d, ngx_analytics_store_list_t *list)
{
    struct dirent  *entry;

    for ( ;; ) {
        errno = 0;

        entry = readdir(d);

        if (entry == NULL) {
            return errno ? NGX_ERROR : NGX_OK;
        }

        if (ngx_analytics_parts_take(dir, entry->d_name, list) != NGX_OK) {
            return NGX_ERROR;
        }
    }
}


static ngx_int_t
ngx_analytics_parts_take(int dir, const char *name,
    ngx_analytics_store_list_t *list)
{
    ngx_uint_t             bad;
    struct stat            st;
    ngx_analytics_part_t   part, *p;

    if (ngx_analytics_parts_parse(name, &part, &bad) != NGX_OK
        || fstatat(dir, name, &st, 0) == -1)
    {
        /* not ours, or gone meanwhile */
        return NGX_OK;
    }

    list->from = ngx_min(list->from, part.from);
    list->to = ngx_max(list->to, part.to);

    if (bad) {
        return NGX_OK;
    }

    part.size = (uint64_t) st.st_size;

    p = realloc(list->parts, (list->n + 1) * sizeof(ngx_analytics_part_t));
    if (p == NULL) {
        return NGX_ERROR;
    }

    list->parts = p;
    list->parts[list->n++] = part;

    return NGX_OK;
}


ngx_int_t
ngx_analytics_parts_parse(const char *name, ngx_analytics_part_t *part,
    ngx_uint_t *bad)
{
    char    good[NGX_ANALYTICS_PART_NAME];
    size_t  len;

    len = strlen(name);
    ngx_memzero(part, sizeof(ngx_analytics_part_t));

    *bad = (len == NGX_ANALYTICS_PART_NAME - 1
                   + sizeof(NGX_ANALYTICS_PART_BAD) - 1
            && strcmp(name + NGX_ANALYTICS_PART_NAME - 1,
                      NGX_ANALYTICS_PART_BAD) == 0);

    if (*bad) {
        memcpy(good, name, NGX_ANALYTICS_PART_NAME - 1);
        good[NGX_ANALYTICS_PART_NAME - 1] = '\0';
        name = good;
    }

    return ngx_analytics_part_parse(name, &part->from, &part->to);
}


/* Of parts that begin at the same place, the longest comes first. */

static void
ngx_analytics_parts_order(ngx_analytics_store_list_t *list)
{
    uint64_t    end;
    ngx_uint_t  i, n;

    if (list->from > list->to) {
        list->from = 0;
    }

    if (list->n > 1) {
        qsort(list->parts, list->n, sizeof(ngx_analytics_part_t),
              ngx_analytics_parts_cmp);
    }

    end = list->from;

    for (i = 0, n = 0; i < list->n; i++) {

        if (list->parts[i].to <= end) {
            continue;
        }

        list->missing += list->parts[i].from - end;
        list->size += list->parts[i].size;

        end = list->parts[i].to;
        list->parts[n++] = list->parts[i];
    }

    list->n = n;
    list->missing += list->to - end;
}


static int
ngx_analytics_parts_cmp(const void *one, const void *two)
{
    const ngx_analytics_part_t  *a = one, *b = two;

    if (a->from != b->from) {
        return (a->from > b->from) - (a->from < b->from);
    }

    return (a->to < b->to) - (a->to > b->to);
}


void
ngx_analytics_store_free(ngx_analytics_store_list_t *list)
{
    free(list->parts);

    list->parts = NULL;
    list->n = 0;
}


ngx_int_t
ngx_analytics_parts_bad(int dir, const char *path, ngx_analytics_part_t *part,
    ino_t inode, ngx_analytics_fail_t *fail)
{
    char  name[NGX_ANALYTICS_PART_NAME];
    char  bad[NGX_ANALYTICS_PART_NAME + sizeof(NGX_ANALYTICS_PART_BAD)];

    ngx_analytics_part_name(name, part->from, part->to);
    snprintf(bad, sizeof(bad), "%s" NGX_ANALYTICS_PART_BAD, name);

    return ngx_analytics_parts_aside(dir, path, name, bad, inode,
                                     "a part of an analytics store", fail);
}


ngx_int_t
ngx_analytics_parts_aside(int dir, const char *path, const char *name,
    const char *aside, ino_t inode, const char *what,
    ngx_analytics_fail_t *fail)
{
    struct stat  st;

    if (inode && (fstatat(dir, name, &st, 0) == -1 || st.st_ino != inode)) {
        return NGX_OK;
    }

    ngx_analytics_fault_stop("bad");

    if (renameat(dir, name, dir, aside) == -1) {

        if (errno == ENOENT) {
            /* somebody else was quicker */
            return NGX_OK;
        }

        ngx_analytics_failed(fail, "rename() of", path, name);
        return NGX_ERROR;
    }

    if (ngx_analytics_parts_told) {
        ngx_analytics_parts_told(what, fail);
    }

    return NGX_OK;
}


ngx_int_t
ngx_analytics_parts_ahead(int dir, const char *path, uint64_t tail,
    ngx_analytics_fail_t *fail)
{
    DIR                   *d;
    ngx_int_t              rc;
    ngx_uint_t             bad;
    struct dirent         *entry;
    ngx_analytics_part_t   part;
    char                   aside[sizeof(entry->d_name)
                                 + sizeof(NGX_ANALYTICS_PART_AHEAD)];

    d = ngx_analytics_parts_open(dir, path, fail);

    if (d == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_OK;

    while (rc == NGX_OK && (entry = readdir(d)) != NULL) {

        if (ngx_analytics_parts_parse(entry->d_name, &part, &bad) != NGX_OK
            || part.to <= tail)
        {
            continue;
        }

        snprintf(aside, sizeof(aside), "%s" NGX_ANALYTICS_PART_AHEAD,
                 entry->d_name);

        if (renameat(dir, entry->d_name, dir, aside) == -1) {
            ngx_analytics_failed(fail, "rename() of", path, entry->d_name);
            rc = NGX_ERROR;
        }
    }

    (void) closedir(d);

    return rc;
}
