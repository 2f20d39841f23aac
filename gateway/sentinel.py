"""Who is told when a restart they asked for is over: one small file (operations.md §7.4).

Written before the restart, read once when the gateway is ready again, whichever process that is.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

from gateway.restarts import Kind, Wanted

log = logging.getLogger(__name__)

FILE: Final = "restart-sentinel.json"
_VERSION: Final = 1
_DONE: Final[Mapping[Kind, str]] = {
    Kind.CONFIG_APPLY: "config applied",
    Kind.UPDATE: "update applied",
    Kind.RESTART: "restarted as asked",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentinel:
    """A restart somebody waits for."""

    kind: Kind
    at: datetime
    reason: str
    session_key: str | None = None
    delivery: Mapping[str, Any] | None = None
    note: str | None = None

    @classmethod
    def of(cls, wanted: Wanted, now: datetime) -> Self:
        """Return that of a request."""
        return cls(
            kind=wanted.kind,
            at=now,
            reason=wanted.reason,
            session_key=wanted.session_key,
            delivery=wanted.delivery,
            note=wanted.note,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as the file has it."""
        payload: dict[str, Any] = {
            "kind": self.kind.value,
            "status": "ok",
            "ts": round(self.at.timestamp() * 1000),
            "stats": {"reason": self.reason},
        }
        told = {
            "sessionKey": self.session_key,
            "deliveryContext": self.delivery,
            "message": self.note,
        }
        payload |= {key: value for key, value in told.items() if value is not None}
        return {"version": _VERSION, "payload": payload}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Return what `to_json` gave; ValueError, KeyError or TypeError for anything else."""
        if said["version"] != _VERSION:
            raise ValueError(f"version {said['version']}")
        payload = said["payload"]
        delivery = payload.get("deliveryContext")
        return cls(
            kind=Kind(payload["kind"]),
            at=datetime.fromtimestamp(payload["ts"] / 1000, UTC),
            reason=str((payload.get("stats") or {}).get("reason") or ""),
            session_key=payload.get("sessionKey"),
            delivery=delivery if isinstance(delivery, Mapping) else None,
            note=payload.get("message"),
        )


def words(found: Sentinel, took: timedelta | None) -> str:
    """Return what the requester is told."""
    after = "" if took is None else f" after {took.total_seconds():.1f} s"
    note = f" ({found.note})" if found.note else ""
    return f"Gateway back{after}; {_DONE[found.kind]}: {found.reason}{note}"


def write(home: Path, found: Sentinel) -> None:
    """Keep it (0600), all of it or nothing; a restart is made even if this cannot be kept."""
    part = home / f".{FILE}.part"
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(found.to_json(), file, ensure_ascii=False)
        part.replace(home / FILE)
    except OSError as error:
        log.warning("who asked for the restart could not be kept", extra={"because": str(error)})


def read(home: Path) -> Sentinel | None:
    """Return the one that waits, if any; one nobody can read counts as none."""
    try:
        return Sentinel.from_json(json.loads((home / FILE).read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def forget(home: Path) -> None:
    """Remove it: it has been told, or nobody can read it; a disk that refuses stops no start."""
    try:
        (home / FILE).unlink(missing_ok=True)
    except OSError as error:
        log.warning("a restart sentinel was not removed", extra={"because": str(error)})
