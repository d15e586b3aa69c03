
/*
 * How far a file is: lines of a name and a value.
 *
 *     analytics-import 1
 *     url http://127.0.0.1:8080/events/
 *     offset 1048576
 *     line 4711
 *     pending 1310720
 *     head 1024 5feceb66ffc86f38...
 *
 * A batch's end is written down before it is sent.  If nobody lives to note
 * that it was taken, the same bytes are sent again, also if the file has grown,
 * under the same Idempotency-Key, and are not counted twice.
 *
 * Copyright (C) The nginx analytics authors
 */


#include "import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>


#define IMPORT_STATE_VERSION  "analytics-import 1\n"


int
import_state_read(const char *path, import_state_t *state, char **url)
{
    int                 n;
    FILE               *f;
    char                version[64], address[8192];
    unsigned long long  offset, line, pending, head_len;

    head_len = 0;

    f = fopen(path, "r");

    if (f == NULL) {
        if (errno == ENOENT) {
            return 1;
        }

        import_error("\"%s\" cannot be read: %s", path, strerror(errno));
        return -1;
    }

    if (fgets(version, sizeof(version), f) == NULL
        || strcmp(version, IMPORT_STATE_VERSION) != 0)
    {
        n = 0;

    } else {
        n = fscanf(f, "url %8191s offset %llu line %llu pending %llu "
                   "head %llu %64s", address, &offset, &line, &pending,
                   &head_len, state->head);
    }

    fclose(f);

    if (n != 6 || head_len > IMPORT_HEAD
        || strlen(state->head) != IMPORT_SHA256 - 1)
    {
        import_error("\"%s\" is no state of an import", path);
        return -1;
    }

    state->offset = offset;
    state->line = line;
    state->pending = pending;
    state->head_len = head_len;

    *url = strdup(address);

    return *url ? 0 : -1;
}


int
import_state_write(const char *path, const import_state_t *state,
    const char *url, int sync)
{
    FILE  *f;
    char   temp[4096];
    int    fd, rc;

    if (snprintf(temp, sizeof(temp), "%s.tmp", path) >= (int) sizeof(temp)) {
        import_error("\"%s\" is too long a name", path);
        return -1;
    }

    fd = open(temp, O_WRONLY|O_CREAT|O_TRUNC, 0600);
    f = (fd == -1) ? NULL : fdopen(fd, "w");

    if (f == NULL) {
        import_error("\"%s\" cannot be written: %s; --state= says where else",
                     temp, strerror(errno));
        return -1;
    }

    fprintf(f, "%surl %s\noffset %llu\nline %llu\npending %llu\n"
            "head %llu %s\n", IMPORT_STATE_VERSION, url,
            (unsigned long long) state->offset,
            (unsigned long long) state->line,
            (unsigned long long) state->pending,
            (unsigned long long) state->head_len, state->head);

    rc = (fflush(f) == 0 && !ferror(f) && (!sync || fdatasync(fd) == 0))
         ? 0 : -1;

    if (fclose(f) != 0) {
        rc = -1;
    }

    if (rc == 0 && rename(temp, path) == 0) {
        return 0;
    }

    import_error("\"%s\" cannot be written: %s", path, strerror(errno));
    (void) unlink(temp);

    return -1;
}
