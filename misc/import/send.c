
/*
 * Copyright (C) The nginx analytics authors
 */


#include "import.h"

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>


#define IMPORT_ANSWER_MAX  (1024 * 1024)
#define IMPORT_WAIT_MAX    30                    /* seconds */


static CURL          *import_curl;
static import_buf_t   import_answer;
static char           import_message[CURL_ERROR_SIZE];


static size_t
import_write(char *data, size_t size, size_t n, void *ctx)
{
    (void) ctx;

    if (import_answer.len + size * n > IMPORT_ANSWER_MAX) {
        return 0;
    }

    import_append(&import_answer, data, size * n);

    return size * n;
}


int
import_send_open(void)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK
        || (import_curl = curl_easy_init()) == NULL)
    {
        import_error("libcurl cannot be used");
        return -1;
    }

    return 0;
}


void
import_send_close(void)
{
    curl_easy_cleanup(import_curl);
    curl_global_cleanup();

    free(import_answer.data);
    memset(&import_answer, 0, sizeof(import_answer));
}


/* The status, 0 if there was no answer, or -1. */
static long
import_request(const import_conf_t *conf, const char *url,
    const import_buf_t *body, const char *key)
{
    long                status;
    char                header[100];
    CURLcode            rc;
    struct curl_slist  *headers, *last, *more;

    (void) snprintf(header, sizeof(header), "Idempotency-Key: %s", key);

    headers = NULL;
    last = NULL;

    for (more = conf->headers; more; more = more->next) {
        last = curl_slist_append(headers, more->data);
        headers = last ? last : headers;
    }

    headers = curl_slist_append(headers, "Content-Type: application/x-ndjson");
    headers = curl_slist_append(headers, "Expect:");
    last = curl_slist_append(headers, header);

    import_answer.len = 0;
    import_message[0] = '\0';

    curl_easy_reset(import_curl);

    if (last == NULL
        || curl_easy_setopt(import_curl, CURLOPT_URL, url) != CURLE_OK
        || curl_easy_setopt(import_curl, CURLOPT_HTTPHEADER, last) != CURLE_OK
        || curl_easy_setopt(import_curl, CURLOPT_POSTFIELDS, body->data)
           != CURLE_OK
        || curl_easy_setopt(import_curl, CURLOPT_POSTFIELDSIZE_LARGE,
                            (curl_off_t) body->len)
           != CURLE_OK
        || curl_easy_setopt(import_curl, CURLOPT_WRITEFUNCTION, import_write)
           != CURLE_OK
        || curl_easy_setopt(import_curl, CURLOPT_ERRORBUFFER, import_message)
           != CURLE_OK
        || curl_easy_setopt(import_curl, CURLOPT_NOSIGNAL, 1L) != CURLE_OK
        || curl_easy_setopt(import_curl, CURLOPT_TIMEOUT, 60L) != CURLE_OK
        || curl_easy_setopt(import_curl, CURLOPT_USERAGENT,
                            "analytics-import")
           != CURLE_OK)
    {
        curl_slist_free_all(headers);
        import_error("libcurl does not take the request");
        return -1;
    }

    rc = curl_easy_perform(import_curl);

    curl_slist_free_all(headers);

    if (rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL) {
        import_error("\"%s\": %s", url, curl_easy_strerror(rc));
        return -1;
    }

    if (rc != CURLE_OK) {
        if (import_message[0] == '\0') {
            (void) snprintf(import_message, sizeof(import_message), "%s",
                            curl_easy_strerror(rc));
        }

        return 0;
    }

    status = 0;
    (void) curl_easy_getinfo(import_curl, CURLINFO_RESPONSE_CODE, &status);
    (void) snprintf(import_message, sizeof(import_message),
                    "the server answers %ld", status);

    return status;
}


static cJSON *
import_json(void)
{
    return cJSON_ParseWithLength(import_answer.data ? import_answer.data : "",
                                 import_answer.len);
}


static void
import_accepted(uint64_t *accepted)
{
    cJSON  *json, *n;

    json = import_json();
    n = cJSON_GetObjectItemCaseSensitive(json, "accepted");

    *accepted = cJSON_IsNumber(n) ? (uint64_t) n->valuedouble : UINT64_MAX;

    cJSON_Delete(json);
}


static const char *
import_member(cJSON *json, const char *name)
{
    cJSON  *item;

    item = cJSON_GetObjectItemCaseSensitive(json, name);

    return cJSON_IsString(item) ? item->valuestring : "";
}


/* Returns 1 if the answer tells which lines are wrong. */
static int
import_refusal(import_refused_t *refused)
{
    cJSON  *json, *errors, *item, *index;

    refused->n = 0;
    refused->why[0] = '\0';

    json = import_json();

    (void) snprintf(refused->why, IMPORT_WHY, "%s",
                    import_member(json, "detail"));

    errors = cJSON_GetObjectItemCaseSensitive(json, "errors");

    cJSON_ArrayForEach(item, errors) {
        index = cJSON_GetObjectItemCaseSensitive(item, "index");

        if (refused->n == IMPORT_ERRORS || !cJSON_IsNumber(index)
            || index->valuedouble < 0)
        {
            break;
        }

        refused->errors[refused->n].index = (size_t) index->valuedouble;

        (void) snprintf(refused->errors[refused->n++].why, IMPORT_WHY,
                        "%s %s", import_member(item, "field"),
                        import_member(item, "detail"));
    }

    item = cJSON_GetObjectItemCaseSensitive(json, "offset");

    refused->offset = cJSON_IsNumber(item) ? (size_t) item->valuedouble : 0;

    cJSON_Delete(json);

    return refused->n || cJSON_IsNumber(item);
}


/* Until it is time to try again.  Returns -1 after Ctrl-C. */
static int
import_wait(long seconds)
{
    struct timespec  tenth;

    tenth.tv_sec = 0;
    tenth.tv_nsec = 100 * 1000 * 1000;

    for (seconds *= 10; seconds > 0 && !import_stop; seconds--) {
        (void) nanosleep(&tenth, NULL);
    }

    return import_stop ? -1 : 0;
}


/* How long the server wants it to be, or longer each time. */
static long
import_pause(long *wait)
{
    curl_off_t  after;

    after = 0;
    (void) curl_easy_getinfo(import_curl, CURLINFO_RETRY_AFTER, &after);

    *wait = (*wait == 0) ? 1 : 2 * *wait;

    if (*wait > IMPORT_WAIT_MAX) {
        *wait = IMPORT_WAIT_MAX;
    }

    return (after > 0 && after < IMPORT_WAIT_MAX) ? (long) after : *wait;
}


int
import_send_post(const import_conf_t *conf, const char *url,
    const import_buf_t *body, const char *key, uint64_t *accepted,
    import_refused_t *refused)
{
    int     told;
    long    status, wait;
    time_t  start;

    start = time(NULL);
    wait = 0;
    told = 0;

    for ( ;; ) {
        status = import_request(conf, url, body, key);

        if (status == -1) {
            return -1;
        }

        if (status >= 200 && status < 300) {
            import_accepted(accepted);
            return 0;
        }

        if ((status == 400 || status == 422) && import_refusal(refused)) {
            return 1;
        }

        /* all others will not be better the next time */

        if (status && status != 429 && status < 500) {
            (void) import_refusal(refused);
            import_error("%s: %s%s%s", url, import_message,
                         refused->why[0] ? ": " : "", refused->why);
            return -1;
        }

        if (time(NULL) - start >= conf->timeout) {
            import_error("%s: %s; start it again to go on", url,
                         import_message);
            return -1;
        }

        if (!told && !conf->quiet) {
            import_error("%s: %s; trying again", url, import_message);
            told = 1;
        }

        if (import_wait(import_pause(&wait)) != 0) {
            return -2;
        }
    }
}
