#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"
#include "base/json.h"
#include "lib/recorded.h"
#include "verify/block.h"

static struct block read_good(const json_t *object)
{
    struct block block;
    char error[BLOCK_ERROR_SIZE];
    if (block_read(json_view_of_tree(object), &block, error) != CS_OK) {
        fail_msg("%s", error);
    }
    assert_string_equal(error, "");
    return block;
}

static void from_hex(const json_t *row, const char *key, uint8_t *bytes, size_t count)
{
    assert_true(hex_decode(json_text(row, key), bytes, count));
}

static void check_vectors(const char *name, size_t least)
{
    json_t *vectors = recorded_vectors(SOURCE_DIR), *row;
    size_t i;
    json_array_foreach(json_object_get(vectors, name), i, row)
    {
        uint8_t expected[32], key[32], hash[32];
        struct block block = read_good(json_object_get(row, "block"));
        from_hex(row, "hash", expected, sizeof(expected));
        from_hex(row, "key", key, sizeof(key));
        block_hash(&block, hash);
        assert_memory_equal(hash, expected, sizeof(hash));
        assert_true(block_signature_valid(hash, block.signature, key));
        json_t *again = block_to_json(&block);
        assert_true(json_equal(again, json_object_get(row, "block")));
        json_decref(again);
    }
    assert_true(i >= least);
    json_decref(vectors);
}

static void state_blocks_hash_and_verify_as_two_libraries_say(void **state)
{
    (void)state;
    check_vectors("state_blocks", 18);
}

static void legacy_blocks_hash_and_verify_as_they_were_signed(void **state)
{
    (void)state;
    check_vectors("legacy_blocks", 8);
}

static void a_signature_is_valid_exactly_when_a_node_says_so(void **state)
{
    (void)state;
    json_t *vectors = recorded_vectors(SOURCE_DIR), *row;
    size_t i, valid = 0;
    json_array_foreach(json_object_get(vectors, "signatures"), i, row)
    {
        uint8_t hash[32], signature[64], key[32];
        from_hex(row, "hash", hash, sizeof(hash));
        from_hex(row, "signature", signature, sizeof(signature));
        from_hex(row, "key", key, sizeof(key));
        bool expected = json_is_true(json_object_get(row, "valid"));
        if (block_signature_valid(hash, signature, key) != expected) {
            fail_msg("row %zu (%s) should be %s", i, json_text(row, "what"), expected ? "valid" : "invalid");
        }
        valid += expected;
    }
    assert_true(i > 300 && valid > 80);
    json_decref(vectors);
}

static void recorded_blocks_are_printed_as_the_node_printed_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < RECORDED_COUNT; i++) {
        json_t *callback = recorded_read(SOURCE_DIR, RECORDED[i].file);
        const char *text = json_text(callback, "block");
        char error[JSON_ERROR_SIZE], printed[2048];
        json_t *object = json_read(text, strlen(text), 1, error);
        struct block block = read_good(object);
        assert_int_equal(block.type, RECORDED[i].type);
        json_t *again = block_to_json(&block);
        char *dumped = json_dumps(again, JSON_INDENT(4));
        snprintf(printed, sizeof(printed), "%s\n", dumped);
        assert_string_equal(printed, text);
        free(dumped);
        json_decref(again);
        json_decref(object);
        json_decref(callback);
    }
}

static const char *const VECTOR_ARRAYS[] = {"state_blocks", "legacy_blocks"};

static void unpacking_gives_back_what_was_packed(void **state)
{
    (void)state;
    json_t *vectors = recorded_vectors(SOURCE_DIR), *row;
    for (size_t a = 0; a < 2; a++) {
        size_t i;
        json_array_foreach(json_object_get(vectors, VECTOR_ARRAYS[a]), i, row)
        {
            struct block block = read_good(json_object_get(row, "block")), back;
            uint8_t bytes[BLOCK_PACKED_SIZE];
            block_pack(&block, bytes);
            assert_int_equal(block_unpack(bytes, &back), CS_OK);
            json_t *again = block_to_json(&back);
            assert_true(json_equal(again, json_object_get(row, "block")));
            json_decref(again);
        }
    }
    json_decref(vectors);
}

static void unpacking_accepts_only_what_packing_makes(void **state)
{
    (void)state;
    json_t *vectors = recorded_vectors(SOURCE_DIR), *row;
    size_t i, refused = 0;
    json_array_foreach(json_object_get(vectors, "legacy_blocks"), i, row)
    {
        struct block block = read_good(json_object_get(row, "block")), back;
        uint8_t bytes[BLOCK_PACKED_SIZE], again[BLOCK_PACKED_SIZE];
        block_pack(&block, bytes);
        for (size_t at = 0; at < sizeof(bytes); at++) {
            for (int value = 0; value < 256; value += 17) {
                uint8_t kept = bytes[at];
                bytes[at] = (uint8_t)(kept ^ value);
                if (block_unpack(bytes, &back) == CS_OK) {
                    block_pack(&back, again);
                    assert_memory_equal(bytes, again, sizeof(bytes));
                } else {
                    refused++;
                }
                bytes[at] = kept;
            }
        }
    }
    assert_true(refused > 1000);
    json_decref(vectors);
}

static void the_packed_layout_never_changes(void **state)
{
    (void)state;
    struct block block = {.type = BLOCK_STATE,
                          .balance = {.high = 0x0102030405060708, .low = 0x090a0b0c0d0e0f10}};
    uint8_t bytes[BLOCK_PACKED_SIZE];
    memset(block.account, 0xa1, 32);
    memset(block.previous, 0xa2, 32);
    memset(block.representative, 0xa3, 32);
    memset(block.link, 0xa4, 32);
    memset(block.signature, 0xa5, 64);
    block.work = 0x1112131415161718;
    block_pack(&block, bytes);
    assert_int_equal(bytes[0], 6);
    for (size_t i = 0; i < 32; i++) {
        assert_int_equal(bytes[1 + i], 0xa1);
        assert_int_equal(bytes[33 + i], 0xa2);
        assert_int_equal(bytes[65 + i], 0xa3);
        assert_int_equal(bytes[113 + i], 0xa4);
        assert_int_equal(bytes[145 + i], 0xa5);
        assert_int_equal(bytes[177 + i], 0xa5);
    }
    for (size_t i = 0; i < 16; i++) {
        assert_int_equal(bytes[97 + i], i + 1);
    }
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(bytes[209 + i], 0x11 + i);
    }
}

/* `object` must be refused with a reason that names `field`. */
static void refuse(const json_t *object, enum cs_err expected, const char *field)
{
    struct block block;
    char error[BLOCK_ERROR_SIZE], quoted[64];
    snprintf(quoted, sizeof(quoted), "`%s`", field);
    assert_int_equal(block_read(json_view_of_tree(object), &block, error), expected);
    if (strstr(error, quoted) == NULL) {
        fail_msg("the reason does not name %s: %s", quoted, error);
    }
}

static void every_missing_or_mistyped_field_is_named(void **state)
{
    (void)state;
    json_t *vectors = recorded_vectors(SOURCE_DIR), *row, *value;
    for (size_t a = 0; a < 2; a++) {
        size_t i;
        json_array_foreach(json_object_get(vectors, VECTOR_ARRAYS[a]), i, row)
        {
            const json_t *good = json_object_get(row, "block");
            const char *key;
            json_object_foreach(json_object_get(row, "block"), key, value)
            {
                json_t *bad = json_copy(json_object_get(row, "block"));
                json_object_del(bad, key);
                if (strcmp(key, "link_as_account") == 0) {
                    read_good(bad);
                } else {
                    refuse(bad, CS_EINVAL, key);
                }
                json_object_set_new(bad, key, json_integer(1));
                refuse(bad, CS_EINVAL, key);
                json_object_set_new(bad, key, json_null());
                refuse(bad, CS_EINVAL, key);
                json_object_set_new(bad, key, json_string(""));
                refuse(bad, CS_EINVAL, key);
                json_object_set_new(bad, key, json_sprintf("%s0", json_text(good, key)));
                if (strcmp(key, "balance") != 0 || strlen(json_text(good, key)) == 32) {
                    refuse(bad, CS_EINVAL, key);
                }
                json_decref(bad);
            }
        }
    }
    json_decref(vectors);
}

static void a_contradicting_link_is_refused_and_strange_fields_are_not(void **state)
{
    (void)state;
    json_t *callback = recorded_read(SOURCE_DIR, "callback-002.raw");
    json_t *object = json_loads(json_text(callback, "block"), 0, NULL);
    json_object_set_new(object, "subtype", json_string("send"));
    json_object_set_new(object, "hash", json_integer(3));
    read_good(object);
    json_object_set(object, "link_as_account", json_object_get(object, "account"));
    refuse(object, CS_ECONFLICT, "link_as_account");
    json_object_set_new(object, "type", json_string("State"));
    refuse(object, CS_EINVAL, "type");
    json_t *array = json_array();
    struct block block;
    char error[BLOCK_ERROR_SIZE];
    assert_int_equal(block_read(json_view_of_tree(array), &block, error), CS_EINVAL);
    assert_int_equal(block_read(json_view_of_tree(NULL), &block, error), CS_EINVAL);
    json_decref(array);
    json_decref(object);
    json_decref(callback);
}

static void every_flipped_bit_of_a_recorded_signature_is_found(void **state)
{
    (void)state;
    json_t *callback = recorded_read(SOURCE_DIR, "callback-003.raw");
    json_t *object = json_loads(json_text(callback, "block"), 0, NULL);
    struct block block = read_good(object);
    uint8_t hash[32];
    block_hash(&block, hash);
    assert_true(block_signature_valid(hash, block.signature, block.account));
    for (size_t bit = 0; bit < 512; bit++) {
        block.signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(block_signature_valid(hash, block.signature, block.account));
        block.signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t bit = 0; bit < 256; bit++) {
        hash[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(block_signature_valid(hash, block.signature, block.account));
        hash[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    json_decref(object);
    json_decref(callback);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_blocks_hash_and_verify_as_two_libraries_say),
        cmocka_unit_test(legacy_blocks_hash_and_verify_as_they_were_signed),
        cmocka_unit_test(a_signature_is_valid_exactly_when_a_node_says_so),
        cmocka_unit_test(recorded_blocks_are_printed_as_the_node_printed_them),
        cmocka_unit_test(unpacking_gives_back_what_was_packed),
        cmocka_unit_test(unpacking_accepts_only_what_packing_makes),
        cmocka_unit_test(the_packed_layout_never_changes),
        cmocka_unit_test(every_missing_or_mistyped_field_is_named),
        cmocka_unit_test(a_contradicting_link_is_refused_and_strange_fields_are_not),
        cmocka_unit_test(every_flipped_bit_of_a_recorded_signature_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
