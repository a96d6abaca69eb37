/* coinslot-meter: a meter for Linux boards. */
#include <sodium.h>
#include <stdio.h>

#include "posix/identity.h"
#include "posix/meter.h"
#include "posix/settings.h"

int main(int argc, char **argv)
{
    struct settings settings;
    struct settings_orders orders;
    if (sodium_init() < 0) {
        return settings_failed("libsodium does not start");
    }
    int code = settings_read(argc, argv, &settings, &orders);
    if (code != SETTINGS_GO_ON) {
        return code;
    }
    if (orders.print_config) {
        settings_print(stdout);
        return fflush(stdout) == 0 ? 0 : 1;
    }
    if (orders.make_key != NULL) {
        return identity_make_key(orders.make_key);
    }
    return orders.show ? meter_show(&settings) : meter_run(&settings);
}
