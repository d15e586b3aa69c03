
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_arena.h"
#include "ngx_analytics_dailies.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_users.h"


static ngx_int_t ngx_analytics_user_is(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_str_t *name);
static uint32_t ngx_analytics_users_insert(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *event, ngx_uint_t type, int64_t time);
static void ngx_analytics_user_set_name(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_str_t *name);
static void ngx_analytics_user_count(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t type, int64_t time);
static uint64_t *ngx_analytics_user_find_type(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t type);
static void ngx_analytics_user_lossy(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user);
static void ngx_analytics_user_add_type(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t type);
static void ngx_analytics_user_set_types(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_analytics_user_image_t *image);
static ngx_analytics_more_t *ngx_analytics_user_more_types(
    ngx_analytics_zone_t *z, ngx_analytics_user_t *user, uint32_t block);


uint32_t
ngx_analytics_users_find(ngx_analytics_zone_t *z, ngx_str_t *name,
    uint64_t hash)
{
    uint32_t               n, h;
    ngx_analytics_user_t  *user;

    h = ngx_analytics_hash32(hash);

    for (n = *ngx_analytics_users_bucket(z, h); n; n = user->next) {
        user = ngx_analytics_user(z, n);

        if (user->hash == h
            && user->len == name->len
            && ngx_analytics_user_is(z, user, name))
        {
            return n;
        }
    }

    return 0;
}


static ngx_int_t
ngx_analytics_user_is(ngx_analytics_zone_t *z, ngx_analytics_user_t *user,
    ngx_str_t *name)
{
    size_t                 done, n;
    uint32_t               block;
    ngx_analytics_more_t  *more;

    n = ngx_min(name->len, NGX_ANALYTICS_USER_INLINE);

    if (!ngx_analytics_equal(user->name, name->data, n)) {
        return 0;
    }

    done = n;

    for (block = user->name_more; block; block = more->next) {
        more = ngx_analytics_more(z, block);

        n = ngx_min(name->len - done, NGX_ANALYTICS_MORE_NAME);

        if (!ngx_analytics_equal(more->u.name, name->data + done, n)) {
            return 0;
        }

        done += n;
    }

    return 1;
}


size_t
ngx_analytics_user_name(ngx_analytics_zone_t *z, ngx_analytics_user_t *user,
    u_char *dst)
{
    size_t                 done, n;
    uint32_t               block;
    ngx_analytics_more_t  *more;

    done = ngx_min(user->len, NGX_ANALYTICS_USER_INLINE);
    ngx_memcpy(dst, user->name, done);

    for (block = user->name_more; block; block = more->next) {
        more = ngx_analytics_more(z, block);

        n = ngx_min(user->len - done, NGX_ANALYTICS_MORE_NAME);
        ngx_memcpy(dst + done, more->u.name, n);

        done += n;
    }

    return done;
}


ngx_int_t
ngx_analytics_user_name_cmp(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *one, ngx_analytics_user_t *two)
{
    size_t     len;
    u_char     name1[NGX_ANALYTICS_NAME_MAX], name2[NGX_ANALYTICS_NAME_MAX];
    ngx_int_t  rc;

    len = ngx_min(one->len, two->len);

    rc = ngx_memcmp(one->name, two->name,
                    ngx_min(len, NGX_ANALYTICS_USER_INLINE));

    if (rc == 0 && len > NGX_ANALYTICS_USER_INLINE) {
        ngx_analytics_user_name(z, one, name1);
        ngx_analytics_user_name(z, two, name2);

        rc = ngx_memcmp(name1, name2, len);
    }

    return rc ? rc : (ngx_int_t) one->len - (ngx_int_t) two->len;
}


uint32_t
ngx_analytics_users_fold(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *event, ngx_uint_t type, int64_t time)
{
    uint32_t  n;

    n = ngx_analytics_users_find(z, &event->user, event->user_hash);

    if (n == 0) {
        return ngx_analytics_users_insert(z, event, type, time);
    }

    ngx_analytics_user_count(z, ngx_analytics_user(z, n), type, time);

    return n;
}


static uint32_t
ngx_analytics_users_insert(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *event, ngx_uint_t type, int64_t time)
{
    uint32_t               n, *bucket;
    ngx_analytics_user_t  *user;

    if (ngx_analytics_pool_left(&z->users) < 1 + NGX_ANALYTICS_USERS_NAME) {
        ngx_analytics_add(z, &z->refused, 1);
        return 0;
    }

    n = ngx_analytics_pool_alloc(z, &z->users);
    user = ngx_analytics_user(z, n);

    bucket = ngx_analytics_users_bucket(z,
                                   ngx_analytics_hash32(event->user_hash));

    user->next = *bucket;
    user->hash = ngx_analytics_hash32(event->user_hash);
    user->flags = NGX_ANALYTICS_USER_HEAD;

    if (z->evicted || z->refused) {
        user->flags |= NGX_ANALYTICS_USER_INEXACT;
    }

    user->count = 1;
    user->first = time;
    user->last = time;

    user->types_more = 0;
    user->ntypes = 1;
    user->types[0] = ((uint64_t) type << NGX_ANALYTICS_ENTRY_BITS) + 1;

    user->ndays = 0;
    user->days_more = 0;
    user->nsessions = 0;

    ngx_analytics_user_set_name(z, user, &event->user);

    ngx_analytics_put32(z, bucket, n);
    ngx_analytics_add(z, &z->live, 1);

    return n;
}


/* The user is not reachable yet, and there are blocks enough. */

static void
ngx_analytics_user_set_name(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_str_t *name)
{
    size_t                 done, n;
    uint32_t               block, *link;
    ngx_analytics_more_t  *more;

    user->len = (u_char) name->len;

    done = ngx_min(name->len, NGX_ANALYTICS_USER_INLINE);
    ngx_memcpy(user->name, name->data, done);

    /* nothing is to be left of who had the block before */

    ngx_memzero(user->name + done, NGX_ANALYTICS_USER_INLINE - done);

    link = &user->name_more;

    while (done < name->len) {
        block = ngx_analytics_pool_alloc(z, &z->users);
        more = ngx_analytics_more(z, block);

        n = ngx_min(name->len - done, NGX_ANALYTICS_MORE_NAME);
        ngx_memcpy(more->u.name, name->data + done, n);
        ngx_memzero(more->u.name + n, NGX_ANALYTICS_MORE_NAME - n);

        done += n;

        *link = block;
        link = &more->next;
    }

    *link = 0;
}


static void
ngx_analytics_user_count(ngx_analytics_zone_t *z, ngx_analytics_user_t *user,
    ngx_uint_t type, int64_t time)
{
    uint64_t  *entry;

    ngx_analytics_add(z, &user->count, 1);

    if (time < user->first) {
        ngx_analytics_put_time(z, &user->first, time);
    }

    if (time > user->last) {
        ngx_analytics_put_time(z, &user->last, time);
    }

    if (!(user->flags & NGX_ANALYTICS_USER_TOUCHED)) {
        ngx_analytics_put8(z, &user->flags,
                           user->flags | NGX_ANALYTICS_USER_TOUCHED);
    }

    entry = ngx_analytics_user_find_type(z, user, type);

    if (entry == NULL && user->ntypes >= NGX_ANALYTICS_USER_TYPES_MAX) {

        /* the search is linear, and who made up that many is a stranger */

        ngx_analytics_user_lossy(z, user);

        type = 0;
        entry = ngx_analytics_user_find_type(z, user, type);
    }

    if (entry) {
        ngx_analytics_add(z, entry, 1);

    } else {
        ngx_analytics_user_add_type(z, user, type);
    }
}


static uint64_t *
ngx_analytics_user_find_type(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t type)
{
    uint32_t     block;
    uint64_t    *entry;
    ngx_uint_t   i, n, left;

    n = ngx_min(user->ntypes, NGX_ANALYTICS_USER_TYPES);
    left = user->ntypes - n;
    block = user->types_more;
    entry = user->types;

    for ( ;; ) {

        for (i = 0; i < n; i++) {
            if (ngx_analytics_entry_type(entry[i]) == type) {
                return &entry[i];
            }
        }

        if (left == 0) {
            return NULL;
        }

        /* the first block is the newest: all behind it are full */

        entry = ngx_analytics_more(z, block)->u.types;
        block = ngx_analytics_more(z, block)->next;

        n = (left - 1) % NGX_ANALYTICS_MORE_TYPES + 1;
        left -= n;
    }
}


static void
ngx_analytics_user_lossy(ngx_analytics_zone_t *z, ngx_analytics_user_t *user)
{
    if (!(user->flags & NGX_ANALYTICS_USER_LOSSY)) {
        ngx_analytics_put8(z, &user->flags,
                           user->flags | NGX_ANALYTICS_USER_LOSSY);
    }
}


static void
ngx_analytics_user_add_type(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_uint_t type)
{
    uint32_t               block;
    uint64_t               entry;
    ngx_uint_t             n;
    ngx_analytics_more_t  *more;

    entry = ((uint64_t) type << NGX_ANALYTICS_ENTRY_BITS) + 1;

    if (user->ntypes < NGX_ANALYTICS_USER_TYPES) {
        ngx_analytics_put64(z, &user->types[user->ntypes], entry);
        ngx_analytics_put16(z, &user->ntypes, user->ntypes + 1);
        return;
    }

    n = (user->ntypes - NGX_ANALYTICS_USER_TYPES) % NGX_ANALYTICS_MORE_TYPES;

    if (n == 0) {
        block = ngx_analytics_pool_alloc(z, &z->users);

        if (block == 0) {
            ngx_analytics_user_lossy(z, user);
            return;
        }

        more = ngx_analytics_user_more_types(z, user, block);

    } else {
        more = ngx_analytics_more(z, user->types_more);
    }

    ngx_analytics_put64(z, &more->u.types[n], entry);
    ngx_analytics_put16(z, &user->ntypes, user->ntypes + 1);
}


/* A new block for the types of a user comes before the others. */

static ngx_analytics_more_t *
ngx_analytics_user_more_types(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, uint32_t block)
{
    ngx_analytics_more_t  *more;

    more = ngx_analytics_more(z, block);

    more->next = user->types_more;
    more->tail = more->next ? ngx_analytics_more(z, more->next)->tail : block;

    ngx_analytics_put32(z, &user->types_more, block);

    return more;
}


ngx_uint_t
ngx_analytics_users_blocks(ngx_analytics_user_image_t *image)
{
    ngx_uint_t  n;

    n = 1;

    if (image->name.len > NGX_ANALYTICS_USER_INLINE) {
        n += (image->name.len - NGX_ANALYTICS_USER_INLINE
              + NGX_ANALYTICS_MORE_NAME - 1) / NGX_ANALYTICS_MORE_NAME;
    }

    if (image->ntypes > NGX_ANALYTICS_USER_TYPES) {
        n += (image->ntypes - NGX_ANALYTICS_USER_TYPES
              + NGX_ANALYTICS_MORE_TYPES - 1) / NGX_ANALYTICS_MORE_TYPES;
    }

    if (image->nbits) {
        n += image->nbits / NGX_ANALYTICS_MORE_WORDS + 2;
    }

    return n;
}


uint32_t
ngx_analytics_users_restore(ngx_analytics_zone_t *z,
    ngx_analytics_user_image_t *image)
{
    uint32_t               n, *bucket;
    ngx_analytics_user_t  *user;

    n = ngx_analytics_pool_alloc(z, &z->users);
    user = ngx_analytics_user(z, n);

    bucket = ngx_analytics_users_bucket(z, ngx_analytics_hash32(image->hash));

    user->next = *bucket;
    user->hash = ngx_analytics_hash32(image->hash);
    user->flags = NGX_ANALYTICS_USER_HEAD | image->flags;

    user->count = image->count;
    user->first = image->first;
    user->last = image->last;

    user->nsessions = image->nsessions;
    ngx_memcpy(user->sessions, image->sessions, sizeof(image->sessions));

    user->day_first = image->day_first;
    user->day_last = image->day_last;
    user->ndays = (u_char) image->ndays;
    ngx_memcpy(user->days, image->days, sizeof(image->days));
    user->days_more = 0;

    if (image->nbits) {
        user->ndays = NGX_ANALYTICS_USER_DAYS_BITS;
        ngx_analytics_user_restore_days(z, user, image->bits,
                                        image->bits_from, image->nbits);
    }

    ngx_analytics_user_set_types(z, user, image);
    ngx_analytics_user_set_name(z, user, &image->name);

    ngx_analytics_put32(z, bucket, n);
    ngx_analytics_add(z, &z->live, 1);
    ngx_analytics_commit(z);

    return n;
}


/* The user is not reachable yet, and there are blocks enough. */

static void
ngx_analytics_user_set_types(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, ngx_analytics_user_image_t *image)
{
    ngx_uint_t             i, n;
    ngx_analytics_more_t  *more;

    user->types_more = 0;
    user->ntypes = (uint16_t) image->ntypes;

    n = ngx_min(image->ntypes, NGX_ANALYTICS_USER_TYPES);
    ngx_memcpy(user->types, image->types, n * sizeof(uint64_t));

    for (i = n; i < image->ntypes; i += n) {
        more = ngx_analytics_user_more_types(z, user,
                                   ngx_analytics_pool_alloc(z, &z->users));

        n = ngx_min(image->ntypes - i, NGX_ANALYTICS_MORE_TYPES);
        ngx_memcpy(more->u.types, &image->types[i], n * sizeof(uint64_t));
    }
}


void
ngx_analytics_user_types_init(ngx_analytics_user_t *user,
    ngx_analytics_user_types_t *ut)
{
    ut->entry = user->types;
    ut->left = ngx_min(user->ntypes, NGX_ANALYTICS_USER_TYPES);
    ut->total = user->ntypes - ut->left;
    ut->more = user->types_more;
}


uint64_t *
ngx_analytics_user_types_next(ngx_analytics_zone_t *z,
    ngx_analytics_user_types_t *ut)
{
    ngx_analytics_more_t  *more;

    if (ut->left == 0) {

        if (ut->total == 0) {
            return NULL;
        }

        more = ngx_analytics_more(z, ut->more);

        /* the first block is the newest: all behind it are full */

        ut->entry = more->u.types;
        ut->left = (ut->total - 1) % NGX_ANALYTICS_MORE_TYPES + 1;
        ut->total -= ut->left;
        ut->more = more->next;
    }

    ut->left--;

    return ut->entry++;
}
