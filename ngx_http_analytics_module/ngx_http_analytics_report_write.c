
/*
 * What a report says, as JSON and as comma separated values.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_report.h"
#include "ngx_analytics_time.h"


static void ngx_http_analytics_json_part(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part);
static void ngx_http_analytics_json_series(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part);
static void ngx_http_analytics_json_pair(ngx_analytics_writer_t *w,
    ngx_http_analytics_row_pair_t *row);
static void ngx_http_analytics_json_text(ngx_analytics_writer_t *w,
    const char *name, ngx_str_t *text);
static void ngx_http_analytics_csv_row(ngx_analytics_writer_t *w,
    ngx_http_analytics_part_t *part, const char *kind);
static void ngx_http_analytics_csv_pair(ngx_analytics_writer_t *w,
    ngx_http_analytics_row_pair_t *row);


void
ngx_http_analytics_issue_json(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue)
{
    u_char                        buf[NGX_HTTP_ANALYTICS_PERIOD_LEN];
    ngx_str_t                     name;
    ngx_uint_t                    i;
    ngx_http_analytics_report_t  *report;

    report = issue->report;

    ngx_analytics_write_literal(w, "{\"report\":");
    ngx_analytics_write_string(w, &report->name);
    ngx_http_analytics_json_text(w, "title", &report->title);

    ngx_http_analytics_period_name(&issue->period, buf, &name);
    ngx_http_analytics_json_text(w, "period", &name);

    ngx_analytics_write_literal(w, ",\"start\":");
    ngx_analytics_write_date(w, issue->period.first);
    ngx_analytics_write_literal(w, ",\"end\":");
    ngx_analytics_write_date(w, issue->period.last);
    ngx_http_analytics_json_text(w, "timezone", &issue->days.timezone->name);

    if (issue->closed) {
        ngx_analytics_write_literal(w, ",\"closed\":true");

    } else {
        ngx_analytics_write_literal(w, ",\"closed\":false");
    }

    ngx_analytics_write_literal(w, ",\"computed_at\":");
    ngx_analytics_write_time(w, issue->computed);

    ngx_http_analytics_period_name(&issue->previous, buf, &name);
    ngx_http_analytics_json_text(w, "previous_period", &name);

    ngx_analytics_write_literal(w, ",\"metrics\":[");

    for (i = 0; i < report->metrics.nelts; i++) {

        if (i) {
            ngx_analytics_write_literal(w, ",");
        }

        ngx_http_analytics_json_part(w, issue, &issue->parts[i]);
    }

    ngx_analytics_write_literal(w, "]}");
}


static void
ngx_http_analytics_json_part(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part)
{
    ngx_uint_t  i;

    ngx_analytics_write_literal(w, "{\"metric\":");
    ngx_analytics_write_string(w, &part->metric->name);
    ngx_http_analytics_json_text(w, "type", &part->metric->kind);

    if (part->metric->unit.len) {
        ngx_http_analytics_json_text(w, "unit", &part->metric->unit);

    } else {
        ngx_analytics_write_literal(w, ",\"unit\":null");
    }

    ngx_http_analytics_json_pair(w, &part->total);

    ngx_analytics_write_literal(w, ",\"complete_since\":");

    if (part->since) {
        ngx_analytics_write_time(w, part->since);

    } else {
        ngx_analytics_write_literal(w, "null");
    }

    ngx_http_analytics_json_series(w, issue, part);

    if (part->grouped) {
        ngx_analytics_write_literal(w, ",\"groups\":[");

        for (i = 0; i < part->nrows; i++) {

            if (i) {
                ngx_analytics_write_literal(w, ",");
            }

            ngx_analytics_write_literal(w, "{\"group\":");
            ngx_analytics_write_string(w, &part->rows[i].name);
            ngx_http_analytics_json_pair(w, &part->rows[i]);
            ngx_analytics_write_literal(w, "}");
        }

        ngx_analytics_write_literal(w, "]");
    }

    ngx_analytics_write_literal(w, "}");
}


static void
ngx_http_analytics_json_series(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part)
{
    ngx_uint_t  i;

    ngx_analytics_write_literal(w, ",\"series\":[");

    for (i = 0; part->values && i < issue->series.n; i++) {

        if (i) {
            ngx_analytics_write_literal(w, ",");
        }

        ngx_analytics_write_literal(w, "{\"time\":");
        ngx_http_analytics_buckets_write(w, &issue->series,
                                         issue->series.first + (int64_t) i);
        ngx_analytics_write_literal(w, ",\"value\":");
        ngx_http_analytics_value_write(w, &part->values[i], "null");
        ngx_analytics_write_literal(w, "}");
    }

    ngx_analytics_write_literal(w, "]");
}


static void
ngx_http_analytics_json_pair(ngx_analytics_writer_t *w,
    ngx_http_analytics_row_pair_t *row)
{
    double  change;

    ngx_analytics_write_literal(w, ",\"value\":");
    ngx_http_analytics_value_write(w, &row->value, "null");
    ngx_analytics_write_literal(w, ",\"previous\":");
    ngx_http_analytics_value_write(w, &row->previous, "null");
    ngx_analytics_write_literal(w, ",\"change\":");

    if (ngx_http_analytics_change(row, &change)) {
        ngx_analytics_write_real(w, change, 6);

    } else {
        ngx_analytics_write_literal(w, "null");
    }
}


/* ,"name":"text" */

static void
ngx_http_analytics_json_text(ngx_analytics_writer_t *w, const char *name,
    ngx_str_t *text)
{
    ngx_analytics_write_literal(w, ",\"");
    ngx_analytics_write_raw(w, name, ngx_strlen(name));
    ngx_analytics_write_literal(w, "\":");
    ngx_analytics_write_string(w, text);
}


/*
 * A row for each figure: of the period, of each of its groups, and of each day
 * or hour.  What there is none of is empty.
 */

void
ngx_http_analytics_issue_csv(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue)
{
    u_char                      buf[NGX_HTTP_ANALYTICS_PERIOD_LEN];
    u_char                      at[NGX_ANALYTICS_TIME_LEN];
    ngx_str_t                   period, time;
    ngx_uint_t                  i, k;
    ngx_http_analytics_part_t  *part;

    ngx_http_analytics_period_name(&issue->period, buf, &period);

    ngx_analytics_write_literal(w, "metric,unit,kind,group,time,value,"
                                   "previous,change\r\n");

    for (i = 0; i < issue->report->metrics.nelts; i++) {
        part = &issue->parts[i];

        ngx_http_analytics_csv_row(w, part, "total");
        ngx_analytics_write_literal(w, ",");
        ngx_analytics_write_literal(w, ",");
        ngx_analytics_write_raw(w, period.data, period.len);
        ngx_http_analytics_csv_pair(w, &part->total);

        for (k = 0; k < part->nrows; k++) {
            ngx_http_analytics_csv_row(w, part, "group");
            ngx_analytics_write_literal(w, ",");
            ngx_http_analytics_csv_cell(w, &part->rows[k].name);
            ngx_analytics_write_literal(w, ",");
            ngx_analytics_write_raw(w, period.data, period.len);
            ngx_http_analytics_csv_pair(w, &part->rows[k]);
        }

        for (k = 0; part->values && k < issue->series.n; k++) {
            ngx_http_analytics_csv_row(w, part,
                               (issue->series.level == NGX_ANALYTICS_HOURS)
                               ? "hour" : "day");
            ngx_analytics_write_literal(w, ",,");

            ngx_http_analytics_issue_time(issue, k, at, &time);
            ngx_analytics_write_raw(w, time.data, time.len);
            ngx_analytics_write_literal(w, ",");
            ngx_http_analytics_value_write(w, &part->values[k], "");
            ngx_analytics_write_literal(w, ",,\r\n");
        }
    }
}


static void
ngx_http_analytics_csv_row(ngx_analytics_writer_t *w,
    ngx_http_analytics_part_t *part, const char *kind)
{
    ngx_http_analytics_csv_cell(w, &part->metric->name);
    ngx_analytics_write_literal(w, ",");
    ngx_http_analytics_csv_cell(w, &part->metric->unit);
    ngx_analytics_write_literal(w, ",");
    ngx_analytics_write_raw(w, kind, ngx_strlen(kind));
}


static void
ngx_http_analytics_csv_pair(ngx_analytics_writer_t *w,
    ngx_http_analytics_row_pair_t *row)
{
    double  change;

    ngx_analytics_write_literal(w, ",");
    ngx_http_analytics_value_write(w, &row->value, "");
    ngx_analytics_write_literal(w, ",");
    ngx_http_analytics_value_write(w, &row->previous, "");
    ngx_analytics_write_literal(w, ",");

    if (ngx_http_analytics_change(row, &change)) {
        ngx_analytics_write_real(w, change, 6);
    }

    ngx_analytics_write_literal(w, "\r\n");
}


void
ngx_http_analytics_issue_time(ngx_http_analytics_issue_t *issue, ngx_uint_t i,
    u_char *buf, ngx_str_t *time)
{
    int64_t  cell;

    cell = issue->series.first + (int64_t) i;

    time->data = buf;
    time->len = ((issue->series.level == NGX_ANALYTICS_DAYS)
                 ? ngx_analytics_date_format(buf, cell)
                 : ngx_analytics_time_format(buf,
                           ngx_http_analytics_buckets_start(&issue->series,
                                                            cell)))
                - buf;
}
