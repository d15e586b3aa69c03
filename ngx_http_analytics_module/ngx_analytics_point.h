
/*
 * From an event to the points that it adds to sources: which of them it
 * belongs to, in which group, with which value.  That is looked up in its
 * properties in one pass, before anything is locked.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_POINT_H_INCLUDED_
#define _NGX_ANALYTICS_POINT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_event.h"
#include "ngx_analytics_rules.h"


#define NGX_ANALYTICS_NANO             1000000000

/* numbers beyond it are none here: their sums could not be exact */
#define NGX_ANALYTICS_NUMBER_MAX       NGX_ANALYTICS_INT_MAX

/* a name of a group is cut there */
#define NGX_ANALYTICS_GROUP_MAX        255

/* memory for the points of one event is enough with so many bytes */
#define NGX_ANALYTICS_POINTS_SIZE                                             \
    (NGX_ANALYTICS_SOURCES_MAX * (sizeof(ngx_analytics_point_t)               \
                                  + NGX_ANALYTICS_GROUP_MAX + 1))

/* ngx_analytics_point_t.flags */
#define NGX_ANALYTICS_POINT_NUMBER     0x01    /* whole, nano, value are set */
#define NGX_ANALYTICS_POINT_SKIPPED    0x02    /* it is there, but no number */
#define NGX_ANALYTICS_POINT_UNIQUE     0x04    /* distinct is set */
#define NGX_ANALYTICS_POINT_FIELD      0x08    /* the source has a field */


struct ngx_analytics_point_s {
    ngx_str_t                group;        /* empty: there is none */
    uint64_t                 hash;         /* of it, with the zone's key */
    uint64_t                 distinct;     /* of the value, likewise */
    int64_t                  whole;        /* the value, rounded down, */
    uint32_t                 nano;         /* and billionths above that */
    uint16_t                 bin;          /* of a sketch, of its size */
    uint8_t                  source;
    uint8_t                  flags;
    double                   value;
};


/*
 * Makes the points of an event, hashed with the key; memory comes from alloc
 * and holds texts, too, where they cannot be slices of the properties.  Sets
 * event->points, npoints and rules.  The user's hash must be known.
 * Returns NGX_OK, or NGX_ERROR if alloc failed: then rules is NULL.
 */
ngx_int_t ngx_analytics_points_make(ngx_analytics_rules_t *rules,
    ngx_analytics_event_t *event, const uint64_t key[2],
    ngx_analytics_alloc_pt alloc, void *ctx);

/*
 * The plans of rules are made with them: which sources an event's type belongs
 * to, and what is to be looked up for them.  They are in the rules' memory.
 * Return NGX_OK; NGX_DECLINED and *why if something is malformed; NGX_ERROR.
 */
ngx_int_t ngx_analytics_plans_make(ngx_analytics_rules_t *rules,
    ngx_analytics_alloc_pt alloc, void *ctx, const char **why);

/*
 * A JSON number as whole + nano / 10^9, what is behind that rounded to the
 * nearest.  Returns NGX_OK, or NGX_DECLINED if it is out of range.
 */
ngx_int_t ngx_analytics_number_parse(const ngx_str_t *text, int64_t *whole,
    uint32_t *nano);


#endif /* _NGX_ANALYTICS_POINT_H_INCLUDED_ */
