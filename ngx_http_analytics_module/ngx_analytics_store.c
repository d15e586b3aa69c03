
/*
 * What is done with the store.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_store.h"
#include "ngx_analytics_db.h"
#include "ngx_analytics_fault.h"

#include <dirent.h>


static ngx_int_t ngx_analytics_store_work(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_store_stat(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_store_gap(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_store_tail(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_store_old(ngx_analytics_store_conf_t *conf,
    uint64_t from, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_store_fill(ngx_analytics_store_conf_t *conf,
    uint64_t from, uint64_t to, uint64_t last, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_store_records(
    ngx_analytics_store_conf_t *conf, ngx_analytics_reader_t *reader,
    uint64_t *to, ngx_analytics_part_writer_t *w, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_store_record(ngx_analytics_record_t *record,
    ngx_analytics_part_writer_t *w, ngx_uint_t *n, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_store_merge(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail);
static ngx_uint_t ngx_analytics_store_run(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_uint_t first);
static ngx_int_t ngx_analytics_store_clean(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail);
static ngx_uint_t ngx_analytics_store_within(
    ngx_analytics_store_list_t *list, const char *name);


ngx_int_t
ngx_analytics_store_step(ngx_analytics_store_conf_t *conf,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t                   rc;
    ngx_analytics_store_list_t  list;

    if (ngx_analytics_store_list(conf->dir, conf->path, &list, fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_analytics_store_work(conf, &list, fail);

    ngx_analytics_store_free(&list);

    return rc;
}


static ngx_int_t
ngx_analytics_store_work(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    static ngx_int_t (*const work[])(ngx_analytics_store_conf_t *conf,
        ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail) =
    {
        ngx_analytics_store_clean,
        ngx_analytics_store_stat,
        ngx_analytics_store_retain,
        ngx_analytics_store_gap,
        ngx_analytics_store_tail,
        ngx_analytics_store_merge
    };

    for (i = 0; i < sizeof(work) / sizeof(work[0]); i++) {
        rc = work[i](conf, list, fail);

        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    return NGX_DONE;
}


/* What each part says of itself; one that is damaged is put aside. */

static ngx_int_t
ngx_analytics_store_stat(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail)
{
    ngx_uint_t            i;
    ngx_analytics_db_t   *db;

    conf->from = list->from;
    conf->to = list->to;
    conf->to_seq = 1;
    conf->parts = list->n;
    conf->size = list->size;
    conf->missing = list->missing;

    for (i = 0; i < list->n; i++) {
        db = ngx_analytics_db_get(conf->path, &list->parts[i], fail);

        if (db == NULL) {
            return (fail->err == EBADMSG)
                   ? ngx_analytics_parts_bad(conf->dir, conf->path,
                                             &list->parts[i], 0, fail)
                   : NGX_ERROR;
        }

        list->parts[i] = db->part;

        if (db->part.last) {
            conf->to_seq = db->part.last + 1;
        }

        /* what comes before the first event is not needed any more */

        if (db->part.events == 0 && db->part.from == conf->from) {
            conf->from = db->part.to;
        }

        ngx_analytics_db_put(db, 0);
    }

    if (conf->tell) {
        conf->tell(conf);
    }

    return NGX_DECLINED;
}


/* What is missing between parts, as far as the log reaches. */

static ngx_int_t
ngx_analytics_store_gap(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail)
{
    uint64_t    end, last, *segments;
    ngx_int_t   rc;
    ngx_uint_t  i, n;

    if (list->missing == 0) {
        return NGX_DECLINED;
    }

    if (ngx_analytics_segments(conf->dir, conf->path, &segments, &n, fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = NGX_DECLINED;
    end = list->from;
    last = 0;

    for (i = 0; i <= list->n && n; i++) {

        if (end >= segments[0]
            && end < (i < list->n ? list->parts[i].from : list->to))
        {
            rc = ngx_analytics_store_fill(conf, end,
                                          i < list->n ? list->parts[i].from
                                                      : list->to, last, fail);
            break;
        }

        if (i < list->n) {
            end = list->parts[i].to;
            last = list->parts[i].last;
        }
    }

    free(segments);

    return rc;
}


static ngx_int_t
ngx_analytics_store_tail(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail)
{
    ngx_int_t  rc;

    if (conf->synced <= list->to) {
        return NGX_DECLINED;
    }

    if (conf->seq <= conf->to_seq) {

        /* records of no events are forgotten with those before them */

        if (list->n == 0 || list->parts[list->n - 1].events) {
            return NGX_DECLINED;
        }

    } else if (!conf->all
               && conf->seq - conf->to_seq < NGX_ANALYTICS_STORE_MIN)
    {
        rc = ngx_analytics_store_old(conf, list->to, fail);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return ngx_analytics_store_fill(conf, list->to, conf->synced,
                                    conf->to_seq - 1, fail);
}


/*
 * Whether the first event there is so old that the others are not waited for.
 * NGX_OK, NGX_DECLINED or NGX_ERROR.
 */
static ngx_int_t
ngx_analytics_store_old(ngx_analytics_store_conf_t *conf, uint64_t from,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t               rc;
    ngx_analytics_reader_t  reader;
    ngx_analytics_record_t  record;

    if (conf->keep_time == 0) {
        return NGX_DECLINED;
    }

    rc = ngx_analytics_reader_open(&reader, conf->dir, conf->path, from, fail);

    record.n = 0;

    while ((rc == NGX_OK && record.n == 0) || rc == NGX_DECLINED) {
        rc = ngx_analytics_reader_next(&reader, conf->synced, &record, fail);
    }

    ngx_analytics_reader_close(&reader);

    if (rc != NGX_OK) {
        return (rc == NGX_DONE) ? NGX_DECLINED : rc;
    }

    return (conf->now - record.received >= ngx_analytics_store_span(conf))
           ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_analytics_store_fill(ngx_analytics_store_conf_t *conf, uint64_t from,
    uint64_t to, uint64_t last, ngx_analytics_fail_t *fail)
{
    ngx_int_t                     rc;
    ngx_analytics_part_t          part;
    ngx_analytics_reader_t        reader;
    ngx_analytics_part_writer_t  *w;

    ngx_analytics_fault_stop("fill");

    w = ngx_analytics_part_create(conf->dir, conf->path, conf->log_id, last,
                                  fail);

    if (w == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_analytics_reader_open(&reader, conf->dir, conf->path, from, fail);

    if (rc == NGX_OK) {
        rc = ngx_analytics_store_records(conf, &reader, &to, w, fail);
    }

    ngx_analytics_reader_close(&reader);

    if (rc != NGX_OK) {
        ngx_analytics_part_abandon(w);
        return rc;
    }

    return ngx_analytics_part_finish(w, from, to, conf->progress, conf->ctx,
                                     &part, fail);
}


/* *to becomes less if there is too much for a part. */

static ngx_int_t
ngx_analytics_store_records(ngx_analytics_store_conf_t *conf,
    ngx_analytics_reader_t *reader, uint64_t *to,
    ngx_analytics_part_writer_t *w, ngx_analytics_fail_t *fail)
{
    int64_t                 first;
    ngx_int_t               rc;
    ngx_uint_t              n;
    ngx_analytics_record_t  record;

    n = 0;
    first = 0;

    for ( ;; ) {
        rc = ngx_analytics_reader_next(reader, *to, &record, fail);

        if (rc == NGX_DECLINED) {
            continue;
        }

        if (rc == NGX_DONE) {
            return NGX_OK;
        }

        if (rc != NGX_OK) {
            return rc;
        }

        if (n == 0) {
            first = record.received;

        } else if (record.received - first > ngx_analytics_store_span(conf)) {
            *to = record.position;
            return NGX_OK;
        }

        if (ngx_analytics_store_record(&record, w, &n, fail) != NGX_OK) {
            return NGX_ERROR;
        }

        if (n >= NGX_ANALYTICS_STORE_MAX) {
            *to = reader->position;
            return NGX_OK;
        }

        if (conf->progress && conf->progress(conf->ctx) != NGX_OK) {
            return NGX_ABORT;
        }
    }
}


static ngx_int_t
ngx_analytics_store_record(ngx_analytics_record_t *record,
    ngx_analytics_part_writer_t *w, ngx_uint_t *n, ngx_analytics_fail_t *fail)
{
    uint64_t              id;
    ngx_analytics_row_t   row;
    ngx_analytics_item_t  item;

    id = record->seq;

    while (ngx_analytics_record_item(record, &item) == NGX_OK) {

        if (item.kind != NGX_ANALYTICS_ITEM_EVENT) {
            continue;
        }

        ngx_analytics_row_of(&row, &item.event, id++, record->received);

        if (ngx_analytics_part_add(w, &row, fail) != NGX_OK) {
            return NGX_ERROR;
        }

        (*n)++;
    }

    return NGX_OK;
}


/* Small parts in a row; see ngx_analytics_store.h. */

static ngx_int_t
ngx_analytics_store_merge(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail)
{
    ngx_uint_t            i, n;
    ngx_analytics_part_t  part;

    for (i = 0; i < list->n; i++) {
        n = ngx_analytics_store_run(conf, list, i);

        if (n > 1) {
            ngx_analytics_fault_stop("merge");

            return ngx_analytics_part_merge(conf->dir, conf->path,
                                            conf->log_id, &list->parts[i], n,
                                            conf->progress, conf->ctx, &part,
                                            fail);
        }
    }

    return NGX_DECLINED;
}


/* How many parts from the first on are to be one, or 0. */

static ngx_uint_t
ngx_analytics_store_run(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_uint_t first)
{
    int64_t                received;
    uint64_t               events;
    ngx_uint_t             i, small;
    ngx_analytics_part_t  *part;

    events = 0;
    small = 0;
    received = list->parts[first].received_min;

    for (i = first; i < list->n; i++) {
        part = &list->parts[i];

        if (part->events >= NGX_ANALYTICS_STORE_FULL
            || (i > first && part->from != part[-1].to)
            || (part->events && part->received_max - received
                                > ngx_analytics_store_span(conf)))
        {
            return 0;
        }

        events += part->events;

        if (events >= NGX_ANALYTICS_STORE_FULL) {
            return i - first + 1;
        }

        if (i - first == small && part->events < NGX_ANALYTICS_STORE_SMALL) {
            small++;
        }

        if (small == NGX_ANALYTICS_STORE_MERGE) {
            return small;
        }
    }

    return 0;
}


/* What lies within another part is not needed any more. */

static ngx_int_t
ngx_analytics_store_clean(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail)
{
    DIR            *d;
    struct dirent  *entry;

    d = opendir(conf->path);

    if (d == NULL) {
        ngx_analytics_failed(fail, "opendir()", conf->path, NULL);
        return NGX_ERROR;
    }

    while ((entry = readdir(d)) != NULL) {

        if (ngx_analytics_store_within(list, entry->d_name)
            && unlinkat(conf->dir, entry->d_name, 0) == -1)
        {
            ngx_analytics_failed(fail, "unlink()", conf->path, entry->d_name);
            (void) closedir(d);
            return NGX_ERROR;
        }

        ngx_analytics_fault_stop("clean");
    }

    (void) closedir(d);

    return NGX_DECLINED;
}


static ngx_uint_t
ngx_analytics_store_within(ngx_analytics_store_list_t *list, const char *name)
{
    ngx_uint_t            i, bad;
    ngx_analytics_part_t  part;

    if (ngx_analytics_parts_parse(name, &part, &bad) != NGX_OK) {
        return 0;
    }

    for (i = 0; i < list->n; i++) {

        if (part.from >= list->parts[i].from && part.to <= list->parts[i].to) {
            return bad || part.from != list->parts[i].from
                   || part.to != list->parts[i].to;
        }
    }

    return 0;
}
