"""A Nano account's text form, from its 32-byte public key."""

from __future__ import annotations

import hashlib

_ALPHABET = "13456789abcdefghijkmnopqrstuwxyz"


def format_address(key: bytes) -> str:
    """`nano_`, 52 characters of key, 8 of BLAKE2b-40 checksum, byte-reversed."""
    if len(key) != 32:
        raise ValueError("a Nano account's key has 32 bytes")
    checksum = hashlib.blake2b(key, digest_size=5).digest()[::-1]
    return "nano_" + _base32(int.from_bytes(key, "big"), 52) + _base32(int.from_bytes(checksum, "big"), 8)


def _base32(value: int, characters: int) -> str:
    return "".join(_ALPHABET[value >> 5 * place & 31] for place in reversed(range(characters)))
