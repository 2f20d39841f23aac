from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from engine.agents.base import Tool, ToolRefused
from engine.agents.tools.cron import cron_tool
from jobs.errors import ConfigOwned, JobNotFound

SCHEDULE = {"kind": "every", "everyMs": 60_000}
TURN = {"kind": "agentTurn", "message": "look"}


class Desk:
    """Keeps jobs in a dict and what it was asked in a list."""

    def __init__(self, *jobs: Mapping[str, Any]) -> None:
        self.jobs = {str(job["id"]): dict(job) for job in jobs}
        self.asked: list[tuple[Any, ...]] = []

    async def list(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        mine = [job for job in self.jobs.values() if job.get("agentId") == params["agentId"]]
        return {"jobs": mine}

    async def get(self, ref: str) -> Mapping[str, Any]:
        if ref not in self.jobs:
            raise JobNotFound(f"no job {ref}")
        return self.jobs[ref]

    async def add(self, params: Mapping[str, Any], *, by: str) -> Mapping[str, Any]:
        self.asked.append(("add", dict(params), by))
        return {"id": "new", **params}

    async def update(self, ref: str, patch: Mapping[str, Any], *, by: str) -> Mapping[str, Any]:
        self.asked.append(("update", ref, dict(patch), by))
        return {"id": ref}

    async def remove(self, ref: str, *, by: str) -> Mapping[str, Any]:
        if ref.startswith("cfg:"):
            raise ConfigOwned(f"{ref} was not removed", fix="edit engine.json:3")
        self.asked.append(("remove", ref, by))
        return {"removed": True}

    async def run(self, ref: str, *, by: str) -> Mapping[str, Any]:
        self.asked.append(("run", ref, by))
        return {"enqueued": True}


def tool(desk: Desk, **options: Any) -> Tool:
    return cron_tool(desk, agent_id="a", session_key="agent:a:main", **options)


async def test_a_new_job_belongs_to_the_agent_and_remembers_its_session() -> None:
    desk = Desk()
    job = {"name": "n", "schedule": SCHEDULE, "payload": TURN}
    await tool(desk).call({"action": "add", "job": {**job, "agentId": "b", "id": "x"}})
    assert desk.asked == [("add", {**job, "agentId": "a", "sessionKey": "agent:a:main"}, "agent:a")]


async def test_fields_beside_the_action_are_a_job_too() -> None:
    desk = Desk()
    await tool(desk).call({"action": "add", "schedule": SCHEDULE, "payload": TURN})
    assert desk.asked[0][1]["payload"] == TURN
    assert "action" not in desk.asked[0][1]


async def test_a_job_written_as_text_is_a_job_too() -> None:
    desk = Desk({"id": "j", "agentId": "a"})
    job = {"schedule": SCHEDULE, "payload": TURN}
    await tool(desk).call({"action": "add", "job": json.dumps(job)})
    assert desk.asked[0][1]["payload"] == TURN
    await tool(desk).call({"action": "update", "jobId": "j", "patch": '{"enabled": false}'})
    assert desk.asked[1] == ("update", "j", {"enabled": False}, "agent:a")
    text = json.dumps({"payload": {"kind": "command", "argv": ["rm"]}})
    with pytest.raises(ToolRefused):
        await tool(desk).call({"action": "add", "job": text})


def test_no_object_is_closed_by_what_is_not_said_of_it() -> None:
    """Servers that let a model write only what the schema lists take silence for a no."""

    def objects(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        for inner in schema.get("properties", {}).values():
            if inner.get("type") == "object":
                yield inner
                yield from objects(inner)

    found = list(objects(tool(Desk()).parameters))
    assert len(found) == 6
    assert all(one["additionalProperties"] is True for one in found)


@pytest.mark.parametrize(
    "job",
    [
        {"payload": {"kind": "command", "argv": ["rm"]}},
        {"payload": {"kind": " Command "}},
        {"payload": {"argv": ["rm"]}},
        {"payload": {"kind": "script"}},
        {"payload": {"kind": "heartbeat"}},
        {"command": "rm"},
    ],
)
async def test_an_agent_cannot_schedule_commands(job: Mapping[str, Any]) -> None:
    desk = Desk({"id": "j", "agentId": "a"})
    with pytest.raises(ToolRefused, match="cannot schedule commands"):
        await tool(desk).call({"action": "add", "job": job})
    with pytest.raises(ToolRefused, match="cannot schedule commands"):
        await tool(desk).call({"action": "update", "jobId": "j", "patch": job})
    assert desk.asked == []


@pytest.mark.parametrize("action", ["get", "update", "remove", "run"])
async def test_jobs_of_others_do_not_exist_for_it(action: str) -> None:
    desk = Desk({"id": "theirs", "agentId": "b"})
    with pytest.raises(ToolRefused, match="no job"):
        await tool(desk).call({"action": action, "jobId": "theirs", "patch": {"name": "x"}})
    with pytest.raises(ToolRefused, match="no job"):
        await tool(desk).call({"action": action, "jobId": "none", "patch": {"name": "x"}})
    assert desk.asked == []


async def test_a_command_an_admin_gave_it_is_not_its_to_change() -> None:
    desk = Desk({"id": "j", "agentId": "a", "payload": {"kind": "command"}})
    with pytest.raises(ToolRefused, match="runs a command"):
        await tool(desk).call({"action": "run", "jobId": "j"})


async def test_its_own_jobs_are_listed_changed_run_and_removed() -> None:
    desk = Desk({"id": "j", "agentId": "a"}, {"id": "k", "agentId": "b"})
    cron = tool(desk)
    assert [job["id"] for job in json.loads(await cron.call({"action": "list"}))["jobs"]] == ["j"]
    await cron.call({"action": "update", "jobId": "j", "patch": {"enabled": False}})
    await cron.call({"action": "run", "jobId": "j"})
    await cron.call({"action": "remove", "id": "j"})
    assert desk.asked == [
        ("update", "j", {"enabled": False}, "agent:a"),
        ("run", "j", "agent:a"),
        ("remove", "j", "agent:a"),
    ]


async def test_a_job_without_an_agent_is_the_default_agents() -> None:
    desk = Desk({"id": "j", "agentId": None})
    await tool(desk, default_agent="a").call({"action": "run", "jobId": "j"})
    with pytest.raises(ToolRefused):
        await tool(desk, default_agent="b").call({"action": "run", "jobId": "j"})


@pytest.mark.parametrize("field", ["agentId", "sessionKey", "source"])
async def test_a_patch_cannot_move_a_job_elsewhere(field: str) -> None:
    desk = Desk({"id": "j", "agentId": "a"})
    with pytest.raises(ToolRefused, match=field):
        await tool(desk).call({"action": "update", "jobId": "j", "patch": {field: "b"}})


async def test_a_refusal_of_the_desk_is_told_with_what_to_do() -> None:
    desk = Desk({"id": "cfg:x", "agentId": "a"})
    with pytest.raises(ToolRefused, match=r"engine\.json:3"):
        await tool(desk).call({"action": "remove", "jobId": "cfg:x"})


@pytest.mark.parametrize(
    "arguments",
    [{}, {"action": "explode"}, {"action": 3}, {"action": "get"}, {"action": "update", "id": "j"}],
)
async def test_a_call_without_sense_says_what_is_missing(arguments: Mapping[str, Any]) -> None:
    with pytest.raises(ToolRefused, match="must"):
        await tool(Desk({"id": "j", "agentId": "a"})).call(arguments)
