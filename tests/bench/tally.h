/*
 * tally: keeps the books of a run: what was paid, answered and received, when and by whom; finds what was lost, came twice, came to
 * somebody else or out of order. Pure: no I/O, no clock; one thread.
 *
 * Order: of two payments to one device, the one that was answered before the other was sent has to come first. Two that were under way
 * at the same time may come either way.
 */
#ifndef COINSLOT_BENCH_TALLY_H
#define COINSLOT_BENCH_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tally;

struct tally_counts {
    uint64_t sent, answered, refused, received;
    uint64_t lost;       /* answered, and not received */
    uint64_t unanswered; /* neither answered nor refused */
    uint64_t repeated, misrouted, reordered;
    uint64_t unknown; /* came, and was never paid */
};

/* `everybody`: each payment goes to all devices. */
struct tally *tally_open(uint32_t payments, uint32_t devices, bool everybody);
void tally_close(struct tally *tally);

void tally_sent(struct tally *tally, uint32_t payment, uint32_t device);
void tally_answered(struct tally *tally, uint32_t payment, bool accepted);
/* False: it is not one to be counted as received, for one of the reasons above. */
bool tally_received(struct tally *tally, uint32_t payment, uint32_t device);
void tally_unknown(struct tally *tally);
/* The system's own numbers say so. */
void tally_out_of_order(struct tally *tally);

/* Nothing of it is under way any more: answered, and received by all whom it was for. */
bool tally_is_done(const struct tally *tally, uint32_t payment);

struct tally_counts tally_counts(const struct tally *tally);
bool tally_is_clean(const struct tally_counts *counts);

#endif
