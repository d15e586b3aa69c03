
/*
 * Answers: the one way to send JSON, and the one way to send a problem.
 *
 * An error status is sent as an answer of our own, not returned: nginx would
 * make an HTML page of it and close the connection.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"


static const char *ngx_http_analytics_title(ngx_uint_t status);
static ngx_int_t ngx_http_analytics_allow(ngx_http_request_t *r,
    ngx_uint_t mask);
static cJSON *ngx_http_analytics_problem_json(ngx_http_request_t *r,
    ngx_uint_t status, const char *detail, ngx_str_t *field,
    ngx_analytics_decode_t *decode);
static ngx_int_t ngx_http_analytics_problem_errors(ngx_http_request_t *r,
    cJSON *json, ngx_analytics_decode_t *decode);
static cJSON *ngx_http_analytics_problem_error(ngx_http_request_t *r,
    ngx_str_t *field, const char *detail);


static ngx_str_t  ngx_http_analytics_json_type =
    ngx_string("application/json");
static ngx_str_t  ngx_http_analytics_problem_type =
    ngx_string("application/problem+json");


ngx_int_t
ngx_http_analytics_methods(ngx_http_request_t *r, ngx_uint_t mask)
{
    ngx_int_t   rc;
    ngx_uint_t  method;

    method = (r->method == NGX_HTTP_HEAD) ? NGX_HTTP_GET : r->method;

    if (method & mask) {
        return NGX_DECLINED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_analytics_allow(r, mask) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (method != NGX_HTTP_OPTIONS) {
        return ngx_http_analytics_problem(r, NGX_HTTP_NOT_ALLOWED,
                                          "the method is not allowed here",
                                          NULL, NULL);
    }

    return ngx_http_analytics_send_status(r, NGX_HTTP_NO_CONTENT);
}


ngx_int_t
ngx_http_analytics_get(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_analytics_methods(r, NGX_HTTP_GET);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    rc = ngx_http_discard_request_body(r);

    return (rc == NGX_OK) ? NGX_DECLINED : rc;
}


ngx_int_t
ngx_http_analytics_send_status(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_int_t  rc;

    r->headers_out.status = status;

    if (status == NGX_HTTP_NO_CONTENT) {
        r->header_only = 1;

    } else {
        r->headers_out.content_length_n = 0;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_send_special(r, NGX_HTTP_LAST);
}


static ngx_int_t
ngx_http_analytics_allow(ngx_http_request_t *r, ngx_uint_t mask)
{
    ngx_str_t  *allow;

    static ngx_str_t  get = ngx_string("GET, HEAD, OPTIONS");
    static ngx_str_t  post = ngx_string("POST, OPTIONS");
    static ngx_str_t  delete = ngx_string("DELETE, OPTIONS");
    static ngx_str_t  both = ngx_string("GET, HEAD, POST, OPTIONS");
    static ngx_str_t  person = ngx_string("GET, HEAD, DELETE, OPTIONS");

    switch (mask) {

    case NGX_HTTP_GET:
        allow = &get;
        break;

    case NGX_HTTP_POST:
        allow = &post;
        break;

    case NGX_HTTP_DELETE:
        allow = &delete;
        break;

    case NGX_HTTP_GET|NGX_HTTP_DELETE:
        allow = &person;
        break;

    default: /* NGX_HTTP_GET|NGX_HTTP_POST */
        allow = &both;
    }

    return ngx_http_analytics_header(r, "Allow", allow);
}


ngx_int_t
ngx_http_analytics_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.len = ngx_strlen(name);
    h->key.data = (u_char *) name;
    h->value = *value;

#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}


ngx_int_t
ngx_http_analytics_inexact(ngx_http_request_t *r, const char *why)
{
    ngx_str_t  value;

    value.len = sizeof("false; ") - 1 + ngx_strlen(why);

    value.data = ngx_pnalloc(r->pool, value.len);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_cpymem(value.data, "false; ", sizeof("false; ") - 1), why,
               ngx_strlen(why));

    return ngx_http_analytics_header(r, "X-Analytics-Exact", &value);
}


ngx_int_t
ngx_http_analytics_send_json(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *json)
{
    return ngx_http_analytics_send_body(r, status,
                                        &ngx_http_analytics_json_type, json);
}


ngx_int_t
ngx_http_analytics_send_writer(ngx_http_request_t *r,
    ngx_analytics_writer_t *w)
{
    return ngx_http_analytics_send_text(r, w, &ngx_http_analytics_json_type);
}


ngx_int_t
ngx_http_analytics_send_text(ngx_http_request_t *r, ngx_analytics_writer_t *w,
    ngx_str_t *type)
{
    ngx_str_t                       text;
    ngx_http_analytics_zone_t      *zone;
    ngx_http_analytics_loc_conf_t  *alcf;

    if (w->failed) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);
    zone = alcf->zone;

    if (zone && zone->path && zone->shared->rebuilds != zone->seen) {

        /* names of types may have been read from memory that was cleared */

        return ngx_http_analytics_problem(r, NGX_HTTP_SERVICE_UNAVAILABLE,
                                          "the zone was read anew meanwhile",
                                          NULL, NULL);
    }

    text.data = w->start;
    text.len = w->pos - w->start;

    return ngx_http_analytics_send_body(r, NGX_HTTP_OK, type, &text);
}


ngx_int_t
ngx_http_analytics_send_body(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, ngx_str_t *text)
{
    u_char       *parameters;
    ngx_buf_t    *b;
    ngx_int_t     rc;
    ngx_chain_t   out;

    r->headers_out.status = status;

    if (ngx_http_analytics_joined(r)) {
        ngx_http_analytics_join_take(r, type, text);
        return NGX_OK;
    }

    r->headers_out.content_length_n = text->len;
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;

    /* what is behind it belongs to no type that gzip_types may name */

    parameters = ngx_strlchr(type->data, type->data + type->len, ';');

    if (parameters) {
        r->headers_out.content_type_len = parameters - type->data;
    }

    if (status == NGX_HTTP_UNPROCESSABLE_ENTITY) {

        /* nginx knows no text for it */

        ngx_str_set(&r->headers_out.status_line, "422 Unprocessable Content");
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = text->data;
    b->last = text->data + text->len;
    b->memory = 1;
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_analytics_print(ngx_http_request_t *r, cJSON *json, ngx_str_t *text)
{
    char  *printed;

    printed = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);

    if (printed == NULL) {
        return NGX_ERROR;
    }

    text->len = ngx_strlen(printed);
    text->data = ngx_pnalloc(r->pool, text->len);

    if (text->data) {
        ngx_memcpy(text->data, printed, text->len);
    }

    cJSON_free(printed);

    return text->data ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_analytics_problem(ngx_http_request_t *r, ngx_uint_t status,
    const char *detail, ngx_str_t *field, ngx_analytics_decode_t *decode)
{
    cJSON      *json;
    ngx_str_t   text, retry;

    json = ngx_http_analytics_problem_json(r, status, detail, field, decode);
    if (json == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_analytics_print(r, json, &text) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (status == NGX_HTTP_SERVICE_UNAVAILABLE) {
        ngx_str_set(&retry, "5");

        if (ngx_http_analytics_header(r, "Retry-After", &retry) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    return ngx_http_analytics_send_body(r, status,
                                        &ngx_http_analytics_problem_type,
                                        &text);
}


static cJSON *
ngx_http_analytics_problem_json(ngx_http_request_t *r, ngx_uint_t status,
    const char *detail, ngx_str_t *field, ngx_analytics_decode_t *decode)
{
    cJSON  *json, *errors, *error;

    json = cJSON_CreateObject();
    if (json == NULL) {
        return NULL;
    }

    if (cJSON_AddStringToObject(json, "title",
                                ngx_http_analytics_title(status)) == NULL
        || cJSON_AddNumberToObject(json, "status", status) == NULL
        || cJSON_AddStringToObject(json, "detail", detail) == NULL)
    {
        goto failed;
    }

    if (field) {
        errors = cJSON_AddArrayToObject(json, "errors");
        error = ngx_http_analytics_problem_error(r, field, detail);

        if (errors == NULL || !cJSON_AddItemToArray(errors, error)) {
            cJSON_Delete(error);
            goto failed;
        }
    }

    if (decode && ngx_http_analytics_problem_errors(r, json, decode)
                  != NGX_OK)
    {
        goto failed;
    }

    return json;

failed:

    cJSON_Delete(json);

    return NULL;
}


static ngx_int_t
ngx_http_analytics_problem_errors(ngx_http_request_t *r, cJSON *json,
    ngx_analytics_decode_t *decode)
{
    cJSON                  *errors, *error;
    ngx_uint_t              i;
    ngx_analytics_error_t  *e;

    if (decode->nerrors == 0) {

        /* not JSON at all: the place is what helps */

        return cJSON_AddNumberToObject(json, "offset", decode->offset)
               ? NGX_OK : NGX_ERROR;
    }

    errors = cJSON_AddArrayToObject(json, "errors");
    if (errors == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < decode->nerrors; i++) {
        e = &decode->errors[i];

        error = ngx_http_analytics_problem_error(r, &e->field, e->detail);

        if (error == NULL || !cJSON_AddItemToArray(errors, error)) {
            cJSON_Delete(error);
            return NGX_ERROR;
        }

        if (cJSON_AddNumberToObject(error, "index", e->index) == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static cJSON *
ngx_http_analytics_problem_error(ngx_http_request_t *r, ngx_str_t *field,
    const char *detail)
{
    char   *name;
    cJSON  *error;

    error = cJSON_CreateObject();
    if (error == NULL) {
        return NULL;
    }

    if (field->len) {
        name = ngx_pnalloc(r->pool, field->len + 1);
        if (name == NULL) {
            goto failed;
        }

        (void) ngx_cpystrn((u_char *) name, field->data, field->len + 1);

        if (cJSON_AddStringToObject(error, "field", name) == NULL) {
            goto failed;
        }
    }

    if (cJSON_AddStringToObject(error, "detail", detail) == NULL) {
        goto failed;
    }

    return error;

failed:

    cJSON_Delete(error);

    return NULL;
}


static const char *
ngx_http_analytics_title(ngx_uint_t status)
{
    switch (status) {

    case NGX_HTTP_BAD_REQUEST:
        return "Bad Request";

    case NGX_HTTP_NOT_FOUND:
        return "Not Found";

    case NGX_HTTP_NOT_ALLOWED:
        return "Method Not Allowed";

    case NGX_HTTP_CONFLICT:
        return "Conflict";

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        return "Content Too Large";

    case NGX_HTTP_UNSUPPORTED_MEDIA_TYPE:
        return "Unsupported Media Type";

    case NGX_HTTP_UNPROCESSABLE_ENTITY:
        return "Unprocessable Content";

    case NGX_HTTP_SERVICE_UNAVAILABLE:
        return "Service Unavailable";

    default:
        return "Internal Server Error";
    }
}
