/*
 * The only user of libmicrohttpd: turns what arrives on a listening socket into exchanges and
 * hands them to a handler, on one epoll thread per listener.
 */
#ifndef SANDBOX_HTTP_H
#define SANDBOX_HTTP_H

#include "exchange.h"

#include <stdbool.h>

struct MHD_Connection;

enum http_next {
    HTTP_ANSWER, /* send the answer */
    HTTP_CLOSE,  /* close the connection without a byte */
    HTTP_WAIT,   /* http_suspend() was called; somebody will call http_resume() */
};

struct exchange {
    struct request request;
    struct answer answer;
    struct MHD_Connection *connection;
    bool served;
    enum http_next next; /* set by http_resume() */
};

struct http_handler {
    /* Called once per request, when its body is complete. */
    enum http_next (*serve)(struct exchange *exchange, void *context);
    void (*connection)(bool opened); /* may be NULL */
    void *context;
};

struct http;

/* Takes over the listening socket. The handler must outlive the listener. NULL on failure. */
struct http *http_start(int listen_socket, const struct http_handler *handler);
/* Closes the listening socket and every connection. Nothing may be suspended any more. */
void http_stop(struct http *http);

/* To be called by serve() before anybody else learns of the exchange. */
void http_suspend(struct exchange *exchange);
/* From any thread, once; the exchange is not the caller's any more. */
void http_resume(struct exchange *exchange, enum http_next next);

#endif
