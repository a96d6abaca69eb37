"""Nothing is missed in silence: whether one may pay, and what was paid while no news came in."""

import socket
import time

import pytest

from relay import wait_until

NANO = 10**27


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Scene:
    """A node that calls back, a relay that asks it, one device and the account on which it is paid."""

    def __init__(self, make_simnode, make_relay, ways="callback ws", more=""):
        http = f"127.0.0.1:{free_port()}"
        self.node = make_simnode(callback=f"http://{http}/callback/" if "callback" in ways else None)
        ws = f"ws = {self.node.ws_url}\n" if "ws" in ways else ""
        config = f"[callback]\nconfirm = node\n[nano]\nrpc = {self.node.rpc_url}\nrpc_calls_per_s = 0\nsweep_s = 200\n{ws}{more}"
        self.relay = make_relay(config, http=http)
        self.account = self.node.account()
        self.device = self.relay.create_device("Meter 12")
        self.relay.subscribe(self.device, self.account)
        self.until_proven()

    def completeness(self):
        return self.relay.rest("GET", f"/api/v1/devices/{self.device['id']}/subscriptions")["items"][0]["completeness"]

    def until_proven(self):
        wait_until(lambda: self.completeness()["proven"], what="a proven address")

    def sources(self):
        return self.relay.rest("GET", "/api/v1/sources").value

    def reconcile(self):
        """Until a sweep that began now has ended."""
        before = self.completeness()["complete_as_of"]
        assert self.relay.rest("POST", "/api/v1/reconcile").status == 202
        wait_until(lambda: (self.completeness()["complete_as_of"] or "") > (before or ""), what="the end of a sweep")

    def delivered(self):
        """Hashes, oldest first; each once."""
        hashes = [item["payment"]["hash"] for item in reversed(self.relay.deliveries(device=self.device["id"]))]
        assert len(hashes) == len(set(hashes))
        return hashes

    def until_delivered(self, hashes):
        wait_until(lambda: set(self.delivered()) == set(hashes), what=f"{len(hashes)} deliveries")


@pytest.fixture
def make_scene(make_simnode, make_relay):
    return lambda *arguments, **options: Scene(make_simnode, make_relay, *arguments, **options)


# ---- whether to pay -------------------------------------------------------------------------------------------------------------


def payable(scene):
    answer = scene.relay.rest("GET", f"/api/v1/status/{scene.account}", role=None)
    assert answer.status == 200 and "max-age" in answer.headers["cache-control"]
    return answer["payable"], answer["reason"]


def test_nobody_is_told_to_pay_a_meter_that_would_not_hear_of_it(make_scene, make_meter):
    scene = make_scene(ways="ws")
    assert payable(scene) == (False, "device_away")
    meter = make_meter(scene.relay, scene.device).plug_in()
    wait_until(lambda: payable(scene) == (True, None), what="a green light")
    assert scene.relay.rest("GET", "/readyz").status == 200
    scene.node.faults(ws_refuse=1)
    scene.node.tell("cut_ws")
    wait_until(lambda: payable(scene) == (False, "no_source"), what="a red light")
    wait_until(lambda: meter.of("state")[-1]["reason"] == "no_source", what="the device to be told")
    assert scene.relay.rest("GET", "/readyz").status == 503
    hashes = scene.node.pay(scene.account, NANO, count=2)
    scene.until_delivered(hashes)  # who does not hear asks
    scene.node.faults(ws_refuse=0)
    wait_until(lambda: payable(scene) == (True, None), timeout=60, what="a green light again")
    wait_until(lambda: meter.of("state")[-1]["reason"] == "ok", what="the device to be told")


def test_a_node_that_does_not_answer_is_waited_for(make_scene):
    scene = make_scene(ways="callback ws")
    scene.node.faults(rpc_status=500)
    scene.node.faults(lose_ws=100, lose_callbacks=100)
    hashes = scene.node.pay(scene.account, NANO, count=5)
    scene.relay.rest("POST", "/api/v1/reconcile")
    wait_until(lambda: scene.sources()["reconciliation"]["why"], what="a failure that is told")
    scene.node.faults(rpc_status=0, rpc_garbage=100)
    time.sleep(0.5)
    scene.node.faults(rpc_garbage=0, rpc_stall=1)
    scene.relay.stop()  # with a question under way
    scene.node.faults(rpc_stall=0)
    scene.relay.start()
    scene.until_delivered(hashes)
