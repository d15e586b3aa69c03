
/*
 * How many events each user had recorded in each period of time, by time of
 * receipt.
 *
 * A period is counted once, when it is over: then nothing is recorded in it
 * any more.  What came of it is kept in an SQLite file of its own, which never
 * changes, and which is there also when the events are not any more:
 *
 *     period-000001795420800-000001795435200.db
 *
 * is of the time from the first second up to the second (since the epoch), and
 * has
 *
 *     period           name, value: "version" 1, "start", "end" (microseconds
 *                      since the epoch), "events", "last" (the id of the last
 *                      event that was received then, of whomever; 0: unknown)
 *     counts           user, count
 *     activity_counts  for people, a view: user_id, period_start, period_end
 *                      (RFC 3339), count
 *
 * Periods in which nothing was recorded have no file.  Whoever writes has the
 * lease on "lock.store".
 *
 * One that SQLite cannot read is renamed to "....db.bad" by whoever finds
 * that, and counted again.  Where not all of a period's events are there any
 * more, those that are are counted: its file is called "....inexact.db".  Of
 * some periods that are lost there is one such file, with no users in it.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_PERIODS_H_INCLUDED_
#define _NGX_ANALYTICS_PERIODS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_erase.h"
#include "ngx_analytics_find.h"
#include "ngx_analytics_names.h"

#include <sqlite3.h>


#define NGX_ANALYTICS_PERIOD_NAME  50       /* with a NUL, at most */
#define NGX_ANALYTICS_PERIOD_TEMP  "period.tmp"


/* The better one comes first. */
typedef enum {
    NGX_ANALYTICS_PERIOD_EXACT = 0,
    NGX_ANALYTICS_PERIOD_INEXACT,
    NGX_ANALYTICS_PERIOD_BAD
} ngx_analytics_period_e;


/* microseconds since the epoch, whole seconds */
typedef struct {
    int64_t                  start;
    int64_t                  end;
    ngx_uint_t               kind;           /* ngx_analytics_period_e */
    uint64_t                 last;           /* of one that was listed: 0 */
} ngx_analytics_period_t;


static ngx_inline ngx_uint_t
ngx_analytics_period_same(ngx_analytics_period_t *one,
    ngx_analytics_period_t *two)
{
    return one->start == two->start && one->end == two->end;
}


typedef struct {
    ngx_analytics_period_t  *periods;        /* from malloc(), in order */
    ngx_uint_t               n;
} ngx_analytics_periods_t;


/*
 * Files: ngx_analytics_periods_files.c.
 *
 * The periods that have one; if all, each file of a period that has several,
 * as a crash may leave them, the best one first.  NGX_OK, or NGX_ERROR and
 * *fail.
 */
ngx_int_t ngx_analytics_periods_list(int dir, const char *path,
    ngx_uint_t all, ngx_analytics_periods_t *list,
    ngx_analytics_fail_t *fail);

void ngx_analytics_periods_free(ngx_analytics_periods_t *list);

/* The file's name, NGX_ANALYTICS_PERIOD_NAME bytes at most. */
void ngx_analytics_period_name(char *name, ngx_analytics_period_t *period);

/*
 * Puts one aside that cannot be read, as *fail says, and tells of it; by
 * anybody, if it is that file still.  NGX_OK, or NGX_ERROR and *fail.
 */
ngx_int_t ngx_analytics_period_bad(int dir, const char *path,
    ngx_analytics_period_t *period, ino_t inode, ngx_analytics_fail_t *fail);


typedef struct {
    int                      dir;
    const char              *path;
    const uint64_t          *key;            /* of the log, */
    uint64_t                 tail;           /* and its end */
    int64_t                  period;         /* microseconds; of a day, */
                                             /* counted from the epoch */
    int64_t                  now;            /* what is recorded from here on */
                                             /* is so later, or then */
    int64_t                  keep;           /* microseconds, 0: for ever */
    ngx_int_t              (*progress)(void *ctx);     /* NULL: none; */
    void                    *ctx;            /* not NGX_OK: give up */

    /* told */
    int64_t                  next;           /* when it is to be called again */
    ngx_uint_t               inexact;        /* periods without all events: */
                                             /* it is added to */
} ngx_analytics_periods_conf_t;

/*
 * Counts the first period that is over and was not counted, or one that was
 * put aside, or removes one that is too old; blocks.  Returns NGX_OK if there
 * may be more to do, NGX_DONE, NGX_ABORT, or NGX_ERROR and *fail.
 */
ngx_int_t ngx_analytics_periods_step(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_fail_t *fail);


/*
 * Writes a period's file: ngx_analytics_periods_write.c.  NGX_OK, or NGX_ERROR
 * and *fail.
 */
ngx_int_t ngx_analytics_period_write(int dir, const char *path,
    ngx_analytics_period_t *period, ngx_analytics_names_t *names,
    ngx_analytics_fail_t *fail);

/*
 * Writes those anew that know users who are to be erased, without these, and
 * empties what cannot be read: ngx_analytics_periods_erase.c.  progress may be
 * NULL; anything but NGX_OK gives up.  NGX_OK, NGX_ABORT, or NGX_ERROR and
 * *fail.
 */
ngx_int_t ngx_analytics_periods_erase(int dir, const char *path,
    const uint64_t key[2], ngx_analytics_erasing_t *erasing,
    ngx_int_t (*progress)(void *ctx), void *ctx, ngx_analytics_fail_t *fail);


/*
 * Reading, one file or several: ngx_analytics_periods_read.c.
 *
 * Who is to be erased is hidden while a period is counted: in one whose last
 * event came behind that, a count is of what the user did afterwards.
 */
typedef struct {
    uint64_t                 last;           /* as in the table */
    ino_t                    inode;
    sqlite3                 *db;
    sqlite3_stmt            *statement;
} ngx_analytics_period_file_t;

/*
 * user is empty for all, by their names.  NGX_OK; NGX_DECLINED if there is no
 * such file; or NGX_ERROR and *fail (err EBADMSG: it is damaged).  close in
 * all cases.
 */
ngx_int_t ngx_analytics_period_open(ngx_analytics_period_file_t *file,
    int dir, const char *path, ngx_analytics_period_t *period,
    ngx_str_t *user, ngx_analytics_fail_t *fail);

/* NGX_OK, NGX_DONE, or NGX_ERROR; user lasts until the next call. */
ngx_int_t ngx_analytics_period_next(ngx_analytics_period_file_t *file,
    ngx_str_t *user, uint64_t *count, ngx_analytics_fail_t *fail);

void ngx_analytics_period_close(ngx_analytics_period_file_t *file);


/*
 * Periods that start in [from, to), in order, and their users by their names.
 * user is empty for all.
 */
typedef struct {
    int                      dir;
    const char              *path;
    int64_t                  from;
    int64_t                  to;
    ngx_str_t                user;
    const uint64_t          *key;            /* the log's */

    /* told */
    ngx_uint_t               incomplete;     /* a count is missing, or less */
                                             /* than it was */
    /* private */
    ngx_analytics_erasing_t  erasing;        /* users that are not shown */
    ngx_analytics_periods_t  list;
    ngx_uint_t               next;
    ngx_analytics_period_file_t  file;
} ngx_analytics_periods_read_t;

/* NGX_OK, or NGX_ERROR and *fail; close in both cases. */
ngx_int_t ngx_analytics_periods_read_open(ngx_analytics_periods_read_t *r,
    ngx_analytics_fail_t *fail);

/*
 * NGX_OK, NGX_DONE, or NGX_ERROR and *fail; user lasts until the next call.  A
 * file that cannot be read is put aside, and the next one is taken.
 */
ngx_int_t ngx_analytics_periods_read_next(ngx_analytics_periods_read_t *r,
    ngx_analytics_period_t *period, ngx_str_t *user, uint64_t *count,
    ngx_analytics_fail_t *fail);

void ngx_analytics_periods_read_close(ngx_analytics_periods_read_t *r);


#endif /* _NGX_ANALYTICS_PERIODS_H_INCLUDED_ */
