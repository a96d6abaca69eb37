/*
 * A meter, given anything: the first byte says what the rest is. Even: messages, one a line, in a session by token, where none is refused for its mac; a
 * line that is empty lets time pass. Odd: what lies in its store, under a right checksum.
 * Whatever comes, it never shows more time than is left, acks nothing that is not in its store, and comes up again with what it had.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/record.h"
#include "firmware/rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rig rig;

static void must(bool holds)
{
    if (!holds) {
        abort();
    }
}

static struct core_report report(void)
{
    struct core_report told;
    core_report(&rig.core, &told);
    return told;
}

static void say(const uint8_t *data, size_t size)
{
    while (size > 0) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t length = end == NULL ? size : (size_t)(end - data);
        if (length == 0) {
            rig_run(&rig, 1000);
        } else {
            core_on_message(&rig.core, (const char *)data, length);
        }
        rig_forget_sent(&rig);
        size -= end == NULL ? length : length + 1;
        data += end == NULL ? length : length + 1;
    }
}

static void store(const uint8_t *data, size_t size)
{
    struct rig_slot *slot = &rig.slots[CORE_SLOT_RECORD_A];
    if (size > CORE_RECORD_SIZE - RECORD_CHECK_SIZE) {
        return;
    }
    const struct core_bytes part = {data, size};
    memcpy(slot->bytes, data, size);
    rig.crypto.blake2b(NULL, &part, 1, (const uint8_t *)RIG_DEVICE, strlen(RIG_DEVICE), slot->bytes + size,
                       RECORD_CHECK_SIZE);
    slot->length = size + RECORD_CHECK_SIZE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    rig_init(&rig);
    rig_by_token(&rig);
    rig.identity.proof = data[0] % 4 == 2;
    if (data[0] % 2 != 0) {
        store(data + 1, size - 1);
    }
    rig_power_on(&rig);
    uint64_t seq = report().seq;
    if (seq < INT64_MAX) {
        rig_open_session(&rig, seq);
    }
    if (data[0] % 2 == 0) {
        say(data + 1, size - 1);
    }
    rig_run(&rig, 2000);
    struct core_report before = report();
    must(before.on == (before.remaining_ms > 0) && before.stored_ms <= before.remaining_ms);
    must(rig.screen.line_count >= 1 && rig.screen.line_count <= CORE_SCREEN_LINES);
    rig_power_on(&rig);
    struct core_report after = report();
    must(after.seq == before.seq && after.granted_s == before.granted_s);
    must(after.remaining_ms == before.stored_ms && after.config_version == before.config_version);
    return 0;
}
