
/*
 * The Test Anything Protocol for test programs in C: one program, one file
 * that includes this header, one main() that ends with
 *
 *     return done_testing();
 *
 * Every check takes a printf() format that names the promise checked.  A
 * failed check is counted and the program goes on.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _TAP_H_INCLUDED_
#define _TAP_H_INCLUDED_


#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>


#define TAP_FORMAT(f, a)  __attribute__((format(printf, f, a), unused))


static unsigned long  tap_run;
static unsigned long  tap_failed;


TAP_FORMAT(1, 2)
static inline void
diag(const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);

    fflush(stdout);
    fputs("# ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);

    va_end(args);
}


/* Anything may stand in a name: one that breaks its line would lie. */
static inline void
tap_name(const char *fmt, va_list args)
{
    char  *p, name[1024];

    vsnprintf(name, sizeof(name), fmt, args);

    for (p = name; *p; p++) {
        if ((unsigned char) *p < 0x20 || (unsigned char) *p > 0x7e) {
            printf("\\x%02x", (unsigned char) *p);

        } else if (*p == '#') {
            fputs("\\#", stdout);

        } else {
            putchar(*p);
        }
    }
}


static inline int
tap_result(int cond, const char *fmt, va_list args)
{
    tap_run++;

    if (!cond) {
        tap_failed++;
    }

    printf("%sok %lu - ", cond ? "" : "not ", tap_run);
    tap_name(fmt, args);
    putchar('\n');

    /* a crash must not take the lines before it along */
    fflush(stdout);

    return cond;
}


/* Returns cond. */
TAP_FORMAT(2, 3)
static inline int
ok(int cond, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    cond = tap_result(cond != 0, fmt, args);
    va_end(args);

    return cond;
}


/* Integers without and with a sign.  Both return whether they are equal. */
TAP_FORMAT(3, 4)
static inline int
is_u64(uint64_t got, uint64_t expected, const char *fmt, ...)
{
    int      rc;
    va_list  args;

    va_start(args, fmt);
    rc = tap_result(got == expected, fmt, args);
    va_end(args);

    if (!rc) {
        diag("     got: %" PRIu64 " (0x%" PRIx64 ")", got, got);
        diag("expected: %" PRIu64 " (0x%" PRIx64 ")", expected, expected);
    }

    return rc;
}


TAP_FORMAT(3, 4)
static inline int
is_i64(int64_t got, int64_t expected, const char *fmt, ...)
{
    int      rc;
    va_list  args;

    va_start(args, fmt);
    rc = tap_result(got == expected, fmt, args);
    va_end(args);

    if (!rc) {
        diag("     got: %" PRId64, got);
        diag("expected: %" PRId64, expected);
    }

    return rc;
}


static inline void
tap_dump(const char *label, const void *data, size_t len)
{
    size_t                i;
    const unsigned char  *p;

    p = data;

    fflush(stdout);
    fprintf(stderr, "# %s: \"", label);

    for (i = 0; i < len && i < 4096; i++) {
        if (p[i] < 0x20 || p[i] > 0x7e || p[i] == '\\' || p[i] == '"') {
            fprintf(stderr, "\\x%02x", p[i]);

        } else {
            fputc(p[i], stderr);
        }
    }

    fprintf(stderr, "\" (%zu bytes)\n", len);
}


/* Bytes of any kind against bytes of any kind. */
TAP_FORMAT(5, 6)
static inline int
is_mem(const void *got, size_t got_len, const void *expected,
    size_t expected_len, const char *fmt, ...)
{
    int      rc;
    va_list  args;

    rc = (got_len == expected_len
          && (got_len == 0 || memcmp(got, expected, got_len) == 0));

    va_start(args, fmt);
    tap_result(rc, fmt, args);
    va_end(args);

    if (!rc) {
        tap_dump("     got", got, got_len);
        tap_dump("expected", expected, expected_len);
    }

    return rc;
}


/* Bytes that need no terminating NUL against a C string. */
#define is_str(got, got_len, expected, ...)                                   \
    is_mem(got, got_len, expected, strlen(expected), __VA_ARGS__)


/* Prints the plan.  Returns the program's exit code. */
static inline int
done_testing(void)
{
    printf("1..%lu\n", tap_run);

    if (tap_failed) {
        diag("%lu of %lu failed", tap_failed, tap_run);
    }

    /* a program that checked nothing has shown nothing */
    return (tap_failed || tap_run == 0) ? 1 : 0;
}


#endif /* _TAP_H_INCLUDED_ */
