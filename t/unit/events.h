
/*
 * What the tests of events share: memory that can run out, formats of every
 * kind, and a body decoded out of a block exactly as long as it is.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _EVENTS_H_INCLUDED_
#define _EVENTS_H_INCLUDED_


#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ngx_analytics_decode.h"
#include "ngx_analytics_summary.h"
#include "ngx_analytics_time.h"


#define EVENTS_NOW      ((int64_t) 1759581000123456)
#define EVENTS_FORMATS  10

#define N16   "nnnnnnnnnnnnnnnn"
#define N240  N16 N16 N16 N16 N16 N16 N16 N16 N16 N16 N16 N16 N16 N16 N16
#define N254  N240 "nnnnnnnnnnnnnn"


typedef struct {
    void                   **blocks;
    size_t                   n;
    size_t                   size;
    size_t                   calls;
    size_t                   fail;     /* the call that fails; 0: none */
    int                      ever;     /* and so do all behind it */
} memory_t;


typedef struct {
    memory_t                 memory;
    u_char                  *body;
    size_t                   len;
    ngx_int_t                rc;
    ngx_analytics_decode_t   d;
} decoded_t;


enum {
    FORMAT_EVENT = 0,
    FORMAT_EPOCH,
    FORMAT_MS,
    FORMAT_CONSTANT,
    FORMAT_BARE,
    FORMAT_ODD,
    FORMAT_INTEGER,
    FORMAT_LONG,
    FORMAT_ID,
    FORMAT_ID_REST
};


static ngx_str_t  addresses[] = { ngx_string("ip"), ngx_string("a\"/") };


static ngx_analytics_format_t  formats[EVENTS_FORMATS] = {

    { .name = ngx_string("event"),
      .user = ngx_string("user_id"),
      .type = ngx_string("event_type"),
      .time = ngx_string("timestamp"),
      .properties = ngx_string("metadata") },

    { .name = ngx_string("epoch"),
      .user = ngx_string("n"),
      .type = ngx_string("action"),
      .time = ngx_string("at"),
      .properties = ngx_string("p"),
      .unit = 1000000,
      .integer = 1 },

    { .name = ngx_string("ms"),
      .user = ngx_string("u"),
      .type = ngx_string("t"),
      .time = ngx_string("ms"),
      .properties = ngx_string("*"),
      .truncate = addresses,
      .ntruncate = 2,
      .unit = 1000,
      .rest = 1 },

    { .name = ngx_string("constant"),
      .user = ngx_string("u"),
      .type = ngx_string("ai_call"),
      .properties = ngx_string("*"),
      .constant = 1,
      .rest = 1 },

    { .name = ngx_string("bare"),
      .user = ngx_string("u"),
      .type = ngx_string("t") },

    { .name = ngx_string("odd"),
      .user = ngx_string("us\"er<&>\\"),
      .type = ngx_string("\xc3\xa9t\xc3\xa9"),
      .time = ngx_string("\xe2\x80\xa8"),
      .properties = ngx_string("/ \xf0\x9f\x98\x80") },

    { .name = ngx_string("integer"),
      .user = ngx_string("u"),
      .type = ngx_string("t\"<"),
      .time = ngx_string("at"),
      .properties = ngx_string("*"),
      .integer = 1,
      .constant = 1,
      .rest = 1 },

    { .name = ngx_string("long"),
      .user = ngx_string(N254 "u"),
      .type = ngx_string(N254 "t"),
      .time = ngx_string(N254 "m"),
      .properties = ngx_string(N254 "p") },

    { .name = ngx_string("id"),
      .user = ngx_string("u"),
      .type = ngx_string("t"),
      .time = ngx_string("at"),
      .properties = ngx_string("p"),
      .truncate = addresses,
      .ntruncate = 2,
      .truncate_user = 1,
      .id = ngx_string("message_id") },

    { .name = ngx_string("id_rest"),
      .user = ngx_string("u"),
      .type = ngx_string("c"),
      .properties = ngx_string("*"),
      .id = ngx_string("i\"<d>"),
      .constant = 1,
      .rest = 1 }
};


static inline void *
memory_alloc(void *ctx, size_t size)
{
    void      *p;
    memory_t  *m = ctx;

    m->calls++;

    if (m->fail && (m->calls == m->fail || (m->ever && m->calls > m->fail))) {
        return NULL;
    }

    if (m->n == m->size) {
        m->size = m->size * 2 + 16;
        m->blocks = realloc(m->blocks, m->size * sizeof(void *));

        if (m->blocks == NULL) {
            abort();
        }
    }

    p = malloc(size);

    if (p == NULL) {
        abort();
    }

    /* nobody may count on zeros */
    memset(p, 0xa5, size);

    m->blocks[m->n++] = p;

    return p;
}


static inline void
memory_free(memory_t *m)
{
    while (m->n) {
        free(m->blocks[--m->n]);
    }

    free(m->blocks);
    memset(m, 0, sizeof(memory_t));
}


/* The keys live as long as the program: kept is what finds them. */
static inline void
formats_init(void)
{
    size_t           i;
    static memory_t  kept;

    for (i = 0; i < EVENTS_FORMATS; i++) {
        if (ngx_analytics_format_init(&formats[i], memory_alloc, &kept)
            != NGX_OK)
        {
            abort();
        }
    }
}


/* Decodes with the call of alloc failing that r->memory says. */
static inline ngx_int_t
decode_again(decoded_t *r, ngx_analytics_format_t *format, ngx_uint_t ndjson,
    const void *body, size_t len)
{
    /* the result's fields are set by the call, all of them */
    memset(&r->d, 0x5a, sizeof(r->d));

    r->d.format = format;
    r->d.now = EVENTS_NOW;
    r->d.ndjson = ndjson;
    r->d.key[0] = 0x0706050403020100;
    r->d.key[1] = 0x0f0e0d0c0b0a0908;
    r->d.alloc = memory_alloc;
    r->d.ctx = &r->memory;

    r->len = len;
    r->body = malloc(len ? len : 1);

    if (r->body == NULL) {
        abort();
    }

    memcpy(r->body, body, len);

    r->rc = ngx_analytics_decode(&r->d, r->body, len);

    /* a body is never written to */
    if (memcmp(r->body, body, len) != 0) {
        abort();
    }

    return r->rc;
}


static inline ngx_int_t
decode(decoded_t *r, ngx_analytics_format_t *format, ngx_uint_t ndjson,
    const void *body, size_t len)
{
    memset(r, 0, sizeof(decoded_t));

    return decode_again(r, format, ndjson, body, len);
}


static inline ngx_int_t
decode_text(decoded_t *r, ngx_analytics_format_t *format, const char *body)
{
    return decode(r, format, 0, body, strlen(body));
}


static inline void
decoded_free(decoded_t *r)
{
    memory_free(&r->memory);
    free(r->body);
}


static inline ngx_analytics_event_t *
decoded_event(decoded_t *r, ngx_uint_t i)
{
    ngx_analytics_run_t  *run;

    for (run = r->d.first; run; run = run->next) {

        if (i < run->n) {
            return &run->events[i];
        }

        i -= run->n;
    }

    return NULL;
}


static inline void
event_set(ngx_str_t *str, const char *s)
{
    str->data = (u_char *) s;
    str->len = strlen(s);
}


/* Writes an event as a C string, from a buffer of one byte on. */
static inline size_t
event_text(char *text, size_t max, ngx_analytics_format_t *format,
    ngx_analytics_event_t *event, uint64_t id)
{
    size_t                  len;
    memory_t                m;
    ngx_analytics_writer_t  w;

    memset(&m, 0, sizeof(m));

    ngx_analytics_writer_init(&w, memory_alloc, &m, 1);
    ngx_analytics_event_write(&w, format, event, id, EVENTS_NOW);

    len = w.pos - w.start;

    if (w.failed || len >= max) {
        abort();
    }

    memcpy(text, w.start, len);
    text[len] = '\0';

    memory_free(&m);

    return len;
}


/* Decodes and summarises a body.  Returns the summary's text, or NULL. */
static inline char *
summary_text(decoded_t *r, ngx_analytics_format_t *format, const char *body,
    size_t len, ngx_analytics_summary_t *s)
{
    ngx_analytics_writer_t  w;
    static const uint64_t   key[2] = { 0x0706050403020100,
                                       0x0f0e0d0c0b0a0908 };

    /* all of the summary is set by the call */
    memset(s, 0x5a, sizeof(*s));

    if (decode(r, format, 0, body, len) != NGX_OK
        || ngx_analytics_summarise(&r->d, key, EVENTS_NOW, s) != NGX_OK)
    {
        return NULL;
    }

    ngx_analytics_writer_init(&w, memory_alloc, &r->memory, 1);
    ngx_analytics_summary_write(&w, s);
    ngx_analytics_write_raw(&w, "", 1);

    return w.failed ? NULL : (char *) w.start;
}


#endif /* _EVENTS_H_INCLUDED_ */
