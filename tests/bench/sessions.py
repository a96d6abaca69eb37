#!/usr/bin/python3
"""What idle sessions cost: memory each, and handshakes a second. Prints one JSON object; says what it does on stderr.

    tests/bench/sessions.py [--sessions 10000] [--auth token|key] [--tls none|ec|rsa] [--clients 4] [--binary build/release/coinslot]

Each session is of a device of its own; the relay is one of its own, too. The clients share the processors with the relay: so the relay's own time for
a handshake is told too, from which follows what it could do if it had one processor for itself.
"""

import argparse
import json
import multiprocessing
import os
import resource
import secrets
import socket
import ssl
import struct
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests" / "lib"), str(ROOT / "clients" / "python")]

from authority import Authority, Installed  # noqa: E402
from coinslot.credential import DeviceKey, KeyCredential, TokenCredential  # noqa: E402
from relay import CONFIG, Relay  # noqa: E402

UPGRADE = (
    b"GET /device HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: coinslot.v1\r\n\r\n"
)
IDLE_S = 3


def say(text):
    print(text, file=sys.stderr, flush=True)


def text_frame(text):
    """From a client: masked, with a mask that changes nothing."""
    head = struct.pack(">BB", 0x81, 0x80 | len(text)) if len(text) < 126 else struct.pack(">BBH", 0x81, 0x80 | 126, len(text))
    return head + bytes(4) + text


class Reader:
    """Over one read at a time: a buffered file for each of thousands of sockets would be costly."""

    def __init__(self, connection):
        self._connection, self._bytes = connection, b""

    def until(self, end):
        while end not in self._bytes:
            self._more()
        found, self._bytes = self._bytes.split(end, 1)
        return found

    def exactly(self, size):
        while len(self._bytes) < size:
            self._more()
        found, self._bytes = self._bytes[:size], self._bytes[size:]
        return found

    def frame(self):
        first, size = self.exactly(2)
        if size == 126:
            (size,) = struct.unpack(">H", self.exactly(2))
        payload = self.exactly(size)
        assert first == 0x81, (first, payload)
        return payload.decode()

    def _more(self):
        some = self._connection.recv(4096)
        if not some:
            raise ConnectionError("the relay has closed the connection")
        self._bytes += some


def credential_of(device, challenge):
    """Whatever relay it is: it is ours."""
    if "token" in device:
        return TokenCredential(device["token"])
    return KeyCredential(device["key"], (bytes.fromhex(json.loads(challenge)["relay"]),))


def greet(port, context, device):
    connection = socket.create_connection(("127.0.0.1", port), 60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context:
        connection = context.wrap_socket(connection, server_hostname="localhost")
    connection.sendall(UPGRADE)
    reader = Reader(connection)
    head = reader.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    challenge = reader.frame()
    handshake = credential_of(device, challenge).begin(device["id"], challenge)
    connection.sendall(text_frame(handshake.hello({"resume": 0}).encode()))
    handshake.welcome(reader.frame())
    assert '"caught_up":' in reader.frame()  # the state
    return connection


def client(port, authority, devices, begin, pipe):
    """A process with its share of the devices; holds its sessions until it is told to end."""
    context = ssl.create_default_context(cafile=authority) if authority else None
    if context:
        context.options |= ssl.OP_NO_TICKET
    begin.wait()
    began = time.monotonic()
    held = [greet(port, context, device) for device in devices]
    pipe.send((began, time.monotonic()))
    pipe.recv()
    for connection in held:
        connection.close()


def relay_numbers(pid):
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    processor_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return int(status["VmRSS"].split()[0]), processor_s


def create_devices(relay, count, auth):
    keys = [DeviceKey(secrets.token_bytes(32)) for _ in range(count)] if auth == "key" else []
    if auth == "key":
        lines = [{"name": f"Meter {number}", "auth": auth, "public_key": key.public.hex()} for number, key in enumerate(keys)]
        return [{"id": made["id"], "key": key} for made, key in zip(relay.import_devices(lines), keys)]
    lines = [{"name": f"Meter {number}", "auth": auth} for number in range(count)]
    return [{"id": made["id"], "token": made["token"]} for made in relay.import_devices(lines)]


def set_up(folder, arguments):
    config = CONFIG + f"[limits]\nsessions = {arguments.sessions + 100}\nwaiting = 1000\nhandshakes_per_s = 0\nping_interval_s = 600\n[http]\ntls = no\n"
    if arguments.tls == "none":
        return Relay(folder / "relay", config, binary=arguments.binary), None
    authority, installed = Authority(folder / "ca"), Installed(folder)
    installed.put(*authority.issue("bench", arguments.tls))
    return Relay(folder / "relay", config + installed.config(), binary=arguments.binary), str(authority.pem)


def measure(relay, authority, arguments):
    say(f"creating {arguments.sessions} devices")
    devices = create_devices(relay, arguments.sessions, arguments.auth)
    begin = multiprocessing.Event()
    share = -(-arguments.sessions // arguments.clients)
    clients = []
    for first in range(0, arguments.sessions, share):
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(target=client, args=(relay.ws_port, authority, devices[first : first + share], begin, theirs))
        process.start()
        clients.append((process, ours))
    time.sleep(1)
    pid = relay.process.pid
    rss_before, processor_before = relay_numbers(pid)
    say("connecting them")
    begin.set()
    times = [pipe.recv() for _, pipe in clients]
    _, processor_after = relay_numbers(pid)
    time.sleep(IDLE_S)
    rss_after, _ = relay_numbers(pid)
    assert relay.metrics()["coinslot_sessions"] == arguments.sessions
    for process, pipe in clients:
        pipe.send("end")
        process.join()
    took = max(end for _, end in times) - min(begun for begun, _ in times)
    each_s = (processor_after - processor_before) / arguments.sessions
    return {
        "sessions": arguments.sessions,
        "auth": arguments.auth,
        "tls": arguments.tls,
        "memory_bytes_each": round(1024 * (rss_after - rss_before) / arguments.sessions),
        "memory_mb_in_all": round(rss_after / 1024, 1),
        "handshakes_per_s_beside_the_clients": round(arguments.sessions / took),
        "processor_us_each": round(1e6 * each_s),
        "handshakes_per_s_of_one_processor": round(1 / each_s),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=10000)
    parser.add_argument("--auth", choices=["token", "key"], default="token")
    parser.add_argument("--tls", choices=["none", "ec", "rsa"], default="none")
    parser.add_argument("--clients", type=int, default=4, help="processes that connect")
    parser.add_argument("--binary", type=Path, default=ROOT / "build" / "release" / "coinslot")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="coinslot-bench-") as folder:
        relay, authority = set_up(Path(folder), arguments)
        relay.start()
        try:
            print(json.dumps(measure(relay, authority, arguments), indent=2))
            relay.stop()
        finally:
            if relay.process is not None:
                relay.kill()


if __name__ == "__main__":
    main()
