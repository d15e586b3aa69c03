
/*
 * In what state the first process finds the log.
 *
 * Others were killed before, or the machine was, or the log was copied from
 * elsewhere: all that counts is what stands in the segments.  The control
 * file that is found tells only whether more than that was lost.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_log.h"
#include "ngx_analytics_checkpoint.h"
#include "ngx_analytics_fault.h"
#include "ngx_analytics_store.h"

#include <sys/random.h>
#include <sys/stat.h>


#define NGX_ANALYTICS_BOOT_ID  "/proc/sys/kernel/random/boot_id"

/* seconds from an event's receipt until its segment is written, at most */
#define NGX_ANALYTICS_WRITTEN  60


/* What boot of the machine this is; empty if it cannot be told. */
static void
ngx_analytics_log_boot(u_char *boot)
{
    int      fd;
    ssize_t  n;

    fd = open(NGX_ANALYTICS_BOOT_ID, O_RDONLY|O_CLOEXEC);

    if (fd != -1) {
        n = read(fd, boot, 36);

        if (n != 36) {
            ngx_memzero(boot, 36);
        }

        close(fd);
    }
}


/* Nanoseconds since the epoch, 0 if it cannot be told. */
static uint64_t
ngx_analytics_log_birth(int fd)
{
#ifdef STATX_BTIME
    struct statx  st;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) == 0
        && (st.stx_mask & STATX_BTIME))
    {
        return (uint64_t) st.stx_btime.tv_sec * 1000000000
               + st.stx_btime.tv_nsec;
    }
#endif

    return 0;
}


/*
 * Whether the control file is the very one that was mapped, over which no
 * copy was written.  Its number alone does not tell, as a file system soon
 * gives it to another file.  What writes to files sets both of their times
 * alike, and what copies sets the first to that of the original; or else,
 * the last segment was changed when no event came in.
 */
static ngx_uint_t
ngx_analytics_log_here(ngx_analytics_log_t *log)
{
    char                      name[NGX_ANALYTICS_LOG_NAME];
    struct stat               st;
    ngx_analytics_tail_t     *tail;
    ngx_analytics_control_t  *c;

    c = log->control;
    tail = ngx_analytics_log_tail(log);

    if (fstat(log->control_fd, &st) == -1
        || c->file[1] != (uint64_t) st.st_ino
        || c->file[2] != ngx_analytics_log_birth(log->control_fd)
        || st.st_mtim.tv_sec != st.st_ctim.tv_sec
        || st.st_mtim.tv_nsec != st.st_ctim.tv_nsec)
    {
        return 0;
    }

    ngx_analytics_segment_name(name, tail->base);

    return fstatat(log->dir, name, &st, 0) == 0
           && st.st_ctim.tv_sec
              <= tail->received / 1000000 + NGX_ANALYTICS_WRITTEN;
}


/*
 * Looks at the old control file.  If it is of this boot, and the very file
 * that was mapped, not what a backup copied of it, whoever was killed
 * in the middle of something is undone like by the next holder of the append
 * lock: what he had begun to cut off must not come back.
 */
static ngx_int_t
ngx_analytics_log_resume(ngx_analytics_log_t *log,
    ngx_analytics_found_t *found, ngx_analytics_fail_t *fail)
{
    struct stat               st;
    ngx_analytics_tail_t      tail;
    ngx_analytics_fail_t      ignored;
    ngx_analytics_control_t  *c;

    c = log->control;

    found->valid = ngx_analytics_log_valid(c);

    if (!found->valid) {
        return NGX_OK;
    }

    found->here = ngx_analytics_log_here(log);

    /* another boot may number the devices otherwise */

    found->same = (found->here
                   && found->boot[0] != '\0'
                   && memcmp(c->boot, found->boot, sizeof(c->boot)) == 0
                   && fstat(log->control_fd, &st) == 0
                   && c->file[0] == (uint64_t) st.st_dev);

    if (found->same && (c->writing || c->redo)) {
        tail = *ngx_analytics_log_tail(log);

        if (ngx_analytics_log_scan(log, tail.base, tail.position, found,
                                   &ignored)
            != NGX_OK
            || !found->known
            || memcmp(found->segment.id, c->id, sizeof(c->id)) != 0
            || found->tail.position != tail.position
            || found->tail.seq != tail.seq)
        {
            /* not the log that it was: nothing is known to be too much */
            c->writing = 0;
        }

        if (ngx_analytics_log_clear(log, fail) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    found->old = *c;

    return NGX_OK;
}


static int64_t
ngx_analytics_log_now(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);

    return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}


/* Makes the segment that was filled in, durably; the tail is in it. */
static ngx_int_t
ngx_analytics_log_start(ngx_analytics_log_t *log,
    ngx_analytics_found_t *found, ngx_analytics_fail_t *fail)
{
    char                      name[NGX_ANALYTICS_LOG_NAME];
    ngx_int_t                 rc;
    ngx_analytics_tail_t     *tail;
    ngx_analytics_flush_t     flush;
    ngx_analytics_segment_t  *segment;

    segment = &found->segment;
    segment->reserved = segment->seq + NGX_ANALYTICS_RESERVE;

    tail = &found->tail;
    tail->position = segment->position + NGX_ANALYTICS_SEGMENT_HEADER;
    tail->base = segment->position;
    tail->seq = segment->seq;
    tail->received = segment->created;

    ngx_memzero(&flush, sizeof(ngx_analytics_flush_t));

    flush.from = *tail;
    flush.to = *tail;
    flush.removed = 1;

    flush.fd = ngx_analytics_log_create(log, segment, fail);
    if (flush.fd == -1) {
        return NGX_ERROR;
    }

    ngx_analytics_fault_point();

    rc = ngx_analytics_log_flush(log, &flush, fail);
    close(flush.fd);

    if (rc != NGX_OK) {

        /* so that trying again does not leave one each time */

        ngx_analytics_segment_name(name, segment->position);
        (void) unlinkat(log->dir, name, 0);
    }

    return rc;
}


/*
 * The directory may have been made just now.  Who must not read the one that
 * it is in cannot sync it, nor can it be where nothing is written.
 */
static ngx_int_t
ngx_analytics_log_parent(ngx_analytics_log_t *log, ngx_analytics_fail_t *fail)
{
    int        fd;
    ngx_int_t  rc;

    fd = openat(log->dir, "..", O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1) {

        if (errno == EACCES) {
            return NGX_OK;
        }

        ngx_analytics_failed(fail, "open()", log->path, "..");
        return NGX_ERROR;
    }

    rc = NGX_OK;

    if (fsync(fd) == -1 && errno != EINVAL && errno != EROFS) {
        ngx_analytics_failed(fail, "fsync()", log->path, "..");
        rc = NGX_ERROR;
    }

    close(fd);

    return rc;
}


/* A new log. */
static ngx_int_t
ngx_analytics_log_new(ngx_analytics_log_t *log, ngx_analytics_found_t *found,
    ngx_analytics_fail_t *fail)
{
    u_char  random[16 + 2 * sizeof(uint64_t)];

    if (ngx_analytics_log_parent(log, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    if (getrandom(random, sizeof(random), 0) != (ssize_t) sizeof(random)) {
        ngx_analytics_failed(fail, "getrandom() for", log->path, NULL);
        return NGX_ERROR;
    }

    memcpy(found->segment.id, random, 16);
    memcpy(found->segment.key, random + 16, 2 * sizeof(uint64_t));
    found->segment.position = 0;
    found->segment.seq = 1;
    found->segment.created = ngx_analytics_log_now();

    return ngx_analytics_log_start(log, found, fail);
}


/* Numbers were given out that nothing tells of: goes on behind them. */
static ngx_int_t
ngx_analytics_log_skip(ngx_analytics_log_t *log,
    ngx_analytics_found_t *found, ngx_analytics_fail_t *fail)
{
    found->segment.position = found->tail.position;
    found->segment.seq = ngx_max(found->tail.seq, found->segment.reserved);
    found->segment.created = ngx_max(ngx_analytics_log_now(),
                                     found->tail.received);

    return ngx_analytics_log_start(log, found, fail);
}


/*
 * Puts aside what was made of more than there is of the log, before it goes
 * on and is as long again.
 */
static ngx_int_t
ngx_analytics_log_ahead(ngx_analytics_log_t *log, uint64_t end,
    ngx_analytics_fail_t *fail)
{
    char       text[sizeof(fail->text)];
    char       name[NGX_ANALYTICS_CHECKPOINT_NAME];
    ngx_int_t  rc;

    for ( ;; ) {
        rc = ngx_analytics_checkpoint_ahead(log->dir, log->path, end, name,
                                            fail);
        if (rc != NGX_OK) {
            break;
        }

        if (log->tell) {
            snprintf(text, sizeof(text), "checkpoint \"%s/%s\" is not used: "
                     "it is ahead of the log", log->path, name);
            log->tell(log, text);
        }

        ngx_analytics_fault_point();
    }

    return (rc == NGX_DONE)
           ? ngx_analytics_parts_ahead(log->dir, log->path, end, fail)
           : NGX_ERROR;
}


/*
 * Whether more was lost than a killed process loses.  A log that was closed
 * by its last process is whole after another boot, too, if it is no copy: the
 * original may have gone on.
 */
static ngx_uint_t
ngx_analytics_log_lost(ngx_analytics_found_t *found)
{
    ngx_analytics_tail_t  *tail;

    if (!found->valid) {
        return 1;
    }

    tail = &found->old.tails[found->old.current];

    if (found->same
        && found->tail.position >= tail->position
        && found->tail.seq >= tail->seq)
    {
        return 0;
    }

    return !found->here
           || !found->old.clean
           || found->tail.position != tail->position
           || found->tail.seq != tail->seq;
}


/* Makes what was found durable, and goes on behind it. */
static ngx_int_t
ngx_analytics_log_settle(ngx_analytics_log_t *log,
    ngx_analytics_found_t *found, ngx_analytics_fail_t *fail)
{
    char                   name[NGX_ANALYTICS_LOG_NAME];
    ngx_int_t              rc;
    struct stat            st;
    ngx_analytics_flush_t  flush;

    if (found->valid
        && memcmp(found->old.id, found->segment.id, sizeof(found->old.id))
           != 0)
    {
        /* the log was replaced */

        found->valid = 0;
        found->same = 0;
    }

    /* where it cannot be told, all of it may have been copied just now */

    ngx_memzero(&flush, sizeof(ngx_analytics_flush_t));

    flush.to = found->tail;
    flush.removed = 1;

    if (found->same) {
        flush.from = found->old.synced;
        flush.anew = (found->old.failed != 0);
    }

    ngx_analytics_segment_name(name, found->tail.base);

    flush.fd = ngx_analytics_log_open(log, name, O_RDWR, fail);
    if (flush.fd == -1) {
        return NGX_ERROR;
    }

    if (fstat(flush.fd, &st) == -1
        || ((uint64_t) st.st_size > found->tail.position - found->tail.base
            && ftruncate(flush.fd, (off_t) (found->tail.position
                                            - found->tail.base)) == -1))
    {
        ngx_analytics_failed(fail, "ftruncate()", log->path, name);
        close(flush.fd);
        return NGX_ERROR;
    }

    ngx_analytics_fault_point();

    rc = ngx_analytics_log_flush(log, &flush, fail);
    close(flush.fd);

    if (rc == NGX_OK) {
        rc = ngx_analytics_log_ahead(log, found->tail.position, fail);
    }

    if (rc == NGX_OK && ngx_analytics_log_lost(found)) {
        rc = ngx_analytics_log_skip(log, found, fail);
        log->lost = (rc == NGX_OK);
    }

    return rc;
}


/* What of the old control file is true still. */
static void
ngx_analytics_log_keep(ngx_analytics_log_t *log,
    ngx_analytics_found_t *found, ngx_analytics_control_t *c)
{
    ngx_analytics_control_t  *old;

    old = &found->old;

    /* one that no zone knows, as zones may have survived */

    c->epoch = (uint64_t) ngx_analytics_log_now();

    if (found->same) {
        c->epoch = old->epoch + log->lost;

        if (old->zone == log->zone && old->foreign < c->foreign) {
            c->foreign = old->foreign;
        }
    }

    if (found->valid && old->checkpoint <= found->tail.position) {
        c->checkpoint = old->checkpoint;
        c->checkpoint_time = old->checkpoint_time;
    }
}


/*
 * Writes the control file from scratch.  What of it is on the disk must never
 * be taken for what it is in memory: it is synced while it is not valid.
 */
static ngx_int_t
ngx_analytics_log_control(ngx_analytics_log_t *log,
    ngx_analytics_found_t *found, ngx_analytics_fail_t *fail)
{
    u_char                    buf[NGX_ANALYTICS_CONTROL_SIZE];
    struct stat               st;
    ngx_analytics_control_t   c;

    ngx_memzero(&c, sizeof(ngx_analytics_control_t));

    c.version = NGX_ANALYTICS_CONTROL_VERSION;
    memcpy(c.id, found->segment.id, sizeof(c.id));
    c.key[0] = found->segment.key[0];
    c.key[1] = found->segment.key[1];
    memcpy(c.boot, found->boot, sizeof(c.boot));

    c.tails[0] = found->tail;
    c.synced = found->tail;
    c.promised = found->tail;
    c.reserved = found->segment.reserved;
    c.damaged = found->damaged + found->gone;

    c.zone = log->zone;
    c.foreign = found->tail.position;
    c.owner = log->master;
    c.owner_parent = log->master_parent;
    c.owner_space = log->space;

    if (fstat(log->control_fd, &st) == 0) {
        c.file[0] = (uint64_t) st.st_dev;
        c.file[1] = (uint64_t) st.st_ino;
        c.file[2] = ngx_analytics_log_birth(log->control_fd);
    }

    ngx_analytics_log_keep(log, found, &c);

    ngx_memzero(buf, sizeof(buf));
    memcpy(buf, &c, sizeof(c));

    /* not through the mapping: a disk may be full */

    if (ngx_analytics_log_pwrite(log->control_fd, buf, sizeof(buf), 0)
        != NGX_OK
        || fsync(log->control_fd) == -1)
    {
        ngx_analytics_failed(fail, "pwrite()", log->path, "control");
        return NGX_ERROR;
    }

    ngx_analytics_fault_point();

    memcpy(log->control->magic, NGX_ANALYTICS_CONTROL_MAGIC,
           sizeof(log->control->magic));

    return NGX_OK;
}


ngx_int_t
ngx_analytics_log_first(ngx_analytics_log_t *log, ngx_analytics_fail_t *fail)
{
    ngx_int_t              rc;
    ngx_analytics_found_t  found;

    ngx_memzero(&found, sizeof(ngx_analytics_found_t));

    ngx_analytics_log_boot(found.boot);

    if (ngx_analytics_log_resume(log, &found, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_analytics_log_last(log, &found, fail);

    if (rc == NGX_OK) {
        rc = ngx_analytics_log_settle(log, &found, fail);

    } else if (rc == NGX_DONE) {
        found.valid = 0;
        found.same = 0;

        rc = ngx_analytics_log_ahead(log, 0, fail);

        if (rc == NGX_OK) {
            rc = ngx_analytics_log_new(log, &found, fail);
        }
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_analytics_fault_point();

    return ngx_analytics_log_control(log, &found, fail);
}
