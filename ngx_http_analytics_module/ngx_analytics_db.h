
/*
 * The databases of parts, open for reading.
 *
 * A part never changes, so SQLite need not lock it, nor look whether somebody
 * else did something; one that was removed can be read by who has it open.
 * Databases stay open in the process for the next one that asks, with what
 * was prepared and learnt.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_DB_H_INCLUDED_
#define _NGX_ANALYTICS_DB_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_part.h"

#include <sqlite3.h>


#define NGX_ANALYTICS_DB_STATEMENTS  64


typedef struct ngx_analytics_db_s  ngx_analytics_db_t;


struct ngx_analytics_db_s {
    sqlite3                 *db;
    char                    *file;           /* absolute name, */
    ino_t                    inode;          /* and which one of that name */
    struct timespec          mtime;
    ngx_analytics_part_t     part;

    ngx_str_t               *types;          /* number 1 comes first */
    uint32_t                 ntypes;

    sqlite3_stmt            *user;           /* by name: id and events */
    sqlite3_stmt            *at;             /* the first row from an id on */
    sqlite3_stmt            *statements[NGX_ANALYTICS_DB_STATEMENTS];

    volatile ngx_uint_t     *stop;           /* of who has it now; or NULL */

    ngx_analytics_db_t      *next;           /* idle; the newest comes first */
};


/*
 * A part's database, for the caller alone; from any thread.  part->from and to
 * say which.  Returns NULL and *fail: err ENOENT if there is no such file,
 * EBADMSG if it is no part, or a damaged one.
 */
ngx_analytics_db_t *ngx_analytics_db_get(const char *path,
    ngx_analytics_part_t *part, ngx_analytics_fail_t *fail);

/* Gives it back; bad: it is closed for good. */
void ngx_analytics_db_put(ngx_analytics_db_t *db, ngx_uint_t bad);

/* Fills *fail in from what SQLite has said last.  Returns NGX_ERROR. */
ngx_int_t ngx_analytics_db_failed(ngx_analytics_db_t *db,
    ngx_analytics_fail_t *fail);

/* Closes those that are idle, of one directory. */
void ngx_analytics_db_purge(const char *path);


#endif /* _NGX_ANALYTICS_DB_H_INCLUDED_ */
