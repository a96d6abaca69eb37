#include "simulate/net.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG 512

static enum cs_err refuse(const char *text, char error[NET_ERROR_SIZE])
{
    snprintf(error, NET_ERROR_SIZE, "'%.80s' is no address to listen at: give 127.0.0.1:7076 or [::1]:7076",
             text);
    return CS_EINVAL;
}

enum cs_err net_parse(const char *text, struct net_address *address, char error[NET_ERROR_SIZE])
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text) {
        return refuse(text, error);
    }
    size_t length = (size_t)(colon - text);
    if (text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    char *end = NULL;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (length == 0 || length >= NET_HOST_SIZE || colon[1] < '0' || colon[1] > '9' || *end != '\0' ||
        port > UINT16_MAX) {
        return refuse(text, error);
    }
    memcpy(address->host, text, length);
    address->host[length] = '\0';
    address->port = (uint16_t)port;
    return CS_OK;
}

void net_format(const struct net_address *address, char text[NET_TEXT_SIZE])
{
    bool v6 = strchr(address->host, ':') != NULL;
    snprintf(text, NET_TEXT_SIZE, v6 ? "[%s]:%u" : "%s:%u", address->host, address->port);
}

static uint16_t port_of(const uv_tcp_t *tcp)
{
    struct sockaddr_storage name = {0};
    int size = sizeof(name);
    int failed = uv_tcp_getsockname(tcp, (struct sockaddr *)&name, &size);
    assert(failed == 0);
    (void)failed;
    struct sockaddr_in6 in6;
    memcpy(&in6, &name, sizeof(in6)); /* an IPv4 port lies in the same place */
    return ntohs(in6.sin6_port);
}

enum cs_err net_listen(uv_loop_t *loop, uv_tcp_t *tcp, struct net_address *address,
                       uv_connection_cb on_connection, char error[NET_ERROR_SIZE])
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name;
    int failed = uv_tcp_init(loop, tcp);
    assert(failed == 0);
    if (uv_ip4_addr(address->host, address->port, &name.v4) != 0 &&
        uv_ip6_addr(address->host, address->port, &name.v6) != 0) {
        snprintf(error, NET_ERROR_SIZE, "'%.60s' is no numeric address: give 127.0.0.1 or [::1]",
                 address->host);
        return CS_EINVAL;
    }
    failed = uv_tcp_bind(tcp, &name.any, 0);
    if (failed == 0) {
        failed = uv_listen((uv_stream_t *)tcp, BACKLOG, on_connection);
    }
    if (failed != 0) {
        snprintf(error, NET_ERROR_SIZE, "cannot listen at %.60s port %u (%s): choose another", address->host,
                 address->port, uv_strerror(failed));
        return CS_EIO;
    }
    address->port = port_of(tcp);
    return CS_OK;
}
