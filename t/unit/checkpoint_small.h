
/*
 * Two checkpoints of so few events that they can be damaged at every byte, an
 * older and a newer one.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _CHECKPOINT_SMALL_H_INCLUDED_
#define _CHECKPOINT_SMALL_H_INCLUDED_


#include "checkpoint_lib.h"
#include "ngx_analytics_crc32c.h"


#define HEAD       128
#define OLDER      ((uint64_t) 1000)
#define NEWER      ((uint64_t) 2000)
#define TYPES      8

/* something of each kind */
#define SMALL_PROGRAM                                                         \
    "{\"sources\":[{\"classes\":31,\"field\":\"ms\",\"by\":\"by\","            \
    "\"groups\":4},{\"classes\":33,\"types\":[\"type1\"]}]}"


static size_t                 size;

/* the zone as the older one alone gives it, and both files */
static ngx_analytics_zone_t  *expected;
static u_char                *older;
static size_t                 older_len;
static u_char                *newer;
static size_t                 newer_len;


ZONE_UNUSED
static int
open_files(void)
{
    int  i, n;

    for (i = 0, n = 0; i < 1000; i++) {
        n += fcntl(i, F_GETFD) != -1;
    }

    return n;
}


ZONE_UNUSED
static ngx_analytics_zone_t *
small_zone(uint64_t events, uint64_t position)
{
    char                   user[300], type[32], id[32], more[64];
    uint64_t               i;
    ngx_analytics_event_t  event;
    ngx_analytics_zone_t  *z;

    z = zone_new(size, TYPES);

    rules_publish(z, SMALL_PROGRAM);

    for (i = 0; i < events; i++) {
        lib_user(user, i % 9);
        lib_type(type, i % 5);
        sprintf(id, "%" PRIu64, i);

        lib_properties.data = (u_char *) more;
        lib_properties.len = (size_t) sprintf(more,
               "{\"ms\":%" PRIu64 ".5,\"by\":\"g%" PRIu64 "\"}", i, i % 6);

        lib_event(z, &event, user, type, i % 4 ? "" : id,
                  ZONE_NOW + (int64_t) i * ZONE_HOUR / 3, ZONE_NOW);
    }

    ngx_str_null(&lib_properties);

    ngx_analytics_zone_advance(z, position);

    return z;
}


ZONE_UNUSED
static void
small_open(void)
{
    ngx_analytics_zone_t  *z;

    lib_open();

    size = ngx_analytics_zone_min_size(TYPES) + 800 * 1024;

    z = small_zone(40, OLDER);
    lib_write(z);
    zone_delete(z);

    older = lib_read_file(lib_name(OLDER), &older_len);
    expected = lib_read(size, TYPES);

    z = small_zone(60, NEWER);
    lib_write(z);
    zone_delete(z);

    newer = lib_read_file(lib_name(NEWER), &newer_len);
}


ZONE_UNUSED
static void
small_close(void)
{
    zone_delete(expected);
    free(older);
    free(newer);
    lib_close();
}


/* Reads with this newer file.  Returns whether the older one served. */

ZONE_UNUSED
static int
older_serves(const u_char *p, size_t len, int kept)
{
    int                    rc;
    char                   name[64];
    ngx_analytics_zone_t  *z;

    lib_empty();
    lib_write_file(lib_name(OLDER), older, older_len);
    lib_write_file(lib_name(NEWER), p, len);

    strcpy(name, lib_name(NEWER));

    z = lib_read(size, TYPES);

    /* whatever was read of the newer one has left no trace */

    rc = z
         && memcmp(z, expected, size) == 0
         && lib_bad_n == 1
         && strcmp(lib_bad_name, name) == 0
         && lib_exists(kept ? name : lib_damaged(NEWER))
         && !lib_exists(kept ? lib_damaged(NEWER) : name);

    if (z) {
        zone_delete(z);
    }

    return rc;
}


/* As whoever wrote the file would have summed it up. */

ZONE_UNUSED
static void
sum_up(u_char *p, size_t len)
{
    uint32_t  crc;

    crc = ngx_analytics_crc32c(0, p, HEAD - 4);
    memcpy(p + HEAD - 4, &crc, 4);

    if (len >= HEAD + 24) {
        crc = ngx_analytics_crc32c(0, p + HEAD, len - HEAD - 24);
        memcpy(p + len - 8, &crc, 4);
    }
}


ZONE_UNUSED
static u_char *
copy_of(const u_char *p, size_t len)
{
    u_char  *copy;

    copy = malloc(len);
    memcpy(copy, p, len);

    return copy;
}


#endif /* _CHECKPOINT_SMALL_H_INCLUDED_ */
