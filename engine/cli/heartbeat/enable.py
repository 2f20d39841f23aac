"""`engine heartbeat enable AGENT --every … --target …`: a block of its own, its cost shown first.

heartbeat.md §20, §3 [E] 4; operations.md §16 L14: a line that switches seven agents on, or all
others off, is seen before it is written.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from engine.cli.ask import Line
from engine.cli.config.changing import change, changed_text
from engine.cli.config.fan_out import fan_out
from engine.cli.config.file import check
from engine.cli.heartbeat import hold as heartbeat_hold
from engine.config.effective import find_agent
from engine.roster.profiles import roster_of
from jobs.errors import UsageError


def enable(line: Line, agent_id: str | None, block: Mapping[str, str]) -> None:
    """Switch an agent's beats on with these keys in its own block."""
    if agent_id is None:
        raise UsageError(
            "the heartbeat was not switched",
            why="--every and --target are written into one agent's block",
            fix="engine heartbeat enable main --every 30m --target last",
        )
    if not line.at_home:
        raise UsageError(
            "the heartbeat was not switched",
            why="the config of another machine is not written from here",
            fix="run it there",
        )
    place = line.place
    loaded = check(place)
    roster = roster_of(loaded.config, place.paths, place.zone)
    roster.refuse_stranger(agent_id, "the heartbeat was not switched")
    known = find_agent(loaded.config, agent_id)  # in its own spelling: another would be another
    path = f"agents.list[id={agent_id if known is None else known.id}].heartbeat"
    text = changed_text(place, path, dict(block))
    found = fan_out(place, loaded, check(place, {place.paths.config: text.encode()}))
    if not line.as_json:
        sys.stderr.write("".join(f"{one}\n" for one in found.lines))
    # First what can be refused: an agent nobody knows, a gateway that is not there.
    answer = line.call("set-heartbeats", {"enabled": True, "agentId": agent_id})
    change(place, path, dict(block))
    answer = {**answer, "wrote": {path: dict(block)}, "fanOut": found.to_json()}
    line.show(answer, lambda told: heartbeat_hold.switched(told, agent_id, on=True))
