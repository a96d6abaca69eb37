/*
 * director_parts: what the parts of the director share. Internal to director*.c.
 */
#ifndef COINSLOT_SIMULATE_DIRECTOR_PARTS_H
#define COINSLOT_SIMULATE_DIRECTOR_PARTS_H

#include "simulate/director.h"
#include "simulate/director_orders.h"
#include "simulate/mimic_call.h"

struct director_job;

struct director {
    struct world *world;
    struct faults *faults;
    struct director_hooks hooks;
    struct director_job *jobs;
    uint32_t *paid; /* every payment's block, in order */
    size_t paid_count, paid_room;
};

/* Each word: an answer, or `error` is set. An empty answer becomes {"done":"1"}. */

/* director_pay.c */
json_t *director_pay(struct director *director, const json_t *request, const char **error);
json_t *director_payments(struct director *director, const json_t *request, const char **error);
uint64_t director_payments_left(const struct director *director);
void director_drop_jobs(struct director *director);

/* director_blocks.c */
json_t *director_accounts(struct director *director, const json_t *request, const char **error);
json_t *director_adopt(struct director *director, const json_t *request, const char **error);
json_t *director_auto_receive(struct director *director, const json_t *request, const char **error);
json_t *director_pocket(struct director *director, const json_t *request, const char **error);
json_t *director_change(struct director *director, const json_t *request, const char **error);
json_t *director_confirm(struct director *director, const json_t *request, const char **error);
json_t *director_announce(struct director *director, const json_t *request, const char **error);
void director_add_hash(const struct director *director, json_t *hashes, uint32_t block);

#endif
