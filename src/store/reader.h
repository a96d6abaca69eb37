/*
 * reader: the pages of the store that people and scripts look at, over read-only connections.
 * Any thread: each call borrows one of the store's connections, waiting for one when all are out; a read transaction lasts one page.
 * Pages go newest first, or, where a device is asked for, in its seq order, newest first; `cursor` is opaque and survives restarts.
 */
#ifndef COINSLOT_STORE_READER_H
#define COINSLOT_STORE_READER_H

#include "store/store.h"

#define READER_PAGE_MOST   1000
#define READER_CURSOR_SIZE 48

struct reader_delivery {
    char device[STORE_ID_SIZE];
    struct store_delivery delivery;
    int64_t sent_at_ms, acked_at_ms,
        final_at_ms;   /* 0: not yet; final_at is actuated_at, refused_at or expired_at */
    uint32_t attempts; /* in how many sessions it was sent */
    uint32_t seconds;  /* of actuated */
};

struct reader_delivery_filter {
    const char *device; /* id, or NULL */
    bool by_state;
    enum delivery_state state;
    int64_t from_ms, to_ms; /* stored_at in [from, to); 0: open */
    const uint8_t *hash;    /* of the payment, or NULL */
    uint32_t limit;         /* 1 … READER_PAGE_MOST */
    const char *cursor;     /* from the page before, or NULL */
};

/* Rows owned by the caller: free(). `next` is "" at the end. CS_EINVAL: the cursor; CS_ENOTFOUND: the device. */
CS_MUST_CHECK enum cs_err reader_page_deliveries(struct store *store,
                                                 const struct reader_delivery_filter *filter,
                                                 struct reader_delivery **rows, size_t *count,
                                                 char next[READER_CURSOR_SIZE]);

struct reader_payment {
    struct payment payment;
    int64_t stored_at_ms;
    int64_t reversed_at_ms; /* 0: stands */
    uint32_t deliveries;
};

struct reader_payment_filter {
    const struct address *address; /* paid to; or NULL */
    const uint8_t *hash;           /* or NULL */
    int64_t from_ms, to_ms;
    uint32_t limit;
    const char *cursor;
};
CS_MUST_CHECK enum cs_err reader_page_payments(struct store *store,
                                               const struct reader_payment_filter *filter,
                                               struct reader_payment **rows, size_t *count,
                                               char next[READER_CURSOR_SIZE]);

struct reader_device_filter {
    bool by_state;
    enum device_state state;
    uint32_t limit;
    const char *cursor;
};
CS_MUST_CHECK enum cs_err reader_page_devices(struct store *store, const struct reader_device_filter *filter,
                                              struct store_device **rows, size_t *count,
                                              char next[READER_CURSOR_SIZE]);
CS_MUST_CHECK enum cs_err reader_device(struct store *store, const char *id, struct store_device *device);

/* All of one device's: they are bounded by the limit. CS_ENOTFOUND: the device. */
CS_MUST_CHECK enum cs_err reader_subscriptions(struct store *store, const char *device_id,
                                               struct store_subscription **rows, size_t *count);
struct reader_config {
    uint64_t version;
    char *body; /* JSON, owned by the caller: free() */
    int64_t created_at_ms;
};
/* version 0: the current one. CS_ENOTFOUND: no such device, or it has no such version. */
CS_MUST_CHECK enum cs_err reader_config(struct store *store, const char *device_id, uint64_t version,
                                        struct reader_config *config);

CS_MUST_CHECK enum cs_err reader_api_tokens(struct store *store, struct store_api_token **rows,
                                            size_t *count);

#endif
