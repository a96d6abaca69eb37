"""How a device proves who it is, and how it knows that it speaks with its own relay.

A token is only shown. A key signs the whole handshake, and so does the relay's; both then share a key for each direction, and every
frame after the welcome ends with a MAC over its bytes and its place in the stream. Names and layout: docs/device-protocol.md.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Mapping, Optional, Protocol, Tuple, Union

from nacl.bindings import crypto_kx_client_session_keys, crypto_kx_keypair
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

LABEL_DEVICE = b"coinslot.v1 device"
LABEL_RELAY = b"coinslot.v1 relay"

CLOSE_PROTOCOL_ERROR = 4000
CLOSE_UNAUTHORIZED = 4002
CLOSE_BAD_MAC = 4012

_MAC_BYTES = 16
_SIGNATURE = re.compile(rb'(.+),"sig":"([0-9a-f]{128})"\}', re.S)
_MAC = re.compile(rb'(.+),"mac":"([0-9a-f]{32})"\}', re.S)


class RelayError(Exception):
    """The relay broke the protocol: the session ends, nothing is granted."""

    event = "protocol_error"
    close_code = CLOSE_PROTOCOL_ERROR


class RelayNotProven(RelayError):
    """Who answered has not shown that it is the relay whose key is pinned."""

    event = "relay_not_proven"
    close_code = CLOSE_UNAUTHORIZED


class FrameNotProven(RelayError):
    """A frame that is not the next one of this session's relay."""

    event = "frame_not_proven"
    close_code = CLOSE_BAD_MAC


# ---- what a device needs of a credential -----------------------------------------------------------------------------


class Channel(Protocol):
    """Frames after the welcome, in the order in which they are sent and received."""

    def seal(self, text: str) -> str: ...

    def open(self, text: str) -> str: ...


class Handshake(Protocol):
    """One session's beginning."""

    def hello(self, members: Mapping[str, Any]) -> str:
        """The hello as it goes out; `members` follow on the device's id and its proof."""
        ...

    def welcome(self, text: str) -> Channel:
        """RelayNotProven when it is not the relay's answer to this very hello."""
        ...


class Credential(Protocol):
    proves_relay: bool  # whether what comes after the welcome is the relay's word

    def begin(self, device: str, challenge: str) -> Handshake: ...


def compact(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


# ---- a token -----------------------------------------------------------------------------------------------------------


class _Plain:
    def seal(self, text: str) -> str:
        return text

    def open(self, text: str) -> str:
        return text


@dataclass(frozen=True)
class _TokenHandshake:
    device: str
    token: str

    def hello(self, members: Mapping[str, Any]) -> str:
        return compact({"type": "hello", "device": self.device, "token": self.token, **members})

    def welcome(self, text: str) -> Channel:
        return _Plain()


@dataclass(frozen=True)
class TokenCredential:
    """Over TLS or on loopback: whoever reads along has the token."""

    token: str
    proves_relay = False

    def begin(self, device: str, challenge: str) -> Handshake:
        return _TokenHandshake(device, self.token)

    def __repr__(self) -> str:
        return "TokenCredential(…)"


# ---- the bytes that are signed, and the MACs -----------------------------------------------------------------------------


def transcript(label: bytes, relay_key: bytes, device: str, device_key: bytes, challenge: bytes, hello: bytes) -> bytes:
    """What both sign, each under its own label. `challenge` is the frame as it came, `hello` the bytes before `,"sig"`."""
    name = device.encode()
    return b"".join(
        [
            *(label, b"\0", relay_key),
            *(len(name).to_bytes(2, "big"), name, device_key),
            *(len(challenge).to_bytes(4, "big"), challenge),
            *(len(hello).to_bytes(4, "big"), hello),
        ]
    )


def frame_mac(key: bytes, counter: int, body: bytes) -> bytes:
    """BLAKE2b-128 over the frame's place in its direction and its bytes before `,"mac"`."""
    return hashlib.blake2b(counter.to_bytes(8, "big") + body, digest_size=_MAC_BYTES, key=key).digest()


class MacChannel:
    """One session's frames: a counter and a key for each direction, so that none can be dropped, repeated or turned around."""

    def __init__(self, receive_key: bytes, send_key: bytes) -> None:
        self._receive_key, self._send_key = receive_key, send_key
        self._received = self._sent = 0

    def seal(self, text: str) -> str:
        body = text.encode()[:-1]  # without its last brace
        mac = frame_mac(self._send_key, self._sent, body)
        self._sent += 1
        return f'{body.decode()},"mac":"{mac.hex()}"}}'

    def open(self, text: str) -> str:
        found = _MAC.fullmatch(text.encode())
        if found is None:
            raise FrameNotProven("a frame without a MAC")
        expected = frame_mac(self._receive_key, self._received, found[1])
        if not hmac.compare_digest(expected, bytes.fromhex(found[2].decode())):
            raise FrameNotProven("a frame whose MAC is wrong")
        self._received += 1
        return found[1].decode() + "}"


# ---- a key -----------------------------------------------------------------------------------------------------------------


class KeyFileError(Exception):
    """The key can't be used; the text says why and what to do."""


@dataclass(frozen=True)
class DeviceKey:
    """The device's Ed25519 key (RFC 8032)."""

    seed: bytes

    @property
    def public(self) -> bytes:
        return bytes(SigningKey(self.seed).verify_key)

    def sign(self, message: bytes) -> bytes:
        return SigningKey(self.seed).sign(message).signature

    def __repr__(self) -> str:
        return f"DeviceKey({self.public.hex()})"

    @classmethod
    def parse(cls, text: str) -> "DeviceKey":
        """64 hexadecimal digits are the seed; 128 are libsodium's form, the seed and the public key."""
        try:
            value = bytes.fromhex(text.strip())
        except ValueError:
            value = b""
        if len(value) not in (32, 64):
            raise KeyFileError("a device's key is 64 hexadecimal digits")
        key = cls(value[:32])
        if value[32:] not in (b"", key.public):
            raise KeyFileError("the second half of the key is not the first half's public key: it is damaged")
        return key

    @classmethod
    def load(cls, path: Union[str, "os.PathLike[str]"]) -> "DeviceKey":
        try:
            return cls.parse(Path(path).read_text(encoding="ascii"))
        except (ValueError, KeyFileError) as error:
            raise KeyFileError(f"{path} holds no device key ({error}): make one with --make-key") from None

    @classmethod
    def make(cls, path: Union[str, "os.PathLike[str]"]) -> "DeviceKey":
        """A new key in a new file, for its owner's eyes only."""
        key = cls(secrets.token_bytes(32))
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise KeyFileError(f"{path} is there already: a device's key is not overwritten, give another name") from None
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(key.seed.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        return key


def parse_public_key(text: str) -> bytes:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise ValueError(f"a public key is 64 hexadecimal digits, not {text!r:.80}")
    return bytes.fromhex(text)


@dataclass(frozen=True)
class KeyCredential:
    """`relay_keys`: the relay's key, and the one that it will roll to, so that a rolled key strands nobody."""

    key: DeviceKey
    relay_keys: Tuple[bytes, ...]
    make_pair: Callable[[], Tuple[bytes, bytes]] = crypto_kx_keypair  # X25519: public, secret
    proves_relay = True

    def __post_init__(self) -> None:
        if not 1 <= len(self.relay_keys) <= 2:
            raise ValueError("one or two relay keys are pinned")

    def begin(self, device: str, challenge: str) -> Handshake:
        return _KeyHandshake(self, device, challenge)


def _hex_member(frame: Mapping[str, Any], name: str) -> Optional[bytes]:
    value = frame.get(name)
    return bytes.fromhex(value) if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) else None


class _KeyHandshake:
    def __init__(self, credential: KeyCredential, device: str, challenge: str) -> None:
        frame = json.loads(challenge)
        relay_key, relay_pair_key = _hex_member(frame, "relay"), _hex_member(frame, "key")
        if relay_key is None or relay_pair_key is None or _hex_member(frame, "nonce") is None:
            raise RelayNotProven("the relay's challenge has no keys: it does not speak sessions by key")
        if relay_key not in credential.relay_keys:
            raise RelayNotProven(f"the relay's key {relay_key.hex()} is not pinned here")
        self._credential = credential
        self._device = device
        self._challenge = challenge.encode()
        self._relay_key, self._relay_pair_key = relay_key, relay_pair_key
        self._pair_key, self._pair_secret = credential.make_pair()
        self._hello = b""

    def _transcript(self, label: bytes) -> bytes:
        key = self._credential.key.public
        return transcript(label, self._relay_key, self._device, key, self._challenge, self._hello)

    def hello(self, members: Mapping[str, Any]) -> str:
        text = compact({"type": "hello", "device": self._device, "key": self._pair_key.hex(), **members})
        self._hello = text.encode()[:-1]
        signature = self._credential.key.sign(self._transcript(LABEL_DEVICE))
        return f'{text[:-1]},"sig":"{signature.hex()}"}}'

    def welcome(self, text: str) -> Channel:
        found = _SIGNATURE.fullmatch(text.encode())
        if found is None:
            raise RelayNotProven("a welcome without a signature")
        signed = self._transcript(LABEL_RELAY) + len(found[1]).to_bytes(4, "big") + found[1]
        try:
            VerifyKey(self._relay_key).verify(signed, bytes.fromhex(found[2].decode()))
            receive, send = crypto_kx_client_session_keys(self._pair_key, self._pair_secret, self._relay_pair_key)
        except (CryptoError, ValueError) as error:
            raise RelayNotProven(f"a welcome that the relay did not sign: {error}") from None
        return MacChannel(receive, send)
