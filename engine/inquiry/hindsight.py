"""Looks back at one beat: decides it once more, and says who woke it and what has changed since.

heartbeat.md §25-19. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.beats.look import Lookout
from engine.inquiry.replay import replayed
from engine.roster.roster import Roster
from jobs.errors import NotFound
from jobs.ledger import Run
from jobs.store import runs as run_rows
from jobs.store.db import Database
from jobs.wallclock import ms

_WHAT: Final[Mapping[str, str]] = {
    "config": "the config",
    "checklist": "HEARTBEAT.md",
    "prompt": "the wording of the prompts",
}


async def replay(
    run_id: str, *, database: Database, lookout: Lookout, roster: Roster
) -> dict[str, Any]:
    """`heartbeat.replay`: ``{runId}``; raises `NotFound` for a run there is not."""
    run = await database.read(lambda tx: run_rows.get(tx, run_id))
    if run is None:
        raise NotFound(
            f"run {run_id} is not on record",
            why="its id is wrong, or its row was removed after its time",
            fix="engine heartbeat history --json, for the ids",
        )
    then = _marks(run)
    if run.agent_id is not None and roster.knows(run.agent_id):
        now = await lookout.marks(roster.agent(run.agent_id))
        changed = [_WHAT[key] for key, mark in then.items() if mark and mark != now[key]]
    else:
        changed = []
    return {
        **replayed(run).to_json(),
        "provenance": {
            "slotMs": ms(run.slot),
            "lookedAt": run.facts.get("lookedAt"),
            "wake": dict(run.wake),
            "events": list(run.facts.get("events") or ()),
            "configHash": then["config"],
            "checklistHash": then["checklist"],
            "promptVersion": then["prompt"],
            "promptHash": (run.facts.get("prompt") or {}).get("sha256"),
            "model": run.model,
            "bootId": run.boot_id,
        },
        "changedSince": changed,
    }


def _marks(run: Run) -> dict[str, str | None]:
    facts = run.facts
    return {
        "config": facts.get("config") or None,
        "checklist": (facts.get("file") or {}).get("sha256") or None,
        "prompt": (facts.get("prompt") or {}).get("version"),
    }
