/*
 * What a program says to /nano, read; what it made us say back must be JSON that names its error and its id, and nothing that it could take
 * for a message of the node. And the same bytes as a block that was kept: a message is printed of it, or it is refused.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "push/nano_frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static json_t *parse(char *text)
{
    size_t length = strlen(text);
    must(length > 2 && strcmp(text + length - 2, "}\n") == 0);
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    must(json_is_object(value));
    free(text);
    return value;
}

static void must_have(const json_t *object, const char *key, const char *text)
{
    const char *found = json_string_value(json_object_get(object, key));
    must(text == NULL ? found == NULL : found != NULL && strcmp(found, text) == 0);
}

static void check_answers(const struct nano_request *request)
{
    json_t *ack = parse(nano_print_ack(request->action, request->id, 1795193519924));
    must_have(ack, "id", request->id);
    must_have(ack, "time", "1795193519924");
    json_decref(ack);
    json_t *error = parse(nano_print_error(request->error, request->id));
    must_have(error, "error", request->error);
    must_have(error, "id", request->id);
    must(json_object_get(error, "ack") == NULL && json_object_get(error, "topic") == NULL);
    json_decref(error);
}

static void check_accounts(const struct nano_accounts *accounts)
{
    for (size_t i = 0; i < accounts->count; i++) {
        must(nano_accounts_have(accounts, &accounts->list[i]));
        must(i == 0 || memcmp(accounts->list[i - 1].bytes, accounts->list[i].bytes, ADDRESS_BYTES_MAX) < 0);
    }
}

static void check_message(const uint8_t *data, size_t size)
{
    struct payment payment = {.source = SOURCE_CALLBACK, .to = address_from_nano_key((const uint8_t[32]){1})};
    const struct store_heard heard = {.payment = &payment, .proof = data, .proof_size = size};
    for (int form = NANO_WITHOUT_BLOCK; form < NANO_FORM_COUNT; form++) {
        json_t *text = parse(nano_print_confirmation(&heard, (enum nano_form)form, 1));
        must_have(text, "topic", "confirmation");
        must(form != NANO_WITHOUT_BLOCK ||
             json_object_get(json_object_get(text, "message"), "block") == NULL);
        json_decref(text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nano_request request;
    enum nano_verdict verdict = nano_read((const char *)data, size, &request);
    must(memchr(request.error, '\0', sizeof(request.error)) != NULL);
    must(verdict == NANO_REQUEST || request.error[0] != '\0');
    must(verdict != NANO_MALFORMED || request.id == NULL);
    check_accounts(&request.accounts);
    check_accounts(&request.removed);
    check_answers(&request);
    nano_request_fini(&request);
    check_message(data, size);
    return 0;
}
