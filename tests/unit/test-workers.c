/* workers.c: how many of what is submitted runs at once. */
#include "check.h"

#include "poll-loop.h"
#include "providers/workers.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

enum { MOST = 4, PATIENCE_MS = 60000 };

/* Jobs that wait in their threads until somebody lets them go on. */
struct fixture {
    struct poll_loop *loop;
    struct workers *workers;
    pthread_mutex_t lock; /* guards what follows but `ended` and `all_ended` */
    pthread_cond_t changed;
    unsigned running, most_at_once;
    bool let_go;
    unsigned submitted, ended;
    bool all_ended;
};

static void hang(void *context, int cancel)
{
    struct fixture *f = context;
    (void)cancel;
    pthread_mutex_lock(&f->lock);
    f->running++;
    if (f->running > f->most_at_once)
        f->most_at_once = f->running;
    pthread_cond_broadcast(&f->changed);
    while (!f->let_go)
        pthread_cond_wait(&f->changed, &f->lock);
    f->running--;
    pthread_mutex_unlock(&f->lock);
}

static void on_ended(void *context)
{
    struct fixture *f = context;
    f->all_ended = ++f->ended == f->submitted;
}

static void submit(struct fixture *f, unsigned count)
{
    f->submitted += count;
    f->all_ended = false;
    for (unsigned i = 0; i < count; i++)
        workers_submit(f->workers, hang, on_ended, f);
}

/* Waits until so many hang at once. */
static void all_hang(struct fixture *f, unsigned count)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock(&f->lock);
    while (f->running < count)
        if (pthread_cond_timedwait(&f->changed, &f->lock, &end) != 0)
            break;
    unsigned running = f->running;
    pthread_mutex_unlock(&f->lock);
    assert_int_equal(running, count);
}

static void let_go(struct fixture *f, bool let_go)
{
    pthread_mutex_lock(&f->lock);
    f->let_go = let_go;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void finish(struct fixture *f)
{
    let_go(f, true);
    assert_true(poll_loop_until(f->loop, &f->all_ended, PATIENCE_MS));
    let_go(f, false);
}

static void begin(struct fixture *f)
{
    struct error err = ERROR_INIT;
    *f = (struct fixture){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    f->loop = poll_loop_new();
    assert_true(workers_new(poll_loop_base(f->loop), MOST, &f->workers, &err));
}

static void end(struct fixture *f)
{
    workers_free(f->workers);
    assert_int_equal(poll_loop_watches(f->loop), 0);
    poll_loop_free(f->loop);
}

static void test_as_many_at_once_as_may_be(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    for (unsigned round = 0; round < 10; round++) {
        submit(&f, MOST);
        all_hang(&f, MOST);
        finish(&f);
    }
    end(&f);
}

/* The second is submitted while the first has been told of, and its thread has perhaps not woken up yet. */
static void test_who_has_been_told_is_not_idle(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        struct fixture f;
        begin(&f);
        submit(&f, 1);
        finish(&f);
        submit(&f, 2);
        all_hang(&f, 2);
        finish(&f);
        end(&f);
    }
}

static void test_no_more_than_most(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    submit(&f, 3 * MOST);
    all_hang(&f, MOST);
    finish(&f);
    assert_int_equal(f.ended, 3 * MOST);
    assert_int_equal(f.most_at_once, MOST);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_many_at_once_as_may_be),
        cmocka_unit_test(test_who_has_been_told_is_not_idle),
        cmocka_unit_test(test_no_more_than_most),
    };
    return check_run(tests);
}
