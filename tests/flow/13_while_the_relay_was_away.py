"""Payments go on while the relay is down: all of them are found at its start, before any device is told that it has caught up."""

import json

import pytest

from ports import free_port
from relay import Relay, wait_until
from upstream import NANO, config_for, paid_to, sources, wait_filtered, wait_proven


@pytest.fixture
def simnode(make_simnode, port):
    return make_simnode(callback=f"http://127.0.0.1:{port}/callback/")


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def relay(make_relay, simnode, port):
    return make_relay(config_for(simnode), http=f"127.0.0.1:{port}")


class Till:
    """A device that acks whatever comes, and keeps what it was told."""

    def __init__(self, relay, connect, device, account, resume=0):
        self.account = account
        self.hashes, self.states = [], []
        self.resumed = resume
        self._session = connect(relay)
        self._session.greet(device, resume=resume)

    def read(self, until, what):
        """Frame by frame, until `until()`."""
        while not until():
            try:
                frame = json.loads(self._session.receive_text(timeout=20))
            except TimeoutError:
                raise AssertionError(f"{what} did not come; {len(self.hashes)} payments did, and last {self.states[-1:]}") from None
            if frame["type"] == "payment":
                self.hashes.append(frame["payment"]["hash"])
                assert frame["payment"]["to"] == self.account
                assert frame["seq"] == self.resumed + len(self.hashes), "a hole, or a repetition"
                self._session.send(type="ack", seq=frame["seq"])
            elif frame["type"] == "state":
                self.states.append((frame["caught_up"], frame["payable"], frame["reason"]))

    def read_until_caught_up(self):
        self.read(lambda: self.states and self.states[-1][0], "that it has caught up")

    def read_until(self, hashes):
        self.read(lambda: len(self.hashes) >= len(hashes), f"{len(hashes)} payments")
        assert set(self.hashes) == set(hashes)


def subscribed_devices(relay, accounts):
    lines = [{"name": "Meter", "auth": "token", "subscriptions": [{"chain": "nano", "address": account}]} for account in accounts]
    devices = relay.import_devices(lines)
    wait_proven(relay, *devices)
    wait_filtered(relay)
    return devices


def paid(simnode, accounts):
    """The hashes by account, in the order in which they were paid."""
    made = simnode.payments()
    return {account: [one["hash"] for one in made if one["to"] == account] for account in accounts}


@pytest.mark.parametrize("end", [Relay.kill, Relay.stop], ids=["power cut", "clean stop"])
def test_all_that_was_paid_under_load_meanwhile_is_there_before_a_device_has_caught_up(simnode, relay, connect, end):
    accounts = simnode.accounts(8)
    devices = subscribed_devices(relay, accounts)
    automatic, by_hand, not_yet_confirmed = accounts[3:5], accounts[5], accounts[6]
    simnode.tell("auto_receive", account=[*automatic, payer := simnode.account()])
    simnode.pay(payer, 10 * NANO)  # whose blocks nothing else confirms
    simnode.pay(accounts, NANO, count=600, rate=150)
    made = lambda: len(simnode.payments())  # noqa: E731
    wait_until(lambda: made() >= 150, what="a quarter of the load")
    end(relay)
    before = made()
    wait_until(lambda: made() >= before + 150, what="another quarter, that nobody hears of")
    assert simnode.pocket(by_hand) and simnode.pocket(not_yet_confirmed, count=5, confirmed=False)
    (unconfirmed,) = simnode.pay(accounts[7], NANO, from_=payer, confirmed=False)
    lost = [one for one in simnode.payments()[before:] if one["confirmed"] == "true"]
    assert {one["to"] for one in lost} == set(accounts)
    relay.start()
    tills = [Till(relay, connect, device, account) for device, account in zip(devices, accounts)]
    for till in tills:
        till.read_until_caught_up()
        missing = {one["hash"] for one in lost if one["to"] == till.account} - set(till.hashes)
        assert not missing, f"{len(missing)} payments were made before the start, and it was told that it had caught up without them"
    wait_until(lambda: made() >= 600 + 2, what="the end of the load")
    for till, (account, hashes) in zip(tills, paid(simnode, accounts).items()):
        till.read_until([hash for hash in hashes if hash != unconfirmed])
    for device, till in zip(devices, tills):
        assert paid_to(relay, device) == till.hashes
    simnode.confirm(unconfirmed, announce="ws")
    tills[7].read(lambda: tills[7].hashes[-1] == unconfirmed, "what was confirmed later")
    assert sources(relay)["reconciliation"]["found"] >= len(lost), "only reconciliation can have found them"


def test_a_payment_that_was_received_by_a_wallet_meanwhile_is_found_without_anything_else_to_tell_of_it(simnode, relay, connect):
    """Nothing waits for the account any more: only the history of its chain shows that it was paid."""
    (account,) = accounts = simnode.accounts(1)
    (device,) = subscribed_devices(relay, accounts)
    relay.stop()
    (first,) = simnode.pay(account, 2 * NANO)
    simnode.pocket(account)
    (second,) = simnode.pay(account, 3 * NANO, style="legacy")
    simnode.pocket(account, confirmed=False)
    (third,) = simnode.pay(account, 4 * NANO)
    simnode.pocket(account, confirmed=False)
    assert simnode.rpc("receivable", account=account)["blocks"] == ""
    relay.start()
    till = Till(relay, connect, device, account)
    till.read_until_caught_up()
    assert sorted(till.hashes) == sorted([first, second, third])
    amounts = {delivery["payment"]["hash"]: delivery["payment"]["amount"] for delivery in relay.deliveries()}
    assert amounts == {first: str(2 * NANO), second: str(3 * NANO), third: str(4 * NANO)}


def test_what_it_had_before_is_not_delivered_again_when_a_wallet_receives_it_later(simnode, relay, connect):
    (account,) = accounts = simnode.accounts(1)
    (device,) = subscribed_devices(relay, accounts)
    (known,) = simnode.pay(account, 2 * NANO)
    till = Till(relay, connect, device, account)
    till.read_until([known])
    relay.kill()
    simnode.pocket(account)
    (new,) = simnode.pay(account, 2 * NANO)
    relay.start()
    till = Till(relay, connect, device, account, resume=1)
    till.read_until_caught_up()
    assert till.hashes == [new]
    assert paid_to(relay, device) == [known, new]


def test_no_device_has_caught_up_while_the_node_cannot_be_asked(simnode, relay, connect):
    (account,) = accounts = simnode.accounts(1)
    (device,) = subscribed_devices(relay, accounts)
    relay.stop()
    (hash,) = simnode.pay(account)
    simnode.faults(rpc_errors=100)
    relay.start()
    till = Till(relay, connect, device, account)
    till.read(lambda: till.states, "the first state")
    failed = lambda: sources(relay)["reconciliation"]["failed"]  # noqa: E731
    wait_until(lambda: failed() >= 2, what="two attempts in vain")
    assert till.hashes == [] and sources(relay)["completeness"]["proven"] == 0
    simnode.faults(rpc_errors=0)
    till.read_until_caught_up()
    assert till.hashes == [hash]
    assert not any(caught_up for caught_up, _, _ in till.states[:-1]), till.states


def test_twice_down_in_the_middle_of_catching_up_nothing_is_lost_and_nothing_comes_twice(simnode, relay, connect):
    accounts = simnode.accounts(4)
    devices = subscribed_devices(relay, accounts)
    relay.kill()
    simnode.pay(accounts, NANO, count=800)
    simnode.pocket(*accounts[:2])
    for _ in range(3):
        relay.start()
        wait_until(lambda: relay.metrics()["coinslot_reconcile_found_total"] > 0 or sources(relay)["completeness"]["proven"] == 4)
        relay.kill()
    relay.start()
    for device, (account, hashes) in zip(devices, paid(simnode, accounts).items()):
        till = Till(relay, connect, device, account)
        till.read_until_caught_up()
        assert len(till.hashes) == 200 and set(till.hashes) == set(hashes)
