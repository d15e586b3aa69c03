
/*
 * Reading what was counted by period.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_periods.h"
#include "ngx_analytics_sqlite.h"


static ngx_int_t ngx_analytics_periods_read_file(
    ngx_analytics_periods_read_t *r, ngx_analytics_period_t *period,
    ngx_analytics_fail_t *fail);
static void ngx_analytics_periods_read_end(ngx_analytics_periods_read_t *r);


ngx_int_t
ngx_analytics_periods_read_open(ngx_analytics_periods_read_t *r,
    ngx_analytics_fail_t *fail)
{
    r->next = 0;
    r->db = NULL;
    r->statement = NULL;

    if (ngx_analytics_erasing_read(r->dir, r->path, &r->erasing, fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_analytics_periods_list(r->dir, r->path, &r->list, fail);
}


ngx_int_t
ngx_analytics_periods_read_next(ngx_analytics_periods_read_t *r,
    ngx_analytics_period_t *period, ngx_str_t *user, uint64_t *count,
    ngx_analytics_fail_t *fail)
{
    int  rc;

    for ( ;; ) {

        if (r->statement == NULL) {

            if (r->next == r->list.n) {
                return NGX_DONE;
            }

            *period = r->list.periods[r->next++];

            if (period->start >= r->from && period->start < r->to
                && ngx_analytics_periods_read_file(r, period, fail) != NGX_OK)
            {
                return NGX_ERROR;
            }

            continue;
        }

        rc = sqlite3_step(r->statement);

        if (rc == SQLITE_ROW) {
            *period = r->list.periods[r->next - 1];
            user->data = (u_char *) sqlite3_column_text(r->statement, 0);
            user->len = (size_t) sqlite3_column_bytes(r->statement, 0);
            *count = (uint64_t) sqlite3_column_int64(r->statement, 1);

            if (ngx_analytics_erasing_hides(&r->erasing, r->key, user, 0)) {
                continue;
            }

            return NGX_OK;
        }

        if (rc != SQLITE_DONE) {
            return ngx_analytics_sqlite_failed(r->db, fail);
        }

        ngx_analytics_periods_read_end(r);
    }
}


/* One that has gone meanwhile was too old: there is no statement then. */

static ngx_int_t
ngx_analytics_periods_read_file(ngx_analytics_periods_read_t *r,
    ngx_analytics_period_t *period, ngx_analytics_fail_t *fail)
{
    char        *uri, name[NGX_ANALYTICS_PERIOD_NAME], file[4096];
    const char  *sql;

    ngx_analytics_period_name(name, period);

    if (faccessat(r->dir, name, F_OK, 0) == -1 && errno == ENOENT) {
        return NGX_OK;
    }

    snprintf(file, sizeof(file), "%s/%s", r->path, name);

    uri = ngx_analytics_sqlite_uri(file);

    if (uri == NULL) {
        ngx_analytics_failed(fail, "malloc() for", file, NULL);
        return NGX_ERROR;
    }

    sql = r->user.len ? "SELECT user, count FROM counts WHERE user = ?"
                      : "SELECT user, count FROM counts ORDER BY user";

    if (sqlite3_open_v2(uri, &r->db, SQLITE_OPEN_READONLY|SQLITE_OPEN_URI
                                     |SQLITE_OPEN_NOMUTEX, NULL)
        != SQLITE_OK
        || sqlite3_prepare_v2(r->db, sql, -1, &r->statement, NULL)
           != SQLITE_OK)
    {
        (void) ngx_analytics_sqlite_failed(r->db, fail);
        free(uri);
        return NGX_ERROR;
    }

    free(uri);

    if (r->user.len) {
        sqlite3_bind_text(r->statement, 1, (char *) r->user.data,
                          (int) r->user.len, SQLITE_STATIC);
    }

    return NGX_OK;
}


static void
ngx_analytics_periods_read_end(ngx_analytics_periods_read_t *r)
{
    sqlite3_finalize(r->statement);
    sqlite3_close(r->db);

    r->statement = NULL;
    r->db = NULL;
}


void
ngx_analytics_periods_read_close(ngx_analytics_periods_read_t *r)
{
    ngx_analytics_periods_read_end(r);
    ngx_analytics_periods_free(&r->list);
}
