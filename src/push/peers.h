/*
 * peers: how many sessions each network address holds.
 * Owned by the push thread. IPv6 addresses count by their /64: one host has a whole one.
 */
#ifndef COINSLOT_PUSH_PEERS_H
#define COINSLOT_PUSH_PEERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct peers;

/* 127.0.0.0/8, ::1 and ::ffff:127.0.0.0/104. */
bool peers_is_loopback(const struct sockaddr_storage *address);

struct peers *peers_open(void);
void peers_close(struct peers *peers);
uint32_t peers_count(const struct peers *peers, const struct sockaddr_storage *address);
void peers_add(struct peers *peers, const struct sockaddr_storage *address);
void peers_remove(struct peers *peers, const struct sockaddr_storage *address);

#endif
