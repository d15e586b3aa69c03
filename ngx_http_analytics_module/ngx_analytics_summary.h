
/*
 * The usage summary: of a list of events, or of what a zone knows.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_SUMMARY_H_INCLUDED_
#define _NGX_ANALYTICS_SUMMARY_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_decode.h"


typedef struct {
    uint64_t                   events;
    uint64_t                   users;             /* distinct */
    ngx_analytics_count_t     *names;             /* users, by name */
    ngx_uint_t                 nnames;            /* may be less than users */
    ngx_analytics_count_t     *types;             /* by name */
    ngx_uint_t                 ntypes;
    ngx_analytics_count_t      most_active;

    uint64_t                   hour_of_day[24];   /* UTC */
    int64_t                    peak_second;       /* microseconds */
    uint64_t                   peak_second_count; /* 0: not known */
    int64_t                    peak_hour;         /* microseconds */
    uint64_t                   peak_hour_count;

    unsigned                   seconds:1;         /* peak_second is shown */
} ngx_analytics_summary_t;


/*
 * Summarises the decoded events; those without a time happened at now.  key
 * is random, for hash tables.  Memory comes from d->alloc; names are slices
 * of the events'.
 * Returns NGX_OK, or NGX_ERROR if alloc failed.
 */
ngx_int_t ngx_analytics_summarise(ngx_analytics_decode_t *d,
    const uint64_t key[2], int64_t now, ngx_analytics_summary_t *summary);

/* Sets summary->most_active by the names, which are sorted. */
void ngx_analytics_summary_most_active(ngx_analytics_summary_t *summary);

/* Writes the summary as JSON. */
void ngx_analytics_summary_write(ngx_analytics_writer_t *w,
    ngx_analytics_summary_t *summary);

#endif /* _NGX_ANALYTICS_SUMMARY_H_INCLUDED_ */
