"""A payment's way to its device, through breaks of every kind."""

import asyncio
import json
import re
import threading
import time

import pytest

from coinslot.device import Backoff, Device, TokenCredential
from coinslot.state import StateFile
from network import ADDRESS, run_in_own_network
from node import FakeNode
from relay import CONFIG, Relay, wait_until
from session import Closed, Loop, Session

PRICE = 10**27  # buys six seconds


def pay(relay, payer, shop, count=1, amount=PRICE):
    """That many payments, each answered 200; returns their hashes, in the order in which they were stored."""
    node = FakeNode(relay.http_port)
    notices = [payer.send(shop, amount) for _ in range(count)]
    for notice in notices:
        assert node.notify(notice).status == 200
    return [notice.hash for notice in notices]


def in_order(relay, device):
    """The device's deliveries by seq."""
    return sorted(relay.deliveries(device=device["id"]), key=lambda delivery: delivery["seq"])


def take(session, count):
    """That many payments; returns (seq, hash) of each."""
    frames = [session.receive("payment") for _ in range(count)]
    return [(frame["seq"], frame["payment"]["hash"]) for frame in frames]


def numbered(hashes, first=1):
    return list(enumerate(hashes, first))


# ---- the whole way --------------------------------------------------------------------------------------------------


def stages(relay):
    """How many payments were timed in each stage."""
    found = {re.search(r'stage="(\w+)"', name)[1]: int(value) for name, value in relay.metrics().items() if "stage_seconds_count" in name}
    assert list(found) == ["check", "queue", "write", "commit", "push", "ack"]
    return tuple(found.values())


def test_each_stage_of_a_payment_is_timed_and_one_ack_at_a_time(relay, connect, device, payer, shop):
    assert stages(relay) == (0, 0, 0, 0, 0, 0)
    pay(relay, payer, shop)
    assert stages(relay) == (1, 1, 1, 1, 0, 0), "nobody was there to have it"
    session = connect(relay)
    session.greet(device)
    take(session, 1)
    session.send(type="ack", seq=1)
    pay(relay, payer, shop, count=3)
    take(session, 3)
    assert stages(relay) == (4, 4, 4, 4, 3, 0)
    session.send(type="ack", seq=4)
    wait_until(lambda: stages(relay) == (4, 4, 4, 4, 3, 1))
    text = relay.rest("GET", "/metrics").value
    assert "# TYPE coinslot_payment_stage_seconds histogram\n" in text
    assert 'coinslot_payment_stage_seconds_bucket{stage="commit",le="+Inf"} 4\n' in text


def test_the_whole_way_of_a_payment_is_shown_with_all_its_times(relay, device, payer, shop, make_either_meter):
    meter = make_either_meter(relay, device).plug_in()
    meter.wait_for("welcome")
    (hash,) = pay(relay, payer, shop, amount=100 * PRICE)
    meter.wait_for("noted")
    (delivery,) = relay.deliveries(device=device["id"])
    assert (delivery["device"], delivery["seq"], delivery["state"]) == (device["id"], 1, "actuated")
    assert delivery["attempts"] == 1
    assert delivery["seconds"] == 600
    assert delivery["payment"]["chain"] == "nano"
    assert delivery["payment"]["hash"] == hash
    assert delivery["payment"]["output"] == 0
    assert delivery["payment"]["from"] == payer.address
    assert delivery["payment"]["to"] == shop.address
    assert delivery["payment"]["amount"] == str(100 * PRICE)
    times = [delivery[name] for name in ("stored_at", "sent_at", "acked_at", "actuated_at")]
    assert all(time.endswith("Z") and len(time) == len("2026-11-20T12:00:00.000Z") for time in times), times
    assert times == sorted(times)
    assert meter.state()["credit_s"] == 600


def test_a_device_that_was_away_gets_what_it_missed_in_order_then_the_live_ones_while_payments_keep_arriving(
    relay, device, payer, shop, make_either_meter
):
    meter = make_either_meter(relay, device).plug_in()
    first = pay(relay, payer, shop, 5)
    meter.wait_for("noted", 5)
    meter.pull_the_plug()
    missed = pay(relay, payer, shop, 120)

    notices = [payer.send(shop, PRICE) for _ in range(120)]
    paying = threading.Thread(target=lambda: [FakeNode(relay.http_port).notify(notice) for notice in notices])
    paying.start()
    meter.plug_in()
    paying.join()
    expected = numbered(first + missed + [notice.hash for notice in notices])
    meter.wait_for("payment", len(expected), timeout=60)
    meter.wait_for("noted", len(expected), timeout=60)

    assert [(event["seq"], event["hash"]) for event in meter.of("payment")] == expected
    assert meter.of("repeat") == []
    assert meter.of("protocol_error") == []
    assert meter.state()["credit_s"] == 6 * len(expected)
    deliveries = in_order(relay, device)
    assert [delivery["seq"] for delivery in deliveries] == [seq for seq, _ in expected]
    assert {delivery["state"] for delivery in deliveries} == {"actuated"}
    assert {delivery["attempts"] for delivery in deliveries} == {1}


def test_the_frames_are_as_the_protocol_says(relay, device, payer, shop, connect):
    pay(relay, payer, shop, 2)
    session = connect(relay)
    assert session.subprotocol == "coinslot.v1"
    challenge = session.hello(device, firmware="1.2.0")
    assert set(challenge) >= {"type", "nonce", "epoch"}
    assert len(bytes.fromhex(challenge["epoch"])) == 16
    assert len(bytes.fromhex(challenge["nonce"])) >= 16
    welcome = session.receive("welcome")
    assert (welcome["last_acked"], welcome["pending"]) == (0, 2)
    frame = session.receive("payment")
    assert set(frame["payment"]) == {"chain", "hash", "output", "from", "to", "amount", "stored_at", "age_s"}
    assert 0 <= frame["payment"]["age_s"] < 60
    session.receive("payment")
    session.send(type="ack", seq=2)
    session.send(type="actuated", seq=1, seconds=600)
    assert session.receive("noted")["seq"] == 1
    session.send(type="refused", seq=2, reason="too_late")
    assert session.receive("noted")["seq"] == 2
    assert [(delivery["state"], delivery.get("reason")) for delivery in in_order(relay, device)][1] == ("refused", "too_late")
    assert connect(relay).receive("challenge")["nonce"] != challenge["nonce"]


def test_what_is_not_acked_comes_again_and_what_is_acked_does_not(relay, device, payer, shop, connect):
    hashes = pay(relay, payer, shop, 4)
    first = connect(relay)
    first.greet(device)
    assert take(first, 4) == numbered(hashes)
    first.send(type="ack", seq=2)
    wait_until(lambda: in_order(relay, device)[1]["state"] == "acked", what="the ack")
    first.abort()
    second = connect(relay)
    assert second.greet(device)["last_acked"] == 2
    assert take(second, 2) == numbered(hashes[2:], 3)
    deliveries = in_order(relay, device)
    assert [delivery["attempts"] for delivery in deliveries] == [1, 1, 2, 2]
    assert [delivery["state"] for delivery in deliveries] == ["acked", "acked", "sent", "sent"]


def test_resume_counts_as_an_ack_where_it_is_higher(relay, device, payer, shop, connect):
    hashes = pay(relay, payer, shop, 3)
    first = connect(relay)
    first.greet(device)
    take(first, 3)
    first.abort()
    second = connect(relay)
    welcome = second.greet(device, resume=2)
    assert (welcome["last_acked"], welcome["pending"]) == (2, 1)
    assert take(second, 1) == [(3, hashes[2])]
    assert [delivery["state"] for delivery in in_order(relay, device)] == ["acked", "acked", "sent"]


def test_an_outcome_acks_everything_before_it_and_repeats_change_nothing(relay, device, payer, shop, connect):
    pay(relay, payer, shop, 3)
    session = connect(relay)
    session.greet(device)
    take(session, 3)
    session.send(type="actuated", seq=3, seconds=60)
    assert session.receive("noted")["seq"] == 3
    before = in_order(relay, device)
    assert [delivery["state"] for delivery in before] == ["acked", "acked", "actuated"]
    session.send(type="actuated", seq=3, seconds=60)
    assert session.receive("noted")["seq"] == 3
    session.send(type="refused", seq=3, reason="too_late")
    session.receive("noted")
    assert in_order(relay, device) == before


def test_outcomes_that_were_not_noted_are_repeated_after_the_relay_comes_back(relay, device, payer, shop, make_meter):
    pay(relay, payer, shop, 3)
    meter = make_meter(relay, device).plug_in()
    meter.wait_for("noted", 3)
    meter.stop()
    state = meter.state()
    state["outcomes"] = [[3, 6]]
    meter.state_path.write_text(json.dumps(state))
    before = in_order(relay, device)
    relay.restart()
    meter.plug_in()
    assert meter.wait_for("noted", 4)["seq"] == 3
    assert in_order(relay, device) == before


# ---- who may ---------------------------------------------------------------------------------------------------------


def test_a_wrong_token_and_an_unknown_device_are_told_the_same(relay, device, connect):
    for stranger in ({**device, "token": "wrong"}, {**device, "id": "dev_aaaaaaaaaaaaaaaa"}):
        session = connect(relay)
        session.hello(stranger)
        assert session.receive("error")["code"] == "unauthorized"
        assert session.receive_close() == 4002


def test_a_device_cannot_use_anothers_token(relay, device, connect):
    other = relay.create_device("Meter 13")
    session = connect(relay)
    session.hello(device, token=other["token"])
    assert session.receive_close() == 4002


def test_a_token_goes_over_a_plain_connection_from_elsewhere_only_where_the_config_allows_it(tmp_path):
    def elsewhere():
        loop = Loop()
        for name, allowed in (("no", ""), ("yes", "[ws]\nallow_plain_tokens = yes\n")):
            relay = Relay(tmp_path / name, CONFIG + allowed, ws="0.0.0.0:0").start()
            device = relay.create_device()
            session = Session(loop, f"ws://{ADDRESS}:{relay.ws_port}")
            session.hello(device)
            if allowed:
                session.receive("welcome")
            else:
                assert session.receive_close() == 4005
            session.abort()
            near = Session(loop, f"ws://127.0.0.1:{relay.ws_port}")
            near.greet(device)
            near.abort()
            relay.close()

    run_in_own_network(elsewhere)


def test_a_second_session_fences_the_first_and_takes_over_without_a_hole(relay, device, payer, shop, connect):
    hashes = pay(relay, payer, shop, 2)
    first = connect(relay)
    first.greet(device)
    take(first, 2)
    second = connect(relay)
    second.greet(device)
    assert first.receive_close() == 4001
    hashes += pay(relay, payer, shop, 1)
    assert take(second, 3) == numbered(hashes)
    second.send(type="ack", seq=3)
    wait_until(lambda: in_order(relay, device)[2]["state"] == "acked", what="the ack")


def test_a_retired_device_is_closed_refused_and_its_unsent_payments_expire(relay, device, payer, shop, connect):
    pay(relay, payer, shop, 1)
    session = connect(relay)
    session.greet(device)
    take(session, 1)
    session.send(type="ack", seq=1)
    wait_until(lambda: in_order(relay, device)[0]["state"] == "acked", what="the ack")
    session.abort()
    wait_until(lambda: not relay.rest("GET", f"/api/v1/devices/{device['id']}")["connected"], what="the end of the session")
    pay(relay, payer, shop, 2)
    idle = connect(relay)
    idle.receive("challenge")
    assert relay.rest("DELETE", f"/api/v1/devices/{device['id']}").status == 204
    states = [(delivery["state"], delivery.get("reason")) for delivery in in_order(relay, device)]
    assert states == [("acked", None), ("expired", "retired"), ("expired", "retired")]
    idle.send(type="hello", device=device["id"], token=device["token"], resume=1)
    assert idle.receive_close() == 4007
    assert FakeNode(relay.http_port).notify(payer.send(shop, PRICE)).status == 200
    assert len(in_order(relay, device)) == 3


def test_retiring_closes_the_live_session(relay, device, connect, make_meter):
    meter = make_meter(relay, device).plug_in()
    meter.wait_for("welcome")
    assert relay.rest("DELETE", f"/api/v1/devices/{device['id']}").status == 204
    assert meter.wait_for("stopped")["code"] == 4007
    assert meter.wait_exit() == 1


# ---- seqs that will not come ------------------------------------------------------------------------------------------


def test_what_expired_is_announced_by_a_gap_that_moves_the_cursor(relay, payer, shop, connect, make_meter):
    device = relay.create_device("Meter 12", expire_after_s=1)
    relay.subscribe(device, shop)
    pay(relay, payer, shop, 3)
    wait_until(lambda: all(d["state"] == "expired" for d in in_order(relay, device)), timeout=30, what="the expiry")
    (late,) = pay(relay, payer, shop, 1)
    meter = make_meter(relay, device).plug_in()
    gap = meter.wait_for("gap")
    assert (gap["from"], gap["to"], gap["reason"]) == (1, 3, "expired")
    assert meter.wait_for("payment")["hash"] == late
    meter.wait_for("noted")
    states = [(delivery["seq"], delivery["state"]) for delivery in in_order(relay, device)]
    assert states == [(1, "expired"), (2, "expired"), (3, "expired"), (4, "actuated")]
    assert meter.of("protocol_error") == []


def test_nothing_expires_while_its_device_is_connected(relay, payer, shop, connect):
    device = relay.create_device("Meter 12", expire_after_s=1)
    relay.subscribe(device, shop)
    session = connect(relay)
    session.greet(device)
    pay(relay, payer, shop, 1)
    take(session, 1)
    time.sleep(2.5)
    assert in_order(relay, device)[0]["state"] == "sent"


# ---- breaks ----------------------------------------------------------------------------------------------------------


def test_a_relay_restart_is_lived_through_by_its_sessions(relay, device, payer, shop, make_meter):
    meter = make_meter(relay, device).plug_in()
    hashes = pay(relay, payer, shop, 3)
    meter.wait_for("noted", 3)
    relay.restart()
    assert meter.wait_for("waiting")["code"] == 1001
    hashes += pay(relay, payer, shop, 3)
    meter.wait_for("noted", 6)
    assert [(event["seq"], event["hash"]) for event in meter.of("payment")] == numbered(hashes)
    assert meter.of("repeat") == []


def test_kill_9_of_the_relay_again_and_again_loses_nothing_and_repeats_nothing_granted(relay, device, payer, shop, make_meter):
    meter = make_meter(relay, device).plug_in()
    notices = [payer.send(shop, PRICE) for _ in range(60)]
    for start in range(0, len(notices), 15):
        node = FakeNode(relay.http_port)
        for notice in notices[start : start + 15]:
            assert node.notify(notice).status == 200
        relay.kill()
        relay.start()
    meter.wait_for("payment", 60, timeout=60)
    wait_until(lambda: all(d["state"] == "actuated" for d in in_order(relay, device)), timeout=60, what="the last outcome")
    assert [(event["seq"], event["hash"]) for event in meter.of("payment")] == numbered([notice.hash for notice in notices])
    assert meter.state()["credit_s"] == 6 * 60


def test_pulling_the_meters_plug_again_and_again_credits_each_payment_once(relay, device, payer, shop, make_meter):
    meter = make_meter(relay, device, arguments=["--json"])
    notices = [payer.send(shop, PRICE) for _ in range(60)]
    paying = threading.Thread(target=lambda: [FakeNode(relay.http_port).notify(notice) for notice in notices])
    paying.start()
    for life in range(1, 5):
        meter.plug_in()
        meter.wait_for("welcome", life)
        meter.pull_the_plug()
    paying.join()
    meter.plug_in()
    wait_until(lambda: len(in_order(relay, device)) == 60, what="the last payment")
    wait_until(lambda: all(d["state"] == "actuated" for d in in_order(relay, device)), timeout=60, what="the last outcome")
    meter.stop()
    assert meter.of("protocol_error") == []
    assert (meter.state()["seq"], meter.state()["credit_s"]) == (60, 6 * 60)


class PowerCut(Exception):
    pass


class CutBeforePersisting(Device):
    def persist(self):
        if self.state.seq == 2:
            raise PowerCut
        super().persist()


class CutBeforeAcking(Device):
    async def acknowledge(self, socket):
        if self.state.seq == 2:
            raise PowerCut
        await super().acknowledge(socket)


@pytest.mark.parametrize("kind, again", [(CutBeforePersisting, True), (CutBeforeAcking, False)])
def test_a_device_that_loses_power_around_its_write_credits_the_payment_once(
    relay, device, payer, shop, loop, tmp_path, make_meter, kind, again
):
    hashes = pay(relay, payer, shop, 3)
    meter = make_meter(relay, device)

    async def live():
        state_file = StateFile(meter.state_path)
        try:
            made = kind(relay.ws_url, device["id"], TokenCredential(device["token"]), state_file, backoff=Backoff(0.01, 0.1))
            await asyncio.wait_for(made.run(), 20)
        finally:
            state_file.close()

    with pytest.raises(PowerCut):
        loop.run(live())
    assert meter.state()["seq"] == (1 if again else 2)
    meter.plug_in()
    meter.wait_for("noted", 1 if again else 2)
    wait_until(lambda: all(d["state"] == "actuated" for d in in_order(relay, device)), what="the last outcome")
    assert [event["hash"] for event in meter.of("payment")] == (hashes[1:] if again else hashes[2:])
    assert meter.state()["credit_s"] == 18
    assert in_order(relay, device)[1]["attempts"] == (2 if again else 1)


# ---- limits ----------------------------------------------------------------------------------------------------------


def test_no_more_than_a_window_is_out_and_each_ack_lets_as_many_follow(make_relay, payer, shop, connect):
    relay = make_relay(CONFIG + "[limits]\nwindow = 4\n")
    device = relay.create_device()
    relay.subscribe(device, shop)
    hashes = pay(relay, payer, shop, 7)
    session = connect(relay)
    session.greet(device)
    assert take(session, 4) == numbered(hashes[:4])
    session.nothing_comes()
    hashes += pay(relay, payer, shop, 3)
    session.nothing_comes()
    session.send(type="ack", seq=1)
    assert take(session, 1) == [(5, hashes[4])]
    session.nothing_comes()
    session.send(type="ack", seq=5)
    assert take(session, 4) == numbered(hashes[5:9], 6)
    session.send(type="ack", seq=9)
    assert take(session, 1) == [(10, hashes[9])]


@pytest.mark.parametrize(
    "frame",
    [
        "{",
        "[]",
        "null",
        '{"seq":1}',
        '{"type":"fly"}',
        '{"type":"ack"}',
        '{"type":"ack","seq":-1}',
        '{"type":"ack","seq":1.5}',
        '{"type":"ack","seq":"1"}',
        '{"type":"ack","seq":99}',
        '{"type":"ack","seq":18446744073709551616}',
        '{"type":"actuated","seq":1}',
        '{"type":"actuated","seq":1,"seconds":-1}',
        '{"type":"actuated","seq":99,"seconds":1}',
        '{"type":"refused","seq":1,"reason":"Not a word"}',
        '{"type":"hello","device":"dev_x","token":"x","resume":0}',
        "[" * 500,
    ],
)
def test_a_frame_that_breaks_the_protocol_is_told_and_the_session_closed_with_4000(relay, device, payer, shop, connect, frame):
    hashes = pay(relay, payer, shop, 1)
    session = connect(relay)
    session.greet(device)
    take(session, 1)
    session.send_text(frame)
    error = session.receive("error")
    assert error["message"]
    assert session.receive_close() == 4000
    assert in_order(relay, device)[0]["state"] == "sent"
    again = connect(relay)
    again.greet(device)
    assert take(again, 1) == numbered(hashes)


@pytest.mark.parametrize("frame", ['{"type":"ack","seq":0}', "{", '{"type":"hello"}', '{"type":"hello","device":"x","token":7,"resume":0}'])
def test_before_the_welcome_only_a_proper_hello_is_taken(relay, connect, frame):
    session = connect(relay)
    session.receive("challenge")
    session.send_text(frame)
    assert session.receive_close() in (4000, 4002)


def test_a_frame_too_big_and_a_binary_one_close_the_session(relay, device, connect):
    for frame in ("x" * 200_000, b"\x00\x01"):
        session = connect(relay)
        session.greet(device)
        with pytest.raises(Closed):
            session.send_text(frame)
            while True:
                session.receive()
    connect(relay).greet(device)


def test_another_subprotocol_or_none_gets_no_session(relay, connect):
    for subprotocol in ("coinslot.v9", None):
        with pytest.raises(Exception):
            connect(relay, subprotocol=subprotocol).receive("challenge")


def test_who_says_no_hello_is_closed_with_4003(make_relay, connect):
    relay = make_relay(CONFIG + "[limits]\nhello_timeout_s = 1\n")
    session = connect(relay)
    session.receive("challenge")
    assert session.receive_close(timeout=10) == 4003


def test_a_resume_above_what_was_ever_sent_is_a_store_that_was_rolled_back(relay, device, payer, shop, connect):
    hashes = pay(relay, payer, shop, 2)
    session = connect(relay)
    assert session.greet(device, resume=5)["last_acked"] == 5
    gap = session.receive("gap")
    assert (gap["from"], gap["to"], gap["reason"]) == (1, 5, "store_rolled_back")
    assert take(session, 2) == numbered(hashes, 6)
    assert [(delivery["seq"], delivery["state"]) for delivery in in_order(relay, device)] == [(6, "sent"), (7, "sent")]


def test_another_epoch_is_a_store_that_was_rolled_back(relay, device, payer, shop, connect):
    hashes = pay(relay, payer, shop, 2)
    first = connect(relay)
    first.greet(device)
    take(first, 2)
    session = connect(relay)
    session.greet(device, resume=1, epoch="00" * 16)
    # Its seq 1 may have been another payment: this store's comes again, under the next one.
    gap = session.receive("gap")
    assert (gap["from"], gap["to"], gap["reason"]) == (1, 1, "store_rolled_back")
    assert take(session, 2) == numbered(hashes, 2)
    assert "store_rolled_back" in relay.rest("GET", f"/api/v1/devices/{device['id']}")["warnings"]


def test_a_device_that_stops_reading_holds_up_nobody_else(relay, device, payer, shop, connect, make_meter):
    other = relay.create_device("Meter 13")
    relay.subscribe(other, shop)
    slow = connect(relay, max_queue=1)
    slow.greet(device)
    slow.stop_reading()
    meter = make_meter(relay, other).plug_in()
    hashes = pay(relay, payer, shop, 150)
    meter.wait_for("noted", 150, timeout=60)
    assert [event["hash"] for event in meter.of("payment")] == hashes
    assert {delivery["state"] for delivery in in_order(relay, device)} <= {"stored", "sent"}
    slow.abort()
    again = connect(relay)
    again.greet(device)
    assert take(again, 1) == numbered(hashes[:1])


def test_a_silent_device_is_found_by_ping_and_closed(make_relay, payer, shop, connect):
    relay = make_relay(CONFIG + "[limits]\nping_interval_s = 1\nping_timeout_s = 1\n")
    device = relay.create_device()
    live, deaf = connect(relay), connect(relay)
    live.greet(device)
    deaf_device = relay.create_device("Deaf")
    deaf.greet(deaf_device)
    deaf.stop_reading()

    def connected(which):
        return relay.rest("GET", f"/api/v1/devices/{which['id']}")["connected"]

    wait_until(lambda: not connected(deaf_device), what="the end of the deaf session")
    assert connected(device)
