
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_time.h"
#include "ngx_analytics_timezone.h"

#include <time.h>


#define NGX_ANALYTICS_ZONEINFO     "/usr/share/zoneinfo"

/* 2150-01-01T00:00:00Z */
#define NGX_ANALYTICS_OFFSETS_END  ((time_t) 5680281600)

/* no zone has changed its offset twice in so many seconds since 1970 */
#define NGX_ANALYTICS_OFFSETS_STEP  86400


static ngx_uint_t ngx_analytics_timezone_known(ngx_str_t *name);
static ngx_int_t ngx_analytics_timezone_probe(
    ngx_analytics_offset_t *offsets, ngx_uint_t *n);
static int32_t ngx_analytics_timezone_offset(time_t time);
static ngx_analytics_offset_t *ngx_analytics_timezone_at(
    ngx_analytics_timezone_t *tz, int64_t sec);


ngx_analytics_offset_t  ngx_analytics_utc_offset;

ngx_analytics_timezone_t  ngx_analytics_utc = {
    ngx_string("UTC"), &ngx_analytics_utc_offset, 1
};


ngx_int_t
ngx_analytics_timezone_load(ngx_analytics_timezone_t *tz,
    ngx_analytics_alloc_pt alloc, void *ctx)
{
    char                    *old, *saved;
    ngx_int_t                rc;
    ngx_uint_t               n;
    ngx_analytics_offset_t   offsets[NGX_ANALYTICS_OFFSETS_MAX];

    if (!ngx_analytics_timezone_known(&tz->name)) {
        return NGX_DECLINED;
    }

    /* what getenv() returns may be gone after setenv() */

    saved = NULL;
    old = getenv("TZ");

    if (old) {
        saved = strdup(old);

        if (saved == NULL) {
            return NGX_ERROR;
        }
    }

    n = 0;
    rc = NGX_ERROR;

    if (setenv("TZ", (char *) tz->name.data, 1) == 0) {
        tzset();
        rc = ngx_analytics_timezone_probe(offsets, &n);
    }

    if (saved) {
        (void) setenv("TZ", saved, 1);
        free(saved);

    } else {
        (void) unsetenv("TZ");
    }

    tzset();

    if (rc != NGX_OK) {
        return rc;
    }

    tz->offsets = alloc(ctx, n * sizeof(ngx_analytics_offset_t));

    if (tz->offsets == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(tz->offsets, offsets, n * sizeof(ngx_analytics_offset_t));
    tz->n = n;

    return ngx_analytics_timezone_init(tz);
}


/* The library takes a name that it does not know for UTC. */

static ngx_uint_t
ngx_analytics_timezone_known(ngx_str_t *name)
{
    int          fd;
    char         path[NGX_MAX_PATH], magic[4];
    u_char       c;
    ssize_t      len;
    ngx_uint_t   i;
    const char  *dir;

    if (name->len == 3 && ngx_strncmp(name->data, "UTC", 3) == 0) {
        return 1;
    }

    if (name->len == 0 || name->data[0] == '/') {
        return 0;
    }

    /* these count leap seconds, which no event's time does */

    if (name->len > 6 && ngx_strncmp(name->data, "right/", 6) == 0) {
        return 0;
    }

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
              || (c >= '0' && c <= '9')
              || c == '/' || c == '_' || c == '-' || c == '+'))
        {
            return 0;
        }
    }

    dir = getenv("TZDIR");

    if (dir == NULL) {
        dir = NGX_ANALYTICS_ZONEINFO;
    }

    i = (ngx_uint_t) snprintf(path, sizeof(path), "%s/%s", dir,
                              (char *) name->data);

    if (i >= sizeof(path)) {
        return 0;
    }

    fd = open(path, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        return 0;
    }

    len = read(fd, magic, sizeof(magic));

    (void) close(fd);

    return len == (ssize_t) sizeof(magic) && ngx_memcmp(magic, "TZif", 4) == 0;
}


static ngx_int_t
ngx_analytics_timezone_probe(ngx_analytics_offset_t *offsets, ngx_uint_t *n)
{
    time_t   time, last, low, high, middle;
    int32_t  offset;

    offset = ngx_analytics_timezone_offset(0);

    offsets[0].at = 0;
    offsets[0].offset = offset;
    *n = 1;

    last = 0;

    for (time = NGX_ANALYTICS_OFFSETS_STEP;
         time <= NGX_ANALYTICS_OFFSETS_END;
         time += NGX_ANALYTICS_OFFSETS_STEP)
    {
        if (ngx_analytics_timezone_offset(time) == offset) {
            last = time;
            continue;
        }

        if (*n == NGX_ANALYTICS_OFFSETS_MAX) {
            return NGX_ERROR;
        }

        low = last;
        high = time;

        while (high - low > 1) {
            middle = low + (high - low) / 2;

            if (ngx_analytics_timezone_offset(middle) == offset) {
                low = middle;

            } else {
                high = middle;
            }
        }

        offset = ngx_analytics_timezone_offset(high);

        offsets[*n].at = high;
        offsets[*n].offset = offset;
        (*n)++;

        last = high;
    }

    return NGX_OK;
}


static int32_t
ngx_analytics_timezone_offset(time_t time)
{
    struct tm  tm;

    if (localtime_r(&time, &tm) == NULL) {
        return 0;
    }

    return (int32_t) tm.tm_gmtoff;
}


/*
 * Where the offset changes an hour begins.  Where the clock was set back over
 * midnight, the day that has begun goes on.
 */
ngx_int_t
ngx_analytics_timezone_init(ngx_analytics_timezone_t *tz)
{
    int64_t                  last;
    ngx_uint_t               i;
    ngx_analytics_offset_t  *o;

    for (i = 0; i < tz->n; i++) {
        o = &tz->offsets[i];

        if (o->offset > NGX_ANALYTICS_OFFSET_MAX
            || o->offset < -NGX_ANALYTICS_OFFSET_MAX)
        {
            return NGX_ERROR;
        }

        if (i == 0) {

            /* numbers as in UTC, as far as that goes */

            o->hours = -ngx_analytics_floor_div(o->offset, 3600);
            o->day = INT64_MIN;
            continue;
        }

        if (o->at <= o[-1].at || o->at > NGX_ANALYTICS_OFFSETS_END) {
            return NGX_ERROR;
        }

        last = o->at - 1 + o[-1].offset;

        o->hours = ngx_analytics_floor_div(last, 3600) + o[-1].hours + 1
                   - ngx_analytics_floor_div(o->at + o->offset, 3600);

        o->day = ngx_max(ngx_analytics_floor_div(last, 86400), o[-1].day);
    }

    return NGX_OK;
}


/* The last interval that has begun. */

static ngx_analytics_offset_t *
ngx_analytics_timezone_at(ngx_analytics_timezone_t *tz, int64_t sec)
{
    ngx_uint_t  low, high, middle;

    low = 0;
    high = tz->n;

    while (high - low > 1) {
        middle = (low + high) / 2;

        if (tz->offsets[middle].at <= sec) {
            low = middle;

        } else {
            high = middle;
        }
    }

    return &tz->offsets[low];
}


int64_t
ngx_analytics_timezone_hour(ngx_analytics_timezone_t *tz, int64_t usec)
{
    int64_t                  sec;
    ngx_analytics_offset_t  *o;

    sec = ngx_analytics_floor_div(usec, NGX_ANALYTICS_SECOND);
    o = ngx_analytics_timezone_at(tz, sec);

    return ngx_analytics_floor_div(sec + o->offset, 3600) + o->hours;
}


int64_t
ngx_analytics_timezone_clock(ngx_analytics_timezone_t *tz, int64_t usec)
{
    int64_t  sec;

    sec = ngx_analytics_floor_div(usec, 1000000);

    return ngx_analytics_floor_div(
                  sec + ngx_analytics_timezone_at(tz, sec)->offset, 3600);
}


int64_t
ngx_analytics_timezone_hour_start(ngx_analytics_timezone_t *tz, int64_t hour)
{
    int64_t                  sec;
    ngx_uint_t               low, high, middle;
    ngx_analytics_offset_t  *o;

    /* the last interval whose first hour is not behind */

    low = 0;
    high = tz->n;

    while (high - low > 1) {
        middle = (low + high) / 2;
        o = &tz->offsets[middle];

        if (ngx_analytics_floor_div(o->at + o->offset, 3600) + o->hours
            <= hour)
        {
            low = middle;

        } else {
            high = middle;
        }
    }

    o = &tz->offsets[low];
    sec = (hour - o->hours) * 3600 - o->offset;

    if (low) {
        sec = ngx_max(sec, o->at);
    }

    return sec * NGX_ANALYTICS_SECOND;
}


int64_t
ngx_analytics_timezone_day(ngx_analytics_timezone_t *tz, int64_t usec)
{
    int64_t                  sec, day;
    ngx_analytics_offset_t  *o;

    sec = ngx_analytics_floor_div(usec, NGX_ANALYTICS_SECOND);
    o = ngx_analytics_timezone_at(tz, sec);

    day = ngx_analytics_floor_div(sec + o->offset, 86400);

    return ngx_max(day, o->day);
}


int64_t
ngx_analytics_timezone_day_start(ngx_analytics_timezone_t *tz, int64_t day)
{
    int64_t                  sec, start;
    ngx_uint_t               i;
    ngx_analytics_offset_t  *o, *next;

    /* the first interval at whose end the day has begun */

    sec = day * 86400;

    o = ngx_analytics_timezone_at(tz, sec - NGX_ANALYTICS_OFFSET_MAX);

    for (i = o - tz->offsets; /* void */ ; i++) {
        o = &tz->offsets[i];
        next = (i + 1 < tz->n) ? o + 1 : NULL;

        start = sec - o->offset;

        if (next == NULL || start < next->at) {
            break;
        }
    }

    if (i) {
        start = ngx_max(start, o->at);
    }

    return start * NGX_ANALYTICS_SECOND;
}
