"""Deliberate refusals: the base class and the ones every floor shares.

EngineError                what, why, fix; code; exit status
├── UsageError             the caller asked for something that has no meaning (exit 2)
├── InvalidInput           a value was refused before anything changed
│   ├── InvalidSchedule    an expression, interval, instant or zone
│   ├── InvalidJob         a job definition or patch (cron.md §17)
│   └── UnreadableSource   what was to be imported is not what it was said to be
├── NotFound               no such job, run, agent, message (exit 6)
│   └── JobNotFound
├── Conflict               somebody else changed it first
├── ConfigOwned            the job belongs to the config file (cron.md §13)
├── ConfigInvalid          engine.json cannot be used (exit 78)
├── OwnershipRefused       port, lock or database belongs to another (exit 78)
├── StoreTooNew            the database, or the config, was written by a newer engine (exit 78)
├── StoreUnavailable       the disk refuses (full, read-only, gone)
│   └── StoreUnusable      the file is broken, or nobody's we know (exit 78)
├── GatewayDown            nothing listens (exit 3)
├── AccessRefused          auth, scope, pairing (exit 4)
└── TimedOut               (exit 5)
"""

from __future__ import annotations

from typing import ClassVar


class EngineError(Exception):
    """Base class. ``code`` is stable and documented; the wording is not.

    ``what`` names the thing and what did not happen, ``why`` quotes the cause,
    ``fix`` is one thing to do next, pasteable where it is a command.
    """

    code: ClassVar[str] = "internal"
    exit_status: ClassVar[int] = 1

    def __init__(self, what: str, *, why: str = "", fix: str = "", **detail: object) -> None:
        self.what = what
        self.why = why
        self.fix = fix
        self.detail = detail
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.what}: {self.why}" if self.why else self.what
        stop = "" if text.endswith((".", "?", "!")) else "."
        return f"{text}{stop} Fix: {self.fix}" if self.fix else text


class UsageError(EngineError):
    """The command line or call has no meaning as given."""

    code = "usage"
    exit_status = 2


class InvalidInput(EngineError):
    """A value from outside was refused; nothing changed."""

    code = "invalid-input"


class InvalidSchedule(InvalidInput):
    """An expression, interval, instant or zone that cannot be scheduled."""

    code = "invalid-schedule"


class InvalidJob(InvalidInput):
    """A job definition or patch that breaks a rule of cron.md §17."""

    code = "invalid-job"


class UnreadableSource(InvalidInput):
    """What was to be imported is truncated, binary, or something else than was said."""

    code = "unreadable-source"


class NotFound(EngineError):
    """The thing named does not exist."""

    code = "not-found"
    exit_status = 6


class JobNotFound(NotFound):
    """No job has that id, key or name."""

    code = "job-not-found"


class Conflict(EngineError):
    """The thing changed since it was read."""

    code = "conflict"


class ConfigOwned(EngineError):
    """The job is declared in the config file and cannot be edited at runtime."""

    code = "config-owned"


class ConfigInvalid(EngineError):
    """The config file cannot be used."""

    code = "config-invalid"
    exit_status = 78


class OwnershipRefused(EngineError):
    """A port, a lock or a home belongs to another process."""

    code = "ownership"
    exit_status = 78


class StoreTooNew(EngineError):
    """The database, or the config, was written by a newer engine."""

    code = "store-too-new"
    exit_status = 78


class StoreUnavailable(EngineError):
    """The database cannot be read or written."""

    code = "store-unavailable"


class StoreUnusable(StoreUnavailable):
    """The file is broken or belongs to another program: trying again will not help."""

    code = "store-unusable"
    exit_status = 78


class GatewayDown(EngineError):
    """Nothing answers at the gateway's address."""

    code = "gateway-down"
    exit_status = 3


class Suspended(EngineError):
    """The gateway is held by its host for a moment and answers nothing else (protocol.md §10.1)."""

    code = "suspended"


class AccessRefused(EngineError):
    """The gateway answered and refused the caller."""

    code = "access-refused"
    exit_status = 4


class TimedOut(EngineError):
    """The answer did not come in time."""

    code = "timed-out"
    exit_status = 5
