
/*
 * The store: the parts of a directory, and what is done with them.
 *
 * The log itself is the part that is being written: whatever is behind the
 * last part is read there.  So a part is written once, of a range of the log
 * that is synced, and has its name only when it is on the disk: nothing is
 * stored twice or skipped, whoever dies when.  Small parts that follow each
 * other are written anew as one; then, for a moment, both are there, and the
 * one that lies within the other is not looked at.  To forget events is to
 * remove the files that hold nothing else.
 *
 * Who does this holds a lease, a flock() on "lock.store".
 *
 * A part that SQLite cannot read is renamed to "....bad", by whoever finds
 * that, and made again from the log as far as that reaches; until then its
 * range is read there, too.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_STORE_H_INCLUDED_
#define _NGX_ANALYTICS_STORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_part.h"


#if (NGX_ANALYTICS_FAULTS && NGX_ANALYTICS_STORE_SCALE)

/* tests need little for many parts */
#define NGX_ANALYTICS_STORE_EVENTS(n)  ((n) / NGX_ANALYTICS_STORE_SCALE)

#else

#define NGX_ANALYTICS_STORE_EVENTS(n)  (n)

#endif

/* how many events: a part that is worth writing, and at most */
#define NGX_ANALYTICS_STORE_MIN    NGX_ANALYTICS_STORE_EVENTS(32768)
#define NGX_ANALYTICS_STORE_MAX    NGX_ANALYTICS_STORE_EVENTS(1048576)

/*
 * A part of so many events is not written anew.  Smaller ones are, when there
 * are enough for one of that size, or so many small ones in a row: so an event
 * is written three times at most.
 */
#define NGX_ANALYTICS_STORE_FULL   NGX_ANALYTICS_STORE_EVENTS(524288)
#define NGX_ANALYTICS_STORE_SMALL  NGX_ANALYTICS_STORE_EVENTS(131072)
#define NGX_ANALYTICS_STORE_MERGE  8


/*
 * Where events are kept for a time, they are received within a share of it in
 * each part, and those that are not in a part yet are waited with no longer:
 * so they are not kept much longer.
 */
#define NGX_ANALYTICS_STORE_SPANS  16


/* What there is in a directory: parts in order that do not overlap. */
typedef struct {
    ngx_analytics_part_t    *parts;          /* from malloc() */
    ngx_uint_t               n;

    uint64_t                 from;           /* also of bad ones, 0 if there */
    uint64_t                 to;             /* are none at all */
    uint64_t                 missing;        /* bytes of the log in between */
    uint64_t                 size;           /* of the files */
} ngx_analytics_store_list_t;


/*
 * Reads the names, and nothing of the files: of parts, only from, to and size
 * are set.  Those within another one are left out.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_analytics_store_list(int dir, const char *path,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail);

/*
 * Whether a file is a part, or a bad one: NGX_OK, *part's from and to, and
 * *bad; or NGX_DECLINED.
 */
ngx_int_t ngx_analytics_parts_parse(const char *name,
    ngx_analytics_part_t *part, ngx_uint_t *bad);

void ngx_analytics_store_free(ngx_analytics_store_list_t *list);

/*
 * Puts a part aside (NAME.bad) that cannot be read, as *fail says, and tells
 * of it; by anybody.  With an inode, only if it is that file still.  NGX_OK,
 * or NGX_ERROR and *fail.
 */
ngx_int_t ngx_analytics_parts_bad(int dir, const char *path,
    ngx_analytics_part_t *part, ino_t inode, ngx_analytics_fail_t *fail);

/* The same of any file, under another name; what it is goes to who is told. */
ngx_int_t ngx_analytics_parts_aside(int dir, const char *path,
    const char *name, const char *aside, ino_t inode, const char *what,
    ngx_analytics_fail_t *fail);

/* who is told what was put aside and why, or NULL */
extern void (*ngx_analytics_parts_told)(const char *what,
    ngx_analytics_fail_t *fail);

/*
 * Sets parts aside (NAME.ahead) that are of a log that went farther than
 * this one: a backup may have got more of the store than of the log.  Before
 * anything is appended.  NGX_OK or NGX_ERROR and *fail.
 */
ngx_int_t ngx_analytics_parts_ahead(int dir, const char *path, uint64_t tail,
    ngx_analytics_fail_t *fail);


typedef struct ngx_analytics_store_conf_s  ngx_analytics_store_conf_t;

struct ngx_analytics_store_conf_s {
    int                      dir;
    const char              *path;
    u_char                  *log_id;         /* 16 bytes */
    uint64_t                 synced;         /* the log is, up to here, */
    uint64_t                 seq;            /* where this is the next event */
    ngx_uint_t               all;            /* also write small parts */

    int64_t                  now;            /* microseconds */
    int64_t                  keep_time;      /* microseconds, 0: for ever; */
                                             /* see _SPANS */
    uint64_t                 keep_size;      /* bytes of parts, 0: all */
    int64_t                  needed;         /* events received then or later */
                                             /* are kept, whatever they say */

    ngx_int_t              (*progress)(void *ctx);     /* NULL: none */
    void                    *ctx;

    /* told: where its first event is at the earliest, and from where on the */
    uint64_t                 from;           /* log is not in it yet, and the */
    uint64_t                 to;             /* event; 0: there is no part */
    uint64_t                 to_seq;
    uint64_t                 parts;
    uint64_t                 size;           /* bytes of files, */
    uint64_t                 missing;        /* and of the log, in between */

    /* called as soon as that is known, before what takes long; or NULL */
    void                   (*tell)(ngx_analytics_store_conf_t *conf);
};


/*
 * Does the most urgent thing there is to do: makes a part (of the log behind
 * the last one, or of what is missing), writes small ones anew as one,
 * removes what is too old or lies within another part.  Of the newest part the
 * name is kept, with no events if they are too old.  By who has the lease;
 * blocks.
 * Returns
 *     NGX_OK     something was done, there may be more
 *     NGX_DONE   nothing is to be done now
 *     NGX_ABORT  progress() said so
 *     NGX_ERROR  *fail
 */
ngx_int_t ngx_analytics_store_step(ngx_analytics_store_conf_t *conf,
    ngx_analytics_fail_t *fail);


/* Between the files of the store. */

/* So long after the first event of a part its last one is received at most. */
static ngx_inline int64_t
ngx_analytics_store_span(ngx_analytics_store_conf_t *conf)
{
    return conf->keep_time ? conf->keep_time / NGX_ANALYTICS_STORE_SPANS
                           : INT64_MAX;
}

/*
 * Forgets what is too old or too much, one file of it; what the list's parts
 * say of themselves is known: ngx_analytics_store_retain.c.  NGX_OK,
 * NGX_DECLINED if there is none, or NGX_ERROR.
 */
ngx_int_t ngx_analytics_store_retain(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail);


#endif /* _NGX_ANALYTICS_STORE_H_INCLUDED_ */
