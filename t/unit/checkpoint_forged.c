
/*
 * Checkpoints whose checksums are right and whose contents are not.
 *
 *     checkpoint_forged [first seed] [last seed]
 *
 * Copyright (C) The nginx analytics authors
 */


#include "checkpoint_small.h"
#include "ngx_analytics_image.h"


#define FORGED     2500


/* Puts n bytes in the place of one section; of users it is one user. */

static u_char *
with_section(const char *kind, const u_char *data, size_t n, size_t *len)
{
    size_t     at;
    u_char    *p;
    uint64_t   l;

    p = malloc(newer_len + 16 + n);
    memcpy(p, newer, HEAD);
    *len = HEAD;

    for (at = HEAD; at < newer_len; at += 16 + l) {
        memcpy(&l, newer + at + 8, 8);

        if (memcmp(newer + at, kind, 4) != 0) {
            memcpy(p + *len, newer + at, 16 + l);
            *len += 16 + l;
            continue;
        }

        memset(p + *len, 0, 16);
        memcpy(p + *len, kind, 4);
        memcpy(p + *len + 8, &n, 8);
        memcpy(p + *len + 16, data, n);
        *len += 16 + n;
    }

    if (n && memcmp(kind, "user", 4) == 0) {
        for (at = HEAD; memcmp(p + at, "zone", 4) != 0; at++) { /* void */ }

        at += 16 + 17 * 8;
        memset(p + at, 0, 8);
        p[at] = 1;
    }

    sum_up(p, *len);

    return p;
}


static void
taken(const char *kind, const void *data, size_t n, const char *what)
{
    size_t                 len;
    u_char                *p;
    ngx_analytics_zone_t  *z;

    p = with_section(kind, data, n, &len);

    lib_empty();
    lib_write_file(lib_name(NEWER), p, len);

    z = lib_read(size, TYPES);
    ok(z && ngx_analytics_zone_position(z) == NEWER && lib_bad_n == 0,
       "a checkpoint: %s", what);

    zone_delete(z);
    free(p);
}


static void
refused(const char *kind, const void *data, size_t n, const char *what)
{
    size_t   len;
    u_char  *p;

    p = with_section(kind, data, n, &len);

    ok(older_serves(p, len, 0) && strcmp(lib_bad_why, "it is malformed") == 0,
       "no checkpoint: %s", what);

    free(p);
}


#define DAYS(n, sessions, ndays, days)                                        \
    "\x00\x01" n sessions ndays "\0\0\0\0\0\0\0\0" "\x01\x00" days "u"
#define USER(n, count)                                                        \
    "\x00\x01" n "\0\0" "\0\0\0\0\0\0\0\0" count "\x00u"
#define CELL(level, plane, series)                                            \
    level plane "\x01\0\0\0\0\0\0\0" series "\xf0\x3a\x01"
#define NONE  "\0\0\0\0\0\0\0\0"
#define MEASURE(signature, max, counted)                                      \
    signature "\x01\0\0\0" "\0\0\0\0" NONE NONE NONE NONE NONE NONE NONE     \
    NONE NONE NONE NONE NONE NONE NONE NONE "\0\0\0\0" max NONE            \
    counted NONE NONE

static void
test_malformed(void)
{
    size_t    i;
    u_char    many[2 + 10 + 200 * 2 + 10], *text;
    u_char    zone[NGX_ANALYTICS_IMAGE_ZONE];
    size_t    at;
    uint64_t  word, words[] = { 9, 11, 12, 13, 14, 15, 16, 20 };

    refused("user", "", 0, "users are missing");
    refused("key ", "", 0, "keys are missing");
    refused("type", "", 0, "types are missing");

    text = calloc(1, NGX_ANALYTICS_PROGRAM_MAX + 1);
    refused("prog", text, NGX_ANALYTICS_PROGRAM_MAX + 1,
            "a program that is too long");
    free(text);
    refused("key ", newer, 44 * 40, "more keys than it says");

    taken("user", USER("\x01", "\x01") "\x05\x01", 18, "a user");
    taken("user", DAYS("\x00", "\x02", "\x01", "\x09\x00\x02\x01"
                       "\x07\0\x07\0" "\x07\0"), 26, "sessions and a day");
    taken("user", DAYS("\x00", "\x81", "\xff", "\x09\x00"
                       "\x07\0\x07\0" "\0\0\x01\0" "\x80" "\0\0\0\0\0\0\0"),
          34, "many days");
    taken("cell", CELL("\x01", "\x00", "\x06"), 14, "cells");
    taken("cell", CELL("\x02", "\x1f", "\x80\x80\x04") "\x02", 17,
          "cells of a sketch");
    taken("cell", CELL("\x03", "\x0f", "\x80\x80\x08") NONE, 23,
          "cells of distinct values");
    taken("meas", MEASURE("\x01\0\0\0\0\0\0\0", "\x05\0\0\0", NONE)
                  MEASURE("\x02\0\0\0\0\0\0\0", "\0\0\0\0",
                          "\xff\xff\xff\xff\xff\x7f\0\0"), 352, "measures");
    taken("grup", "\x00\x02\x00\x05\x00\x05\x01x"
                  "\x00\x03\x01\x05\x00\x02\x00", 15, "groups");
    taken("hll ", "\xff\x3f\x33", 3, "a register");

    refused("user", USER("\x01", "\x01") "\x06\x01", 18,
            "a type that is not there");
    refused("user", USER("\x01", "\x01") "\x01\x02", 18,
            "more events of a type than of the user");
    refused("user", USER("\x00", "\x00"), 16, "a user without events");
    refused("user", "\x00\x00\x00\0\0\0\0\0\0\0\0\0\0\x01\x00", 15,
            "a user without a name");
    refused("user", USER("\x00", "\x80\x80\x80\x80\x80\x80\x20"), 22,
            "a user of 2^47 events");
    refused("user", "\x00\x01\x00\0\0\xff\xff\xff\xff\xff\xff\xff\x7f"
                    "\x01\x01u", 16, "a user later than time itself");
    refused("user", DAYS("\x00", "\x03", "\x00", "\0\0\0\0\0\0"), 22,
            "three sessions");
    refused("user", DAYS("\x00", "\x00", "\x0c", "\0\0\0\0"), 20,
            "too many days for a list");
    refused("user", DAYS("\x00", "\x00", "\xff", "\0\0\0\0" "\0\0\x01\x04"),
            24, "days beyond all time");
    refused("user", DAYS("\x00", "\x00", "\xff", "\0\0\0\0" "\0\0\x03\x00"),
            24, "days that are cut off");

    memset(many, 0, sizeof(many));
    memcpy(many, "\x00\x01\xc8\0\0\0\0\0\0\0\0\0\0\xff\x7f\x00u", 17);

    for (i = 0; i < 200; i++) {
        many[17 + 2 * i] = (u_char) (i % 3);
        many[18 + 2 * i] = 1;
    }

    refused("user", many, 17 + 400, "a user of 200 types");

    refused("cell", CELL("\x01", "\x00", "\x07"), 14,
            "cells of a type that is not there");
    refused("cell", CELL("\x05", "\x00", "\x00"), 14, "cells of a sixth level");
    refused("cell", CELL("\x04", "\x00", "\x08"), 14,
            "cells of days that nobody knows");
    refused("cell", CELL("\x01", "\x05", "\x80\x80\x04"), 16,
            "cells of a plane that is not there");
    refused("cell", CELL("\x01", "\x00", "\x80\x80\x0c"), 16,
            "cells of a measure that is not there");
    refused("meas", MEASURE(NONE, "\0\0\0\0", NONE), 176,
            "a measure of nothing");
    refused("meas", MEASURE("\x01\0\0\0\0\0\0\0", "\xe9\x03\0\0", NONE), 176,
            "a measure of too many groups");
    refused("meas", MEASURE("\x01\0\0\0\0\0\0\0", "\0\0\0\0",
                            "\0\0\0\0\0\x80\0\0"), 176, "2^47 points");
    refused("meas", MEASURE("\x01\0\0\0\0\0\0\0", "\0\0\0\0", NONE), 175,
            "half a measure");
    refused("grup", "\x02\x02\x00\x05\x00\x05\x01x", 8,
            "a group of a measure that is not there");
    refused("grup", "\x00\x01\x00\x05\x00\x05\x01x", 8,
            "a group in the place of another");
    refused("grup", "\x00\x02\x00\x05\x00\x05\x01x"
                    "\x00\x02\x00\x05\x00\x05\x01y", 16,
            "two groups in one place");
    refused("grup", "\x00\x02\x00\x05\x00\x05\x01x"
                    "\x00\x03\x00\x05\x00\x05\x01x", 16,
            "one group in two places");
    refused("hll ", "\x00\x00\x34", 3, "a rank that cannot be");
    refused("hll ", "\x00\x40\x01", 3, "a register that is not there");
    refused("hll ", "\x00\x00", 2, "half a register");
    refused("type", "\1\0\0\0\0\0\0\0\0", 9, "a type without a name");

    for (at = HEAD; memcmp(newer + at, "zone", 4) != 0; at++) { /* void */ }

    for (i = 0; i < 4; i++) {
        memcpy(zone, newer + at + 16, sizeof(zone));
        word = (uint64_t) 1 << 33;
        memcpy(zone + words[i] * 8, &word, 8);
        refused("zone", zone, sizeof(zone), "hours beyond all time");
    }
}


/*
 * Sections changed in any way and summed up as if they were right.  A zone
 * that comes of it may be nonsense, but must bear events and questions.
 */

static size_t
change(u_char *p, size_t len)
{
    size_t           at, n;
    uint64_t         word;
    static uint64_t  words[] = { 0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x8000,
                                 0x7fffffff, 0x80000000, 0xffffffff,
                                 0x7fffffffffffffff, 0x8000000000000000,
                                 0xffffffffffffffff, 0x8080808080808080 };

    at = HEAD + zone_random(len - HEAD - 24);

    switch (zone_random(5)) {
    case 0:
        p[at] = (u_char) zone_random(256);
        break;

    case 1:
        p[at] ^= (u_char) (1 << zone_random(8));
        break;

    case 2:
        word = words[zone_random(sizeof(words) / sizeof(words[0]))];
        n = (size_t) 1 << zone_random(4);
        memcpy(p + at, &word, ngx_min(n, len - 24 - at));
        break;

    case 3:
        n = zone_random(ngx_min(64, len - 24 - at));
        memmove(p + at, p + at + n, len - at - n);
        len -= n;
        break;

    default:
        n = zone_random(ngx_min(64, len - 24 - at));
        memmove(p + HEAD + zone_random(at - HEAD + 1), p + at, n);
        break;
    }

    return len;
}


/* So that lengths are right again, or else little is ever read. */

static void
fix_lengths(u_char *p, size_t len)
{
    size_t    at, end;
    uint64_t  n;

    for (at = HEAD; at + 16 < len - 24; at = end) {

        for (end = at + 1; end < len - 24; end++) {
            if (p[end] >= 'a'
                && (memcmp(p + end, "zone", 4) == 0
                    || memcmp(p + end, "type", 4) == 0
                    || memcmp(p + end, "hll ", 4) == 0
                    || memcmp(p + end, "meas", 4) == 0
                    || memcmp(p + end, "grup", 4) == 0
                    || memcmp(p + end, "cell", 4) == 0
                    || memcmp(p + end, "user", 4) == 0
                    || memcmp(p + end, "key ", 4) == 0)
                && p[end + 4] == 0
                && p[end + 7] == 0)
            {
                break;
            }
        }

        if (end < at + 16) {
            return;
        }

        n = end - at - 16;
        memcpy(p + at + 8, &n, 8);
    }
}


static void
ask_all(ngx_analytics_zone_t *z)
{
    size_t                        i;
    ngx_analytics_key_t           key;
    ngx_analytics_totals_t        totals;
    static u_char                 names[1000 * 255];
    static uint64_t               cells[1000];
    static ngx_analytics_count_t  list[1000];

    ngx_analytics_zone_totals(z, &totals);
    ngx_analytics_zone_types(z, 0, list, 1000);
    ngx_analytics_zone_top(z, list, 1000, names);
    ngx_analytics_keys_find(z, 77, ZONE_NOW, &key);
    ngx_analytics_keys_window(z, totals.received);

    for (i = 0; i < 12; i++) {
        ngx_analytics_zone_cells(z, i & 1, i / 2, ZONE_NOW / ZONE_HOUR - 500,
                                 cells, 1000);
    }

    for (i = 0; i < 1000; i += 64) {
        ngx_analytics_zone_sums(z, i / 64 & 1,
                                (ZONE_NOW / ZONE_HOUR + (int64_t) i) / 64
                                * 64, 64, cells, 20);
    }
}


static void
test_forged(uint64_t seed)
{
    int                        i, k, accepted;
    char                       user[300], type[32], id[32];
    size_t                     len;
    u_char                    *p;
    ngx_analytics_event_t      event;
    ngx_analytics_zone_t      *z;

    zone_seed = seed;

    for (i = 0, accepted = 0; i < FORGED; i++) {
        p = copy_of(newer, newer_len);
        len = newer_len;

        for (k = 1 + (int) zone_random(3); k; k--) {
            len = change(p, len);
        }

        if (zone_random(2)) {
            fix_lengths(p, len);
        }

        sum_up(p, len);

        lib_empty();
        lib_write_file(lib_name(NEWER), p, len);
        free(p);

        z = lib_read(size, TYPES - zone_random(2) * 5);
        accepted += (lib_bad_n == 0);

        ask_all(z);

        for (k = 0; k < 400; k += 1 + 30 * (i % 8 > 0)) {
            lib_user(user, (uint64_t) k);
            lib_type(type, (uint64_t) k % 20);
            sprintf(id, "%d", k);
            lib_event(z, &event, user, type, id,
                      ZONE_NOW + k * 7 * ZONE_HOUR, ZONE_NOW + k * ZONE_HOUR);
        }

        ask_all(z);
        zone_delete(z);
    }

    ok(accepted > FORGED / 10 && accepted < FORGED * 9 / 10,
       "%d of %d forged checkpoints were taken, and none did harm (seed %"
       PRIu64 ")", accepted, FORGED, seed);
}


int
main(int argc, char **argv)
{
    uint64_t  seed, last;

    small_open();

    test_malformed();

    seed = (argc > 1) ? strtoull(argv[1], NULL, 10) : 1;
    last = (argc > 2) ? strtoull(argv[2], NULL, 10) : seed;

    for ( /* void */ ; seed <= last; seed++) {
        test_forged(seed);
    }

    small_close();

    return done_testing();
}
