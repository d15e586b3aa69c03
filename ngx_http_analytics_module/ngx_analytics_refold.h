
/*
 * Refolding: what events before a metric's declaration add to it.
 *
 * Whoever has the lease folds them, a piece at a time and backwards, into a
 * zone of his own that has nothing but the metrics in question, and appends
 * what that holds to the log.  So everybody who folds the log has it from the
 * same place on, and nothing counts twice, whoever is killed when.
 *
 * The entries of a piece:
 *
 *     0x01    a group, numbered from 2 on as they come:
 *             *  points of it, and what was counted
 *             1  length of the name, and the name
 *     0x02    a chunk, as a checkpoint has it (see ngx_analytics_image.h), of
 *             series 0 (all), 1 (others) or a group's number; and 32768 above
 *             of a sketch of values below 0
 *     0x03    counts of the source, which may be known of other classes:
 *             *  values that were no numbers
 *             *  points before the hours that are kept
 *             *  points of groups without a place
 *             *  what was counted
 *             *  what of that had no group
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_REFOLD_H_INCLUDED_
#define _NGX_ANALYTICS_REFOLD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_record.h"
#include "ngx_analytics_rules.h"


/* bytes of entries in one record: an event loop may have to fold it */
#define NGX_ANALYTICS_REFOLD_MAX     (256 * 1024)


/* Metrics that lack events before the same number. */
typedef struct {
    ngx_uint_t      n;
    uint64_t        from;              /* the first that is in them */
    uint64_t        signatures[NGX_ANALYTICS_SOURCES_MAX];
    uint32_t        classes[NGX_ANALYTICS_SOURCES_MAX];
} ngx_analytics_refold_t;


/*
 * Locked, and in the order of the log.  Adds a piece, unless it does not join
 * on to what the metric has.  Transactions of its own; what was added of it
 * before is not added again.
 */
void ngx_analytics_refold_apply(ngx_analytics_zone_t *z,
    ngx_analytics_record_refold_t *refold);

/*
 * Locked.  Looks for metrics that lack events: of those that lack the fewest,
 * all.  Returns NGX_OK or NGX_DECLINED.
 */
ngx_int_t ngx_analytics_refold_wanted(ngx_analytics_zone_t *z,
    ngx_analytics_refold_t *wanted);

/*
 * Rules of a zone for a piece: the sources that are wanted, of a zone's
 * program.  Returns a text to be freed by free(), or NULL: no memory.
 */
char *ngx_analytics_refold_rules(ngx_analytics_rules_t *rules,
    ngx_analytics_refold_t *wanted);

/*
 * Writes the entries of a source that is in a zone of its own, at most size
 * bytes, at p.  Returns the end, or NULL if it is too small.
 */
u_char *ngx_analytics_refold_entries(ngx_analytics_zone_t *z,
    uint64_t signature, u_char *p, size_t size);


#endif /* _NGX_ANALYTICS_REFOLD_H_INCLUDED_ */
