"""The reference device against a relay that says only what the test scripts."""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from coinslot.device import Backoff, Device, TokenCredential
from coinslot.state import StateError, StateFile
from coinslot.tariff import Tariff
from scripted_relay import EPOCH, ScriptedRelay

TOKEN = "secret-token"
SOON = Backoff(0.01, 0.05)


class PowerCut(Exception):
    pass


class CutBeforePersisting(Device):
    def persist(self):
        if self.state.seq > 0:
            raise PowerCut


class CutBeforeAcking(Device):
    async def acknowledge(self, socket):
        raise PowerCut


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


async def live(relay, path, kind=Device, sessions=1, **options):
    """A device's life of some sessions on the state at `path`; returns its events and the last session's end."""
    events = []
    state_file = StateFile(path)
    try:
        device = kind(
            relay.url, "dev_test", TokenCredential(TOKEN), state_file, on_event=events.append, backoff=SOON, **options
        )
        for _ in range(sessions):
            ended, _ = await device.run_session()
        return events, ended
    finally:
        state_file.close()


def saved(path):
    return json.loads(path.read_text())


def test_a_new_device_says_hello_with_resume_0_and_no_epoch_and_remembers_the_store_it_met(tmp_path):
    hellos = []

    async def script(talk):
        hellos.append(await talk.greet())

    async def go():
        async with ScriptedRelay(script) as relay:
            await live(relay, tmp_path / "state", sessions=2)

    run(go())
    assert hellos[0]["device"] == "dev_test"
    assert hellos[0]["token"] == TOKEN
    assert hellos[0]["resume"] == 0
    assert "epoch" not in hellos[0]
    assert hellos[1]["epoch"] == EPOCH


def test_a_payment_is_persisted_before_it_is_acked_then_its_outcome_is_told(tmp_path):
    path = tmp_path / "state"
    heard = []

    async def script(talk):
        await talk.greet()
        await talk.pay(1, amount=5 * 10**27)
        heard.append(await talk.hear())
        heard.append(saved(path))
        heard.append(await talk.hear())
        await talk.say(type="noted", seq=1)

    async def go():
        async with ScriptedRelay(script) as relay:
            return await live(relay, path)

    events, _ = run(go())
    assert heard[0] == {"type": "ack", "seq": 1}
    assert (heard[1]["seq"], heard[1]["credit_s"]) == (1, 30)
    assert heard[2] == {"type": "actuated", "seq": 1, "seconds": 30}
    assert [event["event"] for event in events] == ["welcome", "payment", "noted"]
    assert saved(path)["outcomes"] == []


def test_power_cut_before_persisting_forgets_the_payment_and_gets_it_again_once(tmp_path):
    path = tmp_path / "state"
    hellos = []

    async def script(talk):
        hellos.append(await talk.greet())
        await talk.pay(1)
        if len(hellos) == 2:
            assert await talk.hear() == {"type": "ack", "seq": 1}

    async def go():
        async with ScriptedRelay(script) as relay:
            with pytest.raises(PowerCut):
                await live(relay, path, CutBeforePersisting)
            await live(relay, path)

    run(go())
    assert [hello["resume"] for hello in hellos] == [0, 0]
    assert saved(path)["credit_s"] == 6


def test_power_cut_between_persisting_and_acking_resumes_after_the_payment(tmp_path):
    path = tmp_path / "state"
    hellos = []

    async def script(talk):
        hellos.append(await talk.greet())
        if len(hellos) == 1:
            await talk.pay(1)
        else:
            assert await talk.hear() == {"type": "actuated", "seq": 1, "seconds": 6}

    async def go():
        async with ScriptedRelay(script) as relay:
            with pytest.raises(PowerCut):
                await live(relay, path, CutBeforeAcking)
            await live(relay, path)

    run(go())
    assert [hello["resume"] for hello in hellos] == [0, 1]
    assert saved(path)["credit_s"] == 6


def test_a_repeat_is_acked_cumulatively_and_adds_nothing(tmp_path):
    path = tmp_path / "state"

    async def script(talk):
        await talk.greet()
        for seq in (1, 2, 1):
            await talk.pay(seq)
        acks = [frame for frame in [await talk.hear() for _ in range(5)] if frame["type"] == "ack"]
        assert [ack["seq"] for ack in acks] == [1, 2, 2]

    async def go():
        async with ScriptedRelay(script) as relay:
            return await live(relay, path)

    events, _ = run(go())
    assert saved(path)["credit_s"] == 12
    assert events[-1]["event"] == "repeat"


def test_the_same_payment_under_another_seq_is_granted_once(tmp_path):
    path = tmp_path / "state"

    async def script(talk):
        await talk.greet()
        await talk.pay(1, hash="AB" * 32)
        await talk.pay(2, hash="AB" * 32)
        frames = [await talk.hear() for _ in range(4)]
        assert frames[3] == {"type": "actuated", "seq": 2, "seconds": 6}

    async def go():
        async with ScriptedRelay(script) as relay:
            return await live(relay, path)

    run(go())
    assert saved(path)["credit_s"] == 6


def test_too_little_and_too_late_are_refused_and_still_move_the_cursor(tmp_path):
    path = tmp_path / "state"

    async def script(talk):
        await talk.greet()
        await talk.pay(1, amount=1)
        await talk.pay(2, age_s=901)
        await talk.pay(3, age_s=900)
        frames = [await talk.hear() for _ in range(6)]
        assert frames[1] == {"type": "refused", "seq": 1, "reason": "below_minimum"}
        assert frames[3] == {"type": "refused", "seq": 2, "reason": "too_late"}
        assert frames[5] == {"type": "actuated", "seq": 3, "seconds": 6}

    async def go():
        async with ScriptedRelay(script) as relay:
            return await live(relay, path, tariff=Tariff(late_after_s=900))

    run(go())
    assert (saved(path)["seq"], saved(path)["credit_s"]) == (3, 6)


def test_a_gap_moves_the_cursor_like_a_payment(tmp_path):
    path = tmp_path / "state"

    async def script(talk):
        await talk.greet()
        await talk.say(type="gap", **{"from": 1, "to": 4}, reason="expired")
        assert await talk.hear() == {"type": "ack", "seq": 4}
        await talk.pay(5)
        assert await talk.hear() == {"type": "ack", "seq": 5}

    async def go():
        async with ScriptedRelay(script) as relay:
            return await live(relay, path)

    run(go())
    assert saved(path)["credit_s"] == 6


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "payment", "seq": 2, "payment": {}},
        {"type": "payment", "seq": 1},
        {"type": "payment", "seq": 1, "payment": {"chain": "nano", "hash": "A", "output": 0, "amount": "1.5", "age_s": 0}},
        {"type": "payment", "seq": "1", "payment": {}},
        {"type": "gap", "from": 2, "to": 3, "reason": "expired"},
        {"type": "gap", "from": 1, "to": 0, "reason": "expired"},
        {"seq": 1},
        [],
    ],
    ids=lambda frame: json.dumps(frame)[:60],
)
def test_a_relay_that_breaks_the_protocol_is_left_with_4000_and_nothing_granted(tmp_path, frame):
    path = tmp_path / "state"

    async def script(talk):
        await talk.greet()
        await talk.socket.send(json.dumps(frame))
        assert await talk.hear_close() == 4000

    async def go():
        async with ScriptedRelay(script) as relay:
            return await live(relay, path)

    _, ended = run(go())
    assert ended.code == 4000
    assert (saved(path)["seq"], saved(path)["credit_s"]) == (0, 0)


def test_a_frame_of_a_later_version_is_ignored(tmp_path):
    async def script(talk):
        await talk.greet()
        await talk.say(type="weather", sunny=True)
        await talk.pay(1)
        assert await talk.hear() == {"type": "ack", "seq": 1}

    async def go():
        async with ScriptedRelay(script) as relay:
            await live(relay, tmp_path / "state")

    run(go())


def test_outcomes_are_repeated_after_each_welcome_until_they_are_noted(tmp_path):
    sessions = []

    async def script(talk):
        await talk.greet()
        sessions.append(talk)
        if len(sessions) == 1:
            await talk.pay(1)
            await talk.pay(2, amount=1)
            for _ in range(4):
                await talk.hear()
        elif len(sessions) == 2:
            assert await talk.hear() == {"type": "actuated", "seq": 1, "seconds": 6}
            assert await talk.hear() == {"type": "refused", "seq": 2, "reason": "below_minimum"}
            await talk.say(type="noted", seq=1)
            await talk.say(type="noted", seq=2)
        else:
            await talk.pay(3)
            assert await talk.hear() == {"type": "ack", "seq": 3}

    async def go():
        async with ScriptedRelay(script) as relay:
            await live(relay, tmp_path / "state", sessions=3)

    run(go())
    assert len(sessions) == 3


def test_a_state_older_than_the_relays_ack_goes_on_from_there_and_says_so(tmp_path):
    path = tmp_path / "state"

    async def script(talk):
        await talk.greet(last_acked=7)
        await talk.pay(8)
        assert await talk.hear() == {"type": "ack", "seq": 8}

    async def go():
        async with ScriptedRelay(script) as relay:
            return await live(relay, path)

    events, _ = run(go())
    assert {"event": "state_lost", "from": 1, "to": 7} in events


def test_run_connects_again_after_a_break_and_stops_for_good_when_retired(tmp_path):
    sessions = []

    async def script(talk):
        await talk.greet()
        sessions.append(talk)
        if len(sessions) < 3:
            talk.socket.transport.abort()
        else:
            await talk.socket.close(4007, "retired")

    async def go():
        async with ScriptedRelay(script) as relay:
            state_file = StateFile(tmp_path / "state")
            events = []
            device = Device(relay.url, "dev_test", TokenCredential(TOKEN), state_file, on_event=events.append, backoff=SOON)
            ended = await device.run()
            state_file.close()
            return ended, events

    ended, events = run(go())
    assert ended.code == 4007
    assert [event["event"] for event in events if event["event"] in ("waiting", "stopped")] == ["waiting", "waiting", "stopped"]


def test_wrong_token_is_tried_again_only_after_the_longest_delay(tmp_path):
    async def script(talk):
        await talk.say(type="challenge", nonce="00", epoch=EPOCH)
        await talk.hear()
        await talk.say(type="error", code="unauthorized", message="no such device, or a wrong token")
        await talk.socket.close(4002, "unauthorized")

    async def go():
        async with ScriptedRelay(script) as relay:
            state_file = StateFile(tmp_path / "state")
            events = []
            device = Device(
                relay.url, "dev_test", TokenCredential(TOKEN), state_file, on_event=events.append, backoff=Backoff(0.01, 60)
            )
            running = asyncio.ensure_future(device.run())
            while not any(event["event"] == "waiting" for event in events):
                await asyncio.sleep(0.01)
            device.stop()
            await running
            state_file.close()
            return events

    events = run(go())
    assert [event["code"] for event in events if event["event"] == "error"] == ["unauthorized"]
    assert [event["delay_ms"] for event in events if event["event"] == "waiting"][0] >= 30000


def test_stop_says_going_away(tmp_path):
    codes = []

    async def script(talk):
        await talk.greet()
        codes.append(await talk.hear_close())

    async def go():
        async with ScriptedRelay(script) as relay:
            state_file = StateFile(tmp_path / "state")
            events = []
            device = Device(relay.url, "dev_test", TokenCredential(TOKEN), state_file, on_event=events.append)
            running = asyncio.ensure_future(device.run())
            while not events:
                await asyncio.sleep(0.01)
            device.stop()
            await running
            state_file.close()

    run(go())
    assert codes == [1001]


def test_backoff_grows_to_its_ceiling_and_is_random():
    backoff = Backoff(1, 8)
    assert all(0.5 <= backoff.delay_s(0) <= 1 for _ in range(100))
    assert all(4 <= backoff.delay_s(9) <= 8 for _ in range(100))
    assert len({backoff.delay_s(9) for _ in range(10)}) > 1


def test_the_command_line_prints_json_lines_and_ends_1_when_retired(tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\n")

    async def script(talk):
        hello = await talk.greet()
        assert hello["token"] == TOKEN
        await talk.pay(1)
        await talk.hear()
        await talk.hear()
        await talk.socket.close(4007, "retired")

    async def go(extra):
        async with ScriptedRelay(script) as relay:
            process = await asyncio.create_subprocess_exec(
                *command(tmp_path, relay.url), *extra, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
            )
            out, err = await process.communicate()
            return process.returncode, out.decode(), err.decode()

    code, out, err = run(go(["--json"]))
    assert (code, err) == (1, "")
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in events] == ["welcome", "payment", "stopped"]
    assert events[1]["amount"] == str(10**27)

    (tmp_path / "state").unlink()
    code, out, err = run(go([]))
    assert "seq 1: +6 s (0.001 nano from nano_111111…c8npp, 0 s old); credit 6 s" in out


def command(tmp_path, url):
    return [
        *(sys.executable, "-m", "coinslot.device", "--url", url, "--device", "dev_test"),
        *("--token-file", str(tmp_path / "token"), "--state", str(tmp_path / "state")),
    ]


def environment():
    import coinslot

    return {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(coinslot.__file__))}


def test_a_damaged_state_is_refused_in_one_line_that_says_what_to_do(tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "state").write_text('{"version":1,"seq":')
    done = subprocess.run(command(tmp_path, "ws://127.0.0.1:1"), capture_output=True, text=True, env=environment())
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "restore it, or move it away" in done.stderr


def test_a_second_process_on_the_same_state_is_refused(tmp_path):
    first = StateFile(tmp_path / "state")
    with pytest.raises(StateError, match="in use"):
        StateFile(tmp_path / "state")
    first.close()
    StateFile(tmp_path / "state").close()


def test_a_disk_that_takes_nothing_ends_the_device_with_nothing_acked(tmp_path):
    heard = []

    class FullDisk(Device):
        def persist(self):
            if self.state.seq > 0:
                self._file.path = tmp_path / "missing" / "state"
            super().persist()

    async def script(talk):
        await talk.greet()
        await talk.pay(1)
        await talk.socket.wait_closed()
        heard.extend(talk.rest())

    async def go():
        async with ScriptedRelay(script) as relay:
            with pytest.raises(StateError, match="could not be written"):
                await live(relay, tmp_path / "state", FullDisk)

    run(go())
    assert heard == []
    assert saved(tmp_path / "state")["seq"] == 0
