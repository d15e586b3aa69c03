
/*
 * analytics-import: lines of files to a location that collects.
 *
 *     main -> batch (cuts a file) -> convert (access logs) -> send (HTTP)
 *                 |
 *                 `-> state (how far each file is)
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _IMPORT_H_INCLUDED_
#define _IMPORT_H_INCLUDED_


#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>


#define IMPORT_BATCH_LINES  1000
#define IMPORT_BATCH_SIZE   262144               /* bytes, or one line */
#define IMPORT_LINE_MAX     2097152
#define IMPORT_HEAD         1024                 /* tells files apart */
#define IMPORT_SHA256       65                   /* in digits, with a NUL */
#define IMPORT_ERRORS       20                   /* told of one body, at most */
#define IMPORT_WHY          200

/* exit codes */
#define IMPORT_OK           0
#define IMPORT_FAILED       1
#define IMPORT_BAD_LINES    2
#define IMPORT_USAGE        64
#define IMPORT_INTERRUPTED  130


/* Bytes that grow. */
typedef struct {
    char    *data;
    size_t   len;
    size_t   size;
} import_buf_t;


typedef struct {
    const char          *url;                    /* NULL: by the format */
    const char          *format;                 /* ndjson, combined, auto */
    const char          *state;                  /* NULL: beside the file */
    struct curl_slist   *headers;
    long                 timeout;                /* seconds of trouble */
    int                  remote_user;
    int                  quiet;
    int                  progress;
} import_conf_t;


/* How far a file is; all of it is written down. */
typedef struct {
    uint64_t             offset;                 /* acknowledged so far, */
    uint64_t             line;                   /* and its number, from 0 */
    uint64_t             pending;                /* a batch's end, or 0 */
    uint64_t             head_len;               /* of the file's beginning, */
    char                 head[IMPORT_SHA256];    /* and what it was */
} import_state_t;


typedef struct {
    uint64_t             accepted;
    uint64_t             bad;
    int                  unfinished;             /* a last line was left */
} import_count_t;


extern volatile sig_atomic_t  import_stop;


/* SHA-256 of two pieces, in digits; ends the program if there is no memory. */
void import_sha256(char digits[IMPORT_SHA256], const void *first,
    size_t first_len, const void *second, size_t second_len);

/* Appends; ends the program if there is no memory. */
void import_append(import_buf_t *buf, const void *data, size_t len);

/* What is wrong with a line, to standard error; of the first 20 of a file. */
void import_bad_line(import_count_t *count, const char *file, uint64_t line,
    const char *why);

/* To standard error, with the program's name and the end of the line. */
void import_error(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));


/*
 * State: state.c.  read() returns 0, 1 if there is none, or -1 after telling
 * why.  write() returns 0 or -1 likewise; with sync it is on the disk then.
 */
int import_state_read(const char *path, import_state_t *state, char **url);
int import_state_write(const char *path, const import_state_t *state,
    const char *url, int sync);


/*
 * A line of an access log in nginx's and Apache's "combined" format, or the
 * "common" one, as an event: convert.c.  Appends it with the end of a line.
 * Returns NULL, or what is wrong, and has appended nothing then.
 */
const char *import_convert(import_buf_t *out, const char *line, size_t len,
    int remote_user);

/* Whether a line is a whole JSON object. */
int import_is_object(const char *line, size_t len);


/*
 * Sending: send.c.  open() and close() once.  post() sends a body until it is
 * answered, for conf->timeout seconds at most.  Returns
 *     0    accepted: *accepted events, or UINT64_MAX if that was not told
 *     1    refused for some of its lines, see *refused
 *     -1   given up, after telling why
 *     -2   interrupted
 */
typedef struct {
    size_t               n;                      /* of errors[]; or 0: */
    size_t               offset;                 /* the byte where it is none */
    char                 why[IMPORT_WHY];        /* JSON, and why */

    struct {
        size_t           index;                  /* of the line, ascending */
        char             why[IMPORT_WHY];
    } errors[IMPORT_ERRORS];
} import_refused_t;

int import_send_open(void);
int import_send_post(const import_conf_t *conf, const char *url,
    const import_buf_t *body, const char *key, uint64_t *accepted,
    import_refused_t *refused);
void import_send_close(void);


/*
 * A file, from where it was left: batch.c.  Returns an exit code.
 */
int import_file(const import_conf_t *conf, const char *name,
    import_count_t *count);


#endif /* _IMPORT_H_INCLUDED_ */
