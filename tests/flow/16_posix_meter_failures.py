"""The meter for Linux boards when the power, the network, the relay, the disk or its own memory fails."""

import random
import signal
import subprocess
import threading
import time

import pytest

from paying import in_order, notify, pay, wait_served
from relay import wait_until

MILLI = 10**27  # 0.001 nano
SIX_SECONDS = {"tariff": {"steps": [{"amount": str(MILLI), "seconds": 6}], "cap_s": 7200}, "late_after_s": None}


def ran_s(meter, pulled):
    """For how long its machine ran in all its lives; `pulled`: when its plug was, by this machine's clock."""
    ran_ms, since = 0, None
    ends = [{"at": 1000 * at, "on": False} for at in pulled]
    for event in sorted([*meter.of("pin"), *ends], key=lambda event: event["at"]):
        ran_ms += event["at"] - since if since is not None else 0
        since = event["at"] if event["on"] else None
    return ran_ms / 1000


def test_a_power_cut_costs_at_most_thirty_seconds_and_switches_the_machine_off(relay, key_device, payer, shop, make_posix_meter):
    relay.set_config(key_device, SIX_SECONDS)
    meter = make_posix_meter(relay, key_device).plug_in()
    meter.wait_for("welcome")
    pay(relay, payer, shop, amount=100 * MILLI)
    wait_until(lambda: meter.pin, what="the pin")
    before = meter.wait_screen("paid", lambda screen: screen["remaining_s"] <= 598)["remaining_s"]
    pulled = []
    for _ in range(3):
        meter.pull_the_plug()
        pulled.append(time.time())
        wait_until(lambda: not meter.pin, 5, "the pin without its meter")
        left = meter.state()["remaining_s"]
        assert before - 31 <= left <= before
        assert 600 - 31 * len(pulled) <= ran_s(meter, pulled) + left <= 601  # nothing runs twice
        meter.plug_in()
        before = meter.wait_for("started", len(pulled) + 1)["remaining_s"]
        assert before == left
        wait_until(lambda: meter.pin, what="the pin, again")  # what is paid runs, with the relay or without
        time.sleep(random.uniform(0, 1))
    meter.pull_the_plug()
    assert meter.state()["credit_s"] == 600


def test_a_meter_that_hangs_does_not_run_the_machine(relay, key_device, payer, shop, make_posix_meter):
    meter = make_posix_meter(relay, key_device).plug_in()
    meter.wait_for("welcome")
    pay(relay, payer, shop, amount=100 * MILLI)
    wait_until(lambda: meter.pin, what="the pin")
    meter.signal(signal.SIGSTOP)
    try:
        wait_until(lambda: not meter.pin, 8, "the guard")
    finally:
        meter.signal(signal.SIGCONT)
    wait_until(lambda: meter.pin, what="the pin, again")
    left = meter.wait_screen("paid")["remaining_s"]
    assert left > 580  # what hung is not counted as served, but for one tick


def test_plugs_and_cables_pulled_at_random_lose_no_payment_and_count_none_twice(
    relay, key_device, payer, shop, make_posix_meter, make_proxy
):
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    relay.set_config(key_device, SIX_SECONDS)
    proxy = make_proxy(relay)
    meter = make_posix_meter(proxy, key_device).plug_in()
    meter.wait_for("welcome")
    notices = [payer.send(shop, MILLI) for _ in range(60)]
    paying = threading.Thread(target=notify, args=(relay, notices))
    paying.start()
    for _ in range(6):
        time.sleep(chance.uniform(0, 1))
        if chance.random() < 0.6:
            meter.pull_the_plug()
            meter.plug_in()
        else:
            proxy.cut()
    paying.join()
    deliveries = wait_served(relay, key_device, 60)
    assert [delivery["seconds"] for delivery in deliveries] == 60 * [6]
    wait_until(lambda: meter.state()["credit_s"] == 360, what="the credit")
    assert meter.of("protocol_error") == [] and meter.of("frame_not_proven") == []


def test_a_silent_relay_is_left_and_found_again(relay, key_device, make_posix_meter):
    meter = make_posix_meter(relay, key_device, arguments=("--ping-s", "1", "--pong-s", "1")).plug_in()
    meter.wait_screen("prices")
    time.sleep(4)  # it is pinged, and answers
    assert meter.of("waiting") == []
    relay.process.send_signal(signal.SIGSTOP)
    try:
        meter.wait_screen("dont_pay", timeout=8)
        assert meter.wait_for("waiting")["reason"] == "it is silent"
    finally:
        relay.process.send_signal(signal.SIGCONT)
    meter.wait_screen("prices")


def test_what_is_no_memory_of_this_meter_is_not_believed(relay, key_device, payer, shop, make_posix_meter):
    relay.set_config(key_device, SIX_SECONDS)
    meter = make_posix_meter(relay, key_device).plug_in()
    meter.wait_for("welcome")
    pay(relay, payer, shop, count=3, amount=MILLI)
    meter.wait_for("noted", 3)
    meter.stop()
    assert meter.state()["credit_s"] == 18
    records = sorted(meter.state_path.glob("record-*"), key=lambda path: path.stat().st_mtime_ns)
    assert len(records) == 2

    records[1].write_bytes(records[1].read_bytes()[:-1])  # the newest is torn: the other one holds
    assert meter.state()["seq"] in (1, 2, 3)
    whole = records[0].read_bytes()
    for spoilt in (b"", b"\0" * 4096, whole[:40], whole[:40] + bytes([whole[40] ^ 1]) + whole[41:], b"x" * 10**6):
        for record in records:
            record.write_bytes(spoilt)
        assert (meter.state()["seq"], meter.state()["credit_s"], meter.state()["remaining_s"]) == (0, 0, 0)
    records[0].unlink()
    records[0].mkdir()
    records[1].unlink()
    records[1].symlink_to("/dev/zero")
    meter.plug_in()
    meter.wait_screen("out_of_service")  # nor can it be written
    assert "directory" in meter.wait_for("store_failed")["why"]
    meter.pull_the_plug()
    records[0].rmdir()
    records[1].unlink()

    foreign = make_posix_meter(relay, {**key_device, "id": "dev_someoneelse00000"}, name="foreign")
    foreign.state_path.mkdir(parents=True)
    for record in records:
        (foreign.state_path / record.name).write_bytes(whole)
    assert foreign.state()["credit_s"] == 0

    meter.plug_in()
    assert meter.wait_for("state_lost")["to"] == 3
    pay(relay, payer, shop, amount=MILLI)
    meter.wait_for("noted", 4)
    assert meter.state()["credit_s"] == 6
    meter.stop()


def test_on_a_full_disk_nobody_is_served_for_money_that_it_would_forget(relay, key_device, payer, shop, make_posix_meter, tmp_path):
    folder = tmp_path / "meter"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
    meter = make_posix_meter(relay, key_device)
    try:
        relay.set_config(key_device, SIX_SECONDS)
        meter.plug_in()
        meter.wait_screen("prices")
        pay(relay, payer, shop, amount=MILLI)
        meter.wait_for("noted")
        meter.wait_screen("prices", timeout=10)  # and all of it has run
        filler = folder / "filler"
        with open(filler, "wb", 0) as file, pytest.raises(OSError):
            while True:
                file.write(b"x" * 1024)
        pay(relay, payer, shop, amount=MILLI)
        out = meter.wait_screen("out_of_service")
        assert out["lines"] == ["Out of service", "Don't pay now"]
        assert "No space left" in meter.wait_for("store_failed")["why"]
        assert in_order(relay, key_device)[1]["state"] in ("stored", "sent")
        meter.pull_the_plug()
        filler.unlink()
        meter.plug_in()
        assert [delivery["seconds"] for delivery in wait_served(relay, key_device, 2)] == [6, 6]
        wait_until(lambda: meter.state()["credit_s"] == 12, what="the credit")
        meter.stop()
    finally:
        meter.close()
        subprocess.run(["umount", "-l", str(folder)], check=True)
