
/*
 * SQLite files that are written once: under another name, without a journal,
 * and given their own when they are whole and on the disk.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_SQLITE_H_INCLUDED_
#define _NGX_ANALYTICS_SQLITE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_reader.h"

#include <sqlite3.h>


/*
 * Makes a database, for the owner alone; one of that name is removed.  path is
 * the directory's absolute name, dir a descriptor of it.  Then executes schema,
 * behind settings for a file that is written once.  NULL and *fail; nothing is
 * left then.
 */
sqlite3 *ngx_analytics_sqlite_create(int dir, const char *path,
    const char *name, const char *schema, ngx_analytics_fail_t *fail);

/* NGX_OK, or NGX_ERROR and *fail. */
ngx_int_t ngx_analytics_sqlite_exec(sqlite3 *db, const char *sql,
    ngx_analytics_fail_t *fail);

/* Fills *fail in from what SQLite has said last.  Returns NGX_ERROR. */
ngx_int_t ngx_analytics_sqlite_failed(sqlite3 *db,
    ngx_analytics_fail_t *fail);

/*
 * The same of reading a file: err is EBADMSG if it is no database, or a
 * damaged one.
 */
ngx_int_t ngx_analytics_sqlite_unread(sqlite3 *db, const char *file,
    ngx_analytics_fail_t *fail);

/*
 * A closed one: syncs it, gives it its name, and syncs the directory.  size
 * (bytes of the file) may be NULL.  NGX_OK, or NGX_ERROR and *fail.
 */
ngx_int_t ngx_analytics_sqlite_publish(int dir, const char *path,
    const char *temp, const char *name, uint64_t *size,
    ngx_analytics_fail_t *fail);

/* A path as SQLite's URI of a file that does not change; from malloc(). */
char *ngx_analytics_sqlite_uri(const char *file);


#endif /* _NGX_ANALYTICS_SQLITE_H_INCLUDED_ */
