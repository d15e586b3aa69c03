
/*
 * The usage summary against a slow model, which counts names by comparing
 * each with each, and time by its text.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <time.h>
#include "tap.h"
#include "events.h"


#define MAX     (1 << 20)
#define LISTS   600
#define EVENTS  200

#define count(a)  (sizeof(a) / sizeof((a)[0]))

#define MESSAGE  "{\"message\":\"Usage summary generated successfully\","


static uint64_t  seed = 20251004;
static char      body[MAX];

/* bytes order them, not letters: capitals first, what is longer later */
static const char *const  pool[] = {
    "a", "ab", "abc", "b", "B", "Zz", "a ", "a0", "user_1", "user_10",
    "user_2", "\xc3\xa9", "\xc3\xa9\xc3\xa9", "\xf0\x9f\x98\x80",
    "\xef\xbf\xbf", "~", "0", "00", "-1"
};

static ngx_analytics_format_t  usage = {
    .name = ngx_string("usage"),
    .user = ngx_string("user_id"),
    .type = ngx_string("action_type"),
    .time = ngx_string("timestamp"),
    .properties = ngx_string("metadata")
};


/* xorshift64* */
static uint64_t
rnd(uint64_t n)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;

    return (seed * 0x2545f4914f6cdd1dull >> 20) % n;
}


/* The model: events as texts. */

typedef struct {
    const char    *user;
    const char    *type;
    char           second[32];
    char           hour[32];
    int            hour_of_day;
} model_event_t;


static ngx_uint_t     model_n;
static model_event_t  model[EVENTS];


/* A list of n events of few users, types and times. */
static size_t
build_list(void)
{
    char        *p, now[40];
    time_t       t, base;
    ngx_uint_t   i, users, types, span;
    struct tm    tm;

    static const ngx_uint_t  spans[] = { 1, 3, 60, 7200, 86400, 31536000 };

    model_n = rnd(4) ? rnd(EVENTS) : rnd(5);
    users = 1 + rnd(count(pool));
    types = 1 + rnd(count(pool));
    base = (time_t) rnd(1700000000);
    span = spans[rnd(count(spans))];

    p = body;
    *p++ = '[';

    for (i = 0; i < model_n; i++) {
        model[i].user = pool[rnd(users)];
        model[i].type = pool[rnd(types)];

        t = rnd(20) ? base + (time_t) rnd(span) : EVENTS_NOW / 1000000;
        gmtime_r(&t, &tm);

        strftime(model[i].second, 32, "%Y-%m-%dT%H:%M:%S", &tm);
        strftime(model[i].hour, 32, "%Y-%m-%dT%H", &tm);
        model[i].hour_of_day = tm.tm_hour;

        now[0] = '\0';

        if (t != EVENTS_NOW / 1000000) {
            sprintf(now, ",\"timestamp\":\"%.19s.%03uZ\"", model[i].second,
                    (unsigned) rnd(1000));
        }

        p += sprintf(p, "%s{\"action_type\":\"%s\"%s,\"user_id\":\"%s\"}",
                     i ? "," : "", model[i].type, now, model[i].user);
    }

    *p++ = ']';

    return p - body;
}


/* How often the text at this offset of an event stands in all of them. */
static ngx_uint_t
model_count(size_t offset, int pointer, const char *name)
{
    void        *p;
    ngx_uint_t   i, n;

    n = 0;

    for (i = 0; i < model_n; i++) {
        p = (char *) &model[i] + offset;
        n += (strcmp(pointer ? *(char **) p : (char *) p, name) == 0);
    }

    return n;
}


/* The most frequent text, of equals the first one by bytes. */
static const char *
model_most(size_t offset, int pointer)
{
    void        *p;
    ngx_uint_t   i, n, most;
    const char  *name, *best;

    best = "";
    most = 0;

    for (i = 0; i < model_n; i++) {
        p = (char *) &model[i] + offset;
        name = pointer ? *(char **) p : (char *) p;
        n = model_count(offset, pointer, name);

        if (n > most || (n == most && strcmp(name, best) < 0)) {
            most = n;
            best = name;
        }
    }

    return best;
}


static int
names_cmp(const void *one, const void *two)
{
    return strcmp(*(char *const *) one, *(char *const *) two);
}


/* "users" or "types" of the summary, each name once. */
static char *
model_names(char *p, size_t offset, int counts, ngx_uint_t *distinct)
{
    ngx_uint_t   i;
    const char  *sorted[count(pool)];

    memcpy(sorted, pool, sizeof(pool));
    qsort(sorted, count(pool), sizeof(char *), names_cmp);

    *distinct = 0;

    for (i = 0; i < count(pool); i++) {

        if (model_count(offset, 1, sorted[i]) == 0) {
            continue;
        }

        p += sprintf(p, "%s\"%s\"", (*distinct)++ ? "," : "", sorted[i]);

        if (counts) {
            p += sprintf(p, ":%u",
                         (unsigned) model_count(offset, 1, sorted[i]));
        }
    }

    *p = '\0';

    return p;
}


/* "2025-09-23T09" and an hour, which may be in the next year. */
static void
model_end(const char *hour, char *end)
{
    time_t     t;
    struct tm  tm;

    memset(&tm, 0, sizeof(tm));
    sscanf(hour, "%d-%d-%dT%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
           &tm.tm_hour);

    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    tm.tm_hour += 1;

    t = timegm(&tm);
    gmtime_r(&t, &tm);

    strftime(end, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}


static char *
model_peaks(char *p)
{
    char         end[32];
    ngx_uint_t   i, h, n, hour, most;
    const char  *name;

    name = model_most(offsetof(model_event_t, user), 1);
    p += sprintf(p, "\"most_active_user\":{\"value\":\"%s\",\"count\":%u},",
                 name, (unsigned) model_count(offsetof(model_event_t, user),
                                              1, name));

    name = model_most(offsetof(model_event_t, second), 0);
    p += sprintf(p, "\"peak_activity_time\":{\"value\":\"%sZ\",\"count\":%u},",
                 name, (unsigned) model_count(offsetof(model_event_t, second),
                                              0, name));

    hour = 0;
    most = 0;

    for (h = 0; h < 24; h++) {
        for (i = 0, n = 0; i < model_n; i++) {
            n += (model[i].hour_of_day == (int) h);
        }

        if (n > most) {
            hour = h;
            most = n;
        }
    }

    p += sprintf(p, "\"peak_activity_hour\":{\"value\":%u,\"count\":%u},",
                 (unsigned) hour, (unsigned) most);

    name = model_most(offsetof(model_event_t, hour), 0);
    model_end(name, end);

    return p + sprintf(p, "\"peak_activity_window\":{\"start\":\"%s:00:00Z\","
                       "\"end\":\"%s\",\"count\":%u}}", name, end,
                       (unsigned) model_count(offsetof(model_event_t, hour),
                                              0, name));
}


static void
model_text(char *p)
{
    char        names[1024], types[1024];
    ngx_uint_t  users, n;

    model_names(names, offsetof(model_event_t, user), 0, &users);
    model_names(types, offsetof(model_event_t, type), 1, &n);

    p += sprintf(p, MESSAGE "\"total_events\":%u,\"total_unique_users\":%u,"
                 "\"unique_users\":[%s],\"action_wise_counts\":{%s},",
                 (unsigned) model_n, (unsigned) users, names, types);

    if (model_n) {
        model_peaks(p);

    } else {
        strcpy(p, "\"most_active_user\":null,\"peak_activity_time\":null,"
                  "\"peak_activity_hour\":null,"
                  "\"peak_activity_window\":null}");
    }
}


static void
check_random(void)
{
    char                     *text;
    size_t                    len;
    decoded_t                 r;
    ngx_uint_t                i, wrong;
    ngx_analytics_summary_t   s;
    static char               expected[8192];

    wrong = 0;

    for (i = 0; i < LISTS; i++) {
        len = build_list();
        model_text(expected);

        text = summary_text(&r, &usage, body, len, &s);

        if (text == NULL || strcmp(text, expected) != 0) {
            if (wrong++ == 0) {
                diag("     got: %s", text ? text : "nothing");
                diag("expected: %s", expected);
            }
        }

        decoded_free(&r);
    }

    is_u64(wrong, 0, "%u random lists as a slow model has them", LISTS);
}


int
main(void)
{
    check_random();

    return done_testing();
}
