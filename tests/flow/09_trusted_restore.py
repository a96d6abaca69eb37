"""A store that is restored from a backup, and the devices that knew more than it."""

import json
import shutil

import pytest

from paying import hashes, in_order, notify, pay, wait_served
from relay import Relay, run_coinslot, wait_until

PAID = 100


@pytest.fixture
def backup(tmp_path):
    """Saves a relay's store, and puts it in the place of a relay that is then gone for good."""

    class Backup:
        def save(self, relay, name="backup.db"):
            done = run_coinslot("backup", "--data", relay.data, tmp_path / name)
            assert done.returncode == 0, done.stderr

        def restore(self, relay, name="backup.db"):
            """The relay's data folder as it was, at the same address."""
            if relay.process is not None:
                relay.kill()
            shutil.rmtree(relay.data)
            relay.data.mkdir(mode=0o700)
            shutil.copy(tmp_path / name, relay.data / "coinslot.db")
            shutil.copy(tmp_path / f"{name}.key", relay.data / "relay.key")
            return relay.start()

    return Backup()


@pytest.fixture(params=["key", "token"])
def either(request, relay, shop):
    device = relay.create_key_device() if request.param == "key" else relay.create_device()
    relay.subscribe(device, shop)
    return device


def granted(meter):
    return [event["hash"] for event in meter.of("payment") if "seconds" in event]


def test_the_restore_drill_each_payment_is_granted_exactly_once(relay, either, payer, shop, make_either_meter, backup):
    meter = make_either_meter(relay, either).plug_in()
    early = pay(relay, payer, shop, 5)
    wait_served(relay, either, 5)
    backup.save(relay)
    epoch = meter.state()["epoch"]

    lost = pay(relay, payer, shop, PAID)
    meter.wait_for("noted", 5 + PAID)
    backup.restore(relay)
    fresh = pay(relay, payer, shop, PAID)
    wait_served(relay, either, 5 + PAID)
    notify(relay, lost)  # found again: the node tells of them once more
    deliveries = wait_served(relay, either, 5 + 2 * PAID)

    assert sorted(granted(meter)) == sorted(hashes(early + lost + fresh))
    assert len(set(granted(meter))) == 5 + 2 * PAID
    assert [event["hash"] for event in meter.of("granted_before")] == hashes(lost)
    state = meter.state()
    assert state["credit_s"] == 6 * (5 + 2 * PAID)
    assert state["epoch"] != epoch
    # Whom it was told to, and what became of it, stands in the new store as it was in the old one.
    assert [delivery["payment"]["hash"] for delivery in deliveries] == hashes(early + fresh + lost)
    assert {(delivery["state"], delivery["seconds"]) for delivery in deliveries} == {("actuated", 6)}
    assert [delivery["seq"] for delivery in deliveries] == [*range(1, 6), *range(6 + PAID, 6 + 3 * PAID)]
    assert meter.of("gap")[0] == {**meter.of("gap")[0], "from": 6, "to": 5 + PAID, "reason": "store_rolled_back"}
    assert "store_rolled_back" in relay.show_device(either)["warnings"]
    assert meter.of("protocol_error") == []


def test_payments_that_waited_in_the_backup_are_numbered_anew_and_known_by_their_hashes(
    relay, either, payer, shop, make_either_meter, backup
):
    notices = pay(relay, payer, shop, 10)
    backup.save(relay)  # ten are stored, none was sent
    meter = make_either_meter(relay, either).plug_in()
    meter.wait_for("noted", 10)
    meter.stop()
    backup.restore(relay)
    notices += pay(relay, payer, shop, 5)
    meter.plug_in()
    deliveries = wait_served(relay, either, 15)
    assert [delivery["seq"] for delivery in deliveries] == list(range(11, 26))
    assert granted(meter) == hashes(notices)
    assert [event["hash"] for event in meter.of("granted_before")] == hashes(notices[:10])
    assert meter.state()["credit_s"] == 6 * 15


def test_outcomes_of_seqs_that_were_lost_are_noted_so_that_their_device_stops_repeating_them(
    relay, either, payer, shop, make_meter, backup
):
    backup.save(relay)
    meter = make_meter(relay, either).plug_in()
    pay(relay, payer, shop, 3)
    meter.wait_for("noted", 3)
    meter.stop()
    state = meter.state()
    state["outcomes"] = [[2, 6], [3, 6]]  # as if the relay had died before it noted them
    meter.state_path.write_text(json.dumps(state))
    backup.restore(relay)
    (fresh,) = pay(relay, payer, shop, 1)
    meter.plug_in()
    wait_served(relay, either, 1)
    wait_until(lambda: meter.state()["outcomes"] == [], what="the last outcome to be noted")
    assert meter.of("payment")[-1]["hash"] == fresh.hash
    assert meter.of("error") == meter.of("protocol_error") == []


def test_what_was_refused_before_is_refused_again_however_young_it_looks_now(relay, either, payer, shop, make_meter, backup):
    tariff = {"steps": [{"amount": str(10**27), "seconds": 6}], "cap_s": 60}
    relay.set_config(either, {"tariff": tariff})
    backup.save(relay)
    meter = make_meter(relay, either).plug_in()
    lost = pay(relay, payer, shop, amount=10**26)
    meter.wait_for("noted")
    backup.restore(relay)
    # This store's operator is more generous; the payer may have been given his money back meanwhile.
    relay.set_config(either, {"tariff": {**tariff, "minimum": "1"}})
    notify(relay, lost)
    (delivery,) = wait_served(relay, either, 1)
    assert (delivery["state"], delivery["reason"]) == ("refused", "below_minimum")
    assert len(meter.of("refused_before")) == 1


def test_configs_of_the_lost_store_are_forgotten_though_their_versions_come_again(relay, either, payer, shop, make_either_meter, backup):
    def config(seconds):
        return {"tariff": {"steps": [{"amount": str(10**27), "seconds": seconds}], "cap_s": 7200}}

    relay.set_config(either, config(10))
    backup.save(relay)
    lost = relay.set_config(either, config(20))
    meter = make_either_meter(relay, either).plug_in()
    pay(relay, payer, shop, 1)
    wait_served(relay, either, 1)
    meter.stop()
    backup.restore(relay)
    again = relay.set_config(either, config(30))
    assert again == lost
    pay(relay, payer, shop, 1)
    meter.plug_in()
    (delivery,) = wait_served(relay, either, 1)
    assert delivery["seconds"] == 30
    assert meter.state()["credit_s"] == 50


def test_a_store_restored_twice_is_lived_through(relay, either, payer, shop, make_either_meter, backup):
    meter = make_either_meter(relay, either).plug_in()
    everything = pay(relay, payer, shop, 3)
    wait_served(relay, either, 3)
    backup.save(relay)
    for _ in range(2):
        everything += pay(relay, payer, shop, 4)
        meter.wait_for("noted", len(everything))
        backup.restore(relay)
        meter.wait_for("welcome", 2)
    everything += pay(relay, payer, shop, 4)
    notify(relay, everything)
    wait_served(relay, either, len(everything))
    assert sorted(granted(meter)) == sorted(hashes(everything))
    assert meter.state()["credit_s"] == 6 * len(everything)


def test_a_device_without_its_record_goes_on_in_a_restored_store_too(relay, either, payer, shop, make_either_meter, backup):
    """It was exchanged for a new one meanwhile: nothing says what was granted, but nothing is stuck either."""
    pay(relay, payer, shop, 2)
    backup.save(relay)
    old = make_either_meter(relay, either, "old").plug_in()
    old.wait_for("noted", 2)
    old.stop()
    backup.restore(relay)
    new = make_either_meter(relay, either, "new").plug_in()
    wait_served(relay, either, 2)
    assert len(granted(new)) == 2
    assert "store_rolled_back" not in relay.show_device(either)["warnings"]


def test_a_relay_that_is_another_one_altogether_is_not_a_restored_one(tmp_path, relay, key_device, payer, shop, make_meter):
    """Only who has the relay's key can make a device adopt another epoch."""
    meter = make_meter(relay, key_device).plug_in()
    pay(relay, payer, shop, 1)
    meter.wait_for("noted")
    before = meter.state()
    port = relay.ws_port
    relay.stop()
    impostor = Relay(tmp_path / "impostor", ws=f"127.0.0.1:{port}").start()
    try:
        meter.wait_for("relay_not_proven")
        assert meter.state() == before
    finally:
        impostor.close()


def test_the_devices_seqs_have_no_hole_that_is_not_announced(relay, either, payer, shop, connect, backup):
    """What a bare session is told after a roll-back, frame by frame."""
    greet = "greet_by_key" if "secret_key" in either else "greet"
    backup.save(relay)
    first = connect(relay)
    getattr(first, greet)(either)
    pay(relay, payer, shop, 3)
    for _ in range(3):
        first.receive("payment")
    first.send(type="ack", seq=3)
    wait_until(lambda: relay.show_device(either)["acked_seq"] == 3, what="the ack")
    backup.restore(relay)
    (fresh,) = pay(relay, payer, shop, 1)
    again = connect(relay)
    welcome = getattr(again, greet)(either, resume=3, epoch="0" * 32)
    assert (welcome["last_acked"], welcome["pending"]) == (3, 1)
    gap = again.receive("gap")
    assert (gap["from"], gap["to"], gap["reason"]) == (1, 3, "store_rolled_back")
    payment = again.receive("payment")
    assert (payment["seq"], payment["payment"]["hash"]) == (4, fresh.hash)
    again.send(type="actuated", seq=4, seconds=6)
    assert again.receive("noted")["seq"] == 4
    assert [(delivery["seq"], delivery["state"]) for delivery in in_order(relay, either)] == [(4, "actuated")]
