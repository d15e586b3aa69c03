
/*
 * The lines of "analytics_zone" that are about its log, for the block's file.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_HTTP_ANALYTICS_CONF_LOG_H_INCLUDED_
#define _NGX_HTTP_ANALYTICS_CONF_LOG_H_INCLUDED_


#include "ngx_http_analytics.h"


/* Before the block's first line, */
void ngx_http_analytics_zone_log_unset(ngx_http_analytics_zone_t *zone);

/*
 * for each of its lines: NGX_OK and what the line's handler is to return, or
 * NGX_DECLINED if it is another's line,
 */
ngx_int_t ngx_http_analytics_zone_log_line(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone, char **rv);

/* and behind its last. */
char *ngx_http_analytics_zone_log_init(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);


/* The line "path": ngx_http_analytics_conf_path.c */
char *ngx_http_analytics_zone_path(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);

/*
 * Once all is read: checks that the directories belong to who will write to
 * them, and has nginx make them, but for "nginx -t".
 */
ngx_int_t ngx_http_analytics_check_paths(ngx_conf_t *cf);


#endif /* _NGX_HTTP_ANALYTICS_CONF_LOG_H_INCLUDED_ */
