
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
 *                      since the epoch), "events"
 *     counts           user, count
 *     activity_counts  for people, a view: user_id, period_start, period_end
 *                      (RFC 3339), count
 *
 * Periods in which nothing was recorded have no file.  Whoever writes has the
 * lease on "lock.store".
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


#define NGX_ANALYTICS_PERIOD_NAME  44       /* with ".db" and a NUL */
#define NGX_ANALYTICS_PERIOD_TEMP  "period.tmp"


/* microseconds since the epoch, whole seconds */
typedef struct {
    int64_t                  start;
    int64_t                  end;
} ngx_analytics_period_t;


typedef struct {
    ngx_analytics_period_t  *periods;        /* from malloc(), in order */
    ngx_uint_t               n;
} ngx_analytics_periods_t;


/* The periods that have a file.  NGX_OK, or NGX_ERROR and *fail. */
ngx_int_t ngx_analytics_periods_list(int dir, const char *path,
    ngx_analytics_periods_t *list, ngx_analytics_fail_t *fail);

void ngx_analytics_periods_free(ngx_analytics_periods_t *list);

void ngx_analytics_period_name(char *name, ngx_analytics_period_t *period);


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
} ngx_analytics_periods_conf_t;

/*
 * Counts the first period that is over and was not counted, or removes one
 * that is too old; blocks.  Returns NGX_OK if there may be more to do,
 * NGX_DONE, NGX_ABORT, or NGX_ERROR and *fail (err 0: events are missing).
 */
ngx_int_t ngx_analytics_periods_step(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_fail_t *fail);


/* Writes a period's file.  NGX_OK, or NGX_ERROR and *fail. */
ngx_int_t ngx_analytics_period_write(int dir, const char *path,
    ngx_analytics_period_t *period, ngx_analytics_names_t *names,
    ngx_analytics_fail_t *fail);

/*
 * Writes those anew that know users who are to be erased, without these:
 * ngx_analytics_periods_erase.c.  progress may be NULL; anything but NGX_OK
 * gives up.  NGX_OK, NGX_ABORT, or NGX_ERROR and *fail.
 */
ngx_int_t ngx_analytics_periods_erase(int dir, const char *path,
    const uint64_t key[2], ngx_analytics_erasing_t *erasing,
    ngx_int_t (*progress)(void *ctx), void *ctx, ngx_analytics_fail_t *fail);


/*
 * Reading: ngx_analytics_periods_read.c.  Periods that start in [from, to),
 * in order, and their users by their names.  user is empty for all.
 */
typedef struct {
    int                      dir;
    const char              *path;
    int64_t                  from;
    int64_t                  to;
    ngx_str_t                user;
    const uint64_t          *key;            /* the log's */

    /* private */
    ngx_analytics_erasing_t  erasing;        /* users that are not shown */
    ngx_analytics_periods_t  list;
    ngx_uint_t               next;
    sqlite3                 *db;
    sqlite3_stmt            *statement;
} ngx_analytics_periods_read_t;

/* NGX_OK, or NGX_ERROR and *fail; close in both cases. */
ngx_int_t ngx_analytics_periods_read_open(ngx_analytics_periods_read_t *r,
    ngx_analytics_fail_t *fail);

/* NGX_OK, NGX_DONE, or NGX_ERROR and *fail; user lasts until the next call. */
ngx_int_t ngx_analytics_periods_read_next(ngx_analytics_periods_read_t *r,
    ngx_analytics_period_t *period, ngx_str_t *user, uint64_t *count,
    ngx_analytics_fail_t *fail);

void ngx_analytics_periods_read_close(ngx_analytics_periods_read_t *r);


#endif /* _NGX_ANALYTICS_PERIODS_H_INCLUDED_ */
