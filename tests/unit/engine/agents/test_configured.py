from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.agents.base import AgentFailure, TurnRequest
from engine.agents.command import CommandAgent
from engine.agents.configured import backend_of, factory_of, load_script, provider_of
from engine.agents.model import ModelAgent
from engine.agents.provider import Price
from engine.config.backends import cli_backends
from engine.config.models import ref_fault
from engine.config.schema import Config
from jobs.errors import InvalidInput

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def at_once(_: timedelta) -> None:
    return


def config(**values: Any) -> Config:
    return Config.model_validate(values)


MODELS = {
    "providers": {
        "local": {
            "baseUrl": "http://127.0.0.1:9/v1",
            "apiKey": "sk-local-123456",
            "requireFinishReason": False,
            "maxTokens": 900,
            "models": [
                {"id": "big", "cost": {"input": 1, "output": 2}, "maxTokens": 4000},
                {"id": "small"},
            ],
        }
    }
}
BACKENDS = {
    "defaults": {
        "cliBackends": {
            "prog": {"command": "prog", "args": ["-p"], "timeoutSeconds": 30, "modelArg": "-m"}
        }
    }
}


def test_a_provider_keeps_its_key_prices_and_limits() -> None:
    provider = provider_of("local", config(models=MODELS).models.providers["local"])
    assert (provider.id, provider.base_url) == ("local", "http://127.0.0.1:9/v1")
    assert provider.api_key == "sk-local-123456"
    assert provider.prices == {"big": Price(input=1, output=2)}
    assert provider.max_tokens == {"big": 4000, "small": 900}
    assert provider.require_finish_reason is False


def test_a_backend_keeps_its_command_line_and_limit() -> None:
    backend = backend_of("prog", config(agents=BACKENDS).agents.defaults.cli_backends["prog"])
    assert (backend.command, backend.args, backend.model_arg) == ("prog", ("-p",), "-m")
    assert backend.timeout == timedelta(seconds=30)


async def test_every_ref_of_the_config_can_be_built(tmp_path: Path) -> None:
    factory = factory_of(config(models=MODELS, agents=BACKENDS), sleep=at_once, folder=tmp_path)
    assert isinstance(factory.build("local/big"), ModelAgent)
    assert isinstance(factory.build("prog"), CommandAgent)
    with pytest.raises(AgentFailure):
        factory.build("elsewhere/x")


async def test_the_script_of_the_offline_agent_is_read_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "say.json5").write_text("[ // one entry\n {say: 'scripted'}, ]")
    values = config(models={"providers": {"offline": {"script": "say.json5"}}})
    agent = factory_of(values, sleep=at_once, folder=tmp_path).build(None)
    request = TurnRequest(
        run_id="r", agent_id="a", session_key="s", kind="chat", prompt="hi", now=NOON
    )
    assert (await agent.answer(request)).text == "scripted"


@pytest.mark.parametrize(("text", "told"), [(None, "No such file"), ("[{say:", "JSON5")])
def test_a_script_that_cannot_be_read_is_named(tmp_path: Path, text: str | None, told: str) -> None:
    path = tmp_path / "say.json5"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidInput, match=told):
        load_script(path)


def test_a_model_is_asked_as_it_its_provider_and_the_agents_say() -> None:
    found = config(
        models={
            "providers": {
                "lab": {
                    "baseUrl": "http://127.0.0.1:9/v1",
                    "headers": {"X-Team": "ops", "X-Zone": "a"},
                    "params": {"top_p": 0.5, "seed": 1},
                    "timeoutSeconds": 40,
                    "models": [
                        {
                            "id": "big",
                            "api": "openai-responses",
                            "baseUrl": "http://127.0.0.1:10/v1",
                            "headers": {"X-Zone": "b"},
                            "params": {"seed": 2},
                        }
                    ],
                }
            }
        },
        agents={"defaults": {"models": {"lab/big": {"params": {"temperature": 0.2}}}}},
    )
    provider = provider_of("lab", found.models.providers["lab"], found.agents.defaults.models)
    big, other = provider.serving("big"), provider.serving("other")
    assert (big.api, big.base_url) == ("openai-responses", "http://127.0.0.1:10/v1")
    assert big.headers == {"X-Team": "ops", "X-Zone": "b"}
    assert big.params == {"top_p": 0.5, "seed": 2, "temperature": 0.2}
    assert big.timeout == timedelta(seconds=40)
    assert (other.api, other.base_url) == ("openai-completions", "http://127.0.0.1:9/v1")
    assert other.headers == {"X-Team": "ops", "X-Zone": "a"}
    assert other.params == {"top_p": 0.5, "seed": 1}


def test_a_short_name_is_its_model(tmp_path: Path) -> None:
    agents = {"defaults": {"models": {"local/big": {"alias": "gx"}}}}
    factory = factory_of(config(models=MODELS, agents=agents), sleep=at_once, folder=tmp_path)
    agent = factory.build("gx")
    assert isinstance(agent, ModelAgent)
    assert [one.ref for one in agent.candidates] == ["local/big"]


@pytest.mark.parametrize("ref", ["claude-cli/opus", "codex-cli/gpt-5", "gemini-cli", "echo"])
def test_programs_everybody_knows_need_no_config(ref: str, tmp_path: Path) -> None:
    assert ref_fault(ref, config()) == ""
    assert factory_of(config(), sleep=at_once, folder=tmp_path).build(ref) is not None


def test_the_operators_own_words_replace_a_program_that_is_built_in() -> None:
    own = config(agents={"defaults": {"cliBackends": {"echo": {"command": "true"}}}})
    assert cli_backends(own)["echo"].command == "true"
    assert cli_backends(own)["claude-cli"].resume_args[-1] == "{sessionId}"
