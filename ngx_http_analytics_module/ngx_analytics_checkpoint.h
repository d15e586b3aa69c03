
/*
 * Checkpoints: what a zone holds at one position of its log, in a file.
 *
 * What is written is what the zone says, not what its memory looks like: the
 * sections below can be read into a zone of another size, and by another
 * version of this module.  So a checkpoint must be taken of a zone that
 * nobody folds into: of a copy that was built from the checkpoint before and
 * the log behind it, beside the one that serves.  That costs no lock and no
 * copied pages, and is the same code as a recovery.
 *
 *     header, 128 bytes
 *         0   8  "NGXCHKP" and a NUL
 *         8   4  version of the format: 1
 *        12   4  length of this header: 128
 *        16  16  the log's id
 *        32   8  position in the log
 *        40   8  sequence number of the last event
 *        48   8  when it was written, microseconds since the epoch
 *        56  68  0
 *       124   4  CRC32C of the 124 bytes above
 *
 *     sections: each 4 bytes of kind, 4 bytes of 0, 8 bytes of length, and so
 *         many bytes, at most 1 MB; all integers are little-endian.  A kind
 *         that is not known is passed over.  The last one is "end ", of 8
 *         bytes: CRC32C of all sections before it with their headers, and 4
 *         bytes of 0.  The other ones: see ngx_analytics_image.h.
 *
 * They are called by their position in 20 digits, ".checkpoint"; while one is
 * being written it is called checkpoint.tmp.  Two are kept to be read, and up
 * to two more for those who copy the directory meanwhile.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_CHECKPOINT_H_INCLUDED_
#define _NGX_ANALYTICS_CHECKPOINT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_reader.h"
#include "ngx_analytics_zone.h"


#define NGX_ANALYTICS_CHECKPOINT_VERSION  1
#define NGX_ANALYTICS_CHECKPOINTS         2      /* kept to be read */

/* seconds that a copy of the directory may take */
#ifndef NGX_ANALYTICS_CHECKPOINT_AGE
#define NGX_ANALYTICS_CHECKPOINT_AGE      3600
#endif

#define NGX_ANALYTICS_CHECKPOINT_MAGIC    "NGXCHKP"
#define NGX_ANALYTICS_CHECKPOINT_HEADER   128
#define NGX_ANALYTICS_CHECKPOINT_SECTION  16     /* header of a section */

/*
 * So much is read or written at once: a kernel that is not preemptible lets
 * nobody else have the processor until it is done.
 */
#define NGX_ANALYTICS_CHECKPOINT_PIECE    65536

/* "00000000000000000000.checkpoint" and a NUL */
#define NGX_ANALYTICS_CHECKPOINT_NAME     32


/*
 * Writes a checkpoint of a zone that nobody else has: to a temporary file
 * that is synced, renamed, and the directory synced.  The log up to the
 * zone's position must be synced before.  Then removes those that nobody
 * needs any more.  Blocks.
 * progress() is called now and then, if it is not NULL; when it returns other
 * than NGX_OK the work is given up.
 * Returns NGX_OK or NGX_ERROR and *fail: then the old ones are untouched.
 */
ngx_int_t ngx_analytics_checkpoint_write(int dir, const char *path,
    const u_char *id, ngx_analytics_zone_t *z, int64_t now,
    ngx_int_t (*progress)(void *ctx), void *ctx, ngx_analytics_fail_t *fail);


/*
 * ngx_analytics_checkpoint_read.c
 *
 * Reads the newest checkpoint that is of this log (id), not ahead of its end,
 * not before first, and whole, into a zone that it lays out anew for it in
 * size bytes of zeroed memory at mem; conf->key must be the log's.  Without
 * one the zone is empty, at position 0.
 * Each one that is not used because it is damaged, of another log or ahead
 * of this one is set aside (renamed to NAME.damaged) and told to bad(), with
 * the reason; one of a newer version, before first or that cannot be read is
 * told and left where it is.
 * pace() is called now and then, if it is not NULL.
 * Returns the zone with its position set, or NULL and *fail: the system could
 * not tell what there is, and it may be another time; or the only one that is
 * not before first cannot be read; or there is no memory, or size is too small.
 * While it is reading, ngx_analytics_zone_recover() takes the zone for damaged,
 * so that what a killed process has left is not served.
 */
ngx_analytics_zone_t *ngx_analytics_checkpoint_read(int dir,
    const char *path, const u_char *id, uint64_t first, uint64_t end,
    void *mem, size_t size, ngx_analytics_zone_conf_t *conf,
    void (*bad)(void *ctx, const char *name, const char *why),
    void (*pace)(void *ctx), void *ctx, ngx_analytics_fail_t *fail);

/*
 * Sets one aside whose position is behind end, and writes its old name to
 * name.  Returns NGX_OK, NGX_DONE if there is none, or NGX_ERROR and *fail.
 */
ngx_int_t ngx_analytics_checkpoint_ahead(int dir, const char *path,
    uint64_t end, char *name, ngx_analytics_fail_t *fail);

/*
 * The position of the newest that looks like one, by name alone; 0 if there
 * is none, or it cannot be told.
 */
uint64_t ngx_analytics_checkpoint_newest(int dir);

/*
 * The position of the oldest that is kept: what the log has before it, nobody
 * needs in order to make the zone.  Returns NGX_OK, NGX_DECLINED if there are
 * fewer than two, or none is so old as a copy may take, or NGX_ERROR and errno.
 */
ngx_int_t ngx_analytics_checkpoint_oldest(int dir, uint64_t *position);

/*
 * The newest of those before a position.  Returns NGX_OK, NGX_DECLINED if there
 * is none, or NGX_ERROR and errno.
 */
ngx_int_t ngx_analytics_checkpoint_before(int dir, uint64_t below,
    uint64_t *position);

/* Writes a checkpoint's file name, NGX_ANALYTICS_CHECKPOINT_NAME bytes. */
void ngx_analytics_checkpoint_name(char *name, uint64_t position);


#endif /* _NGX_ANALYTICS_CHECKPOINT_H_INCLUDED_ */
