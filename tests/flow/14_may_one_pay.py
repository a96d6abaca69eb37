"""Whether people may pay now: /readyz, what devices are told, and the public status of an address go red together, and green again."""

import json

import pytest

from relay import wait_until
from upstream import (
    Machine,
    assert_green,
    assert_red,
    config_for,
    proven_device,
    readiness,
    standing,
    wait_alive,
    wait_filtered,
    wait_paid,
    wait_standing,
)


@pytest.fixture
def relay(make_relay, simnode):
    return make_relay(config_for(simnode, sweep_s=1))


@pytest.fixture
def device(relay, account):
    return proven_device(relay, account)


def test_a_device_that_is_not_connected_cannot_be_paid(relay, connect, device, account):
    wait_alive(relay, "nano_ws")
    wait_standing(relay, account, False, "device_away")
    wait_until(lambda: readiness(relay) == (200, {}), what="that the relay itself is well")
    machine = Machine(relay, connect, device)
    assert_green(relay, account)
    machine.close()
    wait_standing(relay, account, False, "device_away")


def test_a_disabled_device_cannot_be_paid(relay, device, machine, account):
    relay.change_device(device, state="disabled")
    wait_standing(relay, account, False, "device_disabled")


def test_without_a_source_nobody_should_pay_and_who_does_is_found_all_the_same(simnode, relay, device, machine, account):
    assert_green(relay, account)
    simnode.faults(ws_refuse=1)
    simnode.tell("cut_ws")
    machine.await_state(payable=False, reason="no_source")
    assert_red(relay, account, "no_source")
    assert "source" in readiness(relay)[1]["sources"]
    paid = simnode.pay(account)
    wait_paid(relay, device, *paid)
    assert relay.deliveries()[0]["payment"]["source"] == "backfill"
    assert standing(relay, account) == (False, "no_source"), "to be found late is not to be told"
    simnode.faults(ws_refuse=0)
    machine.await_state(caught_up=True, payable=True, reason="ok")
    assert_green(relay, account)
    assert "no source is alive" in relay.stderr()


def test_while_no_source_is_alive_the_node_is_asked_at_once_and_not_only_by_the_timer(make_relay, simnode, account):
    relay = make_relay(config_for(simnode, sweep_s=3600))
    device = proven_device(relay, account)
    wait_filtered(relay)
    simnode.faults(ws_refuse=1)
    simnode.tell("cut_ws")
    wait_alive(relay, "nano_ws", False)
    wait_paid(relay, device, *simnode.pay(account, count=2), timeout=40)


def test_the_status_of_an_address_is_public_cacheable_and_tells_no_secrets(relay, device, machine, account):
    wait_standing(relay, account, True)
    reply = relay.rest("GET", f"/api/v1/status/{account}", role=None)
    assert reply.headers["cache-control"] == "public, max-age=5"
    assert reply.headers["access-control-allow-origin"] == "*"
    assert set(reply.value) == {"chain", "address", "payable", "reason", "completeness", "at"}
    assert set(reply["completeness"]) == {"proven", "complete_as_of", "reason", "unproven_since"}
    text = json.dumps(reply.value)
    assert device["id"] not in text and "Meter" not in text and device["token"] not in text
    spelled = relay.rest("GET", f"/api/v1/status/{account.replace('nano_', 'xrb_')}", role=None)
    assert spelled["address"] == account
    nobody = relay.rest("GET", "/api/v1/status/nano_3t6k35gi95xu6tergt6p69ck76ogmitsa8mnijtpxm9fkcm736xtoncuohr3", role=None)
    assert nobody.status == 404 and nobody["code"] == "unknown_address"
    assert relay.rest("GET", "/api/v1/status/nonsense", role=None).status == 400
    assert relay.rest("GET", "/api/v1/sources", role=None).status == 401


def test_a_relay_without_any_node_says_that_nothing_is_proven(make_relay, shop, connect):
    relay = make_relay()
    device = relay.create_device("Meter 12")
    relay.subscribe(device, shop)
    machine = Machine(relay, connect, device)
    machine.await_state(caught_up=False)
    reply = relay.rest("GET", f"/api/v1/status/{shop.address}", role=None)
    assert reply["completeness"]["proven"] is False and reply["completeness"]["reason"] == "unproven"
    assert relay.rest("POST", "/api/v1/reconcile").status == 409
