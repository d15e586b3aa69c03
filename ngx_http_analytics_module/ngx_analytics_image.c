
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_cells.h"
#include "ngx_analytics_image.h"
#include "ngx_analytics_keys.h"


_Static_assert(3 + 2 * 8 + 2 * 10 + NGX_ANALYTICS_NAME_MAX
               + 2 * 10 * (NGX_ANALYTICS_USER_TYPES_MAX + 1)
               <= NGX_ANALYTICS_IMAGE_ENTRY, "an entry of a user");

_Static_assert(9 + 2 * 10 + 10 * NGX_ANALYTICS_CHUNK
               <= NGX_ANALYTICS_IMAGE_ENTRY, "an entry of a chunk");


/* the section that is being written */
typedef struct {
    ngx_analytics_image_pt    section;
    void                     *ctx;
    const char               *kind;
    u_char                   *start;
    u_char                   *pos;
    ngx_int_t                 rc;
} ngx_analytics_image_out_t;


static ngx_int_t ngx_analytics_image_flush(ngx_analytics_image_out_t *out);
static u_char *ngx_analytics_image_room(ngx_analytics_image_out_t *out,
    const char *kind);
static void ngx_analytics_image_write_zone(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out);
static void ngx_analytics_image_write_types(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out);
static void ngx_analytics_image_write_hll(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out);
static void ngx_analytics_image_write_cells(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out);
static void ngx_analytics_image_write_users(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out);
static u_char *ngx_analytics_image_write_user(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, u_char *p);
static void ngx_analytics_image_write_keys(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out);


static ngx_inline u_char *
ngx_analytics_image_put_varint(u_char *p, uint64_t value)
{
    while (value >= 0x80) {
        *p++ = (u_char) (value | 0x80);
        value >>= 7;
    }

    *p++ = (u_char) value;

    return p;
}


ngx_int_t
ngx_analytics_image_write(ngx_analytics_zone_t *z, u_char *buf,
    ngx_analytics_image_pt section, void *ctx)
{
    u_char                     *p;
    ngx_analytics_image_out_t   out;

    out.section = section;
    out.ctx = ctx;
    out.kind = "prog";
    out.start = buf;
    out.pos = buf;
    out.rc = NGX_OK;

    p = ngx_analytics_image_room(&out, "prog");

    if (p) {
        out.pos = ngx_analytics_image_put(p, (uint64_t) z->program.totals, 8);
    }

    ngx_analytics_image_write_zone(z, &out);
    ngx_analytics_image_write_types(z, &out);
    ngx_analytics_image_write_hll(z, &out);
    ngx_analytics_image_write_cells(z, &out);
    ngx_analytics_image_write_users(z, &out);
    ngx_analytics_image_write_keys(z, &out);

    return ngx_analytics_image_flush(&out);
}


/* Once section() has given up, nothing more is written. */

static ngx_int_t
ngx_analytics_image_flush(ngx_analytics_image_out_t *out)
{
    if (out->rc == NGX_OK && out->pos > out->start) {
        out->rc = out->section(out->ctx, out->kind, out->start,
                               (size_t) (out->pos - out->start));
    }

    out->pos = out->start;

    return out->rc;
}


/* Returns where an entry may be written, or NULL: no more is wanted. */

static u_char *
ngx_analytics_image_room(ngx_analytics_image_out_t *out, const char *kind)
{
    if (out->kind != kind
        || out->pos - out->start
           > NGX_ANALYTICS_IMAGE_MAX - NGX_ANALYTICS_IMAGE_ENTRY)
    {
        (void) ngx_analytics_image_flush(out);
        out->kind = kind;
    }

    return (out->rc == NGX_OK) ? out->pos : NULL;
}


static void
ngx_analytics_image_write_zone(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out)
{
    u_char      *p;
    ngx_uint_t   i;

    uint64_t     words[16] = {
        (uint64_t) z->created,
        (uint64_t) z->received,
        (uint64_t) z->keys_lost,
        z->events,
        z->older,
        z->type_overflow,
        z->evicted,
        z->refused,
        z->lost,
        (uint64_t) z->lost_hour,
        z->peak_count,
        (uint64_t) z->peak_hour,
        (uint64_t) z->spans[NGX_ANALYTICS_MINUTES].horizon,
        (uint64_t) z->spans[NGX_ANALYTICS_HOURS].horizon,
        z->live,
        z->keys_count
    };

    p = ngx_analytics_image_room(out, "zone");

    if (p == NULL) {
        return;
    }

    for (i = 0; i < 16; i++) {
        p = ngx_analytics_image_put(p, words[i], 8);
    }

    for (i = 0; i < 24; i++) {
        p = ngx_analytics_image_put(p, z->hour_of_day[i], 8);
    }

    out->pos = p;
}


static void
ngx_analytics_image_write_types(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out)
{
    u_char                *p;
    ngx_uint_t             id;
    ngx_analytics_type_t  *type;

    for (id = 0; id < z->ntypes; id++) {
        p = ngx_analytics_image_room(out, "type");

        if (p == NULL) {
            return;
        }

        type = ngx_analytics_type(z, id);

        p = ngx_analytics_image_put(p, type->count, 8);
        *p++ = type->len;
        out->pos = ngx_cpymem(p, type->name, type->len);
    }
}


static void
ngx_analytics_image_write_hll(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out)
{
    u_char      *p;
    ngx_uint_t   i;

    for (i = 0; i < NGX_ANALYTICS_HLL_SIZE; i++) {

        if (z->hll[i] == 0) {
            continue;
        }

        p = ngx_analytics_image_room(out, "hll ");

        if (p == NULL) {
            return;
        }

        p = ngx_analytics_image_put(p, i, 2);
        *p++ = z->hll[i];
        out->pos = p;
    }
}


static void
ngx_analytics_image_write_cells(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out)
{
    u_char                      *p, *bitmap;
    uint64_t                     bits;
    ngx_uint_t                   i;
    ngx_analytics_chunk_t       *chunk;
    ngx_analytics_cells_walk_t   walk;

    ngx_memzero(&walk, sizeof(ngx_analytics_cells_walk_t));

    while ((chunk = ngx_analytics_cells_next(z, &walk)) != NULL) {
        p = ngx_analytics_image_room(out, "cell");

        if (p == NULL) {
            return;
        }

        *p++ = (u_char) walk.level;

        bitmap = p;
        p += 8;

        p = ngx_analytics_image_put_varint(p,
                                         ngx_analytics_chunk_series(chunk));
        p = ngx_analytics_image_put_varint(p,
                             (uint64_t) ngx_analytics_chunk_number(chunk));

        for (i = 0, bits = 0; i < NGX_ANALYTICS_CHUNK; i++) {
            if (chunk->counts[i]) {
                bits |= (uint64_t) 1 << i;
                p = ngx_analytics_image_put_varint(p, chunk->counts[i]);
            }
        }

        (void) ngx_analytics_image_put(bitmap, bits, 8);
        out->pos = p;
    }
}


/*
 * In the order in which the hand will come by: read again in this order, who
 * would leave first still does.
 */
static void
ngx_analytics_image_write_users(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out)
{
    u_char                *p;
    uint32_t               i, n;
    ngx_analytics_user_t  *user;

    n = z->hand;

    for (i = 1; i < z->users.bump; i++) {
        n = (n + 1 < z->users.bump) ? n + 1 : 1;
        user = ngx_analytics_user(z, n);

        if (!(user->flags & NGX_ANALYTICS_USER_HEAD)) {
            continue;
        }

        p = ngx_analytics_image_room(out, "user");

        if (p == NULL) {
            return;
        }

        out->pos = ngx_analytics_image_write_user(z, user, p);
    }
}


static u_char *
ngx_analytics_image_write_user(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, u_char *p)
{
    u_char                       flags;
    uint64_t                    *entry;
    ngx_analytics_user_types_t   ut;

    flags = 0;

    if (user->flags & NGX_ANALYTICS_USER_TOUCHED) {
        flags |= NGX_ANALYTICS_IMAGE_TOUCHED;
    }

    if (user->flags & NGX_ANALYTICS_USER_INEXACT) {
        flags |= NGX_ANALYTICS_IMAGE_INEXACT;
    }

    if (user->flags & NGX_ANALYTICS_USER_LOSSY) {
        flags |= NGX_ANALYTICS_IMAGE_LOSSY;
    }

    *p++ = flags;
    *p++ = user->len;
    *p++ = (u_char) user->ntypes;

    p = ngx_analytics_image_put(p, (uint64_t) user->first, 8);
    p = ngx_analytics_image_put_varint(p, user->count);
    p = ngx_analytics_image_put_varint(p, (uint64_t) user->last
                                          - (uint64_t) user->first);

    p += ngx_analytics_user_name(z, user, p);

    ngx_analytics_user_types_init(user, &ut);

    while ((entry = ngx_analytics_user_types_next(z, &ut)) != NULL) {
        p = ngx_analytics_image_put_varint(p,
                                           ngx_analytics_entry_type(*entry));
        p = ngx_analytics_image_put_varint(p,
                                          ngx_analytics_entry_count(*entry));
    }

    return p;
}


static void
ngx_analytics_image_write_keys(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out)
{
    u_char                *p;
    uint32_t               i;
    ngx_analytics_slot_t  *slot;

    for (i = 0; i < z->keys_count; i++) {
        p = ngx_analytics_image_room(out, "key ");

        if (p == NULL) {
            return;
        }

        slot = ngx_analytics_slot(z, ngx_analytics_keys_place(z, i));

        p = ngx_analytics_image_put(p, slot->hash, 8);
        p = ngx_analytics_image_put(p, slot->digest, 8);
        p = ngx_analytics_image_put(p, slot->first, 8);
        p = ngx_analytics_image_put(p, slot->last, 8);
        p = ngx_analytics_image_put(p, (uint64_t) slot->received, 8);
        out->pos = ngx_analytics_image_put(p, slot->done, 4);
    }
}
