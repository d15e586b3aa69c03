
/*
 * What stands in a segment file, written and read.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "ngx_analytics_record.h"
#include "ngx_analytics_crc32c.h"
#include "ngx_analytics_rules.h"


#define NGX_ANALYTICS_RECORD_MARK   0x474e
#define NGX_ANALYTICS_RECORD_TIMES  253402300800000000    /* year 10000 */

#define NGX_ANALYTICS_TAG_TIME        0x01
#define NGX_ANALYTICS_TAG_PROPERTIES  0x02
#define NGX_ANALYTICS_TAG_ID          0x04
#define NGX_ANALYTICS_TAG_SAME_USER   0x08
#define NGX_ANALYTICS_TAG_SAME_TYPE   0x10
#define NGX_ANALYTICS_TAG_EVENT       0x3f     /* all of these */
#define NGX_ANALYTICS_TAG_KEY         0x80
#define NGX_ANALYTICS_TAG_PROGRAM     0x81
#define NGX_ANALYTICS_TAG_ERASE       0x82
#define NGX_ANALYTICS_TAG_REFOLD      0x83


static const u_char  ngx_analytics_segment_magic[8] = "NGXALOG";


static ngx_inline u_char *
ngx_analytics_put16(u_char *p, ngx_uint_t n)
{
    *p++ = (u_char) n;
    *p++ = (u_char) (n >> 8);

    return p;
}


static ngx_inline u_char *
ngx_analytics_put32(u_char *p, uint32_t n)
{
#if !(NGX_HAVE_LITTLE_ENDIAN)
    n = __builtin_bswap32(n);
#endif

    return ngx_cpymem(p, &n, 4);
}


static ngx_inline u_char *
ngx_analytics_put64(u_char *p, uint64_t n)
{
#if !(NGX_HAVE_LITTLE_ENDIAN)
    n = __builtin_bswap64(n);
#endif

    return ngx_cpymem(p, &n, 8);
}


static ngx_inline uint32_t
ngx_analytics_get16(const u_char *p)
{
    return (uint32_t) p[0] | (uint32_t) p[1] << 8;
}


static ngx_inline uint32_t
ngx_analytics_get32(const u_char *p)
{
    uint32_t  n;

    memcpy(&n, p, 4);

#if !(NGX_HAVE_LITTLE_ENDIAN)
    n = __builtin_bswap32(n);
#endif

    return n;
}


static ngx_inline uint64_t
ngx_analytics_get64(const u_char *p)
{
    uint64_t  n;

    memcpy(&n, p, 8);

#if !(NGX_HAVE_LITTLE_ENDIAN)
    n = __builtin_bswap64(n);
#endif

    return n;
}


void
ngx_analytics_segment_write(u_char *p, ngx_analytics_segment_t *segment)
{
    u_char  *start;

    start = p;

    ngx_memzero(p, NGX_ANALYTICS_SEGMENT_HEADER);

    p = ngx_cpymem(p, ngx_analytics_segment_magic, 8);
    p = ngx_analytics_put32(p, NGX_ANALYTICS_LOG_VERSION);
    p = ngx_analytics_put32(p, NGX_ANALYTICS_SEGMENT_HEADER);
    p = ngx_cpymem(p, segment->id, 16);
    p = ngx_analytics_put64(p, segment->key[0]);
    p = ngx_analytics_put64(p, segment->key[1]);
    p = ngx_analytics_put64(p, segment->position);
    p = ngx_analytics_put64(p, segment->seq);
    p = ngx_analytics_put64(p, segment->reserved);
    (void) ngx_analytics_put64(p, (uint64_t) segment->created);

    p = start + NGX_ANALYTICS_SEGMENT_HEADER - 4;
    (void) ngx_analytics_put32(p, ngx_analytics_crc32c(0, start, p - start));
}


/*
 * Of any version the first 16 bytes mean the same, and the sum of the first
 * 124 is at 124: what is damaged is not taken for what is new.
 */
ngx_int_t
ngx_analytics_segment_read(u_char *p, size_t len,
    ngx_analytics_segment_t *segment)
{
    u_char  *sum;

    sum = p + NGX_ANALYTICS_SEGMENT_HEADER - 4;

    if (len < NGX_ANALYTICS_SEGMENT_HEADER
        || memcmp(p, ngx_analytics_segment_magic, 8) != 0
        || ngx_analytics_crc32c(0, p, sum - p) != ngx_analytics_get32(sum))
    {
        return NGX_DECLINED;
    }

    if (ngx_analytics_get32(p + 8) != NGX_ANALYTICS_LOG_VERSION) {
        return NGX_ABORT;
    }

    if (ngx_analytics_get32(p + 12) != NGX_ANALYTICS_SEGMENT_HEADER) {
        return NGX_DECLINED;
    }

    memcpy(segment->id, p + 16, 16);
    segment->key[0] = ngx_analytics_get64(p + 32);
    segment->key[1] = ngx_analytics_get64(p + 40);
    segment->position = ngx_analytics_get64(p + 48);
    segment->seq = ngx_analytics_get64(p + 56);
    segment->reserved = ngx_analytics_get64(p + 64);
    segment->created = (int64_t) ngx_analytics_get64(p + 72);

    return NGX_OK;
}


size_t
ngx_analytics_record_event_size(ngx_analytics_event_t *event)
{
    size_t  size;

    size = 1 + 3 + event->user.len + event->type.len + event->id.len
           + event->properties.len;

    if (event->time != NGX_ANALYTICS_TIME_NONE) {
        size += 8;
    }

    if (event->properties.len) {
        size += 4;
    }

    return size;
}


static ngx_inline ngx_uint_t
ngx_analytics_record_same(ngx_str_t *one, ngx_str_t *two)
{
    return one->len == two->len
           && (one->data == two->data
               || memcmp(one->data, two->data, one->len) == 0);
}


u_char *
ngx_analytics_record_event_write(u_char *p, ngx_analytics_event_t *event,
    ngx_analytics_event_t *previous)
{
    size_t       len;
    u_char      *start;
    ngx_uint_t   tag;

    start = p++;
    tag = 0;

    if (previous && ngx_analytics_record_same(&event->user, &previous->user)) {
        tag |= NGX_ANALYTICS_TAG_SAME_USER;

    } else {
        *p++ = (u_char) event->user.len;
    }

    if (previous && ngx_analytics_record_same(&event->type, &previous->type)) {
        tag |= NGX_ANALYTICS_TAG_SAME_TYPE;

    } else {
        *p++ = (u_char) event->type.len;
    }

    if (event->id.len) {
        tag |= NGX_ANALYTICS_TAG_ID;
        *p++ = (u_char) event->id.len;
    }

    if (event->time != NGX_ANALYTICS_TIME_NONE) {
        tag |= NGX_ANALYTICS_TAG_TIME;
        p = ngx_analytics_put64(p, (uint64_t) event->time);
    }

    if (event->properties.len) {
        tag |= NGX_ANALYTICS_TAG_PROPERTIES;

        for (len = event->properties.len; len >= 0x80; len >>= 7) {
            *p++ = (u_char) (len | 0x80);
        }

        *p++ = (u_char) len;
    }

    if (!(tag & NGX_ANALYTICS_TAG_SAME_USER)) {
        p = ngx_cpymem(p, event->user.data, event->user.len);
    }

    if (!(tag & NGX_ANALYTICS_TAG_SAME_TYPE)) {
        p = ngx_cpymem(p, event->type.data, event->type.len);
    }

    if (event->id.len) {
        p = ngx_cpymem(p, event->id.data, event->id.len);
    }

    if (event->properties.len) {
        p = ngx_cpymem(p, event->properties.data, event->properties.len);
    }

    *start = (u_char) tag;

    return p;
}


u_char *
ngx_analytics_record_key_write(u_char *p, ngx_analytics_record_key_t *key)
{
    *p++ = NGX_ANALYTICS_TAG_KEY;

    p = ngx_analytics_put64(p, key->hash);
    p = ngx_cpymem(p, key->digest, NGX_ANALYTICS_DIGEST);
    p = ngx_analytics_put32(p, key->done);
    p = ngx_analytics_put64(p, key->first);

    return ngx_analytics_put64(p, key->last);
}


u_char *
ngx_analytics_record_program_write(u_char *p,
    ngx_analytics_program_t *program)
{
    *p++ = NGX_ANALYTICS_TAG_PROGRAM;

    p = ngx_analytics_put32(p, (uint32_t) program->len);

    return ngx_cpymem(p, program->text, program->len);
}


u_char *
ngx_analytics_record_refold_write(u_char *p,
    ngx_analytics_record_refold_t *refold)
{
    *p++ = NGX_ANALYTICS_TAG_REFOLD;

    p = ngx_analytics_put64(p, refold->signature);
    p = ngx_analytics_put32(p, refold->classes);
    p = ngx_analytics_put64(p, refold->from);
    p = ngx_analytics_put64(p, refold->to);
    p = ngx_analytics_put64(p, (uint64_t) refold->since);

    return ngx_analytics_put32(p, (uint32_t) refold->entries.len);
}


u_char *
ngx_analytics_record_erase_write(u_char *p, uint64_t hash)
{
    *p++ = NGX_ANALYTICS_TAG_ERASE;

    return ngx_analytics_put64(p, hash);
}


size_t
ngx_analytics_record_pad(u_char *record, u_char *last, uint32_t *crc)
{
    size_t   len;
    u_char  *payload;

    payload = record + NGX_ANALYTICS_RECORD_HEADER;
    len = ngx_align(last - record, 8);

    ngx_memzero(last, record + len - last);

    *crc = ngx_analytics_crc32c(0, payload, record + len - payload);

    return len;
}


void
ngx_analytics_record_finish(u_char *record, size_t len, uint32_t crc,
    u_char *last, uint64_t seq, int64_t received, ngx_uint_t n)
{
    u_char  *p;

    p = ngx_analytics_put64(record + 8, seq);
    p = ngx_analytics_put64(p, (uint64_t) received);
    p = ngx_analytics_put32(p, (uint32_t) n);
    p = ngx_analytics_put16(p, NGX_ANALYTICS_RECORD_MARK);
    (void) ngx_analytics_put16(p, record + len - last);

    crc = ngx_analytics_crc32c(crc, record + 8,
                               NGX_ANALYTICS_RECORD_HEADER - 8);

    p = ngx_analytics_put32(record, (uint32_t) len);
    (void) ngx_analytics_put32(p, crc);
}


static uint32_t
ngx_analytics_record_sum(u_char *record, size_t len)
{
    uint32_t  crc;

    crc = ngx_analytics_crc32c(0, record + NGX_ANALYTICS_RECORD_HEADER,
                               len - NGX_ANALYTICS_RECORD_HEADER);

    return ngx_analytics_crc32c(crc, record + 8,
                                NGX_ANALYTICS_RECORD_HEADER - 8);
}


void
ngx_analytics_record_seal(u_char *record, size_t len)
{
    (void) ngx_analytics_put32(record + 4,
                               ngx_analytics_record_sum(record, len));
}


ngx_int_t
ngx_analytics_record_read(u_char *p, size_t len, ngx_analytics_record_t *r)
{
    size_t    room;
    u_char   *payload;
    int64_t   received;
    uint32_t  size, n, padding;
    uint64_t  seq;

    if (len < NGX_ANALYTICS_RECORD_HEADER) {
        r->len = NGX_ANALYTICS_RECORD_HEADER;
        return NGX_AGAIN;
    }

    /* first what is cheap to tell: this is called for damaged bytes, too */

    size = ngx_analytics_get32(p);

    if (ngx_analytics_get16(p + 28) != NGX_ANALYTICS_RECORD_MARK
        || size < NGX_ANALYTICS_RECORD_HEADER
        || size > NGX_ANALYTICS_RECORD_MAX
        || size % 8)
    {
        return NGX_DECLINED;
    }

    seq = ngx_analytics_get64(p + 8);
    received = (int64_t) ngx_analytics_get64(p + 16);
    n = ngx_analytics_get32(p + 24);
    padding = ngx_analytics_get16(p + 30);
    room = size - NGX_ANALYTICS_RECORD_HEADER;

    if (padding > 7 || padding > room || n > room - padding
        || seq > UINT64_MAX - n
        || received < 0 || received >= NGX_ANALYTICS_RECORD_TIMES)
    {
        return NGX_DECLINED;
    }

    r->len = size;

    if (len < size) {
        return NGX_AGAIN;
    }

    payload = p + NGX_ANALYTICS_RECORD_HEADER;

    if (ngx_analytics_record_sum(p, size) != ngx_analytics_get32(p + 4)) {
        return NGX_DECLINED;
    }

    r->seq = seq;
    r->received = received;
    r->n = n;
    r->pos = payload;
    r->last = p + size - padding;
    r->taken = 0;

    ngx_str_null(&r->user);
    ngx_str_null(&r->type);

    return NGX_OK;
}


/* Takes the next len bytes as a text. */
static ngx_inline ngx_int_t
ngx_analytics_record_text(ngx_analytics_record_t *r, size_t len,
    ngx_str_t *text)
{
    if ((size_t) (r->last - r->pos) < len) {
        return NGX_ERROR;
    }

    text->data = r->pos;
    text->len = len;
    r->pos += len;

    return NGX_OK;
}


/* The lengths of an event's texts. */
typedef struct {
    size_t      user;
    size_t      type;
    size_t      id;
    size_t      properties;
} ngx_analytics_record_lengths_t;


static ngx_inline ngx_int_t
ngx_analytics_record_length(ngx_analytics_record_t *r, size_t *len)
{
    if (r->pos == r->last || *r->pos == 0) {
        return NGX_ERROR;
    }

    *len = *r->pos++;

    return NGX_OK;
}


static ngx_inline ngx_int_t
ngx_analytics_record_varint(ngx_analytics_record_t *r, size_t *len)
{
    u_char      c;
    ngx_uint_t  shift;

    *len = 0;

    for (shift = 0; shift < 28; shift += 7) {
        if (r->pos == r->last) {
            return NGX_ERROR;
        }

        c = *r->pos++;
        *len |= (size_t) (c & 0x7f) << shift;

        if (c < 0x80) {
            return *len ? NGX_OK : NGX_ERROR;
        }
    }

    return NGX_ERROR;
}


/* What stands before an event's texts, but for its tag. */
static ngx_inline ngx_int_t
ngx_analytics_record_event_head(ngx_analytics_record_t *r, ngx_uint_t tag,
    ngx_analytics_event_t *event, ngx_analytics_record_lengths_t *len)
{
    ngx_memzero(len, sizeof(ngx_analytics_record_lengths_t));

    if ((!(tag & NGX_ANALYTICS_TAG_SAME_USER)
         && ngx_analytics_record_length(r, &len->user) != NGX_OK)
        || (!(tag & NGX_ANALYTICS_TAG_SAME_TYPE)
            && ngx_analytics_record_length(r, &len->type) != NGX_OK)
        || ((tag & NGX_ANALYTICS_TAG_ID)
            && ngx_analytics_record_length(r, &len->id) != NGX_OK))
    {
        return NGX_ERROR;
    }

    event->time = NGX_ANALYTICS_TIME_NONE;

    if (tag & NGX_ANALYTICS_TAG_TIME) {
        if (r->last - r->pos < 8) {
            return NGX_ERROR;
        }

        event->time = (int64_t) ngx_analytics_get64(r->pos);
        r->pos += 8;

        if (event->time < 0 || event->time >= NGX_ANALYTICS_RECORD_TIMES) {
            return NGX_ERROR;
        }
    }

    if (tag & NGX_ANALYTICS_TAG_PROPERTIES) {
        return ngx_analytics_record_varint(r, &len->properties);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_record_event(ngx_analytics_record_t *r, ngx_uint_t tag,
    ngx_analytics_event_t *event)
{
    ngx_analytics_record_lengths_t  len;

    ngx_memzero(event, sizeof(ngx_analytics_event_t));

    if ((tag & ~NGX_ANALYTICS_TAG_EVENT) || r->taken == r->n
        || ngx_analytics_record_event_head(r, tag, event, &len) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if ((len.user && ngx_analytics_record_text(r, len.user, &r->user))
        || (len.type && ngx_analytics_record_text(r, len.type, &r->type))
        || (len.id && ngx_analytics_record_text(r, len.id, &event->id))
        || (len.properties && ngx_analytics_record_text(r, len.properties,
                                                       &event->properties)))
    {
        return NGX_ERROR;
    }

    /* the first event must not refer to one before it */

    if (r->user.len == 0 || r->type.len == 0) {
        return NGX_ERROR;
    }

    event->user = r->user;
    event->type = r->type;
    r->taken++;

    if (tag & NGX_ANALYTICS_TAG_ERASED) {
        ngx_str_null(&event->user);
        ngx_str_null(&event->id);
        ngx_str_null(&event->properties);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_record_key(ngx_analytics_record_t *r,
    ngx_analytics_record_key_t *key)
{
    if (r->last - r->pos < NGX_ANALYTICS_RECORD_KEY - 1) {
        return NGX_ERROR;
    }

    key->hash = ngx_analytics_get64(r->pos);
    r->pos += 8;

    memcpy(key->digest, r->pos, NGX_ANALYTICS_DIGEST);
    r->pos += NGX_ANALYTICS_DIGEST;

    key->done = ngx_analytics_get32(r->pos);
    key->first = ngx_analytics_get64(r->pos + 4);
    key->last = ngx_analytics_get64(r->pos + 12);
    r->pos += 20;

    return (key->hash == 0 || key->first > key->last) ? NGX_ERROR : NGX_OK;
}


/* Bytes behind their length. */

static ngx_int_t
ngx_analytics_record_slice(ngx_analytics_record_t *r, ngx_str_t *slice)
{
    if (r->last - r->pos < 4) {
        return NGX_ERROR;
    }

    slice->len = ngx_analytics_get32(r->pos);
    slice->data = r->pos + 4;
    r->pos += 4;

    if ((size_t) (r->last - r->pos) < slice->len) {
        return NGX_ERROR;
    }

    r->pos += slice->len;

    return NGX_OK;
}


static ngx_int_t
ngx_analytics_record_program(ngx_analytics_record_t *r,
    ngx_analytics_program_t *program)
{
    ngx_str_t  text;

    if (ngx_analytics_record_slice(r, &text) != NGX_OK
        || text.len > NGX_ANALYTICS_PROGRAM_MAX)
    {
        return NGX_ERROR;
    }

    program->text = (char *) text.data;
    program->len = text.len;
    program->signature = ngx_analytics_rules_signature(program->text,
                                                       text.len);
    return NGX_OK;
}


static ngx_int_t
ngx_analytics_record_refold(ngx_analytics_record_t *r,
    ngx_analytics_record_refold_t *refold)
{
    if (r->last - r->pos < 8 + 4 + 8 + 8 + 8) {
        return NGX_ERROR;
    }

    refold->signature = ngx_analytics_get64(r->pos);
    refold->classes = ngx_analytics_get32(r->pos + 8);
    refold->from = ngx_analytics_get64(r->pos + 12);
    refold->to = ngx_analytics_get64(r->pos + 20);
    refold->since = (int64_t) ngx_analytics_get64(r->pos + 28);
    r->pos += 36;

    if (refold->from >= refold->to) {
        return NGX_ERROR;
    }

    return ngx_analytics_record_slice(r, &refold->entries);
}


static ngx_int_t
ngx_analytics_record_hash(ngx_analytics_record_t *r, uint64_t *hash)
{
    if (r->last - r->pos < 8) {
        return NGX_ERROR;
    }

    *hash = ngx_analytics_get64(r->pos);
    r->pos += 8;

    return NGX_OK;
}


ngx_int_t
ngx_analytics_record_item(ngx_analytics_record_t *r,
    ngx_analytics_item_t *item)
{
    ngx_uint_t  tag;

    if (r->pos == r->last) {
        return r->taken == r->n ? NGX_DONE : NGX_ERROR;
    }

    tag = *r->pos++;

    switch (tag) {

    case NGX_ANALYTICS_TAG_KEY:
        item->kind = NGX_ANALYTICS_ITEM_KEY;
        return ngx_analytics_record_key(r, &item->key);

    case NGX_ANALYTICS_TAG_PROGRAM:
        item->kind = NGX_ANALYTICS_ITEM_PROGRAM;
        return ngx_analytics_record_program(r, &item->program);

    case NGX_ANALYTICS_TAG_ERASE:
        item->kind = NGX_ANALYTICS_ITEM_ERASE;
        return ngx_analytics_record_hash(r, &item->erase);

    case NGX_ANALYTICS_TAG_REFOLD:
        item->kind = NGX_ANALYTICS_ITEM_REFOLD;
        return ngx_analytics_record_refold(r, &item->refold);

    default:
        item->kind = NGX_ANALYTICS_ITEM_EVENT;
        return ngx_analytics_record_event(r, tag, &item->event);
    }
}
