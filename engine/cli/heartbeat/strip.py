"""Beats drawn: a line for each local day, a sign for each quarter of an hour (heartbeat.md §25-1).

Where the terminal is narrow a sign stands for longer. An hour that the clocks repeat lies in
the same place twice.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

import click

from engine.cli.render import colours, pad
from jobs.wallclock import at

_DAY: Final = 1440
_CELLS: Final = (15, 30, 60, 120, 180, 240, 360, 720, 1440)  # minutes
_HOLE: Final = "hole"
_MARGIN: Final = 11  # cells before a strip: `  Sat 11-21 `


@dataclass(frozen=True, slots=True)
class Signs:
    """What a strip is drawn with, the most telling kind first."""

    kinds: Mapping[str, str]
    active: str  # active hours with nothing in them
    colour: bool = False


# kind → what it means, in the order in which one hides another in the same cell
_MEANS: Final[Mapping[str, str]] = {
    _HOLE: "no row",
    "failed": "failed",
    "missed": "missed",
    "unsent": "said, not sent",
    "sent": "message sent",
    "open": "not over yet",
    "ran": "ran, nothing to say",
    "skipped": "skipped",
    "quiet": "quiet hours",
}
_UNICODE: Final = dict(zip(_MEANS, "!✗▽○●…•·░", strict=True))
_ASCII: Final = dict(zip(_MEANS, "!xmuS~o.-", strict=True))
_COLOURS: Final = {
    _HOLE: "red", "failed": "red", "missed": "red", "unsent": "yellow", "sent": "green",
    "open": "cyan", "quiet": "bright_black", "skipped": "bright_black",
}  # fmt: skip


def signs(*, plain: bool) -> Signs:
    """Return the signs this terminal takes; ASCII if that was asked for, or it takes no others."""
    if plain or not _takes("".join(_UNICODE.values()) + "─"):
        return Signs(_ASCII, "_", colours())
    return Signs(_UNICODE, "─", colours())


def _takes(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def lines(
    told: Mapping[str, Any], agent: Mapping[str, Any], where: ZoneInfo, signs: Signs, room: int
) -> Iterator[str]:
    """Draw an agent's beats, a line for each day that has any."""
    minutes = minutes_of(room)
    found: dict[date, dict[int, set[str]]] = {}
    for at_ms, kind in _marks(agent):
        day, cell = _place(at_ms, minutes, where)
        found.setdefault(day, {}).setdefault(cell, set()).add(kind)
    active = set(_active(told, agent, minutes, where))
    yield f"{' ' * _MARGIN}{_ruler(minutes)}"
    for day in sorted(found):
        drawn = (
            _sign(found[day].get(cell), signs, (day, cell) in active)
            for cell in range(_DAY // minutes)
        )
        yield f"{pad(f'  {day:%a %m-%d}', _MARGIN)}{''.join(drawn)}".rstrip()


def legend(agents: Sequence[Mapping[str, Any]], minutes: int, signs: Signs) -> str:
    """Say what the signs mean that were drawn."""
    seen = {kind for agent in agents for _, kind in _marks(agent)}
    told = [f"{_painted(kind, signs)} {means}" for kind, means in _MEANS.items() if kind in seen]
    if any(agent.get("activeHours") for agent in agents):
        told.append(f"{signs.active} active hours")
    return f"{', '.join(told)}. A sign is {minutes} minutes."


def minutes_of(room: int) -> int:
    """Return how long a sign stands for, with this much room for a day."""
    return next((one for one in _CELLS if _DAY // one <= max(room - _MARGIN, 1)), _DAY)


def _sign(kinds: set[str] | None, signs: Signs, active: bool) -> str:
    if not kinds:
        return signs.active if active else " "
    return _painted(next(kind for kind in _MEANS if kind in kinds), signs)


def _painted(kind: str, signs: Signs) -> str:
    sign, colour = signs.kinds[kind], _COLOURS.get(kind)
    return click.style(sign, fg=colour) if signs.colour and colour else sign


def _marks(agent: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield where something is to be drawn, and what."""
    for cell in agent["cells"]:
        yield from ((cell["atMs"], kind) for kind in cell["kinds"])
    for hole in agent["holes"]:
        yield from ((hole[key], _HOLE) for key in ("fromMs", "toMs"))


def _active(
    told: Mapping[str, Any], agent: Mapping[str, Any], minutes: int, where: ZoneInfo
) -> Iterator[tuple[date, int]]:
    """Yield the places of the active hours, as far as the window goes."""
    for window in agent.get("activeHours") or ():
        first = max(window["fromMs"], told["sinceMs"])
        last = min(window["untilMs"], told["untilMs"])
        for at_ms in range(first, last, minutes * 60_000):
            yield _place(at_ms, minutes, where)


def _place(at_ms: int, minutes: int, where: ZoneInfo) -> tuple[date, int]:
    local = at(at_ms).astimezone(where)
    return local.date(), (local.hour * 60 + local.minute) // minutes


def _ruler(minutes: int) -> str:
    """Hours above the strips, as many as there is room for."""
    found, free = [" "] * (_DAY // minutes + 2), 0
    for cell in range(_DAY // minutes):
        hour, past = divmod(cell * minutes, 60)
        if not past and cell >= free and not hour % 2:
            found[cell : cell + 2] = f"{hour:02}"
            free = cell + 4
    return "".join(found).rstrip()
