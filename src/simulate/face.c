#include "simulate/face.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "simulate/counts.h"
#include "simulate/director.h"
#include "simulate/mimic_call.h"
#include "simulate/mimic_rpc.h"
#include "simulate/mimic_server.h"
#include "simulate/mimic_ws.h"
#include "simulate/past.h"

#define LOG_MODULE "simulate"

#define TICK_MS          20 /* how late a fault may begin or end */
#define RESTART_AFTER_MS 50 /* so that whoever asked for it has its answer */

struct due {
    struct due *next;
    struct scenario_news news;
};

struct face {
    uv_loop_t loop;
    uv_timer_t tick, restart;
    struct world *world;
    struct faults faults;
    struct director *director;
    struct past *past; /* NULL: the RPC knows what there is */
    struct mimic_options rpc;
    struct mimic_server *server; /* NULL: none */
    struct mimic_ws *ws;         /* NULL: none */
    uint64_t ws_dropped_ns;      /* all its sessions, for the last time */
    struct counts counts;
    bool has_callback, stalled, down;
    uint64_t started_ns;
    unsigned down_ms;
    struct due *first_due, *last_due;
    unsigned char *told; /* by block: the channels on which it went out */
    size_t told_room;
};

/* ---- what the world tells ------------------------------------------------------------------------------ */

static int64_t now_s(void *context)
{
    (void)context;
    return clock_wall_ms() / 1000;
}

static void note_told(struct face *face, uint32_t block, unsigned channel)
{
    if (block >= face->told_room) {
        size_t room = face->told_room == 0 ? 1024 : 2 * face->told_room;
        room = room > block ? room : (size_t)block + 1;
        face->told = cs_realloc(face->told, room);
        memset(face->told + face->told_room, 0, room - face->told_room);
        face->told_room = room;
    }
    face->told[block] |= (unsigned char)channel;
}

static void add_due(struct face *face, const struct scenario_news *news)
{
    struct due *due = cs_alloc(sizeof(*due));
    due->news = *news;
    *(face->last_due != NULL ? &face->last_due->next : &face->first_due) = due;
    face->last_due = due;
}

static void tell_callback(struct face *face, uint32_t block, bool again)
{
    if (!face->has_callback) {
        return;
    }
    if (face->down || faults_strike(&face->faults, FAULT_LOSE_CALLBACKS)) {
        face->counts.callbacks_lost++;
        return;
    }
    const struct ledger_block *entry = ledger_block(world_ledger(face->world), block);
    struct scenario_news news = {.kind = again                        ? SCENARIO_DUPLICATE
                                         : entry->move == LEDGER_SEND ? SCENARIO_SEND
                                                                      : SCENARIO_NOISE,
                                 .how = "ordered"};
    ledger_to_notice(world_ledger(face->world), entry, &news.notice);
    note_told(face, block, WORLD_CALLBACK);
    add_due(face, &news);
    if (faults_strike(&face->faults, FAULT_REPEAT_CALLBACKS)) {
        news.kind = SCENARIO_DUPLICATE;
        add_due(face, &news);
    }
}

static void tell_ws(struct face *face, uint32_t block, enum world_why why)
{
    if (face->ws == NULL || face->down) {
        return;
    }
    if (faults_strike(&face->faults, FAULT_LOSE_WS)) {
        face->counts.ws_lost++;
    } else if (mimic_ws_tell_confirmation(face->ws, face->world, block, why) > 0) {
        note_told(face, block, WORLD_WS);
    }
}

static void on_announced(void *context, uint32_t block, enum world_why why, unsigned channels, bool again)
{
    struct face *face = context;
    if ((channels & WORLD_WS) != 0) {
        tell_ws(face, block, why);
    }
    if ((channels & WORLD_CALLBACK) != 0 && why != WORLD_INACTIVE) {
        tell_callback(face, block, again);
    }
}

static void on_arrived(void *context, uint32_t block)
{
    struct face *face = context;
    if (face->past != NULL) {
        past_note_block(face->past, block);
    }
    if (face->ws != NULL && !face->down) {
        mimic_ws_tell_block(face->ws, face->world, block);
    }
}

static void on_confirmed(void *context, uint32_t block)
{
    struct face *face = context;
    if (face->past != NULL) {
        past_note_confirmed(face->past, block);
    }
}

/* ---- the RPC ------------------------------------------------------------------------------------------- */

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
    return director_answer(face->director, request, error);
}

static bool is_control(const char *body, size_t size)
{
    return memmem(body, size, "\"simulate\"", 10) != NULL;
}

static void answer_call(void *context, const char *body, size_t size, struct mimic_server_reply *reply)
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

/* ---- what the director asks for ----------------------------------------------------------------------------- */

static void hook_cut_ws(void *context)
{
    struct face *face = context;
    if (face->ws != NULL) {
        mimic_ws_cut(face->ws);
    }
}

static void hook_close_ws(void *context)
{
    struct face *face = context;
    if (face->ws != NULL) {
        mimic_ws_say_goodbye(face->ws);
    }
}

static void forget_callbacks(void *context)
{
    struct face *face = context;
    while (face->first_due != NULL) {
        struct due *due = face->first_due;
        face->first_due = due->next;
        free(due);
    }
    face->last_due = NULL;
}

static void come_back(struct face *face)
{
    char error[NET_ERROR_SIZE];
    face->down = false;
    face->started_ns = clock_monotonic_ns();
    if (face->server != NULL && mimic_server_listen(face->server, error) != CS_OK) {
        log_warn("%s", error);
    }
    if (face->ws != NULL && mimic_ws_listen(face->ws, error) != CS_OK) {
        log_warn("%s", error);
    }
}

static void on_up_again(uv_timer_t *timer)
{
    come_back(timer->data);
}

static void on_restart(uv_timer_t *timer)
{
    struct face *face = timer->data;
    face->down = true;
    forget_callbacks(face);
    if (face->server != NULL) {
        mimic_server_cut(face->server);
    }
    if (face->ws != NULL) {
        mimic_ws_cut_port(face->ws);
        mimic_ws_cut(face->ws);
    }
    uv_timer_start(timer, on_up_again, face->down_ms, 0);
}

static void hook_restart(void *context, unsigned down_ms)
{
    struct face *face = context;
    face->down_ms = down_ms;
    uv_timer_start(&face->restart, on_restart, RESTART_AFTER_MS, 0);
}

static unsigned hook_told(void *context, uint32_t block)
{
    const struct face *face = context;
    return block < face->told_room ? face->told[block] : 0;
}

static void hook_put_status(void *context, json_t *status)
{
    struct face *face = context;
    const struct ledger *ledger = world_ledger(face->world);
    uint64_t waiting = 0;
    for (const struct due *due = face->first_due; due != NULL; due = due->next) {
        waiting++;
    }
    mimic_put_number(status, "blocks", ledger_block_count(ledger));
    mimic_put_number(status, "cemented", ledger_confirmed_count(ledger));
    mimic_put_number(status, "callbacks_waiting", waiting);
    mimic_put_number(status, "ws_sessions", face->ws != NULL ? mimic_ws_session_count(face->ws) : 0);
    counts_print(&face->counts, status);
}

/* ---- its turns ----------------------------------------------------------------------------------------- */

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

static void drop_ws_now_and_then(struct face *face)
{
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t every_ms = faults_get(&face->faults, FAULT_WS_DROP_EVERY_MS);
    if (every_ms == 0) {
        face->ws_dropped_ns = now_ns;
    } else if (now_ns - face->ws_dropped_ns >= every_ms * 1000000) {
        face->ws_dropped_ns = now_ns;
        hook_cut_ws(face);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct face *face = timer->data;
    follow_lag(face);
    drop_ws_now_and_then(face);
    bool stalled = faults_get(&face->faults, FAULT_RPC_STALL) != 0;
    if (face->stalled && !stalled && face->server != NULL) {
        mimic_server_release(face->server);
    }
    face->stalled = stalled;
}

int face_fd(const struct face *face)
{
    return uv_backend_fd(&face->loop);
}

unsigned face_wait_ms(struct face *face, unsigned most_ms)
{
    int timeout = uv_backend_timeout(&face->loop);
    unsigned wait_ms = timeout >= 0 && (unsigned)timeout < most_ms ? (unsigned)timeout : most_ms;
    return face->down ? wait_ms : director_turn(face->director, wait_ms);
}

void face_turn(struct face *face)
{
    uv_run(&face->loop, UV_RUN_NOWAIT);
}

bool face_take_callback(struct face *face, struct scenario_news *news)
{
    struct due *due = face->first_due;
    if (due == NULL || face->down) {
        return false;
    }
    *news = due->news;
    face->first_due = due->next;
    face->last_due = due->next != NULL ? face->last_due : NULL;
    free(due);
    return true;
}

bool face_pass_news(struct face *face, const struct scenario_news *news, bool *twice)
{
    uint32_t block = ledger_find_block(world_ledger(face->world), news->notice.hash);
    *twice = false;
    if (block == LEDGER_NONE) {
        return face->has_callback && !face->down; /* a forgery: only a callback can be lied to */
    }
    bool again = news->kind == SCENARIO_DUPLICATE;
    on_announced(face, block, again ? WORLD_HEIGHT : WORLD_QUORUM, WORLD_WS, again);
    if (!face->has_callback) {
        return false;
    }
    if (face->down || faults_strike(&face->faults, FAULT_LOSE_CALLBACKS)) {
        face->counts.callbacks_lost++;
        return false;
    }
    note_told(face, block, WORLD_CALLBACK);
    *twice = faults_strike(&face->faults, FAULT_REPEAT_CALLBACKS);
    return true;
}

void face_count_answer(struct face *face, int status)
{
    face->counts.callbacks_made++;
    face->counts.callbacks_accepted += status / 100 == 2 ? 1 : 0;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

static void open_world(struct face *face, struct network *network)
{
    const struct world_events events = {.context = face,
                                        .now_s = now_s,
                                        .arrived = on_arrived,
                                        .announced = on_announced,
                                        .confirmed = on_confirmed};
    face->world = world_open(&events, network);
    const struct director_hooks hooks = {.context = face,
                                         .cut_ws = hook_cut_ws,
                                         .close_ws = hook_close_ws,
                                         .restart = hook_restart,
                                         .forget_callbacks = forget_callbacks,
                                         .told = hook_told,
                                         .put_status = hook_put_status};
    face->director = director_open(face->world, &face->faults, &hooks);
    face->rpc = (struct mimic_options){.node_vendor = "Nano V27.1",
                                       .context = face,
                                       .ledger = rpc_ledger,
                                       .uptime_s = rpc_uptime_s,
                                       .now_ms = rpc_now_ms,
                                       .confirm = rpc_confirm,
                                       .control = rpc_control};
}

static enum cs_err open_ws(struct face *face, const struct net_address *address, char error[NET_ERROR_SIZE])
{
    face->ws = mimic_ws_open(&(struct mimic_ws_options){
        .loop = &face->loop, .address = address, .faults = &face->faults, .counts = &face->counts});
    if (face->ws == NULL) {
        snprintf(error, NET_ERROR_SIZE, "libwebsockets does not start: is libwebsockets-evlib-uv installed?");
        return CS_EIO;
    }
    return mimic_ws_listen(face->ws, error);
}

enum cs_err face_open(const struct face_options *options, struct network *network, struct face **opened,
                      char error[NET_ERROR_SIZE])
{
    struct face *face = cs_alloc(sizeof(*face));
    face->faults = *options->faults;
    face->has_callback = options->callback;
    face->started_ns = clock_monotonic_ns();
    int failed = uv_loop_init(&face->loop);
    assert(failed == 0);
    uv_timer_init(&face->loop, &face->tick);
    uv_timer_init(&face->loop, &face->restart);
    face->tick.data = face->restart.data = face;
    uv_timer_start(&face->tick, on_tick, TICK_MS, TICK_MS);
    open_world(face, network);
    enum cs_err err = CS_OK;
    if (options->rpc != NULL) {
        face->server = mimic_server_open(&face->loop, options->rpc, answer_call, face);
        err = mimic_server_listen(face->server, error);
    }
    if (err == CS_OK && options->ws != NULL) {
        err = open_ws(face, options->ws, error);
    }
    if (err != CS_OK) {
        face_close(face);
        return err;
    }
    *opened = face;
    return CS_OK;
}

void face_close(struct face *face)
{
    if (face->server != NULL) {
        mimic_server_close(face->server);
    }
    uv_close((uv_handle_t *)&face->tick, NULL);
    uv_close((uv_handle_t *)&face->restart, NULL);
    if (face->ws != NULL) {
        mimic_ws_stop(face->ws);
    }
    uv_run(&face->loop, UV_RUN_DEFAULT);
    if (face->ws != NULL) {
        mimic_ws_close(face->ws);
    }
    int busy = uv_loop_close(&face->loop);
    assert(busy == 0);
    (void)busy;
    forget_callbacks(face);
    director_close(face->director);
    if (face->past != NULL) {
        past_close(face->past);
    }
    world_close(face->world);
    counts_fini(&face->counts);
    free(face->told);
    free(face);
}

void face_print_ready(const struct face *face, FILE *out)
{
    json_t *line = json_object();
    char text[NET_TEXT_SIZE];
    json_object_set_new(line, "ready", json_true());
    if (face->server != NULL) {
        net_format(mimic_server_address(face->server), text);
        json_object_set_new(line, "rpc", json_string(text));
    }
    if (face->ws != NULL) {
        net_format(mimic_ws_address(face->ws), text);
        json_object_set_new(line, "ws", json_string(text));
    }
    json_dumpf(line, out, JSON_COMPACT);
    fputc('\n', out);
    fflush(out);
    json_decref(line);
}
