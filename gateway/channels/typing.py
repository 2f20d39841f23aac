"""Shows a person that their message is being answered, for as long as it is (channels.md §9)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import Final

from engine.clock import Clock
from engine.messages.address import Route
from gateway.channels.base import Channel, ChannelError

EVERY: Final = timedelta(seconds=4.5)  # platforms show it for five seconds


class Typing:
    """``every`` says how often it is repeated; None switches it off."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        clock: Clock,
        every: Callable[[], timedelta | None] = lambda: EVERY,
    ) -> None:
        self._channels = channels
        self._clock = clock
        self._every = every

    @contextlib.asynccontextmanager
    async def while_answering(self, route: Route | None) -> AsyncIterator[None]:
        """Show it until the body ends. Whatever goes wrong with it is nobody's business."""
        every = self._every()
        channel = None if route is None else self._channels.get(route.channel)
        if every is None or channel is None or route is None:
            yield
            return
        showing = asyncio.create_task(self._show(channel, route, every), name="typing")
        try:
            yield
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    async def _show(self, channel: Channel, route: Route, every: timedelta) -> None:
        while True:
            with contextlib.suppress(ChannelError):
                await channel.typing(route)
            await self._clock.sleep_until(self._clock.now() + every)
