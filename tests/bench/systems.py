"""The relay and what people would use instead: each started anew for a run, in a folder of its own, on free ports of 127.0.0.1, and ended by its pid."""

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build" / "release"
FOLDER = ROOT / "build" / "bench"
GENERATOR = BUILD / "coinslot-bench"
os.environ.setdefault("COINSLOT_BINARY", str(BUILD / "coinslot"))
sys.path[:0] = [str(ROOT / "tests" / "lib"), str(ROOT / "clients" / "python")]

from ports import free_port  # noqa: E402
from relay import Relay, wait_until  # noqa: E402


class Failure(Exception):
    """A run that does not count."""


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def generate(*arguments, timeout=300):
    """What the generator has printed; its books have to balance."""
    done = subprocess.run([str(GENERATOR), *map(str, arguments)], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, arguments))}:\n{done.stderr[-2000:]}{done.stdout[-2000:]}")
    return json.loads(done.stdout)


class System:
    """`options`: of the generator, for this system. `name` is the generator's."""

    name = None
    options = ()

    def __init__(self, folder, wanted):
        """`wanted`: {devices, everybody}."""
        self.folder, self.wanted = Path(folder), wanted
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.process = None

    def start(self):
        raise NotImplementedError

    def run(self, scenario, *options):
        everybody = ["--everybody"] if self.wanted.get("everybody") else []
        return generate(
            *(self.name, scenario, "--devices", self.wanted["devices"], *everybody, "--server-pid", self.pid, *self.options, *self.ports(), *options)
        )

    def ports(self):
        return ("--payer-port", self.port, "--device-port", self.port)

    @property
    def pid(self):
        return self.process.pid

    def settle(self, found):
        """After a run: what the system itself has to say of it. Raises Failure."""

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def launch(self, command):
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        wait_until(lambda: self.process.poll() is not None or answers(self.port), 20, f"{self.name}'s port")
        if self.process.poll() is not None:
            raise Failure(f"{self.name} did not start: {(self.folder / 'log').read_text()[-2000:]}")


class Redis(System):
    name = "redis"
    options = ("--connections", 1, "--depth", 4096)
    always = "always"

    def start(self):
        self.port = free_port()
        self.launch(
            ["redis-server", "--bind", "127.0.0.1", "--port", self.port, "--dir", self.folder, "--appendonly", "yes", "--appendfsync", self.always]
            + ["--save", "", "--protected-mode", "no", "--maxclients", "15000"]
        )


class Mosquitto(System):
    name = "mosquitto"
    options = ("--connections", 1, "--depth", 4096)

    def start(self):
        self.port = free_port()
        config = f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 64\n"
        config += "set_tcp_nodelay true\nlog_dest stderr\nlog_type error\n"
        (self.folder / "mosquitto.conf").write_text(config)
        self.launch([shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin"), "-c", self.folder / "mosquitto.conf"])


class Tornado(System):
    name = "tornado"

    def start(self):
        self.port = free_port()
        self.launch(["/usr/bin/python3", ROOT / "tests" / "bench" / "tornado_relay.py", self.port])


class Coinslot(System):
    """The relay with its defaults, but for what a subclass names. `confirm = source`: there is no node here to ask."""

    name = "coinslot"
    signature, keyed = "auto", False
    received = 0  # since it was started

    def config(self):
        # handshakes_per_s bounds what strangers can take; how fast the relay could be is measured here.
        text = f"[callback]\nconfirm = source\n[verify]\nsignature = {self.signature}\n"
        return text + "[limits]\nhandshakes_per_s = 0\n[log]\nlevel = warn\n"

    def start(self):
        self.relay = Relay(self.folder, self.config(), binary=BUILD / "coinslot").start()
        self.import_devices()

    def import_devices(self):
        words = ["keyed"] * self.keyed + ["everybody"] * bool(self.wanted.get("everybody"))
        self.import_some(0, self.wanted["devices"], "devices", *words)

    def import_some(self, first, count, name, *words):
        command = [str(GENERATOR), "devices", f"count={count}", f"first={first}", *words]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        made = self.relay.import_devices(lines)
        if len(made) != count or any("id" not in device for device in made):
            raise Failure(f"the import of {count} devices: {made[-1]}")
        with open(self.folder / name, "a", encoding="ascii") as file:
            file.writelines(device["id"] + "\n" for device in made)

    @property
    def pid(self):
        return self.relay.process.pid

    def ports(self):
        keyed = ["--keyed"] if self.keyed else []
        return ("--payer-port", self.relay.http_port, "--device-port", self.relay.ws_port, "--credentials", self.folder / "devices", *keyed)

    def settle(self, found):
        """Every ack has to be in the store."""
        self.received += found["counts"]["received"]
        try:
            wait_until(lambda: self.relay.metrics()["coinslot_deliveries_acked_total"] == self.received, 10, f"the ack of {self.received} payments")
        except AssertionError as error:
            raise Failure(str(error)) from None

    def stop(self):
        if getattr(self, "relay", None) is not None and self.relay.process is not None:
            self.relay.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class CoinslotNever(Coinslot):
    signature = "never"


class CoinslotKeys(Coinslot):
    keyed = True


class CoinslotNeverKeys(CoinslotNever):
    keyed = True


class CoinslotNodeWs(Coinslot):
    """Its news comes from the node's WebSocket, which the generator serves."""

    name = "coinslot-ws"

    def start(self):
        self.node_port = free_port()
        super().start()

    def config(self):
        return super().config() + f"[nano]\nws = ws://127.0.0.1:{self.node_port}\n"

    def ports(self):
        return ("--payer-port", self.node_port, *super().ports()[2:])


SYSTEMS = {
    "coinslot": Coinslot,
    "coinslot, keys": CoinslotKeys,
    "coinslot, signature = never": CoinslotNever,
    "coinslot, signature = never, keys": CoinslotNeverKeys,
    "coinslot, node's WebSocket": CoinslotNodeWs,
    "redis always": Redis,
    "mosquitto": Mosquitto,
    "tornado": Tornado,
}


def raise_file_limit():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
