"""How times are written for an agent: in whose zone, on a clock of 12 or of 24 hours. Pure.

heartbeat.md §2.4: `userTimezone`, `envelopeTimezone`, `timeFormat`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Dial:
    """The clock an agent is shown."""

    zone: ZoneInfo  # of its person
    stamps: ZoneInfo | None = None  # of what is told of events; None: the person's
    twelve: bool = False

    def told(self, now: datetime) -> str:
        """Return the current time, in both clocks."""
        local = now.astimezone(self.zone)
        clock = f"{local:%I:%M %p}" if self.twelve else f"{local:%H:%M}"
        return (
            f"{local:%A %Y-%m-%d} {clock} ({self.zone.key}) /"
            f" {now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        )

    def stamp(self, at: datetime) -> str:
        """Return when something happened, to the second."""
        zone = self.stamps or self.zone
        local = at.astimezone(zone)
        clock = f"{local:%I:%M:%S %p}" if self.twelve else f"{local:%H:%M:%S}"
        return f"{local:%Y-%m-%d} {clock} {zone.key}"
