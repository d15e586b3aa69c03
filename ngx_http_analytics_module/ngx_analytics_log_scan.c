
/*
 * Where a log ends: reading its last segment, and putting away or mending one
 * that has no header.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_log.h"
#include "ngx_analytics_fault.h"


ngx_int_t
ngx_analytics_log_scan(ngx_analytics_log_t *log, uint64_t base,
    uint64_t limit, ngx_analytics_found_t *found, ngx_analytics_fail_t *fail)
{
    ngx_int_t               rc;
    ngx_analytics_reader_t  r;
    ngx_analytics_record_t  record;

    log->cut_from = 0;
    log->cut_to = 0;

    found->records = 0;
    found->damaged = 0;

    rc = ngx_analytics_reader_open(&r, log->dir, log->path, base, fail);

    if (rc != NGX_OK || r.segment.position != base) {
        ngx_analytics_reader_close(&r);
        return NGX_ERROR;
    }

    found->segment = r.segment;
    found->known = r.known;
    found->tail.base = base;
    found->tail.received = r.segment.created;

    for ( ;; ) {
        rc = ngx_analytics_reader_next(&r, limit, &record, fail);

        if (rc == NGX_OK) {
            found->records++;
            found->tail.received = ngx_max(found->tail.received,
                                           record.received);

        } else if (rc == NGX_DECLINED && r.position != r.damage_from) {
            found->damaged += r.damage_to - r.damage_from;

        } else {
            break;
        }
    }

    if (rc == NGX_DECLINED) {
        log->cut_from = r.damage_from;
        log->cut_to = r.damage_to;
    }

    found->tail.position = r.position;
    found->tail.seq = ngx_max(r.seq, 1);

    ngx_analytics_reader_close(&r);

    return (rc == NGX_DONE || rc == NGX_DECLINED) ? NGX_OK : NGX_ERROR;
}


/* Tells of bytes at the beginning of a segment what became of them. */
static void
ngx_analytics_log_tell(ngx_analytics_log_t *log, const char *name,
    uint64_t bytes, const char *what)
{
    char  text[sizeof(((ngx_analytics_fail_t *) 0)->text)];

    if (log->tell) {
        snprintf(text, sizeof(text), "%llu bytes of the log in \"%s\", from "
                 "offset 0 of %s, are damaged and were %s",
                 (unsigned long long) bytes, log->path, name, what);
        log->tell(log, text);
    }
}


/*
 * A file with neither a header nor a record was being made when the machine
 * or its maker died.  What may have been more than that is kept under another
 * name.  Returns NGX_AGAIN or NGX_ERROR.
 */
static ngx_int_t
ngx_analytics_log_drop(ngx_analytics_log_t *log, uint64_t base,
    ngx_analytics_found_t *found, ngx_analytics_fail_t *fail)
{
    int          rc;
    char         name[NGX_ANALYTICS_LOG_NAME];
    char         kept[NGX_ANALYTICS_LOG_NAME + sizeof(".damaged")];
    struct stat  st;

    ngx_analytics_segment_name(name, base);
    snprintf(kept, sizeof(kept), "%s.damaged", name);

    rc = fstatat(log->dir, name, &st, 0);

    if (rc == 0) {
        if (st.st_size > NGX_ANALYTICS_SEGMENT_HEADER) {
            found->gone += (uint64_t) st.st_size;
            rc = renameat(log->dir, name, log->dir, kept);

            if (rc == 0) {
                ngx_analytics_log_tell(log, name, (uint64_t) st.st_size,
                                       "put aside, under another name");
            }

        } else {
            rc = unlinkat(log->dir, name, 0);
        }
    }

    if (rc == -1) {
        ngx_analytics_failed(fail, "removal of", log->path, name);
        return NGX_ERROR;
    }

    return NGX_AGAIN;
}


/*
 * Looks for what the header of the last of n segments can be made from.
 * Returns NGX_OK, NGX_DECLINED if there is nothing, or NGX_ERROR.
 */
static ngx_int_t
ngx_analytics_log_donor(ngx_analytics_log_t *log,
    ngx_analytics_found_t *found, uint64_t *positions, ngx_uint_t n,
    ngx_analytics_segment_t *segment, ngx_analytics_fail_t *fail)
{
    ngx_int_t               rc;
    ngx_analytics_reader_t  r;

    for (n--; n > 0; n--) {
        rc = ngx_analytics_reader_open(&r, log->dir, log->path,
                                       positions[n - 1], fail);
        ngx_analytics_reader_close(&r);

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        if (r.known) {
            *segment = r.segment;
            return NGX_OK;
        }
    }

    if (!found->valid) {
        return NGX_DECLINED;
    }

    memcpy(segment->id, found->old.id, sizeof(segment->id));
    segment->key[0] = found->old.key[0];
    segment->key[1] = found->old.key[1];
    segment->seq = 1;
    segment->reserved = found->old.reserved;
    segment->created = 0;

    return NGX_OK;
}


/*
 * The last segment has records but no header.  It gets one that claims no
 * less than the lost one did: numbers of a segment are within half of what
 * the segment before has reserved.  Returns NGX_AGAIN or NGX_ERROR.
 */
static ngx_int_t
ngx_analytics_log_mend(ngx_analytics_log_t *log,
    ngx_analytics_found_t *found, uint64_t *positions, ngx_uint_t n,
    ngx_analytics_fail_t *fail)
{
    int                      fd;
    char                     name[NGX_ANALYTICS_LOG_NAME];
    ngx_int_t                rc;
    ngx_analytics_segment_t  segment;

    ngx_analytics_segment_name(name, positions[n - 1]);

    rc = ngx_analytics_log_donor(log, found, positions, n, &segment, fail);

    if (rc == NGX_DECLINED) {
        fail->err = 0;
        snprintf(fail->text, sizeof(fail->text), "the header of \"%s/%s\" is "
                 "damaged, and nothing else tells what log it is of",
                 log->path, name);
    }

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    segment.position = positions[n - 1];
    segment.reserved += NGX_ANALYTICS_RESERVE;

    fd = ngx_analytics_log_open(log, name, O_RDWR, fail);
    if (fd == -1) {
        return NGX_ERROR;
    }

    rc = ngx_analytics_log_write_header(fd, &segment);

    if (rc != NGX_OK) {
        ngx_analytics_failed(fail, "pwrite()", log->path, name);
    }

    close(fd);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    found->gone += NGX_ANALYTICS_SEGMENT_HEADER;

    ngx_analytics_log_tell(log, name, NGX_ANALYTICS_SEGMENT_HEADER,
                           "made anew: the header");

    return NGX_AGAIN;
}


ngx_int_t
ngx_analytics_log_last(ngx_analytics_log_t *log,
    ngx_analytics_found_t *found, ngx_analytics_fail_t *fail)
{
    uint64_t    *positions;
    ngx_int_t    rc;
    ngx_uint_t   n;

    do {
        if (ngx_analytics_segments(log->dir, log->path, &positions, &n, fail)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (n == 0) {
            return NGX_DONE;
        }

        rc = ngx_analytics_log_scan(log, positions[n - 1], NGX_ANALYTICS_END,
                                    found, fail);

        if (rc == NGX_OK && !found->known) {
            rc = found->records
                 ? ngx_analytics_log_mend(log, found, positions, n, fail)
                 : ngx_analytics_log_drop(log, positions[n - 1], found, fail);
        }

        free(positions);

        ngx_analytics_fault_point();

    } while (rc == NGX_AGAIN);

    return rc;
}
