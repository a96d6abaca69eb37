#include "simulate/mimic_subscription.h"

#include <string.h>
#include <strings.h>

#include "payment/address.h"
#include "simulate/tree.h"

#define ALL_REASONS (1u << WORLD_QUORUM | 1u << WORLD_HEIGHT | 1u << WORLD_INACTIVE)

/* What is none of these means all of them. */
static unsigned read_reasons(const char *type)
{
    static const struct {
        const char *name;
        unsigned reasons;
    } types[] = {
        {"active", 1u << WORLD_QUORUM | 1u << WORLD_HEIGHT},
        {"active_quorum", 1u << WORLD_QUORUM},
        {"active_confirmation_height", 1u << WORLD_HEIGHT},
        {"inactive", 1u << WORLD_INACTIVE},
    };
    for (size_t i = 0; type != NULL && i < sizeof(types) / sizeof(types[0]); i++) {
        if (strcasecmp(types[i].name, type) == 0) {
            return types[i].reasons;
        }
    }
    return ALL_REASONS;
}

/* Malformed accounts are passed over in silence. */
static void change_accounts(struct mimic_subscription *subscription, const json_t *list, bool add)
{
    size_t count = json_array_size(list);
    subscription->filters = true;
    for (size_t i = 0; i < count; i++) {
        struct address address;
        if (!address_parse(CHAIN_NANO, tree_data(json_array_get(list, i)), &address)) {
            continue;
        }
        if (add) {
            table_put(&subscription->accounts, address.bytes, 1);
        } else {
            table_remove(&subscription->accounts, address.bytes);
        }
    }
}

void mimic_subscription_init(struct mimic_subscription *subscription, const json_t *options)
{
    *subscription = (struct mimic_subscription){
        .has_options = options != NULL,
        .include_block = tree_flag(options, "include_block", true),
        .include_election_info = tree_flag(options, "include_election_info", false),
        .include_votes = tree_flag(options, "include_election_info_with_votes", false),
        .include_sideband_info = tree_flag(options, "include_sideband_info", false),
        .reasons = read_reasons(tree_text(options, "confirmation_type"))};
    table_init(&subscription->accounts);
    if (json_object_get(options, "all_local_accounts") != NULL) {
        subscription->all_local = tree_flag(options, "all_local_accounts", false);
        subscription->filters = true;
    }
    const json_t *accounts = json_object_get(options, "accounts");
    if (accounts != NULL) {
        change_accounts(subscription, accounts, true);
    }
}

void mimic_subscription_fini(struct mimic_subscription *subscription)
{
    table_fini(&subscription->accounts);
}

bool mimic_subscription_update(struct mimic_subscription *subscription, const json_t *options)
{
    if (!subscription->has_options || options == NULL) {
        return false;
    }
    const json_t *added = json_object_get(options, "accounts_add"),
                 *removed = json_object_get(options, "accounts_del");
    if (added != NULL) {
        change_accounts(subscription, added, true);
    }
    if (removed != NULL) {
        change_accounts(subscription, removed, false);
    }
    return true;
}

bool mimic_subscription_passes(const struct mimic_subscription *subscription,
                               const struct ledger_block *block, const uint8_t account[32],
                               enum world_why why, bool with_block,
                               bool (*is_local)(void *context, const uint8_t account[32]), void *context)
{
    if ((subscription->reasons & 1u << why) == 0) {
        return false;
    }
    if (!subscription->filters) {
        return true;
    }
    if (!with_block || block->block.type != BLOCK_STATE) {
        return false;
    }
    const uint8_t *link =
        block->block.link; /* also where it is no account: link_as_account shows it all the same */
    if (subscription->all_local && (is_local(context, account) || is_local(context, link))) {
        return true;
    }
    return table_find(&subscription->accounts, account) != TABLE_NONE ||
           table_find(&subscription->accounts, link) != TABLE_NONE;
}
