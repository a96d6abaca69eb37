"""The reference device of `coinslot.v1`: gets payments, remembers them through power cuts, says what it did.

    /usr/bin/python3 -m coinslot.device --make-key KEY
    /usr/bin/python3 -m coinslot.device --url ws://127.0.0.1:7091 --device dev_… --key-file KEY --relay-key HEX --state FILE

A payment is persisted together with its credit before it is acked. Acks are cumulative; outcomes are repeated after each welcome until
the relay has noted them. The connection is made again for ever, after growing, random delays.

A payment is priced by the config that it names: the current one, the one before, or the one that comes with it. Only where the relay's
config has no tariff does the device go by its own.

A relay whose store was restored from a backup has another epoch, and sends again, under new seqs, what it does not know to be served. The
device takes the new epoch, forgets the configs of the old one, and answers a payment that it knows with what became of it then.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from dataclasses import dataclass
from typing import Any, AsyncIterator, Callable, Dict, Mapping, Optional, Set, Tuple

import websockets
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.legacy.client import WebSocketClientProtocol

from coinslot.amount import parse_raw
from coinslot.credential import (
    CLOSE_PROTOCOL_ERROR,
    CLOSE_UNAUTHORIZED,
    Channel,
    Credential,
    KeyCredential,
    RelayError,
    TokenCredential,
    compact,
)
from coinslot.proof import check
from coinslot.state import Outcome, State, StateFile
from coinslot.tariff import Granted, Tariff

__all__ = ["Backoff", "Device", "Ended", "Event", "KeyCredential", "RelayError", "TokenCredential"]

SUBPROTOCOL = "coinslot.v1"
FIRMWARE = "coinslot-python/0.1.0"
FRAME_MOST = 65536  # bytes of one message
STATUS_INTERVAL_S = 30.0

CLOSE_GOING_AWAY = 1001
CLOSE_FENCED = 4001
CLOSE_FRAME = 4004
CLOSE_INSECURE = 4005
CLOSE_DISABLED = 4006
CLOSE_RETIRED = 4007
CLOSE_SLOW = 4011

# Trying again soon would not help: somebody has to look first.
_CLOSES_FOR_AN_OPERATOR = (
    CLOSE_PROTOCOL_ERROR,
    CLOSE_FENCED,
    CLOSE_UNAUTHORIZED,
    CLOSE_FRAME,
    CLOSE_INSECURE,
    CLOSE_DISABLED,
    CLOSE_RETIRED,  # where it is not proved
    CLOSE_SLOW,
)

Event = Dict[str, Any]


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
        proof: bool = False,
        on_event: Callable[[Event], None] = lambda event: None,
        backoff: Backoff = Backoff(),
        ack_delay_s: float = 0.0,
        ping_interval_s: float = 20.0,
        silence_most_s: float = 20.0,
        status_interval_s: float = STATUS_INTERVAL_S,
    ) -> None:
        self.url = url.rstrip("/")
        if not self.url.endswith("/device"):
            self.url += "/device"
        self.device = device
        self.tariff = tariff
        self._proof = proof  # a payment counts only with its proof; whatever the relay's config says
        self._credential = credential
        self._file = state_file
        self._tell = on_event
        self._backoff = backoff
        self._ack_delay_s = ack_delay_s
        self._ping_interval_s = ping_interval_s
        self._silence_most_s = silence_most_s
        self._status_interval_s = status_interval_s
        self._started_s = time.monotonic()
        self._channel: Optional[Channel] = None  # from the welcome on
        self._sending = asyncio.Lock()  # frames leave in the order in which they are sealed
        self._retired = False
        self._stopping = asyncio.Event()
        self._handlers = {
            "payment": self._on_payment,
            "gap": self._on_gap,
            "noted": self._on_noted,
            "config": self._on_config,
            "state": self._on_state,
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
            if self._stopping.is_set() or self.is_retired(ended):
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

    def is_retired(self, ended: Ended) -> bool:
        """Whether it is true that this device is retired."""
        # A close frame has no MAC: anybody on the way could send a machine to its grave with one.
        return ended.code == CLOSE_RETIRED and (self._retired or not self._credential.proves_relay)

    async def run_session(self) -> Tuple[Ended, bool]:
        """One connection, from the challenge to the close. True when it got as far as the welcome."""
        self._welcomed = False
        self._channel = None
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
            async with self._telling_status(socket):
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
            self._tell({"event": error.event, "message": str(error)})
            await socket.close(error.close_code, str(error)[:120])
            return Ended(error.close_code, str(error))

    async def _receive_text(self, socket: WebSocketClientProtocol) -> str:
        text = await socket.recv()
        if not isinstance(text, str):
            raise RelayError("a binary message")
        return text

    async def _receive(self, socket: WebSocketClientProtocol) -> Dict[str, Any]:
        text = await self._receive_text(socket)
        return _parse(text if self._channel is None else self._channel.open(text))

    async def _send(self, socket: WebSocketClientProtocol, frame: Dict[str, Any]) -> None:
        assert self._channel is not None
        async with self._sending:
            await socket.send(self._channel.seal(compact(frame)))

    async def _greet(self, socket: WebSocketClientProtocol) -> None:
        challenge_text = await self._receive_text(socket)
        challenge = _parse(challenge_text)
        epoch = challenge.get("epoch")
        if challenge["type"] != "challenge" or not isinstance(epoch, str):
            raise RelayError("the relay did not begin with a challenge")
        handshake = self._credential.begin(self.device, challenge_text)
        members: Dict[str, Any] = {"resume": self.state.seq}
        if self.state.epoch is not None:
            members["epoch"] = self.state.epoch
        members["firmware"] = FIRMWARE
        members["config_version"] = self.state.config_version if self.state.epoch == epoch else 0
        await socket.send(handshake.hello(members))

        text = await self._receive_text(socket)
        while _parse(text)["type"] == "error":
            self._tell_error(_parse(text))
            text = await self._receive_text(socket)
        welcome = _parse(text)
        if welcome["type"] != "welcome":
            raise RelayError(f"a {welcome['type']} where the welcome should have been")
        self._channel = handshake.welcome(text)
        self._meet_store(epoch, welcome)

    def _meet_store(self, epoch: str, welcome: Mapping[str, Any]) -> None:
        last_acked, pending = _number(welcome, "last_acked"), _number(welcome, "pending")
        seq = self.state.seq
        if last_acked < seq:
            # The hello said seq: a relay that goes on below it would send what is taken for repeats, and lost.
            raise RelayError(f"the relay goes on after {last_acked}, but everything up to {seq} is persisted here")
        config = None if welcome.get("config") is None else self._read_config(welcome["config"])
        version = _number(welcome, "config_version") if config is not None else 0
        self._tell({"event": "welcome", "resume": seq, "last_acked": last_acked, "pending": pending})
        changed = False
        if epoch != self.state.epoch:
            if self.state.epoch is not None:
                self._tell({"event": "store_changed", "epoch": epoch, "seq": last_acked})
            self.state.adopt_epoch(epoch)
            changed = True
        if last_acked > seq:
            # An earlier life of this device acked more than this state knows: that credit is gone, going on is all that is left.
            self._tell({"event": "state_lost", "from": seq + 1, "to": last_acked})
            self.state.seq = last_acked
            changed = True
        if config is not None and self.state.take_config(version, config):
            self._tell({"event": "config", "version": version, "config": config})
            changed = True
        if changed:
            self.persist()

    async def _repeat_outcomes(self, socket: WebSocketClientProtocol) -> None:
        for seq in list(self.state.outcomes):
            await self._report(socket, seq)

    @contextlib.asynccontextmanager
    async def _telling_status(self, socket: WebSocketClientProtocol) -> AsyncIterator[None]:
        """At once, and then every status_interval_s, while the body runs."""
        telling = asyncio.ensure_future(self._tell_status(socket))
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.wait({telling})

    async def _tell_status(self, socket: WebSocketClientProtocol) -> None:
        with contextlib.suppress(ConnectionClosed):  # whoever receives hears of it
            while True:
                await self._send(socket, self._status())
                await asyncio.sleep(self._status_interval_s)

    def _status(self) -> Dict[str, Any]:
        remaining_s = max(0, self.state.ends_at_ms - _now_ms()) // 1000
        return {
            "type": "status",
            "uptime_s": int(time.monotonic() - self._started_s),
            "relay_on": remaining_s > 0,
            "remaining_s": remaining_s,
            "config_version": self.state.config_version,
        }

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
        event = self._take(seq, payment, frame)
        self.persist()
        self._tell(event)
        if self._ack_delay_s:
            await asyncio.sleep(self._ack_delay_s)
        await self.acknowledge(socket)
        await self._report(socket, seq)

    def _read_config(self, value: Any) -> Dict[str, Any]:
        """A config that a payment could be priced by."""
        if not isinstance(value, dict):
            raise RelayError("a config that is not a JSON object")
        try:
            self.tariff.under(value)
        except ValueError as error:
            raise RelayError(str(error)) from None
        return value

    def _tariff_of(self, seq: int, frame: Mapping[str, Any]) -> Tariff:
        """By the version that the payment names; 0, or none, is the device's own."""
        version = _number(frame, "config_version") if "config_version" in frame else 0
        if version == 0:
            return self.tariff
        if frame.get("config") is not None:
            return self.tariff.under(self._read_config(frame["config"]))
        config = self.state.config(version)
        if config is None:
            # After a new welcome the relay sends it along: it does so for what is older than the current one.
            raise RelayError(f"seq {seq} is priced by config {version}, which is not known here")
        return self.tariff.under(config)

    def _take(self, seq: int, payment: Mapping[str, Any], frame: Mapping[str, Any]) -> Event:
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
            "config_version": frame.get("config_version", 0),
        }
        outcome = self.state.outcome_of(name)
        if outcome is not None:
            event["event"] = "granted_before" if isinstance(outcome, int) else "refused_before"
        else:
            price = self._tariff_of(seq, frame).price(amount, age_s)
            unproved = check(payment, frame.get("proof"), self._addresses(frame)) if self._proof and isinstance(price, Granted) else None
            if unproved is not None:
                outcome = unproved
                self.state.refuse(name, outcome)
            elif isinstance(price, Granted):
                outcome = price.seconds
                self.state.grant(name, outcome, _now_ms())
            else:
                outcome = price.reason
                self.state.refuse(name, outcome)
        self.state.seq = seq
        self.state.keep_outcome(seq, outcome)
        event["seconds" if isinstance(outcome, int) else "refused"] = outcome
        event["credit_s"] = self.state.credit_s
        return event

    def _addresses(self, frame: Mapping[str, Any]) -> Set[str]:
        """Where a payment that may still be under way was paid."""
        configs = [config for _, config in self.state.configs] + ([frame["config"]] if isinstance(frame.get("config"), dict) else [])
        return {address for config in configs for address in config.get("addresses", ()) if isinstance(address, str)}

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

    async def _on_config(self, socket: WebSocketClientProtocol, frame: Mapping[str, Any]) -> None:
        version, config = _number(frame, "version"), self._read_config(frame.get("config"))
        if self.state.take_config(version, config):
            self.persist()
            self._tell({"event": "config", "version": version, "config": config})

    async def _on_state(self, socket: WebSocketClientProtocol, frame: Mapping[str, Any]) -> None:
        self._tell({"event": "state", **{name: frame.get(name) for name in ("caught_up", "payable", "reason")}})

    async def _on_error(self, socket: WebSocketClientProtocol, frame: Mapping[str, Any]) -> None:
        self._retired = self._retired or frame.get("code") == "retired"
        self._tell_error(frame)

    def _tell_error(self, frame: Mapping[str, Any]) -> None:
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


def _parse(text: str) -> Dict[str, Any]:
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        raise RelayError("a frame that is not JSON") from None
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise RelayError("a frame that is not a JSON object with a type")
    return frame


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _number(frame: Mapping[str, Any], name: str) -> int:
    value = frame.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise RelayError(f"{name} is not a number from 0 on: {value!r:.40}")
    return value


if __name__ == "__main__":
    from coinslot.device_cli import main

    raise SystemExit(main())
