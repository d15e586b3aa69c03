
/*
 * Alerts: their states are what Prometheus's documentation says, nobody is
 * told twice of a change or more often than is agreed, and the file keeps all
 * of it.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <stdlib.h>
#include <unistd.h>
#include <fcntl.h>
#include "tap.h"
#include "ngx_analytics_alerts.h"


#define SECOND    ((int64_t) 1000000)
#define START     (1764000000 * SECOND)
#define DAY       (86400 * SECOND)

#define NO        NGX_ANALYTICS_ALERT_NO
#define YES       NGX_ANALYTICS_ALERT_YES
#define UNKNOWN   NGX_ANALYTICS_ALERT_UNKNOWN


/* One look: when, what is seen, what it is then, and what is told. */
typedef struct {
    int64_t      at;         /* seconds since the start */
    ngx_uint_t   holds;
    const char  *state;
    int64_t      since;
    const char  *told;       /* "f", "r" or "" */
    ngx_uint_t   skipped;
} look_t;


typedef struct {
    const char                  *name;
    ngx_analytics_alert_rule_t   rule;
    look_t                       looks[16];
} case_t;


static case_t  cases[] = {

    { "no \"for\": it fires at once, and is resolved at once",
      { 0, 0, 0, 1, 0 },
      { { 0, NO, "inactive", 0, "", 0 },
        { 60, YES, "firing", 60, "f", 0 },
        { 120, YES, "firing", 60, "", 0 },
        { 180, NO, "resolved", 180, "r", 0 },
        { 240, NO, "resolved", 180, "", 0 },
        { 300, YES, "firing", 300, "f", 0 } } },

    { "with \"for\" it is pending first, as long as that",
      { 300 * SECOND, 0, 0, 1, 0 },
      { { 0, YES, "pending", 0, "", 0 },
        { 60, YES, "pending", 0, "", 0 },
        { 299, YES, "pending", 0, "", 0 },
        { 300, YES, "firing", 300, "f", 0 },
        { 360, NO, "resolved", 360, "r", 0 } } },

    { "a pending one that holds no more is inactive, and nobody hears",
      { 300 * SECOND, 0, 0, 1, 0 },
      { { 0, YES, "pending", 0, "", 0 },
        { 240, NO, "inactive", 240, "", 0 },
        { 300, YES, "pending", 300, "", 0 },
        { 540, YES, "pending", 300, "", 0 },
        { 600, YES, "firing", 600, "f", 0 } } },

    { "a resolved one is shown for 15 minutes",
      { 0, 0, 0, 1, 0 },
      { { 0, YES, "firing", 0, "f", 0 },
        { 10, NO, "resolved", 10, "r", 0 },
        { 909, NO, "resolved", 10, "", 0 },
        { 910, NO, "inactive", 910, "", 0 } } },

    { "a resolved one becomes pending again",
      { 60 * SECOND, 0, 0, 1, 0 },
      { { 0, YES, "pending", 0, "", 0 },
        { 60, YES, "firing", 60, "f", 0 },
        { 120, NO, "resolved", 120, "r", 0 },
        { 180, YES, "pending", 180, "", 0 },
        { 240, YES, "firing", 240, "f", 0 } } },

    { "what could not be looked at changes nothing",
      { 60 * SECOND, 0, 0, 1, 0 },
      { { 0, UNKNOWN, "inactive", 0, "", 0 },
        { 10, YES, "pending", 10, "", 0 },
        { 80, UNKNOWN, "pending", 10, "", 0 },
        { 90, YES, "firing", 90, "f", 0 },
        { 100, UNKNOWN, "firing", 90, "", 0 },
        { 110, NO, "resolved", 110, "r", 0 },
        { 5000, UNKNOWN, "resolved", 110, "", 0 } } },

    { "what was not looked at for long has not held meanwhile",
      { 300 * SECOND, 0, 0, 1, 130 * SECOND },
      { { 0, YES, "pending", 0, "", 0 },
        { 60, YES, "pending", 0, "", 0 },
        { 400, YES, "pending", 400, "", 0 },
        { 530, UNKNOWN, "pending", 400, "", 0 },
        { 650, YES, "pending", 400, "", 0 },
        { 700, YES, "firing", 700, "f", 0 },
        { 5000, YES, "firing", 700, "", 0 } } },

    { "reminders are that far apart, and only while it fires",
      { 0, 3600 * SECOND, 0, 1, 0 },
      { { 0, YES, "firing", 0, "f", 0 },
        { 3599, YES, "firing", 0, "", 0 },
        { 3600, YES, "firing", 0, "f", 0 },
        { 7199, YES, "firing", 0, "", 0 },
        { 7200, YES, "firing", 0, "f", 0 },
        { 7260, NO, "resolved", 7260, "r", 0 },
        { 90000, NO, "inactive", 90000, "", 0 } } },

    { "a change that comes too soon waits",
      { 0, 0, 300 * SECOND, 1, 0 },
      { { 0, YES, "firing", 0, "f", 0 },
        { 60, NO, "resolved", 60, "", 0 },
        { 299, NO, "resolved", 60, "", 0 },
        { 300, NO, "resolved", 60, "r", 0 },
        { 360, YES, "firing", 360, "", 0 },
        { 600, YES, "firing", 360, "f", 0 } } },

    { "flapping is told of as often as is agreed, by what it is then",
      { 0, 0, 300 * SECOND, 1, 0 },
      { { 0, YES, "firing", 0, "f", 0 },
        { 60, NO, "resolved", 60, "", 0 },
        { 120, YES, "firing", 120, "", 0 },
        { 180, NO, "resolved", 180, "", 0 },
        { 240, YES, "firing", 240, "", 0 },
        { 300, YES, "firing", 240, "", 0 },
        { 360, NO, "resolved", 360, "r", 4 } } },

    { "what was left out is counted in a reminder, too",
      { 0, 600 * SECOND, 300 * SECOND, 1, 0 },
      { { 0, YES, "firing", 0, "f", 0 },
        { 60, NO, "resolved", 60, "", 0 },
        { 120, YES, "firing", 120, "", 0 },
        { 600, YES, "firing", 120, "f", 2 },
        { 1200, YES, "firing", 120, "f", 0 } } },

    { "one that was resolved too soon to be told is told, though pending",
      { 60 * SECOND, 0, 300 * SECOND, 1, 0 },
      { { 0, YES, "pending", 0, "", 0 },
        { 60, YES, "firing", 60, "f", 0 },
        { 120, NO, "resolved", 120, "", 0 },
        { 350, YES, "pending", 350, "", 0 },
        { 360, YES, "pending", 350, "r", 0 },
        { 410, YES, "firing", 410, "", 0 },
        { 660, YES, "firing", 410, "f", 0 } } },

    { "without a webhook there are states and nothing is told",
      { 0, 60 * SECOND, 0, 0, 0 },
      { { 0, YES, "firing", 0, "", 0 },
        { 60, YES, "firing", 0, "", 0 },
        { 120, NO, "resolved", 120, "", 0 } } },

    { "a clock that is set back does not stop it",
      { 60 * SECOND, 600 * SECOND, 0, 1, 0 },
      { { 10000, YES, "pending", 10000, "", 0 },
        { 5000, YES, "pending", 5000, "", 0 },
        { 5060, YES, "firing", 5060, "f", 0 },
        { 1000, YES, "firing", 1000, "", 0 },
        { 1600, YES, "firing", 1000, "f", 0 } } }
};


static void
check_case(case_t *c)
{
    int                    good;
    look_t                *look;
    ngx_uint_t             told, skipped;
    const char            *letter;
    ngx_analytics_alert_t  a;

    memset(&a, 0, sizeof(a));

    good = 1;

    for (look = c->looks; look->state; look++) {
        told = ngx_analytics_alert_step(&a, &c->rule, look->holds,
                                        START + look->at * SECOND, &skipped);

        letter = (told == NGX_ANALYTICS_NOTICE_FIRING) ? "f"
                 : (told == NGX_ANALYTICS_NOTICE_RESOLVED) ? "r" : "";

        if (strcmp(ngx_analytics_alert_state(a.state), look->state) != 0
            || strcmp(letter, look->told) != 0
            || skipped != look->skipped
            || (a.since && a.since != START + look->since * SECOND))
        {
            diag("at %lld: %s since %lld, told \"%s\", skipped %lu",
                 (long long) look->at, ngx_analytics_alert_state(a.state),
                 (long long) ((a.since - START) / SECOND), letter,
                 (unsigned long) skipped);
            good = 0;
        }
    }

    ok(good, "%s", c->name);
}


/*
 * Whatever happens: notices are never closer than the gap, and what is told
 * last is so as soon as it may be told.
 */

static void
check_random(void)
{
    int                         good;
    int64_t                     now, last;
    unsigned                    i, seed;
    ngx_uint_t                  told, what, skipped;
    ngx_analytics_alert_t       a;
    ngx_analytics_alert_rule_t  rule;

    good = 1;

    for (seed = 1; seed <= 200; seed++) {
        srand(seed);
        memset(&a, 0, sizeof(a));

        rule.hold = rand() % 3 * 60 * SECOND;
        rule.repeat = rand() % 3 * 600 * SECOND;
        rule.gap = rand() % 4 * 100 * SECOND;
        rule.told = 1;
        rule.pause = rand() % 2 * 60 * SECOND;

        now = START;
        last = 0;
        what = NGX_ANALYTICS_NOTICE_NONE;

        for (i = 0; i < 500; i++) {
            now += (1 + rand() % 90) * SECOND;

            told = ngx_analytics_alert_step(&a, &rule, rand() % 3, now,
                                            &skipped);

            if (told != NGX_ANALYTICS_NOTICE_NONE) {

                if (last && now - last < rule.gap) {
                    diag("seed %u: too soon", seed);
                    good = 0;
                }

                if (told == what
                    && (told == NGX_ANALYTICS_NOTICE_RESOLVED
                        || rule.repeat == 0 || now - last < rule.repeat))
                {
                    diag("seed %u: told twice", seed);
                    good = 0;
                }

                what = told;
                last = now;
            }

            if ((last == 0 || now - last >= rule.gap)
                && (a.state == NGX_ANALYTICS_ALERT_IS_FIRING)
                   != (what == NGX_ANALYTICS_NOTICE_FIRING))
            {
                diag("seed %u: not told", seed);
                good = 0;
            }
        }
    }

    ok(good, "nobody is told too often, twice, or not at all");
}


static void
check_queue(void)
{
    char                    id[NGX_ANALYTICS_NOTICE_ID + 1];
    ngx_uint_t              i, dropped;
    ngx_analytics_alert_t   a;

    memset(&a, 0, sizeof(a));

    dropped = 0;

    for (i = 0; i < NGX_ANALYTICS_NOTICES_MAX + 3; i++) {
        snprintf(id, sizeof(id), "%032lx", (unsigned long) i);
        dropped += ngx_analytics_alert_push(&a, id, START, strdup(id));
    }

    is_u64(dropped, 3, "too many notices drop the oldest");
    is_u64(a.n, NGX_ANALYTICS_NOTICES_MAX, "and keep the others");
    is_str(a.notices[0].body + 30, 2, "00",
           "the first may be on its way, and stays");

    ngx_analytics_alert_shift(&a);

    is_str(a.notices[0].id + 30, 2, "04", "those behind it go, in order");

    ngx_analytics_alerts_clear(&a, 1);
    is_u64(a.n, 0, "until none is left");
}


static void
put(int dir, const char *text, size_t len)
{
    int  fd;

    fd = openat(dir, NGX_ANALYTICS_ALERTS, O_WRONLY|O_CREAT|O_TRUNC, 0600);

    if (write(fd, text, len) != (ssize_t) len) {
        diag("write() failed");
    }

    close(fd);
}


static void
check_file(void)
{
    int                     dir, fd, rc, good;
    char                    path[] = "/tmp/alerts.XXXXXX", *text;
    ssize_t                 len, cut;
    ngx_uint_t              i, n;
    ngx_analytics_fail_t    fail;
    ngx_analytics_alert_t  *read, *a;

    if (mkdtemp(path) == NULL) {
        diag("mkdtemp() failed");
        exit(2);
    }

    dir = open(path, O_RDONLY|O_DIRECTORY);

    is_i64(ngx_analytics_alerts_read(dir, path, &read, &n, &fail),
           NGX_DECLINED, "there is no file at first");

    a = calloc(2, sizeof(ngx_analytics_alert_t));
    text = malloc(65536);

    strcpy(a[0].name, "one");
    a[0].state = NGX_ANALYTICS_ALERT_IS_FIRING;
    a[0].since = START + 123456;
    a[0].active = START + 123455;
    a[0].told = NGX_ANALYTICS_NOTICE_FIRING;
    a[0].told_at = START + 7;
    a[0].skipped = 5;
    a[0].evaluated = START + DAY + 1;
    a[0].valued = 1;
    a[0].value = 1234.5678;
    a[0].delivered = START + 8;
    strcpy(a[0].error, "an \"error\"");
    ngx_analytics_alert_push(&a[0], "00112233445566778899aabbccddeeff",
                             START + 9, strdup("{\"a\":\"\\u00e9\\n\"}"));
    ngx_analytics_alert_push(&a[0], "ff112233445566778899aabbccddeeff",
                             START + 10, strdup("{}"));

    strcpy(a[1].name, "two");
    strcpy(a[1].reason, "why");

    is_i64(ngx_analytics_alerts_write(dir, path, a, 2, &fail), NGX_OK,
           "it is written");
    is_i64(ngx_analytics_alerts_read(dir, path, &read, &n, &fail), NGX_OK,
           "and read");
    is_u64(n, 2, "with all alerts");

    ok(read && read[0].state == a[0].state && read[0].since == a[0].since
       && read[0].active == a[0].active && read[0].told == a[0].told
       && read[0].told_at == a[0].told_at && read[0].skipped == 5
       && read[0].evaluated == a[0].evaluated && read[0].valued
       && read[0].value == a[0].value && read[0].delivered == a[0].delivered
       && strcmp(read[0].error, a[0].error) == 0, "with their states");

    ok(read && read[0].n == 2 && read[0].notices[0].at == START + 9
       && strcmp(read[0].notices[0].id, a[0].notices[0].id) == 0
       && strcmp(read[0].notices[0].body, a[0].notices[0].body) == 0
       && strcmp(read[0].notices[1].body, "{}") == 0, "and their notices");

    ok(read && !read[1].valued && strcmp(read[1].reason, "why") == 0
       && read[1].n == 0, "or without");

    ngx_analytics_alerts_clear(read, n);
    free(read);

    /* cut anywhere, and with any byte changed to one that breaks it */

    fd = openat(dir, NGX_ANALYTICS_ALERTS, O_RDONLY);
    len = pread(fd, text, 65536, 0);
    close(fd);

    good = 1;

    for (cut = 0; cut < len; cut++) {
        put(dir, text, (size_t) cut);
        rc = (int) ngx_analytics_alerts_read(dir, path, &read, &n, &fail);

        if (rc != NGX_ABORT || read || n) {
            diag("%zd of %zd bytes: %d", cut, len, rc);
            good = 0;
        }
    }

    ok(good, "a file that was cut anywhere is damaged");

    for (i = 0; i < (ngx_uint_t) len; i++) {
        put(dir, text, (size_t) len);

        fd = openat(dir, NGX_ANALYTICS_ALERTS, O_RDWR);

        if (pwrite(fd, "\"}\0\xff""9e"+ i % 6, 1, (off_t) i) != 1) {
            diag("pwrite() failed");
        }

        close(fd);

        if (ngx_analytics_alerts_read(dir, path, &read, &n, &fail) == NGX_OK) {
            ngx_analytics_alerts_clear(read, n);
            free(read);
        }
    }

    ok(1, "any byte may be another one: nothing is read beyond");

    ngx_analytics_alerts_clear(a, 2);
    free(a);
    free(text);

    unlinkat(dir, NGX_ANALYTICS_ALERTS, 0);
    close(dir);
    rmdir(path);
}


int
main(void)
{
    size_t  i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_case(&cases[i]);
    }

    check_random();
    check_queue();
    check_file();

    return done_testing();
}
