
/*
 * Directives and hooks.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_http_analytics_conf_log.h"
#include "ngx_http_analytics_metrics.h"
#include "ngx_http_analytics_query.h"

#if (__GLIBC__)
#include <malloc.h>
#endif


static void *ngx_http_analytics_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_analytics_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_analytics_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_analytics_postconfiguration(ngx_conf_t *cf);
static ngx_int_t ngx_http_analytics_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_analytics_init_process(ngx_cycle_t *cycle);
static void ngx_http_analytics_exit_process(ngx_cycle_t *cycle);
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
      NGX_HTTP_LOC_CONF|NGX_CONF_2MORE,
      ngx_http_analytics_collect,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("analytics_events"),
      NGX_HTTP_LOC_CONF|NGX_CONF_2MORE,
      ngx_http_analytics_events,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("analytics_export"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE2,
      ngx_http_analytics_export,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("analytics_counts"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE2,
      ngx_http_analytics_counts,
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

    { ngx_string("analytics_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_analytics_metrics,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("analytics_prometheus"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_analytics_prometheus,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("analytics_table"),
      NGX_HTTP_LOC_CONF|NGX_CONF_2MORE,
      ngx_http_analytics_table,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("analytics_join"),
      NGX_HTTP_LOC_CONF|NGX_CONF_2MORE,
      ngx_http_analytics_join,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("analytics_alerts"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_analytics_alerts,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("analytics_reports"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_analytics_reports,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("analytics_health"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_analytics_health,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("analytics_person"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE2,
      ngx_http_analytics_person,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("analytics_erase"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_analytics_erase,
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
    ngx_http_analytics_exit_process,         /* exit process */
    NULL,                                    /* exit master */
    NGX_MODULE_V1_PADDING
};


/* when the master started: survives reloads, and workers inherit it */
time_t  ngx_http_analytics_started;


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
        != NGX_OK
        || ngx_array_init(&amcf->views, cf->pool, 4,
                          sizeof(ngx_http_analytics_view_t *))
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
     *     conf->other = NULL;
     *     conf->zone = NULL;
     *     conf->format = NULL;
     *     conf->stats = 0;
     *     conf->events = NULL;
     *     conf->limit = 0;
     *     conf->view = NULL;
     *     conf->honor = 0;
     *     conf->any_type = 0;
     *     conf->silent = 0;
     *     conf->received = 0;
     *     conf->no_id = 0;
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

        /* a zone that was not declared is reported elsewhere */

        if (conf->events && conf->zone->size && conf->zone->path == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "location \"%V\" shows single events, for which "
                          "zone \"%V\" needs a \"path\"", &clcf->name,
                          &conf->zone->name);
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
    ngx_http_handler_pt             *h;
    ngx_http_core_main_conf_t       *cmcf;
    ngx_http_analytics_main_conf_t  *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_analytics_module);

    if (amcf->zones.nelts == 0 && amcf->formats.nelts == 0) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_analytics_requests_handler;


    amcf->thread_pool = ngx_thread_pool_add(cf, NULL);
    if (amcf->thread_pool == NULL) {
        return NGX_ERROR;
    }


    if (ngx_http_analytics_check_names(cf) != NGX_OK
        || ngx_http_analytics_check_views(cf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_analytics_check_paths(cf);
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

    if (ngx_http_analytics_post_init() != NGX_OK) {
        return NGX_ERROR;
    }

    zones = amcf->zones.elts;

    for (i = 0; i < amcf->zones.nelts; i++) {
        ngx_http_analytics_ingest_init(zones[i]);

        if (zones[i]->path) {
            ngx_http_analytics_log_init(zones[i]);
        }
    }

    ngx_http_analytics_store_init();
    ngx_http_analytics_task_init();
    ngx_http_analytics_stream_init();
    ngx_http_analytics_forecast_init();
    ngx_http_analytics_active_init();

    ngx_http_analytics_shm_publish(amcf);

    return NGX_OK;
}


static void
ngx_http_analytics_exit_process(ngx_cycle_t *cycle)
{

    ngx_uint_t                        i;
    ngx_http_analytics_zone_t       **zones;
    ngx_http_analytics_main_conf_t   *amcf;

    if (ngx_process != NGX_PROCESS_WORKER
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        return;
    }

    amcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_analytics_module);
    if (amcf == NULL) {
        return;
    }

    zones = amcf->zones.elts;

    for (i = 0; i < amcf->zones.nelts; i++) {
        if (zones[i]->path) {
            ngx_http_analytics_log_exit(zones[i]);
        }
    }

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
