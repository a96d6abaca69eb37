"""Money: integers of raw, and their readable form in nano. No float ever holds an amount."""

from __future__ import annotations

NANO_DECIMALS = 30  # 1 nano = 10^30 raw
RAW_PER_NANO = 10**NANO_DECIMALS
RAW_MOST = 2**128 - 1


def parse_raw(text: str) -> int:
    """A plain decimal of raw: only digits, no sign, no leading zero but "0" itself, at most 2^128 - 1."""
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > 39:
        raise ValueError(f"an amount is a string of digits, not {text!r:.60}")
    if text != "0" and text.startswith("0"):
        raise ValueError(f"an amount has no leading zero: {text!r}")
    raw = int(text)
    if raw > RAW_MOST:
        raise ValueError(f"an amount is at most 2^128 - 1: {text!r}")
    return raw


def parse_nano(text: str) -> int:
    """A decimal of nano: "1", "0.5"; at most 30 decimals."""
    whole, point, decimals = text.partition(".")
    digits = whole + decimals
    if not digits.isascii() or not digits.isdigit() or not whole or (point and not decimals) or len(decimals) > NANO_DECIMALS:
        raise ValueError(f"write an amount of nano as 1 or 0.5, with at most {NANO_DECIMALS} decimals, not {text!r:.60}")
    raw = int(whole) * RAW_PER_NANO + int(decimals.ljust(NANO_DECIMALS, "0"))
    if raw > RAW_MOST:
        raise ValueError(f"an amount is at most 2^128 - 1 raw: {text!r:.60}")
    return raw


def format_nano(raw: int) -> str:
    """Without trailing zeros: "0.5", "1"."""
    whole, rest = divmod(raw, RAW_PER_NANO)
    decimals = str(rest).zfill(NANO_DECIMALS).rstrip("0")
    return f"{whole}.{decimals}" if decimals else str(whole)
