/*
 * What a display of 128 x 64 shows, dot for dot: a meter on the bench is brought to each of its screens, and tests/esp32/screens holds them as
 * text, two rows of dots to a line. To make them
 * anew: COINSLOT_DRAW=1 test_esp32_picture, then look at them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <qrcodegen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/rig.h"
#include "plain/font.h"
#include "plain/picture.h"

#define ACCOUNT "nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3"
#define QR      "nano:" ACCOUNT "?amount=100000000000000000000000000000"

static void make_code(const char *text, struct picture_code *code)
{
    uint8_t made[qrcodegen_BUFFER_LEN_FOR_VERSION(PICTURE_CODE_VERSION)], scratch[sizeof(made)];
    picture_code_clear(code, 0);
    if (text[0] == '\0') {
        return;
    }
    assert_true(qrcodegen_encodeText(text, scratch, made, qrcodegen_Ecc_LOW, qrcodegen_VERSION_MIN,
                                     PICTURE_CODE_VERSION, qrcodegen_Mask_AUTO, true));
    int size = qrcodegen_getSize(made);
    picture_code_clear(code, (uint8_t)size);
    for (int y = 0; y < size; y++) {
        for (int x = 0; x < size; x++) {
            if (qrcodegen_getModule(made, x, y)) {
                picture_code_darken(code, (unsigned)x, (unsigned)y);
            }
        }
    }
}

/* Two rows of dots to a line, as half blocks. */
static void print_picture(const struct picture *picture, FILE *out)
{
    static const char *const HALVES[] = {" ", "▀", "▄", "█"};
    for (unsigned y = 0; y < PICTURE_HEIGHT; y += 2) {
        for (unsigned x = 0; x < PICTURE_WIDTH; x++) {
            unsigned upper = picture_is_lit(picture, x, y), lower = picture_is_lit(picture, x, y + 1);
            fputs(HALVES[upper | lower << 1], out);
        }
        fputs("|\n", out); /* so that no line ends with a blank */
    }
}

/* ---- how a meter comes to show it ----------------------------------------------------------------------------------------- */

#define NANO_0_01 "10000000000000000000000000000"
#define NANO_0_03 "30000000000000000000000000000"
#define NANO_0_1  "100000000000000000000000000000"

static struct rig rig;

static void starting(void)
{
    rig_power_on(&rig);
}

static void prices(void)
{
    rig_power_on(&rig);
    rig_open_session(&rig, 0);
}

static void paid(void)
{
    prices();
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 2);
}

static void topped_up(void)
{
    paid();
    rig_run(&rig, 60000);
    rig_say_payment(&rig, 2, 1, 2, NANO_0_03, 2);
}

static void paid_hours(void)
{
    prices();
    rig_say_payment(&rig, 1, 1, 1, "1" NANO_0_1, 2);
}

static void paid_alone(void)
{
    paid();
    rig_disconnect(&rig, 1001);
}

static void not_enough(void)
{
    prices();
    rig_say_payment(&rig, 1, 1, 1, NANO_0_01, 2);
}

static void too_late(void)
{
    prices();
    rig_say_payment(&rig, 1, 1, 1, NANO_0_1, 901);
}

static void refused(void)
{
    prices();
    rig_say_sealed(
        &rig,
        "{\"type\":\"payment\",\"seq\":1,\"config_version\":1,\"payment\":{\"chain\":\"evr\",\"hash\":"
        "\"00000000000000000000000000000000000000000000000000000000000000fe\",\"output\":1,\"amount\":\"" NANO_0_1
        "\",\"age_s\":6}}");
}

static void dont_pay(void)
{
    prices();
    rig_disconnect(&rig, 0);
}

static void delayed(void)
{
    prices();
    rig_say_state(&rig, false);
}

static void without_address(void)
{
    rig_power_on(&rig);
    rig_connect(&rig);
    rig_say_challenge(&rig, RIG_EPOCH);
    rig_say_welcome(&rig, 0, 0, NULL);
    rig_say_state(&rig, true);
}

static void out_of_service(void)
{
    prices();
    rig_say_sealed(&rig, "{\"type\":\"error\",\"code\":\"retired\",\"message\":\"\"}");
    rig_disconnect(&rig, 4007);
}

struct example {
    const char *name;
    enum core_screen_kind kind;
    void (*bring)(void);       /* NULL: `screen` is what is shown */
    struct core_screen screen; /* filled in where the meter shows it */
};

static struct example examples[] = {
    {"starting", CORE_SCREEN_STARTING, starting, {0}},
    {"prices", CORE_SCREEN_PRICES, prices, {0}},
    {"paid", CORE_SCREEN_PAID, paid, {0}},
    {"topped_up", CORE_SCREEN_PAID, topped_up, {0}},
    {"paid_hours", CORE_SCREEN_PAID, paid_hours, {0}},
    {"paid_alone", CORE_SCREEN_PAID, paid_alone, {0}},
    {"not_enough", CORE_SCREEN_NOT_ENOUGH, not_enough, {0}},
    {"too_late", CORE_SCREEN_TOO_LATE, too_late, {0}},
    {"refused", CORE_SCREEN_REFUSED, refused, {0}},
    {"dont_pay", CORE_SCREEN_DONT_PAY, dont_pay, {0}},
    {"delayed", CORE_SCREEN_DONT_PAY, delayed, {0}},
    {"without_address", CORE_SCREEN_DONT_PAY, without_address, {0}},
    {"out_of_service", CORE_SCREEN_OUT_OF_SERVICE, out_of_service, {0}},
    /* The demo's tariff, which is as much as fits beside a code. */
    {"four_prices",
     CORE_SCREEN_PRICES,
     NULL,
     {.kind = CORE_SCREEN_PRICES,
      .line_count = 6,
      .lines = {"Scan to pay", "0.1 = 6 min", "0.2 = 12 min 30 s", "0.5 = 32 min 30 s", "1 = 1 h 10 min",
                "at most 2 h"},
      .qr = QR}},
    /* display.c's own. */
    {"not_set_up",
     CORE_SCREEN_OUT_OF_SERVICE,
     NULL,
     {.kind = CORE_SCREEN_OUT_OF_SERVICE,
      .line_count = 3,
      .lines = {"Not set up", "See the serial line:", "`help`"}}},
};

#define EXAMPLE_COUNT (sizeof(examples) / sizeof(examples[0]))

static int bring_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < EXAMPLE_COUNT; i++) {
        if (examples[i].bring != NULL) {
            rig_init(&rig);
            examples[i].bring();
            examples[i].screen = rig.screen;
        }
        assert_int_equal(examples[i].screen.kind, examples[i].kind);
    }
    return 0;
}

static void draw(const struct core_screen *screen, struct picture *picture)
{
    struct picture_code code;
    make_code(screen->qr, &code);
    picture_draw(picture, screen, &code);
}

static void compare_with_file(const struct example *example, const char *text, size_t length)
{
    char name[512], kept[16384];
    snprintf(name, sizeof(name), SOURCE_DIR "/tests/esp32/screens/%s.txt", example->name);
    if (getenv("COINSLOT_DRAW") != NULL) {
        FILE *out = fopen(name, "w");
        assert_non_null(out);
        fwrite(text, 1, length, out);
        fclose(out);
        return;
    }
    FILE *in = fopen(name, "r");
    assert_non_null(in);
    size_t size = fread(kept, 1, sizeof(kept), in);
    fclose(in);
    if (size != length || memcmp(kept, text, length) != 0) {
        fail_msg("%s is drawn otherwise now:\n%.*s", example->name, (int)length, text);
    }
}

static void every_screen_is_drawn_as_it_was_looked_at(void **state)
{
    (void)state;
    for (size_t i = 0; i < EXAMPLE_COUNT; i++) {
        struct picture picture;
        char *text = NULL;
        size_t length = 0;
        draw(&examples[i].screen, &picture);
        FILE *out = open_memstream(&text, &length);
        print_picture(&picture, out);
        fclose(out);
        compare_with_file(&examples[i], text, length);
        free(text);
    }
}

static void every_kind_of_screen_is_among_them(void **state)
{
    (void)state;
    for (int kind = 0; kind < CORE_SCREEN_KINDS; kind++) {
        bool found = false;
        for (size_t i = 0; i < EXAMPLE_COUNT; i++) {
            found = found || examples[i].screen.kind == (enum core_screen_kind)kind;
        }
        assert_true(found);
    }
}

/* What a phone's camera sees is the code, module for module, with its light border, and nothing of the words in it. */
static void the_code_on_the_display_is_the_codes_modules_and_four_light_ones_around(void **state)
{
    (void)state;
    for (size_t i = 0; i < EXAMPLE_COUNT; i++) {
        struct picture picture;
        struct picture_code code;
        make_code(examples[i].screen.qr, &code);
        if (code.size == 0) {
            continue;
        }
        draw(&examples[i].screen, &picture);
        assert_int_equal(code.size, 41);
        unsigned side = 49, left = PICTURE_WIDTH - side, top = (PICTURE_HEIGHT - side) / 2;
        for (unsigned y = 0; y < side; y++) {
            for (unsigned x = 0; x < side; x++) {
                bool inside = x >= 4 && y >= 4 && x < 45 && y < 45;
                unsigned at = inside ? (y - 4) * 41 + x - 4 : 0;
                bool dark = inside && (code.dark[at / 8] >> at % 8 & 1) != 0;
                assert_int_equal(picture_is_lit(&picture, left + x, top + y), !dark);
            }
        }
        for (unsigned y = 0; y < PICTURE_HEIGHT; y++) {
            assert_false(picture_is_lit(&picture, left - 1, y));
        }
    }
}

static void the_longest_payload_of_the_core_fits_the_largest_code(void **state)
{
    (void)state;
    struct picture_code code;
    char longest[CORE_QR_SIZE] = "nano:" ACCOUNT "?amount=";
    memset(longest + strlen(longest), '9', sizeof(longest) - 1 - strlen(longest));
    make_code(longest, &code);
    assert_int_equal(code.size, PICTURE_CODE_MOST);
}

static void a_countdown_stands_still_while_its_digits_change(void **state)
{
    (void)state;
    for (char digit = '0'; digit <= '9'; digit++) {
        assert_int_equal(font_letter(digit).width, 5);
    }
}

static void letters_that_are_none_look_like_a_question_mark(void **state)
{
    (void)state;
    struct font_letter question = font_letter('?'), other = font_letter('\x80');
    assert_memory_equal(&question, &other, sizeof(other));
    other = font_letter('\n');
    assert_memory_equal(&question, &other, sizeof(other));
}

static void every_letter_is_another_one(void **state)
{
    (void)state;
    for (char a = ' '; a < '~'; a++) {
        for (char b = (char)(a + 1); b <= '~'; b++) {
            struct font_letter one = font_letter(a), other = font_letter(b);
            if (memcmp(&one, &other, sizeof(one)) == 0) {
                fail_msg("'%c' and '%c' look alike", a, b);
            }
        }
    }
}

/* Six lines that all have to be wrapped do not fit beside a code: each keeps its first words, so that no price promises more. */
static void lines_that_do_not_fit_lose_their_ends_and_none_is_missing(void **state)
{
    (void)state;
    struct core_screen screen = {.kind = CORE_SCREEN_PRICES, .line_count = 6, .qr = QR};
    struct core_screen cut = screen;
    for (unsigned i = 0; i < 6; i++) {
        snprintf(screen.lines[i], sizeof(screen.lines[i]), "0.55 = 12 min 30 secs");
        snprintf(cut.lines[i], sizeof(cut.lines[i]), "0.55 = 12 min 30");
    }
    struct picture drawn, wanted;
    draw(&screen, &drawn);
    draw(&cut, &wanted);
    assert_memory_equal(&drawn, &wanted, sizeof(drawn));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_screen_is_drawn_as_it_was_looked_at),
        cmocka_unit_test(every_kind_of_screen_is_among_them),
        cmocka_unit_test(the_code_on_the_display_is_the_codes_modules_and_four_light_ones_around),
        cmocka_unit_test(the_longest_payload_of_the_core_fits_the_largest_code),
        cmocka_unit_test(a_countdown_stands_still_while_its_digits_change),
        cmocka_unit_test(letters_that_are_none_look_like_a_question_mark),
        cmocka_unit_test(every_letter_is_another_one),
        cmocka_unit_test(lines_that_do_not_fit_lose_their_ends_and_none_is_missing),
    };
    return cmocka_run_group_tests(tests, bring_all, NULL);
}
