/* What is read. The node's reading: nano-node, nano/node/websocket.cpp, session::handle_message and confirmation_options. */
#include "push/nano_frames.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/log.h"

#define QUOTED_SIZE 96

/* ---- what was wrong ---------------------------------------------------------------------------------------------- */

/* The first that is said stays: it goes out as one message. */
__attribute__((format(printf, 2, 3))) static void complain(struct nano_request *request, const char *form,
                                                           ...)
{
    if (request->error[0] != '\0') {
        return;
    }
    va_list arguments;
    va_start(arguments, form);
    vsnprintf(request->error, NANO_ERROR_SIZE, form, arguments);
    va_end(arguments);
}

/* With a space before it, and only when it is short and printable: it goes back to whoever sent it. */
static const char *quote(const json_t *value, char quoted[QUOTED_SIZE])
{
    const char *text = json_string_value(value);
    bool quotable = text != NULL && strlen(text) < QUOTED_SIZE - 4;
    for (const char *c = text; quotable && *c != '\0'; c++) {
        quotable = *c >= ' ' && *c <= '~';
    }
    snprintf(quoted, QUOTED_SIZE, "%s%s", quotable ? " " : "", quotable ? text : "");
    return quoted;
}

/* ---- values, which the node takes as text whatever their JSON type ---------------------------------------------------- */

static char *read_id(const json_t *object)
{
    const json_t *value = json_object_get(object, "id");
    if (value == NULL || json_is_object(value) || json_is_array(value)) {
        return NULL;
    }
    char *text =
        json_is_string(value) ? cs_strdup(json_string_value(value)) : json_dumps(value, JSON_ENCODE_ANY);
    if (text[0] != '\0') {
        return text;
    }
    free(text);
    return NULL;
}

enum flag { FLAG_ABSENT, FLAG_WRONG, FLAG_FALSE, FLAG_TRUE };

static enum flag read_flag(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    if (value == NULL) {
        return FLAG_ABSENT;
    }
    if (json_is_true(value) || (text != NULL && (strcmp(text, "true") == 0 || strcmp(text, "1") == 0)) ||
        (json_is_integer(value) && json_integer_value(value) == 1)) {
        return FLAG_TRUE;
    }
    if (json_is_false(value) || (text != NULL && (strcmp(text, "false") == 0 || strcmp(text, "0") == 0)) ||
        (json_is_integer(value) && json_integer_value(value) == 0)) {
        return FLAG_FALSE;
    }
    return FLAG_WRONG;
}

static bool read_option(struct nano_request *request, const json_t *options, const char *key, bool fallback)
{
    enum flag flag = read_flag(options, key);
    if (flag == FLAG_WRONG) {
        complain(request, "\"%s\" is neither true nor false, and was taken as %s", key,
                 fallback ? "true" : "false");
    }
    return flag == FLAG_TRUE || (flag != FLAG_FALSE && fallback);
}

/* ---- accounts ---------------------------------------------------------------------------------------------------- */

static int compare_addresses(const void *a, const void *b)
{
    return memcmp(((const struct address *)a)->bytes, ((const struct address *)b)->bytes, ADDRESS_BYTES_MAX);
}

bool nano_accounts_have(const struct nano_accounts *accounts, const struct address *address)
{
    return accounts->count > 0 && bsearch(address, accounts->list, accounts->count, sizeof(*accounts->list),
                                          compare_addresses) != NULL;
}

static void sort_and_unite(struct nano_accounts *accounts)
{
    size_t kept = 0;
    if (accounts->list == NULL || accounts->count == 0) {
        return;
    }
    qsort(accounts->list, accounts->count, sizeof(*accounts->list), compare_addresses);
    for (size_t i = 1; i < accounts->count; i++) {
        if (compare_addresses(&accounts->list[i], &accounts->list[kept]) != 0) {
            accounts->list[++kept] = accounts->list[i];
        }
    }
    accounts->count = kept + 1;
}

/* The node drops what is no account, and takes the rest. True when there is such a list at all. */
static bool read_accounts(struct nano_request *request, const json_t *options, const char *key,
                          struct nano_accounts *accounts)
{
    const json_t *array = json_object_get(options, key), *first_bad = NULL;
    if (array == NULL) {
        return false;
    }
    if (!json_is_array(array)) {
        complain(request, "\"%s\" is no list of accounts, and was taken as an empty one", key);
        return true;
    }
    size_t size = json_array_size(array), bad = 0;
    accounts->list = size > 0 ? cs_alloc(size * sizeof(*accounts->list)) : NULL;
    for (size_t i = 0; i < size; i++) {
        const json_t *one = json_array_get(array, i);
        const char *text = json_string_value(one);
        if (text != NULL && address_parse(CHAIN_NANO, text, &accounts->list[accounts->count])) {
            accounts->count++;
        } else if (bad++ == 0) {
            first_bad = one;
        }
    }
    if (bad > 0) {
        char quoted[QUOTED_SIZE];
        complain(request, "%zu in \"%s\" %s no Nano account and %s left out; the first is%s", bad, key,
                 bad == 1 ? "is" : "are", bad == 1 ? "was" : "were",
                 *quote(first_bad, quoted) != '\0' ? quoted : " not printable");
    }
    sort_and_unite(accounts);
    return true;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

static uint8_t read_types(struct nano_request *request, const json_t *options)
{
    static const struct {
        const char *name;
        uint8_t types;
    } TYPES[] = {
        {"all", NANO_ACTIVE_QUORUM | NANO_INACTIVE},
        {"active", NANO_ACTIVE_QUORUM},
        {"active_quorum", NANO_ACTIVE_QUORUM},
        {"active_confirmation_height", 0}, /* the relay hears of none as such */
        {"inactive", NANO_INACTIVE},
    };
    const json_t *value = json_object_get(options, "confirmation_type");
    const char *name = value != NULL ? json_string_value(value) : "all";
    for (size_t i = 0; name != NULL && i < sizeof(TYPES) / sizeof(TYPES[0]); i++) {
        if (strcasecmp(name, TYPES[i].name) == 0) {
            return TYPES[i].types;
        }
    }
    char quoted[QUOTED_SIZE];
    complain(
        request,
        "confirmation_type%s is none of all, active, active_quorum, active_confirmation_height, inactive, "
        "and was taken as all",
        quote(value, quoted));
    return NANO_ACTIVE_QUORUM | NANO_INACTIVE;
}

static void read_subscription(struct nano_request *request, const json_t *options)
{
    struct nano_options *read = &request->options;
    read->include_block = read_option(request, options, "include_block", true);
    read->include_linked_account = read_option(request, options, "include_linked_account", false);
    read->types = read_types(request, options);
    read->filtered = read_accounts(request, options, "accounts", &request->accounts);
    /* No account is local here, so that even `true` adds none; and the node filters for `false` as well. */
    switch (read_flag(options, "all_local_accounts")) {
    case FLAG_ABSENT:
        break;
    case FLAG_WRONG:
        complain(request, "\"all_local_accounts\" is neither true nor false, and was left out");
        break;
    case FLAG_FALSE:
    case FLAG_TRUE:
        read->filtered = true;
    }
}

static void read_update(struct nano_request *request, const json_t *options)
{
    bool adds = read_accounts(request, options, "accounts_add", &request->accounts);
    bool removes = read_accounts(request, options, "accounts_del", &request->removed);
    request->options.filtered = adds || removes;
}

static void read_options(struct nano_request *request, const json_t *object)
{
    const json_t *options = json_object_get(object, "options");
    request->options.given = options != NULL;
    if (options != NULL && !json_is_object(options)) {
        complain(request, "\"options\" is no object, and was taken as an empty one");
    }
    if (request->action == NANO_SUBSCRIBE) {
        read_subscription(request, options);
    } else if (request->action == NANO_UPDATE) {
        read_update(request, options);
    }
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static bool read_action(struct nano_request *request, const json_t *object)
{
    static const struct {
        const char *name;
        enum nano_action action;
    } ACTIONS[] = {{"subscribe", NANO_SUBSCRIBE},
                   {"update", NANO_UPDATE},
                   {"unsubscribe", NANO_UNSUBSCRIBE},
                   {"ping", NANO_PING}};
    const json_t *value = json_object_get(object, "action");
    for (size_t i = 0; json_is_string(value) && i < sizeof(ACTIONS) / sizeof(ACTIONS[0]); i++) {
        if (strcmp(json_string_value(value), ACTIONS[i].name) == 0) {
            request->action = ACTIONS[i].action;
            return true;
        }
    }
    char quoted[QUOTED_SIZE];
    complain(request, "\"action\"%s is none of subscribe, update, unsubscribe, ping", quote(value, quoted));
    return false;
}

static bool read_topic(struct nano_request *request, const json_t *object)
{
    const json_t *value = json_object_get(object, "topic");
    const char *topic = json_string_value(value);
    if (topic != NULL && strcmp(topic, "confirmation") == 0) {
        return true;
    }
    char quoted[QUOTED_SIZE];
    complain(request, "\"topic\"%s is not served here; confirmation is", quote(value, quoted));
    return false;
}

enum nano_verdict nano_read(const char *text, size_t length, struct nano_request *request)
{
    memset(request, 0, sizeof(*request));
    char why[JSON_ERROR_SIZE];
    json_t *value = json_read(text, length, NANO_DEPTH_MOST, why);
    if (value == NULL) {
        complain(request, "%s", why);
        return NANO_MALFORMED;
    }
    enum nano_verdict verdict = NANO_REFUSED;
    if (!json_is_object(value)) {
        complain(request, "that is no JSON object");
    } else {
        request->id = read_id(value);
        request->ack = read_flag(value, "ack") == FLAG_TRUE;
        if (read_action(request, value) && (request->action == NANO_PING || read_topic(request, value))) {
            read_options(request, value);
            verdict = NANO_REQUEST;
        }
    }
    json_decref(value);
    return verdict;
}

void nano_request_fini(struct nano_request *request)
{
    free(request->id);
    free(request->accounts.list);
    free(request->removed.list);
    memset(request, 0, sizeof(*request));
}
