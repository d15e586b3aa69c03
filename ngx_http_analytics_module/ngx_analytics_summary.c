
/*
 * The usage summary of a list.
 *
 * Users and types are counted in open-addressing tables; the busiest second
 * and the busiest hour fall out of one sort of the times.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_summary.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_time.h"


typedef struct {
    ngx_analytics_count_t    tally;
    uint64_t                 hash;
} ngx_analytics_slot_t;


typedef struct {
    ngx_analytics_slot_t    *slots;          /* count 0: free */
    ngx_uint_t               size;           /* a power of two */
    ngx_uint_t               n;
    const uint64_t          *key;
    ngx_analytics_alloc_pt   alloc;
    void                    *ctx;
} ngx_analytics_tallies_t;


static ngx_int_t ngx_analytics_tallies_init(ngx_analytics_tallies_t *t,
    ngx_analytics_decode_t *d, const uint64_t key[2]);
static ngx_int_t ngx_analytics_tallies_add(ngx_analytics_tallies_t *t,
    ngx_str_t *name);
static ngx_analytics_slot_t *ngx_analytics_tallies_find(
    ngx_analytics_tallies_t *t, ngx_str_t *name, uint64_t hash);
static ngx_int_t ngx_analytics_tallies_grow(ngx_analytics_tallies_t *t);
static ngx_analytics_count_t *ngx_analytics_tallies_sort(
    ngx_analytics_tallies_t *t);
static void ngx_analytics_summary_peaks(ngx_analytics_summary_t *s,
    int64_t *times, ngx_uint_t n);
static void ngx_analytics_summary_busiest(int64_t *times, ngx_uint_t n,
    int64_t unit, int64_t *start, uint64_t *count);
static void ngx_analytics_write_names(ngx_analytics_writer_t *w,
    ngx_analytics_summary_t *s);
static void ngx_analytics_write_types(ngx_analytics_writer_t *w,
    ngx_analytics_summary_t *s);
static void ngx_analytics_write_peaks(ngx_analytics_writer_t *w,
    ngx_analytics_summary_t *s);
static int ngx_libc_cdecl ngx_analytics_time_cmp(const void *one,
    const void *two);


ngx_int_t
ngx_analytics_summarise(ngx_analytics_decode_t *d, const uint64_t key[2],
    int64_t now, ngx_analytics_summary_t *s)
{
    int64_t                  *times;
    ngx_uint_t                i, n;
    ngx_analytics_run_t      *run;
    ngx_analytics_event_t    *event;
    ngx_analytics_tallies_t   users, types;

    ngx_memzero(s, sizeof(ngx_analytics_summary_t));

    times = d->alloc(d->ctx, (d->n + 1) * sizeof(int64_t));

    if (times == NULL
        || ngx_analytics_tallies_init(&users, d, key) != NGX_OK
        || ngx_analytics_tallies_init(&types, d, key) != NGX_OK)
    {
        return NGX_ERROR;
    }

    n = 0;

    for (run = d->first; run; run = run->next) {
        for (i = 0; i < run->n; i++) {
            event = &run->events[i];

            if (event->known) {

                /* twice in this list: stored, it would count once */

                continue;
            }

            if (ngx_analytics_tallies_add(&users, &event->user) != NGX_OK
                || ngx_analytics_tallies_add(&types, &event->type) != NGX_OK)
            {
                return NGX_ERROR;
            }

            times[n++] = event->time == NGX_ANALYTICS_TIME_NONE ? now
                                                                : event->time;
        }
    }

    s->events = n;
    s->users = users.n;
    s->nnames = users.n;
    s->names = ngx_analytics_tallies_sort(&users);
    s->ntypes = types.n;
    s->types = ngx_analytics_tallies_sort(&types);

    ngx_analytics_summary_most_active(s);
    ngx_analytics_summary_peaks(s, times, n);

    return NGX_OK;
}


void
ngx_analytics_summary_most_active(ngx_analytics_summary_t *s)
{
    ngx_uint_t  i;

    for (i = 0; i < s->nnames; i++) {

        /* the first of equals is the smallest by name */

        if (s->names[i].count > s->most_active.count) {
            s->most_active = s->names[i];
        }
    }
}


static ngx_int_t
ngx_analytics_tallies_init(ngx_analytics_tallies_t *t,
    ngx_analytics_decode_t *d, const uint64_t key[2])
{
    t->slots = NULL;
    t->size = 32;
    t->n = 0;
    t->key = key;
    t->alloc = d->alloc;
    t->ctx = d->ctx;

    return ngx_analytics_tallies_grow(t);
}


static ngx_int_t
ngx_analytics_tallies_add(ngx_analytics_tallies_t *t, ngx_str_t *name)
{
    uint64_t               hash;
    ngx_analytics_slot_t  *slot;

    hash = ngx_analytics_siphash(t->key, name->data, name->len);
    slot = ngx_analytics_tallies_find(t, name, hash);

    if (slot->tally.count++) {
        return NGX_OK;
    }

    slot->tally.name = *name;
    slot->hash = hash;

    t->n++;

    if (t->n < t->size / 2) {
        return NGX_OK;
    }

    return ngx_analytics_tallies_grow(t);
}


/* Returns the slot of a name, or the free one where it belongs. */

static ngx_analytics_slot_t *
ngx_analytics_tallies_find(ngx_analytics_tallies_t *t, ngx_str_t *name,
    uint64_t hash)
{
    ngx_uint_t              i;
    ngx_analytics_slot_t   *slot;

    for (i = hash & (t->size - 1); /* void */ ; i = (i + 1) & (t->size - 1)) {
        slot = &t->slots[i];

        if (slot->tally.count == 0) {
            return slot;
        }

        if (slot->hash == hash && slot->tally.name.len == name->len
            && ngx_memcmp(slot->tally.name.data, name->data, name->len) == 0)
        {
            return slot;
        }
    }
}


static ngx_int_t
ngx_analytics_tallies_grow(ngx_analytics_tallies_t *t)
{
    ngx_uint_t              i, size;
    ngx_analytics_slot_t   *slots, *slot;

    slots = t->slots;
    size = slots ? t->size : 0;

    t->size *= 2;

    t->slots = t->alloc(t->ctx, t->size * sizeof(ngx_analytics_slot_t));
    if (t->slots == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(t->slots, t->size * sizeof(ngx_analytics_slot_t));

    for (i = 0; i < size; i++) {
        if (slots[i].tally.count) {
            slot = ngx_analytics_tallies_find(t, &slots[i].tally.name,
                                              slots[i].hash);
            *slot = slots[i];
        }
    }

    return NGX_OK;
}


/* Ends the table: its memory becomes the list. */

static ngx_analytics_count_t *
ngx_analytics_tallies_sort(ngx_analytics_tallies_t *t)
{
    ngx_uint_t              i, n;
    ngx_analytics_count_t  *tallies, tally;

    tallies = (ngx_analytics_count_t *) t->slots;

    for (i = 0, n = 0; i < t->size; i++) {
        tally = t->slots[i].tally;

        if (tally.count) {
            tallies[n++] = tally;
        }
    }

    qsort(tallies, n, sizeof(ngx_analytics_count_t), ngx_analytics_name_cmp);

    return tallies;
}


static void
ngx_analytics_summary_peaks(ngx_analytics_summary_t *s, int64_t *times,
    ngx_uint_t n)
{
    ngx_uint_t  i;

    s->seconds = 1;

    qsort(times, n, sizeof(int64_t), ngx_analytics_time_cmp);

    for (i = 0; i < n; i++) {
        s->hour_of_day[times[i] / NGX_ANALYTICS_HOUR % 24]++;
    }

    ngx_analytics_summary_busiest(times, n, NGX_ANALYTICS_SECOND,
                                  &s->peak_second, &s->peak_second_count);
    ngx_analytics_summary_busiest(times, n, NGX_ANALYTICS_HOUR,
                                  &s->peak_hour, &s->peak_hour_count);
}


/* The unit of time in which most of the sorted times fall, the earliest. */

static void
ngx_analytics_summary_busiest(int64_t *times, ngx_uint_t n, int64_t unit,
    int64_t *start, uint64_t *count)
{
    int64_t     bucket;
    ngx_uint_t  i, first;

    *count = 0;

    for (i = 0; i < n; /* void */ ) {
        first = i;
        bucket = times[i] / unit;

        while (i < n && times[i] / unit == bucket) {
            i++;
        }

        if (i - first > *count) {
            *count = i - first;
            *start = bucket * unit;
        }
    }
}


void
ngx_analytics_summary_write(ngx_analytics_writer_t *w,
    ngx_analytics_summary_t *s)
{
    ngx_analytics_write_literal(w,
        "{\"message\":\"Usage summary generated successfully\","
        "\"total_events\":");
    ngx_analytics_write_uint(w, s->events);
    ngx_analytics_write_literal(w, ",\"total_unique_users\":");
    ngx_analytics_write_uint(w, s->users);

    ngx_analytics_write_names(w, s);
    ngx_analytics_write_types(w, s);

    ngx_analytics_write_literal(w, ",\"most_active_user\":");

    if (s->most_active.count) {
        ngx_analytics_write_literal(w, "{\"value\":");
        ngx_analytics_write_string(w, &s->most_active.name);
        ngx_analytics_write_literal(w, ",\"count\":");
        ngx_analytics_write_uint(w, s->most_active.count);
        ngx_analytics_write_literal(w, "}");

    } else {
        ngx_analytics_write_literal(w, "null");
    }

    ngx_analytics_write_peaks(w, s);

    ngx_analytics_write_literal(w, "}");
}


static void
ngx_analytics_write_names(ngx_analytics_writer_t *w,
    ngx_analytics_summary_t *s)
{
    ngx_uint_t  i;

    ngx_analytics_write_literal(w, ",\"unique_users\":[");

    for (i = 0; i < s->nnames; i++) {

        if (i) {
            ngx_analytics_write_literal(w, ",");
        }

        ngx_analytics_write_string(w, &s->names[i].name);
    }

    ngx_analytics_write_literal(w, "]");
}


static void
ngx_analytics_write_types(ngx_analytics_writer_t *w,
    ngx_analytics_summary_t *s)
{
    ngx_uint_t  i;

    ngx_analytics_write_literal(w, ",\"action_wise_counts\":{");

    for (i = 0; i < s->ntypes; i++) {

        if (i) {
            ngx_analytics_write_literal(w, ",");
        }

        ngx_analytics_write_string(w, &s->types[i].name);
        ngx_analytics_write_literal(w, ":");
        ngx_analytics_write_uint(w, s->types[i].count);
    }

    ngx_analytics_write_literal(w, "}");
}


static void
ngx_analytics_write_peaks(ngx_analytics_writer_t *w,
    ngx_analytics_summary_t *s)
{
    ngx_uint_t  i, hour;

    if (s->events == 0) {

        if (s->seconds) {
            ngx_analytics_write_literal(w, ",\"peak_activity_time\":null");
        }

        ngx_analytics_write_literal(w, ",\"peak_activity_hour\":null,"
                                       "\"peak_activity_window\":null");
        return;
    }

    if (s->seconds) {
        ngx_analytics_write_literal(w, ",\"peak_activity_time\":{\"value\":");
        ngx_analytics_write_time(w, s->peak_second);
        ngx_analytics_write_literal(w, ",\"count\":");
        ngx_analytics_write_uint(w, s->peak_second_count);
        ngx_analytics_write_literal(w, "}");
    }

    hour = 0;

    for (i = 1; i < 24; i++) {
        if (s->hour_of_day[i] > s->hour_of_day[hour]) {
            hour = i;
        }
    }

    ngx_analytics_write_literal(w, ",\"peak_activity_hour\":{\"value\":");
    ngx_analytics_write_uint(w, hour);
    ngx_analytics_write_literal(w, ",\"count\":");
    ngx_analytics_write_uint(w, s->hour_of_day[hour]);

    ngx_analytics_write_literal(w, "},\"peak_activity_window\":");

    if (s->peak_hour_count == 0) {

        /* all events are older than the hours that are kept */

        ngx_analytics_write_literal(w, "null");
        return;
    }

    ngx_analytics_write_literal(w, "{\"start\":");
    ngx_analytics_write_time(w, s->peak_hour);
    ngx_analytics_write_literal(w, ",\"end\":");
    ngx_analytics_write_time(w, s->peak_hour + NGX_ANALYTICS_HOUR);
    ngx_analytics_write_literal(w, ",\"count\":");
    ngx_analytics_write_uint(w, s->peak_hour_count);
    ngx_analytics_write_literal(w, "}");
}


static int ngx_libc_cdecl
ngx_analytics_time_cmp(const void *one, const void *two)
{
    const int64_t  *first = one;
    const int64_t  *second = two;

    return (*first > *second) - (*first < *second);
}
