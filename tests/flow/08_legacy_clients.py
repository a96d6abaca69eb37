"""Nano_Callback_System's clients, as they are, against the relay."""

import json
import os
import time
from pathlib import Path

import pytest

from handshake import refused
from legacy import CLIENTS, ArduinoClient, Recorder, Replay, WebsocketsClient, details, seconds_on
from network import ADDRESS, run_in_own_network
from node import FakeNode, recorded_callbacks
from relay import CONFIG, Relay, wait_until
from session import Loop

RECORDINGS = Path(__file__).resolve().parent.parent / "data" / "legacy"
KEYS = CONFIG + "[legacy]\nlegacy = key\n"
LIVELY = CONFIG + "[limits]\nping_interval_s = 1\nping_timeout_s = 1\n"


@pytest.fixture(params=CLIENTS)
def client_class(request):
    return CLIENTS[request.param]


@pytest.fixture
def make_client(loop):
    made = []

    def make(kind, relay, url=None, **options):
        client = kind(url or relay.ws_url + "/call", loop, **options)
        made.append(client)
        return client

    yield make
    for client in made:
        try:
            client.close()
        except Exception:
            pass  # the relay has closed it, or is gone


def await_addresses(relay, count):
    wait_until(lambda: relay.metrics()["coinslot_legacy_addresses"] == count, what=f"{count} addresses in the index")


def xrb(address):
    return address.replace("nano_", "xrb_", 1)


# ---- what went over the wire, then and now ----------------------------------------------------------------------------


def recorded_sends():
    """Two real sends to two addresses, the second of which a client of then knows as xrb_."""
    sends = [one for one in recorded_callbacks() if one.destination and one.object.get("subtype") == "send"]
    first = sends[0]
    return first, next(one for one in sends if one.destination != first.destination)


def play(client, relay):
    """What every client is recorded with."""
    first, second = recorded_sends()
    node = FakeNode(relay.http_port)
    client.listen(first.destination)
    client.listen(xrb(second.destination))
    await_addresses(relay, 2)
    for one in (first, first, second):  # the node repeats itself
        assert node.post_raw(one.raw).status == 200
    assert client.receive() == first.body.decode()
    assert client.receive() == second.body.decode()
    client.listen(first.destination[:-1])
    assert json.loads(client.receive()) == {
        "error": f'"address" {first.destination[:-1]} is no Nano address; send {{"address":"nano_...","api_key":"..."}}'
    }
    client.close()


@pytest.mark.parametrize("name", CLIENTS)
def test_a_real_run_of_each_library_is_to_the_byte_as_it_was_recorded(relay, loop, name):
    """COINSLOT_RECORD=1 records anew."""
    recorder = Recorder(relay.ws_port)
    play(CLIENTS[name](recorder.url, loop), relay)
    items = recorder.finish()
    path = RECORDINGS / f"{name}.json"
    if os.environ.get("COINSLOT_RECORD"):
        path.write_text(json.dumps(items, indent=1, ensure_ascii=False) + "\n")
    assert items == json.loads(path.read_text())


@pytest.mark.parametrize("name", CLIENTS)
def test_the_recorded_frames_of_each_client_get_the_answers_of_then(relay, name):
    node, sends = FakeNode(relay.http_port), list(recorded_sends())
    replay, said = Replay(relay.ws_port), 0
    for item in json.loads((RECORDINGS / f"{name}.json").read_text()):
        if item["from"] == "client":
            replay.send(item)
            said += item.get("opcode") == "text"
            continue
        if '"hash"' in item.get("payload", ""):
            await_addresses(relay, 2)
            assert node.post_raw(sends.pop(0).raw).status == 200
        assert replay.receive() == item
    replay.close()
    assert said == 3 and sends == []
    await_addresses(relay, 0)


# ---- who gets what ----------------------------------------------------------------------------------------------------


def test_every_recorded_callback_to_an_address_comes_as_the_node_sent_it(relay, make_client, client_class):
    client = make_client(client_class, relay)
    sends = {one.object["hash"]: one for one in recorded_callbacks() if one.destination}
    destinations = {one.destination for one in sends.values()}
    for destination in destinations:
        client.listen(destination)
    await_addresses(relay, len(destinations))
    node = FakeNode(relay.http_port)
    for one in recorded_callbacks():
        assert node.post_raw(one.raw).status == 200
    received = [client.receive() for _ in sends]
    assert sorted(received) == sorted(one.body.decode() for one in sends.values())
    assert client.receive(0.3) is None
    for text in received:
        one = sends[json.loads(text)["hash"]]
        if one.block["type"] == "state":
            assert details(text) == (one.object["amount"], one.destination)
    assert relay.metrics()["coinslot_legacy_forwarded_total"] == len(sends)
    assert {payment["hash"] for payment in relay.payments()} == set(sends)
    assert relay.deliveries() == []


def test_all_three_kinds_share_an_address_with_a_device_and_each_gets_a_payment_once(relay, node, payer, shop, connect, make_client):
    device = relay.create_device()
    relay.subscribe(device, shop)
    session = connect(relay)
    session.greet(device)
    clients = [make_client(kind, relay) for kind in CLIENTS.values()]
    for client in clients:
        client.send("Connected")
        client.listen(xrb(shop.address))
        client.listen(shop.address)
    await_addresses(relay, 3)
    for amount in (10**29, 5 * 10**29):
        notice = payer.send(shop, amount)
        for _ in range(3):
            assert node.notify(notice).status == 200
        for client in clients:
            text = client.receive()
            assert text == notice.body().decode()
            assert details(text) == (str(amount), shop.address)
            assert seconds_on(text) == (600 if amount == 10**29 else 3600)
        assert session.receive("payment")["payment"]["hash"] == notice.hash
    for client in clients:
        assert client.receive(0.3) is None


def test_who_leaves_frees_the_address_and_who_comes_back_gets_what_comes_from_then_on(relay, node, payer, shop, make_client, client_class):
    first = make_client(client_class, relay)
    first.listen(shop.address)
    await_addresses(relay, 1)
    first.close()
    await_addresses(relay, 0)

    def is_forgotten():
        before = len(relay.payments())
        node.notify(payer.send(shop, 7))
        return len(relay.payments()) == before

    wait_until(is_forgotten, what="the end of the address in the index")
    relay.restart()
    again = make_client(client_class, relay)
    again.listen(shop.address)
    await_addresses(relay, 1)
    notice = payer.send(shop, 9)
    node = FakeNode(relay.http_port)
    node.notify(notice)
    assert again.receive() == notice.body().decode()
    relay.kill()
    with pytest.raises(Exception):  # each library has its own
        while again.receive() is not None:
            pass
    relay.start()
    await_addresses(relay, 0)


def test_a_payment_that_was_stored_for_a_device_before_is_not_forwarded_when_the_node_repeats_it(relay, device, node, payer, shop, make_client):
    notice = payer.send(shop, 7)
    node.notify(notice)
    client = make_client(ArduinoClient, relay)
    client.listen(shop.address)
    await_addresses(relay, 1)
    node.notify(notice)
    assert client.receive(0.5) is None


# ---- silence ----------------------------------------------------------------------------------------------------------


def test_every_client_answers_the_relays_pings_and_stays(make_relay, payer, shop, make_client, client_class):
    relay = make_relay(LIVELY + "legacy_silence_s = 2\n")
    client = make_client(client_class, relay)
    client.listen(shop.address)
    await_addresses(relay, 1)
    assert client.receive(6) is None
    notice = payer.send(shop, 7)
    FakeNode(relay.http_port).notify(notice)
    assert client.receive() == notice.body().decode()


def test_the_sketch_gets_what_was_paid_while_it_counted_down(make_relay, payer, shop, make_client):
    relay = make_relay(LIVELY)
    client = make_client(ArduinoClient, relay)
    client.send_ping()
    client.listen(shop.address)
    await_addresses(relay, 1)
    node = FakeNode(relay.http_port)
    notices = [payer.send(shop, 10**29) for _ in range(3)]
    for notice in notices:
        node.notify(notice)
    time.sleep(5)  # deaf for longer than a device may be
    assert [client.receive() for _ in notices] == [notice.body().decode() for notice in notices]
    assert client.receive(1) is None
    assert client.pings >= 2




# ---- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["nano_1", "{", "[]", "{}", '{"address":"nano_1"}', '{"address":7,"api_key":"0"}'])
def test_an_error_is_an_object_that_every_client_tolerates_and_grants_nothing(relay, make_client, client_class, text):
    client = make_client(client_class, relay)
    client.send(text)
    error = client.receive()
    assert set(json.loads(error)) == {"error"}
    assert details(error) == (None, None)
    assert seconds_on(error) == 0


def test_past_legacy_addresses_a_client_is_told_and_keeps_what_it_has(make_relay, payer, shop, signer, make_client):
    relay = make_relay(CONFIG + "[limits]\nlegacy_addresses = 2\n")
    client = make_client(WebsocketsClient, relay)
    client.listen(shop.address)
    client.listen(payer.address)
    client.listen(signer.account("a third").address)
    assert "2 addresses at most" in json.loads(client.receive())["error"]
    notice = payer.send(shop, 7)
    FakeNode(relay.http_port).notify(notice)
    assert client.receive() == notice.body().decode()


# ---- who is let in ----------------------------------------------------------------------------------------------------


def test_a_proxy_or_a_web_page_does_not_make_strangers_local(relay):
    url = relay.ws_url + "/call"
    assert refused(url) == (101, "")
    for header in ("X-Forwarded-For: 127.0.0.1", "Forwarded: for=192.0.2.1", "Via: 1.1 x", "Origin: https://evil.example"):
        status, words = refused(url, [header])
        assert (status, "legacy = key" in words) == (403, True), header
    assert relay.metrics()['coinslot_legacy_refused_total{reason="handshake"}'] == 4


def test_off_and_wrong_subprotocols_are_refused_in_words(make_relay):
    relay = make_relay(CONFIG + "[legacy]\nlegacy = off\n")
    assert refused(relay.ws_url + "/call")[0] == 404
    assert "switched off" in refused(relay.ws_url + "/call")[1]
    relay = make_relay(name="open")
    status, words = refused(relay.ws_url + "/call", subprotocol="coinslot.v1")
    assert (status, "arduino" in words) == (400, True)


def test_with_keys_a_viewers_token_is_enough_and_the_sketchs_zero_is_not(make_relay, payer, shop, make_client, client_class):
    relay = make_relay(KEYS)
    token = relay.token("viewer")
    stranger = make_client(client_class, relay)
    stranger.listen(shop.address, "0")
    assert "token" in json.loads(stranger.receive())["error"]
    with pytest.raises(ConnectionError, match="1008"):
        stranger.receive()
    client = make_client(client_class, relay)
    client.listen(shop.address, token)
    await_addresses(relay, 1)
    notice = payer.send(shop, 7)
    FakeNode(relay.http_port).notify(notice)
    assert client.receive() == notice.body().decode()


def test_from_another_machine_a_key_is_needed_and_a_plain_wire_has_to_be_allowed(tmp_path):
    one, _ = recorded_sends()

    def elsewhere():
        loop = Loop()
        for name, config, words in (
            ("open", CONFIG, "legacy = key"),
            ("plain", KEYS, "in the clear"),
            ("allowed", KEYS + "[ws]\nallow_plain_tokens = yes\n", None),
        ):
            relay = Relay(tmp_path / name, config, ws="0.0.0.0:0").start()
            url = f"ws://{ADDRESS}:{relay.ws_port}/call"
            if words:
                status, text = refused(url)
                assert status == 403 and words in text
                for kind in CLIENTS.values():
                    with pytest.raises(Exception, match="403"):
                        kind(url, loop)
            else:
                for kind in CLIENTS.values():
                    client = kind(url, loop)
                    client.listen(one.destination, relay.token("viewer"))
                    await_addresses(relay, 1)
                    client.close()
                    await_addresses(relay, 0)
            relay.close()

    run_in_own_network(elsewhere)
