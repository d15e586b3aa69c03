
/*
 * Sessions: events of a user that follow each other without a silence as long
 * as the program says.  A session counts on the day on which it began, and
 * takes from its first event to its last.
 *
 * Of each user the last two are known.  An event that comes late joins the one
 * that it belongs to, and makes one of two that it bridges.  Where it belongs
 * to neither it is a session of its own, unless it lies before those that are
 * known and there were others before them: then nobody knows what it would
 * have belonged to, and it is counted as late.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_SESSIONS_H_INCLUDED_
#define _NGX_ANALYTICS_SESSIONS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_layout.h"


/* in nsessions: there were others before those that are known */
#define NGX_ANALYTICS_SESSIONS_MORE   0x80

#define ngx_analytics_sessions_known(user)                                    \
    ((ngx_uint_t) (user)->nsessions & ~(ngx_uint_t) NGX_ANALYTICS_SESSIONS_MORE)

/* series of days that one event can change */
#define NGX_ANALYTICS_SESSIONS_NEED   8

/* words saved for undo, at most: both sessions, how many, and late ones */
#define NGX_ANALYTICS_SESSIONS_WORDS                                          \
    (NGX_ANALYTICS_SESSIONS_NEED * (NGX_ANALYTICS_CHUNK_WORDS + 2) + 6)


/* Adds an event of a user to the user's sessions. */
void ngx_analytics_sessions_fold(ngx_analytics_zone_t *z,
    ngx_analytics_rules_t *rules, uint32_t block, int64_t time);


#endif /* _NGX_ANALYTICS_SESSIONS_H_INCLUDED_ */
