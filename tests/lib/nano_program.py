"""Programs that were written for a Nano node's WebSocket, on npm's libraries (nano_program.mjs)."""

import json
import queue
import re
import subprocess
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBRARIES = ("ws", "reconnecting-websocket")

_TIME = re.compile(r'("time": )"\d{13}"')


def subscription(id="s", **options):
    return json.dumps({"action": "subscribe", "topic": "confirmation", "ack": True, "id": id, **({"options": options} if options else {})})


class NanoProgram:
    def __init__(self, library, url, subscribe=None, headers=None):
        arguments = [library, url, subscribe or subscription(), *([json.dumps(headers)] if headers else [])]
        self._process = subprocess.Popen(
            ["node", str(HERE / "nano_program.mjs"), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE
        )
        self._events = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self._events.put(json.loads(line))
        self._events.put({"event": "end"})

    def send(self, text):
        self._process.stdin.write((text if isinstance(text, str) else json.dumps(text)) + "\n")
        self._process.stdin.flush()

    def next(self, timeout=20):
        """What happens next; None when nothing does."""
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None

    def expect(self, event, **members):
        found = self.next()
        assert found is not None and found["event"] == event, f"{found} where {event} was expected"
        for name, value in members.items():
            assert found[name] == value, found
        return found

    def begin(self):
        """Until its subscription is acknowledged."""
        self.expect("open")
        self.expect("ack", ack="subscribe")
        return self

    def close(self):
        if self._process.stdin.closed:
            return
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(10)
        self._process.stdout.close()


def print_confirmation(notice, confirmation_type="active_quorum", block=True):
    """The text of the node's message for a confirmed send, with its time blanked."""
    message = {
        "account": notice.account,
        "amount": str(notice.amount),
        "hash": notice.hash,
        "confirmation_type": confirmation_type,
        **({"block": {**notice.block, **({"subtype": "send"} if notice.block["type"] == "state" else {})}} if block else {}),
    }
    return json.dumps({"topic": "confirmation", "time": "", "message": message}, indent=4, ensure_ascii=False) + "\n"


def blank_time(text):
    return _TIME.sub(r'\1""', text, count=1)
