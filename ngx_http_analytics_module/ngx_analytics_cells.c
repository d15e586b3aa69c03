
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_cells.h"
#include "ngx_analytics_chunks.h"
#include "ngx_analytics_time.h"


#define NGX_ANALYTICS_CELLS_LAZY   2     /* expired chunks freed an event */

/*
 * Each chunk needed takes at most two steps, to drop a period and to free;
 * two more find that nothing is left to sweep.
 */
#define NGX_ANALYTICS_CELLS_TRIES  (2 * NGX_ANALYTICS_CELLS_NEED + 2)


static uint64_t ngx_analytics_cell_add(ngx_analytics_zone_t *z,
    ngx_analytics_level_e level, ngx_uint_t series, int64_t bucket,
    uint32_t *hint);
static void ngx_analytics_cells_lost(ngx_analytics_zone_t *z,
    ngx_analytics_level_e level, int64_t bucket);
static ngx_int_t ngx_analytics_cells_sweep(ngx_analytics_zone_t *z);
static int64_t ngx_analytics_cells_oldest(ngx_analytics_zone_t *z,
    ngx_analytics_level_e level, int64_t end);
static ngx_int_t ngx_analytics_cells_drop(ngx_analytics_zone_t *z,
    int64_t received);
static ngx_int_t ngx_analytics_cells_drop_ahead(ngx_analytics_zone_t *z,
    int64_t period);


static ngx_inline int64_t
ngx_analytics_cells_minute(int64_t time)
{
    return ngx_analytics_floor_div(time, NGX_ANALYTICS_MINUTE);
}


static ngx_inline int64_t
ngx_analytics_cells_number(int64_t bucket)
{
    return ngx_analytics_floor_div(bucket, NGX_ANALYTICS_CHUNK);
}


/* The first chunk number that is too far ahead to be told apart. */

static ngx_inline int64_t
ngx_analytics_cells_end(ngx_analytics_zone_t *z, ngx_analytics_level_e level)
{
    return (level == NGX_ANALYTICS_HOURS)
           ? NGX_ANALYTICS_RING_HOURS
           : z->spans[level].horizon + NGX_ANALYTICS_RING_MINUTES;
}


void
ngx_analytics_cells_init(ngx_analytics_zone_t *z)
{
    z->spans[NGX_ANALYTICS_MINUTES].lowest = INT64_MAX;
    z->spans[NGX_ANALYTICS_HOURS].lowest = INT64_MAX;
}


void
ngx_analytics_cells_advance(ngx_analytics_zone_t *z, int64_t received)
{
    int64_t                age, number;
    ngx_uint_t             level;
    ngx_analytics_span_t  *span;

    for (level = 0; level < NGX_ANALYTICS_LEVELS; level++) {
        age = NGX_ANALYTICS_MINUTES_MAX * NGX_ANALYTICS_MINUTE;

        if (level == NGX_ANALYTICS_HOURS) {
            age = z->program.totals;
        }

        if (age <= 0 || received < age) {
            continue;
        }

        number = ngx_analytics_cells_minute(received - age);

        if (level == NGX_ANALYTICS_HOURS) {
            number = ngx_min(number / 60, NGX_ANALYTICS_RING_HOURS
                                          * NGX_ANALYTICS_CHUNK);
        }

        number = ngx_analytics_cells_number(number);
        span = &z->spans[level];

        if (number > span->horizon) {
            ngx_analytics_put_time(z, &span->horizon, number);
            ngx_analytics_commit(z);
        }
    }
}


void
ngx_analytics_cells_room(ngx_analytics_zone_t *z, int64_t received)
{
    ngx_uint_t  i;

    ngx_analytics_cells_sweep(z);

    for (i = 0; i < NGX_ANALYTICS_CELLS_LAZY && z->expired; i++) {
        ngx_analytics_chunk_free(z, &z->expired);
        ngx_analytics_commit(z);
    }

    for (i = 0;
         i < NGX_ANALYTICS_CELLS_TRIES
         && ngx_analytics_pool_left(&z->cells) < NGX_ANALYTICS_CELLS_NEED;
         i++)
    {
        if (z->expired) {
            ngx_analytics_chunk_free(z, &z->expired);
            ngx_analytics_commit(z);
            continue;
        }

        if (ngx_analytics_cells_sweep(z) == NGX_OK) {
            continue;
        }

        if (ngx_analytics_cells_drop(z, received) != NGX_OK) {
            return;
        }
    }
}


/*
 * Moves the chunks of one period behind the horizon to those that are to be
 * freed.  A period more than one round of the minutes' ring behind can have
 * left its chunks only where a later number finds them.
 * Returns NGX_OK, or NGX_DECLINED if there is none.
 */
static ngx_int_t
ngx_analytics_cells_sweep(ngx_analytics_zone_t *z)
{
    int64_t                number;
    uint32_t              *ring;
    ngx_uint_t             level;
    ngx_analytics_span_t  *span;

    for (level = 0; level < NGX_ANALYTICS_LEVELS; level++) {
        span = &z->spans[level];

        if (span->lowest >= span->horizon) {
            continue;
        }

        number = span->lowest;

        if (level == NGX_ANALYTICS_MINUTES) {
            number = ngx_max(number,
                             span->horizon - NGX_ANALYTICS_RING_MINUTES);
        }

        do {
            ring = ngx_analytics_chunk_ring(z, level, number++);

            if (*ring
                && ngx_analytics_chunk_number(ngx_analytics_chunk(z, *ring))
                   < span->horizon)
            {
                break;
            }

            ring = NULL;

        } while (number < span->horizon);

        ngx_analytics_put_time(z, &span->lowest, number);

        if (ring) {
            ngx_analytics_ring_expire(z, ring);
        }

        ngx_analytics_commit(z);

        if (ring) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/*
 * Makes room: by one chunk far ahead, or the period that ends first, or one
 * chunk of the period to come.  64 hours are 60 times 64 minutes, so the
 * periods of the two levels nest.
 * Returns NGX_OK, or NGX_DECLINED if nothing may go.
 */
static ngx_int_t
ngx_analytics_cells_drop(ngx_analytics_zone_t *z, int64_t received)
{
    int64_t                 now, number, minutes, hours;
    ngx_analytics_level_e   level;

    now = ngx_analytics_cells_number(ngx_analytics_cells_minute(received));

    if (ngx_analytics_cells_drop_ahead(z, now + 1) == NGX_OK) {
        return NGX_OK;
    }

    minutes = ngx_analytics_cells_oldest(z, NGX_ANALYTICS_MINUTES, now);
    hours = ngx_analytics_cells_oldest(z, NGX_ANALYTICS_HOURS,
                                       ngx_analytics_floor_div(now, 60));

    if (minutes != INT64_MAX
        && (hours == INT64_MAX || minutes < (hours + 1) * 60))
    {
        level = NGX_ANALYTICS_MINUTES;
        number = minutes;

    } else if (hours != INT64_MAX) {
        level = NGX_ANALYTICS_HOURS;
        number = hours;

    } else {
        return ngx_analytics_cells_drop_ahead(z, now);
    }

    ngx_analytics_put_time(z, &z->spans[level].horizon, number + 1);
    ngx_analytics_put_time(z, &z->spans[level].lowest, number + 1);
    ngx_analytics_ring_expire(z, ngx_analytics_chunk_ring(z, level, number));
    ngx_analytics_add(z, &z->lost, 1);
    ngx_analytics_commit(z);

    return NGX_OK;
}


/*
 * Returns the first number before end whose period has chunks, or INT64_MAX.
 * Nothing is behind the horizon any more when this is called.
 */
static int64_t
ngx_analytics_cells_oldest(ngx_analytics_zone_t *z,
    ngx_analytics_level_e level, int64_t end)
{
    int64_t                number;
    ngx_analytics_span_t  *span;

    span = &z->spans[level];
    end = ngx_min(end, ngx_analytics_cells_end(z, level));

    for (number = span->lowest; number < end; number++) {

        if (*ngx_analytics_chunk_ring(z, level, number)) {
            break;
        }
    }

    if (number > span->lowest) {
        ngx_analytics_put_time(z, &span->lowest, number);
        ngx_analytics_commit(z);
    }

    return (number < end) ? number : INT64_MAX;
}


/*
 * Drops one chunk of the minutes after a period, the farthest first: else
 * who sends events ahead of time could push out what really happened.
 */
static ngx_int_t
ngx_analytics_cells_drop_ahead(ngx_analytics_zone_t *z, int64_t period)
{
    int64_t    number;
    uint32_t  *ring;

    period = ngx_max(period, z->spans[NGX_ANALYTICS_MINUTES].horizon);
    number = ngx_analytics_cells_end(z, NGX_ANALYTICS_MINUTES) - 1;

    while (number > period) {
        ring = ngx_analytics_chunk_ring(z, NGX_ANALYTICS_MINUTES, number--);

        if (*ring) {
            ngx_analytics_add(z, &z->lost, 1);
            ngx_analytics_chunk_free(z, ring);
            ngx_analytics_commit(z);

            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


void
ngx_analytics_cells_fold(ngx_analytics_zone_t *z, ngx_uint_t type,
    int64_t time)
{
    int64_t     minute, hour;
    uint32_t   *hints;
    uint64_t    count;
    ngx_uint_t  series;

    minute = ngx_analytics_cells_minute(time);
    hour = ngx_analytics_floor_div(minute, 60);

    series = ngx_analytics_series(type);
    hints = ngx_analytics_type(z, type)->hints;

    if (ngx_analytics_cells_number(hour)
        < z->spans[NGX_ANALYTICS_HOURS].horizon)
    {
        ngx_analytics_add(z, &z->older, 1);

    } else {
        count = ngx_analytics_cell_add(z, NGX_ANALYTICS_HOURS,
                                       NGX_ANALYTICS_SERIES_ALL, hour,
                                       &z->hints[NGX_ANALYTICS_HOURS]);

        if (count > z->peak_count
            || (count && count == z->peak_count && hour < z->peak_hour))
        {
            ngx_analytics_put64(z, &z->peak_count, count);

            if (hour != z->peak_hour) {
                ngx_analytics_put_time(z, &z->peak_hour, hour);
            }
        }

        ngx_analytics_cell_add(z, NGX_ANALYTICS_HOURS, series, hour,
                               &hints[NGX_ANALYTICS_HOURS]);
    }

    if (ngx_analytics_cells_number(minute)
        < z->spans[NGX_ANALYTICS_MINUTES].horizon)
    {
        return;
    }

    ngx_analytics_cell_add(z, NGX_ANALYTICS_MINUTES,
                           NGX_ANALYTICS_SERIES_ALL, minute,
                           &z->hints[NGX_ANALYTICS_MINUTES]);

    ngx_analytics_cell_add(z, NGX_ANALYTICS_MINUTES, series, minute,
                           &hints[NGX_ANALYTICS_MINUTES]);
}


/*
 * The bucket is not behind the horizon.  Returns its count, or 0 if there
 * is no room.
 */
static uint64_t
ngx_analytics_cell_add(ngx_analytics_zone_t *z, ngx_analytics_level_e level,
    ngx_uint_t series, int64_t bucket, uint32_t *hint)
{
    int64_t                 number;
    uint64_t                key, *count;
    uint32_t                n;
    ngx_analytics_chunk_t  *chunk;

    number = ngx_analytics_cells_number(bucket);

    if (number < ngx_analytics_cells_end(z, level)) {
        key = ngx_analytics_chunk_key(level, series, number);

        n = *hint;

        if (!ngx_analytics_chunk_is(z, n, key)) {
            n = ngx_analytics_chunk_find(z, key);

            if (n == 0) {
                n = ngx_analytics_chunk_create(z, level, series, number);
            }

            *hint = n;
        }

        if (n) {
            chunk = ngx_analytics_chunk(z, n);
            count = &chunk->counts[bucket % NGX_ANALYTICS_CHUNK];

            ngx_analytics_add(z, count, 1);

            return *count;
        }
    }

    ngx_analytics_cells_lost(z, level, bucket);

    return 0;
}


static void
ngx_analytics_cells_lost(ngx_analytics_zone_t *z,
    ngx_analytics_level_e level, int64_t bucket)
{
    ngx_analytics_add(z, &z->lost, 1);

    if (level == NGX_ANALYTICS_HOURS
        && ngx_analytics_cells_number(bucket) < NGX_ANALYTICS_RING_HOURS
        && bucket >= z->lost_hour)
    {
        ngx_analytics_put_time(z, &z->lost_hour, bucket + 1);
    }
}


ngx_analytics_chunk_t *
ngx_analytics_cells_next(ngx_analytics_zone_t *z,
    ngx_analytics_cells_walk_t *walk)
{
    int64_t  end;

    if (!walk->started) {
        walk->started = 1;
        walk->level = NGX_ANALYTICS_HOURS;
        walk->number = z->spans[walk->level].horizon;
    }

    if (walk->block == walk->last) {
        walk->last = 0;
    }

    while (walk->last == 0) {
        end = ngx_analytics_cells_end(z, walk->level);

        if (walk->number == end) {

            if (walk->level == NGX_ANALYTICS_MINUTES) {
                return NULL;
            }

            walk->level = NGX_ANALYTICS_MINUTES;
            walk->number = z->spans[walk->level].horizon;
            continue;
        }

        walk->block = *ngx_analytics_chunk_ring(z, walk->level,
                                                walk->number);

        /* the place may hold an earlier round's, not yet swept */

        if (walk->block
            && ngx_analytics_chunk_number(ngx_analytics_chunk(z, walk->block))
               == walk->number)
        {
            walk->last = walk->block;
        }

        walk->number++;
    }

    walk->block = ngx_analytics_chunk(z, walk->block)->link;

    return ngx_analytics_chunk(z, walk->block);
}


void
ngx_analytics_cells_restore(ngx_analytics_zone_t *z,
    ngx_analytics_level_e level, ngx_uint_t series, int64_t number,
    uint64_t *counts)
{
    int64_t      first;
    uint32_t     n;
    uint64_t    *to;
    ngx_uint_t   i;

    n = ngx_analytics_chunk_find(z,
                             ngx_analytics_chunk_key(level, series, number));

    if (n == 0 && ngx_analytics_pool_left(&z->cells) == 0) {
        ngx_analytics_cells_room(z, z->received);
    }

    if (number < z->spans[level].horizon
        || number >= ngx_analytics_cells_end(z, level))
    {
        return;
    }

    if (n == 0) {
        n = ngx_analytics_chunk_create(z, level, series, number);
    }

    first = number * NGX_ANALYTICS_CHUNK;
    to = n ? ngx_analytics_chunk(z, n)->counts : NULL;

    for (i = 0; i < NGX_ANALYTICS_CHUNK; i++) {

        if (counts[i] == 0) {
            continue;
        }

        if (to) {
            ngx_analytics_add(z, &to[i], counts[i]);

        } else {
            ngx_analytics_cells_lost(z, level, first + (int64_t) i);
        }
    }

    ngx_analytics_commit(z);
}


int64_t
ngx_analytics_cells_from(ngx_analytics_zone_t *z)
{
    int64_t  hour;

    hour = z->spans[NGX_ANALYTICS_HOURS].horizon * NGX_ANALYTICS_CHUNK;

    return ngx_max(hour, z->lost_hour) * NGX_ANALYTICS_HOUR;
}


void
ngx_analytics_zone_cells(ngx_analytics_zone_t *z,
    ngx_analytics_level_e level, ngx_uint_t series, int64_t first,
    uint64_t *counts, ngx_uint_t n)
{
    int64_t                 number, begin, end;
    uint32_t                block;
    ngx_uint_t              i, skip, take;

    begin = z->spans[level].horizon;
    end = ngx_analytics_cells_end(z, level);

    for (i = 0; i < n; i += take) {

        number = ngx_analytics_cells_number(first + (int64_t) i);
        skip = (ngx_uint_t) (first + (int64_t) i) % NGX_ANALYTICS_CHUNK;
        take = ngx_min(n - i, NGX_ANALYTICS_CHUNK - skip);

        block = (number < begin || number >= end)
                ? 0
                : ngx_analytics_chunk_find(z,
                             ngx_analytics_chunk_key(level, series, number));

        if (block) {
            ngx_memcpy(&counts[i],
                       &ngx_analytics_chunk(z, block)->counts[skip],
                       take * sizeof(uint64_t));

        } else {
            ngx_memzero(&counts[i], take * sizeof(uint64_t));
        }
    }
}


void
ngx_analytics_zone_sums(ngx_analytics_zone_t *z, ngx_analytics_level_e level,
    int64_t first, ngx_uint_t n, uint64_t *sums, ngx_uint_t nseries)
{
    int64_t                 number;
    uint32_t                last, block;
    uint64_t               *counts;
    ngx_uint_t              i, series;
    ngx_analytics_chunk_t  *chunk;

    number = ngx_analytics_cells_number(first);

    if (number < z->spans[level].horizon
        || number >= ngx_analytics_cells_end(z, level))
    {
        return;
    }

    last = *ngx_analytics_chunk_ring(z, level, number);
    block = last;

    while (block) {
        chunk = ngx_analytics_chunk(z, block);
        series = ngx_analytics_chunk_series(chunk);

        if (ngx_analytics_chunk_number(chunk) == number && series < nseries) {
            counts = &chunk->counts[first & (NGX_ANALYTICS_CHUNK - 1)];

            for (i = 0; i < n; i++) {
                sums[series] += counts[i];
            }
        }

        block = (chunk->link == last) ? 0 : chunk->link;
    }
}
