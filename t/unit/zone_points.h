
/*
 * What a metric has in a zone, read from its cells.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _ZONE_POINTS_H_INCLUDED_
#define _ZONE_POINTS_H_INCLUDED_


#include "ngx_analytics_cells.h"
#include "zone_lib.h"


/* What a plane of a measure adds up to, by hours, of all groups together. */
ZONE_UNUSED
static uint64_t
zone_points(ngx_analytics_zone_t *z, ngx_int_t m, ngx_uint_t plane)
{
    uint64_t                     n;
    ngx_uint_t                   i;
    ngx_analytics_chunk_t       *chunk;
    ngx_analytics_cells_walk_t   walk;

    n = 0;
    memset(&walk, 0, sizeof(walk));

    while ((chunk = ngx_analytics_cells_next(z, &walk)) != NULL) {

        if (ngx_analytics_chunk_level(chunk) != NGX_ANALYTICS_HOURS
            || ngx_analytics_chunk_plane(chunk) != plane
            || ngx_analytics_chunk_series(chunk)
               != ngx_analytics_measure_series(m, NGX_ANALYTICS_GROUP_ALL))
        {
            continue;
        }

        for (i = 0; i < NGX_ANALYTICS_CHUNK; i++) {
            n += chunk->u.counts[i];
        }
    }

    return n;
}


#endif /* _ZONE_POINTS_H_INCLUDED_ */
