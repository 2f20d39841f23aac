"""The desk as the agents' tool `cron` sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.scheduling.desk import Scheduling
from jobs import pages


class AgentJobs:
    """The same desk for the tool `cron` of the agents, which keeps each to its own jobs (§18)."""

    def __init__(self, scheduling: Scheduling) -> None:
        self._scheduling = scheduling

    async def list_jobs(self, *, agent_id: str) -> Mapping[str, Any]:
        """Jobs of one agent, disabled ones too."""
        params = {"agentId": agent_id, "includeDisabled": True, "limit": pages.LIMIT_MOST}
        return await self._scheduling.list(params)

    async def get_job(self, job_id: str) -> Mapping[str, Any]:
        """One job."""
        return await self._scheduling.get(job_id)

    async def add_job(self, job: Mapping[str, Any], *, by: str) -> Mapping[str, Any]:
        """Create a job."""
        return await self._scheduling.add(job, by=by)

    async def update_job(
        self, job_id: str, patch: Mapping[str, Any], *, by: str
    ) -> Mapping[str, Any]:
        """Change a job."""
        return await self._scheduling.update(job_id, patch, by=by)

    async def remove_job(self, job_id: str, *, by: str) -> Mapping[str, Any]:
        """Delete a job."""
        return await self._scheduling.remove(job_id, by=by)

    async def run_job(self, job_id: str, *, by: str) -> Mapping[str, Any]:
        """Run a job now; returns before it has run."""
        return await self._scheduling.run(job_id, by=by)
