"""confirm = node: what a callback says is money only once the relay's own node has said so."""

import json

import pytest

from relay import wait_until

NANO = 10**30


def config_for(simnode, ws=True, confirm="node", more=""):
    urls = f"rpc = {simnode.rpc_url}\n" + (f"ws = {simnode.ws_url}\n" if ws else "")
    return f"[callback]\nconfirm = {confirm}\n[nano]\nrpc_calls_per_s = 0\n{urls}{more}"


@pytest.fixture
def paid(make_simnode, make_relay):
    """A node, a relay that asks it, a device and the address on which it is paid."""
    simnode = make_simnode()
    relay = make_relay(config_for(simnode, ws=False))
    account = simnode.account()
    device = relay.create_device("Meter 12")
    relay.subscribe(device, account)
    wait_until(lambda: relay.rest("GET", f"/api/v1/devices/{device['id']}/subscriptions")["items"][0]["completeness"]["proven"], what="a proven address")
    return simnode, relay, device, account


def test_a_confirmed_payment_is_delivered(paid):
    simnode, relay, device, account = paid
    print(relay.rest("GET", "/api/v1/sources").value)
    hashes = simnode.pay(account, 5 * NANO, announce="none")
    reply = relay.rest("POST", "/api/v1/reconcile")
    assert reply.status == 202
    wait_until(lambda: relay.deliveries(), what="a delivery")
    print(json.dumps(relay.deliveries(), indent=1), relay.stderr())
    print(json.dumps(relay.rest("GET", "/api/v1/sources").value, indent=1))
