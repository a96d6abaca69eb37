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

    def __post_init__(self) -> None:
        if self.raw <= 0 or self.seconds <= 0 or self.minimum < 0:
            raise ValueError("a tariff needs raw and seconds above 0, and a minimum of 0 or more")

    def price(self, amount: int, age_s: int) -> Union[Granted, Refused]:
        seconds = amount * self.seconds // self.raw
        if amount < self.minimum or seconds == 0:
            return Refused("below_minimum")
        if self.late_after_s is not None and age_s > self.late_after_s:
            return Refused("too_late")
        return Granted(seconds)
