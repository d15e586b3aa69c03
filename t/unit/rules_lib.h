
/*
 * Programs for zones: texts as a configuration would make them.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _RULES_LIB_H_INCLUDED_
#define _RULES_LIB_H_INCLUDED_


#include <stdio.h>
#include <string.h>

#include "ngx_analytics_rules.h"
#include "ngx_analytics_zone.h"


/* Has a zone fold by a text. */
static inline void
rules_publish(ngx_analytics_zone_t *z, const char *text)
{
    ngx_analytics_program_t  program;

    program.text = text;
    program.len = strlen(text);
    program.signature = ngx_analytics_rules_signature(text, program.len);

    ngx_analytics_zone_program(z, &program);
}


/* A program that keeps hours for so long, whole seconds. */
static inline void
rules_totals(ngx_analytics_zone_t *z, int64_t usec)
{
    char  text[64];

    snprintf(text, sizeof(text), "{\"totals\":%lld}",
             (long long) (usec / 1000000));

    rules_publish(z, text);
}


#endif /* _RULES_LIB_H_INCLUDED_ */
