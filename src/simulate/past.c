#include "simulate/past.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

struct event {
    struct event *next;
    uint64_t at_ns;
    uint32_t block;
    bool confirmed;
};

struct past {
    const struct ledger *ledger;
    struct ledger *copy;
    struct event *first, *last;
};

struct past *past_open(const struct ledger *ledger)
{
    struct past *past = cs_alloc(sizeof(*past));
    past->ledger = ledger;
    past->copy = ledger_copy(ledger);
    return past;
}

static struct event *take_first(struct past *past)
{
    struct event *event = past->first;
    past->first = event->next;
    past->last = past->first != NULL ? past->last : NULL;
    return event;
}

void past_close(struct past *past)
{
    while (past->first != NULL) {
        free(take_first(past));
    }
    ledger_close(past->copy);
    free(past);
}

static void note(struct past *past, uint32_t block, bool confirmed)
{
    struct event *event = cs_alloc(sizeof(*event));
    event->at_ns = clock_monotonic_ns();
    event->block = block;
    event->confirmed = confirmed;
    *(past->last != NULL ? &past->last->next : &past->first) = event;
    past->last = event;
}

void past_note_block(struct past *past, uint32_t block)
{
    note(past, block, false);
}

void past_note_confirmed(struct past *past, uint32_t block)
{
    note(past, block, true);
}

/* Blocks come in the order of their numbers, so both ledgers number them alike. */
static void repeat(struct past *past, const struct event *event)
{
    if (event->confirmed) {
        struct ledger_list newly = {NULL, 0, 0};
        ledger_confirm(past->copy, event->block, &newly);
        ledger_list_fini(&newly);
        return;
    }
    const struct ledger_block *block = ledger_block(past->ledger, event->block);
    struct notice notice;
    uint32_t number;
    ledger_to_notice(past->ledger, block, &notice);
    enum cs_err err = ledger_add(past->copy, &notice, block->local_s, &number);
    assert(err == CS_OK && number == event->block);
    (void)err;
}

void past_follow(struct past *past, unsigned lag_ms)
{
    uint64_t now_ns = clock_monotonic_ns();
    while (past->first != NULL && now_ns - past->first->at_ns >= (uint64_t)lag_ms * 1000000) {
        struct event *event = take_first(past);
        repeat(past, event);
        free(event);
    }
}

const struct ledger *past_ledger(const struct past *past)
{
    return past->copy;
}
