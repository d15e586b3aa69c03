
/*
 * The event, and the format that maps it to JSON and back.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_EVENT_H_INCLUDED_
#define _NGX_ANALYTICS_EVENT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_writer.h"


#define NGX_ANALYTICS_NAME_MAX       255      /* bytes of a user or a type */
#define NGX_ANALYTICS_PROPERTIES_MAX 1048576  /* bytes */
#define NGX_ANALYTICS_INT_MAX        9007199254740992    /* 2^53 */
#define NGX_ANALYTICS_TIME_NONE      INT64_MIN


/* ngx_analytics_event_t.known: before in the same body, or stored */
#define NGX_ANALYTICS_KNOWN_TWIN     1
#define NGX_ANALYTICS_KNOWN_STORED   2


typedef struct ngx_analytics_point_s  ngx_analytics_point_t;


typedef struct {
    ngx_str_t       user;              /* 1 to 255 bytes of UTF-8 */
    ngx_str_t       type;              /* likewise */
    ngx_str_t       properties;        /* a JSON object as sent, or empty */
    ngx_str_t       id;                /* the sender's own, or empty */
    int64_t         time;              /* microseconds; TIME_NONE: received */
    uint64_t        user_hash;         /* set by ngx_analytics_zone_hash() */
    uint64_t        type_hash;
    uint64_t        id_hash;           /* likewise, if there is an id */
    uint64_t        digest;
    ngx_uint_t      known;             /* its id was: not to be folded */

    /* what it adds to metrics, by these rules: ngx_analytics_point.h */
    const void             *rules;     /* NULL: was not looked up */
    ngx_analytics_point_t  *points;
    ngx_uint_t              npoints;
} ngx_analytics_event_t;


/* A name and how often it was counted. */
typedef struct {
    uint64_t        count;
    ngx_str_t       name;
} ngx_analytics_count_t;


/*
 * How events look as JSON: which member of an object holds what.  The same
 * mapping serves both ways.
 */
typedef struct {
    ngx_str_t       name;
    ngx_str_t       user;              /* names of members, */
    ngx_str_t       type;              /* or the constant, if constant */
    ngx_str_t       time;              /* empty: the time of receipt */
    ngx_str_t       properties;        /* empty: none are kept */
    ngx_str_t       id;                /* empty: events have none */
    int64_t         unit;              /* of time, usec; 0: RFC 3339 */

    ngx_str_t      *truncate;          /* members of properties: addresses */
    ngx_uint_t      ntruncate;

    ngx_str_t       keys[5];           /* "name": in this order, for writing */

    unsigned        integer:1;         /* the user is an integer */
    unsigned        constant:1;        /* the type is a constant */
    unsigned        rest:1;            /* properties: what is not mapped */
    unsigned        truncate_user:1;   /* if it is an address */
} ngx_analytics_format_t;


/*
 * Fills format->keys.  Returns NGX_OK, or NGX_ERROR if alloc failed.
 */
ngx_int_t ngx_analytics_format_init(ngx_analytics_format_t *format,
    ngx_analytics_alloc_pt alloc, void *ctx);

/*
 * Writes an accepted event in its format, with its id unless that is 0; an
 * event without a time of its own has that of its receipt.
 */
void ngx_analytics_event_write(ngx_analytics_writer_t *w,
    ngx_analytics_format_t *format, ngx_analytics_event_t *event,
    uint64_t id, int64_t received);

/* Writes a user as its format does: as an integer or a string. */
void ngx_analytics_user_write(ngx_analytics_writer_t *w,
    ngx_analytics_format_t *format, ngx_str_t *user);

/* Tells whether a text is what a format of integers takes. */
ngx_uint_t ngx_analytics_canonical_integer(ngx_str_t *text);

/* Of ngx_analytics_count_t, for qsort(): by name ascending by bytes, */
int ngx_libc_cdecl ngx_analytics_name_cmp(const void *one, const void *two);

/* and by count descending, then by name. */
int ngx_libc_cdecl ngx_analytics_count_cmp(const void *one, const void *two);


#endif /* _NGX_ANALYTICS_EVENT_H_INCLUDED_ */
