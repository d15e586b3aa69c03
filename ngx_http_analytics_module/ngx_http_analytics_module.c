
/*
 * Directives and hooks.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"

#if (__GLIBC__)
#include <malloc.h>
#endif


static char *ngx_http_analytics_collect(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_analytics_stats(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_analytics_summary(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_analytics_health(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_analytics_handler(ngx_conf_t *cf,
    ngx_http_analytics_loc_conf_t *alcf, ngx_http_handler_pt handler);
static char *ngx_http_analytics_format_parameter(ngx_conf_t *cf,
    ngx_http_analytics_loc_conf_t *alcf);
static void *ngx_http_analytics_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_analytics_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_analytics_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_analytics_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_analytics_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_analytics_init_process(ngx_cycle_t *cycle);
static void ngx_http_analytics_init_malloc(void);


static ngx_command_t  ngx_http_analytics_commands[] = {

    { ngx_string("analytics_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE2,
      ngx_http_analytics_zone_block,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("analytics_format"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_analytics_format_block,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("analytics_collect"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE23,
      ngx_http_analytics_collect,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("analytics_stats"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE2,
      ngx_http_analytics_stats,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("analytics_summary"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE23,
      ngx_http_analytics_summary,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("analytics_health"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_analytics_health,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_analytics_module_ctx = {
    NULL,                                    /* preconfiguration */
    ngx_http_analytics_postconfiguration,    /* postconfiguration */

    ngx_http_analytics_create_main_conf,     /* create main configuration */
    NULL,                                    /* init main configuration */

    NULL,                                    /* create server configuration */
    NULL,                                    /* merge server configuration */

    ngx_http_analytics_create_loc_conf,      /* create location configuration */
    ngx_http_analytics_merge_loc_conf        /* merge location configuration */
};


ngx_module_t  ngx_http_analytics_module = {
    NGX_MODULE_V1,
    &ngx_http_analytics_module_ctx,          /* module context */
    ngx_http_analytics_commands,             /* module directives */
    NGX_HTTP_MODULE,                         /* module type */
    NULL,                                    /* init master */
    ngx_http_analytics_init_module,          /* init module */
    ngx_http_analytics_init_process,         /* init process */
    NULL,                                    /* init thread */
    NULL,                                    /* exit thread */
    NULL,                                    /* exit process */
    NULL,                                    /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_conf_enum_t  ngx_http_analytics_stats_kinds[] = {
    { ngx_string("total"), NGX_HTTP_ANALYTICS_TOTAL },
    { ngx_string("by_type"), NGX_HTTP_ANALYTICS_BY_TYPE },
    { ngx_string("by_user"), NGX_HTTP_ANALYTICS_BY_USER },
    { ngx_string("over_time"), NGX_HTTP_ANALYTICS_OVER_TIME },
    { ngx_string("recent"), NGX_HTTP_ANALYTICS_RECENT },
    { ngx_string("user"), NGX_HTTP_ANALYTICS_USER },
    { ngx_null_string, 0 }
};


/* when the master started: survives reloads, and workers inherit it */
time_t  ngx_http_analytics_started;


static char *
ngx_http_analytics_collect(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *rv;

    rv = ngx_http_analytics_handler(cf, conf,
                                    ngx_http_analytics_collect_handler);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_analytics_format_parameter(cf, conf);
}


static char *
ngx_http_analytics_stats(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_analytics_loc_conf_t *alcf = conf;

    char             *rv;
    ngx_str_t        *value;
    ngx_conf_enum_t  *e;

    rv = ngx_http_analytics_handler(cf, alcf,
                                    ngx_http_analytics_stats_handler);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    value = cf->args->elts;

    for (e = ngx_http_analytics_stats_kinds; e->name.len; e++) {

        if (e->name.len == value[2].len
            && ngx_strcmp(e->name.data, value[2].data) == 0)
        {
            alcf->stats = e->value;
            return NGX_CONF_OK;
        }
    }

    return ngx_http_analytics_invalid(cf, "statistics", &value[2]);
}


static char *
ngx_http_analytics_summary(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *rv;

    rv = ngx_http_analytics_handler(cf, conf,
                                    ngx_http_analytics_summary_handler);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_http_analytics_format_parameter(cf, conf);
}


static char *
ngx_http_analytics_health(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_analytics_handler(cf, conf,
                                      ngx_http_analytics_health_handler);
}


/* Makes the location ours, with the zone that the first argument names. */

static char *
ngx_http_analytics_handler(ngx_conf_t *cf,
    ngx_http_analytics_loc_conf_t *alcf, ngx_http_handler_pt handler)
{
    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    if (alcf->handler == handler) {
        return "is duplicate";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler) {
        return "conflicts with another content directive of this location";
    }

    clcf->handler = handler;
    alcf->handler = handler;

    if (cf->args->nelts == 1) {
        return NGX_CONF_OK;
    }

    value = cf->args->elts;

    alcf->zone = ngx_http_analytics_zone_named(cf, &value[1]);

    return alcf->zone ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* format=NAME, which must be there, and any_type */

static char *
ngx_http_analytics_format_parameter(ngx_conf_t *cf,
    ngx_http_analytics_loc_conf_t *alcf)
{
    ngx_str_t   *value, name;
    ngx_uint_t   i;

    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "format=", 7) == 0
            && value[i].len > 7 && alcf->format == NULL)
        {
            name.data = value[i].data + 7;
            name.len = value[i].len - 7;

            alcf->format = ngx_http_analytics_format_named(cf, &name);
            if (alcf->format == NULL) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_strcmp(value[i].data, "any_type") == 0 && !alcf->any_type) {
            alcf->any_type = 1;
            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\"", &value[i]);
        return NGX_CONF_ERROR;
    }

    if (alcf->format == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" must have a \"format=\" parameter",
                           &value[0]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_analytics_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_analytics_main_conf_t  *amcf;

    amcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_analytics_main_conf_t));
    if (amcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&amcf->zones, cf->pool, 2,
                       sizeof(ngx_http_analytics_zone_t *))
        != NGX_OK)
    {
        return NULL;
    }

    if (ngx_array_init(&amcf->formats, cf->pool, 4,
                       sizeof(ngx_http_analytics_format_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return amcf;
}


static void *
ngx_http_analytics_create_loc_conf(ngx_conf_t *cf)
{
    /*
     * set by ngx_pcalloc():
     *
     *     conf->handler = NULL;
     *     conf->zone = NULL;
     *     conf->format = NULL;
     *     conf->stats = 0;
     *     conf->any_type = 0;
     */

    return ngx_pcalloc(cf->pool, sizeof(ngx_http_analytics_loc_conf_t));
}


static char *
ngx_http_analytics_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_analytics_loc_conf_t *prev = parent;
    ngx_http_analytics_loc_conf_t *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->handler) {

        /* the likes of proxy_pass do not look who was there before */

        if (clcf->handler != conf->handler) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "another content directive of location \"%V\" "
                          "conflicts with that of analytics", &clcf->name);
            return NGX_CONF_ERROR;
        }

        return NGX_CONF_OK;
    }

    /* "if" and "limit_except" blocks go on with their location's handler */

    if (prev->handler && clcf->noname && clcf->handler == NULL) {
        *conf = *prev;

        if (clcf->lmt_excpt) {
            clcf->handler = conf->handler;
        }
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_analytics_postconfiguration(ngx_conf_t *cf)
{
    ngx_http_analytics_main_conf_t  *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_analytics_module);

    if (amcf->zones.nelts == 0 && amcf->formats.nelts == 0) {
        return NGX_OK;
    }

#if (NGX_THREADS)

    amcf->thread_pool = ngx_thread_pool_add(cf, NULL);
    if (amcf->thread_pool == NULL) {
        return NGX_ERROR;
    }

#endif

    return ngx_http_analytics_check_names(cf);
}


static ngx_int_t
ngx_http_analytics_init_module(ngx_cycle_t *cycle)
{
    if (ngx_http_analytics_started == 0) {
        ngx_http_analytics_started = ngx_time();
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                        i;
    ngx_http_analytics_zone_t       **zones;
    ngx_http_analytics_main_conf_t   *amcf;

    if (ngx_process != NGX_PROCESS_WORKER
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    amcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_analytics_module);
    if (amcf == NULL) {
        /* no http block */
        return NGX_OK;
    }

    if (amcf->zones.nelts == 0) {
        return NGX_OK;
    }

    ngx_http_analytics_init_malloc();

    zones = amcf->zones.elts;

    for (i = 0; i < amcf->zones.nelts; i++) {
        ngx_http_analytics_ingest_init(zones[i]);
    }

#if (NGX_THREADS)
    ngx_http_analytics_task_init();
#endif

    ngx_http_analytics_shm_publish(amcf);

    return NGX_OK;
}


/*
 * The requests of a turn are freed together, and so is a body with all of
 * its events.  glibc gives such amounts back to the system at once, only to
 * fault them in again, page by page, in the next turn: that took a third of
 * the throughput.  Setting one of these alone would turn the others'
 * adaption off.
 */

static void
ngx_http_analytics_init_malloc(void)
{
#if (__GLIBC__)

    (void) mallopt(M_TRIM_THRESHOLD, 64 * 1024 * 1024);
    (void) mallopt(M_TOP_PAD, 1024 * 1024);
    (void) mallopt(M_MMAP_THRESHOLD, 1024 * 1024);

#endif
}
