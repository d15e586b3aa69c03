
/*
 * The body of a request in one piece of memory.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"

#include <sys/mman.h>
#include <zlib.h>


static ngx_int_t ngx_http_analytics_body_gather(
    ngx_http_analytics_body_t *body, ngx_pool_t *pool);
static ngx_int_t ngx_http_analytics_body_map(ngx_http_analytics_body_t *body,
    ngx_buf_t *b);
static ngx_int_t ngx_http_analytics_body_copy(ngx_http_analytics_body_t *body,
    ngx_pool_t *pool);
static ngx_int_t ngx_http_analytics_body_read(ngx_buf_t *b, u_char *p);
static ngx_int_t ngx_http_analytics_body_inflate(
    ngx_http_analytics_body_t *body, ngx_pool_t *pool, const char **detail);
static ngx_int_t ngx_http_analytics_body_inflate_all(z_stream *z,
    ngx_http_analytics_body_t *body, ngx_pool_t *pool, const char **detail);
static ngx_int_t ngx_http_analytics_body_grow(z_stream *z,
    ngx_http_analytics_body_t *body, ngx_pool_t *pool, size_t *size);


ngx_int_t
ngx_http_analytics_body_load(ngx_http_analytics_body_t *body,
    ngx_pool_t *pool, const char **detail)
{
    if (ngx_http_analytics_body_gather(body, pool) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!body->gzip) {
        return NGX_OK;
    }

    return ngx_http_analytics_body_inflate(body, pool, detail);
}


void
ngx_http_analytics_body_free(ngx_http_analytics_body_t *body)
{
    if (body->map == NULL) {
        return;
    }

    (void) munmap(body->map, body->map_len);
    body->map = NULL;

    /*
     * The system takes its time to forget the pages of a large file.  It had
     * better take a thread's than the event loop's, which closes the file.
     */

    if (body->last && ftruncate(body->fd, 0) == -1) {

        /* then it is the event loop that waits */

        return;
    }
}


static ngx_int_t
ngx_http_analytics_body_gather(ngx_http_analytics_body_t *body,
    ngx_pool_t *pool)
{
    ngx_buf_t    *b;
    ngx_uint_t    n;
    ngx_chain_t  *cl;

    body->len = 0;
    body->data = (u_char *) "";

    b = NULL;
    n = 0;

    for (cl = body->in; cl; cl = cl->next) {

        if (ngx_buf_size(cl->buf) == 0) {
            continue;
        }

        b = cl->buf;
        body->len += (size_t) ngx_buf_size(b);
        n++;
    }

    if (n == 0) {
        return NGX_OK;
    }

    if (n > 1 || (body->copy && !ngx_buf_in_memory(b))) {
        return ngx_http_analytics_body_copy(body, pool);
    }

    if (!ngx_buf_in_memory(b)) {
        return ngx_http_analytics_body_map(body, b);
    }

    body->data = b->pos;

    return NGX_OK;
}


/*
 * A temporary file has no name any more and no other writer: it will not
 * shrink under the mapping.  One that client_body_in_file_only keeps could,
 * and is copied.
 */

static ngx_int_t
ngx_http_analytics_body_map(ngx_http_analytics_body_t *body, ngx_buf_t *b)
{
    off_t  shift;

    shift = b->file_pos % (off_t) ngx_pagesize;

    body->map_len = (size_t) (b->file_last - b->file_pos + shift);

    body->map = mmap(NULL, body->map_len, PROT_READ, MAP_PRIVATE,
                     b->file->fd, b->file_pos - shift);

    if (body->map == MAP_FAILED) {
        body->map = NULL;
        return NGX_ERROR;
    }

    body->fd = b->file->fd;

    (void) madvise(body->map, body->map_len, MADV_SEQUENTIAL);

    body->data = body->map + shift;

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_body_copy(ngx_http_analytics_body_t *body,
    ngx_pool_t *pool)
{
    u_char       *p;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    p = ngx_pnalloc(pool, body->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;

    for (cl = body->in; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_in_memory(b)) {
            p = ngx_cpymem(p, b->pos, b->last - b->pos);
            continue;
        }

        if (ngx_http_analytics_body_read(b, p) != NGX_OK) {
            return NGX_ERROR;
        }

        p += ngx_buf_size(b);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_body_read(ngx_buf_t *b, u_char *p)
{
    off_t    pos;
    ssize_t  n;

    for (pos = b->file_pos; pos < b->file_last; pos += n) {

        n = pread(b->file->fd, p, (size_t) (b->file_last - pos), pos);

        if (n == -1 && ngx_errno == NGX_EINTR) {
            n = 0;
            continue;
        }

        if (n <= 0) {
            return NGX_ERROR;
        }

        p += n;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_body_inflate(ngx_http_analytics_body_t *body,
    ngx_pool_t *pool, const char **detail)
{
    z_stream   z;
    ngx_int_t  rc;

    ngx_memzero(&z, sizeof(z_stream));

    /* avail_in is 32 bits wide */

    if (body->len > NGX_MAX_UINT32_VALUE) {
        *detail = "the body is too large";
        return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
    }

    z.next_in = body->data;
    z.avail_in = (uInt) body->len;

    /* 16: a gzip header, none of zlib's */

    if (inflateInit2(&z, MAX_WBITS + 16) != Z_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_analytics_body_inflate_all(&z, body, pool, detail);

    (void) inflateEnd(&z);

    return rc;
}


static ngx_int_t
ngx_http_analytics_body_inflate_all(z_stream *z,
    ngx_http_analytics_body_t *body, ngx_pool_t *pool, const char **detail)
{
    int     rc;
    size_t  size;

    size = 0;
    body->data = NULL;
    body->len = 0;

    for ( ;; ) {

        if (z->avail_out == 0) {

            if (size == body->max) {
                *detail = "the inflated body is too large";
                return NGX_HTTP_REQUEST_ENTITY_TOO_LARGE;
            }

            if (ngx_http_analytics_body_grow(z, body, pool, &size)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }

        rc = inflate(z, Z_NO_FLUSH);

        body->len = size - z->avail_out;

        if (rc == Z_STREAM_END) {

            if (z->avail_in == 0) {
                return NGX_OK;
            }

            /* a gzip file may have several members (RFC 1952) */

            rc = inflateReset(z);
        }

        if (rc == Z_MEM_ERROR) {
            return NGX_ERROR;
        }

        if (rc != Z_OK || (z->avail_in == 0 && z->avail_out)) {
            *detail = "the body is not valid gzip";
            return NGX_HTTP_BAD_REQUEST;
        }
    }
}


static ngx_int_t
ngx_http_analytics_body_grow(z_stream *z, ngx_http_analytics_body_t *body,
    ngx_pool_t *pool, size_t *size)
{
    size_t   n;
    u_char  *p;

    /* one byte over the maximum would tell, but a full buffer does as well */

    n = *size ? *size * 2 : 4 * (size_t) z->avail_in + ngx_pagesize;
    n = ngx_min(n, body->max);

    p = ngx_palloc(pool, n);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (*size) {
        ngx_memcpy(p, body->data, *size);
        (void) ngx_pfree(pool, body->data);
    }

    body->data = p;
    z->next_out = p + *size;
    z->avail_out = (uInt) ngx_min(n - *size, NGX_MAX_UINT32_VALUE);
    *size += z->avail_out;

    return NGX_OK;
}
