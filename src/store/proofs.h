/*
 * proofs: what a device needs to see for itself that a payment is real: its block, and the block before it. docs/decisions/0011-proofs.md.
 * A payment to a device whose config says `proof` is stored at once, and its delivery is held, without a seq, until the block before is here:
 * so the device's other payments pass it. What is held outlives a crash.
 * Threads as in store.h: store_submit_… any, never blocks; reader_… any, may wait for a connection; the rest any, from memory.
 */
#ifndef COINSLOT_STORE_PROOFS_H
#define COINSLOT_STORE_PROOFS_H

#include "store/store.h"

struct reader_held {
    int64_t payment; /* the store's number for it */
    int64_t stored_at_ms;
    bool wanted; /* false: none of its devices wants proofs any more */
    size_t block_size;
    uint8_t block[STORE_PROOF_MAX]; /* the payment's own, packed */
};
#define READER_HELD_MOST 64
/* Payments with a delivery that is held, in the order of storing, after the payment `after`. */
CS_MUST_CHECK enum cs_err reader_page_held(struct store *store, int64_t after, uint32_t limit,
                                           struct reader_held *rows, size_t *count);

/*
 * The block before that payment's, packed: its deliveries get their seqs. `previous` NULL: it cannot be had, they go out without proof. Once they
 * have gone, nothing. CS_EBUSY, CS_ECLOSED. Should the disk be full, it is held on: nobody is told, reader_page_held has it again.
 */
CS_MUST_CHECK enum cs_err store_submit_previous(struct store *store, int64_t payment, const uint8_t *previous,
                                                size_t previous_size);
int64_t store_held_count(struct store *store);

/* Whether proofs can be had now. Not, from the start on, before this was called. */
void store_set_provable(struct store *store, bool provable);
/* Why this device must not be paid, beside store_not_payable: NULL, or a code that lives for ever. */
const char *store_device_not_payable(struct store *store, int64_t device_num);

#endif
