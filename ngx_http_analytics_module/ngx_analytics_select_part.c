
/*
 * Events of one part.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_select.h"


/* A user who has more than this share of a part's rows is looked for there. */
#define NGX_ANALYTICS_SELECT_SHARE   16


/* How a statement looks: its place among those that a database keeps. */
#define NGX_ANALYTICS_SHAPE_USER        0x01
#define NGX_ANALYTICS_SHAPE_TYPE        0x02
#define NGX_ANALYTICS_SHAPE_AFTER       0x04
#define NGX_ANALYTICS_SHAPE_DESCENDING  0x08
#define NGX_ANALYTICS_SHAPE_RECEIVED    0x10
#define NGX_ANALYTICS_SHAPE_IDS         0x20   /* a user's, by the index */


static ngx_int_t ngx_analytics_select_user(ngx_analytics_select_part_t *s,
    ngx_uint_t *shape, int64_t *user, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_select_type(ngx_analytics_select_part_t *s,
    ngx_uint_t *shape, int64_t *type);
static sqlite3_stmt *ngx_analytics_select_statement(ngx_analytics_db_t *db,
    ngx_uint_t shape);
static void ngx_analytics_select_sql(char *sql, size_t size,
    ngx_uint_t shape);
static ngx_int_t ngx_analytics_select_range(ngx_analytics_select_part_t *s,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_select_ids(ngx_analytics_select_part_t *s,
    int64_t *from, int64_t *to, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_select_id(ngx_analytics_select_part_t *s,
    int64_t received, int64_t *id, ngx_analytics_fail_t *fail);
static int64_t ngx_analytics_select_bound(int64_t time, int64_t base);
static ngx_int_t ngx_analytics_select_failed(ngx_analytics_select_part_t *s,
    ngx_analytics_fail_t *fail);


ngx_int_t
ngx_analytics_select_part_open(ngx_analytics_select_part_t *s,
    ngx_analytics_db_t *db, ngx_analytics_filter_t *filter,
    volatile ngx_uint_t *stop, ngx_analytics_fail_t *fail)
{
    int64_t     user, type;
    ngx_int_t   rc;
    ngx_uint_t  shape;

    ngx_memzero(s, sizeof(ngx_analytics_select_part_t));

    s->db = db;
    s->filter = filter;
    db->stop = stop;

    user = 0;
    type = 0;

    shape = (filter->after ? NGX_ANALYTICS_SHAPE_AFTER : 0)
            | (filter->descending ? NGX_ANALYTICS_SHAPE_DESCENDING : 0)
            | (filter->received ? NGX_ANALYTICS_SHAPE_RECEIVED : 0);

    if (ngx_analytics_select_type(s, &shape, &type) != NGX_OK) {
        return NGX_OK;
    }

    rc = ngx_analytics_select_user(s, &shape, &user, fail);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_OK : NGX_ERROR;
    }

    s->statement = ngx_analytics_select_statement(db, shape);

    if (s->statement == NULL) {
        return ngx_analytics_select_failed(s, fail);
    }

    sqlite3_bind_int64(s->statement, 1, user);
    sqlite3_bind_int64(s->statement, 4, type);

    return ngx_analytics_select_range(s, fail);
}


/* NGX_DECLINED if the part has nothing of the user. */

static ngx_int_t
ngx_analytics_select_user(ngx_analytics_select_part_t *s, ngx_uint_t *shape,
    int64_t *user, ngx_analytics_fail_t *fail)
{
    int                  rc;
    ngx_str_t           *name;
    sqlite3_stmt        *statement;
    ngx_analytics_db_t  *db;

    db = s->db;
    name = &s->filter->user;

    if (name->len == 0) {
        return NGX_OK;
    }

    *shape |= NGX_ANALYTICS_SHAPE_USER;

    statement = db->user;

    sqlite3_bind_text(statement, 1, (char *) name->data, (int) name->len,
                      SQLITE_STATIC);

    rc = sqlite3_step(statement);

    if (rc == SQLITE_ROW) {
        *user = sqlite3_column_int64(statement, 0);

        if (s->filter->received
            && (uint64_t) sqlite3_column_int64(statement, 1)
               < db->part.events / NGX_ANALYTICS_SELECT_SHARE)
        {
            *shape |= NGX_ANALYTICS_SHAPE_IDS;
        }
    }

    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        return ngx_analytics_select_failed(s, fail);
    }

    sqlite3_reset(statement);

    return (rc == SQLITE_ROW) ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_analytics_select_type(ngx_analytics_select_part_t *s, ngx_uint_t *shape,
    int64_t *type)
{
    uint32_t    i;
    ngx_str_t  *name, *types;

    name = &s->filter->type;

    if (name->len == 0) {
        return NGX_OK;
    }

    *shape |= NGX_ANALYTICS_SHAPE_TYPE;

    types = s->db->types;

    for (i = 0; i < s->db->ntypes; i++) {

        if (types[i].len == name->len
            && memcmp(types[i].data, name->data, name->len) == 0)
        {
            *type = (int64_t) i + 1;
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


static sqlite3_stmt *
ngx_analytics_select_statement(ngx_analytics_db_t *db, ngx_uint_t shape)
{
    char  sql[1024];

    if (db->statements[shape] == NULL) {
        ngx_analytics_select_sql(sql, sizeof(sql), shape);

        if (sqlite3_prepare_v3(db->db, sql, -1, SQLITE_PREPARE_PERSISTENT,
                               &db->statements[shape], NULL)
            != SQLITE_OK)
        {
            return NULL;
        }
    }

    return db->statements[shape];
}


/*
 * ?1 is the user, ?2 and ?3 are the range (of times, or of ids), ?4 is the
 * type, ?5 and ?6 are time and id of what was there before.
 */
static void
ngx_analytics_select_sql(char *sql, size_t size, ngx_uint_t shape)
{
    const char  *what, *user, *type, *after, *order, *table;

    what = "SELECT rows.id, time, lag, users.name, type, own, properties"
           " FROM rows";

    type = (shape & NGX_ANALYTICS_SHAPE_TYPE) ? " AND type = ?4" : "";
    after = "";
    user = "";

    if (shape & NGX_ANALYTICS_SHAPE_RECEIVED) {
        order = (shape & NGX_ANALYTICS_SHAPE_DESCENDING)
                ? " ORDER BY rows.id DESC" : " ORDER BY rows.id";
        table = " NOT INDEXED";

        if (shape & NGX_ANALYTICS_SHAPE_IDS) {
            user = " AND rows.id IN (SELECT id FROM rows INDEXED BY rows_user"
                   " WHERE user = ?1)";

        } else if (shape & NGX_ANALYTICS_SHAPE_USER) {
            user = " AND user = ?1";
        }

        snprintf(sql, size, "%s%s LEFT JOIN users ON users.id = rows.user"
                 " WHERE rows.id >= ?2 AND rows.id < ?3%s%s%s", what, table,
                 user, type, order);
        return;
    }

    order = (shape & NGX_ANALYTICS_SHAPE_DESCENDING)
            ? " ORDER BY time DESC, rows.id DESC" : " ORDER BY time, rows.id";
    table = " INDEXED BY rows_time";

    if (shape & NGX_ANALYTICS_SHAPE_USER) {
        table = " INDEXED BY rows_user";
        user = " AND user = ?1";
    }

    if (shape & NGX_ANALYTICS_SHAPE_AFTER) {
        after = (shape & NGX_ANALYTICS_SHAPE_DESCENDING)
                ? " AND (time < ?5 OR rows.id < ?6)"
                : " AND (time > ?5 OR rows.id > ?6)";
    }

    snprintf(sql, size, "%s%s LEFT JOIN users ON users.id = rows.user"
             " WHERE time >= ?2 AND time < ?3%s%s%s%s", what, table, user,
             type, after, order);
}


/* What was there before is the end of the range, too. */

static ngx_int_t
ngx_analytics_select_range(ngx_analytics_select_part_t *s,
    ngx_analytics_fail_t *fail)
{
    int64_t                  from, to, base;
    ngx_analytics_filter_t  *filter;

    filter = s->filter;
    from = filter->from;
    to = filter->to;

    if (filter->received) {

        if (ngx_analytics_select_ids(s, &from, &to, fail) != NGX_OK) {
            return NGX_ERROR;
        }

    } else {
        base = s->db->part.base;

        if (filter->after && filter->descending) {

            if (filter->after_time < to) {
                to = filter->after_time + 1;
            }

        } else if (filter->after) {
            from = ngx_max(from, filter->after_time);
        }

        from = ngx_analytics_select_bound(from, base);
        to = ngx_analytics_select_bound(to, base);

        if (filter->after) {
            sqlite3_bind_int64(s->statement, 5, filter->after_time - base);
            sqlite3_bind_int64(s->statement, 6,
                               (sqlite3_int64) filter->after_id);
        }
    }

    sqlite3_bind_int64(s->statement, 2, from);
    sqlite3_bind_int64(s->statement, 3, to);

    return NGX_OK;
}


/* Times of receipt never fall as ids rise. */

static ngx_int_t
ngx_analytics_select_ids(ngx_analytics_select_part_t *s, int64_t *from,
    int64_t *to, ngx_analytics_fail_t *fail)
{
    int64_t                  first, last;
    ngx_analytics_filter_t  *filter;

    first = 0;
    last = 0;
    filter = s->filter;

    if (ngx_analytics_select_id(s, *from, &first, fail) != NGX_OK
        || ngx_analytics_select_id(s, *to, &last, fail) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* it can be anything, and so is compared before it is counted with */

    if (filter->after && filter->descending) {

        if (filter->after_id < (uint64_t) last) {
            last = (int64_t) filter->after_id;
        }

    } else if (filter->after && filter->after_id >= (uint64_t) first) {
        first = (int64_t) ngx_min(filter->after_id, s->db->part.last) + 1;
    }

    if (filter->end && filter->end < (uint64_t) last) {
        last = (int64_t) filter->end;
    }

    *from = first;
    *to = last;

    return NGX_OK;
}


/* The least id from which on all were received then or later. */

static ngx_int_t
ngx_analytics_select_id(ngx_analytics_select_part_t *s, int64_t received,
    int64_t *id, ngx_analytics_fail_t *fail)
{
    int                    rc;
    int64_t                low, high, middle, at;
    sqlite3_stmt          *statement;
    ngx_analytics_part_t  *part;

    part = &s->db->part;
    statement = s->db->at;

    low = (int64_t) part->first;
    high = (int64_t) part->last + 1;

    if (received <= part->received_min) {
        *id = low;
        return NGX_OK;
    }

    if (received > part->received_max) {
        *id = high;
        return NGX_OK;
    }

    while (low < high) {
        middle = low + (high - low) / 2;

        sqlite3_bind_int64(statement, 1, middle);

        rc = sqlite3_step(statement);

        if (rc != SQLITE_ROW) {
            return ngx_analytics_select_failed(s, fail);
        }

        at = sqlite3_column_int64(statement, 1) + part->base;

        if (at < received) {
            low = sqlite3_column_int64(statement, 0) + 1;

        } else {
            high = middle;
        }

        sqlite3_reset(statement);
    }

    *id = low;

    return NGX_OK;
}


static int64_t
ngx_analytics_select_bound(int64_t time, int64_t base)
{
    if (time < INT64_MIN + base) {
        return INT64_MIN;
    }

    return (time == INT64_MAX) ? INT64_MAX : time - base;
}


ngx_int_t
ngx_analytics_select_part_next(ngx_analytics_select_part_t *s,
    ngx_analytics_row_t *row, ngx_analytics_fail_t *fail)
{
    int64_t              type;
    ngx_analytics_db_t  *db;

    db = s->db;

    if (s->statement == NULL) {
        return NGX_DONE;
    }

    do {
        switch (sqlite3_step(s->statement)) {

        case SQLITE_ROW:
            break;

        case SQLITE_DONE:
            return NGX_DONE;

        case SQLITE_INTERRUPT:
            return NGX_ABORT;

        default:
            return ngx_analytics_select_failed(s, fail);
        }

        row->id = (uint64_t) sqlite3_column_int64(s->statement, 0);

    } while (s->filter->end && row->id >= s->filter->end);

    row->time = sqlite3_column_int64(s->statement, 1) + db->part.base;
    row->received = row->time + sqlite3_column_int64(s->statement, 2);

    row->user.data = (u_char *) sqlite3_column_text(s->statement, 3);
    row->user.len = (size_t) sqlite3_column_bytes(s->statement, 3);

    row->own.data = (u_char *) sqlite3_column_text(s->statement, 5);
    row->own.len = (size_t) sqlite3_column_bytes(s->statement, 5);

    row->properties.data = (u_char *) sqlite3_column_text(s->statement, 6);
    row->properties.len = (size_t) sqlite3_column_bytes(s->statement, 6);

    type = sqlite3_column_int64(s->statement, 4);

    if (type < 1 || type > (int64_t) db->ntypes) {
        fail->err = EBADMSG;
        snprintf(fail->text, sizeof(fail->text), "\"%s\" has a row of a type "
                 "that it does not know", db->file);
        s->bad = 1;
        return NGX_ERROR;
    }

    row->type = db->types[type - 1];

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_select_failed(ngx_analytics_select_part_t *s,
    ngx_analytics_fail_t *fail)
{
    s->bad = 1;

    return ngx_analytics_db_failed(s->db, fail);
}


void
ngx_analytics_select_part_close(ngx_analytics_select_part_t *s)
{
    if (s->statement) {
        sqlite3_reset(s->statement);
    }

    ngx_analytics_db_put(s->db, s->bad);
}
