
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_hash.h"
#include "ngx_analytics_keys.h"
#include "ngx_analytics_pseudonym.h"


static uint64_t ngx_analytics_keys_words(ngx_analytics_zone_t *z,
    const uint64_t *words, ngx_uint_t n);
static ngx_uint_t ngx_analytics_keys_live(int64_t received, int64_t now);
static ngx_analytics_slot_t *ngx_analytics_keys_lookup(
    ngx_analytics_zone_t *z, uint64_t hash, int64_t now);
static void ngx_analytics_keys_save(ngx_analytics_zone_t *z,
    ngx_analytics_slot_t *slot);
static void ngx_analytics_keys_drop(ngx_analytics_zone_t *z, uint32_t place);


/* Hashes at most eight words, the same on every machine. */

static uint64_t
ngx_analytics_keys_words(ngx_analytics_zone_t *z, const uint64_t *words,
    ngx_uint_t n)
{
    u_char      *p, buf[8 * sizeof(uint64_t)];
    ngx_uint_t   i, shift;

    p = buf;

    for (i = 0; i < n; i++) {
        for (shift = 0; shift < 64; shift += 8) {
            *p++ = (u_char) (words[i] >> shift);
        }
    }

    return ngx_analytics_siphash(z->key, buf, (size_t) (p - buf));
}


uint64_t
ngx_analytics_key_hash(ngx_analytics_zone_t *z, ngx_analytics_key_e kind,
    ngx_str_t *key)
{
    uint64_t  hash, words[2];

    words[0] = kind;
    words[1] = ngx_analytics_siphash(z->key, key->data, key->len);

    hash = ngx_analytics_keys_words(z, words, 2);

    return hash ? hash : 1;
}


/*
 * Of fixed length, so that no part can pass for another one's bytes.  An
 * event without a time of its own has the same one each time it is sent; a
 * pseudonym may be another one by then.
 */
uint64_t
ngx_analytics_event_digest(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *event)
{
    uint64_t    words[7];
    ngx_uint_t  named;

    named = !ngx_analytics_pseudonym_is(&event->user);

    words[0] = named ? event->user_hash : 0;
    words[1] = named ? event->user.len : 0;
    words[2] = event->type_hash;
    words[3] = event->type.len;
    words[4] = (uint64_t) event->time;
    words[5] = ngx_analytics_siphash(z->key, event->properties.data,
                                     event->properties.len);
    words[6] = event->properties.len;

    return ngx_analytics_keys_words(z, words, 7);
}


/* A clock that goes back makes nothing older. */

static ngx_uint_t
ngx_analytics_keys_live(int64_t received, int64_t now)
{
    return received >= now
           || (uint64_t) now - (uint64_t) received
              < (uint64_t) NGX_ANALYTICS_KEYS_WINDOW;
}


/* The first in the bucket is the newest: behind it are only older ones. */

static ngx_analytics_slot_t *
ngx_analytics_keys_lookup(ngx_analytics_zone_t *z, uint64_t hash,
    int64_t now)
{
    uint32_t               n;
    ngx_analytics_slot_t  *slot;

    for (n = *ngx_analytics_keys_bucket(z, hash); n; n = slot->next) {
        slot = ngx_analytics_slot(z, n - 1);

        if (slot->hash == hash) {
            return ngx_analytics_keys_live(slot->received, now) ? slot : NULL;
        }
    }

    return NULL;
}


ngx_int_t
ngx_analytics_keys_find(ngx_analytics_zone_t *z, uint64_t hash, int64_t now,
    ngx_analytics_key_t *key)
{
    ngx_analytics_slot_t  *slot;

    slot = ngx_analytics_keys_lookup(z, hash, now);

    if (slot == NULL) {
        return NGX_DECLINED;
    }

    key->hash = slot->hash;
    key->digest = slot->digest;
    key->first = slot->first;
    key->last = slot->last;
    key->received = slot->received;
    key->done = slot->done;

    return NGX_OK;
}


void
ngx_analytics_keys_put(ngx_analytics_zone_t *z, ngx_analytics_key_t *key)
{
    uint32_t               place, *bucket;
    ngx_analytics_slot_t  *slot;

    slot = ngx_analytics_keys_lookup(z, key->hash, key->received);

    if (slot) {
        ngx_analytics_put64(z, &slot->digest, key->digest);
        ngx_analytics_put64(z, &slot->first, key->first);
        ngx_analytics_put64(z, &slot->last, key->last);
        ngx_analytics_put32(z, &slot->done, key->done);
        return;
    }

    place = z->keys_head;

    if (z->keys_count == z->keys_max) {
        ngx_analytics_keys_drop(z, place);

    } else {
        ngx_analytics_put32(z, &z->keys_count, z->keys_count + 1);
    }

    bucket = ngx_analytics_keys_bucket(z, key->hash);
    slot = ngx_analytics_slot(z, place);

    slot->hash = key->hash;
    slot->digest = key->digest;
    slot->first = key->first;
    slot->last = key->last;
    slot->received = key->received;
    slot->done = key->done;
    slot->next = *bucket;

    ngx_analytics_put32(z, bucket, place + 1);
    ngx_analytics_put32(z, &z->keys_head,
                        (place + 1 < z->keys_max) ? place + 1 : 0);
}


void
ngx_analytics_keys_add(ngx_analytics_zone_t *z, ngx_analytics_key_t *key)
{
    ngx_analytics_keys_put(z, key);
    ngx_analytics_commit(z);
}


/* Takes the key there out of its bucket and remembers how young it was. */

static void
ngx_analytics_keys_drop(ngx_analytics_zone_t *z, uint32_t place)
{
    uint32_t              *link;
    ngx_analytics_slot_t  *slot;

    slot = ngx_analytics_slot(z, place);
    link = ngx_analytics_keys_bucket(z, slot->hash);

    while (*link != place + 1) {
        link = &ngx_analytics_slot(z, *link - 1)->next;
    }

    ngx_analytics_put32(z, link, slot->next);

    if (slot->received > z->keys_lost) {
        ngx_analytics_put_time(z, &z->keys_lost, slot->received);
    }

    ngx_analytics_keys_save(z, slot);
}


/* What is saved may be written as it comes. */

static void
ngx_analytics_keys_save(ngx_analytics_zone_t *z, ngx_analytics_slot_t *slot)
{
    u_char  *p;

    for (p = (u_char *) slot;
         p < (u_char *) (slot + 1);
         p += sizeof(uint64_t))
    {
        ngx_analytics_save(z, p);
    }
}


int64_t
ngx_analytics_keys_window(ngx_analytics_zone_t *z, int64_t now)
{
    if (!ngx_analytics_keys_live(z->keys_lost, now)) {
        return NGX_ANALYTICS_KEYS_WINDOW;
    }

    return (now > z->keys_lost) ? now - z->keys_lost : 0;
}
