"""Pictures that came with a message, as models get them: those that see, and only those."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.agents.base import TurnReply, TurnRequest
from engine.agents.model import ModelAgent
from engine.agents.provider import ANTHROPIC, COMPLETIONS, Candidate, Provider
from engine.messages.media import Media, MediaKind
from tests.fakes.anthropic_server import AnthropicServer
from tests.fakes.openai_server import KEY, OpenAIServer, Plan

pytestmark = pytest.mark.timeout(90)  # the first to ask imports the model library

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64


def picture(folder: Path, **changes: Any) -> Media:
    path = folder / "cat.png"
    path.write_bytes(PNG)
    about: dict[str, Any] = {"path": str(path), "size": len(PNG), "mime": "image/png"}
    return Media(kind=MediaKind.IMAGE, name="cat.png", **(about | changes))


async def at_once(_: timedelta) -> None:
    return


async def asked(
    images: Sequence[Media], *, api: str = COMPLETIONS, sees: bool = True
) -> tuple[str, TurnReply]:
    """What a server was sent for one question with pictures, and what the agent answered."""
    kind = AnthropicServer if api == ANTHROPIC else OpenAIServer
    async with kind(Plan(text="a cat")) as server:
        provider = Provider(
            id="stand-in",
            base_url=server.base_url,
            api_key=KEY,
            api=api,
            sees=frozenset({"m"} if sees else ()),
        )
        agent = ModelAgent([Candidate(provider=provider, model="m")], sleep=at_once)
        reply = await agent.answer(
            TurnRequest(
                run_id="r",
                agent_id="main",
                session_key="k",
                kind="chat",
                prompt="what is it?",
                now=NOON,
                images=tuple(images),
            )
        )
        await agent.close()
        return str(server.requests[0]["body"]), reply


@pytest.mark.parametrize("api", [COMPLETIONS, ANTHROPIC])
async def test_a_model_that_sees_is_shown_the_picture_beside_the_words(
    tmp_path: Path, api: str
) -> None:
    body, reply = await asked([picture(tmp_path)], api=api)
    assert base64.b64encode(PNG).decode() in body
    assert "what is it?" in body
    assert (reply.text, reply.remark) == ("a cat", "")


@pytest.mark.parametrize("api", [COMPLETIONS, ANTHROPIC])
async def test_a_model_that_is_not_known_to_see_gets_the_words_and_that_is_said(
    tmp_path: Path, api: str
) -> None:
    body, reply = await asked([picture(tmp_path)], api=api, sees=False)
    assert base64.b64encode(PNG).decode() not in body
    assert "a picture was not shown: stand-in/m is not known to take images" in reply.remark


@pytest.mark.parametrize(
    "changes",
    [{"size": 6 * 1024 * 1024}, {"mime": "image/heic"}, {"path": "/nowhere/cat.png"}],
)
async def test_what_no_provider_takes_is_not_sent(tmp_path: Path, changes: dict[str, Any]) -> None:
    body, reply = await asked([picture(tmp_path, **changes)])
    assert "image_url" not in body
    assert reply.text == "a cat"
