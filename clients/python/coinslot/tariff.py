"""What a payment buys. Integer arithmetic only: an amount has up to 128 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Union


@dataclass(frozen=True)
class Granted:
    seconds: int


@dataclass(frozen=True)
class Refused:
    reason: str


@dataclass(frozen=True)
class Tariff:
    """`seconds` for every `raw` paid, rounded down; nothing for less than `minimum`, nor later than `late_after_s` after the storing."""

    raw: int = 10**27  # 0.001 nano …
    seconds: int = 6  # … is six seconds
    minimum: int = 0
    late_after_s: Optional[int] = None
    cap_s: int = 2**31 - 1  # of one payment; more has no place in an outcome

    def __post_init__(self) -> None:
        if self.raw <= 0 or self.seconds <= 0 or self.minimum < 0 or not 0 < self.cap_s < 2**31:
            raise ValueError("a tariff needs raw, seconds and cap_s above 0, and a minimum of 0 or more")

    def price(self, amount: int, age_s: int) -> Union[Granted, Refused]:
        seconds = min(amount * self.seconds // self.raw, self.cap_s)
        if amount < self.minimum or seconds == 0:
            return Refused("below_minimum")
        if self.late_after_s is not None and age_s > self.late_after_s:
            return Refused("too_late")
        return Granted(seconds)
