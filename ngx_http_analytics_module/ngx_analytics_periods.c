
/*
 * Counting by period.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_periods.h"
#include "ngx_analytics_names.h"
#include "ngx_analytics_sqlite.h"
#include "ngx_analytics_time.h"


/* events between two looks whether to give up */
#define NGX_ANALYTICS_PERIOD_PAUSE  4096


static ngx_int_t ngx_analytics_periods_clean(
    ngx_analytics_periods_conf_t *conf, ngx_analytics_periods_t *list,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_retain(
    ngx_analytics_periods_conf_t *conf, ngx_analytics_periods_t *list,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_remove(
    ngx_analytics_periods_conf_t *conf, ngx_analytics_period_t *period,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_again(
    ngx_analytics_periods_conf_t *conf, ngx_analytics_periods_t *list,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_new(
    ngx_analytics_periods_conf_t *conf, ngx_analytics_periods_t *list,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_make(
    ngx_analytics_periods_conf_t *conf, ngx_analytics_period_t *period,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_lost(
    ngx_analytics_periods_conf_t *conf, int64_t start, int64_t end,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_first(
    ngx_analytics_periods_conf_t *conf, int64_t from, int64_t *received,
    ngx_uint_t *lost, ngx_analytics_fail_t *fail);
static ngx_analytics_find_t *ngx_analytics_periods_find(
    ngx_analytics_periods_conf_t *conf, int64_t from, int64_t to,
    ngx_uint_t known, uint64_t limit, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_reach(
    ngx_analytics_periods_conf_t *conf, ngx_analytics_period_t *period,
    ngx_uint_t *reach, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_count(
    ngx_analytics_periods_conf_t *conf, ngx_analytics_period_t *period,
    ngx_analytics_names_t *names, ngx_analytics_fail_t *fail);
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


/* nobody sets it: see progress() */
static volatile ngx_uint_t  ngx_analytics_periods_stop;


ngx_int_t
ngx_analytics_periods_step(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t                rc;
    ngx_uint_t               i;
    ngx_analytics_periods_t  list;

    static ngx_int_t (*const work[])(ngx_analytics_periods_conf_t *conf,
        ngx_analytics_periods_t *list, ngx_analytics_fail_t *fail) =
    {
        ngx_analytics_periods_clean,
        ngx_analytics_periods_retain,
        ngx_analytics_periods_again,
        ngx_analytics_periods_new
    };

    if (ngx_analytics_periods_list(conf->dir, conf->path, 1, &list, fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = NGX_DECLINED;

    for (i = 0; i < sizeof(work) / sizeof(work[0]) && rc == NGX_DECLINED; i++)
    {
        rc = work[i](conf, &list, fail);
    }

    ngx_analytics_periods_free(&list);

    return rc;
}


/* What was counted again, by who did not live to remove the other file. */

static ngx_int_t
ngx_analytics_periods_clean(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_periods_t *list, ngx_analytics_fail_t *fail)
{
    ngx_uint_t  i;

    for (i = 1; i < list->n; i++) {

        if (ngx_analytics_period_same(&list->periods[i - 1],
                                      &list->periods[i]))
        {
            return ngx_analytics_periods_remove(conf, &list->periods[i], fail);
        }
    }

    return NGX_DECLINED;
}


/* The last one stays: it says from where on there is something to count. */

static ngx_int_t
ngx_analytics_periods_retain(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_periods_t *list, ngx_analytics_fail_t *fail)
{
    if (conf->keep == 0 || list->n < 2
        || list->periods[0].end > conf->now - conf->keep)
    {
        return NGX_DECLINED;
    }

    return ngx_analytics_periods_remove(conf, &list->periods[0], fail);
}


static ngx_int_t
ngx_analytics_periods_remove(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_period_t *period, ngx_analytics_fail_t *fail)
{
    char  name[NGX_ANALYTICS_PERIOD_NAME];

    ngx_analytics_period_name(name, period);

    if (unlinkat(conf->dir, name, 0) == -1 && errno != ENOENT) {
        ngx_analytics_failed(fail, "unlink()", conf->path, name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* What was put aside. */

static ngx_int_t
ngx_analytics_periods_again(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_periods_t *list, ngx_analytics_fail_t *fail)
{
    ngx_int_t               rc;
    ngx_uint_t              i;
    ngx_analytics_period_t  period;

    for (i = 0; i < list->n; i++) {

        if (list->periods[i].kind == NGX_ANALYTICS_PERIOD_BAD) {
            period = list->periods[i];

            rc = ngx_analytics_periods_make(conf, &period, fail);

            return (rc == NGX_OK)
                   ? ngx_analytics_periods_remove(conf, &list->periods[i],
                                                  fail)
                   : rc;
        }
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_analytics_periods_new(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_periods_t *list, ngx_analytics_fail_t *fail)
{
    int64_t                 from, received;
    ngx_int_t               rc;
    ngx_uint_t              lost;
    ngx_analytics_period_t  period;

    conf->next = conf->now + conf->period
                 - (conf->now - ngx_analytics_floor_div(conf->now,
                                                        conf->period)
                                * conf->period);

    from = list->n ? list->periods[list->n - 1].end : INT64_MIN;

    rc = ngx_analytics_periods_first(conf, from, &received, &lost, fail);

    if (rc != NGX_OK) {
        return rc;
    }

    period.start = ngx_analytics_floor_div(received, conf->period)
                   * conf->period;
    period.end = period.start + conf->period;
    period.start = ngx_max(period.start, from);

    if (lost && list->n && from < period.start) {
        return ngx_analytics_periods_lost(conf, from, period.start, fail);
    }

    if (period.end > conf->now) {
        return NGX_DONE;
    }

    return ngx_analytics_periods_make(conf, &period, fail);
}


/* Nobody knows of whom there was something, or in how many periods. */

static ngx_int_t
ngx_analytics_periods_lost(ngx_analytics_periods_conf_t *conf, int64_t start,
    int64_t end, ngx_analytics_fail_t *fail)
{
    ngx_int_t               rc;
    ngx_analytics_names_t   nobody;
    ngx_analytics_period_t  period;

    ngx_memzero(&nobody, sizeof(ngx_analytics_names_t));

    period.start = start;
    period.end = end;
    period.kind = NGX_ANALYTICS_PERIOD_INEXACT;

    rc = ngx_analytics_period_write(conf->dir, conf->path, &period, &nobody,
                                    fail);
    if (rc == NGX_OK) {
        conf->inexact++;
    }

    return rc;
}


/* Counts a period and writes its file, which says by its name if it is all. */

static ngx_int_t
ngx_analytics_periods_make(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_period_t *period, ngx_analytics_fail_t *fail)
{
    ngx_int_t              rc;
    ngx_analytics_names_t  names;

    if (ngx_analytics_names_init(&names) != NGX_OK) {
        ngx_analytics_failed(fail, "malloc() for", conf->path, NULL);
        rc = NGX_ERROR;

    } else {
        rc = ngx_analytics_periods_count(conf, period, &names, fail);
    }

    if (rc == NGX_OK) {
        rc = ngx_analytics_period_write(conf->dir, conf->path, period,
                                        &names, fail);
    }

    if (rc == NGX_OK && period->kind != NGX_ANALYTICS_PERIOD_EXACT) {
        conf->inexact++;
    }

    ngx_analytics_names_free(&names);

    return rc;
}


/*
 * When the first event was recorded from then on, and whether some before it
 * cannot be read.  NGX_DONE: there is none.
 */
static ngx_int_t
ngx_analytics_periods_first(ngx_analytics_periods_conf_t *conf, int64_t from,
    int64_t *received, ngx_uint_t *lost, ngx_analytics_fail_t *fail)
{
    ngx_int_t              rc;
    ngx_analytics_row_t    row;
    ngx_analytics_find_t  *find;

    find = ngx_analytics_periods_find(conf, from, INT64_MAX, 1, 1, fail);

    if (find == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_analytics_find_next(find, &row, fail);

    if (rc == NGX_OK) {
        *received = row.received;
        *lost = ngx_analytics_find_incomplete(find);
    }

    ngx_analytics_find_close(find);

    return rc;
}


static ngx_analytics_find_t *
ngx_analytics_periods_find(ngx_analytics_periods_conf_t *conf, int64_t from,
    int64_t to, ngx_uint_t known, uint64_t limit, ngx_analytics_fail_t *fail)
{
    ngx_analytics_find_conf_t  find;

    ngx_memzero(&find, sizeof(ngx_analytics_find_conf_t));

    find.dir = conf->dir;
    find.path = conf->path;
    find.key = conf->key;
    find.tail = conf->tail;
    find.limit = limit;
    find.stop = &ngx_analytics_periods_stop;
    find.filter.received = 1;
    find.filter.known = known;
    find.filter.from = from;
    find.filter.to = to;
    find.filter.since = INT64_MIN;

    return ngx_analytics_find_open(&find, fail);
}


/*
 * Whether there are still events from before the period, or all that there
 * ever were: also those of nobody tell.
 */
static ngx_int_t
ngx_analytics_periods_reach(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_period_t *period, ngx_uint_t *reach,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t              rc;
    ngx_analytics_row_t    row;
    ngx_analytics_find_t  *find;

    find = ngx_analytics_periods_find(conf, INT64_MIN, INT64_MAX, 0, 1, fail);

    if (find == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_analytics_find_next(find, &row, fail);

    *reach = (rc == NGX_OK && (row.id == 1 || row.received < period->start));

    ngx_analytics_find_close(find);

    return (rc == NGX_DONE) ? NGX_OK : rc;
}


static ngx_int_t
ngx_analytics_periods_count(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_period_t *period, ngx_analytics_names_t *names,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t              rc;
    ngx_uint_t             n, reach;
    ngx_analytics_row_t    row;
    ngx_analytics_find_t  *find;

    if (ngx_analytics_periods_reach(conf, period, &reach, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    find = ngx_analytics_periods_find(conf, period->start, period->end, 1,
                                      UINT64_MAX, fail);
    if (find == NULL) {
        return NGX_ERROR;
    }

    n = 0;

    while ((rc = ngx_analytics_find_next(find, &row, fail)) == NGX_OK) {

        if (++n % NGX_ANALYTICS_PERIOD_PAUSE == 0 && conf->progress
            && conf->progress(conf->ctx) != NGX_OK)
        {
            rc = NGX_ABORT;
            break;
        }

        if (ngx_analytics_names_add(names, &row.user) == 0) {
            ngx_analytics_failed(fail, "malloc() for", conf->path, NULL);
            rc = NGX_ERROR;
            break;
        }
    }

    period->kind = (reach && !ngx_analytics_find_incomplete(find))
                   ? NGX_ANALYTICS_PERIOD_EXACT
                   : NGX_ANALYTICS_PERIOD_INEXACT;

    ngx_analytics_find_close(find);

    return (rc == NGX_DONE) ? NGX_OK : rc;
}


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
             " ('end', %lld), ('events', %llu)", (long long) period->start,
             (long long) period->end, (unsigned long long) events);

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
