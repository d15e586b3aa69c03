
/*
 * What the tests of checkpoints share: a directory of their own, random
 * events, and all questions to two zones at once.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _CHECKPOINT_LIB_H_INCLUDED_
#define _CHECKPOINT_LIB_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "ngx_analytics_checkpoint.h"
#include "ngx_analytics_keys.h"
#include "zone_lib.h"


#define LIB_END        ((uint64_t) 1 << 40)    /* of the log */


static const u_char          lib_id[16] = "the log's own id";
static char                  lib_path[64];
static int                   lib_dir;

static ngx_analytics_fail_t  lib_fail;

/* what was told last, and how often */
static char                  lib_bad_name[64];
static char                  lib_bad_why[128];
static int                   lib_bad_n;


ZONE_UNUSED
static void
lib_open(void)
{
    strcpy(lib_path, "/tmp/checkpoint.XXXXXX");

    if (mkdtemp(lib_path) == NULL) {
        diag("mkdtemp() failed");
        exit(2);
    }

    lib_dir = open(lib_path, O_RDONLY|O_DIRECTORY);
}


/* Calls one() with the name of each file. */
ZONE_UNUSED
static int
lib_files(void (*one)(const char *name))
{
    int             n;
    DIR            *d;
    struct dirent  *entry;

    n = 0;
    d = opendir(lib_path);

    while (d && (entry = readdir(d)) != NULL) {
        if (entry->d_name[0] != '.') {
            n++;

            if (one) {
                one(entry->d_name);
            }
        }
    }

    if (d) {
        closedir(d);
    }

    return n;
}


static void
lib_remove(const char *name)
{
    if (unlinkat(lib_dir, name, 0) == -1) {
        unlinkat(lib_dir, name, AT_REMOVEDIR);
    }
}


ZONE_UNUSED
static void
lib_empty(void)
{
    lib_files(lib_remove);
}


ZONE_UNUSED
static void
lib_close(void)
{
    lib_empty();
    close(lib_dir);
    rmdir(lib_path);
}


ZONE_UNUSED
static int
lib_exists(const char *name)
{
    struct stat  st;

    return fstatat(lib_dir, name, &st, 0) == 0;
}


ZONE_UNUSED
static char *
lib_name(uint64_t position)
{
    static char  name[64];

    snprintf(name, sizeof(name), "%020" PRIu64 ".checkpoint", position);

    return name;
}


ZONE_UNUSED
static char *
lib_damaged(uint64_t position)
{
    static char  name[96];

    snprintf(name, sizeof(name), "%s.damaged", lib_name(position));

    return name;
}


ZONE_UNUSED
static u_char *
lib_read_file(const char *name, size_t *len)
{
    int          fd;
    u_char      *p;
    struct stat  st;

    fd = openat(lib_dir, name, O_RDONLY);

    if (fd == -1 || fstat(fd, &st) == -1) {
        diag("no file %s", name);
        exit(2);
    }

    *len = (size_t) st.st_size;
    p = malloc(*len + 1);

    if (p == NULL || read(fd, p, *len) != (ssize_t) *len) {
        diag("reading %s failed", name);
        exit(2);
    }

    close(fd);

    return p;
}


ZONE_UNUSED
static void
lib_write_file(const char *name, const u_char *p, size_t len)
{
    int  fd;

    fd = openat(lib_dir, name, O_WRONLY|O_CREAT|O_TRUNC, 0600);

    if (fd == -1 || write(fd, p, len) != (ssize_t) len) {
        diag("writing %s failed", name);
        exit(2);
    }

    close(fd);
}


ZONE_UNUSED
static void
lib_bad(void *ctx, const char *name, const char *why)
{
    snprintf(lib_bad_name, sizeof(lib_bad_name), "%s", name);
    snprintf(lib_bad_why, sizeof(lib_bad_why), "%s", why);
    lib_bad_n++;
}


ZONE_UNUSED
static ngx_int_t
lib_write(ngx_analytics_zone_t *z)
{
    return ngx_analytics_checkpoint_write(lib_dir, lib_path, lib_id, z,
                                          ZONE_NOW, NULL, NULL, &lib_fail);
}


/* Zeroed memory, and not at the address of the zone that was written. */
ZONE_UNUSED
static ngx_analytics_zone_t *
lib_read(size_t size, ngx_uint_t types)
{
    void                       *mem;
    ngx_analytics_zone_t       *z;
    ngx_analytics_zone_conf_t   conf;

    mem = mmap(NULL, size, PROT_READ|PROT_WRITE,
               MAP_SHARED|MAP_ANONYMOUS|MAP_NORESERVE, -1, 0);

    if (mem == MAP_FAILED) {
        diag("mmap(%zu) failed", size);
        exit(2);
    }

    conf.types = types;
    conf.key[0] = 0x0706050403020100ULL;
    conf.key[1] = 0x0f0e0d0c0b0a0908ULL;
    conf.now = ZONE_NOW + 77 * ZONE_DAY;

    lib_bad_n = 0;

    z = ngx_analytics_checkpoint_read(lib_dir, lib_path, lib_id, 0, LIB_END,
                                      mem, size, &conf, lib_bad, NULL,
                                      NULL, &lib_fail);

    if (z == NULL) {
        munmap(mem, size);
    }

    return z;
}


/*
 * Names of every length that a name can have, mostly short.  The number of a
 * user is the whole of what tells two names apart.
 */
ZONE_UNUSED
static size_t
lib_user(char *name, uint64_t n)
{
    size_t  len, more;

    len = (size_t) sprintf(name, "%" PRIu64 "/", n);
    more = (n % 8 == 0) ? (n * 37) % (256 - len) : 0;
    memset(name + len, 'x', more);
    name[len + more] = '\0';

    return len + more;
}


ZONE_UNUSED
static size_t
lib_type(char *name, uint64_t n)
{
    return (size_t) sprintf(name, "type%" PRIu64, n);
}


/* of the events to come */
ZONE_UNUSED
static ngx_str_t             lib_properties;


/* One event as the log brings it: with a number, and maybe an id. */
ZONE_UNUSED
static void
lib_event(ngx_analytics_zone_t *z, ngx_analytics_event_t *event,
    const char *user, const char *type, const char *id, int64_t time,
    int64_t received)
{
    ngx_memzero(event, sizeof(ngx_analytics_event_t));

    event->user.data = (u_char *) user;
    event->user.len = strlen(user);
    event->type.data = (u_char *) type;
    event->type.len = strlen(type);
    event->id.data = (u_char *) id;
    event->id.len = strlen(id);
    event->properties = lib_properties;
    event->time = time;

    ngx_analytics_zone_hash(z, event, 1);
    ngx_analytics_zone_fold(z, event, 1, ngx_analytics_zone_last(z) + 1,
                            received);
}


#define LIB_SAME(a, b)                                                        \
    do {                                                                      \
        if ((a) != (b)) {                                                     \
            return #a;                                                        \
        }                                                                     \
    } while (0)


/* What a larger zone must say as well. */
ZONE_UNUSED
static const char *
lib_same_totals(ngx_analytics_zone_t *one, ngx_analytics_zone_t *two)
{
    ngx_analytics_totals_t  a, b;

    ngx_analytics_zone_totals(one, &a);
    ngx_analytics_zone_totals(two, &b);

    LIB_SAME(a.events, b.events);
    LIB_SAME(a.users, b.users);
    LIB_SAME(a.types, b.types);
    LIB_SAME(a.older, b.older);
    LIB_SAME(a.evicted, b.evicted);
    LIB_SAME(a.type_overflow, b.type_overflow);
    LIB_SAME(a.created, b.created);
    LIB_SAME(a.received, b.received);
    LIB_SAME(a.cells_from, b.cells_from);
    LIB_SAME(a.peak_hour, b.peak_hour);
    LIB_SAME(a.peak_hour_count, b.peak_hour_count);
    LIB_SAME(a.users_exact, b.users_exact);
    LIB_SAME(a.types_exact, b.types_exact);
    LIB_SAME(a.cells_exact, b.cells_exact);
    LIB_SAME(memcmp(a.hour_of_day, b.hour_of_day, sizeof(a.hour_of_day)), 0);

    LIB_SAME(ngx_analytics_zone_position(one),
             ngx_analytics_zone_position(two));
    LIB_SAME(ngx_analytics_zone_last(one), ngx_analytics_zone_last(two));
    LIB_SAME(one->program.totals, two->program.totals);
    LIB_SAME(one->refused, two->refused);
    LIB_SAME(one->lost, two->lost);
    LIB_SAME(ngx_analytics_keys_window(one, a.received),
             ngx_analytics_keys_window(two, a.received));

    return NULL;
}


static const char *
lib_same_list(ngx_analytics_count_t *a, ngx_analytics_count_t *b, size_t n)
{
    size_t  i;

    qsort(a, n, sizeof(ngx_analytics_count_t), ngx_analytics_count_cmp);
    qsort(b, n, sizeof(ngx_analytics_count_t), ngx_analytics_count_cmp);

    for (i = 0; i < n; i++) {
        LIB_SAME(a[i].count, b[i].count);
        LIB_SAME(a[i].name.len, b[i].name.len);
        LIB_SAME(memcmp(a[i].name.data, b[i].name.data, a[i].name.len), 0);
    }

    return NULL;
}


ZONE_UNUSED
static const char *
lib_same_lists(ngx_analytics_zone_t *one, ngx_analytics_zone_t *two)
{
    size_t                        n;
    const char                   *wrong;
    static u_char                 names[2][1000 * 255];
    static ngx_analytics_count_t  a[10001], b[10001];

    n = ngx_analytics_zone_types(one, 0, a, 10001);
    LIB_SAME(ngx_analytics_zone_types(two, 0, b, 10001), n);

    wrong = lib_same_list(a, b, n);

    if (wrong) {
        return wrong;
    }

    for (n = 1000; n; n /= 10) {
        LIB_SAME(ngx_analytics_zone_top(one, a, n, names[0]),
                 ngx_analytics_zone_top(two, b, n, names[1]));

        wrong = lib_same_list(a, b, ngx_min(n, one->top_size));

        if (wrong) {
            return wrong;
        }
    }

    return NULL;
}


ZONE_UNUSED
static const char *
lib_same_user(ngx_analytics_zone_t *one, ngx_analytics_zone_t *two,
    const char *user)
{
    ngx_int_t                  rc;
    ngx_str_t                  name;
    ngx_analytics_count_t      x[200], y[200];
    ngx_analytics_user_info_t  a, b;

    name.data = (u_char *) user;
    name.len = strlen(user);

    rc = ngx_analytics_zone_user(one, &name, &a, x, 200);
    LIB_SAME(ngx_analytics_zone_user(two, &name, &b, y, 200), rc);

    if (rc != NGX_OK) {
        return NULL;
    }

    LIB_SAME(a.count, b.count);
    LIB_SAME(a.first, b.first);
    LIB_SAME(a.last, b.last);
    LIB_SAME(a.exact, b.exact);
    LIB_SAME(a.ntypes, b.ntypes);

    return lib_same_list(x, y, a.ntypes);
}


/* All series of both levels, the hours from first on, to last. */
ZONE_UNUSED
static const char *
lib_same_cells(ngx_analytics_zone_t *one, ngx_analytics_zone_t *two,
    int64_t first, int64_t last)
{
    size_t            n, nseries, i;
    int64_t           from;
    uint64_t         *a, *b;
    ngx_uint_t        level, series;
    static uint64_t   sums[2][10002];

    n = (size_t) (last - first + 1);
    n = ngx_max(n, 3 * NGX_ANALYTICS_MINUTES_MAX);
    nseries = ngx_analytics_zone_ntypes(one) + 1;

    a = calloc(n, sizeof(uint64_t));
    b = calloc(n, sizeof(uint64_t));

    for (level = 0; level < NGX_ANALYTICS_LEVELS; level++) {

        if (level == NGX_ANALYTICS_MINUTES) {
            n = 3 * NGX_ANALYTICS_MINUTES_MAX;
            from = last * 60 - (int64_t) n;

        } else {
            n = (size_t) (last - first + 1);
            from = first;
        }

        for (series = 0; series < nseries; series++) {
            ngx_analytics_zone_cells(one, level, series, from, a, n);
            ngx_analytics_zone_cells(two, level, series, from, b, n);

            if (memcmp(a, b, n * sizeof(uint64_t)) != 0) {
                free(a);
                free(b);
                return "the cells of a series";
            }
        }

        for (i = 0; i < n; i += NGX_ANALYTICS_CHUNK) {
            from -= from % NGX_ANALYTICS_CHUNK;

            memset(sums, 0, sizeof(sums));
            ngx_analytics_zone_sums(one, level, from + (int64_t) i,
                                    NGX_ANALYTICS_CHUNK, sums[0], nseries);
            ngx_analytics_zone_sums(two, level, from + (int64_t) i,
                                    NGX_ANALYTICS_CHUNK, sums[1], nseries);

            if (memcmp(sums[0], sums[1], sizeof(sums[0])) != 0) {
                free(a);
                free(b);
                return "the sums of a chunk";
            }
        }
    }

    free(a);
    free(b);

    return NULL;
}


ZONE_UNUSED
static void
lib_same(const char *wrong, const char *what)
{
    if (!ok(wrong == NULL, "%s", what)) {
        diag("not the same: %s", wrong);
    }
}


#endif /* _CHECKPOINT_LIB_H_INCLUDED_ */
