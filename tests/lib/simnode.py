"""A make-believe Nano node with an RPC, a WebSocket and a callback: `coinslot simulate --rpc --ws`, and what a test tells it to do.

What it can be told stands in docs/simulated-node.md. Values go in as they are (numbers, booleans, lists); answers are a node's: texts.
"""

import http.client
import json
import signal
import subprocess
from pathlib import Path

from relay import BINARY, assert_clean, wait_until


class RpcError(Exception):
    """The node answered {"error": …}."""


class SimNode:
    """`callback`: the URL of a relay's callback; None: it makes none. `arguments`: more options of `coinslot simulate`."""

    def __init__(self, folder, callback=None, arguments=(), rpc="127.0.0.1:0", ws="127.0.0.1:0", binary=BINARY):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log, self.out = self.folder / "simulate.log", self.folder / "simulate.out"
        self._callback = ("--callback", callback) if callback else ("--no-callback",)
        self._arguments = [str(argument) for argument in arguments]
        self._rpc, self._ws = rpc, ws
        self.binary = binary
        self.ws_tls = None  # as of a Relay, for those who connect to either
        self.process = None

    # ---- its life ---------------------------------------------------------------------------------------------------

    def start(self, timeout=60):
        """Until its ready line."""
        assert self.process is None, "it runs already"
        with open(self.log, "ab") as log, open(self.out, "wb") as out:
            self.process = subprocess.Popen(
                [str(self.binary), "simulate", "--rpc", self._rpc, "--ws", self._ws, *self._callback, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
            )
        wait_until(lambda: self.process.poll() is not None or b"\n" in self.out.read_bytes(), timeout, "the ready line of the simulated node")
        if self.process.poll() is not None:
            self.process = None
            raise AssertionError(f"the simulated node did not get ready:\n{self.stderr()[-4000:]}")
        ready = self.lines(first=0)[0]
        assert ready["ready"] is True
        self._rpc, self._ws = ready["rpc"], ready.get("ws", self._ws)
        return self

    def stop(self, timeout=60):
        """SIGTERM; it has to exit 0, and says good-bye on its WebSockets."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the simulated node did not stop within {timeout} s:\n{self.stderr()[-4000:]}") from None
        self.process = None
        assert code == 0, f"the simulated node exited {code}:\n{self.stderr()[-4000:]}"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def close(self):
        """The end of a test: a clean stop, and nothing from a sanitizer."""
        if self.process is not None:
            self.stop()
        assert_clean(self.stderr())

    def stderr(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def lines(self, first=1):
        """What it printed of its callbacks, after the ready line; the last one is the summary once it has stopped."""
        text = self.out.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()[first:]]

    # ---- where it is ------------------------------------------------------------------------------------------------

    @property
    def rpc_url(self):
        return f"http://{self._rpc}"

    @property
    def rpc_port(self):
        return int(self._rpc.rsplit(":", 1)[1])

    @property
    def ws_url(self):
        return f"ws://{self._ws}"

    @property
    def ws_port(self):
        return int(self._ws.rsplit(":", 1)[1])

    # ---- as a node --------------------------------------------------------------------------------------------------

    def post(self, body, timeout=30):
        """The raw answer: status, headers as a list of pairs, the body's bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rpc_port, timeout=timeout)
        try:
            connection.request("POST", "/", body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def rpc(self, action, timeout=30, **fields):
        """The answer's object; RpcError with the node's words."""
        _, _, body = self.post(json.dumps({"action": action, **fields}).encode(), timeout)
        answer = json.loads(body)
        if "error" in answer:
            raise RpcError(answer["error"])
        return answer

    # ---- what it is told --------------------------------------------------------------------------------------------

    def tell(self, word, **fields):
        return self.rpc("simulate", do=word, **{name.rstrip("_"): value for name, value in fields.items()})

    def accounts(self, count=1):
        """New accounts, whose keys it knows: they can pocket and pay."""
        return self.tell("accounts", count=count)["accounts"]

    def account(self):
        return self.accounts(1)[0]

    def adopt(self, account):
        """The key of an account of tests/lib/blocks.py, whose chain has to begin here: for pocketing."""
        return self.tell("adopt", key=account.secret)["account"]

    def pay(self, to, amount=10**27, count=1, **fields):
        """The hashes. `to` is an address, an account, or a list of them, paid in turn. More in docs/simulated-node.md:
        style="legacy", confirmed=False, announce="none" | "ws" | "callback", why="inactive", from_=…, rate=…"""
        addresses = [getattr(one, "address", one) for one in (to if isinstance(to, (list, tuple)) else [to])]
        answer = self.tell("pay", to=addresses, amount=str(amount), count=count, **fields)
        return answer.get("hashes") or []

    def confirm(self, *hashes, **fields):
        self.tell("confirm", hashes=list(hashes), **fields)

    def announce(self, *hashes, **fields):
        """Again."""
        self.tell("announce", hashes=list(hashes), **fields)

    def pocket(self, *accounts, **fields):
        """The hashes of the receives."""
        return self.tell("pocket", account=[getattr(one, "address", one) for one in accounts], **fields)["hashes"] or []

    def faults(self, **faults):
        """Sets those that are given, by the names of docs/simulated-node.md; for_ms=… ends them again. Returns all."""
        return self.tell("faults", **faults)

    def payments(self):
        """All that were ordered by `pay`, in order: hash, from, to, amount, type, confirmed, callback and ws (whether they went out), received."""
        found = []
        while True:
            page = self.tell("payments", offset=len(found))
            found += page["payments"] or []
            if len(found) >= int(page["total"]) or not page["payments"]:
                return found

    def status(self):
        return self.tell("status")

    def restart(self, down_ms=200):
        """Everything is dropped at once; after `down_ms` it is back with the same ledger."""
        self.tell("restart", down_ms=down_ms)
