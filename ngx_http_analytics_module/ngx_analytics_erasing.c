
/*
 * The file "erasing".
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_erase.h"
#include "ngx_analytics_fault.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_log.h"


#define NGX_ANALYTICS_ERASING_LINE  (16 + 1 + 20 + 1)
#define NGX_ANALYTICS_ERASING_SIZE                                            \
    (NGX_ANALYTICS_ERASING_MAX * NGX_ANALYTICS_ERASING_LINE)

#define NGX_ANALYTICS_ERASING_TEMP  "erasing.tmp"


static ngx_int_t ngx_analytics_erasing_parse(char *text, size_t len,
    ngx_analytics_erasing_t *erasing);


ngx_analytics_erasure_t *
ngx_analytics_erasing_find(ngx_analytics_erasing_t *erasing, uint64_t hash)
{
    ngx_uint_t  i;

    for (i = 0; i < erasing->n; i++) {
        if (erasing->users[i].hash == hash) {
            return &erasing->users[i];
        }
    }

    return NULL;
}


ngx_uint_t
ngx_analytics_erasing_hides(ngx_analytics_erasing_t *erasing,
    const uint64_t key[2], ngx_str_t *user, uint64_t id)
{
    ngx_analytics_erasure_t  *erasure;

    if (erasing->n == 0 || user->len == 0) {
        return 0;
    }

    erasure = ngx_analytics_erasing_find(erasing,
                         ngx_analytics_siphash(key, user->data, user->len));

    return erasure && (erasure->seq == 0 || id < erasure->seq);
}


ngx_int_t
ngx_analytics_erasing_read(int dir, const char *path,
    ngx_analytics_erasing_t *erasing, ngx_analytics_fail_t *fail)
{
    int      fd;
    char     text[NGX_ANALYTICS_ERASING_SIZE + 1];
    ssize_t  n;

    erasing->n = 0;

    fd = openat(dir, NGX_ANALYTICS_ERASING_NAME, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        if (errno == ENOENT) {
            return NGX_OK;
        }

        ngx_analytics_failed(fail, "open()", path, NGX_ANALYTICS_ERASING_NAME);
        return NGX_ERROR;
    }

    do {
        n = read(fd, text, sizeof(text));
    } while (n == -1 && errno == EINTR);

    if (n == -1) {
        ngx_analytics_failed(fail, "read()", path, NGX_ANALYTICS_ERASING_NAME);
        (void) close(fd);
        return NGX_ERROR;
    }

    (void) close(fd);

    if (ngx_analytics_erasing_parse(text, (size_t) n, erasing) != NGX_OK) {
        fail->err = 0;
        snprintf(fail->text, sizeof(fail->text), "\"%s/%s\" is malformed",
                 path, NGX_ANALYTICS_ERASING_NAME);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_erasing_parse(char *text, size_t len,
    ngx_analytics_erasing_t *erasing)
{
    char                     *p, *end;
    ngx_analytics_erasure_t  *user;

    if (len % NGX_ANALYTICS_ERASING_LINE
        || len > NGX_ANALYTICS_ERASING_SIZE)
    {
        return NGX_ERROR;
    }

    for (p = text; p < text + len; p += NGX_ANALYTICS_ERASING_LINE) {

        if (p[16] != ' ' || p[NGX_ANALYTICS_ERASING_LINE - 1] != '\n') {
            return NGX_ERROR;
        }

        user = &erasing->users[erasing->n++];

        p[16] = '\0';
        user->hash = strtoull(p, &end, 16);

        if (end != p + 16) {
            return NGX_ERROR;
        }

        p[NGX_ANALYTICS_ERASING_LINE - 1] = '\0';
        user->seq = strtoull(p + 17, &end, 10);

        if (end != p + NGX_ANALYTICS_ERASING_LINE - 1) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_analytics_erasing_write(int dir, const char *path,
    ngx_analytics_erasing_t *erasing, ngx_analytics_fail_t *fail)
{
    char        text[NGX_ANALYTICS_ERASING_SIZE + 1];
    ngx_int_t   rc;
    ngx_uint_t  i;

    if (erasing->n == 0) {
        rc = ((unlinkat(dir, NGX_ANALYTICS_ERASING_NAME, 0) == -1
               && errno != ENOENT)
              || fsync(dir) == -1) ? NGX_ERROR : NGX_OK;

    } else {
        for (i = 0; i < erasing->n; i++) {
            snprintf(text + i * NGX_ANALYTICS_ERASING_LINE,
                     NGX_ANALYTICS_ERASING_LINE + 1, "%016llx %020llu\n",
                     (unsigned long long) erasing->users[i].hash,
                     (unsigned long long) erasing->users[i].seq);
        }

        rc = ngx_analytics_log_replace(dir, NGX_ANALYTICS_ERASING_NAME,
                                     NGX_ANALYTICS_ERASING_TEMP,
                                     (u_char *) text,
                                     erasing->n * NGX_ANALYTICS_ERASING_LINE);
    }

    ngx_analytics_fault_point();
    ngx_analytics_fault_stop("erasing.renamed");

    if (rc != NGX_OK) {
        ngx_analytics_failed(fail, "writing", path,
                             NGX_ANALYTICS_ERASING_NAME);
        return NGX_ERROR;
    }

    return NGX_OK;
}
