
/*
 * How the log forgets.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_erase.h"
#include "ngx_analytics_fault.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_log.h"


/* A segment in memory. */
typedef struct {
    int                       dir;
    const char               *path;
    char                      name[NGX_ANALYTICS_LOG_NAME];
    u_char                   *data;
    size_t                    len;
    ngx_uint_t                damaged;
    const uint64_t           *key;
    ngx_analytics_fail_t     *fail;
} ngx_analytics_erase_file_t;


static ngx_uint_t ngx_analytics_erase_asked(u_char *tag,
    ngx_analytics_item_t *item, ngx_analytics_erasing_t *erasing);
static ngx_uint_t ngx_analytics_erase_event(u_char *tag,
    ngx_analytics_event_t *event, const uint64_t key[2], uint64_t seq,
    ngx_analytics_erasing_t *erasing, ngx_str_t *user);
static void ngx_analytics_erase_text(ngx_str_t *text);
static ngx_int_t ngx_analytics_erase_segment(ngx_analytics_erase_file_t *file,
    ngx_analytics_erasing_t *erasing, ngx_uint_t done, uint64_t *events);
static ngx_int_t ngx_analytics_erase_load(ngx_analytics_erase_file_t *file);
static uint64_t ngx_analytics_erase_walk(ngx_analytics_erase_file_t *file,
    ngx_analytics_erasing_t *erasing, ngx_uint_t done);
static void ngx_analytics_erase_damage(ngx_analytics_erase_file_t *file,
    u_char *p, u_char *last);
static ngx_int_t ngx_analytics_erase_save(ngx_analytics_erase_file_t *file);
static ngx_int_t ngx_analytics_erase_failed(ngx_analytics_erase_file_t *file,
    const char *what, const char *name);


ngx_uint_t
ngx_analytics_erase_record(u_char *p, ngx_analytics_record_t *r,
    const uint64_t key[2], ngx_analytics_erasing_t *erasing, ngx_uint_t done)
{
    u_char                *tag;
    uint64_t               seq;
    ngx_str_t              user;
    ngx_uint_t             n;
    ngx_analytics_item_t   item;

    n = 0;
    seq = r->seq;
    ngx_str_null(&user);

    for (tag = r->pos; ngx_analytics_record_item(r, &item) == NGX_OK;
         tag = r->pos)
    {
        if (item.kind == NGX_ANALYTICS_ITEM_EVENT) {
            n += ngx_analytics_erase_event(tag, &item.event, key, seq++,
                                           erasing, &user);

        } else if (item.kind == NGX_ANALYTICS_ITEM_ERASE && done) {
            n += ngx_analytics_erase_asked(tag, &item, erasing);
        }
    }

    if (n) {
        ngx_analytics_record_seal(p, r->len);
    }

    return n;
}


static ngx_uint_t
ngx_analytics_erase_asked(u_char *tag, ngx_analytics_item_t *item,
    ngx_analytics_erasing_t *erasing)
{
    if (item->erase == 0
        || ngx_analytics_erasing_find(erasing, item->erase) == NULL)
    {
        return 0;
    }

    ngx_memzero(tag + 1, NGX_ANALYTICS_RECORD_ERASE - 1);

    return 1;
}


/*
 * Events of a user that follow each other have the name once: then user, the
 * one who was erased last, is where it was, and consists of zeros by now.
 */
static ngx_uint_t
ngx_analytics_erase_event(u_char *tag, ngx_analytics_event_t *event,
    const uint64_t key[2], uint64_t seq, ngx_analytics_erasing_t *erasing,
    ngx_str_t *user)
{
    uint64_t                  hash;
    ngx_analytics_erasure_t  *erasure;

    if (event->user.len == 0) {
        return 0;
    }

    if (event->user.data != user->data) {

        hash = ngx_analytics_siphash(key, event->user.data, event->user.len);
        erasure = ngx_analytics_erasing_find(erasing, hash);

        /* who came back afterwards is welcome: items lie between records */

        if (erasure == NULL || seq >= erasure->seq) {
            return 0;
        }

        *user = event->user;
    }

    *tag |= NGX_ANALYTICS_TAG_ERASED;

    ngx_analytics_erase_text(&event->user);
    ngx_analytics_erase_text(&event->id);
    ngx_analytics_erase_text(&event->properties);

    return 1;
}


static void
ngx_analytics_erase_text(ngx_str_t *text)
{
    if (text->len) {
        ngx_memzero(text->data, text->len);
    }
}


ngx_int_t
ngx_analytics_erase_log(int dir, const char *path, const uint64_t key[2],
    uint64_t end, ngx_analytics_erasing_t *erasing, ngx_uint_t done,
    ngx_int_t (*progress)(void *ctx), void *ctx, uint64_t *events,
    ngx_analytics_fail_t *fail)
{
    uint64_t                    *positions;
    ngx_int_t                    rc;
    ngx_uint_t                   i, n;
    ngx_analytics_erase_file_t   file;

    *events = 0;

    /* one whose writer was killed */
    (void) unlinkat(dir, NGX_ANALYTICS_ERASE_TEMP, 0);

    if (ngx_analytics_segments(dir, path, &positions, &n, fail) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memzero(&file, sizeof(ngx_analytics_erase_file_t));

    file.dir = dir;
    file.path = path;
    file.key = key;
    file.fail = fail;

    rc = NGX_OK;

    /* a segment ends where the next one begins */

    for (i = 0; i + 1 < n && positions[i + 1] <= end && rc == NGX_OK; i++) {

        ngx_analytics_segment_name(file.name, positions[i]);

        rc = ngx_analytics_erase_segment(&file, erasing, done, events);

        if (rc == NGX_OK && progress && progress(ctx) != NGX_OK) {
            rc = NGX_ABORT;
        }
    }

    free(positions);

    if (rc == NGX_OK && fsync(dir) == -1) {
        ngx_analytics_failed(fail, "fsync()", path, NULL);
        return NGX_ERROR;
    }

    return rc;
}


static ngx_int_t
ngx_analytics_erase_segment(ngx_analytics_erase_file_t *file,
    ngx_analytics_erasing_t *erasing, ngx_uint_t done, uint64_t *events)
{
    uint64_t   n;
    ngx_int_t  rc;

    rc = ngx_analytics_erase_load(file);

    if (rc == NGX_OK) {
        n = ngx_analytics_erase_walk(file, erasing, done);
        *events += n;

        if (n || file->damaged) {
            rc = ngx_analytics_erase_save(file);
        }
    }

    free(file->data);

    return (rc == NGX_DECLINED) ? NGX_OK : rc;
}


/* NGX_DECLINED if the file is gone: retention may have removed it. */

static ngx_int_t
ngx_analytics_erase_load(ngx_analytics_erase_file_t *file)
{
    int          fd;
    ssize_t      n;
    ngx_int_t    rc;
    struct stat  st;

    file->data = NULL;
    file->len = 0;

    fd = openat(file->dir, file->name, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {
        return (errno == ENOENT)
               ? NGX_DECLINED
               : ngx_analytics_erase_failed(file, "open()", file->name);
    }

    if (fstat(fd, &st) == -1
        || (file->data = malloc((size_t) st.st_size + 1)) == NULL)
    {
        rc = ngx_analytics_erase_failed(file, "reading", file->name);
        (void) close(fd);
        return rc;
    }

    rc = NGX_OK;

    while (file->len < (size_t) st.st_size) {
        n = pread(fd, file->data + file->len,
                  (size_t) st.st_size - file->len, (off_t) file->len);

        if (n == -1 && errno != EINTR) {
            rc = ngx_analytics_erase_failed(file, "read()", file->name);
            break;
        }

        if (n == 0) {
            break;
        }

        file->len += (n > 0) ? (size_t) n : 0;
    }

    (void) close(fd);

    return rc;
}


/* What is no record cannot be read, nor be told to say nothing of a user. */

static uint64_t
ngx_analytics_erase_walk(ngx_analytics_erase_file_t *file,
    ngx_analytics_erasing_t *erasing, ngx_uint_t done)
{
    u_char                   *p, *last;
    uint64_t                  events;
    ngx_analytics_record_t    record;
    ngx_analytics_segment_t   header;

    events = 0;
    file->damaged = 0;

    last = file->data + file->len;
    p = file->data + ngx_min(file->len, NGX_ANALYTICS_SEGMENT_HEADER);

    if (ngx_analytics_segment_read(file->data, file->len, &header)
        == NGX_DECLINED)
    {
        ngx_analytics_erase_damage(file, file->data, p);
    }

    while (p < last) {

        if (ngx_analytics_record_read(p, (size_t) (last - p), &record)
            == NGX_OK)
        {
            events += ngx_analytics_erase_record(p, &record, file->key,
                                                 erasing, done);
            p += record.len;
            continue;
        }

        /* a record lies where 8 bytes do */

        ngx_analytics_erase_damage(file, p, ngx_min(p + 8, last));
        p += ngx_min(8, last - p);
    }

    return events;
}


static void
ngx_analytics_erase_damage(ngx_analytics_erase_file_t *file, u_char *p,
    u_char *last)
{
    for ( /* void */ ; p < last; p++) {
        file->damaged |= (*p != 0);
        *p = 0;
    }
}


static ngx_int_t
ngx_analytics_erase_save(ngx_analytics_erase_file_t *file)
{
    int        fd;
    ngx_int_t  rc;

    fd = openat(file->dir, NGX_ANALYTICS_ERASE_TEMP,
                O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600);

    if (fd == -1) {
        return ngx_analytics_erase_failed(file, "open()",
                                          NGX_ANALYTICS_ERASE_TEMP);
    }

    rc = ngx_analytics_log_pwrite(fd, file->data, file->len, 0);

    ngx_analytics_fault_point();
    ngx_analytics_fault_stop("erase.written");

    if (rc != NGX_OK || fdatasync(fd) == -1) {
        rc = ngx_analytics_erase_failed(file, "write()",
                                        NGX_ANALYTICS_ERASE_TEMP);
    }

    (void) close(fd);

    ngx_analytics_fault_point();
    ngx_analytics_fault_stop("erase.synced");

    if (rc == NGX_OK
        && renameat(file->dir, NGX_ANALYTICS_ERASE_TEMP, file->dir,
                    file->name) == -1)
    {
        rc = ngx_analytics_erase_failed(file, "rename() to", file->name);
    }

    if (rc != NGX_OK) {
        (void) unlinkat(file->dir, NGX_ANALYTICS_ERASE_TEMP, 0);
    }

    ngx_analytics_fault_point();
    ngx_analytics_fault_stop("erase.renamed");

    return rc;
}


static ngx_int_t
ngx_analytics_erase_failed(ngx_analytics_erase_file_t *file,
    const char *what, const char *name)
{
    ngx_analytics_failed(file->fail, what, file->path, name);

    return NGX_ERROR;
}
