"""A fake Nano node: makes HTTP callbacks byte for byte as the recorded V27.1 node does (tests/data/nano-v27.1)."""

import json
import socket
from dataclasses import dataclass
from pathlib import Path

RECORDED = Path(__file__).resolve().parent.parent / "data" / "nano-v27.1"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict  # names in lower case
    body: bytes

    def problem(self):
        """The problem+json of a refusal."""
        assert self.headers.get("content-type") == "application/problem+json", (self.status, self.headers, self.body)
        value = json.loads(self.body)
        assert value["status"] == self.status
        return value


@dataclass(frozen=True)
class Recorded:
    """One recorded callback."""

    name: str
    raw: bytes

    @property
    def body(self):
        return self.raw.split(b"\r\n\r\n", 1)[1]

    @property
    def object(self):
        return json.loads(self.body)

    @property
    def block(self):
        return json.loads(self.object["block"])

    @property
    def destination(self):
        """Whom it pays; None when it is no send."""
        if self.block["type"] == "send":
            return self.block["destination"]
        return self.block["link_as_account"] if self.object.get("subtype") == "send" else None


def recorded_callbacks():
    return [Recorded(str(path.relative_to(RECORDED)), path.read_bytes()) for path in sorted(RECORDED.glob("**/callback-*.raw"))]


class FakeNode:
    """`target` is the node's `[node.httpcallback] target`. A connection per block, as the node does, or one kept alive."""

    def __init__(self, port, target="/callback/", host="127.0.0.1", keep_alive=False, timeout_s=30):
        self.host, self.port, self.target = host, port, target
        self._keep_alive, self._timeout_s = keep_alive, timeout_s
        self._kept = None

    def request(self, body, headers=()):
        """The request as the node writes it; `headers` come on top."""
        lines = [
            f"POST {self.target} HTTP/1.1",
            f"Host: {self.host}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *headers,
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def notify(self, notice):
        return self.post(notice.body())

    def post(self, body, headers=()):
        return self.post_raw(self.request(body, headers))

    def post_raw(self, request):
        connection = self._kept or self._connect()
        self._kept = None
        try:
            connection.sendall(request)
            answer = read_answer(connection)
        except BaseException:
            connection.close()
            raise
        if self._keep_alive and answer.headers.get("connection", "").lower() != "close":
            self._kept = connection
        else:
            connection.close()
        return answer

    def begin(self, request):
        """Sends without waiting for the answer; read_answer(connection) gets it."""
        connection = self._connect()
        connection.sendall(request)
        return connection

    def close(self):
        if self._kept:
            self._kept.close()

    def _connect(self):
        return socket.create_connection((self.host, self.port), self._timeout_s)


def read_answer(connection):
    """One whole answer, by its Content-Length. ConnectionError when the relay closes before that."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(connection)
    head, body = received.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers["content-length"])
    while len(body) < length:
        body += _some(connection)
    return Answer(int(first.split(" ")[1]), headers, body)


def _some(connection):
    some = connection.recv(65536)
    if not some:
        raise ConnectionError("the relay closed the connection before its answer was whole")
    return some
