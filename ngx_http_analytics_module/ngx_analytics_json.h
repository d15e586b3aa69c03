
/*
 * A strict, single-pass JSON scanner.
 *
 * Grammar: RFC 8259.  Beyond it, as RFC 7493 (I-JSON) asks: strings are
 * valid UTF-8 (RFC 3629) and hold no lone surrogate, raw or escaped.
 * Nesting is bounded.  Nothing is copied: the scanner hands out slices of
 * the input, which must outlive them and is never written to.
 *
 * Every function validates all that it passes over.  On NGX_ERROR json->err
 * is a static sentence fragment ("an unexpected character") and json->pos
 * is where it was found; the scanner is not used after that.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_JSON_H_INCLUDED_
#define _NGX_ANALYTICS_JSON_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_ANALYTICS_JSON_DEPTH  64     /* arrays and objects, together */


typedef enum {
    NGX_ANALYTICS_JSON_END = 0,          /* no more input */
    NGX_ANALYTICS_JSON_OBJECT,
    NGX_ANALYTICS_JSON_ARRAY,
    NGX_ANALYTICS_JSON_STRING,
    NGX_ANALYTICS_JSON_NUMBER,
    NGX_ANALYTICS_JSON_TRUE,
    NGX_ANALYTICS_JSON_FALSE,
    NGX_ANALYTICS_JSON_NULL,
    NGX_ANALYTICS_JSON_INVALID           /* a byte that starts no value */
} ngx_analytics_json_type_e;


typedef struct {
    u_char       *start;                 /* first byte of the input */
    u_char       *pos;                   /* next byte to read */
    u_char       *last;                  /* behind the input */
    ngx_uint_t    depth;                 /* open arrays and objects */
    const char   *err;                   /* what was wrong, or NULL */
} ngx_analytics_json_t;


void ngx_analytics_json_init(ngx_analytics_json_t *json, u_char *data,
    size_t len);

/*
 * Skips white space and tells by the next byte which value starts there,
 * without passing over it.
 */
ngx_analytics_json_type_e ngx_analytics_json_peek(ngx_analytics_json_t *json);

/*
 * Passes over one whole value of any type.  If raw is not NULL it becomes
 * the slice of the value without white space around it.
 * Returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_analytics_json_value(ngx_analytics_json_t *json,
    ngx_str_t *raw);

/*
 * Passes over a string.  raw is what stands between the quotes; *escaped is
 * set to 1 if it holds a backslash, to 0 otherwise.
 * Returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_analytics_json_string(ngx_analytics_json_t *json,
    ngx_str_t *raw, ngx_uint_t *escaped);

/*
 * Passes over a number.  raw is its text; *integer is set to 1 if it has
 * neither a fraction nor an exponent, to 0 otherwise.
 * Returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_analytics_json_number(ngx_analytics_json_t *json,
    ngx_str_t *raw, ngx_uint_t *integer);

/*
 * Walk through an object or array:
 *
 *     ngx_analytics_json_enter(json);            at '{' or '['
 *
 *     for (first = 1; ; first = 0) {
 *         rc = ngx_analytics_json_member(json, first, &key, &escaped);
 *         if (rc != NGX_OK) { break; }           NGX_DONE or NGX_ERROR
 *         ngx_analytics_json_value(json, &raw);
 *     }
 *
 * member() passes over the comma (unless first), the name and the colon;
 * element() passes over the comma only.  Both return NGX_OK when a value
 * follows, NGX_DONE after passing over the closing bracket, or NGX_ERROR.
 */
ngx_int_t ngx_analytics_json_enter(ngx_analytics_json_t *json);
ngx_int_t ngx_analytics_json_member(ngx_analytics_json_t *json,
    ngx_uint_t first, ngx_str_t *key, ngx_uint_t *escaped);
ngx_int_t ngx_analytics_json_element(ngx_analytics_json_t *json,
    ngx_uint_t first);

/*
 * Writes the text of a string that ngx_analytics_json_string() handed out,
 * with its escapes resolved, as UTF-8.  dst has room for raw->len bytes,
 * which is always enough.  Returns how many bytes were written.
 */
size_t ngx_analytics_json_unescape(u_char *dst, ngx_str_t *raw);


#endif /* _NGX_ANALYTICS_JSON_H_INCLUDED_ */
