#include "inbox.h"

#include <assert.h>

#include "core/core.h"
#include "freertos/FreeRTOS.h"
#include "freertos/queue.h"

#define BUFFERS 2
#define EVENTS  8

static char buffers[BUFFERS][CORE_MESSAGE_SIZE];
static QueueHandle_t events, free_buffers;

void inbox_open(void)
{
    events = xQueueCreate(EVENTS, sizeof(struct inbox_event));
    free_buffers = xQueueCreate(BUFFERS, sizeof(char *));
    assert(events != NULL && free_buffers != NULL);
    for (unsigned i = 0; i < BUFFERS; i++) {
        inbox_give_buffer(buffers[i]);
    }
}

void inbox_post(const struct inbox_event *event)
{
    xQueueSend(events, event, portMAX_DELAY);
}

char *inbox_take_buffer(void)
{
    char *buffer = NULL;
    xQueueReceive(free_buffers, &buffer, portMAX_DELAY);
    return buffer;
}

void inbox_give_buffer(char *buffer)
{
    xQueueSend(free_buffers, &buffer, 0); /* there is room: it has that of all of them */
}

bool inbox_wait(struct inbox_event *event, uint32_t wait_ms)
{
    return xQueueReceive(events, event, pdMS_TO_TICKS(wait_ms)) == pdTRUE;
}

void inbox_done(const struct inbox_event *event)
{
    if (event->kind == INBOX_MESSAGE && event->text != NULL) {
        inbox_give_buffer(event->text);
    }
}
