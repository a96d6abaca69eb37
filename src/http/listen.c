#include "http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

static const char *advice(int error_number)
{
    switch (error_number) {
    case EADDRINUSE:
        return "another program listens there; stop it, or choose another port ([http] listen, or --http)";
    case EADDRNOTAVAIL:
        return "this machine has no such address; `ip address` lists those it has";
    case EACCES:
        return "ports below 1024 need a privilege; choose a higher one";
    default:
        return "choose another address ([http] listen, or --http)";
    }
}

static enum cs_err resolve(const char *host, uint16_t port, struct addrinfo **found,
                           char error[HTTP_ERROR_SIZE])
{
    char service[6];
    snprintf(service, sizeof(service), "%u", port);
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int status = getaddrinfo(host, service, &hints, found);
    if (status != 0) {
        snprintf(error, HTTP_ERROR_SIZE,
                 "http: cannot listen on '%.80s': %s; write an address of this machine", host,
                 gai_strerror(status));
        return CS_EIO;
    }
    return CS_OK;
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET6) {
        return ntohs(((const struct sockaddr_in6 *)(const void *)address)->sin6_port);
    }
    return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
}

enum cs_err listen_open(const char *host, uint16_t *port, int *socket_fd, char error[HTTP_ERROR_SIZE])
{
    struct addrinfo *found;
    if (resolve(host, *port, &found, error) != CS_OK) {
        return CS_EIO;
    }
    enum cs_err err = CS_EIO;
    int on = 1;
    struct sockaddr_storage bound;
    memset(&bound, 0, sizeof(bound));
    socklen_t size = sizeof(bound);
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* A restart must not wait for the old connections' TIME_WAIT; a live listener still excludes us. */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &size) != 0) {
        snprintf(error, HTTP_ERROR_SIZE, "http: cannot listen on %.45s port %u: %s; %s", host, *port,
                 strerror(errno), advice(errno));
        goto out;
    }
    *port = port_of(&bound);
    *socket_fd = fd;
    fd = -1;
    err = CS_OK;
out:
    if (fd >= 0) {
        close(fd);
    }
    freeaddrinfo(found);
    return err;
}
