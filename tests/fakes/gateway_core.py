"""An engine for tests of the gateway: it keeps what it was told and answers from a script."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from engine.decisions.wake import NewEvent
from engine.messages.outbox import NewMessage
from engine.scheduling import Chosen
from gateway.auth.pairing import Manager
from gateway.restarts import Wanted
from gateway.rpc.core import ChatOrder, Devices
from jobs.errors import ConfigOwned, Conflict, InvalidInput, JobNotFound
from jobs.wallclock import ms


class Said(list[tuple[str, Any]]):
    """What the core was asked to do, in order."""

    def of(self, name: str) -> list[Any]:
        return [value for told, value in self if told == name]


class FakeScheduling:
    def __init__(self, said: Said) -> None:
        self.said = said
        self.tz = "UTC"
        self.jobs: dict[str, dict[str, Any]] = {}
        self.enabled = True
        self.entries: list[dict[str, Any]] = []

    async def status(self) -> dict[str, Any]:
        nothing = {"nextWakeAtMs": None, "nextRunAtMs": None}
        return {"enabled": self.enabled, "jobs": len(self.jobs), "tz": self.tz, **nothing}

    async def list(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self.said.append(("list", dict(params)))
        jobs = [*self.jobs.values()]
        return {"jobs": jobs, "total": len(jobs), "offset": 0, "limit": 50, "hasMore": False}

    async def get(self, ref: str) -> dict[str, Any]:
        if ref not in self.jobs:
            raise JobNotFound(f"cron job not found: {ref}", fix="engine cron list", job_id=ref)
        return self.jobs[ref]

    async def add(self, params: Mapping[str, Any], *, by: str) -> dict[str, Any]:
        self.said.append(("add", {**params, "by": by}))
        job = {"id": f"job-{len(self.jobs) + 1}", **params}
        self.jobs[job["id"]] = job
        return job

    async def bring_in(self, params: Mapping[str, Any], *, by: str) -> dict[str, Any]:
        self.said.append(("bring_in", {**params, "by": by}))
        results = [
            {"key": one["key"], "where": one["where"], "act": "add"} for one in params["entries"]
        ]
        counts = {"add": len(results), "update": 0, "unchanged": 0, "refused": 0, "runs": 0}
        return {"ok": True, "dryRun": False, "counts": counts, "results": results}

    async def update(
        self,
        ref: str,
        patch: Mapping[str, Any],
        *,
        by: str,
        expected_revision: str | None = None,
    ) -> dict[str, Any]:
        job = await self.get(ref)
        if job.get("source") == "config":
            raise ConfigOwned(f"{ref} belongs to the config", why="engine.json:3", fix="edit it")
        job.update(patch)
        return job

    async def remove(self, ref: str, *, by: str, force: bool = False) -> dict[str, Any]:
        self.said.append(("remove", {"ref": ref, "force": force}))
        await self.get(ref)
        del self.jobs[ref]
        return {"ok": True, "removed": True}

    async def run(
        self, ref: str, *, mode: str, by: str, process: str | None = None
    ) -> dict[str, Any]:
        await self.get(ref)
        return {"ok": True, "enqueued": True, "runId": "run-1"}

    async def runs(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"entries": self.entries, "total": len(self.entries), "asked": dict(params)}


class FakeHeartbeats:
    def __init__(self, said: Said) -> None:
        self.said = said
        self.record: dict[str, Any] | None = None
        self.still_off: list[str] = []
        self.tested: dict[str, Any] = {"ok": True, "agentId": "main", "route": {}, "sent": False}

    async def last(self, agent_id: str | None = None) -> dict[str, Any] | None:
        return self.record

    async def listing(self) -> Sequence[dict[str, Any]]:
        return [{"agentId": "main", "enabled": True, "every": "30m"}]

    async def history(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"entries": [], "total": 0, "asked": dict(params)}

    async def next(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"fromMs": 0, "agents": [], "asked": dict(params)}

    async def run(
        self,
        agent_id: str | None = None,
        *,
        by: str,
        deliver: bool = True,
        within: timedelta | None = None,
    ) -> dict[str, Any]:
        ended = within is not None and self.record is not None
        told = {"ok": True, "agentId": agent_id or "main", "ended": ended}
        return {**told, "record": self.record} if ended else told

    async def rehearse(
        self, agent_id: str | None = None, *, by: str, ask: bool = True
    ) -> dict[str, Any]:
        return {"agentId": agent_id or "main", "dryRun": True, "runs": True}

    async def events(self, since: int | None) -> dict[str, Any]:
        return {"events": [], "cursor": 0, "oldest": None, "complete": True}

    async def replay(self, run_id: str) -> dict[str, Any]:
        return {"runId": run_id, "same": True, "steps": []}

    async def tasks(self, agent_id: str | None = None) -> dict[str, Any]:
        return {"agents": []}

    async def run_task(self, name: str, *, agent_id: str | None = None, by: str) -> dict[str, Any]:
        return {"ok": True, "task": name}

    async def skip_task(self, name: str, *, agent_id: str | None = None, by: str) -> dict[str, Any]:
        return {"ok": True, "task": name}

    async def test(
        self,
        agent_id: str | None = None,
        *,
        place: Mapping[str, str] | None = None,
        dry_run: bool = False,
        within: timedelta,
    ) -> dict[str, Any]:
        self.said.append(("test", (agent_id, dry_run, within, *([place] if place else []))))
        return self.tested

    async def set_enabled(
        self, enabled: bool, *, agent_id: str | None = None, by: str
    ) -> dict[str, Any]:
        self.said.append(("set_enabled", (enabled, agent_id, by)))
        return {"ok": True, "enabled": enabled, "stillOff": self.still_off}

    async def cost(self, params: Mapping[str, Any]) -> dict[str, Any]:
        total = {"runs": 0, "tokens": 0, "costUsd": 0.0, "unpriced": 0}
        told = {"by": params["by"], "rows": [], "total": total, "agents": [], "cheaper": None}
        return told | {"asked": dict(params)}

    async def pause(
        self, *, agent_id: str | None = None, by: str, note: str = "", until: datetime | None = None
    ) -> dict[str, Any]:
        self.said.append(("pause", (agent_id, note, until)))
        return {"ok": True, "agentId": agent_id, "note": note, "untilMs": ms(until)}

    async def resume(self, *, agent_id: str | None = None, by: str) -> dict[str, Any]:
        self.said.append(("resume", (agent_id,)))
        return {"ok": True, "agentId": agent_id, "resumed": 1, "stillPaused": False}


class FakeInquiries:
    def __init__(self, said: Said) -> None:
        self.said = said
        self.links: list[dict[str, str]] = []

    async def silence(
        self, agent_id: str | None = None, *, at: datetime | None = None
    ) -> dict[str, Any]:
        self.said.append(("silence", (agent_id, at)))
        told = {"agentId": agent_id or "main", "links": self.links, "nextDueAtMs": None}
        return told if at is None else {**told, "when": "past", "subject": "the beat"}

    async def run(self, ref: str) -> dict[str, Any]:
        self.said.append(("explain-run", ref))
        told = {"agentId": "main", "when": "past", "subject": "the run of brief"}
        return {**told, "runId": ref, "links": self.links}


class FakeWakes:
    def __init__(self, said: Said) -> None:
        self.said = said
        self.outcome: dict[str, Any] | None = None
        self.told: dict[str, Any] = {}

    async def system_event(self, event: NewEvent) -> dict[str, Any]:
        told = {
            "text": event.text,
            "mode": event.mode,
            "agent": event.agent_id,
            "source": event.source,
            **({"about": event.context_key} if event.replaces else {}),
        }
        self.said.append(("system_event", told))
        return {"ok": True, "eventId": "ev-1", **self.told}

    async def wait(self, event_id: str, within: timedelta) -> dict[str, Any] | None:
        self.said.append(("wait", (event_id, within)))
        return self.outcome


class FakeOutlook:
    def __init__(self, said: Said) -> None:
        self.said = said

    async def explain(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self.said.append(("explain", dict(params)))
        return {"sentence": "At 09:00 every day, UTC.", "occurrences": []}

    async def timeline(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self.said.append(("timeline", dict(params)))
        return {"jobs": [], "hotSpots": []}

    async def next(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self.said.append(("next", dict(params)))
        return {"tz": "UTC", "occurrences": []}

    async def audit(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self.said.append(("audit", dict(params)))
        return {"ok": True, "jobs": []}


class FakeForesight:
    async def plan(self) -> dict[str, Any]:
        return {"file": "engine.json", "changes": [], "unchanged": 0, "adopted": []}

    async def simulate(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"ok": True, "timeline": [], "truncated": False, "asked": dict(params)}


class FakeControl:
    """Every call is kept, and answered with its name."""

    def __init__(self, said: Said) -> None:
        self.said = said

    async def pause(self, chosen: Chosen, **how: Any) -> dict[str, Any]:
        return self._told("pause", chosen, how)

    async def resume(self, chosen: Chosen, **how: Any) -> dict[str, Any]:
        return self._told("resume", chosen, how)

    async def skip(self, ref: str, **how: Any) -> dict[str, Any]:
        return self._told("skip", ref, how)

    async def adopt(self, ref: str, **how: Any) -> dict[str, Any]:
        return self._told("adopt", ref, how)

    async def cancel(self, run_id: str, **how: Any) -> dict[str, Any]:
        return self._told("cancel", run_id, how)

    async def backfill(self, ref: str, **how: Any) -> dict[str, Any]:
        return {**self._told("backfill", ref, how), "slots": [], "runIds": []}

    def _told(self, what: str, whom: object, how: dict[str, Any]) -> dict[str, Any]:
        self.said.append((what, (whom, how)))
        return {"ok": True}


class FakeConversation:
    def __init__(self, said: Said) -> None:
        self.said = said
        self.go = asyncio.Event()
        self._asked = asyncio.Event()
        self._stopped: asyncio.Queue[str] = asyncio.Queue()
        self.answer: dict[str, Any] = {"status": "ok", "payloads": ["hello"], "meta": {}}

    def check(self, order: ChatOrder) -> None:
        if order.deliver and order.to is None and not order.best_effort:
            raise InvalidInput("no route to deliver to", fix="pass to and channel")

    async def converse(self, order: ChatOrder) -> dict[str, Any]:
        self.said.append(("converse", order))
        self._asked.set()
        await self.go.wait()
        return self.answer

    async def abort(self, session_key: str, run_id: str | None = None) -> Sequence[str]:
        self._stopped.put_nowait(run_id or "r-1")
        return [run_id or "r-1"]

    async def begun(self) -> None:
        """Return once a turn was asked for."""
        await asyncio.wait_for(self._asked.wait(), 5)

    async def aborted(self) -> str:
        """The run that was aborted; waits for it."""
        return await asyncio.wait_for(self._stopped.get(), 5)


class FakeOutlet:
    def __init__(self, said: Said) -> None:
        self.said = said

    async def send(self, message: NewMessage) -> dict[str, Any]:
        if message.channel == "pigeon":
            raise InvalidInput(f"unsupported channel: {message.channel}")
        self.said.append(("send", message))
        number = len(self.said.of("send"))
        return {"messageId": f"m-{number}", "channel": message.channel or "local"}


class FakeSettings:
    """Keeps what was written; a hash is the number of the write."""

    def __init__(self, said: Said) -> None:
        self.said = said
        self.limit = (3, timedelta(seconds=60))
        self.conflict = False
        self.config: dict[str, Any] = {"gateway": {"auth": {"token": "s3cret-value"}}}

    def file(self) -> dict[str, Any]:
        return {
            "path": "engine.json",
            "exists": True,
            "raw": "{}",
            "parsed": self.config,
            "config": self.config,
            "valid": True,
            "issues": [],
            "warnings": [],
            "hash": "h",
        }

    def write_limit(self) -> tuple[int, timedelta]:
        return self.limit

    async def replace(
        self, raw: str, *, base_hash: str | None, wanted: Wanted | None = None
    ) -> dict[str, Any]:
        return self._written("replace", raw, base_hash)

    async def patch(
        self,
        raw: str,
        *,
        base_hash: str | None,
        replace_paths: Sequence[str] = (),
        wanted: Wanted | None = None,
    ) -> dict[str, Any]:
        return self._written("patch", raw, base_hash)

    def _written(self, how: str, raw: str, base_hash: str | None) -> dict[str, Any]:
        if self.conflict:
            raise Conflict("the config was not written", why="it changed", fix="read it again")
        self.said.append((how, raw))
        config = {"gateway": {"auth": {"token": "s3cret-value"}}}
        return {"ok": True, "path": "engine.json", "config": config, "hash": "h2"}

    def schema(self) -> dict[str, Any]:
        return {"schema": {"type": "object"}, "uiHints": {}, "version": "1", "generatedAt": 1}

    def lookup(self, path: str) -> dict[str, Any] | None:
        return None if path == "nothing" else {"path": path, "schema": {}, "children": []}

    async def reload(self, by: str) -> dict[str, Any]:
        self.said.append(("reload", by))
        return {"ok": True, "hash": "h2", "sentence": "Applied live.", "changed": []}

    async def reload_secrets(self) -> int:
        return 0

    async def add_agent(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        self.said.append(("add_agent", dict(facts)))
        return {"ok": True, "agentId": str(facts["name"]).lower()}

    async def change_agent(self, agent_id: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        self.said.append(("change_agent", {"agentId": agent_id, **facts}))
        return {"ok": True, "agentId": agent_id}

    async def remove_agent(self, agent_id: str) -> dict[str, Any]:
        return {"ok": True, "agentId": agent_id, "filesDeleted": False}


class FakeTools:
    def __init__(self, said: Said) -> None:
        self.said = said

    def catalog(self, agent_id: str) -> Sequence[dict[str, Any]]:
        return [{"name": name, "description": name} for name in ("read", "exec")]

    async def invoke(
        self, name: str, arguments: Mapping[str, Any], *, agent_id: str, session_key: str, by: str
    ) -> dict[str, Any]:
        self.said.append(("invoke", (name, dict(arguments), agent_id, session_key)))
        if name == "message":
            error = {"code": "tool_refused", "message": "no route"}
            return {"ok": False, "toolName": name, "error": error}
        if name != "read":
            error = {"code": "not_found", "message": f"tool not available: {name}"}
            return {"ok": False, "toolName": name, "error": error}
        return {"ok": True, "toolName": name, "output": "text"}


class FakeSwitchboard:
    def __init__(self, said: Said) -> None:
        self.said = said

    async def start(self, channel: str, account_id: str | None) -> dict[str, Any]:
        self.said.append(("channel.start", (channel, account_id)))
        return {"ok": True, "channel": channel, "started": True}

    async def stop(self, channel: str, account_id: str | None) -> dict[str, Any]:
        self.said.append(("channel.stop", (channel, account_id)))
        return {"ok": True, "channel": channel, "stopped": True}


class FakeHost:
    def __init__(self, said: Said) -> None:
        self.said = said
        self.at_work: list[str] = []

    async def tail(
        self, cursor: int | None, *, limit: int, most: int, mark: int | None
    ) -> dict[str, Any]:
        return {"file": "x.log", "cursor": 0, "size": 0, "lines": []}

    async def activity(self) -> dict[str, Any]:
        blockers = [{"kind": "active", "summary": words} for words in self.at_work]
        many = len(self.at_work)
        return {"embeddedRuns": many, "totalActive": many, "blockers": blockers}

    def own_identity(self) -> dict[str, Any]:
        return {"deviceId": "d", "publicKey": "p"}

    def identity(self, agent_id: str) -> dict[str, Any]:
        return {"agentId": agent_id, "name": agent_id}

    async def restart(self, wanted: Wanted) -> dict[str, Any]:
        self.said.append(("restart", wanted.reason))
        return {"ok": True, "status": "accepted", "reason": wanted.reason}


class FakeFigures:
    def counted(self) -> dict[str, Any]:
        lag = {"buckets": [("0.5", 2.0), ("+Inf", 3.0)], "sum": 1.5}
        return {"lag": lag, "ends": {"delivered": 4}, "turns": {"running": 1, "waiting": 0}}


class FakeSuspending:
    """One lease, as a host holds it."""

    def __init__(self) -> None:
        self.by: str | None = None

    @property
    def phase(self) -> str:
        return "running" if self.by is None else "suspended"

    async def prepare(self, request_id: str, *, drain: bool, by: str) -> dict[str, Any]:
        self.by = by
        return self.status()

    def status(self, suspension_id: str | None = None) -> dict[str, Any]:
        if self.by is None:
            return {"status": "running"}
        ready = {"status": "ready", "suspensionId": "s1", "expiresAtMs": 120_000}
        return {**ready, "activeCount": 0, "blockers": []}

    async def resume(self, suspension_id: str, *, by: str) -> dict[str, Any]:
        resumed, self.by = self.by is not None, None
        return {"ok": True, "status": "running", "resumed": resumed}


class FakeSessions:
    def __init__(self, said: Said) -> None:
        self.said = said

    def is_main(self, session_key: str) -> bool:
        return session_key.endswith(":main")

    async def describe(self, session_key: str) -> dict[str, Any] | None:
        return None if "nobody" in session_key else self._entry(session_key)

    async def create(
        self, session_key: str, agent_id: str, *, model: str | None, by: str
    ) -> dict[str, Any]:
        return self._told("session.create", session_key, model)

    async def patch(self, session_key: str, *, model: str | None, by: str) -> dict[str, Any]:
        return self._told("session.patch", session_key, model)

    async def reset(self, session_key: str, *, by: str) -> dict[str, Any]:
        return self._told("session.reset", session_key)

    async def compact(self, session_key: str, *, keep: int, by: str) -> int:
        self._told("session.compact", session_key, keep)
        return 3

    async def delete(self, session_key: str, *, by: str) -> bool:
        self._told("session.delete", session_key)
        return True

    async def inject(self, session_key: str, text: str, *, by: str) -> str:
        self._told("session.inject", session_key, text)
        return "note-1"

    def _told(self, what: str, *about: object) -> dict[str, Any]:
        self.said.append((what, about))
        return self._entry(str(about[0]))

    def _entry(self, key: str) -> dict[str, Any]:
        return {"key": key, "sessionId": "s-1", "agentId": "main"}

    def resolve(self, agent_id: str | None, session_key: str | None) -> tuple[str, str]:
        agent = agent_id or "main"
        return agent, f"agent:{agent}:main" if session_key in (None, "main") else str(session_key)

    async def listing(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"sessions": [], "count": 0}

    async def history(self, session_key: str, *, limit: int) -> dict[str, Any]:
        message = {"role": "user", "content": [{"type": "text", "text": "x" * 1_000_000}]}
        return {"sessionKey": session_key, "messages": [message] * min(limit, 8)}


class FakeInbox:
    async def listing(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"messages": [], "total": 0, "unseen": 0}

    async def ack(self, ids: Sequence[str] | None) -> dict[str, Any]:
        return {"ok": True, "acked": 0 if ids is None else len(ids)}


class FakeKept:
    def __init__(self, said: Said) -> None:
        self.said = said
        self.entries: list[dict[str, Any]] = []

    async def listing(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self.said.append(("kept", dict(params)))
        return {"entries": self.entries, "total": len(self.entries), "unread": len(self.entries)}

    async def show(self, ref: str) -> dict[str, Any]:
        return {"id": ref, "number": 1, "state": "unread", "reason": "no-route", "text": "Rain."}

    async def acknowledge(self, ref: str | None, *, by: str) -> dict[str, Any]:
        self.said.append(("kept.ack", {"id": ref, "by": by}))
        return {"ok": True, "acked": 1}

    async def snooze(self, ref: str, until: datetime, *, by: str) -> dict[str, Any]:
        self.said.append(("kept.snooze", {"id": ref, "until": until}))
        return {"ok": True, **await self.show(ref)}

    async def mute(self, ref: str, *, on: bool, by: str) -> dict[str, Any]:
        self.said.append(("kept.mute", {"id": ref, "on": on}))
        return {"ok": True, **await self.show(ref)}

    async def resend(
        self, ref: str, *, to: str | None = None, account_id: str | None = None, by: str
    ) -> dict[str, Any]:
        self.said.append(("kept.resend", {"id": ref, "to": to}))
        return {"ok": True, "resent": True, "key": "again", "to": to or "local:inbox"}

    async def feedback(self, ref: str, word: str, *, by: str) -> dict[str, Any]:
        self.said.append(("kept.feedback", {"id": ref, "word": str(word)}))
        return {"ok": True, "runId": ref, "verdict": str(word), "useful": 0, "noise": 1}

    async def purge(self, params: Mapping[str, Any], *, by: str) -> dict[str, Any]:
        self.said.append(("kept.purge", dict(params)))
        return {"ok": True, "removed": 0}


class FakeMessages:
    def __init__(self, said: Said) -> None:
        self.said = said

    async def listing(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self.said.append(("messages", dict(params)))
        return {"entries": [], "total": 0, "depth": {}, "amiss": {}}

    async def show(self, key: str) -> dict[str, Any]:
        return {"key": key, "state": "queued", "kind": "message", "to": "local:inbox"}

    async def retry(self, key: str, *, by: str) -> dict[str, Any]:
        return {"ok": True, "fresh": False, **await self.show(key)}

    async def cancel(self, key: str, *, by: str) -> dict[str, Any]:
        return {"ok": True, **await self.show(key)}

    async def purge(self, params: Mapping[str, Any], *, by: str) -> dict[str, Any]:
        self.said.append(("messages.purge", dict(params)))
        return {"ok": True, "removed": 0}


class FakePairings:
    """Keeps the promises of `gateway.rpc.core.Pairings`."""

    def __init__(self, said: Said) -> None:
        self.said = said

    async def listing(self, channel: str | None, account_id: str | None) -> dict[str, Any]:
        return {"requests": [], "approved": []}

    async def approve(self, channel: str, code: str, by: str) -> dict[str, Any]:
        self.said.append(("pairings.approve", (channel, code)))
        who = {"channel": channel, "accountId": "default", "peer": "42", "owner": "telegram:42"}
        return {"ok": True, "madeOwner": False, "alreadyApproved": False, **who}

    async def reject(self, channel: str, code: str, by: str) -> dict[str, Any]:
        self.said.append(("pairings.reject", (channel, code)))
        return {"ok": True}


class FakeDevices:
    """Keeps the promises of `gateway.rpc.core.Devices`."""

    def __init__(self) -> None:
        self.listed: dict[str, Any] = {"pending": [], "paired": []}

    async def listing(self, manager: Manager) -> dict[str, Any]:
        return self.listed

    async def approve(self, request_id: str, manager: Manager) -> dict[str, Any]:
        return {"requestId": request_id, "device": {"deviceId": "d", "roles": ["operator"]}}

    async def reject(self, request_id: str, manager: Manager) -> dict[str, Any]:
        return {"requestId": request_id, "deviceId": "d"}

    async def remove(self, device_id: str, manager: Manager) -> dict[str, Any]:
        return {"deviceId": device_id}

    async def rotate(
        self, device_id: str, role: str, scopes: Sequence[str] | None, manager: Manager
    ) -> dict[str, Any]:
        return {"deviceId": device_id, "role": role, "token": "secret-bearer"}

    async def revoke(self, device_id: str, role: str, manager: Manager) -> dict[str, Any]:
        return {"deviceId": device_id, "role": role, "revokedAtMs": 1}


class FakeApprovals:
    def __init__(self, said: Said) -> None:
        self.said = said
        self.waiting: list[dict[str, Any]] = []

    async def listing(self, *, every: bool = False) -> dict[str, Any]:
        return {"approvals": self.waiting}

    async def approve(self, ident: str, *, by: str) -> dict[str, Any]:
        self.said.append(("approvals.approve", ident))
        return {"ok": True, "id": ident, "state": "approved", "name": "make"}

    async def deny(self, ident: str, *, by: str) -> dict[str, Any]:
        self.said.append(("approvals.deny", ident))
        return {"ok": True, "id": ident, "state": "denied", "name": "make"}


class FakeCore:
    """Keeps the promises of `gateway.rpc.core.Core`."""

    def __init__(self) -> None:
        self.said = Said()
        self.scheduling = FakeScheduling(self.said)
        self.control = FakeControl(self.said)
        self.outlook = FakeOutlook(self.said)
        self.foresight = FakeForesight()
        self.heartbeats = FakeHeartbeats(self.said)
        self.inquiries = FakeInquiries(self.said)
        self.wakes = FakeWakes(self.said)
        self.conversation = FakeConversation(self.said)
        self.outlet = FakeOutlet(self.said)
        self.sessions = FakeSessions(self.said)
        self.settings = FakeSettings(self.said)
        self.tools = FakeTools(self.said)
        self.switchboard = FakeSwitchboard(self.said)
        self.host = FakeHost(self.said)
        self.suspending = FakeSuspending()
        self.figures = FakeFigures()
        self.inbox = FakeInbox()
        self.pairings = FakePairings(self.said)
        self.devices: Devices = FakeDevices()
        self.approvals = FakeApprovals(self.said)
        self.kept = FakeKept(self.said)
        self.messages = FakeMessages(self.said)
        self.failing: dict[str, str] = {}
        self.more_health: dict[str, Any] = {}
        self.troubles: list[dict[str, str]] = []
        self.accounts: dict[str, dict[str, Any]] = {}  # of Telegram, by id
        self.standing: tuple[object, ...] | None = None  # nothing is kept

    async def health(self) -> dict[str, Any]:
        self.said.append(("health", None))
        return {
            "ok": not self.failing,
            "failing": self.failing,
            "troubles": self.troubles,
            "channels": {},
            "agents": [{"agentId": "main"}],
            "defaultAgentId": "main",
            **self.more_health,
        }

    async def status(self) -> dict[str, Any]:
        return {"runtimeVersion": "0.1.0", "sessions": {"paths": ["/home/x"], "count": 0}}

    def agents(self) -> dict[str, Any]:
        return {"defaultId": "main", "mainKey": "main", "agents": [{"id": "main"}]}

    def models(self) -> Sequence[dict[str, Any]]:
        return [{"id": "offline", "name": "offline", "provider": "offline"}]

    async def channels_routes(self, params: Mapping[str, Any]) -> dict[str, Any]:
        self.said.append(("channels_routes", params))
        return {"ts": 0, "routes": [], "last": {}}

    async def channels_status(
        self, *, probe: bool = False, channel: str | None = None
    ) -> dict[str, Any]:
        if self.accounts:
            rows = [{"accountId": ident, **facts} for ident, facts in self.accounts.items()]
            return {"channelOrder": ["telegram"], "channelAccounts": {"telegram": rows}}
        return {"channelOrder": ["local"], "channels": {"local": {"configured": True}}}
