/* listen: makes the listening socket, so that what goes wrong can be said in words. Any thread. */
#ifndef COINSLOT_HTTP_LISTEN_H
#define COINSLOT_HTTP_LISTEN_H

#include <stdint.h>

#include "http/http.h"

/* `*port` 0: a free one is picked and written back. The socket is the caller's. CS_EIO with the reason in
 * `error`. */
CS_MUST_CHECK enum cs_err listen_open(const char *host, uint16_t *port, int *socket_fd,
                                      char error[HTTP_ERROR_SIZE]);

#endif
