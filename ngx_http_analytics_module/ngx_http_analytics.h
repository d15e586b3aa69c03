
/*
 * What the files of the HTTP floor share.
 *
 * A request goes through them like this:
 *
 *     collect, summary -> post -> body -> (decode) -> ingest -> reply
 *     stats, summary, health -> args -> zone -> reply
 *
 * Copyright (C) The nginx analytics authors
 */


#ifndef _NGX_HTTP_ANALYTICS_H_INCLUDED_
#define _NGX_HTTP_ANALYTICS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_analytics_decode.h"
#include "ngx_analytics_zone.h"

#include <cjson/cJSON.h>


#define NGX_ANALYTICS_VERSION          "0.1.0"

#define NGX_HTTP_UNPROCESSABLE_ENTITY  422

/* larger bodies are worked on by a thread, and huge ones stand back there */
#define NGX_HTTP_ANALYTICS_INLINE_MAX  (256 * 1024)
#define NGX_HTTP_ANALYTICS_HUGE_MIN    (4 * 1024 * 1024)


/* A zone of the configuration, and this process's view of its memory. */
typedef struct {
    ngx_str_t                 name;
    size_t                    size;           /* 0: named, not declared */
    ngx_uint_t                types;
    ngx_analytics_program_t   program;

    u_char                   *file;           /* where it was named first */
    ngx_uint_t                line;

    ngx_shm_zone_t           *shm_zone;
    ngx_slab_pool_t          *shpool;
    ngx_analytics_zone_t     *sh;
    ngx_uint_t                rolled_back;    /* to be logged, see unlock() */
    ngx_uint_t                damaged;        /* was logged */

    ngx_queue_t               waiting;        /* posts to be folded, */
    ngx_uint_t                nwaiting;
    ngx_event_t               fold;           /* once a turn of the loop */
} ngx_http_analytics_zone_t;


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
#if (NGX_THREADS)
    ngx_thread_pool_t        *thread_pool;
#endif
} ngx_http_analytics_main_conf_t;


typedef enum {
    NGX_HTTP_ANALYTICS_TOTAL = 0,
    NGX_HTTP_ANALYTICS_BY_TYPE,
    NGX_HTTP_ANALYTICS_BY_USER,
    NGX_HTTP_ANALYTICS_OVER_TIME,
    NGX_HTTP_ANALYTICS_RECENT,
    NGX_HTTP_ANALYTICS_USER
} ngx_http_analytics_stats_e;


typedef struct {
    ngx_http_handler_pt           handler;    /* NULL: not ours */
    ngx_http_analytics_zone_t    *zone;
    ngx_http_analytics_format_t  *format;
    ngx_uint_t                    stats;      /* ngx_http_analytics_stats_e */
    ngx_uint_t                    any_type;   /* unsigned  any_type:1; */
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
typedef struct ngx_http_analytics_post_s  ngx_http_analytics_post_t;

struct ngx_http_analytics_post_s {
    ngx_http_request_t             *request;
    ngx_http_analytics_loc_conf_t  *conf;
    ngx_pool_t                     *pool;         /* for the work, */
    ngx_pool_t                     *out;          /* and for the answer */
    ngx_http_analytics_body_t       body;
    ngx_analytics_decode_t          decode;

    /* works on the whole body; sets status, and answer if it is a success */
    void                          (*run)(ngx_http_analytics_post_t *post);

    uint64_t                        id;           /* of the first event */
    int64_t                         received;

    ngx_uint_t                      status;       /* of the answer */
    ngx_str_t                       answer;       /* JSON */
    const char                     *detail;       /* of a problem */

    ngx_queue_t                     queue;
    unsigned                        done:1;       /* the answer is there */
    unsigned                        threaded:1;
    unsigned                        huge:1;       /* takes long, even there */
};


extern ngx_module_t  ngx_http_analytics_module;


/* configuration: ngx_http_analytics_conf*.c */

char *ngx_http_analytics_zone_block(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_analytics_format_block(ngx_conf_t *cf, ngx_command_t *cmd,
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


/* shared memory: ngx_http_analytics_shm.c */

ngx_int_t ngx_http_analytics_shm_init(ngx_shm_zone_t *shm_zone, void *data);

/* Makes the zones fold as this configuration says; in each worker. */
void ngx_http_analytics_shm_publish(ngx_http_analytics_main_conf_t *amcf);

/*
 * Take and release the zone's lock; also from a thread.  lock() returns
 * NGX_ERROR, without the lock, if the zone is damaged.
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

#if (NGX_THREADS)

/*
 * Has post->run() done on a thread and then the post answered.  Only a few
 * are under way at once, so that large bodies take turns.
 */
void ngx_http_analytics_task_post(ngx_http_analytics_post_t *post);

/* Once in each process. */
void ngx_http_analytics_task_init(void);

#endif


/* accepting and folding: ngx_http_analytics_ingest.c */

/* Has the events of a decoded post folded by the end of this turn, or now. */
void ngx_http_analytics_ingest(ngx_http_analytics_post_t *post);

/* The same at once; for threads. */
ngx_int_t ngx_http_analytics_ingest_now(ngx_http_analytics_post_t *post);

void ngx_http_analytics_ingest_init(ngx_http_analytics_zone_t *zone);


/* content handlers */

ngx_int_t ngx_http_analytics_collect_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_analytics_stats_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_analytics_summary_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_analytics_health_handler(ngx_http_request_t *r);

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

/* A list of {KEY: name, "count": N}; KEY is at most "event_type" long. */
void ngx_http_analytics_write_counts(ngx_analytics_writer_t *w,
    const char *key, ngx_analytics_count_t *counts, ngx_uint_t n);

/* The answer where a zone cannot be read. */
ngx_int_t ngx_http_analytics_damaged(ngx_http_request_t *r);


/* parameters of requests: ngx_http_analytics_args.c */

/*
 * Leave the value as it was if the parameter is not there.  Integers are from
 * 1 to max.  Return NGX_OK, or NGX_ERROR after setting *detail.
 */
ngx_int_t ngx_http_analytics_arg_uint(ngx_http_request_t *r, ngx_str_t *name,
    ngx_uint_t max, ngx_uint_t *value, const char **detail);
ngx_int_t ngx_http_analytics_arg_date(ngx_http_request_t *r, ngx_str_t *name,
    int64_t *day, const char **detail);


/* answers: ngx_http_analytics_reply.c */

/*
 * Lets the methods of a mask (NGX_HTTP_GET means HEAD, too) through with
 * NGX_DECLINED; otherwise answers, OPTIONS or 405, and returns what a
 * content handler returns.
 */
ngx_int_t ngx_http_analytics_methods(ngx_http_request_t *r, ngx_uint_t mask);

/* Sends a JSON document.  Returns what a content handler returns. */
ngx_int_t ngx_http_analytics_send_json(ngx_http_request_t *r,
    ngx_uint_t status, ngx_str_t *json);

/* The same of a writer; 500 if it has failed. */
ngx_int_t ngx_http_analytics_send_writer(ngx_http_request_t *r,
    ngx_analytics_writer_t *w);

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
