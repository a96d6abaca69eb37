#include "posix/lookup.h"

#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"

struct lookup {
    uv_getaddrinfo_t request;
    lookup_done done; /* NULL: forgotten */
    void *context;
};

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct lookup *lookup = request->data;
    char addresses[LOOKUP_MOST][LOOKUP_TEXT_SIZE];
    size_t count = 0;
    for (const struct addrinfo *one = found; one != NULL && count < LOOKUP_MOST; one = one->ai_next) {
        if (getnameinfo(one->ai_addr, one->ai_addrlen, addresses[count], LOOKUP_TEXT_SIZE, NULL, 0,
                        NI_NUMERICHOST) == 0) {
            count++;
        }
    }
    uv_freeaddrinfo(found);
    if (lookup->done != NULL) {
        lookup->done(lookup->context, addresses, count,
                     count > 0     ? ""
                     : status != 0 ? uv_strerror(status)
                                   : "its host has no address");
    }
    free(lookup);
}

struct lookup *lookup_start(uv_loop_t *loop, const char *host, lookup_done done, void *context)
{
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct lookup *lookup = cs_alloc(sizeof(*lookup));
    *lookup = (struct lookup){.done = done, .context = context};
    lookup->request.data = lookup;
    if (uv_getaddrinfo(loop, &lookup->request, on_found, host, NULL, &hints) != 0) {
        free(lookup);
        return NULL;
    }
    return lookup;
}

void lookup_forget(struct lookup *lookup)
{
    lookup->done = NULL;
    uv_cancel((uv_req_t *)&lookup->request); /* if it still waits for a thread */
}
