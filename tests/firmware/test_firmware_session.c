/* The connection: who is believed, what ends it, when it is tried again, what is kept when the store fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "firmware/rig.h"
#include "firmware/toy_crypto.h"

static struct rig rig;

#define NANO_0_1 "100000000000000000000000000000"

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

static void expect_end(unsigned code, const char *why)
{
    assert_string_equal(rig.close_reason, why);
    assert_int_equal(rig.close_code, code);
    assert_int_equal(report().link, CORE_LINK_CLOSING);
    assert_string_equal(report().last_error, why);
    assert_false(report().payable);
}

/* ---- the beginning ------------------------------------------------------------------------------------------------- */

static void a_relay_whose_key_is_not_pinned_gets_no_hello(void **state)
{
    (void)state;
    memset(rig.relay_key, 0x77, 32);
    rig_power_on(&rig);
    rig_connect(&rig);
    rig_say_challenge(&rig, RIG_EPOCH);
    expect_end(4002, "not_pinned");
    assert_int_equal(rig.sent_count, 0);
}

static void both_pinned_keys_are_good(void **state)
{
    (void)state;
    memset(rig.relay_key, 0xaa, 32);
    open_meter();
    assert_int_equal(report().link, CORE_LINK_SESSION);
}

static void a_challenge_without_keys_is_for_tokens_only(void **state)
{
    (void)state;
    const char *challenge = "{\"type\":\"challenge\",\"epoch\":\"" RIG_EPOCH "\"}";
    rig_power_on(&rig);
    rig_connect(&rig);
    rig_say(&rig, challenge);
    expect_end(4002, "no_keys");
    rig_init(&rig);
    rig_by_token(&rig);
    rig_power_on(&rig);
    rig_connect(&rig);
    rig_say(&rig, challenge);
    assert_string_equal(rig_last(&rig), "{\"type\":\"hello\",\"device\":\"" RIG_DEVICE
                                        "\",\"token\":\"a-token\",\"resume\":0,\"firmware\":\"1.2.0\"}");
    rig_say_welcome(&rig, 0, 1, RIG_CONFIG);
    rig_say_state(&rig, true);
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 0);
    assert_true(rig_has_sent(&rig, "{\"type\":\"actuated\",\"seq\":1,\"seconds\":600}"));
}

static void a_challenge_that_is_too_long_to_keep_or_has_no_epoch_ends_it(void **state)
{
    (void)state;
    rig_power_on(&rig);
    rig_connect(&rig);
    char text[1024] = "{\"type\":\"challenge\",\"epoch\":\"" RIG_EPOCH "\",\"more\":\"";
    memset(text + strlen(text), 'x', 600);
    strcat(text, "\",\"nonce\":\"" RIG_EPOCH RIG_EPOCH "\",\"key\":\"" RIG_EPOCH RIG_EPOCH
                 "\",\"relay\":\"" RIG_EPOCH RIG_EPOCH "\"}");
    rig_say(&rig, text);
    expect_end(4002, "no_keys");
    rig_disconnect(&rig, 1006);
    rig_connect(&rig);
    rig_say(&rig, "{\"type\":\"challenge\",\"epoch\":\"0123456789ABCDEF0123456789abcdef\"}");
    expect_end(4000, "malformed");
}

static void a_welcome_that_the_relay_did_not_sign_is_nobody_s(void **state)
{
    (void)state;
    rig_power_on(&rig);
    rig_connect(&rig);
    rig_say_challenge(&rig, RIG_EPOCH);
    memset(rig.relay_key, 0x78, 32); /* another's signature */
    rig_say_welcome(&rig, 0, 1, RIG_CONFIG);
    expect_end(4002, "wrong_signature");
    assert_string_equal(report().epoch, "");
    rig_disconnect(&rig, 0);
    rig_init(&rig);
    rig_power_on(&rig);
    rig_connect(&rig);
    rig_say_challenge(&rig, RIG_EPOCH);
    rig_say(&rig,
            "{\"type\":\"welcome\",\"last_acked\":0,\"pending\":0,\"config_version\":0,\"config\":null}");
    expect_end(4002, "not_signed");
}

static void a_key_of_low_order_makes_no_session(void **state)
{
    (void)state;
    rig_power_on(&rig);
    rig_connect(&rig);
    rig_say_challenge(&rig, RIG_EPOCH);
    memset(rig.core.session.relay_exchange, 0,
           32); /* as the relay would have sent it; it is not in what is signed twice */
    rig_say_welcome(&rig, 0, 0, NULL);
    expect_end(4002, "weak_key");
}

static void what_comes_out_of_turn_ends_it(void **state)
{
    (void)state;
    static const char *const OUT_OF_TURN[] = {"{\"type\":\"welcome\",\"last_acked\":0,\"pending\":0}",
                                              "{\"type\":\"noted\",\"seq\":1}"};
    for (int i = 0; i < 2; i++) {
        rig_init(&rig);
        rig_power_on(&rig);
        rig_connect(&rig);
        rig_say(&rig, OUT_OF_TURN[i]);
        expect_end(4000, "unexpected");
        rig_say(&rig, OUT_OF_TURN[i]); /* nothing counts after it */
        rig_init(&rig);
        rig_power_on(&rig);
        rig_connect(&rig);
        rig_say_challenge(&rig, RIG_EPOCH);
        if (i == 1) {
            rig_say(&rig, OUT_OF_TURN[i]);
            expect_end(4000, "unexpected");
        }
    }
    rig_init(&rig);
    rig_power_on(&rig);
    rig_connect(&rig);
    rig.room = 0; /* the hello has not left */
    rig_say_challenge(&rig, RIG_EPOCH);
    rig_say_challenge(&rig, RIG_EPOCH);
    expect_end(4000, "unexpected");
    rig_init(&rig);
    open_meter();
    rig_say_sealed(&rig, "{\"type\":\"challenge\",\"epoch\":\"" RIG_EPOCH "\"}");
    expect_end(4000, "unexpected");
}

static void a_relay_that_goes_on_below_what_is_known_ends_it(void **state)
{
    (void)state;
    open_meter();
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 0);
    rig_disconnect(&rig, 0);
    rig_connect(&rig);
    rig_say_challenge(&rig, RIG_EPOCH);
    rig_say_welcome(&rig, 0, 1, RIG_CONFIG);
    expect_end(4000, "behind");
    assert_int_equal(report().seq, 1);
}

static void nobody_speaks_and_it_hangs_up(void **state)
{
    (void)state;
    rig_power_on(&rig);
    rig_connect(&rig);
    rig_run(&rig, CORE_HANDSHAKE_MS);
    assert_int_equal(rig.close_code, 0);
    rig_run(&rig, 250);
    expect_end(4003, "handshake_timeout");
    rig_run(&rig, 60000);
    assert_int_equal(rig.connects, 1);
}

/* ---- frames ---------------------------------------------------------------------------------------------------------- */

static void a_wrong_a_replayed_or_a_re_ordered_frame_ends_it_and_changes_nothing(void **state)
{
    (void)state;
    static char first[CORE_MESSAGE_SIZE], second[CORE_MESSAGE_SIZE];
    for (int how = 0; how < 6; how++) {
        rig_init(&rig);
        open_meter();
        rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 0);
        memcpy(first, rig.frame, sizeof(first));
        rig_seal(&rig, "{\"type\":\"config\",\"version\":9,\"config\":{\"addresses\":[]}}");
        memcpy(second, rig.frame, sizeof(second));
        size_t length = strlen(second);
        switch (how) {
        case 0: /* changed */
            *strchr(second, '9') = '8';
            break;
        case 1: /* its mac changed */
            second[length - 3] = second[length - 3] == '0' ? '1' : '0';
            break;
        case 2: /* its mac is written in capitals, or not at all */
            strcpy(second + length - 3, "A\"}");
            break;
        case 3:
            strcpy(second + length - 42, "}");
            break;
        case 4: /* replayed */
            memcpy(second, first, sizeof(second));
            break;
        default: /* the one after it comes first */
            rig_seal(&rig, "{\"type\":\"config\",\"version\":10,\"config\":{\"addresses\":[]}}");
            memcpy(second, rig.frame, sizeof(second));
            break;
        }
        rig_say(&rig, second);
        expect_end(4012, "bad_mac");
        assert_int_equal(report().config_version, 1);
        assert_int_equal(report().seq, 1);
        assert_int_equal(report().granted_s, 600);
        assert_string_equal(rig_screen(&rig), "paid: Paid / 10:00 / Don't pay now");
        rig_say_payment(&rig, 2, 1, 2, NANO_0_1, 0);
        assert_int_equal(report().seq, 1);
    }
}

static void a_hole_ends_it_a_repeat_is_acked(void **state)
{
    (void)state;
    open_meter();
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 0);
    rig_forget_sent(&rig);
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 0);
    assert_true(rig_has_sent(&rig, "{\"type\":\"ack\",\"seq\":1"));
    assert_int_equal(report().granted_s, 600);
    rig_say_payment(&rig, 3, 1, 3, NANO_0_1, 0);
    expect_end(4000, "hole");
    assert_int_equal(report().seq, 1);
}

static void a_gap_moves_the_seq_as_a_payment_does(void **state)
{
    (void)state;
    open_meter();
    rig_say_sealed(&rig, "{\"type\":\"gap\",\"from\":1,\"to\":4,\"reason\":\"expired\"}");
    assert_int_equal(report().seq, 4);
    assert_true(rig_has_sent(&rig, "{\"type\":\"ack\",\"seq\":4"));
    rig_say_payment(&rig, 5, 1, 1, NANO_0_1, 0);
    assert_int_equal(report().seq, 5);
    rig_say_sealed(&rig, "{\"type\":\"gap\",\"from\":7,\"to\":8,\"reason\":\"expired\"}");
    expect_end(4000, "hole");
    rig_disconnect(&rig, 0);
    rig_open_session(&rig, 5);
    rig_say_sealed(&rig, "{\"type\":\"gap\",\"from\":6,\"to\":5,\"reason\":\"expired\"}");
    expect_end(4000, "hole");
    assert_int_equal(report().seq, 5);
}

static void hostile_json_ends_it_and_changes_nothing(void **state)
{
    (void)state;
    static char long_one[CORE_MESSAGE_SIZE + 64];
    static const char *const HOSTILE[] = {
        "",
        "{",
        "[]",
        "null",
        "{}",
        "{\"type\":7}",
        "{\"type\":\"noted\"}",
        "{\"type\":\"noted\",\"seq\":1,\"seq\":2}",
        "{\"type\":\"noted\",\"seq\":1.0}",
        "{\"type\":\"noted\",\"seq\":1e3}",
        "{\"type\":\"noted\",\"seq\":-1}",
        "{\"type\":\"noted\",\"seq\":\"1\"}",
        "{\"type\":\"noted\",\"seq\":9223372036854775808}",
        "{\"type\":\"noted\",\"seq\":99999999999999999999999999}",
        "{\"type\":\"noted\",\"seq\":01}",
        "{\"type\":\"noted\",\"seq\":1,}",
        "{\"type\":\"noted\" \"seq\":1}",
        "{\"type\":\"noted\",\"s\\u0065q\":1}",
        "{\"type\":\"noted\",\"seq\":1}x",
        "{\"type\":\"noted\",\"seq\":tru}",
        "{\"type\":\"noted\",\"seq\":[1}",
        "{\"type\":\"state\",\"caught_up\":1,\"payable\":true,\"reason\":\"ok\"}",
        "{\"type\":\"state\",\"caught_up\":true,\"payable\":null,\"reason\":\"ok\"}",
        "{\"type\":\"x\",\"a\":[[[[[1]]]]]}",
        "{\"type\":\"x\",\"a\":\"\\x\"}",
        "{\"type\":\"x\",\"a\":\"\\u12g4\"}",
        "{\"type\":\"x\",\"a\":\"\t\"}",
        "{\"type\":\"x\",\"a\":-}",
        "{\"type\":\"x\",\"a\":1.}",
        "{\"type\":\"x\",\"a\":1e}",
        "{\"type\":\"x\",1:2}",
        "{\"type\":\"x\",\"a\"}",
        "{\"type\":\"x\",\"a\":{\"b\":1,\"b\":2}}",
        "{\"type\":\"x\",\"a\":\"\\u12",
        "{\"type\":\"payment\",\"seq\":1,\"payment\":7}",
        "{\"type\":\"payment\",\"seq\":1}",
        "{\"type\":\"payment\",\"seq\":1,\"config_version\":\"1\"}",
        "{\"type\":\"payment\",\"seq\":1,\"config\":[]}",
        "{\"type\":\"payment\",\"seq\":1,\"payment\":{\"chain\":\"nano\",\"hash\":\"zz\",\"output\":0,\"amount\":\"1\",\"age_s\":1}}",
        "{\"type\":\"gap\",\"from\":1}",
        "{\"type\":\"gap\",\"to\":1}",
        "{\"type\":\"config\",\"version\":2,\"config\":null}",
        "{\"type\":\"config\",\"version\":2,\"config\":{\"addresses\":7}}",
        "{\"type\":\"config\",\"config\":{\"addresses\":[]}}",
        "{\"type\":\"config\",\"version\":2,\"config\":{\"late_after_s\":\"1\"}}",
        "{\"type\":\"config\",\"version\":2,\"config\":{\"late_after_s\":2147483648}}",
        "{\"type\":\"config\",\"version\":2,\"config\":{\"tariff\":{}}}",
        "{\"type\":\"config\",\"version\":2,\"config\":{\"tariff\":{\"steps\":[]}}}",
        "{\"type\":\"config\",\"version\":2,\"config\":{\"tariff\":{\"steps\":[{\"amount\":\"0\",\"seconds\":1}]}}}",
        "{\"type\":\"config\",\"version\":2,\"config\":{\"tariff\":{\"steps\":[{\"amount\":1,\"seconds\":1}]}}}",
        "{\"type\":\"config\",\"version\":2,\"config\":{\"tariff\":{\"steps\":[{\"amount\":\"1\",\"seconds\":0}]}}}",
        "{\"type\":\"config\",\"version\":2,\"config\":{\"tariff\":{\"steps\":[{\"amount\":\"1\"}]}}}",
        "{\"type\":\"config\",\"version\":2,\"config\":{\"tariff\":{\"steps\":[{\"amount\":\"1\",\"seconds\":1},{\"amount\":\"1\","
        "\"seconds\":2}]}}}",
        "{\"type\":\"config\",\"version\":2,\"config\":{\"tariff\":{\"steps\":[{\"amount\":\"1\",\"seconds\":1}],\"minimum\":1}}}",
        "{\"type\":\"config\",\"version\":2,\"config\":{\"tariff\":{\"steps\":[{\"amount\":\"1\",\"seconds\":1}],\"cap_s\":0}}}",
        "{\"type\":\"config\",\"version\":2,\"config\":{\"tariff\":{\"steps\":[{\"amount\":\"1\",\"seconds\":1}],\"cap_s\":null}}}",
    };
    rig_by_token(&rig);
    for (size_t i = 0; i < sizeof(HOSTILE) / sizeof(HOSTILE[0]); i++) {
        rig_init(&rig);
        rig_by_token(&rig);
        open_meter();
        rig_say(&rig, HOSTILE[i]);
        if (report().link != CORE_LINK_CLOSING) {
            fail_msg("taken: %s", HOSTILE[i]);
        }
        expect_end(4000, "malformed");
        assert_int_equal(report().seq, 0);
        assert_int_equal(report().config_version, 1);
        assert_string_equal(rig_screen(&rig), "dont pay: Don't pay now / No connection");
    }
    rig_init(&rig);
    open_meter();
    core_on_message(&rig.core, NULL, 0);
    expect_end(4000, "bad_message");
    rig_disconnect(&rig, 0);
    rig_open_session(&rig, 0);
    memset(long_one, ' ', sizeof(long_one));
    core_on_message(&rig.core, long_one, CORE_MESSAGE_SIZE + 1);
    expect_end(4000, "bad_message");
}

static void too_many_tokens_and_steps_are_refused(void **state)
{
    (void)state;
    static char text[CORE_MESSAGE_SIZE];
    rig_by_token(&rig);
    open_meter();
    strcpy(text, "{\"type\":\"x\",\"a\":[1");
    for (int i = 0; i < 600; i++) {
        strcat(text, ",1");
    }
    strcat(text, "]}");
    rig_say(&rig, text);
    expect_end(4000, "malformed");
    rig_disconnect(&rig, 0);
    rig_open_session(&rig, 0);
    strcpy(text, "{\"type\":\"config\",\"version\":2,\"config\":{\"tariff\":{\"steps\":[");
    for (int i = 1; i <= 33; i++) {
        sprintf(text + strlen(text), "%s{\"amount\":\"%d\",\"seconds\":1}", i > 1 ? "," : "", i);
    }
    strcat(text, "]}}}");
    rig_say(&rig, text);
    expect_end(4000, "malformed");
}

static void what_is_not_known_is_ignored_and_all_json_is_read(void **state)
{
    (void)state;
    rig_by_token(&rig);
    open_meter();
    rig_say(
        &rig,
        " {\"type\":\"x_of_a_later_version_with_a_name_that_is_longer_than_any\",\"a\":[],\"b\":{},\"c\":[{\"d\":[-1.5e+3,0,-0,"
        "1E-2]}],\"e\":\"\\u00e9\\n\\\"\",\"f\":null,\"g\":true,\"h\":false}\r\n\t");
    rig_say(&rig, "{\"type\":\"state\",\"payable\":true,\"caught_up\":false,\"reason\":\"A b\"}");
    assert_string_equal(report().state_reason, "??b");
    rig_say(&rig, "{\"type\":\"state\",\"payable\":true,\"caught_up\":true,\"reason\":7}");
    assert_string_equal(report().state_reason, "?");
    assert_true(report().caught_up && report().payable);
    rig_say(
        &rig,
        "{\"type\":\"config\",\"version\":2,\"config\":{\"addresses\":[\"elsewhere\",7,\"" RIG_ACCOUNT
        "\",\"nano_1111111111111111111111111111111111111111111111111111hifc8npq\"],\"late_after_s\":null,\"tariff\":null}}");
    assert_int_equal(rig.core.memory.current.address_count, 1);
    assert_string_equal(rig_screen(&rig), "prices: Scan to pay / 0.001 = 6 s [qr]");
}

/* ---- its end, and the next one ----------------------------------------------------------------------------------------- */

static uint32_t retry_after(unsigned code)
{
    rig_disconnect(&rig, code);
    return report().retry_ms;
}

static void delays_grow_are_random_and_begin_anew_after_a_session_that_lasted(void **state)
{
    (void)state;
    static const uint32_t CEILINGS[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
    rig_power_on(&rig);
    assert_in_range(report().retry_ms, 1, 2000);
    for (size_t i = 0; i < sizeof(CEILINGS) / sizeof(CEILINGS[0]); i++) {
        rig_connect(&rig);
        uint32_t retry_ms = retry_after(0);
        assert_in_range(retry_ms, CEILINGS[i] / 2, CEILINGS[i]);
    }
    rig_open_session(&rig, 0);
    rig_run(&rig, CORE_SETTLED_MS - 250);
    assert_in_range(retry_after(1001), 15000, 30000);
    rig_open_session(&rig, 0);
    rig_run(&rig, CORE_SETTLED_MS);
    assert_in_range(retry_after(1001), 250, 500);
    rig_open_session(&rig, 0);
    assert_in_range(retry_after(4001), 15000, 30000); /* somebody has to look */
}

static void only_a_proved_retirement_is_for_good(void **state)
{
    (void)state;
    open_meter();
    rig_disconnect(&rig, 4007); /* anybody's close frame */
    assert_int_equal(report().link, CORE_LINK_DOWN);
    rig_connect(&rig);
    rig_say_challenge(&rig, RIG_EPOCH);
    rig_say(&rig,
            "{\"type\":\"error\",\"code\":\"retired\",\"message\":\"\"}"); /* before the welcome: anybody's */
    assert_string_equal(report().last_error, "retired");
    rig_disconnect(&rig, 4007);
    assert_int_equal(report().link, CORE_LINK_DOWN);
    rig_open_session(&rig, 0);
    rig_say_sealed(&rig, "{\"type\":\"error\",\"code\":\"busy\",\"message\":\"\"}");
    rig_say_sealed(&rig, "{\"type\":\"error\",\"code\":\"retired\",\"message\":\"\"}");
    rig_disconnect(&rig, 4007);
    assert_int_equal(report().link, CORE_LINK_RETIRED);
    assert_string_equal(rig_screen(&rig), "out of service: Out of service / Don't pay now");
    unsigned connects = rig.connects;
    rig_run(&rig, 300000);
    assert_int_equal(rig.connects, connects);
    rig_init(&rig);
    rig_by_token(&rig); /* TLS has proved it */
    open_meter();
    rig_disconnect(&rig, 4007);
    assert_int_equal(report().link, CORE_LINK_RETIRED);
}

static void what_finds_no_room_leaves_later_in_its_order(void **state)
{
    (void)state;
    rig_power_on(&rig);
    rig_connect(&rig);
    rig.room = 0;
    rig_say_challenge(&rig, RIG_EPOCH);
    assert_int_equal(report().link, CORE_LINK_HELLO);
    rig.room = 1;
    rig_run(&rig, 250);
    assert_int_equal(report().link, CORE_LINK_WELCOME);
    rig_say_welcome(&rig, 0, 1, RIG_CONFIG);
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 0);
    assert_true(rig.on); /* the machine does not wait for the radio */
    rig_say_payment(&rig, 2, 1, 2, "1", 0);
    rig_forget_sent(&rig);
    for (int i = 0; i < 4; i++) {
        rig.room = 1;
        rig_run(&rig, 250);
    }
    static const char *const ORDER[] = {
        "{\"type\":\"ack\",\"seq\":2", "{\"type\":\"actuated\",\"seq\":1,\"seconds\":600",
        "{\"type\":\"refused\",\"seq\":2", "{\"type\":\"status\",\"uptime_s\":"};
    for (int i = 0; i < 4; i++) {
        assert_memory_equal(rig.sent[i], ORDER[i], strlen(ORDER[i]));
    }
    assert_int_equal(rig.sent_count, 4);
}

static void a_payment_is_acked_then_the_machine_switches_on_then_that_is_said(void **state)
{
    (void)state;
    open_meter();
    rig_forget_sent(&rig);
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 0);
    assert_int_equal(rig.switches, 1);
    assert_int_equal(rig.sent_at_switch, 1);
    assert_memory_equal(rig.sent[0], "{\"type\":\"ack\",\"seq\":1", 21);
    assert_memory_equal(rig.sent[1], "{\"type\":\"actuated\",\"seq\":1", 26);
    assert_memory_equal(rig.sent[2], "{\"type\":\"status\"", 16);
}

static void outcomes_are_said_until_they_are_noted(void **state)
{
    (void)state;
    open_meter();
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 0);
    rig_say_payment(&rig, 2, 1, 2, NANO_0_1, 0);
    rig_say_sealed(&rig, "{\"type\":\"noted\",\"seq\":2}");
    rig_say_sealed(&rig, "{\"type\":\"noted\",\"seq\":77}");
    rig_forget_sent(&rig);
    rig_run(&rig, 59500);
    assert_false(rig_has_sent(&rig, "{\"type\":\"actuated\""));
    rig_run(&rig, 1000);
    assert_int_equal(rig_count_sent(&rig, "{\"type\":\"actuated\",\"seq\":1"), 1);
    assert_int_equal(rig_count_sent(&rig, "{\"type\":\"actuated\""), 1);
    rig_disconnect(&rig, 0);
    rig_open_session(&rig, 2);
    assert_int_equal(rig_count_sent(&rig, "{\"type\":\"actuated\",\"seq\":1"), 2);
}

static void status_is_told_at_once_at_each_switching_and_every_half_minute(void **state)
{
    (void)state;
    open_meter();
    assert_true(rig_has_sent(&rig, "{\"type\":\"status\",\"uptime_s\":"));
    rig_forget_sent(&rig);
    rig_run(&rig, 29750);
    assert_int_equal(rig.sent_count, 0);
    rig.dbm = 7;
    rig_run(&rig, 250);
    assert_non_null(
        strstr(rig_last(&rig), ",\"rssi\":7,\"relay_on\":false,\"remaining_s\":0,\"config_version\":1"));
    rig.has_rssi = false;
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 0);
    assert_null(strstr(rig_last(&rig), "rssi"));
    assert_non_null(strstr(rig_last(&rig), ",\"relay_on\":true,\"remaining_s\":600,"));
    rig.has_rssi = true;
    rig.dbm = 40000;
    rig_run(&rig, 30000);
    assert_null(strstr(rig_last(&rig), "rssi"));
    rig.dbm = -40000;
    rig_run(&rig, 30000);
    assert_null(strstr(rig_last(&rig), "rssi"));
    rig.port.rssi = NULL;
    rig_run(&rig, 30000);
    assert_null(strstr(rig_last(&rig), "rssi"));
}

/* ---- the store ------------------------------------------------------------------------------------------------------------ */

static void what_cannot_be_stored_is_neither_acked_nor_granted(void **state)
{
    (void)state;
    for (int written = 0; written < 2; written++) {
        rig_init(&rig);
        open_meter();
        rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 0);
        rig_forget_sent(&rig);
        rig.save_fails = true;
        rig.fails_but_writes = written == 1; /* it says no, and did it all the same */
        rig_say_payment(&rig, 2, 1, 2, NANO_0_1, 0);
        expect_end(4000, "store");
        assert_int_equal(rig.sent_count, 0);
        assert_int_equal(report().seq, 1 + written);
        assert_int_equal(report().granted_s, 600 * (1 + written));
        assert_int_equal(report().remaining_ms, 600000 * (1 + written));
        assert_true(rig.on); /* who has paid is served */
        assert_in_range(retry_after(1006), 15000, 30000);
        rig_connect(&rig);
        rig_say_challenge(&rig, RIG_EPOCH);
        rig_say_welcome(&rig, report().seq, 1, RIG_CONFIG); /* the store is tried first */
        assert_string_equal(rig.close_reason, "store");
        rig_disconnect(&rig, 1006);
        rig.save_fails = false;
        rig_open_session(&rig, report().seq);
        if (written == 0) {
            rig_say_payment(&rig, 2, 1, 2, NANO_0_1, 0);
        }
        assert_int_equal(report().granted_s, 1200);
        assert_true(report().payable);
    }
}

static void the_same_for_a_gap_a_config_and_an_epoch(void **state)
{
    (void)state;
    static const char *const FRAMES[] = {"{\"type\":\"gap\",\"from\":1,\"to\":4,\"reason\":\"expired\"}",
                                         "{\"type\":\"config\",\"version\":2,\"config\":{\"addresses\":[]}}"};
    for (int i = 0; i < 2; i++) {
        rig_init(&rig);
        open_meter();
        rig.save_fails = true;
        rig_say_sealed(&rig, FRAMES[i]);
        expect_end(4000, "store");
        assert_int_equal(report().seq, 0);
        assert_int_equal(report().config_version, 1);
    }
    rig_disconnect(&rig, 0);
    rig_connect(&rig);
    rig_say_challenge(&rig, RIG_NEW_EPOCH);
    rig_say_welcome(&rig, 0, 1, RIG_CONFIG);
    expect_end(4000, "store");
    assert_string_equal(report().epoch, RIG_EPOCH);
    assert_string_equal(rig_screen(&rig), "out of service: Out of service / Don't pay now");
}

static void a_new_meter_whose_first_write_fails_tries_again(void **state)
{
    (void)state;
    rig.save_fails = true;
    rig_power_on(&rig);
    rig_connect(&rig);
    rig_say_challenge(&rig, RIG_EPOCH);
    rig_say_welcome(&rig, 0, 1, RIG_CONFIG);
    expect_end(4000, "store");
    rig_disconnect(&rig, 0);
    rig.save_fails = false;
    rig_open_session(&rig, 0);
    assert_true(report().payable);
}

static void a_store_that_can_no_longer_be_read_takes_no_payments(void **state)
{
    (void)state;
    open_meter();
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 0);
    rig.save_fails = rig.load_fails = true;
    rig_say_payment(&rig, 2, 1, 2, NANO_0_1, 0);
    expect_end(4000, "store");
    rig_disconnect(&rig, 0);
    unsigned connects = rig.connects;
    rig_run(&rig, 120000);
    assert_int_equal(rig.connects, connects);
    assert_true(rig.on);
    rig.save_fails = rig.load_fails = false;
    rig_open_session(&rig, 1);
    assert_int_equal(report().seq, 1);
    assert_true(report().remaining_ms < 480000);
    assert_true(report().stored_ms < report().remaining_ms);
}

static void a_mark_that_fails_is_tried_again_later_and_the_driver_is_served(void **state)
{
    (void)state;
    open_meter();
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 0);
    rig.save_fails = true;
    unsigned before = rig.writes[CORE_SLOT_MARK_A] + rig.writes[CORE_SLOT_MARK_B];
    rig_run(&rig, 45000);
    unsigned tries = rig.writes[CORE_SLOT_MARK_A] + rig.writes[CORE_SLOT_MARK_B] - before;
    assert_in_range(tries, 4, 5);
    assert_true(rig.on);
    assert_int_equal(report().store_failures, tries);
    assert_string_equal(rig_screen(&rig), "paid: Paid / 9:15 / Don't pay now");
    rig.save_fails = false;
    rig_run(&rig, 555000);
    assert_false(rig.on);
    assert_int_equal(rig.ran_ms, 600000);
}

static void writes_are_bounded(void **state)
{
    (void)state;
    open_meter();
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 0);
    unsigned records = rig.writes[CORE_SLOT_RECORD_A] + rig.writes[CORE_SLOT_RECORD_B];
    rig_say_sealed(&rig, "{\"type\":\"noted\",\"seq\":1}");
    rig_run(&rig, 600000);
    assert_int_equal(rig.writes[CORE_SLOT_RECORD_A] + rig.writes[CORE_SLOT_RECORD_B], records);
    assert_int_equal(rig.writes[CORE_SLOT_MARK_A] + rig.writes[CORE_SLOT_MARK_B],
                     23); /* one in 25 s, none for the last span */
    rig_run(&rig, 3600000);
    assert_int_equal(rig.writes[CORE_SLOT_MARK_A] + rig.writes[CORE_SLOT_MARK_B], 23);
}

static void an_identity_that_cannot_be_used_is_said_at_once(void **state)
{
    (void)state;
    for (int how = 0; how < 9; how++) {
        rig_init(&rig);
        struct core_identity *identity = &rig.identity;
        switch (how) {
        case 0:
            identity->device[0] = '\0';
            break;
        case 1:
            identity->device[3] = '"';
            break;
        case 2:
            memset(identity->device, 'x', sizeof(identity->device));
            break;
        case 3:
            identity->firmware[0] = '\n';
            break;
        case 4:
            identity->relay_key_count = 3;
            break;
        case 5:
            identity->relay_key_count = 0;
            break;
        case 6:
            strcpy(identity->token, "and keys");
            break;
        case 7:
            identity->address_count = CORE_ADDRESSES_MOST + 1;
            break;
        default:
            identity->tariff.count = 0;
            break;
        }
        assert_false(core_init(&rig.core, &rig.port, &rig.crypto, identity, 0));
    }
    rig_init(&rig);
    strcpy(rig.identity.token, "\x7f");
    assert_false(core_init(&rig.core, &rig.port, &rig.crypto, &rig.identity, 0));
    rig.identity.firmware[0] = '\\';
    assert_false(core_init(&rig.core, &rig.port, &rig.crypto, &rig.identity, 0));
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_relay_whose_key_is_not_pinned_gets_no_hello),
        TEST(both_pinned_keys_are_good),
        TEST(a_challenge_without_keys_is_for_tokens_only),
        TEST(a_challenge_that_is_too_long_to_keep_or_has_no_epoch_ends_it),
        TEST(a_welcome_that_the_relay_did_not_sign_is_nobody_s),
        TEST(a_key_of_low_order_makes_no_session),
        TEST(what_comes_out_of_turn_ends_it),
        TEST(a_relay_that_goes_on_below_what_is_known_ends_it),
        TEST(nobody_speaks_and_it_hangs_up),
        TEST(a_wrong_a_replayed_or_a_re_ordered_frame_ends_it_and_changes_nothing),
        TEST(a_hole_ends_it_a_repeat_is_acked),
        TEST(a_gap_moves_the_seq_as_a_payment_does),
        TEST(hostile_json_ends_it_and_changes_nothing),
        TEST(too_many_tokens_and_steps_are_refused),
        TEST(what_is_not_known_is_ignored_and_all_json_is_read),
        TEST(delays_grow_are_random_and_begin_anew_after_a_session_that_lasted),
        TEST(only_a_proved_retirement_is_for_good),
        TEST(what_finds_no_room_leaves_later_in_its_order),
        TEST(a_payment_is_acked_then_the_machine_switches_on_then_that_is_said),
        TEST(outcomes_are_said_until_they_are_noted),
        TEST(status_is_told_at_once_at_each_switching_and_every_half_minute),
        TEST(what_cannot_be_stored_is_neither_acked_nor_granted),
        TEST(the_same_for_a_gap_a_config_and_an_epoch),
        TEST(a_new_meter_whose_first_write_fails_tries_again),
        TEST(a_store_that_can_no_longer_be_read_takes_no_payments),
        TEST(a_mark_that_fails_is_tried_again_later_and_the_driver_is_served),
        TEST(writes_are_bounded),
        TEST(an_identity_that_cannot_be_used_is_said_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
