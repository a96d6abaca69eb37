"""A node's callback: what is stored, what is refused, where it may come from."""

import json
import socket

import pytest

from blocks import ZERO, print_callback, print_document
from network import ADDRESS, run_in_own_network
from node import FakeNode, read_answer, recorded_callbacks
from relay import CONFIG, Relay

GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493  # of Ed25519's prime subgroup


def altered(notice, block=None, **fields):
    """The callback's object with some fields replaced."""
    value = notice.to_object()
    if block is not None:
        value["block"] = print_document({**notice.block, **block})
    value.update(fields)
    return {name: value for name, value in value.items() if value is not None}


def hashes(relay):
    return [payment["hash"] for payment in relay.payments()]


# ---- what is stored -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recorded", recorded_callbacks(), ids=lambda recorded: recorded.name)
def test_the_fake_node_prints_as_the_recorded_one(recorded):
    value = recorded.object
    printed = print_callback({**value, "block": print_document(recorded.block)})
    assert FakeNode(0, host="::1").request(printed) == recorded.raw


def test_every_recorded_callback_is_answered_as_it_should_be(relay):
    recordings = recorded_callbacks()
    sends = {recorded.object["hash"]: recorded for recorded in recordings if recorded.destination}
    device = relay.create_device()
    for destination in {recorded.destination for recorded in sends.values()}:
        relay.subscribe(device, destination)
    node = FakeNode(relay.http_port)
    for recorded in recordings:
        answer = node.post_raw(recorded.raw)
        assert answer.status == 200, (recorded.name, answer)
        assert answer.headers["content-length"] == "0"
        assert answer.body == b""
    payments = {payment["hash"]: payment for payment in relay.payments()}
    assert set(payments) == set(sends)
    for hash, recorded in sends.items():
        assert payments[hash]["amount"] == recorded.object["amount"]
        assert payments[hash]["to"] == recorded.destination
        assert payments[hash]["from"] == recorded.object["account"]
    deliveries = relay.deliveries(device=device["id"])
    assert sorted(delivery["seq"] for delivery in deliveries) == list(range(1, len(sends) + 1))


def test_a_payment_is_there_at_once_after_its_200_even_when_the_relay_dies(relay, device, node, payer, shop):
    notice = payer.send(shop, 7)
    assert node.notify(notice).status == 200
    relay.kill()
    relay.start()
    assert hashes(relay) == [notice.hash]


def test_a_duplicate_is_200_and_changes_nothing(relay, device, node, payer, shop):
    notice = payer.send(shop, 7)
    for _ in range(3):
        assert node.notify(notice).status == 200
    before = relay.deliveries(), relay.payments()
    relay.restart()
    assert node.notify(notice).status == 200
    assert (relay.deliveries(), relay.payments()) == before
    assert len(before[0]) == len(before[1]) == 1


def test_news_that_pays_nobody_here_is_200_and_stored_nowhere(relay, device, node, payer, shop, signer):
    stranger = signer.account("a stranger")
    sent = payer.send(shop, 9)
    for notice in (payer.send(stranger, 5), payer.change(), shop.receive(sent)):
        assert node.notify(notice).status == 200
    assert hashes(relay) == []


def test_two_devices_on_one_address_both_get_the_one_payment(relay, device, node, payer, shop):
    other = relay.create_device("Meter 13")
    relay.subscribe(other, shop)
    notice = payer.send(shop, 7)
    assert node.notify(notice).status == 200
    assert hashes(relay) == [notice.hash]
    assert {delivery["device"] for delivery in relay.deliveries()} == {device["id"], other["id"]}


def test_every_spelling_of_an_address_is_the_same_subscription(relay, node, payer, shop):
    device = relay.create_device()
    subscription = relay.subscribe(device, shop.address.replace("nano_", "xrb_"))
    body = {"chain": "nano", "address": shop.address, "minimum": "0"}
    path = f"/api/v1/devices/{device['id']}/subscriptions"
    assert relay.rest("POST", path, body).status == 409
    notice = payer.send(shop, 7)
    assert node.notify(notice).status == 200
    assert hashes(relay) == [notice.hash]
    assert relay.rest("DELETE", f"{path}/{subscription['id']}").status == 204
    assert node.notify(payer.send(shop, 8)).status == 200
    assert hashes(relay) == [notice.hash]


def test_less_than_the_minimum_is_not_delivered(relay, node, payer, shop):
    device = relay.create_device()
    relay.subscribe(device, shop, minimum=str(10**27))
    less, enough = payer.send(shop, 10**27 - 1), payer.send(shop, 10**27)
    assert node.notify(less).status == 200
    assert node.notify(enough).status == 200
    assert [delivery["payment"]["hash"] for delivery in relay.deliveries()] == [enough.hash]


def test_the_largest_amount_there_is_comes_out_as_it_went_in(relay, device, node, payer, shop):
    payer.balance = 2**128 - 1
    notice = payer.send(shop, 2**128 - 1)
    assert node.notify(notice).status == 200
    assert relay.deliveries()[0]["payment"]["amount"] == "340282366920938463463374607431768211455"


def test_many_blocks_over_one_connection_and_many_connections_at_once(relay, device, payer, shop):
    kept = FakeNode(relay.http_port, keep_alive=True)
    notices = [payer.send(shop, 100 + number) for number in range(30)]
    for notice in notices[:10]:
        assert kept.notify(notice).status == 200
    assert kept._kept is not None, "the relay closed a connection that could have stayed"
    kept.close()
    node = FakeNode(relay.http_port)
    connections = [node.begin(node.request(notice.body())) for notice in notices[10:]]
    for connection in connections:
        assert read_answer(connection).status == 200
        connection.close()
    assert set(hashes(relay)) == {notice.hash for notice in notices}


def test_a_request_in_small_pieces_is_read_whole(relay, device, node, payer, shop):
    notice = payer.send(shop, 7)
    request = node.request(notice.body())
    with socket.create_connection(("127.0.0.1", relay.http_port), 10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(request), 97):
            connection.sendall(request[start : start + 97])
        assert read_answer(connection).status == 200
    assert hashes(relay) == [notice.hash]


# ---- what is refused ------------------------------------------------------------------------------------------------


def refusals(notice, other):
    """Name, body, the problem's code."""
    flipped = notice.block["signature"][:-1] + ("0" if notice.block["signature"][-1] != "0" else "1")
    return [
        ("no JSON", b"{", "malformed"),
        ("an array", b"[]\n", "malformed"),
        ("nothing", b"", "malformed"),
        ("too deep", b"[" * 2000 + b"]" * 2000, "malformed"),
        ("no hash", print_callback(altered(notice, hash=None)), "malformed"),
        ("no block", print_callback({**notice.to_object(), "block": ""}), "malformed"),
        ("an amount with a sign", print_callback(altered(notice, amount="-5")), "malformed"),
        ("an amount that is a number", print_callback(altered(notice, amount=5)), "malformed"),
        ("an amount beyond 128 bits", print_callback(altered(notice, amount=str(2**128))), "malformed"),
        ("a balance beyond 128 bits", print_callback(altered(notice, {"balance": str(2**128)})), "malformed"),
        ("another hash", print_callback(altered(notice, hash=other.hash)), "wrong_hash"),
        ("another previous", print_callback(altered(notice, {"previous": "AB" * 32})), "wrong_hash"),
        ("another signature", print_callback(altered(notice, {"signature": flipped})), "wrong_signature"),
        ("another account", print_callback(altered(notice, account=other.block["link_as_account"])), "contradiction"),
        ("a link that is not its account", print_callback(altered(notice, {"link_as_account": notice.account})), "malformed contradiction"),
        ("a send of nothing", print_callback(altered(notice, amount="0")), "contradiction"),
        ("more than there can be", print_callback(altered(notice, amount=str(2**128 - 1))), "contradiction"),
        ("a send that is called a receive", print_callback(altered(notice, subtype="receive")), "contradiction"),
    ]


def test_what_cannot_be_true_is_refused_with_the_reason_and_is_never_a_payment(relay, device, node, payer, shop):
    notice, other = payer.send(shop, 7), payer.send(shop, 8)
    for name, body, codes in refusals(notice, other):
        answer = node.post(body)
        problem = answer.problem()
        assert 400 <= answer.status < 500, name
        assert problem["code"] in codes.split(), (name, problem)
        assert len(problem["detail"]) > 10, (name, problem)
    assert hashes(relay) == []
    assert node.notify(notice).status == 200
    assert hashes(relay) == [notice.hash]


def test_refusals_are_counted_by_reason(relay, device, node, payer, shop):
    notice = payer.send(shop, 7)
    before = relay.metrics()
    for name, body, codes in refusals(notice, payer.send(shop, 8)):
        node.post(body)
    after = relay.metrics()
    for code in ("malformed", "wrong_hash", "wrong_signature", "contradiction"):
        counted = [name for name in after if f'"{code}"' in name and "callback" in name]
        assert counted, f"no metric counts {code}: {sorted(after)}"
        assert sum(after[name] for name in counted) > sum(before.get(name, 0) for name in counted), code


def test_a_signature_that_a_peer_lifted_by_the_groups_order_is_valid_as_it_is_for_the_node(relay, device, node, payer, shop):
    notice = payer.send(shop, 7)
    signature = bytes.fromhex(notice.block["signature"])
    lifted = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    changed = (signature[:32] + lifted.to_bytes(32, "little")).hex().upper()
    assert node.post(print_callback(altered(notice, {"signature": changed}))).status == 200
    assert hashes(relay) == [notice.hash]


def test_a_send_signed_by_somebody_else_is_refused(relay, device, node, payer, shop, signer):
    notice = payer.sign("send", 10**35, shop.address, 9 * 10**35)
    notice.block["signature"] = signer.account("a thief").sign_hash(notice.hash)
    assert node.notify(notice).problem()["code"] == "wrong_signature"
    assert hashes(relay) == []


def test_signature_never_still_checks_the_hash(make_relay, payer, shop):
    relay = make_relay(CONFIG + "[verify]\nsignature = never\n")
    device = relay.create_device()
    relay.subscribe(device, shop)
    node = FakeNode(relay.http_port)
    notice = payer.send(shop, 7)
    assert node.post(print_callback(altered(notice, {"previous": "AB" * 32}))).problem()["code"] == "wrong_hash"
    assert node.post(print_callback(altered(notice, {"signature": "AB" * 64}))).status == 200
    assert hashes(relay) == [notice.hash]


def test_a_body_too_big_is_refused_before_it_is_kept(relay, node):
    assert node.post(b'{"a":"' + b"x" * 2**20 + b'"}').status == 413


def test_other_methods_and_paths_are_refused(relay, node):
    for method, path, status in (("GET", "/callback/", 405), ("PUT", "/callback/", 405), ("POST", "/nothing", 404)):
        assert relay.rest(method, path, role=None).status == status


# ---- where it may come from -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["Origin: http://evil.example", "Forwarded: for=10.0.0.1", "X-Forwarded-For: 10.0.0.1", "Via: 1.1 p"])
def test_what_came_through_a_browser_or_a_proxy_is_refused_and_told_of_the_secret_path(relay, device, node, payer, shop, header):
    answer = node.post(payer.send(shop, 7).body(), [header])
    assert answer.status == 403
    assert "/callback/" in json.dumps(answer.problem())
    assert "secret" in json.dumps(answer.problem())
    assert hashes(relay) == []


def test_what_a_web_page_can_send_without_asking_is_refused(relay, device, node, payer, shop):
    request = node.request(payer.send(shop, 7).body())
    for type in (b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data"):
        answer = node.post_raw(request.replace(b"application/json", type))
        assert answer.status == 403, type
        answer.problem()
    assert hashes(relay) == []


def test_with_the_secret_a_proxy_may_stand_between_and_without_it_nobody_may_guess(make_relay, payer, shop):
    relay = make_relay("[callback]\nconfirm = source\nsecret = correct-horse-battery-staple\n")
    device = relay.create_device()
    relay.subscribe(device, shop)
    proxied = ["X-Forwarded-For: 10.0.0.1", "Via: 1.1 proxy"]
    first, second, third = (payer.send(shop, amount) for amount in (7, 8, 9))
    right = FakeNode(relay.http_port, target="/callback/correct-horse-battery-staple")
    assert right.post(first.body(), proxied).status == 200
    wrong = FakeNode(relay.http_port, target="/callback/correct-horse-battery-stapl")
    assert wrong.notify(second).status in (403, 404)
    # Without it, loopback still may.
    assert FakeNode(relay.http_port).post(second.body(), proxied).status == 403
    assert FakeNode(relay.http_port).notify(third).status == 200
    assert hashes(relay) == [third.hash, first.hash]
    assert "correct-horse" not in relay.stderr()


def test_from_another_address_than_loopback_only_the_secret_opens(tmp_path, payer, shop):
    notice = payer.send(shop, 7)

    def elsewhere():
        config = "[callback]\nconfirm = source\nsecret = correct-horse-battery-staple\n"
        relay = Relay(tmp_path, config, http="0.0.0.0:0").start()
        device = relay.create_device()
        relay.subscribe(device, shop)
        answer = FakeNode(relay.http_port, host=ADDRESS).notify(notice)
        assert answer.status == 403
        answer.problem()
        assert hashes(relay) == []
        with_secret = FakeNode(relay.http_port, target="/callback/correct-horse-battery-staple", host=ADDRESS)
        assert with_secret.notify(notice).status == 200
        assert hashes(relay) == [notice.hash]
        relay.close()

    run_in_own_network(elsewhere)


# ---- when there is no room ------------------------------------------------------------------------------------------


def test_a_nearly_full_disk_answers_503_and_the_relay_stays_readable(make_relay, payer, shop):
    relay = make_relay()
    device = relay.create_device()
    relay.subscribe(device, shop)
    stored = payer.send(shop, 7)
    assert FakeNode(relay.http_port).notify(stored).status == 200
    relay.stop()

    relay.config.write_text(CONFIG + "[store]\nmin_free_mb = 1000000000\n")
    relay.start()
    answer = FakeNode(relay.http_port).notify(payer.send(shop, 8))
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    answer.problem()
    assert relay.rest("GET", "/healthz", role=None).status == 200
    assert relay.rest("GET", "/readyz", role=None).status == 503
    assert hashes(relay) == [stored.hash]


def test_a_zero_link_pays_the_burn_address_only_when_somebody_watches_it(relay, node, payer):
    burn = "nano_1111111111111111111111111111111111111111111111111111hifc8npp"
    device = relay.create_device()
    relay.subscribe(device, burn)
    notice = payer.send(burn, 7)
    assert notice.block["link"] == ZERO
    assert node.notify(notice).status == 200
    assert hashes(relay) == [notice.hash]
