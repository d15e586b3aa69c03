
/*
 * Counts by period: each period that is over is counted once, whoever was
 * erased.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "log_lib.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_periods.h"
#include "ngx_analytics_store.h"


#define PERIOD  ((int64_t) 10000000)    /* usec */
#define AT(n)   (LOG_NOW + (n) * (PERIOD / 10))


static ngx_analytics_log_t  the_log;


/* Somebody does something at a time. */

static void
event(const char *user, int64_t at)
{
    u_char                  buf[512], *p;
    size_t                  len;
    int64_t                 received;
    uint64_t                seq;
    uint32_t                crc;
    ngx_analytics_fail_t    fail;
    ngx_analytics_event_t   e;

    ngx_memzero(&e, sizeof(e));

    e.user.data = (u_char *) user;
    e.user.len = strlen(user);
    ngx_str_set(&e.type, "something");
    ngx_str_set(&e.properties, "{\"n\":1}");
    e.time = NGX_ANALYTICS_TIME_NONE;

    must(ngx_analytics_log_lock(&the_log) == NGX_OK);

    ngx_analytics_log_next(&the_log, at, &seq, &received);
    p = ngx_analytics_record_event_write(buf + NGX_ANALYTICS_RECORD_HEADER,
                                         &e, NULL);
    len = ngx_analytics_record_pad(buf, p, &crc);
    ngx_analytics_record_finish(buf, len, crc, p, seq, received, 1);

    must(ngx_analytics_log_append(&the_log, buf, len, 1, &fail) == NGX_OK);

    ngx_analytics_log_unlock(&the_log);
}


static void
begin(void)
{
    ngx_analytics_fail_t  fail;

    if (the_log.control) {
        ngx_analytics_db_purge(the_log.path);
        ngx_analytics_log_close(&the_log);
    }

    log_fresh();
    log_config(&the_log, 0);

    must(ngx_analytics_log_attach(&the_log, &fail) == NGX_OK);
}


/* Counts what is over by then.  Returns how many files were written. */

static ngx_uint_t
count(int64_t now)
{
    ngx_int_t                      rc;
    ngx_uint_t                     n;
    ngx_analytics_fail_t           fail;
    ngx_analytics_periods_conf_t   conf;

    ngx_memzero(&conf, sizeof(conf));

    conf.dir = the_log.dir;
    conf.path = the_log.path;
    conf.key = the_log.control->key;
    conf.tail = ngx_analytics_log_position(&the_log);
    conf.period = PERIOD;
    conf.now = now;

    for (n = 0; n < 100; n++) {
        fail.text[0] = '\0';
        rc = ngx_analytics_periods_step(&conf, &fail);

        if (rc != NGX_OK) {
            break;
        }
    }

    is_i64(rc, NGX_DONE, "all that is over is counted %s", fail.text);
    is_i64(conf.next, (now / PERIOD + 1) * PERIOD,
           "and the next is so when it is over");

    return n;
}


/* Whether that is all there is: "PERIOD:USER=COUNT ...". */

static void
counted(const char *expected, const char *name)
{
    char                          *p, text[4096];
    uint64_t                       n;
    ngx_int_t                      rc;
    ngx_str_t                      user;
    ngx_analytics_fail_t           fail;
    ngx_analytics_period_t         period;
    ngx_analytics_periods_read_t   read;

    ngx_memzero(&read, sizeof(read));

    read.dir = the_log.dir;
    read.path = the_log.path;
    read.from = INT64_MIN;
    read.to = INT64_MAX;
    read.key = the_log.control->key;

    p = text;
    *p = '\0';

    rc = ngx_analytics_periods_read_open(&read, &fail);

    while (rc == NGX_OK) {
        rc = ngx_analytics_periods_read_next(&read, &period, &user, &n, &fail);

        if (rc == NGX_OK) {
            p += sprintf(p, "%s%d:%.*s=%d", p > text ? " " : "",
                         (int) ((period.start - LOG_NOW) / PERIOD),
                         (int) user.len, (char *) user.data, (int) n);
        }
    }

    if (rc != NGX_DONE) {
        sprintf(p, "failed: %.500s", fail.text);
    }

    ngx_analytics_periods_read_close(&read);

    is_str(text, strlen(text), expected, "%s", name);
}


/* The list of those who are to be erased: nobody, or somebody. */

static void
erasing(const char *user)
{
    ngx_analytics_fail_t     fail;
    ngx_analytics_erasing_t  list;

    list.n = 0;

    if (user) {
        list.n = 1;
        list.users[0].hash = ngx_analytics_siphash(the_log.control->key,
                                                   (u_char *) user,
                                                   strlen(user));
        list.users[0].seq = ngx_analytics_log_tail(&the_log)->seq;
    }

    must(ngx_analytics_erasing_write(the_log.dir, the_log.path, &list, &fail)
         == NGX_OK);
}


static void
test_each(void)
{
    begin();

    is_u64(count(AT(5)), 0, "nothing is there");

    event("ann", AT(1));
    event("bob", AT(2));
    event("ann", AT(9));
    event("ann", AT(21));

    is_u64(count(AT(9)), 0, "nothing is over");
    is_u64(count(AT(12)), 1, "one is over");
    counted("0:ann=2 0:bob=1", "each user once");
    is_u64(count(AT(29)), 0, "where there is nothing there is no file");
    is_u64(count(AT(30)), 1, "another one is over");
    counted("0:ann=2 0:bob=1 2:ann=1", "behind the gap");
}


static void
test_erased(void)
{
    begin();

    event("ann", AT(1));
    event("ann", AT(2));
    event("bob", AT(3));

    erasing("ann");

    is_u64(count(AT(11)), 1, "the first one is of somebody who is erased");
    counted("0:bob=1", "the others are counted");
}


int
main(void)
{
    log_begin();

    test_each();
    test_erased();

    ngx_analytics_db_purge(the_log.path);
    ngx_analytics_log_close(&the_log);

    return done_testing();
}
