"""`engine heartbeat replay`: one beat decided once more from its row (heartbeat.md §25-19)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from engine.cli import at_rest
from engine.cli.ask import Line, gateway_options
from engine.cli.render import one_line
from jobs.errors import NotFound

_STEPS: Final = {"gates": "May it run", "reply": "What the reply means", "delivery": "Is it sent"}


@click.command("replay", epilog="Example: engine heartbeat replay 0199f1c2a4b7c3d4e5f60718")
@click.argument("run_id", metavar="RUN", required=False)
@gateway_options()
def command(line: Line, run_id: str | None) -> int:
    """Decide a beat once more from what its row keeps, and say whether it comes to the same.

    Without RUN the newest beat is meant; `engine heartbeat history --json` has the ids of all.
    Nothing runs and nothing is sent. Also told: who woke it, and what has changed since: the
    config, HEARTBEAT.md, the wording of the prompts. Exit 1 if anything is decided differently.
    """
    with at_rest.reading(line) as asked:
        told = asked.call(
            "heartbeat.replay", {"runId": run_id or _newest(asked)}, timeout=line.timeout
        )
    line.show(told, lambda answer: "\n".join(lines(answer)))
    return 1 if told["same"] is False else 0


def _newest(asked: at_rest.Asked) -> str:
    entries = asked.call("heartbeat.history", {"limit": 1})["entries"]
    if not entries:
        raise NotFound("no heartbeat has run yet", fix="engine heartbeat run")
    return str(entries[0]["runId"])


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Say what comes of it, step by step."""
    head = f"Run {told['runId']} of {told['agentId']}"
    if told["same"] is None:
        yield f"{head} cannot be decided again: {told['impossible']}."
    else:
        yield f"{head}: {'the same' if told['same'] else 'DIFFERENT'} when decided again."
    for step in told["steps"]:
        because = f" ({one_line(step['because'])})" if step.get("because") else ""
        now = "" if step["same"] else f", now {step['replayed']}"
        yield f"  {_STEPS[step['what']]}? {step['recorded']}{now}{because}"
    yield from _provenance(told["provenance"])
    changed = told["changedSince"]
    if changed:
        yield f"Changed since: {', '.join(changed)}."
    elif told["same"] is not None:
        yield "Config, HEARTBEAT.md and prompts are those of then."


def _provenance(known: Mapping[str, Any]) -> Iterator[str]:
    wake = known["wake"]
    by = f", by {wake['by']}" if wake.get("by") else ""
    yield f"Woken by {wake.get('source', '?')} ({wake.get('reason', '?')}{by})."
    if known["events"]:
        yield f"Events in its prompt: {', '.join(known['events'])}."
    marks = {
        "config": known["configHash"],
        "HEARTBEAT.md": (known["checklistHash"] or "")[:12],
        "prompts": known["promptVersion"],
        "prompt text": known["promptHash"],
        "model": known["model"],
    }
    told = [f"{name} {mark}" for name, mark in marks.items() if mark]
    if told:
        yield f"Decided with {', '.join(told)}."
