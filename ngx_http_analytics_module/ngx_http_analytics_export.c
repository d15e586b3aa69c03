
/*
 * analytics_export: all events that are asked for, as a file.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_query.h"
#include "ngx_analytics_time.h"


typedef struct {
    ngx_str_t    type;
    ngx_str_t    disposition;
    void       (*start)(ngx_http_analytics_stream_t *s);
    void       (*event)(ngx_http_analytics_stream_t *s,
                        ngx_analytics_row_t *row);
    void       (*finish)(ngx_http_analytics_stream_t *s);
} ngx_http_analytics_export_t;


static void ngx_http_analytics_export_json_start(
    ngx_http_analytics_stream_t *s);
static void ngx_http_analytics_export_json(ngx_http_analytics_stream_t *s,
    ngx_analytics_row_t *row);
static void ngx_http_analytics_export_json_finish(
    ngx_http_analytics_stream_t *s);
static void ngx_http_analytics_export_ndjson(ngx_http_analytics_stream_t *s,
    ngx_analytics_row_t *row);
static void ngx_http_analytics_export_finish(ngx_http_analytics_stream_t *s);
static void ngx_http_analytics_export_csv_start(
    ngx_http_analytics_stream_t *s);
static void ngx_http_analytics_export_csv(ngx_http_analytics_stream_t *s,
    ngx_analytics_row_t *row);
static void ngx_http_analytics_export_event(ngx_http_analytics_stream_t *s,
    ngx_analytics_row_t *row);
static void ngx_http_analytics_export_line(ngx_http_analytics_stream_t *s,
    ngx_str_t *text);
static ngx_uint_t ngx_http_analytics_export_formula(ngx_str_t *text);


/* in the order of ngx_http_analytics_output_e */

static ngx_http_analytics_export_t  ngx_http_analytics_exports[] = {

    { ngx_string("application/json"),
      ngx_string("attachment; filename=\"events.json\""),
      ngx_http_analytics_export_json_start,
      ngx_http_analytics_export_json,
      ngx_http_analytics_export_json_finish },

    { ngx_string("application/x-ndjson"),
      ngx_string("attachment; filename=\"events.ndjson\""),
      NULL,
      ngx_http_analytics_export_ndjson,
      ngx_http_analytics_export_finish },

    { ngx_string("text/csv; charset=utf-8"),
      ngx_string("attachment; filename=\"events.csv\""),
      ngx_http_analytics_export_csv_start,
      ngx_http_analytics_export_csv,
      ngx_http_analytics_export_finish }
};


ngx_int_t
ngx_http_analytics_export_handler(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_http_analytics_query_t    query;
    ngx_http_analytics_export_t  *export;
    ngx_http_analytics_stream_t  *s;

    rc = ngx_http_analytics_methods(r, NGX_HTTP_GET);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    ngx_memzero(&query, sizeof(ngx_http_analytics_query_t));

    query.limit = UINT64_MAX;
    query.output = NGX_HTTP_ANALYTICS_NDJSON;

    rc = ngx_http_analytics_question(r, &query, NGX_HTTP_ANALYTICS_RANGED
                                                |NGX_HTTP_ANALYTICS_TYPED
                                                |NGX_HTTP_ANALYTICS_FORMAT,
                                     &s);
    if (s == NULL) {
        return rc;
    }

    export = &ngx_http_analytics_exports[query.output];

    s->type = &export->type;
    s->disposition = &export->disposition;
    s->start = export->start;
    s->event = export->event;
    s->finish = export->finish;

    return ngx_http_analytics_stream(s);
}


static void
ngx_http_analytics_export_json_start(ngx_http_analytics_stream_t *s)
{
    ngx_analytics_write_literal(&s->w, "[");
}


static void
ngx_http_analytics_export_json(ngx_http_analytics_stream_t *s,
    ngx_analytics_row_t *row)
{
    if (s->rows) {
        ngx_analytics_write_literal(&s->w, ",");
    }

    ngx_analytics_write_literal(&s->w, "\n");
    ngx_http_analytics_export_event(s, row);
}


static void
ngx_http_analytics_export_json_finish(ngx_http_analytics_stream_t *s)
{
    ngx_analytics_write_literal(&s->w, "\n]\n");
}


static void
ngx_http_analytics_export_ndjson(ngx_http_analytics_stream_t *s,
    ngx_analytics_row_t *row)
{
    u_char  *p;
    size_t   start;

    start = s->w.pos - s->w.start;

    ngx_http_analytics_export_event(s, row);

    if (s->w.failed) {
        return;
    }

    /*
     * Properties are as they were sent, and JSON may have ends of lines
     * between its tokens; in a string there are none.
     */

    for (p = s->w.start + start; p < s->w.pos; p++) {
        if (*p == LF || *p == CR) {
            *p = ' ';
        }
    }

    ngx_analytics_write_literal(&s->w, "\n");
}


static void
ngx_http_analytics_export_finish(ngx_http_analytics_stream_t *s)
{
    /* void */
}


static void
ngx_http_analytics_export_event(ngx_http_analytics_stream_t *s,
    ngx_analytics_row_t *row)
{
    ngx_analytics_event_t  event;

    ngx_http_analytics_row_event(row, &event);

    ngx_analytics_event_write(&s->w, &s->conf->events->format, &event,
                              row->id, row->received);
}


/* The names of the members. */

static void
ngx_http_analytics_export_csv_start(ngx_http_analytics_stream_t *s)
{
    ngx_str_t                rest;
    ngx_analytics_format_t  *format;

    format = &s->conf->events->format;

    ngx_analytics_write_literal(&s->w, "id");

    if (format->id.len) {
        ngx_http_analytics_export_line(s, &format->id);
    }

    ngx_http_analytics_export_line(s, &format->user);

    if (!format->constant) {
        ngx_http_analytics_export_line(s, &format->type);
    }

    if (format->time.len) {
        ngx_http_analytics_export_line(s, &format->time);
    }

    if (format->rest) {
        ngx_str_set(&rest, "properties");
        ngx_http_analytics_export_line(s, &rest);

    } else if (format->properties.len) {
        ngx_http_analytics_export_line(s, &format->properties);
    }

    ngx_analytics_write_literal(&s->w, "\r\n");
}


static void
ngx_http_analytics_export_csv(ngx_http_analytics_stream_t *s,
    ngx_analytics_row_t *row)
{
    u_char                   buf[NGX_INT64_LEN + NGX_ANALYTICS_TIME_LEN];
    ngx_str_t                time;
    ngx_analytics_format_t  *format;

    format = &s->conf->events->format;

    ngx_analytics_write_uint(&s->w, row->id);

    if (format->id.len) {
        ngx_http_analytics_export_line(s, &row->own);
    }

    ngx_http_analytics_export_line(s, &row->user);

    if (!format->constant) {
        ngx_http_analytics_export_line(s, &row->type);
    }

    if (format->time.len) {
        time.data = buf;
        time.len = (format->unit
                    ? ngx_analytics_epoch_format(buf, row->time, format->unit)
                    : ngx_analytics_time_format(buf, row->time)) - buf;

        ngx_analytics_write_literal(&s->w, ",");
        ngx_analytics_write_raw(&s->w, time.data, time.len);
    }

    if (format->properties.len) {
        ngx_http_analytics_export_line(s, &row->properties);
    }

    ngx_analytics_write_literal(&s->w, "\r\n");
}


static void
ngx_http_analytics_export_line(ngx_http_analytics_stream_t *s,
    ngx_str_t *text)
{
    ngx_analytics_write_literal(&s->w, ",");
    ngx_http_analytics_csv_cell(&s->w, text);
}


/*
 * RFC 4180.  What a spreadsheet would take for a formula gets an apostrophe
 * before it, which shows a text, as OWASP ("CSV Injection") has it.
 */

void
ngx_http_analytics_csv_cell(ngx_analytics_writer_t *w, ngx_str_t *text)
{
    u_char      *p, *quote, *last;
    ngx_uint_t   quoted;

    p = text->data;
    last = p + text->len;
    quoted = 0;

    for ( /* void */ ; p < last && !quoted; p++) {
        quoted = (*p == '"' || *p == ',' || *p == CR || *p == LF);
    }

    if (quoted) {
        ngx_analytics_write_literal(w, "\"");
    }

    if (ngx_http_analytics_export_formula(text)) {
        ngx_analytics_write_literal(w, "'");
    }

    for (p = text->data; p < last; p = quote + 1) {
        quote = ngx_strlchr(p, last, '"');

        if (quote == NULL) {
            ngx_analytics_write_raw(w, p, last - p);
            break;
        }

        ngx_analytics_write_raw(w, p, quote + 1 - p);
        ngx_analytics_write_literal(w, "\"");
    }

    if (quoted) {
        ngx_analytics_write_literal(w, "\"");
    }
}


/* A number is none, though it may begin with a minus sign. */

static ngx_uint_t
ngx_http_analytics_export_formula(ngx_str_t *text)
{
    if (text->len == 0) {
        return 0;
    }

    switch (text->data[0]) {

    case '=':
    case '+':
    case '-':
    case '@':
    case '\t':
    case CR:
        return !ngx_analytics_canonical_integer(text);

    default:
        return 0;
    }
}
