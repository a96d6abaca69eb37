"""A real `coinslot serve`, on free ports and a data folder of its own, and what a test asks of it."""

import http.client
import json
import os
import re
import secrets
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from coinslot.credential import DeviceKey
from openapi import check_answer

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = Path(os.environ.get("COINSLOT_BINARY", ROOT / "build" / "debug" / "coinslot")).resolve()
CONFIG = "[callback]\nconfirm = source\n"

_SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed")


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict  # names in lower case
    value: object  # parsed JSON, or the text

    def __getitem__(self, key):
        return self.value[key]


def run_coinslot(*arguments, timeout=60, binary=BINARY, **options):
    """A subcommand that ends by itself."""
    return subprocess.run(
        [str(binary), *map(str, arguments)], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL, **options
    )


def assert_clean(stderr):
    """Fails when a sanitizer or an assertion had something to say."""
    found = _SANITIZER.search(stderr)
    assert not found, f"{found.group(0)}:\n{stderr[max(0, found.start() - 200):found.start() + 4000]}"


class Relay:
    def __init__(self, folder, config=CONFIG, arguments=(), http="127.0.0.1:0", ws="127.0.0.1:0", http_tls=None, ws_tls=None, binary=BINARY):
        """`http_tls`, `ws_tls`: an SSLContext to connect with, where that port speaks TLS."""
        self.folder = Path(folder)
        self.data = self.folder / "data"
        self.config = self.folder / "coinslot.conf"
        self.log = self.folder / "relay.log"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(config)
        self._arguments = list(arguments)
        self._http, self._ws = http, ws
        self.http_tls, self.ws_tls = http_tls, ws_tls
        self.binary = binary
        self._tokens = {}
        self.process = None

    # ---- its life ---------------------------------------------------------------------------------------------------

    def command(self):
        return [
            *(str(self.binary), "serve", "--config", str(self.config), "--data", str(self.data)),
            *("--http", self._http, "--ws", self._ws, *self._arguments),
        ]

    def start(self, timeout=60, wrapper=()):
        """Until its ready line. A second start takes the same ports again, so that devices find it."""
        assert self.process is None, "it runs already"
        assert self.binary.exists(), f"{self.binary} is not there: build it, or set COINSLOT_BINARY"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, *self.command()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd=self.folder
            )
        ready = json.loads(self._first_line(timeout))
        assert ready["ready"] is True
        self._http, self._ws = ready["http"], ready["ws"]
        return self

    def _first_line(self, timeout):
        os.set_blocking(self.process.stdout.fileno(), False)
        line, end = b"", time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n") and selector.select(max(0, end - time.monotonic())):
                some = self.process.stdout.read()
                if not some:
                    break
                line += some
        if not line.endswith(b"\n"):
            self.kill()
            raise AssertionError(f"the relay did not get ready:\n{self.stderr()[-4000:]}")
        return line

    def stop(self, timeout=60):
        """SIGTERM; it has to exit 0."""
        self.begin_stop()
        self.await_stop(timeout)

    def begin_stop(self):
        self.process.send_signal(signal.SIGTERM)

    def await_stop(self, timeout=60):
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the relay did not stop within {timeout} s:\n{self.stderr()[-4000:]}") from None
        finally:
            self._forget_process()
        assert code == 0, f"the relay exited {code}:\n{self.stderr()[-4000:]}"

    def kill(self):
        """What a power cut does to a process."""
        self.process.kill()
        self.process.wait()
        self._forget_process()

    def _forget_process(self):
        self.process.stdout.close()
        self.process = None

    def restart(self):
        self.stop()
        return self.start()

    def close(self):
        """The end of a test: a clean stop, nothing from a sanitizer, every promise kept by what is on disk."""
        if self.process is not None:
            self.stop()
        assert_clean(self.stderr())
        if (self.data / "coinslot.db").exists():
            done = run_coinslot("check", "--data", self.data, binary=self.binary)
            assert done.returncode == 0, done.stdout + done.stderr

    def stderr(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # ---- where it is ------------------------------------------------------------------------------------------------

    @property
    def http_port(self):
        return int(self._http.rsplit(":", 1)[1])

    @property
    def ws_port(self):
        return int(self._ws.rsplit(":", 1)[1])

    @property
    def ws_url(self):
        return f"{'wss' if self.ws_tls else 'ws'}://{self._ws}"

    # ---- its API ----------------------------------------------------------------------------------------------------

    def token(self, role="admin"):
        if role not in self._tokens:
            done = run_coinslot("token", "create", "--data", self.data, "--name", f"test {role}", "--role", role, binary=self.binary)
            assert done.returncode == 0, done.stderr
            self._tokens[role] = done.stdout.strip()
        return self._tokens[role]

    def rest(self, method, path, body=None, role="admin", headers=None):
        """`role` None: without a token. The answer is what schema/openapi.yaml says."""
        sent = dict(headers or {})
        if role is not None:
            sent.setdefault("Authorization", f"Bearer {self.token(role)}")
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        if self.http_tls:
            connection = http.client.HTTPSConnection("127.0.0.1", self.http_port, timeout=30, context=self.http_tls)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=30)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        received = {name.lower(): value for name, value in answer.getheaders()}
        content_type = received.get("content-type", "")
        value = json.loads(text) if "json" in content_type and text else text
        check_answer(method, path, answer.status, content_type, value)
        return Reply(answer.status, received, value)

    def create_device(self, name="Meter", **fields):
        reply = self.rest("POST", "/api/v1/devices", {"name": name, "auth": "token", **fields})
        assert reply.status == 201, reply
        return reply.value

    def import_devices(self, lines, role="operator", content_type="application/x-ndjson"):
        """`lines`: objects, or texts as they are. The results, or the Reply of a problem."""
        body = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=120)
        headers = {"Content-Type": content_type, "Authorization": f"Bearer {self.token(role)}"}
        try:
            connection.request("POST", "/api/v1/devices/import", body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(text))
        assert answer.getheader("Content-Type") == "application/x-ndjson"
        return [json.loads(line) for line in text.splitlines()]

    def create_key_device(self, name="Meter", **fields):
        """Registered by the public key of a pair that was made here; with its secret_key, as if the relay had made it."""
        key = DeviceKey(secrets.token_bytes(32))
        device = self.create_device(name, auth="key", public_key=key.public.hex(), **fields)
        assert "secret_key" not in device and "token" not in device
        return {**device, "secret_key": key.seed.hex()}

    def change_device(self, device, **fields):
        reply = self.rest("PATCH", f"/api/v1/devices/{device['id']}", fields)
        assert reply.status == 200, reply
        return reply.value

    def show_device(self, device):
        reply = self.rest("GET", f"/api/v1/devices/{device['id']}")
        assert reply.status == 200, reply
        return reply.value

    def set_config(self, device, config):
        """Returns the new version."""
        reply = self.rest("PUT", f"/api/v1/devices/{device['id']}/config", config)
        assert reply.status == 200, reply
        return reply["version"]

    def subscribe(self, device, address, minimum="0"):
        """`device` as create_device gave it; `address` or an account."""
        body = {"chain": "nano", "address": getattr(address, "address", address), "minimum": minimum}
        reply = self.rest("POST", f"/api/v1/devices/{device['id']}/subscriptions", body)
        assert reply.status == 201, reply
        return reply.value

    def deliveries(self, **filters):
        return self._pages("/api/v1/deliveries", filters)

    def payments(self, **filters):
        return self._pages("/api/v1/payments", filters)

    def _pages(self, path, filters):
        """All pages, in the order in which they come."""
        items, cursor = [], None
        while True:
            query = {**filters, **({"cursor": cursor} if cursor else {})}
            reply = self.rest("GET", path + "?" + "&".join(f"{name}={value}" for name, value in query.items()))
            assert reply.status == 200, reply
            items += reply["items"]
            cursor = reply.value.get("next")
            if not cursor:
                return items

    def metrics(self):
        """Prometheus samples by name and labels, as they are written."""
        reply = self.rest("GET", "/metrics")
        assert reply.status == 200, reply
        lines = [line for line in reply.value.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def wait_until(condition, timeout=20, what="the condition"):
    """The first true value of `condition()`."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what} did not come within {timeout} s"
        time.sleep(0.02)
