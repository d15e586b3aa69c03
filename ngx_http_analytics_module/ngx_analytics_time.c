
/*
 * Instants, days and their text forms.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_time.h"


/* days from 0000-03-01 to 1970-01-01, and in 400 years */
#define NGX_ANALYTICS_EPOCH   719468
#define NGX_ANALYTICS_ERA     146097

/* 0000-01-01 and the day behind 9999-12-31, in days since 1970-01-01 */
#define NGX_ANALYTICS_DAY_MIN  ((int64_t) -719528)
#define NGX_ANALYTICS_DAY_END  ((int64_t) 2932897)

#define ngx_analytics_digit(c)  ((u_char) ((c) - '0') <= 9)


static const u_char  ngx_analytics_month_days[] = {
    31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
};


/* Years begin in March here: the leap day is the last one of its year. */
int64_t
ngx_analytics_days_from_civil(int64_t y, int64_t m, int64_t d)
{
    int64_t  era, yoe, doy;

    y -= (m <= 2);
    era = ngx_analytics_floor_div(y, 400);
    yoe = y - era * 400;
    doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;

    return era * NGX_ANALYTICS_ERA + yoe * 365 + yoe / 4 - yoe / 100 + doy
           - NGX_ANALYTICS_EPOCH;
}


void
ngx_analytics_civil_from_days(int64_t day, int64_t *y, int64_t *m, int64_t *d)
{
    int64_t  era, doe, yoe, doy, mp;

    day += NGX_ANALYTICS_EPOCH;
    era = ngx_analytics_floor_div(day, NGX_ANALYTICS_ERA);
    doe = day - era * NGX_ANALYTICS_ERA;
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    mp = (5 * doy + 2) / 153;

    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = (mp < 10) ? mp + 3 : mp - 9;
    *y = yoe + era * 400 + (*m <= 2);
}


/* Exactly two digits, or -1. */
static ngx_inline int64_t
ngx_analytics_pair_parse(const u_char *p)
{
    u_char  tens, ones;

    tens = (u_char) (p[0] - '0');
    ones = (u_char) (p[1] - '0');

    return (tens > 9 || ones > 9) ? -1 : tens * 10 + ones;
}


static ngx_inline u_char *
ngx_analytics_pair_format(u_char *p, uint64_t value)
{
    p[0] = (u_char) ('0' + value / 10 % 10);
    p[1] = (u_char) ('0' + value % 10);

    return p + 2;
}


/* Exactly n digits, the last ones of value. */
static ngx_inline u_char *
ngx_analytics_digits_format(u_char *p, uint64_t value, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = n; i; i--) {
        p[i - 1] = (u_char) ('0' + value % 10);
        value /= 10;
    }

    return p + n;
}


/* "YYYY-MM-DD" at p, ten bytes. */
static ngx_int_t
ngx_analytics_civil_parse(const u_char *p, int64_t *day)
{
    int64_t  c, y, m, d;

    c = ngx_analytics_pair_parse(p);
    y = ngx_analytics_pair_parse(p + 2);
    m = ngx_analytics_pair_parse(p + 5);
    d = ngx_analytics_pair_parse(p + 8);

    if (c < 0 || y < 0 || p[4] != '-' || p[7] != '-' || m < 1 || m > 12
        || d < 1 || d > ngx_analytics_month_days[m - 1])
    {
        return NGX_ERROR;
    }

    y += c * 100;

    if (m == 2 && d == 29 && (y % 4 || (y % 100 == 0 && y % 400))) {
        return NGX_ERROR;
    }

    *day = ngx_analytics_days_from_civil(y, m, d);

    return NGX_OK;
}


/*
 * The digits of a fraction: that many count, as an integer, and the others
 * are cut.  Returns the position behind them all.
 */
static ngx_inline const u_char *
ngx_analytics_fraction_parse(const u_char *p, const u_char *last,
    ngx_uint_t digits, int64_t *fraction)
{
    int64_t  value;

    for (value = 0; p < last && ngx_analytics_digit(*p); p++) {

        if (digits) {
            value = value * 10 + (*p - '0');
            digits--;
        }
    }

    for ( /* void */ ; digits; digits--) {
        value *= 10;
    }

    *fraction = value;

    return p;
}


/* "Z", or "+hh:mm": microseconds east of UTC, and nothing behind it. */
static ngx_int_t
ngx_analytics_offset_parse(const u_char *p, const u_char *last,
    int64_t *offset)
{
    int64_t  h, m;

    *offset = 0;

    if (last - p == 1) {
        return (*p == 'Z' || *p == 'z') ? NGX_OK : NGX_ERROR;
    }

    if (last - p != 6 || (*p != '+' && *p != '-') || p[3] != ':') {
        return NGX_ERROR;
    }

    h = ngx_analytics_pair_parse(p + 1);
    m = ngx_analytics_pair_parse(p + 4);

    if (h < 0 || h > 23 || m < 0 || m > 59) {
        return NGX_ERROR;
    }

    *offset = h * NGX_ANALYTICS_HOUR + m * NGX_ANALYTICS_MINUTE;

    if (*p == '-') {
        *offset = -*offset;
    }

    return NGX_OK;
}


/* Is it the first second of a month?  A leap second became it. */
static ngx_int_t
ngx_analytics_month_start(int64_t usec)
{
    int64_t  y, m, d, day;

    day = ngx_analytics_floor_div(usec, NGX_ANALYTICS_DAY);

    if (usec - day * NGX_ANALYTICS_DAY >= NGX_ANALYTICS_SECOND) {
        return 0;
    }

    ngx_analytics_civil_from_days(day, &y, &m, &d);

    return d == 1;
}


ngx_int_t
ngx_analytics_time_parse(ngx_str_t *text, int64_t *usec)
{
    int64_t        day, h, m, s, fraction, offset, t;
    const u_char  *p, *q, *last;

    p = text->data;

    /* the shortest one is "YYYY-MM-DDThh:mm:ssZ" */

    if (text->len < 20 || ngx_analytics_civil_parse(p, &day) != NGX_OK) {
        return NGX_ERROR;
    }

    last = p + text->len;

    h = ngx_analytics_pair_parse(p + 11);
    m = ngx_analytics_pair_parse(p + 14);
    s = ngx_analytics_pair_parse(p + 17);

    if ((p[10] != 'T' && p[10] != 't' && p[10] != ' ')
        || p[13] != ':' || p[16] != ':'
        || h < 0 || h > 23 || m < 0 || m > 59 || s < 0 || s > 60)
    {
        return NGX_ERROR;
    }

    p += 19;
    fraction = 0;

    if (*p == '.') {
        q = p + 1;
        p = ngx_analytics_fraction_parse(q, last, 6, &fraction);

        if (p == q) {
            return NGX_ERROR;
        }
    }

    if (ngx_analytics_offset_parse(p, last, &offset) != NGX_OK) {
        return NGX_ERROR;
    }

    t = day * NGX_ANALYTICS_DAY + h * NGX_ANALYTICS_HOUR
        + m * NGX_ANALYTICS_MINUTE + s * NGX_ANALYTICS_SECOND + fraction
        - offset;

    if (s == 60 && !ngx_analytics_month_start(t)) {
        return NGX_ERROR;
    }

    /* an offset may have led out of the years that can be written back */

    if (t < NGX_ANALYTICS_DAY_MIN * NGX_ANALYTICS_DAY
        || t >= NGX_ANALYTICS_DAY_END * NGX_ANALYTICS_DAY)
    {
        return NGX_ERROR;
    }

    *usec = t;

    return NGX_OK;
}


u_char *
ngx_analytics_time_format(u_char *p, int64_t usec)
{
    int64_t  day, s;

    day = ngx_analytics_floor_div(usec, NGX_ANALYTICS_DAY);
    usec -= day * NGX_ANALYTICS_DAY;
    s = usec / NGX_ANALYTICS_SECOND;
    usec -= s * NGX_ANALYTICS_SECOND;

    p = ngx_analytics_date_format(p, day);
    *p++ = 'T';
    p = ngx_analytics_pair_format(p, s / 3600);
    *p++ = ':';
    p = ngx_analytics_pair_format(p, s / 60 % 60);
    *p++ = ':';
    p = ngx_analytics_pair_format(p, s % 60);

    if (usec) {
        *p++ = '.';

        if (usec % 1000) {
            p = ngx_analytics_digits_format(p, usec, 6);

        } else {
            p = ngx_analytics_digits_format(p, usec / 1000, 3);
        }
    }

    *p++ = 'Z';

    return p;
}


ngx_int_t
ngx_analytics_epoch_parse(ngx_str_t *text, int64_t unit, int64_t *usec)
{
    int64_t        n, fraction;
    ngx_uint_t     negative;
    const u_char  *p, *q, *last;

    p = text->data;
    last = text->len ? p + text->len : p;

    negative = (p < last && *p == '-');
    p += negative;

    /* a digit, and no other behind a first 0 */

    if (p == last || (*p == '0' && last - p > 1 && p[1] != '.')) {
        return NGX_ERROR;
    }

    for (n = 0, q = p; p < last && ngx_analytics_digit(*p); p++) {

        if (n > (INT64_MAX / unit - (*p - '0')) / 10) {
            return NGX_ERROR;
        }

        n = n * 10 + (*p - '0');
    }

    if (p == q) {
        return NGX_ERROR;
    }

    fraction = 0;

    if (p < last && *p == '.') {
        q = p + 1;
        p = ngx_analytics_fraction_parse(q, last, (unit == 1000) ? 3 : 6,
                                         &fraction);
    }

    if (p != last || p == q || n * unit > INT64_MAX - fraction) {
        return NGX_ERROR;
    }

    n = n * unit + fraction;

    *usec = negative ? -n : n;

    return NGX_OK;
}


u_char *
ngx_analytics_epoch_format(u_char *p, int64_t usec, int64_t unit)
{
    uint64_t    n, rest;
    ngx_uint_t  digits;

    n = (uint64_t) usec;

    if (usec < 0) {
        *p++ = '-';
        n = 0 - n;
    }

    rest = n / unit;

    for (digits = 1; rest >= 10; digits++) {
        rest /= 10;
    }

    p = ngx_analytics_digits_format(p, n / unit, digits);
    rest = n % unit;

    if (rest == 0) {
        return p;
    }

    for (digits = 0; unit > 1; digits++) {
        unit /= 10;
    }

    for ( /* void */ ; rest % 10 == 0; digits--) {
        rest /= 10;
    }

    *p++ = '.';

    return ngx_analytics_digits_format(p, rest, digits);
}


ngx_int_t
ngx_analytics_date_parse(ngx_str_t *text, int64_t *day)
{
    if (text->len != NGX_ANALYTICS_DATE_LEN) {
        return NGX_ERROR;
    }

    return ngx_analytics_civil_parse(text->data, day);
}


u_char *
ngx_analytics_date_format(u_char *p, int64_t day)
{
    int64_t  y, m, d;

    ngx_analytics_civil_from_days(day, &y, &m, &d);

    p = ngx_analytics_pair_format(p, y / 100);
    p = ngx_analytics_pair_format(p, y);
    *p++ = '-';
    p = ngx_analytics_pair_format(p, m);
    *p++ = '-';

    return ngx_analytics_pair_format(p, d);
}


void
ngx_analytics_date_next(u_char *p)
{
    int64_t  month, day, last;

    month = ngx_analytics_pair_parse(p + 5);
    day = ngx_analytics_pair_parse(p + 8);

    /* February may end on the 28th */

    last = (month >= 1 && month <= 12 && month != 2)
           ? ngx_analytics_month_days[month - 1] : 28;

    if (day < last) {
        (void) ngx_analytics_pair_format(p + 8, (uint64_t) day + 1);
        return;
    }

    if (ngx_analytics_civil_parse(p, &day) == NGX_OK) {
        (void) ngx_analytics_date_format(p, day + 1);
    }
}
