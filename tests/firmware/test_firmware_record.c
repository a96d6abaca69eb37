/* The record and its marks: every byte of it counts, and what is not whole is not taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/memory.h"
#include "core/record.h"
#include "core/screen.h"
#include "core/tariff.h"
#include "core/text.h"
#include "firmware/rig.h"
#include "firmware/toy_crypto.h"

static struct rig rig;
static struct core_memory memory, again;
static uint8_t bytes[CORE_RECORD_SIZE];

static void fill(struct core_memory *full)
{
    struct core_known known = {{0}, 600};
    core_memory_init(full);
    strcpy(full->epoch, RIG_EPOCH);
    full->seq = INT64_MAX;
    full->granted_s = 123456;
    full->stored_ms = 7000;
    struct core_config *configs[] = {&full->current, &full->before};
    for (unsigned i = 0; i < 2; i++) {
        struct core_config *config = configs[i];
        config->version = UINT64_MAX - i;
        config->has_tariff = config->has_late = true;
        config->address_count = CORE_ADDRESSES_MOST;
        memset(config->addresses, 0x11, sizeof(config->addresses));
        config->tariff = (struct core_tariff){
            .count = CORE_STEPS_MOST, .cap_s = 7200, .late_after_s = -1, .minimum = {1, 2}};
        for (unsigned step = 0; step < CORE_STEPS_MOST; step++) {
            config->tariff.steps[step] = (struct core_step){{step, 1}, step + 1};
        }
    }
    for (unsigned i = 0; i < CORE_GRANTED_KEPT + 5; i++) {
        known.key[0] = (uint8_t)i;
        known.key[1] = (uint8_t)(i >> 8);
        core_memory_know(full, known.key, i + 1);
        core_memory_know(full, known.key, CORE_VALUE_REFUSED | CORE_TOO_LATE);
        core_memory_keep_outcome(full, i + 1, i);
    }
}

static size_t encode(const struct core_memory *from, uint32_t generation)
{
    return core_record_encode(from, &TOY_CRYPTO, RIG_DEVICE, generation, bytes);
}

static bool is_whole(size_t length)
{
    uint32_t generation;
    return core_record_is_whole(&TOY_CRYPTO, RIG_DEVICE, bytes, length, &generation);
}

static void the_fullest_record_fits_and_comes_back(void **state)
{
    (void)state;
    uint32_t generation = 0, value = 0;
    fill(&memory);
    size_t length = encode(&memory, 77);
    assert_int_equal(length, 17813);
    assert_true(core_record_is_whole(&TOY_CRYPTO, RIG_DEVICE, bytes, length, &generation));
    assert_int_equal(generation, 77);
    assert_true(core_record_decode(&again, bytes, length));
    static uint8_t first[CORE_RECORD_SIZE];
    memcpy(first, bytes, length);
    assert_int_equal(encode(&again, 77), length);
    assert_memory_equal(first, bytes, length);
    uint8_t key[CORE_PAYMENT_KEY] = {5};
    assert_true(core_memory_find(&again, key, &value) && value == 6);
    key[0] = 4;
    assert_false(core_memory_find(&again, key, &value)); /* it made room */
}

static void a_record_that_is_cut_short_or_changed_is_not_whole(void **state)
{
    (void)state;
    fill(&memory);
    memory.granted.count = memory.refused.count = 3;
    size_t length = encode(&memory, 1);
    for (size_t shorter = 0; shorter < length; shorter++) {
        assert_false(is_whole(shorter));
    }
    for (size_t at = 0; at < length; at++) {
        bytes[at] ^= 0x10;
        assert_false(is_whole(length));
        bytes[at] ^= 0x10;
    }
    assert_true(is_whole(length));
    uint32_t generation;
    assert_false(core_record_is_whole(&TOY_CRYPTO, "dev_another", bytes, length, &generation));
}

/* What is whole by its checksum and says what cannot be, by a fault of ours: it is not taken, and nothing is read past its end. */
static void a_record_that_says_what_cannot_be_is_not_taken(void **state)
{
    (void)state;
    core_memory_init(&memory);
    memory.current.version = 1;
    memory.current.has_tariff = true;
    memory.current.tariff =
        (struct core_tariff){.steps = {{{0, 1}, 1}}, .count = 1, .cap_s = 1, .late_after_s = 3};
    size_t length = encode(&memory, 1);
    assert_true(core_record_decode(&again, bytes, length));
    assert_int_equal(again.current.tariff.late_after_s, 3);
    unsigned refused = 0;
    for (size_t at = 0; at < length - RECORD_CHECK_SIZE; at++) {
        for (unsigned value = 0; value < 256; value += 51) {
            uint8_t was = bytes[at];
            bytes[at] = (uint8_t)value;
            refused += !core_record_decode(&again, bytes, length);
            bytes[at] = was;
        }
    }
    assert_in_range(refused, 50, 1000);
    for (size_t shorter = 8 + RECORD_CHECK_SIZE; shorter < length; shorter++) {
        assert_false(core_record_decode(&again, bytes, shorter));
        assert_int_equal(again.seq, 0);
    }
    strcpy(memory.epoch, "short");
    length = encode(&memory, 1);
    assert_false(core_record_decode(&again, bytes, length));
}

static void a_mark_belongs_to_one_record(void **state)
{
    (void)state;
    uint8_t mark[CORE_MARK_SIZE], check[RECORD_CHECK_SIZE] = {1}, other[RECORD_CHECK_SIZE] = {2};
    uint64_t stored_ms = 0;
    core_mark_encode(&TOY_CRYPTO, check, 12345678901234, mark);
    assert_true(core_mark_decode(&TOY_CRYPTO, check, mark, sizeof(mark), &stored_ms));
    assert_true(stored_ms == 12345678901234);
    assert_false(core_mark_decode(&TOY_CRYPTO, other, mark, sizeof(mark), &stored_ms));
    assert_false(core_mark_decode(&TOY_CRYPTO, check, mark, sizeof(mark) - 1, &stored_ms));
    mark[20] ^= 1;
    assert_false(core_mark_decode(&TOY_CRYPTO, check, mark, sizeof(mark), &stored_ms));
}

static struct core_report report(void)
{
    struct core_report told;
    core_report(&rig.core, &told);
    return told;
}

static void of_two_records_the_newer_one_is_taken_though_their_number_wraps(void **state)
{
    (void)state;
    rig_init(&rig);
    core_memory_init(&memory);
    for (int which = 0; which < 2; which++) {
        struct rig_slot *newer = &rig.slots[which], *older = &rig.slots[1 - which];
        memory.seq = 8;
        newer->length = encode(&memory, 3);
        memcpy(newer->bytes, bytes, newer->length);
        memory.seq = 7;
        older->length = encode(&memory, UINT32_MAX - 2);
        memcpy(older->bytes, bytes, older->length);
        rig_power_on(&rig);
        assert_int_equal(report().seq, 8);
        newer->bytes[20] ^= 1; /* flash that has gone bad */
        rig_power_on(&rig);
        assert_int_equal(report().seq, 7);
    }
}

static void a_whole_record_of_another_layout_leaves_the_one_before(void **state)
{
    (void)state;
    rig_init(&rig);
    core_memory_init(&memory);
    memory.seq = 7;
    rig.slots[0].length = encode(&memory, 1);
    memcpy(rig.slots[0].bytes, bytes, rig.slots[0].length);
    size_t length = encode(&memory, 2);
    bytes[3]++;
    const struct core_bytes part = {bytes, length - RECORD_CHECK_SIZE};
    TOY_CRYPTO.blake2b(NULL, &part, 1, (const uint8_t *)RIG_DEVICE, strlen(RIG_DEVICE),
                       bytes + length - RECORD_CHECK_SIZE, 8);
    memcpy(rig.slots[1].bytes, bytes, length);
    rig.slots[1].length = length;
    rig_power_on(&rig);
    assert_int_equal(report().seq, 7);
}

/* ---- the parts under it ------------------------------------------------------------------------------------------------ */

static void times_and_amounts_read_well(void **state)
{
    (void)state;
    static const struct {
        uint32_t seconds;
        const char *duration, *countdown;
    } TIMES[] = {{0, "", "0:00"},
                 {1, "1 s", "0:01"},
                 {60, "1 min", "1:00"},
                 {90, "1 min 30 s", "1:30"},
                 {3600, "1 h", "1:00:00"},
                 {3601, "1 h", "1:00:01"},
                 {3660, "1 h 1 min", "1:01:00"},
                 {90061, "1 d 1 h", "25:01:01"},
                 {86460, "1 d", "24:01:00"},
                 {2147483647, "24855 d 3 h", "596523:14:07"}};
    static const struct {
        const char *raw, *text;
    } AMOUNTS[] = {{"0", "0"},
                   {"1", "0.000001"},
                   {"1000000000000000000000000", "0.000001"},
                   {"1000000000000000000000001", "0.000002"},
                   {"999999999999999999999999999999", "1"},
                   {"20000000000000000000000000000", "0.02"},
                   {"1500000000000000000000000000000", "1.5"},
                   {"340282366920938463463374607431768211455", "340282366.920938"}};
    char text[AMOUNT_NANO_SIZE];
    for (size_t i = 0; i < sizeof(TIMES) / sizeof(TIMES[0]); i++) {
        core_screen_duration(TIMES[i].seconds, text);
        assert_string_equal(text, TIMES[i].duration);
        core_screen_countdown(TIMES[i].seconds, text);
        assert_string_equal(text, TIMES[i].countdown);
    }
    for (size_t i = 0; i < sizeof(AMOUNTS) / sizeof(AMOUNTS[0]); i++) {
        struct amount amount = {0, 0};
        assert_true(amount_parse_raw(AMOUNTS[i].raw, &amount));
        core_screen_amount(amount, text);
        assert_string_equal(text, AMOUNTS[i].text);
    }
}

static void the_least_amount_is_the_least_that_is_granted(void **state)
{
    (void)state;
    static const uint64_t MINIMA[] = {0, 1, 5, 6, 7, 50, 99, 100, 101, 250};
    for (size_t i = 0; i < sizeof(MINIMA) / sizeof(MINIMA[0]); i++) {
        struct core_tariff tariff = {.steps = {{{0, 100}, 17}, {{0, 200}, 40}},
                                     .count = 2,
                                     .minimum = {0, MINIMA[i]},
                                     .cap_s = 1000,
                                     .late_after_s = -1};
        struct amount least = core_tariff_least(&tariff), below = {0, least.low - 1};
        uint32_t seconds;
        assert_int_equal(core_tariff_price(&tariff, least, 0, &seconds), CORE_GRANTED);
        assert_int_equal(core_tariff_price(&tariff, below, 0, &seconds), CORE_BELOW_MINIMUM);
    }
    struct core_tariff huge = {
        .steps = {{{UINT64_MAX, UINT64_MAX}, 2}}, .count = 1, .minimum = {0, 1}, .cap_s = 1};
    struct amount half = core_tariff_least(&huge);
    assert_true(half.high == (uint64_t)1 << 63 && half.low == 0);
}

static void tariffs_that_cannot_be_are_refused(void **state)
{
    (void)state;
    const struct core_tariff good = {
        .steps = {{{0, 1}, 1}, {{0, 2}, 2}}, .count = 2, .cap_s = 1, .late_after_s = -1};
    struct core_tariff bad = good;
    assert_true(core_tariff_settle(&bad));
    bad.count = CORE_STEPS_MOST + 1;
    assert_false(core_tariff_settle(&bad));
    bad = good;
    bad.cap_s = (uint32_t)CORE_SECONDS_MOST + 1;
    assert_false(core_tariff_settle(&bad));
    bad = good;
    bad.late_after_s = -2;
    assert_false(core_tariff_settle(&bad));
    bad = good;
    bad.steps[1].seconds = (uint32_t)CORE_SECONDS_MOST + 1;
    assert_false(core_tariff_settle(&bad));
    bad = good;
    bad.steps[1].amount = bad.steps[0].amount;
    assert_false(core_tariff_settle(&bad));
}

static void reasons_and_words_are_words(void **state)
{
    (void)state;
    for (int reason = CORE_GRANTED; reason <= CORE_PROOF_WRONG; reason++) {
        const char *text = core_reason_text((enum core_reason)reason);
        assert_true(strlen(text) > 3 && strlen(text) <= 32 &&
                    strspn(text, "abcdefghijklmnopqrstuvwxyz_") == strlen(text));
    }
    char word[5];
    core_text_copy_word(word, sizeof(word), "a_1 b");
    assert_string_equal(word, "a_1?");
    core_text_copy_word(word, sizeof(word), "{:~A");
    assert_string_equal(word, "????");
    uint8_t byte;
    assert_true(core_text_hex_decode("aF", 2, false, &byte, 1) && byte == 0xaf);
    assert_false(core_text_hex_decode("aG", 2, false, &byte, 1));
    assert_false(core_text_hex_decode("/0", 2, false, &byte, 1));
    assert_false(core_text_hex_decode("0:", 2, false, &byte, 1));
    assert_false(core_text_hex_decode("`0", 2, false, &byte, 1));
    assert_false(core_text_hex_decode("g0", 2, false, &byte, 1));
    assert_false(core_text_hex_decode("@0", 2, false, &byte, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fullest_record_fits_and_comes_back),
        cmocka_unit_test(a_record_that_is_cut_short_or_changed_is_not_whole),
        cmocka_unit_test(a_record_that_says_what_cannot_be_is_not_taken),
        cmocka_unit_test(a_mark_belongs_to_one_record),
        cmocka_unit_test(of_two_records_the_newer_one_is_taken_though_their_number_wraps),
        cmocka_unit_test(a_whole_record_of_another_layout_leaves_the_one_before),
        cmocka_unit_test(times_and_amounts_read_well),
        cmocka_unit_test(the_least_amount_is_the_least_that_is_granted),
        cmocka_unit_test(tariffs_that_cannot_be_are_refused),
        cmocka_unit_test(reasons_and_words_are_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
