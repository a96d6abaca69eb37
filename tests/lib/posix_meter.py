"""The meter for Linux boards, as a process whose plug can be pulled; with the reference device's face (meter.py)."""

import json
import os
import subprocess

from meter import Meter
from relay import BINARY, assert_clean

METER = BINARY.parent / "coinslot-meter"


def run_meter(*arguments, timeout=30):
    """What ends by itself."""
    return subprocess.run(
        [str(METER), *map(str, arguments)], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
    )


class PosixMeter(Meter):
    def __init__(self, folder, url, device, arguments=()):
        super().__init__(folder, url, device)
        self.state_path = self.folder / "state"
        self.pin_path = self.folder / "pin"
        self.log = self.folder / "meter.log"
        self._device = device
        self._command = [
            *(str(METER), "--json", "--url", url, "--device", device["id"], *self._credential(device)),
            *("--state", str(self.state_path), "--pin-file", str(self.pin_path), *map(str, arguments)),
        ]

    def _start(self):
        with open(self.log, "ab") as log:
            return subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)

    def close(self):
        super().close()
        assert_clean(self.stderr())

    def stderr(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def pid(self):
        return self._process.pid

    def signal(self, number):
        os.kill(self.pid, number)

    def state(self):
        """What it remembers; beside a running one, too."""
        done = run_meter("--show", "--state", self.state_path, "--device", self._device["id"])
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    # ---- what people see ------------------------------------------------------------------------------------------------

    @property
    def pin(self):
        """Whether the machine runs."""
        return self.pin_path.read_text() == "on\n"

    def screen(self):
        screens = self.of("screen")
        return screens[-1] if screens else None

    def wait_screen(self, kind, check=lambda screen: True, timeout=30):
        """Until what it shows now is of that kind."""
        return self._wait(lambda: self._shown(kind, check), timeout, lambda: f"the screen {kind}; it shows {self.events[-5:]}")

    def _shown(self, kind, check):
        shown = next((event for event in reversed(self.events) if event["event"] == "screen"), None)
        return shown if shown and shown["kind"] == kind and check(shown) else None

    def _wait(self, find, timeout, what):
        with self._changed:
            found = self._changed.wait_for(find, timeout)
            assert found, f"waited {timeout} s for {what()}"
            return found
