
/*
 * A model of the zone that is slow and plain: names in arrays, a counter a
 * cell, nothing shared with the code it checks.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _ZONE_MODEL_H_INCLUDED_
#define _ZONE_MODEL_H_INCLUDED_


#include <stdlib.h>
#include <time.h>
#include "zone_lib.h"


/* what the model knows */

typedef struct {
    uint32_t                type;
    uint64_t                count;
} model_entry_t;

typedef struct {
    u_char                  name[256];
    size_t                  len;
    uint64_t                count;
    int64_t                 first;
    int64_t                 last;
    model_entry_t          *types;
    size_t                  ntypes;
} model_name_t;

typedef struct {
    model_name_t           *names;
    size_t                  n;
    size_t                  max;
    uint32_t               *table;     /* 1 + number, open addressing */
    size_t                  mask;
} model_names_t;

typedef struct {
    uint64_t                key;       /* 0: free */
    uint64_t                count;
} model_cell_t;

typedef struct {
    model_names_t           users;
    model_names_t           types;
    model_cell_t           *cells;
    size_t                  mask;
    size_t                  ncells;
    uint64_t                events;
    uint64_t                hour_of_day[24];
} model_t;


static void
model_names_init(model_names_t *t, size_t max)
{
    size_t  n;

    for (n = 1; n < max * 2; n *= 2) { /* void */ }

    t->names = calloc(max, sizeof(model_name_t));
    t->n = 0;
    t->max = max;
    t->table = calloc(n, sizeof(uint32_t));
    t->mask = n - 1;
}


static void
model_names_free(model_names_t *t)
{
    size_t  i;

    for (i = 0; i < t->n; i++) {
        free(t->names[i].types);
    }

    free(t->names);
    free(t->table);
}


static model_name_t *
model_name(model_names_t *t, const u_char *name, size_t len)
{
    size_t         i;
    uint64_t       h;
    model_name_t  *m;

    for (h = 14695981039346656037ULL, i = 0; i < len; i++) {
        h = (h ^ name[i]) * 1099511628211ULL;
    }

    for (h &= t->mask; t->table[h]; h = (h + 1) & t->mask) {
        m = &t->names[t->table[h] - 1];

        if (m->len == len && memcmp(m->name, name, len) == 0) {
            return m;
        }
    }

    if (t->n == t->max) {
        diag("the model is too small");
        exit(2);
    }

    m = &t->names[t->n++];
    memcpy(m->name, name, len);
    m->len = len;

    t->table[h] = (uint32_t) t->n;

    return m;
}


static uint64_t
model_key(int level, size_t series, int64_t bucket)
{
    return ((uint64_t) (level + 1) << 60) | ((uint64_t) series << 40)
           | (uint64_t) bucket;
}


static uint64_t *
model_cell(model_t *m, uint64_t key)
{
    size_t  h;

    for (h = (key * 0x9e3779b97f4a7c15ULL >> 20) & m->mask;
         m->cells[h].key && m->cells[h].key != key;
         h = (h + 1) & m->mask)
    { /* void */ }

    if (m->cells[h].key == 0) {
        m->cells[h].key = key;

        if (++m->ncells > m->mask / 2) {
            diag("the model has too few cells");
            exit(2);
        }
    }

    return &m->cells[h].count;
}


static uint64_t
model_cell_count(model_t *m, uint64_t key)
{
    size_t  h;

    for (h = (key * 0x9e3779b97f4a7c15ULL >> 20) & m->mask;
         m->cells[h].key;
         h = (h + 1) & m->mask)
    {
        if (m->cells[h].key == key) {
            return m->cells[h].count;
        }
    }

    return 0;
}


static void
model_init(model_t *m)
{
    memset(m, 0, sizeof(model_t));

    model_names_init(&m->users, 200000);
    model_names_init(&m->types, 2000);

    m->mask = (1 << 22) - 1;
    m->cells = calloc(m->mask + 1, sizeof(model_cell_t));
}


static void
model_free(model_t *m)
{
    model_names_free(&m->users);
    model_names_free(&m->types);
    free(m->cells);
}


static void
model_fold(model_t *m, ngx_analytics_event_t *event, int64_t received)
{
    size_t         i, type;
    int64_t        t;
    time_t         seconds;
    struct tm      tm;
    model_name_t  *user;

    t = (event->time == NGX_ANALYTICS_TIME_NONE) ? received : event->time;

    m->events++;

    seconds = (time_t) (t / ZONE_SECOND);
    gmtime_r(&seconds, &tm);
    m->hour_of_day[tm.tm_hour]++;

    type = model_name(&m->types, event->type.data, event->type.len)
           - m->types.names;
    m->types.names[type].count++;

    user = model_name(&m->users, event->user.data, event->user.len);

    if (user->count++ == 0) {
        user->first = t;
        user->last = t;
    }

    user->first = ngx_min(user->first, t);
    user->last = ngx_max(user->last, t);

    for (i = 0; i < user->ntypes && user->types[i].type != type; i++) {
        /* void */
    }

    if (i == user->ntypes) {
        user->types = realloc(user->types, (i + 1) * sizeof(model_entry_t));
        user->types[i].type = (uint32_t) type;
        user->types[i].count = 0;
        user->ntypes++;
    }

    user->types[i].count++;

    ++*model_cell(m, model_key(0, 0, t / ZONE_MINUTE));
    ++*model_cell(m, model_key(0, type + 1, t / ZONE_MINUTE));
    ++*model_cell(m, model_key(1, 0, t / ZONE_HOUR));
    ++*model_cell(m, model_key(1, type + 1, t / ZONE_HOUR));
}


/* the zone's order, written again: count descending, then name ascending */

static int
model_cmp(const void *a, const void *b)
{
    int                  rc;
    const model_name_t  *one, *two;

    one = *(model_name_t * const *) a;
    two = *(model_name_t * const *) b;

    if (one->count != two->count) {
        return one->count > two->count ? -1 : 1;
    }

    rc = memcmp(one->name, two->name, ngx_min(one->len, two->len));

    return rc ? rc : (one->len < two->len ? -1 : one->len > two->len);
}


static model_name_t **
model_sorted(model_names_t *t)
{
    size_t          i;
    model_name_t  **sorted;

    sorted = malloc((t->n + 1) * sizeof(model_name_t *));

    for (i = 0; i < t->n; i++) {
        sorted[i] = &t->names[i];
    }

    qsort(sorted, t->n, sizeof(model_name_t *), model_cmp);

    return sorted;
}


#endif /* _ZONE_MODEL_H_INCLUDED_ */
