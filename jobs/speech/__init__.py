"""Schedules in words, in every language there is a module for (cron.md §22 row 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final, Protocol

from jobs.speech import chinese, english
from jobs.speech.notes import Language, label, note
from jobs.speech.shape import Dates, Field, Shape, Week

__all__ = ["SPEECHES", "Language", "Speech", "label", "note"]


class Speech(Protocol):
    """What a language must be able to say. Modules keep this promise."""

    @property
    def DAYS(self) -> Sequence[str]:
        """The days of the week, Monday first."""

    @property
    def FIELDS(self) -> Sequence[str]:
        """The fields of an expression, second to year."""

    @property
    def ROUNDS(self) -> Sequence[str]:
        """After what seconds, minutes and hours begin again."""

    def zone(self, name: str, /) -> str:
        """A zone's time."""

    def day(self, at: date, /) -> str:
        """A date."""

    def span(self, value: timedelta, /) -> str:
        """A length of time."""

    def cron(self, shape: Shape, tz: str, /) -> str:
        """A whole expression."""

    def every(self, period: timedelta, anchor: datetime, tz: str, /) -> str:
        """A fixed cadence; the anchor in local time."""

    def once(self, at: datetime, tz: str, /) -> str:
        """A single instant, in local time."""

    def time_field(self, position: int, field: Field, /) -> str:
        """Seconds, minutes or hours."""

    def date_field(self, dates: Dates | None, /) -> str:
        """Days of the month."""

    def month_field(self, months: Sequence[int], /) -> str:
        """Months."""

    def week_field(self, week: Week | None, /) -> str:
        """Days of the week."""

    def year_field(self, years: Sequence[int], /) -> str:
        """Years."""


SPEECHES: Final[Mapping[Language, Speech]] = {
    Language.ENGLISH: english,
    Language.CHINESE: chinese,
}
