
/*
 * The log: appending to it, and its directory.
 *
 *     00000000000000000000.log   segments, see ngx_analytics_record.h
 *     00000000000012345678.checkpoint
 *                                see ngx_analytics_checkpoint.h
 *     control                    the tail, mapped by all processes; who has
 *                                a flock() on it may append
 *     lock.attached              each process that uses the directory has a
 *                                shared flock() on it
 *     lock.recovery              has a flock() on it who rebuilds a zone,
 *     lock.checkpoint            and who writes a checkpoint; on the directory
 *                                itself has one who syncs
 *
 * A flock() is dropped by the kernel when its holder dies, and holds off the
 * processes of another generation of nginx, too.  A process opens the files
 * after fork(), as an inherited descriptor holds off nobody; its threads are
 * held off by a mutex of the process.
 *
 * The protocol is simpler than one in which appending and folding exclude
 * each other apart: whoever has the append lock first brings the zone up to
 * the tail (there is something to do only if its last holder was killed, or
 * was of another generation, which has a zone of its own), then appends and
 * folds what he appended, and only then lets the lock go.  So
 *
 *     - events are folded in the order of the log, from memory, by whom they
 *       came to;
 *     - whether a key was seen before can be told from the zone, at the very
 *       moment when the order of the log is settled;
 *     - locks nest one way, the zone's inside the append lock, and never the
 *       other: readers of the zone need no other lock.
 *
 * With "sync always" the fold comes before the sync, too, and the answer
 * after it.  Should the sync fail, what was not synced and not acknowledged
 * is cut off the log, and each zone that has folded it, which the epoch
 * tells, is rebuilt.  That is rare; and as a checkpoint stands on a synced
 * part of the log only, nothing durable is ever ahead.
 *
 * The control file that is on the disk is valid only if the last process
 * closed it.  The first one that attaches trusts none further than that: it
 * scans the last segment.  If the tail is then not what the control file of
 * this boot of the machine says, the machine lost power, and with it,
 * perhaps, numbers that had been given out already: the next one is the one
 * that the last segment's header says is reserved.  So it is in a copy, the
 * original of which may have gone on: that it is one, the control file's
 * number and birth tell, and, where files were written over, their times.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_LOG_H_INCLUDED_
#define _NGX_ANALYTICS_LOG_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_reader.h"

#include <pthread.h>


#define NGX_ANALYTICS_CONTROL_MAGIC    "NGXCTRL"
#define NGX_ANALYTICS_CONTROL_VERSION  1
#define NGX_ANALYTICS_CONTROL_SIZE     4096

/* how many are remembered; a power of two */
#define NGX_ANALYTICS_CUTS             16


/* Where the log ends.  Written whole, to the one of two that is not current. */
typedef struct {
    uint64_t                 position;     /* behind the last record */
    uint64_t                 seq;          /* the next event's */
    int64_t                  received;     /* of the last event */
    uint64_t                 base;         /* the last segment's position */
} ngx_analytics_tail_t;


/* The mapped control file.  Changed under the append lock. */
typedef struct {
    u_char                   magic[8];     /* "NGXCTRL" and a NUL, set last */
    uint32_t                 version;
    uint32_t                 current;      /* which of tails[]: 0 or 1 */
    ngx_analytics_tail_t     tails[2];

    u_char                   id[16];       /* the log's, and its key */
    uint64_t                 key[2];
    u_char                   boot[40];     /* what boot of the machine, */
    uint64_t                 file[3];      /* and this file: no copy of it */

    uint32_t                 writing;      /* behind the tail may be bytes */
    uint32_t                 wanted;       /* a hint: an event loop waits */

    ngx_analytics_tail_t     synced;       /* is on the disk, */
    ngx_analytics_tail_t     promised;     /* was acknowledged unsynced */
    uint64_t                 reserved;     /* numbers below are, durably */
    uint64_t                 epoch;        /* another one after each cut */
    uint64_t                 unused;
    uint32_t                 failed;       /* errno of a failed sync, or 0 */
    uint32_t                 clean;        /* closed by the last process */

    uint64_t                 zone;         /* the zone attached last, */
    uint64_t                 foreign;      /* and the tail of all others */

    int64_t                  owner;        /* the master's process id, */
    int64_t                  owner_parent; /* its parent's, */
    uint64_t                 owner_space;  /* and where these are valid */

    uint64_t                 checkpoint;   /* position of the newest */
    int64_t                  checkpoint_time;
    uint64_t                 damaged;      /* bytes found so by recovery */

    /* a copy to "synced" or "promised" that is under way, or not (0) */
    uint32_t                 redo;

    uint32_t                 removed;      /* files, since dir was synced */
    ngx_analytics_tail_t     redone;

    /* where the last cuts were, each at the place of its epoch */
    uint64_t                 cuts[NGX_ANALYTICS_CUTS];

    /* what the store was found to have, by who has its lease */

    uint64_t                 store;        /* position it reaches to, and the */
    uint64_t                 store_seq;    /* next event's number; 0: unknown */
    uint64_t                 store_parts;
    uint64_t                 store_size;   /* bytes of files, */
    uint64_t                 store_missing;  /* and of the log, in between */
} ngx_analytics_control_t;


/* A process's view of a log.  Zeroed by the caller but for what it sets. */
typedef struct ngx_analytics_log_s  ngx_analytics_log_t;

struct ngx_analytics_log_s {
    /* set by the caller; path is absolute and ends with a NUL */
    const char              *path;
    size_t                   segment_size;
    uint64_t                 zone;         /* id of the memory to fold into */
    int64_t                  master;       /* process ids, see above, */
    int64_t                  master_parent;
    uint64_t                 space;        /* of this namespace; 0: unknown */
    ngx_uint_t               always;       /* acknowledged is synced */

    /* by attach(): what it has put aside; may be NULL */
    void                   (*tell)(ngx_analytics_log_t *log,
                                   const char *text);

    int                      dir;
    int                      control_fd;
    int                      attached_fd;
    ngx_analytics_control_t *control;      /* NULL: not attached */

    int                      fd;           /* of the segment at base, */
    uint64_t                 base;
    uint64_t                 reserved;     /* as its header says, */
    uint64_t                 epoch;        /* opened in this one */

    pthread_mutex_t          mutex;        /* beside flock(control_fd): */
    pthread_mutex_t          sync;         /* append; and flock(dir): sync */
    ngx_uint_t               created;      /* the mutexes were */

    /* of attach(), for a message */
    int64_t                  owner;        /* NGX_BUSY: whose it is, */
    ngx_uint_t               elsewhere;    /* in another namespace */
    uint64_t                 cut_from;     /* a torn tail that was cut */
    uint64_t                 cut_to;
    ngx_uint_t               lost;         /* power was: numbers were skipped */
};


/*
 * Opens the directory, which exists, and the log, which is made if it is not
 * there; blocks, for a while if it has to scan.  The umask does not matter:
 * files are made 0600.
 * Returns
 *     NGX_OK     attached; unless cut_from == cut_to a torn tail was cut
 *     NGX_BUSY   a master that is no relative uses the directory: owner
 *     NGX_ERROR  *fail says why; nothing is left open, try again later
 * A master is a relative if it is the same, one is the other's parent, or
 * both have the same one: as with binary upgrades.  In another namespace of
 * process ids, as those of containers, it is none, whatever its number.
 */
ngx_int_t ngx_analytics_log_attach(ngx_analytics_log_t *log,
    ngx_analytics_fail_t *fail);

/*
 * For a master before it starts workers: whether an unrelated master's
 * processes use the directory.  Creates nothing.  Returns NGX_OK or NGX_BUSY
 * and log->owner; a directory that cannot be looked at is NGX_OK.
 */
ngx_int_t ngx_analytics_log_probe(ngx_analytics_log_t *log);

/*
 * Gives up the process's share of lock.attached.  Returns NGX_OK if nobody
 * else is attached; then nobody can attach until close().  Otherwise
 * NGX_BUSY.  The caller has no lock.
 */
ngx_int_t ngx_analytics_log_leave(ngx_analytics_log_t *log);

/* Closes everything, also after a failed attach. */
void ngx_analytics_log_close(ngx_analytics_log_t *log);


/*
 * The append lock.  trylock() does not wait: NGX_OK or NGX_BUSY.  lock()
 * waits and is for threads; it lets an event loop that wants it go first.
 * Both clear away what a killed holder left behind the tail.  NGX_ERROR (of
 * ftruncate() then): not locked.
 */
ngx_int_t ngx_analytics_log_trylock(ngx_analytics_log_t *log);
ngx_int_t ngx_analytics_log_lock(ngx_analytics_log_t *log);
void ngx_analytics_log_unlock(ngx_analytics_log_t *log);

/*
 * Locked.  What the next record is to carry: the number of its first event,
 * and its time of receipt, max(now, that of the last).
 */
void ngx_analytics_log_next(ngx_analytics_log_t *log, int64_t now,
    uint64_t *seq, int64_t *received);

/*
 * Locked.  Appends a finished record of n events with seq and received from
 * ngx_analytics_log_next(); starts a new segment if it would not fit (a
 * segment has at least one record).  Does not sync.
 * Returns NGX_OK; NGX_AGAIN if numbers must be reserved, that is, the log
 * synced, first; or NGX_ERROR and *fail: nothing was appended.
 */
ngx_int_t ngx_analytics_log_append(ngx_analytics_log_t *log, u_char *record,
    size_t len, ngx_uint_t n, ngx_analytics_fail_t *fail);

/*
 * Locked.  Starts a new segment, unless the last one has no record: what was
 * appended before is then in segments that nobody appends to any more.
 * Returns as append(), but for NGX_AGAIN.
 */
ngx_int_t ngx_analytics_log_new_segment(ngx_analytics_log_t *log,
    ngx_analytics_fail_t *fail);

/*
 * Blocks; without the lock.  Makes all that was appended before the call
 * durable, new segments' names included.  If the log has failed before, it is
 * first written anew from where it was synced.  log->always says what may be
 * cut.
 * Returns NGX_OK; or NGX_ERROR and *fail: control->failed is set, or the tail
 * was cut, which a new epoch tells, or both.
 * What was appended under another epoch than the one that is seen after
 * NGX_OK may have been cut by somebody else, before this call.
 */
ngx_int_t ngx_analytics_log_sync(ngx_analytics_log_t *log,
    ngx_analytics_fail_t *fail);

/*
 * After NGX_OK of leave() and of sync(), by the last process, right before
 * close(): the next one that attaches, and be it after the machine was
 * started anew, need not skip numbers.
 */
void ngx_analytics_log_clean(ngx_analytics_log_t *log);


/*
 * Whether what was appended up to position when the epoch was this one was
 * cut off since.  So many cuts ago that it is not known any more, it was.
 */
ngx_uint_t ngx_analytics_log_was_cut(ngx_analytics_log_t *log,
    uint64_t epoch, uint64_t position);


/* Not locked: a value of some moment. */

static ngx_inline ngx_analytics_tail_t *
ngx_analytics_log_tail(ngx_analytics_log_t *log)
{
    return &log->control->tails[
               __atomic_load_n(&log->control->current, __ATOMIC_ACQUIRE) & 1];
}


static ngx_inline uint64_t
ngx_analytics_log_position(ngx_analytics_log_t *log)
{
    return __atomic_load_n(&ngx_analytics_log_tail(log)->position,
                           __ATOMIC_RELAXED);
}


static ngx_inline uint64_t
ngx_analytics_log_synced(ngx_analytics_log_t *log)
{
    return __atomic_load_n(&log->control->synced.position, __ATOMIC_ACQUIRE);
}


/*
 * Removes segments that end at a position or before: ngx_analytics_trim.c.
 * All checkpoints are to be behind it, and whatever else is made of the log.
 * NGX_OK, or NGX_ERROR and *fail.
 */
ngx_int_t ngx_analytics_log_trim(int dir, const char *path, uint64_t to,
    ngx_analytics_fail_t *fail);

/*
 * Locked.  What is appended from now on is received then or later.  Returns
 * the time (microseconds), which is later if the log's is.
 */
static ngx_inline int64_t
ngx_analytics_log_touch(ngx_analytics_log_t *log, int64_t now)
{
    ngx_analytics_tail_t  *tail;

    tail = ngx_analytics_log_tail(log);

    if (tail->received < now) {
        __atomic_store_n(&tail->received, now, __ATOMIC_RELAXED);
    }

    return tail->received;
}


/* Between the files of the log. */

/* Like flock(), but signals do not interrupt it. */
ngx_int_t ngx_analytics_log_flock(int fd, int how);

/*
 * Opens a file of the directory; one that is made has the mode 0600.
 * Returns a descriptor, or -1 after filling *fail in.
 */
int ngx_analytics_log_open(ngx_analytics_log_t *log, const char *name,
    int flags, ngx_analytics_fail_t *fail);

/* Like pwrite(), but of all bytes.  NGX_OK or NGX_ERROR and errno. */
ngx_int_t ngx_analytics_log_pwrite(int fd, u_char *p, size_t len,
    off_t offset);

/*
 * Writes a small file beside, under the name temp, syncs it and puts it in
 * the place of the one of that name.  NGX_OK or NGX_ERROR and errno.
 */
ngx_int_t ngx_analytics_log_replace(int dir, const char *name,
    const char *temp, u_char *p, size_t len);

/* Writes a segment's header.  NGX_OK or NGX_ERROR and errno. */
ngx_int_t ngx_analytics_log_write_header(int fd,
    ngx_analytics_segment_t *segment);

/* Makes a segment's file with its header.  Returns a descriptor, or -1. */
int ngx_analytics_log_create(ngx_analytics_log_t *log,
    ngx_analytics_segment_t *segment, ngx_analytics_fail_t *fail);

/* Locked.  Sees that log->fd is the tail's segment.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_analytics_log_segment(ngx_analytics_log_t *log,
    ngx_analytics_tail_t *tail, ngx_analytics_fail_t *fail);

/* Locked.  Takes fd for that of the tail's segment. */
void ngx_analytics_log_adopt(ngx_analytics_log_t *log, int fd,
    ngx_analytics_segment_t *segment);

/*
 * Locked.  Removes the segments that begin there or behind, the last one
 * first.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_analytics_log_remove(ngx_analytics_log_t *log, uint64_t from,
    ngx_analytics_fail_t *fail);

/*
 * Locked.  Finishes what a killed holder of the lock had begun, and removes
 * what is behind the tail.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_analytics_log_clear(ngx_analytics_log_t *log,
    ngx_analytics_fail_t *fail);

/* Locked.  Makes tail the current one. */
void ngx_analytics_log_publish(ngx_analytics_control_t *c,
    ngx_analytics_tail_t *tail);

/* Locked.  Sets c->synced or c->promised, whole even if killed meanwhile. */
void ngx_analytics_log_set(ngx_analytics_control_t *c,
    ngx_analytics_tail_t *where, ngx_analytics_tail_t *tail);

/* Whether a control file is one of this version. */
ngx_uint_t ngx_analytics_log_valid(ngx_analytics_control_t *c);

/* What the first process finds. */
typedef struct {
    u_char                   boot[40];
    ngx_analytics_control_t  old;          /* what was written down, */
    ngx_uint_t               valid;        /* if it was, */
    ngx_uint_t               here;         /* to the files that are here, */
    ngx_uint_t               same;         /* and since the machine started */

    ngx_analytics_segment_t  segment;      /* the last one's header, */
    ngx_uint_t               known;        /* if it has one */
    ngx_uint_t               records;      /* in it */
    ngx_analytics_tail_t     tail;
    uint64_t                 damaged;      /* bytes of it, */
    uint64_t                 gone;         /* and of what was put aside */
} ngx_analytics_found_t;


/*
 * By the first process.  Reads a segment up to limit: its header, records,
 * damage and tail.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_analytics_log_scan(ngx_analytics_log_t *log, uint64_t base,
    uint64_t limit, ngx_analytics_found_t *found, ngx_analytics_fail_t *fail);

/*
 * By the first process.  Finds the last segment, and scans it.  NGX_OK,
 * NGX_DONE if there is no log at all, or NGX_ERROR.
 */
ngx_int_t ngx_analytics_log_last(ngx_analytics_log_t *log,
    ngx_analytics_found_t *found, ngx_analytics_fail_t *fail);

/*
 * By the first process, which has all locks: looks what there is in the
 * directory, mends it, and writes the control file.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_analytics_log_first(ngx_analytics_log_t *log,
    ngx_analytics_fail_t *fail);

/* What is to be made durable. */
typedef struct {
    int                      fd;           /* of the segment of "to" */
    ngx_analytics_tail_t     from;
    ngx_analytics_tail_t     to;
    uint64_t                 reserved;
    uint32_t                 removed;
    ngx_uint_t               anew;         /* write it anew first */
    ngx_uint_t               failed;       /* the disk has */
} ngx_analytics_flush_t;


/*
 * Syncs the files, and the directory if needed.  NGX_OK or NGX_ERROR; then
 * flush->failed says whether the disk was to blame.
 */
ngx_int_t ngx_analytics_log_flush(ngx_analytics_log_t *log,
    ngx_analytics_flush_t *flush, ngx_analytics_fail_t *fail);


#endif /* _NGX_ANALYTICS_LOG_H_INCLUDED_ */
