"""From the config in force to the values agents are built from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.agents.base import Sleep
from engine.agents.command import CommandBackend
from engine.agents.factory import OFFLINE, AgentFactory
from engine.agents.offline import ScriptEntry, read_script
from engine.agents.provider import Price, Provider
from engine.config import json5
from engine.config.backends import cli_backends
from engine.config.models import aliases
from jobs.errors import InvalidInput

if TYPE_CHECKING:  # the schema is slow to import, and only its shape is needed
    from engine.config.schema import Config, agents, models


def factory_of(config: Config, *, sleep: Sleep, folder: Path) -> AgentFactory:
    """Return the factory of a config; the script's path is relative to ``folder``.

    Reads the offline agent's script: raises `InvalidInput` where it cannot be used.
    """
    offline = config.models.providers.get(OFFLINE)
    script = (
        load_script(folder / Path(offline.script).expanduser())
        if (offline is not None and offline.script)
        else ()
    )
    return AgentFactory(
        providers={
            name: provider_of(name, values, config.agents.defaults.models)
            for name, values in config.models.providers.items()
            if name != OFFLINE or values.base_url
        },
        backends={name: backend_of(name, values) for name, values in cli_backends(config).items()},
        script=script,
        aliases=aliases(config),
        sleep=sleep,
    )


def load_script(path: Path) -> tuple[ScriptEntry, ...]:
    """Read a script file (JSON5)."""
    try:
        document = json5.parse(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise InvalidInput(
            "the offline agent's script was not read",
            why=f"{path}: {error.strerror}",
            fix="correct models.providers.offline.script",
        ) from None
    except (json5.Json5Error, UnicodeDecodeError) as error:
        raise InvalidInput(
            "the offline agent's script was not read",
            why=f"{path}: {error}",
            fix="correct the file; it is JSON5",
        ) from None
    return read_script(document.root.plain(), origin=path.name)


def provider_of(
    name: str, values: models.Provider, asked: Mapping[str, agents.ModelEntry] | None = None
) -> Provider:
    """Return one provider's values; ``asked`` is what the agents want of models, by ref."""
    limits = {one.id: one.max_tokens or values.max_tokens for one in values.models}
    return Provider(
        id=name,
        api=values.api,
        base_url=values.base_url,
        api_key=values.api_key.reveal() if values.api_key else None,
        prices={
            one.id: Price(
                input=one.cost.input,
                output=one.cost.output,
                cache_read=one.cost.cache_read,
                cache_write=one.cost.cache_write,
            )
            for one in values.models
            if one.cost is not None
        },
        max_tokens={model: limit for model, limit in limits.items() if limit},
        thinks=frozenset(one.id for one in values.models if one.reasoning),
        sees=frozenset(one.id for one in values.models if "image" in one.input),
        require_finish_reason=values.require_finish_reason,
        headers={header: value.reveal() for header, value in values.headers.items()},
        params=values.params,
        timeout=timedelta(seconds=values.timeout_seconds) if values.timeout_seconds else None,
        own=_own(name, values, asked or {}),
    )


def prices(config: Config) -> dict[str, Price]:
    """Return what models cost that have a price, by `provider/model`."""
    return {
        f"{name}/{model}": price
        for name, values in config.models.providers.items()
        for model, price in provider_of(name, values).prices.items()
    }


def _own(
    name: str, values: models.Provider, asked: Mapping[str, agents.ModelEntry]
) -> dict[str, dict[str, Any]]:
    """What single models say otherwise than their provider; what an agent asks for goes first."""
    own: dict[str, dict[str, Any]] = {}
    for one in values.models:
        said = {"api": one.api, "base_url": one.base_url, "headers": one.headers}
        own[one.id] = {key: value for key, value in said.items() if value}
        own[one.id]["params"] = one.params
    for ref, entry in asked.items():
        provider, _, model = ref.partition("/")
        if provider == name and entry.params:
            mine = own.setdefault(model, {})
            mine["params"] = {**mine.get("params", {}), **entry.params}
    return own


def backend_of(name: str, values: agents.CliBackend) -> CommandBackend:
    """Return one CLI backend's values."""
    limit, silence = values.timeout_seconds or values.timeout_sec, values.no_output_timeout_sec
    return CommandBackend(
        id=name,
        command=values.command,
        args=tuple(values.args),
        input=values.input,
        output=values.output,
        model_arg=values.model_arg,
        model_aliases=values.model_aliases,
        system_prompt_arg=values.system_prompt_arg,
        system_prompt_when=values.system_prompt_when,
        session_args=tuple(values.session_args)
        or ((values.session_arg, "{sessionId}") if values.session_arg else ()),
        session_mode=values.session_mode,
        session_id_fields=tuple(values.session_id_fields),
        resume_args=tuple(values.resume_args),
        resume_output=values.resume_output,
        max_prompt_arg_chars=values.max_prompt_arg_chars,
        serialize=values.serialize,
        no_output_timeout=timedelta(seconds=silence) if silence else None,
        env=values.env,
        clear_env=tuple(values.clear_env),
        timeout=timedelta(seconds=limit) if limit else None,
        output_most=values.max_output_bytes,
    )
