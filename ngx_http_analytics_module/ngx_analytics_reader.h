
/*
 * Reads a log's records in order, also while others append to it.
 *
 * What is damaged is passed over: the reader looks for the next record that
 * is whole and whose number comes after those it has seen, and says which
 * bytes it skipped.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_READER_H_INCLUDED_
#define _NGX_ANALYTICS_READER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_record.h"


#define NGX_ANALYTICS_LOG_NAME   25        /* "00000000000000000000.log\0" */
#define NGX_ANALYTICS_END        UINT64_MAX


/* Why something with a file failed: "open() "/a/b" failed", and errno. */
typedef struct {
    int                      err;
    char                     text[512];
} ngx_analytics_fail_t;


typedef struct {
    int                      dir;          /* of the caller, stays open */
    const char              *path;         /* its name, for messages */
    int                      fd;           /* of the segment */
    ngx_analytics_segment_t  segment;
    ngx_uint_t               known;        /* a header was read: id and key */
    uint64_t                 end;          /* the next segment, or _END */

    uint64_t                *segments;     /* those known of, in order, */
    ngx_uint_t               nsegments;
    ngx_uint_t               next;         /* and the first behind this one */

    uint64_t                 position;     /* of what is read next */
    uint64_t                 seq;          /* the next event's, at least */

    u_char                  *buf;
    size_t                   size;
    uint64_t                 buf_position; /* of buf[0] */
    size_t                   buf_len;

    uint64_t                 damage_from;  /* what NGX_DECLINED is about */
    uint64_t                 damage_to;
} ngx_analytics_reader_t;


/*
 * Starts reading at a position, which is that of a record or of a segment;
 * at the first segment if it is 0.  dir is an open directory.
 * Returns NGX_OK, NGX_DONE if there is no segment at all, or NGX_ERROR
 * after filling *fail in (err is 0 if no system call failed; then the
 * position is not in the log).  Close in all cases.
 * That the segment's header is damaged, or not there yet, is no error: then
 * r->known is 0, and of r->segment only the position is set.
 */
ngx_int_t ngx_analytics_reader_open(ngx_analytics_reader_t *r, int dir,
    const char *path, uint64_t position, ngx_analytics_fail_t *fail);

/*
 * Takes the next record that ends at limit or before.  Its payload is valid
 * until the next call.  Returns
 *     NGX_OK        *record
 *     NGX_DONE      there is none (yet); r->position is behind the last one.
 *                   With limit END a torn tail is damage first: see below
 *     NGX_DECLINED  damage_from to damage_to is no record, or a damaged
 *                   header.  If limit is END and damage_to the end of the
 *                   log, the tail is torn or damaged, and r->position stays
 *                   at damage_from; otherwise reading goes on behind with the
 *                   next call.  What a file lacks up to the next segment, or
 *                   up to another limit than END, is damage, too; damage lies
 *                   in one segment, r->segment.position
 *     NGX_ERROR     a system call failed, or a segment is of another log, of
 *                   a newer version or has the name of another: see *fail
 */
ngx_int_t ngx_analytics_reader_next(ngx_analytics_reader_t *r,
    uint64_t limit, ngx_analytics_record_t *record,
    ngx_analytics_fail_t *fail);

void ngx_analytics_reader_close(ngx_analytics_reader_t *r);


/*
 * The segments of a directory in order, in memory from malloc() that the
 * caller frees.  Other files are none of them.  Returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_analytics_segments(int dir, const char *path,
    uint64_t **positions, ngx_uint_t *n, ngx_analytics_fail_t *fail);

/*
 * Reads a segment's header.  NGX_OK; NGX_DECLINED if there is no such segment,
 * or its header cannot be read; or NGX_ERROR and *fail.
 */
ngx_int_t ngx_analytics_segment_look(int dir, const char *path,
    uint64_t position, ngx_analytics_segment_t *segment,
    ngx_analytics_fail_t *fail);

/* Writes a segment's file name, NGX_ANALYTICS_LOG_NAME bytes. */
void ngx_analytics_segment_name(char *name, uint64_t position);

/* Fills *fail in from errno: 'WHAT "path/name" failed'; name may be NULL. */
void ngx_analytics_failed(ngx_analytics_fail_t *fail, const char *what,
    const char *path, const char *name);


/* Whether descriptors or memory were short: then no file is to blame. */
static ngx_inline ngx_uint_t
ngx_analytics_short(ngx_analytics_fail_t *fail)
{
    return fail->err == EMFILE || fail->err == ENFILE || fail->err == ENOMEM;
}


#endif /* _NGX_ANALYTICS_READER_H_INCLUDED_ */
