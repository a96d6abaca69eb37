#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hex.h"
#include "base/json.h"
#include "lib/recorded.h"
#include "payment/address.h"

static const char GOOD[] = "nano_3e3j5tkog48pnny9dmfzj1r16pg8t1e76dz5tmac6iq689wyjfpiij4txtdo";

static void every_prefix_is_read_and_the_present_one_written(void **state)
{
    (void)state;
    json_t *vectors = recorded_vectors(SOURCE_DIR), *row;
    size_t i;
    json_array_foreach(json_object_get(vectors, "addresses"), i, row)
    {
        struct address address;
        uint8_t key[32];
        char text[ADDRESS_TEXT_SIZE];
        assert_true(hex_decode(json_text(row, "key"), key, sizeof(key)));
        assert_true(address_parse(CHAIN_NANO, json_text(row, "text"), &address));
        assert_int_equal(address.length, sizeof(key));
        assert_memory_equal(address.bytes, key, sizeof(key));
        address_format(&address, text);
        assert_string_equal(text, json_text(row, "canonical"));
        struct address from_key = address_from_nano_key(key);
        assert_memory_equal(&address, &from_key, sizeof(address));
    }
    assert_true(i > 50);
    json_decref(vectors);
}

static void what_is_no_address_is_refused(void **state)
{
    (void)state;
    json_t *vectors = recorded_vectors(SOURCE_DIR), *row;
    size_t i;
    json_array_foreach(json_object_get(vectors, "not_addresses"), i, row)
    {
        struct address address;
        if (address_parse(CHAIN_NANO, json_text(row, "text"), &address)) {
            fail_msg("accepted, though %s: %s", json_text(row, "why"), json_text(row, "text"));
        }
    }
    assert_true(i > 30);
    json_decref(vectors);
}

static void no_other_character_at_any_place_passes(void **state)
{
    (void)state;
    struct address address;
    char text[sizeof(GOOD)];
    for (size_t i = 0; i < sizeof(GOOD) - 1; i++) {
        for (int c = 0; c < 256; c++) {
            memcpy(text, GOOD, sizeof(GOOD));
            text[i] = (char)c;
            bool same = text[i] == GOOD[i] || (i == 4 && c == '-');
            assert_int_equal(address_parse(CHAIN_NANO, text, &address), same);
        }
    }
}

static void two_spellings_are_one_address(void **state)
{
    (void)state;
    struct address a, b, c;
    char other[sizeof(GOOD)] = "xrb-";
    strcpy(other + 4, GOOD + 5);
    assert_true(address_parse(CHAIN_NANO, GOOD, &a));
    assert_true(address_parse(CHAIN_NANO, other, &b));
    assert_true(address_equal(&a, &b));
    assert_memory_equal(&a, &b, sizeof(a));
    c = b;
    c.bytes[31] ^= 1;
    assert_false(address_equal(&a, &c));
    c = b;
    c.chain = 0;
    assert_false(address_equal(&a, &c));
    c = b;
    c.length = 0;
    assert_false(address_equal(&a, &c));
}

static void a_chain_goes_by_its_name(void **state)
{
    (void)state;
    enum chain chain;
    assert_true(chain_parse("nano", &chain));
    assert_int_equal(chain, CHAIN_NANO);
    assert_string_equal(chain_text(chain), "nano");
    assert_false(chain_parse("Nano", &chain));
    assert_false(chain_parse("", &chain));
    assert_false(chain_parse("evrmore", &chain));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_prefix_is_read_and_the_present_one_written),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(no_other_character_at_any_place_passes),
        cmocka_unit_test(two_spellings_are_one_address),
        cmocka_unit_test(a_chain_goes_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
