
/*
 * The line "path" of "analytics_zone".
 *
 * nginx makes the directory and gives it to the workers' user, as it does
 * with its own; what would go wrong then, or worse, go right for somebody
 * else's directory, is found here, also by "nginx -t".
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_http_analytics_conf_log.h"


static char *ngx_http_analytics_path_exists(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
static char *ngx_http_analytics_path_parent(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
static char *ngx_http_analytics_path_unique(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
static ngx_uint_t ngx_http_analytics_path_same(ngx_str_t *one,
    ngx_str_t *two);
static u_char *ngx_http_analytics_path_last(ngx_str_t *name);
static int ngx_http_analytics_path_parent_info(ngx_str_t *name,
    ngx_file_info_t *fi);
static ngx_int_t ngx_http_analytics_path_owner(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);
static ngx_uid_t ngx_http_analytics_path_user(ngx_conf_t *cf,
    const char **name);
static ngx_int_t ngx_http_analytics_path_taken(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone);


/* path DIR; */

char *
ngx_http_analytics_zone_path(ngx_conf_t *cf, ngx_http_analytics_zone_t *zone)
{
    ngx_str_t   *value, name;
    ngx_path_t  *path;

    value = cf->args->elts;

    if (zone->path) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"path\" is duplicate");
        return NGX_CONF_ERROR;
    }

    name = value[1];

    if (name.len == 0) {
        return ngx_http_analytics_invalid(cf, "path", &value[1]);
    }

    if (ngx_conf_full_name(cf->cycle, &name, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    while (name.len && name.data[name.len - 1] == '/') {
        name.len--;
    }

    if (name.len == 0) {
        return ngx_http_analytics_invalid(cf, "path", &value[1]);
    }

    name.data[name.len] = '\0';

    path = ngx_pcalloc(cf->pool, sizeof(ngx_path_t));
    if (path == NULL) {
        return NGX_CONF_ERROR;
    }

    path->name = name;
    path->data = zone;
    path->conf_file = cf->conf_file->file.name.data;
    path->line = cf->conf_file->line;

    zone->path = path;

    if (ngx_http_analytics_path_exists(cf, zone) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_analytics_path_unique(cf, zone);
}


/* It is a directory, or can become one. */

static char *
ngx_http_analytics_path_exists(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    ngx_str_t        *name;
    ngx_file_info_t   fi;

    name = &zone->path->name;

    if (ngx_file_info(name->data, &fi) == NGX_FILE_ERROR) {

        if (ngx_errno == NGX_ENOENT || ngx_errno == NGX_ENOTDIR) {
            return ngx_http_analytics_path_parent(cf, zone);
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_file_info_n " \"%V\" of zone \"%V\" failed",
                           name, &zone->name);
        return NGX_CONF_ERROR;
    }

    if (!ngx_is_dir(&fi)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" of zone \"%V\" is not a directory", name,
                           &zone->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_analytics_path_parent(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    ngx_err_t         err;
    const char       *why;
    ngx_file_info_t   fi;

    if (ngx_http_analytics_path_parent_info(&zone->path->name, &fi)
        != NGX_FILE_ERROR)
    {
        return NGX_CONF_OK;
    }

    err = ngx_errno;

    switch (err) {

    case NGX_ENOENT:
        err = 0;
        why = "its parent does not exist and is not created";
        break;

    case NGX_ENOTDIR:
        err = 0;
        why = "its parent is not a directory";
        break;

    default:
        why = "its parent cannot be looked at";
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, err,
                       "the directory \"%V\" of zone \"%V\" cannot be made: "
                       "%s", &zone->path->name, &zone->name, why);

    return NGX_CONF_ERROR;
}


/* Two zones would write into each other's log. */

static char *
ngx_http_analytics_path_unique(ngx_conf_t *cf,
    ngx_http_analytics_zone_t *zone)
{
    ngx_uint_t                        i;
    ngx_path_t                       *path;
    ngx_http_analytics_zone_t       **zones;
    ngx_http_analytics_main_conf_t   *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_analytics_module);

    zones = amcf->zones.elts;

    for (i = 0; i < amcf->zones.nelts; i++) {
        path = zones[i]->path;

        if (zones[i] == zone || path == NULL
            || !ngx_http_analytics_path_same(&path->name, &zone->path->name))
        {
            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the directory \"%V\" of zone \"%V\" is that of "
                           "zone \"%V\" in %s:%ui", &zone->path->name,
                           &zone->name, &zones[i]->name, path->conf_file,
                           path->line);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* The same directory, or the same name where there is none yet. */

static ngx_uint_t
ngx_http_analytics_path_same(ngx_str_t *one, ngx_str_t *two)
{
    ngx_uint_t       exists;
    ngx_file_info_t  first, second;

    exists = (ngx_file_info(one->data, &first) != NGX_FILE_ERROR);

    if (exists != (ngx_file_info(two->data, &second) != NGX_FILE_ERROR)) {
        return 0;
    }

    if (!exists
        && (ngx_strcmp(ngx_http_analytics_path_last(one),
                       ngx_http_analytics_path_last(two))
            != 0
            || ngx_http_analytics_path_parent_info(one, &first)
               == NGX_FILE_ERROR
            || ngx_http_analytics_path_parent_info(two, &second)
               == NGX_FILE_ERROR))
    {
        return 0;
    }

    return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}


/* What stands behind the last slash; a full name has one. */

static u_char *
ngx_http_analytics_path_last(ngx_str_t *name)
{
    u_char  *p;

    for (p = name->data + name->len; p[-1] != '/'; p--) { /* void */ }

    return p;
}


static int
ngx_http_analytics_path_parent_info(ngx_str_t *name, ngx_file_info_t *fi)
{
    int      rc;
    u_char  *last, c;

    /* with its slash, as it may be "/" */

    last = ngx_http_analytics_path_last(name);

    c = *last;
    *last = '\0';

    rc = ngx_file_info(name->data, fi);

    *last = c;

    return rc;
}


ngx_int_t
ngx_http_analytics_check_paths(ngx_conf_t *cf)
{
    ngx_uint_t                        i;
    ngx_http_analytics_zone_t       **zones;
    ngx_http_analytics_main_conf_t   *amcf;

    amcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_analytics_module);

    zones = amcf->zones.elts;

    for (i = 0; i < amcf->zones.nelts; i++) {

        if (zones[i]->path == NULL) {
            continue;
        }

        if (ngx_http_analytics_path_taken(cf, zones[i]) != NGX_OK
            || ngx_http_analytics_path_owner(cf, zones[i]) != NGX_OK)
        {
            return NGX_ERROR;
        }

        /* nginx makes its paths for "nginx -t", too */

        if (!ngx_test_config
            && ngx_add_path(cf, &zones[i]->path) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Started by root, nginx would give any directory to the workers' user. */

static ngx_int_t
ngx_http_analytics_path_owner(ngx_conf_t *cf, ngx_http_analytics_zone_t *zone)
{
    ngx_uid_t         user;
    ngx_path_t       *path;
    const char       *name;
    ngx_file_info_t   fi;

    path = zone->path;

    if (ngx_file_info(path->name.data, &fi) == NGX_FILE_ERROR) {
        return NGX_OK;
    }

    if (geteuid() != 0) {

        if (fi.st_uid == geteuid()) {
            return NGX_OK;
        }

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "the directory \"%V\" of zone \"%V\" belongs to uid "
                      "%ui, but nginx runs as uid %ui in %s:%ui",
                      &path->name, &zone->name, (ngx_uint_t) fi.st_uid,
                      (ngx_uint_t) geteuid(), path->conf_file, path->line);
        return NGX_ERROR;
    }

    user = ngx_http_analytics_path_user(cf, &name);

    if (fi.st_uid == 0 || fi.st_uid == user) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "the directory \"%V\" of zone \"%V\" belongs to uid %ui, "
                  "neither to the workers' user \"%s\" nor to root in %s:%ui",
                  &path->name, &zone->name, (ngx_uint_t) fi.st_uid, name,
                  path->conf_file, path->line);

    return NGX_ERROR;
}


/* Whom the workers will run as; root itself if that is not known here. */

static ngx_uid_t
ngx_http_analytics_path_user(ngx_conf_t *cf, const char **name)
{
    struct passwd    *pwd;
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                           ngx_core_module);

    if (ccf->user != (ngx_uid_t) NGX_CONF_UNSET_UINT) {
        *name = ccf->username;
        return ccf->user;
    }

    /* as nginx will take it, once "user" can come no more */

    *name = NGX_USER;
    pwd = getpwnam(NGX_USER);

    return pwd ? pwd->pw_uid : 0;
}


/* A directory of nginx's own: ngx_add_path() would tell, "nginx -t" not. */

static ngx_int_t
ngx_http_analytics_path_taken(ngx_conf_t *cf, ngx_http_analytics_zone_t *zone)
{
    ngx_uint_t    i;
    ngx_path_t  **paths, *path;

    path = zone->path;
    paths = cf->cycle->paths.elts;

    for (i = 0; i < cf->cycle->paths.nelts; i++) {

        if (paths[i] != path
            && paths[i]->name.len == path->name.len
            && ngx_strncmp(paths[i]->name.data, path->name.data,
                           path->name.len)
               == 0)
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "the directory \"%V\" of zone \"%V\" is one of "
                          "nginx's own in %s:%ui", &path->name, &zone->name,
                          path->conf_file, path->line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
