
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_arena.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_types.h"


static uint32_t *ngx_analytics_types_bucket(ngx_analytics_zone_t *z,
    uint64_t hash);
static void ngx_analytics_types_insert(ngx_analytics_zone_t *z,
    ngx_str_t *name, uint64_t hash, uint64_t count);


/*
 * "other" stands in the table from the start, so that a type that is called
 * so is counted with those that did not fit: no two rows of an answer have
 * the same name.
 */
void
ngx_analytics_types_init(ngx_analytics_zone_t *z)
{
    static ngx_str_t  other = ngx_string("other");

    ngx_analytics_types_insert(z, &other,
                    ngx_analytics_siphash(z->key, other.data, other.len), 0);
}


ngx_uint_t
ngx_analytics_types_fold(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *event)
{
    uint32_t               n, hash;
    ngx_analytics_type_t  *type;

    hash = ngx_analytics_hash32(event->type_hash);

    for (n = *ngx_analytics_types_bucket(z, event->type_hash);
         n;
         n = type->next)
    {
        type = ngx_analytics_type(z, n - 1);

        if (type->hash == hash
            && type->len == event->type.len
            && ngx_analytics_equal(type->name, event->type.data, type->len))
        {
            ngx_analytics_add(z, &type->count, 1);
            return n - 1;
        }
    }

    if (z->ntypes == z->types_max) {
        ngx_analytics_add(z, &z->type_overflow, 1);
        ngx_analytics_add(z, &ngx_analytics_type(z, 0)->count, 1);
        return 0;
    }

    n = z->ntypes;

    ngx_analytics_types_insert(z, &event->type, event->type_hash, 1);

    return n;
}


void
ngx_analytics_types_restore(ngx_analytics_zone_t *z, ngx_uint_t id,
    ngx_str_t *name, uint64_t count)
{
    if (id == 0) {
        ngx_analytics_put64(z, &ngx_analytics_type(z, 0)->count, count);

    } else if (z->ntypes < z->types_max) {
        ngx_analytics_types_insert(z, name,
                    ngx_analytics_siphash(z->key, name->data, name->len),
                    count);

    } else {
        ngx_analytics_add(z, &z->type_overflow, count);
        ngx_analytics_add(z, &ngx_analytics_type(z, 0)->count, count);
    }

    ngx_analytics_commit(z);
}


static uint32_t *
ngx_analytics_types_bucket(ngx_analytics_zone_t *z, uint64_t hash)
{
    uint32_t  *buckets;

    buckets = ngx_analytics_at(z, z->types_hash);

    return &buckets[ngx_analytics_hash32(hash) & z->types_mask];
}


static void
ngx_analytics_types_insert(ngx_analytics_zone_t *z, ngx_str_t *name,
    uint64_t hash, uint64_t count)
{
    uint32_t               n, *bucket;
    ngx_analytics_type_t  *type;

    n = z->ntypes;
    bucket = ngx_analytics_types_bucket(z, hash);

    /* an entry behind the last is not reachable yet */

    type = ngx_analytics_type(z, n);

    type->count = count;
    type->hash = ngx_analytics_hash32(hash);
    type->next = *bucket;
    type->len = (u_char) name->len;
    ngx_memcpy(type->name, name->data, name->len);

    ngx_analytics_put32(z, bucket, n + 1);
    ngx_analytics_put32(z, &z->ntypes, n + 1);
}
