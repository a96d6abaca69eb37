#include "node/nano_ws_frames.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/json_scan.h"
#include "base/log.h"

#define DEPTH_MOST 8 /* message, election_info, votes, a vote: five */

static const char *const ACTIONS[NANO_WS_ACTION_COUNT] = {
    [NANO_WS_SUBSCRIBE] = "subscribe",
    [NANO_WS_UPDATE] = "update",
    [NANO_WS_UNSUBSCRIBE] = "unsubscribe",
    [NANO_WS_PING] = "ping",
};

const char *nano_ws_action_text(enum nano_ws_action action)
{
    return ACTIONS[action];
}

const char *nano_ws_confirmation_text(enum nano_ws_confirmation confirmation)
{
    switch (confirmation) {
    case NANO_WS_CONFIRMATION_UNKNOWN:
        return "unknown";
    case NANO_WS_ACTIVE_QUORUM:
        return "active_quorum";
    case NANO_WS_ACTIVE_CONFIRMATION_HEIGHT:
        return "active_confirmation_height";
    case NANO_WS_INACTIVE:
        return "inactive";
    }
    return "?";
}

/* ---- requests ------------------------------------------------------------------------------------------ */

static void print_accounts(FILE *out, const char *key, uint8_t (*accounts)[32], size_t count)
{
    fprintf(out, "\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        char text[ADDRESS_TEXT_SIZE];
        struct address address = address_from_nano_key(accounts[i]);
        address_format(&address, text);
        fprintf(out, "%s\"%s\"", i > 0 ? "," : "", text);
    }
    fputc(']', out);
}

/*
 * A subscription always has options: without any, the node takes no `update` (recorded). The block is asked for by name, because what
 * the node's first client asks for is what all get.
 */
static void print_options(FILE *out, const struct nano_ws_request *request)
{
    fputs(",\"options\":{", out);
    if (request->action == NANO_WS_SUBSCRIBE) {
        fputs("\"confirmation_type\":\"all\",\"include_block\":true", out);
        if (request->filtered) {
            fputc(',', out);
            print_accounts(out, "accounts", request->add, request->add_count);
        }
    } else {
        if (request->add_count > 0) {
            print_accounts(out, "accounts_add", request->add, request->add_count);
        }
        if (request->remove_count > 0) {
            fputs(request->add_count > 0 ? "," : "", out);
            print_accounts(out, "accounts_del", request->remove, request->remove_count);
        }
    }
    fputc('}', out);
}

char *nano_ws_print(const struct nano_ws_request *request, size_t *length)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, length);
    if (out == NULL) {
        log_die("node", "out of memory");
    }
    fprintf(out, "{\"action\":\"%s\"", ACTIONS[request->action]);
    if (request->action != NANO_WS_PING) {
        fprintf(out, ",\"topic\":\"confirmation\",\"ack\":true,\"id\":\"%" PRIu64 "\"", request->id);
    }
    if (request->action == NANO_WS_SUBSCRIBE || request->action == NANO_WS_UPDATE) {
        print_options(out, request);
    }
    fputc('}', out);
    fclose(out);
    return text;
}

/* ---- messages ------------------------------------------------------------------------------------------ */

/* Decimal digits and nothing else; false: it is none, or too large. */
static bool parse_number(const char *text, uint64_t *number)
{
    char *end;
    if (text == NULL || *text < '0' || *text > '9') {
        return false;
    }
    errno = 0;
    *number = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0;
}

static void read_time(struct json_view object, struct nano_ws_message *message)
{
    uint64_t time;
    if (parse_number(json_view_text(object, "time"), &time) && time <= INT64_MAX) {
        message->time_ms = (int64_t)time;
    }
}

/* An ack of something that we never ask for is none of ours. */
static void read_ack(struct json_view object, const char *ack, struct nano_ws_message *message)
{
    const char *id = json_view_text(object, "id");
    message->kind = NANO_WS_OTHER;
    if (strcmp(ack, "pong") == 0) {
        message->kind = NANO_WS_PONG;
        return;
    }
    for (size_t i = 0; i < NANO_WS_ACTION_COUNT; i++) {
        if (i != NANO_WS_PING && strcmp(ack, ACTIONS[i]) == 0) {
            message->kind = NANO_WS_ACK;
            message->action = (enum nano_ws_action)i;
        }
    }
    message->has_id = id != NULL;
    if (!parse_number(id, &message->id)) {
        message->id = 0;
    }
}

static enum nano_ws_confirmation read_confirmation_type(struct json_view object)
{
    static const enum nano_ws_confirmation types[] = {NANO_WS_ACTIVE_QUORUM,
                                                      NANO_WS_ACTIVE_CONFIRMATION_HEIGHT, NANO_WS_INACTIVE};
    const char *text = json_view_text(object, "confirmation_type");
    for (size_t i = 0; text != NULL && i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcmp(text, nano_ws_confirmation_text(types[i])) == 0) {
            return types[i];
        }
    }
    return NANO_WS_CONFIRMATION_UNKNOWN;
}

static void read_confirmation(struct json_view object, struct nano_ws_message *message,
                              char error[NANO_WS_ERROR_SIZE])
{
    const char *hash = json_view_text(object, "hash");
    if (hash == NULL || !hex_decode(hash, message->hash, sizeof(message->hash))) {
        message->kind = NANO_WS_MALFORMED;
        snprintf(error, NANO_WS_ERROR_SIZE, "a confirmation without a `hash` of 64 hexadecimal digits");
        return;
    }
    message->confirmation = read_confirmation_type(object);
    message->has_block = json_view_kind(object, "block") != JSON_KIND_MISSING;
    switch (notice_read(object, &message->notice, error)) {
    case NOTICE_VALID:
        message->kind = NANO_WS_CONFIRMED;
        break;
    case NOTICE_MALFORMED:
        message->kind = NANO_WS_BARE;
        break;
    case NOTICE_CONTRADICTION:
        message->kind = NANO_WS_CONTRADICTION;
        break;
    case NOTICE_WRONG_HASH:
    case NOTICE_WRONG_SIGNATURE: /* not checked by notice_read */
        message->kind = NANO_WS_WRONG_HASH;
        break;
    }
}

void nano_ws_read(const char *text, size_t length, struct nano_ws_message *message,
                  char error[NANO_WS_ERROR_SIZE])
{
    char why[JSON_ERROR_SIZE];
    *message = (struct nano_ws_message){.kind = NANO_WS_OTHER};
    error[0] = '\0';
    struct json_scan scan;
    if (!json_scan_init(&scan, text, length, DEPTH_MOST, why)) {
        message->kind = NANO_WS_MALFORMED;
        snprintf(error, NANO_WS_ERROR_SIZE, "%s", why);
        return;
    }
    struct json_view object = json_view_of_scan(&scan);
    const char *ack = json_view_text(object, "ack"), *topic = json_view_text(object, "topic");
    read_time(object, message);
    if (!json_view_is_object(object)) {
        message->kind = NANO_WS_MALFORMED;
        snprintf(error, NANO_WS_ERROR_SIZE, "not a JSON object");
    } else if (ack != NULL) {
        read_ack(object, ack, message);
    } else if (topic != NULL && strcmp(topic, "confirmation") == 0) {
        read_confirmation(json_view_inner(object, "message"), message, error);
    }
    json_scan_fini(&scan);
}
