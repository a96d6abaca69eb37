"""Deliveries, payments, health and metrics over REST."""

import json
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

import pytest

from relay import wait_until

PRICE = 10**27


def pay(node, payer, shop, count, amount=PRICE):
    hashes = []
    for _ in range(count):
        notice = payer.send(shop, amount)
        assert node.notify(notice).status == 200
        hashes.append(notice.hash)
    return hashes


def test_pages_hold_each_delivery_once_while_payments_keep_arriving(relay, device, node, payer, shop):
    hashes = pay(node, payer, shop, 25)
    first = relay.rest("GET", "/api/v1/deliveries?limit=10", role="viewer")
    assert first.status == 200 and len(first["items"]) == 10 and first["next"]
    pay(node, payer, shop, 3)
    rest = relay.deliveries(limit=10, cursor=first["next"])
    assert [item["payment"]["hash"] for item in first["items"] + rest] == hashes[::-1]
    by_device = relay.deliveries(device=device["id"], limit=7)
    assert [item["seq"] for item in by_device] == list(range(28, 0, -1))


def test_a_cursor_outlives_a_restart(relay, device, node, payer, shop):
    hashes = pay(node, payer, shop, 5)
    first = relay.rest("GET", "/api/v1/payments?limit=2")
    relay.restart()
    rest = relay.payments(limit=2, cursor=first["next"])
    assert [item["hash"] for item in first["items"] + rest] == hashes[::-1]


def test_deliveries_are_found_by_state_hash_and_time(relay, device, node, payer, shop, connect):
    hashes = pay(node, payer, shop, 4)
    session = connect(relay)
    session.greet(device)
    for _ in range(4):
        session.receive("payment")
    session.send(type="actuated", seq=1, seconds=60)
    session.send(type="refused", seq=2, reason="too_late")
    session.receive("noted")
    session.receive("noted")
    session.send(type="ack", seq=3)
    wait_until(lambda: relay.deliveries(state="acked"), what="the ack")

    for state, hash in zip(("actuated", "refused", "acked", "sent"), hashes):
        assert [item["payment"]["hash"] for item in relay.deliveries(state=state)] == [hash]
        (found,) = relay.deliveries(hash=hash.lower())
        assert found["state"] == state
    (refused,) = relay.deliveries(state="refused")
    assert (refused["reason"], refused["seconds"], refused["actuated_at"]) == ("too_late", None, None)
    assert refused["refused_at"] >= refused["acked_at"] >= refused["sent_at"] >= refused["stored_at"]
    assert relay.deliveries(state="expired") == []

    stored_at = {item["payment"]["hash"]: item["stored_at"] for item in relay.deliveries()}
    third = stored_at[hashes[2]]
    assert {item["payment"]["hash"] for item in relay.deliveries(**{"from": third})} >= set(hashes[2:])
    assert hashes[2] not in {item["payment"]["hash"] for item in relay.deliveries(to=third)}
    in_zone = datetime.fromisoformat(third.replace("Z", "+00:00")).astimezone(timezone(timedelta(hours=2)))
    ms = int(datetime.fromisoformat(third.replace("Z", "+00:00")).timestamp() * 1000 + 0.5)
    same = relay.deliveries(**{"from": third})
    assert relay.deliveries(**{"from": quote(in_zone.isoformat(timespec="milliseconds"))}) == same
    assert relay.deliveries(**{"from": ms}) == same


def test_payments_are_found_by_address_and_hash_and_name_their_deliveries(relay, node, signer, payer, shop):
    other = signer.account("another shop")
    for name, accounts in (("both", (shop, other)), ("one", (shop,))):
        device = relay.create_device(name)
        for account in accounts:
            relay.subscribe(device, account)
    to_shop, to_other = pay(node, payer, shop, 2), pay(node, payer, other, 1)
    assert [item["hash"] for item in relay.payments()] == (to_shop + to_other)[::-1]
    assert [item["hash"] for item in relay.payments(address=shop.address.replace("nano_", "xrb_"))] == to_shop[::-1]
    (found,) = relay.payments(hash=to_shop[0])
    assert found["deliveries"] == 2
    assert (found["chain"], found["output"], found["asset"], found["reversed_at"]) == ("nano", 0, None, None)
    assert (found["from"], found["to"]) == (payer.address, shop.address)
    assert (found["amount"], found["amount_nano"], found["source"]) == (str(PRICE), "0.001", "callback")
    (found,) = relay.payments(hash=to_other[0])
    assert found["deliveries"] == 1


@pytest.mark.parametrize(
    "path, code, field",
    [
        ("/api/v1/deliveries?colour=red", "unknown_parameter", "colour"),
        ("/api/v1/deliveries?limit=1001", "invalid_parameter", "limit"),
        ("/api/v1/deliveries?limit=ten", "invalid_parameter", "limit"),
        ("/api/v1/deliveries?state=lost", "invalid_parameter", "state"),
        ("/api/v1/deliveries?from=yesterday", "invalid_parameter", "from"),
        ("/api/v1/deliveries?from=2026-11-20T18:03:00+01:00", "invalid_parameter", "from"),
        ("/api/v1/deliveries?from=20&to=10", "invalid_parameter", "to"),
        ("/api/v1/deliveries?hash=zz", "invalid_parameter", "hash"),
        ("/api/v1/deliveries?cursor=zz", "invalid_parameter", "cursor"),
        ("/api/v1/payments?address=zz", "invalid_parameter", "address"),
        ("/api/v1/payments?device=x", "unknown_parameter", "device"),
        ("/healthz?x=1", "unknown_parameter", "x"),
    ],
)
def test_a_question_that_cannot_be_is_refused_with_its_parameter(relay, path, code, field):
    reply = relay.rest("GET", path)
    assert (reply.status, reply["code"], reply["field"]) == (400, code, field)
    assert reply["hint"]


def test_a_device_that_does_not_exist_has_no_deliveries_to_list(relay):
    reply = relay.rest("GET", "/api/v1/deliveries?device=dev_aaaaaaaaaaaaaaaa")
    assert (reply.status, reply["code"]) == (404, "device_not_found")


def test_health_needs_no_token_on_this_machine_unless_it_comes_through_a_proxy(relay):
    assert relay.rest("GET", "/healthz", role=None).value == {"status": "ok"}
    for path in ("/healthz", "/readyz", "/metrics"):
        assert relay.rest("GET", path, role=None).status == 200
        assert relay.rest("GET", path, role=None, headers={"X-Forwarded-For": "203.0.113.9"}).status == 401
        assert relay.rest("GET", path, role="viewer", headers={"X-Forwarded-For": "203.0.113.9"}).status == 200


def test_ready_names_each_check_and_warning(relay):
    reply = relay.rest("GET", "/readyz", role=None)
    assert reply["status"] == "ready"
    names = [check["name"] for check in reply["checks"]]
    assert "store" in names and len(names) == len(set(names))
    assert all(check["ok"] is True and check["detail"] is None for check in reply["checks"])
    assert any("confirm = source" in warning for warning in reply["warnings"])


def test_metrics_are_prometheus_text_and_count_refusals(relay):
    before = relay.metrics()
    relay.rest("GET", "/api/v1/devices", role=None)
    relay.rest("GET", "/api/v1/tokens", role="viewer")
    after = relay.metrics()
    for status in ("401", "403"):
        name = f'coinslot_admin_refused_total{{status="{status}"}}'
        assert after[name] == before[name] + 1
    reply = relay.rest("GET", "/metrics", role=None)
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_bodies_that_are_no_json_object_are_refused(relay):
    for body, status in ((["x"], 400), ("x", 400), ({"name": {"a": {"b": {"c": {"d": 1}}}}}, 400)):
        reply = relay.rest("POST", "/api/v1/devices", body)
        assert reply.status == status, (json.dumps(body), reply)
        assert reply["code"] == "malformed_json"
    reply = relay.rest("POST", "/api/v1/devices", {"name": "x"}, headers={"Content-Type": "text/plain"})
    assert (reply.status, reply["code"]) == (415, "unsupported_media_type")
    reply = relay.rest("POST", "/api/v1/devices", {"name": "x" * 20000})
    assert (reply.status, reply["code"]) == (413, "body_too_large")
