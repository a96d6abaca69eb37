"""Nano_Callback_System's clients, as their libraries speak, and a recorder of what goes over their wire."""

import asyncio
import base64
import hashlib
import json
import os
import re
import select
import socket
import struct
import threading
import time

import websocket
import websockets

OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}


# ---- the clients ------------------------------------------------------------------------------------------------------


class WebsocketsClient:
    """As the first Python client: `websockets`, with all its defaults."""

    def __init__(self, url, loop):
        self._loop = loop
        self._socket = loop.run(self._connect(url))

    @staticmethod
    async def _connect(url):
        return await websockets.connect(url)

    def listen(self, address, api_key="0"):
        self.send(json.dumps({"address": address, "api_key": api_key}))

    def send(self, text):
        self._loop.run(self._socket.send(text))

    def receive(self, timeout=10):
        """The next message, or None. ConnectionError(code) when the relay closes instead."""
        return self._loop.run(self._receive(timeout), timeout + 5)

    async def _receive(self, timeout):
        try:
            return await asyncio.wait_for(self._socket.recv(), timeout)
        except asyncio.TimeoutError:
            return None
        except websockets.ConnectionClosed as closed:
            raise ConnectionError(closed.rcvd.code if closed.rcvd else None) from None

    def close(self):
        self._loop.run(self._socket.close())


class WebsocketClient:
    """As the second Python client: `websocket-client`, which is read with a timeout of two seconds, again and again."""

    def __init__(self, url, loop=None):
        self._socket = websocket.create_connection(url)
        self._socket.settimeout(2.0)

    def listen(self, address, api_key="0"):
        self.send(json.dumps({"address": address, "api_key": api_key}))

    def send(self, text):
        self._socket.send(text)

    def receive(self, timeout=10):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self._socket.settimeout(min(2.0, max(0.01, end - time.monotonic())))
            try:
                opcode, data = self._socket.recv_data(control_frame=True)  # it has answered a ping by then
            except websocket.WebSocketTimeoutException:
                continue
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                raise ConnectionError(struct.unpack(">H", data[:2])[0])
            if opcode == websocket.ABNF.OPCODE_TEXT:
                return data.decode()
        return None

    def close(self):
        self._socket.close()


class ArduinoClient:
    """
    A stand-in for the ESP32 sketch on arduinoWebSockets: its handshake line by line, its checks of the answer, its frames, and that it
    understands neither a message in fragments nor one above 15 KB. While it is `deaf` it reads nothing, as while it counts down.
    """

    DATA_MOST = 15 * 1024

    def __init__(self, url, loop=None, subprotocol="arduino"):
        host, port, path = re.fullmatch(r"ws://([^:/]+):(\d+)(/.*)", url).groups()
        self._socket = socket.create_connection((host, int(port)), 10)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {host}:{port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            *([f"Sec-WebSocket-Protocol: {subprotocol}"] if subprotocol else []),
            "Origin: file://",
            "User-Agent: arduino-WebSocket-Client",
        ]
        self._socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        self._received = b""
        self._check_head(key)
        self.pings = 0

    def _check_head(self, key):
        while b"\r\n\r\n" not in self._received:
            self._fill(10)
        head, self._received = self._received.split(b"\r\n\r\n", 1)
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        assert first.startswith("HTTP/1.") and first[9:12] == "101", first
        assert headers["connection"].lower() == "upgrade"
        assert headers["upgrade"].lower() == "websocket"
        assert headers["sec-websocket-accept"] == accept_of(key)

    def _fill(self, timeout):
        if not select.select([self._socket], [], [], max(0, timeout))[0]:
            raise TimeoutError
        some = self._socket.recv(65536)
        if not some:
            raise ConnectionError(None)
        self._received += some

    def _send_frame(self, opcode, payload):
        mask = os.urandom(4) if payload else bytes(4)  # it masks only what it has copied
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else struct.pack(">BH", 0x80 | 126, len(payload))
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self._socket.sendall(bytes([0x80 | opcode]) + length + mask + masked)

    def listen(self, address, api_key="0"):
        self.send(json.dumps({"address": address, "api_key": api_key}, separators=(",", ":")))

    def send(self, text):
        self._send_frame(1, text.encode())

    def send_ping(self):
        """What its heartbeat does, where a sketch has switched it on."""
        self._send_frame(9, b"")

    def receive(self, timeout=10):
        end = time.monotonic() + timeout
        while True:
            frame = parse_frame(self._received)
            if frame is None:
                try:
                    self._fill(end - time.monotonic())
                except TimeoutError:
                    return None
                continue
            size, opcode, final, masked, payload = frame
            self._received = self._received[size:]
            assert not masked and len(payload) <= self.DATA_MOST
            if opcode == 9:
                self.pings += 1
                self._send_frame(10, payload)
            elif opcode == 8:
                self._send_frame(8, struct.pack(">H", 1000))
                raise ConnectionError(struct.unpack(">H", payload[:2])[0])
            elif opcode == 1:
                assert final, "the sketch takes no notice of fragments"
                return payload.decode()
            else:
                assert opcode == 10, f"the sketch knows nothing of opcode {opcode}"

    def close(self):
        self._send_frame(8, struct.pack(">H", 1000))
        self._socket.close()


CLIENTS = {"websockets": WebsocketsClient, "websocket-client": WebsocketClient, "arduinoWebSockets": ArduinoClient}


def details(text):
    """Amount and destination as the Python clients take them out of a message; (None, None) where they wait for the next one."""
    message = json.loads(text)
    try:
        return message["amount"], json.loads(message["block"])["link_as_account"]
    except Exception:
        return None, None


def seconds_on(text):
    """For how long the sketch switches on: it cuts the amount's last 24 digits off. A missing amount reads as `null`."""
    message = json.loads(text)
    amount = message["amount"] if isinstance(message, dict) and "amount" in message else "null"
    kept = amount[: len(amount) - 24] if len(amount) >= 24 else amount
    millionths = int((re.match(r"\d+", kept) or [0])[0])
    return next((seconds for least, seconds in ((500000, 3600), (200000, 1200), (100000, 600)) if millionths >= least), 0)


# ---- frames -----------------------------------------------------------------------------------------------------------


def accept_of(key):
    """RFC 6455, section 1.3."""
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def parse_frame(data):
    """Size, opcode, final, masked and payload of the frame in front, or None when it is not all there."""
    if len(data) < 2:
        return None
    at, length, masked = 2, data[1] & 0x7F, bool(data[1] & 0x80)
    if length == 126:
        at, length = 4, int.from_bytes(data[2:4], "big")
    elif length == 127:
        at, length = 10, int.from_bytes(data[2:10], "big")
    mask = data[at : at + 4] if masked else bytes(4)
    at += 4 if masked else 0
    if len(data) < at + length:
        return None
    payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data[at : at + length]))
    return at + length, data[0] & 0x0F, bool(data[0] & 0x80), masked, payload


class Reader:
    """One direction of a connection, as the items of a recording. What differs from run to run is named, not kept."""

    def __init__(self, name, port):
        self._name, self._port = name, port
        self._data, self._in_frames = b"", False
        self.key = None

    def take(self, data):
        self._data += data
        items = []
        while (item := self._next()) is not None:
            items.append({"from": self._name, **item})
        return items

    def _next(self):
        if not self._in_frames:
            if b"\r\n\r\n" not in self._data:
                return None
            head, self._data = self._data.split(b"\r\n\r\n", 1)
            self._in_frames = True
            return {"head": [self._line(line) for line in head.decode().split("\r\n")]}
        frame = parse_frame(self._data)
        if frame is None:
            return None
        size, opcode, final, masked, payload = frame
        self._data = self._data[size:]
        item = {"opcode": OPCODES[opcode], "final": final, "masked": masked}
        if opcode == 8 and payload:
            return {**item, "code": int.from_bytes(payload[:2], "big"), "reason": payload[2:].decode()}
        return {**item, "payload": payload.decode() if opcode in (1, 8) else payload.hex()}

    def _line(self, line):
        line = line.replace(f"127.0.0.1:{self._port}", "RELAY")
        name, _, value = line.partition(": ")
        if name.lower() == "sec-websocket-key":
            self.key = value
            return f"{name}: KEY"
        if name.lower() == "sec-websocket-accept":
            self.key = value
            return f"{name}: ACCEPT"
        return line


class Recorder:
    """Stands between one client and the relay, passes on every byte, and keeps what they said, in its order."""

    def __init__(self, relay_port):
        self._relay_port = relay_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.items = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}/call"

    def _run(self):
        client, _ = self._listener.accept()
        relay = socket.create_connection(("127.0.0.1", self._relay_port), 10)
        others = {client: relay, relay: client}
        readers = {client: Reader("client", self.port), relay: Reader("relay", self.port)}
        while others:
            for ready in select.select(list(others), [], [], 30)[0]:
                try:
                    data = ready.recv(65536)
                    if data:
                        self.items += readers[ready].take(data)
                        others[ready].sendall(data)
                except OSError:
                    data = b""
                if not data:
                    others = {}
                    break
        assert readers[relay].key == accept_of(readers[client].key)
        client.close()
        relay.close()

    def finish(self):
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._listener.close()
        # The sketch does not stay for the answer to its close frame.
        end = next(index for index, item in enumerate(self.items) if item["from"] == "client" and item.get("opcode") == "close")
        return self.items[: end + 1]


class Replay:
    """Sends a recording's client again, byte for byte but for keys and masks, and demands the relay's words of then."""

    def __init__(self, relay_port):
        self._port = relay_port
        self._socket = socket.create_connection(("127.0.0.1", relay_port), 10)
        self._reader = Reader("relay", relay_port)
        self._items = []
        self._key = base64.b64encode(os.urandom(16)).decode()

    def send(self, item):
        if "head" in item:
            lines = [line.replace("RELAY", f"127.0.0.1:{self._port}") for line in item["head"]]
            lines = [f"{line[:-3]}{self._key}" if line.endswith(": KEY") else line for line in lines]
            self._socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
            return
        opcode = next(number for number, name in OPCODES.items() if name == item["opcode"])
        if "code" in item:
            payload = struct.pack(">H", item["code"]) + item["reason"].encode()
        else:
            payload = item["payload"].encode() if item["opcode"] == "text" else bytes.fromhex(item["payload"])
        mask = os.urandom(4)
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else struct.pack(">BH", 0x80 | 126, len(payload))
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self._socket.sendall(bytes([item["final"] << 7 | opcode]) + length + mask + masked)

    def receive(self, timeout=10):
        while not self._items:
            if not select.select([self._socket], [], [], timeout)[0]:
                raise TimeoutError("the relay says nothing")
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionError("the relay has closed the connection")
            self._items += self._reader.take(data)
            if self._items and "head" in self._items[0]:
                assert self._reader.key == accept_of(self._key)
        return self._items.pop(0)

    def close(self):
        self._socket.close()
