
/*
 * Whether the JSON scanner takes a document: for its tests.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _JSON_VALID_H_INCLUDED_
#define _JSON_VALID_H_INCLUDED_


#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "ngx_analytics_json.h"


#define GUARD_SIZE  (1 << 20)


static u_char  *guard_end;


/* Room for input that ends right before memory that cannot be read. */
static inline void
guard_init(void)
{
    u_char  *mem;

    mem = mmap(NULL, GUARD_SIZE + 65536, PROT_READ|PROT_WRITE,
               MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);

    if (mem == MAP_FAILED
        || mprotect(mem + GUARD_SIZE, 65536, PROT_NONE) == -1)
    {
        perror("mmap() or mprotect()");
        exit(2);
    }

    guard_end = mem + GUARD_SIZE;
}


/* Moves the text there, not to be written to. */
static inline u_char *
guarded(const void *text, size_t len)
{
    u_char  *start;

    start = guard_end - GUARD_SIZE;

    if (mprotect(start, GUARD_SIZE, PROT_READ|PROT_WRITE) == -1) {
        exit(2);
    }

    if (len) {
        memcpy(guard_end - len, text, len);
    }

    if (mprotect(start, GUARD_SIZE, PROT_READ) == -1) {
        exit(2);
    }

    return guard_end - len;
}


/*
 * Walks through a value by the functions that do not skip.  The recursion
 * ends at NGX_ANALYTICS_JSON_DEPTH.
 */
static inline ngx_int_t
walk(ngx_analytics_json_t *json)
{
    ngx_int_t                  rc;
    ngx_str_t                  str;
    ngx_uint_t                 first, flag;
    ngx_analytics_json_type_e  type;

    type = ngx_analytics_json_peek(json);

    if (type == NGX_ANALYTICS_JSON_STRING) {
        return ngx_analytics_json_string(json, &str, &flag);
    }

    if (type == NGX_ANALYTICS_JSON_NUMBER) {
        return ngx_analytics_json_number(json, &str, &flag);
    }

    if (type != NGX_ANALYTICS_JSON_OBJECT && type != NGX_ANALYTICS_JSON_ARRAY)
    {
        return ngx_analytics_json_value(json, NULL);
    }

    if (ngx_analytics_json_enter(json) != NGX_OK) {
        return NGX_ERROR;
    }

    for (first = 1; /* void */ ; first = 0) {

        rc = (type == NGX_ANALYTICS_JSON_OBJECT)
             ? ngx_analytics_json_member(json, first, &str, &flag)
             : ngx_analytics_json_element(json, first);

        if (rc != NGX_OK) {
            return (rc == NGX_DONE) ? NGX_OK : NGX_ERROR;
        }

        if (walk(json) != NGX_OK) {
            return NGX_ERROR;
        }
    }
}


/*
 * One document and nothing behind it, by value() and by walk(); whether it
 * is valid, or -1 if the two do not agree, on the error and its place too.
 */
static inline int
valid(const void *text, size_t len)
{
    u_char                *p;
    ngx_int_t              rc;
    ngx_analytics_json_t   skip, steps;

    p = guarded(text, len);

    ngx_analytics_json_init(&skip, p, len);
    rc = ngx_analytics_json_value(&skip, NULL);

    ngx_analytics_json_init(&steps, p, len);

    if (walk(&steps) != rc || skip.pos != steps.pos
        || (skip.err == NULL) != (rc == NGX_OK)
        || (skip.err != NULL
            && (steps.err == NULL || strcmp(skip.err, steps.err) != 0)))
    {
        return -1;
    }

    if (skip.pos < p || skip.pos > skip.last) {
        return -1;
    }

    if (rc != NGX_OK) {
        return 0;
    }

    if (skip.depth != 0 || steps.depth != 0) {
        return -1;
    }

    return ngx_analytics_json_peek(&skip) == NGX_ANALYTICS_JSON_END;
}


#endif /* _JSON_VALID_H_INCLUDED_ */
