
/*
 * Reading a log, segment by segment.
 *
 * Files are read, not mapped: they may be cut meanwhile.  What does not look
 * like a record is read anew before it is called damage, as it may have been
 * written while it was read first.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_reader.h"


#define NGX_ANALYTICS_READER_BUFFER  (1024 * 1024)

/*
 * Behind damage, a record whose numbers are so far ahead is none.  (A text in
 * an event cannot pass for one anyway: the bytes of 0 in a record's header are
 * in no text.)
 */
#define NGX_ANALYTICS_READER_AHEAD   ((uint64_t) 1 << 40)


static uint64_t ngx_analytics_reader_behind(ngx_analytics_reader_t *r);


/* What is wrong with the current segment, no system call having failed. */
static ngx_int_t
ngx_analytics_reader_bad(ngx_analytics_reader_t *r, const char *what,
    ngx_analytics_fail_t *fail)
{
    char  name[NGX_ANALYTICS_LOG_NAME];

    ngx_analytics_segment_name(name, r->segment.position);

    fail->err = 0;
    snprintf(fail->text, sizeof(fail->text), "\"%s/%s\" %s", r->path, name,
             what);

    return NGX_ERROR;
}


static ngx_int_t
ngx_analytics_reader_failed(ngx_analytics_reader_t *r, const char *what,
    uint64_t position, ngx_analytics_fail_t *fail)
{
    char  name[NGX_ANALYTICS_LOG_NAME];

    ngx_analytics_segment_name(name, position);
    ngx_analytics_failed(fail, what, r->path, name);

    return NGX_ERROR;
}


/* Like pread(), but it stops at an end of file alone, and tells. */
static ngx_int_t
ngx_analytics_reader_pread(ngx_analytics_reader_t *r, u_char *buf, size_t need,
    size_t size, uint64_t position, size_t *len, ngx_analytics_fail_t *fail)
{
    ssize_t  n;

    *len = 0;

    while (*len < need) {
        n = pread(r->fd, buf + *len, size - *len,
                  (off_t) (position - r->segment.position + *len));

        if (n == 0) {
            break;
        }

        if (n == -1) {
            if (errno == EINTR) {
                continue;
            }

            return ngx_analytics_reader_failed(r, "pread()",
                                               r->segment.position, fail);
        }

        *len += (size_t) n;
    }

    return NGX_OK;
}


/* Looks where the segment that comes after the current one begins. */
static ngx_int_t
ngx_analytics_reader_following(ngx_analytics_reader_t *r,
    ngx_analytics_fail_t *fail)
{
    r->end = ngx_analytics_reader_behind(r);

    if (r->end != NGX_ANALYTICS_END) {
        return NGX_OK;
    }

    /* segments come at the end of the log, and never in between */

    free(r->segments);

    r->segments = NULL;
    r->nsegments = 0;
    r->next = 0;

    if (ngx_analytics_segments(r->dir, r->path, &r->segments, &r->nsegments,
                               fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->end = ngx_analytics_reader_behind(r);

    return NGX_OK;
}


/* The first known segment behind the one that is read, or END. */
static uint64_t
ngx_analytics_reader_behind(ngx_analytics_reader_t *r)
{
    while (r->next < r->nsegments
           && r->segments[r->next] <= r->segment.position)
    {
        r->next++;
    }

    return (r->next < r->nsegments) ? r->segments[r->next]
                                    : NGX_ANALYTICS_END;
}


/* Goes to the beginning of a segment. */
static ngx_int_t
ngx_analytics_reader_enter(ngx_analytics_reader_t *r, uint64_t position,
    ngx_analytics_fail_t *fail)
{
    int   fd;
    char  name[NGX_ANALYTICS_LOG_NAME];

    ngx_analytics_segment_name(name, position);

    fd = openat(r->dir, name, O_RDONLY|O_CLOEXEC);
    if (fd == -1) {
        return ngx_analytics_reader_failed(r, "open()", position, fail);
    }

    if (r->fd != -1) {
        close(r->fd);
    }

    r->fd = fd;
    r->segment.position = position;
    r->segment.reserved = 0;
    r->segment.created = 0;
    r->position = position;
    r->buf_position = position;
    r->buf_len = 0;

    return NGX_OK;
}


/* A header that is right by itself: is it the one that belongs here? */
static ngx_int_t
ngx_analytics_reader_accept(ngx_analytics_reader_t *r,
    ngx_analytics_segment_t *segment, ngx_analytics_fail_t *fail)
{
    if (segment->position != r->segment.position) {
        return ngx_analytics_reader_bad(r, "has the name of another segment",
                                        fail);
    }

    if (r->known
        && memcmp(segment->id, r->segment.id, sizeof(segment->id)) != 0)
    {
        return ngx_analytics_reader_bad(r, "is of another log", fail);
    }

    r->segment = *segment;
    r->known = 1;

    if (r->seq < segment->seq) {
        r->seq = segment->seq;
    }

    if (r->position == segment->position) {
        r->position += NGX_ANALYTICS_SEGMENT_HEADER;
    }

    return NGX_OK;
}


/*
 * Reads the segment's header.  Returns NGX_OK, NGX_AGAIN if there is more to
 * know now, or what ngx_analytics_reader_next() is to return.
 */
static ngx_int_t
ngx_analytics_reader_header(ngx_analytics_reader_t *r, uint64_t limit,
    ngx_analytics_fail_t *fail)
{
    size_t                   len;
    u_char                   buf[NGX_ANALYTICS_SEGMENT_HEADER];
    uint64_t                 base;
    ngx_int_t                rc;
    ngx_analytics_segment_t  segment;

    base = r->segment.position;

    if (ngx_analytics_reader_pread(r, buf, sizeof(buf), sizeof(buf), base,
                                   &len, fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_analytics_segment_read(buf, len, &segment);

    if (rc == NGX_OK) {
        return ngx_analytics_reader_accept(r, &segment, fail);
    }

    if (rc == NGX_ABORT) {
        return ngx_analytics_reader_bad(r, "is of a newer version", fail);
    }

    r->damage_from = base;

    if (len == sizeof(buf)) {
        r->damage_to = ngx_min(base + sizeof(buf), limit);
        r->position = r->damage_to;
        return NGX_DECLINED;
    }

    if (r->end == NGX_ANALYTICS_END) {
        if (ngx_analytics_reader_following(r, fail) != NGX_OK) {
            return NGX_ERROR;
        }

        if (r->end != NGX_ANALYTICS_END) {
            return NGX_AGAIN;
        }

        if (limit == NGX_ANALYTICS_END) {
            r->damage_to = base + len;
            return len ? NGX_DECLINED : NGX_DONE;
        }
    }

    r->damage_to = ngx_min(r->end, limit);
    r->position = r->damage_to;

    return NGX_DECLINED;
}


/*
 * Starts in a segment behind its header, which need not be whole: who knows
 * the position of a record has read this log before.
 */
static ngx_int_t
ngx_analytics_reader_start(ngx_analytics_reader_t *r, uint64_t position,
    ngx_analytics_fail_t *fail)
{
    struct stat  st;

    r->position = position;

    if (ngx_analytics_reader_header(r, NGX_ANALYTICS_END, fail) == NGX_ERROR) {
        return NGX_ERROR;
    }

    r->position = position;

    if (fstat(r->fd, &st) == -1) {
        return ngx_analytics_reader_failed(r, "fstat()", r->segment.position,
                                           fail);
    }

    if (position % 8
        || position < r->segment.position + NGX_ANALYTICS_SEGMENT_HEADER
        || (r->end == NGX_ANALYTICS_END
            && position - r->segment.position > (uint64_t) st.st_size))
    {
        return ngx_analytics_reader_bad(r, "has no record at the position "
                                        "looked for", fail);
    }

    return NGX_OK;
}


ngx_int_t
ngx_analytics_reader_open(ngx_analytics_reader_t *r, int dir,
    const char *path, uint64_t position, ngx_analytics_fail_t *fail)
{
    uint64_t    base;
    ngx_int_t   rc;
    ngx_uint_t  i;

    ngx_memzero(r, sizeof(ngx_analytics_reader_t));

    r->dir = dir;
    r->path = path;
    r->fd = -1;

    if (ngx_analytics_segments(dir, path, &r->segments, &r->nsegments, fail)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (r->nsegments == 0) {
        return NGX_DONE;
    }

    /* the last one that begins there or before */

    for (i = r->nsegments - 1; i > 0 && r->segments[i] > position; i--) {
        /* void */
    }

    base = r->segments[i];
    r->segment.position = base;
    r->end = ngx_analytics_reader_behind(r);

    r->buf = malloc(NGX_ANALYTICS_READER_BUFFER);
    if (r->buf == NULL) {
        ngx_analytics_failed(fail, "reading", path, NULL);
        return NGX_ERROR;
    }

    r->size = NGX_ANALYTICS_READER_BUFFER;

    if (ngx_analytics_reader_enter(r, base, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    if (position == 0 || position == base) {

        /* what is wrong with its header is told by reader_next() */

        rc = ngx_analytics_reader_header(r, NGX_ANALYTICS_END, fail);

        if (rc != NGX_OK) {
            r->position = base;
        }

        return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
    }

    if (position < base) {
        return ngx_analytics_reader_bad(r, "is the first segment, and behind "
                                        "the position looked for", fail);
    }

    return ngx_analytics_reader_start(r, position, fail);
}


void
ngx_analytics_reader_close(ngx_analytics_reader_t *r)
{
    if (r->fd != -1) {
        close(r->fd);
        r->fd = -1;
    }

    free(r->segments);
    r->segments = NULL;
    r->nsegments = 0;

    free(r->buf);
    r->buf = NULL;
    r->size = 0;
    r->buf_len = 0;
}


static ngx_int_t
ngx_analytics_reader_grow(ngx_analytics_reader_t *r, size_t need,
    ngx_analytics_fail_t *fail)
{
    size_t   size;
    u_char  *buf;

    for (size = r->size; size < need; size *= 2) { /* void */ }

    buf = realloc(r->buf, size);
    if (buf == NULL) {
        ngx_analytics_failed(fail, "reading", r->path, NULL);
        return NGX_ERROR;
    }

    r->buf = buf;
    r->size = size;

    return NGX_OK;
}


/*
 * Sees that the buffer has need bytes from a position of this segment on, or
 * all that there are up to bound.  Sets *len to how many there are.
 */
static ngx_int_t
ngx_analytics_reader_fill(ngx_analytics_reader_t *r, uint64_t at, size_t need,
    uint64_t bound, size_t *len, ngx_analytics_fail_t *fail)
{
    size_t    have, room, n;
    uint64_t  last;

    last = r->buf_position + r->buf_len;
    have = (at >= r->buf_position && at < last) ? last - at : 0;

    if (have < need && have < bound - at) {

        if (need > r->size
            && ngx_analytics_reader_grow(r, need, fail) != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (have) {
            memmove(r->buf, r->buf + (at - r->buf_position), have);
        }

        r->buf_position = at;
        r->buf_len = have;

        room = ngx_min(r->size, bound - at) - have;

        if (ngx_analytics_reader_pread(r, r->buf + have,
                                       ngx_min(need - have, room), room,
                                       at + have, &n, fail)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        r->buf_len += n;
        have += n;
    }

    *len = ngx_min(have, bound - at);

    return NGX_OK;
}


/*
 * Is there a record, and one that can follow those before?  Returns NGX_OK,
 * NGX_DECLINED, NGX_DONE if there are no bytes at all, or NGX_ERROR.
 */
static ngx_int_t
ngx_analytics_reader_look(ngx_analytics_reader_t *r, uint64_t at,
    uint64_t bound, ngx_analytics_record_t *record,
    ngx_analytics_fail_t *fail)
{
    size_t     len, need;
    ngx_int_t  rc;

    if (at >= bound) {
        return NGX_DONE;
    }

    need = NGX_ANALYTICS_RECORD_HEADER;

    for ( ;; ) {
        if (ngx_analytics_reader_fill(r, at, need, bound, &len, fail)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        if (len == 0) {
            return NGX_DONE;
        }

        if (len < need) {
            return NGX_DECLINED;
        }

        rc = ngx_analytics_record_read(r->buf + (at - r->buf_position), len,
                                       record);
        if (rc != NGX_AGAIN) {
            break;
        }

        need = record->len;
    }

    /* what was there before is far ahead, too, as there is no sign */

    if (rc != NGX_OK || record->seq - r->seq >= NGX_ANALYTICS_READER_AHEAD) {
        return NGX_DECLINED;
    }

    record->position = at;

    return NGX_OK;
}


/* There is no record at the position: passes what is there over. */
static ngx_int_t
ngx_analytics_reader_skip(ngx_analytics_reader_t *r, uint64_t limit,
    ngx_analytics_record_t *record, ngx_analytics_fail_t *fail)
{
    uint64_t     at, bound, size;
    ngx_int_t    rc;
    struct stat  st;

    bound = ngx_min(r->end, limit);
    size = 0;

    if (bound == NGX_ANALYTICS_END) {
        if (fstat(r->fd, &st) == -1) {
            return ngx_analytics_reader_failed(r, "fstat()",
                                               r->segment.position, fail);
        }

        size = (uint64_t) st.st_size;

        if (size <= r->position - r->segment.position) {
            return NGX_DONE;
        }
    }

    r->damage_from = r->position;

    for (at = r->position + 8; /* void */ ; at += 8) {
        rc = ngx_analytics_reader_look(r, at, bound, record, fail);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_OK) {
            r->damage_to = at;
            r->position = at;
            return NGX_DECLINED;
        }

        if (rc == NGX_DONE) {
            break;
        }
    }

    if (bound == NGX_ANALYTICS_END) {
        r->damage_to = r->segment.position + size;
        return NGX_DECLINED;
    }

    r->damage_to = bound;
    r->position = bound;

    return NGX_DECLINED;
}


/*
 * A second look, at what the file holds now.  Returns NGX_OK, NGX_AGAIN if
 * there is another segment now, or what ngx_analytics_reader_next() is to
 * return.
 */
static ngx_int_t
ngx_analytics_reader_again(ngx_analytics_reader_t *r, uint64_t limit,
    ngx_analytics_record_t *record, ngx_analytics_fail_t *fail)
{
    ngx_int_t  rc;

    /*
     * In this order: a segment is finished before the next one is there, so
     * that a record that is missing is missing for good.
     */

    if (r->end == NGX_ANALYTICS_END) {
        if (ngx_analytics_reader_following(r, fail) != NGX_OK) {
            return NGX_ERROR;
        }

        if (r->end <= r->position) {
            return NGX_AGAIN;
        }
    }

    r->buf_len = 0;

    rc = ngx_analytics_reader_look(r, r->position, ngx_min(r->end, limit),
                                   record, fail);

    if (rc == NGX_OK || rc == NGX_ERROR) {
        return rc;
    }

    /* one that is whole, but ends behind the limit? */

    if (limit < r->end) {
        rc = ngx_analytics_reader_look(r, r->position, r->end, record, fail);

        /* what is behind the limit may yet change */
        r->buf_len = 0;

        if (rc == NGX_OK || rc == NGX_ERROR) {
            return rc == NGX_OK ? NGX_DONE : NGX_ERROR;
        }
    }

    return ngx_analytics_reader_skip(r, limit, record, fail);
}


ngx_int_t
ngx_analytics_reader_next(ngx_analytics_reader_t *r, uint64_t limit,
    ngx_analytics_record_t *record, ngx_analytics_fail_t *fail)
{
    ngx_int_t  rc;

    for ( ;; ) {
        if (r->position >= limit) {
            return NGX_DONE;
        }

        if (r->position >= r->end) {
            if (ngx_analytics_reader_enter(r, r->end, fail) != NGX_OK
                || ngx_analytics_reader_following(r, fail) != NGX_OK)
            {
                return NGX_ERROR;
            }
        }

        if (r->position == r->segment.position) {
            rc = ngx_analytics_reader_header(r, limit, fail);

            if (rc == NGX_OK || rc == NGX_AGAIN) {
                continue;
            }

            return rc;
        }

        rc = ngx_analytics_reader_look(r, r->position, ngx_min(r->end, limit),
                                       record, fail);

        if (rc == NGX_DECLINED || rc == NGX_DONE) {
            rc = ngx_analytics_reader_again(r, limit, record, fail);

            if (rc == NGX_AGAIN) {
                continue;
            }
        }

        if (rc == NGX_OK) {
            r->position += record->len;
            r->seq = record->seq + record->n;
        }

        return rc;
    }
}
