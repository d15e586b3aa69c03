
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_fields.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_twins.h"


/* The first event of each id, in a table that is half empty at least. */
typedef struct {
    ngx_analytics_event_t  **slots;
    size_t                   mask;
} ngx_analytics_twins_t;


static ngx_uint_t ngx_analytics_twins_ids(ngx_analytics_decode_t *d);
static void ngx_analytics_twins_event(ngx_analytics_decode_t *d,
    ngx_analytics_twins_t *t, ngx_analytics_event_t *event,
    ngx_uint_t index);
static ngx_analytics_event_t *ngx_analytics_twins_first(
    ngx_analytics_twins_t *t, ngx_analytics_event_t *event);
static ngx_uint_t ngx_analytics_twins_same(ngx_analytics_event_t *one,
    ngx_analytics_event_t *two);
static ngx_uint_t ngx_analytics_twins_equal(ngx_str_t *one, ngx_str_t *two);


ngx_int_t
ngx_analytics_twins(ngx_analytics_decode_t *d)
{
    size_t                  size;
    ngx_uint_t              i, ids, index;
    ngx_analytics_run_t    *run;
    ngx_analytics_twins_t   t;

    ids = ngx_analytics_twins_ids(d);

    if (ids < 2) {
        return NGX_OK;
    }

    for (size = 4; size < 2 * ids; size *= 2) { /* void */ }

    t.mask = size - 1;
    t.slots = d->alloc(d->ctx, size * sizeof(ngx_analytics_event_t *));

    if (t.slots == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(t.slots, size * sizeof(ngx_analytics_event_t *));

    index = 0;

    for (run = d->first; run; run = run->next) {
        for (i = 0; i < run->n; i++, index++) {
            if (run->events[i].id.len) {
                ngx_analytics_twins_event(d, &t, &run->events[i], index);
            }
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_analytics_twins_ids(ngx_analytics_decode_t *d)
{
    ngx_uint_t            i, ids;
    ngx_analytics_run_t  *run;

    if (d->n < 2) {
        return 0;
    }

    ids = 0;

    for (run = d->first; run; run = run->next) {
        for (i = 0; i < run->n; i++) {
            ids += (run->events[i].id.len != 0);
        }
    }

    return ids;
}


static void
ngx_analytics_twins_event(ngx_analytics_decode_t *d,
    ngx_analytics_twins_t *t, ngx_analytics_event_t *event, ngx_uint_t index)
{
    ngx_analytics_event_t  *first;

    event->id_hash = ngx_analytics_siphash(d->key, event->id.data,
                                           event->id.len);

    first = ngx_analytics_twins_first(t, event);

    if (first == event) {
        return;
    }

    if (ngx_analytics_twins_same(first, event)) {
        event->known = 1;

    } else {
        ngx_analytics_decode_error_of(d, index, &d->format->id,
                                      "was used for another event");
    }
}


/* Finds the event that has this id, which is this one if none had it. */

static ngx_analytics_event_t *
ngx_analytics_twins_first(ngx_analytics_twins_t *t,
    ngx_analytics_event_t *event)
{
    size_t                  i;
    ngx_analytics_event_t  *other;

    for (i = event->id_hash & t->mask; /* void */ ; i = (i + 1) & t->mask) {
        other = t->slots[i];

        if (other == NULL) {
            t->slots[i] = event;
            return event;
        }

        if (other->id_hash == event->id_hash
            && ngx_analytics_twins_equal(&other->id, &event->id))
        {
            return other;
        }
    }
}


static ngx_uint_t
ngx_analytics_twins_same(ngx_analytics_event_t *one,
    ngx_analytics_event_t *two)
{
    return one->time == two->time
           && ngx_analytics_twins_equal(&one->user, &two->user)
           && ngx_analytics_twins_equal(&one->type, &two->type)
           && ngx_analytics_twins_equal(&one->properties, &two->properties);
}


static ngx_uint_t
ngx_analytics_twins_equal(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && ngx_analytics_equal(one->data, two->data, one->len);
}
