
/*
 * How good forecasts are: on generated hourly series, and on those of real
 * requests, from places one after the other, each knowing only what was
 * before.  They have to beat the seasonal naive forecast, "as a season ago",
 * in both of the usual ways of comparing:
 *
 *     MASE      mean absolute error to that of the naive forecast of one
 *               season within the history (Hyndman and Koehler, 2006)
 *     relative  to that of the naive forecast of the same hours
 *
 * and the intervals of 95 % have to hold 90 to 99 % of what comes.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "tap.h"
#include "ngx_analytics_forecast.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>


#define DAY      24
#define WEEK     168
#define HOURS    (9 * WEEK)

#define PI       3.14159265358979323846


typedef struct {
    double  error;      /* sums: of absolute errors, */
    double  scale;      /* of what the naive forecast is wrong by before, */
    double  naive;      /* and for the same hours */
    double  within95;
    double  within80;
    double  n;
    double  fits;
    double  seasons[3];
} scores_t;


static uint64_t      seed;
static const size_t  seasons[] = { DAY, WEEK };


/* xorshift64* */
static double
rnd(void)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;

    return ((double) (seed * 0x2545f4914f6cdd1dull >> 11) + 0.5)
           / 9007199254740992.0;
}


static double
normal(void)
{
    return sqrt(-2 * log(rnd())) * cos(2 * PI * rnd());
}


/* events in an hour that are not counted on each other */
static double
poisson(double mean)
{
    double  n, p;

    if (mean > 500) {
        return floor(fmax(0, mean + sqrt(mean) * normal()) + 0.5);
    }

    p = rnd();

    for (n = 0; p > exp(-mean); n++) {
        p *= rnd();
    }

    return n;
}


/* what people do in an hour of a day, and on a day of a week */
static double
busy(size_t t)
{
    double  hour;

    static const double  days[] = { 1, 1.05, 1.03, 1.02, 0.95, 0.55, 0.6 };

    hour = (double) (t % DAY);

    return days[t / DAY % 7]
           * (0.25 + exp(-pow((hour - 11) / 3, 2))
              + 0.8 * exp(-pow((hour - 19) / 2.5, 2)));
}


static const char  *kinds[] = {
    "day, week, trend, noise",
    "day, trend, noise",
    "week, growth, noise that grows",
    "counts, many",
    "counts, few",
    "day, level that walks",
    "day, noise that lasts",
    "week, shift of the level",
    "day that changes",
    "no season, noise",
    "a sawtooth of a week, heavy tails"
};

#define KINDS  (sizeof(kinds) / sizeof(kinds[0]))


/* requests to a web site in May 2015, four days of them, by type */
static const char  *reals[] = {
    "requests", "bytes", "image", "asset", "page_view", "feed"
};

#define REAL        (sizeof(reals) / sizeof(reals[0]))
#define REAL_HOURS  82


static void
generate(size_t kind, double *y)
{
    size_t  t;
    double  walk, hour, day, shift, week;

    walk = 0;
    shift = rnd() * HOURS;

    for (t = 0; t < HOURS; t++) {
        hour = 2 * PI * (double) (t % DAY) / DAY;
        week = 2 * PI * (double) (t % WEEK) / WEEK;
        day = sin(hour) + 0.4 * cos(2 * hour);

        switch (kind) {

        case 0:
            y[t] = 100 + 0.03 * (double) t + 25 * day + 15 * sin(week)
                   + 8 * normal();
            break;

        case 1:
            y[t] = 500 - 0.1 * (double) t + 60 * day + 30 * normal();
            break;

        case 2:
            y[t] = 200 * busy(t) * exp(0.0006 * (double) t)
                   * exp(0.12 * normal());
            break;

        case 3:
            y[t] = poisson(400 * busy(t) * (1 + 0.0003 * (double) t));
            break;

        case 4:
            y[t] = poisson(3 * busy(t));
            break;

        case 5:
            walk += normal();
            y[t] = 200 + 4 * walk + 30 * day + 5 * normal();
            break;

        case 6:
            walk = 0.8 * walk + normal();
            y[t] = 100 + 6 * walk + 20 * day;
            break;

        case 7:
            y[t] = 300 * busy(t) + ((double) t > shift ? 80 : 0)
                   + 25 * normal();
            break;

        case 8:
            y[t] = 100 + (20 + 0.02 * (double) t) * sin(hour)
                   + (20 - 0.01 * (double) t) * cos(hour) + 6 * normal();
            break;

        case 9:
            y[t] = 50 + 5 * normal();
            break;

        default:
            walk = normal() * normal();
            y[t] = 100 + 0.3 * (double) (t % WEEK) + 5 * walk;
            break;
        }
    }
}


/* Asks for h hours behind the first n. */
static void
score(scores_t *s, const double *y, size_t n, size_t h)
{
    int                       counts;
    size_t                    i, m, needed;
    double                    mean, deviation, low, high, scale;
    ngx_analytics_forecast_t  f;

    m = (n >= 2 * WEEK) ? WEEK : DAY;
    scale = 0;
    counts = 1;

    for (i = 0; i < n; i++) {
        counts &= (y[i] >= 0);
    }

    for (i = m; i < n; i++) {
        scale += fabs(y[i] - y[i - m]) / (double) (n - m);
    }

    if (ngx_analytics_forecast_fit(&f, y, n, seasons, 2, &needed) != NGX_OK) {
        ok(0, "a forecast can be had of %zu hours", n);
        return;
    }

    s->fits++;
    s->seasons[f.season == WEEK ? 2 : f.season == DAY]++;

    for (i = 0; i < h; i++) {
        ngx_analytics_forecast_step(&f, i + 1, &mean, &deviation);

        low = mean - 1.959964 * deviation;
        high = mean + 1.959964 * deviation;

        /* as it is shown: counts are not below 0 */

        if (counts) {
            mean = fmax(mean, 0);
            low = fmax(low, 0);
            high = fmax(high, 0);
        }

        s->error += fabs(y[n + i] - mean);
        s->scale += scale;
        s->naive += fabs(y[n + i] - y[n + i % m - m]);
        s->within95 += (y[n + i] >= low && y[n + i] <= high);
        s->within80 += (fabs(y[n + i] - mean) <= 1.281552 * deviation);
        s->n++;
    }

    ngx_analytics_forecast_free(&f);
}


static void
told(const char *name, scores_t *s)
{
    diag("%-34s MASE %.2f  relative %.2f  95 %%: %.1f  80 %%: %.1f"
         "  no season %g, day %g, week %g", name, s->error / s->scale,
         s->error / s->naive, 100 * s->within95 / s->n,
         100 * s->within80 / s->n, s->seasons[0], s->seasons[1],
         s->seasons[2]);
}


/* Each kind counts by its hours, whatever its unit. */
static void
add(scores_t *all, scores_t *s)
{
    size_t  i;

    all->error += s->error / s->scale * s->n;
    all->naive += s->naive / s->scale * s->n;
    all->scale += s->n;
    all->within95 += s->within95;
    all->within80 += s->within80;
    all->n += s->n;
    all->fits += s->fits;

    for (i = 0; i < 3; i++) {
        all->seasons[i] += s->seasons[i];
    }
}


static void
judge(const char *name, scores_t *s)
{
    told(name, s);

    ok(s->error < s->scale, "%s: MASE is below 1", name);
    ok(s->error < s->naive, "%s: so is it to the naive forecast of the same "
       "hours", name);
    ok(s->within95 >= 0.9 * s->n && s->within95 <= 0.99 * s->n,
       "%s: the interval of 95 %% holds 90 to 99 %%", name);
}


static void
check_generated(size_t many)
{
    size_t         k, i, n;
    double         y[HOURS];
    clock_t        begun;
    scores_t       s, all;

    static const size_t  lengths[] = { 3 * WEEK, 5 * WEEK + 31, 8 * WEEK };

    memset(&all, 0, sizeof(all));
    begun = clock();

    for (k = 0; k < KINDS; k++) {
        memset(&s, 0, sizeof(s));

        for (i = 0; i < many; i++) {
            seed = 20251004 + 1000 * k + 7919 * i;

            for (n = 0; n < 20; n++) {
                (void) rnd();
            }

            generate(k, y);

            for (n = 0; n < 3; n++) {
                score(&s, y, lengths[n], WEEK);
            }
        }

        told(kinds[k], &s);
        add(&all, &s);
    }

    judge("generated", &all);

    diag("%.1f ms of a processor for each fit", (double) (clock() - begun)
         * 1000 / CLOCKS_PER_SEC / all.fits);
}


/* Hours from 11 o'clock on, the first whole one. */
static void
count(double real[REAL][REAL_HOURS], const char *line)
{
    int          hour;
    size_t       k;
    cJSON       *json, *bytes;
    const char  *at, *type;

    json = cJSON_Parse(line);

    at = cJSON_GetStringValue(cJSON_GetObjectItem(json, "timestamp"));
    type = cJSON_GetStringValue(cJSON_GetObjectItem(json, "action_type"));
    bytes = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "metadata"),
                                "bytes");

    hour = at ? (atoi(at + 8) - 17) * DAY + atoi(at + 11) - 11 : -1;

    if (hour >= 0 && hour < REAL_HOURS && type) {
        real[0][hour]++;
        real[1][hour] += cJSON_IsNumber(bytes) ? bytes->valuedouble : 0;

        for (k = 2; k < REAL; k++) {
            real[k][hour] += (strcmp(type, reals[k]) == 0);
        }
    }

    cJSON_Delete(json);
}


static void
check_real(void)
{
    FILE      *file;
    char       path[1024], line[65536];
    size_t     k, n;
    double     real[REAL][REAL_HOURS];
    scores_t   s, all;

    snprintf(path, sizeof(path), "%s/../shared/data/"
             "semicomplete-2015-05.ndjson",
             getenv("TOP") ? getenv("TOP") : ".");

    file = fopen(path, "r");

    if (file == NULL) {
        diag("the real data is not here: %s", path);
        return;
    }

    memset(real, 0, sizeof(real));
    memset(&all, 0, sizeof(all));

    while (fgets(line, sizeof(line), file)) {
        count(real, line);
    }

    fclose(file);

    for (k = 0; k < REAL; k++) {
        memset(&s, 0, sizeof(s));

        for (n = 2 * DAY; n < REAL_HOURS; n += 4) {
            score(&s, real[k], n, (REAL_HOURS - n < DAY) ? REAL_HOURS - n
                                                         : DAY);
        }

        told(reals[k], &s);
        add(&all, &s);
    }

    judge("real", &all);
}


int
main(void)
{
    check_generated(getenv("ANALYTICS_TORTURE") ? 60 : 4);
    check_real();

    return done_testing();
}
