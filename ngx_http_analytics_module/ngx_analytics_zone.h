
/*
 * The zone: the fold of all accepted events, in one piece of shared memory.
 *
 * It is mapped by many processes at different addresses and outlives any of
 * them: inside are offsets, never pointers.  Nothing here locks.  "Locked"
 * below means that the caller holds the one lock that guards the zone, and
 * has called ngx_analytics_zone_recover() since it got it.
 *
 * Each event is folded as one transaction: the words it is about to change
 * are saved to an undo area first, and the area is cleared last.  A process
 * may be killed between any two stores; the next holder of the lock rolls
 * the unfinished transaction back.
 *
 * Everything that strangers choose is bounded.  What no longer fits is not
 * an error: the event counts in the totals, and the answers concerned are
 * no longer exact, which each query tells.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_ZONE_H_INCLUDED_
#define _NGX_ANALYTICS_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_event.h"


#define NGX_ANALYTICS_TOP_MAX       1000      /* users in the top heap */
#define NGX_ANALYTICS_FOLD_MAX      128        /* events under one lock */
#define NGX_ANALYTICS_MINUTES_MAX   2880      /* minutes are kept: 48 hours */

#define NGX_ANALYTICS_TYPES_DEFAULT 1000
#define NGX_ANALYTICS_TYPES_MIN     1
#define NGX_ANALYTICS_TYPES_MAX     10000

/* cells lie side by side in chunks of so many */
#define NGX_ANALYTICS_CHUNK_BITS    6
#define NGX_ANALYTICS_CHUNK         (1 << NGX_ANALYTICS_CHUNK_BITS)

/* time cells: of all events together, or of one type */
#define NGX_ANALYTICS_SERIES_ALL    0
#define ngx_analytics_series(type)  ((ngx_uint_t) (type) + 1)


typedef struct ngx_analytics_zone_s  ngx_analytics_zone_t;


/*
 * What time is told apart by.  Types are counted by the first two, the hours
 * being those of UTC; metrics by all, and their hours and days are those of
 * the zone's time zone.
 */
typedef enum {
    NGX_ANALYTICS_MINUTES = 0,
    NGX_ANALYTICS_HOURS,
    NGX_ANALYTICS_TYPE_LEVELS,
    NGX_ANALYTICS_FINE = NGX_ANALYTICS_TYPE_LEVELS,   /* sketches by hour */
    NGX_ANALYTICS_UNIQUES,                            /* values by day */
    NGX_ANALYTICS_DAYS,                               /* the rest by day */
    NGX_ANALYTICS_LEVELS
} ngx_analytics_level_e;


typedef struct {
    ngx_uint_t      types;             /* how many types are told apart */
    uint64_t        key[2];            /* random, for the hash tables */
    int64_t         now;               /* microseconds */
} ngx_analytics_zone_conf_t;


/*
 * How the zone folds: a text of ngx_analytics_rules.h.  It is part of the
 * zone's state, so that all processes agree.
 */
typedef struct {
    const char     *text;
    size_t          len;               /* 0: the default */
    uint64_t        signature;         /* ngx_analytics_rules_signature() */
} ngx_analytics_program_t;


/* A consistent copy of the zone's figures. */
typedef struct {
    uint64_t        events;            /* folded */
    uint64_t        users;             /* distinct; an estimate if !exact */
    uint64_t        types;             /* distinct, "other" included */
    uint64_t        older;             /* events before the cells' window */
    uint64_t        evicted;           /* users that had to leave */
    uint64_t        type_overflow;     /* events counted as "other" */
    uint64_t        late;              /* events of no session: too late */
    uint64_t        rollbacks;         /* folds of killed processes undone */
    int64_t         created;           /* microseconds */
    int64_t         received;          /* of the last accepted event */
    int64_t         cells_from;        /* the hours are complete since then */
    size_t          memory_used;       /* bytes, fixed tables included */
    size_t          memory_size;       /* bytes of the arena */
    uint64_t        hour_of_day[24];   /* by time of the event, UTC */
    uint64_t        peak_hour_count;   /* the busiest hour on the calendar, */
    int64_t         peak_hour;         /* its start; the earliest of equals */

    unsigned        users_exact:1;
    unsigned        types_exact:1;
    unsigned        cells_exact:1;     /* no cell was dropped for room */
} ngx_analytics_totals_t;


typedef struct {
    uint64_t        count;
    int64_t         first;             /* by time of the event */
    int64_t         last;
    ngx_uint_t      ntypes;            /* filled in of types[] */
    unsigned        exact:1;
} ngx_analytics_user_info_t;


/*
 * Lays a new, empty zone out in size bytes at mem, which is aligned to 8
 * and zeroed.  Untouched memory stays untouched.
 * Returns NULL if size is too small for that many types.
 */
ngx_analytics_zone_t *ngx_analytics_zone_create(void *mem, size_t size,
    ngx_analytics_zone_conf_t *conf);

/* The least size that ngx_analytics_zone_create() takes. */
size_t ngx_analytics_zone_min_size(ngx_uint_t types);

/*
 * To be called right after getting the lock: rolls back the fold that a
 * killed process left unfinished.
 * Returns NGX_OK, NGX_AGAIN if there was one to roll back, or NGX_ERROR if
 * the zone is damaged beyond that (an undo area that cannot be true); then
 * nothing else may be called.
 */
ngx_int_t ngx_analytics_zone_recover(ngx_analytics_zone_t *z);

/* Locked.  Makes the zone fold by this program from now on. */
void ngx_analytics_zone_program(ngx_analytics_zone_t *z,
    ngx_analytics_program_t *program);

/*
 * Locked.  Measures of the program for which there was no place yet are taken
 * in as what was given up is cleared, which is as events come in, or here.
 * Returns NGX_OK: all of them are; NGX_AGAIN: there is more to clear; or
 * NGX_DECLINED: there is no place.
 */
ngx_int_t ngx_analytics_zone_settle(ngx_analytics_zone_t *z);

/* Locked.  The rules of the program. */
struct ngx_analytics_rules_s;
struct ngx_analytics_rules_s *ngx_analytics_zone_rules(
    ngx_analytics_zone_t *z);

/* Whether it does already.  May be read without the lock. */
ngx_uint_t ngx_analytics_zone_program_is(ngx_analytics_zone_t *z,
    ngx_analytics_program_t *program);

/*
 * Locked.  Accepts n events: gives them consecutive sequence numbers from 1
 * up and one time of receipt, max(now, that of the last event).
 * Returns the first number; *received is microseconds since the epoch.
 */
uint64_t ngx_analytics_zone_accept(ngx_analytics_zone_t *z, ngx_uint_t n,
    int64_t now, int64_t *received);

/*
 * Not locked.  Hashes the names of n events for this zone and prefetches
 * what their fold will look at first.
 */
void ngx_analytics_zone_hash(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *events, ngx_uint_t n);

/*
 * Not locked.  Looks up what n hashed events add to metrics, in memory that
 * lasts until they are folded.  Without this, or without memory, the fold does
 * it itself, while others wait.
 */
void ngx_analytics_zone_points(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *events, ngx_uint_t n,
    ngx_analytics_alloc_pt alloc, void *ctx);

/*
 * Locked.  Folds n hashed events, at most NGX_ANALYTICS_FOLD_MAX, that were
 * received at that time; those that are known are passed over, the others
 * have consecutive numbers from seq on (seq 0: numbers do not matter).  Those
 * up to the zone's last were folded before and are passed over, too, unless
 * it was the zone that gave them out, with ngx_analytics_zone_accept(): then
 * several processes fold theirs in any order.  The id of an event becomes a
 * key, see ngx_analytics_keys.h.  An event whose user was erased, an empty
 * one, counts for nobody.  Cannot fail.
 * Returns the number after the last.
 */
uint64_t ngx_analytics_zone_fold(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *events, ngx_uint_t n, uint64_t seq,
    int64_t received);

/*
 * Locked.  Forgets the user whose name has this hash under the zone's key,
 * but for what was counted of all together.  Returns NGX_OK, or NGX_DECLINED
 * if no such user is known.
 */
ngx_int_t ngx_analytics_zone_erase(ngx_analytics_zone_t *z, uint64_t hash);

/* A user's hash, as above. */
uint64_t ngx_analytics_zone_user_hash(ngx_analytics_zone_t *z,
    ngx_str_t *user);

/*
 * The zone of a log: how far it was folded.  position() may be read without
 * the lock.  advance() (locked) ends a record: it says where the next one
 * starts.  last() is the number of the last event folded.
 */
uint64_t ngx_analytics_zone_position(ngx_analytics_zone_t *z);
void ngx_analytics_zone_advance(ngx_analytics_zone_t *z, uint64_t position);
uint64_t ngx_analytics_zone_last(ngx_analytics_zone_t *z);

/*
 * Without the lock: another number whenever something may have changed, for
 * one zone that is created once.
 */
uint64_t ngx_analytics_zone_commits(ngx_analytics_zone_t *z);


/* Queries: locked, and short.  Sorting and printing come after unlocking. */

void ngx_analytics_zone_totals(ngx_analytics_zone_t *z,
    ngx_analytics_totals_t *totals);

/* How many types there are: ids 0 ("other", if counted) to this - 1. */
ngx_uint_t ngx_analytics_zone_ntypes(ngx_analytics_zone_t *z);

/*
 * Copies the counts of the types from id on, at most n, those with a count of
 * 0 included.  A type stays for good: its name is in the zone's memory.
 * Returns how many were copied.
 */
ngx_uint_t ngx_analytics_zone_types(ngx_analytics_zone_t *z, ngx_uint_t id,
    ngx_analytics_count_t *types, ngx_uint_t n);

/*
 * Copies the n (at most NGX_ANALYTICS_TOP_MAX) most active users, unordered:
 * exactly the first n by (count descending, name ascending by bytes).  Their
 * names are copied to names, n * NGX_ANALYTICS_NAME_MAX bytes.
 * Returns how many were copied, less than n if there are fewer users.
 */
ngx_uint_t ngx_analytics_zone_top(ngx_analytics_zone_t *z,
    ngx_analytics_count_t *users, ngx_uint_t n, u_char *names);

/*
 * Looks a user up.  types has room for n, and ngx_analytics_zone_ntypes()
 * is always enough; types of equal counts come in no order.
 * Returns NGX_OK or NGX_DECLINED if the user is not known.
 */
ngx_int_t ngx_analytics_zone_user(ngx_analytics_zone_t *z, ngx_str_t *name,
    ngx_analytics_user_info_t *info, ngx_analytics_count_t *types,
    ngx_uint_t n);

/*
 * Copies n buckets of a series from bucket number first on: a minute's or
 * an hour's number is its start divided by its length, since the epoch.
 * What is not kept is 0.
 */
void ngx_analytics_zone_cells(ngx_analytics_zone_t *z,
    ngx_analytics_level_e level, ngx_uint_t series, int64_t first,
    uint64_t *counts, ngx_uint_t n);

/*
 * Adds the buckets first to first + n - 1 of each series to sums[series], for
 * the series below nseries.  The buckets are of one chunk: between them is no
 * multiple of NGX_ANALYTICS_CHUNK.
 */
void ngx_analytics_zone_sums(ngx_analytics_zone_t *z,
    ngx_analytics_level_e level, int64_t first, ngx_uint_t n, uint64_t *sums,
    ngx_uint_t nseries);


#endif /* _NGX_ANALYTICS_ZONE_H_INCLUDED_ */
