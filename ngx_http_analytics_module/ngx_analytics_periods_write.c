
/*
 * Writing what was counted of a period.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_periods.h"
#include "ngx_analytics_sqlite.h"


static ngx_int_t ngx_analytics_periods_rows(sqlite3 *db,
    ngx_analytics_names_t *names, ngx_analytics_fail_t *fail);


#define NGX_ANALYTICS_PERIOD_TIME(name)                                       \
    "strftime('%Y-%m-%dT%H:%M:%SZ', (SELECT value FROM period WHERE name = "  \
    "'" name "') / 1000000, 'unixepoch') AS period_" name

static const char  ngx_analytics_periods_schema[] =
    "BEGIN;"
    "CREATE TABLE period (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE counts (user TEXT PRIMARY KEY, count INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE VIEW activity_counts AS SELECT user AS user_id, "
    NGX_ANALYTICS_PERIOD_TIME("start") ", "
    NGX_ANALYTICS_PERIOD_TIME("end") ", count FROM counts;";


ngx_int_t
ngx_analytics_period_write(int dir, const char *path,
    ngx_analytics_period_t *period, ngx_analytics_names_t *names,
    ngx_analytics_fail_t *fail)
{
    char       name[NGX_ANALYTICS_PERIOD_NAME], sql[256];
    uint32_t   i;
    uint64_t   events;
    sqlite3   *db;
    ngx_int_t  rc;

    db = ngx_analytics_sqlite_create(dir, path, NGX_ANALYTICS_PERIOD_TEMP,
                                     ngx_analytics_periods_schema, fail);
    if (db == NULL) {
        return NGX_ERROR;
    }

    for (i = 1, events = 0; i <= names->n; i++) {
        events += ngx_analytics_names_count(names, i);
    }

    snprintf(sql, sizeof(sql),
             "INSERT INTO period VALUES ('version', 1), ('start', %lld),"
             " ('end', %lld), ('events', %llu), ('last', %lld)",
             (long long) period->start, (long long) period->end,
             (unsigned long long) events, (long long) period->last);

    rc = ngx_analytics_sqlite_exec(db, sql, fail);

    if (rc == NGX_OK) {
        rc = ngx_analytics_periods_rows(db, names, fail);
    }

    if (rc == NGX_OK) {
        rc = ngx_analytics_sqlite_exec(db, "COMMIT", fail);
    }

    (void) sqlite3_close(db);

    if (rc != NGX_OK) {
        (void) unlinkat(dir, NGX_ANALYTICS_PERIOD_TEMP, 0);
        return rc;
    }

    ngx_analytics_period_name(name, period);

    return ngx_analytics_sqlite_publish(dir, path, NGX_ANALYTICS_PERIOD_TEMP,
                                        name, NULL, fail);
}


static ngx_int_t
ngx_analytics_periods_rows(sqlite3 *db, ngx_analytics_names_t *names,
    ngx_analytics_fail_t *fail)
{
    uint32_t       i;
    ngx_int_t      rc;
    ngx_str_t      name;
    sqlite3_stmt  *s;

    if (sqlite3_prepare_v2(db, "INSERT INTO counts VALUES (?, ?)", -1, &s,
                           NULL)
        != SQLITE_OK)
    {
        return ngx_analytics_sqlite_failed(db, fail);
    }

    rc = NGX_OK;

    for (i = 1; i <= names->n && rc == NGX_OK; i++) {
        ngx_analytics_names_get(names, i, &name);

        sqlite3_bind_text(s, 1, (char *) name.data, (int) name.len,
                          SQLITE_STATIC);
        sqlite3_bind_int64(s, 2,
                     (sqlite3_int64) ngx_analytics_names_count(names, i));

        if (sqlite3_step(s) != SQLITE_DONE || sqlite3_reset(s) != SQLITE_OK) {
            rc = ngx_analytics_sqlite_failed(db, fail);
        }
    }

    sqlite3_finalize(s);

    return rc;
}
