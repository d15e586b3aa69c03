
/*
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_db.h"
#include "ngx_analytics_sqlite.h"

#include <pthread.h>


#define NGX_ANALYTICS_DB_IDLE   64
#define NGX_ANALYTICS_DB_STEPS  20000       /* of SQLite between two looks */


static ngx_analytics_db_t *ngx_analytics_db_idle(const char *file);
static ngx_analytics_db_t *ngx_analytics_db_open(const char *file,
    ngx_analytics_part_t *part, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_db_init(ngx_analytics_db_t *db,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_db_about(ngx_analytics_db_t *db,
    ngx_analytics_fail_t *fail);
static void ngx_analytics_db_value(ngx_analytics_part_t *part,
    const char *name, int64_t value);
static ngx_int_t ngx_analytics_db_types(ngx_analytics_db_t *db,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_db_type(ngx_analytics_db_t *db,
    sqlite3_stmt *s);
static int ngx_analytics_db_progress(void *data);
static void ngx_analytics_db_close(ngx_analytics_db_t *db);


static pthread_mutex_t      ngx_analytics_db_mutex = PTHREAD_MUTEX_INITIALIZER;
static ngx_analytics_db_t  *ngx_analytics_dbs;


ngx_analytics_db_t *
ngx_analytics_db_get(const char *path, ngx_analytics_part_t *part,
    ngx_analytics_fail_t *fail)
{
    char                 name[NGX_ANALYTICS_PART_NAME], file[4096];
    struct stat          st;
    ngx_analytics_db_t  *db;

    ngx_analytics_part_name(name, part->from, part->to);
    snprintf(file, sizeof(file), "%s/%s", path, name);

    if (stat(file, &st) == -1) {
        ngx_analytics_failed(fail, "stat()", file, NULL);
        return NULL;
    }

    (void) pthread_mutex_lock(&ngx_analytics_db_mutex);
    db = ngx_analytics_db_idle(file);
    (void) pthread_mutex_unlock(&ngx_analytics_db_mutex);

    /*
     * Of a file that was cut short SQLite would read what is mapped, and is
     * not there any more.
     */

    if (db && db->inode == st.st_ino
        && db->part.size == (uint64_t) st.st_size
        && db->mtime.tv_sec == st.st_mtim.tv_sec
        && db->mtime.tv_nsec == st.st_mtim.tv_nsec)
    {
        return db;
    }

    if (db) {
        /* the file was written anew */
        ngx_analytics_db_close(db);
    }

    db = ngx_analytics_db_open(file, part, fail);

    if (db) {
        db->inode = st.st_ino;
        db->mtime = st.st_mtim;
        db->part.size = (uint64_t) st.st_size;
    }

    return db;
}


/* Takes an idle database out of the list. */

static ngx_analytics_db_t *
ngx_analytics_db_idle(const char *file)
{
    ngx_analytics_db_t  *db, **link;

    for (link = &ngx_analytics_dbs; *link; link = &(*link)->next) {
        db = *link;

        if (strcmp(db->file, file) == 0) {
            *link = db->next;
            db->next = NULL;
            return db;
        }
    }

    return NULL;
}


void
ngx_analytics_db_put(ngx_analytics_db_t *db, ngx_uint_t bad)
{
    ngx_uint_t           n;
    ngx_analytics_db_t  *last, **link;

    db->stop = NULL;

    if (bad) {
        ngx_analytics_db_close(db);
        return;
    }

    (void) pthread_mutex_lock(&ngx_analytics_db_mutex);

    db->next = ngx_analytics_dbs;
    ngx_analytics_dbs = db;

    last = NULL;

    for (n = 0, link = &ngx_analytics_dbs; *link; link = &(*link)->next) {
        if (++n > NGX_ANALYTICS_DB_IDLE) {
            last = *link;
            *link = NULL;
            break;
        }
    }

    (void) pthread_mutex_unlock(&ngx_analytics_db_mutex);

    if (last) {
        ngx_analytics_db_close(last);
    }
}


void
ngx_analytics_db_purge(const char *path)
{
    size_t               len;
    ngx_analytics_db_t  *db, *gone, **link;

    len = strlen(path);
    gone = NULL;

    (void) pthread_mutex_lock(&ngx_analytics_db_mutex);

    for (link = &ngx_analytics_dbs; *link; /* void */) {
        db = *link;

        if (strncmp(db->file, path, len) == 0 && db->file[len] == '/') {
            *link = db->next;
            db->next = gone;
            gone = db;

        } else {
            link = &db->next;
        }
    }

    (void) pthread_mutex_unlock(&ngx_analytics_db_mutex);

    while (gone) {
        db = gone;
        gone = db->next;
        ngx_analytics_db_close(db);
    }
}


static ngx_analytics_db_t *
ngx_analytics_db_open(const char *file, ngx_analytics_part_t *part,
    ngx_analytics_fail_t *fail)
{
    char                *uri;
    ngx_analytics_db_t  *db;

    db = calloc(1, sizeof(ngx_analytics_db_t));
    uri = ngx_analytics_sqlite_uri(file);

    if (db == NULL || uri == NULL || (db->file = strdup(file)) == NULL) {
        ngx_analytics_failed(fail, "malloc() for", file, NULL);
        free(uri);
        free(db);
        return NULL;
    }

    db->part = *part;

    if (sqlite3_open_v2(uri, &db->db, SQLITE_OPEN_READONLY|SQLITE_OPEN_URI
                                      |SQLITE_OPEN_NOMUTEX, NULL)
        != SQLITE_OK)
    {
        (void) ngx_analytics_db_failed(db, fail);
        ngx_analytics_db_close(db);
        free(uri);
        return NULL;
    }

    free(uri);

    if (ngx_analytics_db_init(db, fail) != NGX_OK) {
        ngx_analytics_db_close(db);
        return NULL;
    }

    return db;
}


static ngx_int_t
ngx_analytics_db_init(ngx_analytics_db_t *db, ngx_analytics_fail_t *fail)
{
    sqlite3_progress_handler(db->db, NGX_ANALYTICS_DB_STEPS,
                             ngx_analytics_db_progress, db);

    if (sqlite3_exec(db->db, "PRAGMA mmap_size = 8589934592;"
                     "PRAGMA cache_size = -512;"
                     "PRAGMA temp_store = MEMORY", NULL, NULL, NULL)
        != SQLITE_OK
        || sqlite3_prepare_v2(db->db, "SELECT id, events FROM users"
                              " WHERE name = ?", -1, &db->user, NULL)
           != SQLITE_OK
        || sqlite3_prepare_v2(db->db, "SELECT id, time + lag FROM rows"
                              " WHERE id >= ? ORDER BY id LIMIT 1", -1,
                              &db->at, NULL)
           != SQLITE_OK)
    {
        return ngx_analytics_db_failed(db, fail);
    }

    if (ngx_analytics_db_about(db, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_analytics_db_types(db, fail);
}


static ngx_int_t
ngx_analytics_db_about(ngx_analytics_db_t *db, ngx_analytics_fail_t *fail)
{
    int                    rc;
    uint64_t               from, to;
    sqlite3_stmt          *s;

    from = db->part.from;
    to = db->part.to;

    if (sqlite3_prepare_v2(db->db, "SELECT name, value FROM part", -1, &s,
                           NULL)
        != SQLITE_OK)
    {
        return ngx_analytics_db_failed(db, fail);
    }

    ngx_memzero(&db->part, sizeof(ngx_analytics_part_t));

    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        ngx_analytics_db_value(&db->part,
                               (const char *) sqlite3_column_text(s, 0),
                               sqlite3_column_int64(s, 1));
    }

    sqlite3_finalize(s);

    if (rc != SQLITE_DONE) {
        return ngx_analytics_db_failed(db, fail);
    }

    if (db->part.from != from || db->part.to != to) {
        fail->err = EBADMSG;
        snprintf(fail->text, sizeof(fail->text), "\"%s\" is not the part that "
                 "its name says", db->file);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_analytics_db_value(ngx_analytics_part_t *part, const char *name,
    int64_t value)
{
    ngx_uint_t  i;

    struct {
        const char  *name;
        void        *value;
    } values[] = {
        { "from", &part->from },
        { "to", &part->to },
        { "base", &part->base },
        { "events", &part->events },
        { "first", &part->first },
        { "last", &part->last },
        { "received_min", &part->received_min },
        { "received_max", &part->received_max },
        { "time_min", &part->time_min },
        { "time_max", &part->time_max },
        { NULL, NULL }
    };

    for (i = 0; name && values[i].name; i++) {
        if (strcmp(values[i].name, name) == 0) {
            memcpy(values[i].value, &value, sizeof(int64_t));
        }
    }
}


static ngx_int_t
ngx_analytics_db_types(ngx_analytics_db_t *db, ngx_analytics_fail_t *fail)
{
    int            rc;
    sqlite3_stmt  *s;

    if (sqlite3_prepare_v2(db->db, "SELECT id, name FROM types ORDER BY id",
                           -1, &s, NULL)
        != SQLITE_OK)
    {
        return ngx_analytics_db_failed(db, fail);
    }

    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {

        if (ngx_analytics_db_type(db, s) != NGX_OK) {
            ngx_analytics_failed(fail, "malloc() for", db->file, NULL);
            sqlite3_finalize(s);
            return NGX_ERROR;
        }
    }

    sqlite3_finalize(s);

    return (rc == SQLITE_DONE) ? NGX_OK : ngx_analytics_db_failed(db, fail);
}


/* They are numbered from 1 on, without gaps. */

static ngx_int_t
ngx_analytics_db_type(ngx_analytics_db_t *db, sqlite3_stmt *s)
{
    ngx_str_t  *p;

    if (sqlite3_column_int64(s, 0) != (sqlite3_int64) db->ntypes + 1) {
        errno = EBADMSG;
        return NGX_ERROR;
    }

    p = realloc(db->types, (db->ntypes + 1) * sizeof(ngx_str_t));
    if (p == NULL) {
        return NGX_ERROR;
    }

    db->types = p;
    p += db->ntypes;

    p->len = (size_t) sqlite3_column_bytes(s, 1);
    p->data = malloc(p->len + 1);

    if (p->data == NULL) {
        return NGX_ERROR;
    }

    db->ntypes++;

    if (p->len) {
        memcpy(p->data, sqlite3_column_text(s, 1), p->len);
    }

    return NGX_OK;
}


static int
ngx_analytics_db_progress(void *data)
{
    ngx_analytics_db_t *db = data;

    return db->stop && *db->stop;
}


ngx_int_t
ngx_analytics_db_failed(ngx_analytics_db_t *db, ngx_analytics_fail_t *fail)
{
    return ngx_analytics_sqlite_unread(db->db, db->file, fail);
}


static void
ngx_analytics_db_close(ngx_analytics_db_t *db)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_ANALYTICS_DB_STATEMENTS; i++) {
        sqlite3_finalize(db->statements[i]);
    }

    sqlite3_finalize(db->user);
    sqlite3_finalize(db->at);
    sqlite3_close(db->db);

    for (i = 0; i < db->ntypes; i++) {
        free(db->types[i].data);
    }

    free(db->types);
    free(db->file);
    free(db);
}
