"""A bare session of `coinslot.v1`, frame by frame, for tests that say what no proper device says."""

import asyncio
import json
import threading
import time

import websockets

from coinslot.credential import DeviceKey, KeyCredential


ASIDE = ("state", "config")


class Loop:
    """One asyncio loop in a thread of its own, so that tests read from top to bottom."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine, timeout=30):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Closed(Exception):
    """The relay closed the session."""

    def __init__(self, code, reason):
        super().__init__(f"{code} {reason}")
        self.code, self.reason = code, reason


class Session:
    def __init__(self, loop, url, path="/device", subprotocol="coinslot.v1", **options):
        self._loop = loop
        self.aside = []
        self._channel = None  # in a session by key, from the welcome on
        self._socket = loop.run(self._connect(url + path, subprotocol, options))
        self.subprotocol = self._socket.subprotocol

    @staticmethod
    async def _connect(url, subprotocol, options):
        subprotocols = [subprotocol] if subprotocol else None
        options = {"ping_interval": None, "max_size": 2**20, "close_timeout": 5, "compression": None, **options}
        return await websockets.connect(url, subprotocols=subprotocols, **options)

    def send(self, **frame):
        self.send_text(self.seal(**frame))

    def seal(self, **frame):
        """The frame as it has to go out next."""
        text = json.dumps(frame)
        return text if self._channel is None else self._channel.seal(text)

    def send_text(self, text):
        """As it is. Text, or bytes for a binary frame."""
        self._loop.run(self._send(text))

    async def _send(self, text):
        try:
            await self._socket.send(text)
        except websockets.ConnectionClosed as closed:
            raise _closed(closed) from None

    def receive(self, type=None, timeout=20):
        """
        The next frame, which has to be of this type. What the relay says by itself (state, config) is put aside unless it is asked for.
        Closed when the relay closes instead.
        """
        end = time.monotonic() + timeout
        while True:
            text = self.receive_text(max(0, end - time.monotonic()))
            frame = json.loads(text if self._channel is None else self._channel.open(text))
            if frame["type"] in ASIDE and frame["type"] != type:
                self.aside.append(frame)
                continue
            assert type is None or frame["type"] == type, f"wanted a {type}, got {frame}"
            return frame

    def receive_text(self, timeout=20):
        """The next frame as it came."""
        return self._loop.run(self._receive(timeout), timeout + 5)

    async def _receive(self, timeout):
        try:
            return await asyncio.wait_for(self._socket.recv(), timeout)
        except websockets.ConnectionClosed as closed:
            raise _closed(closed) from None
        except asyncio.TimeoutError:
            raise TimeoutError(f"no frame within {timeout} s") from None

    def receive_close(self, timeout=20):
        """The close code, whatever frames come before it."""
        try:
            while True:
                self.receive_text(timeout=timeout)
        except Closed as closed:
            return closed.code

    def nothing_comes(self, within=0.3):
        try:
            frame = self.receive(timeout=within)
        except TimeoutError:
            return
        raise AssertionError(f"nothing should have come, but this did: {frame}")

    def hello(self, device, token=None, resume=0, **fields):
        """Takes the challenge and answers it; returns the challenge."""
        challenge = self.receive("challenge")
        self.send(type="hello", device=device["id"], token=token or device["token"], resume=resume, **fields)
        return challenge

    def greet(self, device, resume=0, **fields):
        """Up to the welcome, which it returns."""
        self.hello(device, resume=resume, **fields)
        return self.receive("welcome")

    def hello_by_key(self, device, resume=0, **fields):
        """As hello; `device` has its secret_key and the relay_keys. Returns the handshake, which wants the welcome."""
        credential = KeyCredential(DeviceKey.parse(device["secret_key"]), tuple(bytes.fromhex(key) for key in device["relay_keys"]))
        handshake = credential.begin(device["id"], self.receive_text())
        self.send_text(handshake.hello({"resume": resume, **fields}))
        return handshake

    def greet_by_key(self, device, resume=0, **fields):
        """Up to the welcome, which it returns; from then on frames are sealed and opened."""
        handshake = self.hello_by_key(device, resume, **fields)
        text = self.receive_text()
        welcome = json.loads(text)
        assert welcome["type"] == "welcome", welcome
        self._channel = handshake.welcome(text)
        return welcome

    def close(self):
        self._loop.run(self._socket.close())

    def abort(self):
        """Ends the connection as a broken network does, without a close frame."""
        self._loop.run(self._abort())

    async def _abort(self):
        self._socket.transport.abort()

    def stop_reading(self):
        """As a device that hangs: the bytes stay in the sockets' buffers."""
        self._loop.run(self._pause())

    async def _pause(self):
        self._socket.transport.pause_reading()


def _closed(closed):
    if closed.rcvd is None:
        return Closed(1006, "the connection broke")
    return Closed(closed.rcvd.code, closed.rcvd.reason)
