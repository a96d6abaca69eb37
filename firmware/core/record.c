#include "core/record.h"

#include <assert.h>
#include <string.h>

#include "core/memory.h"
#include "core/tariff.h"

#define MAGIC_SIZE 4
#define HEAD_SIZE  (MAGIC_SIZE + 4) /* and the generation */

#define CONFIG_MOST     (8 + 1 + 4 + 1 + CORE_ADDRESSES_MOST * CORE_KEY_SIZE + 16 + 4 + 1 + CORE_STEPS_MOST * 20)
#define RING_MOST(kept) (2 + (kept) * (CORE_PAYMENT_KEY + 4))
_Static_assert(HEAD_SIZE + CORE_EPOCH_SIZE + 3 * 8 + 2 * CONFIG_MOST + 2 + CORE_OUTCOMES_KEPT * 12 +
                       RING_MOST(CORE_GRANTED_KEPT) + RING_MOST(CORE_REFUSED_KEPT) + RECORD_CHECK_SIZE <=
                   CORE_RECORD_SIZE,
               "the fullest record fits");

static const uint8_t MAGIC[MAGIC_SIZE] = {'C', 'S', 'M', 1}; /* the last one is the layout's version */

/* ---- bytes, big-endian ---------------------------------------------------------------------------------------------- */

struct writer {
    uint8_t *at;
};

static void put(struct writer *writer, const void *bytes, size_t count)
{
    memcpy(writer->at, bytes, count);
    writer->at += count;
}

static void put_number(struct writer *writer, uint64_t number, unsigned count)
{
    for (unsigned i = count; i > 0; i--) {
        *writer->at++ = (uint8_t)(number >> 8 * (i - 1));
    }
}

static void put_amount(struct writer *writer, struct amount amount)
{
    amount_to_bytes(amount, writer->at);
    writer->at += 16;
}

/* Past the end it reads zeros, and `good` is false from then on. */
struct reader {
    const uint8_t *at, *end;
    bool good;
};

static void get(struct reader *reader, void *bytes, size_t count)
{
    reader->good = reader->good && (size_t)(reader->end - reader->at) >= count;
    if (!reader->good) {
        memset(bytes, 0, count);
        return;
    }
    memcpy(bytes, reader->at, count);
    reader->at += count;
}

static uint64_t get_number(struct reader *reader, unsigned count)
{
    uint8_t bytes[8];
    uint64_t number = 0;
    get(reader, bytes, count);
    for (unsigned i = 0; i < count; i++) {
        number = number << 8 | bytes[i];
    }
    return number;
}

/* A count that is above `most` is no good. */
static unsigned get_count(struct reader *reader, unsigned size, unsigned most)
{
    uint64_t count = get_number(reader, size);
    reader->good = reader->good && count <= most;
    return reader->good ? (unsigned)count : 0;
}

/* ---- the parts ---------------------------------------------------------------------------------------------------------- */

#define CONFIG_HAS_TARIFF 1u
#define CONFIG_HAS_LATE   2u

static void put_config(struct writer *writer, const struct core_config *config)
{
    put_number(writer, config->version, 8);
    if (config->version == 0) {
        return;
    }
    const struct core_tariff *tariff = &config->tariff;
    put_number(writer,
               (config->has_tariff ? CONFIG_HAS_TARIFF : 0) | (config->has_late ? CONFIG_HAS_LATE : 0), 1);
    put_number(writer, (uint32_t)tariff->late_after_s, 4);
    put_number(writer, config->address_count, 1);
    put(writer, config->addresses, (size_t)config->address_count * CORE_KEY_SIZE);
    if (!config->has_tariff) {
        return;
    }
    put_amount(writer, tariff->minimum);
    put_number(writer, tariff->cap_s, 4);
    put_number(writer, tariff->count, 1);
    for (unsigned i = 0; i < tariff->count; i++) {
        put_amount(writer, tariff->steps[i].amount);
        put_number(writer, tariff->steps[i].seconds, 4);
    }
}

static struct amount get_amount(struct reader *reader)
{
    uint8_t bytes[16];
    get(reader, bytes, sizeof(bytes));
    return amount_from_bytes(bytes);
}

static void get_config(struct reader *reader, struct core_config *config)
{
    config->version = get_number(reader, 8);
    if (config->version == 0) {
        return;
    }
    struct core_tariff *tariff = &config->tariff;
    uint64_t flags = get_number(reader, 1);
    config->has_tariff = (flags & CONFIG_HAS_TARIFF) != 0;
    config->has_late = (flags & CONFIG_HAS_LATE) != 0;
    uint32_t late_after_s = (uint32_t)get_number(reader, 4);
    tariff->late_after_s = late_after_s <= CORE_SECONDS_MOST ? (int32_t)late_after_s : -1;
    config->address_count = (uint8_t)get_count(reader, 1, CORE_ADDRESSES_MOST);
    get(reader, config->addresses, (size_t)config->address_count * CORE_KEY_SIZE);
    if (!config->has_tariff) {
        return;
    }
    tariff->minimum = get_amount(reader);
    tariff->cap_s = (uint32_t)get_number(reader, 4);
    tariff->count = (uint8_t)get_count(reader, 1, CORE_STEPS_MOST);
    for (unsigned i = 0; i < tariff->count; i++) {
        tariff->steps[i].amount = get_amount(reader);
        tariff->steps[i].seconds = (uint32_t)get_number(reader, 4);
    }
    reader->good = reader->good && core_tariff_settle(tariff);
}

static void put_ring(struct writer *writer, const struct core_ring *ring)
{
    put_number(writer, ring->count, 2);
    for (unsigned i = 0; i < ring->count; i++) {
        const struct core_known *known = core_ring_at(ring, i);
        put(writer, known->key, CORE_PAYMENT_KEY);
        put_number(writer, known->value, 4);
    }
}

static void get_ring(struct reader *reader, struct core_ring *ring)
{
    unsigned count = get_count(reader, 2, ring->size);
    for (unsigned i = 0; i < count; i++) {
        struct core_known known;
        get(reader, known.key, CORE_PAYMENT_KEY);
        known.value = (uint32_t)get_number(reader, 4);
        core_ring_put(ring, &known);
    }
}

static void put_outcomes(struct writer *writer, const struct core_memory *memory)
{
    put_number(writer, memory->outcome_count, 2);
    for (unsigned i = 0; i < memory->outcome_count; i++) {
        put_number(writer, memory->outcomes[i].seq, 8);
        put_number(writer, memory->outcomes[i].value, 4);
    }
}

static void get_outcomes(struct reader *reader, struct core_memory *memory)
{
    unsigned count = get_count(reader, 2, CORE_OUTCOMES_KEPT);
    for (unsigned i = 0; i < count; i++) {
        uint64_t seq = get_number(reader, 8);
        core_memory_keep_outcome(memory, seq, (uint32_t)get_number(reader, 4));
    }
}

/* ---- the whole -------------------------------------------------------------------------------------------------------------- */

static void check_of(const struct core_crypto *crypto, const char *device, const uint8_t *bytes,
                     size_t length, uint8_t check[RECORD_CHECK_SIZE])
{
    const struct core_bytes part = {bytes, length};
    crypto->blake2b(crypto->context, &part, 1, (const uint8_t *)device, strlen(device), check,
                    RECORD_CHECK_SIZE);
}

size_t core_record_encode(const struct core_memory *memory, const struct core_crypto *crypto,
                          const char *device, uint32_t generation, uint8_t bytes[CORE_RECORD_SIZE])
{
    struct writer writer = {bytes};
    put(&writer, MAGIC, MAGIC_SIZE);
    put_number(&writer, generation, 4);
    put(&writer, memory->epoch, CORE_EPOCH_SIZE);
    put_number(&writer, memory->seq, 8);
    put_number(&writer, memory->granted_s, 8);
    put_number(&writer, memory->stored_ms, 8);
    put_config(&writer, &memory->current);
    put_config(&writer, &memory->before);
    put_outcomes(&writer, memory);
    put_ring(&writer, &memory->granted);
    put_ring(&writer, &memory->refused);
    size_t length = (size_t)(writer.at - bytes);
    assert(length + RECORD_CHECK_SIZE <= CORE_RECORD_SIZE);
    check_of(crypto, device, bytes, length, writer.at);
    return length + RECORD_CHECK_SIZE;
}

bool core_record_is_whole(const struct core_crypto *crypto, const char *device, const uint8_t *bytes,
                          size_t length, uint32_t *generation)
{
    uint8_t check[RECORD_CHECK_SIZE];
    if (length < HEAD_SIZE + RECORD_CHECK_SIZE) {
        return false;
    }
    check_of(crypto, device, bytes, length - RECORD_CHECK_SIZE, check);
    if (memcmp(check, bytes + length - RECORD_CHECK_SIZE, RECORD_CHECK_SIZE) != 0) {
        return false;
    }
    struct reader reader = {bytes + MAGIC_SIZE, bytes + HEAD_SIZE, true};
    *generation = (uint32_t)get_number(&reader, 4);
    return true;
}

bool core_record_decode(struct core_memory *memory, const uint8_t *bytes, size_t length)
{
    struct reader reader = {bytes + HEAD_SIZE, bytes + length - RECORD_CHECK_SIZE, true};
    core_memory_init(memory);
    get(&reader, memory->epoch, CORE_EPOCH_SIZE);
    memory->seq = get_number(&reader, 8);
    memory->granted_s = get_number(&reader, 8);
    memory->stored_ms = get_number(&reader, 8);
    get_config(&reader, &memory->current);
    get_config(&reader, &memory->before);
    get_outcomes(&reader, memory);
    get_ring(&reader, &memory->granted);
    get_ring(&reader, &memory->refused);
    bool terminated = memory->epoch[0] == '\0' ||
                      memchr(memory->epoch, '\0', CORE_EPOCH_SIZE) == memory->epoch + CORE_EPOCH_SIZE - 1;
    if (memcmp(bytes, MAGIC, MAGIC_SIZE) != 0 || !reader.good || reader.at != reader.end || !terminated) {
        core_memory_init(memory);
        return false;
    }
    return true;
}

void core_mark_encode(const struct core_crypto *crypto, const uint8_t record_check[RECORD_CHECK_SIZE],
                      uint64_t stored_ms, uint8_t bytes[CORE_MARK_SIZE])
{
    struct writer writer = {bytes};
    put(&writer, record_check, RECORD_CHECK_SIZE);
    put_number(&writer, stored_ms, 8);
    check_of(crypto, "mark", bytes, 16, writer.at);
}

bool core_mark_decode(const struct core_crypto *crypto, const uint8_t record_check[RECORD_CHECK_SIZE],
                      const uint8_t *bytes, size_t length, uint64_t *stored_ms)
{
    uint8_t check[RECORD_CHECK_SIZE];
    if (length != CORE_MARK_SIZE || memcmp(bytes, record_check, RECORD_CHECK_SIZE) != 0) {
        return false;
    }
    check_of(crypto, "mark", bytes, 16, check);
    struct reader reader = {bytes + 8, bytes + 16, true};
    *stored_ms = get_number(&reader, 8);
    return memcmp(check, bytes + 16, RECORD_CHECK_SIZE) == 0;
}
