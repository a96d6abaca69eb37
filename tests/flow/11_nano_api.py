"""Programs that were written for a Nano node's own WebSocket, against the relay's /nano."""

import hashlib
import json

import pytest
import websockets

from handshake import refused
from nano_program import LIBRARIES, NanoProgram, blank_time, print_confirmation, subscription
from network import ADDRESS, run_in_own_network
from node import FakeNode, recorded_callbacks
from relay import CONFIG, Relay, wait_until

KEYS = CONFIG + "[nano_api]\nnano_api = key\n"


@pytest.fixture
def run_program():
    made = []

    def run(library, relay, subscribe=None, target="/nano", **options):
        made.append(NanoProgram(library, relay.ws_url + target, subscribe, **options))
        return made[-1]

    yield run
    for program in made:
        program.close()


class Bare:
    """A session that says what no program means to say."""

    def __init__(self, loop, relay, target="/nano", **options):
        self._loop = loop
        self._socket = loop.run(self._connect(relay.ws_url + target, options))

    @staticmethod
    async def _connect(url, options):
        return await websockets.connect(url, max_size=2**20, **options)

    def send(self, message):
        self._loop.run(self._socket.send(message if isinstance(message, (str, bytes)) else json.dumps(message)))

    def receive(self):
        """A message as an object; the close code when the relay closes instead."""
        try:
            return json.loads(self._loop.run(self._socket.recv()))
        except websockets.ConnectionClosed as closed:
            return closed.rcvd.code

    def close(self):
        self._loop.run(self._socket.close())


@pytest.fixture
def connect_bare(loop):
    made = []

    def connect(relay, **options):
        made.append(Bare(loop, relay, **options))
        return made[-1]

    yield connect
    for one in made:
        one.close()


def await_accounts(relay, count):
    wait_until(lambda: relay.metrics()["coinslot_nano_api_accounts"] == count, what=f"{count} accounts in filters")


def nano_address(key):
    """Of a public key of 32 bytes (docs.nano.org, "The basics")."""
    alphabet = "13456789abcdefghijkmnopqrstuwxyz"

    def encode(number, digits):
        return "".join(alphabet[number >> 5 * i & 31] for i in reversed(range(digits)))

    checksum = hashlib.blake2b(key, digest_size=5).digest()[::-1]
    return "nano_" + encode(int.from_bytes(key, "big"), 52) + encode(int.from_bytes(checksum, "big"), 8)


# ---- programs, unchanged ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_program_hears_of_its_accounts_as_from_a_node(relay, node, payer, shop, run_program, library):
    program = run_program(library, relay, subscription(accounts=[shop.address.replace("nano_", "xrb_")])).begin()
    notice = payer.send(shop, 10**29)
    for _ in range(3):  # the node repeats itself
        assert node.notify(notice).status == 200
    payment = program.expect("payment", account=payer.address, amount=str(10**29), hash=notice.hash, to=shop.address)
    assert blank_time(payment["text"]) == print_confirmation(notice)
    assert relay.payments()[0]["hash"] == notice.hash and relay.deliveries() == []
    program.send({"action": "ping", "id": "p"})
    program.expect("ack", ack="pong", id="p")  # and so no other payment came before
    program.send({"action": "unsubscribe", "topic": "confirmation", "ack": True, "id": "u"})
    program.expect("ack", ack="unsubscribe", id="u")
    node.notify(payer.send(shop, 1))
    assert program.next(0.5) is None
    await_accounts(relay, 0)


@pytest.mark.parametrize("library", LIBRARIES)
def test_without_a_filter_a_program_hears_of_what_devices_and_others_are_paid(relay, device, node, payer, shop, signer, connect, run_program, library):
    session = connect(relay)
    session.greet(device)
    program = run_program(library, relay).begin()
    notice = payer.send(shop, 7)
    node.notify(notice)
    assert blank_time(program.expect("payment")["text"]) == print_confirmation(notice)
    assert session.receive("payment")["payment"]["hash"] == notice.hash
    node.notify(payer.send(signer.account("nobody here"), 8))  # the relay does not keep it
    kept = payer.send(shop, 9)
    node.notify(kept)
    program.expect("payment", hash=kept.hash)


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_recorded_send_is_told_with_its_block(relay, run_program, library):
    sends = {one.object["hash"]: one for one in recorded_callbacks() if one.destination}
    accounts = sorted({one.destination for one in sends.values()})
    program = run_program(library, relay, subscription(accounts=accounts, include_linked_account="true")).begin()
    node = FakeNode(relay.http_port)
    for one in recorded_callbacks():
        assert node.post_raw(one.raw).status == 200
    seen = {}
    for _ in sends:
        payment = program.expect("payment")
        seen[payment["hash"]] = json.loads(payment["text"])["message"]
    assert seen.keys() == sends.keys()
    for hash, message in seen.items():
        expected = {**sends[hash].block, "linked_account": sends[hash].destination}
        if expected["type"] == "state":
            expected["subtype"] = "send"
        assert list(message["block"].items()) == list(expected.items())
        assert (message["account"], message["amount"]) == (sends[hash].object["account"], sends[hash].object["amount"])
    assert program.next(0.3) is None


def test_a_program_that_reconnects_by_itself_hears_again_after_the_relay_was_killed(relay, payer, shop, run_program):
    program = run_program("reconnecting-websocket", relay, subscription(accounts=[shop.address])).begin()
    relay.kill()
    program.expect("close")
    relay.start()
    while (event := program.next())["event"] != "open":
        assert event["event"] in ("close", "error")
    program.expect("ack", ack="subscribe")
    notice = payer.send(shop, 7)
    FakeNode(relay.http_port).notify(notice)
    program.expect("payment", hash=notice.hash)


def test_a_filter_may_hold_as_many_accounts_as_the_limit_says(relay, node, payer, shop, run_program):
    others = [nano_address(hashlib.sha256(b"%d" % i).digest()) for i in range(1000)]
    program = run_program("ws", relay, subscription(accounts=[*others[1:], shop.address])).begin()
    await_accounts(relay, 1000)
    notice = payer.send(shop, 7)
    node.notify(notice)
    program.expect("payment", hash=notice.hash)
    program.send({"action": "update", "topic": "confirmation", "id": "u", "options": {"accounts_add": others[:1]}})
    refusal = program.expect("other")["message"]
    assert "1000 accounts at most" in refusal["error"] and refusal["id"] == "u"
    update = {"accounts_add": others[:1], "accounts_del": [shop.address]}
    program.send({"action": "update", "topic": "confirmation", "ack": True, "options": update})
    program.expect("ack", ack="update")
    node.notify(payer.send(shop, 8))
    notice = payer.send(others[0], 9)
    node.notify(notice)
    program.expect("payment", hash=notice.hash)


# ---- what a node would not answer -------------------------------------------------------------------------------------


def test_bad_input_is_answered_and_the_session_goes_on(relay, node, payer, shop, connect_bare):
    bare = connect_bare(relay)
    cases = (
        ('{"action":', "not well-formed JSON", None),
        (b"\xff\xfe", "not well-formed JSON", None),
        ("[1,2]", "no JSON object", None),
        ({"action": "dance", "id": "d"}, '"action" dance is none of', "d"),
        ({"action": "subscribe", "ack": True, "id": 7}, '"topic" is not served here', "7"),
        ({"action": "subscribe", "topic": "vote", "ack": True, "id": "v"}, "confirmation is", "v"),
        ({"action": "update", "topic": "confirmation", "options": {"accounts_add": []}}, "subscribe to confirmation first", None),
    )
    for message, words, id in cases:
        bare.send(message)
        answer = bare.receive()
        assert words in answer["error"] and answer.get("id") == id, (message, answer)
        assert answer.keys() <= {"error", "id"}
    bare.send(subscription(accounts=["nano_bad", shop.address], include_block=False))
    assert bare.receive()["ack"] == "subscribe"
    assert "nano_bad" in bare.receive()["error"]
    notice = payer.send(shop, 7)
    node.notify(notice)
    message = bare.receive()
    assert message["message"] == {"account": payer.address, "amount": "7", "hash": notice.hash, "confirmation_type": "active_quorum"}
    for _ in range(10):
        bare.send("nonsense")
        assert "JSON" in bare.receive()["error"]
    assert bare.receive() == 1008
    assert relay.metrics()['coinslot_nano_api_refused_total{reason="message"}'] == len(cases) + 1 + 10


@pytest.mark.parametrize("options", [{"accounts": []}, {"all_local_accounts": True}, {"confirmation_type": "inactive"}])
def test_what_a_filter_keeps_out_does_not_come(relay, device, node, payer, shop, connect_bare, options):
    bare = connect_bare(relay)
    bare.send(subscription(**options))
    assert bare.receive()["ack"] == "subscribe"
    node.notify(payer.send(shop, 7))
    bare.send({"action": "ping"})
    assert bare.receive()["ack"] == "pong"


# ---- who is let in ----------------------------------------------------------------------------------------------------


def test_with_keys_a_token_comes_in_the_header_or_the_query(make_relay, payer, shop, run_program):
    relay = make_relay(KEYS)
    token = relay.token("viewer")
    status, words = refused(relay.ws_url + "/nano")
    assert status == 401 and "api_key" in words
    subscribe = subscription(accounts=[shop.address])
    programs = (
        run_program("ws", relay, subscribe, headers={"Authorization": f"Bearer {token}"}),
        run_program("reconnecting-websocket", relay, subscribe, target=f"/nano?api_key={token}"),
    )
    for program in programs:
        program.begin()
    notice = payer.send(shop, 7)
    FakeNode(relay.http_port).notify(notice)
    for program in programs:
        program.expect("payment", hash=notice.hash)


def test_off_is_off_and_open_is_for_this_machine_alone(make_relay):
    status, words = refused(make_relay(CONFIG + "[nano_api]\nnano_api = off\n").ws_url + "/nano")
    assert (status, "switched off" in words) == (404, True)
    url = make_relay(name="open").ws_url + "/nano"
    assert refused(url) == (101, "")
    for header in ("X-Forwarded-For: 127.0.0.1", "Forwarded: for=192.0.2.1", "Via: 1.1 x", "Origin: https://evil.example"):
        status, words = refused(url, [header])
        assert (status, "nano_api = key" in words) == (403, True), header


def test_from_another_machine_a_token_is_needed_and_a_plain_wire_has_to_be_allowed(tmp_path):
    def elsewhere():
        for name, config, status in (
            ("open", CONFIG, 403),
            ("plain", KEYS, 403),
            ("allowed", KEYS + "[ws]\nallow_plain_tokens = yes\n", 101),
        ):
            relay = Relay(tmp_path / name, config, ws="0.0.0.0:0").start()
            token = relay.token("viewer")
            assert refused(f"ws://{ADDRESS}:{relay.ws_port}/nano?api_key={token}")[0] == status, name
            if status == 101:
                assert refused(f"ws://{ADDRESS}:{relay.ws_port}/nano")[0] == 401
            relay.close()

    run_in_own_network(elsewhere)
