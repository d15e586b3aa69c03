
/*
 * Forgetting the beginning of a log.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_log.h"
#include "ngx_analytics_fault.h"


ngx_int_t
ngx_analytics_log_trim(int dir, const char *path, uint64_t to,
    ngx_analytics_fail_t *fail)
{
    char         name[NGX_ANALYTICS_LOG_NAME];
    uint64_t    *segments;
    ngx_int_t    rc;
    ngx_uint_t   i, n;

    if (ngx_analytics_segments(dir, path, &segments, &n, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = NGX_OK;

    /* the first one first: there are no gaps, whoever dies when */

    for (i = 0; i + 1 < n && segments[i + 1] <= to && rc == NGX_OK; i++) {

        ngx_analytics_segment_name(name, segments[i]);
        ngx_analytics_fault_point();
        ngx_analytics_fault_stop("trim");

        if (unlinkat(dir, name, 0) == -1) {
            ngx_analytics_failed(fail, "unlink()", path, name);
            rc = NGX_ERROR;
        }
    }

    free(segments);

    if (rc == NGX_OK && i && fsync(dir) == -1) {
        ngx_analytics_failed(fail, "fsync()", path, NULL);
        rc = NGX_ERROR;
    }

    return rc;
}
