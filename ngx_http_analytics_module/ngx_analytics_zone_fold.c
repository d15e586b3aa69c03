
/*
 * Folds events into a zone: as many as a transaction holds in one, with the
 * totals and the metrics of all of them, so that these agree whenever a
 * process is killed, and what events have in common is changed once.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_arena.h"
#include "ngx_analytics_cells.h"
#include "ngx_analytics_dailies.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_keys.h"
#include "ngx_analytics_sessions.h"
#include "ngx_analytics_tally.h"
#include "ngx_analytics_time.h"
#include "ngx_analytics_top.h"
#include "ngx_analytics_types.h"
#include "ngx_analytics_users.h"


/*
 * How many blocks the hand passes for one event, at most.  When there is no
 * room then, a new user is not taken in, and the next event goes on.
 */
#define NGX_ANALYTICS_EVICT_STEPS  512

#define NGX_ANALYTICS_AHEAD        6         /* users prefetched */

/* chunks that the totals of one event can need */
#define NGX_ANALYTICS_FOLD_CHUNKS                                             \
    (NGX_ANALYTICS_CELLS_NEED + NGX_ANALYTICS_DAILIES_NEED)

/*
 * Words that the totals of one event change, at most: their own, the time of
 * receipt, the hour of the day, the register and the number are one each.
 */
#define NGX_ANALYTICS_FOLD_WORDS                                              \
    (5 + NGX_ANALYTICS_TYPES_WORDS + NGX_ANALYTICS_USERS_WORDS                \
     + NGX_ANALYTICS_DAILIES_WORDS + NGX_ANALYTICS_SESSIONS_WORDS             \
     + NGX_ANALYTICS_TOP_WORDS + NGX_ANALYTICS_CELLS_WORDS                    \
     + NGX_ANALYTICS_KEYS_WORDS)


/* One event is always taken; most change much less, so that many are. */
_Static_assert(NGX_ANALYTICS_FOLD_WORDS + NGX_ANALYTICS_TALLY_WORDS
               <= NGX_ANALYTICS_UNDO_MAX, "the undo area is too small");


/* memory for points that are made while the zone is locked */
typedef struct {
    size_t                  used;
    u_char                  memory[4 * NGX_ANALYTICS_POINTS_SIZE];
} ngx_analytics_fold_points_t;


typedef struct {
    ngx_analytics_zone_t   *zone;
    ngx_analytics_rules_t  *rules;
    int64_t                 received;
    uint64_t                seq;           /* of the next event; 0: none */
    uint64_t                passed;        /* those up to it were folded */
    ngx_uint_t              want;          /* events to try at once */
    ngx_analytics_tally_t   tally;
} ngx_analytics_fold_t;


static ngx_uint_t ngx_analytics_fold_batch(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *events, ngx_uint_t n);
static ngx_uint_t ngx_analytics_fold_tally(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *events, ngx_uint_t n);
static ngx_int_t ngx_analytics_fold_points(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *event, ngx_uint_t first);
static void *ngx_analytics_fold_points_alloc(void *ctx, size_t size);
static void ngx_analytics_fold_tally_again(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *events, ngx_uint_t n);
static void ngx_analytics_fold_room(ngx_analytics_fold_t *fold,
    ngx_uint_t n);
static ngx_uint_t ngx_analytics_fold_totals(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *events, ngx_uint_t n);
static ngx_uint_t ngx_analytics_fold_fits(ngx_analytics_fold_t *fold);
static void ngx_analytics_fold_one(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *event, uint64_t seq);
static ngx_inline void ngx_analytics_fold_user(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *event, ngx_uint_t type, int64_t time);
static void ngx_analytics_fold_key(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *event, uint64_t seq);


/* Whether an event is passed over that has this number, if it has one. */

static ngx_inline ngx_uint_t
ngx_analytics_fold_passes(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *event, uint64_t seq)
{
    return event->known || (seq && seq <= fold->passed);
}


/* The number of the event after one. */

static ngx_inline uint64_t
ngx_analytics_fold_next(ngx_analytics_event_t *event, uint64_t seq)
{
    return (seq && !event->known) ? seq + 1 : seq;
}


uint64_t
ngx_analytics_zone_fold(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *events, ngx_uint_t n, uint64_t seq,
    int64_t received)
{
    ngx_uint_t             i;
    ngx_analytics_fold_t   fold;

    fold.zone = z;
    fold.rules = ngx_analytics_zone_rules(z);
    fold.received = received;
    fold.seq = seq;
    fold.passed = z->accepted ? 0 : z->seq;
    fold.want = n;

    ngx_analytics_cells_advance(z, received);

    if (z->program.assigned != fold.rules->signature) {
        ngx_analytics_measures_assign(z, fold.rules);
        ngx_analytics_commit(z);
    }

    ngx_analytics_measures_sweep(z);
    ngx_analytics_tally_init(&fold.tally, z, fold.rules, received);

    for (i = 0; i < n; /* void */ ) {
        i += ngx_analytics_fold_batch(&fold, &events[i], n - i);
    }

    return fold.seq;
}


/*
 * Folds some events, one at least.  What their points and the totals of the
 * first need is made before; how much those of the others need shows as they
 * are folded.  Returns how many there were, those that are passed over, too.
 */
static ngx_uint_t
ngx_analytics_fold_batch(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *events, ngx_uint_t n)
{
    ngx_uint_t  i, done;

    n = ngx_analytics_fold_tally(fold, events, ngx_min(n, fold->want));

    ngx_analytics_tally_prepare(&fold->tally);
    ngx_analytics_fold_room(fold, n);

    done = ngx_analytics_fold_totals(fold, events, n);

    if (done < n) {
        ngx_analytics_fold_tally_again(fold, events, done);
    }

    ngx_analytics_tally_apply(&fold->tally);
    ngx_analytics_commit(fold->zone);

    for (i = 0; i < done; i++) {
        fold->seq = ngx_analytics_fold_next(&events[i], fold->seq);
    }

    /* where there is hardly room, few are tallied in vain */

    fold->want = (done < n) ? done : ngx_min(2 * fold->want,
                                             NGX_ANALYTICS_FOLD_MAX);

    return done;
}


/* Returns how many events were tallied or are passed over, one at least. */

static ngx_uint_t
ngx_analytics_fold_tally(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *events, ngx_uint_t n)
{
    uint64_t    seq;
    ngx_uint_t  i;

    seq = fold->seq;

    for (i = 0; i < n; i++) {

        if (!ngx_analytics_fold_passes(fold, &events[i], seq)) {

            if (ngx_analytics_fold_points(fold, &events[i], i == 0)
                != NGX_OK
                || ngx_analytics_tally_add(&fold->tally, &events[i], seq)
                   != NGX_OK)
            {
                break;
            }
        }

        seq = ngx_analytics_fold_next(&events[i], seq);
    }

    return i;
}


/*
 * Points that were not made yet, or by other rules, are made here: memory of
 * this thread holds those of a few events.  If the first one's are not there,
 * nobody's are that is still to come.
 */
static ngx_int_t
ngx_analytics_fold_points(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *event, ngx_uint_t first)
{
    static __thread ngx_analytics_fold_points_t  made;

    if (event->rules == fold->rules) {
        return NGX_OK;
    }

    if (first) {
        made.used = 0;
    }

    if (sizeof(made.memory) - made.used < NGX_ANALYTICS_POINTS_SIZE) {
        return NGX_DECLINED;
    }

    (void) ngx_analytics_points_make(fold->rules, event, fold->zone->key,
                                     ngx_analytics_fold_points_alloc, &made);
    return NGX_OK;
}


static void *
ngx_analytics_fold_points_alloc(void *ctx, size_t size)
{
    ngx_analytics_fold_points_t *made = ctx;

    u_char  *p;

    size = ngx_align(size, sizeof(uint64_t));

    if (size > sizeof(made->memory) - made->used) {
        return NULL;
    }

    p = made->memory + made->used;
    made->used += size;

    return p;
}


/*
 * The totals of fewer events found room than were tallied: within their
 * transaction, what those need is looked up again, and nothing is made.
 */
static void
ngx_analytics_fold_tally_again(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *events, ngx_uint_t n)
{
    uint64_t    seq;
    ngx_uint_t  i;

    seq = fold->seq;

    ngx_analytics_tally_empty(&fold->tally);

    for (i = 0; i < n; i++) {

        if (!ngx_analytics_fold_passes(fold, &events[i], seq)) {
            (void) ngx_analytics_tally_add(&fold->tally, &events[i], seq);
        }

        seq = ngx_analytics_fold_next(&events[i], seq);
    }

    ngx_analytics_tally_find(&fold->tally);
}


/*
 * Room is made by transactions of their own, for one event: the others take
 * what is left.  What has expired goes as events come.
 */
static void
ngx_analytics_fold_room(ngx_analytics_fold_t *fold, ngx_uint_t n)
{
    ngx_uint_t             steps;
    ngx_analytics_zone_t  *z;

    z = fold->zone;
    steps = NGX_ANALYTICS_EVICT_STEPS;

    while (ngx_analytics_pool_left(&z->users) < NGX_ANALYTICS_USERS_NEED
           && steps)
    {
        ngx_analytics_users_evict(z, &steps);
    }

    do {
        ngx_analytics_cells_room(z, fold->received,
                                 NGX_ANALYTICS_FOLD_CHUNKS);

    } while (--n && z->expired);
}


/* Part of a transaction.  Returns how many events it had room for. */

static ngx_uint_t
ngx_analytics_fold_totals(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *events, ngx_uint_t n)
{
    uint64_t               seq;
    ngx_uint_t             i;
    ngx_analytics_zone_t  *z;

    z = fold->zone;
    seq = fold->seq;

    for (i = 0; i < n && i < NGX_ANALYTICS_AHEAD; i++) {
        ngx_analytics_users_prefetch(z, events[i].user_hash);
    }

    for (i = 0; i < n; i++) {

        if (i + NGX_ANALYTICS_AHEAD < n) {
            ngx_analytics_users_prefetch(z,
                                 events[i + NGX_ANALYTICS_AHEAD].user_hash);
        }

        if (!ngx_analytics_fold_passes(fold, &events[i], seq)) {

            if (z->undo_count && !ngx_analytics_fold_fits(fold)) {
                break;
            }

            ngx_analytics_fold_one(fold, &events[i], seq);
        }

        seq = ngx_analytics_fold_next(&events[i], seq);
    }

    return i;
}


/* Whether there is room for one event more, whatever it brings. */

static ngx_uint_t
ngx_analytics_fold_fits(ngx_analytics_fold_t *fold)
{
    uint64_t               words;
    ngx_analytics_zone_t  *z;

    z = fold->zone;

    words = NGX_ANALYTICS_FOLD_WORDS
            + ngx_analytics_tally_words(fold->tally.words);

    return z->undo_count + words <= NGX_ANALYTICS_UNDO_MAX
           && ngx_analytics_pool_left(&z->users) >= NGX_ANALYTICS_USERS_NEED
           && ngx_analytics_pool_left(&z->cells) >= NGX_ANALYTICS_FOLD_CHUNKS;
}


static void
ngx_analytics_fold_one(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *event, uint64_t seq)
{
    int64_t                time, hour;
    ngx_uint_t             type;
    ngx_analytics_zone_t  *z;

    z = fold->zone;

    time = (event->time == NGX_ANALYTICS_TIME_NONE) ? fold->received
                                                    : event->time;
    hour = ngx_analytics_floor_div(time, NGX_ANALYTICS_HOUR);
    hour -= ngx_analytics_floor_div(hour, 24) * 24;

    ngx_analytics_add(z, &z->events, 1);
    ngx_analytics_add(z, &z->hour_of_day[hour], 1);

    if (fold->received > z->received) {
        ngx_analytics_put_time(z, &z->received, fold->received);
    }

    type = ngx_analytics_types_fold(z, event);

    if (event->user.len) {
        ngx_analytics_fold_user(fold, event, type, time);
    }

    ngx_analytics_cells_fold(z, type, time);

    if (event->id.len) {
        ngx_analytics_fold_key(fold, event, seq);
    }

    if (seq > z->seq) {
        ngx_analytics_put64(z, &z->seq, seq);
    }
}


static ngx_inline void
ngx_analytics_fold_user(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *event, ngx_uint_t type, int64_t time)
{
    uint32_t               user;
    ngx_uint_t             reg, rank;
    ngx_analytics_zone_t  *z;

    z = fold->zone;
    user = ngx_analytics_users_fold(z, event, type, time);

    if (user) {
        ngx_analytics_top_fold(z, user);
        ngx_analytics_daily_fold(z, fold->rules, user, time);
        ngx_analytics_sessions_fold(z, fold->rules, user, time);
    }

    reg = ngx_analytics_hll_register(event->user_hash, &rank);

    if (z->hll[reg] < rank) {
        ngx_analytics_put8(z, &z->hll[reg], (u_char) rank);
    }
}


static void
ngx_analytics_fold_key(ngx_analytics_fold_t *fold,
    ngx_analytics_event_t *event, uint64_t seq)
{
    ngx_analytics_key_t  key;

    key.hash = event->id_hash;
    key.digest = event->digest;
    key.first = seq;
    key.last = seq;
    key.received = fold->received;
    key.done = 1;

    ngx_analytics_keys_put(fold->zone, &key);
}
