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

/* tests/data/vectors/vectors.json, owned by the caller. */
json_t *recorded_vectors(const char *source_dir);

#endif
