
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_arena.h"
#include "ngx_analytics_top.h"
#include "ngx_analytics_users.h"


static void ngx_analytics_top_rise(ngx_analytics_zone_t *z, ngx_uint_t i,
    ngx_analytics_top_t entry);
static void ngx_analytics_top_sink(ngx_analytics_zone_t *z, ngx_uint_t i,
    ngx_analytics_top_t entry);
static void ngx_analytics_top_place(ngx_analytics_zone_t *z, ngx_uint_t i,
    ngx_analytics_top_t entry);
static ngx_uint_t ngx_analytics_top_weakest(ngx_analytics_zone_t *z,
    ngx_analytics_top_t *top, ngx_uint_t size, ngx_uint_t i,
    ngx_analytics_top_t *entry);
static ngx_int_t ngx_analytics_top_weaker(ngx_analytics_zone_t *z,
    ngx_analytics_top_t *one, ngx_analytics_top_t *two);


void
ngx_analytics_top_fold(ngx_analytics_zone_t *z, uint32_t block)
{
    ngx_uint_t             n;
    ngx_analytics_top_t    entry;
    ngx_analytics_user_t  *user;

    user = ngx_analytics_user(z, block);

    entry.count = user->count;
    entry.user = block;

    if (user->heap) {
        ngx_analytics_top_sink(z, user->heap - 1, entry);
        return;
    }

    n = z->top_size;

    if (n < z->top_max) {
        ngx_analytics_put32(z, &z->top_size, n + 1);
        ngx_analytics_top_rise(z, n, entry);
        return;
    }

    if (!ngx_analytics_top_weaker(z, &z->top[0], &entry)) {
        return;
    }

    user = ngx_analytics_user(z, (uint32_t) z->top[0].user);
    ngx_analytics_put32(z, &user->heap, 0);

    ngx_analytics_top_sink(z, 0, entry);
}


/*
 * Those in the heap are stronger than all others, and stay so without the one
 * that goes, as long as nobody takes the free place who is not.
 */

void
ngx_analytics_top_remove(ngx_analytics_zone_t *z, uint32_t block)
{
    ngx_uint_t             i, n;
    ngx_analytics_top_t    last;
    ngx_analytics_user_t  *user;

    user = ngx_analytics_user(z, block);

    i = user->heap - 1;
    n = z->top_size - 1;
    last = z->top[n];

    if (z->live > z->top_size && z->top_max > 1) {
        ngx_analytics_put32(z, &z->top_max, z->top_max - 1);
    }

    ngx_analytics_put32(z, &z->top_size, n);
    ngx_analytics_put32(z, &user->heap, 0);

    if (i == n) {
        return;
    }

    if (i && ngx_analytics_top_weaker(z, &last, &z->top[(i - 1) / 2])) {
        ngx_analytics_top_rise(z, i, last);

    } else {
        ngx_analytics_top_sink(z, i, last);
    }
}


static void
ngx_analytics_top_rise(ngx_analytics_zone_t *z, ngx_uint_t i,
    ngx_analytics_top_t entry)
{
    ngx_uint_t  parent;

    while (i > 0) {
        parent = (i - 1) / 2;

        if (!ngx_analytics_top_weaker(z, &entry, &z->top[parent])) {
            break;
        }

        ngx_analytics_top_place(z, i, z->top[parent]);
        i = parent;
    }

    ngx_analytics_top_place(z, i, entry);
}


static void
ngx_analytics_top_sink(ngx_analytics_zone_t *z, ngx_uint_t i,
    ngx_analytics_top_t entry)
{
    ngx_uint_t  child;

    for ( ;; ) {
        child = ngx_analytics_top_weakest(z, z->top, z->top_size, i, &entry);

        if (child == i) {
            break;
        }

        ngx_analytics_top_place(z, i, z->top[child]);
        i = child;
    }

    ngx_analytics_top_place(z, i, entry);
}


/* Most often a user only counts on in its place: that is one word. */

static void
ngx_analytics_top_place(ngx_analytics_zone_t *z, ngx_uint_t i,
    ngx_analytics_top_t entry)
{
    ngx_analytics_user_t  *user;

    if (z->top[i].count != entry.count) {
        ngx_analytics_put64(z, &z->top[i].count, entry.count);
    }

    if (z->top[i].user != entry.user) {
        ngx_analytics_put64(z, &z->top[i].user, entry.user);
    }

    user = ngx_analytics_user(z, (uint32_t) entry.user);

    if (user->heap != i + 1) {
        ngx_analytics_put32(z, &user->heap, (uint32_t) i + 1);
    }
}


/*
 * Returns which of the two places below i holds what is weaker than entry
 * and than the other one, or i if none does.
 */
static ngx_uint_t
ngx_analytics_top_weakest(ngx_analytics_zone_t *z, ngx_analytics_top_t *top,
    ngx_uint_t size, ngx_uint_t i, ngx_analytics_top_t *entry)
{
    ngx_uint_t  child;

    child = 2 * i + 1;

    if (child >= size) {
        return i;
    }

    if (child + 1 < size
        && ngx_analytics_top_weaker(z, &top[child + 1], &top[child]))
    {
        child++;
    }

    return ngx_analytics_top_weaker(z, &top[child], entry) ? child : i;
}


/* Fewer events, or as many and a greater name. */

static ngx_int_t
ngx_analytics_top_weaker(ngx_analytics_zone_t *z, ngx_analytics_top_t *one,
    ngx_analytics_top_t *two)
{
    if (one->count != two->count) {
        return one->count < two->count;
    }

    return ngx_analytics_user_name_cmp(z,
                           ngx_analytics_user(z, (uint32_t) one->user),
                           ngx_analytics_user(z, (uint32_t) two->user)) > 0;
}


/*
 * The first n places of a heap are a heap.  Each of the others that is
 * stronger than its weakest takes that one's place; they come from the end,
 * where the strong ones mostly are.
 */
ngx_uint_t
ngx_analytics_top_select(ngx_analytics_zone_t *z, ngx_analytics_top_t *top,
    ngx_uint_t n)
{
    ngx_uint_t           i, place, child;
    ngx_analytics_top_t  entry;

    ngx_memcpy(top, z->top, z->top_size * sizeof(ngx_analytics_top_t));

    if (n >= z->top_size) {
        return z->top_size;
    }

    if (n == 0) {
        return 0;
    }

    for (i = z->top_size - 1; i >= n; i--) {
        entry = top[i];

        if (!ngx_analytics_top_weaker(z, &top[0], &entry)) {
            continue;
        }

        for (place = 0; ; place = child) {
            child = ngx_analytics_top_weakest(z, top, n, place, &entry);

            if (child == place) {
                break;
            }

            top[place] = top[child];
        }

        top[place] = entry;
    }

    return n;
}
