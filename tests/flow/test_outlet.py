"""Messages somebody asked to send."""

from __future__ import annotations

import pytest

from engine.outbox import NewMessage
from engine.pytest_plugin import EngineSim
from jobs.errors import InvalidInput

CONFIG = {"channels": {"telegram": {"botToken": "1:x", "allowFrom": ["42"]}}}


@pytest.mark.parametrize(
    ("channel", "fix"),
    [("telegrm", "did you mean telegram?"), ("carrier-pigeon", "name one of: local, telegram")],
)
async def test_a_channel_there_is_not_names_the_nearest(
    engine_sim: EngineSim, channel: str, fix: str
) -> None:
    sim = await engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC").open()
    with pytest.raises(InvalidInput) as refused:
        await sim.engine.outlet.send(NewMessage(key="k", text="x", channel=channel, to="1"))
    assert refused.value.fix == fix
