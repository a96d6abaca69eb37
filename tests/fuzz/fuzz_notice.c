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
    struct notice notice, of_tree;
    struct json_scan scan;
    char why[JSON_ERROR_SIZE], error[NOTICE_ERROR_SIZE], tree_error[NOTICE_ERROR_SIZE];
    if (!json_scan_init(&scan, (const char *)data, size, 8, why)) {
        return 0;
    }
    json_t *object = json_read((const char *)data, size, 8, why);
    enum notice_verdict verdict = notice_read(json_view_of_scan(&scan), &notice, error);
    assert(notice_read(json_view_of_tree(object), &of_tree, tree_error) == verdict);
    assert(strcmp(error, tree_error) == 0);
    if (verdict == NOTICE_VALID) {
        check_valid(&notice);
    } else {
        assert(error[0] != '\0' && memchr(error, '\0', sizeof(error)) != NULL);
    }
    json_scan_fini(&scan);
    json_decref(object);
    return 0;
}
