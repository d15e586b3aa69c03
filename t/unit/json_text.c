
/*
 * The JSON scanner, byte by byte: that no byte of a string is missed and
 * none behind the input is read, which UTF-8 and which escapes it takes, and
 * what it makes of them.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <stdlib.h>
#include "tap.h"
#include "json_valid.h"


/*
 * Every beginning of a document that needs its last byte is refused, and
 * nothing behind any of them is read: the next page cannot be.
 */
static void
check_truncation(void)
{
    size_t              n, len;
    ngx_uint_t          i, wrong;
    static const char  *texts[] = {
        "{\"user_id\":\"user_000123\",\"event_type\":\"page_view\","
            "\"timestamp\":\"2025-10-04T12:30:00.123456Z\",\"metadata\":"
            "{\"page\":\"/home\",\"n\":[1,-2.5e+10,true,false,null]}}",
        "[ { \"a\" : \"\\u00e9\\ud83d\\ude00\\n\" } , [ [ ] , { } ] ]",
        "\"plain text that is longer than two vectors of 16 bytes, and so\"",
        "\"\xd0\x9f\xd1\x80\xd0\xb8\xe2\x82\xac\xf0\x9f\x98\x80 \xc3\xa9\"",
        "{\"\\u0061\xe2\x82\xac\":[0.1e-5]}"
    };

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {

        len = strlen(texts[i]);
        wrong = 0;

        for (n = 0; n < len; n++) {
            if (valid(texts[i], n) != 0) {
                wrong++;
                diag("%zu bytes of %s", n, texts[i]);
            }
        }

        is_u64(wrong, 0, "truncated anywhere, refused: %s", texts[i]);
        is_i64(valid(texts[i], len), 1, "... and whole, taken");
    }

    wrong = 0;

    for (n = 1; n < 30; n++) {
        wrong += (valid("123456789012345678901234567890", n) != 1);
    }

    is_u64(wrong, 0, "a number may end where the input does");
}


/*
 * Strings of 0 to 100 bytes with each kind of byte at each place, that end
 * where the input does: whatever the scanner's stride, the byte is seen.
 */
static void
check_places(void)
{
    int                 v;
    u_char              text[128];
    size_t              n, i, k, len;
    uint64_t            wrong, tried;
    static const struct {
        const char     *text;
        int             valid;
    } kinds[] = {
        { "a", 1 }, { "\x7f", 1 }, { " ", 1 }, { "!", 1 }, { "#", 1 },
        { "[", 1 }, { "]", 1 }, { "\\n", 1 }, { "\\\"", 1 }, { "\\\\", 1 },
        { "\\u00e9", 1 }, { "\\ud83d\\ude00", 1 }, { "\xc3\xa9", 1 },
        { "\xe2\x82\xac", 1 }, { "\xf0\x9f\x98\x80", 1 },
        { "\"", 0 }, { "\\", 0 }, { "\x01", 0 }, { "\x1f", 0 }, { "\n", 0 },
        { "\x80", 0 }, { "\xff", 0 }, { "\xe2\x82", 0 }, { "\\ud83d", 0 },
        { "\\x", 0 }
    };

    wrong = 0;
    tried = 0;

    for (n = 0; n < 100; n++) {
        for (i = 0; i <= n; i++) {
            for (k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {

                len = strlen(kinds[k].text);

                text[0] = '"';
                memset(text + 1, 'x', n);
                memcpy(text + 1 + i, kinds[k].text, len);

                /* the rest is n bytes in all, and the quote */
                len = ngx_max(n, i + len);

                /* a lone backslash in front of the closing quote */
                text[len + 1] = '"';

                v = valid(text, len + 2);
                tried++;

                if (v != kinds[k].valid) {
                    wrong++;
                }
            }
        }
    }

    is_u64(wrong, 0, "a byte is seen at each place of a string (%" PRIu64
           " strings)", tried);
}


static void
check_controls(void)
{
    int         expected;
    u_char      text[40];
    ngx_uint_t  c, at, wrong;

    wrong = 0;

    for (c = 0; c < 128; c++) {
        for (at = 1; at < 36; at++) {
            memset(text, 'x', sizeof(text));

            text[0] = '"';
            text[at] = (u_char) c;
            text[39] = '"';

            expected = !(c < 0x20 || c == '"' || c == '\\');

            wrong += (valid(text, 40) != expected);
        }
    }

    is_u64(wrong, 0, "of ASCII in a string, all but 32 controls, the quote "
           "and the backslash are taken");
}


static size_t
encode(u_char *p, uint32_t c)
{
    if (c < 0x80) {
        p[0] = (u_char) c;
        return 1;
    }

    if (c < 0x800) {
        p[0] = (u_char) (192 + c / 64);
        p[1] = (u_char) (128 + c % 64);
        return 2;
    }

    if (c < 0x10000) {
        p[0] = (u_char) (224 + c / 4096);
        p[1] = (u_char) (128 + c / 64 % 64);
        p[2] = (u_char) (128 + c % 64);
        return 3;
    }

    p[0] = (u_char) (240 + c / 262144);
    p[1] = (u_char) (128 + c / 4096 % 64);
    p[2] = (u_char) (128 + c / 64 % 64);
    p[3] = (u_char) (128 + c % 64);
    return 4;
}


static int
valid_string(const u_char *bytes, size_t len)
{
    u_char                 text[16];
    ngx_analytics_json_t   json;

    text[0] = '"';
    memcpy(text + 1, bytes, len);
    text[len + 1] = '"';

    ngx_analytics_json_init(&json, text, len + 2);

    return ngx_analytics_json_value(&json, NULL) == NGX_OK
           && json.pos == json.last;
}


/*
 * All strings of one character, and all byte strings of 2, 3 and (with the
 * bytes at the edges of the ranges) 4 that do not begin with ASCII: just
 * those are taken that the characters give.
 */
static void
check_utf8(void)
{
    u_char         b[4];
    size_t         n;
    uint32_t       c, i, j, k, l;
    uint64_t       refused, wrong;
    static u_char  two[1 << 16], three[1 << 24], four[1 << 22];
    static u_char  edges[] = {
        0x00, 0x21, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
        0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xff
    };

    refused = 0;

    for (c = 0x80; c <= 0x10ffff; c++) {

        if (c >= 0xd800 && c <= 0xdfff) {
            continue;
        }

        n = encode(b, c);
        refused += !valid_string(b, n);

        if (n == 2) {
            two[b[0] << 8 | b[1]] = 1;

        } else if (n == 3) {
            three[b[0] << 16 | b[1] << 8 | b[2]] = 1;

        } else {
            four[c] = 1;
        }
    }

    is_u64(refused, 0, "every character of Unicode is taken as UTF-8");

#define plain(b)  ((b) >= 0x20 && (b) < 0x80 && (b) != '"' && (b) != '\\')

    wrong = 0;

    for (i = 0x8000; i < 0x10000; i++) {
        b[0] = (u_char) (i >> 8);
        b[1] = (u_char) i;

        wrong += (valid_string(b, 2) != two[i]);
    }

    is_u64(wrong, 0, "and nothing else of 2 bytes");

    for (i = 0x800000; i < 0x1000000; i++) {
        b[0] = (u_char) (i >> 16);
        b[1] = (u_char) (i >> 8);
        b[2] = (u_char) i;

        wrong += (valid_string(b, 3)
                  != (three[i] || (two[i >> 8] && plain(b[2]))));
    }

    is_u64(wrong, 0, "and nothing else of 3 bytes");

    for (i = 0x80; i < 0x100; i++) {
        for (j = 0; j < sizeof(edges) * sizeof(edges) * sizeof(edges); j++) {
            b[0] = (u_char) i;
            b[1] = edges[j % sizeof(edges)];
            b[2] = edges[j / sizeof(edges) % sizeof(edges)];
            b[3] = edges[j / sizeof(edges) / sizeof(edges)];

            k = b[0] << 8 | b[1];
            l = b[2] << 8 | b[3];

            /* 4; 3 and ASCII; 2 and 2; 2 and ASCII twice */

            c = (b[0] & 0x07) << 18 | (b[1] & 0x3f) << 12
                | (b[2] & 0x3f) << 6 | (b[3] & 0x3f);

            n = (b[0] >= 0xf0 && b[0] <= 0xf7 && (b[1] & 0xc0) == 0x80
                 && (b[2] & 0xc0) == 0x80 && (b[3] & 0xc0) == 0x80 && four[c])
                || (three[k << 8 | b[2]] && plain(b[3]))
                || (two[k] && (two[l] || (plain(b[2]) && plain(b[3]))));

            wrong += (valid_string(b, 4) != (int) n);
        }
    }

    is_u64(wrong, 0, "and nothing else of 4 bytes");
}


static void
unescape_is(const char *raw, const char *expected, size_t len)
{
    u_char     *dst;
    size_t      n;
    ngx_str_t   str;

    str.len = strlen(raw);
    str.data = guarded(raw, str.len);

    dst = malloc(str.len + 1);

    if (dst == NULL) {
        exit(2);
    }

    dst[str.len] = 0xee;

    n = ngx_analytics_json_unescape(dst, &str);

    is_mem(dst, n, expected, len, "unescaped: %s", raw);
    is_u64(dst[str.len], 0xee, "... within the room for its raw text");

    free(dst);
}


static void
check_unescape(void)
{
    char        raw[32];
    u_char      dst[32], expected[4];
    size_t      n;
    uint32_t    c;
    uint64_t    wrong;
    ngx_str_t   str;

    unescape_is("", "", 0);
    unescape_is("plain", "plain", 5);
    unescape_is("\xc3\xa9\xf0\x9f\x98\x80", "\xc3\xa9\xf0\x9f\x98\x80", 6);
    unescape_is("\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t", 8);
    unescape_is("a\\u0000b", "a\0b", 3);
    unescape_is("\\u0041\\u00e9\\u20AC", "A\xc3\xa9\xe2\x82\xac", 6);
    unescape_is("x\\uD83D\\uDE00y", "x\xf0\x9f\x98\x80y", 6);
    unescape_is("\\ud800\\udc00\\uDBFF\\uDFFF",
                "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8);
    unescape_is("\\\\u0041\\\\\\u0041", "\\u0041\\A", 8);
    unescape_is("\\uffff", "\xef\xbf\xbf", 3);

    wrong = 0;

    for (c = 0; c <= 0x10ffff; c++) {

        if (c < 0x10000) {
            n = (size_t) snprintf(raw, sizeof(raw),
                                  (c & 1) ? "\"\\u%04x\"" : "\"\\u%04X\"", c);

        } else {
            n = (size_t) snprintf(raw, sizeof(raw), "\"\\u%04x\\u%04X\"",
                                  0xd7c0 + c / 1024, 0xdc00 + c % 1024);
        }

        if (c >= 0xd800 && c <= 0xdfff) {
            wrong += valid_string((u_char *) raw + 1, n - 2);
            continue;
        }

        wrong += !valid_string((u_char *) raw + 1, n - 2);

        str.data = (u_char *) raw + 1;
        str.len = n - 2;

        n = ngx_analytics_json_unescape(dst, &str);

        wrong += (n != encode(expected, c) || memcmp(dst, expected, n) != 0);
    }

    is_u64(wrong, 0, "every character is read from its escapes, "
           "but for the surrogates, which are refused");
}


int
main(void)
{
    guard_init();

    check_truncation();
    check_places();
    check_controls();
    check_utf8();
    check_unescape();

    return done_testing();
}
