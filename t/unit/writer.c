
/*
 * The JSON writer: exactly which bytes it writes, into whatever room there
 * is, and what happens when there is none.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <stdlib.h>
#include "tap.h"
#include "ngx_analytics_writer.h"


/* Each buffer is a block of its own: a sanitizer sees a byte too many. */
typedef struct {
    void        *blocks[128];
    size_t       sizes[128];
    ngx_uint_t   n;
    ngx_uint_t   limit;          /* of calls that succeed */
    ngx_uint_t   calls;
} heap_t;


static heap_t                  heap;
static ngx_analytics_writer_t  w;


static void *
allocate(void *ctx, size_t size)
{
    void    *p;
    heap_t  *h = ctx;

    if (h->calls++ == h->limit || h->n == 128) {
        return NULL;
    }

    p = malloc(size);

    if (p == NULL) {
        exit(2);
    }

    /* what is not written must not look as if it were */
    memset(p, 0xa5, size);

    h->sizes[h->n] = size;
    h->blocks[h->n++] = p;

    return p;
}


static void
start(size_t size)
{
    heap.n = 0;
    heap.calls = 0;
    heap.limit = 128;

    ngx_analytics_writer_init(&w, allocate, &heap, size);
}


static void
stop(void)
{
    while (heap.n) {
        free(heap.blocks[--heap.n]);
    }
}


static void
write_text(const char *text, size_t len)
{
    ngx_str_t  str;

    str.data = len ? malloc(len) : NULL;
    str.len = len;

    if (len) {
        if (str.data == NULL) {
            exit(2);
        }

        memcpy(str.data, text, len);
    }

    ngx_analytics_write_string(&w, &str);

    free(str.data);
}


#define string_is(text, expected)                                             \
    do {                                                                      \
        start(1);                                                             \
        write_text(text, sizeof(text) - 1);                                   \
        is_str(w.start, (size_t) (w.pos - w.start), expected, "string: %s",   \
               expected);                                                     \
        stop();                                                               \
    } while (0)


static void
check_strings(void)
{
    string_is("", "\"\"");
    string_is("plain", "\"plain\"");
    string_is("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
    string_is("\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"");
    string_is("a\0b\x01\x1f\x7f", "\"a\\u0000b\\u0001\\u001f\\u007f\"");
    string_is("</script><!--&amp;", "\"\\u003c/script\\u003e\\u003c!--"
              "\\u0026amp;\"");
    string_is("\xe2\x80\xa8|\xe2\x80\xa9", "\"\\u2028|\\u2029\"");
    string_is("\xe2\x80\xa7\xe2\x80\xaa\xe2\x82\xa8",
              "\"\xe2\x80\xa7\xe2\x80\xaa\xe2\x82\xa8\"");
    string_is("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
              "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    string_is("'`=;()%+", "\"'`=;()%+\"");
    string_is("\xc2\x80\xc2\x85", "\"\xc2\x80\xc2\x85\"");
}


/* How one byte of ASCII is to be written. */
static size_t
expected_of(ngx_uint_t c, char *p)
{
    const char  *found;

    /* each character in front of the letter that stands for it */

    for (found = "\"\"\\\\\bb\ff\nn\rr\tt"; *found; found += 2) {
        if ((ngx_uint_t) *found == c) {
            p[0] = '\\';
            p[1] = found[1];
            return 2;
        }
    }

    if (c < 0x20 || c == 0x7f || c == '<' || c == '>' || c == '&') {
        return (size_t) sprintf(p, "\\u%04x", (unsigned) c);
    }

    p[0] = (char) c;

    return 1;
}


/* Each byte of ASCII at each place of texts of 1 to 50 bytes. */
static void
check_places(void)
{
    char        text[64], expected[512];
    size_t      n, at, len;
    ngx_uint_t  c, wrong;

    wrong = 0;

    for (n = 1; n <= 50; n++) {
        for (at = 0; at < n; at++) {
            for (c = 0; c < 128; c++) {

                memset(text, 'x', n);
                text[at] = (char) c;

                expected[0] = '"';
                memset(expected + 1, 'x', at);
                len = 1 + at;
                len += expected_of(c, expected + len);
                memset(expected + len, 'x', n - at - 1);
                len += n - at - 1;
                expected[len++] = '"';

                /* a buffer that is just large enough, or has to grow */

                start((c & 1) ? len : 1 + at);
                write_text(text, n);

                wrong += (w.failed || (size_t) (w.pos - w.start) != len
                          || memcmp(w.start, expected, len) != 0);
                stop();
            }
        }
    }

    is_u64(wrong, 0, "each byte of ASCII is written right at each place");
}


/* U+2028 and U+2029 and their neighbours at each place. */
static void
check_separators(void)
{
    char                text[64], expected[128];
    size_t              n, at, len;
    ngx_uint_t          k, wrong;
    static const char  *pairs[] = {
        "\xe2\x80\xa8", "\\u2028", "\xe2\x80\xa9", "\\u2029",
        "\xe2\x80\xa7", "\xe2\x80\xa7", "\xe2\x81\xa8", "\xe2\x81\xa8",
        "\xe3\x80\xa8", "\xe3\x80\xa8"
    };

    wrong = 0;

    for (n = 0; n <= 40; n++) {
        for (at = 0; at <= n; at++) {
            for (k = 0; k < 10; k += 2) {

                memset(text, 'x', n + 3);
                memcpy(text + at, pairs[k], 3);

                len = (size_t) sprintf(expected, "\"%.*s%s%.*s\"", (int) at,
                                       text, pairs[k + 1], (int) (n - at),
                                       text + at + 3);
                start(n + 5);
                write_text(text, n + 3);

                wrong += (w.failed || (size_t) (w.pos - w.start) != len
                          || memcmp(w.start, expected, len) != 0);
                stop();
            }
        }
    }

    is_u64(wrong, 0, "the two separators are escaped, and no other character");
}


static void
check_integers(void)
{
    char      text[32];
    int64_t   n;
    uint64_t  u, i, seed, wrong;

    wrong = 0;
    seed = 88172645463325252ull;

    for (i = 0; i < 200000; i++) {

        /* xorshift64, all magnitudes; then around the powers of ten */

        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;

        u = seed >> (seed & 63);

        if (i < 63) {
            u = 1;

            for (n = (int64_t) (i / 3); n > 0; n--) {
                u *= 10;
            }

            u += i % 3;
            u--;

        } else if (i < 66) {
            u = UINT64_MAX - (i - 63);

        } else if (i < 70) {
            u = (uint64_t) INT64_MAX + i - 67;
        }

        start(1);
        ngx_analytics_write_uint(&w, u);
        sprintf(text, "%" PRIu64, u);

        wrong += ((size_t) (w.pos - w.start) != strlen(text)
                  || memcmp(w.start, text, strlen(text)) != 0);
        stop();

        n = (int64_t) u;

        start(1);
        ngx_analytics_write_int(&w, n);
        sprintf(text, "%" PRId64, n);

        wrong += ((size_t) (w.pos - w.start) != strlen(text)
                  || memcmp(w.start, text, strlen(text)) != 0);
        stop();
    }

    is_u64(wrong, 0, "integers of every size are written as printf() does");
}


static void
check_instants(void)
{
    start(1);
    ngx_analytics_write_time(&w, 482196050520000);
    is_str(w.start, (size_t) (w.pos - w.start), "\"1985-04-12T23:20:50.520Z\"",
           "an instant");
    ngx_analytics_write_literal(&w, ",");
    ngx_analytics_write_date(&w, -1);
    is_str(w.start, (size_t) (w.pos - w.start),
           "\"1985-04-12T23:20:50.520Z\",\"1969-12-31\"", "... and a day");
    stop();

    start(29);
    ngx_analytics_write_time(&w, 253402300799999999);
    is_str(w.start, (size_t) (w.pos - w.start),
           "\"9999-12-31T23:59:59.999999Z\"", "the longest instant");
    is_u64(heap.n, 1, "... in just its room");
    stop();
}


static void
write_all(void)
{
    ngx_uint_t  i;

    for (i = 0; i < 50; i++) {
        ngx_analytics_write_literal(&w, "[");
        write_text("a<b>\"c\"\xe2\x80\xa8", 10);
        ngx_analytics_write_uint(&w, 18446744073709551615ull);
        ngx_analytics_write_int(&w, INT64_MIN);
        ngx_analytics_write_time(&w, 1);
        ngx_analytics_write_date(&w, 0);
        ngx_analytics_write_raw(&w, "", 0);
        ngx_analytics_write_literal(&w, "]");
    }
}


static void
check_growth(void)
{
    size_t               i, len;
    ngx_uint_t           doubled;
    static const char    one[] =
        "[\"a\\u003cb\\u003e\\\"c\\\"\\u2028\"18446744073709551615"
        "-9223372036854775808\"1970-01-01T00:00:00.000001Z\"\"1970-01-01\"]";
    static char          expected[50 * sizeof(one)];

    len = sizeof(one) - 1;

    for (i = 0; i < 50; i++) {
        memcpy(expected + i * len, one, len);
    }

    start(1);
    write_all();

    ok(!w.failed, "much is written into a buffer of one byte");
    is_mem(w.start, (size_t) (w.pos - w.start), expected, 50 * len,
           "... and nothing is lost while it grows");
    ok(heap.n < 16, "... which it does not do often");

    doubled = 1;

    for (i = 1; i < heap.n; i++) {
        doubled = doubled && heap.sizes[i] >= 2 * heap.sizes[i - 1];
    }

    ok(doubled, "... as it doubles at least");
    ok(heap.sizes[heap.n - 1] < 50 * len * 2 + 64, "... and not much more");
    stop();

    start(50 * len + 64);
    write_all();
    is_u64(heap.n, 1, "a buffer that is large enough stays");
    stop();
}


static void
check_failure(void)
{
    size_t      before;
    ngx_uint_t  i, calls, quiet, told, kept;

    quiet = 1;
    told = 1;
    kept = 1;

    for (i = 0; i < 8; i++) {
        start(8);

        if (i == 0) {
            heap.calls = 0;
            heap.limit = 0;
            ngx_analytics_writer_init(&w, allocate, &heap, 8);

        } else {
            heap.limit = i;
        }

        write_all();

        told = told && w.failed;
        calls = heap.calls;
        before = w.pos - w.start;

        write_all();

        /* nothing more is asked for, and nothing more is written */
        quiet = quiet && heap.calls == calls;
        kept = kept && (size_t) (w.pos - w.start) == before;

        stop();
    }

    /* what would still fit comes after what did not */

    start(8);
    heap.limit = 1;

    ngx_analytics_write_literal(&w, "1234");
    ngx_analytics_write_literal(&w, "56789");
    ngx_analytics_write_literal(&w, "0");
    write_text("", 0);

    is_str(w.start, (size_t) (w.pos - w.start), "1234",
           "what does not fit leaves no gap for what follows");
    stop();

    ok(told, "a failed allocation is told, be it the first or a later one");
    ok(quiet, "... is not tried again");
    ok(kept, "... and what comes after it is dropped");
}


int
main(void)
{
    check_strings();
    check_places();
    check_separators();
    check_integers();
    check_instants();
    check_growth();
    check_failure();

    return done_testing();
}
