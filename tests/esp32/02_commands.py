"""The README's way from the cable to paid, command by command, against the real relay; the meter for Linux stands in for the board."""
import csv
import json
import re
import socket
import subprocess
from pathlib import Path

import pytest
from coinslot.address import format_address

from posix_meter import PosixMeter
from relay import BINARY, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "firmware/esp32/README.md").read_text()
COMMANDS = re.search(r"## From the cable to paid\n.*?```\n(.*?)```", README, re.S).group(1).splitlines()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Desk:
    """Where the maker sits: what the README calls by name is here under another one, and on ports that are free."""

    def __init__(self, folder):
        self.folder = folder
        self.programs = []
        self.rpc, self.node_ws, self.relay_ws = free_port(), free_port(), free_port()
        self.names = {
            "build/release/coinslot": str(BINARY), "build/board": str(folder / "board"), "firmware/esp32/demo.conf": str(folder / "demo.conf"),
            "firmware/esp32/nvs.csv": str(folder / "nvs.csv"), "127.0.0.1:7076": f"127.0.0.1:{self.rpc}", "127.0.0.1:7078": f"127.0.0.1:{self.node_ws}",
            "0.0.0.0:7091": f"127.0.0.1:{self.relay_ws} --http 127.0.0.1:0", "LAN:7091": f"127.0.0.1:{self.relay_ws}",
            "SSID": "'Market Square'", "PASSWORD": "'open sesame'", "ADDRESS": format_address(bytes(range(32))),
        }
        (folder / "demo.conf").write_text(self.here((ROOT / "firmware/esp32/demo.conf").read_text()))

    def here(self, text):
        for name, value in self.names.items():
            text = text.replace(name, value)
        return text

    def start(self, command):
        """One that stays, until it says that it is ready."""
        assert command.endswith(" &")
        log = open(self.folder / f"program-{len(self.programs)}.log", "wb")
        program = subprocess.Popen(["bash", "-c", "exec " + self.here(command[:-2])], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        log.close()
        self.programs.append(program)
        assert json.loads(program.stdout.readline())["ready"] is True

    def run(self, command):
        done = subprocess.run(["bash", "-o", "pipefail", "-c", self.here(command)], cwd=ROOT, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def close(self):
        for program in reversed(self.programs):
            program.terminate()
            assert program.wait(30) == 0


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def settings_of(path):
    rows = list(csv.reader(path.read_text().splitlines()))
    assert rows[0] == ["key", "type", "encoding", "value"] and rows[1] == ["coinslot", "namespace", "", ""]
    return {row[0]: row[3] for row in rows[2:]}


def board(desk):
    """What knows no more than the board does: its settings."""
    settings = settings_of(desk.folder / "nvs.csv")
    device = {"id": settings["device"], "secret_key": settings["secret_key"], "relay_keys": settings["relay_key"].split(" ")}
    return PosixMeter(desk.folder / "meter", settings["relay"], device)


def test_the_commands_of_the_readme_lead_from_the_cable_to_paid(desk):
    build, node, relay, create, subscribe, provision, flash, pay = COMMANDS
    assert build == "./dev build"
    desk.start(node)
    desk.start(relay)
    desk.names["DEVICE"] = json.loads(desk.run(create))["id"]
    assert json.loads(desk.run(subscribe))["address"] == desk.names["ADDRESS"]
    desk.run(provision)
    assert flash == "idf.py -C firmware/esp32 -D IDF_TARGET=esp32 flash"
    meter = board(desk)
    meter.plug_in()
    try:
        prices = meter.wait_screen("prices", timeout=60)
        assert prices["lines"] == ["Scan to pay", "0.001 = 6 s"] and desk.names["ADDRESS"] in prices["qr"]
        assert not meter.pin
        assert "hashes" in json.loads(desk.run(pay))
        paid = meter.wait_screen("paid")
        assert paid["lines"][0] == "Paid" and 590 < paid["remaining_s"] <= 600
        wait_until(lambda: meter.pin, what="the pin")
        desk.run(pay)
        assert "+10:00" in meter.wait_screen("paid", lambda screen: screen["remaining_s"] > 600)["lines"]
        desk.run(pay.replace('0000"', '"'))
        assert meter.wait_screen("not_enough")["lines"][1] == "0.00099 more"
        meter.wait_for("noted", 3)
    finally:
        meter.close()
