
/*
 * Erasing people: what is to be forgotten, and how the log forgets it.
 *
 * Who asks for it has the user's hash written down in the file "erasing",
 * and then an item in the log, which makes each zone that folds the log
 * forget the user.  From then on nobody is shown the user's events.  What
 * the files hold is removed later, on a thread: the checkpoints first, in place
 * of which one is written behind the item, as the log will not tell any more
 * what the user added to the counts of all; then the segments that come before
 * the item, and the parts of the store.  A segment or a part
 * is written anew beside the old one, synced, and takes its name: a crash
 * leaves either, and the work is begun again by whoever finds "erasing".
 * Only a hash is written down, under the log's key: the name is nowhere.
 *
 *     erasing    a line for each user: the hash, 16 hexadecimal digits, and
 *                the number of the first event behind the item, 20 decimal
 *                digits, 0 if the item is not in the log yet
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_ERASE_H_INCLUDED_
#define _NGX_ANALYTICS_ERASE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_reader.h"


#define NGX_ANALYTICS_ERASING_MAX   64        /* users at once */
#define NGX_ANALYTICS_ERASING_NAME  "erasing"
#define NGX_ANALYTICS_ERASE_TEMP    "erase.tmp"


typedef struct {
    uint64_t                 hash;
    uint64_t                 seq;             /* events before are concerned */
} ngx_analytics_erasure_t;


typedef struct {
    ngx_uint_t               n;
    ngx_analytics_erasure_t  users[NGX_ANALYTICS_ERASING_MAX];
} ngx_analytics_erasing_t;


/*
 * Reads "erasing"; there are none if there is no such file.  NGX_OK or
 * NGX_ERROR and *fail (err 0: it is malformed).
 */
ngx_int_t ngx_analytics_erasing_read(int dir, const char *path,
    ngx_analytics_erasing_t *erasing, ngx_analytics_fail_t *fail);

/*
 * Writes it, durably, or removes it if there are none.  The caller has the
 * lock on "lock.erasing".
 */
ngx_int_t ngx_analytics_erasing_write(int dir, const char *path,
    ngx_analytics_erasing_t *erasing, ngx_analytics_fail_t *fail);

/* Returns the erasure of a user with that hash, or NULL. */
ngx_analytics_erasure_t *ngx_analytics_erasing_find(
    ngx_analytics_erasing_t *erasing, uint64_t hash);

/*
 * Whether the event of a user, with that id, is one that nobody is to see any
 * more.  One whose erasure is not in the log yet is not to be seen at all.
 */
ngx_uint_t ngx_analytics_erasing_hides(ngx_analytics_erasing_t *erasing,
    const uint64_t key[2], ngx_str_t *user, uint64_t id);


/*
 * Makes what a record says of the users unread, in events before those that
 * came after the item: in place, its length stays.
 * The record at p was read, and none of its items was taken.  With done, the
 * items that ask for it lose the hash.  Returns how many items were changed.
 */
ngx_uint_t ngx_analytics_erase_record(u_char *p, ngx_analytics_record_t *r,
    const uint64_t key[2], ngx_analytics_erasing_t *erasing, ngx_uint_t done);

/*
 * Writes those of the log's segments anew that end at a position or before
 * and say something of the users, or are damaged: damaged bytes become 0.
 * Nobody else may do so meanwhile.  progress may be NULL, and is called behind
 * each; anything but NGX_OK gives up.  *events is how many were changed.
 * NGX_OK, NGX_ABORT, or NGX_ERROR and *fail.
 */
ngx_int_t ngx_analytics_erase_log(int dir, const char *path,
    const uint64_t key[2], uint64_t end, ngx_analytics_erasing_t *erasing,
    ngx_uint_t done,
    ngx_int_t (*progress)(void *ctx), void *ctx, uint64_t *events,
    ngx_analytics_fail_t *fail);

/*
 * ngx_analytics_erase_store.c
 *
 * The same for the parts of the store that have rows of the users.  The
 * caller has the lease.  *rows is how many.
 *
 * turn may be NULL; when a part was written, anything but NGX_OK ends it with
 * NGX_AGAIN: others want the lease, who may merge what was not looked at.
 * Only when NGX_OK comes back nothing of the users is left.
 */
ngx_int_t ngx_analytics_erase_store(int dir, const char *path, u_char *log_id,
    const uint64_t key[2], ngx_analytics_erasing_t *erasing,
    ngx_int_t (*progress)(void *ctx), ngx_int_t (*turn)(void *ctx),
    void *ctx, uint64_t *rows,
    ngx_analytics_fail_t *fail);


/*
 * Empties a file that cannot be read, of the store or of counts: its name is to
 * stay, which says what is missing.  Not in place, as somebody may have it
 * mapped, but by a temporary file; the caller syncs the directory when all is
 * done.  NGX_OK, or NGX_ERROR and *fail.
 */
ngx_int_t ngx_analytics_erase_empty(int dir, const char *path,
    const char *temp, const char *name, ngx_analytics_fail_t *fail);


#endif /* _NGX_ANALYTICS_ERASE_H_INCLUDED_ */
