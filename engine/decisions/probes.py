"""Two-stage polls: has anything changed that is worth asking a model about? Pure (§25-15).

What is looked at is gathered by `engine.beats.probing`; here it is compared with what was
there when the agent last looked.
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
    MAIL = "mail"


class MailSecurity(StrEnum):
    """How the way to a mail server is kept from others."""

    TLS = "tls"
    STARTTLS = "starttls"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """A folder of an IMAP account, and how it is reached."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    folder: str
    security: MailSecurity


@dataclass(frozen=True, slots=True, kw_only=True)
class MailCount:
    """What a server says of a folder (RFC 9051 §6.3.11)."""

    unseen: int
    next_uid: int
    validity: int  # another one: the folder was made anew, and its numbers begin again

    def sight(self) -> Sight:
        """As a probe sees it: mail that all was read is nothing to look at."""
        return Sight(
            digest=f"{self.validity}/{self.next_uid}/{self.unseen}",
            quiet=self.unseen == 0,
            told=f"{self.unseen} unseen",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One cheap look; ``what`` is a program's words, an address, or a path; of mail, nothing."""

    name: str
    kind: ProbeKind
    what: tuple[str, ...]
    timeout: timedelta
    mailbox: Mailbox | None = None
    runs_if_broken: bool = True  # a probe that cannot look must not silence the agent


@dataclass(frozen=True, slots=True)
class Sight:
    """What a probe saw: a digest of it, or why it could not look."""

    digest: str = ""
    fault: str = ""
    quiet: bool = False  # it says itself that there is nothing
    told: str = ""  # how much there is, for the record


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What a beat's probes found, for its decision and its row."""

    tripped: Mapping[str, str] = field(default_factory=dict)  # name → why
    quiet: tuple[str, ...] = ()
    told: Mapping[str, str] = field(default_factory=dict)  # name → how much there is
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
        quiet = [_with(name, self.told.get(name, "")) for name in self.quiet]
        return "; ".join([f"nothing changed: {', '.join(quiet) or 'no probe'}", *faults])

    def facts(self) -> dict[str, Any]:
        """Return it as the row keeps it."""
        told: dict[str, Any] = {"tripped": dict(self.tripped), "quiet": list(self.quiet)}
        told |= {"told": dict(self.told)} if self.told else {}
        return {**told, "failed": dict(self.failed)} if self.failed else told


def _with(name: str, told: str) -> str:
    return f"{name} ({told})" if told else name


def compared(probes: Sequence[Probe], seen: Sequence[Sight], before: Mapping[str, str]) -> Probed:
    """Compare what was seen with what was there before."""
    tripped: dict[str, str] = {}
    failed: dict[str, str] = {}
    quiet: list[str] = []
    digests: dict[str, str] = {}
    told = {p.name: sight.told for p, sight in zip(probes, seen, strict=True) if sight.told}
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
            tripped[probe.name] = _with("first look", sight.told)
        elif known != sight.digest:
            tripped[probe.name] = _with("changed", sight.told)
        else:
            quiet.append(probe.name)
    return Probed(tripped=tripped, quiet=tuple(quiet), told=told, failed=failed, digests=digests)
