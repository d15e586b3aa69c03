
/*
 * Answers: everything is copied out, under the lock, and nothing is changed.
 * The cells are read in ngx_analytics_cells.c.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_cells.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_layout.h"
#include "ngx_analytics_time.h"
#include "ngx_analytics_top.h"
#include "ngx_analytics_users.h"


static void ngx_analytics_query_users(ngx_analytics_zone_t *z,
    ngx_analytics_totals_t *totals);
static void ngx_analytics_query_type(ngx_analytics_zone_t *z, ngx_uint_t id,
    ngx_analytics_count_t *count);


void
ngx_analytics_zone_totals(ngx_analytics_zone_t *z,
    ngx_analytics_totals_t *totals)
{
    totals->events = z->events;
    totals->older = z->older;
    totals->evicted = z->evicted;
    totals->type_overflow = z->type_overflow;
    totals->late = z->late;
    totals->rollbacks = z->rollbacks;
    totals->created = z->created;
    totals->received = z->received;

    ngx_analytics_query_users(z, totals);

    totals->types = z->ntypes - (ngx_analytics_type(z, 0)->count == 0);
    totals->types_exact = (z->type_overflow == 0);

    totals->cells_from = ngx_analytics_cells_from(z);
    totals->cells_exact = (z->lost == 0);

    totals->memory_used = z->fixed
                      + (size_t) z->users.used * sizeof(ngx_analytics_user_t)
                     + (size_t) z->cells.used * sizeof(ngx_analytics_chunk_t);
    totals->memory_size = z->size;

    ngx_memcpy(totals->hour_of_day, z->hour_of_day,
               sizeof(totals->hour_of_day));

    totals->peak_hour_count = z->peak_count;
    totals->peak_hour = z->peak_hour * NGX_ANALYTICS_HOUR;
}


/* The registers know all users from the first event on. */

static void
ngx_analytics_query_users(ngx_analytics_zone_t *z,
    ngx_analytics_totals_t *totals)
{
    uint64_t  estimate;

    totals->users = z->live;
    totals->users_exact = (z->evicted == 0 && z->refused == 0);

    if (!totals->users_exact) {
        estimate = ngx_analytics_hll_count(z->hll);
        totals->users = ngx_max(estimate, z->live);
    }
}


ngx_uint_t
ngx_analytics_zone_ntypes(ngx_analytics_zone_t *z)
{
    return z->ntypes;
}


ngx_uint_t
ngx_analytics_zone_types(ngx_analytics_zone_t *z, ngx_uint_t id,
    ngx_analytics_count_t *types, ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n && id < z->ntypes; i++, id++) {
        ngx_analytics_query_type(z, id, &types[i]);
        types[i].count = ngx_analytics_type(z, id)->count;
    }

    return i;
}


static void
ngx_analytics_query_type(ngx_analytics_zone_t *z, ngx_uint_t id,
    ngx_analytics_count_t *count)
{
    ngx_analytics_type_t  *type;

    type = ngx_analytics_type(z, id);

    count->name.len = type->len;
    count->name.data = type->name;
}


ngx_uint_t
ngx_analytics_zone_top(ngx_analytics_zone_t *z, ngx_analytics_count_t *users,
    ngx_uint_t n, u_char *names)
{
    ngx_uint_t             i;
    ngx_analytics_top_t    top[NGX_ANALYTICS_TOP_MAX];
    ngx_analytics_user_t  *user;

    n = ngx_analytics_top_select(z, top, n);

    for (i = 0; i < n; i++) {
        user = ngx_analytics_user(z, (uint32_t) top[i].user);

        users[i].count = top[i].count;
        users[i].name.data = names;
        users[i].name.len = ngx_analytics_user_name(z, user, names);

        names += NGX_ANALYTICS_NAME_MAX;
    }

    return n;
}


ngx_int_t
ngx_analytics_zone_user(ngx_analytics_zone_t *z, ngx_str_t *name,
    ngx_analytics_user_info_t *info, ngx_analytics_count_t *types,
    ngx_uint_t n)
{
    uint32_t                     block;
    uint64_t                    *entry;
    ngx_uint_t                   i;
    ngx_analytics_user_t        *user;
    ngx_analytics_user_types_t   ut;

    block = ngx_analytics_users_find(z, name,
                    ngx_analytics_siphash(z->key, name->data, name->len));

    if (block == 0) {
        return NGX_DECLINED;
    }

    user = ngx_analytics_user(z, block);

    info->count = user->count;
    info->first = user->first;
    info->last = user->last;
    info->exact = !(user->flags & (NGX_ANALYTICS_USER_INEXACT
                                   |NGX_ANALYTICS_USER_LOSSY));

    ngx_analytics_user_types_init(user, &ut);

    for (i = 0; i < n; i++) {
        entry = ngx_analytics_user_types_next(z, &ut);

        if (entry == NULL) {
            break;
        }

        ngx_analytics_query_type(z, ngx_analytics_entry_type(*entry),
                                 &types[i]);
        types[i].count = ngx_analytics_entry_count(*entry);
    }

    info->ntypes = i;

    return NGX_OK;
}
