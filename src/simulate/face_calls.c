/* The make-believe node's RPC, and its faults. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "simulate/face_parts.h"

static const struct ledger *rpc_ledger(void *context)
{
    struct face *face = context;
    return face->past != NULL ? past_ledger(face->past) : world_ledger(face->world);
}

static int64_t rpc_uptime_s(void *context)
{
    const struct face *face = context;
    return (int64_t)((clock_monotonic_ns() - face->started_ns) / 1000000000);
}

static int64_t rpc_now_ms(void *context)
{
    (void)context;
    return clock_wall_ms();
}

/* An election is won as soon as it is asked for: there is one voter, and it agrees. */
static void rpc_confirm(void *context, const uint8_t hash[32])
{
    struct face *face = context;
    uint32_t block = ledger_find_block(world_ledger(face->world), hash);
    if (ledger_block(world_ledger(face->world), block)->confirmed) {
        world_announce(face->world, block, WORLD_HEIGHT, WORLD_CALLBACK | WORLD_WS);
    } else {
        world_confirm(face->world, block, WORLD_QUORUM, WORLD_CALLBACK | WORLD_WS);
    }
}

static json_t *rpc_control(void *context, const json_t *request, const char **error)
{
    struct face *face = context;
    json_t *answer = director_answer(face->director, request, error);
    face_follow_faults(face);
    return answer;
}

static bool is_control(const char *body, size_t size)
{
    return memmem(body, size, "\"simulate\"", 10) != NULL;
}

void face_answer_call(void *context, const char *body, size_t size, struct mimic_server_reply *reply)
{
    struct face *face = context;
    struct faults *faults = &face->faults;
    char action[MIMIC_ACTION_SIZE];
    if (is_control(body, size)) {
        reply->body = mimic_answer(&face->rpc, body, size, action);
        return;
    }
    if (faults_get(faults, FAULT_RPC_STALL) != 0) {
        reply->when = MIMIC_SERVER_HELD;
        return;
    }
    reply->delay_ms = faults_get(faults, FAULT_RPC_DELAY_MS);
    if (faults_strike(faults, FAULT_RPC_CUTS)) {
        counts_add_call(&face->counts, "(cut)");
        reply->when = MIMIC_SERVER_CUT;
        return;
    }
    if (faults_get(faults, FAULT_RPC_STATUS) >= 200) {
        counts_add_call(&face->counts, "(status)");
        reply->status = faults_get(faults, FAULT_RPC_STATUS);
        reply->body = cs_strdup("<html><body>out of order</body></html>\n");
        return;
    }
    if (faults_strike(faults, FAULT_RPC_ERRORS)) {
        counts_add_call(&face->counts, "(error)");
        reply->body = mimic_error("Internal server error in RPC");
        return;
    }
    reply->body = mimic_answer(&face->rpc, body, size, action);
    counts_add_call(&face->counts, action);
    if (faults_strike(faults, FAULT_RPC_GARBAGE)) {
        reply->body[strlen(reply->body) / 2] = '\0';
    }
}

void face_open_calls(struct face *face)
{
    face->rpc = (struct mimic_options){.node_vendor = "Nano V27.1",
                                       .context = face,
                                       .ledger = rpc_ledger,
                                       .uptime_s = rpc_uptime_s,
                                       .now_ms = rpc_now_ms,
                                       .confirm = rpc_confirm,
                                       .control = rpc_control};
}

/* ---- faults that begin and end ------------------------------------------------------------------------- */

static void follow_lag(struct face *face)
{
    unsigned lag_ms = faults_get(&face->faults, FAULT_RPC_LAG_MS);
    if (lag_ms != 0 && face->past == NULL) {
        face->past = past_open(world_ledger(face->world));
    } else if (lag_ms == 0 && face->past != NULL) {
        past_close(face->past);
        face->past = NULL;
    }
    if (face->past != NULL) {
        past_follow(face->past, lag_ms);
    }
}

void face_follow_faults(struct face *face)
{
    follow_lag(face);
    bool stalled = faults_get(&face->faults, FAULT_RPC_STALL) != 0;
    bool over = face->stalled && !stalled;
    face->stalled = stalled;
    if (over && face->server != NULL) {
        mimic_server_release(face->server);
    }
}
