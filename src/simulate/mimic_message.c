#include "simulate/mimic_message.h"

#include "simulate/mimic_call.h"

/* An election on a network with one voter; the figures are the recorded ones' size. */
#define DURATION_MS "150"
#define VOTERS      "2" /* the representative, and the node's own count */

char *mimic_message_ack(const char *action, const char *id, int64_t now_ms)
{
    json_t *message = json_object();
    tree_put(message, "ack", action);
    mimic_put_number(message, "time", (uint64_t)now_ms);
    if (*id != '\0') {
        tree_put(message, "id", id);
    }
    return tree_print(message);
}

static json_t *begin(const char *topic, int64_t now_ms)
{
    json_t *message = json_object();
    tree_put(message, "topic", topic);
    mimic_put_number(message, "time", (uint64_t)now_ms);
    return message;
}

static const char *type_text(enum world_why why)
{
    switch (why) {
    case WORLD_QUORUM:
        return "active_quorum";
    case WORLD_HEIGHT:
        return "active_confirmation_height";
    case WORLD_INACTIVE:
        return "inactive";
    }
    return "unknown";
}

/* Of legacy blocks NULL. */
static const char *subtype_of(const struct ledger_block *block)
{
    static const char *const subtypes[] = {
        [LEDGER_SEND] = "send", [LEDGER_RECEIVE] = "receive", [LEDGER_CHANGE] = "change"};
    return block->block.type == BLOCK_STATE ? subtypes[block->move] : NULL;
}

static json_t *print_votes(const struct ledger *ledger, const struct ledger_block *block, struct amount tally)
{
    json_t *vote = json_object();
    mimic_put_account(vote, "representative", ledger_account(ledger, 0)->key);
    tree_put(vote, "timestamp", "18446744073709551615"); /* of a final vote */
    mimic_put_hash(vote, "hash", block->hash);
    mimic_put_amount(vote, "weight", tally);
    json_t *votes = json_array();
    json_array_append_new(votes, vote);
    return votes;
}

static json_t *print_election(const struct ledger *ledger, const struct ledger_block *block,
                              enum world_why why, bool with_votes, int64_t now_ms)
{
    bool won = why == WORLD_QUORUM;
    struct amount tally = {0, 0};
    if (won) {
        tally = ledger_account(ledger, 0)->weight;
    }
    json_t *election = json_object();
    tree_put(election, "duration", won ? DURATION_MS : "0");
    mimic_put_number(election, "time", (uint64_t)now_ms);
    mimic_put_amount(election, "tally", tally);
    mimic_put_amount(election, "final", tally);
    tree_put(election, "blocks", why == WORLD_INACTIVE ? "0" : "1");
    tree_put(election, "voters", won ? VOTERS : "0");
    tree_put(election, "request_count", "0");
    if (with_votes) {
        tree_put_collection(election, "votes", won ? print_votes(ledger, block, tally) : json_array());
    }
    return election;
}

char *mimic_message_confirmation(const struct ledger *ledger, const struct ledger_block *block,
                                 enum world_why why, const struct mimic_subscription *shape, bool with_block,
                                 int64_t now_ms)
{
    json_t *message = begin("confirmation", now_ms), *body = json_object();
    mimic_put_account(body, "account", ledger_account(ledger, block->account)->key);
    mimic_put_amount(body, "amount", block->amount);
    mimic_put_hash(body, "hash", block->hash);
    tree_put(body, "confirmation_type", type_text(why));
    if (shape->include_election_info || shape->include_votes) {
        json_object_set_new(body, "election_info",
                            print_election(ledger, block, why, shape->include_votes, now_ms));
    }
    if (with_block) {
        json_t *contents = block_to_json(&block->block);
        if (subtype_of(block) != NULL) {
            tree_put(contents, "subtype", subtype_of(block));
        }
        json_object_set_new(body, "block", contents);
    }
    if (shape->include_sideband_info) {
        json_t *sideband = json_object();
        mimic_put_number(sideband, "height", block->height);
        mimic_put_number(sideband, "local_timestamp", (uint64_t)block->local_s);
        json_object_set_new(body, "sideband", sideband);
    }
    json_object_set_new(message, "message", body);
    return tree_print(message);
}

/* A legacy block's details are never filled in, so that even a send is called a change (recorded). */
char *mimic_message_unconfirmed(const struct ledger_block *block, int64_t now_ms)
{
    json_t *message = begin("new_unconfirmed_block", now_ms), *contents = block_to_json(&block->block);
    tree_put(contents, "subtype", subtype_of(block) != NULL ? subtype_of(block) : "change");
    json_object_set_new(message, "message", contents);
    return tree_print(message);
}
