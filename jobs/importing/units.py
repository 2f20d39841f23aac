"""Unit files of systemd as values: sections, quoting, time spans, names (systemd.syntax(7))."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final

from jobs.errors import InvalidSchedule, UnreadableSource

_HEAD: Final = re.compile(r"# (?:\S*/)?([^\s/]+\.(?:timer|service)(?:\.d/\S+\.conf)?)")
_SECONDS: Final = {
    **dict.fromkeys(("usec", "us", "µs", "μs"), Decimal("0.000001")),
    **dict.fromkeys(("msec", "ms"), Decimal("0.001")),
    **dict.fromkeys(("seconds", "second", "sec", "s", ""), Decimal(1)),
    **dict.fromkeys(("minutes", "minute", "min", "m"), Decimal(60)),
    **dict.fromkeys(("hours", "hour", "hr", "h"), Decimal(3600)),
    **dict.fromkeys(("days", "day", "d"), Decimal(86_400)),
    **dict.fromkeys(("weeks", "week", "w"), Decimal(604_800)),
    **dict.fromkeys(("months", "month", "M"), Decimal(2_629_800)),  # 30.44 days
    **dict.fromkeys(("years", "year", "y"), Decimal(31_557_600)),  # 365.25 days
}
_SPAN: Final = re.compile(r"\s*(\d{1,12}(?:\.\d{1,9})?)\s*([A-Za-zµμ]*)\s*")
_LONGEST: Final = Decimal(86_400) * 366 * 100
_ESCAPES: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "s": " ",
    "\\": "\\",
    '"': '"',
    "'": "'",
}
_CODE: Final = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit with its drop-ins: what each key of each section was assigned, in order."""

    name: str
    sections: Mapping[str, Mapping[str, tuple[str, ...]]]

    def all(self, section: str, key: str) -> tuple[str, ...]:
        """Return what a key was assigned since it was last emptied."""
        return self.sections.get(section, {}).get(key, ())

    def last(self, section: str, key: str, default: str = "") -> str:
        """Return the assignment that counts."""
        found = self.all(section, key)
        return found[-1] if found else default

    def on(self, section: str, key: str, *, default: bool = False) -> bool:
        """Return a yes or no."""
        word = self.last(section, key).lower()
        return word in ("1", "yes", "y", "true", "t", "on") if word else default

    def keys(self, section: str) -> tuple[str, ...]:
        """Return the keys that say something."""
        return tuple(key for key, values in self.sections.get(section, {}).items() if values)


def parsed(name: str, texts: Sequence[str]) -> Unit:
    """Return the unit that a file and its drop-ins describe, read one after the other.

    Raises `UnreadableSource` with the line that is none of a unit file.
    """
    sections: dict[str, dict[str, tuple[str, ...]]] = {}
    for text in texts:
        section: dict[str, tuple[str, ...]] | None = None
        for number, line in _lines(text):
            if line.startswith("[") and line.endswith("]"):
                section = sections.setdefault(line[1:-1].strip(), {})
                continue
            key, equals, value = line.partition("=")
            if section is None or not equals or not key.strip():
                raise UnreadableSource(
                    f"{name} cannot be read",
                    why=f"line {number} is neither a [section] nor key=value: {line[:60]!r}",
                    fix=f"systemd-analyze verify {name}",
                )
            key, value = key.strip(), value.strip()
            section[key] = (*section.get(key, ()), value) if value else ()
    return Unit(name, sections)


def _lines(text: str) -> list[tuple[int, str]]:
    """Return the lines that say something; a backslash at the end joins the next one."""
    found: list[tuple[int, str]] = []
    begun, at = "", 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.rstrip("\r")
        if line.lstrip().startswith(("#", ";")):
            continue  # a comment does not even end a continued line
        if not begun:
            at = number
        if line.endswith("\\"):
            begun += line[:-1] + " "
            continue
        if whole := (begun + line).strip():
            found.append((at, whole))
        begun = ""
    if begun.strip():
        found.append((at, begun.strip()))
    return found


def apart(text: str) -> dict[str, list[str]]:
    """Return the units of `systemctl cat`: each file begins with a comment that is its path.

    Nothing, if the text is one file.
    """
    units: dict[str, list[str]] = {}
    lines: list[str] | None = None
    files: list[tuple[str, list[str]]] = []
    for line in text.split("\n"):
        if (found := _HEAD.fullmatch(line.rstrip("\r"))) is not None:
            lines = []
            files.append((found[1].partition(".d/")[0], lines))
        elif lines is not None:
            lines.append(line)
    for name, body in files:
        units.setdefault(name, []).append("\n".join(body))
    return units


def span(text: str) -> timedelta | None:
    """Return a time span (`1h 30min`, `90`), None for infinity. Raises `InvalidSchedule`."""
    if text.strip() == "infinity":
        return None
    total, at = Decimal(0), 0
    while at < len(text) and (found := _SPAN.match(text, at)) is not None:
        if found[2] not in _SECONDS:
            break
        total += Decimal(found[1]) * _SECONDS[found[2]]
        at = found.end()
    if at < len(text) or not text.strip() or total > _LONGEST:
        raise InvalidSchedule(
            f"time span {text!r} cannot be read", fix="compare with: systemd-analyze timespan"
        )
    return timedelta(milliseconds=int(total * 1000))


def words(line: str) -> list[str]:
    r"""Split as systemd does: quotes, escapes like in C. Raises `ValueError` for an open quote.

    A semicolon of a word's own that was escaped stays `\;`: a bare one ends a command.
    """
    found: list[str] = []
    word, quote, at = "", "", 0
    begun = False
    while at < len(line):
        sign = line[at]
        if sign == "\\" and at + 1 < len(line):
            text, length = _escaped(line, at + 1)
            word, at, begun = word + text, at + 1 + length, True
            continue
        at += 1
        if quote:
            if sign == quote:
                quote = ""
            else:
                word += sign
        elif sign in "\"'":
            quote, begun = sign, True
        elif sign in " \t\n\r":
            if begun:
                found.append(word)
            word, begun = "", False
        else:
            word, begun = word + sign, True
    if quote:
        raise ValueError(f"a {quote} is not closed")
    return [*found, word] if begun else found


def _escaped(line: str, at: int) -> tuple[str, int]:
    """Return what stands behind a backslash, and how many characters that is."""
    if line[at] in _ESCAPES:
        return _ESCAPES[line[at]], 1
    found = _CODE.match(line, at)
    if found is None:
        return "\\" + line[at], 1
    code = int(next(part for part in found.groups()[:3] if part), 16) if not found[4] else 0
    code = int(found[4], 8) if found[4] else code
    if not 0 < code < 0x110000 or 0xD800 <= code < 0xE000:
        raise ValueError(f"\\{found[0]} is no character")
    return chr(code), len(found[0])


def named(template: str, unit: str) -> str:
    """Return the specifier's value that follows from a unit's name alone, or `KeyError`."""
    whole, _, kind = unit.rpartition(".")
    prefix, at, instance = whole.partition("@")
    values = {
        "n": unit,
        "N": whole,
        "p": prefix,
        "P": _unescaped(prefix),
        "i": instance if at else "",
        "I": _unescaped(instance),
        "j": prefix.rpartition("-")[2],
        "%": "%",
    }
    if not kind:
        raise KeyError(template)
    return values[template]


def _unescaped(name: str) -> str:
    """Undo systemd-escape: a dash is a slash, `\\x2d` is a dash."""
    slashes = name.replace("-", "/")
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), slashes)
