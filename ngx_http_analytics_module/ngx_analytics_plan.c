
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_plan.h"
#include "ngx_analytics_point.h"


/* where plans are made, and why they cannot be */
typedef struct {
    ngx_analytics_rules_t   *rules;
    ngx_analytics_plans_t   *plans;
    ngx_analytics_alloc_pt   alloc;
    void                    *ctx;
    const char              *why;
} ngx_analytics_planner_t;


static ngx_int_t ngx_analytics_plan_aim(ngx_analytics_planner_t *planner,
    ngx_analytics_source_t *source, ngx_analytics_aim_t *aim);
static ngx_int_t ngx_analytics_plan_terms(ngx_analytics_planner_t *planner,
    ngx_str_t *text, ngx_uint_t sums, ngx_analytics_terms_t *terms);
static ngx_int_t ngx_analytics_plan_where(ngx_analytics_planner_t *planner,
    ngx_str_t *text, ngx_analytics_where_t *where);
static ngx_int_t ngx_analytics_plan_condition(
    ngx_analytics_planner_t *planner, ngx_str_t *text,
    ngx_analytics_condition_t *condition);
static ngx_int_t ngx_analytics_plan_path(ngx_analytics_planner_t *planner,
    ngx_str_t *text, uint8_t *number);
static ngx_int_t ngx_analytics_plan_types(ngx_analytics_planner_t *planner);
static ngx_int_t ngx_analytics_plan_fill(ngx_analytics_planner_t *planner,
    ngx_analytics_plan_t *plan);
static ngx_uint_t ngx_analytics_plan_has(ngx_analytics_source_t *source,
    ngx_str_t *type);
static void ngx_analytics_plan_needs(ngx_analytics_aim_t *aim,
    u_char *needed);
static ngx_uint_t ngx_analytics_plan_words(ngx_analytics_rules_t *rules);
static void ngx_analytics_plan_split(ngx_str_t *rest, u_char c,
    ngx_str_t *part);


ngx_int_t
ngx_analytics_plans_make(ngx_analytics_rules_t *rules,
    ngx_analytics_alloc_pt alloc, void *ctx, const char **why)
{
    ngx_int_t                 rc;
    ngx_uint_t                i;
    ngx_analytics_plans_t    *plans;
    ngx_analytics_planner_t   planner;

    plans = alloc(ctx, sizeof(ngx_analytics_plans_t));

    if (plans == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(plans, sizeof(ngx_analytics_plans_t));

    plans->aims = alloc(ctx, (rules->n + 1) * sizeof(ngx_analytics_aim_t));

    if (plans->aims == NULL) {
        return NGX_ERROR;
    }

    planner.rules = rules;
    planner.plans = plans;
    planner.alloc = alloc;
    planner.ctx = ctx;
    planner.why = NULL;

    rc = NGX_OK;

    for (i = 0; i < rules->n && rc == NGX_OK; i++) {
        rc = ngx_analytics_plan_aim(&planner, &rules->sources[i],
                                    &plans->aims[i]);
    }

    if (rc == NGX_OK) {
        rc = ngx_analytics_plan_types(&planner);
    }

    rules->plans = plans;
    rules->words = ngx_analytics_plan_words(rules);

    if (rc == NGX_OK && rules->words > NGX_ANALYTICS_RULES_WORDS) {
        planner.why = "there are too many metrics";
        rc = NGX_DECLINED;
    }

    if (rc == NGX_DECLINED) {
        *why = planner.why;
    }

    return rc;
}


static ngx_int_t
ngx_analytics_plan_aim(ngx_analytics_planner_t *planner,
    ngx_analytics_source_t *source, ngx_analytics_aim_t *aim)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    ngx_memzero(aim, sizeof(ngx_analytics_aim_t));

    aim->classes = source->classes;

    rc = NGX_OK;

    if (source->field.len) {
        rc = ngx_analytics_plan_terms(planner, &source->field, 1,
                                      &aim->field);
    }

    if (rc == NGX_OK && source->by.len) {
        rc = ngx_analytics_plan_terms(planner, &source->by, 0, &aim->by);
    }

    if (rc == NGX_OK && source->field.len == 0
        && (source->classes & NGX_ANALYTICS_CLASS_NUMBER))
    {
        planner->why = "there is no field to take a number from";
        rc = NGX_DECLINED;
    }

    if (rc != NGX_OK || source->nwhere == 0) {
        return rc;
    }

    aim->where = planner->alloc(planner->ctx, source->nwhere
                                              * sizeof(ngx_analytics_where_t));
    if (aim->where == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < source->nwhere && rc == NGX_OK; i++) {
        rc = ngx_analytics_plan_where(planner, &source->where[i],
                                      &aim->where[i]);
    }

    aim->nwhere = source->nwhere;

    return rc;
}


/* PATH[+PATH][|PATH...] */

static ngx_int_t
ngx_analytics_plan_terms(ngx_analytics_planner_t *planner, ngx_str_t *text,
    ngx_uint_t sums, ngx_analytics_terms_t *terms)
{
    ngx_int_t   rc;
    ngx_str_t   rest, part, one;
    ngx_uint_t  first;

    rest = *text;
    terms->n = 0;

    do {
        ngx_analytics_plan_split(&rest, '|', &part);

        first = 1;

        do {
            if (sums) {
                ngx_analytics_plan_split(&part, '+', &one);

            } else {
                one = part;
                ngx_str_null(&part);
            }

            if (terms->n == NGX_ANALYTICS_TERMS_MAX) {
                planner->why = "there are too many paths in one expression";
                return NGX_DECLINED;
            }

            rc = ngx_analytics_plan_path(planner, &one,
                                         &terms->path[terms->n]);
            if (rc != NGX_OK) {
                return rc;
            }

            terms->more[terms->n++] = !first;
            first = 0;

        } while (part.data);

    } while (rest.data);

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_plan_where(ngx_analytics_planner_t *planner, ngx_str_t *text,
    ngx_analytics_where_t *where)
{
    ngx_int_t  rc;
    ngx_str_t  rest, part;

    rest = *text;
    where->n = 0;

    do {
        ngx_analytics_plan_split(&rest, '|', &part);

        if (where->n == NGX_ANALYTICS_TERMS_MAX) {
            planner->why = "there are too many alternatives in a condition";
            return NGX_DECLINED;
        }

        rc = ngx_analytics_plan_condition(planner, &part,
                                          &where->any[where->n]);
        if (rc != NGX_OK) {
            return rc;
        }

        where->n++;

    } while (rest.data);

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_plan_condition(ngx_analytics_planner_t *planner,
    ngx_str_t *text, ngx_analytics_condition_t *condition)
{
    u_char     *p, *last;
    ngx_str_t   path;

    last = text->data + text->len;

    for (p = text->data; p < last; p++) {
        if (*p == '=' || *p == '!' || *p == '<' || *p == '>') {
            break;
        }
    }

    path.data = text->data;
    path.len = p - text->data;

    if (p == last || (*p == '!' && (last - p < 2 || p[1] != '='))) {
        planner->why = "a condition has none of = != > >= < <=";
        return NGX_DECLINED;
    }

    switch (*p++) {

    case '=':
        condition->op = NGX_ANALYTICS_EQUAL;
        break;

    case '!':
        condition->op = NGX_ANALYTICS_NOT_EQUAL;
        p++;
        break;

    case '<':
        condition->op = NGX_ANALYTICS_LESS;

        if (p < last && *p == '=') {
            condition->op = NGX_ANALYTICS_LESS_EQUAL;
            p++;
        }

        break;

    default: /* '>' */
        condition->op = NGX_ANALYTICS_GREATER;

        if (p < last && *p == '=') {
            condition->op = NGX_ANALYTICS_GREATER_EQUAL;
            p++;
        }
    }

    condition->text.data = p;
    condition->text.len = last - p;

    condition->number = (ngx_analytics_number_parse(&condition->text,
                                                    &condition->whole,
                                                    &condition->nano)
                         == NGX_OK);

    if (!condition->number && condition->op > NGX_ANALYTICS_NOT_EQUAL) {
        planner->why = "only numbers are less or greater";
        return NGX_DECLINED;
    }

    return ngx_analytics_plan_path(planner, &path, &condition->path);
}


/* The number of a path, which is a new one or there already. */

static ngx_int_t
ngx_analytics_plan_path(ngx_analytics_planner_t *planner, ngx_str_t *text,
    uint8_t *number)
{
    ngx_str_t               rest, name;
    ngx_uint_t              i, k;
    ngx_analytics_path_t   *path, *other;
    ngx_analytics_plans_t  *plans;

    plans = planner->plans;

    if (plans->npaths == NGX_ANALYTICS_PATHS_MAX) {
        planner->why = "there are too many paths";
        return NGX_DECLINED;
    }

    path = &plans->paths[plans->npaths];
    path->n = 0;

    rest = *text;

    if (rest.len == 5 && ngx_strncmp(rest.data, ":type", 5) == 0) {
        ngx_str_null(&rest);

    } else if (rest.len == 0) {
        planner->why = "a path is empty";
        return NGX_DECLINED;
    }

    while (rest.data) {
        ngx_analytics_plan_split(&rest, '.', &name);

        if (name.len == 0 || path->n == NGX_ANALYTICS_PATH_DEPTH) {
            planner->why = name.len ? "a path is too deep"
                                    : "a name in a path is empty";
            return NGX_DECLINED;
        }

        path->names[path->n++] = name;
    }

    for (i = 0; i < plans->npaths; i++) {
        other = &plans->paths[i];

        for (k = 0; k < path->n && other->n == path->n; k++) {
            if (path->names[k].len != other->names[k].len
                || ngx_memcmp(path->names[k].data, other->names[k].data,
                              path->names[k].len)
                   != 0)
            {
                break;
            }
        }

        if (k == path->n && other->n == path->n) {
            *number = (uint8_t) i;
            return NGX_OK;
        }
    }

    *number = (uint8_t) plans->npaths++;

    return NGX_OK;
}


/* A plan for each type that a source names, and one for all others. */

static ngx_int_t
ngx_analytics_plan_types(ngx_analytics_planner_t *planner)
{
    ngx_uint_t               i, k, n;
    ngx_analytics_plan_t    *plan;
    ngx_analytics_rules_t   *rules;
    ngx_analytics_plans_t   *plans;
    ngx_analytics_source_t  *source;

    rules = planner->rules;
    plans = planner->plans;

    n = 1;

    for (i = 0; i < rules->n; i++) {
        n += rules->sources[i].ntypes;
    }

    plans->plans = planner->alloc(planner->ctx,
                                  n * sizeof(ngx_analytics_plan_t));
    if (plans->plans == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(plans->plans, n * sizeof(ngx_analytics_plan_t));
    plans->nplans = 1;

    for (i = 0; i < rules->n; i++) {
        source = &rules->sources[i];

        for (k = 0; k < source->ntypes; k++) {

            if (source->types[k].len == 0
                || source->types[k].len > NGX_ANALYTICS_NAME_MAX)
            {
                planner->why = "a type is empty or too long";
                return NGX_DECLINED;
            }

            plan = ngx_analytics_plan_of(plans, &source->types[k]);

            if (plan == plans->plans) {
                plans->plans[plans->nplans++].type = source->types[k];
            }
        }
    }

    for (i = 0; i < plans->nplans; i++) {
        if (ngx_analytics_plan_fill(planner, &plans->plans[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_plan_fill(ngx_analytics_planner_t *planner,
    ngx_analytics_plan_t *plan)
{
    u_char                  needed[NGX_ANALYTICS_PATHS_MAX];
    ngx_uint_t              i;
    ngx_analytics_rules_t  *rules;

    rules = planner->rules;

    plan->sources = planner->alloc(planner->ctx, NGX_ANALYTICS_SOURCES_MAX);
    plan->paths = planner->alloc(planner->ctx, NGX_ANALYTICS_PATHS_MAX);

    if (plan->sources == NULL || plan->paths == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(needed, sizeof(needed));

    for (i = 0; i < rules->n; i++) {
        if (ngx_analytics_plan_has(&rules->sources[i], &plan->type)) {
            plan->sources[plan->nsources++] = (uint8_t) i;

            ngx_analytics_plan_needs(&planner->plans->aims[i], needed);
        }
    }

    for (i = 0; i < planner->plans->npaths; i++) {
        if (needed[i] && planner->plans->paths[i].n) {
            plan->paths[plan->npaths++] = (uint8_t) i;
        }
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_analytics_plan_has(ngx_analytics_source_t *source, ngx_str_t *type)
{
    ngx_uint_t  i;

    for (i = 0; i < source->ntypes; i++) {
        if (source->types[i].len == type->len
            && ngx_memcmp(source->types[i].data, type->data, type->len) == 0)
        {
            return 1;
        }
    }

    return source->ntypes == 0;
}


static void
ngx_analytics_plan_needs(ngx_analytics_aim_t *aim, u_char *needed)
{
    ngx_uint_t  i, k;

    for (i = 0; i < aim->field.n; i++) {
        needed[aim->field.path[i]] = 1;
    }

    for (i = 0; i < aim->by.n; i++) {
        needed[aim->by.path[i]] = 1;
    }

    for (i = 0; i < aim->nwhere; i++) {
        for (k = 0; k < aim->where[i].n; k++) {
            needed[aim->where[i].any[k].path] = 1;
        }
    }
}


/* How many words the points of one event change at most. */

static ngx_uint_t
ngx_analytics_plan_words(ngx_analytics_rules_t *rules)
{
    ngx_uint_t  i, classes, series, words;

    words = 0;

    for (i = 0; i < rules->n; i++) {
        classes = rules->sources[i].classes;
        series = rules->sources[i].by.len ? 2 : 1;

        words += ngx_analytics_rules_words(classes, series);

        if (classes & NGX_ANALYTICS_CLASS_SKETCH) {
            words += 3 * series;
        }

        if (classes & NGX_ANALYTICS_CLASS_UNIQUE) {
            words += series;
        }
    }

    return words;
}


/* Takes what is before c off the rest, whose data is NULL behind the last. */

static void
ngx_analytics_plan_split(ngx_str_t *rest, u_char c, ngx_str_t *part)
{
    u_char  *p, *last;

    last = rest->data + rest->len;

    for (p = rest->data; p < last && *p != c; p++) { /* void */ }

    part->data = rest->data;
    part->len = p - rest->data;

    if (p == last) {
        ngx_str_null(rest);
        return;
    }

    rest->data = p + 1;
    rest->len = last - p - 1;
}
