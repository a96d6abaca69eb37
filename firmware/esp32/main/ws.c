#include "ws.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/core.h"
#include "esp_crt_bundle.h"
#include "esp_log.h"
#include "esp_websocket_client.h"
#include "freertos/FreeRTOS.h"
#include "freertos/queue.h"
#include "freertos/task.h"
#include "inbox.h"
#include "plain/assemble.h"
#include "wifi.h"

#define PATH        "/device"
#define SUBPROTOCOL "coinslot.v1"
#define SILENCE_S   20 /* core.h: pinged after so long, cut after as much again */
#define NETWORK_MS  10000
#define SEND_MS     5000
#define ORDERS      10 /* eight frames, a close and a connect */
#define TASK_STACK  4096
#define TLS_STACK   6144 /* of the client's own task, which also shakes hands */
#define PRIORITY    5

enum order_kind { ORDER_CONNECT, ORDER_SEND, ORDER_CLOSE };

struct order {
    enum order_kind kind;
    uint16_t length;
    uint16_t code;
    char text[CORE_FRAME_SIZE];
};

static const char TAG[] = "ws";
static char url[192];
static const char *trusted;
static QueueHandle_t orders;
static esp_websocket_client_handle_t client; /* the worker's alone */
static struct assemble message;              /* of the client's task, between two connections nobody's */

static void post(enum inbox_kind kind, unsigned code)
{
    const struct inbox_event event = {.kind = kind, .code = code};
    inbox_post(&event);
}

/* ---- events, from the client's task ---------------------------------------------------------------------------------------- */

static void take_data(const esp_websocket_event_data_t *data)
{
    const struct assemble_piece piece = {
        .opcode = data->op_code,
        .last_frame = data->fin,
        .frame_length = (size_t)data->payload_len,
        .offset = (size_t)data->payload_offset,
        .length = (size_t)data->data_len,
        .bytes = data->data_ptr,
    };
    if (!assemble_is_data(&piece)) {
        return;
    }
    if (message.text == NULL) {
        message.text = inbox_take_buffer();
    }
    struct inbox_event event = {.kind = INBOX_MESSAGE};
    bool was_bad = message.bad;
    switch (assemble_take(&message, &piece)) {
    case ASSEMBLE_MORE:
        break;
    case ASSEMBLE_WHOLE:
        event.text = message.text;
        event.length = message.length;
        message.text = NULL;
        inbox_post(&event);
        break;
    case ASSEMBLE_BAD:
        if (!was_bad) {
            inbox_post(&event); /* without a text: the core ends the session */
        }
        break;
    }
}

static void on_event(void *argument, esp_event_base_t base, int32_t id, void *event_data)
{
    (void)argument;
    (void)base;
    const esp_websocket_event_data_t *data = event_data;
    if (id == WEBSOCKET_EVENT_CONNECTED) {
        post(INBOX_CONNECTED, 0);
        /*
         * The challenge may have come in one packet with the answer to the upgrade. Up to ESP-IDF v5.5, transport_ws.c keeps it then, and
         * its poll looks at the socket alone: it would be read when something else comes. The pong to this ping does.
         */
        esp_websocket_client_send_with_opcode(data->client, WS_TRANSPORT_OPCODES_PING, NULL, 0,
                                              pdMS_TO_TICKS(SEND_MS));
    } else if (id == WEBSOCKET_EVENT_DATA) {
        take_data(data);
    } else if (
        id == WEBSOCKET_EVENT_FINISH) { /* the last event of each client that was started, however it ended */
        post(INBOX_DISCONNECTED, (unsigned)data->close_status_code);
    }
}

/* ---- orders, in the worker's task ------------------------------------------------------------------------------------------- */

static void drop_client(void)
{
    if (client != NULL) {
        esp_websocket_client_destroy(client); /* waits for its task where that still runs */
        client = NULL;
    }
    if (message.text != NULL) {
        inbox_give_buffer(message.text);
    }
    memset(&message, 0, sizeof(message));
}

static bool start_client(void)
{
    const esp_websocket_client_config_t config = {
        .uri = url,
        .subprotocol = SUBPROTOCOL,
        .disable_auto_reconnect = true, /* when to try again is the core's to say */
        .ping_interval_sec = SILENCE_S,
        .pingpong_timeout_sec = SILENCE_S,
        .network_timeout_ms = NETWORK_MS,
        .buffer_size = 1536,
        .task_stack = TLS_STACK,
        .task_prio = PRIORITY,
        .cert_pem = trusted[0] != '\0' ? trusted : NULL,
        .crt_bundle_attach = trusted[0] != '\0' ? NULL : esp_crt_bundle_attach,
    };
    drop_client();
    if (!wifi_is_up()) {
        return false;
    }
    client = esp_websocket_client_init(&config);
    return client != NULL &&
           esp_websocket_register_events(client, WEBSOCKET_EVENT_ANY, on_event, NULL) == ESP_OK &&
           esp_websocket_client_start(client) == ESP_OK;
}

/* A frame that was not sent whole ends the connection: the next one would have a number that the relay does not expect. */
static void send_order(const struct order *order)
{
    int sent = esp_websocket_client_send_text(client, order->text, order->length, pdMS_TO_TICKS(SEND_MS));
    if (sent != (int)order->length) {
        ESP_LOGW(TAG, "a frame could not be sent");
        (void)esp_websocket_client_stop(client); /* it may have stopped by itself */
    }
}

/* Bounded, which esp_websocket_client_close is not: it sends with no limit of time. */
static void close_client(const struct order *order)
{
    uint8_t frame[CORE_FRAME_SIZE] = {(uint8_t)(order->code >> 8), (uint8_t)order->code};
    memcpy(frame + 2, order->text, order->length);
    (void)esp_websocket_client_send_with_opcode(client, WS_TRANSPORT_OPCODES_CLOSE, frame, order->length + 2,
                                                pdMS_TO_TICKS(SEND_MS));
    (void)esp_websocket_client_stop(client);
}

static void work(void *argument)
{
    (void)argument;
    static struct order order;
    for (;;) {
        xQueueReceive(orders, &order, portMAX_DELAY);
        switch (order.kind) {
        case ORDER_CONNECT:
            if (!start_client()) {
                post(INBOX_DISCONNECTED, 0);
            }
            break;
        case ORDER_SEND:
            send_order(&order);
            break;
        case ORDER_CLOSE:
            close_client(&order);
            break;
        }
    }
}

/* ---- what the core calls -------------------------------------------------------------------------------------------------------- */

void ws_open(const char *relay, const char *ca)
{
    snprintf(url, sizeof(url), "%s" PATH, relay);
    trusted = ca;
    orders = xQueueCreate(ORDERS, sizeof(struct order));
    assert(orders != NULL);
    BaseType_t made = xTaskCreate(work, "ws", TASK_STACK, NULL, PRIORITY, NULL);
    assert(made == pdPASS);
    (void)made;
}

static bool put_order(enum order_kind kind, uint16_t code, const char *text, size_t length)
{
    static struct order order; /* the main task's alone */
    assert(length <= sizeof(order.text));
    order.kind = kind;
    order.code = code;
    order.length = (uint16_t)length;
    memcpy(order.text, text, length);
    return xQueueSend(orders, &order, 0) == pdTRUE;
}

void ws_connect(void *context)
{
    (void)context;
    bool put = put_order(ORDER_CONNECT, 0, "", 0);
    assert(put); /* the last connection is over, and what was left of its orders fails at once */
    (void)put;
}

/* Two places are kept for a close and a connect, which may not fail. */
bool ws_send(void *context, const char *text, size_t length)
{
    (void)context;
    return uxQueueSpacesAvailable(orders) > 2 && put_order(ORDER_SEND, 0, text, length);
}

void ws_close(void *context, unsigned code, const char *reason)
{
    (void)context;
    bool put = put_order(ORDER_CLOSE, (uint16_t)code, reason, strnlen(reason, 100));
    assert(put);
    (void)put;
}
