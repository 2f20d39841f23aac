"""Messages somebody asked to send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.messages.media import Media, MediaKind
from engine.messages.outbox import Event, NewMessage
from engine.pytest_plugin import EngineSim
from engine.store import outbox
from engine.testing import Simulation
from jobs.errors import InvalidInput, NotFound

CONFIG = {"channels": {"telegram": {"botToken": "1:x", "allowFrom": ["42"]}}}

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


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


async def test_nobody_speaks_for_an_agent_that_is_not_configured(engine_sim: EngineSim) -> None:
    sim = await engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC").open()
    with pytest.raises(NotFound, match="agent 'nobody' is not configured"):
        await sim.engine.outlet.send(wish(text="x", agent_id="nobody"))
    assert await sim.engine.database.read(lambda tx: outbox.get(tx, "k")) is None


async def opened(engine_sim: EngineSim) -> tuple[Simulation, Path]:
    sim = await engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC").open()
    workspace = sim.engine.roster.agent(None).workspace
    workspace.mkdir(parents=True, exist_ok=True)
    (workspace / "p.png").write_bytes(PNG)
    (workspace.parent / "secret.txt").write_text("secret")
    return sim, workspace


def wish(*files: str, text: str = "", **more: Any) -> NewMessage:
    return NewMessage(key="k", text=text, channel="telegram", to="42", files=files, **more)


async def test_files_of_a_message_are_copied_into_its_row(engine_sim: EngineSim) -> None:
    sim, _ = await opened(engine_sim)
    await sim.engine.outlet.send(wish("p.png", "https://cats.example/c.jpg"))
    stored = await sim.engine.database.read(lambda tx: outbox.get(tx, "k"))
    assert stored is not None
    one, two = stored.media
    assert (one.kind, one.name, one.size) == (MediaKind.IMAGE, "p.png", len(PNG))
    assert str(one.path).startswith(str(sim.engine.shelf.outgoing))
    assert (two.url, two.path) == ("https://cats.example/c.jpg", None)
    again = await sim.engine.outlet.send(wish("p.png"))
    assert again["messageId"] == "k"
    assert (await sim.engine.shelf.held()).files == 1


@pytest.mark.parametrize(
    "file", ["/etc/passwd", "../secret.txt", "nothing.png", "file:///etc/passwd"]
)
async def test_a_file_outside_the_workspace_is_refused_and_nothing_is_queued(
    engine_sim: EngineSim, file: str
) -> None:
    sim, _ = await opened(engine_sim)
    with pytest.raises(InvalidInput, match="was not taken"):
        await sim.engine.outlet.send(wish(file, text="look", laid_ready=True))
    assert await sim.engine.database.read(lambda tx: outbox.get(tx, "k")) is None


async def test_what_was_sent_to_an_agent_may_go_on_and_what_others_were_sent_may_not(
    engine_sim: EngineSim,
) -> None:
    sim, _ = await opened(engine_sim)
    shelf = sim.engine.shelf
    main = sim.engine.roster.default_id
    got = Media(kind=MediaKind.IMAGE, name="got.png")
    mine = await shelf.receive(main, got, pieces(PNG))
    theirs = await shelf.receive("other", got, pieces(PNG))
    ready = await shelf.write("ready.txt", b"laid ready")
    await sim.engine.outlet.send(wish(str(mine.path)))
    for refused in (theirs, ready):
        with pytest.raises(InvalidInput, match="outside the workspace"):
            await sim.engine.outlet.send(replace(wish(str(refused.path)), key="other"))
    await sim.engine.outlet.send(replace(wish(str(ready.path), laid_ready=True), key="by-person"))


async def test_too_many_files_are_refused(engine_sim: EngineSim) -> None:
    sim, _ = await opened(engine_sim)
    with pytest.raises(InvalidInput, match="11 files; the most is 10"):
        await sim.engine.outlet.send(wish(*["p.png"] * 11))


async def test_a_message_may_come_silently_or_not_at_all(engine_sim: EngineSim) -> None:
    sim = await engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC").open()
    told = await sim.engine.outlet.send(NewMessage(key="d", text="x", to="tg:42", dry_run=True))
    assert (told["route"]["channel"], told["route"]["to"]) == ("telegram", "42")
    assert await sim.database.read(lambda tx: outbox.get(tx, "d")) is None
    await sim.engine.outlet.send(NewMessage(key="s", text="x", to="tg:42", silent=True))
    kept = await sim.database.read(lambda tx: outbox.get(tx, "s"))
    assert kept is not None
    assert kept.notes["silent"] is True


async def test_a_message_that_failed_is_listed_with_its_files_and_goes_again_with_them(
    engine_sim: EngineSim,
) -> None:
    sim, _ = await opened(engine_sim)
    engine = sim.engine
    await engine.outlet.send(wish("p.png"))
    now = engine.clock.now()
    await engine.database.write(lambda tx: outbox.move(tx, "k", Event.ATTEMPT, now))
    lost = partial(outbox.move, key="k", event=Event.REJECTED, now=now, reason="blocked")
    await engine.database.write(lost)
    (listed,) = (await engine.outbox_desk.listing({}))["entries"]
    assert (listed["text"], listed["media"][0]["name"]) == ("(p.png, 72 bytes)", "p.png")
    made = await engine.outbox_desk.retry("k", by="me")
    again = await engine.database.read(partial(outbox.get, key=made["key"]))
    assert again is not None
    assert [one.name for one in again.media] == ["p.png"]
