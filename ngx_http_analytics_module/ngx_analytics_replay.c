
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_keys.h"
#include "ngx_analytics_refold.h"
#include "ngx_analytics_replay.h"


/* for points of a batch; what finds no room is made while it is folded */
#define NGX_ANALYTICS_REPLAY_POINTS  (256 * 1024)


/* Events of a record that wait to be folded under one lock. */
typedef struct {
    ngx_analytics_event_t    events[NGX_ANALYTICS_FOLD_MAX];
    ngx_uint_t               n;
    uint64_t                 position;       /* of the record */
    uint64_t                 seq;
    int64_t                  received;
    size_t                   used;           /* of the points */
} ngx_analytics_batch_t;


static ngx_int_t ngx_analytics_replay_record(ngx_analytics_target_t *target,
    ngx_analytics_record_t *record);
static ngx_int_t ngx_analytics_replay_lock(ngx_analytics_target_t *target);
static void ngx_analytics_replay_unlock(ngx_analytics_target_t *target);
static ngx_int_t ngx_analytics_replay_item(ngx_analytics_target_t *target,
    ngx_analytics_batch_t *batch, ngx_analytics_item_t *item);
static ngx_int_t ngx_analytics_replay_flush(ngx_analytics_target_t *target,
    ngx_analytics_batch_t *batch);
static void *ngx_analytics_replay_alloc(void *ctx, size_t size);
static ngx_int_t ngx_analytics_replay_advance(ngx_analytics_target_t *target,
    uint64_t position);


ngx_int_t
ngx_analytics_replay(ngx_analytics_target_t *target, int dir,
    const char *path, uint64_t limit, ngx_analytics_fail_t *fail)
{
    ngx_int_t               rc;
    ngx_analytics_reader_t  reader;
    ngx_analytics_record_t  record;

    fail->err = 0;
    fail->text[0] = '\0';

    rc = ngx_analytics_reader_open(&reader, dir, path,
                                   ngx_analytics_zone_position(target->zone),
                                   fail);

    while (rc == NGX_OK) {
        rc = ngx_analytics_reader_next(&reader, limit, &record, fail);

        if (rc == NGX_OK) {
            rc = ngx_analytics_replay_record(target, &record);

        } else if (rc == NGX_DECLINED) {

            if (target->damaged) {
                target->damaged(target->ctx, reader.segment.position,
                                reader.damage_from, reader.damage_to);
            }

            rc = ngx_analytics_replay_advance(target, reader.damage_to);
        }

        if (rc == NGX_OK && target->progress
            && target->progress(target->ctx, reader.position) != NGX_OK)
        {
            rc = NGX_ERROR;
        }
    }

    ngx_analytics_reader_close(&reader);

    if (rc != NGX_DONE) {
        return NGX_ERROR;
    }

    /* a segment may have begun behind the last record */

    return ngx_analytics_zone_position(target->zone) < limit
           ? ngx_analytics_replay_advance(target, limit) : NGX_OK;
}


static ngx_int_t
ngx_analytics_replay_record(ngx_analytics_target_t *target,
    ngx_analytics_record_t *record)
{
    ngx_int_t              rc;
    ngx_analytics_item_t   item;
    ngx_analytics_batch_t  batch;

    batch.n = 0;
    batch.position = record->position;
    batch.seq = record->seq;
    batch.received = record->received;

    for ( ;; ) {
        rc = ngx_analytics_record_item(record, &item);

        if (rc != NGX_OK) {
            break;
        }

        if (ngx_analytics_replay_item(target, &batch, &item) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    /* what is malformed behind a good checksum was written so: passed over */

    if (ngx_analytics_replay_flush(target, &batch) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_analytics_replay_advance(target,
                                        record->position + record->len);
}


static ngx_int_t
ngx_analytics_replay_item(ngx_analytics_target_t *target,
    ngx_analytics_batch_t *batch, ngx_analytics_item_t *item)
{
    if (item->kind == NGX_ANALYTICS_ITEM_EVENT) {
        batch->events[batch->n++] = item->event;

        return batch->n == NGX_ANALYTICS_FOLD_MAX
               ? ngx_analytics_replay_flush(target, batch) : NGX_OK;
    }

    if (ngx_analytics_replay_flush(target, batch) != NGX_OK) {
        return NGX_ERROR;
    }

    if (item->kind == NGX_ANALYTICS_ITEM_ERASE && item->erase == 0
        && target->live && batch->position >= target->live_from)
    {
        target->missed = 1;
        return NGX_ERROR;
    }

    if (ngx_analytics_replay_lock(target) != NGX_OK) {
        return NGX_ERROR;
    }

    switch (item->kind) {

    case NGX_ANALYTICS_ITEM_KEY:
        ngx_analytics_replay_key(target->zone, &item->key, batch->received);
        break;

    case NGX_ANALYTICS_ITEM_PROGRAM:
        ngx_analytics_zone_program(target->zone, &item->program);
        break;

    case NGX_ANALYTICS_ITEM_REFOLD:
        ngx_analytics_refold_apply(target->zone, &item->refold);
        break;

    default: /* NGX_ANALYTICS_ITEM_ERASE */
        if (item->erase) {
            (void) ngx_analytics_zone_erase(target->zone, item->erase);
        }
    }

    ngx_analytics_replay_unlock(target);

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_replay_flush(ngx_analytics_target_t *target,
    ngx_analytics_batch_t *batch)
{
    if (batch->n == 0) {
        return NGX_OK;
    }

    batch->used = 0;

    ngx_analytics_zone_hash(target->zone, batch->events, batch->n);
    ngx_analytics_zone_points(target->zone, batch->events, batch->n,
                              ngx_analytics_replay_alloc, batch);

    if (ngx_analytics_replay_lock(target) != NGX_OK) {
        return NGX_ERROR;
    }

    batch->seq = ngx_analytics_zone_fold(target->zone, batch->events,
                                         batch->n, batch->seq,
                                         batch->received);

    ngx_analytics_replay_unlock(target);

    batch->n = 0;

    return NGX_OK;
}


static void *
ngx_analytics_replay_alloc(void *ctx, size_t size)
{
    static __thread uint64_t  points[NGX_ANALYTICS_REPLAY_POINTS / 8];

    ngx_analytics_batch_t *batch = ctx;

    u_char  *p;

    size = ngx_align(size, sizeof(uint64_t));

    if (size > sizeof(points) - batch->used) {
        return NULL;
    }

    p = (u_char *) points + batch->used;
    batch->used += size;

    return p;
}


void
ngx_analytics_replay_key(ngx_analytics_zone_t *z,
    ngx_analytics_record_key_t *key, int64_t received)
{
    ngx_analytics_key_t  k;

    k.hash = key->hash;
    ngx_memcpy(&k.digest, key->digest, sizeof(k.digest));
    k.first = key->first;
    k.last = key->last;
    k.received = received;
    k.done = key->done;

    ngx_analytics_keys_add(z, &k);
}


static ngx_int_t
ngx_analytics_replay_advance(ngx_analytics_target_t *target,
    uint64_t position)
{
    if (ngx_analytics_replay_lock(target) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_analytics_zone_advance(target->zone, position);

    ngx_analytics_replay_unlock(target);

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_replay_lock(ngx_analytics_target_t *target)
{
    return target->lock ? target->lock(target->ctx) : NGX_OK;
}


static void
ngx_analytics_replay_unlock(ngx_analytics_target_t *target)
{
    if (target->unlock) {
        target->unlock(target->ctx);
    }
}
