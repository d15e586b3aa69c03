
/*
 * The most active users: a heap with the weakest on top.  It is exact as
 * long as counts only grow: who belongs here got here with an event.  When
 * one is removed for good it is exact still, but shorter.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_TOP_H_INCLUDED_
#define _NGX_ANALYTICS_TOP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_layout.h"


/*
 * Words saved for undo, at most.  A heap of 1000 is 10 levels deep, and a
 * user moves at most once over each: the count, the user, and the place
 * that the user knows.  Then the size, and the user that had to go.
 */
#define NGX_ANALYTICS_TOP_WORDS  (10 * 3 + 2)

/* To be called when the count of a user has grown by one. */
void ngx_analytics_top_fold(ngx_analytics_zone_t *z, uint32_t block);

/* Removes a user that is in the heap. */
void ngx_analytics_top_remove(ngx_analytics_zone_t *z, uint32_t block);

/*
 * Copies the n strongest, unordered; top has room for the whole heap.
 * Returns how many there are.
 */
ngx_uint_t ngx_analytics_top_select(ngx_analytics_zone_t *z,
    ngx_analytics_top_t *top, ngx_uint_t n);


#endif /* _NGX_ANALYTICS_TOP_H_INCLUDED_ */
