
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
#define ngx_analytics_cells_tries(need)  (2 * (need) + 2)


/* how long a bucket is, in minutes, and how long buckets are kept */
typedef struct {
    int64_t  length;
    int64_t  age;                      /* 0: as the program says */
} ngx_analytics_cells_level_t;

typedef union {
    uint64_t  word;
    uint32_t  bins[2];
    u_char    registers[8];
} ngx_analytics_word_t;


/* what is written first has its place first when it is read */
static ngx_uint_t  ngx_analytics_cells_order[NGX_ANALYTICS_LEVELS] = {
    NGX_ANALYTICS_DAYS,
    NGX_ANALYTICS_HOURS,
    NGX_ANALYTICS_UNIQUES,
    NGX_ANALYTICS_FINE,
    NGX_ANALYTICS_MINUTES
};

static ngx_analytics_cells_level_t
    ngx_analytics_cells_levels[NGX_ANALYTICS_LEVELS] =
{
    { 1, NGX_ANALYTICS_MINUTES_MAX * NGX_ANALYTICS_MINUTE },
    { 60, 0 },
    { 60, NGX_ANALYTICS_FINE_MAX * NGX_ANALYTICS_DAY },
    { 1440, 0 },
    { 1440, 0 }
};


static uint64_t ngx_analytics_cell_add(ngx_analytics_zone_t *z,
    ngx_analytics_level_e level, ngx_uint_t series, int64_t bucket,
    uint32_t *hint);
static void ngx_analytics_cells_lost(ngx_analytics_zone_t *z,
    ngx_analytics_level_e level, int64_t bucket);
static void ngx_analytics_cells_combine(ngx_analytics_zone_t *z,
    ngx_analytics_chunk_t *chunk, ngx_analytics_cells_t *cells);
static ngx_int_t ngx_analytics_cells_sweep(ngx_analytics_zone_t *z);
static ngx_int_t ngx_analytics_cells_oldest(ngx_analytics_zone_t *z,
    int64_t received, ngx_uint_t *level, int64_t *period);
static int64_t ngx_analytics_cells_first(ngx_analytics_zone_t *z,
    ngx_uint_t level, int64_t end);
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


/* The first period that is too far ahead to be told apart. */

static ngx_inline int64_t
ngx_analytics_cells_end(ngx_analytics_zone_t *z, ngx_uint_t level)
{
    return ngx_analytics_ring_size(level)
           + (ngx_analytics_ring_wraps(level) ? z->spans[level].horizon : 0);
}


void
ngx_analytics_cells_init(ngx_analytics_zone_t *z)
{
    ngx_uint_t  level;

    for (level = 0; level < NGX_ANALYTICS_LEVELS; level++) {
        z->spans[level].lowest = INT64_MAX;
    }
}


void
ngx_analytics_cells_advance(ngx_analytics_zone_t *z, int64_t received)
{
    int64_t                age, number;
    ngx_uint_t             level;
    ngx_analytics_span_t  *span;

    for (level = 0; level < NGX_ANALYTICS_LEVELS; level++) {
        age = ngx_analytics_cells_levels[level].age;

        if (age == 0) {
            age = z->program.totals;
        }

        if (age <= 0 || received < age) {
            continue;
        }

        number = ngx_analytics_cells_minute(received - age)
                 / ngx_analytics_cells_levels[level].length;

        number = ngx_analytics_cells_number(number);

        if (!ngx_analytics_ring_wraps(level)) {
            number = ngx_min(number, ngx_analytics_ring_size(level));
        }

        span = &z->spans[level];

        if (number > span->horizon) {
            ngx_analytics_put_time(z, &span->horizon, number);
            ngx_analytics_commit(z);
        }
    }
}


void
ngx_analytics_cells_room(ngx_analytics_zone_t *z, int64_t received,
    ngx_uint_t need)
{
    ngx_uint_t  i;

    ngx_analytics_cells_sweep(z);

    for (i = 0; i < NGX_ANALYTICS_CELLS_LAZY && z->expired; i++) {
        ngx_analytics_chunk_free(z, &z->expired);
        ngx_analytics_commit(z);
    }

    for (i = 0;
         i < ngx_analytics_cells_tries(need)
         && ngx_analytics_pool_left(&z->cells) < need;
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
 * freed.  A period more than one round of a ring behind can have left its
 * chunks only where a later number finds them.
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

        if (ngx_analytics_ring_wraps(level)) {
            number = ngx_max(number,
                             span->horizon - ngx_analytics_ring_size(level));
        }

        do {
            ring = ngx_analytics_chunk_ring(z, level, number++);

            if (*ring
                && ngx_analytics_chunk_period(ngx_analytics_chunk(z, *ring))
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
 * chunk of the period to come.  The periods of the levels nest.
 * Returns NGX_OK, or NGX_DECLINED if nothing may go.
 */
static ngx_int_t
ngx_analytics_cells_drop(ngx_analytics_zone_t *z, int64_t received)
{
    int64_t     now, period;
    ngx_uint_t  level;

    now = ngx_analytics_cells_number(ngx_analytics_cells_minute(received));

    if (ngx_analytics_cells_drop_ahead(z, now + 1) == NGX_OK) {
        return NGX_OK;
    }

    if (ngx_analytics_cells_oldest(z, received, &level, &period) != NGX_OK) {
        return ngx_analytics_cells_drop_ahead(z, now);
    }

    ngx_analytics_put_time(z, &z->spans[level].horizon, period + 1);
    ngx_analytics_put_time(z, &z->spans[level].lowest, period + 1);
    ngx_analytics_ring_expire(z, ngx_analytics_chunk_ring(z, level, period));
    ngx_analytics_add(z, &z->lost, 1);
    ngx_analytics_commit(z);

    return NGX_OK;
}


/*
 * The period that ends first, of those that are over; of those that end
 * together, the one of the least level.  Returns NGX_OK or NGX_DECLINED.
 */
static ngx_int_t
ngx_analytics_cells_oldest(ngx_analytics_zone_t *z, int64_t received,
    ngx_uint_t *level, int64_t *period)
{
    int64_t     now, first, length, end, least;
    ngx_uint_t  i;

    least = INT64_MAX;

    for (i = 0; i < NGX_ANALYTICS_LEVELS; i++) {
        length = ngx_analytics_cells_levels[i].length;
        now = ngx_analytics_cells_number(
                  ngx_analytics_floor_div(ngx_analytics_cells_minute(received),
                                          length));

        first = ngx_analytics_cells_first(z, i, now);

        if (first == INT64_MAX) {
            continue;
        }

        end = (first + 1) * length;

        if (end < least) {
            least = end;
            *level = i;
            *period = first;
        }
    }

    return (least == INT64_MAX) ? NGX_DECLINED : NGX_OK;
}


/*
 * Returns the first number before end whose period has chunks, or INT64_MAX.
 * Nothing is behind the horizon any more when this is called.
 */
static int64_t
ngx_analytics_cells_first(ngx_analytics_zone_t *z, ngx_uint_t level,
    int64_t end)
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
        key = ngx_analytics_chunk_key(level, NGX_ANALYTICS_PLANE_COUNT,
                                      series, number);
        n = *hint;

        if (!ngx_analytics_chunk_is(z, n, key)) {
            n = ngx_analytics_chunk_find(z, key);

            if (n == 0) {
                n = ngx_analytics_chunk_create(z, key);
            }

            *hint = n;
        }

        if (n) {
            chunk = ngx_analytics_chunk(z, n);
            count = &chunk->u.counts[bucket % NGX_ANALYTICS_CHUNK];

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
    ngx_uint_t  level;

    if (!walk->started) {
        walk->started = 1;
        walk->period = z->spans[ngx_analytics_cells_order[0]].horizon;
    }

    if (walk->block == walk->last) {
        walk->last = 0;
    }

    while (walk->last == 0) {
        level = ngx_analytics_cells_order[walk->level];

        if (walk->period == ngx_analytics_cells_end(z, level)) {

            if (++walk->level == NGX_ANALYTICS_LEVELS) {
                return NULL;
            }

            level = ngx_analytics_cells_order[walk->level];
            walk->period = z->spans[level].horizon;
            continue;
        }

        walk->block = *ngx_analytics_chunk_ring(z, level, walk->period);

        /* the place may hold an earlier round's, not yet swept */

        if (walk->block
            && ngx_analytics_chunk_period(ngx_analytics_chunk(z, walk->block))
               == walk->period)
        {
            walk->last = walk->block;
        }

        walk->period++;
    }

    walk->block = ngx_analytics_chunk(z, walk->block)->link;

    return ngx_analytics_chunk(z, walk->block);
}


ngx_int_t
ngx_analytics_cells_merge(ngx_analytics_zone_t *z, uint64_t key,
    ngx_analytics_cells_t *cells)
{
    uint32_t                n;

    n = ngx_analytics_chunk_find(z, key);

    if (n == 0 && ngx_analytics_pool_left(&z->cells) == 0) {
        ngx_analytics_cells_room(z, z->received, 1);
    }

    if (!ngx_analytics_cells_kept(z, key)) {
        return NGX_OK;
    }

    if (n == 0) {
        n = ngx_analytics_chunk_create(z, key);
    }

    if (n == 0) {
        return NGX_DECLINED;
    }

    ngx_analytics_cells_combine(z, ngx_analytics_chunk(z, n), cells);

    return NGX_OK;
}


ngx_uint_t
ngx_analytics_cells_kept(ngx_analytics_zone_t *z, uint64_t key)
{
    int64_t     period;
    ngx_uint_t  level;

    level = ngx_analytics_key_level(key);
    period = ngx_analytics_key_period(key);

    return period >= z->spans[level].horizon
           && period < ngx_analytics_cells_end(z, level);
}


void
ngx_analytics_cells_change(ngx_analytics_zone_t *z,
    ngx_analytics_chunk_t *chunk, ngx_uint_t place, uint64_t value)
{
    uint64_t               word;
    ngx_uint_t             i;
    ngx_analytics_word_t   cell;

    cell.word = 0;

    if (!ngx_analytics_plane_single(ngx_analytics_chunk_plane(chunk))) {
        i = place;
        cell.word = value;

    } else if (ngx_analytics_chunk_level(chunk) == NGX_ANALYTICS_UNIQUES) {
        i = place / 8;
        cell.registers[place % 8] = (u_char) value;

    } else {
        i = place / 2;
        cell.bins[place % 2] = (uint32_t) value;
    }

    word = ngx_analytics_cells_word(ngx_analytics_chunk_level(chunk),
                                    ngx_analytics_chunk_plane(chunk),
                                    chunk->u.counts[i], cell.word);

    if (word != chunk->u.counts[i]) {
        ngx_analytics_put64(z, &chunk->u.counts[i], word);
    }
}


static void
ngx_analytics_cells_combine(ngx_analytics_zone_t *z,
    ngx_analytics_chunk_t *chunk, ngx_analytics_cells_t *cells)
{
    uint64_t    word;
    ngx_uint_t  i, plane, level;

    plane = ngx_analytics_chunk_plane(chunk);
    level = ngx_analytics_chunk_level(chunk);

    for (i = 0; i < NGX_ANALYTICS_CHUNK; i++) {

        if (cells->counts[i] == 0) {
            continue;
        }

        word = ngx_analytics_cells_word(level, plane, chunk->u.counts[i],
                                        cells->counts[i]);

        if (word != chunk->u.counts[i]) {
            ngx_analytics_put64(z, &chunk->u.counts[i], word);
        }
    }
}


uint64_t
ngx_analytics_cells_word(ngx_uint_t level, ngx_uint_t plane, uint64_t one,
    uint64_t two)
{
    ngx_uint_t             i;
    ngx_analytics_word_t   a, b;

    a.word = one;
    b.word = two;

    if (!ngx_analytics_plane_single(plane)) {

        if (plane == NGX_ANALYTICS_PLANE_MIN) {
            return (one == 0 || (two && two < one)) ? two : one;
        }

        return (plane == NGX_ANALYTICS_PLANE_MAX) ? ngx_max(one, two)
                                                  : one + two;
    }

    if (level == NGX_ANALYTICS_UNIQUES) {
        for (i = 0; i < 8; i++) {
            a.registers[i] = ngx_max(a.registers[i], b.registers[i]);
        }

        return a.word;
    }

    for (i = 0; i < 2; i++) {
        a.bins[i] = (a.bins[i] > UINT32_MAX - b.bins[i])
                    ? UINT32_MAX : a.bins[i] + b.bins[i];
    }

    return a.word;
}


void
ngx_analytics_cells_restore(ngx_analytics_zone_t *z, uint64_t key,
    ngx_analytics_cells_t *cells)
{
    ngx_uint_t  i, m;

    if (ngx_analytics_cells_merge(z, key, cells) != NGX_OK) {
        m = ngx_analytics_key_series(key) >> 16;

        if (m) {
            ngx_analytics_put32(z, &z->measures[m - 1].inexact, 1);
        }

        for (i = 0; i < NGX_ANALYTICS_CHUNK && m == 0; i++) {
            if (cells->counts[i]) {
                ngx_analytics_cells_lost(z, ngx_analytics_key_level(key),
                               ngx_analytics_key_number(key)
                               * NGX_ANALYTICS_CHUNK + (int64_t) i);
            }
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
    ngx_analytics_cells_copy(z, level, NGX_ANALYTICS_PLANE_COUNT, series,
                             first, counts, n);
}


void
ngx_analytics_cells_copy(ngx_analytics_zone_t *z, ngx_uint_t level,
    ngx_uint_t plane, ngx_uint_t series, int64_t first, uint64_t *counts,
    ngx_uint_t n)
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
                      ngx_analytics_chunk_key(level, plane, series, number));

        if (block) {
            ngx_memcpy(&counts[i],
                       &ngx_analytics_chunk(z, block)->u.counts[skip],
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

        if (ngx_analytics_chunk_period(chunk) == number && series < nseries) {
            counts = &chunk->u.counts[first & (NGX_ANALYTICS_CHUNK - 1)];

            for (i = 0; i < n; i++) {
                sums[series] += counts[i];
            }
        }

        block = (chunk->link == last) ? 0 : chunk->link;
    }
}
