
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_cells.h"
#include "ngx_analytics_dailies.h"
#include "ngx_analytics_image.h"
#include "ngx_analytics_keys.h"
#include "ngx_analytics_measures.h"
#include "ngx_analytics_sessions.h"


_Static_assert(5 + 8 + 2 * 10 + NGX_ANALYTICS_NAME_MAX
               + 4 * 10 + 8 + NGX_ANALYTICS_DAYS_MAX / 8
               + 2 * 10 * (NGX_ANALYTICS_USER_TYPES_MAX + 1)
               <= NGX_ANALYTICS_IMAGE_ENTRY, "an entry of a user");

_Static_assert(10 + 2 * 10 + 10 * NGX_ANALYTICS_CHUNK
               <= NGX_ANALYTICS_IMAGE_ENTRY, "an entry of a chunk");

_Static_assert(NGX_ANALYTICS_PROGRAM_MAX <= NGX_ANALYTICS_IMAGE_MAX,
               "the program");


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
static void ngx_analytics_image_write_measures(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out);
static void ngx_analytics_image_write_groups(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out);
static void ngx_analytics_image_write_cells(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out);
static void ngx_analytics_image_write_users(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out);
static u_char *ngx_analytics_image_write_user(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, u_char *p);
static u_char *ngx_analytics_image_write_days(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, u_char *p);
static void ngx_analytics_image_write_keys(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out);


ngx_int_t
ngx_analytics_image_write(ngx_analytics_zone_t *z, u_char *buf,
    ngx_analytics_image_pt section, void *ctx)
{
    ngx_analytics_image_out_t  out;

    out.section = section;
    out.ctx = ctx;
    out.kind = "prog";
    out.start = buf;
    out.pos = buf;

    /* it is there, also when it is empty */

    ngx_memcpy(buf, ngx_analytics_zone_text(z, z->program.place),
               z->program.len);

    out.rc = section(ctx, "prog", buf, z->program.len);

    ngx_analytics_image_write_zone(z, &out);
    ngx_analytics_image_write_types(z, &out);
    ngx_analytics_image_write_hll(z, &out);
    ngx_analytics_image_write_measures(z, &out);
    ngx_analytics_image_write_groups(z, &out);
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

    uint64_t     words[NGX_ANALYTICS_IMAGE_WORDS] = {
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
        (uint64_t) z->spans[NGX_ANALYTICS_FINE].horizon,
        (uint64_t) z->spans[NGX_ANALYTICS_UNIQUES].horizon,
        (uint64_t) z->spans[NGX_ANALYTICS_DAYS].horizon,
        z->live,
        z->keys_count,
        z->late,
        (uint64_t) z->dailies_from,
        z->refolds
    };

    p = ngx_analytics_image_room(out, "zone");

    if (p == NULL) {
        return;
    }

    for (i = 0; i < NGX_ANALYTICS_IMAGE_WORDS; i++) {
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


/* Those that are given up are not written, nor are their cells. */

static void
ngx_analytics_image_write_measures(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out)
{
    u_char                   *p;
    ngx_uint_t                i, k;
    ngx_analytics_measure_t  *m;

    for (i = 0; i < NGX_ANALYTICS_MEASURES; i++) {
        m = &z->measures[i];

        if (!ngx_analytics_measure_used(m)) {
            continue;
        }

        p = ngx_analytics_image_room(out, "meas");

        if (p == NULL) {
            return;
        }

        p = ngx_analytics_image_put(p, m->signature, 8);
        p = ngx_analytics_image_put(p, m->classes, 4);
        p = ngx_analytics_image_put(p, m->stale, 4);

        for (k = 0; k < NGX_ANALYTICS_CLASSES; k++) {
            p = ngx_analytics_image_put(p, m->since[k].from, 8);
        }

        for (k = 0; k < NGX_ANALYTICS_CLASSES; k++) {
            p = ngx_analytics_image_put(p, (uint64_t) m->since[k].since, 8);
        }

        p = ngx_analytics_image_put(p, m->skipped, 8);
        p = ngx_analytics_image_put(p, m->older, 8);
        p = ngx_analytics_image_put(p, m->others, 8);
        p = ngx_analytics_image_put(p, m->inexact, 4);
        p = ngx_analytics_image_put(p, m->groups_max, 4);
        p = ngx_analytics_image_put(p, m->least, 8);
        p = ngx_analytics_image_put(p, m->counted, 8);
        p = ngx_analytics_image_put(p, m->rest, 8);
        out->pos = ngx_analytics_image_put(p, m->counted_from, 8);
    }
}


static void
ngx_analytics_image_write_groups(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out)
{
    u_char                 *p;
    uint32_t                n;
    ngx_uint_t              i, number;
    ngx_analytics_group_t  *group;

    number = 0;

    for (i = 0; i < NGX_ANALYTICS_MEASURES; i++) {

        if (!ngx_analytics_measure_used(&z->measures[i])) {
            continue;
        }

        for (n = z->measures[i].groups; n; n = group->link) {
            group = ngx_analytics_group(z, n);

            p = ngx_analytics_image_room(out, "grup");

            if (p == NULL) {
                return;
            }

            p = ngx_analytics_image_put_varint(p, number);
            p = ngx_analytics_image_put_varint(p, group->index);
            *p++ = (group->pass != 0);
            p = ngx_analytics_image_put_varint(p, group->count);
            p = ngx_analytics_image_put_varint(p, group->error);
            p = ngx_analytics_image_put_varint(p, group->counted);
            *p++ = group->len;
            out->pos = ngx_cpymem(p, group->name, group->len);
        }

        number++;
    }
}


static void
ngx_analytics_image_write_cells(ngx_analytics_zone_t *z,
    ngx_analytics_image_out_t *out)
{
    u_char                      *p;
    uint64_t                     key;
    ngx_uint_t                   i, n, m, numbers[NGX_ANALYTICS_MEASURES];
    ngx_analytics_chunk_t       *chunk;
    ngx_analytics_cells_walk_t   walk;

    n = 0;

    for (i = 0; i < NGX_ANALYTICS_MEASURES; i++) {
        numbers[i] = ngx_analytics_measure_used(&z->measures[i]) ? ++n : 0;
    }

    ngx_memzero(&walk, sizeof(ngx_analytics_cells_walk_t));

    while ((chunk = ngx_analytics_cells_next(z, &walk)) != NULL) {
        key = chunk->key;
        m = ngx_analytics_chunk_series(chunk) >> 16;

        if (m) {

            if (numbers[m - 1] == 0) {
                continue;
            }

            key &= ~((uint64_t) 0xff << 48);
            key |= (uint64_t) numbers[m - 1] << 48;
        }

        p = ngx_analytics_image_room(out, "cell");

        if (p == NULL) {
            return;
        }

        out->pos = ngx_analytics_image_put_cells(p, key, &chunk->u);
    }
}


u_char *
ngx_analytics_image_put_cells(u_char *p, uint64_t key,
    ngx_analytics_cells_t *cells)
{
    u_char      *bitmap;
    uint64_t     bits;
    ngx_uint_t   i, level, plane;

    level = ngx_analytics_key_level(key);
    plane = ngx_analytics_key_plane(key);

    *p++ = (u_char) level;
    *p++ = (u_char) plane;

    bitmap = p;
    p += 8;

    p = ngx_analytics_image_put_varint(p, ngx_analytics_key_series(key));
    p = ngx_analytics_image_put_varint(p,
                                 (uint64_t) ngx_analytics_key_number(key));

    for (i = 0, bits = 0; i < NGX_ANALYTICS_CHUNK; i++) {

        if (cells->counts[i] == 0) {
            continue;
        }

        bits |= (uint64_t) 1 << i;

        if (!ngx_analytics_plane_single(plane)) {
            p = ngx_analytics_image_put_varint(p, cells->counts[i]);

        } else if (level == NGX_ANALYTICS_UNIQUES) {
            p = ngx_cpymem(p, &cells->registers[8 * i], 8);

        } else {
            p = ngx_analytics_image_put_varint(p, cells->bins[2 * i]);
            p = ngx_analytics_image_put_varint(p, cells->bins[2 * i + 1]);
        }
    }

    (void) ngx_analytics_image_put(bitmap, bits, 8);

    return p;
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
    *p++ = user->nsessions;
    *p++ = user->ndays;

    p = ngx_analytics_image_put(p, (uint64_t) user->first, 8);
    p = ngx_analytics_image_put_varint(p, user->count);
    p = ngx_analytics_image_put_varint(p, (uint64_t) user->last
                                          - (uint64_t) user->first);

    p = ngx_analytics_image_write_days(z, user, p);
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


/* The user's sessions, and days. */

static u_char *
ngx_analytics_image_write_days(ngx_analytics_zone_t *z,
    ngx_analytics_user_t *user, u_char *p)
{
    uint64_t                  word;
    ngx_uint_t                i, from, n, number;
    ngx_analytics_session_t  *session;

    for (i = 0; i < ngx_analytics_sessions_known(user); i++) {
        session = &user->sessions[i];

        p = ngx_analytics_image_put_varint(p, (uint64_t) session->start
                                              - (uint64_t) user->first);
        p = ngx_analytics_image_put_varint(p, (uint64_t) session->end
                                              - (uint64_t) session->start);
    }

    if (user->ndays == 0) {
        return p;
    }

    p = ngx_analytics_image_put(p, user->day_first, 2);
    p = ngx_analytics_image_put(p, user->day_last, 2);

    if (user->ndays != NGX_ANALYTICS_USER_DAYS_BITS) {

        for (i = 0; i < user->ndays; i++) {
            p = ngx_analytics_image_put(p, user->days[i], 2);
        }

        return p;
    }

    from = user->day_first / 64;
    n = user->day_last / 64 - from + 1;

    p = ngx_analytics_image_put(p, from, 2);
    p = ngx_analytics_image_put(p, n, 2);

    ngx_memzero(p, n * 8);

    for (i = from; /* void */ ; i = number + 1) {
        word = ngx_analytics_user_days_word(z, user, i, &number);

        if (word == 0) {
            break;
        }

        (void) ngx_analytics_image_put(p + (number - from) * 8, word, 8);
    }

    return p + n * 8;
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
