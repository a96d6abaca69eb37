#include "node/nano_lookup.h"

#include <assert.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"

struct nano_lookup {
    uv_getaddrinfo_t request;
    nano_lookup_done done; /* NULL: forgotten */
    void *context;
};

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct nano_lookup *lookup = request->data;
    char addresses[NANO_LOOKUP_MOST][NANO_LOOKUP_TEXT_SIZE];
    size_t count = 0;
    for (const struct addrinfo *one = found; one != NULL && count < NANO_LOOKUP_MOST; one = one->ai_next) {
        if (getnameinfo(one->ai_addr, one->ai_addrlen, addresses[count], NANO_LOOKUP_TEXT_SIZE, NULL, 0,
                        NI_NUMERICHOST) == 0) {
            count++;
        }
    }
    uv_freeaddrinfo(found);
    if (lookup->done != NULL) {
        lookup->done(lookup->context, addresses, count,
                     count > 0     ? ""
                     : status != 0 ? uv_strerror(status)
                                   : "no address");
    }
    free(lookup);
}

struct nano_lookup *nano_lookup_start(struct node_loop *loop, const char *host, nano_lookup_done done,
                                      void *context)
{
    assert(node_loop_is_mine(loop));
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct nano_lookup *lookup = cs_alloc(sizeof(*lookup));
    lookup->request.data = lookup;
    lookup->done = done;
    lookup->context = context;
    int failed = uv_getaddrinfo(node_loop_uv(loop), &lookup->request, on_found, host, NULL, &hints);
    if (failed != 0) {
        free(lookup);
        return NULL;
    }
    return lookup;
}

void nano_lookup_forget(struct nano_lookup *lookup)
{
    lookup->done = NULL;
    uv_cancel((uv_req_t *)&lookup->request); /* if it still waits for a thread */
}
