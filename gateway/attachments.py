"""Files people send, brought here before their turn begins (channels.md §5).

Whatever goes wrong with a file is on record with its reason, the agent is told of it, and the
words it came with are answered all the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Final

from engine.clock import Clock
from engine.config.schema.conversations import MediaKeys
from engine.messages.media import Media
from engine.shelf import NotSaved, Shelf
from engine.store import audit
from engine.talk.conversation import ChatTurn
from gateway.channels.base import Channel
from jobs.store.db import Database, Tx

log = logging.getLogger(__name__)

REFUSED: Final = "media.refused"  # in the audit
WITHIN: Final = timedelta(seconds=60)  # for one file: a body that trickles in ends then
MOST: Final = 10  # files of one message; an album has as many


class Attachments:
    """Brings the files of a turn to the shelf."""

    def __init__(
        self,
        database: Database,
        channels: Mapping[str, Channel],
        shelf: Shelf,
        *,
        clock: Clock,
        keys: Callable[[], MediaKeys] = MediaKeys,
        within: timedelta = WITHIN,
    ) -> None:
        self._keys = keys
        self._database = database
        self._channels = channels
        self._shelf = shelf
        self._clock = clock
        self._within = within

    async def bring(self, turn: ChatTurn) -> tuple[Media, ...]:
        """Return the files of a turn as they lie here, or why one does not."""
        found = tuple([await self._one(turn, one) for one in turn.media[:MOST]])
        found += tuple(replace(one, trouble="too many files") for one in turn.media[MOST:])
        refused = [one for one in found if one.trouble]
        if refused:
            now = self._clock.now()

            def record(tx: Tx) -> None:
                for one in refused:
                    audit.note(
                        tx,
                        now=now,
                        actor=_where(turn),
                        action=REFUSED,
                        subject=turn.run_id,
                        detail={"name": one.name, "because": one.trouble},
                    )

            await self._database.write(record)
        return found

    async def sweep(self) -> None:
        """Remove files that are too old, or too many together; a chore."""
        keys = self._keys()
        gone = await self._shelf.sweep(self._clock.now(), keep=keys.retention, most=keys.max_size)
        if gone.files:
            log.info("old files removed", extra={"files": gone.files, "bytes": gone.size})

    async def _one(self, turn: ChatTurn, media: Media) -> Media:
        if media.path is not None or turn.route is None:
            return media
        channel = self._channels.get(turn.route.channel)
        try:
            if channel is None:
                raise NotSaved("the channel is gone")
            async with (
                asyncio.timeout(self._within.total_seconds()),
                aclosing(channel.bring(turn.route.account_id, media)) as pieces,
            ):
                return await self._shelf.receive(turn.agent_id, media, pieces)
        except NotSaved as refusal:
            because = str(refusal)
        except TimeoutError:
            because = f"it did not come within {self._within.total_seconds():.0f} s"
        log.info(
            "a file was not saved",
            extra={"run_id": turn.run_id, "file": media.name, "because": because},
        )
        return replace(media, trouble=because)


def _where(turn: ChatTurn) -> str:
    return "client" if turn.route is None else f"{turn.route.channel}:{turn.route.to}"
