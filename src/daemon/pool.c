#include "daemon/pool.h"

#include "host/host.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

/* The pool has no free(): a worker can be inside a call that no one can interrupt (a guest that does not answer), so
 * the process ends with its threads as they are. Nothing durable happens in them. */
struct job {
    struct job *next;
    pool_run_fn *run;
    pool_done_fn *done;
    void *context;
    struct pool *pool;
};

struct pool {
    struct loop *loop;
    const char *uri;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct job *first, **last;
    unsigned load;
};

static void job_done(void *context)
{
    struct job *job = context;
    pthread_mutex_lock(&job->pool->lock);
    job->pool->load--;
    pthread_mutex_unlock(&job->pool->lock);
    job->done(job->context);
    free(job);
}

static void *worker(void *context)
{
    struct pool *pool = context;
    struct host_link *link = host_link_new(pool->uri);
    if (!link)
        abort();
    for (;;) {
        pthread_mutex_lock(&pool->lock);
        while (!pool->first)
            pthread_cond_wait(&pool->work, &pool->lock);
        struct job *job = pool->first;
        pool->first = job->next;
        if (!pool->first)
            pool->last = &pool->first;
        pthread_mutex_unlock(&pool->lock);
        job->run(job->context, link);
        pool->loop->post(pool->loop, job_done, job);
    }
    return NULL;
}

bool pool_new(struct loop *loop, const char *uri, unsigned threads, struct pool **ret_pool, struct error *err)
{
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return error_set(err, ERROR_IO, "out of memory");
    pool->loop = loop;
    pool->uri = uri;
    pool->last = &pool->first;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    for (unsigned i = 0; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker, pool) != 0)
            return error_set(err, ERROR_IO, "worker thread %u of %u could not be started", i + 1, threads);
        pthread_detach(thread);
    }
    *ret_pool = pool;
    return true;
}

void pool_submit(struct pool *pool, pool_run_fn *run, pool_done_fn *done, void *context)
{
    struct job *job = malloc(sizeof *job);
    if (!job)
        abort();
    *job = (struct job){NULL, run, done, context, pool};
    pthread_mutex_lock(&pool->lock);
    *pool->last = job;
    pool->last = &job->next;
    pool->load++;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

unsigned pool_load(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    unsigned load = pool->load;
    pthread_mutex_unlock(&pool->lock);
    return load;
}
