"""The command line of the reference device: prints what happens, as lines for people or as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional

from coinslot.amount import format_nano, parse_nano, parse_raw
from coinslot.credential import Credential, DeviceKey, KeyCredential, KeyFileError, TokenCredential, parse_public_key
from coinslot.device import Device, Event
from coinslot.state import StateError, StateFile
from coinslot.tariff import Tariff


def short_address(address: object) -> str:
    text = str(address)
    return text if len(text) <= 20 else f"{text[:11]}…{text[-5:]}"


def _say_payment(event: Event) -> str:
    what = f"+{event['seconds']} s" if "seconds" in event else f"refused, {event['refused']}"
    paid = f"{format_nano(parse_raw(event['amount']))} nano from {short_address(event['from'])}, {event['age_s']} s old"
    return f"seq {event['seq']}: {what} ({paid}); credit {event['credit_s']} s"


def _say_state(event: Event) -> str:
    caught_up = "nothing is missing" if event["caught_up"] else f"not known to be complete ({event['reason']})"
    return caught_up if event["payable"] else f"tell people not to pay now ({event['reason']})"


_WORDS: Dict[str, Callable[[Event], str]] = {
    "welcome": lambda e: f"connected; {e['pending']} waiting after seq {max(e['resume'], e['last_acked'])}",
    "payment": _say_payment,
    "granted_before": lambda e: f"seq {e['seq']}: a payment that was granted before, nothing added",
    "refused_before": lambda e: f"seq {e['seq']}: a payment that was refused before as {e['refused']}, and is again",
    "repeat": lambda e: f"seq {e['seq']} again: acked, nothing added",
    "gap": lambda e: f"seq {e['from']} to {e['to']} will not come: {e['reason']}",
    "noted": lambda e: f"seq {e['seq']}: the relay has noted the outcome",
    "state_lost": lambda e: f"seq {e['from']} to {e['to']} were acked before this state began: their credit is not known here",
    "store_changed": lambda e: f"the relay's store was restored from a backup: going on after seq {e['seq']}",
    "config": lambda e: f"config {e['version']}: {json.dumps(e['config'])}",
    "state": _say_state,
    "error": lambda e: f"the relay says {e['code']}: {e['message']}",
    "relay_not_proven": lambda e: f"this is not the relay whose key is pinned: {e['message']}",
    "frame_not_proven": lambda e: f"not the relay's word, the session ends: {e['message']}",
    "protocol_error": lambda e: f"the relay broke the protocol: {e['message']}",
    "waiting": lambda e: f"not connected ({e['code']} {e['reason']}); next attempt in {e['delay_ms'] / 1000:.1f} s",
    "stopped": lambda e: f"stopped: {e['reason']}",
}


def say(event: Event) -> str:
    return _WORDS[event["event"]](event)


def _print_line(event: Event) -> None:
    print(f"{time.strftime('%H:%M:%S')} {say(event)}", flush=True)


def _print_json(event: Event) -> None:
    print(json.dumps({"at": time.time_ns() // 1_000_000, **event}), flush=True)


def _arguments(argv: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="coinslot.device", description="The reference device of the protocol coinslot.v1.")
    parser.add_argument("--make-key", type=Path, metavar="FILE", help="make a key, print the public key to register, and end")
    parser.add_argument("--url", help="the relay's WebSocket port, as ws://HOST:PORT")
    parser.add_argument("--device", metavar="dev_…", help="the device's id")
    parser.add_argument("--key-file", type=Path, metavar="FILE", help="holds the device's key, as --make-key wrote it")
    parser.add_argument(
        "--relay-key", type=_public_key, action="append", default=[], metavar="HEX", help="the relay's public key, or its next; goes with --key-file"
    )
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="holds the device's token, in place of a key")
    parser.add_argument("--state", type=Path, metavar="FILE", help="what the device remembers; made when missing")
    parser.add_argument("--proof", action="store_true", help="a payment counts only with the blocks that prove it")
    parser.add_argument("--json", action="store_true", help="one JSON line an event")
    own = parser.add_argument_group("the tariff, where the relay's config has none")
    own.add_argument("--price", type=parse_nano, default=_OWN.steps[0][0], metavar="NANO", help="buys --seconds (default 0.001)")
    own.add_argument("--seconds", type=int, default=_OWN.steps[0][1], metavar="N", help="default %(default)s")
    own.add_argument("--minimum", type=parse_nano, default=0, metavar="NANO", help="less is refused")
    own.add_argument("--late-after", type=int, metavar="SECONDS", help="payments older than this are refused")
    arguments = parser.parse_args(argv)
    if arguments.make_key is None:
        _check_arguments(parser, arguments)
    return arguments


_OWN = Tariff()


def _check_arguments(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    missing = [name for name in ("url", "device", "state") if getattr(arguments, name) is None]
    if missing:
        parser.error("these are needed: " + ", ".join("--" + name for name in missing))
    if (arguments.key_file is None) == (arguments.token_file is None):
        parser.error("either --key-file or --token-file is needed")
    if arguments.key_file is not None and not 1 <= len(arguments.relay_key) <= 2:
        parser.error("--key-file needs --relay-key, once or twice: the relay's /api/v1/status shows its keys")
    if arguments.token_file is not None and arguments.relay_key:
        parser.error("--relay-key goes with --key-file: in a session by token the relay proves nothing")


def _public_key(text: str) -> bytes:
    try:
        return parse_public_key(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _make_key(path: Path) -> int:
    try:
        print(DeviceKey.make(path).public.hex())
    except (OSError, KeyFileError) as error:
        print(f"coinslot.device: {error}", file=sys.stderr)
        return 1
    return 0


def _credential(arguments: argparse.Namespace) -> Credential:
    if arguments.key_file is not None:
        return KeyCredential(DeviceKey.load(arguments.key_file), tuple(arguments.relay_key))
    return TokenCredential(arguments.token_file.read_text(encoding="utf-8").strip())


async def _run(device: Device) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, device.stop)
    ended = await device.run()
    return 1 if device.is_retired(ended) else 0


def main(argv: Optional[List[str]] = None) -> int:
    arguments = _arguments(argv)
    if arguments.make_key is not None:
        return _make_key(arguments.make_key)
    try:
        credential = _credential(arguments)
        tariff = Tariff(((arguments.price, arguments.seconds),), arguments.minimum, late_after_s=arguments.late_after)
        state_file = StateFile(arguments.state)
    except (OSError, ValueError, KeyFileError, StateError) as error:
        print(f"coinslot.device: {error}", file=sys.stderr)
        return 1
    print_event = _print_json if arguments.json else _print_line

    async def start() -> int:
        device = Device(arguments.url, arguments.device, credential, state_file, tariff=tariff, proof=arguments.proof, on_event=print_event)
        return await _run(device)

    try:
        return asyncio.run(start())
    except StateError as error:
        print(f"coinslot.device: {error}", file=sys.stderr)
        return 1
    finally:
        state_file.close()
