"""Whether a payment's own blocks say what the relay says of it: docs/device-protocol.md, "Proof".

All of it is checked here: hashes by hashlib, the signature by a plain Ed25519 with BLAKE2b-512 on Python's integers. That takes some
milliseconds, and is neither fast nor hardened; it only ever verifies, so it handles no secret.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Collection, Mapping, Optional, Tuple

from coinslot.address import format_address
from coinslot.amount import parse_raw

PACKED_SIZE = 217

NO_PROOF, UNPROVABLE, PROOF_WRONG = "no_proof", "unprovable", "proof_wrong"

# The node's own numbers of block types.
SEND, RECEIVE, OPEN, CHANGE, STATE = 2, 3, 4, 5, 6
_HAS = {
    SEND: ("previous", "balance", "link"),
    RECEIVE: ("previous", "link"),
    OPEN: ("account", "representative", "link"),
    CHANGE: ("previous", "representative"),
    STATE: ("account", "previous", "representative", "balance", "link"),
}
# What is hashed, in this order.
_HASHED = {
    SEND: ("previous", "link", "balance"),
    RECEIVE: ("previous", "link"),
    OPEN: ("link", "representative", "account"),
    CHANGE: ("previous", "representative"),
    STATE: ("account", "previous", "representative", "balance", "link"),
}
_STATE_PREAMBLE = bytes(31) + b"\x06"


@dataclass(frozen=True)
class Block:
    """A Nano block, unpacked; what its type does not have is zeros."""

    type: int
    account: bytes
    previous: bytes
    representative: bytes
    balance: bytes
    link: bytes
    signature: bytes

    @classmethod
    def unpack(cls, packed: bytes) -> Block:
        """ValueError when no block packs to this."""
        if len(packed) != PACKED_SIZE or packed[0] not in _HAS:
            raise ValueError("no packed block")
        account, previous, representative = packed[1:33], packed[33:65], packed[65:97]
        block = cls(packed[0], account, previous, representative, packed[97:113], packed[113:145], packed[145:209])
        if any(any(getattr(block, name)) for name in _HAS[STATE] if name not in _HAS[block.type]):
            raise ValueError("a packed block with what its type does not have")
        return block

    @property
    def hash(self) -> bytes:
        preamble = _STATE_PREAMBLE if self.type == STATE else b""
        return hashlib.blake2b(preamble + b"".join(getattr(self, name) for name in _HASHED[self.type]), digest_size=32).digest()

    def signed_by(self, account: bytes) -> bool:
        return verify(self.signature, self.hash, account)


def check(payment: Mapping[str, Any], proof: Any, addresses: Collection[str]) -> Optional[str]:
    """None, or the reason to refuse it. `addresses`: where this device is paid."""
    if proof is None:
        return NO_PROOF
    try:
        block, previous = (Block.unpack(bytes.fromhex(proof[name])) for name in ("block", "previous"))
        amount, hash = parse_raw(payment["amount"]), bytes.fromhex(payment["hash"])
    except (KeyError, TypeError, ValueError):
        return PROOF_WRONG
    sender = _sender(payment, block)
    right = (
        *(sender is not None, payment.get("chain") == "nano", payment.get("output") == 0, block.hash == hash),
        *(format_address(block.link) == payment.get("to"), payment.get("to") in addresses, previous.hash == block.previous),
    )
    if not all(right) or sender is None:
        return PROOF_WRONG
    if previous.type in (RECEIVE, OPEN, CHANGE):
        return UNPROVABLE
    is_senders = previous.account == sender if previous.type == STATE else previous.signed_by(sender)
    sent = int.from_bytes(previous.balance, "big") - int.from_bytes(block.balance, "big")
    return None if is_senders and sent == amount > 0 and block.signed_by(sender) else PROOF_WRONG


def _sender(payment: Mapping[str, Any], block: Block) -> Optional[bytes]:
    """A legacy send does not name its account: there the payment does, and the signatures say whether it is right."""
    said = payment.get("from")
    if block.type == STATE:
        return block.account if said in (None, format_address(block.account)) else None
    return _key(said) if block.type == SEND and isinstance(said, str) else None


def _key(address: str) -> Optional[bytes]:
    alphabet = "13456789abcdefghijkmnopqrstuwxyz"
    text = address[-60:-8]
    if len(address) != 65 or any(character not in alphabet for character in text):
        return None
    value = 0
    for character in text:
        value = value << 5 | alphabet.index(character)
    key = (value & (1 << 256) - 1).to_bytes(32, "big")
    return key if format_address(key) == address else None


# ---- Ed25519 (RFC 8032) with BLAKE2b-512 in SHA-512's place ----------------------------------------------------------

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)  # of -1

Point = Tuple[int, int, int, int]  # x/z, y/z, z, xy/z (RFC 8032, 5.1.4)


def _add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(scalar: int, p: Point) -> Point:
    q = (0, 1, 1, 0)
    while scalar > 0:
        if scalar & 1:
            q = _add(q, p)
        p, scalar = _add(p, p), scalar >> 1
    return q


def _decode(encoded: bytes) -> Optional[Point]:
    value = int.from_bytes(encoded, "little")
    sign, y = value >> 255, (value & (1 << 255) - 1) % _P
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P:
        return None
    x = _P - x if x & 1 != sign else x
    return x % _P, y, 1, x * y % _P


def _encode(p: Point) -> bytes:
    inverse = pow(p[2], -1, _P)
    x, y = p[0] * inverse % _P, p[1] * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


_BASE = _decode((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))


def verify(signature: bytes, message: bytes, key: bytes) -> bool:
    """As a Nano node does: S needs only its top three bits clear."""
    public = _decode(key)
    if len(signature) != 64 or len(key) != 32 or signature[63] & 0xE0 or public is None or _BASE is None:
        return False
    scalar = int.from_bytes(hashlib.blake2b(signature[:32] + key + message, digest_size=64).digest(), "little") % _L
    minus = (-public[0] % _P, public[1], public[2], -public[3] % _P)
    s = int.from_bytes(signature[32:], "little") % _L
    return _encode(_add(_times(s, _BASE), _times(scalar, minus))) == signature[:32]
