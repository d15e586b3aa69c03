
/*
 * Days: on which of them a user was active, and how many users were on each
 * day, in each week and month.
 *
 * Each event adds what is new about its user and that day.  So how many were
 * active is known without a look at the users, of days, weeks (from Monday
 * on) and months, and of any days up to the last: that is who was active last
 * on one of them.  Of other days users are counted one by one.
 *
 * Days are those of the program's time zone.  A week is kept at its Monday, a
 * month at its first.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_DAILIES_H_INCLUDED_
#define _NGX_ANALYTICS_DAILIES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_chunks.h"
#include "ngx_analytics_rules.h"
#include "ngx_analytics_users.h"


/* series that one event can change, and chunks that it can need for that */
#define NGX_ANALYTICS_DAILIES_NEED   16

/* words saved for undo, at most: each with its chunk, and what was lost */
#define NGX_ANALYTICS_DAILIES_WORDS                                           \
    (NGX_ANALYTICS_DAILIES_NEED * (NGX_ANALYTICS_CHUNK_WORDS + 2)             \
     + 13 * (NGX_ANALYTICS_ALLOC_WORDS + 2) + 8)


/* Days as they are kept: from 1970 to 2149. */
static ngx_inline ngx_uint_t
ngx_analytics_daily_clamp(int64_t day)
{
    return (day < 0) ? 0
           : day < NGX_ANALYTICS_DAYS_MAX ? (ngx_uint_t) day
                                          : NGX_ANALYTICS_DAYS_MAX - 1;
}


/* The day of an instant. */
ngx_uint_t ngx_analytics_daily_of(ngx_analytics_rules_t *rules,
    int64_t time);

/* The Monday, and the first of the month, before or on a day. */
int64_t ngx_analytics_daily_week(int64_t day);
int64_t ngx_analytics_daily_month(int64_t day);

/* Adds n, which may be less than 0, to a series at a day. */
void ngx_analytics_daily_add(ngx_analytics_zone_t *z, ngx_uint_t which,
    ngx_uint_t day, int64_t n);

/* Notes that the last event that happened on a day has that number. */
void ngx_analytics_daily_touch(ngx_analytics_zone_t *z, ngx_uint_t day,
    uint64_t seq);

/* Counts a user, who has been counted before unless new, as active. */
void ngx_analytics_daily_fold(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, uint32_t block, int64_t time);

/* Of a user who goes for good. */
void ngx_analytics_daily_forget(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user);

/* Whether a user was active on one of the days from first to last. */
ngx_uint_t ngx_analytics_user_active(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t first, ngx_uint_t last);

/*
 * The words of bits of a user's days, where they are bits: from one on, which
 * is there or the first behind it that is.  Returns the word, and *number; or
 * 0 behind the last.
 */
uint64_t ngx_analytics_user_days_word(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t from, ngx_uint_t *number);

/*
 * Gives a user who is being restored n words of bits, 8 bytes each, from one
 * on.  There are blocks enough.
 */
void ngx_analytics_user_restore_days(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, const u_char *words, ngx_uint_t from,
    ngx_uint_t n);


#endif /* _NGX_ANALYTICS_DAILIES_H_INCLUDED_ */
