
/*
 * What the zone looks like inside, for the files that fold and answer.
 *
 * The arena starts with ngx_analytics_zone_s.  Behind it, at offsets kept
 * there, lie the program's text, the types, the hash tables' buckets, the
 * ring of keys and two pools of blocks of a fixed size: so nothing ever
 * fragments, and what one pool holds cannot push out what another holds.  A
 * block is known by its number; 0 is none.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_LAYOUT_H_INCLUDED_
#define _NGX_ANALYTICS_LAYOUT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_hll.h"
#include "ngx_analytics_rules.h"
#include "ngx_analytics_zone.h"


#define NGX_ANALYTICS_MAGIC           0x31656e6f7a414e47ULL
#define NGX_ANALYTICS_LAYOUT          5

#define NGX_ANALYTICS_UNDO_MAX        8192      /* words of a transaction */

#define NGX_ANALYTICS_USER_INLINE     56        /* bytes of the name */
#define NGX_ANALYTICS_USER_TYPES      3
#define NGX_ANALYTICS_USER_TYPES_MAX  128       /* then "other" */
#define NGX_ANALYTICS_MORE_NAME       176
#define NGX_ANALYTICS_MORE_TYPES      22

/* days on which a user was active: a few in the user, more as bits */
#define NGX_ANALYTICS_USER_DAYS       11
#define NGX_ANALYTICS_USER_DAYS_BITS  0xff      /* in ndays */
#define NGX_ANALYTICS_MORE_WORDS      22
#define NGX_ANALYTICS_MORE_DAYS       (NGX_ANALYTICS_MORE_WORDS * 64)
#define NGX_ANALYTICS_DAYS_MAX        65536     /* since 1970 */

/* ngx_analytics_user_t.flags */
#define NGX_ANALYTICS_USER_HEAD       0x01      /* a user starts here */
#define NGX_ANALYTICS_USER_TOUCHED    0x02      /* since the hand came by */
#define NGX_ANALYTICS_USER_INEXACT    0x04      /* may have left before */
#define NGX_ANALYTICS_USER_LOSSY      0x08      /* events lack in its types */

/* a user's count of one type: 16 bits of id above 48 bits of count */
#define NGX_ANALYTICS_ENTRY_BITS      48
#define ngx_analytics_entry_type(e)   ((ngx_uint_t)                           \
                                       ((e) >> NGX_ANALYTICS_ENTRY_BITS))
#define ngx_analytics_entry_count(e)                                          \
    ((e) & (((uint64_t) 1 << NGX_ANALYTICS_ENTRY_BITS) - 1))

#define NGX_ANALYTICS_CHUNK_FREE      UINT64_MAX

/*
 * What a chunk holds of a series.  The first are of 64 buckets in a row, a
 * word each.  Of a sketch or of distinct values a bucket has chunks of its
 * own: 128 bins, or 512 registers, in each.
 */
typedef enum {
    NGX_ANALYTICS_PLANE_COUNT = 0,
    NGX_ANALYTICS_PLANE_SUM,           /* whole, */
    NGX_ANALYTICS_PLANE_NANO,          /* and billionths above that */
    NGX_ANALYTICS_PLANE_MIN,           /* see ngx_analytics_order() */
    NGX_ANALYTICS_PLANE_MAX,
    NGX_ANALYTICS_PLANES,
    NGX_ANALYTICS_PLANE_BINS = 8,      /* and those that follow */
    NGX_ANALYTICS_PLANE_REGISTERS = 8  /* on their own level */
} ngx_analytics_plane_e;

#define NGX_ANALYTICS_CHUNK_BINS       128
#define NGX_ANALYTICS_CHUNK_REGISTERS  512

/*
 * A period is what lies in the time of 64 buckets in a row.  The minutes
 * between 48 hours back and 24 hours ahead are 69 periods, the hours of 90
 * days 36; other hours and days are told apart until 2209 and 2149.
 */
#define NGX_ANALYTICS_RING_MINUTES    128
#define NGX_ANALYTICS_RING_FINE       64
#define NGX_ANALYTICS_RING_HOURS      32768
#define NGX_ANALYTICS_RING_DAYS       (NGX_ANALYTICS_DAYS_MAX                 \
                                       / NGX_ANALYTICS_CHUNK)

/* series of days that are of all users together */
typedef enum {
    NGX_ANALYTICS_DAILY_ACTIVE = 0,    /* users on that day, */
    NGX_ANALYTICS_DAILY_WEEK,          /* in the week that begins then, */
    NGX_ANALYTICS_DAILY_MONTH,         /* in that month */
    NGX_ANALYTICS_DAILY_NEW,           /* users whose first day it is, */
    NGX_ANALYTICS_DAILY_LAST,          /* and the last by now */
    NGX_ANALYTICS_DAILY_SESSIONS,      /* that began, */
    NGX_ANALYTICS_DAILY_SESSION_TIME,  /* microseconds that these took */
    NGX_ANALYTICS_DAILY_TOUCHED,       /* number of the last event then */
    NGX_ANALYTICS_DAILIES
} ngx_analytics_daily_e;

/*
 * A series of a measure: its place in measures[] + 1, and which of its groups.
 * Those that are less are of types, or of all.
 */
#define NGX_ANALYTICS_MEASURES         96
#define NGX_ANALYTICS_GROUP_ALL        0       /* all of them */
#define NGX_ANALYTICS_GROUP_OTHER      1       /* those without a place */
#define NGX_ANALYTICS_GROUP_FIRST      2
#define NGX_ANALYTICS_GROUP_BELOW      0x8000  /* bins of what is below 0 */
#define ngx_analytics_measure_series(m, group)                                \
    ((((ngx_uint_t) (m) + 1) << 16) | (group))

#define NGX_ANALYTICS_RIVALS           8
#define NGX_ANALYTICS_GONE             32      /* words of a bit a group */

#define NGX_ANALYTICS_SWEEP_IDLE       INT64_MIN


typedef struct {
    uint64_t                offset;
    uint64_t                old;
} ngx_analytics_undo_t;


typedef struct {
    uint64_t                origin;    /* offset of block 0, if it existed */
    uint32_t                size;      /* of a block */
    uint32_t                nblocks;   /* numbers 1 to nblocks */
    uint32_t                bump;      /* from here on none was ever used */
    uint32_t                free;      /* the first of those given back */
    uint32_t                used;
    uint32_t                reserved;
} ngx_analytics_pool_t;


/*
 * The first 16 bytes of every block.  Taking a block saves them for undo
 * and clears them; the rest of a block that is not yet linked to anything
 * may be written as it comes.
 */
typedef struct {
    uint32_t                next;
    uint32_t                tail;
    uint64_t                mark;
} ngx_analytics_block_t;


/* The last one comes first; of two, one is all before the other. */
#define NGX_ANALYTICS_USER_SESSIONS   2

typedef struct {
    int64_t                 start;     /* microseconds */
    int64_t                 end;
} ngx_analytics_session_t;


typedef struct {
    uint32_t                next;      /* in the bucket, or free */
    uint32_t                hash;
    uint32_t                heap;      /* 1 + place in the top heap, or 0 */
    uint16_t                ntypes;
    u_char                  len;
    u_char                  flags;

    uint64_t                count;
    int64_t                 first;
    int64_t                 last;
    uint32_t                name_more;   /* the name's rest, in order */
    uint32_t                types_more;  /* the newest block comes first */
    uint64_t                types[NGX_ANALYTICS_USER_TYPES];
    u_char                  name[NGX_ANALYTICS_USER_INLINE];

    ngx_analytics_session_t  sessions[NGX_ANALYTICS_USER_SESSIONS];
    uint16_t                days[NGX_ANALYTICS_USER_DAYS];   /* unordered */
    uint16_t                day_first;
    uint16_t                day_last;
    u_char                  ndays;     /* or DAYS_BITS: they are in more */
    u_char                  nsessions;
    uint32_t                days_more;   /* one block for MORE_DAYS days */
} ngx_analytics_user_t;


typedef struct {
    uint32_t                next;
    uint32_t                tail;      /* the chain's last block, of types; */
                                       /* which days these are */
    uint64_t                mark;      /* 0: no HEAD for the hand */

    union {
        u_char              name[NGX_ANALYTICS_MORE_NAME];
        uint64_t            types[NGX_ANALYTICS_MORE_TYPES];
        uint64_t            days[NGX_ANALYTICS_MORE_WORDS];
    } u;
} ngx_analytics_more_t;


typedef union {
    uint64_t                counts[NGX_ANALYTICS_CHUNK];
    uint32_t                bins[NGX_ANALYTICS_CHUNK_BINS];
    u_char                  registers[NGX_ANALYTICS_CHUNK_REGISTERS];
} ngx_analytics_cells_t;


typedef struct {
    uint32_t                next;      /* in the bucket, or free */
    uint32_t                link;      /* in its period, a ring */
    uint64_t                key;       /* see ngx_analytics_chunk_key() */
    ngx_analytics_cells_t   u;
} ngx_analytics_chunk_t;


/* A group of a measure, in a block of the cells. */
typedef struct {
    uint32_t                next;      /* in the bucket, or free */
    uint32_t                link;      /* the measure's next group, or 0 */
    uint64_t                key;
    uint64_t                hash;      /* of its name */
    uint64_t                count;     /* of its points, */
    uint64_t                error;     /* and how many may lack in it */
    uint64_t                counted;   /* those that are in counts */
    uint64_t                pass;      /* since when it is given up, or 0 */
    uint16_t                index;     /* in series */
    u_char                  len;
    u_char                  name[NGX_ANALYTICS_NAME_MAX];
} ngx_analytics_group_t;


/* Who would be a group, if there were a place. */
typedef struct {
    uint64_t                hash;
    uint64_t                count;     /* at most, */
    uint64_t                error;     /* and so many less at least */
} ngx_analytics_rival_t;


/* Since when a class of figures is kept. */
typedef struct {
    uint64_t                from;      /* number of the first event in it, */
    int64_t                 since;     /* and when that was received */
} ngx_analytics_since_t;


/*
 * What a zone keeps of a source.  It is free (signature 0), or in use, or
 * given up: then pass says since when, and it is free when all of its chunks
 * are.
 */
typedef struct {
    uint64_t                signature;
    uint64_t                pass;
    uint32_t                classes;     /* that are kept, */
    uint32_t                stale;       /* and those that are given up, */
    uint64_t                stale_pass;  /* since then */
    ngx_analytics_since_t   since[NGX_ANALYTICS_CLASSES];

    uint64_t                skipped;     /* values that were no numbers */
    uint64_t                older;       /* points before the hours kept */
    uint64_t                others;      /* points of GROUP_OTHER */

    uint64_t                counted;     /* what only grows: in counts, */
    uint64_t                rest;        /* of these without a group, */
    uint64_t                counted_from;  /* since the event of that number */

    uint32_t                inexact;     /* no room, or a sum too large */
    uint32_t                groups;      /* the first block, or 0 */
    uint32_t                ngroups;     /* without those given up */
    uint32_t                groups_max;
    uint64_t                least;       /* no group had fewer points */
    ngx_analytics_rival_t   rivals[NGX_ANALYTICS_RIVALS];
    uint64_t                gone[NGX_ANALYTICS_GONE];   /* groups given up */
    uint32_t                bins;        /* planes with bins, a bit each, */
    uint32_t                below;       /* and of values below 0 */
} ngx_analytics_measure_t;


/*
 * Looks for what was given up, chunk by chunk.  A pass goes round once; what
 * was given up before it began is gone when it ends.
 */
typedef struct {
    uint64_t                pass;        /* the one that is under way */
    uint64_t                wanted;      /* the last that somebody needs */
    int64_t                 number;      /* the period; IDLE: none is, */
    uint32_t                level;
    uint32_t                previous;    /* and where in its ring; 0: not */
} ngx_analytics_sweep_t;


/* The program's text lies at one of two places, so that it changes at once. */
typedef struct {
    uint64_t                signature;   /* of the text */
    uint64_t                assigned;    /* as far as measures are made */
    int64_t                 totals;      /* microseconds; 0: all time */
    uint32_t                len;
    uint32_t                place;
} ngx_analytics_program_state_t;


typedef struct {
    uint64_t                count;
    uint32_t                hash;
    uint32_t                next;      /* 1 + id, in the bucket */

    /* the chunks counted in last: only hints, never saved for undo */
    uint32_t                hints[NGX_ANALYTICS_TYPE_LEVELS];

    u_char                  len;
    u_char                  name[NGX_ANALYTICS_NAME_MAX];
} ngx_analytics_type_t;


/*
 * A place in the ring of keys.  Those in use are the keys_count ones before
 * keys_head, around the ring's end: the oldest is keys_count before it, which
 * is keys_head itself when the ring is full, and the newest is just before.
 * They are in the order in which they were added.  What has become older than
 * the window stays until its place is needed; then the same hash may be there
 * twice, and the newer comes first in the bucket.
 */
typedef struct {
    uint64_t                hash;
    uint64_t                digest;
    uint64_t                first;
    uint64_t                last;
    int64_t                 received;
    uint32_t                done;
    uint32_t                next;      /* 1 + place, in the bucket */
} ngx_analytics_slot_t;


typedef struct {
    uint64_t                count;
    uint64_t                user;      /* its block */
} ngx_analytics_top_t;


typedef struct {
    int64_t                 horizon;   /* the first chunk number kept */
    int64_t                 lowest;    /* no period below has chunks */
} ngx_analytics_span_t;


struct ngx_analytics_zone_s {

    /* constant since the creation */

    uint64_t                magic;
    uint64_t                layout;
    uint64_t                size;
    uint64_t                fixed;     /* bytes that are not pools */
    uint64_t                key[2];
    int64_t                 created;

    uint64_t                text;        /* offsets */
    uint64_t                types;
    uint64_t                types_hash;
    uint64_t                users_hash;
    uint64_t                cells_hash;
    uint64_t                keys;
    uint64_t                keys_hash;

    uint32_t                types_max;   /* "other" included */
    uint32_t                types_mask;
    uint32_t                users_mask;
    uint32_t                cells_mask;
    uint32_t                keys_max;    /* places in the ring */
    uint32_t                keys_mask;

    /* changed within transactions only */

    ngx_analytics_pool_t    users;
    ngx_analytics_pool_t    cells;

    ngx_analytics_program_state_t  program;

    uint64_t                position;      /* in the log: the next record */
    uint64_t                seq;           /* of the last event folded */
    uint64_t                refolded;      /* chunks of a record so far */
    uint64_t                refolds;       /* how many records there were */
    uint64_t                accepted;      /* 0 in the zone of a log */
    int64_t                 received;
    uint64_t                events;
    uint64_t                older;

    uint64_t                type_overflow;
    uint64_t                live;          /* users in the table */
    uint64_t                evicted;
    uint64_t                refused;       /* events whose user had no room */
    uint64_t                lost;          /* periods and cells, for room */
    int64_t                 lost_hour;     /* the hours are whole from here */

    uint64_t                peak_count;
    int64_t                 peak_hour;
    uint64_t                hour_of_day[24];

    uint32_t                ntypes;
    uint32_t                hand;          /* the last user looked at */
    uint32_t                top_size;
    uint32_t                expired;       /* last of the chunks to free */
    uint32_t                top_max;
    uint32_t                unused;

    uint64_t                late;          /* events of no session */
    int64_t                 dailies_from;  /* day: whole from there on */
    ngx_analytics_sweep_t   sweep;
    ngx_analytics_measure_t  measures[NGX_ANALYTICS_MEASURES];

    ngx_analytics_span_t    spans[NGX_ANALYTICS_LEVELS];

    int64_t                 keys_lost;     /* no key younger than it left */
    uint32_t                keys_head;     /* the next key's place */
    uint32_t                keys_count;

    ngx_analytics_top_t     top[NGX_ANALYTICS_TOP_MAX];
    u_char                  hll[NGX_ANALYTICS_HLL_SIZE];

    /* the last chunk of each period, by chunk number */
    uint32_t                minutes[NGX_ANALYTICS_RING_MINUTES];
    uint32_t                fine[NGX_ANALYTICS_RING_FINE];
    uint32_t                hours[NGX_ANALYTICS_RING_HOURS];
    uint32_t                uniques[NGX_ANALYTICS_RING_DAYS];
    uint32_t                days[NGX_ANALYTICS_RING_DAYS];

    /* changed beside transactions */

    uint32_t                hints[NGX_ANALYTICS_TYPE_LEVELS];
    uint32_t                daily_hints[NGX_ANALYTICS_DAILIES];
    uint64_t                commits;       /* transactions, more or less */
    uint64_t                rollbacks;
    uint64_t                undo_count;
    ngx_analytics_undo_t    undo[NGX_ANALYTICS_UNDO_MAX];
};


#define ngx_analytics_at(z, offset)  ((void *) ((u_char *) (z) + (offset)))


static ngx_inline ngx_analytics_user_t *
ngx_analytics_user(ngx_analytics_zone_t *z, uint32_t block)
{
    return ngx_analytics_at(z, z->users.origin
                               + block * sizeof(ngx_analytics_user_t));
}


static ngx_inline ngx_analytics_more_t *
ngx_analytics_more(ngx_analytics_zone_t *z, uint32_t block)
{
    return (ngx_analytics_more_t *) ngx_analytics_user(z, block);
}


static ngx_inline ngx_analytics_chunk_t *
ngx_analytics_chunk(ngx_analytics_zone_t *z, uint32_t block)
{
    return ngx_analytics_at(z, z->cells.origin
                               + block * sizeof(ngx_analytics_chunk_t));
}


static ngx_inline u_char *
ngx_analytics_zone_text(ngx_analytics_zone_t *z, ngx_uint_t place)
{
    return ngx_analytics_at(z, z->text + place * NGX_ANALYTICS_PROGRAM_MAX);
}


static ngx_inline ngx_analytics_group_t *
ngx_analytics_group(ngx_analytics_zone_t *z, uint32_t block)
{
    return (ngx_analytics_group_t *) ngx_analytics_chunk(z, block);
}


static ngx_inline ngx_analytics_type_t *
ngx_analytics_type(ngx_analytics_zone_t *z, ngx_uint_t id)
{
    return ngx_analytics_at(z, z->types + id * sizeof(ngx_analytics_type_t));
}


static ngx_inline ngx_analytics_slot_t *
ngx_analytics_slot(ngx_analytics_zone_t *z, uint32_t place)
{
    return ngx_analytics_at(z, z->keys
                               + place * sizeof(ngx_analytics_slot_t));
}


/* The place of the i-th oldest key, i < keys_count. */

static ngx_inline uint32_t
ngx_analytics_keys_place(ngx_analytics_zone_t *z, uint32_t i)
{
    uint64_t  place;

    place = (uint64_t) z->keys_head + z->keys_max - z->keys_count + i;

    return (uint32_t) (place % z->keys_max);
}


/*
 * Buckets and stored hashes are made of the upper half of a hash, the
 * registers of the HyperLogLog mostly of the lower.
 */
#define ngx_analytics_hash32(hash)   ((uint32_t) ((hash) >> 32))


#endif /* _NGX_ANALYTICS_LAYOUT_H_INCLUDED_ */
