
/*
 * Hours and days of a time zone.
 *
 * A time zone is a row of intervals with a constant offset from UTC each.
 * Days begin at local midnight.  Hours are numbered one by one, the first of
 * 1970 as in UTC, so that days can have 23 and 25 of them: an hour begins
 * where the local clock shows a full one, and where the offset changes.
 *
 * The table is made once, where the configuration is read, of what the C
 * library knows of the zone, and goes with the rules by which a log is folded:
 * so what an hour is does not change when the library learns of new rules.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_TIMEZONE_H_INCLUDED_
#define _NGX_ANALYTICS_TIMEZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_writer.h"


#define NGX_ANALYTICS_OFFSETS_MAX  512
#define NGX_ANALYTICS_OFFSET_MAX   (26 * 3600)      /* seconds */


typedef struct {
    int64_t                  at;       /* seconds since the epoch; the first */
                                       /* interval has no beginning */
    int32_t                  offset;   /* seconds east of UTC */

    /* set by ngx_analytics_timezone_init() */
    int64_t                  hours;    /* to be added to a local hour */
    int64_t                  day;      /* no day here is before it */
} ngx_analytics_offset_t;


typedef struct {
    ngx_str_t                name;     /* as in the tz database, or "UTC" */
    ngx_analytics_offset_t  *offsets;  /* in order of time */
    ngx_uint_t               n;        /* 1 or more */
} ngx_analytics_timezone_t;


/* the one of "UTC", and its offset */
extern ngx_analytics_timezone_t  ngx_analytics_utc;
extern ngx_analytics_offset_t    ngx_analytics_utc_offset;


/*
 * Looks a name up in the C library's database, for the years 1970 to 2149.
 * tz->name.data ends with a NUL.  Changes the environment meanwhile: not for
 * processes with threads.
 * Returns NGX_OK, NGX_DECLINED if there is no such zone, or NGX_ERROR if
 * alloc failed.
 */
ngx_int_t ngx_analytics_timezone_load(ngx_analytics_timezone_t *tz,
    ngx_analytics_alloc_pt alloc, void *ctx);

/*
 * Fills in what follows from the times and offsets.  Returns NGX_OK, or
 * NGX_ERROR if they cannot be a time zone's.
 */
ngx_int_t ngx_analytics_timezone_init(ngx_analytics_timezone_t *tz);

/*
 * The number of the hour and of the day (since 1970-01-01) of an instant, and
 * when they begin; instants are microseconds since the epoch.
 */
int64_t ngx_analytics_timezone_hour(ngx_analytics_timezone_t *tz,
    int64_t usec);
int64_t ngx_analytics_timezone_hour_start(ngx_analytics_timezone_t *tz,
    int64_t hour);
int64_t ngx_analytics_timezone_day(ngx_analytics_timezone_t *tz,
    int64_t usec);
int64_t ngx_analytics_timezone_day_start(ngx_analytics_timezone_t *tz,
    int64_t day);

/*
 * The hour that the local clock shows at an instant, counted from 1970 on:
 * those that it leaves out are missing, and those that come twice are one.
 */
int64_t ngx_analytics_timezone_clock(ngx_analytics_timezone_t *tz,
    int64_t usec);


#endif /* _NGX_ANALYTICS_TIMEZONE_H_INCLUDED_ */
