
/*
 * Checkpoints that are no good: cut off, changed, of another log or of a newer
 * version.  Whatever is wrong, the older one serves.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "checkpoint_small.h"
#include "ngx_analytics_image.h"


static size_t
step(size_t n)
{
    return (n < 256 || n + 32 > newer_len || getenv("ANALYTICS_TORTURE"))
           ? 1 : 1 + zone_random(40);
}


static void
test_cut_off(void)
{
    size_t  n, wrong;

    /* each of the first and the last ones, and some of the others */

    for (n = 0, wrong = 0; n < newer_len; n += step(n)) {
        if (!older_serves(newer, n, 0)
            || strcmp(lib_bad_why, "it is cut off") != 0)
        {
            diag("cut at %zu: %s", n, lib_bad_why);
            wrong++;
        }
    }

    is_u64(wrong, 0, "a checkpoint cut off anywhere in its %zu bytes is "
           "set aside, and the older one serves", newer_len);
}


static void
test_flipped(void)
{
    size_t   n, wrong;
    u_char  *p;

    for (n = 0, wrong = 0; n < newer_len; n += step(n)) {
        p = copy_of(newer, newer_len);
        p[n] ^= (u_char) (1 << zone_random(8));

        if (!older_serves(p, newer_len, 0)) {
            diag("flipped at %zu: %s", n, lib_bad_why);
            wrong++;
        }

        free(p);
    }

    is_u64(wrong, 0, "with a bit flipped in any byte, too");

    p = copy_of(newer, newer_len);
    p[newer_len / 2] ^= 1;
    p[newer_len / 2] ^= 1;
    p[HEAD + 16] ^= 1;
    ok(older_serves(p, newer_len, 0)
       && strcmp(lib_bad_why, "its checksum is wrong") == 0,
       "the reason is given");
    free(p);

    p = malloc(newer_len + 1);
    memcpy(p, newer, newer_len);
    p[newer_len] = 0;
    ok(older_serves(p, newer_len + 1, 0), "nothing may stand behind it");
    free(p);
}


static void
test_header(void)
{
    u_char    *p;
    uint64_t   n;

    p = copy_of(newer, newer_len);
    p[16] ^= 1;
    sum_up(p, newer_len);
    ok(older_serves(p, newer_len, 0)
       && strcmp(lib_bad_why, "it is of another log") == 0,
       "that of another log is set aside");
    free(p);

    p = copy_of(newer, newer_len);
    p[8]++;
    sum_up(p, newer_len);
    ok(older_serves(p, newer_len, 1)
       && strcmp(lib_bad_why, "it is of a newer version") == 0,
       "that of a newer version stays");
    free(p);

    p = copy_of(newer, newer_len);
    n = NEWER + 1;
    memcpy(p + 32, &n, 8);
    sum_up(p, newer_len);
    ok(older_serves(p, newer_len, 0)
       && strcmp(lib_bad_why, "its name is of another position") == 0,
       "that of another position is set aside");
    free(p);
}


/* The log from first to end, where both checkpoints are sound. */

static ngx_analytics_zone_t *
read_between(uint64_t first, uint64_t end)
{
    ngx_analytics_zone_conf_t   conf;

    lib_empty();
    lib_write_file(lib_name(OLDER), older, older_len);
    lib_write_file(lib_name(NEWER), newer, newer_len);

    conf.types = TYPES;
    conf.key[0] = expected->key[0];
    conf.key[1] = expected->key[1];
    conf.now = ZONE_NOW;

    lib_bad_n = 0;

    return ngx_analytics_checkpoint_read(lib_dir, lib_path, lib_id, first,
                                         end, calloc(1, size), size, &conf,
                                         lib_bad, NULL, NULL, &lib_fail);
}


static void
test_log(void)
{
    ngx_analytics_zone_t  *z;

    z = read_between(0, NEWER);
    ok(z && ngx_analytics_zone_position(z) == NEWER && lib_bad_n == 0,
       "the newest serves at the end of the log");
    free(z);

    z = read_between(0, NEWER - 1);
    ok(z && ngx_analytics_zone_position(z) == OLDER && lib_bad_n == 1
       && strcmp(lib_bad_why, "it is ahead of the log") == 0
       && lib_exists(lib_damaged(NEWER)),
       "one that is ahead of the log is set aside");
    free(z);

    z = read_between(0, OLDER - 1);
    ok(z && ngx_analytics_zone_position(z) == 0 && lib_bad_n == 2
       && z->events == 0,
       "if both are, the zone is empty");
    free(z);

    z = read_between(OLDER, NEWER - 1);
    ok(z && ngx_analytics_zone_position(z) == OLDER,
       "one at the log's beginning serves");
    free(z);

    z = read_between(NEWER + 1, NEWER + 1);
    ok(z && ngx_analytics_zone_position(z) == 0 && lib_bad_n == 2
       && lib_exists(lib_name(NEWER)) && lib_exists(lib_name(OLDER)),
       "one before it does not, and stays");
    free(z);
}


/* A section that this version does not know is no damage. */

static void
test_unknown(void)
{
    u_char                *p;
    ngx_analytics_zone_t  *z, *plain;

    lib_empty();
    lib_write_file(lib_name(NEWER), newer, newer_len);
    plain = lib_read(size, TYPES);

    p = calloc(1, newer_len + 16 + 500);
    memcpy(p, newer, HEAD);
    memcpy(p + HEAD, "new!", 4);
    p[HEAD + 8] = 500 & 0xff;
    p[HEAD + 9] = 500 >> 8;
    memcpy(p + HEAD + 16 + 500, newer + HEAD, newer_len - HEAD);
    sum_up(p, newer_len + 16 + 500);

    lib_write_file(lib_name(NEWER), p, newer_len + 16 + 500);
    z = lib_read(size, TYPES);

    ok(lib_bad_n == 0 && memcmp(z, plain, size) == 0,
       "an unknown section is passed over");

    zone_delete(z);
    zone_delete(plain);
    free(p);
}


/* What cannot be read is not called damaged. */

static void
test_unreadable(void)
{
    char                   path[96];
    ngx_analytics_zone_t  *z;

    lib_empty();
    lib_write_file(lib_name(OLDER), older, older_len);
    snprintf(path, sizeof(path), "%s/%s", lib_path, lib_name(NEWER));
    mkdir(path, 0700);

    z = lib_read(size, TYPES);
    ok(z && memcmp(z, expected, size) == 0 && lib_bad_n == 1
       && lib_exists(lib_name(NEWER)),
       "one that cannot be read stays, and the older one serves: %s",
       lib_bad_why);
    zone_delete(z);

    rmdir(path);
    lib_write_file(lib_name(OLDER), older, older_len - 1);
    lib_write_file(lib_name(NEWER), newer, newer_len - 1);

    z = lib_read(size, TYPES);
    ok(z && ngx_analytics_zone_position(z) == 0 && z->events == 0
       && lib_bad_n == 2 && lib_exists(lib_damaged(NEWER))
       && lib_exists(lib_damaged(OLDER)),
       "if both are damaged, both are set aside and the zone is empty");
    zone_sound(z, "an empty zone after two damaged checkpoints");
    zone_delete(z);
}


/* A zone that a killed process was reading into is not taken for whole. */

static void
test_half_read(void)
{
    ngx_analytics_zone_t          *z;
    static ngx_analytics_image_t   image;

    z = zone_new(size, TYPES);
    ngx_analytics_image_start(&image, z);

    is_i64(ngx_analytics_zone_recover(z), NGX_ERROR,
           "a zone that was read halfway is damaged");

    zone_delete(z);
}


int
main(void)
{
    int  before;

    before = open_files();
    small_open();

    test_cut_off();
    test_flipped();
    test_header();
    test_log();
    test_unknown();
    test_unreadable();
    test_half_read();

    small_close();
    is_i64(open_files(), before, "no file is left open");

    return done_testing();
}
