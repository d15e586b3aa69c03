
/*
 * Erasing people: no file says afterwards who it was, and all else is as it
 * was; whoever is killed while he does it, the next one brings it to its end.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "log_lib.h"
#include "ngx_analytics_erase.h"
#include "ngx_analytics_find.h"
#include "ngx_analytics_hash.h"
#include "ngx_analytics_store.h"


#define EVENTS  2000
#define VICTIM  "nobody-is-to-know 4711"
#define SECRET  "secret of 4711"


typedef struct {
    uint64_t    id;
    int64_t     time;
    int64_t     received;
    int         user;                  /* 0: the one to be erased */
    int         type;
} known_t;


static known_t               known[EVENTS];
static size_t                nknown;
static ngx_analytics_log_t   the_log;
static ngx_uint_t            stop;


static void
user_name(int user, char *name)
{
    if (user == 0) {
        strcpy(name, VICTIM);

    } else {
        sprintf(name, "user %d", user);
    }
}


static void
properties_of(const known_t *k, char *text)
{
    if (k->id % 3 == 0) {
        *text = '\0';
        return;
    }

    sprintf(text, "{\"n\":%" PRIu64 ",\"of\":\"%s\"}", k->id,
            k->user ? "somebody else" : SECRET);
}


/* A record; each user has some events in a row. */

static void
append(ngx_uint_t n, ngx_uint_t victim)
{
    char                   users[2][64], types[2][32], text[128], id[64];
    size_t                 len;
    u_char                *buf, *p;
    int64_t                received;
    uint64_t               seq;
    uint32_t               crc;
    ngx_uint_t             i;
    known_t               *k;
    ngx_analytics_fail_t   fail;
    ngx_analytics_event_t  event, previous;

    buf = malloc(512 * (n + 1));
    must(buf != NULL && ngx_analytics_log_lock(&the_log) == NGX_OK);

    ngx_analytics_log_next(&the_log, LOG_NOW + (int64_t) nknown * 1000, &seq,
                           &received);

    p = buf + NGX_ANALYTICS_RECORD_HEADER;

    for (i = 0; i < n; i++) {
        k = &known[nknown++];

        k->id = seq + i;
        k->received = received;
        k->user = (int) (i / 3 % 7 + (victim ? 0 : 1));
        k->type = (int) (k->id % 5);
        k->time = (i % 2) ? received : received - (int64_t) (i * 500000);

        ngx_memzero(&event, sizeof(event));

        event.time = (i % 2) ? NGX_ANALYTICS_TIME_NONE : k->time;

        user_name(k->user, users[i % 2]);
        sprintf(types[i % 2], "type %d", k->type);
        properties_of(k, text);

        event.user.data = (u_char *) users[i % 2];
        event.user.len = strlen(users[i % 2]);
        event.type.data = (u_char *) types[i % 2];
        event.type.len = strlen(types[i % 2]);
        event.properties.data = (u_char *) text;
        event.properties.len = strlen(text);

        if (i % 4 == 0) {
            sprintf(id, "%s %zu", k->user ? "own" : SECRET, (size_t) i);
            event.id.data = (u_char *) id;
            event.id.len = strlen(id);
        }

        p = ngx_analytics_record_event_write(p, &event, i ? &previous : NULL);
        previous = event;
    }

    len = ngx_analytics_record_pad(buf, p, &crc);
    ngx_analytics_record_finish(buf, len, crc, p, seq, received, n);

    must(ngx_analytics_log_append(&the_log, buf, len, n, &fail) == NGX_OK);

    ngx_analytics_log_unlock(&the_log);
    free(buf);
}


static uint64_t
victim_hash(void)
{
    return ngx_analytics_siphash(the_log.control->key, (u_char *) VICTIM,
                                 strlen(VICTIM));
}


static ngx_uint_t
fill_store(void)
{
    ngx_int_t                   rc;
    ngx_uint_t                  n;
    ngx_analytics_fail_t        fail;
    ngx_analytics_store_conf_t  conf;

    must(ngx_analytics_log_sync(&the_log, &fail) == NGX_OK);

    ngx_memzero(&conf, sizeof(conf));

    conf.dir = the_log.dir;
    conf.path = the_log.path;
    conf.log_id = the_log.control->id;
    conf.synced = ngx_analytics_log_tail(&the_log)->position;
    conf.seq = ngx_analytics_log_tail(&the_log)->seq;
    conf.all = 1;
    conf.now = LOG_NOW;

    for (n = 0; (rc = ngx_analytics_store_step(&conf, &fail)) == NGX_OK; n++) {
        /* void */
    }

    must(rc == NGX_DONE);

    return n;
}


/* Files that hold a text; with a suffix, only those. */

static ngx_uint_t
files_with(const char *text, const char *suffix)
{
    int             fd;
    DIR            *d;
    size_t          len;
    u_char         *p;
    ssize_t         size;
    ngx_uint_t      n;
    struct stat     st;
    struct dirent  *e;

    n = 0;
    d = opendir(log_dir);
    must(d != NULL);

    while ((e = readdir(d)) != NULL) {
        len = strlen(e->d_name);

        if (e->d_name[0] == '.'
            || (suffix && (len < strlen(suffix)
                           || strcmp(e->d_name + len - strlen(suffix), suffix)
                              != 0)))
        {
            continue;
        }

        fd = openat(dirfd(d), e->d_name, O_RDONLY);
        must(fd != -1 && fstat(fd, &st) == 0);

        p = malloc((size_t) st.st_size + 1);
        must(p != NULL);

        size = read(fd, p, (size_t) st.st_size);
        must(size == st.st_size);

        n += memmem(p, (size_t) size, text, strlen(text)) != NULL;

        free(p);
        close(fd);
    }

    closedir(d);

    return n;
}


static ino_t
inode(const char *name)
{
    struct stat  st;

    return fstatat(the_log.dir, name, &st, 0) == 0 ? st.st_ino : 0;
}


static ngx_uint_t
differs(const ngx_str_t *text, const char *expected)
{
    return text->len != strlen(expected)
           || (text->len && memcmp(text->data, expected, text->len) != 0);
}


/* What the log says of an event is what is known; until limit, erased. */

static ngx_uint_t
log_differs(uint64_t limit)
{
    char                     user[64], type[32], text[128];
    size_t                   i;
    ngx_int_t                rc;
    ngx_uint_t               wrong, gone;
    ngx_analytics_fail_t     fail;
    ngx_analytics_item_t     item;
    ngx_analytics_event_t   *e;
    ngx_analytics_reader_t   reader;
    ngx_analytics_record_t   record;

    i = 0;
    wrong = 0;

    must(ngx_analytics_reader_open(&reader, the_log.dir, log_dir, 0, &fail)
         == NGX_OK);

    while ((rc = ngx_analytics_reader_next(&reader,
                                  ngx_analytics_log_position(&the_log),
                                  &record, &fail))
           == NGX_OK)
    {
        while (ngx_analytics_record_item(&record, &item) == NGX_OK) {

            if (item.kind != NGX_ANALYTICS_ITEM_EVENT) {
                continue;
            }

            must(i < nknown);

            e = &item.event;
            gone = (known[i].user == 0 && known[i].id < limit);
            user_name(known[i].user, user);
            sprintf(type, "type %d", known[i].type);
            properties_of(&known[i], text);

            if (gone) {
                user[0] = '\0';
                text[0] = '\0';
            }

            wrong += differs(&e->user, user) || differs(&e->type, type)
                     || differs(&e->properties, text)
                     || (gone && e->id.len)
                     || record.received != known[i].received
                     || (e->time == NGX_ANALYTICS_TIME_NONE
                         ? record.received : e->time) != known[i].time;
            i++;
        }
    }

    ngx_analytics_reader_close(&reader);

    if (rc != NGX_DONE || i != nknown) {
        diag("%zu events of %zu, %d", i, nknown, (int) rc);
        wrong++;
    }

    return wrong;
}


/* The same of the store and the log, by find; with who is being erased. */

static ngx_uint_t
found_differs(uint64_t limit, const char *who, ngx_uint_t hide)
{
    char                        user[64], text[128];
    size_t                      i;
    ngx_uint_t                  wrong, gone;
    ngx_analytics_row_t         row;
    ngx_analytics_fail_t        fail;
    ngx_analytics_find_t       *find;
    ngx_analytics_find_conf_t   conf;

    ngx_memzero(&conf, sizeof(conf));

    conf.dir = the_log.dir;
    conf.path = the_log.path;
    conf.key = hide ? the_log.control->key : NULL;
    conf.tail = ngx_analytics_log_position(&the_log);
    conf.stop = &stop;
    conf.limit = UINT64_MAX;
    conf.filter.since = INT64_MIN;
    conf.filter.from = INT64_MIN;
    conf.filter.to = INT64_MAX;
    conf.filter.received = 1;

    if (who) {
        conf.filter.user.data = (u_char *) who;
        conf.filter.user.len = strlen(who);
    }

    find = ngx_analytics_find_open(&conf, &fail);
    must(find != NULL);

    wrong = 0;

    for (i = 0; i < nknown; i++) {
        gone = (known[i].user == 0 && known[i].id < limit);
        user_name(known[i].user, user);
        properties_of(&known[i], text);

        if (who && (gone || strcmp(user, who) != 0)) {
            continue;
        }

        if (gone) {
            user[0] = '\0';
            text[0] = '\0';
        }

        if (ngx_analytics_find_next(find, &row, &fail) != NGX_OK) {
            wrong++;
            break;
        }

        wrong += row.id != known[i].id || row.time != known[i].time
                 || row.received != known[i].received
                 || differs(&row.user, user)
                 || differs(&row.properties, text);
    }

    wrong += ngx_analytics_find_next(find, &row, &fail) != NGX_DONE;
    wrong += ngx_analytics_find_incomplete(find);

    ngx_analytics_find_close(find);

    return wrong;
}


/* What the answer to DELETE stands for.  Returns the number in the list. */

static uint64_t
ask(void)
{
    size_t                    len;
    u_char                    record[NGX_ANALYTICS_RECORD_HEADER
                                     + NGX_ANALYTICS_RECORD_ERASE + 8], *p;
    int64_t                   received;
    uint64_t                  seq;
    uint32_t                  crc;
    ngx_analytics_fail_t      fail;
    ngx_analytics_erasing_t   erasing;

    erasing.n = 1;
    erasing.users[0].hash = victim_hash();
    erasing.users[0].seq = 0;

    must(ngx_analytics_erasing_write(the_log.dir, log_dir, &erasing, &fail)
         == NGX_OK);

    p = ngx_analytics_record_erase_write(record + NGX_ANALYTICS_RECORD_HEADER,
                                         victim_hash());
    len = ngx_analytics_record_pad(record, p, &crc);

    must(ngx_analytics_log_lock(&the_log) == NGX_OK);
    ngx_analytics_log_next(&the_log, LOG_NOW, &seq, &received);
    ngx_analytics_record_finish(record, len, crc, p, seq, received, 0);
    must(ngx_analytics_log_append(&the_log, record, len, 0, &fail) == NGX_OK);
    ngx_analytics_log_unlock(&the_log);

    must(ngx_analytics_log_sync(&the_log, &fail) == NGX_OK);

    erasing.users[0].seq = seq;
    must(ngx_analytics_erasing_write(the_log.dir, log_dir, &erasing, &fail)
         == NGX_OK);

    return seq;
}


/* What is done behind it.  Returns whether there was anything to be done. */

static ngx_uint_t
carry_out(void)
{
    uint64_t                  end, n;
    ngx_analytics_fail_t      fail;
    ngx_analytics_erasing_t   erasing;

    must(ngx_analytics_erasing_read(the_log.dir, log_dir, &erasing, &fail)
         == NGX_OK);

    if (erasing.n == 0) {
        return 0;
    }

    if (erasing.users[0].seq == 0) {
        (void) ask();
        return carry_out();
    }

    must(ngx_analytics_log_lock(&the_log) == NGX_OK);
    must(ngx_analytics_log_new_segment(&the_log, &fail) == NGX_OK);
    end = ngx_analytics_log_tail(&the_log)->base;
    ngx_analytics_log_unlock(&the_log);

    if (ngx_analytics_log_sync(&the_log, &fail) != NGX_OK
        || ngx_analytics_erase_log(the_log.dir, log_dir,
                                   the_log.control->key, end, &erasing, 0,
                                   NULL, NULL, &n, &fail)
           != NGX_OK
        || ngx_analytics_erase_store(the_log.dir, log_dir,
                                     the_log.control->id,
                                     the_log.control->key, &erasing, NULL,
                                     NULL, NULL, &n, &fail)
           != NGX_OK
        || ngx_analytics_erase_log(the_log.dir, log_dir,
                                   the_log.control->key, end, &erasing, 1,
                                   NULL, NULL, &n, &fail)
           != NGX_OK)
    {
        diag("%s", fail.text);
        must(0);
    }

    erasing.n = 0;
    must(ngx_analytics_erasing_write(the_log.dir, log_dir, &erasing, &fail)
         == NGX_OK);

    return 1;
}


static void
begin(void)
{
    ngx_uint_t            i;
    ngx_analytics_fail_t  fail;

    log_fresh();
    log_config(&the_log, 0);
    the_log.segment_size = 4096;
    nknown = 0;

    must(ngx_analytics_log_attach(&the_log, &fail) == NGX_OK);

    /* two parts and some segments without, one part with, and the log */

    for (i = 0; i < 4; i++) {
        append(40, 0);
    }

    must(fill_store() == 1);

    for (i = 0; i < 6; i++) {
        append(40, i % 2);
    }

    must(fill_store() == 1);

    for (i = 0; i < 3; i++) {
        append(40, 0);
    }

    must(fill_store() == 1);

    append(30, 1);
}


static void
end(void)
{
    ngx_analytics_db_purge(log_dir);
    ngx_analytics_log_close(&the_log);
}


static void
test_erase(void)
{
    char                        first[NGX_ANALYTICS_LOG_NAME];
    char                        names[3][NGX_ANALYTICS_PART_NAME];
    ino_t                       inodes[4];
    uint64_t                    seq;
    ngx_uint_t                  i;
    ngx_analytics_fail_t        fail;
    ngx_analytics_store_list_t  list;

    begin();

    ok(files_with(VICTIM, ".log") > 2 && files_with(SECRET, ".log") > 2,
       "some segments know who it is");
    is_u64(files_with(VICTIM, ".db"), 1, "and a part");
    is_u64(log_differs(0), 0, "the log says what is known");
    is_u64(found_differs(0, NULL, 1), 0, "and so does the store");
    is_u64(found_differs(0, VICTIM, 1), 0, "of one user, too");

    ngx_analytics_segment_name(first, 0);
    inodes[3] = inode(first);

    must(ngx_analytics_store_list(the_log.dir, log_dir, &list, &fail)
         == NGX_OK && list.n == 3);

    for (i = 0; i < 3; i++) {
        ngx_analytics_part_name(names[i], list.parts[i].from,
                                list.parts[i].to);
        inodes[i] = inode(names[i]);
    }

    ngx_analytics_store_free(&list);

    seq = ask();

    is_u64(seq, known[nknown - 1].id + 1, "all there are are to be erased");
    is_u64(found_differs(seq, NULL, 1), 0, "nobody is shown any more");
    is_u64(found_differs(seq, VICTIM, 1), 0, "nor found");
    is_u64(found_differs(0, VICTIM, 0), 0, "though everything is there yet");

    /* who comes back is somebody else */

    append(30, 1);
    append(10, 0);

    is_u64(found_differs(seq, NULL, 1), 0, "later events are shown");
    is_u64(found_differs(seq, VICTIM, 1), 0, "and found");

    ok(carry_out(), "it is carried out");

    is_u64(log_differs(seq), 0, "the log has kept all else");
    is_u64(found_differs(seq, NULL, 0), 0, "and so has the store");
    is_u64(found_differs(seq, VICTIM, 0), 0, "of one user, too");
    is_u64(files_with(VICTIM, ".db"), 0, "no part knows any more");
    is_u64(files_with(SECRET, ".db"), 0, "nor the properties");
    is_u64(files_with(VICTIM, NULL), 1, "only the segment with what is new");

    ok(inode(first) == inodes[3] && inode(names[0]) == inodes[0]
       && inode(names[2]) == inodes[2],
       "segments and parts without were left alone");
    ok(inode(names[1]) != inodes[1], "the one with was written anew");
    is_u64(inode("erasing"), 0, "the list is gone");
    ok(!carry_out(), "and there is nothing left to be done");

    /* the part that has both, older and newer ones */

    is_u64(fill_store(), 1, "a part of what is new");
    seq = ask();
    append(20, 1);
    is_u64(fill_store(), 1, "and of what is newer");
    ok(carry_out(), "again");
    is_u64(log_differs(seq), 0, "the log has kept all else");
    is_u64(found_differs(seq, NULL, 0), 0, "and so has the store");
    is_u64(files_with(VICTIM, ".db"), 1, "one part knows the newest ones");

    (void) ask();
    ok(carry_out(), "and at last");
    is_u64(log_differs(UINT64_MAX), 0, "all else is in the log");
    is_u64(found_differs(UINT64_MAX, NULL, 0), 0, "and in the store");
    is_u64(files_with(VICTIM, NULL) + files_with(SECRET, NULL), 0,
           "no file knows");

    end();
}


/* SQLite's own opinion. */

static void
test_parts(void)
{
    sqlite3                     *db;
    sqlite3_stmt                *s;
    char                         name[NGX_ANALYTICS_PART_NAME], path[256];
    ngx_uint_t                   i, sound, erased;
    ngx_analytics_fail_t         fail;
    ngx_analytics_store_list_t   list;

    begin();
    (void) ask();
    must(carry_out());

    must(ngx_analytics_store_list(the_log.dir, log_dir, &list, &fail)
         == NGX_OK && list.n == 3);

    sound = 0;
    erased = 0;

    for (i = 0; i < 3; i++) {
        ngx_analytics_part_name(name, list.parts[i].from, list.parts[i].to);
        snprintf(path, sizeof(path), "%s/%s", log_dir, name);

        must(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL)
             == SQLITE_OK);
        must(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &s, NULL)
             == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW);
        sound += strcmp((const char *) sqlite3_column_text(s, 0), "ok") == 0;
        sqlite3_finalize(s);

        must(sqlite3_prepare_v2(db, "SELECT count(*) FROM events WHERE user_id"
                                " IS NULL AND properties IS NULL AND type"
                                " LIKE 'type _' AND received IS NOT NULL", -1,
                                &s, NULL)
             == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW);
        erased += (ngx_uint_t) sqlite3_column_int64(s, 0);
        sqlite3_finalize(s);
        sqlite3_close(db);
    }

    ngx_analytics_store_free(&list);

    is_u64(sound, 3, "SQLite finds nothing wrong");

    /* of 40 in a row six, in three records */

    is_u64(erased, 18, "events have nobody, and no properties");

    end();
}


/* What cannot be read is not to be kept. */

static void
put(const char *name, const char *text)
{
    int  fd;

    fd = openat(the_log.dir, name, O_WRONLY|O_CREAT|O_TRUNC, 0600);
    must(fd != -1 && write(fd, text, strlen(text)) == (ssize_t) strlen(text));
    close(fd);
}


static void
test_damage(void)
{
    int                         fd;
    char                        name[NGX_ANALYTICS_PART_NAME], bad[64];
    char                        segment[NGX_ANALYTICS_LOG_NAME];
    u_char                      byte;
    uint64_t                   *positions;
    ngx_uint_t                  i, n, known_before;
    struct stat                 st;
    ngx_analytics_fail_t        fail;
    ngx_analytics_item_t        item;
    ngx_analytics_reader_t      reader;
    ngx_analytics_record_t      record;
    ngx_analytics_store_list_t  list;

    begin();

    put("00000000000000000001-00000000000000000002.db.bad", VICTIM);
    put("store.tmp", VICTIM);
    put("erase.tmp", VICTIM);

    must(ngx_analytics_store_list(the_log.dir, log_dir, &list, &fail)
         == NGX_OK && list.n == 3);
    ngx_analytics_part_name(name, list.parts[1].from, list.parts[1].to);
    ngx_analytics_store_free(&list);
    ngx_analytics_db_purge(log_dir);

    put(name, "no database, but " VICTIM);

    /* a record of each segment, and the header of one */

    must(ngx_analytics_segments(the_log.dir, log_dir, &positions, &n, &fail)
         == NGX_OK && n > 3);

    for (i = 0; i + 1 < n; i++) {
        ngx_analytics_segment_name(segment, positions[i]);
        fd = openat(the_log.dir, segment, O_RDWR);
        byte = 0xff;
        must(fd != -1 && pwrite(fd, &byte, 1, LOG_HEADER + 33) == 1);

        if (i == 2) {
            must(pwrite(fd, VICTIM, strlen(VICTIM), 60)
                 == (ssize_t) strlen(VICTIM));
        }

        close(fd);
    }

    free(positions);

    fd = openat(the_log.dir, "00000000000000000001-00000000000000000002.db.bad",
                O_RDONLY);
    must(fd != -1);

    (void) ask();
    must(carry_out());

    is_u64(files_with(VICTIM, NULL) + files_with(SECRET, NULL), 0,
           "what is damaged does not tell either");

    must(fstat(fd, &st) == 0);
    is_u64((uint64_t) st.st_size, strlen(VICTIM),
           "who has such a file mapped can go on reading it");
    close(fd);

    snprintf(bad, sizeof(bad), "%s.bad", name);
    ok(inode(name) == 0 && inode(bad) != 0,
       "a part that cannot be read is put aside, without its content");

    /* what else there is can be read as before */

    known_before = 0;
    must(ngx_analytics_reader_open(&reader, the_log.dir, log_dir, 0, &fail)
         == NGX_OK);

    for ( ;; ) {
        switch (ngx_analytics_reader_next(&reader,
                                     ngx_analytics_log_position(&the_log),
                                     &record, &fail))
        {
        case NGX_OK:
            while (ngx_analytics_record_item(&record, &item) == NGX_OK) {
                known_before += item.kind == NGX_ANALYTICS_ITEM_EVENT
                                && item.event.user.len;
            }
            continue;

        case NGX_DECLINED:
            continue;

        default:
            break;
        }

        break;
    }

    ngx_analytics_reader_close(&reader);

    ok(known_before > 30, "%zu events of others are still read",
       (size_t) known_before);

    end();
}


/* Killed at each point, in the middle of all of it. */

static void
test_killed(void)
{
    int         rc;
    pid_t       pid;
    uint64_t    last;
    ngx_int_t   point;
    ngx_uint_t  wrong, never, pending;

    wrong = 0;
    never = 0;
    pending = 0;

    for (point = 1; point < 1000; point++) {
        begin();
        last = known[nknown - 1].id;

        /* a child has no databases of its parent */

        ngx_analytics_db_purge(log_dir);

        fflush(NULL);
        pid = fork();

        if (pid == 0) {
            ngx_analytics_fault = point;
            (void) ask();
            (void) carry_out();
            _exit(0);
        }

        rc = log_wait(pid);

        if (rc != 1000 + SIGKILL && rc != 0) {
            diag("the child ended with %d", rc);
            wrong++;
        }

        if (rc == 0) {
            end();
            break;
        }

        if (inode("erasing") == 0 && files_with(VICTIM, NULL)) {

            /* killed before it was written down: nothing was done */

            wrong += log_differs(0) != 0 || found_differs(0, NULL, 1) != 0;
            never++;

        } else {

            /* from then on nobody is told; somebody else goes on */

            pending += found_differs(last + 1, VICTIM, 1) == 0
                       && found_differs(last + 1, NULL, 1) == 0;

            (void) carry_out();

            rc = (log_differs(last + 1) != 0)
                 + (found_differs(last + 1, NULL, 0) != 0)
                 + (files_with(VICTIM, NULL) != 0)
                 + (files_with(SECRET, NULL) != 0)
                 + (inode("erasing") != 0)
                 + (inode("erase.tmp") != 0)
                 + (inode("store.tmp") != 0);

            if (rc) {
                diag("%d wrong after %jd", rc, (intmax_t) point);
                wrong++;
            }
        }

        end();
    }

    ok(wrong == 0 && point > 20, "killed at each of %jd points, the next one "
       "brings it to its end", (intmax_t) point);
    is_u64(never + pending, (uint64_t) point - 1,
           "nobody is told anything meanwhile");
    ok(never && pending > never, "it was, before and after it is written down");
}


static ngx_int_t
give_up(void *ctx)
{
    ngx_uint_t *n = ctx;

    return (*n)-- ? NGX_OK : NGX_ABORT;
}


static void
test_given_up(void)
{
    uint64_t                  rows;
    ngx_int_t                 rc;
    ngx_uint_t                steps, n, wrong;
    ngx_analytics_fail_t      fail;
    ngx_analytics_erasing_t   erasing;

    wrong = 0;
    rc = NGX_ABORT;

    for (steps = 0; steps < 100 && rc == NGX_ABORT; steps++) {
        begin();
        (void) ask();
        must(ngx_analytics_erasing_read(the_log.dir, log_dir, &erasing, &fail)
             == NGX_OK);

        n = steps;
        rc = ngx_analytics_erase_store(the_log.dir, log_dir,
                                       the_log.control->id,
                                       the_log.control->key, &erasing,
                                       give_up, NULL, &n, &rows, &fail);

        wrong += (rc != NGX_OK && rc != NGX_ABORT)
                 || found_differs(UINT64_MAX, NULL, 1) != 0
                 || inode("store.tmp") != 0;
        end();
    }

    ok(wrong == 0 && rc == NGX_OK && steps > 3,
       "given up after each of %zu steps, parts are as they were, or done",
       (size_t) steps - 1);
}


static void
test_list(void)
{
    ngx_uint_t                i;
    ngx_str_t                 user;
    ngx_analytics_fail_t      fail;
    ngx_analytics_erasing_t   list, again;

    static const char  *bad[] = {
        "x", "0123456789abcdef 0000000000000000000\n",
        "0123456789abcdeg 00000000000000000001\n",
        "0123456789abcdef 0000000000000000000x\n",
        "0123456789abcdef-00000000000000000001\n",
        "0123456789abcdef 00000000000000000001 ", NULL
    };

    begin();

    must(ngx_analytics_erasing_read(the_log.dir, log_dir, &list, &fail)
         == NGX_OK);
    is_u64(list.n, 0, "nobody is being erased");

    for (i = 0; i < NGX_ANALYTICS_ERASING_MAX; i++) {
        list.users[i].hash = ~(uint64_t) 0 / (i + 1);
        list.users[i].seq = ~(uint64_t) 0 / (i * i + 1);
    }

    list.n = NGX_ANALYTICS_ERASING_MAX;

    must(ngx_analytics_erasing_write(the_log.dir, log_dir, &list, &fail)
         == NGX_OK
         && ngx_analytics_erasing_read(the_log.dir, log_dir, &again, &fail)
            == NGX_OK);
    ok(again.n == list.n && memcmp(again.users, list.users,
                                   list.n * sizeof(list.users[0])) == 0,
       "a full list is read as it was written");

    for (i = 0; bad[i]; i++) {
        put("erasing", bad[i]);
        ok(ngx_analytics_erasing_read(the_log.dir, log_dir, &again, &fail)
           == NGX_ERROR && fail.err == 0, "no list: %s", bad[i]);
    }

    ngx_str_set(&user, VICTIM);
    list.n = 1;
    list.users[0].hash = victim_hash();
    list.users[0].seq = 0;

    ok(ngx_analytics_erasing_hides(&list, the_log.control->key, &user, 5),
       "one that is not in the log yet hides all there is");

    list.users[0].seq = 5;

    ok(ngx_analytics_erasing_hides(&list, the_log.control->key, &user, 4)
       && !ngx_analytics_erasing_hides(&list, the_log.control->key, &user, 5),
       "one that is, what comes before");

    user.len--;

    ok(!ngx_analytics_erasing_hides(&list, the_log.control->key, &user, 4),
       "and nobody else");

    end();
}


static ngx_int_t
whenever(void *ctx)
{
    (void) ctx;

    return NGX_AGAIN;
}


/* Who fills the store may merge parts that were not looked at yet. */

static void
test_turns(void)
{
    uint64_t                     rows, all;
    ngx_int_t                    rc;
    ngx_uint_t                   turns;
    ngx_analytics_fail_t         fail;
    ngx_analytics_part_t         part;
    ngx_analytics_erasing_t      erasing;
    ngx_analytics_store_list_t   list;

    begin();

    must(fill_store() == 1 && files_with(VICTIM, ".db") == 2);

    (void) ask();
    must(ngx_analytics_erasing_read(the_log.dir, log_dir, &erasing, &fail)
         == NGX_OK);

    all = 0;

    for (turns = 0; /* void */ ; turns++) {
        rc = ngx_analytics_erase_store(the_log.dir, log_dir,
                                       the_log.control->id,
                                       the_log.control->key, &erasing, NULL,
                                       whenever, NULL, &rows, &fail);
        all += rows;

        if (rc != NGX_AGAIN || turns == 100) {
            break;
        }

        if (turns == 0) {
            must(ngx_analytics_store_list(the_log.dir, log_dir, &list, &fail)
                 == NGX_OK && list.n == 4);
            must(ngx_analytics_part_merge(the_log.dir, log_dir,
                                          the_log.control->id, list.parts, 4,
                                          NULL, NULL, &part, &fail)
                 == NGX_OK);
            ngx_analytics_store_free(&list);
        }
    }

    ok(rc == NGX_OK && turns > 1, "erased in %zu turns", (size_t) turns + 1);
    ok(all > 0, "%zu rows", (size_t) all);
    is_u64(files_with(VICTIM, ".db") + files_with(SECRET, ".db"), 0,
           "no part has the user, whatever was merged meanwhile");

    end();
}


int
main(void)
{
    log_begin();

    test_erase();
    test_parts();
    test_damage();
    test_killed();
    test_given_up();
    test_turns();
    test_list();

    return done_testing();
}
