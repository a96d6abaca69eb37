"""What a device must not forget, in one file that is replaced whole.

Sequence number, credit, the payments judged, the outcomes not yet noted and the configs change in one atomic, synced write. So after a
power cut at any instant the device either has a payment with its credit, or has neither and gets it again.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

# Payments that are known again when a store that was rolled back sends them under another seq. The protocol asks for at least the last
# 64 granted; a machine with a disk can afford more. Refused ones are kept apart: small change must not push granted ones out.
GRANTED_KEPT = 1024
REFUSED_KEPT = 256
OUTCOMES_KEPT = 256  # the protocol asks for at least the last 16
CONFIGS_KEPT = 2  # a payment under way may name the one before

_VERSION = 1

Outcome = Union[int, str]  # seconds granted, or the reason of a refusal


class StateError(Exception):
    """The file can't be used; the text says why and what to do."""


@dataclass
class State:
    epoch: Optional[str] = None  # of the store that seq belongs to
    seq: int = 0  # everything up to here is in credit_s, refused, or announced as a gap
    credit_s: int = 0  # seconds granted, ever
    ends_at_ms: int = 0  # until when the machine runs, by the wall clock
    granted: List[Tuple[str, int]] = field(default_factory=list)  # (payment, seconds), oldest first
    refused: List[Tuple[str, str]] = field(default_factory=list)  # (payment, reason), oldest first
    outcomes: Dict[int, Outcome] = field(default_factory=dict)  # by seq
    configs: List[Tuple[int, Dict[str, Any]]] = field(default_factory=list)  # (version, config), newest first

    def outcome_of(self, payment: str) -> Optional[Outcome]:
        """What became of this payment under any seq; None when it is new."""
        for known, outcome in (*self.granted, *self.refused):
            if known == payment:
                return outcome
        return None

    def grant(self, payment: str, seconds: int, now_ms: int) -> None:
        self.credit_s += seconds
        self.ends_at_ms = max(self.ends_at_ms, now_ms) + 1000 * seconds
        self.granted.append((payment, seconds))
        del self.granted[:-GRANTED_KEPT]

    def refuse(self, payment: str, reason: str) -> None:
        self.refused.append((payment, reason))
        del self.refused[:-REFUSED_KEPT]

    @property
    def config_version(self) -> int:
        """0: none."""
        return self.configs[0][0] if self.configs else 0

    def config(self, version: int) -> Optional[Dict[str, Any]]:
        return next((config for known, config in self.configs if known == version), None)

    def take_config(self, version: int, config: Dict[str, Any]) -> bool:
        """False when it is no newer than the one that is here."""
        if version <= self.config_version:
            return False
        self.configs = [(version, config), *self.configs][:CONFIGS_KEPT]
        return True

    def adopt_epoch(self, epoch: str) -> None:
        """Another store counts its configs by itself: what this one called by a number may be something else there."""
        self.epoch = epoch
        self.configs = []

    def keep_outcome(self, seq: int, outcome: Outcome) -> None:
        self.outcomes[seq] = outcome
        while len(self.outcomes) > OUTCOMES_KEPT:
            del self.outcomes[next(iter(self.outcomes))]

    def to_json(self) -> Dict[str, Any]:
        return {
            "version": _VERSION,
            "epoch": self.epoch,
            "seq": self.seq,
            "credit_s": self.credit_s,
            "ends_at_ms": self.ends_at_ms,
            "granted": self.granted,
            "refused": self.refused,
            "outcomes": [[seq, outcome] for seq, outcome in self.outcomes.items()],
            "configs": self.configs,
        }

    @classmethod
    def from_json(cls, value: Any) -> "State":
        if value["version"] != _VERSION:
            raise ValueError(f"version {value['version']!r}")
        return cls(
            epoch=value["epoch"],
            seq=int(value["seq"]),
            credit_s=int(value["credit_s"]),
            granted=[(str(payment), int(seconds)) for payment, seconds in value["granted"]],
            outcomes={int(seq): outcome for seq, outcome in value["outcomes"]},
            # A state from before these were kept has none of them.
            ends_at_ms=int(value.get("ends_at_ms", 0)),
            refused=[(str(payment), str(reason)) for payment, reason in value.get("refused", [])],
            configs=[(int(version), dict(config)) for version, config in value.get("configs", [])],
        )


class StateFile:
    """Holds a lock beside the file while it is open: two devices on one state would both grant the same payment."""

    def __init__(self, path: Union[str, "os.PathLike[str]"]) -> None:
        self.path = Path(path)
        self._lock = self._take_lock()
        try:
            self.state = self._load()
        except BaseException:
            self.close()
            raise

    def _take_lock(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(str(self.path) + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise StateError(f"{self.path} is in use by another device process: stop it, or give this one its own --state") from None
        return lock

    def _load(self) -> State:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return State()
        try:
            return State.from_json(json.loads(text))
        except (ValueError, KeyError, TypeError) as error:
            # Starting from nothing would grant again what was granted already.
            raise StateError(f"{self.path} is not a device's state ({error}): restore it, or move it away to begin anew") from None

    def save(self) -> None:
        """When this returns, the state outlives a power cut. Before the rename reaches the disk, the old state does."""
        try:
            self._replace(json.dumps(self.state.to_json()))
        except OSError as error:
            # What is in memory is ahead of the disk now: nothing of it may be acked.
            raise StateError(f"{self.path} could not be written ({error}): free the disk, then start again") from error

    def _replace(self, text: str) -> None:
        temporary = str(self.path) + ".new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
