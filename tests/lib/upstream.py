"""A relay and the node that it asks, and what tests of the two want to know."""

import json
import time

from blocks import Notice, print_callback
from relay import wait_until

NANO = 10**30


def config_for(*simnodes, ws=True, confirm="node", sweep_s=0, nano="", more=""):
    """The RPC is the first one's; `ws`: all of their WebSockets are listened to, or these URLs. Sweeps only when there is a reason."""
    urls = [simnode.ws_url for simnode in simnodes] if ws is True else ws or []
    return (
        f"[callback]\nconfirm = {confirm}\n[log]\nlevel = debug\n"
        f"[nano]\nrpc = {simnodes[0].rpc_url}\nrpc_calls_per_s = 0\nsweep_s = {sweep_s}\n"
        f"{'ws = ' + ' '.join(urls) if urls else ''}\n{nano}\n{more}"
    )


def callback_of(simnode, hash, **lies):
    """What a node's callback says of this block; `lies` replace parts of it, or of the block where they are named so there."""
    known = simnode.rpc("blocks_info", hashes=[hash], json_block=True)["blocks"][hash]
    block = dict(known["contents"])
    said = {"account": known["block_account"], "hash": hash, "block": block, "amount": known["amount"]}
    if block["type"] == "state":
        said.update(is_send="true", subtype="send")
    for name, value in lies.items():
        (block if name in block else said)[name] = value
    said["block"] = json.dumps(block, indent=4) + "\n"
    return print_callback(said)


def notice_of(simnode, hash):
    """The same as a Notice, of a state block."""
    known = simnode.rpc("blocks_info", hashes=[hash], json_block=True)["blocks"][hash]
    return Notice(known["block_account"], hash, known["contents"], int(known["amount"]), "send")


# ---- what the relay says ------------------------------------------------------------------------------------------------


def sources(relay):
    reply = relay.rest("GET", "/api/v1/sources")
    assert reply.status == 200, reply
    return reply.value


def source(relay, kind):
    """The first of its kind: callback, nano_ws, backfill."""
    return next(one for one in sources(relay)["sources"] if one["kind"] == kind)


def wait_alive(relay, kind, alive=True, timeout=20):
    return wait_until(lambda: (one := source(relay, kind))["alive"] == alive and one, timeout, f"that {kind} is {'' if alive else 'not '}alive")


def readiness(relay):
    """The status, and the words of what is not well, by check."""
    reply = relay.rest("GET", "/readyz", role=None)
    return reply.status, {check["name"]: check["detail"] for check in reply["checks"] if not check["ok"]}


def standing(relay, account):
    """What everybody may know: (payable, reason)."""
    reply = relay.rest("GET", f"/api/v1/status/{getattr(account, 'address', account)}", role=None)
    assert reply.status == 200, reply
    return reply["payable"], reply["reason"]


def wait_standing(relay, account, payable, reason=None, timeout=20):
    wait_until(lambda: standing(relay, account) == (payable, reason), timeout, f"{(payable, reason)} in the status")


def completeness(relay, device):
    """Of each of its subscriptions."""
    reply = relay.rest("GET", f"/api/v1/devices/{device['id']}/subscriptions")
    assert reply.status == 200, reply
    return [subscription["completeness"] for subscription in reply["items"]]


def wait_proven(relay, *devices, timeout=20):
    """Until all that they subscribe to is complete, the baselines included."""
    for device in devices:
        wait_until(lambda: all(one["proven"] for one in completeness(relay, device)), timeout, "that all of its addresses are proven")


def proven_device(relay, account, since=None, **device):
    """A new device that is paid on this account, once its address is proven."""
    device = relay.create_device("Meter 12", **device)
    body = {"chain": "nano", "address": account, **({"since": since} if since else {})}
    reply = relay.rest("POST", f"/api/v1/devices/{device['id']}/subscriptions", body)
    assert reply.status == 201, reply
    wait_proven(relay, device)
    return device


def wait_filtered(relay, acks=2):
    """Until a node's WebSocket tells of a new subscription's address: it has acknowledged the subscription, and an update after it."""
    name = 'coinslot_nano_ws_messages_total{node="0",result="ack"}'
    wait_until(lambda: relay.metrics()[name] >= acks, what=f"{acks} acks of the node's WebSocket")
    reconcile(relay)  # what was asked about these addresses then is answered by now


def reconcile(relay, timeout=20):
    """Asks for a whole sweep, and waits until one that began after that has ended."""
    before = sources(relay)["reconciliation"]
    assert relay.rest("POST", "/api/v1/reconcile").status == 202

    def done():
        now = sources(relay)["reconciliation"]
        # One may have been under way already: what was asked for is then the one after it.
        return now["sweeps"] > before["sweeps"] + before["running"] and not now["running"] and now

    return wait_until(done, timeout, "the end of a sweep")


def paid_to(relay, device):
    """Hashes of its deliveries, by seq, which have no hole."""
    deliveries = sorted(relay.deliveries(device=device["id"]), key=lambda delivery: delivery["seq"])
    assert [delivery["seq"] for delivery in deliveries] == list(range(1, len(deliveries) + 1))
    return [delivery["payment"]["hash"] for delivery in deliveries]


def wait_paid(relay, device, *hashes, timeout=20):
    """Until it has these, and nothing else."""
    wait_until(lambda: len(paid_to(relay, device)) >= len(hashes), timeout, f"{len(hashes)} deliveries")
    assert sorted(paid_to(relay, device)) == sorted(hashes)


# ---- whether one may pay ------------------------------------------------------------------------------------------------


class Machine:
    """A device that only listens to whether people may pay."""

    def __init__(self, relay, connect, device):
        self._session = connect(relay)
        self._session.greet(device)
        self.last = None

    def await_state(self, **wanted):
        """Until the last state says so."""
        end = time.monotonic() + 20
        while self.last is None or any(self.last[name] != value for name, value in wanted.items()):
            assert time.monotonic() < end, f"{wanted} was not said, but {self.last}"
            frame = json.loads(self._session.receive_text(timeout=20))
            self.last = frame if frame["type"] == "state" else self.last

    def close(self):
        self._session.close()


def assert_green(relay, account):
    wait_standing(relay, account, True)
    assert readiness(relay) == (200, {})
    assert relay.metrics()["coinslot_payable"] == 1 and sources(relay)["payable"]


def assert_red(relay, account, reason):
    wait_standing(relay, account, False, reason)
    status, troubles = readiness(relay)
    assert status == 503 and list(troubles) == ["sources"]
    assert relay.metrics()["coinslot_payable"] == 0
    assert (sources(relay)["payable"], sources(relay)["reason"]) == (False, reason)
