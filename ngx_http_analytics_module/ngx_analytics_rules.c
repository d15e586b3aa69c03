
/*
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_hash.h"
#include "ngx_analytics_plan.h"
#include "ngx_analytics_point.h"
#include "ngx_analytics_rules.h"
#include "ngx_analytics_time.h"

#include <cjson/cJSON.h>
#include <pthread.h>


#define NGX_ANALYTICS_RULES_BLOCK  16384

/* nobody keeps hours, or is silent, for longer */
#define NGX_ANALYTICS_RULES_TIME   ((double) 1000 * 366 * 86400)


/* memory of rules, all freed at once */
typedef struct ngx_analytics_rules_block_s  ngx_analytics_rules_block_t;

struct ngx_analytics_rules_block_s {
    ngx_analytics_rules_block_t  *next;
    size_t                        used;
    size_t                        size;
};


/* rules that are shared by the threads of this process */
typedef struct ngx_analytics_rules_known_s  ngx_analytics_rules_known_t;

struct ngx_analytics_rules_known_s {
    uint64_t                      signature;
    ngx_analytics_rules_t        *rules;
    ngx_analytics_rules_known_t  *next;
};


static cJSON *ngx_analytics_rules_json(ngx_analytics_rules_t *rules);
static cJSON *ngx_analytics_rules_timezone_json(ngx_analytics_timezone_t *tz);
static cJSON *ngx_analytics_source_json(ngx_analytics_source_t *source);
static ngx_int_t ngx_analytics_json_text_add(cJSON *json, const char *name,
    ngx_str_t *text);
static ngx_int_t ngx_analytics_json_texts_add(cJSON *json, const char *name,
    ngx_str_t *texts, ngx_uint_t n);
static void *ngx_analytics_rules_alloc(void *ctx, size_t size);
static ngx_int_t ngx_analytics_rules_fill(ngx_analytics_rules_t *rules,
    const cJSON *json);
static ngx_int_t ngx_analytics_rules_timezone(ngx_analytics_rules_t *rules,
    const cJSON *json);
static ngx_int_t ngx_analytics_rules_fill_source(ngx_analytics_rules_t *rules,
    ngx_analytics_source_t *source, const cJSON *json);
static ngx_int_t ngx_analytics_rules_number(const cJSON *json,
    const char *name, double max, double *value);
static ngx_int_t ngx_analytics_rules_text(ngx_analytics_rules_t *rules,
    const cJSON *json, ngx_str_t *text);
static ngx_int_t ngx_analytics_rules_texts(ngx_analytics_rules_t *rules,
    const cJSON *json, ngx_str_t **texts, ngx_uint_t *n);
static uint64_t ngx_analytics_source_signature(
    ngx_analytics_source_t *source);


static const uint64_t  ngx_analytics_rules_key[2] = {
    0x616e616c79746963ULL, 0x73756f7572636573ULL
};

static ngx_analytics_plan_t   ngx_analytics_plan_none;

static ngx_analytics_plans_t  ngx_analytics_plans_none = {
    .plans = &ngx_analytics_plan_none,
    .nplans = 1
};

ngx_analytics_rules_t  ngx_analytics_rules_default = {
    .session = NGX_ANALYTICS_SESSION_DEFAULT * NGX_ANALYTICS_SECOND,
    .timezone = {
        .name = ngx_string("UTC"),
        .offsets = &ngx_analytics_utc_offset,
        .n = 1
    },
    .plans = &ngx_analytics_plans_none
};

static ngx_analytics_rules_known_t  *ngx_analytics_rules_list;
static pthread_mutex_t  ngx_analytics_rules_mutex = PTHREAD_MUTEX_INITIALIZER;


char *
ngx_analytics_rules_print(ngx_analytics_rules_t *rules)
{
    char   *text;
    cJSON  *json;

    json = ngx_analytics_rules_json(rules);

    if (json == NULL) {
        return NULL;
    }

    text = cJSON_PrintUnformatted(json);

    cJSON_Delete(json);

    return text;
}


static cJSON *
ngx_analytics_rules_json(ngx_analytics_rules_t *rules)
{
    cJSON       *json, *list, *item;
    int64_t      totals, session;
    ngx_uint_t   i;

    json = cJSON_CreateObject();

    if (json == NULL) {
        return NULL;
    }

    totals = rules->totals / NGX_ANALYTICS_SECOND;
    session = rules->session / NGX_ANALYTICS_SECOND;

    if (cJSON_AddNumberToObject(json, "totals", (double) totals) == NULL
        || cJSON_AddNumberToObject(json, "session", (double) session) == NULL)
    {
        goto failed;
    }

    item = ngx_analytics_rules_timezone_json(&rules->timezone);

    if (item == NULL || !cJSON_AddItemToObject(json, "timezone", item)) {
        cJSON_Delete(item);
        goto failed;
    }

    list = cJSON_AddArrayToObject(json, "sources");

    if (list == NULL) {
        goto failed;
    }

    for (i = 0; i < rules->n; i++) {
        item = ngx_analytics_source_json(&rules->sources[i]);

        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            goto failed;
        }
    }

    return json;

failed:

    cJSON_Delete(json);

    return NULL;
}


static cJSON *
ngx_analytics_rules_timezone_json(ngx_analytics_timezone_t *tz)
{
    cJSON       *json, *list, *pair;
    double       numbers[2];
    ngx_uint_t   i;

    json = cJSON_CreateObject();

    if (json == NULL
        || ngx_analytics_json_text_add(json, "name", &tz->name) != NGX_OK)
    {
        cJSON_Delete(json);
        return NULL;
    }

    list = cJSON_AddArrayToObject(json, "offsets");

    for (i = 0; list && i < tz->n; i++) {
        numbers[0] = (double) tz->offsets[i].at;
        numbers[1] = tz->offsets[i].offset;

        pair = cJSON_CreateDoubleArray(numbers, 2);

        if (pair == NULL || !cJSON_AddItemToArray(list, pair)) {
            cJSON_Delete(pair);
            list = NULL;
        }
    }

    if (list == NULL) {
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}


static cJSON *
ngx_analytics_source_json(ngx_analytics_source_t *source)
{
    cJSON  *json;

    json = cJSON_CreateObject();

    if (json == NULL) {
        return NULL;
    }

    if ((source->classes
         && cJSON_AddNumberToObject(json, "classes",
                                    (double) source->classes)
            == NULL)
        || ngx_analytics_json_texts_add(json, "types", source->types,
                                        source->ntypes)
           != NGX_OK
        || ngx_analytics_json_text_add(json, "field", &source->field)
           != NGX_OK
        || ngx_analytics_json_text_add(json, "by", &source->by) != NGX_OK
        || ngx_analytics_json_texts_add(json, "where", source->where,
                                        source->nwhere)
           != NGX_OK
        || (source->by.len
            && cJSON_AddNumberToObject(json, "groups",
                                       (double) source->groups)
               == NULL))
    {
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}


/* Nothing is added for nothing. */

static ngx_int_t
ngx_analytics_json_text_add(cJSON *json, const char *name, ngx_str_t *text)
{
    char   *copy;
    cJSON  *added;

    if (text->len == 0) {
        return NGX_OK;
    }

    copy = strndup((char *) text->data, text->len);

    if (copy == NULL) {
        return NGX_ERROR;
    }

    added = cJSON_AddStringToObject(json, name, copy);

    free(copy);

    return added ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_analytics_json_texts_add(cJSON *json, const char *name, ngx_str_t *texts,
    ngx_uint_t n)
{
    char        *copy;
    cJSON       *list, *item;
    ngx_uint_t   i;

    if (n == 0) {
        return NGX_OK;
    }

    list = cJSON_AddArrayToObject(json, name);

    if (list == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        copy = strndup((char *) texts[i].data, texts[i].len);
        item = copy ? cJSON_CreateString(copy) : NULL;

        free(copy);

        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_analytics_rules_t *
ngx_analytics_rules_read(const char *text, size_t len, const char **why)
{
    cJSON                  *json;
    ngx_int_t               rc;
    const char             *reason;
    ngx_analytics_rules_t  *rules;

    reason = "it is no JSON";

    rules = calloc(1, sizeof(ngx_analytics_rules_t));

    if (rules == NULL) {
        return NULL;
    }

    json = cJSON_ParseWithLength(text, len);

    rc = NGX_DECLINED;

    if (json) {
        reason = "a member is missing or malformed";
        rc = ngx_analytics_rules_fill(rules, json);
        cJSON_Delete(json);
    }

    if (rc == NGX_OK) {
        rules->signature = ngx_analytics_rules_signature(text, len);

        rc = ngx_analytics_plans_make(rules, ngx_analytics_rules_alloc, rules,
                                      &reason);
    }

    if (rc == NGX_OK) {
        return rules;
    }

    if (rc == NGX_DECLINED && why) {
        *why = reason;
    }

    ngx_analytics_rules_free(rules);

    return NULL;
}


void
ngx_analytics_rules_free(ngx_analytics_rules_t *rules)
{
    ngx_analytics_rules_block_t  *block, *next;

    for (block = rules->memory; block; block = next) {
        next = block->next;
        free(block);
    }

    free(rules);
}


static void *
ngx_analytics_rules_alloc(void *ctx, size_t size)
{
    ngx_analytics_rules_t *rules = ctx;

    u_char                       *p;
    ngx_analytics_rules_block_t  *block;

    size = ngx_align(size, sizeof(uint64_t));
    block = rules->memory;

    if (block == NULL || block->size - block->used < size) {
        block = malloc(sizeof(ngx_analytics_rules_block_t)
                       + ngx_max(size, NGX_ANALYTICS_RULES_BLOCK));

        if (block == NULL) {
            return NULL;
        }

        block->next = rules->memory;
        block->used = 0;
        block->size = ngx_max(size, NGX_ANALYTICS_RULES_BLOCK);

        rules->memory = block;
    }

    p = (u_char *) (block + 1) + block->used;
    block->used += size;

    return p;
}


static ngx_int_t
ngx_analytics_rules_fill(ngx_analytics_rules_t *rules, const cJSON *json)
{
    int           n;
    double        totals, session;
    ngx_int_t     rc;
    const cJSON  *list, *item;

    totals = 0;
    session = NGX_ANALYTICS_SESSION_DEFAULT;

    if (ngx_analytics_rules_number(json, "totals", NGX_ANALYTICS_RULES_TIME,
                                   &totals)
        != NGX_OK
        || ngx_analytics_rules_number(json, "session",
                                      NGX_ANALYTICS_RULES_TIME, &session)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    rules->totals = (int64_t) totals * NGX_ANALYTICS_SECOND;
    rules->session = (int64_t) session * NGX_ANALYTICS_SECOND;

    rc = ngx_analytics_rules_timezone(rules,
                             cJSON_GetObjectItemCaseSensitive(json,
                                                              "timezone"));
    if (rc != NGX_OK) {
        return rc;
    }

    list = cJSON_GetObjectItemCaseSensitive(json, "sources");
    n = cJSON_GetArraySize(list);

    if (n > NGX_ANALYTICS_SOURCES_MAX) {
        return NGX_DECLINED;
    }

    if (n == 0) {
        return NGX_OK;
    }

    rules->sources = ngx_analytics_rules_alloc(rules,
                                  (size_t) n
                                  * sizeof(ngx_analytics_source_t));
    if (rules->sources == NULL) {
        return NGX_ERROR;
    }

    cJSON_ArrayForEach(item, list) {
        rc = ngx_analytics_rules_fill_source(rules,
                                             &rules->sources[rules->n], item);
        if (rc != NGX_OK) {
            return rc;
        }

        if (ngx_analytics_rules_source(rules,
                                     rules->sources[rules->n].signature)
            != NGX_ERROR)
        {
            return NGX_DECLINED;
        }

        rules->n++;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_rules_timezone(ngx_analytics_rules_t *rules, const cJSON *json)
{
    int                        n;
    ngx_int_t                  rc;
    const cJSON               *list, *pair, *at, *offset;
    ngx_analytics_offset_t    *o;
    ngx_analytics_timezone_t  *tz;

    tz = &rules->timezone;

    if (json == NULL) {
        *tz = ngx_analytics_utc;
        return NGX_OK;
    }

    rc = ngx_analytics_rules_text(rules,
                           cJSON_GetObjectItemCaseSensitive(json, "name"),
                           &tz->name);
    if (rc != NGX_OK) {
        return rc;
    }

    list = cJSON_GetObjectItemCaseSensitive(json, "offsets");
    n = cJSON_GetArraySize(list);

    if (tz->name.len == 0 || n < 1 || n > NGX_ANALYTICS_OFFSETS_MAX) {
        return NGX_DECLINED;
    }

    tz->offsets = ngx_analytics_rules_alloc(rules, (size_t) n
                                           * sizeof(ngx_analytics_offset_t));
    if (tz->offsets == NULL) {
        return NGX_ERROR;
    }

    cJSON_ArrayForEach(pair, list) {
        at = cJSON_GetArrayItem(pair, 0);
        offset = cJSON_GetArrayItem(pair, 1);

        if (!cJSON_IsNumber(at) || !cJSON_IsNumber(offset)
            || !(at->valuedouble >= 0 && at->valuedouble < 1e11)
            || !(offset->valuedouble > -1e6 && offset->valuedouble < 1e6))
        {
            return NGX_DECLINED;
        }

        o = &tz->offsets[tz->n++];

        o->at = (int64_t) at->valuedouble;
        o->offset = (int32_t) offset->valuedouble;
    }

    return ngx_analytics_timezone_init(tz) == NGX_OK ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_analytics_rules_fill_source(ngx_analytics_rules_t *rules,
    ngx_analytics_source_t *source, const cJSON *json)
{
    double     classes, groups;
    ngx_int_t  rc;

    ngx_memzero(source, sizeof(ngx_analytics_source_t));

    if (!cJSON_IsObject(json)) {
        return NGX_DECLINED;
    }

    classes = 0;
    groups = NGX_ANALYTICS_GROUPS_DEFAULT;

    if (ngx_analytics_rules_number(json, "classes",
                                   (1 << NGX_ANALYTICS_CLASSES) - 1,
                                   &classes)
        != NGX_OK
        || ngx_analytics_rules_number(json, "groups",
                                      NGX_ANALYTICS_GROUPS_MAX, &groups)
           != NGX_OK
        || classes < 1 || groups < 1)
    {
        return NGX_DECLINED;
    }

    source->classes = (ngx_uint_t) classes;

    rc = ngx_analytics_rules_texts(rules,
                          cJSON_GetObjectItemCaseSensitive(json, "types"),
                          &source->types, &source->ntypes);

    if (rc == NGX_OK) {
        rc = ngx_analytics_rules_texts(rules,
                          cJSON_GetObjectItemCaseSensitive(json, "where"),
                          &source->where, &source->nwhere);
    }

    if (rc == NGX_OK) {
        rc = ngx_analytics_rules_text(rules,
                          cJSON_GetObjectItemCaseSensitive(json, "field"),
                          &source->field);
    }

    if (rc == NGX_OK) {
        rc = ngx_analytics_rules_text(rules,
                          cJSON_GetObjectItemCaseSensitive(json, "by"),
                          &source->by);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    source->groups = source->by.len ? (ngx_uint_t) groups : 0;
    source->signature = ngx_analytics_source_signature(source);

    return source->signature ? NGX_OK : NGX_ERROR;
}


/* Leaves the value as it is if there is none. */

static ngx_int_t
ngx_analytics_rules_number(const cJSON *json, const char *name, double max,
    double *value)
{
    const cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(json, name);

    if (item == NULL) {
        return NGX_OK;
    }

    if (!cJSON_IsNumber(item)
        || !(item->valuedouble >= 0 && item->valuedouble <= max))
    {
        return NGX_DECLINED;
    }

    *value = item->valuedouble;

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_rules_text(ngx_analytics_rules_t *rules, const cJSON *json,
    ngx_str_t *text)
{
    if (json == NULL) {
        ngx_str_null(text);
        return NGX_OK;
    }

    if (!cJSON_IsString(json)) {
        return NGX_DECLINED;
    }

    text->len = strlen(json->valuestring);
    text->data = ngx_analytics_rules_alloc(rules, text->len + 1);

    if (text->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(text->data, json->valuestring, text->len + 1);

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_rules_texts(ngx_analytics_rules_t *rules, const cJSON *json,
    ngx_str_t **texts, ngx_uint_t *n)
{
    int           size;
    ngx_int_t     rc;
    const cJSON  *item;

    *texts = NULL;
    *n = 0;

    size = cJSON_GetArraySize(json);

    if (size == 0) {
        return NGX_OK;
    }

    *texts = ngx_analytics_rules_alloc(rules, (size_t) size
                                              * sizeof(ngx_str_t));
    if (*texts == NULL) {
        return NGX_ERROR;
    }

    cJSON_ArrayForEach(item, json) {
        rc = ngx_analytics_rules_text(rules, item, &(*texts)[*n]);

        if (rc != NGX_OK) {
            return rc;
        }

        (*n)++;
    }

    return NGX_OK;
}


uint64_t
ngx_analytics_rules_signature(const char *text, size_t len)
{
    uint64_t  signature;

    if (len == 0) {
        return 0;
    }

    signature = ngx_analytics_siphash(ngx_analytics_rules_key,
                                      (const u_char *) text, len);

    return signature ? signature : 1;
}


/* Of its text without the classes, never 0; 0 if there is no memory. */

static uint64_t
ngx_analytics_source_signature(ngx_analytics_source_t *source)
{
    char                    *text;
    cJSON                   *json;
    uint64_t                 signature;
    ngx_analytics_source_t   copy;

    copy = *source;
    copy.classes = 0;

    json = ngx_analytics_source_json(&copy);

    if (json == NULL) {
        return 0;
    }

    text = cJSON_PrintUnformatted(json);

    cJSON_Delete(json);

    if (text == NULL) {
        return 0;
    }

    signature = ngx_analytics_rules_signature(text, strlen(text));

    free(text);

    return signature;
}


ngx_int_t
ngx_analytics_rules_source(ngx_analytics_rules_t *rules, uint64_t signature)
{
    ngx_uint_t  i;

    for (i = 0; i < rules->n; i++) {
        if (rules->sources[i].signature == signature) {
            return (ngx_int_t) i;
        }
    }

    return NGX_ERROR;
}


ngx_analytics_rules_t *
ngx_analytics_rules_known(uint64_t signature)
{
    ngx_analytics_rules_known_t  *known;

    if (signature == 0) {
        return &ngx_analytics_rules_default;
    }

    known = __atomic_load_n(&ngx_analytics_rules_list, __ATOMIC_ACQUIRE);

    for ( /* void */ ; known; known = known->next) {
        if (known->signature == signature) {
            return known->rules;
        }
    }

    return NULL;
}


ngx_analytics_rules_t *
ngx_analytics_rules_get(uint64_t signature, const char *text, size_t len)
{
    const char                   *why;
    ngx_analytics_rules_t        *rules;
    ngx_analytics_rules_known_t  *known;

    if (len == 0) {
        return &ngx_analytics_rules_default;
    }

    rules = ngx_analytics_rules_known(signature);

    if (rules) {
        return rules;
    }

    (void) pthread_mutex_lock(&ngx_analytics_rules_mutex);

    rules = ngx_analytics_rules_known(signature);

    if (rules == NULL) {
        why = NULL;
        known = malloc(sizeof(ngx_analytics_rules_known_t));

        if (known) {
            rules = ngx_analytics_rules_read(text, len, &why);

            if (rules == NULL && why) {
                rules = &ngx_analytics_rules_default;
            }
        }

        if (rules) {
            known->signature = signature;
            known->rules = rules;
            known->next = ngx_analytics_rules_list;

            __atomic_store_n(&ngx_analytics_rules_list, known,
                             __ATOMIC_RELEASE);

        } else {
            free(known);
        }
    }

    (void) pthread_mutex_unlock(&ngx_analytics_rules_mutex);

    return rules;
}
