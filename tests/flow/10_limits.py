"""Limits: what is beyond them is refused and counted, and costs nobody else anything."""

import re
import socket
import time

import pytest

from network import ADDRESS, run_in_own_network
from node import FakeNode
from relay import CONFIG, ROOT, Relay, run_coinslot, wait_until
from session import Loop, Session

UPGRADE = b"GET /device HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"


def limited(**limits):
    return CONFIG + "[limits]\n" + "".join(f"{name} = {value}\n" for name, value in limits.items())


def dial(port, begun=b"", host="127.0.0.1"):
    connection = socket.create_connection((host, port), 10)
    connection.sendall(begun)
    return connection


def is_closed(connection, within=0.0):
    """Whether the relay has ended it."""
    connection.settimeout(within or 0.001)
    try:
        while connection.recv(4096):
            pass
        return True
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def lasts(connection, drop=b"", most=30):
    """How long it is kept, in seconds, while `drop` is sent now and then."""
    began = time.monotonic()
    while time.monotonic() - began < most:
        try:
            connection.sendall(drop)
        except ConnectionError:
            break
        if is_closed(connection, 0.1):
            break
    connection.close()
    return time.monotonic() - began


def refused(relay, reason):
    return relay.metrics()[f'coinslot_sessions_refused_total{{reason="{reason}"}}']


# ---- what is written of them ----------------------------------------------------------------------------------------------


def settings():
    """{(section, key): default} of all that `coinslot config` prints."""
    found, section = {}, None
    for line in run_coinslot("config").stdout.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition(" =")
            found[section, key] = value.strip()
    return found


def documented():
    """{(section, key): default} of the tables in docs: rows `key` under the heading `[limits]`, or `[limits] key`, and beside them the default."""
    found = {}
    for file in (ROOT / "docs").glob("*.md"):
        section = None
        for line in file.read_text().splitlines():
            cells = [cell.strip() for cell in line.split("|")[1:3]]
            header = len(cells) == 2 and re.fullmatch(r"`\[(\w+)\]`", cells[0])
            row = len(cells) == 2 and re.fullmatch(r"`(?:\[(\w+)\] )?(\w+)`", cells[0])
            if not line.startswith("|"):
                section = None
            elif header:
                section = header[1]
            elif row and (row[1] or section):
                place = (row[1] or section, row[2])
                assert found.setdefault(place, cells[1]) == cells[1], f"{place} has two defaults in docs"
    return found


def test_every_limit_is_written_of_with_its_default():
    known, written = settings(), documented()
    assert {place: default for place, default in known.items() if place[0] in ("limits", "nano") and place not in written} == {}
    assert {place: default for place, default in written.items() if known.get(place) != default.strip("`")} == {}


# ---- time -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "begun, drop",
    [
        pytest.param(b"", b"", id="says nothing"),
        pytest.param(b"", b"G", id="one letter at a time"),
        pytest.param(UPGRADE + b"X-Slow: ", b"a", id="a header without end"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="requests and no upgrade"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", b"a", id="a body without end"),
    ],
)
def test_a_connection_that_does_not_become_a_session_is_cut_in_time(make_relay, begun, drop):
    relay = make_relay(limited(hello_timeout_s=2))
    assert lasts(dial(relay.ws_port, begun), drop) < 5
    wait_until(lambda: relay.metrics()["coinslot_connections_waiting"] == 0, what="the end of the connection")


def test_an_upgraded_connection_without_hello_is_told_and_closed(make_relay, connect):
    relay = make_relay(limited(hello_timeout_s=1))
    session = connect(relay)
    session.receive("challenge")
    assert session.receive("error")["code"] == "hello_timeout"
    assert session.receive_close() == 4003


@pytest.mark.parametrize(
    "begun, drop",
    [
        pytest.param(b"", b"", id="says nothing"),
        pytest.param(b"", b"G", id="one letter at a time"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"a", id="a header without end"),
        pytest.param(
            b"POST /callback/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n{", b" ", id="a body without end"
        ),
    ],
)
def test_a_request_that_does_not_come_is_cut_in_time(make_relay, begun, drop):
    relay = make_relay(CONFIG + "[http]\nrequest_timeout_s = 2\n")
    assert 1 < lasts(dial(relay.http_port, begun), drop) < 6
    assert relay.metrics()["coinslot_http_connections_cut_total"] == 1


# ---- number ---------------------------------------------------------------------------------------------------------


def test_connections_that_wait_are_so_many_and_those_that_were_welcomed_are_not_among_them(make_relay, connect):
    relay = make_relay(limited(waiting=4, hello_timeout_s=3))
    devices = [relay.create_device() for _ in range(11)]
    for device in devices[:10]:
        connect(relay).greet(device)
    assert relay.metrics()["coinslot_connections_waiting"] == 0
    silent = [dial(relay.ws_port) for _ in range(2)]
    for _ in range(2):
        connect(relay).receive("challenge")  # and no hello
    wait_until(lambda: relay.metrics()["coinslot_connections_waiting"] == 4, what="the silent ones")
    beyond = [dial(relay.ws_port) for _ in range(6)]
    assert all(is_closed(connection, 5) for connection in beyond)
    assert refused(relay, "waiting") == 6
    silent.pop().close()
    wait_until(lambda: relay.metrics()["coinslot_connections_waiting"] <= 3, what="room")
    connect(relay).greet(devices[10])
    wait_until(lambda: relay.metrics()["coinslot_connections_waiting"] == 0, what="the end of the silent ones")


def test_connections_come_at_so_many_a_second(make_relay, connect):
    relay = make_relay(limited(handshakes_per_s=10))
    began = time.monotonic()
    connections = [dial(relay.ws_port) for _ in range(60)]
    counted = wait_until(lambda: refused(relay, "handshakes_per_s"), what="a refusal")
    passed = time.monotonic() - began
    kept = sum(not is_closed(connection, 0.05) for connection in connections)
    assert 10 <= kept <= 11 + 10 * passed, (kept, passed)
    assert refused(relay, "handshakes_per_s") == 60 - kept >= counted
    time.sleep(1)
    connect(relay).receive("challenge")


def test_sessions_are_so_many_and_strangers_take_no_place_among_them(make_relay, connect):
    relay = make_relay(limited(sessions=3))
    strangers = [connect(relay) for _ in range(5)]
    sessions = [connect(relay) for _ in range(3)]
    for session in sessions:
        session.greet(relay.create_device())
    strangers[0].receive("challenge")
    token = relay.create_device()
    strangers[0].send(type="hello", device=token["id"], token=token["token"], resume=0)
    assert strangers[0].receive("error")["code"] == "busy"
    assert strangers[0].receive_close() == 4010
    with dial(relay.ws_port, UPGRADE + b"Sec-WebSocket-Protocol: coinslot.v1\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n") as fourth:
        assert b" 503 " in fourth.recv(100).splitlines()[0]
    sessions[0].abort()
    wait_until(lambda: not _fails(lambda: connect(relay)), what="room")


def _fails(call):
    try:
        call()
        return False
    except Exception:
        return True


def test_one_address_takes_so_much_of_the_websocket_port_and_leaves_the_rest(tmp_path):
    def elsewhere():
        relay = Relay(tmp_path / "relay", limited(waiting_per_ip=3, sessions_per_ip=2, hello_timeout_s=30), ws="0.0.0.0:0").start()
        loop = Loop()
        far, near = f"ws://{ADDRESS}:{relay.ws_port}", f"ws://127.0.0.1:{relay.ws_port}"
        silent = [dial(relay.ws_port, host=ADDRESS) for _ in range(3)]
        wait_until(lambda: relay.metrics()["coinslot_connections_waiting"] == 3, what="the silent ones")
        assert is_closed(dial(relay.ws_port, host=ADDRESS), 5)
        assert refused(relay, "waiting_per_ip") == 1
        first = Session(loop, near)
        first.receive("challenge")
        for connection in silent:
            connection.close()
        wait_until(lambda: relay.metrics()["coinslot_connections_waiting"] == 1, what="the end of the silent ones")
        held = [Session(loop, far) for _ in range(2)]
        for session in held:
            session.greet_by_key(relay.create_key_device())  # a token must not cross a network in the clear
        assert _fails(lambda: Session(loop, far))
        assert refused(relay, "too_many") == 1
        assert relay.metrics()["coinslot_connections_waiting"] == 1  # the one that is near has said no hello
        for session in [Session(loop, near) for _ in range(5)]:
            session.receive("challenge")
        first.abort()
        relay.close()

    run_in_own_network(elsewhere)


def test_the_node_finds_a_connection_when_others_have_taken_all(tmp_path, signer):
    payer, shop = signer.account("payer of the limits"), signer.account("shop of the limits")
    notice = payer.send(shop, 5)

    def elsewhere():
        config = limited(http_connections=12, http_connections_loopback=3, http_connections_per_ip=4) + "[http]\nidle_timeout_s = 600\nrequest_timeout_s = 600\n"
        relay = Relay(tmp_path / "relay", config, http="0.0.0.0:0").start()
        device = relay.create_device()
        relay.subscribe(device, shop)
        silent = [dial(relay.http_port, b"GET /healthz", host=ADDRESS) for _ in range(4)]
        wait_until(lambda: relay.metrics()["coinslot_http_connections"] >= 5, what="the silent ones")
        assert is_closed(dial(relay.http_port, host=ADDRESS), 5)
        silent += [dial(relay.http_port, b"GET /healthz") for _ in range(8)]
        wait_until(lambda: relay.metrics()["coinslot_http_connections"] >= 13, what="the silent ones")
        assert FakeNode(relay.http_port).notify(notice).status == 200
        assert [payment["hash"] for payment in relay.payments()] == [notice.hash]
        assert relay.metrics()['coinslot_http_connections_refused_total{limit="per_ip"}'] == 1
        assert not any(is_closed(connection) for connection in silent)
        relay.close()

    run_in_own_network(elsewhere)
