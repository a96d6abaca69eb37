"""`coinslot simulate`: a network of drivers, good and bad, against a real relay."""

import json
import socket
import subprocess
import threading

import pytest

from node import FakeNode, recorded_callbacks
from relay import BINARY, run_coinslot


def simulate(relay, *arguments, to, code=0):
    """Runs to its end; returns the lines and the summary."""
    url = f"http://127.0.0.1:{relay.http_port}/callback/"
    done = run_coinslot("simulate", "--callback", url, "--to", to, *arguments)
    assert done.returncode == code, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines[:-1], lines[-1]["summary"]


def test_every_simulated_payment_is_stored_once_with_its_amount(relay, device, shop):
    lines, summary = simulate(relay, "--rate", "0", "--count", "50", "--seed", "1", to=shop.address)
    sent = {line["hash"]: line["amount"] for line in lines if line["kind"] == "send"}
    assert len(sent) == 50
    assert {payment["hash"]: payment["amount"] for payment in relay.payments()} == sent
    assert summary["unexpected"] == 0


def test_duplicates_forgeries_disorder_and_noise_change_nothing_about_what_is_stored(relay, device, shop):
    lines, summary = simulate(
        relay,
        *("--rate", "0", "--count", "60", "--seed", "2", "--legacy", "20"),
        *("--duplicates", "50", "--forgeries", "50", "--reorder", "30", "--noise", "100"),
        to=shop.address,
    )
    kinds = {kind: [line for line in lines if line["kind"] == kind] for kind in ("send", "duplicate", "forgery", "noise")}
    assert all(kinds.values()), {kind: len(found) for kind, found in kinds.items()}
    assert {line["block"] for line in kinds["send"]} == {"state", "send"}
    assert {line["status"] for line in kinds["send"] + kinds["duplicate"] + kinds["noise"]} == {200}
    assert all(400 <= line["status"] < 500 for line in kinds["forgery"]), kinds["forgery"]
    assert len({line["how"] for line in kinds["forgery"]}) > 1
    assert sorted(payment["hash"] for payment in relay.payments()) == sorted(line["hash"] for line in kinds["send"])
    assert summary["unexpected"] == 0


def test_the_same_seed_is_the_same_network(relay, device, shop):
    first, _ = simulate(relay, "--rate", "0", "--count", "5", "--seed", "7", to=shop.address)
    second, _ = simulate(relay, "--rate", "0", "--count", "5", "--seed", "7", to=shop.address)
    other, _ = simulate(relay, "--rate", "0", "--count", "5", "--seed", "8", to=shop.address)
    assert {line["hash"] for line in first} == {line["hash"] for line in second}
    assert not {line["hash"] for line in first} & {line["hash"] for line in other}
    assert len(relay.payments()) == 10


def requests_of(arguments, count):
    """What simulate sends to a server that answers every request with 200."""
    received = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def serve():
            for _ in range(count):
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(20)
                    request = b""
                    while b"\r\n\r\n" not in request:
                        request += connection.recv(65536)
                    length = int(request.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                    while len(request.split(b"\r\n\r\n", 1)[1]) < length:
                        request += connection.recv(65536)
                    received.append(request)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        serving = threading.Thread(target=serve)
        serving.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/callback/"
        done = subprocess.run([str(BINARY), "simulate", "--callback", url, *arguments], capture_output=True, text=True, timeout=60)
        serving.join()
    assert done.returncode == 0, done.stderr
    return received


def test_it_notifies_to_the_byte_as_the_recorded_node_does(shop):
    (recorded,) = [recorded for recorded in recorded_callbacks() if recorded.name == "callback-002.raw"]
    requests = requests_of(["--to", shop.address, "--rate", "0", "--count", "3", "--seed", "3"], 3)
    for request in requests:
        body = request.split(b"\r\n\r\n", 1)[1]
        value = json.loads(body)
        block = json.loads(value["block"])
        assert list(value) == list(recorded.object)
        assert list(block) == list(recorded.block)
        assert FakeNode(0).request(body) == request
        # The recorded request with this one's values in the place of its own is this request.
        expected = recorded.raw.replace(b"Host: ::1", b"Host: 127.0.0.1")
        for name, old in recorded.block.items():
            expected = expected.replace(f'\\"{name}\\": \\"{old}\\"'.encode(), f'\\"{name}\\": \\"{block[name]}\\"'.encode())
        for name in ("account", "hash", "amount"):
            expected = expected.replace(f'"{name}": "{recorded.object[name]}"'.encode(), f'"{name}": "{value[name]}"'.encode(), 1)
        length = len(expected.split(b"\r\n\r\n", 1)[1])
        expected = expected.replace(b"Content-Length: 1020", f"Content-Length: {length}".encode())
        assert request == expected


def test_its_blocks_are_what_an_implementation_that_is_not_ours_would_sign(signer, shop):
    requests = requests_of(["--to", shop.address, "--rate", "0", "--count", "5", "--seed", "4"], 5)
    for request in requests:
        value = json.loads(request.split(b"\r\n\r\n", 1)[1])
        block = json.loads(value["block"])
        verdict = signer.call("verify", hash=value["hash"], block=block)
        assert verdict == {"hash": value["hash"], "valid": True}


def test_a_callback_that_never_answers_is_a_failure_that_says_what_to_do(shop):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = run_coinslot("simulate", "--callback", f"http://127.0.0.1:{port}/callback/", "--to", shop.address, "--count", "1", "--rate", "0")
    assert done.returncode == 1
    assert "coinslot serve" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("arguments", [(), ("--to", "nano_1"), ("--to", "x", "--rate", "fast"), ("--count", "-1")])
def test_wrong_usage_exits_2(arguments):
    done = run_coinslot("simulate", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr
