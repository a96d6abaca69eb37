/* Text to address: what is read must be written back but for its prefix; any key must survive being written
 * and read. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "payment/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct address address, back;
    char again[ADDRESS_TEXT_SIZE];
    char *text = malloc(size + 1);
    assert(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    if (address_parse(CHAIN_NANO, text, &address)) {
        address_format(&address, again);
        assert(strcmp(again + 5, text + strlen(text) - 60) == 0);
    }
    if (size >= 32) {
        address = address_from_nano_key(data);
        address_format(&address, again);
        assert(address_parse(CHAIN_NANO, again, &back) && address_equal(&address, &back));
    }
    free(text);
    return 0;
}
