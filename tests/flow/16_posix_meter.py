"""The meter for Linux boards against the real relay: what drivers see, and what the machine does."""

import pytest

from paying import in_order, notify, pay, wait_served
from relay import wait_until

MILLI = 10**27  # 0.001 nano
TARIFF = {"tariff": {"steps": [{"amount": str(100 * MILLI), "seconds": 600}], "cap_s": 7200}, "late_after_s": 900}


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
