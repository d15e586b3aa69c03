
/*
 * Names numbered in the order in which they come, from 1 up, and counted.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_NAMES_H_INCLUDED_
#define _NGX_ANALYTICS_NAMES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


typedef struct {
    uint64_t                 hash;
    uint64_t                 count;
    size_t                   offset;         /* of the name, in text */
    size_t                   len;
} ngx_analytics_name_t;


typedef struct {
    uint64_t                 key[2];         /* random */
    ngx_analytics_name_t    *names;          /* number 1 comes first */
    uint32_t                 n;
    uint32_t                 max;

    uint32_t                *buckets;        /* numbers; open addressing */
    uint32_t                 mask;

    u_char                  *text;
    size_t                   len;
    size_t                   size;
} ngx_analytics_names_t;


/* NGX_OK, or NGX_ERROR: no memory. */
ngx_int_t ngx_analytics_names_init(ngx_analytics_names_t *names);

/* Counts a name, which is copied.  Its number, or 0: no memory. */
uint32_t ngx_analytics_names_add(ngx_analytics_names_t *names,
    ngx_str_t *name);

void ngx_analytics_names_free(ngx_analytics_names_t *names);


static ngx_inline void
ngx_analytics_names_get(ngx_analytics_names_t *names, uint32_t number,
    ngx_str_t *name)
{
    name->data = names->text + names->names[number - 1].offset;
    name->len = names->names[number - 1].len;
}


static ngx_inline uint64_t
ngx_analytics_names_count(ngx_analytics_names_t *names, uint32_t number)
{
    return names->names[number - 1].count;
}


#endif /* _NGX_ANALYTICS_NAMES_H_INCLUDED_ */
