/*
 * recorded_ws: a session with a real node's WebSocket (tests/data/nano-v27.1/ws-*.txt): what was said, and what was answered, in its order.
 * Ends the test when a recording cannot be read.
 */
#ifndef COINSLOT_TESTS_RECORDED_WS_H
#define COINSLOT_TESTS_RECORDED_WS_H

#include <stdbool.h>
#include <stddef.h>

#define RECORDED_WS_MOST 64

struct recorded_ws {
    char *bytes; /* of the file, cut into the items */
    size_t count;
    struct {
        bool from_node;
        char *text;
    } items[RECORDED_WS_MOST];
};

void recorded_ws_read(const char *source_dir, const char *file, struct recorded_ws *recorded);
void recorded_ws_free(struct recorded_ws *recorded);

#endif
