"""What must be true of messages after any number of faults and kills (channels.md §11). Pure.

The documented cases in which nobody can know: a message that is `unknown` was shown or not; one
that ended otherwise after a try whose fate was hidden may have been shown all the same.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.messages.address import Route
from engine.messages.delivery import State
from engine.messages.outbox import TERMINAL

_ENDED: Final = frozenset(state.value for state in TERMINAL)


@dataclass(frozen=True, slots=True)
class Lane:
    """One way to one person; ``keyed``: a repeat with the same key is shown once."""

    route: Route
    keyed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What came of a soak."""

    accepted: int
    states: Mapping[str, int]
    reasons: Mapping[str, int]  # of what was not delivered
    parts: int  # shown by the platforms
    hidden: int  # told as failed or expired after a try whose fate was hidden, and was shown
    unknown_shown: int
    ends: Mapping[str, int]
    faults: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.accepted} accepted, {self.parts} parts shown; lives {dict(self.ends)}\n"
            f"states: {dict(sorted(self.states.items()))}\n"
            f"not delivered, by reason: {dict(sorted(self.reasons.items()))}\n"
            f"unknown that were shown: {self.unknown_shown};"
            f" ended otherwise after a hidden try and shown: {self.hidden}\n"
            f"{len(self.faults)} faults"
        )


def proven(
    accepted: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    shown: Sequence[Sequence[Any]],
    lanes: Sequence[Lane],
    ends: Mapping[str, int],
) -> Proof:
    """Hold the outbox against what the platforms showed."""
    by_key: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for key, index, _ in shown:
        by_key[key][index] += 1
    keyed = {lane.route.lane: lane.keyed for lane in lanes}
    told = [row for row in rows if row["state"] != "delivered"]
    return Proof(
        accepted=len(accepted),
        states=Counter(row["state"] for row in rows),
        reasons=Counter(f"{row['state']}: {row['reason']}" for row in told),
        parts=len(shown),
        hidden=sum(
            row["state"] in ("failed", "expired") and _whole(row, by_key[row["key"]])
            for row in rows
        ),
        unknown_shown=sum(
            row["state"] == "unknown" and _whole(row, by_key[row["key"]]) for row in rows
        ),
        ends=ends,
        faults=(
            *_lost(accepted, rows),
            *(fault for row in rows for fault in _wrong(row, by_key[row["key"]], keyed)),
            *_disordered(rows, shown),
        ),
    )


def _lost(accepted: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    have = Counter(row["key"] for row in rows)
    for key in accepted:
        if have[key] != 1:
            yield f"{key} was accepted and has {have[key]} rows"
    for row in rows:
        if row["state"] not in _ENDED:
            yield f"{row['key']} is still {row['state']}"
        elif row["state"] != "delivered" and not row["reason"]:
            yield f"{row['key']} is {row['state']} and nobody says why"


def _wrong(row: Mapping[str, Any], parts: Counter[int], keyed: Mapping[str, bool]) -> Iterator[str]:
    key, chunks = row["key"], _chunks(row)
    twice = [index for index, count in parts.items() if count > 1]
    if twice:
        kind = "a keyed" if keyed[row["lane"]] else "an unkeyed"
        yield f"parts {twice} of {key} were shown twice on {kind} lane ({row['state']})"
    match State(row["state"]):
        case State.DELIVERED:
            missing = [index for index in range(chunks) if not parts[index]]
            if missing or not chunks:
                yield f"{key} is delivered, and parts {missing} were never shown"
        case State.CANCELLED if parts:
            yield f"{key} was cancelled and shown"
        case State.FAILED | State.EXPIRED if _whole(row, parts) and not _hidden(row):
            yield f"{key} was shown whole and is {row['state']}"
        case _:
            pass


def _hidden(row: Mapping[str, Any]) -> bool:
    """Whether an earlier try may have been obeyed: the platform fell silent, or we died."""
    return bool(row["attempts"] > 1)


def _chunks(row: Mapping[str, Any]) -> int:
    return len(json.loads(row["chunks"])) if row["chunks"] else 0


def _whole(row: Mapping[str, Any], parts: Counter[int]) -> bool:
    chunks = _chunks(row)
    return chunks > 0 and all(parts[index] for index in range(chunks))


def _disordered(rows: Sequence[Mapping[str, Any]], shown: Sequence[Sequence[Any]]) -> Iterator[str]:
    """In one lane nothing is shown before what was accepted before it."""
    place = {row["key"]: (row["lane"], row["id"]) for row in rows}
    newest: dict[str, tuple[int, int]] = {}
    seen: set[tuple[str, int]] = set()
    for key, index, _ in shown:
        if (key, index) in seen or key not in place:
            continue
        seen.add((key, index))
        lane, number = place[key]
        if (number, index) < newest.get(lane, (0, -1)):
            yield f"part {index} of {key} was shown after a later one of its lane"
        newest[lane] = max(newest.get(lane, (0, -1)), (number, index))
