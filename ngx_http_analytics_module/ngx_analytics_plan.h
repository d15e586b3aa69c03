
/*
 * What is made of rules for each type of events: which sources its events
 * belong to, and what is looked up in their properties for that.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_PLAN_H_INCLUDED_
#define _NGX_ANALYTICS_PLAN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_json.h"
#include "ngx_analytics_rules.h"


#define NGX_ANALYTICS_PATH_DEPTH   8       /* names of one path */
#define NGX_ANALYTICS_TERMS_MAX    8       /* of one expression */


/* "a.b.c", or the event's type if there is no name */
typedef struct {
    ngx_str_t                names[NGX_ANALYTICS_PATH_DEPTH];
    ngx_uint_t               n;
} ngx_analytics_path_t;


/* Paths, by their numbers: alternatives, of which each may be a sum. */
typedef struct {
    uint8_t                  path[NGX_ANALYTICS_TERMS_MAX];
    uint8_t                  more[NGX_ANALYTICS_TERMS_MAX];  /* to be added */
    ngx_uint_t               n;
} ngx_analytics_terms_t;


typedef enum {
    NGX_ANALYTICS_EQUAL = 0,
    NGX_ANALYTICS_NOT_EQUAL,
    NGX_ANALYTICS_LESS,
    NGX_ANALYTICS_LESS_EQUAL,
    NGX_ANALYTICS_GREATER,
    NGX_ANALYTICS_GREATER_EQUAL
} ngx_analytics_operator_e;


typedef struct {
    uint8_t                  path;
    uint8_t                  op;           /* ngx_analytics_operator_e */
    unsigned                 number:1;     /* the operand is one, too */
    ngx_str_t                text;
    int64_t                  whole;
    uint32_t                 nano;
} ngx_analytics_condition_t;


/* Alternatives. */
typedef struct {
    ngx_analytics_condition_t  any[NGX_ANALYTICS_TERMS_MAX];
    ngx_uint_t               n;
} ngx_analytics_where_t;


/* A source, as it is used. */
typedef struct {
    ngx_uint_t               classes;
    ngx_analytics_terms_t    field;        /* n 0: none */
    ngx_analytics_terms_t    by;
    ngx_analytics_where_t   *where;        /* all of them */
    ngx_uint_t               nwhere;
} ngx_analytics_aim_t;


typedef struct {
    ngx_str_t                type;         /* empty: any other */
    uint8_t                 *sources;
    ngx_uint_t               nsources;
    uint8_t                 *paths;        /* to be looked up */
    ngx_uint_t               npaths;
} ngx_analytics_plan_t;


typedef struct ngx_analytics_plans_s {
    ngx_analytics_path_t     paths[NGX_ANALYTICS_PATHS_MAX];
    ngx_uint_t               npaths;
    ngx_analytics_aim_t     *aims;         /* of each source */
    ngx_analytics_plan_t    *plans;        /* the first is that of any other */
    ngx_uint_t               nplans;
} ngx_analytics_plans_t;


/* The plan of a type. */
static ngx_inline ngx_analytics_plan_t *
ngx_analytics_plan_of(ngx_analytics_plans_t *plans, ngx_str_t *type)
{
    ngx_uint_t             i;
    ngx_analytics_plan_t  *plan;

    for (i = 1; i < plans->nplans; i++) {
        plan = &plans->plans[i];

        if (plan->type.len == type->len
            && ngx_memcmp(plan->type.data, type->data, type->len) == 0)
        {
            return plan;
        }
    }

    return plans->plans;
}


#endif /* _NGX_ANALYTICS_PLAN_H_INCLUDED_ */
