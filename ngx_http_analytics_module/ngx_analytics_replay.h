
/*
 * From the log to a zone: catching up, and rebuilding.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_REPLAY_H_INCLUDED_
#define _NGX_ANALYTICS_REPLAY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_reader.h"
#include "ngx_analytics_zone.h"


/* The zone to fold into, and how it is locked. */
typedef struct {
    ngx_analytics_zone_t    *zone;
    ngx_int_t              (*lock)(void *ctx);   /* NULL: nobody else has it */
    void                   (*unlock)(void *ctx);
    void                    *ctx;

    /* told about damage, with what was skipped; may be NULL */
    void                   (*damaged)(void *ctx, uint64_t segment,
                                  uint64_t from, uint64_t to);

    /* called after each record, if not NULL; gives up unless NGX_OK */
    ngx_int_t              (*progress)(void *ctx, uint64_t position);

    /*
     * Of a zone that was there before: an erasure from that position on of
     * which the log does not tell any more whose it was.  The zone may know
     * the user: missed is set, and it is given up.
     */
    ngx_uint_t               live;
    uint64_t                 live_from;
    ngx_uint_t               missed;
} ngx_analytics_target_t;


/*
 * Folds the log from the zone's position to limit, which is the end of a
 * record.  Others must not fold into this zone meanwhile: the caller has the
 * append lock, or the zone is not served yet.  What was folded of a record
 * before is not folded again.
 * Returns NGX_OK, or NGX_ERROR and *fail (err 0 and an empty text if lock()
 * or progress() gave up, or an erasure was missed).
 */
ngx_int_t ngx_analytics_replay(ngx_analytics_target_t *target, int dir,
    const char *path, uint64_t limit, ngx_analytics_fail_t *fail);


/* Locked.  Notes a request's key as a record of that time of receipt has it. */
void ngx_analytics_replay_key(ngx_analytics_zone_t *z,
    ngx_analytics_record_key_t *key, int64_t received);


#endif /* _NGX_ANALYTICS_REPLAY_H_INCLUDED_ */
