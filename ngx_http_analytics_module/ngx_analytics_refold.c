
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_bytes.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_image.h"
#include "ngx_analytics_measures.h"
#include "ngx_analytics_refold.h"


#define NGX_ANALYTICS_REFOLD_GROUP   0x01
#define NGX_ANALYTICS_REFOLD_CELLS   0x02
#define NGX_ANALYTICS_REFOLD_COUNTS  0x03


/* A piece that is being added. */
typedef struct {
    ngx_analytics_zone_t     *zone;
    ngx_uint_t                m;
    u_char                   *p;
    u_char                   *last;
    uint64_t                  done;      /* entries, with those before */
    ngx_uint_t                known;     /* its events were counted before */
    ngx_uint_t                ngroups;
    uint16_t                  groups[NGX_ANALYTICS_GONE * 64];
} ngx_analytics_refolding_t;


static ngx_int_t ngx_analytics_refold_entry(ngx_analytics_refolding_t *r,
    u_char *entry, ngx_uint_t again);
static ngx_int_t ngx_analytics_refold_group(ngx_analytics_refolding_t *r,
    ngx_uint_t again);
static ngx_int_t ngx_analytics_refold_cells(ngx_analytics_refolding_t *r,
    ngx_uint_t again);
static ngx_int_t ngx_analytics_refold_counts(ngx_analytics_refolding_t *r,
    ngx_uint_t again);
static void ngx_analytics_refold_end(ngx_analytics_zone_t *z, ngx_int_t m,
    ngx_analytics_record_refold_t *refold);


void
ngx_analytics_refold_apply(ngx_analytics_zone_t *z,
    ngx_analytics_record_refold_t *refold)
{
    u_char                     *entry, *copy;
    ngx_int_t                   m;
    ngx_uint_t                  i;
    ngx_analytics_refolding_t   r;

    m = ngx_analytics_measures_find(z, refold->signature);

    if (m == NGX_ERROR || (refold->classes & ~z->measures[m].classes)) {
        return;
    }

    for (i = 0; i < NGX_ANALYTICS_CLASSES; i++) {
        if ((refold->classes >> i & 1)
            && z->measures[m].since[i].from != refold->to)
        {
            return;
        }
    }

    /* an entry's numbers may be looked at behind the end */

    copy = malloc(refold->entries.len + NGX_ANALYTICS_IMAGE_ENTRY);

    if (copy == NULL) {

        /*
         * What is lacking is told, and is tried again; but if a part of it was
         * added before, that must not be added once more.
         */

        if (z->refolded) {
            ngx_analytics_put32(z, &z->measures[m].inexact, 1);
            ngx_analytics_refold_end(z, m, refold);
        }

        return;
    }

    ngx_memcpy(copy, refold->entries.data, refold->entries.len);
    ngx_memzero(copy + refold->entries.len, NGX_ANALYTICS_IMAGE_ENTRY);

    r.zone = z;
    r.m = (ngx_uint_t) m;
    r.p = copy;
    r.last = copy + refold->entries.len;
    r.done = 0;
    r.ngroups = NGX_ANALYTICS_GROUP_FIRST;
    r.known = (z->measures[m].counted_from != refold->to);

    while (r.p < r.last) {
        entry = r.p;
        r.p++;

        if (ngx_analytics_refold_entry(&r, entry, r.done < z->refolded)
            != NGX_OK)
        {
            break;
        }

        r.done++;

        if (r.done > z->refolded) {
            ngx_analytics_put64(z, &z->refolded, r.done);
            ngx_analytics_commit(z);
        }
    }

    free(copy);

    ngx_analytics_refold_end(z, m, refold);
}


/* An entry that was added before is only passed over. */

static ngx_int_t
ngx_analytics_refold_entry(ngx_analytics_refolding_t *r, u_char *entry,
    ngx_uint_t again)
{
    switch (*entry) {

    case NGX_ANALYTICS_REFOLD_GROUP:
        return ngx_analytics_refold_group(r, again);

    case NGX_ANALYTICS_REFOLD_CELLS:
        return ngx_analytics_refold_cells(r, again);

    case NGX_ANALYTICS_REFOLD_COUNTS:
        return ngx_analytics_refold_counts(r, again);

    default:
        return NGX_ERROR;
    }
}


/* A group's place is its name's: it is looked for again. */

static ngx_int_t
ngx_analytics_refold_group(ngx_analytics_refolding_t *r, ngx_uint_t again)
{
    uint32_t               block;
    uint64_t               points, counted, hash;
    ngx_str_t              name;
    ngx_analytics_zone_t  *z;

    z = r->zone;

    points = ngx_analytics_image_varint(&r->p);
    counted = ngx_analytics_image_varint(&r->p);
    name.len = *r->p++;
    name.data = r->p;
    r->p += name.len;

    if (r->p > r->last
        || r->ngroups == sizeof(r->groups) / sizeof(r->groups[0]))
    {
        return NGX_ERROR;
    }

    hash = ngx_analytics_siphash(z->key, name.data, name.len);
    again |= r->known;

    block = ngx_analytics_groups_enter(z, r->m, &name, hash,
                                       again ? 0 : points);

    if (!again) {
        ngx_analytics_groups_count(z, r->m, block, hash, points, counted);
    }

    r->groups[r->ngroups++] = (uint16_t) ngx_analytics_groups_index(z, block);

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_refold_cells(ngx_analytics_refolding_t *r, ngx_uint_t again)
{
    uint64_t                key;
    ngx_uint_t              series, group;
    ngx_analytics_zone_t   *z;
    ngx_analytics_cells_t   cells;

    z = r->zone;

    if (ngx_analytics_image_get_cells(&r->p, &key, &cells) != NGX_OK
        || r->p > r->last)
    {
        return NGX_ERROR;
    }

    if (again) {
        return NGX_OK;
    }

    series = ngx_analytics_key_series(key);
    group = series & ~NGX_ANALYTICS_GROUP_BELOW;

    if (group >= r->ngroups) {
        return NGX_ERROR;
    }

    if (group >= NGX_ANALYTICS_GROUP_FIRST) {
        group = r->groups[group];
    }

    key = ngx_analytics_chunk_key(ngx_analytics_key_level(key),
                                  ngx_analytics_key_plane(key),
                                  ngx_analytics_measure_series(r->m,
                             group | (series & NGX_ANALYTICS_GROUP_BELOW)),
                                  ngx_analytics_key_number(key));

    if (ngx_analytics_cells_merge(z, key, &cells) != NGX_OK) {
        ngx_analytics_put32(z, &z->measures[r->m].inexact, 1);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_refold_counts(ngx_analytics_refolding_t *r, ngx_uint_t again)
{
    uint64_t                  skipped, older, others, counted, rest;
    ngx_analytics_zone_t     *z;
    ngx_analytics_measure_t  *measure;

    z = r->zone;
    measure = &z->measures[r->m];

    skipped = ngx_analytics_image_varint(&r->p);
    older = ngx_analytics_image_varint(&r->p);
    others = ngx_analytics_image_varint(&r->p);
    counted = ngx_analytics_image_varint(&r->p);
    rest = ngx_analytics_image_varint(&r->p);

    if (r->p > r->last) {
        return NGX_ERROR;
    }

    if (!again && !r->known) {
        ngx_analytics_add(z, &measure->skipped, skipped);
        ngx_analytics_add(z, &measure->older, older);
        ngx_analytics_add(z, &measure->others, others);
        ngx_analytics_add(z, &measure->counted, counted);
        ngx_analytics_add(z, &measure->rest, rest);
    }

    return NGX_OK;
}


static void
ngx_analytics_refold_end(ngx_analytics_zone_t *z, ngx_int_t m,
    ngx_analytics_record_refold_t *refold)
{
    ngx_uint_t                i;
    ngx_analytics_since_t    *since;
    ngx_analytics_measure_t  *measure;

    measure = &z->measures[m];

    if (measure->counted_from == refold->to) {
        ngx_analytics_put64(z, &measure->counted_from, refold->from);
    }

    for (i = 0; i < NGX_ANALYTICS_CLASSES; i++) {

        if (!(refold->classes >> i & 1)) {
            continue;
        }

        since = &measure->since[i];

        ngx_analytics_put64(z, &since->from, refold->from);
        ngx_analytics_put_time(z, &since->since, refold->since);
    }

    ngx_analytics_put64(z, &z->refolded, 0);
    ngx_analytics_add(z, &z->refolds, 1);
    ngx_analytics_commit(z);
}


ngx_int_t
ngx_analytics_refold_wanted(ngx_analytics_zone_t *z,
    ngx_analytics_refold_t *wanted)
{
    uint64_t                  from;
    ngx_uint_t                i, k;
    ngx_analytics_measure_t  *measure;

    wanted->n = 0;
    wanted->from = 0;

    for (i = 0; i < NGX_ANALYTICS_MEASURES; i++) {
        measure = &z->measures[i];

        if (!ngx_analytics_measure_used(measure)) {
            continue;
        }

        for (k = 0; k < NGX_ANALYTICS_CLASSES; k++) {
            from = measure->since[k].from;

            if (!(measure->classes >> k & 1) || from <= 1
                || from < wanted->from)
            {
                continue;
            }

            if (from > wanted->from) {
                wanted->n = 0;
                wanted->from = from;
            }

            if (wanted->n == 0
                || wanted->signatures[wanted->n - 1] != measure->signature)
            {
                if (wanted->n == NGX_ANALYTICS_SOURCES_MAX) {
                    return NGX_OK;
                }

                wanted->signatures[wanted->n] = measure->signature;
                wanted->classes[wanted->n++] = 0;
            }

            wanted->classes[wanted->n - 1] |= (uint32_t) 1 << k;
        }
    }

    return wanted->n ? NGX_OK : NGX_DECLINED;
}


char *
ngx_analytics_refold_rules(ngx_analytics_rules_t *rules,
    ngx_analytics_refold_t *wanted)
{
    char                    *text;
    ngx_int_t                i;
    ngx_uint_t               k;
    ngx_analytics_rules_t    some;

    some = *rules;
    some.n = 0;
    some.sources = malloc(NGX_ANALYTICS_SOURCES_MAX
                          * sizeof(ngx_analytics_source_t));

    if (some.sources == NULL) {
        return NULL;
    }

    for (k = 0; k < wanted->n; k++) {
        i = ngx_analytics_rules_source(rules, wanted->signatures[k]);

        if (i != NGX_ERROR) {
            some.sources[some.n] = rules->sources[i];
            some.sources[some.n++].classes = wanted->classes[k];
        }
    }

    text = ngx_analytics_rules_print(&some);

    free(some.sources);

    return text;
}


u_char *
ngx_analytics_refold_entries(ngx_analytics_zone_t *z, uint64_t signature,
    u_char *p, size_t size)
{
    u_char                      *last;
    uint32_t                     n;
    uint64_t                     key;
    ngx_int_t                    m;
    ngx_uint_t                   number, numbers[NGX_ANALYTICS_GONE * 64];
    ngx_uint_t                   group, below;
    ngx_analytics_group_t       *g;
    ngx_analytics_chunk_t       *chunk;
    ngx_analytics_measure_t     *measure;
    ngx_analytics_cells_walk_t   walk;

    m = ngx_analytics_measures_find(z, signature);

    if (m == NGX_ERROR) {
        return NULL;
    }

    last = p + size;
    measure = &z->measures[m];
    number = NGX_ANALYTICS_GROUP_FIRST;

    ngx_memzero(numbers, sizeof(numbers));

    for (n = measure->groups; n; n = g->link) {
        g = ngx_analytics_group(z, n);

        if (last - p < NGX_ANALYTICS_IMAGE_ENTRY) {
            return NULL;
        }

        *p++ = NGX_ANALYTICS_REFOLD_GROUP;
        p = ngx_analytics_image_put_varint(p, g->count);
        p = ngx_analytics_image_put_varint(p, g->counted);
        *p++ = g->len;
        p = ngx_cpymem(p, g->name, g->len);

        numbers[g->index] = number++;
    }

    ngx_memzero(&walk, sizeof(ngx_analytics_cells_walk_t));

    while ((chunk = ngx_analytics_cells_next(z, &walk)) != NULL) {
        group = ngx_analytics_chunk_series(chunk);

        if (group >> 16 != (ngx_uint_t) m + 1) {
            continue;
        }

        if (last - p < NGX_ANALYTICS_IMAGE_ENTRY) {
            return NULL;
        }

        below = group & NGX_ANALYTICS_GROUP_BELOW;
        group &= 0x7fff;

        if (group >= NGX_ANALYTICS_GROUP_FIRST) {
            group = numbers[group];
        }

        key = ngx_analytics_chunk_key(ngx_analytics_chunk_level(chunk),
                                      ngx_analytics_chunk_plane(chunk),
                                      group | below,
                                      ngx_analytics_chunk_number(chunk));

        *p++ = NGX_ANALYTICS_REFOLD_CELLS;
        p = ngx_analytics_image_put_cells(p, key, &chunk->u);
    }

    if (last - p < NGX_ANALYTICS_IMAGE_ENTRY) {
        return NULL;
    }

    *p++ = NGX_ANALYTICS_REFOLD_COUNTS;
    p = ngx_analytics_image_put_varint(p, measure->skipped);
    p = ngx_analytics_image_put_varint(p, measure->older);
    p = ngx_analytics_image_put_varint(p, measure->others);
    p = ngx_analytics_image_put_varint(p, measure->counted);

    return ngx_analytics_image_put_varint(p, measure->rest);
}
