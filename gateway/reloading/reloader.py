"""Edits of the config file while the gateway runs (operations.md §4.1).

A good edit is put in force as one; a bad one changes nothing and is told. A file that is
gone is a bad edit: taken at its word it would end every job.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from engine.config import freshness, watch
from engine.config.keeping import outcome, records
from engine.config.keeping.outcome import Outcome
from engine.config.load import Loaded
from engine.config.paths import Paths
from engine.config.reload import Class, Plan, plan as planned
from engine.core import Engine
from engine.log.setup import Log
from engine.store import audit
from gateway import settings
from gateway.auth.gatekeeper import Gatekeeper
from gateway.auth.policy import Policy
from gateway.channels import configured
from gateway.channels.base import Channel
from gateway.listening import listen
from gateway.reloading import recovery
from gateway.reloading.force import InForce
from gateway.restarts import Appointment, Kind, Wanted
from jobs.errors import ConfigInvalid, EngineError, StoreUnavailable

log = logging.getLogger(__name__)

WATCH: Final = "config watch"  # its name among the vitals
_SETTLED: Final = frozenset({"local"})  # it has no settings
_OF_WEBHOOKS: Final = ("cron.webhookToken", "cron.webhookSsrfPolicy")
_OF_ALL: Final = frozenset({"defaults", "modelByChannel"})  # under `channels`, and no channel


@dataclass(slots=True, kw_only=True)
class Reloader:
    """Follows the file and puts its edits in force."""

    force: InForce
    paths: Paths
    environ: Mapping[str, str]
    logs: Log
    engine: Engine
    channels: dict[str, Channel]  # shared with the sender and the front
    gatekeeper: Gatekeeper
    policy_of: Callable[[Loaded], Policy]  # who may connect, by a config
    startable: Callable[[], object]  # raises unless a gateway would start with the file
    restart: Callable[[Wanted], Appointment]
    send_away: Callable[[], None]  # who came in by what is not in force any more
    connect: Callable[[Channel], Awaitable[None]]
    poke: Callable[[], None]  # the sender looks again
    verbose: bool = False  # the call asked for more on the console
    _began: Mapping[str, Any] = field(init=False)  # what this process started with
    _last: Outcome | None = None
    _refusal: EngineError | None = None
    _touched: timedelta = timedelta()  # when a file changed last, monotonic
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._began = _plain(self.force.loaded)

    # -- the file is followed --------------------------------------------------------------

    async def follow(self, stop: asyncio.Event) -> None:
        """Look at the file whenever it changes, until told to stop."""
        config = self.force.loaded.config.gateway.reload
        if config.mode == "off":
            return
        looks = watch.looks(self._files(), debounce_ms=config.debounce_ms, stop=stop)
        async for changed in watch.changes(self._files, looks):
            if changed:
                self._touched = self.engine.clock.monotonic()
                await self._look_again()
            elif self._refusal is not None:
                await self._recover(self._refusal)
        if not stop.is_set():
            raise RuntimeError("the files are not watched any more")

    async def _look_again(self) -> None:
        """Put the file in force: what is wrong with it is told, what is wrong with us raised."""
        try:
            await self.reload("file")
            if self.force.refused:
                log.info("the config is valid again")
            self.force.refused, self.force.problem, self._refusal = False, "", None
        except StoreUnavailable:
            raise  # the edit may be good: it is tried again until the disk takes it
        except EngineError as refusal:
            self.engine.scheduling.file_told(problems(refusal))
            self.force.refused, self.force.problem = True, str(refusal)
            self._refusal = refusal
            log.error(  # noqa: TRY400 - a refusal is no traceback
                "config was not reloaded; the previous one stays in force",
                extra={"because": str(refusal)},
            )
        self.engine.vitals.well(WATCH)

    async def _recover(self, refusal: EngineError) -> None:
        """Once nobody has touched the broken file for a while, the last good one comes back."""
        clock = self.engine.clock
        if clock.monotonic() - self._touched < recovery.QUIET:
            return
        found = await asyncio.to_thread(
            recovery.while_running, self.paths, self.environ, refusal, clock.now()
        )
        self._refusal = None  # it is told and tried once
        if found is not None:
            self.force.recovered = found
            await recovery.tell(self.engine, found, self.paths.config)
            await self._look_again()

    def _files(self) -> tuple[Path, ...]:
        return (*(self.force.loaded.files or (self.paths.config,)), self.paths.token_file)

    def _tell_secrets(self, problems: tuple[str, ...]) -> None:
        """Say once that older secrets hold, and once that they do not any more (§5)."""
        words = freshness.turn(self.force.unresolved, problems)
        self.force.unresolved = problems
        if words is None:
            return
        told = freshness.told(words, problems)
        if words is freshness.Turn.DEGRADED:
            log.warning("secrets were not resolved; those of before hold", extra=told)
        else:
            log.info("secrets are resolved again", extra=told)
        self.engine.bus.publish("secrets", told)

    # -- a change is put in force ------------------------------------------------------------

    async def reload(self, by: str = "file", wanted: Wanted | None = None) -> Outcome:
        """Read the file again and put it in force, or raise and change nothing; one at a time.

        ``wanted`` is what whoever changed it says of a restart, should there be one.
        """
        async with self._one:
            try:
                self._last = await self._reload(by, wanted)
            except EngineError as refusal:
                self._tell_secrets(freshness.unresolved(refusal))
                raise
            self._tell_secrets(())
            return self._last

    async def _reload(self, by: str, wanted: Wanted | None) -> Outcome:
        before = self.force.loaded
        # Aside: its jobs are judged too, with calendars that may be large.
        fresh = await asyncio.to_thread(settings.load_config, self.paths, self.environ)
        _refuse_gone(fresh, before)
        old, new = _plain(before), _plain(fresh)
        mode = fresh.config.gateway.reload.mode
        policy = self.policy_of(fresh)
        rotated = freshness.rotated(before.resolved, fresh.resolved)
        if (
            fresh.hash == before.hash and old == new and not rotated
        ):  # the hash knows nothing of included files
            self._adopt(policy)  # the token may lie in a file of its own
            self.engine.scheduling.file_told(())  # what was refused has been taken back
            return self._known(fresh)
        plan = planned(old, new, mode=mode)
        if mode == "off" and plan.changes:
            return self._outcome(fresh, plan, plan.sentence, ())
        if plan.restart:
            return await self._restart(before, fresh, plan, by, wanted)
        pending = planned(self._began, new, mode="hot").pending
        await self._apply(fresh, before, plan, policy, rotated)
        self.force.pending = pending
        told = self._outcome(fresh, plan, outcome.applied(plan, pending), pending)
        await self._record(before, told, by)
        await asyncio.to_thread(recovery.keep, fresh)
        if pending:
            log.warning("restart pending", extra={"keys": ", ".join(pending)})
        return told

    def _known(self, fresh: Loaded) -> Outcome:
        """What was said of this file the last time: who finds nothing new says it again."""
        if self._last is not None and self._last.hash == fresh.hash:
            return self._last
        sentence = outcome.unchanged(self.force.pending)
        return Outcome(hash=fresh.hash, sentence=sentence, pending=self.force.pending)

    def _outcome(
        self, fresh: Loaded, plan: Plan, sentence: str, pending: tuple[str, ...]
    ) -> Outcome:
        # The stamp is ours and says nothing.
        changed = tuple(change.dotted for change in plan.changes if change.path[0] != "meta")
        return Outcome(
            hash=fresh.hash,
            sentence=sentence,
            changed=changed,
            kind=outcome.kind_of(plan),
            pending=pending,
        )

    async def _restart(
        self, before: Loaded, fresh: Loaded, plan: Plan, by: str, wanted: Wanted | None
    ) -> Outcome:
        """End this gateway to begin it anew with the file; soon after another, a little later."""
        await asyncio.to_thread(self.startable)
        asked = wanted or Wanted(reason="", by=by)
        named = ", ".join(c.dotted for c in plan.changes if c.kind is not Class.NONE)
        made = self.restart(
            replace(asked, reason=f"config changed: {named}", kind=Kind.CONFIG_APPLY)
        )
        wait = made.at - self.engine.clock.now()
        told = self._outcome(fresh, plan, outcome.restarting(plan, wait), ())
        if self._last is None or self._last.hash != fresh.hash:
            await self._record(before, told, by)
        return told

    async def _record(self, before: Loaded, told: Outcome, by: str) -> None:
        now, path = self.engine.clock.now(), str(before.path)
        detail = records.reload_detail(
            told.changed, told.kind, before.hash, told.hash, told.sentence
        )
        await self.engine.database.write(
            lambda tx: audit.note(
                tx, now=now, actor=by, action=records.RELOAD, subject=path, detail=detail
            )
        )

    async def _apply(
        self,
        fresh: Loaded,
        before: Loaded,
        plan: Plan,
        policy: Policy,
        rotated: tuple[str, ...],
    ) -> None:
        self.logs.redact.learn(fresh.secrets)
        made = configured.channels(
            fresh.config,
            self.engine.database,
            self.environ,
            clock=self.engine.clock,
            bus=self.engine.bus,
            listen=listen,
        )
        await self.engine.apply(fresh.config, fresh.job_places())
        self._adopt(policy)
        self.force.loaded = fresh
        self.logs.adopt(settings.log_wish(self.paths, fresh.config, verbose=self.verbose))
        settings.tell(fresh, before)
        changed = [*dict.fromkeys((*(change.dotted for change in plan.changes), *rotated))]
        await self._exchange(made, leaving=self._untouched(changed))
        self.engine.bus.publish("config", {"paths": changed})
        log.info("config reloaded", extra={"changed": changed, "at_next_start": list(plan.pending)})

    def _untouched(self, changed: list[str]) -> Set[str]:
        """The channels that go on as they are: no key of theirs changed."""
        touched = {path.split(".")[1] for path in changed if path.startswith("channels.")}
        if touched & _OF_ALL or "channels" in changed:
            return _SETTLED
        if any(path.startswith(_OF_WEBHOOKS) for path in changed):
            touched.add("webhook")
        return (self.channels.keys() | touched) - touched | _SETTLED

    def _adopt(self, policy: Policy) -> None:
        """Judge by this from now on; whoever came in by another secret has to come again."""
        before = self.gatekeeper.policy
        if policy == before:
            return
        self.logs.redact.learn([one for one in (policy.token, policy.password) if one])
        self.gatekeeper.adopt(policy)
        if policy.secrets != before.secrets:
            log.info("gateway auth changed", extra={"mode": policy.mode.value})
            self.send_away()

    async def _exchange(self, made: Mapping[str, Channel], *, leaving: Set[str]) -> None:
        """Put the channels of a new config in the place of the old, but for those left alone.

        The new one stands there before the old one ends: what waits is carried by the new,
        what is on its way still hears its answer.
        """
        old = [self.channels.pop(name) for name in tuple(self.channels) if name not in leaving]
        fresh = {name: channel for name, channel in made.items() if name not in leaving}
        self.channels.update(fresh)
        for channel in old:
            await _each(channel, channel.stop())
        for channel in fresh.values():
            await _each(channel, self.connect(channel))
        self.poke()


async def _each(channel: Channel, done: Awaitable[None]) -> None:
    """One channel that cannot stop or start keeps no other from it."""
    try:
        await done
    except Exception:
        log.exception("a channel was not exchanged as it should", extra={"channel": channel.id})


def _refuse_gone(fresh: Loaded, before: Loaded) -> None:
    if before.exists and not fresh.exists:
        raise ConfigInvalid(
            f"the config file is gone: {before.path}",
            why="taken at its word, that would end every job",
            fix="put it back, or stop the gateway first",
        )


def _plain(loaded: Loaded) -> Mapping[str, Any]:
    plain = loaded.root.plain() if loaded.root else {}
    return plain if isinstance(plain, Mapping) else {}


def problems(refusal: EngineError) -> tuple[str, ...]:
    """Return what is wrong with a config, a line each: `file:line: key: why`."""
    issues = refusal.detail.get("issues")
    if not isinstance(issues, list):
        told = refusal.detail.get("problems")
        return tuple(told) if isinstance(told, tuple) else (str(refusal),)
    return tuple(
        ": ".join(
            str(part) for part in (_at(issue), issue.get("path"), issue.get("message")) if part
        )
        for issue in issues
    )


def _at(issue: Mapping[str, Any]) -> str:
    return f"{issue['file']}:{issue['line']}" if "file" in issue else ""
