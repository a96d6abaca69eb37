#include "bench/tally.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct paid {
    uint64_t sent_at, answered_at; /* by our own count of events; 0: not yet */
    uint32_t device;
    uint32_t receipts;
    bool refused;
};

struct tally {
    struct paid *paid;
    uint32_t payments, devices;
    bool everybody;
    uint64_t now;
    uint64_t *latest_sent; /* per device: the latest time at which anything was sent that it has received */
    uint8_t *had;          /* everybody: a bit for each payment and device */
    struct tally_counts counts;
};

struct tally *tally_open(uint32_t payments, uint32_t devices, bool everybody)
{
    struct tally *tally = cs_alloc(sizeof(*tally));
    tally->paid = cs_alloc((payments + 1ul) * sizeof(struct paid));
    tally->latest_sent = cs_alloc((devices + 1ul) * sizeof(uint64_t));
    tally->had = everybody ? cs_alloc((size_t)payments * devices / 8 + 1) : NULL;
    tally->payments = payments;
    tally->devices = devices;
    tally->everybody = everybody;
    return tally;
}

void tally_close(struct tally *tally)
{
    free(tally->paid);
    free(tally->latest_sent);
    free(tally->had);
    free(tally);
}

void tally_sent(struct tally *tally, uint32_t payment, uint32_t device)
{
    assert(payment < tally->payments && device < tally->devices && tally->paid[payment].sent_at == 0);
    tally->paid[payment].sent_at = ++tally->now;
    tally->paid[payment].device = device;
    tally->counts.sent++;
}

void tally_answered(struct tally *tally, uint32_t payment, bool accepted)
{
    struct paid *paid = &tally->paid[payment];
    assert(payment < tally->payments && paid->sent_at != 0 && paid->answered_at == 0);
    paid->answered_at = ++tally->now;
    paid->refused = !accepted;
    accepted ? tally->counts.answered++ : tally->counts.refused++;
}

static bool had_before(struct tally *tally, uint32_t payment, uint32_t device)
{
    if (!tally->everybody) {
        return tally->paid[payment].receipts > 0;
    }
    size_t bit = (size_t)payment * tally->devices + device;
    uint8_t mask = (uint8_t)(1u << bit % 8);
    bool had = tally->had[bit / 8] & mask;
    tally->had[bit / 8] |= mask;
    return had;
}

bool tally_received(struct tally *tally, uint32_t payment, uint32_t device)
{
    assert(device < tally->devices);
    if (payment >= tally->payments || tally->paid[payment].sent_at == 0) {
        tally->counts.unknown++;
        return false;
    }
    struct paid *paid = &tally->paid[payment];
    if (!tally->everybody && paid->device != device) {
        tally->counts.misrouted++;
        return false;
    }
    if (had_before(tally, payment, device)) {
        tally->counts.repeated++;
        return false;
    }
    if (paid->answered_at != 0 && paid->answered_at < tally->latest_sent[device]) {
        tally->counts.reordered++;
    }
    if (paid->sent_at > tally->latest_sent[device]) {
        tally->latest_sent[device] = paid->sent_at;
    }
    paid->receipts++;
    tally->counts.received++;
    return true;
}

void tally_unknown(struct tally *tally)
{
    tally->counts.unknown++;
}

void tally_out_of_order(struct tally *tally)
{
    tally->counts.reordered++;
}

static uint32_t wanted(const struct tally *tally)
{
    return tally->everybody ? tally->devices : 1;
}

bool tally_is_done(const struct tally *tally, uint32_t payment)
{
    const struct paid *paid = &tally->paid[payment];
    return paid->answered_at != 0 && (paid->refused || paid->receipts == wanted(tally));
}

struct tally_counts tally_counts(const struct tally *tally)
{
    struct tally_counts counts = tally->counts;
    for (uint32_t i = 0; i < tally->payments; i++) {
        const struct paid *paid = &tally->paid[i];
        if (paid->sent_at != 0 && paid->answered_at == 0) {
            counts.unanswered++;
        } else if (paid->sent_at != 0 && !paid->refused) {
            counts.lost += wanted(tally) - paid->receipts;
        }
    }
    return counts;
}

bool tally_is_clean(const struct tally_counts *counts)
{
    return counts->refused + counts->lost + counts->unanswered + counts->repeated + counts->misrouted +
               counts->reordered + counts->unknown ==
           0;
}
