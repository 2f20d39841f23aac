"""Asks why an agent is silent: gathers the facts, for `engine.why`. Changes nothing.

The gateway asks on its live rooms; the command line on a store that is open for reading, and
without a config where none can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from engine import why
from engine.beats.look import Lookout
from engine.config import effective, models
from engine.config.schema import Config
from engine.decisions.heartbeat import Cadence
from engine.inquiry.coming import thought_of, unhindered, wake_of
from engine.inquiry.stored import stored_facts, told_of_past, told_of_run
from engine.messages.address import Route
from engine.messages.route import LOCAL, NoRoute
from engine.outlet import find_route
from engine.roster.roster import AgentProfile, Roster
from engine.roster.view import View
from engine.store import tasks as task_rows
from engine.why import Account, Facts, Seen
from engine.workspace.tasks import due_tasks, next_task_at
from jobs.errors import InvalidInput
from jobs.ledger import SkipReason
from jobs.store.db import Database
from jobs.wallclock import MILLISECOND

__all__ = ["AccountOf", "Inquiry", "stored_facts", "told_of_past", "told_of_run"]

FOLLOWING: Final = 5  # slots told after the one that was asked for
FARTHEST: Final = timedelta(days=366)
_WALKED: Final = 50_000  # slots between now and the one asked for

AccountOf = Callable[[str, str], Account | None]  # by channel and account


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """What is asked when somebody asks why."""

    database: Database
    lookout: Lookout
    roster: Roster
    config: Config
    ahead: Lookout | None = None  # one whose clock may run ahead; None: nobody else uses the other

    async def facts(
        self,
        agent_id: str | None,
        now: datetime,
        *,
        account_of: AccountOf | None = None,
        failing: Mapping[str, str] | None = None,
    ) -> Facts:
        """Return what is known of an agent's beats; raises `NotFound` for one nobody knows.

        ``account_of`` is asked for the account of the route; without it nobody tells of
        channels, as when no gateway runs.
        """
        agent = self._known(agent_id)
        due = self.lookout.next_beat(agent, now)
        view = await self.lookout.look(
            thought_of(agent, due or now), wake_of(agent, now, self.roster.main_key), now
        )
        return await self._facts(agent, view, now, due, account_of, failing)

    async def told(
        self,
        agent_id: str | None,
        now: datetime,
        *,
        at: datetime | None = None,
        account_of: AccountOf | None = None,
        failing: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Answer `heartbeat.explain`: now, or at another instant.

        The past is told from its rows, what is to come by the gates as they would decide then.
        """
        agent = self._known(agent_id)
        if at is None:
            return why.told_of_now(
                await self.facts(agent_id, now, account_of=account_of, failing=failing)
            )
        if at <= now:
            return await self._past(agent, now, at, live=account_of is not None)
        return await self._to_come(agent, now, at, account_of, failing)

    def _known(self, agent_id: str | None) -> AgentProfile:
        if agent_id is not None:
            self.roster.refuse_stranger(agent_id, "nothing was looked at")
        return self.roster.agent(agent_id)

    async def _past(
        self, agent: AgentProfile, now: datetime, at: datetime, *, live: bool
    ) -> dict[str, Any]:
        """Tell of the beat nearest to an instant, and of no remedy for what is no longer so."""
        told = await self.database.read(
            lambda tx: told_of_past(tx, agent.agent_id, at, now=now, where=agent.zone, live=live)
        )
        return why.mended(told, why.links(await self.facts(agent.agent_id, now)))

    async def _to_come(
        self,
        agent: AgentProfile,
        now: datetime,
        at: datetime,
        account_of: AccountOf | None,
        failing: Mapping[str, str] | None,
    ) -> dict[str, Any]:
        """Tell of the first slot from an instant on."""
        if at - now > FARTHEST:
            raise InvalidInput(
                "nothing was looked at",
                why=f"{at:%Y-%m-%d} is more than a year ahead",
                fix="name an earlier instant",
            )
        ahead = self.ahead or self.lookout
        cadence = ahead.cadence(agent, now)
        slot = cadence.schedule.next_after(at - MILLISECOND) if cadence is not None else None
        then = slot or at
        view = await ahead.look(
            thought_of(agent, then), wake_of(agent, then, self.roster.main_key), then
        )
        last = await self.database.read(lambda tx: task_rows.last_slots(tx, agent.agent_id))
        read_before = cadence is not None and (cadence.schedule.next_after(now) or then) < then
        free = replace(
            unhindered(view.snapshot),
            has_events=view.snapshot.has_events and not read_before,
            **_tasks_by_then(view, cadence, last, now, then),
        )
        facts = await self._facts(
            agent, replace(view, snapshot=free), now, slot, account_of, failing
        )
        following = [] if cadence is None or slot is None else _after(cadence, slot)
        return why.told_of_slot(replace(facts, now=then), at, following=following)

    async def _facts(
        self,
        agent: AgentProfile,
        view: View,
        now: datetime,
        due: datetime | None,
        account_of: AccountOf | None,
        failing: Mapping[str, str] | None,
    ) -> Facts:
        stored = await self.database.read(lambda tx: stored_facts(tx, agent.agent_id, now))
        found, account = view.found, None
        named = agent.beat.model or agent.model
        would = await self._would(agent, found)
        if account_of is not None and isinstance(found, Route):
            account = account_of(found.channel, found.account_id)
        elif account_of is not None:
            account = self._cut_off(agent, account_of)
        return replace(
            stored,
            seen=Seen(
                snapshot=view.snapshot,
                found=view.found,
                alerts=view.shown.alerts,
                alerts_key=effective.alerts_key(self.config, *_place(view.found)),
                period=agent.beat.period,
                wider=None if view.purse is None else view.purse.wider,
                no_beats_because=agent.beat.because,
                enrolled=agent.beat.enrolled,
                would=would,
                keys=agent.beat.keys,
                # Without a gateway's plan the phase of this installation is not known.
                next_due_at=due if stored.scheduled else None,
                file_bytes=None if view.file.missing else view.file.size,
            ),
            scheduled=stored.scheduled if agent.beat.period is not None else None,
            model=named,
            model_fault=models.ref_fault(named, self.config) if named else "",
            model_fix=models.remedy(named) if named else "",
            model_print=agent.model_print,
            live=account_of is not None,
            failing=failing or {},
            account=account,
            ambiguous=self._ambiguous(agent, would or found),
        )

    def _cut_off(self, agent: AgentProfile, account_of: AccountOf) -> Account | None:
        """An account that does not work where none does: nobody can have written to the agent."""
        accounts = [
            account_of(name, one.id)
            for name, channel in self.roster.channels(agent.agent_id).items()
            for one in channel.accounts
            if one.enabled and name != LOCAL
        ]
        if any(one is None or one.connected for one in accounts):
            return None
        return next((one for one in accounts if one is not None and one.error), None)

    async def _would(self, agent: AgentProfile, found: Route | NoRoute) -> Route | NoRoute | None:
        """Where `last` would lead, if words go to nobody because the target is none."""
        if isinstance(found, Route) or found.reason is not SkipReason.TARGET_NONE:
            return None
        wish = replace(agent.beat.wish, target="last")
        return await find_route(self.database, self.roster, wish, agent_id=agent.agent_id)

    def _ambiguous(self, agent: AgentProfile, found: Route | NoRoute) -> dict[str, str]:
        """Channels with several accounts, none of them the default or the agent's own.

        With the one that would do: the one words go by already, else the first.
        """
        nobody_chose = {}
        for channel in self.roster.channels(agent.agent_id).values():
            enabled = [account.id for account in channel.accounts if account.enabled]
            chosen = channel.default_account or len(channel.bound_accounts) == 1
            if len(enabled) > 1 and not chosen:
                used = found.account_id if isinstance(found, Route) else ""
                nobody_chose[channel.id] = used if used in enabled else enabled[0]
        return nobody_chose


def _place(found: Route | NoRoute) -> tuple[str | None, str | None]:
    return (found.channel, found.account_id) if isinstance(found, Route) else (None, None)


def _after(cadence: Cadence, slot: datetime) -> list[datetime]:
    found: list[datetime] = []
    following = cadence.schedule.next_after(slot)
    while following is not None and len(found) < FOLLOWING:
        found.append(following)
        following = cadence.schedule.next_after(following)
    return found


def _tasks_by_then(
    view: View,
    cadence: Cadence | None,
    last: Mapping[str, datetime],
    now: datetime,
    then: datetime,
) -> dict[str, Any]:
    """Which tasks will be due, if every beat before serves those that are due for it."""
    if cadence is None or not view.file.tasks:
        return {}
    served: dict[str, datetime | None] = dict(last)
    hours = view.snapshot.active_hours
    slot = cadence.schedule.next_after(now)
    for _ in range(_WALKED):
        if slot is None or slot >= then:
            break
        if hours is None or hours.contains(slot):
            due = due_tasks(view.file.tasks, served, slot, slot, view.agent.zone)
            served |= {task.name: slot for task in due}
        slot = cadence.schedule.next_after(slot)
    due_then = due_tasks(view.file.tasks, served, then, then, view.agent.zone)
    return {
        "tasks_due": tuple(task.name for task in due_then),
        "next_task_at": next_task_at(view.file.tasks, served, then, view.agent.zone),
    }
