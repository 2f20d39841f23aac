"""Messages somebody asked to send: an agent's tool, an operator, a client. Queued, not sent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from engine.clock import Clock
from engine.events import Bus
from engine.messages.address import Route
from engine.messages.delivery import Delivery, Priority
from engine.messages.media import Media, of_url
from engine.messages.outbox import NewMessage, expiry, receipt
from engine.messages.remedy import place_fix
from engine.messages.route import NoRoute, RouteFacts, TargetWish, found_words, needs_last, resolve
from engine.messages.target import split_target
from engine.roster.roster import AgentProfile, Roster
from engine.sessions import main_key
from engine.shelf import Shelf
from engine.store import audit, outbox, sessions
from jobs.errors import InvalidInput
from jobs.model import Job
from jobs.store.db import Database, Tx

FILES_MOST: Final = 10  # of one message


class Outlet:
    """Resolves where a message goes and puts it into the outbox. Same key, same message."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        bus: Bus,
        roster: Callable[[], Roster],
        shelf: Shelf,
    ) -> None:
        self._shelf = shelf
        self._database = database
        self._clock = clock
        self._bus = bus
        self._roster = roster

    async def send(self, message: NewMessage) -> dict[str, Any]:
        """Accept one message; ``{messageId, channel, chatId, state}``.

        Raises `InvalidInput` with the reason when it can go nowhere, `NotFound` for an agent
        nobody knows.
        """
        if not message.text.strip() and not message.files:
            raise InvalidInput(
                "the message was not accepted", why="its text is empty", fix="give it some words"
            )
        roster = self._roster()
        if message.agent_id is not None:
            roster.refuse_stranger(message.agent_id, "the message was not accepted")
        agent = roster.agent(message.agent_id).agent_id
        wish = TargetWish(
            target=_channel_of(message),
            to=message.to,
            account_id=message.account_id,
            thread_id=message.thread_id,
            source="config",
        )
        found = await find_route(self._database, roster, wish, agent_id=agent)
        if isinstance(found, NoRoute):
            fix = place_fix(found, wish, roster.channels(agent))
            raise InvalidInput("the message was not accepted", why=found.because, fix=fix)
        if message.dry_run:
            return {"dryRun": True, "state": "not-sent", "route": found_words(found)}
        if message.files and (
            known := await self._database.read(partial(outbox.get, key=message.key))
        ):
            return _accepted(known)  # its files were taken the first time
        media = await self._taken(message, roster.agent(agent))
        now = self._clock.now()
        delivery = Delivery(
            key=message.key,
            route=found,
            text=message.text,
            kind="message",
            created_at=now,
            expires_at=expiry("message", now),
            agent_id=agent,
            priority=Priority.REPLY,
            media=media,
            notes={"silent": True} if message.silent else {},
        )
        stored = await self._database.write(lambda tx: outbox.add(tx, delivery))
        self._bus.publish("outbox", {"key": stored.key, "state": stored.state.value})
        return _accepted(stored)

    async def _taken(self, message: NewMessage, agent: AgentProfile) -> tuple[Media, ...]:
        """Copy the files of a message, all or none; an address stays one.

        Whoever speaks sends files of the workspace, or what was sent to the agent; a client
        besides what the command line has laid ready, which it reads as its own user.
        """
        if len(message.files) > FILES_MOST:
            raise InvalidInput(
                "the message was not accepted",
                why=f"it has {len(message.files)} files; the most is {FILES_MOST}",
                fix="send several messages",
            )
        within = [agent.workspace, self._shelf.incoming(agent.agent_id)]
        if message.laid_ready:
            within.append(self._shelf.outgoing)
        found = []
        for wish in message.files:
            if wish.lower().startswith(("http://", "https://")):
                found.append(of_url(wish))
            else:
                found.append(await self._shelf.take(wish, base=agent.workspace, within=within))
        return tuple(found)


def _accepted(stored: Delivery) -> dict[str, Any]:
    return {
        "messageId": stored.key,
        "channel": stored.route.channel,
        "chatId": stored.route.shown,
        "state": stored.state.value,
        "receipt": receipt(stored),
    }


def _channel_of(message: NewMessage) -> str:
    if message.channel:
        return message.channel.strip().lower()
    named = split_target(message.to)[0] if message.to else None
    return named or "last"


async def find_route(
    database: Database,
    roster: Roster,
    wish: TargetWish,
    *,
    agent_id: str,
    session_key: str | None = None,
) -> Route | NoRoute:
    """Return where words of an agent would go now; ``last`` is its main session's by default."""
    if not needs_last(wish):
        return resolve(wish, RouteFacts(agent_id=agent_id))
    return await database.read(
        lambda tx: route_in(tx, roster, wish, agent_id=agent_id, session_key=session_key)
    )


def way_of(tx: Tx, roster: Roster, job: Job) -> dict[str, Any]:
    """Return where the words of a job would go now, or why they would go nowhere, for a list."""
    spec = job.delivery
    agent = roster.agents.get(job.agent_id or roster.default_id)
    if spec.mode != "announce" or agent is None:
        return {}
    wish = TargetWish(
        target=spec.channel or "last",
        to=spec.to,
        account_id=spec.account_id,
        thread_id=spec.thread_id,
        source="config",
    )
    found = route_in(tx, roster, wish, agent_id=agent.agent_id, session_key=job.session_key)
    words = found_words(found)
    if isinstance(found, NoRoute):
        words["fix"] = found.own_fix or found.reason.fix_for(
            "cron", agent=agent.agent_id, job=job.id
        )
    return words


def route_in(
    tx: Tx, roster: Roster, wish: TargetWish, *, agent_id: str, session_key: str | None = None
) -> Route | NoRoute:
    """Return the same inside a transaction that goes on."""
    if not needs_last(wish):
        return resolve(wish, RouteFacts(agent_id=agent_id))
    last = sessions.last_route(
        tx, agent_id, session_key or main_key(agent_id, main=roster.main_key)
    )
    stranger = audit.last_stranger(tx) if last is None else None
    return resolve(wish, roster.route_facts(agent_id, last, stranger=stranger))
