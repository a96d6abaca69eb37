"""A device that wants proofs gets each payment with its own block and the one before, and believes nothing else. docs/decisions/0011-proofs.md."""

import pytest

from coinslot import proof
from relay import CONFIG, wait_until
from upstream import NANO, Machine, callback_of, config_for, paid_to, proven_device, reconcile, wait_filtered, wait_paid
from node import FakeNode

TARIFF = {"steps": [{"amount": str(NANO), "seconds": 600}], "minimum": "0", "cap_s": 7200}
WITH_PROOF = {"tariff": TARIFF, "proof": True}


def wary_device(relay, account, **fields):
    """One whose payments have to prove themselves, once its address is proven."""
    device = proven_device(relay, account, **fields)
    relay.set_config(device, WITH_PROOF)
    assert config_of(relay, device)["proof"] is True
    return device


def config_of(relay, device):
    """What the device is told."""
    return relay.rest("GET", f"/api/v1/devices/{device['id']}/config")["config"]


@pytest.fixture
def relay(make_relay, simnode):
    """It hears the node's WebSocket."""
    return make_relay(config_for(simnode))


@pytest.fixture
def wary(relay, account):
    device = wary_device(relay, account)
    wait_filtered(relay)
    return device


@pytest.fixture
def make_wary_meter(make_either_meter):
    """Both check by code of their own."""

    def make(relay, device):
        return make_either_meter(relay, device, arguments=("--proof",)).plug_in()

    return make


def granted(meter, count):
    """The first payments that the meter took; each was proved to it."""
    events = [meter.wait_for("payment", number) for number in range(1, count + 1)]
    assert all("seconds" in event for event in events), events
    return [event["hash"] for event in events]


def held(relay):
    return relay.metrics()["coinslot_deliveries_held"]


def findings(relay):
    prefix = 'coinslot_proofs_total{result="'
    return {name[len(prefix) : -2]: int(value) for name, value in relay.metrics().items() if name.startswith(prefix) and value}


def check(frame, account):
    """What the reference device says of it."""
    return proof.check(frame["payment"], frame.get("proof"), [account])


# ---- each way in --------------------------------------------------------------------------------------------------------


def test_what_the_websocket_tells_goes_out_live_with_its_proof(simnode, relay, wary, account, make_wary_meter):
    meter = make_wary_meter(relay, wary)
    meter.wait_for("welcome")
    paid = simnode.pay(account, NANO, count=5, announce="ws")
    assert granted(meter, 5) == paid_to(relay, wary)
    assert sorted(paid_to(relay, wary)) == sorted(paid)
    assert {delivery["attempts"] for delivery in relay.deliveries()} == {1}
    assert findings(relay) == {"found": 5} and held(relay) == 0


def test_what_a_callback_tells_goes_out_once_it_is_confirmed_and_proved(simnode, make_relay, account, make_wary_meter):
    relay = make_relay(config_for(simnode, ws=False))
    device = wary_device(relay, account)
    meter = make_wary_meter(relay, device)
    meter.wait_for("welcome")
    for hash in simnode.pay(account, NANO, count=3, announce="none"):
        assert FakeNode(relay.http_port).post(callback_of(simnode, hash)).status == 200
    assert granted(meter, 3) == paid_to(relay, device)
    assert {delivery["payment"]["source"] for delivery in relay.deliveries()} == {"callback"}


def test_what_reconciliation_finds_goes_out_with_its_proof(simnode, relay, wary, account, make_wary_meter):
    meter = make_wary_meter(relay, wary)
    meter.wait_for("welcome")
    paid = simnode.pay(account, NANO, count=3, announce="none")
    reconcile(relay)
    assert sorted(granted(meter, 3)) == sorted(paid)
    assert {delivery["payment"]["source"] for delivery in relay.deliveries()} == {"backfill"}


def test_what_a_device_was_away_for_is_replayed_with_its_proof(simnode, relay, wary, account, make_wary_meter):
    meter = make_wary_meter(relay, wary)
    first = simnode.pay(account, NANO, announce="ws")
    assert granted(meter, 1) == first
    meter.pull_the_plug()
    missed = simnode.pay(account, NANO, count=70, announce="ws")  # more than a window
    wait_paid(relay, wary, *first, *missed)
    meter.plug_in()
    assert sorted(granted(meter, 71)) == sorted(first + missed)


def test_the_frame_carries_both_blocks_to_the_byte(simnode, relay, wary, account, connect):
    session = connect(relay)
    session.greet(wary)
    (paid,) = simnode.pay(account, 3 * NANO, announce="ws")
    frame = session.receive("payment")
    assert list(frame) == ["type", "seq", "config_version", "payment", "proof"]
    assert list(frame["proof"]) == ["block", "previous"]
    block, previous = (proof.Block.unpack(bytes.fromhex(frame["proof"][name])) for name in ("block", "previous"))
    node = simnode.rpc("blocks_info", hashes=[paid], json_block=True)["blocks"][paid]["contents"]
    assert (block.hash.hex().upper(), previous.hash.hex().upper()) == (paid, node["previous"])
    assert frame["proof"]["block"] == frame["proof"]["block"].lower()
    assert frame["proof"]["block"].endswith(node["work"].lower())
    assert check(frame, account) is None
    assert check({**frame, "payment": {**frame["payment"], "amount": str(4 * NANO)}}, account) == "proof_wrong"


# ---- what comes before ----------------------------------------------------------------------------------------------------


def test_what_comes_before_a_legacy_send_decides_whether_it_can_be_proven(simnode, relay, wary, account, make_wary_meter, connect):
    payer = simnode.account()
    simnode.pay(payer, 100 * NANO, announce="none")
    simnode.pocket(payer, style="legacy")
    (first,) = simnode.pay(account, NANO, style="legacy", from_=payer, announce="none")
    (second,) = simnode.pay(account, NANO, style="legacy", from_=payer, announce="none")
    (third,) = simnode.pay(account, NANO, from_=payer, announce="none")
    before = {hash: simnode.rpc("blocks_info", hashes=[hash], json_block=True)["blocks"][hash]["contents"] for hash in (first, second, third)}
    types = {
        hash: simnode.rpc("blocks_info", hashes=[block["previous"]], json_block=True)["blocks"][block["previous"]]["contents"]["type"]
        for hash, block in before.items()
    }
    assert types == {first: "open", second: "send", third: "send"}
    reconcile(relay)
    wait_paid(relay, wary, first, second, third)
    meter = make_wary_meter(relay, wary)
    meter.wait_for("payment", 3)
    said = {event["hash"]: event.get("refused", event.get("seconds")) for event in meter.of("payment")}
    assert said == {first: "unprovable", second: 600, third: 600}
    wait_until(lambda: "unprovable" in {delivery["reason"] for delivery in relay.deliveries()}, what="the refusal in the list")


# ---- a node that is away ----------------------------------------------------------------------------------------------------


def test_while_the_node_is_away_deliveries_are_held_and_people_told_not_to_pay(make_simnode, make_relay, connect, make_wary_meter):
    simnode = make_simnode()
    relay = make_relay(config_for(simnode, nano="rpc_timeout_s = 1\n"))
    account, other = simnode.accounts(2)
    wary, trusting = wary_device(relay, account), proven_device(relay, other)
    wait_filtered(relay)
    meter = make_wary_meter(relay, wary)
    machine, easy = Machine(relay, connect, wary_twin(relay, account)), Machine(relay, connect, trusting)
    machine.await_state(payable=True)
    simnode.faults(rpc_cuts=100)
    paid = simnode.pay(account, NANO, count=2, announce="ws")
    wait_until(lambda: held(relay) == 4, what="deliveries that are held")
    machine.await_state(payable=False, caught_up=False, reason="node_unreachable")
    easy.await_state(payable=True)
    assert paid_to(relay, wary) == [] and not meter.of("payment")
    assert sorted(payment["hash"] for payment in relay.payments()) == sorted(paid)  # they are stored all the same
    relay.restart()
    assert held(relay) == 4
    simnode.faults(rpc_cuts=0)
    assert sorted(granted(meter, 2)) == sorted(paid)
    wait_until(lambda: held(relay) == 0, what="nothing is held")


def wary_twin(relay, account):
    """A second device on the same account."""
    return wary_device(relay, account)


def test_a_relay_that_is_killed_meanwhile_delivers_with_proof_once(make_simnode, make_relay, make_wary_meter):
    simnode = make_simnode()
    relay = make_relay(config_for(simnode, nano="rpc_timeout_s = 1\n"))
    account = simnode.account()
    wary = wary_device(relay, account)
    wait_filtered(relay)
    meter = make_wary_meter(relay, wary)
    simnode.faults(rpc_stall=1)
    paid = simnode.pay(account, NANO, count=3, announce="ws")
    wait_until(lambda: held(relay) == 3, what="deliveries that are held")
    relay.kill()
    simnode.faults(rpc_stall=0)
    relay.start()
    assert sorted(granted(meter, 3)) == sorted(paid)
    wait_until(lambda: [delivery["state"] for delivery in relay.deliveries()] == ["actuated"] * 3, what="the end of all")
    assert len(meter.of("payment")) == 3


def test_an_operator_who_gives_up_on_proofs_has_what_is_held_go_out_without(make_simnode, make_relay, make_meter):
    simnode = make_simnode()
    relay = make_relay(config_for(simnode))
    account = simnode.account()
    device = wary_device(relay, account)
    wait_filtered(relay)
    meter = make_meter(relay, device).plug_in()  # it would take them without
    simnode.faults(rpc_cuts=100)
    paid = simnode.pay(account, NANO, announce="ws")
    wait_until(lambda: held(relay) == 1, what="a delivery that is held")
    relay.set_config(device, {"tariff": TARIFF, "proof": False})
    assert "proof" not in config_of(relay, device)
    assert granted(meter, 1) == paid
    assert findings(relay) == {"not_wanted": 1}


# ---- what cannot be ----------------------------------------------------------------------------------------------------------


def test_without_a_node_to_ask_proofs_are_refused_with_what_to_do(relay_without_node, make_meter):
    relay = relay_without_node
    device = relay.create_device("Meter 12")
    answer = relay.rest("PUT", f"/api/v1/devices/{device['id']}/config", WITH_PROOF)
    assert (answer.status, answer["code"], answer["field"]) == (409, "no_node", "proof")
    assert "rpc = " in answer["hint"]
    relay.set_config(device, {"tariff": TARIFF})
    wrong = relay.rest("PUT", f"/api/v1/devices/{device['id']}/config", {"tariff": TARIFF, "proof": "yes"})
    assert (wrong.status, wrong["field"]) == (422, "proof")


@pytest.fixture
def relay_without_node(make_relay):
    return make_relay(CONFIG)


def test_a_payment_without_its_proof_buys_nothing_where_proofs_are_wanted(simnode, relay, account, make_wary_meter):
    device = proven_device(relay, account)
    relay.set_config(device, {"tariff": TARIFF})
    wait_filtered(relay)
    meter = make_wary_meter(relay, device)
    meter.wait_for("welcome")
    simnode.pay(account, NANO, announce="ws")
    assert meter.wait_for("payment")["refused"] == "no_proof"
    relay.set_config(device, WITH_PROOF)
    simnode.pay(account, NANO, announce="ws")
    assert meter.wait_for("payment", 2)["seconds"] == 600
