"""How the meter for Linux boards is set up, what it says to wrong settings, and what it shows on a terminal."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time

from network import ADDRESS
from paying import pay, wait_served
from posix_meter import METER, run_meter
from relay import CONFIG, wait_until

MILLI = 10**27  # 0.001 nano


def test_a_meter_makes_its_key_is_registered_and_runs_by_a_config_file(relay, payer, shop, tmp_path):
    made = run_meter("--make-key", tmp_path / "meter.key")
    assert made.returncode == 0 and re.fullmatch(r"[0-9a-f]{64}\n", made.stdout)
    assert (tmp_path / "meter.key").stat().st_mode & 0o777 == 0o600
    again = run_meter("--make-key", tmp_path / "meter.key")
    assert again.returncode == 1 and "is not overwritten" in again.stderr
    device = relay.create_device("Meter", auth="key", public_key=made.stdout.strip())
    relay.subscribe(device, shop)

    config = tmp_path / "meter.conf"
    text = run_meter("--print-config").stdout
    for name, value in {
        "url": relay.ws_url,
        "relay_key": " ".join(device["relay_keys"]),
        "device": device["id"],
        "key_file": tmp_path / "meter.key",
        "state": tmp_path / "state",
        "display": "plain",
        "steps": "0.001:60 0.002:180",
    }.items():
        text, count = re.subn(rf"^{name} =.*$", f"{name} = {value}", text, flags=re.M)
        assert count == 1, name
    config.write_text(text)
    meter = subprocess.Popen([METER, "--config", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        pay(relay, payer, shop, amount=2 * MILLI)
        assert wait_served(relay, device, 1)[0]["seconds"] == 180
        shown = run_meter("--config", config, "--show")
        assert json.loads(shown.stdout)["credit_s"] == 180
        second = run_meter("--config", config)
        assert second.returncode == 1 and "another meter runs with the state folder" in second.stderr
    finally:
        meter.terminate()
        out, errors = meter.communicate(timeout=20)
    assert meter.returncode == 0 and errors == ""
    assert re.search(r"^\d\d:\d\d:\d\d seq 1: \+180 s \(0.002 nano from nano_\w+….{5}, \d s old\); credit 180 s$", out, re.M)
    assert re.search(rf"^\d\d:\d\d:\d\d shows Paid \| \d:\d\d.* \[nano:{shop.address}\?amount={MILLI}\]$", out, re.M)
    assert "the machine is on" in out and out.endswith("stopped: asked to\n")


GOOD = {"url": "ws://127.0.0.1:1", "device": "dev_abcdefghijklmnop", "key-file": "KEY", "relay-key": 64 * "a", "state": "STATE"}

WRONG = [
    ({"url": None}, "--url is needed"),
    ({"device": None}, "--device is needed"),
    ({"state": None}, "--state is needed"),
    ({"url": "http://relay"}, "--url: it begins with neither ws:// nor wss://"),
    ({"url": "wss://[::1]:1"}, "name the host"),
    ({"key-file": None}, "either --key-file or --token-file is needed"),
    ({"token-file": "TOKEN"}, "either --key-file or --token-file is needed"),
    ({"relay-key": None}, "--key-file needs --relay-key"),
    ({"relay-key": "abc"}, "a relay's key is 64 hexadecimal digits"),
    ({"relay-key": f"{64 * 'a'} {64 * 'b'} {64 * 'c'}"}, "--relay-key cannot be"),
    ({"key-file": "NOWHERE"}, "No such file or directory"),
    ({"key-file": "TOKEN"}, "holds no device key"),
    ({"key-file": "DAMAGED"}, "it is damaged"),
    ({"key-file": "/dev/zero"}, "is no key and no token"),
    ({"key-file": None, "token-file": "TOKEN"}, "--relay-key goes with --key-file"),
    ({"key-file": None, "relay-key": None, "token-file": "EMPTY"}, "holds no token"),
    ({"key-file": None, "relay-key": None, "token-file": "TOKEN", "url": f"ws://{ADDRESS}:1"}, "can be read on the way"),
    ({"price": "0"}, "--price is an amount of nano above 0"),
    ({"price": "1e3"}, "--price is an amount of nano above 0"),
    ({"seconds": "0"}, "--seconds cannot be \"0\": write a whole number from 1"),
    ({"steps": "0.1"}, "a step is an amount and its seconds"),
    ({"steps": "0.1:99999999999"}, "a step is an amount and its seconds"),
    ({"steps": "0.1:60 0.1:90"}, "steps rise"),
    ({"minimum": "-1"}, "--minimum is an amount"),
    ({"address": "nano_1"}, "is no Nano address"),
    ({"device": "dev\"x"}, "the device id"),
    ({"gpio": "17"}, "write a chip and a line"),
    ({"gpio": "gpiochip99:17"}, "cannot open the GPIO chip gpiochip99"),
    ({"gpio": "gpiochip0:17", "pin-file": "PIN"}, "either --gpio or --pin-file"),
    ({"pin-file": "/nowhere/pin"}, "cannot write the pin's file"),
    ({"state": "/nowhere/state"}, "cannot make the state folder"),
    ({"state": "KEY"}, "cannot open the state folder"),
    ({"url": "wss://localhost:1", "ca-file": "NOWHERE"}, "needs the certificates to trust"),
    ({"display": "tv"}, "write auto, screen, plain or json"),
    ({"colour": "red"}, "cannot understand --colour"),
    ({"config": "CONFIG"}, "there is no key urll in [relay]"),
]


def test_wrong_settings_are_told_with_what_to_do(tmp_path):
    files = {"KEY": 64 * "1", "TOKEN": "a-token", "EMPTY": "\n", "DAMAGED": 64 * "1" + 64 * "2", "CONFIG": "[relay]\nurll = x\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for change, words in WRONG:
        settings = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
        inside = {*files, "NOWHERE", "STATE", "PIN"}
        command = [f"--{name}={tmp_path / value if value in inside else value}" for name, value in settings.items()]
        done = run_meter(*command)
        assert done.returncode in (1, 2) and done.stdout == "", (change, done)
        assert done.stderr.startswith("coinslot-meter: ") and done.stderr.count("\n") == 1, (change, done.stderr)
        assert words in done.stderr, (change, done.stderr)
    assert run_meter("--json", "stray").stderr.startswith("coinslot-meter: there is one argument too many")
    assert "needs a value" in run_meter("--url").stderr
    for name in ("--help", "--version", "--print-config"):
        done = run_meter(name)
        assert done.returncode == 0 and done.stdout and not done.stderr


def test_over_tls_only_a_relay_with_a_trusted_certificate_is_spoken_to(
    make_relay, authority, installed, payer, shop, make_posix_meter
):
    relay = make_relay(CONFIG + installed.config() + "[http]\ntls = no\n", ws_tls=authority.context())
    device = relay.create_device("Meter 12")
    relay.subscribe(device, shop)
    meter = make_posix_meter(relay, device, arguments=("--ca-file", authority.pem)).plug_in()
    meter.wait_screen("prices")
    pay(relay, payer, shop, amount=MILLI)
    assert wait_served(relay, device, 1)[0]["seconds"] == 6
    meter.stop()
    stranger = make_posix_meter(relay, device, name="stranger", arguments=("--ca-file", installed.pem)).plug_in()
    assert "not trusted" in stranger.wait_for("waiting")["reason"]
    stranger.wait_screen("dont_pay")


def test_a_certificate_of_another_name_is_not_trusted(make_relay, authority, installed, make_posix_meter):
    relay = make_relay(CONFIG + installed.config() + "[http]\ntls = no\n", ws_tls=authority.context(), ws="127.0.0.2:0")
    device = relay.create_device("Meter 12")
    meter = make_posix_meter(relay, device, arguments=("--ca-file", authority.pem)).plug_in()
    assert "of another name" in meter.wait_for("waiting")["reason"]
    assert meter.of("welcome") == []


def test_a_relay_is_found_by_its_name_and_over_ipv6(relay, device, make_relay, make_posix_meter):
    by_name = make_posix_meter(relay, device, name="by name", arguments=("--url", f"ws://localhost:{relay.ws_port}")).plug_in()
    six = make_relay(name="six", ws="[::1]:0")
    over_ipv6 = make_posix_meter(six, six.create_device("Meter 6"), name="six").plug_in()
    nowhere = make_posix_meter(relay, device, name="nowhere", arguments=("--url", "ws://127.0.0.1:1")).plug_in()
    waiting = nowhere.wait_for("waiting")
    assert (waiting["code"], waiting["reason"]) == (0, "it cannot be reached")
    by_name.wait_for("welcome")
    over_ipv6.wait_for("welcome")


class Terminal:
    """A meter on a terminal of so many rows and columns."""

    def __init__(self, arguments, rows, columns):
        self.output = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.set_blocking(self._master, False)
        self.process = subprocess.Popen(arguments, stdin=slave, stdout=slave, stderr=subprocess.PIPE, start_new_session=True)
        os.close(slave)

    def read(self):
        try:
            while True:
                self.output += os.read(self._master, 65536)
        except (BlockingIOError, OSError):
            return self.output.decode(errors="replace")

    def picture(self):
        """What was drawn last, without colours."""
        drawn = self.read().split("\033[H")[-1]
        return re.sub(r"\033\[[0-9;?]*[a-zA-Z]", "", drawn).split("\r\n")

    def resize(self, rows, columns):
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(self.process.pid, signal.SIGWINCH)

    def end(self):
        self.process.terminate()
        self.process.wait(20)
        text = self.read()
        os.close(self._master)
        self.process.stderr.close()
        return text


def test_a_terminal_shows_the_code_and_counts_down_in_big_digits(relay, device, payer, shop, tmp_path):
    (tmp_path / "token").write_text(device["token"])
    screen_file = tmp_path / "screen"
    command = [METER, "--url", relay.ws_url, "--device", device["id"], "--token-file", tmp_path / "token"]
    terminal = Terminal([*command, "--state", tmp_path / "state", "--screen-file", screen_file], 24, 80)
    try:
        wait_until(lambda: any("Scan to pay" in row for row in terminal.picture()), what="the prices")
        rows = terminal.picture()
        assert len(rows) <= 24 and all(len(row) <= 80 for row in rows)
        assert rows[1].startswith("  █▀▀▀▀▀█ ")  # a finder pattern, below the quiet zone
        pay(relay, payer, shop, amount=100 * MILLI)
        wait_until(lambda: any("███ ███" in row for row in terminal.picture()), what="the digits")
        assert any("+600 s" in row or "noted" in row for row in terminal.picture())
        terminal.resize(10, 30)  # no room for the code
        wait_until(lambda: not any("▀▀▀▀▀█" in row for row in terminal.picture()), what="the small picture")
        assert any("Paid" in row for row in terminal.picture())
        assert "Paid" in screen_file.read_text() and "█▀▀▀▀▀█" in screen_file.read_text()
    finally:
        text = terminal.end()
    assert terminal.process.returncode == 0
    assert text.index("\033[?1049h") < text.index("Scan to pay") < text.index("\033[?1049l")


def test_a_reader_that_stops_reading_holds_nothing_up(relay, device, payer, shop, tmp_path):
    (tmp_path / "token").write_text(device["token"])
    command = [METER, "--json", "--url", relay.ws_url, "--device", device["id"], "--token-file", tmp_path / "token"]
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    pin = tmp_path / "pin"
    meter = subprocess.Popen([*command, "--state", tmp_path / "state", "--pin-file", pin], stdout=writing)
    os.close(writing)
    try:
        pay(relay, payer, shop, count=2, amount=MILLI)
        wait_until(lambda: pin.exists() and pin.read_text() == "on\n", what="the machine")
        started = time.monotonic()
        wait_until(lambda: pin.read_text() == "off\n", 20, "its end")
        assert 10 < time.monotonic() - started < 15
        os.set_blocking(reading, False)
        assert 3000 < len(os.read(reading, 65536)) <= 4096
        os.close(reading)  # and nobody is there at all
        pay(relay, payer, shop, amount=MILLI)
        assert [delivery["seconds"] for delivery in wait_served(relay, device, 3)] == [6, 6, 6]
    finally:
        meter.terminate()
        assert meter.wait(20) == 0
