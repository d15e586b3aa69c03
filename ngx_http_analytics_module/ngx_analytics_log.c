
/*
 * The append lock, and appending.
 *
 * Whoever changes files sets control->writing first, and clears it last: what
 * is behind the tail then is somebody's who was killed.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_log.h"
#include "ngx_analytics_fault.h"

#include <sys/file.h>


#define NGX_ANALYTICS_LOG_YIELD    100     /* usec, to an event loop */

/* which one control->redo is about */
#define NGX_ANALYTICS_REDO_SYNCED    1
#define NGX_ANALYTICS_REDO_PROMISED  2


static ngx_int_t ngx_analytics_log_locked(ngx_analytics_log_t *log);
static ngx_int_t ngx_analytics_log_usable(ngx_analytics_log_t *log,
    ngx_analytics_fail_t *fail);
static void ngx_analytics_log_advance(ngx_analytics_log_t *log,
    ngx_analytics_tail_t *tail);
static ngx_int_t ngx_analytics_log_roll(ngx_analytics_log_t *log,
    ngx_analytics_tail_t *tail, int64_t created, ngx_analytics_fail_t *fail);


ngx_int_t
ngx_analytics_log_flock(int fd, int how)
{
    int  rc;

    do {
        rc = flock(fd, how);
    } while (rc == -1 && errno == EINTR);

    return rc == 0 ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_analytics_log_trylock(ngx_analytics_log_t *log)
{
    ngx_err_t  err;

    if (pthread_mutex_trylock(&log->mutex) != 0) {
        __atomic_store_n(&log->control->wanted, 1, __ATOMIC_RELAXED);
        return NGX_BUSY;
    }

    if (ngx_analytics_log_flock(log->control_fd, LOCK_EX|LOCK_NB) == NGX_OK) {
        return ngx_analytics_log_locked(log);
    }

    err = errno;
    (void) pthread_mutex_unlock(&log->mutex);

    if (err == EWOULDBLOCK) {
        __atomic_store_n(&log->control->wanted, 1, __ATOMIC_RELAXED);
        return NGX_BUSY;
    }

    errno = err;

    return NGX_ERROR;
}


ngx_int_t
ngx_analytics_log_lock(ngx_analytics_log_t *log)
{
    if (__atomic_exchange_n(&log->control->wanted, 0, __ATOMIC_RELAXED)) {
        usleep(NGX_ANALYTICS_LOG_YIELD);
    }

    (void) pthread_mutex_lock(&log->mutex);

    if (ngx_analytics_log_flock(log->control_fd, LOCK_EX) != NGX_OK) {
        (void) pthread_mutex_unlock(&log->mutex);
        return NGX_ERROR;
    }

    return ngx_analytics_log_locked(log);
}


static ngx_int_t
ngx_analytics_log_locked(ngx_analytics_log_t *log)
{
    ngx_err_t                 err;
    ngx_analytics_fail_t      fail;
    ngx_analytics_control_t  *c;

    c = log->control;

    if ((c->writing || c->redo)
        && ngx_analytics_log_clear(log, &fail) != NGX_OK)
    {
        err = fail.err;
        ngx_analytics_log_unlock(log);
        errno = err;

        return NGX_ERROR;
    }

    return NGX_OK;
}


void
ngx_analytics_log_unlock(ngx_analytics_log_t *log)
{
    (void) ngx_analytics_log_flock(log->control_fd, LOCK_UN);
    (void) pthread_mutex_unlock(&log->mutex);
}


ngx_int_t
ngx_analytics_log_clear(ngx_analytics_log_t *log, ngx_analytics_fail_t *fail)
{
    ngx_analytics_tail_t      tail;
    ngx_analytics_control_t  *c;

    c = log->control;

    if (c->redo) {
        if (c->redo == NGX_ANALYTICS_REDO_SYNCED) {
            c->synced = c->redone;

        } else {
            c->promised = c->redone;
        }

        ngx_analytics_barrier();
        c->redo = 0;
    }

    if (!c->writing) {
        return NGX_OK;
    }

    tail = *ngx_analytics_log_tail(log);

    if (ngx_analytics_log_remove(log, tail.position, fail) != NGX_OK
        || ngx_analytics_log_segment(log, &tail, fail) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_analytics_fault_point();

    if (ftruncate(log->fd, (off_t) (tail.position - tail.base)) == -1) {
        ngx_analytics_failed(fail, "ftruncate()", log->path, NULL);
        return NGX_ERROR;
    }

    if (c->foreign > tail.position) {
        c->foreign = tail.position;
    }

    ngx_analytics_barrier();
    c->writing = 0;

    return NGX_OK;
}


void
ngx_analytics_log_next(ngx_analytics_log_t *log, int64_t now, uint64_t *seq,
    int64_t *received)
{
    ngx_analytics_tail_t  *tail;

    tail = ngx_analytics_log_tail(log);

    *seq = tail->seq;
    *received = ngx_max(now, tail->received);
}


/*
 * A segment ends when it is large, and before its reserved numbers come to
 * an end: half of them are left then, to be given out while the next header
 * waits for its sync.
 */
static ngx_uint_t
ngx_analytics_log_full(ngx_analytics_log_t *log, ngx_analytics_tail_t *tail,
    size_t len, ngx_uint_t n)
{
    uint64_t  used;

    used = tail->position - tail->base;

    return used > NGX_ANALYTICS_SEGMENT_HEADER
           && (used + len > log->segment_size
               || tail->seq + n + NGX_ANALYTICS_RESERVE / 2 > log->reserved);
}


/* The time of receipt that a finished record has. */
static int64_t
ngx_analytics_log_received(u_char *record)
{
    uint64_t    received;
    ngx_uint_t  i;

    received = 0;

    for (i = 0; i < 8; i++) {
        received |= (uint64_t) record[16 + i] << 8 * i;
    }

    return (int64_t) received;
}


ngx_int_t
ngx_analytics_log_append(ngx_analytics_log_t *log, u_char *record, size_t len,
    ngx_uint_t n, ngx_analytics_fail_t *fail)
{
    int64_t                   received;
    ngx_analytics_fail_t      ignored;
    ngx_analytics_tail_t      tail;
    ngx_analytics_control_t  *c;

    c = log->control;
    tail = *ngx_analytics_log_tail(log);

    if (ngx_analytics_log_usable(log, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    received = ngx_analytics_log_received(record);

    if (ngx_analytics_log_segment(log, &tail, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_analytics_log_full(log, &tail, len, n)
        && ngx_analytics_log_roll(log, &tail, received, fail) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (tail.seq + n > c->reserved) {
        return NGX_AGAIN;
    }

    c->writing = 1;
    ngx_analytics_barrier();
    ngx_analytics_fault_point();

    if (ngx_analytics_log_pwrite(log->fd, record, len,
                                 (off_t) (tail.position - tail.base))
        != NGX_OK)
    {
        ngx_analytics_failed(fail, "pwrite()", log->path, NULL);
        (void) ngx_analytics_log_clear(log, &ignored);
        return NGX_ERROR;
    }

    tail.position += len;
    tail.seq += n;
    tail.received = received;

    ngx_analytics_log_advance(log, &tail);

    return NGX_OK;
}


ngx_int_t
ngx_analytics_log_new_segment(ngx_analytics_log_t *log,
    ngx_analytics_fail_t *fail)
{
    ngx_analytics_tail_t  tail;

    if (ngx_analytics_log_usable(log, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    tail = *ngx_analytics_log_tail(log);

    if (tail.position == tail.base + NGX_ANALYTICS_SEGMENT_HEADER) {
        return NGX_OK;
    }

    return ngx_analytics_log_roll(log, &tail, tail.received, fail);
}


static ngx_int_t
ngx_analytics_log_usable(ngx_analytics_log_t *log, ngx_analytics_fail_t *fail)
{
    if (log->control->failed == 0) {
        return NGX_OK;
    }

    fail->err = (int) log->control->failed;
    snprintf(fail->text, sizeof(fail->text),
             "the log in \"%s\" could not be synced", log->path);

    return NGX_ERROR;
}


/* Ends what "writing" has begun. */
static void
ngx_analytics_log_advance(ngx_analytics_log_t *log,
    ngx_analytics_tail_t *tail)
{
    ngx_analytics_control_t  *c;

    c = log->control;

    /* before: who has the other zone must not miss it */

    if (c->zone != log->zone) {
        c->foreign = tail->position;
        ngx_analytics_barrier();
    }

    ngx_analytics_fault_point();

    ngx_analytics_log_publish(c, tail);

    ngx_analytics_fault_point();

    if (!log->always) {
        ngx_analytics_log_set(c, &c->promised, tail);
    }

    ngx_analytics_barrier();
    c->writing = 0;
    ngx_analytics_fault_point();
}


void
ngx_analytics_log_publish(ngx_analytics_control_t *c,
    ngx_analytics_tail_t *tail)
{
    uint32_t  next;

    next = (c->current & 1) ^ 1;

    c->tails[next] = *tail;

    ngx_analytics_fault_point();

    __atomic_store_n(&c->current, next, __ATOMIC_RELEASE);
}


void
ngx_analytics_log_set(ngx_analytics_control_t *c, ngx_analytics_tail_t *where,
    ngx_analytics_tail_t *tail)
{
    c->redone = *tail;
    ngx_analytics_barrier();

    c->redo = (where == &c->synced) ? NGX_ANALYTICS_REDO_SYNCED
                                    : NGX_ANALYTICS_REDO_PROMISED;
    ngx_analytics_fault_point();
    ngx_analytics_barrier();

    where->seq = tail->seq;
    where->received = tail->received;
    where->base = tail->base;

    ngx_analytics_fault_point();

    __atomic_store_n(&where->position, tail->position, __ATOMIC_RELEASE);

    ngx_analytics_barrier();
    c->redo = 0;
    ngx_analytics_fault_point();
}


/* Starts a segment at the tail. */
static ngx_int_t
ngx_analytics_log_roll(ngx_analytics_log_t *log, ngx_analytics_tail_t *tail,
    int64_t created, ngx_analytics_fail_t *fail)
{
    int                       fd;
    ngx_analytics_fail_t      ignored;
    ngx_analytics_control_t  *c;
    ngx_analytics_segment_t   segment;

    c = log->control;

    memcpy(segment.id, c->id, sizeof(segment.id));
    segment.key[0] = c->key[0];
    segment.key[1] = c->key[1];
    segment.position = tail->position;
    segment.seq = tail->seq;
    segment.reserved = tail->seq + NGX_ANALYTICS_RESERVE;
    segment.created = created;

    c->writing = 1;
    ngx_analytics_barrier();
    ngx_analytics_fault_point();

    fd = ngx_analytics_log_create(log, &segment, fail);

    if (fd == -1) {
        if (fail->err == EEXIST) {

            /* not ours to remove */
            c->writing = 0;

        } else {
            (void) ngx_analytics_log_clear(log, &ignored);
        }

        return NGX_ERROR;
    }

    tail->base = tail->position;
    tail->position += NGX_ANALYTICS_SEGMENT_HEADER;

    ngx_analytics_log_advance(log, tail);
    ngx_analytics_log_adopt(log, fd, &segment);

    return NGX_OK;
}
