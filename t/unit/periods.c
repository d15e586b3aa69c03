
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


static int64_t  keep;       /* 0: for ever */


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
    conf.keep = keep;

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

    } else if (read.incomplete) {
        strcpy(p, " and more");
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


/* What somebody does who was to be erased before is somebody new's. */

static void
test_back(void)
{
    ngx_analytics_fail_t     fail;
    ngx_analytics_erasing_t  list;

    begin();

    event("ann", AT(1));
    event("bob", AT(2));

    must(count(AT(10)) == 1);

    erasing("ann");
    must(ngx_analytics_erasing_read(the_log.dir, the_log.path, &list, &fail)
         == NGX_OK);

    event("ann", AT(11));
    event("bob", AT(12));

    must(count(AT(20)) == 1);
    counted("0:bob=1 1:ann=1 1:bob=1", "who is back is shown");

    must(ngx_analytics_periods_erase(the_log.dir, the_log.path,
                                     the_log.control->key, &list, NULL, NULL,
                                     &fail)
         == NGX_OK);

    erasing(NULL);
    counted("0:bob=1 1:ann=1 1:bob=1", "and is not erased once more");
}


/* What is too old is not there any more, also where nothing comes after it. */

static void
test_retain(void)
{
    begin();

    event("ann", AT(1));
    event("bob", AT(11));

    must(count(AT(20)) == 2);

    keep = 2 * PERIOD;

    is_u64(count(AT(29)), 0, "nothing is too old");
    is_u64(count(AT(31)), 1, "the first one is");
    counted("1:bob=1", "it goes");
    is_u64(count(AT(41)), 1, "the last one is");
    counted("", "it goes");
    is_u64(count(AT(51)), 0, "once");

    event("cy", AT(52));

    is_u64(count(AT(61)), 2, "another one comes, and the empty one goes");
    counted("5:cy=1", "nothing was counted again");

    keep = 0;
}


/* The files there are, by what their names end with. */

static ngx_uint_t
files(const char *end)
{
    DIR            *d;
    ngx_uint_t      n;
    struct dirent  *e;

    n = 0;
    d = opendir(log_dir);
    must(d != NULL);

    while ((e = readdir(d)) != NULL) {
        n += (strncmp(e->d_name, "period-", 7) == 0
              && strcmp(e->d_name + 7 + 15 + 1 + 15, end) == 0);
    }

    closedir(d);

    return n;
}


static void
path_of(char *path, int n, ngx_uint_t kind)
{
    ngx_analytics_period_t  period;

    period.start = LOG_NOW + n * PERIOD;
    period.end = period.start + PERIOD;
    period.kind = kind;

    path += sprintf(path, "%s/", log_dir);
    ngx_analytics_period_name(path, &period);
}


/* What can become of a file. */

static void
damage(const char *path, int how)
{
    int         fd;
    char        other[256];
    u_char      noise[1024];
    ngx_uint_t  i;

    if (how == 0) {
        path_of(other, 2, NGX_ANALYTICS_PERIOD_EXACT);
        must(unlink(path) == 0 && link(other, path) == 0);
        return;
    }

    for (i = 0; i < sizeof(noise); i++) {
        noise[i] = (u_char) (i * i + 7 * i);
    }

    fd = open(path, O_RDWR);
    must(fd != -1);

    switch (how) {

    case 1:
        must(ftruncate(fd, 0) == 0);
        break;

    case 2:
        must(ftruncate(fd, 9000) == 0);
        break;

    case 3:
        must(pwrite(fd, noise, sizeof(noise), 0) == sizeof(noise));
        break;

    default:
        for (i = 1; i < 20; i++) {
            must(pwrite(fd, noise, sizeof(noise), 1024 * (off_t) (i + 7))
                 == sizeof(noise));
        }
    }

    close(fd);
}

#define DAMAGES  5


static void
some(void)
{
    begin();

    event("ann", AT(1));
    event("bob", AT(2));
    event("bob", AT(11));
    event("cy", AT(21));
    event("ann", AT(22));

    must(count(AT(30)) == 3);
}


/* One that cannot be read is in nobody's way, and is counted again. */

static void
test_damaged(void)
{
    int   how;
    char  path[256];

    for (how = 0; how < DAMAGES; how++) {
        some();

        path_of(path, 0, NGX_ANALYTICS_PERIOD_EXACT);
        damage(path, how);

        counted("1:bob=1 2:ann=1 2:cy=1 and more", "the others are there");
        is_u64(files(".db.bad"), 1, "it is put aside");
        counted("1:bob=1 2:ann=1 2:cy=1 and more", "which is told each time");

        is_u64(count(AT(30)), 1, "it is counted again");
        counted("0:ann=1 0:bob=1 1:bob=1 2:ann=1 2:cy=1", "as it was");
        is_u64(files(".db.bad"), 0, "nothing is left");
    }
}


/* What is counted again is not more than what is there. */

static void
test_lost(void)
{
    char                   path[256];
    uint64_t              *segments;
    ngx_uint_t             n;
    ngx_analytics_fail_t   fail;

    some();

    must(ngx_analytics_log_lock(&the_log) == NGX_OK);
    must(ngx_analytics_log_new_segment(&the_log, &fail) == NGX_OK);
    ngx_analytics_log_unlock(&the_log);

    event("dan", AT(31));

    must(ngx_analytics_segments(the_log.dir, the_log.path, &segments, &n,
                                &fail)
         == NGX_OK);
    must(ngx_analytics_log_trim(the_log.dir, the_log.path, segments[n - 1],
                                &fail)
         == NGX_OK);
    free(segments);

    path_of(path, 2, NGX_ANALYTICS_PERIOD_EXACT);
    damage(path, 1);

    counted("0:ann=1 0:bob=1 1:bob=1 and more", "the log is not asked for it");
    is_u64(count(AT(40)), 2, "it is counted again, and the next one is");
    is_u64(files(".inexact.db"), 2, "what may not be all is called so");
    is_u64(files(".db"), 2, "the others are as they were");
    counted("0:ann=1 0:bob=1 1:bob=1 3:dan=1 and more", "and are all there is");
    is_u64(count(AT(40)), 0, "that is all");
}


/* Makes a part of the store of what there is, and begins a new segment. */

static void
part(void)
{
    ngx_int_t                    rc;
    ngx_analytics_fail_t         fail;
    ngx_analytics_tail_t        *tail;
    ngx_analytics_store_conf_t   conf;

    must(ngx_analytics_log_lock(&the_log) == NGX_OK);
    must(ngx_analytics_log_new_segment(&the_log, &fail) == NGX_OK);
    ngx_analytics_log_unlock(&the_log);
    must(ngx_analytics_log_sync(&the_log, &fail) == NGX_OK);

    tail = ngx_analytics_log_tail(&the_log);

    ngx_memzero(&conf, sizeof(conf));

    conf.dir = the_log.dir;
    conf.path = the_log.path;
    conf.log_id = the_log.control->id;
    conf.synced = tail->position;
    conf.seq = tail->seq;
    conf.all = 1;
    conf.needed = INT64_MAX;

    do {
        rc = ngx_analytics_store_step(&conf, &fail);
    } while (rc == NGX_OK);

    must(rc == NGX_DONE);
}


/* One part of the store is gone, and the log does not have it either. */

static void
lose(ngx_uint_t n)
{
    char                         name[NGX_ANALYTICS_PART_NAME];
    ngx_analytics_fail_t         fail;
    ngx_analytics_store_list_t   list;

    must(ngx_analytics_store_list(the_log.dir, the_log.path, &list, &fail)
         == NGX_OK && n < list.n);

    ngx_analytics_part_name(name, list.parts[n].from, list.parts[n].to);

    must(unlinkat(the_log.dir, name, 0) == 0);
    must(ngx_analytics_log_trim(the_log.dir, the_log.path, list.parts[n].to,
                                &fail)
         == NGX_OK);

    ngx_analytics_store_free(&list);
}


/* Nor does it end the counting of what comes behind it. */

static void
test_gap(void)
{
    begin();

    event("ann", AT(1));
    event("bob", AT(9));
    part();
    event("ann", AT(11));
    part();
    event("bob", AT(21));
    event("cy", AT(31));
    part();
    event("cy", AT(32));

    must(count(AT(10)) == 1);
    lose(1);

    is_u64(count(AT(40)), 3, "what is lost is passed over");
    is_u64(files(".inexact.db"), 2, "and told, of what is beside it, too");
    is_u64(files(".db"), 2, "what is farther away is exact");
    counted("0:ann=1 0:bob=1 2:bob=1 3:cy=2 and more", "the others are there");

    /* where only some are missing of one period */

    begin();

    event("ann", AT(1));
    part();
    event("ann", AT(2));
    part();
    event("bob", AT(9));
    part();
    event("bob", AT(11));
    lose(1);

    is_u64(count(AT(20)), 2, "of one period some are lost");
    is_u64(files(".inexact.db"), 1, "it is not exact");
    is_u64(files(".db"), 1, "the next one is");
    counted("0:ann=1 0:bob=1 1:bob=1 and more", "what is there is counted");
}


/* A crash may leave a file beside the one that takes its place. */

static void
test_both(void)
{
    char  path[256], bad[256];

    some();

    path_of(path, 1, NGX_ANALYTICS_PERIOD_EXACT);
    path_of(bad, 1, NGX_ANALYTICS_PERIOD_BAD);
    must(link(path, bad) == 0);

    counted("0:ann=1 0:bob=1 1:bob=1 2:ann=1 2:cy=1", "the better one counts");
    is_u64(count(AT(30)), 1, "something is done");
    is_u64(files(".db.bad"), 0, "the other one goes");
    counted("0:ann=1 0:bob=1 1:bob=1 2:ann=1 2:cy=1", "all is there");
}


static void
erase(const char *user)
{
    ngx_analytics_fail_t     fail;
    ngx_analytics_erasing_t  list;

    erasing(user);

    must(ngx_analytics_erasing_read(the_log.dir, the_log.path, &list, &fail)
         == NGX_OK);

    is_i64(ngx_analytics_periods_erase(the_log.dir, the_log.path,
                                       the_log.control->key, &list, NULL,
                                       NULL, &fail),
           NGX_OK, "erased");
}


/* Nor is it in the way of who is to be erased. */

static void
test_erase_damaged(void)
{
    int          how;
    char         path[256], bad[256];
    struct stat  st;

    for (how = 0; how < DAMAGES; how++) {
        some();

        path_of(path, 0, NGX_ANALYTICS_PERIOD_EXACT);
        path_of(bad, 0, NGX_ANALYTICS_PERIOD_BAD);
        damage(path, how);

        if (how % 2) {

            /* by who has read it */

            must(rename(path, bad) == 0);
        }

        erase("ann");

        ok(stat(bad, &st) == 0 && st.st_size == 0,
           "what could not be read is empty");
        counted("1:bob=1 2:cy=1 and more", "the others are without the user");

        is_u64(count(AT(30)), 1, "it is counted again");
        counted("0:bob=1 1:bob=1 2:cy=1", "without the user, too");
    }
}


int
main(void)
{
    log_begin();

    test_each();
    test_erased();
    test_back();
    test_retain();
    test_damaged();
    test_lost();
    test_gap();
    test_both();
    test_erase_damaged();

    ngx_analytics_db_purge(the_log.path);
    ngx_analytics_log_close(&the_log);

    return done_testing();
}
