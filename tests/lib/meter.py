"""The reference device as a process of its own, whose plug can be pulled."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

CLIENT = Path(__file__).resolve().parent.parent.parent / "clients" / "python"


class Meter:
    def __init__(self, folder, url, device, arguments=()):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state_path = self.folder / "state.json"
        self._command = [
            *(sys.executable, "-m", "coinslot.device", "--json", "--url", url, "--device", device["id"]),
            *(*self._credential(device), "--state", str(self.state_path), *arguments),
        ]
        self.events = []  # of all its lives
        self._changed = threading.Condition()
        self._process = None

    def _credential(self, device):
        """The device's token, or its key and the relay's."""
        kind = "token" if "token" in device else "key"
        file = self.folder / kind
        file.write_text(device["token" if kind == "token" else "secret_key"])
        relay_keys = [] if kind == "token" else device["relay_keys"]
        return [f"--{kind}-file", str(file), *(argument for key in relay_keys for argument in ("--relay-key", key))]

    def plug_in(self):
        assert self._process is None
        self._process = self._start()
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()
        return self

    def _start(self):
        return subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(CLIENT)})

    def _read(self, lines):
        for line in lines:
            with self._changed:
                self.events.append(json.loads(line))
                self._changed.notify_all()

    def pull_the_plug(self):
        self._process.kill()
        self._ended()

    def stop(self):
        """SIGTERM; it has to exit 0."""
        self._process.terminate()
        assert self._ended() == 0

    def close(self):
        if self._process is not None:
            self.pull_the_plug()

    def wait_exit(self, timeout=20):
        self._process.wait(timeout)
        return self._ended()

    def _ended(self):
        code = self._process.wait(20)
        self._reader.join(20)
        self._process.stdout.close()
        self._process = None
        return code

    def of(self, kind):
        with self._changed:
            return [event for event in self.events if event["event"] == kind]

    def wait_for(self, kind, count=1, timeout=30):
        """Until that many events of this kind have come in all its lives; returns the last of them."""
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                found = [event for event in self.events if event["event"] == kind]
                if len(found) >= count:
                    return found[count - 1]
                assert self._changed.wait(end - time.monotonic()), f"{len(found)} of {count} {kind} came: {self.events[-20:]}"

    def state(self):
        return json.loads(self.state_path.read_text())
