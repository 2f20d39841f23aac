"""Messages that wait for their turn: one line per chat, served one at a time (channels.md §5).

However many messages one chat sends, only its first stands before the agent: the next chat's
first waits for one turn, not for hundreds. A line that is too long lets its oldest go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from engine.clock import Clock
from engine.messages.address import ChatType, Route
from engine.talk.conversation import ChatTurn

MOST_DIRECT: Final = 20
MOST_GROUP: Final = 50
_NOTHING: Final = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One admitted message. ``alone``: it is no plain text, and is joined with no other."""

    turn: ChatTurn
    sender: str
    at: datetime
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is answered together, and the runs of older messages that had to go."""

    turn: ChatTurn
    left_out: tuple[str, ...] = ()


def cap(route: Route | None) -> int:
    """Return how many messages of a chat may wait."""
    direct = route is None or route.chat_type is ChatType.DIRECT
    return MOST_DIRECT if direct else MOST_GROUP


def together(waiting: Sequence[Waiting], quiet: timedelta, now: datetime) -> int | datetime:
    """Return how many of the first are answered as one, or until when somebody may write on."""
    first = waiting[0]
    if first.alone or quiet <= _NOTHING:
        return 1
    count = 1
    for one in waiting[1:]:
        if one.alone or one.sender != first.sender:
            return count  # whoever came next must not wait for more
        count += 1
    until = waiting[count - 1].at + quiet
    # A clock that was set back must not make them wait longer than that.
    return until if now < until <= now + quiet else count


def joined(batch: Sequence[Waiting]) -> ChatTurn:
    """Return the one turn of several messages: the newest, with all the words."""
    newest = batch[-1].turn
    if len(batch) == 1:
        return newest
    turns = [one.turn for one in batch]
    return replace(
        newest,
        text="\n".join(turn.text for turn in turns),
        overheard=tuple(line for turn in turns for line in turn.overheard),
        joined=tuple(turn.run_id for turn in turns[:-1]),
        replayed=any(turn.replayed for turn in turns),
    )


@dataclass(slots=True, eq=False)
class _Line:
    waiting: list[Waiting] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    serving: bool = False
    task: asyncio.Task[None] | None = None


Key = tuple[str, str, str, str | None]


class Lines:
    """All chats that wait. ``serve`` answers one batch and returns when it is answered."""

    def __init__(
        self,
        clock: Clock,
        serve: Callable[[Batch], Awaitable[None]],
        quiet: Callable[[str], timedelta] = lambda _: _NOTHING,
    ) -> None:
        self._clock = clock
        self._serve = serve
        self._quiet = quiet
        self._lines: dict[Key, _Line] = {}
        self._stopping = False
        self._serving = asyncio.Event()
        self._serving.set()

    def hold(self) -> None:
        """Begin with nothing before `release`: who was there first is not all there yet."""
        self._serving.clear()

    def release(self) -> None:
        """Begin with whoever stands first."""
        self._serving.set()

    def put(self, one: Waiting) -> None:
        """Let a message wait behind those of its chat."""
        if self._stopping:
            return  # it is owed its answer, and gets it after the next start
        key = _key(one.turn.route)
        line = self._lines.setdefault(key, _Line())
        line.waiting.append(one)
        while len(line.waiting) > cap(one.turn.route):
            line.left_out.append(line.waiting.pop(0).turn.run_id)
        line.stirred.set()
        if line.task is None:
            self._begin(key, line)

    def _begin(self, key: Key, line: _Line) -> None:
        self._lines[key] = line
        line.task = asyncio.create_task(self._run(key, line), name=f"inbound-{key[2]}")

    def depth(self, channel: str, account_id: str) -> int:
        """How many messages of an account wait or are being answered."""
        return sum(
            len(line.waiting) + line.serving
            for (name, account, *_), line in self._lines.items()
            if (name, account) == (channel, account_id)
        )

    async def _run(self, key: Key, line: _Line) -> None:
        try:
            await self._serving.wait()
            while line.waiting and not self._stopping:
                found = together(line.waiting, self._quiet(key[0]), self._clock.now())
                if isinstance(found, datetime):
                    await self._written_on(line, found)
                    continue
                batch = Batch(turn=joined(line.waiting[:found]), left_out=tuple(line.left_out))
                del line.waiting[:found]
                line.left_out.clear()
                line.serving = True
                await self._serve(batch)
                line.serving = False
        finally:
            self._lines.pop(key, None)
            broke, line.serving = line.serving, False
            task = asyncio.current_task()
            cancelled = self._stopping or task is None or task.cancelling()
            if broke and line.waiting and not cancelled:  # those behind it are served
                self._begin(key, line)

    async def _written_on(self, line: _Line, until: datetime) -> None:
        """Return at ``until``, or before if another message comes."""
        line.stirred.clear()
        waits = [
            asyncio.ensure_future(self._clock.sleep_until(until)),
            asyncio.ensure_future(line.stirred.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def stop(self, grace: timedelta) -> None:
        """Serve nothing more; what is being served may end within ``grace``."""
        self._stopping = True
        lines = list(self._lines.values())
        for line in lines:
            if line.task is not None and not line.serving:
                line.task.cancel()
        tasks = [line.task for line in lines if line.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _key(route: Route | None) -> Key:
    if route is None:
        raise AssertionError("a message from a channel is answered there")
    return route.channel, route.account_id, route.to, route.thread_id
