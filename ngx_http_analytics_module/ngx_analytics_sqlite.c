
/*
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_sqlite.h"
#include "ngx_analytics_fault.h"


static const char  ngx_analytics_sqlite_settings[] =
    "PRAGMA page_size = 8192;"
    "PRAGMA journal_mode = OFF;"
    "PRAGMA synchronous = OFF;"
    "PRAGMA locking_mode = EXCLUSIVE;"
    "PRAGMA temp_store = MEMORY;"
    "PRAGMA cache_size = -65536;";


sqlite3 *
ngx_analytics_sqlite_create(int dir, const char *path, const char *name,
    const char *schema, ngx_analytics_fail_t *fail)
{
    int       fd;
    char      file[4096];
    sqlite3  *db;

    (void) unlinkat(dir, name, 0);

    /* SQLite would leave the mode to the umask */

    fd = openat(dir, name, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0600);

    if (fd == -1) {
        ngx_analytics_failed(fail, "open()", path, name);
        return NULL;
    }

    (void) close(fd);

    snprintf(file, sizeof(file), "%s/%s", path, name);

    if (sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE|SQLITE_OPEN_NOMUTEX,
                        NULL)
        != SQLITE_OK
        || ngx_analytics_sqlite_exec(db, ngx_analytics_sqlite_settings, fail)
           != NGX_OK
        || ngx_analytics_sqlite_exec(db, schema, fail) != NGX_OK)
    {
        (void) ngx_analytics_sqlite_failed(db, fail);
        (void) sqlite3_close(db);
        (void) unlinkat(dir, name, 0);

        return NULL;
    }

    return db;
}


ngx_int_t
ngx_analytics_sqlite_exec(sqlite3 *db, const char *sql,
    ngx_analytics_fail_t *fail)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return ngx_analytics_sqlite_failed(db, fail);
    }

    return NGX_OK;
}


ngx_int_t
ngx_analytics_sqlite_failed(sqlite3 *db, ngx_analytics_fail_t *fail)
{
    int          err;
    const char  *file;

    err = db ? sqlite3_system_errno(db) : ENOMEM;
    file = db ? sqlite3_db_filename(db, "main") : NULL;

    fail->err = err ? err : EIO;

    snprintf(fail->text, sizeof(fail->text), "SQLite failed with \"%s\": %s",
             file ? file : "", db ? sqlite3_errmsg(db) : "no memory");

    return NGX_ERROR;
}


ngx_int_t
ngx_analytics_sqlite_unread(sqlite3 *db, const char *file,
    ngx_analytics_fail_t *fail)
{
    int  err;

    err = db ? sqlite3_system_errno(db) : 0;

    switch (db ? sqlite3_errcode(db) : SQLITE_NOMEM) {

    case SQLITE_NOMEM:
        fail->err = ENOMEM;
        break;

    case SQLITE_INTERRUPT:
        fail->err = EINTR;
        break;

    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        fail->err = err ? err : EIO;
        break;

    default:
        fail->err = EBADMSG;
    }

    snprintf(fail->text, sizeof(fail->text), "reading \"%s\" failed: %s",
             file, db ? sqlite3_errmsg(db) : "no memory");

    return NGX_ERROR;
}


ngx_int_t
ngx_analytics_sqlite_publish(int dir, const char *path, const char *temp,
    const char *name, uint64_t *size, ngx_analytics_fail_t *fail)
{
    int          fd, rc;
    struct stat  st;

    ngx_analytics_fault_point();
    ngx_analytics_fault_stop("publish.written");

    fd = openat(dir, temp, O_RDWR|O_CLOEXEC);

    if (fd == -1) {
        ngx_analytics_failed(fail, "open()", path, temp);
        return NGX_ERROR;
    }

    rc = fstat(fd, &st) == -1 ? -1 : fdatasync(fd);

    if (rc == -1) {
        ngx_analytics_failed(fail, "fdatasync()", path, temp);
    }

    (void) close(fd);

    if (rc == -1) {
        return NGX_ERROR;
    }

    if (size) {
        *size = (uint64_t) st.st_size;
    }

    ngx_analytics_fault_point();
    ngx_analytics_fault_stop("publish.synced");

    if (renameat(dir, temp, dir, name) == -1) {
        ngx_analytics_failed(fail, "rename() to", path, name);
        return NGX_ERROR;
    }

    ngx_analytics_fault_point();
    ngx_analytics_fault_stop("publish.renamed");

    if (fsync(dir) == -1) {
        ngx_analytics_failed(fail, "fsync()", path, NULL);
        return NGX_ERROR;
    }

    ngx_analytics_fault_stop("publish.done");

    return NGX_OK;
}


char *
ngx_analytics_sqlite_uri(const char *file)
{
    char        *uri, *p;
    const char  *s;

    uri = malloc(sizeof("file:?immutable=1") + 3 * strlen(file));

    if (uri == NULL) {
        return NULL;
    }

    p = uri + sprintf(uri, "file:");

    for (s = file; *s; s++) {
        if (strchr("%?#", *s)) {
            p += sprintf(p, "%%%02x", *s);
        } else {
            *p++ = *s;
        }
    }

    (void) sprintf(p, "?immutable=1");

    return uri;
}
