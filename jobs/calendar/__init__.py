"""Named sets of days: holidays, trading days, make-up working days, .ics files. Pure."""

from __future__ import annotations

from jobs.calendar.days import Calendar, Verdict, judge, moved
from jobs.calendar.written import calendars_of, files

__all__ = ["Calendar", "Verdict", "calendars_of", "files", "judge", "moved"]
