
/*
 * Instants, days and their text forms.
 *
 * An instant is int64_t microseconds since 1970-01-01T00:00:00Z; a day is
 * int64_t days since 1970-01-01 (proleptic Gregorian, days-from-civil by
 * H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_TIME_H_INCLUDED_
#define _NGX_ANALYTICS_TIME_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_ANALYTICS_SECOND    ((int64_t) 1000000)
#define NGX_ANALYTICS_MINUTE    (60 * NGX_ANALYTICS_SECOND)
#define NGX_ANALYTICS_HOUR      (3600 * NGX_ANALYTICS_SECOND)
#define NGX_ANALYTICS_DAY       (86400 * NGX_ANALYTICS_SECOND)

/* longest texts, without a terminating NUL */
#define NGX_ANALYTICS_TIME_LEN  (sizeof("9999-12-31T23:59:59.999999Z") - 1)
#define NGX_ANALYTICS_DATE_LEN  (sizeof("9999-12-31") - 1)


/*
 * RFC 3339 date-time, years 0000 to 9999: "T" or "t" or a space between
 * date and time, any number of digits of a fraction (those behind the sixth
 * are cut), "Z", "z" or an offset from -23:59 to +23:59.  A second of 60 is
 * taken where UTC can have a leap second (23:59:60 UTC on the last day of a
 * month) and means the second after it.  Impossible dates are refused.
 * Returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_analytics_time_parse(ngx_str_t *text, int64_t *usec);

/*
 * Writes an instant of the years 0000 to 9999 as RFC 3339 in UTC ("Z") with
 * as many of 0, 3 or 6 digits of a fraction as it needs.
 * Returns the position behind it.
 */
u_char *ngx_analytics_time_format(u_char *p, int64_t usec);

/*
 * A plain JSON number's text (no exponent; a fraction is cut behind the
 * microsecond) of units since the epoch to an instant.  unit is what 1
 * stands for in microseconds: NGX_ANALYTICS_SECOND or 1000.
 * Returns NGX_OK, or NGX_ERROR if it has an exponent or does not fit.
 */
ngx_int_t ngx_analytics_epoch_parse(ngx_str_t *text, int64_t unit,
    int64_t *usec);

/* The reverse: as many digits of a fraction as needed, none if 0. */
u_char *ngx_analytics_epoch_format(u_char *p, int64_t usec, int64_t unit);

/* "YYYY-MM-DD", an existing date.  Returns NGX_OK or NGX_ERROR. */
ngx_int_t ngx_analytics_date_parse(ngx_str_t *text, int64_t *day);
u_char *ngx_analytics_date_format(u_char *p, int64_t day);

/* Makes the text of a day, ten bytes, that of the next one. */
void ngx_analytics_date_next(u_char *p);


/* The year, the month from 1 on, and the day from 1 on; and back. */
void ngx_analytics_civil_from_days(int64_t day, int64_t *y, int64_t *m,
    int64_t *d);
int64_t ngx_analytics_days_from_civil(int64_t y, int64_t m, int64_t d);


/* n / d rounded towards minus infinity, d > 0 */
static ngx_inline int64_t
ngx_analytics_floor_div(int64_t n, int64_t d)
{
    return n / d - (n % d < 0);
}


#endif /* _NGX_ANALYTICS_TIME_H_INCLUDED_ */
