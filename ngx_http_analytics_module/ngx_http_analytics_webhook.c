
/*
 * Webhooks: sends the notices of alerts, one at a time of each alert.
 *
 * Whoever takes long, or does not answer, holds up nothing but what the same
 * alert has to tell after it.
 *
 * Copyright (C) The nginx analytics authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_http_analytics_alerts.h"
#include "ngx_analytics_time.h"

#include <curl/curl.h>


/* msec */
#define NGX_HTTP_ANALYTICS_HOOK_CONNECT  5000L
#define NGX_HTTP_ANALYTICS_HOOK_TIMEOUT  10000L
#define NGX_HTTP_ANALYTICS_HOOK_RETRY    1000        /* doubled each time, */
#define NGX_HTTP_ANALYTICS_HOOK_DOUBLE   8
#define NGX_HTTP_ANALYTICS_HOOK_MAX      300000      /* up to that */

/* bytes of an answer: nobody reads it */
#define NGX_HTTP_ANALYTICS_HOOK_ANSWER   65536

/* then a notice is of no use to anybody */
#define NGX_HTTP_ANALYTICS_HOOK_KEEP     NGX_ANALYTICS_DAY


/* Of one alert. */
typedef struct {
    CURL                        *easy;
    struct curl_slist           *headers;
    ngx_uint_t                   i;          /* which one */
    ngx_uint_t                   busy;
    size_t                       taken;      /* of the answer's body */
} ngx_http_analytics_hook_t;


struct ngx_http_analytics_hooks_s {
    CURLM                       *multi;
    ngx_http_analytics_zone_t   *zone;
    ngx_uint_t                   n;
    ngx_uint_t                   busy;
    ngx_http_analytics_hook_t   *hooks;
};


static ngx_msec_t ngx_http_analytics_hooks_start(
    ngx_http_analytics_hooks_t *hooks, ngx_msec_t msec);
static ngx_int_t ngx_http_analytics_hook_start(
    ngx_http_analytics_hooks_t *hooks, ngx_http_analytics_hook_t *hook);
static ngx_int_t ngx_http_analytics_hook_set(
    ngx_http_analytics_hook_t *hook, const char *url,
    ngx_analytics_notice_t *notice);
static ngx_int_t ngx_http_analytics_hook_headers(
    ngx_http_analytics_hook_t *hook, const char *id);
static ngx_uint_t ngx_http_analytics_hooks_ended(
    ngx_http_analytics_hooks_t *hooks);
static void ngx_http_analytics_hook_ended(ngx_http_analytics_hooks_t *hooks,
    ngx_http_analytics_hook_t *hook, CURLcode code, long status);
static void ngx_http_analytics_hook_again(ngx_http_analytics_hooks_t *hooks,
    ngx_analytics_alert_t *a);
static void ngx_http_analytics_hook_clear(ngx_http_analytics_hooks_t *hooks,
    ngx_http_analytics_hook_t *hook);
static size_t ngx_http_analytics_hook_answer(char *data, size_t size,
    size_t n, void *ctx);


ngx_int_t
ngx_http_analytics_webhook_init(void)
{
    return (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
           ? NGX_OK : NGX_ERROR;
}


ngx_http_analytics_hooks_t *
ngx_http_analytics_hooks_create(ngx_http_analytics_zone_t *zone, ngx_uint_t n)
{
    ngx_uint_t                   i;
    ngx_http_analytics_hooks_t  *hooks;

    hooks = calloc(1, sizeof(ngx_http_analytics_hooks_t));
    if (hooks == NULL) {
        return NULL;
    }

    hooks->zone = zone;
    hooks->n = n;
    hooks->multi = curl_multi_init();
    hooks->hooks = calloc(n, sizeof(ngx_http_analytics_hook_t));

    if (hooks->multi == NULL || hooks->hooks == NULL) {
        hooks->n = 0;
        ngx_http_analytics_hooks_free(hooks);
        return NULL;
    }

    for (i = 0; i < n; i++) {
        hooks->hooks[i].i = i;
    }

    return hooks;
}


void
ngx_http_analytics_hooks_free(ngx_http_analytics_hooks_t *hooks)
{
    ngx_uint_t  i;

    for (i = 0; i < hooks->n; i++) {
        ngx_http_analytics_hook_clear(hooks, &hooks->hooks[i]);
    }

    (void) curl_multi_cleanup(hooks->multi);

    free(hooks->hooks);
    free(hooks);
}


ngx_uint_t
ngx_http_analytics_hooks_work(ngx_http_analytics_hooks_t *hooks,
    ngx_msec_t msec)
{
    int         running;
    ngx_uint_t  n;

    if (!ngx_http_analytics_alerting_stops(hooks->zone->alerts)) {
        msec = ngx_http_analytics_hooks_start(hooks, msec);
    }

    (void) curl_multi_perform(hooks->multi, &running);

    n = ngx_http_analytics_hooks_ended(hooks);

    /* what has ended is written down first */

    if (n == 0) {
        (void) curl_multi_poll(hooks->multi, NULL, 0, (int) msec, NULL);
        (void) curl_multi_perform(hooks->multi, &running);

        n = ngx_http_analytics_hooks_ended(hooks);
    }

    return n;
}


ngx_uint_t
ngx_http_analytics_hooks_busy(ngx_http_analytics_hooks_t *hooks)
{
    return hooks->busy;
}


void
ngx_http_analytics_hooks_wake(ngx_http_analytics_hooks_t *hooks)
{
    (void) curl_multi_wakeup(hooks->multi);
}


/* Returns how long there is nothing to begin, up to msec. */

static ngx_msec_t
ngx_http_analytics_hooks_start(ngx_http_analytics_hooks_t *hooks,
    ngx_msec_t msec)
{
    ngx_uint_t                  i;
    ngx_msec_t                  now;
    ngx_msec_int_t              left;
    ngx_analytics_alert_t      *a;
    ngx_http_analytics_hook_t  *hook;

    now = ngx_http_analytics_alerts_msec();

    for (i = 0; i < hooks->n; i++) {
        hook = &hooks->hooks[i];
        a = &hooks->zone->alerts->alerts[i];

        if (a->n == 0 || hook->busy) {
            continue;
        }

        left = a->notices[0].tries
               ? (ngx_msec_int_t) (a->notices[0].next - now) : 0;

        if (left > 0) {
            msec = ngx_min(msec, (ngx_msec_t) left);
            continue;
        }

        if (ngx_http_analytics_hook_start(hooks, hook) != NGX_OK) {
            ngx_cpystrn((u_char *) a->error, (u_char *) "there is no memory",
                        sizeof(a->error));

            ngx_http_analytics_hook_clear(hooks, hook);
            ngx_http_analytics_hook_again(hooks, a);
        }
    }

    return msec;
}


static ngx_int_t
ngx_http_analytics_hook_start(ngx_http_analytics_hooks_t *hooks,
    ngx_http_analytics_hook_t *hook)
{
    ngx_analytics_alert_t       *a;
    ngx_http_analytics_alert_t  *declared;

    a = &hooks->zone->alerts->alerts[hook->i];
    declared = hooks->zone->alerts->declared.elts;

    hook->taken = 0;
    hook->easy = curl_easy_init();

    if (hook->easy == NULL
        || ngx_http_analytics_hook_headers(hook, a->notices[0].id) != NGX_OK
        || ngx_http_analytics_hook_set(hook,
                               (char *) declared[hook->i].webhook.data,
                               &a->notices[0])
           != NGX_OK
        || curl_multi_add_handle(hooks->multi, hook->easy) != CURLM_OK)
    {
        return NGX_ERROR;
    }

    hook->busy = 1;
    hooks->busy++;

    return NGX_OK;
}


static ngx_int_t
ngx_http_analytics_hook_headers(ngx_http_analytics_hook_t *hook,
    const char *id)
{
    char                key[NGX_ANALYTICS_NOTICE_ID + 32];
    ngx_uint_t          i;
    const char         *lines[3];
    struct curl_slist  *list;

    (void) ngx_snprintf((u_char *) key, sizeof(key), "Idempotency-Key: %s%Z",
                        id);

    lines[0] = "Content-Type: application/json";
    lines[1] = key;
    lines[2] = "Expect:";

    for (i = 0; i < 3; i++) {
        list = curl_slist_append(hook->headers, lines[i]);

        if (list == NULL) {
            return NGX_ERROR;
        }

        hook->headers = list;
    }

    return NGX_OK;
}


/* Any other answer than 2xx, a redirect too, is a failure. */

static ngx_int_t
ngx_http_analytics_hook_set(ngx_http_analytics_hook_t *hook, const char *url,
    ngx_analytics_notice_t *notice)
{
    CURL      *e;
    CURLcode   rc;

    e = hook->easy;

    rc = curl_easy_setopt(e, CURLOPT_URL, url);
    rc |= curl_easy_setopt(e, CURLOPT_HTTPHEADER, hook->headers);
    rc |= curl_easy_setopt(e, CURLOPT_USERAGENT,
                           "nginx-analytics/" NGX_ANALYTICS_VERSION);
    rc |= curl_easy_setopt(e, CURLOPT_POST, 1L);
    rc |= curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE,
                           (long) ngx_strlen(notice->body));
    rc |= curl_easy_setopt(e, CURLOPT_POSTFIELDS, notice->body);
    rc |= curl_easy_setopt(e, CURLOPT_PRIVATE, (char *) hook);
    rc |= curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    rc |= curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    rc |= curl_easy_setopt(e, CURLOPT_PROXY, "");
    rc |= curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
                           NGX_HTTP_ANALYTICS_HOOK_CONNECT);
    rc |= curl_easy_setopt(e, CURLOPT_TIMEOUT_MS,
                           NGX_HTTP_ANALYTICS_HOOK_TIMEOUT);
    rc |= curl_easy_setopt(e, CURLOPT_WRITEFUNCTION,
                           ngx_http_analytics_hook_answer);
    rc |= curl_easy_setopt(e, CURLOPT_WRITEDATA, (void *) hook);

#if (LIBCURL_VERSION_NUM >= 0x075500)
    rc |= curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    rc |= curl_easy_setopt(e, CURLOPT_PROTOCOLS,
                           CURLPROTO_HTTP|CURLPROTO_HTTPS);
#endif

    /* nobody waits for a name to be looked up who wants to leave */

#if (LIBCURL_VERSION_NUM >= 0x075700)
    rc |= curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
#endif

    return (rc == CURLE_OK) ? NGX_OK : NGX_ERROR;
}


/* Ends the transfer with CURLE_WRITE_ERROR when it was enough. */

static size_t
ngx_http_analytics_hook_answer(char *data, size_t size, size_t n, void *ctx)
{
    ngx_http_analytics_hook_t *hook = ctx;

    (void) data;

    hook->taken += size * n;

    return (hook->taken <= NGX_HTTP_ANALYTICS_HOOK_ANSWER) ? size * n : 0;
}


/* Returns how many. */

static ngx_uint_t
ngx_http_analytics_hooks_ended(ngx_http_analytics_hooks_t *hooks)
{
    int                         left;
    char                       *private;
    long                        status;
    CURLMsg                    *msg;
    CURLcode                    code;
    ngx_uint_t                  n;

    n = 0;

    while ((msg = curl_multi_info_read(hooks->multi, &left)) != NULL) {

        if (msg->msg != CURLMSG_DONE) {
            continue;
        }

        code = msg->data.result;
        status = 0;
        private = NULL;

        (void) curl_easy_getinfo(msg->easy_handle, CURLINFO_RESPONSE_CODE,
                                 &status);
        (void) curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE,
                                 &private);

        ngx_http_analytics_hook_ended(hooks,
                                      (ngx_http_analytics_hook_t *) private,
                                      code, status);
        n++;
    }

    return n;
}


static void
ngx_http_analytics_hook_ended(ngx_http_analytics_hooks_t *hooks,
    ngx_http_analytics_hook_t *hook, CURLcode code, long status)
{
    ngx_analytics_alert_t  *a;

    a = &hooks->zone->alerts->alerts[hook->i];

    ngx_http_analytics_hook_clear(hooks, hook);

    if (code == CURLE_WRITE_ERROR) {
        code = CURLE_OK;
    }

    if (code == CURLE_OK && status >= 200 && status < 300) {
        ngx_analytics_alert_shift(a);

        a->delivered = ngx_http_analytics_now();
        a->error[0] = '\0';

        return;
    }

    if (code != CURLE_OK) {
        ngx_cpystrn((u_char *) a->error, (u_char *) curl_easy_strerror(code),
                    sizeof(a->error));

    } else {
        (void) ngx_snprintf((u_char *) a->error, sizeof(a->error),
                            "it answered with status %l%Z", status);
    }

    ngx_http_analytics_hook_again(hooks, a);
}


static void
ngx_http_analytics_hook_again(ngx_http_analytics_hooks_t *hooks,
    ngx_analytics_alert_t *a)
{
    ngx_msec_t               wait;
    ngx_analytics_notice_t  *notice;

    notice = &a->notices[0];

    if (ngx_http_analytics_now() - notice->at >= NGX_HTTP_ANALYTICS_HOOK_KEEP)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "analytics zone \"%V\": a notice of alert \"%s\" could "
                      "not be delivered for a day and was dropped: %s",
                      &hooks->zone->name, a->name, a->error);

        ngx_analytics_alert_shift(a);
        return;
    }

    if (notice->tries == 0) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "analytics zone \"%V\": a notice of alert \"%s\" could "
                      "not be delivered and is tried again: %s",
                      &hooks->zone->name, a->name, a->error);
    }

    wait = (ngx_msec_t) NGX_HTTP_ANALYTICS_HOOK_RETRY
           << ngx_min(notice->tries, NGX_HTTP_ANALYTICS_HOOK_DOUBLE + 1);

    notice->tries++;
    notice->next = ngx_http_analytics_alerts_msec()
                   + ngx_min(wait, NGX_HTTP_ANALYTICS_HOOK_MAX);
}


static void
ngx_http_analytics_hook_clear(ngx_http_analytics_hooks_t *hooks,
    ngx_http_analytics_hook_t *hook)
{
    if (hook->busy) {
        (void) curl_multi_remove_handle(hooks->multi, hook->easy);

        hook->busy = 0;
        hooks->busy--;
    }

    curl_easy_cleanup(hook->easy);
    curl_slist_free_all(hook->headers);

    hook->easy = NULL;
    hook->headers = NULL;
}
