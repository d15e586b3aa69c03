
/*
 * The members of an event: each function reads the value of one.
 *
 * What is wrong with a value is noted in d->errors, and the value passed
 * over.  All return NGX_OK then, too; NGX_DECLINED if it is not JSON, or
 * NGX_ERROR if there is no memory.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_FIELDS_H_INCLUDED_
#define _NGX_ANALYTICS_FIELDS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_decode.h"
#include "ngx_analytics_json.h"


/* the longest text of a name, with each byte escaped as \u00XX */
#define NGX_ANALYTICS_ESCAPED_MAX  (6 * NGX_ANALYTICS_NAME_MAX)


/*
 * Resolves the escapes of a member's name into buf, which has room for
 * NGX_ANALYTICS_ESCAPED_MAX bytes.  What is too long for that is too long for
 * a name that is mapped, and becomes one that is not.
 */
void ngx_analytics_decode_key(ngx_str_t *key, u_char *buf);

/* a user, a type or an id that is text; field is the member's name */
ngx_int_t ngx_analytics_decode_name(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *field, ngx_str_t *name);

/* a user, of which the format may say that it is an integer */
ngx_int_t ngx_analytics_decode_user(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *name);

/* the event's own; left as it was if null */
ngx_int_t ngx_analytics_decode_id(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *id);

/* microseconds since the epoch; left as it was if null */
ngx_int_t ngx_analytics_decode_time(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, int64_t *time);

/* an object, as it was sent; left as it was if null */
ngx_int_t ngx_analytics_decode_properties(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *properties);

/*
 * Passes over a value that is not what it should be, and notes that.  detail
 * is static.
 */
ngx_int_t ngx_analytics_decode_wrong(ngx_analytics_decode_t *d,
    ngx_analytics_json_t *json, ngx_str_t *field, const char *detail);

/* Notes what is wrong with the last event, unless there was enough already, */
void ngx_analytics_decode_error(ngx_analytics_decode_t *d, ngx_str_t *field,
    const char *detail);

/* or with that event. */
void ngx_analytics_decode_error_of(ngx_analytics_decode_t *d,
    ngx_uint_t index, ngx_str_t *field, const char *detail);


#endif /* _NGX_ANALYTICS_FIELDS_H_INCLUDED_ */
