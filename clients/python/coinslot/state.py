"""What a device must not forget, in one file that is replaced whole.

Sequence number, credit, the payments granted and the outcomes not yet noted change in one atomic, synced write. So after a power cut
at any instant the device either has a payment with its credit, or has neither and gets it again.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

GRANTED_KEPT = 64  # payments: a store that was rolled back may send one again under another seq
OUTCOMES_KEPT = 256  # the protocol asks for at least the last 16

_VERSION = 1


class StateError(Exception):
    """The file can't be used; the text says why and what to do."""


@dataclass
class State:
    epoch: Optional[str] = None  # of the store that seq belongs to
    seq: int = 0  # everything up to here is in credit_s, refused, or announced as a gap
    credit_s: int = 0  # seconds granted, ever
    granted: List[Tuple[str, int]] = field(default_factory=list)  # (payment, seconds), oldest first
    outcomes: Dict[int, Union[int, str]] = field(default_factory=dict)  # seq: seconds, or the reason of a refusal

    def granted_seconds(self, payment: str) -> Optional[int]:
        """What this payment was given already; None when it is new."""
        return next((seconds for known, seconds in self.granted if known == payment), None)

    def grant(self, payment: str, seconds: int) -> None:
        self.credit_s += seconds
        self.granted.append((payment, seconds))
        del self.granted[:-GRANTED_KEPT]

    def keep_outcome(self, seq: int, outcome: Union[int, str]) -> None:
        self.outcomes[seq] = outcome
        while len(self.outcomes) > OUTCOMES_KEPT:
            del self.outcomes[next(iter(self.outcomes))]

    def to_json(self) -> Dict[str, Any]:
        return {
            "version": _VERSION,
            "epoch": self.epoch,
            "seq": self.seq,
            "credit_s": self.credit_s,
            "granted": self.granted,
            "outcomes": [[seq, outcome] for seq, outcome in self.outcomes.items()],
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
