#include "simulate/mimic_rpc.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "payment/address.h"
#include "payment/payment.h"
#include "simulate/mimic_call.h"

/* ---- what the actions share ---------------------------------------------------------------------------- */

void mimic_fail(struct mimic_call *call, const char *error)
{
    if (call->error == NULL) {
        call->error = error;
    }
}

const char *mimic_need(struct mimic_call *call, const char *key)
{
    const char *text = tree_text(call->request, key);
    if (text == NULL) {
        mimic_fail(call, MIMIC_UNPARSABLE);
    }
    return text;
}

const json_t *mimic_need_list(struct mimic_call *call, const char *key)
{
    const json_t *list = json_object_get(call->request, key);
    if (list == NULL) {
        mimic_fail(call, MIMIC_UNPARSABLE);
    }
    return list;
}

bool mimic_read_account(struct mimic_call *call, const char *text, uint8_t key[32])
{
    if (*text == '\0') {
        text = mimic_need(call, "account");
        if (text == NULL) {
            return false;
        }
    }
    struct address address;
    if (!address_parse(CHAIN_NANO, text, &address)) {
        mimic_fail(call, "Bad account number");
        return false;
    }
    if (text[3] == '-' || text[4] == '-') {
        tree_put(call->answer, "deprecated_account_format", "1");
    }
    memcpy(key, address.bytes, 32);
    return true;
}

/* Fewer digits than 64 are a smaller number (nano/lib/numbers.cpp, uint256_union::decode_hex). */
bool mimic_read_hash(const char *text, uint8_t hash[32])
{
    char padded[PAYMENT_HASH_TEXT];
    size_t length = strlen(text);
    if (length == 0 || length > 64) {
        return false;
    }
    memset(padded, '0', 64 - length);
    memcpy(padded + 64 - length, text, length + 1);
    return hex_decode(padded, hash, 32);
}

bool mimic_read_unsigned(const char *text, uint64_t *number)
{
    char *end = NULL;
    errno = 0;
    unsigned long long read = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0) {
        return false;
    }
    *number = read;
    return true;
}

uint64_t mimic_optional_number(struct mimic_call *call, const char *key, uint64_t fallback, const char *error)
{
    const char *text = tree_text(call->request, key);
    uint64_t number = fallback;
    if (text != NULL && !mimic_read_unsigned(text, &number)) {
        mimic_fail(call, error);
    }
    return number;
}

struct amount mimic_optional_threshold(struct mimic_call *call)
{
    struct amount threshold = {0, 0};
    const char *text = tree_text(call->request, "threshold");
    if (text != NULL && !amount_parse_raw(text, &threshold)) {
        mimic_fail(call, "Bad threshold number");
    }
    return threshold;
}

void mimic_account_text(const uint8_t key[32], char text[ADDRESS_TEXT_SIZE])
{
    struct address address = address_from_nano_key(key);
    address_format(&address, text);
}

void mimic_put_account(json_t *object, const char *name, const uint8_t key[32])
{
    char text[ADDRESS_TEXT_SIZE];
    mimic_account_text(key, text);
    tree_put(object, name, text);
}

void mimic_put_hash(json_t *object, const char *name, const uint8_t hash[32])
{
    char text[PAYMENT_HASH_TEXT];
    hex_encode_upper(hash, 32, text);
    tree_put(object, name, text);
}

void mimic_put_block(const struct ledger *ledger, json_t *object, const char *name, uint32_t block)
{
    static const uint8_t zero[32] = {0};
    mimic_put_hash(object, name, block == LEDGER_NONE ? zero : ledger_block(ledger, block)->hash);
}

void mimic_put_amount(json_t *object, const char *name, struct amount amount)
{
    char text[AMOUNT_RAW_SIZE];
    amount_format_raw(amount, text);
    tree_put(object, name, text);
}

void mimic_put_number(json_t *object, const char *name, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    tree_put(object, name, text);
}

/* ---- the node itself ----------------------------------------------------------------------------------- */

static const uint8_t *genesis_hash(const struct mimic_call *call)
{
    static const uint8_t zero[32] = {0};
    return ledger_block_count(call->ledger) > 0 ? ledger_block(call->ledger, 0)->hash : zero;
}

static void answer_version(struct mimic_call *call)
{
    json_t *answer = call->answer;
    tree_put(answer, "rpc_version", "1");
    tree_put(answer, "store_version", "24");
    tree_put(answer, "protocol_version", "21");
    tree_put(answer, "node_vendor", call->options->node_vendor);
    tree_put(answer, "store_vendor", "LMDB 0.9.70");
    tree_put(answer, "network", "dev");
    mimic_put_hash(answer, "network_identifier", genesis_hash(call));
    tree_put(answer, "build_info",
             "75f1479b5 \"GNU C++ version \" \"12.2.0\" \"BOOST 108100\" BUILT \"Nov 20 2026\"");
}

static void answer_block_count(struct mimic_call *call)
{
    mimic_put_number(call->answer, "count", ledger_block_count(call->ledger));
    tree_put(call->answer, "unchecked", "0");
    mimic_put_number(call->answer, "cemented", ledger_confirmed_count(call->ledger));
}

static void answer_uptime(struct mimic_call *call)
{
    mimic_put_number(call->answer, "seconds", (uint64_t)call->options->uptime_s(call->options->context));
}

/* A node's own name is a key; its signature over the metrics is make-believe, for nobody here checks it. */
static void answer_telemetry(struct mimic_call *call)
{
    json_t *answer = call->answer;
    if (tree_flag(call->request, "raw", false)) {
        tree_put_collection(answer, "metrics", json_array()); /* no peers */
        return;
    }
    mimic_put_number(answer, "block_count", ledger_block_count(call->ledger));
    mimic_put_number(answer, "cemented_count", ledger_confirmed_count(call->ledger));
    tree_put(answer, "unchecked_count", "0");
    mimic_put_number(answer, "account_count", ledger_opened_count(call->ledger));
    tree_put(answer, "bandwidth_cap", "10485760");
    tree_put(answer, "peer_count", "0");
    tree_put(answer, "protocol_version", "21");
    mimic_put_number(answer, "uptime", (uint64_t)call->options->uptime_s(call->options->context));
    mimic_put_hash(answer, "genesis_block", genesis_hash(call));
    tree_put(answer, "major_version", "27");
    tree_put(answer, "minor_version", "1");
    tree_put(answer, "patch_version", "0");
    tree_put(answer, "pre_release_version", "0");
    tree_put(answer, "maker", "0");
    mimic_put_number(answer, "timestamp", (uint64_t)call->options->now_ms(call->options->context));
    tree_put(answer, "active_difficulty", "ffc0000000000000");
    uint8_t random[64];
    char account[ADDRESS_TEXT_SIZE], name[ADDRESS_TEXT_SIZE], signature[129];
    mimic_account_text(genesis_hash(call), account);
    snprintf(name, sizeof(name), "node_%s", account + 5); /* instead of nano_ */
    tree_put(answer, "node_id", name);
    randombytes_buf(random, sizeof(random));
    hex_encode_upper(random, sizeof(random), signature);
    tree_put(answer, "signature", signature);
}

static void answer_peers(struct mimic_call *call)
{
    tree_put_collection(call->answer, "peers", json_array());
}

static void answer_control(struct mimic_call *call)
{
    const char *error = "Unknown command";
    json_t *answer = call->options->control == NULL
                         ? NULL
                         : call->options->control(call->options->context, call->request, &error);
    if (answer == NULL) {
        mimic_fail(call, error);
        return;
    }
    json_decref(call->answer);
    call->answer = answer;
}

/* ---- from request to answer ---------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(struct mimic_call *call);
} ACTIONS[] = {
    {"version", answer_version},
    {"block_count", answer_block_count},
    {"uptime", answer_uptime},
    {"telemetry", answer_telemetry},
    {"peers", answer_peers},
    {"account_balance", mimic_account_balance},
    {"accounts_balances", mimic_accounts_balances},
    {"account_info", mimic_account_info},
    {"accounts_frontiers", mimic_accounts_frontiers},
    {"receivable", mimic_receivable},
    {"pending", mimic_pending},
    {"accounts_receivable", mimic_accounts_receivable},
    {"accounts_pending", mimic_accounts_pending},
    {"block_info", mimic_block_info},
    {"blocks_info", mimic_blocks_info},
    {"block_confirm", mimic_block_confirm},
    {"account_history", mimic_account_history},
    {"simulate", answer_control},
};

char *mimic_error(const char *error)
{
    json_t *answer = json_object();
    tree_put(answer, "error", error);
    return tree_print(answer);
}

static void run(struct mimic_call *call, const char *action)
{
    for (size_t i = 0; i < sizeof(ACTIONS) / sizeof(ACTIONS[0]); i++) {
        if (strcmp(ACTIONS[i].name, action) == 0) {
            ACTIONS[i].run(call);
            return;
        }
    }
    mimic_fail(call, "Unknown command");
}

static bool too_deep(const char *body, size_t size)
{
    size_t brackets = 0;
    for (size_t i = 0; i < size; i++) {
        brackets += body[i] == '{' || body[i] == '[' ? 1 : 0;
    }
    return brackets > MIMIC_BRACKETS_MOST;
}

char *mimic_answer(const struct mimic_options *options, const char *body, size_t size,
                   char action[MIMIC_ACTION_SIZE])
{
    action[0] = '\0';
    if (too_deep(body, size)) {
        return mimic_error("Max JSON depth exceeded");
    }
    json_t *request = tree_read(body, size);
    const char *name = request != NULL ? tree_text(request, "action") : NULL;
    if (name == NULL) {
        json_decref(request);
        return mimic_error(MIMIC_UNPARSABLE);
    }
    snprintf(action, MIMIC_ACTION_SIZE, "%s", name);
    struct mimic_call call = {.options = options,
                              .ledger = options->ledger(options->context),
                              .request = request,
                              .answer = json_object()};
    run(&call, name);
    if (call.error == NULL && json_object_size(call.answer) == 0) {
        call.error = "Empty response";
    }
    char *text;
    if (call.error != NULL) {
        json_decref(call.answer);
        text = mimic_error(call.error);
    } else {
        text = tree_print(call.answer);
    }
    json_decref(request);
    return text;
}
