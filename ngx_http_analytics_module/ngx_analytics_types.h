
/*
 * The types of events.  An id is given once and never again; id 0 is
 * "other", which takes in all types that no longer fit.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_TYPES_H_INCLUDED_
#define _NGX_ANALYTICS_TYPES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_layout.h"


/* words saved for undo, at most: the bucket and how many, or two counts */
#define NGX_ANALYTICS_TYPES_WORDS  2

void ngx_analytics_types_init(ngx_analytics_zone_t *z);

/* Counts the event in its type.  Returns the type's id. */
ngx_uint_t ngx_analytics_types_fold(ngx_analytics_zone_t *z,
    ngx_analytics_event_t *event);

/*
 * A transaction of its own: takes in a type that is not in the table, by the
 * ids in order.  One that no longer fits counts as "other".
 */
void ngx_analytics_types_restore(ngx_analytics_zone_t *z, ngx_uint_t id,
    ngx_str_t *name, uint64_t count);


#endif /* _NGX_ANALYTICS_TYPES_H_INCLUDED_ */
