#include "crash/store_device.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/inbox.h"
#include "base/log.h"
#include "delivery/outbox.h"
#include "lib/fault_random.h"

#define SESSION_MOST 150 /* payments, then the device comes anew */
#define PAGE_SIZE    16

enum news_kind { NEWS_BEGUN, NEWS_REFUSED, NEWS_LIVE, NEWS_RAISED, NEWS_PAGE };

struct news {
    struct inbox_node node; /* first */
    enum news_kind kind;
    enum cs_err err;
    struct store_begun begun;
    struct store_session session;
    uint64_t from, to, head;
    size_t count;
    struct store_delivery deliveries[];
};

struct crash_device {
    struct load_shared *shared;
    struct store *store;
    struct inbox *inbox;
    int64_t num;
    uint64_t random, seed;
    bool begun;
    uint64_t handle;
    struct store_session session;
    struct outbox outbox;
    uint64_t ack; /* the highest seq whose ack was submitted */
    unsigned taken;
};

struct crash_device *crash_device_open(struct load_shared *shared, uint64_t seed)
{
    struct crash_device *device = cs_alloc(sizeof(*device));
    device->shared = shared;
    device->random = seed;
    device->inbox = inbox_open(100000);
    return device;
}

void crash_device_close(struct crash_device *device)
{
    for (struct inbox_node *node = inbox_take(device->inbox, 1, 0); node != NULL;
         node = inbox_take(device->inbox, 1, 0)) {
        free(node);
    }
    inbox_close(device->inbox);
    free(device);
}

__attribute__((format(printf, 2, 3))) static void violate(struct crash_device *device, const char *format,
                                                          ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(device->shared->violation, sizeof(device->shared->violation), format, arguments);
    va_end(arguments);
    log_die("load", "%s", device->shared->violation);
}

/* ---- events, on the store's threads ---------------------------------------------------------------- */

static struct news *make_news(enum news_kind kind, const struct store_session *session,
                              const struct store_delivery *deliveries, size_t count)
{
    struct news *news = cs_alloc(sizeof(*news) + count * sizeof(*deliveries));
    news->kind = kind;
    news->session = *session;
    news->count = count;
    if (count > 0) {
        memcpy(news->deliveries, deliveries, count * sizeof(*deliveries));
    }
    return news;
}

static void post(struct crash_device *device, struct news *news)
{
    if (inbox_push(device->inbox, &news->node) != CS_OK) {
        log_die("load", "the device's mailbox overflows");
    }
}

static void on_live(void *context, const struct store_session *session, const struct store_delivery *delivery)
{
    struct news *news = make_news(NEWS_LIVE, session, delivery, 1);
    news->from = news->to = news->head = delivery->seq;
    post(context, news);
}

static void on_raised(void *context, const struct store_session *session, uint64_t head)
{
    struct news *news = make_news(NEWS_RAISED, session, NULL, 0);
    news->head = head;
    post(context, news);
}

static void on_ended(void *context, const struct store_session *session, const char *reason)
{
    (void)context;
    (void)session;
    (void)reason; /* we fence ourselves, and know it */
}

static void on_page(void *context, const struct store_session *session, uint64_t from, uint64_t to,
                    uint64_t head, const struct store_delivery *deliveries, size_t count)
{
    struct news *news = make_news(NEWS_PAGE, session, deliveries, count);
    news->from = from;
    news->to = to;
    news->head = head;
    post(context, news);
}

static void on_begun(void *context, uint64_t handle, enum cs_err err, const struct store_begun *begun)
{
    struct store_session none = {.handle = handle};
    struct news *news =
        make_news(err == CS_OK ? NEWS_BEGUN : NEWS_REFUSED, err == CS_OK ? &begun->session : &none, NULL, 0);
    news->err = err;
    if (err == CS_OK) {
        news->begun = *begun;
    }
    post(context, news);
}

struct store_events crash_device_events(struct crash_device *device)
{
    return (struct store_events){
        .context = device, .live = on_live, .raised = on_raised, .ended = on_ended, .page = on_page};
}

/* ---- the device ------------------------------------------------------------------------------------ */

void crash_device_begin(struct crash_device *device, struct store *store, int64_t num)
{
    device->store = store;
    device->num = num;
    device->begun = false;
    device->taken = 0;
    device->handle++;
    const struct store_hello hello = {
        .device = num, .handle = device->handle, .resume = atomic_load(&device->shared->persisted)};
    while (store_submit_session(store, &hello, on_begun, device) == CS_EBUSY) {
    }
}

/* Persists seq together with the credit; the ack comes later. */
static void grant(struct crash_device *device, const struct store_delivery *delivery)
{
    struct load_shared *shared = device->shared;
    if (delivery->seq != atomic_load(&shared->persisted) + 1u) {
        violate(device, "seq %llu came after %u", (unsigned long long)delivery->seq,
                atomic_load(&shared->persisted));
    }
    uint64_t number = delivery->payment.amount.low - 1;
    if (delivery->payment.amount.high != 0 || number >= LOAD_PAYMENTS) {
        violate(device, "seq %llu brings a payment that nobody made", (unsigned long long)delivery->seq);
    }
    if (atomic_fetch_add(&shared->granted[number], 1) != 0) {
        violate(device, "payment %llu was granted twice", (unsigned long long)number);
    }
    atomic_store(&shared->record[delivery->seq], (uint32_t)number);
    atomic_store(&shared->persisted, (uint32_t)delivery->seq);
    device->taken++;
}

static void take_page(struct crash_device *device, const struct news *news)
{
    for (size_t i = 0; i < news->count; i++) {
        const struct store_delivery *delivery = &news->deliveries[i];
        if (i > 0 && delivery->seq != news->deliveries[i - 1].seq + 1) {
            violate(device, "a hole in a page before seq %llu", (unsigned long long)delivery->seq);
        }
        if (outbox_offer(&device->outbox, delivery->seq, delivery->seq)) {
            grant(device, delivery);
        }
    }
    outbox_page_done(&device->outbox, news->head);
}

static void take_news(struct crash_device *device, const struct news *news)
{
    if (news->session.handle != device->handle) {
        return; /* to a session before this one */
    }
    switch (news->kind) {
    case NEWS_BEGUN:
        device->session = news->session;
        device->begun = true;
        device->ack = news->begun.acked;
        if (news->begun.acked != atomic_load(&device->shared->persisted)) {
            violate(device, "the store says that %llu is acked, the device has %u",
                    (unsigned long long)news->begun.acked, atomic_load(&device->shared->persisted));
        }
        outbox_init(&device->outbox, news->begun.acked, news->begun.head, news->begun.window);
        break;
    case NEWS_REFUSED:
        if (news->err != CS_EFULL) {
            violate(device, "the session was refused: %s", cs_err_text(news->err));
        }
        crash_device_begin(device, device->store, device->num);
        break;
    case NEWS_LIVE:
        if (outbox_offer(&device->outbox, news->from, news->to)) {
            grant(device, &news->deliveries[0]);
        }
        break;
    case NEWS_RAISED:
        outbox_raise(&device->outbox, news->head);
        break;
    case NEWS_PAGE:
        take_page(device, news);
        break;
    }
}

static bool move_on(struct crash_device *device)
{
    uint64_t persisted = atomic_load(&device->shared->persisted);
    bool moved = false;
    if (persisted > device->ack && store_submit_ack(device->store, &device->session, persisted) == CS_OK) {
        device->ack = persisted;
        moved = true;
        if (outbox_ack(&device->outbox, persisted) != CS_OK) {
            violate(device, "seq %llu was never sent in this session", (unsigned long long)persisted);
        }
    }
    uint64_t from;
    uint32_t most;
    if (outbox_wants_page(&device->outbox, PAGE_SIZE, &from, &most)) {
        moved = true;
        if (store_submit_page(device->store, &device->session, from, most) != CS_OK) {
            outbox_page_done(&device->outbox, 0);
        }
    }
    return moved;
}

bool crash_device_step(struct crash_device *device, int wait_ms)
{
    struct inbox_node *node = inbox_take(device->inbox, 64, wait_ms);
    bool moved = node != NULL;
    while (node != NULL) {
        struct inbox_node *next = node->next;
        take_news(device, (const struct news *)node);
        free(node);
        node = next;
    }
    if (device->begun) {
        moved = move_on(device) || moved;
        if (device->taken > SESSION_MOST && fault_random_chance(&device->random, 30)) {
            crash_device_begin(device, device->store, device->num);
            moved = true;
        }
    }
    return moved;
}

bool crash_device_caught_up(struct crash_device *device)
{
    return device->begun && device->outbox.next_seq > device->outbox.head;
}
