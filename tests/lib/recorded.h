/*
 * recorded: what a real Nano V27.1 node sent (tests/data/nano-v27.1), and the vectors of two independent
 * libraries.
 */
#ifndef COINSLOT_TESTS_RECORDED_H
#define COINSLOT_TESTS_RECORDED_H

#include <jansson.h>
#include <stdbool.h>

#include "verify/block.h"

struct recorded {
    const char *file;
    enum block_type type;
    bool is_send;
    const char *amount;
};

#define RECORDED_COUNT 25
extern const struct recorded RECORDED[RECORDED_COUNT];

/* The body of a recorded request, as JSON; owned by the caller. Ends the test when it cannot be read. */
json_t *recorded_read(const char *source_dir, const char *file);

/* A recorded session with the node's WebSocket: what the node said, message for message. */
struct recorded_session;
struct recorded_session *recorded_session_open(const char *source_dir, const char *file);
const char *recorded_session_next(struct recorded_session *session, size_t *length); /* NULL: that was all */
void recorded_session_close(struct recorded_session *session);

/* tests/data/vectors/vectors.json, owned by the caller. */
json_t *recorded_vectors(const char *source_dir);

#endif
