"""The reference device in sessions by key, with configs in versions, and with a relay that was restored from a backup."""

import asyncio
import contextlib
import json
import subprocess
import sys

import pytest
from nacl.signing import SigningKey
from websockets.exceptions import ConnectionClosed

from coinslot.device import Backoff, Device, KeyCredential, TokenCredential
from coinslot.credential import DeviceKey
from coinslot.state import StateFile
from scripted_relay import EPOCH, KeyConversation, ScriptedRelay
from test_device import SOON, environment, live, run, saved

KEY = DeviceKey(b"D" * 32)
RELAY_KEY = bytes(KeyConversation.relay_key.verify_key)
OTHER_KEY = bytes(SigningKey(b"O" * 32).verify_key)


class Talk(KeyConversation):
    device_public = KEY.public


async def live_by_key(relay, path, pinned=(RELAY_KEY,), sessions=1, **options):
    events = []
    state_file = StateFile(path)
    try:
        credential = KeyCredential(KEY, pinned)
        device = Device(relay.url, "dev_test", credential, state_file, on_event=events.append, backoff=SOON, **options)
        for _ in range(sessions):
            ended, _ = await device.run_session()
        return events, ended
    finally:
        state_file.close()


def by_key(script, path, conversation=Talk, **options):
    """A life against this script; returns its events and the last session's end."""

    async def go():
        async with ScriptedRelay(script, conversation) as relay:
            return await live_by_key(relay, path, **options)

    return run(go())


def by_token(script, path, **options):
    async def go():
        async with ScriptedRelay(script) as relay:
            return await live(relay, path, **options)

    return run(go())


def kinds(events):
    return [event["event"] for event in events]


def steps(*pairs, **members):
    tariff = {"steps": [{"amount": str(amount), "seconds": seconds} for amount, seconds in pairs]}
    return {"addresses": [], "tariff": tariff, **members}


# ---- by key -----------------------------------------------------------------------------------------------------------------


def test_a_session_by_key_pays_and_every_frame_has_its_mac(tmp_path):
    path = tmp_path / "state"
    hellos = []

    async def script(talk):
        hellos.append(await talk.greet())
        await talk.pay(1)
        assert (await talk.hear())["seq"] == 1
        heard = await talk.hear()
        assert (heard["type"], heard["seconds"]) == ("actuated", 6)
        await talk.say(type="noted", seq=1)
        await talk.pay(2)
        assert (await talk.hear())["seq"] == 2
        assert talk.received >= 3

    events, _ = by_key(script, path)
    assert kinds(events) == ["welcome", "payment", "noted", "payment"]
    assert saved(path)["credit_s"] == 12
    assert list(hellos[0]) == ["type", "device", "key", "resume", "firmware", "config_version", "sig"]


@pytest.mark.parametrize("pinned, welcomed", [((RELAY_KEY,), True), ((OTHER_KEY, RELAY_KEY), True), ((OTHER_KEY,), False)])
def test_only_a_relay_whose_key_is_pinned_hears_a_hello(tmp_path, pinned, welcomed):
    path = tmp_path / "state"

    async def script(talk):
        try:
            await talk.greet()
        except ConnectionClosed:
            assert not welcomed
            assert talk.socket.close_code == 4002
            assert talk.rest() == []

    events, ended = by_key(script, path, pinned=pinned)
    assert kinds(events) == (["welcome"] if welcomed else ["relay_not_proven"])
    assert path.exists() == welcomed


class Unsigned(Talk):
    def change_welcome(self, text):
        return text[:-138] + "}"


class Tampered(Talk):
    def change_welcome(self, text):
        return text.replace('"last_acked":0', '"last_acked":9')


class ForAnotherChallenge(Talk):
    def transcript(self, label, device, challenge, hello):
        return super().transcript(label, device, challenge.replace(b"5a5a", b"5a5b") if b"relay" in label else challenge, hello)


class ForAnotherDevice(Talk):
    def transcript(self, label, device, challenge, hello):
        return super().transcript(label, device[:-1] + b"x" if b"relay" in label else device, challenge, hello)


class NoKeys(Talk):
    def change_challenge(self, challenge):
        return {"type": "challenge", "nonce": challenge["nonce"], "epoch": challenge["epoch"]}


@pytest.mark.parametrize("conversation", [Unsigned, Tampered, ForAnotherChallenge, ForAnotherDevice, NoKeys])
def test_a_relay_that_does_not_prove_itself_changes_nothing(tmp_path, conversation):
    path = tmp_path / "state"

    async def script(talk):
        with contextlib.suppress(ConnectionClosed):
            await talk.greet(config=steps((1, 1)), version=1)
        await talk.socket.wait_closed()
        assert talk.socket.close_code == 4002

    events, ended = by_key(script, path, conversation)
    assert (kinds(events), ended.code) == (["relay_not_proven"], 4002)
    assert not path.exists()


async def say_plain(talk):
    await talk.socket.send('{"type":"noted","seq":1}')


async def say_forged(talk):
    await talk.socket.send('{"type":"noted","seq":1,"mac":"' + "00" * 16 + '"}')


async def say_twice(talk):
    body = b'{"type":"state","caught_up":true,"payable":true'
    text = talk.seal(body, talk.sent)
    await talk.socket.send(text)
    await talk.socket.send(text)


async def say_with_one_dropped(talk):
    talk.sent += 1
    await talk.pay(2)


async def say_in_another_order(talk):
    talk.sent += 1
    await talk.pay(3)
    talk.sent -= 2
    await talk.pay(2)


async def reflect(talk):
    await talk.socket.send(talk.last)


async def say_what_another_session_said(talk):
    talk.keys = (talk.keys[0], bytes(32))
    await talk.pay(2)


@pytest.mark.parametrize(
    "lie", [say_plain, say_forged, say_twice, say_with_one_dropped, say_in_another_order, reflect, say_what_another_session_said]
)
def test_a_frame_that_is_not_the_next_one_of_this_session_ends_it_with_4012_and_changes_nothing(tmp_path, lie):
    path = tmp_path / "state"
    before = []

    class Remembering(Talk):
        last = None

        def unseal(self, text):
            self.last = text
            return super().unseal(text)

    async def script(talk):
        await talk.greet()
        await talk.pay(1)
        await talk.hear()
        await talk.hear()
        before.append(saved(path))
        await lie(talk)
        assert await talk.hear_close() == 4012

    events, ended = by_key(script, path, Remembering)
    assert ended.code == 4012
    assert kinds(events)[-1] == "frame_not_proven"
    assert saved(path) == before[0]


def test_after_a_forged_frame_the_device_connects_again_and_goes_on(tmp_path):
    sessions = []

    async def script(talk):
        await talk.greet()
        sessions.append(talk)
        if len(sessions) == 1:
            await say_forged(talk)
            await talk.socket.wait_closed()
        else:
            await talk.pay(1)
            await talk.hear()
            await talk.say(type="error", code="retired", message="for good")
            await talk.socket.close(4007, "retired")

    async def go():
        async with ScriptedRelay(script, Talk) as relay:
            state_file = StateFile(tmp_path / "state")
            device = Device(relay.url, "dev_test", KeyCredential(KEY, (RELAY_KEY,)), state_file, backoff=SOON)
            ended = await device.run()
            state_file.close()
            return ended

    assert run(go()).code == 4007
    assert saved(tmp_path / "state")["credit_s"] == 6


def test_a_close_frame_that_anybody_could_have_sent_retires_nobody(tmp_path):
    async def script(talk):
        with contextlib.suppress(ConnectionClosed):  # the test may stop the device at any point
            await talk.greet()
            await talk.socket.close(4007, "retired")

    async def go():
        async with ScriptedRelay(script, Talk) as relay:
            state_file = StateFile(tmp_path / "state")
            events = []
            credential = KeyCredential(KEY, (RELAY_KEY,))
            device = Device(relay.url, "dev_test", credential, state_file, on_event=events.append, backoff=Backoff(0.01, 0.02))
            running = asyncio.ensure_future(device.run())
            while kinds(events).count("waiting") < 2:
                await asyncio.sleep(0.01)
            device.stop()
            await running
            state_file.close()
            return events

    assert {event["code"] for event in run(go()) if event["event"] == "waiting"} == {4007}


# ---- status -----------------------------------------------------------------------------------------------------------------


def test_the_device_says_how_it_is_after_the_welcome_and_then_again_and_again(tmp_path):
    async def script(talk):
        await talk.greet(config=steps((10**27, 60)), version=4)
        talk.statuses.append(json.loads(talk.unseal(await talk.socket.recv())))
        await talk.pay(1, config_version=4)
        for seq in (1, 1):
            assert (await talk.hear())["seq"] == seq
        await asyncio.sleep(0.3)
        talk.statuses += [json.loads(text) for text in talk.socket.messages]

    talks = []

    async def keep(talk):
        talks.append(talk)
        await script(talk)

    by_key(keep, tmp_path / "state", status_interval_s=0.1)
    first, *_, last = talks[0].statuses
    assert (first["relay_on"], first["remaining_s"], first["config_version"]) == (False, 0, 4)
    assert last["relay_on"] is True and 55 <= last["remaining_s"] <= 60
    assert last["uptime_s"] >= 0 and len(talks[0].statuses) >= 3


# ---- configs ----------------------------------------------------------------------------------------------------------------


def test_each_payment_is_priced_by_the_version_it_names(tmp_path):
    path = tmp_path / "state"

    async def script(talk):
        await talk.greet(config=steps((100, 10)), version=6)
        await talk.pay(1, amount=100, config_version=6)
        await talk.say(type="config", version=7, config=steps((100, 20), (200, 50), late_after_s=30))
        await talk.pay(2, amount=100, config_version=6)
        await talk.pay(3, amount=100, config_version=7)
        await talk.pay(4, amount=200, config_version=7, age_s=31)
        await talk.pay(5, amount=100, config_version=2, config=steps((100, 3)))
        await talk.pay(6, amount=99, config_version=7)
        heard = [await talk.hear() for _ in range(12)]
        outcomes = {frame["seq"]: frame.get("seconds", frame.get("reason")) for frame in heard if frame["type"] != "ack"}
        assert outcomes == {1: 10, 2: 10, 3: 20, 4: "too_late", 5: 3, 6: "below_minimum"}

    events, _ = by_token(script, path)
    assert [event["version"] for event in events if event["event"] == "config"] == [6, 7]
    assert [version for version, _ in saved(path)["configs"]] == [7, 6]


def test_the_configs_outlive_a_restart_and_the_next_hello_names_the_current_one(tmp_path):
    hellos = []

    async def script(talk):
        hellos.append(await talk.greet(config=steps((100, 10)) if not hellos else None, version=3))
        await talk.pay(len(hellos), amount=100, config_version=3)
        while (await talk.hear())["type"] != "ack":
            pass

    for _ in range(2):
        by_token(script, tmp_path / "state")
    assert [hello["config_version"] for hello in hellos] == [0, 3]
    assert saved(tmp_path / "state")["credit_s"] == 20


def test_an_older_config_is_ignored(tmp_path):
    async def script(talk):
        await talk.greet(config=steps((100, 10)), version=6)
        for version in (5, 6):
            await talk.say(type="config", version=version, config=steps((100, 99)))
        await talk.pay(1, amount=100, config_version=6)
        await talk.hear()
        assert (await talk.hear())["seconds"] == 10

    by_token(script, tmp_path / "state")


def test_a_payment_priced_by_an_unknown_config_is_left_until_the_relay_sends_that_along(tmp_path):
    path = tmp_path / "state"
    hellos = []

    async def script(talk):
        hellos.append(await talk.greet(config=steps((100, 10)), version=6))
        if len(hellos) == 1:
            await talk.pay(1, amount=100, config_version=4)
            assert await talk.hear_close() == 4000
        else:
            await talk.pay(1, amount=100, config_version=4, config=steps((100, 4)))
            await talk.hear()

    events, _ = by_token(script, path, sessions=2)
    assert [hello["resume"] for hello in hellos] == [0, 0]
    assert [event["seconds"] for event in events if event["event"] == "payment"] == [4]


@pytest.mark.parametrize("config", [{"tariff": {"steps": []}}, [], None])
def test_a_config_that_cannot_be_read_ends_the_session_and_is_not_kept(tmp_path, config):
    path = tmp_path / "state"

    async def script(talk):
        await talk.greet()
        await talk.say(type="config", version=1, config=config)
        assert await talk.hear_close() == 4000

    by_token(script, path)
    assert saved(path)["configs"] == []


def test_the_state_frame_is_shown(tmp_path):
    async def script(talk):
        await talk.greet()
        await talk.say(type="state", caught_up=False, payable=True, reason="unproven")
        await talk.pay(1)
        await talk.hear()

    events, _ = by_token(script, tmp_path / "state")
    assert {"event": "state", "caught_up": False, "payable": True, "reason": "unproven"} in events


# ---- a store that was restored -----------------------------------------------------------------------------------------------


def test_a_payment_judged_before_the_roll_back_gets_the_same_outcome_under_its_new_seq(tmp_path):
    path = tmp_path / "state"
    hellos = []

    async def script(talk):
        if not hellos:
            hellos.append(await talk.greet(config=steps((100, 10)), version=6))
            await talk.pay(1, amount=100, config_version=6, hash="A" * 64)
            await talk.pay(2, amount=1, config_version=6, hash="B" * 64)
            for _ in range(4):
                await talk.hear()
            return
        hellos.append(await talk.greet(epoch="f" * 32, config=steps((100, 99)), version=6))
        assert {(await talk.hear())["seq"] for _ in range(2)} == {1, 2}  # not noted yet
        await talk.say(type="gap", **{"from": 1, "to": 2}, reason="store_rolled_back")
        assert await talk.hear() == {"type": "ack", "seq": 2}
        await talk.pay(3, amount=100, config_version=6, hash="B" * 64)
        await talk.hear()
        assert await talk.hear() == {"type": "refused", "seq": 3, "reason": "below_minimum"}
        await talk.pay(4, amount=100, config_version=6, hash="A" * 64)
        await talk.hear()
        assert await talk.hear() == {"type": "actuated", "seq": 4, "seconds": 10}
        await talk.pay(5, amount=100, config_version=6, hash="C" * 64)
        await talk.hear()
        assert await talk.hear() == {"type": "actuated", "seq": 5, "seconds": 99}

    events, _ = by_token(script, path, sessions=2)
    assert [(hello["resume"], hello.get("epoch"), hello["config_version"]) for hello in hellos] == [(0, None, 0), (2, EPOCH, 0)]
    assert {"event": "store_changed", "epoch": "f" * 32, "seq": 2} in events
    assert kinds(events).count("granted_before") == kinds(events).count("refused_before") == 1
    state = saved(path)
    assert (state["epoch"], state["seq"], state["credit_s"]) == ("f" * 32, 5, 109)


def test_a_relay_that_goes_on_below_what_is_persisted_is_left_alone(tmp_path):
    path = tmp_path / "state"
    sessions = []

    async def script(talk):
        sessions.append(talk)
        if len(sessions) == 1:
            await talk.greet()
            await talk.pay(1)
            await talk.hear()
            return
        await talk.say(type="challenge", nonce="00" * 32, epoch="f" * 32)
        await talk.hear()
        await talk.say(type="welcome", time="2026-11-20T12:00:00.000Z", last_acked=0, pending=1)
        assert await talk.hear_close() == 4000

    by_token(script, path, sessions=2)
    assert (saved(path)["seq"], saved(path)["epoch"]) == (1, EPOCH)


# ---- the command line --------------------------------------------------------------------------------------------------------


def device_command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "coinslot.device", *map(str, arguments)], capture_output=True, text=True, env=environment()
    )


def test_make_key_prints_the_public_key_and_overwrites_nothing(tmp_path):
    made = device_command("--make-key", tmp_path / "key")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout == DeviceKey.load(tmp_path / "key").public.hex() + "\n"
    again = device_command("--make-key", tmp_path / "key")
    assert (again.returncode, again.stdout) == (1, "")
    assert "is there already" in again.stderr and len(again.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments, told",
    [
        ([], "either --key-file or --token-file"),
        (["--key-file", "k"], "needs --relay-key"),
        (["--key-file", "k", *("--relay-key", "00" * 32) * 3], "once or twice"),
        (["--key-file", "k", "--relay-key", "xyz"], "64 hexadecimal digits"),
        (["--token-file", "t", "--relay-key", "00" * 32], "goes with --key-file"),
    ],
)
def test_the_command_line_says_what_is_missing(tmp_path, arguments, told):
    done = device_command("--url", "ws://127.0.0.1:1", "--device", "dev_x", "--state", tmp_path / "state", *arguments)
    assert done.returncode == 2
    assert told in done.stderr


def test_the_command_line_speaks_by_key(tmp_path):
    (tmp_path / "key").write_text(KEY.seed.hex())

    async def script(talk):
        await talk.greet(config=steps((10**27, 6)), version=1)
        await talk.pay(1, config_version=1)
        await talk.say(type="state", caught_up=False, payable=False, reason="store_full")
        await talk.hear()
        await talk.hear()
        await talk.say(type="error", code="retired", message="for good")
        await talk.socket.close(4007, "retired")

    async def go():
        async with ScriptedRelay(script, Talk) as relay:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "coinslot.device", "--url", relay.url, "--device", "dev_test"),
                *("--key-file", tmp_path / "key", "--relay-key", OTHER_KEY.hex(), "--relay-key", RELAY_KEY.hex()),
                *("--state", tmp_path / "state"),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment(),
            )
            out, err = await process.communicate()
            return process.returncode, out.decode(), err.decode()

    code, out, err = run(go())
    assert (code, err) == (1, "")
    for told in ("config 1:", "seq 1: +6 s", "tell people not to pay now (store_full)", "stopped: retired"):
        assert told in out


def test_by_token_the_closing_code_is_believed(tmp_path):
    async def script(talk):
        await talk.greet()
        await talk.socket.close(4007, "retired")

    async def go():
        async with ScriptedRelay(script) as relay:
            state_file = StateFile(tmp_path / "state")
            ended = await Device(relay.url, "dev_test", TokenCredential("t"), state_file, backoff=SOON).run()
            state_file.close()
            return ended

    assert run(go()).code == 4007
