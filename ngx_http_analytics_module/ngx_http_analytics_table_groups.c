
/*
 * analytics_table groups=MEMBER: a row for each group.
 *
 * Quantiles and distinct values of a group are merged of what there is of each
 * day.  Some of that is done at once; more of it is a thread's.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_metrics.h"
#include "ngx_analytics_layout.h"


/* sketches of a day that are merged, at most */
#define NGX_HTTP_ANALYTICS_TABLE_MERGES  100000


/* The groups of a column. */
typedef struct {
    ngx_http_analytics_known_t      known;
    ngx_uint_t                      n;         /* with "other" */
    ngx_http_analytics_value_t     *values;
    ngx_http_analytics_column_t     c;
} ngx_http_analytics_grouped_t;


typedef struct {
    ngx_http_analytics_grouped_t   *columns;
    ngx_uint_t                      n;
    ngx_http_analytics_buckets_t    buckets;
} ngx_http_analytics_groups_t;


/* A group, with its figures in the order of the columns. */
typedef struct {
    ngx_str_t                       name;
    double                          most;
    ngx_http_analytics_value_t     *values;
} ngx_http_analytics_row_t;


static ngx_int_t ngx_http_analytics_groups_find(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_table_t *table,
    ngx_http_analytics_groups_t *groups);
static ngx_int_t ngx_http_analytics_groups_column(ngx_pool_t *pool,
    ngx_http_analytics_grouped_t *column);
static ngx_int_t ngx_http_analytics_groups_merge(void *data);
static ngx_int_t ngx_http_analytics_groups_rows(ngx_http_request_t *r,
    ngx_http_analytics_groups_t *groups, ngx_array_t *rows);
static ngx_http_analytics_row_t *ngx_http_analytics_groups_row(
    ngx_http_request_t *r, ngx_array_t *rows, ngx_str_t *name,
    ngx_uint_t ncolumns);
static int ngx_libc_cdecl ngx_http_analytics_row_cmp(const void *one,
    const void *two);


ngx_int_t
ngx_http_analytics_table_groups(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_http_analytics_view_t *view,
    ngx_http_analytics_table_t *table, ngx_http_analytics_buckets_t *b)
{
    ngx_int_t                     rc;
    ngx_uint_t                    i, k;
    ngx_array_t                   rows;
    ngx_http_analytics_row_t     *row;
    ngx_http_analytics_active_t  *active;
    ngx_http_analytics_groups_t  *groups;
    ngx_http_analytics_member_t  *column;

    active = ngx_http_analytics_active(r, view->zone);
    if (active == NULL) {
        return NGX_ERROR;
    }

    groups = ngx_http_analytics_active_data(active);

    if (groups == NULL) {
        groups = ngx_pcalloc(r->pool, sizeof(ngx_http_analytics_groups_t));
        if (groups == NULL) {
            return NGX_ERROR;
        }

        groups->buckets = *b;

        rc = ngx_http_analytics_groups_find(r, view->zone, table, groups);

        if (rc == NGX_AGAIN) {
            ngx_http_analytics_active_job(active,
                                          ngx_http_analytics_groups_merge,
                                          groups);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (ngx_array_init(&rows, r->pool, 16, sizeof(ngx_http_analytics_row_t))
        != NGX_OK
        || ngx_http_analytics_groups_rows(r, groups, &rows) != NGX_OK)
    {
        return NGX_ERROR;
    }

    column = table->columns.elts;
    row = rows.elts;

    ngx_qsort(row, rows.nelts, sizeof(ngx_http_analytics_row_t),
              ngx_http_analytics_row_cmp);

    ngx_analytics_write_literal(w, "[");

    for (i = 0; i < rows.nelts; i++) {

        if (i) {
            ngx_analytics_write_literal(w, ",");
        }

        ngx_analytics_write_literal(w, "{");
        ngx_http_analytics_table_member(w, &view->group, 1);
        ngx_analytics_write_string(w, &row[i].name);

        for (k = 0; k < groups->n; k++) {
            ngx_http_analytics_table_member(w, &column[k].name, 0);
            ngx_http_analytics_value_write(w, &row[i].values[k], "0");
        }

        ngx_analytics_write_literal(w, "}");
    }

    ngx_analytics_write_literal(w, "]");

    return NGX_OK;
}


/*
 * Which groups there are, and their values.  NGX_AGAIN: what is to be merged
 * lacks, and takes a thread; NGX_DONE: it would take too long even then.
 */

static ngx_int_t
ngx_http_analytics_groups_find(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_table_t *table,
    ngx_http_analytics_groups_t *groups)
{
    ngx_int_t                      rc;
    ngx_uint_t                     k, merges;
    ngx_http_analytics_member_t   *member;
    ngx_http_analytics_grouped_t  *column;

    member = table->columns.elts;
    groups->n = table->columns.nelts;

    groups->columns = ngx_pcalloc(r->pool, groups->n
                                  * sizeof(ngx_http_analytics_grouped_t));
    if (groups->columns == NULL) {
        return NGX_ERROR;
    }

    merges = 0;

    for (k = 0; k < groups->n; k++) {
        column = &groups->columns[k];

        column->c.zone = zone;
        column->c.metric = member[k].metric;
        column->c.buckets = &groups->buckets;

        rc = ngx_http_analytics_groups_column(r->pool, column);

        if (rc != NGX_OK) {
            return rc;
        }

        if (ngx_http_analytics_metric_merged(member[k].metric)) {
            merges += column->n * groups->buckets.n;
        }
    }

    if (merges > NGX_HTTP_ANALYTICS_TABLE_MERGES) {
        return NGX_DONE;
    }

    return (merges > NGX_HTTP_ANALYTICS_MERGES_QUICK)
           ? NGX_AGAIN : ngx_http_analytics_groups_merge(groups);
}


/* All of it but what has to be merged, which needs no more memory then. */

static ngx_int_t
ngx_http_analytics_groups_column(ngx_pool_t *pool,
    ngx_http_analytics_grouped_t *column)
{
    ngx_int_t                     rc;
    ngx_uint_t                    i, merged;
    ngx_http_analytics_metric_t  *metric;
    ngx_http_analytics_known_t   *known;

    metric = column->c.metric;
    known = &column->known;

    rc = ngx_http_analytics_metric_known(pool, column->c.zone, metric,
                   ngx_http_analytics_metric_grouped(column->c.zone, metric),
                   NULL, known);
    if (rc != NGX_OK) {
        return rc;
    }

    column->n = known->n + known->others;
    column->values = ngx_palloc(pool, (column->n + 1)
                                      * sizeof(ngx_http_analytics_value_t));
    if (column->values == NULL) {
        return NGX_ERROR;
    }

    merged = ngx_http_analytics_metric_merged(metric);

    if (merged) {
        return ngx_http_analytics_column_ready(pool, &column->c);
    }

    for (i = 0; i < column->n; i++) {
        column->c.group = (i < known->n) ? known->groups[i].index
                                         : NGX_ANALYTICS_GROUP_OTHER;

        rc = ngx_http_analytics_column(pool, &column->c);

        if (rc != NGX_OK) {
            return rc;
        }

        column->values[i] = column->c.total;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_groups_merge(void *data)
{
    ngx_http_analytics_groups_t *groups = data;

    ngx_uint_t                     i, k;
    ngx_http_analytics_known_t    *known;
    ngx_http_analytics_grouped_t  *column;

    for (k = 0; k < groups->n; k++) {
        column = &groups->columns[k];
        known = &column->known;

        if (!ngx_http_analytics_metric_merged(column->c.metric)) {
            continue;
        }

        for (i = 0; i < column->n; i++) {
            column->c.group = (i < known->n) ? known->groups[i].index
                                             : NGX_ANALYTICS_GROUP_OTHER;

            if (ngx_http_analytics_column(NULL, &column->c) != NGX_OK) {
                return NGX_DECLINED;
            }

            column->values[i] = column->c.total;
        }
    }

    return NGX_OK;
}


/* The first column says which groups come first. */

static ngx_int_t
ngx_http_analytics_groups_rows(ngx_http_request_t *r,
    ngx_http_analytics_groups_t *groups, ngx_array_t *rows)
{
    ngx_str_t                      name;
    ngx_uint_t                     i, k;
    ngx_http_analytics_row_t      *row;
    ngx_http_analytics_grouped_t  *column;

    for (k = 0; k < groups->n; k++) {
        column = &groups->columns[k];

        for (i = 0; i < column->n; i++) {

            if (ngx_http_analytics_value_real(&column->values[i]) == 0) {
                continue;
            }

            ngx_str_set(&name, "other");

            if (i < column->known.n) {
                name = column->known.groups[i].name;
            }

            row = ngx_http_analytics_groups_row(r, rows, &name, groups->n);
            if (row == NULL) {
                return NGX_ERROR;
            }

            row->values[k] = column->values[i];

            if (k == 0) {
                row->most = ngx_http_analytics_value_real(&row->values[0]);
            }
        }
    }

    return NGX_OK;
}


/* The row of a name, or a new one. */

static ngx_http_analytics_row_t *
ngx_http_analytics_groups_row(ngx_http_request_t *r, ngx_array_t *rows,
    ngx_str_t *name, ngx_uint_t ncolumns)
{
    ngx_uint_t                 i;
    ngx_http_analytics_row_t  *row;

    row = rows->elts;

    for (i = 0; i < rows->nelts; i++) {
        if (row[i].name.len == name->len
            && ngx_memcmp(row[i].name.data, name->data, name->len) == 0)
        {
            return &row[i];
        }
    }

    row = ngx_array_push(rows);
    if (row == NULL) {
        return NULL;
    }

    row->name = *name;
    row->most = 0;
    row->values = ngx_pcalloc(r->pool,
                            ncolumns * sizeof(ngx_http_analytics_value_t));

    return row->values ? row : NULL;
}


static int ngx_libc_cdecl
ngx_http_analytics_row_cmp(const void *one, const void *two)
{
    const ngx_http_analytics_row_t  *a = one;
    const ngx_http_analytics_row_t  *b = two;

    if (a->most != b->most) {
        return (a->most > b->most) ? -1 : 1;
    }

    return (int) ngx_memn2cmp(a->name.data, b->name.data, a->name.len,
                              b->name.len);
}
