
/*
 * Lines of access logs: nginx's "combined", Apache's "common" and "combined",
 * whatever follows.
 *
 *     ADDRESS IDENT USER [TIME] "METHOD PATH PROTOCOL" STATUS BYTES
 *         "REFERRER" "USER AGENT"
 *
 * Copyright (C) The nginx analytics authors
 */


#include "import.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>


typedef struct {
    const char  *data;
    size_t       len;
} import_str_t;


typedef struct {
    import_str_t  address;
    import_str_t  user;
    import_str_t  time;
    import_str_t  request;
    import_str_t  status;
    import_str_t  bytes;
    import_str_t  referrer;
    import_str_t  agent;
} import_line_t;


static const char  *import_images[] = {
    "png", "jpg", "jpeg", "gif", "ico", "svg", "webp", "avif", "bmp", NULL
};

static const char  *import_assets[] = {
    "css", "js", "mjs", "map", "woff", "woff2", "ttf", "otf", "eot", NULL
};

static const char  *import_feeds[] = {
    "rss", "atom", "rdf", "xml", NULL
};

static const char  *import_downloads[] = {
    "gz", "tgz", "bz2", "xz", "zip", "tar", "jar", "deb", "rpm", "exe", "dmg",
    "iso", "pdf", "mp3", "mp4", "py", "rb", "pl", "sh", "c", "h", "patch", NULL
};


/* Takes the next word, or what stands between two characters. */
static int
import_word(const char **p, const char *last, char open, char close,
    import_str_t *word)
{
    const char  *s;

    s = *p;

    while (s < last && *s == ' ') {
        s++;
    }

    if (open) {
        if (s == last || *s != open) {
            return -1;
        }

        s++;
    }

    word->data = s;

    for ( /* void */ ; s < last; s++) {

        if (*s == close) {
            break;
        }

        if (close == '"' && *s == '\\' && s + 1 < last) {
            s++;
        }
    }

    if (open && s == last) {
        return -1;
    }

    word->len = s - word->data;
    *p = (s < last) ? s + 1 : s;

    return (open || word->len) ? 0 : -1;
}


static const char *
import_parse(import_line_t *line, const char *p, size_t len)
{
    const char    *last;
    import_str_t   ident;

    last = p + len;

    memset(line, 0, sizeof(import_line_t));

    if (import_word(&p, last, 0, ' ', &line->address) != 0
        || import_word(&p, last, 0, ' ', &ident) != 0
        || import_word(&p, last, 0, ' ', &line->user) != 0
        || import_word(&p, last, '[', ']', &line->time) != 0
        || import_word(&p, last, '"', '"', &line->request) != 0
        || import_word(&p, last, 0, ' ', &line->status) != 0
        || import_word(&p, last, 0, ' ', &line->bytes) != 0)
    {
        return "is no line of an access log";
    }

    /* the "common" format ends here */

    while (p < last && isspace((unsigned char) *p)) {
        p++;
    }

    if (p < last && *p == '"'
        && (import_word(&p, last, '"', '"', &line->referrer) != 0
            || import_word(&p, last, '"', '"', &line->agent) != 0))
    {
        return "has no whole referrer and user agent";
    }

    return NULL;
}


static int
import_number(const import_str_t *s, size_t from, size_t n, int *value)
{
    size_t  i;

    *value = 0;

    for (i = from; i < from + n; i++) {
        if (!isdigit((unsigned char) s->data[i])) {
            return -1;
        }

        *value = *value * 10 + (s->data[i] - '0');
    }

    return 0;
}


/* "17/May/2015:10:05:03 +0200" to "2015-05-17T08:05:03Z" */
static int
import_time(const import_str_t *s, char *text, size_t size)
{
    int          day, year, hour, min, sec, zone_hour, zone_min;
    time_t       at;
    struct tm    tm;
    const char  *month;

    static const char  months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    if (s->len != sizeof("17/May/2015:10:05:03 +0200") - 1
        || s->data[2] != '/' || s->data[6] != '/' || s->data[11] != ':'
        || s->data[14] != ':' || s->data[17] != ':' || s->data[20] != ' '
        || (s->data[21] != '+' && s->data[21] != '-')
        || import_number(s, 0, 2, &day) || import_number(s, 7, 4, &year)
        || import_number(s, 12, 2, &hour) || import_number(s, 15, 2, &min)
        || import_number(s, 18, 2, &sec)
        || import_number(s, 22, 2, &zone_hour)
        || import_number(s, 24, 2, &zone_min))
    {
        return -1;
    }

    for (month = months; *month; month += 3) {
        if (strncmp(month, s->data + 3, 3) == 0) {
            break;
        }
    }

    if (*month == '\0' || day < 1 || day > 31 || hour > 23 || min > 59
        || sec > 60)
    {
        return -1;
    }

    memset(&tm, 0, sizeof(tm));

    tm.tm_mday = day;
    tm.tm_mon = (month - months) / 3;
    tm.tm_year = year - 1900;
    tm.tm_hour = hour;
    tm.tm_min = min;
    tm.tm_sec = sec;

    at = timegm(&tm);

    /* there is no 31st of June */

    if (tm.tm_mday != day && sec != 60) {
        return -1;
    }

    at -= (zone_hour * 3600 + zone_min * 60) * (s->data[21] == '-' ? -1 : 1);

    return (gmtime_r(&at, &tm)
            && strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &tm)) ? 0 : -1;
}


/* The length of a UTF-8 sequence of at most n bytes, 0 if it is none. */
static size_t
import_utf8(const unsigned char *s, size_t n)
{
    size_t         i, len;
    uint32_t       c;

    if (s[0] < 0x80) {
        return 1;
    }

    len = (s[0] >= 0xf0) ? 4 : (s[0] >= 0xe0) ? 3 : 2;

    if (s[0] < 0xc2 || s[0] > 0xf4 || len > n) {
        return 0;
    }

    c = s[0] & (0x7f >> len);

    for (i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }

        c = c << 6 | (s[i] & 0x3f);
    }

    return (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)
            || (len == 3 && c < 0x800) || (len == 4 && c < 0x10000)) ? 0 : len;
}


static int
import_hex(int ch)
{
    return isdigit(ch) ? ch - '0' : tolower(ch) - 'a' + 10;
}


/*
 * The text that a server has escaped: \xHH, as of nginx and Apache, and \" \\
 * \n \r \t, as of Apache.  What is no UTF-8 becomes U+FFFD.  Memory from
 * malloc(), NULL if there is none.
 */
static char *
import_text(const import_str_t *s)
{
    char           *text, *dst, *raw, *p;
    size_t          i, n, len;

    raw = malloc(s->len + 1);
    text = malloc(3 * s->len + 1);

    if (raw == NULL || text == NULL) {
        free(raw);
        free(text);
        return NULL;
    }

    for (p = raw, i = 0; i < s->len; i++) {

        if (s->data[i] != '\\' || i + 1 == s->len) {
            *p++ = s->data[i];
            continue;
        }

        switch (s->data[++i]) {

        case 'n':
            *p++ = '\n';
            break;

        case 'r':
            *p++ = '\r';
            break;

        case 't':
            *p++ = '\t';
            break;

        case 'x':
            if (i + 2 < s->len && isxdigit((unsigned char) s->data[i + 1])
                && isxdigit((unsigned char) s->data[i + 2]))
            {
                *p++ = (char) (import_hex((unsigned char) s->data[i + 1]) << 4
                             | import_hex((unsigned char) s->data[i + 2]));
                i += 2;
                break;
            }

            *p++ = '\\';
            *p++ = 'x';
            break;

        default:
            *p++ = s->data[i];
        }
    }

    n = p - raw;

    for (dst = text, i = 0; i < n; i += len ? len : 1) {
        len = import_utf8((unsigned char *) raw + i, n - i);

        /* a string in C ends at a NUL */

        if (len == 0 || raw[i] == '\0') {
            memcpy(dst, "\xef\xbf\xbd", 3);
            dst += 3;
            continue;
        }

        memcpy(dst, raw + i, len);
        dst += len;
    }

    *dst = '\0';

    free(raw);

    return text;
}


static int
import_one_of(const char *const *names, const char *name)
{
    for ( /* void */ ; *names; names++) {
        if (strcmp(*names, name) == 0) {
            return 1;
        }
    }

    return 0;
}


/* What kind of thing was asked for, by the end of its name. */
static const char *
import_type(const char *path)
{
    char         ext[8];
    size_t       i, len;
    const char  *dot;

    len = strcspn(path, "?#");

    for (dot = path + len; dot > path && *dot != '.' && *dot != '/'; dot--) {
        /* void */
    }

    ext[0] = '\0';

    if (*dot == '.' && (size_t) (path + len - dot) <= sizeof(ext)) {
        dot++;

        for (i = 0; dot + i < path + len && i < sizeof(ext) - 1; i++) {
            ext[i] = (char) tolower((unsigned char) dot[i]);
        }

        ext[i] = '\0';
    }

    if (import_one_of(import_images, ext)) {
        return "image";
    }

    if (import_one_of(import_assets, ext)) {
        return "asset";
    }

    if (import_one_of(import_feeds, ext) || strstr(path, "feed")
        || strstr(path, "flav=rss") || strstr(path, "flav=atom"))
    {
        return "feed";
    }

    return import_one_of(import_downloads, ext) ? "download" : "page_view";
}


/* Adds a text unless it is "-" or not there.  NULL if there is no memory. */
static cJSON *
import_add(cJSON *json, const char *name, const import_str_t *s)
{
    char   *text;
    cJSON  *item;

    if (s->data == NULL || (s->len == 1 && s->data[0] == '-')) {
        return json;
    }

    text = import_text(s);
    if (text == NULL) {
        return NULL;
    }

    item = cJSON_AddStringToObject(json, name, text);

    free(text);

    return item ? json : NULL;
}


/* The same of a number; what is none is left out. */
static cJSON *
import_add_number(cJSON *json, const char *name, const import_str_t *s)
{
    char  text[24], *end;

    if (s->len == 0 || s->len >= sizeof(text)) {
        return json;
    }

    memcpy(text, s->data, s->len);
    text[s->len] = '\0';

    (void) strtoull(text, &end, 10);

    if (*end || !isdigit((unsigned char) text[0])
        || (text[0] == '0' && text[1]))
    {
        return json;
    }

    return cJSON_AddRawToObject(json, name, text) ? json : NULL;
}


/* Adds what the request says, and the type that follows from it. */
static cJSON *
import_add_request(cJSON *event, cJSON *metadata, const import_line_t *line)
{
    char          *path;
    cJSON         *rc;
    const char    *p, *last;
    import_str_t   method, target;

    memset(&target, 0, sizeof(target));

    p = line->request.data;
    last = p + line->request.len;

    if (import_word(&p, last, 0, ' ', &method) != 0
        || import_word(&p, last, 0, ' ', &target) != 0)
    {
        /* not HTTP at all */

        return (cJSON_AddStringToObject(event, "action_type", "bad_request"))
               ? import_add(metadata, "request", &line->request) : NULL;
    }

    path = import_text(&target);
    if (path == NULL) {
        return NULL;
    }

    rc = (import_add(metadata, "method", &method)
          && cJSON_AddStringToObject(metadata, "path", path)
          && cJSON_AddStringToObject(event, "action_type", import_type(path)))
         ? metadata : NULL;

    free(path);

    return rc;
}


static cJSON *
import_event(const import_line_t *line, const char *time, int remote_user)
{
    cJSON               *event, *metadata;
    const import_str_t  *user;

    event = cJSON_CreateObject();
    metadata = cJSON_CreateObject();

    user = (remote_user && !(line->user.len == 1 && line->user.data[0] == '-'))
           ? &line->user : &line->address;

    if (import_add(event, "user_id", user) == NULL
        || cJSON_AddStringToObject(event, "timestamp", time) == NULL
        || import_add_request(event, metadata, line) == NULL
        || import_add_number(metadata, "status", &line->status) == NULL
        || import_add_number(metadata, "bytes", &line->bytes) == NULL
        || import_add(metadata, "referrer", &line->referrer) == NULL
        || import_add(metadata, "user_agent", &line->agent) == NULL
        || !cJSON_AddItemToObject(event, "metadata", metadata))
    {
        cJSON_Delete(metadata);
        cJSON_Delete(event);
        return NULL;
    }

    return event;
}


const char *
import_convert(import_buf_t *out, const char *line, size_t len,
    int remote_user)
{
    char           time[32], *text;
    cJSON         *event;
    const char    *why;
    import_line_t  parts;

    why = import_parse(&parts, line, len);

    if (why) {
        return why;
    }

    if (import_time(&parts.time, time, sizeof(time)) != 0) {
        return "has no time like [17/May/2015:10:05:03 +0000]";
    }

    event = import_event(&parts, time, remote_user);
    text = event ? cJSON_PrintUnformatted(event) : NULL;

    cJSON_Delete(event);

    if (text == NULL) {
        import_error("no memory");
        exit(IMPORT_FAILED);
    }

    import_append(out, text, strlen(text));
    import_append(out, "\n", 1);

    cJSON_free(text);

    return NULL;
}


int
import_is_object(const char *line, size_t len)
{
    int     rc;
    cJSON  *json;

    json = cJSON_ParseWithLength(line, len);
    rc = cJSON_IsObject(json);

    cJSON_Delete(json);

    return rc;
}
