
/*
 * Pseudonyms: they are what RFC 2104 and RFC 4648 say, keys end when their
 * day, week or month does, and the file never holds what is over.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tap.h"
#include "ngx_analytics_pseudonym.h"
#include "ngx_analytics_time.h"


static char  path[] = "/tmp/pseudonym-XXXXXX";
static int   dir;


static int64_t
at(const char *text)
{
    int64_t    usec;
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = strlen(text);

    return ngx_analytics_time_parse(&s, &usec) == NGX_OK ? usec : -1;
}


static void
put(const char *text)
{
    int  fd;

    fd = openat(dir, "pseudonyms", O_WRONLY|O_CREAT|O_TRUNC, 0600);

    if (write(fd, text, strlen(text)) != (ssize_t) strlen(text)) {
        abort();
    }

    close(fd);
}


static const char *
get(void)
{
    int          fd;
    ssize_t      n;

    static char  text[200];

    fd = openat(dir, "pseudonyms", O_RDONLY);
    n = read(fd, text, sizeof(text) - 1);
    text[n < 0 ? 0 : n] = '\0';
    close(fd);

    return text;
}


static ngx_int_t
load(ngx_analytics_pseudonyms_t *p, ngx_uint_t every, const char *now)
{
    ngx_analytics_fail_t  fail;

    memset(p, 0, sizeof(ngx_analytics_pseudonyms_t));
    p->every = every;

    return ngx_analytics_pseudonyms_load(p, dir, path, at(now), &fail);
}


/* by Perl's Digest::SHA and MIME::Base64, with a key of 32 times 0b */

static void
texts(void)
{
    size_t      i;
    u_char      key[NGX_ANALYTICS_PSEUDONYM_KEY];
    u_char      buf[NGX_ANALYTICS_PSEUDONYM];
    ngx_str_t   user, text;

    static const struct { const char *user, *pseudonym; } known[] = {
        { "Hi There", "~GYpgfrRL-8aZA6Dxzyu9xQ" },
        { "user_123", "~fspjeE0Ay_BPJXU6t3fQDg" },
        { "", "~UXfmN6qsC1Dl3Ki7BbC1cQ" },
    };

    memset(key, 0x0b, sizeof(key));

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        user.data = (u_char *) known[i].user;
        user.len = strlen(known[i].user);

        ok(ngx_analytics_pseudonym(key, &user, buf) == NGX_OK
           && memcmp(buf, known[i].pseudonym, sizeof(buf)) == 0,
           "the pseudonym of \"%s\"", known[i].user);

        text.data = buf;
        text.len = sizeof(buf);

        ok(ngx_analytics_pseudonym_is(&text), "looks like one");
        ok(!ngx_analytics_pseudonym_is(&user), "but not the user");
    }

    text.len--;
    ok(!ngx_analytics_pseudonym_is(&text), "nor a part of it");

    text.len++;
    buf[5] = '+';
    ok(!ngx_analytics_pseudonym_is(&text), "nor with another character");
}


static void
periods(void)
{
    size_t                      i;
    ngx_analytics_pseudonyms_t  p;

    static const struct {
        ngx_uint_t   every;
        const char  *now, *end;
    } known[] = {
        { NGX_ANALYTICS_PSEUDONYMS_DAY, "2026-11-23T00:00:00Z",
          "2026-11-24T00:00:00Z" },
        { NGX_ANALYTICS_PSEUDONYMS_DAY, "2024-02-28T23:59:59.999999Z",
          "2024-02-29T00:00:00Z" },
        { NGX_ANALYTICS_PSEUDONYMS_WEEK, "2026-11-22T23:59:59Z",
          "2026-11-23T00:00:00Z" },
        { NGX_ANALYTICS_PSEUDONYMS_WEEK, "2026-11-23T00:00:00Z",
          "2026-11-30T00:00:00Z" },
        { NGX_ANALYTICS_PSEUDONYMS_MONTH, "2026-11-23T12:00:00Z",
          "2026-12-01T00:00:00Z" },
        { NGX_ANALYTICS_PSEUDONYMS_MONTH, "2026-12-31T23:00:00Z",
          "2027-01-01T00:00:00Z" },
        { NGX_ANALYTICS_PSEUDONYMS_MONTH, "2024-02-29T00:00:00Z",
          "2024-03-01T00:00:00Z" },
    };

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        unlinkat(dir, "pseudonyms", 0);

        ok(load(&p, known[i].every, known[i].now) == NGX_OK
           && p.end == at(known[i].end),
           "what begins at %s ends at %s", known[i].now, known[i].end);
    }

    unlinkat(dir, "pseudonyms", 0);

    ok(load(&p, NGX_ANALYTICS_PSEUDONYMS_NEVER, "2026-11-23T00:00:00Z")
       == NGX_OK && p.end == INT64_MAX, "never ends never");
}


/* "key" is 01 02 ... 20; the next ones are by Perl's Digest::SHA */

static void
keys(void)
{
    ngx_analytics_pseudonyms_t  p, q;

    /* 2026-11-20T10:00:00Z */

    static const char  first[] = "00001795168800000000 "
        "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\n";

    /* two days later, as of 2026-11-22T00:00:00Z */

    static const char  third[] = "00001795305600000000 "
        "30fc6a34df3651a92e90f2ac62b451621cc0392dd65c9a8a1ddd214e2d9b7311\n";

    put(first);

    ok(load(&p, NGX_ANALYTICS_PSEUDONYMS_DAY, "2026-11-20T23:59:59Z")
       == NGX_OK && p.key[0] == 1 && p.key[31] == 0x20, "the day's key");
    ok(strcmp(get(), first) == 0, "the file stays as it is");

    ok(load(&q, NGX_ANALYTICS_PSEUDONYMS_DAY, "2026-11-22T00:00:00Z")
       == NGX_OK, "two days later");
    ok(strcmp(get(), third) == 0, "the file has that day's key, and no other");

    ok(ngx_analytics_pseudonyms_turn(&p, at("2026-11-22T00:00:00Z")) == NGX_OK
       && memcmp(p.key, q.key, sizeof(p.key)) == 0 && p.end == q.end,
       "who goes on alone finds the same");
    ok(ngx_analytics_pseudonyms_turn(&p, at("2026-11-22T23:59:59Z"))
       == NGX_DECLINED, "it is for all of the day");
    ok(ngx_analytics_pseudonyms_turn(&p, at("2026-11-20T12:00:00Z"))
       == NGX_DECLINED && memcmp(p.key, q.key, sizeof(p.key)) == 0,
       "a clock that goes back finds no older one");

    ok(load(&p, NGX_ANALYTICS_PSEUDONYMS_MONTH, "2026-11-30T23:59:59Z")
       == NGX_OK && memcmp(p.key, q.key, sizeof(p.key)) == 0,
       "a month from here on, with the same key");
    ok(load(&p, NGX_ANALYTICS_PSEUDONYMS_MONTH, "2026-12-01T00:00:00Z")
       == NGX_OK && memcmp(p.key, q.key, sizeof(p.key)) != 0,
       "then it ends");
}


static void
files(void)
{
    size_t                      i;
    struct stat                 st;
    ngx_analytics_pseudonyms_t  p, q;

    static const char  *bad[] = {
        "", "1\n", "00001795168800000000",
        "00001795168800000000 "
        "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fxx\n",
        "00001795168800000000 "
        "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
        "00001795168800000000-"
        "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\n",
        "99999999999999999999 "
        "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\n",
        "00001795168800000000 "
        "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20\n\n",
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        put(bad[i]);
        ok(load(&p, NGX_ANALYTICS_PSEUDONYMS_DAY, "2026-11-20T00:00:00Z")
           == NGX_ERROR && strcmp(get(), bad[i]) == 0,
           "malformed, and left as it is: %zu", i);
    }

    unlinkat(dir, "pseudonyms", 0);

    ok(load(&p, NGX_ANALYTICS_PSEUDONYMS_DAY, "2026-11-20T00:00:00Z")
       == NGX_OK
       && load(&q, NGX_ANALYTICS_PSEUDONYMS_DAY, "2026-11-20T01:00:00Z")
          == NGX_OK && memcmp(&p, &q, sizeof(p)) == 0,
       "a key is made once");

    unlinkat(dir, "pseudonyms", 0);

    ok(load(&q, NGX_ANALYTICS_PSEUDONYMS_DAY, "2026-11-20T00:00:00Z")
       == NGX_OK && memcmp(p.key, q.key, sizeof(p.key)) != 0,
       "and is another one each time");
    ok(fstatat(dir, "pseudonyms", &st, 0) == 0
       && (st.st_mode & 0777) == 0600, "nobody else reads it");
    ok(faccessat(dir, "pseudonyms.tmp", F_OK, 0) == -1, "nothing is left");
}


int
main(void)
{
    if (mkdtemp(path) == NULL) {
        return 1;
    }

    dir = open(path, O_RDONLY|O_DIRECTORY);

    texts();
    periods();
    keys();
    files();

    unlinkat(dir, "pseudonyms", 0);
    unlinkat(dir, "lock.pseudonyms", 0);
    rmdir(path);

    return done_testing();
}
