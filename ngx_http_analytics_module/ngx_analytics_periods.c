
/*
 * Counting by period.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_periods.h"
#include "ngx_analytics_time.h"


/* events between two looks whether to give up */
#define NGX_ANALYTICS_PERIOD_PAUSE  4096


/* What was counted last, and what comes first behind that. */
typedef struct {
    int64_t                  time;           /* INT64_MIN: nothing was */
    uint64_t                 last;           /* its last event, 0: unknown */
    int64_t                  received;
    ngx_uint_t               whole;
} ngx_analytics_periods_from_t;


static ngx_int_t ngx_analytics_periods_clean(
    ngx_analytics_periods_conf_t *conf, ngx_analytics_periods_t *list,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_retain(
    ngx_analytics_periods_conf_t *conf, ngx_analytics_periods_t *list,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_empty(
    ngx_analytics_periods_conf_t *conf, ngx_analytics_period_t *period,
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
    ngx_uint_t whole, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_from(
    ngx_analytics_periods_conf_t *conf, ngx_analytics_periods_t *list,
    ngx_analytics_periods_from_t *from, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_lost(
    ngx_analytics_periods_conf_t *conf, int64_t start, int64_t end,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_first(
    ngx_analytics_periods_conf_t *conf, ngx_analytics_periods_from_t *from,
    ngx_analytics_fail_t *fail);
static ngx_analytics_find_t *ngx_analytics_periods_find(
    ngx_analytics_periods_conf_t *conf, int64_t from, int64_t to,
    uint64_t limit, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_reach(
    ngx_analytics_periods_conf_t *conf, ngx_analytics_period_t *period,
    ngx_uint_t *reach, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_periods_count(
    ngx_analytics_periods_conf_t *conf, ngx_analytics_period_t *period,
    ngx_analytics_names_t *names, ngx_uint_t *whole,
    ngx_analytics_fail_t *fail);


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


static ngx_int_t
ngx_analytics_periods_retain(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_periods_t *list, ngx_analytics_fail_t *fail)
{
    if (conf->keep == 0 || list->n == 0
        || list->periods[0].end > conf->now - conf->keep)
    {
        return NGX_DECLINED;
    }

    return (list->n > 1)
           ? ngx_analytics_periods_remove(conf, &list->periods[0], fail)
           : ngx_analytics_periods_empty(conf, &list->periods[0], fail);
}


/*
 * The last one's name stays: it says from where on there is something to
 * count.
 */
static ngx_int_t
ngx_analytics_periods_empty(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_period_t *period, ngx_analytics_fail_t *fail)
{
    uint64_t                     count;
    ngx_int_t                    rc;
    ngx_str_t                    user;
    ngx_analytics_names_t        nobody;
    ngx_analytics_period_file_t  file;

    if (period->kind == NGX_ANALYTICS_PERIOD_BAD) {
        return NGX_DECLINED;
    }

    ngx_memzero(&nobody, sizeof(ngx_analytics_names_t));
    ngx_str_null(&user);

    rc = ngx_analytics_period_open(&file, conf->dir, conf->path, period, &user,
                                   fail);
    if (rc == NGX_OK) {
        period->last = file.last;
        rc = ngx_analytics_period_next(&file, &user, &count, fail);
    }

    ngx_analytics_period_close(&file);

    if (rc == NGX_DONE) {
        return NGX_DECLINED;
    }

    return (rc == NGX_OK || fail->err == EBADMSG)
           ? ngx_analytics_period_write(conf->dir, conf->path, period,
                                        &nobody, fail)
           : rc;
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

            rc = ngx_analytics_periods_make(conf, &period, 0, fail);

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
    ngx_int_t                     rc;
    ngx_analytics_period_t        period;
    ngx_analytics_periods_from_t  from;

    conf->next = conf->now + conf->period
                 - (conf->now - ngx_analytics_floor_div(conf->now,
                                                        conf->period)
                                * conf->period);

    rc = ngx_analytics_periods_from(conf, list, &from, fail);

    if (rc == NGX_OK) {
        rc = ngx_analytics_periods_first(conf, &from, fail);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    period.start = ngx_analytics_floor_div(from.received, conf->period)
                   * conf->period;
    period.end = period.start + conf->period;
    period.start = ngx_max(period.start, from.time);

    if (!from.whole && list->n && from.time < period.start) {
        return ngx_analytics_periods_lost(conf, from.time, period.start, fail);
    }

    if (period.end > conf->now) {
        return NGX_DONE;
    }

    return ngx_analytics_periods_make(conf, &period, from.whole, fail);
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
    period.last = 0;

    rc = ngx_analytics_period_write(conf->dir, conf->path, &period, &nobody,
                                    fail);
    if (rc == NGX_OK) {
        conf->inexact++;
    }

    return rc;
}


/*
 * Counts a period and writes its file, which says by its name if it is all.
 * It is if the first event follows the last one that was counted (whole), or
 * there are some still from before it; and none is missing in between.
 */
static ngx_int_t
ngx_analytics_periods_make(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_period_t *period, ngx_uint_t whole,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t              rc;
    ngx_analytics_names_t  names;

    rc = whole ? NGX_OK
               : ngx_analytics_periods_reach(conf, period, &whole, fail);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_analytics_names_init(&names) != NGX_OK) {
        ngx_analytics_failed(fail, "malloc() for", conf->path, NULL);
        rc = NGX_ERROR;

    } else {
        rc = ngx_analytics_periods_count(conf, period, &names, &whole, fail);
    }

    period->kind = whole ? NGX_ANALYTICS_PERIOD_EXACT
                         : NGX_ANALYTICS_PERIOD_INEXACT;

    if (rc == NGX_OK) {
        rc = ngx_analytics_period_write(conf->dir, conf->path, period,
                                        &names, fail);
    }

    if (rc == NGX_OK && !whole) {
        conf->inexact++;
    }

    ngx_analytics_names_free(&names);

    return rc;
}


/* From where on there is something to count. */

static ngx_int_t
ngx_analytics_periods_from(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_periods_t *list, ngx_analytics_periods_from_t *from,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t                     rc;
    ngx_str_t                     user;
    ngx_analytics_period_t       *period;
    ngx_analytics_period_file_t   file;

    from->time = INT64_MIN;
    from->last = 0;
    from->received = 0;

    if (list->n == 0) {
        return NGX_OK;
    }

    period = &list->periods[list->n - 1];

    ngx_str_null(&user);

    rc = ngx_analytics_period_open(&file, conf->dir, conf->path, period, &user,
                                   fail);

    from->time = period->end;
    from->last = file.last;

    ngx_analytics_period_close(&file);

    if (rc == NGX_ERROR && fail->err == EBADMSG) {

        /* the next time it is counted again, before anything else */

        return ngx_analytics_period_bad(conf->dir, conf->path, period,
                                        file.inode, fail);
    }

    return (rc == NGX_DECLINED) ? NGX_OK : rc;
}


/*
 * When somebody did something first from then on; and whether nothing before
 * that is missing, which also events of nobody tell.  NGX_DONE: there is none.
 */
static ngx_int_t
ngx_analytics_periods_first(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_periods_from_t *from, ngx_analytics_fail_t *fail)
{
    ngx_int_t              rc;
    ngx_uint_t             n;
    ngx_analytics_row_t    row;
    ngx_analytics_find_t  *find;

    find = ngx_analytics_periods_find(conf, from->time, INT64_MAX, UINT64_MAX,
                                      fail);
    if (find == NULL) {
        return NGX_ERROR;
    }

    from->whole = 0;

    for (n = 0; /* void */ ; n++) {
        rc = ngx_analytics_find_next(find, &row, fail);

        if (rc != NGX_OK) {
            break;
        }

        if (n == 0) {
            from->whole = (from->last && row.id == from->last + 1);
        }

        if (row.user.len) {
            from->received = row.received;
            break;
        }
    }

    if (ngx_analytics_find_incomplete(find)) {
        from->whole = 0;
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
    find.filter.from = from;
    find.filter.to = to;
    find.filter.since = INT64_MIN;

    return ngx_analytics_find_open(&find, fail);
}


/* Whether there are still events from before it, or all that ever were. */

static ngx_int_t
ngx_analytics_periods_reach(ngx_analytics_periods_conf_t *conf,
    ngx_analytics_period_t *period, ngx_uint_t *reach,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t              rc;
    ngx_analytics_row_t    row;
    ngx_analytics_find_t  *find;

    find = ngx_analytics_periods_find(conf, INT64_MIN, INT64_MAX, 1, fail);

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
    ngx_uint_t *whole, ngx_analytics_fail_t *fail)
{
    ngx_int_t              rc;
    ngx_uint_t             n;
    ngx_analytics_row_t    row;
    ngx_analytics_find_t  *find;

    period->last = 0;

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

        period->last = row.id;

        if (row.user.len && ngx_analytics_names_add(names, &row.user) == 0) {
            ngx_analytics_failed(fail, "malloc() for", conf->path, NULL);
            rc = NGX_ERROR;
            break;
        }
    }

    if (ngx_analytics_find_incomplete(find)) {
        *whole = 0;
    }

    ngx_analytics_find_close(find);

    return (rc == NGX_DONE) ? NGX_OK : rc;
}
