"""Tariffs that change: each payment is priced by the config that was in force when it was stored, wherever its device was then."""

import threading
import time

import pytest

from paying import hashes, in_order, notify, pay, wait_served
from relay import CONFIG

UNIT = 10**27


def config(seconds, **members):
    """What one UNIT buys."""
    tariff = {"steps": [{"amount": str(UNIT), "seconds": seconds}], "cap_s": 7200, **members.pop("tariff", {})}
    return {"tariff": tariff, **members}


def seconds_of(deliveries):
    return [delivery.get("seconds") for delivery in deliveries]


@pytest.fixture(params=["key", "token"])
def either(request, relay, shop):
    """A device of either kind."""
    device = relay.create_key_device() if request.param == "key" else relay.create_device()
    relay.subscribe(device, shop)
    return device


def test_what_an_operator_sets_is_what_a_live_device_goes_by_from_then_on(relay, either, payer, shop, make_meter):
    first = relay.set_config(either, config(60))
    meter = make_meter(relay, either).plug_in()
    assert meter.wait_for("config")["version"] == first
    pay(relay, payer, shop)
    wait_served(relay, either, 1)
    second = relay.set_config(either, config(90, late_after_s=900, tariff={"minimum": str(UNIT)}))
    told = meter.wait_for("config", 2)
    assert (told["version"], second) == (first + 1, first + 1)
    assert told["config"]["late_after_s"] == 900 and told["config"]["addresses"] == [shop.address]
    pay(relay, payer, shop)
    pay(relay, payer, shop, amount=UNIT - 1)
    deliveries = wait_served(relay, either, 3)
    assert [(delivery["state"], delivery.get("seconds"), delivery.get("reason")) for delivery in deliveries] == [
        ("actuated", 60, None),
        ("actuated", 90, None),
        ("refused", None, "below_minimum"),
    ]


def test_a_subscription_is_a_new_config_that_keeps_the_tariff(relay, either, payer, shop, make_meter, signer):
    version = relay.set_config(either, config(60))
    meter = make_meter(relay, either).plug_in()
    meter.wait_for("welcome")
    other = signer.account("another shop")
    relay.subscribe(either, other)
    told = meter.wait_for("config", 2)
    assert told["version"] == version + 1
    assert told["config"]["addresses"] == [shop.address, other.address]
    assert told["config"]["tariff"]["steps"] == config(60)["tariff"]["steps"]
    pay(relay, payer, other)
    assert seconds_of(wait_served(relay, either, 1)) == [60]


def test_a_tariff_that_changes_while_payments_are_in_flight_prices_only_what_is_stored_later(relay, either, payer, shop, make_meter):
    relay.set_config(either, config(1))
    meter = make_meter(relay, either).plug_in()
    meter.wait_for("welcome")
    expected = []
    for seconds in range(2, 12):
        pay(relay, payer, shop, 5)  # nobody waits for the device
        expected += [seconds - 1] * 5
        relay.set_config(either, config(seconds))
    pay(relay, payer, shop, 5)
    expected += [11] * 5
    assert seconds_of(wait_served(relay, either, len(expected))) == expected
    assert meter.state()["credit_s"] == sum(expected)
    assert meter.of("protocol_error") == []


def test_a_tariff_that_changes_again_and_again_while_others_pay_prices_each_payment_by_the_version_it_names(
    relay, either, payer, shop, make_either_meter
):
    bought = {relay.set_config(either, config(1)): 1}
    meter = make_either_meter(relay, either).plug_in()
    meter.wait_for("welcome")
    notices = [payer.send(shop, UNIT) for _ in range(150)]
    paying = threading.Thread(target=notify, args=(relay, notices))
    paying.start()
    seconds = 1
    while paying.is_alive():
        seconds += 1
        bought[relay.set_config(either, config(seconds))] = seconds
    paying.join()
    wait_served(relay, either, 150)
    priced = meter.of("payment")
    assert [event["seconds"] for event in priced] == [bought[event["config_version"]] for event in priced]
    assert len({event["config_version"] for event in priced}) > 3
    assert meter.of("protocol_error") == []


def test_a_tariff_that_changed_while_the_device_was_away_prices_what_it_missed_by_the_one_of_then(relay, either, payer, shop, make_either_meter):
    relay.set_config(either, config(1))
    meter = make_either_meter(relay, either).plug_in()
    meter.wait_for("welcome")
    meter.pull_the_plug()
    expected = []
    for seconds in (1, 2, 3, 4, 5):
        relay.set_config(either, config(seconds))
        pay(relay, payer, shop, 2)
        expected += [seconds] * 2
    relay.set_config(either, config(99))
    meter.plug_in()
    assert seconds_of(wait_served(relay, either, 10)) == expected
    assert len({event["config_version"] for event in meter.of("payment")}) == 5
    assert meter.of("protocol_error") == []


def test_a_device_that_never_met_the_relay_prices_what_waits_by_the_configs_of_then(make_relay, payer, shop, make_either_meter):
    relay = make_relay(CONFIG + "[limits]\nwindow = 2\npage = 2\n")
    device = relay.create_key_device()
    relay.subscribe(device, shop)
    expected = []
    for seconds in (7, 8, 9):
        relay.set_config(device, config(seconds))
        pay(relay, payer, shop, 3)
        expected += [seconds] * 3
    meter = make_either_meter(relay, device).plug_in()
    assert seconds_of(wait_served(relay, device, 9)) == expected
    assert meter.state()["credit_s"] == sum(expected)


def test_what_was_out_and_not_acked_when_the_plug_was_pulled_keeps_its_price(relay, either, payer, shop, make_either_meter, connect):
    relay.set_config(either, config(1))
    session = connect(relay)
    greet = session.greet_by_key if "secret_key" in either else session.greet
    greet(either)
    notices = pay(relay, payer, shop, 3)
    version = session.receive("payment")["config_version"]
    session.abort()
    for seconds in (2, 3):
        relay.set_config(either, config(seconds))
    meter = make_either_meter(relay, either).plug_in()
    assert seconds_of(wait_served(relay, either, 3)) == [1, 1, 1]
    assert [(event["hash"], event["config_version"]) for event in meter.of("payment")] == [(hash, version) for hash in hashes(notices)]


def test_a_payment_that_comes_too_late_for_its_tariff_is_refused_and_stays_so(relay, either, payer, shop, make_meter):
    relay.set_config(either, config(60, late_after_s=1))
    pay(relay, payer, shop)
    time.sleep(2.2)  # an age is told in whole seconds
    make_meter(relay, either).plug_in()
    (delivery,) = wait_served(relay, either, 1)
    assert (delivery["state"], delivery["reason"]) == ("refused", "too_late")
    relay.set_config(either, config(60))
    assert in_order(relay, either) == [delivery]
