
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_cells.h"
#include "ngx_analytics_refold.h"
#include "ngx_analytics_refold_log.h"


/* chunks that a piece may have before its size is looked at */
#define NGX_ANALYTICS_REFOLD_CHUNKS   512

/* bytes of the largest record, less what stands before the entries */
#define NGX_ANALYTICS_REFOLD_ENTRIES                                          \
    (NGX_ANALYTICS_RECORD_MAX - NGX_ANALYTICS_RECORD_HEADER                   \
     - NGX_ANALYTICS_RECORD_REFOLD - 8)


/* Events of a record that were not folded yet. */
typedef struct {
    ngx_uint_t                n;
    uint64_t                  seq;           /* of the first */
    int64_t                   received;
    ngx_analytics_event_t     events[NGX_ANALYTICS_FOLD_MAX];
} ngx_analytics_refold_batch_t;


static ngx_int_t ngx_analytics_refold_record(
    ngx_analytics_refold_log_t *job, ngx_analytics_record_t *record,
    ngx_analytics_refold_batch_t *batch, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_refold_flush(ngx_analytics_refold_log_t *job,
    ngx_analytics_refold_batch_t *batch, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_refold_begin(ngx_analytics_refold_log_t *job,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_refold_cut(ngx_analytics_refold_log_t *job,
    uint64_t to, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_refold_large(ngx_analytics_refold_log_t *job);
static ngx_int_t ngx_analytics_refold_piece(ngx_analytics_refold_log_t *job,
    ngx_uint_t source, uint64_t to);
static ngx_int_t ngx_analytics_refold_memory(ngx_analytics_fail_t *fail);


ngx_int_t
ngx_analytics_refold_segment(ngx_analytics_refold_log_t *job,
    uint64_t position, uint64_t to, ngx_analytics_fail_t *fail)
{
    ngx_int_t                      rc;
    ngx_analytics_reader_t         reader;
    ngx_analytics_record_t         record;
    ngx_analytics_refold_batch_t  *batch;

    job->to = to;
    job->zone = NULL;
    job->pieces = NULL;
    job->from = 0;

    batch = malloc(sizeof(ngx_analytics_refold_batch_t));
    job->entries = malloc(NGX_ANALYTICS_REFOLD_ENTRIES);

    rc = ngx_analytics_reader_open(&reader, job->dir, job->path, position,
                                   fail);

    if (batch == NULL || job->entries == NULL) {
        rc = ngx_analytics_refold_memory(fail);
    }

    if (rc == NGX_OK) {
        job->from = reader.known ? reader.segment.seq : 0;
        rc = ngx_analytics_refold_begin(job, fail);
    }

    while (rc == NGX_OK) {
        rc = ngx_analytics_reader_next(&reader, job->end, &record, fail);

        if (rc == NGX_DECLINED) {

            /* damaged: whoever folded the log passed over it, too */

            rc = NGX_OK;
            continue;
        }

        if (rc == NGX_OK
            && (record.seq >= to || reader.segment.position != position))
        {
            rc = NGX_DONE;
        }

        if (rc == NGX_OK) {
            rc = ngx_analytics_refold_record(job, &record, batch, fail);
        }
    }

    ngx_analytics_reader_close(&reader);

    if (rc == NGX_DONE) {
        rc = (job->from < to) ? ngx_analytics_refold_cut(job, to, fail)
                              : NGX_OK;
    }

    free(batch);
    free(job->entries);

    if (rc != NGX_OK) {
        ngx_analytics_refold_free(job);
    }

    return rc;
}


void
ngx_analytics_refold_free(ngx_analytics_refold_log_t *job)
{
    ngx_analytics_refold_piece_t  *piece;

    while (job->pieces) {
        piece = job->pieces;
        job->pieces = piece->next;

        free(piece);
    }
}


static ngx_int_t
ngx_analytics_refold_record(ngx_analytics_refold_log_t *job,
    ngx_analytics_record_t *record, ngx_analytics_refold_batch_t *batch,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t             rc;
    ngx_analytics_item_t  item;

    batch->n = 0;
    batch->seq = record->seq;
    batch->received = record->received;

    do {
        rc = ngx_analytics_record_item(record, &item);

        if (rc == NGX_OK && item.kind == NGX_ANALYTICS_ITEM_EVENT) {

            /* a metric may have been taken in amid a record's events */

            if (batch->seq + batch->n < job->to) {
                batch->events[batch->n++] = item.event;

            } else {
                rc = NGX_DONE;
            }
        }

        if (batch->n == NGX_ANALYTICS_FOLD_MAX
            || (rc != NGX_OK && batch->n))
        {
            if (ngx_analytics_refold_flush(job, batch, fail) != NGX_OK) {
                return NGX_ERROR;
            }
        }

    } while (rc == NGX_OK);

    /* one who waits may want the thread to end */

    if (job->progress && job->progress(job->ctx) != NGX_OK) {
        fail->err = 0;
        fail->text[0] = '\0';
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_refold_flush(ngx_analytics_refold_log_t *job,
    ngx_analytics_refold_batch_t *batch, ngx_analytics_fail_t *fail)
{
    if (job->from == 0) {

        /* the segment's header does not tell */

        job->from = batch->seq;
    }

    if (job->since == 0) {
        job->since = batch->received;
    }

    ngx_analytics_zone_hash(job->zone, batch->events, batch->n);

    batch->seq = ngx_analytics_zone_fold(job->zone, batch->events, batch->n,
                                         batch->seq, job->now);
    batch->n = 0;

    if (job->zone->cells.used < job->look
        || ngx_analytics_refold_large(job) != NGX_OK)
    {
        return NGX_OK;
    }

    return (ngx_analytics_refold_cut(job, batch->seq, fail) == NGX_OK)
           ? ngx_analytics_refold_begin(job, fail) : NGX_ERROR;
}


/* A zone without anything, in memory that reads as zeros. */

static ngx_int_t
ngx_analytics_refold_begin(ngx_analytics_refold_log_t *job,
    ngx_analytics_fail_t *fail)
{
    ngx_analytics_zone_conf_t  conf;

    if (job->clear(job->ctx) != NGX_OK) {
        return ngx_analytics_refold_memory(fail);
    }

    conf = job->conf;
    conf.now = job->now;

    job->zone = ngx_analytics_zone_create(job->memory, job->size, &conf);

    if (job->zone == NULL) {
        return ngx_analytics_refold_memory(fail);
    }

    ngx_analytics_zone_program(job->zone, &job->program);

    /* what nobody keeps any more is not made again */

    ngx_analytics_cells_advance(job->zone, job->now);

    job->since = 0;
    job->look = NGX_ANALYTICS_REFOLD_CHUNKS;

    return NGX_OK;
}


/* NGX_OK if a piece is to end here. */

static ngx_int_t
ngx_analytics_refold_large(ngx_analytics_refold_log_t *job)
{
    u_char      *last;
    ngx_uint_t   i;

    for (i = 0; i < job->wanted->n; i++) {
        last = ngx_analytics_refold_entries(job->zone,
                                            job->wanted->signatures[i],
                                            job->entries,
                                            NGX_ANALYTICS_REFOLD_MAX / 2);
        if (last == NULL) {
            return NGX_OK;
        }
    }

    job->look = job->zone->cells.used + job->zone->cells.used / 8;

    return NGX_DECLINED;
}


/* What is in the zone becomes a piece of each source, up to an event. */

static ngx_int_t
ngx_analytics_refold_cut(ngx_analytics_refold_log_t *job, uint64_t to,
    ngx_analytics_fail_t *fail)
{
    ngx_uint_t  i;

    for (i = 0; i < job->wanted->n; i++) {
        if (ngx_analytics_refold_piece(job, i, to) != NGX_OK) {
            return ngx_analytics_refold_memory(fail);
        }
    }

    job->from = to;

    return NGX_OK;
}


/* The last one comes first: they are appended backwards. */

static ngx_int_t
ngx_analytics_refold_piece(ngx_analytics_refold_log_t *job,
    ngx_uint_t source, uint64_t to)
{
    u_char                        *last;
    size_t                         len;
    ngx_analytics_refold_piece_t  *piece;

    last = ngx_analytics_refold_entries(job->zone,
                                        job->wanted->signatures[source],
                                        job->entries,
                                        NGX_ANALYTICS_REFOLD_ENTRIES);
    if (last == NULL) {
        return NGX_ERROR;
    }

    len = last - job->entries;

    piece = malloc(sizeof(ngx_analytics_refold_piece_t) + len);
    if (piece == NULL) {
        return NGX_ERROR;
    }

    piece->refold.signature = job->wanted->signatures[source];
    piece->refold.classes = job->wanted->classes[source];
    piece->refold.from = job->from;
    piece->refold.to = to;
    piece->refold.since = (job->from > 1) ? job->since : 0;
    piece->refold.entries.len = len;
    piece->refold.entries.data = (u_char *) &piece[1];

    ngx_memcpy(piece->refold.entries.data, job->entries, len);

    piece->next = job->pieces;
    job->pieces = piece;

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_refold_memory(ngx_analytics_fail_t *fail)
{
    fail->err = ENOMEM;
    ngx_memcpy(fail->text, "refolding", sizeof("refolding"));

    return NGX_ERROR;
}
