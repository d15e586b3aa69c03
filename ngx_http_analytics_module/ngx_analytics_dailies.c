
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_bytes.h"
#include "ngx_analytics_dailies.h"
#include "ngx_analytics_time.h"


static uint32_t ngx_analytics_daily_chunk(ngx_analytics_zone_t *z,
    ngx_uint_t which, ngx_uint_t day);
static int64_t ngx_analytics_daily_span(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, int64_t start, int64_t n);
static void ngx_analytics_daily_move(ngx_analytics_zone_t *z,
    ngx_uint_t which, ngx_uint_t first, uint16_t *from, ngx_uint_t day);
static uint32_t ngx_analytics_user_days_block(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t base);
static uint32_t ngx_analytics_user_days_make(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t base);
static ngx_int_t ngx_analytics_user_add_day(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t day);
static ngx_int_t ngx_analytics_user_days_spread(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user);
static ngx_int_t ngx_analytics_user_set_day(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t day);


/* Most events are of the day of the last one. */

ngx_uint_t
ngx_analytics_daily_of(ngx_analytics_rules_t *rules, int64_t time)
{
    static __thread int64_t     start, end;
    static __thread uint64_t    signature;
    static __thread ngx_uint_t  day;

    int64_t  found;

    if (time >= start && time < end && signature == rules->signature) {
        return day;
    }

    found = ngx_analytics_timezone_day(&rules->timezone, time);

    if (found < 0 || found >= NGX_ANALYTICS_DAYS_MAX) {
        return ngx_analytics_daily_clamp(found);
    }

    signature = rules->signature;
    start = ngx_analytics_timezone_day_start(&rules->timezone, found);
    end = ngx_analytics_timezone_day_start(&rules->timezone, found + 1);
    day = ngx_analytics_daily_clamp(found);

    return day;
}


int64_t
ngx_analytics_daily_week(int64_t day)
{
    int64_t  weekday;

    /* 1970-01-01 was a Thursday */

    weekday = (day + 3) - ngx_analytics_floor_div(day + 3, 7) * 7;

    return day - weekday;
}


int64_t
ngx_analytics_daily_month(int64_t day)
{
    int64_t  year, month, mday;

    ngx_analytics_civil_from_days(day, &year, &month, &mday);

    return day - mday + 1;
}


/* Returns the block, 0 if there is no room, or none behind the horizon. */

static uint32_t
ngx_analytics_daily_chunk(ngx_analytics_zone_t *z, ngx_uint_t which,
    ngx_uint_t day)
{
    int64_t   number;
    uint32_t  n;
    uint64_t  key;

    number = (int64_t) (day / NGX_ANALYTICS_CHUNK);

    if (number < z->spans[NGX_ANALYTICS_DAYS].horizon) {
        return 0;
    }

    key = ngx_analytics_chunk_key(NGX_ANALYTICS_DAYS,
                                  NGX_ANALYTICS_PLANE_COUNT, which, number);
    n = z->daily_hints[which];

    if (ngx_analytics_chunk_is(z, n, key)) {
        return n;
    }

    n = ngx_analytics_chunk_find(z, key);

    if (n == 0) {
        n = ngx_analytics_chunk_create(z, key);
    }

    if (n == 0) {
        ngx_analytics_add(z, &z->lost, 1);
    }

    z->daily_hints[which] = n;

    return n;
}


void
ngx_analytics_daily_add(ngx_analytics_zone_t *z, ngx_uint_t which,
    ngx_uint_t day, int64_t n)
{
    uint32_t   block;
    uint64_t  *count;

    block = ngx_analytics_daily_chunk(z, which, day);

    if (block) {
        count = &ngx_analytics_chunk(z, block)
                     ->u.counts[day % NGX_ANALYTICS_CHUNK];

        ngx_analytics_add(z, count, (uint64_t) n);
    }
}


void
ngx_analytics_daily_touch(ngx_analytics_zone_t *z, ngx_uint_t day,
    uint64_t seq)
{
    uint32_t   block;
    uint64_t  *count;

    block = ngx_analytics_daily_chunk(z, NGX_ANALYTICS_DAILY_TOUCHED, day);

    if (block) {
        count = &ngx_analytics_chunk(z, block)
                     ->u.counts[day % NGX_ANALYTICS_CHUNK];

        if (seq > *count) {
            ngx_analytics_put64(z, count, seq);
        }
    }
}


void
ngx_analytics_daily_fold(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, uint32_t block, int64_t time)
{
    int64_t                week, month;
    ngx_uint_t             day, first;
    ngx_analytics_user_t  *user;

    user = ngx_analytics_user(z, block);
    day = ngx_analytics_daily_of(rules, time);

    if (user->ndays && day == user->day_last) {
        return;
    }

    if ((int64_t) (day / NGX_ANALYTICS_CHUNK)
        < z->spans[NGX_ANALYTICS_DAYS].horizon
        || ngx_analytics_user_active(z, user, day, day))
    {
        return;
    }

    week = ngx_analytics_daily_span(z, user,
                           ngx_analytics_daily_week((int64_t) day), 7);

    month = ngx_analytics_daily_month((int64_t) day);
    month = ngx_analytics_daily_span(z, user, month,
                           ngx_analytics_daily_month(month + 31) - month);

    first = (user->ndays == 0);

    if (ngx_analytics_user_add_day(z, user, day) != NGX_OK) {

        /* it would be counted with each event of that day */

        ngx_analytics_add(z, &z->lost, 1);
        return;
    }

    ngx_analytics_daily_add(z, NGX_ANALYTICS_DAILY_ACTIVE, day, 1);

    if (week >= 0) {
        ngx_analytics_daily_add(z, NGX_ANALYTICS_DAILY_WEEK,
                                (ngx_uint_t) week, 1);
    }

    if (month >= 0) {
        ngx_analytics_daily_add(z, NGX_ANALYTICS_DAILY_MONTH,
                                (ngx_uint_t) month, 1);
    }

    if (first || day > user->day_last) {
        ngx_analytics_daily_move(z, NGX_ANALYTICS_DAILY_LAST, first,
                                 &user->day_last, day);
    }

    if (first || day < user->day_first) {
        ngx_analytics_daily_move(z, NGX_ANALYTICS_DAILY_NEW, first,
                                 &user->day_first, day);
    }
}


/*
 * Where n days from start on are kept: there; -1 if the user was active on
 * one of them before.
 */
static int64_t
ngx_analytics_daily_span(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, int64_t start, int64_t n)
{
    int64_t  last;

    last = ngx_min(start + n, NGX_ANALYTICS_DAYS_MAX) - 1;
    start = ngx_max(start, 0);

    return ngx_analytics_user_active(z, user, (ngx_uint_t) start,
                                     (ngx_uint_t) last)
           ? -1 : start;
}


/* Moves a user, who is new in it if first, in a series to another day. */

static void
ngx_analytics_daily_move(ngx_analytics_zone_t *z, ngx_uint_t which,
    ngx_uint_t first, uint16_t *from, ngx_uint_t day)
{
    if (!first) {
        ngx_analytics_daily_add(z, which, *from, -1);
    }

    ngx_analytics_daily_add(z, which, day, 1);
    ngx_analytics_put16(z, from, (uint16_t) day);
}


void
ngx_analytics_daily_forget(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user)
{
    if (user->ndays) {
        ngx_analytics_daily_add(z, NGX_ANALYTICS_DAILY_LAST, user->day_last,
                                -1);
    }
}


ngx_uint_t
ngx_analytics_user_active(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t first, ngx_uint_t last)
{
    uint64_t    word;
    ngx_uint_t  i, number;

    if (user->ndays == 0 || first > user->day_last || last < user->day_first)
    {
        return 0;
    }

    if (user->ndays != NGX_ANALYTICS_USER_DAYS_BITS) {

        for (i = 0; i < user->ndays; i++) {
            if (user->days[i] >= first && user->days[i] <= last) {
                return 1;
            }
        }

        return 0;
    }

    word = ngx_analytics_user_days_word(z, user, first / 64, &number);

    if (word && number == first / 64) {
        word &= ~(uint64_t) 0 << (first % 64);

        if (word == 0) {
            word = ngx_analytics_user_days_word(z, user, number + 1, &number);
        }
    }

    return word && number * 64 + (ngx_uint_t) __builtin_ctzll(word) <= last;
}


uint64_t
ngx_analytics_user_days_word(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t from, ngx_uint_t *number)
{
    uint32_t    block;
    uint64_t    word;
    ngx_uint_t  i, base;

    while (from <= user->day_last / 64) {
        base = from / NGX_ANALYTICS_MORE_WORDS;
        block = ngx_analytics_user_days_block(z, user, base);

        for (i = from % NGX_ANALYTICS_MORE_WORDS;
             block && i < NGX_ANALYTICS_MORE_WORDS;
             i++)
        {
            word = ngx_analytics_more(z, block)->u.days[i];

            if (word) {
                *number = base * NGX_ANALYTICS_MORE_WORDS + i;
                return word;
            }
        }

        from = (base + 1) * NGX_ANALYTICS_MORE_WORDS;
    }

    return 0;
}


void
ngx_analytics_user_restore_days(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, const u_char *words, ngx_uint_t from,
    ngx_uint_t n)
{
    uint32_t    block;
    uint64_t    word;
    ngx_uint_t  i;

    for (i = from; i < from + n; i++, words += 8) {
        word = ngx_analytics_image_get(words, 8);

        if (word == 0) {
            continue;
        }

        block = ngx_analytics_user_days_make(z, user,
                                             i / NGX_ANALYTICS_MORE_WORDS);
        if (block == 0) {
            return;
        }

        ngx_analytics_more(z, block)->u.days[i % NGX_ANALYTICS_MORE_WORDS]
            = word;
    }
}


static ngx_int_t
ngx_analytics_user_add_day(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t day)
{
    if (user->ndays < NGX_ANALYTICS_USER_DAYS) {
        ngx_analytics_put16(z, &user->days[user->ndays], (uint16_t) day);
        ngx_analytics_put8(z, &user->ndays, user->ndays + 1);

        return NGX_OK;
    }

    if (user->ndays != NGX_ANALYTICS_USER_DAYS_BITS
        && ngx_analytics_user_days_spread(z, user) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    return ngx_analytics_user_set_day(z, user, day);
}


/* From a list in the user to bits in blocks of their own. */

static ngx_int_t
ngx_analytics_user_days_spread(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user)
{
    ngx_uint_t  i;

    if (ngx_analytics_pool_left(&z->users) < NGX_ANALYTICS_USER_DAYS) {
        return NGX_DECLINED;
    }

    for (i = 0; i < NGX_ANALYTICS_USER_DAYS; i++) {
        (void) ngx_analytics_user_set_day(z, user, user->days[i]);
    }

    ngx_analytics_put8(z, &user->ndays, NGX_ANALYTICS_USER_DAYS_BITS);

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_user_set_day(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t day)
{
    uint32_t   block;
    uint64_t  *word;

    block = ngx_analytics_user_days_make(z, user,
                                         day / NGX_ANALYTICS_MORE_DAYS);
    if (block == 0) {
        return NGX_DECLINED;
    }

    word = &ngx_analytics_more(z, block)
                ->u.days[day % NGX_ANALYTICS_MORE_DAYS / 64];

    ngx_analytics_put64(z, word, *word | (uint64_t) 1 << (day % 64));

    return NGX_OK;
}


/* The block of so many days, which is made if it is not there, or 0. */

static uint32_t
ngx_analytics_user_days_make(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t base)
{
    uint32_t               block;
    ngx_analytics_more_t  *more;

    block = ngx_analytics_user_days_block(z, user, base);

    if (block) {
        return block;
    }

    block = ngx_analytics_pool_alloc(z, &z->users);

    if (block == 0) {
        return 0;
    }

    more = ngx_analytics_more(z, block);

    more->next = user->days_more;
    more->tail = (uint32_t) base;
    ngx_memzero(more->u.days, sizeof(more->u.days));

    ngx_analytics_put32(z, &user->days_more, block);

    return block;
}


static uint32_t
ngx_analytics_user_days_block(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t base)
{
    uint32_t               block;
    ngx_analytics_more_t  *more;

    for (block = user->days_more; block; block = more->next) {
        more = ngx_analytics_more(z, block);

        if (more->tail == base) {
            return block;
        }
    }

    return 0;
}
