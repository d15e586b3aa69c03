
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_checkpoint.h"
#include "ngx_analytics_crc32c.h"
#include "ngx_analytics_image.h"

#include <dirent.h>
#include <sys/stat.h>


#define NGX_ANALYTICS_CHECKPOINT_TEMP     "checkpoint.tmp"
#define NGX_ANALYTICS_CHECKPOINT_EXT      ".checkpoint"
#define NGX_ANALYTICS_CHECKPOINT_DIGITS   20

_Static_assert(NGX_ANALYTICS_CHECKPOINT_DIGITS
               + sizeof(NGX_ANALYTICS_CHECKPOINT_EXT)
               == NGX_ANALYTICS_CHECKPOINT_NAME, "names");


#define NGX_ANALYTICS_CHECKPOINT_FLUSH  (1024 * 1024)


/* a checkpoint that is being written */
typedef struct {
    int                     fd;
    const char             *path;
    uint32_t                crc;
    size_t                  dirty;     /* bytes that were not synced yet */
    ngx_int_t             (*progress)(void *ctx);
    void                   *ctx;
    ngx_analytics_fail_t   *fail;
} ngx_analytics_checkpoint_out_t;


static ngx_int_t ngx_analytics_checkpoint_file(
    ngx_analytics_checkpoint_out_t *out, const u_char *id,
    ngx_analytics_zone_t *z, int64_t now);
static void ngx_analytics_checkpoint_header(u_char *p, const u_char *id,
    ngx_analytics_zone_t *z, int64_t now);
static ngx_int_t ngx_analytics_checkpoint_section(void *ctx,
    const char *kind, u_char *data, size_t len);
static ngx_int_t ngx_analytics_checkpoint_put(
    ngx_analytics_checkpoint_out_t *out, const u_char *p, size_t len);
static void ngx_analytics_checkpoint_remove(int dir, uint64_t position);
static void ngx_analytics_checkpoint_unlink(int dir, uint64_t position);
static ngx_uint_t ngx_analytics_checkpoint_aged(int dir, uint64_t position);
static uint64_t ngx_analytics_checkpoint_position(const char *name);


ngx_int_t
ngx_analytics_checkpoint_write(int dir, const char *path, const u_char *id,
    ngx_analytics_zone_t *z, int64_t now, ngx_int_t (*progress)(void *ctx),
    void *ctx, ngx_analytics_fail_t *fail)
{
    char                             name[NGX_ANALYTICS_CHECKPOINT_NAME];
    ngx_int_t                        rc;
    ngx_analytics_checkpoint_out_t   out;

    /* one whose writer was killed */
    (void) unlinkat(dir, NGX_ANALYTICS_CHECKPOINT_TEMP, 0);

    out.path = path;
    out.crc = 0;
    out.dirty = 0;
    out.progress = progress;
    out.ctx = ctx;
    out.fail = fail;

    out.fd = openat(dir, NGX_ANALYTICS_CHECKPOINT_TEMP,
                    O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600);

    if (out.fd == -1) {
        ngx_analytics_failed(fail, "open()", path,
                             NGX_ANALYTICS_CHECKPOINT_TEMP);
        return NGX_ERROR;
    }

    rc = ngx_analytics_checkpoint_file(&out, id, z, now);

    if (close(out.fd) == -1 && rc == NGX_OK) {
        ngx_analytics_failed(fail, "close()", path,
                             NGX_ANALYTICS_CHECKPOINT_TEMP);
        rc = NGX_ERROR;
    }

    ngx_analytics_checkpoint_name(name, ngx_analytics_zone_position(z));

    if (rc == NGX_OK
        && renameat(dir, NGX_ANALYTICS_CHECKPOINT_TEMP, dir, name) == -1)
    {
        ngx_analytics_failed(fail, "rename() to", path, name);
        rc = NGX_ERROR;
    }

    if (rc != NGX_OK) {
        (void) unlinkat(dir, NGX_ANALYTICS_CHECKPOINT_TEMP, 0);
        return NGX_ERROR;
    }

    /* until its name is durable the older ones are needed */

    if (fsync(dir) == -1) {
        ngx_analytics_failed(fail, "fsync()", path, NULL);
        return NGX_ERROR;
    }

    ngx_analytics_checkpoint_remove(dir, ngx_analytics_zone_position(z));

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_checkpoint_file(ngx_analytics_checkpoint_out_t *out,
    const u_char *id, ngx_analytics_zone_t *z, int64_t now)
{
    u_char     *buf, head[NGX_ANALYTICS_CHECKPOINT_HEADER];
    u_char      end[NGX_ANALYTICS_CHECKPOINT_SECTION + 8];
    ngx_int_t   rc;

    ngx_analytics_checkpoint_header(head, id, z, now);

    if (ngx_analytics_checkpoint_put(out, head, sizeof(head)) != NGX_OK) {
        return NGX_ERROR;
    }

    /* a section's header is written before it */

    buf = malloc(NGX_ANALYTICS_CHECKPOINT_SECTION + NGX_ANALYTICS_IMAGE_MAX);

    if (buf == NULL) {
        ngx_analytics_failed(out->fail, "malloc() for", out->path,
                             NGX_ANALYTICS_CHECKPOINT_TEMP);
        return NGX_ERROR;
    }

    rc = ngx_analytics_image_write(z, buf + NGX_ANALYTICS_CHECKPOINT_SECTION,
                                   ngx_analytics_checkpoint_section, out);
    free(buf);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memzero(end, sizeof(end));
    ngx_memcpy(end, "end ", NGX_ANALYTICS_IMAGE_KIND);
    ngx_analytics_image_put(end + 8, 8, 8);
    ngx_analytics_image_put(end + 16, out->crc, 4);

    if (ngx_analytics_checkpoint_put(out, end, sizeof(end)) != NGX_OK) {
        return NGX_ERROR;
    }

    if (fsync(out->fd) == -1) {
        ngx_analytics_failed(out->fail, "fsync()", out->path,
                             NGX_ANALYTICS_CHECKPOINT_TEMP);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_analytics_checkpoint_header(u_char *p, const u_char *id,
    ngx_analytics_zone_t *z, int64_t now)
{
    u_char  *sum;

    sum = p + NGX_ANALYTICS_CHECKPOINT_HEADER - 4;

    ngx_memzero(p, NGX_ANALYTICS_CHECKPOINT_HEADER);
    ngx_memcpy(p, NGX_ANALYTICS_CHECKPOINT_MAGIC, 8);
    ngx_analytics_image_put(p + 8, NGX_ANALYTICS_CHECKPOINT_VERSION, 4);
    ngx_analytics_image_put(p + 12, NGX_ANALYTICS_CHECKPOINT_HEADER, 4);
    ngx_memcpy(p + 16, id, 16);
    ngx_analytics_image_put(p + 32, ngx_analytics_zone_position(z), 8);
    ngx_analytics_image_put(p + 40, ngx_analytics_zone_last(z), 8);
    ngx_analytics_image_put(p + 48, (uint64_t) now, 8);
    ngx_analytics_image_put(sum, ngx_analytics_crc32c(0, p, sum - p), 4);
}


/* There is room for the header before data. */

static ngx_int_t
ngx_analytics_checkpoint_section(void *ctx, const char *kind, u_char *data,
    size_t len)
{
    u_char                          *p;
    ngx_analytics_checkpoint_out_t  *out = ctx;

    p = data - NGX_ANALYTICS_CHECKPOINT_SECTION;
    len += NGX_ANALYTICS_CHECKPOINT_SECTION;

    ngx_memcpy(p, kind, NGX_ANALYTICS_IMAGE_KIND);
    ngx_analytics_image_put(p + 4, 0, 4);
    ngx_analytics_image_put(p + 8, len - NGX_ANALYTICS_CHECKPOINT_SECTION, 8);

    out->crc = ngx_analytics_crc32c(out->crc, p, len);

    if (ngx_analytics_checkpoint_put(out, p, len) != NGX_OK) {
        return NGX_ERROR;
    }

    /*
     * A little at a time: the log is synced meanwhile, and would wait for all
     * that a file system has to write.
     */

    out->dirty += len;

    if (out->dirty >= NGX_ANALYTICS_CHECKPOINT_FLUSH) {
        out->dirty = 0;

        if (fdatasync(out->fd) == -1) {
            ngx_analytics_failed(out->fail, "fdatasync()", out->path,
                                 NGX_ANALYTICS_CHECKPOINT_TEMP);
            return NGX_ERROR;
        }
    }

    if (out->progress && out->progress(out->ctx) != NGX_OK) {
        out->fail->err = 0;
        out->fail->text[0] = '\0';
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_checkpoint_put(ngx_analytics_checkpoint_out_t *out,
    const u_char *p, size_t len)
{
    ssize_t  n;

    while (len) {
        n = write(out->fd, p, ngx_min(len, NGX_ANALYTICS_CHECKPOINT_PIECE));

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n <= 0) {
            ngx_analytics_failed(out->fail, "write() to", out->path,
                                 NGX_ANALYTICS_CHECKPOINT_TEMP);
            return NGX_ERROR;
        }

        p += n;
        len -= n;
    }

    return NGX_OK;
}


/*
 * Keeps the one just written and the newest before it.  Of the others, who
 * has read the directory's names in order to copy it needs one that he has
 * read of and that stays until he is done: the newest that has been there for
 * so long does, and the oldest that has not will take its place.
 * What claims to be newer was passed over by the reader, or will be: it is not
 * counted.
 */
static void
ngx_analytics_checkpoint_remove(int dir, uint64_t position)
{
    uint64_t    young;
    ngx_uint_t  i, aged;

    aged = 0;
    young = NGX_ANALYTICS_END;

    for (i = 1;
         ngx_analytics_checkpoint_before(dir, position, &position) == NGX_OK;
         i++)
    {
        if (aged) {
            ngx_analytics_checkpoint_unlink(dir, position);
            continue;
        }

        aged = ngx_analytics_checkpoint_aged(dir, position);

        if (aged || i < NGX_ANALYTICS_CHECKPOINTS) {
            continue;
        }

        if (young != NGX_ANALYTICS_END) {
            ngx_analytics_checkpoint_unlink(dir, young);
        }

        young = position;
    }
}


static void
ngx_analytics_checkpoint_unlink(int dir, uint64_t position)
{
    char  name[NGX_ANALYTICS_CHECKPOINT_NAME];

    ngx_analytics_checkpoint_name(name, position);
    (void) unlinkat(dir, name, 0);
}


/* Whether it was there when a copy began that takes as long as it may. */

static ngx_uint_t
ngx_analytics_checkpoint_aged(int dir, uint64_t position)
{
    char         name[NGX_ANALYTICS_CHECKPOINT_NAME];
    struct stat  st;

    ngx_analytics_checkpoint_name(name, position);

    return fstatat(dir, name, &st, 0) == 0
           && st.st_mtime + NGX_ANALYTICS_CHECKPOINT_AGE <= time(NULL);
}


ngx_int_t
ngx_analytics_checkpoint_oldest(int dir, uint64_t *position)
{
    uint64_t    below;
    ngx_int_t   rc;
    ngx_uint_t  n;

    below = NGX_ANALYTICS_END;

    for (n = 0; /* void */ ; n++) {
        rc = ngx_analytics_checkpoint_before(dir, below, &below);

        if (rc != NGX_OK) {
            break;
        }

        *position = below;
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    /* who copies the directory since before the first one needs all */

    return (n < NGX_ANALYTICS_CHECKPOINTS
            || !ngx_analytics_checkpoint_aged(dir, *position))
           ? NGX_DECLINED : NGX_OK;
}


uint64_t
ngx_analytics_checkpoint_newest(int dir)
{
    uint64_t  position;

    if (ngx_analytics_checkpoint_before(dir, NGX_ANALYTICS_END, &position)
        != NGX_OK)
    {
        return 0;
    }

    return position;
}


void
ngx_analytics_checkpoint_name(char *name, uint64_t position)
{
    (void) snprintf(name, NGX_ANALYTICS_CHECKPOINT_NAME,
                    "%020llu" NGX_ANALYTICS_CHECKPOINT_EXT,
                    (unsigned long long) position);
}


/* Returns what the file is called by, or END if it is no checkpoint. */

static uint64_t
ngx_analytics_checkpoint_position(const char *name)
{
    uint64_t    position, digit;
    ngx_uint_t  i;

    position = 0;

    for (i = 0; i < NGX_ANALYTICS_CHECKPOINT_DIGITS; i++) {

        if (name[i] < '0' || name[i] > '9') {
            return NGX_ANALYTICS_END;
        }

        digit = (uint64_t) (name[i] - '0');

        if (position > (UINT64_MAX - digit) / 10) {
            return NGX_ANALYTICS_END;
        }

        position = position * 10 + digit;
    }

    return strcmp(name + i, NGX_ANALYTICS_CHECKPOINT_EXT) == 0
           ? position : NGX_ANALYTICS_END;
}


ngx_int_t
ngx_analytics_checkpoint_before(int dir, uint64_t below, uint64_t *position)
{
    int             fd;
    DIR            *d;
    uint64_t        found;
    ngx_err_t       err;
    ngx_int_t       rc;
    struct dirent  *entry;

    fd = openat(dir, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC);

    if (fd == -1) {
        return NGX_ERROR;
    }

    d = fdopendir(fd);

    if (d == NULL) {
        err = errno;
        close(fd);
        errno = err;

        return NGX_ERROR;
    }

    rc = NGX_DECLINED;

    for ( ;; ) {
        errno = 0;

        entry = readdir(d);
        if (entry == NULL) {
            break;
        }

        found = ngx_analytics_checkpoint_position(entry->d_name);

        if (found < below && (rc != NGX_OK || found > *position)) {
            *position = found;
            rc = NGX_OK;
        }
    }

    err = errno;
    closedir(d);
    errno = err;

    return err ? NGX_ERROR : rc;
}
