
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_dailies.h"
#include "ngx_analytics_figures.h"
#include "ngx_analytics_tally.h"
#include "ngx_analytics_time.h"
#include "ngx_analytics_timezone.h"


#define NGX_ANALYTICS_TALLY_HINT_BITS  12


_Static_assert(NGX_ANALYTICS_TALLY_POINTS >= NGX_ANALYTICS_RULES_WORDS,
               "words of a tally");


/* Is given each cell that is to be changed, and by what. */
typedef void (*ngx_analytics_tally_pt)(ngx_analytics_tally_t *tally,
    uint64_t key, ngx_uint_t place, uint64_t value);


static ngx_uint_t ngx_analytics_tally_full(ngx_analytics_tally_t *tally,
    ngx_analytics_event_t *event);
static void ngx_analytics_tally_day(ngx_analytics_tally_t *tally,
    ngx_uint_t day);
static ngx_uint_t ngx_analytics_tally_point(ngx_analytics_tally_t *tally,
    ngx_analytics_point_t *point, ngx_uint_t m);
static ngx_uint_t ngx_analytics_tally_sum(ngx_analytics_tally_t *tally,
    ngx_analytics_point_t *point, ngx_uint_t m);
static void ngx_analytics_tally_number(ngx_analytics_tally_sum_t *sum,
    ngx_analytics_point_t *point);
static void ngx_analytics_tally_bin(ngx_analytics_tally_t *tally,
    ngx_uint_t sum, ngx_analytics_point_t *point);
static void ngx_analytics_tally_groups(ngx_analytics_tally_t *tally,
    ngx_uint_t enter);
static uint32_t ngx_analytics_tally_group(ngx_analytics_zone_t *z,
    ngx_analytics_tally_sum_t *sum, ngx_uint_t enter);
static void ngx_analytics_tally_each(ngx_analytics_tally_t *tally,
    ngx_analytics_tally_pt handler);
static void ngx_analytics_tally_each_sum(ngx_analytics_tally_t *tally,
    ngx_analytics_tally_sum_t *sum, ngx_uint_t group,
    ngx_analytics_tally_pt handler);
static ngx_inline void ngx_analytics_tally_each_bucket(
    ngx_analytics_tally_t *tally, ngx_uint_t level, ngx_uint_t plane,
    ngx_uint_t series, int64_t bucket, uint64_t value,
    ngx_analytics_tally_pt handler);
static void ngx_analytics_tally_each_bin(ngx_analytics_tally_t *tally,
    ngx_analytics_tally_bin_t *bin, ngx_uint_t group,
    ngx_analytics_tally_pt handler);
static void ngx_analytics_tally_each_mark(ngx_analytics_tally_t *tally,
    ngx_analytics_tally_mark_t *mark, ngx_uint_t group,
    ngx_analytics_tally_pt handler);
static void ngx_analytics_tally_create(ngx_analytics_tally_t *tally,
    uint64_t key, ngx_uint_t place, uint64_t value);
static uint32_t ngx_analytics_tally_chunk(ngx_analytics_tally_t *tally,
    uint64_t key);
static void ngx_analytics_tally_change(ngx_analytics_tally_t *tally,
    uint64_t key, ngx_uint_t place, uint64_t value);
static void ngx_analytics_tally_counters(ngx_analytics_tally_t *tally);


void
ngx_analytics_tally_init(ngx_analytics_tally_t *tally,
    ngx_analytics_zone_t *z, ngx_analytics_rules_t *rules, int64_t received)
{
    ngx_uint_t  i;

    tally->zone = z;
    tally->rules = rules;
    tally->received = received;
    tally->minute = INT64_MIN;

    for (i = 0; i < rules->n; i++) {
        tally->measures[i] = (int16_t) ngx_analytics_measures_find(z,
                                               rules->sources[i].signature);
    }

    ngx_analytics_tally_empty(tally);
}


void
ngx_analytics_tally_empty(ngx_analytics_tally_t *tally)
{
    tally->words = 0;
    tally->nsums = 0;
    tally->nbins = 0;
    tally->nmarks = 0;
    tally->ndays = 0;

    if (tally->rules->n) {
        ngx_memzero(tally->last, tally->rules->n * sizeof(uint16_t));
        ngx_memzero(tally->sum_places, sizeof(tally->sum_places));
        ngx_memzero(tally->bin_places, sizeof(tally->bin_places));
    }
}


ngx_int_t
ngx_analytics_tally_add(ngx_analytics_tally_t *tally,
    ngx_analytics_event_t *event, uint64_t seq)
{
    int64_t     time, minute;
    ngx_uint_t  i;

    if (ngx_analytics_tally_full(tally, event)) {
        return NGX_DECLINED;
    }

    time = (event->time == NGX_ANALYTICS_TIME_NONE) ? tally->received
                                                    : event->time;
    minute = ngx_analytics_floor_div(time, NGX_ANALYTICS_MINUTE);

    if (minute != tally->minute) {
        tally->minute = minute;
        tally->hour = ngx_analytics_timezone_hour(&tally->rules->timezone,
                                                  time);
        tally->day = (uint16_t) ngx_analytics_daily_of(tally->rules, time);
    }

    ngx_analytics_tally_day(tally, tally->day);

    for (i = 0; i < event->npoints && minute >= 0 && minute < UINT32_MAX; i++)
    {
        if (tally->measures[event->points[i].source] >= 0) {
            tally->words += ngx_analytics_tally_point(tally,
                        &event->points[i],
                        (ngx_uint_t) tally->measures[event->points[i].source]);
        }
    }

    tally->seq = seq;

    return NGX_OK;
}


static ngx_uint_t
ngx_analytics_tally_full(ngx_analytics_tally_t *tally,
    ngx_analytics_event_t *event)
{
    return tally->nsums + event->npoints > NGX_ANALYTICS_TALLY_SUMS
           || tally->nbins + event->npoints > NGX_ANALYTICS_TALLY_BINS
           || tally->nmarks + event->npoints > NGX_ANALYTICS_TALLY_MARKS
           || tally->ndays == NGX_ANALYTICS_TALLY_DAYS
           || tally->words + tally->rules->words
              > NGX_ANALYTICS_TALLY_POINTS;
}


static void
ngx_analytics_tally_day(ngx_analytics_tally_t *tally, ngx_uint_t day)
{
    ngx_uint_t  i;

    for (i = tally->ndays; i > 0; i--) {
        if (tally->days[i - 1] == day) {
            return;
        }
    }

    tally->days[tally->ndays++] = (uint16_t) day;
}


/* Returns how many words more will be changed. */

static ngx_uint_t
ngx_analytics_tally_point(ngx_analytics_tally_t *tally,
    ngx_analytics_point_t *point, ngx_uint_t m)
{
    uint64_t                     rest;
    ngx_uint_t                   i, n, classes, series;
    ngx_analytics_tally_sum_t   *sum;
    ngx_analytics_tally_mark_t  *mark;

    classes = tally->zone->measures[m].classes;
    series = tally->zone->measures[m].groups_max ? 2 : 1;

    n = tally->nsums;
    i = ngx_analytics_tally_sum(tally, point, m);
    n = (tally->nsums > n) ? ngx_analytics_rules_words(classes, series) : 0;

    sum = &tally->sums[i];
    sum->points++;

    if (point->flags & NGX_ANALYTICS_POINT_SKIPPED) {
        sum->skipped++;

    } else if (point->flags & NGX_ANALYTICS_POINT_NUMBER) {
        ngx_analytics_tally_number(sum, point);

        if (classes & NGX_ANALYTICS_CLASS_SKETCH) {
            n += 3 * series;
            ngx_analytics_tally_bin(tally, i, point);
        }

    } else if (!(point->flags & NGX_ANALYTICS_POINT_FIELD)) {
        sum->count++;
    }

    if ((point->flags & NGX_ANALYTICS_POINT_UNIQUE)
        && (classes & NGX_ANALYTICS_CLASS_UNIQUE))
    {
        mark = &tally->marks[tally->nmarks++];
        n += series;

        rest = point->distinct >> NGX_ANALYTICS_UNIQUES_BITS;
        rest |= (uint64_t) 1 << (64 - NGX_ANALYTICS_UNIQUES_BITS);

        mark->sum = (uint16_t) i;
        mark->reg = (uint16_t) (point->distinct
                           & ((1 << NGX_ANALYTICS_UNIQUES_BITS) - 1));
        mark->rank = (uint16_t) (__builtin_ctzll(rest) + 1);
    }

    return n;
}


/* Whether it is what a point is added to. */

static ngx_inline ngx_uint_t
ngx_analytics_tally_sum_is(ngx_analytics_tally_t *tally,
    ngx_analytics_tally_sum_t *sum, ngx_analytics_point_t *point,
    ngx_uint_t m)
{
    return sum->measure == m && sum->minute == tally->minute
           && sum->point->hash == point->hash
           && sum->point->group.len == point->group.len;
}


/* The place of a group's minute, which is a new one or there already. */

static ngx_uint_t
ngx_analytics_tally_sum(ngx_analytics_tally_t *tally,
    ngx_analytics_point_t *point, ngx_uint_t m)
{
    uint64_t                    h;
    uint16_t                   *place, *last;
    ngx_uint_t                  i;
    ngx_analytics_tally_sum_t  *sum;

    last = &tally->last[point->source];

    if (*last
        && ngx_analytics_tally_sum_is(tally, &tally->sums[*last - 1], point,
                                      m))
    {
        return *last - 1;
    }

    h = (point->hash ^ (uint64_t) m << 48 ^ (uint64_t) tally->minute)
        * 0x9e3779b97f4a7c15ULL;

    for (i = h >> 55; /* void */ ; i++) {
        place = &tally->sum_places[i % NGX_ANALYTICS_TALLY_SUM_PLACES];

        if (*place == 0) {
            break;
        }

        sum = &tally->sums[*place - 1];

        if (ngx_analytics_tally_sum_is(tally, sum, point, m)) {
            *last = *place;
            return *place - 1;
        }
    }

    *place = (uint16_t) ++tally->nsums;
    *last = *place;

    sum = &tally->sums[tally->nsums - 1];

    ngx_memzero(sum, sizeof(ngx_analytics_tally_sum_t));

    sum->point = point;
    sum->minute = tally->minute;
    sum->hour = tally->hour;
    sum->day = tally->day;
    sum->measure = (uint16_t) m;

    return tally->nsums - 1;
}


static void
ngx_analytics_tally_number(ngx_analytics_tally_sum_t *sum,
    ngx_analytics_point_t *point)
{
    uint64_t  order;

    sum->count++;
    sum->whole = (int64_t) ((uint64_t) sum->whole + (uint64_t) point->whole);
    sum->nano += point->nano;

    order = ngx_analytics_order(point->value);

    sum->max = ngx_max(sum->max, order);
    sum->min = sum->min ? ngx_min(sum->min, order) : order;
}


static void
ngx_analytics_tally_bin(ngx_analytics_tally_t *tally, ngx_uint_t sum,
    ngx_analytics_point_t *point)
{
    uint64_t                    h;
    uint16_t                    below, *place;
    ngx_uint_t                  i;
    ngx_analytics_tally_bin_t  *bin;

    below = (point->value < 0) ? NGX_ANALYTICS_GROUP_BELOW : 0;

    h = ((uint64_t) sum << 32 | (uint64_t) below << 12 | point->bin)
        * 0x9e3779b97f4a7c15ULL;

    for (i = h >> 54; /* void */ ; i++) {
        place = &tally->bin_places[i % NGX_ANALYTICS_TALLY_BIN_PLACES];

        if (*place == 0) {
            break;
        }

        bin = &tally->bins[*place - 1];

        if (bin->sum == sum && bin->bin == point->bin && bin->below == below)
        {
            bin->count++;
            return;
        }
    }

    *place = (uint16_t) ++tally->nbins;

    bin = &tally->bins[tally->nbins - 1];

    bin->sum = (uint16_t) sum;
    bin->bin = point->bin;
    bin->below = below;
    bin->count = 1;
}


void
ngx_analytics_tally_prepare(ngx_analytics_tally_t *tally)
{
    ngx_analytics_tally_groups(tally, 1);
    ngx_analytics_tally_each(tally, ngx_analytics_tally_create);
}


void
ngx_analytics_tally_find(ngx_analytics_tally_t *tally)
{
    ngx_analytics_tally_groups(tally, 0);
}


/* The groups concerned, which are entered or only looked up. */

static void
ngx_analytics_tally_groups(ngx_analytics_tally_t *tally, ngx_uint_t enter)
{
    ngx_uint_t                  i;
    ngx_analytics_zone_t       *z;
    ngx_analytics_tally_sum_t  *sum;

    z = tally->zone;

    for (i = 0; i < tally->nsums; i++) {
        sum = &tally->sums[i];

        sum->index = NGX_ANALYTICS_GROUP_ALL;

        if (z->measures[sum->measure].groups_max) {
            sum->block = ngx_analytics_tally_group(z, sum, enter);
            sum->index = (uint16_t) ngx_analytics_groups_index(z, sum->block);
        }
    }
}


/* Returns its block, or 0 if it has no place or is given up. */

static uint32_t
ngx_analytics_tally_group(ngx_analytics_zone_t *z,
    ngx_analytics_tally_sum_t *sum, ngx_uint_t enter)
{
    uint32_t   block;
    ngx_str_t  name;

    name = sum->point->group;

    if (enter) {
        return ngx_analytics_groups_enter(z, sum->measure, &name,
                                          sum->point->hash, sum->points);
    }

    block = ngx_analytics_groups_find(z, sum->measure, &name,
                                      sum->point->hash);

    return (block && ngx_analytics_group(z, block)->pass) ? 0 : block;
}


void
ngx_analytics_tally_apply(ngx_analytics_tally_t *tally)
{
    ngx_uint_t  i;

    ngx_analytics_tally_each(tally, ngx_analytics_tally_change);
    ngx_analytics_tally_counters(tally);

    for (i = 0; i < tally->ndays; i++) {
        ngx_analytics_daily_touch(tally->zone, tally->days[i], tally->seq);
    }

    ngx_analytics_tally_empty(tally);
}


/* Points of groups, what was no number, or before the hours that are kept. */

static void
ngx_analytics_tally_counters(ngx_analytics_tally_t *tally)
{
    ngx_uint_t                  i;
    ngx_analytics_zone_t       *z;
    ngx_analytics_measure_t    *measure;
    ngx_analytics_tally_sum_t  *sum;

    z = tally->zone;

    for (i = 0; i < tally->nsums; i++) {
        sum = &tally->sums[i];
        measure = &z->measures[sum->measure];

        if (measure->groups_max) {
            ngx_analytics_groups_count(z, sum->measure, sum->block,
                                       sum->point->hash, sum->points,
                                       sum->count);
        }

        if (sum->count) {
            ngx_analytics_add(z, &measure->counted, sum->count);
        }

        if (sum->skipped) {
            ngx_analytics_add(z, &measure->skipped, sum->skipped);
        }

        if (sum->hour / NGX_ANALYTICS_CHUNK
            < z->spans[NGX_ANALYTICS_HOURS].horizon)
        {
            ngx_analytics_add(z, &measure->older, sum->points);
        }
    }
}


/* Each cell that is to be changed, of all and of the group. */

static void
ngx_analytics_tally_each(ngx_analytics_tally_t *tally,
    ngx_analytics_tally_pt handler)
{
    ngx_uint_t                  i;
    ngx_analytics_tally_sum_t  *sum;

    tally->cell = 0;

    for (i = 0; i < tally->nsums; i++) {
        sum = &tally->sums[i];

        ngx_analytics_tally_each_sum(tally, sum, NGX_ANALYTICS_GROUP_ALL,
                                     handler);

        if (sum->index) {
            ngx_analytics_tally_each_sum(tally, sum, sum->index, handler);
        }
    }

    for (i = 0; i < tally->nbins; i++) {
        sum = &tally->sums[tally->bins[i].sum];

        ngx_analytics_tally_each_bin(tally, &tally->bins[i],
                                     NGX_ANALYTICS_GROUP_ALL, handler);

        if (sum->index) {
            ngx_analytics_tally_each_bin(tally, &tally->bins[i], sum->index,
                                         handler);
        }
    }

    for (i = 0; i < tally->nmarks; i++) {
        sum = &tally->sums[tally->marks[i].sum];

        ngx_analytics_tally_each_mark(tally, &tally->marks[i],
                                      NGX_ANALYTICS_GROUP_ALL, handler);

        if (sum->index) {
            ngx_analytics_tally_each_mark(tally, &tally->marks[i], sum->index,
                                          handler);
        }
    }
}


static void
ngx_analytics_tally_each_sum(ngx_analytics_tally_t *tally,
    ngx_analytics_tally_sum_t *sum, ngx_uint_t group,
    ngx_analytics_tally_pt handler)
{
    uint64_t    values[NGX_ANALYTICS_PLANES];
    ngx_uint_t  plane, classes, series;

    if (sum->count == 0) {
        return;
    }

    values[NGX_ANALYTICS_PLANE_COUNT] = sum->count;
    values[NGX_ANALYTICS_PLANE_SUM] = (uint64_t) sum->whole;
    values[NGX_ANALYTICS_PLANE_NANO] = sum->nano;
    values[NGX_ANALYTICS_PLANE_MIN] = sum->min;
    values[NGX_ANALYTICS_PLANE_MAX] = sum->max;

    classes = tally->zone->measures[sum->measure].classes;
    series = ngx_analytics_measure_series(sum->measure, group);

    for (plane = 0; plane < NGX_ANALYTICS_PLANES; plane++) {

        if (!(classes & ngx_analytics_plane_classes[plane])
            || values[plane] == 0)
        {
            continue;
        }

        ngx_analytics_tally_each_bucket(tally, NGX_ANALYTICS_MINUTES, plane,
                                        series, sum->minute, values[plane],
                                        handler);
        ngx_analytics_tally_each_bucket(tally, NGX_ANALYTICS_HOURS, plane,
                                        series, sum->hour, values[plane],
                                        handler);
        ngx_analytics_tally_each_bucket(tally, NGX_ANALYTICS_DAYS, plane,
                                        series, sum->day, values[plane],
                                        handler);
    }
}


static ngx_inline void
ngx_analytics_tally_each_bucket(ngx_analytics_tally_t *tally,
    ngx_uint_t level, ngx_uint_t plane, ngx_uint_t series, int64_t bucket,
    uint64_t value, ngx_analytics_tally_pt handler)
{
    handler(tally,
            ngx_analytics_chunk_key(level, plane, series,
                                    bucket / NGX_ANALYTICS_CHUNK),
            (ngx_uint_t) (bucket % NGX_ANALYTICS_CHUNK), value);
}


static void
ngx_analytics_tally_each_bin(ngx_analytics_tally_t *tally,
    ngx_analytics_tally_bin_t *bin, ngx_uint_t group,
    ngx_analytics_tally_pt handler)
{
    ngx_uint_t                  plane, series, place;
    ngx_analytics_tally_sum_t  *sum;

    sum = &tally->sums[bin->sum];

    plane = NGX_ANALYTICS_PLANE_BINS + bin->bin / NGX_ANALYTICS_CHUNK_BINS;
    place = bin->bin % NGX_ANALYTICS_CHUNK_BINS;
    series = ngx_analytics_measure_series(sum->measure, group | bin->below);

    handler(tally, ngx_analytics_chunk_key(NGX_ANALYTICS_MINUTES, plane,
                                           series, sum->minute),
            place, bin->count);

    handler(tally, ngx_analytics_chunk_key(NGX_ANALYTICS_FINE, plane, series,
                                           sum->hour),
            place, bin->count);

    handler(tally, ngx_analytics_chunk_key(NGX_ANALYTICS_DAYS, plane, series,
                                           sum->day),
            place, bin->count);
}


static void
ngx_analytics_tally_each_mark(ngx_analytics_tally_t *tally,
    ngx_analytics_tally_mark_t *mark, ngx_uint_t group,
    ngx_analytics_tally_pt handler)
{
    ngx_uint_t                  plane;
    ngx_analytics_tally_sum_t  *sum;

    sum = &tally->sums[mark->sum];

    plane = NGX_ANALYTICS_PLANE_REGISTERS
            + mark->reg / NGX_ANALYTICS_CHUNK_REGISTERS;

    handler(tally,
            ngx_analytics_chunk_key(NGX_ANALYTICS_UNIQUES, plane,
                         ngx_analytics_measure_series(sum->measure, group),
                         sum->day),
            mark->reg % NGX_ANALYTICS_CHUNK_REGISTERS, mark->rank);
}


/* Where a chunk was last: those of one tally are mostly those of the next. */

static ngx_inline uint32_t *
ngx_analytics_tally_hint(uint64_t key)
{
    static __thread uint32_t  hints[1 << NGX_ANALYTICS_TALLY_HINT_BITS];

    return &hints[(key * 0x9e3779b97f4a7c15ULL)
                  >> (64 - NGX_ANALYTICS_TALLY_HINT_BITS)];
}


/*
 * An empty chunk says the same as none.  What has to go for it is behind the
 * horizon then, also if it was made for this.
 */
static void
ngx_analytics_tally_create(ngx_analytics_tally_t *tally, uint64_t key,
    ngx_uint_t place, uint64_t value)
{
    uint32_t               n, *hint;
    ngx_analytics_zone_t  *z;

    z = tally->zone;
    n = 0;

    if (ngx_analytics_cells_kept(z, key)) {
        hint = ngx_analytics_tally_hint(key);
        n = *hint;

        if (!ngx_analytics_chunk_is(z, n, key)) {
            n = ngx_analytics_chunk_find(z, key);

            if (n == 0) {
                n = ngx_analytics_tally_chunk(tally, key);
            }

            *hint = n;
        }
    }

    if (tally->cell < NGX_ANALYTICS_TALLY_CELLS) {
        tally->chunks[tally->cell] = n;
    }

    tally->cell++;
}


/* Makes one.  Returns 0 if there is no room. */

static uint32_t
ngx_analytics_tally_chunk(ngx_analytics_tally_t *tally, uint64_t key)
{
    uint32_t               n;
    ngx_analytics_zone_t  *z;

    z = tally->zone;

    if (ngx_analytics_pool_left(&z->cells) == 0) {
        ngx_analytics_cells_room(z, tally->received, 1);
    }

    if (!ngx_analytics_cells_kept(z, key)) {
        return 0;
    }

    n = ngx_analytics_chunk_create(z, key);
    ngx_analytics_commit(z);

    return n;
}


/* The cells come in the same order as when their chunks were looked up. */

static void
ngx_analytics_tally_change(ngx_analytics_tally_t *tally, uint64_t key,
    ngx_uint_t place, uint64_t value)
{
    int64_t                   whole;
    uint32_t                  n;
    ngx_analytics_zone_t     *z;
    ngx_analytics_chunk_t    *chunk;
    ngx_analytics_measure_t  *measure;

    z = tally->zone;

    n = (tally->cell < NGX_ANALYTICS_TALLY_CELLS)
        ? tally->chunks[tally->cell] : 0;

    tally->cell++;

    if (!ngx_analytics_chunk_is(z, n, key)) {

        if (!ngx_analytics_cells_kept(z, key)) {
            return;
        }

        n = ngx_analytics_chunk_find(z, key);
    }

    if (n) {
        chunk = ngx_analytics_chunk(z, n);
        whole = (ngx_analytics_key_plane(key) == NGX_ANALYTICS_PLANE_SUM)
                ? (int64_t) chunk->u.counts[place] : 0;

        ngx_analytics_cells_change(z, chunk, place, value);

        if (ngx_analytics_key_plane(key) != NGX_ANALYTICS_PLANE_SUM
            || !__builtin_add_overflow(whole, (int64_t) value, &whole))
        {
            return;
        }
    }

    /* there is no room, for a cell or in it */

    measure = &z->measures[(ngx_analytics_key_series(key) >> 16) - 1];

    if (measure->inexact == 0) {
        ngx_analytics_put32(z, &measure->inexact, 1);
    }
}
