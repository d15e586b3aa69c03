
/*
 * Numbers over time: what the configuration declares, and what is asked of it.
 *
 *     metric, table, report, alert -> sources (ngx_analytics_rules.h)
 *     metrics, tables, reports -> range -> figures -> reply
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_HTTP_ANALYTICS_METRICS_H_INCLUDED_
#define _NGX_HTTP_ANALYTICS_METRICS_H_INCLUDED_


#include "ngx_http_analytics.h"
#include "ngx_analytics_figures.h"
#include "ngx_analytics_rules.h"


#define NGX_HTTP_ANALYTICS_METRICS_MAX  128


typedef enum {
    NGX_HTTP_ANALYTICS_COUNT = 0,
    NGX_HTTP_ANALYTICS_SUM,
    NGX_HTTP_ANALYTICS_AVG,
    NGX_HTTP_ANALYTICS_MIN,
    NGX_HTTP_ANALYTICS_MAX,
    NGX_HTTP_ANALYTICS_QUANTILE,
    NGX_HTTP_ANALYTICS_UNIQUE,

    /* of all users, whatever they do: these are of no source */
    NGX_HTTP_ANALYTICS_ACTIVE,
    NGX_HTTP_ANALYTICS_SESSIONS,
    NGX_HTTP_ANALYTICS_SESSION_TIME,
    NGX_HTTP_ANALYTICS_NEW_USERS,
    NGX_HTTP_ANALYTICS_USERS
} ngx_http_analytics_metric_e;


/* A metric of the configuration. */
typedef struct {
    ngx_str_t                  name;
    ngx_str_t                  kind;         /* as it is written */
    ngx_uint_t                 what;         /* ngx_http_analytics_metric_e */
    ngx_uint_t                 thousandths;  /* of a quantile */
    ngx_str_t                  unit;         /* empty: none */
    ngx_uint_t                 source;       /* of the zone's rules */
    ngx_uint_t                 classes;      /* of it that this needs */
    uint64_t                   signature;    /* of it; set by ..._init() */
} ngx_http_analytics_metric_t;


/* What a zone declares; in the order of the configuration. */
struct ngx_http_analytics_metrics_s {
    ngx_array_t                metrics;      /* ngx_http_analytics_metric_t */
    ngx_array_t                sources;      /* ngx_analytics_source_t */
    ngx_array_t                tables;       /* ngx_http_analytics_table_t */
    ngx_array_t                reports;      /* ngx_http_analytics_report_t */
    ngx_analytics_timezone_t   timezone;
    int64_t                    session;      /* microseconds */
    ngx_analytics_rules_t     *rules;        /* of all of it */
};


/* Metrics side by side. */
typedef struct {
    ngx_str_t                  name;
    ngx_array_t                columns;      /* ngx_http_analytics_member_t */
} ngx_http_analytics_table_t;


/* A member of an answer: a metric of a table, or a table of a view. */
typedef struct {
    ngx_str_t                     name;
    ngx_http_analytics_metric_t  *metric;
    ngx_http_analytics_table_t   *table;
    ngx_str_t                     of;        /* the table's name */
} ngx_http_analytics_member_t;


typedef enum {
    NGX_HTTP_ANALYTICS_DAYS = 0,
    NGX_HTTP_ANALYTICS_DAY,
    NGX_HTTP_ANALYTICS_RANGE,
    NGX_HTTP_ANALYTICS_LAST,
    NGX_HTTP_ANALYTICS_NOW,
    NGX_HTTP_ANALYTICS_GROUPS
} ngx_http_analytics_shape_e;


/* What a location with "analytics_table" shows. */
struct ngx_http_analytics_view_s {
    ngx_http_analytics_zone_t  *zone;
    ngx_uint_t                 shape;        /* ngx_http_analytics_shape_e */
    ngx_str_t                  group;        /* the member of GROUPS */
    ngx_array_t                tables;       /* ngx_http_analytics_member_t */
    u_char                    *file;
    ngx_uint_t                 line;
};


/*
 * The lines of "analytics_zone": before its first, for each of its lines
 * (NGX_OK and what its handler is to return, or NGX_DECLINED if it is
 * another's line), and behind its last.
 */
ngx_int_t ngx_http_analytics_zone_metrics_unset(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
ngx_int_t ngx_http_analytics_zone_metrics_line(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, char **rv);
char *ngx_http_analytics_zone_metrics_init(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);

/* Whether a text may be the name of a metric, a table and so on. */
ngx_uint_t ngx_http_analytics_is_name(ngx_str_t *name);

/* What is shown in JSON and in HTML: UTF-8 without control characters. */
ngx_uint_t ngx_http_analytics_is_text(ngx_str_t *text);

/* Returns NULL if there is none of that name. */
ngx_http_analytics_metric_t *ngx_http_analytics_metric_named(
    ngx_http_analytics_zone_t *zone, ngx_str_t *name);


/* tables: ngx_http_analytics_conf_table.c */

char *ngx_http_analytics_zone_table(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
ngx_http_analytics_table_t *ngx_http_analytics_table_named(
    ngx_http_analytics_zone_t *zone, ngx_str_t *name);

/* Reads the arguments of "analytics_table", behind the zone. */
char *ngx_http_analytics_conf_view(ngx_conf_t *cf,
    ngx_http_analytics_loc_conf_t *alcf);

/* Looks tables up by name; NGX_ERROR, with a message, if one is unknown. */
ngx_int_t ngx_http_analytics_check_views(ngx_conf_t *cf);


/* ranges of time: ngx_http_analytics_buckets.c */

typedef enum {
    NGX_HTTP_ANALYTICS_BY_MINUTE = 0,
    NGX_HTTP_ANALYTICS_BY_HOUR,
    NGX_HTTP_ANALYTICS_BY_DAY,
    NGX_HTTP_ANALYTICS_BY_WEEK,
    NGX_HTTP_ANALYTICS_BY_MONTH
} ngx_http_analytics_interval_e;


typedef struct {
    ngx_uint_t                 interval;     /* ..._interval_e */
    ngx_uint_t                 level;        /* MINUTES, HOURS or DAYS */
    int64_t                    first;        /* number of the first cell */
    ngx_uint_t                 cells;
    ngx_uint_t                 n;            /* buckets, 1 or more */
    ngx_analytics_timezone_t  *timezone;

    ngx_str_t                 *field;        /* the parameter that is wrong */
    const char                *detail;
} ngx_http_analytics_buckets_t;


/*
 * By the parameters start, end and interval of a request.  Returns NGX_OK (and
 * field is "interval"), or NGX_ERROR after setting field and detail.
 */
ngx_int_t ngx_http_analytics_buckets_read(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_buckets_t *b);

/* The days from first to last. */
void ngx_http_analytics_buckets_days(ngx_http_analytics_zone_t *zone,
    int64_t first, int64_t last, ngx_http_analytics_buckets_t *b);

/*
 * The last n hours or days, at most, that are over, and of these what does not
 * begin before an instant, which may be none.
 */
void ngx_http_analytics_buckets_past(ngx_http_analytics_zone_t *zone,
    ngx_uint_t interval, ngx_uint_t n, ngx_http_analytics_buckets_t *b);
void ngx_http_analytics_buckets_since(ngx_http_analytics_buckets_t *b,
    int64_t usec);

/* How many cells the bucket has that begins with that one. */
ngx_uint_t ngx_http_analytics_buckets_cells(ngx_http_analytics_buckets_t *b,
    int64_t cell);

/* When a cell begins, microseconds. */
int64_t ngx_http_analytics_buckets_start(ngx_http_analytics_buckets_t *b,
    int64_t cell);

/* The same, as a date or a time. */
void ngx_http_analytics_buckets_write(ngx_analytics_writer_t *w,
    ngx_http_analytics_buckets_t *b, int64_t cell);

/*
 * A bucket, and when it begins; from the first one to the next ones.  What is
 * behind the text is of no meaning.
 */
typedef struct {
    int64_t                    cell;         /* its first */
    size_t                     len;
    u_char                     text[32];     /* a date or a time, quoted */
} ngx_http_analytics_bucket_t;

void ngx_http_analytics_bucket_first(ngx_http_analytics_buckets_t *b,
    ngx_http_analytics_bucket_t *bucket);
void ngx_http_analytics_bucket_next(ngx_http_analytics_buckets_t *b,
    ngx_http_analytics_bucket_t *bucket);

ngx_str_t *ngx_http_analytics_interval_name(ngx_http_analytics_buckets_t *b);

/* The day that it is in the zone's time zone. */
int64_t ngx_http_analytics_today(ngx_http_analytics_zone_t *zone);


/* figures: ngx_http_analytics_column.c, ngx_http_analytics_column_users.c */

typedef enum {
    NGX_HTTP_ANALYTICS_NONE = 0,             /* the average of nothing */
    NGX_HTTP_ANALYTICS_NUMBER,               /* whole + nano / 10^9, exactly */
    NGX_HTTP_ANALYTICS_REAL,
    NGX_HTTP_ANALYTICS_SENT,                 /* real, of one event */
    NGX_HTTP_ANALYTICS_ESTIMATE              /* real, of a few digits */
} ngx_http_analytics_value_e;


typedef struct {
    ngx_http_analytics_value_e  kind;
    uint32_t                   nano;
    int64_t                    whole;
    double                     real;
} ngx_http_analytics_value_t;


/*
 * Ranges of days whose active users have to be counted one by one, which
 * takes a thread when there are many: ngx_http_analytics_active.c.
 */
typedef struct ngx_http_analytics_active_s  ngx_http_analytics_active_t;


/* What is asked for; zeroed before. */
typedef struct {
    ngx_http_analytics_zone_t     *zone;
    ngx_http_analytics_metric_t   *metric;
    ngx_http_analytics_buckets_t  *buckets;
    ngx_uint_t                     group;    /* GROUP_ALL, ..., see figures */

    /* of what was counted on a thread; NULL: this is on a thread itself */
    ngx_http_analytics_active_t   *active;

    /* nobody looks at the total, which takes its time */
    ngx_uint_t                     parts;

    /* the answer: of each bucket, if it is not NULL, and of all of them */
    ngx_http_analytics_value_t    *values;
    ngx_http_analytics_value_t     total;

    /* kept for the next question of the same metric and buckets */
    uint64_t                      *planes[5];
    void                          *scratch;
} ngx_http_analytics_column_t;


/*
 * Whether it is merged of sketches or registers, one a cell; and how many of
 * them an event loop may merge.
 */
#define ngx_http_analytics_metric_merged(metric)                              \
    ((metric)->what == NGX_HTTP_ANALYTICS_QUANTILE                            \
     || (metric)->what == NGX_HTTP_ANALYTICS_UNIQUE)

#define NGX_HTTP_ANALYTICS_MERGES_QUICK  500

/*
 * Answers it.  Returns NGX_OK, NGX_DECLINED if the zone is damaged or there is
 * no memory for what it holds, NGX_ERROR if there is no memory, or NGX_AGAIN:
 * ngx_http_analytics_active_wait() is to be called, of a request's only.
 */
ngx_int_t ngx_http_analytics_column(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c);

/*
 * Takes the memory for quantiles and distinct values, so that a thread, which
 * has no pool, may ask for them.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_http_analytics_column_ready(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c);
ngx_int_t ngx_http_analytics_column_users(ngx_pool_t *pool,
    ngx_http_analytics_column_t *c);

/* How many users were active from day first to last: asks each of them. */
ngx_int_t ngx_http_analytics_column_active_each(
    ngx_http_analytics_zone_t *zone, int64_t first, int64_t last,
    uint64_t *active);

/* Those of a request; NULL: there is no memory. */
ngx_http_analytics_active_t *ngx_http_analytics_active(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone);

/*
 * How many were active from day first to last.  Returns NGX_OK, or NGX_AGAIN
 * if it is not known: then it is what is waited for next.
 */
ngx_int_t ngx_http_analytics_active_known(ngx_http_analytics_active_t *active,
    int64_t first, int64_t last, uint64_t *n);

/* ngx_http_analytics_kept_state() of before anything was counted. */
uint64_t ngx_http_analytics_active_state(ngx_http_analytics_active_t *active);

/*
 * Something else that a thread is to do for the request before its handler is
 * called again; it takes longer than an event loop may, and returns NGX_OK, or
 * NGX_DECLINED: the zone is damaged.  data is of the request's pool.
 */
void ngx_http_analytics_active_job(ngx_http_analytics_active_t *active,
    ngx_int_t (*run)(void *data), void *data);

/* What was given to that last; NULL: nothing. */
void *ngx_http_analytics_active_data(ngx_http_analytics_active_t *active);

/*
 * Has a thread count, and calls the location's handler again.  Returns what a
 * content handler returns.
 */
void ngx_http_analytics_active_init(void);
ngx_int_t ngx_http_analytics_active_wait(ngx_http_request_t *r);

/* Why a metric has no such buckets, or NULL. */
const char *ngx_http_analytics_column_interval(
    ngx_http_analytics_metric_t *metric, ngx_http_analytics_buckets_t *b);

/*
 * A whole number; as a double, 0 if there is none; as JSON, and instead of
 * none a few bytes, into VALUE_LEN bytes, which returns the position behind
 * it, or at the end of what is written.
 */
#define NGX_HTTP_ANALYTICS_VALUE_LEN  32

void ngx_http_analytics_number(ngx_http_analytics_value_t *value, uint64_t n);
double ngx_http_analytics_value_real(ngx_http_analytics_value_t *value);
u_char *ngx_http_analytics_value_format(u_char *p,
    ngx_http_analytics_value_t *value, const char *none);
void ngx_http_analytics_value_write(ngx_analytics_writer_t *w,
    ngx_http_analytics_value_t *value, const char *none);


/* what a forecast is made of: ngx_http_analytics_history.c */

/* Values by the local clock, the oldest first; all finite. */
typedef struct {
    size_t                     season;       /* values in one; set before */
    double                    *values;
    size_t                     n;
    size_t                     empty;        /* buckets without a value */
    unsigned                   negative:1;   /* there are such values */
} ngx_http_analytics_history_t;


/*
 * Of the values of buckets by hour or by day; begins at the first one with
 * something in it, and makes the buckets begin there, too.
 *
 * People live by the local clock, and so do seasons: an hour that the clock
 * shows twice is the mean of both, and one that it leaves out, as one without
 * a value, is as that of the season before.
 *
 * NGX_OK, or NGX_ERROR if there is no memory, or the time zone is absurd.
 */
ngx_int_t ngx_http_analytics_history(ngx_pool_t *pool,
    ngx_http_analytics_buckets_t *b, ngx_http_analytics_value_t *values,
    ngx_http_analytics_history_t *history);

/*
 * A number that goes on with what the clock shows, or with the days: what is a
 * season apart in it has the same place in the season.
 */
int64_t ngx_http_analytics_history_clock(ngx_http_analytics_buckets_t *b,
    int64_t cell);

/* Whether too many of the buckets are without a value. */
ngx_uint_t ngx_http_analytics_history_sparse(ngx_http_analytics_buckets_t *b,
    ngx_http_analytics_history_t *history);


/* what else is known of a metric: ngx_http_analytics_metric_known.c */

typedef struct {
    ngx_uint_t                       n;      /* groups, those with most first */
    ngx_analytics_figures_group_t   *groups;
    ngx_uint_t                       others; /* there is "other", too */
    int64_t                          since;  /* complete since; 0: always */
    uint64_t                         skipped;  /* values, no numbers */
    uint64_t                         counted;  /* a count of all time, */
    uint64_t                         rest;     /* and of it without a group */
    unsigned                         inexact:1;
} ngx_http_analytics_known_t;


/*
 * With so many groups, at most, and their names; since is of these buckets, or
 * of hours and days if b is NULL.  Returns NGX_OK, NGX_DECLINED if the zone is
 * damaged, or NGX_ERROR.
 */
ngx_int_t ngx_http_analytics_metric_known(ngx_pool_t *pool,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric,
    ngx_uint_t groups, ngx_http_analytics_buckets_t *b,
    ngx_http_analytics_known_t *known);

/* How many groups it has at most; 0: none. */
ngx_uint_t ngx_http_analytics_metric_grouped(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_metric_t *metric);


/* ngx_http_analytics_metrics.c */

/*
 * What is known of a metric of which a request asks: all of its groups, or, by
 * group=NAME, one and no others, and *given.  Returns NGX_DECLINED, or what a
 * content handler does.
 */
ngx_int_t ngx_http_analytics_metric_asked(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric,
    ngx_http_analytics_buckets_t *b, ngx_http_analytics_known_t *known,
    ngx_uint_t *given);

/* "metric":...,"type":...,"unit":..., and how wrong an estimate may be. */
void ngx_http_analytics_metric_about(ngx_analytics_writer_t *w,
    ngx_http_analytics_metric_t *metric);

/* ,"skipped":...,"complete_since":...: values that are none, and the past. */
void ngx_http_analytics_metric_since(ngx_analytics_writer_t *w,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric,
    ngx_http_analytics_known_t *known);


/* the figures of one metric: ngx_http_analytics_metric_series.c */

/* Zeroed before; c.buckets are its own, n and known are set. */
typedef struct {
    ngx_http_analytics_column_t    c;
    ngx_http_analytics_buckets_t   buckets;
    ngx_http_analytics_known_t     known;
    uint64_t                       key[2];   /* by which the answer is kept */
    ngx_uint_t                     n;        /* of all, of each group, others */

    /* of all series that are merged, or of the one that is being written */
    ngx_http_analytics_value_t    *values;
    ngx_http_analytics_value_t    *totals;   /* of those that are merged */
} ngx_http_analytics_series_t;


/* How many sketches, or days of registers, have to be merged for it. */
ngx_uint_t ngx_http_analytics_series_merges(ngx_http_analytics_series_t *s);

/* Takes memory.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_analytics_series_ready(ngx_pool_t *pool,
    ngx_http_analytics_series_t *s);

/*
 * Merges all, also on a thread: data are the series.  Before others are
 * written that is not needed.  NGX_OK, or NGX_DECLINED: the zone is damaged.
 */
ngx_int_t ngx_http_analytics_series_merge(void *data);

/* Writes them, as a metric's answer.  Returns what a column does. */
ngx_int_t ngx_http_analytics_series_write(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_series_t *s);


/* answers that are kept: ngx_http_analytics_kept.c */

/*
 * Copies what was kept under that key, of two numbers, and in that state.
 * Returns NGX_OK, NGX_DECLINED if there is nothing, or NGX_ERROR if there is
 * no memory.
 */
ngx_int_t ngx_http_analytics_kept_find(const uint64_t *key, uint64_t state,
    ngx_pool_t *pool, ngx_str_t *text);

/* Keeps a text, in the place of one of the same key, if there is memory. */
void ngx_http_analytics_kept_add(const uint64_t *key, uint64_t state,
    ngx_str_t *text);

/*
 * For answers that are made of nothing but what is in a zone: it is another
 * one as soon as something has changed there, whoever did it.
 */
uint64_t ngx_http_analytics_kept_state(ngx_http_analytics_zone_t *zone);


/* A forecast of it: ngx_http_analytics_forecast.c, ..._forecast_task.c */
void ngx_http_analytics_forecast_init(void);
ngx_int_t ngx_http_analytics_forecast(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_metric_t *metric);

ngx_int_t ngx_http_analytics_metrics_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_analytics_prometheus_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_analytics_table_handler(ngx_http_request_t *r);

/*
 * [{MEMBER:...,COLUMNS},...] of the groups of a table:
 * ngx_http_analytics_table_groups.c.  NGX_OK, NGX_ERROR, NGX_DECLINED if the
 * zone is damaged, NGX_DONE if it would take too long, or NGX_AGAIN:
 * ngx_http_analytics_active_wait() is to be called.
 */
ngx_int_t ngx_http_analytics_table_groups(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_view_t *view,
    ngx_http_analytics_table_t *table, ngx_http_analytics_buckets_t *b);

/* "NAME": with a comma in front of it, if it is not the first. */
void ngx_http_analytics_table_member(ngx_analytics_writer_t *w,
    ngx_str_t *name, ngx_uint_t first);


#endif /* _NGX_HTTP_ANALYTICS_METRICS_H_INCLUDED_ */
