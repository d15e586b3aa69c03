
/*
 * What the files of the HTTP floor share.
 *
 * A request goes through them like this:
 *
 *     collect, summary -> post -> body -> (decode) -> ingest -> reply
 *                                                       |
 *                                      append -> log -> zone
 *     stats, summary, health -> args -> fresh -> zone -> reply
 *
 * and beside them, on threads: attach, recovery, sync, checkpoint, store.
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_HTTP_ANALYTICS_H_INCLUDED_
#define _NGX_HTTP_ANALYTICS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_analytics_decode.h"
#include "ngx_analytics_keys.h"
#include "ngx_analytics_log.h"
#include "ngx_analytics_pseudonym.h"
#include "ngx_analytics_replay.h"
#include "ngx_analytics_zone.h"

#include <cjson/cJSON.h>


#define NGX_ANALYTICS_VERSION          "0.1.0"

#define NGX_HTTP_UNPROCESSABLE_ENTITY  422

/* larger bodies are worked on by a thread, and huge ones stand back there */
#define NGX_HTTP_ANALYTICS_INLINE_MAX  (256 * 1024)
#define NGX_HTTP_ANALYTICS_HUGE_MIN    (4 * 1024 * 1024)


typedef enum {
    NGX_HTTP_ANALYTICS_SYNC_TIME = 0,
    NGX_HTTP_ANALYTICS_SYNC_ALWAYS,
    NGX_HTTP_ANALYTICS_SYNC_OFF
} ngx_http_analytics_sync_e;


/* how long requests wait for the log, seconds */
#define NGX_HTTP_ANALYTICS_PATIENCE    10

/* how many requests share one lock: more of them would save nothing */
#define NGX_HTTP_ANALYTICS_SHARE       16


typedef struct ngx_http_analytics_zone_s  ngx_http_analytics_zone_t;
typedef struct ngx_http_analytics_post_s  ngx_http_analytics_post_t;
typedef struct ngx_http_analytics_metrics_s  ngx_http_analytics_metrics_t;
typedef struct ngx_http_analytics_alerts_s  ngx_http_analytics_alerts_t;
typedef struct ngx_http_analytics_view_s  ngx_http_analytics_view_t;


#define NGX_HTTP_ANALYTICS_DURATIONS   13

/* Requests that posted events. */
typedef struct {
    ngx_atomic_t              n[NGX_HTTP_ANALYTICS_DURATIONS + 1];
    ngx_atomic_t              msec;       /* that all of them took */
    ngx_atomic_t              errors;     /* status of 400 or more */
} ngx_http_analytics_requests_t;


/* What a zone's shared memory begins with, beside the zone itself. */
typedef struct {
    ngx_analytics_zone_t     *zone;       /* mapped alike everywhere, and */
    size_t                    size;       /* its memory, in bytes */
    uint64_t                  id;         /* of this memory, random */
    uint64_t                  ready;      /* the log's epoch it is a fold of, */
    uint64_t                  log[3];     /* and which log: its control file */
    ngx_uint_t                rebuilds;   /* from 1 on */
    uint64_t                  recovered;  /* progress: from, now, to */
    uint64_t                  recovery_from;
    uint64_t                  recovery_to;
    uint64_t                  forgotten;  /* see ngx_http_analytics_load() */
    ngx_uint_t                used;       /* the memory was not all zeros */
    ngx_atomic_t              erased;     /* times that users were */
    ngx_atomic_t              firing;     /* alerts, when last looked */
    ngx_http_analytics_requests_t  requests;
} ngx_http_analytics_shared_t;


/* Work on a thread that a process does once at a time for a zone. */
typedef struct {
    ngx_thread_task_t        *task;
    ngx_http_analytics_zone_t  *zone;
    void                    (*run)(ngx_http_analytics_zone_t *zone);
    void                    (*done)(ngx_http_analytics_zone_t *zone);
    ngx_uint_t                busy;
    ngx_msec_t                wait;       /* since it failed, before the next */
    ngx_msec_t                failed;

    uint64_t                  limit;      /* of a checkpoint */
    ngx_int_t                 rc;         /* for run() to tell done() */
    ngx_analytics_fail_t      fail;
} ngx_http_analytics_job_t;


/* Requests that are to be appended together. */
typedef struct {
    ngx_http_analytics_post_t  *posts[NGX_HTTP_ANALYTICS_SHARE];
    ngx_uint_t                n;          /* 0: none is under way */
    ngx_uint_t                events;
    ngx_uint_t                hashed;     /* after so many rebuilds, or 0 */
    ngx_msec_t                since;

    u_char                   *record;     /* grows */
    size_t                    size;
    size_t                    len;
    u_char                   *last;
    uint32_t                  crc;
} ngx_http_analytics_group_t;


/* A zone of the configuration, and this process's view of its memory. */
struct ngx_http_analytics_zone_s {
    ngx_str_t                 name;
    size_t                    size;           /* 0: named, not declared */
    ngx_uint_t                types;
    int64_t                   totals;         /* kept; microseconds, 0: all */
    ngx_http_analytics_metrics_t  *metrics;
    ngx_http_analytics_alerts_t  *alerts;
    ngx_analytics_program_t   program;        /* what of this is folded by */

    ngx_path_t               *path;           /* NULL: no log */
    ngx_uint_t                sync;           /* ngx_http_analytics_sync_e */
    ngx_msec_t                sync_time;      /* of SYNC_TIME */
    size_t                    segment_size;
    ngx_msec_t                checkpoint_time;
    size_t                    checkpoint_size;
    ngx_flag_t                store;
    int64_t                   keep_time;      /* microseconds, 0: for ever */
    uint64_t                  keep_size;      /* bytes, 0: any */
    int64_t                   period;         /* microseconds, 0: none */

    ngx_analytics_pseudonyms_t  pseudonyms;   /* see pseudonyms_mutex; */
                                              /* every: fixed, OFF if none */

    u_char                   *file;           /* where it was named first */
    ngx_uint_t                line;

    ngx_shm_zone_t           *shm_zone;
    ngx_slab_pool_t          *shpool;
    ngx_http_analytics_shared_t  *shared;
    ngx_analytics_zone_t     *sh;             /* shared->zone */
    ngx_uint_t                rolled_back;    /* to be logged, see unlock() */
    ngx_uint_t                damaged;        /* was logged */

    ngx_queue_t               waiting;        /* posts to be folded, */
    ngx_uint_t                nwaiting;
    ngx_event_t               fold;           /* once a turn of the loop */

    /* of a zone with a log only */

    ngx_analytics_log_t       log;
    ngx_http_analytics_group_t  group;
    ngx_event_t               retry;          /* somebody else appends */
    ngx_queue_t               syncing;        /* posts that wait for the disk */
    ngx_event_t               resync;         /* for these, now and then */
    ngx_event_t               tick;
    ngx_msec_t                synced;         /* when a sync began last, */
    ngx_msec_t                looked;         /* and a look for erasures */
    ngx_atomic_uint_t         erased;         /* of shared, seen here */

    ngx_http_analytics_job_t  attach;
    ngx_http_analytics_job_t  recovery;
    ngx_http_analytics_job_t  catch_up;
    ngx_http_analytics_job_t  sync_job;
    ngx_http_analytics_job_t  checkpoint;
    ngx_http_analytics_job_t  store_job;
    ngx_msec_t                stored;         /* when it was looked at last */
    ngx_analytics_tail_t      store_tail;     /* what is synced for it */
    uint64_t                  store_from;     /* told by the last look, or 0 */
    ngx_atomic_uint_t         store_bad;      /* files put aside by then */
    int64_t                   period_next;    /* when one is over */
    int64_t                   period_now;     /* nothing is recorded before */
                                              /* that any more; or 0 */
    ngx_msec_t                period_looked;  /* for one to count again: */
    ngx_uint_t                period_look;    /* when, and that it is due */
    ngx_msec_t                period_wait;    /* since counting failed, */
    ngx_msec_t                period_failed;  /* before the next time */
    ngx_http_analytics_job_t  erasing;
    ngx_http_analytics_job_t  refold;
    ngx_msec_t                refolded;       /* when it was looked last */
    ngx_http_analytics_job_t  pseudonyms_job;
    ngx_analytics_pseudonyms_t  loaded;       /* by it, or by attaching */
    ngx_thread_mutex_t        pseudonyms_mutex;

    ngx_uint_t                seen;           /* rebuilds, by who is asked */
    ngx_uint_t                hurry;          /* of a checkpoint */
    uint64_t                  rested;         /* since its thread worked so */
                                              /* long, nsec */
    ngx_uint_t                attached;
    int                       failed;         /* errno of attaching, or -1 */
    ngx_uint_t                trouble;        /* storing fails */
    int                       logged;         /* errno that was logged last, */
    ngx_msec_t                logged_time;    /* and when, */
    ngx_msec_t                again_time;     /* and when that it was over */
};


/* A format of the configuration. */
typedef struct {
    ngx_analytics_format_t    format;
    ngx_uint_t                declared;       /* unsigned  declared:1; */
    u_char                   *file;
    ngx_uint_t                line;
} ngx_http_analytics_format_t;


typedef struct {
    ngx_array_t               zones;      /* ngx_http_analytics_zone_t * */
    ngx_array_t               formats;    /* ngx_http_analytics_format_t * */
    ngx_array_t               views;      /* ngx_http_analytics_view_t * */
    ngx_thread_pool_t        *thread_pool;
} ngx_http_analytics_main_conf_t;


typedef enum {
    NGX_HTTP_ANALYTICS_TOTAL = 0,
    NGX_HTTP_ANALYTICS_BY_TYPE,
    NGX_HTTP_ANALYTICS_BY_USER,
    NGX_HTTP_ANALYTICS_OVER_TIME,
    NGX_HTTP_ANALYTICS_RECENT,
    NGX_HTTP_ANALYTICS_USER
} ngx_http_analytics_stats_e;


/* requests that are not to be counted */
#define NGX_HTTP_ANALYTICS_HONOR_GPC  0x0001
#define NGX_HTTP_ANALYTICS_HONOR_DNT  0x0002


typedef struct {
    ngx_http_handler_pt           handler;    /* NULL: not ours */
    ngx_http_handler_pt           other;      /* which that one may call */
    ngx_http_analytics_zone_t    *zone;
    ngx_http_analytics_format_t  *format;
    ngx_uint_t                    stats;      /* ngx_http_analytics_stats_e */
    ngx_http_analytics_format_t  *events;     /* how single ones are shown */
    uint64_t                      limit;      /* of them, if none is asked */
    ngx_http_analytics_view_t    *view;
    ngx_array_t                  *join;       /* members of "analytics_join" */

    ngx_uint_t                    honor;      /* bits, see above */

    unsigned                      any_type:1;
    unsigned                      silent:1;   /* answers say nothing */
    unsigned                      received:1; /* by the time of receipt */
    unsigned                      no_id:1;    /* events are shown without */
} ngx_http_analytics_loc_conf_t;


/*
 * The body of a request in one piece of memory: as it lies in the request's
 * buffer, or mapped from its temporary file, or copied, or inflated.
 */
typedef struct {
    ngx_chain_t              *in;             /* as nginx read it */
    size_t                    max;            /* of the inflated size */
    unsigned                  gzip:1;
    unsigned                  copy:1;         /* of a file that others know */
    unsigned                  last:1;         /* nobody reads the file again */

    u_char                   *data;
    size_t                    len;

    u_char                   *map;            /* to be unmapped */
    size_t                    map_len;
    ngx_fd_t                  fd;             /* of the map */
} ngx_http_analytics_body_t;


/*
 * A request with a body on its way: the context of the request, too.
 *
 * A small one is worked on in the event loop with the request's pool, a
 * large one on a thread, with a pool of its own: run() must touch nothing of
 * the request or the process but what is here, the body, and the zone.
 */
struct ngx_http_analytics_post_s {
    ngx_http_request_t             *request;
    ngx_http_analytics_loc_conf_t  *conf;
    ngx_pool_t                     *pool;         /* for the work, */
    ngx_pool_t                     *out;          /* and for the answer */
    ngx_http_analytics_body_t       body;
    ngx_analytics_decode_t          decode;

    /* works on the whole body; sets status, and answer if it is a success */
    void                          (*run)(ngx_http_analytics_post_t *post);

    /* Idempotency-Key, and what stands in the zone for it */
    ngx_str_t                       key;
    u_char                          digest[NGX_ANALYTICS_DIGEST];

    ngx_analytics_run_t            *rest;         /* the events to be stored */
    ngx_uint_t                      i;            /* next, */
    ngx_uint_t                      stored;       /* behind so many */

    uint64_t                        first;        /* their numbers: the least */
    uint64_t                        last;         /* and the greatest */
    int64_t                         received;
    uint64_t                        end;          /* in the log, */
    uint64_t                        epoch;        /* before any cut since */
    ngx_uint_t                      hashed;       /* as in a group */

    ngx_uint_t                      status;       /* of the answer */
    ngx_str_t                       answer;       /* JSON */
    const char                     *detail;       /* of a problem */

    ngx_queue_t                     queue;
    unsigned                        done:1;       /* the answer is there */
    unsigned                        threaded:1;
    unsigned                        huge:1;       /* takes long, even there */
    unsigned                        keyed:1;      /* some key is in it */
    unsigned                        hidden:1;     /* its users are */
};


/* Events of a post that follow each other. */
typedef struct {
    ngx_analytics_run_t            *run;
    ngx_uint_t                      i;            /* the first, in the run, */
    ngx_uint_t                      index;        /* and in the post */
    ngx_uint_t                      n;
    size_t                          size;         /* in a record, at most */
} ngx_http_analytics_range_t;


extern ngx_module_t  ngx_http_analytics_module;


/* configuration: ngx_http_analytics_conf*.c */

char *ngx_http_analytics_zone_block(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_analytics_format_block(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* Directives of locations: ngx_http_analytics_conf_location.c. */
char *ngx_http_analytics_collect(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_analytics_events(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_analytics_export(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_analytics_counts(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_analytics_stats(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_analytics_summary(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_analytics_metrics(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_analytics_table(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_analytics_join(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_analytics_prometheus(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_analytics_alerts(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_analytics_reports(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_analytics_health(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_analytics_person(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_analytics_erase(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * Find a zone or a format by name, or name one that is still to be declared.
 * Return NULL, with a message, if there is no memory.
 */
ngx_http_analytics_zone_t *ngx_http_analytics_zone_named(ngx_conf_t *cf,
    ngx_str_t *name);
ngx_http_analytics_format_t *ngx_http_analytics_format_named(ngx_conf_t *cf,
    ngx_str_t *name);

/* Reports names that were never declared. */
ngx_int_t ngx_http_analytics_check_names(ngx_conf_t *cf);

/* Reads a block, whose lines come to the handler. */
char *ngx_http_analytics_block(ngx_conf_t *cf, void *conf,
    char *(*handler)(ngx_conf_t *, ngx_command_t *, void *));

/* Logs "invalid WHAT "VALUE"" and returns NGX_CONF_ERROR. */
char *ngx_http_analytics_invalid(ngx_conf_t *cf, const char *what,
    ngx_str_t *value);

/*
 * Takes the first item, maybe an empty one, off a list with commas; there is
 * one at least.  Returns NGX_OK, or NGX_DONE when there is none left.
 */
ngx_int_t ngx_http_analytics_item(ngx_str_t *list, ngx_str_t *item);


/* shared memory: ngx_http_analytics_shm.c */

ngx_int_t ngx_http_analytics_shm_init(ngx_shm_zone_t *shm_zone, void *data);

/* Makes the zones fold as this configuration says; in each worker. */
void ngx_http_analytics_shm_publish(ngx_http_analytics_main_conf_t *amcf);

/*
 * Take and release the zone's lock; also from a thread.  Without the lock,
 * lock() returns NGX_ERROR if the zone is damaged, or NGX_DECLINED if it is
 * being rebuilt.
 */
ngx_int_t ngx_http_analytics_lock(ngx_http_analytics_zone_t *zone);
void ngx_http_analytics_unlock(ngx_http_analytics_zone_t *zone);

/* Does not wait: NGX_BUSY if somebody else has the lock. */
ngx_int_t ngx_http_analytics_trylock(ngx_http_analytics_zone_t *zone);


/* bodies: ngx_http_analytics_body.c */

/*
 * Fills body->data and len; also on a thread.  Returns NGX_OK, NGX_ERROR, or
 * the status to answer with and *detail.
 */
ngx_int_t ngx_http_analytics_body_load(ngx_http_analytics_body_t *body,
    ngx_pool_t *pool, const char **detail);
void ngx_http_analytics_body_free(ngx_http_analytics_body_t *body);


/* requests that post a body: ngx_http_analytics_post.c */

/* Once in each process.  Returns NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_analytics_post_init(void);

/*
 * Checks the type, reads the body, has run() work on it and answers.
 * Returns what a content handler returns.
 */
ngx_int_t ngx_http_analytics_post(ngx_http_request_t *r,
    void (*run)(ngx_http_analytics_post_t *post));

/*
 * Answers a post whose work is done, and lets the request go.  run() must
 * call it in the event loop unless post->threaded.
 */
void ngx_http_analytics_post_done(ngx_http_analytics_post_t *post);

/* Frees what only the work needed; also on a thread. */
void ngx_http_analytics_post_release(ngx_http_analytics_post_t *post);

/*
 * Loads and decodes the body.  Returns NGX_OK, or NGX_ERROR after setting
 * the status to answer with.
 */
ngx_int_t ngx_http_analytics_post_decode(ngx_http_analytics_post_t *post);

/* An ngx_analytics_alloc_pt with an ngx_pool_t. */
void *ngx_http_analytics_palloc(void *pool, size_t size);


/* threads: ngx_http_analytics_task.c */

/*
 * Has post->run() done on a thread and then the post answered.  Only a few
 * are under way at once, so that large bodies take turns.
 */
void ngx_http_analytics_task_post(ngx_http_analytics_post_t *post);

/*
 * A process that is told to quit stays as long as there are more calls of
 * hold() than of let_go(): for requests that wait for a thread.
 */
void ngx_http_analytics_hold(void);
void ngx_http_analytics_let_go(void);

/* Once in each process. */
void ngx_http_analytics_task_init(void);


/* requests that wait for a thread: ngx_http_analytics_waiter.c */

/* Those of a kind, in a process. */
typedef struct {
    ngx_queue_t                 waiting;
    ngx_uint_t                  running;    /* on threads */
} ngx_http_analytics_line_t;


/* A request in a line; zeroed before, and of the request's pool. */
typedef struct {
    ngx_queue_t                 queue;
    ngx_http_request_t         *request;
    ngx_http_analytics_line_t  *line;
    ngx_thread_task_t          *task;
    ngx_int_t                 (*run)(void *data);
    void                       *data;
    ngx_int_t                   rc;         /* of run(), see below */

    unsigned                    waiting:1;
    unsigned                    made:1;
} ngx_http_analytics_waiter_t;


/* Once in each process, for each line. */
void ngx_http_analytics_line_init(ngx_http_analytics_line_t *line);

/* What a thread is to do.  Returns NGX_OK, or NGX_ERROR without memory. */
ngx_int_t ngx_http_analytics_waiter_init(ngx_http_analytics_waiter_t *waiter,
    ngx_http_request_t *r, ngx_http_analytics_line_t *line,
    ngx_int_t (*run)(void *data), void *data);

/*
 * Waits for a thread that calls run(data), and then calls the handler, which
 * asks made(): rc is what run() returned, or NGX_ABORT if no thread could be
 * had.  Returns NGX_DONE.
 */
ngx_int_t ngx_http_analytics_waiter_wait(ngx_http_analytics_waiter_t *waiter,
    ngx_http_event_handler_pt handler);

/* 0: it was another event of the connection, and is dealt with. */
ngx_uint_t ngx_http_analytics_waiter_made(ngx_http_analytics_waiter_t *waiter);


/* accepting: ngx_http_analytics_ingest.c */

/*
 * Has the events of a decoded post stored, by the end of this turn if nobody
 * else holds it up, and the post answered.
 */
void ngx_http_analytics_ingest(ngx_http_analytics_post_t *post);

/*
 * The same at once, but for the answer; for threads.  Returns NGX_OK, or
 * NGX_ERROR after setting the status to answer with.
 */
ngx_int_t ngx_http_analytics_ingest_now(ngx_http_analytics_post_t *post);

void ngx_http_analytics_ingest_init(ngx_http_analytics_zone_t *zone);

/*
 * Has the disk take what was stored of a post; for threads.  Returns NGX_OK,
 * or NGX_ERROR after setting the status: then it is not in the log.
 */
ngx_int_t ngx_http_analytics_ingest_sync(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post);

/*
 * Answers what the disk has got by now; rc is NGX_OK, or NGX_ERROR if a sync
 * has just failed.
 */
void ngx_http_analytics_ingest_synced(ngx_http_analytics_zone_t *zone,
    ngx_int_t rc);


/* appending: ngx_http_analytics_append.c */

/*
 * Takes the append lock and brings the zone up to the tail.  Returns
 *     NGX_OK        locked
 *     NGX_DECLINED  locked, but the zone is being rebuilt: nothing is to be
 *                   folded
 *     NGX_BUSY      not locked; never if wait
 *     NGX_ERROR     not locked: the log cannot be written
 * wait is for threads.
 */
ngx_int_t ngx_http_analytics_enter(ngx_http_analytics_zone_t *zone,
    ngx_uint_t wait);

/*
 * Under the append lock: folds what the log has and the zone has not.
 * Returns NGX_OK, NGX_DECLINED if the zone is to be rebuilt, or NGX_ERROR if
 * descriptors or memory are short.
 */
ngx_int_t ngx_http_analytics_catch_up(ngx_http_analytics_zone_t *zone);

/* Everything that can be done before.  Returns NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_analytics_append_prepare(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_group_t *group);

/*
 * Appends and folds a group, or the one post in it that has keys.  Returns
 * NGX_OK, NGX_BUSY (try again), or NGX_ERROR after setting the status of all.
 */
ngx_int_t ngx_http_analytics_append(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_group_t *group);

/* The size of an event in a record behind another one, or NULL, at most. */
size_t ngx_http_analytics_append_size(ngx_analytics_event_t *event,
    ngx_analytics_event_t *previous);

/* Makes room in group->record for a payload.  Returns NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_analytics_append_room(ngx_http_analytics_group_t *group,
    size_t size);


/* requests stored in slices: ngx_http_analytics_slice.c */

/* All of a post; for threads. */
ngx_int_t ngx_http_analytics_slice_all(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post);

/*
 * The next slice of a post with keys, under the append lock.  Returns NGX_OK,
 * NGX_AGAIN (sync first), or NGX_ERROR after setting the status.
 */
ngx_int_t ngx_http_analytics_slice_keyed(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post, ngx_http_analytics_group_t *slice,
    ngx_uint_t fold);

/* All of a post with keys, in a zone without a log. */
ngx_int_t ngx_http_analytics_slice_memory(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post);


/* events that follow each other: ngx_http_analytics_range.c */

/* Takes what is left of a post: at most max bytes, but one event, and most. */
void ngx_http_analytics_range_take(ngx_http_analytics_post_t *post,
    size_t max, ngx_uint_t most, ngx_http_analytics_range_t *range);

/*
 * Makes a record of a range, less what is known, and of a key, if it has one
 * and is not NULL.  Returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_http_analytics_range_encode(ngx_http_analytics_group_t *slice,
    ngx_http_analytics_range_t *range, ngx_analytics_record_key_t *key);

void ngx_http_analytics_range_hash(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_range_t *range);

/*
 * Not locked.  Look up what n hashed events, or a range, add to metrics, in
 * *pool: made by the first call, for the caller to destroy, and used again by
 * each.
 */
void ngx_http_analytics_points(ngx_http_analytics_zone_t *zone,
    ngx_analytics_event_t *events, ngx_uint_t n, ngx_pool_t **pool);
void ngx_http_analytics_range_points(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_range_t *range, ngx_pool_t **pool);

/*
 * Folds a range whose first event that is not known has the number seq; the
 * first takes the zone's lock for each run, and returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_http_analytics_range_fold(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_range_t *range, uint64_t seq, int64_t received);
void ngx_http_analytics_range_fold_locked(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_range_t *range, uint64_t seq, int64_t received);


/* keys: ngx_http_analytics_keyed.c */

ngx_int_t ngx_http_analytics_key_header(ngx_http_analytics_post_t *post);
ngx_int_t ngx_http_analytics_key_init(ngx_http_analytics_post_t *post);
void ngx_http_analytics_key_hash(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post);
ngx_int_t ngx_http_analytics_key_check(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post);
ngx_int_t ngx_http_analytics_key_request(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post, int64_t now);
ngx_int_t ngx_http_analytics_key_range(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post, ngx_http_analytics_range_t *range,
    int64_t now, ngx_uint_t *fresh);
ngx_int_t ngx_http_analytics_key_events(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post, ngx_http_analytics_range_t *range,
    int64_t now, ngx_uint_t *fresh);
void ngx_http_analytics_key_numbers(ngx_http_analytics_post_t *post,
    uint64_t first, uint64_t last);
void ngx_http_analytics_key_record(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t *post, ngx_uint_t done,
    ngx_analytics_record_key_t *key);
void ngx_http_analytics_key_fold(ngx_http_analytics_zone_t *zone,
    ngx_analytics_record_key_t *key, int64_t received);

/* Passes over the next n events of a post: they are stored. */
void ngx_http_analytics_post_skip(ngx_http_analytics_post_t *post,
    ngx_uint_t n);


/* a zone's log in this process: ngx_http_analytics_log.c */

void ngx_http_analytics_log_init(ngx_http_analytics_zone_t *zone);
void ngx_http_analytics_log_exit(ngx_http_analytics_zone_t *zone);

/* the parent of the master, as that saw it */
extern ngx_pid_t  ngx_http_analytics_master_parent;

/* In the master: NGX_ERROR, with a message, if the directory is taken. */
ngx_int_t ngx_http_analytics_log_probe(ngx_http_analytics_zone_t *zone,
    ngx_log_t *log);

/* A worker has just started: the log will be there in a moment. */
#define ngx_http_analytics_opening(zone)                                      \
    (!(zone)->attached && (zone)->failed == 0)

/*
 * By who has the append lock.  Appends the program that the configuration has;
 * the second one, if the zone is ready, does not fold by it yet, and its
 * directory is this master's.
 */
void ngx_http_analytics_log_program(ngx_http_analytics_zone_t *zone);
void ngx_http_analytics_publish_locked(ngx_http_analytics_zone_t *zone);

/* Whether the zone is what its log says; one without a log always is. */
ngx_uint_t ngx_http_analytics_ready(ngx_http_analytics_zone_t *zone);


/* work on threads: ngx_http_analytics_job.c */

/*
 * run() works on a thread; done() is called in the event loop.  Without it,
 * a job that leaves job->rc other than NGX_OK waits before it is done again,
 * longer each time.  Returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_http_analytics_job_init(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_job_t *job,
    void (*run)(ngx_http_analytics_zone_t *zone),
    void (*done)(ngx_http_analytics_zone_t *zone));

/* Starts the job unless it is under way, or has failed just now. */
void ngx_http_analytics_job_start(ngx_http_analytics_job_t *job);

/*
 * For a job that takes long: has run() done by a thread of its own, which
 * stands back behind the event loops if nice, and waits for it.
 */
void ngx_http_analytics_job_aside(void (*run)(void *data), void *data,
    ngx_uint_t nice);


/* when events cannot be stored: ngx_http_analytics_trouble.c */

/*
 * Sets the status of posts that could not be stored, and logs why, once in
 * a while.  Returns NGX_ERROR.  fail may be NULL.
 */
ngx_int_t ngx_http_analytics_refuse(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t **posts, ngx_uint_t n,
    ngx_analytics_fail_t *fail);

/* The same of ngx_http_analytics_enter(), by its errno. */
ngx_int_t ngx_http_analytics_unlocked(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t **posts, ngx_uint_t n);

/* Sets the status of a post whose zone is damaged.  Returns NGX_ERROR. */
ngx_int_t ngx_http_analytics_broken(ngx_http_analytics_post_t *post);

/* Why the zone's log cannot be written. */
const char *ngx_http_analytics_reason(ngx_http_analytics_zone_t *zone);

/* Logs that the trouble is over, if there was any. */
void ngx_http_analytics_stored_again(ngx_http_analytics_zone_t *zone);

/* Logs why, once in a while. */
void ngx_http_analytics_trouble(ngx_http_analytics_zone_t *zone,
    ngx_analytics_fail_t *fail);


/* rebuilding zones: ngx_http_analytics_recovery.c */

/* The position of the segment that holds a position. */
uint64_t ngx_http_analytics_segment(ngx_http_analytics_zone_t *zone,
    uint64_t position);

/* How the zone is folded into by who has the append lock. */
void ngx_http_analytics_target(ngx_http_analytics_zone_t *zone,
    ngx_analytics_target_t *target);

/* A job. */
void ngx_http_analytics_recovery_run(ngx_http_analytics_zone_t *zone);

/*
 * Lays a zone out in zeroed memory and reads the last checkpoint that is good;
 * pace() is called now and then with the zone, if it is not NULL.  *forgotten
 * is how many bytes of the log are gone that no checkpoint tells of, or 0.
 * Returns the zone, or NULL and *fail.
 */
ngx_analytics_zone_t *ngx_http_analytics_load(
    ngx_http_analytics_zone_t *zone, void *mem, void (*pace)(void *ctx),
    uint64_t *forgotten, ngx_analytics_fail_t *fail);

/*
 * A lock that dies with its holder, on a file of the directory.  Returns a
 * descriptor to be closed, or -1: somebody else has it.
 */
int ngx_http_analytics_lease(ngx_http_analytics_zone_t *zone,
    const char *name);

/* The same for threads that can wait; -1 and *fail when it was too long. */
int ngx_http_analytics_lease_wait(ngx_http_analytics_zone_t *zone,
    const char *name, ngx_analytics_fail_t *fail);


/* checkpoints: ngx_http_analytics_checkpoint.c */

/* A job. */
void ngx_http_analytics_checkpoint_run(ngx_http_analytics_zone_t *zone);

ngx_uint_t ngx_http_analytics_checkpoint_due(ngx_http_analytics_zone_t *zone);

/*
 * Writes one at once and removes all that are older; for threads.  NGX_OK,
 * or NGX_ERROR and *fail: then they are as they were.
 */
ngx_int_t ngx_http_analytics_checkpoint_now(ngx_http_analytics_zone_t *zone,
    ngx_analytics_fail_t *fail);

/* A checkpoint by the last process there is, of the zone itself. */
void ngx_http_analytics_checkpoint_last(ngx_http_analytics_zone_t *zone);


/* metrics that lack events: ngx_http_analytics_refold.c */

/* A job. */
void ngx_http_analytics_refold_run(ngx_http_analytics_zone_t *zone);

ngx_uint_t ngx_http_analytics_refold_due(ngx_http_analytics_zone_t *zone);


/* the store: ngx_http_analytics_store.c */

/* In a process that serves. */
void ngx_http_analytics_store_init(void);

/* A job. */
void ngx_http_analytics_store_run(ngx_http_analytics_zone_t *zone);

ngx_uint_t ngx_http_analytics_store_due(ngx_http_analytics_zone_t *zone);

/* For its parts: gives up when the process is told to end, */
ngx_int_t ngx_http_analytics_store_progress(void *ctx);

/* and logs what failed, and has the job wait. */
void ngx_http_analytics_store_failed(ngx_http_analytics_zone_t *zone,
    ngx_analytics_fail_t *fail);

/* Where the log ends; it may go on meanwhile. */
void ngx_http_analytics_store_tail(ngx_http_analytics_zone_t *zone,
    ngx_analytics_tail_t *tail);

/*
 * For events that are kept for a time: has the log begin another segment if
 * the last one is old, and removes those before a position, where the store
 * begins.  By who has the store's lease: ngx_http_analytics_retain.c.
 */
void ngx_http_analytics_retain_begin(ngx_http_analytics_zone_t *zone);
void ngx_http_analytics_retain_end(ngx_http_analytics_zone_t *zone,
    uint64_t from);

/*
 * Counts users by period, and whether that is to be done:
 * ngx_http_analytics_counts.c.
 */
void ngx_http_analytics_counts_begin(ngx_http_analytics_zone_t *zone);
void ngx_http_analytics_counts_close(ngx_http_analytics_zone_t *zone);
ngx_uint_t ngx_http_analytics_counts_due(ngx_http_analytics_zone_t *zone);

/* Whether it will be in a moment, if events go on coming in. */
ngx_uint_t ngx_http_analytics_store_soon(ngx_http_analytics_zone_t *zone);

/* How many events are in the log and not in the store yet. */
uint64_t ngx_http_analytics_store_behind(ngx_http_analytics_zone_t *zone);


/* erasing users: ngx_http_analytics_erasing.c */

/*
 * Has a user forgotten by all who fold the log, and writes down that files
 * are to be changed; for threads.  NGX_OK, NGX_BUSY if that is being done for
 * too many, or NGX_ERROR and *fail.
 */
ngx_int_t ngx_http_analytics_erasing_add(ngx_http_analytics_zone_t *zone,
    uint64_t hash, ngx_analytics_fail_t *fail);

/* A job: changes the files. */
void ngx_http_analytics_erasing_run(ngx_http_analytics_zone_t *zone);


/*
 * Users under pseudonyms: ngx_http_analytics_pseudonyms.c.  Where a zone has
 * none, these do nothing and return NGX_OK.
 */

ngx_int_t ngx_http_analytics_pseudonyms_init(ngx_http_analytics_zone_t *zone);

/* Reads, makes, or renews the key's file; blocks.  NGX_ERROR and *fail. */
ngx_int_t ngx_http_analytics_pseudonyms_load(ngx_http_analytics_zone_t *zone,
    ngx_analytics_fail_t *fail);

/* From here on that key is used. */
void ngx_http_analytics_pseudonyms_loaded(ngx_http_analytics_zone_t *zone);

/* From time to time, in the event loop: has the file forget what is over. */
void ngx_http_analytics_pseudonyms_tick(ngx_http_analytics_zone_t *zone);

/*
 * Puts pseudonyms in the place of the users of all events of n posts, once;
 * also on a thread.  NGX_OK, or NGX_ERROR if there is no memory.
 */
ngx_int_t ngx_http_analytics_pseudonyms_hide(ngx_http_analytics_zone_t *zone,
    ngx_http_analytics_post_t **posts, ngx_uint_t n);

/*
 * What a user who is asked for is stored as now, from the pool; what looks like
 * a pseudonym is one.  NGX_OK, or NGX_ERROR if there is no memory.
 */
ngx_int_t ngx_http_analytics_pseudonym(ngx_http_analytics_zone_t *zone,
    ngx_pool_t *pool, ngx_str_t *user);


/* before a zone is asked: ngx_http_analytics_fresh.c */

/*
 * Sees to it that the zone includes what any generation of nginx has
 * acknowledged.  Returns NGX_DECLINED if it does, NGX_DONE if the handler will
 * be called again, or what a content handler returns, after answering 503.
 */
ngx_int_t ngx_http_analytics_fresh(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone);

/*
 * Has the handler called again after msec.  Returns NGX_DONE, or NGX_DECLINED
 * if that cannot be done: in a subrequest.
 */
ngx_int_t ngx_http_analytics_again(ngx_http_request_t *r, ngx_msec_t msec);


/* content handlers */

ngx_int_t ngx_http_analytics_collect_handler(ngx_http_request_t *r);

/*
 * In the log phase: counts requests that post events, and how long they took
 * (up to so many milliseconds): ngx_http_analytics_requests.c.
 */
ngx_int_t ngx_http_analytics_requests_handler(ngx_http_request_t *r);
extern ngx_uint_t  ngx_http_analytics_durations[NGX_HTTP_ANALYTICS_DURATIONS];
ngx_int_t ngx_http_analytics_stats_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_analytics_summary_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_analytics_health_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_analytics_erase_handler(ngx_http_request_t *r);


/* answers of several locations in one: ngx_http_analytics_join.c */

ngx_int_t ngx_http_analytics_join_handler(ngx_http_request_t *r);

/* Reads the members of "analytics_join", behind the zone. */
char *ngx_http_analytics_conf_join(ngx_conf_t *cf,
    ngx_http_analytics_loc_conf_t *alcf);

/*
 * Whether it is a subrequest for a member; whether what asked for it has made
 * sure of this zone.
 */
ngx_uint_t ngx_http_analytics_joined(ngx_http_request_t *r);
ngx_uint_t ngx_http_analytics_joins(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone);

/* Takes the answer of such a one; both are of the request's pool. */
void ngx_http_analytics_join_take(ngx_http_request_t *r, ngx_str_t *type,
    ngx_str_t *text);


/* the kinds of analytics_stats that read cells: ngx_http_analytics_series.c */

ngx_int_t ngx_http_analytics_stats_over_time(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone);
ngx_int_t ngx_http_analytics_stats_recent(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone);

/* How collect writes its answer into post->answer; also on a thread. */
void ngx_http_analytics_collect_answer(ngx_http_analytics_post_t *post);

extern time_t  ngx_http_analytics_started;


/* what several answers show: ngx_http_analytics_stats.c */

/* The totals, copied under the lock.  NGX_ERROR if the zone is damaged. */
ngx_int_t ngx_http_analytics_copy_totals(ngx_http_analytics_zone_t *zone,
    ngx_analytics_totals_t *totals);

/*
 * All types by their ids, in memory of the request's pool, and the totals of
 * the same moment.
 */
ngx_int_t ngx_http_analytics_copy_types(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_analytics_count_t **types,
    ngx_uint_t *n, ngx_analytics_totals_t *totals);

/* Leaves those out whose count is 0.  Returns how many there are then. */
ngx_uint_t ngx_http_analytics_counted(ngx_analytics_count_t *counts,
    ngx_uint_t n);

/* One user's statistics. */
typedef struct {
    ngx_analytics_user_info_t    info;        /* if known */
    ngx_analytics_count_t       *types;       /* sorted */
    const char                  *inexact;     /* why, or NULL */
    unsigned                     known:1;
} ngx_http_analytics_user_t;

/*
 * Looks a user up, in memory of the request's pool.  Returns NGX_OK, also if
 * the user is not known, or NGX_ERROR if the zone is damaged.
 */
ngx_int_t ngx_http_analytics_copy_user(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone, ngx_str_t *name,
    ngx_http_analytics_user_t *user);

/* Writes the members of an object, all but the name. */
void ngx_http_analytics_write_user(ngx_analytics_writer_t *w,
    ngx_http_analytics_user_t *user);

/* A list of {KEY: name, "count": N}; KEY is at most "event_type" long. */
void ngx_http_analytics_write_counts(ngx_analytics_writer_t *w,
    const char *key, ngx_analytics_count_t *counts, ngx_uint_t n);

/* The answer where a zone cannot be read: 503 with the reason. */
ngx_int_t ngx_http_analytics_damaged(ngx_http_request_t *r,
    ngx_http_analytics_zone_t *zone);


/* parameters and headers of requests: ngx_http_analytics_args.c */

/*
 * The name that follows the location's in the path, and before suffix, which
 * may be empty.  Returns NGX_OK, NGX_DECLINED if there is none, or NGX_ERROR.
 */
ngx_int_t ngx_http_analytics_uri_name(ngx_http_request_t *r,
    ngx_str_t *suffix, ngx_str_t *name);

/*
 * The value of a parameter, unescaped.  Returns NGX_OK, NGX_DECLINED if it is
 * not there, or is empty in a member of "analytics_join", or NGX_ERROR.
 */
ngx_int_t ngx_http_analytics_arg(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value);

/*
 * Leave the value as it was if the parameter is not there.  Integers are from
 * 1 to max.  Return NGX_OK, or NGX_ERROR after setting *detail.
 */
ngx_int_t ngx_http_analytics_arg_uint(ngx_http_request_t *r, ngx_str_t *name,
    ngx_uint_t max, ngx_uint_t *value, const char **detail);
ngx_int_t ngx_http_analytics_arg_date(ngx_http_request_t *r, ngx_str_t *name,
    int64_t *day, const char **detail);

/*
 * Takes the next parameter off *args, with its name and value decoded.
 * Returns NGX_OK; NGX_DONE behind the last; NGX_DECLINED if it is not encoded
 * as it must be; or NGX_ERROR.
 */
ngx_int_t ngx_http_analytics_arg_next(ngx_http_request_t *r, ngx_str_t *args,
    ngx_str_t *name, ngx_str_t *value);


/*
 * The next header of that name, in lower case, or NULL; the walk is zeroed
 * before the first.
 */
typedef struct {
    ngx_list_part_t                *part;
    ngx_uint_t                      i;
} ngx_http_analytics_walk_t;

ngx_table_elt_t *ngx_http_analytics_header_next(ngx_http_request_t *r,
    ngx_str_t *name, ngx_http_analytics_walk_t *walk);


/* answers: ngx_http_analytics_reply.c */

/*
 * Lets the methods of a mask (NGX_HTTP_GET means HEAD, too) through with
 * NGX_DECLINED; otherwise answers, OPTIONS or 405, and returns what a
 * content handler returns.
 */
ngx_int_t ngx_http_analytics_methods(ngx_http_request_t *r, ngx_uint_t mask);

/* The same of GET alone, whose body is nothing to wait for. */
ngx_int_t ngx_http_analytics_get(ngx_http_request_t *r);

/* Sends a header, with no body behind it. */
ngx_int_t ngx_http_analytics_send_status(ngx_http_request_t *r,
    ngx_uint_t status);

/* Sends a JSON document.  Returns what a content handler returns. */
ngx_int_t ngx_http_analytics_send_json(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *json);

/* The same of a writer, or a text of another type; 500 if it has failed. */
ngx_int_t ngx_http_analytics_send_writer(ngx_http_request_t *r,
    ngx_analytics_writer_t *w);
ngx_int_t ngx_http_analytics_send_text(ngx_http_request_t *r,
    ngx_analytics_writer_t *w, ngx_str_t *type);

/* The same of a text that is in the request's pool; any status. */
ngx_int_t ngx_http_analytics_send_body(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *type, ngx_str_t *text);

/*
 * A cell of a file of comma separated values, quoted where it must be, and
 * harmless in a spreadsheet: ngx_http_analytics_export.c.
 */
void ngx_http_analytics_csv_cell(ngx_analytics_writer_t *w, ngx_str_t *text);

/*
 * Prints a document into the request's pool, and deletes it.
 * Returns NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_http_analytics_print(ngx_http_request_t *r, cJSON *json,
    ngx_str_t *text);

/*
 * Sends a problem document (RFC 9457).  field, decode and its errors are
 * left out if NULL.
 */
ngx_int_t ngx_http_analytics_problem(ngx_http_request_t *r,
    ngx_uint_t status, const char *detail, ngx_str_t *field,
    ngx_analytics_decode_t *decode);

/* Adds a response header whose name and value last. */
ngx_int_t ngx_http_analytics_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value);

/* why an answer about types is not exact */
#define NGX_HTTP_ANALYTICS_OTHER  "\"other\" holds more types"

/* Says that an answer is not exact: "X-Analytics-Exact: false; WHY". */
ngx_int_t ngx_http_analytics_inexact(ngx_http_request_t *r, const char *why);


/* microseconds since the epoch, not cached */
static ngx_inline int64_t
ngx_http_analytics_now(void)
{
    struct timeval  tv;

    ngx_gettimeofday(&tv);

    return (int64_t) tv.tv_sec * 1000000 + tv.tv_usec;
}


#endif /* _NGX_HTTP_ANALYTICS_H_INCLUDED_ */
