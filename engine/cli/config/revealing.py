"""`engine config get --reveal`: a secret in the clear, and on record that it was looked at (§3)."""

from __future__ import annotations

import asyncio
import getpass
import sys
from typing import Any

from engine.cli.config.copies import audits
from engine.cli.place import Place
from engine.clock import SystemClock
from jobs.errors import UsageError


def reveal(at: Place, path: str, value: Any, *, yes: bool) -> Any:
    """Return the value as it stands once that is on record; not onto a screen unasked."""
    if sys.stdout.isatty() and not yes:
        raise UsageError(
            f"{path} was not shown",
            why="it would stand on this screen, and in what the screen is copied to",
            fix=f"engine config get {path} --reveal --yes, or send it into a file or a pipe",
        )
    asyncio.run(_recorded(at, path))
    return value


async def _recorded(at: Place, path: str) -> None:
    from engine.config.keeping.records import REVEAL
    from engine.store import audit
    from jobs.store.db import Database

    now, by = SystemClock().now(), f"cli:{_user()}"
    database = await Database.open(audits(at))
    try:
        await database.write(
            lambda tx: audit.note(tx, now=now, actor=by, action=REVEAL, subject=path)
        )
    finally:
        await database.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
