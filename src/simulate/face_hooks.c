/* What the director asks for. */
#define LOG_MODULE "simulate"
#include "base/clock.h"
#include "base/log.h"
#include "simulate/face_parts.h"
#include "simulate/mimic_call.h"

#define RESTART_AFTER_MS 50 /* so that whoever asked for it has its answer */

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

static void hook_forget_callbacks(void *context)
{
    face_forget_callbacks(context);
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
    face_forget_callbacks(face);
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
    mimic_put_number(status, "blocks", ledger_block_count(ledger));
    mimic_put_number(status, "cemented", ledger_confirmed_count(ledger));
    mimic_put_number(status, "callbacks_waiting", face_callbacks_waiting(face));
    mimic_put_number(status, "ws_sessions", face->ws != NULL ? mimic_ws_session_count(face->ws) : 0);
    counts_print(&face->counts, status);
}

struct director_hooks face_hooks(struct face *face)
{
    return (struct director_hooks){.context = face,
                                   .cut_ws = hook_cut_ws,
                                   .close_ws = hook_close_ws,
                                   .restart = hook_restart,
                                   .forget_callbacks = hook_forget_callbacks,
                                   .told = hook_told,
                                   .put_status = hook_put_status};
}
