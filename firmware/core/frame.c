#include "core/frame.h"

#include <string.h>

#include "core/config.h"
#include "core/text.h"

#define NUMBER_MOST INT64_MAX /* of seqs and versions, as the relay counts them */

static bool read_number(const struct core_json *json, int object, const char *name, uint64_t *number)
{
    return core_json_number(json, core_json_member(json, object, name), NUMBER_MOST, number);
}

/* Every frame's reader gets the same. */
struct reading {
    const struct core_crypto *crypto;
    const struct core_json *json;
    struct core_frame *frame;
    bool wants_proof;
};

/* Exactly 32 digits: it is said back as it came, and kept. */
static bool read_epoch(const struct core_json *json, char epoch[CORE_EPOCH_SIZE])
{
    uint8_t bytes[(CORE_EPOCH_SIZE - 1) / 2];
    int value = core_json_member(json, 0, "epoch");
    return core_json_hex(json, value, true, bytes, sizeof(bytes)) &&
           core_json_text(json, value, epoch, CORE_EPOCH_SIZE);
}

/* Without keys it is a relay that knows sessions by token only. */
static bool read_challenge(const struct reading *reading)
{
    struct core_frame *frame = reading->frame;
    const struct core_json *json = reading->json;
    uint8_t nonce[32];
    frame->has_keys =
        core_json_hex(json, core_json_member(json, 0, "nonce"), true, nonce, sizeof(nonce)) &&
        core_json_hex(json, core_json_member(json, 0, "key"), true, frame->exchange_key, CORE_KEY_SIZE) &&
        core_json_hex(json, core_json_member(json, 0, "relay"), true, frame->relay_key, CORE_KEY_SIZE);
    return read_epoch(json, frame->epoch);
}

/* A config that is null is none. */
static bool read_config(const struct reading *reading, uint64_t version)
{
    struct core_frame *frame = reading->frame;
    int value = core_json_member(reading->json, 0, "config");
    frame->has_config = value >= 0 && !core_json_is_null(reading->json, value);
    if (!frame->has_config) {
        return true;
    }
    if (!core_config_read(reading->crypto, reading->json, value, &frame->config)) {
        return false;
    }
    frame->config.version = version;
    return true;
}

static bool read_welcome(const struct reading *reading)
{
    struct core_frame *frame = reading->frame;
    const struct core_json *json = reading->json;
    uint64_t pending;
    if (!read_number(json, 0, "last_acked", &frame->last_acked) ||
        !read_number(json, 0, "pending", &pending)) {
        return false;
    }
    if (!read_config(reading, 0)) {
        return false;
    }
    if (!frame->has_config) {
        return true;
    }
    return read_number(json, 0, "config_version", &frame->config.version);
}

static bool read_proof(const struct reading *reading)
{
    const struct core_json *json = reading->json;
    struct core_payment *payment = &reading->frame->payment;
    int proof = core_json_member(json, 0, "proof");
    payment->has_proof = proof >= 0;
    if (proof < 0 || !reading->wants_proof) {
        return true;
    }
    return core_json_hex(json, core_json_member(json, proof, "block"), false, payment->block,
                         BLOCK_PACKED_SIZE) &&
           core_json_hex(json, core_json_member(json, proof, "previous"), false, payment->previous,
                         BLOCK_PACKED_SIZE);
}

static bool read_amount(const struct core_json *json, int object, struct amount *amount)
{
    char text[AMOUNT_RAW_SIZE];
    return core_json_text(json, core_json_member(json, object, "amount"), text, sizeof(text)) &&
           amount_parse_raw(text, amount);
}

static bool read_payment_itself(const struct reading *reading, int object)
{
    const struct core_json *json = reading->json;
    struct core_payment *payment = &reading->frame->payment;
    char chain[8], from[66];
    uint64_t output;
    int asset = core_json_member(json, object, "asset"), said = core_json_member(json, object, "chain");
    payment->own_coin =
        asset < 0 && core_json_text(json, said, chain, sizeof(chain)) && strcmp(chain, "nano") == 0;
    payment->has_from = core_json_text(json, core_json_member(json, object, "from"), from, sizeof(from)) &&
                        core_config_account(reading->crypto, from, payment->from);
    if (!core_json_hex(json, core_json_member(json, object, "hash"), false, payment->hash, CORE_HASH_SIZE) ||
        !core_json_number(json, core_json_member(json, object, "output"), UINT32_MAX, &output) ||
        !read_amount(json, object, &payment->amount)) {
        return false;
    }
    payment->output = (uint32_t)output;
    return read_number(json, object, "age_s", &payment->age_s);
}

static bool read_payment(const struct reading *reading)
{
    struct core_frame *frame = reading->frame;
    const struct core_json *json = reading->json;
    int version = core_json_member(json, 0, "config_version");
    frame->config_version = 0;
    return read_number(json, 0, "seq", &frame->seq) &&
           (version < 0 || core_json_number(json, version, NUMBER_MOST, &frame->config_version)) &&
           read_config(reading, frame->config_version) &&
           read_payment_itself(reading, core_json_member(json, 0, "payment")) && read_proof(reading);
}

static bool read_gap(const struct reading *reading)
{
    return read_number(reading->json, 0, "from", &reading->frame->from) &&
           read_number(reading->json, 0, "to", &reading->frame->to);
}

static bool read_noted(const struct reading *reading)
{
    return read_number(reading->json, 0, "seq", &reading->frame->seq);
}

static bool read_new_config(const struct reading *reading)
{
    uint64_t version;
    return read_number(reading->json, 0, "version", &version) && read_config(reading, version) &&
           reading->frame->has_config;
}

/* Words are for people: one that can't be read is "?". */
static void read_word(const struct reading *reading, const char *name)
{
    char word[64];
    bool good = core_json_text(reading->json, core_json_member(reading->json, 0, name), word, sizeof(word));
    core_text_copy_word(reading->frame->word, CORE_WORD_SIZE, good ? word : "?");
}

static bool read_state(const struct reading *reading)
{
    struct core_frame *frame = reading->frame;
    const struct core_json *json = reading->json;
    read_word(reading, "reason");
    return core_json_bool(json, core_json_member(json, 0, "caught_up"), &frame->caught_up) &&
           core_json_bool(json, core_json_member(json, 0, "payable"), &frame->payable);
}

static bool read_error(const struct reading *reading)
{
    read_word(reading, "code");
    return true;
}

static const struct {
    const char *name;
    enum core_frame_type type;
    bool (*read)(const struct reading *reading);
} TYPES[] = {
    {"challenge", CORE_FRAME_CHALLENGE, read_challenge},
    {"welcome", CORE_FRAME_WELCOME, read_welcome},
    {"payment", CORE_FRAME_PAYMENT, read_payment},
    {"gap", CORE_FRAME_GAP, read_gap},
    {"noted", CORE_FRAME_NOTED, read_noted},
    {"config", CORE_FRAME_CONFIG, read_new_config},
    {"state", CORE_FRAME_STATE, read_state},
    {"error", CORE_FRAME_ERROR, read_error},
};

bool core_frame_read(struct core *core, const char *text, size_t length)
{
    struct core_json json;
    char type[32];
    struct reading reading = {core->crypto, &json, &core->frame, core->identity.proof};
    core->frame.type = CORE_FRAME_UNKNOWN;
    if (!core_json_read(&json, text, length, core->scratch.tokens)) {
        return false;
    }
    int said = core_json_member(&json, 0, "type");
    if (said < 0 || json.tokens[said].type != JSMN_STRING) {
        return false;
    }
    for (size_t i = 0;
         core_json_text(&json, said, type, sizeof(type)) && i < sizeof(TYPES) / sizeof(TYPES[0]); i++) {
        if (strcmp(type, TYPES[i].name) == 0) {
            core->frame.type = TYPES[i].type;
            return TYPES[i].read(&reading);
        }
    }
    return true;
}
