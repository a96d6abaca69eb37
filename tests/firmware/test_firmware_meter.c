/* What a driver sees, and what becomes of a payment: docs/firmware.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "firmware/rig.h"

static struct rig rig;

#define NANO_0_01 "10000000000000000000000000000"
#define NANO_0_03 "30000000000000000000000000000"
#define NANO_0_1  "100000000000000000000000000000"
#define PRICES    "prices: Scan to pay / 0.03 = 1 min / 0.1 = 10 min / at most 2 h [qr]"

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    return 0;
}

static struct core_report report(void)
{
    struct core_report told;
    core_report(&rig.core, &told);
    return told;
}

static void open_meter(void)
{
    rig_power_on(&rig);
    rig_open_session(&rig, 0);
}

/* ---- the driver's way ------------------------------------------------------------------------------------------------ */

static void a_driver_pays_tops_up_and_is_told_the_time_left(void **state)
{
    (void)state;
    rig_power_on(&rig);
    assert_string_equal(rig_screen(&rig), "starting: Please wait");
    rig_open_session(&rig, 0);
    assert_string_equal(rig_screen(&rig), PRICES);
    assert_string_equal(rig.screen.qr, "nano:" RIG_ACCOUNT "?amount=" NANO_0_03);
    assert_false(rig.on);

    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 2);
    assert_true(rig.on);
    assert_string_equal(rig_screen(&rig), "paid: Paid / 10:00 [qr]");
    rig_run(&rig, 1000);
    assert_string_equal(rig_screen(&rig), "paid: Paid / 9:59 [qr]");
    rig_run(&rig, 59000);
    assert_string_equal(rig_screen(&rig), "paid: Paid / 9:00 [qr]");

    rig_say_payment(&rig, 2, 1, 2, NANO_0_03, 2);
    assert_string_equal(rig_screen(&rig), "paid: Paid / 10:00 / +1:00 [qr]");
    rig_run(&rig, 5000);
    assert_string_equal(rig_screen(&rig), "paid: Paid / 9:55 [qr]");
    rig_run(&rig, 594750);
    assert_true(rig.on);
    assert_string_equal(rig_screen(&rig), "paid: Paid / 0:01 [qr]");
    rig_run(&rig, 250);
    assert_false(rig.on);
    assert_string_equal(rig_screen(&rig), PRICES);
    assert_int_equal(rig.ran_ms, 660000);
}

static void not_enough_says_how_much_was_missing_and_asks_for_the_right_amount(void **state)
{
    (void)state;
    open_meter();
    rig_say_payment(&rig, 1, 1, 1, NANO_0_01, 2);
    assert_string_equal(rig_screen(&rig),
                        "not enough: Not enough / 0.02 more / Pay 0.03 at once / Ask for your money [qr]");
    assert_string_equal(rig.screen.qr, "nano:" RIG_ACCOUNT "?amount=" NANO_0_03);
    assert_true(rig_has_sent(&rig, "{\"type\":\"refused\",\"seq\":1,\"reason\":\"below_minimum\""));
    assert_false(rig.on);
    rig_run(&rig, 15000);
    assert_string_equal(rig_screen(&rig), PRICES);
}

static void dont_pay_now_when_the_relay_says_so_or_is_gone(void **state)
{
    (void)state;
    open_meter();
    rig_say_state(&rig, false);
    assert_string_equal(rig_screen(&rig), "dont pay: Don't pay now / Payments are delayed");
    rig_say_state(&rig, true);
    assert_string_equal(rig_screen(&rig), PRICES);
    rig_disconnect(&rig, 0);
    assert_string_equal(rig_screen(&rig), "dont pay: Don't pay now / No connection");
    rig_open_session(&rig, 0);
    assert_string_equal(rig_screen(&rig), PRICES);
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 2);
    rig_disconnect(&rig, 1001);
    assert_string_equal(rig_screen(&rig), "paid: Paid / 10:00 / Don't pay now");
    assert_true(rig.on);
}

static void a_meter_that_never_connects_stops_asking_to_wait(void **state)
{
    (void)state;
    rig_power_on(&rig);
    rig_run(&rig, 9750);
    assert_string_equal(rig_screen(&rig), "starting: Please wait");
    rig_run(&rig, 250);
    assert_string_equal(rig_screen(&rig), "dont pay: Don't pay now / No connection");
}

static void without_an_address_nobody_is_asked_to_pay(void **state)
{
    (void)state;
    rig_power_on(&rig);
    rig_connect(&rig);
    rig_say_challenge(&rig, RIG_EPOCH);
    rig_say_welcome(&rig, 0, 0, NULL);
    rig_say_state(&rig, true);
    assert_string_equal(rig_screen(&rig), "dont pay: Don't pay now / Not set up yet");
    rig_say_sealed(&rig,
                   "{\"type\":\"config\",\"version\":1,\"config\":{\"addresses\":[\"" RIG_ACCOUNT "\"]}}");
    assert_string_equal(rig_screen(&rig), "prices: Scan to pay / 0.001 = 6 s [qr]");
}

static void a_payment_that_came_too_late_is_refused_and_says_so(void **state)
{
    (void)state;
    open_meter();
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 900);
    assert_true(rig.on);
    rig_say_payment(&rig, 2, 1, 2, NANO_0_1, 901);
    assert_string_equal(rig_screen(&rig), "too late: Payment came too late / Ask for your money [qr]");
    assert_true(rig_has_sent(&rig, "{\"type\":\"refused\",\"seq\":2,\"reason\":\"too_late\""));
    assert_int_equal(report().remaining_ms, 600000);
}

static void of_many_steps_the_first_three_and_the_highest_are_shown(void **state)
{
    (void)state;
    open_meter();
    rig_say_sealed(&rig,
                   "{\"type\":\"config\",\"version\":2,\"config\":{\"addresses\":[\"" RIG_ACCOUNT
                   "\"],\"tariff\":{"
                   "\"steps\":[{\"amount\":\"5000000000000000000000000000\",\"seconds\":90000},"
                   "{\"amount\":\"1000000000000000000000000000\",\"seconds\":45},"
                   "{\"amount\":\"2000000000000000000000000001\",\"seconds\":90},"
                   "{\"amount\":\"4000000000000000000000000000\",\"seconds\":5400},"
                   "{\"amount\":\"3000000000000000000000000000\",\"seconds\":3601}],\"minimum\":\"0\"}}}");
    assert_string_equal(rig_screen(&rig),
                        "prices: Scan to pay / 0.001 = 45 s / 0.002001 = 1 min 30 s / 0.003 = 1 h / "
                        "0.005 = 1 d 1 h [qr]");
    rig_say_payment(&rig, 1, 2, 1, "5000000000000000000000000000", 0);
    assert_string_equal(rig_screen(&rig), "paid: Paid / 25:00:00 [qr]");
}

/* ---- amounts ------------------------------------------------------------------------------------------------------------- */

static void a_dust_payment_of_one_raw_buys_nothing(void **state)
{
    (void)state;
    open_meter();
    rig_say_payment(&rig, 1, 1, 1, "1", 0);
    assert_false(rig.on);
    assert_string_equal(rig_screen(&rig),
                        "not enough: Not enough / 0.03 more / Pay 0.03 at once / Ask for your money [qr]");
    rig_say_payment(&rig, 2, 1, 2, "500000", 0); /* what once passed for half a nano */
    assert_false(rig.on);
    assert_int_equal(report().granted_s, 0);
    rig_say_payment(&rig, 3, 1, 3, "0", 0);
    assert_int_equal(rig_count_sent(&rig, "{\"type\":\"refused\""), 3);
}

static void just_below_at_and_above_each_step(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        unsigned seconds;
    } ROWS[] = {
        {"29999999999999999999999999999", 0},
        {NANO_0_03, 60},
        {"30000000000000000000000000001", 60},
        {"99999999999999999999999999999", 60},
        {NANO_0_1, 600},
        {"100000000000000000000000000001", 600},
        {"100166666666666666666666666666", 600},
        {"100166666666666666666666666667", 601},
        {"1199833333333333333333333333333", 7198},
        {"1199833333333333333333333333334", 7199},
        {"1200000000000000000000000000000", 7200},
        {"340282366920938463463374607431768211455", 7200},
    };
    open_meter();
    unsigned sum = 0;
    for (unsigned i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        rig_say_payment(&rig, i + 1, 1, i + 1, ROWS[i].raw, 0);
        sum += ROWS[i].seconds;
        assert_int_equal(report().granted_s, sum);
    }
    assert_int_equal(report().remaining_ms, 1000ull * sum);
}

static void an_amount_of_2_to_the_128_is_no_amount(void **state)
{
    (void)state;
    open_meter();
    rig_say_payment(&rig, 1, 1, 1, "340282366920938463463374607431768211456", 0);
    assert_int_equal(rig.close_code, 4000);
    assert_string_equal(rig.close_reason, "malformed");
    assert_int_equal(report().seq, 0);
}

/* ---- the clock --------------------------------------------------------------------------------------------------------- */

static void a_clock_that_leaps_takes_at_most_five_seconds(void **state)
{
    (void)state;
    open_meter();
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 0);
    rig.now_ms += 3600000;
    core_on_tick(&rig.core, rig.now_ms);
    assert_int_equal(report().remaining_ms, 595000);
    assert_string_equal(rig_screen(&rig), "paid: Paid / 9:55 [qr]");
    rig.now_ms -= 3600000;
    core_on_tick(&rig.core, rig.now_ms);
    assert_int_equal(report().remaining_ms, 595000);
    assert_int_equal(report().clock_jumps, 2);
    rig_run(&rig, 595000);
    assert_false(rig.on);
}

static void a_clock_that_wraps_goes_on_counting(void **state)
{
    (void)state;
    rig.now_ms = UINT32_MAX - 20000;
    open_meter();
    rig_say_payment(&rig, 1, 1, 1, NANO_0_03, 0);
    rig_run(&rig, 59750);
    assert_true(rig.on && rig.now_ms < UINT32_MAX / 2);
    rig_run(&rig, 250);
    assert_false(rig.on);
    assert_int_equal(report().clock_jumps, 0);
}

/* ---- the store was rolled back ------------------------------------------------------------------------------------------ */

static void a_store_that_was_rolled_back_grants_nothing_again(void **state)
{
    (void)state;
    open_meter();
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 0);
    rig_say_payment(&rig, 2, 1, 2, NANO_0_01, 0);
    rig_say_sealed(&rig, "{\"type\":\"noted\",\"seq\":1}");
    rig_run(&rig, CORE_NOTICE_MS);
    rig_disconnect(&rig, 1001);
    rig_forget_sent(&rig);
    rig_connect(&rig);
    rig_say_challenge(&rig, RIG_NEW_EPOCH);
    /* What it has, and from which store. */
    assert_non_null(strstr(rig_last(&rig), "\"resume\":2,\"epoch\":\"" RIG_EPOCH
                                           "\",\"firmware\":\"1.2.0\",\"config_version\":1"));
    rig_say_welcome(&rig, 2, 1, RIG_CONFIG);
    assert_string_equal(report().epoch, RIG_NEW_EPOCH);
    assert_int_equal(report().config_version, 1);
    rig_say_sealed(&rig, "{\"type\":\"gap\",\"from\":1,\"to\":2,\"reason\":\"store_rolled_back\"}");
    assert_int_equal(report().seq, 2);
    rig_say_payment(&rig, 3, 1, 1, NANO_0_1, 9999); /* found again: late, and granted long ago */
    rig_say_payment(&rig, 4, 1, 2, NANO_0_01, 9999);
    assert_true(rig_has_sent(&rig, "{\"type\":\"refused\",\"seq\":2,\"reason\":\"below_minimum\""));
    assert_true(rig_has_sent(&rig, "{\"type\":\"actuated\",\"seq\":3,\"seconds\":600"));
    assert_true(rig_has_sent(&rig, "{\"type\":\"refused\",\"seq\":4,\"reason\":\"below_minimum\""));
    assert_int_equal(report().granted_s, 600);
    rig_say_state(&rig, true);
    assert_int_equal(rig.screen.kind, CORE_SCREEN_PAID);
}

static void the_last_1024_granted_payments_are_known_again_even_after_power_was_off(void **state)
{
    (void)state;
    open_meter();
    for (unsigned i = 1; i <= CORE_GRANTED_KEPT + 1; i++) {
        rig_say_payment(&rig, i, 1, i, NANO_0_03, 0);
        char noted[64];
        snprintf(noted, sizeof(noted), "{\"type\":\"noted\",\"seq\":%u}", i);
        rig_say_sealed(&rig, noted);
        rig_forget_sent(&rig);
    }
    for (unsigned i = 0; i < CORE_REFUSED_KEPT + 2; i++) { /* small change does not push them out */
        rig_say_payment(&rig, CORE_GRANTED_KEPT + 2 + i, 1, 5000 + i, "1", 0);
        rig_forget_sent(&rig);
    }
    uint64_t seq = report().seq, granted_s = report().granted_s;
    assert_int_equal(granted_s, 60 * (CORE_GRANTED_KEPT + 1));
    rig_power_on(&rig);
    rig_open_session(&rig, seq);
    assert_int_equal(report().outcome_count, CORE_OUTCOMES_KEPT);
    for (unsigned i = 2; i <= CORE_GRANTED_KEPT + 1; i++) {
        rig_say_payment(&rig, ++seq, 1, i, NANO_0_03, 0);
        rig_forget_sent(&rig);
    }
    assert_int_equal(report().granted_s, granted_s);
    rig_say_payment(&rig, ++seq, 1, 1, NANO_0_03, 0); /* older than that */
    assert_int_equal(report().granted_s, granted_s + 60);
}

static void a_memory_that_was_set_back_goes_on_where_the_relay_is(void **state)
{
    (void)state;
    rig_power_on(&rig);
    rig_open_session(&rig, 41);
    assert_int_equal(report().seq, 41);
    rig_say_payment(&rig, 42, 1, 1, NANO_0_03, 0);
    assert_int_equal(report().seq, 42);
    assert_int_equal(rig.writes[CORE_SLOT_RECORD_A] + rig.writes[CORE_SLOT_RECORD_B], 2);
}

/* ---- configs --------------------------------------------------------------------------------------------------------------- */

#define DEARER                                                                                               \
    "{\"addresses\":[\"" RIG_ACCOUNT "\"],\"tariff\":{\"steps\":[{\"amount\":\"" NANO_0_1                    \
    "\",\"seconds\":60}],\"cap_s\":600}}"

static void a_payment_is_priced_by_the_version_that_it_names(void **state)
{
    (void)state;
    open_meter();
    rig_say_sealed(&rig, "{\"type\":\"config\",\"version\":3,\"config\":" DEARER "}");
    assert_string_equal(rig_screen(&rig), "prices: Scan to pay / 0.1 = 1 min / at most 10 min [qr]");
    rig_say_sealed(&rig, "{\"type\":\"config\",\"version\":2,\"config\":{\"addresses\":[]}}");
    assert_int_equal(report().config_version, 3);
    rig_say_payment(&rig, 1, 3, 1, NANO_0_1, 0);
    assert_int_equal(report().granted_s, 60);
    rig_say_payment(&rig, 2, 1, 2, NANO_0_1, 0);
    assert_int_equal(report().granted_s, 660);
    rig_say_payment(&rig, 3, 0, 3, NANO_0_1, 0); /* none: the built-in one */
    assert_int_equal(report().granted_s, 1260);
    rig_say_sealed(
        &rig,
        "{\"type\":\"payment\",\"seq\":4,\"config_version\":2,\"config\":{\"late_after_s\":5},\"payment\":{\"chain\":"
        "\"nano\",\"hash\":\"00000000000000000000000000000000000000000000000000000000000000ff\",\"output\":0,"
        "\"amount\":\"" NANO_0_1 "\",\"age_s\":6}}");
    assert_true(rig_has_sent(&rig, "{\"type\":\"refused\",\"seq\":4,\"reason\":\"too_late\""));
    rig_say_payment(&rig, 5, 2, 5, NANO_0_1, 0);
    assert_string_equal(rig.close_reason, "unknown_config");
    assert_int_equal(report().seq, 4);
}

static void its_own_tariff_holds_whatever_the_relay_says(void **state)
{
    (void)state;
    rig.identity.own_tariff = true;
    open_meter();
    rig_say_payment(&rig, 1, 1, 1, "1000000000000000000000000000", 99999);
    assert_int_equal(report().granted_s, 6);
}

static void what_is_not_nano_s_own_coin_buys_nothing(void **state)
{
    (void)state;
    open_meter();
    rig_say_sealed(
        &rig,
        "{\"type\":\"payment\",\"seq\":1,\"config_version\":1,\"payment\":{\"chain\":\"nano\",\"asset\":\"PARKING\",\"hash\":"
        "\"00000000000000000000000000000000000000000000000000000000000000ff\",\"output\":0,\"amount\":\"" NANO_0_1
        "\",\"age_s\":6}}");
    rig_say_sealed(
        &rig,
        "{\"type\":\"payment\",\"seq\":2,\"config_version\":1,\"payment\":{\"chain\":\"evr\",\"hash\":"
        "\"00000000000000000000000000000000000000000000000000000000000000fe\",\"output\":1,\"amount\":\"" NANO_0_1
        "\",\"age_s\":6}}");
    assert_int_equal(rig_count_sent(&rig, "{\"type\":\"refused\""), 2);
    assert_true(rig_has_sent(&rig, "{\"type\":\"refused\",\"seq\":2,\"reason\":\"unknown_asset\""));
    assert_string_equal(rig_screen(&rig), "refused: Payment refused / Ask for your money [qr]");
    assert_false(rig.on);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_driver_pays_tops_up_and_is_told_the_time_left, set_up),
        cmocka_unit_test_setup(not_enough_says_how_much_was_missing_and_asks_for_the_right_amount, set_up),
        cmocka_unit_test_setup(dont_pay_now_when_the_relay_says_so_or_is_gone, set_up),
        cmocka_unit_test_setup(a_meter_that_never_connects_stops_asking_to_wait, set_up),
        cmocka_unit_test_setup(without_an_address_nobody_is_asked_to_pay, set_up),
        cmocka_unit_test_setup(a_payment_that_came_too_late_is_refused_and_says_so, set_up),
        cmocka_unit_test_setup(of_many_steps_the_first_three_and_the_highest_are_shown, set_up),
        cmocka_unit_test_setup(a_dust_payment_of_one_raw_buys_nothing, set_up),
        cmocka_unit_test_setup(just_below_at_and_above_each_step, set_up),
        cmocka_unit_test_setup(an_amount_of_2_to_the_128_is_no_amount, set_up),
        cmocka_unit_test_setup(a_clock_that_leaps_takes_at_most_five_seconds, set_up),
        cmocka_unit_test_setup(a_clock_that_wraps_goes_on_counting, set_up),
        cmocka_unit_test_setup(a_store_that_was_rolled_back_grants_nothing_again, set_up),
        cmocka_unit_test_setup(the_last_1024_granted_payments_are_known_again_even_after_power_was_off,
                               set_up),
        cmocka_unit_test_setup(a_memory_that_was_set_back_goes_on_where_the_relay_is, set_up),
        cmocka_unit_test_setup(a_payment_is_priced_by_the_version_that_it_names, set_up),
        cmocka_unit_test_setup(its_own_tariff_holds_whatever_the_relay_says, set_up),
        cmocka_unit_test_setup(what_is_not_nano_s_own_coin_buys_nothing, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
