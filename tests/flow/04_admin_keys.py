"""Keys: the devices' own, and those by which devices know the relay."""

import json
import re

import pytest

from relay import run_coinslot

PUBLIC_KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"  # RFC 8032, section 7.1, test 1


def register(relay, **fields):
    return relay.rest("POST", "/api/v1/devices", {"name": "Meter", "auth": "key", **fields}, role="operator")


def test_a_device_with_its_own_key_gives_no_secret_away(relay):
    made = register(relay, public_key=PUBLIC_KEY.upper())
    assert made.status == 201
    assert (made["auth"], made["public_key"]) == ("key", PUBLIC_KEY)
    assert not {"token", "secret_key"} & made.value.keys()


def test_a_pair_that_the_relay_made_is_shown_once_and_its_secret_is_kept_nowhere(relay):
    made = register(relay)
    assert made.status == 201
    secret = made["secret_key"]
    assert re.fullmatch("[0-9a-f]{64}", secret) and re.fullmatch("[0-9a-f]{64}", made["public_key"])
    shown = relay.rest("GET", made.headers["location"])
    assert not {"secret_key", "token"} & shown.value.keys()
    relay.stop()
    kept = b"".join(file.read_bytes() for file in relay.data.iterdir() if file.is_file())
    assert made["id"].encode() in kept and bytes.fromhex(made["public_key"]) in kept
    for form in (bytes.fromhex(secret), secret.encode(), secret.upper().encode()):
        assert form not in kept
        assert form.decode("latin-1") not in relay.stderr()


def test_one_key_is_in_one_device_until_that_is_retired(relay):
    first = register(relay, public_key=PUBLIC_KEY)
    for _ in range(2):
        again = register(relay, public_key=PUBLIC_KEY)
        assert (again.status, again["code"], again["field"]) == (409, "duplicate_key", "public_key")
        relay.restart()
    assert relay.rest("DELETE", first.headers["location"]).status == 204
    assert register(relay, public_key=PUBLIC_KEY).status == 201


@pytest.mark.parametrize(
    "fields",
    [
        {"public_key": PUBLIC_KEY[:-2]},
        {"public_key": "00" * 32},
        {"public_key": "01" + "00" * 31},
        {"public_key": "ff" * 32},
        {"public_key": PUBLIC_KEY, "auth": "token"},
    ],
)
def test_a_public_key_that_proves_nothing_is_refused(relay, fields):
    refused = register(relay, **fields)
    assert (refused.status, refused["code"], refused["field"]) == (422, "invalid_field", "public_key")


def test_the_relays_key_is_rolled_to_the_one_that_was_announced(relay):
    before = relay.rest("GET", "/api/v1/relay", role="viewer")
    assert before.status == 200
    assert before.value.keys() == {"version", "epoch", "relay_keys", "uptime_s"}
    made = register(relay)
    assert (made["relay_keys"], made["epoch"]) == (before["relay_keys"], before["epoch"])
    assert relay.rest("POST", "/api/v1/relay/roll-key", role="operator").status == 403
    rolled = relay.rest("POST", "/api/v1/relay/roll-key", role="admin")
    assert rolled.status == 200
    assert rolled["relay_keys"][0] == before["relay_keys"][1]
    assert rolled["relay_keys"][1] not in before["relay_keys"]
    assert rolled["epoch"] == before["epoch"]
    relay.restart()
    assert relay.rest("GET", "/api/v1/relay", role="viewer")["relay_keys"] == rolled["relay_keys"]


def test_the_command_line_shows_and_rolls_beside_a_relay_and_without_one(make_relay):
    relay = make_relay()

    def key(action):
        done = run_coinslot("key", action, "--data", relay.data)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    shown = key("show")
    assert shown["relay_keys"] == relay.rest("GET", "/api/v1/relay")["relay_keys"]
    rolled = key("roll")
    assert rolled["relay_keys"][0] == shown["relay_keys"][1]
    assert relay.rest("GET", "/api/v1/relay")["relay_keys"] == rolled["relay_keys"]
    relay.stop()
    assert key("show") == rolled
    assert key("roll")["relay_keys"][0] == rolled["relay_keys"][1]
    missing = run_coinslot("key", "roll", "--data", relay.data / "nothing")
    assert missing.returncode == 1 and len(missing.stderr.splitlines()) == 1
    assert not (relay.data / "nothing").exists()
    assert run_coinslot("key").returncode == 2


def test_the_command_line_registers_devices_with_keys(make_relay):
    relay = make_relay()
    made = run_coinslot("device", "create", "--data", relay.data, "--name", "x", "--auth", "key", "--public-key", PUBLIC_KEY)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["public_key"] == PUBLIC_KEY
    again = run_coinslot("device", "create", "--data", relay.data, "--name", "x", "--auth", "key", "--public-key", PUBLIC_KEY)
    assert (again.returncode, len(again.stderr.splitlines())) == (1, 1)
    assert "public key" in again.stderr
    made = run_coinslot("device", "create", "--data", relay.data, "--name", "x", "--auth", "key")
    assert re.fullmatch("[0-9a-f]{64}", json.loads(made.stdout)["secret_key"])
