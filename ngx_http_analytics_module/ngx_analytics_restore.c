
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_cells.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_image.h"
#include "ngx_analytics_keys.h"
#include "ngx_analytics_measures.h"
#include "ngx_analytics_sessions.h"
#include "ngx_analytics_top.h"
#include "ngx_analytics_types.h"


/* counts above, which are of no log, could run into what is beside them */
#define NGX_ANALYTICS_IMAGE_COUNT    ((uint64_t) 1 << 47)

#define NGX_ANALYTICS_IMAGE_TYPES    65536

/* no two times are so far apart, microseconds */
#define NGX_ANALYTICS_IMAGE_TIMES    ((uint64_t) 1 << 60)

/*
 * How far the hand goes for each user, and for all of them together on top of
 * that: so often for each block and each user.
 */
#define NGX_ANALYTICS_IMAGE_STEPS    512
#define NGX_ANALYTICS_IMAGE_ROUNDS   8


typedef struct {
    const char               *kind;
    ngx_int_t               (*read)(ngx_analytics_image_t *image, u_char *p,
                                    u_char *last);
} ngx_analytics_image_kind_t;


static ngx_int_t ngx_analytics_image_read_program(
    ngx_analytics_image_t *image, u_char *p, u_char *last);
static ngx_int_t ngx_analytics_image_read_zone(ngx_analytics_image_t *image,
    u_char *p, u_char *last);
static ngx_int_t ngx_analytics_image_read_types(ngx_analytics_image_t *image,
    u_char *p, u_char *last);
static ngx_int_t ngx_analytics_image_read_hll(ngx_analytics_image_t *image,
    u_char *p, u_char *last);
static ngx_int_t ngx_analytics_image_read_measures(
    ngx_analytics_image_t *image, u_char *p, u_char *last);
static ngx_int_t ngx_analytics_image_read_counted(
    ngx_analytics_image_t *image, u_char *p, u_char *last);
static void ngx_analytics_image_counted(ngx_analytics_zone_t *z, ngx_uint_t m);
static ngx_int_t ngx_analytics_image_read_groups(
    ngx_analytics_image_t *image, u_char *p, u_char *last);
static ngx_int_t ngx_analytics_image_read_groups_old(
    ngx_analytics_image_t *image, u_char *p, u_char *last);
static ngx_int_t ngx_analytics_image_groups(ngx_analytics_image_t *image,
    u_char *p, u_char *last, ngx_uint_t old);
static ngx_int_t ngx_analytics_image_group(ngx_analytics_image_t *image,
    ngx_uint_t m, ngx_uint_t index, ngx_uint_t gone, uint64_t count,
    uint64_t error, uint64_t counted, ngx_str_t *name);
static ngx_int_t ngx_analytics_image_read_cells(ngx_analytics_image_t *image,
    u_char *p, u_char *last);
static ngx_int_t ngx_analytics_image_series(ngx_analytics_image_t *image,
    uint64_t *key);
static ngx_int_t ngx_analytics_image_read_users(ngx_analytics_image_t *image,
    u_char *p, u_char *last);
static u_char *ngx_analytics_image_read_user(ngx_analytics_image_t *image,
    ngx_analytics_user_image_t *user, u_char *p, u_char *last);
static u_char *ngx_analytics_image_read_days(
    ngx_analytics_user_image_t *user, u_char *p, u_char *last);
static void ngx_analytics_image_type(ngx_analytics_image_t *image,
    ngx_analytics_user_image_t *user, ngx_uint_t type, uint64_t count);
static void ngx_analytics_image_batch(ngx_analytics_image_t *image);
static void ngx_analytics_image_user(ngx_analytics_image_t *image,
    ngx_analytics_user_image_t *user);
static ngx_int_t ngx_analytics_image_read_keys(ngx_analytics_image_t *image,
    u_char *p, u_char *last);


#define NGX_ANALYTICS_IMAGE_NEEDED   0x03      /* the first two */

static ngx_analytics_image_kind_t  ngx_analytics_image_kinds[] = {
    { "prog", ngx_analytics_image_read_program },
    { "zone", ngx_analytics_image_read_zone },
    { "type", ngx_analytics_image_read_types },
    { "hll ", ngx_analytics_image_read_hll },
    { "meas", ngx_analytics_image_read_measures },
    { "cntd", ngx_analytics_image_read_counted },
    { "grps", ngx_analytics_image_read_groups },
    { "grup", ngx_analytics_image_read_groups_old },
    { "cell", ngx_analytics_image_read_cells },
    { "user", ngx_analytics_image_read_users },
    { "key ", ngx_analytics_image_read_keys }
};


void
ngx_analytics_image_start(ngx_analytics_image_t *image,
    ngx_analytics_zone_t *z)
{
    ngx_memzero(image, sizeof(ngx_analytics_image_t));

    image->zone = z;
    z->magic = 0;
}


ngx_int_t
ngx_analytics_image_section(ngx_analytics_image_t *image, const u_char *kind,
    u_char *data, size_t len)
{
    ngx_int_t    rc;
    ngx_uint_t   i, n, bit;

    n = sizeof(ngx_analytics_image_kinds)
        / sizeof(ngx_analytics_image_kind_t);

    for (i = 0; i < n; i++) {
        if (ngx_memcmp(kind, ngx_analytics_image_kinds[i].kind,
                       NGX_ANALYTICS_IMAGE_KIND)
            == 0)
        {
            break;
        }
    }

    if (i == n) {
        return NGX_DECLINED;
    }

    /* the first two come once, and before all others */

    bit = (ngx_uint_t) 1 << i;

    if ((bit & NGX_ANALYTICS_IMAGE_NEEDED)
        ? (image->seen & ~(bit - 1)) != 0
        : (image->seen & NGX_ANALYTICS_IMAGE_NEEDED)
          != NGX_ANALYTICS_IMAGE_NEEDED)
    {
        return NGX_ERROR;
    }

    image->seen |= bit;

    rc = ngx_analytics_image_kinds[i].read(image, data, data + len);

    ngx_analytics_image_batch(image);

    return rc;
}


ngx_int_t
ngx_analytics_image_end(ngx_analytics_image_t *image)
{
    ngx_uint_t  m;

    if ((image->seen & NGX_ANALYTICS_IMAGE_NEEDED)
        != NGX_ANALYTICS_IMAGE_NEEDED
        || image->users
        || image->keys
        || image->ntypes == 0)
    {
        return NGX_ERROR;
    }

    for (m = image->ncounted; m < image->nmeasures; m++) {
        ngx_analytics_image_counted(image->zone, m);
    }

    image->zone->magic = NGX_ANALYTICS_MAGIC;

    return NGX_OK;
}


/* The blocks in use lie at the beginnings of the pools, behind the rest. */

void
ngx_analytics_image_clear(ngx_analytics_zone_t *z)
{
    ngx_memzero(ngx_analytics_user(z, 1),
                (z->users.bump - 1) * sizeof(ngx_analytics_user_t));

    ngx_memzero(ngx_analytics_chunk(z, 1),
                (z->cells.bump - 1) * sizeof(ngx_analytics_chunk_t));

    ngx_memzero(z, z->fixed);
}


static ngx_int_t
ngx_analytics_image_read_program(ngx_analytics_image_t *image, u_char *p,
    u_char *last)
{
    ngx_analytics_zone_t  *z;

    z = image->zone;

    if (last - p > NGX_ANALYTICS_PROGRAM_MAX) {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_analytics_zone_text(z, 0), p, last - p);

    z->program.place = 0;
    z->program.len = (uint32_t) (last - p);
    z->program.signature = ngx_analytics_rules_signature((char *) p,
                                                         last - p);
    z->program.totals = ngx_analytics_zone_rules(z)->totals;

    return NGX_OK;
}


/* Nobody else has this zone: what is not linked is stored as it comes. */

static ngx_int_t
ngx_analytics_image_read_zone(ngx_analytics_image_t *image, u_char *p,
    u_char *last)
{
    uint64_t               words[NGX_ANALYTICS_IMAGE_WORDS];
    ngx_uint_t             i;
    ngx_analytics_zone_t  *z;

    if (last - p != NGX_ANALYTICS_IMAGE_ZONE) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_ANALYTICS_IMAGE_WORDS; i++, p += 8) {
        words[i] = ngx_analytics_image_get(p, 8);
    }

    /* with greater hours or chunks answers would overflow */

    if (words[9] > NGX_ANALYTICS_RING_HOURS * NGX_ANALYTICS_CHUNK
        || words[11] > NGX_ANALYTICS_RING_HOURS * NGX_ANALYTICS_CHUNK
        || words[12] > UINT32_MAX - NGX_ANALYTICS_RING_MINUTES
        || words[13] > NGX_ANALYTICS_RING_HOURS
        || words[14] > (UINT32_MAX >> NGX_ANALYTICS_CHUNK_BITS)
                       - NGX_ANALYTICS_RING_FINE
        || words[15] > NGX_ANALYTICS_RING_DAYS
        || words[16] > NGX_ANALYTICS_RING_DAYS
        || words[20] > NGX_ANALYTICS_DAYS_MAX)
    {
        return NGX_ERROR;
    }

    z = image->zone;

    z->created = (int64_t) words[0];
    z->received = (int64_t) words[1];
    z->keys_lost = (int64_t) words[2];
    z->events = words[3];
    z->older = words[4];
    z->type_overflow = words[5];
    z->evicted = words[6];
    z->refused = words[7];
    z->lost = words[8];
    z->lost_hour = (int64_t) words[9];
    z->peak_count = words[10];
    z->peak_hour = (int64_t) words[11];
    z->spans[NGX_ANALYTICS_MINUTES].horizon = (int64_t) words[12];
    z->spans[NGX_ANALYTICS_HOURS].horizon = (int64_t) words[13];

    z->spans[NGX_ANALYTICS_FINE].horizon = (int64_t) words[14];
    z->spans[NGX_ANALYTICS_UNIQUES].horizon = (int64_t) words[15];
    z->spans[NGX_ANALYTICS_DAYS].horizon = (int64_t) words[16];

    image->users = words[17];
    image->keys = words[18];

    z->late = words[19];
    z->dailies_from = (int64_t) words[20];
    z->refolds = words[21];

    image->steps = NGX_ANALYTICS_IMAGE_ROUNDS
                   * (z->users.nblocks + ngx_min(image->users, UINT32_MAX));

    for (i = 0; i < 24; i++, p += 8) {
        z->hour_of_day[i] = ngx_analytics_image_get(p, 8);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_image_read_types(ngx_analytics_image_t *image, u_char *p,
    u_char *last)
{
    uint64_t   count;
    ngx_str_t  name;

    while (p < last) {
        count = ngx_analytics_image_get(p, 8);
        name.len = p[8];
        name.data = p + 9;
        p = name.data + name.len;

        if (p > last
            || name.len == 0
            || image->ntypes == NGX_ANALYTICS_IMAGE_TYPES)
        {
            return NGX_ERROR;
        }

        ngx_analytics_types_restore(image->zone, image->ntypes++, &name,
                                    count);
    }

    return NGX_OK;
}


/* A greater rank cannot be, and would be counted with others' registers. */

static ngx_int_t
ngx_analytics_image_read_hll(ngx_analytics_image_t *image, u_char *p,
    u_char *last)
{
    ngx_uint_t  reg;

    for ( /* void */ ; p < last; p += 3) {
        reg = (ngx_uint_t) ngx_analytics_image_get(p, 2);

        if (last - p < 3
            || reg >= NGX_ANALYTICS_HLL_SIZE
            || p[2] > 64 - NGX_ANALYTICS_HLL_BITS + 1)
        {
            return NGX_ERROR;
        }

        image->zone->hll[reg] = p[2];
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_image_read_measures(ngx_analytics_image_t *image, u_char *p,
    u_char *last)
{
    ngx_uint_t                i;
    ngx_analytics_measure_t  *m;

    for ( /* void */ ; p < last; p += NGX_ANALYTICS_IMAGE_MEASURE) {

        if (last - p < NGX_ANALYTICS_IMAGE_MEASURE
            || image->nmeasures == NGX_ANALYTICS_MEASURES)
        {
            return NGX_ERROR;
        }

        m = &image->zone->measures[image->nmeasures++];

        m->signature = ngx_analytics_image_get(p, 8);
        m->classes = (uint32_t) ngx_analytics_image_get(p + 8, 4);
        m->stale = (uint32_t) ngx_analytics_image_get(p + 12, 4);

        for (i = 0; i < NGX_ANALYTICS_CLASSES; i++) {
            m->since[i].from = ngx_analytics_image_get(p + 16 + 8 * i, 8);
            m->since[i].since = (int64_t) ngx_analytics_image_get(
                               p + 16 + 8 * (NGX_ANALYTICS_CLASSES + i), 8);
        }

        m->skipped = ngx_analytics_image_get(p + 112, 8);
        m->older = ngx_analytics_image_get(p + 120, 8);
        m->others = ngx_analytics_image_get(p + 128, 8);
        m->inexact = (uint32_t) ngx_analytics_image_get(p + 136, 4);
        m->groups_max = (uint32_t) ngx_analytics_image_get(p + 140, 4);
        m->least = ngx_analytics_image_get(p + 144, 8);

        if (m->signature == 0 || m->groups_max > NGX_ANALYTICS_GROUPS_MAX) {
            return NGX_ERROR;
        }

        if (m->stale) {
            m->stale_pass = 1;
            image->zone->sweep.wanted = 1;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_image_read_counted(ngx_analytics_image_t *image, u_char *p,
    u_char *last)
{
    ngx_analytics_measure_t  *m;

    for ( /* void */ ; p < last; p += NGX_ANALYTICS_IMAGE_COUNTED) {

        if (last - p < NGX_ANALYTICS_IMAGE_COUNTED
            || image->ncounted == image->nmeasures)
        {
            return NGX_ERROR;
        }

        m = &image->zone->measures[image->ncounted++];

        m->counted = ngx_analytics_image_get(p, 8);
        m->rest = ngx_analytics_image_get(p + 8, 8);
        m->counted_from = ngx_analytics_image_get(p + 16, 8);

        if (m->counted >= NGX_ANALYTICS_IMAGE_COUNT
            || m->rest >= NGX_ANALYTICS_IMAGE_COUNT)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* What was told of an older one: as many as there are in days. */

static void
ngx_analytics_image_counted(ngx_analytics_zone_t *z, ngx_uint_t m)
{
    int64_t                   number;
    uint64_t                  counts[NGX_ANALYTICS_CHUNK];
    ngx_uint_t                i, last;
    ngx_analytics_measure_t  *measure;

    measure = &z->measures[m];

    measure->rest = measure->others;
    measure->counted_from = measure->since[0].from;

    last = ngx_analytics_ring_size(NGX_ANALYTICS_DAYS);

    for (number = z->spans[NGX_ANALYTICS_DAYS].horizon;
         number < (int64_t) last;
         number++)
    {
        ngx_analytics_cells_copy(z, NGX_ANALYTICS_DAYS,
                                 NGX_ANALYTICS_PLANE_COUNT,
                                 ngx_analytics_measure_series(m,
                                                     NGX_ANALYTICS_GROUP_ALL),
                                 number * NGX_ANALYTICS_CHUNK, counts,
                                 NGX_ANALYTICS_CHUNK);

        for (i = 0; i < NGX_ANALYTICS_CHUNK; i++) {
            measure->counted += counts[i];
        }
    }
}


static ngx_int_t
ngx_analytics_image_read_groups(ngx_analytics_image_t *image, u_char *p,
    u_char *last)
{
    return ngx_analytics_image_groups(image, p, last, 0);
}


static ngx_int_t
ngx_analytics_image_read_groups_old(ngx_analytics_image_t *image, u_char *p,
    u_char *last)
{
    return ngx_analytics_image_groups(image, p, last, 1);
}


static ngx_int_t
ngx_analytics_image_groups(ngx_analytics_image_t *image, u_char *p,
    u_char *last, ngx_uint_t old)
{
    uint64_t    m, index, count, error, counted;
    ngx_str_t   name;
    ngx_uint_t  gone;

    while (p < last) {
        m = ngx_analytics_image_varint(&p);
        index = ngx_analytics_image_varint(&p);
        gone = *p++;
        count = ngx_analytics_image_varint(&p);
        error = ngx_analytics_image_varint(&p);
        counted = old ? count : ngx_analytics_image_varint(&p);
        name.len = *p++;
        name.data = p;
        p += name.len;

        if (p > last
            || m >= image->nmeasures
            || index < NGX_ANALYTICS_GROUP_FIRST
            || index / 64 >= NGX_ANALYTICS_GONE
            || count >= NGX_ANALYTICS_IMAGE_COUNT
            || error >= NGX_ANALYTICS_IMAGE_COUNT
            || counted >= NGX_ANALYTICS_IMAGE_COUNT
            || ngx_analytics_image_group(image, m, index, gone, count, error,
                                         counted, &name)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_image_group(ngx_analytics_image_t *image, ngx_uint_t m,
    ngx_uint_t index, ngx_uint_t gone, uint64_t count, uint64_t error,
    uint64_t counted, ngx_str_t *name)
{
    uint32_t                n;
    uint64_t                hash, *seen, bit;
    ngx_analytics_zone_t   *z;
    ngx_analytics_group_t  *group;

    z = image->zone;
    hash = ngx_analytics_siphash(z->key, name->data, name->len);

    seen = &image->indexes[m][index / 64];
    bit = (uint64_t) 1 << (index % 64);

    if ((*seen & bit) || ngx_analytics_groups_find(z, m, name, hash)) {
        return NGX_ERROR;
    }

    *seen |= bit;

    n = ngx_analytics_groups_add(z, m, name, hash, index);

    if (n == 0) {

        /* its cells are read, and nobody asks for them */

        z->measures[m].inexact = 1;

    } else {
        group = ngx_analytics_group(z, n);

        group->count = count;
        group->error = error;
        group->counted = counted;

        if (gone) {
            ngx_analytics_groups_give_up(z, m, group);

            /* its points are among the others already */

            z->measures[m].others -= count;
        }
    }

    ngx_analytics_commit(z);

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_image_read_cells(ngx_analytics_image_t *image, u_char *p,
    u_char *last)
{
    uint64_t               key;
    ngx_int_t              rc;
    ngx_analytics_cells_t  cells;

    while (p < last) {
        rc = ngx_analytics_image_get_cells(&p, &key, &cells);

        if (rc != NGX_OK || p > last) {
            return NGX_ERROR;
        }

        rc = ngx_analytics_image_series(image, &key);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        ngx_analytics_cells_restore(image->zone, key, &cells);
    }

    return NGX_OK;
}


ngx_int_t
ngx_analytics_image_get_cells(u_char **pos, uint64_t *key,
    ngx_analytics_cells_t *cells)
{
    u_char      *p;
    uint64_t     bits, series, number;
    ngx_uint_t   i, level, plane;

    p = *pos;

    level = *p++;
    plane = *p++;
    bits = ngx_analytics_image_get(p, 8);
    p += 8;

    series = ngx_analytics_image_varint(&p);
    number = ngx_analytics_image_varint(&p);

    if (level >= NGX_ANALYTICS_LEVELS || plane >= 32
        || (plane >= NGX_ANALYTICS_PLANES
            && !ngx_analytics_plane_single(plane))
        || series > 0xffffff || number > UINT32_MAX)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_ANALYTICS_CHUNK; i++) {
        cells->counts[i] = 0;

        if (!(bits >> i & 1)) {
            continue;
        }

        if (!ngx_analytics_plane_single(plane)) {
            cells->counts[i] = ngx_analytics_image_varint(&p);

        } else if (level == NGX_ANALYTICS_UNIQUES) {
            ngx_memcpy(&cells->registers[8 * i], p, 8);
            p += 8;

        } else {
            cells->bins[2 * i] = (uint32_t) ngx_analytics_image_varint(&p);
            cells->bins[2 * i + 1] = (uint32_t)
                                     ngx_analytics_image_varint(&p);
        }
    }

    *key = ngx_analytics_chunk_key(level, plane, series, (int64_t) number);
    *pos = p;

    return NGX_OK;
}


/* Whether there is such a series; several types may have become "other". */

static ngx_int_t
ngx_analytics_image_series(ngx_analytics_image_t *image, uint64_t *key)
{
    ngx_uint_t  level, series;

    level = ngx_analytics_key_level(*key);
    series = ngx_analytics_key_series(*key);

    if (series >> 16) {
        return (series >> 16) <= image->nmeasures ? NGX_OK : NGX_ERROR;
    }

    if (ngx_analytics_key_plane(*key) != NGX_ANALYTICS_PLANE_COUNT) {
        return NGX_ERROR;
    }

    if (level == NGX_ANALYTICS_DAYS) {
        return series < NGX_ANALYTICS_DAILIES ? NGX_OK : NGX_ERROR;
    }

    if (level >= NGX_ANALYTICS_TYPE_LEVELS || series > image->ntypes) {
        return NGX_ERROR;
    }

    if (series > image->zone->ntypes) {
        *key = ngx_analytics_chunk_key(level, NGX_ANALYTICS_PLANE_COUNT,
                                       ngx_analytics_series(0),
                                       ngx_analytics_key_number(*key));
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_image_read_users(ngx_analytics_image_t *image, u_char *p,
    u_char *last)
{
    ngx_analytics_zone_t        *z;
    ngx_analytics_user_image_t  *user;

    z = image->zone;

    while (p < last) {
        user = &image->batch[image->n];

        p = ngx_analytics_image_read_user(image, user, p, last);

        if (p == NULL || image->users == 0) {
            return NGX_ERROR;
        }

        image->users--;

        user->hash = ngx_analytics_siphash(z->key, user->name.data,
                                           user->name.len);

        ngx_analytics_prefetch(ngx_analytics_users_bucket(z,
                                          ngx_analytics_hash32(user->hash)));

        if (++image->n == NGX_ANALYTICS_IMAGE_BATCH) {
            ngx_analytics_image_batch(image);
        }
    }

    return NGX_OK;
}


/* Returns the end, or NULL if it is malformed. */

static u_char *
ngx_analytics_image_read_user(ngx_analytics_image_t *image,
    ngx_analytics_user_image_t *user, u_char *p, u_char *last)
{
    u_char      flags;
    uint64_t    count, sum, span;
    ngx_uint_t  i, n, type;

    flags = *p++;
    user->name.len = *p++;
    n = *p++;
    user->nsessions = *p++;
    user->ndays = *p++;

    user->first = (int64_t) ngx_analytics_image_get(p, 8);
    p += 8;

    user->count = ngx_analytics_image_varint(&p);
    span = ngx_analytics_image_varint(&p);

    p = ngx_analytics_image_read_days(user, p, last);

    if (p == NULL) {
        return NULL;
    }

    user->name.data = p;
    p += user->name.len;

    if (user->name.len == 0
        || n > NGX_ANALYTICS_USER_TYPES_MAX + 1
        || user->count == 0
        || user->count >= NGX_ANALYTICS_IMAGE_COUNT
        || span > (uint64_t) INT64_MAX - (uint64_t) user->first)
    {
        return NULL;
    }

    user->last = (int64_t) ((uint64_t) user->first + span);
    user->ntypes = 0;

    for (i = 0, sum = 0; i < n; i++) {
        type = (ngx_uint_t) ngx_analytics_image_varint(&p);
        count = ngx_analytics_image_varint(&p);

        if (type >= image->ntypes || count > user->count - sum) {
            return NULL;
        }

        sum += count;

        ngx_analytics_image_type(image, user, type, count);
    }

    user->flags = 0;

    if (flags & NGX_ANALYTICS_IMAGE_TOUCHED) {
        user->flags |= NGX_ANALYTICS_USER_TOUCHED;
    }

    if (flags & NGX_ANALYTICS_IMAGE_INEXACT) {
        user->flags |= NGX_ANALYTICS_USER_INEXACT;
    }

    if (flags & NGX_ANALYTICS_IMAGE_LOSSY) {
        user->flags |= NGX_ANALYTICS_USER_LOSSY;
    }

    return (p <= last) ? p : NULL;
}


static u_char *
ngx_analytics_image_read_days(ngx_analytics_user_image_t *user, u_char *p,
    u_char *last)
{
    uint64_t                  before, length;
    ngx_uint_t                i, n;
    ngx_analytics_session_t  *session;

    n = user->nsessions & ~(ngx_uint_t) NGX_ANALYTICS_SESSIONS_MORE;

    if (n > NGX_ANALYTICS_USER_SESSIONS) {
        return NULL;
    }

    for (i = 0; i < n; i++) {
        before = ngx_analytics_image_varint(&p);
        length = ngx_analytics_image_varint(&p);

        if (before >= NGX_ANALYTICS_IMAGE_TIMES
            || length >= NGX_ANALYTICS_IMAGE_TIMES)
        {
            return NULL;
        }

        session = &user->sessions[i];

        session->start = (int64_t) ((uint64_t) user->first + before);
        session->end = (int64_t) ((uint64_t) session->start + length);
    }

    user->nbits = 0;

    if (user->ndays == 0) {
        return p;
    }

    user->day_first = (uint16_t) ngx_analytics_image_get(p, 2);
    user->day_last = (uint16_t) ngx_analytics_image_get(p + 2, 2);
    p += 4;

    if (user->ndays <= NGX_ANALYTICS_USER_DAYS) {

        for (i = 0; i < user->ndays; i++, p += 2) {
            user->days[i] = (uint16_t) ngx_analytics_image_get(p, 2);
        }

        return p;
    }

    user->bits_from = (ngx_uint_t) ngx_analytics_image_get(p, 2);
    user->nbits = (ngx_uint_t) ngx_analytics_image_get(p + 2, 2);
    user->bits = p + 4;

    if (user->ndays != NGX_ANALYTICS_USER_DAYS_BITS
        || user->nbits == 0
        || user->bits_from + user->nbits > NGX_ANALYTICS_DAYS_MAX / 64)
    {
        return NULL;
    }

    p = user->bits + user->nbits * 8;

    return (p <= last) ? p : NULL;
}


/* Several types of a user may have become "other". */

static void
ngx_analytics_image_type(ngx_analytics_image_t *image,
    ngx_analytics_user_image_t *user, ngx_uint_t type, uint64_t count)
{
    ngx_uint_t  i;

    if (image->ntypes > image->zone->ntypes) {
        type = (type < image->zone->ntypes) ? type : 0;

        for (i = 0; i < user->ntypes; i++) {
            if (ngx_analytics_entry_type(user->types[i]) == type) {
                user->types[i] += count;
                return;
            }
        }
    }

    user->types[user->ntypes++] =
                     ((uint64_t) type << NGX_ANALYTICS_ENTRY_BITS) + count;
}


static void
ngx_analytics_image_batch(ngx_analytics_image_t *image)
{
    ngx_uint_t  i;

    for (i = 0; i < image->n; i++) {
        ngx_analytics_image_user(image, &image->batch[i]);
    }

    image->n = 0;
}


/*
 * Where there is no room the users read before leave as if these were events
 * that came in, and never who is in the top heap.
 */
static void
ngx_analytics_image_user(ngx_analytics_image_t *image,
    ngx_analytics_user_image_t *user)
{
    uint32_t               block;
    ngx_uint_t             need, more, steps;
    ngx_analytics_zone_t  *z;

    z = image->zone;

    need = ngx_analytics_users_blocks(user);
    more = ngx_min(image->steps, 2 * (ngx_uint_t) z->users.bump);
    steps = NGX_ANALYTICS_IMAGE_STEPS + more;

    while (ngx_analytics_pool_left(&z->users) < need && steps) {
        ngx_analytics_users_evict(z, &steps);
    }

    image->steps -= (steps < more) ? more - steps : 0;

    if (ngx_analytics_pool_left(&z->users) < need) {
        z->evicted++;
        return;
    }

    block = ngx_analytics_users_restore(z, user);

    ngx_analytics_top_fold(z, block);
    ngx_analytics_commit(z);
}


static ngx_int_t
ngx_analytics_image_read_keys(ngx_analytics_image_t *image, u_char *p,
    u_char *last)
{
    ngx_analytics_key_t    key;
    ngx_analytics_zone_t  *z;

    z = image->zone;

    for ( /* void */ ; p < last; p += NGX_ANALYTICS_IMAGE_KEY) {

        if (last - p < NGX_ANALYTICS_IMAGE_KEY || image->keys == 0) {
            return NGX_ERROR;
        }

        image->keys--;

        /* behind the section it is any bucket */

        ngx_analytics_prefetch(ngx_analytics_keys_bucket(z,
                  ngx_analytics_image_get(p + 8 * NGX_ANALYTICS_IMAGE_KEY,
                                          8)));

        key.hash = ngx_analytics_image_get(p, 8);
        key.digest = ngx_analytics_image_get(p + 8, 8);
        key.first = ngx_analytics_image_get(p + 16, 8);
        key.last = ngx_analytics_image_get(p + 24, 8);
        key.received = (int64_t) ngx_analytics_image_get(p + 32, 8);
        key.done = (uint32_t) ngx_analytics_image_get(p + 40, 4);

        ngx_analytics_keys_add(z, &key);
    }

    return NGX_OK;
}
