"""Several ways in at once: what one loses another brings, or is asked for; each payment is one, and each source is told by what it did."""

import re
import socket
from contextlib import closing

import pytest

from node import FakeNode
from ports import free_port
from relay import wait_until
from upstream import (
    NANO,
    callback_of,
    config_for,
    paid_to,
    proven_device,
    reconcile,
    source,
    sources,
    wait_alive,
    wait_filtered,
    wait_paid,
    wait_proven,
)


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def simnode(make_simnode, port):
    return make_simnode(callback=f"http://127.0.0.1:{port}/callback/")


@pytest.fixture
def start(make_relay, simnode, port, account):
    """A relay of this config, and a device that is subscribed to the account's address."""

    def start(acks=2, **config):
        relay = make_relay(config_for(simnode, **config), http=f"127.0.0.1:{port}")
        device = proven_device(relay, account)
        wait_filtered(relay, acks)
        return relay, device

    return start


def answers(simnode):
    try:
        return simnode.status()
    except OSError:
        return None


def by_source(relay):
    """How many of the deliveries each brought."""
    kinds = [delivery["payment"]["source"] for delivery in relay.deliveries()]
    return {kind: kinds.count(kind) for kind in set(kinds)}


def test_what_one_source_loses_another_brings_and_what_all_lose_is_asked_for(simnode, start, account):
    relay, device = start()
    simnode.faults(lose_callbacks=100)
    paid = simnode.pay(account, NANO, count=20)
    wait_paid(relay, device, *paid)
    assert by_source(relay) == {"nano_ws": 20}
    simnode.faults(lose_callbacks=0, lose_ws=100)
    paid += simnode.pay(account, NANO, count=20)
    wait_paid(relay, device, *paid)
    assert by_source(relay) == {"nano_ws": 20, "callback": 20}
    simnode.faults(lose_callbacks=100)
    paid += simnode.pay(account, NANO, count=20)
    reconcile(relay)
    wait_paid(relay, device, *paid)
    assert by_source(relay) == {"nano_ws": 20, "callback": 20, "backfill": 20}
    assert (source(relay, "nano_ws")["first"], source(relay, "callback")["first"], source(relay, "backfill")["first"]) == (20, 20, 20)
    assert source(relay, "backfill")["late"] == 20 and source(relay, "backfill")["late_most_ms"] is not None
    assert re.search(r"no source has told of .* count=20", relay.stderr())


def test_what_all_of_them_tell_again_and_again_is_one_payment(simnode, start, account):
    relay, device = start()
    simnode.faults(repeat_callbacks=100, repeat_ws=100)
    paid = simnode.pay(account, NANO, count=50)
    wait_paid(relay, device, *paid)
    wait_until(lambda: source(relay, "callback")["payments"] == 50 and source(relay, "nano_ws")["payments"] == 50, what="that both have told all")
    simnode.announce(*paid, why="active_confirmation_height")
    reconcile(relay)
    wait_until(lambda: sources(relay)["unconfirmed"] == 0)
    wait_paid(relay, device, *paid)
    first = [source(relay, kind)["first"] for kind in ("callback", "nano_ws", "backfill")]
    assert sum(first) == 50 and relay.metrics()['coinslot_payments_total{result="stored"}'] == 50
    wait_until(lambda: int(simnode.status()["callbacks_accepted"]) >= 150, what="that all callbacks were answered 2xx")


def test_what_is_cemented_with_another_block_comes_by_websocket_though_no_callback_tells(simnode, start, account):
    relay, device = start()
    payer = simnode.account()
    simnode.tell("auto_receive", account=payer)
    simnode.pay(payer, 10 * NANO)
    *before, last = simnode.pay(account, NANO, count=4, from_=payer, confirmed=False)
    assert relay.deliveries() == []
    simnode.confirm(last)
    wait_paid(relay, device, *before, last)
    assert source(relay, "nano_ws")["payments"] == 4
    wait_until(lambda: source(relay, "callback")["payments"] == 1)


def test_what_is_paid_while_the_websocket_is_away_is_found_when_it_is_back(simnode, start, account):
    relay, device = start()
    simnode.faults(ws_refuse=1, lose_callbacks=100)
    simnode.tell("cut_ws")
    wait_alive(relay, "nano_ws", False)
    paid = simnode.pay(account, NANO, count=5)
    simnode.faults(ws_refuse=0)
    wait_paid(relay, device, *paid)
    assert by_source(relay) == {"backfill": 5}
    wait_alive(relay, "nano_ws")
    paid += simnode.pay(account, NANO)
    wait_paid(relay, device, *paid)
    assert by_source(relay)["nano_ws"] == 1


def test_a_websocket_that_drops_all_the_time_and_callbacks_that_are_lost_lose_nothing(simnode, start, account):
    relay, device = start(sweep_s=2)
    simnode.faults(ws_drop_every_ms=300, lose_callbacks=50)
    simnode.pay(account, NANO, count=300, rate=100)
    wait_until(lambda: len(simnode.payments()) == 300)
    wait_paid(relay, device, *(one["hash"] for one in simnode.payments()))
    assert relay.metrics()['coinslot_nano_ws_reconnects_total{node="0"}'] >= 2


def test_a_node_that_takes_no_updates_is_subscribed_anew_and_new_addresses_are_heard_of(simnode, start, account):
    relay, device = start()
    simnode.faults(ws_no_update=1, lose_callbacks=100)
    other = simnode.account()
    second = relay.create_device("Meter 13")
    relay.subscribe(second, other)
    wait_proven(relay, second)
    early = simnode.pay(other)  # the node has not taken up this address, and says nothing
    wait_paid(relay, second, *early)
    wait_alive(relay, "nano_ws")
    late = simnode.pay(other)
    wait_paid(relay, second, *early, *late)
    assert {one["payment"]["hash"]: one["payment"]["source"] for one in relay.deliveries()} == {early[0]: "backfill", late[0]: "nano_ws"}


def test_of_several_websockets_one_that_is_dead_does_no_harm(simnode, start, account):
    with closing(socket.socket()) as dead:
        dead.bind(("127.0.0.1", 0))  # nobody listens
        urls = [f"ws://127.0.0.1:{dead.getsockname()[1]}", simnode.ws_url, simnode.ws_url.replace("127.0.0.1", "localhost")]
        relay, device = start(acks=0, ws=urls)
        wait_until(lambda: [one["alive"] for one in sources(relay)["sources"] if one["kind"] == "nano_ws"] == [False, True, True])
        reconcile(relay)
        simnode.faults(lose_callbacks=100)
        acks = [f'coinslot_nano_ws_messages_total{{node="{number}",result="ack"}}' for number in (1, 2)]
        wait_until(lambda: all(relay.metrics()[name] >= 2 for name in acks))
        paid = simnode.pay(account, NANO, count=10)
        wait_paid(relay, device, *paid)
        sockets = lambda: [one for one in sources(relay)["sources"] if one["kind"] == "nano_ws"]  # noqa: E731
        wait_until(lambda: [one["payments"] for one in sockets()] == [0, 10, 10], what="that both have told")
        assert sum(one["first"] for one in sockets()) == 10
        assert sockets()[0]["why"] and relay.metrics()['coinslot_payments_total{result="stored"}'] == 10


def test_a_websocket_that_is_open_and_silent_while_the_node_goes_on_is_made_anew(simnode, start, account):
    relay, device = start(nano="silence_s = 2\n")
    simnode.faults(lose_ws=100, lose_callbacks=100)
    paid = simnode.pay(account, NANO, count=3)
    simnode.pay(simnode.account(), 1, count=100, rate=5)  # the world goes on
    wait_paid(relay, device, *paid)  # by asking, once it is connected again
    assert relay.metrics()['coinslot_nano_ws_silences_total{node="0"}'] >= 1
    assert by_source(relay) == {"backfill": 3}


def test_all_is_told_where_all_is_asked_for_legacy_sends_too(simnode, start, account):
    relay, device = start(acks=1, nano="ws_filter = all\n")
    simnode.faults(lose_callbacks=100)
    simnode.pay(simnode.account(), NANO, count=5)  # somebody else's
    paid = simnode.pay(account, NANO, style="legacy") + simnode.pay(account, NANO)
    wait_paid(relay, device, *paid)
    assert by_source(relay) == {"nano_ws": 2}
    assert relay.metrics()['coinslot_nano_ws_payments_total{result="unmatched"}'] == 5


def test_a_node_that_starts_anew_in_between_loses_nothing(simnode, start, account):
    relay, device = start()
    before = simnode.pay(account, NANO, count=10)
    simnode.pay(account, NANO, count=100, rate=100)
    simnode.restart(down_ms=700)

    wait_until(lambda: not answers(simnode), what="that the node goes down")
    wait_until(lambda: answers(simnode), what="the node")
    after = simnode.pay(account, NANO, count=10)
    made = [one["hash"] for one in simnode.payments()]
    assert set(before + after) <= set(made)
    wait_until(lambda: len(paid_to(relay, device)) >= len([one["hash"] for one in simnode.payments()]), what="all payments")
    assert sorted(paid_to(relay, device)) == sorted(one["hash"] for one in simnode.payments())


def test_news_by_callback_alone_and_by_websocket_of_one_block_is_one_payment_whoever_is_first(simnode, start, account):
    """The callback's waits for its confirmation when the WebSocket brings it: nobody has to be asked any more."""
    relay, device = start()
    (paid,) = simnode.pay(account, NANO, confirmed=False)
    assert FakeNode(relay.http_port).post(callback_of(simnode, paid)).status == 200
    assert sources(relay)["unconfirmed"] == 1
    simnode.confirm(paid, announce="ws")
    wait_paid(relay, device, paid)
    wait_until(lambda: sources(relay)["unconfirmed"] == 0)
    assert by_source(relay) in ({"nano_ws": 1}, {"callback": 1})
    wait_until(lambda: (source(relay, "callback")["payments"], source(relay, "nano_ws")["payments"]) == (1, 1))
