/* A session's requests: its subscription, its filter, and what it is answered. */
#define LOG_MODULE "push"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "push/heard.h"
#include "push/nano.h"
#include "push/nano_state.h"

/* ---- answers and ends -------------------------------------------------------------------------------------------- */

void nano_end(struct nano *nano, uint16_t code, const char *reason)
{
    if (nano->over) {
        return;
    }
    log_debug("session %" PRIu64 " on /nano ends: %s", session_handle(nano->session), reason);
    nano->over = true;
    session_end(nano->session, code, reason);
}

/* Closes a client that does not read. */
bool nano_has_room(struct nano *nano)
{
    if (session_queued(nano->session) < NANO_QUEUE_MOST) {
        return true;
    }
    nano_end(nano, NANO_CLOSE_TRY_LATER, "slow");
    return false;
}

/* `text` is taken. */
static void send_text(struct nano *nano, char *text)
{
    if (!nano->over && nano_has_room(nano)) {
        session_send(nano->session, text, strlen(text));
    }
    free(text);
}

void nano_complain(struct nano *nano, const char *error, const char *id)
{
    metrics_add(nano->server->refused_message, 1);
    send_text(nano, nano_print_error(error, id));
}

void nano_free_request(struct nano_request *request)
{
    if (request != NULL) {
        nano_request_fini(request);
        free(request);
    }
}

/* What was asked for is in effect. `request` is taken. */
static void answer(struct nano *nano, struct nano_request *request)
{
    if (request->ack || request->action == NANO_PING) {
        send_text(nano, nano_print_ack(request->action, request->id, clock_wall_ms()));
    }
    if (request->error[0] != '\0') {
        nano_complain(nano, request->error, request->id);
    }
    nano_free_request(request);
}

/* ---- the subscription -------------------------------------------------------------------------------------------- */

static void leave_unfiltered(struct nano *nano)
{
    if (nano->link != NULL) {
        *nano->link = nano->next;
        if (nano->next != NULL) {
            nano->next->link = nano->link;
        }
        nano->link = NULL;
    }
}

static void enter_unfiltered(struct nano *nano)
{
    if (nano->link == NULL) {
        nano->next = nano->server->unfiltered;
        nano->link = &nano->server->unfiltered;
        if (nano->next != NULL) {
            nano->next->link = &nano->next;
        }
        nano->server->unfiltered = nano;
    }
}

/* After each change of subscription or filter. */
static void take_stand(struct nano *nano)
{
    bool unfiltered = nano->subscribed && !nano->options.filtered;
    bool wanting = unfiltered || (nano->subscribed && nano->places.count > 0);
    if (unfiltered) {
        enter_unfiltered(nano);
    } else {
        leave_unfiltered(nano);
    }
    if (wanting != nano->wanting) {
        nano->wanting = wanting;
        if (wanting) {
            atomic_fetch_add(&nano->server->wanting, 1);
        } else {
            atomic_fetch_sub(&nano->server->wanting, 1);
        }
    }
}

void nano_on_listen_failed(struct place_owner *owner, enum cs_err err)
{
    struct nano *nano = (struct nano *)owner;
    nano_complain(nano,
                  err == CS_EFULL ? "the relay's disk is full; connect again later"
                                  : "the relay is too busy; connect again in a few seconds",
                  nano->pending != NULL ? nano->pending->id : NULL);
    nano_end(nano, NANO_CLOSE_TRY_LATER, "busy");
}

void nano_on_settled(struct place_owner *owner)
{
    struct nano *nano = (struct nano *)owner;
    struct nano_request *request = nano->pending;
    if (request != NULL && !nano->over) {
        nano->pending = NULL;
        answer(nano, request);
        if (!nano->over) {
            session_set_reading(nano->session, true);
        }
    }
}

static bool is_not_in(const struct address *address, void *accounts)
{
    return !nano_accounts_have(accounts, address);
}

static bool is_in(const struct address *address, void *accounts)
{
    return nano_accounts_have(accounts, address);
}

/* How many accounts the filter would have. */
static size_t count_after(const struct nano *nano, const struct nano_request *request)
{
    if (request->action == NANO_SUBSCRIBE) {
        return request->accounts.count;
    }
    const struct places *places = nano->server->places;
    size_t count = nano->places.count;
    for (size_t i = 0; i < request->removed.count; i++) {
        count -= places_has(places, &nano->places, &request->removed.list[i]);
    }
    for (size_t i = 0; i < request->accounts.count; i++) {
        const struct address *account = &request->accounts.list[i];
        count +=
            !nano_accounts_have(&request->removed, account) && !places_has(places, &nano->places, account);
    }
    return count;
}

/* The node adds before it deletes. */
static void add_accounts(struct nano *nano, const struct nano_request *request)
{
    for (size_t i = 0; i < request->accounts.count && !nano->over; i++) {
        const struct address *account = &request->accounts.list[i];
        if (!nano_accounts_have(&request->removed, account)) {
            enum cs_err err = places_add(nano->server->places, &nano->places, account);
            if (err != CS_OK) {
                nano_on_listen_failed(&nano->places, err);
            }
        }
    }
    if (places_are_waiting(nano->server->places)) {
        push_retry_soon(nano->server->push);
    }
}

static void subscribe(struct nano *nano, struct nano_request *request)
{
    if (!nano->subscribed) {
        nano->dropped = heard_dropped(nano->server->push->heard);
    }
    nano->subscribed = true;
    nano->options = request->options;
    places_leave_some(nano->server->places, &nano->places, is_not_in, &request->accounts);
    add_accounts(nano, request);
    take_stand(nano);
}

static void update(struct nano *nano, struct nano_request *request)
{
    nano->options.filtered |= request->options.filtered;
    places_leave_some(nano->server->places, &nano->places, is_in, &request->removed);
    add_accounts(nano, request);
    take_stand(nano);
}

void nano_unsubscribe(struct nano *nano)
{
    nano->subscribed = false;
    places_leave(nano->server->places, &nano->places);
    if (places_are_waiting(nano->server->places)) {
        push_retry_soon(nano->server->push);
    }
    take_stand(nano);
}

/* Why it cannot be done, or NULL. */
static const char *objection(const struct nano *nano, const struct nano_request *request,
                             char words[NANO_ERROR_SIZE])
{
    if (request->action == NANO_UPDATE) {
        if (!nano->subscribed) {
            return "there is nothing to update: subscribe to confirmation first";
        }
        if (!nano->options.given) {
            return "a subscription that was made without \"options\" cannot be updated: subscribe again, with "
                   "\"options\"";
        }
        if (!request->options.given) {
            return "an update has to have \"options\", with \"accounts_add\" or \"accounts_del\"";
        }
    }
    uint32_t most = nano->server->push->options.nano_accounts_most;
    if (request->accounts.count > 0 && count_after(nano, request) > most) {
        snprintf(words, NANO_ERROR_SIZE,
                 "a connection filters for %" PRIu32
                 " accounts at most, and nothing was changed; open another one for the rest",
                 most);
        return words;
    }
    return NULL;
}

/* `request` is taken. */
void nano_carry_out(struct nano *nano, struct nano_request *request)
{
    char words[NANO_ERROR_SIZE];
    const char *why_not = objection(nano, request, words);
    if (why_not != NULL) {
        nano_complain(nano, why_not, request->id);
        nano_free_request(request);
        return;
    }
    switch (request->action) {
    case NANO_SUBSCRIBE:
        subscribe(nano, request);
        break;
    case NANO_UPDATE:
        update(nano, request);
        break;
    case NANO_UNSUBSCRIBE:
        nano_unsubscribe(nano);
        break;
    case NANO_PING:
        break;
    }
    if (nano->places.unsettled == 0 || nano->over) {
        answer(nano, request);
    } else {
        nano->pending = request;
        session_set_reading(nano->session, false);
    }
}
