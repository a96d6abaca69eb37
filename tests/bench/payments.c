#include "bench/payments.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/log.h"
#include "bench/loop.h"
#include "simulate/notify.h"
#include "simulate/sign.h"

#define PAYERS       256
#define FIELDS_MOST  16
#define BALANCE_HIGH UINT64_C(1000000000000) /* 32 digits of raw: with the amount what makes 1,010 bytes */
#define AMOUNT_HIGH  UINT64_C(100000000)     /* 28 digits */

/* What differs from one body to the next, and where it stands. */
enum field_kind {
    FIELD_ACCOUNT,
    FIELD_HASH,
    FIELD_PREVIOUS,
    FIELD_LINK,
    FIELD_TO,
    FIELD_SIGNATURE,
    FIELD_KINDS
};

struct field {
    enum field_kind kind;
    size_t at, length;
};

struct payments {
    struct payments_options options;
    uint8_t *bodies;
    size_t body_bytes, hash_at;
    struct field fields[FIELDS_MOST];
    size_t field_count;
    uint32_t *devices;
    uint32_t *index; /* number + 1 by hash, open addressing */
    uint32_t index_mask;
    char payers[PAYERS][ADDRESS_TEXT_SIZE];
    char (*addresses)[ADDRESS_TEXT_SIZE];
};

/* ---- who is who ------------------------------------------------------------------------------------ */

static void derive(const char *what, uint32_t number, uint8_t out[32])
{
    char text[64];
    int length = snprintf(text, sizeof(text), "coinslot bench %s %u", what, number);
    crypto_generichash(out, 32, (const unsigned char *)text, (unsigned long long)length, NULL, 0);
}

static void payer_key(uint32_t payer, struct sign_key *key)
{
    uint8_t seed[32];
    derive("payers", 0, seed);
    sign_derive_key(seed, payer, key);
}

struct address payments_address(uint32_t number, bool everybody)
{
    uint8_t key[32];
    derive(everybody ? "everybody" : "device", everybody ? 0 : number, key);
    return address_from_nano_key(key);
}

void payments_token(uint32_t number, char token[PAYMENTS_TOKEN_SIZE])
{
    uint8_t bytes[32];
    derive("token", number, bytes);
    sodium_bin2base64(token, PAYMENTS_TOKEN_SIZE, bytes, sizeof(bytes),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

void payments_seed(uint32_t number, uint8_t seed[32])
{
    derive("key", number, seed);
}

/* Scattered, as people pay; the same in each run. */
static uint32_t device_of(const struct payments_options *options, uint32_t number)
{
    uint64_t mixed = (number + UINT64_C(1)) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)((mixed >> 32) % options->devices);
}

/* ---- one payment ----------------------------------------------------------------------------------- */

static void fill_block(const struct payments_options *options, uint32_t number, const uint8_t payer[32],
                       struct notice *notice)
{
    *notice = (struct notice){.is_send = true, .amount = {AMOUNT_HIGH, 0}};
    struct block *block = &notice->block;
    block->type = BLOCK_STATE;
    block->balance = (struct amount){BALANCE_HIGH, 0};
    block->work = UINT64_C(0x9b466a1297d62066);
    memcpy(block->account, payer, 32);
    memcpy(notice->account, payer, 32);
    derive("previous", options->first + number, block->previous);
    derive("representative", 0, block->representative);
    struct address to = payments_address(device_of(options, number), options->everybody);
    memcpy(block->link, to.bytes, 32);
    block_hash(block, notice->hash);
}

void payments_notice(const struct payments_options *options, uint32_t number, const uint8_t signature[64],
                     struct notice *notice)
{
    struct sign_key key;
    payer_key(number % PAYERS, &key);
    fill_block(options, number, key.public_key, notice);
    memcpy(notice->block.signature, signature, 64);
}

/* ---- signatures ------------------------------------------------------------------------------------ */

static void make_signatures(const struct payments *payments, uint8_t *signatures, uint32_t from)
{
    static struct sign_key keys[PAYERS];
    for (uint32_t i = 0; i < PAYERS; i++) {
        payer_key(i, &keys[i]);
    }
    for (uint32_t i = from; i < payments->options.count; i++) {
        struct notice notice;
        fill_block(&payments->options, i, keys[i % PAYERS].public_key, &notice);
        sign_hash(&keys[i % PAYERS], notice.hash, signatures + 64 * (size_t)i);
    }
}

/* Those that the file has, and the others, which are added to it. */
static uint8_t *read_signatures(const struct payments *payments)
{
    uint32_t count = payments->options.count;
    uint8_t *signatures = cs_alloc(64 * (size_t)count);
    const char *path = payments->options.signatures;
    if (path == NULL) {
        for (uint32_t i = 0; i < count; i++) {
            derive("noise", i, signatures + 64 * (size_t)i);
            derive("more noise", i, signatures + 64 * (size_t)i + 32);
            signatures[64 * (size_t)i + 63] &= 0x1F; /* a node lets no other S in */
        }
        return signatures;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    ssize_t got = fd < 0 ? -1 : pread(fd, signatures, 64 * (size_t)count, 0);
    if (got < 0) {
        bench_die("%s: %s", path, strerror(errno));
    }
    uint32_t have = (uint32_t)(got / 64);
    make_signatures(payments, signatures, have);
    size_t missing = 64 * (size_t)(count - have);
    if (missing > 0 &&
        pwrite(fd, signatures + 64 * (size_t)have, missing, 64 * (off_t)have) != (ssize_t)missing) {
        bench_die("%s: %s", path, strerror(errno));
    }
    close(fd);
    return signatures;
}

/* ---- texts ----------------------------------------------------------------------------------------- */

static void print_fields(const struct notice *notice, char texts[FIELD_KINDS][2 * 64 + 1])
{
    struct address account = address_from_nano_key(notice->account),
                   to = address_from_nano_key(notice->block.link);
    address_format(&account, texts[FIELD_ACCOUNT]);
    address_format(&to, texts[FIELD_TO]);
    hex_encode_upper(notice->hash, 32, texts[FIELD_HASH]);
    hex_encode_upper(notice->block.previous, 32, texts[FIELD_PREVIOUS]);
    hex_encode_upper(notice->block.link, 32, texts[FIELD_LINK]);
    hex_encode_upper(notice->block.signature, 64, texts[FIELD_SIGNATURE]);
}

static char *print_callback(const struct notice *notice)
{
    size_t size;
    char *request = notify_print("x", "/", notice, NULL, &size);
    char *body = strstr(request, "\r\n\r\n") + 4;
    memmove(request, body, strlen(body) + 1);
    return request;
}

/* As in tests/data/nano-v27.1/ws-default.txt. */
static char *print_news(const struct notice *notice)
{
    char account[ADDRESS_TEXT_SIZE], hash[2 * 32 + 1], amount[AMOUNT_RAW_SIZE];
    struct address address = address_from_nano_key(notice->account);
    address_format(&address, account);
    hex_encode_upper(notice->hash, 32, hash);
    amount_format_raw(notice->amount, amount);
    json_t *block = block_to_json(&notice->block);
    json_object_set_new(block, "subtype", json_string("send"));
    json_t *whole = json_pack("{s:s,s:s,s:{s:s,s:s,s:s,s:s,s:o}}", "topic", "confirmation", "time",
                              "1795193432703", "message", "account", account, "amount", amount, "hash", hash,
                              "confirmation_type", "active_quorum", "block", block);
    char *text = json_dumps(whole, JSON_INDENT(4));
    json_decref(whole);
    size_t length = strlen(text);
    text = cs_realloc(text, length + 2);
    memcpy(text + length, "\n", 2);
    return text;
}

/* Finds each field in a text that was printed for a notice whose fields are all different. */
static void find_fields(struct payments *payments, const char *text, char fields[FIELD_KINDS][2 * 64 + 1])
{
    for (int kind = 0; kind < FIELD_KINDS; kind++) {
        for (const char *at = strstr(text, fields[kind]); at != NULL; at = strstr(at + 1, fields[kind])) {
            if (payments->field_count == FIELDS_MOST) {
                bench_die("a body has more than %d fields", FIELDS_MOST);
            }
            payments->fields[payments->field_count++] =
                (struct field){(enum field_kind)kind, (size_t)(at - text), strlen(fields[kind])};
            if (kind == FIELD_HASH) {
                payments->hash_at = (size_t)(at - text);
            }
        }
    }
}

static char *make_template(struct payments *payments, const uint8_t *signatures)
{
    struct notice notice;
    char fields[FIELD_KINDS][2 * 64 + 1];
    payments_notice(&payments->options, 0, signatures, &notice);
    print_fields(&notice, fields);
    char *text = payments->options.news ? print_news(&notice) : print_callback(&notice);
    find_fields(payments, text, fields);
    payments->body_bytes = strlen(text);
    if (!payments->options.news && payments->body_bytes != PAYMENTS_BODY_BYTES) {
        bench_die("a callback has %zu bytes instead of %d", payments->body_bytes, PAYMENTS_BODY_BYTES);
    }
    return text;
}

static void index_hash(struct payments *payments, uint32_t number, const uint8_t hash[32])
{
    uint32_t place;
    memcpy(&place, hash, sizeof(place));
    place &= payments->index_mask;
    while (payments->index[place] != 0) {
        place = (place + 1) & payments->index_mask;
    }
    payments->index[place] = number + 1;
}

static void make_body(struct payments *payments, uint32_t number, const char *template,
                      const struct notice *notice)
{
    uint8_t *body = payments->bodies + payments->body_bytes * number;
    char hexes[FIELD_KINDS][2 * 64 + 1];
    hex_encode_upper(notice->hash, 32, hexes[FIELD_HASH]);
    hex_encode_upper(notice->block.previous, 32, hexes[FIELD_PREVIOUS]);
    hex_encode_upper(notice->block.link, 32, hexes[FIELD_LINK]);
    hex_encode_upper(notice->block.signature, 64, hexes[FIELD_SIGNATURE]);
    memcpy(body, template, payments->body_bytes);
    for (size_t i = 0; i < payments->field_count; i++) {
        const struct field *field = &payments->fields[i];
        const char *text = field->kind == FIELD_ACCOUNT ? payments->payers[number % PAYERS]
                           : field->kind == FIELD_TO    ? payments->addresses[payments->devices[number]]
                                                        : hexes[field->kind];
        memcpy(body + field->at, text, field->length);
    }
}

static void make_all(struct payments *payments, const uint8_t *signatures)
{
    uint8_t payers[PAYERS][32];
    for (uint32_t i = 0; i < PAYERS; i++) {
        struct sign_key key;
        payer_key(i, &key);
        memcpy(payers[i], key.public_key, 32);
        struct address address = address_from_nano_key(key.public_key);
        address_format(&address, payments->payers[i]);
    }
    for (uint32_t i = 0; i < payments->options.devices; i++) {
        struct address address = payments_address(i, payments->options.everybody);
        address_format(&address, payments->addresses[i]);
    }
    char *template = make_template(payments, signatures);
    uint32_t count = payments->options.count;
    payments->bodies = cs_alloc(payments->body_bytes * count);
    for (uint32_t i = 0; i < count; i++) {
        struct notice notice;
        fill_block(&payments->options, i, payers[i % PAYERS], &notice);
        memcpy(notice.block.signature, signatures + 64 * (size_t)i, 64);
        payments->devices[i] = device_of(&payments->options, i);
        make_body(payments, i, template, &notice);
        index_hash(payments, i, notice.hash);
    }
    free(template);
}

struct payments *payments_open(const struct payments_options *options)
{
    struct payments *payments = cs_alloc(sizeof(*payments));
    payments->options = *options;
    uint32_t places = 1024;
    while (places < 2 * options->count) {
        places *= 2;
    }
    payments->index = cs_alloc(places * sizeof(uint32_t));
    payments->index_mask = places - 1;
    payments->devices = cs_alloc((options->count + 1ul) * sizeof(uint32_t));
    payments->addresses = cs_alloc(options->devices * sizeof(payments->addresses[0]));
    uint8_t *signatures = read_signatures(payments);
    make_all(payments, signatures);
    free(signatures);
    return payments;
}

void payments_close(struct payments *payments)
{
    free(payments->addresses);
    free(payments->devices);
    free(payments->index);
    free(payments->bodies);
    free(payments);
}

uint32_t payments_count(const struct payments *payments)
{
    return payments->options.count;
}

uint32_t payments_device(const struct payments *payments, uint32_t number)
{
    return payments->devices[number];
}

const uint8_t *payments_body(const struct payments *payments, uint32_t number, size_t *length)
{
    *length = payments->body_bytes;
    return payments->bodies + payments->body_bytes * number;
}

/* ---- which one was it ------------------------------------------------------------------------------ */

uint32_t payments_find(const struct payments *payments, const uint8_t hash[PAYMENTS_HASH_TEXT])
{
    char digits[9];
    uint8_t first[4];
    memcpy(digits, hash, 8);
    digits[8] = '\0';
    if (!hex_decode(digits, first, sizeof(first))) {
        return PAYMENTS_NONE;
    }
    uint32_t place;
    memcpy(&place, first, sizeof(place));
    for (place &= payments->index_mask; payments->index[place] != 0;
         place = (place + 1) & payments->index_mask) {
        uint32_t number = payments->index[place] - 1;
        if (memcmp(payments->bodies + payments->body_bytes * number + payments->hash_at, hash,
                   PAYMENTS_HASH_TEXT) == 0) {
            return number;
        }
    }
    return PAYMENTS_NONE;
}

uint32_t payments_find_in(const struct payments *payments, const uint8_t *text, size_t length)
{
    static const char key[] = "\"hash\":";
    const uint8_t *at = memmem(text, length, key, sizeof(key) - 1), *end = text + length;
    if (at == NULL) {
        return PAYMENTS_NONE;
    }
    at += sizeof(key) - 1;
    while (at < end && (*at == ' ' || *at == '"')) {
        at++;
    }
    return end - at < PAYMENTS_HASH_TEXT ? PAYMENTS_NONE : payments_find(payments, at);
}
