
/*
 * A log's segments, by the names of their files.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_reader.h"


void
ngx_analytics_segment_name(char *name, uint64_t position)
{
    snprintf(name, NGX_ANALYTICS_LOG_NAME, "%020llu.log",
             (unsigned long long) position);
}


void
ngx_analytics_failed(ngx_analytics_fail_t *fail, const char *what,
    const char *path, const char *name)
{
    fail->err = errno;

    snprintf(fail->text, sizeof(fail->text), "%s \"%s%s%s\" failed", what,
             path, name ? "/" : "", name ? name : "");
}


/* The position that a file is called by; END if it is no segment. */
static uint64_t
ngx_analytics_segment_position(const char *name)
{
    uint64_t    position;
    ngx_uint_t  i, digit;

    if (strlen(name) != NGX_ANALYTICS_LOG_NAME - 1
        || strcmp(name + 20, ".log") != 0)
    {
        return NGX_ANALYTICS_END;
    }

    position = 0;

    for (i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return NGX_ANALYTICS_END;
        }

        digit = (ngx_uint_t) (name[i] - '0');

        if (position > (UINT64_MAX - digit) / 10) {
            return NGX_ANALYTICS_END;
        }

        position = position * 10 + digit;
    }

    return (position % 8) ? NGX_ANALYTICS_END : position;
}


static int ngx_libc_cdecl
ngx_analytics_position_cmp(const void *one, const void *two)
{
    const uint64_t  *a = one, *b = two;

    return (*a > *b) - (*a < *b);
}


/* Adds to an array that grows.  Returns NGX_OK or NGX_ERROR. */
static ngx_int_t
ngx_analytics_segments_add(uint64_t **positions, ngx_uint_t *n,
    uint64_t position)
{
    uint64_t  *p;

    /* it is full whenever it holds a power of two, from 16 up */

    if (*n == 0 || (*n >= 16 && (*n & (*n - 1)) == 0)) {
        p = realloc(*positions,
                    (*n ? 2 * *n : 16) * sizeof(uint64_t));
        if (p == NULL) {
            return NGX_ERROR;
        }

        *positions = p;
    }

    (*positions)[(*n)++] = position;

    return NGX_OK;
}


ngx_int_t
ngx_analytics_segment_look(int dir, const char *path, uint64_t position,
    ngx_analytics_segment_t *segment, ngx_analytics_fail_t *fail)
{
    int      fd;
    char     name[NGX_ANALYTICS_LOG_NAME];
    u_char   buf[NGX_ANALYTICS_SEGMENT_HEADER];
    ssize_t  n;

    ngx_analytics_segment_name(name, position);

    fd = openat(dir, name, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {

        if (errno == ENOENT) {
            return NGX_DECLINED;
        }

        ngx_analytics_failed(fail, "open()", path, name);
        return NGX_ERROR;
    }

    do {
        n = pread(fd, buf, sizeof(buf), 0);
    } while (n == -1 && errno == EINTR);

    if (n == -1) {
        ngx_analytics_failed(fail, "pread()", path, name);
    }

    (void) close(fd);

    if (n == -1) {
        return NGX_ERROR;
    }

    return (ngx_analytics_segment_read(buf, (size_t) n, segment) == NGX_OK)
           ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_analytics_segments(int dir, const char *path, uint64_t **positions,
    ngx_uint_t *n, ngx_analytics_fail_t *fail)
{
    int             fd;
    DIR            *d;
    uint64_t        position;
    const char     *what;
    struct dirent  *entry;

    *positions = NULL;
    *n = 0;

    /* dup() would share where the listing is with the caller's */

    fd = openat(dir, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    if (fd == -1) {
        ngx_analytics_failed(fail, "open()", path, NULL);
        return NGX_ERROR;
    }

    d = fdopendir(fd);
    if (d == NULL) {
        ngx_analytics_failed(fail, "fdopendir()", path, NULL);
        close(fd);
        return NGX_ERROR;
    }

    what = NULL;

    for ( ;; ) {
        errno = 0;

        entry = readdir(d);
        if (entry == NULL) {
            what = errno ? "readdir()" : NULL;
            break;
        }

        position = ngx_analytics_segment_position(entry->d_name);

        if (position != NGX_ANALYTICS_END
            && ngx_analytics_segments_add(positions, n, position) != NGX_OK)
        {
            what = "listing";
            break;
        }
    }

    if (what) {
        ngx_analytics_failed(fail, what, path, NULL);
        closedir(d);
        free(*positions);
        *positions = NULL;
        *n = 0;
        return NGX_ERROR;
    }

    closedir(d);

    if (*n > 1) {
        qsort(*positions, *n, sizeof(uint64_t), ngx_analytics_position_cmp);
    }

    return NGX_OK;
}
