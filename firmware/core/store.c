#include "core/store.h"

#include <string.h>

#include "core/memory.h"
#include "core/record.h"

#define STORE_RETRY_MS 5000

static enum core_slot other(enum core_slot slot)
{
    switch (slot) {
    case CORE_SLOT_RECORD_A:
        return CORE_SLOT_RECORD_B;
    case CORE_SLOT_RECORD_B:
        return CORE_SLOT_RECORD_A;
    case CORE_SLOT_MARK_A:
        return CORE_SLOT_MARK_B;
    case CORE_SLOT_MARK_B:
        return CORE_SLOT_MARK_A;
    }
    return slot;
}

static size_t load(struct core *core, enum core_slot slot)
{
    uint8_t *bytes = core->scratch.bytes;
    size_t length = core->port->load(core->port->context, slot, bytes, CORE_RECORD_SIZE);
    return length <= CORE_RECORD_SIZE ? length : 0;
}

/* Loads the slot into scratch; 0 when it holds no record of this device. */
static size_t load_record(struct core *core, enum core_slot slot, uint32_t *generation)
{
    size_t length = load(core, slot);
    return core_record_is_whole(core->crypto, core->identity.device, core->scratch.bytes, length, generation)
               ? length
               : 0;
}

/* A mark only ever takes off. Where both belong to the record, the later one has less. */
static void apply_marks(struct core *core)
{
    uint64_t most_ms = core->memory.stored_ms, stored_ms;
    core->store.mark = CORE_SLOT_MARK_B;
    for (enum core_slot slot = CORE_SLOT_MARK_A; slot <= CORE_SLOT_MARK_B; slot++) {
        size_t length = load(core, slot);
        if (core_mark_decode(core->crypto, core->store.check, core->scratch.bytes, length, &stored_ms) &&
            stored_ms < most_ms) {
            most_ms = stored_ms;
            core->store.mark = slot;
        }
    }
    core->memory.stored_ms = most_ms;
}

/* Generations count up and may wrap: the newer of two is less than half the circle ahead. */
static bool is_newer(uint32_t generation, uint32_t than)
{
    return generation - than - 1 < UINT32_MAX / 2;
}

static bool take_record(struct core *core, enum core_slot slot)
{
    uint32_t generation;
    size_t length = load_record(core, slot, &generation);
    if (length == 0 || !core_record_decode(&core->memory, core->scratch.bytes, length)) {
        return false;
    }
    core->store.record = slot;
    core->store.generation = generation;
    memcpy(core->store.check, core->scratch.bytes + length - RECORD_CHECK_SIZE, RECORD_CHECK_SIZE);
    apply_marks(core);
    return true;
}

bool core_store_load(struct core *core)
{
    uint32_t a = 0, b = 0;
    bool has_a = load_record(core, CORE_SLOT_RECORD_A, &a) > 0,
         has_b = load_record(core, CORE_SLOT_RECORD_B, &b) > 0;
    enum core_slot first = has_b && (!has_a || is_newer(b, a)) ? CORE_SLOT_RECORD_B : CORE_SLOT_RECORD_A;
    core_memory_init(&core->memory);
    core->store.generation = 0;
    core->store.record = CORE_SLOT_RECORD_B;
    core->store.mark = CORE_SLOT_MARK_B;
    return take_record(core, first) || take_record(core, other(first));
}

/* What the store says is what counts: a write that failed may have happened all the same. */
static void fall_back(struct core *core)
{
    uint64_t granted_s = core->memory.granted_s;
    bool had_one = core->store.generation != 0;
    core->store.lost = !core_store_load(core) && had_one;
    if (!core->store.lost && core->memory.granted_s > granted_s) {
        core->remaining_ms += 1000 * (core->memory.granted_s - granted_s);
    }
}

bool core_store_save(struct core *core, uint64_t credit_ms)
{
    struct core_memory *memory = &core->memory;
    enum core_slot slot = other(core->store.record);
    uint64_t remaining_ms = core->remaining_ms + credit_ms;
    memory->granted_s += credit_ms / 1000;
    memory->stored_ms = remaining_ms > CORE_SPAN_MS ? remaining_ms - CORE_SPAN_MS : 0;
    size_t length = core_record_encode(memory, core->crypto, core->identity.device,
                                       core->store.generation + 1, core->scratch.bytes);
    if (!core->port->save(core->port->context, slot, core->scratch.bytes, length)) {
        core->store.failing = true;
        core->store.failures++;
        memory->granted_s -= credit_ms / 1000;
        fall_back(core);
        return false;
    }
    core->store.failing = false;
    core->store.generation++;
    core->store.record = slot;
    memcpy(core->store.check, core->scratch.bytes + length - RECORD_CHECK_SIZE, RECORD_CHECK_SIZE);
    core->remaining_ms = remaining_ms;
    return true;
}

void core_store_book(struct core *core)
{
    struct core_memory *memory = &core->memory;
    uint8_t mark[CORE_MARK_SIZE];
    if (memory->stored_ms == 0 || core->remaining_ms > memory->stored_ms + CORE_TICK_MOST_MS ||
        core->store.wait_ms > 0) {
        return;
    }
    uint64_t stored_ms = core->remaining_ms > CORE_SPAN_MS ? core->remaining_ms - CORE_SPAN_MS : 0;
    enum core_slot slot = other(core->store.mark);
    core_mark_encode(core->crypto, core->store.check, stored_ms, mark);
    if (!core->port->save(core->port->context, slot, mark, sizeof(mark))) {
        /* Who has paid is served; until a write succeeds, nobody new is. */
        core->store.failing = true;
        core->store.failures++;
        core->store.wait_ms = STORE_RETRY_MS;
        return;
    }
    core->store.mark = slot;
    memory->stored_ms = stored_ms;
}
