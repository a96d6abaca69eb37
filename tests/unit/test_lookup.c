#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/lookup.h"

#define ENTRIES 1000

static int entries[ENTRIES];

static bool is(const void *entry, const void *key)
{
    return *(const int *)entry == *(const int *)key;
}

static void add_all(struct lookup *lookup, uint64_t (*hash)(int key))
{
    for (int i = 0; i < ENTRIES; i++) {
        entries[i] = i;
        lookup_add(lookup, hash(i), &entries[i]);
    }
}

/* That those from `first` on in steps of `step` are there, and the others are not. */
static void assert_there(const struct lookup *lookup, uint64_t (*hash)(int key), int first, int step)
{
    for (int i = 0; i < ENTRIES; i++) {
        const int *found = lookup_find(lookup, hash(i), is, &i);
        bool expected = i >= first && (i - first) % step == 0;
        assert_ptr_equal(found, expected ? &entries[i] : NULL);
    }
}

static uint64_t spread(int key)
{
    return (uint64_t)key * 0x9e3779b97f4a7c15u;
}

/* All begin within eight neighbouring slots, around the end of the table where they go on at its beginning. */
static uint64_t crowded(int key)
{
    return UINT64_MAX - 3 + (uint64_t)(key % 8);
}

static void put_in_and_take_out(uint64_t (*hash)(int key))
{
    struct lookup lookup = {0};
    int absent = 0;
    assert_null(lookup_find(&lookup, hash(0), is, &absent));
    add_all(&lookup, hash);
    assert_int_equal(lookup.count, ENTRIES);
    assert_there(&lookup, hash, 0, 1);
    for (int i = 0; i < ENTRIES; i += 2) {
        lookup_remove(&lookup, hash(i), &entries[i]);
    }
    assert_int_equal(lookup.count, ENTRIES / 2);
    assert_there(&lookup, hash, 1, 2);
    for (int i = 0; i < ENTRIES; i += 2) {
        lookup_add(&lookup, hash(i), &entries[i]);
    }
    assert_there(&lookup, hash, 0, 1);
    for (int i = 0; i < ENTRIES; i++) {
        lookup_remove(&lookup, hash(i), &entries[i]);
    }
    assert_there(&lookup, hash, ENTRIES, 1);
    lookup_fini(&lookup);
}

static void what_was_put_in_is_found_until_it_is_taken_out(void **state)
{
    (void)state;
    put_in_and_take_out(spread);
}

static void entries_that_want_the_same_place_are_told_apart(void **state)
{
    (void)state;
    put_in_and_take_out(crowded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_in_is_found_until_it_is_taken_out),
        cmocka_unit_test(entries_that_want_the_same_place_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
