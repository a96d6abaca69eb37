"""What a payment buys. Integer arithmetic only: an amount has up to 128 bits.

A tariff is steps of (amount, seconds). A payment buys

* from the highest step on: that step's seconds for its amount, in proportion, rounded down
* between two steps: the seconds of the step that it reaches
* below the first step: nothing, unless there is a `minimum` below it: from that on, the first step's rate holds

and never more than `cap_s`. Less than the minimum (than the first step, where `minimum` is 0 or missing), or too little for a whole
second, is refused as `below_minimum`; what is older than `late_after_s` when it comes is refused as `too_late`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Mapping, Optional, Tuple, Union

from coinslot.amount import parse_raw

SECONDS_MOST = 2**31 - 1  # more has no place in an outcome


@dataclass(frozen=True)
class Granted:
    seconds: int


@dataclass(frozen=True)
class Refused:
    reason: str


@dataclass(frozen=True)
class Tariff:
    steps: Tuple[Tuple[int, int], ...] = ((10**27, 6),)  # (raw, seconds): 0.001 nano is six seconds
    minimum: int = 0  # 0: the first step
    cap_s: int = SECONDS_MOST
    late_after_s: Optional[int] = None

    def __post_init__(self) -> None:
        amounts = [amount for amount, _ in self.steps]
        if not amounts or sorted(set(amounts)) != amounts or amounts[0] <= 0:
            raise ValueError("a tariff needs steps whose amounts begin above 0 and rise")
        if not all(0 < seconds <= SECONDS_MOST for _, seconds in self.steps):
            raise ValueError(f"a step of a tariff buys 1 to {SECONDS_MOST} seconds")
        if self.minimum < 0 or not 0 < self.cap_s <= SECONDS_MOST or (self.late_after_s or 0) < 0:
            raise ValueError("a tariff has a minimum and late_after_s of 0 or more, and cap_s above 0")

    def price(self, amount: int, age_s: int) -> Union[Granted, Refused]:
        minimum = self.minimum or self.steps[0][0]
        seconds = min(self._seconds(amount), self.cap_s)
        if amount < minimum or seconds == 0:
            return Refused("below_minimum")
        if self.late_after_s is not None and age_s > self.late_after_s:
            return Refused("too_late")
        return Granted(seconds)

    def _seconds(self, amount: int) -> int:
        first, highest = self.steps[0], self.steps[-1]
        if amount >= highest[0]:
            return amount * highest[1] // highest[0]
        if amount < first[0]:
            return amount * first[1] // first[0]
        return next(seconds for step, seconds in reversed(self.steps) if step <= amount)

    def under(self, config: Mapping[str, Any]) -> "Tariff":
        """As the relay's config says; what it leaves open is this tariff's. ValueError when it can't be read."""
        try:
            late_after_s = config.get("late_after_s", self.late_after_s)
            given = config.get("tariff")
            if given is None:
                return replace(self, late_after_s=_whole(late_after_s))
            return Tariff(
                steps=tuple(sorted((parse_raw(step["amount"]), _number(step["seconds"])) for step in given["steps"])),
                minimum=parse_raw(given.get("minimum", "0")),
                cap_s=_number(given.get("cap_s", SECONDS_MOST)),
                late_after_s=_whole(config.get("late_after_s")),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a config's tariff is unreadable: {error!r}") from None


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r:.40} is not a whole number")
    return value


def _whole(value: Any) -> Optional[int]:
    return None if value is None else _number(value)
