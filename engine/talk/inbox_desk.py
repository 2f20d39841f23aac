"""The desk of the inbox: words that reached nobody, listed, sent again, put off, purged.

heartbeat.md §25 rows 11 and 13. Everything done here is on record in the audit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from engine.clock import Clock
from engine.decisions import hb
from engine.events import Bus
from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.messages.kept import SENT, Kept, Stage, to_json
from engine.messages.outbox import MAY_REPEAT, expiry, receipt
from engine.messages.repetition import uncounted
from engine.messages.route import NoRoute, TargetWish
from engine.messages.target import split_target
from engine.outlet import find_route
from engine.roster.roster import Roster
from engine.store import audit, kept, outbox
from engine.store.kept import KeptQuery
from engine.talk.conversation import ChatTurn
from jobs.errors import InvalidInput, NotFound
from jobs.store import runs as run_rows
from jobs.store.db import Database, Tx
from jobs.wallclock import EPOCH, MILLISECOND, ms

OPEN: Final = (Stage.UNREAD, Stage.SNOOZED)
ALL: Final = "all"
PAGE: Final = 50
REMEMBERED: Final = timedelta(days=90)  # how far back feedback is counted
LONGEST_SNOOZE: Final = timedelta(days=366)

_VERDICTS: Final = frozenset({hb.Word.USEFUL, hb.Word.NOISE})


class InboxDesk:
    """What an operator, a person or a client does with kept words."""

    def __init__(
        self, *, database: Database, clock: Clock, bus: Bus, roster: Callable[[], Roster]
    ) -> None:
        self._database = database
        self._clock = clock
        self._bus = bus
        self._roster = roster

    async def listing(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`heartbeat.inbox`."""
        now = self._clock.now()
        return await self._database.read(lambda tx: listing(tx, params, now))

    async def show(self, ref: str) -> dict[str, Any]:
        """`heartbeat.inbox.show`."""
        now = self._clock.now()
        return await self._database.read(lambda tx: shown(tx, ref, now))

    async def acknowledge(self, ref: str | None, *, by: str) -> dict[str, Any]:
        """`heartbeat.inbox.ack`: one of them, or all that are unread for None."""
        now = self._clock.now()

        def work(tx: Tx) -> int:
            if ref is not None:
                found = [self._sure(tx, ref)]
            else:
                found, _ = kept.page(tx, KeptQuery(stages=(Stage.UNREAD,), limit=100_000), now)
            for one in found:
                kept.acknowledge(tx, one.number, now)
            audit.note(tx, now=now, actor=by, action="inbox.ack", subject=ref or ALL)
            return len(found)

        return {"ok": True, "acked": await self._database.write(work)}

    async def snooze(self, ref: str, until: datetime, *, by: str) -> dict[str, Any]:
        """`heartbeat.inbox.snooze`: not before ``until``; the third time it is muted, and told."""
        now = self._clock.now()
        if not now < until <= now + LONGEST_SNOOZE:
            raise InvalidInput(
                "nothing was snoozed",
                why=f"{until:%Y-%m-%d %H:%M} UTC is not in the coming year",
                fix=f"engine inbox snooze {ref} --for 2h",
            )

        def work(tx: Tx) -> Kept:
            one = self._sure(tx, ref)
            after = kept.snooze(tx, one, until, now) or one
            detail = {"until": ms(until), "snoozes": after.snoozes}
            audit.note(tx, now=now, actor=by, action="inbox.snooze", subject=one.id, detail=detail)
            if after.muted_at is not None and one.muted_at is None:
                told = {"because": f"snoozed {after.snoozes} times"}
                audit.note(tx, now=now, actor=by, action="inbox.mute", subject=one.id, detail=told)
            return after

        return {"ok": True, **to_json(await self._database.write(work), now)}

    async def mute(self, ref: str, *, on: bool, by: str) -> dict[str, Any]:
        """`heartbeat.inbox.mute`: these words are not sent any more, or are again."""
        now = self._clock.now()

        def work(tx: Tx) -> Kept:
            one = self._sure(tx, ref)
            kept.mute(tx, one.number, now if on else None)
            action = "inbox.mute" if on else "inbox.unmute"
            audit.note(tx, now=now, actor=by, action=action, subject=one.id)
            return _known(tx, str(one.number))

        return {"ok": True, **to_json(await self._database.write(work), now)}

    async def resend(
        self, ref: str, *, to: str | None = None, account_id: str | None = None, by: str
    ) -> dict[str, Any]:
        """`heartbeat.inbox.resend`: once more into the outbox; the same again is the same message.

        To where it was meant, else to where its agent's alerts go, else to whoever wrote last;
        by ``account_id``, where several bots of a channel could.
        """
        one = await self._database.read(lambda tx: _thought_of(tx, ref))
        route = await self._way(one, to, account_id)
        now = self._clock.now()

        def work(tx: Tx) -> tuple[Delivery, bool]:
            here = self._sure(tx, ref)
            message, fresh = outbox.again(tx, _message(tx, here, route, now), one.base)
            kept.resent(tx, message.key, [here.number], now)
            detail = {"key": message.key, "fresh": fresh}
            audit.note(tx, now=now, actor=by, action="inbox.resend", subject=one.id, detail=detail)
            return message, fresh

        message, fresh = await self._database.write(work)
        if fresh:
            self._bus.publish("outbox", {"key": message.key, "state": message.state.value})
        return {
            "ok": True,
            "resent": fresh,
            "key": message.key,
            "to": route.whom,
            "receipt": receipt(message),
        }

    async def feedback(self, ref: str, word: hb.Word, *, by: str) -> dict[str, Any]:
        """`heartbeat.feedback`: what somebody thinks of an alert; kept, counted, told back.

        Who says anything of it knows of it: it counts as acknowledged.
        """
        now = self._clock.now()

        def work(tx: Tx) -> tuple[Kept, Counter[str]]:
            one = self._sure(tx, ref)
            kept.acknowledge(tx, one.number, now)
            detail = {"verdict": word.value, "agentId": one.agent_id, "print": one.print}
            subject = one.run_id or one.id
            audit.note(tx, now=now, actor=by, action=audit.FEEDBACK, subject=subject, detail=detail)
            said = audit.feedback(tx, now - REMEMBERED, now)
            return one, Counter(each["verdict"] for each in said if each["print"] == one.print)

        one, counted = await self._database.write(work)
        useful, noise = counted[hb.Word.USEFUL], counted[hb.Word.NOISE]
        hint = hb.suggestion(useful, noise, str(one.number), chat=False)
        return {
            "ok": True,
            "runId": one.run_id,
            "number": one.number,
            "text": one.text,
            "verdict": word.value,
            "useful": useful,
            "noise": noise,
            **({"suggestion": hint} if hint else {}),
        }

    async def hear(self, chat: ChatTurn) -> str | None:
        """Answer `/hb …` said in a chat; None: it is for the agent (§25 row 21)."""
        asked = hb.parse(chat.text)
        if asked is None or isinstance(asked, str):
            return asked
        lane = None if chat.route is None else chat.route.lane
        if asked.message is not None:
            return await self._reacted(chat, asked, asked.message)
        last = await self._database.read(lambda tx: outbox.last_alert(tx, chat.agent_id, lane))
        if last is None or last.run_id is None:
            return f"No alert of {chat.agent_id} has reached this chat yet."
        by = _speaker(chat)
        try:
            return await self._done(last.run_id, asked, by=by)
        except (InvalidInput, NotFound) as refused:  # whoever asked is told, by an answer
            return f"That was not done: {refused.why or refused.what}. {hb.USAGE}"

    async def _reacted(self, chat: ChatTurn, asked: hb.Asked, message: str) -> str:
        """Keep what a reaction says of an alert; of any other message it says nothing.

        No answer but a hint: a person who reacts asked for none.
        """
        lane = None if chat.route is None else chat.route.lane
        alert = await self._database.read(
            lambda tx: outbox.alert_of(tx, chat.agent_id, lane, message)
        )
        if alert is None or alert.run_id is None or asked.word not in _VERDICTS:
            return ""
        by = _speaker(chat)
        told = await self.feedback(alert.run_id, asked.word, by=by)
        return hb.suggestion(told["useful"], told["noise"], "", chat=True)

    async def _done(self, run_id: str, asked: hb.Asked, *, by: str) -> str:
        match asked.word:
            case hb.Word.ACK:
                await self.acknowledge(run_id, by=by)
                return "Noted: you know."
            case hb.Word.SNOOZE:
                until = self._clock.now() + (asked.span or timedelta())
                told = await self.snooze(run_id, until, by=by)
                if told["state"] == Stage.MUTED:
                    return (
                        f"Snoozed {told['snoozes']} times, so these words are muted now."
                        " To hear them again: /hb unmute"
                    )
                zone = self._roster().agent(told.get("agentId")).zone
                return f"Quiet about this until {until.astimezone(zone):%Y-%m-%d %H:%M}."
            case hb.Word.MUTE | hb.Word.UNMUTE as word:
                on = word is hb.Word.MUTE
                await self.mute(run_id, on=on, by=by)
                return "Muted. To hear it again: /hb unmute" if on else "You will hear it again."
            case _:
                told = await self.feedback(run_id, asked.word, by=by)
                hint = hb.suggestion(told["useful"], told["noise"], "", chat=True)
                return f"Noted: {asked.word}. {hint}".strip()

    async def purge(self, params: Mapping[str, Any], *, by: str) -> dict[str, Any]:
        """`heartbeat.inbox.purge`: delete what was chosen; without a choice what nobody awaits."""
        now = self._clock.now()
        query = replace(_query(params, default=_PURGED), before=_before(params, now))

        def work(tx: Tx) -> int:
            gone = kept.remove(tx, query, now)
            detail = {"removed": gone, **dict(params)}
            audit.note(tx, now=now, actor=by, action="inbox.purge", detail=detail)
            return gone

        return {"ok": True, "removed": await self._database.write(work)}

    # -- finding -------------------------------------------------------------------------

    def _sure(self, tx: Tx, ref: str) -> Kept:
        """Return kept words; an alert that did arrive gets its row now, by its run's id.

        Words that somebody put off or judged before are the row they have.
        """
        found = kept.find(tx, ref)
        if found is not None:
            return found
        sent = alert_of(tx, ref)
        if sent is None:
            raise _nothing(ref)
        if (known := kept.latest(tx, sent)) is not None:
            return kept.occurred(tx, sent, known.number) or known
        kept.put(tx, sent)
        return kept.find(tx, sent.id) or sent

    async def _way(self, one: Kept, to: str | None, account_id: str | None) -> Route:
        roster = self._roster()
        agent = roster.agent(one.agent_id)
        if to is None and one.route is not None and account_id is not None:
            to = one.route.whom
        if to is None and one.route is not None:
            return replace(one.route, via="explicit")
        wish = agent.beat.wish
        if to is not None:
            channel, rest = split_target(to)
            wish = TargetWish(target=channel or to.strip(), to=rest or None, source="config")
            wish = wish if channel else replace(wish, to=None)
        elif wish.target in ("", "none"):
            wish = TargetWish(target="last", source="config")
        wish = wish if account_id is None else replace(wish, account_id=account_id)
        found = await find_route(self._database, roster, wish, agent_id=agent.agent_id)
        if isinstance(found, NoRoute):
            raise InvalidInput(
                f"inbox {one.number} was not sent again",
                why=found.because,
                fix=f"engine inbox resend {one.number} --to channel:target",
            )
        return found


_PURGED: Final = (Stage.READ, Stage.RESENT, Stage.NOTED)


def _speaker(chat: ChatTurn) -> str:
    """Who said it: the person of the chat it came from, else some client."""
    route = chat.route
    return f"{route.channel}:{route.to}" if route is not None and route.heard else "chat"


def _message(tx: Tx, one: Kept, route: Route, now: datetime) -> Delivery:
    first = None if one.delivery_key is None else outbox.get(tx, one.delivery_key)
    return Delivery(
        key="",
        route=route,
        text=one.text,
        kind="message",
        created_at=now,
        expires_at=expiry("message", now),
        agent_id=one.agent_id,
        run_id=one.run_id,
        job_id=one.job_id,
        notes={MAY_REPEAT: True} if one.reason == State.UNKNOWN else {},
        media=() if first is None else first.media,
    )


def alert_of(tx: Tx, run_id: str) -> Kept | None:
    """Return the words of a run that were sent, as a row to be kept; None if it said nothing."""
    run = run_rows.get(tx, run_id)
    words = None if run is None or run.delivery_key is None else outbox.get(tx, run.delivery_key)
    if run is None or words is None:
        return None
    return Kept(
        id=f"run:{run.id}",
        text=uncounted(words.text),
        reason=SENT,
        at=words.created_at,
        kind=run.kind,
        agent_id=run.agent_id,
        run_id=run.id,
        job_id=run.job_id,
        delivery_key=words.key,
        route=words.route,
    )


def listing(tx: Tx, params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return one page of kept words, newest first: those that are open, unless asked for others."""
    query = _query(params, default=OPEN)
    found, total = kept.page(tx, query, now)
    return {
        "entries": [to_json(one, now) for one in found],
        "total": total,
        "unread": kept.count_unread(tx, now),
    }


def shown(tx: Tx, ref: str, now: datetime) -> dict[str, Any]:
    """Return kept words with the message that carried them, if one did."""
    one = _known(tx, ref)
    words = to_json(one, now)
    for name, key in (("delivery", one.delivery_key), ("resent", one.resent_key)):
        message = None if key is None else outbox.get(tx, key)
        if message is not None:
            words[name] = receipt(message)
    return words


def _thought_of(tx: Tx, ref: str) -> Kept:
    """Return kept words, or an alert that arrived and has no row yet: looked at, not written."""
    found = kept.find(tx, ref) or alert_of(tx, ref)
    if found is None:
        raise _nothing(ref)
    return found


def _known(tx: Tx, ref: str) -> Kept:
    found = kept.find(tx, ref)
    if found is None:
        raise _nothing(ref)
    return found


def _nothing(ref: str) -> NotFound:
    return NotFound(
        f"inbox entry not found: {ref}",
        why="it was purged, or what it names arrived",
        fix="engine inbox list --state all",
    )


def _query(params: Mapping[str, Any], *, default: tuple[Stage, ...]) -> KeptQuery:
    since = params.get("sinceMs")
    return KeptQuery(
        agent_id=params.get("agentId"),
        stages=_stages(params.get("state"), default),
        reason=params.get("reason"),
        since=None if since is None else EPOCH + int(since) * MILLISECOND,
        limit=int(params.get("limit") or PAGE),
        offset=int(params.get("offset") or 0),
    )


def _stages(word: object, default: tuple[Stage, ...]) -> tuple[Stage, ...]:
    if word is None:
        return default
    if word == ALL:
        return ()
    known = [stage.value for stage in Stage]
    if word not in known:
        raise InvalidInput(
            f"there is no state {word!r} in the inbox", fix=f"name one of: {', '.join(known)}, all"
        )
    return (Stage(str(word)),)


def _before(params: Mapping[str, Any], now: datetime) -> datetime:
    before = params.get("beforeMs")
    return now + MILLISECOND if before is None else EPOCH + int(before) * MILLISECOND
