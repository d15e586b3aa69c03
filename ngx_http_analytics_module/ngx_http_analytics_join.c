
/*
 * analytics_join: the answers of several locations in one, as members of an
 * object, by subrequests.
 *
 *     {"generated_at":...,MEMBER:answer,...}
 *
 * An answer of this module is taken as it is made, before any filter; that of
 * others from the memory that nginx keeps it in.  If one is an error, it is
 * the answer to all.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_metrics.h"
#include "ngx_analytics_json.h"


#define NGX_HTTP_ANALYTICS_JOIN_MAX  32


/* A member that is declared. */
typedef struct {
    ngx_str_t                      name;
    ngx_http_complex_value_t       uri;
} ngx_http_analytics_join_member_t;


typedef struct ngx_http_analytics_join_s  ngx_http_analytics_join_t;


/* What its location answered. */
typedef struct {
    ngx_http_analytics_join_t         *join;
    ngx_http_analytics_join_member_t  *member;
    ngx_uint_t                         status;  /* 0: not yet */
    ngx_str_t                          type;
    ngx_str_t                          text;
    ngx_str_t                          exact;   /* a header, or empty */
} ngx_http_analytics_join_answer_t;


struct ngx_http_analytics_join_s {
    ngx_uint_t                         n;
    ngx_uint_t                         waits;  /* for so many of them */
    ngx_http_analytics_join_answer_t  *answers;
};


static char *ngx_http_analytics_join_member(ngx_conf_t *cf,
    ngx_array_t *members, ngx_str_t *value);
static ngx_int_t ngx_http_analytics_join_ask(ngx_http_request_t *r,
    ngx_http_analytics_join_answer_t *answer);
static ngx_int_t ngx_http_analytics_join_done(ngx_http_request_t *r,
    void *data, ngx_int_t rc);
static ngx_uint_t ngx_http_analytics_join_valid(ngx_http_request_t *r,
    ngx_str_t *text);
static void ngx_http_analytics_join_header(ngx_http_request_t *r,
    ngx_http_analytics_join_answer_t *answer);
static void ngx_http_analytics_join_write(ngx_http_request_t *r);
static ngx_int_t ngx_http_analytics_join_send(ngx_http_request_t *r,
    ngx_http_analytics_join_t *join);
static ngx_int_t ngx_http_analytics_join_check(ngx_http_request_t *r,
    ngx_http_analytics_join_answer_t *answer);


static ngx_str_t  ngx_http_analytics_join_json =
    ngx_string("application/json");
static ngx_str_t  ngx_http_analytics_join_problem =
    ngx_string("application/problem+json");
static ngx_str_t  ngx_http_analytics_join_exact =
    ngx_string("X-Analytics-Exact");


char *
ngx_http_analytics_conf_join(ngx_conf_t *cf,
    ngx_http_analytics_loc_conf_t *alcf)
{
    char        *rv;
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    if (cf->args->nelts - 2 > NGX_HTTP_ANALYTICS_JOIN_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "at most %d members can be joined",
                           NGX_HTTP_ANALYTICS_JOIN_MAX);
        return NGX_CONF_ERROR;
    }

    alcf->join = ngx_array_create(cf->pool, cf->args->nelts - 2,
                                  sizeof(ngx_http_analytics_join_member_t));
    if (alcf->join == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_analytics_join_member(cf, alcf->join, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


/* MEMBER=URI, with variables */

static char *
ngx_http_analytics_join_member(ngx_conf_t *cf, ngx_array_t *members,
    ngx_str_t *value)
{
    u_char                             *p, *last;
    ngx_str_t                           name, uri;
    ngx_uint_t                          i;
    ngx_http_analytics_join_member_t   *member;
    ngx_http_compile_complex_value_t    ccv;

    last = value->data + value->len;
    p = ngx_strlchr(value->data, last, '=');

    if (p == NULL || p + 1 == last || p[1] != '/') {
        return ngx_http_analytics_invalid(cf, "member", value);
    }

    name.data = value->data;
    name.len = p - value->data;

    uri.data = p + 1;
    uri.len = last - uri.data;

    if (!ngx_http_analytics_is_name(&name)) {
        return ngx_http_analytics_invalid(cf, "name of a member", value);
    }

    member = members->elts;

    for (i = 0; i < members->nelts; i++) {
        if (member[i].name.len == name.len
            && ngx_strncmp(member[i].name.data, name.data, name.len) == 0)
        {
            return ngx_http_analytics_invalid(cf, "second member", value);
        }
    }

    member = ngx_array_push(members);
    if (member == NULL) {
        return NGX_CONF_ERROR;
    }

    member->name = name;

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &uri;
    ccv.complex_value = &member->uri;

    return (ngx_http_compile_complex_value(&ccv) == NGX_OK) ? NGX_CONF_OK
                                                            : NGX_CONF_ERROR;
}


ngx_int_t
ngx_http_analytics_join_handler(ngx_http_request_t *r)
{
    ngx_int_t                          rc;
    ngx_uint_t                         i;
    ngx_http_analytics_join_t         *join;
    ngx_http_analytics_loc_conf_t     *alcf;
    ngx_http_analytics_join_member_t  *member;

    rc = ngx_http_analytics_get(r);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (r != r->main) {

        /* it could ask for itself, and so on */

        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "\"analytics_join\" cannot be had by a subrequest");

        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    alcf = ngx_http_get_module_loc_conf(r, ngx_http_analytics_module);

    rc = ngx_http_analytics_fresh(r, alcf->zone);
    if (rc != NGX_DECLINED) {
        return rc;
    }

    member = alcf->join->elts;

    join = ngx_palloc(r->pool, sizeof(ngx_http_analytics_join_t));
    if (join == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    join->n = alcf->join->nelts;
    join->waits = join->n;

    join->answers = ngx_pcalloc(r->pool, join->n
                                  * sizeof(ngx_http_analytics_join_answer_t));
    if (join->answers == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    for (i = 0; i < join->n; i++) {
        join->answers[i].join = join;
        join->answers[i].member = &member[i];

        if (ngx_http_analytics_join_ask(r, &join->answers[i]) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    ngx_http_set_ctx(r, join, ngx_http_analytics_module);

    r->write_event_handler = ngx_http_analytics_join_write;
    r->main->count++;

    return NGX_DONE;
}


static ngx_int_t
ngx_http_analytics_join_ask(ngx_http_request_t *r,
    ngx_http_analytics_join_answer_t *answer)
{
    u_char                      *p, *last;
    ngx_str_t                    uri, args;
    ngx_http_request_t          *sr;
    ngx_http_post_subrequest_t  *ps;

    if (ngx_http_complex_value(r, &answer->member->uri, &uri) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_str_null(&args);

    last = uri.data + uri.len;
    p = ngx_strlchr(uri.data, last, '?');

    if (p) {
        uri.len = p - uri.data;
        args.data = p + 1;
        args.len = last - args.data;
    }

    ps = ngx_palloc(r->pool, sizeof(ngx_http_post_subrequest_t));
    if (ps == NULL) {
        return NGX_ERROR;
    }

    ps->handler = ngx_http_analytics_join_done;
    ps->data = answer;

    return ngx_http_subrequest(r, &uri, &args, &sr, ps,
                               NGX_HTTP_SUBREQUEST_IN_MEMORY
                               |NGX_HTTP_SUBREQUEST_WAITED);
}


ngx_uint_t
ngx_http_analytics_joined(ngx_http_request_t *r)
{
    return r->post_subrequest
           && r->post_subrequest->handler == ngx_http_analytics_join_done;
}


ngx_uint_t
ngx_http_analytics_joins(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone)
{
    ngx_http_analytics_loc_conf_t  *alcf;

    if (!ngx_http_analytics_joined(r)) {
        return 0;
    }

    alcf = ngx_http_get_module_loc_conf(r->main, ngx_http_analytics_module);

    return alcf->zone == zone;
}


void
ngx_http_analytics_join_take(ngx_http_request_t *r, ngx_str_t *type,
    ngx_str_t *text)
{
    ngx_http_analytics_join_answer_t  *answer;

    answer = r->post_subrequest->data;

    answer->type = *type;
    answer->text = *text;
}


/* A status that nginx would make a page of is enough. */

static ngx_int_t
ngx_http_analytics_join_done(ngx_http_request_t *r, void *data, ngx_int_t rc)
{
    ngx_buf_t                         *b;
    ngx_http_analytics_join_answer_t  *answer = data;

    if (answer->status) {
        return NGX_OK;
    }

    if (rc == NGX_AGAIN || r->buffered || r->postponed) {

        /* it will be called again */

        return rc;
    }

    answer->status = (rc == NGX_ERROR) ? NGX_HTTP_INTERNAL_SERVER_ERROR
                     : (rc >= NGX_HTTP_SPECIAL_RESPONSE)
                     ? (ngx_uint_t) rc : r->headers_out.status;

    if (answer->status == 0) {
        answer->status = NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (answer->text.data == NULL && r->out && r->out->buf) {
        b = r->out->buf;

        answer->text.data = b->pos;
        answer->text.len = b->last - b->pos;

        if (ngx_http_analytics_join_valid(r, &answer->text)) {
            answer->type = r->headers_out.content_type;
        }
    }

    ngx_http_analytics_join_header(r, answer);

    answer->join->waits--;

    return NGX_OK;
}


/* What others made is looked at: it could end our object, or be packed. */

static ngx_uint_t
ngx_http_analytics_join_valid(ngx_http_request_t *r, ngx_str_t *text)
{
    ngx_analytics_json_t  json;

    if (r->headers_out.content_encoding
        && r->headers_out.content_encoding->value.len)
    {
        return 0;
    }

    ngx_analytics_json_init(&json, text->data, text->len);

    return ngx_analytics_json_value(&json, NULL) == NGX_OK
           && ngx_analytics_json_peek(&json) == NGX_ANALYTICS_JSON_END;
}


static void
ngx_http_analytics_join_header(ngx_http_request_t *r,
    ngx_http_analytics_join_answer_t *answer)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash
                && h[i].key.len == ngx_http_analytics_join_exact.len
                && ngx_strncasecmp(h[i].key.data,
                                   ngx_http_analytics_join_exact.data,
                                   h[i].key.len)
                   == 0)
            {
                answer->exact = h[i].value;
                return;
            }
        }
    }
}


/* Called when one of them is done, and by events of the connection. */

static void
ngx_http_analytics_join_write(ngx_http_request_t *r)
{
    ngx_http_analytics_join_t  *join;

    join = ngx_http_get_module_ctx(r, ngx_http_analytics_module);

    if (join->waits) {

        if (ngx_handle_write_event(r->connection->write, 0) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
        }

        return;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_http_finalize_request(r, ngx_http_analytics_join_send(r, join));
}


static ngx_int_t
ngx_http_analytics_join_send(ngx_http_request_t *r,
    ngx_http_analytics_join_t *join)
{
    size_t                             size;
    ngx_int_t                          rc;
    ngx_str_t                         *exact;
    ngx_uint_t                         i;
    ngx_analytics_writer_t             w;
    ngx_http_analytics_join_answer_t  *answer;

    size = 64;
    exact = NULL;

    for (i = 0; i < join->n; i++) {
        answer = &join->answers[i];

        rc = ngx_http_analytics_join_check(r, answer);
        if (rc != NGX_DECLINED) {
            return rc;
        }

        size += answer->member->name.len + 4 + answer->text.len;

        if (answer->exact.len) {
            exact = &answer->exact;
        }
    }

    if (exact
        && ngx_http_analytics_header(r, "X-Analytics-Exact", exact) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_analytics_writer_init(&w, ngx_http_analytics_palloc, r->pool, size);

    ngx_analytics_write_literal(&w, "{\"generated_at\":");
    ngx_analytics_write_time(&w, ngx_http_analytics_now());

    for (i = 0; i < join->n; i++) {
        answer = &join->answers[i];

        ngx_analytics_write_literal(&w, ",");
        ngx_analytics_write_string(&w, &answer->member->name);
        ngx_analytics_write_literal(&w, ":");
        ngx_analytics_write_raw(&w, answer->text.data, answer->text.len);
    }

    ngx_analytics_write_literal(&w, "}");

    return ngx_http_analytics_send_writer(r, &w);
}


/* Sends it if it is an error, and returns what for; or NGX_DECLINED. */

static ngx_int_t
ngx_http_analytics_join_check(ngx_http_request_t *r,
    ngx_http_analytics_join_answer_t *answer)
{
    ngx_str_t  *json, *problem, retry;

    json = &ngx_http_analytics_join_json;
    problem = &ngx_http_analytics_join_problem;

    if (answer->status == NGX_HTTP_OK && answer->text.len
        && answer->type.len >= json->len
        && ngx_strncasecmp(answer->type.data, json->data, json->len) == 0)
    {
        return NGX_DECLINED;
    }

    if (answer->status >= NGX_HTTP_BAD_REQUEST
        && answer->type.len == problem->len
        && ngx_memcmp(answer->type.data, problem->data, problem->len) == 0)
    {
        ngx_str_set(&retry, "5");

        if (answer->status == NGX_HTTP_SERVICE_UNAVAILABLE
            && ngx_http_analytics_header(r, "Retry-After", &retry) != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return ngx_http_analytics_send_body(r, answer->status, problem,
                                            &answer->text);
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "\"analytics_join\": \"%V\" answered %ui, and no JSON",
                  &answer->member->name, answer->status);

    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}
