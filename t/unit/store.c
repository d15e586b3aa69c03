
/*
 * The store: what is asked of it and of the log's tail is what a list of the
 * same events says, however they are spread over parts.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "log_lib.h"
#include "ngx_analytics_find.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_store.h"


#define EVENTS   6000
#define USERS    40
#define TYPES    7
#define BASE     LOG_NOW


typedef struct {
    uint64_t    id;
    int64_t     time;
    int64_t     received;
    int         user;
    int         type;
    int         erased;
} known_t;


static known_t               known[EVENTS];
static size_t                nknown;
static ngx_analytics_log_t   store_log;
static ngx_uint_t            stop;
static uint64_t              random_state = 88172645463325252ULL;


static uint64_t
rnd(uint64_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;

    return (random_state >> 20) % n;
}


/* Some names have to be quoted, and one is as long as may be. */

static void
user_name(int user, char *name)
{
    if (user == 0) {
        memset(name, 'x', 255);
        name[255] = '\0';
        return;
    }

    sprintf(name, "%s%d", user % 3 ? "u'\"%_" : "\xc3\xa9;--", user);
}


static void
type_name(int type, char *name)
{
    sprintf(name, "type %d", type);
}


static void
properties_of(const known_t *k, char *text)
{
    if (k->id % 5 == 0) {
        *text = '\0';
        return;
    }

    sprintf(text, "{\"n\":%" PRIu64 ",\"s\":\"%.*s\"}", k->id,
            (int) (k->id % 90), "0123456789012345678901234567890123456789"
            "01234567890123456789012345678901234567890123456789");
}


/* The id that its sender gave it: every third has one. */

static void
own_of(const known_t *k, char *text)
{
    *text = '\0';

    if (k->id % 3 == 0) {
        sprintf(text, "own-%" PRIu64, k->id);
    }
}


/*
 * Appends a record of events, most of which have times of their own; several
 * records may have one time of receipt.
 */

static void
append_at(ngx_uint_t n, int64_t now)
{
    char                   users[2][256], types[2][32], text[512], own[32];
    size_t                 len;
    u_char                *buf, *p;
    int64_t                received;
    uint64_t               seq;
    uint32_t               crc;
    ngx_uint_t             i;
    known_t               *k;
    ngx_analytics_fail_t   fail;
    ngx_analytics_event_t  event, previous;

    buf = malloc(1024 * (n + 1));
    must(buf != NULL && ngx_analytics_log_lock(&store_log) == NGX_OK);

    ngx_analytics_log_next(&store_log, now, &seq, &received);

    p = buf + NGX_ANALYTICS_RECORD_HEADER;

    for (i = 0; i < n; i++) {
        k = &known[nknown++];

        k->id = seq + i;
        k->received = received;
        k->user = (int) (rnd(3) ? rnd(USERS) : rnd(3));
        k->type = (int) rnd(TYPES);
        k->time = received;

        ngx_memzero(&event, sizeof(event));
        event.time = NGX_ANALYTICS_TIME_NONE;

        if (rnd(4)) {
            k->time = received - (int64_t) rnd(20) * 500000;
            event.time = k->time;
        }

        if (rnd(50) == 0) {
            k->time = (int64_t) rnd(1000);
            event.time = k->time;
        }

        user_name(k->user, users[i % 2]);
        type_name(k->type, types[i % 2]);
        properties_of(k, text);
        own_of(k, own);

        event.user.data = (u_char *) users[i % 2];
        event.user.len = strlen(users[i % 2]);
        event.type.data = (u_char *) types[i % 2];
        event.type.len = strlen(types[i % 2]);
        event.properties.data = (u_char *) text;
        event.properties.len = strlen(text);
        event.id.data = (u_char *) own;
        event.id.len = strlen(own);

        p = ngx_analytics_record_event_write(p, &event, i ? &previous : NULL);
        previous = event;
    }

    len = ngx_analytics_record_pad(buf, p, &crc);
    ngx_analytics_record_finish(buf, len, crc, p, seq, received, n);

    must(ngx_analytics_log_append(&store_log, buf, len, n, &fail) == NGX_OK);

    ngx_analytics_log_unlock(&store_log);
    free(buf);
}


static void
append(ngx_uint_t n)
{
    append_at(n, BASE + (int64_t) (nknown / 100) * 1000000);
}


static void
configure(ngx_analytics_store_conf_t *conf)
{
    ngx_analytics_fail_t   fail;
    ngx_analytics_tail_t  *tail;

    must(ngx_analytics_log_sync(&store_log, &fail) == NGX_OK);

    tail = ngx_analytics_log_tail(&store_log);

    ngx_memzero(conf, sizeof(ngx_analytics_store_conf_t));

    conf->dir = store_log.dir;
    conf->path = store_log.path;
    conf->log_id = store_log.control->id;
    conf->synced = tail->position;
    conf->seq = tail->seq;
    conf->all = 1;
    conf->now = BASE;
    conf->needed = INT64_MAX;
}


/* Until there is nothing left to be done.  Returns how much was. */

static ngx_uint_t
work(ngx_analytics_store_conf_t *conf)
{
    ngx_int_t             rc;
    ngx_uint_t            n;
    ngx_analytics_fail_t  fail;

    for (n = 0; n < 1000; n++) {
        fail.text[0] = '\0';
        rc = ngx_analytics_store_step(conf, &fail);

        if (rc != NGX_OK) {
            break;
        }
    }

    if (rc != NGX_DONE) {
        diag("step: %d %s", (int) rc, fail.text);
    }

    return (rc == NGX_DONE) ? n : 10000;
}


/* The list's answer, in an order of its own making. */

static ngx_analytics_filter_t  *sorting;

static int
known_cmp(const void *one, const void *two)
{
    int             cmp;
    const known_t  *a = *(known_t *const *) one, *b = *(known_t *const *) two;

    cmp = 0;

    if (!sorting->received) {
        cmp = a->time < b->time ? -1 : a->time > b->time;
    }

    if (cmp == 0) {
        cmp = a->id < b->id ? -1 : a->id > b->id;
    }

    return sorting->descending ? -cmp : cmp;
}


static size_t
expect(ngx_analytics_filter_t *filter, int user, int type, int64_t since,
    uint64_t seq, known_t **rows)
{
    size_t    i, n;
    int64_t   time;
    known_t   after, *a, *k;

    sorting = filter;
    after.time = filter->after_time;
    after.id = filter->after_id;
    a = &after;

    for (n = 0, i = 0; i < nknown; i++) {
        k = &known[i];
        time = filter->received ? k->received : k->time;

        if ((user < 0 || (k->user == user && !k->erased))
            && (type < 0 || k->type == type)
            && !(filter->known && k->erased)
            && time >= filter->from && time < filter->to
            && k->received >= since && (seq == 0 || k->id < seq)
            && (!filter->after || known_cmp(&k, &a) > 0))
        {
            rows[n++] = k;
        }
    }

    qsort(rows, n, sizeof(known_t *), known_cmp);

    return n;
}


static ngx_uint_t
same_text(const ngx_str_t *text, const char *expected)
{
    return text->len == strlen(expected)
           && (text->len == 0 || memcmp(text->data, expected, text->len) == 0);
}


static ngx_uint_t
same_row(ngx_analytics_row_t *row, const known_t *k)
{
    char  user[256], type[32], own[32], properties[512];

    user_name(k->user, user);
    type_name(k->type, type);
    own_of(k, own);
    properties_of(k, properties);

    if (k->erased) {
        *own = '\0';
        *user = '\0';
        *properties = '\0';
    }

    return row->id == k->id && row->time == k->time
           && row->received == k->received
           && same_text(&row->user, user) && same_text(&row->type, type)
           && same_text(&row->own, own)
           && same_text(&row->properties, properties);
}


static int64_t
random_time(void)
{
    return rnd(20) ? BASE - 12000000 + (int64_t) rnd(80) * 1000000
                     + (int64_t) rnd(2) * 500000
                   : (int64_t) rnd(1200);
}


/* One random question.  Returns 1 if the answer is wrong. */

static ngx_uint_t
question(known_t **rows)
{
    int                         user, type;
    char                        names[2][256];
    size_t                      n, i;
    known_t                    *k;
    ngx_int_t                   rc;
    ngx_analytics_row_t         row;
    ngx_analytics_fail_t        fail;
    ngx_analytics_find_t       *find;
    ngx_analytics_find_conf_t   conf;

    ngx_memzero(&conf, sizeof(conf));

    conf.dir = store_log.dir;
    conf.path = store_log.path;
    conf.key = store_log.control->key;
    conf.tail = ngx_analytics_log_position(&store_log);
    conf.seq = rnd(3) ? 0 : known[rnd(nknown)].id;
    conf.stop = &stop;
    conf.filter.known = rnd(2);
    conf.filter.since = rnd(5) ? INT64_MIN : BASE + (int64_t) rnd(60) * 1000000;
    conf.skip = rnd(2) ? 0 : rnd(40);
    conf.memory = rnd(2) ? 0 : 1 + rnd(20000);
    conf.limit = rnd(8) ? rnd(100) : UINT64_MAX;

    conf.filter.from = rnd(2) ? INT64_MIN : random_time();
    conf.filter.to = rnd(2) ? INT64_MAX : random_time();
    conf.filter.received = rnd(2);
    conf.filter.descending = rnd(2);
    conf.filter.after = (rnd(3) == 0);

    k = &known[rnd(nknown)];
    conf.filter.after_time = k->time;
    conf.filter.after_id = k->id;

    user = rnd(2) ? (int) rnd(USERS + 1) : -1;
    type = rnd(3) ? -1 : (int) rnd(TYPES + 1);

    user_name(user, names[0]);
    type_name(type, names[1]);

    conf.filter.user.data = (u_char *) names[0];
    conf.filter.user.len = (user < 0) ? 0 : strlen(names[0]);
    conf.filter.type.data = (u_char *) names[1];
    conf.filter.type.len = (type < 0) ? 0 : strlen(names[1]);

    n = expect(&conf.filter, user, type, conf.filter.since, conf.seq, rows);
    n = (n > conf.skip) ? n - conf.skip : 0;
    n = ngx_min(n, conf.limit);

    find = ngx_analytics_find_open(&conf, &fail);

    if (find == NULL) {
        diag("%s", fail.text);
        return 1;
    }

    for (i = 0; i <= n; i++) {
        rc = ngx_analytics_find_next(find, &row, &fail);

        if (i == n ? rc != NGX_DONE
                   : rc != NGX_OK || !same_row(&row, rows[conf.skip + i]))
        {
            diag("user %d type %d skip %d limit %jd received %d desc %d "
                 "after %d: row %zu of %zu: %d, id %" PRIu64, user, type,
                 (int) conf.skip, (intmax_t) conf.limit,
                 conf.filter.received, conf.filter.descending,
                 conf.filter.after, i, n, (int) rc, row.id);
            break;
        }
    }

    i = (i <= n) || ngx_analytics_find_incomplete(find);

    ngx_analytics_find_close(find);

    return i;
}


static void
questions(ngx_uint_t n, const char *name)
{
    known_t     **rows;
    ngx_uint_t    i, wrong;

    rows = malloc(EVENTS * sizeof(known_t *));
    must(rows != NULL);

    for (i = 0, wrong = 0; i < n && wrong < 5; i++) {
        wrong += question(rows);
    }

    is_u64(wrong, 0, "%s: %zu questions", name, (size_t) n);

    free(rows);
}


static ngx_uint_t
parts(ngx_analytics_store_list_t *list)
{
    ngx_uint_t            n;
    ngx_analytics_fail_t  fail;

    must(ngx_analytics_store_list(store_log.dir, store_log.path, list, &fail)
         == NGX_OK);

    n = list->n;
    ngx_analytics_store_free(list);

    return n;
}


static void
test_questions(void)
{
    ngx_uint_t                  i, n;
    ngx_analytics_store_list_t  list;
    ngx_analytics_store_conf_t  conf;

    for (i = 0; i < 30; i++) {
        append(1 + rnd(60));
    }

    questions(300, "all of it in the log");

    configure(&conf);
    ok(work(&conf) < 10, "a part is written");
    is_u64(conf.to, conf.synced, "of all that there is");
    questions(300, "all of it in a part");

    for (i = 0; i < 10; i++) {
        append(1 + rnd(60));
    }

    questions(300, "a part, and the log");

    for (i = 0; i < 60; i++) {
        append(1 + rnd(60));

        if (rnd(2)) {
            configure(&conf);
            must(work(&conf) < 100);
        }
    }

    n = parts(&list);
    ok(n && n < 8, "after many small ones, %zu parts", (size_t) n);

    while (parts(&list) < 4) {
        append(1 + rnd(60));
        configure(&conf);
        must(work(&conf) < 100);
    }

    append(1 + rnd(60));

    is_u64(list.missing, 0, "nothing is missing between them");
    questions(1500, "many parts, and the log");
}


/*
 * Somebody of whom there are many is being erased, and then has been; what
 * comes afterwards is there.
 */

#define VICTIM  2

static void
test_erased(void)
{
    char                      name[256];
    size_t                    i;
    uint64_t                  n, end;
    ngx_analytics_fail_t      fail;
    ngx_analytics_erasing_t   erasing;

    append(400);
    user_name(VICTIM, name);

    erasing.n = 1;
    erasing.users[0].hash = ngx_analytics_siphash(store_log.control->key,
                                                  (u_char *) name,
                                                  strlen(name));
    erasing.users[0].seq = ngx_analytics_log_tail(&store_log)->seq;

    for (i = 0; i < nknown; i++) {
        known[i].erased |= (known[i].user == VICTIM);
    }

    must(ngx_analytics_erasing_write(store_log.dir, store_log.path, &erasing,
                                     &fail)
         == NGX_OK);

    append(100);
    questions(500, "somebody is being erased");

    must(ngx_analytics_log_lock(&store_log) == NGX_OK);
    must(ngx_analytics_log_new_segment(&store_log, &fail) == NGX_OK);
    end = ngx_analytics_log_tail(&store_log)->base;
    ngx_analytics_log_unlock(&store_log);

    must(ngx_analytics_erase_log(store_log.dir, store_log.path,
                                 store_log.control->key, end, &erasing, 1,
                                 NULL, NULL, &n, &fail)
         == NGX_OK);
    must(ngx_analytics_erase_store(store_log.dir, store_log.path,
                                   store_log.control->id,
                                   store_log.control->key, &erasing, NULL,
                                   NULL, NULL, &n, &fail)
         == NGX_OK);

    erasing.n = 0;
    must(ngx_analytics_erasing_write(store_log.dir, store_log.path, &erasing,
                                     &fail)
         == NGX_OK);

    questions(500, "somebody has been erased");
}


/* How far the store is, is known before the next part is made. */

static uint64_t  told_seq, told_to;

static void
tell(ngx_analytics_store_conf_t *conf)
{
    told_seq = conf->to_seq;
    told_to = conf->to;

    /* as if that took long: nothing is made */

    conf->synced = conf->to;
    conf->all = 0;
}


static void
test_told(void)
{
    uint64_t                    to, seq;
    ngx_analytics_fail_t        fail;
    ngx_analytics_store_conf_t  conf;

    configure(&conf);
    must(work(&conf) < 100);

    to = conf.to;
    seq = conf.to_seq;

    append(50);
    configure(&conf);
    conf.tell = tell;

    (void) ngx_analytics_store_step(&conf, &fail);

    is_u64(told_to, to, "the store's end is told first");
    is_u64(told_seq, seq, "and its next event");
}


/* A part that is lost is made again from the log. */

static void
test_damage(void)
{
    int                         fd;
    char                        name[NGX_ANALYTICS_PART_NAME], path[256];
    ngx_analytics_fail_t        fail;
    ngx_analytics_store_list_t  list;
    ngx_analytics_store_conf_t  conf;

    must(ngx_analytics_store_list(store_log.dir, store_log.path, &list, &fail)
         == NGX_OK && list.n > 1);
    ngx_analytics_part_name(name, list.parts[0].from, list.parts[0].to);
    ngx_analytics_store_free(&list);

    ngx_analytics_db_purge(store_log.path);

    snprintf(path, sizeof(path), "%s/%s", log_dir, name);
    fd = open(path, O_WRONLY|O_TRUNC);
    must(fd != -1 && write(fd, "no database at all, but text", 28) == 28);
    close(fd);

    configure(&conf);
    must(work(&conf) < 100);

    must(parts(&list) > 1);
    is_u64(list.missing, 0, "a part that is damaged is made again");
    questions(200, "with it");

    must(ngx_analytics_store_list(store_log.dir, store_log.path, &list, &fail)
         == NGX_OK && list.n > 2);
    ngx_analytics_part_name(name, list.parts[1].from, list.parts[1].to);
    ngx_analytics_store_free(&list);

    snprintf(path, sizeof(path), "%s/%s", log_dir, name);
    must(unlink(path) == 0);

    must(parts(&list) > 1);
    ok(list.missing > 0, "a part is missing");
    questions(200, "which the log still has");

    configure(&conf);
    must(work(&conf) < 100);
    must(parts(&list) > 1);
    is_u64(list.missing, 0, "it is made again");
    questions(200, "with that, too");
}


/* What a part says of itself. */

static void
part_of(ngx_analytics_part_t *part)
{
    ngx_analytics_db_t    *db;
    ngx_analytics_fail_t   fail;

    db = ngx_analytics_db_get(store_log.path, part, &fail);
    must(db != NULL);

    *part = db->part;

    ngx_analytics_db_put(db, 0);
}


static int64_t
span_of(ngx_analytics_part_t *part)
{
    part_of(part);

    return part->received_max - part->received_min;
}


static uint64_t
events_of(ngx_analytics_store_list_t *list)
{
    size_t                i;
    uint64_t              events;
    ngx_analytics_fail_t  fail;

    must(ngx_analytics_store_list(store_log.dir, store_log.path, list, &fail)
         == NGX_OK);

    for (i = 0, events = 0; i < list->n; i++) {
        part_of(&list->parts[i]);
        events += list->parts[i].events;
    }

    ngx_analytics_store_free(list);

    return events;
}


static void
test_retention(void)
{
    size_t                      i, n;
    uint64_t                    size;
    ngx_analytics_store_list_t  list;
    ngx_analytics_store_conf_t  conf;

    n = parts(&list);
    size = list.size;
    must(n > 2);

    configure(&conf);
    conf.keep_size = size - 1;
    conf.needed = known[0].received;
    must(work(&conf) < 100);
    is_u64(parts(&list), n, "what is needed stays, though it is too much");

    configure(&conf);
    conf.keep_size = size - 1;
    must(work(&conf) < 100);
    ok(parts(&list) < n && list.size < size, "too many bytes: the oldest goes");

    configure(&conf);
    conf.keep_time = 1000000;
    conf.now = known[nknown - 1].received + 3600000000LL;
    must(work(&conf) < 100);

    is_u64(parts(&list), 1, "too old: of the newest part the name stays");
    is_u64(events_of(&list), 0, "and no event");
    is_u64(conf.from, conf.to, "the log is not needed any more");
    is_u64(conf.to_seq, known[nknown - 1].id + 1, "the next event is known");

    /* what went is not fetched from the log again */

    configure(&conf);
    must(work(&conf) < 100);
    is_u64(parts(&list), 1, "for good");
    is_u64(events_of(&list), 0, "though the log has it");

    i = nknown;
    append(50);
    configure(&conf);
    must(work(&conf) < 100);

    n = parts(&list);
    ok(n == 2 && events_of(&list) == nknown - i,
       "what comes then is in the next part");
    ok(conf.from < conf.to, "for which the log is needed");

    configure(&conf);
    conf.keep_time = 1000000000LL;
    conf.now = known[nknown - 1].received;
    must(work(&conf) < 100);
    is_u64(parts(&list), 1, "beside which no empty one is kept");
}


/* Events are not much longer there than they may be. */

#define DAY  86400000000LL

static void
test_spans(void)
{
    size_t                       first, i;
    ngx_uint_t                   n;
    ngx_analytics_store_list_t   list;
    ngx_analytics_store_conf_t   conf;

    append(50);
    configure(&conf);
    must(work(&conf) < 100);

    n = parts(&list);
    first = nknown;

    append(3);

    configure(&conf);
    conf.all = 0;
    conf.keep_time = 16 * DAY;
    conf.now = known[first].received + DAY - 1;
    must(work(&conf) < 100);
    is_u64(parts(&list), n, "a few events are waited with");

    conf.now++;
    must(work(&conf) < 100);
    is_u64(parts(&list), n + 1, "for a 16th of the time");

    conf.keep_time = 0;
    append(3);
    configure(&conf);
    conf.all = 0;
    conf.now = known[first].received + 100 * DAY;
    must(work(&conf) < 100);
    is_u64(parts(&list), n + 1, "for ever, where they are for ever");

    /* as if nothing had been done for days */

    for (i = 0; i < 32; i++) {
        append_at(2, known[first].received + (int64_t) i * DAY / 4);
    }

    configure(&conf);
    conf.keep_time = 16 * DAY;
    conf.now = known[nknown - 1].received;
    must(work(&conf) < 100);

    must(ngx_analytics_store_list(store_log.dir, store_log.path, &list,
                                  &(ngx_analytics_fail_t) { 0 })
         == NGX_OK);

    ok(list.n >= n + 7, "what is of several of these is in as many parts");

    for (i = 0; i < list.n; i++) {
        ok(span_of(&list.parts[i]) <= DAY, "none is of more, %zu", i);
    }

    ngx_analytics_store_free(&list);

    n = parts(&list);

    conf.keep_time = 0;
    conf.all = 1;
    must(work(&conf) < 100);
    ok(parts(&list) < n, "where they are for ever they become one");
}


static void
begin(void)
{
    ngx_analytics_fail_t  fail;

    if (store_log.control) {
        ngx_analytics_db_purge(store_log.path);
        ngx_analytics_log_close(&store_log);
    }

    log_fresh();

    log_config(&store_log, 0);
    store_log.segment_size = 65536;

    if (ngx_analytics_log_attach(&store_log, &fail) != NGX_OK) {
        diag("%s", fail.text);
        exit(2);
    }

    nknown = 0;
}


/* What was put aside and cannot be made again goes when it is too old. */

static void
test_bad(void)
{
    char                         path[2][256], name[NGX_ANALYTICS_PART_NAME];
    size_t                       i;
    struct timespec              times[2];
    ngx_analytics_fail_t         fail;
    ngx_analytics_store_list_t   list;
    ngx_analytics_store_conf_t   conf;

    begin();

    for (i = 0; i < 2; i++) {
        append(20);

        must(ngx_analytics_log_lock(&store_log) == NGX_OK);
        must(ngx_analytics_log_new_segment(&store_log, &fail) == NGX_OK);
        ngx_analytics_log_unlock(&store_log);

        configure(&conf);
        must(work(&conf) < 100);
    }

    must(ngx_analytics_store_list(store_log.dir, store_log.path, &list, &fail)
         == NGX_OK && list.n == 2);

    ngx_analytics_part_name(name, list.parts[0].from, list.parts[0].to);
    snprintf(path[0], 256, "%s/%s", log_dir, name);
    snprintf(path[1], 256, "%s/%s.bad", log_dir, name);
    must(rename(path[0], path[1]) == 0);
    must(ngx_analytics_log_trim(store_log.dir, store_log.path,
                                list.parts[1].from, &fail)
         == NGX_OK);

    ngx_analytics_store_free(&list);

    ngx_memzero(times, sizeof(times));
    times[1].tv_sec = known[nknown - 1].received / 1000000;
    must(utimensat(AT_FDCWD, path[1], times, 0) == 0);

    configure(&conf);
    conf.now = known[nknown - 1].received + 100 * DAY;
    must(work(&conf) < 100);
    ok(access(path[1], F_OK) == 0, "for ever it is there, where all is");

    conf.keep_time = 16 * DAY;
    conf.now = known[nknown - 1].received + 15 * DAY;
    must(work(&conf) < 100);
    ok(access(path[1], F_OK) == 0, "it is not too old");
    ok(conf.missing > 0, "and missing");

    conf.now += 2 * DAY;
    must(work(&conf) < 100);
    ok(access(path[1], F_OK) == -1, "it is too old");
    is_u64(conf.missing, 0, "and not missing any more");
}


int
main(void)
{
    log_begin();
    begin();

    test_questions();
    test_erased();
    test_told();
    test_damage();
    test_retention();
    test_spans();
    test_bad();

    ngx_analytics_db_purge(store_log.path);
    ngx_analytics_log_close(&store_log);

    return done_testing();
}
