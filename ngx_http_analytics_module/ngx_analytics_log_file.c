
/*
 * The log's files: making, opening and removing them.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_log.h"
#include "ngx_analytics_fault.h"


/* in pieces, so that a test can kill between them */
#if (NGX_ANALYTICS_FAULTS)
#define ngx_analytics_log_piece(len)  ((len) > 64 ? (len) / 2 : (len))
#else
#define ngx_analytics_log_piece(len)  (len)
#endif


static ngx_int_t ngx_analytics_log_header(int fd,
    ngx_analytics_segment_t *segment);


int
ngx_analytics_log_open(ngx_analytics_log_t *log, const char *name, int flags,
    ngx_analytics_fail_t *fail)
{
    int          fd;
    struct stat  st;

    fd = openat(log->dir, name, flags|O_CLOEXEC, 0600);

    if (fd == -1) {
        ngx_analytics_failed(fail, "open()", log->path, name);
        return -1;
    }

    /* the umask was applied */

    if ((flags & O_CREAT)
        && fstat(fd, &st) == 0
        && (st.st_mode & 07777) != 0600)
    {
        (void) fchmod(fd, 0600);
    }

    return fd;
}


ngx_int_t
ngx_analytics_log_pwrite(int fd, u_char *p, size_t len, off_t offset)
{
    ssize_t  n;

    while (len) {
        n = pwrite(fd, p, ngx_analytics_log_piece(len), offset);

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            errno = n ? errno : ENOSPC;
            return NGX_ERROR;
        }

        p += n;
        len -= (size_t) n;
        offset += n;

        ngx_analytics_fault_point();
    }

    return NGX_OK;
}


ngx_int_t
ngx_analytics_log_replace(int dir, const char *name, const char *temp,
    u_char *p, size_t len)
{
    int        fd;
    ngx_err_t  err;

    fd = openat(dir, temp, O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0600);

    if (fd == -1) {
        return NGX_ERROR;
    }

    if (ngx_analytics_log_pwrite(fd, p, len, 0) != NGX_OK
        || fdatasync(fd) == -1
        || renameat(dir, temp, dir, name) == -1
        || fsync(dir) == -1)
    {
        err = errno;
        (void) close(fd);
        (void) unlinkat(dir, temp, 0);
        errno = err;

        return NGX_ERROR;
    }

    (void) close(fd);

    return NGX_OK;
}


/* Whether a file has the header of a segment. */
static ngx_int_t
ngx_analytics_log_header(int fd, ngx_analytics_segment_t *segment)
{
    u_char   buf[NGX_ANALYTICS_SEGMENT_HEADER];
    ssize_t  n;

    n = pread(fd, buf, sizeof(buf), 0);

    if (n == -1) {
        return NGX_ERROR;
    }

    return ngx_analytics_segment_read(buf, (size_t) n, segment);
}


ngx_int_t
ngx_analytics_log_write_header(int fd, ngx_analytics_segment_t *segment)
{
    u_char  buf[NGX_ANALYTICS_SEGMENT_HEADER];

    ngx_analytics_segment_write(buf, segment);

    return ngx_analytics_log_pwrite(fd, buf, sizeof(buf), 0);
}


int
ngx_analytics_log_create(ngx_analytics_log_t *log,
    ngx_analytics_segment_t *segment, ngx_analytics_fail_t *fail)
{
    int                      fd;
    char                     name[NGX_ANALYTICS_LOG_NAME];
    ngx_int_t                rc;
    ngx_analytics_segment_t  old;

    ngx_analytics_segment_name(name, segment->position);

    fd = ngx_analytics_log_open(log, name, O_RDWR|O_CREAT, fail);
    if (fd == -1) {
        return -1;
    }

    rc = ngx_analytics_log_header(fd, &old);

    if (rc != NGX_DECLINED) {
        errno = (rc == NGX_ERROR) ? errno : EEXIST;
        ngx_analytics_failed(fail, "creation of", log->path, name);
        close(fd);
        return -1;
    }

    ngx_analytics_fault_point();

    /* what is there may be left of somebody who was killed */

    if (ftruncate(fd, 0) == -1
        || ngx_analytics_log_write_header(fd, segment) != NGX_OK)
    {
        ngx_analytics_failed(fail, "pwrite()", log->path, name);
        close(fd);
        (void) unlinkat(log->dir, name, 0);
        return -1;
    }

    return fd;
}


ngx_int_t
ngx_analytics_log_segment(ngx_analytics_log_t *log,
    ngx_analytics_tail_t *tail, ngx_analytics_fail_t *fail)
{
    int                       fd;
    char                      name[NGX_ANALYTICS_LOG_NAME];
    ngx_int_t                 rc;
    ngx_analytics_segment_t   segment;
    ngx_analytics_control_t  *c;

    c = log->control;

    /* of the same name in another epoch may be another file */

    if (log->fd != -1 && log->base == tail->base && log->epoch == c->epoch) {
        return NGX_OK;
    }

    ngx_analytics_segment_name(name, tail->base);

    fd = ngx_analytics_log_open(log, name, O_RDWR, fail);
    if (fd == -1) {
        return NGX_ERROR;
    }

    rc = ngx_analytics_log_header(fd, &segment);

    if (rc != NGX_OK || segment.position != tail->base
        || memcmp(segment.id, c->id, sizeof(c->id)) != 0)
    {
        errno = (rc == NGX_ERROR) ? errno : 0;
        ngx_analytics_failed(fail, "reading the header of", log->path, name);
        close(fd);
        return NGX_ERROR;
    }

    ngx_analytics_log_adopt(log, fd, &segment);

    return NGX_OK;
}


void
ngx_analytics_log_adopt(ngx_analytics_log_t *log, int fd,
    ngx_analytics_segment_t *segment)
{
    if (log->fd != -1) {
        close(log->fd);
    }

    log->fd = fd;
    log->base = segment->position;
    log->reserved = segment->reserved;
    log->epoch = log->control->epoch;
}


ngx_int_t
ngx_analytics_log_remove(ngx_analytics_log_t *log, uint64_t from,
    ngx_analytics_fail_t *fail)
{
    char         name[NGX_ANALYTICS_LOG_NAME];
    uint64_t    *positions;
    ngx_int_t    rc;
    ngx_uint_t   n;

    if (ngx_analytics_segments(log->dir, log->path, &positions, &n, fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = NGX_OK;

    while (n && positions[n - 1] >= from) {
        ngx_analytics_segment_name(name, positions[--n]);
        log->control->removed++;

        if (unlinkat(log->dir, name, 0) == -1 && errno != ENOENT) {
            ngx_analytics_failed(fail, "unlink()", log->path, name);
            rc = NGX_ERROR;
            break;
        }

        ngx_analytics_fault_point();
    }

    free(positions);

    return rc;
}
