"""The meter for Linux boards against the real relay: what drivers see, and what the machine does."""

import time

import pytest

from paying import in_order, pay, wait_served
from relay import wait_until

MILLI = 10**27  # 0.001 nano


def tariff(amount, seconds, cap_s=7200, late_after_s=900):
    return {"tariff": {"steps": [{"amount": str(amount), "seconds": seconds}], "cap_s": cap_s}, "late_after_s": late_after_s}


TARIFF = tariff(100 * MILLI, 600)


@pytest.fixture(params=["key", "token"])
def any_device(request):
    return request.getfixturevalue("key_device" if request.param == "key" else "device")


def test_a_driver_pays_and_pays_again_and_too_little(relay, any_device, payer, shop, make_posix_meter):
    relay.set_config(any_device, TARIFF)
    meter = make_posix_meter(relay, any_device).plug_in()
    prices = meter.wait_screen("prices")
    assert prices["lines"] == ["Scan to pay", "0.1 = 10 min", "at most 2 h"]
    assert prices["qr"] == f"nano:{shop.address}?amount={100 * MILLI}"
    assert not meter.pin

    pay(relay, payer, shop, amount=100 * MILLI)
    paid = meter.wait_screen("paid")
    assert paid["lines"][0] == "Paid" and paid["lines"][1] in ("10:00", "9:59", "9:58")
    assert paid["qr"] == prices["qr"]
    wait_until(lambda: meter.pin, what="the pin")
    meter.wait_screen("paid", lambda screen: screen["remaining_s"] <= 597)

    pay(relay, payer, shop, amount=50 * MILLI)
    not_enough = meter.wait_screen("not_enough")
    assert not_enough["lines"] == ["Not enough", "0.05 more", "Pay 0.1 at once", "Ask for your money"]
    assert not_enough["remaining_s"] > 0 and meter.pin

    pay(relay, payer, shop, amount=200 * MILLI)
    topped_up = meter.wait_screen("paid", lambda screen: screen["remaining_s"] > 600)
    assert "+20:00" in topped_up["lines"] and 1780 <= topped_up["remaining_s"] <= 1797

    outcomes = [(d["state"], d.get("seconds"), d.get("reason")) for d in wait_served(relay, any_device, 3)]
    assert outcomes == [("actuated", 600, None), ("refused", None, "below_minimum"), ("actuated", 1200, None)]
    meter.wait_for("noted", 3)
    events = [(event["seq"], event.get("seconds", event.get("refused"))) for event in meter.of("payment")]
    assert events == [(1, 600), (2, "below_minimum"), (3, 1200)]
    assert meter.of("payment")[-1]["credit_s"] == 1800
    meter.stop()
    assert not meter.pin


def test_without_its_relay_it_says_not_to_pay_and_goes_on_counting_down(relay, key_device, payer, shop, make_posix_meter, make_proxy):
    relay.set_config(key_device, tariff(MILLI, 4))
    proxy = make_proxy(relay)
    meter = make_posix_meter(proxy, key_device).plug_in()
    meter.wait_screen("prices")
    relay.kill()
    meter.wait_screen("dont_pay", timeout=5)
    relay.start()
    meter.wait_screen("prices", timeout=20)
    pay(relay, payer, shop, amount=MILLI)
    meter.wait_screen("paid", lambda screen: screen["qr"] != "")
    proxy.open = False
    proxy.cut()
    closed = meter.wait_screen("paid", lambda screen: screen["qr"] == "", timeout=5)
    assert closed["lines"][-1] == "Don't pay now"
    dont_pay = meter.wait_screen("dont_pay", timeout=12)
    assert dont_pay["lines"] == ["Don't pay now", "No connection"] and dont_pay["qr"] == ""
    assert not meter.pin
    on, off = meter.of("pin")
    assert (on["on"], off["on"]) == (True, False) and 3500 <= off["at"] - on["at"] <= 5500
    proxy.open = True
    meter.wait_screen("prices", timeout=40)
    assert meter.state()["credit_s"] == 4


def test_what_was_paid_too_long_ago_is_refused(relay, key_device, payer, shop, make_posix_meter):
    relay.set_config(key_device, tariff(MILLI, 6, late_after_s=1))
    pay(relay, payer, shop, amount=MILLI)
    wait_until(lambda: in_order(relay, key_device)[0]["state"] == "stored", what="the payment")
    time.sleep(2.5)
    meter = make_posix_meter(relay, key_device).plug_in()
    too_late = meter.wait_screen("too_late")
    assert too_late["lines"] == ["Payment came too late", "Ask for your money"]
    assert wait_served(relay, key_device, 1)[0]["reason"] == "too_late"
    assert meter.state()["credit_s"] == 0 and meter.of("pin") == []


def test_a_new_tariff_is_shown_at_once_and_the_meter_s_own_one_cannot_be_changed(relay, key_device, payer, shop, make_posix_meter):
    own = ("--own-tariff", "--steps", "0.003:60", "--steps", "0.001:10", "--minimum", "0.0005", "--cap-s", "100")
    stubborn = make_posix_meter(relay, key_device, arguments=own).plug_in()
    lines = ["Scan to pay", "0.001 = 10 s", "0.003 = 1 min", "at most 1 min 40 s"]
    stubborn.wait_screen("prices", lambda screen: screen["lines"] == lines)
    relay.set_config(key_device, TARIFF)
    stubborn.wait_for("config", 2)
    assert stubborn.screen()["lines"] == lines
    pay(relay, payer, shop, amount=MILLI // 2)
    assert wait_served(relay, key_device, 1)[0]["seconds"] == 5
    stubborn.stop()

    meter = make_posix_meter(relay, key_device).plug_in()  # what it remembers is the same meter's
    meter.wait_for("welcome")
    relay.set_config(key_device, tariff(7 * MILLI, 60))
    meter.wait_screen("prices", lambda screen: "0.007 = 1 min" in screen["lines"])
