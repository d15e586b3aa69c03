
/*
 * The rules by which a zone folds: its program, as text and as it is used.
 *
 * The text is what the configuration says, as a JSON document.  It stands in
 * the log, where everybody who folds it finds it at the same place, and in
 * the zone.  An unknown member is passed over.
 *
 *     {"totals":0,                    seconds that hours are kept, 0: all
 *      "session":1800,                seconds of silence that end one
 *      "timezone":{"name":"Europe/Berlin","offsets":[[0,3600],...]},
 *      "sources":[                    see below
 *          {"classes":3,"types":["ai_call"],"field":"response_time",
 *           "by":"model_used","where":["success=true"],"groups":100}]}
 *
 * A source is a choice of events, and of something in them: what a metric is
 * made of.  Metrics that choose the same share it.  Of each source some
 * classes of figures are kept.
 *
 *     types    of these events only; all if there are none
 *     where    of events that fulfil all of these conditions
 *     by       told apart by what is there
 *     field    the value
 *
 * A path goes from the properties on down, "geo.country".  ":type" is the
 * event's type.  Where one path is not there the next one counts,
 * "tokens|$ai_tokens"; in a field, numbers may be added up,
 * "$ai_input_tokens+$ai_output_tokens".  A condition is a path, one of
 * = != > >= < <=, and a number, or a text (true and false are texts, too);
 * alternatives are separated by "|".  Nothing that is not there fulfils one.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_RULES_H_INCLUDED_
#define _NGX_ANALYTICS_RULES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_event.h"
#include "ngx_analytics_timezone.h"


#define NGX_ANALYTICS_PROGRAM_MAX      32768   /* bytes of text */
#define NGX_ANALYTICS_SOURCES_MAX      64
#define NGX_ANALYTICS_PATHS_MAX        128     /* different ones, of all */
#define NGX_ANALYTICS_GROUPS_DEFAULT   100
#define NGX_ANALYTICS_GROUPS_MAX       1000
#define NGX_ANALYTICS_SESSION_DEFAULT  1800    /* seconds */

/* classes of figures */
#define NGX_ANALYTICS_CLASS_COUNT      0x01    /* events, or numbers there */
#define NGX_ANALYTICS_CLASS_SUM        0x02
#define NGX_ANALYTICS_CLASS_MIN        0x04
#define NGX_ANALYTICS_CLASS_MAX        0x08
#define NGX_ANALYTICS_CLASS_SKETCH     0x10    /* for quantiles */
#define NGX_ANALYTICS_CLASS_UNIQUE     0x20    /* distinct values, or users */
#define NGX_ANALYTICS_CLASSES          6

/* those that are of numbers */
#define NGX_ANALYTICS_CLASS_NUMBER     0x1e


/* words that the points of one event change, at most */
#define NGX_ANALYTICS_RULES_WORDS      1200

/*
 * Those of one point that has so many series: count, sum (2), least and
 * greatest, each of a minute, an hour and a day; and what is counted of the
 * measure.
 * A bin takes 3 in each series, and a register 1.
 */
static ngx_inline ngx_uint_t
ngx_analytics_rules_words(ngx_uint_t classes, ngx_uint_t series)
{
    ngx_uint_t  planes;

    planes = (classes & 0x01) + (classes >> 1 & 0x01) * 2
             + (classes >> 2 & 0x01) + (classes >> 3 & 0x01);

    return series * planes * 3 + 9;
}


/* A source, as it is told; empty texts and arrays if there is nothing. */
typedef struct {
    ngx_uint_t               classes;
    ngx_str_t               *types;
    ngx_uint_t               ntypes;
    ngx_str_t                field;
    ngx_str_t                by;
    ngx_str_t               *where;
    ngx_uint_t               nwhere;
    ngx_uint_t               groups;       /* of by, told apart */
    uint64_t                 signature;    /* all but the classes */
} ngx_analytics_source_t;


typedef struct ngx_analytics_rules_s {
    int64_t                  totals;       /* microseconds; 0: all time */
    int64_t                  session;      /* microseconds */
    ngx_analytics_timezone_t  timezone;
    ngx_analytics_source_t  *sources;
    ngx_uint_t               n;
    uint64_t                 signature;    /* of the text */
    ngx_uint_t               words;        /* that one event can change */

    /* for ngx_analytics_point.c */
    struct ngx_analytics_plans_s  *plans;

    void                    *memory;
} ngx_analytics_rules_t;


/*
 * Prints rules (totals, session, timezone, sources without signatures).
 * Returns a text to be freed by free(), or NULL if there is no memory.
 */
char *ngx_analytics_rules_print(ngx_analytics_rules_t *rules);

/*
 * Reads a text.  Returns NULL if there is no memory, or it is malformed and
 * *why, if why is not NULL, tells.
 */
ngx_analytics_rules_t *ngx_analytics_rules_read(const char *text, size_t len,
    const char **why);
void ngx_analytics_rules_free(ngx_analytics_rules_t *rules);

/* What tells texts apart; 0 of an empty one. */
uint64_t ngx_analytics_rules_signature(const char *text, size_t len);

/* No sources, UTC, half an hour of silence: those of an empty text. */
extern ngx_analytics_rules_t  ngx_analytics_rules_default;

/*
 * Those of a signature, which all threads of a process share, and which stay
 * until it ends: there are as many as there were configurations.  known()
 * returns NULL if they were not asked for before; get() reads them, and
 * returns NULL if there is no memory.  A text that is malformed has the
 * default.
 */
ngx_analytics_rules_t *ngx_analytics_rules_known(uint64_t signature);
ngx_analytics_rules_t *ngx_analytics_rules_get(uint64_t signature,
    const char *text, size_t len);

/* The index of a source with this signature, or NGX_ERROR. */
ngx_int_t ngx_analytics_rules_source(ngx_analytics_rules_t *rules,
    uint64_t signature);


#endif /* _NGX_ANALYTICS_RULES_H_INCLUDED_ */
