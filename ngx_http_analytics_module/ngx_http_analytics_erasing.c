
/*
 * Erasing: what is done behind the answer, on a thread.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics.h"
#include "ngx_analytics_db.h"
#include "ngx_analytics_erase.h"
#include "ngx_analytics_fault.h"
#include "ngx_analytics_periods.h"
#include "ngx_analytics_store.h"


/* What is done to the list while nobody else does. */
typedef enum {
    NGX_HTTP_ANALYTICS_ERASING_ADD = 0,
    NGX_HTTP_ANALYTICS_ERASING_SET,
    NGX_HTTP_ANALYTICS_ERASING_REMOVE
} ngx_http_analytics_erasing_e;


/* how long others may fill the store, msec, before an erasure goes on */
#define NGX_HTTP_ANALYTICS_TURN        2000
#define NGX_HTTP_ANALYTICS_TURN_PAUSE  50


/* The store's lease, which others need, too. */
typedef struct {
    ngx_http_analytics_zone_t  *zone;
    ngx_analytics_fail_t       *fail;
    int                         fd;
} ngx_http_analytics_turn_t;


static ngx_int_t ngx_http_analytics_erasing_change(
    ngx_http_analytics_zone_t *zone, ngx_http_analytics_erasing_e what,
    ngx_analytics_erasing_t *users, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_http_analytics_erasing_edit(
    ngx_analytics_erasing_t *list, ngx_http_analytics_erasing_e what,
    ngx_analytics_erasure_t *user);
static ngx_int_t ngx_http_analytics_erasing_append(
    ngx_http_analytics_zone_t *zone, ngx_analytics_erasure_t *user,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_http_analytics_erasing_item(
    ngx_http_analytics_zone_t *zone, ngx_analytics_erasure_t *user,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_http_analytics_erasing_users(
    ngx_http_analytics_zone_t *zone, ngx_analytics_erasing_t *users,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_http_analytics_erasing_begin(
    ngx_http_analytics_zone_t *zone, ngx_analytics_erasing_t *users,
    uint64_t *end, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_http_analytics_erasing_files(
    ngx_http_analytics_zone_t *zone, ngx_analytics_erasing_t *users,
    uint64_t end, uint64_t *events, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_http_analytics_erasing_parts(
    ngx_http_analytics_turn_t *turn, ngx_analytics_erasing_t *users,
    uint64_t *rows);
static ngx_int_t ngx_http_analytics_erasing_turn(void *ctx);
static ngx_int_t ngx_http_analytics_erasing_due(void *ctx);
static ngx_int_t ngx_http_analytics_erasing_aside(
    ngx_http_analytics_zone_t *zone, ngx_analytics_fail_t *fail);
static ngx_uint_t ngx_http_analytics_ends(const char *name,
    const char *end);
static ngx_int_t ngx_http_analytics_erasing_progress(void *ctx);


ngx_int_t
ngx_http_analytics_erasing_add(ngx_http_analytics_zone_t *zone, uint64_t hash,
    ngx_analytics_fail_t *fail)
{
    ngx_int_t                rc;
    ngx_analytics_erasing_t  user;

    user.n = 1;
    user.users[0].hash = hash;
    user.users[0].seq = 0;

    /* first it is written down, so that it is not forgotten half way */

    rc = ngx_http_analytics_erasing_change(zone,
                               NGX_HTTP_ANALYTICS_ERASING_ADD, &user, fail);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_analytics_erasing_append(zone, &user.users[0], fail);
}


/* NGX_OK, NGX_BUSY if there are too many, or NGX_ERROR. */

static ngx_int_t
ngx_http_analytics_erasing_change(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_erasing_e what, ngx_analytics_erasing_t *users,
    ngx_analytics_fail_t *fail)
{
    int                      fd;
    ngx_int_t                rc;
    ngx_uint_t               i;
    ngx_analytics_log_t     *log;
    ngx_analytics_erasing_t  list;

    log = &zone->log;

    fd = ngx_http_analytics_lease_wait(zone, "lock.erasing", fail);

    if (fd == -1) {
        return NGX_ERROR;
    }

    rc = ngx_analytics_erasing_read(log->dir, log->path, &list, fail);

    for (i = 0; i < users->n && rc == NGX_OK; i++) {
        rc = ngx_http_analytics_erasing_edit(&list, what, &users->users[i]);
    }

    if (rc == NGX_OK) {
        rc = ngx_analytics_erasing_write(log->dir, log->path, &list, fail);
    }

    (void) close(fd);

    return rc;
}


static ngx_int_t
ngx_http_analytics_erasing_edit(ngx_analytics_erasing_t *list,
    ngx_http_analytics_erasing_e what, ngx_analytics_erasure_t *user)
{
    ngx_analytics_erasure_t  *known;

    known = ngx_analytics_erasing_find(list, user->hash);

    switch (what) {

    case NGX_HTTP_ANALYTICS_ERASING_ADD:

        if (known == NULL) {

            if (list->n == NGX_ANALYTICS_ERASING_MAX) {
                return NGX_BUSY;
            }

            known = &list->users[list->n++];
        }

        /* a user who came back meanwhile is to be erased once more */

        *known = *user;
        break;

    case NGX_HTTP_ANALYTICS_ERASING_SET:

        if (known) {
            known->seq = user->seq;
        }

        break;

    default: /* NGX_HTTP_ANALYTICS_ERASING_REMOVE */

        if (known && known->seq == user->seq) {
            *known = list->users[--list->n];
        }
    }

    return NGX_OK;
}


/* Has all who fold the log forget the user, and the list say since when. */

static ngx_int_t
ngx_http_analytics_erasing_append(ngx_http_analytics_zone_t *zone,
    ngx_analytics_erasure_t *user, ngx_analytics_fail_t *fail)
{
    ngx_int_t                rc;
    ngx_analytics_erasing_t  users;

    rc = ngx_http_analytics_enter(zone, 1);

    if (rc == NGX_ERROR) {
        ngx_analytics_failed(fail, "locking", zone->log.path, "control");
        return NGX_ERROR;
    }

    rc = ngx_http_analytics_erasing_item(zone, user, fail);

    ngx_analytics_log_unlock(&zone->log);

    if (rc != NGX_OK || ngx_analytics_log_sync(&zone->log, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    users.n = 1;
    users.users[0] = *user;

    return ngx_http_analytics_erasing_change(zone,
                               NGX_HTTP_ANALYTICS_ERASING_SET, &users, fail);
}


static ngx_int_t
ngx_http_analytics_erasing_item(ngx_http_analytics_zone_t *zone,
    ngx_analytics_erasure_t *user, ngx_analytics_fail_t *fail)
{
    u_char    record[NGX_ANALYTICS_RECORD_HEADER
                     + NGX_ANALYTICS_RECORD_ERASE + 8];
    size_t    len;
    u_char   *p;
    int64_t   received;
    uint64_t  seq;
    uint32_t  crc;

    p = ngx_analytics_record_erase_write(record + NGX_ANALYTICS_RECORD_HEADER,
                                         user->hash);
    len = ngx_analytics_record_pad(record, p, &crc);

    ngx_analytics_log_next(&zone->log, ngx_http_analytics_now(), &seq,
                           &received);
    ngx_analytics_record_finish(record, len, crc, p, seq, received, 0);

    if (ngx_analytics_log_append(&zone->log, record, len, 0, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    user->seq = seq;

    ngx_analytics_fault_stop("erase.item");

    (void) ngx_http_analytics_catch_up(zone);

    return NGX_OK;
}


void
ngx_http_analytics_erasing_run(ngx_http_analytics_zone_t *zone)
{
    int                      fd;
    ngx_int_t                rc;
    ngx_analytics_fail_t     fail;
    ngx_analytics_erasing_t  users;

    zone->erasing.rc = NGX_OK;

    /* what another process has written anew is not to stay open here */

    if (zone->erased != zone->shared->erased) {
        zone->erased = zone->shared->erased;
        ngx_analytics_db_purge(zone->log.path);
    }

    if (faccessat(zone->log.dir, NGX_ANALYTICS_ERASING_NAME, F_OK, 0) == -1) {
        return;
    }

    fd = ngx_http_analytics_lease(zone, "lock.erase");

    if (fd == -1) {
        return;
    }

    do {
        fail.text[0] = '\0';

        rc = ngx_analytics_erasing_read(zone->log.dir, zone->log.path, &users,
                                        &fail);

        if (rc == NGX_OK && users.n) {
            rc = ngx_http_analytics_erasing_users(zone, &users, &fail);
        }

    } while (rc == NGX_OK && users.n);

    (void) close(fd);

    if (rc == NGX_OK || ngx_terminate || ngx_exiting) {
        return;
    }

    zone->erasing.rc = NGX_ERROR;

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, fail.err,
                  "analytics zone \"%V\": users could not be erased yet: %s",
                  &zone->name, fail.text);
}


static ngx_int_t
ngx_http_analytics_erasing_users(ngx_http_analytics_zone_t *zone,
    ngx_analytics_erasing_t *users, ngx_analytics_fail_t *fail)
{
    uint64_t   end, events, asked;
    ngx_int_t  rc;

    if (ngx_http_analytics_erasing_begin(zone, users, &end, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    /*
     * What the users added to the counts of all is told by nothing but a
     * checkpoint, once the log does not say any more whose events those are.
     * If there cannot be one, their right goes before the counts.
     */

    rc = ngx_http_analytics_checkpoint_now(zone, fail);

    ngx_analytics_fault_stop("erase.checkpoints");

    if (ngx_http_analytics_erasing_files(zone, users, end, &events, fail)
        != NGX_OK
        || (rc != NGX_OK
            && ngx_http_analytics_checkpoint_now(zone, fail) != NGX_OK))
    {
        return NGX_ERROR;
    }

    /* nobody needs to be told any more who it was */

    rc = ngx_analytics_erase_log(zone->log.dir, zone->log.path,
                                 zone->log.control->key, end, users, 1,
                                 ngx_http_analytics_erasing_progress, zone,
                                 &asked, fail);
    if (rc == NGX_OK) {
        ngx_analytics_fault_stop("erase.asked");

        rc = ngx_http_analytics_erasing_change(zone,
                            NGX_HTTP_ANALYTICS_ERASING_REMOVE, users, fail);
    }

    if (rc == NGX_OK) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "analytics zone \"%V\": %ui %s erased, %uL events in "
                      "the log and the store", &zone->name, users->n,
                      users->n == 1 ? "user was" : "users were", events);
    }

    return rc == NGX_OK ? NGX_OK : NGX_ERROR;
}


/* All that is to be erased comes to lie in segments that are finished. */

static ngx_int_t
ngx_http_analytics_erasing_begin(ngx_http_analytics_zone_t *zone,
    ngx_analytics_erasing_t *users, uint64_t *end, ngx_analytics_fail_t *fail)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    for (i = 0; i < users->n; i++) {
        if (users->users[i].seq == 0
            && ngx_http_analytics_erasing_append(zone, &users->users[i], fail)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_http_analytics_enter(zone, 1) == NGX_ERROR) {
        ngx_analytics_failed(fail, "locking", zone->log.path, "control");
        return NGX_ERROR;
    }

    ngx_analytics_fault_stop("erase.begin");

    rc = ngx_analytics_log_new_segment(&zone->log, fail);
    *end = ngx_analytics_log_tail(&zone->log)->base;

    (void) ngx_http_analytics_catch_up(zone);

    ngx_analytics_log_unlock(&zone->log);

    return (rc == NGX_OK) ? ngx_analytics_log_sync(&zone->log, fail) : rc;
}


/*
 * Nobody fills the store from a file while it is changed.  Between two files
 * who has to may do so: what is made from a segment that was not changed yet
 * is changed with all other parts, behind the log.
 */

static ngx_int_t
ngx_http_analytics_erasing_files(ngx_http_analytics_zone_t *zone,
    ngx_analytics_erasing_t *users, uint64_t end, uint64_t *events,
    ngx_analytics_fail_t *fail)
{
    uint64_t                    rows;
    ngx_int_t                   rc;
    ngx_analytics_log_t        *log;
    ngx_http_analytics_turn_t   turn;

    log = &zone->log;

    turn.zone = zone;
    turn.fail = fail;
    turn.fd = ngx_http_analytics_lease_wait(zone, "lock.store", fail);

    if (turn.fd == -1) {
        return NGX_ERROR;
    }

    rows = 0;

    rc = ngx_analytics_erase_log(log->dir, log->path, log->control->key, end,
                                 users, 0, ngx_http_analytics_erasing_turn,
                                 &turn, events, fail);
    if (rc == NGX_OK) {
        rc = ngx_http_analytics_erasing_parts(&turn, users, &rows);
    }

    ngx_analytics_fault_stop("erase.parts");

    if (rc == NGX_OK) {
        rc = ngx_analytics_periods_erase(log->dir, log->path,
                                 log->control->key, users,
                                 ngx_http_analytics_erasing_progress, zone,
                                 fail);
    }

    ngx_analytics_fault_stop("erase.periods");

    if (rc == NGX_OK) {
        *events = ngx_max(*events, rows);
        rc = ngx_http_analytics_erasing_aside(zone, fail);
    }

    if (turn.fd != -1) {
        (void) close(turn.fd);
    }

    return rc;
}


static ngx_int_t
ngx_http_analytics_erasing_parts(ngx_http_analytics_turn_t *turn,
    ngx_analytics_erasing_t *users, uint64_t *rows)
{
    uint64_t                    n;
    ngx_int_t                   rc;
    ngx_analytics_log_t        *log;
    ngx_http_analytics_zone_t  *zone;

    zone = turn->zone;
    log = &zone->log;

    for ( ;; ) {
        rc = ngx_analytics_erase_store(log->dir, log->path, log->control->id,
                                 log->control->key, users,
                                 ngx_http_analytics_erasing_progress,
                                 ngx_http_analytics_erasing_due, turn, &n,
                                 turn->fail);

        (void) ngx_atomic_fetch_add(&zone->shared->erased, 1);

        *rows += n;

        if (rc != NGX_AGAIN) {
            return rc;
        }

        rc = ngx_http_analytics_erasing_turn(turn);

        if (rc != NGX_OK) {
            return rc;
        }
    }
}


/* Gives the lease away if somebody needs it, and waits until it is back. */

static ngx_int_t
ngx_http_analytics_erasing_turn(void *ctx)
{
    ngx_http_analytics_turn_t *turn = ctx;

    ngx_msec_t  wait;

    if (ngx_http_analytics_erasing_due(turn) == NGX_OK) {
        return ngx_http_analytics_erasing_progress(NULL);
    }

    (void) close(turn->fd);

    for (wait = 0;
         wait < NGX_HTTP_ANALYTICS_TURN
         && ngx_http_analytics_erasing_due(turn) != NGX_OK
         && ngx_http_analytics_erasing_progress(NULL) == NGX_OK;
         wait += NGX_HTTP_ANALYTICS_TURN_PAUSE)
    {
        ngx_msleep(NGX_HTTP_ANALYTICS_TURN_PAUSE);
    }

    turn->fd = ngx_http_analytics_lease_wait(turn->zone, "lock.store",
                                             turn->fail);

    return (turn->fd == -1) ? NGX_ERROR
                            : ngx_http_analytics_erasing_progress(NULL);
}


static ngx_int_t
ngx_http_analytics_erasing_due(void *ctx)
{
    ngx_http_analytics_turn_t *turn = ctx;

    return (turn->zone->store
            && ngx_http_analytics_store_behind(turn->zone)
               >= NGX_ANALYTICS_STORE_MIN)
           ? NGX_AGAIN : NGX_OK;
}


/* What was set aside cannot be told to say nothing of a user. */

static ngx_int_t
ngx_http_analytics_erasing_aside(ngx_http_analytics_zone_t *zone,
    ngx_analytics_fail_t *fail)
{
    DIR            *dir;
    struct dirent  *de;

    dir = opendir(zone->log.path);

    if (dir == NULL) {
        ngx_analytics_failed(fail, "opendir()", zone->log.path, NULL);
        return NGX_ERROR;
    }

    while ((de = readdir(dir)) != NULL) {

        if ((ngx_http_analytics_ends(de->d_name, ".damaged")
             || ngx_http_analytics_ends(de->d_name, ".ahead"))
            && unlinkat(zone->log.dir, de->d_name, 0) == -1)
        {
            ngx_analytics_failed(fail, "unlink()", zone->log.path, de->d_name);
            (void) closedir(dir);
            return NGX_ERROR;
        }
    }

    (void) closedir(dir);

    return NGX_OK;
}


/* Whether a file is one of ours, by its digits, with that at its end. */

static ngx_uint_t
ngx_http_analytics_ends(const char *name, const char *end)
{
    size_t  len, n;

    len = ngx_strlen(name);
    n = ngx_strlen(end);

    return name[0] >= '0' && name[0] <= '9' && len > n
           && ngx_strcmp(name + len - n, end) == 0;
}


static ngx_int_t
ngx_http_analytics_erasing_progress(void *ctx)
{
    return (ngx_terminate || ngx_exiting) ? NGX_ABORT : NGX_OK;
}
