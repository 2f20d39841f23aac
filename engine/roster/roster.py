"""Who the agents are: values the rooms of the engine share. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from engine.decisions import heartbeat
from engine.decisions.adaptive import Slack
from engine.decisions.heartbeat import Cadence
from engine.decisions.probes import Probe
from engine.decisions.tool_policy import ToolPolicy
from engine.messages.address import Route
from engine.messages.route import ChannelFacts, RouteFacts, TargetWish
from engine.messages.target import LastRoute, Stranger
from engine.roster.spending import BeatBudget
from engine.wording.dial import Dial
from engine.wording.prefix import Answered, rendered
from jobs.errors import NotFound
from jobs.windows import Hours, Window

LONGEST_BEAT: Final = timedelta(minutes=10)
LONGEST_DEFERRAL: Final = timedelta(minutes=30)
DEDUPE_WINDOW: Final = timedelta(hours=24)
HEARTBEAT_EXPIRY: Final = timedelta(hours=6)
SELF_TEST: Final = timedelta(days=7)
LONGEST_BACKOFF: Final = timedelta(hours=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePolicy:
    """How an agent's failing beats are spaced out, and when and whom that is told (§2.1)."""

    base: float = 1.0  # the first wait, in intervals
    factor: float = 2.0
    longest: timedelta = LONGEST_BACKOFF
    pause_after: int = 8  # failures in a row that suspend the beats; 0: never
    alert_after: int = 3
    alert_to: TargetWish | None = None  # None: where the agent's alerts go


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestPlan:
    """When what was collected is sent, and whether the night holds back what is urgent."""

    at: tuple[time, ...]
    urgent_during_quiet: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalatePlan:
    """Whom to tell when nobody acknowledges an alert."""

    after: timedelta
    wish: TargetWish
    only_high: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatProfile:
    """One agent's heartbeat, merged and parsed."""

    period: timedelta | None  # None: it has no beats of its own
    because: str = ""  # why it has none
    enrolled: bool = True  # false: not even an event wakes it
    phase: time | None = None  # counted from this time of day; None: from the hashed phase
    active_hours: Hours | None = None
    probes: tuple[Probe, ...] = ()  # asked before the model is
    slack: Slack | None = None  # None: the same pace always
    dayparts: tuple[Window, ...] = ()  # hours with a cadence of their own
    wish: TargetWish = field(default_factory=TargetWish)
    prompt: str | None = None
    ack_max_chars: int = 300
    model: str | None = None
    fallbacks: tuple[str, ...] = ()
    session: str | None = None
    isolated: bool = False
    light: bool = False  # beats go without the workspace's files but HEARTBEAT.md
    told_in_chats: bool = True  # chats say that there are beats
    timeout: timedelta = LONGEST_BEAT
    include_reasoning: bool = False
    tools_allow: tuple[str, ...] | None = None
    max_deferral: timedelta = LONGEST_DEFERRAL
    waits_for_subagents: bool = False
    restarts: bool = False  # a wake between its beats keeps a whole interval free of them
    without_route: bool = False  # it runs although nobody could be told
    dedupe_window: timedelta | None = DEDUPE_WINDOW  # None: repetitions are sent
    digest: DigestPlan | None = None  # None: no alert waits
    escalate: EscalatePlan | None = None
    dedupe_loosely: bool = False  # figures, times and links make no other text
    catch_up: bool = True
    expiry: timedelta = HEARTBEAT_EXPIRY
    budget: BeatBudget | None = None
    failure: FailurePolicy = FailurePolicy()
    expect_within: timedelta | None = None  # somebody is told if no slot ends well for so long
    self_test: timedelta = SELF_TEST  # how often its way out is tried silently; zero: never
    ping: str | None = field(default=None, repr=False)  # URL that gets a sign of life per slot
    idle_pause_after: timedelta | None = None  # None: it beats however long nobody writes
    keys: Mapping[str, str] = field(default_factory=dict)  # of its own block: where each stands


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentProfile:
    """One agent."""

    agent_id: str
    is_default: bool
    workspace: Path
    zone: ZoneInfo
    model: str | None
    fallbacks: tuple[str, ...]
    thinking: str | None
    turn_timeout: timedelta
    beat: BeatProfile
    tools: ToolPolicy = field(default_factory=ToolPolicy)
    sandbox: str = "off"  # anything else, and it runs no program
    name: str | None = None
    model_print: str = ""  # changes with the models of its beats and their credentials
    stamps: ZoneInfo | None = None  # zone in which it is told of events; None: its person's
    twelve: bool = False  # it is shown a clock of twelve hours

    @property
    def dial(self) -> Dial:
        """The clock it is shown."""
        return Dial(self.zone, self.stamps, self.twelve)

    def cadence(self, seed: str, now: datetime) -> Cadence | None:
        """Return when it beats, seen at ``now``; None if it has no beats of its own."""
        beat = self.beat
        if beat.period is None:
            return None
        return heartbeat.cadence(
            seed,
            self.agent_id,
            beat.period,
            now,
            at=beat.phase,
            zone=self.zone,
            hours=beat.active_hours,
            dayparts=beat.dayparts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """All agents of a config, and the channels as routes see them."""

    agents: Mapping[str, AgentProfile]
    default_id: str
    main_key: str
    default_zone: ZoneInfo
    local_fallback: bool = False
    by_tool: bool = False  # agents speak through tools; what they merely answer is not sent
    owners: tuple[Route, ...] = ()  # their direct chats, in configured order
    commanders: tuple[Route, ...] = ()  # of those, who may give owner commands
    _channels: Mapping[str, ChannelFacts] = field(default_factory=dict)
    _bound: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    _prefix: str = ""  # before every message
    _prefixes: Mapping[tuple[str, str], str] = field(default_factory=dict)  # of an account's own

    def agent(self, agent_id: str | None) -> AgentProfile:
        """Return an agent; the default one for None or a name nobody knows."""
        found = self.agents.get((agent_id or self.default_id).lower())
        return found if found is not None else self.agents[self.default_id]

    def knows(self, agent_id: str) -> bool:
        """Whether an agent of that name is configured."""
        return agent_id.lower() in self.agents

    def refuse_stranger(self, agent_id: str, what: str) -> None:
        """Raise `NotFound` for an agent nobody has configured; ``what`` did not happen."""
        if not self.knows(agent_id):
            have = ", ".join(sorted(self.agents))
            raise NotFound(
                what,
                why=f"agent {agent_id!r} is not configured (have: {have})",
                fix="engine heartbeat list",
                agent_id=agent_id,
            )

    def prefix(self, agent_id: str, reply: Answered, route: Route | None = None) -> str:
        """Return what stands before an agent's words on their way: its account's own, or all's."""
        account = (route.channel, route.account_id) if route is not None else ("", "")
        template = self._prefixes.get(account, self._prefix)
        return rendered(template, name=self.agent(agent_id).name, reply=reply)

    def channels(self, agent_id: str) -> dict[str, ChannelFacts]:
        """Return the channels as seen by one agent: with the accounts bound to it."""
        return {
            name: ChannelFacts(
                id=facts.id,
                accounts=facts.accounts,
                default_account=facts.default_account,
                bound_accounts=self._bound.get((agent_id, name), ()),
            )
            for name, facts in self._channels.items()
        }

    def route_facts(
        self,
        agent_id: str,
        last: LastRoute | None,
        *,
        event: Route | None = None,
        stranger: Stranger | None = None,
    ) -> RouteFacts:
        """Return what resolving a route of one agent may look at."""
        return RouteFacts(
            agent_id=agent_id,
            channels=self.channels(agent_id),
            last=last,
            event=event,
            stranger=stranger,
            owners=self.owners,
            local_fallback=self.local_fallback,
        )
