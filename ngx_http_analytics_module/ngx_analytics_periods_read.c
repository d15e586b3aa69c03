
/*
 * Reading what was counted by period.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_periods.h"
#include "ngx_analytics_sqlite.h"


static ngx_int_t ngx_analytics_period_start(ngx_analytics_period_file_t *file,
    ngx_analytics_period_t *period, ngx_str_t *user,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_period_check(ngx_analytics_period_file_t *file,
    ngx_analytics_period_t *period, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_period_unread(
    ngx_analytics_period_file_t *file, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_read_begin(
    ngx_analytics_periods_read_t *r, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_read_row(
    ngx_analytics_periods_read_t *r, ngx_str_t *user, uint64_t *count,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_read_bad(
    ngx_analytics_periods_read_t *r, ngx_analytics_fail_t *fail);


ngx_int_t
ngx_analytics_period_open(ngx_analytics_period_file_t *file, int dir,
    const char *path, ngx_analytics_period_t *period, ngx_str_t *user,
    ngx_analytics_fail_t *fail)
{
    char        *uri, name[NGX_ANALYTICS_PERIOD_NAME], full[4096];
    ngx_int_t    rc;
    struct stat  st;

    ngx_memzero(file, sizeof(ngx_analytics_period_file_t));

    ngx_analytics_period_name(name, period);

    if (fstatat(dir, name, &st, 0) == -1) {

        if (errno == ENOENT) {
            return NGX_DECLINED;
        }

        ngx_analytics_failed(fail, "stat()", path, name);
        return NGX_ERROR;
    }

    file->inode = st.st_ino;

    snprintf(full, sizeof(full), "%s/%s", path, name);

    uri = ngx_analytics_sqlite_uri(full);

    if (uri == NULL) {
        ngx_analytics_failed(fail, "malloc() for", full, NULL);
        return NGX_ERROR;
    }

    rc = (sqlite3_open_v2(uri, &file->db, SQLITE_OPEN_READONLY
                                          |SQLITE_OPEN_URI
                                          |SQLITE_OPEN_NOMUTEX, NULL)
          == SQLITE_OK)
         ? ngx_analytics_period_start(file, period, user, fail)
         : ngx_analytics_sqlite_unread(file->db, full, fail);

    free(uri);

    return rc;
}


static ngx_int_t
ngx_analytics_period_start(ngx_analytics_period_file_t *file,
    ngx_analytics_period_t *period, ngx_str_t *user,
    ngx_analytics_fail_t *fail)
{
    if (ngx_analytics_period_check(file, period, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    if (sqlite3_prepare_v2(file->db, user->len
                           ? "SELECT user, count FROM counts WHERE user = ?"
                           : "SELECT user, count FROM counts ORDER BY user",
                           -1, &file->statement, NULL)
        != SQLITE_OK)
    {
        return ngx_analytics_period_unread(file, fail);
    }

    if (user->len) {
        sqlite3_bind_text(file->statement, 1, (char *) user->data,
                          (int) user->len, SQLITE_STATIC);
    }

    return NGX_OK;
}


/* Whether it is what its name says. */

static ngx_int_t
ngx_analytics_period_check(ngx_analytics_period_file_t *file,
    ngx_analytics_period_t *period, ngx_analytics_fail_t *fail)
{
    int            rc;
    int64_t        start, end;
    sqlite3_stmt  *s;

    if (sqlite3_prepare_v2(file->db,
                           "SELECT a.value, b.value, c.value FROM period a,"
                           " period b, period c WHERE a.name = 'start'"
                           " AND b.name = 'end' AND c.name = 'last'", -1,
                           &s, NULL)
        != SQLITE_OK)
    {
        return ngx_analytics_period_unread(file, fail);
    }

    start = 0;
    end = 0;

    rc = sqlite3_step(s);

    if (rc == SQLITE_ROW) {
        start = sqlite3_column_int64(s, 0);
        end = sqlite3_column_int64(s, 1);
        file->last = (uint64_t) sqlite3_column_int64(s, 2);

    } else if (rc != SQLITE_DONE) {
        (void) ngx_analytics_period_unread(file, fail);
    }

    sqlite3_finalize(s);

    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        return NGX_ERROR;
    }

    if (start != period->start || end != period->end) {
        fail->err = EBADMSG;
        snprintf(fail->text, sizeof(fail->text), "\"%s\" is not of the period "
                 "that its name says",
                 sqlite3_db_filename(file->db, "main"));
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_analytics_period_next(ngx_analytics_period_file_t *file, ngx_str_t *user,
    uint64_t *count, ngx_analytics_fail_t *fail)
{
    sqlite3_stmt  *s;

    s = file->statement;

    switch (sqlite3_step(s)) {

    case SQLITE_ROW:
        break;

    case SQLITE_DONE:
        return NGX_DONE;

    default:
        return ngx_analytics_period_unread(file, fail);
    }

    user->data = (u_char *) sqlite3_column_text(s, 0);
    user->len = (size_t) sqlite3_column_bytes(s, 0);
    *count = (uint64_t) sqlite3_column_int64(s, 1);

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_period_unread(ngx_analytics_period_file_t *file,
    ngx_analytics_fail_t *fail)
{
    return ngx_analytics_sqlite_unread(file->db,
                                       sqlite3_db_filename(file->db, "main"),
                                       fail);
}


void
ngx_analytics_period_close(ngx_analytics_period_file_t *file)
{
    sqlite3_finalize(file->statement);
    sqlite3_close(file->db);

    file->statement = NULL;
    file->db = NULL;
}


ngx_int_t
ngx_analytics_periods_read_open(ngx_analytics_periods_read_t *r,
    ngx_analytics_fail_t *fail)
{
    r->incomplete = 0;
    r->next = 0;

    ngx_memzero(&r->file, sizeof(ngx_analytics_period_file_t));

    if (ngx_analytics_erasing_read(r->dir, r->path, &r->erasing, fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_analytics_periods_list(r->dir, r->path, 0, &r->list, fail);
}


ngx_int_t
ngx_analytics_periods_read_next(ngx_analytics_periods_read_t *r,
    ngx_analytics_period_t *period, ngx_str_t *user, uint64_t *count,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t  rc;

    for ( ;; ) {

        if (r->file.statement) {
            rc = ngx_analytics_periods_read_row(r, user, count, fail);

            if (rc == NGX_OK) {
                *period = r->list.periods[r->next - 1];
                return NGX_OK;
            }

        } else {

            if (r->next == r->list.n) {
                return NGX_DONE;
            }

            rc = ngx_analytics_periods_read_begin(r, fail);
        }

        if (rc == NGX_ERROR
            && ngx_analytics_periods_read_bad(r, fail) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }
}


/* Opens the next file, if it is to be read; one that has gone was too old. */

static ngx_int_t
ngx_analytics_periods_read_begin(ngx_analytics_periods_read_t *r,
    ngx_analytics_fail_t *fail)
{
    ngx_analytics_period_t  *period;

    period = &r->list.periods[r->next++];

    /* one of which nobody knows what it had may be longer than others */

    if (period->kind != NGX_ANALYTICS_PERIOD_EXACT
        && period->start < r->to && period->end > r->from)
    {
        r->incomplete = 1;
    }

    if (period->start < r->from || period->start >= r->to
        || period->kind == NGX_ANALYTICS_PERIOD_BAD)
    {
        return NGX_OK;
    }

    return ngx_analytics_period_open(&r->file, r->dir, r->path, period,
                                     &r->user, fail);
}


static ngx_int_t
ngx_analytics_periods_read_row(ngx_analytics_periods_read_t *r,
    ngx_str_t *user, uint64_t *count, ngx_analytics_fail_t *fail)
{
    ngx_int_t  rc;

    do {
        rc = ngx_analytics_period_next(&r->file, user, count, fail);

    } while (rc == NGX_OK
             && ngx_analytics_erasing_hides(&r->erasing, r->key, user,
                                            r->file.last));

    if (rc == NGX_DONE) {
        ngx_analytics_period_close(&r->file);
    }

    return rc;
}


/* NGX_OK if it was only that the file is damaged. */

static ngx_int_t
ngx_analytics_periods_read_bad(ngx_analytics_periods_read_t *r,
    ngx_analytics_fail_t *fail)
{
    ngx_analytics_period_close(&r->file);

    if (fail->err != EBADMSG) {
        return NGX_ERROR;
    }

    r->incomplete = 1;

    return ngx_analytics_period_bad(r->dir, r->path,
                                    &r->list.periods[r->next - 1],
                                    r->file.inode, fail);
}


void
ngx_analytics_periods_read_close(ngx_analytics_periods_read_t *r)
{
    ngx_analytics_period_close(&r->file);
    ngx_analytics_periods_free(&r->list);
}
