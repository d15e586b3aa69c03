
/*
 * Answers as they were sent, for as long as they would be made the same: of
 * reports, what they said of periods that are over, and of metrics, figures of
 * a zone in which nothing has changed since.
 *
 * Each process keeps its own, those that were asked for last.  So a reload or
 * a restart begins with none; what is made anew then says the same.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_metrics.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_layout.h"


#define NGX_HTTP_ANALYTICS_KEPT_MAX    512
#define NGX_HTTP_ANALYTICS_KEPT_BYTES  (8 * 1024 * 1024)


typedef struct {
    uint64_t      key[2];
    uint64_t      state;
    uint64_t      asked;               /* for the last time; they are counted */
    size_t        len;
    u_char        text[1];
} ngx_http_analytics_kept_t;


static ngx_uint_t ngx_http_analytics_kept_place(const uint64_t *key);
static ngx_uint_t ngx_http_analytics_kept_oldest(void);
static void ngx_http_analytics_kept_drop(ngx_uint_t i);


static ngx_http_analytics_kept_t  *ngx_http_analytics_kept[
                                       NGX_HTTP_ANALYTICS_KEPT_MAX];
static ngx_uint_t                  ngx_http_analytics_nkept;
static size_t                      ngx_http_analytics_kept_bytes;
static uint64_t                    ngx_http_analytics_kept_asked;


ngx_int_t
ngx_http_analytics_kept_find(const uint64_t *key, uint64_t state,
    ngx_pool_t *pool, ngx_str_t *text)
{
    ngx_uint_t                  i;
    ngx_http_analytics_kept_t  *kept;

    i = ngx_http_analytics_kept_place(key);

    if (i == ngx_http_analytics_nkept
        || ngx_http_analytics_kept[i]->state != state)
    {
        return NGX_DECLINED;
    }

    kept = ngx_http_analytics_kept[i];
    kept->asked = ++ngx_http_analytics_kept_asked;

    /* it may be dropped while it is being sent */

    text->len = kept->len;
    text->data = ngx_pnalloc(pool, kept->len);

    if (text->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(text->data, kept->text, kept->len);

    return NGX_OK;
}


void
ngx_http_analytics_kept_add(const uint64_t *key, uint64_t state,
    ngx_str_t *text)
{
    ngx_uint_t                  i;
    ngx_http_analytics_kept_t  *kept;

    i = ngx_http_analytics_kept_place(key);

    if (i < ngx_http_analytics_nkept) {
        ngx_http_analytics_kept_drop(i);
    }

    if (text->len > NGX_HTTP_ANALYTICS_KEPT_BYTES / 8) {
        return;
    }

    while (ngx_http_analytics_nkept
           && (ngx_http_analytics_nkept == NGX_HTTP_ANALYTICS_KEPT_MAX
               || ngx_http_analytics_kept_bytes + text->len
                  > NGX_HTTP_ANALYTICS_KEPT_BYTES))
    {
        ngx_http_analytics_kept_drop(ngx_http_analytics_kept_oldest());
    }

    kept = ngx_alloc(sizeof(ngx_http_analytics_kept_t) + text->len,
                     ngx_cycle->log);
    if (kept == NULL) {
        return;
    }

    kept->key[0] = key[0];
    kept->key[1] = key[1];
    kept->state = state;
    kept->asked = ++ngx_http_analytics_kept_asked;
    kept->len = text->len;
    ngx_memcpy(kept->text, text->data, text->len);

    ngx_http_analytics_kept[ngx_http_analytics_nkept++] = kept;
    ngx_http_analytics_kept_bytes += kept->len;
}


/* Where one of that key is; behind the last if there is none. */

static ngx_uint_t
ngx_http_analytics_kept_place(const uint64_t *key)
{
    ngx_uint_t                  i;
    ngx_http_analytics_kept_t  *kept;

    for (i = 0; i < ngx_http_analytics_nkept; i++) {
        kept = ngx_http_analytics_kept[i];

        if (kept->key[0] == key[0] && kept->key[1] == key[1]) {
            break;
        }
    }

    return i;
}


static ngx_uint_t
ngx_http_analytics_kept_oldest(void)
{
    ngx_uint_t  i, oldest;

    for (i = 1, oldest = 0; i < ngx_http_analytics_nkept; i++) {
        if (ngx_http_analytics_kept[i]->asked
            < ngx_http_analytics_kept[oldest]->asked)
        {
            oldest = i;
        }
    }

    return oldest;
}


static void
ngx_http_analytics_kept_drop(ngx_uint_t i)
{
    ngx_http_analytics_kept_bytes -= ngx_http_analytics_kept[i]->len;
    ngx_free(ngx_http_analytics_kept[i]);

    ngx_http_analytics_kept[i]
        = ngx_http_analytics_kept[--ngx_http_analytics_nkept];
}


uint64_t
ngx_http_analytics_kept_state(ngx_http_analytics_zone_t *zone)
{
    uint64_t  words[3];

    /* one that is built anew may count as far as the one before did */

    words[0] = (uint64_t) zone->sh->created;
    words[1] = zone->path ? zone->shared->rebuilds : 0;
    words[2] = ngx_analytics_zone_commits(zone->sh);

    return ngx_analytics_siphash(zone->sh->key, (u_char *) words,
                                 sizeof(words));
}
