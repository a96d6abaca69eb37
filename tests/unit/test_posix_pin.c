/* The pin's guard, and the GPIO line behind it: these stand in for libgpiod's functions, which is not linked here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <gpiod.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "posix/outputs.h"
#include "posix/pin.h"

/* What the fake line has seen. Shared, because it lives in the guard. */
struct seen {
    atomic_int value; /* -1: never requested */
    atomic_int first; /* the value that it was requested with */
    atomic_int flags, line, sets, released, closed;
    atomic_int no_chip, no_line, stuck; /* what fails */
    char chip[64];
};

static struct seen *seen;

struct gpiod_chip *gpiod_chip_open_lookup(const char *name)
{
    if (seen->no_chip) {
        errno = ENOENT;
        return NULL;
    }
    strncpy(seen->chip, name, sizeof(seen->chip) - 1);
    return (struct gpiod_chip *)seen;
}

struct gpiod_line *gpiod_chip_get_line(struct gpiod_chip *chip, unsigned offset)
{
    seen->line = (int)offset;
    return (struct gpiod_line *)chip;
}

int gpiod_line_request_output_flags(struct gpiod_line *line, const char *consumer, int flags, int value)
{
    (void)line;
    assert_string_equal(consumer, "coinslot-meter");
    if (seen->no_line) {
        errno = EBUSY;
        return -1;
    }
    seen->flags = flags;
    seen->value = seen->first = value;
    return 0;
}

int gpiod_line_set_value(struct gpiod_line *line, int value)
{
    (void)line;
    if (seen->stuck) {
        return -1;
    }
    seen->sets++;
    seen->value = value;
    return 0;
}

void gpiod_line_release(struct gpiod_line *line)
{
    (void)line;
    seen->released++;
}

void gpiod_chip_close(struct gpiod_chip *chip)
{
    (void)chip;
    seen->closed++;
}

static int set_up(void **state)
{
    (void)state;
    memset(seen, 0, sizeof(*seen));
    seen->value = seen->first = -1;
    return 0;
}

static void await(const atomic_int *what, int value, int most_ms)
{
    for (int waited_ms = 0; *what != value && waited_ms < most_ms; waited_ms += 5) {
        usleep(5000);
    }
    assert_int_equal(*what, value);
}

static void open_gpio(struct output *output, struct pin *pin, bool active_low)
{
    char error[PIN_ERROR_SIZE];
    assert_true(output_be_gpio(output, "gpiochip0:17", active_low, error));
    assert_int_equal(pin_open(pin, &output->pin, error), CS_OK);
}

/* ---- tests -------------------------------------------------------------------------------------------------------------- */

static void a_line_is_off_from_the_first_and_follows_the_meter(void **state)
{
    (void)state;
    struct output output;
    struct pin pin;
    open_gpio(&output, &pin, true);
    assert_string_equal(seen->chip, "gpiochip0");
    assert_int_equal(seen->line, 17);
    assert_int_equal(seen->flags, GPIOD_LINE_REQUEST_FLAG_ACTIVE_LOW);
    assert_int_equal(seen->first, 0);
    assert_true(pin_set(&pin, true));
    await(&seen->value, 1, 2000);
    assert_true(pin_set(&pin, true));
    assert_true(pin_set(&pin, false));
    await(&seen->value, 0, 2000);
    assert_int_equal(seen->sets, 2); /* repeats change nothing */
    pin_close(&pin);
    assert_int_equal(seen->released, 1);
    assert_int_equal(seen->closed, 1);
}

static void a_line_is_off_once_the_meter_has_ended_in_whatever_way(void **state)
{
    (void)state;
    pid_t meter = fork();
    if (meter == 0) {
        struct output output;
        struct pin pin;
        open_gpio(&output, &pin, false);
        assert_true(pin_set(&pin, true));
        await(&seen->value, 1, 2000);
        raise(SIGKILL);
    }
    int status;
    waitpid(meter, &status, 0);
    assert_true(WIFSIGNALED(status));
    await(&seen->released, 1, 2000);
    assert_int_equal(seen->value, 0);
    assert_int_equal(seen->flags, 0);
}

static void a_line_is_off_while_the_meter_says_nothing(void **state)
{
    (void)state;
    struct output output;
    struct pin pin;
    open_gpio(&output, &pin, false);
    assert_true(pin_set(&pin, true));
    await(&seen->value, 1, 2000);
    await(&seen->value, 0, PIN_PATIENCE_MS + 2000);
    assert_true(pin_set(&pin, true));
    await(&seen->value, 1, 2000);
    pin_close(&pin);
    assert_int_equal(seen->value, 0);
}

static void a_line_that_cannot_be_had_or_switched_is_told(void **state)
{
    (void)state;
    struct output output;
    struct pin pin;
    char error[PIN_ERROR_SIZE];
    seen->no_chip = 1;
    assert_true(output_be_gpio(&output, "gpiochip9:1", false, error));
    assert_int_equal(pin_open(&pin, &output.pin, error), CS_EIO);
    assert_non_null(strstr(error, "cannot open the GPIO chip gpiochip9: No such file"));
    seen->no_chip = 0;
    seen->no_line = 1;
    assert_int_equal(pin_open(&pin, &output.pin, error), CS_EIO);
    assert_non_null(strstr(error, "cannot have line 1 of the GPIO chip gpiochip9: Device or resource busy"));
    assert_int_equal(seen->closed, 1);
    seen->no_line = 0;
    assert_int_equal(pin_open(&pin, &output.pin, error), CS_OK);
    seen->stuck = 1;
    assert_true(pin_set(&pin, true));
    await(&seen->released, 1, 2000);
    int tries = 0;
    while (pin_set(&pin, true) && tries++ < 400) {
        usleep(5000);
    }
    assert_true(tries < 400);
    pin_close(&pin);
}

static void what_is_no_line_of_a_chip_is_refused(void **state)
{
    (void)state;
    static const char *const WRONG[] = {
        "", "gpiochip0", "gpiochip0:", ":17", "gpiochip0:-1", "gpiochip0:1x", "gpiochip0:12345"};
    struct output output;
    char error[PIN_ERROR_SIZE];
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        assert_false(output_be_gpio(&output, WRONG[i], false, error));
        assert_non_null(strstr(error, "gpiochip0:17"));
    }
    assert_true(output_be_gpio(&output, "/dev/gpiochip2:0", false, error));
    assert_string_equal(output.gpio.chip, "/dev/gpiochip2");
}

int main(void)
{
    seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_line_is_off_from_the_first_and_follows_the_meter, set_up),
        cmocka_unit_test_setup(a_line_is_off_once_the_meter_has_ended_in_whatever_way, set_up),
        cmocka_unit_test_setup(a_line_is_off_while_the_meter_says_nothing, set_up),
        cmocka_unit_test_setup(a_line_that_cannot_be_had_or_switched_is_told, set_up),
        cmocka_unit_test_setup(what_is_no_line_of_a_chip_is_refused, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
