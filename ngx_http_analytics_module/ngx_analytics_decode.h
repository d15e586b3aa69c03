
/*
 * From a body to events.
 *
 * A body is taken whole or not at all, so everything in it is looked at
 * before the caller sees a result.  What is not JSON outweighs what is JSON
 * but no event: therefore the scan goes on behind a bad event.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_DECODE_H_INCLUDED_
#define _NGX_ANALYTICS_DECODE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_event.h"


#define NGX_ANALYTICS_ERRORS_MAX  20     /* reported of one body */
#define NGX_ANALYTICS_RUN_MAX     128     /* events in one run */


/* One thing that is wrong with one event of a body. */
typedef struct {
    ngx_uint_t      index;             /* of the event, from 0 */
    ngx_str_t       field;             /* empty: the event itself */
    const char     *detail;
} ngx_analytics_error_t;


/* Decoded events come in runs that fit under one lock of a zone. */
typedef struct ngx_analytics_run_s  ngx_analytics_run_t;

struct ngx_analytics_run_s {
    ngx_analytics_run_t     *next;
    ngx_analytics_event_t   *events;
    ngx_uint_t               n;
    ngx_uint_t               size;
};


typedef struct {
    /* set by the caller */
    ngx_analytics_format_t  *format;
    int64_t                  now;      /* microseconds */
    ngx_uint_t               ndjson;   /* objects, each a line */
    uint64_t                 key[2];   /* random; if the format has an id */
    ngx_analytics_alloc_pt   alloc;    /* for the runs and unescaped text */
    void                    *ctx;

    /* the result */
    ngx_analytics_run_t     *first;
    ngx_analytics_run_t     *last;
    ngx_uint_t               n;        /* events in all runs */
    ngx_uint_t               list;     /* not just one object */

    const char              *err;      /* of NGX_DECLINED and NGX_ABORT */
    size_t                   offset;   /* where, of NGX_DECLINED */
    ngx_analytics_error_t   *errors;
    ngx_uint_t               nerrors;  /* at most NGX_ANALYTICS_ERRORS_MAX */
    ngx_uint_t               failed;   /* alloc did, for errors */
    ngx_analytics_event_t    scratch;  /* events behind the first error */
} ngx_analytics_decode_t;


/*
 * Reads a whole body: an object, an array of objects, or objects that follow
 * each other.  Texts of the events are slices of the body where they can be.
 * An event that was in the body before, by its own id, is known.
 * Returns
 *     NGX_OK        d->n events are in the runs
 *     NGX_DECLINED  not JSON: d->err and d->offset say why
 *     NGX_ABORT     JSON, but not (all) events: d->err, or d->errors
 *     NGX_ERROR     alloc failed
 */
ngx_int_t ngx_analytics_decode(ngx_analytics_decode_t *d, u_char *data,
    size_t len);


#endif /* _NGX_ANALYTICS_DECODE_H_INCLUDED_ */
