"""What a reader found: jobs to be, and what could not be brought over as it was. Values only."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from jobs.importing.past import tallied

QUOTED: Final = 200  # characters of the original a remark repeats
_NO_ID: Final = re.compile(r"[^A-Za-z0-9._:-]+")


class Weight(StrEnum):
    """How much of what stood there is lost."""

    NOTE = "note"  # it does what it did; worth knowing
    CHANGED = "changed"  # it runs, and not everything about it is as it was
    HELD = "held"  # brought over switched off: it might do something else than before
    LEFT_OUT = "left-out"  # not brought over


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One thing that is not as it was: where it stands, why, and what to do about it."""

    weight: Weight
    where: str
    why: str
    fix: str = ""
    text: str = ""  # the original, so that nothing is lost

    def to_json(self) -> dict[str, str]:
        """Return it as `--json` prints it."""
        told = {
            "weight": self.weight.value,
            "where": self.where,
            "why": self.why,
            "fix": self.fix,
            "text": self.text,
        }
        return {key: value for key, value in told.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One job to be: ``job`` is what `jobs.edit.create` takes, ``key`` its lasting identity.

    ``state`` has keys of cron.md §1.2, ``runs`` are entries of its run log (§11.4); both are
    what it did before it came here.
    """

    key: str
    where: str
    job: Mapping[str, Any]
    state: Mapping[str, Any] = field(default_factory=dict)
    runs: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as it goes to the desk."""
        told: dict[str, Any] = {"key": self.key, "where": self.where, "job": dict(self.job)}
        if state := tallied(self.state, self.runs):
            told["state"] = state
        if self.runs:
            told["runs"] = [dict(run) for run in self.runs]
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a source says."""

    kind: str
    entries: tuple[Entry, ...] = ()
    remarks: tuple[Remark, ...] = ()

    def count(self, weight: Weight) -> int:
        """Return how many remarks weigh so much."""
        return sum(remark.weight is weight for remark in self.remarks)


class Notes:
    """Remarks as a reader comes across them."""

    def __init__(self) -> None:
        self._remarks: list[Remark] = []

    def add(self, weight: Weight, where: str, why: str, fix: str = "", text: str = "") -> None:
        """Keep one; what was said before about the same place is not said twice."""
        remark = Remark(weight=weight, where=where, why=why, fix=fix, text=shortened(text))
        if remark not in self._remarks:
            self._remarks.append(remark)

    @property
    def all(self) -> tuple[Remark, ...]:
        """What was remarked, in the order of the source."""
        return tuple(self._remarks)


def key_of(kind: str, ident: str) -> str:
    """Return the declaration key under which importing again converges; 200 characters at most."""
    key = f"import:{kind}:{ident}"
    return key if len(key) <= 200 else f"import:{kind}:{digest(ident)}"


def job_id(kind: str, ident: str) -> str:
    """Return an id made of what the source calls the job, for sources that have none of ours."""
    made = f"{kind}-{_NO_ID.sub('-', ident)}"
    return made if len(made) <= 100 and made == f"{kind}-{ident}" else f"{kind}-{digest(ident)}"


def digest(*parts: str) -> str:
    """Return twelve hex digits that stand for these texts."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def shortened(text: str, most: int = QUOTED) -> str:
    """Return the text, cut where it is long."""
    return text if len(text) <= most else f"{text[:most]}…"


def unique(entries: Sequence[Entry], notes: Notes) -> tuple[Entry, ...]:
    """Return the entries, of several with one key only the last; that is remarked."""
    often = Counter(entry.key for entry in entries)
    kept: dict[str, Entry] = {}
    for entry in entries:
        if entry.key in kept and often[entry.key] > 1:
            notes.add(
                Weight.LEFT_OUT,
                kept[entry.key].where,
                f"{entry.where} has the same id: that one was taken",
                "give one of them another id",
            )
        kept[entry.key] = entry
    return tuple(kept.values())


def listed(words: Iterable[str]) -> str:
    """Return words for a sentence."""
    return ", ".join(words)
