"""confirm = node: what a callback says is money only once the relay's own node has said so. DESIGN.md, section 8."""

import sqlite3
from contextlib import closing

import pytest

from node import FakeNode
from relay import wait_until
from upstream import NANO, callback_of, config_for, notice_of, paid_to, proven_device, sources, wait_filtered, wait_paid, wait_proven


@pytest.fixture
def relay(make_relay, simnode):
    """It hears callbacks only, so that nothing else brings what a test is about."""
    return make_relay(config_for(simnode, ws=False))


@pytest.fixture
def device(relay, account):
    return proven_device(relay, account)


def call_back(relay, body, headers=()):
    """As the node does."""
    return FakeNode(relay.http_port).post(body, headers)


def findings(relay):
    """What became of the payments that callbacks told, those counted that are not 0."""
    prefix = 'coinslot_confirm_total{result="'
    return {name[len(prefix) : -2]: int(value) for name, value in relay.metrics().items() if name.startswith(prefix) and value}


def waiting(relay):
    return sources(relay)["unconfirmed"]


def blocks_asked(simnode):
    """How often the node was asked about blocks."""
    calls = simnode.status()["calls_by_action"]
    return int(calls["blocks_info"]) if calls and "blocks_info" in calls else 0


def await_findings(relay, **wanted):
    """Until they are these, and nothing waits any more."""
    wait_until(lambda: findings(relay) == wanted and waiting(relay) == 0, what=f"the findings {wanted}")


# ---- always a delivery --------------------------------------------------------------------------------------------------


def test_what_a_callback_says_is_delivered_once_the_node_confirms_it(simnode, relay, device, account):
    (paid,) = simnode.pay(account, 5 * NANO, announce="none")
    assert call_back(relay, callback_of(simnode, paid)).status == 200
    wait_paid(relay, device, paid)
    (delivery,) = relay.deliveries()
    assert (delivery["payment"]["amount"], delivery["payment"]["source"]) == (str(5 * NANO), "callback")
    await_findings(relay, confirmed=1)
    assert call_back(relay, callback_of(simnode, paid)).status == 200  # the node repeats itself
    assert relay.metrics()['coinslot_callback_total{result="duplicate"}'] == 1
    wait_paid(relay, device, paid)


def test_a_legacy_send_is_delivered_by_its_callback_alone(simnode, relay, device, account):
    (paid,) = simnode.pay(account, 3 * NANO, style="legacy", announce="none")
    body = callback_of(simnode, paid)
    assert b"link" not in body and b"subtype" not in body
    assert call_back(relay, body).status == 200
    wait_paid(relay, device, paid)
    assert relay.deliveries()[0]["payment"]["amount"] == str(3 * NANO)
    assert relay.deliveries()[0]["payment"]["from"] == simnode.rpc("blocks_info", hashes=[paid])["blocks"][paid]["block_account"]


def test_a_legacy_send_is_delivered_by_the_rpc_alone_where_the_websocket_hides_it(simnode, make_relay, account):
    relay = make_relay(config_for(simnode))
    device = proven_device(relay, account)
    wait_filtered(relay)
    legacy = simnode.pay(account, 3 * NANO, style="legacy", announce="ws")
    state = simnode.pay(account, 4 * NANO, announce="ws")
    wait_paid(relay, device, *state)  # the node's filter lets it through, and what was before it is not coming
    assert relay.rest("POST", "/api/v1/reconcile").status == 202
    wait_paid(relay, device, *state, *legacy)
    assert {one["payment"]["hash"]: one["payment"]["source"] for one in relay.deliveries()} == {state[0]: "nano_ws", legacy[0]: "backfill"}


# ---- never a delivery ---------------------------------------------------------------------------------------------------


def test_money_that_somebody_invents_waits_is_denied_and_never_delivered(simnode, relay, device, account, payer):
    """Hash and signature are right, by a key that is made for it; only the node knows that there is no such block."""
    forged = payer.send(account, 1000 * NANO)
    assert call_back(relay, forged.body()).status == 200
    wait_until(lambda: waiting(relay) == 1)
    (paid,) = simnode.pay(account, 5 * NANO, announce="none")
    assert call_back(relay, callback_of(simnode, paid)).status == 200
    wait_paid(relay, device, paid)
    assert waiting(relay) == 1
    # A minute later, in which the node still knows nothing of it.
    relay.stop()
    with closing(sqlite3.connect(relay.data / "coinslot.db")) as db, db:
        assert db.execute("UPDATE unconfirmed SET received_at = received_at - 60000").rowcount == 1
    relay.start()
    await_findings(relay, unknown=1)
    assert paid_to(relay, device) == [paid]
    assert forged.hash not in {payment["hash"] for payment in relay.payments()}


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-For"),
        ("Via: 1.1 proxy", "Via"),
        ("Forwarded: for=203.0.113.9", "Forwarded"),
        ("Origin: https://example.com", "Origin"),
    ],
)
def test_what_comes_through_a_proxy_or_from_a_web_page_is_forbidden(simnode, relay, device, account, payer, header, named):
    for notice in (payer.send(account, NANO), notice_of(simnode, simnode.pay(account, NANO, announce="none")[0])):
        answer = call_back(relay, notice.body(), [header])
        assert answer.status == 403
        assert named in answer.problem()["detail"]
    assert waiting(relay) == 0 and relay.deliveries() == []
    assert relay.metrics()['coinslot_callback_total{result="forbidden"}'] == 2


def test_what_is_signed_and_not_confirmed_waits_until_it_is(simnode, relay, device, account):
    (paid,) = simnode.pay(account, 5 * NANO, confirmed=False)
    assert call_back(relay, callback_of(simnode, paid)).status == 200
    asked = blocks_asked(simnode)
    wait_until(lambda: blocks_asked(simnode) >= asked + 3, what="three more questions about it")
    assert waiting(relay) == 1 and relay.deliveries() == []
    relay.rest("POST", "/api/v1/reconcile")
    wait_until(lambda: sources(relay)["reconciliation"]["sweeps"] >= 2)
    assert relay.deliveries() == []
    simnode.confirm(paid, announce="none")
    wait_paid(relay, device, paid)
    await_findings(relay, confirmed=1)


def test_what_waits_survives_a_power_cut(simnode, relay, device, account):
    (paid,) = simnode.pay(account, 5 * NANO, confirmed=False)
    assert call_back(relay, callback_of(simnode, paid)).status == 200
    relay.kill()
    relay.start()
    assert waiting(relay) == 1 and relay.deliveries() == []
    simnode.confirm(paid, announce="none")
    wait_paid(relay, device, paid)
    assert relay.deliveries()[0]["payment"]["source"] == "callback"
    assert waiting(relay) == 0


def test_a_lie_about_the_amount_is_denied_and_the_truth_delivered(simnode, relay, device, account):
    (paid,) = simnode.pay(account, 5 * NANO, announce="none")
    for amount in (500 * NANO, 1, 5 * NANO + 1):
        assert call_back(relay, callback_of(simnode, paid, amount=str(amount))).status == 200
    wait_paid(relay, device, paid)  # the node's word, by reconciliation
    (delivery,) = relay.deliveries()
    assert (delivery["payment"]["amount"], delivery["payment"]["source"]) == (str(5 * NANO), "backfill")
    wait_until(lambda: waiting(relay) == 0)
    assert relay.metrics()['coinslot_payments_total{result="stored"}'] == 1


def test_a_lie_about_the_amount_does_not_keep_the_truth_away(simnode, relay, device, account):
    """Both wait beside each other while the block is not confirmed; whoever comes first wins nothing."""
    (paid,) = simnode.pay(account, 5 * NANO, confirmed=False)
    assert call_back(relay, callback_of(simnode, paid, amount=str(500 * NANO))).status == 200
    assert call_back(relay, callback_of(simnode, paid)).status == 200
    assert waiting(relay) == 2
    simnode.confirm(paid, announce="none")
    wait_paid(relay, device, paid)
    wait_until(lambda: waiting(relay) == 0)
    assert [one["payment"]["amount"] for one in relay.deliveries()] == [str(5 * NANO)]


def test_a_lie_about_the_amount_of_a_legacy_send_is_denied(simnode, relay, device, account):
    (paid,) = simnode.pay(account, 5 * NANO, style="legacy", announce="none")
    assert call_back(relay, callback_of(simnode, paid, amount=str(500 * NANO))).status == 200
    wait_paid(relay, device, paid)
    assert [one["payment"]["amount"] for one in relay.deliveries()] == [str(5 * NANO)]
    await_findings(relay, contradicted=1)


def test_a_lie_about_who_pays_does_not_become_a_payment(simnode, relay, device, account):
    """A legacy block does not say whose it is; whoever signs it does, and is told from a liar by the signature, or by the node."""
    (paid,) = simnode.pay(account, 5 * NANO, style="legacy", announce="none")
    answer = call_back(relay, callback_of(simnode, paid, account=simnode.account()))
    assert answer.status == 422 and answer.problem()["code"] == "wrong_signature"
    assert waiting(relay) == 0 and relay.deliveries() == []


@pytest.mark.parametrize("style", ["state", "legacy"])
def test_a_block_that_pays_somebody_else_is_no_payment_whatever_is_said_of_it(simnode, relay, device, account, style):
    other = simnode.account()
    (paid,) = simnode.pay(other, 5 * NANO, style=style, announce="none")
    if style == "state":
        answer = call_back(relay, callback_of(simnode, paid, link_as_account=account))
        assert answer.status == 422 and answer.problem()["code"] == "contradiction"
        key = simnode.rpc("blocks_info", hashes=[simnode.pay(account, 1, announce="none")[0]], json_block=True)
        link = next(iter(key["blocks"].values()))["contents"]["link"]
        answer = call_back(relay, callback_of(simnode, paid, link=link, link_as_account=account))
    else:
        answer = call_back(relay, callback_of(simnode, paid, destination=account))
    assert answer.status == 422 and answer.problem()["code"] == "wrong_hash"
    assert call_back(relay, callback_of(simnode, paid)).status == 200
    assert relay.metrics()['coinslot_callback_total{result="unmatched"}'] == 1
    assert waiting(relay) == 0 and relay.deliveries() == []


def test_the_same_money_is_not_paid_twice_by_a_fork_of_the_block(simnode, relay, device, account, payer):
    """The payer signs two sends on one frontier. The node knows the one; the other never was."""
    simnode.adopt(payer)
    (money,) = simnode.pay(payer, 10 * NANO, announce="none")
    simnode.pocket(payer, announce="none")
    (paid,) = simnode.pay(account, 4 * NANO, from_=payer.address, announce="none")
    true = simnode.rpc("blocks_info", hashes=[paid], json_block=True)["blocks"][paid]["contents"]
    payer.frontier, payer.balance = true["previous"], 10 * NANO
    fork = payer.send(account, 9 * NANO)
    assert call_back(relay, fork.body()).status == 200
    assert call_back(relay, callback_of(simnode, paid)).status == 200
    wait_paid(relay, device, paid)
    assert waiting(relay) == 1


# ---- the limit ----------------------------------------------------------------------------------------------------------


def test_more_than_may_wait_is_answered_503_and_found_by_asking(simnode, make_relay, account, payer):
    relay = make_relay(config_for(simnode, ws=False, more="[limits]\nunconfirmed = 3\n"))
    device = proven_device(relay, account)
    forged = [payer.send(account, NANO + number) for number in range(3)]
    assert [call_back(relay, one.body()).status for one in forged] == [200] * 3
    (paid,) = simnode.pay(account, 5 * NANO, announce="none")
    answer = call_back(relay, callback_of(simnode, paid))
    assert answer.status == 503 and answer.problem()["code"] == "busy"
    assert int(answer.headers["retry-after"]) >= 1
    assert call_back(relay, forged[0].body()).status in (200, 503)
    wait_paid(relay, device, paid)
    assert relay.deliveries()[0]["payment"]["source"] == "backfill"
    assert waiting(relay) == 3
    lost = next(one for one in sources(relay)["sources"] if one["kind"] == "callback")["lost"]
    assert lost >= 1
    wait_proven(relay, device)


# ---- confirm = source ---------------------------------------------------------------------------------------------------


def test_who_trusts_the_callback_is_told_what_that_means_and_forged_money_is_believed(simnode, make_relay, account, payer):
    relay = make_relay(config_for(simnode, ws=False, confirm="source"))
    device = proven_device(relay, account)
    forged = payer.send(account, 1000 * NANO)
    assert call_back(relay, forged.body()).status == 200
    wait_paid(relay, device, forged.hash)
    assert any("confirm = source" in warning for warning in relay.rest("GET", "/readyz", role=None)["warnings"])
    assert "confirm = source" in relay.stderr()
    assert sources(relay)["confirm"] == "source"
