
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_checkpoint.h"
#include "ngx_analytics_crc32c.h"
#include "ngx_analytics_image.h"

#include <sys/stat.h>


typedef struct {
    uint32_t                version;
    uint32_t                len;
    u_char                  id[16];
    uint64_t                position;
    uint64_t                seq;
} ngx_analytics_checkpoint_head_t;


/* what is looked for, and one that is being read */
typedef struct {
    int                     dir;
    const char             *path;
    const u_char           *id;
    uint64_t                first;
    uint64_t                end;

    void                  (*bad)(void *ctx, const char *name,
                                 const char *why);
    void                  (*pace)(void *ctx);
    void                   *ctx;

    uint64_t                position;  /* of the last one, */
    ngx_uint_t              unread;    /* and whether some was not read */

    int                     fd;
    uint64_t                left;      /* bytes of the file */
    uint32_t                crc;
    const char             *why;       /* it is not good */
    int                     err;       /* errno, if it cannot be read */
    ngx_uint_t              keep;      /* nor to be set aside */
    ngx_analytics_image_t   image;
    u_char                  buf[NGX_ANALYTICS_IMAGE_MAX
                                + NGX_ANALYTICS_IMAGE_ENTRY];
} ngx_analytics_checkpoint_in_t;


static ngx_int_t ngx_analytics_checkpoint_search(
    ngx_analytics_checkpoint_in_t *in, ngx_analytics_zone_t *z,
    ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_checkpoint_passed(
    ngx_analytics_checkpoint_in_t *in, ngx_analytics_fail_t *fail);
static ngx_int_t ngx_analytics_checkpoint_load(
    ngx_analytics_checkpoint_in_t *in, ngx_analytics_zone_t *z);
static ngx_int_t ngx_analytics_checkpoint_head(
    ngx_analytics_checkpoint_in_t *in, ngx_analytics_checkpoint_head_t *head);
static ngx_int_t ngx_analytics_checkpoint_fits(
    ngx_analytics_checkpoint_in_t *in, ngx_analytics_checkpoint_head_t *head);
static ngx_int_t ngx_analytics_checkpoint_sections(
    ngx_analytics_checkpoint_in_t *in);
static ngx_int_t ngx_analytics_checkpoint_end(
    ngx_analytics_checkpoint_in_t *in, uint64_t len);
static ngx_int_t ngx_analytics_checkpoint_get(
    ngx_analytics_checkpoint_in_t *in, u_char *p, uint64_t len);
static ngx_int_t ngx_analytics_checkpoint_bad(
    ngx_analytics_checkpoint_in_t *in, const char *why);
static ngx_int_t ngx_analytics_checkpoint_unread(
    ngx_analytics_checkpoint_in_t *in);
static ngx_int_t ngx_analytics_checkpoint_aside(int dir, const char *name);


ngx_analytics_zone_t *
ngx_analytics_checkpoint_read(int dir, const char *path, const u_char *id,
    uint64_t first, uint64_t end, void *mem, size_t size,
    ngx_analytics_zone_conf_t *conf,
    void (*bad)(void *ctx, const char *name, const char *why),
    void (*pace)(void *ctx), void *ctx, ngx_analytics_fail_t *fail)
{
    ngx_int_t                       rc;
    ngx_analytics_zone_t           *z;
    ngx_analytics_checkpoint_in_t  *in;

    fail->err = 0;
    ngx_memcpy(fail->text, "no memory", sizeof("no memory"));

    in = calloc(1, sizeof(ngx_analytics_checkpoint_in_t));

    if (in == NULL) {
        return NULL;
    }

    in->dir = dir;
    in->path = path;
    in->id = id;
    in->first = first;
    in->end = end;
    in->bad = bad;
    in->pace = pace;
    in->ctx = ctx;

    in->position = NGX_ANALYTICS_END;

    do {
        z = ngx_analytics_zone_create(mem, size, conf);
        rc = z ? ngx_analytics_checkpoint_search(in, z, fail) : NGX_ERROR;

    } while (rc == NGX_AGAIN);

    free(in);

    return (rc == NGX_OK) ? z : NULL;
}


/*
 * Reads the next older one.  Returns NGX_OK, also if there is none; NGX_AGAIN
 * if it is no good: the zone is to be laid out anew; or NGX_ERROR.
 */

static ngx_int_t
ngx_analytics_checkpoint_search(ngx_analytics_checkpoint_in_t *in,
    ngx_analytics_zone_t *z, ngx_analytics_fail_t *fail)
{
    ngx_int_t  rc;

    rc = ngx_analytics_checkpoint_before(in->dir, in->position,
                                         &in->position);

    if (rc == NGX_ERROR) {
        ngx_analytics_failed(fail, "listing of", in->path, NULL);
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {

        /* what could not be read may be all that tells of what is gone */

        return (in->unread && in->first) ? NGX_ERROR : NGX_OK;
    }

    if (ngx_analytics_checkpoint_load(in, z) == NGX_OK) {
        return NGX_OK;
    }

    ngx_analytics_image_clear(z);

    return ngx_analytics_checkpoint_passed(in, fail);
}


/* One that is not used.  Returns NGX_AGAIN, or NGX_ERROR if it might be. */

static ngx_int_t
ngx_analytics_checkpoint_passed(ngx_analytics_checkpoint_in_t *in,
    ngx_analytics_fail_t *fail)
{
    char  name[NGX_ANALYTICS_CHECKPOINT_NAME];

    ngx_analytics_checkpoint_name(name, in->position);

    if (in->err) {
        errno = in->err;
        ngx_analytics_failed(fail, "reading of", in->path, name);

        if (ngx_analytics_short(fail)) {
            return NGX_ERROR;
        }

        in->unread |= (in->position >= in->first);
    }

    if (!in->keep) {

        /* if it cannot be renamed it is met again, and no better then */

        (void) ngx_analytics_checkpoint_aside(in->dir, name);
    }

    if (in->bad) {
        in->bad(in->ctx, name, in->why);
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_analytics_checkpoint_load(ngx_analytics_checkpoint_in_t *in,
    ngx_analytics_zone_t *z)
{
    char                              name[NGX_ANALYTICS_CHECKPOINT_NAME];
    ngx_int_t                         rc;
    struct stat                       st;
    ngx_analytics_checkpoint_head_t   head;

    in->crc = 0;
    in->why = NULL;
    in->err = 0;
    in->keep = 0;

    ngx_analytics_checkpoint_name(name, in->position);

    in->fd = openat(in->dir, name, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

    if (in->fd == -1 || fstat(in->fd, &st) == -1) {
        rc = ngx_analytics_checkpoint_unread(in);

    } else {
        in->left = (uint64_t) st.st_size;

        rc = ngx_analytics_checkpoint_head(in, &head);
    }

    if (rc == NGX_OK) {
        rc = ngx_analytics_checkpoint_fits(in, &head);
    }

    if (rc == NGX_OK) {
        ngx_analytics_image_start(&in->image, z);
        rc = ngx_analytics_checkpoint_sections(in);
    }

    if (rc == NGX_OK) {
        z->position = head.position;
        z->seq = head.seq;
    }

    if (in->fd != -1) {
        close(in->fd);
    }

    return rc;
}


/* Whatever the version, the header starts with these 128 bytes. */

static ngx_int_t
ngx_analytics_checkpoint_head(ngx_analytics_checkpoint_in_t *in,
    ngx_analytics_checkpoint_head_t *head)
{
    u_char  *sum, p[NGX_ANALYTICS_CHECKPOINT_HEADER];

    if (ngx_analytics_checkpoint_get(in, p, sizeof(p)) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_memcmp(p, NGX_ANALYTICS_CHECKPOINT_MAGIC, 8) != 0) {
        return ngx_analytics_checkpoint_bad(in, "it is no checkpoint");
    }

    sum = p + NGX_ANALYTICS_CHECKPOINT_HEADER - 4;

    if (ngx_analytics_crc32c(0, p, sum - p)
        != ngx_analytics_image_get(sum, 4))
    {
        return ngx_analytics_checkpoint_bad(in, "its checksum is wrong");
    }

    head->version = (uint32_t) ngx_analytics_image_get(p + 8, 4);
    head->len = (uint32_t) ngx_analytics_image_get(p + 12, 4);
    ngx_memcpy(head->id, p + 16, 16);
    head->position = ngx_analytics_image_get(p + 32, 8);
    head->seq = ngx_analytics_image_get(p + 40, 8);

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_checkpoint_fits(ngx_analytics_checkpoint_in_t *in,
    ngx_analytics_checkpoint_head_t *head)
{
    if (head->version > NGX_ANALYTICS_CHECKPOINT_VERSION) {
        in->keep = 1;
        return ngx_analytics_checkpoint_bad(in, "it is of a newer version");
    }

    if (head->version != NGX_ANALYTICS_CHECKPOINT_VERSION
        || head->len != NGX_ANALYTICS_CHECKPOINT_HEADER)
    {
        return ngx_analytics_checkpoint_bad(in, "it is malformed");
    }

    if (ngx_memcmp(head->id, in->id, 16) != 0) {
        return ngx_analytics_checkpoint_bad(in, "it is of another log");
    }

    if (head->position != in->position) {
        return ngx_analytics_checkpoint_bad(in,
                                           "its name is of another position");
    }

    if (in->position > in->end) {
        return ngx_analytics_checkpoint_bad(in, "it is ahead of the log");
    }

    if (in->position < in->first) {
        in->keep = 1;
        return ngx_analytics_checkpoint_bad(in,
                                            "the log behind it is gone");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_checkpoint_sections(ngx_analytics_checkpoint_in_t *in)
{
    u_char    p[NGX_ANALYTICS_CHECKPOINT_SECTION];
    uint64_t  len;

    for ( ;; ) {

        if (ngx_analytics_checkpoint_get(in, p, sizeof(p)) != NGX_OK) {
            return NGX_ERROR;
        }

        len = ngx_analytics_image_get(p + 8, 8);

        if (ngx_analytics_image_get(p + 4, 4) != 0
            || len > NGX_ANALYTICS_IMAGE_MAX)
        {
            return ngx_analytics_checkpoint_bad(in, "it is malformed");
        }

        if (ngx_memcmp(p, "end ", NGX_ANALYTICS_IMAGE_KIND) == 0) {
            return ngx_analytics_checkpoint_end(in, len);
        }

        if (ngx_analytics_checkpoint_get(in, in->buf, len) != NGX_OK) {
            return NGX_ERROR;
        }

        in->crc = ngx_analytics_crc32c(in->crc, p, sizeof(p));
        in->crc = ngx_analytics_crc32c(in->crc, in->buf, len);

        if (ngx_analytics_image_section(&in->image, p, in->buf, len)
            == NGX_ERROR)
        {
            return ngx_analytics_checkpoint_bad(in, "it is malformed");
        }

        if (in->pace) {
            in->pace(in->ctx);
        }
    }
}


static ngx_int_t
ngx_analytics_checkpoint_end(ngx_analytics_checkpoint_in_t *in, uint64_t len)
{
    u_char  p[8];

    if (len != sizeof(p)) {
        return ngx_analytics_checkpoint_bad(in, "it is malformed");
    }

    if (ngx_analytics_checkpoint_get(in, p, sizeof(p)) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_analytics_image_get(p, 4) != in->crc) {
        return ngx_analytics_checkpoint_bad(in, "its checksum is wrong");
    }

    if (ngx_analytics_image_get(p + 4, 4) != 0
        || in->left
        || ngx_analytics_image_end(&in->image) != NGX_OK)
    {
        return ngx_analytics_checkpoint_bad(in, "it is malformed");
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_checkpoint_get(ngx_analytics_checkpoint_in_t *in, u_char *p,
    uint64_t len)
{
    ssize_t  n;

    if (len > in->left) {
        return ngx_analytics_checkpoint_bad(in, "it is cut off");
    }

    in->left -= len;

    while (len) {
        n = read(in->fd, p, ngx_min(len, NGX_ANALYTICS_CHECKPOINT_PIECE));

        if (n == -1 && errno == EINTR) {
            continue;
        }

        if (n == -1) {
            return ngx_analytics_checkpoint_unread(in);
        }

        if (n == 0) {
            return ngx_analytics_checkpoint_bad(in, "it is cut off");
        }

        p += n;
        len -= (uint64_t) n;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_checkpoint_bad(ngx_analytics_checkpoint_in_t *in,
    const char *why)
{
    in->why = why;

    return NGX_ERROR;
}


static ngx_int_t
ngx_analytics_checkpoint_unread(ngx_analytics_checkpoint_in_t *in)
{
    in->err = errno;
    in->keep = 1;

    return ngx_analytics_checkpoint_bad(in, "it cannot be read");
}


ngx_int_t
ngx_analytics_checkpoint_ahead(int dir, const char *path, uint64_t end,
    char *name, ngx_analytics_fail_t *fail)
{
    uint64_t   position;
    ngx_int_t  rc;

    rc = ngx_analytics_checkpoint_before(dir, NGX_ANALYTICS_END, &position);

    if (rc == NGX_ERROR) {
        ngx_analytics_failed(fail, "listing of", path, NULL);
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED || position <= end) {
        return NGX_DONE;
    }

    ngx_analytics_checkpoint_name(name, position);

    if (ngx_analytics_checkpoint_aside(dir, name) != NGX_OK) {
        ngx_analytics_failed(fail, "rename() of", path, name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* NGX_OK, or NGX_ERROR and errno. */

static ngx_int_t
ngx_analytics_checkpoint_aside(int dir, const char *name)
{
    char  aside[NGX_ANALYTICS_CHECKPOINT_NAME + sizeof(".damaged")];

    (void) snprintf(aside, sizeof(aside), "%s.damaged", name);

    return renameat(dir, name, dir, aside) == 0 ? NGX_OK : NGX_ERROR;
}
