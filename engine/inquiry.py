"""Asks why an agent is silent: gathers the facts, for `engine.why`. Changes nothing.

The gateway asks on its live rooms; the command line on a store that is open for reading, and
without a config where none can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from engine import heartbeat
from engine.address import Route
from engine.config import effective
from engine.config.schema import Config
from engine.look import Lookout
from engine.roster import AgentProfile, Roster
from engine.route import NoRoute
from engine.sessions import main_key
from engine.store import outbox
from engine.store.holds import switched_on
from engine.troubles import ALL
from engine.wake import Intent, Wake
from engine.why import Account, Facts, Seen
from jobs.errors import EngineError, InvalidJob
from jobs.ledger import Run, RunStatus, SkipReason, Trigger
from jobs.model import StoredJob
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.base import RunQuery
from jobs.store.db import Database, Tx

COUNTED: Final = timedelta(hours=24)
_ASKED: Final = (RunStatus.OK, RunStatus.FAILED)

AccountOf = Callable[[str, str], Account | None]  # by channel and account


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """What is asked when somebody asks why."""

    database: Database
    lookout: Lookout
    roster: Roster
    config: Config

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
        if agent_id is not None:
            self.roster.refuse_stranger(agent_id, "nothing was looked at")
        agent = self.roster.agent(agent_id)
        stored = await self.database.read(lambda tx: stored_facts(tx, agent.agent_id, now))
        due = self.lookout.next_beat(agent, now)
        wake = self._poll(agent, now)
        view = await self.lookout.look(_slot(agent, due or now), wake, now)
        found, account = view.found, None
        if account_of is not None and isinstance(found, Route):
            account = account_of(found.channel, found.account_id)
        return replace(
            stored,
            seen=Seen(
                snapshot=view.snapshot,
                found=view.found,
                alerts=view.shown.alerts,
                period=agent.beat.period,
                no_beats_because=agent.beat.because,
                enrolled=agent.beat.enrolled,
                keys=self._keys(agent),
                # Without a gateway's plan the phase of this installation is not known.
                next_due_at=due if stored.scheduled else None,
                file_bytes=None if view.file.missing else view.file.size,
            ),
            scheduled=stored.scheduled if agent.beat.period is not None else None,
            model=agent.beat.model or agent.model,
            live=account_of is not None,
            failing=failing or {},
            account=account,
            ambiguous=self._ambiguous(agent, found),
            closed=tuple(effective.closed_accounts(self.config)),
        )

    def _poll(self, agent: AgentProfile, now: datetime) -> Wake:
        return Wake(
            agent_id=agent.agent_id,
            session_key=main_key(agent.agent_id, main=self.roster.main_key),
            source="interval",
            intent=Intent.SCHEDULED,
            reason="interval",
            requested_at=now,
        )

    def _keys(self, agent: AgentProfile) -> dict[str, str]:
        """Where each key stands that the agent's own heartbeat block sets (heartbeat.md §2)."""
        configured = effective.find_agent(self.config, agent.agent_id)
        block = configured.heartbeat if configured is not None else None
        if configured is None or block is None:
            return {}
        where = f"agents.list[id={configured.id}].heartbeat"
        fields = type(block).model_fields
        given = [fields[name].alias or name for name in block.model_fields_set & fields.keys()]
        return {key: f"{where}.{key}" for key in given}

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


def stored_facts(tx: Tx, agent_id: str, now: datetime) -> Facts:
    """Return what the store alone tells; enough where no config can be read."""
    stored, unreadable = _stored(tx, agent_id)
    asked = RunQuery(kind="heartbeat", agent_id=agent_id, statuses=_ASKED, limit=2)
    beats = run_rows.page(tx, asked).entries
    told = [run for run in beats if run.reason is not SkipReason.INTERRUPTED]
    return Facts(
        agent_id=agent_id,
        now=now,
        off=_off(tx, agent_id),
        scheduled=stored is not None and stored.state.next_run_at is not None,
        unreadable=unreadable,
        last=told[0] if told else None,
        counts=run_rows.skips(tx, agent_id, now - COUNTED),
        delivery=outbox.newest(tx, agent_id),
    )


def _stored(tx: Tx, agent_id: str) -> tuple[StoredJob | None, str]:
    """The agent's beats as the store has them, or why nobody can read them."""
    try:
        return job_rows.get(tx, heartbeat.job_id(agent_id)), ""
    except InvalidJob as error:
        return None, str(EngineError(error.why, fix=error.fix))


def _off(tx: Tx, agent_id: str) -> str | None:
    if not switched_on(tx):
        return ALL
    return None if switched_on(tx, agent_id) else agent_id


def _slot(agent: AgentProfile, slot: datetime) -> Run:
    """A beat that is only thought of."""
    return Run(
        id="",
        job_id=heartbeat.job_id(agent.agent_id),
        kind="heartbeat",
        agent_id=agent.agent_id,
        trigger=Trigger.SCHEDULE,
        status=RunStatus.CLAIMED,
        slot=slot,
    )
