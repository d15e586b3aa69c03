
/*
 * Pseudonyms: a keyed hash in place of a user's id, by a key that is forgotten
 * when its day, week or month is over.
 *
 * A pseudonym is "~" and the first 16 bytes of HMAC-SHA-256 (RFC 2104) of the
 * id in base64url (RFC 4648, section 5), 23 bytes in all.  The next period's
 * key is HMAC-SHA-256 of "next" by the key of this one: every process finds it
 * alone, and nobody can go back.
 *
 * The file "pseudonyms" in the log's directory holds the start of the period,
 * microseconds since the epoch in 20 digits, a space, the key in 64 hexadecimal
 * digits, and the end of the line.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_PSEUDONYM_H_INCLUDED_
#define _NGX_ANALYTICS_PSEUDONYM_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_log.h"


#define NGX_ANALYTICS_PSEUDONYM      23     /* bytes of a pseudonym, */
#define NGX_ANALYTICS_PSEUDONYM_KEY  32     /* and of a key */


typedef enum {
    NGX_ANALYTICS_PSEUDONYMS_OFF = 0,
    NGX_ANALYTICS_PSEUDONYMS_NEVER,          /* is the key another one */
    NGX_ANALYTICS_PSEUDONYMS_DAY,            /* of UTC, */
    NGX_ANALYTICS_PSEUDONYMS_WEEK,           /* from Monday on */
    NGX_ANALYTICS_PSEUDONYMS_MONTH
} ngx_analytics_pseudonyms_e;


typedef struct {
    ngx_uint_t               every;          /* ngx_analytics_pseudonyms_e */
    int64_t                  start;          /* microseconds: [start, end) */
    int64_t                  end;            /* INT64_MAX: for ever */
    u_char                   key[NGX_ANALYTICS_PSEUDONYM_KEY];
} ngx_analytics_pseudonyms_t;


/*
 * The key of now, by the file, which is made if there is none, and forgets
 * what is over; blocks.  p->every is set by the caller.  Returns NGX_OK, or
 * NGX_ERROR and *fail (err 0: the file is malformed).
 */
ngx_int_t ngx_analytics_pseudonyms_load(ngx_analytics_pseudonyms_t *p,
    int dir, const char *path, int64_t now, ngx_analytics_fail_t *fail);

/*
 * Goes on to the key of now.  A clock that went back changes nothing.  Returns
 * NGX_OK, NGX_DECLINED if it is the key of now already, or NGX_ERROR if there
 * is no memory.
 */
ngx_int_t ngx_analytics_pseudonyms_turn(ngx_analytics_pseudonyms_t *p,
    int64_t now);

/*
 * Writes the NGX_ANALYTICS_PSEUDONYM bytes for a user by a key.  Returns
 * NGX_OK, or NGX_ERROR if there is no memory.
 */
ngx_int_t ngx_analytics_pseudonym(
    const u_char key[NGX_ANALYTICS_PSEUDONYM_KEY], ngx_str_t *user,
    u_char *buf);

/* Whether a text looks like one. */
ngx_uint_t ngx_analytics_pseudonym_is(ngx_str_t *text);


#endif /* _NGX_ANALYTICS_PSEUDONYM_H_INCLUDED_ */
