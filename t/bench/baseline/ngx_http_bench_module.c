
/*
 * The least that a server of posted events can do: read the body, answer 201.
 *
 * Stock nginx has no way to do so, as "return" answers without the body.
 * What nginx does for this location is what the analytics module is measured
 * against.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


typedef struct {
    ngx_str_t  answer;
} ngx_http_bench_loc_conf_t;


static ngx_int_t ngx_http_bench_handler(ngx_http_request_t *r);
static void ngx_http_bench_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_bench_send(ngx_http_request_t *r);
static void *ngx_http_bench_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_bench_collect(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_bench_commands[] = {

    { ngx_string("bench_collect"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_bench_collect,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_bench_loc_conf_t, answer),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_bench_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_bench_create_loc_conf,        /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_bench_module = {
    NGX_MODULE_V1,
    &ngx_http_bench_module_ctx,            /* module context */
    ngx_http_bench_commands,               /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_bench_handler(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_read_client_request_body(r, ngx_http_bench_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


static void
ngx_http_bench_body_handler(ngx_http_request_t *r)
{
    ngx_http_finalize_request(r, ngx_http_bench_send(r));
}


static ngx_int_t
ngx_http_bench_send(ngx_http_request_t *r)
{
    ngx_buf_t                  *b;
    ngx_int_t                   rc;
    ngx_chain_t                 out;
    ngx_http_bench_loc_conf_t  *blcf;

    blcf = ngx_http_get_module_loc_conf(r, ngx_http_bench_module);

    r->headers_out.status = NGX_HTTP_CREATED;
    r->headers_out.content_length_n = blcf->answer.len;

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = blcf->answer.data;
    b->last = blcf->answer.data + blcf->answer.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static void *
ngx_http_bench_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_bench_loc_conf_t));
}


static char *
ngx_http_bench_collect(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_bench_handler;

    return ngx_conf_set_str_slot(cf, cmd, conf);
}
