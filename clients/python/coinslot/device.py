"""The reference device of `coinslot.v1`: gets payments, remembers them through power cuts, says what it did.

    /usr/bin/python3 -m coinslot.device --url ws://127.0.0.1:7091 --device dev_… --token-file F --state FILE

A payment is persisted together with its credit before it is acked. Acks are cumulative; outcomes are repeated after each welcome until
the relay has noted them. The connection is made again for ever, after growing, random delays.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional, Protocol

import websockets
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.legacy.client import WebSocketClientProtocol

from coinslot.amount import parse_raw
from coinslot.state import State, StateFile
from coinslot.tariff import Granted, Refused, Tariff

SUBPROTOCOL = "coinslot.v1"
FIRMWARE = "coinslot-python/0.1.0"
FRAME_MOST = 65536  # bytes of one message

CLOSE_GOING_AWAY = 1001
CLOSE_PROTOCOL_ERROR = 4000
CLOSE_FENCED = 4001
CLOSE_UNAUTHORIZED = 4002
CLOSE_HELLO_TIMEOUT = 4003
CLOSE_INSECURE = 4005
CLOSE_DISABLED = 4006
CLOSE_RETIRED = 4007
CLOSE_STORE_ROLLED_BACK = 4008
CLOSE_BUSY = 4010

# Trying again soon would not help: somebody has to look first.
_CLOSES_FOR_AN_OPERATOR = (
    CLOSE_FENCED,
    CLOSE_UNAUTHORIZED,
    CLOSE_INSECURE,
    CLOSE_DISABLED,
    CLOSE_STORE_ROLLED_BACK,
)

Event = Dict[str, Any]


class RelayError(Exception):
    """The relay broke the protocol: the session ends, nothing is granted."""


class Credential(Protocol):
    """How a device proves who it is: the fields it adds to its hello, given the relay's challenge."""

    def prove(self, challenge: Mapping[str, Any]) -> Dict[str, str]: ...


@dataclass(frozen=True)
class TokenCredential:
    token: str

    def prove(self, challenge: Mapping[str, Any]) -> Dict[str, str]:
        return {"token": self.token}

    def __repr__(self) -> str:
        return "TokenCredential(…)"


@dataclass(frozen=True)
class Backoff:
    """Delays between attempts: random below a ceiling that doubles, so that a thousand meters don't come back in one instant."""

    first_s: float = 0.5
    most_s: float = 30.0

    def delay_s(self, failures: int) -> float:
        ceiling = min(self.most_s, self.first_s * 2 ** min(failures, 20))
        return random.uniform(ceiling / 2, ceiling)


@dataclass(frozen=True)
class Ended:
    """Why a session ended; `code` is the WebSocket's close code, 0 when there was no connection."""

    code: int
    reason: str


class Device:
    """One device, made and `run` inside an asyncio loop. What happens is told to `on_event`, as small dicts with the key `event`."""

    def __init__(
        self,
        url: str,
        device: str,
        credential: Credential,
        state_file: StateFile,
        *,
        tariff: Tariff = Tariff(),
        on_event: Callable[[Event], None] = lambda event: None,
        backoff: Backoff = Backoff(),
        ack_delay_s: float = 0.0,
        ping_interval_s: float = 20.0,
        silence_most_s: float = 20.0,
    ) -> None:
        self.url = url.rstrip("/")
        if not self.url.endswith("/device"):
            self.url += "/device"
        self.device = device
        self.tariff = tariff
        self._credential = credential
        self._file = state_file
        self._tell = on_event
        self._backoff = backoff
        self._ack_delay_s = ack_delay_s
        self._ping_interval_s = ping_interval_s
        self._silence_most_s = silence_most_s
        self._stopping = asyncio.Event()
        self._handlers = {
            "payment": self._on_payment,
            "gap": self._on_gap,
            "noted": self._on_noted,
            "error": self._on_error,
        }

    @property
    def state(self) -> State:
        return self._file.state

    def stop(self) -> None:
        """Ends the session with 1001, and `run`. From the loop's own thread."""
        self._stopping.set()

    # ---- connecting, again and again --------------------------------------------------------------------------------

    async def run(self) -> Ended:
        """Until `stop`, or until the relay says that this device is retired."""
        failures = 0
        while True:
            ended, welcomed = await self.run_session()
            if self._stopping.is_set() or ended.code == CLOSE_RETIRED:
                self._tell({"event": "stopped", "code": ended.code, "reason": ended.reason})
                return ended
            if welcomed:
                failures = 0
            if ended.code in _CLOSES_FOR_AN_OPERATOR:
                failures = max(failures, 20)
            delay_s = self._backoff.delay_s(failures)
            failures += 1
            self._tell({"event": "waiting", "code": ended.code, "reason": ended.reason, "delay_ms": round(delay_s * 1000)})
            try:
                await asyncio.wait_for(self._stopping.wait(), delay_s)
            except asyncio.TimeoutError:
                continue
            self._tell({"event": "stopped", "code": ended.code, "reason": ended.reason})
            return ended

    async def run_session(self) -> "tuple[Ended, bool]":
        """One connection, from the challenge to the close. True when it got as far as the welcome."""
        self._welcomed = False
        try:
            async with websockets.connect(
                self.url,
                subprotocols=[websockets.Subprotocol(SUBPROTOCOL)],
                compression=None,
                max_size=FRAME_MOST,
                ping_interval=self._ping_interval_s,
                ping_timeout=self._silence_most_s,
                close_timeout=3,
            ) as socket:
                if socket.subprotocol != SUBPROTOCOL:
                    return Ended(0, f"the server at {self.url} does not speak {SUBPROTOCOL}"), False
                ended = await self._until_stopped(socket)
        except (OSError, InvalidHandshake, asyncio.TimeoutError) as error:
            return Ended(0, f"no connection to {self.url}: {error or type(error).__name__}"), self._welcomed
        return ended, self._welcomed

    async def _until_stopped(self, socket: WebSocketClientProtocol) -> Ended:
        talking = asyncio.ensure_future(self._talk(socket))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({talking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if talking.done():
                return talking.result()
            await socket.close(CLOSE_GOING_AWAY, "the device stops")
            await asyncio.wait({talking})
            if talking.exception() is not None:
                raise talking.exception()  # type: ignore[misc]
            return Ended(CLOSE_GOING_AWAY, "stopped")
        finally:
            talking.cancel()
            stopping.cancel()

    # ---- one session ------------------------------------------------------------------------------------------------

    async def _talk(self, socket: WebSocketClientProtocol) -> Ended:
        try:
            await self._greet(socket)
            self._welcomed = True
            await self._repeat_outcomes(socket)
            while True:
                frame = await self._receive(socket)
                handler = self._handlers.get(frame["type"])
                if handler is not None:  # an unknown type is of a later version
                    await handler(socket, frame)
        except ConnectionClosed as closed:
            if closed.rcvd is None:
                return Ended(1006, "the connection broke")
            return Ended(closed.rcvd.code, closed.rcvd.reason)
        except RelayError as error:
            self._tell({"event": "protocol_error", "message": str(error)})
            await socket.close(CLOSE_PROTOCOL_ERROR, str(error)[:120])
            return Ended(CLOSE_PROTOCOL_ERROR, str(error))

    async def _receive(self, socket: WebSocketClientProtocol) -> Dict[str, Any]:
        text = await socket.recv()
        try:
            frame = json.loads(text)
        except ValueError:
            raise RelayError("a frame that is not JSON") from None
        if not isinstance(text, str) or not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
            raise RelayError("a frame that is not a JSON object with a type")
        return frame

    async def _send(self, socket: WebSocketClientProtocol, frame: Dict[str, Any]) -> None:
        await socket.send(json.dumps(frame, separators=(",", ":")))

    async def _greet(self, socket: WebSocketClientProtocol) -> None:
        challenge = await self._receive(socket)
        if challenge["type"] != "challenge" or not isinstance(challenge.get("epoch"), str):
            raise RelayError("the relay did not begin with a challenge")
        hello: Dict[str, Any] = {"type": "hello", "device": self.device, **self._credential.prove(challenge)}
        hello["resume"] = self.state.seq
        if self.state.epoch is not None:
            hello["epoch"] = self.state.epoch
        hello["firmware"] = FIRMWARE
        await self._send(socket, hello)

        welcome = await self._receive(socket)
        while welcome["type"] == "error":
            await self._on_error(socket, welcome)
            welcome = await self._receive(socket)
        if welcome["type"] != "welcome":
            raise RelayError(f"a {welcome['type']} where the welcome should have been")
        last_acked = _number(welcome, "last_acked")
        pending = _number(welcome, "pending")
        self._tell({"event": "welcome", "resume": self.state.seq, "last_acked": last_acked, "pending": pending})
        self._meet_store(challenge["epoch"], last_acked)

    def _meet_store(self, epoch: str, last_acked: int) -> None:
        if self.state.epoch == epoch and last_acked <= self.state.seq:
            return
        if last_acked > self.state.seq:
            # An earlier life of this device acked more than this state knows: that credit is gone, going on is all that is left.
            self._tell({"event": "state_lost", "from": self.state.seq + 1, "to": last_acked})
        self.state.epoch = epoch
        self.state.seq = max(self.state.seq, last_acked)
        self.persist()

    async def _repeat_outcomes(self, socket: WebSocketClientProtocol) -> None:
        for seq in list(self.state.outcomes):
            await self._report(socket, seq)

    # ---- what the relay says ----------------------------------------------------------------------------------------

    async def _on_payment(self, socket: WebSocketClientProtocol, frame: Mapping[str, Any]) -> None:
        seq = _number(frame, "seq")
        payment = frame.get("payment")
        if not isinstance(payment, dict):
            raise RelayError(f"seq {seq} has no payment")
        if seq > self.state.seq + 1:
            raise RelayError(f"seq {seq} came after {self.state.seq}: there is a hole")
        if seq <= self.state.seq:
            self._tell({"event": "repeat", "seq": seq, "hash": payment.get("hash")})
            await self.acknowledge(socket)
            return
        event = self._take(seq, payment)
        self.persist()
        self._tell(event)
        if self._ack_delay_s:
            await asyncio.sleep(self._ack_delay_s)
        await self.acknowledge(socket)
        await self._report(socket, seq)

    def _take(self, seq: int, payment: Mapping[str, Any]) -> Event:
        """Changes the state in memory: the caller persists it before anybody hears of it."""
        try:
            name = f"{payment['chain']}:{payment['hash']}:{payment['output']}"
            amount = parse_raw(payment["amount"])
        except (KeyError, ValueError) as error:
            raise RelayError(f"seq {seq} has an unreadable payment: {error}") from None
        age_s = payment.get("age_s")
        if not isinstance(age_s, int):
            raise RelayError(f"seq {seq} does not say how old it is")
        event: Event = {
            "event": "payment",
            "seq": seq,
            "hash": payment["hash"],
            "from": payment.get("from"),
            "amount": str(amount),
            "age_s": age_s,
        }
        self.state.seq = seq
        known_s = self.state.granted_seconds(name)
        if known_s is not None:
            self.state.keep_outcome(seq, known_s)
            event.update(event="granted_before", seconds=known_s)
        else:
            price = self.tariff.price(amount, age_s)
            if isinstance(price, Granted):
                self.state.grant(name, price.seconds)
                self.state.keep_outcome(seq, price.seconds)
                event["seconds"] = price.seconds
            elif isinstance(price, Refused):
                self.state.keep_outcome(seq, price.reason)
                event["refused"] = price.reason
        event["credit_s"] = self.state.credit_s
        return event

    async def _on_gap(self, socket: WebSocketClientProtocol, frame: Mapping[str, Any]) -> None:
        first, last = _number(frame, "from"), _number(frame, "to")
        if first > last or first > self.state.seq + 1:
            raise RelayError(f"a gap from {first} to {last} after {self.state.seq}: there is a hole")
        if last > self.state.seq:
            self.state.seq = last
            self.persist()
            self._tell({"event": "gap", "from": first, "to": last, "reason": frame.get("reason")})
        await self.acknowledge(socket)

    async def _on_noted(self, socket: WebSocketClientProtocol, frame: Mapping[str, Any]) -> None:
        seq = _number(frame, "seq")
        if self.state.outcomes.pop(seq, None) is None:
            return
        # Losing this to a power cut costs a repeat that changes nothing, so the write can wait for the last one.
        if not self.state.outcomes:
            self.persist()
        self._tell({"event": "noted", "seq": seq})

    async def _on_error(self, socket: WebSocketClientProtocol, frame: Mapping[str, Any]) -> None:
        self._tell({"event": "error", "code": frame.get("code"), "message": frame.get("message")})

    # ---- what a test overrides to crash at the worst instant --------------------------------------------------------

    def persist(self) -> None:
        self._file.save()

    async def acknowledge(self, socket: WebSocketClientProtocol) -> None:
        await self._send(socket, {"type": "ack", "seq": self.state.seq})

    async def _report(self, socket: WebSocketClientProtocol, seq: int) -> None:
        outcome = self.state.outcomes[seq]
        if isinstance(outcome, int):
            await self._send(socket, {"type": "actuated", "seq": seq, "seconds": outcome})
        else:
            await self._send(socket, {"type": "refused", "seq": seq, "reason": outcome})


def _number(frame: Mapping[str, Any], name: str) -> int:
    value = frame.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise RelayError(f"{name} is not a number from 0 on: {value!r:.40}")
    return value


if __name__ == "__main__":
    from coinslot.device_cli import main

    raise SystemExit(main())
