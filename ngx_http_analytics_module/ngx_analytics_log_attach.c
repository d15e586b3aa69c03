
/*
 * The log's directory, and who uses it.
 *
 * lock.attached is locked by who holds the control file's lock, and then
 * without waiting, but for those who leave: they have all of it, and may
 * still need the append lock.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_fault.h"
#include "ngx_analytics_log.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>


/* how long to wait for who leaves: usec, and times */
#define NGX_ANALYTICS_ATTACH_WAIT    5000
#define NGX_ANALYTICS_ATTACH_TRIES   1000

/*
 * How long a master waits for whoever looks at the same time, and for the
 * locks of a dead owner, whose processes the kernel clears away in its own
 * time: usec, and times.
 */
#define NGX_ANALYTICS_PROBE_PAUSE    5000
#define NGX_ANALYTICS_PROBE_LOOK     3
#define NGX_ANALYTICS_PROBE_TRIES    60


_Static_assert(sizeof(ngx_analytics_control_t) <= NGX_ANALYTICS_CONTROL_SIZE,
               "the control file is too small");


static ngx_int_t ngx_analytics_log_enter(ngx_analytics_log_t *log,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_log_share(ngx_analytics_log_t *log,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_log_files(ngx_analytics_log_t *log,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_log_init(ngx_analytics_log_t *log,
    ngx_analytics_fail_t *fail);
static ngx_uint_t ngx_analytics_log_child(ngx_analytics_log_t *log,
    ngx_analytics_control_t *c);
static void ngx_analytics_log_taken(ngx_analytics_log_t *log,
    ngx_analytics_control_t *c);
static ngx_int_t ngx_analytics_log_stranger(ngx_analytics_log_t *log, int dir,
    ngx_analytics_control_t *c);
static ngx_int_t ngx_analytics_log_join(ngx_analytics_log_t *log,
    ngx_analytics_fail_t *fail);


ngx_int_t
ngx_analytics_log_attach(ngx_analytics_log_t *log, ngx_analytics_fail_t *fail)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    for (i = 0; i < NGX_ANALYTICS_ATTACH_TRIES; i++) {

        rc = ngx_analytics_log_enter(log, fail);

        if (rc == NGX_OK) {
            return NGX_OK;
        }

        ngx_analytics_log_close(log);

        if (rc != NGX_AGAIN) {
            return rc;
        }

        usleep(NGX_ANALYTICS_ATTACH_WAIT);
    }

    errno = EWOULDBLOCK;
    ngx_analytics_failed(fail, "flock()", log->path, "lock.attached");

    return NGX_ERROR;
}


/* Returns what attach() returns, or NGX_AGAIN: somebody leaves. */
static ngx_int_t
ngx_analytics_log_enter(ngx_analytics_log_t *log, ngx_analytics_fail_t *fail)
{
    ngx_int_t  rc;

    rc = ngx_analytics_log_files(log, fail);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_analytics_log_flock(log->attached_fd, LOCK_EX|LOCK_NB) == NGX_OK) {

        rc = ngx_analytics_log_first(log, fail);

        if (rc == NGX_OK) {

            /* the lock is not changed but given up and taken again */

            rc = ngx_analytics_log_share(log, fail);
        }

    } else if (errno == EWOULDBLOCK) {

        rc = ngx_analytics_log_share(log, fail);

        if (rc == NGX_OK) {
            rc = ngx_analytics_log_join(log, fail);
        }

    } else {
        ngx_analytics_failed(fail, "flock()", log->path, "lock.attached");
        return NGX_ERROR;
    }

    if (rc == NGX_OK) {
        (void) ngx_analytics_log_flock(log->control_fd, LOCK_UN);
    }

    return rc;
}


static ngx_int_t
ngx_analytics_log_share(ngx_analytics_log_t *log, ngx_analytics_fail_t *fail)
{
    if (ngx_analytics_log_flock(log->attached_fd, LOCK_SH|LOCK_NB) == NGX_OK) {
        return NGX_OK;
    }

    if (errno == EWOULDBLOCK) {
        return NGX_AGAIN;
    }

    ngx_analytics_failed(fail, "flock()", log->path, "lock.attached");

    return NGX_ERROR;
}


/* Opens the files and locks the control file. */
static ngx_int_t
ngx_analytics_log_files(ngx_analytics_log_t *log, ngx_analytics_fail_t *fail)
{
    void         *p;
    struct stat   st;

    if (ngx_analytics_log_init(log, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    log->dir = open(log->path, O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (log->dir == -1) {
        ngx_analytics_failed(fail, "open()", log->path, NULL);
        return NGX_ERROR;
    }

    /* in this order the kernel closes them for who is killed */

    log->attached_fd = ngx_analytics_log_open(log, "lock.attached",
                                              O_RDWR|O_CREAT, fail);
    if (log->attached_fd == -1) {
        return NGX_ERROR;
    }

    log->control_fd = ngx_analytics_log_open(log, "control", O_RDWR|O_CREAT,
                                             fail);
    if (log->control_fd == -1) {
        return NGX_ERROR;
    }

    if (ngx_analytics_log_flock(log->control_fd, LOCK_EX) != NGX_OK) {
        ngx_analytics_failed(fail, "flock()", log->path, "control");
        return NGX_ERROR;
    }

    if (fstat(log->control_fd, &st) == -1
        || (st.st_size < NGX_ANALYTICS_CONTROL_SIZE
            && ftruncate(log->control_fd, NGX_ANALYTICS_CONTROL_SIZE) == -1))
    {
        ngx_analytics_failed(fail, "ftruncate()", log->path, "control");
        return NGX_ERROR;
    }

    p = mmap(NULL, NGX_ANALYTICS_CONTROL_SIZE, PROT_READ|PROT_WRITE,
             MAP_SHARED, log->control_fd, 0);

    if (p == MAP_FAILED) {
        ngx_analytics_failed(fail, "mmap()", log->path, "control");
        return NGX_ERROR;
    }

    log->control = p;

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_log_init(ngx_analytics_log_t *log, ngx_analytics_fail_t *fail)
{
    log->dir = -1;
    log->control_fd = -1;
    log->attached_fd = -1;
    log->control = NULL;

    log->fd = -1;
    log->base = 0;
    log->reserved = 0;
    log->epoch = 0;

    log->created = 0;

    log->owner = 0;
    log->cut_from = 0;
    log->cut_to = 0;
    log->lost = 0;

    errno = pthread_mutex_init(&log->mutex, NULL);

    if (errno == 0) {
        errno = pthread_mutex_init(&log->sync, NULL);

        if (errno == 0) {
            log->created = 1;
            return NGX_OK;
        }

        (void) pthread_mutex_destroy(&log->mutex);
    }

    ngx_analytics_failed(fail, "pthread_mutex_init() for", log->path, NULL);

    return NGX_ERROR;
}


void
ngx_analytics_log_close(ngx_analytics_log_t *log)
{
    if (!log->created) {
        return;
    }

    if (log->fd != -1) {
        close(log->fd);
    }

    if (log->control) {
        (void) munmap(log->control, NGX_ANALYTICS_CONTROL_SIZE);
    }

    /* who comes now must not find it locked with nobody behind it */

    if (log->attached_fd != -1) {
        close(log->attached_fd);
    }

    if (log->control_fd != -1) {
        close(log->control_fd);
    }

    if (log->dir != -1) {
        close(log->dir);
    }

    (void) pthread_mutex_destroy(&log->mutex);
    (void) pthread_mutex_destroy(&log->sync);

    log->fd = -1;
    log->control = NULL;
    log->attached_fd = -1;
    log->control_fd = -1;
    log->dir = -1;
    log->created = 0;
}


ngx_int_t
ngx_analytics_log_leave(ngx_analytics_log_t *log)
{
    (void) ngx_analytics_log_flock(log->attached_fd, LOCK_UN);

    return ngx_analytics_log_flock(log->attached_fd, LOCK_EX|LOCK_NB) == NGX_OK
           ? NGX_OK : NGX_BUSY;
}


ngx_uint_t
ngx_analytics_log_valid(ngx_analytics_control_t *c)
{
    return memcmp(c->magic, NGX_ANALYTICS_CONTROL_MAGIC, sizeof(c->magic)) == 0
           && c->version == NGX_ANALYTICS_CONTROL_VERSION
           && c->current <= 1;
}


static ngx_uint_t
ngx_analytics_log_relative(ngx_analytics_log_t *log,
    ngx_analytics_control_t *c)
{
    return c->owner_space == log->space
           && (c->owner == log->master
               || c->owner == log->master_parent
               || c->owner_parent == log->master
               || (c->owner_parent && c->owner_parent == log->master_parent));
}


/* One of another namespace may be: that cannot be told from here. */
static ngx_uint_t
ngx_analytics_log_alive(ngx_analytics_log_t *log, ngx_analytics_control_t *c)
{
    return c->owner_space == log->space
           && (kill((pid_t) c->owner, 0) == 0 || errno != ESRCH);
}


/* Whether the owner is the new binary that this master has started. */
static ngx_uint_t
ngx_analytics_log_child(ngx_analytics_log_t *log, ngx_analytics_control_t *c)
{
    return c->owner_parent == log->master
           && ngx_analytics_log_alive(log, c);
}


ngx_int_t
ngx_analytics_log_probe(ngx_analytics_log_t *log)
{
    int                      dir, fd;
    ngx_int_t                rc;
    ngx_uint_t               i;
    ngx_analytics_control_t  c;

    dir = open(log->path, O_RDONLY|O_DIRECTORY|O_CLOEXEC);
    if (dir == -1) {
        return NGX_OK;
    }

    rc = NGX_OK;
    fd = openat(dir, "lock.attached", O_RDONLY|O_CLOEXEC);

    for (i = 0; fd != -1 && i < NGX_ANALYTICS_PROBE_TRIES; i++) {

        if (ngx_analytics_log_flock(fd, LOCK_EX|LOCK_NB) == NGX_OK
            || errno != EWOULDBLOCK)
        {
            rc = NGX_OK;
            break;
        }

        rc = ngx_analytics_log_stranger(log, dir, &c);

        /* another one's look must not be taken for his stay */

        if (rc == NGX_OK
            || (i >= NGX_ANALYTICS_PROBE_LOOK
                && ngx_analytics_log_alive(log, &c)))
        {
            break;
        }

        usleep(NGX_ANALYTICS_PROBE_PAUSE);
    }

    if (fd != -1) {
        close(fd);
    }

    close(dir);

    if (rc == NGX_BUSY) {
        ngx_analytics_log_taken(log, &c);
    }

    return rc;
}


static void
ngx_analytics_log_taken(ngx_analytics_log_t *log, ngx_analytics_control_t *c)
{
    log->owner = c->owner;
    log->elsewhere = (c->owner_space != log->space);
}


/* NGX_BUSY if the directory's owner is no relative. */
static ngx_int_t
ngx_analytics_log_stranger(ngx_analytics_log_t *log, int dir,
    ngx_analytics_control_t *c)
{
    int      fd;
    ssize_t  n;

    fd = openat(dir, "control", O_RDONLY|O_CLOEXEC);
    if (fd == -1) {
        return NGX_OK;
    }

    n = pread(fd, c, sizeof(ngx_analytics_control_t), 0);
    close(fd);

    return (n == (ssize_t) sizeof(ngx_analytics_control_t)
            && ngx_analytics_log_valid(c)
            && !ngx_analytics_log_relative(log, c))
           ? NGX_BUSY : NGX_OK;
}


/* Others are attached: the control file is true. */
static ngx_int_t
ngx_analytics_log_join(ngx_analytics_log_t *log, ngx_analytics_fail_t *fail)
{
    ngx_analytics_control_t  *c;

    c = log->control;

    if (!ngx_analytics_log_valid(c)) {
        fail->err = 0;
        snprintf(fail->text, sizeof(fail->text), "\"%s/control\" is damaged, "
                 "or of another version, and in use", log->path);
        return NGX_ERROR;
    }

    if (!ngx_analytics_log_relative(log, c)) {
        ngx_analytics_log_taken(log, c);
        return NGX_BUSY;
    }

    if ((c->writing || c->redo)
        && ngx_analytics_log_clear(log, fail) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (c->owner != log->master && !ngx_analytics_log_child(log, c)) {
        c->owner = log->master;
        c->owner_parent = log->master_parent;
    }

    if (c->zone != log->zone) {
        c->foreign = ngx_analytics_log_tail(log)->position;
        ngx_analytics_barrier();
        c->zone = log->zone;
    }

    return NGX_OK;
}
