
/*
 * The JSON scanner: what it tells and hands out on its way through a
 * document, how deep it goes, and what it says of an error.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <stdlib.h>
#include "tap.h"
#include "json_valid.h"


/* Which value each byte starts, by the grammar. */
static void
check_peek(void)
{
    u_char                     text[2];
    ngx_uint_t                 c, wrong;
    ngx_analytics_json_t       json;
    ngx_analytics_json_type_e  type, expected;

    wrong = 0;

    for (c = 0; c < 256; c++) {

        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            expected = NGX_ANALYTICS_JSON_END;

        } else if (c == '{') {
            expected = NGX_ANALYTICS_JSON_OBJECT;

        } else if (c == '[') {
            expected = NGX_ANALYTICS_JSON_ARRAY;

        } else if (c == '"') {
            expected = NGX_ANALYTICS_JSON_STRING;

        } else if (c != 0 && strchr("-0123456789", (int) c)) {
            expected = NGX_ANALYTICS_JSON_NUMBER;

        } else if (c == 't') {
            expected = NGX_ANALYTICS_JSON_TRUE;

        } else if (c == 'f') {
            expected = NGX_ANALYTICS_JSON_FALSE;

        } else if (c == 'n') {
            expected = NGX_ANALYTICS_JSON_NULL;

        } else {
            expected = NGX_ANALYTICS_JSON_INVALID;
        }

        text[0] = ' ';
        text[1] = (u_char) c;

        ngx_analytics_json_init(&json, guarded(text, 2), 2);
        type = ngx_analytics_json_peek(&json);

        if (type != expected
            || (type != NGX_ANALYTICS_JSON_END && json.pos != guard_end - 1))
        {
            wrong++;
            diag("byte 0x%02x: %d", (unsigned) c, type);
        }
    }

    is_u64(wrong, 0, "peek() tells the value by its first byte, and stays");

    ngx_analytics_json_init(&json, NULL, 0);
    is_i64(ngx_analytics_json_peek(&json), NGX_ANALYTICS_JSON_END,
           "no input at all has nothing in it");
    is_i64(ngx_analytics_json_value(&json, NULL), NGX_ERROR,
           "and no value either");
}


static void
error_of(const char *text, size_t len, const char *err, size_t pos)
{
    u_char                *p;
    ngx_analytics_json_t   json;

    p = guarded(text, len);
    ngx_analytics_json_init(&json, p, len);

    is_i64(ngx_analytics_json_value(&json, NULL), NGX_ERROR,
           "refused: %s", text);
    is_str(json.err ? json.err : "(null)", strlen(json.err ? json.err : ""),
           err, "... for %s", err);
    is_u64(json.pos - p, pos, "... at byte %zu", pos);
}


static void
check_errors(void)
{
#define error_is(text, err, pos)  error_of(text, sizeof(text) - 1, err, pos)

    error_is("", "unexpected end of input", 0);
    error_is("[1, ", "unexpected end of input", 4);
    error_is("{\"a\"", "unexpected end of input", 4);
    error_is("[-", "unexpected end of input", 2);
    error_is("[1e", "unexpected end of input", 3);
    error_is("[tru", "unexpected end of input", 4);
    error_is("[1, x]", "an unexpected character", 4);
    error_is("[1 2]", "an unexpected character", 3);
    error_is("[1,]", "an unexpected character", 3);
    error_is("{\"a\" 1}", "an unexpected character", 5);
    error_is("{1:2}", "an unexpected character", 1);
    error_is("[trux]", "an unexpected character", 4);
    error_is("[\"abc", "an unterminated string", 5);
    error_is("[\"abc\\", "an unterminated string", 6);
    error_is("[\"ab\ncd\"]", "a control character in a string", 4);
    error_is("{\"ab\0\":1}", "a control character in a string", 4);
    error_is("[\"ab\xff\"]", "invalid UTF-8", 4);
    error_is("[\"a\xc3\xa9\xe2\x82\"]", "invalid UTF-8", 5);
    error_is("[\"ab\\ud800c\"]", "a lone surrogate", 4);
    error_is("[\"ab\\udc00\"]", "a lone surrogate", 4);
    error_is("[\"ab\\q\"]", "an invalid escape", 4);
    error_is("[\"ab\\u12g4\"]", "an invalid escape", 4);
    error_is("[01]", "an invalid number", 1);
    error_is("[-a]", "an invalid number", 2);
    error_is("[1.x]", "an invalid number", 3);
    error_is("[1.2.3]", "an invalid number", 4);
    error_is("[1-1]", "an invalid number", 2);
}


static void
value_of(const char *text, const char *expected, const char *rest)
{
    ngx_str_t              raw;
    ngx_analytics_json_t   json;

    ngx_analytics_json_init(&json, guarded(text, strlen(text)), strlen(text));
    ngx_str_null(&raw);

    if (!is_i64(ngx_analytics_json_value(&json, &raw), NGX_OK, "%s", text)) {
        return;
    }

    is_str(raw.data, raw.len, expected, "... is handed out byte for byte");
    is_str(json.pos, json.last - json.pos, rest, "... and what follows stays");
}


static void
check_slices(void)
{
    ngx_int_t              rc;
    ngx_str_t              raw;
    ngx_uint_t             flag;
    const char            *text;
    ngx_analytics_json_t   json;

    value_of(" \n{ \"a\" : [ 1 , {} ] }\t, 2", "{ \"a\" : [ 1 , {} ] }",
             "\t, 2");
    value_of("[]]", "[]", "]");
    value_of("\t\"a\\\"b\" ", "\"a\\\"b\"", " ");
    value_of(" -1.50e+3,", "-1.50e+3", ",");
    value_of("123456", "123456", "");
    value_of("true]", "true", "]");
    value_of("null", "null", "");

    text = " \"a\\u0041\xc3\xa9\":";
    ngx_analytics_json_init(&json, guarded(text, strlen(text)), strlen(text));
    flag = 7;
    rc = ngx_analytics_json_string(&json, &raw, &flag);
    is_i64(rc, NGX_OK, "a string with an escape");
    is_str(raw.data, raw.len, "a\\u0041\xc3\xa9", "... without its quotes");
    is_u64(flag, 1, "... which is told");
    is_str(json.pos, json.last - json.pos, ":", "... and passed over");

    text = "\"\"";
    ngx_analytics_json_init(&json, guarded(text, 2), 2);
    flag = 7;
    rc = ngx_analytics_json_string(&json, &raw, &flag);
    is_i64(rc, NGX_OK, "an empty string");
    is_u64(raw.len, 0, "... has no bytes");
    is_u64(flag, 0, "... and no escape");

    text = "[1]";
    ngx_analytics_json_init(&json, guarded(text, 3), 3);
    is_i64(ngx_analytics_json_string(&json, &raw, &flag), NGX_ERROR,
           "an array is no string");
    ngx_analytics_json_init(&json, guarded(text, 3), 3);
    is_i64(ngx_analytics_json_number(&json, &raw, &flag), NGX_ERROR,
           "an array is no number");

    text = "\"1\"";
    ngx_analytics_json_init(&json, guarded(text, 3), 3);
    is_i64(ngx_analytics_json_number(&json, &raw, &flag), NGX_ERROR,
           "a string is no number");
    ngx_analytics_json_init(&json, guarded(text, 3), 3);
    is_i64(ngx_analytics_json_enter(&json), NGX_ERROR,
           "a string cannot be entered");
}


static void
number_of(const char *text, const char *expected, ngx_uint_t integer)
{
    ngx_str_t              raw;
    ngx_uint_t             flag;
    ngx_analytics_json_t   json;

    flag = 7;
    ngx_str_null(&raw);

    ngx_analytics_json_init(&json, guarded(text, strlen(text)), strlen(text));

    is_i64(ngx_analytics_json_number(&json, &raw, &flag), NGX_OK,
           "number: %s", text);
    is_str(raw.data, raw.len, expected, "... its text");
    is_u64(flag, integer, "... %s integer", integer ? "an" : "no");
}


static void
check_numbers(void)
{
    number_of("0", "0", 1);
    number_of(" -0 ", "-0", 1);
    number_of("9007199254740993,", "9007199254740993", 1);
    number_of("18446744073709551616]", "18446744073709551616", 1);
    number_of("1.0", "1.0", 0);
    number_of("1e2}", "1e2", 0);
    number_of("-0.5E-7 ", "-0.5E-7", 0);
}


/* Nests n levels; kind 0: arrays, 1: objects, 2: both by turns. */
static int
nested(ngx_uint_t n, ngx_uint_t kind, const char *inner)
{
    u_char        *p;
    ngx_uint_t     i;
    static u_char  text[4096];

    p = text;

    for (i = 0; i < n; i++) {
        if (kind == 0 || (kind == 2 && i % 2)) {
            *p++ = '[';

        } else {
            p = ngx_cpymem(p, "{\"a\":", 5);
        }
    }

    p = ngx_cpymem(p, inner, strlen(inner));

    for (i = n; i > 0; i--) {
        *p++ = (kind == 0 || (kind == 2 && (i - 1) % 2)) ? ']' : '}';
    }

    return valid(text, p - text);
}


static void
check_depth(void)
{
    u_char                *text;
    ngx_int_t              rc;
    ngx_uint_t             i, kind;
    ngx_analytics_json_t   json;

    for (kind = 0; kind < 3; kind++) {
        is_i64(nested(64, kind, "1"), 1, "64 levels are taken");
        is_i64(nested(65, kind, "1"), 0, "65 levels are refused");
        is_i64(nested(63, kind, "[]"), 1, "an empty array is a level");
        is_i64(nested(64, kind, "{}"), 0, "an empty object is a level");
        is_i64(nested(62, kind, "[[1],{\"a\":[]},[2],{\"a\":3}]"), 0,
               "a level deeper in the middle is seen");
        is_i64(nested(62, kind, "[[1],{\"a\":{}},[2],{\"a\":3}]"), 0,
               "likewise");
        is_i64(nested(62, kind, "[[1],{\"a\":2},[3],{},[],{\"b\":4}]"), 1,
               "closed ones do not count");
    }

    text = malloc(1000000);

    if (text == NULL) {
        exit(2);
    }

    memset(text, '[', 1000000);

    ngx_analytics_json_init(&json, text, 1000000);
    is_i64(ngx_analytics_json_value(&json, NULL), NGX_ERROR,
           "a million brackets are refused");
    is_str(json.err, strlen(json.err), "nested too deeply", "... for that");
    is_u64(json.pos - text, 64, "... at the 65th");

    ngx_analytics_json_init(&json, text, 1000000);

    for (i = 0; i < 64; i++) {
        if (ngx_analytics_json_enter(&json) != NGX_OK
            || ngx_analytics_json_element(&json, 1) != NGX_OK)
        {
            break;
        }
    }

    is_u64(i, 64, "64 levels can be entered");
    is_u64(json.depth, 64, "... and are counted");

    rc = ngx_analytics_json_enter(&json);
    is_i64(rc, NGX_ERROR, "... but not one more");
    is_str(json.err, strlen(json.err), "nested too deeply", "... for that");

    ngx_analytics_json_init(&json, text, 1000000);

    for (i = 0; i < 60; i++) {
        (void) ngx_analytics_json_enter(&json);
        (void) ngx_analytics_json_element(&json, 1);
    }

    is_i64(ngx_analytics_json_value(&json, NULL), NGX_ERROR,
           "levels entered count for the value inside");
    is_u64(json.pos - text, 64, "... which may have 4 more here");

    free(text);
}


static void
check_walk(void)
{
    ngx_str_t              key, raw;
    ngx_uint_t             escaped;
    const char            *text;
    ngx_analytics_json_t   json;

    text = " { \"a\" : 1 , \"\\u0062\" : [ ] } [ ] {\"c\":0}";

    ngx_analytics_json_init(&json, guarded(text, strlen(text)), strlen(text));

    is_i64(ngx_analytics_json_enter(&json), NGX_OK, "an object is entered");
    is_i64(ngx_analytics_json_member(&json, 1, &key, &escaped), NGX_OK,
           "its first member");
    is_str(key.data, key.len, "a", "... is named");
    is_u64(escaped, 0, "... without an escape");
    is_i64(ngx_analytics_json_value(&json, &raw), NGX_OK, "... has a value");
    is_str(raw.data, raw.len, "1", "... as it stands there");

    is_i64(ngx_analytics_json_member(&json, 0, &key, &escaped), NGX_OK,
           "the second member");
    is_str(key.data, key.len, "\\u0062", "... is named");
    is_u64(escaped, 1, "... with an escape");
    is_i64(ngx_analytics_json_enter(&json), NGX_OK, "... has an array");
    is_u64(json.depth, 2, "... a level deeper");
    is_i64(ngx_analytics_json_element(&json, 1), NGX_DONE, "... of nothing");
    is_i64(ngx_analytics_json_member(&json, 0, &key, &escaped), NGX_DONE,
           "and that was all");
    is_u64(json.depth, 0, "... back at the top");

    is_i64(ngx_analytics_json_peek(&json), NGX_ANALYTICS_JSON_ARRAY,
           "documents may follow each other");
    is_i64(ngx_analytics_json_enter(&json), NGX_OK, "... the second one");
    is_i64(ngx_analytics_json_element(&json, 1), NGX_DONE, "... is empty");
    is_i64(ngx_analytics_json_value(&json, &raw), NGX_OK, "... the third");
    is_str(raw.data, raw.len, "{\"c\":0}", "... as it stands there");
    is_i64(ngx_analytics_json_peek(&json), NGX_ANALYTICS_JSON_END,
           "... the last");

    text = "[1}";
    ngx_analytics_json_init(&json, guarded(text, 3), 3);
    (void) ngx_analytics_json_enter(&json);
    (void) ngx_analytics_json_element(&json, 1);
    (void) ngx_analytics_json_value(&json, NULL);
    is_i64(ngx_analytics_json_element(&json, 0), NGX_ERROR,
           "a brace does not close an array");

    text = "{]";
    ngx_analytics_json_init(&json, guarded(text, 2), 2);
    (void) ngx_analytics_json_enter(&json);
    is_i64(ngx_analytics_json_member(&json, 1, &key, &escaped), NGX_ERROR,
           "nor a bracket an object");
}


int
main(void)
{
    guard_init();

    check_peek();
    check_errors();
    check_slices();
    check_numbers();
    check_walk();
    check_depth();

    return done_testing();
}
