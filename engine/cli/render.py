"""How answers look: tables, durations, relative times. Plain when piped, a little more on a TTY.

rich is imported only for a terminal that wants colours (operations.md §14.2).
"""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.messages.said import BIDI
from jobs.wallclock import at

PIPED_WIDTH: Final = 100
NOTHING: Final = "-"
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
_MINUTE: Final = 60
_UNCUT: Final = 1_000_000  # cells: a program that reads a table wants all of it
_GAP: Final = "  "
_INDENT: Final = "    "
_LEAST: Final = 6  # a column is never squeezed below this


# -- values ----------------------------------------------------------------------------------


def duration(ms: float | None) -> str:
    """`850 ms`, `11.0 s`, `1h30m`, `2d`: at most two units."""
    if ms is None:
        return NOTHING
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    return _coarse(int(ms // 1000))


def _coarse(seconds: int) -> str:
    for size, unit in _UNITS:
        if seconds >= size:
            rest = seconds % size
            below = next(((s, u) for s, u in _UNITS if s < size), None)
            tail = "" if below is None or rest < below[0] else f"{rest // below[0]}{below[1]}"
            return f"{seconds // size}{unit}{tail}"
    return "0s"


def relative(at_ms: int | None, now: datetime) -> str:
    """`in 5m`, `in 1h59m`, `2h ago`, `now`, `-` (cron.md §16)."""
    if at_ms is None:
        return NOTHING
    seconds = (at(at_ms) - now).total_seconds()
    whole = int(abs(seconds))
    if not whole:
        return "now"
    count = _coarse(whole if whole < _MINUTE else whole // _MINUTE * _MINUTE)
    return f"in {count}" if seconds > 0 else f"{count} ago"


def stamp(at_ms: int | None, zone: ZoneInfo | None, now: datetime | None = None) -> str:
    """Local date and time; the time alone for today."""
    if at_ms is None:
        return NOTHING
    local = at(at_ms).astimezone(zone or UTC)
    today = now is not None and now.astimezone(zone or UTC).date() == local.date()
    return f"{local:%H:%M:%S}" if today else f"{local:%Y-%m-%d %H:%M:%S}"


def size(count: int) -> str:
    """`812 B`, `4.1 kB`, `37 MB`: bytes in decimal units, two digits where they tell something."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"


def plain(text: object) -> str:
    """Text from elsewhere without what would steer the terminal."""
    return "".join(
        c
        for c in str(text)
        if c in "\n\t" or (unicodedata.category(c) not in ("Cc", "Cs") and c not in BIDI)
    )


def one_line(text: object, width: int | None = None) -> str:
    """Everything on one line, cut to cells."""
    line = " ".join(plain(text).split())
    return line if width is None else cut(line, width)


# -- width -----------------------------------------------------------------------------------


@cache
def _cell(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cells(text: str) -> int:
    """How many terminal cells a line takes; CJK and emoji take two."""
    return len(text) if text.isascii() else sum(map(_cell, text))


def cut(text: str, width: int) -> str:
    """The text in at most ``width`` cells, with `…` where it was cut."""
    if cells(text) <= width:
        return text
    kept, used = [], 0
    for char in text:
        used += _cell(char)
        if used > width - 1:
            break
        kept.append(char)
    return f"{''.join(kept)}…"


def pad(text: str, width: int) -> str:
    """The text filled with spaces to ``width`` cells."""
    return text + " " * max(0, width - cells(text))


def width() -> int:
    """Columns of the terminal, 100 when piped."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPED_WIDTH


def colours() -> bool:
    """Whether standard output takes colours (operations.md §14.2)."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and sys.stdout.isatty()


# -- tables ----------------------------------------------------------------------------------


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    room: int | None = None,
    keep: int = 0,
    spare: Sequence[str] = (),
) -> str:
    """Columns as wide as they need. Where room is short the ``spare`` ones go, in their order;
    then the widest give way, but never the first ``keep``: those are there to be pasted.
    """
    body = [[one_line(cell) or NOTHING for cell in row] for row in rows]
    lines = _fitting([list(headers), *body], room or width(), spare)
    widths = [max(map(cells, column)) for column in zip(*lines, strict=True)]
    _squeeze(widths, room or width(), keep)
    return "\n".join(
        _GAP.join(pad(cut(c, w), w) for c, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def noted(
    headers: Sequence[str], rows: Sequence[Sequence[object]], notes: Sequence[str], *, room: int
) -> str:
    """A table whose rows have a sentence each, whole, on lines of its own below the row."""
    head, *lines = table(headers, rows, room=room).split("\n")
    told = [head]
    for line, note in zip(lines, notes, strict=True):
        told.append(line)
        told += _wrapped(one_line(note), room - len(_INDENT))
    return "\n".join(told)


def _wrapped(text: str, room: int) -> list[str]:
    """The text broken between words, by cells; a word that is too long is broken itself."""
    lines, line = [], ""
    for word in text.split():
        if line and cells(line) + 1 + cells(word) > room:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else word
        while cells(line) > room:
            head = cut(line, room).removesuffix("…")
            lines.append(head)
            line = line[len(head) :]
    return [f"{_INDENT}{one}" for one in (*lines, line) if one]


def _fitting(lines: list[list[str]], room: int, spare: Sequence[str]) -> list[list[str]]:
    """The lines without the columns that can be spared, as long as there is too little room."""
    for name in spare:
        widths = [max(map(cells, column)) for column in zip(*lines, strict=True)]
        if sum(widths) + len(_GAP) * (len(widths) - 1) <= room:
            break
        gone = lines[0].index(name)
        lines = [line[:gone] + line[gone + 1 :] for line in lines]
    return lines


def _squeeze(widths: list[int], room: int, keep: int) -> None:
    while sum(widths) + len(_GAP) * (len(widths) - 1) > room:
        loose = [i for i in range(keep, len(widths)) if widths[i] > _LEAST]
        if not loose:
            return
        widths[max(loose, key=lambda i: widths[i])] -= 1


def facts(rows: Mapping[str, object]) -> str:
    """`key: value` lines, values aligned."""
    room = max(map(cells, rows), default=0) + 1
    return "\n".join(f"{pad(f'{key}:', room)} {one_line(value)}" for key, value in rows.items())


def show_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    keep: int = 0,
    spare: Sequence[str] = (),
) -> None:
    """Print a table: with a bold head on a terminal with colours; piped, nothing is cut."""
    room = None if sys.stdout.isatty() else _UNCUT
    text = table(headers, rows, room=room, keep=keep, spare=spare)
    if not colours():
        sys.stdout.write(f"{text}\n")
        return
    from rich.console import Console
    from rich.text import Text

    head, _, body = text.partition("\n")
    drawn = Text.assemble((head, "bold"), "\n", body)
    Console(highlight=False, soft_wrap=True).print(drawn)


def way_words(route: Mapping[str, Any]) -> str:
    """Where a message goes, in a few words: `telegram/second → -100123, topic 7`."""
    account, topic = route.get("accountId"), route.get("threadId")
    whose = f"/{account}" if account not in (None, "", "default") else ""
    behind = f", topic {topic}" if topic else ""
    return f"{route.get('channel')}{whose} → {route.get('to')}{behind}"
