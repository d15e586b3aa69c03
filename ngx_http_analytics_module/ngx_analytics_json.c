
/*
 * A strict, single-pass JSON scanner.
 *
 * The static functions take the position and return the one behind what
 * they passed over, or NULL after ngx_analytics_json_fail(): a position in
 * a register instead of one in memory is a good part of the speed.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_json.h"
#include "ngx_analytics_json_text.h"


static const char  ngx_analytics_json_end[] = "unexpected end of input";
static const char  ngx_analytics_json_unexpected[] = "an unexpected character";
static const char  ngx_analytics_json_deep[] = "nested too deeply";
static const char  ngx_analytics_json_number_err[] = "an invalid number";


/* Which value a byte starts; 0: none. */
static const u_char  ngx_analytics_json_types[256] = {
    ['{'] = NGX_ANALYTICS_JSON_OBJECT,
    ['['] = NGX_ANALYTICS_JSON_ARRAY,
    ['"'] = NGX_ANALYTICS_JSON_STRING,
    ['t'] = NGX_ANALYTICS_JSON_TRUE,
    ['f'] = NGX_ANALYTICS_JSON_FALSE,
    ['n'] = NGX_ANALYTICS_JSON_NULL,
    ['-'] = NGX_ANALYTICS_JSON_NUMBER,
    ['0'] = NGX_ANALYTICS_JSON_NUMBER, ['1'] = NGX_ANALYTICS_JSON_NUMBER,
    ['2'] = NGX_ANALYTICS_JSON_NUMBER, ['3'] = NGX_ANALYTICS_JSON_NUMBER,
    ['4'] = NGX_ANALYTICS_JSON_NUMBER, ['5'] = NGX_ANALYTICS_JSON_NUMBER,
    ['6'] = NGX_ANALYTICS_JSON_NUMBER, ['7'] = NGX_ANALYTICS_JSON_NUMBER,
    ['8'] = NGX_ANALYTICS_JSON_NUMBER, ['9'] = NGX_ANALYTICS_JSON_NUMBER
};


static ngx_inline u_char *
ngx_analytics_json_space(u_char *p, u_char *last)
{
    while (p < last && *p <= ' '
           && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
    {
        p++;
    }

    return p;
}


/* Passes over one digit or more. */
static ngx_inline u_char *
ngx_analytics_json_digits(ngx_analytics_json_t *json, u_char *p)
{
    if (p == json->last) {
        return ngx_analytics_json_fail(json, p, ngx_analytics_json_end);
    }

    if (!ngx_analytics_json_digit(*p)) {
        return ngx_analytics_json_fail(json, p, ngx_analytics_json_number_err);
    }

    do {
        p++;
    } while (p < json->last && ngx_analytics_json_digit(*p));

    return p;
}


/* Passes over a fraction and an exponent, where there are. */
static u_char *
ngx_analytics_json_real(ngx_analytics_json_t *json, u_char *p)
{
    u_char  *last;

    last = json->last;

    if (*p == '.') {
        p = ngx_analytics_json_digits(json, p + 1);

        if (p == NULL) {
            return NULL;
        }
    }

    if (p < last && (*p == 'e' || *p == 'E')) {
        p++;

        if (p < last && (*p == '+' || *p == '-')) {
            p++;
        }

        p = ngx_analytics_json_digits(json, p);

        if (p == NULL) {
            return NULL;
        }
    }

    if (p < last && (*p == '.' || *p == '+' || *p == '-'
                     || *p == 'e' || *p == 'E'))
    {
        return ngx_analytics_json_fail(json, p, ngx_analytics_json_number_err);
    }

    return p;
}


static ngx_inline u_char *
ngx_analytics_json_decimal(ngx_analytics_json_t *json, u_char *p,
    ngx_uint_t *integer)
{
    u_char  *first;

    if (*p == '-') {
        p++;
    }

    first = p;
    p = ngx_analytics_json_digits(json, p);

    if (p == NULL) {
        return NULL;
    }

    if (*first == '0' && p - first > 1) {
        return ngx_analytics_json_fail(json, first,
                                       ngx_analytics_json_number_err);
    }

    *integer = 1;

    /* '+', '-', '.', 'E' and 'e' have no place right behind an integer */
    if (p == json->last
        || (*p != '.' && *p != '-' && *p != '+' && (*p | 0x20) != 'e'))
    {
        return p;
    }

    *integer = 0;

    return ngx_analytics_json_real(json, p);
}


static u_char *
ngx_analytics_json_literal(ngx_analytics_json_t *json, u_char *p,
    const char *text)
{
    for ( /* void */ ; *text; text++, p++) {

        if (p == json->last) {
            return ngx_analytics_json_fail(json, p, ngx_analytics_json_end);
        }

        if (*p != (u_char) *text) {
            return ngx_analytics_json_fail(json, p,
                                           ngx_analytics_json_unexpected);
        }
    }

    return p;
}


/* Passes over a value that is neither an object nor an array. */
static ngx_inline u_char *
ngx_analytics_json_scalar(ngx_analytics_json_t *json, u_char *p)
{
    ngx_uint_t  ignored;

    switch (ngx_analytics_json_types[*p]) {

    case NGX_ANALYTICS_JSON_STRING:
        p = ngx_analytics_json_text(json, p + 1, &ignored);
        return (p == NULL) ? NULL : p + 1;

    case NGX_ANALYTICS_JSON_NUMBER:
        return ngx_analytics_json_decimal(json, p, &ignored);

    case NGX_ANALYTICS_JSON_TRUE:
        return ngx_analytics_json_literal(json, p, "true");

    case NGX_ANALYTICS_JSON_FALSE:
        return ngx_analytics_json_literal(json, p, "false");

    case NGX_ANALYTICS_JSON_NULL:
        return ngx_analytics_json_literal(json, p, "null");

    default:
        return ngx_analytics_json_fail(json, p, ngx_analytics_json_unexpected);
    }
}


/*
 * What follows an opening bracket or a value: NULL after an error; else
 * behind the closing bracket, *done being 1, or where the next name or value
 * has to be.
 */
static ngx_inline u_char *
ngx_analytics_json_next(ngx_analytics_json_t *json, u_char *p,
    ngx_uint_t first, u_char close, ngx_uint_t *done)
{
    *done = 0;

    p = ngx_analytics_json_space(p, json->last);

    if (p == json->last) {
        return ngx_analytics_json_fail(json, p, ngx_analytics_json_end);
    }

    if (*p == close) {
        *done = 1;
        json->depth--;

        return p + 1;
    }

    if (!first) {
        if (*p != ',') {
            return ngx_analytics_json_fail(json, p,
                                           ngx_analytics_json_unexpected);
        }

        p = ngx_analytics_json_space(p + 1, json->last);
    }

    if (p == json->last) {
        return ngx_analytics_json_fail(json, p, ngx_analytics_json_end);
    }

    return p;
}


/* Passes over a name and the colon; p < last. */
static ngx_inline u_char *
ngx_analytics_json_name(ngx_analytics_json_t *json, u_char *p,
    ngx_str_t *key, ngx_uint_t *escaped)
{
    if (*p != '"') {
        return ngx_analytics_json_fail(json, p, ngx_analytics_json_unexpected);
    }

    key->data = ++p;

    p = ngx_analytics_json_text(json, p, escaped);

    if (p == NULL) {
        return NULL;
    }

    key->len = p - key->data;

    p = ngx_analytics_json_space(p + 1, json->last);

    if (p == json->last) {
        return ngx_analytics_json_fail(json, p, ngx_analytics_json_end);
    }

    if (*p != ':') {
        return ngx_analytics_json_fail(json, p, ngx_analytics_json_unexpected);
    }

    return p + 1;
}


/* Passes over '{' or '[': white space is behind us and p < last. */
static ngx_inline u_char *
ngx_analytics_json_open(ngx_analytics_json_t *json, u_char *p)
{
    if (json->depth >= NGX_ANALYTICS_JSON_DEPTH) {
        return ngx_analytics_json_fail(json, p, ngx_analytics_json_deep);
    }

    json->depth++;

    return p + 1;
}


/*
 * Passes over one value that begins at p.  Which of the brackets passed over
 * are braces is kept in the bits of a word, the innermost one lowest: that
 * is enough for NGX_ANALYTICS_JSON_DEPTH, and the C stack does not grow.
 */
static u_char *
ngx_analytics_json_skip(ngx_analytics_json_t *json, u_char *p)
{
    uint64_t    objects;
    ngx_str_t   key;
    ngx_uint_t  depth, first, done, escaped;

    depth = json->depth;
    objects = 0;

    for ( ;; ) {
        if (p == json->last) {
            return ngx_analytics_json_fail(json, p, ngx_analytics_json_end);
        }

        first = (*p == '{' || *p == '[');

        if (first) {
            objects = objects << 1 | (*p == '{');
            p = ngx_analytics_json_open(json, p);

        } else {
            p = ngx_analytics_json_scalar(json, p);
        }

        for ( ;; ) {
            if (p == NULL || json->depth == depth) {
                return p;
            }

            p = ngx_analytics_json_next(json, p, first,
                                        (objects & 1) ? '}' : ']', &done);
            if (p == NULL || !done) {
                break;
            }

            objects >>= 1;
            first = 0;
        }

        if (p != NULL && (objects & 1)) {
            p = ngx_analytics_json_name(json, p, &key, &escaped);

            if (p != NULL) {
                p = ngx_analytics_json_space(p, json->last);
            }
        }

        if (p == NULL) {
            return NULL;
        }
    }
}


/* To the first byte of a value, or NULL at the end of the input. */
static ngx_inline u_char *
ngx_analytics_json_begin(ngx_analytics_json_t *json)
{
    u_char  *p;

    p = ngx_analytics_json_space(json->pos, json->last);

    if (p == json->last) {
        return ngx_analytics_json_fail(json, p, ngx_analytics_json_end);
    }

    return p;
}


void
ngx_analytics_json_init(ngx_analytics_json_t *json, u_char *data, size_t len)
{
    json->start = data;
    json->pos = data;
    json->last = len ? data + len : data;   /* NULL + 0 is undefined */
    json->depth = 0;
    json->err = NULL;
}


ngx_analytics_json_type_e
ngx_analytics_json_peek(ngx_analytics_json_t *json)
{
    u_char  type;

    json->pos = ngx_analytics_json_space(json->pos, json->last);

    if (json->pos == json->last) {
        return NGX_ANALYTICS_JSON_END;
    }

    type = ngx_analytics_json_types[*json->pos];

    return type ? (ngx_analytics_json_type_e) type
                : NGX_ANALYTICS_JSON_INVALID;
}


ngx_int_t
ngx_analytics_json_value(ngx_analytics_json_t *json, ngx_str_t *raw)
{
    u_char  *p, *start;

    start = ngx_analytics_json_begin(json);

    if (start == NULL) {
        return NGX_ERROR;
    }

    p = ngx_analytics_json_skip(json, start);

    if (p == NULL) {
        return NGX_ERROR;
    }

    json->pos = p;

    if (raw != NULL) {
        raw->data = start;
        raw->len = p - start;
    }

    return NGX_OK;
}


ngx_int_t
ngx_analytics_json_string(ngx_analytics_json_t *json, ngx_str_t *raw,
    ngx_uint_t *escaped)
{
    u_char  *p, *start;

    p = ngx_analytics_json_begin(json);

    if (p == NULL) {
        return NGX_ERROR;
    }

    if (*p != '"') {
        (void) ngx_analytics_json_fail(json, p, ngx_analytics_json_unexpected);
        return NGX_ERROR;
    }

    start = p + 1;
    p = ngx_analytics_json_text(json, start, escaped);

    if (p == NULL) {
        return NGX_ERROR;
    }

    json->pos = p + 1;

    raw->data = start;
    raw->len = p - start;

    return NGX_OK;
}


ngx_int_t
ngx_analytics_json_number(ngx_analytics_json_t *json, ngx_str_t *raw,
    ngx_uint_t *integer)
{
    u_char  *p, *start;

    start = ngx_analytics_json_begin(json);

    if (start == NULL) {
        return NGX_ERROR;
    }

    if (ngx_analytics_json_types[*start] != NGX_ANALYTICS_JSON_NUMBER) {
        (void) ngx_analytics_json_fail(json, start,
                                       ngx_analytics_json_unexpected);
        return NGX_ERROR;
    }

    p = ngx_analytics_json_decimal(json, start, integer);

    if (p == NULL) {
        return NGX_ERROR;
    }

    json->pos = p;

    raw->data = start;
    raw->len = p - start;

    return NGX_OK;
}


ngx_int_t
ngx_analytics_json_enter(ngx_analytics_json_t *json)
{
    u_char  *p;

    p = ngx_analytics_json_begin(json);

    if (p == NULL) {
        return NGX_ERROR;
    }

    if (*p != '{' && *p != '[') {
        (void) ngx_analytics_json_fail(json, p, ngx_analytics_json_unexpected);
        return NGX_ERROR;
    }

    p = ngx_analytics_json_open(json, p);

    if (p == NULL) {
        return NGX_ERROR;
    }

    json->pos = p;

    return NGX_OK;
}


ngx_int_t
ngx_analytics_json_member(ngx_analytics_json_t *json, ngx_uint_t first,
    ngx_str_t *key, ngx_uint_t *escaped)
{
    u_char      *p;
    ngx_uint_t   done;

    p = ngx_analytics_json_next(json, json->pos, first, '}', &done);

    if (p != NULL && !done) {
        p = ngx_analytics_json_name(json, p, key, escaped);
    }

    if (p == NULL) {
        return NGX_ERROR;
    }

    json->pos = p;

    return done ? NGX_DONE : NGX_OK;
}


ngx_int_t
ngx_analytics_json_element(ngx_analytics_json_t *json, ngx_uint_t first)
{
    u_char      *p;
    ngx_uint_t   done;

    p = ngx_analytics_json_next(json, json->pos, first, ']', &done);

    if (p == NULL) {
        return NGX_ERROR;
    }

    json->pos = p;

    return done ? NGX_DONE : NGX_OK;
}
