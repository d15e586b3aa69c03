
/*
 * What earlier events add to metrics, read from a segment of the log.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_REFOLD_LOG_H_INCLUDED_
#define _NGX_ANALYTICS_REFOLD_LOG_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_layout.h"
#include "ngx_analytics_reader.h"
#include "ngx_analytics_refold.h"


typedef struct ngx_analytics_refold_piece_s  ngx_analytics_refold_piece_t;

struct ngx_analytics_refold_piece_s {
    ngx_analytics_refold_piece_t   *next;
    ngx_analytics_record_refold_t   refold;  /* its entries lie behind it */
};


typedef struct {
    int                            dir;
    const char                    *path;
    uint64_t                       end;      /* of the log that is read */
    ngx_analytics_refold_t        *wanted;
    ngx_analytics_program_t        program;  /* ngx_analytics_refold_rules() */
    ngx_analytics_zone_conf_t      conf;     /* types and key of the zone */
    int64_t                        now;      /* microseconds */

    /* for a zone; clear() makes it read as zeros, and says NGX_OK */
    void                          *memory;
    size_t                         size;
    ngx_int_t                    (*clear)(void *ctx);

    /* called after each record, if not NULL; gives up unless NGX_OK */
    ngx_int_t                    (*progress)(void *ctx);
    void                          *ctx;

    /* the answer: pieces in the order in which they are to be appended */
    ngx_analytics_refold_piece_t  *pieces;
    uint64_t                       from;     /* the first event behind them */

    /* of the work */
    ngx_analytics_zone_t          *zone;
    uint64_t                       to;
    int64_t                        since;
    uint32_t                       look;
    u_char                        *entries;
} ngx_analytics_refold_log_t;


/*
 * Folds the events of the segment at a position that are before to.  Returns
 * NGX_OK, and pieces, of which there are none if the segment has no such
 * events; free them.  Or NGX_ERROR and *fail, whose text is empty if
 * progress() gave up.
 */
ngx_int_t ngx_analytics_refold_segment(ngx_analytics_refold_log_t *job,
    uint64_t position, uint64_t to, ngx_analytics_fail_t *fail);
void ngx_analytics_refold_free(ngx_analytics_refold_log_t *job);


#endif /* _NGX_ANALYTICS_REFOLD_LOG_H_INCLUDED_ */
