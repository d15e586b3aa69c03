
/*
 * Instants as numbers of seconds or milliseconds: that each text means what
 * it says to the microsecond, or is refused.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "tap.h"
#include "ngx_analytics_time.h"


static uint64_t  seed = 20251004;


/* xorshift64* */
static uint64_t
rnd(uint64_t n)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;

    return (seed * 0x2545f4914f6cdd1dull >> 16) % n;
}


static ngx_int_t
parse_epoch(const char *text, int64_t unit, int64_t *usec)
{
    ngx_str_t  str;

    str.data = (u_char *) text;
    str.len = strlen(text);

    return ngx_analytics_epoch_parse(&str, unit, usec);
}


static void
check_epoch(void)
{
    size_t              i;
    int64_t             usec;
    static const struct {
        const char     *text;
        int64_t         unit;
        int64_t         usec;
    } right[] = {
        { "0", 1000000, 0 },
        { "-0", 1000000, 0 },
        { "1759581000", 1000000, 1759581000000000 },
        { "1759581000.123456", 1000000, 1759581000123456 },
        { "1759581000.5", 1000000, 1759581000500000 },
        { "1759581000123", 1000, 1759581000123000 },
        { "1759581000123.456", 1000, 1759581000123456 },
        { "1759581000123.4569", 1000, 1759581000123456 },
        { "0.0000019", 1000000, 1 },
        { "0.0019", 1000, 1 },
        { "-1", 1000000, -1000000 },
        { "-1.5", 1000, -1500 },
        { "-0.000001", 1000000, -1 },
        { "9223372036854.775807", 1000000, INT64_MAX },
        { "9223372036854775.807", 1000, INT64_MAX },
        { "9223372036854.7758079", 1000000, INT64_MAX },
        { "-9223372036854.775807", 1000000, -INT64_MAX },
        { "0.00000000000000000000000000000000000000000000000000001", 1000, 0 }
    };
    static const char  *wrong[] = {
        "", "-", ".5", "-.5", "1.", "-1.", "01", "-01", "00", "+1", "--1",
        "1e3", "1E3", "1.5e1", "1 ", " 1", "1.5.5", "1,5", "0x10", "a",
        "9223372036855", "9223372036854.775808", "-9223372036854.775808",
        "9223372036854775807", "18446744073709551616", "18446744073709",
        "99999999999999999999999999999999999999"
    };

    for (i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        usec = 42;
        is_i64(parse_epoch(right[i].text, right[i].unit, &usec), NGX_OK,
               "units since the epoch: %s", right[i].text);
        is_i64(usec, right[i].usec, "... its instant");
    }

    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        is_i64(parse_epoch(wrong[i], 1000000, &usec), NGX_ERROR,
               "no seconds: \"%s\"", wrong[i]);
    }

    is_i64(parse_epoch("9223372036854776", 1000, &usec), NGX_ERROR,
           "no milliseconds: more than fit");
}


/* The text by printf(), without zeros at the end of a fraction. */
static void
print_epoch(char *text, int64_t usec, int64_t unit)
{
    char      *p;
    uint64_t   n;

    n = (usec < 0) ? -(uint64_t) usec : (uint64_t) usec;

    p = text;
    p += sprintf(p, "%s%" PRIu64, (usec < 0) ? "-" : "", n / unit);

    if (n % unit) {
        p += sprintf(p, (unit == 1000) ? ".%03d" : ".%06d", (int) (n % unit));

        while (p[-1] == '0') {
            *--p = '\0';
        }
    }
}


static void
check_epoch_format(void)
{
    char      text[64], buf[64];
    int64_t   usec, unit, again;
    uint64_t  i, wrong, differ;

    wrong = 0;
    differ = 0;

    for (i = 0; i < 400000; i++) {

        unit = (i & 1) ? 1000 : 1000000;
        usec = (int64_t) (rnd(1ull << 48) >> rnd(48)) << rnd(16);

        switch (rnd(4)) {
        case 0:
            usec -= usec % 1000000;
            break;
        case 1:
            usec -= usec % 100;
            break;
        case 2:
            usec = -usec;
            break;
        default:
            break;
        }

        usec = (i < 2) ? INT64_MAX : (i < 4) ? -INT64_MAX : usec;

        print_epoch(text, usec, unit);
        *ngx_analytics_epoch_format((u_char *) buf, usec, unit) = '\0';

        if (strcmp(buf, text) != 0 || strlen(buf) > NGX_ANALYTICS_TIME_LEN) {
            wrong++;
            diag("%" PRId64 " by %" PRId64 ": %s", usec, unit, buf);
        }

        differ += (parse_epoch(buf, unit, &again) != NGX_OK || again != usec);
    }

    is_u64(wrong, 0, "units since the epoch are printed exactly");
    is_u64(differ, 0, "... and are the same when read again");

#define epoch_is(usec, unit, text)                                            \
    is_str(buf, (size_t) (ngx_analytics_epoch_format((u_char *) buf, usec,    \
                                                     unit)                    \
                          - (u_char *) buf),                                  \
           text, "units printed: %s", text)

    epoch_is(0, 1000000, "0");
    epoch_is(1759581000500000, 1000000, "1759581000.5");
    epoch_is(1759581000123000, 1000, "1759581000123");
    epoch_is(-1, 1000000, "-0.000001");
    epoch_is(INT64_MIN, 1000000, "-9223372036854.775808");
}


static void
check_floor_div(void)
{
    is_i64(ngx_analytics_floor_div(7, 2), 3, "7 / 2");
    is_i64(ngx_analytics_floor_div(-7, 2), -4, "-7 / 2");
    is_i64(ngx_analytics_floor_div(-8, 2), -4, "-8 / 2");
    is_i64(ngx_analytics_floor_div(-1, 86400), -1, "-1 / 86400");
    is_i64(ngx_analytics_floor_div(0, 86400), 0, "0 / 86400");
}


int
main(void)
{
    check_epoch();
    check_epoch_format();
    check_floor_div();

    return done_testing();
}
