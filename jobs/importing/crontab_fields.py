"""The five fields of crontab(5) in our dialect: what reads alike but means something else.

vixie cron takes both day fields together as soon as one begins with a star; cronie draws `~`
anew at every load; a step longer than its field names the first value only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from jobs import cron
from jobs.errors import InvalidSchedule
from jobs.importing.report import Weight

ALIASES: Final = frozenset(
    {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
)
_TIMES: Final = re.compile(
    r"-?[0-9*~][0-9*,/~-]*\s+[0-9*~][0-9*,/~-]*(\s+[0-9A-Za-z*,/~?#-]+){3}\s"
)
_RANGES: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_NAMES: Final = ("minute", "hour", "day of month", "month", "day of week")
_DOM, _DOW = 2, 4
_STEPPED: Final = re.compile(r"(\*|[0-9A-Za-z]+(?:-[0-9A-Za-z]+)?)/(\d{1,9})")
_RANDOM: Final = re.compile(r"(\d{0,4})~(\d{0,4})(/\d{1,4})?")

Said = tuple[Weight, str, str]  # how much is lost, why, what to do


@dataclass(frozen=True, slots=True)
class Fields:
    """An expression of ours that fires when the crontab's would."""

    expr: str
    both_days: bool = False
    remarks: tuple[Said, ...] = ()


def timed(line: str) -> bool:
    """Tell whether a line begins like one that runs something."""
    return line.startswith("@") or _TIMES.match(line) is not None


def translated(words: str) -> Fields:
    """Return five fields in our dialect. Raises `InvalidSchedule` for what cron cannot read."""
    fields = words.split()
    remarks: list[Said] = []
    made = [_field(place, word, remarks) for place, word in enumerate(fields)]
    dom, dow = made[_DOM], made[_DOW]
    both = "*" not in (dom, dow) and (dom.startswith("*") or dow.startswith("*"))
    if both:
        remarks.append(_STARRED)
    elif "*" not in (dom, dow) and "?" not in (dom, dow):
        remarks.append(_EITHER)
    expr = " ".join(made)
    cron.parse(expr, hash_id="import", day_match="and" if both else "or")
    return Fields(expr, both, tuple(remarks))


_STARRED: Final = (
    Weight.NOTE,
    "one day field begins with a star: cron then wants both to match, and so does dayMatch and",
    "engine cron next, with the expression, shows the days",
)
_EITHER: Final = (
    Weight.NOTE,
    "both day fields are restricted: it fires on days that match either, as under cron",
    "",
)


def _field(place: int, word: str, remarks: list[Said]) -> str:
    return ",".join(_token(place, token, remarks) for token in word.split(","))


def _token(place: int, token: str, remarks: list[Said]) -> str:
    if "~" in token:
        return _random(place, token, remarks)
    found = _STEPPED.fullmatch(token)
    if found is None:
        return token
    low, high = _RANGES[place]
    if int(found[2]) <= high - low:
        return token
    return str(low) if found[1] == "*" else found[1].partition("-")[0]


def _random(place: int, token: str, remarks: list[Said]) -> str:
    found = _RANDOM.fullmatch(token)
    low, high = _RANGES[place]
    if place == _DOW:
        high = 6
    first, last = (int(found[1] or low), int(found[2] or high)) if found else (1, 0)
    if found is None or found[3] or not low <= first <= last <= high:
        raise InvalidSchedule(
            f'{_NAMES[place]}: "{token}" cannot be read (field {place + 1})',
            fix=f"write {low}~{high}, or a number",
        )
    why = (
        f'{_NAMES[place]}: "{token}" is drawn anew whenever cron starts; here it is chosen once (H)'
    )
    remarks.append((Weight.CHANGED, why, ""))
    whole = (first, last) == (low, high)
    return "H" if whole else f"H({first}-{last})"
