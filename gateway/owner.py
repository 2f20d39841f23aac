"""Writes down who owns a gateway: the first person ever let in (channels.md §3.2)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from engine import __version__
from engine.clock import Clock
from engine.config import edit, writing
from engine.config.load import Loaded, load
from engine.config.paths import Paths
from jobs.errors import EngineError

log = logging.getLogger(__name__)

KEY = "commands.ownerAllowFrom"


class OwnerBook:
    """Adds to the config file; the running gateway takes its own edit over like anybody's."""

    def __init__(
        self,
        paths: Paths,
        environ: Mapping[str, str],
        *,
        clock: Clock,
        loaded: Callable[[], Loaded],
    ) -> None:
        self._paths = paths
        self._environ = environ
        self._clock = clock
        self._loaded = loaded

    async def write(self, entry: str) -> bool:
        """Make somebody the owner unless there is one; False if nothing was written.

        That they were let in stands whatever becomes of the file.
        """
        if self._loaded().config.commands.owner_allow_from:
            return False
        try:
            await asyncio.to_thread(self._append, entry)
        except (EngineError, OSError) as error:
            log.warning(
                "the owner could not be written down",
                extra={"because": str(error), "fix": f"engine config set '{KEY}[]' '\"{entry}\"'"},
            )
            return False
        return True

    def _append(self, entry: str) -> None:
        paths = self._paths
        writing.write(
            paths.config,
            lambda text: edit.set_text(text, f"{KEY}[]", entry),
            validate=lambda raw: load(paths.config, self._environ, state=paths.state, raw=raw),
            now=self._clock.now(),
            version=__version__,
        )
