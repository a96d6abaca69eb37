/*
 * store_device: a device, and the session that the push server would keep for it, straight above the store.
 * It grants a credit once a payment, persists it (in the parent's memory) before it acks, and comes back
 * after each break with the last seq that it has. Events come from the store's threads, steps from one
 * thread.
 */
#ifndef TESTS_CRASH_STORE_DEVICE_H
#define TESTS_CRASH_STORE_DEVICE_H

#include "crash/store_load.h"

struct crash_device;

struct crash_device *crash_device_open(struct load_shared *shared, uint64_t seed);
void crash_device_close(struct crash_device *device);

struct store_events crash_device_events(struct crash_device *device);
void crash_device_begin(struct crash_device *device, struct store *store, int64_t num);

/* Takes what has come, acks, asks for pages. Waits up to `wait_ms` for something. True when there was
 * something. */
bool crash_device_step(struct crash_device *device, int wait_ms);
bool crash_device_caught_up(struct crash_device *device);

#endif
