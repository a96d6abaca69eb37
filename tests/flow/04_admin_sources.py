"""Where news comes from, reconciliation on demand, and whether one may pay to an address: over REST and on the command line."""

import json
import time
from datetime import datetime, timezone

import pytest

from relay import run_coinslot, wait_until

NANO = 10**30


def config_for(simnode, ws=True):
    return f"[nano]\nrpc = {simnode.rpc_url}\nrpc_calls_per_s = 0\n" + (f"ws = {simnode.ws_url}\n" if ws else "")


@pytest.fixture
def asking(make_simnode, make_relay):
    """A node and a relay that asks it and listens to it."""
    simnode = make_simnode()
    relay = make_relay(config_for(simnode))
    wait_until(lambda: relay.rest("GET", "/readyz", role=None).status == 200, what="a relay that is ready")
    return relay, simnode


def completeness(relay, device):
    return relay.rest("GET", f"/api/v1/devices/{device['id']}/subscriptions")["items"][0]["completeness"]


def wait_until_proven(relay, device):
    return wait_until(lambda: (found := completeness(relay, device))["proven"] and found, what="a proven address")


def wait_until_heard(relay, updates=1):
    """The node's filter has followed so many times."""
    wait_until(lambda: relay.metrics()['coinslot_nano_ws_messages_total{node="0",result="ack"}'] > updates, what="a filter that is in step")


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_each_source_is_shown_with_what_it_brought_and_missed(asking):
    relay, simnode = asking
    device, account = relay.create_device(), simnode.account()
    relay.subscribe(device, account)
    wait_until_proven(relay, device)
    wait_until_heard(relay)
    simnode.pay(account, NANO, announce="ws")
    simnode.pay(account, 2 * NANO, announce="none")
    wait_until(lambda: len(relay.deliveries()) == 1, what="the payment that the node told of")
    relay.rest("POST", "/api/v1/reconcile")
    wait_until(lambda: len(relay.deliveries()) == 2, what="the payment that it did not tell of")

    wait_until(lambda: relay.rest("GET", "/api/v1/sources")["payable"], what="that machines may take money")
    report = relay.rest("GET", "/api/v1/sources", role="viewer").value
    assert [(source["name"], source["kind"]) for source in report["sources"]] == [
        ("callback", "callback"),
        (simnode.ws_url, "nano_ws"),
        ("reconciliation", "backfill"),
    ]
    callback, socket, found = report["sources"]
    assert (callback["alive"], callback["last_message_at"], callback["payments"], callback["missed"]) == (False, None, 0, 0)
    assert (socket["alive"], socket["why"], socket["payments"], socket["first"]) == (True, None, 1, 1)
    assert (found["payments"], found["first"], found["late"]) == (1, 1, 1) and found["late_most_ms"] is not None
    assert (report["payable"], report["reason"], report["confirm"], report["unconfirmed"]) == (True, None, "node", 0)
    assert (report["node"]["rpc"], report["reconciliation"]["found"]) == ("up", 1)
    assert report["completeness"]["addresses"] == 1


def test_a_relay_without_a_node_to_ask_says_so_and_is_proven_nothing(relay, device):
    reply = relay.rest("POST", "/api/v1/reconcile", role="operator")
    assert (reply.status, reply["code"]) == (409, "no_node")
    report = relay.rest("GET", "/api/v1/sources").value
    assert (report["node"], report["reconciliation"], report["confirm"]) == (None, None, "source")
    assert report["completeness"] == {"addresses": 1, "proven": 0, "complete_as_of": None}
    found = completeness(relay, device)
    assert (found["proven"], found["reason"], found["unproven_since"]) == (False, "unproven", None)


def test_coinslot_reconcile_asks_the_running_relay_and_no_other(asking, make_relay):
    relay, simnode = asking
    device, account = relay.create_device(), simnode.account()
    relay.subscribe(device, account)
    wait_until_proven(relay, device)
    simnode.pay(account, NANO, announce="none")
    done = run_coinslot("reconcile", "--data", relay.data)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"status": "asked"}), done.stderr
    wait_until(lambda: len(relay.deliveries()) == 1, what="the payment that nobody told of")
    relay.stop()
    done = run_coinslot("reconcile", "--data", relay.data)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1) and "no relay is running" in done.stderr
    without = make_relay(name="without")
    done = run_coinslot("reconcile", "--data", without.data)
    assert done.returncode == 1 and "[nano]" in done.stderr


def test_the_help_of_a_command_names_all_of_its_options():
    for command, options in {("reconcile",): ["--data"], ("subscription",): ["--device", "--address", "--minimum", "--since", "--data"]}.items():
        help = run_coinslot(*command, "--help")
        assert (help.returncode, help.stderr) == (0, "")
        assert all(f"\n  {option} " in help.stdout for option in options)
        assert max(len(line) for line in help.stdout.splitlines()) <= 120


@pytest.mark.parametrize("by", ["api", "command line"])
def test_a_new_subscription_is_told_of_what_was_there_before_only_when_since_asks(asking, by):
    relay, simnode = asking
    account, pocketed = simnode.accounts(2)
    before = now()
    for one in (account, pocketed):
        simnode.pay(one, NANO, announce="none")
    simnode.pocket(pocketed)
    time.sleep(1.1)  # the node's times are whole seconds
    plain, since = relay.create_device("from now on"), relay.create_device("since")
    for one in (account, pocketed):
        if by == "api":
            relay.subscribe(plain, one)
            body = {"chain": "nano", "address": one, "since": before}
            made = relay.rest("POST", f"/api/v1/devices/{since['id']}/subscriptions", body)
            assert made.status == 201 and made["since"] == before.replace("Z", ".000Z")
        else:
            arguments = ("subscription", "create", "--data", relay.data, "--address", one, "--device")
            done = [run_coinslot(*arguments, plain["id"]), run_coinslot(*arguments, since["id"], "--since", before)]
            assert [json.loads(each.stdout)["since"] for each in done] == [None, before.replace("Z", ".000Z")]
    wait_until(lambda: len(relay.deliveries(device=since["id"])) == 2, what="what was paid before")
    wait_until_heard(relay)
    simnode.pay(account, 2 * NANO)
    wait_until(lambda: len(relay.deliveries(device=plain["id"])) == 1, what="what is paid now")
    wait_until(lambda: len(relay.deliveries(device=since["id"])) == 3, what="what is paid now")
    wait_until_proven(relay, plain)
    assert len(relay.deliveries(device=plain["id"])) == 1


def test_a_time_to_begin_with_that_cannot_be_is_refused(asking):
    relay, simnode = asking
    device, account = relay.create_device(), simnode.account()
    for since in ("yesterday", "2099-01-01T00:00:00Z", ""):
        reply = relay.rest("POST", f"/api/v1/devices/{device['id']}/subscriptions", {"chain": "nano", "address": account, "since": since})
        assert (reply.status, reply["code"], reply["field"]) == (422, "invalid_field", "since")
        done = run_coinslot("subscription", "create", "--data", relay.data, "--device", device["id"], "--address", account, "--since", since)
        assert (done.returncode, done.stdout) == (1, "") and "since" in done.stderr and "2026-11-20T17:00:00Z" in done.stderr


def status(relay, address):
    """As anybody may ask, a web page too."""
    reply = relay.rest("GET", f"/api/v1/status/{address}", role=None, headers={"Origin": "https://shop.example", "X-Forwarded-For": "192.0.2.1"})
    assert reply.headers["access-control-allow-origin"] == "*"
    return reply


def test_anybody_may_ask_whether_to_pay_to_an_address(asking, connect):
    relay, simnode = asking
    device, account, strange = relay.create_device(), simnode.account(), simnode.account()
    relay.subscribe(device, account)
    away = status(relay, account)
    assert away.status == 200 and away.headers["cache-control"] == "public, max-age=5"
    assert (away["payable"], away["reason"]) == (False, "device_away")
    session = connect(relay)
    session.greet(device)
    wait_until(lambda: status(relay, account.replace("nano_", "xrb_"))["payable"], what="a device that may be paid")
    wait_until_proven(relay, device)
    there = status(relay, account)
    assert (there["reason"], there["address"], there["completeness"]["proven"]) == (None, account, True)
    assert not {"device", "id", "minimum", "frontier"} & (there.value.keys() | there["completeness"].keys())
    relay.change_device(device, state="disabled")
    assert status(relay, account)["reason"] == "device_disabled"
    for address, code in ((strange, (404, "unknown_address")), ("nano_1", (400, "invalid_parameter"))):
        reply = status(relay, address)
        assert (reply.status, reply["code"]) == code
        assert "max-age" not in reply.headers.get("cache-control", "")


def test_nobody_should_pay_while_no_source_is_alive(asking, connect):
    relay, simnode = asking
    device, account = relay.create_device(), simnode.account()
    relay.subscribe(device, account)
    connect(relay).greet(device)
    wait_until(lambda: status(relay, account)["payable"], what="a device that may be paid")
    simnode.stop()
    deaf = ("starting", "no_source")  # in its first ten seconds it has patience
    wait_until(lambda: status(relay, account)["reason"] in deaf, what="a relay that hears nothing")
    ready = relay.rest("GET", "/readyz", role=None)
    assert ready.status == 503
    assert [check["name"] for check in ready["checks"] if not check["ok"]] == ["sources"]
    assert relay.rest("GET", "/api/v1/sources")["reason"] in deaf
    wait_until(lambda: completeness(relay, device)["reason"] == "source_lost", what="an address that is not proven any more")
    simnode.start()
    wait_until(lambda: status(relay, account)["payable"], what="a relay that hears again")
    wait_until_proven(relay, device)
