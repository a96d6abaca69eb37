/*
 * control: DIR/control.sock, through which the command line changes the store of a running relay (command.h
 * says what is spoken). A request is one line of JSON, so is its answer; then the connection ends. Owns the
 * listening socket (mode 0600; only the relay's own user and root are heard). The relay's main thread serves
 * it, while it holds DIR's lock: so a socket file that was there before belongs to nobody and is removed.
 */
#ifndef COINSLOT_CLI_CONTROL_H
#define COINSLOT_CLI_CONTROL_H

#include <jansson.h>

#include "base/err.h"
#include "cli/command.h"
#include "store/store.h"

#define CONTROL_ERROR_SIZE     200
#define CONTROL_REQUEST_BYTES  65536
#define CONTROL_ANSWER_BYTES   (16 << 20)
#define CONTROL_PATIENCE_MS    2000  /* for the whole request, and again for the whole answer */
#define CONTROL_CLIENT_WAIT_MS 30000 /* for the answer: it waits for a commit */

struct control;

/* Call it after store_start; the caller holds DIR's lock by its store. CS_EIO with the reason in `error`. */
CS_MUST_CHECK enum cs_err control_open(const char *dir, struct control **control,
                                       char error[CONTROL_ERROR_SIZE]);
int control_fd(const struct control *control); /* readable: somebody wants to be served */
/* Serves one caller, if there is one: at most 2 × CONTROL_PATIENCE_MS and the commit. */
void control_serve_one(struct control *control, const struct command_target *target);
void control_close(struct control *control); /* before store_close; removes the socket */

/*
 * The client. CS_ENOTFOUND: no relay listens in DIR; CS_EDENIED: not this user; CS_EIO: no whole answer came,
 * and whether the change was made is unknown. *answer is owned by the caller.
 */
CS_MUST_CHECK enum cs_err control_call(const char *dir, const json_t *request, json_t **answer,
                                       char error[CONTROL_ERROR_SIZE]);

#endif
