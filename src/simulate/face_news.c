/* What the world tells, on its way to callback and WebSocket. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "simulate/face_parts.h"

struct due {
    struct due *next;
    struct scenario_news news;
};

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

struct world_events face_events(struct face *face)
{
    return (struct world_events){.context = face,
                                 .now_s = now_s,
                                 .arrived = on_arrived,
                                 .announced = on_announced,
                                 .confirmed = on_confirmed};
}

/* ---- the callbacks that wait --------------------------------------------------------------------------- */

void face_forget_callbacks(struct face *face)
{
    while (face->first_due != NULL) {
        struct due *due = face->first_due;
        face->first_due = due->next;
        free(due);
    }
    face->last_due = NULL;
}

uint64_t face_callbacks_waiting(const struct face *face)
{
    uint64_t waiting = 0;
    for (const struct due *due = face->first_due; due != NULL; due = due->next) {
        waiting++;
    }
    return waiting;
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
