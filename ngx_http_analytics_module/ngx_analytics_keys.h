
/*
 * The keys seen lately: of requests (Idempotency-Key) and of events that
 * have ids of their own.
 *
 * They lie in a ring by time of receipt, the oldest leave for the newest,
 * and are found through a hash table.  A key is known by its SipHash alone;
 * that two of them meet is a matter of one in 10^13 lookups.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_KEYS_H_INCLUDED_
#define _NGX_ANALYTICS_KEYS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_arena.h"


#define NGX_ANALYTICS_KEYS_WINDOW  ((int64_t) 24 * 3600 * 1000000)  /* usec */

/*
 * Words saved for undo, at most.  A new key: the link to the oldest, its
 * time, and all of it (6); the bucket and the head.
 */
#define NGX_ANALYTICS_KEYS_WORDS   10


/* What kind of key; both share the ring. */
typedef enum {
    NGX_ANALYTICS_KEY_REQUEST = 1,
    NGX_ANALYTICS_KEY_EVENT
} ngx_analytics_key_e;


/*
 * What is known by a key: of a request, how many events of its body are done
 * and the least and greatest of their numbers; of an event, its number twice.
 */
typedef struct {
    uint64_t        hash;
    uint64_t        digest;            /* of the body or the event */
    uint64_t        first;
    uint64_t        last;
    int64_t         received;          /* when it was seen first */
    uint32_t        done;
} ngx_analytics_key_t;


/* Not locked.  A key's hash in this zone, never 0. */
uint64_t ngx_analytics_key_hash(ngx_analytics_zone_t *z,
    ngx_analytics_key_e kind, ngx_str_t *key);

/*
 * Not locked.  The digest of all that makes an event, but its id; the hashes
 * of its names are set.
 */
uint64_t ngx_analytics_event_digest(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *event);

/*
 * Locked.  Looks a key up that was seen in the window that ends now.
 * Returns NGX_OK and *key, or NGX_DECLINED.
 */
ngx_int_t ngx_analytics_keys_find(ngx_analytics_zone_t *z, uint64_t hash,
    int64_t now, ngx_analytics_key_t *key);

/*
 * Locked.  Adds a key, or changes the one with the same hash that was seen
 * in the window that ends when this one is received; does not end the
 * transaction.  A key that is changed keeps its place and its time.
 */
void ngx_analytics_keys_put(ngx_analytics_zone_t *z,
    ngx_analytics_key_t *key);

/* Locked.  keys_put() as a transaction of its own. */
void ngx_analytics_keys_add(ngx_analytics_zone_t *z,
    ngx_analytics_key_t *key);

/*
 * Locked.  How far back keys are known, in microseconds: the whole window
 * unless one younger than that has had to leave.
 */
int64_t ngx_analytics_keys_window(ngx_analytics_zone_t *z, int64_t now);


static ngx_inline uint32_t *
ngx_analytics_keys_bucket(ngx_analytics_zone_t *z, uint64_t hash)
{
    return (uint32_t *) ngx_analytics_at(z, z->keys_hash)
           + (ngx_analytics_hash32(hash) & z->keys_mask);
}


#endif /* _NGX_ANALYTICS_KEYS_H_INCLUDED_ */
