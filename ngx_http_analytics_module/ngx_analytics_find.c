
/*
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_find.h"
#include "ngx_analytics_store.h"


/* A part, or a piece of the log, that may have rows. */
typedef struct {
    ngx_analytics_part_t          part;      /* of the log: from and to */
    int64_t                       bound;     /* no row comes before this */
    ngx_uint_t                    log;       /* unsigned  log:1; */
    ngx_uint_t                    open;      /* unsigned  open:1; */

    union {
        ngx_analytics_select_part_t  part;
        ngx_analytics_select_log_t   log;
    } select;

    ngx_analytics_row_t           row;       /* the next one, if it is open */
} ngx_analytics_source_t;


struct ngx_analytics_find_s {
    ngx_analytics_find_conf_t     conf;
    ngx_analytics_erasing_t       erasing;

    ngx_analytics_source_t       *sources;   /* by their bounds; so many */
    ngx_uint_t                    n;
    ngx_uint_t                    opened;    /* were opened by now */

    ngx_analytics_source_t       *given;     /* whose row was given last */
    ngx_uint_t                    stored;    /* there is or was a part */
    ngx_uint_t                    incomplete;
};


static ngx_int_t ngx_analytics_find_start(ngx_analytics_find_t *f,
    ngx_analytics_fail_t *fail);
static void ngx_analytics_find_stop(ngx_analytics_find_t *f);
static ngx_int_t ngx_analytics_find_sources(ngx_analytics_find_t *f,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_find_part(ngx_analytics_find_t *f,
    ngx_analytics_part_t *part, int64_t *before, int64_t *after,
    ngx_analytics_fail_t *fail);
static void ngx_analytics_find_log(ngx_analytics_find_t *f, uint64_t from,
    uint64_t to, int64_t after, int64_t before);
static int ngx_analytics_find_bound_cmp(const void *one, const void *two);
static ngx_int_t ngx_analytics_find_best(ngx_analytics_find_t *f,
    ngx_analytics_source_t **best, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_find_open_next(ngx_analytics_find_t *f,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_find_open_log(ngx_analytics_find_t *f,
    ngx_analytics_source_t *source, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_find_advance(ngx_analytics_find_t *f,
    ngx_analytics_source_t *source, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_find_lost(ngx_analytics_find_t *f,
    ngx_analytics_source_t *source, ngx_analytics_fail_t *fail);


ngx_analytics_find_t *
ngx_analytics_find_open(ngx_analytics_find_conf_t *conf,
    ngx_analytics_fail_t *fail)
{
    ngx_analytics_find_t  *f;

    f = calloc(1, sizeof(ngx_analytics_find_t));

    if (f == NULL) {
        ngx_analytics_failed(fail, "calloc() for", conf->path, NULL);
        return NULL;
    }

    f->conf = *conf;
    f->conf.filter.end = conf->seq;

    if (conf->memory == 0) {
        f->conf.memory = NGX_ANALYTICS_FIND_MEMORY;
    }

    if (conf->key) {
        f->conf.filter.erasing = &f->erasing;
        f->conf.filter.key = conf->key;
    }

    if ((conf->key
         && ngx_analytics_erasing_read(conf->dir, conf->path, &f->erasing,
                                       fail)
            != NGX_OK)
        || ngx_analytics_find_start(f, fail) != NGX_OK)
    {
        ngx_analytics_find_close(f);
        return NULL;
    }

    return f;
}


/* Parts may be merged between the listing and the opening. */

static ngx_int_t
ngx_analytics_find_start(ngx_analytics_find_t *f, ngx_analytics_fail_t *fail)
{
    ngx_int_t                   rc;
    ngx_analytics_store_list_t  list;

    do {
        ngx_analytics_find_stop(f);

        if (ngx_analytics_store_list(f->conf.dir, f->conf.path, &list, fail)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        rc = ngx_analytics_find_sources(f, &list, fail);

        ngx_analytics_store_free(&list);

    } while (rc == NGX_AGAIN);

    return rc;
}


static void
ngx_analytics_find_stop(ngx_analytics_find_t *f)
{
    ngx_uint_t               i;
    ngx_analytics_source_t  *source;

    for (i = 0; i < f->n; i++) {
        source = &f->sources[i];

        if (!source->open) {
            continue;
        }

        if (source->log) {
            ngx_analytics_select_log_close(&source->select.log);

        } else {
            ngx_analytics_select_part_close(&source->select.part);
        }
    }

    free(f->sources);

    f->sources = NULL;
    f->given = NULL;
    f->n = 0;
    f->opened = 0;
}


/* NGX_OK, NGX_AGAIN if a part has gone, or NGX_ERROR. */

static ngx_int_t
ngx_analytics_find_sources(ngx_analytics_find_t *f,
    ngx_analytics_store_list_t *list, ngx_analytics_fail_t *fail)
{
    int64_t                 before, after, last;
    uint64_t                end;
    ngx_int_t               rc;
    ngx_uint_t              i;
    ngx_analytics_part_t   *part;

    /* each part may have a gap before it, and there is the tail */

    f->sources = calloc(2 * list->n + 1, sizeof(ngx_analytics_source_t));

    if (f->sources == NULL) {
        ngx_analytics_failed(fail, "calloc() for", f->conf.path, NULL);
        return NGX_ERROR;
    }

    f->stored = (list->to != 0);
    end = list->from;
    last = INT64_MIN;

    for (i = 0; i < list->n; i++) {
        part = &list->parts[i];

        before = INT64_MAX;
        after = last;

        rc = ngx_analytics_find_part(f, part, &before, &after, fail);

        if (rc != NGX_OK) {
            return rc;
        }

        if (part->from > end) {
            ngx_analytics_find_log(f, end, part->from, last, before);
        }

        end = part->to;
        last = after;
    }

    if (end < f->conf.tail) {
        ngx_analytics_find_log(f, end, f->conf.tail, last, INT64_MAX);
    }

    qsort(f->sources, f->n, sizeof(ngx_analytics_source_t),
          ngx_analytics_find_bound_cmp);

    return NGX_OK;
}


/*
 * Leaves those out that have nothing in the range.  All that comes before the
 * part was received before *before or then, and all behind it not before
 * *after.
 */
static ngx_int_t
ngx_analytics_find_part(ngx_analytics_find_t *f, ngx_analytics_part_t *part,
    int64_t *before, int64_t *after, ngx_analytics_fail_t *fail)
{
    int64_t                  from, to;
    ngx_analytics_db_t      *db;
    ngx_analytics_source_t  *source;
    ngx_analytics_filter_t  *filter;

    db = ngx_analytics_db_get(f->conf.path, part, fail);

    if (db == NULL) {

        if (fail->err == ENOENT) {
            return NGX_AGAIN;
        }

        if (fail->err != EBADMSG) {
            return NGX_ERROR;
        }

        /* then it is read from the log, as far as that reaches */

        if (ngx_analytics_parts_bad(f->conf.dir, f->conf.path, part, 0, fail)
            == NGX_OK)
        {
            return NGX_AGAIN;
        }

        f->incomplete = 1;

        return NGX_OK;
    }

    filter = &f->conf.filter;
    source = &f->sources[f->n];
    source->part = db->part;

    ngx_analytics_db_put(db, 0);

    part = &source->part;

    if (part->events) {
        *before = part->received_min;
        *after = part->received_max;
    }

    from = filter->received ? part->received_min : part->time_min;
    to = filter->received ? part->received_max : part->time_max;

    if (part->events == 0 || from >= filter->to || to < filter->from
        || part->received_max < filter->since
        || (filter->end && part->first >= filter->end))
    {
        return NGX_OK;
    }

    if (filter->received) {
        from = (int64_t) part->from;
        to = (int64_t) part->from;
    }

    source->bound = filter->descending ? -to : from;
    f->n++;

    return NGX_OK;
}


/*
 * When that happened what the log has is not known before, but when it was
 * received: not before one time, and not behind the other.
 */
static void
ngx_analytics_find_log(ngx_analytics_find_t *f, uint64_t from, uint64_t to,
    int64_t after, int64_t before)
{
    ngx_analytics_source_t  *source;
    ngx_analytics_filter_t  *filter;

    filter = &f->conf.filter;

    if (before < filter->since
        || (filter->received
            && (before < filter->from || after >= filter->to)))
    {
        return;
    }

    source = &f->sources[f->n++];

    ngx_memzero(source, sizeof(ngx_analytics_source_t));

    source->part.from = from;
    source->part.to = to;
    source->log = 1;

    source->bound = INT64_MIN;

    if (f->conf.filter.received) {
        source->bound = f->conf.filter.descending ? -(int64_t) from
                                                  : (int64_t) from;
    }
}


static int
ngx_analytics_find_bound_cmp(const void *one, const void *two)
{
    const ngx_analytics_source_t  *a = one, *b = two;

    return (a->bound > b->bound) - (a->bound < b->bound);
}


ngx_int_t
ngx_analytics_find_next(ngx_analytics_find_t *f, ngx_analytics_row_t *row,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t                rc;
    ngx_analytics_source_t  *best;

    while (f->conf.limit) {

        rc = ngx_analytics_find_best(f, &best, fail);

        if (rc == NGX_AGAIN) {

            /* goes on behind what was given, with the parts that are now */

            rc = ngx_analytics_find_start(f, fail);

            if (rc == NGX_OK) {
                continue;
            }
        }

        if (rc != NGX_OK) {
            return rc;
        }

        *row = best->row;
        f->given = best;

        f->conf.filter.after = 1;
        f->conf.filter.after_time = row->time;
        f->conf.filter.after_id = row->id;

        ngx_analytics_filter_erase(&f->conf.filter, row);

        if (row->received < f->conf.filter.since
            || (row->user.len == 0
                && (f->conf.filter.user.len || f->conf.filter.known)))
        {
            continue;
        }

        if (f->conf.skip) {
            f->conf.skip--;
            continue;
        }

        f->conf.limit--;

        return NGX_OK;
    }

    return NGX_DONE;
}


/*
 * The open source whose row is the next, when none that is not open can have
 * one before it.  With NGX_AGAIN a part has gone.
 */
static ngx_int_t
ngx_analytics_find_best(ngx_analytics_find_t *f,
    ngx_analytics_source_t **best, ngx_analytics_fail_t *fail)
{
    int64_t                  bound;
    ngx_int_t                rc;
    ngx_uint_t               i;
    ngx_analytics_source_t  *source;
    ngx_analytics_filter_t  *filter;

    filter = &f->conf.filter;

    /* now the texts of its row are not needed any more */

    if (f->given) {
        source = f->given;
        f->given = NULL;

        rc = ngx_analytics_find_advance(f, source, fail);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    for ( ;; ) {
        *best = NULL;

        for (i = 0; i < f->opened; i++) {
            source = &f->sources[i];

            if (source->open
                && (*best == NULL
                    || ngx_analytics_filter_cmp(filter, &source->row,
                                                &(*best)->row) < 0))
            {
                *best = source;
            }
        }

        if (f->opened == f->n) {
            return *best ? NGX_OK : NGX_DONE;
        }

        if (*best) {
            bound = filter->received ? (int64_t) (*best)->part.from
                                     : (*best)->row.time;

            if (filter->descending) {
                bound = -bound;
            }

            if (bound < f->sources[f->opened].bound) {
                return NGX_OK;
            }
        }

        rc = ngx_analytics_find_open_next(f, fail);

        if (rc != NGX_OK) {
            return rc;
        }
    }
}


static ngx_int_t
ngx_analytics_find_open_next(ngx_analytics_find_t *f,
    ngx_analytics_fail_t *fail)
{
    ngx_analytics_db_t      *db;
    ngx_analytics_source_t  *source;

    source = &f->sources[f->opened++];

    if (source->log) {
        return ngx_analytics_find_open_log(f, source, fail);
    }

    db = ngx_analytics_db_get(f->conf.path, &source->part, fail);

    if (db == NULL) {
        return (fail->err == ENOENT) ? NGX_AGAIN
                                     : ngx_analytics_find_lost(f, source,
                                                               fail);
    }

    source->open = 1;

    if (ngx_analytics_select_part_open(&source->select.part, db,
                                       &f->conf.filter, f->conf.stop, fail)
        != NGX_OK)
    {
        return ngx_analytics_find_lost(f, source, fail);
    }

    return ngx_analytics_find_advance(f, source, fail);
}


/* A piece of the log: from the beginning, or behind what it gave before. */

static ngx_int_t
ngx_analytics_find_open_log(ngx_analytics_find_t *f,
    ngx_analytics_source_t *source, ngx_analytics_fail_t *fail)
{
    uint64_t   most;
    ngx_int_t  rc;

    most = (f->conf.limit > UINT64_MAX - f->conf.skip)
           ? UINT64_MAX : f->conf.limit + f->conf.skip;

    rc = ngx_analytics_select_log_open(&source->select.log, f->conf.dir,
                                       f->conf.path, source->part.from,
                                       source->part.to, &f->conf.filter, most,
                                       f->conf.memory, f->conf.stop, fail);
    source->open = 1;

    if (rc == NGX_ERROR && fail->err == 0) {

        /* the log does not reach back so far */

        f->incomplete = 1;
        rc = NGX_OK;

    } else if (f->stored && source->select.log.begin > source->part.from) {

        /* from 0 on, it is what there is */

        f->incomplete = 1;
    }

    return (rc == NGX_OK) ? ngx_analytics_find_advance(f, source, fail) : rc;
}


/* Takes the source's next row, or closes it. */

static ngx_int_t
ngx_analytics_find_advance(ngx_analytics_find_t *f,
    ngx_analytics_source_t *source, ngx_analytics_fail_t *fail)
{
    ngx_int_t  rc;

    if (source->log) {
        rc = ngx_analytics_select_log_next(&source->select.log, &source->row);

    } else {
        rc = ngx_analytics_select_part_next(&source->select.part,
                                            &source->row, fail);
    }

    if (rc == NGX_DONE) {
        if (source->log) {
            ngx_analytics_select_log_close(&source->select.log);

            if (source->select.log.more) {
                return ngx_analytics_find_open_log(f, source, fail);
            }

        } else {
            ngx_analytics_select_part_close(&source->select.part);
        }

        source->open = 0;

        return NGX_OK;
    }

    return (rc == NGX_ERROR) ? ngx_analytics_find_lost(f, source, fail) : rc;
}


/*
 * What cannot be read because it is damaged is put aside: NGX_AGAIN.  Or it is
 * passed over, and told.
 */

static ngx_int_t
ngx_analytics_find_lost(ngx_analytics_find_t *f,
    ngx_analytics_source_t *source, ngx_analytics_fail_t *fail)
{
    ino_t  inode;

    inode = 0;

    if (source->open) {
        inode = source->select.part.db->inode;
        ngx_analytics_select_part_close(&source->select.part);
        source->open = 0;
    }

    if (fail->err != EBADMSG) {
        return NGX_ERROR;
    }

    if (ngx_analytics_parts_bad(f->conf.dir, f->conf.path, &source->part,
                                inode, fail)
        == NGX_OK)
    {
        return NGX_AGAIN;
    }

    f->incomplete = 1;

    return NGX_OK;
}


ngx_uint_t
ngx_analytics_find_incomplete(ngx_analytics_find_t *f)
{
    return f->incomplete;
}


void
ngx_analytics_find_close(ngx_analytics_find_t *f)
{
    ngx_analytics_find_stop(f);

    free(f);
}
