"""What the demo needs before it can begin: a config, an API token, a meter with its address. Made once, then found again."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from coinslot.address import format_address
from coinslot.amount import RAW_PER_NANO

CONFIG = """\
# Written by the demo at each start.
[nano]
# The make-believe node: it is asked whether what a callback says is true, and listened to.
rpc = http://{rpc}
ws = ws://{ws}
# So often it is asked about every address, in case nobody has told of a payment. 600 where it is not for show.
sweep_s = 5
"""

# What the meter sells. Little steps are dearer than an hour.
TARIFF = {
    "tariff": {
        "steps": [
            {"amount": str(RAW_PER_NANO // 10), "seconds": 360},
            {"amount": str(RAW_PER_NANO // 5), "seconds": 750},
            {"amount": str(RAW_PER_NANO // 2), "seconds": 1950},
            {"amount": str(RAW_PER_NANO), "seconds": 4200},
        ],
        "cap_s": 7200,
    },
    "late_after_s": 3600,
}


class DemoError(Exception):
    """The demo cannot go on; the text says why and what to do."""


@dataclass(frozen=True)
class Folder:
    path: Path

    @property
    def config(self) -> Path:
        return self.path / "coinslot.conf"

    @property
    def relay(self) -> Path:
        return self.path / "relay"

    @property
    def relay_log(self) -> Path:
        return self.path / "relay.log"

    @property
    def api_token(self) -> Path:
        return self.path / "api-token"

    @property
    def meter(self) -> Path:
        return self.path / "meter.json"

    @property
    def meter_key(self) -> Path:
        return self.path / "meter-key"

    @property
    def meter_state(self) -> Path:
        return self.path / "meter-state"

    @property
    def meter_screen(self) -> Path:
        return self.path / "meter-screen"

    def prepare(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)

    def write_config(self, rpc: str, ws: str) -> None:
        self.config.write_text(CONFIG.format(rpc=rpc, ws=ws))


def write_secret(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")


class Node:
    """The make-believe node, by the RPC port that takes orders (docs/simulated-node.md)."""

    def __init__(self, address: str) -> None:
        self._address = address

    def pay(self, to: str, amount: int, told: bool) -> str:
        """Somebody pays, and it is confirmed; the node tells of it, or nobody. The hash."""
        order = {"action": "simulate", "do": "pay", "to": to, "amount": str(amount), "announce": "callback,ws" if told else "none"}
        connection = http.client.HTTPConnection(self._address, timeout=10)
        try:
            connection.request("POST", "/", json.dumps(order))
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "hashes" not in answer:
            raise DemoError(f"the simulated node answered {answer}")
        return str(answer["hashes"][0])


class Api:
    def __init__(self, port: int, token: str) -> None:
        self._port, self._token = port, token

    def call(self, method: str, path: str, body: Optional[Dict[str, Any]] = None) -> Tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(text) if text else None

    def change(self, method: str, path: str, body: Dict[str, Any]) -> Any:
        status, value = self.call(method, path, body)
        if status not in (200, 201):
            raise DemoError(f"{method} {path} answered {status}: {value}")
        return value

    def count_states(self, device: str) -> Dict[str, int]:
        """How many of the device's deliveries are in each state."""
        counts: Dict[str, int] = {}
        cursor = ""
        while True:
            status, page = self.call("GET", f"/api/v1/deliveries?device={device}&limit=1000{cursor}")
            if status != 200:
                raise DemoError(f"GET /api/v1/deliveries answered {status}: {page}")
            for delivery in page["items"]:
                counts[delivery["state"]] = counts.get(delivery["state"], 0) + 1
            if not page.get("next"):
                return counts
            cursor = f"&cursor={page['next']}"


def open_api(binary: Path, folder: Folder, port: int) -> Api:
    """With the token of an earlier start where it is still good."""
    if folder.api_token.exists():
        api = Api(port, folder.api_token.read_text().strip())
        if api.call("GET", "/api/v1/devices")[0] == 200:
            return api
    command = [str(binary), "token", "create", "--data", str(folder.relay), "--name", "demo", "--role", "admin"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise DemoError(done.stderr.strip() or f"coinslot token create exited {done.returncode}")
    write_secret(folder.api_token, done.stdout.strip())
    return Api(port, done.stdout.strip())


def run_meter(binary: Path, *arguments: str) -> str:
    """What `coinslot-meter` prints when it only answers."""
    done = subprocess.run([str(binary), *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise DemoError(done.stderr.strip() or f"coinslot-meter exited {done.returncode}")
    return done.stdout.strip()


def find_meter(api: Api, folder: Folder, binary: Path) -> Dict[str, Any]:
    """The demo's meter, {id, address, relay_keys}: the one of an earlier start, or a new one."""
    try:
        meter = json.loads(folder.meter.read_text())
        status, device = api.call("GET", f"/api/v1/devices/{meter['id']}")
        if status == 200 and device["state"] == "active" and folder.meter_key.exists() and "relay_keys" in meter:
            return _subscribed(api, meter)
    except FileNotFoundError:
        pass
    folder.meter_key.unlink(missing_ok=True)
    shutil.rmtree(folder.meter_state, ignore_errors=True)
    public_key = run_meter(binary, "--make-key", str(folder.meter_key))  # all of the pair that leaves the meter
    body = {"name": "Meter 12, Market Square", "auth": "key", "public_key": public_key}
    device = api.change("POST", "/api/v1/devices", body)
    api.change("PUT", f"/api/v1/devices/{device['id']}/config", TARIFF)
    # Nobody has this account's key: the money of the demo is make-believe.
    meter = {"id": device["id"], "address": format_address(secrets.token_bytes(32)), "relay_keys": device["relay_keys"]}
    folder.meter.write_text(json.dumps(meter) + "\n")
    return _subscribed(api, meter)


def _subscribed(api: Api, meter: Dict[str, Any]) -> Dict[str, Any]:
    body = {"chain": "nano", "address": meter["address"], "minimum": "0"}
    status, value = api.call("POST", f"/api/v1/devices/{meter['id']}/subscriptions", body)
    if status not in (201, 409):  # 409: it is subscribed already
        raise DemoError(f"the meter's subscription was answered {status}: {value}")
    return meter


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lan_address() -> Optional[str]:
    """This machine's address on its network, or None when it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # chooses a route; nothing is sent
        except OSError:
            return None
        return str(probe.getsockname()[0])
