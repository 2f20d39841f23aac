"""The calendars of a config, with the .ics files they name read from beside it (cron.md §22)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from engine.config import effective
from engine.config.schema import Config
from jobs.calendar import Calendar, calendars_of, files
from jobs.errors import ConfigInvalid, InvalidInput
from jobs.wallclock import zone

FILE_MOST: Final = 5_000_000  # bytes of one .ics file


def calendars(
    config: Config, folder: Path, now: datetime, host_zone: str
) -> Mapping[str, Calendar]:
    """Return the calendars by name. Raises `ConfigInvalid` with the key and what is wrong."""
    given = config.cron.calendars
    if not given:
        return {}
    tz = config.cron.tz or effective.user_zone(config) or host_zone
    texts = {name: _text(folder / name) for name in files(given)}
    try:
        return calendars_of(given, texts=texts, tz=tz, today=now.astimezone(zone(tz)).date())
    except InvalidInput as error:
        raise ConfigInvalid(
            error.what, why=error.why, fix=error.fix or "correct it: engine config validate"
        ) from error


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > FILE_MOST:
            raise _unread(path, f"it is larger than {FILE_MOST // 1_000_000} MB")
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise _unread(path, why or type(error).__name__) from error


def _unread(path: Path, why: str) -> ConfigInvalid:
    return ConfigInvalid(
        f"the calendar file {path} was not read",
        why=why,
        fix="correct the name under cron.calendars, or put the file there",
    )
