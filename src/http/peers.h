/*
 * peers: who is connected, counted, in all and per address.
 * Any thread; one lock, held for a moment. Bounded by the limit on all connections.
 */
#ifndef COINSLOT_HTTP_PEERS_H
#define COINSLOT_HTTP_PEERS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct peers;
struct peer; /* one address, while it has connections */

enum peers_verdict { PEERS_WELCOME, PEERS_TOO_MANY, PEERS_TOO_MANY_PER_IP };

/* per_ip_most 0: no limit. Loopback has none in any case. */
struct peers *peers_open(uint32_t most, uint32_t per_ip_most);
void peers_close(struct peers *peers); /* nobody is connected any more */

/* Asked before a connection is taken; it does not count it, so that several threads may overshoot a limit by
 * one each. */
enum peers_verdict peers_judge(struct peers *peers, const struct sockaddr *address);
struct peer *peers_enter(struct peers *peers, const struct sockaddr *address);
void peers_leave(struct peers *peers, struct peer *peer);
size_t peers_count(struct peers *peers);

bool peers_is_loopback(const struct sockaddr *address);
/* The address alone, an IPv4 one in its own form even if it came through an IPv6 socket. */
void peers_format(const struct sockaddr *address, char text[INET6_ADDRSTRLEN]);

#endif
