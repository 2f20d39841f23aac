from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from engine.agents.base import Tool, ToolRefused
from engine.agents.tools.cron import Grant, cron_tool
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

    async def runs(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"entries": [{"jobId": params["id"]}]}

    async def status(self) -> Mapping[str, Any]:
        return {"enabled": True, "jobs": 3, "storePath": "/somewhere"}

    async def pause_one(
        self, ref: str, *, by: str, note: str, until: str | None
    ) -> Mapping[str, Any]:
        self.asked.append(("pause", ref, by, note, until))
        return {"ok": True}

    async def resume_one(self, ref: str, *, by: str) -> Mapping[str, Any]:
        self.asked.append(("resume", ref, by))
        return {"ok": True}


def tool(desk: Desk, **options: Any) -> Tool:
    grant = Grant(agent_id="a", session_key="agent:a:main", **options)
    return cron_tool(desk, desk, grant)


async def told(desk: Desk, action: str, arguments: Mapping[str, Any], **options: Any) -> Any:
    return json.loads(await tool(desk, **options).call({"action": action, **arguments}))


async def test_a_run_of_a_job_needs_no_name_to_look_at_hold_and_end_it() -> None:
    desk = Desk({"id": "mine", "agentId": "a"})
    for action in ("get", "runs", "pause", "resume", "remove"):
        await told(desk, action, {}, job_id="mine")
    assert [what[:2] for what in desk.asked] == [
        ("pause", "mine"),
        ("resume", "mine"),
        ("remove", "mine"),
    ]
    status = await told(desk, "status", {}, job_id="mine")
    assert status == {"enabled": True, "jobs": 3, "jobId": "mine"}


async def test_a_job_is_held_with_a_note_and_an_end() -> None:
    desk = Desk({"id": "j", "agentId": "a"})
    await told(desk, "pause", {"jobId": "j", "note": "until Ann is back", "until": "3d"})
    assert desk.asked == [("pause", "j", "agent:a", "until Ann is back", "3d")]


@pytest.mark.parametrize("action", ["pause", "resume", "runs"])
async def test_jobs_of_others_are_not_its_to_hold(action: str) -> None:
    desk = Desk({"id": "theirs", "agentId": "b"})
    with pytest.raises(ToolRefused, match="no job"):
        await told(desk, action, {"jobId": "theirs"})
    assert desk.asked == []


LIMITED = frozenset({"cron", "read"})


@pytest.mark.parametrize(
    ("job", "held"),
    [
        ({"payload": TURN}, {**TURN, "toolsAllow": ["cron", "read"]}),
        ({"payload": {**TURN, "toolsAllow": ["read"]}}, {**TURN, "toolsAllow": ["read"]}),
        ({"payload": TURN, "toolsAllow": ["read"]}, {**TURN, "toolsAllow": ["read"]}),
        ({"payload": {**TURN, "toolsAllow": None}}, {**TURN, "toolsAllow": ["cron", "read"]}),
    ],
)
async def test_a_job_may_no_more_than_the_turn_that_made_it(
    job: Mapping[str, Any], held: Mapping[str, Any]
) -> None:
    desk = Desk()
    await told(desk, "add", {"job": {"schedule": SCHEDULE, **job}}, tools=LIMITED)
    assert desk.asked[0][1]["payload"] == held
    assert "toolsAllow" not in desk.asked[0][1]


@pytest.mark.parametrize("action", ["add", "update"])
@pytest.mark.parametrize(
    "wide", [{"message": "x", "toolsAllow": ["write"]}, {"payload": {"toolsAllow": ["write"]}}]
)
async def test_a_turn_cannot_hand_on_what_it_does_not_have(
    action: str, wide: Mapping[str, Any]
) -> None:
    desk = Desk({"id": "j", "agentId": "a"})
    with pytest.raises(ToolRefused, match="tools you do not have: write"):
        await told(desk, action, {"job": wide, "jobId": "j", "patch": wide}, tools=LIMITED)


@pytest.mark.parametrize(("before", "after"), [(None, ["cron", "read"]), (["read", "x"], ["read"])])
async def test_new_words_for_a_job_that_may_more_take_that_from_it(
    before: list[str] | None, after: list[str]
) -> None:
    desk = Desk({"id": "j", "agentId": "a", "payload": {**TURN, "toolsAllow": before}})
    patch = {"payload": {"message": "do what I cannot"}}
    await told(desk, "update", {"jobId": "j", "patch": patch}, tools=LIMITED)
    assert desk.asked[0][2]["payload"]["toolsAllow"] == after
    await told(desk, "update", {"jobId": "j", "patch": {"name": "n"}}, tools=LIMITED)
    assert desk.asked[1][2] == {"name": "n"}


@pytest.mark.parametrize("action", ["add", "update"])
async def test_a_job_speaks_in_no_session_but_its_makers(action: str) -> None:
    desk = Desk({"id": "j", "agentId": "a"})
    for target, refused in (("session:agent:a:main", False), (" Session:agent:a:x", True)):
        wish = {"sessionTarget": target, "payload": TURN}
        arguments = {"job": wish, "jobId": "j", "patch": wish}
        if refused:
            with pytest.raises(ToolRefused, match="is not your session"):
                await told(desk, action, arguments)
        else:
            await told(desk, action, arguments)


async def test_an_agent_that_may_schedules_commands() -> None:
    desk = Desk({"id": "j", "agentId": "a", "payload": {"kind": "command"}})
    job = {"schedule": SCHEDULE, "payload": {"kind": "command", "argv": ["df"]}}
    await told(desk, "add", {"job": job}, commands=True)
    await told(desk, "run", {"jobId": "j"}, commands=True)
    assert [what[0] for what in desk.asked] == ["add", "run"]


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
        {"payload": {"command": "rm"}},
        {"payload": TURN, "gate": {"command": ["rm"]}},
        {"payload": TURN, "gate": ["rm"]},
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
