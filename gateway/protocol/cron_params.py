"""What the `cron.*` methods take (cron.md §14, §22; protocol.md §10.3)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from gateway.protocol.frames import Count, Instant, NonEmpty
from gateway.protocol.params import Mutation, OpenParams, Params


class JobRef(Mutation):
    """`id` and the older `jobId` are interchangeable; both or neither is an error."""

    id: NonEmpty | None = None
    job_id: NonEmpty | None = None

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if (self.id is None) == (self.job_id is None):
            raise ValueError("must have required property 'id'")
        return self

    @property
    def ref(self) -> str:
        """The job as the caller names it."""
        return self.id or self.job_id or ""


class CronGetParams(JobRef):
    """`cron.get`."""

    reveal: bool | None = None  # ours: with what is secret in it, for administrators


class CronListParams(Params):
    """`cron.list` (cron.md §14)."""

    include_disabled: bool | None = None
    enabled: Literal["all", "enabled", "disabled"] | None = None
    agent_id: NonEmpty | None = None
    query: str | None = None
    schedule_kind: Literal["all", "at", "every", "cron"] | None = None
    last_run_status: Literal["all", "ok", "error", "skipped", "unknown"] | None = None
    sort_by: Literal["nextRunAtMs", "updatedAtMs", "name"] | None = None
    sort_dir: Literal["asc", "desc"] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] | None = None
    offset: Count | None = None
    compact: bool | None = None
    include_delivery_previews: bool | None = None
    include_system: bool | None = None  # ours: heartbeats too (`cron list --all`)
    reveal: bool | None = None  # ours: with what is secret in it, for administrators


class CronAddParams(OpenParams):
    """`cron.add`: a job without id and state; `jobs.edit` validates it (cron.md §17)."""

    idempotency_key: NonEmpty | None = None

    def wire(self) -> dict[str, Any]:
        """The job, without the key of the call."""
        job = super().wire()
        job.pop("idempotencyKey", None)
        return job


class CronImportParams(Mutation):
    """`cron.import` (cron.md §22-11): entries as `jobs.importing.report.Entry.to_json` says."""

    kind: NonEmpty
    entries: list[dict[str, Any]]
    dry_run: bool = False


class CronUpdateParams(JobRef):
    """`cron.update`."""

    patch: dict[str, Any]
    expected_config_revision: NonEmpty | None = None


class CronRemoveParams(JobRef):
    """`cron.remove`."""

    force: bool | None = None


class CronRunParams(JobRef):
    """`cron.run`."""

    mode: Literal["force", "due", "if-enabled"] = "force"
    expected_process_instance_id: str | None = None


class CronExplainParams(Params):
    """`cron.explain` (cron.md §14): an expression, a job by its id, or a run of one."""

    expr: NonEmpty | None = None
    id: NonEmpty | None = None
    job_id: NonEmpty | None = None
    run_id: NonEmpty | None = None
    tz: NonEmpty | None = None
    other_tz: NonEmpty | None = None
    from_: Annotated[NonEmpty | Instant | None, Field(alias="from")] = None
    count: Annotated[int, Field(ge=1, le=1000)] | None = None
    lang: Literal["en", "zh"] | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if sum(one is not None for one in (self.expr, self.id, self.job_id, self.run_id)) != 1:
            raise ValueError("exactly one of expr, id and runId must be given")
        return self


class CronNextParams(Params):
    """`cron.next` (cron.md §14): of an expression, of a job, or of all jobs."""

    expr: NonEmpty | None = None
    id: NonEmpty | None = None
    job_id: NonEmpty | None = None
    tz: NonEmpty | None = None
    from_: Annotated[NonEmpty | Instant | None, Field(alias="from")] = None
    until: NonEmpty | Instant | None = None
    count: Annotated[int, Field(ge=1, le=1000)] | None = None

    @model_validator(mode="after")
    def _at_most_one_thing(self) -> Self:
        if sum(one is not None for one in (self.expr, self.id, self.job_id)) > 1:
            raise ValueError("at most one of expr and id may be given")
        return self


class CronAuditParams(Params):
    """`cron.audit` (cron.md §22 row 1)."""

    id: NonEmpty | None = None
    job_id: NonEmpty | None = None
    since_ms: Instant | None = None


class CronSimulateParams(Params):
    """`cron.simulate` (cron.md §22 row 9)."""

    days: Annotated[float, Field(gt=0, le=31)] | None = None
    from_ms: Instant | None = None
    expect: dict[NonEmpty, Count] | None = None  # how often which job shall run


class CronTimelineParams(Params):
    """`cron.timeline` (cron.md §22 row 10)."""

    from_ms: Instant | None = None
    hours: Annotated[int, Field(ge=1, le=336)] | None = None
    cell_minutes: Annotated[int, Field(ge=1, le=1440)] | None = None


class CronRunsParams(Params):
    """`cron.runs` (cron.md §11.4)."""

    id: NonEmpty | None = None
    job_id: NonEmpty | None = None
    scope: Literal["job", "all"] | None = None
    run_id: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    status: NonEmpty | None = None
    statuses: list[NonEmpty] | None = None
    delivery_status: NonEmpty | None = None
    delivery_statuses: list[NonEmpty] | None = None
    reason: NonEmpty | None = None
    trigger: NonEmpty | None = None
    query: str | None = None
    since_ms: Instant | None = None
    until_ms: Instant | None = None
    sort_dir: Literal["asc", "desc"] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] | None = None
    offset: Count | None = None


class CronChosenParams(Mutation):
    """Jobs an operator means: one, those with a tag, or all (cron.md §22 row 5)."""

    id: NonEmpty | None = None
    tag: NonEmpty | None = None
    all: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.id is not None) + (self.tag is not None) + self.all != 1:
            raise ValueError("exactly one of id, tag and all must be given")
        return self


class CronPauseParams(CronChosenParams):
    """`cron.pause`."""

    note: str | None = None
    until_ms: Instant | None = None


class CronSkipParams(JobRef):
    """`cron.skip`: the next slots are left out once."""

    count: Annotated[int, Field(ge=1, le=100)] = 1
    note: str | None = None
    undo: bool = False


class CronCancelParams(Mutation):
    """`cron.cancel`."""

    run_id: NonEmpty


class CronBackfillParams(JobRef):
    """`cron.backfill`: the slots of a range, oldest first."""

    from_ms: Instant
    to_ms: Instant
    policy: Literal["missing", "all"] = "missing"
    dry_run: bool = False
    rate: str | None = None  # 10/1h: so many begin in that span at most
