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
from coinslot.device import CLOSE_RETIRED, Device, Event, TokenCredential
from coinslot.state import StateError, StateFile
from coinslot.tariff import Tariff


def short_address(address: object) -> str:
    text = str(address)
    return text if len(text) <= 20 else f"{text[:11]}…{text[-5:]}"


def _say_payment(event: Event) -> str:
    what = f"+{event['seconds']} s" if "seconds" in event else f"refused, {event['refused']}"
    paid = f"{format_nano(parse_raw(event['amount']))} nano from {short_address(event['from'])}, {event['age_s']} s old"
    return f"seq {event['seq']}: {what} ({paid}); credit {event['credit_s']} s"


_WORDS: Dict[str, Callable[[Event], str]] = {
    "welcome": lambda e: f"connected; {e['pending']} waiting after seq {max(e['resume'], e['last_acked'])}",
    "payment": _say_payment,
    "granted_before": lambda e: f"seq {e['seq']}: a payment that was granted before, nothing added",
    "repeat": lambda e: f"seq {e['seq']} again: acked, nothing added",
    "gap": lambda e: f"seq {e['from']} to {e['to']} will not come: {e['reason']}",
    "noted": lambda e: f"seq {e['seq']}: the relay has noted the outcome",
    "state_lost": lambda e: f"seq {e['from']} to {e['to']} were acked before this state began: their credit is not known here",
    "error": lambda e: f"the relay says {e['code']}: {e['message']}",
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
    parser.add_argument("--url", required=True, help="the relay's WebSocket port, as ws://HOST:PORT")
    parser.add_argument("--device", required=True, metavar="dev_…", help="the device's id")
    parser.add_argument("--token-file", required=True, type=Path, metavar="FILE", help="holds the device's token")
    parser.add_argument("--state", required=True, type=Path, metavar="FILE", help="what the device remembers; made when missing")
    parser.add_argument("--json", action="store_true", help="one JSON line an event")
    parser.add_argument("--price", type=parse_nano, default=Tariff.raw, metavar="NANO", help="buys --seconds (default 0.001)")
    parser.add_argument("--seconds", type=int, default=Tariff.seconds, metavar="N", help="default %(default)s")
    parser.add_argument("--minimum", type=parse_nano, default=0, metavar="NANO", help="less is refused")
    parser.add_argument("--late-after", type=int, metavar="SECONDS", help="payments older than this are refused")
    return parser.parse_args(argv)


async def _run(device: Device) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, device.stop)
    ended = await device.run()
    return 1 if ended.code == CLOSE_RETIRED else 0


def main(argv: Optional[List[str]] = None) -> int:
    arguments = _arguments(argv)
    try:
        token = arguments.token_file.read_text(encoding="utf-8").strip()
        tariff = Tariff(arguments.price, arguments.seconds, arguments.minimum, arguments.late_after)
        state_file = StateFile(arguments.state)
    except (OSError, ValueError, StateError) as error:
        print(f"coinslot.device: {error}", file=sys.stderr)
        return 1
    print_event = _print_json if arguments.json else _print_line

    async def start() -> int:
        device = Device(
            arguments.url, arguments.device, TokenCredential(token), state_file, tariff=tariff, on_event=print_event
        )
        return await _run(device)

    try:
        return asyncio.run(start())
    except StateError as error:
        print(f"coinslot.device: {error}", file=sys.stderr)
        return 1
    finally:
        state_file.close()
