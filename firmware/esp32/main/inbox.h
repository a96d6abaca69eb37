/*
 * inbox: what other tasks tell the main task, which alone may enter the core. Events keep their order. The texts of messages lie in two
 * buffers: while both are waiting to be read, whoever receives waits, and TCP slows the relay down.
 */
#ifndef COINSLOT_FIRMWARE_ESP32_INBOX_H
#define COINSLOT_FIRMWARE_ESP32_INBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum inbox_kind {
    INBOX_CONNECTED,
    INBOX_MESSAGE,      /* `text` NULL: what came is none that the core takes */
    INBOX_DISCONNECTED, /* with `code` */
    INBOX_RESTART,
    INBOX_WIPE,
};

struct inbox_event {
    enum inbox_kind kind;
    unsigned code;
    char *text;
    size_t length;
};

void inbox_open(void);

/* Any task. Waits for room. */
void inbox_post(const struct inbox_event *event);

/* A buffer of CORE_MESSAGE_SIZE bytes, to be posted. */
char *inbox_take_buffer(void);

/* Main task: the next event, or false when none came in time. The buffer of a message goes back by inbox_done. */
bool inbox_wait(struct inbox_event *event, uint32_t wait_ms);
void inbox_done(const struct inbox_event *event);

/* Gives a buffer back that was not posted. */
void inbox_give_buffer(char *buffer);

#endif
