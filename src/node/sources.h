/*
 * sources: the ways in, and how each fares: whether it is alive, what it brought, what it missed that another brought, how late it was.
 * Owns one row a source and a table of the payments of the last half minute, each with who has brought it. Any thread. Nothing outlives a
 * crash: these are observations since the start.
 */
#ifndef COINSLOT_NODE_SOURCES_H
#define COINSLOT_NODE_SOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metrics.h"
#include "payment/payment.h"

#define SOURCES_MOST     16
#define SOURCE_NAME_SIZE 160
#define SOURCE_WHY_SIZE  160
#define SOURCE_GRACE_MS  30000 /* so long after the first another source may still bring a payment */
#define SOURCE_RECENT_MOST                                                                                   \
    65536 /* payments in their grace; beyond, the oldest are settled before their time */

struct sources;

struct sources *sources_open(struct metrics *metrics);
void sources_close(struct sources *sources);

/*
 * While the relay starts: returns the source's number. `name` is for people and for metrics, without secrets. One that is expected should
 * bring every payment: what it does not is counted against it.
 */
size_t sources_add(struct sources *sources, enum payment_source kind, const char *name, bool expected);

/* When all are added. */
void sources_add_metrics(struct sources *sources);

/* `why` of not alive, for people. The change is logged once. */
void sources_set_alive(struct sources *sources, size_t number, bool alive, const char *why);
/* It has said something, be it of no use. */
void sources_note_message(struct sources *sources, size_t number);
/*
 * It has brought a payment of ours, confirmed and in the store: `stored` when it was the first. `heard_at_ms` is when the news came in.
 */
void sources_note_payment(struct sources *sources, size_t number, const struct payment *payment, bool stored,
                          int64_t heard_at_ms);
/* It could not be taken in, or was not told in time: another way has to find it. */
void sources_note_lost(struct sources *sources, size_t number);

/* Counts what was missed by those whose grace is over. Once a second or so. */
void sources_settle(struct sources *sources, int64_t now_ms);

struct source_report {
    char name[SOURCE_NAME_SIZE];
    enum payment_source kind;
    bool expected, alive;
    int64_t since_ms;          /* alive, or not, since then */
    char why[SOURCE_WHY_SIZE]; /* of not alive */
    int64_t message_at_ms;     /* the last of any kind; 0: none */
    int64_t payment_at_ms;     /* the last of ours; 0: none */
    uint64_t payments, first;  /* that it brought; that it was the first to bring */
    uint64_t missed;           /* that others brought, and it did not */
    uint64_t lost;             /* that it told, and could not be taken in */
    uint64_t late;             /* that it brought after another; of backfill: that it found */
    int64_t late_sum_ms, late_most_ms;
};
/* In the order of adding. */
size_t sources_report(struct sources *sources, struct source_report reports[SOURCES_MOST]);

#endif
