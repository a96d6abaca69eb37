"""SIGKILL to first push: a relay with many payments in its store is killed under way and started again at once; a device gets what waits for it.

The store is filled once, by the relay itself, and kept in build/bench.
"""

import json
import threading
import time

from systems import FOLDER, CoinslotNever, Failure, generate

DEVICES = 1000
CHUNK = 250_000
UNCHECKPOINTED = 5000  # paid and acked right before the kill: they are in the WAL, or in what a checkpoint has to finish


class Kept(CoinslotNever):
    """Its folder stays, with what was paid so far."""

    def __init__(self, stored):
        self.folder, self.wanted, self.stored = FOLDER / f"store-{stored}", {"devices": DEVICES}, stored
        self.folder.mkdir(parents=True, exist_ok=True)
        self.relay = None

    @property
    def paid(self):
        """Payments that were made so far: the next ones have to be others."""
        file = self.folder / "paid"
        return json.loads(file.read_text()) if file.exists() else 0

    def note(self, more):
        (self.folder / "paid").write_text(json.dumps(self.paid + more))

    def import_devices(self):
        if not (self.folder / "devices").exists():
            super().import_devices()

    def fill(self, count):
        first = self.paid
        self.note(count)  # before: what was begun is not made again
        self.run("fill", "--payments", count, "--first", first, "--outstanding", 2048)

    def stop(self):
        if self.relay is not None and self.relay.process is not None:
            self.relay.stop(timeout=300)


def measure_restart(_, size):
    store = Kept(size.stored)
    try:
        store.start()
        while store.paid < size.stored:
            store.fill(min(CHUNK, size.stored - store.paid))
        store.fill(UNCHECKPOINTED)
        first = store.paid
        store.note(1)
        store.run("pay", "--payments", 1, "--first", first)
        return kill_and_wait(store, first)
    finally:
        store.stop()


def kill_and_wait(store, first):
    found = {}
    options = ("--devices", DEVICES, "--payments", 1, "--first", first, *store.ports())

    def wait():
        try:
            found.update(generate("coinslot", "first-push", *options))
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
