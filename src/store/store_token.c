/* Credentials: API tokens, of which only hashes are kept, and the relay's own key. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

enum { INSERT_TOKEN, REVOKE_TOKEN, FIND_TOKEN, WRITE_KEY_NUMBER, TOKEN_SQL_COUNT };
static const char *const TOKEN_SQL[] = {
    [INSERT_TOKEN] = "INSERT INTO api_token (id, name, role, hash, created_at) VALUES (?, ?, ?, ?, ?)",
    [REVOKE_TOKEN] = "UPDATE api_token SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL",
    [FIND_TOKEN] = "SELECT 1 FROM api_token WHERE id = ?",
    [WRITE_KEY_NUMBER] = "INSERT INTO meta (name, value) VALUES ('relay_key', CAST(? AS TEXT)) "
                         "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
};

void token_sql_open(struct store *store)
{
    store->token_sql = sql_prepare(store->db, TOKEN_SQL, TOKEN_SQL_COUNT);
}

void token_sql_close(struct store *store)
{
    sql_finalize(store->token_sql, TOKEN_SQL_COUNT);
}

static const char *const ROLES[STORE_ROLE_COUNT] = {[ROLE_VIEWER] = "viewer",
                                                    [ROLE_AUDITOR] = "auditor",
                                                    [ROLE_OPERATOR] = "operator",
                                                    [ROLE_ADMIN] = "admin"};

const char *store_role_text(enum store_role role)
{
    return ROLES[role];
}

bool store_role_parse(const char *text, enum store_role *role)
{
    for (size_t i = 0; text != NULL && i < STORE_ROLE_COUNT; i++) {
        if (strcmp(text, ROLES[i]) == 0) {
            *role = (enum store_role)i;
            return true;
        }
    }
    return false;
}

struct token_command {
    struct waiting_command waiting; /* first */
    struct store_api_token *token;
    const uint8_t *hash;
};

static enum cs_err create_apply(struct store *store, struct command *base)
{
    struct token_command *create = (struct token_command *)base;
    struct store_api_token *token = create->token;
    token->created_at_ms = store->batch.now_ms;
    sql_bind(store->token_sql[INSERT_TOKEN], "tttbi", token->id, token->name, store_role_text(token->role),
             create->hash, (size_t)STORE_HASH_SIZE, token->created_at_ms);
    return writer_run(store, store->token_sql[INSERT_TOKEN]);
}

static void create_committed(struct store *store, struct command *base)
{
    const struct token_command *create = (const struct token_command *)base;
    directory_add_token(&store->directory, create->hash, create->token);
}

static const struct command_kind CREATE_KIND = {"create_token",   true,       false, create_apply,
                                                create_committed, writer_wake};

enum cs_err store_create_api_token(struct store *store, struct store_api_token *token,
                                   const uint8_t hash[STORE_HASH_SIZE])
{
    if (!store_name_valid(token->name)) {
        return CS_EINVAL;
    }
    store_make_id("tok_", token->id);
    token->revoked_at_ms = 0;
    struct token_command create = {.waiting.command.kind = &CREATE_KIND, .token = token, .hash = hash};
    return writer_submit_and_wait(store, &create.waiting);
}

struct revoke_command {
    struct waiting_command waiting; /* first */
    const char *id;
    int64_t revoked_at_ms; /* 0: it was revoked before */
};

static enum cs_err revoke_apply(struct store *store, struct command *base)
{
    struct revoke_command *revoke = (struct revoke_command *)base;
    sqlite3_stmt *find = store->token_sql[FIND_TOKEN];
    enum cs_err err;
    sql_bind(find, "t", revoke->id);
    if (!writer_find(store, find, &err)) {
        return err != CS_OK ? err : CS_ENOTFOUND;
    }
    sqlite3_reset(find);
    sql_bind(store->token_sql[REVOKE_TOKEN], "it", store->batch.now_ms, revoke->id);
    err = writer_run(store, store->token_sql[REVOKE_TOKEN]);
    revoke->revoked_at_ms = sqlite3_changes(store->db) > 0 ? store->batch.now_ms : 0;
    return err;
}

static void revoke_committed(struct store *store, struct command *base)
{
    const struct revoke_command *revoke = (const struct revoke_command *)base;
    if (revoke->revoked_at_ms != 0) {
        directory_revoke_token(&store->directory, revoke->id, revoke->revoked_at_ms);
    }
}

static const struct command_kind REVOKE_KIND = {"revoke_token",   true,       false, revoke_apply,
                                                revoke_committed, writer_wake};

enum cs_err store_revoke_api_token(struct store *store, const char *id)
{
    struct revoke_command revoke = {.waiting.command.kind = &REVOKE_KIND, .id = id};
    return writer_submit_and_wait(store, &revoke.waiting);
}

bool store_find_api_token(struct store *store, const uint8_t hash[STORE_HASH_SIZE],
                          struct store_api_token *found)
{
    pthread_rwlock_rdlock(&store->directory.lock);
    const struct api_token *entry = directory_find_token(&store->directory, hash);
    bool valid = entry != NULL && entry->token.revoked_at_ms == 0;
    if (valid) {
        *found = entry->token;
    }
    pthread_rwlock_unlock(&store->directory.lock);
    return valid;
}

/* ---- the relay's key: derived from DIR/relay.key and its number, so that the one after is known before it is used ------------------ */

static void derive_relay_key(const struct store *store, uint32_t number, uint8_t public_key[32],
                             uint8_t secret_key[64])
{
    static const char LABEL[] = "coinslot relay identity";
    uint8_t text[sizeof(LABEL) - 1 + 4], seed[crypto_sign_SEEDBYTES];
    memcpy(text, LABEL, sizeof(LABEL) - 1);
    for (int i = 0; i < 4; i++) {
        text[sizeof(LABEL) - 1 + (size_t)i] = (uint8_t)(number >> (8 * i));
    }
    crypto_generichash(seed, sizeof(seed), text, sizeof(text), store->relay_key, sizeof(store->relay_key));
    crypto_sign_seed_keypair(public_key, secret_key, seed);
    sodium_memzero(seed, sizeof(seed));
}

void relay_key_use(struct store *store, uint32_t number)
{
    pthread_mutex_lock(&store->key_lock);
    store->key_number = number;
    derive_relay_key(store, number, store->public_key, store->secret_key);
    pthread_mutex_unlock(&store->key_lock);
}

void store_relay_key(struct store *store, uint32_t ahead, uint8_t public_key[32], uint8_t secret_key[64])
{
    pthread_mutex_lock(&store->key_lock);
    uint32_t number = store->key_number;
    memcpy(public_key, store->public_key, sizeof(store->public_key));
    memcpy(secret_key, store->secret_key, sizeof(store->secret_key));
    pthread_mutex_unlock(&store->key_lock);
    if (ahead > 0) {
        derive_relay_key(store, number + ahead, public_key, secret_key);
    }
}

static enum cs_err roll_apply(struct store *store, struct command *base)
{
    (void)base;
    sql_bind(store->token_sql[WRITE_KEY_NUMBER], "i", (int64_t)store->key_number + 1);
    return writer_run(store, store->token_sql[WRITE_KEY_NUMBER]);
}

static void roll_committed(struct store *store, struct command *base)
{
    (void)base;
    relay_key_use(store, store->key_number + 1);
}

static const struct command_kind ROLL_KIND = {"roll_relay_key", true,           false,
                                              roll_apply,       roll_committed, writer_wake};

enum cs_err store_roll_relay_key(struct store *store)
{
    struct waiting_command roll = {.command.kind = &ROLL_KIND};
    return writer_submit_and_wait(store, &roll);
}
