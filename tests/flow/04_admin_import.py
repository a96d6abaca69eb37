"""Thousands of devices in one request, a line each."""

import json
import socket
import threading
import time

from relay import wait_until

BAD = {
    3: ("not json", "malformed_json", None),
    500: ({"name": ""}, "invalid_field", "name"),
    1999: ({"name": "x", "token": "too short"}, "invalid_field", "token"),
    2000: ({"name": "x", "subscriptions": [{"chain": "nano", "address": "nano_1"}]}, "invalid_field", "subscriptions[0].address"),
    4999: ({"name": "x" * 70000}, "line_too_long", None),
}


def token_of(number):
    return f"token-{number:05d}-" + "t" * 32


def test_five_thousand_lines_are_registered_and_a_bad_one_stops_no_other(relay, signer):
    addresses = [signer.account(f"spot {n}").address for n in range(50)]
    lines = [
        {
            "name": f"Meter {number}",
            "auth": "token",
            **({"token": token_of(number)} if number % 2 else {}),
            "subscriptions": [{"chain": "nano", "address": addresses[number % 50], "minimum": str(number)}],
        }
        for number in range(1, 5001)
    ]
    for number, (line, _, _) in BAD.items():
        lines[number - 1] = line
    began = time.monotonic()
    results = relay.import_devices(lines)
    print(f"5,000 lines in {time.monotonic() - began:.2f} s")
    assert [result["line"] for result in results] == list(range(1, 5001))
    for number, (_, code, field) in BAD.items():
        error = results[number - 1]["error"]
        assert (error["code"], error.get("field")) == (code, field)
        assert error["detail"] and error["hint"]
    made = [result for result in results if "error" not in result]
    assert len(made) == 5000 - len(BAD)
    assert all(("token" in result) == (result["line"] % 2 == 0) for result in made)
    listed = {device["id"]: device for device in relay._pages("/api/v1/devices", {"limit": 1000})}
    assert {result["id"]: f"Meter {result['line']}" for result in made} == {id: device["name"] for id, device in listed.items()}
    assert {device["config_version"] for device in listed.values()} == {1}
    for result in made[::997]:
        (subscription,) = relay.rest("GET", f"/api/v1/devices/{result['id']}/subscriptions")["items"]
        assert [subscription["id"]] == result["subscriptions"]
        assert subscription["address"] == addresses[result["line"] % 50]
        assert subscription["minimum"] == str(result["line"])


def test_an_imported_device_is_paid_like_any_other(relay, connect, node, payer, shop):
    lines = [{"name": f"Meter {n}", "token": token_of(n), "subscriptions": [{"chain": "nano", "address": shop.address}]} for n in (1, 2)]
    made = relay.import_devices([*lines, {"name": "Meter 3", "subscriptions": [{"chain": "nano", "address": shop.address}]}])
    tokens = [token_of(1), token_of(2), made[2]["token"]]
    assert node.notify(payer.send(shop, 10**27)).status == 200
    relay.restart()
    for result, token in zip(made, tokens):
        session = connect(relay)
        assert session.greet({"id": result["id"], "token": token})["pending"] == 1


def begin_import(relay, length):
    """An import that the relay waits for."""
    connection = socket.create_connection(("127.0.0.1", relay.http_port))
    connection.sendall(
        (
            "POST /api/v1/devices/import HTTP/1.1\r\nHost: relay\r\nContent-Type: application/x-ndjson\r\n"
            f"Authorization: Bearer {relay.token('operator')}\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        ).encode()
    )
    assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    return connection


def count_devices(relay):
    return len(relay._pages("/api/v1/devices", {"limit": 1000}))


def test_an_import_that_breaks_off_can_be_sent_again(relay):
    lines = [{"name": f"Meter {number}", "token": token_of(number)} for number in range(700)]
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    with begin_import(relay, len(body)) as connection:
        connection.sendall(body[: len(body) * 6 // 7])
        wait_until(lambda: count_devices(relay) >= 576, what="nine groups")
    time.sleep(0.2)
    assert count_devices(relay) == 576  # whole groups of 64, nothing of the tenth
    results = relay.import_devices(lines)
    assert [result.get("error", {}).get("code") for result in results] == ["duplicate_token"] * 576 + [None] * 124
    assert count_devices(relay) == 700


def test_a_relay_that_is_killed_in_an_import_keeps_whole_lines(make_relay, shop):
    relay = make_relay()
    relay.token("operator")
    subscription = {"chain": "nano", "address": shop.address}
    lines = [{"name": f"Meter {number}", "token": token_of(number), "subscriptions": [subscription]} for number in range(600)]
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    with begin_import(relay, len(body)) as connection:
        connection.sendall(body[:-10])
        wait_until(lambda: count_devices(relay) >= 64, what="a group")
        relay.kill()
    relay.start()
    kept = count_devices(relay)
    assert kept % 64 == 0
    results = relay.import_devices(lines)
    assert [result.get("error", {}).get("code") for result in results] == ["duplicate_token"] * kept + [None] * (600 - kept)
    devices = relay._pages("/api/v1/devices", {"limit": 1000})
    assert sorted(device["name"] for device in devices) == sorted(line["name"] for line in lines)
    assert {device["config_version"] for device in devices} == {1}


def test_payments_are_taken_while_an_import_goes_on(relay, device, node, payer, shop):
    lines = [{"name": f"Meter {number}"} for number in range(3000)]
    done = threading.Thread(target=relay.import_devices, args=(lines,))
    done.start()
    paid = 0
    while done.is_alive() or paid == 0:
        assert node.notify(payer.send(shop, 10**27)).status == 200
        paid += 1
    done.join()
    assert len(relay.deliveries(device=device["id"])) == paid
    assert count_devices(relay) == 3001


def test_a_third_import_waits_for_the_others(relay):
    under_way = [begin_import(relay, 10), begin_import(relay, 10)]

    refused = relay.import_devices([])
    assert (refused.status, refused["code"], refused.headers["retry-after"]) == (503, "busy", "1")
    for connection in under_way:
        connection.close()
    wait_until(lambda: relay.import_devices([]) == [], what="their end")


def test_limits_are_the_configs_and_are_told(make_relay):
    relay = make_relay("[callback]\nconfirm = source\n[limits]\nimport_mb = 1\nimport_lines = 300\nsubscriptions_per_device = 1\n")
    results = relay.import_devices([{"name": str(number)} for number in range(310)])
    assert [result["line"] for result in results] == list(range(1, 302))
    assert results[-1]["error"]["code"] == "too_many_lines"
    assert count_devices(relay) == 300
    refused = relay.import_devices(["x" * 1000] * 1100)
    assert (refused.status, refused["code"]) == (413, "body_too_large")
    deep = relay.import_devices(['{"name":' + "[" * 5 + "]" * 5 + "}"])
    assert deep[0]["error"]["code"] == "malformed_json" and "4 levels" in deep[0]["error"]["detail"]
    assert relay.import_devices([{"name": "x"}], content_type="application/json").status == 415
    assert relay.import_devices([{"name": "x"}], role="viewer").status == 403
    assert list(relay.data.glob("import-*")) == []
