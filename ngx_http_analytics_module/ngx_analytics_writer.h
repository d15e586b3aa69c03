
/*
 * A streaming JSON writer into one growing buffer.
 *
 * Memory comes from a callback (an nginx pool, malloc() in a thread or a
 * test) and is never given back by the writer.  When the callback fails,
 * w->failed is set and everything after is dropped: check it once, at the
 * end.  The writer does not place commas: the caller does, as literals.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_WRITER_H_INCLUDED_
#define _NGX_ANALYTICS_WRITER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef void *(*ngx_analytics_alloc_pt)(void *ctx, size_t size);


typedef struct {
    u_char                  *start;
    u_char                  *pos;        /* behind the last byte written */
    u_char                  *end;        /* behind the buffer */
    ngx_analytics_alloc_pt   alloc;      /* returns NULL on failure */
    void                    *ctx;        /* alloc's first argument */
    ngx_uint_t               failed;     /* a call of alloc failed */
} ngx_analytics_writer_t;


/* Allocates the first buffer of size bytes (more than 0). */
void ngx_analytics_writer_init(ngx_analytics_writer_t *w,
    ngx_analytics_alloc_pt alloc, void *ctx, size_t size);

/*
 * Room for len bytes, which the caller fills, from the position returned on;
 * then w->pos is to be set behind them.  Returns NULL if there is no memory.
 */
static ngx_inline u_char *ngx_analytics_writer_room(ngx_analytics_writer_t *w,
    size_t len);

/* Bytes as they are. */
void ngx_analytics_write_raw(ngx_analytics_writer_t *w, const void *data,
    size_t len);

#define ngx_analytics_write_literal(w, s)                                     \
    ngx_analytics_write_raw(w, s, sizeof(s) - 1)

/*
 * Valid UTF-8 text as a JSON string with its quotes; '"', '\\', control
 * characters below 0x20 and DEL are escaped, and so are '<' and '>' and '&'
 * and U+2028 and U+2029 (an answer stays harmless inside a page).
 */
void ngx_analytics_write_string(ngx_analytics_writer_t *w, ngx_str_t *text);

/* Digits at p, 20 at most.  Returns the position behind them. */
u_char *ngx_analytics_uint_format(u_char *p, uint64_t n);

void ngx_analytics_write_uint(ngx_analytics_writer_t *w, uint64_t n);
void ngx_analytics_write_int(ngx_analytics_writer_t *w, int64_t n);

/* A finite double, as printf("%.*g") does. */
void ngx_analytics_write_real(ngx_analytics_writer_t *w, double real,
    ngx_uint_t digits);

/* An instant (microseconds since the epoch) as a quoted RFC 3339 time. */
void ngx_analytics_write_time(ngx_analytics_writer_t *w, int64_t usec);

/* A day (days since the epoch) as a quoted date. */
void ngx_analytics_write_date(ngx_analytics_writer_t *w, int64_t day);


/* Makes room for len more bytes by at least doubling the buffer. */
ngx_int_t ngx_analytics_writer_grow(ngx_analytics_writer_t *w, size_t len);


static ngx_inline u_char *
ngx_analytics_writer_room(ngx_analytics_writer_t *w, size_t len)
{
    if ((size_t) (w->end - w->pos) < len
        && ngx_analytics_writer_grow(w, len) != NGX_OK)
    {
        return NULL;
    }

    return w->pos;
}


#endif /* _NGX_ANALYTICS_WRITER_H_INCLUDED_ */
