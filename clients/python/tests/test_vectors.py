"""The protocol to the byte: schema/examples/device-vectors.json, which the relay's own code made."""

import json
from pathlib import Path

import pytest
from nacl.bindings import crypto_kx_server_session_keys
from nacl.signing import SigningKey

from coinslot.credential import (
    LABEL_DEVICE,
    LABEL_RELAY,
    DeviceKey,
    FrameNotProven,
    KeyCredential,
    MacChannel,
    RelayNotProven,
    TokenCredential,
    transcript,
)

ROOT = Path(__file__).resolve().parent.parent.parent.parent
VECTORS = json.loads((ROOT / "schema" / "examples" / "device-vectors.json").read_text(encoding="utf-8"))
BY_KEY = [session for session in VECTORS["sessions"] if session["auth"] == "key"]
BY_TOKEN = [session for session in VECTORS["sessions"] if session["auth"] == "token"]
KEY = DeviceKey.parse(VECTORS["device_seed"])


def name(session):
    return session["name"][:40]


def members(session, *without):
    """What the hello says besides who it is."""
    said = json.loads(session["hello"])
    return {member: value for member, value in said.items() if member not in ("type", "device", *without)}


def greet(session, pinned=None):
    """The session's beginning, with the pair that it had."""
    pair = bytes.fromhex(session["device_exchange_public"]), bytes.fromhex(session["device_exchange_secret"])
    credential = KeyCredential(KEY, (bytes.fromhex(pinned or session["relay_key"]),), make_pair=lambda: pair)
    handshake = credential.begin(session["device"], session["challenge"])
    return handshake, handshake.hello(members(session, "key", "sig"))


def ends(session):
    """The relay's end and the device's."""
    to_device, to_relay = bytes.fromhex(session["relay_to_device_key"]), bytes.fromhex(session["device_to_relay_key"])
    return MacChannel(to_relay, to_device), MacChannel(to_device, to_relay)


def test_there_is_something_to_agree_on():
    assert len(BY_KEY) >= 2 and BY_TOKEN and len(VECTORS["refused"]) >= 10
    assert {frame["from"] for session in BY_KEY for frame in session["frames"]} == {"relay", "device"}


@pytest.mark.parametrize("session", BY_KEY, ids=name)
def test_the_device_says_the_same_hello(session):
    assert KEY.public.hex() == session["device_key"]
    assert greet(session)[1] == session["hello"]


@pytest.mark.parametrize("session", BY_KEY, ids=name)
def test_both_sign_the_same_bytes(session):
    hello, welcome = (session[kind].encode()[:-138] for kind in ("hello", "welcome"))
    parts = (bytes.fromhex(session["relay_key"]), session["device"], KEY.public, session["challenge"].encode(), hello)
    assert transcript(LABEL_DEVICE, *parts).hex() == session["device_signs"]
    assert KEY.sign(transcript(LABEL_DEVICE, *parts)).hex() == session["device_signature"]
    by_relay = transcript(LABEL_RELAY, *parts) + len(welcome).to_bytes(4, "big") + welcome
    assert by_relay.hex() == session["relay_signs"]
    assert SigningKey(bytes.fromhex(VECTORS["relay_seed"])).sign(by_relay).signature.hex() == session["relay_signature"]


@pytest.mark.parametrize("session", BY_KEY, ids=name)
def test_the_welcome_opens_a_channel_with_the_same_keys(session):
    handshake, _ = greet(session)
    channel = handshake.welcome(session["welcome"])
    pair = bytes.fromhex(session["relay_exchange_public"]), bytes.fromhex(session["relay_exchange_secret"])
    from_device, to_device = crypto_kx_server_session_keys(*pair, bytes.fromhex(session["device_exchange_public"]))
    assert (from_device.hex(), to_device.hex()) == (session["device_to_relay_key"], session["relay_to_device_key"])
    for frame in session["frames"]:
        if frame["from"] == "device":
            assert channel.seal(frame["plain"]) == frame["frame"]
        else:
            assert channel.open(frame["frame"]) == frame["plain"]


@pytest.mark.parametrize("session", BY_KEY, ids=name)
def test_both_ends_seal_and_open_the_same_frames(session):
    relay, device = ends(session)
    for frame in session["frames"]:
        sender, receiver = (relay, device) if frame["from"] == "relay" else (device, relay)
        assert sender.seal(frame["plain"]) == frame["frame"]
        assert frame["mac"] in frame["frame"]
        assert receiver.open(frame["frame"]) == frame["plain"]


@pytest.mark.parametrize("refused", VECTORS["refused"], ids=lambda refused: f"{refused['why']}, to the {refused['to']}")
def test_a_frame_that_has_to_be_refused_is(refused):
    session = VECTORS["sessions"][refused["session"]]
    relay, device = ends(session)
    receiver, sender = (device, "relay") if refused["to"] == "device" else (relay, "device")
    heard = [frame for frame in session["frames"] if frame["from"] == sender]
    for frame in heard[: refused["after"]]:
        receiver.open(frame["frame"])
    with pytest.raises(FrameNotProven):
        receiver.open(refused["frame"])
    assert receiver.open(heard[refused["after"]]["frame"]) == heard[refused["after"]]["plain"]


def test_a_welcome_of_another_session_is_refused():
    first, second = BY_KEY[:2]
    with pytest.raises(RelayNotProven):
        greet(first)[0].welcome(second["welcome"])
    with pytest.raises(RelayNotProven, match="not pinned"):
        greet(first, pinned=second["device_key"])


@pytest.mark.parametrize("session", BY_TOKEN, ids=name)
def test_by_token_nothing_is_signed_and_nothing_sealed(session):
    token = json.loads(session["hello"])["token"]
    handshake = TokenCredential(token).begin(session["device"], session["challenge"])
    assert handshake.hello(members(session, "token")) == session["hello"]
    channel = handshake.welcome(session["welcome"])
    for frame in session["frames"]:
        assert channel.open(frame["frame"]) == channel.seal(frame["frame"]) == frame["frame"]
