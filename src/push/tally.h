/*
 * tally: how many sessions each network address holds.
 * Owned by the push thread. IPv6 addresses count by their /64: one host has a whole one.
 */
#ifndef COINSLOT_PUSH_TALLY_H
#define COINSLOT_PUSH_TALLY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct tally;

/* 127.0.0.0/8, ::1 and ::ffff:127.0.0.0/104. */
bool tally_is_loopback(const struct sockaddr_storage *address);

struct tally *tally_open(void);
void tally_close(struct tally *tally);
uint32_t tally_count(const struct tally *tally, const struct sockaddr_storage *address);
void tally_add(struct tally *tally, const struct sockaddr_storage *address);
void tally_remove(struct tally *tally, const struct sockaddr_storage *address);

#endif
