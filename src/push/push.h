/*
 * push: the WebSocket server, and the sessions of devices.
 *
 * Owns the push thread (libwebsockets on our own libuv loop), the listening socket and every session. It
 * never touches SQLite: it asks the store through store_submit_…, and is told through the push_post_… calls,
 * which app.c hands to the store as its events. Nothing survives a crash: a session is begun anew.
 *
 * push_post_… : any thread; they copy, and never block (push_post_page may, while too many pages wait to be
 * sent).
 */
#ifndef COINSLOT_PUSH_PUSH_H
#define COINSLOT_PUSH_PUSH_H

#include "base/certificate.h"
#include "base/metrics.h"
#include "store/store.h"

struct push;

/* Whom a protocol lets in that is not the devices': nobody; who gives an API token; every program on this machine. */
enum push_policy { POLICY_OFF, POLICY_KEY, POLICY_OPEN };

struct push_options {
    const char *host;
    uint16_t port; /* 0: a free one */
    uint32_t sessions_most;
    uint32_t sessions_per_ip_most; /* 0: no limit; loopback is not limited */
    uint32_t waiting_most;         /* connections that have not said who they are */
    uint32_t waiting_per_ip_most;  /* 0: no limit; loopback is not limited */
    uint32_t handshakes_per_s;     /* connections that are taken, of all addresses; 0: no limit */
    uint32_t frame_most;           /* bytes of one inbound message */
    uint32_t hello_timeout_s;      /* from the connection to its upgrade, and from there to the hello */
    uint32_t ping_interval_s;      /* of silence, then a ping; no pong within ping_timeout_s: closed */
    uint32_t ping_timeout_s;
    uint32_t page_size;
    bool allow_plain_tokens;        /* tokens over plain connections that are not from loopback */
    enum push_policy legacy;        /* legacy.h */
    uint32_t legacy_addresses_most; /* of one session */
    uint32_t legacy_silence_s;      /* a legacy session may be silent for so long, though it is pinged */
    enum push_policy nano_api;      /* nano.h */
    uint32_t nano_accounts_most;    /* in the filter of one session */
    struct metrics *metrics;
};

#define PUSH_ERROR_SIZE 200

struct push *push_open(const struct push_options *options, struct store *store);

/* ---- TLS: any thread ------------------------------------------------------------------------------------ */
struct push_certificate;
/* NULL: `error` says what is wrong with it. */
struct push_certificate *push_read_certificate(const struct certificate *pem, int64_t *expires_ms,
                                               char error[PUSH_ERROR_SIZE]);
void push_free_certificate(struct push_certificate *certificate);
/* Before push_start: from then on only TLS is spoken. Later: for new connections. The certificate is taken. */
void push_use_certificate(struct push *push, struct push_certificate *certificate);

/* Starts the thread and listens. CS_EIO: the address is taken or not ours; `error` says which. */
CS_MUST_CHECK enum cs_err push_start(struct push *push, char error[PUSH_ERROR_SIZE]);
uint16_t push_port(const struct push *push);
/* Stops listening and closes every session with 1001; returns when they are closed, or after 3 s. The store
 * still runs. */
void push_stop(struct push *push);
void push_close(struct push *push); /* after store_stop: no event comes any more */

void push_post_live(void *push, const struct store_session *session, const struct store_delivery *delivery);
void push_post_raised(void *push, const struct store_session *session, uint64_t head);
void push_post_ended(void *push, const struct store_session *session, const char *reason);
void push_post_page(void *push, const struct store_session *session, uint64_t from, uint64_t to,
                    uint64_t head, const struct store_delivery *deliveries, size_t count);

void push_post_config(void *push, const struct store_session *session, uint64_t version, const char *body);
void push_post_heard(void *push, const struct store_heard *heard);

#endif
