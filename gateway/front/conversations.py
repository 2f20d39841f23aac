"""Chat turns for clients, and conversations as stored (protocol.md §10.4, §10.6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from engine import sessions as keys
from engine.agents.factory import OFFLINE
from engine.core import Engine
from engine.messages.address import Route
from engine.messages.media import Media
from engine.messages.route import TargetWish, local_route
from engine.messages.target import LastRoute
from engine.outlet import find_route
from engine.roster.roster import Roster
from engine.shelf import NotSaved, in_one_piece
from engine.store import audit, sessions as session_rows
from engine.store.sessions import Session
from engine.talk.conversation import ChatTurn
from gateway.rpc.core import ChatOrder
from jobs.errors import InvalidInput, NotFound
from jobs.ids import new_id
from jobs.store.db import Tx
from jobs.wallclock import ms


class FrontConversation:
    """Chat turns for clients: `agent` and `chat.send`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def check(self, order: ChatOrder) -> None:
        """Refuse an order whose answer could not be delivered; routes are read when it runs."""
        _refuse_unknown(self._engine.roster, order.agent_id)

    async def converse(self, order: ChatOrder) -> dict[str, Any]:
        """Take the turn."""
        if order.written_here:
            here = _written_here(order, self._engine.clock.now())
            await self._engine.database.write(lambda tx: session_rows.set_route(tx, here))
        route = await self._route(order) if order.deliver else None
        answer = await self._engine.conversation.receive(
            ChatTurn(
                run_id=order.run_id,
                agent_id=order.agent_id,
                session_key=order.session_key,
                text=order.text,
                route=route,
                timeout=order.timeout,
                model=order.model,
                thinking=order.thinking,
                extra_system_prompt=order.extra_system_prompt,
                earlier=order.earlier,
                media=await self._saved(order),
            )
        )
        return answer.to_wire()

    async def _saved(self, order: ChatOrder) -> tuple[Media, ...]:
        """Lay what came along where the agent finds it."""
        saved = []
        for one in order.attachments:
            try:
                pieces = in_one_piece(one.content)
                saved.append(await self._engine.shelf.receive(order.agent_id, one.media, pieces))
            except NotSaved as refusal:
                saved.append(replace(one.media, trouble=str(refusal)))
        return tuple(saved)

    async def _route(self, order: ChatOrder) -> Route | None:
        found = await find_route(
            self._engine.database,
            self._engine.roster,
            TargetWish(
                target=order.channel or "last",
                to=order.to,
                account_id=order.account_id,
                thread_id=order.thread_id,
                source="config",
            ),
            agent_id=order.agent_id,
            session_key=order.session_key,
        )
        if isinstance(found, Route):
            return found
        if order.best_effort:
            return None
        raise InvalidInput("the answer cannot be delivered", why=found.because, fix=found.fix)

    async def abort(self, session_key: str, run_id: str | None = None) -> Sequence[str]:
        """Cancel turns of a session."""
        return await self._engine.conversation.abort(session_key, run_id)


def _written_here(order: ChatOrder, now: datetime) -> LastRoute:
    """What a message to the local channel teaches: never where `last` leads (channels.md §4)."""
    here = local_route("last-local")
    return LastRoute(
        agent_id=order.agent_id,
        session_key=order.session_key,
        channel=here.channel,
        account_id=here.account_id,
        to=here.to,
        chat_type=here.chat_type,
        set_at=now,
        set_by=order.run_id,
    )


class FrontSessions:
    """Conversations as stored."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def resolve(self, agent_id: str | None, session_key: str | None) -> tuple[str, str]:
        """Agent and full session key; contradictions and strangers refused."""
        roster = self._engine.roster
        default = (agent_id or roster.default_id).lower()
        key = keys.normalise(session_key, default_agent=default, main=roster.main_key)
        agent = keys.agent_of(key, default_agent=default)
        if agent_id is not None and agent != agent_id.lower():
            raise InvalidInput(
                f"agentId {agent_id!r} does not match session key {session_key!r}",
                fix="leave one of them out",
            )
        _refuse_unknown(roster, agent)
        return agent, key

    async def listing(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`sessions.list`."""
        limit = max(1, min(int(params.get("limit") or 100), 1000))
        offset = max(0, int(params.get("offset") or 0))
        agent = params.get("agentId")
        found, total = await self._engine.database.read(
            lambda tx: session_rows.recent(tx, agent_id=agent, limit=limit, offset=offset)
        )
        more = offset + len(found) < total
        default = self._engine.roster.agent(None)
        provider, _, model = (default.model or OFFLINE).partition("/")
        return {
            "ts": ms(self._engine.clock.now()),
            "path": "",
            "count": len(found),
            "totalCount": total,
            "hasMore": more,
            "nextOffset": offset + len(found) if more else None,
            "defaults": {
                "modelProvider": provider,
                "model": model or provider,
                "contextTokens": None,
            },
            "sessions": [session_words(session) for session in found],
        }

    async def history(self, session_key: str, *, limit: int) -> dict[str, Any]:
        """`chat.history`, oldest first."""

        def work(tx: Tx) -> tuple[Any, Any]:
            return session_rows.get(tx, session_key), session_rows.numbered(tx, session_key, limit)

        session, messages = await self._engine.database.read(work)
        return {
            "sessionKey": session_key,
            "sessionId": session.session_id if session else None,
            "messages": [
                {
                    "role": message.role,
                    "content": [{"type": "text", "text": message.text}],
                    "timestamp": ms(message.at),
                    "__openclaw": {"id": str(number), "seq": number},
                }
                for number, message in messages
            ],
        }


class FrontSessionDesk(FrontSessions):
    """The same, and what may be changed of them; the audit keeps who did."""

    def is_main(self, session_key: str) -> bool:
        """Whether it is an agent's main session."""
        roster = self._engine.roster
        agent = keys.agent_of(session_key, default_agent=roster.default_id)
        return session_key in (keys.GLOBAL, keys.main_key(agent, main=roster.main_key))

    async def describe(self, session_key: str) -> dict[str, Any] | None:
        """One entry of the list, or None."""
        found = await self._engine.database.read(lambda tx: session_rows.get(tx, session_key))
        return None if found is None else session_words(found)

    async def create(
        self, session_key: str, agent_id: str, *, model: str | None, by: str
    ) -> dict[str, Any]:
        """Make one, unless it is there."""

        def work(tx: Tx, now: datetime) -> Session | None:
            made = session_rows.ensure(tx, session_key, agent_id, now)
            return made if model is None else session_rows.set_model(tx, session_key, model)

        return await self._change("session.created", session_key, by, work, model=model)

    async def patch(self, session_key: str, *, model: str | None, by: str) -> dict[str, Any]:
        """Set the model of its turns."""
        return await self._change(
            "session.changed",
            session_key,
            by,
            lambda tx, _: session_rows.set_model(tx, session_key, model),
            model=model,
        )

    async def reset(self, session_key: str, *, by: str) -> dict[str, Any]:
        """Begin it anew."""
        agent = keys.agent_of(session_key, default_agent=self._engine.roster.default_id)

        def work(tx: Tx, now: datetime) -> Session | None:
            session_rows.ensure(tx, session_key, agent, now)
            return session_rows.renew(tx, session_key, now)

        return await self._change("session.reset", session_key, by, work)

    async def compact(self, session_key: str, *, keep: int, by: str) -> int:
        """Take out all but its newest lines; how many went."""
        gone = 0

        def work(tx: Tx, _: datetime) -> Session | None:
            nonlocal gone
            gone = session_rows.shorten(tx, session_key, keep)
            return session_rows.get(tx, session_key)

        await self._change("session.compacted", session_key, by, work, keep=keep)
        return gone

    async def delete(self, session_key: str, *, by: str) -> bool:
        """Remove it and what was said in it; its route stays."""
        now = self._engine.clock.now()

        def work(tx: Tx) -> bool:
            gone = session_rows.delete(tx, session_key)
            if gone:
                audit.note(tx, now=now, actor=by, action="session.deleted", subject=session_key)
            return gone

        return await self._engine.database.write(work)

    async def inject(self, session_key: str, text: str, *, by: str) -> str:
        """Add a line of the assistant's, and tell it as a `chat` event."""
        now = self._engine.clock.now()
        note = new_id(now)
        agent = keys.agent_of(session_key, default_agent=self._engine.roster.default_id)

        def work(tx: Tx) -> None:
            line = keys.Message(role="assistant", text=text, at=now)
            session_rows.append(tx, session_key, agent_id=agent, messages=[line], now=now)
            audit.note(tx, now=now, actor=by, action="session.injected", subject=session_key)

        await self._engine.database.write(work)
        content = [{"type": "text", "text": text}]
        message = {"role": "assistant", "content": content, "timestamp": ms(now)}
        told = {"runId": f"inject-{note}", "sessionKey": session_key, "seq": 1, "state": "final"}
        self._engine.bus.publish("chat", {**told, "message": message})
        return note

    async def _change(
        self,
        action: str,
        session_key: str,
        by: str,
        work: Callable[[Tx, datetime], Session | None],
        **detail: object,
    ) -> dict[str, Any]:
        now = self._engine.clock.now()

        def change(tx: Tx) -> Session | None:
            found = work(tx, now)
            if found is not None:
                audit.note(tx, now=now, actor=by, action=action, subject=session_key, detail=detail)
            return found

        found = await self._engine.database.write(change)
        if found is None:
            what = f"session not found: {session_key}"
            raise NotFound(what, fix="engine gateway call sessions.list")
        return session_words(found)


def session_words(session: Session) -> dict[str, Any]:
    """One entry of `sessions.list`."""
    return {
        "key": session.key,
        "kind": keys.kind_of(session.key),
        "agentId": session.agent_id,
        "sessionId": session.session_id,
        "updatedAt": ms(session.updated_at),
        **({} if session.model is None else {"model": session.model}),
        "inputTokens": session.input_tokens,
        "outputTokens": session.output_tokens,
        "totalTokens": session.input_tokens + session.output_tokens,
    }


def _refuse_unknown(roster: Roster, agent_id: str) -> None:
    if not roster.knows(agent_id):
        have = ", ".join(sorted(roster.agents))
        raise NotFound(
            f"unknown agent id: {agent_id}",
            why=f"have: {have}",
            fix="name one of these",
            agent_id=agent_id,
        )
