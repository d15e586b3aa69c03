
/*
 * The parameters of questions about single events.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_query.h"
#include "ngx_analytics_time.h"


/* bytes of a name that is told to who sent it */
#define NGX_HTTP_ANALYTICS_SHOWN  64


typedef struct {
    ngx_http_analytics_query_t  *query;
    ngx_analytics_format_t      *format;
    ngx_uint_t                   seen;       /* a bit for each parameter */
} ngx_http_analytics_reading_t;


typedef struct {
    ngx_str_t     name;
    ngx_uint_t    allowed;
    const char   *detail;
    ngx_int_t   (*read)(ngx_http_analytics_reading_t *reading,
                        ngx_str_t *value);
} ngx_http_analytics_parameter_t;


static ngx_int_t ngx_http_analytics_read_user(
    ngx_http_analytics_reading_t *reading, ngx_str_t *value);
static ngx_int_t ngx_http_analytics_read_type(
    ngx_http_analytics_reading_t *reading, ngx_str_t *value);
static ngx_int_t ngx_http_analytics_read_from(
    ngx_http_analytics_reading_t *reading, ngx_str_t *value);
static ngx_int_t ngx_http_analytics_read_to(
    ngx_http_analytics_reading_t *reading, ngx_str_t *value);
static ngx_int_t ngx_http_analytics_read_order(
    ngx_http_analytics_reading_t *reading, ngx_str_t *value);
static ngx_int_t ngx_http_analytics_read_skip(
    ngx_http_analytics_reading_t *reading, ngx_str_t *value);
static ngx_int_t ngx_http_analytics_read_limit(
    ngx_http_analytics_reading_t *reading, ngx_str_t *value);
static ngx_int_t ngx_http_analytics_read_after(
    ngx_http_analytics_reading_t *reading, ngx_str_t *value);
static ngx_int_t ngx_http_analytics_read_format(
    ngx_http_analytics_reading_t *reading, ngx_str_t *value);


static ngx_http_analytics_parameter_t  ngx_http_analytics_parameters[] = {

    { ngx_string("user_id"), NGX_HTTP_ANALYTICS_RANGED,
      "must be a user, of 1 to 255 bytes of UTF-8, and an integer where the "
      "format says so",
      ngx_http_analytics_read_user },

    { ngx_string("event_type"), NGX_HTTP_ANALYTICS_TYPED,
      "must be a type, of 1 to 255 bytes of UTF-8",
      ngx_http_analytics_read_type },

    { ngx_string("from"), NGX_HTTP_ANALYTICS_RANGED,
      "must be a time like 2025-10-04T09:30:00Z, not behind \"to\"",
      ngx_http_analytics_read_from },

    { ngx_string("to"), NGX_HTTP_ANALYTICS_RANGED,
      "must be a time like 2025-10-04T09:30:00Z, not before \"from\"",
      ngx_http_analytics_read_to },

    { ngx_string("order"), NGX_HTTP_ANALYTICS_TYPED,
      "must be asc or desc",
      ngx_http_analytics_read_order },

    { ngx_string("skip"), NGX_HTTP_ANALYTICS_PAGED,
      "must be an integer from 0 to 100000; the Link header leads farther",
      ngx_http_analytics_read_skip },

    { ngx_string("limit"), NGX_HTTP_ANALYTICS_PAGED,
      "must be an integer from 1 to 1000",
      ngx_http_analytics_read_limit },

    { ngx_string("after"), NGX_HTTP_ANALYTICS_PAGED,
      "must be what a Link header had, without \"skip\"",
      ngx_http_analytics_read_after },

    { ngx_string("format"), NGX_HTTP_ANALYTICS_FORMAT,
      "must be ndjson, csv or json",
      ngx_http_analytics_read_format },

    { ngx_null_string, 0, NULL, NULL }
};

/* bits of reading.seen: the place in the table */
#define NGX_HTTP_ANALYTICS_SEEN_SKIP   (1 << 5)
#define NGX_HTTP_ANALYTICS_SEEN_AFTER  (1 << 7)


static ngx_int_t ngx_http_analytics_query_pair(
    ngx_http_analytics_reading_t *reading, ngx_uint_t allowed,
    ngx_str_t *name, ngx_str_t *value, const char **detail);
static ngx_http_analytics_parameter_t *ngx_http_analytics_query_parameter(
    ngx_uint_t allowed, ngx_str_t *name);
static ngx_int_t ngx_http_analytics_query_name(ngx_str_t *value,
    ngx_str_t *name);
static ngx_int_t ngx_http_analytics_query_time(ngx_str_t *value,
    int64_t *time);
static ngx_int_t ngx_http_analytics_query_wrong(ngx_http_request_t *r,
    ngx_str_t *field, const char **detail);
static ngx_int_t ngx_http_analytics_query_check(
    ngx_http_analytics_reading_t *reading, ngx_str_t *field,
    const char **detail);
static ngx_uint_t ngx_http_analytics_query_begins(ngx_str_t *name);
static u_char *ngx_http_analytics_query_escape(u_char *p, ngx_str_t *text);


ngx_int_t
ngx_http_analytics_query_read(ngx_http_request_t *r,
    ngx_analytics_format_t *format, ngx_uint_t allowed,
    ngx_http_analytics_query_t *query, ngx_str_t *field, const char **detail)
{
    ngx_int_t                     rc;
    ngx_str_t                     args, value;
    ngx_http_analytics_reading_t  reading;

    ngx_memzero(&reading, sizeof(ngx_http_analytics_reading_t));

    reading.query = query;
    reading.format = format;

    args = r->args;

    for ( ;; ) {
        rc = ngx_http_analytics_arg_next(r, &args, field, &value);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_DONE) {
            rc = ngx_http_analytics_query_check(&reading, field, detail);

            if (rc == NGX_OK) {
                return NGX_OK;
            }

        } else if (rc == NGX_DECLINED) {
            *detail = "is not percent-encoded as it must be";

        } else {
            rc = ngx_http_analytics_query_pair(&reading, allowed, field,
                                               &value, detail);
        }

        if (rc != NGX_OK) {
            return ngx_http_analytics_query_wrong(r, field, detail);
        }
    }
}


/* Strangers choose the names of unknown ones, and these go into an answer. */

static ngx_int_t
ngx_http_analytics_query_wrong(ngx_http_request_t *r, ngx_str_t *field,
    const char **detail)
{
    u_char     *p;
    size_t      i;
    ngx_str_t   name;

    name.len = ngx_min(field->len, NGX_HTTP_ANALYTICS_SHOWN);

    name.data = ngx_pnalloc(r->pool, name.len);
    p = ngx_pnalloc(r->pool, name.len + sizeof(" ") + ngx_strlen(*detail));

    if (name.data == NULL || p == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < name.len; i++) {
        name.data[i] = (field->data[i] >= 0x20 && field->data[i] < 0x7f)
                       ? field->data[i] : '?';
    }

    ngx_sprintf(p, "%V %s%Z", &name, *detail);

    *field = name;
    *detail = (char *) p;

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_analytics_query_pair(ngx_http_analytics_reading_t *reading,
    ngx_uint_t allowed, ngx_str_t *name, ngx_str_t *value,
    const char **detail)
{
    ngx_uint_t                       bit;
    ngx_http_analytics_parameter_t  *p;

    p = ngx_http_analytics_query_parameter(allowed, name);

    if (p == NULL) {
        *detail = "is no parameter here";
        return NGX_DECLINED;
    }

    bit = (ngx_uint_t) 1 << (p - ngx_http_analytics_parameters);

    if (reading->seen & bit) {
        *detail = "is there twice";
        return NGX_DECLINED;
    }

    if (value->len == 0) {
        return NGX_OK;
    }

    reading->seen |= bit;

    if (p->read(reading, value) != NGX_OK) {
        *detail = p->detail;
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_http_analytics_parameter_t *
ngx_http_analytics_query_parameter(ngx_uint_t allowed, ngx_str_t *name)
{
    ngx_http_analytics_parameter_t  *p;

    for (p = ngx_http_analytics_parameters; p->name.len; p++) {

        if (p->name.len == name->len
            && ngx_memcmp(p->name.data, name->data, name->len) == 0
            && (p->allowed & ~allowed) == 0)
        {
            return p;
        }
    }

    return NULL;
}


/* What can be told only when all are read. */

static ngx_int_t
ngx_http_analytics_query_check(ngx_http_analytics_reading_t *reading,
    ngx_str_t *field, const char **detail)
{
    if (reading->query->filter.from > reading->query->filter.to) {
        ngx_str_set(field, "from");
        *detail = "must not be behind \"to\"";

        return NGX_DECLINED;
    }

    if ((reading->seen & NGX_HTTP_ANALYTICS_SEEN_SKIP)
        && (reading->seen & NGX_HTTP_ANALYTICS_SEEN_AFTER))
    {
        ngx_str_set(field, "skip");
        *detail = "cannot be had with \"after\"";

        return NGX_DECLINED;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_read_user(ngx_http_analytics_reading_t *reading,
    ngx_str_t *value)
{
    if (reading->format->integer
        && !ngx_analytics_canonical_integer(value)
        && !ngx_analytics_pseudonym_is(value))
    {
        return NGX_ERROR;
    }

    return ngx_http_analytics_query_name(value, &reading->query->filter.user);
}


static ngx_int_t
ngx_http_analytics_read_type(ngx_http_analytics_reading_t *reading,
    ngx_str_t *value)
{
    return ngx_http_analytics_query_name(value, &reading->query->filter.type);
}


static ngx_int_t
ngx_http_analytics_query_name(ngx_str_t *value, ngx_str_t *name)
{
    u_char    *p, *last;
    uint32_t   c;

    if (value->len > NGX_ANALYTICS_NAME_MAX) {
        return NGX_ERROR;
    }

    p = value->data;
    last = p + value->len;

    while (p < last) {
        c = (*p < 0x80) ? *p++ : ngx_utf8_decode(&p, last - p);

        if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
            return NGX_ERROR;
        }
    }

    *name = *value;

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_read_from(ngx_http_analytics_reading_t *reading,
    ngx_str_t *value)
{
    return ngx_http_analytics_query_time(value, &reading->query->filter.from);
}


static ngx_int_t
ngx_http_analytics_read_to(ngx_http_analytics_reading_t *reading,
    ngx_str_t *value)
{
    return ngx_http_analytics_query_time(value, &reading->query->filter.to);
}


/*
 * A plus sign that was not encoded came as a space; there can be one between
 * the date and the time, too.
 */

static ngx_int_t
ngx_http_analytics_query_time(ngx_str_t *value, int64_t *time)
{
    size_t  i;

    for (i = sizeof("2025-10-04 "); i < value->len; i++) {
        if (value->data[i] == ' ') {
            value->data[i] = '+';
        }
    }

    return ngx_analytics_time_parse(value, time);
}


static ngx_int_t
ngx_http_analytics_read_order(ngx_http_analytics_reading_t *reading,
    ngx_str_t *value)
{
    if (value->len == 3 && ngx_memcmp(value->data, "asc", 3) == 0) {
        reading->query->filter.descending = 0;
        return NGX_OK;
    }

    if (value->len == 4 && ngx_memcmp(value->data, "desc", 4) == 0) {
        reading->query->filter.descending = 1;
        return NGX_OK;
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_analytics_read_skip(ngx_http_analytics_reading_t *reading,
    ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n == NGX_ERROR || n > NGX_HTTP_ANALYTICS_SKIP_MAX) {
        return NGX_ERROR;
    }

    reading->query->skip = (uint64_t) n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_read_limit(ngx_http_analytics_reading_t *reading,
    ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n < 1 || n > NGX_HTTP_ANALYTICS_LIMIT_MAX) {
        return NGX_ERROR;
    }

    reading->query->limit = (uint64_t) n;

    return NGX_OK;
}


/* TIME-ID, both as integers: microseconds since the epoch */

static ngx_int_t
ngx_http_analytics_read_after(ngx_http_analytics_reading_t *reading,
    ngx_str_t *value)
{
    u_char                  *dash, *last;
    ngx_int_t                time, id;
    ngx_analytics_filter_t  *filter;

    last = value->data + value->len;
    dash = ngx_strlchr(value->data, last, '-');

    if (dash == NULL) {
        return NGX_ERROR;
    }

    time = ngx_atoi(value->data, dash - value->data);
    id = ngx_atoi(dash + 1, last - (dash + 1));

    if (time == NGX_ERROR || id == NGX_ERROR) {
        return NGX_ERROR;
    }

    filter = &reading->query->filter;

    filter->after = 1;
    filter->after_time = time;
    filter->after_id = (uint64_t) id;

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_read_format(ngx_http_analytics_reading_t *reading,
    ngx_str_t *value)
{
    ngx_uint_t  i;

    static ngx_str_t  outputs[] = {
        ngx_string("json"),
        ngx_string("ndjson"),
        ngx_string("csv"),
        ngx_null_string
    };

    for (i = 0; outputs[i].len; i++) {

        if (outputs[i].len == value->len
            && ngx_memcmp(outputs[i].data, value->data, value->len) == 0)
        {
            reading->query->output = i;
            return NGX_OK;
        }
    }

    return NGX_ERROR;
}


/*
 * The same request, but for where it begins.  Names are compared as they were
 * meant, however they were encoded.
 */

ngx_int_t
ngx_http_analytics_query_link(ngx_http_request_t *r, int64_t time,
    uint64_t id, ngx_str_t *link)
{
    u_char     *p;
    ngx_int_t   rc;
    ngx_str_t   path, args, arg, name, value;

    path = r->unparsed_uri;

    p = ngx_strlchr(path.data, path.data + path.len, '?');

    if (p) {
        path.len = p - path.data;
    }

    /* two slashes would be another host */

    while (path.len > 1 && path.data[1] == '/') {
        path.data++;
        path.len--;
    }

    p = ngx_pnalloc(r->pool, 3 * (path.len + r->args.len) + 2 * NGX_INT64_LEN
                             + sizeof("<?&after=->; rel=\"next\""));
    if (p == NULL) {
        return NGX_ERROR;
    }

    link->data = p;

    *p++ = '<';
    p = ngx_http_analytics_query_escape(p, &path);
    *p++ = '?';

    for (args = r->args; args.len; args.data++, args.len--) {
        arg = args;

        if (*arg.data == '&') {
            continue;
        }

        rc = ngx_http_analytics_arg_next(r, &args, &name, &value);

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        arg.len -= args.len;

        if (!ngx_http_analytics_query_begins(&name)) {
            p = ngx_http_analytics_query_escape(p, &arg);
            *p++ = '&';
        }

        if (args.len == 0) {
            break;
        }
    }

    p = ngx_sprintf(p, "after=%L-%uL>; rel=\"next\"", time, id);

    link->len = p - link->data;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_analytics_query_begins(ngx_str_t *name)
{
    return (name->len == 5 && ngx_memcmp(name->data, "after", 5) == 0)
           || (name->len == 4 && ngx_memcmp(name->data, "skip", 4) == 0);
}


/* nginx takes what must not be in an address, and would end it in a Link. */

static u_char *
ngx_http_analytics_query_escape(u_char *p, ngx_str_t *text)
{
    u_char  *src, *last;

    last = text->data + text->len;

    for (src = text->data; src < last; src++) {

        if (*src > 0x20 && *src < 0x7f
            && ngx_strchr("\"<>\\^`{|}", *src) == NULL)
        {
            *p++ = *src;

        } else {
            p = ngx_sprintf(p, "%%%02Xd", (int) *src);
        }
    }

    return p;
}
