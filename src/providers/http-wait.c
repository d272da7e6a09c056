/* One request in the thread that asks, on a loop that lives as long as the request. For threads that may block. */
#include "providers/http.h"

#include "base/poll-loop.h"

#include <string.h>

struct waiting {
    bool done;
    struct http_answer *answer;
};

static void on_done(void *context, struct http_answer *answer)
{
    struct waiting *waiting = context;
    *waiting->answer = *answer;
    answer->body = (struct buffer)BUFFER_INIT(0); /* taken over */
    waiting->done = true;
}

void http_wait(const struct http_request *request, struct http_answer *ret_answer)
{
    struct waiting waiting = {false, ret_answer};
    struct http *http = NULL;
    struct poll_loop *loop = poll_loop_new();
    *ret_answer = (struct http_answer){.end = HTTP_NOT_SENT, .retry_after_ms = -1};
    if (!loop) {
        error_set(&ret_answer->error, ERROR_IO, "out of memory or descriptors");
        return;
    }
    if (http_new(poll_loop_base(loop), &http, &ret_answer->error)) {
        http_start(http, request, on_done, &waiting);
        while (!waiting.done) /* http.c keeps the deadline */
            poll_loop_turn(loop, 1000);
        http_free(http);
    }
    poll_loop_free(loop);
}
