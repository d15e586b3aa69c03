
/*
 * The format of the log: what stands in a segment file.
 *
 * The log is one sequence of bytes, cut into segments.  A position counts
 * bytes from the log's beginning, the segments' headers included; a segment
 * is called by the position of its first byte, in 20 decimal digits, ".log".
 * All integers are little-endian; records start at multiples of 8.
 *
 *     segment header, 128 bytes
 *         0   8  "NGXALOG" and a NUL
 *         8   4  version of the format: 1
 *        12   4  length of this header: 128
 *        16  16  the log's id: random, the same in all its segments
 *        32  16  key of the hash tables: random, the same in all segments
 *        48   8  position of this byte 0
 *        56   8  sequence number of the first event that will follow
 *        64   8  reserved: all numbers given out before the next header that
 *                is on the disk are below this one
 *        72   8  when it was made, microseconds since the epoch
 *        80  44  0
 *       124   4  CRC32C of the 124 bytes above
 *
 *     record: header of 32 bytes, payload, 0 to 7 bytes of 0
 *         0   4  length of all of it, a multiple of 8
 *         4   4  CRC32C of the payload with its padding, and then of the 24
 *                bytes from 8 on
 *         8   8  sequence number of its first event (of the next one to come,
 *                if it has none)
 *        16   8  time of receipt, microseconds since the epoch
 *        24   4  number of events
 *        28   2  0x474e
 *        30   2  bytes of padding
 *
 *     payload: items, each with a tag first
 *
 *     event: a tag below 0x80, of the bits
 *                0x01  has a time      0x02  has properties  0x04  has an id
 *                0x08  user as in the event before it in this record
 *                0x10  type as in the event before it in this record
 *                0x20  erased: the bytes of user, id and properties are 0,
 *                      and mean nothing
 *            1   length of the user        unless 0x08
 *            1   length of the type        unless 0x10
 *            1   length of the id          if 0x04
 *            8   time of the event, microseconds since the epoch, if 0x01
 *          1..4  length of the properties  if 0x02: seven bits a byte, the
 *                lowest first, 0x80 says that another follows
 *            .   user, type, id, properties
 *
 *     key: tag 0x80.  A request came with an Idempotency-Key of this hash;
 *          from this record on, so many of its events were taken care of.
 *            8   SipHash-1-3, with the key of the hash tables, of 16 bytes: of
 *                1, and of the same hash of the Idempotency-Key; if it is 0: 1
 *           16   SHA-256 of the body, its first 16 bytes
 *            4   events of the body done, those known already included
 *            8   least and
 *            8   greatest sequence number of these events, 0 if there are none
 *
 *     program: tag 0x81.  The zone folds by these rules from here on.
 *            4   length of the text
 *            .   text: see ngx_analytics_rules.h
 *
 *     erase: tag 0x82.  What is known of a user is to be forgotten, and the
 *          events before this record are to be as if they had none.
 *            8   SipHash-1-3 of the user with the key of the hash tables; 0
 *                when all that has been done
 *
 *     refold: tag 0x83.  What events with earlier numbers add to a metric
 *          that was declared after them.
 *            8   signature of the source, see ngx_analytics_rules.h
 *            4   classes of figures
 *            8   number of the first event that is in it, and
 *            8   of the first behind it: that was the first before this
 *            8   time of receipt of the first event, 0 if there are no others
 *                before
 *            4   length of the entries
 *            .   entries: see ngx_analytics_refold.h
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_ANALYTICS_RECORD_H_INCLUDED_
#define _NGX_ANALYTICS_RECORD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_analytics_event.h"
#include "ngx_analytics_zone.h"


#define NGX_ANALYTICS_LOG_VERSION     1
#define NGX_ANALYTICS_SEGMENT_HEADER  128
#define NGX_ANALYTICS_RECORD_HEADER   32
#define NGX_ANALYTICS_RECORD_MAX      (4 * 1024 * 1024)
#define NGX_ANALYTICS_DIGEST          16       /* bytes, of a body */
#define NGX_ANALYTICS_TAG_ERASED      0x20

/* a sequence number is reserved so long before it is given out */
#define NGX_ANALYTICS_RESERVE         ((uint64_t) 1 << 26)


typedef struct {
    u_char          id[16];
    uint64_t        key[2];
    uint64_t        position;
    uint64_t        seq;
    uint64_t        reserved;
    int64_t         created;
} ngx_analytics_segment_t;


/* A record that was checked; its payload stays where it was read to. */
typedef struct {
    uint64_t        position;          /* set by who read it */
    size_t          len;               /* of all of it */
    uint64_t        seq;
    int64_t         received;
    ngx_uint_t      n;                 /* events */
    u_char         *pos;               /* the next item */
    u_char         *last;

    ngx_uint_t      taken;             /* events so far */
    ngx_str_t       user;              /* of the event before */
    ngx_str_t       type;
} ngx_analytics_record_t;


/* A request's key and how far its body came. */
typedef struct {
    uint64_t        hash;              /* of the key; 0: there is none */
    u_char          digest[NGX_ANALYTICS_DIGEST];
    uint32_t        done;              /* events of the body */
    uint64_t        first;
    uint64_t        last;
} ngx_analytics_record_key_t;


typedef enum {
    NGX_ANALYTICS_ITEM_EVENT = 0,
    NGX_ANALYTICS_ITEM_KEY,
    NGX_ANALYTICS_ITEM_PROGRAM,
    NGX_ANALYTICS_ITEM_ERASE,
    NGX_ANALYTICS_ITEM_REFOLD
} ngx_analytics_item_e;


/* What earlier events add to a metric. */
typedef struct {
    uint64_t        signature;
    uint32_t        classes;
    uint64_t        from;              /* numbers: [from, to) */
    uint64_t        to;
    int64_t         since;
    ngx_str_t       entries;
} ngx_analytics_record_refold_t;


typedef struct {
    ngx_analytics_item_e        kind;
    ngx_analytics_event_t       event;      /* of the kind that it is; */
    ngx_analytics_record_key_t  key;        /* texts are in the record */
    ngx_analytics_program_t     program;
    uint64_t                    erase;      /* hash of a user, or 0 */
    ngx_analytics_record_refold_t  refold;
} ngx_analytics_item_t;


/* Writes 128 bytes. */
void ngx_analytics_segment_write(u_char *p, ngx_analytics_segment_t *segment);

/*
 * Reads len bytes, 128 or more.  Returns NGX_OK, NGX_DECLINED if they are no
 * header, or NGX_ABORT if its version is not known here.
 */
ngx_int_t ngx_analytics_segment_read(u_char *p, size_t len,
    ngx_analytics_segment_t *segment);


/*
 * How items are written: ..._size() says how many bytes ..._write() will
 * write at p, at most; ..._write() returns the end of what it wrote.
 * previous is the event written just before, or NULL at the beginning; the
 * texts are copied.
 */
size_t ngx_analytics_record_event_size(ngx_analytics_event_t *event);
u_char *ngx_analytics_record_event_write(u_char *p,
    ngx_analytics_event_t *event, ngx_analytics_event_t *previous);

#define NGX_ANALYTICS_RECORD_KEY      (1 + 8 + NGX_ANALYTICS_DIGEST + 4 + 8 + 8)
u_char *ngx_analytics_record_key_write(u_char *p,
    ngx_analytics_record_key_t *key);

#define ngx_analytics_record_program_size(program)  (1 + 4 + (program)->len)
u_char *ngx_analytics_record_program_write(u_char *p,
    ngx_analytics_program_t *program);

/* Writes all but the entries, which are to follow. */
#define NGX_ANALYTICS_RECORD_REFOLD  (1 + 8 + 4 + 8 + 8 + 8 + 4)
u_char *ngx_analytics_record_refold_write(u_char *p,
    ngx_analytics_record_refold_t *refold);

#define NGX_ANALYTICS_RECORD_ERASE    9
u_char *ngx_analytics_record_erase_write(u_char *p, uint64_t hash);

/*
 * Makes a record of the payload that ends at last and starts 32 bytes behind
 * record: pads it (7 bytes of room behind last are needed) and sums it up.
 * Returns its length.  Then the header is written, which is cheap: that can
 * be done when seq and received are known.
 */
size_t ngx_analytics_record_pad(u_char *record, u_char *last, uint32_t *crc);
void ngx_analytics_record_finish(u_char *record, size_t len, uint32_t crc,
    u_char *last, uint64_t seq, int64_t received, ngx_uint_t n);

/*
 * Looks for a record in len bytes.  Returns
 *     NGX_OK        it is there, whole and undamaged
 *     NGX_AGAIN     it may be: r->len bytes are needed to tell
 *     NGX_DECLINED  it is not
 */
ngx_int_t ngx_analytics_record_read(u_char *p, size_t len,
    ngx_analytics_record_t *r);

/*
 * Takes the next item; of an event that was erased, user, id and properties
 * are empty.  Returns NGX_OK, NGX_DONE if there is none, or
 * NGX_ERROR if it is malformed, which a checksum cannot rule out: that goes
 * for the number of events, too.  Never reads behind the record.
 */
ngx_int_t ngx_analytics_record_item(ngx_analytics_record_t *r,
    ngx_analytics_item_t *item);


/* Sums a record of that length up anew: its payload was changed. */
void ngx_analytics_record_seal(u_char *record, size_t len);


#endif /* _NGX_ANALYTICS_RECORD_H_INCLUDED_ */
