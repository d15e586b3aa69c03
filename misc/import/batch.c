
/*
 * A file, in batches.
 *
 * From an offset on, a batch is as many whole lines as there are, up to 1,000
 * and 256 KB: where nothing was appended since, it is the same each time it is
 * cut.  Its Idempotency-Key is a hash of the file's beginning, the offset and
 * the body: a file that was renamed, or whose state was lost, is known for as
 * long as the server knows keys.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "import.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>


#define IMPORT_READ  (64 * 1024)


typedef struct {
    uint64_t              line;                  /* its number in the file */
    size_t                start;                 /* in the body */
    size_t                len;
} import_entry_t;


typedef struct {
    const import_conf_t  *conf;
    const char           *name;
    const char           *url;
    const char           *path;                  /* of the state, or NULL */
    import_count_t       *count;
    import_state_t        state;
    int                   combined;

    gzFile                gz;
    off_t                 size;                  /* of the file, 0: unknown */
    int                   end;                   /* the file has no more */
    import_buf_t          raw;                   /* from state.offset on */

    size_t                cut;                   /* bytes of a batch in raw, */
    uint64_t              lines;                 /* and how many they are */
    import_buf_t          body;
    import_entry_t        entries[IMPORT_BATCH_LINES];
    size_t                n;

    struct timespec       started;
    double                shown;                 /* seconds since then */
} import_t;


/* Reads until there are len bytes, or no more.  Returns 0 or -1. */
static int
import_fill(import_t *im, size_t len)
{
    int    n;
    char   buf[IMPORT_READ];

    while (im->raw.len < len && !im->end) {
        n = gzread(im->gz, buf, sizeof(buf));

        if (n < 0) {
            import_error("\"%s\" cannot be read: %s", im->name,
                         gzerror(im->gz, &n));
            return -1;
        }

        /* of a compressed file that was cut off */

        if (n == 0 && gzerror(im->gz, &n) && n == Z_BUF_ERROR) {
            import_error("\"%s\" ends within compressed data", im->name);
            return -1;
        }

        im->end = (n == 0);

        import_append(&im->raw, buf, (size_t) n);
    }

    return 0;
}


static void
import_consume(import_buf_t *buf, size_t n)
{
    buf->len -= n;
    memmove(buf->data, buf->data + n, buf->len);
}


static size_t
import_trimmed(const char *line, size_t len)
{
    while (len && strchr(" \t\r\n", line[len - 1])) {
        len--;
    }

    return len;
}


/* Appends a line's event.  Returns what is wrong with it, or NULL. */
static const char *
import_line(import_t *im, const char *line, size_t len)
{
    if (im->combined) {
        return import_convert(&im->body, line, len, im->conf->remote_user);
    }

    while (len && (*line == ' ' || *line == '\t')) {
        line++;
        len--;
    }

    /* the rest of the grammar is the server's */

    if (line[0] != '{' || line[len - 1] != '}') {
        return "is no JSON object";
    }

    import_append(&im->body, line, len);
    import_append(&im->body, "\n", 1);

    return NULL;
}


/* Whether a line that nothing ends is whole, and not just being written. */
static int
import_whole(import_t *im, const char *line, size_t len)
{
    import_buf_t  scratch;
    const char   *why;

    if (!im->combined) {
        return import_is_object(line, len);
    }

    memset(&scratch, 0, sizeof(scratch));

    why = import_convert(&scratch, line, len, im->conf->remote_user);

    free(scratch.data);

    return why == NULL && line[len - 1] == '"';
}


/* The next line at im->cut, or 0 if it is not (yet) to be taken. */
static size_t
import_next(import_t *im, size_t *next)
{
    char    *line, *end;
    size_t   rest, len;

    line = im->raw.data + im->cut;
    rest = im->raw.len - im->cut;

    if (rest == 0) {
        return 0;
    }

    end = memchr(line, '\n', rest);

    if (end) {
        *next = end + 1 - line;
        return import_trimmed(line, end - line) ? *next : 1;
    }

    len = import_trimmed(line, rest);

    if (!im->end || (len && im->state.pending == 0
                     && !import_whole(im, line, len)))
    {
        im->count->unfinished = im->end;
        return 0;
    }

    *next = rest;

    return rest;
}


/* Cuts a batch and makes its body.  Returns 0 or -1. */
static int
import_cut(import_t *im)
{
    char        *line;
    size_t       len, next, limit, start;
    const char  *why;

    im->cut = 0;
    im->lines = 0;
    im->n = 0;
    im->body.len = 0;

    /* a batch that was sent before is to be the same again */

    limit = im->state.pending ? im->state.pending - im->state.offset : 0;

    if (import_fill(im, limit ? limit : IMPORT_BATCH_SIZE) != 0) {
        return -1;
    }

    if (im->raw.len < limit) {
        import_error("\"%s\" has less in it than was sent already", im->name);
        return -1;
    }

    for ( ;; ) {

        while (import_next(im, &next) == 0) {

            /* a line that is longer than a batch */

            if (im->end || im->cut) {
                return 0;
            }

            if (import_fill(im, 2 * im->raw.len) != 0) {
                return -1;
            }
        }

        if (im->n == IMPORT_BATCH_LINES
            || (limit ? im->cut + next > limit
                      : im->cut && im->cut + next > IMPORT_BATCH_SIZE))
        {
            return 0;
        }

        line = im->raw.data + im->cut;
        len = import_trimmed(line, next);

        im->lines++;
        im->cut += next;

        if (len == 0) {
            continue;
        }

        start = im->body.len;
        why = (len > IMPORT_LINE_MAX) ? "is too long"
                                      : import_line(im, line, len);

        if (why) {
            import_bad_line(im->count, im->name, im->state.line + im->lines,
                            why);
            continue;
        }

        im->entries[im->n].line = im->state.line + im->lines;
        im->entries[im->n].start = start;
        im->entries[im->n++].len = im->body.len - start;
    }
}


/* Leaves a line out of the body. */
static void
import_drop(import_t *im, size_t i)
{
    size_t           len;
    import_entry_t  *entry;

    entry = &im->entries[i];
    len = entry->len;

    memmove(im->body.data + entry->start, im->body.data + entry->start + len,
            im->body.len - entry->start - len);
    im->body.len -= len;

    im->n--;
    memmove(entry, entry + 1, (im->n - i) * sizeof(import_entry_t));

    for ( /* void */ ; i < im->n; i++) {
        im->entries[i].start -= len;
    }
}


/* Returns how many lines were left out. */
static size_t
import_refuse(import_t *im, import_refused_t *refused)
{
    size_t  i, n, index, dropped[IMPORT_ERRORS];

    n = 0;

    if (refused->n == 0) {

        /* the line that has the byte where it is no JSON */

        for (i = im->n - 1; i && im->entries[i].start > refused->offset; i--) {
            /* void */
        }

        import_bad_line(im->count, im->name, im->entries[i].line,
                        refused->why);
        import_drop(im, i);

        return 1;
    }

    /* of one line there may be several */

    for (i = 0; i < refused->n; i++) {
        index = refused->errors[i].index;

        if (index >= im->n || (n && index <= dropped[n - 1])) {
            continue;
        }

        import_bad_line(im->count, im->name, im->entries[index].line,
                        refused->errors[i].why);
        dropped[n++] = index;
    }

    for (i = n; i-- > 0; /* void */ ) {
        import_drop(im, dropped[i]);
    }

    return n;
}


/* Returns what import_send_post() returns, but for 1. */
static int
import_send(import_t *im)
{
    int                rc, n;
    char               key[IMPORT_SHA256], salt[64 + IMPORT_SHA256];
    size_t             count, dropped;
    uint64_t           accepted;
    import_refused_t   refused;

    dropped = 0;

    while (im->n) {
        n = snprintf(salt, sizeof(salt), "analytics-import 1 %s %llu\n",
                     im->state.head, (unsigned long long) im->state.offset);

        import_sha256(key, salt, (size_t) n, im->body.data, im->body.len);
        key[32] = '\0';

        rc = import_send_post(im->conf, im->url, &im->body, key, &accepted,
                              &refused);

        if (rc == 0) {
            im->count->accepted += (accepted == UINT64_MAX) ? im->n : accepted;
            return 0;
        }

        if (rc < 0) {
            return rc;
        }

        count = import_refuse(im, &refused);

        if (count == 0) {
            import_error("%s: %s", im->url, refused.why);
            return -1;
        }

        dropped += count;
    }

    /* a file of something else, or another location's events */

    if (dropped >= IMPORT_ERRORS && im->count->accepted == 0) {
        import_error("%s takes no line of \"%s\"", im->url, im->name);
        return -1;
    }

    return 0;
}


static void
import_progress(import_t *im, int last)
{
    double           seconds, rate, part;
    struct timespec  now;

    if (!im->conf->progress) {
        return;
    }

    (void) clock_gettime(CLOCK_MONOTONIC, &now);

    seconds = (double) (now.tv_sec - im->started.tv_sec)
              + (double) (now.tv_nsec - im->started.tv_nsec) / 1e9;

    if (seconds - im->shown < 0.2 && !last) {
        return;
    }

    im->shown = seconds;
    rate = (double) im->count->accepted / (seconds > 0.001 ? seconds : 0.001);
    part = im->size ? (double) gzoffset(im->gz) / (double) im->size : 0;

    fprintf(stderr, "\r%s: ", im->name);

    if (im->size) {
        fprintf(stderr, "%3.0f %%, ", 100 * part);
    }

    fprintf(stderr, "%llu events, %.0f a second",
            (unsigned long long) im->count->accepted, rate);

    if (part > 0.001 && part < 1) {
        fprintf(stderr, ", %.0f s left", seconds * (1 - part) / part);
    }

    fputs(last ? "\r\033[K" : "\033[K", stderr);
    fflush(stderr);
}


static int
import_note(import_t *im, uint64_t pending, int sync)
{
    im->state.pending = pending;

    return im->path ? import_state_write(im->path, &im->state, im->url, sync)
                    : 0;
}


static int
import_batches(import_t *im)
{
    int  rc;

    for ( ;; ) {

        if (import_stop) {
            return IMPORT_INTERRUPTED;
        }

        if (import_cut(im) != 0) {
            return IMPORT_FAILED;
        }

        if (im->cut == 0) {
            return import_note(im, 0, 1) == 0 ? IMPORT_OK : IMPORT_FAILED;
        }

        if (import_note(im, im->state.offset + im->cut, 0) != 0) {
            return IMPORT_FAILED;
        }

        rc = import_send(im);

        if (rc != 0) {
            return rc == -2 ? IMPORT_INTERRUPTED : IMPORT_FAILED;
        }

        im->state.offset += im->cut;
        im->state.line += im->lines;

        if (import_note(im, 0, 0) != 0) {
            return IMPORT_FAILED;
        }

        import_consume(&im->raw, im->cut);
        import_progress(im, 0);
    }
}


/* Finds out whether the file was begun before, and goes there. */
static int
import_resume(import_t *im)
{
    int              rc;
    char             head[IMPORT_SHA256], *url;
    size_t           len;
    import_state_t   state;

    len = im->raw.len < IMPORT_HEAD ? im->raw.len : IMPORT_HEAD;

    import_sha256(im->state.head, im->raw.data, len, NULL, 0);
    im->state.head_len = len;

    if (im->path == NULL) {
        return 0;
    }

    rc = import_state_read(im->path, &state, &url);

    if (rc != 0) {
        return rc == 1 ? 0 : -1;
    }

    rc = strcmp(url, im->url);
    free(url);

    import_sha256(head, im->raw.data,
                  state.head_len < len ? state.head_len : len, NULL, 0);

    if (state.head_len > len || strcmp(head, state.head) != 0) {
        import_error("\"%s\" is another file than before: from its beginning",
                     im->name);
        return 0;
    }

    if (rc != 0) {
        import_error("\"%s\" was sent to another place before; remove \"%s\" "
                     "to send it to %s", im->name, im->path, im->url);
        return -1;
    }

    /* a file that became shorter is told later */

    if (gzseek(im->gz, (z_off_t) state.offset, SEEK_SET) == -1) {
        import_error("\"%s\" cannot be read from %llu on", im->name,
                     (unsigned long long) state.offset);
        return -1;
    }

    im->raw.len = 0;
    im->end = 0;
    im->state = state;

    return 0;
}


static int
import_open(import_t *im)
{
    int          fd;
    size_t       i;
    struct stat  st;

    fd = strcmp(im->name, "-") == 0 ? dup(STDIN_FILENO) : -1;

    im->gz = (fd != -1) ? gzdopen(fd, "rb") : gzopen(im->name, "rb");

    if (im->gz == NULL || (fd == -1 && stat(im->name, &st) == -1)) {
        import_error("\"%s\" cannot be opened: %s", im->name,
                     strerror(errno));
        return -1;
    }

    if (fd == -1) {

        if (S_ISDIR(st.st_mode)) {
            import_error("\"%s\" is a directory", im->name);
            return -1;
        }

        im->size = S_ISREG(st.st_mode) ? st.st_size : 0;
    }

    (void) gzbuffer(im->gz, IMPORT_READ);

    if (import_fill(im, IMPORT_HEAD) != 0) {
        return -1;
    }

    for (i = 0; i < im->raw.len && strchr(" \t\r\n", im->raw.data[i]); i++) {
        /* void */
    }

    im->combined = (im->conf->format[0] == 'a')
                   ? (i < im->raw.len && im->raw.data[i] != '{')
                   : (im->conf->format[0] == 'c');

    im->url = im->conf->url ? im->conf->url
              : im->combined ? "http://127.0.0.1:8080/usage/"
                             : "http://127.0.0.1:8080/events/";

    return 0;
}


int
import_file(const import_conf_t *conf, const char *name,
    import_count_t *count)
{
    int        rc;
    char      *path;
    import_t  *im;

    im = calloc(1, sizeof(import_t));
    path = malloc(strlen(name) + sizeof(".import-state"));

    if (im == NULL || path == NULL) {
        import_error("no memory");
        exit(IMPORT_FAILED);
    }

    sprintf(path, "%s.import-state", name);

    im->conf = conf;
    im->name = name;
    im->count = count;
    im->path = conf->state ? conf->state
               : strcmp(name, "-") == 0 ? NULL : path;

    (void) clock_gettime(CLOCK_MONOTONIC, &im->started);

    rc = (import_open(im) == 0 && import_resume(im) == 0)
         ? import_batches(im) : IMPORT_FAILED;

    import_progress(im, 1);

    if (im->gz) {
        (void) gzclose(im->gz);
    }

    free(im->raw.data);
    free(im->body.data);
    free(path);
    free(im);

    return rc;
}
