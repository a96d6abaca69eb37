"""TLS on both ports, and a certificate that is exchanged while devices are connected."""

import os
import signal
import socket
import ssl
import subprocess
import time

import pytest

from authority import name_shown, openssl
from network import ADDRESS, run_in_own_network
from node import FakeNode
from relay import CONFIG, Relay, wait_until
from session import Loop, Session

PRICE = 10**27
ON_SIGHUP = "check_s = 0\n"


@pytest.fixture
def make_secure(make_relay, authority, installed):
    """A relay with TLS for devices, and plain HTTP for its node unless `https`."""

    def make(more="", https=False, **options):
        config = CONFIG + installed.config() + more + ("" if https else "[http]\ntls = no\n")
        context = authority.context()
        return make_relay(config, http_tls=context if https else None, ws_tls=context, **options)

    return make


def device_of(relay, shop):
    device = relay.create_device("Meter 12")
    relay.subscribe(device, shop)
    return device


def pay(relay, payer, shop, count=1):
    node = FakeNode(relay.http_port)
    notices = [payer.send(shop, PRICE) for _ in range(count)]
    for notice in notices:
        assert node.notify(notice).status == 200
    return [notice.hash for notice in notices]


def take(session, count):
    return [session.receive("payment")["payment"]["hash"] for _ in range(count)]


def said(relay, words, times=1):
    return relay.stderr().count(words) >= times


# ---- both ports -----------------------------------------------------------------------------------------------------


def test_payments_go_to_a_device_over_tls_while_the_node_calls_in_plain_http(make_secure, payer, shop, connect):
    relay = make_secure()
    device = device_of(relay, shop)
    hashes = pay(relay, payer, shop, 150)
    session = connect(relay)
    assert session.greet(device)["pending"] == 150
    got = []
    while len(got) < 150:
        got += take(session, 50)
        session.send(type="ack", seq=len(got))
    assert got == hashes
    live = pay(relay, payer, shop, 3)
    assert take(session, 3) == live
    relay.begin_stop()
    assert session.receive_close() == 1001
    relay.await_stop()


def test_the_reference_device_speaks_wss(make_secure, payer, shop, make_meter, authority, monkeypatch):
    relay = make_secure()
    device = device_of(relay, shop)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    meter = make_meter(relay, device).plug_in()
    meter.wait_for("welcome")
    pay(relay, payer, shop, 2)
    meter.wait_for("noted", 2)
    meter.stop()


def test_operators_speak_https_and_plain_http_gets_nothing(make_secure):
    relay = make_secure(https=True)
    assert relay.rest("GET", "/healthz", role=None).status == 200
    device = relay.create_device()
    assert relay.rest("GET", f"/api/v1/devices/{device['id']}").status == 200
    assert "plain HTTP" in relay.stderr()
    for port in (relay.http_port, relay.ws_port):
        with socket.create_connection(("127.0.0.1", port), 10) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            try:
                while some := plain.recv(4096):
                    answer += some
            except ConnectionError:
                pass
        assert b"HTTP" not in answer


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_tls_1_2_and_1_3_are_spoken_and_nothing_older(make_secure, authority, installed, kind):
    installed.put(*authority.issue("other", kind))
    relay = make_secure(https=True)
    for port in (relay.http_port, relay.ws_port):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = authority.context()
            context.minimum_version = context.maximum_version = version
            assert name_shown(port, context) == "other"
        for old in ("-tls1", "-tls1_1"):
            command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", old, "-cipher", "ALL:@SECLEVEL=0"]
            done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)
            assert "Cipher is (NONE)" in done.stdout, done.stdout


def test_a_token_may_cross_a_network_under_tls(tmp_path, authority, installed):
    def elsewhere():
        loop = Loop()
        config = CONFIG + installed.config() + "[http]\ntls = no\n"
        relay = Relay(tmp_path / "relay", config, ws=f"{ADDRESS}:0", ws_tls=authority.context()).start()
        device = relay.create_device()
        session = Session(loop, relay.ws_url, ssl=relay.ws_tls)
        session.greet(device)
        session.abort()
        relay.close()
        plain = Relay(tmp_path / "plain", CONFIG, ws=f"{ADDRESS}:0").start()
        device = plain.create_device()
        session = Session(loop, plain.ws_url)
        session.hello(device)
        assert session.receive("error")["code"] == "insecure"
        session.abort()
        plain.close()

    run_in_own_network(elsewhere)


def test_who_begins_a_handshake_and_goes_on_no_further_is_cut(make_secure):
    relay = make_secure("[limits]\nhello_timeout_s = 1\n", https=True)
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # the beginning of a ClientHello
    began = time.monotonic()
    for begun in (b"", hello):
        with socket.create_connection(("127.0.0.1", relay.ws_port), 10) as silent:
            silent.sendall(begun)
            assert silent.recv(1) == b""
    assert 1.5 < time.monotonic() - began < 15


# ---- another certificate --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_sighup_brings_a_new_certificate_to_both_ports_and_sessions_go_on(make_relay, authority, installed, connect, kind):
    context = authority.context()
    relay = make_relay(CONFIG + installed.config() + ON_SIGHUP, http_tls=context, ws_tls=context)
    device = relay.create_device()
    session = connect(relay)
    session.greet(device)
    ports = (relay.http_port, relay.ws_port)
    assert [name_shown(port, context) for port in ports] == ["first", "first"]
    installed.put(*authority.issue("second", kind))
    assert [name_shown(port, context) for port in ports] == ["first", "first"]
    relay.process.send_signal(signal.SIGHUP)
    wait_until(lambda: [name_shown(port, context) for port in ports] == ["second", "second"], what="the new certificate")
    assert connect(relay).greet(relay.create_device())
    session.send(type="ack", seq=1)
    assert session.receive("error")["code"] == "ack_ahead"  # it is alive: it was read, and answered


def test_payments_flow_to_a_session_from_before_the_new_certificate(make_secure, authority, installed, payer, shop, connect):
    relay = make_secure(ON_SIGHUP)
    device = device_of(relay, shop)
    session = connect(relay)
    session.greet(device)
    for number in range(5):
        installed.put(*authority.issue(f"number {number}", "rsa" if number % 2 else "ec"))
        relay.process.send_signal(signal.SIGHUP)
        wait_until(lambda: name_shown(relay.ws_port, relay.ws_tls) == f"number {number}", what="the new certificate")
        paid = pay(relay, payer, shop)
        assert take(session, 1) == paid


def test_changed_files_are_found_without_a_signal(make_secure, authority, installed):
    relay = make_secure("check_s = 1\n")
    pem, key = authority.issue("renewed")
    installed.put(pem=pem)
    wait_until(lambda: said(relay, "not that of the certificate"), what="the refusal of the half")
    assert name_shown(relay.ws_port, relay.ws_tls) == "first"
    time.sleep(2.5)
    assert relay.stderr().count("not that of the certificate") == 1  # told once, not at every look
    installed.put(key=key)
    wait_until(lambda: name_shown(relay.ws_port, relay.ws_tls) == "renewed", what="the new certificate")


@pytest.mark.parametrize("https", [False, True])
def test_a_bad_certificate_is_told_and_the_old_one_stays(make_secure, authority, installed, https):
    relay = make_secure(ON_SIGHUP, https=https)
    pem, key = authority.issue("good")
    other = authority.issue("other")[1]

    def reload_with(words, change):
        change()
        before = relay.stderr().count("stays in use")
        relay.process.send_signal(signal.SIGHUP)
        wait_until(lambda: said(relay, "stays in use", before + 1), what="the refusal")
        line = [line for line in relay.stderr().splitlines() if "stays in use" in line][-1]
        assert words in line and " error " in line, line
        ports = [relay.ws_port] + ([relay.http_port] if https else [])
        assert {name_shown(port, relay.ws_tls) for port in ports} == {"first"}

    reload_with("not that of the certificate", lambda: installed.put(pem=pem, key=other))
    reload_with("no certificate in PEM form", lambda: installed.pem.write_text("this is none\n"))
    reload_with(f"cannot read {installed.pem}: it is empty", lambda: installed.pem.write_text(""))
    reload_with(f"cannot read {installed.pem}", installed.pem.unlink)
    installed.put(pem=pem)
    reload_with("no private key in PEM form", lambda: installed.key.write_text("this is none\n"))
    installed.put(key=key)
    relay.process.send_signal(signal.SIGHUP)
    wait_until(lambda: name_shown(relay.ws_port, relay.ws_tls) == "good", what="the good certificate")


def test_a_certificate_that_ran_out_is_used_and_told(make_secure, authority, installed):
    installed.put(*authority.issue("old", days=0))
    time.sleep(1.1)
    relay = make_secure()
    assert "ran out" in relay.stderr()
    unchecked = ssl.create_default_context()
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", relay.ws_port), 10) as plain, unchecked.wrap_socket(plain) as secure:
        assert secure.version() == "TLSv1.3"


def test_sighup_without_a_certificate_changes_nothing(relay):
    relay.process.send_signal(signal.SIGHUP)
    wait_until(lambda: said(relay, "no certificate to be read"), what="the line in the log")
    assert relay.rest("GET", "/healthz", role=None).status == 200


# ---- a relay that does not start ------------------------------------------------------------------------------------


def spoil(files, authority, how):
    if how == "no certificate":
        files.pem.unlink()
    elif how == "no key":
        files.key.unlink()
    elif how == "empty":
        files.pem.write_bytes(b"")
    elif how == "garbage":
        files.pem.write_bytes(os.urandom(3000))
    elif how == "swapped":
        pem, key = files.pem.read_bytes(), files.key.read_bytes()
        files.pem.write_bytes(key)
        files.key.write_bytes(pem)
    elif how == "another key":
        files.put(key=authority.issue("another")[1])
    elif how == "passphrase":
        openssl("ec", "-in", files.key, "-aes128", "-passout", "pass:secret", "-out", files.key.with_suffix(".locked"))
        files.put(key=files.key.with_suffix(".locked"))
    elif how == "folder":
        files.pem.unlink()
        files.pem.mkdir()


@pytest.mark.parametrize("port", ["http", "ws"])
@pytest.mark.parametrize(
    "how, words",
    [
        ("no certificate", "relay.pem: No such file"),
        ("no key", "relay.key: No such file"),
        ("empty", "relay.pem: it is empty"),
        ("garbage", "relay.pem: it is no PEM text"),
        ("swapped", "no certificate in PEM form"),
        ("another key", "not that of the certificate"),
        ("passphrase", "passphrase"),
        ("folder", "relay.pem: Is a directory"),
    ],
)
def test_a_certificate_that_cannot_be_used_is_named_and_nothing_starts(tmp_path, authority, installed, port, how, words):
    spoil(installed, authority, how)
    plain = "ws" if port == "http" else "http"
    relay = Relay(tmp_path / "relay", CONFIG + installed.config() + f"[{plain}]\ntls = no\n")
    done = subprocess.run(relay.command(), capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr.splitlines()[-1], done.stderr


@pytest.mark.parametrize("name", ["certificate", "key"])
def test_a_certificate_without_its_key_is_a_wrong_config(tmp_path, installed, name):
    path = installed.pem if name == "certificate" else installed.key
    relay = Relay(tmp_path / "relay", CONFIG + f"[tls]\n{name} = {path}\n")
    done = subprocess.run(relay.command(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1 and "belong together" in done.stderr


def test_a_certificate_that_no_port_uses_is_not_read(make_relay, installed):
    installed.pem.unlink()
    relay = make_relay(CONFIG + installed.config() + "[http]\ntls = no\n[ws]\ntls = no\n")
    assert relay.rest("GET", "/healthz", role=None).status == 200
