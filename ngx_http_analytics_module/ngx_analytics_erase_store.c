
/*
 * How the store forgets.
 *
 * A part never changes, and what SQLite deletes it leaves in the file: so a
 * part is written anew, and takes the place of the old one.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_erase.h"
#include "ngx_analytics_fault.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_select.h"
#include "ngx_analytics_store.h"

#include <dirent.h>


#define NGX_ANALYTICS_ERASE_ROWS  1024       /* between two looks */


typedef struct {
    int                         dir;
    const char                 *path;
    u_char                     *log_id;
    const uint64_t             *key;
    ngx_analytics_erasing_t    *erasing;
    ngx_int_t                 (*progress)(void *ctx);
    void                       *ctx;
    uint64_t                    rows;
    ngx_uint_t                  written;     /* a part was */
    ngx_analytics_fail_t       *fail;
} ngx_analytics_erase_parts_t;


static ngx_int_t ngx_analytics_erase_names(ngx_analytics_erase_parts_t *e,
    char **names, ngx_uint_t *n);
static ngx_int_t ngx_analytics_erase_file(ngx_analytics_erase_parts_t *e,
    const char *name);
static ngx_int_t ngx_analytics_erase_part(ngx_analytics_erase_parts_t *e,
    ngx_analytics_part_t *part);
static ngx_int_t ngx_analytics_erase_known(ngx_analytics_erase_parts_t *e,
    ngx_analytics_db_t *db, ngx_uint_t *known);
static ngx_int_t ngx_analytics_erase_user_known(
    ngx_analytics_erase_parts_t *e, sqlite3_stmt *users, sqlite3_stmt *rows);
static ngx_int_t ngx_analytics_erase_rewrite(ngx_analytics_erase_parts_t *e,
    ngx_analytics_part_t *part);
static ngx_int_t ngx_analytics_erase_rows(ngx_analytics_erase_parts_t *e,
    ngx_analytics_db_t *db, ngx_analytics_part_writer_t *w);
static ngx_uint_t ngx_analytics_erase_row(ngx_analytics_erase_parts_t *e,
    ngx_analytics_row_t *row);


ngx_int_t
ngx_analytics_erase_store(int dir, const char *path, u_char *log_id,
    const uint64_t key[2], ngx_analytics_erasing_t *erasing,
    ngx_int_t (*progress)(void *ctx), ngx_int_t (*turn)(void *ctx), void *ctx,
    uint64_t *rows, ngx_analytics_fail_t *fail)
{
    char                         *names, *name;
    ngx_int_t                     rc;
    ngx_uint_t                    i, n;
    ngx_analytics_erase_parts_t   e;

    e.dir = dir;
    e.path = path;
    e.log_id = log_id;
    e.key = key;
    e.erasing = erasing;
    e.progress = progress;
    e.ctx = ctx;
    e.rows = 0;
    e.written = 0;
    e.fail = fail;

    /* one whose writer was killed */
    (void) unlinkat(dir, NGX_ANALYTICS_PART_TEMP, 0);

    rc = ngx_analytics_erase_names(&e, &names, &n);

    for (i = 0; i < n && rc == NGX_OK; i++) {
        name = names + i * (NAME_MAX + 1);

        rc = ngx_analytics_erase_file(&e, name);

        if (rc == NGX_OK && progress && progress(ctx) != NGX_OK) {
            rc = NGX_ABORT;
        }

        if (rc == NGX_OK && e.written && turn && turn(ctx) != NGX_OK) {
            rc = NGX_AGAIN;
        }
    }

    free(names);

    /* the files that were written anew are open no longer */

    ngx_analytics_db_purge(path);

    *rows = e.rows;

    if (rc == NGX_OK && fsync(dir) == -1) {
        ngx_analytics_failed(fail, "fsync()", path, NULL);
        return NGX_ERROR;
    }

    return rc;
}


/*
 * All parts, also those that lie within another one, and what was put aside;
 * first of all, as the directory changes under who reads it.
 */
static ngx_int_t
ngx_analytics_erase_names(ngx_analytics_erase_parts_t *e, char **names,
    ngx_uint_t *n)
{
    DIR                   *d;
    char                  *p;
    ngx_int_t              rc;
    ngx_uint_t             bad;
    struct dirent         *entry;
    ngx_analytics_part_t   part;

    *names = NULL;
    *n = 0;

    d = opendir(e->path);

    if (d == NULL) {
        ngx_analytics_failed(e->fail, "opendir()", e->path, NULL);
        return NGX_ERROR;
    }

    rc = NGX_OK;

    while (rc == NGX_OK && (errno = 0, entry = readdir(d)) != NULL) {

        if (ngx_analytics_parts_parse(entry->d_name, &part, &bad) != NGX_OK) {
            continue;
        }

        p = realloc(*names, (*n + 1) * (NAME_MAX + 1));

        if (p == NULL) {
            rc = NGX_ERROR;
            break;
        }

        *names = p;
        memcpy(p + *n * (NAME_MAX + 1), entry->d_name,
               strlen(entry->d_name) + 1);
        (*n)++;
    }

    if (errno) {
        rc = NGX_ERROR;
    }

    if (rc != NGX_OK) {
        ngx_analytics_failed(e->fail, "readdir()", e->path, NULL);
    }

    (void) closedir(d);

    return rc;
}


static ngx_int_t
ngx_analytics_erase_file(ngx_analytics_erase_parts_t *e, const char *name)
{
    char                  aside[NGX_ANALYTICS_PART_NAME + sizeof(".bad")];
    ngx_int_t             rc;
    ngx_uint_t            bad;
    ngx_analytics_part_t  part;

    (void) ngx_analytics_parts_parse(name, &part, &bad);

    if (bad) {
        return ngx_analytics_erase_empty(e->dir, e->path,
                                         NGX_ANALYTICS_PART_TEMP, name,
                                         e->fail);
    }

    rc = ngx_analytics_erase_part(e, &part);

    if (rc != NGX_ERROR || e->fail->err != EBADMSG) {
        return rc;
    }

    /* what cannot be read cannot be written anew */

    snprintf(aside, sizeof(aside), "%s.bad", name);

    if (renameat(e->dir, name, e->dir, aside) == -1) {
        ngx_analytics_failed(e->fail, "rename() of", e->path, name);
        return NGX_ERROR;
    }

    return ngx_analytics_erase_empty(e->dir, e->path, NGX_ANALYTICS_PART_TEMP,
                                     aside, e->fail);
}


ngx_int_t
ngx_analytics_erase_empty(int dir, const char *path, const char *temp,
    const char *name, ngx_analytics_fail_t *fail)
{
    int  fd;

    fd = openat(dir, temp, O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0600);

    if (fd == -1) {
        ngx_analytics_failed(fail, "open()", path, temp);
        return NGX_ERROR;
    }

    (void) close(fd);

    if (renameat(dir, temp, dir, name) == -1) {
        ngx_analytics_failed(fail, "rename() to", path, name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_erase_part(ngx_analytics_erase_parts_t *e,
    ngx_analytics_part_t *part)
{
    ngx_int_t            rc;
    ngx_uint_t           known;
    ngx_analytics_db_t  *db;

    db = ngx_analytics_db_get(e->path, part, e->fail);

    if (db == NULL) {
        return NGX_ERROR;
    }

    known = 0;
    rc = ngx_analytics_erase_known(e, db, &known);

    ngx_analytics_db_put(db, rc != NGX_OK);

    return (rc == NGX_OK && known) ? ngx_analytics_erase_rewrite(e, part)
                                   : rc;
}


/* Whether there is a row that says something of the users. */

static ngx_int_t
ngx_analytics_erase_known(ngx_analytics_erase_parts_t *e,
    ngx_analytics_db_t *db, ngx_uint_t *known)
{
    int            step;
    ngx_int_t      rc;
    sqlite3_stmt  *users, *rows;

    rows = NULL;
    users = NULL;

    if (sqlite3_prepare_v2(db->db, "SELECT id, name FROM users", -1, &users,
                           NULL)
        != SQLITE_OK
        || sqlite3_prepare_v2(db->db, "SELECT 1 FROM rows INDEXED BY rows_user"
                              " WHERE user = ?1 AND id < ?2 LIMIT 1", -1,
                              &rows, NULL)
           != SQLITE_OK)
    {
        rc = NGX_ERROR;
        goto done;
    }

    rc = NGX_DECLINED;

    while (rc == NGX_DECLINED) {
        step = sqlite3_step(users);

        if (step != SQLITE_ROW) {
            rc = (step == SQLITE_DONE) ? NGX_OK : NGX_ERROR;
            break;
        }

        rc = ngx_analytics_erase_user_known(e, users, rows);

        if (rc == NGX_OK) {
            *known = 1;
        }
    }

done:

    if (rc == NGX_ERROR) {
        (void) ngx_analytics_db_failed(db, e->fail);
    }

    sqlite3_finalize(users);
    sqlite3_finalize(rows);

    return rc;
}


/* NGX_DECLINED if there is none of this one. */

static ngx_int_t
ngx_analytics_erase_user_known(ngx_analytics_erase_parts_t *e,
    sqlite3_stmt *users, sqlite3_stmt *rows)
{
    int                       step;
    size_t                    len;
    u_char                   *name;
    ngx_analytics_erasure_t  *erasure;

    name = (u_char *) sqlite3_column_text(users, 1);
    len = (size_t) sqlite3_column_bytes(users, 1);

    if (name == NULL) {
        return NGX_DECLINED;
    }

    erasure = ngx_analytics_erasing_find(e->erasing,
                                 ngx_analytics_siphash(e->key, name, len));
    if (erasure == NULL) {
        return NGX_DECLINED;
    }

    sqlite3_bind_int64(rows, 1, sqlite3_column_int64(users, 0));
    sqlite3_bind_int64(rows, 2, (sqlite3_int64) erasure->seq);

    step = sqlite3_step(rows);

    sqlite3_reset(rows);

    switch (step) {

    case SQLITE_ROW:
        return NGX_OK;

    case SQLITE_DONE:
        return NGX_DECLINED;

    default:
        return NGX_ERROR;
    }
}


static ngx_int_t
ngx_analytics_erase_rewrite(ngx_analytics_erase_parts_t *e,
    ngx_analytics_part_t *part)
{
    ngx_int_t                     rc;
    ngx_analytics_db_t           *db;
    ngx_analytics_part_t          anew;
    ngx_analytics_part_writer_t  *w;

    ngx_analytics_fault_stop("erase.part");

    e->written = 1;

    w = ngx_analytics_part_create(e->dir, e->path, e->log_id, 0, e->fail);

    if (w == NULL) {
        return NGX_ERROR;
    }

    db = ngx_analytics_db_get(e->path, part, e->fail);

    rc = db ? ngx_analytics_erase_rows(e, db, w) : NGX_ERROR;

    if (rc != NGX_OK) {
        ngx_analytics_part_abandon(w);
        return rc;
    }

    return ngx_analytics_part_finish(w, part->from, part->to, e->progress,
                                     e->ctx, &anew, e->fail);
}


static ngx_int_t
ngx_analytics_erase_rows(ngx_analytics_erase_parts_t *e,
    ngx_analytics_db_t *db, ngx_analytics_part_writer_t *w)
{
    ngx_int_t                     rc;
    ngx_uint_t                    n;
    ngx_analytics_row_t           row;
    ngx_analytics_filter_t        filter;
    ngx_analytics_select_part_t   select;

    ngx_memzero(&filter, sizeof(ngx_analytics_filter_t));

    filter.from = INT64_MIN;
    filter.to = INT64_MAX;
    filter.since = INT64_MIN;
    filter.received = 1;

    rc = ngx_analytics_select_part_open(&select, db, &filter, NULL, e->fail);

    for (n = 1; rc == NGX_OK; n++) {
        rc = ngx_analytics_select_part_next(&select, &row, e->fail);

        if (rc != NGX_OK) {
            break;
        }

        e->rows += ngx_analytics_erase_row(e, &row);

        rc = ngx_analytics_part_add(w, &row, e->fail);

        if (rc == NGX_OK && n % NGX_ANALYTICS_ERASE_ROWS == 0
            && e->progress && e->progress(e->ctx) != NGX_OK)
        {
            rc = NGX_ABORT;
        }
    }

    ngx_analytics_select_part_close(&select);

    return (rc == NGX_DONE) ? NGX_OK : rc;
}


static ngx_uint_t
ngx_analytics_erase_row(ngx_analytics_erase_parts_t *e,
    ngx_analytics_row_t *row)
{
    if (!ngx_analytics_erasing_hides(e->erasing, e->key, &row->user, row->id))
    {
        return 0;
    }

    ngx_analytics_row_erase(row);

    return 1;
}
