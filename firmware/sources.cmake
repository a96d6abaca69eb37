# What the meter's core is compiled from. One list for every build of it: firmware/posix and the tests (CMakeLists.txt), and firmware/esp32.
# Paths are relative to this folder.

set(FIRMWARE_CORE_SOURCES
    core/config.c
    core/core.c
    core/frame.c
    core/json.c
    core/json_grammar.c
    core/memory.c
    core/out.c
    core/proof.c
    core/reason.c
    core/record.c
    core/screen.c
    core/session.c
    core/store.c
    core/take.c
    core/tariff.c
    core/text.c
    )

# Of the relay, what the core is linked with: plain C11 too.
set(FIRMWARE_SHARED_SOURCES
    ../src/payment/amount.c
    ../src/payment/nano_text.c
    ../src/verify/layout.c
    )

# What a port needs that has no other cryptography than libsodium.
set(FIRMWARE_CRYPTO_SOURCES
    nano/plain_signature.c
    )
