"""Two-stage polls: has anything changed that is worth asking a model about? Pure (§25-15).

What is looked at is gathered by `engine.probing`; here it is compared with what was there when
the agent last looked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any


class ProbeKind(StrEnum):
    """What a probe looks at."""

    COMMAND = "command"
    URL = "url"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One cheap look; ``what`` is a program's words, an address, or a path."""

    name: str
    kind: ProbeKind
    what: tuple[str, ...]
    timeout: timedelta
    runs_if_broken: bool = True  # a probe that cannot look must not silence the agent


@dataclass(frozen=True, slots=True)
class Sight:
    """What a probe saw: a digest of it, or why it could not look."""

    digest: str = ""
    fault: str = ""
    quiet: bool = False  # it says itself that there is nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What a beat's probes found, for its decision and its row."""

    tripped: Mapping[str, str] = field(default_factory=dict)  # name → why
    quiet: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)  # kept once the agent has looked

    @property
    def worth(self) -> bool:
        """Whether the agent is asked."""
        return bool(self.tripped)

    @property
    def because(self) -> str:
        """Say why not."""
        faults = [f"{name} failed: {why}" for name, why in self.failed.items()]
        return "; ".join([f"nothing changed: {', '.join(self.quiet) or 'no probe'}", *faults])

    def facts(self) -> dict[str, Any]:
        """Return it as the row keeps it."""
        told = {"tripped": dict(self.tripped), "quiet": list(self.quiet)}
        return {**told, "failed": dict(self.failed)} if self.failed else told


def compared(probes: Sequence[Probe], seen: Sequence[Sight], before: Mapping[str, str]) -> Probed:
    """Compare what was seen with what was there before."""
    tripped: dict[str, str] = {}
    failed: dict[str, str] = {}
    quiet: list[str] = []
    digests: dict[str, str] = {}
    for probe, sight in zip(probes, seen, strict=True):
        known = before.get(probe.name)
        if sight.fault:
            failed[probe.name] = sight.fault
            if known is not None:
                digests[probe.name] = known
            if probe.runs_if_broken:
                tripped[probe.name] = f"failed: {sight.fault}"
            continue
        if sight.quiet:
            quiet.append(probe.name)
            digests |= {} if known is None else {probe.name: known}
            continue
        digests[probe.name] = sight.digest
        if known is None:
            tripped[probe.name] = "first look"
        elif known != sight.digest:
            tripped[probe.name] = "changed"
        else:
            quiet.append(probe.name)
    return Probed(tripped=tripped, quiet=tuple(quiet), failed=failed, digests=digests)
