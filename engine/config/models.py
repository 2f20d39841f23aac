"""Which models a config knows, and what is wrong with a name it does not (design.md §8). Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from engine.config.backends import NAMES
from engine.config.schema import Config

OFFLINE: Final = "offline"  # answers by rule; needs no provider
_LIKE: Final = 0.75  # how alike a misspelt name is to the one that was meant


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a model ref names nothing."""

    text: str
    misspelt: bool  # False: its provider may only be missing still


def fault(ref: str, config: Config) -> Fault | None:
    """Return what is wrong with `provider/model`, a CLI backend's id or `offline`."""
    if ref.strip() in aliases(config):
        return None
    provider, slash, model = ref.strip().partition("/")
    providers, backends = config.models.providers, config.agents.defaults.cli_backends
    if provider in backends or provider in NAMES or (provider == OFFLINE and not model):
        return None
    if provider in providers:
        return None if model else Fault(f'"{ref}" names no model: write {provider}/<model>', True)
    known = sorted({*providers, *backends, OFFLINE})
    near = get_close_matches(provider, [*known, *NAMES], 1, _LIKE)
    if near:
        meant = f"{near[0]}/{model}" if model else near[0]
        return Fault(f'unknown provider "{provider}" — did you mean "{meant}"?', True)
    there = f"there is {', '.join(known)}"
    if not slash:
        where = ", ".join(f'"{name}/{ref}"' for name in providers) or f'"<provider>/{ref}"'
        return Fault(f'"{ref}" names no provider: write {where} ({there})', True)
    return Fault(
        f'models.providers has no "{provider}" ({there}); add models.providers.{provider}', False
    )


def aliases(config: Config) -> dict[str, str]:
    """Return the short names of models: `agents.defaults.models.<ref>.alias`."""
    entries = config.agents.defaults.models.items()
    return {entry.alias: ref for ref, entry in entries if entry.alias}


def ref_fault(ref: str, config: Config) -> str:
    """Return what is wrong with a model ref in words, or ''."""
    found = fault(ref, config)
    return found.text if found is not None else ""


def remedy(ref: str) -> str:
    """Return the command that adds the provider of a model ref; what is unknown is a blank."""
    from engine.config.starters import MODELS

    name, _, model = ref.strip().partition("/")
    known = MODELS.get(name)
    if known is None or not known.base_url:
        return f"engine config set {shlex.quote(f'models.providers.{name}.baseUrl')} YOUR_URL"
    key = " --api-key YOUR_KEY" if known.variable else ""
    return f"engine onboard --provider {name} --model {shlex.quote(model)}{key}"
