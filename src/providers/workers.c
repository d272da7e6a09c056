#include "providers/workers.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { WORKERS_MAX = 16 };

struct job {
    struct job *next;
    workers_run_fn *run;
    workers_done_fn *done;
    void *context;
};

struct queue {
    struct job *first, **last;
};

struct workers {
    struct loop *loop;
    int watch, ended_fd, cancel_fd;
    pthread_t threads[WORKERS_MAX];
    unsigned most, count;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work;
    unsigned idle;        /* threads without a job: also those that have been told of one and have not taken it yet */
    unsigned waiting_now; /* jobs in `waiting` */
    bool closing;
    struct queue waiting, ended;
};

static void put(struct queue *queue, struct job *job)
{
    job->next = NULL;
    *queue->last = job;
    queue->last = &job->next;
}

static struct job *take(struct queue *queue)
{
    struct job *job = queue->first;
    if (job && !(queue->first = job->next))
        queue->last = &queue->first;
    return job;
}

static void *work(void *context)
{
    struct workers *workers = context;
    pthread_mutex_lock(&workers->lock);
    for (;;) {
        struct job *job = NULL;
        while (!workers->closing && !(job = take(&workers->waiting)))
            pthread_cond_wait(&workers->work, &workers->lock);
        if (!job)
            break;
        workers->idle--;
        workers->waiting_now--;
        pthread_mutex_unlock(&workers->lock);
        job->run(job->context, workers->cancel_fd);
        pthread_mutex_lock(&workers->lock);
        workers->idle++;
        put(&workers->ended, job);
        eventfd_write(workers->ended_fd, 1);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

static void tell_ended(struct workers *workers)
{
    for (;;) {
        pthread_mutex_lock(&workers->lock);
        struct job *job = take(&workers->ended);
        pthread_mutex_unlock(&workers->lock);
        if (!job)
            return;
        job->done(job->context);
        free(job);
    }
}

static void on_ended(void *context, int fd, unsigned events)
{
    eventfd_t count;
    (void)events;
    eventfd_read(fd, &count);
    tell_ended(context);
}

/* The lock is held. */
static bool add_thread(struct workers *workers)
{
    if (workers->count == workers->most || pthread_create(&workers->threads[workers->count], NULL, work, workers) != 0)
        return false;
    workers->count++;
    workers->idle++;
    return true;
}

bool workers_new(struct loop *loop, unsigned most, struct workers **ret_workers, struct error *err)
{
    struct workers *workers = calloc(1, sizeof *workers);
    if (!workers)
        return error_set(err, ERROR_IO, "out of memory");
    workers->loop = loop;
    workers->most = most < WORKERS_MAX ? most : WORKERS_MAX;
    workers->waiting.last = &workers->waiting.first;
    workers->ended.last = &workers->ended.first;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->work, NULL);
    workers->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    workers->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    workers->watch = workers->ended_fd < 0 || workers->cancel_fd < 0
                         ? -1
                         : loop->watch(loop, workers->ended_fd, LOOP_READ, on_ended, workers);
    pthread_mutex_lock(&workers->lock);
    bool good = workers->watch >= 0 && add_thread(workers);
    pthread_mutex_unlock(&workers->lock);
    if (!good) {
        workers_free(workers);
        return error_set(err, ERROR_IO, "no thread or descriptor is left for a worker");
    }
    *ret_workers = workers;
    return true;
}

void workers_submit(struct workers *workers, workers_run_fn *run, workers_done_fn *done, void *context)
{
    struct job *job = malloc(sizeof *job);
    if (!job)
        abort(); /* its end is promised, and there is nothing to keep the promise with */
    *job = (struct job){NULL, run, done, context};
    pthread_mutex_lock(&workers->lock);
    put(&workers->waiting, job);
    if (++workers->waiting_now > workers->idle)
        add_thread(workers); /* where that fails it waits for those that there are */
    pthread_cond_signal(&workers->work);
    pthread_mutex_unlock(&workers->lock);
}

void workers_free(struct workers *workers)
{
    if (!workers)
        return;
    pthread_mutex_lock(&workers->lock);
    workers->closing = true;
    pthread_cond_broadcast(&workers->work);
    pthread_mutex_unlock(&workers->lock);
    if (workers->cancel_fd >= 0)
        eventfd_write(workers->cancel_fd, 1);
    for (unsigned i = 0; i < workers->count; i++)
        pthread_join(workers->threads[i], NULL);
    if (workers->watch >= 0)
        workers->loop->watch_remove(workers->loop, workers->watch);
    tell_ended(workers);
    for (struct job *job; (job = take(&workers->waiting)); free(job))
        job->done(job->context);
    if (workers->ended_fd >= 0)
        close(workers->ended_fd);
    if (workers->cancel_fd >= 0)
        close(workers->cancel_fd);
    pthread_cond_destroy(&workers->work);
    pthread_mutex_destroy(&workers->lock);
    free(workers);
}
