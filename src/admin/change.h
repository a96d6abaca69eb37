/*
 * change: what operators change, the same over HTTP and over the control socket: read the body, store it,
 * show what became of it. Any thread but the writer; each waits for its commit. False with the problem filled
 * in when nothing was changed.
 */
#ifndef COINSLOT_ADMIN_CHANGE_H
#define COINSLOT_ADMIN_CHANGE_H

#include <jansson.h>

#include "admin/admin.h"
#include "admin/problem.h"
#include "store/store.h"

/* The results are owned by the caller. A new device's and an API token's contain the secret that was made for it: it is shown this once.
 */
bool change_create_device(struct store *store, json_t *body, json_t **result, struct problem *problem);
bool change_create_subscription(struct store *store, const char *device_id, json_t *body, json_t **result,
                                struct problem *problem);
bool change_create_api_token(struct store *store, json_t *body, json_t **result, struct problem *problem);

bool change_device(struct store *store, const char *id, json_t *body, json_t **result,
                   struct problem *problem);
bool change_set_config(struct store *store, const char *id, json_t *body, json_t **result,
                       struct problem *problem);
/* The node is asked about every address, soon. `upstream` NULL: no relay runs. */
bool change_reconcile(const struct admin_upstream *upstream, json_t **result, struct problem *problem);
bool change_roll_relay_key(struct store *store, json_t **result, struct problem *problem);
bool change_retire_device(struct store *store, const char *id, struct problem *problem);
bool change_remove_subscription(struct store *store, const char *device_id, const char *id,
                                struct problem *problem);
bool change_revoke_api_token(struct store *store, const char *id, struct problem *problem);

#endif
