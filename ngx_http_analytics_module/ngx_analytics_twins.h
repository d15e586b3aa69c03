
/*
 * Events of one body that have the same id of their own.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_TWINS_H_INCLUDED_
#define _NGX_ANALYTICS_TWINS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_decode.h"


/*
 * Looks, by d->key, for ids that stand twice among the decoded events, none
 * of which is known yet: of events that are the same the later ones become
 * known, and one that is another is an error.  Leaves its own values in
 * event->id_hash.
 * Returns NGX_OK, d->nerrors saying whether there were errors, or NGX_ERROR
 * if alloc failed.
 */
ngx_int_t ngx_analytics_twins(ngx_analytics_decode_t *d);


#endif /* _NGX_ANALYTICS_TWINS_H_INCLUDED_ */
