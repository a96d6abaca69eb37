"""Devices, subscriptions and tokens over REST and on the command line."""

import re
import socket

import openapi
import pytest

from relay import Relay, run_coinslot, wait_until
from session import Closed


def problem(reply, status, code, field=None):
    assert reply.status == status, reply
    assert reply.headers["content-type"].startswith("application/problem+json")
    assert reply["code"] == code
    assert reply["status"] == status
    assert reply["detail"] and reply["hint"]
    assert reply.value.get("field") == field


def operations():
    """(method, path, least role) of everything that schema/openapi.yaml describes; None: anybody may."""
    for path, methods in openapi.document()["paths"].items():
        for method, operation in methods.items():
            if method != "parameters":
                assert ("x-least-role" in operation) == (operation.get("security") != []), (method, path)
                yield method.upper(), path, operation.get("x-least-role")


ROLES = ["viewer", "auditor", "operator", "admin"]


def test_every_operation_of_the_schema_exists_and_needs_the_role_that_it_names(relay):
    described = list(operations())
    assert len(described) == 24
    for method, path, least in described:
        path = re.sub(r"{\w+}", "none_such", path)
        body = {} if method in ("POST", "PUT", "PATCH") else None
        found = {"/api/v1/relay/roll-key": (200,), "/api/v1/devices/import": (415,), "/api/v1/reconcile": (409,)}.get(path)
        found = found or ((200,) if method == "GET" and "none_such" not in path else (404, 422))
        if least is None:
            problem(relay.rest(method, path, body, role=None), 400, "invalid_parameter", "address")
            continue
        if path.startswith("/api/"):
            problem(relay.rest(method, path, body, role=None), 401, "token_needed")
        for role in ROLES:
            reply = relay.rest(method, path, body, role=role)
            if ROLES.index(role) < ROLES.index(least):
                problem(reply, 403, "role_too_low")
            else:
                assert reply.status in found, (method, path, reply)


def test_a_device_is_registered_listed_and_retired_for_good(relay):
    made = relay.rest("POST", "/api/v1/devices", {"name": "Meter 12", "auth": "token"})
    assert made.status == 201
    assert made.headers["location"] == f"/api/v1/devices/{made['id']}"
    assert made["id"].startswith("dev_") and len(made["token"]) >= 32
    shown = relay.rest("GET", made.headers["location"], role="viewer")
    once = {"token", "relay_keys", "epoch"}
    assert shown.value == {name: value for name, value in made.value.items() if name not in once}
    assert once < made.value.keys()
    assert relay.rest("GET", "/api/v1/devices?state=active", role="viewer")["items"] == [shown.value]
    for _ in range(2):
        gone = relay.rest("DELETE", made.headers["location"])
        assert (gone.status, gone.value) == (204, "")
    assert relay.rest("GET", made.headers["location"])["state"] == "retired"
    assert relay.rest("GET", "/api/v1/devices?state=active")["items"] == []
    problem(relay.rest("DELETE", "/api/v1/devices/dev_aaaaaaaaaaaaaaaa"), 404, "device_not_found", "device")


def test_retiring_a_device_ends_its_session(relay, device, connect):
    session = connect(relay)
    session.greet(device)
    wait_until(lambda: relay.rest("GET", f"/api/v1/devices/{device['id']}")["connected"], what="connected")
    assert relay.rest("DELETE", f"/api/v1/devices/{device['id']}").status == 204
    with pytest.raises(Closed):
        while True:
            session.receive()
    assert relay.rest("GET", f"/api/v1/devices/{device['id']}")["connected"] is False


def test_devices_come_in_pages_each_once_newest_first(relay):
    names = [f"meter {number}" for number in range(7)]
    for name in names:
        relay.create_device(name)
    first = relay.rest("GET", "/api/v1/devices?limit=3")
    assert [item["name"] for item in first["items"]] == names[:3:-1]
    relay.create_device("a late one")
    listed = first["items"] + relay._pages("/api/v1/devices", {"limit": 3, "cursor": first["next"]})
    assert [item["name"] for item in listed] == names[::-1]


@pytest.mark.parametrize(
    "body, code, field",
    [
        ({}, "missing_field", "name"),
        ({"name": ""}, "invalid_field", "name"),
        ({"name": "x" * 129}, "invalid_field", "name"),
        ({"name": "é" * 65}, "invalid_field", "name"),
        ({"name": "a\tb"}, "invalid_field", "name"),
        ({"name": "x", "public_key": "00" * 32}, "invalid_field", "public_key"),
        ({"name": "x", "auth": 1}, "invalid_field", "auth"),
        ({"name": "x", "expire_after_s": 0}, "invalid_field", "expire_after_s"),
        ({"name": "x", "token": "t" * 40}, "unknown_field", "token"),
    ],
)
def test_a_device_that_cannot_be_is_refused_with_its_field(relay, body, code, field):
    problem(relay.rest("POST", "/api/v1/devices", body), 422, code, field)
    assert relay.rest("GET", "/api/v1/devices")["items"] == []


def test_names_of_128_bytes_in_any_script_come_back_as_they_were(relay):
    for name in ("é" * 64, "駐車場 №12", "x", "🅿️ lot"):
        assert relay.create_device(name)["name"] == name


def test_one_address_is_subscribed_once_whatever_its_prefix(relay, shop):
    device = relay.create_device()
    path = f"/api/v1/devices/{device['id']}/subscriptions"
    body = {"chain": "nano", "address": shop.address.replace("nano_", "xrb_"), "minimum": "340282366920938463463374607431768211455"}
    made = relay.rest("POST", path, body)
    assert made.status == 201
    assert made.headers["location"] == f"{path}/{made['id']}"
    assert {name: made[name] for name in ("device", "chain", "address", "minimum")} == {
        "device": device["id"],
        "chain": "nano",
        "address": shop.address,
        "minimum": body["minimum"],
    }
    problem(relay.rest("POST", path, {"chain": "nano", "address": shop.address}), 409, "subscription_exists", "address")
    assert relay.rest("GET", path, role="viewer").value == {"items": [made.value], "next": None}
    assert relay.rest("DELETE", made.headers["location"]).status == 204
    problem(relay.rest("DELETE", made.headers["location"]), 404, "subscription_not_found")
    assert relay.rest("POST", path, {"chain": "nano", "address": shop.address})["minimum"] == "0"


def test_a_subscription_ends_when_it_is_removed(relay, device, node, payer, shop):
    path = f"/api/v1/devices/{device['id']}/subscriptions"
    (subscription,) = relay.rest("GET", path)["items"]
    assert node.notify(payer.send(shop, 10**27)).status == 200
    assert relay.rest("DELETE", f"{path}/{subscription['id']}").status == 204
    assert node.notify(payer.send(shop, 10**27)).status == 200
    assert len(relay.deliveries(device=device["id"])) == 1


@pytest.mark.parametrize(
    "change, code, field",
    [
        ({"minimum": 5}, "invalid_field", "minimum"),
        ({"minimum": "0.5"}, "invalid_field", "minimum"),
        ({"minimum": str(2**128)}, "invalid_field", "minimum"),
        ({"address": "nano_1"}, "invalid_field", "address"),
        ({"chain": "bitcoin"}, "invalid_field", "chain"),
        ({"chain": None}, "invalid_field", "chain"),
        ({"note": "x"}, "unknown_field", "note"),
    ],
)
def test_a_subscription_that_cannot_be_is_refused_with_its_field(relay, shop, change, code, field):
    device = relay.create_device()
    reply = relay.rest("POST", f"/api/v1/devices/{device['id']}/subscriptions", {"chain": "nano", "address": shop.address, **change})
    problem(reply, 422, code, field)


def test_a_token_opens_what_its_role_may_until_it_is_revoked(relay):
    made = relay.rest("POST", "/api/v1/tokens", {"name": "grafana", "role": "viewer"})
    assert made.status == 201
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert relay.rest("GET", "/api/v1/devices", role=None, headers=headers).status == 200
    refused = relay.rest("GET", "/api/v1/tokens", role=None, headers=headers)
    problem(refused, 403, "role_too_low")
    assert "admin" in refused["hint"]
    listed = {token["id"]: token for token in relay.rest("GET", "/api/v1/tokens")["items"]}
    assert listed[made["id"]]["name"] == "grafana" and "token" not in listed[made["id"]]
    assert relay.rest("DELETE", f"/api/v1/tokens/{made['id']}").status == 204
    refused = relay.rest("GET", "/api/v1/devices", role=None, headers=headers)
    problem(refused, 401, "invalid_token")
    assert refused.headers["www-authenticate"].startswith("Bearer ")
    relay.restart()
    problem(relay.rest("GET", "/api/v1/devices", role=None, headers=headers), 401, "invalid_token")


def test_the_command_line_does_the_same_beside_a_relay_and_without_one(make_relay, shop):
    relay = make_relay()
    for running in (True, False):
        if not running:
            relay.stop()
        made = run_coinslot("device", "create", "--data", relay.data, "--name", f"cli {running}", "--expire-after", 60)
        assert made.returncode == 0, made.stderr
        id = re.search(r'"id":"(dev_\w+)"', made.stdout)[1]
        assert '"expire_after_s":60' in made.stdout and '"token":"' in made.stdout
        arguments = ("--data", relay.data, "--device", id, "--address", shop.address)
        done = run_coinslot("subscription", "create", *arguments)
        assert done.returncode == 0, done.stderr
        again = run_coinslot("subscription", "create", *arguments)
        assert (again.returncode, len(again.stderr.splitlines())) == (1, 1)
        assert "already" in again.stderr
        done = run_coinslot("device", "retire", "--data", relay.data, id)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        listed = run_coinslot("device", "list", "--data", relay.data).stdout.splitlines()
        assert len(listed) == (1 if running else 2)
        assert all('"state":"retired"' in line and '"token"' not in line.replace('"auth":"token"', "") for line in listed)
        tokens = run_coinslot("token", "list", "--data", relay.data)
        assert tokens.returncode == 0
    missing = run_coinslot("device", "list", "--data", relay.data / "nothing")
    assert missing.returncode == 1 and len(missing.stderr.splitlines()) == 1
    assert not (relay.data / "nothing").exists()


def test_a_socket_that_a_killed_relay_left_is_in_nobodys_way(make_relay):
    relay = make_relay()
    relay.kill()
    assert (relay.data / "control.sock").is_socket()
    assert run_coinslot("token", "create", "--data", relay.data, "--name", "x", "--role", "viewer").returncode == 0
    relay.start()
    assert run_coinslot("token", "create", "--data", relay.data, "--name", "x", "--role", "viewer").returncode == 0
    relay.stop()
    assert not (relay.data / "control.sock").exists()


def test_a_data_folder_with_a_path_longer_than_a_socket_address_works(tmp_path):
    relay = Relay(tmp_path / ("d" * 120)).start()
    try:
        assert len(str(relay.data)) > 108
        assert relay.create_device("far")["name"] == "far"  # its token comes through the socket
    finally:
        relay.close()


def test_a_silent_caller_on_the_control_socket_holds_up_nobody_for_long(relay):
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(relay.data / "control.sock"))
        assert relay.rest("GET", "/healthz", role=None).status == 200
        assert run_coinslot("token", "list", "--data", relay.data).returncode == 0


def test_the_printed_config_is_the_default_config(tmp_path, make_relay):
    printed = run_coinslot("config")
    assert printed.returncode == 0
    text = re.sub(r"(?m)^confirm = .*$", "confirm = source", printed.stdout)
    assert text.count("confirm = source") == 1
    relay = make_relay(config=text)
    assert relay.rest("GET", "/healthz", role=None).status == 200
