
/*
 * Filters, and events that are still in the log alone.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_select.h"
#include "ngx_analytics_reader.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif


#define NGX_ANALYTICS_SELECT_LEAST  256
#define NGX_ANALYTICS_SELECT_SLACK  1024     /* rows beyond those wanted */
#define NGX_ANALYTICS_SELECT_MUCH   (1024 * 1024)       /* bytes, to be kept */


static ngx_int_t ngx_analytics_select_record(ngx_analytics_select_log_t *s,
    ngx_analytics_record_t *record, ngx_analytics_filter_t *filter);
static ngx_int_t ngx_analytics_select_keep(ngx_analytics_select_log_t *s,
    ngx_analytics_row_t *row);
static u_char *ngx_analytics_select_copy(u_char *p, ngx_str_t *text);
static size_t ngx_analytics_select_size(ngx_analytics_row_t *row);
static void ngx_analytics_select_sort(ngx_analytics_select_log_t *s,
    ngx_analytics_filter_t *filter, uint64_t most);
static void ngx_analytics_select_cut(ngx_analytics_select_log_t *s,
    size_t bytes);
static int ngx_analytics_select_sort_cmp(const void *one, const void *two,
    void *filter);


ngx_uint_t
ngx_analytics_filter_match(ngx_analytics_filter_t *filter,
    ngx_analytics_row_t *row)
{
    int64_t              time;
    ngx_analytics_row_t  after;

    if ((filter->known && row->user.len == 0)
        || (filter->end && row->id >= filter->end))
    {
        return 0;
    }

    if (filter->user.len
        && (filter->user.len != row->user.len
            || memcmp(filter->user.data, row->user.data, row->user.len) != 0))
    {
        return 0;
    }

    if (filter->type.len
        && (filter->type.len != row->type.len
            || memcmp(filter->type.data, row->type.data, row->type.len) != 0))
    {
        return 0;
    }

    time = filter->received ? row->received : row->time;

    if (time < filter->from || time >= filter->to
        || row->received < filter->since)
    {
        return 0;
    }

    if (!filter->after) {
        return 1;
    }

    after.time = filter->after_time;
    after.id = filter->after_id;

    return ngx_analytics_filter_cmp(filter, row, &after) > 0;
}


ngx_int_t
ngx_analytics_filter_cmp(ngx_analytics_filter_t *filter,
    ngx_analytics_row_t *one, ngx_analytics_row_t *two)
{
    ngx_int_t  cmp;

    cmp = 0;

    if (!filter->received) {
        cmp = (one->time > two->time) - (one->time < two->time);
    }

    if (cmp == 0) {
        cmp = (one->id > two->id) - (one->id < two->id);
    }

    return filter->descending ? -cmp : cmp;
}


ngx_int_t
ngx_analytics_select_log_open(ngx_analytics_select_log_t *s, int dir,
    const char *path, uint64_t from, uint64_t to,
    ngx_analytics_filter_t *filter, uint64_t most, size_t bytes,
    volatile ngx_uint_t *stop, ngx_analytics_fail_t *fail)
{
    ngx_int_t               rc;
    ngx_analytics_reader_t  reader;
    ngx_analytics_record_t  record;

    ngx_memzero(s, sizeof(ngx_analytics_select_log_t));

    rc = ngx_analytics_reader_open(&reader, dir, path, from, fail);
    s->begin = reader.segment.position;

    while (rc == NGX_OK) {
        rc = ngx_analytics_reader_next(&reader, to, &record, fail);

        if (rc == NGX_DECLINED) {
            rc = NGX_OK;
            continue;
        }

        if (rc != NGX_OK) {
            break;
        }

        if (*stop) {
            rc = NGX_ABORT;
            break;
        }

        if (ngx_analytics_select_record(s, &record, filter) != NGX_OK) {
            ngx_analytics_failed(fail, "malloc() for", path, NULL);
            rc = NGX_ERROR;
            break;
        }

        if (s->n > NGX_ANALYTICS_SELECT_SLACK
            && s->n / 2 > most)
        {
            ngx_analytics_select_sort(s, filter, most);
        }

        if (s->bytes / 2 > bytes) {
            ngx_analytics_select_sort(s, filter, most);
            ngx_analytics_select_cut(s, bytes);
        }
    }

    ngx_analytics_reader_close(&reader);

    if (rc != NGX_DONE) {
        return rc;
    }

    ngx_analytics_select_sort(s, filter, most);

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_select_record(ngx_analytics_select_log_t *s,
    ngx_analytics_record_t *record, ngx_analytics_filter_t *filter)
{
    uint64_t              id;
    ngx_analytics_row_t   row;
    ngx_analytics_item_t  item;

    id = record->seq;

    while (ngx_analytics_record_item(record, &item) == NGX_OK) {

        if (item.kind != NGX_ANALYTICS_ITEM_EVENT) {
            continue;
        }

        ngx_analytics_row_of(&row, &item.event, id++, record->received);

        ngx_analytics_filter_erase(filter, &row);

        if (s->more && ngx_analytics_filter_cmp(filter, &row, &s->last) > 0) {
            continue;
        }

        if (ngx_analytics_filter_match(filter, &row)
            && ngx_analytics_select_keep(s, &row) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_select_keep(ngx_analytics_select_log_t *s,
    ngx_analytics_row_t *row)
{
    void                 *rows;
    size_t                size;
    u_char               *p;
    ngx_analytics_row_t  *copy;

    if (s->n == s->size) {
        size = s->size ? 2 * s->size : NGX_ANALYTICS_SELECT_LEAST;

        rows = realloc(s->rows, size * sizeof(ngx_analytics_row_t *));
        if (rows == NULL) {
            return NGX_ERROR;
        }

        s->rows = rows;
        s->size = size;
    }

    copy = malloc(ngx_analytics_select_size(row));
    if (copy == NULL) {
        return NGX_ERROR;
    }

    *copy = *row;

    p = ngx_analytics_select_copy((u_char *) (copy + 1), &copy->user);
    p = ngx_analytics_select_copy(p, &copy->type);
    p = ngx_analytics_select_copy(p, &copy->own);
    (void) ngx_analytics_select_copy(p, &copy->properties);

    s->rows[s->n++] = copy;
    s->bytes += ngx_analytics_select_size(row);

    return NGX_OK;
}


static size_t
ngx_analytics_select_size(ngx_analytics_row_t *row)
{
    return sizeof(ngx_analytics_row_t) + row->user.len + row->type.len
           + row->own.len + row->properties.len;
}


static u_char *
ngx_analytics_select_copy(u_char *p, ngx_str_t *text)
{
    if (text->len) {
        memcpy(p, text->data, text->len);
    }

    text->data = p;

    return p + text->len;
}


/* Leaves the first ones, most at most. */

static void
ngx_analytics_select_sort(ngx_analytics_select_log_t *s,
    ngx_analytics_filter_t *filter, uint64_t most)
{
    if (s->n > 1) {
        qsort_r(s->rows, s->n, sizeof(ngx_analytics_row_t *),
                ngx_analytics_select_sort_cmp, filter);
    }

    while (s->n > most) {
        s->bytes -= ngx_analytics_select_size(s->rows[--s->n]);
        free(s->rows[s->n]);
    }
}


/* Leaves the first ones, and one at least. */

static void
ngx_analytics_select_cut(ngx_analytics_select_log_t *s, size_t bytes)
{
    while (s->n > 1 && s->bytes > bytes) {
        s->bytes -= ngx_analytics_select_size(s->rows[--s->n]);
        free(s->rows[s->n]);

        s->more = 1;
    }

    if (s->more) {
        s->last = *s->rows[s->n - 1];
    }
}


static int
ngx_analytics_select_sort_cmp(const void *one, const void *two, void *filter)
{
    ngx_analytics_row_t  *const *a = one, *const *b = two;

    return (int) ngx_analytics_filter_cmp(filter, *a, *b);
}


ngx_int_t
ngx_analytics_select_log_next(ngx_analytics_select_log_t *s,
    ngx_analytics_row_t *row)
{
    if (s->next == s->n) {
        return NGX_DONE;
    }

    *row = *s->rows[s->next++];

    return NGX_OK;
}


void
ngx_analytics_select_log_close(ngx_analytics_select_log_t *s)
{
    while (s->n) {
        free(s->rows[--s->n]);
    }

    free(s->rows);
    s->rows = NULL;

#if defined(__GLIBC__)

    /*
     * Each thread of a pool may have a heap of its own: what one has freed is
     * of no use to the next that reads the log.
     */

    if (s->bytes > NGX_ANALYTICS_SELECT_MUCH) {
        (void) malloc_trim(0);
    }

#endif
}
