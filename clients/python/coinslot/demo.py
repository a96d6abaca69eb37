"""The demo behind `./dev run`: a relay, simulated drivers who pay, and a meter whose plug can be pulled."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import signal
import sys
import termios
import time
import tty
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Set

from coinslot.amount import RAW_PER_NANO, format_nano, parse_raw
from coinslot.demo_setup import Api, DemoError, Folder, Node, find_meter, free_port, lan_address, open_api, run_meter

COLORS = {"driver": "36", "relay": "33", "meter": "32", "you": "1", "bad": "31", "dim": "2"}
KEYS = "p: pull the meter's plug, or plug it in · m: look at the meter · r: pull the relay's plug · l: the node keeps its next payments to itself · q: quit"
RELAY_AWAY_S = 1.5  # how long the relay stays without power
SILENT_PAYMENTS = 3  # of which the node tells nobody
HOLD_BACK_S = 0.2  # the driver's line comes once the relay has answered: the meter may be faster


class Screen:
    def __init__(self, colored: bool) -> None:
        self._colored = colored

    def paint(self, color: str, text: str) -> str:
        return f"\033[{COLORS[color]}m{text}\033[0m" if self._colored else text

    def say(self, who: str, text: str, color: Optional[str] = None) -> None:
        line = f"{self.paint('dim', time.strftime('%H:%M:%S'))}  {self.paint(who, who.ljust(6))}  "
        print(line + (self.paint(color, text) if color else text), flush=True)

    def draw(self, picture: str) -> None:
        print(picture if self._colored else re.sub(r"\033\[[0-9;]*m", "", picture), flush=True)

    def note(self, text: str = "") -> None:
        print(text, flush=True)


def duration(seconds: int) -> str:
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds % 60:02} s"


def tariff(config: Dict[str, Any]) -> str:
    steps = config.get("tariff", {}).get("steps", [])
    return ", ".join(f"{format_nano(parse_raw(step['amount']))} nano for {duration(step['seconds'])}" for step in steps) or "none"


class Demo:
    def __init__(self, arguments: argparse.Namespace, screen: Screen) -> None:
        self.screen = screen
        self._arguments = arguments
        self._binary: Path = arguments.binary
        self._meter_binary: Path = arguments.binary.parent / "coinslot-meter"
        self._folder = Folder(arguments.data)
        host = "0.0.0.0" if arguments.lan else "127.0.0.1"
        # The node has to know it before the relay is there.
        self._http = f"{host}:{arguments.http_port or free_port()}"
        self._ws = f"{host}:{arguments.ws_port}"
        self._relay: Optional[Process] = None
        self._meter: Optional[Process] = None
        self._node_process: Optional[Process] = None
        self._node: Optional[Node] = None
        self._drivers: Optional["asyncio.Task[None]"] = None
        self._tasks: Set["asyncio.Task[None]"] = set()
        self._paid: Set[str] = set()
        self._untold: Dict[str, float] = {}  # payments of which the relay was not told, and when they were made
        self._silent = 0  # so many payments more the node tells nobody of
        self._missed = 0  # payments since the meter was unplugged
        self._held: List[Dict[str, Any]] = []  # what the meter said early, and what it said after that
        self._payable = True  # as the meter was told
        self._shown = ""  # the title on the meter's screen
        self._whole = False  # the meter was told that it has everything
        self._steps: "asyncio.Queue[str]" = asyncio.Queue()
        self._api: Optional[Api] = None
        self._device: Dict[str, Any] = {}

    # ---- the whole ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        self._folder.prepare()
        try:
            await self._start_node()
            await self._start_relay()
            self._api = await asyncio.to_thread(open_api, self._binary, self._folder, self._port(self._http))
            self._device = await asyncio.to_thread(find_meter, self._api, self._folder, self._meter_binary)
            self._introduce()
            await self._plug_meter_in()
            self._drivers = asyncio.ensure_future(self._drive())
            with self._sources_of_steps():
                while await self._step(await self._steps.get()):
                    pass
        finally:
            await self._end()

    async def _step(self, step: str) -> bool:
        """One key, or one word of the script. False: the end."""
        if step == "q":
            return False
        if step == "p":
            await (self._pull_meters_plug() if self._meter else self._plug_meter_in())
        elif step == "m":
            self._look_at_meter()
        elif step == "r":
            await self._pull_relays_plug()
        elif step == "l":
            self._silence_node()
        elif step == "relay ended":
            raise DemoError(f"the relay has ended by itself; the end of {self._folder.relay_log}:\n{self._log_tail()}")
        elif step == "node ended":
            raise DemoError("coinslot simulate has ended by itself")
        return True

    async def _end(self) -> None:
        if self._drivers is not None:
            self._drivers.cancel()
            await asyncio.sleep(HOLD_BACK_S)  # what they paid last is told, and confirmed
        node, self._node_process = self._node_process, None
        for process in (self._meter, node):
            if process is not None:
                process.send_signal(signal.SIGTERM)
                await process.wait()
        await asyncio.sleep(2 * HOLD_BACK_S)  # what they said last is read and shown
        if self._relay is None:
            return
        try:
            if self._api is not None and self._device:
                self._summarise(await asyncio.to_thread(self._api.count_states, self._device["id"]))
        finally:
            relay, self._relay = self._relay, None
            relay.send_signal(signal.SIGTERM)
            code = await relay.wait()
        if code != 0:
            raise DemoError(f"the relay exited {code}; the end of {self._folder.relay_log}:\n{self._log_tail()}")

    def _summarise(self, counts: Dict[str, int]) -> None:
        waiting = counts.get("stored", 0) + counts.get("sent", 0) + counts.get("acked", 0)
        remembers = ("--show", "--state", str(self._folder.meter_state), "--device", self._device["id"])
        state = json.loads(run_meter(self._meter_binary, *remembers)) if self._folder.meter_state.exists() else {"credit_s": 0}
        self.screen.note()
        self.screen.say(
            "you",
            f"{sum(counts.values())} payments stored in all runs, {counts.get('actuated', 0)} served by the meter "
            f"({duration(state['credit_s'])}), {waiting} waiting for it",
        )

    def _introduce(self) -> None:
        say = self.screen.note
        say()
        say(f"Drivers pay {self._device['address']}")
        say(f"Everything is in {self._folder.path}, the relay's log in {self._folder.relay_log}")
        say("What became of the last payments:")
        token = f"$(cat {self._folder.api_token})"
        url = f"http://127.0.0.1:{self._port(self._http)}/api/v1/deliveries?limit=3"
        say(f"  curl -sH \"Authorization: Bearer {token}\" '{url}'")
        if self._arguments.lan:
            address = lan_address() or "ADDRESS"
            http, ws = f"{address}:{self._port(self._http)}", f"{address}:{self._port(self._ws)}"
            say(f"From the local network: http://{http}/api/v1/ and ws://{ws}/device")
            say("  The API's token goes over it unencrypted: whoever can read along can use it. The meter's key is never sent.")
            say("  Callbacks are still taken from this machine alone.")
        if self._arguments.script is None:
            say(self.screen.paint("you", KEYS))
        say()

    # ---- the relay ------------------------------------------------------------------------------------------------------

    async def _start_relay(self) -> None:
        with open(self._folder.relay_log, "ab") as log:
            relay = await asyncio.create_subprocess_exec(
                *(str(self._binary), "serve", "--config", str(self._folder.config), "--data", str(self._folder.relay)),
                *("--http", self._http, "--ws", self._ws),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert relay.stdout is not None
        try:
            line = await asyncio.wait_for(relay.stdout.readline(), 60)
        except asyncio.TimeoutError:
            line = b""
        if not line:
            with contextlib.suppress(ProcessLookupError):
                relay.kill()
            await relay.wait()
            raise DemoError(f"the relay did not start: {self._log_tail(1)}")
        ready = json.loads(line)
        self._http, self._ws = ready["http"], ready["ws"]
        self._relay = relay
        self._spawn(self._watch(relay, lambda: self._relay is relay, "relay ended"))
        self.screen.say("relay", f"is up: HTTP on {self._http}, WebSocket on {self._ws}")

    async def _pull_relays_plug(self) -> None:
        relay, self._relay = self._relay, None
        assert relay is not None
        self.screen.say("you", "pulled the relay's plug (kill -9)", "bad")
        relay.kill()
        await relay.wait()
        await asyncio.sleep(RELAY_AWAY_S)
        self.screen.say("you", "plugged the relay in again")
        await self._start_relay()

    def _log_tail(self, lines: int = 10) -> str:
        return "\n".join(self._folder.relay_log.read_text(errors="replace").splitlines()[-lines:])

    @staticmethod
    def _port(address: str) -> int:
        return int(address.rsplit(":", 1)[1])

    # ---- the node and the drivers -----------------------------------------------------------------------------------------

    async def _start_node(self) -> None:
        url = f"http://127.0.0.1:{self._port(self._http)}/callback/"
        with open(self._folder.path / "node.log", "ab") as log:
            node = await asyncio.create_subprocess_exec(
                *(str(self._binary), "simulate", "--rpc", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--callback", url),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._node_process = node
        assert node.stdout is not None
        line = await asyncio.wait_for(node.stdout.readline(), 60)
        if not line:
            raise DemoError(f"coinslot simulate did not start; see {self._folder.path / 'node.log'}")
        ready = json.loads(line)
        self._node = Node(ready["rpc"])
        self._folder.write_config(ready["rpc"], ready["ws"])
        self._spawn(self._read(node, self._on_callback))
        self._spawn(self._watch(node, lambda: self._node_process is node, "node ended"))

    async def _drive(self) -> None:
        assert self._node is not None
        loop = asyncio.get_running_loop()
        interval_s = 1 / float(self._arguments.rate)
        due = loop.time()
        while True:
            amount = random.randint(1, 20) * (RAW_PER_NANO // 10)
            told, self._silent = self._silent == 0, max(0, self._silent - 1)
            hash = await asyncio.to_thread(self._node.pay, self._device["address"], amount, told)
            if not told:
                self._note_untold(hash)
                self.screen.say("driver", f"paid {format_nano(amount)} nano → and the node tells nobody", "bad")
            due = max(due + interval_s, loop.time())
            await asyncio.sleep(due - loop.time())

    def _silence_node(self) -> None:
        self._silent = SILENT_PAYMENTS
        self.screen.say("you", f"had the node keep its next {SILENT_PAYMENTS} payments to itself: no callback, and nothing on its WebSocket", "bad")

    def _note_untold(self, hash: str) -> None:
        self._paid.add(hash)
        self._untold[hash] = time.monotonic()

    def _on_callback(self, line: Dict[str, Any]) -> None:
        if line.get("kind") != "send":
            return
        self._paid.add(line["hash"])
        paid = f"paid {format_nano(parse_raw(line['amount']))} nano"
        if line["status"] == 200:
            stored = f"the relay stored {line['hash'][:8]}… and answered 200 after {line['ms']:.1f} ms"
            self.screen.say("driver", f"{paid} → {stored}")
            if self._meter is None:
                self._missed += 1
                self.screen.say("meter", f"is unplugged; {self._missed} waiting for it", "dim")
        elif line["status"]:
            self.screen.say("driver", f"{paid} → the relay answered {line['status']}", "bad")
        else:
            self._note_untold(line["hash"])
            self.screen.say("driver", f"{paid} → nobody answered, and a node does not tell twice", "bad")

    # ---- the meter ------------------------------------------------------------------------------------------------------

    async def _plug_meter_in(self) -> None:
        missed, self._missed = self._missed, 0
        if missed:
            self.screen.say("you", f"plugged the meter in again; it missed {missed}")
        meter = await asyncio.create_subprocess_exec(
            *(str(self._meter_binary), "--json", "--url", f"ws://127.0.0.1:{self._port(self._ws)}"),
            *("--device", self._device["id"], "--key-file", str(self._folder.meter_key)),
            *(argument for key in self._device["relay_keys"] for argument in ("--relay-key", key)),
            *("--state", str(self._folder.meter_state), "--screen-file", str(self._folder.meter_screen)),
            stdin=DEVNULL,
            stdout=PIPE,
            start_new_session=True,
        )
        self._meter = meter
        self._spawn(self._read(meter, self._on_meter))

    async def _pull_meters_plug(self) -> None:
        meter, self._meter = self._meter, None
        assert meter is not None
        self.screen.say("you", "pulled the meter's plug (kill -9)", "bad")
        meter.kill()
        await meter.wait()
        self._shown = ""

    def _look_at_meter(self) -> None:
        """Its screen, as it is at this moment."""
        if self._meter is None or not self._folder.meter_screen.exists():
            self.screen.say("meter", "is dark", "dim")
        else:
            self.screen.draw(self._folder.meter_screen.read_text())

    def _on_meter(self, event: Dict[str, Any]) -> None:
        early = event["event"] == "payment" and event["age_s"] < 2 and event["hash"] not in self._paid
        if not early and not self._held:
            self._show(event)
            return
        if not self._held:
            asyncio.get_running_loop().call_later(HOLD_BACK_S, self._show_held)
        self._held.append(event)

    def _show_held(self) -> None:
        held, self._held = self._held, []
        for event in held:
            self._show(event)

    def _show(self, event: Dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "payment":
            late = f", {event['age_s']} s after it was paid" if event["age_s"] >= 2 else ""
            if event["hash"] in self._untold:
                late = f", which the relay found by asking the node, {time.monotonic() - self._untold.pop(event['hash']):.0f} s after it was paid"
            what = f"+{duration(event['seconds'])}" if "seconds" in event else f"refused, {event['refused']}"
            paid = format_nano(parse_raw(event["amount"]))
            credit = duration(event["credit_s"])
            self.screen.say("meter", f"got seq {event['seq']}: {paid} nano, {what}{late}; {credit} bought in all")
        elif kind == "welcome":
            self._whole = False
            self.screen.say("meter", f"is connected; {event['pending']} waiting for it")
        elif kind == "waiting":
            what = f"lost the relay ({event['reason']})" if event["code"] else "cannot reach the relay"
            self.screen.say("meter", f"{what}, tries again in {event['delay_ms']} ms", "dim")
        elif kind in ("repeat", "granted_before"):
            self.screen.say("meter", f"got seq {event['seq']} again, adds nothing")
        elif kind == "config":
            self.screen.say("meter", f"is told its tariff, version {event['version']}: {tariff(event['config'])}")
        elif kind == "state":
            self._on_state(event)
        elif kind == "screen":
            self._on_screen(event)
        elif kind == "pin":
            self.screen.say("meter", "runs the machine" if event["on"] else "stops the machine")
        elif kind == "state_lost":
            self.screen.say("meter", f"does not know what it did with seq {event['from']} to {event['to']}: its memory is younger", "bad")
        elif kind not in ("noted", "stopped", "started"):
            self.screen.say("meter", json.dumps(event), "bad")

    def _on_screen(self, event: Dict[str, Any]) -> None:
        """The first lines of another screen; not each second of a countdown."""
        if event["lines"][0] != self._shown:
            self._shown = event["lines"][0]
            code = ", and its code to scan" if event["qr"] else ""
            self.screen.say("meter", f"shows: {' | '.join(event['lines'])}{code}", "dim")

    def _on_state(self, event: Dict[str, Any]) -> None:
        if not event["payable"]:
            self.screen.say("meter", f"tells people not to pay now: {event['reason']}", "bad")
        elif not self._payable:
            self.screen.say("meter", "tells people that they may pay")
        self._payable = event["payable"]
        if event["caught_up"] and not self._whole:
            self._whole = True
            self.screen.say("meter", "is told that it has everything: the relay has asked the node")

    # ---- processes, keys, scripts ---------------------------------------------------------------------------------------

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, process: Process, handle: Callable[[Dict[str, Any]], None]) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            handle(json.loads(line))

    async def _watch(self, process: Process, expected_alive: Callable[[], bool], step: str) -> None:
        await process.wait()
        if expected_alive():
            self._steps.put_nowait(step)

    @contextlib.contextmanager
    def _sources_of_steps(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._steps.put_nowait, "q")
        if self._arguments.script is not None:
            script = asyncio.ensure_future(self._play(self._arguments.script))
            yield
            script.cancel()
        elif sys.stdin.isatty():
            before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
            loop.add_reader(sys.stdin, self._take_key)
            try:
                yield
            finally:
                loop.remove_reader(sys.stdin)
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        else:
            yield

    def _take_key(self) -> None:
        key = os.read(sys.stdin.fileno(), 1)
        self._steps.put_nowait(key.decode(errors="replace") if key else "q")

    async def _play(self, script: List[str]) -> None:
        for word in script:
            if word.endswith("s"):
                await asyncio.sleep(float(word[:-1]))
            else:
                self._steps.put_nowait(word)
        self._steps.put_nowait("q")


def _script(text: str) -> List[str]:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not re.fullmatch(r"p|m|r|l|q|\d+(\.\d+)?s", word):
            raise argparse.ArgumentTypeError(f"write p, m, r, l, q, or a time as 8s, with commas between, not {word!r}")
    return words


def _arguments(argv: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev run", description="A relay, drivers who pay, and a meter. " + KEYS)
    parser.add_argument("--lan", action="store_true", help="reachable from the local network; the API's token goes over it unencrypted")
    parser.add_argument("--data", type=Path, default=Path("build/demo"), metavar="DIR", help="kept (default %(default)s)")
    parser.add_argument("--rate", default="0.33", metavar="N", help="payments per second (default %(default)s)")
    parser.add_argument("--http-port", type=int, default=7090, metavar="PORT", help="0: a free one (default %(default)s)")
    parser.add_argument("--ws-port", type=int, default=7091, metavar="PORT", help="0: a free one (default %(default)s)")
    parser.add_argument("--script", type=_script, metavar="STEPS", help="keys and times in their place, as 8s,p,8s,p,5s,q")
    arguments = parser.parse_args(argv)
    arguments.binary = Path(os.environ.get("COINSLOT_BINARY", "build/release/coinslot")).resolve()
    if not arguments.binary.exists():
        parser.error(f"{arguments.binary} is not there: run ./dev build")
    if not (arguments.binary.parent / "coinslot-meter").exists():
        parser.error(f"coinslot-meter is not there, beside {arguments.binary}: run ./dev build")
    return arguments


def main(argv: Optional[List[str]] = None) -> int:
    arguments = _arguments(argv)
    screen = Screen(sys.stdout.isatty() and not os.environ.get("NO_COLOR"))

    async def play() -> None:
        await Demo(arguments, screen).run()

    try:
        asyncio.run(play())
    except (DemoError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
