
/*
 * Making the log durable.
 *
 * One process syncs at a time, and those who wait find, more often than not,
 * that it was done for them.  That is for correctness, too: the kernel tells
 * an error of writing back once, and nobody else must take a later success
 * for his own before the first one has told the others.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_log.h"
#include "ngx_analytics_fault.h"

#include <sys/file.h>


#define ngx_analytics_log_cut_place(epoch)                                    \
    ((epoch) & (NGX_ANALYTICS_CUTS - 1))


static ngx_int_t ngx_analytics_log_sync_one(ngx_analytics_log_t *log,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_log_sync_begin(ngx_analytics_log_t *log,
    ngx_analytics_flush_t *flush, ngx_analytics_fail_t *fail);
static void ngx_analytics_log_sync_failed(ngx_analytics_log_t *log,
    ngx_analytics_fail_t *fail);
static void ngx_analytics_log_cut(ngx_analytics_log_t *log);
static ngx_int_t ngx_analytics_log_flush_older(ngx_analytics_log_t *log,
    ngx_analytics_flush_t *flush, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_log_flush_file(ngx_analytics_log_t *log,
    ngx_analytics_flush_t *flush, int fd, uint64_t base, uint64_t end,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_log_rewrite(int fd, uint64_t from, uint64_t to);


ngx_int_t
ngx_analytics_log_sync(ngx_analytics_log_t *log, ngx_analytics_fail_t *fail)
{
    uint64_t                  epoch, target;
    ngx_int_t                 rc;
    ngx_analytics_control_t  *c;

    c = log->control;

    epoch = __atomic_load_n(&c->epoch, __ATOMIC_ACQUIRE);
    target = ngx_analytics_log_position(log);

    if (!c->failed && target <= ngx_analytics_log_synced(log)) {
        return NGX_OK;
    }

    (void) pthread_mutex_lock(&log->sync);
    (void) ngx_analytics_log_flock(log->dir, LOCK_EX);

    if (epoch != __atomic_load_n(&c->epoch, __ATOMIC_ACQUIRE)
        || (!c->failed && target <= ngx_analytics_log_synced(log)))
    {
        rc = NGX_OK;

    } else {
        rc = ngx_analytics_log_sync_one(log, fail);
    }

    (void) ngx_analytics_log_flock(log->dir, LOCK_UN);
    (void) pthread_mutex_unlock(&log->sync);

    if (rc == NGX_OK
        && epoch != __atomic_load_n(&c->epoch, __ATOMIC_ACQUIRE))
    {
        fail->err = EIO;
        snprintf(fail->text, sizeof(fail->text),
                 "the log in \"%s\" was cut: it could not be synced",
                 log->path);
        return NGX_ERROR;
    }

    return rc;
}


static ngx_int_t
ngx_analytics_log_sync_one(ngx_analytics_log_t *log,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t                 rc;
    ngx_analytics_flush_t     flush;
    ngx_analytics_control_t  *c;

    c = log->control;

    ngx_memzero(&flush, sizeof(ngx_analytics_flush_t));

    rc = ngx_analytics_log_sync_begin(log, &flush, fail);
    ngx_analytics_fault_point();

    if (rc == NGX_OK) {
        rc = ngx_analytics_log_flush(log, &flush, fail);
        close(flush.fd);
    }

    if (rc != NGX_OK && !flush.failed && ngx_analytics_short(fail)) {

        /* it was not the disk: a sync that runs out of memory fails, though */

        return NGX_ERROR;
    }

    ngx_analytics_fault_point();

    if (rc == NGX_OK && ngx_analytics_log_lock(log) != NGX_OK) {
        ngx_analytics_failed(fail, "locking", log->path, "control");
        rc = NGX_ERROR;
    }

    if (rc != NGX_OK) {
        ngx_analytics_log_sync_failed(log, fail);
        return NGX_ERROR;
    }

    if (flush.to.position > c->synced.position) {
        ngx_analytics_log_set(c, &c->synced, &flush.to);
    }

    c->reserved = ngx_max(c->reserved, flush.reserved);
    c->failed = 0;

    if (c->removed == flush.removed) {
        c->removed = 0;
    }

    ngx_analytics_log_unlock(log);

    return NGX_OK;
}


/* Looks what is to be done. */
static ngx_int_t
ngx_analytics_log_sync_begin(ngx_analytics_log_t *log,
    ngx_analytics_flush_t *flush, ngx_analytics_fail_t *fail)
{
    ngx_int_t                 rc;
    ngx_analytics_control_t  *c;

    c = log->control;

    if (ngx_analytics_log_lock(log) != NGX_OK) {
        ngx_analytics_failed(fail, "locking", log->path, "control");
        return NGX_ERROR;
    }

    flush->anew = (c->failed != 0);

    if (flush->anew && log->always) {

        /* who failed may have been killed before he cut */
        ngx_analytics_log_cut(log);
    }

    flush->from = c->synced;
    flush->to = *ngx_analytics_log_tail(log);
    flush->removed = c->removed;

    rc = ngx_analytics_log_segment(log, &flush->to, fail);

    if (rc == NGX_OK) {
        flush->reserved = log->reserved;

        /* not opened anew: this one knows of errors since long ago */

        flush->fd = fcntl(log->fd, F_DUPFD_CLOEXEC, 0);

        if (flush->fd == -1) {
            ngx_analytics_failed(fail, "fcntl(F_DUPFD_CLOEXEC)", log->path,
                                 NULL);
            rc = NGX_ERROR;
        }
    }

    ngx_analytics_log_unlock(log);

    return rc;
}


static void
ngx_analytics_log_sync_failed(ngx_analytics_log_t *log,
    ngx_analytics_fail_t *fail)
{
    ngx_analytics_control_t  *c;

    c = log->control;

    /* first: nothing is to be appended that would be cut */

    __atomic_store_n(&c->failed, (uint32_t) (fail->err ? fail->err : EIO),
                     __ATOMIC_RELEASE);

    ngx_analytics_fault_point();

    if (log->always && ngx_analytics_log_lock(log) == NGX_OK) {
        ngx_analytics_log_cut(log);
        ngx_analytics_log_unlock(log);
    }
}


/*
 * Locked, and the log has failed.  Cuts what was neither synced nor
 * acknowledged off.  Killed meanwhile, or unable to, somebody else clears
 * away what is behind the tail.
 */
static void
ngx_analytics_log_cut(ngx_analytics_log_t *log)
{
    ngx_analytics_tail_t      cut;
    ngx_analytics_fail_t      ignored;
    ngx_analytics_control_t  *c;

    c = log->control;
    cut = c->synced;

    if (cut.position < c->promised.position) {
        cut = c->promised;
    }

    if (ngx_analytics_log_tail(log)->position <= cut.position) {
        return;
    }

    c->writing = 1;
    ngx_analytics_barrier();
    ngx_analytics_fault_point();

    c->cuts[ngx_analytics_log_cut_place(c->epoch + 1)] = cut.position;
    __atomic_store_n(&c->epoch, c->epoch + 1, __ATOMIC_RELEASE);

    ngx_analytics_fault_point();

    ngx_analytics_log_publish(c, &cut);

    ngx_analytics_fault_point();

    (void) ngx_analytics_log_clear(log, &ignored);
}


ngx_uint_t
ngx_analytics_log_was_cut(ngx_analytics_log_t *log, uint64_t epoch,
    uint64_t position)
{
    uint64_t                  now;
    ngx_analytics_control_t  *c;

    c = log->control;

    now = __atomic_load_n(&c->epoch, __ATOMIC_ACQUIRE);

    /* the oldest place may be written to by the next cut already */

    if (now - epoch >= NGX_ANALYTICS_CUTS) {
        return 1;
    }

    while (epoch != now) {
        epoch++;

        if (position > c->cuts[ngx_analytics_log_cut_place(epoch)]) {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_analytics_log_flush(ngx_analytics_log_t *log,
    ngx_analytics_flush_t *flush, ngx_analytics_fail_t *fail)
{
    if (flush->from.base != flush->to.base
        && ngx_analytics_log_flush_older(log, flush, fail) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_analytics_log_flush_file(log, flush, flush->fd, flush->to.base,
                                     flush->to.position, fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_analytics_fault_point();

    if ((flush->from.base != flush->to.base || flush->anew || flush->removed)
        && fsync(log->dir) == -1)
    {
        flush->failed = 1;
        ngx_analytics_failed(fail, "fsync()", log->path, NULL);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* The segments before the last one. */
static ngx_int_t
ngx_analytics_log_flush_older(ngx_analytics_log_t *log,
    ngx_analytics_flush_t *flush, ngx_analytics_fail_t *fail)
{
    int          fd;
    char         name[NGX_ANALYTICS_LOG_NAME];
    uint64_t    *positions;
    ngx_int_t    rc;
    ngx_uint_t   i, n;

    if (ngx_analytics_segments(log->dir, log->path, &positions, &n, fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = NGX_OK;

    for (i = 0; i + 1 < n && rc == NGX_OK; i++) {

        if (positions[i] < flush->from.base
            || positions[i] >= flush->to.base)
        {
            continue;
        }

        ngx_analytics_segment_name(name, positions[i]);

        fd = ngx_analytics_log_open(log, name, O_RDWR, fail);
        if (fd == -1) {
            rc = NGX_ERROR;
            break;
        }

        rc = ngx_analytics_log_flush_file(log, flush, fd, positions[i],
                                          positions[i + 1], fail);
        close(fd);
        ngx_analytics_fault_point();
    }

    free(positions);

    return rc;
}


/*
 * One segment.  After a failure its pages may be gone from the kernel's list
 * of those to be written, so that a second fdatasync() would find nothing to
 * do and succeed.  The header is written even if nothing else is: to try it.
 */
static ngx_int_t
ngx_analytics_log_flush_file(ngx_analytics_log_t *log,
    ngx_analytics_flush_t *flush, int fd, uint64_t base, uint64_t end,
    ngx_analytics_fail_t *fail)
{
    char      name[NGX_ANALYTICS_LOG_NAME];
    uint64_t  from;

    ngx_analytics_segment_name(name, base);

    from = ngx_max(flush->from.position, base + NGX_ANALYTICS_SEGMENT_HEADER);

    if (flush->anew
        && (ngx_analytics_log_rewrite(fd, 0, NGX_ANALYTICS_SEGMENT_HEADER)
            != NGX_OK
            || ngx_analytics_log_rewrite(fd, from - base, end - base)
               != NGX_OK))
    {
        ngx_analytics_failed(fail, "writing anew of", log->path, name);
        return NGX_ERROR;
    }

    if (fdatasync(fd) == -1) {
        flush->failed = 1;
        ngx_analytics_failed(fail, "fdatasync()", log->path, name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* Makes pages dirty again that hold bytes from one offset to another. */
static ngx_int_t
ngx_analytics_log_rewrite(int fd, uint64_t from, uint64_t to)
{
    u_char   buf[16384];
    ssize_t  n;

    while (from < to) {
        n = pread(fd, buf, ngx_min(sizeof(buf), to - from), (off_t) from);

        if (n > 0) {
            n = pwrite(fd, buf, (size_t) n, (off_t) from);
        }

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1) {
            return NGX_ERROR;
        }

        if (n == 0) {
            break;
        }

        from += (uint64_t) n;
    }

    return NGX_OK;
}


void
ngx_analytics_log_clean(ngx_analytics_log_t *log)
{
    ngx_analytics_control_t  *c;

    if (ngx_analytics_log_lock(log) != NGX_OK) {
        return;
    }

    c = log->control;

    if (!c->failed
        && c->synced.position == ngx_analytics_log_tail(log)->position)
    {
        c->clean = 1;

        /* should that fail, numbers will be skipped: no harm */

        (void) msync(c, NGX_ANALYTICS_CONTROL_SIZE, MS_SYNC);
        (void) fsync(log->control_fd);
    }

    ngx_analytics_log_unlock(log);
}
