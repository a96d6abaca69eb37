"""Nodes that answer nothing, errors, halves, or nonsense: the relay stays up, says so, believes none of it, and goes on once they are well."""

import http.server
import json
import threading
import time

import pytest

from node import FakeNode
from relay import wait_until
from upstream import (
    NANO,
    callback_of,
    completeness,
    config_for,
    paid_to,
    proven_device,
    readiness,
    source,
    sources,
    wait_alive,
    wait_paid,
    wait_proven,
)

QUICK = "rpc_timeout_s = 1\n"


@pytest.fixture
def relay(make_relay, simnode):
    return make_relay(config_for(simnode, nano=QUICK))


@pytest.fixture
def device(relay, account):
    return proven_device(relay, account)


FAULTS = {
    "errors": {"rpc_errors": 100},
    "http status 500": {"rpc_status": 500},
    "half answers": {"rpc_garbage": 100},
    "cut connections": {"rpc_cuts": 100},
    "silence": {"rpc_stall": 1},
    "answers that come too late": {"rpc_delay_ms": 1500},
    "a third of everything": {"rpc_errors": 33, "rpc_garbage": 33, "rpc_cuts": 33},
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_failing_rpc_is_told_and_what_it_did_not_say_is_found_later(simnode, relay, device, account, name):
    found = simnode.pay(account, NANO, announce="none")
    (called,) = simnode.pay(account, 2 * NANO, announce="none", style="legacy")
    body = callback_of(simnode, called)
    simnode.faults(**FAULTS[name])
    assert FakeNode(relay.http_port).post(body).status == 200
    assert relay.rest("POST", "/api/v1/reconcile").status == 202
    partly = name == "a third of everything"
    if not partly:
        failed = wait_until(lambda: (one := sources(relay)["reconciliation"])["failed"] and one, what="a failure that is told")
        assert failed["why"]
        assert relay.deliveries() == [] and sources(relay)["unconfirmed"] == 1
    simnode.faults(**{fault: 0 for fault in FAULTS[name]})
    wait_paid(relay, device, *found, called)
    wait_proven(relay, device)
    wait_until(lambda: sources(relay)["unconfirmed"] == 0)
    wait_until(lambda: sources(relay)["reconciliation"]["why"] is None, what="that the failure is over")


def test_a_relay_starts_without_its_node_and_finds_it_when_it_comes(make_simnode, make_relay, simnode, account, connect):
    relay = make_relay(config_for(simnode, nano=QUICK))
    device = relay.create_device("Meter 12")
    relay.subscribe(device, account)
    wait_proven(relay, device)
    relay.stop()
    paid = simnode.pay(account, NANO, count=3)
    simnode.restart(down_ms=3000)
    wait_until(lambda: not reachable(simnode), what="that the node goes down")
    relay.start()
    wait_until(lambda: readiness(relay) == (503, {"sources": "the sources are not connected yet"}))
    assert relay.deliveries() == [] and not completeness(relay, device)[0]["proven"]
    assert sources(relay)["completeness"]["proven"] == 0
    wait_until(lambda: sources(relay)["node"]["rpc"] == "down")
    wait_proven(relay, device)
    wait_paid(relay, device, *paid)
    wait_until(lambda: readiness(relay) == (200, {}))


def reachable(simnode):
    try:
        return simnode.status()
    except OSError:
        return None


# ---- the end, whenever it comes -----------------------------------------------------------------------------------------


def stop_soon(relay, within_s=15):
    began = time.monotonic()
    relay.stop()
    assert time.monotonic() - began < within_s
    assert "WARNING: ThreadSanitizer" not in relay.stderr()


def asked(simnode, action):
    calls = simnode.status()["calls_by_action"] or {}
    return int(calls.get(action, 0))


@pytest.mark.parametrize("action", ["accounts_balances", "accounts_frontiers", "receivable", "account_history", "blocks_info", "block_count"])
def test_it_stops_soon_while_a_question_waits_for_its_answer(make_relay, simnode, account, action):
    relay = make_relay(config_for(simnode))
    device = relay.create_device("Meter 12")
    relay.subscribe(device, account)
    wait_proven(relay, device)
    hashes = simnode.pay(account, NANO, count=3, announce="none")
    simnode.pocket(account, count=1, announce="none")
    body = callback_of(simnode, hashes[2])
    before = asked(simnode, action)
    simnode.faults(rpc_delay_ms=300)  # each question is under way long enough to be met in it
    assert relay.rest("POST", "/api/v1/reconcile").status == 202
    FakeNode(relay.http_port).post(body)
    wait_until(lambda: asked(simnode, action) > before, what=f"a question for {action}")
    simnode.faults(rpc_delay_ms=0, rpc_stall=1)
    stop_soon(relay)
    simnode.faults(rpc_stall=0)
    relay.start()
    wait_paid(relay, device, *hashes)


def test_it_stops_soon_while_it_connects_and_while_nothing_answers_an_upgrade(make_relay, simnode):
    simnode.faults(ws_stall=1, rpc_stall=1)
    relay = make_relay(config_for(simnode))
    stop_soon(relay)
    simnode.faults(ws_stall=0, ws_refuse=1)
    relay.start()
    wait_alive(relay, "nano_ws", False)
    stop_soon(relay)


def test_it_stops_soon_with_much_to_find_and_much_that_waits(make_relay, simnode, account, payer):
    relay = make_relay(config_for(simnode, ws=False))
    device = relay.create_device("Meter 12")
    relay.subscribe(device, account)
    wait_proven(relay, device)
    paid = simnode.pay(account, NANO, count=2000, announce="none")
    forged = [payer.send(account, NANO + number).body() for number in range(20)]
    assert relay.rest("POST", "/api/v1/reconcile").status == 202
    node = FakeNode(relay.http_port, keep_alive=True)
    for body in forged:
        assert node.post(body).status == 200
    node.close()
    stop_soon(relay)
    relay.start()
    wait_paid(relay, device, *paid)
    assert sources(relay)["unconfirmed"] == 20


# ---- nonsense -----------------------------------------------------------------------------------------------------------

NONSENSE = {
    "an empty body": b"",
    "no JSON": b"<html>Bad gateway</html>",
    "an empty object": b"{}",
    "an empty list": b"[]",
    "a text": b'"ok"',
    "null": b"null",
    "everything empty": b'{"frontiers": "", "balances": "", "blocks": "", "history": "", "count": "", "cemented": ""}',
    "numbers where texts are due": b'{"frontiers": 1, "balances": 2, "blocks": 3, "history": 4, "count": 5, "cemented": 6}',
    "lists where objects are due": b'{"frontiers": [1], "balances": [2], "blocks": [3], "history": {"a": 1}, "count": []}',
    "deep": b'{"balances":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "binary": bytes(range(256)),
    "a hundred thousand members": b'{"balances": {' + b",".join(b'"%d": ""' % number for number in range(100000)) + b"}}",
}


class Liar:
    """A server that gives one answer to whatever it is asked."""

    def __init__(self):
        self.body = b"{}"
        self.asked = 0
        liar = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                liar.asked += 1
                body = liar.body
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.rpc_url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def liar():
    liar = Liar()
    yield liar
    liar.close()


def test_nonsense_for_an_answer_is_believed_of_nobody(make_relay, liar, signer, payer):
    """A new address and a callback are asked about at once, however often it was in vain before."""
    relay = make_relay(config_for(liar, ws=False))
    for number, (name, body) in enumerate(NONSENSE.items()):
        liar.body, before = body, liar.asked
        device = relay.create_device("Meter 12")
        shop = signer.account(f"shop {number}")
        relay.subscribe(device, shop)
        assert FakeNode(relay.http_port).notify(payer.send(shop, NANO)).status == 200
        wait_until(lambda: liar.asked >= before + 2, what=f"questions that are answered with {name}")
        assert not completeness(relay, device)[0]["proven"], name
        assert sources(relay)["unconfirmed"] == number + 1 and relay.deliveries() == [], name
    wait_until(lambda: not source(relay, "backfill")["alive"])
    assert sources(relay)["reconciliation"]["why"]
    stop_soon(relay)


def test_a_node_that_invents_a_block_for_a_hash_is_found_out(make_relay, liar, shop, payer, signer):
    """The hash of what it says is computed here: a true block of somebody else's is not the one that was asked for."""
    relay = make_relay(config_for(liar, ws=False))
    device = relay.create_device("Meter 12")
    relay.subscribe(device, shop)
    forged, true = payer.send(shop, 1000 * NANO), signer.account("somebody").send(shop, 1000 * NANO)
    liar.body = json.dumps(
        {
            "count": "5",
            "cemented": "5",
            "blocks": {
                forged.hash: {
                    "block_account": true.account,
                    "amount": str(true.amount),
                    "balance": true.block["balance"],
                    "height": "3",
                    "local_timestamp": "1700000000",
                    "confirmed": "true",
                    "contents": true.block,
                    "subtype": "send",
                }
            },
        }
    ).encode()
    assert FakeNode(relay.http_port).notify(forged).status == 200
    before = liar.asked
    wait_until(lambda: liar.asked >= before + 4)
    assert relay.deliveries() == [] and sources(relay)["unconfirmed"] == 1
    assert relay.metrics()['coinslot_confirm_total{result="confirmed"}'] == 0
    assert paid_to(relay, device) == []
