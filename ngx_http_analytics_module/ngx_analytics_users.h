
/*
 * The table of users.  A user is one block; the rest of a long name and the
 * counts of further types take blocks of their own.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_USERS_H_INCLUDED_
#define _NGX_ANALYTICS_USERS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_layout.h"


/* blocks that one event can need: the user, its name's rest, types, days */
#define NGX_ANALYTICS_USERS_NAME                                              \
    ((NGX_ANALYTICS_NAME_MAX - NGX_ANALYTICS_USER_INLINE                      \
      + NGX_ANALYTICS_MORE_NAME - 1) / NGX_ANALYTICS_MORE_NAME)

#define NGX_ANALYTICS_USERS_NEED     (1 + NGX_ANALYTICS_USERS_NAME + 2)

/*
 * Words saved for undo, at most.  A new user: its blocks, the bucket, how
 * many there are.  A known one: count, first, last, flags; a type's entry,
 * their number, and a block for it with the link to it.
 */
#define NGX_ANALYTICS_USERS_WORDS                                             \
    (NGX_ANALYTICS_USERS_NEED * NGX_ANALYTICS_ALLOC_WORDS + 8)


/* All that is known of a user, as a checkpoint has it. */
typedef struct {
    ngx_str_t               name;
    uint64_t                hash;
    uint64_t                count;
    int64_t                 first;
    int64_t                 last;
    u_char                  flags;     /* all but HEAD */
    ngx_uint_t              ntypes;
    uint64_t                types[NGX_ANALYTICS_USER_TYPES_MAX + 1];
    u_char                  nsessions;
    ngx_analytics_session_t  sessions[NGX_ANALYTICS_USER_SESSIONS];

    uint16_t                day_first;
    uint16_t                day_last;
    ngx_uint_t              ndays;     /* of days[], in any order, */
    uint16_t                days[NGX_ANALYTICS_USER_DAYS];
    u_char                 *bits;      /* or of so many words of 64 days, */
    ngx_uint_t              nbits;     /* 8 bytes each, little-endian, */
    ngx_uint_t              bits_from; /* from this one on */
} ngx_analytics_user_image_t;


/* walks the types of a user */
typedef struct {
    uint64_t               *entry;
    ngx_uint_t              left;      /* in this block */
    ngx_uint_t              total;     /* in the blocks after it */
    uint32_t                more;      /* the next block */
} ngx_analytics_user_types_t;


/* Returns the block of a user, or 0. */
uint32_t ngx_analytics_users_find(ngx_analytics_zone_t *z, ngx_str_t *name,
    uint64_t hash);

/* Counts the event in its user.  Returns the user's block, or 0: no room. */
uint32_t ngx_analytics_users_fold(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *event, ngx_uint_t type, int64_t time);

/*
 * A transaction of its own: moves the hand on to the next user who might
 * leave, over at most *steps blocks, which are taken off; who was active
 * since it last came by stays until the next time.
 */
void ngx_analytics_users_evict(ngx_analytics_zone_t *z, ngx_uint_t *steps);

/*
 * A transaction of its own: removes the user whose name has this hash, for
 * good.  Returns NGX_OK, or NGX_DECLINED if there is none.
 * The top heap, if others had no place in it, has one place less then: who
 * of them would be next is not known without a look at all.
 */
ngx_int_t ngx_analytics_users_erase(ngx_analytics_zone_t *z, uint64_t hash);

/* How many blocks a user takes. */
ngx_uint_t ngx_analytics_users_blocks(ngx_analytics_user_image_t *image);

/*
 * A transaction of its own: takes in a user who is not in the table.  There
 * are blocks enough.  Returns the user's block.
 */
uint32_t ngx_analytics_users_restore(ngx_analytics_zone_t *z,
    ngx_analytics_user_image_t *image);

/* Writes the whole name.  Returns its length. */
size_t ngx_analytics_user_name(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, u_char *dst);

/* Compares two names by bytes, like memcmp(). */
ngx_int_t ngx_analytics_user_name_cmp(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *one, ngx_analytics_user_t *two);

void ngx_analytics_user_types_init(ngx_analytics_user_t *user,
    ngx_analytics_user_types_t *ut);

/* Returns the next entry or NULL. */
uint64_t *ngx_analytics_user_types_next(ngx_analytics_zone_t *z,
    ngx_analytics_user_types_t *ut);


static ngx_inline uint32_t *
ngx_analytics_users_bucket(ngx_analytics_zone_t *z, uint32_t hash)
{
    return (uint32_t *) ngx_analytics_at(z, z->users_hash)
           + (hash & z->users_mask);
}


/* The table is larger than the caches: a miss a user, unless asked early. */

static ngx_inline void
ngx_analytics_users_prefetch(ngx_analytics_zone_t *z, uint64_t hash)
{
    uint32_t               n;
    ngx_analytics_user_t  *user;

    n = *ngx_analytics_users_bucket(z, ngx_analytics_hash32(hash));

    if (n) {
        user = ngx_analytics_user(z, n);
        ngx_analytics_prefetch(user);
        ngx_analytics_prefetch(user->name);
        ngx_analytics_prefetch(user->sessions);
    }
}


#endif /* _NGX_ANALYTICS_USERS_H_INCLUDED_ */
