#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "delivery/moves.h"

/* The diagram of moves.h, written down a second time: rows from, columns to. */
static const char *const DIAGRAM[DELIVERY_STATE_COUNT] = {
    /*                       stored sent acked actuated refused expired */
    [DELIVERY_STORED] = "-x---x",   [DELIVERY_SENT] = "--xxx-",    [DELIVERY_ACKED] = "---xx-",
    [DELIVERY_ACTUATED] = "------", [DELIVERY_REFUSED] = "------", [DELIVERY_EXPIRED] = "------",
};

static void the_moves_are_those_of_the_diagram(void **state)
{
    (void)state;
    for (int from = 0; from < DELIVERY_STATE_COUNT; from++) {
        for (int to = 0; to < DELIVERY_STATE_COUNT; to++) {
            assert_int_equal(delivery_move_allowed((enum delivery_state)from, (enum delivery_state)to),
                             DIAGRAM[from][to] == 'x');
        }
    }
}

static void a_state_is_final_when_no_move_leaves_it(void **state)
{
    (void)state;
    for (int from = 0; from < DELIVERY_STATE_COUNT; from++) {
        bool leaves = false;
        for (int to = 0; to < DELIVERY_STATE_COUNT; to++) {
            leaves = leaves || delivery_move_allowed((enum delivery_state)from, (enum delivery_state)to);
        }
        assert_int_equal(delivery_state_final((enum delivery_state)from), !leaves);
    }
}

static void names_are_read_as_they_are_written(void **state)
{
    (void)state;
    for (int each = 0; each < DELIVERY_STATE_COUNT; each++) {
        enum delivery_state read;
        assert_true(delivery_state_parse(delivery_state_text((enum delivery_state)each), &read));
        assert_int_equal(read, each);
    }
    enum delivery_state read;
    assert_false(delivery_state_parse("", &read));
    assert_false(delivery_state_parse("Sent", &read));
    assert_false(delivery_state_parse("sent ", &read));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_moves_are_those_of_the_diagram),
        cmocka_unit_test(a_state_is_final_when_no_move_leaves_it),
        cmocka_unit_test(names_are_read_as_they_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
