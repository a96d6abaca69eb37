"""What a device is told of its tariff, in versions, and devices that are out of service for a while."""

import pytest

from relay import wait_until
from session import Closed

TARIFF = {
    "steps": [{"amount": str(5 * 10**29), "seconds": 600}, {"amount": str(10**30), "seconds": 1500}],
    "minimum": str(10**29),
    "cap_s": 7200,
}


def path_of(device):
    return f"/api/v1/devices/{device['id']}/config"


def refused(reply, status, code, field=None):
    assert (reply.status, reply["code"], reply.value.get("field")) == (status, code, field), reply
    assert reply["detail"] and reply["hint"]


def test_each_change_makes_a_version_and_the_old_ones_stay(relay, device, shop):
    assert relay.rest("GET", path_of(device), role="viewer")["version"] == 1  # of its subscription
    made = relay.rest("PUT", path_of(device), {"tariff": TARIFF, "late_after_s": 900}, role="operator")
    assert made.status == 200
    assert made["version"] == 2
    assert made["config"] == {"addresses": [shop.address], "tariff": TARIFF, "late_after_s": 900}
    assert relay.rest("GET", path_of(device), role="viewer").value == made.value
    (subscription,) = relay.rest("GET", f"/api/v1/devices/{device['id']}/subscriptions")["items"]
    assert relay.rest("DELETE", f"/api/v1/devices/{device['id']}/subscriptions/{subscription['id']}").status == 204
    relay.restart()
    now = relay.rest("GET", path_of(device), role="viewer")
    assert (now["version"], now["config"]) == (3, {**made["config"], "addresses": []})
    assert relay.rest("GET", path_of(device) + "?version=2").value == made.value
    assert relay.rest("GET", path_of(device) + "?version=1")["config"] == {"addresses": [shop.address]}
    assert relay.rest("GET", f"/api/v1/devices/{device['id']}")["config_version"] == 3
    refused(relay.rest("GET", path_of(device) + "?version=4"), 404, "config_not_found", "version")
    refused(relay.rest("GET", path_of(device) + "?version=first"), 400, "invalid_parameter", "version")


def test_what_may_be_left_out_is_filled_in(relay):
    device = relay.create_device()
    refused(relay.rest("GET", path_of(device)), 404, "config_not_found")
    steps = [{"amount": "7", "seconds": 1}]
    made = relay.rest("PUT", path_of(device), {"tariff": {"steps": steps, "cap_s": 1}})
    assert made["config"] == {
        "addresses": [],
        "tariff": {"steps": [{"amount": "7", "seconds": 1}], "minimum": "0", "cap_s": 1},
        "late_after_s": None,
    }


@pytest.mark.parametrize(
    "change, code, field",
    [
        ({"steps": []}, "invalid_field", "tariff.steps"),
        ({"steps": [{"amount": str(n + 1), "seconds": 1} for n in range(33)]}, "invalid_field", "tariff.steps"),
        ({"steps": TARIFF["steps"][::-1]}, "invalid_field", "tariff.steps[1].amount"),
        ({"steps": [{"amount": 1e30, "seconds": 600}]}, "invalid_field", "tariff.steps[0].amount"),
        ({"steps": [{"amount": "1", "seconds": 2**31}]}, "invalid_field", "tariff.steps[0].seconds"),
        ({"cap_s": 0}, "invalid_field", "tariff.cap_s"),
        ({"minimum": "-1"}, "invalid_field", "tariff.minimum"),
        ({"currency": "XNO"}, "unknown_field", "tariff.currency"),
    ],
)
def test_a_tariff_that_cannot_be_is_refused_with_its_field(relay, change, code, field):
    device = relay.create_device()
    refused(relay.rest("PUT", path_of(device), {"tariff": {**TARIFF, **change}}), 422, code, field)
    refused(relay.rest("GET", path_of(device)), 404, "config_not_found")


def test_a_config_that_no_frame_could_hold_is_refused(relay):
    device = relay.create_device()
    steps = [{"amount": str(10**38 + n), "seconds": 2**31 - 1} for n in range(32)]
    refused(relay.rest("PUT", path_of(device), {"tariff": {**TARIFF, "steps": steps}}), 422, "invalid_field", "tariff")


def test_a_disabled_device_is_refused_while_its_payments_wait(relay, device, connect, node, payer, shop):
    path = f"/api/v1/devices/{device['id']}"
    session = connect(relay)
    session.greet(device)
    wait_until(lambda: relay.rest("GET", path)["connected"], what="connected")
    changed = relay.rest("PATCH", path, {"state": "disabled"}, role="operator")
    assert (changed.status, changed["state"]) == (200, "disabled")
    with pytest.raises(Closed):
        while True:
            session.receive()
    again = connect(relay)
    again.hello(device)
    assert again.receive("error")["code"] == "disabled"
    with pytest.raises(Closed):
        again.receive()
    assert node.notify(payer.send(shop, 10**27)).status == 200
    relay.restart()
    assert relay.rest("GET", path)["state"] == "disabled"
    assert [delivery["state"] for delivery in relay.deliveries(device=device["id"])] == ["stored"]
    assert relay.rest("PATCH", path, {"state": "active"}, role="operator")["state"] == "active"
    session = connect(relay)
    assert session.greet(device)["pending"] == 1
    assert relay.rest("DELETE", path).status == 204
    refused(relay.rest("PATCH", path, {"state": "active"}), 409, "device_retired", "device")
