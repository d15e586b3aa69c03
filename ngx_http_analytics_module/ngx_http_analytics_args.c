
/*
 * Parameters of requests.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_analytics_time.h"


/*
 * Returns NGX_OK with a value, NGX_DECLINED if the parameter is not there,
 * or NGX_ERROR.
 */

static ngx_int_t
ngx_http_analytics_arg(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value)
{
    u_char  *dst, *src;

    if (ngx_http_arg(r, name->data, name->len, value) != NGX_OK) {
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
