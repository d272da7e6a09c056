/* The daemon's socket: Varlink (JSON messages, each ended by a NUL byte) over a Unix stream socket.
 *
 * server.c lives on the loop; client.c blocks and is for the command. The hook speaks the same protocol with a few
 * lines of its own, because it links nothing. Only root and the daemon's own user may connect (SO_PEERCRED); anybody
 * else gets io.llmhook.NotPermitted and is logged.
 *
 * A connection that has no call in progress is closed after 60 s of silence, one that does not read its replies after
 * 60 s or some 17 MiB. A message that is too long or is no call is logged and closes its connection. */
#ifndef LLMHOOK_CONTROL_CONTROL_H
#define LLMHOOK_CONTROL_CONTROL_H

#include "base/error.h"
#include "base/loop.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    CONTROL_MESSAGE_MAX = 16 * 1024 * 1024, /* bytes; the domain XML in a hook event is the longest */
    CONTROL_CONNECTIONS_MAX = 1024,
};

#define CONTROL_INTERFACE "io.llmhook"

struct control_server;
struct control_call; /* one method call that waits for its reply; a token, valid until replied to or cancelled */

/* Must end CALL with control_reply() or control_error(), at once or later; until then the peer's next call waits.
 * A oneway call is ended in the same way, and what is said to it is dropped. PARAMETERS: an object, never NULL,
 * borrowed until the function returns. It must not free the server. */
typedef void control_method_fn(void *context, struct control_call *call, struct json_object *parameters);
struct control_method {
    const char *name; /* without the interface */
    control_method_fn *run;
};

/* Listens at PATH: 0600 from its first moment; an old socket file that nobody listens at is replaced, one that somebody
 * listens at is ERROR_BUSY ("another llmhookd is running"). PATH.lock is held meanwhile. METHODS ends with a NULL name
 * and outlives the server. org.varlink.service.GetInfo and GetInterfaceDescription are answered by the server itself. */
bool control_server_new(struct loop *loop, const char *path, const struct control_method *methods, void *context,
                        struct control_server **ret_server, struct error *err);
/* Closes every connection, cancels every call in progress, removes the socket's file. NULL is fine. */
void control_server_free(struct control_server *server);

/* True when the caller can take several replies ("more"). */
bool control_call_more(const struct control_call *call);
/* CANCELLED is called once if the peer goes away (or the server is freed) before the last reply; the call is no longer
 * valid then. It is called from the loop or from control_server_free(), never from within control_reply() and its like.
 * Without it a call that waits must be replied to anyway before its peer goes away, which nobody can promise: a method
 * that keeps CALL must set it. A oneway call is cancelled only by control_server_free(). */
void control_call_on_cancel(struct control_call *call, void (*cancelled)(void *context), void *context);
/* Take over PARAMETERS (NULL: none). control_reply and control_error end the call; control_continue does not, and says
 * nothing to a caller that did not ask for "more". Safe from anywhere in the loop's thread: no method and no callback
 * runs inside them. */
void control_reply(struct control_call *call, struct json_object *parameters);
void control_continue(struct control_call *call, struct json_object *parameters);
/* NAME without the interface ("NoSuchDomain"), or a full org.varlink.service name. */
void control_error(struct control_call *call, const char *name, struct json_object *parameters);
/* org.varlink.service.InvalidParameter: the parameter NAME is missing or is not what the interface says. What the interface
 * does not have, and another type than it says, the server refuses so before the method runs. */
void control_invalid_parameter(struct control_call *call, const char *name);

/* --- client --- */
struct control_client;
/* ERROR_NOT_FOUND or ERROR_LOST when no daemon listens there: the text says how to start it. ERROR_DENIED when the
 * socket is not for us. At most 5 s when a daemon is there but does not accept. */
bool control_client_open(const char *path, struct control_client **ret_client, struct error *err);
void control_client_free(struct control_client *client);
/* One call, one reply, at most TIMEOUT_MS. METHOD without an interface is io.llmhook's. Takes over PARAMETERS (may be
 * NULL). Owner of *RET_PARAMETERS, an object: the caller.
 * A Varlink error reply is returned as false: ERROR_DENIED for NotPermitted, ERROR_NOT_FOUND for NoSuchDomain,
 * AmbiguousDomain, NoSuchProvider, NothingToRevoke and NothingToRotate, ERROR_INVALID for InvalidParameter, ERROR_IO for
 * Failed, ERROR_PROTOCOL for any other, with its reason in words; the connection stays good. ERROR_TIMEOUT, ERROR_LOST and ERROR_PROTOCOL of a reply
 * that is none: it does not. */
bool control_client_call(struct control_client *client, const char *method, struct json_object *parameters,
                         int64_t timeout_ms, struct json_object **ret_parameters, struct error *err);
/* The same with several replies: CONTINUED is called with the parameters (borrowed) of each but the last, and each
 * gives the daemon TIMEOUT_MS more. */
typedef void control_continued_fn(void *context, struct json_object *parameters);
bool control_client_call_more(struct control_client *client, const char *method, struct json_object *parameters,
                              int64_t timeout_ms, control_continued_fn *continued, void *context,
                              struct json_object **ret_parameters, struct error *err);

#endif
