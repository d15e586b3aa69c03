
/*
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_periods.h"
#include "ngx_analytics_names.h"
#include "ngx_analytics_sqlite.h"
#include "ngx_analytics_time.h"

#include <dirent.h>


/* events between two looks whether to give up */
#define NGX_ANALYTICS_PERIOD_PAUSE  4096


static ngx_int_t ngx_analytics_period_parse(const char *name,
    ngx_analytics_period_t *period);
static ngx_int_t ngx_analytics_periods_add(ngx_analytics_periods_t *list,
    ngx_analytics_period_t *period);
static int ngx_analytics_periods_cmp(const void *one, const void *two);
static ngx_int_t ngx_analytics_periods_retain(
    ngx_analytics_periods_conf_t *conf, ngx_analytics_periods_t *list,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_work(
    ngx_analytics_periods_conf_t *conf, int64_t from,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_first(
    ngx_analytics_periods_conf_t *conf, int64_t from, int64_t *received,
    ngx_analytics_fail_t *fail);
static ngx_analytics_find_t *ngx_analytics_periods_find(
    ngx_analytics_periods_conf_t *conf, int64_t from, int64_t to,
    uint64_t limit, ngx_analytics_fail_t *fail);
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


void
ngx_analytics_period_name(char *name, ngx_analytics_period_t *period)
{
    snprintf(name, NGX_ANALYTICS_PERIOD_NAME, "period-%015lld-%015lld.db",
             (long long) (period->start / NGX_ANALYTICS_SECOND),
             (long long) (period->end / NGX_ANALYTICS_SECOND));
}


static ngx_int_t
ngx_analytics_period_parse(const char *name, ngx_analytics_period_t *period)
{
    char       again[NGX_ANALYTICS_PERIOD_NAME];
    long long  start, end;

    if (sscanf(name, "period-%15lld-%15lld", &start, &end) != 2) {
        return NGX_DECLINED;
    }

    period->start = start * NGX_ANALYTICS_SECOND;
    period->end = end * NGX_ANALYTICS_SECOND;

    ngx_analytics_period_name(again, period);

    return (strcmp(name, again) == 0 && start < end) ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_analytics_periods_list(int dir, const char *path,
    ngx_analytics_periods_t *list, ngx_analytics_fail_t *fail)
{
    int                      fd;
    DIR                     *d;
    struct dirent           *entry;
    ngx_analytics_period_t   period;

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

    while ((entry = readdir(d)) != NULL) {

        if (ngx_analytics_period_parse(entry->d_name, &period) == NGX_OK
            && ngx_analytics_periods_add(list, &period) != NGX_OK)
        {
            ngx_analytics_failed(fail, "realloc() for", path, NULL);
            ngx_analytics_periods_free(list);
            (void) closedir(d);

            return NGX_ERROR;
        }
    }

    (void) closedir(d);

    if (list->n > 1) {
        qsort(list->periods, list->n, sizeof(ngx_analytics_period_t),
              ngx_analytics_periods_cmp);
    }

    return NGX_OK;
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

    return (a->start > b->start) - (a->start < b->start);
}


void
ngx_analytics_periods_free(ngx_analytics_periods_t *list)
{
    free(list->periods);

    list->periods = NULL;
    list->n = 0;
}


/* nobody sets it: see progress() */
static volatile ngx_uint_t  ngx_analytics_periods_stop;


ngx_int_t
ngx_analytics_periods_step(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_fail_t *fail)
{
    int64_t                  from;
    ngx_int_t                rc;
    ngx_analytics_periods_t  list;

    if (ngx_analytics_periods_list(conf->dir, conf->path, &list, fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    from = list.n ? list.periods[list.n - 1].end : INT64_MIN;

    rc = ngx_analytics_periods_retain(conf, &list, fail);

    ngx_analytics_periods_free(&list);

    return (rc == NGX_DECLINED) ? ngx_analytics_periods_work(conf, from, fail)
                                : rc;
}


/* The last one stays: it says from where on there is something to count. */

static ngx_int_t
ngx_analytics_periods_retain(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_periods_t *list, ngx_analytics_fail_t *fail)
{
    char  name[NGX_ANALYTICS_PERIOD_NAME];

    if (conf->keep == 0 || list->n < 2
        || list->periods[0].end > conf->now - conf->keep)
    {
        return NGX_DECLINED;
    }

    ngx_analytics_period_name(name, &list->periods[0]);

    if (unlinkat(conf->dir, name, 0) == -1) {
        ngx_analytics_failed(fail, "unlink()", conf->path, name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_periods_work(ngx_analytics_periods_conf_t *conf, int64_t from,
    ngx_analytics_fail_t *fail)
{
    int64_t                 received;
    ngx_int_t               rc;
    ngx_analytics_names_t   names;
    ngx_analytics_period_t  period;

    conf->next = conf->now + conf->period
                 - (conf->now - ngx_analytics_floor_div(conf->now,
                                                        conf->period)
                                * conf->period);

    rc = ngx_analytics_periods_first(conf, from, &received, fail);

    if (rc != NGX_OK) {
        return rc;
    }

    period.start = ngx_analytics_floor_div(received, conf->period)
                   * conf->period;
    period.end = period.start + conf->period;
    period.start = ngx_max(period.start, from);

    if (period.end > conf->now) {
        return NGX_DONE;
    }

    if (ngx_analytics_names_init(&names) != NGX_OK) {
        ngx_analytics_failed(fail, "malloc() for", conf->path, NULL);
        rc = NGX_ERROR;

    } else {
        rc = ngx_analytics_periods_count(conf, &period, &names, fail);
    }

    if (rc == NGX_OK) {
        rc = ngx_analytics_period_write(conf->dir, conf->path, &period,
                                        &names, fail);
    }

    ngx_analytics_names_free(&names);

    return rc;
}


/* When the first event was recorded from then on.  NGX_DONE: there is none. */

static ngx_int_t
ngx_analytics_periods_first(ngx_analytics_periods_conf_t *conf, int64_t from,
    int64_t *received, ngx_analytics_fail_t *fail)
{
    ngx_int_t              rc;
    ngx_analytics_row_t    row;
    ngx_analytics_find_t  *find;

    find = ngx_analytics_periods_find(conf, from, INT64_MAX, 1, fail);

    if (find == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_analytics_find_next(find, &row, fail);

    if (rc == NGX_OK) {
        *received = row.received;
    }

    ngx_analytics_find_close(find);

    return rc;
}


static ngx_analytics_find_t *
ngx_analytics_periods_find(ngx_analytics_periods_conf_t *conf, int64_t from,
    int64_t to, uint64_t limit, ngx_analytics_fail_t *fail)
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
    find.filter.known = 1;
    find.filter.from = from;
    find.filter.to = to;
    find.filter.since = INT64_MIN;

    return ngx_analytics_find_open(&find, fail);
}


static ngx_int_t
ngx_analytics_periods_count(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_period_t *period, ngx_analytics_names_t *names,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t              rc;
    ngx_uint_t             n;
    ngx_analytics_row_t    row;
    ngx_analytics_find_t  *find;

    find = ngx_analytics_periods_find(conf, period->start, period->end,
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

    if (rc == NGX_DONE && ngx_analytics_find_incomplete(find)) {
        fail->err = 0;
        snprintf(fail->text, sizeof(fail->text),
                 "events of a period that is to be counted are missing in "
                 "\"%s\"", conf->path);
        rc = NGX_ERROR;
    }

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
