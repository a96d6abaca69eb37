/* The make-believe network: what it makes has to pass verify/, and to be printed as a node printed the
 * recorded blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <glob.h>

#include "base/hex.h"
#include "base/json.h"
#include "simulate/chance.h"
#include "simulate/network.h"
#include "simulate/notify.h"
#include "simulate/scenario.h"
#include "simulate/sign.h"

static const struct amount ALL_MONEY = {UINT64_MAX, UINT64_MAX};

static struct amount raw(const char *text)
{
    struct amount amount;
    assert_true(amount_parse_raw(text, &amount));
    return amount;
}

/* ---- as a relay would take it ---------------------------------------------------------------------- */

static enum notice_verdict judge_request(const char *request, struct notice *notice)
{
    const char *body = strstr(request, "\r\n\r\n");
    assert_non_null(body);
    char reason[JSON_ERROR_SIZE], error[NOTICE_ERROR_SIZE];
    json_t *object = json_read(body + 4, strlen(body + 4), 4, reason);
    assert_non_null(object);
    enum notice_verdict verdict = notice_read(json_view_of_tree(object), notice, error);
    json_decref(object);
    return verdict == NOTICE_VALID ? notice_check_signature(notice, error) : verdict;
}

static enum notice_verdict judge_news(const struct scenario_news *news)
{
    size_t size;
    char *request =
        notify_print("::1", "/callback/", &news->notice, news->shows_link ? news->shown_link : NULL, &size);
    struct notice read;
    enum notice_verdict verdict = judge_request(request, &read);
    free(request);
    return verdict;
}

static void assert_valid(const struct notice *notice)
{
    struct scenario_news news = {.how = "", .notice = *notice};
    assert_int_equal(judge_news(&news), NOTICE_VALID);
}

/* ---- keys and signatures --------------------------------------------------------------------------- */

static void keys_are_derived_as_nano_documents(void **state)
{
    (void)state;
    /* docs.nano.org, "Key management", and every wallet's test: the seed of zeros, index 0. */
    const uint8_t seed[32] = {0};
    struct sign_key key, expanded;
    sign_derive_key(seed, 0, &key);
    char text[ADDRESS_TEXT_SIZE];
    struct address address = address_from_nano_key(key.public_key);
    address_format(&address, text);
    assert_string_equal(text, "nano_3i1aq1cchnmbn9x5rsbap8b15akfh7wj7pwskuzi7ahz8oq6cobd99d4r3b7");

    uint8_t private_key[32];
    assert_true(
        hex_decode("9F0E444C69F77A49BD0BE89DB92C38FE713E0963165CCA12FAF5712D7657120F", private_key, 32));
    sign_expand_key(private_key, &expanded);
    assert_memory_equal(&key, &expanded, sizeof(key));

    sign_derive_key(seed, 1, &key);
    assert_memory_not_equal(&key, &expanded, sizeof(key));
}

static void a_signature_is_valid_for_its_hash_and_key_alone(void **state)
{
    (void)state;
    uint8_t seed[32] = {7}, hash[32], signature[64];
    struct sign_key key, other;
    sign_derive_key(seed, 99, &other);
    for (uint32_t i = 0; i < 50; i++) {
        memset(hash, (int)(5 * i), sizeof(hash));
        sign_derive_key(seed, i, &key);
        sign_hash(&key, hash, signature);
        assert_true(block_signature_valid(hash, signature, key.public_key));
        assert_false(block_signature_valid(hash, signature, other.public_key));
        hash[i % 32] ^= 1;
        assert_false(block_signature_valid(hash, signature, key.public_key));
    }
}

/* ---- printing -------------------------------------------------------------------------------------- */

static char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *bytes = malloc(65536);
    assert_non_null(bytes);
    *size = fread(bytes, 1, 65535, file);
    bytes[*size] = '\0';
    fclose(file);
    return bytes;
}

static void every_recorded_callback_is_printed_to_the_byte(void **state)
{
    (void)state;
    glob_t found;
    assert_int_equal(glob(SOURCE_DIR "/tests/data/nano-v27.1/callback-*.raw", 0, NULL, &found), 0);
    glob(SOURCE_DIR "/tests/data/nano-v27.1/burst/callback-*.raw", GLOB_APPEND, NULL, &found);
    assert_true(found.gl_pathc >= 23);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        size_t recorded_bytes, printed_bytes;
        char *recorded = read_file(found.gl_pathv[i], &recorded_bytes);
        struct notice notice;
        assert_int_equal(judge_request(recorded, &notice), NOTICE_VALID);
        char *printed = notify_print("::1", "/callback/", &notice, NULL, &printed_bytes);
        assert_string_equal(printed, recorded);
        assert_int_equal(printed_bytes, recorded_bytes);
        free(printed);
        free(recorded);
    }
    globfree(&found);
}

/* ---- the network ----------------------------------------------------------------------------------- */

static void every_kind_of_block_passes_the_relays_checks(void **state)
{
    (void)state;
    const uint8_t seed[32] = {1, 2, 3};
    struct network *network = network_open(seed, 3);
    struct notice notice;
    assert_int_equal(amount_compare(network_balance(network, NETWORK_GENESIS), ALL_MONEY), 0);
    for (int style = NETWORK_LEGACY; style >= NETWORK_STATE; style--) {
        enum network_style s = (enum network_style)style;
        for (int i = 0; i < 2; i++) { /* the open first, then a receive */
            assert_int_equal(network_transfer(network, 0, s, 1, raw("5000"), &notice), CS_OK);
            assert_valid(&notice);
            assert_true(notice.is_send);
            assert_int_equal(network_receivable_count(network, 1), 1);
            assert_int_equal(network_receive(network, 1, s, &notice), CS_OK);
            assert_valid(&notice);
            assert_false(notice.is_send);
        }
        assert_int_equal(network_change(network, 1, s, network_key(network, 2), &notice), CS_OK);
        assert_valid(&notice);
        assert_int_equal(network_send(network, 1, s, network_key(network, 2), raw("7"), &notice), CS_OK);
        assert_valid(&notice);
        assert_int_equal(notice.block.type, s == NETWORK_STATE ? BLOCK_STATE : BLOCK_SEND);
        assert_int_equal(amount_compare(notice.amount, raw("7")), 0);
    }
    assert_int_equal(amount_compare(network_balance(network, 1), raw("19986")), 0);
    network_close(network);
}

static void chains_hold_together(void **state)
{
    (void)state;
    const uint8_t seed[32] = {4};
    struct network *network = network_open(seed, 2);
    struct notice before, after;
    const uint8_t *to = network_key(network, 1);
    assert_int_equal(network_send(network, 0, NETWORK_LEGACY, to, raw("1"), &before), CS_OK);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(network_send(network, 0, NETWORK_STATE, to, raw("1"), &after), CS_OK);
        assert_memory_equal(after.block.previous, before.hash, 32);
        struct amount sum;
        assert_true(amount_add(after.block.balance, after.amount, &sum));
        assert_int_equal(amount_compare(sum, before.block.balance), 0);
        before = after;
    }
    network_close(network);
}

static void what_the_rules_forbid_is_refused(void **state)
{
    (void)state;
    const uint8_t seed[32] = {5};
    struct network *network = network_open(seed, 2);
    const uint8_t *to = network_key(network, 1);
    struct notice notice;
    assert_int_equal(network_send(network, 1, NETWORK_STATE, to, raw("1"), &notice), CS_ECONFLICT);
    assert_int_equal(network_change(network, 1, NETWORK_STATE, to, &notice), CS_ECONFLICT);
    assert_int_equal(network_receive(network, 1, NETWORK_STATE, &notice), CS_ENOTFOUND);
    assert_int_equal(network_send(network, 0, NETWORK_STATE, to, raw("0"), &notice), CS_ECONFLICT);

    assert_int_equal(network_transfer(network, 0, NETWORK_STATE, 1, raw("10"), &notice), CS_OK);
    assert_int_equal(network_send(network, 0, NETWORK_LEGACY, to, raw("1"), &notice), CS_ECONFLICT);
    assert_int_equal(network_receive(network, 1, NETWORK_LEGACY, &notice), CS_OK);
    assert_int_equal(network_send(network, 1, NETWORK_LEGACY, to, raw("11"), &notice), CS_ECONFLICT);
    assert_int_equal(network_send(network, 1, NETWORK_LEGACY, to, raw("10"), &notice), CS_OK);
    for (int i = 0; i < NETWORK_RECEIVABLE_MOST; i++) {
        assert_int_equal(network_transfer(network, 0, NETWORK_STATE, 1, raw("1"), &notice), CS_OK);
    }
    assert_int_equal(network_transfer(network, 0, NETWORK_STATE, 1, raw("1"), &notice), CS_EBUSY);
    network_close(network);
}

static void a_draft_leaves_no_trace_on_the_chain(void **state)
{
    (void)state;
    const uint8_t seed[32] = {6};
    struct network *network = network_open(seed, 1);
    struct notice draft, real;
    const uint8_t *to = network_key(network, 0);
    assert_int_equal(network_draft_send(network, 0, NETWORK_STATE, to, raw("3"), &draft), CS_OK);
    assert_int_equal(amount_compare(network_balance(network, 0), ALL_MONEY), 0);
    assert_int_equal(network_send(network, 0, NETWORK_STATE, to, raw("4"), &real), CS_OK);
    assert_memory_equal(draft.block.previous, real.block.previous, 32);
    assert_memory_not_equal(draft.hash, real.hash, 32);
    network_close(network);
}

/* ---- scenarios ------------------------------------------------------------------------------------- */

#define TARGETS 5

static struct address targets[TARGETS];

static int make_targets(void **state)
{
    (void)state;
    const uint8_t seed[32] = {200};
    for (uint32_t i = 0; i < TARGETS; i++) {
        struct sign_key key;
        sign_derive_key(seed, i, &key);
        targets[i] = address_from_nano_key(key.public_key);
    }
    return 0;
}

static struct scenario_options options_of(uint64_t seed)
{
    struct scenario_options options = {
        .seed = seed, .drivers = 4, .targets = targets, .target_count = TARGETS};
    assert_true(scenario_parse_amounts("0.1-2.0", &options.amounts));
    return options;
}

static struct scenario_options rough_options_of(uint64_t seed)
{
    struct scenario_options options = options_of(seed);
    options.duplicates_percent = 30;
    options.forgeries_percent = 60;
    options.reorder_percent = 30;
    options.legacy_percent = 40;
    options.noise_percent = 150;
    return options;
}

/* All the news of so many payments; the caller frees. */
static struct scenario_news *play(const struct scenario_options *options, size_t payments, size_t *count)
{
    struct scenario *scenario = scenario_open(options);
    size_t room = payments * 20;
    struct scenario_news *news = calloc(room, sizeof(*news));
    assert_non_null(news);
    *count = 0;
    for (size_t i = 0; i <= payments; i++) {
        if (i < payments) {
            assert_int_equal(scenario_pay(scenario), CS_OK);
        } else {
            scenario_release(scenario);
        }
        while (*count < room && scenario_take(scenario, &news[*count])) {
            (*count)++;
        }
    }
    assert_true(*count < room);
    scenario_close(scenario);
    return news;
}

static bool pays_a_target(const struct notice *notice)
{
    bool found = false;
    for (size_t i = 0; i < TARGETS; i++) {
        found = found || memcmp(notice->block.link, targets[i].bytes, 32) == 0;
    }
    return notice->is_send && found;
}

static void the_same_seed_gives_the_same_news(void **state)
{
    (void)state;
    struct scenario_options options = rough_options_of(42), others = rough_options_of(43);
    size_t count, again_count, other_count;
    struct scenario_news *news = play(&options, 100, &count);
    struct scenario_news *again = play(&options, 100, &again_count);
    struct scenario_news *other = play(&others, 100, &other_count);
    assert_int_equal(count, again_count);
    for (size_t i = 0; i < count; i++) {
        size_t size, again_size;
        char *printed = notify_print("h", "/", &news[i].notice, NULL, &size);
        char *reprinted = notify_print("h", "/", &again[i].notice, NULL, &again_size);
        assert_string_equal(printed, reprinted);
        assert_string_equal(news[i].how, again[i].how);
        assert_int_equal(news[i].kind, again[i].kind);
        free(printed);
        free(reprinted);
    }
    assert_memory_not_equal(news[0].notice.account, other[0].notice.account, 32);
    free(news);
    free(again);
    free(other);
}

static void only_forgeries_are_refused_and_each_for_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *how;
        enum notice_verdict verdict;
    } reasons[] = {
        {"wrong_signature", NOTICE_WRONG_SIGNATURE}, {"wrong_hash", NOTICE_WRONG_HASH},
        {"impossible_amount", NOTICE_CONTRADICTION}, {"wrong_link_as_account", NOTICE_CONTRADICTION},
        {"wrong_account", NOTICE_CONTRADICTION},
    };
    size_t seen[5] = {0}, count, legacy = 0;
    struct scenario_options options = rough_options_of(7);
    struct scenario_news *news = play(&options, 300, &count);
    for (size_t i = 0; i < count; i++) {
        enum notice_verdict verdict = judge_news(&news[i]);
        legacy += news[i].notice.block.type == BLOCK_SEND ? 1 : 0;
        if (news[i].kind != SCENARIO_FORGERY) {
            assert_int_equal(verdict, NOTICE_VALID);
            continue;
        }
        bool known = false;
        for (size_t r = 0; r < 5; r++) {
            if (strcmp(news[i].how, reasons[r].how) == 0) {
                known = true;
                seen[r]++;
                /* A legacy block does not name its account: there the signature gives it away. */
                bool nameless = r == 4 && news[i].notice.block.type == BLOCK_SEND;
                assert_int_equal(verdict, nameless ? NOTICE_WRONG_SIGNATURE : reasons[r].verdict);
            }
        }
        assert_true(known);
    }
    for (size_t r = 0; r < 5; r++) {
        assert_true(seen[r] > 0);
    }
    assert_true(legacy > 0);
    free(news);
}

static void every_payment_is_told_once_and_noise_pays_no_target(void **state)
{
    (void)state;
    struct scenario_options options = rough_options_of(11);
    size_t count, sends = 0, duplicates = 0, reordered = 0, noise = 0;
    struct scenario_news *news = play(&options, 200, &count);
    for (size_t i = 0; i < count; i++) {
        size_t before = 0;
        for (size_t j = 0; j < i; j++) {
            before +=
                news[j].kind != SCENARIO_FORGERY && memcmp(news[j].notice.hash, news[i].notice.hash, 32) == 0;
        }
        switch (news[i].kind) {
        case SCENARIO_SEND:
            sends++;
            reordered += strcmp(news[i].how, "reordered") == 0;
            assert_int_equal(before, 0);
            assert_true(pays_a_target(&news[i].notice));
            break;
        case SCENARIO_DUPLICATE:
            duplicates++;
            assert_true(before > 0);
            break;
        case SCENARIO_NOISE:
            noise++;
            assert_int_equal(before, 0);
            assert_false(pays_a_target(&news[i].notice));
            break;
        case SCENARIO_FORGERY:
            assert_true(pays_a_target(&news[i].notice));
            break;
        }
    }
    assert_int_equal(sends, 200);
    assert_in_range(duplicates, 30, 90);
    assert_in_range(reordered, 20, 90);
    assert_true(noise >= 250);
    free(news);
}

static void each_round_pays_each_target_once(void **state)
{
    (void)state;
    struct scenario_options options = options_of(3);
    size_t count;
    struct scenario_news *news = play(&options, 4 * TARGETS, &count);
    assert_int_equal(count, 4 * TARGETS); /* and without noise, nobody hears of the funding */
    for (size_t round = 0; round < 4; round++) {
        for (size_t t = 0; t < TARGETS; t++) {
            size_t paid = 0;
            for (size_t i = 0; i < TARGETS; i++) {
                const struct notice *notice = &news[round * TARGETS + i].notice;
                paid += memcmp(notice->block.link, targets[t].bytes, 32) == 0;
            }
            assert_int_equal(paid, 1);
        }
    }
    free(news);
}

static void the_money_runs_out_with_a_word(void **state)
{
    (void)state;
    struct scenario_options options = options_of(3);
    assert_true(scenario_parse_amounts("100000000nano", &options.amounts)); /* a third of what there is */
    struct scenario *scenario = scenario_open(&options);
    int paid = 0;
    while (scenario_pay(scenario) == CS_OK) {
        paid++;
    }
    assert_int_equal(paid, 3);
    assert_int_equal(scenario_pay(scenario), CS_EFULL);
    scenario_close(scenario);
}

static void amounts_are_drawn_in_steps_of_the_finest_digit(void **state)
{
    (void)state;
    struct scenario_amounts amounts;
    struct chance chance = {9};
    assert_true(scenario_parse_amounts("500000", &amounts));
    assert_int_equal(amount_compare(amounts.low, raw("500000")), 0);
    assert_int_equal(amounts.zeros, 0);
    assert_true(scenario_parse_amounts("0.05-1", &amounts));
    assert_int_equal(amounts.zeros, 28);
    assert_int_equal(amount_compare(amounts.low, raw("5")), 0);
    assert_int_equal(amount_compare(amounts.high, raw("100")), 0);
    assert_true(scenario_parse_amounts("1-5nano", &amounts));
    assert_int_equal(amounts.zeros, 30);
    assert_true(scenario_parse_amounts("1-340282366920938463463374607431768211455", &amounts));
    for (int i = 0; i < 1000; i++) {
        struct amount drawn = chance_amount(&chance, raw("10"), raw("13"));
        assert_in_range(drawn.low, 10, 13);
        assert_int_equal(drawn.high, 0);
        drawn = chance_amount(&chance, amounts.low, amounts.high);
        assert_false(amount_is_zero(drawn));
    }
    static const char *const wrong[] = {
        "",    "0",     "0.0",          "-1",      "1-",
        "2-1", "1.2.3", "1e5",          "0.5-0.4", "340282366920938463463374607431768211456",
        "x",   "raw",   "500000000nano"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(scenario_parse_amounts(wrong[i], &amounts));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_derived_as_nano_documents),
        cmocka_unit_test(a_signature_is_valid_for_its_hash_and_key_alone),
        cmocka_unit_test(every_recorded_callback_is_printed_to_the_byte),
        cmocka_unit_test(every_kind_of_block_passes_the_relays_checks),
        cmocka_unit_test(chains_hold_together),
        cmocka_unit_test(what_the_rules_forbid_is_refused),
        cmocka_unit_test(a_draft_leaves_no_trace_on_the_chain),
        cmocka_unit_test(the_same_seed_gives_the_same_news),
        cmocka_unit_test(only_forgeries_are_refused_and_each_for_its_reason),
        cmocka_unit_test(every_payment_is_told_once_and_noise_pays_no_target),
        cmocka_unit_test(each_round_pays_each_target_once),
        cmocka_unit_test(the_money_runs_out_with_a_word),
        cmocka_unit_test(amounts_are_drawn_in_steps_of_the_finest_digit),
    };
    return cmocka_run_group_tests(tests, make_targets, NULL);
}
