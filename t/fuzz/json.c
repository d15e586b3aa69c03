
/*
 * A libFuzzer target for the JSON scanner, the writer and the readers of
 * times: whatever bytes come in, nothing behind them is read, and what was
 * taken is what it seemed.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined ... -lcjson
 *
 * Copyright (C) The nginx analytics authors
 */


#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ngx_analytics_json.h"
#include "ngx_analytics_time.h"
#include "ngx_analytics_writer.h"


/* cJSON copies a number to a buffer of 64 bytes */
#define NUMBER_MAX  63


/* A writer's buffers: each one twice as large as the one before, or more. */
typedef struct {
    void        *blocks[64];
    ngx_uint_t   n;
} buffers_t;


static ngx_uint_t  long_number;


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


#define must(cond)                                                            \
    do {                                                                      \
        if (!(cond)) {                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond);\
            abort();                                                          \
        }                                                                     \
    } while (0)


static void *
allocate(void *ctx, size_t size)
{
    void       *p;
    buffers_t  *buffers = ctx;

    p = malloc(size ? size : 1);
    must(p != NULL);

    if (buffers != NULL) {
        must(buffers->n < 64);
        buffers->blocks[buffers->n++] = p;
    }

    return p;
}


/* By its definition: each character decoded, and the shortest form of it. */
static int
is_utf8(const u_char *p, size_t len)
{
    size_t                 i, n;
    uint32_t               c;
    static const uint32_t  least[] = { 0, 0, 0x80, 0x800, 0x10000 };

    while (len) {
        n = (*p < 0x80) ? 1 : (*p >> 5 == 6) ? 2 : (*p >> 4 == 14) ? 3
            : (*p >> 3 == 30) ? 4 : 0;

        if (n == 0 || n > len) {
            return 0;
        }

        c = (n == 1) ? *p : *p & (0xffu >> (n + 1));

        for (i = 1; i < n; i++) {
            if (p[i] >> 6 != 2) {
                return 0;
            }

            c = c << 6 | (p[i] & 0x3f);
        }

        if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
            return 0;
        }

        p += n;
        len -= n;
    }

    return 1;
}


/* Written, read again: the same; and harmless inside a page. */
static void
check_writer(ngx_str_t *str)
{
    size_t                    i, len;
    u_char                   *dst;
    buffers_t                 buffers;
    ngx_str_t                 raw;
    ngx_uint_t                escaped;
    ngx_analytics_json_t      json;
    ngx_analytics_writer_t    w;

    buffers.n = 0;

    ngx_analytics_writer_init(&w, allocate, &buffers, 1);
    ngx_analytics_write_string(&w, str);

    must(!w.failed);

    len = w.pos - w.start;

    for (i = 0; i < len; i++) {
        must(w.start[i] >= 0x20 && strchr("<>&\x7f", w.start[i]) == NULL);
        must(len - i < 3
             || (memcmp(w.start + i, "\xe2\x80\xa8", 3) != 0
                 && memcmp(w.start + i, "\xe2\x80\xa9", 3) != 0));
    }

    ngx_analytics_json_init(&json, w.start, len);

    must(ngx_analytics_json_string(&json, &raw, &escaped) == NGX_OK);
    must(json.pos == json.last);

    dst = allocate(NULL, raw.len);
    len = ngx_analytics_json_unescape(dst, &raw);

    must(len == str->len && memcmp(dst, str->data, len) == 0);

    free(dst);

    while (buffers.n) {
        free(buffers.blocks[--buffers.n]);
    }
}


static void
check_times(ngx_str_t *str)
{
    u_char     buf[NGX_ANALYTICS_TIME_LEN];
    int64_t    t, again;
    ngx_str_t  text;

    text.data = buf;

    if (ngx_analytics_time_parse(str, &t) == NGX_OK) {
        text.len = ngx_analytics_time_format(buf, t) - buf;

        must(text.len <= NGX_ANALYTICS_TIME_LEN);
        must(ngx_analytics_time_parse(&text, &again) == NGX_OK && again == t);
    }

    if (ngx_analytics_date_parse(str, &t) == NGX_OK) {
        text.len = ngx_analytics_date_format(buf, t) - buf;

        must(text.len == str->len && memcmp(buf, str->data, text.len) == 0);
    }
}


static void
check_epoch(ngx_str_t *number, int64_t unit)
{
    u_char     buf[NGX_ANALYTICS_TIME_LEN];
    int64_t    t, again;
    ngx_str_t  text;

    if (ngx_analytics_epoch_parse(number, unit, &t) != NGX_OK) {
        return;
    }

    text.data = buf;
    text.len = ngx_analytics_epoch_format(buf, t, unit) - buf;

    must(text.len <= NGX_ANALYTICS_TIME_LEN);
    must(ngx_analytics_epoch_parse(&text, unit, &again) == NGX_OK
         && again == t);
}


static void
check_text(ngx_analytics_json_t *json, ngx_str_t *raw, ngx_uint_t escaped)
{
    ngx_str_t  str;

    must(raw->data > json->start && raw->data + raw->len < json->pos);
    must(escaped == (memchr(raw->data, '\\', raw->len) != NULL));
    must(is_utf8(raw->data, raw->len));

    str.data = allocate(NULL, raw->len);
    str.len = ngx_analytics_json_unescape(str.data, raw);

    must(str.len <= raw->len);
    must(escaped || str.len == raw->len);
    must(is_utf8(str.data, str.len));

    check_writer(&str);
    check_times(&str);

    free(str.data);
}


static void
check_number(ngx_analytics_json_t *json, ngx_str_t *raw, ngx_uint_t integer)
{
    char    *end, *text;
    size_t   len;

    must(raw->data >= json->start && raw->data + raw->len == json->pos);
    must(raw->len > 0 && strchr("-0123456789", raw->data[0]));

    text = allocate(NULL, raw->len + 1);
    memcpy(text, raw->data, raw->len);
    text[raw->len] = '\0';

    (void) strtod(text, &end);
    must(*end == '\0');

    len = strspn(text, "-0123456789");
    must(integer == (len == raw->len));

    free(text);

    if (raw->len > NUMBER_MAX) {
        long_number = 1;
    }

    check_epoch(raw, NGX_ANALYTICS_SECOND);
    check_epoch(raw, 1000);
}


static ngx_int_t  walk(ngx_analytics_json_t *json);


static ngx_int_t
walk_members(ngx_analytics_json_t *json, ngx_uint_t object)
{
    ngx_int_t   rc;
    ngx_str_t   key;
    ngx_uint_t  first, escaped, depth;

    depth = json->depth;

    if (ngx_analytics_json_enter(json) != NGX_OK) {
        return NGX_ERROR;
    }

    must(json->depth == depth + 1 && json->depth <= NGX_ANALYTICS_JSON_DEPTH);

    for (first = 1; /* void */ ; first = 0) {

        rc = object ? ngx_analytics_json_member(json, first, &key, &escaped)
                    : ngx_analytics_json_element(json, first);

        if (rc == NGX_DONE) {
            must(json->depth == depth);
            must(json->pos[-1] == (object ? '}' : ']'));

            return NGX_OK;
        }

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        must(rc == NGX_OK);

        if (object) {
            check_text(json, &key, escaped);
        }

        if (walk(json) != NGX_OK) {
            return NGX_ERROR;
        }
    }
}


static ngx_int_t
walk(ngx_analytics_json_t *json)
{
    ngx_int_t                  rc;
    ngx_str_t                  raw;
    ngx_uint_t                 flag;
    ngx_analytics_json_type_e  type;

    type = ngx_analytics_json_peek(json);

    switch (type) {

    case NGX_ANALYTICS_JSON_OBJECT:
    case NGX_ANALYTICS_JSON_ARRAY:
        return walk_members(json, type == NGX_ANALYTICS_JSON_OBJECT);

    case NGX_ANALYTICS_JSON_STRING:
        rc = ngx_analytics_json_string(json, &raw, &flag);

        if (rc == NGX_OK) {
            check_text(json, &raw, flag);
        }

        return rc;

    case NGX_ANALYTICS_JSON_NUMBER:
        rc = ngx_analytics_json_number(json, &raw, &flag);

        if (rc == NGX_OK) {
            check_number(json, &raw, flag);
        }

        return rc;

    default:
        return ngx_analytics_json_value(json, NULL);
    }
}


/* What RFC 8259 allows cJSON takes, but for long numbers and deep nesting. */
static void
check_cjson(const uint8_t *data, size_t size)
{
    char   *text;
    cJSON  *root;

    text = allocate(NULL, size + 1);
    memcpy(text, data, size);
    text[size] = '\0';

    root = cJSON_ParseWithLengthOpts(text, size + 1, NULL, 1);
    must(root != NULL);

    cJSON_Delete(root);
    free(text);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char                *input, *start;
    ngx_int_t              rc;
    ngx_str_t              raw;
    ngx_analytics_json_t   skip, steps;

    input = NULL;

    if (size) {
        input = malloc(size);
        must(input != NULL);
        memcpy(input, data, size);
    }

    ngx_analytics_json_init(&skip, input, size);
    ngx_analytics_json_init(&steps, input, size);

    /* documents may follow each other */

    do {
        long_number = 0;
        start = skip.pos;

        rc = ngx_analytics_json_value(&skip, &raw);

        must(walk(&steps) == rc);
        must(skip.pos == steps.pos);
        must(skip.pos >= start && skip.pos <= skip.last);
        must((rc == NGX_OK) == (skip.err == NULL));

        if (rc != NGX_OK) {
            must(steps.err != NULL && strcmp(skip.err, steps.err) == 0);
            break;
        }

        must(skip.depth == 0 && steps.depth == 0);
        must(raw.len > 0 && raw.data >= start
             && raw.data + raw.len == skip.pos);

        if (!long_number) {
            check_cjson(raw.data, raw.len);
        }

    } while (ngx_analytics_json_peek(&skip) != NGX_ANALYTICS_JSON_END);

    /* never written to */
    must(size == 0 || memcmp(input, data, size) == 0);

    free(input);

    return 0;
}
