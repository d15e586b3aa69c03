
/*
 * How users leave: the longest idle for room, and who wants to be forgotten.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_arena.h"
#include "ngx_analytics_dailies.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_top.h"
#include "ngx_analytics_users.h"


static uint32_t ngx_analytics_users_hashed(ngx_analytics_zone_t *z,
    uint64_t hash);
static void ngx_analytics_users_remove(ngx_analytics_zone_t *z,
    uint32_t block);
static void ngx_analytics_users_chain(ngx_analytics_zone_t *z,
    uint32_t *last, ngx_uint_t *n, uint32_t more);
static void ngx_analytics_users_unlink(ngx_analytics_zone_t *z,
    uint32_t block);


/*
 * The clock algorithm, or second chance: the hand goes round over the
 * blocks; who was active since it last came by stays, and so does the top
 * heap.  As a new user takes the block that was just given up, the order of
 * the blocks is mostly that of arrival, and who leaves is the longest idle
 * to within one round.
 */
void
ngx_analytics_users_evict(ngx_analytics_zone_t *z, ngx_uint_t *steps)
{
    uint32_t               n;
    ngx_uint_t             found;
    ngx_analytics_user_t  *user;

    n = z->hand;

    do {
        n = (n + 1 < z->users.bump) ? n + 1 : 1;

        user = ngx_analytics_user(z, n);
        found = (user->flags & NGX_ANALYTICS_USER_HEAD) && user->heap == 0;

    } while (--*steps && !found);

    ngx_analytics_put32(z, &z->hand, n);

    if (found && (user->flags & NGX_ANALYTICS_USER_TOUCHED)) {
        ngx_analytics_put8(z, &user->flags,
                         user->flags & (u_char) ~NGX_ANALYTICS_USER_TOUCHED);

    } else if (found) {
        ngx_analytics_add(z, &z->evicted, 1);
        ngx_analytics_users_remove(z, n);
        return;
    }

    ngx_analytics_commit(z);
}


ngx_int_t
ngx_analytics_users_erase(ngx_analytics_zone_t *z, uint64_t hash)
{
    uint32_t               n;
    ngx_analytics_user_t  *user;

    n = ngx_analytics_users_hashed(z, hash);

    if (n == 0) {
        return NGX_DECLINED;
    }

    user = ngx_analytics_user(z, n);

    if (user->heap) {
        ngx_analytics_top_remove(z, n);
    }

    ngx_analytics_daily_forget(z, user);
    ngx_analytics_users_remove(z, n);

    return NGX_OK;
}


/* Of a hash the table keeps one half: the other one is the name's to tell. */

static uint32_t
ngx_analytics_users_hashed(ngx_analytics_zone_t *z, uint64_t hash)
{
    size_t                 len;
    u_char                 name[NGX_ANALYTICS_NAME_MAX];
    uint32_t               n, h;
    ngx_analytics_user_t  *user;

    h = ngx_analytics_hash32(hash);

    for (n = *ngx_analytics_users_bucket(z, h); n; n = user->next) {
        user = ngx_analytics_user(z, n);

        if (user->hash != h) {
            continue;
        }

        len = ngx_analytics_user_name(z, user, name);

        if (ngx_analytics_siphash(z->key, name, len) == hash) {
            return n;
        }
    }

    return 0;
}


/* Ends the transaction. */

static void
ngx_analytics_users_remove(ngx_analytics_zone_t *z, uint32_t block)
{
    uint32_t               more[NGX_ANALYTICS_USERS_NAME], last;
    ngx_uint_t             i, n, nmore;
    ngx_analytics_user_t  *user;

    user = ngx_analytics_user(z, block);

    ngx_analytics_users_unlink(z, block);

    nmore = 0;

    for (last = user->name_more;
         last && nmore < NGX_ANALYTICS_USERS_NAME;
         last = ngx_analytics_more(z, last)->next)
    {
        more[nmore++] = last;
    }

    /* the user, its types, its days, its name become one chain */

    n = 1;
    last = block;

    if (user->types_more) {
        ngx_analytics_put32(z, &user->next, user->types_more);

        last = ngx_analytics_more(z, user->types_more)->tail;

        n += (user->ntypes - NGX_ANALYTICS_USER_TYPES
              + NGX_ANALYTICS_MORE_TYPES - 1) / NGX_ANALYTICS_MORE_TYPES;
    }

    ngx_analytics_users_chain(z, &last, &n, user->days_more);
    ngx_analytics_users_chain(z, &last, &n, user->name_more);

    ngx_analytics_put8(z, &user->flags, 0);

    ngx_analytics_pool_free(z, &z->users, block, last, n);
    ngx_analytics_put64(z, &z->live, z->live - 1);

    ngx_analytics_commit(z);

    /* the blocks are free by now, and of a free one only the start matters */

    ngx_memzero(user->name, NGX_ANALYTICS_USER_INLINE);

    for (i = 0; i < nmore; i++) {
        ngx_memzero(ngx_analytics_more(z, more[i])->u.name,
                    NGX_ANALYTICS_MORE_NAME);
    }
}


/* Links blocks behind the last one of a chain of n. */

static void
ngx_analytics_users_chain(ngx_analytics_zone_t *z, uint32_t *last,
    ngx_uint_t *n, uint32_t more)
{
    if (more == 0) {
        return;
    }

    ngx_analytics_put32(z, &ngx_analytics_more(z, *last)->next, more);

    for ( /* void */ ; more; more = ngx_analytics_more(z, more)->next) {
        *last = more;
        (*n)++;
    }
}


static void
ngx_analytics_users_unlink(ngx_analytics_zone_t *z, uint32_t block)
{
    uint32_t              *link;
    ngx_analytics_user_t  *user;

    user = ngx_analytics_user(z, block);
    link = ngx_analytics_users_bucket(z, user->hash);

    while (*link != block) {
        link = &ngx_analytics_user(z, *link)->next;
    }

    ngx_analytics_put32(z, link, user->next);
}
