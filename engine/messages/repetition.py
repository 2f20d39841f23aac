"""When is a text the same again, and what is said about it then (heartbeat.md §13.2). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_COUNT: Final = re.compile(r"\n\(repeated \d+× since [0-9: -]+\)\Z")


_LINK: Final = re.compile(r"https?://\S+")
_FIGURE: Final = re.compile(r"\d+(?:[.,:/-]\d+)*")  # numbers, times of day, dates


@dataclass(frozen=True, slots=True)
class Sent:
    """When a text last went somewhere, and how often it was held back there since."""

    at: datetime
    suppressed: int

    def within(self, window: timedelta | None, now: datetime) -> bool:
        """Whether that is so short ago that saying it again is noise; no window: it never is."""
        # One later than now was written by a clock that has been set back since.
        return window is not None and self.at <= now < self.at + window

    def counted(self, text: str, zone: ZoneInfo) -> str:
        """Return the text with how often it was held back, if it was."""
        if not self.suppressed:
            return text
        since = self.at.astimezone(zone)
        return f"{text}\n(repeated {self.suppressed}× since {since:%Y-%m-%d %H:%M})"


def uncounted(text: str) -> str:
    """Return a text without the count of its repetitions: what makes it the same again."""
    return _COUNT.sub("", text.strip())


def normalised(text: str) -> str:
    """Return a text without what differs each time: figures, times, links, the order of lines."""
    plain = _FIGURE.sub("#", _LINK.sub("<link>", uncounted(text).casefold()))
    return "\n".join(sorted(" ".join(line.split()) for line in plain.splitlines() if line.strip()))


def the_same(text: str, *, loosely: bool) -> str:
    """Return what two texts have in common that are the same again (`dedupe` of the config)."""
    return normalised(text) if loosely else uncounted(text)


def ordinal(number: int) -> str:
    """Return `3rd` for 3."""
    teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
