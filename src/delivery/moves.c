#include "delivery/moves.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    bool final;
    bool to[DELIVERY_STATE_COUNT];
} STATES[DELIVERY_STATE_COUNT] = {
    [DELIVERY_STORED] = {"stored", false, {[DELIVERY_SENT] = true, [DELIVERY_EXPIRED] = true}},
    [DELIVERY_SENT] = {"sent",
                       false,
                       {[DELIVERY_ACKED] = true, [DELIVERY_ACTUATED] = true, [DELIVERY_REFUSED] = true}},
    [DELIVERY_ACKED] = {"acked", false, {[DELIVERY_ACTUATED] = true, [DELIVERY_REFUSED] = true}},
    [DELIVERY_ACTUATED] = {"actuated", true, {false}},
    [DELIVERY_REFUSED] = {"refused", true, {false}},
    [DELIVERY_EXPIRED] = {"expired", true, {false}},
};

const char *delivery_state_text(enum delivery_state state)
{
    return STATES[state].name;
}

bool delivery_state_parse(const char *text, enum delivery_state *state)
{
    for (size_t i = 0; i < DELIVERY_STATE_COUNT; i++) {
        if (strcmp(text, STATES[i].name) == 0) {
            *state = (enum delivery_state)i;
            return true;
        }
    }
    return false;
}

bool delivery_state_final(enum delivery_state state)
{
    return STATES[state].final;
}

bool delivery_move_allowed(enum delivery_state from, enum delivery_state to)
{
    return STATES[from].to[to];
}
