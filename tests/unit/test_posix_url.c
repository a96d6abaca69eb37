#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "posix/url.h"

static struct url parse(const char *text)
{
    struct url url;
    char error[URL_ERROR_SIZE];
    assert_int_equal(url_parse(text, &url, error), CS_OK);
    return url;
}

static void check(const char *text, bool secure, const char *host, unsigned port, const char *authority,
                  const char *path)
{
    struct url url = parse(text);
    assert_int_equal(url.secure, secure);
    assert_string_equal(url.host, host);
    assert_int_equal(url.port, port);
    assert_string_equal(url.authority, authority);
    assert_string_equal(url.path, path);
}

static void a_relay_is_found_by_host_port_and_path(void **state)
{
    (void)state;
    check("ws://127.0.0.1:7091", false, "127.0.0.1", 7091, "127.0.0.1:7091", "/device");
    check("ws://relay.example", false, "relay.example", 80, "relay.example:80", "/device");
    check("wss://relay.example/", true, "relay.example", 443, "relay.example:443", "/device");
    check("wss://relay.example:8443/coinslot", true, "relay.example", 8443, "relay.example:8443",
          "/coinslot/device");
    check("ws://[::1]:7091/device", false, "::1", 7091, "[::1]:7091", "/device");
    check("ws://[::1]/a/device/", false, "::1", 80, "[::1]:80", "/a/device");
    check("ws://h/mydevice", false, "h", 80, "h:80", "/mydevice/device");
}

static void what_is_no_such_address_is_refused_with_what_to_do(void **state)
{
    (void)state;
    static const char *const WRONG[] = {
        "",
        "relay:7091",
        "http://relay",
        "ws://",
        "ws://:7091",
        "ws://relay:",
        "ws://relay:0",
        "ws://relay:65536",
        "ws://relay:7x",
        "ws://a b",
        "ws://u@h",
        "ws://h#x",
        "ws://h?x",
        "ws://[::1:7091",
        "ws://::1:7091",
        "wss://[::1]:7091",
        "ws://[]:1",
        "ws://h\x01",
        "ws://h\xc3\xa4",
    };
    char error[URL_ERROR_SIZE], text[600];
    struct url url;
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        assert_int_equal(url_parse(WRONG[i], &url, error), CS_EINVAL);
        assert_true(strlen(error) > 10);
    }
    memset(text, 'a', sizeof(text));
    memcpy(text, "ws://", 5);
    text[5 + 101] = '\0';
    assert_int_equal(url_parse(text, &url, error), CS_EINVAL);
    text[5 + 101] = 'a';
    text[6] = '/';
    text[599] = '\0';
    assert_int_equal(url_parse(text, &url, error), CS_EINVAL);
}

static void only_this_machine_is_loopback(void **state)
{
    (void)state;
    static const char *const NEAR[] = {"ws://127.0.0.1:1", "ws://127.1.2.3", "ws://localhost",
                                       "ws://[::1]:1"};
    static const char *const FAR[] = {"ws://192.0.2.1",   "ws://localhost.example",
                                      "ws://127.example", "ws://1270.0.0.1",
                                      "ws://[::2]",       "wss://relay"};
    for (size_t i = 0; i < sizeof(NEAR) / sizeof(NEAR[0]); i++) {
        struct url url = parse(NEAR[i]);
        assert_true(url_is_loopback(&url));
    }
    for (size_t i = 0; i < sizeof(FAR) / sizeof(FAR[0]); i++) {
        struct url url = parse(FAR[i]);
        assert_false(url_is_loopback(&url));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_relay_is_found_by_host_port_and_path),
        cmocka_unit_test(what_is_no_such_address_is_refused_with_what_to_do),
        cmocka_unit_test(only_this_machine_is_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
