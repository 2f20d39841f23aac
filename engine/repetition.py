"""When is a text the same again, and what is said about it then (heartbeat.md §13.2). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_COUNT: Final = re.compile(r"\n\(repeated \d+× since [0-9: -]+\)\Z")


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
