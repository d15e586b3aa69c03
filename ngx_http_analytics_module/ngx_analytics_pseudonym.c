
/*
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_pseudonym.h"
#include "ngx_analytics_time.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <sys/file.h>


#define NGX_ANALYTICS_PSEUDONYMS       "pseudonyms"
#define NGX_ANALYTICS_PSEUDONYMS_TEMP  "pseudonyms.tmp"
#define NGX_ANALYTICS_PSEUDONYMS_LOCK  "lock.pseudonyms"

#define NGX_ANALYTICS_PSEUDONYMS_LINE                                         \
    (20 + 1 + 2 * NGX_ANALYTICS_PSEUDONYM_KEY + 1)


static ngx_int_t ngx_analytics_pseudonyms_locked(
    ngx_analytics_pseudonyms_t *p, int dir, const char *path, int64_t now,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_pseudonyms_read(ngx_analytics_pseudonyms_t *p,
    int dir, const char *path, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_pseudonyms_parse(
    ngx_analytics_pseudonyms_t *p, char *text);
static ngx_int_t ngx_analytics_pseudonyms_write(
    ngx_analytics_pseudonyms_t *p, int dir, const char *path,
    ngx_analytics_fail_t *fail);
static int64_t ngx_analytics_pseudonyms_next(ngx_uint_t every, int64_t time);
static ngx_int_t ngx_analytics_pseudonym_hmac(const u_char *key,
    const u_char *data, size_t len, u_char *md);


ngx_int_t
ngx_analytics_pseudonyms_load(ngx_analytics_pseudonyms_t *p, int dir,
    const char *path, int64_t now, ngx_analytics_fail_t *fail)
{
    int        fd;
    ngx_int_t  rc;

    fd = openat(dir, NGX_ANALYTICS_PSEUDONYMS_LOCK, O_RDWR|O_CREAT|O_CLOEXEC,
                0600);

    /* who has it writes a line */

    if (fd == -1 || ngx_analytics_log_flock(fd, LOCK_EX) != NGX_OK) {
        ngx_analytics_failed(fail, "locking", path,
                             NGX_ANALYTICS_PSEUDONYMS_LOCK);
        rc = NGX_ERROR;

    } else {
        rc = ngx_analytics_pseudonyms_locked(p, dir, path, now, fail);
    }

    if (fd != -1) {
        (void) close(fd);
    }

    return rc;
}


static ngx_int_t
ngx_analytics_pseudonyms_locked(ngx_analytics_pseudonyms_t *p, int dir,
    const char *path, int64_t now, ngx_analytics_fail_t *fail)
{
    ngx_int_t  rc;

    rc = ngx_analytics_pseudonyms_read(p, dir, path, fail);

    if (rc == NGX_DECLINED) {
        p->start = now;
        p->end = ngx_analytics_pseudonyms_next(p->every, now);

        rc = (RAND_bytes(p->key, NGX_ANALYTICS_PSEUDONYM_KEY) == 1)
             ? NGX_OK : NGX_ABORT;

    } else if (rc == NGX_OK) {

        /* the configuration may have been another one */

        p->end = ngx_analytics_pseudonyms_next(p->every, p->start);

        rc = ngx_analytics_pseudonyms_turn(p, now);

        if (rc == NGX_DECLINED) {
            return NGX_OK;
        }

    } else {
        return NGX_ERROR;
    }

    if (rc != NGX_OK) {
        fail->err = 0;
        snprintf(fail->text, sizeof(fail->text), "no key can be made");
        return NGX_ERROR;
    }

    return ngx_analytics_pseudonyms_write(p, dir, path, fail);
}


/* NGX_DECLINED if there is no file. */

static ngx_int_t
ngx_analytics_pseudonyms_read(ngx_analytics_pseudonyms_t *p, int dir,
    const char *path, ngx_analytics_fail_t *fail)
{
    int      fd;
    char     text[NGX_ANALYTICS_PSEUDONYMS_LINE + 1];
    ssize_t  n;

    fd = openat(dir, NGX_ANALYTICS_PSEUDONYMS, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        if (errno == ENOENT) {
            return NGX_DECLINED;
        }

        ngx_analytics_failed(fail, "open()", path, NGX_ANALYTICS_PSEUDONYMS);
        return NGX_ERROR;
    }

    do {
        n = read(fd, text, sizeof(text));
    } while (n == -1 && errno == EINTR);

    if (n == -1) {
        ngx_analytics_failed(fail, "read()", path, NGX_ANALYTICS_PSEUDONYMS);
        (void) close(fd);
        return NGX_ERROR;
    }

    (void) close(fd);

    if (n != NGX_ANALYTICS_PSEUDONYMS_LINE
        || ngx_analytics_pseudonyms_parse(p, text) != NGX_OK)
    {
        fail->err = 0;
        snprintf(fail->text, sizeof(fail->text), "\"%s/%s\" is malformed",
                 path, NGX_ANALYTICS_PSEUDONYMS);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_pseudonyms_parse(ngx_analytics_pseudonyms_t *p, char *text)
{
    char        *end, digits[3];
    ngx_uint_t   i;

    if (text[20] != ' ' || text[NGX_ANALYTICS_PSEUDONYMS_LINE - 1] != '\n') {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_ANALYTICS_PSEUDONYMS_LINE - 1; i++) {
        if (i != 20 && !isxdigit((u_char) text[i])) {
            return NGX_ERROR;
        }
    }

    errno = 0;
    p->start = strtoll(text, &end, 10);

    if (end != text + 20 || errno) {
        return NGX_ERROR;
    }

    digits[2] = '\0';

    for (i = 0; i < NGX_ANALYTICS_PSEUDONYM_KEY; i++) {
        digits[0] = text[21 + 2 * i];
        digits[1] = text[22 + 2 * i];

        p->key[i] = (u_char) strtoul(digits, NULL, 16);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_pseudonyms_write(ngx_analytics_pseudonyms_t *p, int dir,
    const char *path, ngx_analytics_fail_t *fail)
{
    char        text[NGX_ANALYTICS_PSEUDONYMS_LINE + 1], *end;
    ngx_uint_t  i;

    end = text + sprintf(text, "%020lld ", (long long) p->start);

    for (i = 0; i < NGX_ANALYTICS_PSEUDONYM_KEY; i++) {
        end += sprintf(end, "%02x", p->key[i]);
    }

    *end++ = '\n';

    if (ngx_analytics_log_replace(dir, NGX_ANALYTICS_PSEUDONYMS,
                                  NGX_ANALYTICS_PSEUDONYMS_TEMP,
                                  (u_char *) text, end - text)
        != NGX_OK)
    {
        ngx_analytics_failed(fail, "writing", path, NGX_ANALYTICS_PSEUDONYMS);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_analytics_pseudonyms_turn(ngx_analytics_pseudonyms_t *p, int64_t now)
{
    u_char  next[NGX_ANALYTICS_PSEUDONYM_KEY];

    if (now < p->end) {
        return NGX_DECLINED;
    }

    do {
        if (ngx_analytics_pseudonym_hmac(p->key, (u_char *) "next", 4, next)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_memcpy(p->key, next, NGX_ANALYTICS_PSEUDONYM_KEY);

        p->start = p->end;
        p->end = ngx_analytics_pseudonyms_next(p->every, p->start);

    } while (now >= p->end);

    OPENSSL_cleanse(next, sizeof(next));

    return NGX_OK;
}


/* When the period is over in which that is. */

static int64_t
ngx_analytics_pseudonyms_next(ngx_uint_t every, int64_t time)
{
    time_t     sec;
    int64_t    day;
    struct tm  tm;

    day = ngx_analytics_floor_div(time, NGX_ANALYTICS_DAY);

    switch (every) {

    case NGX_ANALYTICS_PSEUDONYMS_DAY:
        return (day + 1) * NGX_ANALYTICS_DAY;

    case NGX_ANALYTICS_PSEUDONYMS_WEEK:

        /* day 0 was a Thursday */

        return (ngx_analytics_floor_div(day + 3, 7) * 7 + 4)
               * NGX_ANALYTICS_DAY;

    case NGX_ANALYTICS_PSEUDONYMS_MONTH:
        sec = (time_t) (day * 86400);

        if (gmtime_r(&sec, &tm) == NULL) {
            return INT64_MAX;
        }

        tm.tm_mday = 1;
        tm.tm_mon++;

        return (int64_t) timegm(&tm) * NGX_ANALYTICS_SECOND;

    default: /* NGX_ANALYTICS_PSEUDONYMS_NEVER */
        return INT64_MAX;
    }
}


ngx_int_t
ngx_analytics_pseudonym(const u_char key[NGX_ANALYTICS_PSEUDONYM_KEY],
    ngx_str_t *user, u_char *buf)
{
    u_char      md[EVP_MAX_MD_SIZE], text[25];
    ngx_uint_t  i;

    if (ngx_analytics_pseudonym_hmac(key, user->data, user->len, md)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    (void) EVP_EncodeBlock(text, md, 16);

    buf[0] = '~';

    for (i = 0; i < NGX_ANALYTICS_PSEUDONYM - 1; i++) {
        buf[i + 1] = (text[i] == '+') ? '-' : (text[i] == '/') ? '_' : text[i];
    }

    return NGX_OK;
}


ngx_uint_t
ngx_analytics_pseudonym_is(ngx_str_t *text)
{
    u_char      ch;
    ngx_uint_t  i;

    if (text->len != NGX_ANALYTICS_PSEUDONYM || text->data[0] != '~') {
        return 0;
    }

    for (i = 1; i < NGX_ANALYTICS_PSEUDONYM; i++) {
        ch = text->data[i];

        if (!isalnum(ch) && ch != '-' && ch != '_') {
            return 0;
        }
    }

    return 1;
}


static ngx_int_t
ngx_analytics_pseudonym_hmac(const u_char *key, const u_char *data,
    size_t len, u_char *md)
{
    unsigned int  n;

    return HMAC(EVP_sha256(), key, NGX_ANALYTICS_PSEUDONYM_KEY, data, len, md,
                &n)
           ? NGX_OK : NGX_ERROR;
}
