
/*
 * The contents of a zone as sections, which is what a checkpoint is made of,
 * and back.
 *
 * A section is its kind and its contents, at most 1 MB; what takes more comes
 * in several sections of the same kind, and an entry is never split.  They
 * come in this order:
 *
 *     "prog"  the program's text, as ngx_analytics_rules.h describes it
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
 *        96  40  first period that is kept, of each level
 *       136   8  how many users follow, 144   8  and how many keys
 *       152   8  events of no session
 *       160   8  day from which on users by day are whole
 *       168   8  how often metrics were completed from what was stored
 *       176 192  events of each hour of the day
 *
 *     "type"  types by their ids: entries of
 *             8  count
 *             1  length of the name, and the name
 *
 *     "hll "  registers that are not 0: entries of
 *             2  which one
 *             1  its value
 *
 *     "meas"  measures, numbered from 0 on as they come:
 *             8  signature of the source
 *             4  classes that are kept
 *             4  classes that are being given up
 *         6 x 8  of each class the first event's number,
 *         6 x 8  and when that was received
 *             8  values that were no numbers
 *             8  points before the hours that are kept
 *             8  points of groups without a place
 *             4  0, or 1: not exact
 *             4  groups that have a place
 *             8  points of the group that has the fewest, or fewer
 *             8  what was counted of all time
 *             8  of that what had no group when it came
 *             8  number of the first event in it
 *
 *     "grup"  groups: entries of
 *             *  number of the measure, and index in it
 *             1  0, or 1: it is being given up
 *             *  points, how many may lack, and what was counted
 *             1  length of the name, and the name
 *
 *     "cell"  chunks of time cells, of each level the oldest period first:
 *             1  level: 0 minutes, 1 hours, 2 sketches by hour, 3 distinct
 *                values by day, 4 days
 *             1  plane, see ngx_analytics_plane_e
 *             8  which of its words are not 0, bit 0 is the first
 *             *  series, with the measure's number + 1 from bit 16 on; and
 *                number of the chunk
 *             .  each of these words: a count (*), or two counts (**), or
 *                eight registers
 *
 *     "user"  users, who would leave first comes first:
 *             1  0x01 was active lately   0x02 may have left before
 *                0x04 events lack in its types
 *             1  length of the name
 *             1  how many types
 *             1  how many sessions, 0x80: there were others before
 *             1  how many days; 255: a bit each
 *             8  time of the first event
 *             *  count of events
 *             *  microseconds from the first to the last event
 *             *  of each session, the last one first: microseconds from the
 *                first event to its start, and from there to its end
 *             4  first and last day; then
 *             2  of each day its number, or
 *             4  number of the first 64 days, and how many follow,
 *             8  and these
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
#include "ngx_analytics_bytes.h"
#include "ngx_analytics_users.h"
#include "ngx_analytics_zone.h"


#define NGX_ANALYTICS_IMAGE_KIND     4
#define NGX_ANALYTICS_IMAGE_MAX      1048576   /* bytes of a section */

/* no entry is longer; so much behind a section is readable, too */
#define NGX_ANALYTICS_IMAGE_ENTRY    16384

#define NGX_ANALYTICS_IMAGE_WORDS    22
#define NGX_ANALYTICS_IMAGE_ZONE     ((NGX_ANALYTICS_IMAGE_WORDS + 24) * 8)
#define NGX_ANALYTICS_IMAGE_MEASURE                                           \
    (8 + 4 + 4 + 2 * 8 * NGX_ANALYTICS_CLASSES + 3 * 8 + 4 + 4 + 4 * 8)
#define NGX_ANALYTICS_IMAGE_KEY      44

/* counts above, which are of no log, could run into what is beside them */
#define NGX_ANALYTICS_IMAGE_COUNT    ((uint64_t) 1 << 47)

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
    ngx_uint_t                   nmeasures;
    uint64_t                     users;    /* that are still to come */
    uint64_t                     keys;

    uint64_t    indexes[NGX_ANALYTICS_MEASURES][NGX_ANALYTICS_GONE];

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


/*
 * ngx_analytics_restore_measures.c
 *
 * Sections "meas", "grup" and "cell", from p to last, taken into the zone.
 * Return NGX_OK, or NGX_ERROR if they are malformed.
 */
ngx_int_t ngx_analytics_image_read_measures(ngx_analytics_image_t *image,
    u_char *p, u_char *last);
ngx_int_t ngx_analytics_image_read_groups(ngx_analytics_image_t *image,
    u_char *p, u_char *last);
ngx_int_t ngx_analytics_image_read_cells(ngx_analytics_image_t *image,
    u_char *p, u_char *last);

/*
 * An entry of "cell".  put() writes at most NGX_ANALYTICS_IMAGE_ENTRY bytes at
 * p, and returns the end.  get() takes one off *p, of which so many bytes are
 * readable, and checks nothing but that a chunk can have that key.  Returns
 * NGX_OK or NGX_ERROR.
 */
u_char *ngx_analytics_image_put_cells(u_char *p, uint64_t key,
    ngx_analytics_cells_t *cells);
ngx_int_t ngx_analytics_image_get_cells(u_char **p, uint64_t *key,
    ngx_analytics_cells_t *cells);


#endif /* _NGX_ANALYTICS_IMAGE_H_INCLUDED_ */
