
/*
 * Instants and days: that they are those of the calendar, that each of their
 * texts means what RFC 3339 says, and that no other text is taken.
 *
 * The oracles: a walk through the calendar day by day, timegm() of libc, and
 * a regular expression.
 *
 * Copyright (C) The nginx analytics authors
 */


#define _GNU_SOURCE
#include <regex.h>
#include <stdlib.h>
#include <time.h>
#include "tap.h"
#include "ngx_analytics_time.h"


static uint64_t  seed = 20251004;


/* xorshift64* */
static uint64_t
rnd(uint64_t n)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;

    return (seed * 0x2545f4914f6cdd1dull >> 16) % n;
}


static ngx_int_t
parse_time(const char *text, size_t len, int64_t *usec)
{
    u_char     *copy;
    ngx_int_t   rc;
    ngx_str_t   str;

    /* no byte more than the text: a sanitizer sees one read behind it */

    copy = malloc(len ? len : 1);

    if (copy == NULL) {
        exit(2);
    }

    memcpy(copy, text, len);

    str.data = copy;
    str.len = len;

    rc = ngx_analytics_time_parse(&str, usec);

    free(copy);

    return rc;
}


static ngx_int_t
parse_date(const char *text, int64_t *day)
{
    ngx_str_t  str;

    str.data = (u_char *) text;
    str.len = strlen(text);

    return ngx_analytics_date_parse(&str, day);
}


static int
leap(int y)
{
    if (y % 400 == 0) {
        return 1;
    }

    if (y % 100 == 0) {
        return 0;
    }

    return y % 4 == 0;
}


static int
month_days(int y, int m)
{
    static const int  days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30,
                                 31 };

    return days[m - 1] + (m == 2 && leap(y));
}


static void
check_calendar(void)
{
    int       y, m, d;
    char      text[48];
    u_char    buf[16];
    int64_t   n, day;
    uint64_t  parsed, printed, impossible, next;
    u_char    running[] = "0000-01-01";

    /* 1970 years before the epoch: counted, not computed */

    n = 0;

    for (y = 0; y < 1970; y++) {
        n -= leap(y) ? 366 : 365;
    }

    parsed = 0;
    printed = 0;
    impossible = 0;
    next = 0;

    for (y = 0; y <= 9999; y++) {
        for (m = 1; m <= 12; m++) {
            for (d = 1; d <= month_days(y, m); d++, n++) {

                sprintf(text, "%04d-%02d-%02d", y, m, d);

                parsed += (parse_date(text, &day) != NGX_OK || day != n);

                printed += (ngx_analytics_date_format(buf, n) != buf + 10
                            || memcmp(buf, text, 10) != 0);

                next += (memcmp(running, text, 10) != 0);
                ngx_analytics_date_next(running);
            }

            sprintf(text, "%04d-%02d-%02d", y, m, d);
            impossible += (parse_date(text, &day) != NGX_ERROR);
        }
    }

    is_u64(parsed, 0, "each day from 0000-01-01 to 9999-12-31 is read");
    is_u64(printed, 0, "... and printed");
    is_u64(next, 0, "... and is the one behind the day before");
    is_u64(impossible, 0, "... but none behind the end of its month");
    is_i64(n, 2932897, "... and these were all of them");
}


static void
check_dates(void)
{
    size_t              i;
    int64_t             day;
    static const char  *wrong[] = {
        "", "2025", "2025-10", "2025-10-4", "2025-1-04", "25-10-04",
        "2025-10-04 ", " 2025-10-04", "2025-10-04T", "2025/10/04",
        "2025-10/04", "2025-1004-", "20251004", "2025-00-04", "2025-13-04",
        "2025-10-00", "2025-10-32", "2025-04-31", "2025-02-29", "1900-02-29",
        "2100-02-29", "2024-02-30", "+025-10-04", "-025-10-04", "2025-+1-04",
        "2025- 1-04", "2025-10- 4", "2025-1O-04", "2025-99-99", "0000-00-00",
        "12025-10-04", "2025-10-4T", "20a5-10-04"
    };

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        is_i64(parse_date(wrong[i], &day), NGX_ERROR, "no date: \"%s\"",
               wrong[i]);
    }

    is_i64(parse_date("2000-02-29", &day), NGX_OK, "2000 was a leap year");
    is_i64(parse_date("2024-02-29", &day), NGX_OK, "2024 was a leap year");
    is_i64(parse_date("1970-01-01", &day), NGX_OK, "the epoch");
    is_i64(day, 0, "... is day 0");
}


static void
time_is(const char *text, int64_t expected, const char *why)
{
    int64_t  usec;

    usec = -1;

    if (is_i64(parse_time(text, strlen(text), &usec), NGX_OK, "%s: %s", why,
               text))
    {
        is_i64(usec, expected, "... its instant");
    }
}


/* Seconds by GNU date, e. g. date -u -d 1985-04-12T23:20:50Z +%s */
static void
check_times(void)
{
    time_is("1985-04-12T23:20:50.52Z", 482196050520000, "RFC 3339, 5.8");
    time_is("1996-12-19T16:39:57-08:00", 851042397000000, "RFC 3339, 5.8");
    time_is("1990-12-31T23:59:60Z", 662688000000000, "RFC 3339, 5.8");
    time_is("1990-12-31T15:59:60-08:00", 662688000000000, "RFC 3339, 5.8");
    time_is("1937-01-01T12:00:27.87+00:20", -1041337172130000,
            "RFC 3339, 5.8");

    time_is("1970-01-01T00:00:00Z", 0, "the epoch");
    time_is("1969-12-31T23:59:59.999999Z", -1, "right before the epoch");
    time_is("1970-01-01t00:00:00z", 0, "small letters");
    time_is("1970-01-01 00:00:01+00:00", 1000000, "a space");
    time_is("1970-01-01T00:00:00-00:00", 0, "an unknown local offset");
    time_is("1970-01-01T00:00:00+23:59", -86340000000, "the largest offset");
    time_is("1970-01-01T00:00:00-23:59", 86340000000, "the smallest offset");
    time_is("1970-01-01T00:00:00.1Z", 100000, "one digit");
    time_is("1970-01-01T00:00:00.000001Z", 1, "six digits");
    time_is("1970-01-01T00:00:00.0000019Z", 1, "a seventh digit is cut");
    time_is("1969-12-31T23:59:59.9999999Z", -1, "... before the epoch too");
    time_is("1970-01-01T00:00:00.12345678901234567890123456789012345Z",
            123456, "any number of digits");
    time_is("0000-01-01T00:00:00Z", -62167219200000000, "the first one");
    time_is("9999-12-31T23:59:59.999999Z", 253402300799999999,
            "the last one");
    time_is("0000-01-01T00:30:00+00:30", -62167219200000000,
            "the first one elsewhere");
    time_is("9999-12-31T23:29:59.999999-00:30", 253402300799999999,
            "the last one elsewhere");
    time_is("2016-12-31T23:59:60.5Z", 1483228800500000,
            "a part of a leap second");
    time_is("2017-01-01T05:29:60+05:30", 1483228800000000,
            "a leap second in the morning");
    time_is("2015-06-30T23:59:60Z", 1435708800000000, "a leap second in June");
    time_is("2025-02-28T23:59:60Z", 1740787200000000,
            "a leap second where one could be");
}


static void
check_refused(void)
{
    size_t              i;
    int64_t             usec;
    static const char  *wrong[] = {
        "", "Z", "2025-10-04", "2025-10-04T12:30:00", "2025-10-04T12:30Z",
        "2025-10-04T12:30:0Z", "2025-10-04T1:30:00Z", "2025-10-04T12:30:00.Z",
        "2025-10-04T12:30:00.", "2025-10-04T12:30:00.5",
        "2025-10-04T12:30:00,5Z", "2025-10-04T12:30:00.5.5Z",
        "2025-10-04T12:30:00.-5Z", "2025-10-04T12:30:00 Z",
        "2025-10-04T12:30:00Z ", " 2025-10-04T12:30:00Z",
        "2025-10-04T12:30:00ZZ", "2025-10-04T12:30:00Z+00:00",
        "2025-10-04T12:30:00+", "2025-10-04T12:30:00+00",
        "2025-10-04T12:30:00+0000", "2025-10-04T12:30:00+00:0",
        "2025-10-04T12:30:00+00:000", "2025-10-04T12:30:00+24:00",
        "2025-10-04T12:30:00-24:00", "2025-10-04T12:30:00+00:60",
        "2025-10-04T12:30:00+-1:00", "2025-10-04T12:30:00+00-00",
        "2025-10-04T24:00:00Z", "2025-10-04T12:60:00Z",
        "2025-10-04T12:30:61Z", "2025-10-04T12:30:60Z",
        "2025-10-04T23:59:60Z", "2025-10-31T23:59:60+01:00",
        "2025-10-31T23:58:60Z", "2025-10-31T22:59:60Z",
        "2025-11-01T00:00:60Z", "2025-09-31T23:59:60Z",
        "9999-12-31T23:59:60Z", "0000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01", "2025-02-29T12:30:00Z",
        "2025-13-01T12:30:00Z", "2025-10-04_12:30:00Z",
        "2025-10-04T12-30-00Z", "20251004T123000Z", "2025-W40-6T12:30:00Z",
        "2025-277T12:30:00Z", "+2025-10-04T12:30:00Z",
        "12025-10-04T12:30:00Z", "2025-10-04T+1:30:00Z",
        "2025-10-04T12:+3:00Z", "2025-10-04T12:30:+1Z",
        "2025-10-04T12:30:00\xe2\x88\x92:01:00", "1759581000"
    };

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        is_i64(parse_time(wrong[i], strlen(wrong[i]), &usec), NGX_ERROR,
               "no time: \"%s\"", wrong[i]);
    }

    is_i64(parse_time("2025-10-04T12:30:00Z\0", 21, &usec), NGX_ERROR,
           "no time: one with a NUL behind it");
}


/*
 * What the text means, by a regular expression and timegm().
 * Returns 0 if it means nothing.
 */
static int
oracle(regex_t *re, const char *text, size_t len, int64_t *usec)
{
    int         i, offset;
    char        fraction[7];
    time_t      t;
    struct tm   tm, back;
    regmatch_t  m[7];

    m[0].rm_so = 0;
    m[0].rm_eo = (regoff_t) len;

    if (memchr(text, '\0', len) != NULL
        || regexec(re, text, 7, m, REG_STARTEND) != 0)
    {
        return 0;
    }

    memset(&tm, 0, sizeof(struct tm));

    tm.tm_year = atoi(text) - 1900;
    tm.tm_mon = atoi(text + 5) - 1;
    tm.tm_mday = atoi(text + 8);
    tm.tm_hour = atoi(text + 11);
    tm.tm_min = atoi(text + 14);
    tm.tm_sec = atoi(text + 17);

    back = tm;
    back.tm_sec = (tm.tm_sec == 60) ? 59 : tm.tm_sec;
    t = timegm(&back);

    if (back.tm_mday != tm.tm_mday || back.tm_mon != tm.tm_mon
        || back.tm_hour != tm.tm_hour || back.tm_min != tm.tm_min)
    {
        return 0;
    }

    offset = 0;

    if (m[5].rm_eo - m[5].rm_so == 6) {
        offset = atoi(text + m[5].rm_so + 1) * 60
                 + atoi(text + m[5].rm_so + 4);
        offset = (text[m[5].rm_so] == '-') ? -offset : offset;
    }

    t -= offset * 60;

    if (tm.tm_sec == 60) {
        t++;
        (void) gmtime_r(&t, &back);

        if (back.tm_mday != 1 || back.tm_hour || back.tm_min || back.tm_sec) {
            return 0;
        }
    }

    memcpy(fraction, "000000", 7);

    for (i = 0; i < 6 && m[4].rm_so + 1 + i < m[4].rm_eo; i++) {
        fraction[i] = text[m[4].rm_so + 1 + i];
    }

    *usec = (int64_t) t * 1000000 + atoi(fraction);

    (void) gmtime_r(&t, &back);

    return back.tm_year >= -1900 && back.tm_year <= 9999 - 1900;
}


static size_t
random_time(char *text)
{
    char      *p;
    uint64_t   n;

    p = text;

    p += sprintf(p, "%04d-%02d-%02d%c%02d:%02d:%02d",
                 (int) (rnd(20) ? rnd(10000) : rnd(2) * 9999),
                 (int) (1 + rnd(12)), (int) (1 + rnd(31)), "Tt "[rnd(3)],
                 (int) (rnd(4) ? rnd(24) : 23), (int) (rnd(4) ? rnd(60) : 59),
                 (int) (rnd(4) ? rnd(60) : 60));

    if (rnd(2)) {
        *p++ = '.';

        for (n = 1 + rnd(rnd(3) ? 7 : 30); n; n--) {
            *p++ = (char) ('0' + rnd(10));
        }
    }

    if (rnd(2)) {
        *p++ = rnd(2) ? 'Z' : 'z';

    } else {
        p += sprintf(p, "%c%02d:%02d", rnd(2) ? '+' : '-', (int) rnd(24),
                     (int) rnd(60));
    }

    return p - text;
}


static size_t
mutate(char *text, size_t len)
{
    size_t       at;
    const char  *chars;

    chars = "0123456789 -+:.,TtZz";
    at = rnd(len);

    switch (rnd(4)) {
    case 0:
        text[at] = (char) rnd(256);
        break;
    case 1:
        text[at] = chars[rnd(strlen(chars))];
        break;
    case 2:
        memmove(text + at, text + at + 1, len - at);
        return len - 1;
    default:
        memmove(text + at + 1, text + at, len - at + 1);
        text[at] = chars[rnd(strlen(chars))];
        return len + 1;
    }

    return len;
}


static void
check_random(void)
{
    int       expected, got;
    char      text[96];
    size_t    len;
    int64_t   usec, right;
    regex_t   re;
    uint64_t  i, k, wrong, taken;

    if (regcomp(&re, "^[0-9]{4}-(0[1-9]|1[0-2])-[0-9]{2}[Tt ]"
                     "([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)"
                     "(\\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$",
                REG_EXTENDED)
        != 0)
    {
        exit(2);
    }

    wrong = 0;
    taken = 0;

    for (i = 0; i < 50000; i++) {
        memset(text, 0, sizeof(text));
        len = random_time(text);

        for (k = 0; k < 4; k++) {
            usec = 0;
            right = 0;

            got = (parse_time(text, len, &usec) == NGX_OK);
            expected = oracle(&re, text, len, &right);
            taken += got;

            if (got != expected || (got && usec != right)) {
                wrong++;
                diag("%d, not %d; %" PRId64 ", not %" PRId64 ": %s", got,
                     expected, usec, right, text);
            }

            len = mutate(text, len);
        }
    }

    regfree(&re);

    is_u64(wrong, 0, "200000 random texts mean what timegm() says, or nothing");
    ok(taken > 30000, "... of which enough did");
    diag("%" PRIu64 " were times", taken);
}


/* The text by gmtime() and printf(). */
static size_t
print_time(char *text, int64_t usec)
{
    char       *p;
    time_t      t;
    struct tm   tm;

    t = (usec - ((usec % 1000000) + 1000000) % 1000000) / 1000000;
    usec -= (int64_t) t * 1000000;

    (void) gmtime_r(&t, &tm);

    p = text;
    p += sprintf(p, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
                 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);

    if (usec % 1000) {
        p += sprintf(p, ".%06d", (int) usec);

    } else if (usec) {
        p += sprintf(p, ".%03d", (int) (usec / 1000));
    }

    *p++ = 'Z';

    return p - text;
}


static void
check_format(void)
{
    char           text[64];
    u_char         buf[64];
    size_t         len, n;
    int64_t        usec, again;
    uint64_t       i, wrong, differ;
    const int64_t  first = -62167219200000000, last = 253402300799999999;

    wrong = 0;
    differ = 0;

    for (i = 0; i < 300000; i++) {

        usec = first + (int64_t) rnd((uint64_t) (last - first));

        switch (rnd(4)) {
        case 0:
            usec -= usec % 1000;
            break;
        case 1:
            usec -= usec % 1000000;
            break;
        case 2:
            usec = (int64_t) rnd(4000000000000000) - 2000000000000000;
            break;
        default:
            break;
        }

        usec = (i == 0) ? first : (i == 1) ? last : usec;

        len = print_time(text, usec);
        n = ngx_analytics_time_format(buf, usec) - buf;

        if (n != len || n > NGX_ANALYTICS_TIME_LEN
            || memcmp(buf, text, n) != 0)
        {
            wrong++;
            diag("%" PRId64 ": %.*s", usec, (int) n, buf);
        }

        differ += (parse_time((char *) buf, n, &again) != NGX_OK
                   || again != usec);
    }

    is_u64(wrong, 0, "instants are printed as gmtime() has them");
    is_u64(differ, 0, "... and are the same when read again");

#define format_is(usec, text)                                                 \
    is_str(buf, (size_t) (ngx_analytics_time_format(buf, usec) - buf), text,  \
           "printed: %s", text)

    format_is(0, "1970-01-01T00:00:00Z");
    format_is(1, "1970-01-01T00:00:00.000001Z");
    format_is(120000, "1970-01-01T00:00:00.120Z");
    format_is(120010, "1970-01-01T00:00:00.120010Z");
    format_is(-1, "1969-12-31T23:59:59.999999Z");
    format_is(-1000000, "1969-12-31T23:59:59Z");
}


int
main(void)
{
    check_calendar();
    check_dates();
    check_times();
    check_refused();
    check_random();
    check_format();

    return done_testing();
}
