
/*
 * analytics-import: options.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "import.h"

#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>


#define IMPORT_TIMEOUT    300
#define IMPORT_BAD_SHOWN  20


volatile sig_atomic_t  import_stop;


static const char  import_usage[] =
    "Usage: analytics-import [OPTION]... FILE...\n"
    "\n"
    "Sends the lines of files to a location that collects: NDJSON as it is,\n"
    "access logs of nginx and Apache (\"combined\" or \"common\") as events.\n"
    "FILE may be compressed with gzip; - is standard input.\n"
    "\n"
    "  --format=FORMAT   ndjson, combined, or auto (by the first line)\n"
    "  --url=URL         by default http://127.0.0.1:8080/events/ for NDJSON,\n"
    "                    and http://127.0.0.1:8080/usage/ for access logs\n"
    "  --header=TEXT     a header for each request, as Authorization: ...\n"
    "  --user=WHO        of an access log: remote_addr (the default), or\n"
    "                    remote_user, where there is one\n"
    "  --state=FILE      where to keep how far a file is; by default beside\n"
    "                    it, as NAME.import-state\n"
    "  --timeout=SECONDS how long to try again while the server is away or\n"
    "                    busy, 300 by default\n"
    "  -q, --quiet       no progress and no summary\n"
    "  -h, --help        print this\n"
    "\n"
    "An import that was interrupted goes on where it was when it is started\n"
    "again, and one that was finished sends only what was appended since:\n"
    "nothing is counted twice.  Lines that cannot be read are told on\n"
    "standard error and left out.\n"
    "\n"
    "Exit status: 0; 1 if it failed and is to be started again; 2 if lines\n"
    "were left out; 64 for wrong options; 130 after Ctrl-C.\n";


enum {
    IMPORT_OPT_FORMAT = 256,
    IMPORT_OPT_URL,
    IMPORT_OPT_HEADER,
    IMPORT_OPT_USER,
    IMPORT_OPT_STATE,
    IMPORT_OPT_TIMEOUT
};


static const struct option  import_options[] = {
    { "format", required_argument, NULL, IMPORT_OPT_FORMAT },
    { "url", required_argument, NULL, IMPORT_OPT_URL },
    { "header", required_argument, NULL, IMPORT_OPT_HEADER },
    { "user", required_argument, NULL, IMPORT_OPT_USER },
    { "state", required_argument, NULL, IMPORT_OPT_STATE },
    { "timeout", required_argument, NULL, IMPORT_OPT_TIMEOUT },
    { "quiet", no_argument, NULL, 'q' },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 }
};


static void
import_signal(int signo)
{
    (void) signo;

    import_stop = 1;
}


void
import_error(const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);

    fputs("analytics-import: ", stderr);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);

    va_end(args);
}


void
import_bad_line(import_count_t *count, const char *file, uint64_t line,
    const char *why)
{
    count->bad++;

    if (count->bad <= IMPORT_BAD_SHOWN) {
        import_error("%s:%llu: %s", file, (unsigned long long) line, why);

    } else if (count->bad == IMPORT_BAD_SHOWN + 1) {
        import_error("more lines like these are only counted");
    }
}


void
import_append(import_buf_t *buf, const void *data, size_t len)
{
    size_t  size;

    if (buf->len + len > buf->size) {
        size = 2 * (buf->len + len);

        buf->data = realloc(buf->data, size);

        if (buf->data == NULL) {
            import_error("no memory");
            exit(IMPORT_FAILED);
        }

        buf->size = size;
    }

    if (len) {
        memcpy(buf->data + buf->len, data, len);
        buf->len += len;
    }
}


void
import_sha256(char digits[IMPORT_SHA256], const void *first, size_t first_len,
    const void *second, size_t second_len)
{
    unsigned int    i, n;
    EVP_MD_CTX     *ctx;
    unsigned char   md[EVP_MAX_MD_SIZE];

    ctx = EVP_MD_CTX_new();

    if (ctx == NULL
        || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1
        || EVP_DigestUpdate(ctx, first, first_len) != 1
        || EVP_DigestUpdate(ctx, second, second_len) != 1
        || EVP_DigestFinal_ex(ctx, md, &n) != 1)
    {
        import_error("SHA-256 cannot be computed");
        exit(IMPORT_FAILED);
    }

    EVP_MD_CTX_free(ctx);

    for (i = 0; i < n; i++) {
        sprintf(digits + 2 * i, "%02x", md[i]);
    }
}


static int
import_wrong(const char *what, const char *value)
{
    import_error("%s \"%s\"; --help says more", what, value);

    return -1;
}


/* Returns 0, 1 after --help, or -1. */
static int
import_option(import_conf_t *conf, int opt)
{
    char               *end;
    struct curl_slist  *headers;

    switch (opt) {

    case IMPORT_OPT_FORMAT:
        if (strcmp(optarg, "ndjson") != 0 && strcmp(optarg, "combined") != 0
            && strcmp(optarg, "auto") != 0)
        {
            return import_wrong("unknown format", optarg);
        }

        conf->format = optarg;
        return 0;

    case IMPORT_OPT_URL:
        conf->url = optarg;
        return 0;

    case IMPORT_OPT_HEADER:
        headers = curl_slist_append(conf->headers, optarg);

        if (headers == NULL) {
            import_error("no memory");
            exit(IMPORT_FAILED);
        }

        conf->headers = headers;
        return 0;

    case IMPORT_OPT_USER:
        if (strcmp(optarg, "remote_addr") != 0
            && strcmp(optarg, "remote_user") != 0)
        {
            return import_wrong("unknown user", optarg);
        }

        conf->remote_user = (strcmp(optarg, "remote_user") == 0);
        return 0;

    case IMPORT_OPT_STATE:
        conf->state = optarg;
        return 0;

    case IMPORT_OPT_TIMEOUT:
        conf->timeout = strtol(optarg, &end, 10);

        if (*end || end == optarg || conf->timeout < 0
            || conf->timeout > 86400)
        {
            return import_wrong("invalid timeout", optarg);
        }

        return 0;

    case 'q':
        conf->quiet = 1;
        return 0;

    case 'h':
        fputs(import_usage, stdout);
        return 1;

    default:
        return -1;
    }
}


static int
import_files(const import_conf_t *conf, char **names, int n)
{
    int             i, rc, code;
    import_count_t  count;

    code = IMPORT_OK;

    for (i = 0; i < n; i++) {
        memset(&count, 0, sizeof(count));

        rc = import_file(conf, names[i], &count);

        if (!conf->quiet) {
            fprintf(stderr, "%s: %llu events%s%s%s\n", names[i],
                    (unsigned long long) count.accepted,
                    count.bad ? "; lines were left out" : "",
                    count.unfinished
                    ? "; the last line is not whole yet" : "",
                    rc == IMPORT_INTERRUPTED
                    ? "; interrupted: start it again to go on" : "");
        }

        if (rc == IMPORT_FAILED || rc == IMPORT_INTERRUPTED) {
            return rc;
        }

        if (count.bad) {
            code = IMPORT_BAD_LINES;
        }
    }

    return code;
}


int
main(int argc, char **argv)
{
    int               opt, rc;
    import_conf_t     conf;
    struct sigaction  sa;

    memset(&conf, 0, sizeof(conf));

    conf.format = "auto";
    conf.timeout = IMPORT_TIMEOUT;

    while ((opt = getopt_long(argc, argv, "hq", import_options, NULL)) != -1) {

        rc = import_option(&conf, opt);

        if (rc) {
            return rc == 1 ? IMPORT_OK : IMPORT_USAGE;
        }
    }

    if (optind == argc) {
        fputs(import_usage, stderr);
        return IMPORT_USAGE;
    }

    if (conf.state && argc - optind > 1) {
        import_error("--state is for one file");
        return IMPORT_USAGE;
    }

    conf.progress = !conf.quiet && isatty(STDERR_FILENO);

    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = import_signal;
    sigemptyset(&sa.sa_mask);

    (void) sigaction(SIGINT, &sa, NULL);
    (void) sigaction(SIGTERM, &sa, NULL);
    (void) signal(SIGPIPE, SIG_IGN);

    if (import_send_open() != 0) {
        return IMPORT_FAILED;
    }

    rc = import_files(&conf, argv + optind, argc - optind);

    import_send_close();

    curl_slist_free_all(conf.headers);

    return rc;
}
