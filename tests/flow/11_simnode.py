"""The simulated node of `coinslot simulate --rpc --ws`: what it can be told, and how badly it can behave."""

import contextlib
import json
import socket
import time

import pytest
import websockets

from relay import run_coinslot, wait_until
from simnode import RpcError


def callback_url(relay):
    return f"http://127.0.0.1:{relay.http_port}/callback/"


def test_what_it_pays_arrives_by_callback(relay, device, shop, make_simnode):
    node = make_simnode(callback=callback_url(relay))
    hashes = node.pay(shop, amount=10**27, count=3) + node.pay(shop, amount=5, style="legacy")
    stored = wait_until(lambda: len(relay.payments()) == 4 and relay.payments())
    assert {payment["hash"]: payment["amount"] for payment in stored} == dict(zip(hashes, ["1" + "0" * 27] * 3 + ["5"], strict=True))
    wait_until(lambda: node.status()["callbacks_accepted"] == "4")
    assert [payment["callback"] for payment in node.payments()] == ["true"] * 4


def test_what_nobody_announces_stands_in_its_ledger_alone(relay, device, shop, make_simnode):
    node = make_simnode(callback=callback_url(relay))
    (silent,) = node.pay(shop, announce="none")
    (told,) = node.pay(shop)
    assert [payment["hash"] for payment in wait_until(relay.payments)] == [told]
    assert set(node.rpc("receivable", account=shop.address)["blocks"]) == {silent, told}


def test_unconfirmed_payments_wait_until_they_are_confirmed(simnode):
    shop = simnode.account()
    (hash,) = simnode.pay(shop, amount=7, confirmed=False)
    assert simnode.rpc("receivable", account=shop)["blocks"] == ""
    assert simnode.rpc("blocks_info", hashes=[hash])["blocks"][hash]["confirmed"] == "false"
    simnode.confirm(hash)
    assert simnode.rpc("receivable", account=shop)["blocks"] == [hash]
    assert simnode.rpc("blocks_info", hashes=[hash])["blocks"][hash]["confirmed"] == "true"


def test_a_wallet_pockets_what_it_is_told_to_or_everything_at_once(simnode):
    first, second = simnode.accounts(2)
    sends = simnode.pay(first, count=3, amount=4)
    receives = simnode.pocket(first)
    found = simnode.rpc("blocks_info", hashes=sends, receive_hash=True)["blocks"]
    assert {block["receive_hash"] for block in found.values()} == set(receives)
    assert simnode.rpc("receivable", account=first)["blocks"] == ""
    simnode.tell("auto_receive", account=second)
    simnode.pay(second, amount=9)
    info = simnode.rpc("account_info", account=second, include_confirmed=True)
    assert (info["confirmed_balance"], info["confirmed_height"]) == ("9", "1")


def test_it_pockets_for_accounts_whose_key_it_is_given(simnode, shop):
    simnode.pay(shop, amount=3)
    with pytest.raises(RpcError, match="key is not known"):
        simnode.pocket(shop)
    assert simnode.adopt(shop) == shop.address
    simnode.pocket(shop)
    assert simnode.rpc("account_balance", account=shop.address)["balance"] == "3"


# ---- faults -------------------------------------------------------------------------------------------------------------


def subscribed(connect, node, **options):
    """A session that hears of confirmations."""
    session = connect(node, path="", subprotocol=None)
    session.send(action="subscribe", topic="confirmation", ack=True, **({"options": options} if options else {}))
    assert json.loads(session.receive_text())["ack"] == "subscribe"
    return session


def heard(session):
    """The hashes that have come by now."""
    session.send(action="ping")
    came = []
    while True:
        value = json.loads(session.receive_text())
        if value.get("ack") == "pong":
            return came
        came.append(value["message"]["hash"])


def test_callbacks_are_lost_as_often_as_was_asked_for(relay, device, shop, make_simnode):
    node = make_simnode(callback=callback_url(relay), arguments=("--lose-callbacks", 50))
    hashes = node.pay(shop, count=200, amount=10)
    wait_until(lambda: int(node.status()["callbacks_made"]) + int(node.status()["callbacks_lost"]) == 200)
    told = {payment["hash"] for payment in node.payments() if payment["callback"] == "true"}
    assert 50 < len(told) < 150
    assert {payment["hash"] for payment in relay.payments()} == told
    node.faults(lose_callbacks=0)
    node.announce(*(hash for hash in hashes if hash not in told))
    wait_until(lambda: len(relay.payments()) == 200)


def test_a_scenario_goes_on_with_a_face_and_its_payments_are_in_the_ledger(relay, device, shop, make_simnode, connect):
    node = make_simnode(
        callback=callback_url(relay),
        arguments=("--to", shop.address, "--count", 20, "--rate", 100, "--seed", 5, "--noise", 50, "--legacy", 20, "--forgeries", 20),
    )
    session = subscribed(connect, node)
    wait_until(lambda: len(relay.payments()) == 20)
    sent = {line["hash"] for line in wait_until(lambda: [line for line in node.lines() if line["kind"] == "send"])}
    assert set(node.rpc("receivable", account=shop.address)["blocks"]) == {payment["hash"] for payment in relay.payments()} >= sent
    assert set(heard(session)) & sent
    node.stop()
    assert node.lines()[-1]["summary"]["unexpected"] == 0


def test_websockets_are_cut_refused_and_dropped_now_and_then(simnode, connect):
    first = subscribed(connect, simnode)
    simnode.tell("cut_ws")
    assert first.receive_close() in (None, 1006)
    simnode.faults(ws_refuse=1)
    with pytest.raises((OSError, EOFError, websockets.InvalidHandshake, websockets.InvalidMessage)):
        connect(simnode, path="", subprotocol=None)
    simnode.faults(ws_refuse=0, ws_drop_every_ms=700)
    for _ in range(3):
        assert subscribed(connect, simnode).receive_close() in (None, 1006)
    status = simnode.status()
    assert (status["ws_sessions"], status["ws_refused"]) == ("0", "1")


def test_a_stalled_websocket_takes_everything_and_says_nothing(simnode, connect):
    session = subscribed(connect, simnode)
    simnode.faults(ws_stall=1)
    simnode.pay(simnode.account())
    session.send(action="ping")
    with pytest.raises(TimeoutError):
        session.receive_text(timeout=0.3)
    simnode.faults(ws_stall=0)
    assert heard(session) == []  # what was not said is lost


def test_messages_are_lost_and_repeated(simnode, connect):
    session = subscribed(connect, simnode)
    shop = simnode.account()
    simnode.faults(lose_ws=100)
    simnode.pay(shop)
    simnode.faults(lose_ws=0, repeat_ws=100)
    (hash,) = simnode.pay(shop)
    assert heard(session) == [hash, hash]
    assert [payment["ws"] for payment in simnode.payments()] == ["false", "true"]


def test_an_update_can_be_ignored_as_some_providers_do(simnode, connect):
    shop = simnode.account()
    session = subscribed(connect, simnode, accounts=[])
    simnode.faults(ws_no_update=1)
    session.send(action="update", topic="confirmation", ack=True, options={"accounts_add": [shop]})
    simnode.pay(shop)
    assert heard(session) == []
    simnode.faults(ws_no_update=0)
    session.send(action="update", topic="confirmation", options={"accounts_add": [shop]})
    assert heard(session) == []
    (hash,) = simnode.pay(shop)
    assert heard(session) == [hash]


def test_the_rpc_stalls_and_answers_when_that_is_over(simnode):
    simnode.faults(rpc_stall=1)
    with pytest.raises(TimeoutError):
        simnode.rpc("block_count", timeout=0.3)
    simnode.faults(rpc_stall=1, for_ms=400)
    began = time.monotonic()
    assert simnode.rpc("block_count")["count"]
    assert time.monotonic() - began > 0.2


def test_the_rpc_lags_and_catches_up(simnode):
    shop = simnode.account()
    (old,) = simnode.pay(shop, amount=1)
    before = int(simnode.rpc("block_count")["count"])
    simnode.faults(rpc_lag_ms=60000)
    (new,) = simnode.pay(shop, amount=2)
    (receive, _) = simnode.pocket(shop)
    assert int(simnode.rpc("block_count")["count"]) == before
    assert simnode.rpc("receivable", account=shop)["blocks"] == [old]
    with pytest.raises(RpcError, match="Block not found"):
        simnode.rpc("blocks_info", hashes=[new])
    simnode.faults(rpc_lag_ms=1)
    wait_until(lambda: int(simnode.rpc("block_count")["count"]) == before + 3)
    assert simnode.rpc("account_info", account=shop)["block_count"] == "2"
    simnode.faults(rpc_lag_ms=0)
    assert simnode.rpc("receivable", account=shop)["blocks"] == ""
    assert receive in simnode.rpc("blocks_info", hashes=[receive])["blocks"]


def test_the_rpc_answers_with_errors_garbage_and_hangs_up(simnode):
    simnode.faults(rpc_errors=100)
    with pytest.raises(RpcError, match="Internal server error"):
        simnode.rpc("block_count")
    simnode.faults(rpc_errors=0, rpc_status=500)
    assert simnode.post(b'{"action":"version"}')[0] == 500
    simnode.faults(rpc_status=0, rpc_garbage=100)
    with pytest.raises(ValueError):
        simnode.rpc("version")
    simnode.faults(rpc_garbage=0, rpc_cuts=100)
    with pytest.raises(ConnectionError):
        simnode.rpc("version")
    simnode.faults(rpc_cuts=0, rpc_delay_ms=200)
    began = time.monotonic()
    simnode.rpc("version")
    assert time.monotonic() - began >= 0.19
    simnode.faults(rpc_errors=100, rpc_delay_ms=0, for_ms=100)
    time.sleep(0.6)
    assert simnode.rpc("version")["node_vendor"] == "Nano V27.1"
    assert simnode.status()["calls_by_action"] == {"(error)": "1", "(status)": "1", "version": "3", "(cut)": "1"}


def test_a_restart_drops_everything_and_comes_back_with_the_same_ledger(simnode, connect):
    session = subscribed(connect, simnode)
    shop = simnode.account()
    (hash,) = simnode.pay(shop)
    simnode.faults(rpc_stall=1)
    held = socket.create_connection(("127.0.0.1", simnode.rpc_port))
    held.sendall(b'POST / HTTP/1.1\r\nContent-Length: 20\r\n\r\n{"action":"version"}')
    simnode.restart(down_ms=300)
    assert session.receive_close() in (None, 1006)
    with held:
        held.settimeout(20)
        with contextlib.suppress(ConnectionResetError):
            assert held.recv(100) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", simnode.ws_port))

    def back():
        with contextlib.suppress(OSError):
            return simnode.status()

    wait_until(back)
    simnode.faults(rpc_stall=0)
    assert simnode.rpc("receivable", account=shop)["blocks"] == [hash]
    assert int(simnode.rpc("uptime")["seconds"]) <= 1
    assert heard(subscribed(connect, simnode)) == []


def test_bursts_and_rates_are_told_in_the_order_of_payment(simnode, connect):
    session = subscribed(connect, simnode)
    shops = simnode.accounts(3)
    burst = simnode.pay(shops, count=300, amount=1)
    assert heard(session) == burst
    simnode.pay(shops, count=50, rate=1000)
    wait_until(lambda: len(simnode.payments()) == 350)
    paid = simnode.payments()
    assert heard(session) == [payment["hash"] for payment in paid[300:]]
    assert [payment["to"] for payment in paid[300:]] == [shops[i % 3] for i in range(50)]
    assert simnode.status()["payments_left"] == "0"


def test_what_is_confirmed_with_another_is_told_to_no_callback(relay, device, shop, make_simnode, connect):
    node = make_simnode(callback=callback_url(relay))
    session = subscribed(connect, node)
    (implicit,) = node.pay(shop, confirmed=False)
    (own,) = node.pay(shop)
    assert heard(session) == [implicit, own]
    assert [payment["hash"] for payment in wait_until(relay.payments)] == [own]
    (inactive,) = node.pay(shop, why="inactive")
    node.rpc("block_confirm", hash=inactive)  # told to everybody, now
    wait_until(lambda: len(relay.payments()) == 2)
    assert heard(session) == [inactive, inactive]


def test_block_times_can_be_those_of_a_node_that_begins_anew(simnode):
    (hash,) = simnode.pay(simnode.account())
    first = int(simnode.rpc("block_info", hash=hash)["local_timestamp"])
    time.sleep(1.1)
    simnode.tell("reset_times")
    assert int(simnode.rpc("block_info", hash=hash)["local_timestamp"]) > first


@pytest.mark.parametrize(
    "order",
    [{}, {"do": "dance"}, {"do": "pay"}, {"do": "pay", "to": "nano_1"}, {"do": "faults", "rain": 1}, {"do": "faults", "lose_ws": 101}],
)
def test_orders_that_make_no_sense_are_refused(simnode, order):
    with pytest.raises(RpcError):
        simnode.rpc("simulate", **order)


@pytest.mark.parametrize("arguments", [("--rpc", "nowhere"), ("--ws", "127.0.0.1:99999"), ("--rpc", "127.0.0.1:0", "--fault", "rain=1")])
def test_a_face_that_makes_no_sense_is_wrong_usage(arguments):
    done = run_coinslot("simulate", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


def test_a_port_that_is_taken_is_a_failure_that_says_so():
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = run_coinslot("simulate", "--rpc", f"127.0.0.1:{server.getsockname()[1]}")
    assert done.returncode == 1
    assert "choose another" in done.stderr.splitlines()[-1]
