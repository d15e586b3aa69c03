
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_hash.h"
#include "ngx_analytics_json.h"
#include "ngx_analytics_plan.h"
#include "ngx_analytics_point.h"
#include "ngx_analytics_sketch.h"


/* of a number: those before the point, of a billionth, and one to round by */
#define NGX_ANALYTICS_DIGITS       16
#define NGX_ANALYTICS_DIGITS_MAX   (NGX_ANALYTICS_DIGITS + 9 + 1)

/* exponents beyond it make no difference */
#define NGX_ANALYTICS_EXPONENT_MAX 100000

/* the longest number that is read as a double is */
#define NGX_ANALYTICS_DOUBLE_LEN   63

/* longer names of members are of no path */
#define NGX_ANALYTICS_KEY_LEN      1024


/* ngx_analytics_value_t.number: what is known of it */
#define NGX_ANALYTICS_VALUE_PARSED 0x01
#define NGX_ANALYTICS_VALUE_NUMBER 0x02    /* whole and nano are set */
#define NGX_ANALYTICS_VALUE_REAL   0x04    /* real and bin are */


/* A value that was looked up, and the number in it: many may ask for it. */
typedef struct {
    ngx_str_t                  raw;        /* without the quotes */
    uint8_t                    type;       /* ngx_analytics_json_type_e */
    uint8_t                    escaped;
    uint8_t                    number;
    uint16_t                   bin;
    uint32_t                   nano;
    int64_t                    whole;
    double                     real;
} ngx_analytics_value_t;


/* An event on its way to points. */
typedef struct {
    ngx_analytics_plans_t     *plans;
    ngx_analytics_plan_t      *plan;
    ngx_analytics_event_t     *event;
    ngx_uint_t                 left;       /* paths without a value yet */
    ngx_analytics_alloc_pt     alloc;
    void                      *ctx;
    const uint64_t            *key;
    ngx_analytics_value_t      values[NGX_ANALYTICS_PATHS_MAX];
} ngx_analytics_pointer_t;


static void ngx_analytics_point_lookup(ngx_analytics_pointer_t *pointer);
static ngx_int_t ngx_analytics_point_object(ngx_analytics_pointer_t *pointer,
    ngx_analytics_json_t *json, const uint8_t *paths, ngx_uint_t n,
    ngx_uint_t depth);
static ngx_int_t ngx_analytics_point_member(ngx_analytics_pointer_t *pointer,
    ngx_analytics_json_t *json, const uint8_t *paths, ngx_uint_t n,
    ngx_uint_t depth);
static ngx_int_t ngx_analytics_point_source(ngx_analytics_pointer_t *pointer,
    ngx_analytics_aim_t *aim, ngx_analytics_point_t *point);
static ngx_uint_t ngx_analytics_point_where(ngx_analytics_pointer_t *pointer,
    ngx_analytics_where_t *where);
static ngx_uint_t ngx_analytics_point_fulfils(
    ngx_analytics_pointer_t *pointer, ngx_analytics_condition_t *condition);
static ngx_analytics_value_t *ngx_analytics_point_value(
    ngx_analytics_pointer_t *pointer, ngx_uint_t path);
static ngx_int_t ngx_analytics_point_text(ngx_analytics_pointer_t *pointer,
    ngx_analytics_value_t *value, ngx_str_t *text);
static ngx_int_t ngx_analytics_point_group(ngx_analytics_pointer_t *pointer,
    ngx_analytics_terms_t *by, ngx_analytics_point_t *point);
static ngx_int_t ngx_analytics_point_field(ngx_analytics_pointer_t *pointer,
    ngx_analytics_aim_t *aim, ngx_analytics_point_t *point);
static ngx_int_t ngx_analytics_point_number(ngx_analytics_pointer_t *pointer,
    ngx_analytics_aim_t *aim, ngx_uint_t i, ngx_analytics_point_t *point);
static ngx_int_t ngx_analytics_point_parse(ngx_analytics_value_t *value);
static void ngx_analytics_point_real(ngx_analytics_aim_t *aim,
    ngx_analytics_value_t *value, ngx_analytics_point_t *point);
static double ngx_analytics_point_double(ngx_analytics_value_t *value,
    ngx_analytics_point_t *point);
static ngx_int_t ngx_analytics_point_distinct(
    ngx_analytics_pointer_t *pointer, ngx_analytics_value_t *value,
    ngx_analytics_point_t *point);
static size_t ngx_analytics_utf8_cut(ngx_str_t *text, size_t max);
static ngx_uint_t ngx_analytics_number_digits(const ngx_str_t *text,
    u_char *digits, int64_t *point);


ngx_int_t
ngx_analytics_points_make(ngx_analytics_rules_t *rules,
    ngx_analytics_event_t *event, const uint64_t key[2],
    ngx_analytics_alloc_pt alloc, void *ctx)
{
    ngx_int_t                 rc;
    ngx_uint_t                i;
    ngx_analytics_point_t    *point;
    ngx_analytics_pointer_t   pointer;

    event->rules = NULL;
    event->points = NULL;
    event->npoints = 0;

    pointer.plans = rules->plans;
    pointer.plan = ngx_analytics_plan_of(pointer.plans, &event->type);

    if (pointer.plan->nsources == 0) {
        event->rules = rules;
        return NGX_OK;
    }

    event->points = alloc(ctx, pointer.plan->nsources
                               * sizeof(ngx_analytics_point_t));
    if (event->points == NULL) {
        return NGX_ERROR;
    }

    pointer.event = event;
    pointer.alloc = alloc;
    pointer.ctx = ctx;
    pointer.key = key;

    ngx_analytics_point_lookup(&pointer);

    for (i = 0; i < pointer.plan->nsources; i++) {
        point = &event->points[event->npoints];

        ngx_memzero(point, sizeof(ngx_analytics_point_t));
        point->source = pointer.plan->sources[i];

        rc = ngx_analytics_point_source(&pointer,
                                        &pointer.plans->aims[point->source],
                                        point);
        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_OK) {
            event->npoints++;
        }
    }

    event->rules = rules;

    return NGX_OK;
}


/* The properties are an object: that was checked when they came in. */

static void
ngx_analytics_point_lookup(ngx_analytics_pointer_t *pointer)
{
    ngx_uint_t             i;
    ngx_analytics_json_t   json;
    ngx_analytics_plan_t  *plan;

    plan = pointer->plan;

    for (i = 0; i < plan->npaths; i++) {
        pointer->values[plan->paths[i]].type = NGX_ANALYTICS_JSON_END;
    }

    pointer->left = plan->npaths;

    if (plan->npaths == 0 || pointer->event->properties.len == 0) {
        return;
    }

    ngx_analytics_json_init(&json, pointer->event->properties.data,
                            pointer->event->properties.len);

    if (ngx_analytics_json_peek(&json) == NGX_ANALYTICS_JSON_OBJECT) {
        (void) ngx_analytics_point_object(pointer, &json, plan->paths,
                                          plan->npaths, 0);
    }
}


/* Paths that lead here. */

static ngx_int_t
ngx_analytics_point_object(ngx_analytics_pointer_t *pointer,
    ngx_analytics_json_t *json, const uint8_t *paths, ngx_uint_t n,
    ngx_uint_t depth)
{
    u_char      name[NGX_ANALYTICS_KEY_LEN];
    uint8_t     found[NGX_ANALYTICS_PATHS_MAX];
    ngx_int_t   rc;
    ngx_str_t   key, *wanted;
    ngx_uint_t  i, nfound, first, escaped;

    if (ngx_analytics_json_enter(json) != NGX_OK) {
        return NGX_ERROR;
    }

    for (first = 1; /* void */ ; first = 0) {

        rc = ngx_analytics_json_member(json, first, &key, &escaped);

        if (rc != NGX_OK) {
            return rc == NGX_DONE ? NGX_OK : NGX_ERROR;
        }

        if (escaped && key.len <= sizeof(name)) {
            key.len = ngx_analytics_json_unescape(name, &key);
            key.data = name;
        }

        nfound = 0;

        for (i = 0; i < n; i++) {
            wanted = &pointer->plans->paths[paths[i]].names[depth];

            if (wanted->len == key.len
                && ngx_memcmp(wanted->data, key.data, key.len) == 0
                && pointer->values[paths[i]].type == NGX_ANALYTICS_JSON_END)
            {
                found[nfound++] = paths[i];
            }
        }

        rc = nfound ? ngx_analytics_point_member(pointer, json, found, nfound,
                                                 depth)
                    : ngx_analytics_json_value(json, NULL);

        if (rc != NGX_OK || pointer->left == 0) {
            return NGX_ERROR;
        }
    }
}


static ngx_int_t
ngx_analytics_point_member(ngx_analytics_pointer_t *pointer,
    ngx_analytics_json_t *json, const uint8_t *paths, ngx_uint_t n,
    ngx_uint_t depth)
{
    uint8_t                 deeper[NGX_ANALYTICS_PATHS_MAX];
    ngx_int_t               rc;
    ngx_uint_t              i, ndeeper;
    ngx_uint_t              escaped;
    ngx_analytics_value_t   value;

    ngx_memzero(&value, sizeof(ngx_analytics_value_t));

    value.type = (uint8_t) ngx_analytics_json_peek(json);
    escaped = 0;

    if (value.type == NGX_ANALYTICS_JSON_OBJECT) {
        ndeeper = 0;

        for (i = 0; i < n; i++) {
            if (pointer->plans->paths[paths[i]].n > depth + 1) {
                deeper[ndeeper++] = paths[i];
            }
        }

        return ndeeper ? ngx_analytics_point_object(pointer, json, deeper,
                                                    ndeeper, depth + 1)
                       : ngx_analytics_json_value(json, NULL);
    }

    rc = (value.type == NGX_ANALYTICS_JSON_STRING)
         ? ngx_analytics_json_string(json, &value.raw, &escaped)
         : ngx_analytics_json_value(json, &value.raw);

    value.escaped = (uint8_t) escaped;

    for (i = 0; i < n && rc == NGX_OK; i++) {
        if (pointer->plans->paths[paths[i]].n == depth + 1) {
            pointer->values[paths[i]] = value;
            pointer->left--;
        }
    }

    return rc;
}


/* NGX_DECLINED: the event is not of the source. */

static ngx_int_t
ngx_analytics_point_source(ngx_analytics_pointer_t *pointer,
    ngx_analytics_aim_t *aim, ngx_analytics_point_t *point)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    for (i = 0; i < aim->nwhere; i++) {
        if (!ngx_analytics_point_where(pointer, &aim->where[i])) {
            return NGX_DECLINED;
        }
    }

    if (aim->field.n) {
        point->flags |= NGX_ANALYTICS_POINT_FIELD;
        rc = ngx_analytics_point_field(pointer, aim, point);

        if (rc != NGX_OK) {
            return rc;
        }

    } else if ((aim->classes & NGX_ANALYTICS_CLASS_UNIQUE)
               && pointer->event->user.len)
    {
        point->distinct = pointer->event->user_hash;
        point->flags |= NGX_ANALYTICS_POINT_UNIQUE;
    }

    return aim->by.n ? ngx_analytics_point_group(pointer, &aim->by, point)
                     : NGX_OK;
}


static ngx_uint_t
ngx_analytics_point_where(ngx_analytics_pointer_t *pointer,
    ngx_analytics_where_t *where)
{
    ngx_uint_t  i;

    for (i = 0; i < where->n; i++) {
        if (ngx_analytics_point_fulfils(pointer, &where->any[i])) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_analytics_point_fulfils(ngx_analytics_pointer_t *pointer,
    ngx_analytics_condition_t *condition)
{
    ngx_int_t               cmp;
    ngx_str_t               text;
    ngx_analytics_value_t  *value, type;

    if (pointer->plans->paths[condition->path].n == 0) {
        type.raw = pointer->event->type;
        type.type = NGX_ANALYTICS_JSON_STRING;
        type.escaped = 0;
        type.number = 0;
        value = &type;

    } else {
        value = ngx_analytics_point_value(pointer, condition->path);
    }

    if (value == NULL) {
        return 0;
    }

    if (condition->number && ngx_analytics_point_parse(value) == NGX_OK) {
        cmp = (value->whole > condition->whole)
              - (value->whole < condition->whole);

        if (cmp == 0) {
            cmp = (value->nano > condition->nano)
                  - (value->nano < condition->nano);
        }

        switch (condition->op) {
        case NGX_ANALYTICS_EQUAL:
            return cmp == 0;
        case NGX_ANALYTICS_NOT_EQUAL:
            return cmp != 0;
        case NGX_ANALYTICS_LESS:
            return cmp < 0;
        case NGX_ANALYTICS_LESS_EQUAL:
            return cmp <= 0;
        case NGX_ANALYTICS_GREATER:
            return cmp > 0;
        default: /* NGX_ANALYTICS_GREATER_EQUAL */
            return cmp >= 0;
        }
    }

    if (condition->op > NGX_ANALYTICS_NOT_EQUAL
        || ngx_analytics_point_text(pointer, value, &text) != NGX_OK)
    {
        return 0;
    }

    cmp = (text.len != condition->text.len
           || ngx_memcmp(text.data, condition->text.data, text.len) != 0);

    return (condition->op == NGX_ANALYTICS_EQUAL) ? cmp == 0 : cmp != 0;
}


/* A value that is there and is neither null nor a list or object, or NULL. */

static ngx_analytics_value_t *
ngx_analytics_point_value(ngx_analytics_pointer_t *pointer, ngx_uint_t path)
{
    ngx_analytics_value_t  *value;

    value = &pointer->values[path];

    switch (value->type) {

    case NGX_ANALYTICS_JSON_STRING:
    case NGX_ANALYTICS_JSON_NUMBER:
    case NGX_ANALYTICS_JSON_TRUE:
    case NGX_ANALYTICS_JSON_FALSE:
        return value;

    default:
        return NULL;
    }
}


static ngx_int_t
ngx_analytics_point_text(ngx_analytics_pointer_t *pointer,
    ngx_analytics_value_t *value, ngx_str_t *text)
{
    u_char  *p;

    *text = value->raw;

    if (!value->escaped) {
        return NGX_OK;
    }

    p = pointer->alloc(pointer->ctx, value->raw.len);

    if (p == NULL) {
        return NGX_ERROR;
    }

    text->len = ngx_analytics_json_unescape(p, &value->raw);
    text->data = p;

    /* the next one who asks need not do it again */

    value->raw = *text;
    value->escaped = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_point_group(ngx_analytics_pointer_t *pointer,
    ngx_analytics_terms_t *by, ngx_analytics_point_t *point)
{
    ngx_uint_t              i;
    ngx_analytics_value_t  *value;

    /* without a value it is the one without a name */

    ngx_str_set(&point->group, "");

    for (i = 0; i < by->n; i++) {

        if (pointer->plans->paths[by->path[i]].n == 0) {
            point->group = pointer->event->type;
            point->hash = pointer->event->type_hash;
            return NGX_OK;
        }

        value = ngx_analytics_point_value(pointer, by->path[i]);

        if (value) {
            if (ngx_analytics_point_text(pointer, value, &point->group)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            break;
        }
    }

    point->group.len = ngx_analytics_utf8_cut(&point->group,
                                              NGX_ANALYTICS_GROUP_MAX);

    point->hash = ngx_analytics_siphash(pointer->key, point->group.data,
                                        point->group.len);
    return NGX_OK;
}


/* NGX_DECLINED: there is no value. */

static ngx_int_t
ngx_analytics_point_field(ngx_analytics_pointer_t *pointer,
    ngx_analytics_aim_t *aim, ngx_analytics_point_t *point)
{
    ngx_uint_t              i, k;
    ngx_analytics_value_t  *value;

    for (i = 0; i < aim->field.n; i = k) {

        /* an alternative, and whether anything of it is there */

        value = ngx_analytics_point_value(pointer, aim->field.path[i]);

        for (k = i + 1; k < aim->field.n && aim->field.more[k]; k++) {
            if (value == NULL) {
                value = ngx_analytics_point_value(pointer,
                                                  aim->field.path[k]);
            }
        }

        if (value == NULL) {
            continue;
        }

        if (aim->classes & NGX_ANALYTICS_CLASS_UNIQUE) {
            if (ngx_analytics_point_distinct(pointer, value, point)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }

        if (ngx_analytics_point_number(pointer, aim, i, point) != NGX_OK) {
            point->flags |= NGX_ANALYTICS_POINT_SKIPPED;
        }

        return NGX_OK;
    }

    return NGX_DECLINED;
}


/* Adds an alternative's numbers up, of those that are there. */

static ngx_int_t
ngx_analytics_point_number(ngx_analytics_pointer_t *pointer,
    ngx_analytics_aim_t *aim, ngx_uint_t i, ngx_analytics_point_t *point)
{
    ngx_uint_t              n;
    ngx_analytics_value_t  *value, *last;

    n = 0;
    last = NULL;

    do {
        value = ngx_analytics_point_value(pointer, aim->field.path[i]);

        if (value == NULL) {
            continue;
        }

        if (ngx_analytics_point_parse(value) != NGX_OK) {
            return NGX_DECLINED;
        }

        point->whole += value->whole;
        point->nano += value->nano;

        if (point->nano >= NGX_ANALYTICS_NANO) {
            point->nano -= NGX_ANALYTICS_NANO;
            point->whole++;
        }

        last = value;
        n++;

    } while (++i < aim->field.n && aim->field.more[i]);

    point->flags |= NGX_ANALYTICS_POINT_NUMBER;

    if (aim->classes & (NGX_ANALYTICS_CLASS_MIN|NGX_ANALYTICS_CLASS_MAX
                        |NGX_ANALYTICS_CLASS_SKETCH))
    {
        ngx_analytics_point_real(aim, n == 1 ? last : NULL, point);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_point_parse(ngx_analytics_value_t *value)
{
    if (!(value->number & NGX_ANALYTICS_VALUE_PARSED)) {
        value->number |= NGX_ANALYTICS_VALUE_PARSED;

        if (value->type == NGX_ANALYTICS_JSON_NUMBER
            && ngx_analytics_number_parse(&value->raw, &value->whole,
                                          &value->nano) == NGX_OK)
        {
            value->number |= NGX_ANALYTICS_VALUE_NUMBER;
        }
    }

    return (value->number & NGX_ANALYTICS_VALUE_NUMBER) ? NGX_OK
                                                        : NGX_DECLINED;
}


/* As a double, with its bin: of one value, or else (NULL) of a sum. */

static void
ngx_analytics_point_real(ngx_analytics_aim_t *aim,
    ngx_analytics_value_t *value, ngx_analytics_point_t *point)
{
    ngx_uint_t  sketch;

    sketch = aim->classes & NGX_ANALYTICS_CLASS_SKETCH;

    if (value && (value->number & NGX_ANALYTICS_VALUE_REAL)) {
        point->value = value->real;
        point->bin = sketch ? value->bin : 0;
        return;
    }

    point->value = ngx_analytics_point_double(value, point);

    if (!sketch) {
        return;
    }

    point->bin = (uint16_t) ngx_analytics_sketch_bin(
                                point->value < 0 ? -point->value
                                                 : point->value);

    if (value) {
        value->real = point->value;
        value->bin = point->bin;
        value->number |= NGX_ANALYTICS_VALUE_REAL;
    }
}


static double
ngx_analytics_point_double(ngx_analytics_value_t *value,
    ngx_analytics_point_t *point)
{
    char  text[NGX_ANALYTICS_DOUBLE_LEN + 1];

    if (point->nano == 0) {
        return (double) point->whole;
    }

    if (value == NULL || value->raw.len > NGX_ANALYTICS_DOUBLE_LEN) {
        return (double) point->whole
               + (double) point->nano / NGX_ANALYTICS_NANO;
    }

    ngx_memcpy(text, value->raw.data, value->raw.len);
    text[value->raw.len] = '\0';

    return strtod(text, NULL);
}


static ngx_int_t
ngx_analytics_point_distinct(ngx_analytics_pointer_t *pointer,
    ngx_analytics_value_t *value, ngx_analytics_point_t *point)
{
    ngx_str_t  text;

    if (ngx_analytics_point_text(pointer, value, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    point->distinct = ngx_analytics_siphash(pointer->key, text.data,
                                            text.len);
    point->flags |= NGX_ANALYTICS_POINT_UNIQUE;

    return NGX_OK;
}


/* Not in the middle of a character. */

static size_t
ngx_analytics_utf8_cut(ngx_str_t *text, size_t max)
{
    if (text->len <= max) {
        return text->len;
    }

    while (max && (text->data[max] & 0xc0) == 0x80) {
        max--;
    }

    return max;
}


ngx_int_t
ngx_analytics_number_parse(const ngx_str_t *text, int64_t *whole,
    uint32_t *nano)
{
    u_char      digits[NGX_ANALYTICS_DIGITS_MAX];
    int64_t     point, w, i;
    uint64_t    fraction;
    ngx_uint_t  n;

    n = ngx_analytics_number_digits(text, digits, &point);

    if (n == NGX_ANALYTICS_DIGITS_MAX + 1
        || (n && point > NGX_ANALYTICS_DIGITS))
    {
        return NGX_DECLINED;
    }

    w = 0;
    fraction = 0;

    for (i = 0; i < point; i++) {
        w = w * 10 + (i < (int64_t) n ? digits[i] : 0);
    }

    for (i = point; i < point + 9; i++) {
        fraction = fraction * 10
                   + (i >= 0 && i < (int64_t) n ? digits[i] : 0);
    }

    if (i >= 0 && i < (int64_t) n && digits[i] >= 5) {
        fraction++;
    }

    if (fraction == NGX_ANALYTICS_NANO) {
        fraction = 0;
        w++;
    }

    if (w > NGX_ANALYTICS_NUMBER_MAX
        || (w == NGX_ANALYTICS_NUMBER_MAX && fraction))
    {
        return NGX_DECLINED;
    }

    if (text->data[0] == '-') {
        w = -w;

        if (fraction) {
            w--;
            fraction = NGX_ANALYTICS_NANO - fraction;
        }
    }

    *whole = w;
    *nano = (uint32_t) fraction;

    return NGX_OK;
}


/*
 * Takes a number apart: its digits from the first that is not 0 on, as many
 * as matter, and behind how many of them the point is.  Returns how many, or
 * more than there can be if it is no JSON number.
 */
static ngx_uint_t
ngx_analytics_number_digits(const ngx_str_t *text, u_char *digits,
    int64_t *point)
{
    u_char      *p, *last;
    int64_t      exponent;
    ngx_uint_t   n, seen, fraction, negative;

    p = text->data;
    last = p + text->len;

    if (p < last && *p == '-') {
        p++;
    }

    *point = 0;
    n = 0;
    seen = 0;
    fraction = 0;

    for ( /* void */ ; p < last; p++) {

        if (*p == '.' && !fraction && seen) {
            fraction = 1;
            continue;
        }

        if (*p < '0' || *p > '9') {
            break;
        }

        seen++;

        if (!fraction && (n || *p != '0')) {
            (*point)++;

        } else if (fraction && n == 0 && *p == '0') {
            (*point)--;
        }

        if ((n || *p != '0') && n < NGX_ANALYTICS_DIGITS_MAX) {
            digits[n++] = (u_char) (*p - '0');
        }
    }

    if (p < last && (*p == 'e' || *p == 'E') && seen) {
        p++;
        exponent = 0;
        negative = (p < last && *p == '-');

        if (p < last && (*p == '-' || *p == '+')) {
            p++;
        }

        if (p == last) {
            return NGX_ANALYTICS_DIGITS_MAX + 1;
        }

        for ( /* void */ ; p < last && *p >= '0' && *p <= '9'; p++) {
            exponent = exponent * 10 + (*p - '0');
            exponent = ngx_min(exponent, NGX_ANALYTICS_EXPONENT_MAX);
        }

        *point += negative ? -exponent : exponent;
    }

    if (p < last || seen == 0) {
        return NGX_ANALYTICS_DIGITS_MAX + 1;
    }

    return n;
}
