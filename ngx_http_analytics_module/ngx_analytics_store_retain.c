
/*
 * How the store forgets what is too old, or too much.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_store.h"
#include "ngx_analytics_fault.h"

#include <dirent.h>


static ngx_int_t ngx_analytics_store_drop(ngx_analytics_store_conf_t *conf,
    ngx_analytics_part_t *part, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_store_empty(ngx_analytics_store_conf_t *conf,
    ngx_analytics_part_t *part, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_store_bad(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail);


ngx_int_t
ngx_analytics_store_retain(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail)
{
    ngx_uint_t             old, much;
    ngx_analytics_part_t  *part;

    if (list->n == 0) {
        return NGX_DECLINED;
    }

    part = &list->parts[0];

    old = conf->keep_time && part->received_max < conf->now - conf->keep_time;
    much = conf->keep_size && list->size > conf->keep_size;

    if ((old || much) && part->received_max < conf->needed) {

        if (list->n > 1) {
            return ngx_analytics_store_drop(conf, part, fail);
        }

        if (old && part->events) {
            return ngx_analytics_store_empty(conf, part, fail);
        }
    }

    return conf->keep_time ? ngx_analytics_store_bad(conf, list, fail)
                           : NGX_DECLINED;
}


static ngx_int_t
ngx_analytics_store_drop(ngx_analytics_store_conf_t *conf,
    ngx_analytics_part_t *part, ngx_analytics_fail_t *fail)
{
    char  name[NGX_ANALYTICS_PART_NAME];

    ngx_analytics_part_name(name, part->from, part->to);

    ngx_analytics_fault_stop("drop");

    if (unlinkat(conf->dir, name, 0) == -1) {
        ngx_analytics_failed(fail, "unlink()", conf->path, name);
        return NGX_ERROR;
    }

    ngx_analytics_fault_stop("dropped");

    return NGX_OK;
}


/* The newest one's name stays: it says from where on the log is to be read. */

static ngx_int_t
ngx_analytics_store_empty(ngx_analytics_store_conf_t *conf,
    ngx_analytics_part_t *part, ngx_analytics_fail_t *fail)
{
    ngx_analytics_part_t          empty;
    ngx_analytics_part_writer_t  *w;

    ngx_analytics_fault_stop("drop");

    w = ngx_analytics_part_create(conf->dir, conf->path, conf->log_id,
                                  part->last, fail);
    if (w == NULL) {
        return NGX_ERROR;
    }

    return ngx_analytics_part_finish(w, part->from, part->to, conf->progress,
                                     conf->ctx, &empty, fail);
}


/*
 * What was put aside and could not be made again.  When its events were
 * received it does not tell, but it was written later; what is behind it is
 * to know from where on the log is to be read.
 */
static ngx_int_t
ngx_analytics_store_bad(ngx_analytics_store_conf_t *conf,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail)
{
    DIR                   *d;
    int64_t                written;
    ngx_int_t              rc;
    ngx_uint_t             bad;
    struct stat            st;
    struct dirent         *entry;
    ngx_analytics_part_t   part;

    d = opendir(conf->path);

    if (d == NULL) {
        ngx_analytics_failed(fail, "opendir()", conf->path, NULL);
        return NGX_ERROR;
    }

    rc = NGX_DECLINED;

    while (rc == NGX_DECLINED && (entry = readdir(d)) != NULL) {

        if (ngx_analytics_parts_parse(entry->d_name, &part, &bad) != NGX_OK
            || !bad || part.to == list->to
            || fstatat(conf->dir, entry->d_name, &st, 0) == -1)
        {
            continue;
        }

        written = (int64_t) st.st_mtim.tv_sec * 1000000
                  + st.st_mtim.tv_nsec / 1000;

        if (written >= ngx_min(conf->now - conf->keep_time, conf->needed)) {
            continue;
        }

        rc = NGX_OK;

        if (unlinkat(conf->dir, entry->d_name, 0) == -1) {
            ngx_analytics_failed(fail, "unlink()", conf->path, entry->d_name);
            rc = NGX_ERROR;
        }
    }

    (void) closedir(d);

    return rc;
}
