/* The table of sessions. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "push/session_state.h"
#include "push/tally.h"
#include "push/waiting.h"

struct slot {
    struct session *session;
    uint32_t uses; /* so that a handle never comes again */
    uint32_t next_free;
};

struct sessions {
    uint32_t most, count, first_free;
    uint32_t settled, settled_most;
    struct slot slots[];
};

/* Whoever has not settled is among those that wait, so that there is a slot for everybody. */
struct sessions *sessions_open(const struct push_options *options)
{
    uint32_t most = options->sessions_most + options->waiting_most;
    struct sessions *sessions = cs_alloc(sizeof(*sessions) + most * sizeof(struct slot));
    sessions->most = most;
    sessions->settled_most = options->sessions_most;
    for (uint32_t i = 0; i < most; i++) {
        sessions->slots[i].next_free = i + 1;
    }
    return sessions;
}

void sessions_close(struct sessions *sessions)
{
    assert(sessions->count == 0 && sessions->settled == 0);
    free(sessions);
}

uint32_t sessions_count(const struct sessions *sessions)
{
    return sessions->count;
}

void sessions_enter(struct sessions *sessions, struct session *session)
{
    assert(sessions->count < sessions->most);
    uint32_t index = sessions->first_free;
    struct slot *slot = &sessions->slots[index];
    sessions->first_free = slot->next_free;
    slot->session = session;
    session->handle = (uint64_t)++slot->uses << 32 | index;
    sessions->count++;
}

void *session_find(struct push *push, uint64_t handle)
{
    uint32_t index = (uint32_t)handle;
    assert(index < push->sessions->most);
    struct session *session = push->sessions->slots[index].session;
    return session != NULL && session->handle == handle ? session->state : NULL;
}

void sessions_stop_all(struct push *push)
{
    for (uint32_t i = 0; i < push->sessions->most; i++) {
        struct session *session = push->sessions->slots[i].session;
        if (session != NULL) {
            session->protocol->stop(session->state);
        }
    }
}

void sessions_tell_second(struct push *push)
{
    for (uint32_t i = 0; i < push->sessions->most; i++) {
        struct session *session = push->sessions->slots[i].session;
        if (session != NULL && session->protocol->second != NULL) {
            session->protocol->second(session->state);
        }
    }
}

/* ---- those that have settled --------------------------------------------------------------------------- */

bool sessions_are_full(const struct push *push, const struct sockaddr_storage *address)
{
    uint32_t per_ip_most = push->options.sessions_per_ip_most;
    return push->sessions->settled >= push->sessions->settled_most ||
           (per_ip_most != 0 && !tally_is_loopback(address) &&
            tally_count(push->tally, address) >= per_ip_most);
}

static struct sockaddr_storage peer_of(const struct session *session)
{
    struct sockaddr_storage address = {0};
    memcpy(&address, &session->peer, sizeof(session->peer));
    return address;
}

bool session_settle(struct session *session)
{
    struct push *push = session->push;
    struct sockaddr_storage address = peer_of(session);
    assert(!session->settled);
    if (sessions_are_full(push, &address)) {
        return false;
    }
    session->settled = true;
    push->sessions->settled++;
    if (!session->loopback) {
        tally_add(push->tally, &address);
    }
    waiting_leave(push, session->wsi);
    return true;
}

void sessions_leave(struct push *push, struct session *session)
{
    struct sessions *sessions = push->sessions;
    if (session->settled) {
        struct sockaddr_storage address = peer_of(session);
        sessions->settled--;
        if (!session->loopback) {
            tally_remove(push->tally, &address);
        }
    }
    uint32_t index = (uint32_t)session->handle;
    sessions->slots[index].session = NULL;
    sessions->slots[index].next_free = sessions->first_free;
    sessions->first_free = index;
    sessions->count--;
}
