
/*
 * Hours and days of time zones: they follow each other without a gap, begin
 * where the local clock says so, and are as many as there are; against what
 * the C library says of each instant.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "tap.h"
#include "ngx_analytics_time.h"
#include "ngx_analytics_timezone.h"

#include <time.h>


#define SECOND  NGX_ANALYTICS_SECOND
#define YEARS   ((int64_t) 180 * 365 * 86400)


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


static void *
take(void *ctx, size_t size)
{
    return malloc(size);
}


static ngx_int_t
load(ngx_analytics_timezone_t *tz, const char *name)
{
    tz->name.data = (u_char *) name;
    tz->name.len = strlen(name);

    return ngx_analytics_timezone_load(tz, take, NULL);
}


/* the library's local time, with days since the epoch */
static int64_t
local(int64_t sec, struct tm *tm)
{
    time_t     t = (time_t) sec;
    struct tm  day;

    localtime_r(&t, tm);

    day = *tm;
    day.tm_hour = day.tm_min = day.tm_sec = 0;
    day.tm_isdst = 0;

    return timegm(&day) / 86400;
}


/* Tells what is wrong with the hour and the day of an instant, or NULL. */

static const char *
wrong(ngx_analytics_timezone_t *tz, int64_t sec)
{
    int64_t    usec, hour, start, end, day, civil;
    struct tm  tm, before;

    usec = sec * SECOND + (int64_t) rnd(1000000);

    hour = ngx_analytics_timezone_hour(tz, usec);
    start = ngx_analytics_timezone_hour_start(tz, hour);
    end = ngx_analytics_timezone_hour_start(tz, hour + 1);

    if (usec < start || usec >= end) {
        return "the hour is another one";
    }

    if (ngx_analytics_timezone_hour(tz, start) != hour
        || ngx_analytics_timezone_hour(tz, end - 1) != hour
        || ngx_analytics_timezone_hour(tz, end) != hour + 1)
    {
        return "hours do not follow each other";
    }

    if (end - start > 3600 * SECOND) {
        return "the hour is too long";
    }

    local(start / SECOND, &tm);
    local(start / SECOND - 1, &before);

    if ((tm.tm_min || tm.tm_sec) && tm.tm_gmtoff == before.tm_gmtoff) {
        return "the hour does not begin on the hour";
    }

    day = ngx_analytics_timezone_day(tz, usec);
    civil = local(sec, &tm);

    if (day != civil) {

        /* set back over midnight a moment ago */

        if (day != civil + 1 || tm.tm_hour < 22
            || local(sec - 7200, &before) != civil
            || before.tm_gmtoff == tm.tm_gmtoff)
        {
            return "the day is another one";
        }
    }

    local(sec, &tm);

    if (ngx_analytics_timezone_clock(tz, usec) != civil * 24 + tm.tm_hour) {
        return "the clock shows another hour";
    }

    start = ngx_analytics_timezone_day_start(tz, day);
    end = ngx_analytics_timezone_day_start(tz, day + 1);

    if (usec < start || usec >= end) {
        return "the day does not hold it";
    }

    if (ngx_analytics_timezone_hour_start(tz,
                                  ngx_analytics_timezone_hour(tz, start))
        != start)
    {
        return "a day begins within an hour";
    }

    return NULL;
}


static void
check_zone(const char *name)
{
    int64_t                    sec, worst;
    ngx_uint_t                 i, k, bad;
    const char                *why, *what;
    ngx_analytics_timezone_t   tz;

    if (load(&tz, name) != NGX_OK) {
        ok(0, "%s is known", name);
        return;
    }

    setenv("TZ", name, 1);
    tzset();

    bad = 0;
    what = NULL;
    worst = 0;

    for (i = 0; i < 40000; i++) {

        sec = (int64_t) rnd(YEARS);

        if (i % 2 && tz.n > 1) {

            /* near to where the offset changes */

            k = 1 + rnd(tz.n - 1);
            sec = tz.offsets[k].at - 7200 + (int64_t) rnd(14400);
        }

        why = wrong(&tz, sec);

        if (why) {
            bad++;
            what = why;
            worst = sec;
        }
    }

    ok(bad == 0, "%s, %lu changes: hours and days are the clock's%s%s",
         name, (unsigned long) tz.n - 1, what ? ": " : "", what ? what : "");

    if (bad) {
        printf("# %lu, last at %lld\n", (unsigned long) bad,
               (long long) worst);
    }

    unsetenv("TZ");
    tzset();

    free(tz.offsets);
}


static int64_t
hours_of(ngx_analytics_timezone_t *tz, const char *date)
{
    int64_t    day, first, last;
    ngx_str_t  text;

    text.data = (u_char *) date;
    text.len = strlen(date);

    if (ngx_analytics_date_parse(&text, &day) != NGX_OK) {
        return -1;
    }

    first = ngx_analytics_timezone_hour(tz,
                                  ngx_analytics_timezone_day_start(tz, day));
    last = ngx_analytics_timezone_hour(tz,
                              ngx_analytics_timezone_day_start(tz, day + 1));

    return last - first;
}


static void
check_days(void)
{
    size_t                     i;
    ngx_analytics_timezone_t   tz;
    static const struct {
        const char            *zone;
        const char            *date;
        int64_t                hours;
    } days[] = {
        { "UTC", "2026-03-29", 24 },
        { "Europe/Berlin", "2026-03-28", 24 },
        { "Europe/Berlin", "2026-03-29", 23 },
        { "Europe/Berlin", "2026-10-25", 25 },
        { "America/New_York", "2026-03-08", 23 },
        { "America/New_York", "2026-11-01", 25 },
        { "Asia/Kolkata", "2026-03-29", 24 },
        { "America/Sao_Paulo", "2018-11-04", 23 },   /* from 00:00 on */
        { "America/Sao_Paulo", "2018-02-17", 25 },
        { "Pacific/Apia", "2011-12-29", 24 },
        { "Pacific/Apia", "2011-12-30", 0 },         /* there was none */
        { "Australia/Lord_Howe", "2026-04-05", 25 }, /* the last is half */
        { "Europe/Berlin", "2100-10-31", 25 }
    };

    for (i = 0; i < sizeof(days) / sizeof(days[0]); i++) {

        if (load(&tz, days[i].zone) != NGX_OK) {
            ok(0, "%s is known", days[i].zone);
            continue;
        }

        ok(hours_of(&tz, days[i].date) == days[i].hours,
             "%s has %lld hours in %s, not %lld", days[i].date,
             (long long) days[i].hours, days[i].zone,
             (long long) hours_of(&tz, days[i].date));

        free(tz.offsets);
    }
}


static void
check_names(void)
{
    size_t                     i;
    ngx_analytics_timezone_t   tz;
    static const char  *names[] = {
        "", "Europe", "Europe/Atlantis", "../etc/passwd", "/etc/localtime",
        ":UTC", "Europe/Berlin\n", "CET-1CEST", "zone.tab", "a b"
    };

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        is_i64(load(&tz, names[i]), NGX_DECLINED, "\"%s\" is no time zone",
               names[i]);
    }
}


static void
check_environment(void)
{
    ngx_analytics_timezone_t  tz;

    setenv("TZ", "Asia/Tokyo", 1);

    ok(load(&tz, "Europe/Berlin") == NGX_OK
         && strcmp(getenv("TZ"), "Asia/Tokyo") == 0,
         "the process's own zone is what it was");
    free(tz.offsets);

    unsetenv("TZ");

    ok(load(&tz, "Europe/Berlin") == NGX_OK && getenv("TZ") == NULL,
         "and none if there was none");
    free(tz.offsets);
}


static void
check_init(void)
{
    ngx_analytics_offset_t    offsets[2];
    ngx_analytics_timezone_t  tz;

    ngx_memzero(offsets, sizeof(offsets));

    tz.offsets = offsets;
    tz.n = 2;

    is_i64(ngx_analytics_timezone_init(&tz), NGX_ERROR,
           "times that do not go up are refused");

    offsets[1].at = INT64_MAX;
    is_i64(ngx_analytics_timezone_init(&tz), NGX_ERROR,
           "and those too far ahead");

    offsets[1].at = 1000;
    offsets[1].offset = 27 * 3600;
    is_i64(ngx_analytics_timezone_init(&tz), NGX_ERROR,
           "and offsets that nobody has");
}


int
main(void)
{
    check_zone("UTC");
    check_zone("Europe/Berlin");
    check_zone("America/New_York");
    check_zone("Asia/Kolkata");
    check_zone("Asia/Kathmandu");
    check_zone("Asia/Pyongyang");
    check_zone("Australia/Lord_Howe");
    check_zone("America/St_Johns");
    check_zone("America/Sao_Paulo");
    check_zone("Pacific/Apia");
    check_zone("Africa/Casablanca");
    check_days();
    check_names();
    check_environment();
    check_init();

    return done_testing();
}
