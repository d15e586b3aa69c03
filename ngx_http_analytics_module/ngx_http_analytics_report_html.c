
/*
 * What a report says, as one page that needs nothing else: no script, no
 * picture, one style, for the screen and for A4 paper.
 *
 * Names of groups are texts of strangers: all that is not ours is escaped.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_report.h"
#include "ngx_analytics_time.h"

#include <math.h>
#include <openssl/sha.h>


#define NGX_HTTP_ANALYTICS_CHART_HEIGHT  100
#define NGX_HTTP_ANALYTICS_CHART_BAR     10    /* with what is left free */


static void ngx_http_analytics_html_head(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue);
static void ngx_http_analytics_html_links(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue);
static void ngx_http_analytics_html_link(ngx_analytics_writer_t *w,
    ngx_http_analytics_period_t *period, const char *format,
    const char *before, const char *behind);
static void ngx_http_analytics_html_summary(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue);
static void ngx_http_analytics_html_columns(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, const char *first);
static void ngx_http_analytics_html_part(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part);
static void ngx_http_analytics_html_since(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part);
static void ngx_http_analytics_html_chart(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part);
static void ngx_http_analytics_html_bar(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part,
    ngx_uint_t i, double least, double most);
static void ngx_http_analytics_html_axis(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, double most);
static void ngx_http_analytics_html_time(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, ngx_uint_t i);
static void ngx_http_analytics_html_groups(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part);
static void ngx_http_analytics_html_pair(ngx_analytics_writer_t *w,
    ngx_http_analytics_row_pair_t *row);
static void ngx_http_analytics_html_value(ngx_analytics_writer_t *w,
    ngx_http_analytics_value_t *value);
static void ngx_http_analytics_html_real(ngx_analytics_writer_t *w,
    double real);
static void ngx_http_analytics_html_digits(ngx_analytics_writer_t *w,
    const char *text, size_t len);
static void ngx_http_analytics_html_period(ngx_analytics_writer_t *w,
    ngx_http_analytics_period_t *period);
static void ngx_http_analytics_html_name(ngx_analytics_writer_t *w,
    ngx_str_t *name);
static void ngx_http_analytics_html_text(ngx_analytics_writer_t *w,
    ngx_str_t *text);


#define ngx_http_analytics_html(w, s)  ngx_analytics_write_literal(w, s)


static ngx_str_t  ngx_http_analytics_html_style = ngx_string(
    "@page{size:A4;margin:18mm 16mm}"
    ":root{color-scheme:light;--ink:#1c2733;--dim:#5a6775;--line:#d5dbe1;"
    "--bar:#2a6fb0;--back:#fff}"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;padding:2rem 1.25rem;max-width:52rem;"
    "background:var(--back);color:var(--ink);"
    "font:15px/1.45 system-ui,sans-serif}"
    "h1{margin:0;font-size:1.7rem;line-height:1.2}"
    "h2{margin:0 0 .5rem;font-size:1.1rem}"
    "h1,h2,td,th{overflow-wrap:anywhere}"
    "p{margin:.35rem 0}"
    "small,.dim{color:var(--dim);font-weight:400;font-size:.87em}"
    "nav{display:flex;flex-wrap:wrap;gap:.35rem 1.1rem;margin:.8rem 0 0}"
    "a{color:var(--bar)}"
    "table{width:100%;border-collapse:collapse;margin:.6rem 0 0}"
    "th,td{padding:.3rem .5rem;border-bottom:1px solid var(--line);"
    "text-align:right;vertical-align:top;font-variant-numeric:tabular-nums}"
    "th{font-weight:600}"
    "thead th{color:var(--dim);font-size:.87em;white-space:nowrap}"
    "th:first-child,td:first-child{text-align:left;padding-left:0}"
    "th:last-child,td:last-child{padding-right:0;white-space:nowrap}"
    "section{margin:2rem 0 0}"
    "svg{display:block;width:100%;height:5.5rem;"
    "border-bottom:1px solid var(--line)}"
    "rect{fill:var(--bar)}"
    ".axis{display:flex;justify-content:space-between;color:var(--dim);"
    "font-size:.8rem;padding-top:.15rem}"
    "footer{margin:2rem 0 0;padding:.6rem 0 0;"
    "border-top:1px solid var(--line)}"
    "@media screen and (prefers-color-scheme:dark){"
    ":root{color-scheme:dark;--ink:#e4e9ee;--dim:#9aa7b4;--line:#35414d;"
    "--bar:#6db0ee;--back:#12181f}}"
    "@media print{"
    "body{max-width:none;padding:0;font-size:10.5pt}"
    "nav{display:none}"
    "section{break-inside:avoid}"
    "thead{display:table-header-group}"
    "tr{break-inside:avoid}"
    "h2{break-after:avoid}"
    "rect{print-color-adjust:exact;-webkit-print-color-adjust:exact}}"
);


void
ngx_http_analytics_issue_html(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue)
{
    u_char      buf[NGX_ANALYTICS_TIME_LEN];
    ngx_str_t   text;
    ngx_uint_t  i;

    ngx_http_analytics_html_head(w, issue);
    ngx_http_analytics_html_summary(w, issue);

    for (i = 0; i < issue->report->metrics.nelts; i++) {
        ngx_http_analytics_html_part(w, issue, &issue->parts[i]);
    }

    text.data = buf;
    text.len = ngx_analytics_time_format(buf, issue->computed
                                              / NGX_ANALYTICS_SECOND
                                              * NGX_ANALYTICS_SECOND)
               - buf;

    ngx_http_analytics_html(w, "<footer><p class=\"dim\">Computed at ");
    ngx_http_analytics_html_text(w, &text);

    if (!issue->closed) {
        ngx_http_analytics_html(w, ", while the period is not over: it is "
                                   "compared with all of the one before");
    }

    ngx_http_analytics_html(w, ".</p></footer>\n</body>\n</html>\n");
}


static void
ngx_http_analytics_html_head(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue)
{
    u_char     buf[NGX_ANALYTICS_DATE_LEN];
    ngx_str_t  date;

    ngx_http_analytics_html(w, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
                               "<meta charset=\"utf-8\"/>\n"
                               "<meta name=\"viewport\" "
                               "content=\"width=device-width, "
                               "initial-scale=1\"/>\n<title>");
    ngx_http_analytics_html_text(w, &issue->report->title);
    ngx_http_analytics_html(w, ", ");
    ngx_http_analytics_html_period(w, &issue->period);
    ngx_http_analytics_html(w, "</title>\n<style>");
    ngx_analytics_write_raw(w, ngx_http_analytics_html_style.data,
                            ngx_http_analytics_html_style.len);
    ngx_http_analytics_html(w, "</style>\n</head>\n<body>\n<header>\n<h1>");
    ngx_http_analytics_html_text(w, &issue->report->title);
    ngx_http_analytics_html(w, "</h1>\n<p>");
    ngx_http_analytics_html_period(w, &issue->period);

    if (issue->period.every != NGX_HTTP_ANALYTICS_BY_DAY) {
        date.data = buf;

        date.len = ngx_analytics_date_format(buf, issue->period.first) - buf;
        ngx_http_analytics_html(w, ": ");
        ngx_http_analytics_html_text(w, &date);

        date.len = ngx_analytics_date_format(buf, issue->period.last) - buf;
        ngx_http_analytics_html(w, " to ");
        ngx_http_analytics_html_text(w, &date);
    }

    ngx_http_analytics_html(w, " <span class=\"dim\">(");
    ngx_http_analytics_html_text(w, &issue->days.timezone->name);
    ngx_http_analytics_html(w, ")</span></p>\n");
    ngx_http_analytics_html_links(w, issue);
    ngx_http_analytics_html(w, "</header>\n");
}


static void
ngx_http_analytics_html_links(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue)
{
    ngx_http_analytics_period_t  next;

    ngx_http_analytics_html(w, "<nav>");

    if (!issue->oldest) {
        ngx_http_analytics_html_link(w, &issue->previous, "html", "&#8592; ",
                                     NULL);
    }

    if (issue->closed) {
        ngx_http_analytics_period_move(&next, &issue->period, 1);
        ngx_http_analytics_html_link(w, &next, "html", NULL, " &#8594;");
    }

    ngx_http_analytics_html_link(w, &issue->period, "csv", "CSV", NULL);
    ngx_http_analytics_html_link(w, &issue->period, "json", "JSON", NULL);
    ngx_http_analytics_html(w, "</nav>\n");
}


/* To the same report; a page is named by its period. */

static void
ngx_http_analytics_html_link(ngx_analytics_writer_t *w,
    ngx_http_analytics_period_t *period, const char *format,
    const char *before, const char *behind)
{
    ngx_http_analytics_html(w, "<a href=\"?period=");
    ngx_http_analytics_html_period(w, period);
    ngx_http_analytics_html(w, "&amp;format=");
    ngx_analytics_write_raw(w, format, ngx_strlen(format));
    ngx_http_analytics_html(w, "\">");

    if (before) {
        ngx_analytics_write_raw(w, before, ngx_strlen(before));
    }

    if (ngx_strcmp(format, "html") == 0) {
        ngx_http_analytics_html_period(w, period);
    }

    if (behind) {
        ngx_analytics_write_raw(w, behind, ngx_strlen(behind));
    }

    ngx_http_analytics_html(w, "</a>");
}


static void
ngx_http_analytics_html_summary(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue)
{
    ngx_uint_t                  i;
    ngx_http_analytics_part_t  *part;

    ngx_http_analytics_html(w, "<section>\n<table>\n");
    ngx_http_analytics_html_columns(w, issue, "Metric");

    for (i = 0; i < issue->report->metrics.nelts; i++) {
        part = &issue->parts[i];

        ngx_http_analytics_html(w, "<tr><td>");
        ngx_http_analytics_html_name(w, &part->metric->name);

        if (part->metric->unit.len) {
            ngx_http_analytics_html(w, " <small>");
            ngx_http_analytics_html_text(w, &part->metric->unit);
            ngx_http_analytics_html(w, "</small>");
        }

        ngx_http_analytics_html(w, "</td>");
        ngx_http_analytics_html_pair(w, &part->total);
        ngx_http_analytics_html(w, "</tr>\n");
    }

    ngx_http_analytics_html(w, "</tbody>\n</table>\n</section>\n");
}


static void
ngx_http_analytics_html_columns(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, const char *first)
{
    ngx_http_analytics_html(w, "<thead><tr><th scope=\"col\">");
    ngx_analytics_write_raw(w, first, ngx_strlen(first));
    ngx_http_analytics_html(w, "</th><th scope=\"col\">");
    ngx_http_analytics_html_period(w, &issue->period);
    ngx_http_analytics_html(w, "</th><th scope=\"col\">");
    ngx_http_analytics_html_period(w, &issue->previous);
    ngx_http_analytics_html(w, "</th><th scope=\"col\">Change</th></tr>"
                               "</thead>\n<tbody>\n");
}


static void
ngx_http_analytics_html_part(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part)
{
    if (part->values == NULL && part->nrows == 0) {
        ngx_http_analytics_html_since(w, issue, part);
        return;
    }

    ngx_http_analytics_html(w, "<section>\n<h2>");
    ngx_http_analytics_html_text(w, &part->metric->name);
    ngx_http_analytics_html(w, " <small>");
    ngx_http_analytics_html_text(w, &part->metric->kind);

    if (part->metric->unit.len) {
        ngx_http_analytics_html(w, ", ");
        ngx_http_analytics_html_text(w, &part->metric->unit);
    }

    ngx_http_analytics_html(w, "</small></h2>\n");

    ngx_http_analytics_html_since(w, issue, part);

    if (part->values) {
        ngx_http_analytics_html_chart(w, issue, part);
    }

    if (part->nrows) {
        ngx_http_analytics_html_groups(w, issue, part);
    }

    ngx_http_analytics_html(w, "</section>\n");
}


/* Where something may lack in what is shown. */

static void
ngx_http_analytics_html_since(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part)
{
    u_char     buf[NGX_ANALYTICS_TIME_LEN];
    ngx_str_t  text;

    if (part->since <= ngx_http_analytics_buckets_start(&issue->before,
                                                        issue->before.first))
    {
        return;
    }

    text.data = buf;
    text.len = ngx_analytics_time_format(buf, part->since
                                              / NGX_ANALYTICS_SECOND
                                              * NGX_ANALYTICS_SECOND)
               - buf;

    ngx_http_analytics_html(w, "<p class=\"dim\">");
    ngx_http_analytics_html_text(w, &part->metric->name);
    ngx_http_analytics_html(w, " is complete since ");
    ngx_http_analytics_html_text(w, &text);
    ngx_http_analytics_html(w, ".</p>\n");
}


static void
ngx_http_analytics_html_chart(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part)
{
    double      value, least, most;
    ngx_uint_t  i;

    least = 0;
    most = 0;

    for (i = 0; i < issue->series.n; i++) {
        value = ngx_http_analytics_value_real(&part->values[i]);

        least = ngx_min(least, value);
        most = ngx_max(most, value);
    }

    if (most == least) {
        ngx_http_analytics_html(w, "<p class=\"dim\">Nothing in this period."
                                   "</p>\n");
        return;
    }

    ngx_http_analytics_html(w, "<svg role=\"img\" viewBox=\"0 0 ");
    ngx_analytics_write_uint(w, issue->series.n
                                * NGX_HTTP_ANALYTICS_CHART_BAR);
    ngx_http_analytics_html(w, " ");
    ngx_analytics_write_uint(w, NGX_HTTP_ANALYTICS_CHART_HEIGHT);
    ngx_http_analytics_html(w, "\" preserveAspectRatio=\"none\" "
                               "aria-label=\"");
    ngx_http_analytics_html_text(w, &part->metric->name);

    if (issue->series.level == NGX_ANALYTICS_HOURS) {
        ngx_http_analytics_html(w, " by hour\">");

    } else {
        ngx_http_analytics_html(w, " by day\">");
    }

    for (i = 0; i < issue->series.n; i++) {
        ngx_http_analytics_html_bar(w, issue, part, i, least, most);
    }

    ngx_http_analytics_html(w, "</svg>\n");
    ngx_http_analytics_html_axis(w, issue, most);
}


static void
ngx_http_analytics_html_bar(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part,
    ngx_uint_t i, double least, double most)
{
    int     n;
    char    text[160];
    double  value, y, height, scale;

    value = ngx_http_analytics_value_real(&part->values[i]);

    scale = (most > least) ? NGX_HTTP_ANALYTICS_CHART_HEIGHT / (most - least)
                           : 0;
    height = fabs(value) * scale;
    y = (most - ngx_max(value, 0)) * scale;

    n = snprintf(text, sizeof(text), "<rect x=\"%.1f\" y=\"%.2f\" "
                 "width=\"8\" height=\"%.2f\"><title>",
                 (double) i * NGX_HTTP_ANALYTICS_CHART_BAR + 1, y, height);
    ngx_analytics_write_raw(w, text, (size_t) n);

    ngx_http_analytics_html_time(w, issue, i);
    ngx_http_analytics_html(w, ": ");
    ngx_http_analytics_html_value(w, &part->values[i]);
    ngx_http_analytics_html(w, "</title></rect>");
}


static void
ngx_http_analytics_html_axis(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, double most)
{
    ngx_http_analytics_html(w, "<div class=\"axis\"><span>");
    ngx_http_analytics_html_time(w, issue, 0);
    ngx_http_analytics_html(w, "</span><span>at most ");
    ngx_http_analytics_html_real(w, most);
    ngx_http_analytics_html(w, "</span><span>");
    ngx_http_analytics_html_time(w, issue, issue->series.n - 1);
    ngx_http_analytics_html(w, "</span></div>\n");
}


/* A date, or an hour as clocks of the time zone show it. */

static void
ngx_http_analytics_html_time(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, ngx_uint_t i)
{
    u_char                     buf[NGX_ANALYTICS_TIME_LEN];
    int64_t                    usec;
    ngx_str_t                  text;
    ngx_uint_t                 k;
    ngx_analytics_timezone_t  *tz;

    ngx_http_analytics_issue_time(issue, i, buf, &text);

    if (issue->series.level == NGX_ANALYTICS_HOURS) {
        tz = issue->series.timezone;
        usec = ngx_http_analytics_buckets_start(&issue->series,
                                          issue->series.first + (int64_t) i);

        for (k = tz->n - 1; k > 0; k--) {
            if (tz->offsets[k].at * NGX_ANALYTICS_SECOND <= usec) {
                break;
            }
        }

        usec += tz->offsets[k].offset * NGX_ANALYTICS_SECOND;

        (void) ngx_analytics_time_format(buf, usec);

        /* of 2024-03-14T09:00:00Z */

        text.data = buf + sizeof("2024-03-14T") - 1;
        text.len = sizeof("09:00") - 1;
    }

    ngx_http_analytics_html_text(w, &text);
}


static void
ngx_http_analytics_html_groups(ngx_analytics_writer_t *w,
    ngx_http_analytics_issue_t *issue, ngx_http_analytics_part_t *part)
{
    ngx_uint_t  i;

    ngx_http_analytics_html(w, "<table>\n");
    ngx_http_analytics_html_columns(w, issue, "Group");

    for (i = 0; i < part->nrows; i++) {
        ngx_http_analytics_html(w, "<tr><td>");

        if (part->other && i == part->nrows - 1) {
            ngx_http_analytics_html(w, "<i>other</i>");

        } else {
            ngx_http_analytics_html_text(w, &part->rows[i].name);
        }

        ngx_http_analytics_html(w, "</td>");
        ngx_http_analytics_html_pair(w, &part->rows[i]);
        ngx_http_analytics_html(w, "</tr>\n");
    }

    ngx_http_analytics_html(w, "</tbody>\n</table>\n");
}


static void
ngx_http_analytics_html_pair(ngx_analytics_writer_t *w,
    ngx_http_analytics_row_pair_t *row)
{
    int     n;
    char    text[64];
    double  change;

    ngx_http_analytics_html(w, "<td>");
    ngx_http_analytics_html_value(w, &row->value);
    ngx_http_analytics_html(w, "</td><td>");
    ngx_http_analytics_html_value(w, &row->previous);
    ngx_http_analytics_html(w, "</td><td>");

    if (!ngx_http_analytics_change(row, &change)) {
        ngx_http_analytics_html(w, "&#8211;</td>");
        return;
    }

    change *= 100;

    if (fabs(change) < 0.05) {
        change = 0;
    }

    n = snprintf(text, sizeof(text),
                 (fabs(change) < 1e6) ? "%.1f" : "%.3g", fabs(change));

    if (change > 0) {
        ngx_http_analytics_html(w, "+");

    } else if (change < 0) {
        ngx_http_analytics_html(w, "&#8722;");
    }

    ngx_analytics_write_raw(w, text, (size_t) n);
    ngx_http_analytics_html(w, "&#160;%</td>");
}


static void
ngx_http_analytics_html_value(ngx_analytics_writer_t *w,
    ngx_http_analytics_value_t *value)
{
    u_char  buf[NGX_INT64_LEN], *last;

    if (value->kind == NGX_HTTP_ANALYTICS_NONE) {
        ngx_http_analytics_html(w, "&#8211;");
        return;
    }

    if (value->kind == NGX_HTTP_ANALYTICS_NUMBER && value->nano == 0) {
        last = ngx_sprintf(buf, "%L", value->whole);
        ngx_http_analytics_html_digits(w, (char *) buf, last - buf);
        return;
    }

    ngx_http_analytics_html_real(w, ngx_http_analytics_value_real(value));
}


/* As many digits as a reader cares for; the other forms have all. */

static void
ngx_http_analytics_html_real(ngx_analytics_writer_t *w, double real)
{
    int     n, decimals;
    char    text[64];
    double  size;

    size = fabs(real);

    if (size >= 1e15 || (size > 0 && size < 0.001)) {
        n = snprintf(text, sizeof(text), "%.3g", real);
        ngx_analytics_write_raw(w, text, (size_t) n);
        return;
    }

    decimals = (size >= 1000) ? 0 : (size >= 100) ? 1 : (size >= 1) ? 2 : 4;

    n = snprintf(text, sizeof(text), "%.*f", decimals, real);

    while (decimals && text[n - 1] == '0') {
        n--;
        decimals--;
    }

    if (text[n - 1] == '.') {
        n--;
    }

    ngx_http_analytics_html_digits(w, text, (size_t) n);
}


/* Thousands are told apart. */

static void
ngx_http_analytics_html_digits(ngx_analytics_writer_t *w, const char *text,
    size_t len)
{
    size_t       i, whole;
    const char  *point;

    if (text[0] == '-') {
        ngx_http_analytics_html(w, "&#8722;");
        text++;
        len--;
    }

    point = memchr(text, '.', len);
    whole = point ? (size_t) (point - text) : len;

    for (i = 0; i < whole; i++) {

        if (i && (whole - i) % 3 == 0) {
            ngx_http_analytics_html(w, ",");
        }

        ngx_analytics_write_raw(w, text + i, 1);
    }

    ngx_analytics_write_raw(w, text + whole, len - whole);
}


static void
ngx_http_analytics_html_period(ngx_analytics_writer_t *w,
    ngx_http_analytics_period_t *period)
{
    u_char     buf[NGX_HTTP_ANALYTICS_PERIOD_LEN];
    ngx_str_t  name;

    ngx_http_analytics_period_name(period, buf, &name);
    ngx_analytics_write_raw(w, name.data, name.len);
}


/* Of a metric: on a small screen it may go on in the next line behind "_". */

static void
ngx_http_analytics_html_name(ngx_analytics_writer_t *w, ngx_str_t *name)
{
    u_char  *p, *last, *end;

    last = name->data + name->len;

    for (p = name->data; p < last; p = end) {
        end = ngx_strlchr(p, last, '_');
        end = end ? end + 1 : last;

        ngx_analytics_write_raw(w, p, end - p);

        if (end < last) {
            ngx_http_analytics_html(w, "<wbr/>");
        }
    }
}


/* Control characters, which HTML has no place for, become what stands for. */

static void
ngx_http_analytics_html_text(ngx_analytics_writer_t *w, ngx_str_t *text)
{
    u_char  *p, *last;

    p = text->data;
    last = p + text->len;

    for ( /* void */ ; p < last; p++) {

        switch (*p) {

        case '&':
            ngx_http_analytics_html(w, "&amp;");
            break;

        case '<':
            ngx_http_analytics_html(w, "&lt;");
            break;

        case '>':
            ngx_http_analytics_html(w, "&gt;");
            break;

        case '"':
            ngx_http_analytics_html(w, "&quot;");
            break;

        case '\'':
            ngx_http_analytics_html(w, "&#39;");
            break;

        default:

            if (*p < 0x20 || *p == 0x7f) {
                ngx_http_analytics_html(w, "&#65533;");
                break;
            }

            ngx_analytics_write_raw(w, p, 1);
        }
    }
}


ngx_int_t
ngx_http_analytics_issue_policy(ngx_pool_t *pool, ngx_str_t *policy)
{
    u_char     *p, hash[SHA256_DIGEST_LENGTH];
    ngx_str_t   digest;

    static u_char  text[ngx_base64_encoded_length(SHA256_DIGEST_LENGTH)];
    static size_t  len;

    if (len == 0) {
        SHA256(ngx_http_analytics_html_style.data,
               ngx_http_analytics_html_style.len, hash);

        digest.data = hash;
        digest.len = sizeof(hash);

        policy->data = text;
        ngx_encode_base64(policy, &digest);
        len = policy->len;
    }

    p = ngx_pnalloc(pool, sizeof("default-src 'none'; style-src 'sha256-'; "
                                 "base-uri 'none'; form-action 'none'; "
                                 "frame-ancestors 'none'") + len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    policy->data = p;
    policy->len = ngx_sprintf(p, "default-src 'none'; "
                              "style-src 'sha256-%*s'; base-uri 'none'; "
                              "form-action 'none'; frame-ancestors 'none'",
                              len, text)
                  - p;

    return NGX_OK;
}
