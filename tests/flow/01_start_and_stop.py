"""Starting, stopping, and the command line."""

import json
import os
import signal
import socket
import subprocess

import pytest

from node import FakeNode
from relay import CONFIG, Relay, run_coinslot
from session import Closed


def refused(*arguments, code):
    """One line on stderr, nothing on stdout; returns the line."""
    done = run_coinslot(*arguments)
    assert done.returncode == code, (done.returncode, done.stderr)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_the_ready_line_names_two_ports_that_accept(relay):
    socket.create_connection(("127.0.0.1", relay.http_port), 5).close()
    socket.create_connection(("127.0.0.1", relay.ws_port), 5).close()
    assert relay.rest("GET", "/healthz", role=None).status == 200


def test_ready_and_says_that_the_source_is_trusted(relay):
    reply = relay.rest("GET", "/readyz", role=None)
    assert reply.status == 200
    assert "confirm = source" in json.dumps(reply.value)


def test_sigterm_and_sigint_stop_cleanly(make_relay):
    relay = make_relay()
    relay.stop()
    relay.start()
    relay.process.send_signal(signal.SIGINT)
    relay.await_stop()


def test_serve_refuses_to_start_without_confirm_and_says_what_to_write(tmp_path):
    config = tmp_path / "coinslot.conf"
    config.write_text("[callback]\n")
    line = refused("serve", "--config", config, "--data", tmp_path / "data", "--http", "127.0.0.1:0", "--ws", "127.0.0.1:0", code=2)
    assert "confirm = source" in line


@pytest.mark.parametrize(
    "text, word",
    [
        ("[callback]\nconfirm = source\nsecrte = x\n", "secrte"),
        ("[callback]\nconfirm = perhaps\n", "confirm"),
        ("[calback]\nconfirm = source\n", "calback"),
        ("[callback]\nconfirm = source\n[limits]\nwindow = 0\n", "window"),
        ("[callback]\nconfirm = source\nconfirm = source\n", "confirm"),
    ],
)
def test_a_config_that_is_not_understood_is_refused_with_its_line(tmp_path, text, word):
    config = tmp_path / "coinslot.conf"
    config.write_text(text)
    line = refused("serve", "--config", config, "--data", tmp_path / "data", code=2)
    assert word in line
    number = 1 + [at for at, written in enumerate(text.splitlines()) if word in written][-1]
    assert f"coinslot.conf:{number}:" in line


def test_a_second_relay_on_the_same_data_is_refused_and_the_first_goes_on(relay):
    line = refused("serve", "--config", relay.config, "--data", relay.data, "--http", "127.0.0.1:0", "--ws", "127.0.0.1:0", code=1)
    assert str(relay.data) in line
    assert relay.rest("GET", "/healthz", role=None).status == 200


@pytest.mark.parametrize("port", ["--http", "--ws"])
def test_a_port_that_is_taken_is_named(tmp_path, port):
    (tmp_path / "coinslot.conf").write_text(CONFIG)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        ports = {"--http": "127.0.0.1:0", "--ws": "127.0.0.1:0", port: f"127.0.0.1:{number}"}
        flags = [word for pair in ports.items() for word in pair]
        done = run_coinslot("serve", "--config", tmp_path / "coinslot.conf", "--data", tmp_path / "data", *flags)
    assert done.returncode == 1
    assert done.stdout == ""
    assert str(number) in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments", [(), ("fly",), ("serve", "--fly"), ("serve", "--http", "nowhere"), ("token",), ("token", "create"), ("backup",)]
)
def test_wrong_usage_exits_2(tmp_path, arguments):
    done = run_coinslot(*arguments, cwd=tmp_path)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stderr != ""
    assert done.stdout == ""
    assert os.listdir(tmp_path) == []


def test_help_and_version_exit_0():
    assert "serve" in run_coinslot("--help").stdout
    assert run_coinslot("--version").stdout.startswith("coinslot ")


def test_a_token_is_made_without_a_relay_and_beside_one_and_stands_alone_on_stdout(make_relay):
    relay = make_relay(start=False)
    before = relay.token("viewer")
    relay.start()
    beside = relay.token("admin")
    for token in (before, beside):
        assert token and not any(character.isspace() for character in token)
    assert relay.rest("GET", "/api/v1/devices", role="viewer").status == 200
    assert relay.rest("POST", "/api/v1/devices", {"name": "M", "auth": "token"}, role="viewer").status == 403
    assert relay.rest("POST", "/api/v1/devices", {"name": "M", "auth": "token"}).status == 201
    assert relay.rest("GET", "/api/v1/devices", role=None).status == 401
    relay.restart()
    assert relay.rest("GET", "/api/v1/devices", role="viewer").status == 200


def test_logs_are_json_lines_when_asked_for_and_hold_no_token(make_relay):
    relay = make_relay(arguments=["--log-format", "json"])
    device = relay.create_device()
    relay.stop()
    lines = relay.stderr().splitlines()
    assert lines
    assert all(isinstance(json.loads(line), dict) for line in lines)
    assert device["token"] not in relay.stderr()
    assert relay.token() not in relay.stderr()


def test_sigterm_closes_sessions_with_going_away(relay, device, connect):
    idle, greeted = connect(relay), connect(relay)
    greeted.greet(device)
    idle.receive("challenge")
    relay.begin_stop()
    assert greeted.receive_close() == 1001
    assert idle.receive_close() == 1001
    relay.await_stop()


def test_sigterm_commits_everything_that_was_answered(relay, device, payer, shop):
    notices = [payer.send(shop, 10**27 + number) for number in range(60)]
    node = FakeNode(relay.http_port)
    answered = []
    for number, notice in enumerate(notices):
        if number == 30:
            relay.begin_stop()
        try:
            if node.notify(notice).status == 200:
                answered.append(notice.hash)
        except OSError:
            break
    relay.await_stop()
    assert len(answered) >= 30
    relay.start()
    stored = [payment["hash"] for payment in relay.payments()]
    assert set(answered) <= set(stored)
    assert len(stored) == len(set(stored))


def test_data_is_readable_by_its_owner_alone(relay):
    assert relay.data.stat().st_mode & 0o077 == 0
    for path in relay.data.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_after_kill_9_a_relay_takes_its_data_and_ports_again(relay, device, node, payer, shop, connect):
    session = connect(relay)
    session.greet(device)
    notice = payer.send(shop, 5)
    assert node.notify(notice).status == 200
    relay.kill()
    with pytest.raises(Closed):
        while True:
            session.receive()
    relay.start()
    assert [payment["hash"] for payment in relay.payments()] == [notice.hash]
    assert node.notify(notice).status == 200
    assert len(relay.payments()) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "coinslot.conf").write_text(CONFIG)
    line = refused("serve", "--config", tmp_path / "coinslot.conf", "--data", tmp_path / "file" / "data", code=1)
    assert str(tmp_path / "file" / "data") in line


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path):
    relay = Relay(tmp_path)
    relay.data.mkdir(mode=0o700)
    (relay.data / "coinslot.db").write_bytes(b"this is not a database, it only looks for one" * 100)
    (relay.data / "relay.key").write_bytes(bytes(32))
    done = subprocess.run(relay.command(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "coinslot.db" in done.stderr.splitlines()[-1]
    assert (relay.data / "coinslot.db").read_bytes().startswith(b"this is not a database")
