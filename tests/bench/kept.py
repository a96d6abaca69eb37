"""A relay with much in its store, which is filled once, by the relay itself, and kept in build/bench: how it starts again, and what it can still do."""

import json
import shutil
import threading
import time

from systems import FOLDER, CoinslotNever, Failure, generate

DEVICES = 1000  # those that are paid; the others are only there
CHUNK = 250_000
IMPORT = 20_000  # devices at once
UNCHECKPOINTED = 5000  # paid and acked right before the kill: they are in the WAL, or in what a checkpoint has to finish


class Kept(CoinslotNever):
    def __init__(self, size):
        self.size, self.wanted = size, {"devices": DEVICES}
        self.folder = FOLDER / f"store-{size.stored}-{size.registered}-{size.addresses}"
        if (self.folder / "in use").exists():  # a run did not come to its end: what waits there now would be nobody's
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "in use").touch()
        self.relay = None

    @property
    def paid(self):
        """Payments that were made so far: the next ones have to be others."""
        file = self.folder / "paid"
        return json.loads(file.read_text()) if file.exists() else 0

    def next(self, count):
        """The options for so many payments that were never made; noted before they are."""
        first = self.paid
        (self.folder / "paid").write_text(json.dumps(first + count))
        return ("--payments", count, "--first", first)

    def start(self):
        super().start()
        while self.paid < self.size.stored:
            self.fill(min(CHUNK, self.size.stored - self.paid))
        return self

    def import_devices(self):
        if not (self.folder / "complete").exists():
            self.import_some(0, DEVICES, "devices", f"addresses={self.size.addresses}")
            for first in range(DEVICES, self.size.registered, IMPORT):
                self.import_some(first, min(IMPORT, self.size.registered - first), "others", f"addresses={self.size.addresses}")
            (self.folder / "complete").touch()

    def fill(self, count):
        found = self.run("fill", *self.next(count), "--outstanding", 2048)
        self.settle(found)

    def stop(self):
        if self.relay is not None and self.relay.process is not None:
            self.relay.stop(timeout=300)

    def keep(self):
        """All that was paid has arrived: another run may go on from here."""
        (self.folder / "in use").unlink()


def measure_restart(_, size):
    store = Kept(size)
    try:
        store.start()
        store.fill(UNCHECKPOINTED)
        options = store.next(1)
        store.run("pay", *options)
        found = kill_and_wait(store, options)
        store.keep()
        return found
    finally:
        store.stop()


def kill_and_wait(store, payment):
    found = {}

    def wait():
        try:
            found.update(generate("coinslot", "first-push", "--devices", DEVICES, *payment, *store.ports()))
        except Failure as failure:
            found["failure"] = failure

    waiter = threading.Thread(target=wait)
    killed_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    store.relay.kill()
    waiter.start()
    store.relay.start(timeout=300)
    ready_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    waiter.join()
    if "failure" in found:
        raise found["failure"]
    return {"ms": (found["received_ns"] - killed_ns) / 1e6, "ready_ms": (ready_ns - killed_ns) / 1e6, "stored": store.paid, "counts": found["counts"]}
