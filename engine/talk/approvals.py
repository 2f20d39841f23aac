"""The desk of commands that wait for a person: asked, listed, allowed, denied, too late.

operations.md §13.1 (`tools.exec.ask`), heartbeat.md §15. The question is durable and its message
leaves with it; whatever is decided, the agent hears of it by an event, and the audit keeps it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from engine.agents.base import ToolRefused
from engine.agents.secrets import masked
from engine.agents.tools.exec import Caller, ExecOrder
from engine.clock import Clock
from engine.decisions.asked import (
    KEPT,
    SHOWN_MOST,
    WAITING_MOST,
    Answer,
    Question,
    letter,
    verdict,
    whole,
)
from engine.decisions.wake import NOW, Intent, NewEvent
from engine.events import Bus
from engine.log.redaction import MASK
from engine.messages.address import ChatType, Route
from engine.messages.delivery import Delivery, Priority
from engine.messages.route import LOCAL, NoRoute, TargetWish
from engine.outlet import route_in
from engine.programs.rules import DENIED, secret_name
from engine.programs.words import name_of
from engine.roster.roster import Roster
from engine.sessions import origin_of
from engine.store import approvals as rows, audit, outbox
from engine.store.routes import route_of, route_text
from jobs.errors import EngineError, InvalidInput, NotFound
from jobs.ids import new_id
from jobs.store.db import Database, Tx
from jobs.wallclock import ms

log = logging.getLogger(__name__)

ALLOW: Final = "/approve"
DENY: Final = "/deny"
_LOST: Final = timedelta(minutes=1)  # allowed, and not begun since: the process died between


class Runs(Protocol):
    """Runs programs: `engine.programs.room.Room`."""

    async def execute(self, order: ExecOrder, *, approved: bool = False) -> Mapping[str, Any]:
        """Run a command that a person allowed."""


class Wakes(Protocol):
    """Takes events for agents: `engine.beats.waking.Waking`."""

    async def system_event(
        self, event: NewEvent, *, also: Callable[[Tx], None] | None = None
    ) -> Mapping[str, Any]:
        """Queue an event, in one transaction with ``also``, and wake its agent."""


class Approvals:
    """Carries questions to a person, and answers back."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        bus: Bus,
        roster: Callable[[], Roster],
        within: Callable[[], timedelta],
        runs: Callable[[], Runs],
        wakes: Callable[[], Wakes],
    ) -> None:
        self._database = database
        self._clock = clock
        self._bus = bus
        self._roster = roster
        self._within = within
        self._runs = runs
        self._wakes = wakes

    # -- asking --------------------------------------------------------------------------

    async def ask(self, order: ExecOrder, because: str) -> str:
        """Ask a person about a command; returns what the agent is told meanwhile."""
        now = self._clock.now()
        made = _question(order, because, now, now + self._within())
        if (length := len(whole(made))) > SHOWN_MOST:
            raise ToolRefused(
                f"{DENIED}: approval required, and the command has {length} characters, more than"
                f" a person is shown ({SHOWN_MOST}): put it into a file, and ask to run that"
            )
        zone = self._roster().agent(made.agent_id).zone

        def work(tx: Tx) -> tuple[Question, Delivery | None]:
            waiting = [one for one in rows.every(tx) if one.at(now) is Answer.WAITS]
            mine = [one for one in waiting if one.agent_id == made.agent_id]
            for one in mine:
                if (one.command, one.workdir, one.env) == (made.command, made.workdir, made.env):
                    return one, None
            if len(mine) >= WAITING_MOST:
                raise ToolRefused(f"{len(mine)} commands of yours wait for an answer already")
            rows.put(tx, made)
            self._note(tx, "asked", made, f"agent {made.agent_id}", now)
            return made, self._letter(tx, made, now)

        asked, message = await self._database.write(work)
        if message is not None:
            self._bus.publish("outbox", {"key": message.key, "state": message.state.value})
        if asked is made:
            self._bus.publish("exec.approval.requested", told(made, now))
        return (
            f"a person is asked (approval {asked.id}, until"
            f" {asked.expires_at.astimezone(zone):%H:%M}): {because}. Nothing was run; you are"
            " told what comes of it"
        )

    def _letter(self, tx: Tx, asked: Question, now: datetime) -> Delivery | None:
        """Put the question on its way: to the owner, else to this machine's inbox."""
        roster = self._roster()
        agent = roster.agent(asked.agent_id)
        # A command may hold what is nobody else's business: of several who may write, none is
        # surely the owner.
        sure = bool(roster.commanders) or len({(one.channel, one.to) for one in roster.owners}) == 1
        for target in ("owner", LOCAL) if sure else (LOCAL,):
            wish = TargetWish(target=target, source="config")
            found = route_in(tx, roster, wish, agent_id=agent.agent_id)
            if isinstance(found, NoRoute):
                continue
            until = f"{asked.expires_at.astimezone(agent.zone):%H:%M} ({agent.zone.key})"
            message = Delivery(
                key=f"approval:{asked.id}",
                route=found,
                text=letter(_without_secrets(asked), until, in_chat=bool(roster.commanders)),
                kind="message",
                created_at=now,
                expires_at=asked.expires_at,
                agent_id=agent.agent_id,
                run_id=asked.run_id,
                priority=Priority.REPLY,
            )
            return outbox.add(tx, message)
        log.warning("nobody can be asked about a command", extra={"agent": agent.agent_id})
        return None  # it waits all the same: `engine approvals list`, `engine status`

    # -- deciding ------------------------------------------------------------------------

    async def listing(self, *, every: bool = False) -> dict[str, Any]:
        """`exec.approval.list`: what waits, with ``every`` also what was decided lately."""
        now = self._clock.now()
        found = await self._database.read(rows.every)
        wanted = [one for one in found if every or one.at(now) is Answer.WAITS]
        return {"approvals": [told(one, now) for one in wanted]}

    async def approve(self, ident: str, *, by: str) -> dict[str, Any]:
        """Allow a command once: it runs now, in the background, and its agent hears of its end.

        Raises `NotFound`, or `InvalidInput` for one that was decided already or is too late.
        """
        now = self._clock.now()

        def work(tx: Tx) -> Question:
            found = _open(tx, ident, now)
            asked = replace(found, answer=Answer.APPROVED, by=by, decided_at=now)
            _change(tx, found, asked)
            self._note(tx, "approved", asked, by, now)
            return asked

        asked = await self._database.write(work)
        self._resolved(asked, now)
        try:
            await self._runs().execute(self._order(asked), approved=True)
        except (ToolRefused, EngineError) as refused:  # the rules may have changed since
            words = f"Exec not run ({name_of(masked(asked.command))}, {asked.id}): {refused}"
            await self._tell(asked, replace(asked, began=True), words)
            raise InvalidInput(
                f"command {asked.id} was allowed and not run",
                why=str(refused),
                fix="engine config get tools.exec",
            ) from refused
        await self._database.write(lambda tx: rows.put(tx, replace(asked, began=True)))
        return {"ok": True, **told(asked, now)}

    async def deny(self, ident: str, *, by: str) -> dict[str, Any]:
        """Refuse a command; its agent is told. Raises as `approve` does."""
        now = self._clock.now()
        found = await self._database.read(lambda tx: _open(tx, ident, now))
        asked = replace(found, answer=Answer.DENIED, by=by, decided_at=now, began=True)
        words = verdict(asked, name_of(masked(asked.command)), now)
        await self._tell(found, asked, words)
        self._resolved(asked, now)
        return {"ok": True, **told(asked, now)}

    async def sweep(self) -> None:
        """Tell of questions nobody answered in time, and forget what was decided long ago."""
        for asked in await self._database.read(rows.every):
            with contextlib.suppress(InvalidInput):  # a person was faster
                await self._look_after(asked, self._clock.now())

    async def _look_after(self, asked: Question, now: datetime) -> None:
        name = name_of(masked(asked.command))
        if asked.answer is Answer.WAITS and asked.at(now) is Answer.EXPIRED:
            over = replace(asked, answer=Answer.EXPIRED, by="the clock", decided_at=now, began=True)
            await self._tell(asked, over, verdict(over, name, now))
            self._resolved(over, now)
        elif not asked.began and asked.decided_at and now - asked.decided_at > _LOST:
            # A crash between its start and the word of it: its journal tells, if it began.
            words = (
                f"Exec may not have run ({name}, {asked.id}): it was allowed, and the gateway"
                " ended as it was to begin"
            )
            await self._tell(asked, replace(asked, began=True), words)
        elif asked.decided_at is not None and now - asked.decided_at > KEPT:
            await self._database.write(lambda tx: rows.drop(tx, asked.id))

    async def hear(self, text: str, route: Route | None) -> str | None:
        """Answer `/approve ID` and `/deny ID` of an owner's own chat; None: it is none of these."""
        head, *rest = text.split() or [""]
        word = head.lower().partition("@")[0]
        if word not in (ALLOW, DENY):
            return None
        if not self._owner(route):
            return (
                "Only an owner decides that, in a private chat (commands.ownerAllowFrom)."
                " Or: engine approvals list"
            )
        if len(rest) != 1:
            return f"Say {ALLOW} ID or {DENY} ID. {await self._waiting()}"
        by = f"{route.channel}:{route.to}" if route is not None else ""
        try:
            if word == DENY:
                denied = await self.deny(rest[0], by=by)
                return f"Denied: {denied['name']}. The agent is told."
            done = await self.approve(rest[0], by=by)
        except (InvalidInput, NotFound) as refused:
            return f"That was not done: {refused.why or refused.what}. {await self._waiting()}"
        # An agent may have told of another command under the same name.
        return f"Allowed, once: {done['name']}. It runs now, and the agent is told how it ends."

    # -- parts ---------------------------------------------------------------------------

    def _owner(self, route: Route | None) -> bool:
        """Whether an owner wrote, in a chat with nobody else in it."""
        if route is None or not route.heard or route.chat_type is not ChatType.DIRECT:
            return False
        return any(
            (one.channel, one.to) == (route.channel, route.to)
            and one.account_id in ("", route.account_id)
            for one in self._roster().commanders
        )

    async def _waiting(self) -> str:
        waiting = (await self.listing())["approvals"]
        named = ", ".join(f"{one['id']} ({one['name']})" for one in waiting)
        return f"Waiting: {named}." if named else "Nothing waits."

    def _order(self, asked: Question) -> ExecOrder:
        roster = self._roster()
        roster.refuse_stranger(asked.agent_id, f"command {asked.id} was not run")
        agent = roster.agent(asked.agent_id)
        return ExecOrder(
            caller=Caller(
                agent_id=agent.agent_id,
                session_key=asked.session_key,
                run_id=asked.run_id,
                workspace=agent.workspace,
                sandbox=agent.sandbox,
                route=route_of(asked.route) if asked.route else None,
            ),
            command=asked.command,
            workdir=asked.workdir,
            env=asked.env,
            timeout=None if asked.timeout_s is None else timedelta(seconds=asked.timeout_s),
            yield_after=timedelta(),
        )

    async def _tell(self, was: Question, asked: Question, text: str) -> None:
        """Keep what a question came to and tell the agent, in one transaction.

        Raises `InvalidInput` if it is no longer what it was.
        """
        now = self._clock.now()
        what = asked.answer.value if was.answer is Answer.WAITS else "not-run"

        def also(tx: Tx) -> None:
            _change(tx, was, asked)
            self._note(tx, what, asked, asked.by, now)

        event = NewEvent(
            text=text,
            mode=NOW,
            source="exec",
            by=f"approval {asked.id}",
            agent_id=asked.agent_id,
            session_key=origin_of(asked.session_key),
            context_key=f"exec:{asked.id}",
            route=route_of(asked.route) if asked.route else None,
            trusted=False,
            intent=Intent.EVENT,
        )
        if self._roster().knows(asked.agent_id):
            await self._wakes().system_event(event, also=also)
        else:  # its agent is gone from the config: nobody is left to be told
            await self._database.write(also)

    def _note(self, tx: Tx, what: str, asked: Question, actor: str, now: datetime) -> None:
        detail = {
            "command": name_of(masked(asked.command)),
            "agentId": asked.agent_id,
            "runId": asked.run_id,
        }
        audit.note(
            tx,
            now=now,
            actor=actor,
            action=f"exec.approval.{what}",
            subject=asked.id,
            detail=detail,
        )

    def _resolved(self, asked: Question, now: datetime) -> None:
        self._bus.publish("exec.approval.resolved", told(asked, now))


def told(asked: Question, now: datetime) -> dict[str, Any]:
    """Return a question for a list: without secrets."""
    shown = _without_secrets(asked)
    return {
        "id": asked.id,
        "agentId": asked.agent_id,
        "sessionKey": asked.session_key,
        "runId": asked.run_id,
        "name": name_of(shown.command),
        "command": shown.command,
        "workdir": asked.workdir,
        "env": dict(shown.env),
        "whole": whole(shown),
        "because": asked.because,
        "askedAtMs": ms(asked.asked_at),
        "expiresAtMs": ms(asked.expires_at),
        "state": asked.at(now).value,
        "by": asked.by or None,
        "decidedAtMs": ms(asked.decided_at),
    }


def _without_secrets(asked: Question) -> Question:
    """Return a question as it may be shown: what steers a command is seen, its secrets are not."""
    env = {name: MASK if secret_name(name) else masked(value) for name, value in asked.env.items()}
    return replace(asked, command=masked(asked.command), env=env)


def _question(order: ExecOrder, because: str, now: datetime, until: datetime) -> Question:
    caller = order.caller
    return Question(
        id=new_id(now)[-6:],
        agent_id=caller.agent_id,
        session_key=caller.session_key,
        run_id=caller.run_id,
        command=order.command,
        because=because,
        workdir=order.workdir,
        env=dict(order.env),
        timeout_s=None if order.timeout is None else order.timeout.total_seconds(),
        route=route_text(caller.route) if caller.route else None,
        asked_at=now,
        expires_at=until,
    )


def _open(tx: Tx, ident: str, now: datetime) -> Question:
    asked = rows.get(tx, ident.strip().lower())
    if asked is None:
        raise NotFound(
            f"nothing waits under {ident[:40]!r}",
            why="there is no such command, or it was decided long ago",
            fix="engine approvals list",
        )
    if asked.at(now) is not Answer.WAITS:
        raise _decided(ident, asked, now)
    return asked


def _change(tx: Tx, was: Question, to: Question) -> None:
    if not rows.change(tx, was, to):
        raise _decided(was.id, rows.get(tx, was.id))


def _decided(ident: str, asked: Question | None, now: datetime | None = None) -> InvalidInput:
    state = "gone" if asked is None else asked.at(now or asked.asked_at).value
    by = f" by {asked.by}" if asked is not None and asked.by else ""
    return InvalidInput(
        f"command {ident} was left as it is",
        why=f"it is {state} already{by}",
        fix="engine approvals list --all",
    )
