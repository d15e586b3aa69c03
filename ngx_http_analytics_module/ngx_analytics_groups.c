
/*
 * Groups of measures.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_hash.h"
#include "ngx_analytics_measures.h"


/* groups that were given up take memory until they are gone */
#define ngx_analytics_groups_waiting(max)  ((max) / 4 + 1)


static uint64_t ngx_analytics_groups_key(ngx_uint_t m, uint64_t hash);
static ngx_analytics_rival_t *ngx_analytics_groups_rival(
    ngx_analytics_measure_t *measure, uint64_t hash);
static ngx_analytics_rival_t *ngx_analytics_groups_least(
    ngx_analytics_measure_t *measure);
static ngx_uint_t ngx_analytics_groups_make_place(ngx_analytics_zone_t *z,
    ngx_uint_t m, uint64_t count);
static ngx_uint_t ngx_analytics_groups_free_index(ngx_analytics_zone_t *z,
    ngx_analytics_measure_t *measure);
static void ngx_analytics_groups_remove(ngx_analytics_zone_t *z,
    ngx_analytics_measure_t *measure, uint32_t *link);


static uint64_t
ngx_analytics_groups_key(ngx_uint_t m, uint64_t hash)
{
    return ngx_analytics_chunk_key(NGX_ANALYTICS_CHUNK_GROUPS, 0,
                                   ngx_analytics_measure_series(m, 0),
                                   (int64_t) (hash & 0xffffffff));
}


uint32_t
ngx_analytics_groups_find(ngx_analytics_zone_t *z, ngx_uint_t m,
    ngx_str_t *name, uint64_t hash)
{
    uint32_t                n;
    uint64_t                key;
    ngx_analytics_group_t  *group;

    key = ngx_analytics_groups_key(m, hash);

    for (n = *ngx_analytics_chunk_bucket(z, key); n; n = group->next) {
        group = ngx_analytics_group(z, n);

        if (group->key == key && group->hash == hash
            && group->len == name->len
            && ngx_analytics_equal(group->name, name->data, name->len))
        {
            return n;
        }
    }

    return 0;
}


uint32_t
ngx_analytics_groups_enter(ngx_analytics_zone_t *z, ngx_uint_t m,
    ngx_str_t *name, uint64_t hash, uint64_t n)
{
    uint32_t                  block;
    uint64_t                  before;
    ngx_analytics_rival_t    *rival;
    ngx_analytics_measure_t  *measure;

    /* whoever calls himself as the rest is called is of the rest */

    if (name->len == sizeof("other") - 1
        && ngx_memcmp(name->data, "other", sizeof("other") - 1) == 0)
    {
        return 0;
    }

    measure = &z->measures[m];
    block = ngx_analytics_groups_find(z, m, name, hash);

    if (block) {
        return ngx_analytics_group(z, block)->pass ? 0 : block;
    }

    if (ngx_analytics_pool_left(&z->cells) <= NGX_ANALYTICS_CELLS_NEED) {
        return 0;
    }

    rival = NULL;
    before = 0;

    if (measure->ngroups >= measure->groups_max) {
        rival = ngx_analytics_groups_rival(measure, hash);

        if (rival) {
            before = rival->count;
            n += rival->count - rival->error;
        }

        if (!ngx_analytics_groups_make_place(z, m, n)) {
            ngx_analytics_commit(z);
            return 0;
        }

        /* who was not watched may have had as many as who was least */

        before = rival ? before : ngx_analytics_groups_least(measure)->count;
    }

    block = ngx_analytics_groups_add(z, m, name, hash, 0);

    if (block && before) {
        ngx_analytics_put64(z, &ngx_analytics_group(z, block)->error, before);
    }

    if (block && rival) {
        ngx_analytics_put64(z, &rival->count, 0);
        ngx_analytics_put64(z, &rival->error, 0);
    }

    ngx_analytics_commit(z);

    return block;
}


void
ngx_analytics_groups_count(ngx_analytics_zone_t *z, ngx_uint_t m,
    uint32_t block, uint64_t hash, uint64_t n, uint64_t counted)
{
    ngx_analytics_rival_t    *rival;
    ngx_analytics_measure_t  *measure;

    if (block) {
        ngx_analytics_add(z, &ngx_analytics_group(z, block)->count, n);
        ngx_analytics_add(z, &ngx_analytics_group(z, block)->counted, counted);
        return;
    }

    measure = &z->measures[m];

    ngx_analytics_add(z, &measure->others, n);
    ngx_analytics_add(z, &measure->rest, counted);

    rival = ngx_analytics_groups_rival(measure, hash);

    if (rival == NULL) {
        rival = ngx_analytics_groups_least(measure);

        ngx_analytics_put64(z, &rival->hash, hash);
        ngx_analytics_put64(z, &rival->error, rival->count);
    }

    ngx_analytics_add(z, &rival->count, n);
}


/* Returns who is watched as this one, or NULL. */

static ngx_analytics_rival_t *
ngx_analytics_groups_rival(ngx_analytics_measure_t *measure, uint64_t hash)
{
    ngx_uint_t              i;
    ngx_analytics_rival_t  *rival;

    for (i = 0; i < NGX_ANALYTICS_RIVALS; i++) {
        rival = &measure->rivals[i];

        if (rival->hash == hash && rival->count) {
            return rival;
        }
    }

    return NULL;
}


/* Who is watched, and has the fewest points. */

static ngx_analytics_rival_t *
ngx_analytics_groups_least(ngx_analytics_measure_t *measure)
{
    ngx_uint_t              i;
    ngx_analytics_rival_t  *least;

    least = measure->rivals;

    for (i = 1; i < NGX_ANALYTICS_RIVALS; i++) {
        if (measure->rivals[i].count < least->count) {
            least = &measure->rivals[i];
        }
    }

    return least;
}


/*
 * Gives up the group with the fewest points, of which some may lie in "other",
 * if these are fewer than count.  Groups only gain, and who comes in has more
 * than who went: so what was the least once is a lower bound.
 */
static ngx_uint_t
ngx_analytics_groups_make_place(ngx_analytics_zone_t *z, ngx_uint_t m,
    uint64_t count)
{
    uint32_t                  n;
    uint64_t                  points, fewest;
    ngx_uint_t                waiting;
    ngx_analytics_group_t    *group, *least;
    ngx_analytics_measure_t  *measure;

    measure = &z->measures[m];

    if (count <= measure->least) {
        return 0;
    }

    least = NULL;
    fewest = 0;
    waiting = 0;

    for (n = measure->groups; n; n = group->link) {
        group = ngx_analytics_group(z, n);

        if (group->pass) {
            waiting++;
            continue;
        }

        points = group->count + group->error;

        if (least == NULL || points < fewest) {
            least = group;
            fewest = points;
        }
    }

    if (least == NULL
        || waiting >= ngx_analytics_groups_waiting(measure->groups_max))
    {
        return 0;
    }

    ngx_analytics_put64(z, &measure->least, fewest);

    if (fewest >= count) {
        return 0;
    }

    ngx_analytics_groups_give_up(z, m, least);

    return 1;
}


void
ngx_analytics_groups_give_up(ngx_analytics_zone_t *z, ngx_uint_t m,
    ngx_analytics_group_t *group)
{
    ngx_analytics_measure_t  *measure;

    measure = &z->measures[m];

    ngx_analytics_put64(z, &group->pass, ngx_analytics_sweep_want(z));
    ngx_analytics_put64(z, &z->sweep.wanted, group->pass);
    ngx_analytics_put64(z, &measure->gone[group->index / 64],
                        measure->gone[group->index / 64]
                        | (uint64_t) 1 << (group->index % 64));
    ngx_analytics_put32(z, &measure->ngroups, measure->ngroups - 1);
    ngx_analytics_add(z, &measure->others, group->count);
}


uint32_t
ngx_analytics_groups_add(ngx_analytics_zone_t *z, ngx_uint_t m,
    ngx_str_t *name, uint64_t hash, ngx_uint_t index)
{
    uint32_t                  n, *bucket;
    ngx_analytics_group_t    *group;
    ngx_analytics_measure_t  *measure;

    measure = &z->measures[m];

    if (index == 0) {
        index = ngx_analytics_groups_free_index(z, measure);
    }

    n = ngx_analytics_pool_alloc(z, &z->cells);

    if (n == 0) {
        return 0;
    }

    group = ngx_analytics_group(z, n);

    ngx_memzero(&group->key, sizeof(ngx_analytics_group_t)
                             - offsetof(ngx_analytics_group_t, key));

    group->key = ngx_analytics_groups_key(m, hash);
    group->hash = hash;
    group->index = (uint16_t) index;
    group->len = (u_char) name->len;
    ngx_memcpy(group->name, name->data, name->len);

    bucket = ngx_analytics_chunk_bucket(z, group->key);

    group->next = *bucket;
    group->link = measure->groups;

    ngx_analytics_put32(z, bucket, n);
    ngx_analytics_put32(z, &measure->groups, n);
    ngx_analytics_put32(z, &measure->ngroups, measure->ngroups + 1);

    return n;
}


/*
 * There are fewer than 2000, also with those that were given up.  The one that
 * follows that of who came last is taken, so that what was free a moment ago
 * is the last to be another's: somebody may still be reading by it.
 */

static ngx_uint_t
ngx_analytics_groups_free_index(ngx_analytics_zone_t *z,
    ngx_analytics_measure_t *measure)
{
    uint32_t                n;
    uint64_t                used[NGX_ANALYTICS_GONE];
    ngx_uint_t              i;
    ngx_analytics_group_t  *group;

    ngx_memzero(used, sizeof(used));

    for (n = measure->groups; n; n = group->link) {
        group = ngx_analytics_group(z, n);

        if (group->index / 64 < NGX_ANALYTICS_GONE) {
            used[group->index / 64] |= (uint64_t) 1 << (group->index % 64);
        }
    }

    i = measure->groups ? ngx_analytics_group(z, measure->groups)->index : 0;

    do {
        i = (i + 1) % (NGX_ANALYTICS_GONE * 64);
        i = ngx_max(i, NGX_ANALYTICS_GROUP_FIRST);

    } while (used[i / 64] >> (i % 64) & 1);

    return i;
}


void
ngx_analytics_groups_clean(ngx_analytics_zone_t *z, ngx_uint_t m,
    uint64_t pass, ngx_uint_t all)
{
    uint32_t                 *link;
    ngx_analytics_group_t    *group;
    ngx_analytics_measure_t  *measure;

    measure = &z->measures[m];
    link = &measure->groups;

    while (*link) {
        group = ngx_analytics_group(z, *link);

        if (all || (group->pass && group->pass <= pass)) {
            ngx_analytics_groups_remove(z, measure, link);
            ngx_analytics_commit(z);

        } else {
            link = &group->link;
        }
    }
}


static void
ngx_analytics_groups_remove(ngx_analytics_zone_t *z,
    ngx_analytics_measure_t *measure, uint32_t *link)
{
    uint32_t                n;
    ngx_analytics_group_t  *group;

    n = *link;
    group = ngx_analytics_group(z, n);

    ngx_analytics_put32(z, link, group->link);

    if (group->pass == 0) {
        ngx_analytics_put32(z, &measure->ngroups, measure->ngroups - 1);

    } else {
        ngx_analytics_put64(z, &measure->gone[group->index / 64],
                            measure->gone[group->index / 64]
                            & ~((uint64_t) 1 << (group->index % 64)));
    }

    ngx_analytics_chunk_unlink(z, n);
    ngx_analytics_put64(z, &group->key, NGX_ANALYTICS_CHUNK_FREE);
    ngx_analytics_pool_free(z, &z->cells, n, n, 1);
}
