"""What a failing node means for who wants to pay, and that all is well again when it is."""

import pytest

from ports import free_port
from relay import wait_until
from upstream import Machine, assert_green, assert_red, config_for, proven_device, readiness, sources, standing, wait_filtered, wait_paid, wait_proven


@pytest.fixture
def relay(make_relay, simnode):
    return make_relay(config_for(simnode))


@pytest.fixture
def device(relay, account):
    device = proven_device(relay, account)
    wait_filtered(relay)
    return device


def test_what_was_proven_is_not_any_more_once_no_source_is_alive_until_it_was_asked_for(simnode, relay, device, machine, account):
    simnode.faults(ws_refuse=1, rpc_stall=1)
    simnode.tell("cut_ws")
    machine.await_state(caught_up=False, payable=False)
    status = relay.rest("GET", f"/api/v1/status/{account}", role=None)
    assert status["completeness"]["proven"] is False
    assert status["completeness"]["reason"] in ("source_lost", "node_unreachable")
    simnode.faults(ws_refuse=0, rpc_stall=0)
    machine.await_state(caught_up=True, payable=True)


def test_a_node_that_has_yet_to_cement_what_it_knows_is_behind(simnode, relay, device, machine, account):
    other = simnode.account()
    unconfirmed = simnode.pay(other, 1, count=60, confirmed=False)
    machine.await_state(payable=False, reason="node_lagging")
    assert_red(relay, account, "node_lagging")
    assert "behind" in readiness(relay)[1]["sources"]
    simnode.confirm(unconfirmed[-1])
    machine.await_state(caught_up=True, payable=True, reason="ok")
    assert_green(relay, account)


def test_where_only_callbacks_come_an_rpc_that_is_away_means_that_nothing_can_be_confirmed(make_simnode, make_relay, connect):
    port = free_port()
    simnode = make_simnode(callback=f"http://127.0.0.1:{port}/callback/")
    relay = make_relay(config_for(simnode, ws=False, nano="rpc_timeout_s = 1\n"), http=f"127.0.0.1:{port}")
    account = simnode.account()
    device = relay.create_device("Meter 12")
    relay.subscribe(device, account)
    wait_proven(relay, device)
    first = simnode.pay(account)
    wait_paid(relay, device, *first)
    machine = Machine(relay, connect, device)
    assert_green(relay, account)
    simnode.faults(rpc_stall=1)
    second = simnode.pay(account)
    wait_until(lambda: sources(relay)["unconfirmed"] == 1)
    machine.await_state(payable=False, reason="node_unreachable")
    assert_red(relay, account, "node_unreachable")
    simnode.faults(rpc_stall=0)
    wait_paid(relay, device, *first, *second)
    machine.await_state(payable=True)
    assert_green(relay, account)


def test_a_websocket_alone_is_enough_while_the_rpc_is_away(simnode, relay, device, machine, account):
    simnode.faults(rpc_errors=100)
    wait_until(lambda: sources(relay)["node"]["rpc"] == "down", what="that the RPC is seen to be of no use")
    assert "block_count" in sources(relay)["node"]["why"]
    paid = simnode.pay(account)
    wait_paid(relay, device, *paid)
    assert standing(relay, account) == (True, None)
    simnode.faults(rpc_errors=0)
    wait_until(lambda: sources(relay)["node"]["rpc"] == "up")
