
/*
 * Questions to a zone in a line, for tests.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _ZONE_ASK_H_INCLUDED_
#define _ZONE_ASK_H_INCLUDED_


#include <stdlib.h>
#include "zone_lib.h"


#define HOURS_MAX   500000             /* since 1970: up to 2027 */


/* what was asked last */

ZONE_UNUSED static ngx_analytics_totals_t     totals;
ZONE_UNUSED static ngx_analytics_user_info_t  info;
ZONE_UNUSED static ngx_analytics_count_t      counts[10002];
ZONE_UNUSED static u_char                     names[1000 * 255];


ZONE_UNUSED
static int
known(ngx_analytics_zone_t *z, const char *user)
{
    ngx_str_t  name;

    name.data = (u_char *) user;
    name.len = strlen(user);

    return ngx_analytics_zone_user(z, &name, &info, counts, 10002) == NGX_OK;
}


ZONE_UNUSED
static uint64_t
count_of(ngx_analytics_count_t *list, size_t n, const char *name)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if (list[i].name.len == strlen(name)
            && memcmp(list[i].name.data, name, list[i].name.len) == 0)
        {
            return list[i].count;
        }
    }

    return 0;
}


ZONE_UNUSED
static uint64_t
type_count(ngx_analytics_zone_t *z, const char *name)
{
    size_t  n;

    n = ngx_analytics_zone_types(z, 0, counts, 10002);

    return count_of(counts, n, name);
}


/* Returns how many hours since cells_from are not as they should be. */

ZONE_UNUSED
static size_t
wrong_hours(ngx_analytics_zone_t *z, ngx_uint_t series, uint32_t *expected)
{
    size_t      wrong;
    int64_t     hour;
    uint64_t   *cells;

    ngx_analytics_zone_totals(z, &totals);

    hour = totals.cells_from / ZONE_HOUR;

    if (hour >= HOURS_MAX) {
        return 0;
    }

    cells = malloc(HOURS_MAX * sizeof(uint64_t));
    ngx_analytics_zone_cells(z, NGX_ANALYTICS_HOURS, series, hour, cells,
                             (ngx_uint_t) (HOURS_MAX - hour));

    for (wrong = 0; hour < HOURS_MAX; hour++) {
        wrong += cells[hour - totals.cells_from / ZONE_HOUR]
                 != expected[hour];
    }

    free(cells);

    return wrong;
}


#endif /* _ZONE_ASK_H_INCLUDED_ */
