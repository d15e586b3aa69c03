
/*
 * Writing a part of the store.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_part.h"
#include "ngx_analytics_fault.h"
#include "ngx_analytics_names.h"
#include "ngx_analytics_sqlite.h"


/* "NGXA", which file(1) may be told about */
#define NGX_ANALYTICS_PART_APPLICATION  "1313298497"

#define NGX_ANALYTICS_PART_PROGRESS     100000   /* steps of SQLite */


struct ngx_analytics_part_writer_s {
    int                      dir;
    const char              *path;
    sqlite3                 *db;
    sqlite3_stmt            *insert;

    ngx_analytics_names_t    users;
    ngx_analytics_names_t    types;

    ngx_analytics_part_t     part;
    u_char                   log[16];

    ngx_int_t              (*progress)(void *ctx);
    void                    *ctx;
};


static ngx_int_t ngx_analytics_part_open(ngx_analytics_part_writer_t *w,
    ngx_analytics_fail_t *fail);
static void ngx_analytics_part_text(sqlite3_stmt *s, int n, ngx_str_t *text);
static void ngx_analytics_part_count(ngx_analytics_part_t *part,
    ngx_analytics_row_t *row);
static ngx_int_t ngx_analytics_part_fill(ngx_analytics_part_writer_t *w,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_part_names(ngx_analytics_part_writer_t *w,
    const char *sql, ngx_analytics_names_t *names,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_part_about(ngx_analytics_part_writer_t *w,
    ngx_analytics_fail_t *fail);
static int ngx_analytics_part_progress(void *data);


static const char  ngx_analytics_part_schema[] =
    "PRAGMA application_id = " NGX_ANALYTICS_PART_APPLICATION ";"
    "PRAGMA user_version = 1;"
    "BEGIN;"
    "CREATE TABLE part (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL,"
    " events INTEGER NOT NULL);"
    "CREATE TABLE types (id INTEGER PRIMARY KEY, name TEXT NOT NULL,"
    " events INTEGER NOT NULL);"
    "CREATE TABLE rows (id INTEGER PRIMARY KEY, user INTEGER NOT NULL,"
    " type INTEGER NOT NULL, time INTEGER NOT NULL, lag INTEGER NOT NULL,"
    " own TEXT, properties TEXT);";

/* for people; a part has one base */

#define NGX_ANALYTICS_PART_TIME(usec)                                         \
    "strftime('%Y-%m-%dT%H:%M:%S', (" usec ") / 1000000, 'unixepoch')"        \
    " || printf('.%06dZ', (" usec ") % 1000000)"

static const char  ngx_analytics_part_indexes[] =
    "CREATE INDEX rows_user ON rows (user, time);"
    "CREATE INDEX rows_time ON rows (time);"
    "CREATE UNIQUE INDEX users_name ON users (name);"
    "CREATE VIEW events AS SELECT rows.id, rows.own AS event_id,"
    " users.name AS user_id, types.name AS type, "
    NGX_ANALYTICS_PART_TIME("rows.time + base.value") " AS time, "
    NGX_ANALYTICS_PART_TIME("rows.time + rows.lag + base.value")
    " AS received, properties FROM rows"
    " JOIN part AS base ON base.name = 'base'"
    " JOIN types ON types.id = rows.type"
    " LEFT JOIN users ON users.id = rows.user;"
    "COMMIT;";


void
ngx_analytics_part_name(char *name, uint64_t from, uint64_t to)
{
    snprintf(name, NGX_ANALYTICS_PART_NAME, "%020llu-%020llu.db",
             (unsigned long long) from, (unsigned long long) to);
}


ngx_int_t
ngx_analytics_part_parse(const char *name, uint64_t *from, uint64_t *to)
{
    char                again[NGX_ANALYTICS_PART_NAME];
    unsigned long long  one, two;

    if (strlen(name) != NGX_ANALYTICS_PART_NAME - 1
        || sscanf(name, "%20llu-%20llu", &one, &two) != 2)
    {
        return NGX_DECLINED;
    }

    *from = one;
    *to = two;

    /* signs, spaces and overflows do not come back as they were */

    ngx_analytics_part_name(again, *from, *to);

    return (strcmp(name, again) == 0 && *from < *to) ? NGX_OK : NGX_DECLINED;
}


ngx_analytics_part_writer_t *
ngx_analytics_part_create(int dir, const char *path, u_char *log_id,
    uint64_t last, ngx_analytics_fail_t *fail)
{
    ngx_analytics_part_writer_t  *w;

    w = calloc(1, sizeof(ngx_analytics_part_writer_t));

    if (w == NULL) {
        ngx_analytics_failed(fail, "calloc() for", path,
                             NGX_ANALYTICS_PART_TEMP);
        return NULL;
    }

    w->dir = dir;
    w->path = path;
    w->part.last = last;
    memcpy(w->log, log_id, sizeof(w->log));

    if (ngx_analytics_names_init(&w->users) != NGX_OK
        || ngx_analytics_names_init(&w->types) != NGX_OK)
    {
        ngx_analytics_failed(fail, "malloc() for", path,
                             NGX_ANALYTICS_PART_TEMP);
        ngx_analytics_part_abandon(w);
        return NULL;
    }

    if (ngx_analytics_part_open(w, fail) != NGX_OK) {
        ngx_analytics_part_abandon(w);
        return NULL;
    }

    ngx_analytics_fault_stop("part.created");

    return w;
}


static ngx_int_t
ngx_analytics_part_open(ngx_analytics_part_writer_t *w,
    ngx_analytics_fail_t *fail)
{
    w->db = ngx_analytics_sqlite_create(w->dir, w->path,
                                        NGX_ANALYTICS_PART_TEMP,
                                        ngx_analytics_part_schema, fail);
    if (w->db == NULL) {
        return NGX_ERROR;
    }

    if (sqlite3_prepare_v2(w->db,
                           "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)",
                           -1, &w->insert, NULL)
        != SQLITE_OK)
    {
        return ngx_analytics_sqlite_failed(w->db, fail);
    }

    return NGX_OK;
}


ngx_int_t
ngx_analytics_part_add(ngx_analytics_part_writer_t *w,
    ngx_analytics_row_t *row, ngx_analytics_fail_t *fail)
{
    uint32_t       user, type;
    sqlite3_stmt  *s;

    user = row->user.len ? ngx_analytics_names_add(&w->users, &row->user) : 0;
    type = ngx_analytics_names_add(&w->types, &row->type);

    if (type == 0 || (row->user.len && user == 0)) {
        ngx_analytics_failed(fail, "malloc() for", w->path,
                             NGX_ANALYTICS_PART_TEMP);
        return NGX_ERROR;
    }

    if (w->part.events == 0) {
        w->part.base = row->received;
    }

    s = w->insert;

    sqlite3_bind_int64(s, 1, (sqlite3_int64) row->id);
    sqlite3_bind_int64(s, 2, user);
    sqlite3_bind_int64(s, 3, type);
    sqlite3_bind_int64(s, 4, row->time - w->part.base);
    sqlite3_bind_int64(s, 5, row->received - row->time);

    ngx_analytics_part_text(s, 6, &row->own);
    ngx_analytics_part_text(s, 7, &row->properties);

    if (sqlite3_step(s) != SQLITE_DONE || sqlite3_reset(s) != SQLITE_OK) {
        return ngx_analytics_sqlite_failed(w->db, fail);
    }

    ngx_analytics_part_count(&w->part, row);

    return NGX_OK;
}


/* Empty: NULL. */

static void
ngx_analytics_part_text(sqlite3_stmt *s, int n, ngx_str_t *text)
{
    if (text->len) {
        sqlite3_bind_text(s, n, (char *) text->data, (int) text->len,
                          SQLITE_STATIC);
    } else {
        sqlite3_bind_null(s, n);
    }
}


static void
ngx_analytics_part_count(ngx_analytics_part_t *part, ngx_analytics_row_t *row)
{
    if (part->events++ == 0) {
        part->first = row->id;
        part->received_min = row->received;
        part->time_min = row->time;
        part->time_max = row->time;
    }

    part->last = row->id;
    part->received_max = row->received;
    part->time_min = ngx_min(part->time_min, row->time);
    part->time_max = ngx_max(part->time_max, row->time);
}


ngx_int_t
ngx_analytics_part_finish(ngx_analytics_part_writer_t *w, uint64_t from,
    uint64_t to, ngx_int_t (*progress)(void *ctx), void *ctx,
    ngx_analytics_part_t *part, ngx_analytics_fail_t *fail)
{
    char       name[NGX_ANALYTICS_PART_NAME];
    ngx_int_t  rc;

    w->part.from = from;
    w->part.to = to;
    w->progress = progress;
    w->ctx = ctx;

    ngx_analytics_fault_stop("part.rows");

    rc = ngx_analytics_part_fill(w, fail);

    if (rc == NGX_OK) {
        ngx_analytics_part_name(name, from, to);

        rc = ngx_analytics_sqlite_publish(w->dir, w->path,
                                          NGX_ANALYTICS_PART_TEMP, name,
                                          &w->part.size, fail);
    }

    *part = w->part;

    ngx_analytics_part_abandon(w);

    return rc;
}


static ngx_int_t
ngx_analytics_part_fill(ngx_analytics_part_writer_t *w,
    ngx_analytics_fail_t *fail)
{
    sqlite3_finalize(w->insert);
    w->insert = NULL;

    if (w->progress) {
        sqlite3_progress_handler(w->db, NGX_ANALYTICS_PART_PROGRESS,
                                 ngx_analytics_part_progress, w);
    }

    if (ngx_analytics_part_names(w, "INSERT INTO users VALUES (?, ?, ?)",
                                 &w->users, fail)
        != NGX_OK
        || ngx_analytics_part_names(w, "INSERT INTO types VALUES (?, ?, ?)",
                                    &w->types, fail)
           != NGX_OK
        || ngx_analytics_part_about(w, fail) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_analytics_sqlite_exec(w->db, ngx_analytics_part_indexes, fail)
        != NGX_OK)
    {
        return sqlite3_errcode(w->db) == SQLITE_INTERRUPT ? NGX_ABORT
                                                          : NGX_ERROR;
    }

    if (sqlite3_close(w->db) != SQLITE_OK) {
        return ngx_analytics_sqlite_failed(w->db, fail);
    }

    w->db = NULL;

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_part_names(ngx_analytics_part_writer_t *w, const char *sql,
    ngx_analytics_names_t *names, ngx_analytics_fail_t *fail)
{
    uint32_t       id;
    ngx_str_t      name;
    ngx_int_t      rc;
    sqlite3_stmt  *s;

    if (sqlite3_prepare_v2(w->db, sql, -1, &s, NULL) != SQLITE_OK) {
        return ngx_analytics_sqlite_failed(w->db, fail);
    }

    rc = NGX_OK;

    for (id = 1; id <= names->n && rc == NGX_OK; id++) {
        ngx_analytics_names_get(names, id, &name);

        sqlite3_bind_int64(s, 1, id);
        sqlite3_bind_text(s, 2, (char *) name.data, (int) name.len,
                          SQLITE_STATIC);
        sqlite3_bind_int64(s, 3,
                           (sqlite3_int64) ngx_analytics_names_count(names,
                                                                     id));

        if (sqlite3_step(s) != SQLITE_DONE || sqlite3_reset(s) != SQLITE_OK) {
            rc = ngx_analytics_sqlite_failed(w->db, fail);
        }
    }

    sqlite3_finalize(s);

    return rc;
}


static ngx_int_t
ngx_analytics_part_about(ngx_analytics_part_writer_t *w,
    ngx_analytics_fail_t *fail)
{
    char                   log[2 * sizeof(w->log) + 1], sql[1024];
    ngx_uint_t             i;
    ngx_analytics_part_t  *part;

    part = &w->part;
    log[0] = '\0';

    for (i = 0; i < sizeof(w->log); i++) {
        snprintf(&log[2 * i], 3, "%02x", w->log[i]);
    }

    snprintf(sql, sizeof(sql),
             "INSERT INTO part VALUES ('version', %d), ('from', %lld),"
             " ('to', %lld), ('base', %lld), ('events', %lld),"
             " ('first', %lld), ('last', %lld), ('received_min', %lld),"
             " ('received_max', %lld), ('time_min', %lld),"
             " ('time_max', %lld), ('log', '%s')",
             NGX_ANALYTICS_PART_VERSION, (long long) part->from,
             (long long) part->to, (long long) part->base,
             (long long) part->events, (long long) part->first,
             (long long) part->last, (long long) part->received_min,
             (long long) part->received_max, (long long) part->time_min,
             (long long) part->time_max, log);

    return ngx_analytics_sqlite_exec(w->db, sql, fail);
}


void
ngx_analytics_part_abandon(ngx_analytics_part_writer_t *w)
{
    sqlite3_finalize(w->insert);
    sqlite3_close(w->db);

    ngx_analytics_names_free(&w->users);
    ngx_analytics_names_free(&w->types);

    (void) unlinkat(w->dir, NGX_ANALYTICS_PART_TEMP, 0);

    free(w);
}


static int
ngx_analytics_part_progress(void *data)
{
    ngx_analytics_part_writer_t *w = data;

    return w->progress(w->ctx) != NGX_OK;
}
