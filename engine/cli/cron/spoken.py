"""A schedule in people's words: understood, and said back before it is saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import click

from engine.cli.render import stamp
from jobs.errors import InvalidSchedule, UsageError
from jobs.wallclock import ms, zone

SLOTS: Final = 3


def schedule(
    text: str, now: datetime, default_zone: Callable[[], str], *, asked: str | None = None
) -> str | dict[str, Any]:
    """Return what words mean, in the wire's shape; a text that is written out comes back as it is.

    What was understood of words is told on standard error, with the next slots. Whatever looks
    written is the gateway's to judge, and so is the zone where neither the words nor a flag
    name one: ``default_zone`` asks which that is. ``asked`` is the zone of a flag: the words may
    name no other. Raises `InvalidSchedule`.
    """
    from jobs.explain import schedule_of
    from jobs.spoken import is_spoken, understand

    try:
        schedule_of(text, now=now, tz=asked or "UTC")
        return text
    except InvalidSchedule:
        if not is_spoken(text) or _fields(text):
            return text
    spoken = understand(text, now=now, tz=asked or default_zone(), slots=SLOTS)
    if asked is not None and zone(asked) is not zone(spoken.tz):
        raise UsageError(
            f"{text!r} names another zone than --tz",
            why=f"it is {spoken.tz} in one and {asked} in the other",
            fix="leave one of them out",
        )
    where = zone(spoken.tz)
    slots = [stamp(ms(slot.occurrence.instant), where) for slot in spoken.explanation.slots]
    click.echo(f"understood: {spoken.understood}", err=True)
    told = f"{_words(spoken.schedule)}; next: {', '.join(slots)} ({where.key})"
    click.echo(f"that is {told}", err=True)
    wire = dict(spoken.schedule)
    if asked is None and not spoken.names_zone:
        wire.pop("tz", None)
    return wire


def _fields(text: str) -> bool:
    """Whether it is a cron expression that only has a mistake in it, or an alias."""
    words = text.split()
    if text.startswith("@"):
        return True
    return len(words) in (5, 6, 7) and any(sign in words[0] for sign in "*/0123456789")


def _words(wire: Mapping[str, Any]) -> str:
    from engine.cli.cron.words import schedule_words

    return schedule_words(wire)
