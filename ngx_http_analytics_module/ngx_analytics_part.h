
/*
 * A part of the store: the events of a range of the log in an SQLite database
 * of its own, which never changes once it has its name.
 *
 *     00000000000000000000-00000000000012345678.db
 *
 * holds the events of all records from the first position up to the second,
 * in 20 decimal digits each.  It is written under another name and synced
 * before it is given its own, so that there is nothing half done to be found,
 * and nothing to be told apart from the position it stands for.
 *
 *     part      name, value: "version" 1, "from", "to" (positions), "base"
 *               (microseconds since the epoch, what times are counted from),
 *               "events", "first", "last" (ids), "received_min",
 *               "received_max", "time_min", "time_max" (microseconds since
 *               the epoch), "log" (the log's id, 32 hexadecimal digits); if
 *               there are no events, "last" is that before, or 0, as are the
 *               others
 *     users     id, name, events: how many of this part
 *     types     likewise
 *     rows      id, user, type, time (microseconds behind base), lag (what
 *               the time of receipt is more than time), own (the id that the
 *               sender gave it, or NULL), properties (as they were sent, or
 *               NULL); those of a user who was erased have the user 0, which
 *               stands for none, and neither own nor properties
 *     events    for people, a view: id, event_id (own), user_id, type, time,
 *               received, properties; both times in RFC 3339
 *
 * with the indexes users(name), rows(user, time) and rows(time); ids are the
 * order of receipt.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_PART_H_INCLUDED_
#define _NGX_ANALYTICS_PART_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_event.h"
#include "ngx_analytics_reader.h"


#define NGX_ANALYTICS_PART_VERSION  1
#define NGX_ANALYTICS_PART_NAME     45       /* with ".db" and a NUL */
#define NGX_ANALYTICS_PART_TEMP     "store.tmp"


/* What the name says, and what the table "part" says. */
typedef struct {
    uint64_t                 from;
    uint64_t                 to;
    uint64_t                 size;           /* of the file, bytes */

    uint64_t                 events;
    uint64_t                 first;          /* ids */
    uint64_t                 last;
    int64_t                  base;
    int64_t                  received_min;
    int64_t                  received_max;
    int64_t                  time_min;
    int64_t                  time_max;
} ngx_analytics_part_t;


/* An event as the log and the store have it. */
typedef struct {
    uint64_t                 id;
    int64_t                  received;
    int64_t                  time;           /* never TIME_NONE */
    ngx_str_t                user;           /* empty: erased */
    ngx_str_t                type;
    ngx_str_t                own;            /* the sender's id; empty: none */
    ngx_str_t                properties;     /* likewise */
} ngx_analytics_row_t;


/* The row of an event of the log; texts are not copied. */
static ngx_inline void
ngx_analytics_row_of(ngx_analytics_row_t *row, ngx_analytics_event_t *event,
    uint64_t id, int64_t received)
{
    row->id = id;
    row->received = received;
    row->time = (event->time == NGX_ANALYTICS_TIME_NONE) ? received
                                                         : event->time;
    row->user = event->user;
    row->type = event->type;
    row->own = event->id;
    row->properties = event->properties;
}


/* What is left of the row of a user who was erased. */
static ngx_inline void
ngx_analytics_row_erase(ngx_analytics_row_t *row)
{
    ngx_str_null(&row->user);
    ngx_str_null(&row->own);
    ngx_str_null(&row->properties);
}


typedef struct ngx_analytics_part_writer_s  ngx_analytics_part_writer_t;


/* The file's name, NGX_ANALYTICS_PART_NAME bytes. */
void ngx_analytics_part_name(char *name, uint64_t from, uint64_t to);

/* Returns NGX_OK, or NGX_DECLINED if it is no part's name. */
ngx_int_t ngx_analytics_part_parse(const char *name, uint64_t *from,
    uint64_t *to);


/*
 * Writing.  There is one writer at a time in a directory (the caller has the
 * lease); what an earlier one left is removed.  path is the directory's
 * absolute name, dir a descriptor of it; last is the id before the first row,
 * or 0 if it is not known.  From malloc(); NULL and *fail.
 */
ngx_analytics_part_writer_t *ngx_analytics_part_create(int dir,
    const char *path, u_char *log_id, uint64_t last,
    ngx_analytics_fail_t *fail);

/*
 * In the order of ids.  Texts are copied.  NGX_OK, or NGX_ERROR and *fail;
 * then only abandon() may follow.
 */
ngx_int_t ngx_analytics_part_add(ngx_analytics_part_writer_t *w,
    ngx_analytics_row_t *row, ngx_analytics_fail_t *fail);

/*
 * Makes the indexes, syncs the file, gives it its name and syncs the
 * directory.  progress may be NULL; it is called now and then, and anything
 * but NGX_OK gives up (NGX_ABORT).  Frees the writer in all cases.
 * NGX_OK and *part; NGX_ABORT; or NGX_ERROR and *fail.
 */
ngx_int_t ngx_analytics_part_finish(ngx_analytics_part_writer_t *w,
    uint64_t from, uint64_t to, ngx_int_t (*progress)(void *ctx), void *ctx,
    ngx_analytics_part_t *part, ngx_analytics_fail_t *fail);

/* Frees the writer and removes its file. */
void ngx_analytics_part_abandon(ngx_analytics_part_writer_t *w);


/*
 * Writes n parts, in order and each where the one before it ends, anew as one:
 * ngx_analytics_part_merge.c.  They are left as they are.  Returns as
 * finish().
 */
ngx_int_t ngx_analytics_part_merge(int dir, const char *path,
    u_char *log_id, ngx_analytics_part_t *parts, ngx_uint_t n,
    ngx_int_t (*progress)(void *ctx), void *ctx,
    ngx_analytics_part_t *part, ngx_analytics_fail_t *fail);


#endif /* _NGX_ANALYTICS_PART_H_INCLUDED_ */
