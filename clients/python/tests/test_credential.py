"""Keys, signatures and MACs by themselves, against the bytes that docs/device-protocol.md lays down."""

import hashlib
import json
import struct

import pytest
from nacl.bindings import crypto_kx_seed_keypair, crypto_kx_server_session_keys
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from coinslot.credential import (
    DeviceKey,
    FrameNotProven,
    KeyCredential,
    KeyFileError,
    MacChannel,
    RelayNotProven,
    frame_mac,
    parse_public_key,
    transcript,
)

RELAY = SigningKey(b"R" * 32)
DEVICE = DeviceKey(b"D" * 32)
RELAY_PAIR = crypto_kx_seed_keypair(b"r" * 32)
DEVICE_PAIR = crypto_kx_seed_keypair(b"d" * 32)
ID = "dev_aaaabbbbccccdddd"
CHALLENGE = json.dumps(
    {
        "type": "challenge",
        "nonce": "5a" * 32,
        "key": RELAY_PAIR[0].hex(),
        "relay": bytes(RELAY.verify_key).hex(),
        "epoch": "0123456789abcdef0123456789abcdef",
    },
    separators=(",", ":"),
)
WELCOME = '{"type":"welcome","time":"2026-11-20T17:03:00.123Z","last_acked":7,"pending":0,"config_version":0,"config":null'


def begin(challenge=CHALLENGE, pinned=(bytes(RELAY.verify_key),)):
    return KeyCredential(DEVICE, pinned, make_pair=lambda: DEVICE_PAIR).begin(ID, challenge)


def expected_transcript(label, hello, challenge=CHALLENGE):
    parts = [label, b"\0", bytes(RELAY.verify_key), struct.pack(">H", len(ID)), ID.encode(), DEVICE.public]
    parts += [struct.pack(">I", len(challenge)), challenge.encode(), struct.pack(">I", len(hello)), hello]
    return b"".join(parts)


def sign_welcome(hello, body=WELCOME, label=b"coinslot.v1 relay"):
    signed = expected_transcript(label, hello) + struct.pack(">I", len(body)) + body.encode()
    return f'{body},"sig":"{RELAY.sign(signed).signature.hex()}"}}'


def test_the_transcript_is_laid_out_as_the_page_says():
    made = transcript(b"coinslot.v1 device", bytes(32), "dev_x", b"\x01" * 32, b"{}", b'{"a":1')
    told = b"coinslot.v1 device\0" + bytes(32) + b"\0\5dev_x" + b"\x01" * 32 + b"\0\0\0\2{}" + b'\0\0\0\6{"a":1'
    assert made == told


def test_the_hello_ends_with_a_signature_over_all_that_was_said():
    text = begin().hello({"resume": 7, "epoch": "00" * 16})
    body, signature = text[:-138].encode(), text[-138:]
    assert json.loads(text)["sig"] == signature[8:-2]
    assert body.startswith(b'{"type":"hello","device":"%s","key":"%s","resume":7' % (ID.encode(), DEVICE_PAIR[0].hex().encode()))
    VerifyKey(DEVICE.public).verify(expected_transcript(b"coinslot.v1 device", body), bytes.fromhex(signature[8:-2]))
    with pytest.raises(BadSignatureError):
        VerifyKey(DEVICE.public).verify(expected_transcript(b"coinslot.v1 relay", body), bytes.fromhex(signature[8:-2]))


def test_a_welcome_that_the_relay_signed_opens_a_channel_with_a_key_for_each_direction():
    handshake = begin()
    hello = handshake.hello({"resume": 0})[:-138].encode()
    channel = handshake.welcome(sign_welcome(hello))
    from_device, to_device = crypto_kx_server_session_keys(*RELAY_PAIR, DEVICE_PAIR[0])
    for counter in range(3):
        body = b'{"type":"ack","seq":%d' % counter
        mac = hashlib.blake2b(struct.pack(">Q", counter) + body, digest_size=16, key=from_device).hexdigest()
        assert channel.seal(body.decode() + "}") == f'{body.decode()},"mac":"{mac}"}}'
        mac = hashlib.blake2b(struct.pack(">Q", counter) + body, digest_size=16, key=to_device).hexdigest()
        assert channel.open(f'{body.decode()},"mac":"{mac}"}}') == body.decode() + "}"


def test_every_bit_of_the_welcome_counts():
    handshake = begin()
    good = sign_welcome(handshake.hello({"resume": 0})[:-138].encode())
    handshake.welcome(good)
    for place in range(len(good)):
        for bit in range(7):  # a text frame is UTF-8
            changed = bytearray(good.encode())
            changed[place] ^= 1 << bit
            with pytest.raises(RelayNotProven):
                handshake.welcome(changed.decode())


def test_every_bit_of_the_challenge_counts():
    good = begin().hello({"resume": 0})[:-138].encode()
    for place in range(len(CHALLENGE)):
        for bit in range(7):
            changed = bytearray(CHALLENGE.encode())
            changed[place] ^= 1 << bit
            try:
                handshake = begin(changed.decode())
            except (RelayNotProven, ValueError, AttributeError):
                continue  # it does not even get a hello
            handshake.hello({"resume": 0})
            with pytest.raises(RelayNotProven):
                handshake.welcome(sign_welcome(good))


@pytest.mark.parametrize("member", ["device", "key", "resume"])
def test_a_welcome_to_another_hello_is_refused(member):
    handshake = begin()
    hello = json.loads(handshake.hello({"resume": 4}))
    del hello["sig"]
    hello[member] = {"device": ID[:-1] + "e", "key": RELAY_PAIR[0].hex(), "resume": 5}[member]
    with pytest.raises(RelayNotProven):
        handshake.welcome(sign_welcome(json.dumps(hello, separators=(",", ":"))[:-1].encode()))


def test_the_devices_own_signature_is_not_taken_for_the_relays():
    handshake = begin()
    hello = handshake.hello({"resume": 0})[:-138].encode()
    with pytest.raises(RelayNotProven):
        handshake.welcome(sign_welcome(hello, label=b"coinslot.v1 device"))


def test_a_relay_whose_key_is_not_pinned_gets_no_hello_and_either_of_two_pinned_ones_does():
    other = bytes(SigningKey(b"O" * 32).verify_key)
    with pytest.raises(RelayNotProven, match="not pinned"):
        begin(pinned=(other,))
    begin(pinned=(other, bytes(RELAY.verify_key)))
    for pinned in ((), (other, other, other)):
        with pytest.raises(ValueError):
            begin(pinned=pinned)


@pytest.mark.parametrize("member", ["nonce", "key", "relay"])
@pytest.mark.parametrize("value", [None, "", "00", "5A" * 32, 7, "zz" * 32])
def test_a_challenge_without_its_keys_gets_no_hello(member, value):
    challenge = json.loads(CHALLENGE)
    challenge[member] = value
    with pytest.raises(RelayNotProven):
        begin(json.dumps(challenge))


def test_a_relay_pair_of_low_order_is_refused_even_when_signed():
    challenge = json.dumps({**json.loads(CHALLENGE), "key": "00" * 32}, separators=(",", ":"))
    handshake = begin(challenge)
    hello = handshake.hello({"resume": 0})[:-138].encode()
    signed = expected_transcript(b"coinslot.v1 relay", hello, challenge) + struct.pack(">I", len(WELCOME)) + WELCOME.encode()
    with pytest.raises(RelayNotProven):
        handshake.welcome(f'{WELCOME},"sig":"{RELAY.sign(signed).signature.hex()}"}}')


# ---- frames ------------------------------------------------------------------------------------------------------------------


def channels():
    """The relay's end and the device's."""
    return MacChannel(b"1" * 32, b"2" * 32), MacChannel(b"2" * 32, b"1" * 32)


def refused(channel, text):
    with pytest.raises(FrameNotProven):
        channel.open(text)


def test_what_is_sealed_opens_once_and_in_order_only():
    relay, device = channels()
    first, second, third = (relay.seal('{"type":"noted","seq":%d}' % seq) for seq in (1, 2, 3))
    refused(device, second)  # dropped, or re-ordered
    assert device.open(first) == '{"type":"noted","seq":1}'
    refused(device, first)  # repeated
    refused(device, third)
    refused(relay, second)  # reflected
    assert device.open(second) == '{"type":"noted","seq":2}'
    refused(channels()[1], third)  # its place is another one in a new session


def test_every_bit_of_a_frame_counts():
    relay, device = channels()
    good = relay.seal('{"type":"noted","seq":1}')
    for place in range(len(good)):
        for bit in range(7):
            changed = bytearray(good.encode())
            changed[place] ^= 1 << bit
            refused(device, changed.decode())
    assert device.open(good) == '{"type":"noted","seq":1}'


def test_a_frame_of_text_beyond_ascii_is_taken_by_its_bytes():
    relay, device = channels()
    text = '{"type":"error","message":"Zähler 12 🅿"}'
    assert device.open(relay.seal(text)) == text
    counter = hashlib.blake2b(struct.pack(">Q", 7) + "ä".encode(), digest_size=16, key=b"k" * 32).digest()
    assert frame_mac(b"k" * 32, 7, "ä".encode()) == counter


@pytest.mark.parametrize("text", ["{}", '{"type":"noted","seq":1}', "", '{"type":"noted","seq":1,"mac":""}', '{"mac":"' + "0" * 32 + '"}'])
def test_a_frame_without_a_whole_mac_is_refused(text):
    refused(channels()[1], text)


def test_a_mac_in_capitals_or_with_a_line_after_it_is_not_the_same_frame():
    relay, device = channels()
    good = relay.seal('{"type":"noted","seq":1}')
    refused(device, good[:-34] + good[-34:].upper())
    refused(device, good + "\n")
    device.open(good)


# ---- keys in files -----------------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_for_its_owner_alone_and_found_again(tmp_path):
    made = DeviceKey.make(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert DeviceKey.load(tmp_path / "key") == made
    with pytest.raises(KeyFileError, match="not overwritten"):
        DeviceKey.make(tmp_path / "key")
    assert DeviceKey.load(tmp_path / "key") == made
    assert made.seed.hex() not in repr(made)


def test_a_key_that_the_relay_made_is_read_with_and_without_its_public_half(tmp_path):
    both = DEVICE.seed + DEVICE.public
    assert DeviceKey.parse(both.hex() + "\n") == DeviceKey.parse(DEVICE.seed.hex().upper()) == DEVICE
    for text in ("", "00", "zz" * 32, (DEVICE.seed + bytes(32)).hex(), "ü"):
        (tmp_path / "key").write_text(text)
        with pytest.raises(KeyFileError, match="make one with --make-key"):
            DeviceKey.load(tmp_path / "key")


def test_the_public_key_is_the_one_of_rfc_8032():
    key = DeviceKey(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert key.public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")
    assert parse_public_key(key.public.hex()) == key.public
    for text in ("", "00", "zz" * 32, "0" * 65):
        with pytest.raises(ValueError):
            parse_public_key(text)
