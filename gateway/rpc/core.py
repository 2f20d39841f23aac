"""What the RPC room needs of the engine: promises, kept by `gateway.app` and by test fakes.

Everything here speaks wire shapes (camelCase mappings, integer milliseconds), so that a
handler only checks who may ask and passes on. Deliberate refusals are `EngineError`s; the
translation to wire errors is `gateway.protocol.errors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from engine.decisions.hb import Word
from engine.decisions.wake import NewEvent
from engine.messages.outbox import NewMessage
from engine.scheduling import Chosen
from engine.sessions import Message
from gateway.auth.pairing import Manager
from gateway.rpc.attached import Attached
from gateway.rpc.core_admin import ConfigDesk, Figures, Host, Suspending, Switchboard, Tools

Answer = Mapping[str, Any]


class Scheduling(Protocol):
    """Jobs and their runs: cron.md §14, protocol.md §10.3 and §12.9.

    ``ref`` is an id, a config key or an exact unique name; an unknown one raises `JobNotFound`.
    """

    async def status(self) -> Answer:
        """`cron.status`; cheap."""

    async def list(self, params: Mapping[str, Any]) -> Answer:
        """`cron.list`: one page."""

    async def get(self, ref: str) -> Answer:
        """`cron.get`."""

    async def add(self, params: Mapping[str, Any], *, by: str) -> Answer:
        """`cron.add`."""

    async def update(
        self,
        ref: str,
        patch: Mapping[str, Any],
        *,
        by: str,
        expected_revision: str | None = None,
    ) -> Answer:
        """`cron.update`."""

    async def remove(self, ref: str, *, by: str, force: bool = False) -> Answer:
        """`cron.remove`: ``{ok, removed}``."""

    async def run(self, ref: str, *, mode: str, by: str, process: str | None = None) -> Answer:
        """`cron.run`: ``{ok, enqueued, runId}`` or ``{ok, ran: false, reason}``."""

    async def bring_in(self, params: Mapping[str, Any], *, by: str) -> Answer:
        """`cron.import`: jobs from elsewhere, in one transaction."""

    async def runs(self, params: Mapping[str, Any]) -> Answer:
        """`cron.runs`: one page, newest first."""


class Control(Protocol):
    """What an operator does to jobs beside editing them."""

    async def pause(
        self, chosen: Chosen, *, by: str, note: str = "", until: datetime | None = None
    ) -> Answer:
        """`cron.pause`."""

    async def resume(self, chosen: Chosen, *, by: str) -> Answer:
        """`cron.resume`."""

    async def skip(
        self, ref: str, *, by: str, count: int = 1, note: str = "", undo: bool = False
    ) -> Answer:
        """`cron.skip`."""

    async def adopt(self, ref: str, *, by: str) -> Answer:
        """`cron.adopt`."""

    async def cancel(self, run_id: str, *, by: str) -> Answer:
        """`cron.cancel`."""

    async def backfill(
        self,
        ref: str,
        *,
        since: datetime,
        until: datetime,
        by: str,
        policy: str = "missing",
        dry_run: bool = False,
        rate: str | None = None,
    ) -> Answer:
        """`cron.backfill`."""


class Outlook(Protocol):
    """What is to come: cron.md §14, §22 rows 8 and 10."""

    async def explain(self, params: Mapping[str, Any]) -> Answer:
        """`cron.explain`: a schedule or a job in words, with its coming slots."""

    async def timeline(self, params: Mapping[str, Any]) -> Answer:
        """`cron.timeline`: the coming hours of all jobs and beats."""

    async def next(self, params: Mapping[str, Any]) -> Answer:
        """`cron.next`: coming slots of a job, of an expression, or of all jobs."""

    async def audit(self, params: Mapping[str, Any]) -> Answer:
        """`cron.audit`: whether every slot has its row."""


class Foresight(Protocol):
    """What would be: cron.md §13, §22 row 9."""

    async def plan(self) -> Answer:
        """`cron.plan`: what the config file would change about the jobs."""

    async def simulate(self, params: Mapping[str, Any]) -> Answer:
        """`cron.simulate`: the coming days on a clock that runs ahead."""


class Heartbeats(Protocol):
    """Beats as the record tells them: heartbeat.md §9."""

    async def last(self, agent_id: str | None = None) -> Answer | None:
        """The newest record (of one agent), or nothing yet."""

    async def listing(self) -> Sequence[Answer]:
        """Every agent's heartbeat: enrolled, every, next slot, last record."""

    async def history(self, params: Mapping[str, Any]) -> Answer:
        """Records newest first: ``{entries, total}``; or with ``summary`` what they came to."""

    async def next(self, params: Mapping[str, Any]) -> Answer:
        """Slots to come, each with the gate that would stop it: heartbeat.md §20."""

    async def events(self, since: int | None) -> Answer:
        """What was published after a number: ``{events, cursor, oldest, complete}``."""

    async def replay(self, run_id: str) -> Answer:
        """One beat decided once more: heartbeat.md §25-19."""

    async def tasks(self, agent_id: str | None = None) -> Answer:
        """The tasks of one agent's HEARTBEAT.md, or of all: ``{agents: [...]}``."""

    async def run_task(self, name: str, *, agent_id: str | None = None, by: str) -> Answer:
        """Run one task now."""

    async def skip_task(self, name: str, *, agent_id: str | None = None, by: str) -> Answer:
        """Leave one task out once."""

    async def run(
        self,
        agent_id: str | None = None,
        *,
        by: str,
        deliver: bool = True,
        within: timedelta | None = None,
    ) -> Answer:
        """Run a beat now; its record, if it ends in time."""

    async def rehearse(self, agent_id: str | None = None, *, by: str, ask: bool = True) -> Answer:
        """Say what a beat would do now; nothing is sent or kept: heartbeat.md §25-4."""

    async def test(
        self,
        agent_id: str | None = None,
        *,
        place: Mapping[str, str] | None = None,
        dry_run: bool = False,
        within: timedelta,
    ) -> Answer:
        """Send a marked message the way of an alert; what became of it."""

    async def set_enabled(self, enabled: bool, *, agent_id: str | None = None, by: str) -> Answer:
        """Switch all heartbeats, or one agent's; ``{ok, enabled}``."""

    async def cost(self, params: Mapping[str, Any]) -> Answer:
        """`heartbeat.cost`: ``{by, rows, total, agents, cheaper}``."""

    async def pause(
        self, *, agent_id: str | None = None, by: str, note: str = "", until: datetime | None = None
    ) -> Answer:
        """Hold all heartbeats, or one agent's, until an instant or for good."""

    async def resume(self, *, agent_id: str | None = None, by: str) -> Answer:
        """End one agent's pause, or every pause; ``{ok, resumed, stillPaused}``."""


class Inquiries(Protocol):
    """Why a message came, did not come, or will come: operations.md §10.1."""

    async def silence(self, agent_id: str | None = None, *, at: datetime | None = None) -> Answer:
        """The way of an agent's beats link by link: now, or at another instant."""

    async def run(self, ref: str) -> Answer:
        """The same walk for a run on record: its id, the start of it, or its job."""


class Wakes(Protocol):
    """System events and the wakes they cause: heartbeat.md §15."""

    async def system_event(self, event: NewEvent) -> Answer:
        """Queue an event durably; with mode now it also wakes. ``{ok, eventId}``."""

    async def wait(self, event_id: str, within: timedelta) -> Answer | None:
        """The record of the beat that saw the event, or nothing in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOrder:
    """One message from a client to an agent."""

    run_id: str  # the idempotency key (protocol.md §8)
    agent_id: str
    session_key: str
    text: str
    timeout: timedelta | None = None  # None: the agent's default; zero: no limit
    deliver: bool = False
    channel: str | None = None  # where to deliver; None: the session's last route
    to: str | None = None
    account_id: str | None = None
    thread_id: str | None = None
    model: str | None = None
    thinking: str | None = None
    extra_system_prompt: str | None = None
    best_effort: bool = False
    earlier: Sequence[Message] | None = None  # said before; then no session is read or kept
    written_here: bool = False  # a person's own words, by a client of this machine
    attachments: tuple[Attached, ...] = ()


class Conversation(Protocol):
    """Chat turns; publishes `agent` and `chat` bus events on the way."""

    def check(self, order: ChatOrder) -> None:
        """Refuse an order that cannot be kept (no route for ``deliver`` …), before any answer."""

    async def converse(self, order: ChatOrder) -> Answer:
        """Take the turn; ``{status: ok|timeout|error, payloads, meta, error?, stopReason?}``."""

    async def abort(self, session_key: str, run_id: str | None = None) -> Sequence[str]:
        """Cancel running turns of a session; the run ids that were cancelled."""


class Outlet(Protocol):
    """Messages to people, through the outbox."""

    async def send(self, message: NewMessage) -> Answer:
        """Accept one message; ``{messageId, channel, chatId?, state}``. Same key, same answer."""


class Sessions(Protocol):
    """Conversations as stored."""

    def resolve(self, agent_id: str | None, session_key: str | None) -> tuple[str, str]:
        """Agent and full session key; aliases resolved, contradictions and strangers refused."""

    async def listing(self, params: Mapping[str, Any]) -> Answer:
        """`sessions.list`."""

    async def history(self, session_key: str, *, limit: int) -> Answer:
        """`chat.history`: ``{sessionKey, sessionId?, messages}``, oldest first."""

    def is_main(self, session_key: str) -> bool:
        """Whether it is an agent's main session."""

    async def describe(self, session_key: str) -> Answer | None:
        """One entry of the list, or None."""

    async def create(
        self, session_key: str, agent_id: str, *, model: str | None, by: str
    ) -> Answer:
        """Make one, unless it is there; its entry."""

    async def patch(self, session_key: str, *, model: str | None, by: str) -> Answer:
        """Set the model of its turns; a stranger raises `NotFound`."""

    async def reset(self, session_key: str, *, by: str) -> Answer:
        """Begin it anew; its entry."""

    async def compact(self, session_key: str, *, keep: int, by: str) -> int:
        """Take out all but its newest lines; how many went."""

    async def delete(self, session_key: str, *, by: str) -> bool:
        """Remove it and what was said in it; whether there was one."""

    async def inject(self, session_key: str, text: str, *, by: str) -> str:
        """Add a line of the assistant's and tell it; its id."""


class Inbox(Protocol):
    """The local channel's inbox (channels.md §13)."""

    async def listing(self, params: Mapping[str, Any]) -> Answer:
        """`inbox.list`: ``{messages, total, unseen}``."""

    async def ack(self, ids: Sequence[str] | None) -> Answer:
        """`inbox.ack`: mark seen; None means all. ``{ok, acked}``."""


class Approvals(Protocol):
    """Commands agents may not run before a person has said yes."""

    async def listing(self, *, every: bool = False) -> Answer:
        """`exec.approval.list`: ``{approvals}``."""

    async def approve(self, ident: str, *, by: str) -> Answer:
        """Allow one, once; `NotFound`, `InvalidInput` if it is decided or too late."""

    async def deny(self, ident: str, *, by: str) -> Answer:
        """Refuse one."""


class Pairings(Protocol):
    """Strangers who ask to be let in (channels.md §3.2)."""

    async def listing(self, channel: str | None, account_id: str | None) -> Answer:
        """`pairing.list`: ``{requests, approved}``."""

    async def approve(self, channel: str, code: str, by: str) -> Answer:
        """`pairing.approve`; an unknown code raises `NotFound`."""

    async def reject(self, channel: str, code: str, by: str) -> Answer:
        """`pairing.reject`; an unknown code raises `NotFound`."""


class Devices(Protocol):
    """Devices and their tokens (protocol.md §10.8); a stranger raises `NotFound`."""

    async def listing(self, manager: Manager) -> Answer:
        """`device.pair.list`: ``{pending, paired}``."""

    async def approve(self, request_id: str, manager: Manager) -> Answer:
        """`device.pair.approve`."""

    async def reject(self, request_id: str, manager: Manager) -> Answer:
        """`device.pair.reject`."""

    async def remove(self, device_id: str, manager: Manager) -> Answer:
        """`device.pair.remove`."""

    async def rotate(
        self, device_id: str, role: str, scopes: Sequence[str] | None, manager: Manager
    ) -> Answer:
        """`device.token.rotate`; the bearer under ``token``."""

    async def revoke(self, device_id: str, role: str, manager: Manager) -> Answer:
        """`device.token.revoke`."""


class Kept(Protocol):
    """Words that reached nobody (heartbeat.md §25 rows 11 and 13).

    ``ref`` is a number, an id, or the run the words come from; a stranger raises `NotFound`.
    """

    async def listing(self, params: Mapping[str, Any]) -> Answer:
        """`heartbeat.inbox`: ``{entries, total, unread}``."""

    async def show(self, ref: str) -> Answer:
        """`heartbeat.inbox.show`."""

    async def acknowledge(self, ref: str | None, *, by: str) -> Answer:
        """`heartbeat.inbox.ack`: one, or all for None."""

    async def snooze(self, ref: str, until: datetime, *, by: str) -> Answer:
        """`heartbeat.inbox.snooze`."""

    async def mute(self, ref: str, *, on: bool, by: str) -> Answer:
        """`heartbeat.inbox.mute`."""

    async def resend(
        self, ref: str, *, to: str | None = None, account_id: str | None = None, by: str
    ) -> Answer:
        """`heartbeat.inbox.resend`: never twice to the same place."""

    async def feedback(self, ref: str, word: Word, *, by: str) -> Answer:
        """`heartbeat.feedback`: ``{ok, verdict, useful, noise, suggestion?}``."""

    async def purge(self, params: Mapping[str, Any], *, by: str) -> Answer:
        """`heartbeat.inbox.purge`: ``{ok, removed}``."""


class Messages(Protocol):
    """The outbox (channels.md §11); a stranger's key raises `NotFound`."""

    async def listing(self, params: Mapping[str, Any]) -> Answer:
        """`outbox.list`: ``{entries, total, depth, amiss}``."""

    async def show(self, key: str) -> Answer:
        """`outbox.show`."""

    async def retry(self, key: str, *, by: str) -> Answer:
        """`outbox.retry`."""

    async def cancel(self, key: str, *, by: str) -> Answer:
        """`outbox.cancel`."""

    async def purge(self, params: Mapping[str, Any], *, by: str) -> Answer:
        """`outbox.purge`: ``{ok, removed}``."""


class Core(Protocol):
    """The engine as the gateway sees it."""

    @property
    def standing(self) -> tuple[object, ...] | None:
        """What `cron.status` and `last-heartbeat` hang on; None: nobody knows."""

    @property
    def scheduling(self) -> Scheduling:
        """Jobs."""

    @property
    def control(self) -> Control:
        """Jobs paused, left out, cancelled, backfilled."""

    @property
    def outlook(self) -> Outlook:
        """What is to come."""

    @property
    def foresight(self) -> Foresight:
        """What would be."""

    @property
    def heartbeats(self) -> Heartbeats:
        """Beats."""

    @property
    def inquiries(self) -> Inquiries:
        """Why."""

    @property
    def wakes(self) -> Wakes:
        """Events."""

    @property
    def conversation(self) -> Conversation:
        """Chat turns."""

    @property
    def outlet(self) -> Outlet:
        """Messages out."""

    @property
    def sessions(self) -> Sessions:
        """Conversations."""

    @property
    def inbox(self) -> Inbox:
        """Local messages."""

    @property
    def approvals(self) -> Approvals:
        """Commands that wait for a person."""

    @property
    def pairings(self) -> Pairings:
        """Who is let in."""

    @property
    def devices(self) -> Devices:
        """Devices and their tokens."""

    @property
    def kept(self) -> Kept:
        """Words that reached nobody."""

    @property
    def messages(self) -> Messages:
        """The outbox."""

    @property
    def settings(self) -> ConfigDesk:
        """The config file."""

    @property
    def tools(self) -> Tools:
        """What agents may use."""

    @property
    def switchboard(self) -> Switchboard:
        """Channels started and stopped by hand."""

    @property
    def host(self) -> Host:
        """The process."""

    @property
    def figures(self) -> Figures:
        """What is counted."""

    @property
    def suspending(self) -> Suspending:
        """The process, held for a moment."""

    async def health(self) -> Answer:
        """The `health` object without ``ts`` and ``durationMs``. Never on a request's path."""

    async def status(self) -> Answer:
        """The `status` object."""

    def agents(self) -> Answer:
        """`agents.list`."""

    def models(self) -> Sequence[Answer]:
        """`models.list` entries."""

    async def channels_status(self, *, probe: bool = False, channel: str | None = None) -> Answer:
        """`channels.status`."""

    async def channels_routes(self, params: Mapping[str, Any]) -> Answer:
        """`channels.routes`."""
