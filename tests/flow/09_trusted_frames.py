"""Somebody on the way: whatever is changed, forged, dropped, repeated, re-ordered, turned around, or taken from another session."""

import json
import re

import pytest

from paying import hashes, in_order, pay, wait_served
from proxy import DOWN, UP
from relay import wait_until


def flip(text, member):
    """One bit of this member's value, so that it stays what its kind of value looks like; the rest byte for byte."""
    found = re.search(rf'"{member}":("[^"]*"|\d+|null|\{{.*?\}}+)', text)
    assert found, f"there is no {member} in {text}"
    start, end = found.span(1)
    digits = [place for place in range(start, end) if text[place] in "0123456789" and place != start]
    place = start if text[start].isdigit() else digits[-1] if digits else end - 2
    flipped = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]
    assert flipped != text
    return flipped


CONFIG = {"tariff": {"steps": [{"amount": str(10**27), "seconds": 6}], "cap_s": 7200}}

MEMBERS = {
    "challenge": ("nonce", "key", "relay", "epoch"),
    "hello": ("device", "key", "resume", "epoch", "firmware", "config_version", "sig"),
    "welcome": ("time", "last_acked", "pending", "config_version", "config", "sig"),
}


@pytest.mark.parametrize("kind", MEMBERS)
def test_a_handshake_in_which_one_bit_was_changed_on_the_way_is_refused_and_nothing_changes(
    relay, key_device, payer, shop, make_meter, make_proxy, kind
):
    relay.set_config(key_device, CONFIG)
    proxy = make_proxy(relay)
    meter = make_meter(proxy, key_device).plug_in()
    notices = pay(relay, payer, shop, 1)  # so that the device has an epoch, a seq and a config
    meter.wait_for("noted")
    meter.stop()
    notices += pay(relay, payer, shop, 1)
    before = meter.state()

    for member in MEMBERS[kind]:

        def change(session, direction, text):
            if json.loads(text)["type"] != kind:
                return [text]
            proxy.open = False  # for the next attempt
            return [flip(text, member)]

        proxy.tamper, proxy.open = change, True
        unproven, waited = len(meter.of("relay_not_proven")), len(meter.of("waiting"))
        meter.plug_in()
        # Who is lied to finds it: the relay, by what the hello says of the challenge, or the device.
        assert meter.wait_for("waiting", waited + 1)["code"] == 4002, member
        by_device = kind == "welcome" or member == "relay"
        assert len(meter.of("relay_not_proven")) - unproven == by_device, member
        meter.pull_the_plug()
        wait_until(lambda: not relay.show_device(key_device)["connected"], what="the end of the session")
        assert meter.state() == before, member
        assert relay.show_device(key_device)["acked_seq"] == 1, member
        assert in_order(relay, key_device)[1]["state"] in ("stored", "sent"), member
    assert len(meter.of("welcome")) == 1

    proxy.tamper, proxy.open = None, True
    meter.plug_in()
    wait_served(relay, key_device, 2)
    assert [event["hash"] for event in meter.of("payment")] == hashes(notices)
    assert meter.state()["credit_s"] == 12


# ---- frames -----------------------------------------------------------------------------------------------------------------

# Each gets the frame, which is at its place, what was said in this direction and in the other one so far, and what another session said
# in this direction. What it returns goes on in the frame's place. None: the frame is held back.


def forged(text, said, answered, elsewhere):
    return [text[:-34] + "00" * 16 + '"}']


def changed(text, said, answered, elsewhere):
    return [flip(text, "seq")]


def without_mac(text, said, answered, elsewhere):
    return [text[: text.index(',"mac"')] + "}"]


def repeated(text, said, answered, elsewhere):
    return [text, text]


def dropped(text, said, answered, elsewhere):
    return []


def an_older_one_in_its_place(text, said, answered, elsewhere):
    return [said[-1]]


def reflected(text, said, answered, elsewhere):
    return [answered[-1]]


def from_another_session(text, said, answered, elsewhere):
    return [elsewhere[len(said)]]


def reordered(text, said, answered, elsewhere):
    return None


ATTACKS = [forged, changed, without_mac, repeated, dropped, reordered, an_older_one_in_its_place, reflected, from_another_session]


class Attack:
    """On the `target`th frame of this kind that goes in this direction; afterwards nobody gets through."""

    def __init__(self, proxy, direction, kind, target, attack, elsewhere):
        self._proxy, self._direction, self._kind = proxy, direction, kind
        self._target, self._attack, self._elsewhere = target, attack, elsewhere
        self._held = None
        self.done = False

    def __call__(self, session, direction, text):
        if direction != self._direction or (self.done and self._held is None):
            return [text]
        if self._held is not None:
            held, self._held = self._held, None
            return [text, held]
        if json.loads(text)["type"] == self._kind:
            self._target -= 1
        if self._target > 0 or json.loads(text)["type"] != self._kind:
            return [text]
        self.done = True
        self._proxy.open = False
        said, answered = (session.down, session.up) if direction == DOWN else (session.up, session.down)
        passed = self._attack(text, said, answered, self._elsewhere)
        if passed is None:
            self._held = text
            return []
        return passed


@pytest.mark.parametrize("direction, kind", [(DOWN, "payment"), (UP, "ack")])
def test_a_frame_that_is_not_the_next_one_of_its_session_ends_it_with_4012_and_changes_nothing(
    relay, key_device, payer, shop, make_meter, make_proxy, direction, kind
):
    proxy = make_proxy(relay)
    meter = make_meter(proxy, key_device).plug_in()
    notices = pay(relay, payer, shop, 3)
    meter.wait_for("noted", 3)
    meter.stop()
    elsewhere = getattr(proxy.sessions[0], direction)

    for attack in ATTACKS:
        # The second payment of each session is attacked, or its ack: one is served, one is lied about, one comes too late.
        name, served, waited = attack.__name__, len(notices), len(meter.of("waiting"))
        lie = Attack(proxy, direction, kind, 2, attack, elsewhere)
        proxy.tamper, proxy.open = lie, True
        meter.plug_in()
        notices += pay(relay, payer, shop, 1)
        meter.wait_for("noted", served + 1)
        notices += pay(relay, payer, shop, 2)
        assert meter.wait_for("waiting", waited + 1)["code"] == 4012, name
        assert lie.done, name
        wait_until(lambda: not relay.show_device(key_device)["connected"], what="the end of the session")
        meter.pull_the_plug()

        device, states = meter.state(), [delivery["state"] for delivery in in_order(relay, key_device)]
        acked = relay.show_device(key_device)["acked_seq"]
        # What is repeated was genuine when it came first: then it counts, once.
        right = served + (2 if attack is repeated else 1)
        assert states[: served + 1] == ["actuated"] * (served + 1), name
        if direction == DOWN:
            assert len(meter.of("frame_not_proven")) == 1 + ATTACKS.index(attack), name
            assert (device["seq"], device["credit_s"]) == (right, 6 * right), name
            assert acked <= right, name
        else:
            assert relay.metrics()["coinslot_bad_macs_total"] == 1 + ATTACKS.index(attack), name
            assert acked == right, name
            assert states[served + 1] == ("acked" if attack is repeated else "sent"), name
        assert states[served + 2] in ("stored", "sent"), name

        proxy.tamper, proxy.open = None, True
        meter.plug_in()
        wait_served(relay, key_device, len(notices))
        meter.wait_for("noted", len(notices))
        meter.stop()
        assert [event["hash"] for event in meter.of("payment")] == hashes(notices), name
        assert meter.state()["credit_s"] == 6 * len(notices), name


def test_a_lie_costs_one_session_and_the_device_goes_on_by_itself(relay, key_device, payer, shop, make_meter, make_proxy):
    proxy = make_proxy(relay)
    lies = []

    def once(session, direction, text):
        if direction == DOWN and '"payment"' in text and len(lies) < 3 and session not in lies:
            lies.append(session)
            return forged(text, None, None, None)
        return [text]

    proxy.tamper = once
    meter = make_meter(proxy, key_device).plug_in()
    notices = pay(relay, payer, shop, 5)
    wait_served(relay, key_device, 5)
    assert len(lies) == 3
    assert [event["hash"] for event in meter.of("payment")] == hashes(notices)
    assert len(meter.of("frame_not_proven")) == 3


def test_what_a_device_says_before_the_welcome_or_without_a_mac_after_it_is_never_heard(relay, key_device, payer, shop, connect):
    pay(relay, payer, shop, 1)
    session = connect(relay)
    session.hello_by_key(key_device)
    session.receive_text()
    session.send_text('{"type":"actuated","seq":1,"seconds":6}')
    assert session.receive_close() == 4012
    assert in_order(relay, key_device)[0]["state"] in ("stored", "sent")


@pytest.mark.parametrize("tail", ['"mac":"', ',"mac":""}', ',"mac":"' + "0" * 31 + '"}', ',"mac":"' + "0" * 33 + '"}', ',"mac":7}', "{", ""])
def test_a_mac_that_is_none_ends_the_session_with_4012(relay, key_device, connect, tail):
    session = connect(relay)
    session.greet_by_key(key_device)
    session.send_text('{"type":"ack","seq":0' + tail)
    assert session.receive_close() == 4012


def test_a_hello_of_yesterday_opens_nothing(relay, key_device, make_proxy, make_meter, connect):
    proxy = make_proxy(relay)
    meter = make_meter(proxy, key_device).plug_in()
    meter.wait_for("welcome")
    wait_until(lambda: proxy.sessions[0].of(UP, "status"), what="the status")
    overheard = list(proxy.sessions[0].up)
    session = connect(relay)
    session.receive_text()
    session.send_text(overheard[0])
    assert session.receive_close() == 4002
    assert len(meter.of("waiting")) == 0  # it was not even fenced


def test_nobody_on_the_way_can_retire_a_device(relay, key_device, make_meter, make_proxy):
    proxy = make_proxy(relay)

    def bury(session, direction, text):
        if direction == DOWN and json.loads(text)["type"] == "challenge":
            return ['{"type":"error","code":"retired","message":"this device is retired for good"}']
        return [text]

    proxy.tamper = bury
    meter = make_meter(proxy, key_device).plug_in()
    meter.wait_for("waiting")
    assert meter.of("stopped") == [] and meter.of("welcome") == []
    meter.stop()
