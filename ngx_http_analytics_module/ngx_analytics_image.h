
/*
 * The contents of a zone as sections, which is what a checkpoint is made of,
 * and back.
 *
 * A section is its kind and its contents, at most 1 MB; what takes more comes
 * in several sections of the same kind, and an entry is never split.  They
 * come in this order:
 *
 *     "prog"  the program
 *         0   8  retain totals=, microseconds
 *
 *     "zone"  what there is once
 *         0   8  when the zone was made     24   8  events
 *         8   8  last time of receipt       32   8  of these, older ones
 *        16   8  keys: none younger left    40   8  of a type that had no room
 *                                           48   8  users that had to leave
 *                                           56   8  events of refused users
 *        64   8  periods and cells that had to leave
 *        72   8  the hours are whole from this one on
 *        80   8  events of the busiest hour, 88   8  and which one it is
 *        96   8  first chunk of minutes that is kept, 104   8  of hours
 *       112   8  how many users follow, 120   8  and how many keys
 *       128 192  events of each hour of the day
 *
 *     "type"  types by their ids: entries of
 *             8  count
 *             1  length of the name, and the name
 *
 *     "hll "  registers that are not 0: entries of
 *             2  which one
 *             1  its value
 *
 *     "cell"  chunks of time cells, of each level the oldest period first:
 *             1  level: 0 minutes, 1 hours
 *             8  which of its buckets are not 0, bit 0 is the first
 *             *  series, and number of the chunk
 *             *  count of each of these buckets
 *
 *     "user"  users, who would leave first comes first:
 *             1  0x01 was active lately   0x02 may have left before
 *                0x04 events lack in its types
 *             1  length of the name
 *             1  how many types
 *             8  time of the first event
 *             *  count of events
 *             *  microseconds from the first to the last event
 *             .  name
 *             *  of each type its id, and its count
 *
 *     "key "  keys, oldest first: entries of
 *             8  hash        8  digest       8  first number
 *             8  last        8  received     4  events done
 *
 * (*) is an unsigned integer, seven bits a byte, the lowest first; 0x80 says
 * that another byte follows.
 *
 * Hashes and registers hold with the key of the log that is checkpointed.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_IMAGE_H_INCLUDED_
#define _NGX_ANALYTICS_IMAGE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_arena.h"
#include "ngx_analytics_users.h"
#include "ngx_analytics_zone.h"


#define NGX_ANALYTICS_IMAGE_KIND     4
#define NGX_ANALYTICS_IMAGE_MAX      1048576   /* bytes of a section */

/* no entry is longer; so much behind a section is readable, too */
#define NGX_ANALYTICS_IMAGE_ENTRY    4096

#define NGX_ANALYTICS_IMAGE_ZONE     (16 * 8 + 24 * 8)    /* bytes */
#define NGX_ANALYTICS_IMAGE_KEY      44

#define NGX_ANALYTICS_IMAGE_TOUCHED  0x01
#define NGX_ANALYTICS_IMAGE_INEXACT  0x02
#define NGX_ANALYTICS_IMAGE_LOSSY    0x04

/* users who are hashed before the first of them is looked up */
#define NGX_ANALYTICS_IMAGE_BATCH    16


/* Takes a section.  Returns NGX_OK or gives up. */
typedef ngx_int_t (*ngx_analytics_image_pt)(void *ctx, const char *kind,
    u_char *data, size_t len);


typedef struct {
    ngx_analytics_zone_t        *zone;
    ngx_uint_t                   seen;     /* the sections, a bit each */
    uint64_t                     steps;    /* that the hand may yet take */

    ngx_uint_t                   ntypes;
    uint64_t                     users;    /* that are still to come */
    uint64_t                     keys;

    ngx_uint_t                   n;        /* of the batch */
    ngx_analytics_user_image_t   batch[NGX_ANALYTICS_IMAGE_BATCH];
} ngx_analytics_image_t;


/*
 * Hands the sections of a zone that nobody else has to section(), from a
 * buffer of NGX_ANALYTICS_IMAGE_MAX bytes.  Returns NGX_OK or what section()
 * returned.
 */
ngx_int_t ngx_analytics_image_write(ngx_analytics_zone_t *z, u_char *buf,
    ngx_analytics_image_pt section, void *ctx);


/*
 * ngx_analytics_restore.c
 *
 * Starts reading into a zone that is new and that nobody else has.  Until
 * end() ngx_analytics_zone_recover() takes it for damaged.
 */
void ngx_analytics_image_start(ngx_analytics_image_t *image,
    ngx_analytics_zone_t *z);

/*
 * Returns NGX_OK, NGX_DECLINED if the kind is not known, or NGX_ERROR if the
 * section is malformed.  Any bytes are borne, but the zone is then only good
 * for clear().
 */
ngx_int_t ngx_analytics_image_section(ngx_analytics_image_t *image,
    const u_char *kind, u_char *data, size_t len);

/* Returns NGX_OK, or NGX_ERROR if something is missing. */
ngx_int_t ngx_analytics_image_end(ngx_analytics_image_t *image);

/* Zeroes what a zone has ever used of its memory; then it is none. */
void ngx_analytics_image_clear(ngx_analytics_zone_t *z);


/* Little-endian integers of 1 to 8 bytes. */

static ngx_inline u_char *
ngx_analytics_image_put(u_char *p, uint64_t value, ngx_uint_t bytes)
{
#if (NGX_HAVE_LITTLE_ENDIAN)

    ngx_memcpy(p, &value, bytes);

#else
    ngx_uint_t  i;

    for (i = 0; i < bytes; i++) {
        p[i] = (u_char) (value >> (8 * i));
    }

#endif

    return p + bytes;
}


static ngx_inline uint64_t
ngx_analytics_image_get(const u_char *p, ngx_uint_t bytes)
{
    uint64_t  value;

    value = 0;

#if (NGX_HAVE_LITTLE_ENDIAN)

    ngx_memcpy(&value, p, bytes);

#else
    ngx_uint_t  i;

    for (i = 0; i < bytes; i++) {
        value |= (uint64_t) p[i] << (8 * i);
    }

#endif

    return value;
}


#endif /* _NGX_ANALYTICS_IMAGE_H_INCLUDED_ */
