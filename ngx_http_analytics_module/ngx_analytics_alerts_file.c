
/*
 * Alerts: the file that keeps them, with the notices that are to be sent.
 *
 *     {"alerts": [{"alert": NAME, "state": "firing", "since": USEC, ...,
 *                  "notices": [{"id": ..., "at": USEC, "body": TEXT}]}]}
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_alerts.h"

#include <cjson/cJSON.h>
#include <math.h>


static ngx_int_t ngx_analytics_alerts_load(int fd, size_t size, char **text);
static ngx_int_t ngx_analytics_alerts_parse(cJSON *json,
    ngx_analytics_alert_t **alerts, ngx_uint_t *n);
static ngx_int_t ngx_analytics_alerts_one(cJSON *item,
    ngx_analytics_alert_t *a);
static ngx_int_t ngx_analytics_alerts_notice(cJSON *item,
    ngx_analytics_alert_t *a);
static ngx_int_t ngx_analytics_alerts_text(cJSON *item, const char *name,
    char *text, size_t size);
static ngx_int_t ngx_analytics_alerts_usec(cJSON *item, const char *name,
    int64_t *usec);
static cJSON *ngx_analytics_alerts_print(ngx_analytics_alert_t *alerts,
    ngx_uint_t n);
static ngx_int_t ngx_analytics_alerts_put(cJSON *item,
    ngx_analytics_alert_t *a);


ngx_int_t
ngx_analytics_alerts_read(int dir, const char *path,
    ngx_analytics_alert_t **alerts, ngx_uint_t *n, ngx_analytics_fail_t *fail)
{
    int           fd;
    char         *text;
    cJSON        *json;
    ngx_int_t     rc;
    struct stat   st;

    *alerts = NULL;
    *n = 0;

    fd = openat(dir, NGX_ANALYTICS_ALERTS, O_RDONLY|O_CLOEXEC);

    if (fd == -1) {

        if (errno == ENOENT) {
            return NGX_DECLINED;
        }

        ngx_analytics_failed(fail, "open() of", path, NGX_ANALYTICS_ALERTS);
        return NGX_ERROR;
    }

    text = NULL;
    rc = NGX_ERROR;

    if (fstat(fd, &st) == 0) {
        rc = (st.st_size <= NGX_ANALYTICS_ALERTS_SIZE)
             ? ngx_analytics_alerts_load(fd, (size_t) st.st_size, &text)
             : NGX_ABORT;
    }

    if (rc == NGX_ERROR) {
        ngx_analytics_failed(fail, "reading", path, NGX_ANALYTICS_ALERTS);
    }

    (void) close(fd);

    if (rc != NGX_OK) {
        free(text);
        return rc;
    }

    json = cJSON_ParseWithLength(text, (size_t) st.st_size);

    free(text);

    rc = ngx_analytics_alerts_parse(json, alerts, n);

    cJSON_Delete(json);

    if (rc == NGX_ERROR) {
        errno = ENOMEM;
        ngx_analytics_failed(fail, "reading", path, NGX_ANALYTICS_ALERTS);
    }

    return rc;
}


static ngx_int_t
ngx_analytics_alerts_load(int fd, size_t size, char **text)
{
    size_t   len;
    ssize_t  n;

    *text = malloc(size + 1);
    if (*text == NULL) {
        return NGX_ERROR;
    }

    for (len = 0; len < size; len += (size_t) n) {
        n = pread(fd, *text + len, size - len, (off_t) len);

        if (n == -1) {
            return NGX_ERROR;
        }

        if (n == 0) {
            return NGX_ABORT;
        }
    }

    return NGX_OK;
}


/* NGX_ABORT: it is not what this program writes. */

static ngx_int_t
ngx_analytics_alerts_parse(cJSON *json, ngx_analytics_alert_t **alerts,
    ngx_uint_t *n)
{
    int         size;
    cJSON      *list, *item;
    ngx_int_t   rc;

    list = cJSON_GetObjectItemCaseSensitive(json, "alerts");

    if (!cJSON_IsArray(list)) {
        return NGX_ABORT;
    }

    size = cJSON_GetArraySize(list);

    if (size > NGX_ANALYTICS_ALERTS_MAX) {
        return NGX_ABORT;
    }

    *alerts = calloc((size_t) size + 1, sizeof(ngx_analytics_alert_t));
    if (*alerts == NULL) {
        return NGX_ERROR;
    }

    rc = NGX_OK;

    cJSON_ArrayForEach(item, list) {
        rc = ngx_analytics_alerts_one(item, &(*alerts)[(*n)++]);

        if (rc != NGX_OK) {
            ngx_analytics_alerts_clear(*alerts, *n);
            free(*alerts);

            *alerts = NULL;
            *n = 0;

            break;
        }
    }

    return rc;
}


static ngx_int_t
ngx_analytics_alerts_one(cJSON *item, ngx_analytics_alert_t *a)
{
    char        state[16];
    cJSON      *member, *list;
    int64_t     told, skipped;
    ngx_int_t   rc;

    if (ngx_analytics_alerts_text(item, "alert", a->name, sizeof(a->name))
        != NGX_OK
        || ngx_analytics_alerts_text(item, "state", state, sizeof(state))
           != NGX_OK
        || ngx_analytics_alerts_text(item, "reason", a->reason,
                                     sizeof(a->reason)) != NGX_OK
        || ngx_analytics_alerts_text(item, "error", a->error,
                                     sizeof(a->error)) != NGX_OK
        || ngx_analytics_alerts_usec(item, "since", &a->since) != NGX_OK
        || ngx_analytics_alerts_usec(item, "active", &a->active) != NGX_OK
        || ngx_analytics_alerts_usec(item, "told", &told) != NGX_OK
        || ngx_analytics_alerts_usec(item, "told_at", &a->told_at) != NGX_OK
        || ngx_analytics_alerts_usec(item, "skipped", &skipped) != NGX_OK
        || ngx_analytics_alerts_usec(item, "evaluated", &a->evaluated)
           != NGX_OK
        || ngx_analytics_alerts_usec(item, "delivered", &a->delivered)
           != NGX_OK
        || told > NGX_ANALYTICS_NOTICE_RESOLVED)
    {
        return NGX_ABORT;
    }

    a->told = (ngx_uint_t) told;
    a->skipped = (ngx_uint_t) skipped;

    for (a->state = NGX_ANALYTICS_ALERT_IS_INACTIVE;
         ngx_strcmp(state, ngx_analytics_alert_state(a->state)) != 0;
         a->state++)
    {
        if (a->state == NGX_ANALYTICS_ALERT_IS_RESOLVED) {
            return NGX_ABORT;
        }
    }

    member = cJSON_GetObjectItemCaseSensitive(item, "value");

    if (cJSON_IsNumber(member)) {
        a->valued = 1;
        a->value = member->valuedouble;
    }

    list = cJSON_GetObjectItemCaseSensitive(item, "notices");

    if (!cJSON_IsArray(list)
        || cJSON_GetArraySize(list) > NGX_ANALYTICS_NOTICES_MAX)
    {
        return NGX_ABORT;
    }

    rc = NGX_OK;

    cJSON_ArrayForEach(member, list) {
        rc = ngx_analytics_alerts_notice(member, a);

        if (rc != NGX_OK) {
            break;
        }
    }

    return rc;
}


static ngx_int_t
ngx_analytics_alerts_notice(cJSON *item, ngx_analytics_alert_t *a)
{
    char     id[NGX_ANALYTICS_NOTICE_ID + 1], *text;
    cJSON   *body;
    int64_t  at;

    body = cJSON_GetObjectItemCaseSensitive(item, "body");

    if (!cJSON_IsString(body)
        || ngx_analytics_alerts_text(item, "id", id, sizeof(id)) != NGX_OK
        || ngx_analytics_alerts_usec(item, "at", &at) != NGX_OK)
    {
        return NGX_ABORT;
    }

    text = strdup(body->valuestring);
    if (text == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_analytics_alert_push(a, id, at, text);

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_alerts_text(cJSON *item, const char *name, char *text,
    size_t size)
{
    cJSON  *member;

    member = cJSON_GetObjectItemCaseSensitive(item, name);

    if (!cJSON_IsString(member) || ngx_strlen(member->valuestring) >= size) {
        return NGX_ABORT;
    }

    (void) snprintf(text, size, "%s", member->valuestring);

    return NGX_OK;
}


/* Whole numbers below 2^53, which a double holds exactly. */

static ngx_int_t
ngx_analytics_alerts_usec(cJSON *item, const char *name, int64_t *usec)
{
    cJSON  *member;

    member = cJSON_GetObjectItemCaseSensitive(item, name);

    if (!cJSON_IsNumber(member)
        || !(member->valuedouble >= 0 && member->valuedouble < 0x1p53))
    {
        return NGX_ABORT;
    }

    *usec = (int64_t) member->valuedouble;

    return NGX_OK;
}


ngx_int_t
ngx_analytics_alerts_write(int dir, const char *path,
    ngx_analytics_alert_t *alerts, ngx_uint_t n, ngx_analytics_fail_t *fail)
{
    char       *text;
    cJSON      *json;
    ngx_int_t   rc;

    json = ngx_analytics_alerts_print(alerts, n);
    text = json ? cJSON_PrintUnformatted(json) : NULL;

    cJSON_Delete(json);

    errno = ENOMEM;

    rc = text ? ngx_analytics_log_replace(dir, NGX_ANALYTICS_ALERTS,
                                          NGX_ANALYTICS_ALERTS_TEMP,
                                          (u_char *) text, ngx_strlen(text))
              : NGX_ERROR;

    if (rc != NGX_OK) {
        ngx_analytics_failed(fail, "writing", path, NGX_ANALYTICS_ALERTS);
    }

    free(text);

    return rc;
}


static cJSON *
ngx_analytics_alerts_print(ngx_analytics_alert_t *alerts, ngx_uint_t n)
{
    cJSON       *json, *list, *item;
    ngx_uint_t   i;

    json = cJSON_CreateObject();
    list = cJSON_AddArrayToObject(json, "alerts");

    if (list == NULL) {
        cJSON_Delete(json);
        return NULL;
    }

    for (i = 0; i < n; i++) {
        item = cJSON_CreateObject();

        if (item == NULL || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            cJSON_Delete(json);
            return NULL;
        }

        if (ngx_analytics_alerts_put(item, &alerts[i]) != NGX_OK) {
            cJSON_Delete(json);
            return NULL;
        }
    }

    return json;
}


static ngx_int_t
ngx_analytics_alerts_put(cJSON *item, ngx_analytics_alert_t *a)
{
    cJSON       *list, *notice;
    ngx_uint_t   i;

    if (!cJSON_AddStringToObject(item, "alert", a->name)
        || !cJSON_AddStringToObject(item, "state",
                                    ngx_analytics_alert_state(a->state))
        || !cJSON_AddStringToObject(item, "reason", a->reason)
        || !cJSON_AddStringToObject(item, "error", a->error)
        || !cJSON_AddNumberToObject(item, "since", (double) a->since)
        || !cJSON_AddNumberToObject(item, "active", (double) a->active)
        || !cJSON_AddNumberToObject(item, "told", (double) a->told)
        || !cJSON_AddNumberToObject(item, "told_at", (double) a->told_at)
        || !cJSON_AddNumberToObject(item, "skipped", (double) a->skipped)
        || !cJSON_AddNumberToObject(item, "evaluated", (double) a->evaluated)
        || !cJSON_AddNumberToObject(item, "delivered", (double) a->delivered)
        || (a->valued && isfinite(a->value)
            && !cJSON_AddNumberToObject(item, "value", a->value)))
    {
        return NGX_ERROR;
    }

    list = cJSON_AddArrayToObject(item, "notices");
    if (list == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < a->n; i++) {
        notice = cJSON_CreateObject();

        if (notice == NULL || !cJSON_AddItemToArray(list, notice)) {
            cJSON_Delete(notice);
            return NGX_ERROR;
        }

        if (!cJSON_AddStringToObject(notice, "id", a->notices[i].id)
            || !cJSON_AddStringToObject(notice, "body", a->notices[i].body)
            || !cJSON_AddNumberToObject(notice, "at",
                                        (double) a->notices[i].at))
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
