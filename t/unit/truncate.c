
/*
 * Addresses lose what is behind their network, wherever the format says that
 * one stands, and nothing else changes by a byte.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "tap.h"
#include "ngx_analytics_decode.h"
#include "ngx_analytics_truncate.h"


static u_char  memory[4096], *room;


static void *
alloc(void *ctx, size_t size)
{
    u_char  *p;

    p = room;
    room += (size + 15) & ~(size_t) 15;

    return (room <= memory + sizeof(memory)) ? p : NULL;
}


static void
address(const char *text, const char *expected)
{
    u_char     buf[NGX_ANALYTICS_ADDRESS_LEN];
    size_t     len;
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = strlen(text);

    len = ngx_analytics_truncate_address(buf, &s);

    is_str(buf, len, expected, "\"%s\"", text);
}


static void
addresses(void)
{
    address("203.0.113.77", "203.0.113.0");
    address("0.0.0.0", "0.0.0.0");
    address("255.255.255.255", "255.255.255.0");
    address("2001:db8:1:2:3:4:5:6", "2001:db8:1::");
    address("2001:DB8:0:ffff::1", "2001:db8::");
    address("::1", "::");
    address("::ffff:203.0.113.77", "::ffff:203.0.113.0");
    address("::ffff:cb00:714d", "::ffff:203.0.113.0");
    address("fe80:1111:2222:3333:4444:5555:255.255.255.255",
            "fe80:1111:2222::");

    address("", "");
    address("-", "");
    address("somebody", "");
    address("203.0.113.77:8080", "");
    address("[2001:db8::1]", "");
    address("203.0.113.77, 10.0.0.1", "");
    address("203.0.113", "");
    address("203.0.113.277", "");
    address("fe80::1%eth0", "");
    address("fe80:1111:2222:3333:4444:5555:255.255.255.2555", "");
}


static void
properties(ngx_analytics_format_t *format, const char *text,
    const char *expected)
{
    ngx_analytics_decode_t  d;
    char                    body[1000];

    room = memory;

    memset(&d, 0, sizeof(d));
    d.format = format;
    d.alloc = alloc;
    d.now = INT64_MAX / 2;

    snprintf(body, sizeof(body), "{\"who\":\"203.0.113.77\",\"what\":\"x\","
             "\"with\":%s}", text);

    ok(ngx_analytics_decode(&d, (u_char *) body, strlen(body)) == NGX_OK,
       "%s", text);

    if (d.first) {
        is_str(d.first->events[0].properties.data,
               d.first->events[0].properties.len, expected, "becomes");
        is_str(d.first->events[0].user.data, d.first->events[0].user.len,
               format->truncate_user ? "203.0.113.0" : "203.0.113.77",
               "the user");
    }
}


static void
name(ngx_str_t *s, const char *text)
{
    s->data = (u_char *) text;
    s->len = strlen(text);
}


static void
members(void)
{
    ngx_str_t               names[2];
    ngx_analytics_format_t  format;

    memset(&format, 0, sizeof(format));

    name(&format.user, "who");
    name(&format.type, "what");
    name(&format.properties, "with");
    name(&names[0], "ip");
    name(&names[1], "a\"b");

    format.truncate = names;
    format.ntruncate = 2;

    properties(&format, "{}", "{}");
    properties(&format, "{\"ip\":\"203.0.113.77\"}",
               "{\"ip\":\"203.0.113.0\"}");
    properties(&format,
               "{ \"n\" : 1.50 , \"ip\" : \"10.1.2.3\" , \"z\":[ 1 ] }",
               "{ \"n\" : 1.50 , \"ip\" : \"10.1.2.0\" , \"z\":[ 1 ] }");
    properties(&format, "{\"ip\":\"10.1.2.3\",\"ip\":\"10.1.2.4\"}",
               "{\"ip\":\"10.1.2.0\",\"ip\":\"10.1.2.0\"}");
    properties(&format, "{\"\\u0069p\":\"10.1\\u002e2.3\"}",
               "{\"\\u0069p\":\"10.1.2.0\"}");
    properties(&format, "{\"a\\\"b\":\"::1\"}", "{\"a\\\"b\":\"::\"}");
    properties(&format, "{\"x\":{\"ip\":\"10.1.2.3\"}}",
               "{\"x\":{\"ip\":\"10.1.2.3\"}}");
    properties(&format, "{\"IP\":\"10.1.2.3\"}", "{\"IP\":\"10.1.2.3\"}");

    /* what is no address cannot be known to say nothing */

    properties(&format, "{\"ip\":\"somebody\"}", "{\"ip\":null}");
    properties(&format, "{\"ip\":\"\"}", "{\"ip\":null}");
    properties(&format, "{\"ip\":7,\"ip\":{\"a\":[\"10.1.2.3\"]},\"b\":7}",
               "{\"ip\":null,\"ip\":null,\"b\":7}");
    properties(&format, "{\"ip\":\"10.1.2.3\\u0000\"}", "{\"ip\":null}");
    properties(&format, "null", "");

    format.truncate_user = 1;

    properties(&format, "{\"ip\":null}", "{\"ip\":null}");

    /* all that is not mapped */

    format.rest = 1;
    name(&names[1], "with");
    name(&format.properties, "*");

    properties(&format, "\"2001:db8::1\"", "{\"with\":\"2001:db8::\"}");
}


int
main(void)
{
    addresses();
    members();

    return done_testing();
}
