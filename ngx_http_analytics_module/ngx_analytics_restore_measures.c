
/*
 * Takes what a checkpoint has of measures, and the time cells, into a zone.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_cells.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_image.h"
#include "ngx_analytics_measures.h"


static ngx_int_t ngx_analytics_image_group(ngx_analytics_image_t *image,
    ngx_uint_t m, ngx_uint_t index, ngx_uint_t gone, uint64_t count,
    uint64_t error, uint64_t counted, ngx_str_t *name);
static ngx_int_t ngx_analytics_image_series(ngx_analytics_image_t *image,
    uint64_t *key);


ngx_int_t
ngx_analytics_image_read_measures(ngx_analytics_image_t *image, u_char *p,
    u_char *last)
{
    ngx_uint_t                i;
    ngx_analytics_measure_t  *m;

    for ( /* void */ ; p < last; p += NGX_ANALYTICS_IMAGE_MEASURE) {

        if (last - p < NGX_ANALYTICS_IMAGE_MEASURE
            || image->nmeasures == NGX_ANALYTICS_MEASURES)
        {
            return NGX_ERROR;
        }

        m = &image->zone->measures[image->nmeasures++];

        m->signature = ngx_analytics_image_get(p, 8);
        m->classes = (uint32_t) ngx_analytics_image_get(p + 8, 4);
        m->stale = (uint32_t) ngx_analytics_image_get(p + 12, 4);

        for (i = 0; i < NGX_ANALYTICS_CLASSES; i++) {
            m->since[i].from = ngx_analytics_image_get(p + 16 + 8 * i, 8);
            m->since[i].since = (int64_t) ngx_analytics_image_get(
                               p + 16 + 8 * (NGX_ANALYTICS_CLASSES + i), 8);
        }

        m->skipped = ngx_analytics_image_get(p + 112, 8);
        m->older = ngx_analytics_image_get(p + 120, 8);
        m->others = ngx_analytics_image_get(p + 128, 8);
        m->inexact = (uint32_t) ngx_analytics_image_get(p + 136, 4);
        m->groups_max = (uint32_t) ngx_analytics_image_get(p + 140, 4);
        m->least = ngx_analytics_image_get(p + 144, 8);
        m->counted = ngx_analytics_image_get(p + 152, 8);
        m->rest = ngx_analytics_image_get(p + 160, 8);
        m->counted_from = ngx_analytics_image_get(p + 168, 8);

        if (m->signature == 0
            || m->groups_max > NGX_ANALYTICS_GROUPS_MAX
            || m->counted >= NGX_ANALYTICS_IMAGE_COUNT
            || m->rest >= NGX_ANALYTICS_IMAGE_COUNT)
        {
            return NGX_ERROR;
        }

        if (m->stale) {
            m->stale_pass = 1;
            image->zone->sweep.wanted = 1;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_analytics_image_read_groups(ngx_analytics_image_t *image, u_char *p,
    u_char *last)
{
    uint64_t    m, index, count, error, counted;
    ngx_str_t   name;
    ngx_uint_t  gone;

    while (p < last) {
        m = ngx_analytics_image_varint(&p);
        index = ngx_analytics_image_varint(&p);
        gone = *p++;
        count = ngx_analytics_image_varint(&p);
        error = ngx_analytics_image_varint(&p);
        counted = ngx_analytics_image_varint(&p);
        name.len = *p++;
        name.data = p;
        p += name.len;

        if (p > last
            || m >= image->nmeasures
            || index < NGX_ANALYTICS_GROUP_FIRST
            || index / 64 >= NGX_ANALYTICS_GONE
            || count >= NGX_ANALYTICS_IMAGE_COUNT
            || error >= NGX_ANALYTICS_IMAGE_COUNT
            || counted >= NGX_ANALYTICS_IMAGE_COUNT
            || ngx_analytics_image_group(image, m, index, gone, count, error,
                                         counted, &name)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_image_group(ngx_analytics_image_t *image, ngx_uint_t m,
    ngx_uint_t index, ngx_uint_t gone, uint64_t count, uint64_t error,
    uint64_t counted, ngx_str_t *name)
{
    uint32_t                n;
    uint64_t                hash, *seen, bit;
    ngx_analytics_zone_t   *z;
    ngx_analytics_group_t  *group;

    z = image->zone;
    hash = ngx_analytics_siphash(z->key, name->data, name->len);

    seen = &image->indexes[m][index / 64];
    bit = (uint64_t) 1 << (index % 64);

    if ((*seen & bit) || ngx_analytics_groups_find(z, m, name, hash)) {
        return NGX_ERROR;
    }

    *seen |= bit;

    n = ngx_analytics_groups_add(z, m, name, hash, index);

    if (n == 0) {

        /* its cells are read, and nobody asks for them */

        z->measures[m].inexact = 1;

    } else {
        group = ngx_analytics_group(z, n);

        group->count = count;
        group->error = error;
        group->counted = counted;

        if (gone) {
            ngx_analytics_groups_give_up(z, m, group);

            /* its points are among the others already */

            z->measures[m].others -= count;
        }
    }

    ngx_analytics_commit(z);

    return NGX_OK;
}


ngx_int_t
ngx_analytics_image_read_cells(ngx_analytics_image_t *image, u_char *p,
    u_char *last)
{
    uint64_t               key;
    ngx_int_t              rc;
    ngx_analytics_cells_t  cells;

    while (p < last) {
        rc = ngx_analytics_image_get_cells(&p, &key, &cells);

        if (rc != NGX_OK || p > last) {
            return NGX_ERROR;
        }

        rc = ngx_analytics_image_series(image, &key);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        ngx_analytics_cells_restore(image->zone, key, &cells);
    }

    return NGX_OK;
}


ngx_int_t
ngx_analytics_image_get_cells(u_char **pos, uint64_t *key,
    ngx_analytics_cells_t *cells)
{
    u_char      *p;
    uint64_t     bits, series, number;
    ngx_uint_t   i, level, plane;

    p = *pos;

    level = *p++;
    plane = *p++;
    bits = ngx_analytics_image_get(p, 8);
    p += 8;

    series = ngx_analytics_image_varint(&p);
    number = ngx_analytics_image_varint(&p);

    if (level >= NGX_ANALYTICS_LEVELS || plane >= 32
        || (plane >= NGX_ANALYTICS_PLANES
            && !ngx_analytics_plane_single(plane))
        || series > 0xffffff || number > UINT32_MAX)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_ANALYTICS_CHUNK; i++) {
        cells->counts[i] = 0;

        if (!(bits >> i & 1)) {
            continue;
        }

        if (!ngx_analytics_plane_single(plane)) {
            cells->counts[i] = ngx_analytics_image_varint(&p);

        } else if (level == NGX_ANALYTICS_UNIQUES) {
            ngx_memcpy(&cells->registers[8 * i], p, 8);
            p += 8;

        } else {
            cells->bins[2 * i] = (uint32_t) ngx_analytics_image_varint(&p);
            cells->bins[2 * i + 1] = (uint32_t)
                                     ngx_analytics_image_varint(&p);
        }
    }

    *key = ngx_analytics_chunk_key(level, plane, series, (int64_t) number);
    *pos = p;

    return NGX_OK;
}


/* Whether there is such a series; several types may have become "other". */

static ngx_int_t
ngx_analytics_image_series(ngx_analytics_image_t *image, uint64_t *key)
{
    ngx_uint_t  level, series;

    level = ngx_analytics_key_level(*key);
    series = ngx_analytics_key_series(*key);

    if (series >> 16) {
        return (series >> 16) <= image->nmeasures ? NGX_OK : NGX_ERROR;
    }

    if (ngx_analytics_key_plane(*key) != NGX_ANALYTICS_PLANE_COUNT) {
        return NGX_ERROR;
    }

    if (level == NGX_ANALYTICS_DAYS) {
        return series < NGX_ANALYTICS_DAILIES ? NGX_OK : NGX_ERROR;
    }

    if (level >= NGX_ANALYTICS_TYPE_LEVELS || series > image->ntypes) {
        return NGX_ERROR;
    }

    if (series > image->zone->ntypes) {
        *key = ngx_analytics_chunk_key(level, NGX_ANALYTICS_PLANE_COUNT,
                                       ngx_analytics_series(0),
                                       ngx_analytics_key_number(*key));
    }

    return NGX_OK;
}
