"""A config in force, as each room asks it: its words become values here. Decides nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, partial

from engine.alerts.alarms import AlertRules
from engine.config import effective
from engine.config.jobs import name_faults
from engine.config.schema import Config
from engine.cron.run import CronSettings
from engine.decisions.claiming import LoopSettings
from engine.outlet import way_of
from engine.programs.rules import ExecRules
from engine.roster.roster import Roster
from engine.roster.view import Shown
from engine.scheduling import SchedulingSettings, Sight
from engine.scheduling.outlook import Keeping
from engine.turns.toolbox import Leave
from engine.upkeep.housekeeping import KEEP_BEATS
from jobs.calendar import Calendar
from jobs.due import Days
from jobs.model import Misfire
from jobs.policies import Overlap, alert_of, budget_of
from jobs.retry import RetryPolicy
from jobs.wallclock import zone


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One config, who its agents are, and what the environment says over it.

    What every pass and every run asks is answered once.
    """

    config: Config
    roster: Roster
    environ: Mapping[str, str]
    calendars: Mapping[str, Calendar] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """What tells one config from another; secrets are no part of it."""
        told = self.config.model_dump(mode="json", by_alias=True, warnings=False)
        text = json.dumps(told, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def cron_enabled(self) -> bool:
        """Whether scheduled jobs fire (cron.md §12)."""
        return self.config.cron.enabled and self.environ.get("ENGINE_SKIP_CRON") != "1"

    @cached_property
    def loop(self) -> LoopSettings:
        """What the loop asks."""
        cron = self.config.cron
        budget = cron.budget
        return LoopSettings(
            cron_enabled=self.cron_enabled,
            refire_gap=timedelta(milliseconds=cron.min_refire_gap_ms),
            overlap=Overlap(policy=cron.overlap),
            budget=None if budget is None else budget_of(budget.model_dump(by_alias=True)),
            zone=zone(self.job_zone),
            days=Days(self.calendars, self.job_zone),
            hours_of=lambda agent: self.roster.agent(agent).beat.active_hours,
        )

    @cached_property
    def cron_runs(self) -> CronSettings:
        """What performing jobs asks."""
        cron = self.config.cron
        return CronSettings(
            enabled=self.cron_enabled,
            max_concurrent_runs=cron.max_concurrent_runs,
            retry=RetryPolicy(
                max_attempts=cron.retry.max_attempts,
                backoff=tuple(timedelta(milliseconds=ms) for ms in cron.retry.backoff_ms),
                retry_on=frozenset(cron.retry.retry_on or RetryPolicy().retry_on),
                auto_disable_after=cron.auto_disable_after,
            ),
        )

    @cached_property
    def alerts(self) -> AlertRules:
        """Whom failures are told, and when, unless a job says otherwise."""
        cron = self.config.cron
        alert, place = cron.failure_alert, cron.failure_destination
        return AlertRules(
            alert=alert_of(alert.model_dump(by_alias=True)) if alert and alert.enabled else None,
            destination={} if place is None else place.model_dump(by_alias=True, exclude_none=True),
        )

    @property
    def job_zone(self) -> str:
        """The zone of jobs that name none (cron.md §3.1)."""
        return self.config.cron.tz or self.roster.default_zone.key

    def scheduling(self) -> SchedulingSettings:
        """What the desk of jobs asks of it."""
        cron = self.config.cron
        grace = Misfire().grace if cron.misfire.grace is None else cron.misfire.grace
        return SchedulingSettings(
            tz=self.job_zone,
            enabled=self.cron_enabled,
            default_agent=self.roster.default_id,
            agents=tuple(self.roster.agents),
            channels=effective.configured_channels(self.config),
            faults=partial(name_faults, self.config),
            misfire=Misfire(
                policy=cron.misfire.policy, grace=grace, max_catch_up=cron.misfire.max_catch_up
            ),
            config_removal=cron.config_removal,
            orphan_retention=cron.orphan_retention,
            calendars=self.calendars,
            way=lambda tx, job: way_of(tx, self.roster, job),
        )

    def outlook(self) -> Sight:
        """What looking ahead asks of it."""
        return Sight(
            tz=self.job_zone,
            default_agent=self.roster.default_id,
            most_at_once=self.config.cron.max_concurrent_runs,
            calendars=self.calendars,
            hours_of=lambda agent: self.roster.agent(agent).beat.active_hours,
            kept=Keeping(
                beats=KEEP_BEATS,
                jobs=self.config.cron.run_log.kept_for,
                per_job=self.config.cron.run_log.kept_per_job,
            ),
        )

    @cached_property
    def leave(self) -> Leave:
        """What agents may do beside using single tools."""
        return Leave(
            commands=self.config.cron.allow_agent_commands,
            programs=self.exec_rules.offered,
            asks=self.exec_rules.ask != "off",
            anywhere=not self.config.tools.fs.workspace_only,
        )

    @cached_property
    def exec_rules(self) -> ExecRules:
        """What may run for agents, and how (operations.md §13.1)."""
        exec = self.config.tools.exec
        return ExecRules(
            security=exec.security,
            ask=exec.ask,
            host=exec.host,
            safe_bins=exec.safe_bins,
            background_after=timedelta(milliseconds=exec.background_ms),
            timeout=timedelta(seconds=exec.timeout_seconds or exec.timeout_sec),
            path_prepend=exec.path_prepend,
            notify=exec.notify_on_exit,
            notify_quiet=exec.notify_on_exit_empty_success,
            keep_for=timedelta(milliseconds=exec.cleanup_ms),
            output_most=exec.max_output_chars,
            unread_most=exec.pending_max_output_chars,
            workspace_only=self.config.tools.fs.workspace_only,
            answer_within=exec.approval_within,
        )

    def shown(self, channel: str | None, account_id: str | None) -> Shown:
        """Which outcomes of a beat a channel shows."""
        seen = effective.visibility(self.config, channel, account_id)
        return Shown(
            ok=bool(seen.show_ok), alerts=bool(seen.show_alerts), indicator=bool(seen.use_indicator)
        )
