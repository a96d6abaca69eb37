/* A callback's body. What is valid must be consistent in itself; what is not must say why. */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "verify/notice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_valid(const struct notice *notice)
{
    uint8_t hash[32];
    char error[NOTICE_ERROR_SIZE];
    block_hash(&notice->block, hash);
    assert(memcmp(hash, notice->hash, sizeof(hash)) == 0);
    (void)notice_check_signature(notice, error);
    if (notice->is_send) {
        struct payment payment;
        struct amount before;
        notice_to_payment(notice, &payment);
        assert(!amount_is_zero(payment.amount));
        assert(amount_add(notice->block.balance, payment.amount, &before));
        assert(memcmp(payment.hash, hash, sizeof(hash)) == 0);
        assert(memcmp(payment.to.bytes, notice->block.link, 32) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct notice notice;
    char why[JSON_ERROR_SIZE], error[NOTICE_ERROR_SIZE];
    json_t *object = json_read((const char *)data, size, 8, why);
    if (object == NULL) {
        return 0;
    }
    if (notice_read(object, &notice, error) == NOTICE_VALID) {
        check_valid(&notice);
    } else {
        assert(error[0] != '\0' && memchr(error, '\0', sizeof(error)) != NULL);
    }
    json_decref(object);
    return 0;
}
