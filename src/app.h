/*
 * app: `coinslot serve`, the relay.
 *
 * The threads, all of them:
 *
 *   main        signals, start, stop; the control socket                                app.c
 *   writer      owns the read-write SQLite connection                                   store/writer.c
 *   checkpoint  PASSIVE passes over the WAL; looks at the disk's free space             store/checkpoint.c
 *   soundness   looks through the store's file once, and ends                           store/soundness.c
 *   replay      reads the pages of sessions that have something to catch up with        store/replay.c
 *   push        the WebSocket server: libwebsockets on our libuv loop                   push/push.c
 *   node        nodes' WebSockets, RPC, confirmation, reconciliation                    node/upstream.c
 *   http        libmicrohttpd's pool: callback and admin API                            http/http.c
 *   acceptor    takes HTTP connections, or turns them away                              http/acceptor.c
 *   deadlines   cuts HTTP connections whose request does not come                       http/deadlines.c
 *   pool        libuv's: key pairs ahead of the devices; names of nodes               push/exchange.c, node/nano_lookup.c
 *
 * They share the store's inbox, its directory under a read lock, and each one's mailbox; nothing else.
 */
#ifndef COINSLOT_APP_H
#define COINSLOT_APP_H

/* Returns the exit code: 0 after SIGTERM or SIGINT, 1 when it could not start, 2 for a wrong command line or config. */
int app_serve(int argc, char **argv);
int app_config(int argc, char **argv);

#endif
