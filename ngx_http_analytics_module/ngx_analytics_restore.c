
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_hash.h"
#include "ngx_analytics_image.h"
#include "ngx_analytics_keys.h"
#include "ngx_analytics_sessions.h"
#include "ngx_analytics_top.h"
#include "ngx_analytics_types.h"


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
    { "grup", ngx_analytics_image_read_groups },
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
    if ((image->seen & NGX_ANALYTICS_IMAGE_NEEDED)
        != NGX_ANALYTICS_IMAGE_NEEDED
        || image->users
        || image->keys
        || image->ntypes == 0)
    {
        return NGX_ERROR;
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
