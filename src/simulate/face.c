#include "simulate/face.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "simulate/face_parts.h"

#define TICK_MS 20 /* how late a fault may begin or end */

/* ---- its turns ----------------------------------------------------------------------------------------- */

static void drop_ws_now_and_then(struct face *face)
{
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t every_ms = faults_get(&face->faults, FAULT_WS_DROP_EVERY_MS);
    if (every_ms == 0) {
        face->ws_dropped_ns = now_ns;
    } else if (now_ns - face->ws_dropped_ns >= every_ms * 1000000) {
        face->ws_dropped_ns = now_ns;
        if (face->ws != NULL) {
            mimic_ws_cut(face->ws);
        }
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct face *face = timer->data;
    face_follow_faults(face);
    drop_ws_now_and_then(face);
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

/* ---- life ---------------------------------------------------------------------------------------------- */

static void open_world(struct face *face, struct network *network)
{
    const struct world_events events = face_events(face);
    face->world = world_open(&events, network);
    const struct director_hooks hooks = face_hooks(face);
    face->director = director_open(face->world, &face->faults, &hooks);
    face_open_calls(face);
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
        face->server = mimic_server_open(&face->loop, options->rpc, face_answer_call, face);
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
    face_forget_callbacks(face);
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
