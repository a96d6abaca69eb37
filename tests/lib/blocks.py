"""Accounts of a make-believe Nano network, whose blocks are really signed, by npm's `nanocurrency`."""

import hashlib
import json
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ZERO = "0" * 64


class Signer:
    """One long-lived node process. Any thread."""

    def __init__(self):
        self._process = subprocess.Popen(
            ["node", str(HERE / "signer.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE
        )
        self._lock = threading.Lock()

    def call(self, operation, **fields):
        with self._lock:
            self._process.stdin.write(json.dumps({"operation": operation, **fields}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the signer has ended: run `npm ci` in tests/lib")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def close(self):
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def account(self, name):
        """The account of this name, the same in every run."""
        return Account(self, name)


@dataclass(frozen=True)
class Notice:
    """What a node says of one confirmed block."""

    account: str
    hash: str
    block: dict
    amount: int
    subtype: str

    def body(self):
        """The callback's body as a Nano V27.1 node prints it: every value a string, the block a document inside a string."""
        return print_callback(self.to_object())

    def to_object(self):
        made = {"account": self.account, "hash": self.hash, "block": print_document(self.block), "amount": str(self.amount)}
        if self.subtype == "send":
            made["is_send"] = "true"
        made["subtype"] = self.subtype
        return made


def print_document(value):
    return json.dumps(value, indent=4, ensure_ascii=False) + "\n"


def print_callback(value):
    return print_document(value).encode()


class Account:
    """An account with a chain. It begins rich, on a frontier that stands for all that came before."""

    def __init__(self, signer, name):
        self._signer = signer
        self.secret = hashlib.sha256(f"coinslot test account {name}".encode()).hexdigest()
        derived = signer.call("account", secret=self.secret)
        self.key, self.address = derived["key"].upper(), derived["address"]
        self.frontier = hashlib.sha256(f"coinslot test frontier {name}".encode()).hexdigest().upper()
        self.balance = 10**36

    def send(self, to, amount):
        """`to` is an account, or an address."""
        return self._add("send", self.balance - amount, getattr(to, "address", to), amount)

    def receive(self, notice):
        return self._add("receive", self.balance + notice.amount, notice.hash, notice.amount)

    def change(self):
        return self._add("change", self.balance, ZERO, 0)

    def _add(self, subtype, balance, link, amount):
        notice = self.sign(subtype, balance, link, amount)
        self.balance, self.frontier = balance, notice.hash
        return notice

    def sign_hash(self, hash):
        """A signature by this account's key over any block's hash, also one of somebody else's."""
        return self._signer.call("signature", secret=self.secret, hash=hash).upper()

    def sign(self, subtype, balance, link, amount):
        """A block on the frontier, which stays where it is: a test may want two of them, or one that lies."""
        made = self._signer.call(
            "block",
            secret=self.secret,
            previous=self.frontier,
            representative=self.address,
            balance=str(balance),
            link=link,
            work="c0ffee0000000001",
        )
        signed = made["block"]
        block = {
            "type": "state",
            "account": self.address,
            "previous": signed["previous"].upper(),
            "representative": self.address,
            "balance": signed["balance"],
            "link": signed["link"].upper(),
            "link_as_account": signed["link_as_account"].replace("xrb_", "nano_"),
            "signature": signed["signature"].upper(),
            "work": signed["work"],
        }
        return Notice(self.address, made["hash"].upper(), block, amount, subtype)
