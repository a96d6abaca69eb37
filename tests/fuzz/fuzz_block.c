/* A block's JSON: what is read must survive being printed and packed, with the same hash. The bytes are also
 * tried as a packed block. */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "verify/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_packed(const struct block *block)
{
    struct block back;
    uint8_t bytes[BLOCK_PACKED_SIZE], again[BLOCK_PACKED_SIZE], hash[32], hash_again[32];
    block_pack(block, bytes);
    enum cs_err err = block_unpack(bytes, &back);
    assert(err == CS_OK);
    block_pack(&back, again);
    assert(memcmp(bytes, again, sizeof(bytes)) == 0);
    block_hash(block, hash);
    block_hash(&back, hash_again);
    assert(memcmp(hash, hash_again, sizeof(hash)) == 0);
}

static void check_printed(const struct block *block)
{
    struct block back;
    char error[BLOCK_ERROR_SIZE];
    uint8_t bytes[BLOCK_PACKED_SIZE], again[BLOCK_PACKED_SIZE];
    json_t *object = block_to_json(block);
    enum cs_err err = block_read(json_view_of_tree(object), &back, error);
    assert(err == CS_OK);
    block_pack(block, bytes);
    block_pack(&back, again);
    assert(memcmp(bytes, again, sizeof(bytes)) == 0);
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct block block;
    char why[JSON_ERROR_SIZE], error[BLOCK_ERROR_SIZE];
    json_t *object = json_read((const char *)data, size, 8, why);
    if (object != NULL) {
        if (block_read(json_view_of_tree(object), &block, error) == CS_OK) {
            check_packed(&block);
            check_printed(&block);
        } else {
            assert(error[0] != '\0' && memchr(error, '\0', sizeof(error)) != NULL);
        }
        json_decref(object);
    }
    if (size >= BLOCK_PACKED_SIZE && block_unpack(data, &block) == CS_OK) {
        check_packed(&block);
        check_printed(&block);
        uint8_t again[BLOCK_PACKED_SIZE], hash[32];
        block_pack(&block, again);
        assert(memcmp(data, again, sizeof(again)) == 0);
        block_hash(&block, hash);
        (void)block_signature_valid(hash, block.signature, block.account);
    }
    return 0;
}
