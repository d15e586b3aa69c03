
/*
 * Events written and read again: that cJSON reads what was meant, and that
 * the same format reads the same event.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <cjson/cJSON.h>
#include "tap.h"
#include "events.h"


#define MAX     8192
#define ROUNDS  40000

#define count(a)  (sizeof(a) / sizeof((a)[0]))


static uint64_t  seed = 20251004;
static char      text[MAX];              /* what was written last */
static size_t    text_len;

static const char *const  names[] = {
    "u", "user_123", "alice@example.org", "a b", " ", "null", "true", "{}",
    "</script><script>alert(\"x\")</script>&amp;'", "\\", "\"", "\\u0041",
    "/", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xe2\x80\xa8",
    "\xe2\x80\xa9x", "\xef\xbf\xbf", N254 "n"
};

static const char *const  properties[] = {
    "{}", "{\"a\":1}", "{\"a\":{\"b\":[1,2,{\"c\":null}]},\"d\":\"\\u00e9\"}",
    "{\"n\":12345678901234567890.5e-3,\"n\":-0}", "{\"\":\"<&>\"}"
};

static const int64_t  times[] = {
    NGX_ANALYTICS_TIME_NONE, 0, 1, 999, 1000, 999999, 1000000, 86400000000,
    951782400000000, EVENTS_NOW, EVENTS_NOW - 456, EVENTS_NOW - 123456,
    EVENTS_NOW + NGX_ANALYTICS_DAY
};


/* xorshift64* */
static uint64_t
rnd(uint64_t n)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;

    return (seed * 0x2545f4914f6cdd1dull >> 20) % n;
}


/* The member, of which the object has one. */
static cJSON *
only_member(cJSON *root, ngx_str_t *name)
{
    cJSON  *item, *found;

    found = NULL;

    cJSON_ArrayForEach(item, root) {

        if (strlen(item->string) == name->len
            && memcmp(item->string, name->data, name->len) == 0)
        {
            if (found) {
                return NULL;
            }

            found = item;
        }
    }

    return found;
}


static int
is_text(cJSON *item, ngx_str_t *str)
{
    return cJSON_IsString(item) && strlen(item->valuestring) == str->len
           && memcmp(item->valuestring, str->data, str->len) == 0;
}


/* Whether the text says what an integer of at most 2^53 says. */
static int
is_integer(ngx_str_t *str)
{
    char     again[300], s[300];
    int64_t  n;

    memcpy(s, str->data, str->len);
    s[str->len] = '\0';

    n = strtoll(s, NULL, 10);
    snprintf(again, sizeof(again), "%" PRId64, n);

    return strcmp(again, s) == 0 && n >= -9007199254740992
           && n <= 9007199254740992;
}


static int
user_right(cJSON *root, ngx_analytics_format_t *f, ngx_str_t *user)
{
    cJSON  *item;

    item = only_member(root, &f->user);

    if (f->integer && is_integer(user)) {
        return cJSON_IsNumber(item)
               && item->valuedouble == strtod((char *) user->data, NULL);
    }

    return is_text(item, user);
}


static int
time_right(cJSON *root, ngx_analytics_format_t *f, int64_t time)
{
    cJSON      *item;
    int64_t     usec;
    ngx_str_t   str;

    if (time == NGX_ANALYTICS_TIME_NONE) {
        time = EVENTS_NOW;
    }

    item = only_member(root, &f->time);

    if (f->unit) {
        return cJSON_IsNumber(item)
               && item->valuedouble == (double) time / (double) f->unit;
    }

    if (!cJSON_IsString(item)) {
        return 0;
    }

    event_set(&str, item->valuestring);

    return ngx_analytics_time_parse(&str, &usec) == NGX_OK && usec == time;
}


/* The properties' members are the same and in the same order. */
static int
properties_right(cJSON *root, ngx_analytics_format_t *f, ngx_str_t *sent)
{
    int     equal;
    cJSON  *item, *props, *other;

    if (!f->rest) {
        item = only_member(root, &f->properties);
        equal = cJSON_IsObject(item);
        item = equal ? item->child : NULL;

    } else {

        /* behind the id and what is mapped */

        equal = 1;
        item = root->child->next->next;
        item = f->constant ? item : item->next;
        item = f->time.len ? item->next : item;
        item = f->id.len && only_member(root, &f->id) ? item->next : item;
    }

    props = cJSON_ParseWithLength(sent->len ? (char *) sent->data : "{}",
                                  sent->len ? sent->len : 2);
    other = props->child;

    for ( /* void */ ; item && other; item = item->next, other = other->next) {
        equal = equal && strcmp(item->string, other->string) == 0
                && cJSON_Compare(item, other, 1);
    }

    cJSON_Delete(props);

    /* all of them, and at the end as they were sent */

    return equal && item == NULL && other == NULL
           && (sent->len <= 2
               || memcmp(text + text_len - !f->rest - sent->len + 1,
                         sent->data + 1, sent->len - 1) == 0);
}


/* What cJSON reads in the text is the event. */
static int
oracle_right(ngx_analytics_format_t *f, ngx_analytics_event_t *event)
{
    int     right, members, has_id;
    cJSON  *root;

    root = cJSON_ParseWithLengthOpts(text, text_len + 1, NULL, 1);

    if (!cJSON_IsObject(root) || !cJSON_IsNumber(root->child)) {
        cJSON_Delete(root);
        return 0;
    }

    has_id = (f->id.len && event->id.len);

    members = 2 + !f->constant + (f->time.len != 0)
              + (f->properties.len != 0) + has_id;

    right = strcmp(root->child->string, "id") == 0
            && user_right(root, f, &event->user)
            && (!has_id || is_text(only_member(root, &f->id), &event->id))
            && (f->constant || is_text(only_member(root, &f->type),
                                       &event->type))
            && (f->time.len == 0 || time_right(root, f, event->time))
            && (f->properties.len == 0
                || properties_right(root, f, &event->properties))
            && (f->rest || cJSON_GetArraySize(root) == members);

    cJSON_Delete(root);

    return right;
}


static int
same(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && (one->len == 0 || memcmp(one->data, two->data, one->len) == 0);
}


/* Read by its format, the text is the event. */
static int
again_right(ngx_analytics_format_t *f, ngx_analytics_event_t *event)
{
    int                     right;
    int64_t                 time;
    ngx_str_t               type, props, id;
    decoded_t               r;
    ngx_analytics_event_t  *again;

    decode(&r, f, 0, text, text_len);

    /* in a format of integers another user is refused */

    if (f->integer && !is_integer(&event->user)) {
        right = r.rc == NGX_ABORT && r.d.nerrors == 1
                && same(&r.d.errors[0].field, &f->user);
        decoded_free(&r);

        return right;
    }

    time = f->time.len == 0 ? NGX_ANALYTICS_TIME_NONE
           : event->time == NGX_ANALYTICS_TIME_NONE ? EVENTS_NOW
           : event->time;
    type = f->constant ? f->type : event->type;
    props = event->properties;
    id = event->id;

    if (f->id.len == 0) {
        event_set(&id, "");
    }

    if (f->properties.len == 0) {
        event_set(&props, "");

    } else if (props.len == 0) {
        event_set(&props, "{}");
    }

    again = r.rc == NGX_OK && r.d.n == 1 && !r.d.list ? decoded_event(&r, 0)
                                                      : NULL;

    right = again && same(&again->user, &event->user)
            && same(&again->type, &type) && again->time == time
            && same(&again->properties, &props) && same(&again->id, &id)
            && !again->known;

    decoded_free(&r);

    return right;
}


/* Each name as a user and a type, each time, all properties, each format. */
static void
check_all(void)
{
    size_t                  i, k, n, wrong;
    ngx_analytics_event_t   event;

    memset(&event, 0, sizeof(event));

    for (i = 0; i < EVENTS_FORMATS; i++) {
        wrong = 0;

        for (k = 0; k < count(names) * count(times); k++) {
            event_set(&event.user, names[k % count(names)]);
            event_set(&event.type, names[rnd(count(names))]);
            event_set(&event.id, rnd(4) ? names[rnd(count(names))] : "");
            event.time = times[k / count(names)];

            for (n = 0; n <= count(properties); n++) {
                event_set(&event.properties,
                    n == count(properties) ? "" : properties[n]);

                text_len = event_text(text, MAX, &formats[i], &event, k + 1);

                if (!oracle_right(&formats[i], &event)
                    || !again_right(&formats[i], &event))
                {
                    if (wrong++ == 0) {
                        diag("format %s: %s", formats[i].name.data, text);
                    }
                }
            }
        }

        is_u64(wrong, 0, "format %s: all events read as they were written",
               formats[i].name.data);
    }
}


/* As many bytes as there may be, of any characters that there may be. */
static void
random_name(ngx_str_t *str, u_char *buf)
{
    u_char    *p;
    uint32_t   c;
    size_t     len;

    len = 1 + rnd(255);

    for (p = buf; p == buf || (p < buf + len && p < buf + 252); /* void */ ) {

        c = (uint32_t) rnd(rnd(2) ? 0x80 : rnd(2) ? 0x3000 : 0x110000);

        if (c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0xd800 && c < 0xe000))
        {
            continue;
        }

        if (c < 0x80) {
            *p++ = (u_char) c;
            continue;
        }

        if (c < 0x800) {
            *p++ = (u_char) (0xc0 | c >> 6);

        } else {
            *p++ = (u_char) (c < 0x10000 ? 0xe0 | c >> 12 : 0xf0 | c >> 18);

            if (c >= 0x10000) {
                *p++ = (u_char) (0x80 | (c >> 12 & 0x3f));
            }

            *p++ = (u_char) (0x80 | (c >> 6 & 0x3f));
        }

        *p++ = (u_char) (0x80 | (c & 0x3f));
    }

    str->data = buf;
    str->len = p - buf;
    *p = '\0';
}


static void
check_random(void)
{
    u_char                   user[256], type[256], id[256];
    size_t                   i, wrong;
    ngx_analytics_event_t    event;
    ngx_analytics_format_t  *f;

    wrong = 0;
    memset(&event, 0, sizeof(event));

    for (i = 0; i < ROUNDS; i++) {
        f = &formats[i % EVENTS_FORMATS];

        random_name(&event.user, user);
        random_name(&event.type, type);
        random_name(&event.id, id);

        if (rnd(4) == 0) {
            event_set(&event.id, "");
        }

        if (f->integer && rnd(4)) {
            event.user.len = sprintf((char *) user, "%s%" PRIu64,
                                     rnd(2) ? "-" : "", 1 + rnd(1ull << 44));
        }

        event.time = (int64_t) rnd(1ull << 44) * 100 % EVENTS_NOW;
        event_set(&event.properties, properties[rnd(count(properties))]);

        text_len = event_text(text, MAX, f, &event, i + 1);

        if (!oracle_right(f, &event) || !again_right(f, &event)) {
            if (wrong++ == 0) {
                diag("format %s: %s", f->name.data, text);
            }
        }
    }

    is_u64(wrong, 0, "%u random events read as they were written", ROUNDS);
}


int
main(void)
{
    formats_init();

    check_all();
    check_random();

    return done_testing();
}
