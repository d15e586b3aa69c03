
/*
 * Reports: metrics of a day, a week or a month, beside those of the one
 * before.
 *
 *     declared -> period -> issue, or what was kept of it -> JSON, CSV, HTML
 *
 * An issue is what a report says of one period.  That of a period which is
 * over is kept as it was sent, in the memory of the process, with a
 * fingerprint of all that it was made of: where that is another, it is made
 * anew.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_HTTP_ANALYTICS_REPORT_H_INCLUDED_
#define _NGX_HTTP_ANALYTICS_REPORT_H_INCLUDED_


#include "ngx_http_analytics_metrics.h"


#define NGX_HTTP_ANALYTICS_REPORTS_MAX  64        /* in a zone */
#define NGX_HTTP_ANALYTICS_PARTS_MAX    32        /* metrics in one */
#define NGX_HTTP_ANALYTICS_PERIOD_LEN   16        /* of its name */
#define NGX_HTTP_ANALYTICS_ROWS_MAX     10        /* groups that are shown */


/* A report of the configuration. */
typedef struct {
    ngx_str_t                      name;
    ngx_str_t                      title;
    ngx_uint_t                     every;     /* ..._interval_e: BY_DAY, ... */
    ngx_array_t                    metrics;   /* ..._metric_t * */
} ngx_http_analytics_report_t;


/* A day, an ISO week or a month: days since 1970, both included. */
typedef struct {
    ngx_uint_t                     every;
    int64_t                        first;
    int64_t                        last;
} ngx_http_analytics_period_t;


typedef enum {
    NGX_HTTP_ANALYTICS_REPORT_JSON = 0,
    NGX_HTTP_ANALYTICS_REPORT_CSV,
    NGX_HTTP_ANALYTICS_REPORT_HTML
} ngx_http_analytics_report_format_e;


/* A value and the one of the period before. */
typedef struct {
    ngx_str_t                      name;      /* of a group */
    ngx_http_analytics_value_t     value;
    ngx_http_analytics_value_t     previous;
} ngx_http_analytics_row_pair_t;


/* A metric of an issue. */
typedef struct {
    ngx_http_analytics_metric_t   *metric;
    ngx_http_analytics_row_pair_t  total;
    int64_t                        since;     /* see ..._known_t */
    ngx_http_analytics_value_t    *values;    /* of the series; NULL: none */
    ngx_uint_t                     nrows;
    ngx_http_analytics_row_pair_t *rows;      /* "other" is the last, */
    ngx_uint_t                     other;     /* if it is there */
    ngx_uint_t                     grouped;
} ngx_http_analytics_part_t;


typedef struct {
    ngx_pool_t                    *pool;
    ngx_http_analytics_zone_t     *zone;
    ngx_http_analytics_report_t   *report;
    ngx_uint_t                     format;    /* ..._report_format_e */

    ngx_http_analytics_period_t    period;
    ngx_http_analytics_period_t    previous;
    ngx_uint_t                     closed;
    ngx_uint_t                     oldest;    /* none comes before it */

    int64_t                        computed;  /* microseconds */
    uint64_t                       key[2];    /* report, period, format: see */
    uint64_t                       state;     /* ..._kept_find(); and of what */
                                              /* it was made */

    ngx_http_analytics_buckets_t   days;      /* the period as one bucket, */
    ngx_http_analytics_buckets_t   before;    /* the one before, */
    ngx_http_analytics_buckets_t   series;    /* and in days, or hours */
    ngx_uint_t                     inexact;
    ngx_http_analytics_part_t     *parts;     /* in the report's order */
} ngx_http_analytics_issue_t;


/* report NAME every=... metrics=...; in "analytics_zone" */
char *ngx_http_analytics_zone_report(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);


/* periods: ngx_http_analytics_report_period.c */

/* The one that a day is in. */
void ngx_http_analytics_period_of(ngx_http_analytics_period_t *period,
    ngx_uint_t every, int64_t day);

/* The n-th one behind another, or before it if n is less than 0. */
void ngx_http_analytics_period_move(ngx_http_analytics_period_t *period,
    ngx_http_analytics_period_t *from, int64_t n);

/*
 * Reads "2024-03-14", "2024-W11" or "2024-03", as every says.  Returns NGX_OK,
 * or NGX_ERROR: it is none, or there is no such day or week.
 */
ngx_int_t ngx_http_analytics_period_parse(ngx_http_analytics_period_t *period,
    ngx_uint_t every, ngx_str_t *text);

/* The same, written into PERIOD_LEN bytes at buf. */
void ngx_http_analytics_period_name(ngx_http_analytics_period_t *period,
    u_char *buf, ngx_str_t *name);


/* figures: ngx_http_analytics_report_figures.c */

/*
 * What stands in an issue before its figures are known: days, before, series,
 * and state, by which a kept one is told from one that is to be made anew.
 * Returns NGX_OK, NGX_DECLINED if the zone is damaged, or NGX_ERROR if there
 * is no memory.
 */
ngx_int_t ngx_http_analytics_issue_init(ngx_http_analytics_issue_t *issue);

/* Figures of all parts.  The same. */
ngx_int_t ngx_http_analytics_issue_compute(ngx_http_analytics_issue_t *issue);

/*
 * By how much a value is more than the one before, as a fraction of that.
 * Returns 0 if that cannot be said.
 */
ngx_uint_t ngx_http_analytics_change(ngx_http_analytics_row_pair_t *row,
    double *change);


/* texts: ngx_http_analytics_report_write.c, ngx_http_analytics_report_html.c */

void ngx_http_analytics_issue_json(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue);
void ngx_http_analytics_issue_csv(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue);
void ngx_http_analytics_issue_html(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue);

/* When a bucket of the series begins, into NGX_ANALYTICS_TIME_LEN bytes. */
void ngx_http_analytics_issue_time(ngx_http_analytics_issue_t *issue,
    ngx_uint_t i, u_char *buf, ngx_str_t *time);

/* By which Content-Security-Policy lets the page's style in, and no more. */
ngx_int_t ngx_http_analytics_issue_policy(ngx_pool_t *pool,
    ngx_str_t *policy);


ngx_int_t ngx_http_analytics_reports_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_ANALYTICS_REPORT_H_INCLUDED_ */
