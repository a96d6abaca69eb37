#include "verify/block.h"

#include <assert.h>
#include <sodium.h>

const char *block_type_text(enum block_type type)
{
    switch (type) {
    case BLOCK_STATE:
        return "state";
    case BLOCK_SEND:
        return "send";
    case BLOCK_RECEIVE:
        return "receive";
    case BLOCK_OPEN:
        return "open";
    case BLOCK_CHANGE:
        return "change";
    }
    return "?";
}

void block_hash(const struct block *block, uint8_t hash[32])
{
    uint8_t bytes[BLOCK_HASHABLES_MOST];
    size_t length = block_hashables(block, bytes);
    int failed = crypto_generichash(hash, 32, bytes, length, NULL, 0);
    assert(!failed);
}
