
/*
 * The line "table" of "analytics_zone", and the directive "analytics_table".
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_metrics.h"


static char *ngx_http_analytics_table_column(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_table_t *table,
    ngx_str_t *value);
static char *ngx_http_analytics_view_shape(ngx_conf_t *cf,
    ngx_http_analytics_view_t *view, ngx_str_t *value);
static char *ngx_http_analytics_view_table(ngx_conf_t *cf,
    ngx_http_analytics_view_t *view, ngx_str_t *value);
static ngx_int_t ngx_http_analytics_member(ngx_str_t *value,
    ngx_str_t *member, ngx_str_t *name);
static ngx_int_t ngx_http_analytics_check_view(ngx_conf_t *cf,
    ngx_http_analytics_view_t *view);
static const char *ngx_http_analytics_view_groups(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_table_t *table);


static ngx_conf_enum_t  ngx_http_analytics_shapes[] = {
    { ngx_string("days"), NGX_HTTP_ANALYTICS_DAYS },
    { ngx_string("day"), NGX_HTTP_ANALYTICS_DAY },
    { ngx_string("range"), NGX_HTTP_ANALYTICS_RANGE },
    { ngx_string("last"), NGX_HTTP_ANALYTICS_LAST },
    { ngx_string("now"), NGX_HTTP_ANALYTICS_NOW },
    { ngx_null_string, 0 }
};


/* table NAME [MEMBER=]METRIC ...; of metrics that are declared before */

char *
ngx_http_analytics_zone_table(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    char                        *rv;
    ngx_str_t                   *value;
    ngx_uint_t                   i;
    ngx_http_analytics_table_t  *table;

    value = cf->args->elts;

    if (cf->args->nelts < 3) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid number of arguments in \"table\"");
        return NGX_CONF_ERROR;
    }

    if (!ngx_http_analytics_is_name(&value[1])) {
        return ngx_http_analytics_invalid(cf, "name of a table", &value[1]);
    }

    if (ngx_http_analytics_table_named(zone, &value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "table \"%V\" is already declared", &value[1]);
        return NGX_CONF_ERROR;
    }

    table = ngx_array_push(&zone->metrics->tables);
    if (table == NULL) {
        return NGX_CONF_ERROR;
    }

    table->name = value[1];

    if (ngx_array_init(&table->columns, cf->pool, cf->args->nelts - 2,
                       sizeof(ngx_http_analytics_member_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_analytics_table_column(cf, zone, table, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_table_column(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_table_t *table,
    ngx_str_t *value)
{
    ngx_str_t                     name;
    ngx_http_analytics_member_t  *member;

    member = ngx_array_push(&table->columns);
    if (member == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_analytics_member(value, &member->name, &name) != NGX_OK) {
        return ngx_http_analytics_invalid(cf, "column of a table", value);
    }

    member->table = NULL;
    member->metric = ngx_http_analytics_metric_named(zone, &name);

    if (member->metric == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown metric \"%V\" in table \"%V\"", &name,
                           &table->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


ngx_http_analytics_table_t *
ngx_http_analytics_table_named(ngx_http_analytics_zone_t *zone,
    ngx_str_t *name)
{
    ngx_uint_t                   i;
    ngx_http_analytics_table_t  *table;

    table = zone->metrics->tables.elts;

    for (i = 0; i < zone->metrics->tables.nelts; i++) {
        if (table[i].name.len == name->len
            && ngx_strncmp(table[i].name.data, name->data, name->len) == 0)
        {
            return &table[i];
        }
    }

    return NULL;
}


/* [MEMBER=]NAME */

static ngx_int_t
ngx_http_analytics_member(ngx_str_t *value, ngx_str_t *member,
    ngx_str_t *name)
{
    u_char  *p;

    *member = *value;
    *name = *value;

    p = ngx_strlchr(value->data, value->data + value->len, '=');

    if (p) {
        member->len = p - value->data;
        name->data = p + 1;
        name->len -= member->len + 1;
    }

    return (ngx_http_analytics_is_name(member)
            && ngx_http_analytics_is_name(name))
           ? NGX_OK : NGX_DECLINED;
}


/*
 * analytics_table ZONE days | groups=MEMBER | last | now TABLE;
 * analytics_table ZONE day | range [MEMBER=]TABLE ...;
 */

char *
ngx_http_analytics_conf_view(ngx_conf_t *cf,
    ngx_http_analytics_loc_conf_t *alcf)
{
    char                            *rv;
    ngx_str_t                       *value;
    ngx_uint_t                       i;
    ngx_http_analytics_view_t       *view, **p;
    ngx_http_analytics_main_conf_t  *amcf;

    value = cf->args->elts;

    if (cf->args->nelts < 4) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"analytics_table\" must name a table");
        return NGX_CONF_ERROR;
    }

    view = ngx_pcalloc(cf->pool, sizeof(ngx_http_analytics_view_t));
    if (view == NULL) {
        return NGX_CONF_ERROR;
    }

    view->zone = alcf->zone;
    view->file = cf->conf_file->file.name.data;
    view->line = cf->conf_file->line;

    if (ngx_array_init(&view->tables, cf->pool, cf->args->nelts - 3,
                       sizeof(ngx_http_analytics_member_t))
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    rv = ngx_http_analytics_view_shape(cf, view, &value[2]);

    for (i = 3; rv == NGX_CONF_OK && i < cf->args->nelts; i++) {
        rv = ngx_http_analytics_view_table(cf, view, &value[i]);
    }

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (view->tables.nelts > 1 && view->shape != NGX_HTTP_ANALYTICS_DAY
        && view->shape != NGX_HTTP_ANALYTICS_RANGE)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" takes one table", &value[2]);
        return NGX_CONF_ERROR;
    }

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_analytics_module);

    p = ngx_array_push(&amcf->views);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    *p = view;
    alcf->view = view;

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_view_shape(ngx_conf_t *cf,
    ngx_http_analytics_view_t *view, ngx_str_t *value)
{
    ngx_conf_enum_t  *e;

    if (ngx_strncmp(value->data, "groups=", 7) == 0) {
        view->shape = NGX_HTTP_ANALYTICS_GROUPS;
        view->group.data = value->data + 7;
        view->group.len = value->len - 7;

        if (ngx_http_analytics_is_name(&view->group)) {
            return NGX_CONF_OK;
        }
    }

    for (e = ngx_http_analytics_shapes; e->name.len; e++) {
        if (ngx_strcmp(e->name.data, value->data) == 0) {
            view->shape = e->value;
            return NGX_CONF_OK;
        }
    }

    return ngx_http_analytics_invalid(cf, "form of a table", value);
}


/* Which table it is can be told when all is read. */

static char *
ngx_http_analytics_view_table(ngx_conf_t *cf,
    ngx_http_analytics_view_t *view, ngx_str_t *value)
{
    ngx_http_analytics_member_t  *member;

    member = ngx_array_push(&view->tables);
    if (member == NULL) {
        return NGX_CONF_ERROR;
    }

    member->metric = NULL;
    member->table = NULL;

    if (ngx_http_analytics_member(value, &member->name, &member->of)
        != NGX_OK)
    {
        return ngx_http_analytics_invalid(cf, "name of a table", value);
    }

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_analytics_check_views(ngx_conf_t *cf)
{
    ngx_uint_t                        i;
    ngx_http_analytics_view_t       **views;
    ngx_http_analytics_main_conf_t   *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_analytics_module);

    views = amcf->views.elts;

    for (i = 0; i < amcf->views.nelts; i++) {
        if (ngx_http_analytics_check_view(cf, views[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_check_view(ngx_conf_t *cf,
    ngx_http_analytics_view_t *view)
{
    ngx_uint_t                    i;
    const char                   *why;
    ngx_http_analytics_member_t  *member;

    member = view->tables.elts;

    for (i = 0; i < view->tables.nelts; i++) {
        member[i].table = ngx_http_analytics_table_named(view->zone,
                                                         &member[i].of);
        if (member[i].table == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "unknown table \"%V\" of zone \"%V\" in %s:%ui",
                          &member[i].of, &view->zone->name, view->file,
                          view->line);
            return NGX_ERROR;
        }

        why = (view->shape == NGX_HTTP_ANALYTICS_GROUPS)
              ? ngx_http_analytics_view_groups(view->zone, member[i].table)
              : NULL;

        if (why) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "table \"%V\" cannot be shown by groups: %s, in "
                          "%s:%ui", &member[i].of, why, view->file,
                          view->line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* All columns have to be told apart by the same thing. */

static const char *
ngx_http_analytics_view_groups(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_table_t *table)
{
    ngx_str_t                    *by;
    ngx_uint_t                    i;
    ngx_analytics_source_t       *source;
    ngx_http_analytics_member_t  *column;

    column = table->columns.elts;
    by = NULL;

    for (i = 0; i < table->columns.nelts; i++) {

        if (column[i].metric->classes == 0) {
            return "a metric is of all users";
        }

        source = zone->metrics->sources.elts;
        source += column[i].metric->source;

        if (source->by.len == 0) {
            return "a metric has no \"by\"";
        }

        if (by && (by->len != source->by.len
                   || ngx_strncmp(by->data, source->by.data, by->len) != 0))
        {
            return "its metrics differ in \"by\"";
        }

        by = &source->by;
    }

    return NULL;
}
