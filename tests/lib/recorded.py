"""What a real Nano node answered and said (tests/data/nano), read from the recordings; and whether something else has the same shape."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

RECORDED = Path(__file__).resolve().parent.parent / "data" / "nano"


@dataclass
class Call:
    """One request to the RPC and its answer."""

    heading: str
    request: str
    headers: list  # (name, value)
    body: str

    @property
    def fields(self):
        """The request's object; None when it is none."""
        try:
            return json.loads(self.request)
        except ValueError:
            return None

    @property
    def answer(self):
        return json.loads(self.body)


def recorded_calls():
    """In the order in which they were made."""
    calls = []
    for section in re.split(r"^### ", (RECORDED / "rpc.txt").read_text(), flags=re.M)[1:]:
        heading, rest = section.split("\n", 1)
        if not rest.startswith(">>> "):
            continue  # not a call: what a wallet made
        request, answer = rest[4:].split("\n", 1)
        if answer.startswith("<<< headers: "):
            line, body = answer.split("\n", 1)
            headers = line[len("<<< headers: ") :].split(" | ")
        else:
            head, body = answer[len("<<< ") :].replace("\r", "").split("\n\n", 1)
            headers = head.split("\n")
        assert headers[0] == "HTTP/1.1 200 OK"
        calls.append(Call(heading, request, [tuple(line.split(": ", 1)) for line in headers[1:]], body.rstrip("\n") + "\n"))
    return calls


@dataclass
class Conversation:
    """A recorded WebSocket session: what was sent (str) and what came (Frame), in order."""

    name: str
    steps: list = field(default_factory=list)


@dataclass
class Frame:
    opcode: int
    text: str

    @property
    def value(self):
        return json.loads(self.text)


def recorded_conversation(name):
    conversation = Conversation(name)
    data = (RECORDED / name).read_bytes()
    at = data.index(b">>> ")
    while at < len(data):
        line, _, _ = data[at:].partition(b"\n")
        if line.startswith(b">>> "):
            conversation.steps.append(line[4:].decode())
            at += len(line) + 1
        elif line.startswith(b"<<< "):
            found = re.search(rb"opcode=(\d+) fin=1 rsv=0 len=(\d+)", line)
            length = int(found[2])
            at += len(line) + 1
            conversation.steps.append(Frame(int(found[1]), data[at : at + length].decode("latin-1" if found[1] == b"8" else "utf-8")))
            at += length
        elif line.startswith(b"=== EOF"):
            conversation.steps.append(EOFError)
            at += len(line) + 1
        else:
            assert not line, line
            at += 1
    return conversation


# ---- shapes -------------------------------------------------------------------------------------------------------------

_KINDS = [
    ("a hash", r"[0-9A-F]{64}"),
    ("a hash in lower case", r"(?=.*[a-f])[0-9a-f]{64}"),
    ("a signature", r"[0-9A-F]{128}"),
    ("work", r"[0-9a-f]{16}"),
    ("a balance in hex", r"[0-9A-F]{32}"),
    ("an account", r"nano_[13][13456789abcdefghijkmnopqrstuwxyz]{59}"),
    ("a node's name", r"node_[13][13456789abcdefghijkmnopqrstuwxyz]{59}"),
    ("zero", r"0"),
    ("a number", r"[1-9][0-9]*"),
]
_ZERO_HASH = "0" * 64
# Where a node and another may differ by more than the value: it runs longer, has other accounts behind it.
_LOOSE = {"uptime", "seconds", "weight", "cemented", "request_count"}
# What another network has in its own way, though it is a block or an account that is matched elsewhere.
_OWN = {"network_identifier", "genesis_block", "representative", "confirmed_representative", "previous", "open_block", "source", "source_account"}


def kind_of(text):
    """A pattern's name, or the text itself where it fits none."""
    if text == _ZERO_HASH:
        return "no hash"
    for name, pattern in _KINDS:
        if re.fullmatch(pattern, text):
            return name
    return text


class Matching:
    """Which account and block of the simulated node stand for which of the recorded one."""

    def __init__(self):
        self._twin, self._also = {}, set()

    def add(self, recorded, own):
        self._twin[recorded] = own

    def allow(self, recorded, own):
        """In answers this one may stand for it, too."""
        self._also.add((recorded, own))

    def translate(self, text):
        """A request, or any text, with what is matched in the place of what was recorded."""
        for recorded, own in self._twin.items():
            text = text.replace(recorded, own).replace(recorded.lower(), own.lower()).replace(recorded.replace("nano_", "xrb_"), own.replace("nano_", "xrb_"))
        return text

    def differences(self, recorded, own, where=""):
        """What is not alike, in words."""
        if isinstance(recorded, dict) and isinstance(own, dict):
            yield from self._in_objects(recorded, own, where)
        elif isinstance(recorded, list) and isinstance(own, list):
            yield from self._in_lists(recorded, own, where)
        elif isinstance(recorded, str) and isinstance(own, str):
            yield from self._in_texts(recorded, own, where)
        else:
            yield f"{where}: {recorded!r} was recorded, {own!r} came"

    def _in_objects(self, recorded, own, where):
        expected = [self.translate(key) for key in recorded]
        by_hash = expected and all(kind_of(key) == "a hash" for key in expected)
        if by_hash and list(own) == sorted(own) and list(recorded) == sorted(recorded):
            expected.sort()  # other hashes sort otherwise
        if list(own) != expected:
            yield f"{where}: the keys {expected} were expected, {list(own)} came"
            return
        for key, value in recorded.items():
            yield from self.differences(value, own[self.translate(key)], f"{where}/{key}")

    def _in_lists(self, recorded, own, where):
        if len(recorded) != len(own):
            yield f"{where}: {len(recorded)} entries were recorded, {len(own)} came"
            return
        if recorded and all(isinstance(entry, str) and kind_of(entry) == "a hash" for entry in recorded):
            own, recorded = sorted(own), sorted(self.translate(entry) for entry in recorded)
        for index, (before, now) in enumerate(zip(recorded, own, strict=True)):
            yield from self.differences(before, now, f"{where}[{index}]")

    def _in_texts(self, recorded, own, where):
        key = where.rsplit("/", 1)[-1].split("[")[0]
        matched = self.translate(recorded)
        if matched == own or (recorded, own) in self._also:
            return
        if recorded.startswith("{"):  # a document in a string
            yield from self.differences(json.loads(recorded), json.loads(own), where)
            return
        if matched != recorded and key not in _OWN:
            yield f"{where}: {matched} was expected, {own} came"
            return
        before, now = kind_of(recorded), kind_of(own)
        numbers = {before, now} <= {"zero", "a number"}
        hashes = {before, now} <= {"no hash", "a hash"}
        if before != now and not (numbers and key in _LOOSE) and not (hashes and key in _OWN):
            yield f"{where}: {recorded!r} ({before}) was recorded, {own!r} came"


def as_boost_prints(text):
    """The text is printed as Boost's property_tree prints what is in it."""
    return json.dumps(json.loads(text), indent=4, ensure_ascii=False).replace("/", "\\/") + "\n" == text
