
/*
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_names.h"
#include "ngx_analytics_hash.h"

#include <sys/random.h>


#define NGX_ANALYTICS_NAMES_LEAST  256        /* a power of two */
#define NGX_ANALYTICS_NAMES_TEXT   8192


static uint32_t *ngx_analytics_names_bucket(ngx_analytics_names_t *names,
    uint64_t hash, ngx_str_t *name);
static ngx_int_t ngx_analytics_names_room(ngx_analytics_names_t *names,
    size_t len);


ngx_int_t
ngx_analytics_names_init(ngx_analytics_names_t *names)
{
    ngx_memzero(names, sizeof(ngx_analytics_names_t));

    if (getrandom(names->key, sizeof(names->key), 0)
        != (ssize_t) sizeof(names->key))
    {
        return NGX_ERROR;
    }

    names->max = NGX_ANALYTICS_NAMES_LEAST;
    names->mask = 2 * NGX_ANALYTICS_NAMES_LEAST - 1;
    names->size = NGX_ANALYTICS_NAMES_TEXT;

    names->names = malloc(names->max * sizeof(ngx_analytics_name_t));
    names->buckets = calloc(names->mask + 1, sizeof(uint32_t));
    names->text = malloc(names->size);

    return (names->names && names->buckets && names->text) ? NGX_OK
                                                           : NGX_ERROR;
}


uint32_t
ngx_analytics_names_add(ngx_analytics_names_t *names, ngx_str_t *name)
{
    uint32_t              *bucket;
    uint64_t               hash;
    ngx_analytics_name_t  *known;

    hash = ngx_analytics_siphash(names->key, name->data, name->len);
    bucket = ngx_analytics_names_bucket(names, hash, name);

    if (*bucket) {
        names->names[*bucket - 1].count++;
        return *bucket;
    }

    if (ngx_analytics_names_room(names, name->len) != NGX_OK) {
        return 0;
    }

    /* the buckets may be others now */

    bucket = ngx_analytics_names_bucket(names, hash, name);
    known = &names->names[names->n++];

    known->hash = hash;
    known->count = 1;
    known->offset = names->len;
    known->len = name->len;

    memcpy(names->text + names->len, name->data, name->len);
    names->len += name->len;

    *bucket = names->n;

    return names->n;
}


/* Where a name is, or an empty bucket where it belongs. */

static uint32_t *
ngx_analytics_names_bucket(ngx_analytics_names_t *names, uint64_t hash,
    ngx_str_t *name)
{
    uint32_t               i, number;
    ngx_analytics_name_t  *known;

    for (i = (uint32_t) hash & names->mask; ; i = (i + 1) & names->mask) {

        number = names->buckets[i];

        if (number == 0) {
            break;
        }

        known = &names->names[number - 1];

        if (known->hash == hash
            && known->len == name->len
            && memcmp(names->text + known->offset, name->data, name->len) == 0)
        {
            break;
        }
    }

    return &names->buckets[i];
}


static ngx_int_t
ngx_analytics_names_room(ngx_analytics_names_t *names, size_t len)
{
    size_t     size;
    void      *p;
    uint32_t   i, place, mask, *buckets;

    if (names->size - names->len < len) {
        size = 2 * (names->size + len);

        p = realloc(names->text, size);
        if (p == NULL) {
            return NGX_ERROR;
        }

        names->text = p;
        names->size = size;
    }

    if (names->n < names->max) {
        return NGX_OK;
    }

    if (names->max > UINT32_MAX / 8) {
        return NGX_ERROR;
    }

    p = realloc(names->names, 2 * names->max * sizeof(ngx_analytics_name_t));
    if (p == NULL) {
        return NGX_ERROR;
    }

    names->names = p;

    mask = 4 * names->max - 1;

    buckets = calloc(mask + 1, sizeof(uint32_t));
    if (buckets == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < names->n; i++) {
        place = (uint32_t) names->names[i].hash & mask;

        while (buckets[place]) {
            place = (place + 1) & mask;
        }

        buckets[place] = i + 1;
    }

    free(names->buckets);

    names->buckets = buckets;
    names->mask = mask;
    names->max *= 2;

    return NGX_OK;
}


void
ngx_analytics_names_free(ngx_analytics_names_t *names)
{
    free(names->names);
    free(names->buckets);
    free(names->text);
}
