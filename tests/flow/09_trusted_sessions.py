"""Sessions by key: who may, over what, with which of the relay's keys."""

import pytest

from coinslot.credential import DeviceKey, RelayNotProven
from network import ADDRESS, run_in_own_network
from paying import hashes, in_order, pay, wait_served
from relay import CONFIG, Relay, wait_until
from session import Loop, Session


def assert_served(meter, notices, credit_s):
    assert [event["hash"] for event in meter.of("payment")] == hashes(notices)
    assert meter.state()["credit_s"] == credit_s


def test_a_device_registered_by_its_public_key_is_paid_end_to_end(relay, key_device, payer, shop, make_meter):
    meter = make_meter(relay, key_device).plug_in()
    meter.wait_for("welcome")
    notices = pay(relay, payer, shop, 3)
    meter.wait_for("noted", 3)
    delivery = wait_served(relay, key_device, 3)[0]
    assert (delivery["state"], delivery["seconds"], delivery["payment"]["hash"]) == ("actuated", 6, notices[0].hash)
    assert_served(meter, notices, 18)
    assert meter.of("frame_not_proven") == meter.of("relay_not_proven") == []


def test_a_device_whose_pair_the_relay_made_is_paid_end_to_end(relay, payer, shop, make_meter):
    device = relay.create_device("Meter", auth="key")
    relay.subscribe(device, shop)
    assert DeviceKey.parse(device["secret_key"]).public.hex() == device["public_key"]
    assert "secret_key" not in relay.show_device(device)
    meter = make_meter(relay, device).plug_in()
    notices = pay(relay, payer, shop, 2)
    meter.wait_for("noted", 2)
    assert_served(meter, notices, 12)


def test_a_session_by_key_outlives_restarts_and_kills_of_the_relay(relay, key_device, payer, shop, make_meter):
    meter = make_meter(relay, key_device).plug_in()
    notices = pay(relay, payer, shop, 3)
    meter.wait_for("noted", 3)
    relay.restart()
    notices += pay(relay, payer, shop, 3)
    meter.wait_for("noted", 6)
    relay.kill()
    relay.start()
    notices += pay(relay, payer, shop, 3)
    wait_served(relay, key_device, 9)
    meter.pull_the_plug()
    notices += pay(relay, payer, shop, 3)
    meter.plug_in()
    wait_served(relay, key_device, 12)
    assert_served(meter, notices, 72)
    assert meter.of("frame_not_proven") == meter.of("relay_not_proven") == meter.of("protocol_error") == []


# ---- who may ---------------------------------------------------------------------------------------------------------------


def test_a_stranger_with_a_key_of_its_own_and_an_unknown_device_are_told_the_same(relay, key_device, connect):
    other = relay.create_key_device("Other")
    strangers = [
        {**key_device, "secret_key": other["secret_key"]},
        {**key_device, "id": "dev_aaaaaaaaaaaaaaaa"},
    ]
    told = []
    for stranger in strangers:
        session = connect(relay)
        session.hello_by_key(stranger)
        told.append(session.receive("error"))
        assert session.receive_close() == 4002
    assert told[0] == told[1]
    assert not relay.show_device(key_device)["connected"]


def test_neither_credential_is_taken_for_the_other(relay, device, key_device, connect):
    session = connect(relay)
    session.hello({**key_device, "token": device["token"]})
    assert session.receive_close() == 4002
    session = connect(relay)
    session.hello_by_key({**device, "secret_key": "11" * 32, "relay_keys": key_device["relay_keys"]})
    assert session.receive_close() == 4002


def test_one_public_key_is_one_device(relay, key_device):
    public = DeviceKey.parse(key_device["secret_key"]).public.hex()
    again = relay.rest("POST", "/api/v1/devices", {"name": "Again", "auth": "key", "public_key": public})
    assert again.status == 409


def test_a_key_may_cross_a_plain_network_and_a_token_may_not(tmp_path):
    def elsewhere():
        loop = Loop()
        relay = Relay(tmp_path / "relay", ws="0.0.0.0:0").start()
        by_token, by_key = relay.create_device(), relay.create_key_device()
        session = Session(loop, f"ws://{ADDRESS}:{relay.ws_port}")
        session.hello(by_token)
        assert session.receive_close() == 4005
        session = Session(loop, f"ws://{ADDRESS}:{relay.ws_port}")
        session.greet_by_key(by_key)
        session.send(type="status", uptime_s=1)
        session.abort()
        relay.close()

    run_in_own_network(elsewhere)


def test_a_disabled_device_is_closed_and_its_payments_wait_until_it_is_enabled_again(
    relay, key_device, payer, shop, make_meter, connect
):
    meter = make_meter(relay, key_device).plug_in()
    before = pay(relay, payer, shop, 1)
    meter.wait_for("noted")
    assert relay.change_device(key_device, state="disabled")["state"] == "disabled"
    assert meter.wait_for("error")["code"] == "disabled"
    assert meter.wait_for("waiting")["code"] == 4006
    meter.stop()
    waiting = pay(relay, payer, shop, 2)
    assert [delivery["state"] for delivery in in_order(relay, key_device)] == ["actuated", "stored", "stored"]
    refused = connect(relay)
    refused.hello_by_key(key_device)
    assert refused.receive_close() == 4006
    assert relay.change_device(key_device, state="active")["state"] == "active"
    meter.plug_in()
    wait_served(relay, key_device, 3)
    assert_served(meter, before + waiting, 18)


def test_a_retired_device_stops_for_good_only_by_the_relays_own_word(relay, key_device, make_meter):
    meter = make_meter(relay, key_device).plug_in()
    meter.wait_for("welcome")
    assert relay.rest("DELETE", f"/api/v1/devices/{key_device['id']}").status == 204
    assert meter.wait_for("stopped")["code"] == 4007
    assert meter.wait_exit() == 1
    # Before the welcome nothing is proven, so this life goes on trying.
    meter.plug_in()
    assert meter.wait_for("waiting")["code"] == 4007
    meter.stop()


def test_a_credential_in_two_machines_is_named_to_operators(relay, device, key_device, connect):
    assert relay.show_device(key_device)["warnings"] == []
    for _ in range(3):
        for _ in range(2):
            connect(relay).greet_by_key(key_device)
            connect(relay).greet(device)
    for flapping in (device, key_device):
        assert "duplicate_credential" in relay.show_device(flapping)["warnings"]
        assert relay.stderr().count(f"device {flapping['id']}: duplicate_credential") == 1


def test_one_session_after_another_is_no_flapping(relay, key_device, connect):
    for _ in range(8):
        session = connect(relay)
        session.greet_by_key(key_device)
        session.close()
        wait_until(lambda: not relay.show_device(key_device)["connected"], what="the end of the session")
    assert relay.show_device(key_device)["warnings"] == []


# ---- the relay's keys ---------------------------------------------------------------------------------------------------------


def roll(relay):
    reply = relay.rest("POST", "/api/v1/relay/roll-key")
    assert reply.status == 200, reply
    return reply["relay_keys"]


def test_a_device_that_pins_the_relays_next_key_too_lives_through_a_roll(relay, key_device, payer, shop, make_meter):
    pinned = key_device["relay_keys"]
    assert len(set(pinned)) == 2
    both = make_meter(relay, key_device, "both").plug_in()
    both.wait_for("welcome")
    keys = roll(relay)
    assert keys[0] == pinned[1] and keys[1] not in pinned
    pay(relay, payer, shop, 1)
    both.wait_for("noted")  # a session under way goes on
    relay.restart()
    pay(relay, payer, shop, 1)
    both.wait_for("noted", 2)
    both.stop()
    stale = make_meter(relay, {**key_device, "relay_keys": pinned[:1]}, "stale").plug_in()
    assert keys[0] in stale.wait_for("relay_not_proven")["message"]
    assert stale.of("welcome") == [] and not stale.state_path.exists()
    stale.close()
    roll(relay)
    stranded = make_meter(relay, key_device, "both").plug_in()
    stranded.wait_for("relay_not_proven")
    renewed = make_meter(relay, {**key_device, "relay_keys": roll(relay)}, "renewed").plug_in()
    renewed.wait_for("welcome")


def test_the_relays_key_outlives_its_restart(relay, key_device, connect):
    before = relay.rest("GET", "/api/v1/relay")["relay_keys"]
    relay.restart()
    assert relay.rest("GET", "/api/v1/relay")["relay_keys"] == before == key_device["relay_keys"]
    connect(relay).greet_by_key({**key_device, "relay_keys": before[:1]})


def test_another_relay_at_the_same_address_is_not_believed(relay, key_device, make_relay, payer, shop, make_meter, loop):
    impostor = make_relay(CONFIG, "impostor")
    session = Session(loop, impostor.ws_url)
    with pytest.raises(RelayNotProven):
        session.hello_by_key(key_device)
    session.abort()
    meter = make_meter(impostor, key_device).plug_in()
    meter.wait_for("relay_not_proven")
    assert meter.of("welcome") == [] and not meter.state_path.exists()


# ---- what is known of a device ------------------------------------------------------------------------------------------------


def test_what_a_device_says_of_itself_is_shown_to_operators(relay, key_device, payer, shop, make_meter):
    meter = make_meter(relay, key_device).plug_in()
    meter.wait_for("welcome")
    wait_until(lambda: relay.show_device(key_device)["status"]["relay_on"] is not None, what="the status")
    shown = relay.show_device(key_device)["status"]
    assert shown["firmware"].startswith("coinslot-python/")
    assert (shown["relay_on"], shown["remaining_s"], shown["config_version"]) == (False, 0, 1)
    assert relay.show_device(key_device)["connected"] is True


def test_the_state_says_that_nothing_is_proven_to_be_complete_and_that_paying_is_fine(relay, key_device, payer, shop, make_meter):
    pay(relay, payer, shop, 2)
    meter = make_meter(relay, key_device).plug_in()
    meter.wait_for("noted", 2)
    wait_until(lambda: meter.of("state") and meter.of("state")[-1]["reason"] == "unproven", what="the state")
    last = meter.of("state")[-1]
    assert (last["caught_up"], last["payable"]) == (False, True)
