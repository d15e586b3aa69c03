
/*
 * What a report says of a period: figures of its metrics, by day (or hour)
 * and group, beside those of the period before; and by what it is known
 * whether they can have changed.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_report.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_layout.h"
#include "ngx_analytics_point.h"


/* days of one period and of the one before, at most */
#define NGX_HTTP_ANALYTICS_ISSUE_DAYS  62


static void ngx_http_analytics_issue_bucket(ngx_http_analytics_issue_t *issue,
    ngx_http_analytics_period_t *period, ngx_http_analytics_buckets_t *b);
static void ngx_http_analytics_issue_series(
    ngx_http_analytics_issue_t *issue);
static ngx_int_t ngx_http_analytics_issue_days(
    ngx_http_analytics_issue_t *issue);
static ngx_int_t ngx_http_analytics_issue_metric(
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part);
static void ngx_http_analytics_issue_mix(ngx_http_analytics_issue_t *issue,
    const void *data, size_t len);
static ngx_int_t ngx_http_analytics_part_compute(
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part);
static ngx_int_t ngx_http_analytics_part_value(
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part,
    ngx_uint_t group, ngx_http_analytics_row_pair_t *row);
static ngx_int_t ngx_http_analytics_part_series(
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part);
static ngx_int_t ngx_http_analytics_part_groups(
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part);
static ngx_int_t ngx_http_analytics_part_others(
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part,
    ngx_uint_t n);
static ngx_uint_t ngx_http_analytics_part_shown(
    ngx_http_analytics_part_t *part, ngx_uint_t n);
static ngx_uint_t ngx_http_analytics_part_adds(
    ngx_http_analytics_part_t *part);
static void ngx_http_analytics_value_add(ngx_http_analytics_value_t *sum,
    ngx_http_analytics_value_t *value);
static ngx_uint_t ngx_http_analytics_row_empty(
    ngx_http_analytics_row_pair_t *row);
static int ngx_libc_cdecl ngx_http_analytics_row_pair_cmp(const void *one,
    const void *two);


/* only to tell texts apart, nobody gains by choosing them */
static uint64_t  ngx_http_analytics_issue_key[2] = {
    0x7265706f7274731fULL, 0x616e616c79746963ULL
};

/* all that figures of a day that are of all users can be made of, */
static ngx_uint_t  ngx_http_analytics_issue_dailies[] = {
    NGX_ANALYTICS_DAILY_TOUCHED, NGX_ANALYTICS_DAILY_ACTIVE,
    NGX_ANALYTICS_DAILY_NEW, NGX_ANALYTICS_DAILY_SESSIONS,
    NGX_ANALYTICS_DAILY_SESSION_TIME
};

#define NGX_HTTP_ANALYTICS_ISSUE_DAILIES                                      \
    (sizeof(ngx_http_analytics_issue_dailies) / sizeof(ngx_uint_t))


ngx_int_t
ngx_http_analytics_issue_init(ngx_http_analytics_issue_t *issue)
{
    u_char                         buf[NGX_HTTP_ANALYTICS_PERIOD_LEN];
    ngx_int_t                      rc;
    ngx_str_t                      name;
    ngx_uint_t                     i;
    ngx_http_analytics_report_t   *report;
    ngx_http_analytics_metric_t  **metrics;

    report = issue->report;
    metrics = report->metrics.elts;

    issue->parts = ngx_pcalloc(issue->pool, report->metrics.nelts
                                        * sizeof(ngx_http_analytics_part_t));
    if (issue->parts == NULL) {
        return NGX_ERROR;
    }

    ngx_http_analytics_issue_bucket(issue, &issue->period, &issue->days);
    ngx_http_analytics_issue_bucket(issue, &issue->previous, &issue->before);
    ngx_http_analytics_issue_series(issue);

    ngx_http_analytics_period_name(&issue->period, buf, &name);

    issue->state = 0;

    ngx_http_analytics_issue_mix(issue, issue->zone->name.data,
                                 issue->zone->name.len);
    ngx_http_analytics_issue_mix(issue, report->name.data, report->name.len);
    ngx_http_analytics_issue_mix(issue, &issue->format,
                                 sizeof(issue->format));

    issue->key[0] = issue->state;

    ngx_http_analytics_issue_mix(issue, name.data, name.len);

    issue->key[1] = issue->state;

    /* what is the same as long as the configuration is, and its program */

    ngx_http_analytics_issue_mix(issue, NGX_ANALYTICS_VERSION,
                                 sizeof(NGX_ANALYTICS_VERSION));
    ngx_http_analytics_issue_mix(issue, report->title.data,
                                 report->title.len);
    ngx_http_analytics_issue_mix(issue, &issue->oldest,
                                 sizeof(issue->oldest));
    ngx_http_analytics_issue_mix(issue,
                             &issue->zone->metrics->rules->signature,
                             sizeof(issue->zone->metrics->rules->signature));

    rc = ngx_http_analytics_issue_days(issue);

    for (i = 0; rc == NGX_OK && i < report->metrics.nelts; i++) {
        issue->parts[i].metric = metrics[i];

        rc = ngx_http_analytics_issue_metric(issue, &issue->parts[i]);
    }

    return rc;
}


static void
ngx_http_analytics_issue_bucket(ngx_http_analytics_issue_t *issue,
    ngx_http_analytics_period_t *period, ngx_http_analytics_buckets_t *b)
{
    ngx_http_analytics_buckets_days(issue->zone, period->first, period->last,
                                    b);
    b->interval = period->every;
    b->n = 1;
}


static void
ngx_http_analytics_issue_series(ngx_http_analytics_issue_t *issue)
{
    int64_t                        end;
    ngx_http_analytics_buckets_t  *b;

    b = &issue->series;

    ngx_http_analytics_buckets_days(issue->zone, issue->period.first,
                                    issue->period.last, b);

    if (issue->period.every != NGX_HTTP_ANALYTICS_BY_DAY) {
        return;
    }

    b->interval = NGX_HTTP_ANALYTICS_BY_HOUR;
    b->level = NGX_ANALYTICS_HOURS;

    end = ngx_analytics_timezone_day_start(b->timezone, b->first + 1);

    b->first = ngx_analytics_timezone_hour(b->timezone,
                     ngx_analytics_timezone_day_start(b->timezone, b->first));
    b->n = (ngx_uint_t) (ngx_analytics_timezone_hour(b->timezone, end)
                         - b->first);
    b->cells = b->n;
}


/*
 * Each event that happened on one of the days is seen here: it is the last
 * one of its day.  What it may change on other days is seen there, too: its
 * user is new on an earlier day, or a session began before midnight.
 */

static ngx_int_t
ngx_http_analytics_issue_days(ngx_http_analytics_issue_t *issue)
{
    int64_t               first;
    uint64_t              counts[NGX_HTTP_ANALYTICS_ISSUE_DAYS];
    uint64_t              refolds;
    ngx_uint_t            i, n, which;
    ngx_analytics_zone_t  *z;

    first = issue->previous.first;
    n = (ngx_uint_t) (issue->period.last - first + 1);

    for (i = 0; i <= NGX_HTTP_ANALYTICS_ISSUE_DAILIES; i++) {

        /* and who was active in the period, which is kept at its first day */

        which = (i < NGX_HTTP_ANALYTICS_ISSUE_DAILIES)
                ? ngx_http_analytics_issue_dailies[i]
                : (issue->period.every == NGX_HTTP_ANALYTICS_BY_WEEK)
                ? NGX_ANALYTICS_DAILY_WEEK
                : (issue->period.every == NGX_HTTP_ANALYTICS_BY_MONTH)
                ? NGX_ANALYTICS_DAILY_MONTH : NGX_ANALYTICS_DAILY_ACTIVE;

        if (ngx_http_analytics_lock(issue->zone) != NGX_OK) {
            return NGX_DECLINED;
        }

        z = issue->zone->sh;

        ngx_analytics_figures_dailies(z, which, first, counts, n);

        /* and what was refolded, which is no event */

        refolds = z->refolds;

        ngx_http_analytics_unlock(issue->zone);

        ngx_http_analytics_issue_mix(issue, counts, n * sizeof(uint64_t));
        ngx_http_analytics_issue_mix(issue, &refolds, sizeof(refolds));
    }

    return NGX_OK;
}


/* What of a metric may be another though nothing happened on these days. */

static ngx_int_t
ngx_http_analytics_issue_metric(ngx_http_analytics_issue_t *issue,
    ngx_http_analytics_part_t *part)
{
    uint64_t                       names, inexact;
    ngx_int_t                      rc;
    ngx_uint_t                     i, n, fine;
    ngx_http_analytics_known_t     known;
    ngx_http_analytics_metric_t   *metric;

    metric = part->metric;

    part->grouped = ngx_http_analytics_metric_grouped(issue->zone, metric);

    rc = ngx_http_analytics_metric_known(issue->pool, issue->zone, metric,
                                         part->grouped, NULL, &known);
    if (rc != NGX_OK) {
        return rc;
    }

    part->since = known.since;

    if (known.inexact) {
        issue->inexact = 1;
    }

    /*
     * Groups that were given up are among the others.  The order is of no
     * matter, but of those of which the first are shown.
     */

    n = ngx_http_analytics_part_shown(part, known.n);

    for (i = 0, names = known.others; i < n; i++) {
        names += ngx_analytics_siphash(ngx_http_analytics_issue_key,
                                       known.groups[i].name.data,
                                       known.groups[i].name.len);
    }

    inexact = known.inexact;

    /* hours of sketches are kept for a while only */

    if (ngx_http_analytics_lock(issue->zone) != NGX_OK) {
        return NGX_DECLINED;
    }

    fine = (issue->series.first
            >= ngx_analytics_figures_first(issue->zone->sh,
                                           NGX_ANALYTICS_FINE));

    ngx_http_analytics_unlock(issue->zone);

    if (ngx_http_analytics_column_interval(metric, &issue->series) == NULL
        && (fine || metric->what != NGX_HTTP_ANALYTICS_QUANTILE
            || issue->series.level == NGX_ANALYTICS_DAYS))
    {
        part->values = ngx_palloc(issue->pool, issue->series.n
                                       * sizeof(ngx_http_analytics_value_t));
        if (part->values == NULL) {
            return NGX_ERROR;
        }
    }

    fine = (part->values != NULL);

    ngx_http_analytics_issue_mix(issue, metric->name.data, metric->name.len);
    ngx_http_analytics_issue_mix(issue, metric->unit.data, metric->unit.len);
    ngx_http_analytics_issue_mix(issue, &part->since, sizeof(part->since));
    ngx_http_analytics_issue_mix(issue, &inexact, sizeof(inexact));
    ngx_http_analytics_issue_mix(issue, &names, sizeof(names));
    ngx_http_analytics_issue_mix(issue, &fine, sizeof(fine));

    /* users may have come on any day, and leave when they are erased */

    if (metric->what != NGX_HTTP_ANALYTICS_USERS) {
        return NGX_OK;
    }

    rc = ngx_http_analytics_part_value(issue, part, NGX_ANALYTICS_GROUP_ALL,
                                       &part->total);

    ngx_http_analytics_issue_mix(issue, &part->total.value.whole,
                                 sizeof(int64_t));
    ngx_http_analytics_issue_mix(issue, &part->total.previous.whole,
                                 sizeof(int64_t));
    return rc;
}


static void
ngx_http_analytics_issue_mix(ngx_http_analytics_issue_t *issue,
    const void *data, size_t len)
{
    uint64_t  words[2];

    words[0] = issue->state;
    words[1] = ngx_analytics_siphash(ngx_http_analytics_issue_key, data, len);

    issue->state = ngx_analytics_siphash(ngx_http_analytics_issue_key,
                                         (u_char *) words, sizeof(words));
}


ngx_int_t
ngx_http_analytics_issue_compute(ngx_http_analytics_issue_t *issue)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    issue->computed = ngx_http_analytics_now();

    for (i = 0; i < issue->report->metrics.nelts; i++) {
        rc = ngx_http_analytics_part_compute(issue, &issue->parts[i]);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_part_compute(ngx_http_analytics_issue_t *issue,
    ngx_http_analytics_part_t *part)
{
    ngx_int_t  rc;

    rc = ngx_http_analytics_part_value(issue, part, NGX_ANALYTICS_GROUP_ALL,
                                       &part->total);

    if (rc == NGX_OK && part->values) {
        rc = ngx_http_analytics_part_series(issue, part);
    }

    if (rc == NGX_OK && part->grouped) {
        rc = ngx_http_analytics_part_groups(issue, part);
    }

    return rc;
}


static ngx_int_t
ngx_http_analytics_part_value(ngx_http_analytics_issue_t *issue,
    ngx_http_analytics_part_t *part, ngx_uint_t group,
    ngx_http_analytics_row_pair_t *row)
{
    ngx_int_t                    rc;
    ngx_http_analytics_column_t  c;

    ngx_memzero(&c, sizeof(ngx_http_analytics_column_t));

    c.zone = issue->zone;
    c.metric = part->metric;
    c.buckets = &issue->days;
    c.group = group;

    rc = ngx_http_analytics_column(issue->pool, &c);

    if (rc != NGX_OK) {
        return rc;
    }

    row->value = c.total;

    /* planes are as long as the buckets are */

    ngx_memzero(c.planes, sizeof(c.planes));

    c.buckets = &issue->before;

    rc = ngx_http_analytics_column(issue->pool, &c);

    row->previous = c.total;

    return rc;
}


static ngx_int_t
ngx_http_analytics_part_series(ngx_http_analytics_issue_t *issue,
    ngx_http_analytics_part_t *part)
{
    ngx_http_analytics_column_t  c;

    ngx_memzero(&c, sizeof(ngx_http_analytics_column_t));

    c.zone = issue->zone;
    c.metric = part->metric;
    c.buckets = &issue->series;
    c.parts = 1;
    c.values = part->values;

    return ngx_http_analytics_column(issue->pool, &c);
}


/*
 * Those with the greatest values, and what the others come to.  Of quantiles
 * and distinct values, which take longer, those with most points ever.
 */

static ngx_int_t
ngx_http_analytics_part_groups(ngx_http_analytics_issue_t *issue,
    ngx_http_analytics_part_t *part)
{
    ngx_int_t                       rc;
    ngx_uint_t                      i, n;
    ngx_http_analytics_known_t      known;
    ngx_http_analytics_row_pair_t  *row;

    rc = ngx_http_analytics_metric_known(issue->pool, issue->zone,
                                         part->metric, part->grouped, NULL,
                                         &known);
    if (rc != NGX_OK) {
        return rc;
    }

    n = ngx_http_analytics_part_shown(part, known.n);

    part->rows = ngx_palloc(issue->pool, (n + 1)
                                     * sizeof(ngx_http_analytics_row_pair_t));
    if (part->rows == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        row = &part->rows[part->nrows];

        rc = ngx_http_analytics_part_value(issue, part, known.groups[i].index,
                                           row);
        if (rc != NGX_OK) {
            return rc;
        }

        row->name = known.groups[i].name;

        if (!ngx_http_analytics_row_empty(row)) {
            part->nrows++;
        }
    }

    n = part->nrows;

    ngx_qsort(part->rows, n, sizeof(ngx_http_analytics_row_pair_t),
              ngx_http_analytics_row_pair_cmp);

    part->nrows = ngx_min(n, NGX_HTTP_ANALYTICS_ROWS_MAX);

    return ngx_http_analytics_part_adds(part)
           ? ngx_http_analytics_part_others(issue, part, n) : NGX_OK;
}


/* What can be added up: the groups without a place, and those behind. */

static ngx_int_t
ngx_http_analytics_part_others(ngx_http_analytics_issue_t *issue,
    ngx_http_analytics_part_t *part, ngx_uint_t n)
{
    ngx_int_t                       rc;
    ngx_uint_t                      i;
    ngx_http_analytics_row_pair_t   other;

    rc = ngx_http_analytics_part_value(issue, part, NGX_ANALYTICS_GROUP_OTHER,
                                       &other);
    if (rc != NGX_OK) {
        return rc;
    }

    for (i = part->nrows; i < n; i++) {
        ngx_http_analytics_value_add(&other.value, &part->rows[i].value);
        ngx_http_analytics_value_add(&other.previous,
                                     &part->rows[i].previous);
    }

    if (!ngx_http_analytics_row_empty(&other)) {
        ngx_str_set(&other.name, "other");

        part->rows[part->nrows++] = other;
        part->other = 1;
    }

    return NGX_OK;
}


/* Of so many groups, those with most points first, how many are looked at. */

static ngx_uint_t
ngx_http_analytics_part_shown(ngx_http_analytics_part_t *part, ngx_uint_t n)
{
    return (part->metric->what < NGX_HTTP_ANALYTICS_QUANTILE)
           ? n : ngx_min(n, NGX_HTTP_ANALYTICS_ROWS_MAX);
}


static ngx_uint_t
ngx_http_analytics_part_adds(ngx_http_analytics_part_t *part)
{
    return part->metric->what == NGX_HTTP_ANALYTICS_COUNT
           || part->metric->what == NGX_HTTP_ANALYTICS_SUM;
}


static void
ngx_http_analytics_value_add(ngx_http_analytics_value_t *sum,
    ngx_http_analytics_value_t *value)
{
    sum->whole += value->whole;
    sum->nano += value->nano;

    if (sum->nano >= NGX_ANALYTICS_NANO) {
        sum->nano -= NGX_ANALYTICS_NANO;
        sum->whole++;
    }
}


static ngx_uint_t
ngx_http_analytics_row_empty(ngx_http_analytics_row_pair_t *row)
{
    return ngx_http_analytics_value_real(&row->value) == 0
           && ngx_http_analytics_value_real(&row->previous) == 0;
}


static int ngx_libc_cdecl
ngx_http_analytics_row_pair_cmp(const void *one, const void *two)
{
    double                                a, b;
    const ngx_http_analytics_row_pair_t  *first = one;
    const ngx_http_analytics_row_pair_t  *second = two;

    a = ngx_http_analytics_value_real(
                             (ngx_http_analytics_value_t *) &first->value);
    b = ngx_http_analytics_value_real(
                             (ngx_http_analytics_value_t *) &second->value);

    if (a != b) {
        return (a > b) ? -1 : 1;
    }

    return (int) ngx_memn2cmp(first->name.data, second->name.data,
                              first->name.len, second->name.len);
}


ngx_uint_t
ngx_http_analytics_change(ngx_http_analytics_row_pair_t *row, double *change)
{
    double  value, previous;

    if (row->value.kind == NGX_HTTP_ANALYTICS_NONE
        || row->previous.kind == NGX_HTTP_ANALYTICS_NONE)
    {
        return 0;
    }

    value = ngx_http_analytics_value_real(&row->value);
    previous = ngx_http_analytics_value_real(&row->previous);

    if (previous == 0) {
        return 0;
    }

    *change = (value - previous) / ((previous < 0) ? -previous : previous);

    return 1;
}
