"""What a subscription brings of the past: nothing, unless `since` asks for it; and everything from then on."""

import time
from datetime import datetime, timedelta, timezone

import pytest

from node import FakeNode
from relay import wait_until
from upstream import NANO, callback_of, completeness, config_for, paid_to, proven_device, reconcile, sources, wait_filtered, wait_paid, wait_proven


@pytest.fixture
def relay(make_relay, simnode):
    """It is told nothing by itself: only what it asks for tells it."""
    return make_relay(config_for(simnode, ws=False))


def second_later():
    """A node's times are whole seconds: what comes from now on is of a later one than what was before. Returns when, as an operator writes it."""
    now = datetime.now(timezone.utc)
    after = now.replace(microsecond=0) + timedelta(seconds=1)
    time.sleep((after - now).total_seconds() + 0.05)
    return after.isoformat().replace("+00:00", "Z")


def past(simnode, account):
    """Payments of each kind, from before."""
    (received,) = simnode.pay(account, NANO)
    simnode.pocket(account)
    (received_unconfirmed,) = simnode.pay(account, 2 * NANO)
    simnode.pocket(account, confirmed=False)
    (receivable,) = simnode.pay(account, 3 * NANO)
    (legacy,) = simnode.pay(account, 4 * NANO, style="legacy")
    return [received, received_unconfirmed, receivable, legacy]


def test_what_was_paid_before_a_subscription_is_not_delivered_however_often_one_asks(simnode, relay, account):
    old = past(simnode, account)
    second_later()
    device = proven_device(relay, account)
    assert relay.deliveries() == []
    reconcile(relay)
    simnode.pocket(account)  # also not when it is received afterwards, and what was unconfirmed is confirmed with it
    reconcile(relay)
    relay.kill()
    relay.start()
    wait_proven(relay, device)
    assert relay.deliveries() == [] and relay.payments() == []
    for hash in old:
        assert FakeNode(relay.http_port).post(callback_of(simnode, hash)).status == 200
    wait_until(lambda: sources(relay)["unconfirmed"] == 0)
    assert relay.deliveries() == [] and relay.payments() == []
    assert relay.metrics()['coinslot_payments_total{result="old"}'] == 4


def test_what_is_paid_a_moment_after_a_subscription_is_delivered_though_nobody_tells_of_it(simnode, relay, account):
    """No sweep is due here: the one look that a new subscription is given has to find it, or the next one."""
    (old,) = simnode.pay(account, NANO)
    second_later()
    device = relay.create_device("Meter")
    relay.subscribe(device, account)
    new = simnode.pay(account, 2 * NANO, announce="none")
    reconcile(relay)
    wait_paid(relay, device, *new)
    assert old not in paid_to(relay, device)


def test_what_is_paid_before_the_nodes_websocket_knows_of_a_subscription_is_delivered(simnode, make_relay):
    """Between the first look and the node's filter there is a moment in which nobody tells: it is asked for once more."""
    relay = make_relay(config_for(simnode))
    accounts = simnode.accounts(20)
    devices = []
    for number, account in enumerate(accounts):
        devices.append(relay.create_device("Meter"))
        relay.subscribe(devices[-1], account)
        time.sleep(number * 0.005)
        simnode.pay(account, NANO, announce="ws")
    for device, payment in zip(devices, simnode.payments()):
        wait_paid(relay, device, payment["hash"], timeout=5)


def test_since_brings_what_came_after_it_and_nothing_before(simnode, relay, account):
    old = past(simnode, account)
    since = second_later()
    (received,) = simnode.pay(account, 5 * NANO)
    simnode.pocket(account)  # all that waits, also of the old
    (receivable,) = simnode.pay(account, 6 * NANO)
    (legacy,) = simnode.pay(account, 7 * NANO, style="legacy")
    second_later()
    device = proven_device(relay, account, since)
    wait_paid(relay, device, received, receivable, legacy)
    reconcile(relay)
    wait_paid(relay, device, received, receivable, legacy)
    assert not set(old) & {payment["hash"] for payment in relay.payments()}


def test_since_long_ago_brings_all_that_there_ever_was(simnode, relay, account):
    old = past(simnode, account)
    old += simnode.pay(account, NANO, count=1200)
    simnode.pocket(account, count=1100)
    second_later()
    device = proven_device(relay, account, "2020-01-01T00:00:00Z")
    wait_paid(relay, device, *old)


def test_times_that_a_node_has_reset_only_bring_more(simnode, relay, account):
    """A node that bootstraps takes everything for new. What was delivered is not delivered again, and nothing is lost."""
    past(simnode, account)
    second_later()
    device = proven_device(relay, account)
    (new,) = simnode.pay(account, 5 * NANO)
    reconcile(relay)
    wait_paid(relay, device, new)
    simnode.tell("reset_times")
    reconcile(relay)
    relay.restart()
    wait_proven(relay, device)
    (newer,) = simnode.pay(account, 6 * NANO)
    reconcile(relay)
    wait_paid(relay, device, new, newer)


def test_a_second_device_gets_what_comes_after_its_own_subscription(simnode, relay, account):
    first = proven_device(relay, account)
    (before,) = simnode.pay(account, NANO)
    reconcile(relay)
    wait_paid(relay, first, before)
    second_later()
    second = proven_device(relay, account)
    (after,) = simnode.pay(account, 2 * NANO)
    reconcile(relay)
    wait_paid(relay, first, before, after)
    wait_paid(relay, second, after)
    relay.restart()
    simnode.pocket(account)
    wait_proven(relay, first, second)
    wait_paid(relay, first, before, after)
    wait_paid(relay, second, after)


def test_a_second_device_that_missed_nothing_of_its_own_still_gets_what_nobody_told_the_first(simnode, relay, account):
    """Paid before the second subscribed, found after: it is the first one's alone."""
    first = proven_device(relay, account)
    (untold,) = simnode.pay(account, NANO)
    second_later()
    second = proven_device(relay, account)
    wait_paid(relay, first, untold)
    reconcile(relay)
    assert paid_to(relay, second) == []


def test_since_brings_no_second_device_what_the_relay_has_had_already(simnode, relay, account):
    """docs/sources.md: a machine that takes another one's place is not paid once more for what the other was paid for."""
    since = second_later()
    (early,) = simnode.pay(account, NANO)
    second_later()
    first = proven_device(relay, account)
    (known,) = simnode.pay(account, 2 * NANO)
    reconcile(relay)
    wait_paid(relay, first, known)
    second = proven_device(relay, account, since)
    wait_paid(relay, second, early)
    assert paid_to(relay, first) == [known]


def test_who_subscribes_anew_gets_nothing_of_the_time_between(simnode, relay, account):
    device = proven_device(relay, account)
    (first,) = simnode.pay(account, NANO)
    reconcile(relay)
    (subscription,) = relay.rest("GET", f"/api/v1/devices/{device['id']}/subscriptions")["items"]
    assert relay.rest("DELETE", f"/api/v1/devices/{device['id']}/subscriptions/{subscription['id']}").status == 204
    simnode.pay(account, 2 * NANO)
    second_later()
    relay.subscribe(device, account)
    wait_proven(relay, device)
    (third,) = simnode.pay(account, 3 * NANO)
    reconcile(relay)
    wait_paid(relay, device, first, third)


def test_old_blocks_that_are_announced_again_bring_nothing(simnode, make_relay, account):
    relay = make_relay(config_for(simnode))
    old = past(simnode, account)
    second_later()
    device = proven_device(relay, account)
    wait_filtered(relay)
    new = simnode.pay(account, 5 * NANO)
    wait_paid(relay, device, *new)
    simnode.announce(*old, *new, announce="ws", why="active_confirmation_height")
    simnode.announce(*new, announce="ws", why="inactive")
    told = lambda result: relay.metrics()[f'coinslot_nano_ws_payments_total{{result="{result}"}}']  # noqa: E731
    wait_until(lambda: told("old") == 3 and told("duplicate") >= 1, what="what was announced")  # the filter hides the legacy one
    # What is new and was cemented with another, or received at once, is delivered all the same.
    new += simnode.pay(account, 6 * NANO, announce="ws", why="inactive")
    simnode.pocket(account, announce="none")
    new += (late := simnode.pay(account, 7 * NANO, announce="none"))
    simnode.pocket(account, announce="none")
    simnode.announce(*late, announce="ws", why="inactive")
    wait_paid(relay, device, *new)
    assert {one["payment"]["source"] for one in relay.deliveries()} == {"nano_ws"}


def test_a_subscription_says_how_far_it_is_complete(simnode, relay, account):
    simnode.pay(account, NANO)
    simnode.pocket(account)
    frontier = simnode.rpc("account_info", account=account)["frontier"]
    device = proven_device(relay, account)
    (found,) = completeness(relay, device)
    assert (found["frontier"], found["height"], found["reason"]) == (frontier, 1, None)


def test_without_the_node_a_new_address_is_unproven_and_gets_its_baseline_later(simnode, relay, account):
    """Late, so that its past cannot be told from what was paid meanwhile by the time alone: nothing that was there is left out."""
    old = simnode.pay(account, NANO)
    second_later()
    simnode.faults(rpc_errors=100)
    device = relay.create_device("Meter")
    relay.subscribe(device, account)
    new = simnode.pay(account, 2 * NANO)
    assert not completeness(relay, device)[0]["proven"]
    simnode.faults(rpc_errors=0)
    wait_proven(relay, device)
    wait_paid(relay, device, *new)
    assert not set(old) & set(paid_to(relay, device))
