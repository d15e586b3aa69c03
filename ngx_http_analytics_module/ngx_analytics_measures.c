
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_measures.h"


/* chunks that are looked at in one go, and empty periods passed over */
#define NGX_ANALYTICS_SWEEP_STEPS    16
#define NGX_ANALYTICS_SWEEP_SKIP     4096


static void ngx_analytics_measures_give_up(ngx_analytics_zone_t *z,
    ngx_analytics_measure_t *measure);
static ngx_int_t ngx_analytics_measures_take(ngx_analytics_zone_t *z,
    ngx_analytics_source_t *source);
static uint64_t ngx_analytics_measures_next(ngx_analytics_zone_t *z);
static void ngx_analytics_measures_classes(ngx_analytics_zone_t *z,
    ngx_analytics_measure_t *measure, ngx_analytics_source_t *source);
static void ngx_analytics_sweep_step(ngx_analytics_zone_t *z);
static ngx_uint_t ngx_analytics_sweep_visit(ngx_analytics_zone_t *z,
    uint32_t *ring, uint32_t previous, uint32_t n);
static ngx_uint_t ngx_analytics_sweep_stale(ngx_analytics_measure_t *measure,
    ngx_analytics_chunk_t *chunk);
static void ngx_analytics_sweep_next(ngx_analytics_zone_t *z);
static void ngx_analytics_sweep_level(ngx_analytics_zone_t *z,
    ngx_uint_t level);
static void ngx_analytics_sweep_end(ngx_analytics_zone_t *z);


_Static_assert(sizeof(ngx_analytics_measure_t) % sizeof(uint64_t) == 0,
               "a measure is cleared by words");


ngx_uint_t  ngx_analytics_plane_classes[NGX_ANALYTICS_PLANES] = {
    NGX_ANALYTICS_CLASS_COUNT,
    NGX_ANALYTICS_CLASS_SUM,
    NGX_ANALYTICS_CLASS_SUM,
    NGX_ANALYTICS_CLASS_MIN,
    NGX_ANALYTICS_CLASS_MAX
};


ngx_int_t
ngx_analytics_measures_find(ngx_analytics_zone_t *z, uint64_t signature)
{
    ngx_uint_t                i;
    ngx_analytics_measure_t  *measure;

    for (i = 0; i < NGX_ANALYTICS_MEASURES; i++) {
        measure = &z->measures[i];

        if (measure->signature == signature && measure->pass == 0) {
            return (ngx_int_t) i;
        }
    }

    return NGX_ERROR;
}


void
ngx_analytics_measures_assign(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules)
{
    ngx_uint_t                i, whole;
    ngx_analytics_measure_t  *measure;

    if (z->refolded) {

        /*
         * Whoever was adding a piece of what lacks was killed: its rest is
         * for what there was, and comes before all else.
         */

        return;
    }

    for (i = 0; i < NGX_ANALYTICS_MEASURES; i++) {
        measure = &z->measures[i];

        if (measure->signature && measure->pass == 0
            && ngx_analytics_rules_source(rules, measure->signature)
               == NGX_ERROR)
        {
            ngx_analytics_measures_give_up(z, measure);
        }
    }

    whole = 1;

    for (i = 0; i < rules->n; i++) {
        if (ngx_analytics_measures_take(z, &rules->sources[i]) != NGX_OK) {
            whole = 0;
        }
    }

    if (whole) {
        ngx_analytics_put64(z, &z->program.assigned, rules->signature);
    }
}


static void
ngx_analytics_measures_give_up(ngx_analytics_zone_t *z,
    ngx_analytics_measure_t *measure)
{
    ngx_analytics_put64(z, &measure->pass, ngx_analytics_sweep_want(z));
    ngx_analytics_put64(z, &z->sweep.wanted, measure->pass);
}


/* NGX_DECLINED: not all of it could be taken in yet. */

static ngx_int_t
ngx_analytics_measures_take(ngx_analytics_zone_t *z,
    ngx_analytics_source_t *source)
{
    ngx_int_t                 m;
    ngx_uint_t                i;
    ngx_analytics_measure_t  *measure;

    m = ngx_analytics_measures_find(z, source->signature);

    for (i = 0; m == NGX_ERROR && i < NGX_ANALYTICS_MEASURES; i++) {
        if (z->measures[i].signature == 0) {
            m = (ngx_int_t) i;
        }
    }

    if (m == NGX_ERROR) {
        return NGX_DECLINED;
    }

    measure = &z->measures[m];

    if (measure->signature == 0) {

        /* what is free is all zeros */

        ngx_analytics_put64(z, &measure->signature, source->signature);
        ngx_analytics_put32(z, &measure->groups_max,
                            (uint32_t) source->groups);
        ngx_analytics_put64(z, &measure->counted_from,
                            ngx_analytics_measures_next(z));
    }

    ngx_analytics_measures_classes(z, measure, source);

    return (measure->classes == source->classes) ? NGX_OK : NGX_DECLINED;
}


/*
 * The number of the first event that is in what begins now.  In a zone without
 * events there is nothing to lack.
 */

static uint64_t
ngx_analytics_measures_next(ngx_analytics_zone_t *z)
{
    return z->events ? z->seq + 1 : 0;
}


/*
 * A class that is not named any more is given up: what is kept of it would
 * lack the events to come.
 */
static void
ngx_analytics_measures_classes(ngx_analytics_zone_t *z,
    ngx_analytics_measure_t *measure, ngx_analytics_source_t *source)
{
    uint32_t                stale, fresh;
    ngx_uint_t              i;
    ngx_analytics_since_t  *since;

    stale = measure->classes & ~(uint32_t) source->classes;
    fresh = (uint32_t) source->classes & ~measure->classes & ~measure->stale;

    if (stale) {
        ngx_analytics_put32(z, &measure->stale, measure->stale | stale);
        ngx_analytics_put64(z, &measure->stale_pass,
                            ngx_analytics_sweep_want(z));
        ngx_analytics_put64(z, &z->sweep.wanted, measure->stale_pass);
    }

    for (i = 0; i < NGX_ANALYTICS_CLASSES; i++) {

        if (!(fresh >> i & 1)) {
            continue;
        }

        since = &measure->since[i];

        ngx_analytics_put64(z, &since->from, ngx_analytics_measures_next(z));
        ngx_analytics_put_time(z, &since->since,
                               z->events ? z->received : 0);
    }

    if (stale || fresh) {
        ngx_analytics_put32(z, &measure->classes,
                            (measure->classes & ~stale) | fresh);
    }
}


void
ngx_analytics_measures_sweep(ngx_analytics_zone_t *z)
{
    ngx_uint_t  i;

    if (z->sweep.number == NGX_ANALYTICS_SWEEP_IDLE) {

        if (z->sweep.pass >= z->sweep.wanted) {
            return;
        }

        ngx_analytics_add(z, &z->sweep.pass, 1);
        ngx_analytics_sweep_level(z, 0);
        ngx_analytics_commit(z);
    }

    for (i = 0;
         i < NGX_ANALYTICS_SWEEP_STEPS
         && z->sweep.number != NGX_ANALYTICS_SWEEP_IDLE;
         i++)
    {
        ngx_analytics_sweep_step(z);
    }
}


/* Looks at one chunk, or goes on to the next period. */

static void
ngx_analytics_sweep_step(ngx_analytics_zone_t *z)
{
    uint32_t               *ring, previous, n;
    ngx_uint_t              last, gone;
    ngx_analytics_chunk_t  *chunk;

    ring = ngx_analytics_chunk_ring(z, z->sweep.level, z->sweep.number);

    if (*ring == 0
        || ngx_analytics_chunk_period(ngx_analytics_chunk(z, *ring))
           != z->sweep.number)
    {
        ngx_analytics_sweep_next(z);
        return;
    }

    /* the one that was looked at last may be gone, and be another's block */

    previous = z->sweep.previous;
    chunk = ngx_analytics_chunk(z, previous);

    if (previous == 0
        || chunk->key == NGX_ANALYTICS_CHUNK_FREE
        || ngx_analytics_chunk_level(chunk) != z->sweep.level
        || ngx_analytics_chunk_period(chunk) != z->sweep.number)
    {
        previous = *ring;
    }

    n = ngx_analytics_chunk(z, previous)->link;
    last = (n == *ring);

    gone = ngx_analytics_sweep_visit(z, ring, previous, n);

    if (last || *ring == 0) {
        ngx_analytics_sweep_next(z);
        return;
    }

    ngx_analytics_put32(z, &z->sweep.previous, gone ? previous : n);
    ngx_analytics_commit(z);
}


/* Removes a chunk if it was given up; tells whether. */

static ngx_uint_t
ngx_analytics_sweep_visit(ngx_analytics_zone_t *z, uint32_t *ring,
    uint32_t previous, uint32_t n)
{
    uint64_t                  key;
    ngx_uint_t                series, group;
    ngx_analytics_chunk_t    *chunk;
    ngx_analytics_measure_t  *measure;

    chunk = ngx_analytics_chunk(z, n);
    series = ngx_analytics_chunk_series(chunk);

    if (series < ngx_analytics_measure_series(0, 0)) {
        return 0;
    }

    measure = &z->measures[(series >> 16) - 1];
    group = series & 0x7fff;

    if (measure->pass == 0 && !ngx_analytics_sweep_stale(measure, chunk)) {

        if (group / 64 >= NGX_ANALYTICS_GONE
            || !(measure->gone[group / 64] >> (group % 64) & 1))
        {
            return 0;
        }

        /* a group that was given up lies in "other" */

        key = chunk->key & ~((uint64_t) 0x7fff << 32);
        key |= (uint64_t) NGX_ANALYTICS_GROUP_OTHER << 32;

        if (ngx_analytics_chunk_find(z, key) == 0
            && ngx_analytics_pool_left(&z->cells) == 0)
        {
            ngx_analytics_put32(z, &measure->inexact, 1);

        } else {
            (void) ngx_analytics_cells_merge(z, key, &chunk->u);
        }

        /* a new chunk has come before the first */

        while (ngx_analytics_chunk(z, previous)->link != n) {
            previous = ngx_analytics_chunk(z, previous)->link;
        }
    }

    ngx_analytics_chunk_free_next(z, ring, previous);
    ngx_analytics_commit(z);

    return 1;
}


static ngx_uint_t
ngx_analytics_sweep_stale(ngx_analytics_measure_t *measure,
    ngx_analytics_chunk_t *chunk)
{
    ngx_uint_t  plane, class;

    if (measure->stale == 0) {
        return 0;
    }

    plane = ngx_analytics_chunk_plane(chunk);

    if (plane < NGX_ANALYTICS_PLANES) {
        class = ngx_analytics_plane_classes[plane];

    } else {
        class = (ngx_analytics_chunk_level(chunk) == NGX_ANALYTICS_UNIQUES)
                ? NGX_ANALYTICS_CLASS_UNIQUE : NGX_ANALYTICS_CLASS_SKETCH;
    }

    return (measure->stale & class) != 0;
}


/* The next period that has chunks, of this level or one of the next. */

static void
ngx_analytics_sweep_next(ngx_analytics_zone_t *z)
{
    int64_t     number, end;
    ngx_uint_t  i;

    number = z->sweep.number + 1;

    end = ngx_analytics_ring_size(z->sweep.level);

    if (ngx_analytics_ring_wraps(z->sweep.level)) {
        end += z->spans[z->sweep.level].horizon;
    }

    for (i = 0; number < end && i < NGX_ANALYTICS_SWEEP_SKIP; i++) {

        if (*ngx_analytics_chunk_ring(z, z->sweep.level, number)) {
            break;
        }

        number++;
    }

    if (number < end) {
        ngx_analytics_put_time(z, &z->sweep.number, number);
        ngx_analytics_put32(z, &z->sweep.previous, 0);

    } else if (z->sweep.level + 1 < NGX_ANALYTICS_LEVELS) {
        ngx_analytics_sweep_level(z, z->sweep.level + 1);

    } else {
        ngx_analytics_sweep_end(z);
        ngx_analytics_put_time(z, &z->sweep.number, NGX_ANALYTICS_SWEEP_IDLE);
    }

    ngx_analytics_commit(z);
}


static void
ngx_analytics_sweep_level(ngx_analytics_zone_t *z, ngx_uint_t level)
{
    ngx_analytics_span_t  *span;

    span = &z->spans[level];

    ngx_analytics_put32(z, &z->sweep.level, (uint32_t) level);
    ngx_analytics_put32(z, &z->sweep.previous, 0);
    ngx_analytics_put_time(z, &z->sweep.number,
                           (span->lowest == INT64_MAX)
                           ? span->horizon
                           : ngx_max(span->horizon, span->lowest));
}


/*
 * All chunks of what was given up before this pass began are gone.  If it is
 * interrupted it is done again: what is done by then is not there any more.
 */
static void
ngx_analytics_sweep_end(ngx_analytics_zone_t *z)
{
    uint64_t                 *word;
    ngx_uint_t                m, i;
    ngx_analytics_measure_t  *measure;

    for (m = 0; m < NGX_ANALYTICS_MEASURES; m++) {
        measure = &z->measures[m];

        if (measure->pass && measure->pass <= z->sweep.pass) {
            ngx_analytics_groups_clean(z, m, 0, 1);

            word = (uint64_t *) (void *) measure;

            for (i = 0; i < sizeof(*measure) / sizeof(uint64_t); i++) {
                if (word[i]) {
                    ngx_analytics_put64(z, &word[i], 0);
                }
            }

            ngx_analytics_commit(z);
            continue;
        }

        ngx_analytics_groups_clean(z, m, z->sweep.pass, 0);

        if (measure->stale && measure->stale_pass <= z->sweep.pass) {
            ngx_analytics_put32(z, &measure->stale, 0);
            ngx_analytics_commit(z);
        }
    }
}
