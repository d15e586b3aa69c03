
/*
 * Questions about single events: what is asked, and the answer as it comes.
 *
 *     events, export -> query -> stream -> (find, on a thread) -> chunks
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_HTTP_ANALYTICS_QUERY_H_INCLUDED_
#define _NGX_HTTP_ANALYTICS_QUERY_H_INCLUDED_


#include "ngx_http_analytics.h"
#include "ngx_analytics_find.h"
#include "ngx_analytics_periods.h"


#define NGX_HTTP_ANALYTICS_LIMIT_MAX   1000
#define NGX_HTTP_ANALYTICS_SKIP_MAX    100000

/* bytes that are sent at once; memory, as the last row goes beyond */
#define NGX_HTTP_ANALYTICS_CHUNK       (128 * 1024)
#define NGX_HTTP_ANALYTICS_CHUNK_SIZE  (160 * 1024)


typedef enum {
    NGX_HTTP_ANALYTICS_JSON = 0,
    NGX_HTTP_ANALYTICS_NDJSON,
    NGX_HTTP_ANALYTICS_CSV
} ngx_http_analytics_output_e;


/* which parameters a request may have */
#define NGX_HTTP_ANALYTICS_RANGED  0x0001     /* user_id, from and to */
#define NGX_HTTP_ANALYTICS_TYPED   0x0002     /* event_type and order */
#define NGX_HTTP_ANALYTICS_PAGED   0x0004     /* skip, limit and after */
#define NGX_HTTP_ANALYTICS_FORMAT  0x0008


typedef struct {
    ngx_analytics_filter_t      filter;
    uint64_t                    skip;
    uint64_t                    limit;        /* UINT64_MAX: all */
    ngx_uint_t                  output;       /* ngx_http_analytics_output_e */
} ngx_http_analytics_query_t;


/*
 * Reads the parameters of a request; those that are not there, or empty,
 * leave the query as it was: ngx_http_analytics_query.c.  Returns NGX_OK;
 * NGX_DECLINED, *field and *detail if one is wrong, unknown or there twice;
 * or NGX_ERROR.
 */
ngx_int_t ngx_http_analytics_query_read(ngx_http_request_t *r,
    ngx_analytics_format_t *format, ngx_uint_t allowed,
    ngx_http_analytics_query_t *query, ngx_str_t *field, const char **detail);

/*
 * The value of a Link header to what comes behind a row, in the request's
 * pool.  Returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_http_analytics_query_link(ngx_http_request_t *r, int64_t time,
    uint64_t id, ngx_str_t *link);


typedef struct ngx_http_analytics_stream_s  ngx_http_analytics_stream_t;


/*
 * An answer that is made in chunks on threads: ngx_http_analytics_stream.c.
 * No thread waits for a client, and no client is given more than one chunk
 * ahead of what it takes.
 */
struct ngx_http_analytics_stream_s {
    ngx_http_request_t           *request;
    ngx_http_analytics_loc_conf_t  *conf;
    ngx_pool_t                   *pool;       /* of this */
    ngx_http_analytics_query_t    query;
    ngx_analytics_find_conf_t     conf_find;
    ngx_str_t                    *type;       /* Content-Type, */
    ngx_str_t                    *disposition;  /* Content-Disposition */

    /*
     * On a thread.  start() may be NULL and writes what comes before the
     * first row, event() writes one, finish() what comes behind the last.
     * next() writes rows until the chunk is full (NGX_AGAIN) or there are no
     * more (NGX_DONE); by default, events that are found, by event().  In the
     * first chunk it may say that there is nothing (NGX_DECLINED): 404.
     * close() may be NULL, and is called once.
     */
    ngx_int_t                   (*next)(ngx_http_analytics_stream_t *s);
    void                        (*close)(ngx_http_analytics_stream_t *s);
    void                         *source;     /* of these two */

    void                        (*start)(ngx_http_analytics_stream_t *s);
    void                        (*event)(ngx_http_analytics_stream_t *s,
                                         ngx_analytics_row_t *row);
    void                        (*finish)(ngx_http_analytics_stream_t *s);

    ngx_analytics_find_t         *find;
    ngx_analytics_writer_t        w;          /* the chunk, see full() */
    u_char                       *memory;     /* of it, from malloc(), */
    u_char                       *outgrown;   /* and what it was before */
    size_t                        size;

    uint64_t                      rows;       /* written by now */
    ngx_analytics_row_t           last;       /* of them, and of the page; */
    ngx_analytics_row_t           cursor;     /* only time and id are valid */
    ngx_int_t                     rc;         /* of the last chunk's making */
    ngx_analytics_fail_t          fail;

    ngx_thread_task_t            *task;
    ngx_queue_t                   queue;      /* waits for a thread */
    volatile ngx_uint_t           stop;       /* the client has left */

    ngx_chain_t                  *free;
    ngx_chain_t                  *busy;

    unsigned                      begun:1;
    unsigned                      waiting:1;  /* in the line, */
    unsigned                      running:1;  /* or on a thread */
    unsigned                      made:1;     /* a chunk is to be sent */
    unsigned                      sent:1;     /* the header was, */
    unsigned                      ended:1;    /* and what comes last */
    unsigned                      more:1;     /* rows behind the limit */
    unsigned                      incomplete:1;
};


/*
 * The stream of a request, whose callbacks and query the caller sets.
 * Returns NULL if there is no memory.
 */
ngx_http_analytics_stream_t *ngx_http_analytics_stream_create(
    ngx_http_request_t *r);

/* The next() by default. */
ngx_int_t ngx_http_analytics_stream_found(ngx_http_analytics_stream_t *s);

/*
 * Of a next(): something is missing in the answer.  NGX_OK, or NGX_ERROR if
 * its header has said already that it is all.
 */
ngx_int_t ngx_http_analytics_stream_lacks(ngx_http_analytics_stream_t *s);

/* Begins.  Returns what a content handler returns. */
ngx_int_t ngx_http_analytics_stream(ngx_http_analytics_stream_t *s);

/* Whether a chunk is large enough. */
#define ngx_http_analytics_stream_full(s)                                     \
    ((s)->w.pos - (s)->w.start >= NGX_HTTP_ANALYTICS_CHUNK)

/* Once in each process. */
void ngx_http_analytics_stream_init(void);


/*
 * What comes before a question: parameters, and whether the zone and the store
 * are ready.  Sets *stream, whose callbacks are to be set; or to NULL, and
 * returns what the content handler is to return: ngx_http_analytics_events.c.
 */
ngx_int_t ngx_http_analytics_question(ngx_http_request_t *r,
    ngx_http_analytics_query_t *query, ngx_uint_t allowed,
    ngx_http_analytics_stream_t **stream);

/* A row as an event, for who writes it; texts are not copied. */
void ngx_http_analytics_row_event(ngx_analytics_row_t *row,
    ngx_analytics_event_t *event);

/*
 * What is asked for of the periods, in the stream's pool; the stream's
 * question is known.  Returns NULL if there is no memory.
 */
ngx_analytics_periods_read_t *ngx_http_analytics_counts_of(
    ngx_http_analytics_stream_t *s);

/* Of a next(): writes counts of an open one, and adds to n how many. */
ngx_int_t ngx_http_analytics_counts_read(ngx_http_analytics_stream_t *s,
    ngx_analytics_periods_read_t *read, uint64_t *n);

ngx_int_t ngx_http_analytics_events_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_analytics_export_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_analytics_counts_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_analytics_person_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_ANALYTICS_QUERY_H_INCLUDED_ */
