
/*
 * Paths, parameters and headers of requests.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_analytics_time.h"


static ngx_int_t ngx_http_analytics_unescape(ngx_http_request_t *r,
    ngx_str_t *text);
static ngx_int_t ngx_http_analytics_uri_rest(ngx_http_request_t *r,
    ngx_str_t *rest);


/*
 * Returns NGX_OK with a value, NGX_DECLINED if the parameter is not there,
 * or NGX_ERROR.
 */

ngx_int_t
ngx_http_analytics_arg(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value)
{
    u_char  *dst, *src;

    if (ngx_http_arg(r, name->data, name->len, value) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (value->len == 0 && ngx_http_analytics_joined(r)) {

        /* of a variable, that is: nobody wrote it */

        return NGX_DECLINED;
    }

    if (ngx_strlchr(value->data, value->data + value->len, '%') == NULL) {
        return NGX_OK;
    }

    dst = ngx_pnalloc(r->pool, value->len);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    src = value->data;
    value->data = dst;

    ngx_unescape_uri(&dst, &src, value->len, 0);

    value->len = dst - value->data;

    return NGX_OK;
}


ngx_int_t
ngx_http_analytics_arg_uint(ngx_http_request_t *r, ngx_str_t *name,
    ngx_uint_t max, ngx_uint_t *value, const char **detail)
{
    u_char     *p;
    ngx_int_t   n, rc;
    ngx_str_t   text;

    rc = ngx_http_analytics_arg(r, name, &text);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    n = (rc == NGX_OK) ? ngx_atoi(text.data, text.len) : NGX_ERROR;

    if (n < 1 || (ngx_uint_t) n > max) {
        p = ngx_pnalloc(r->pool, name->len + NGX_INT_T_LEN
                                 + sizeof(" must be an integer from 1 to "));
        if (p == NULL) {
            *detail = "a parameter is not valid";
            return NGX_ERROR;
        }

        ngx_sprintf(p, "%V must be an integer from 1 to %ui%Z", name, max);
        *detail = (char *) p;

        return NGX_ERROR;
    }

    *value = n;

    return NGX_OK;
}


ngx_int_t
ngx_http_analytics_arg_date(ngx_http_request_t *r, ngx_str_t *name,
    int64_t *day, const char **detail)
{
    u_char     *p;
    ngx_int_t   rc;
    ngx_str_t   text;

    rc = ngx_http_analytics_arg(r, name, &text);

    if (rc == NGX_DECLINED) {
        return NGX_OK;
    }

    if (rc != NGX_OK || ngx_analytics_date_parse(&text, day) != NGX_OK) {

        p = ngx_pnalloc(r->pool, name->len
                        + sizeof(" must be a date like 2025-10-04"));
        if (p == NULL) {
            *detail = "a parameter is not valid";
            return NGX_ERROR;
        }

        ngx_sprintf(p, "%V must be a date like 2025-10-04%Z", name);
        *detail = (char *) p;

        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_table_elt_t *
ngx_http_analytics_header_next(ngx_http_request_t *r, ngx_str_t *name,
    ngx_http_analytics_walk_t *walk)
{
    ngx_table_elt_t  *h;

    if (walk->part == NULL) {
        walk->part = &r->headers_in.headers.part;
    }

    for ( ;; ) {

        if (walk->i >= walk->part->nelts) {
            if (walk->part->next == NULL) {
                return NULL;
            }

            walk->part = walk->part->next;
            walk->i = 0;
        }

        h = (ngx_table_elt_t *) walk->part->elts + walk->i++;

        if (h->key.len == name->len
            && ngx_strncmp(h->lowcase_key, name->data, name->len) == 0)
        {
            return h;
        }
    }
}


/*
 * Passes over the next parameter of *args.  Unlike ngx_http_arg(), it tells
 * of those that nobody knows.
 */

ngx_int_t
ngx_http_analytics_arg_next(ngx_http_request_t *r, ngx_str_t *args,
    ngx_str_t *name, ngx_str_t *value)
{
    u_char     *p, *last, *end, *equals;
    ngx_int_t   rc;

    p = args->data;
    last = p + args->len;

    while (p < last && *p == '&') {
        p++;
    }

    if (p == last) {
        return NGX_DONE;
    }

    end = ngx_strlchr(p, last, '&');

    if (end == NULL) {
        end = last;
    }

    equals = ngx_strlchr(p, end, '=');

    if (equals == NULL) {
        equals = end;
    }

    args->len = last - end;
    args->data = end;

    name->data = p;
    name->len = equals - p;

    value->data = ngx_min(equals + 1, end);
    value->len = end - value->data;

    rc = ngx_http_analytics_unescape(r, name);

    return (rc == NGX_OK) ? ngx_http_analytics_unescape(r, value) : rc;
}


/*
 * As forms and URLSearchParams write it, with "+" for a space.  A name that
 * is not is left as it came, to be told.
 */

static ngx_int_t
ngx_http_analytics_unescape(ngx_http_request_t *r, ngx_str_t *text)
{
    u_char     *p, *dst, *start, *last;
    ngx_int_t   n;

    if (text->len == 0) {
        return NGX_OK;
    }

    start = ngx_pnalloc(r->pool, text->len);
    if (start == NULL) {
        return NGX_ERROR;
    }

    last = text->data + text->len;
    dst = start;

    for (p = text->data; p < last; p++) {

        if (*p != '%') {
            *dst++ = (*p == '+') ? ' ' : *p;
            continue;
        }

        n = (last - p > 2) ? ngx_hextoi(p + 1, 2) : NGX_ERROR;

        if (n == NGX_ERROR) {
            return NGX_DECLINED;
        }

        *dst++ = (u_char) n;
        p += 2;
    }

    text->data = start;
    text->len = dst - start;

    return NGX_OK;
}


/*
 * What follows the location's name in the path.
 *
 * In r->uri nginx has already resolved escapes, merged slashes and removed
 * dots, so that those which belong to a name are gone.  So the name is taken
 * as the client sent it, if it did so under the location's own name.  Where a
 * regular expression or a rewrite chose the location, by r->uri, it is the
 * last segment there.
 */

ngx_int_t
ngx_http_analytics_uri_name(ngx_http_request_t *r, ngx_str_t *suffix,
    ngx_str_t *name)
{
    u_char      *dst, *src;
    ngx_str_t    raw;
    ngx_uint_t   resolved;

    resolved = (ngx_http_analytics_uri_rest(r, &raw) != NGX_OK);

    if (resolved) {
        raw = r->uri;
    }

    if (raw.len && raw.data[raw.len - 1] == '/') {
        raw.len--;
    }

    if (suffix->len
        && (raw.len < suffix->len
            || ngx_memcmp(raw.data + raw.len - suffix->len, suffix->data,
                          suffix->len)
               != 0))
    {
        return NGX_DECLINED;
    }

    raw.len -= suffix->len;

    if (resolved) {
        src = raw.data + raw.len;

        for (dst = src; dst > raw.data && dst[-1] != '/'; dst--) {
            /* void */
        }

        name->data = dst;
        name->len = src - dst;

        return name->len ? NGX_OK : NGX_DECLINED;
    }

    dst = ngx_pnalloc(r->pool, raw.len + 1);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    name->data = dst;
    src = raw.data;

    ngx_unescape_uri(&dst, &src, raw.len, 0);

    name->len = dst - name->data;

    return name->len ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_analytics_uri_rest(ngx_http_request_t *r, ngx_str_t *rest)
{
    u_char                    *p, *last;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r != r->main || r->internal || clcf->exact_match || clcf->noname
#if (NGX_PCRE)
        || clcf->regex
#endif
        || r->unparsed_uri.len < clcf->name.len
        || ngx_memcmp(r->unparsed_uri.data, clcf->name.data, clcf->name.len)
           != 0)
    {
        return NGX_DECLINED;
    }

    rest->data = r->unparsed_uri.data + clcf->name.len;
    last = r->unparsed_uri.data + r->unparsed_uri.len;

    for (p = rest->data; p < last; p++) {
        if (*p == '?' || *p == '#') {
            break;
        }
    }

    rest->len = p - rest->data;

    return NGX_OK;
}
